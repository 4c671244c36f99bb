#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a Python test with Debian's Python and grpcio, and the stubs that this
# build generates.
set -euo pipefail

root=$PWD # the runfiles of this repository
own=$root/$(dirname "$1")
export PYTHONPATH=$root/proto:$root/third_party/grpc_health:$root/tests/integration:$root/tests/edge:$own
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 -m unittest -v "$(basename "$1" .py)"
