# SPDX-License-Identifier: Apache-2.0
"""The client packages, and the examples of docs/examples that use them, against
a real rwkvd."""

import contextlib
import functools
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from concurrent import futures

import grpc
from answers import Answer, request, start_call
from certificates import Authority
from checkpoints import write_endless_model
from client_packages import CACHE, EXAMPLES, ClientPackages, run
from google.rpc import error_details_pb2
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until
from scripted_server import (Failure, ScriptedServer, delta, finish,
                             retry_info)
from tokens import write_tokens

PROMPT = "In the beginning"
# Usually more tokens than are generated before a drain begins; the second number
# in any case.
RESUMED_TOKENS = (1_000, 100_000)
REFUSED = ('grpc_server_call_duration_seconds_count{'
           'grpc_method="rwkv.v1.RwkvService/Generate",'
           'grpc_status="RESOURCE_EXHAUSTED"}')
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
STORED = ('grpc_server_call_duration_seconds_count{'
          'grpc_method="rwkv.v1.RwkvService/PutState",grpc_status="OK"}')


def start_server(*flags, **options):
    """A server for all tests of this module."""
    manager = rwkvd(*flags, **options)
    server = manager.__enter__()
    unittest.addModuleCleanup(manager.__exit__, None, None, None)
    return server


def setUpModule():
    """Makes what the tests of all languages share: the packages, a server of the
    bundled model, and one that never ends a text."""
    global PACKAGES, SERVER, ENDLESS_MODEL, ENDLESS_SERVER
    global TLS_SERVER, TLS_OPTIONS
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    PACKAGES = ClientPackages(folder.name)
    with futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(work) for work in (
                PACKAGES.install_python, PACKAGES.install_node,
                PACKAGES.build_go)]:
            done.result()
    SERVER = start_server()
    authority = Authority(folder.name)
    cert, key = authority.issue("peer")
    token, identities = (os.path.join(folder.name, name)
                         for name in ("token", "identities"))
    with open(token, "w") as file:
        file.write("rwkvd_of-the-examples\n")
    digest = hashlib.sha256(b"rwkvd_of-the-examples").hexdigest()
    write_tokens(identities, f"examples sha256:{digest} roles=infer,score")
    with open(authority.cert, "rb") as ca, open(key, "rb") as own_key, open(
            cert, "rb") as own_cert:
        TLS_SERVER = start_server(
            f"--tls_cert={cert}", f"--tls_key={key}",
            f"--tls_client_ca={authority.cert}", f"--auth_tokens={identities}",
            credentials=grpc.ssl_channel_credentials(
                ca.read(), own_key.read(), own_cert.read()))
    TLS_OPTIONS = [f"--tls-ca={authority.cert}", f"--tls-cert={cert}",
                   f"--tls-key={key}", f"--token-file={token}"]
    ENDLESS_MODEL = write_endless_model(folder.name)
    ENDLESS_SERVER = start_server(
        "--max_running=1", "--max_step_tokens=16", "--max_queued=1",
        model=ENDLESS_MODEL)


@functools.cache
def whole_answer(number):
    """The text that complete prints for a seed of 7 if nothing interrupts it."""
    message = request(PROMPT, number, temperature=1, seed=7)
    message.sampling.top_p = 0.5
    text = Answer(ENDLESS_SERVER.stub.Generate(
        message, timeout=10 * PATIENCE)).text
    # What a process prints is read with these line ends.
    return text.replace("\r\n", "\n").replace("\r", "\n")


class ExampleTests:
    """Tests of the examples in every language."""

    @classmethod
    def command(cls, example):
        """What runs an example, such as "complete"."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        # Its retries take some seconds, in which other tests run.
        cls.giving_up = cls.start(f"unix:{PACKAGES.folder}/absent", PROMPT)
        cls.addClassCleanup(cls.giving_up.communicate)

    @classmethod
    def start(cls, address, *words, example="complete"):
        return subprocess.Popen(
            [*cls.command(example), f"--server={address}", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=PACKAGES.environment())

    def run_example(self, address, *words, code=0, **options):
        process = self.start(address, *words, **options)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, err)
        return out, err

    def test_streams_the_answer_of_the_seed(self):
        out, err = self.run_example(SERVER.address, "--max-tokens=30",
                                    "--seed=7", PROMPT)
        message = request(PROMPT, 30, temperature=1, seed=7)
        message.sampling.top_p = 0.5
        answer = Answer(SERVER.stub.Generate(message, timeout=PATIENCE))
        self.assertEqual(out, answer.text + "\n")
        self.assertEqual(
            err, f"{pb.FinishReason.Name(answer.finish.reason)}, "
            f"{len(answer.ids)} tokens, seed 7\n")

    def test_connects_with_mutual_tls_and_a_token(self):
        for example, words in (
                ("complete", ["--max-tokens=3", PROMPT]),
                ("score", [PROMPT, " God created", " the whale"]),
                ("chat", ["--template=world", "--max-tokens=3", "Who?"])):
            out, _ = self.run_example(TLS_SERVER.address, *TLS_OPTIONS, *words,
                                      example=example)
            self.assertNotEqual(out.strip(), "", example)

    def test_error_of_an_invalid_request_names_the_field(self):
        out, err = self.run_example(SERVER.address, "--max-tokens=-1", PROMPT,
                                    code=1)
        self.assertEqual(out, "")
        self.assertRegex(err, "^INVALID_ARGUMENT: max_tokens.*\n"
                         "reason: FIELD_INVALID\nfield: max_tokens\n$")

    @contextlib.contextmanager
    def expect_cancellation(self):
        """During the block, one request of ENDLESS_SERVER is cancelled."""
        def cancelled():
            return gauge(ENDLESS_SERVER, "rwkv_requests_cancelled_total")
        before = cancelled()
        yield
        wait_until(lambda: cancelled() == before + 1,
                   "the server to hear of the cancellation")

    def test_cancels_the_call(self):
        with self.expect_cancellation():
            out, err = self.run_example(
                ENDLESS_SERVER.address, "--max-tokens=1000000",
                "--stop-after=20", PROMPT)
        self.assertEqual(err, "cancelled\n")
        self.assertGreater(len(out), 10)

    def test_deadline_is_reported(self):
        with self.expect_cancellation():
            _, err = self.run_example(
                ENDLESS_SERVER.address, "--max-tokens=1000000",
                "--deadline=0.3", PROMPT, code=1)
        self.assertRegex(err, "^DEADLINE_EXCEEDED")

    def test_ctrl_c_cancels(self):
        with self.expect_cancellation():
            process = self.start(ENDLESS_SERVER.address,
                                 "--max-tokens=1000000", PROMPT)
            process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)

    def test_retries_while_the_queue_is_full(self):
        server = ENDLESS_SERVER
        endless = request(max_tokens=1 << 20, temperature=1)
        running = start_call(server.stub, endless)
        queued = server.stub.Generate(endless, timeout=PATIENCE)
        wait_until(lambda: gauge(server, "rwkv_queue_depth") == 1,
                   "the queue to fill")
        before = gauge(server, REFUSED, absent=0)
        process = self.start(server.address, "--max-tokens=5", PROMPT)
        wait_until(lambda: gauge(server, REFUSED, absent=0) > before,
                   "a refusal")
        queued.cancel()
        running.cancel()
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("5 tokens", err)
        wait_until(lambda: gauge(server, "rwkv_requests_running") == 0 and
                   gauge(server, "rwkv_queue_depth") == 0,
                   "the server to be idle")

    def test_gives_up_after_some_retries(self):
        self.assertRegex(self.giving_up.stderr.read(), "^UNAVAILABLE")
        self.assertEqual(self.giving_up.wait(timeout=PATIENCE), 1)

    def test_resumes_on_another_server_after_a_drain(self):
        for number in RESUMED_TOKENS:
            if self.resumes(number):
                return
        self.fail("the server has suspended no request")

    def resumes(self, number):
        """Returns whether a request for a number of tokens was suspended and
        resumed. Compares its output with one that was not interrupted."""
        with rwkvd(model=ENDLESS_MODEL) as first:
            process = self.start(first.address, "--resume", "--seed=7",
                                 f"--max-tokens={number}", PROMPT)
            begin = process.stdout.read(20)
            # Nobody reads this connection, so the server would wait for it.
            first.channel.close()
            first.signal()
            self.assertEqual(first.wait(), 0)
            address = first.address
        with rwkvd(f"--listen={address}", model=ENDLESS_MODEL) as second:
            # Not communicate(), which ignores what has been buffered.
            out, err = process.stdout.read(), process.stderr.read()
            self.assertEqual(process.wait(timeout=PATIENCE), 0, err)
            process.stdout.close()
            process.stderr.close()
            was_suspended = gauge(second, STORED, absent=0) == 1
        self.assertEqual(begin + out, whole_answer(number) + "\n")
        self.assertEqual(
            err, f"FINISH_REASON_LENGTH, {number} tokens, seed 7\n")
        return was_suspended

    def scripted_server(self, *script):
        server = ScriptedServer(*script)
        self.addCleanup(server.close)
        return server

    def test_waits_as_the_server_asks_in_either_way(self):
        server = self.scripted_server([
            [Failure(EXHAUSTED, pushback="1")],
            [Failure(UNAVAILABLE, retry_info(1))],
            [Failure(UNAVAILABLE)],
            [delta("a"), finish(pb.FINISH_REASON_LENGTH, "b")]])
        out, _ = self.run_example(server.address, PROMPT)
        self.assertEqual(out, "ab\n")
        self.assertEqual(len(server.requests), 4)

    def test_does_not_retry_against_the_will_of_the_server(self):
        server = self.scripted_server([[Failure(EXHAUSTED, pushback="-1")]])
        _, err = self.run_example(server.address, PROMPT, code=1)
        self.assertEqual(err, "RESOURCE_EXHAUSTED: m\n")

    def test_does_not_repeat_what_the_server_would_refuse_again(self):
        info = error_details_pb2.ErrorInfo(reason="SAMPLES_TOO_LONG")
        server = self.scripted_server([[Failure(EXHAUSTED, info)]])
        _, err = self.run_example(server.address, PROMPT, code=1)
        self.assertEqual(
            err, "RESOURCE_EXHAUSTED: m\nreason: SAMPLES_TOO_LONG\n")
        self.assertEqual(len(server.requests), 1)

    def test_does_not_repeat_what_was_received(self):
        server = self.scripted_server([[delta("a"), Failure(UNAVAILABLE)]])
        _, err = self.run_example(server.address, PROMPT, code=1)
        self.assertEqual(err, "UNAVAILABLE: m\n")

    def test_error_has_its_reason_and_limit(self):
        violation = error_details_pb2.QuotaFailure.Violation(subject="limit_a")
        server = self.scripted_server([[Failure(
            EXHAUSTED, error_details_pb2.ErrorInfo(reason="SOME_REASON"),
            error_details_pb2.QuotaFailure(violations=[violation]))]])
        _, err = self.run_example(server.address, PROMPT, code=1)
        self.assertEqual(err, "RESOURCE_EXHAUSTED: m\nreason: SOME_REASON\n"
                         "limit: limit_a\n")

    def test_error_has_its_reason_and_fields(self):
        violation = error_details_pb2.BadRequest.FieldViolation(field="a.b[1]")
        server = self.scripted_server([[Failure(
            grpc.StatusCode.INVALID_ARGUMENT,
            error_details_pb2.ErrorInfo(reason="SOME_REASON"),
            error_details_pb2.BadRequest(field_violations=[violation]))]])
        _, err = self.run_example(server.address, PROMPT, code=1)
        self.assertEqual(
            err, "INVALID_ARGUMENT: m\nreason: SOME_REASON\nfield: a.b[1]\n")

    def test_resumes_though_the_next_server_is_not_ready(self):
        state = b"s" * (5 << 18)  # more than one message
        chunks = [pb.GenerateResponse(state_chunk=pb.StateChunk(data=part))
                  for part in (state[:1 << 20], state[1 << 20:])]
        suspended = finish(pb.FINISH_REASON_CANCELLED, "b",
                           state=pb.StateInfo(bytes=len(state)))
        server = self.scripted_server(
            [[delta("a"), *chunks, suspended, Failure(UNAVAILABLE)],
             [Failure(UNAVAILABLE, pushback="1")],
             [delta("c"), finish(pb.FINISH_REASON_LENGTH, "d")]],
            [Failure(UNAVAILABLE, pushback="1"), "the-handle"])
        out, err = self.run_example(server.address, "--resume", PROMPT)
        self.assertEqual(out, "abcd\n")
        self.assertRegex(err, "^FINISH_REASON_LENGTH")
        self.assertEqual(server.states, [state, state])
        first, *others = server.requests
        self.assertEqual(first.prompt.text, PROMPT)
        self.assertTrue(first.return_state.on_drain)
        first.ClearField("prompt")
        first.state_handle, first.resume = "the-handle", True
        self.assertEqual(others, [first, first])

    def test_scores_continuations(self):
        texts = [" the whale", " the", " God created"]
        out, _ = self.run_example(SERVER.address, PROMPT, *texts,
                                  example="score")
        scores = SERVER.stub.Score(pb.ScoreRequest(
            context=pb.Input(text=PROMPT),
            continuations=[pb.Input(text=text) for text in texts])).scores
        expected = sorted(zip((score.logprob_sum for score in scores), texts),
                          reverse=True)
        self.assertEqual(out, "".join(f"{logprob:.4f}\t{text}\n"
                                      for logprob, text in expected))


    def test_has_a_conversation(self):
        messages = ["Who made the world?", "And the light?"]
        out, err = self.run_example(
            SERVER.address, "--template=world", "--max-tokens=20", "--seed=7",
            "--system=Quote.", *messages, example="chat")
        conversation = pb.Conversation(chat_template="world")
        conversation.messages.add(role=pb.CHAT_ROLE_SYSTEM, content="Quote.")
        answers = []
        for message in messages:
            conversation.messages.add(role=pb.CHAT_ROLE_USER, content=message)
            answers.append(Answer(SERVER.stub.Generate(pb.GenerateRequest(
                prompt=pb.Input(conversation=conversation), max_tokens=20,
                sampling=pb.Sampling(seed=7)), timeout=PATIENCE)))
            conversation.messages.add(role=pb.CHAT_ROLE_ASSISTANT,
                                      content=answers[-1].text)
        self.assertEqual(out, "".join(f"{answer.text}\n"
                                      for answer in answers))
        first, second = (answer.finish.usage.prompt_tokens
                         for answer in answers)
        self.assertRegex(
            err, f"^{first} tokens of the prompt, [0-9]+ of them cached\n"
            f"{second} tokens of the prompt, [1-9][0-9]* of them cached\n$")

    def test_conversation_needs_a_chat_template(self):
        _, err = self.run_example(SERVER.address, "Hi", example="chat", code=1)
        self.assertRegex(err, "FAILED_PRECONDITION|FailedPrecondition")


class PythonExampleTest(ExampleTests, unittest.TestCase):

    @classmethod
    def command(cls, example):
        return [sys.executable, f"{EXAMPLES}/python/{example}.py"]

    def test_package_and_examples_are_typed(self):
        # Otherwise programs see no types of an installed package.
        self.assertTrue(os.path.exists(
            os.path.join(PACKAGES.python, "rwkvd_client", "py.typed")))
        with tempfile.TemporaryDirectory() as stubs:
            os.symlink(os.path.join(CACHE, "python/google-stubs"),
                       os.path.join(stubs, "google"))
            environment = {**os.environ,
                           "MYPYPATH": f"{PACKAGES.python}:{stubs}"}
            mypy = ["/usr/bin/mypy", "--no-incremental", "--config-file",
                    "clients/python/pyproject.toml"]
            run(*mypy, "-p", "rwkvd_client", env=environment)
            run(*mypy, "--allow-untyped-defs", "--allow-untyped-calls",
                "--check-untyped-defs", f"{EXAMPLES}/python/complete.py",
                f"{EXAMPLES}/python/chat.py", env=environment)


class NodeExampleTest(ExampleTests, unittest.TestCase):

    @classmethod
    def command(cls, example):
        # Not a link: Node searches modules next to the file itself.
        return ["node", f"{EXAMPLES}/node/{example}.js"]

    @staticmethod
    def calls_of_all_unary_methods():
        """A program that makes them by Client.call."""
        methods = pb.DESCRIPTOR.services_by_name["RwkvService"].methods
        streams = {"Generate", "ScoreDocument", "PutState", "GetState"}
        unary = [method.name for method in methods
                 if method.name not in streams]
        calls = "".join(f"client.call('{name}', {{}});\n" for name in unary)
        return ("const {Client} = require('rwkvd-client');\n"
                f"const client = new Client('');\n{calls}")

    def test_programs_use_the_types_of_the_package(self):
        with tempfile.TemporaryDirectory() as folder:
            modules = os.path.join(folder, "node_modules")
            run("cp", "-rL", f"{EXAMPLES}/node/.", folder)
            with open(os.path.join(folder, "calls.js"), "w") as file:
                file.write(self.calls_of_all_unary_methods())
            run("cp", "-r", os.path.realpath(os.path.join(CACHE,
                                                          "node_modules")),
                modules)
            run("cp", "-r", os.path.join(PACKAGES.modules, "rwkvd-client"),
                modules)
            run("node", f"{modules}/typescript/bin/tsc", "--noEmit",
                "--checkJs", "--skipLibCheck", "--target", "es2022",
                "--module", "node16", "--types", "node", "complete.js",
                "score.js", "chat.js", "calls.js", cwd=folder)


class GoExampleTest(ExampleTests, unittest.TestCase):

    @classmethod
    def command(cls, example):
        return [os.path.join(PACKAGES.programs, example)]


if __name__ == "__main__":
    unittest.main()
