# SPDX-License-Identifier: Apache-2.0
"""OpenAI's client calls a real SMG gateway in front of two real rwkvd."""

import concurrent.futures
import contextlib
import functools
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
import unittest
import urllib.error
import urllib.request

import grpc
import metrics
from answers import generate, request
from certificates import Authority
from gateway_process import free_port, gateway, import_openai
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until
from tokens import write_tokens

openai = import_openai()

DOCUMENT = os.environ.get("RWKVD_OPENAI_DOCUMENT", "docs/openai.md")
TLS_CONFIGURATION = os.environ.get("RWKVD_GATEWAY_TLS",
                                   "deploy/gateway/tls.conf")
PROMPT = "In the beginning"
RUNNING = "rwkv_requests_running"
CANCELLED = "rwkv_requests_cancelled_total"
# The model ends a text when it likes, unless it must not.
ENDLESS = {"extra_body": {"ignore_eos": True}}


def finished(server):
    """The number of requests that the server has completed."""
    reasons = ("length", "stop_string", "stop_token", "end_of_text")
    return sum(metrics.gauge(
        server, f'rwkv_request_success_total{{finish_reason="{reason}"}}', 0)
        for reason in reasons)


class Streamed:
    """The result of a streaming chat or completion."""

    def __init__(self, stream):
        self.text, self.finish, self.usage, self.chunks = "", None, None, 0
        for chunk in stream:
            self.chunks += 1
            self.usage = chunk.usage or self.usage
            for choice in chunk.choices:
                delta = getattr(choice, "delta", None)
                self.text += (delta.content or "") if delta else choice.text
                self.finish = choice.finish_reason or self.finish


class GatewayCase(unittest.TestCase):
    """Two servers and a gateway, with `FLAGS` and `GATEWAY_FLAGS`."""

    FLAGS, GATEWAY_FLAGS = (), ()

    @classmethod
    def setUpClass(cls):
        cls.servers = [cls.enter(rwkvd(*cls.FLAGS)) for _ in range(2)]
        cls.gateway = cls.enter(gateway(*cls.servers, flags=cls.GATEWAY_FLAGS))
        cls.client = cls.gateway.client(openai)
        cls.model = cls.servers[0].stub.GetModel(pb.GetModelRequest()).name

    @classmethod
    def enter(cls, manager):
        value = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        return value

    def chat(self, content="Who was the first king?", **fields):
        messages = fields.pop("messages", None) or [
            {"role": "user", "content": content}]
        return self.client.chat.completions.create(
            model=self.model, messages=messages,
            **{"max_tokens": 12, "seed": 3, **fields})

    def complete(self, prompt=PROMPT, **fields):
        return self.client.completions.create(
            model=self.model, prompt=prompt,
            **{"max_tokens": 12, "seed": 3, **fields})

    def running(self):
        return sum(metrics.gauge(server, RUNNING) for server in self.servers)


class OpenAiTest(GatewayCase):

    def test_lists_the_model(self):
        self.assertEqual([model.id for model in self.client.models.list()],
                         [self.model])

    def test_completion_has_the_text_of_the_native_call(self):
        message = request(PROMPT, max_tokens=12)
        message.sampling.CopyFrom(pb.Sampling(
            order=pb.SAMPLER_ORDER_TEMPERATURE_FIRST, temperature=0.8,
            top_p=0.9, seed=3))
        expected = generate(self.servers[0].stub, message)
        answer = self.complete(temperature=0.8, top_p=0.9)
        self.assertEqual(answer.choices[0].text, expected.text)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(answer.usage.prompt_tokens,
                         expected.finish.usage.prompt_tokens)

    def test_streams_a_completion(self):
        answer = Streamed(self.complete(
            stream=True, stream_options={"include_usage": True}))
        self.assertEqual(answer.text, self.complete().choices[0].text)
        self.assertEqual(answer.usage.completion_tokens, 12)

    def test_chat(self):
        answer = self.chat()
        (choice,) = answer.choices
        self.assertEqual(choice.message.role, "assistant")
        self.assertEqual(choice.finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(answer.model, self.model)
        # The template of models without one.
        native = self.servers[0].stub.Tokenize(pb.TokenizeRequest(
            conversation=pb.Conversation(chat_template="g1", messages=[
                pb.ChatMessage(role=pb.CHAT_ROLE_USER,
                               content="Who was the first king?")])))
        self.assertEqual(answer.usage.prompt_tokens, len(native.ids))

    def test_streams_a_chat_with_usage(self):
        answer = Streamed(self.chat(
            stream=True, stream_options={"include_usage": True}))
        self.assertEqual(answer.text, self.chat().choices[0].message.content)
        self.assertEqual(answer.finish, "length")
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertGreater(answer.chunks, 3)

    def test_seed_repeats_a_chat(self):
        texts = [self.chat(seed=seed, temperature=1).choices[0].message.content
                 for seed in (1, 1, 2)]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_stop_ends_a_chat_before_the_text(self):
        whole = self.chat(temperature=0).choices[0].message.content
        word = whole.split()[2]
        for stream in (False, True):
            answer = self.chat(temperature=0, stop=[word], stream=stream)
            if stream:
                answer = Streamed(answer)
                text, reason = answer.text, answer.finish
            else:
                text = answer.choices[0].message.content
                reason = answer.choices[0].finish_reason
            self.assertEqual(text, whole[:whole.index(word)])
            self.assertEqual(reason, "stop")

    def test_logprobs(self):
        (choice,) = self.chat(logprobs=True, top_logprobs=3).choices
        tokens = choice.logprobs.content
        self.assertEqual(len(tokens), 12)
        for token in tokens:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertLess(token.logprob, 0)
            self.assertLessEqual(token.logprob, token.top_logprobs[0].logprob)

    def test_several_samples(self):
        answer = self.chat(n=3, temperature=1)
        self.assertEqual([choice.index for choice in answer.choices],
                         [0, 1, 2])
        for index, choice in enumerate(answer.choices):
            alone = self.chat(seed=3 + index, temperature=1)
            self.assertEqual(choice.message.content,
                             alone.choices[0].message.content)
        self.assertEqual(answer.usage.completion_tokens, 36)

    def test_gateway_tokenizes_as_the_server_does(self):
        for text in (PROMPT, " a\n\n b \t\r\n", "caf\u00e9 \u4f60\u597d",
                     "\U0001f468\u200d\U0001f469", "a\0b\x7f", "(?:[^\\]|-&&)",
                     "In the beginning God created the heaven. " * 1000):
            body = json.dumps({"model": self.model, "prompt": text}).encode()
            answer = json.loads(self.gateway.get("/v1/tokenize", body))
            ids = self.servers[0].stub.Tokenize(
                pb.TokenizeRequest(text=text)).ids
            self.assertEqual(answer["tokens"], list(ids))

    def test_empty_and_unusual_content(self):
        for content in ("", " \n\n ", "\U0001f468\u200d\U0001f469 \u4f60\u597d",
                        "a\0b", "\n\nAssistant: yes\n\nUser:",
                        "<|endoftext|>", "{{ messages }}"):
            with self.subTest(content=content):
                answer = self.chat(content)
                self.assertEqual(answer.choices[0].finish_reason, "length")

    def tools(self, **fields):
        return self.chat(tools=[{"type": "function", "function": {
            "name": "get_king", "description": "Returns the first king.",
            "parameters": {"type": "object", "properties": {}}}}], **fields)

    def test_tools_are_in_the_prompt(self):
        plain, answer = self.chat(), self.tools()
        self.assertGreater(answer.usage.prompt_tokens,
                           plain.usage.prompt_tokens + 50)

    def test_required_tool_is_refused(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.tools(tool_choice="required")
        self.assertRegex(str(caught.exception), "is not supported")

    def test_tool_results_are_in_the_prompt(self):
        call = {"id": "call_1", "type": "function",
                "function": {"name": "get_king", "arguments": "{}"}}
        answer = self.chat(messages=[
            {"role": "user", "content": "Who was the first king?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Saul"}])
        self.assertGreater(answer.usage.prompt_tokens,
                           self.chat().usage.prompt_tokens + 10)

    def examples(self):
        """The indented blocks of the document, for this gateway."""
        with open(DOCUMENT, encoding="utf-8") as file:
            text = file.read().replace("127.0.0.1:30000", self.gateway.address)
        return [textwrap.dedent(block) for block in re.findall(
            r"(?:^(?:    .*|)\n)+", text, re.MULTILINE) if block.strip()]

    def test_curl_of_the_document_works(self):
        (command,) = [block for block in self.examples() if "curl -N" in block]
        words = shlex.split(command.replace("\\\n", "")) + ["--silent"]
        answer = subprocess.run(words, stdout=subprocess.PIPE, check=True,
                                timeout=PATIENCE)
        self.assertEqual(answer.stdout.count(b"data: [DONE]"), 1)

    def test_python_of_the_document_works(self):
        (program,) = [block for block in self.examples()
                      if "import openai" in block]
        # The bundled model would not stop.
        program = program.replace("stream=True", "stream=True, max_tokens=20")
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(program, {})
        self.assertGreater(len(output.getvalue()), 20)

    def test_schema_is_refused(self):
        for stream in (False, True):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(response_format={"type": "json_object"},
                          stream=stream)
            self.assertRegex(str(caught.exception), "json_schema")


class ErrorTest(GatewayCase):

    FLAGS = ("--max_prompt_tokens=4096",)

    def post(self, body):
        """The status and the error of a request that the client would not
        send."""
        message = urllib.request.Request(
            f"http://{self.gateway.address}/v1/chat/completions", data=body,
            headers={"Content-Type": "application/json"})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(message, timeout=PATIENCE)
        with caught.exception as answer:
            return answer.code, answer.read().decode()

    def test_prompt_of_a_megabyte(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat("word " * 210_000)
        self.assertIn("4096", str(caught.exception))

    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.chat.completions.create(
                model="other", messages=[{"role": "user", "content": "a"}])

    def test_parameter_out_of_range(self):
        for fields in (dict(temperature=3), dict(temperature=-1),
                       dict(top_p=2), dict(max_tokens=0), dict(n=0),
                       dict(presence_penalty=5), dict(stop=["x"] * 17)):
            with self.subTest(fields=fields):
                with self.assertRaises(openai.BadRequestError):
                    self.chat(**fields)

    def test_more_tokens_than_the_server_allows(self):
        for stream in (False, True):
            with self.assertRaises(openai.BadRequestError) as caught:
                self.chat(max_tokens=2**31 - 1, stream=stream)
            self.assertIn("max_tokens", str(caught.exception))

    def test_answer_that_one_message_cannot_hold(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat(max_tokens=1_000_000, logprobs=True, top_logprobs=20)
        self.assertIn("stream", str(caught.exception))

    def test_malformed_requests(self):
        for body in (b"", b"{", b"[]", b"{}", b'{"model": "demo"}',
                     b'{"model": "demo", "messages": "x"}', b"\xff"):
            with self.subTest(body=body):
                code, _ = self.post(body)
                self.assertIn(code, (400, 422))

    def test_server_still_answers(self):
        self.assertEqual(self.chat().choices[0].finish_reason, "length")


class LoadTest(GatewayCase):

    FLAGS = ("--max_running=4", "--max_queued=2")

    def start_endless(self, server, number):
        """Calls that do not pass the gateway, which learns of them by
        GetLoads."""
        message = request(max_tokens=1_000_000)
        message.sampling.never_end = True
        calls = [server.stub.Generate(message) for _ in range(number)]
        self.addCleanup(wait_until, lambda: metrics.gauge(
            server, RUNNING) == 0, "the slots")
        for call in calls:
            self.addCleanup(call.cancel)
        running = f'"num_running_reqs":{min(4, number)}'.encode()
        wait_until(lambda: self.gateway.get("/workers").count(running) > 0 and
                   metrics.gauge(server, "rwkv_queue_depth") ==
                   max(0, number - 4), "the load")

    def test_client_that_leaves_frees_its_slot(self):
        before = sum(metrics.gauge(server, CANCELLED)
                     for server in self.servers)
        for start in (self.chat, self.complete):
            stream = start(stream=True, max_tokens=50_000, **ENDLESS)
            next(iter(stream))
            self.assertEqual(self.running(), 1)
            stream.close()
            wait_until(lambda: self.running() == 0, "the slot")
        self.assertEqual(sum(metrics.gauge(server, CANCELLED)
                             for server in self.servers), before + 2)

    def test_gateway_avoids_a_busy_server(self):
        busy, idle = self.servers
        self.start_endless(busy, 4)
        before = finished(idle)
        for _ in range(6):
            self.chat()
        self.assertEqual(finished(idle), before + 6)

    def test_servers_that_are_full_are_reported(self):
        for server in self.servers:
            self.start_endless(server, 6)
        for stream in (False, True):
            with self.assertRaises(openai.RateLimitError) as caught:
                self.chat(stream=stream)
            self.assertIn("the queue is full", str(caught.exception))


class ConversationTest(GatewayCase):

    def test_next_turn_pays_for_the_new_text(self):
        messages = [{"role": "user", "content": "Tell me of the king. " * 20}]
        known = 0
        for turn in range(4):
            answer = self.chat(messages=messages, max_tokens=30)
            usage = answer.usage
            cached = usage.prompt_tokens_details
            cached = cached.cached_tokens if cached else 0
            if turn > 0:
                self.assertGreaterEqual(cached, known)
            known = usage.prompt_tokens
            messages += [{"role": "assistant",
                          "content": answer.choices[0].message.content},
                         {"role": "user", "content": f"And then {turn}?"}]


class DrainTest(GatewayCase):

    FLAGS = ("--lame_duck=3s", "--drain_grace=120s")
    GATEWAY_FLAGS = ("--policy=round_robin",)  # requests on both servers

    def test_server_that_ends_under_load_loses_no_request(self):
        ending, staying = self.servers
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            def answer(index):
                return Streamed(self.chat(f"King {index}?", stream=True,
                                          max_tokens=1500, **ENDLESS))
            answers = [pool.submit(answer, index) for index in range(16)]
            wait_until(lambda: metrics.gauge(ending, RUNNING) > 2 and
                       metrics.gauge(staying, RUNNING) > 2, "the load")
            ending.signal()
            # New requests keep coming while it drains, and when it has gone.
            while ending.process.poll() is None:
                self.assertEqual(self.chat().choices[0].finish_reason,
                                 "length")
            for result in answers:
                self.assertEqual(result.result().finish, "length")
        self.assertEqual(ending.wait(), 0)
        before = finished(staying)
        for _ in range(4):
            self.chat()
        self.assertEqual(finished(staying), before + 4)


class TlsProxy:
    """nginx with deploy/gateway/tls.conf, which calls `server` with the files in
    `folder`: ca.crt, client.crt, client.key and token.conf."""

    def __init__(self, folder, server):
        self.address = f"127.0.0.1:{free_port()}"
        with open(TLS_CONFIGURATION) as file:
            text = file.read()
        for old, new in ((" 127.0.0.1:50061 http2;", f" {self.address} http2;"),
                         ("rwkvd.example:50051", server.address),
                         ("/etc/rwkvd-gateway/", folder + "/"),
                         ("/run/rwkvd-gateway/", folder + "/")):
            assert old in text, f"{TLS_CONFIGURATION}: no {old}"
            text = text.replace(old, new)
        path = os.path.join(folder, "tls.conf")
        with open(path, "w") as file:
            file.write(text)
        user = " user root;" if os.geteuid() == 0 else ""
        self.process = subprocess.Popen(
            ["/usr/sbin/nginx", "-e", "stderr", "-c", path, "-g",
             "daemon off;" + user])

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


class GatewayTlsTest(unittest.TestCase):
    """A server with mutual TLS and identities, behind nginx behind a gateway."""

    def test_proxy_adds_a_certificate_and_a_token(self):
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        path = functools.partial(os.path.join, folder.name)
        authority = Authority(folder.name, "ca")
        pair = authority.issue("server", "DNS:rwkvd")
        client = authority.issue("gateway", "DNS:gateway.example")
        for old, new in zip((authority.cert, *client),
                            ("ca.crt", "client.crt", "client.key")):
            shutil.copy(old, path(new))
        with open(path("token.conf"), "w") as file:
            file.write('grpc_set_header authorization "Bearer of-a-gateway";\n')
        digest = hashlib.sha256(b"of-a-gateway").hexdigest()
        write_tokens(path("tokens"), f"gateway sha256:{digest} roles=infer")
        texts = []
        for name in ("ca.crt", "client.key", "client.crt"):
            with open(path(name), "rb") as file:
                texts.append(file.read())
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(rwkvd(
                f"--tls_cert={pair[0]}", f"--tls_key={pair[1]}",
                f"--tls_client_ca={authority.cert}",
                f"--auth_tokens={path('tokens')}", server_name="rwkvd",
                credentials=grpc.ssl_channel_credentials(*texts)))
            proxy = stack.enter_context(
                contextlib.closing(TlsProxy(folder.name, server)))
            front = stack.enter_context(gateway(proxy))
            answer = front.client(openai).completions.create(
                model="demo", prompt=PROMPT, max_tokens=5, seed=3)
            self.assertNotEqual(answer.choices[0].text, "")
            calls = 'rwkv_identity_generated_tokens_total{identity="gateway"}'
            wait_until(lambda: metrics.gauge(server, calls) > 0,
                       "the tokens to be counted")


if __name__ == "__main__":
    unittest.main()
