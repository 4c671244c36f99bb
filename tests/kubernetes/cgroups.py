# SPDX-License-Identifier: Apache-2.0
"""Control groups: a group of this run's in each hierarchy, which becomes the root of
all that the node sees."""

import glob
import os
import sys
import time

CGROUPS = "/sys/fs/cgroup"


def hierarchies():
    """Where control groups are mounted: one folder, or one for each controller."""
    if os.path.exists(CGROUPS + "/cgroup.controllers"):
        return [CGROUPS]
    with open("/proc/mounts") as mounts:
        return [line.split()[1] for line in mounts if line.split()[2] == "cgroup"]


def make_group(hierarchy, name):
    group = os.path.join(hierarchy, name)
    os.makedirs(group, exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group
        if os.path.exists(f"{hierarchy}/{setting}") and hierarchy != CGROUPS:
            with open(f"{hierarchy}/{setting}") as source, \
                    open(f"{group}/{setting}", "w") as target:
                target.write(source.read())
    return group


def make_cgroups(name):
    for hierarchy in hierarchies():
        make_group(hierarchy, name)


def join_cgroups(name):
    for hierarchy in hierarchies():
        with open(os.path.join(hierarchy, name, "cgroup.procs"), "w") as file:
            file.write(str(os.getpid()))


def is_running(name):
    """Whether the group has processes, in itself or below."""
    return any(open(path).read() for path in glob.glob(
        f"{hierarchies()[0]}/{name}/**/cgroup.procs", recursive=True))


def remove_cgroups(name):
    end = time.monotonic() + 30
    for hierarchy in hierarchies():
        top = os.path.join(hierarchy, name)
        for folder, _, _ in list(os.walk(top, topdown=False)):
            while True:  # a killed process leaves its group a little later
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        print(f"{folder}: not removed: {error}", file=sys.stderr)
                        break
                    time.sleep(0.1)


def make_leaf(root):
    """Moves this process to a group of its own, for two reasons. The pods together
    weigh as much as two groups, and a single process next to their group would weigh
    next to nothing: a busy pod would stop kubelet and the API. And in version 2 of
    control groups, a group with processes has no groups with limits below it."""
    group = make_group(root, "programs")
    with open(group + "/cgroup.procs", "w") as file:
        file.write("0")
    if os.path.exists(group + "/cpu.shares"):
        with open(group + "/cpu.shares", "w") as file:
            file.write("2048")  # of version 1: as much as all pods on two processors
    if root != CGROUPS:
        return
    with open(root + "/cgroup.controllers") as file:
        controllers = file.read().split()
    with open(root + "/cgroup.subtree_control", "w") as file:
        file.write(" ".join("+" + controller for controller in controllers))


def processor_seconds():
    """What this machine's processors have spent on everything, and on the node."""
    with open("/proc/stat") as file:
        ticks = [int(field) for field in file.readline().split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # without idle and waiting for disks
    if os.path.exists(CGROUPS + "/cpu.stat"):
        with open(CGROUPS + "/cpu.stat") as file:
            node = int(file.readline().split()[1]) / 1e6
    else:
        with open(CGROUPS + "/cpuacct/cpuacct.usage") as file:
            node = int(file.read()) / 1e9
    return busy / os.sysconf("SC_CLK_TCK"), node
