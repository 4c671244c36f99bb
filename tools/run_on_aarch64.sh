#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a program for ARM64 in an emulator (qemu-user), once on a processor with
# all instructions, and once on one without dot products.
#
#   tools/run_on_aarch64.sh PROGRAM [ARGUMENTS]
set -euo pipefail

for processor in max cortex-a72; do
  echo "on the processor $processor:"
  qemu-aarch64 -cpu "$processor" "$@"
done
