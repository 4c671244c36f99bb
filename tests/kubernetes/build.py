# SPDX-License-Identifier: Apache-2.0
"""Everything that the node needs, in a cache that later runs use again: Debian's
packages, Kubernetes and CoreDNS built by Go, and the images of the pods."""

import glob
import hashlib
import os
import shutil
import subprocess

from node import HERE, NodeError, run

ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGES = ("etcd-server", "containerd", "runc", "buildah", "debootstrap",
            "containernetworking-plugins", "iptables", "iproute2", "openssl",
            "protobuf-compiler", "protobuf-compiler-grpc")
VERSION = "v1.34.4"  # as in programs/go.mod
KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
              "kubectl")
BASE = "docker.io/library/debian:bookworm-slim"  # which the Dockerfiles name
RWKVD = "docker.io/library/rwkvd:0.2.0"
CLIENT = "docker.io/library/rwkvd-client:1"


def digest_of(*paths):
    digest = hashlib.sha256()
    for path in filter(os.path.isfile, paths):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()[:12]


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def install_packages():
    installed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    installed = {line.split()[1] for line in installed.splitlines() if line.startswith("ii")}
    missing = [package for package in PACKAGES if package not in installed]
    if not missing:
        return
    print("installing", *missing, flush=True)
    policy = "/usr/sbin/policy-rc.d"  # keeps apt from starting daemons
    ours = not os.path.exists(policy)
    if ours:
        write(policy, "#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    finally:
        if ours:
            os.remove(policy)


class Cache:
    """The folder of what was built, .cache/kubernetes by default."""

    def __init__(self, folder):
        self.folder = folder
        self.binaries = os.path.join(folder, "bin")
        os.makedirs(self.binaries, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    # Binaries

    def _go(self, source, *arguments):
        """Builds with one process at a time and the lowest priority, so that the
        machine remains usable. Go verifies modules by the digests in go.sum."""
        env = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
               "GOFLAGS": "-modcacherw -p=1", "GOPATH": self.path("gopath"),
               "GOMODCACHE": self.path("modules"), "GOCACHE": self.path("build")}
        run("nice", "-n", "19", "go", "build", "-trimpath", *arguments,
            cwd=os.path.join(HERE, source), env=env)

    def _built(self, name, source, build):
        """Calls build unless its result is of the same sources."""
        folder = os.path.join(HERE, source)
        stamp = self.path(name + ".stamp")
        digest = digest_of(*sorted(glob.glob(folder + "/**/*", recursive=True)))
        if os.path.exists(stamp):
            with open(stamp) as file:
                if file.read() == digest:
                    return
        print(f"building {name}", flush=True)
        build()
        write(stamp, digest)

    def build_binaries(self):
        self._built("kubernetes", "programs", lambda: self._go(
            "programs", "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION}",
            "-o", self.binaries + "/", *("k8s.io/kubernetes/cmd/" + name for name in KUBERNETES)))
        self._built("coredns", "dns", lambda: (
            self._go("dns", "-ldflags", "-s -w", "-o", self.path("bin", "coredns"), "."),
            self._go("dns", "-ldflags", "-s -w", "-o", self.path("bin", "pause"), "./pause")))

    # Images

    def _buildah(self, *arguments):
        return run("buildah", "--root", self.path("buildah", "root"), "--runroot",
                   self.path("buildah", "run"), "--storage-driver", "overlay", *arguments)

    def _build_image(self, name, context, dockerfile, *options):
        write(os.path.join(context, "Dockerfile"), dockerfile)
        self._buildah("bud", "-q", "--isolation=chroot", "--pull-never", "--layers",
                      "--timestamp=0", *options, "-t", name, context)
        target = self.path(name.rsplit("/", 1)[1].replace(":", "-") + ".tar")
        if os.path.exists(target):
            os.remove(target)
        self._buildah("push", "-q", name, f"docker-archive:{target}:{name}")
        return target

    def _context(self, name):
        folder = self.path("contexts", name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return folder

    def _build_base(self):
        """Debian's base image, by debootstrap."""
        if BASE in self._buildah("images", "--format", "{{.Name}}:{{.Tag}}"):
            return
        print("making Debian's base image", flush=True)
        rootfs = self.path("rootfs")
        shutil.rmtree(rootfs, ignore_errors=True)
        # Its mounts end with it, also if it is interrupted.
        run("unshare", "--mount", "debootstrap", "--variant=minbase", "bookworm", rootfs)
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", "-q", container, rootfs, "/")
        self._buildah("commit", "-q", container, BASE)
        self._buildah("rm", container)
        shutil.rmtree(rootfs)

    def _build_rwkvd(self, rwkvd, rwkvctl):
        context = self._context("rwkvd")
        share = os.path.join(ROOT, ".cache", "share")
        for path, folder in ((rwkvd, "out/local/bin"), (rwkvctl, "out/local/bin"),
                             *((os.path.join(share, name), "out/share/rwkvd")
                               for name in os.listdir(share))):
            os.makedirs(os.path.join(context, folder), exist_ok=True)
            shutil.copy(path, os.path.join(context, folder))
        for name in ("rwkvd", "rwkvctl"):
            os.chmod(os.path.join(context, "out/local/bin", name), 0o755)
        text = last_stage("deploy/Dockerfile", "COPY --from=builder /out/ /usr/",
                          "COPY out/ /usr/")
        return self._build_image(RWKVD, context, text)

    def _build_client(self):
        """Debian's grpcio with client.py and the code of the wire contract."""
        context = self._context("client")
        run("protoc", "-I", "proto", f"--python_out={context}", f"--grpc_python_out={context}",
            "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
            "rwkv/v1/rwkv.proto", cwd=ROOT)
        shutil.copy(os.path.join(HERE, "client.py"), context)
        return self._build_image(CLIENT, context, f"""\
FROM {BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
  --no-install-recommends python3-grpcio python3-protobuf && rm -rf /var/lib/apt/lists/*
COPY rwkv /client/rwkv
COPY client.py /client/
USER 65532:65532
ENV PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/usr/bin/python3", "/client/client.py"]
""")

    def _build_gateway(self):
        gateway = os.path.join(ROOT, ".cache", "gateway")
        context = self._context("gateway")
        shutil.copytree(gateway, os.path.join(context, "out"))
        shutil.rmtree(os.path.join(context, "out", "openai"), ignore_errors=True)
        text = last_stage(
            "deploy/gateway/Dockerfile",
            "COPY --from=builder /src/.cache/gateway/ /usr/local/lib/rwkvd-gateway/",
            "COPY out/ /usr/local/lib/rwkvd-gateway/")
        return self._build_image("docker.io/library/rwkvd-gateway:0.2.0", context, text)

    def _build_model(self, target, tag):
        context = self._context("model-" + target)
        shutil.copytree(os.path.join(ROOT, "models", "demo"), context, dirs_exist_ok=True)
        with open(os.path.join(ROOT, "deploy", "model", "Dockerfile")) as file:
            return self._build_image(f"docker.io/library/rwkvd-model:{tag}", context,
                                     file.read(), "--target=" + target)

    def build_images(self, rwkvd, rwkvctl):
        """Returns the images as files for `ctr images import`."""
        for path in (rwkvd, rwkvctl):
            if not os.access(path, os.X_OK):
                raise NodeError(f"{path}: expected a program; build it, or name another one "
                                "by --rwkvd and --rwkvctl")
        run(os.path.join(ROOT, "tools", "install_dependencies.sh"), "--vocabularies")
        run(os.path.join(ROOT, "tools", "install_dependencies.sh"), "--gateway")
        print("building the images", flush=True)
        self._build_base()
        pause = self._context("pause")
        shutil.copy(self.path("bin", "pause"), pause)
        images = [self._build_image("rwkvd.test/pause:1", pause,
                                    'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')]
        images.append(self._build_rwkvd(rwkvd, rwkvctl))
        images.append(self._build_client())
        images.append(self._build_gateway())
        images.append(self._build_model("volume", "demo"))
        images.append(self._build_model("copy", "demo-copy"))
        return images


def last_stage(path, copy, replacement):
    """The last stage of a Dockerfile, with what the stage before it would build."""
    with open(os.path.join(ROOT, path)) as file:
        stages = file.read().split("\nFROM ")
    if copy not in stages[-1]:
        raise NodeError(f"{path}: expected the line {copy!r} in the last stage")
    return "FROM " + stages[-1].replace(copy, replacement)
