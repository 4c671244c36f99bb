# SPDX-License-Identifier: Apache-2.0
"""The sampler chain of a real rwkvd with the bundled model."""

import concurrent.futures
import math
import unittest

from answers import generate, request
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import rwkvd

PROMPT = "And God said unto Moses, And God said unto"

CHAINS = {
    "plain": pb.Sampling(),
    "rwkv": pb.Sampling(preset=pb.SAMPLING_PRESET_RWKV),
    "rwkv_chat": pb.Sampling(preset=pb.SAMPLING_PRESET_RWKV_CHAT),
    "smolrsrwkv": pb.Sampling(
        preset=pb.SAMPLING_PRESET_SMOLRSRWKV,
        penalty_scope=pb.PENALTY_SCOPE_PROMPT_AND_OUTPUT),
    "everything": pb.Sampling(
        temperature=1.2, top_k=200, top_p=0.98, min_p=0.0001, typical_p=0.99,
        tail_free_z=0.99, order=pb.SAMPLER_ORDER_TEMPERATURE_FIRST,
        presence_penalty=0.3, frequency_penalty=0.1, penalty_decay=0.99,
        penalty_window=50, repetition_penalty=1.1, repetition_window=20,
        penalty_scope=pb.PENALTY_SCOPE_PROMPT_AND_OUTPUT,
        sequence_repetition=pb.SequenceRepetition(
            flat_penalty=1, stacking_penalty=0.5, min_length=2, tolerance=1),
        exempt_blanks_and_digits=True, never_end=True,
        logit_bias=[pb.LogitBias(id=300, bias=1)], banned_tokens=[32, 33]),
    "mirostat 1": pb.Sampling(mirostat=pb.Mirostat(version=1, tau=4)),
    "mirostat 2": pb.Sampling(
        preset=pb.SAMPLING_PRESET_SMOLRSRWKV, mirostat=pb.Mirostat(tau=3)),
}


def messages():
    for sampling in CHAINS.values():
        message = request(PROMPT, 60, top_logprobs=3, top_drawn_logprobs=3)
        message.sampling.CopyFrom(sampling)
        message.sampling.seed = 11
        yield message


def answers(stub):
    return [generate(stub, message) for message in messages()]


class SamplingTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        cls.stub = cls.server.stub

    def assert_same(self, some, others):
        for name, one, two in zip(CHAINS, some, others, strict=True):
            self.assertEqual(one.tokens, two.tokens, name)

    def test_each_chain_samples_different_tokens(self):
        ids = {tuple(answer.ids) for answer in answers(self.stub)}
        self.assertEqual(len(ids), len(CHAINS))

    def test_tokens_do_not_depend_on_the_cache(self):
        with rwkvd("--state_cache_mib=0") as server:
            first = answers(server.stub)
        answers(self.stub)
        again = answers(self.stub)
        self.assertEqual(first[0].finish.usage.cached_tokens, 0)
        self.assertGreater(again[0].finish.usage.cached_tokens, 0)
        self.assert_same(first, again)

    def test_tokens_do_not_depend_on_the_load(self):
        alone = answers(self.stub)
        others = [request(f"Chapter {i} said", 200, temperature=1, seed=i)
                  for i in range(16)]
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            crowd = [pool.submit(generate, self.stub, other)
                     for other in others]
            together = list(pool.map(
                lambda message: generate(self.stub, message), messages()))
            for one in crowd:
                one.result()
        self.assert_same(alone, together)

    def test_tokens_do_not_depend_on_the_number_of_threads(self):
        here = answers(self.stub)
        for threads in (1, 2, 5):
            with rwkvd(f"--threads={threads}") as server:
                self.assert_same(here, answers(server.stub))

    def test_tokens_are_the_same_after_a_restart(self):
        with rwkvd() as server:
            before = answers(server.stub)
            server.signal()
            self.assertEqual(server.wait(), 0)
        with rwkvd() as server:
            self.assert_same(before, answers(server.stub))

    def test_logprobs_are_reported_before_and_after_the_samplers(self):
        for name, answer in zip(CHAINS, answers(self.stub)):
            for token in answer.tokens:
                drawn = token.top_drawn_logprobs
                self.assertLessEqual(token.drawn_logprob, 0, name)
                self.assertLessEqual(
                    math.fsum(math.exp(top.logprob) for top in drawn),
                    1 + 1e-9)
                if name == "plain":
                    self.assertAlmostEqual(token.logprob, token.drawn_logprob,
                                           places=9)
                    self.assertEqual([top.id for top in drawn],
                                     [top.id for top in token.top_logprobs])
                if len(drawn) < 3:  # these are all that there were
                    self.assertAlmostEqual(
                        math.fsum(math.exp(top.logprob) for top in drawn), 1)
                    self.assertIn(token.id, [top.id for top in drawn])

    def test_greedy_tokens_have_probability_1(self):
        answer = generate(self.stub, request(PROMPT, 10,
                                             top_drawn_logprobs=3))
        for token in answer.tokens:
            self.assertEqual(token.drawn_logprob, 0)
            self.assertEqual(list(token.top_drawn_logprobs),
                             [pb.TokenLogprob(id=token.id, logprob=0)])
            self.assertFalse(token.HasField("logprob"))

    def test_tokens_can_be_forced_banned_and_allowed(self):
        message = request(PROMPT, 30, temperature=1)
        message.sampling.forced_tokens.extend([70, 80])
        forced = generate(self.stub, message)
        self.assertEqual(forced.ids[:2], [70, 80])
        message.sampling.banned_tokens.extend(
            set(forced.ids[2:]) - {70, 80})
        banned = generate(self.stub, message)
        self.assertFalse(set(banned.ids[2:]) &
                         set(message.sampling.banned_tokens))
        message = request(PROMPT, 30, temperature=1)
        message.sampling.allowed_tokens.extend([65, 66, 67])
        self.assertLessEqual(set(generate(self.stub, message).ids),
                             {65, 66, 67})

    def test_never_end_gives_max_tokens(self):
        message = request("", 5)
        message.sampling.logit_bias.add(id=0, bias=100)
        ended = generate(self.stub, message)
        self.assertEqual(ended.finish.reason, pb.FINISH_REASON_END_OF_TEXT)
        message.sampling.never_end = True
        endless = generate(self.stub, message)
        self.assertEqual(endless.finish.reason, pb.FINISH_REASON_LENGTH)
        self.assertNotIn(0, endless.ids)


if __name__ == "__main__":
    unittest.main()
