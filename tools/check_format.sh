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
printf '%s\0' "${files[@]}" |
  xargs -0 -n 50 -P "$(nproc)" clang-format-14 --dry-run -Werror || broken=1
while read -r file; do
  echo "$file: longer than $MAX_LINES lines" >&2
  broken=1
done < <(wc -l "${files[@]}" |
  awk -v max="$MAX_LINES" '$1 > max && $2 != "total" { print $2 }')
while read -r file; do
  echo "$file: the first line is not the SPDX license line" >&2
  broken=1
done < <(comm -23 <(printf '%s\n' "${files[@]}") <(awk '
  FNR == 1 && $0 == "// SPDX-License-Identifier: Apache-2.0" { print FILENAME }
  ' "${files[@]}"))
exit "$broken"
