# SPDX-License-Identifier: Apache-2.0
"""The initial states of requests in a real rwkvd."""

import subprocess
import tempfile
import unittest

import grpc
from answers import generate, request
from checkpoints import written_checkpoints
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd
from startup import assert_refuses

TUNABLE = ("rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7")


def score(server, context="fox", initial_state=""):
    response = server.stub.Score(
        pb.ScoreRequest(context=pb.Input(text=context),
                        continuations=[pb.Input(text=" jumps")],
                        initial_state=initial_state), timeout=PATIENCE)
    return response.scores[0].logprob_sum


class InitialStatesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.checkpoints, folder = written_checkpoints()
        cls.addClassCleanup(folder.cleanup)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def paths(self, version, what):
        return [path for name, path in self.checkpoints[version]
                if name == what]

    def path(self, version, what):
        return self.paths(version, what)[0]

    def start(self, version, *flags, what="safetensors"):
        manager = rwkvd("--threads=1", *flags, model=self.path(version, what))
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    # The choice of the initial state.

    def test_tuned_states_of_every_version_and_format_are_used(self):
        for version in TUNABLE:
            with self.subTest(version=version):
                pth, safetensors = self.paths(version, "tuned")
                server = self.start(version, f"--initial_state=pth={pth}",
                                    f"--initial_state=st={safetensors}")
                within = self.start(version, what="tuned_in")
                tuned, own = score(server, initial_state="pth"), score(server)
                self.assertNotEqual(tuned, own)
                self.assertEqual(tuned, score(server, initial_state="st"))
                self.assertEqual(tuned, score(within))
                self.assertEqual(own, score(server, initial_state="model"))
                model = server.stub.GetModel(pb.GetModelRequest(),
                                             timeout=PATIENCE)
                self.assertEqual(list(model.initial_states),
                                 ["model", "pth", "st"])
                self.assertEqual(model.default_initial_state, "model")

    def test_saved_state_equals_reading_its_text(self):
        for version in ("rwkv4", *TUNABLE):
            with self.subTest(version=version):
                server = self.start(
                    version, f"--initial_state=r={self.path(version, 'read')}")
                self.assertEqual(score(server, "fox", "r"),
                                 score(server, "The quick fox"))
                self.assertNotEqual(score(server, "fox", "r"), score(server))

    def test_saved_state_is_valid_for_every_format_of_the_model(self):
        state = self.path("rwkv7", "read")
        server = self.start("rwkv7", f"--initial_state=r={state}", what="fla")
        self.assertEqual(score(server, "fox", "r"),
                         score(server, "The quick fox"))

    def test_default_is_used_by_requests_that_choose_none(self):
        tuned = self.path("rwkv6", "tuned")
        server = self.start("rwkv6", f"--initial_state=t={tuned}",
                            "--default_initial_state=t")
        self.assertEqual(score(server), score(server, initial_state="t"))
        self.assertNotEqual(score(server),
                            score(server, initial_state="model"))
        model = server.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        self.assertEqual(list(model.initial_states), ["t", "model"])
        self.assertEqual(model.default_initial_state, "t")

    def test_generation_starts_from_it_whatever_is_cached(self):
        read = self.path("rwkv5.2", "read")
        server = self.start("rwkv5.2", f"--initial_state=r={read}")
        answers = [generate(server.stub, request(prompt, 12, logprobs=True,
                                                 initial_state=state))
                   for prompt, state in (("fox", "r"), ("fox", ""),
                                         ("fox", "r"), ("The quick fox", ""))]
        logprobs = [[token.logprob for token in answer.tokens]
                    for answer in answers]
        self.assertEqual(logprobs[0], logprobs[2])
        self.assertEqual(logprobs[0], logprobs[3])
        self.assertNotEqual(logprobs[0], logprobs[1])
        cached = [answer.finish.usage.cached_tokens for answer in answers]
        self.assertEqual(cached, [0, 0, 3, 0])

    def test_error_for_an_unknown_name_lists_the_known_ones(self):
        tuned = self.path("rwkv7", "tuned")
        server = self.start("rwkv7", f"--initial_state=chat={tuned}")
        for call in (lambda: score(server, initial_state="cat"),
                     lambda: generate(server.stub,
                                      request(initial_state="cat"))):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertEqual(caught.exception.code(),
                             grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(
                caught.exception.details(),
                'initial_state: there is no "cat"; this server has model, '
                'chat')

    def test_rwkvctl_chooses_one(self):
        read = self.path("rwkv4", "read")
        server = self.start("rwkv4", f"--initial_state=r={read}")

        def print_of(*words):
            return subprocess.run(
                [RWKVCTL, *words, f"--server={server.address}"], check=True,
                stdout=subprocess.PIPE, timeout=PATIENCE).stdout

        self.assertEqual(
            print_of("score", "--initial_state=r", "fox", " jumps"),
            print_of("score", "The quick fox", " jumps"))
        self.assertNotEqual(
            print_of("score", "--initial_state=r", "fox", " jumps"),
            print_of("score", "fox", " jumps"))

    # Files that are refused.

    def refuse(self, version, path, *words):
        assert_refuses(self, [f"--model={self.path(version, 'safetensors')}",
                              f"--initial_state=x={path}"],
                       "--initial_state=x: ", path, *words)

    def changed(self, path, change):
        """The path of a copy whose bytes `change` has modified."""
        with open(path, "rb") as file:
            data = bytearray(file.read())
        change(data)
        copy = f"{self.folder}/changed"
        with open(copy, "wb") as file:
            file.write(data)
        return copy

    def test_tuned_state_of_other_sizes_is_refused(self):
        self.refuse("rwkv6", self.path("rwkv5.2", "tuned"),
                    "blocks.0.att.time_state", "[4, 24, 24]", "[6, 16, 16]")
        self.refuse("rwkv7", self.path("rwkv6", "tuned"),
                    "blocks.0.att.time_state", "[3, 32, 32]", "[4, 24, 24]")

    def test_tuned_state_for_version_4_is_refused(self):
        self.refuse("rwkv4", self.path("rwkv6", "tuned"),
                    "RWKV-4", "no state")

    def test_checkpoint_without_states_is_refused(self):
        self.refuse("rwkv6", self.path("rwkv6", "pth"),
                    "blocks.0.att.time_state", "none")

    def test_saved_state_of_another_model_is_refused(self):
        self.refuse("rwkv5.2", self.path("rwkv5.1", "read"),
                    "another model", "rwkv5.1", "rwkv5.2")

    def test_truncated_saved_state_is_refused(self):
        path = self.path("rwkv7", "read")
        for size in (9, 50, 300):
            self.refuse("rwkv7", self.changed(
                path, lambda data, size=size: data.__delitem__(
                    slice(size, None))), "truncated")

    def test_saved_state_with_a_flipped_bit_is_refused(self):
        def flip(data):
            data[1000] ^= 1
        self.refuse("rwkv7", self.changed(self.path("rwkv7", "read"), flip),
                    "damaged", "SHA-256")

    def test_saved_state_of_a_later_format_is_refused(self):
        def raise_version(data):
            data[8] = 3
        self.refuse("rwkv7",
                    self.changed(self.path("rwkv7", "read"), raise_version),
                    "format version 3", "too old")

    def test_invalid_names_are_refused(self):
        model = f"--model={self.path('rwkv6', 'pth')}"
        tuned = self.path("rwkv6", "tuned")
        for flags, words in (
                ([f"--initial_state=a={tuned}"] * 2, ["two are named", "a"]),
                ([f"--initial_state=model={tuned}"], ["model's own"]),
                ([f"--initial_state={tuned}"], ["NAME=PATH"]),
                (["--initial_state=a=/no/such/file"],
                 ["--initial_state=a", "/no/such/file"]),
                ([f"--initial_state=a={tuned}", "--default_initial_state=b"],
                 ["--default_initial_state", '"b"'])):
            with self.subTest(flags=flags):
                assert_refuses(self, [model, *flags], *words)


if __name__ == "__main__":
    unittest.main()
