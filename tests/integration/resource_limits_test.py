# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd that gets too little memory, too few threads or descriptors, or
no /proc, either serves, or ends with one line and an exit code; it never aborts
with a stack trace."""

import os
import resource
import signal
import subprocess
import tempfile
import unittest

from checkpoints import write_endless_model
from rwkvd_process import PATIENCE, RWKVD, wait_until

MIB = 1 << 20


class ResourceLimitsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = write_endless_model(self.folder)

    def start(self, *flags, prefix=(), limit=None):
        """Starts rwkvd with `limit`, a resource and its value, and ends it once
        it serves. `prefix` is a command that executes the program. Returns its
        exit code and what it wrote to the standard error."""
        def set_limit():
            if limit is not None:
                resource.setrlimit(limit[0], (limit[1], limit[1]))

        log = os.path.join(self.folder, "log")
        with open(log, "w") as out, \
                subprocess.Popen(
                    [*prefix, RWKVD, f"--model={self.model}",
                     "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                     *flags],
                    stdout=out, stderr=subprocess.PIPE, text=True,
                    preexec_fn=set_limit) as process:
            def decided():
                with open(log) as file:
                    return "serving" in file.read() or \
                        process.poll() is not None
            wait_until(decided, "rwkvd to serve or to end")
            process.send_signal(signal.SIGTERM)
            error = process.communicate(timeout=PATIENCE)[1]
        return process.returncode, error

    def assert_serves_or_says_why(self, kind, limit, *flags):
        code, error = self.start(*flags, limit=(kind, limit))
        with self.subTest(limit=limit, flags=flags):
            self.assertIn(code, (0, 1), error)
            self.assertNotIn("    @ ", error)  # a stack trace
            self.assertNotIn("terminate called", error)
            if code == 1:
                self.assertTrue(error.splitlines()[-1].startswith("rwkvd: "),
                                error)
        return code, error

    def test_little_memory(self):
        codes = {self.assert_serves_or_says_why(
            resource.RLIMIT_AS, mib * MIB)[0]
            for mib in (*range(56, 240, 24), 2048)}
        self.assertEqual(codes, {0, 1})

    def test_refused_threads(self):
        code, error = self.assert_serves_or_says_why(
            resource.RLIMIT_AS, 4096 * MIB, "--threads=1024")
        self.assertEqual(code, 1)
        self.assertIn("cannot start 1024 compute threads: Resource temporarily "
                      "unavailable", error)

    def test_few_descriptors(self):
        for limit in (8, 16, 63):
            code, error = self.assert_serves_or_says_why(
                resource.RLIMIT_NOFILE, limit)
            self.assertEqual(code, 1)
            self.assertIn(f"the limit of open files is {limit}", error)
        self.assert_serves_or_says_why(resource.RLIMIT_NOFILE, 64)

    def test_missing_proc(self):
        # A mount namespace of its own, in which an empty file system hides it.
        hide = ["unshare", "--map-root-user", "--mount", "sh", "-c",
                'mount -t tmpfs none /proc && exec "$@"', "sh"]
        if subprocess.run([*hide, "true"], stderr=subprocess.DEVNULL,
                          check=False).returncode != 0:
            self.skipTest("this process may not mount anything")
        code, error = self.start(prefix=hide)
        self.assertEqual(code, 0, error)
        self.assertEqual(error, "")


if __name__ == "__main__":
    unittest.main()
