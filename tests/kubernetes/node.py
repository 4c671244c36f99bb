# SPDX-License-Identifier: Apache-2.0
"""One node of Kubernetes, with its control plane, on this machine.

It runs in namespaces of its own (network, mounts, processes, control groups), which
`enter` makes: whatever ends the first process in them ends all others, and network,
mounts and sockets go with it. Addresses: 10.244.0.1 is the node, 10.96.0.1 the API.
"""

import base64
import ctypes
import glob
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request

from cgroups import CGROUPS, hierarchies, join_cgroups, make_cgroups, make_leaf

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = "10.244.0.1"
API = "10.96.0.1"


class NodeError(Exception):
    pass


def run(*command, **options):
    """Runs a command. If it fails, the error has the end of its output."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False, **options)
    if result.returncode != 0:
        raise NodeError(f"{' '.join(command)}: code {result.returncode}:\n"
                        f"{result.stdout[-2000:]}")
    return result.stdout


def enter(name, command):
    """Runs a command as the first process of new namespaces; returns the process."""
    make_cgroups(name)

    def prepare():
        join_cgroups(name)
        # Ends with the parent, whatever kills that one. PR_SET_PDEATHSIG is 1.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)

    return subprocess.Popen(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL",
         "--mount-proc", "--cgroup", "--", *command],
        preexec_fn=prepare, start_new_session=True)


def prepare_namespaces():
    """Inside: mounts of our own, and a bridge for the pods."""
    remounted = [(folder, os.path.basename(folder)) for folder in hierarchies()]
    for folder, controllers in remounted:
        run("umount", folder)
        if folder == CGROUPS:
            run("mount", "-t", "cgroup2", "cgroup2", folder)
        else:
            options = "none,name=systemd" if controllers == "systemd" else controllers
            run("mount", "-t", "cgroup", "-o", options, "cgroup", folder)
        make_leaf(folder)
    run("mount", "--make-rshared", "/")
    for folder in ("/run", "/var/lib", "/var/log"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    for command in ("link set lo up", "link add rwkvd0 type bridge",
                    f"addr add {NODE}/24 dev rwkvd0", f"addr add {API}/32 dev rwkvd0",
                    "link set rwkvd0 up"):
        run("ip", *command.split())
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("1")


class Node:
    def __init__(self, state, binaries):
        self.state = state
        self.binaries = binaries
        self.processes = {}
        self.kubeconfig = f"{state}/pki/admin.kubeconfig"
        for folder in ("pki", "logs"):
            os.makedirs(os.path.join(state, folder), exist_ok=True)

    # Files

    def write_configuration(self, evict="110Mi"):
        target = os.path.join(self.state, "config")
        shutil.copytree(os.path.join(HERE, "config"), target, dirs_exist_ok=True)
        for path in glob.glob(target + "/**", recursive=True):
            if os.path.isfile(path):
                with open(path) as file:
                    text = file.read()
                with open(path, "w") as file:
                    file.write(text.replace("@STATE@", self.state).replace("@EVICT@", evict))

    def _path(self, name):
        return os.path.join(self.state, "pki", name)

    def certificate(self, name, subject, names=""):
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject,
            "-keyout", self._path(name + ".key"), "-out", self._path(name + ".csr"))
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n"
        extensions += f"subjectAltName={names}\n" if names else ""
        run("openssl", "x509", "-req", "-in", self._path(name + ".csr"), "-days", "2",
            "-CA", self._path("ca.crt"), "-CAkey", self._path("ca.key"), "-CAcreateserial",
            "-out", self._path(name + ".crt"), "-extfile", "/dev/stdin", input=extensions)

    def make_certificates(self):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=node", "-keyout", self._path("ca.key"), "-out", self._path("ca.crt"))
        self.certificate("apiserver", "/CN=kube-apiserver",
                          "DNS:kubernetes.default.svc,DNS:kubernetes,IP:127.0.0.1,"
                          f"IP:{API},IP:{NODE}")
        self.certificate("kubelet", "/O=system:nodes/CN=system:node:node",
                          f"DNS:node,IP:{NODE}")
        for name, subject in (("admin", "/O=system:masters/CN=admin"),
                              ("scheduler", "/CN=system:kube-scheduler"),
                              ("controllers", "/CN=system:kube-controller-manager")):
            self.certificate(name, subject)
        run("openssl", "genrsa", "-out", self._path("accounts.key"), "2048")
        run("openssl", "rsa", "-in", self._path("accounts.key"), "-pubout",
            "-out", self._path("accounts.pub"))
        for name in ("admin", "scheduler", "controllers", "kubelet"):
            self._write_kubeconfig(name)

    def _write_kubeconfig(self, name):
        def encoded(file):
            with open(self._path(file), "rb") as source:
                return base64.b64encode(source.read()).decode()
        with open(self._path(name + ".kubeconfig"), "w") as file:
            json.dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "node",
                "clusters": [{"name": "node", "cluster": {
                    "server": f"https://{API}:443",
                    "certificate-authority-data": encoded("ca.crt")}}],
                "users": [{"name": "node", "user": {
                    "client-certificate-data": encoded(name + ".crt"),
                    "client-key-data": encoded(name + ".key")}}],
                "contexts": [{"name": "node", "context": {
                    "cluster": "node", "user": "node"}}]}, file)

    def opener(self):
        """Opens addresses of the API as the administrator, without a proxy."""
        context = ssl.create_default_context(cafile=self._path("ca.crt"))
        context.load_cert_chain(self._path("admin.crt"), self._path("admin.key"))
        return urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                           urllib.request.HTTPSHandler(context=context))

    # Processes

    def start(self, name, *command):
        with open(f"{self.state}/logs/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, name):
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal(self, process, name):
        run("kill", "-s", name, str(process))

    def program(self, name):
        return os.path.join(self.binaries, name)

    def wait(self, what, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise NodeError(f"{name} ended with code {process.returncode}: see "
                                    f"{self.state}/logs/{name}.log")
            if time.monotonic() > end:
                raise NodeError(f"waited {seconds} s for {what}")
            time.sleep(0.3)

    def succeeds(self, *command):
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False,
                              stderr=subprocess.DEVNULL).returncode == 0

    def up(self, images):
        self.write_configuration()
        self.make_certificates()
        urls = "http://127.0.0.1:2379"
        self.start("etcd", "etcd", "--data-dir", f"{self.state}/etcd", "--unsafe-no-fsync",
                   "--listen-client-urls", urls, "--advertise-client-urls", urls,
                   "--listen-peer-urls", "http://127.0.0.1:2380")
        self.start("containerd", "containerd", "-c", f"{self.state}/config/containerd.toml")
        self.start("apiserver", self.program("kube-apiserver"), "--etcd-servers=" + urls,
                   "--bind-address=" + API, "--secure-port=443", "--advertise-address=" + API,
                   "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC",
                   "--client-ca-file=" + self._path("ca.crt"),
                   "--tls-cert-file=" + self._path("apiserver.crt"),
                   "--tls-private-key-file=" + self._path("apiserver.key"),
                   "--kubelet-client-certificate=" + self._path("admin.crt"),
                   "--kubelet-client-key=" + self._path("admin.key"),
                   "--kubelet-certificate-authority=" + self._path("ca.crt"),
                   "--kubelet-preferred-address-types=InternalIP",
                   "--service-account-key-file=" + self._path("accounts.pub"),
                   "--service-account-signing-key-file=" + self._path("accounts.key"),
                   "--service-account-issuer=https://kubernetes.default.svc",
                   "--endpoint-reconciler-type=none", "--allow-privileged=true",
                   "--feature-gates=ImageVolume=true", "--cert-dir=" + self._path("generated"))
        kubectl = (self.program("kubectl"), "--kubeconfig", self.kubeconfig)
        self.wait("the API", lambda: self.succeeds(*kubectl, "get", "--raw", "/readyz"))
        self.start("controllers", self.program("kube-controller-manager"),
                   "--kubeconfig=" + self._path("controllers.kubeconfig"),
                   "--service-account-private-key-file=" + self._path("accounts.key"),
                   "--root-ca-file=" + self._path("ca.crt"), "--leader-elect=false",
                   "--use-service-account-credentials", "--cert-dir=" + self._path("generated"))
        self.start("scheduler", self.program("kube-scheduler"), "--leader-elect=false",
                   "--kubeconfig=" + self._path("scheduler.kubeconfig"))
        self.start("coredns", self.program("coredns"), "-conf", f"{self.state}/config/Corefile")
        self.wait("containerd", lambda: os.path.exists("/run/containerd.sock"))
        for image in images:
            run("ctr", "-a", "/run/containerd.sock", "-n", "k8s.io", "images", "import", image)
        self.start_kubelet()
        self.wait("the node", lambda: "True" in run(
            *kubectl, "get", "nodes", "-o",
            'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'))

    def definitions(self):
        """The file of custom resources."""
        return os.path.join(HERE, "custom-resources.yaml")

    def restart_kubelet(self, **configuration):
        self.stop("kubelet")
        self.write_configuration(**configuration)
        self.start_kubelet()

    def start_kubelet(self):
        self.start("kubelet", self.program("kubelet"), "--hostname-override=node",
                   f"--config={self.state}/config/kubelet.yaml", "--node-ip=" + NODE,
                   "--kubeconfig=" + self._path("kubelet.kubeconfig"),
                   f"--root-dir={self.state}/kubelet", "--cert-dir=" + self._path("generated"))
