#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if the threat model in docs/security.md names a test or a file that does
# not exist, or has a row without four cells.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DOCUMENT=docs/security.md
broken=0

report() {
  echo "$DOCUMENT: threat model: $1" >&2
  broken=1
}

rows=$(sed -n '/^## Threat model/,/^## Attacks/p' "$DOCUMENT" | grep '^|')
if [[ $(wc -l <<<"$rows") -lt 20 ]]; then report "expected a table, got ${rows:-nothing}"; fi
while IFS= read -r row; do
  if [[ $(tr -cd '|' <<<"$row" | wc -c) != 5 ]]; then report "expected four cells: $row"; fi
done <<<"$rows"

# The tests of all files, one on a line: test_x, X.Y.
tests=$(
  git ls-files -z 'tests/*.py' | xargs -0 sed -nE 's/^ +def (test_\w+).*/\1/p'
  git ls-files -z 'tests/*.cc' | xargs -0 cat |
    tr '\n' ' ' | grep -oE 'TEST(_F|_P)?\( *\w+, *\w+' | sed -E 's/.*\( *(\w+), *(\w+)/\1.\2/'
)
files=$(git ls-files tests tools deploy | sed 's|.*/||')
names=$(cut -d '|' -f 5 <<<"$rows" | grep -oE "\`[^\`]+\`" | tr -d "\`" | sort -u)
while IFS= read -r name; do
  if grep -qxF -e "$name" <<<"$tests" || grep -qxF -e "$name" -e "$name.cc" <<<"$files"; then continue; fi
  report "no test or file is named $name"
done <<<"$names"
exit "$broken"
