#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs attack_report.py with the stubs that this build generates, and the modules
# that tools/install_dependencies.sh has installed.
set -euo pipefail

checkout=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
export PYTHONPATH=$PWD/proto:$PWD/third_party/grpc_health:$PWD/tests/integration:$PWD/tests/edge:$checkout/.cache/python
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/edge/attack_report.py "$@"
