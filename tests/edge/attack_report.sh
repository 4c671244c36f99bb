#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs attack_report.py with the stubs that this build generates.
set -euo pipefail

export PYTHONPATH=$PWD/proto:$PWD/third_party/grpc_health:$PWD/tests/integration:$PWD/tests/edge
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/edge/attack_report.py "$@"
