# SPDX-License-Identifier: Apache-2.0
"""What a server tells Prometheus."""

import urllib.request

from rwkvd_process import PATIENCE


def page(server):
    """All that it tells, as text."""
    url = f"http://{server.metrics_address}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def gauge(server, name, absent=None):
    """The value of a metric, named with its labels; `absent` if the server does
    not tell it (yet), which otherwise fails."""
    for line in page(server).splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    assert absent is not None, f"no {name}"
    return absent
