#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a Python test with Debian's Python and grpcio, the stubs that this build
# generates, and the modules that tools/install_dependencies.sh has installed.
set -euo pipefail

root=$PWD # the runfiles of this repository
checkout=$(realpath "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../..")
modules=$checkout/.cache/python
own=$root/$(dirname "$1")
export PYTHONPATH=$root/proto:$root/third_party/grpc_health:$root/third_party/google_rpc:$root/tests/integration:$root/tests/edge:$own:$modules
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m unittest -v "$(basename "$1" .py)"
