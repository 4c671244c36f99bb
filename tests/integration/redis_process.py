# SPDX-License-Identifier: Apache-2.0
"""Starts and ends a real redis-server for the tests."""

import os
import signal
import socket
import subprocess

from rwkvd_process import wait_until

USER = "rwkvd"
PASSWORD = "secret-of-redis"
# The access that docs/operations.md gives to rwkvd.
ACCESS = ("~rwkvd:* resetchannels -@all +select +get +set +del +eval +time "
          "+pttl +strlen +zadd +zrem +zcard +zrange +zrangebyscore +hget "
          "+hset +hdel +hincrby").split()


def free_port():
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """A redis-server with TLS at a port of the loopback interface. Nobody but
    USER may use it. It stores nothing on disk, in `folder`."""

    def __init__(self, folder, authority):
        self._folder = folder
        self._cert, self._key = authority.issue("redis")
        self._authority = authority
        self._port = free_port()
        self._process = None
        self.password_file = os.path.join(folder, "redis-password")
        with open(self.password_file, "w", encoding="utf-8") as file:
            file.write(PASSWORD + "\n")
        self.start()

    def flags(self):
        """The flags of rwkvd for this store."""
        return [f"--state_store=rediss://127.0.0.1:{self._port}",
                f"--state_store_user={USER}",
                f"--state_store_password_file={self.password_file}",
                f"--state_store_ca={self._authority.cert}"]

    def start(self):
        self._process = subprocess.Popen(
            ["redis-server", "--save", "", "--appendonly", "no", "--dir",
             self._folder, "--bind", "127.0.0.1", "--port", "0", "--tls-port",
             str(self._port), "--tls-cert-file", self._cert, "--tls-key-file",
             self._key, "--tls-ca-cert-file", self._authority.cert,
             "--tls-auth-clients", "no", "--requirepass", "of-nobody",
             "--user", USER, "on", f">{PASSWORD}", *ACCESS],
            stdout=subprocess.DEVNULL)
        wait_until(self._accepts, "redis-server")

    def _accepts(self):
        if self._process.poll() is not None:
            raise AssertionError("redis-server has ended")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def stall(self):
        self._process.send_signal(signal.SIGSTOP)

    def kill(self):
        self._process.kill()
        self._process.wait()
