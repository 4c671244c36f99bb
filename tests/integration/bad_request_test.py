# SPDX-License-Identifier: Apache-2.0
"""The errors of a real rwkvd for invalid requests."""

import math
import unittest

import grpc
from answers import generate, request
from error_details import details_of, field_exists, fields_of, reason_of
from google.rpc import error_details_pb2
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import PATIENCE, rwkvd, wait_until

NAN, INFINITY = math.nan, math.inf
REFUSED_TOKENIZE = ('grpc_server_call_duration_seconds_count{'
                    'grpc_method="rwkv.v1.RwkvService/Tokenize",'
                    'grpc_status="INVALID_ARGUMENT"}')


def sampling(**fields):
    return pb.GenerateRequest(sampling=pb.Sampling(**fields))


def prompt(*ids):
    return pb.Input(tokens=pb.TokenIds(ids=ids))


VOCABULARY = 2048  # the bundled model's

BAD_GENERATE = {
    "sampling.temperature": [sampling(temperature=value)
                             for value in (NAN, -1, INFINITY, 101)],
    "sampling.top_k": [sampling(top_k=-1)],
    "sampling.top_p": [sampling(top_p=value) for value in (NAN, -1, 0, 1.5)],
    "sampling.presence_penalty": [sampling(presence_penalty=value)
                                  for value in (NAN, 101, -INFINITY)],
    "sampling.frequency_penalty": [sampling(frequency_penalty=value)
                                   for value in (NAN, -101)],
    "sampling.penalty_decay": [sampling(penalty_decay=value)
                               for value in (NAN, -0.5, 2)],
    "sampling.mirostat": [
        sampling(mirostat=pb.Mirostat(), **{field: value})
        for field, value in (("top_k", 40), ("top_p", 0.5), ("min_p", 0.1),
                             ("typical_p", 0.5), ("tail_free_z", 0.5),
                             ("temperature", 0))],
    "sampling.mirostat.version": [sampling(mirostat=pb.Mirostat(version=3))],
    "sampling.preset": [sampling(preset=99)],
    "sampling.repetition_penalty": [sampling(repetition_penalty=value)
                                    for value in (NAN, 0, -1)],
    "sampling.sequence_repetition.window": [
        sampling(sequence_repetition=pb.SequenceRepetition(window=1000))],
    "sampling.banned_tokens[1]": [sampling(banned_tokens=[0, value])
                                  for value in (-1, 2**31 - 1)],
    "sampling.banned_tokens": [
        sampling(banned_tokens=[5], allowed_tokens=[5]),
        sampling(banned_tokens=[1] * 65537)],
    "sampling.forced_tokens[0]": [
        sampling(forced_tokens=[0], never_end=True)],
    "sampling.logit_bias[0].bias": [
        sampling(logit_bias=[pb.LogitBias(id=1, bias=NAN)])],
    "top_drawn_logprobs": [pb.GenerateRequest(top_drawn_logprobs=value)
                           for value in (-1, 33)],
    "max_tokens": [pb.GenerateRequest(max_tokens=value)
                   for value in (-1, 10001)],
    "prompt.tokens.ids[1]": [pb.GenerateRequest(prompt=prompt(5, value))
                         for value in (-1, VOCABULARY, 2**31 - 1)],
    "prompt": [pb.GenerateRequest(prompt=pb.Input(text="x y " * 2000)),
               pb.GenerateRequest(prompt=prompt(*[7] * 1001))],
    "stop_strings": [pb.GenerateRequest(stop_strings=[b"x"] * 17)],
    "stop_strings[1]": [pb.GenerateRequest(stop_strings=[b"x", b""]),
                        pb.GenerateRequest(stop_strings=[b"x", b"y" * 1025])],
    "stop_texts": [pb.GenerateRequest(stop_texts=["x"] * 17)],
    "stop_texts[1]": [
        pb.GenerateRequest(stop_texts=["x", ""]),
        pb.GenerateRequest(stop_strings=[b"x"], stop_texts=["x", ""])],
    "stop_tokens": [pb.GenerateRequest(stop_tokens=[1] * 257)],
    "stop_tokens[0]": [pb.GenerateRequest(stop_tokens=[value])
                       for value in (-1, VOCABULARY)],
    "top_logprobs": [pb.GenerateRequest(top_logprobs=value)
                     for value in (-1, 33)],
    "echo_top_logprobs": [pb.GenerateRequest(echo_top_logprobs=value)
                          for value in (-1, 33)],
    "echo": [pb.GenerateRequest(echo=True, best_of=2)],
    "n": [pb.GenerateRequest(n=value) for value in (-1, 0, 129)],
    "best_of": [pb.GenerateRequest(n=2, best_of=1),
                pb.GenerateRequest(best_of=129)],
    "initial_state": [pb.GenerateRequest(initial_state="absent")],
    "resume": [pb.GenerateRequest(resume=True)],
    "pin.name": [pb.GenerateRequest(pin=pb.Pin(name=value))
                 for value in ("", "a b", "x" * 65)],
    "pin.ttl_seconds": [
        pb.GenerateRequest(pin=pb.Pin(name="a", ttl_seconds=value))
        for value in (NAN, 0, 31536000.000001)],
    "return_state.ttl_seconds": [
        pb.GenerateRequest(return_state=pb.ReturnState(ttl_seconds=0))],
}

BAD_SCORE = {
    "continuations": [pb.ScoreRequest(),
                      pb.ScoreRequest(continuations=[prompt(1)] * 1025)],
    "continuations[1]": [
        pb.ScoreRequest(continuations=[prompt(1), pb.Input()]),
        pb.ScoreRequest(continuations=[prompt(1), pb.Input(text="")])],
    "continuations[0]": [
        pb.ScoreRequest(context=prompt(*[7] * 999),
                        continuations=[prompt(1, 2, 3)])],
    "context": [pb.ScoreRequest(context=prompt(*[7] * 1001),
                                continuations=[prompt(1)])],
    "context.tokens.ids[0]": [pb.ScoreRequest(context=prompt(-1),
                                          continuations=[prompt(1)])],
    "continuations[1].tokens.ids[2]": [
        pb.ScoreRequest(continuations=[prompt(1), prompt(1, 2, -1)])],
    "items": [
        pb.ScoreRequest(items=[pb.ScoreItem(continuations=[prompt(1)])],
                        context=prompt(1))],
    "items[1].continuations[0].tokens.ids[1]": [pb.ScoreRequest(items=[
        pb.ScoreItem(continuations=[prompt(1)]),
        pb.ScoreItem(continuations=[prompt(1, VOCABULARY)])])],
    "items[1].context.tokens.ids[0]": [pb.ScoreRequest(items=[
        pb.ScoreItem(continuations=[prompt(1)]),
        pb.ScoreItem(context=prompt(-1), continuations=[prompt(1)])])],
    "max_response_bytes": [
        pb.ScoreRequest(continuations=[prompt(1)], max_response_bytes=value)
        for value in (-1, 5)],
}

BAD_DOCUMENT = {
    "part": [pb.ScoreDocumentRequest(part=prompt(*[7] * 1000))],
    "part.tokens.ids[1]": [pb.ScoreDocumentRequest(part=prompt(1, -1))],
    "initial_state": [pb.ScoreDocumentRequest(initial_state="absent")],
}

BAD_STATE = {
    "data": [pb.PutStateRequest(data=b"no state")],
    "ttl_seconds": [pb.PutStateRequest(ttl_seconds=value)
                    for value in (NAN, 0, 31536000.000001)],
}


class BadRequestTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd("--max_prompt_tokens=1000", "--max_message_mib=1",
                        "--max_generated_tokens=10000")
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.stub = cls.server.stub

    def tearDown(self):
        # The next request is served.
        self.assertEqual(len(generate(self.stub, request(max_tokens=2)).ids),
                         2)

    def error_of(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception

    def assert_names(self, field, call, message):
        error = self.error_of(call)
        self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT,
                         f"{field}: {message}"[:300])
        self.assertTrue(error.details().startswith(field),
                        f"{error.details()} does not name {field}")
        self.assertEqual(fields_of(error), [field], error.details())
        self.assertTrue(field_exists(field, type(message)), field)
        self.assertNotEqual(reason_of(error), "")

    def test_generate_error_names_the_field(self):
        for field, messages in BAD_GENERATE.items():
            for message in messages:
                self.assert_names(
                    field, lambda: list(self.stub.Generate(
                        message, timeout=PATIENCE)), message)

    def test_message_shows_the_value_that_breaks_its_bound(self):
        for message, text in (
                (sampling(top_p=0), "; for the most likely token, use "
                 "temperature 0"),
                (sampling(top_p=1.0000001), ": 1.0000001 is not in (0, 1]"),
                (sampling(temperature=100.00001),
                 ": 100.00001 is not in [0, 100]")):
            error = self.error_of(lambda: list(self.stub.Generate(
                message, timeout=PATIENCE)))
            self.assertIn(text, error.details())

    def test_error_of_a_long_text_has_the_limit(self):
        for message in BAD_GENERATE["prompt"]:
            error = self.error_of(lambda: list(self.stub.Generate(
                message, timeout=PATIENCE)))
            info = details_of(error)[error_details_pb2.ErrorInfo]
            self.assertEqual(info.reason, "TOO_MANY_TOKENS")
            self.assertEqual(info.metadata["limit"], "1000")

    def test_score_error_names_the_field(self):
        for field, messages in BAD_SCORE.items():
            for message in messages:
                self.assert_names(
                    field, lambda: self.stub.Score(message, timeout=PATIENCE),
                    message)

    def test_error_of_streams_of_the_client_names_the_field(self):
        score = self.stub.ScoreDocument
        for field, messages in BAD_DOCUMENT.items():
            for message in messages:
                self.assert_names(
                    field, lambda: list(score(iter([message]),
                                              timeout=PATIENCE)), message)
        for field, messages in BAD_STATE.items():
            for message in messages:
                self.assert_names(
                    field, lambda: self.stub.PutState(
                        iter([message]), timeout=PATIENCE), message)

    def test_detokenize_error_names_the_field(self):
        for bad in (-1, VOCABULARY):
            message = pb.DetokenizeRequest(ids=[1, 2, bad])
            self.assert_names(
                "ids[2]", lambda: self.stub.Detokenize(
                    message, timeout=PATIENCE), message)

    def test_bytes_that_are_not_a_message_are_refused(self):
        call = self.server.channel.unary_unary(
            "/rwkv.v1.RwkvService/Tokenize")
        for data, reason, fields in (
                (b"\xff\xff\xff\xff", "MESSAGE_MALFORMED", []),
                (b"\x0a\x02\xff\xfe", "FIELD_NOT_UTF8", ["text"])):
            before = gauge(self.server, REFUSED_TOKENIZE, absent=0)
            error = self.error_of(lambda: call(data, timeout=PATIENCE))
            self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(reason_of(error), reason)
            self.assertEqual(fields_of(error), fields)
            wait_until(lambda: gauge(self.server, REFUSED_TOKENIZE, absent=0)
                       == before + 1, "the call to be counted")

    def test_bad_bytes_to_services_of_grpc_are_refused(self):
        health = "/grpc.health.v1.Health/"
        reflection = "/grpc.reflection.v1.ServerReflection/"
        channel = self.server.channel
        calls = (
            channel.unary_unary(health + "Check"),
            lambda data, timeout: list(
                channel.unary_stream(health + "Watch")(data, timeout=timeout)),
            lambda data, timeout: list(
                channel.stream_stream(reflection + "ServerReflectionInfo")(
                    iter([data]), timeout=timeout)))
        for call in calls:
            # Field 1 is the name of the service, or the host.
            for data, reason, fields in (
                    (b"\xff\xff\xff\xff", "MESSAGE_MALFORMED", []),
                    (b"\x0a\x88\x27" + b"x" * 5000, "MESSAGE_MALFORMED", []),
                    (b"\x0a\x02\xff\xfe", "FIELD_NOT_UTF8", None)):
                error = self.error_of(lambda: call(data, timeout=PATIENCE))
                self.assertEqual(error.code(),
                                 grpc.StatusCode.INVALID_ARGUMENT)
                self.assertEqual(reason_of(error), reason)
                name = "host" if call is calls[2] else "service"
                self.assertEqual(
                    fields_of(error), [name] if fields is None else fields)

    def test_errors_of_grpc_itself_are_those_of_the_document(self):
        with open("docs/errors.md") as file:
            document = file.read()
        code = grpc.StatusCode
        small = pb.TokenizeRequest(text="a")
        for expected, message, request, options in (
                (code.RESOURCE_EXHAUSTED, "Received message larger than max (",
                 pb.TokenizeRequest(bytes=b"x" * (2 << 20)), {}),
                (code.RESOURCE_EXHAUSTED,
                 "received initial metadata size exceeds limit", small,
                 {"metadata": [("x-filler", "a" * (17 << 10))]}),
                (code.UNIMPLEMENTED,
                 "Compression algorithm 'gzip' is disabled.",
                 pb.TokenizeRequest(text="a" * 1000),
                 {"compression": grpc.Compression.Gzip})):
            # The server may close the connection, so each has one of its own.
            with self.subTest(message), \
                    grpc.insecure_channel(self.server.address, options=[
                        ("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
                error = self.error_of(lambda: stub.Tokenize(
                    request, timeout=PATIENCE, **options))
                self.assertEqual(error.code(), expected)
                self.assertTrue(error.details().startswith(message),
                                error.details())
                self.assertIn(f"| {expected.name} | {message}", document)
                self.assertEqual(list(error.trailing_metadata()), [])

    def test_unknown_method_is_unimplemented(self):
        call = self.server.channel.unary_unary("/rwkv.v1.RwkvService/Sing")
        error = self.error_of(lambda: call(b"", timeout=PATIENCE))
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(reason_of(error), "METHOD_UNKNOWN")
        self.assertIn("/rwkv.v1.RwkvService/Sing", error.details())


if __name__ == "__main__":
    unittest.main()
