# SPDX-License-Identifier: Apache-2.0
"""The real grpcurl with a real rwkvd: the commands of the README and some
others."""

import json
import os
import re
import shlex
import subprocess
import unittest

from grpcurl import find_grpcurl
from rwkvd_process import PATIENCE, SERVICE, VLLM_SERVICE, rwkvd

README = os.environ.get("RWKVD_README", "README.md")


def readme_commands():
    """The grpcurl commands in the README, with continued lines joined."""
    with open(README, encoding="utf-8") as file:
        text = re.sub(r"\\\n\s*", "", file.read())
    commands = [line.strip() for line in text.splitlines()
                if line.startswith("    grpcurl ")]
    return [shlex.split(command) for command in commands]


class GrpcurlTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.grpcurl = find_grpcurl()
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    def run_words(self, words):
        result = subprocess.run(
            [self.grpcurl, *words], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, f"{words}: {result.stderr}")
        return result.stdout

    def call(self, *words):
        return self.run_words(["-plaintext", *words])

    def messages(self, text):
        decoder, found = json.JSONDecoder(), []
        text = text.strip()
        while text:
            message, end = decoder.raw_decode(text)
            found.append(message)
            text = text[end:].lstrip()
        return found

    def test_every_command_of_the_readme_works(self):
        commands = readme_commands()
        self.assertGreaterEqual(len(commands), 4)
        for command in commands:
            words = [self.server.address
                     if re.fullmatch(r"(127\.0\.0\.1|localhost):50051", word)
                     else word for word in command[1:]]
            self.assertIn(self.server.address, words)
            self.assertNotEqual(self.run_words(words), "")

    def test_lists_and_describes(self):
        services = self.call(self.server.address, "list").split()
        self.assertIn(SERVICE, services)
        self.assertIn(VLLM_SERVICE, services)
        self.assertIn("grpc.health.v1.Health", services)
        text = self.call(self.server.address, "describe", SERVICE)
        for method in ("Generate", "Tokenize", "Detokenize", "Score",
                       "GetModel"):
            self.assertIn(f"rpc {method} (", text)
        text = self.call(self.server.address, "describe",
                         "rwkv.v1.GenerateRequest")
        self.assertIn("max_tokens", text)

    def test_generates(self):
        request = {"prompt": {"text": "In the beginning"}, "max_tokens": 20,
                   "sampling": {"temperature": 0}}
        events = self.messages(self.call(
            "-d", json.dumps(request), self.server.address,
            f"{SERVICE}/Generate"))
        finish = events[-1]["finish"]
        self.assertEqual(finish["reason"], "FINISH_REASON_LENGTH")
        deltas = [event["delta"] for event in events[:-1]]
        self.assertEqual(sum(len(delta["tokens"]) for delta in deltas), 20)
        self.assertTrue("".join(delta.get("text", "") for delta in deltas))

    def test_prints_the_details_of_errors(self):
        result = subprocess.run(
            [self.grpcurl, "-plaintext", "-d",
             json.dumps({"sampling": {"top_p": 2}}), self.server.address,
             f"{SERVICE}/Generate"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        self.assertIn("Code: InvalidArgument", result.stderr)
        # It learns their types from reflection.
        for text in ("google.rpc.ErrorInfo", "FIELD_INVALID", '"rwkvd"',
                     "google.rpc.BadRequest", "sampling.top_p"):
            self.assertIn(text, result.stderr)

    def test_stops_at_plain_words(self):
        request = {"prompt": {"text": "In the beginning God created the"},
                   "max_tokens": 24, "sampling": {"temperature": 0}}
        def output():
            events = self.messages(self.call(
                "-d", json.dumps(request), self.server.address,
                f"{SERVICE}/Generate"))
            return "".join(event.get("delta", event.get("finish")).get(
                "text", "") for event in events), events[-1]["finish"]
        whole, _ = output()
        word = whole.split()[2]
        request["stop_texts"] = [word]
        text, finish = output()
        self.assertEqual(text, whole[:whole.index(word)])
        self.assertEqual(finish["stop_text"], word)

    def test_tokens_are_readable(self):
        (answer,) = self.messages(self.call(
            "-d", json.dumps({"text": "the caf\u00e9", "token_text": True}),
            self.server.address, f"{SERVICE}/Tokenize"))
        self.assertEqual("".join(token.get("text", "")
                                 for token in answer["tokens"])[:3], "the")
        self.assertEqual([token["id"] for token in answer["tokens"]],
                         answer["ids"])

    def test_every_token_of_an_answer_is_readable(self):
        request = {"prompt": {"text": "In the"}, "max_tokens": 2,
                   "top_logprobs": 2, "top_drawn_logprobs": 2,
                   "echo_top_logprobs": 2, "token_text": True,
                   "sampling": {"never_end": True, "temperature": 0}}
        events = self.messages(self.call(
            "-d", json.dumps(request), self.server.address,
            f"{SERVICE}/Generate"))
        deltas = [event["delta"] for event in events if "delta" in event]
        prompt = [token for delta in deltas
                  for token in delta.get("prompt_tokens", [])]
        output = [token for delta in deltas
                  for token in delta.get("tokens", [])]
        self.assertEqual("".join(token["text"] for token in prompt), "In the")
        self.assertEqual(len(output), 2)
        for token in prompt[1:] + output:
            lists = [token["top_logprobs"]] + (
                [token["top_drawn_logprobs"]] if token in output else [])
            for listed in [token, *(entry for top in lists for entry in top)]:
                self.assertTrue(listed["bytes"])
                self.assertTrue(listed["text"])

    def test_health_of_all_services_is_listed(self):
        (answer,) = self.messages(self.call(
            self.server.address, "grpc.health.v1.Health/List"))
        self.assertEqual(answer, {"statuses": {
            name: {"status": "SERVING"}
            for name in ("", SERVICE, VLLM_SERVICE)}})

    def test_reflection_is_found_under_both_names(self):
        services = self.call(self.server.address, "list").split()
        for version in ("v1", "v1alpha"):
            name = f"grpc.reflection.{version}.ServerReflection"
            self.assertIn(name, services)
            self.assertIn("rpc ServerReflectionInfo",
                          self.call(self.server.address, "describe", name))

    def test_channelz_shows_the_server(self):
        with rwkvd("--channelz") as server:
            (answer,) = self.messages(self.call(
                server.address, "grpc.channelz.v1.Channelz/GetServers"))
        self.assertEqual(len(answer["server"]), 1)
        self.assertGreater(
            int(answer["server"][0]["data"]["calls_started"]), 0)

    def test_request_for_another_model_is_not_found(self):
        result = subprocess.run(
            [self.grpcurl, "-plaintext", "-d", '{"model": "other"}',
             self.server.address, f"{SERVICE}/GetModel"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=PATIENCE, check=False)
        self.assertIn("Code: NotFound", result.stderr)
        self.assertIn('"other" is not served', result.stderr)

    def test_health_has_both_service_names(self):
        for service in ("", SERVICE):
            (answer,) = self.messages(self.call(
                "-d", json.dumps({"service": service}), self.server.address,
                "grpc.health.v1.Health/Check"))
            self.assertEqual(answer, {"status": "SERVING"})


if __name__ == "__main__":
    unittest.main()
