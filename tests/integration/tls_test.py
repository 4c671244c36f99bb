# SPDX-License-Identifier: Apache-2.0
"""TLS of a real rwkvd with real peers: grpcio, grpcurl, openssl and rwkvctl."""

import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import grpc
import health_pb2
from certificates import Authority
from grpcurl import find_grpcurl
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import (MODEL, PATIENCE, RWKVCTL, Health, rwkvd, wait_until)
from startup import assert_refuses

PREFACE = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
           bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
# The beginning of a ClientHello, which announces 512 bytes.
HALF_CLIENT_HELLO = bytes([22, 3, 1, 2, 0, 1, 0])
SERVING = health_pb2.HealthCheckResponse.SERVING
PAST = {"begin": "200101000000Z", "end": "210101000000Z"}
FUTURE = {"begin": "400101000000Z", "end": "410101000000Z"}


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def code_of(channel):
    """The status code of a call."""
    with channel:
        stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
        try:
            stub.Tokenize(pb.TokenizeRequest(text="x"), timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


class TlsTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.authority = Authority(self.folder, "ca")
        self.stranger = Authority(self.folder, "stranger")
        self.server_pair = self.authority.issue("server")
        self.client_pair = self.authority.issue("client", "DNS:client")

    def credentials(self, pair=None, ca=None):
        cert, key = pair or (None, None)
        return grpc.ssl_channel_credentials(
            contents(ca or self.authority.cert), key and contents(key),
            cert and contents(cert))

    def flags(self, pair=None, client_ca=True):
        cert, key = pair or self.server_pair
        result = [f"--tls_cert={cert}", f"--tls_key={key}"]
        if client_ca:
            result.append(f"--tls_client_ca={self.authority.cert}")
        return result

    def start(self, *flags, credentials=None, **options):
        manager = rwkvd(*flags, credentials=credentials, **options)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def start_tls(self, *flags, client_ca=True, **options):
        return self.start(
            *self.flags(client_ca=client_ca), *flags,
            credentials=self.credentials(self.client_pair), **options)

    def code(self, address, pair=None, ca=None):
        """The status code of a call over a new connection."""
        return code_of(grpc.secure_channel(
            address, self.credentials(pair, ca),
            options=[("grpc.use_local_subchannel_pool", 1)]))

    def connect(self, address, source="127.0.0.1"):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection(
            (host, int(port)), timeout=PATIENCE, source_address=(source, 0))
        self.addCleanup(connection.close)
        return connection

    def connect_tls(self, address):
        context = ssl.create_default_context(cafile=self.authority.cert)
        context.load_cert_chain(*self.client_pair)
        context.set_alpn_protocols(["h2"])
        connection = context.wrap_socket(self.connect(address),
                                         server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    def s_client(self, address, *arguments, commands=""):
        """What openssl s_client prints until the server or its standard input
        ends the connection."""
        cert, key = self.client_pair
        return subprocess.run(
            ["openssl", "s_client", "-connect", address, "-cert", cert, "-key",
             key, "-CAfile", self.authority.cert, "-alpn", "h2", *arguments],
            input=commands.encode(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PATIENCE,
            check=False).stdout.decode(errors="replace")

    def rwkvctl(self, *arguments):
        return subprocess.run(
            [RWKVCTL, *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False)

    # Peers.

    def test_clients_with_a_certificate_are_served(self):
        server = self.start_tls()
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)
        cert, key = self.client_pair
        result = subprocess.run(
            [find_grpcurl(), "-cacert", self.authority.cert, "-cert", cert,
             "-key", key, "-d", '{"text": "x"}', server.address,
             "rwkv.v1.RwkvService/Tokenize"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, result.stdout)
        result = self.rwkvctl(
            "generate", f"--server={server.address}",
            f"--tls_ca={self.authority.cert}", f"--tls_cert={cert}",
            f"--tls_key={key}", "--max_tokens=3", "In the")
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_clients_without_a_valid_certificate_are_refused(self):
        server = self.start_tls()
        issue = self.authority.issue
        for name, pair in {
                "none": None,
                "of another authority": self.stranger.issue("other"),
                "expired": issue("expired", **PAST),
                "not yet valid": issue("early", **FUTURE),
                "for servers only": issue("purpose", purposes="serverAuth"),
        }.items():
            self.assertEqual(self.code(server.address, pair),
                             grpc.StatusCode.UNAVAILABLE, name)
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)
        self.assertNotIn("PRIVATE KEY", server.log())

    def test_clients_refuse_a_wrong_server(self):
        pair = self.authority.issue("named", "DNS:rwkvd.example")
        with rwkvd(*self.flags(pair, client_ca=False),
                   credentials=self.credentials(),
                   server_name="rwkvd.example") as server:
            target = [f"--server={server.address}",
                      f"--tls_ca={self.authority.cert}"]
            result = self.rwkvctl("model", *target)
            self.assertEqual(result.returncode, 1, result.stdout)
            result = self.rwkvctl("model", "--tls_server_name=rwkvd.example",
                                  *target)
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertEqual(self.code(server.address),
                             grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(self.code(server.address, ca=self.stranger.cert),
                             grpc.StatusCode.UNAVAILABLE)

    def test_flags_of_rwkvctl_must_fit_together(self):
        cert, key = self.client_pair
        for flags, reason in (
                ([f"--tls_cert={cert}"], "belong together"),
                ([f"--tls_cert={cert}", f"--tls_key={key}"], "need --tls_ca"),
                (["--tls_ca=/absent"], "cannot read")):
            result = self.rwkvctl("model", *flags)
            self.assertEqual(result.returncode, 2, result.stdout)
            self.assertIn(reason, result.stdout)

    def test_commands_of_the_deployment_guide_make_mutual_tls(self):
        with open("deploy/README.md", encoding="utf-8") as file:
            commands = [line for line in file
                        if line.startswith("    openssl ")]
        self.assertEqual(len(commands), 5)
        subprocess.run(["bash", "-e"], input="".join(commands), text=True,
                       cwd=self.folder, check=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
        ca, server_cert, server_key, client_cert, client_key = (
            os.path.join(self.folder, name)
            for name in ("ca.crt", "server.crt", "server.key", "client.crt",
                         "client.key"))
        with rwkvd(f"--tls_cert={server_cert}", f"--tls_key={server_key}",
                   f"--tls_client_ca={ca}", server_name="rwkvd",
                   credentials=self.credentials((client_cert, client_key),
                                                ca)) as server:
            target = [f"--server={server.address}", f"--tls_ca={ca}",
                      "--tls_server_name=rwkvd"]
            result = self.rwkvctl("health", *target,
                                  f"--tls_cert={client_cert}",
                                  f"--tls_key={client_key}")
            self.assertEqual(result.returncode, 0, result.stdout)
            # The server's own certificate is not for clients.
            result = self.rwkvctl("health", *target, "--timeout=10s",
                                  f"--tls_cert={server_cert}",
                                  f"--tls_key={server_key}")
            self.assertEqual(result.returncode, 1, result.stdout)

    # The protocol.

    def test_old_versions_and_ciphers_are_refused(self):
        address = self.start_tls().address
        weak = ("-cipher", "ALL:@SECLEVEL=0")
        for arguments, expected in (
                (("-tls1_3",), "New, TLSv1.3"),
                (("-tls1_2",), "New, TLSv1.2"),
                (("-tls1_1", *weak), "(NONE)"),
                (("-tls1", *weak), "(NONE)"),
                (("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:"
                  "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"), "(NONE)")):
            output = self.s_client(address, *arguments)
            self.assertIn(expected, output, arguments)

    def test_downgrade_is_refused(self):
        address = self.start_tls().address
        # As if somebody had removed version 1.3 from a ClientHello that is sent
        # once more (RFC 7507).
        output = self.s_client(address, "-tls1_2", "-fallback_scsv")
        self.assertIn("(NONE)", output)

    def test_renegotiation_is_refused(self):
        address = self.start_tls().address
        cert, key = self.client_pair
        process = subprocess.Popen(
            ["openssl", "s_client", "-connect", address, "-cert", cert, "-key",
             key, "-tls1_2", "-alpn", "h2", "-msg"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        process.stdin.write(b"R\n")
        process.stdin.flush()
        # Until the server closes the connection, since HTTP/2 does not begin.
        output = process.stdout.read().decode(errors="replace")
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=PATIENCE)
        self.assertEqual(output.count("ClientHello"), 2, output)
        self.assertEqual(output.count("ServerHello\n"), 1, output)

    def test_plain_text_and_tls_do_not_mix(self):
        tls, plain = self.start_tls(), self.start()
        self.assertEqual(code_of(grpc.insecure_channel(tls.address)),
                         grpc.StatusCode.UNAVAILABLE)
        connection = self.connect(tls.address)
        connection.sendall(PREFACE)
        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(self.code(plain.address), grpc.StatusCode.UNAVAILABLE)
        result = self.rwkvctl("model", f"--server={plain.address}",
                              f"--tls_ca={self.authority.cert}",
                              "--timeout=10s")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(
            code_of(grpc.insecure_channel(plain.address)), grpc.StatusCode.OK)

    def test_half_handshakes_are_bounded_and_end(self):
        server = self.start_tls("--max_connections_per_peer=20")
        held = []
        for i in range(60):
            held.append(self.connect(server.address, "127.0.0.2"))
            if i % 2:
                held[-1].sendall(HALF_CLIENT_HELLO)
        refused = ('rwkv_connections_refused_total{'
                   'reason="max_connections_per_peer"}')
        wait_until(lambda: gauge(server, refused) == 40, "refused connections")
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)
        for connection in held:  # gRPC gives up after ten seconds
            try:
                self.assertEqual(connection.recv(1), b"")
            except ConnectionResetError:
                pass
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)

    def test_abuses_of_http2_within_tls_are_noticed(self):
        server = self.start_tls()
        connection = self.connect_tls(server.address)
        connection.sendall(PREFACE + bytes([0, 0, 0, 4, 1, 0, 0, 0, 0]))
        fields = b"".join(
            bytes([0, len(name)]) + name + bytes([len(value)]) + value
            for name, value in ((b":method", b"POST"), (b":scheme", b"https"),
                                (b":path", b"/a/b"), (b":authority", b"x"),
                                (b"te", b"trailers"),
                                (b"content-type", b"application/grpc")))
        stream = 1
        try:
            while True:
                frames = b""
                # Many at a time: more than 500 a second are abuse.
                for _ in range(200):
                    number = stream.to_bytes(4, "big")
                    frames += (len(fields).to_bytes(3, "big") + b"\1\4" +
                               number + fields + b"\0\0\4\3\0" + number +
                               bytes(4))
                    stream += 2
                connection.sendall(frames)
        except OSError:
            pass
        # Calls that are reset before they have ended are bounded, too. Which of
        # the limits is exceeded first depends on how fast the server ends them.
        wait_until(
            lambda: sum(gauge(server, 'rwkv_connections_closed_total{'
                              f'reason="{reason}"}}')
                        for reason in ("resets", "calls")) == 1,
            "the abuse to be counted")
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)

    # Files.

    def test_bad_files_are_refused_at_start(self):
        cert, key = self.server_pair
        other = self.authority.issue("other")
        expired = self.authority.issue("expired", **PAST)
        early = self.authority.issue("early", **FUTURE)
        for flags, words in (
                ((f"--tls_cert={cert}",), ("--tls_cert", "needs --tls_key")),
                ((f"--tls_client_ca={cert}",), ("--tls_client_ca", "needs")),
                (self.flags((cert, "/absent")), ("--tls_key", "No such file")),
                (self.flags((cert, other[1])),
                 ("--tls_key", "does not belong")),
                (self.flags((key, key)), ("--tls_cert", "no certificate")),
                (self.flags(expired), ("--tls_cert", "expired")),
                (self.flags(early), ("--tls_cert", "not valid before"))):
            assert_refuses(self, [f"--model={MODEL}", *flags], *words)

    def test_new_files_are_used_and_bad_ones_are_not(self):
        server = self.start_tls()
        left = gauge(server, "rwkv_tls_certificate_left_seconds")
        self.assertTrue(29 * 86400 < left <= 30 * 86400, left)
        self.assertEqual(gauge(server, "rwkv_tls_reload_failed"), 0)
        cert, key = self.server_pair
        with open(key, "w") as file:
            file.write("damaged\n")
        server.signal(signal.SIGHUP)
        wait_until(lambda: gauge(server, "rwkv_tls_reload_failed") == 1,
                   "the bad key to be noticed")
        self.assertIn("the last good files stay in use", server.log())
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.OK)
        new_cert, new_key = self.stranger.issue("next")
        shutil.copy(new_cert, cert)
        shutil.copy(new_key, key)
        server.signal(signal.SIGHUP)
        wait_until(lambda: gauge(server, "rwkv_tls_reload_failed") == 0,
                   "the new files to be used")
        self.assertEqual(self.code(server.address, self.client_pair),
                         grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(
            self.code(server.address, self.client_pair, self.stranger.cert),
            grpc.StatusCode.OK)
        # A connection that was open before still is.
        server.stub.Tokenize(pb.TokenizeRequest(text="x"), timeout=PATIENCE)

    def test_authority_that_is_removed_admits_nobody(self):
        server = self.start_tls()
        shutil.copy(self.stranger.cert, self.authority.cert + ".new")
        trusted = self.credentials(self.client_pair)
        os.rename(self.authority.cert + ".new", self.authority.cert)
        server.signal(signal.SIGHUP)
        wait_until(lambda: "new files are in use" in server.log(), "a reload")
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.assertEqual(
            code_of(grpc.secure_channel(server.address, trusted, options)),
            grpc.StatusCode.UNAVAILABLE)

    def core_limit(self, server):
        """The size that a core of the process may have."""
        with open(f"/proc/{server.process.pid}/limits") as file:
            (line,) = [line for line in file if "core file" in line]
        return line.split()[4]

    def test_sessions_are_resumed_until_the_authority_is_removed(self):
        server = self.start_tls()
        session = os.path.join(self.folder, "session")
        self.s_client(server.address, "-tls1_2", "-sess_out", session)
        output = self.s_client(server.address, "-tls1_2", "-sess_in", session)
        self.assertIn("Reused, TLSv1.2", output)
        shutil.copy(self.stranger.cert, self.authority.cert + ".new")
        os.rename(self.authority.cert + ".new", self.authority.cert)
        server.signal(signal.SIGHUP)
        wait_until(lambda: "new files are in use" in server.log(), "a reload")
        output = self.s_client(server.address, "-tls1_2", "-sess_in", session)
        self.assertIn("New, TLSv1.2", output)

    def test_no_core_is_dumped(self):
        prefix = ["prlimit", "--core=1048576:"]
        plain = self.start(prefix=prefix)
        self.assertEqual(self.core_limit(plain), "1048576")
        token = os.path.join(self.folder, "token")
        with open(token, "w") as file:
            file.write("0123456789abcdef\n")
        identities = os.path.join(self.folder, "identities")
        with open(identities, "w") as file:
            file.write(f"alice sha256:{'0' * 64} roles=infer\n")
        os.chmod(identities, 0o600)
        for server in (self.start_tls(prefix=prefix),
                       self.start(f"--auth_tokens={identities}",
                                  prefix=prefix),
                       self.start(f"--metrics_token_file={token}",
                                  prefix=prefix)):
            self.assertEqual(self.core_limit(server), "0")
            self.assertFalse(server.crash())

    # Addresses.

    def test_other_hosts_need_tls_or_insecure(self):
        assert_refuses(self, [f"--model={MODEL}", "--listen=0.0.0.0:0"],
                       "--listen: other hosts can reach 0.0.0.0:0",
                       "--tls_cert", "--insecure")
        assert_refuses(self, [f"--model={MODEL}", "--listen=[::]:0"],
                       "--insecure")
        self.start("--listen=localhost:0")
        server = self.start("--listen=0.0.0.0:0", "--insecure")
        self.assertEqual(code_of(grpc.insecure_channel(server.address)),
                         grpc.StatusCode.OK)

    def test_unix_sockets_have_the_given_mode(self):
        path = os.path.join(self.folder, "s")
        with rwkvd(f"--listen=unix:{path}", "--unix_socket_mode=0660"):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
        for mode in ("0999", "rw", "07777", "-1"):
            assert_refuses(self, [f"--model={MODEL}",
                                  f"--unix_socket_mode={mode}"],
                           "--unix_socket_mode", mode)

    def test_health_is_served_without_tls_at_its_own_address(self):
        server = self.start_tls("--health_listen=127.0.0.1:0", "--channelz")
        channel = grpc.insecure_channel(server.health_address)
        self.addCleanup(channel.close)
        self.assertEqual(Health(channel).check(), SERVING)
        for method in ("rwkv.v1.RwkvService/Tokenize",
                       "rwkv.v1.RwkvService/Generate",
                       "grpc.channelz.v1.Channelz/GetServers",
                       "grpc.reflection.v1.ServerReflection/"
                       "ServerReflectionInfo"):
            with self.assertRaises(grpc.RpcError) as caught:
                list(channel.unary_stream(f"/{method}")(b"", timeout=PATIENCE))
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.UNIMPLEMENTED, method)
        # One peer cannot keep the node's probes out.
        held = [self.connect(server.health_address, "127.0.0.2")
                for _ in range(40)]
        refused = 0
        for connection in held[16:]:
            try:
                refused += connection.recv(1) == b""
            except ConnectionResetError:
                refused += 1
        self.assertEqual(refused, 24)
        self.assertEqual(Health(channel).check(), SERVING)

    # Metrics.

    def get_metrics(self, server, scheme="https", token=None):
        """The status code and the page."""
        request = urllib.request.Request(
            f"{scheme}://{server.metrics_address}/metrics")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        context = ssl.create_default_context(cafile=self.authority.cert)
        try:
            with urllib.request.urlopen(
                    request, timeout=PATIENCE,
                    context=context if scheme == "https" else None) as page:
                return page.status, page.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def test_metrics_have_tls_and_a_token(self):
        path = os.path.join(self.folder, "token")
        token = "0123456789abcdef"
        with open(path, "w") as file:
            file.write(token + "\n")
        server = self.start_tls("--metrics_tls", f"--metrics_token_file={path}")
        self.assertEqual(self.get_metrics(server)[0], 401)
        for wrong in (token[:-1], token + "0", token.upper()):
            self.assertEqual(self.get_metrics(server, token=wrong)[0], 401)
        code, page = self.get_metrics(server, token=token)
        self.assertEqual(code, 200)
        self.assertIn(b"rwkv_tls_certificate_left_seconds", page)
        with self.assertRaises((OSError, urllib.error.URLError)):
            self.get_metrics(server, "http", token)
        output = self.s_client(server.metrics_address, "-tls1_1", "-cipher",
                               "ALL:@SECLEVEL=0")
        self.assertIn("(NONE)", output)
        # A new token and a new certificate.
        with open(path, "w") as file:
            file.write("f" * 16)
        for new, old in zip(self.authority.issue("next"), self.server_pair):
            shutil.copy(new, old)
        server.signal(signal.SIGHUP)

        def accepts_the_new_token():
            try:
                return self.get_metrics(server, token="f" * 16)[0] == 200
            except OSError:  # a connection of before, which the new keys end
                return False
        wait_until(accepts_the_new_token, "the new token")
        self.assertEqual(self.get_metrics(server, token=token)[0], 401)
        self.assertNotIn(token, server.log())

    def test_half_handshakes_do_not_delay_scrapes(self):
        server = self.start_tls("--metrics_tls")
        for i in range(100):
            connection = self.connect(server.metrics_address, "127.0.0.2")
            if i % 2:
                connection.sendall(HALF_CLIENT_HELLO)
        self.assertEqual(self.get_metrics(server)[0], 200)

    def test_bad_access_to_metrics_is_refused_at_start(self):
        path = os.path.join(self.folder, "token")
        with open(path, "w") as file:
            file.write("short\n")
        assert_refuses(self, [f"--model={MODEL}", "--metrics_tls"],
                       "--metrics_tls", "needs --tls_cert")
        assert_refuses(self, [f"--model={MODEL}", "--metrics_listen=127.0.0.1:0",
                              f"--metrics_token_file={path}"],
                       "--metrics_token_file", "16")


if __name__ == "__main__":
    unittest.main()
