# SPDX-License-Identifier: Apache-2.0
"""Measures each attack on rwkvd directly and through the proxy of deploy/edge,
for docs/security.md:

    bazel run //tests/edge:attack_report [NAME...]
"""

import os
import sys
import tempfile

from answers import generate, request
from attack_run import AttackRun
from attacks import ATTACKS
from nginx_process import nginx
from rwkvd_process import rwkvd

SECONDS = 3
ROW = "{:26} {:8} {:>11} {:>10} {:>9} {:>10} {:>9}  {}"


def measure(name, folder):
    path = os.path.join(folder, "rwkvd.sock")
    with rwkvd("--log_level=info") as server:
        answer = generate(server.stub, request())
        expected = answer.ids, answer.bytes
        show(name, "direct", server,
             lambda: AttackRun(name, server.address, expected, server,
                               seconds=SECONDS))
    with rwkvd(f"--listen=unix:{path}", "--log_level=info") as server, \
            nginx(path) as proxy:
        show(name, "proxy", server,
             lambda: AttackRun(name, proxy.address, expected, server, proxy,
                               seconds=SECONDS))


def show(name, way, server, make_run):
    try:
        run = make_run()
    except OSError as error:  # the server is gone, and with it its memory
        print(ROW.format(name, way, "", "", "", "", "",
                         f"server ended: {server.process.poll()}, {error}"))
        return
    print(ROW.format(
        name, way, f"{1000 * run.median_health:.0f} ms",
        f"{1000 * run.worst_health:.0f} ms", run.answers,
        f"{run.server_growth_mib:.0f} MiB", f"{run.proxy_growth_mib:.0f} MiB",
        f"{dict(run.counts)} {'; '.join(sorted({*run.problems, *run.interruptions}))}"),
          flush=True)


def main(names):
    print(ROW.format("attack", "way", "median", "worst", "answers", "server",
                     "proxy", "attacker, and problems of others"))
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for name in names or ATTACKS:
            measure(name, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
