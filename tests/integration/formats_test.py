# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd with every version of RWKV in every format: the answers of one
version are bit-identical."""

import os
import unittest

from answers import generate, request
from checkpoints import written_checkpoints
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd

LAYOUTS = {"hugging_face": "Hugging Face", "fla": "flash-linear-attention",
           "fla_old": "flash-linear-attention", "web_rwkv": "web-rwkv"}

# Tensors that web-rwkv's converters do not change.
STILL_NATIVE = {("rwkv4", "web_rwkv"), ("rwkv7", "web_rwkv_rust")}

# web-rwkv repeats each head's decay for its channels, which makes an equivalent
# model of version 5.2.
MADE_5_2 = ("rwkv5.1", "web_rwkv")

# Sizes of the models: layers, embedding, ffn, heads, head size.
SIZES = {"rwkv4": (2, 32, 128, 0, 0), "rwkv5.0": (2, 96, 160, 6, 16),
         "rwkv5.1": (2, 96, 160, 6, 16), "rwkv5.2": (2, 96, 160, 6, 16),
         "rwkv6": (2, 96, 160, 4, 24), "rwkv7": (3, 96, 160, 3, 32)}

TEXT = b"caf\xc3\xa9 \xff"


def served(path):
    """The description of the served model, and the answers of the server."""
    with rwkvd("--threads=1", model=path) as server:
        stub = server.stub
        model = stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        tokenized = stub.Tokenize(pb.TokenizeRequest(bytes=TEXT),
                                  timeout=PATIENCE)
        scored = stub.Score(pb.ScoreRequest(
            context=pb.Input(text="In the"),
            continuations=[pb.Input(text=" beginning"), pb.Input(text="x")]),
            timeout=PATIENCE)
        answer = generate(stub, request(max_tokens=20, temperature=0.7,
                                        top_logprobs=3))
        greedy = generate(stub, request(max_tokens=20))
        return model, {
            "ids": list(tokenized.ids),
            "scores": [score.SerializeToString(deterministic=True)
                       for score in scored.scores],
            "tokens": [token.SerializeToString(deterministic=True)
                       for token in answer.tokens],
            "greedy": greedy.ids,
            "fingerprint": model.fingerprint,
            "weight_type": model.weight_type,
            "num_parameters": model.num_parameters}


class FormatsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.checkpoints, folder = written_checkpoints()
        cls.addClassCleanup(folder.cleanup)

    def check_model(self, model, version, name):
        self.assertEqual(
            model.architecture,
            "rwkv5.2" if (version, name) == MADE_5_2 else version)
        self.assertEqual(
            model.layout,
            "native" if (version, name) in STILL_NATIVE else
            LAYOUTS.get(name, "native"))
        self.assertEqual((model.num_layers, model.embedding_size,
                          model.ffn_size, model.num_heads, model.head_size),
                         SIZES[version])
        self.assertEqual(model.attention_size, model.embedding_size)
        self.assertEqual(model.vocab_size, 256)
        self.assertEqual(model.weight_type, "F16")
        self.assertEqual((model.tokenizer, model.tokenizer_size),
                         ("bytes", 256))
        self.assertEqual(list(model.initial_states), ["model"])
        self.assertEqual(model.default_initial_state, "model")

    def check_all_formats_of(self, version, count):
        formats = {name: path for name, path in self.checkpoints[version]
                   if not name.startswith("tuned") and name != "read"}
        self.assertEqual(len(formats), count)
        expected = None
        for name, path in formats.items():
            with self.subTest(format=name):
                model, answers = served(path)
                self.check_model(model, version, name)
                self.assertEqual(answers["ids"], list(TEXT))
                expected = expected or answers
                if (version, name) == MADE_5_2:
                    for key in ("fingerprint", "num_parameters"):
                        self.assertNotEqual(answers[key], expected[key])
                        answers[key] = expected[key]
                self.assertEqual(answers, expected)

    def test_version_4(self):
        self.check_all_formats_of("rwkv4", 8)

    def test_version_5_0(self):
        self.check_all_formats_of("rwkv5.0", 6)

    def test_version_5_1(self):
        self.check_all_formats_of("rwkv5.1", 7)

    def test_version_5_2(self):
        self.check_all_formats_of("rwkv5.2", 8)

    def test_version_6(self):
        self.check_all_formats_of("rwkv6", 9)

    def test_version_7(self):
        self.check_all_formats_of("rwkv7", 10)

    def test_folder_can_be_given_as_the_model(self):
        for name, path in self.checkpoints["rwkv6"]:
            if name not in ("safetensors", "sharded", "pth", "pth_sharded",
                            "web_rwkv"):
                continue
            with self.subTest(format=name):
                self.assertTrue(os.path.isfile(path))
                folder, _ = served(os.path.dirname(path))
                self.assertEqual(folder.name, name)
                self.assertEqual(folder.architecture, "rwkv6")


if __name__ == "__main__":
    unittest.main()
