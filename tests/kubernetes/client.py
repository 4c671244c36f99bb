# SPDX-License-Identifier: Apache-2.0
"""A client of rwkvd in a pod of its own. Prints a line of JSON for each call.

Environment: TARGET (default dns:///rwkvd:50051), SHORT, ENDLESS and RESUME, the
numbers of threads that make short calls, streams without an end, and requests that
are suspended when a server drains and resumed on another one. TOKENS is the length
of the last, which are compared with an answer that was not interrupted. STATES has
addresses instead: the first server stores a state (unless HANDLE names one), and each
one continues from it."""

import json
import os
import sys
import threading
import time

import grpc
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc

# The client of deploy/kubernetes/README.md, once without and once with retries.
CONFIG = {"loadBalancingConfig": [{"round_robin": {}}]}
RETRY = {"name": [{"service": "rwkv.v1.RwkvService"}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}
MAX_TRIES = 20  # of a request that is resumed
PAUSE = 0.01  # seconds between the calls of a thread
TARGET = os.environ.get("TARGET", "dns:///rwkvd:50051")
TOKENS = int(os.environ.get("TOKENS", "400"))
lock = threading.Lock()


def report(**fields):
    with lock:
        print(json.dumps(dict(end=round(time.time(), 3), **fields)), flush=True)


def request(max_tokens, **fields):
    message = pb.GenerateRequest(max_tokens=max_tokens, **fields)
    if not message.state_handle:
        message.prompt.text = "The king said"
    message.sampling.temperature = 1
    message.sampling.seed = 7
    message.sampling.banned_tokens.append(0)  # the end of text
    return message


class Client:
    def __init__(self, retries, target=TARGET):
        config = dict(CONFIG, methodConfig=[RETRY]) if retries else CONFIG
        channel = grpc.insecure_channel(
            target,
            options=[("grpc.service_config", json.dumps(config)),
                     ("grpc.dns_min_time_between_resolutions_ms", 5000)])
        self.stub = rwkv_pb2_grpc.RwkvServiceStub(channel)

    def generate(self, message):
        """Returns the tokens, the finish or None, and an error or None."""
        tokens, finish = [], None
        try:
            for event in self.stub.Generate(message):
                if event.WhichOneof("event") == "delta":
                    tokens.extend(token.id for token in event.delta.tokens)
                elif event.WhichOneof("event") == "finish":
                    finish = event.finish
        except grpc.RpcError as error:
            return tokens, finish, error
        return tokens, finish, None

    def call(self, kind, message):
        begin = time.time()
        tokens, finish, error = self.generate(message)
        report(kind=kind, seconds=round(time.time() - begin, 3), tokens=len(tokens),
               finish=pb.FinishReason.Name(finish.reason) if finish else "",
               code=error.code().name if error else "OK",
               message=error.details() if error else "")
        time.sleep(0.1 if error else PAUSE)

    def resume(self, expected):
        """A request that servers hand on; returns when it has all its tokens."""
        tokens, handle, moves, failures = [], "", 0, []
        for _ in range(MAX_TRIES):
            message = request(TOKENS, state_handle=handle, resume=bool(handle))
            message.return_state.on_drain = True
            message.return_state.as_handle = True
            got, finish, error = self.generate(message)
            if handle or not error or finish:
                tokens += got  # output that was not sent before
            if error and finish and finish.HasField("state"):
                handle, moves = finish.state.handle, moves + 1
                continue
            if not error:
                break
            failures.append(f"{error.code().name}: {error.details()}")
            if got:
                break  # a stream that broke without a state
            time.sleep(0.2)
        report(kind="resume", code="OK" if tokens == expected and not error else "BROKEN",
               moves=moves, tokens=len(tokens), message="; ".join(failures[-3:]))


def use_state(addresses, handle):
    clients = [Client(False, address) for address in addresses]
    if not handle:
        message = request(8)
        message.return_state.as_handle = True
        _, finish, error = clients[0].generate(message)
        if error:
            report(kind="state", code=error.code().name, message=error.details(),
                   handle="", answers=[])
            return
        handle = finish.state.handle
    answers = []
    for client in clients:
        tokens, _, error = client.generate(request(16, state_handle=handle))
        answers.append(error.details() if error else tokens)
    report(kind="state", code="OK", message="", handle=handle, answers=answers)


def repeat(function, *arguments):
    while True:
        function(*arguments)


def main():
    if "STATES" in os.environ:
        print(json.dumps({"kind": "begin"}), flush=True)
        use_state(os.environ["STATES"].split(","), os.environ.get("HANDLE"))
        return
    threads = []
    plain, retrying = Client(False), Client(True)
    for _ in range(int(os.environ.get("SHORT", "0"))):
        threads.append((plain.call, "short", request(4)))
    for _ in range(int(os.environ.get("ENDLESS", "0"))):
        threads.append((plain.call, "endless", request(1 << 20)))
    if os.environ.get("RESUME", "0") != "0":
        expected, _, error = retrying.generate(request(TOKENS))
        if error:
            sys.exit(f"the answer to compare with: {error}")
        for _ in range(int(os.environ["RESUME"])):
            threads.append((retrying.resume, expected))
    print(json.dumps({"kind": "begin"}), flush=True)
    for function, *arguments in threads:
        threading.Thread(target=repeat, args=(function, *arguments), daemon=True).start()
    time.sleep(3600)


if __name__ == "__main__":
    main()
