# SPDX-License-Identifier: Apache-2.0
"""A rolling restart, as running clients see it: servers behind one DNS name,
clients of grpcio and grpc-go that balance by round_robin and do not retry. One
server ends, and later another one appears."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from checkpoints import write_endless_model
from dns_server import DnsServer
from ending_client import ENDLESS, SHORT
from rwkvd_process import PATIENCE, Rwkvd, wait_until

NAME = "rwkvd.test"
FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
MAX_AGE = 2  # seconds
MIN_CALLS = 1000  # short calls of each client
# No client may wait longer than this for its next answer, in seconds; an outage
# of this kind took 6 s and more.
MAX_GAP = 4


def find_go_client():
    """The path in RWKVD_GO_CLIENT, or ending-client in PATH."""
    return shutil.which(os.environ.get("RWKVD_GO_CLIENT", "ending-client"))


def free_port():
    """A port that is free at all addresses. The system chooses none of these
    for other processes."""
    while True:
        port = random.randrange(20000, 30000)
        with contextlib.ExitStack() as stack:
            try:
                for address in (FIRST, SECOND, THIRD):
                    probe = stack.enter_context(socket.socket())
                    probe.bind((address, port))
                return port
            except OSError:
                continue


class Client:
    """A running client, and the results that it has printed."""

    def __init__(self, *command):
        self.calls = []  # appended by the thread
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            self.calls.append(json.loads(line))

    def short(self):
        return [call for call in self.calls if call["kind"] == "short"]

    def endless(self):
        return [call for call in self.calls if call["kind"] == "endless"]

    def close(self):
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._process.stdout.close()


class EndingTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.model = write_endless_model(folder.name)

    def start_server(self, address, *flags):
        server = Rwkvd(f"--listen={address}:{self.port}",
                       f"--model_name={address}", "--threads=1",
                       f"--max_connection_age={MAX_AGE}s",
                       "--drain_grace=3s", *flags, model=self.model)
        self.addCleanup(server.close)
        return server

    def start_clients(self, target):
        go_client = find_go_client()
        self.assertIsNotNone(go_client, "ending-client is not installed "
                             "(tools/install_dependencies.sh does that)")
        requests = [message.SerializeToString().hex()
                    for message in (SHORT, ENDLESS)]
        script = os.path.join(os.path.dirname(__file__), "ending_client.py")
        clients = {"grpcio": Client(sys.executable, script, target),
                   "grpc-go": Client(go_client, target, *requests)}
        for client in clients.values():
            self.addCleanup(client.close)
        return clients

    def wait_for_more_calls(self, clients, number):
        """Waits until each client has finished `number` more short calls."""
        ends = {name: len(client.short()) + number
                for name, client in clients.items()}
        wait_until(lambda: all(len(client.short()) >= ends[name]
                               for name, client in clients.items()),
                   f"{number} calls of each client")

    def wait_for_share(self, clients, address):
        """Waits until the server answers a share of each client's calls."""
        def has_share(client):
            servers = [call["server"] for call in client.short()[-200:]]
            served = sum(server.startswith(address) for server in servers)
            return served >= 0.3 * sum(server != "" for server in servers) > 0
        wait_until(lambda: all(map(has_share, clients.values())),
                   f"calls to {address}")

    def start_dns(self, *addresses):
        self.port = free_port()
        dns = DnsServer(NAME, addresses)
        self.addCleanup(dns.close)
        return dns, f"dns://{dns.address}/{NAME}:{self.port}"

    def test_clients_lose_no_call_and_find_a_new_server(self):
        dns, target = self.start_dns(FIRST, SECOND)
        ending = self.start_server(FIRST, "--lame_duck=100ms")
        self.start_server(SECOND)
        clients = self.start_clients(target)
        for address in (FIRST, SECOND):
            self.wait_for_share(clients, address)

        ending.signal()
        self.wait_for_more_calls(clients, 200)
        self.assertEqual(ending.wait(), 0)

        self.start_server(THIRD)
        dns.addresses = [SECOND, THIRD]
        self.wait_for_share(clients, THIRD)
        wait_until(lambda: all(len(client.short()) >= MIN_CALLS
                               for client in clients.values()), "all calls")
        for name, client in clients.items():
            with self.subTest(client=name):
                self.check_calls(client)

    def test_clients_find_an_added_server_though_no_connection_breaks(self):
        dns, target = self.start_dns(FIRST)
        self.start_server(FIRST)
        clients = self.start_clients(target)
        self.wait_for_share(clients, FIRST)
        self.start_server(SECOND)
        dns.addresses = [FIRST, SECOND]
        self.wait_for_share(clients, SECOND)
        for name, client in clients.items():
            with self.subTest(client=name):
                self.check_calls(client)

    def check_calls(self, client):
        short = client.short()
        self.assertEqual([call for call in short if call["code"] != "OK"], [])
        ends = [call["end"] for call in short]
        gap = max(after - before for before, after in zip(ends, ends[1:]))
        print(f"{len(short)} short calls, the longest gap took {gap:.2f} s")
        self.assertLess(gap, MAX_GAP)
        # Endless streams of the first server end after its grace period, and say
        # why. The others continue.
        endless = {(call["code"].upper(), call["message"])
                   for call in client.endless()}
        self.assertLessEqual(endless, {("UNAVAILABLE",
                                        "the server is shutting down")})


if __name__ == "__main__":
    unittest.main()
