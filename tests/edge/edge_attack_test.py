# SPDX-License-Identifier: Apache-2.0
"""Attacks on rwkvd through the proxy of deploy/edge, and some without it: others
are served as before, and memory stays bounded."""

import hashlib
import os
import tempfile
import unittest

import attacks
from answers import Answer, generate, request
from attack_run import AttackRun
from metrics import gauge
from nginx_process import nginx
from rwkvd_process import PATIENCE, rwkvd, wait_until

# Far above what was measured, since the attacker, the proxy, the server and the
# clients of this test share two cores with other tests.
MAX_HEALTH_SECONDS = 5
MAX_SERVER_GROWTH_MIB = 384
MAX_PROXY_GROWTH_MIB = 192
MAX_LOG_BYTES = 100_000

HONEST_ADDRESS = "127.0.0.1"
CLOSED = 'rwkv_connections_closed_total{reason="messages"}'
UNFINISHED = "rwkv_unfinished_message_bytes"


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


class DirectAttackTest(unittest.TestCase):
    """Attacks that fill gRPC's memory, without a proxy."""

    @classmethod
    def setUpClass(cls):
        # With little memory, so that it is full soon on a busy machine.
        server = rwkvd("--log_level=info", "--max_prompt_tokens=1000",
                       "--memory_limit=256")
        cls.server = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        answer = generate(cls.server.stub, request())
        cls.expected = answer.ids, answer.bytes

    def check(self, name, **options):
        run = AttackRun(name, self.server.address, self.expected, self.server,
                        seconds=4, **options)
        print(f"{name}: {run.summary()}")
        self.assertEqual(run.problems, [])
        self.assertEqual(run.interruptions, [])
        self.assertGreater(run.answers, 0)
        self.assertLess(run.worst_health, MAX_HEALTH_SECONDS)
        self.assertLess(run.server_growth_mib, MAX_SERVER_GROWTH_MIB)
        wait_until(lambda: gauge(self.server, UNFINISHED) == 0,
                   "the end of unfinished messages")
        return run

    def check_half_sent_messages(self, **options):
        closed = gauge(self.server, CLOSED)
        run = self.check("half_sent_messages", **options)
        self.assertGreater(gauge(self.server, CLOSED), closed)
        self.assertIn("closed a connection: the client sent unfinished "
                      "messages", self.server.log())
        return run

    def test_half_sent_messages_do_not_interrupt_large_requests(self):
        run = self.check_half_sent_messages(uploads=True)
        self.assertGreater(run.uploads, 0)

    def test_half_sent_messages_do_not_harm_others_of_their_address(self):
        self.check_half_sent_messages(source=HONEST_ADDRESS)

    def test_unread_messages_do_not_harm_others(self):
        self.check("unread_messages")


class WrongTokenTest(unittest.TestCase):
    """Somebody who guesses tokens, as fast as possible."""

    def test_wrong_tokens_do_not_harm_others(self):
        token = "of an honest client"
        digest = hashlib.sha256(token.encode()).hexdigest()
        metadata = (("authorization", f"Bearer {token}"),)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokens")
            with open(path, "w") as file:
                file.write(f"alice sha256:{digest} roles=infer,score\n")
            os.chmod(path, 0o600)
            with rwkvd("--log_level=info", f"--auth_tokens={path}") as server:
                answer = Answer(server.stub.Generate(request(),
                                                     metadata=metadata))
                run = AttackRun("wrong_tokens", server.address,
                                (answer.ids, answer.bytes), server,
                                metadata=metadata)
                print(f"wrong_tokens: {run.summary()}")
                self.check(run, server)

    def check(self, run, server):
        self.assertEqual(run.problems, [])
        self.assertEqual(run.interruptions, [])
        self.assertGreater(run.answers, 0)
        self.assertLess(run.worst_health, MAX_HEALTH_SECONDS)
        self.assertLess(run.server_growth_mib, MAX_SERVER_GROWTH_MIB)
        # In two seconds. The server looks at some of them, and closes the
        # connections of the others.
        self.assertGreater(run.counts["calls"], 10_000)
        refused = gauge(server, 'rwkv_auth_refusals_total{reason="unknown"}')
        print(f"refused calls: {refused:.0f}")
        self.assertGreater(refused, 500)
        self.assertLess(len(server.log()), MAX_LOG_BYTES)


class CountedAttacker(attacks.Attacker):
    """Ends when the server has closed a number of its connections."""

    NUM_CLOSED = 300

    def over(self):
        closed = self.counts["closed by the server"]
        return closed >= self.NUM_CLOSED or super().over()


class MissedEndsTest(unittest.TestCase):

    def test_calls_that_grpc_loses_count_of_keep_nobody_out(self):
        # gRPC misses the end of one call on each of these connections. The
        # server allows 2 + 256 open calls.
        with rwkvd("--memory_limit=64MiB", "--max_running=1",
                   "--max_queued=1") as server:
            attacker = CountedAttacker(server.address, PATIENCE)
            attacks.header_bomb(attacker)
            self.assertEqual(attacker.counts["closed by the server"],
                             CountedAttacker.NUM_CLOSED)
            answer = generate(server.stub, request(max_tokens=5))
            self.assertEqual(len(answer.ids), 5)


def add_test(name):
    setattr(EdgeAttackTest, f"test_{name}_does_not_harm_others",
            lambda self: self.check(name, self.proxy))


for attack in attacks.ATTACKS:
    add_test(attack)


if __name__ == "__main__":
    unittest.main()
