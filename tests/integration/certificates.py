# SPDX-License-Identifier: Apache-2.0
"""Makes certificates for tests, with the commands of deploy/README.md."""

import os
import subprocess

EXTENSIONS = """[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[certificate]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = {purposes}
subjectAltName = {names}
"""


def openssl(*arguments):
    """Runs openssl; returns its standard output."""
    return subprocess.run(["openssl", *arguments], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True).stdout


class Authority:
    """An authority whose files, and those of its certificates, are in
    `folder`."""

    def __init__(self, folder, name="ca"):
        self._folder = folder
        self._name = name
        self.cert, self.key = self._paths(name)
        self._new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.cert,
                "-subj", f"/CN={name}", "-days", "30", "-config",
                self._write_extensions(), "-extensions", "authority")

    def issue(self, name, names="DNS:localhost,IP:127.0.0.1",
              purposes="serverAuth,clientAuth", begin="", end=""):
        """A certificate and its key; returns their paths. `begin` and `end`
        are in the form YYMMDDHHMMSSZ."""
        cert, key = self._paths(name)
        self._new_key(key)
        request = os.path.join(self._folder, f"{name}.csr")
        config = self._write_extensions(names, purposes)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}",
                "-config", config, "-out", request)
        if not begin:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey",
                    self.key, "-CAcreateserial", "-days", "30", "-out", cert,
                    "-extfile", config, "-extensions", "certificate")
            return cert, key
        # Only `openssl ca` can choose the beginning.
        database = os.path.join(self._folder, f"{name}.index")
        open(database, "w").close()
        with open(config, "a") as file:
            file.write(f"[ca]\ndefault_ca = this\n[this]\ndatabase = {database}"
                       f"\nnew_certs_dir = {self._folder}\nrand_serial = yes\n"
                       "policy = policy\ndefault_md = sha256\n[policy]\n"
                       "commonName = supplied\n")
        openssl("ca", "-batch", "-notext", "-config", config, "-in", request,
                "-cert", self.cert, "-keyfile", self.key, "-startdate", begin,
                "-enddate", end, "-extensions", "certificate", "-out", cert)
        return cert, key

    def _paths(self, name):
        base = os.path.join(self._folder, name)
        return f"{base}.pem", f"{base}.key"

    @staticmethod
    def _new_key(path):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-out", path)

    def _write_extensions(self, names="DNS:unused", purposes="serverAuth"):
        path = os.path.join(self._folder, f"{self._name}.cnf")
        with open(path, "w") as file:
            file.write(EXTENSIONS.format(names=names, purposes=purposes))
        return path
