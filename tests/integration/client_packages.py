# SPDX-License-Identifier: Apache-2.0
"""Makes and installs the client packages for the tests."""

import glob
import os
import subprocess
import sys
import tarfile

MAKE_CLIENTS = "tools/make_clients.sh"
CHECKOUT = os.path.realpath(MAKE_CLIENTS)[:-len(MAKE_CLIENTS)]
CACHE = os.path.join(CHECKOUT, ".cache")
EXAMPLES = "docs/examples"


def run(*command, **options):
    """Runs a command; the error of a failure has its output."""
    result = subprocess.run(command, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False,
                            **options)
    if result.returncode != 0:
        raise AssertionError(f"{command}: {result.stdout}")


class ClientPackages:
    """The packages in a folder, installed there as a user would."""

    def __init__(self, folder):
        self.folder = folder
        self.dist = os.path.join(folder, "dist")
        self.python = os.path.join(folder, "python")
        self.modules = os.path.join(folder, "node_modules")
        self.programs = os.path.join(folder, "bin")
        run(MAKE_CLIENTS, self.dist)

    def package(self, pattern):
        (path,) = glob.glob(os.path.join(self.dist, pattern))
        return path

    def install_python(self):
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-index",
            "--no-deps", "--disable-pip-version-check", "--target",
            self.python, self.package("*.whl"))

    def install_node(self):
        os.makedirs(self.modules)
        with tarfile.open(self.package("*.tgz")) as file:
            file.extractall(self.folder)
        os.rename(os.path.join(self.folder, "package"),
                  os.path.join(self.modules, "rwkvd-client"))

    def environment(self):
        """The variables with which the examples find the packages."""
        python = [self.python, os.environ.get("PYTHONPATH", "")]
        node = [self.modules, os.path.join(CACHE, "node_modules")]
        return {**os.environ, "PYTHONPATH": ":".join(python),
                "NODE_PATH": ":".join(node)}

    def build_go(self):
        """Builds the examples for Go in the folder `programs`."""
        source = os.path.join(self.folder, "examples-go")
        run("cp", "-rL", os.path.join(EXAMPLES, "go"), source)
        os.makedirs(self.programs)
        environment = {
            **os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local",
            "GOPROXY": "off", "GOFLAGS": "-mod=readonly -trimpath",
            "GOMODCACHE": os.path.join(CACHE, "go/modules"),
            "GOCACHE": os.path.join(CACHE, "go/build")}
        for command in (
                ["mod", "edit", f"-replace=rwkvd-client={self.dist}/go"],
                # Without symbols for debuggers, which take long to link.
                ["build", "-ldflags=-s -w", "-o", self.programs, "./..."]):
            run("go", *command, cwd=source, env=environment)
