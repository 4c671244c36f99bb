# SPDX-License-Identifier: Apache-2.0
"""Starts and ends real SMG gateways for the tests."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from rwkvd_process import PATIENCE, wait_until

# What tools/install_dependencies.sh has installed, also in a sandbox.
MODULES = os.environ.get("RWKVD_GATEWAY", os.path.join(
    os.path.dirname(os.path.realpath(__file__)), "../../.cache/gateway"))


def import_openai():
    """The module of OpenAI's client."""
    if not os.path.isdir(MODULES):
        raise AssertionError("the gateway SMG is not installed "
                             "(tools/install_dependencies.sh does that)")
    # Before Debian's modules, of which some are too old.
    sys.path.insert(0, MODULES)
    import openai
    return openai


def free_port():
    """A port that is free now. SMG does not report which one it has chosen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """A gateway process that serves the models of `servers`."""

    def __init__(self, *servers, flags=()):
        self._log = tempfile.NamedTemporaryFile(suffix=".log")
        self.address = f"127.0.0.1:{free_port()}"
        host, port = self.address.split(":")
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-m", "smg", "launch", "--backend=vllm",
             f"--host={host}", f"--port={port}", "--prometheus-host=127.0.0.1",
             f"--prometheus-port={free_port()}",
             "--worker-startup-check-interval=1",
             "--health-check-interval-secs=1", "--health-failure-threshold=1",
             "--health-success-threshold=1", "--load-monitor-interval=1",
             *flags, "--worker-urls",
             *(f"grpc://{server.address}" for server in servers)],
            env={**os.environ, "PYTHONPATH": MODULES}, stdout=self._log,
            stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: self._is_ready(len(servers)), "the gateway")
        except BaseException:
            self.close()
            raise

    def get(self, path, body=None):
        """The answer, as bytes. With `body`, which is JSON, a POST."""
        message = urllib.request.Request(
            f"http://{self.address}{path}", data=body,
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(message, timeout=PATIENCE) as page:
            return page.read()

    def _is_ready(self, num_servers):
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway has ended:\n{self.log()}")
        try:
            self.get("/readiness")
        except (urllib.error.URLError, ConnectionError):
            return False
        return self.num_healthy() == num_servers

    def num_healthy(self):
        """The number of servers to which the gateway sends requests."""
        return self.get("/workers").count(b'"is_healthy":true')

    def log(self):
        with open(self._log.name, errors="backslashreplace") as file:
            return file.read()

    def client(self, openai):
        """OpenAI's client, which reports each error at once."""
        return openai.OpenAI(base_url=f"http://{self.address}/v1",
                             api_key="none", max_retries=0,
                             timeout=2 * PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()


@contextlib.contextmanager
def gateway(*servers, **options):
    process = Gateway(*servers, **options)
    try:
        yield process
    finally:
        process.close()
