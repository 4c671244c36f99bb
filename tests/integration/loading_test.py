# SPDX-License-Identifier: Apache-2.0
"""A real rwkvd while it loads, before it is SERVING."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import grpc
import health_pb2
from answers import generate, request
from checkpoints import file_bytes, endless_rwkv4, written_checkpoints
from metrics import gauge
from rwkvd_process import PATIENCE, RWKVD, Health, rwkvd, wait_until

# This many hidden units make the rows of a step large.
SMALL_STEPS = ("--max_running=1", "--max_step_tokens=2")

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def mapped_bytes(process, path):
    """The bytes of a file that a process has mapped, and those in memory."""
    size = resident = 0
    inside = False
    with open(f"/proc/{process.pid}/smaps") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):
                inside = words[-1] == path
            elif inside and words[0] in ("Size:", "Rss:"):
                if words[0] == "Size:":
                    size += int(words[1]) * 1024
                else:
                    resident += int(words[1]) * 1024
    return size, resident


def write_with_large(path, tensors, large, shape):
    """A sparse file with `tensors` and zeros. The zeros take no disk space, but
    are read like other bytes."""
    size = 4 * shape[0] * shape[1]

    def announce(header):
        begin = sum(len(data) for _, _, data in tensors.values())
        header[large] = {"dtype": "F32", "shape": shape,
                         "data_offsets": [begin, begin + size]}

    with open(path, "wb") as file:
        file.write(file_bytes(tensors, announce))
        file.truncate(file.tell() + size)


def write_large_model(folder, hidden):
    """Writes a model of about 2 x 4 x 32 x `hidden` bytes in two files, and
    returns their paths."""
    key, value = "blocks.0.ffn.key.weight", "blocks.0.ffn.value.weight"
    tensors = endless_rwkv4(1, 32)
    del tensors[key], tensors[value]
    paths = [os.path.join(folder, name) for name in ("1.st", "2.st")]
    write_with_large(paths[0], tensors, key, [hidden, 32])
    write_with_large(paths[1], {}, value, [32, hidden])
    names = {**dict.fromkeys([*tensors, key], "1.st"), value: "2.st"}
    with open(os.path.join(folder, "model.safetensors.index.json"),
              "w") as file:
        json.dump({"weight_map": names}, file)
    return paths


class LoadingTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.checkpoints, folder = written_checkpoints()
        cls.addClassCleanup(folder.cleanup)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *flags, model):
        manager = rwkvd("--threads=1", *SMALL_STEPS, *flags, model=model)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def test_preloading_maps_every_page_before_serving(self):
        paths = write_large_model(self.folder, hidden=1 << 18)  # 64 MiB
        lazy = self.start(model=self.folder)
        eager = self.start("--preload", model=self.folder)
        for path in paths:
            size, resident = mapped_bytes(lazy.process, path)
            self.assertGreater(size, 1 << 25)
            self.assertLess(resident, size / 4)
            self.assertEqual(mapped_bytes(eager.process, path), (size, size))
        self.assertEqual(gauge(eager, "rwkv_load_progress_ratio"), 1)
        self.assertEqual(
            len(generate(eager.stub, request(max_tokens=2)).ids), 2)

    def start_to_load(self, *flags):
        """A server process that is stopped while it loads."""
        ports = os.path.join(self.folder, "ports")
        log = open(os.path.join(self.folder, "log"), "w+")
        self.addCleanup(log.close)
        write_large_model(self.folder, hidden=1 << 22)  # 1 GiB
        process = subprocess.Popen(
            [RWKVD, f"--model={self.folder}", "--model_name=large",
             "--preload", "--listen=127.0.0.1:0",
             "--metrics_listen=", f"--port_file={ports}", *SMALL_STEPS,
             *flags], stdout=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: os.path.exists(ports), "the port file")
        process.send_signal(signal.SIGSTOP)
        with open(ports) as file:
            address = file.readline().strip().split("=", 1)[1]

        def read_log():
            log.seek(0)
            return log.read()

        self.assertNotIn("serving", read_log())
        return process, address, read_log

    def test_health_is_not_serving_until_the_model_is_read(self):
        process, address, read_log = self.start_to_load()
        process.send_signal(signal.SIGCONT)
        with grpc.insecure_channel(address) as channel:
            watch = Health(channel).watch()
            states = [next(watch).status]
            while states[-1] == NOT_SERVING:
                states.append(next(watch).status)
        self.assertEqual(states, [NOT_SERVING,
                                  health_pb2.HealthCheckResponse.SERVING])
        self.assertIn("loaded large", read_log())

    def test_signal_during_loading_ends_the_server_at_once(self):
        process, _, read_log = self.start_to_load("--lame_duck=10m",
                                                  "--drain_grace=10m")
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        begin = time.monotonic()
        self.assertEqual(process.wait(timeout=PATIENCE), 0)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertIn("stopped", read_log())
        self.assertNotIn("loaded", read_log())

    def loaded_line(self, version, name):
        """The log line about the loaded model, and the whole log."""
        path = dict(self.checkpoints[version])[name]
        log = self.start("--model_name=it", model=path).log()
        lines = [line for line in log.splitlines() if " loaded it in " in line]
        self.assertEqual(len(lines), 1, log)
        return lines[0], log

    def test_log_describes_the_loaded_model(self):
        line, log = self.loaded_line("rwkv7", "sharded")
        self.assertRegex(
            line, r"info loaded it in \d+\.\d\d s: rwkv7, native layout, F16, "
            r"\d+ tensors in 3 files, \d+ bytes, 0 of them copied$")
        self.assertNotIn("rwkv-convert", log)

    def test_log_warns_of_copied_tensors(self):
        line, log = self.loaded_line("rwkv6", "fla")
        copied = int(re.search(r"(\d+) of them copied", line).group(1))
        self.assertIn("flash-linear-attention layout", line)
        self.assertGreater(copied, 0)
        warnings = [line for line in log.splitlines() if " warning " in line]
        self.assertEqual(len(warnings), 1, log)
        self.assertIn(f"{copied} bytes", warnings[0])
        self.assertIn("rwkv-convert", warnings[0])


if __name__ == "__main__":
    unittest.main()
