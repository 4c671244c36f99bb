#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if YAML or JSON under deploy/ does not parse, if the pod of the Deployment
# has less time to end than the steps of its end take, if the autoscaler is that
# of another Deployment, if promtool rejects the Prometheus configuration or the
# alert rules, if an alert's tests fail, or if an alert has no page in the
# playbook.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

/usr/bin/python3 - <<'EOF'
import glob, json, yaml
for path in glob.glob("**/*.yaml", recursive=True):
    documents = [d for d in yaml.safe_load_all(open(path)) if d is not None]
    assert documents, f"{path}: empty"
    for document in documents:
        if path.startswith("kubernetes/"):
            assert {"apiVersion", "kind"} <= document.keys(), path
for path in glob.glob("**/*.json", recursive=True):
    json.load(open(path))

deployment = yaml.safe_load(open("kubernetes/deployment.yaml"))
pod = deployment["spec"]["template"]["spec"]
(server,) = pod["containers"]
flags = dict(arg.split("=", 1) for arg in server["args"] if "=" in arg)
steps = [int(server["lifecycle"]["preStop"]["exec"]["command"][1])]
steps += [int(flags[name].removesuffix("s")) for name in ("--lame_duck", "--drain_grace")]
least = sum(steps) + 2  # clients have 2 s to read the end of their responses
grace = pod["terminationGracePeriodSeconds"]
assert grace > least, f"terminationGracePeriodSeconds: {grace}, must be more than {least}"

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
