# SPDX-License-Identifier: Apache-2.0
"""Attacks on rwkvd through the proxy of deploy/edge: others are served as
before, and memory stays bounded."""

import os
import tempfile
import unittest

import attacks
from answers import generate, request
from attack_run import AttackRun
from nginx_process import nginx
from rwkvd_process import rwkvd

# Far above what was measured, since the attacker, the proxy, the server and the
# clients of this test share two cores with other tests.
MAX_HEALTH_SECONDS = 5
MAX_SERVER_GROWTH_MIB = 384
MAX_PROXY_GROWTH_MIB = 192
MAX_LOG_BYTES = 100_000

# gRPC ends calls, of any client, when half-sent messages fill its memory
# (docs/security.md).
MAY_INTERRUPT = ("half_sent_messages",)


class EdgeAttackTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        # Not in the test's own folder, whose name may be too long for a socket.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        cls.addClassCleanup(folder.cleanup)
        cls.socket = os.path.join(folder.name, "rwkvd.sock")
        server = rwkvd(f"--listen=unix:{cls.socket}", "--log_level=info")
        cls.server = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        proxy = nginx(cls.socket)
        cls.proxy = proxy.__enter__()
        cls.addClassCleanup(proxy.__exit__, None, None, None)
        answer = generate(cls.server.stub, request())
        cls.expected = answer.ids, answer.bytes

    def check(self, name, proxy):
        run = AttackRun(name, proxy.address, self.expected, self.server, proxy)
        print(f"{name}: {run.summary()}")
        self.assertEqual(run.problems, [])
        if name not in MAY_INTERRUPT:
            self.assertEqual(run.interruptions, [])
        self.assertGreater(run.answers, 0)
        self.assertLess(run.worst_health, MAX_HEALTH_SECONDS)
        self.assertLess(run.server_growth_mib, MAX_SERVER_GROWTH_MIB)
        self.assertLess(run.proxy_growth_mib, MAX_PROXY_GROWTH_MIB)
        self.assertGreater(run.counts["connections"], 0)
        self.assertIsNone(self.server.process.poll(), self.server.log())
        self.assertIsNone(proxy.process.poll(), proxy.log())
        # A flood must not fill the disk.
        self.assertLess(len(proxy.log()), MAX_LOG_BYTES, proxy.log()[-1000:])

    def test_connections_that_run_out_do_not_harm_others(self):
        # All clients together get fewer than the attacker opens.
        changes = {"worker_connections 8192": "worker_connections 200"}
        for name in ("idle_connections", "half_sent_headers"):
            with nginx(self.socket, changes) as proxy:
                self.check(name, proxy)


def add_test(name):
    setattr(EdgeAttackTest, f"test_{name}_does_not_harm_others",
            lambda self: self.check(name, self.proxy))


for attack in attacks.ATTACKS:
    add_test(attack)


if __name__ == "__main__":
    unittest.main()
