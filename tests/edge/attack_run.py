# SPDX-License-Identifier: Apache-2.0
"""Runs an attack in a process of its own, and measures what others notice."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time

import grpc
from answers import Answer, request
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import PATIENCE, Health

ATTACKS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "attacks.py")
ATTACKER_ADDRESS = "127.0.0.2"
PROBE_SECONDS = 0.05

# For a server with a low limit of tokens.
TOO_LONG = pb.GenerateRequest(prompt=pb.Input(text="e" * (4 << 20)))


def memory_mib(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"{name}:\s+(\d+) kB", status.read())[1]) / 1024


class MemoryGrowth:
    """How much larger the resident sets of some processes have become, at their
    peaks since this object was made."""

    def __init__(self, pids):
        self._start_mib = {}
        for pid in pids:
            # Only root may do that with a process that forbids core dumps.
            with contextlib.suppress(PermissionError):
                with open(f"/proc/{pid}/clear_refs", "w") as file:
                    file.write("5")  # the peak is now the current size
            self._start_mib[pid] = memory_mib(pid, "VmRSS")

    def mib(self):
        return sum(memory_mib(pid, "VmHWM") - start
                   for pid, start in self._start_mib.items())


class HonestClient:
    """Sends one request again and again, scores an endless document, and checks
    health at short intervals, from the start of a `with` block to its end. With
    `uploads`, it also sends prompts that are too long. Its calls have
    `metadata`."""

    def __init__(self, address, expected, uploads=False, metadata=()):
        self._expected, self._metadata = expected, metadata
        self._over = threading.Event()
        self._address = address
        self.health_seconds, self.answers, self.uploads = [], 0, 0
        # Wrong answers, and calls that ended early.
        self.problems, self.interruptions = [], []
        self._threads = [threading.Thread(target=self._run, args=(what,))
                         for what in (self._check_health, self._generate,
                                      self._score_document,
                                      *([self._upload] if uploads else []))]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _channel(self):
        return grpc.insecure_channel(self._address, options=[
            ("grpc.use_local_subchannel_pool", 1)])

    def _run(self, what):
        while not self._over.is_set():
            try:
                what()
            except grpc.RpcError as error:
                self.interruptions.append(
                    f"{error.code()}: {error.details()}")
                self._over.wait(PROBE_SECONDS)

    def _check_health(self):
        start = time.monotonic()
        with self._channel() as channel:  # a new connection
            Health(channel).check()
        self.health_seconds.append(time.monotonic() - start)
        self._over.wait(PROBE_SECONDS)

    def _generate(self):
        with self._channel() as channel:
            stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
            answer = Answer(stub.Generate(request(), timeout=PATIENCE,
                                          metadata=self._metadata))
        self.answers += 1
        if (answer.ids, answer.bytes) != self._expected:
            self.problems.append(f"a different answer: {answer.text!r}")

    def _score_document(self):
        """One stream, to which a part is sent again and again."""
        def parts():
            while not self._over.wait(PROBE_SECONDS):
                yield pb.ScoreDocumentRequest(part=pb.Input(text="In the "))
        with self._channel() as channel:
            for _ in rwkv_pb2_grpc.RwkvServiceStub(channel).ScoreDocument(
                    parts(), metadata=self._metadata):
                pass

    def _upload(self):
        with self._channel() as channel:
            stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
            try:
                for _ in stub.Generate(TOO_LONG, timeout=PATIENCE,
                                       metadata=self._metadata):
                    self.problems.append("a prompt that is too long passes")
            except grpc.RpcError as error:
                # It has arrived as a whole.
                if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                    raise
        self.uploads += 1


class AttackRun:
    """One attack of `program` on `address`, and what an honest client of the
    same address, with `metadata`, and the processes noticed. The attacker has
    the address `source`."""

    def __init__(self, name, address, expected, server, proxy=None, seconds=2,
                 source=ATTACKER_ADDRESS, uploads=False, program=ATTACKS,
                 metadata=()):
        server_memory = MemoryGrowth([server.process.pid])
        proxy_memory = MemoryGrowth(proxy.pids() if proxy else [])
        with HonestClient(address, expected, uploads, metadata) as client:
            attacker = subprocess.run(
                [sys.executable, program, name, address, str(seconds), source],
                stdout=subprocess.PIPE, timeout=seconds + PATIENCE, check=True)
        self.counts = json.loads(attacker.stdout)
        self.answers, self.uploads = client.answers, client.uploads
        self.problems = client.problems
        self.interruptions = client.interruptions
        self.worst_health = max(client.health_seconds, default=PATIENCE)
        self.median_health = statistics.median(
            client.health_seconds or [PATIENCE])
        self.server_growth_mib = server_memory.mib()
        self.proxy_growth_mib = proxy_memory.mib()

    def summary(self):
        return (f"health {1000 * self.median_health:.0f} ms (median), "
                f"{1000 * self.worst_health:.0f} ms (worst); "
                f"{self.answers} answers, {self.uploads} uploads; memory +{self.server_growth_mib:.0f}"
                f" MiB, proxy +{self.proxy_growth_mib:.0f} MiB; "
                f"attacker {self.counts}; problems {self.problems[:3]}, "
                f"{len(self.interruptions)} interruptions "
                f"{self.interruptions[:3]}")
