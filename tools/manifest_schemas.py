# SPDX-License-Identifier: Apache-2.0
"""The schemas of Kubernetes' resources, for check_manifests.py."""

import json

import jsonschema
import kubernetes_validate
import yaml

# The oldest that the manifests support, that of tests/kubernetes, and the newest.
VERSIONS = ("1.27", "1.34", "1.37")
IMAGE_VOLUMES = 31  # the first minor version that knows them


class Schemas:
    """Validates each distinct resource once. Definitions is a file of
    CustomResourceDefinitions, whose resources may have no other fields."""

    def __init__(self, definitions):
        self.known = set()
        self.custom = {}
        with open(definitions) as file:
            for definition in yaml.safe_load_all(file):
                spec = definition["spec"]
                (version,) = spec["versions"]
                key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"].update(apiVersion={}, kind={}, metadata={})
                self.custom[key] = closed(schema)

    def check(self, resource):
        text = json.dumps(resource, sort_keys=True)
        if text in self.known:
            return
        self.known.add(text)
        schema = self.custom.get((resource["apiVersion"], resource["kind"]))
        if schema:
            jsonschema.validate(resource, schema)
            return
        for version in VERSIONS:
            if '"image": {' not in text or int(version.split(".")[1]) >= IMAGE_VOLUMES:
                kubernetes_validate.validate(resource, version, strict=True)


def closed(schema):
    """The schema, which refuses fields that it does not name."""
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
        for field in schema["properties"].values():
            closed(field)
    if "items" in schema:
        closed(schema["items"])
    return schema
