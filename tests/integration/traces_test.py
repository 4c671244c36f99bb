# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd sends spans to a collector, which is made of OpenTelemetry's own
messages."""

import concurrent.futures
import signal
import threading
import unittest

import grpc
from answers import Answer, request
from metrics import gauge
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SECRET = "Swordfish"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it receives."""

    def __init__(self):
        self._changed = threading.Condition()
        self._requests = []
        self._server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(max_workers=2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
            self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def Export(self, message, context):
        with self._changed:
            self._requests.append(message)
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def _spans(self):
        return [span for message in self._requests
                for resource in message.resource_spans
                for scope in resource.scope_spans for span in scope.spans]

    def wait_for_call(self, request_id):
        """The spans of a call: its own, and those of its phases by name."""
        def found():
            return [span for span in self._spans()
                    if attributes(span).get("rwkv.request_id") == request_id]
        with self._changed:
            if not self._changed.wait_for(found, timeout=PATIENCE):
                raise AssertionError(f"no span of {request_id}")
            (call,) = found()
            phases = {span.name: span for span in self._spans()
                      if span.parent_span_id == call.span_id}
            return call, phases

    def resource(self):
        with self._changed:
            resource = self._requests[0].resource_spans[0].resource
            return {attribute.key: attribute.value.string_value
                    for attribute in resource.attributes}

    def text(self):
        with self._changed:
            return "".join(str(message) for message in self._requests)

    def num_spans(self):
        with self._changed:
            return len(self._spans())

    def close(self):
        self._server.stop(None).wait()


def attributes(span):
    def plain(value):
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(part) for part in value.array_value.values]
        return getattr(value, kind)
    return {attribute.key: plain(attribute.value)
            for attribute in span.attributes}


def metadata(request_id, sampled=None):
    pairs = [("x-request-id", request_id)]
    if sampled is not None:
        flags = "01" if sampled else "00"
        pairs.append(("traceparent", f"00-{TRACE}-{PARENT}-{flags}"))
    return pairs


class TracesTest(unittest.TestCase):

    def setUp(self):
        self.collector = Collector()
        self.addCleanup(self.collector.close)

    def start(self):
        manager = rwkvd(f"--otlp_endpoint={self.collector.address}")
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def test_generate_has_a_span_for_each_phase(self):
        server = self.start()
        message = request(SECRET, 7, temperature=0.5, seed=3)
        answer = Answer(server.stub.Generate(
            message, timeout=PATIENCE, metadata=metadata("g", True)))
        call, phases = self.collector.wait_for_call("g")
        self.assertEqual(call.name, "rwkv.v1.RwkvService/Generate")
        self.assertEqual(call.kind, trace_pb2.Span.SPAN_KIND_SERVER)
        self.assertEqual(call.trace_id.hex(), TRACE)
        self.assertEqual(call.parent_span_id.hex(), PARENT)
        self.assertEqual(call.status.code, trace_pb2.Status.STATUS_CODE_UNSET)
        self.assertEqual(set(phases), {"queue", "prefill", "decode", "write"})
        order = [phases[name] for name in ("queue", "prefill", "decode")]
        moments = [order[0].start_time_unix_nano] + [
            span.end_time_unix_nano for span in order]
        self.assertEqual(moments[0], call.start_time_unix_nano)
        self.assertEqual(moments, sorted(moments))
        self.assertEqual([span.start_time_unix_nano for span in order[1:]],
                         moments[1:3])
        self.assertEqual(phases["write"].end_time_unix_nano,
                         call.end_time_unix_nano)
        for span in phases.values():
            self.assertEqual(span.trace_id.hex(), TRACE)
            self.assertLessEqual(span.start_time_unix_nano,
                                 span.end_time_unix_nano)
        found = attributes(call)
        usage = answer.finish.usage
        self.assertEqual(
            {key: found[key] for key in found if key.startswith("gen_ai.")},
            {"gen_ai.operation.name": "text_completion",
             "gen_ai.provider.name": "rwkvd",
             "gen_ai.request.model": "demo",
             "gen_ai.response.model": "demo",
             "gen_ai.request.max_tokens": 7,
             "gen_ai.request.choice.count": 1,
             "gen_ai.request.temperature": 0.5,
             "gen_ai.request.top_p": 1.0,
             "gen_ai.request.top_k": 0.0,
             "gen_ai.request.presence_penalty": 0.0,
             "gen_ai.request.frequency_penalty": 0.0,
             "gen_ai.request.seed": 3,
             "gen_ai.usage.input_tokens": usage.prompt_tokens,
             "gen_ai.usage.cache_read.input_tokens": 0,
             "gen_ai.usage.output_tokens": 7,
             "gen_ai.response.finish_reasons": ["length"]})
        self.assertEqual(found["rpc.method"], "Generate")
        self.assertEqual(self.collector.resource()["service.name"], "rwkvd")
        text = self.collector.text()
        self.assertNotIn(SECRET, text)
        self.assertNotIn(answer.text, text)

    def test_the_clients_flag_decides_what_is_recorded(self):
        server = self.start()
        tokenize = server.stub.Tokenize
        message = pb.TokenizeRequest(text="x")
        tokenize(message, metadata=metadata("not", False), timeout=PATIENCE)
        tokenize(message, metadata=metadata("yes", True), timeout=PATIENCE)
        _, call = tokenize.with_call(message, metadata=metadata("new"),
                                     timeout=PATIENCE)
        self.collector.wait_for_call("yes")
        span, phases = self.collector.wait_for_call("new")
        self.assertEqual(set(phases), {"write"})
        self.assertEqual(span.parent_span_id, b"")
        returned = dict(call.initial_metadata())["traceparent"]
        self.assertEqual(returned, f"00-{span.trace_id.hex()}-"
                         f"{span.span_id.hex()}-01")
        self.assertEqual(self.collector.num_spans(), 4)

    def test_error_is_recorded_without_its_message(self):
        server = self.start()
        with self.assertRaises(grpc.RpcError):
            next(server.stub.GetState(
                pb.GetStateRequest(handle=SECRET), metadata=metadata("e"),
                timeout=PATIENCE))
        call, _ = self.collector.wait_for_call("e")
        self.assertEqual(call.status.code, trace_pb2.Status.STATUS_CODE_ERROR)
        self.assertEqual(attributes(call)["error.type"], "NOT_FOUND")
        self.assertNotIn(SECRET, self.collector.text())

    def test_spans_are_sent_before_the_server_ends(self):
        server = self.start()
        server.stub.Score(pb.ScoreRequest(
            context=pb.Input(text="a"), continuations=[pb.Input(text="b")]),
            metadata=metadata("last"), timeout=PATIENCE)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        call, phases = self.collector.wait_for_call("last")
        self.assertEqual(attributes(call)["gen_ai.operation.name"], "score")
        self.assertIn("prefill", phases)

    def test_absent_collector_delays_nothing(self):
        self.collector.close()
        server = self.start()
        for _ in range(20):
            Answer(server.stub.Generate(request("x", 3), timeout=PATIENCE))
        self.assertEqual(gauge(server, "rwkv_spans_exported_total"), 0)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        self.assertIn("spans could not be sent to", server.log())


if __name__ == "__main__":
    unittest.main()
