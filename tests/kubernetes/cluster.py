# SPDX-License-Identifier: Apache-2.0
"""What the scenarios do with the node: kubectl, rwkvd's manifests, clients in pods."""

import collections
import json
import os
import re
import shutil
import subprocess
import time

from build import CLIENT, ROOT
from node import NodeError, run

SELECTOR = "app.kubernetes.io/name=rwkvd"


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

    def kubectl(self, *arguments, **options):
        return run(*self.kubectl_command, *arguments, **options)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

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
        gateway, which asks for more processors than this node has."""
        deploy = os.path.join(self.node.state, "deploy")
        shutil.rmtree(deploy, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "deploy"), deploy)
        chosen = "components:\n" + "".join(f"  - {name}\n" for name in components)
        edit(os.path.join(deploy, "kubernetes", "kustomization.yaml"),
             r"components:\n(?:  .*\n)+", chosen)
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
        return self.get("deployment", "rwkvd")["spec"]["replicas"]

    def scale(self, replicas):
        self.kubectl("scale", "deployment/rwkvd", f"--replicas={replicas}")
        self.wait(f"{replicas} pods", lambda: len(self.pods()) == replicas and all(
            self.ready(pod) for pod in self.pods()), 180)

    def pods(self, selector=SELECTOR):
        return self.get("pods", "-l", selector)["items"]

    def ready(self, pod):
        return any(condition["type"] == "Ready" and condition["status"] == "True"
                   for condition in pod["status"].get("conditions", []))

    def names(self):
        return [pod["metadata"]["name"] for pod in self.pods()]

    def log(self, pod, *options):
        return self.kubectl("logs", pod, *options)

    def process(self, pod):
        """The process id of a pod's server."""
        status = self.get("pod", pod)["status"]["containerStatuses"][0]
        identity = status["containerID"].removeprefix("containerd://")
        tasks = run("ctr", "-a", "/run/containerd.sock", "-n", "k8s.io", "tasks", "ls")
        for line in tasks.splitlines():
            if line.startswith(identity):
                return int(line.split()[1])
        raise NodeError(f"pod {pod}: no task {identity}")

    # Clients

    def start_client(self, name, labels=None, **environment):
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
                    "securityContext": {"allowPrivilegeEscalation": False,
                                        "capabilities": {"drop": ["ALL"]}}}]}})
        self.wait(f"client {name}", lambda: self.calls(name) is not None)

    def calls(self, name):
        """The calls that a client has ended, or None before it has begun."""
        result = subprocess.run([*self.kubectl_command, "logs", name], check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = [json.loads(line) for line in result.stdout.splitlines()
                 if line.startswith("{") and line.endswith("}")]
        return lines[1:] if lines else None

    def stop_client(self, name):
        """Ends a client; returns its calls."""
        calls = self.calls(name)
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force")
        return calls


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
