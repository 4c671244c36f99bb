# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd with models that come without a tokenizer, with one that is not
theirs, or that have none."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import grpc

from answers import generate
from checkpoints import endless_rwkv4, file_bytes
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd
from startup import assert_refuses

FIXTURES = os.environ.get("RWKVD_FIXTURES")
FORMAT_FIXTURES = os.environ.get("RWKVD_FORMAT_FIXTURES")
QUALITY = os.environ.get("RWKVD_QUALITY", "tools/quality/quality")

NUM_IDS = 300


def ids(*values):
    return pb.Input(tokens=pb.TokenIds(ids=values))


def greedy(prompt, **fields):
    return pb.GenerateRequest(prompt=prompt, max_tokens=3,
                              sampling=pb.Sampling(temperature=0), **fields)


class IdsAloneTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        path = os.path.join(folder.name, "ids.safetensors")
        with open(path, "wb") as file:
            file.write(file_bytes(endless_rwkv4(1, 32, NUM_IDS)))
        manager = rwkvd("--threads=1", "--tokenizer=none", model=path)
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.stub = cls.server.stub

    def refuses(self, call, field):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(),
                         grpc.StatusCode.INVALID_ARGUMENT)
        details = caught.exception.details()
        self.assertTrue(details.startswith(field + ": "), details)
        self.assertIn("has no tokenizer", details)

    def refuses_generate(self, request, field):
        self.refuses(lambda: generate(self.stub, request), field)

    def refuses_score(self, request, field):
        self.refuses(lambda: self.stub.Score(request, timeout=PATIENCE), field)

    def score_document(self, part):
        requests = iter([pb.ScoreDocumentRequest(part=part)])
        return list(self.stub.ScoreDocument(requests, timeout=PATIENCE))

    def run_ctl(self, *words, code=0, standard_input=b""):
        result = subprocess.run(
            [RWKVCTL, words[0], f"--server={self.server.address}", *words[1:]],
            input=standard_input, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return (result.stdout if code == 0 else result.stderr).decode()

    def test_model_is_described(self):
        model = self.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        self.assertEqual((model.tokenizer, model.tokenizer_size),
                         ("none", NUM_IDS))
        self.assertFalse(model.HasField("end_of_text_token"))

    def test_ids_are_generated_without_text(self):
        answer = generate(self.stub, greedy(ids(1, NUM_IDS - 1)))
        self.assertEqual(len(answer.ids), 3)
        self.assertEqual((answer.text, answer.bytes), ("", b""))
        last = generate(self.stub, pb.GenerateRequest(
            max_tokens=2, sampling=pb.Sampling(allowed_tokens=[NUM_IDS - 1])))
        self.assertEqual(last.ids, [NUM_IDS - 1] * 2)

    def test_no_id_ends_the_output_except_stop_tokens(self):
        zeros = pb.Sampling(allowed_tokens=[0])
        answer = generate(self.stub, pb.GenerateRequest(
            max_tokens=4, sampling=zeros))
        self.assertEqual(answer.ids, [0] * 4)
        answer = generate(self.stub, pb.GenerateRequest(
            max_tokens=4, sampling=zeros, stop_tokens=[0]))
        self.assertEqual(answer.finish.reason, pb.FINISH_REASON_STOP_TOKEN)

    def test_ids_are_scored(self):
        response = self.stub.Score(
            pb.ScoreRequest(context=ids(5), continuations=[ids(7, 8)]),
            timeout=PATIENCE)
        self.assertEqual(response.scores[0].token_count, 2)
        total = self.score_document(ids(1, 2, 3))[-1].total
        self.assertEqual((total.token_count, total.byte_count), (3, 0))

    def test_text_bytes_and_stop_strings_are_refused_by_name(self):
        text, data = pb.Input(text="a"), pb.Input(bytes=b"\xff")
        self.refuses_generate(greedy(text), "prompt.text")
        self.refuses_generate(greedy(data), "prompt.bytes")
        self.refuses_generate(greedy(pb.Input(text="")), "prompt.text")
        self.refuses_generate(greedy(ids(1), stop_strings=[b"x"]),
                              "stop_strings")
        self.refuses_score(pb.ScoreRequest(context=text,
                                           continuations=[ids(1)]),
                           "context.text")
        self.refuses_score(pb.ScoreRequest(context=ids(1),
                                           continuations=[ids(1), data]),
                           "continuations[1].bytes")
        self.refuses(lambda: self.score_document(text), "part.text")

    def test_tokenize_and_detokenize_are_refused(self):
        stub = self.stub
        for request, field in ((pb.TokenizeRequest(text="a"), "text"),
                               (pb.TokenizeRequest(bytes=b"a"), "bytes")):
            self.refuses(lambda r=request: stub.Tokenize(r, timeout=PATIENCE),
                         field)
        self.refuses(lambda: stub.Detokenize(pb.DetokenizeRequest(ids=[1]),
                                             timeout=PATIENCE), "ids")

    def test_rwkvctl_takes_and_prints_ids(self):
        words = ("--tokens", "--max_tokens=3", "--allowed_tokens=299", "1, 2")
        self.assertEqual(self.run_ctl("generate", *words), "299,299,299,\n")
        table = self.run_ctl("score", "--tokens", "5", "7 8", "9")
        self.assertEqual([line.split("\t")[1] for line in table.splitlines()],
                         ["2", "1"])
        report = self.run_ctl("perplexity", "--tokens", "-",
                              standard_input=b"1 2 3\n" * 10000)
        self.assertIn("bits per byte -; 30000 tokens, 0 bytes", report)
        error = self.run_ctl("generate", "text", code=1)
        self.assertIn("prompt.bytes: this model has no tokenizer", error)
        self.assertIn("\"x\" is not a token id",
                      self.run_ctl("perplexity", "--tokens", "-", code=2,
                                   standard_input=b"1 x"))


class WorldModelTest(unittest.TestCase):
    """Models with the World vocabulary, which comes as a file of its own."""

    def setUp(self):
        if not FIXTURES:
            self.skipTest("RWKVD_FIXTURES is not set")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.share = os.path.join(FIXTURES, "tokenizers/world")
        self.vocabulary = os.path.join(self.share, "rwkv_vocab_v20230424.txt")
        self.model = os.path.join(self.folder, "model.safetensors")
        os.symlink(os.path.join(
            FIXTURES, "models/synth-4v0-world/model-bf16.safetensors"),
            self.model)

    def assert_is_world(self, server):
        model = server.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        self.assertEqual((model.tokenizer, model.tokenizer_size),
                         ("world", 65530))
        answer = generate(server.stub, greedy(pb.Input(text="Hello")))
        self.assertEqual(answer.finish.usage.prompt_tokens, 1)

    def test_bare_file_gets_the_vocabulary_at_hand(self):
        with rwkvd(f"--share_dir={self.share}", model=self.model) as server:
            self.assert_is_world(server)
            self.assertIn("the model comes without one; it gets "
                          f"{self.vocabulary} (world, 65530 tokens), because "
                          "its vocabulary has 65536 tokens", server.log())

    def test_vocabulary_can_be_named(self):
        with rwkvd(f"--share_dir={self.share}", "--tokenizer=world",
                   model=self.model) as server:
            self.assert_is_world(server)

    def test_vocabulary_that_is_not_at_hand_is_named(self):
        flags = [f"--model={self.model}", f"--share_dir={self.folder}"]
        assert_refuses(self, flags, "found no tokenizer", "65536",
                       "PyPI package rwkv", self.folder, "--tokenizer=none")
        assert_refuses(self, flags + ["--tokenizer=world"],
                       "rwkv_vocab_v20230424.txt", self.folder)

    def test_tokenizer_of_another_model_is_refused(self):
        shutil.copy(os.path.join(FIXTURES, "tokenizers/20b/20B_tokenizer.json"),
                    self.folder)
        flags = [f"--model={self.folder}"]
        assert_refuses(self, flags, "20B_tokenizer.json", "50277", "65536",
                       "--allow_tokenizer_mismatch")
        with rwkvd("--allow_tokenizer_mismatch", model=self.folder) as server:
            model = server.stub.GetModel(pb.GetModelRequest(),
                                         timeout=PATIENCE)
            self.assertEqual(model.tokenizer_size, 50277)
            self.assertIn(" warning ", server.log())

    def test_vocabulary_that_is_cut_off_is_refused(self):
        with open(self.vocabulary, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        path = os.path.join(self.folder, "rwkv_vocab_v20230424.txt")
        for count in (30000, 65280):
            with open(path, "wb") as file:
                file.writelines(lines[:count])
            assert_refuses(self, [f"--model={self.model}"], path,
                           f"only {count + 1} of the 65530 tokens", "cut off",
                           "--allow_tokenizer_mismatch")

    def test_ids_above_the_vocabulary_are_refused_request_by_request(self):
        path = os.path.join(self.folder, "longer.txt")
        shutil.copy(self.vocabulary, path)
        with open(path, "a", encoding="utf-8") as file:
            file.write("65536 '\u2603\u2603\u2603' 9\n")
        flags = [f"--tokenizer={path}"]
        assert_refuses(self, [f"--model={self.model}", *flags], "65536")
        with rwkvd(*flags, "--allow_tokenizer_mismatch",
                   model=self.model) as server:
            self.assertEqual(len(generate(
                server.stub, greedy(pb.Input(text="a"))).ids), 3)
            with self.assertRaises(grpc.RpcError) as caught:
                generate(server.stub,
                         greedy(pb.Input(text="\u2603\u2603\u2603")))
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.INVALID_ARGUMENT)

    def test_official_tokenizer_json_next_to_the_vocabulary(self):
        if not FORMAT_FIXTURES:
            self.skipTest("RWKVD_FORMAT_FIXTURES is not set")
        shutil.copy(os.path.join(
            FORMAT_FIXTURES, "hf7-release/model/tokenizer.json"), self.folder)
        for with_vocabulary in (False, True):
            if with_vocabulary:
                shutil.copy(self.vocabulary, self.folder)
            with self.subTest(with_vocabulary=with_vocabulary), \
                    rwkvd(model=self.folder) as server:
                self.assert_is_world(server)
                self.check_vectors(server)

    def check_vectors(self, server):
        path = os.path.join(FORMAT_FIXTURES,
                            "tokenizers/endoftext-exceptions.jsonl")
        with open(path, encoding="utf-8") as file:
            for line in map(json.loads, file):
                response = server.stub.Tokenize(
                    pb.TokenizeRequest(text=line["text"]), timeout=PATIENCE)
                self.assertEqual(list(response.ids),
                                 line["ids_tokenizer_json"])


class EmbeddedTokenizerTest(unittest.TestCase):
    """GGUF files, which contain their vocabulary."""

    def test_quality_tool_uses_the_vocabulary_in_the_file(self):
        if not FORMAT_FIXTURES:
            self.skipTest("RWKVD_FORMAT_FIXTURES is not set")
        models = os.path.join(FORMAT_FIXTURES, "gguf/models")
        with tempfile.NamedTemporaryFile() as text:
            text.write(b"In the beginning was the word.\0A second text.")
            text.flush()
            result = subprocess.run(
                [QUALITY, f"--reference={models}/v7.F16.gguf",
                 f"--model={models}/v7.Q8_0-by-converter.gguf",
                 f"--text={text.name}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["documents"], 2)
        self.assertGreater(report["mean_kl"], 0)


if __name__ == "__main__":
    unittest.main()
