# SPDX-License-Identifier: Apache-2.0
"""Files that other processes change under a running rwkvd: those of the model,
and those of saved states."""

import os
import shutil
import tempfile
import threading
import unittest

import grpc
import health_pb2
from answers import generate, request
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import MODEL, PATIENCE, SERVICE, rwkvd, wait_until


class ChangedFilesTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *flags, model=MODEL):
        manager = rwkvd(*flags, model=model)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def code_of(self, call):
        try:
            call()
        except grpc.RpcError as error:
            return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    # Models.

    def start_with_copy(self):
        """A server of its own copy of the model, and the path of a file."""
        model = f"{self.folder}/model"
        shutil.copytree(MODEL, model)
        path = next(f"{model}/{name}" for name in sorted(os.listdir(model))
                    if name.endswith(".safetensors"))
        os.chmod(path, 0o600)
        return self.start(model=model), path

    def test_truncated_model_fails_requests_and_ends_the_server(self):
        server, path = self.start_with_copy()
        os.truncate(path, 4096)
        code, details = self.code_of(
            lambda: generate(server.stub, request("In the", 3)))
        self.assertEqual(code, grpc.StatusCode.INTERNAL)
        self.assertNotIn("/", details)
        self.assert_ends(server, path)

    def test_overwritten_model_fails_requests_and_ends_the_server(self):
        server, path = self.start_with_copy()
        with open(path, "r+b") as file:
            file.seek(100_000)
            file.write(bytes(1000))
        # A request that ends soon may be the one after which it is noticed.
        wait_until(lambda: self.code_of(
            lambda: generate(server.stub, request("In the", 3)))[0] !=
            grpc.StatusCode.OK, "a request to fail")
        self.assert_ends(server, path)

    def assert_ends(self, server, path):
        self.assertEqual(server.wait(), 1)
        log = server.log()
        lines = [line for line in log.splitlines() if path in line]
        self.assertIn(" warning the model is damaged: ", lines[-2])
        self.assertTrue(lines[-1].startswith("rwkvd: "), lines[-1])
        self.assertIn("health is NOT_SERVING", log)
        self.assertNotIn("SIGBUS", log)

    def test_model_replaced_by_a_rename_is_served_unchanged(self):
        server, path = self.start_with_copy()
        before = generate(server.stub, request("In the", 5)).ids
        with open(f"{path}.new", "wb") as file:
            file.write(b"another model")
        os.replace(f"{path}.new", path)
        self.assertEqual(generate(server.stub, request("In the", 5)).ids,
                         before)
        wait_until(lambda: "were replaced" in server.log(), "the log")
        self.assertEqual(server.health.check(SERVICE),
                         health_pb2.HealthCheckResponse.SERVING)

    # Saved states.

    def save_state(self, server):
        stream = server.stub.Generate(
            request("In the", 3, return_state=pb.ReturnState(
                at_end=True, as_handle=True)), timeout=PATIENCE)
        return list(stream)[-1].finish.state.handle

    def get(self, server, handle):
        return b"".join(
            part.data for part in server.stub.GetState(
                pb.GetStateRequest(handle=handle), timeout=PATIENCE))

    def test_state_that_shrinks_while_it_is_read_is_data_loss(self):
        server = self.start(f"--state_dir={self.folder}/states")
        handle = self.save_state(server)
        path = f"{self.folder}/states/{handle}.state"
        whole = self.get(server, handle)
        stop = threading.Event()

        def shrink_and_grow():
            while not stop.is_set():
                os.truncate(path, 0)
                os.truncate(path, len(whole))

        thread = threading.Thread(target=shrink_and_grow)
        thread.start()
        errors = dict(self.code_of(lambda: self.get(server, handle))
                      for _ in range(300))
        stop.set()
        thread.join()
        # The first calls may come before the file shrinks.
        self.assertIn(grpc.StatusCode.DATA_LOSS, errors)
        self.assertLessEqual(
            set(errors), {grpc.StatusCode.DATA_LOSS, grpc.StatusCode.OK},
            errors)
        self.assertIsNone(server.process.poll())

    def test_states_are_private_in_a_directory_that_was_not(self):
        states = f"{self.folder}/states"
        os.mkdir(states)
        os.chmod(states, 0o755)
        server = self.start(f"--state_dir={states}")
        self.save_state(server)
        self.assertEqual(os.stat(states).st_mode & 0o777, 0o700)
        for name in os.listdir(states):
            mode = os.stat(f"{states}/{name}").st_mode
            self.assertEqual(mode & 0o777, 0o600)

    def test_lost_directory_is_reported(self):
        states = f"{self.folder}/states"
        server = self.start(f"--state_dir={states}")
        handle = self.save_state(server)
        self.assertEqual(gauge(server, "rwkv_state_store_usable"), 1)
        shutil.rmtree(states)
        code, details = self.code_of(lambda: self.save_state(server))
        self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
        self.assertNotIn("/", details)
        self.assertEqual(self.code_of(lambda: self.get(server, handle))[0],
                         grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(gauge(server, "rwkv_state_store_usable"), 0)
        self.assertIn(states, server.log().split("serving")[-1])


if __name__ == "__main__":
    unittest.main()
