# SPDX-License-Identifier: Apache-2.0
"""The real rwkv-convert: its output is served like its input, and an
interrupted run leaves no incomplete checkpoint under the final name."""

import json
import os
import pty
import random
import re
import resource
import signal
import subprocess
import tempfile
import time
import unittest

from answers import generate, request
from checkpoints import endless_rwkv4, file_bytes, written_checkpoints
from pth_files import network, pth_bytes
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until

CONVERT = os.environ.get("RWKVD_CONVERT", "tools/rwkv_convert/rwkv-convert")
DRAFTS = "rwkv-convert.tmp"
INDEX = "model.safetensors.index.json"
KILLS = 40


def run(*arguments, code=0, **options):
    """The lines of its standard output and of its standard error."""
    result = subprocess.run(
        [CONVERT, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, timeout=PATIENCE, check=False, **options)
    if result.returncode != code:
        raise AssertionError(f"{result.returncode}: {result.stderr}")
    return result.stdout.splitlines(), result.stderr.splitlines()


def filled(byte, layers=1):
    """A model in which all bytes of the weights are the same."""
    return {name: (dtype, shape, bytes([byte]) * len(data))
            for name, (dtype, shape, data) in
            endless_rwkv4(layers, 32).items()}


def read_file(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(size)), file.read()
    header.pop("__metadata__")
    return {name: (entry["dtype"], entry["shape"],
                   data[slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def read_folder(folder):
    """The tensors of the checkpoint at this path; None if there is none."""
    index = os.path.join(folder, INDEX)
    if not os.path.exists(index):
        single = os.path.join(folder, "model.safetensors")
        return read_file(single) if os.path.exists(single) else None
    with open(index) as file:
        shards = set(json.load(file)["weight_map"].values())
    tensors = {}
    for shard in shards:
        tensors.update(read_file(os.path.join(folder, shard)))
    return tensors


def served(path):
    with rwkvd("--threads=1", model=path) as server:
        model = server.stub.GetModel(pb.GetModelRequest(), timeout=PATIENCE)
        answer = generate(server.stub, request(
            max_tokens=20, temperature=0.7, seed=5, top_logprobs=3))
        return (model.fingerprint,
                [token.SerializeToString(deterministic=True)
                 for token in answer.tokens])


class ConvertTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.output = self.path("out")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def write_large(self):
        """A sparse checkpoint whose conversion takes a while."""
        rows, columns = 1 << 18, 1 << 10
        path = self.write("large.safetensors", b"")
        header = json.dumps({"emb.weight": {
            "dtype": "F32", "shape": [rows, columns],
            "data_offsets": [0, 4 * rows * columns]}}).encode()
        with open(path, "wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + 4 * rows * columns)
        return path

    def start(self, *arguments):
        """A process that has started to write."""
        process = subprocess.Popen([CONVERT, *arguments],
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        draft = os.path.join(self.output, DRAFTS, "model.safetensors")
        wait_until(lambda: os.path.exists(draft), "a draft")
        return process

    # The output files.

    def test_output_is_served_like_the_input(self):
        checkpoints, folder = written_checkpoints()
        self.addCleanup(folder.cleanup)
        for version, name, *flags in (
                ("rwkv5.0", "pth_tricky"),
                ("rwkv6", "web_rwkv", "--shard_size=30kB"),
                ("rwkv7", "fla", "--shard_size=100KiB", "--verify")):
            with self.subTest(version=version):
                path = dict(checkpoints[version])[name]
                output = self.path(version)
                run(path, output, *flags)
                self.assertEqual(served(output), served(path))

    def test_pth_is_converted_to_safetensors(self):
        tensors = filled(7)
        path = self.write("model.pth", pth_bytes(network(tensors)))
        self.write("rwkv_vocab_test.txt", b"1 'a' 1\n")
        lines, errors = run("--verify", path, self.output)
        self.assertEqual(errors, [])
        self.assertRegex(lines[0], r"^wrote 24 tensors, .* in 1 file to ")
        size = sum(len(data) for _, _, data in tensors.values())
        self.assertEqual(lines[1], f"verified 24 tensors, {size} bytes")
        self.assertEqual(sorted(os.listdir(self.output)),
                         ["model.safetensors", "rwkv_vocab_test.txt"])
        self.assertEqual(read_folder(self.output), tensors)

    def test_shards_have_an_index(self):
        tensors = filled(7)
        path = self.write("in.safetensors", file_bytes(tensors))
        run("--shard_size=20kB", path, self.output)
        shards = sorted(os.listdir(self.output))
        self.assertEqual(shards.pop(), INDEX)
        self.assertEqual(shards, [
            f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
            for i in range(len(shards))])
        self.assertGreater(len(shards), 2)
        self.assertEqual(read_folder(self.output), tensors)
        with open(os.path.join(self.output, INDEX)) as file:
            self.assertEqual(
                json.load(file)["metadata"]["total_size"],
                sum(len(data) for _, _, data in tensors.values()))

    def test_decay_and_bonus_are_not_rounded(self):
        path = self.write("in.safetensors", file_bytes(filled(7)))
        run("--dtype=bf16", "--verify", path, self.output)
        for name, (dtype, _, _) in read_folder(self.output).items():
            kept = re.search(r"time_(decay|first)$", name)
            self.assertEqual(dtype, "F32" if kept else "BF16", name)

    # Messages.

    def test_terminal_shows_a_progress_bar(self):
        path = self.write_large()
        terminal, its_end = pty.openpty()
        process = subprocess.Popen(
            [CONVERT, path, self.output], stderr=its_end,
            stdout=subprocess.DEVNULL)
        os.close(its_end)
        text = b""
        while not re.search(rb"ETA \d+:\d\d", text):
            text += os.read(terminal, 1000)
        process.send_signal(signal.SIGINT)
        try:
            while chunk := os.read(terminal, 1000):
                text += chunk
        except OSError:  # the process has ended
            pass
        os.close(terminal)
        self.assertEqual(process.wait(timeout=PATIENCE), 130)
        self.assertIn(b"\r\x1b[Kwriting   [", text)
        self.assertTrue(text.endswith(
            b"\r\x1b[Krwkv-convert: interrupted\r\n"), text)

    def test_usage_errors_are_one_line_and_code_2(self):
        for words in ([], ["a"], ["a", "b", "c"], ["--speed=9", "a", "b"],
                      ["--dtype=int8", "a", "b"],
                      ["--shard_size=big", "a", "b"]):
            _, errors = run(*words, code=2)
            self.assertEqual(len(errors), 1, words)
            self.assertTrue(errors[0].startswith("rwkv-convert: "), errors)

    def test_failures_are_one_line_and_code_1(self):
        path = self.write("in.safetensors", file_bytes(filled(7)))
        bad = self.write("bad.safetensors", file_bytes(filled(7))[:-1])
        text = self.write("text.txt", b"no checkpoint at all")
        large = filled(7)
        # 2^17 is more than 65504, the largest number in F16.
        large["ln_out.bias"] = ("F32", [32], b"\0\0\0\x48" * 32)
        large = self.write("large.safetensors", file_bytes(large))
        for words, expected in (
                (["/no/such/file", self.output], "/no/such/file"),
                ([bad, self.output], "bad.safetensors"),
                ([text, self.output], "text.txt"),
                ([path, text], "text.txt"),
                ([path, "/proc/nowhere"], "/proc/nowhere"),
                ([path, path + "/below"], "in.safetensors/below"),
                (["--dtype=f16", large, self.output], '"ln_out.bias"')):
            lines, errors = run(*words, code=1)
            self.assertEqual((lines, len(errors)), ([], 1), errors)
            self.assertTrue(errors[0].startswith("rwkv-convert: "), errors)
            self.assertIn(expected, errors[0])
            self.assertFalse(os.path.exists(self.output))

    def test_help_and_version(self):
        lines, errors = run("--help")
        self.assertEqual(errors, [])
        for word in ("INPUT OUTPUT_DIRECTORY", "--shard_size", "--dtype",
                     "--verify", "--force", "att.time_decay"):
            self.assertIn(word, "\n".join(lines))
        self.assertRegex(run("--version")[0][0], r"^rwkv-convert \d")

    # Interrupted runs.

    def test_existing_checkpoint_is_not_replaced_by_default(self):
        path = self.write("in.safetensors", file_bytes(filled(7)))
        other = self.write("other.safetensors", file_bytes(filled(8)))
        run(path, self.output)
        _, errors = run(other, self.output, code=1)
        self.assertIn("--force", errors[0])
        self.assertEqual(read_folder(self.output), filled(7))
        run("--force", other, self.output)
        self.assertEqual(read_folder(self.output), filled(8))

    def test_full_disk_is_reported_and_leaves_no_files(self):
        path = self.write("in.safetensors", file_bytes(filled(7, layers=9)))

        def limit_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
        for flags in ((), ("--shard_size=60kB",)):
            _, errors = run(*flags, path, self.output, code=1,
                            preexec_fn=limit_files)
            self.assertEqual(len(errors), 1, errors)
            self.assertRegex(errors[0], r"^rwkv-convert: cannot .*\.safetensors"
                                        r".*: File too large$")
            self.assertFalse(os.path.exists(self.output))

    def test_signals_end_it_and_leave_no_files(self):
        path = self.write_large()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start(path, self.output)
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 128 + number)
            self.assertEqual(errors, "rwkv-convert: interrupted\n")
            self.assertFalse(os.path.exists(self.output))

    def test_second_run_on_the_same_output_is_refused(self):
        path = self.write_large()
        small = self.write("in.safetensors", file_bytes(filled(7)))
        first = self.start(path, self.output)
        first.send_signal(signal.SIGSTOP)
        _, errors = run(small, self.output, code=1)
        self.assertIn("another rwkv-convert", errors[0])
        first.kill()
        first.wait()
        # The draft that it has left does not block a later run.
        run(small, self.output)
        self.assertEqual(os.listdir(self.output), ["model.safetensors"])

    def test_killed_run_leaves_the_old_or_the_new_checkpoint(self):
        inputs = [self.write(f"{i}.safetensors", file_bytes(filled(i, 2)))
                  for i in range(2)]
        sizes = ("20kB", "1MB", "20kB", "60kB")
        run(inputs[0], self.output)
        begun = time.monotonic()
        run("--force", "--shard_size=20kB", inputs[0], self.output)
        takes = time.monotonic() - begun
        held, ended = 0, {"killed": 0, "done": 0}
        for i in range(KILLS):
            new = 1 - held
            process = subprocess.Popen(
                [CONVERT, "--force", f"--shard_size={sizes[i % len(sizes)]}",
                 inputs[new], self.output], stdout=subprocess.DEVNULL)
            time.sleep(random.Random(i).uniform(0, 1.2 * takes))
            process.kill()
            ended["killed" if process.wait() else "done"] += 1
            tensors = read_folder(self.output)
            self.assertIn(tensors, (filled(0, 2), filled(1, 2)), f"kill {i}")
            held = 0 if tensors == filled(0, 2) else 1
        self.assertGreater(ended["killed"], KILLS // 4, ended)
        run("--force", "--shard_size=20kB", inputs[0], self.output)
        self.assertEqual(read_folder(self.output), filled(0, 2))
        with open(os.path.join(self.output, INDEX)) as file:
            names = set(json.load(file)["weight_map"].values()) | {INDEX}
        self.assertEqual(set(os.listdir(self.output)), names)


if __name__ == "__main__":
    unittest.main()
