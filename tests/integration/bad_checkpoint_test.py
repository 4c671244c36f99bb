# SPDX-License-Identifier: Apache-2.0
"""The errors of a real rwkvd for damaged checkpoints and for files of other
programs."""

import math
import os
import pickle
import struct
import tempfile
import unittest

import grpc
from answers import generate, request
from checkpoints import endless_rwkv4, file_bytes
from metrics import gauge
from pth_files import network, pth_bytes
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until
from startup import assert_refuses


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class BadCheckpointTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, data, name="model.pth"):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def refuse(self, data, *words, name="model.pth"):
        path = self.write(data, name)
        assert_refuses(self, [f"--model={path}"], path, *words)

    def test_valid_checkpoint_is_served(self):
        path = self.write(pth_bytes(network(endless_rwkv4(1, 32))))
        with rwkvd("--threads=1", model=path):
            pass

    def write_nan(self, name):
        """A model whose tensor `name` begins with NaN."""
        tensors = endless_rwkv4(1, 32)
        kind, shape, data = tensors[name]
        tensors[name] = kind, shape, struct.pack("<f", math.nan) + data[4:]
        return self.write(file_bytes(tensors), "model.safetensors")

    def test_preloading_refuses_a_weight_that_is_not_a_number(self):
        path = self.write_nan("blocks.0.ffn.value.weight")
        assert_refuses(self, [f"--model={path}", "--preload"], path,
                       '"blocks.0.ffn.value.weight"', "layer 0",
                       "element 0 is nan")

    def test_weight_that_is_not_a_number_fails_requests(self):
        path = self.write_nan("blocks.0.ffn.value.weight")
        with rwkvd("--threads=1", "--tokenizer=bytes", model=path) as server:
            score = pb.ScoreRequest(context=pb.Input(text="a"),
                                    continuations=[pb.Input(text="bc")])
            for call in (lambda: generate(server.stub, request()),
                         lambda: server.stub.Score(score, timeout=PATIENCE)):
                with self.assertRaises(grpc.RpcError) as caught:
                    call()
                self.assertEqual(caught.exception.code(),
                                 grpc.StatusCode.INTERNAL)
                self.assertIn("not finite", caught.exception.details())
            failed = 'rwkv_requests_failed_total{reason="%s"}'
            self.assertEqual(gauge(server, failed % "not_finite"), 2)
            self.assertEqual(gauge(server, failed % "model_changed"), 0)
            wait_until(lambda: "layer 0, element 0 is nan" in server.log(),
                       "the search for the weight")
            lines = [line for line in server.log().splitlines()
                     if '"blocks.0.ffn.value.weight"' in line]
            self.assertEqual(len(lines), 1, server.log())
            self.assertIn(" warning ", lines[0])

    def test_truncated_pth_is_refused(self):
        whole = pth_bytes(network(endless_rwkv4(1, 32)))
        for size in (5, 100, len(whole) // 2, len(whole) - 1):
            with self.subTest(size=size):
                self.refuse(whole[:size])

    def test_damaged_file_is_refused_if_verified(self):
        data = pth_bytes(network(endless_rwkv4(1, 32)))
        path = self.write(data)
        with rwkvd("--threads=1", "--verify_files", model=path) as server:
            self.assertRegex(server.log(), "verified .* CRC-32 checksums agree")
            self.assertRegex(server.log(),
                             "warning .* matrices are entirely zero")
        middle = data.index(bytes(2000)) + 1000  # of a matrix
        self.write(data[:middle] + b"\1" + data[middle + 1:])
        assert_refuses(self, ["--verify_files", f"--model={path}"], path,
                       "expected the CRC-32", "download it again")

    def test_pth_that_would_run_a_command_is_refused(self):
        sign = os.path.join(self.folder, "sign")
        content = network(endless_rwkv4(1, 32))
        content["extra"] = Command(f"touch {sign}")
        self.refuse(pth_bytes(content), "system")
        self.refuse(pickle.dumps(Command(f"touch {sign}"), protocol=2),
                    "pickle")
        self.assertFalse(os.path.exists(sign))

    def test_file_rewritten_by_the_pip_package_is_refused(self):
        content = network(endless_rwkv4(1, 32))
        content["_strategy"], content["_version"] = "cpu fp32", 0.7
        self.refuse(pth_bytes(content), "pip package")

    def test_unsupported_model_variant_is_refused(self):
        tensors = endless_rwkv4(1, 32)
        tensors["head_q.weight"] = tensors["head.weight"]
        self.refuse(pth_bytes(network(tensors)), "head_q.weight")

    def test_checkpoint_without_a_model_is_refused(self):
        self.refuse(pth_bytes({}))
        self.refuse(pth_bytes([1, 2, 3]))
        self.refuse(pth_bytes({"step": 5, "loss": 0.5}))

    def test_files_of_other_programs_are_refused(self):
        for data, word in (
                (b"GGUF" + struct.pack("<IQQ", 1, 5, 5) + bytes(100), "GGUF"),
                (b"fmgg" + bytes(100), "rwkv.cpp"),
                (b"version https://git-lfs.github.com/spec/v1\n"
                 b"oid sha256:" + b"0" * 64 + b"\nsize 1\n", "git-lfs"),
                (b"<!DOCTYPE html>\n<html>404</html>\n", "web page"),
                (b"\x1f\x8b\x08" + bytes(100), "gzip")):
            for name in ("model.pth", "model.safetensors"):
                with self.subTest(word=word, name=name):
                    self.refuse(data, word, name=name)

    def test_folder_with_several_checkpoints_is_refused(self):
        data = file_bytes(endless_rwkv4(1, 32))
        names = ["a.safetensors", "b.safetensors"]
        for name in names:
            self.write(data, name)
        assert_refuses(self, [f"--model={self.folder}"], self.folder, *names)


if __name__ == "__main__":
    unittest.main()
