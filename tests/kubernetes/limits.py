# SPDX-License-Identifier: Apache-2.0
"""Scenarios of limits, of volumes, and of the optional components."""

import json
import os
import re
import time

from build import CLIENT, ROOT
from cluster import failures
from node import NodeError, run
from scenarios import expect

MIB = 1 << 20


def set_limits(cluster, **limits):
    """Begins a rollout, without the time in which clients learn of a new pod."""
    cluster.kubectl("patch", "deployment", "rwkvd", "--type=json", "-p", json.dumps([
        {"op": "replace", "path": "/spec/minReadySeconds", "value": 1},
        {"op": "replace", "path": "/spec/template/spec/containers/0/resources",
         "value": {"requests": {"cpu": "100m"}, "limits": limits}}]))


def memory_limits(cluster):
    """A small limit is respected under load, and a tiny one is refused at the start."""
    set_limits(cluster, cpu="2", memory="200Mi")
    cluster.roll_out()
    cluster.wait("old pods to end", lambda: len(cluster.pods()) == 2, 120)
    cluster.start_client("short", SHORT=4, ENDLESS=2)
    time.sleep(20)
    calls = cluster.stop_client("short")
    plan = re.search(r"memory plan: (\S+) of (\S+) MiB", cluster.log(cluster.names()[0]))
    restarts = sum(status["restartCount"] for pod in cluster.pods()
                   for status in pod["status"]["containerStatuses"])
    bad = failures(calls)
    seen = (f"200Mi: plan of {plan[1]} MiB, {len(calls)} calls, {sum(bad.values())} failed, "
            f"{restarts} restarts")
    expect(calls and not bad and not restarts, seen)
    set_limits(cluster, cpu="2", memory="16Mi")
    refusals = []
    cluster.wait("the refusal", lambda: refusals.append(refusal(cluster)) or refusals[-1], 120)
    return f"{seen}; 16Mi: {refusals[-1]}"


def refusal(cluster):
    """What the newest pod says about a limit that is too small."""
    for pod in cluster.pods():
        name = pod["metadata"]["name"]
        for status in pod["status"].get("containerStatuses", []):
            ended = status["state"].get("terminated") or status["lastState"].get("terminated")
            if not ended:
                continue
            if ended["reason"] == "OOMKilled":
                return "OOMKilled"
            match = re.search(r"--memory_limit: expected at least [\d.]+ MiB", cluster.log(name))
            if match:
                return f"does not start: {match[0]}"
    return ""


def cpu_quota(cluster):
    seen = []
    for limit, threads in (("1", 1), ("2", 2), ("500m", 1)):
        set_limits(cluster, cpu=limit, memory="512Mi")
        cluster.roll_out()
        cluster.wait("old pods to end", lambda: len(cluster.pods()) == 2, 120)
        log = cluster.log(cluster.names()[0])
        found = int(re.search(r"derived: .*--threads=(\d+)", log)[1])
        seen.append(f"cpu {limit}: {found} thread{'s' if found > 1 else ''}")
        expect(found == threads, "; ".join(seen))
    return "; ".join(seen)


def use_state(cluster, **environment):
    """Continues from a state on all pods; returns its handle and their answers."""
    addresses = ",".join(pod["status"]["podIP"] + ":50051" for pod in cluster.pods())
    cluster.start_client("states", STATES=addresses, **environment)
    cluster.wait("the answers", lambda: cluster.calls("states"), 60)
    (result,) = cluster.stop_client("states")
    expect(result["code"] == "OK", f"{result['code']}: {result['message']}")
    return result["handle"], result["answers"]


def states_across_pods(cluster):
    """A state that one pod has stored is used on the other, and after a restart."""
    handle, before = use_state(cluster)
    cluster.restart()
    _, after = use_state(cluster, HANDLE=handle)
    answers = before + after
    expect(len(answers) == 4 and all(answer == answers[0] for answer in answers)
           and len(answers[0]) == 16, f"different answers: {answers}")
    return "a handle of one pod gives the same tokens on the other, and after a rolling restart"


def short_of_memory(cluster):
    """kubelet evicts a pod without requests, and keeps those of rwkvd."""
    usage = working_set(cluster)
    cluster.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "filler"},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "filler", "image": CLIENT, "imagePullPolicy": "Never",
                "command": ["/usr/bin/python3", "-c",
                            "import time; data = b'x' * (600 << 20); time.sleep(3600)"],
                "securityContext": {"allowPrivilegeEscalation": False,
                                    "capabilities": {"drop": ["ALL"]}}}]}})
    cluster.wait("the filler's memory", lambda: working_set(cluster) > usage + 500 * MIB, 60)
    capacity = node(cluster)["status"]["capacity"]["memory"]
    available = int(capacity.removesuffix("Ki")) * 1024 - usage - 300 * MIB
    cluster.node.restart_kubelet(evict=f"{available // 1024}Ki")
    try:
        cluster.wait("the eviction", lambda: cluster.get("pods/filler")["status"].get(
            "reason") == "Evicted", 120)
        time.sleep(10)
        pods = cluster.pods()
        gone = [pod["metadata"]["name"] for pod in pods
                if pod["status"].get("reason") == "Evicted"]
    finally:
        cluster.node.restart_kubelet()
        cluster.kubectl("delete", "pod", "filler", "--grace-period=0", "--force")
    expect(not gone and len(pods) == 2, f"evicted: {gone}")
    cluster.wait("the end of the pressure", lambda: not node(cluster)[
        "spec"].get("taints"), 120)
    return "the pod without a request was evicted, the pods of rwkvd were not"


def node(cluster):
    return json.loads(cluster.read("/api/v1/nodes/node"))


def working_set(cluster):
    """The memory in use on the node, as kubelet counts it."""
    stats = json.loads(cluster.read("/api/v1/nodes/node/proxy/stats/summary"))
    return stats["node"]["memory"]["workingSetBytes"]


def gateway(cluster):
    cluster.kubectl("create", "secret", "generic", "rwkvd-gateway",
                    "--from-literal=control-key=0123456789abcdef")
    cluster.apply_manifests(("network-policy", "gateway"))
    selector = "app.kubernetes.io/name=rwkvd-gateway"
    cluster.wait("the gateway", lambda: len(cluster.pods(selector)) == 2 and all(
        map(cluster.ready, cluster.pods(selector))), 180)
    address = cluster.pods(selector)[0]["status"]["podIP"]
    answer = run("curl", "-sS", "--fail-with-body", "-m", "30",
                 f"http://{address}:30000/v1/completions", "-H", "Content-Type: application/json",
                 "-d", '{"model": "demo", "prompt": "The king said", "max_tokens": 8}')
    text = json.loads(answer)["choices"][0]["text"]
    cluster.kubectl("delete", "deployment", "rwkvd-gateway")
    return f"two gateways are Ready, and complete with {text!r}"


def network_policy(cluster):
    """Whether a pod without the label can connect; the bridge plugin enforces nothing."""
    cluster.get("networkpolicies/rwkvd", "/apis/networking.k8s.io/v1")
    cluster.start_client("stranger", labels={"other": "true"}, SHORT=1)
    time.sleep(10)
    calls = cluster.stop_client("stranger")
    if any(call["code"] == "OK" for call in calls):
        return "accepted by the API; not enforced, since the bridge plugin has no policies"
    return "a pod without the label rwkvd-client cannot connect"


def components(cluster):
    """Every component is applied; pods become Ready with it, where they can here."""
    definitions = cluster.node.definitions()
    cluster.kubectl("apply", "-f", definitions)
    cluster.wait("the definitions", lambda: cluster.node.succeeds(
        *cluster.kubectl_command, "get", "podmonitors,scaledobjects"))
    make_secrets(cluster)
    seen = []
    for combination in (("local-states", "model-copy"), ("pod-monitor", "autoscaler"), ("keda",),
                        ("tls",), ("pod-monitor", "tokens", "tls"),
                        ("network-policy", "redis-states")):
        cluster.kubectl("delete", "deployment,hpa,pdb,networkpolicy", "-l",
                        "app.kubernetes.io/part-of=rwkvd")
        cluster.wait("the pods to end", lambda: not cluster.pods(), 120)
        output = cluster.apply_manifests(combination)
        expect("Warning" not in output, output)
        if "autoscaler" in combination or "keda" in combination:
            cluster.kubectl("scale", "deployment/rwkvd", "--replicas=2")  # as they would
        cluster.wait(f"pods with {combination}", lambda: len(cluster.pods()) == 2 and all(
            map(cluster.ready, cluster.pods())), 180)
        seen.append("+".join(combination))
        if combination == ("tls",):
            seen.append(call_with_tls(cluster))
    return f"Ready with {', '.join(seen)}; {image_volume(cluster)}"


def make_secrets(cluster):
    pki = f"{cluster.node.state}/pki"
    cluster.node.certificate("server", "/CN=rwkvd", "DNS:rwkvd,DNS:localhost")
    cluster.kubectl("create", "secret", "generic", "rwkvd-tls",
                    f"--from-file=tls.crt={pki}/server.crt",
                    f"--from-file=tls.key={pki}/server.key", f"--from-file=ca.crt={pki}/ca.crt")
    cluster.node.certificate("client", "/CN=client", "DNS:client.example")
    cluster.kubectl("create", "secret", "generic", "rwkvd-client-tls",
                    f"--from-file=tls.crt={pki}/client.crt",
                    f"--from-file=tls.key={pki}/client.key", f"--from-file=ca.crt={pki}/ca.crt")
    digest = "0" * 64
    cluster.kubectl("create", "secret", "generic", "rwkvd-tokens",
                    f"--from-literal=tokens=alice sha256:{digest} roles=infer")
    # No such store runs here; pods are Ready without it.
    cluster.kubectl("create", "secret", "generic", "rwkvd-state-store",
                    "--from-literal=url=rediss://redis.default.svc:6379",
                    "--from-literal=password=secret", f"--from-file=ca.crt={pki}/ca.crt")


def call_with_tls(cluster):
    """The Job of deploy/kubernetes/tls."""
    cluster.kubectl("apply", "-f", os.path.join(ROOT, "deploy/kubernetes/tls/client.yaml"))

    def status():
        return cluster.get("jobs/rwkvd-client", "/apis/batch/v1")["status"]

    cluster.wait("the Job with mutual TLS", lambda: {"succeeded", "failed"} & status().keys())
    (pod, *_) = cluster.pods("job-name=rwkvd-client")
    log = cluster.log(pod["metadata"]["name"])
    expect(status().get("succeeded"), f"the Job with mutual TLS: {log[-500:]}")
    return "a call with a client certificate succeeds"


def image_volume(cluster):
    cluster.apply_manifests(("model-image",))
    try:
        cluster.wait("an image volume", lambda: any(
            "image" in volume for pod in cluster.pods() if cluster.ready(pod)
            for volume in pod["spec"]["volumes"] if volume["name"] == "model"), 40)
        return "model-image: Ready"
    except NodeError:
        return "model-image: accepted by the API; this containerd has no image volumes"
