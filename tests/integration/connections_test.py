# SPDX-License-Identifier: Apache-2.0
"""Connections to a real rwkvd: descriptors, limits, addresses, and what gRPC
refuses."""

import os
import queue
import signal
import socket
import subprocess
import tempfile
import unittest

import grpc
import health_pb2
from answers import generate, request
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, RWKVCTL, Health, rwkvd, wait_until
from startup import assert_refuses

REFUSED = 'rwkv_connections_refused_total{reason="%s"}'


def is_closed(connection):
    """Waits for bytes or the end of a connection."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


class ConnectionsTest(unittest.TestCase):

    def start(self, *flags, **options):
        manager = rwkvd(*flags, **options)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def connect(self, server, source="127.0.0.1"):
        """A connection from an address, to which the limits of a peer apply."""
        host, port = server.address.rsplit(":", 1)
        connection = socket.create_connection(
            (host, int(port)), timeout=PATIENCE, source_address=(source, 0))
        self.addCleanup(connection.close)
        return connection

    def new_health(self, address):
        """A client with a connection of its own."""
        channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return Health(channel)

    def assert_serves(self, address):
        watch = self.new_health(address).watch()
        self.assertEqual(next(watch).status,
                         health_pb2.HealthCheckResponse.SERVING)
        watch.cancel()

    # Descriptors.

    def test_soft_limit_of_descriptors_is_raised(self):
        server = self.start(prefix=["prlimit", "--nofile=100:200"])
        self.assertEqual(gauge(server, "process_max_fds"), 200)
        self.assertEqual(gauge(server, "rwkv_connections_max"), 100)

    def test_accepts_again_after_descriptors_ran_out(self):
        server = self.start()
        # Of the numbers that are allowed, at most a few are free.
        used = os.listdir(f"/proc/{server.process.pid}/fd")
        self.limit_descriptors(server, max(map(int, used)) + 1)
        held = []
        while not held or not is_closed(held[-1]):
            held.append(self.connect(server))
        self.assertTrue(is_closed(self.connect(server)))
        self.limit_descriptors(server, 1000)
        self.assert_serves(server.address)
        self.assertGreaterEqual(gauge(server, REFUSED % "descriptors"), 2)
        self.assertIn("refused a connection: Too many open files",
                      server.log())

    def limit_descriptors(self, server, number):
        subprocess.run(["prlimit", f"--pid={server.process.pid}",
                        f"--nofile={number}:"], check=True)

    def test_accepts_again_after_idle_connections_took_all(self):
        server = self.start(prefix=["prlimit", "--nofile=64"])
        held = [self.connect(server, f"127.0.0.{2 + i}") for i in range(100)]
        wait_until(
            lambda: gauge(server, REFUSED % "max_connections") >= 60,
            "connections to be refused")
        self.assertLessEqual(gauge(server, "rwkv_connections"), 32)
        for connection in held:
            connection.close()
        self.assert_serves(server.address)
        wait_until(lambda: gauge(server, "rwkv_connections") <= 2,
                   "the end of the connections to be noticed")

    # Limits.

    def test_connections_of_one_peer_are_limited(self):
        server = self.start("--max_connections_per_peer=3")
        held = [self.connect(server, "127.0.0.2") for _ in range(3)]
        surplus = self.connect(server, "127.0.0.2")
        self.assertTrue(is_closed(surplus))
        self.assertEqual(gauge(server, REFUSED % "max_connections_per_peer"),
                         1)
        self.assertIn("one peer has 3 (--max_connections_per_peer)",
                      server.log())
        self.assert_serves(server.address)
        held.pop().close()
        # Until the server has noticed that, it refuses a further one.
        wait_until(
            lambda: self.starts_http2(self.connect(server, "127.0.0.2")),
            "a further connection to be accepted")

    def starts_http2(self, connection):
        """Whether the server answers; a refused connection is closed."""
        try:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                               bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        except OSError:
            return False
        return not is_closed(connection)

    def test_all_connections_are_limited(self):
        server = self.start("--max_connections=4")
        held = [self.connect(server, f"127.0.0.{i}") for i in range(2, 5)]
        self.assertTrue(is_closed(self.connect(server, "127.0.0.9")))
        self.assertEqual(gauge(server, REFUSED % "max_connections"), 1)
        # Those that were accepted are served.
        self.assertEqual(
            len(generate(server.stub, request(max_tokens=3)).ids), 3)
        self.assertEqual(len(held), 3)

    def test_more_connections_than_descriptors_are_refused_at_start(self):
        limit = subprocess.run(["prlimit", "--nofile", "--noheadings",
                                "--output=HARD"], stdout=subprocess.PIPE,
                               text=True, check=True).stdout.strip()
        if int(limit) > 1 << 20:
            self.skipTest("the limit of descriptors is too large")
        assert_refuses(self, [f"--model={MODEL}",
                              f"--max_connections={limit}"],
                       "--max_connections", limit)

    def test_streams_of_a_connection_are_limited(self):
        server = self.start("--max_streams_per_connection=7")
        connection = self.connect(server)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                           bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        settings = self.read_frame(connection)[9:]
        pairs = {settings[i:i + 2]: settings[i + 2:i + 6]
                 for i in range(0, len(settings), 6)}
        # SETTINGS_MAX_CONCURRENT_STREAMS
        self.assertEqual(pairs[bytes([0, 3])], bytes([0, 0, 0, 7]))

    def read_frame(self, connection):
        frame = b""
        size = 9
        while len(frame) < size:
            frame += connection.recv(size - len(frame))
            if len(frame) >= 9:
                size = 9 + int.from_bytes(frame[:3], "big")
        return frame

    def test_compressed_messages_are_refused(self):
        server = self.start()
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with self.assertRaises(grpc.RpcError) as caught:
                server.stub.Tokenize(pb.TokenizeRequest(text="a" * 100000),
                                     compression=compression,
                                     timeout=PATIENCE)
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.UNIMPLEMENTED)
            self.assertIn("compress", caught.exception.details().lower())

    # Addresses.

    def new_path(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return os.path.join(folder.name, "rwkvd.sock")

    def test_second_server_does_not_take_a_unix_socket(self):
        path = self.new_path()
        first = self.start(f"--listen=unix:{path}")
        assert_refuses(self, [f"--model={MODEL}", f"--listen=unix:{path}"],
                       f"--listen: cannot listen at unix:{path}: "
                       "another process listens there")
        self.assert_serves(f"unix:{path}")
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)
        self.assertEqual(os.listdir(os.path.dirname(path)), [])

    def test_unix_socket_of_a_killed_server_is_replaced(self):
        path = self.new_path()
        first = self.start(f"--listen=unix:{path}")
        first.signal(signal.SIGKILL)
        first.wait()
        first.channel.close()  # the next would share its broken connection
        self.assertTrue(os.path.exists(path))
        self.start(f"--listen=unix:{path}")

    def test_errors_give_the_reason(self):
        for address, reason in (
                ("unix:", "the path is empty"),
                ("unix:/" + "x" * 200, "at most 107 fit"),
                ("unix:/no/such/folder/s", "No such file or directory"),
                ("192.0.2.1:1", "Cannot assign requested address")):
            assert_refuses(self, [f"--model={MODEL}", f"--listen={address}"],
                           "--listen", address, reason)

    # Clients.

    def test_rwkvctl_does_not_use_a_proxy_on_this_host(self):
        path = self.new_path()
        servers = (self.start(), self.start(f"--listen=unix:{path}"))
        for server in servers:
            for name in ("http_proxy", "https_proxy", "grpc_proxy"):
                result = subprocess.run(
                    [RWKVCTL, "health", f"--server={server.address}",
                     f"--timeout={PATIENCE}s"],
                    env={**os.environ, name: "http://127.0.0.1:9"},
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True, timeout=PATIENCE, check=False)
                self.assertEqual(result.returncode, 0, result.stdout)

    def test_idle_reflection_streams_take_no_threads(self):
        server = self.start()
        before = self.num_threads(server)
        for name in ("v1", "v1alpha"):
            call = server.channel.stream_stream(
                f"/grpc.reflection.{name}.ServerReflection/"
                "ServerReflectionInfo")
            for _ in range(20):
                requests = queue.Queue()
                self.addCleanup(requests.put, None)
                requests.put(b"\x3a\x00")  # list_services: ""
                stream = call(iter(requests.get, None), timeout=PATIENCE)
                self.assertIn(b"rwkv.v1.RwkvService", next(stream))
        self.assertLess(self.num_threads(server), before + 10)

    def num_threads(self, server):
        return len(os.listdir(f"/proc/{server.process.pid}/task"))


if __name__ == "__main__":
    unittest.main()
