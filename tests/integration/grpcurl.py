# SPDX-License-Identifier: Apache-2.0
"""Finds the real grpcurl."""

import os
import shutil


def find_grpcurl():
    """The path in RWKVD_GRPCURL, or grpcurl in PATH or in the folder of Go.
    Fails if there is none."""
    named = os.environ.get("RWKVD_GRPCURL", "grpcurl")
    go_path = os.path.expanduser("~/go/bin")
    found = shutil.which(named) or shutil.which("grpcurl", path=go_path)
    assert found, ("grpcurl is not installed "
                   "(tools/install_dependencies.sh does that)")
    return found
