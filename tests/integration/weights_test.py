# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd that quantizes during loading: it reports the weight type, and
its answers are bit-identical to those of a file that was quantized before."""

import hashlib
import os
import subprocess
import tempfile
import unittest

from answers import generate, request
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, rwkvd
from startup import assert_refuses

CONVERT = os.environ.get("RWKVD_CONVERT", "tools/rwkv_convert/rwkv-convert")


def served(*flags, model=MODEL):
    """The description of a server's model, and the tokens that it generates
    with all their fields."""
    with rwkvd(*flags, model=model) as server:
        description = server.stub.GetModel(pb.GetModelRequest(),
                                           timeout=PATIENCE)
        tokens = []
        for temperature in (0, 0.9):
            answer = generate(server.stub, request(
                max_tokens=40, temperature=temperature, seed=5, logprobs=True,
                top_logprobs=5))
            tokens += [token.SerializeToString(deterministic=True)
                       for token in answer.tokens]
        return description, tokens


def fingerprint_of(stored, weights):
    """The fingerprint that the contract defines, from that of the file and the
    value of the flag."""
    digest = hashlib.sha256()
    for text in (stored.encode(), weights.encode()):
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


class WeightsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.stored, cls.stored_tokens = served()

    def converted(self, weights):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        output = os.path.join(folder.name, "out")
        subprocess.run([CONVERT, f"--weights={weights}", MODEL, output],
                       check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        return output

    def test_quantized_during_loading_equals_quantized_before(self):
        for weights in ("int8", "int8,mixed", "int4", "int4,mixed"):
            with self.subTest(weights=weights):
                loading, tokens = served(f"--weights={weights}")
                ahead, tokens_ahead = served(model=self.converted(weights))
                self.assertEqual(len(tokens), 80)
                self.assertNotEqual(tokens, self.stored_tokens)
                self.assertEqual(tokens, tokens_ahead)
                self.assertEqual(
                    (loading.weight_type, ahead.weight_type),
                    (weights, weights))
                self.assertEqual(loading.num_parameters,
                                 self.stored.num_parameters)
                self.assertEqual(
                    loading.fingerprint,
                    fingerprint_of(self.stored.fingerprint, weights))
                self.assertNotIn(ahead.fingerprint, (
                    loading.fingerprint, self.stored.fingerprint))

    def test_as_stored_is_the_default(self):
        model, tokens = served("--weights=as_stored")
        self.assertEqual(model.fingerprint, self.stored.fingerprint)
        self.assertEqual(model.weight_type, "BF16")
        self.assertEqual(tokens, self.stored_tokens)

    def test_number_of_threads_does_not_change_quantization(self):
        _, one = served("--weights=int8", "--threads=1")
        _, three = served("--weights=int8", "--threads=3")
        self.assertEqual(one, three)

    def test_int8_activations_change_tokens_but_not_the_fingerprint(self):
        wide, wide_tokens = served("--weights=int8")
        narrow, narrow_tokens = served("--weights=int8", "--activations=int8")
        self.assertEqual((wide.activations, narrow.activations),
                         ("auto", "int8"))
        self.assertEqual(wide.fingerprint, narrow.fingerprint)
        self.assertEqual(len(narrow_tokens), 80)
        self.assertNotEqual(wide_tokens, narrow_tokens)

    def test_unknown_weight_type_is_refused(self):
        assert_refuses(self, [f"--model={MODEL}", "--weights=int5"],
                       "--weights", "int5")


if __name__ == "__main__":
    unittest.main()
