# SPDX-License-Identifier: Apache-2.0
"""Checks the error of a real rwkvd that cannot start."""

import subprocess

from rwkvd_process import PATIENCE, RWKVD


def assert_refuses(test, arguments, *words):
    """Starts rwkvd, and expects one line with these words on the standard
    error, and the exit code 1."""
    result = subprocess.run(
        [RWKVD, "--listen=127.0.0.1:0", "--metrics_listen=", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=PATIENCE, check=False)
    test.assertEqual(result.returncode, 1, result.stderr)
    lines = result.stderr.splitlines()
    test.assertEqual(len(lines), 1, result.stderr)
    test.assertTrue(lines[0].startswith("rwkvd: "), lines[0])
    for word in words:
        test.assertIn(word, lines[0])
