# SPDX-License-Identifier: Apache-2.0
"""Requests with several samples, sent to a real rwkvd."""

import collections
import subprocess
import unittest

from answers import generate, request
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd

PROMPT = "And it came to pass"


class Sample:
    """The messages of one sample."""

    def __init__(self):
        self.tokens, self.text, self.finish = [], "", None


def samples_of(stub, message):
    """Samples by number, in the order in which they ended."""
    samples = collections.defaultdict(Sample)
    ended = {}
    for response in stub.Generate(message, timeout=PATIENCE):
        if response.WhichOneof("event") == "delta":
            sample = samples[response.delta.sample]
            sample.tokens += response.delta.tokens
            sample.text += response.delta.text
        else:
            sample = samples[response.finish.sample]
            sample.finish = response.finish
            sample.text += response.finish.text
            ended[response.finish.sample] = sample
    assert samples == ended
    return ended


class SamplesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.stub = cls.server.stub

    def test_each_sample_equals_a_request_with_its_seed(self):
        fields = dict(max_tokens=30, temperature=1, logprobs=True)
        samples = samples_of(self.stub, request(PROMPT, n=6, seed=7, **fields))
        self.assertEqual(sorted(samples), list(range(6)))
        self.assertGreater(len({sample.text for sample in samples.values()}),
                           1)
        for number, sample in samples.items():
            alone = generate(self.stub,
                             request(PROMPT, seed=7 + number, **fields))
            self.assertEqual(sample.tokens, alone.tokens)
            self.assertEqual(sample.text, alone.text)
            self.assertEqual(sample.finish.reason, alone.finish.reason)
            self.assertEqual(sample.finish.seed, 7 + number)

    def test_best_samples_are_the_most_probable(self):
        fields = dict(max_tokens=30, temperature=1, seed=3)
        everyone = samples_of(self.stub,
                              request(PROMPT, n=8, logprobs=True, **fields))
        sums = {number: sum(token.logprob for token in sample.tokens)
                for number, sample in everyone.items()}
        best = samples_of(self.stub,
                          request(PROMPT, n=2, best_of=8, **fields))
        self.assertEqual(list(best), sorted(sums, key=sums.get)[:-3:-1])
        for number, sample in best.items():
            self.assertEqual(sample.text, everyone[number].text)

    def test_rwkvctl_shows_each_sample_with_its_number(self):
        output = subprocess.run(
            [RWKVCTL, "generate", f"--server={self.server.address}", "--n=3",
             "--max_tokens=10", PROMPT], check=True, stdout=subprocess.PIPE,
            timeout=PATIENCE).stdout
        for number in range(3):
            self.assertIn(b"--- %d ---\n" % number, output)


if __name__ == "__main__":
    unittest.main()
