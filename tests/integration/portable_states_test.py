# SPDX-License-Identifier: Apache-2.0
"""States that are returned by a real rwkvd, and used by it or another one."""

import os
import signal
import subprocess
import tempfile
import unittest

import grpc
from answers import request
from checkpoints import write_endless_model
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd, wait_until

CHUNK = 1 << 16
# A request with everything that a resumed request depends on: the position in
# the random sequence, penalties, and text withheld because of a stop string.
SAMPLING = pb.Sampling(temperature=1, seed=5, presence_penalty=0.3,
                       frequency_penalty=0.2, penalty_decay=0.99)
STOPS = [b"the the the the", b"\n\nUser:", b" a b c", bytes([0xe4, 0xbd])]


class Part:
    """The messages of one call."""

    def __init__(self, stream, after=0, then=None):
        """Calls `then` once `after` tokens have been received."""
        self.tokens, self.bytes, self.text = [], b"", ""
        self.state, self.finish, self.code = b"", None, grpc.StatusCode.OK
        try:
            for response in stream:
                self.take(response)
                if then is not None and len(self.tokens) >= after:
                    then()
                    then = None
        except grpc.RpcError as error:
            self.code = error.code()

    def take(self, response):
        kind = response.WhichOneof("event")
        if kind == "state_chunk":
            self.state += response.state_chunk.data
            return
        part = response.finish if kind == "finish" else response.delta
        self.bytes += part.bytes
        self.text += part.text
        if kind == "finish":
            self.finish = part
        else:
            self.tokens += part.tokens


class PortableStatesTest(unittest.TestCase):

    def start(self, *flags, **options):
        manager = rwkvd(*flags, **options)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def call(self, server, message, **options):
        return Part(server.stub.Generate(message, timeout=PATIENCE), **options)

    def put(self, server, data, **fields):
        chunks = [pb.PutStateRequest(data=data[i:i + CHUNK], **fields)
                  for i in range(0, len(data), CHUNK)]
        return server.stub.PutState(iter(chunks), timeout=PATIENCE).state

    def get(self, server, handle):
        return b"".join(
            response.data for response in server.stub.GetState(
                pb.GetStateRequest(handle=handle), timeout=PATIENCE))

    def is_gone(self, server, handle):
        try:
            return self.get(server, handle) is None
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.NOT_FOUND

    def assert_fails(self, code, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code)
        return caught.exception.details()

    # One server suspends a request, another one resumes it.

    def move(self, first, second, after, *, as_handle=False):
        """Compares an answer that moves to another server with one that does
        not."""
        # More tokens than are generated before the drain begins.
        message = pb.GenerateRequest(
            prompt=pb.Input(text="And it came to pass"), max_tokens=1 << 20,
            sampling=SAMPLING, stop_strings=STOPS, logprobs=True)
        message.return_state.on_drain = True
        message.return_state.as_handle = as_handle
        part = self.call(first, message, after=after,
                         then=lambda: first.signal(signal.SIGTERM))
        self.assertEqual(first.wait(), 0)
        self.assertEqual(part.code, grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(part.finish.reason, pb.FINISH_REASON_CANCELLED)
        handle = part.finish.state.handle
        if not as_handle:
            self.assertEqual(len(part.state), part.finish.state.bytes)
            handle = self.put(second, part.state).handle
        message.ClearField("return_state")
        message.max_tokens = len(part.tokens) + 200
        whole = self.call(second, message)
        message.ClearField("prompt")
        message.state_handle = handle
        message.resume = True
        rest = self.call(second, message)
        self.assert_is_whole(part, rest, whole)

    def assert_is_whole(self, part, rest, whole):
        self.assertEqual(rest.code, grpc.StatusCode.OK)
        self.assertEqual(part.tokens + list(rest.tokens), whole.tokens)
        self.assertEqual(part.bytes + rest.bytes, whole.bytes)
        self.assertEqual(part.text + rest.text, whole.text)
        self.assertEqual(rest.finish.reason, whole.finish.reason)
        self.assertEqual(rest.finish.seed, whole.finish.seed)
        self.assertEqual(rest.finish.usage.prompt_tokens,
                         whole.finish.usage.prompt_tokens)
        self.assertEqual(rest.finish.usage.generated_tokens,
                         whole.finish.usage.generated_tokens)

    def test_answer_continues_in_another_process_when_its_server_ends(self):
        model = write_endless_model(self.folder)
        second = self.start(model=model)
        for after in (1, 40):
            # The grace period is an hour; the request is suspended at once.
            first = self.start("--drain_grace=1h", model=model)
            self.move(first, second, after)

    def test_answer_continues_through_a_shared_directory(self):
        model = write_endless_model(self.folder)
        shared = f"--state_dir={self.folder}/states"
        second = self.start(shared, model=model)
        self.move(self.start(shared, model=model), second, 10, as_handle=True)

    # Handles.

    def test_handles_in_a_directory_survive_a_restart(self):
        shared = f"--state_dir={self.folder}/states"
        first = self.start(shared)
        ended = self.call(first, request(
            "In the beginning", 5,
            return_state=pb.ReturnState(at_end=True, as_handle=True)))
        handle = ended.finish.state.handle
        data = self.get(first, handle)
        self.assertEqual(gauge(first, "rwkv_state_store_handles"), 1)
        self.assertEqual(gauge(first, "rwkv_state_store_bytes"), len(data))
        first.signal(signal.SIGTERM)
        self.assertEqual(first.wait(), 0)

        second = self.start(shared)
        self.assertEqual(self.get(second, handle), data)
        turn = self.call(second, request(" and", 5, state_handle=handle))
        self.assertEqual(turn.code, grpc.StatusCode.OK)
        second.stub.DeleteState(pb.DeleteStateRequest(handle=handle),
                                timeout=PATIENCE)
        self.assertEqual(os.listdir(f"{self.folder}/states"), [])
        self.assert_fails(grpc.StatusCode.NOT_FOUND,
                          lambda: self.get(second, handle))

    def test_states_that_cannot_be_continued_are_refused(self):
        server = self.start()
        ended = self.call(server, request(
            "In the beginning", 5, return_state=pb.ReturnState(at_end=True)))
        data = ended.state
        flipped = bytearray(data)
        flipped[2000] ^= 1
        for spoilt, word in ((bytes(flipped), "damaged"), (data[:-1], "data"),
                             (b"no state", "not a state file")):
            self.assertIn(word, self.assert_fails(
                grpc.StatusCode.INVALID_ARGUMENT,
                lambda spoilt=spoilt: self.put(server, spoilt)))
        foreign = self.start(model=write_endless_model(self.folder))
        message = self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION,
                                    lambda: self.put(foreign, data))
        self.assertIn("another model", message)

        handle = self.put(server, data, ttl_seconds=0.001).handle
        wait_until(lambda: self.is_gone(server, handle), "its time to be over")
        for unknown, word in ((handle, "expired"), ("../../etc/passwd", "no"),
                              (64 * "a", "not the handle")):
            part = self.call(server, request(state_handle=unknown))
            self.assertEqual(part.code, grpc.StatusCode.NOT_FOUND)
            self.assertIn(word, self.assert_fails(
                grpc.StatusCode.NOT_FOUND,
                lambda unknown=unknown: self.get(server, unknown)))

    # rwkvctl.

    def test_rwkvctl_saves_and_loads_states(self):
        server = self.start()

        def output(*words):
            return subprocess.run(
                [RWKVCTL, "generate", f"--server={server.address}",
                 "--temperature=0", *words], check=True,
                stdout=subprocess.PIPE, timeout=PATIENCE).stdout.decode()

        whole = output("--max_tokens=30", "In the beginning")
        path = f"{self.folder}/state"
        first = output("--max_tokens=10", f"--save_state={path}",
                       "In the beginning")
        second = output("--max_tokens=30", f"--load_state={path}", "--resume")
        self.assertEqual(first.rstrip("\n") + second, whole)
        turn = output("--max_tokens=20", f"--load_state={path}", " God said")
        self.assertNotEqual(turn, output("--max_tokens=20", " God said"))
        self.assertNotEqual(turn.strip(), "")


if __name__ == "__main__":
    unittest.main()
