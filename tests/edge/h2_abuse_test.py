# SPDX-License-Identifier: Apache-2.0
"""A client that follows the rules of HTTP/2, but wants to do harm, and one that
does not: the server answers health checks in time, and its memory stays within
its limit."""

import os
import unittest

import h2_abuses
from answers import generate, request
from attack_run import AttackRun, memory_mib
from metrics import gauge
from rwkvd_process import rwkvd, wait_until

MAX_HEALTH_SECONDS = 1
MEMORY_MIB = 256


class H2AbuseTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        server = rwkvd("--log_level=info", "--max_prompt_tokens=1000",
                       f"--memory_limit={MEMORY_MIB}MiB")
        cls.server = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        answer = generate(cls.server.stub, request())
        cls.expected = answer.ids, answer.bytes

    def run_abuse(self, name):
        """What the abuser counts. Checks what others notice."""
        run = AttackRun(name, self.server.address, self.expected, self.server,
                        seconds=3, program=os.path.abspath(h2_abuses.__file__))
        print(f"{name}: {run.summary()}")
        self.assertEqual(run.problems, [])
        self.assertEqual(run.interruptions, [])
        self.assertGreater(run.answers, 0)
        self.assertLess(run.worst_health, MAX_HEALTH_SECONDS)
        self.assertLess(run.server_growth_mib, MEMORY_MIB)
        if "ASAN_OPTIONS" not in os.environ:  # which has memory of its own
            self.assertLess(memory_mib(self.server.process.pid, "VmHWM"),
                            MEMORY_MIB)
        wait_until(lambda: gauge(self.server, "rwkv_connections") <= 1,
                   "the end of the abuser's connections")
        return run.counts

    def test_unread_answers_are_bounded(self):
        self.assertGreater(self.run_abuse("unread_answers")["calls"], 50)

    def test_resets_at_an_allowed_rate_are_served(self):
        counts = self.run_abuse("resets")
        self.assertGreater(counts["resets"], 100)
        self.assertEqual(counts.get("closed by the server", 0), 0)

    def test_half_sent_messages_are_bounded(self):
        self.assertGreater(self.run_abuse("half_sent_messages")["bytes"], 0)

    def test_streams_without_messages_are_bounded(self):
        counts = self.run_abuse("many_streams")
        self.assertGreaterEqual(counts["streams"], 100)
        self.assertNotIn("surplus streams", counts)

    def test_ping_flood_ends_its_connection(self):
        counts = self.run_abuse("pings")
        self.assertGreater(counts["closed by the server"], 0)

    def test_headers_within_the_limit_are_accepted(self):
        counts = self.run_abuse("large_headers")
        self.assertGreater(counts["answers with status 0"], 10)
        self.assertNotIn("closed by the server", counts)


if __name__ == "__main__":
    unittest.main()
