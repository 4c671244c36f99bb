#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a test for ARM64 in an emulator (qemu-user), once on a processor without
# dot products, and once on one with all instructions. The second run leaves out
# the cases for plain NEON: their code is that of the first run.
#
#   tools/run_on_aarch64.sh PROGRAM [ARGUMENTS]
set -euo pipefail

echo "on the processor cortex-a72:"
qemu-aarch64 -cpu cortex-a72 "$@"
echo "on the processor max:"
qemu-aarch64 -cpu max "$@" --gtest_filter='-*/NEON'
