# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd that cannot start prints one line to the standard error, and
exits with a non-zero code."""

import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

import grpc
from checkpoints import (endless_rwkv4, file_bytes, read_model,
                         write_endless_model)
from rwkvd_process import MODEL, PATIENCE, RWKVD, rwkvd
from startup import assert_refuses


class BadStartupTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def assert_refuses(self, arguments, *words):
        assert_refuses(self, arguments, *words)

    def refuse_file(self, data, *words, name="model.safetensors"):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        self.assert_refuses([f"--model={path}"], name, *words)

    def refuse_header(self, change, *words):
        self.refuse_file(file_bytes(endless_rwkv4(1, 32), change), *words)

    def copy_of_the_model(self):
        path = os.path.join(self.folder, "copy")
        shutil.copytree(MODEL, path, ignore=shutil.ignore_patterns("*.md"))
        return path

    # Files.

    def test_missing_model_is_refused(self):
        self.assert_refuses(["--model=/no/such/model"], "/no/such/model")

    def test_empty_folder_is_refused(self):
        self.assert_refuses([f"--model={self.folder}"], self.folder)

    def test_empty_file_is_refused(self):
        self.refuse_file(b"")

    def test_file_of_random_bytes_is_refused(self):
        for seed in range(5):
            self.refuse_file(random.Random(seed).randbytes(10000))

    def test_truncated_file_is_refused(self):
        whole = file_bytes(endless_rwkv4(1, 32))
        for size in (4, 8, 100, len(whole) // 2, len(whole) - 1):
            self.refuse_file(whole[:size])

    def test_truncated_shard_is_refused(self):
        copy = self.copy_of_the_model()
        shard = sorted(name for name in os.listdir(copy)
                       if name.endswith(".safetensors"))[1]
        path = os.path.join(copy, shard)
        os.truncate(path, os.path.getsize(path) - 1000)
        self.assert_refuses([f"--model={copy}"], shard)

    def test_header_longer_than_the_file_is_refused(self):
        self.refuse_file(struct.pack("<Q", 1 << 40) + b"{}")

    def test_overlapping_offsets_are_refused(self):
        def overlap(header):
            header["ln_out.bias"]["data_offsets"] = \
                header["ln_out.weight"]["data_offsets"]
        self.refuse_header(overlap, "ln_out")

    def test_offsets_out_of_range_are_refused(self):
        def exceed(header):
            begin, end = header["ln_out.bias"]["data_offsets"]
            header["ln_out.bias"]["data_offsets"] = [begin + (1 << 40),
                                                     end + (1 << 40)]
        self.refuse_header(exceed, "ln_out.bias")

    def test_shape_that_does_not_match_the_bytes_is_refused(self):
        def widen(header):
            header["ln_out.bias"]["shape"] = [33]
        self.refuse_header(widen, "ln_out.bias")

    def test_unknown_type_is_refused(self):
        def change(header):
            header["ln_out.bias"]["dtype"] = "F7"
        self.refuse_header(change, "ln_out.bias", "F7")

    def test_error_lists_all_missing_and_misshapen_tensors(self):
        tensors = endless_rwkv4(2, 32)
        del tensors["blocks.1.att.key.weight"]
        del tensors["ln_out.bias"]
        tensors["blocks.0.ffn.value.weight"] = ("F32", [32, 16], bytes(2048))
        self.refuse_file(file_bytes(tensors), "blocks.1.att.key.weight",
                         "ln_out.bias", "blocks.0.ffn.value.weight")

    def test_index_that_is_not_json_is_refused(self):
        copy = self.copy_of_the_model()
        index = os.path.join(copy, "model.safetensors.index.json")
        with open(index, "w") as file:
            file.write('{"weight_map": {')
        self.assert_refuses([f"--model={copy}"], "index.json")

    def test_index_with_an_absent_shard_is_refused(self):
        copy = self.copy_of_the_model()
        shard = sorted(name for name in os.listdir(copy)
                       if name.endswith(".safetensors"))[0]
        os.remove(os.path.join(copy, shard))
        self.assert_refuses([f"--model={copy}"], shard)

    def test_index_that_points_out_of_its_folder_is_refused(self):
        copy = self.copy_of_the_model()
        index = os.path.join(copy, "model.safetensors.index.json")
        with open(index) as file:
            content = json.load(file)
        for name in content["weight_map"]:
            content["weight_map"][name] = "../secret.safetensors"
        with open(index, "w") as file:
            json.dump(content, file)
        self.assert_refuses([f"--model={copy}"], "secret")

    def test_model_that_is_not_rwkv4_is_refused(self):
        self.refuse_file(file_bytes({
            "transformer.wte.weight": ("F32", [4, 4], bytes(64))}))

    # Tokenizers.

    def test_missing_tokenizer_is_refused(self):
        path = os.path.join(self.folder, "model.safetensors")
        with open(path, "wb") as file:
            file.write(file_bytes(read_model(MODEL)))
        self.assert_refuses([f"--model={path}"], "tokenizer")

    def test_absent_tokenizer_file_is_refused(self):
        self.assert_refuses(
            [f"--model={MODEL}", "--tokenizer=/no/such/vocab.txt"],
            "/no/such/vocab.txt")

    def test_vocabulary_that_does_not_fit_the_model_is_refused(self):
        path = os.path.join(self.folder, "vocab.txt")
        vocabulary = next(name for name in os.listdir(MODEL)
                          if name.startswith("rwkv_vocab"))
        shutil.copy(os.path.join(MODEL, vocabulary), path)
        with open(path, "a") as file:
            file.write("5000 ' surplus' 8\n")
        self.assert_refuses([f"--model={MODEL}", f"--tokenizer={path}"],
                            "5000", "2048")

    def test_invalid_vocabulary_is_refused(self):
        path = os.path.join(self.folder, "vocab.txt")
        with open(path, "w") as file:
            file.write("this is not a vocabulary\n")
        self.assert_refuses([f"--model={MODEL}", f"--tokenizer={path}"],
                            "vocab.txt")

    # The command line.

    def test_unknown_flags_are_refused(self):
        self.assert_refuses([f"--model={MODEL}", "--speed=9"], "--speed")
        self.assert_refuses([f"--model={MODEL}", "extra"], "extra")
        self.assert_refuses([f"--model={MODEL}", "--threads=many"],
                            "--threads")
        self.assert_refuses([f"--model={MODEL}", "--max_running=0"],
                            "--max_running")

    def test_control_characters_in_a_path_stay_on_one_line(self):
        self.assert_refuses(["--model=/no\nsuch\x1b[2J"],
                            "/no\\nsuch\\x1b[2J")

    def test_missing_model_flag_is_refused(self):
        self.assert_refuses([], "--model")

    def test_addresses_in_use_are_refused(self):
        model = write_endless_model(self.folder)
        with rwkvd(model=model) as server:
            self.assert_refuses(
                [f"--model={model}", f"--listen={server.address}"],
                "--listen", server.address)
            self.assert_refuses(
                [f"--model={model}",
                 f"--metrics_listen={server.metrics_address}"],
                "--metrics_listen", server.metrics_address)

    def test_help_and_version_exit_without_error(self):
        for flag, word in (("--help", "--drain_grace"), ("--version", "rwkvd")):
            result = subprocess.run([RWKVD, flag], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True,
                                    timeout=PATIENCE, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn(word, result.stdout)

    def test_version_names_the_commit_and_the_libraries(self):
        lines = subprocess.run([RWKVD, "--version"], stdout=subprocess.PIPE,
                               text=True, timeout=PATIENCE,
                               check=True).stdout.splitlines()
        for line, expected in itertools.zip_longest(lines, (
                r"rwkvd \d+\.\d+\.\d+", r"commit (unknown|[0-9a-f]{7,40})",
                rf"gRPC {grpc.__version__}", r"protobuf \d+\.\d+\.\d+",
                r"Abseil \d{8}", r"OpenSSL 3\.\d+\.\d+ .*",
                r"libmicrohttpd \d+\.\d+\.\d+")):
            self.assertRegex(line, rf"\A{expected}\Z")


if __name__ == "__main__":
    unittest.main()
