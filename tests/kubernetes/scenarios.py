# SPDX-License-Identifier: Apache-2.0
"""Scenarios of pods that begin and end while clients call. Each returns what it saw,
as a line of the table, and raises Missed if that is not what it should be."""

import re
import time

from cluster import failures, longest_outage, share_by_server


class Missed(Exception):
    """A target that was missed; the message has what was seen."""


def expect(condition, seen):
    if not condition:
        raise Missed(seen)


def generate_calls(cluster, pod):
    """The number of Generate calls that a pod has ended with OK."""
    address = pod["status"]["podIP"]
    with cluster.opener.open(f"http://{address}:9464/metrics", timeout=5) as response:
        text = response.read().decode()
    labels = 'grpc_method="rwkv.v1.RwkvService/Generate",grpc_status="OK"'
    found = re.search(rf"^grpc_server_call_duration_seconds_count{{{labels}}} (\S+)$", text,
                      re.MULTILINE)
    return float(found[1]) if found else 0.0


def settle(condition, seconds):
    """Waits until the condition holds, at most so long."""
    end = time.time() + seconds
    while not condition() and time.time() < end:
        time.sleep(1)


def start(cluster):
    begin = time.time()
    output = cluster.apply_manifests()
    expect("Warning" not in output, output)
    cluster.wait("both pods", lambda: len(cluster.pods()) == 2 and all(
        map(cluster.ready, cluster.pods())))
    seconds = time.time() - begin
    cluster.roll_out()  # minReadySeconds
    return f"both pods are Ready after {seconds:.0f} s; no warning of PodSecurity restricted"


def rolling_restart(cluster):
    cluster.start_client("short", SHORT=4)
    cluster.start_client("endless", ENDLESS=2)
    # So many tokens that requests outlast the ten seconds in which a pod that is no
    # longer an endpoint still accepts calls, and run when it drains.
    cluster.start_client("resume", RESUME=4, TOKENS=60000)
    time.sleep(10)
    seconds = cluster.restart()
    # A client on a busy machine reads the end of a stream long after it was sent.
    settle(lambda: len(cluster.calls("endless")) >= 2 and sum(
        call["moves"] for call in cluster.calls("resume")) >= 2, 240)
    short, endless, resumed = map(cluster.stop_client, ("short", "endless", "resume"))
    bad, outage = failures(short), longest_outage(short)
    unfinished = [call for call in endless if not call["finish"]]
    broken = [call for call in resumed if call["code"] != "OK"]
    moves = sum(call["moves"] for call in resumed)
    seen = (f"{seconds:.0f} s; short calls: {sum(bad.values())} of {len(short)} failed "
            f"{dict(bad) or ''}, longest pause {outage:.2f} s; endless streams: "
            f"{len(endless)} ended, {len(unfinished)} without a finish "
            f"{dict(failures(unfinished)) or ''}; resumed: {len(resumed)} requests, "
            f"{moves} moves, {len(broken)} not as uninterrupted {dict(failures(broken)) or ''}")
    expect(len(short) >= 1000 and not bad and outage < 2, seen)
    expect(len(endless) >= 2 and not unfinished, seen)
    expect(moves >= 2 and not broken, seen)
    return seen


def eviction(cluster):
    """kubectl drain's way: the budget allows one pod at a time."""
    cluster.start_client("short", SHORT=4)
    first, second = cluster.names()
    cluster.evict(first)
    refused = cluster.evict(second)
    begin = time.time()
    cluster.wait("the budget to allow the second eviction", lambda: "disruption budget"
                 not in cluster.evict(second), 180)
    allowed = time.time() - begin
    cluster.wait("two new pods", lambda: not {first, second} & set(cluster.names())
                 and len(cluster.pods()) == 2 and all(map(cluster.ready, cluster.pods())), 180)
    calls = cluster.stop_client("short")
    bad = failures(calls)
    seen = (f"the second pod's eviction was refused for {allowed:.0f} s, then allowed; "
            f"{sum(bad.values())} of {len(calls)} calls failed {dict(bad) or ''}")
    expect("disruption budget" in refused, f"the second eviction was not refused: {refused}")
    expect(not bad, seen)
    return seen


def scale_up_and_down(cluster):
    cluster.start_client("short", SHORT=4)
    time.sleep(5)
    cluster.scale(4)
    time.sleep(60)  # within a minute, clients know the new pods

    def counts():
        return {pod["metadata"]["name"]: generate_calls(cluster, pod) for pod in cluster.pods()}

    before = counts()
    time.sleep(20)
    shares = sorted(share_by_server(before, counts()).values())
    cluster.scale(2)
    time.sleep(5)
    calls = cluster.stop_client("short")
    bad = failures(calls)
    seen = (f"shares of four pods: {', '.join(f'{100 * share:.0f} %' for share in shares)}; "
            f"{sum(bad.values())} of {len(calls)} calls failed {dict(bad) or ''}")
    expect(shares[0] >= 0.15, seen)
    expect(not bad, seen)
    return seen


def killed_pod(cluster):
    """SIGKILL of one server of two, under load."""
    cluster.start_client("short", SHORT=4)
    time.sleep(5)
    victim = cluster.names()[0]
    cluster.node.signal(cluster.process(victim), "KILL")
    begin = time.time()
    cluster.wait("the restart", lambda: any(
        status["restartCount"] for pod in cluster.pods()
        for status in pod["status"]["containerStatuses"]))
    cluster.wait("ready pods", lambda: all(map(cluster.ready, cluster.pods())))
    seconds = time.time() - begin
    time.sleep(10)
    calls = cluster.stop_client("short")
    bad, outage = failures(calls), longest_outage(calls)
    seen = (f"Ready again after {seconds:.0f} s; {sum(bad.values())} of {len(calls)} calls "
            f"failed {dict(bad) or ''}, longest pause {outage:.2f} s")
    # The calls that ran there, of four threads, and those that raced with the news.
    expect(sum(bad.values()) <= 12 and outage < 5, seen)
    return seen


def hung_server(cluster):
    """SIGSTOP: the server holds its connections and answers nothing."""
    victim = cluster.names()[0]
    restarts = restart_count(cluster, victim)
    cluster.node.signal(cluster.process(victim), "STOP")
    begin = time.time()
    cluster.wait("the pod to leave the endpoints", lambda: not all(
        map(cluster.ready, cluster.pods())), 60)
    unready = time.time() - begin
    cluster.wait("the restart", lambda: restart_count(cluster, victim) > restarts, 240)
    cluster.wait("ready pods", lambda: all(map(cluster.ready, cluster.pods())))
    seconds = time.time() - begin
    seen = f"not Ready after {unready:.0f} s, replaced and Ready after {seconds:.0f} s"
    expect(seconds <= 75, seen)
    return seen


def restart_count(cluster, name):
    return sum(status["restartCount"] for status in
               cluster.get("pods/" + name)["status"]["containerStatuses"])
