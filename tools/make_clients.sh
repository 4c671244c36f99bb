#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the client packages from the wire contract and from clients/, without a
# network: a wheel for Python, a package for npm, and a module for Go. All have
# the version in cli/version.h. tools/install_dependencies.sh installs what this
# needs.
#
#   tools/make_clients.sh [DIRECTORY]      default: dist
set -euo pipefail

die() {
  echo "make_clients: $*" >&2
  exit 1
}

case "${1-}" in
  -*) die "usage: tools/make_clients.sh [DIRECTORY]" ;;
esac
mkdir -p "${1:-$(dirname "${BASH_SOURCE[0]}")/../dist}"
out=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../dist}")
# The checkout, also if this is a link to its file.
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.."
root=$PWD
cache=$root/.cache
version=$(sed -n 's/.* kVersion\[\] = "\(.*\)";/\1/p' cli/version.h)
[[ $version ]] || die "cli/version.h has no version"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Runs a command, and prints its output only if it fails.
quietly() {
  if ! "$@" >"$scratch/log" 2>&1; then
    cat "$scratch/log" >&2
    die "$1 failed"
  fi
}

# Copies the files of clients/$1 that are part of the checkout to $2.
copy_sources() {
  mkdir -p "$2"
  cp -r "clients/$1/." "$2"
  rm -rf "$2"/{build,node_modules,*.egg-info}
  find "$2" -name __pycache__ -prune -exec rm -rf {} +
  cp LICENSE "$2"
}

make_python() {
  local work=$scratch/python package=$scratch/python/rwkvd_client
  copy_sources python "$work"
  sed -i "s/^version = .*/version = \"$version\"/" "$work/pyproject.toml"
  quietly protoc -I proto --python_out="$scratch" --mypy_out="$scratch" \
    --grpc_python_out="$scratch" --mypy_grpc_out="$scratch" \
    --plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin \
    rwkv/v1/rwkv.proto
  # The package rwkv belongs to another project.
  sed -i -E 's/\brwkv\.v1\b(\.rwkv_pb2| import rwkv_pb2)/rwkvd_client.v1\1/' \
    "$scratch"/rwkv/v1/*_grpc.py*
  mkdir -p "$package/v1"
  touch "$package/v1/__init__.py"
  mv "$scratch"/rwkv/v1/* "$package/v1"
  rm -f "$out"/rwkvd_client-*.whl
  quietly /usr/bin/python3 -m pip wheel --quiet --no-build-isolation --no-deps \
    --no-index --disable-pip-version-check --wheel-dir "$out" "$work"
}

make_node() {
  local work=$scratch/node bin=$cache/node_modules/.bin
  copy_sources node "$work"
  sed -i "s/\"version\": \"0.0.0\"/\"version\": \"$version\"/" \
    "$work/package.json"
  mkdir -p "$work/proto"
  cp -r proto/rwkv third_party/google_rpc/google "$work/proto"
  find "$work/proto" -type f ! -name '*.proto' -delete
  ln -s "$cache/node_modules" "$work/node_modules"
  quietly "$bin/proto-loader-gen-types" --keepCase --longs=String \
    --enums=String --defaults --oneofs --includeComments \
    --grpcLib=@grpc/grpc-js -I "$work/proto" -O "$work/types" \
    rwkv/v1/rwkv.proto
  (cd "$work" && quietly "$bin/tsc" --declaration --emitDeclarationOnly --skipLibCheck \
    --target es2022 --module node16 --types node types/rwkv.ts)
  find "$work/types" -name '*.ts' ! -name '*.d.ts' -delete
  rm -f "$out"/rwkvd-client-*.tgz
  (cd "$work" && quietly npm pack --offline --ignore-scripts \
    --pack-destination "$out")
}

make_go() {
  local work=$scratch/go
  copy_sources go "$work"
  quietly protoc -I proto --go_out="$work" --go-grpc_out="$work" \
    --go{,-grpc}_opt=Mrwkv/v1/rwkv.proto=rwkvd-client/rwkv \
    --go{,-grpc}_opt=module=rwkvd-client rwkv/v1/rwkv.proto
  (cd "$work" && GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath" GOPROXY=off \
    GOMODCACHE=$cache/go/modules GOCACHE=$cache/go/build CGO_ENABLED=0 \
    quietly go vet ./...)
  rm -rf "$out/go"
  cp -r "$work" "$out/go"
}

make_python &
python=$!
make_node &
node=$!
make_go
wait "$python"
wait "$node"
echo "clients of version $version are in $out"
