#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of a Bazel run.

  summarize_tests.py BUILD_EVENTS

Reads Bazel's build events (--build_event_json_file) and the test.xml files that
they name, so that exactly the tests of that run are counted. Prints skipped and
failed cases; the last line is "PASSED FAILED SKIPPED". A target that could not
be built or run counts as one failure, a test without cases as one case.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


def read_events(path):
    """Returns ({label: [(status, path of test.xml or None)]}, broken labels)."""
    runs, broken = {}, []
    for line in open(path, encoding="utf-8"):
        event = json.loads(line)
        name = event.get("id", {})
        if "testResult" in name and "testResult" in event:
            key = name["testResult"]
            result = event["testResult"]
            xml_path = None
            for output in result.get("testActionOutput", []):
                if output["name"] == "test.xml":
                    xml_path = urllib.parse.unquote(
                        urllib.parse.urlparse(output["uri"]).path)
            run = (key["label"], key.get("shard", 1), key.get("run", 1))
            runs[run] = (result["status"], xml_path)  # the last attempt
        elif "targetCompleted" in name and not event.get("completed", {}).get(
                "success"):
            broken.append(name["targetCompleted"]["label"])
        elif "pattern" in name and "aborted" in event:
            broken.append("pattern " + " ".join(name["pattern"]["pattern"]))
    return runs, broken


def read_cases(path):
    """Yields (name, "passed" | "failed" | "skipped", reason)."""
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = ".".join(
            part for part in (case.get("classname"), case.get("name")) if part)
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            yield name, "failed", ""
        elif skipped is not None or case.get("result") in ("skipped",
                                                           "suppressed"):
            message = (skipped.get("message") or
                       skipped.text or "") if skipped is not None else ""
            # GoogleTest puts "file:line" and "Skipped" before the reason.
            lines = [l for l in message.strip().splitlines() if l.strip()]
            yield name, "skipped", lines[-1] if lines else "disabled"
        else:
            yield name, "passed", ""


def main():
    runs, broken = read_events(sys.argv[1])
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    reasons = {}
    for (label, _, _), (status, path) in sorted(runs.items()):
        cases = []
        try:
            cases = list(read_cases(path)) if path else []
        except (OSError, xml.etree.ElementTree.ParseError):
            pass
        if status != "PASSED" and not any(c[1] == "failed" for c in cases):
            cases.append(("(" + status.lower() + ")", "failed", ""))
        for name, outcome, reason in cases or [("", "passed", "")]:
            counts[outcome] += 1
            if outcome == "failed":
                print(f"FAIL {label} {name}")
            elif outcome == "skipped":
                reasons.setdefault(reason, []).append(f"{label} {name}")
    for label in sorted(set(broken) - {run[0] for run in runs}):
        counts["failed"] += 1
        print(f"FAIL {label} (not built)")
    for reason, names in sorted(reasons.items()):
        print(f"skipped {len(names)}: {reason}")
        for name in names[:3]:
            print(f"    {name}")
        if len(names) > 3:
            print(f"    and {len(names) - 3} more")
    print(counts["passed"], counts["failed"], counts["skipped"])


main()
