# SPDX-License-Identifier: Apache-2.0
"""Clients that do everything wrong, next to clients that do not. They run for
RWKVD_ABUSE_SECONDS, 60 by default."""

import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import unittest

import grpc
from metrics import gauge
from rwkvd_process import PATIENCE, Health, rwkvd, wait_until

DRIVER = os.environ.get("RWKVD_LOAD_DRIVER", "tests/load/load_driver")
ABUSES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "abuses.py")
SECONDS = int(os.environ.get("RWKVD_ABUSE_SECONDS", "60"))
SEED = os.environ.get("RWKVD_ABUSE_SEED", "1")
# The server limits connections per address, so the honest clients, which come
# from 127.0.0.1, always get one.
ABUSER_ADDRESS = "127.0.0.2"
HONEST_CLIENTS = 8
MEMORY_MIB = 1024
# An honest request that is refused, or ended early, is sent again for this
# time. Most limits hold for all clients together, so abuse delays others.
RETRY_SECONDS = PATIENCE
# Far above what was measured: all processes share two cores with other tests.
MAX_MEDIAN_HEALTH_SECONDS = 1
MAX_HEALTH_SECONDS = 15


class HealthWatch:
    """Checks the server's health at short intervals during a `with` block. A
    check whose connection ends is sent again at once, as gRPC's clients do;
    its time is that of all attempts."""

    def __init__(self, address):
        self._over = threading.Event()
        self._channel = grpc.insecure_channel(address, options=[
            ("grpc.use_local_subchannel_pool", 1)])
        self._thread = threading.Thread(target=self._run)
        self.seconds, self.problems, self.interruptions = [], [], 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._channel.close()

    def _run(self):
        while not self._over.wait(0.05):
            start = time.monotonic()
            while not self._check() and time.monotonic() < start + PATIENCE:
                self.interruptions += 1
            self.seconds.append(time.monotonic() - start)

    def _check(self):
        try:
            Health(self._channel).check()
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE,
                                grpc.StatusCode.RESOURCE_EXHAUSTED):
                return False
            self.problems.append(f"{error.code()}: {error.details()}")
        return True


def peak_mib(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1]) / 1024


class AbuseTest(unittest.TestCase):

    def run_clients(self, server):
        """Runs abusers and honest clients at the same time. Returns their
        reports."""
        abusers = subprocess.Popen(
            [sys.executable, ABUSES, server.address, str(SECONDS), SEED,
             ABUSER_ADDRESS], stdout=subprocess.PIPE, text=True)
        self.addCleanup(abusers.stdout.close)
        self.addCleanup(abusers.wait)
        self.addCleanup(abusers.kill)
        honest = subprocess.run(
            [DRIVER, f"--server={server.address}",
             f"--clients={HONEST_CLIENTS}", f"--duration={SECONDS}s",
             f"--patience={RETRY_SECONDS}s", "--requests=24"],
            stdout=subprocess.PIPE, text=True, check=False,
            timeout=SECONDS + 5 * PATIENCE)
        self.assertNotEqual(honest.stdout, "", honest.returncode)
        output, _ = abusers.communicate(timeout=2 * PATIENCE)
        self.assertEqual(abusers.returncode, 0)
        return json.loads(honest.stdout), json.loads(output)

    def test_abuse_harms_no_honest_client(self):
        with rwkvd("--log_level=info") as server:
            with HealthWatch(server.address) as health:
                honest, abuse = self.run_clients(server)
            peak = peak_mib(server)
            print(json.dumps({
                "honest": honest, "abuse": abuse,
                "peak MiB": peak, "health checks": len(health.seconds),
                "interrupted health checks": health.interruptions,
                "median health ms": 1000 * statistics.median(health.seconds),
                "worst health ms": 1000 * max(health.seconds)}, indent=2))
            self.assertEqual(honest["problems"], [])
            self.assertGreater(honest["requests"], 2 * 24)
            self.assertEqual(health.problems, [])
            self.assertLess(statistics.median(health.seconds),
                            MAX_MEDIAN_HEALTH_SECONDS)
            self.assertLess(max(health.seconds), MAX_HEALTH_SECONDS)
            self.assertLess(peak, MEMORY_MIB)
            # Nothing is left behind.
            for name in ("rwkv_requests_running", "rwkv_queue_depth"):
                wait_until(lambda name=name: gauge(server, name) == 0, name)
            server.signal()
            self.assertEqual(server.wait(), 0, server.log())


if __name__ == "__main__":
    unittest.main()
