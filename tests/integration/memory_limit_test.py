# SPDX-License-Identifier: Apache-2.0
"""A server with little memory, under the worst load that it accepts.

The server runs in a control group of its own if this process may make one, and
otherwise with RLIMIT_DATA and --memory_limit. RWKVD_MEMORY_SECONDS=120 makes
each load longer.
"""

import os
import re
import signal
import subprocess
import threading
import time
import unittest

import memory_load
import metrics
import rwkvd_process
from answers import generate, request

SECONDS = float(os.environ.get("RWKVD_MEMORY_SECONDS", "8"))
MIB = 1 << 20
GIB = 1 << 30

# RLIMIT_DATA counts the whole stack of each thread, although hardly any of it
# is used.
STACKS = 512 * MIB


class ControlGroup:
    """A new control group with a memory limit, or None in `path`."""

    def __init__(self, limit):
        self.path = None
        name = f"rwkvd-test-{os.getpid()}-{limit}"
        for parent, file in (("/sys/fs/cgroup", "memory.max"),
                             ("/sys/fs/cgroup/memory",
                              "memory.limit_in_bytes")):
            path = os.path.join(parent, name)
            try:
                os.mkdir(path)
            except OSError:
                continue
            try:
                # Not "w", which would create the file where the kernel has no
                # such controller.
                with open(os.path.join(path, file), "r+") as limits:
                    limits.write(str(limit))
                self.path = path
                return
            except OSError:
                os.rmdir(path)

    def command(self):
        """What starts a program in the group, before the program's name."""
        enter = f'echo $$ > {self.path}/cgroup.procs; exec "$@"'
        return ["sh", "-c", enter, "sh"]

    def remove(self):
        if self.path is not None:
            os.rmdir(self.path)


class Peak(threading.Thread):
    """The largest anonymous memory of a process, in bytes."""

    def __init__(self, pid):
        super().__init__()
        self._status = f"/proc/{pid}/status"
        self._end = threading.Event()
        self.bytes = 0
        self.start()

    def run(self):
        while not self._end.wait(0.02):  # the process has no event for this
            try:
                with open(self._status) as file:
                    found = re.search(r"RssAnon:\s+(\d+) kB", file.read())
            except OSError:
                return
            if found:
                self.bytes = max(self.bytes, int(found[1]) << 10)

    def stop(self):
        self._end.set()
        self.join()


def planned_bytes(server):
    return sum(float(line.split()[1])
               for line in metrics.page(server).splitlines()
               if line.startswith("rwkv_memory_plan_bytes{"))


class MemoryLimitTest(unittest.TestCase):

    def start(self, limit, *flags):
        group = ControlGroup(limit)
        self.addCleanup(group.remove)
        if group.path is not None:
            prefix = group.command()
        else:
            prefix = ["prlimit", f"--data={limit + STACKS}"]
            flags += (f"--memory_limit={limit // MIB}",)
        server = rwkvd_process.Rwkvd(*flags, prefix=prefix)
        self.addCleanup(server.close)
        return server

    def check_under_load(self, limit):
        server = self.start(limit)
        plan = planned_bytes(server)
        self.assertGreater(plan, 0)
        self.assertLessEqual(plan, limit * 0.9)
        message = request(max_tokens=20)
        expected = generate(server.stub, message).ids
        peak = Peak(server.process.pid)
        load = memory_load.Load(server.address)
        time.sleep(SECONDS)  # the load's duration, not an event
        load.stop()
        peak.stop()
        print(f"{limit // MIB} MiB: peak {peak.bytes / MIB:.1f} MiB, plan "
              f"{plan / MIB:.1f} MiB, {sorted(load.outcomes.items())}")
        self.assertIsNone(server.process.poll(), server.log()[-3000:])
        self.assertEqual(load.unexpected, [])
        self.assertLessEqual(peak.bytes, plan)
        # It still answers, and as before.
        self.assertEqual(generate(server.stub, message).ids, expected)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)

    def test_200_mib_withstand_the_worst_load(self):
        self.check_under_load(200 * MIB)

    def test_64_mib_withstand_the_worst_load(self):
        self.check_under_load(64 * MIB)

    def test_limit_of_the_group_lowers_the_defaults(self):
        server = self.start(200 * MIB)
        limit = metrics.gauge(server, "rwkv_memory_limit_bytes")
        self.assertLessEqual(limit, 200 * MIB)
        self.assertIn("memory plan: ", server.log())

    def test_flags_that_do_not_fit_are_refused_in_one_line(self):
        for flags in (["--state_cache_mib=300"], ["--max_total_tokens=1000000000"],
                      ["--max_message_mib=200"],
                      ["--pinned_states_mib=100", "--state_store_mib=100"]):
            result = subprocess.run(
                [rwkvd_process.RWKVD, f"--model={rwkvd_process.MODEL}",
                 "--listen=127.0.0.1:0", "--metrics_listen=",
                 "--memory_limit=200", *flags],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                timeout=rwkvd_process.PATIENCE, check=False)
            self.assertEqual(result.returncode, 1, flags)
            self.assertRegex(
                result.stderr,
                r"^rwkvd: --memory_limit: expected at least .* MiB for the "
                r"model and the given flags, got 180\.0 MiB, 90 % of 200\.0 "
                r"\(--memory_limit\): .* process \+ .*\n$")

    def test_too_little_memory_is_refused_in_one_line(self):
        result = subprocess.run(
            [rwkvd_process.RWKVD, f"--model={rwkvd_process.MODEL}",
             "--listen=127.0.0.1:0", "--metrics_listen=", "--memory_limit=16"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=rwkvd_process.PATIENCE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn("--memory_limit: expected at least ", result.stderr)

    def test_deployment_has_the_memory_of_the_documented_plan(self):
        with open("docs/memory.md") as file:
            table = file.read()
        documented = [
            re.search(rf"^\| demo \| {limit}.*? \| ([\d.]+) [GM]iB \|", table,
                      re.MULTILINE)[1] for limit in ("none", "1 GiB")]
        with open("deploy/kubernetes/deployment.yaml") as file:
            deployed = re.findall(r"^ *memory: (\d+)Gi$", file.read(),
                                  re.MULTILINE)
        self.assertEqual(deployed, ["1", "1"])  # the request and the limit
        plans, limits = [], []
        for gib in ("24", deployed[0]):
            with rwkvd_process.rwkvd(f"--memory_limit={gib}GiB") as server:
                plans.append(planned_bytes(server))
                found = re.search(r"limits: (.*)", server.log())[1]
                limits.append(dict(word.split("=") for word in found.split()))
        self.assertEqual([f"{plans[0] / GIB:.1f}", f"{plans[1] / MIB:.0f}"],
                         documented)
        # Only caches and the sum of all requests are smaller than by default.
        differ = {name for name in limits[0]
                  if limits[0][name] != limits[1][name]}
        self.assertEqual(differ, {
            "--max_total_tokens", "--state_cache_mib", "--pinned_states_mib",
            "--state_store_mib", "--max_pending_states_mib"})
        model = sum(entry.stat().st_size
                    for entry in os.scandir(rwkvd_process.MODEL))
        self.assertLessEqual(plans[1], 0.9 * GIB)
        self.assertLessEqual(model, 0.05 * GIB)  # fits next to the plan


if __name__ == "__main__":
    unittest.main()
