#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a program for ARM64 in an emulator (qemu-user), on two processors after
# one another: one that has all instructions, and one without dot products.
#
#   tools/run_on_aarch64.sh PROGRAM [ARGUMENTS]
set -euo pipefail

for processor in max cortex-a72; do
  echo "on the processor $processor:"
  qemu-aarch64 -cpu "$processor" "$@"
done
