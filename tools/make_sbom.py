#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints an SBOM of the image: the installed packages of Debian, and rwkvd, as
one JSON document of SPDX 2.3. Reads the image's /var/lib/dpkg/status from the
standard input:

  docker run --rm --entrypoint=cat rwkvd /var/lib/dpkg/status |
    tools/make_sbom.py --version=0.2.0 >rwkvd.spdx.json

The time of the document is that of $SOURCE_DATE_EPOCH, if it is set. The same
packages and time give the same document.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import sys
import time
import urllib.parse

UNKNOWN = "NOASSERTION"


def paragraphs(text):
    """The fields of each paragraph, without lines that continue others."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        fields = {}
        for line in paragraph.split("\n"):
            if line[:1] not in (" ", "\t") and ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if fields:
            yield fields


def installed_packages(status):
    """The installed packages by name, each once per architecture."""
    found = [fields for fields in paragraphs(status)
             if fields.get("Status", "").endswith(" installed")]
    return sorted(found, key=lambda fields: (fields["Package"],
                                             fields["Architecture"]))


def spdx_id(*words):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", "-".join(words))


def debian_package(fields):
    name, version, architecture = (
        fields[key] for key in ("Package", "Version", "Architecture"))
    quoted = [urllib.parse.quote(word, safe="") for word in (name, version)]
    return {
        "SPDXID": spdx_id("deb", name, architecture),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "sourceInfo": "source package " + fields.get("Source", name),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{quoted[0]}@{quoted[1]}"
                                f"?arch={architecture}",
        }],
    }


def own_package(version):
    return {
        "SPDXID": spdx_id("rwkvd"),
        "name": "rwkvd",
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
        "licenseConcluded": "Apache-2.0",
        "licenseDeclared": "Apache-2.0",
        "copyrightText": UNKNOWN,
    }


def document(version, status, seconds):
    own = own_package(version)
    packages = [debian_package(fields)
                for fields in installed_packages(status)]
    if not packages:
        raise ValueError("the standard input names no installed package; "
                         "expected the contents of /var/lib/dpkg/status")
    digest = hashlib.sha256(json.dumps([own, packages]).encode()).hexdigest()
    created = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"rwkvd-{version}",
        "documentNamespace":
            f"https://spdx.org/spdxdocs/rwkvd-{version}-{digest}",
        "creationInfo": {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: rwkvd-make_sbom"],
        },
        "packages": [own, *packages],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT",
             "relationshipType": "DESCRIBES",
             "relatedSpdxElement": own["SPDXID"]},
            *({"spdxElementId": own["SPDXID"], "relationshipType": "CONTAINS",
               "relatedSpdxElement": package["SPDXID"]}
              for package in packages),
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--version", required=True, help="that of rwkvd")
    arguments = parser.parse_args()
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    try:
        result = document(arguments.version, sys.stdin.read(), seconds)
    except (KeyError, ValueError) as error:
        sys.exit(f"make_sbom.py: {error}")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
