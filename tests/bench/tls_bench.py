#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what TLS and authentication cost: four servers of one model serve 32
streams in turns, one without both, one with mutual TLS, one with mutual TLS whose
clients also send a token, and one without both once more; and openssl makes
handshakes.

  bazel build -c opt //service:rwkvd //tools/rwkvctl
  python3 tests/bench/tls_bench.py [--model=PATH] [--clients=32] [--rounds=36]

The second server without TLS shows how much the machine varies by itself. Many
short runs in turns say more than a few long ones, because the speed of a machine
drifts. Server and clients share the processors, so the server's own processor
time per token is printed, too. Needs openssl.
"""

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(__file__), "../integration"))
from certificates import Authority  # noqa: E402

RWKVD = os.environ.get("RWKVD_BINARY", "bazel-bin/service/rwkvd")
RWKVCTL = os.environ.get("RWKVD_CTL", "bazel-bin/tools/rwkvctl/rwkvctl")
PLAIN, BOTH = "plain", "mutual TLS and a token"
TOKENS_PER_STREAM = 72


def processor_seconds(pid):
    """The processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK")


class Server:
    """A running rwkvd without a state cache."""

    def __init__(self, model, folder, name, flags=(), client_flags=()):
        ports = os.path.join(folder, name)
        self.client_flags = client_flags
        self._process = subprocess.Popen(
            [RWKVD, f"--model={model}", "--tokenizer=bytes",
             "--allow_tokenizer_mismatch", "--listen=127.0.0.1:0",
             "--metrics_listen=", "--log_level=warn", "--state_cache_mib=0",
             "--noaccess_log", f"--port_file={ports}", *flags])
        while self._process.poll() is None and not os.path.exists(ports):
            time.sleep(0.01)
        with open(ports) as lines:
            self.address = lines.readline().strip().removeprefix("grpc=")
        subprocess.run([RWKVCTL, "health", f"--server={self.address}",
                        "--wait=60s", *client_flags], check=True,
                       stdout=subprocess.DEVNULL)

    def close(self):
        self._process.terminate()
        self._process.wait()

    def processor_seconds(self):
        return processor_seconds(self._process.pid)

    def measure(self, clients, seed):
        """Tokens per second, and the server's seconds per 1,000 tokens."""
        before = self.processor_seconds()
        done = subprocess.run(
            [RWKVCTL, "bench", "--json", f"--server={self.address}",
             f"--concurrency={clients}", "--prompt_tokens=1",
             f"--output_tokens={TOKENS_PER_STREAM}", f"--requests={clients}",
             f"--workload_seed={seed}", *self.client_flags],
            check=True, stdout=subprocess.PIPE)
        used = self.processor_seconds() - before
        report = json.loads(done.stdout)
        return (report["throughput"]["generated_tokens_per_second"],
                1000 * used / report["tokens"]["generated"])


def measure_handshakes(server, ca, cert, key, version):
    """Handshakes per second of one client that makes one after the other, and
    the server's processor time for each, in seconds."""
    before = server.processor_seconds()
    output = subprocess.run(
        ["openssl", "s_time", "-connect", server.address, "-CAfile", ca,
         "-cert", cert, "-key", key, "-new", "-time", "5", version],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False).stdout
    count, seconds = re.search(
        r"(\d+) connections in (\d+) real seconds", output).groups()
    used = server.processor_seconds() - before
    return int(count) / int(seconds), used / int(count)


def start_servers(model, folder, authority, pair, stack):
    """One server for each kind, which end with `stack`."""
    cert, key = pair
    files = [f"--tls_cert={cert}", f"--tls_key={key}"]
    token, identities = (os.path.join(folder, name)
                         for name in ("token", "identities"))
    made = subprocess.run([RWKVCTL, "auth", "new", "bench", "--roles=infer"],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    for path, line in zip((token, identities), made.splitlines()):
        with open(path, "w") as file:
            file.write(line + "\n")
        os.chmod(path, 0o600)
    mutual = [*files, f"--tls_client_ca={authority.cert}"]
    client = [*files, f"--tls_ca={authority.cert}"]
    kinds = {PLAIN: ([], []), "mutual TLS": (mutual, client),
             BOTH: ([*mutual, f"--auth_tokens={identities}"],
                    [*client, f"--token_file={token}"]),
             "plain again": ([], [])}
    servers = {}
    for number, (name, flags) in enumerate(kinds.items()):
        servers[name] = Server(model, folder, f"ports{number}", *flags)
        stack.callback(servers[name].close)
    return servers


def measure_in_turns(servers, clients, rounds):
    """The results of each server, by round. Each round measures all of them, in
    another order than the one before."""
    results = {name: [] for name in servers}
    names = list(servers)
    for seed in range(rounds + 1):
        for name in names:
            result = servers[name].measure(clients, seed)
            if seed > 0:  # the first round warms up
                results[name].append(result)
        names = names[1:] + names[:1]
    return results


def report(results):
    """Prints the medians, and how each server compares with the one without TLS:
    the median of the ratios within each round, and the standard error of their
    mean."""
    for name, pairs in results.items():
        print("%-22s %8.1f tokens/s, %6.3f s of processor time per 1,000 "
              "tokens" % (name, *map(statistics.median, zip(*pairs))))
    for name, pairs in results.items():
        if name == PLAIN:
            continue
        for index, what in enumerate(("throughput", "processor time")):
            ratios = [100 * pair[index] / plain[index]
                      for pair, plain in zip(pairs, results[PLAIN])]
            error = statistics.stdev(ratios) / len(ratios) ** 0.5
            print("%s, %s: %.1f %% of plain (mean %.1f, standard error %.1f)" % (
                name, what, statistics.median(ratios), statistics.mean(ratios),
                error))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="models/demo")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=36)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        authority = Authority(folder)
        pair = authority.issue("peer")
        servers = start_servers(arguments.model, folder, authority, pair, stack)
        report(measure_in_turns(servers, arguments.clients, arguments.rounds))
        for version in ("-tls1_3", "-tls1_2"):
            rate, used = measure_handshakes(
                servers[BOTH], authority.cert, *pair, version)
            print("%s: %.0f handshakes per second of one client, %.2f ms of "
                  "the server's processor time each" % (
                      version[1:], rate, 1000 * used))


if __name__ == "__main__":
    main()
