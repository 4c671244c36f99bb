# SPDX-License-Identifier: Apache-2.0
"""The protocol of gateways, vllm.grpc.engine.VllmEngine, of a real rwkvd."""

import hashlib
import io
import json
import os
import unittest
import zipfile

import grpc
import jinja2
import tokenizers
from answers import generate, request
from rwkv.v1 import rwkv_pb2 as rwkv_pb
from rwkvd_process import PATIENCE, rwkvd, wait_until
from vllm import common_pb2 as common_pb
from vllm import vllm_engine_pb2 as pb
from vllm import vllm_engine_pb2_grpc

FIXTURES = os.environ.get("RWKVD_FIXTURES")
FORMAT_FIXTURES = os.environ.get("RWKVD_FORMAT_FIXTURES")
PROMPT = "In the beginning"
END_OF_TEXT = "<|endoftext|>"


class Sample:
    """The messages of one sample."""

    def __init__(self):
        self.ids, self.logprobs, self.complete = [], [], None


def samples_of(stream):
    """Samples by their index."""
    samples = {}
    for response in stream:
        kind = response.WhichOneof("response")
        message = getattr(response, kind)
        sample = samples.setdefault(message.index, Sample())
        assert sample.complete is None, "something came after the end"
        if kind == "complete":
            sample.complete = message
            sample.ids += message.output_ids
        else:
            sample.ids += message.token_ids
        sample.logprobs += message.output_logprobs.token_logprobs
    return samples


def fetch_archive(server):
    """The archive of GetTokenizer, the digests of its chunks, its digest."""
    stub = vllm_engine_pb2_grpc.VllmEngineStub(server.channel)
    chunks = list(stub.GetTokenizer(common_pb.GetTokenizerRequest(),
                                    timeout=PATIENCE))
    data = b"".join(chunk.data for chunk in chunks)
    return (zipfile.ZipFile(io.BytesIO(data)),
            [chunk.sha256 for chunk in chunks],
            hashlib.sha256(data).hexdigest())


def chat_template(archive):
    """The chat template in an archive, as transformers compiles it."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = (
        lambda value: json.dumps(value, ensure_ascii=False))
    return environment.from_string(
        archive.read("chat_template.jinja").decode())


class VllmTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.stub = vllm_engine_pb2_grpc.VllmEngineStub(cls.server.channel)
        cls.prompt = list(cls.server.stub.Tokenize(
            rwkv_pb.TokenizeRequest(text=PROMPT)).ids)

    def request(self, stream=True, request_id="", **params):
        params = {"max_tokens": 30, "seed": 5, **params}
        return pb.GenerateRequest(
            request_id=request_id, stream=stream,
            tokenized=pb.TokenizedInput(input_ids=self.prompt),
            sampling_params=pb.SamplingParams(**params))

    def samples(self, message):
        return samples_of(self.stub.Generate(message, timeout=PATIENCE))

    def native(self, **sampling):
        """The answer of the native call to the same request."""
        message = request(PROMPT, max_tokens=30, logprobs=True)
        message.sampling.CopyFrom(rwkv_pb.Sampling(
            order=rwkv_pb.SAMPLER_ORDER_TEMPERATURE_FIRST,
            **{"temperature": 1, "seed": 5, **sampling}))
        return generate(self.server.stub, message)

    def test_tokens_are_those_of_the_native_call(self):
        for params in ({}, {"temperature": 0},
                       {"temperature": 0.8, "top_p": 0.7, "top_k": 40,
                        "min_p": 0.02},
                       {"presence_penalty": 0.4, "frequency_penalty": 0.2}):
            expected = self.native(**params)
            for stream in (True, False):
                (sample,) = self.samples(
                    self.request(stream, logprobs=0, **params)).values()
                self.assertEqual(sample.ids, expected.ids)
                self.assertEqual(
                    [float(value) for value in sample.logprobs],
                    [pb.OutputLogProbs(token_logprobs=[token.logprob])
                     .token_logprobs[0] for token in expected.tokens])
                self.assertEqual(sample.complete.prompt_tokens,
                                 len(self.prompt))
                self.assertEqual(sample.complete.completion_tokens,
                                 len(expected.ids))

    def test_repetition_penalty_counts_prompt_and_output(self):
        expected = self.native(
            repetition_penalty=1.3, repetition_window=0,
            penalty_scope=rwkv_pb.PENALTY_SCOPE_PROMPT_AND_OUTPUT)
        (sample,) = self.samples(
            self.request(repetition_penalty=1.3)).values()
        self.assertEqual(sample.ids, expected.ids)

    def test_samples_have_consecutive_seeds(self):
        samples = self.samples(self.request(n=3))
        self.assertEqual(sorted(samples), [0, 1, 2])
        for index, sample in samples.items():
            self.assertEqual(sample.ids, self.native(seed=5 + index).ids)

    def test_stop_string_and_its_tokens(self):
        text = generate(self.server.stub, request(PROMPT, max_tokens=30)).text
        stop = text[5:9]
        (sample,) = self.samples(
            self.request(temperature=0, stop=[stop])).values()
        self.assertEqual(sample.complete.finish_reason, "stop")
        self.assertEqual(sample.complete.matched_stop_str, stop)
        decoded = self.server.stub.Detokenize(
            rwkv_pb.DetokenizeRequest(ids=sample.ids)).text
        self.assertIn(stop, decoded)
        self.assertTrue(text.startswith(decoded))

    def test_prompt_logprobs_are_in_the_first_chunk(self):
        stream = self.stub.Generate(self.request(prompt_logprobs=2),
                                    timeout=PATIENCE)
        logprobs = next(stream).chunk.input_logprobs
        self.assertEqual(list(logprobs.token_ids), self.prompt)
        has_value = [value.HasField("value")
                     for value in logprobs.token_logprobs]
        self.assertEqual(has_value, [False] + [True] * (len(self.prompt) - 1))
        self.assertEqual([len(top.token_ids) for top in logprobs.top_logprobs],
                         [0] + [2] * (len(self.prompt) - 1))
        self.assertFalse(any(
            response.chunk.HasField("input_logprobs") for response in stream))

    def test_abort_ends_a_request(self):
        stream = self.stub.Generate(
            self.request(request_id="endless", max_tokens=1000000,
                         ignore_eos=True), timeout=10 * PATIENCE)
        next(stream)
        self.stub.Abort(pb.AbortRequest(request_ids=["endless", "unknown"]))
        (sample,) = samples_of(stream).values()
        self.assertEqual(sample.complete.finish_reason, "abort")
        self.assertEqual(stream.code(), grpc.StatusCode.OK)

    def test_field_that_cannot_be_honored_is_refused(self):
        for params, name in ((dict(json_schema="{}"), "json_schema"),
                             (dict(logprobs=-1), "logprobs"),
                             (dict(min_tokens=31), "min_tokens")):
            with self.assertRaises(grpc.RpcError) as caught:
                self.samples(self.request(**params))
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.INVALID_ARGUMENT)
            self.assertRegex(caught.exception.details(),
                             rf"^sampling_params\.{name}: ")

    def test_other_methods_are_unimplemented(self):
        for method in ("Embed", "SubscribeKvEvents", "FlushCache"):
            call = self.server.channel.unary_unary(
                f"/vllm.grpc.engine.VllmEngine/{method}")
            with self.assertRaises(grpc.RpcError) as caught:
                call(b"", timeout=PATIENCE)
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.UNIMPLEMENTED)

    def test_describes_model_and_server(self):
        model = self.stub.GetModelInfo(pb.GetModelInfoRequest())
        native = self.server.stub.GetModel(rwkv_pb.GetModelRequest())
        self.assertEqual(model.served_model_name, native.name)
        self.assertEqual(model.vocab_size, native.vocab_size)
        self.assertEqual(list(model.eos_token_ids), [0])
        self.assertTrue(model.is_generation)
        server = self.stub.GetServerInfo(pb.GetServerInfoRequest())
        self.assertEqual(server.data_parallel_size, 1)
        self.assertGreater(server.max_num_seqs, 0)
        self.assertTrue(
            self.stub.HealthCheck(pb.HealthCheckRequest()).healthy)
        (load,) = self.stub.GetLoads(pb.GetLoadsRequest()).loads
        self.assertEqual(load.max_running_requests, server.max_num_seqs)

    def test_calls_have_a_line_in_the_log(self):
        self.samples(self.request(max_tokens=1))
        wait_until(lambda: "vllm.grpc.engine.VllmEngine/Generate" in
                   self.server.log(), "the line of the call")

    def test_flag_turns_the_service_off(self):
        with rwkvd("--vllm=false") as server:
            stub = vllm_engine_pb2_grpc.VllmEngineStub(server.channel)
            with self.assertRaises(grpc.RpcError) as caught:
                stub.GetLoads(pb.GetLoadsRequest(), timeout=PATIENCE)
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.UNIMPLEMENTED)


class TokenizerArchiveTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.zip, cls.sums, cls.digest = fetch_archive(cls.server)

    def json(self, name):
        return json.loads(self.zip.read(name))

    def test_only_the_last_chunk_has_the_digest(self):
        self.assertEqual(self.sums[-1], self.digest)
        self.assertFalse(any(self.sums[:-1]))

    def test_archive_has_the_files_of_a_tokenizer(self):
        self.assertIsNone(self.zip.testzip())
        self.assertEqual(self.zip.namelist(),
                         ["tokenizer.json", "tokenizer_config.json",
                          "chat_template.jinja", "config.json"])
        config = self.json("config.json")
        self.assertRegex(config["model_type"], r"^rwkv\d$")
        self.assertEqual(config["eos_token_id"], 0)
        self.assertEqual(self.json("tokenizer_config.json")["eos_token"],
                         END_OF_TEXT)

    def test_tokenizer_has_the_vocabulary_of_the_model(self):
        tokenizer = self.json("tokenizer.json")
        vocabulary = tokenizer["model"]["vocab"]
        size = self.server.stub.GetModel(rwkv_pb.GetModelRequest()).vocab_size
        self.assertEqual(sorted(vocabulary.values()), list(range(size)))
        self.assertEqual(vocabulary[END_OF_TEXT], 0)
        self.assertEqual(tokenizer["model"]["type"], "WordPiece")
        tokens = self.server.stub.Tokenize(
            rwkv_pb.TokenizeRequest(text=PROMPT, token_text=True)).tokens
        for token in tokens:
            self.assertEqual(vocabulary[token.text.replace(" ", "\u0120")],
                             token.id)

    def test_tokenizers_encodes_as_the_server_does(self):
        tokenizer = tokenizers.Tokenizer.from_str(
            self.zip.read("tokenizer.json").decode())
        for text in (PROMPT, " a\n\n b", "caf\u00e9", "\u4f60\u597d",
                     "\U0001f468\u200d\U0001f469", "a\0b"):
            ids = self.server.stub.Tokenize(
                rwkv_pb.TokenizeRequest(text=text)).ids
            self.assertEqual(tokenizer.encode(text).ids, list(ids))
            self.assertEqual(tokenizer.decode(list(ids)), text)

    def test_chat_template_renders_a_conversation(self):
        template = chat_template(self.zip)
        messages = [{"role": "system", "content": "Be brief."},
                    {"role": "user", "content": " Hello\n\n\nthere "},
                    {"role": "assistant", "content": "Yes?"},
                    {"role": "user", "content": "a\nb"}]
        self.assertEqual(
            template.render(messages=messages, add_generation_prompt=True),
            "System: Be brief.\n\nUser: Hello\nthere\n\nAssistant: Yes?\n\n"
            "User: a\nb\n\nAssistant:")


class BpeTest(unittest.TestCase):

    @unittest.skipUnless(FIXTURES, "RWKVD_FIXTURES is not set")
    def test_tokenizer_is_the_file_that_was_loaded(self):
        path = os.path.join(FIXTURES, "tokenizers/20b/20B_tokenizer.json")
        # The demo has fewer tokens, which matters to nobody here.
        with rwkvd(f"--tokenizer={path}",
                   "--allow_tokenizer_mismatch") as server:
            archive, _, _ = fetch_archive(server)
        with open(path, "rb") as file:
            self.assertEqual(archive.read("tokenizer.json"), file.read())


class OfficialReleaseTest(unittest.TestCase):
    """The archive of an official release, whose folder has these files."""

    @classmethod
    def setUpClass(cls):
        if not FORMAT_FIXTURES:
            raise unittest.SkipTest("RWKVD_FORMAT_FIXTURES is not set")
        cls.folder = os.path.join(FORMAT_FIXTURES, "hf7-release/model")
        with rwkvd("--threads=1", model=cls.folder) as server:
            cls.zip, _, _ = fetch_archive(server)

    def test_tokenizer_has_the_tokens_of_the_folder(self):
        with open(os.path.join(self.folder, "tokenizer.json"),
                  encoding="utf-8") as file:
            original = json.load(file)
        tokenizer = json.loads(self.zip.read("tokenizer.json"))
        self.assertEqual(tokenizer["model"]["vocab"],
                         original["model"]["vocab"])
        for name in ("added_tokens", "decoder", "normalizer"):
            self.assertEqual(tokenizer[name], original[name], name)

    def test_config_agrees_with_the_folder(self):
        with open(os.path.join(self.folder, "config.json"),
                  encoding="utf-8") as file:
            original = json.load(file)
        config = json.loads(self.zip.read("config.json"))
        for name in original.keys() & config.keys():
            self.assertEqual(config[name], original[name], name)

    def test_chat_template_renders_like_that_of_the_folder(self):
        template = chat_template(self.zip)
        with open(os.path.join(FORMAT_FIXTURES, "chat/official-2026-08.jsonl"),
                  encoding="utf-8") as file:
            vectors = [json.loads(line) for line in file]
        self.assertGreater(len(vectors), 10)
        for vector in vectors:
            expected = vector.pop("expected_text")
            self.assertEqual(template.render(**vector), expected)


if __name__ == "__main__":
    unittest.main()
