#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if ShellCheck reports anything about a shell script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mapfile -t files < <(git ls-files --cached --others --exclude-standard \
  '*.sh' quickstart test .ci/run | sort -u)
exec shellcheck --severity=style "${files[@]}"
