# SPDX-License-Identifier: Apache-2.0
"""Every RPC of a real rwkvd with the bundled model, called from Python."""

import concurrent.futures
import json
import os
import random
import struct
import unittest

import grpc
import health_pb2
from answers import generate, request
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, SERVICE, rwkvd


def tensor_shapes():
    """Computed from the headers of the files."""
    shapes = {}
    for name in sorted(os.listdir(MODEL)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(MODEL, name), "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        shapes.update({key: value["shape"] for key, value in header.items()})
    return shapes


class ClientTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enter(rwkvd())
        cls.stub = cls.server.stub

    @classmethod
    def enter(cls, manager):
        value = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return value

    def tokenize(self, data):
        return list(self.stub.Tokenize(pb.TokenizeRequest(bytes=data),
                                       timeout=PATIENCE).ids)

    def test_streams_deltas_then_one_finish(self):
        answer = generate(self.stub, request(max_tokens=40))
        self.assertGreater(answer.deltas, 1)
        self.assertEqual(len(answer.ids), 40)
        self.assertEqual(answer.finish.reason, pb.FINISH_REASON_LENGTH)
        self.assertEqual(answer.finish.usage.generated_tokens, 40)
        self.assertEqual(answer.finish.usage.prompt_tokens,
                         len(self.tokenize(b"In the beginning")))
        self.assertEqual(answer.finish.seed, 1)
        self.assertGreater(answer.finish.times.time_to_first_token_seconds, 0)
        self.assertEqual(answer.bytes.decode(errors="replace"), answer.text)
        detokenized = self.stub.Detokenize(
            pb.DetokenizeRequest(ids=answer.ids), timeout=PATIENCE)
        self.assertEqual(detokenized.bytes, answer.bytes)

    def test_default_max_tokens_is_256(self):
        message = request()
        message.ClearField("max_tokens")
        message.sampling.temperature = 1
        answer = generate(self.stub, message)
        self.assertTrue(
            len(answer.ids) == 256 or
            answer.finish.reason == pb.FINISH_REASON_END_OF_TEXT)

    def test_text_bytes_and_tokens_give_the_same_prompt(self):
        prompt = "The President of the United States"
        as_text = request(prompt)
        as_bytes, as_tokens = request(), request()
        as_bytes.prompt.bytes = prompt.encode()
        as_tokens.prompt.tokens.ids.extend(self.tokenize(prompt.encode()))
        ids = generate(self.stub, as_text).ids
        self.assertEqual(generate(self.stub, as_bytes).ids, ids)
        self.assertEqual(generate(self.stub, as_tokens).ids, ids)

    def test_empty_prompt_starts_a_document(self):
        message = request()
        message.ClearField("prompt")
        answer = generate(self.stub, message)
        token_0 = request()
        token_0.prompt.tokens.ids.append(0)
        self.assertEqual(generate(self.stub, token_0).ids, answer.ids)
        self.assertGreater(len(answer.ids), 0)

    def test_same_seed_repeats_the_answer_and_others_differ(self):
        message = request(temperature=1, seed=7)
        first = generate(self.stub, message)
        self.assertEqual(generate(self.stub, message).ids, first.ids)
        message.sampling.ClearField("seed")
        random_seed = generate(self.stub, message)
        self.assertNotEqual(random_seed.ids, first.ids)
        message.sampling.seed = random_seed.finish.seed
        self.assertEqual(generate(self.stub, message).ids, random_seed.ids)

    def test_answers_do_not_depend_on_the_batch(self):
        messages = [request(f"Chapter {i}", 60, temperature=1, seed=i)
                    for i in range(12)]
        alone = [generate(self.stub, message).ids for message in messages]
        with concurrent.futures.ThreadPoolExecutor(len(messages)) as pool:
            together = list(pool.map(
                lambda message: generate(self.stub, message).ids, messages))
        self.assertEqual(together, alone)

    def test_stop_string_ends_the_answer_before_it(self):
        whole = generate(self.stub, request(max_tokens=40))
        stop = whole.bytes[21:26]
        cut = generate(self.stub, request(max_tokens=40,
                                          stop_strings=[b"\xff\xfe", stop]))
        self.assertEqual(cut.finish.reason, pb.FINISH_REASON_STOP_STRING)
        self.assertEqual(cut.finish.stop_string, stop)
        self.assertEqual(cut.bytes, whole.bytes[:whole.bytes.index(stop)])

    def test_stop_token_is_the_last_token(self):
        whole = generate(self.stub, request(max_tokens=40))
        stop = whole.ids[10]
        cut = generate(self.stub, request(max_tokens=40, stop_tokens=[stop]))
        self.assertEqual(cut.finish.reason, pb.FINISH_REASON_STOP_TOKEN)
        self.assertEqual(cut.ids, whole.ids[:whole.ids.index(stop) + 1])

    def test_scores_equal_the_logprobs_of_generated_tokens(self):
        answer = generate(self.stub, request(max_tokens=25, top_logprobs=3))
        score = self.stub.Score(pb.ScoreRequest(
            context=pb.Input(text="In the beginning"),
            continuations=[pb.Input(tokens=pb.TokenIds(ids=answer.ids))]),
            timeout=PATIENCE).scores[0]
        self.assertEqual([token.logprob for token in score.tokens],
                         [token.logprob for token in answer.tokens])
        self.assertAlmostEqual(score.logprob_sum,
                               sum(token.logprob for token in answer.tokens))
        self.assertTrue(score.is_greedy)
        for token in answer.tokens:  # greedy: the first of the likeliest
            self.assertEqual(token.top_logprobs[0].id, token.id)
            self.assertEqual(len(token.top_logprobs), 3)

    def test_scores_several_continuations_of_one_context(self):
        texts = [" God created", " the whale", " x"]
        response = self.stub.Score(pb.ScoreRequest(
            context=pb.Input(text="In the beginning"),
            continuations=[pb.Input(text=text) for text in texts]),
            timeout=PATIENCE)
        self.assertEqual(len(response.scores), 3)
        for text, score in zip(texts, response.scores):
            self.assertEqual([token.id for token in score.tokens],
                             self.tokenize(text.encode()))
            alone = self.stub.Score(pb.ScoreRequest(
                context=pb.Input(text="In the beginning"),
                continuations=[pb.Input(text=text)]), timeout=PATIENCE)
            self.assertEqual(alone.scores[0], score)
        self.assertGreater(response.scores[0].logprob_sum /
                           response.scores[0].token_count, -10)

    def test_scores_of_many_items_equal_those_of_each_alone(self):
        pairs = [("In the beginning", " God"), ("In the end", " x"),
                 ("", "In the"), ("In the beginning", " God created")]
        many = self.stub.Score(pb.ScoreRequest(items=[
            pb.ScoreItem(context=pb.Input(text=context),
                         continuations=[pb.Input(text=text)])
            for context, text in pairs]), timeout=PATIENCE)
        for (context, text), item in zip(pairs, many.items):
            alone = self.stub.Score(pb.ScoreRequest(
                context=pb.Input(text=context),
                continuations=[pb.Input(text=text)]), timeout=PATIENCE)
            self.assertEqual(list(alone.scores), list(item.scores))

    def test_scores_of_parts_equal_those_of_the_whole_document(self):
        ids = self.tokenize(b"In the beginning God created the heaven. " * 50)
        whole = self.stub.Score(pb.ScoreRequest(
            continuations=[pb.Input(tokens=pb.TokenIds(ids=ids))]),
            timeout=PATIENCE).scores[0]
        for size in (1, 17, len(ids)):
            parts = [pb.ScoreDocumentRequest(token_scores=True, part=pb.Input(
                tokens=pb.TokenIds(ids=ids[i:i + size])))
                for i in range(0, len(ids), size)]
            *scores, last = self.stub.ScoreDocument(iter(parts),
                                                    timeout=PATIENCE)
            tokens = [token for message in scores
                      for token in message.tokens.tokens]
            self.assertEqual(tokens, list(whole.tokens))
            self.assertEqual(last.total.logprob_sum, whole.logprob_sum)
            self.assertEqual(last.total.token_count, len(ids))

    def test_echo_equals_the_score(self):
        ids = self.tokenize(b"In the beginning God created")
        prompt = []
        for response in self.stub.Generate(
                request("In the beginning God created", max_tokens=2,
                        echo=True), timeout=PATIENCE):
            prompt += response.delta.prompt_tokens
        self.assertEqual([token.id for token in prompt], ids)
        self.assertFalse(prompt[0].HasField("logprob"))
        score = self.stub.Score(pb.ScoreRequest(
            context=pb.Input(tokens=pb.TokenIds(ids=ids[:1])),
            continuations=[pb.Input(tokens=pb.TokenIds(ids=ids[1:]))]),
            timeout=PATIENCE).scores[0]
        self.assertEqual([token.logprob for token in prompt[1:]],
                         [token.logprob for token in score.tokens])

    def test_tokenize_and_detokenize_round_trip_any_bytes(self):
        rng = random.Random(5)
        samples = [b"", bytes(range(256)), "naïve 東京 \U0001f600".encode(),
                   *(rng.randbytes(rng.randrange(1, 300)) for _ in range(20))]
        for data in samples:
            response = self.stub.Detokenize(
                pb.DetokenizeRequest(ids=self.tokenize(data)),
                timeout=PATIENCE)
            self.assertEqual(response.bytes, data)
            self.assertEqual(response.text, data.decode(errors="replace"))

    def test_get_model_describes_the_model(self):
        model = self.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        shapes = tensor_shapes()
        layers = {name.split(".")[1] for name in shapes
                  if name.startswith("blocks.")}
        vocabulary, width = shapes["emb.weight"]
        parameters = 0
        for shape in shapes.values():
            count = 1
            for size in shape:
                count *= size
            parameters += count
        self.assertEqual(model.name, "demo")
        self.assertEqual(model.architecture, "rwkv4")
        self.assertEqual(model.num_layers, len(layers))
        self.assertEqual(model.embedding_size, width)
        self.assertEqual(model.vocab_size, vocabulary)
        self.assertEqual(model.num_parameters, parameters)
        self.assertEqual(model.weight_type, "BF16")
        self.assertEqual(model.tokenizer, "world")
        self.assertEqual(model.end_of_text_token, 0)
        # Five f32 vectors per layer.
        self.assertEqual(model.state_bytes, 5 * len(layers) * width * 4)
        self.assertEqual(len(model.fingerprint), 64)

    def test_health_has_both_service_names(self):
        serving = health_pb2.HealthCheckResponse.SERVING
        self.assertEqual(self.server.health.check(), serving)
        self.assertEqual(self.server.health.check(SERVICE), serving)
        with self.assertRaises(grpc.RpcError) as caught:
            self.server.health.check("no.such.Service")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)


if __name__ == "__main__":
    unittest.main()
