# SPDX-License-Identifier: Apache-2.0
"""Cancellation, deadlines, the queue and the shutdown of a real rwkvd. The
model of these tests never ends a text."""

import signal
import tempfile
import unittest

import grpc
import health_pb2
from answers import Answer, generate, request, start_call
from checkpoints import write_endless_model
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, SERVICE, rwkvd, wait_until

ENDLESS = request(max_tokens=1 << 20, temperature=1)
ONE_AT_A_TIME = ("--max_running=1", "--max_step_tokens=16")


class LifecycleTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.model = write_endless_model(folder.name)

    def start(self, *flags):
        manager = rwkvd(*flags, model=self.model)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def assert_fails(self, code, stream):
        with self.assertRaises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        self.assertEqual(caught.exception.code(), code)
        return caught.exception

    def rest_of(self, stream):
        """The last message and the status code of a stream that fails."""
        last = None
        try:
            for last in stream:
                pass
        except grpc.RpcError as error:
            return last, error.code()
        return last, grpc.StatusCode.OK

    def test_canceling_frees_the_slot(self):
        server = self.start(*ONE_AT_A_TIME)
        start_call(server.stub, ENDLESS).cancel()
        # There is only one slot: this request would wait if it were in use.
        self.assertEqual(
            len(generate(server.stub, request(max_tokens=3)).ids), 3)

    def test_lost_client_frees_the_slot(self):
        server = self.start(*ONE_AT_A_TIME)
        channel = grpc.insecure_channel(
            server.address, options=[("grpc.use_local_subchannel_pool", 1)])
        stub = type(server.stub)(channel)
        start_call(stub, ENDLESS)
        channel.close()
        self.assertEqual(
            len(generate(server.stub, request(max_tokens=3)).ids), 3)

    def test_deadline_frees_the_slot(self):
        server = self.start(*ONE_AT_A_TIME)
        self.assert_fails(grpc.StatusCode.DEADLINE_EXCEEDED,
                          server.stub.Generate(ENDLESS, timeout=0.3))
        self.assertEqual(
            len(generate(server.stub, request(max_tokens=3)).ids), 3)
        wait_until(
            lambda: gauge(server, "rwkv_requests_cancelled_total") == 1,
            "the cancelled request to be counted")

    def test_full_queue_is_reported_at_once(self):
        server = self.start(*ONE_AT_A_TIME, "--max_queued=1")
        running = start_call(server.stub, ENDLESS)
        queued = server.stub.Generate(request(max_tokens=3), timeout=PATIENCE)
        wait_until(lambda: gauge(server, "rwkv_queue_depth") == 1,
                   "the queue to fill")
        self.assert_fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            server.stub.Generate(request(max_tokens=3), timeout=PATIENCE))
        running.cancel()
        self.assertEqual(len(Answer(queued).ids), 3)

    def test_sigterm_ends_an_idle_server_with_code_0(self):
        server = self.start()
        watch = server.health.watch(SERVICE)
        states = [next(watch).status]
        server.signal(signal.SIGTERM)
        states += [response.status for response in self.until_end(watch)]
        self.assertEqual(states, [health_pb2.HealthCheckResponse.SERVING,
                                  health_pb2.HealthCheckResponse.NOT_SERVING])
        self.assertEqual(server.wait(), 0)
        self.assertIn("stopped", server.log())

    def until_end(self, stream):
        try:
            yield from stream
        except grpc.RpcError:
            pass

    def test_sigterm_lets_a_running_request_finish_in_the_grace_period(self):
        server = self.start("--drain_grace=10m")
        stream = start_call(server.stub, request(max_tokens=1500))
        server.signal(signal.SIGTERM)
        wait_until(
            lambda: "accepted requests may continue" in server.log(),
            "the drain")
        # Other requests are refused.
        wait_until(
            lambda: self.rest_of(server.stub.Generate(
                request(max_tokens=1), timeout=PATIENCE))[1] ==
            grpc.StatusCode.UNAVAILABLE, "new requests to be refused")
        last, code = self.rest_of(stream)
        self.assertEqual(code, grpc.StatusCode.OK)
        self.assertEqual(last.finish.reason, pb.FINISH_REASON_LENGTH)
        self.assertEqual(last.finish.usage.generated_tokens, 1500)
        self.assertEqual(server.wait(), 0)

    def test_request_that_ends_with_the_drain_is_recorded_as_ok(self):
        for _ in range(10):
            server = self.start("--drain_grace=10m")
            stream = start_call(server.stub, request(max_tokens=100))
            server.signal(signal.SIGTERM)
            self.assertEqual(self.rest_of(stream)[1], grpc.StatusCode.OK)
            server.channel.close()
            self.assertEqual(server.wait(), 0)
            self.assertRegex(server.log(),
                             "call id=.* rpc=rwkv.v1.RwkvService/Generate "
                             "status=OK ")

    def test_requests_end_with_unavailable_after_the_grace_period(self):
        server = self.start("--drain_grace=100ms")
        running = [start_call(server.stub, ENDLESS) for _ in range(3)]
        server.signal(signal.SIGTERM)
        for stream in running:
            last, code = self.rest_of(stream)
            self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(last.finish.reason, pb.FINISH_REASON_CANCELLED)
        self.assertEqual(server.wait(), 0)

    def test_second_signal_ends_the_grace_period(self):
        server = self.start("--drain_grace=10m")
        stream = start_call(server.stub, ENDLESS)
        server.signal(signal.SIGINT)
        wait_until(
            lambda: "accepted requests may continue" in server.log(),
            "the drain")
        server.signal(signal.SIGINT)
        self.assertEqual(self.rest_of(stream)[1],
                         grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(server.wait(), 0)

    def test_sigquit_drains_at_once(self):
        server = self.start("--drain_grace=10m", "--lame_duck=10m")
        stream = start_call(server.stub, ENDLESS)
        server.signal(signal.SIGQUIT)
        self.assertEqual(self.rest_of(stream)[1],
                         grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(server.wait(), 0)

    def test_other_signals_do_not_disturb_the_server(self):
        server = self.start()
        stream = start_call(server.stub, request(max_tokens=500))
        for name in ("HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO",
                     "PWR", "PIPE", "XFSZ", "RTMIN"):
            server.signal(getattr(signal, "SIG" + name))
        self.assertEqual(self.rest_of(stream)[1], grpc.StatusCode.OK)
        wait_until(lambda: "SIGHUP" in server.log(), "the log of SIGHUP")

    def test_lame_duck_serves_while_health_is_not_serving(self):
        server = self.start("--lame_duck=10m")
        server.signal(signal.SIGTERM)
        wait_until(lambda: server.health.check() ==
                   health_pb2.HealthCheckResponse.NOT_SERVING, "NOT_SERVING")
        self.assertEqual(
            len(generate(server.stub, request(max_tokens=3)).ids), 3)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main()
