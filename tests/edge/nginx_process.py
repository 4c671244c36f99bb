# SPDX-License-Identifier: Apache-2.0
"""Starts Debian's nginx with the configuration in deploy/edge."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile

from rwkvd_process import PATIENCE

CONFIGURATION = os.environ.get("RWKVD_EDGE_CONFIGURATION",
                               "deploy/edge/nginx.conf")
NGINX = "/usr/sbin/nginx"


def listening_socket():
    """A socket that listens on loopback. nginx inherits it, since it does not
    report a port that the system chooses."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(511)
    return listener


def address_of(listener):
    host, port = listener.getsockname()
    return f"{host}:{port}"


def write_certificate(path, key_path, address="127.0.0.1"):
    """Writes a self-signed certificate for one day, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj",
         "/CN=rwkvd", "-addext", f"subjectAltName=IP:{address}", "-keyout",
         key_path, "-out", path], check=True, capture_output=True)


def replaced(text, old, new):
    assert old in text, f"{CONFIGURATION}: no {old}"
    return text.replace(old, new)


class Nginx:
    """A proxy in front of the unix socket `server_socket`. `address` is its
    address without TLS, `tls_address` with TLS. The server's certificate is at
    `certificate_path`. `changes` maps text of the configuration to what
    replaces it."""

    def __init__(self, server_socket, changes=None):
        # Not in the test's own folder, whose name may be too long for sockets.
        self._folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.certificate_path = self._path("server.pem")
        write_certificate(self.certificate_path, self._path("server.key"))
        self._log = open(self._path("log"), "wb")
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(listening_socket())
                       for _ in range(2)]
            self.address, self.tls_address = map(address_of, sockets)
            self._configure({
                "unix:/run/rwkvd/rwkvd.sock": f"unix:{server_socket}",
                "unix:/run/rwkvd-edge/": f"unix:{self._folder.name}/",
                "  listen 127.0.0.1:50052;": f"  listen {self.address};",
                "  listen 50051;": f"  listen {self.tls_address};",
                **(changes or {})})
            inherited = "".join(f"{each.fileno()};" for each in sockets)
            self.process = subprocess.Popen(
                [NGINX, "-p", self._folder.name, "-e", "stderr",
                 "-c", self._path("nginx.conf"), "-g",
                 "daemon off;" + (" user root;" if os.geteuid() == 0 else "")],
                pass_fds=[each.fileno() for each in sockets],
                env=dict(os.environ, NGINX=inherited),
                stdout=self._log, stderr=subprocess.STDOUT)

    def _path(self, name):
        return os.path.join(self._folder.name, name)

    def _configure(self, changes):
        with open(CONFIGURATION) as file:
            text = file.read()
        for old, new in changes.items():
            text = replaced(text, old, new)
        with open(self._path("nginx.conf"), "w") as file:
            file.write(text)

    def log(self):
        # Not the file that nginx writes, whose position both would share.
        with open(self._log.name) as file:
            return file.read()

    def pids(self):
        """The master process and its workers."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path) as file:
            return [self.process.pid, *map(int, file.read().split())]

    def close(self):
        self.process.send_signal(signal.SIGTERM)  # ends the workers, too
        self.process.wait(timeout=PATIENCE)
        self._log.close()
        self._folder.cleanup()


@contextlib.contextmanager
def nginx(server_socket, changes=None):
    proxy = Nginx(server_socket, changes)
    try:
        yield proxy
    finally:
        proxy.close()
