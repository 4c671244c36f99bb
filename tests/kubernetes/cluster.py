# SPDX-License-Identifier: Apache-2.0
"""What the scenarios do with the node: kubectl, rwkvd's manifests, clients in pods."""

import collections
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.parse

from build import CLIENT, ROOT
from node import API, NodeError, run

SELECTOR = "app.kubernetes.io/name=rwkvd"
APPS = "/apis/apps/v1"
# What a pod of rwkvd and a client request. A pod without a request would get next to
# nothing while others are busy, and read slower than the servers write.
CPU = "250m"


def edit(path, pattern, replacement):
    with open(path) as file:
        text, count = re.subn(pattern, replacement, file.read())
    if count != 1:
        raise NodeError(f"{path}: expected {pattern!r} once, got it {count} times")
    with open(path, "w") as file:
        file.write(text)


class Cluster:
    def __init__(self, node):
        self.node = node
        self.kubectl_command = (node.program("kubectl"), "--kubeconfig", node.kubeconfig)
        self.opener = node.opener()
        self.clients = set()  # the names of those that run

    def kubectl(self, *arguments, **options):
        return run(*self.kubectl_command, *arguments, **options)

    def read(self, path):
        """What the API answers. kubectl would take a tenth of a second of the
        processors that servers and clients share."""
        with self.opener.open(f"https://{API}:443{path}", timeout=60) as answer:
            return answer.read().decode()

    def get(self, path, group="/api/v1"):
        """An object, or a list, of the namespace."""
        return json.loads(self.read(f"{group}/namespaces/default/{path}"))

    def apply(self, *documents):
        text = "\n---\n".join(json.dumps(document) for document in documents)
        self.kubectl("apply", "-f", "-", input=text)

    def wait(self, what, condition, seconds=120):
        self.node.wait(what, condition, seconds)

    # The manifests

    def prepare(self):
        """Volumes for the claims, on this node."""
        for name, mode, claim, content in (
                ("model", "ReadOnlyMany", "rwkvd-model", os.path.join(ROOT, "models", "demo")),
                ("states", "ReadWriteMany", "rwkvd-states", None)):
            path = os.path.join(self.node.state, "volumes", name)
            if content:
                shutil.copytree(content, path)
            else:
                os.makedirs(path)
            self.apply({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "10Gi"}, "accessModes": [mode],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": "default", "name": claim},
                    "local": {"path": path},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "kubernetes.io/hostname", "operator": "In",
                         "values": ["node"]}]}]}}}})
        self.kubectl("label", "namespace", "default",
                     "pod-security.kubernetes.io/enforce=restricted",
                     "pod-security.kubernetes.io/warn=restricted")

    def apply_manifests(self, components=("network-policy",)):
        """deploy/kubernetes with these components, and otherwise unchanged, but for the
        requests of processors: this node has no more than two."""
        deploy = os.path.join(self.node.state, "deploy")
        shutil.rmtree(deploy, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "deploy"), deploy)
        chosen = "components:\n" + "".join(f"  - {name}\n" for name in components)
        edit(os.path.join(deploy, "kubernetes", "kustomization.yaml"),
             r"components:\n(?:  .*\n)+", chosen)
        edit(os.path.join(deploy, "kubernetes", "deployment.yaml"), "cpu: 500m", f"cpu: {CPU}")
        edit(os.path.join(deploy, "gateway", "deployment.yaml"), r'cpu: "1"', "cpu: 100m")
        return self.kubectl("apply", "-k", os.path.join(deploy, "kubernetes"))

    def roll_out(self, seconds=300, name="rwkvd"):
        self.kubectl("rollout", "status", "deployment/" + name, f"--timeout={seconds}s")

    def restart(self):
        """A rolling restart, up to its end; returns its seconds."""
        begin = time.time()
        self.kubectl("rollout", "restart", "deployment/rwkvd")
        self.roll_out()
        self.wait("old pods to end", lambda: len(self.pods()) == self.replicas(), 120)
        return time.time() - begin

    def replicas(self):
        return self.get("deployments/rwkvd", APPS)["spec"]["replicas"]

    def scale(self, replicas):
        self.kubectl("scale", "deployment/rwkvd", f"--replicas={replicas}")
        self.wait(f"{replicas} pods", lambda: len(self.pods()) == replicas and all(
            self.ready(pod) for pod in self.pods()), 180)

    def pods(self, selector=SELECTOR):
        return self.get("pods?labelSelector=" + urllib.parse.quote(selector))["items"]

    def ready(self, pod):
        return any(condition["type"] == "Ready" and condition["status"] == "True"
                   for condition in pod["status"].get("conditions", []))

    def names(self):
        return [pod["metadata"]["name"] for pod in self.pods()]

    def log(self, pod):
        try:
            return self.read(f"/api/v1/namespaces/default/pods/{pod}/log")
        except urllib.error.HTTPError:  # its container does not run yet
            return ""

    def evict(self, pod):
        """As `kubectl drain` does; returns the API's answer."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod, "namespace": "default"}}
        request = urllib.request.Request(
            f"https://{API}:443/api/v1/namespaces/default/pods/{pod}/eviction",
            data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        try:
            with self.opener.open(request, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def process(self, pod):
        """The process id of a pod's server."""
        status = self.get("pods/" + pod)["status"]["containerStatuses"][0]
        identity = status["containerID"].removeprefix("containerd://")
        tasks = run("ctr", "-a", "/run/containerd.sock", "-n", "k8s.io", "tasks", "ls")
        for line in tasks.splitlines():
            if line.startswith(identity):
                return int(line.split()[1])
        raise NodeError(f"pod {pod}: no task {identity}")

    # Clients

    def start_client(self, name, labels=None, **environment):
        self.clients.add(name)
        self.apply({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {"rwkvd-client": "true"}},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "runAsUser": 65532,
                                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "client", "image": CLIENT, "imagePullPolicy": "Never",
                    "env": [{"name": key, "value": str(value)}
                            for key, value in environment.items()],
                    "resources": {"requests": {"cpu": CPU}},
                    "securityContext": {"allowPrivilegeEscalation": False,
                                        "capabilities": {"drop": ["ALL"]}}}]}})
        try:
            self.wait(f"client {name}", lambda: self.calls(name) is not None, 300)
        except NodeError as error:
            raise NodeError(f"{error}; its log: {self.log(name)[-500:]}") from error

    def calls(self, name):
        """The calls that a client has ended, or None before it has begun."""
        lines = [json.loads(line) for line in self.log(name).splitlines()
                 if line.startswith("{") and line.endswith("}")]
        return lines[1:] if lines else None

    def stop_client(self, name):
        """Ends a client; returns its calls."""
        calls = self.calls(name)
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--ignore-not-found")
        self.clients.discard(name)
        return calls

    def recover(self):
        """After a scenario that has failed: what the next one expects."""
        for name in list(self.clients):
            self.stop_client(name)
        try:
            self.scale(2)
        except NodeError as error:
            print(f"two pods are expected: {error}", flush=True)


def failures(calls):
    return collections.Counter(
        f"{call['code']}: {call['message'][:80]}" for call in calls if call["code"] != "OK")


def longest_outage(calls):
    """The longest time without an answer, in seconds."""
    ends = sorted(call["end"] for call in calls if call["code"] == "OK")
    return max((after - before for before, after in zip(ends, ends[1:])), default=0.0)


def share_by_server(metrics_before, metrics_after):
    """Of the calls between two readings of all servers, the share of each."""
    grown = {name: metrics_after[name] - metrics_before.get(name, 0) for name in metrics_after}
    total = sum(grown.values())
    return {name: count / total if total else 0.0 for name, count in grown.items()}
