# SPDX-License-Identifier: Apache-2.0
"""Everything that a client does with rwkvd works the same through the proxy of
deploy/edge."""

import hashlib
import os
import subprocess
import tempfile
import threading
import unittest

import grpc
import health_pb2
from answers import generate, request
from nginx_process import nginx, write_certificate
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import PATIENCE, RWKVCTL, SERVICE, Health, rwkvd, wait_until

ENDLESS = pb.GenerateRequest(max_tokens=1 << 20,
                             sampling=pb.Sampling(never_end=True))
CHUNK = 1 << 16


def status(call):
    """The code, the message and the retry time with which a call fails."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        return (error.code(), error.details(),
                "grpc-retry-pushback-ms" in trailers)
    return grpc.StatusCode.OK, "", False


class EdgeTokenTest(unittest.TestCase):

    def test_tokens_reach_the_server(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            tokens = os.path.join(folder, "tokens")
            digest = hashlib.sha256(b"of alice").hexdigest()
            with open(tokens, "w") as file:
                file.write(f"alice sha256:{digest} roles=infer\n")
            os.chmod(tokens, 0o600)
            path = os.path.join(folder, "rwkvd.sock")
            with rwkvd(f"--listen=unix:{path}",
                       f"--auth_tokens={tokens}"), nginx(path) as proxy:
                with grpc.insecure_channel(proxy.address) as channel:
                    self.check(rwkv_pb2_grpc.RwkvServiceStub(channel))

    def check(self, stub):
        for token, code in (("of alice", grpc.StatusCode.OK),
                            ("of nobody", grpc.StatusCode.UNAUTHENTICATED)):
            metadata = (("authorization", f"Bearer {token}"),)
            self.assertEqual(
                status(lambda: stub.GetModel(
                    pb.GetModelRequest(), metadata=metadata,
                    timeout=PATIENCE))[0], code)


class EdgeSessionTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        # Not in the test's own folder, whose name may be too long for a socket.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        cls.addClassCleanup(folder.cleanup)
        cls.socket = os.path.join(folder.name, "rwkvd.sock")
        server = rwkvd(f"--listen=unix:{cls.socket}", "--max_running=4",
                       "--max_queued=2")
        cls.server = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        proxy = nginx(cls.socket)
        cls.proxy = proxy.__enter__()
        cls.addClassCleanup(proxy.__exit__, None, None, None)
        cls.channel = grpc.insecure_channel(cls.proxy.address)
        cls.addClassCleanup(cls.channel.close)
        cls.stub = rwkv_pb2_grpc.RwkvServiceStub(cls.channel)

    def wait_until_idle(self):
        wait_until(lambda: gauge(self.server, "rwkv_requests_running") == 0,
                   "the server to be idle")

    def assert_same_status(self, code, make_call):
        direct = status(lambda: make_call(self.server.stub))
        self.assertEqual(status(lambda: make_call(self.stub)), direct)
        self.assertEqual(direct[0], code, direct)

    def test_stream_has_the_same_answer(self):
        direct = generate(self.server.stub, request(logprobs=True))
        answer = generate(self.stub, request(logprobs=True))
        self.assertEqual((answer.tokens, answer.bytes, answer.text),
                         (direct.tokens, direct.bytes, direct.text))
        self.assertEqual(answer.finish.reason, direct.finish.reason)

    def test_stream_arrives_while_it_is_generated(self):
        stream = self.stub.Generate(ENDLESS, timeout=PATIENCE)
        for _ in range(5):
            next(stream)
        self.assertEqual(gauge(self.server, "rwkv_requests_running"), 1)
        stream.cancel()
        self.wait_until_idle()

    def test_cancellation_ends_a_request_that_sends_nothing(self):
        # A queued request: neither side sends anything.
        running = [self.stub.Generate(ENDLESS, timeout=PATIENCE)
                   for _ in range(4)]
        for stream in running:
            next(stream)
        queued = self.stub.Generate(ENDLESS, timeout=PATIENCE)
        wait_until(lambda: gauge(self.server, "rwkv_queue_depth") == 1,
                   "the queued request")
        queued.cancel()
        wait_until(lambda: gauge(self.server, "rwkv_queue_depth") == 0,
                   "the cancellation")
        for stream in running:
            stream.cancel()
        self.wait_until_idle()

    def test_deadline_ends_the_call_and_its_request(self):
        code, _, _ = status(lambda: self.stub.Generate(ENDLESS, timeout=0.5))
        self.assertEqual(code, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.wait_until_idle()

    def test_lost_connection_ends_its_requests(self):
        channel = grpc.insecure_channel(self.proxy.address, options=[
            ("grpc.use_local_subchannel_pool", 1)])
        next(rwkv_pb2_grpc.RwkvServiceStub(channel).Generate(ENDLESS))
        channel.close()
        self.wait_until_idle()

    def test_errors_have_the_same_status(self):
        code = grpc.StatusCode
        for expected, call in (
                (code.INVALID_ARGUMENT, lambda stub: stub.Generate(
                    request(max_tokens=-1), timeout=PATIENCE)),
                (code.INVALID_ARGUMENT, lambda stub: stub.Detokenize(
                    pb.DetokenizeRequest(ids=[-1]), timeout=PATIENCE)),
                (code.NOT_FOUND, lambda stub: stub.UnpinPrefix(
                    pb.UnpinPrefixRequest(name="none"), timeout=PATIENCE)),
                (code.RESOURCE_EXHAUSTED, lambda stub: stub.Tokenize(
                    pb.TokenizeRequest(bytes=bytes(17 << 20)),
                    timeout=PATIENCE))):
            with self.subTest(expected):
                self.assert_same_status(expected, call)

    def test_refusal_has_its_retry_time(self):
        # All slots and all entries of the queue.
        accepted = [self.stub.Generate(ENDLESS, timeout=PATIENCE)
                    for _ in range(6)]
        wait_until(lambda: gauge(self.server, "rwkv_queue_depth") == 2,
                   "the queue to be full")
        code, _, has_retry_time = status(
            lambda: self.stub.Generate(ENDLESS, timeout=PATIENCE))
        for stream in accepted:
            stream.cancel()
        self.assertEqual(code, grpc.StatusCode.RESOURCE_EXHAUSTED)
        self.assertTrue(has_retry_time)
        self.wait_until_idle()

    def test_score_and_score_document_have_the_same_answers(self):
        score = pb.ScoreRequest(context=pb.Input(text="In the"),
                                continuations=[pb.Input(text=" beginning")])
        parts = [pb.ScoreDocumentRequest(part=pb.Input(text="In the\n"),
                                         token_scores=True),
                 pb.ScoreDocumentRequest(part=pb.Input(text="beginning\n"))]

        def answers(stub):
            document = list(stub.ScoreDocument(iter(parts), timeout=PATIENCE))
            document[-1].total.ClearField("times")
            return (list(stub.Score(score, timeout=PATIENCE).scores), document)
        self.assertEqual(answers(self.stub), answers(self.server.stub))

    def test_states_are_transferred(self):
        message = request(return_state=pb.ReturnState(at_end=True))
        state = b"".join(
            response.state_chunk.data
            for response in self.stub.Generate(message, timeout=PATIENCE))
        handle = self.stub.PutState(
            (pb.PutStateRequest(data=state[at:at + CHUNK])
             for at in range(0, len(state), CHUNK)),
            timeout=PATIENCE).state.handle
        self.assertEqual(b"".join(
            response.data for response in self.stub.GetState(
                pb.GetStateRequest(handle=handle), timeout=PATIENCE)), state)
        generate(self.stub, request("", state_handle=handle))
        delete = pb.DeleteStateRequest(handle=handle)
        self.stub.DeleteState(delete, timeout=PATIENCE)
        self.assert_same_status(
            grpc.StatusCode.NOT_FOUND,
            lambda stub: stub.DeleteState(delete, timeout=PATIENCE))

    def test_error_arrives_while_the_client_is_still_sending(self):
        over = threading.Event()
        self.addCleanup(over.set)

        def endless():
            while not over.wait(0.001):
                yield pb.PutStateRequest(data=bytes(CHUNK))
        code, message, _ = status(
            lambda: self.stub.PutState(endless(), timeout=PATIENCE))
        self.assertIn(code, (grpc.StatusCode.INVALID_ARGUMENT,
                             grpc.StatusCode.RESOURCE_EXHAUSTED), message)

    def test_health_is_served_and_reflection_is_not(self):
        health = Health(self.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        self.assertEqual(health.check(SERVICE), serving)
        watch = health.watch(SERVICE)
        self.assertEqual(next(watch).status, serving)
        watch.cancel()
        for path in ("/grpc.reflection.v1alpha.ServerReflection/"
                     "ServerReflectionInfo", "/rwkv.v1.Other/Method"):
            code, message, _ = status(lambda path=path: self.channel.stream_stream(
                path)(iter([b""]), timeout=PATIENCE))
            self.assertEqual(code, grpc.StatusCode.UNIMPLEMENTED)
            self.assertIn("proxy", message)

    def test_tls_works(self):
        with open(self.proxy.certificate_path, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with grpc.secure_channel(self.proxy.tls_address, credentials) as channel:
            answer = generate(rwkv_pb2_grpc.RwkvServiceStub(channel), request())
        self.assertEqual(answer.text,
                         generate(self.server.stub, request()).text)

    def test_client_certificate_is_required_if_configured(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "client.pem")
            write_certificate(path, path + ".key")
            changes = {
                "# ssl_client_certificate clients.pem":
                    f"ssl_client_certificate {path}",
                "# ssl_verify_client on": "ssl_verify_client on"}
            with nginx(self.socket, changes) as proxy:
                with open(proxy.certificate_path, "rb") as root, \
                        open(path, "rb") as chain, \
                        open(path + ".key", "rb") as key:
                    root, chain, key = root.read(), chain.read(), key.read()
                for credentials, code in (
                        (grpc.ssl_channel_credentials(root),
                         grpc.StatusCode.UNAUTHENTICATED),
                        (grpc.ssl_channel_credentials(root, key, chain),
                         grpc.StatusCode.OK)):
                    with grpc.secure_channel(proxy.tls_address,
                                             credentials) as channel:
                        stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
                        self.assertEqual(status(lambda stub=stub: stub.GetModel(
                            pb.GetModelRequest(), timeout=PATIENCE))[0], code)

    def test_rwkvctl_chats(self):
        def chat(address):
            return subprocess.run(
                [RWKVCTL, "chat", f"--server={address}", "--max_tokens=12",
                 "--seed=1"], input="Hello.\nAnd then?\n", capture_output=True,
                text=True, timeout=PATIENCE, check=True).stdout
        self.assertEqual(chat(self.proxy.address), chat(self.server.address))


class EdgeDrainTest(unittest.TestCase):

    def test_state_of_a_suspended_request_arrives_when_the_server_ends(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            path = os.path.join(folder, "rwkvd.sock")
            with rwkvd(f"--listen=unix:{path}") as server, \
                    nginx(path) as proxy, \
                    grpc.insecure_channel(proxy.address) as channel:
                stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
                message = pb.GenerateRequest(
                    return_state=pb.ReturnState(on_drain=True))
                message.MergeFrom(ENDLESS)
                stream = stub.Generate(message, timeout=PATIENCE)
                next(stream)
                server.signal()
                state, finish = b"", None
                code = grpc.StatusCode.OK
                try:
                    for response in stream:
                        state += response.state_chunk.data
                        if response.HasField("finish"):
                            finish = response.finish
                except grpc.RpcError as error:
                    code = error.code()
                self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
                self.assertEqual(len(state), finish.state.bytes)
                self.assertEqual(server.wait(), 0)
                # Without a server, the proxy answers in the server's place.
                code, text, _ = status(
                    lambda: stub.GetModel(pb.GetModelRequest(),
                                          timeout=PATIENCE))
                self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
                self.assertIn("cannot reach the server", text)


if __name__ == "__main__":
    unittest.main()
