# SPDX-License-Identifier: Apache-2.0
"""The log of a real rwkvd: one line per call, as text and as JSON, which the
client finds by its request id; and a reader that does not read."""

import json
import os
import re
import signal
import subprocess
import unittest

import grpc
from answers import Answer, request
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, Rwkvd, rwkvd, wait_until

SECRET = "Swordfish"


def call_lines(server):
    """The lines of calls in a log of JSON, by request id."""
    lines = [json.loads(line) for line in server.log().splitlines()]
    return {line["id"]: line for line in lines if line["message"] == "call"}


def wait_for_call(server, request_id):
    """The line of this call, which is written shortly after its answer."""
    wait_until(lambda: request_id in call_lines(server), request_id)
    return call_lines(server)[request_id]


def generate(stub, request_id, message):
    call = stub.Generate(message, timeout=PATIENCE,
                         metadata=[("x-request-id", request_id)])
    return call, Answer(call)


class AccessLogTest(unittest.TestCase):

    def test_json_line_of_each_call_has_its_fields(self):
        with rwkvd("--log_format=json") as server:
            answer = generate(server.stub, "job-1", request(SECRET, 7))[1]
            line = wait_for_call(server, "job-1")
            finish = answer.finish
            self.assertEqual(line["rpc"], "rwkv.v1.RwkvService/Generate")
            self.assertEqual(line["status"], "OK")
            self.assertEqual(line["level"], "info")
            self.assertEqual(line["finish"], "length")
            self.assertEqual(line["prompt_tokens"], finish.usage.prompt_tokens)
            self.assertEqual(line["cached_tokens"], finish.usage.cached_tokens)
            self.assertEqual(line["generated_tokens"], 7)
            for name in ("queue_seconds", "prefill_seconds", "decode_seconds"):
                self.assertAlmostEqual(
                    line[name], getattr(finish.times, name), places=5)
            self.assertGreaterEqual(
                line["total_seconds"], finish.times.decode_seconds)
            self.assertRegex(line["peer"], r"^ipv4:127\.0\.0\.1:\d+$")
            self.assertRegex(line["time"],
                             r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_every_line_is_json_and_none_has_a_prompt_or_output(self):
        with rwkvd("--log_format=json") as server:
            stub = server.stub
            answer = generate(stub, "a", request(SECRET, 20))[1]
            metadata = [("x-request-id", "b")]
            stub.Score(pb.ScoreRequest(
                context=pb.Input(text=SECRET),
                continuations=[pb.Input(text=SECRET)]),
                metadata=metadata, timeout=PATIENCE)
            with self.assertRaises(grpc.RpcError):
                next(stub.GetState(pb.GetStateRequest(handle=SECRET),
                                   metadata=[("x-request-id", "c")],
                                   timeout=PATIENCE))
            wait_for_call(server, "c")
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            lines = [json.loads(line) for line in server.log().splitlines()]
            self.assertEqual(lines[-1]["message"], "stopped")
            calls = call_lines(server)
            self.assertEqual(calls["b"]["finish"], "scored")
            self.assertGreater(calls["b"]["generated_tokens"], 0)
            self.assertEqual(calls["c"]["status"], "NOT_FOUND")
            self.assertNotIn("finish", calls["c"])
            for line in calls.values():
                text = json.dumps(line)
                self.assertNotIn(SECRET, text)
                self.assertNotIn(answer.text, text)

    def test_client_finds_its_line_by_the_id_that_it_got(self):
        with rwkvd() as server:
            call = server.stub.Generate(request("x", 1), timeout=PATIENCE)
            given = dict(call.initial_metadata())
            Answer(call)
            pattern = (r" info call id={} trace_id={} peer=ipv4:127\.0\.0\.1:"
                       r"\d+ rpc=rwkv\.v1\.RwkvService/Generate status=OK "
                       r"prompt_tokens=1 cached_tokens=0 generated_tokens=1 "
                       r"queue_seconds=\d+\.\d{{6}} prefill_seconds=\d+\.\d{{6}} "
                       r"decode_seconds=\d+\.\d{{6}} total_seconds=\d+\.\d{{6}} "
                       r"finish=length\n")
            pattern = pattern.format(given["x-request-id"],
                                     given["traceparent"].split("-")[1])
            wait_until(lambda: re.search(pattern, server.log()), pattern)

    def test_each_call_has_one_line_however_it_ends(self):
        with rwkvd("--log_format=json") as server:
            with self.assertRaises(grpc.RpcError):
                generate(server.stub, "invalid", request("x", -1))
            line = wait_for_call(server, "invalid")
            self.assertEqual(line["status"], "INVALID_ARGUMENT")
            self.assertEqual(line["reason"], "FIELD_INVALID")
            endless = request("x", 1000000)
            endless.sampling.never_end = True
            call = server.stub.Generate(
                endless, timeout=PATIENCE,
                metadata=[("x-request-id", "cancelled")])
            next(call)
            call.cancel()
            line = wait_for_call(server, "cancelled")
            self.assertEqual(line["status"], "CANCELLED")
            self.assertEqual(line["finish"], "cancelled")
            self.assertGreater(line["generated_tokens"], 0)
            with self.assertRaises(grpc.RpcError):
                Answer(server.stub.Generate(
                    endless, timeout=0.3,
                    metadata=[("x-request-id", "late")]))
            line = wait_for_call(server, "late")
            self.assertEqual(line["status"], "DEADLINE_EXCEEDED")
            ids = [json.loads(text).get("id")
                   for text in server.log().splitlines()
                   if '"message":"call"' in text]
            self.assertEqual(sorted(ids), ["cancelled", "invalid", "late"])

    def test_call_that_grpc_ends_is_not_ok(self):
        with rwkvd("--log_format=json", "--max_message_mib=1") as server:
            stub = server.stub
            message = request("x", 1, return_state=pb.ReturnState(at_end=True))
            state = b"".join(response.state_chunk.data for response
                             in stub.Generate(message, timeout=PATIENCE))
            parts = [pb.PutStateRequest(data=data)
                     for data in (state, bytes(2 << 20))]
            document = [pb.ScoreDocumentRequest(part=pb.Input(
                bytes=bytes(2 << 20)))]
            calls = {
                "put": lambda **options: stub.PutState(iter(parts), **options),
                "score": lambda **options: list(
                    stub.ScoreDocument(iter(document), **options))}
            for request_id, call in calls.items():
                with self.assertRaises(grpc.RpcError) as caught:
                    call(metadata=[("x-request-id", request_id)],
                         timeout=PATIENCE)
                self.assertEqual(caught.exception.code(),
                                 grpc.StatusCode.RESOURCE_EXHAUSTED)
                self.assertEqual(wait_for_call(server, request_id)["status"],
                                 "CANCELLED")
            # The state has been saved, but nobody knows its handle.
            wait_until(lambda: gauge(server, "rwkv_state_store_bytes") == 0,
                       "the state to be deleted")

    def test_access_log_can_be_turned_off(self):
        with rwkvd("--noaccess_log") as server:
            generate(server.stub, "quiet", request("x", 1))
            server.signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            self.assertNotIn(" call id=", server.log())

    def test_reader_that_stops_makes_no_call_wait(self):
        read, write = os.pipe()
        server = Rwkvd("--log_level=info", stdout=write)
        os.close(write)
        try:
            # More lines than the pipe and the queue hold.
            message = pb.TokenizeRequest(text="x")
            for _ in range(4000):
                server.stub.Tokenize(message, timeout=PATIENCE)
            self.assertGreater(gauge(server, "rwkv_log_lines_dropped_total"), 0)
            with open(read) as lines:
                server.signal(signal.SIGTERM)
                text = lines.read()
            self.assertEqual(server.wait(), 0)
        finally:
            server.close()
        self.assertIn(" lines of the log were dropped", text)
        self.assertIn("stopped", text)


if __name__ == "__main__":
    unittest.main()
