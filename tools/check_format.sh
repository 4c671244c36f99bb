#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if a C++ file is not formatted (clang-format 14, .clang-format), is
# longer than 600 lines, or lacks the license line. --fix formats the files instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly MAX_LINES=600

mapfile -t files < <(git ls-files --cached --others --exclude-standard \
  '*.h' '*.cc' | sort -u)

if [[ ${1-} == --fix ]]; then
  exec clang-format-14 -i "${files[@]}"
fi

broken=0
clang-format-14 --dry-run -Werror "${files[@]}" || broken=1
for file in "${files[@]}"; do
  if (($(wc -l <"$file") > MAX_LINES)); then
    echo "$file: longer than $MAX_LINES lines" >&2
    broken=1
  fi
  if ! head -n 1 "$file" | grep -q '^// SPDX-License-Identifier: Apache-2.0$'; then
    echo "$file: the first line is not the SPDX license line" >&2
    broken=1
  fi
done
exit "$broken"
