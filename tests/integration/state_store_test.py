# SPDX-License-Identifier: Apache-2.0
"""States in a real redis-server, which several rwkvd share."""

import signal
import tempfile
import time
import unittest

import grpc
import health_pb2
from answers import Answer, generate, request, start_call
from certificates import Authority
from checkpoints import write_endless_model
from error_details import reason_of
from metrics import gauge, page
from redis_process import PASSWORD, Redis
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, rwkvd, wait_until
from startup import assert_refuses

AS_HANDLE = pb.ReturnState(at_end=True, as_handle=True)
FAILED = "STATE_STORE_FAILED"


class StateStoreTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.redis = Redis(self.folder, Authority(self.folder))
        self.addCleanup(self.redis.kill)

    def start(self, *flags, **options):
        manager = rwkvd(*self.redis.flags(), *flags, **options)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def save(self, server, text="In the beginning"):
        """The handle of the state after a turn."""
        turn = generate(server.stub, request(text, 10, temperature=1,
                                             return_state=AS_HANDLE))
        return turn.finish.state.handle

    def get(self, server, handle):
        return b"".join(
            part.data for part in server.stub.GetState(
                pb.GetStateRequest(handle=handle), timeout=PATIENCE))

    def reason(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertNotIn("127.0.0.1", caught.exception.details())
        return reason_of(caught.exception)

    def assert_serves_without_states(self, server):
        self.assertEqual(len(generate(server.stub, request(max_tokens=5)).ids),
                         5)
        self.assertEqual(server.health.check(),
                         health_pb2.HealthCheckResponse.SERVING)

    def test_second_server_continues_what_a_killed_one_has_saved(self):
        first, second = self.start(), self.start()
        handle = self.save(first)
        turn = request(" And God said", 20, temperature=1, seed=7,
                       state_handle=handle, logprobs=True,
                       return_state=AS_HANDLE)
        expected = generate(first.stub, turn)
        state = self.get(first, expected.finish.state.handle)
        first.process.kill()
        first.process.wait()
        self.assertEqual(gauge(second, "rwkv_state_store_usable"), 1)
        actual = generate(second.stub, turn)
        self.assertEqual(actual.tokens, expected.tokens)
        self.assertEqual(self.get(second, actual.finish.state.handle), state)
        self.assertEqual(self.get(second, expected.finish.state.handle), state)
        self.assertEqual(gauge(second, "rwkv_state_store_handles"), 3)
        second.stub.DeleteState(pb.DeleteStateRequest(handle=handle),
                                timeout=PATIENCE)
        with self.assertRaises(grpc.RpcError) as caught:
            self.get(second, handle)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(gauge(second, "rwkv_state_store_handles"), 2)

    def test_request_of_a_draining_server_is_resumed_by_another(self):
        model = write_endless_model(self.folder)
        first = self.start("--drain_grace=1h", model=model)
        second = self.start(model=model)
        message = request("And it came to pass", 1 << 20, temperature=1)
        message.return_state.on_drain = True
        message.return_state.as_handle = True
        stream = first.stub.Generate(message, timeout=PATIENCE)
        tokens, finish = list(next(stream).delta.tokens), None
        first.signal(signal.SIGTERM)
        with self.assertRaises(grpc.RpcError) as caught:
            for response in stream:
                tokens += response.delta.tokens
                finish = response.finish
        self.assertEqual(reason_of(caught.exception), "SERVER_SHUTTING_DOWN")
        self.assertEqual(first.wait(), 0)
        message.ClearField("return_state")
        message.max_tokens = len(tokens) + 50
        whole = generate(second.stub, message)
        message.ClearField("prompt")
        message.state_handle = finish.state.handle
        message.resume = True
        rest = generate(second.stub, message)
        self.assertEqual(tokens + rest.tokens, whole.tokens)

    def test_dead_store_fails_only_calls_that_need_it(self):
        server = self.start()
        handle = self.save(server)
        data = self.get(server, handle)
        put = pb.PutStateRequest(data=data)
        self.redis.kill()
        for call in (lambda: self.get(server, handle),
                     lambda: self.save(server),
                     lambda: server.stub.PutState(iter([put]),
                                                  timeout=PATIENCE),
                     lambda: generate(server.stub, request(
                         " and", 5, state_handle=handle))):
            self.assertEqual(self.reason(call), FAILED)
        self.assert_serves_without_states(server)
        self.assertEqual(gauge(server, "rwkv_state_store_usable"), 0)
        self.assertIn("state store: 127.0.0.1:", server.log())
        self.redis.start()
        wait_until(lambda: self.can_save(server), "the store to be used again")
        self.assertEqual(gauge(server, "rwkv_state_store_usable"), 1)

    def can_save(self, server):
        try:
            return bool(self.save(server))
        except grpc.RpcError as error:
            self.assertEqual(reason_of(error), FAILED)
            return False

    def test_stalled_store_costs_one_timeout(self):
        server = self.start("--state_store_timeout=500ms")
        handle = self.save(server)
        self.redis.stall()
        begin = time.monotonic()
        for _ in range(100):
            self.assertEqual(self.reason(lambda: self.get(server, handle)),
                             FAILED)
        # A hundred timeouts would take 50 seconds.
        self.assertLess(time.monotonic() - begin, 25)
        self.assert_serves_without_states(server)

    def test_server_starts_without_its_store(self):
        self.redis.kill()
        server = self.start()
        self.assert_serves_without_states(server)
        self.assertEqual(self.reason(lambda: self.save(server)), FAILED)

    def test_drain_without_the_store_ends_calls_with_its_error(self):
        server = self.start(model=write_endless_model(self.folder))
        message = request("And", 1 << 20, temperature=1)
        message.return_state.on_drain = True
        message.return_state.as_handle = True
        stream = start_call(server.stub, message)
        self.redis.kill()
        server.signal(signal.SIGTERM)
        self.assertEqual(self.reason(lambda: Answer(stream)), FAILED)
        self.assertEqual(server.wait(), 0)

    def test_password_is_in_no_log_metric_or_command_line(self):
        server = self.start()
        self.save(server)
        with open(self.redis.password_file, "w", encoding="utf-8") as file:
            file.write("a-wrong-secret\n")
        self.redis.kill()
        self.redis.start()
        self.assertEqual(self.reason(lambda: self.save(server)), FAILED)
        self.assertIn("the server refuses AUTH: WRONGPASS", server.log())
        with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
            words = file.read().decode()
        for text in (server.log(), page(server), words):
            self.assertNotIn(PASSWORD, text)
            self.assertNotIn("a-wrong-secret", text)

    def test_wrong_flags_and_files_stop_the_start(self):
        for flags, words in (
                (["--state_store=rediss://u:hunter2@h"],
                 ["--state_store:", "--state_store_password_file"]),
                (["--state_store=redis://h", "--state_dir=d"],
                 ["--state_store:", "--state_dir"]),
                ([*self.redis.flags(), f"--state_store_ca={self.folder}/none"],
                 ["--state_store_ca:", "none", "No such file"]),
                ([*self.redis.flags(),
                  f"--state_store_password_file={self.folder}/none"],
                 ["--state_store_password_file:", "No such file"])):
            assert_refuses(self, [f"--model={MODEL}", *flags], *words)


if __name__ == "__main__":
    unittest.main()
