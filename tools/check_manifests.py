#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Renders every combination of the components of deploy/kubernetes, and fails if
one is not valid for the API of Kubernetes (strict, for several versions), does not
meet the Pod Security Standard "restricted", or has parts that do not fit together.

    tools/check_manifests.py [RENDERER]

RENDERER is the program tests/kubernetes/render, by default .cache/bin/render-manifests.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, ".cache", "validate"))

import jsonschema  # noqa: E402
import yaml  # noqa: E402
from manifest_schemas import Schemas  # noqa: E402

KUBERNETES = os.path.join(ROOT, "deploy", "kubernetes")
SECRETS = {"rwkvd-tls", "rwkvd-client-tls", "rwkvd-tokens", "rwkvd-state-store"}
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
           "persistentVolumeClaim", "projected", "secret"}


class Broken(Exception):
    """A combination whose parts do not fit together."""


def expect(condition, message):
    if not condition:
        raise Broken(message)


def listed_components():
    """The components in the order of kustomization.yaml, and pairs that it forbids."""
    names, forbidden = [], set()
    with open(os.path.join(KUBERNETES, "kustomization.yaml")) as file:
        section = file.read().split("\ncomponents:\n")[1].split("\n# Not into")[0]
    for line in section.splitlines():
        match = re.fullmatch(r"  (?:# )?- ([\w-]+)(?: +# not with ([\w-]+))?", line)
        expect(match, f"kustomization.yaml: expected a component, got {line!r}")
        names.append(match[1])
        if match[2]:
            forbidden.add(frozenset(match.groups()))
    folders = {entry for entry in os.listdir(KUBERNETES)
               if os.path.isdir(os.path.join(KUBERNETES, entry))}
    expect(folders == set(names),
           f"kustomization.yaml: lists other components than there are folders: "
           f"{folders ^ set(names)}")
    return names, forbidden


def combinations():
    names, forbidden = listed_components()
    for chosen in itertools.product((False, True), repeat=len(names)):
        combination = [name for name, used in zip(names, chosen) if used]
        if not any(pair <= set(combination) for pair in forbidden):
            yield combination


def render(renderer, combined):
    """The resources of each combination."""
    lines = "".join(json.dumps(combination) + "\n" for combination in combined)
    result = subprocess.run([renderer, os.path.join(ROOT, "deploy")], input=lines,
                            stdout=subprocess.PIPE, text=True, check=False)
    expect(result.returncode == 0, "kustomize refuses a combination")
    rendered = [json.loads(line) for line in result.stdout.splitlines()]
    expect(len(rendered) == len(combined), f"{len(rendered)} of {len(combined)} rendered")
    return rendered


def check_pod_security(pod):
    security = pod["securityContext"]
    expect(not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), "a namespace of the host")
    expect(security["runAsNonRoot"] and security["runAsUser"] > 0, "may run as root")
    expect(security["seccompProfile"]["type"] == "RuntimeDefault", "seccompProfile")
    for volume in pod.get("volumes", []):
        expect(len(volume.keys() & VOLUMES) == 1 and len(volume) == 2, f"volume {volume}")
    for container in pod["containers"] + pod.get("initContainers", []):
        security = container["securityContext"]
        expect(security["allowPrivilegeEscalation"] is False, "allowPrivilegeEscalation")
        expect(security["capabilities"] == {"drop": ["ALL"]}, "capabilities")
        expect(security["readOnlyRootFilesystem"], "readOnlyRootFilesystem")
        expect(not any("hostPort" in port for port in container.get("ports", [])), "hostPort")
        expect(container["resources"]["requests"]["memory"], "no memory request")
        expect(container["resources"]["limits"]["memory"], "no memory limit")


def check_volumes(pod):
    """Mounts have volumes, and volumes mounts. Returns the claims in use."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    mounted = {mount["name"]
               for container in pod["containers"] + pod.get("initContainers", [])
               for mount in container.get("volumeMounts", [])}
    expect(mounted == set(volumes), f"mounts and volumes differ: {mounted ^ set(volumes)}")
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()
              if "persistentVolumeClaim" in volume}
    secrets = {volume["secret"]["secretName"] for volume in volumes.values()
               if "secret" in volume}
    expect(secrets <= SECRETS, f"unknown secrets {secrets - SECRETS}")
    return claims


def flags_of(server):
    """The flags of rwkvd; a later one overrides an earlier one."""
    flags = {}
    for argument in server["args"]:
        name, _, value = argument.removeprefix("--").partition("=")
        if name.startswith("no") and name[2:] in flags:
            flags[name[2:]] = "false"
        else:
            flags[name] = value
    return flags


def check_state_store(flags, server, components):
    """The store of states in the network, which only redis-states has."""
    expect(("state_store" in flags) == ("redis-states" in components), "--state_store")
    if "state_store" not in flags:
        return
    sources = {f"$({variable['name']})": variable["valueFrom"]["secretKeyRef"]["name"]
               for variable in server["env"]}
    expect(sources.get(flags["state_store"]) in SECRETS, "--state_store: not from a secret")
    expect(flags["state_store_password_file"] and flags["state_store_ca"], "--state_store: access")


def check_server(deployment, components):
    """The flags of rwkvd fit the rest of its pod."""
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    flags = flags_of(server)
    mounts = [mount["mountPath"] for mount in server["volumeMounts"]]
    for name in ("model", "state_dir", "state_store_password_file", "state_store_ca",
                 "auth_tokens", "tls_cert", "tls_key", "tls_client_ca"):
        path = flags.get(name)
        expect(not path or any((path + "/").startswith(mount + "/") for mount in mounts),
               f"--{name}={path} is in no volume")
    elsewhere = {"local-states", "redis-states"} & set(components)
    expect(bool(flags["state_dir"]) == (not elsewhere), "--state_dir")
    check_state_store(flags, server, components)
    expect(("auth_tokens" in flags) == ("tokens" in components), "--auth_tokens")
    expect((flags["insecure"] == "false") == ("tls" in components), "--insecure")
    expect(("metrics_tls" in flags) == ("tls" in components), "--metrics_tls")
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    for name, flag in (("grpc", "listen"), ("health", "health_listen"),
                       ("metrics", "metrics_listen")):
        expect(ports[name] == int(flags[flag].rsplit(":", 1)[1]), f"--{flag}")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        expect(server[probe]["grpc"]["port"] == ports["health"], probe)
    steps = [int(server["lifecycle"]["preStop"]["exec"]["command"][1])]
    steps += [int(flags[name].removesuffix("s")) for name in ("lame_duck", "drain_grace")]
    least = sum(steps) + 2  # clients have 2 s to read the end of their responses
    grace = pod["terminationGracePeriodSeconds"]
    expect(grace > least, f"terminationGracePeriodSeconds: {grace}, must be more than {least}")
    memory = server["resources"]
    expect(memory["requests"]["memory"] == memory["limits"]["memory"], "memory request")
    return ports


def check_selectors(resources, ports):
    """Selectors of rwkvd's Service, budget, policy and monitor find its pods and ports."""
    deployment = resources["Deployment", "rwkvd"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for (kind, name), resource in resources.items():
        spec = resource.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if name != "rwkvd" or not selector:
            continue
        selector = selector.get("matchLabels", selector)
        expect(selector.items() <= labels.items(), f"{kind}: selects {selector}")
    for port in resources["Service", "rwkvd"]["spec"]["ports"]:
        expect(ports[port["targetPort"]] == port["port"], f"Service: port {port}")
    policy = resources.get(("NetworkPolicy", "rwkvd"))
    if policy:
        ways = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        has_store = any(argument.startswith("--state_store=") for argument in
                        deployment["spec"]["template"]["spec"]["containers"][0]["args"])
        expect(ways == ({6379, 53} if has_store else set()), f"NetworkPolicy: egress to {ways}")
    for rule in policy["spec"]["ingress"] if policy else []:
        for port in rule["ports"]:
            expect(port["port"] in ports, f"NetworkPolicy: no port {port}")
    gateway = resources.get(("Deployment", "rwkvd-gateway"))
    if policy and gateway:
        client = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        labels = gateway["spec"]["template"]["metadata"]["labels"]
        expect(client.items() <= labels.items(), f"gateway: without the label {client}")


def check_scaling(resources, components):
    deployment = resources["Deployment", "rwkvd"]
    scaled = {"autoscaler", "keda"} & set(components)
    expect(("replicas" in deployment["spec"]) == (not scaled), "replicas and an autoscaler")
    for kind, least in (("HorizontalPodAutoscaler", "minReplicas"),
                        ("ScaledObject", "minReplicaCount")):
        scaler = resources.get((kind, "rwkvd"))
        if scaler:
            target = scaler["spec"]["scaleTargetRef"]
            expect((target["kind"], target["name"]) in resources, f"{kind}: target")
            expect(scaler["spec"][least] >= 2, f"{kind}: {least}")


def check_monitor(resources, components, ports):
    monitor = resources.get(("PodMonitor", "rwkvd"))
    if monitor:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        expect(endpoint["port"] in ports, "PodMonitor: port")
        scheme = "https" if "tls" in components else "http"
        expect(endpoint.get("scheme", "http") == scheme, "PodMonitor: scheme")
    service = resources["Service", "rwkvd"]["spec"]["ports"][0]["appProtocol"]
    expect((service == "https") == ("tls" in components), "Service: appProtocol")


def check(components, rendered, schemas):
    resources = {(item["kind"], item["metadata"]["name"]): item for item in rendered}
    expect(len(resources) == len(rendered), "a name is used twice")
    claims = set()
    for (_, name), resource in resources.items():
        schemas.check(resource)
        labels = resource["metadata"]["labels"]
        expect(labels["app.kubernetes.io/name"] in ("rwkvd", "rwkvd-gateway"), f"{name}: labels")
        if resource["kind"] == "Deployment":
            pod = resource["spec"]["template"]["spec"]
            check_pod_security(pod)
            claims |= check_volumes(pod)
    there = {name for kind, name in resources if kind == "PersistentVolumeClaim"}
    expect(claims == there, f"claims and volumes differ: {claims ^ there}")
    ports = check_server(resources["Deployment", "rwkvd"], components)
    check_selectors(resources, ports)
    check_scaling(resources, components)
    check_monitor(resources, components, ports)


def check_client(schemas):
    """The Job that calls the server with TLS."""
    with open(os.path.join(KUBERNETES, "tls", "client.yaml")) as file:
        job = yaml.safe_load(file)
    schemas.check(job)
    check_pod_security(job["spec"]["template"]["spec"])
    check_volumes(job["spec"]["template"]["spec"])


def check_queries():
    """The queries of the autoscalers are valid, and ask for the metric they should."""
    with open(os.path.join(KUBERNETES, "autoscaler", "adapter-rules.yaml")) as file:
        (rule,) = yaml.safe_load(file)["rules"]["custom"]
    with open(os.path.join(KUBERNETES, "autoscaler", "horizontal-pod-autoscaler.yaml")) as file:
        (metric,) = yaml.safe_load(file)["spec"]["metrics"]
    series = metric["pods"]["metric"]["name"]
    expect(rule["seriesQuery"].startswith(series + "{"), rule["seriesQuery"])
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace(
        "<<.Series>>", series).replace("<<.LabelMatchers>>", 'namespace="x",pod=~"a|b"')
    expect("<<" not in query, query)
    with open(os.path.join(KUBERNETES, "keda", "scaled-object.yaml")) as file:
        (trigger,) = yaml.safe_load(file)["spec"]["triggers"]
    expect(series in trigger["metadata"]["query"], trigger)
    queries = [query, trigger["metadata"]["query"], rule["seriesQuery"]]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        rules = [{"record": f"query_{i}", "expr": text} for i, text in enumerate(queries)]
        yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}, file)
        file.flush()
        subprocess.run(["promtool", "check", "rules", file.name], check=True, stdout=subprocess.DEVNULL)


def main():
    renderer = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        ROOT, ".cache", "bin", "render-manifests")
    combined = list(combinations())
    schemas = Schemas(os.path.join(ROOT, "tests", "kubernetes", "custom-resources.yaml"))
    for components, rendered in zip(combined, render(renderer, combined)):
        try:
            check(components, rendered, schemas)
        except (Broken, KeyError, jsonschema.ValidationError) as error:
            sys.exit(f"check_manifests: components {components}: {error!r}")
    check_client(schemas)
    check_queries()
    print(f"{len(combined)} combinations, {len(schemas.known)} distinct resources")


if __name__ == "__main__":
    try:
        main()
    except Broken as error:
        sys.exit(f"check_manifests: {error}")
