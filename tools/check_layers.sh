#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if a layer of docs/architecture.md uses a folder or a third-party
# library that the tables below do not list for it. Checks #include lines,
# third-party labels in BUILD files, and the dependencies that Bazel computes.
#
#   tools/check_layers.sh [--without-bazel] [ROOT]
#
# --without-bazel skips the queries, for directories that are no workspace.
set -euo pipefail

# The folders whose headers and targets each layer may use, besides its own.
declare -rA FOLDERS=(
  [core/base]=""
  [core/checkpoint]="core/base"
  [core/kernels]="core/base"
  [core/quantize]="core/base core/checkpoint core/kernels"
  [core/model]="core/base core/checkpoint core/kernels core/quantize"
  [core/text]="core/base"
  [core/sampling]="core/base"
  [core/engine]="core/base core/checkpoint core/kernels core/quantize core/model
    core/sampling core/text"
  [cli]="core/base"
  [service]="core cli proto"
  [tools/quality]="core cli"
  [tools/rwkv_convert]="core cli"
  [tools/rwkvctl]="core/base cli proto"
  [tools/train_demo]=""
)

# The libraries that each layer may use: targets of //third_party, other labels,
# or repositories.
readonly GRPC="absl grpc protobuf //third_party/grpc_health:health_cc_grpc"
declare -rA LIBRARIES=(
  [core/base]="absl crypto json zlib"
  [core/checkpoint]="absl pcre2"
  [core/kernels]="absl highway"
  [core/quantize]="absl"
  [core/model]="absl"
  [core/text]="absl pcre2 utf8proc"
  [core/sampling]="absl highway"
  [core/engine]="absl"
  [cli]="absl absl_flags grpc protobuf
    //third_party/google_rpc:google_rpc_cc_proto"
  [service]="$GRPC //third_party/grpc_reflection:reflection_cc_proto
    //third_party/orca:orca_cc_proto //third_party/otlp:otlp_cc_grpc absl_flags
    grpc_channelz microhttpd prometheus spdlog ssl"
  [tools/quality]="absl absl_flags"
  [tools/rwkv_convert]="absl absl_flags @eigen"
  [tools/rwkvctl]="$GRPC absl_flags json"
  [tools/train_demo]=""
)

# Headers of libraries, and functions, that core may not use.
readonly NOT_IN_CORE='#include *[<"](grpc|google/protobuf|prometheus/|absl/flags/|spdlog/|.*\.pb\.h)|\b(secure_)?getenv *\('

with_bazel=yes
if [[ ${1-} == --without-bazel ]]; then
  with_bazel=no
  shift
fi
cd "${1-$(dirname "${BASH_SOURCE[0]}")/..}"

broken=0
complain() {
  echo "layers: $1" >&2
  echo "    ${2//$'\n'/$'\n'    }" >&2
  broken=1
}

# Prints the layers in this tree.
layers() {
  local layer
  for layer in "${!FOLDERS[@]}"; do
    if [[ -d $layer ]]; then echo "$layer"; fi
  done | sort
}

# Prints the layers in this tree that contain targets.
layers_with_targets() {
  local layer
  for layer in $(layers); do
    if [[ $(find "$layer" -name BUILD.bazel) ]]; then echo "$layer"; fi
  done
}

# Complains with the text $1 about lines in the files $4... that match $2 but
# not $3 (grep -E).
forbid_lines() {
  local found
  found=$(grep -EHn "$2" "${@:4}") || return 0
  if [[ -n $3 ]]; then found=$(echo "$found" | grep -Ev "$3") || return 0; fi
  complain "$1" "$found"
}

# "a b" -> "a|b"
alternatives() { xargs <<<"$*" | tr ' ' '|'; }

# Sets the array `files` to the files below $1 whose names match $2... (find).
find_files() {
  if [[ ! -d $1 ]]; then return 1; fi
  mapfile -t files < <(find "$1" -type f \( "${@:2}" \) | sort)
  ((${#files[@]} > 0))
}

check_sources() {
  local layer folder files
  for folder in core/* tools/*; do
    if [[ -d $folder && -z ${FOLDERS[$folder]+listed} ]]; then
      complain "$folder is not a layer; add it to $0" "$folder"
    fi
  done
  for layer in $(layers); do
    if find_files "$layer" -name '*.h' -o -name '*.cc' -o -name '*.inc'; then
      forbid_lines "$layer may include only: $layer ${FOLDERS[$layer]}" \
        '#include *[<"](core|cli|service|tools|tests|proto|rwkv)/' \
        "#include \"($(alternatives "$layer" "${FOLDERS[$layer]/proto/rwkv}"))/" \
        "${files[@]}"
      if [[ $layer == core/* ]]; then
        forbid_lines "core may not use this" "$NOT_IN_CORE" "" "${files[@]}"
      fi
    fi
    if find_files "$layer" -name 'BUILD.bazel' -o -name '*.bzl'; then
      forbid_lines "$layer may use only the libraries: ${LIBRARIES[$layer]}" \
        '"(@|//third_party)' \
        "\"(//third_party:)?($(alternatives "${LIBRARIES[$layer]}"))\"" \
        "${files[@]}"
    fi
  done
}

# The folders of core/kernels have an order, too, with kernel_table.h and targets
# on top (core/kernels/README.md).
check_kernels() {
  local above='kernel_table\.h|targets/' folder files
  for folder in amx ggml quant gemm; do
    if find_files "core/kernels/$folder" -name '*.h'; then
      # Activations are quantized in a form for GGML's block types, too.
      forbid_lines "core/kernels/$folder includes a folder above it" \
        "#include *\"core/kernels/($above)" "core/kernels/ggml/layout\.h" \
        "${files[@]}"
    fi
    above+="|$folder/"
  done
}

# Prints a query for the direct dependencies of the layer $1 that are not
# allowed. What those depend on is checked in their own layers.
forbidden_targets() {
  local allowed="//$1/... + //tools:separate" name
  for name in ${FOLDERS[$1]}; do allowed+=" + //$name/..."; done
  for name in ${LIBRARIES[$1]}; do
    case $name in
      @*) name+=//:${name#@} ;;
      [!/]*) name=//third_party:$name ;;
    esac
    allowed+=" + $name"
  done
  echo "(kind(rule, deps(//$1/..., 1)) except ($allowed))"
}

query() {
  bazel query --noshow_progress --noimplicit_deps "$1" 2>"$errors" ||
    { cat "$errors" >&2 && exit 1; }
}

check_targets() {
  local layer all="" errors found
  errors=$(mktemp)
  for layer in $(layers_with_targets); do
    all+="${all:+ + }$(forbidden_targets "$layer")"
  done
  # One query for all layers is much faster than one for each.
  if [[ -n $(query "$all") ]]; then
    for layer in $(layers_with_targets); do
      found=$(query "$(forbidden_targets "$layer")")
      if [[ -n $found ]]; then
        complain "$layer may not depend on:" "$found"
      fi
    done
  fi
  found=$(query \
    "somepath(//service:rwkvd, //tools/rwkv_convert/... + @eigen//...)")
  if [[ -n $found ]]; then
    complain "the server depends on the offline quantizer:" "$found"
  fi
  rm -f "$errors"
}

check_sources
check_kernels
if [[ $with_bazel == yes ]]; then check_targets; fi
exit "$broken"
