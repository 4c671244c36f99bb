#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if CHANGELOG.md or deploy/ names another version than cli/version.h.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/.* kVersion\[\] = "\(.*\)";/\1/p' cli/version.h)
broken=0

# Compares $2, the version in the file $1.
expect() {
  if [[ $2 == "$version" ]]; then return; fi
  echo "$1: version is \"$2\", expected $version as in cli/version.h" >&2
  broken=1
}

expect CHANGELOG.md "$(sed -n 's/^## \[\([0-9].*\)\].*/\1/p' CHANGELOG.md | head -n 1)"
expect deploy/README.md "$(sed -n 's/.*docker build .*-t rwkvd:\([^ ]*\).*/\1/p' deploy/README.md)"
expect deploy/Dockerfile "$(sed -n 's/.*image\.version="\(.*\)".*/\1/p' deploy/Dockerfile)"
for file in deploy/kubernetes/deployment.yaml deploy/kubernetes/tls/client.yaml; do
  expect "$file" "$(sed -n 's/.*image: rwkvd:\(.*\)/\1/p' "$file")"
done
expect deploy/kubernetes/kustomization.yaml \
  "$(sed -n 's/.*newTag: "\(.*\)"/\1/p' deploy/kubernetes/kustomization.yaml)"
exit "$broken"
