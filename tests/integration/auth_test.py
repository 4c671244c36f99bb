# SPDX-License-Identifier: Apache-2.0
"""Identities and roles, with real peers: Python's grpcio, grpcurl, rwkvctl."""

import contextlib
import functools
import json
import math
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

import grpc
from error_details import reason_of
from grpcurl import find_grpcurl
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import MODEL, PATIENCE, RWKVCTL, RWKVD, rwkvd, wait_until
from tokens import bearer, new_token, write_tokens

# Attempts to guess a token, as fast as the client can.
WRONG_TOKENS = 10_000


class AuthTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.tokens_file = os.path.join(folder.name, "tokens")
        cls.token_file = os.path.join(folder.name, "alice.token")
        cls.alice, cls.line = new_token("alice", "--roles=infer,metrics")
        with open(cls.token_file, "w", encoding="utf-8") as file:
            file.write(cls.alice + "\n")
        cls.write_tokens(cls.line)
        manager = rwkvd(f"--auth_tokens={cls.tokens_file}")
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    @classmethod
    def write_tokens(cls, *lines):
        write_tokens(cls.tokens_file, *lines)

    def code_of(self, token, method="GetModel", server=None):
        call = getattr((server or self.server).stub, method)
        request = getattr(pb, method + "Request")()
        try:
            call(request, timeout=PATIENCE,
                 metadata=bearer(token) if token else ())
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def scrape(self):
        url = f"http://{self.server.metrics_address}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return response.read().decode()

    def test_token_of_rwkvctl_is_recognizable_and_its_line_has_the_digest(self):
        self.assertRegex(self.alice, r"\Arwkvd_[A-Za-z0-9_-]{43}\Z")
        self.assertRegex(
            self.line, r"\Aalice sha256:[0-9a-f]{64} roles=infer,metrics\Z")
        digest = subprocess.run(["sha256sum"], input=self.alice.encode(),
                                stdout=subprocess.PIPE, check=True).stdout
        self.assertIn(digest.decode().split()[0], self.line)
        self.assertNotEqual(new_token("alice")[0], self.alice)

    def test_rwkvctl_makes_no_line_that_the_server_refuses(self):
        for words, error in (
                ((), "auth takes: new NAME"), (("new",), "auth takes"),
                (("new", "Alice"), "expected a name"),
                (("new", "a b"), "expected a name"),
                (("new", "a" * 64), "expected a name"),
                (("new", "a", "--roles=infer score"), "--roles: expected")):
            result = subprocess.run(
                [RWKVCTL, "auth", *words], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                check=False)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(error, result.stderr)

    def test_further_token_of_an_identity_is_valid_next_to_the_first(self):
        second, line = new_token("alice", "--roles=")
        self.write_tokens(self.line, line)
        try:
            wait_until(lambda: self.code_of(second) == grpc.StatusCode.OK,
                       "the second token")
            self.assertEqual(self.code_of(self.alice), grpc.StatusCode.OK)
        finally:
            self.write_tokens(self.line)

    def test_calls_need_the_token_and_the_role(self):
        self.assertEqual(self.code_of(self.alice), grpc.StatusCode.OK)
        self.assertEqual(self.code_of(""), grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(self.code_of(self.alice[:-1]),
                         grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(self.code_of(self.alice, "ListPinnedPrefixes"),
                         grpc.StatusCode.PERMISSION_DENIED)
        self.assertEqual(self.server.health.check(), 1)  # SERVING

    def test_rwkvctl_sends_its_token(self):
        def run(*flags):
            return subprocess.run(
                [RWKVCTL, "generate", f"--server={self.server.address}",
                 "--max_tokens=3", *flags, "Hello"], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                check=False)

        self.assertEqual(run(f"--token_file={self.token_file}").returncode, 0)
        refused = run()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("CREDENTIAL_MISSING", refused.stderr)
        missing = run("--token_file=/none")
        self.assertEqual(missing.returncode, 2)
        self.assertIn("cannot open /none", missing.stderr)

    def test_grpcurl_needs_a_token_for_reflection_too(self):
        grpcurl = find_grpcurl()

        def run(*words):
            return subprocess.run(
                [grpcurl, "-plaintext", *words], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, timeout=PATIENCE,
                check=False)

        header = ("-H", f"authorization: Bearer {self.alice}")
        listed = run(*header, self.server.address, "list")
        self.assertIn("rwkv.v1.RwkvService", listed.stdout)
        answer = run(*header, self.server.address,
                     "rwkv.v1.RwkvService/GetServerInfo")
        self.assertIn("version", json.loads(answer.stdout))
        refused = run(self.server.address, "list")
        self.assertNotEqual(refused.returncode, 0)
        self.assertNotIn("rwkv.v1.RwkvService", refused.stdout)

    def test_removed_token_is_refused_after_a_reload(self):
        bob, line = new_token("bob", "--roles=infer")
        self.write_tokens(self.line, line)
        wait_until(lambda: self.code_of(bob) == grpc.StatusCode.OK,
                   "the token of bob")
        self.write_tokens(self.line)
        self.server.signal(signal.SIGHUP)
        wait_until(
            lambda: self.code_of(bob) == grpc.StatusCode.UNAUTHENTICATED,
            "the removal of bob")
        self.assertEqual(self.code_of(self.alice), grpc.StatusCode.OK)

    def test_bad_file_keeps_the_last_good_copy(self):
        self.write_tokens(self.line, "bob nothing")
        try:
            wait_until(
                lambda: gauge(self.server, "rwkv_auth_file_current") == 0,
                "the failure of the reload")
            # The line comes after the metric.
            wait_until(lambda: f"{self.tokens_file}:2: credential: expected"
                       in self.server.log(), "the line in the log")
            self.assertEqual(self.code_of(self.alice), grpc.StatusCode.OK)
        finally:
            self.write_tokens(self.line)
        wait_until(lambda: gauge(self.server, "rwkv_auth_file_current") == 1,
                   "the good file")

    def test_file_behind_links_is_followed(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = functools.partial(os.path.join, folder.name)

        def publish(version, *lines):
            """As kubelet replaces the files of a secret."""
            os.mkdir(path(version))
            write_tokens(path(version, "tokens"), *lines)
            os.chmod(path(version, "tokens"), 0o440)
            os.symlink(version, path("..data_tmp"))
            os.rename(path("..data_tmp"), path("..data"))

        publish("1", self.line)
        os.symlink("..data/tokens", path("tokens"))
        bob, line = new_token("bob", "--roles=infer")
        with rwkvd(f"--auth_tokens={path('tokens')}") as server:
            self.assertEqual(self.code_of(bob, server=server),
                             grpc.StatusCode.UNAUTHENTICATED)
            publish("2", self.line, line)
            wait_until(lambda: self.code_of(bob, server=server) ==
                       grpc.StatusCode.OK, "the token of bob")

    def test_many_wrong_tokens_do_not_keep_others_out(self):
        def attempt(number):
            self.code_of(f"rwkvd_{number}")

        def attack(begin):
            channel = grpc.insecure_channel(
                self.server.address,
                options=[("grpc.use_local_subchannel_pool", 1)])
            stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
            calls = [stub.GetModel.future(pb.GetModelRequest(),
                                          timeout=PATIENCE,
                                          metadata=bearer(f"rwkvd_{i}"))
                     for i in range(begin, begin + WRONG_TOKENS // 4)]
            codes.extend(call.code() for call in calls)
            channel.close()

        codes = []
        ticks = os.sysconf("SC_CLK_TCK")

        def processor_seconds():
            with open(f"/proc/{self.server.process.pid}/stat",
                      encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / ticks

        attempt(0)
        used = processor_seconds()
        threads = [threading.Thread(target=attack, args=(i,))
                   for i in range(0, WRONG_TOKENS, WRONG_TOKENS // 4)]
        for thread in threads:
            thread.start()
        slowest = 0
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            self.assertEqual(self.code_of(self.alice), grpc.StatusCode.OK)
            slowest = max(slowest, time.monotonic() - began)
        for thread in threads:
            thread.join()
        used = processor_seconds() - used
        self.assertEqual(set(codes), {grpc.StatusCode.UNAUTHENTICATED})
        # Less than a millisecond for each call, and no call of others
        # waits for those of the attacker for long, in the same Python process.
        self.assertLess(used, WRONG_TOKENS * 0.001)
        self.assertLess(slowest, 20)
        self.assertLess(self.server.log().count("refused a call"), 10)

    def test_secrets_are_in_no_log_metric_or_error(self):
        secret = "rwkvd_misplaced-secret-of-nobody-0123456789abcdef"
        errors = []
        for token in (secret, self.alice):
            try:
                self.server.stub.ListPinnedPrefixes(
                    pb.ListPinnedPrefixesRequest(), metadata=bearer(token),
                    timeout=PATIENCE)
            except grpc.RpcError as error:
                errors.append(error.details() + str(error.trailing_metadata()))
        self.assertEqual(len(errors), 2)
        failure = ":2: credential: expected sha256: and 64 digits"
        failures = self.server.log().count(failure)
        self.write_tokens(self.line, f"bob {secret} roles=infer")
        try:
            wait_until(
                lambda: self.server.log().count(failure) == failures + 1,
                "the failure of the reload")
        finally:
            self.write_tokens(self.line)
        digest = self.line.split()[1][len("sha256:"):]
        for text in (self.server.log(), self.scrape(), *errors):
            for word in (secret, self.alice, digest):
                self.assertNotIn(word, text)

    def test_start_fails_without_a_good_file(self):
        path = self.tokens_file + ".bad"
        for text, error in (("alice x roles=infer\n", ":1: credential"),
                            (None, "cannot open")):
            if text is not None:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                os.chmod(path, 0o600)
            result = subprocess.run(
                [RWKVD, f"--model={MODEL}", "--listen=127.0.0.1:0",
                 "--metrics_listen=", f"--auth_tokens={path}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                timeout=PATIENCE, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("--auth_tokens: ", result.stderr)
            self.assertIn(error, result.stderr)
            if os.path.exists(path):
                os.remove(path)

    def test_log_warns_of_tokens_that_the_network_can_read(self):
        with rwkvd(f"--auth_tokens={self.tokens_file}", "--listen=0.0.0.0:0",
                   "--insecure") as server:
            self.assertIn("--auth_tokens without TLS", server.log())
        self.assertNotIn("without TLS", self.server.log())  # on loopback

    def test_channelz_needs_the_role_admin(self):
        admin, line = new_token("admin", "--roles=admin")
        path = self.tokens_file + ".channelz"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{self.line}\n{line}\n")
        os.chmod(path, 0o600)
        with rwkvd("--channelz", f"--auth_tokens={path}") as server:
            get_servers = server.channel.unary_unary(
                "/grpc.channelz.v1.Channelz/GetServers")
            for metadata, code in (
                    ((), grpc.StatusCode.UNAUTHENTICATED),
                    (bearer(self.alice), grpc.StatusCode.PERMISSION_DENIED)):
                with self.assertRaises(grpc.RpcError) as caught:
                    get_servers(b"", timeout=PATIENCE, metadata=metadata)
                self.assertEqual(caught.exception.code(), code)
            self.assertTrue(get_servers(b"", timeout=PATIENCE,
                                        metadata=bearer(admin)))


def rank_sum_z(first, second):
    """How many standard deviations the sum of the ranks of `first` among all
    values is from that of equal distributions (Wilcoxon, Mann and Whitney)."""
    ranked = sorted([(value, 0) for value in first] +
                    [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(first), len(second)
    mean = n * (n + m + 1) / 2
    return (ranks - mean) / math.sqrt(n * m * (n + m + 1) / 12)


class IsolationTest(unittest.TestCase):
    """What identities learn of one another's prompts by timing."""

    # More is not due to chance: it happens once in 15,000 runs.
    MOST_DEVIATIONS = 4
    # What the difference between a state that exists and one that does not is
    # at least; 5 to 10 were measured.
    LEAST_DEVIATIONS = 3
    PAIRS = 60
    HANDLE_PAIRS = 1000  # the differences are small

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        path = os.path.join(folder.name, "tokens")
        cls.alice, alices = new_token("alice", "--roles=infer,states")
        cls.bob, bobs = new_token("bob", "--roles=infer,states")
        write_tokens(path, alices, bobs)
        manager = rwkvd(f"--auth_tokens={path}")
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    def first_token_seconds(self, server, token, prompt):
        began = time.monotonic()
        request = pb.GenerateRequest(prompt=pb.Input(text=prompt), max_tokens=1)
        responses = server.stub.Generate(request, metadata=bearer(token),
                                         timeout=PATIENCE)
        next(responses)
        took = time.monotonic() - began
        for _ in responses:
            pass
        return took

    def save(self, token):
        """The handle of a new state."""
        *_, last = self.server.stub.Generate(
            pb.GenerateRequest(
                prompt=pb.Input(text="In the"), max_tokens=1,
                return_state=pb.ReturnState(at_end=True, as_handle=True)),
            metadata=bearer(token), timeout=PATIENCE)
        return last.finish.state.handle

    def seconds_of_get(self, token, handle, exists=False):
        """How long it takes to learn whether there is such a state."""
        began = time.monotonic()
        call = self.server.stub.GetState(
            pb.GetStateRequest(handle=handle), metadata=bearer(token),
            timeout=PATIENCE)
        with contextlib.suppress(grpc.RpcError):
            list(call)
        took = time.monotonic() - began
        self.assertEqual(call.code(), grpc.StatusCode.OK if exists else
                         grpc.StatusCode.NOT_FOUND)
        return took

    def test_handle_of_another_identity_takes_as_long_as_one_of_nobody(self):
        handle = self.save(self.alice)
        # Another random part, and the same time at which it expires.
        absent = handle[31::-1] + handle[32:]
        self.assertNotEqual(handle, absent)
        of_alice, of_nobody, own = [], [], []
        for pair in range(self.HANDLE_PAIRS):
            for which in (0, 1) if pair % 2 else (1, 0):
                (of_nobody if which else of_alice).append(self.seconds_of_get(
                    self.bob, absent if which else handle))
            own.append(self.seconds_of_get(self.alice, handle, exists=True))
        self.assertLess(abs(rank_sum_z(of_alice, of_nobody)),
                        self.MOST_DEVIATIONS)
        # The same test sees that alice finds her state.
        self.assertGreater(rank_sum_z(own, of_nobody), self.LEAST_DEVIATIONS)

    def test_prompt_of_another_identity_is_as_slow_as_a_new_one(self):
        server, alice, bob = self.server, self.alice, self.bob
        random_ = random.Random(1)

        def new_prompt():
            return "".join(random_.choices("abcdefghij ", k=1500))

        of_alice, new, known = [], [], []
        for pair in range(self.PAIRS):
            prompt = new_prompt()
            self.first_token_seconds(server, alice, prompt)
            # In turns, so that a slow moment does not hit one kind alone.
            for which in (0, 1) if pair % 2 else (1, 0):
                if which == 0:
                    of_alice.append(
                        self.first_token_seconds(server, bob, prompt))
                else:
                    new.append(
                        self.first_token_seconds(server, bob, new_prompt()))
            known.append(self.first_token_seconds(server, alice, prompt))
        self.assertLess(abs(rank_sum_z(of_alice, new)), self.MOST_DEVIATIONS)
        # The same test sees that a prompt of one's own is known.
        self.assertGreater(abs(rank_sum_z(known, new)), self.MOST_DEVIATIONS)


class UsageTest(unittest.TestCase):
    """Quotas, metrics and the log of usage."""

    def test_quota_has_a_retry_time_and_usage_has_a_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokens")
            log = os.path.join(folder, "usage")
            alice, line = new_token("alice", "--roles=infer")
            write_tokens(path, line + " prompt_tokens_per_minute=5")
            with rwkvd(f"--auth_tokens={path}",
                       f"--usage_log={log}") as server:
                self.use(server, alice)
                self.rotate(server, alice, log)

    def test_quotas_of_bytes_refuse_what_never_fits(self):
        tokens, lines = zip(
            new_token("alice", "--roles=infer"),
            new_token("bob", "--roles=infer"),
            new_token("carol", "--roles=infer"))
        large = pb.GenerateRequest(
            prompt=pb.Input(tokens=pb.TokenIds(ids=[1] * 5000)),
            max_tokens=0, echo_top_logprobs=32)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tokens")
            write_tokens(path, lines[0] + " message_bytes=10000",
                         lines[1] + " unread_bytes=1000000", lines[2])
            with rwkvd(f"--auth_tokens={path}") as server:
                answers = [self.refusal(server, token, large)
                           for token in tokens]
                small = pb.GenerateRequest(prompt=pb.Input(text="a"),
                                           max_tokens=1)
                for token in tokens:
                    self.assertIsNone(self.refusal(server, token, small))
        self.assertEqual(answers, ["MESSAGE_EXCEEDS_MEMORY",
                                   "RESPONSE_EXCEEDS_MEMORY", None])

    def refusal(self, server, token, request):
        """The reason for which a Generate request is refused, if it is."""
        try:
            for _ in server.stub.Generate(request, metadata=bearer(token),
                                          timeout=PATIENCE):
                pass
            return None
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            return reason_of(error)

    def call(self, server, token):
        request = pb.TokenizeRequest(text="secret")
        server.stub.Tokenize(request, metadata=bearer(token), timeout=PATIENCE)

    def use(self, server, token):
        request = pb.GenerateRequest(
            prompt=pb.Input(text="secret words of a prompt"), max_tokens=2)
        list(server.stub.Generate(request, metadata=bearer(token),
                                  timeout=PATIENCE))
        with self.assertRaises(grpc.RpcError) as refused:
            list(server.stub.Generate(request, metadata=bearer(token),
                                      timeout=PATIENCE))
        error = refused.exception
        self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        pushback = dict(error.trailing_metadata())["grpc-retry-pushback-ms"]
        self.assertGreater(int(pushback), 0)
        wait_until(
            lambda: gauge(server,
                          'rwkv_identity_calls_total{identity="alice"}') == 2,
            "the end of the calls")
        self.assertEqual(
            gauge(server, 'rwkv_identity_refusals_total{identity="alice"}'), 1)
        self.assertEqual(
            gauge(server,
                  'rwkv_identity_generated_tokens_total{identity="alice"}'), 2)

    def rotate(self, server, token, log):
        os.rename(log, log + ".1")
        server.signal(signal.SIGHUP)
        # The file is opened anew when the next line is written.
        wait_until(lambda: "SIGHUP" in server.log(), "the log of SIGHUP")
        self.call(server, token)
        wait_until(lambda: os.path.exists(log) and os.path.getsize(log) > 0,
                   "the new file")
        with open(log + ".1", encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn("secret", text)
        calls = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([call["status"] for call in calls],
                         ["OK", "RESOURCE_EXHAUSTED"])
        self.assertEqual(calls[0]["identity"], "alice")
        self.assertEqual(calls[0]["generated_tokens"], 2)
        self.assertEqual(calls[1]["reason"], "QUOTA_EXCEEDED")
        self.assertEqual(os.stat(log).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    unittest.main()
