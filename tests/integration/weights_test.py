# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd that quantizes while loading: what it tells of its weights, and
that they are those of a file quantized ahead of time, bit for bit."""

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
    """What a server tells of its model, and the tokens it draws, with all that
    is told of them."""
    with rwkvd(*flags, model=model) as server:
        told = server.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        tokens = []
        for temperature in (0, 0.9):
            answer = generate(server.stub, request(
                max_tokens=40, temperature=temperature, seed=5, logprobs=True,
                top_logprobs=5))
            tokens += [token.SerializeToString(deterministic=True)
                       for token in answer.tokens]
        return told, tokens


def fingerprint_of(stored, weights):
    """As the contract says: of the file's, and of the flag's value."""
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

    def test_quantized_while_loading_or_ahead_of_time_is_the_same(self):
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

    def test_as_stored_is_what_is_served_without_the_flag(self):
        told, tokens = served("--weights=as_stored")
        self.assertEqual(told.fingerprint, self.stored.fingerprint)
        self.assertEqual(told.weight_type, "BF16")
        self.assertEqual(tokens, self.stored_tokens)

    def test_the_threads_that_quantize_change_no_bit(self):
        _, one = served("--weights=int8", "--threads=1")
        _, three = served("--weights=int8", "--threads=3")
        self.assertEqual(one, three)

    def test_a_kind_that_there_is_not_is_refused(self):
        assert_refuses(self, [f"--model={MODEL}", "--weights=int5"],
                       "--weights", "int5")


if __name__ == "__main__":
    unittest.main()
