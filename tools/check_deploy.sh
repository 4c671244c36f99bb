#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fails if YAML or JSON under deploy/ does not parse, if a combination of the
# components of deploy/kubernetes is not valid (tools/check_manifests.py), if SMG
# refuses the arguments of the gateway, if the gateway does not find the pods of
# rwkvd or has too little time to end, if the SBOM of this host's packages is
# malformed, if promtool rejects the Prometheus configuration or the alert rules, if
# an alert's tests fail, or if an alert has no page in the playbook or no section in
# docs/operations.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy"

PYTHONPATH=../.cache/gateway /usr/bin/python3 - <<'EOF'
import glob, json, yaml
from smg.launch_router import parse_router_args
for path in glob.glob("**/*.yaml", recursive=True):
    documents = [d for d in yaml.safe_load_all(open(path)) if d is not None]
    assert documents, f"{path}: empty"
    for document in documents:
        if (path.startswith(("kubernetes/", "gateway/"))
                and path != "kubernetes/autoscaler/adapter-rules.yaml"):
            assert {"apiVersion", "kind"} <= document.keys(), path
for path in glob.glob("**/*.json", recursive=True):
    json.load(open(path))

def deployment_of(path):
    deployment = yaml.safe_load(open(path))
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    return deployment, pod, server

deployment, _, server = deployment_of("kubernetes/deployment.yaml")
flags = dict(arg.split("=", 1) for arg in server["args"] if "=" in arg)

# The Python package parses the arguments and reports those that it does not know.
_, gateway_pod, container = deployment_of("gateway/deployment.yaml")
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
../tools/check_manifests.py
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
  if ! grep -q "^| \[$alert\](" ../docs/operations.md; then
    echo "docs/operations.md: expected a row for the alert $alert" >&2
    missing=1
  fi
done < <(sed -n 's/^ *- alert: //p' prometheus/alerts.yaml)
exit "$missing"
