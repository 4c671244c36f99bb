#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if YAML or JSON under deploy/ does not parse, if the pod of a Deployment
# has less time to end than the steps of its end take, if the autoscaler is that
# of another Deployment, if the gateway does not find the pods of rwkvd, if SMG
# refuses its arguments, if kustomize would change selectors, if promtool rejects
# the Prometheus configuration or the alert rules, if an alert's tests fail, or if
# an alert has no page in the playbook.
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

scaler = yaml.safe_load(open("kubernetes/horizontal-pod-autoscaler.yaml"))["spec"]
target = scaler["scaleTargetRef"]
assert target["kind"] == deployment["kind"], target
assert target["name"] == deployment["metadata"]["name"], target
assert scaler["minReplicas"] == deployment["spec"]["replicas"], scaler["minReplicas"]
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
