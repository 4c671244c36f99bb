# SPDX-License-Identifier: Apache-2.0
"""Starts and ends real rwkvd processes for the tests."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

import grpc
import health_pb2
from rwkv.v1 import rwkv_pb2_grpc

RWKVD = os.environ.get("RWKVD_BINARY", "service/rwkvd")
RWKVCTL = os.environ.get("RWKVD_CTL", "tools/rwkvctl/rwkvctl")
MODEL = os.environ.get("RWKVD_MODEL", "models/demo")
SERVICE = "rwkv.v1.RwkvService"
VLLM_SERVICE = "vllm.grpc.engine.VllmEngine"

# Timeout in seconds for operations on a busy machine. No test waits for it to
# pass.
PATIENCE = 60


def wait_until(condition, what):
    """Polls until `condition` is true. For conditions of other processes, which
    have no event; see tests/README.md."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still waiting for {what}")
        time.sleep(0.02)


class Health:
    """A client of the standard health service, for which Debian has no stubs."""

    def __init__(self, channel):
        kinds = dict(
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString)
        self._check = channel.unary_unary("/grpc.health.v1.Health/Check",
                                          **kinds)
        self._watch = channel.unary_stream("/grpc.health.v1.Health/Watch",
                                           **kinds)

    def check(self, service=""):
        request = health_pb2.HealthCheckRequest(service=service)
        return self._check(request, timeout=PATIENCE).status

    def watch(self, service=""):
        request = health_pb2.HealthCheckRequest(service=service)
        return self._watch(request, timeout=PATIENCE, wait_for_ready=True)


class Rwkvd:
    """A server process that is SERVING. `prefix` is a command that executes
    the program, such as prlimit."""

    def __init__(self, *flags, model=MODEL, prefix=(), stdout=None,
                 credentials=None, server_name=""):
        """`prefix` is a command that runs the program whose command line
        follows, in its own process. `stdout` gets its log instead of log().
        `credentials` are those of grpcio for a server with TLS, whose
        certificate has `server_name` if that is not its address."""
        self._folder = tempfile.TemporaryDirectory()
        ports = os.path.join(self._folder.name, "ports")
        self._log = open(os.path.join(self._folder.name, "log"), "wb")
        self.process = subprocess.Popen(
            [*prefix, RWKVD, f"--model={model}", "--listen=127.0.0.1:0",
             "--metrics_listen=127.0.0.1:0", f"--port_file={ports}",
             "--log_level=debug", *flags],
            stdout=stdout or self._log,
            stderr=self._log if stdout else subprocess.STDOUT)
        try:
            wait_until(lambda: os.path.exists(ports) or self._has_ended(),
                       "the port file")
            if not os.path.exists(ports):
                raise AssertionError(f"rwkvd has ended:\n{self.log()}")
            with open(ports) as file:
                addresses = dict(line.strip().split("=", 1) for line in file)
            self.address = addresses["grpc"]
            self.metrics_address = addresses.get("metrics")
            self.health_address = addresses.get("health")
            names = ([("grpc.ssl_target_name_override", server_name)]
                     if server_name else [])
            self.channel = (
                grpc.secure_channel(self.address, credentials, names)
                if credentials else grpc.insecure_channel(self.address))
            self.stub = rwkv_pb2_grpc.RwkvServiceStub(self.channel)
            self.health = Health(self.channel)
            self._wait_until_serving()
        except BaseException:
            self.close()
            raise

    def _has_ended(self):
        return self.process.poll() is not None

    def _wait_until_serving(self):
        # The server sets the health of its two names one after the other.
        for service in ("", SERVICE):
            self._wait_until_healthy(service)

    def _wait_until_healthy(self, service):
        watch = self.health.watch(service)
        for response in watch:
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return
        raise AssertionError("never SERVING")

    def log(self):
        """The lines that are complete."""
        # Not the file that the server writes, whose position both would share.
        with open(self._log.name, errors="backslashreplace") as file:
            text = file.read()
        return text[:text.rfind("\n") + 1]

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """Waits for the end of the process; returns the exit code."""
        return self.process.wait(timeout=PATIENCE)

    def crash(self):
        """Crashes the process; returns whether a core was dumped."""
        self.signal(signal.SIGSEGV)
        _, status = os.waitpid(self.process.pid, 0)
        self.process.returncode = -os.WTERMSIG(status)
        return os.WCOREDUMP(status)

    def close(self):
        """Ends the process in whatever state it is."""
        if hasattr(self, "channel"):
            self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._folder.cleanup()


@contextlib.contextmanager
def rwkvd(*flags, **options):
    server = Rwkvd(*flags, **options)
    try:
        yield server
    finally:
        server.close()
