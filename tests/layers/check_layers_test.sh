#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs tools/check_layers.sh on small trees of files: it must accept what a
# layer may use, and reject everything else.
set -uo pipefail
check=$PWD/tools/check_layers.sh
: "${TEST_TMPDIR:?}" # set by Bazel; the trees are made there
failures=0

# Creates a tree in which file $1 contains line $2, and sets $tree.
make_tree() {
  tree=$(mktemp -d "$TEST_TMPDIR/tree.XXXXXX")
  mkdir -p "$tree/core/base" "$tree/core/engine" "$tree/$(dirname "$1")"
  echo '#include "core/base/check.h"' >"$tree/core/engine/engine.cc"
  echo "$2" >"$tree/$1"
}

accepts() {
  make_tree "$1" "$2"
  "$check" --without-bazel "$tree" && return
  echo "FAILED: $1 may contain: $2"
  failures=$((failures + 1))
}

rejects() {
  make_tree "$1" "$2"
  "$check" --without-bazel "$tree" 2>"$tree/errors"
  if [[ $? == 1 ]] && grep -qF "$1:1:" "$tree/errors"; then return; fi
  echo "FAILED: $1 may not contain: $2"
  cat "$tree/errors"
  failures=$((failures + 1))
}

rejects_folder() {
  make_tree "$1/a.cc" ''
  "$check" --without-bazel "$tree" 2>"$tree/errors"
  if [[ $? == 1 ]] && grep -qF "$1 is not a layer" "$tree/errors"; then return; fi
  echo "FAILED: $1 is not a layer"
  failures=$((failures + 1))
}

accepts core/engine/a.cc '#include "core/model/model.h"'
accepts core/sampling/a.cc '#include "core/base/check.h"'
accepts core/checkpoint/a.cc '#include "core/base/json.h"'
accepts core/kernels/a.cc '#include "hwy/highway.h"'
accepts core/kernels/gemm/a.cc '#include "core/kernels/simd-inl.h"'
accepts core/kernels/amx/a.h '#include "core/kernels/quant/dot-inl.h"'
accepts core/kernels/quant/a.h '#include "core/kernels/ggml/layout.h"'
accepts core/base/a.cc '// main reads the environment (getenv is not for core).'
accepts service/a.cc '#include "core/engine/engine.h"'
accepts service/a.cc '#include "rwkv/v1/rwkv.pb.h"'
accepts cli/a.cc '#include "core/base/check.h"'
accepts tools/quality/a.cc '#include "cli/command_line.h"'
accepts service/a.cc '#include <grpcpp/grpcpp.h>'

rejects core/base/a.h '#include "core/checkpoint/tensor.h"'
rejects core/kernels/a.cc '#include "core/model/model.h"'
rejects core/kernels/gemm/a.h '#include "core/kernels/amx/tile-inl.h"'
rejects core/kernels/quant/a.h '#include "core/kernels/kernel_table.h"'
rejects core/kernels/quant/a.h '#include "core/kernels/ggml/panels-inl.h"'
rejects core/text/a.cc '#include "core/sampling/sampler.h"'
rejects core/model/a.cc '#include "core/text/tokenizer.h"'
rejects core/sampling/a.cc '#include "core/engine/request.h"'
rejects core/sampling/a.cc '#include "core/kernels/kernel_table.h"'
rejects core/engine/a.cc '#include "service/server.h"'
rejects core/engine/a.cc '#include "proto/rwkv/v1/rwkv.pb.h"'
rejects core/engine/a.cc '#include <grpcpp/grpcpp.h>'
rejects core/engine/a.cc '#include "google/protobuf/message.h"'
rejects core/engine/a.cc '#include <prometheus/registry.h>'
rejects core/engine/a.cc '#include "absl/flags/flag.h"'
rejects core/base/a.cc '#include "spdlog/spdlog.h"'
rejects core/base/a.cc 'const char* home = std::getenv("HOME");'
rejects core/engine/a.cc '#include "cli/version.h"'
rejects cli/a.cc '#include "core/engine/engine.h"'
rejects cli/a.cc '#include "service/server.h"'
rejects service/a.cc '#include "tools/rwkvctl/client.h"'
rejects tools/rwkvctl/a.cc '#include "service/server.h"'
rejects tools/rwkv_convert/a.cc '#include "rwkv/v1/rwkv.pb.h"'

accepts core/text/BUILD.bazel '    deps = ["//third_party:pcre2"],'
accepts tools/rwkv_convert/gptq/BUILD.bazel '    deps = ["@eigen"],'
accepts service/BUILD.bazel '    deps = ["//third_party:grpc"],'

rejects core/base/BUILD.bazel '    deps = ["//third_party:grpc"],'
rejects core/engine/BUILD.bazel '    deps = ["//third_party:json"],'
rejects core/model/BUILD.bazel '    deps = ["@eigen//:eigen"],'
rejects core/model/BUILD.bazel '    deps = ["@eigen"],'
rejects core/kernels/gemm/BUILD.bazel '    deps = ["@openblas//:blas"],'
rejects core/text/BUILD.bazel '    deps = ["//third_party/icu:uc"],'
rejects service/BUILD.bazel '    deps = ["@eigen"],'
rejects tools/quality/BUILD.bazel '    deps = ["@eigen"],'

rejects_folder core/novelty
rejects_folder tools/novelty

exit $((failures > 0))
