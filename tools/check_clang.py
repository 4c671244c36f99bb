#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles our code with clang and clang-tidy, for what GCC does not check.

  check_clang.py [FILE...]

Reports violations of thread annotations (ABSL_GUARDED_BY and the like) and of
the checks in .clang-tidy. Without FILEs, checks all of core, service, cli and
tools that changed since it last passed, judging by a hash of each source file
and of the headers that it includes.
"""

import collections
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
          ("proto", "vllm/common.proto"),
          ("proto", "vllm/vllm_engine.proto"),
          ("third_party/google_rpc", "google/rpc/error_details.proto"),
          ("third_party/google_rpc", "google/rpc/status.proto"),
          ("third_party/grpc_health", "grpc/health/v1/health.proto"),
          ("third_party/grpc_reflection",
           "grpc/reflection/v1/reflection.proto"),
          ("third_party/grpc_reflection",
           "grpc/reflection/v1alpha/reflection.proto"),
          ("third_party/orca", "xds/data/orca/v3/orca_load_report.proto"),
          ("third_party/otlp",
           "opentelemetry/proto/collector/trace/v1/trace_service.proto"))
FLAGS = ("-std=c++20", "-I.", f"-I{GENERATED}", "-isystem/usr/include/eigen3",
         "-Wthread-safety",
         # Like GCC, so that Highway uses the same instruction sets.
         "-DHWY_BROKEN_EMU128=1",
         # Clang 14 rejects calls of consteval functions in templates.
         "-Dconsteval=constexpr")
# What a line at the start of a definition names: a type, function or variable.
DEFINITION = re.compile(
    r"^(?:class|struct|enum class|enum|using)\s+(\w+)\b(?!::)"
    r"|^(?!namespace\b|using\b)"
    r"[A-Za-z_][\w:<>,&*\s\[\]]*?[\s&*](\w+)(?:\(|\[|\s*=|\{|;)",
    re.MULTILINE)
TYPE_OR_CONSTANT = re.compile(
    r"^(?:(?:class|struct|enum class|enum|using)|inline constexpr .*?(?=\bk[A-Z]))"
    r"\s*(\w+)\b(?!::)", re.MULTILINE)
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
    """Returns {source: errors} for a group of files.

    Reading headers takes most of the time, so the files are first checked as if
    they were one. If that fails, files with errors are checked alone, since they
    may be wrong or merely in conflict with another file of the group."""
    if len(sources) == 1:
        return {sources[0]: run_tidy(sources[0])}
    with tempfile.NamedTemporaryFile("w", suffix=".cc", dir=".cache",
                                     encoding="utf-8") as joined:
        source_of_line = []
        for source in sources:
            with open(source, encoding="utf-8") as file:
                lines = file.readlines()
            joined.writelines(lines)
            source_of_line += [source] * len(lines)
        joined.flush()
        errors = run_tidy(joined.name)
    if not errors:
        return dict.fromkeys(sources, "")
    name = re.escape(os.path.basename(joined.name))
    alone = {source_of_line[int(line) - 1]
             for line in re.findall(name + r":(\d+):\d+: error:", errors)}
    rest = [source for source in sources if source not in alone]
    if not alone:  # errors in headers only
        return {source: run_tidy(source) for source in sources}
    results = {source: run_tidy(source) for source in alone}
    return {**results, **check(rest)} if rest else results


def definitions_in(content):
    return {name for found in DEFINITION.findall(content) for name in found
            if name}


def names_in(content):
    """Returns the names that a file defines in its anonymous namespaces."""
    names = set()
    for part in re.findall(r"^namespace \{$(.*?)^\}  // namespace$", content,
                           re.MULTILINE | re.DOTALL):
        names |= definitions_in(part)
    return names


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def names_of_header(path):
    """Returns the types and constants that a header defines. Functions may have
    the same name as another one."""
    return {name for name in TYPE_OR_CONSTANT.findall(text_of(path)) if name}


def names_visible(source):
    """Returns the types and constants in the headers of ours that a file
    includes."""
    seen, todo, names = set(), list(read(source)[1]), set()
    while todo:
        path = todo.pop()
        if path not in seen and not path.startswith(GENERATED):
            seen.add(path)
            names |= names_of_header(path)
            todo += read(path)[1]
    return names


def groups_of(sources):
    """Splits files into groups for check(), mostly without conflicts.

    No file of a group defines a name in an anonymous namespace that another
    defines, too, or that a header of another defines. The files of a group are
    all part of core, or none is, since only the others include the large headers
    of gRPC."""
    names, alone = {}, []
    for source in sources:
        content = text_of(source)
        if "foreach_target.h" in content:
            alone.append([source])  # Highway includes it again by its name
        else:
            names[source] = names_in(content)
    visible = {source: names_visible(source) for source in names}

    def conflict(a, b):
        return (a.startswith("core/") != b.startswith("core/") or
                names[a] & (names[b] | visible[b]) or names[b] & visible[a])

    conflicts = {a: {b for b in names if a != b and conflict(a, b)}
                 for a in names}
    groups = []
    # Files with many conflicts first, since they decide the number of groups.
    for source in sorted(names, key=lambda source: -len(conflicts[source])):
        possible = [group for group in groups
                    if not conflicts[source].intersection(group)]
        if possible:
            min(possible, key=len).append(source)
        else:
            groups.append([source])
    return sorted(groups + alone, key=len, reverse=True)


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
