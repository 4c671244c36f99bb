#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if an include, or a dependency that Bazel knows, points up or sideways
# in the layers of docs/architecture.md, or if core names what only the
# binaries may.
#
#   tools/check_layers.sh [--includes-only] [ROOT]
#
# --includes-only leaves Bazel out, for trees that are not a workspace.
set -euo pipefail

# Each folder of core, and the folders below it that it may use.
declare -rA BELOW=(
  [base]=""
  [checkpoint]="base"
  [kernels]="base"
  [quantize]="checkpoint kernels base"
  [model]="quantize checkpoint kernels base"
  [text]="base"
  [sampling]="kernels base"
  [engine]="model text sampling quantize checkpoint kernels base"
)

# All of third_party that core may use, and what the use of the rest looks like
# in a source file.
readonly FOR_CORE="absl highway json crypto pcre2 utf8proc"
readonly BINARIES_ONLY='#include *[<"](grpc|google/protobuf|prometheus/|absl/flags/|spdlog/|.*\.pb\.h)|\b(secure_)?getenv *\('

includes_only=no
if [[ ${1-} == --includes-only ]]; then
  includes_only=yes
  shift
fi
cd "${1-$(dirname "${BASH_SOURCE[0]}")/..}"

broken=0
complain() {
  echo "layers: $1" >&2
  echo "    ${2//$'\n'/$'\n'    }" >&2
  broken=1
}

sources() {
  find "$@" \( -name '*.h' -o -name '*.cc' -o -name '*.inc' \) -print 2>/dev/null |
    sort
}

# Complains about lines of $1's files that match $2 and not $3 (grep -E; no $3:
# all count), saying $4.
forbid() {
  local files found
  mapfile -t files < <(sources "$1")
  if [[ ${#files[@]} == 0 ]]; then return; fi
  found=$(grep -EHn "$2" "${files[@]}") || return 0
  if [[ -n $3 ]]; then found=$(echo "$found" | grep -Ev "$3") || return 0; fi
  complain "$4" "$found"
}

# "base kernels" -> "base|kernels"
alternatives() { echo "$*" | tr -s ' ' '|'; }

# The folders of core/kernels have an order, too, with kernel_table.h and targets
# on top (core/kernels/README.md).
check_kernel_includes() {
  local above='kernel_table\.h|targets/' folder
  for folder in amx quant gemm; do
    forbid "core/kernels/$folder" "#include *\"core/kernels/($above)" "" \
      "core/kernels/$folder includes a folder above it"
    above+="|$folder/"
  done
}

check_includes() {
  local layer
  for layer in $(cd core && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort); do
    if [[ -z ${BELOW[$layer]+known} ]]; then
      complain "core/$layer is in no layer; give it a place in $0" "core/$layer"
      continue
    fi
    # shellcheck disable=SC2086  # a list of words
    forbid "core/$layer" '#include *"core/' \
      "#include *\"core/($(alternatives $layer ${BELOW[$layer]}))/" \
      "core/$layer may include only core/$layer ${BELOW[$layer]}"
  done
  check_kernel_includes
  forbid core "$BINARIES_ONLY" "" "core names what only the binaries may"
  forbid core '#include *[<"](cli|service|tools|tests|proto)/' "" "core looks up"
  forbid cli '#include *[<"](core|service|tools|tests|proto|rwkv)/' \
    '#include "core/base/' "cli may include only core/base"
  forbid service '#include *"(tools|tests)/' "" "service includes tools or tests"
  forbid tools '#include *"(service|tests)/' "" "tools includes service or tests"
}

# Complains, saying $2, about every target that the Bazel query $1 finds.
forbid_targets() {
  local found
  if ! found=$(bazel query --noshow_progress "$1" 2>&1); then
    complain "bazel query failed: $1" "$found"
    exit 1 # and so would the next
  elif found=$(echo "$found" | grep '^[@/]'); then
    complain "$2" "$found"
  fi
}

# "//core/base: check json" -> "(//core/base:check + //core/base:json)"
targets() {
  local package=$1 name list=""
  shift
  for name in "$@"; do list+="${list:+ + }$package$name"; done
  echo "($list)"
}

# shellcheck disable=SC2086  # lists of words
check_targets() {
  local layer lower allowed
  forbid_targets "(deps(//core/...) intersect //third_party/...) except
    $(targets //third_party: $FOR_CORE)" \
    "of third_party core may use only $FOR_CORE"
  forbid_targets "deps(//core/...) intersect
    (//cli/... + //service/... + //tools/... + //tests/... + //proto/...)" \
    "core depends on what is above it"
  for layer in "${!BELOW[@]}"; do
    if [[ ! -e core/$layer/BUILD.bazel ]]; then continue; fi
    allowed="//core/$layer/..."
    for lower in ${BELOW[$layer]}; do allowed+=" + //core/$lower/..."; done
    forbid_targets "(deps(//core/$layer/...) intersect //core/...) except ($allowed)" \
      "core/$layer depends on what it may not"
  done
  forbid_targets "deps(//service/...) intersect (//tools/... + //tests/...)" \
    "service depends on tools or tests"
  forbid_targets "(deps(//cli/...) intersect
    (//core/... + //service/... + //tools/... + //tests/... + //proto/...)) except
    //core/base/..." "cli depends on more than core/base"
  forbid_targets "deps(//tools/...) intersect (//service/... + //tests/...)" \
    "tools depends on service or tests"
  # GPTQ, what only calibration needs, and Eigen stay out of the server.
  forbid_targets "somepath(//service:rwkvd, //tools/rwkv_convert/... + @eigen//...)" \
    "the server depends on the offline quantizer"
}

check_includes
if [[ $includes_only == no ]]; then check_targets; fi
exit "$broken"
