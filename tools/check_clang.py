#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles our code with clang and clang-tidy, for what GCC does not check.

  check_clang.py [FILE...]

Reports violations of thread annotations (ABSL_GUARDED_BY and the like) and of
the checks in .clang-tidy. Without FILEs, checks all of core, service, cli and
tools that changed since it last passed, judging by a hash of each source file
and of the headers that it includes.
"""

import concurrent.futures
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

FOLDERS = ("core", "service", "cli", "tools")
TIDY = "clang-tidy-14"
GENERATED = ".cache/generated"
PASSED = ".cache/check_clang.json"  # {source file: hash that passed}
# Each .proto file, and the directory from which it is imported.
PROTOS = (("proto", "rwkv/v1/rwkv.proto"),
          ("third_party/grpc_health", "grpc/health/v1/health.proto"))
FLAGS = ("-std=c++20", "-I.", f"-I{GENERATED}", "-isystem/usr/include/eigen3",
         "-Wthread-safety",
         # Like GCC, so that Highway uses the same instruction sets.
         "-DHWY_BROKEN_EMU128=1",
         # Clang 14 rejects calls of consteval functions in templates.
         "-Dconsteval=constexpr")
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def generate_headers():
    os.makedirs(GENERATED, exist_ok=True)
    for root, proto in PROTOS:
        subprocess.run([
            "protoc", f"--proto_path={root}", f"--cpp_out={GENERATED}",
            f"--grpc_out={GENERATED}",
            "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin", proto
        ], check=True)


@functools.lru_cache(maxsize=None)
def read(path):
    """Returns the hash of a file, and the files of ours that it includes."""
    with open(path, "rb") as file:
        content = file.read()
    included = []
    for name in INCLUDE.findall(content):
        for root in (".", GENERATED):
            candidate = os.path.normpath(os.path.join(root, name.decode()))
            if os.path.exists(candidate):
                included.append(candidate)
    return hashlib.sha256(content).hexdigest(), included


def hash_of(source, tool):
    """Returns a hash of all that the result for a source file depends on."""
    seen, todo = {}, [source]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen[path], included = read(path)
            todo += included
    key = json.dumps([tool, sorted(seen.items())])
    return hashlib.sha256(key.encode()).hexdigest()


def run_tidy(path):
    """Returns the errors in a source file as text, empty if there are none."""
    done = subprocess.run([TIDY, "--quiet", path, "--", *FLAGS],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    return "" if done.returncode == 0 else done.stdout


def check(sources):
    """Returns {source: errors} for the files of one directory.

    Reading headers takes most of the time, so all files are first checked as
    one. If that fails, because of an error or because two files define the same
    name, both halves are checked."""
    if len(sources) == 1:
        return {sources[0]: run_tidy(sources[0])}
    with tempfile.NamedTemporaryFile("w", suffix=".cc", dir=".cache",
                                     encoding="utf-8") as joined:
        for source in sources:
            with open(source, encoding="utf-8") as file:
                joined.write(file.read())
        joined.flush()
        if not run_tidy(joined.name):
            return dict.fromkeys(sources, "")
    half = len(sources) // 2
    return {**check(sources[:half]), **check(sources[half:])}


def groups_of(sources):
    """Splits files into lists that check() takes."""
    groups = {}
    for source in sources:
        with open(source, "rb") as file:
            # Highway includes such a file several times by its name.
            alone = b"foreach_target.h" in file.read()
        groups.setdefault(source if alone else os.path.dirname(source),
                          []).append(source)
    return sorted(groups.values(), key=len, reverse=True)


def all_sources():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard",
         *(f"{folder}/*.cc" for folder in FOLDERS)],
        stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return sorted(path for path in set(listed) if os.path.exists(path))


def load_passed():
    try:
        with open(PASSED, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    generate_headers()
    sources = sys.argv[1:] or all_sources()
    version = subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    tool = [version, FLAGS, read(".clang-tidy")[0]]
    hashes = {source: hash_of(source, tool) for source in sources}
    passed = load_passed()
    todo = [s for s in sources if sys.argv[1:] or passed.get(s) != hashes[s]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for results in pool.map(check, groups_of(todo)):
            for source, errors in results.items():
                if errors:
                    failed += 1
                    passed.pop(source, None)
                    print(errors, flush=True)
                else:
                    passed[source] = hashes[source]
    with open(PASSED, "w", encoding="utf-8") as file:
        json.dump({s: passed[s] for s in passed if os.path.exists(s)}, file)
    print(f"{len(todo)} of {len(sources)} files checked, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
