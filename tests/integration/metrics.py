# SPDX-License-Identifier: Apache-2.0
"""Reads the metrics of a server."""

import urllib.request

from rwkvd_process import PATIENCE


def page(server):
    """All metrics, as text."""
    url = f"http://{server.metrics_address}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.read().decode()


def gauge(server, name, absent=None):
    """The value of a metric, which is named with its labels. If the server does
    not export it, returns `absent`, or fails if that is None."""
    for line in page(server).splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    assert absent is not None, f"no {name}"
    return absent
