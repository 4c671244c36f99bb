# SPDX-License-Identifier: Apache-2.0
"""The example clients of docs/examples against a real rwkvd."""

import os
import signal
import subprocess
import tempfile
import unittest

from answers import Answer, request, start_call
from checkpoints import write_endless_model
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until

EXAMPLES = "docs/examples"
PROMPT = "In the beginning"
REFUSED = ('grpc_server_call_duration_seconds_count{'
           'grpc_method="rwkv.v1.RwkvService/Generate",'
           'grpc_status="RESOURCE_EXHAUSTED"}')


class ExampleTests:
    """Tests of every example client. COMMAND runs it."""

    COMMAND = None

    def start(self, address, *words):
        return subprocess.Popen(
            [*self.COMMAND, f"--server={address}", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run_example(self, address, *words, code=0):
        process = self.start(address, *words)
        out, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, code, err)
        return out, err

    def endless_server(self, *flags):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        manager = rwkvd(*flags, model=write_endless_model(folder.name))
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def test_streams_the_answer_of_the_seed(self):
        with rwkvd() as server:
            out, err = self.run_example(server.address, "--max-tokens=30",
                                        "--seed=7", PROMPT)
            message = request(PROMPT, 30, temperature=1, seed=7)
            message.sampling.top_p = 0.5
            answer = Answer(server.stub.Generate(message, timeout=PATIENCE))
        self.assertEqual(out, answer.text + "\n")
        self.assertEqual(
            err, f"{pb.FinishReason.Name(answer.finish.reason)}, "
            f"{len(answer.ids)} tokens, seed 7\n")

    def test_error_of_an_invalid_request_names_the_field(self):
        with rwkvd() as server:
            out, err = self.run_example(server.address, "--max-tokens=-1",
                                        PROMPT, code=1)
        self.assertEqual(out, "")
        self.assertRegex(err, "^INVALID_ARGUMENT: max_tokens")
        self.assertEqual(err.count("\n"), 1)

    def test_cancels_the_call(self):
        server = self.endless_server()
        out, err = self.run_example(server.address, "--max-tokens=1000000",
                                    "--stop-after=20", PROMPT)
        self.assertEqual(err, "cancelled\n")
        self.assertGreater(len(out), 10)
        wait_until(
            lambda: gauge(server, "rwkv_requests_cancelled_total") == 1,
            "the server to hear of it")

    def test_deadline_is_reported(self):
        server = self.endless_server()
        _, err = self.run_example(server.address, "--max-tokens=1000000",
                                  "--deadline=0.3", PROMPT, code=1)
        self.assertRegex(err, "^DEADLINE_EXCEEDED")

    def test_ctrl_c_cancels(self):
        server = self.endless_server()
        process = self.start(server.address, "--max-tokens=1000000", PROMPT)
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        wait_until(
            lambda: gauge(server, "rwkv_requests_cancelled_total") == 1,
            "the server to hear of it")

    def test_retries_while_the_queue_is_full(self):
        server = self.endless_server("--max_running=1", "--max_step_tokens=16",
                                     "--max_queued=1")
        endless = request(max_tokens=1 << 20, temperature=1)
        running = start_call(server.stub, endless)
        queued = server.stub.Generate(endless, timeout=PATIENCE)
        wait_until(lambda: gauge(server, "rwkv_queue_depth") == 1,
                   "the queue to fill")
        process = self.start(server.address, "--max-tokens=5", PROMPT)
        wait_until(lambda: gauge(server, REFUSED, absent=0) > 0, "a refusal")
        queued.cancel()
        running.cancel()
        _, err = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("5 tokens", err)

    def test_gives_up_after_some_retries(self):
        with tempfile.TemporaryDirectory() as folder:
            _, err = self.run_example(f"unix:{folder}/absent", PROMPT, code=1)
        self.assertRegex(err, "^UNAVAILABLE")


class PythonExampleTest(ExampleTests, unittest.TestCase):
    COMMAND = ["/usr/bin/python3", f"{EXAMPLES}/python/complete.py"]


class NodeExampleTest(ExampleTests, unittest.TestCase):
    PROGRAM = f"{EXAMPLES}/node/complete.js"
    COMMAND = ["node", PROGRAM]

    @classmethod
    def setUpClass(cls):
        checkout = os.path.realpath(cls.PROGRAM)[:-len(cls.PROGRAM)]
        modules = os.environ.setdefault(
            "NODE_PATH", os.path.join(checkout, ".cache/node_modules"))
        if not os.path.isdir(modules):
            raise AssertionError("the example's modules are not installed "
                                 "(tools/install_dependencies.sh gets them)")


if __name__ == "__main__":
    unittest.main()
