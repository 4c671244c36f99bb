# SPDX-License-Identifier: Apache-2.0
"""What a server tells Prometheus."""

import urllib.request

from rwkvd_process import PATIENCE


def gauge(server, name):
    url = f"http://{server.metrics_address}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no {name}")
