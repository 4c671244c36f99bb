#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams a completion from rwkvd, handles errors by status, and cancels."""

import argparse
import sys
import time

import grpc
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc

# The server is overloaded, or not ready. It has computed nothing, so the same
# request may be sent again later.
TRY_AGAIN = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
ATTEMPTS = 6


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt")
    parser.add_argument("--server", default="127.0.0.1:50051")
    parser.add_argument("--max-tokens", type=int, default=100)
    parser.add_argument("--deadline", type=float, help="seconds")
    parser.add_argument("--stop-after", type=int, metavar="BYTES",
                        help="cancel after this much output")
    parser.add_argument("--seed", type=int, help="repeats an earlier output")
    return parser.parse_args()


def make_request(arguments):
    request = pb.GenerateRequest(
        prompt=pb.Input(text=arguments.prompt),
        max_tokens=arguments.max_tokens,
        sampling=pb.Sampling(temperature=1, top_p=0.5))
    if arguments.seed is not None:
        request.sampling.seed = arguments.seed
    return request


def stream(stub, request, arguments):
    """Prints the output while it is generated. Returns its finish, or None if
    this client cancelled the call. An error carries the number of bytes that
    were received before it."""
    call = stub.Generate(request, timeout=arguments.deadline)
    received = 0
    try:
        for response in call:
            if response.WhichOneof("event") == "finish":
                print(response.finish.text, flush=True)
                return response.finish
            # `text` has whole characters, `bytes` the raw output.
            print(response.delta.text, end="", flush=True)
            received += len(response.delta.bytes)
            if arguments.stop_after and received >= arguments.stop_after:
                call.cancel()  # frees the slot at once
                print()
                return None
    except grpc.RpcError as error:
        error.received = received
        raise
    raise AssertionError("the stream ended without a finish")


def wait_before(attempt, error):
    """Waits as long as the server asks, otherwise with exponential backoff."""
    asked = dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
    time.sleep(int(asked) / 1000 if asked else 0.1 * 2 ** attempt)


def complete(stub, request, arguments):
    for attempt in range(ATTEMPTS):
        try:
            return stream(stub, request, arguments)
        except grpc.RpcError as error:
            if (error.code() not in TRY_AGAIN or error.received > 0 or
                    attempt == ATTEMPTS - 1):
                raise
            wait_before(attempt, error)


def main():
    arguments = parse_arguments()
    with grpc.insecure_channel(arguments.server) as channel:
        stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
        try:
            finish = complete(stub, make_request(arguments), arguments)
        except KeyboardInterrupt:  # closing the channel cancels the call
            return 130
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    if finish is None:
        print("cancelled", file=sys.stderr)
    else:
        print(f"{pb.FinishReason.Name(finish.reason)}, "
              f"{finish.usage.generated_tokens} tokens, seed {finish.seed}",
              file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
