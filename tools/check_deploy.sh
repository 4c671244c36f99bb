#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if YAML or JSON under deploy/ does not parse, if the pod of a Deployment
# has less time to end than the steps of its end take, if a pod does not meet the
# Pod Security Standard "restricted", if the component with TLS does not fit the
# Deployment, if the autoscaler is that of another Deployment, if the gateway does
# not find the pods of rwkvd, if SMG refuses its arguments, if kustomize would
# change selectors, if the SBOM of this host's packages is malformed, if promtool
# rejects the Prometheus configuration or the alert rules, if an alert's tests
# fail, or if an alert has no page in the playbook.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

PYTHONPATH=../.cache/gateway /usr/bin/python3 - <<'EOF'
import glob, json, yaml
from smg.launch_router import parse_router_args
for path in glob.glob("**/*.yaml", recursive=True):
    documents = [d for d in yaml.safe_load_all(open(path)) if d is not None]
    assert documents, f"{path}: empty"
    for document in documents:
        if path.startswith(("kubernetes/", "gateway/")):
            assert {"apiVersion", "kind"} <= document.keys(), path
for path in glob.glob("**/*.json", recursive=True):
    json.load(open(path))

def deployment_of(path):
    deployment = yaml.safe_load(open(path))
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    return deployment, pod, server

deployment, pod, server = deployment_of("kubernetes/deployment.yaml")
flags = dict(arg.split("=", 1) for arg in server["args"] if "=" in arg)
steps = [int(server["lifecycle"]["preStop"]["exec"]["command"][1])]
steps += [int(flags[name].removesuffix("s")) for name in ("--lame_duck", "--drain_grace")]
least = sum(steps) + 2  # clients have 2 s to read the end of their responses
grace = pod["terminationGracePeriodSeconds"]
assert grace > least, f"terminationGracePeriodSeconds: {grace}, must be more than {least}"

# The Python package parses the arguments and reports those that it does not know.
gateway, gateway_pod, container = deployment_of("gateway/deployment.yaml")
assert container["args"][0] == "launch", container["args"]
options = parse_router_args(container["args"][1:])
labels = deployment["spec"]["template"]["metadata"]["labels"]
assert options.selector.items() <= labels.items(), options.selector
port = int(flags["--listen"].split(":")[-1])
assert options.service_discovery_port == port, options.service_discovery_port
steps = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
steps += options.shutdown_grace_period_secs
grace = gateway_pod["terminationGracePeriodSeconds"]
assert grace > steps, f"terminationGracePeriodSeconds: {grace}, must be more than {steps}"
labels = gateway["spec"]["template"]["metadata"]["labels"]
policy = yaml.safe_load(open("kubernetes/network-policy.yaml"))["spec"]
client = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
assert client.items() <= labels.items(), f"{labels}: without {client}"
for path in glob.glob("*/kustomization.yaml"):
    for label in yaml.safe_load(open(path))["labels"]:
        assert "includeSelectors" not in label, path

# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral",
           "persistentVolumeClaim", "projected", "secret"}
job = yaml.safe_load(open("kubernetes/tls/client.yaml"))
for name, spec in (("rwkvd", pod), ("gateway", gateway_pod),
                   ("client", job["spec"]["template"]["spec"])):
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
    security = spec["securityContext"]
    assert security["runAsNonRoot"] and security["runAsUser"] > 0, name
    assert security["seccompProfile"]["type"] == "RuntimeDefault", name
    for volume in spec.get("volumes", []):
        assert len(volume.keys() & VOLUMES) == 1, (name, volume)
    for container in spec["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert not any("hostPort" in port for port in container.get("ports", [])), name

# Applies the operations of a JSON patch that the component uses.
def apply(document, operations):
    for operation in operations:
        *folders, last = [word.replace("~1", "/") for word in operation["path"].split("/")[1:]]
        target = document
        for word in folders:
            target = target[int(word) if isinstance(target, list) else word]
        if last == "-":
            target.append(operation["value"])
        else:
            assert operation["op"] == "add" or last in target, operation
            target[last] = operation["value"]

component = yaml.safe_load(open("kubernetes/tls/kustomization.yaml"))
documents = {"Deployment": deployment, "Service": yaml.safe_load(open("kubernetes/service.yaml"))}
for patch in component["patches"]:
    document = documents[patch["target"]["kind"]]
    assert document["metadata"]["name"] == patch["target"]["name"], patch["target"]
    apply(document, yaml.safe_load(patch["patch"]))
(folder,) = [mount["mountPath"] for mount in server["volumeMounts"] if mount["name"] == "tls"]
assert "tls" in [volume["name"] for volume in pod["volumes"]]
flags = dict(arg.split("=", 1) for arg in server["args"] if "=" in arg)
for name in ("--tls_cert", "--tls_key", "--tls_client_ca"):
    assert flags[name].startswith(folder + "/"), flags[name]
health = int(flags["--health_listen"].rsplit(":", 1)[1])
for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
    assert server[probe]["grpc"]["port"] == health, probe
assert server["args"].index("--insecure") < server["args"].index("--noinsecure")

scaler = yaml.safe_load(open("kubernetes/horizontal-pod-autoscaler.yaml"))["spec"]
target = scaler["scaleTargetRef"]
assert target["kind"] == deployment["kind"], target
assert target["name"] == deployment["metadata"]["name"], target
assert scaler["minReplicas"] == deployment["spec"]["replicas"], scaler["minReplicas"]
EOF
/usr/bin/python3 - <<'EOF'
import json, re, subprocess
with open("/var/lib/dpkg/status") as status:
    text = subprocess.run(["../tools/make_sbom.py", "--version=1"], stdin=status,
                          stdout=subprocess.PIPE, check=True).stdout
sbom = json.loads(text)
assert sbom["spdxVersion"] == "SPDX-2.3" and sbom["dataLicense"] == "CC0-1.0", sbom
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", sbom["creationInfo"]["created"])
ids = [package["SPDXID"] for package in sbom["packages"]]
assert len(ids) == len(set(ids)) > 10, ids
for package in sbom["packages"]:
    assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", package["SPDXID"]), package
    assert {"name", "versionInfo", "downloadLocation"} <= package.keys(), package
contained = [link["relatedSpdxElement"] for link in sbom["relationships"]]
assert sorted(contained) == sorted(ids), set(contained) ^ set(ids)
installed = subprocess.run(
    ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
    stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
installed = {line.split(" ", 1)[1] for line in installed if line.startswith("installed ")}
listed = {f"{package['name']} {package['versionInfo']}" for package in sbom["packages"][1:]}
assert installed == listed, installed ^ listed
EOF
# In this directory, since the configuration names files relative to it.
(
  cd prometheus
  promtool check config prometheus.yaml
  promtool check rules alerts.yaml
  promtool test rules alerts_test.yaml
)
missing=0
while read -r alert; do
  if [[ ! -e playbook/$alert.md ]]; then
    echo "deploy/playbook/$alert.md: missing" >&2
    missing=1
  fi
done < <(sed -n 's/^ *- alert: //p' prometheus/alerts.yaml)
exit "$missing"
