# SPDX-License-Identifier: Apache-2.0
"""Tokens and files of identities, for tests of --auth_tokens."""

import os
import subprocess

from rwkvd_process import PATIENCE, RWKVCTL


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def write_tokens(path, *lines):
    """Replaces the file of identities by one with these lines."""
    draft = path + ".draft"
    with open(draft, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    os.chmod(draft, 0o600)
    os.rename(draft, path)


def new_token(name, *flags):
    """A token and its line, made by rwkvctl."""
    result = subprocess.run([RWKVCTL, "auth", "new", name, *flags], check=True,
                            stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
    token, line = result.stdout.splitlines()
    return token, line
