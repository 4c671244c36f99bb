# SPDX-License-Identifier: Apache-2.0
"""Identities with TLS, with real peers: grpcio, grpcurl and rwkvctl."""

import os
import subprocess
import tempfile
import unittest

import grpc
from certificates import Authority
from grpcurl import find_grpcurl
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd, wait_until
from tokens import bearer, new_token, write_tokens


class AuthTlsTest(unittest.TestCase):
    """Identities by the names in client certificates, and by tokens."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.authority = Authority(folder.name)
        issue = cls.authority.issue
        cls.server_pair = issue("server")
        cls.gateway = issue(
            "gateway", "URI:spiffe://example.org/gateway,DNS:batch.example")
        cls.batch = issue("batch", "DNS:other.example,DNS:batch.example")
        cls.old = issue("old", "DNS:other.example")
        cls.nobody = issue("nobody", "DNS:nobody.example")
        cls.alice, line = new_token("alice", "--roles=infer,pins")
        cls.token_file = os.path.join(folder.name, "alice.token")
        with open(cls.token_file, "w", encoding="utf-8") as file:
            file.write(cls.alice + "\n")
        cls.lines = ["gateway uri:spiffe://example.org/gateway roles=pins",
                     "batch dns:batch.example roles=pins",
                     "old cn:old roles=pins", line]
        cls.tokens_file = os.path.join(folder.name, "tokens")
        write_tokens(cls.tokens_file, *cls.lines)
        cls.mutual = f"--tls_client_ca={cls.authority.cert}"
        cls.tokens = f"--auth_tokens={cls.tokens_file}"
        cls.server = cls.start(cls.mutual, cls.tokens)

    @classmethod
    def start(cls, *flags):
        cert, key = cls.server_pair
        manager = rwkvd(f"--tls_cert={cert}", f"--tls_key={key}", *flags,
                        credentials=cls.credentials(cls.nobody))
        server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return server

    @classmethod
    def credentials(cls, pair):
        texts = []
        for path in (cls.authority.cert, pair[1], pair[0]):
            with open(path, "rb") as file:
                texts.append(file.read())
        return grpc.ssl_channel_credentials(*texts)

    def stub(self, pair, server=None):
        """A stub with a new connection, with this certificate."""
        channel = grpc.secure_channel(
            (server or self.server).address, self.credentials(pair),
            options=[("grpc.use_local_subchannel_pool", 1)])
        self.addCleanup(channel.close)
        return rwkv_pb2_grpc.RwkvServiceStub(channel)

    def code(self, stub, token=None):
        try:
            stub.ListPinnedPrefixes(
                pb.ListPinnedPrefixesRequest(), timeout=PATIENCE,
                metadata=bearer(token) if token else ())
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def assert_caller(self, identity, pair, token=None):
        """A call with these credentials is counted as one of `identity`."""
        name = f'rwkv_identity_calls_total{{identity="{identity}"}}'
        before = gauge(self.server, name)
        self.assertEqual(self.code(self.stub(pair), token),
                         grpc.StatusCode.OK)
        wait_until(lambda: gauge(self.server, name) == before + 1,
                   f"the call of {identity}")

    def test_name_in_the_certificate_proves_the_identity(self):
        self.assert_caller("gateway", self.gateway)  # its URI comes first
        self.assert_caller("batch", self.batch)
        self.assert_caller("old", self.old)
        self.assertEqual(self.code(self.stub(self.nobody)),
                         grpc.StatusCode.UNAUTHENTICATED)

    def test_token_decides_whatever_the_certificate_is(self):
        self.assert_caller("alice", self.nobody, self.alice)
        self.assert_caller("alice", self.batch, self.alice)
        self.assertEqual(self.code(self.stub(self.batch), "rwkvd_wrong"),
                         grpc.StatusCode.UNAUTHENTICATED)

    def test_removed_name_is_refused_on_an_open_connection(self):
        stub = self.stub(self.batch)
        self.assertEqual(self.code(stub), grpc.StatusCode.OK)
        write_tokens(self.tokens_file, *[line for line in self.lines
                                         if not line.startswith("batch ")])
        try:
            wait_until(
                lambda: self.code(stub) == grpc.StatusCode.UNAUTHENTICATED,
                "the removal of batch")
        finally:
            write_tokens(self.tokens_file, *self.lines)
        wait_until(lambda: self.code(stub) == grpc.StatusCode.OK,
                   "the return of batch")

    def test_certificate_that_is_not_verified_proves_nothing(self):
        server = self.start(self.tokens)  # without --tls_client_ca
        stub = self.stub(self.batch, server)
        self.assertEqual(self.code(stub), grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(self.code(stub, self.alice), grpc.StatusCode.OK)

    def test_tools_send_a_token_through_tls(self):
        cert, key = self.nobody

        def run(*words):
            return subprocess.run(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, timeout=PATIENCE, check=False)

        flags = [f"--server={self.server.address}",
                 f"--tls_ca={self.authority.cert}", f"--tls_cert={cert}",
                 f"--tls_key={key}"]
        self.assertIn("CREDENTIAL_UNKNOWN",
                      run(RWKVCTL, "pins", *flags).stdout)
        done = run(RWKVCTL, "pins", *flags, f"--token_file={self.token_file}")
        self.assertEqual(done.returncode, 0, done.stdout)
        done = run(find_grpcurl(), "-cacert", self.authority.cert, "-cert",
                   cert, "-key", key, "-H",
                   f"authorization: Bearer {self.alice}", self.server.address,
                   "rwkv.v1.RwkvService/ListPinnedPrefixes")
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_without_a_token_file_each_name_has_pins_of_its_own(self):
        server = self.start(self.mutual)
        batch, other = (self.stub(pair, server)
                        for pair in (self.batch, self.nobody))
        list(batch.Generate(
            pb.GenerateRequest(prompt=pb.Input(text="rules"), max_tokens=1,
                               pin=pb.Pin(name="rules")), timeout=PATIENCE))

        def pins(stub):
            answer = stub.ListPinnedPrefixes(pb.ListPinnedPrefixesRequest(),
                                             timeout=PATIENCE)
            return [prefix.name for prefix in answer.prefixes]

        self.assertEqual(pins(batch), ["rules"])
        self.assertEqual(pins(other), [])


if __name__ == "__main__":
    unittest.main()
