# SPDX-License-Identifier: Apache-2.0
"""Many clients of every kind at once, and what they leave behind. They run for
RWKVD_LOAD_SECONDS, 10 by default."""

import json
import os
import re
import subprocess
import unittest

from metrics import gauge, page
from rwkv.v1 import rwkv_pb2
from rwkvd_process import PATIENCE, rwkvd, wait_until

DRIVER = os.environ.get("RWKVD_LOAD_DRIVER", "tests/load/load_driver")
CLIENTS = 200
SECONDS = int(os.environ.get("RWKVD_LOAD_SECONDS", "10"))
# Long enough for the server to meet every kind of client and fill its caches.
WARM_UP_SECONDS = max(8, SECONDS // 3)
# If a short warm-up on a busy machine is not enough, the first loads warm the
# server up, too. A leak would show in each load.
LOADS = 3 if SECONDS < 60 else 1
# A state cache that is full when the warm-up is over.
FLAGS = ("--state_cache_mib=2",)
MAX_GROWTH = 1.02
# Logged when the idle server has returned free memory.
RETURNED_MEMORY = "idle: returned free memory to the system"

ENDED = re.compile(r'grpc_server_call_duration_seconds_count\{'
                   r'grpc_method="[^"]*/Generate",'
                   r'grpc_status="(\w+)"\} (\d+)')
STARTED = ('grpc_server_call_started_total'
           '{grpc_method="rwkv.v1.RwkvService/Generate"}')


def resident_kib(server):
    """Resident memory after the idle server has returned free memory."""
    num_before = server.log().count(RETURNED_MEMORY)
    for _ in server.stub.Generate(rwkv_pb2.GenerateRequest(max_tokens=0)):
        pass  # a request, so that the server becomes idle once more
    wait_until(lambda: server.log().count(RETURNED_MEMORY) > num_before, RETURNED_MEMORY)
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])


def endings(server):
    """The number of Generate calls by status."""
    return {code: int(count) for code, count in ENDED.findall(page(server))}


def is_idle(server):
    return (gauge(server, "rwkv_requests_running") == 0 and
            gauge(server, "rwkv_queue_depth") == 0 and
            gauge(server, STARTED) == sum(endings(server).values()))


class LoadTest(unittest.TestCase):

    def load(self, server, seconds, seed):
        result = subprocess.run(
            [DRIVER, f"--server={server.address}", f"--clients={CLIENTS}",
             f"--duration={seconds}s", f"--seed={seed}"],
            stdout=subprocess.PIPE, text=True, check=False,
            timeout=seconds + 2 * PATIENCE)
        self.assertNotEqual(result.stdout, "", result.returncode)
        report = json.loads(result.stdout)
        print(json.dumps(report, indent=2, sort_keys=True))
        self.assertEqual(report["problems"], [])
        self.assertEqual(result.returncode, 0)
        # All ended, and left no slot, no queue entry and no call behind.
        wait_until(lambda: is_idle(server), "every call to have ended")
        return report

    def check_clients(self, report):
        """Checks that every kind of client has met its purpose."""
        self.assertEqual(set(report["endings"]),
                         {"plain", "slow", "cancel", "deadline", "cut"})
        for behavior, code in (("cancel", "CANCELLED"),
                                ("deadline", "DEADLINE_EXCEEDED"),
                                ("cut", "UNAVAILABLE")):
            self.assertIn(code, report["endings"][behavior])

    def test_load_loses_no_answer_and_leaks_no_memory(self):
        with rwkvd(*FLAGS) as server:
            self.load(server, WARM_UP_SECONDS, seed=0)
            sizes = [resident_kib(server)]
            for seed in range(1, LOADS + 1):
                self.check_clients(self.load(server, SECONDS, seed))
                sizes.append(resident_kib(server))
                if sizes[-1] <= MAX_GROWTH * sizes[-2]:
                    break
            ends = endings(server)
            print(f"resident KiB: {sizes}; ends: {ends}")
            self.assertLessEqual(
                set(ends), {"OK", "CANCELLED", "DEADLINE_EXCEEDED"})
            self.assertLessEqual(sizes[-1], MAX_GROWTH * sizes[-2])


if __name__ == "__main__":
    unittest.main()
