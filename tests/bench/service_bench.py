#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the overhead of serving: server and clients against forward passes.

One run measures one model (by default RWKV-7 0.4B with random int8 weights) in
three ways: forward passes only (model_bench), streaming clients (rwkvctl
bench), and streaming clients while another client sends prompts of 2,000
tokens. Server and clients share the processors.

  bazel run -c opt //tests/bench:service_bench -- [--model=PATH] [--clients=32]
"""

import argparse
import contextlib
import glob
import json
import os
import signal
import subprocess
import tempfile
import time

RWKVD = "service/rwkvd"
RWKVCTL = "tools/rwkvctl/rwkvctl"
MODEL_BENCH = "tests/bench/model_bench"
RANDOM = "rwkvd-random-rwkv7-0.4B-zeros0-int8-*"
LONG_PROMPT = 2000


def run_json(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def measure_bare(model, clients):
    """Returns tokens per second and seconds per step of bare forward passes.

    Each step decodes `clients` sequences."""
    which = f"--model={model}" if model else "--weights=int8"
    report = run_json(MODEL_BENCH, which, "--benchmark_format=json",
                      "--benchmark_min_time=1",
                      f"--benchmark_filter=decode/.*/{clients}/")
    row = report["benchmarks"][0]
    return row["tokens"], row["real_time"] / 1e3


def newest_random_model():
    found = glob.glob(os.path.join(tempfile.gettempdir(), RANDOM))
    return max(found, key=os.path.getmtime)


@contextlib.contextmanager
def serving(model):
    """Runs rwkvd without a state cache, which would save work. Yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = os.path.join(folder, "ports")
        server = subprocess.Popen([
            RWKVD, f"--model={model}", "--tokenizer=bytes",
            "--allow_tokenizer_mismatch",  # any vocabulary
            "--listen=127.0.0.1:0", "--metrics_listen=", "--log_level=warn",
            "--state_cache_mib=0", f"--port_file={port_file}"])
        try:
            while server.poll() is None and not os.path.exists(port_file):
                time.sleep(0.01)
            with open(port_file, encoding="utf-8") as lines:
                address = lines.readline().strip().removeprefix("grpc=")
            subprocess.run([RWKVCTL, "health", f"--server={address}",
                            "--wait=60s"], check=True,
                           stdout=subprocess.DEVNULL)
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def bench_command(address, *flags):
    return [RWKVCTL, "bench", "--json", f"--server={address}", *flags]


def measure_clients(address, clients, seed):
    return run_json(*bench_command(
        address, f"--concurrency={clients}", "--prompt_tokens=1",
        "--output_tokens=64", f"--requests={clients * 2}",
        f"--workload_seed={seed}"))


@contextlib.contextmanager
def long_prompts(address):
    """Runs a client that sends one long prompt after another."""
    client = subprocess.Popen(
        bench_command(address, "--concurrency=1", "--output_tokens=1",
                      f"--prompt_tokens={LONG_PROMPT}", "--duration=1h",
                      "--workload_seed=99"), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        client.send_signal(signal.SIGINT)
        client.wait()


def print_clients(what, report, bare_tokens, bare_step):
    tokens = report["throughput"]["generated_tokens_per_second"]
    gaps = report["latency_seconds"]["between_messages"]
    print(f"{what:<16} {tokens:7.1f} tokens/s, {100 * tokens / bare_tokens:5.1f} "
          f"% of bare; between tokens p50 {gaps['p50'] * 1e3:.1f} ms, "
          f"p99 {gaps['p99'] * 1e3:.1f} ms: {gaps['p99'] / gaps['p50']:.2f} of "
          f"the median, {gaps['p99'] / bare_step:.2f} of a bare step")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--clients", type=int, default=32,
                        help="number of clients: 1, 4, 16 or 32")
    args = parser.parse_args()

    before, step = measure_bare(args.model, args.clients)
    model = args.model or newest_random_model()
    with serving(model) as address:
        alone = measure_clients(address, args.clients, seed=1)
        with long_prompts(address):
            with_prompts = measure_clients(address, args.clients, seed=2)
    after, later_step = measure_bare(model, args.clients)
    bare, step = (before + after) / 2, (step + later_step) / 2

    print(f"forward passes   {bare:7.1f} tokens/s ({before:.1f} before, "
          f"{after:.1f} after), steps of {step * 1e3:.1f} ms")
    print_clients(f"{args.clients} clients", alone, bare, step)
    print_clients("and long prompts", with_prompts, bare, step)


if __name__ == "__main__":
    main()
