#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams a completion from rwkvd, reports errors with their details, cancels,
and continues on another server when the first one shuts down."""

import argparse
import sys

import grpc
from connection import add_arguments, connect
from rwkvd_client import details_of, pb


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prompt")
    add_arguments(parser)
    parser.add_argument("--max-tokens", type=int, default=100)
    parser.add_argument("--deadline", type=float, help="seconds")
    parser.add_argument("--stop-after", type=int, metavar="BYTES",
                        help="cancel after this much output")
    parser.add_argument("--seed", type=int, help="repeats an earlier output")
    parser.add_argument("--resume", action="store_true",
                        help="continue when the server shuts down")
    return parser.parse_args()


def make_request(arguments):
    request = pb.GenerateRequest(
        prompt=pb.Input(text=arguments.prompt),
        max_tokens=arguments.max_tokens,
        sampling=pb.Sampling(temperature=1, top_p=0.5))
    if arguments.seed is not None:
        request.sampling.seed = arguments.seed
    return request


def stream(generation, stop_after):
    """Prints the output while it is generated. Returns its finish, or None if
    this client has cancelled the call."""
    received = 0
    for response in generation:
        # `text` has whole characters, `bytes` the raw output.
        print(response.delta.text + response.finish.text, end="", flush=True)
        received += len(response.delta.bytes)
        if stop_after and received >= stop_after:
            generation.cancel()  # frees the slot at once
            break
    print()
    return generation.finish


def report(error):
    """Prints what a program can rely on in addition to the message."""
    details = details_of(error)
    print(f"{error.code().name}: {error.details()}", file=sys.stderr)
    if details.reason:
        print(f"reason: {details.reason}", file=sys.stderr)
    for violation in details.field_violations:
        print(f"field: {violation.field}", file=sys.stderr)
    if details.quota:
        print(f"limit: {details.quota}", file=sys.stderr)


def main():
    arguments = parse_arguments()
    with connect(arguments) as client:
        generation = client.generate(make_request(arguments),
                                     timeout=arguments.deadline,
                                     resume=arguments.resume)
        try:
            finish = stream(generation, arguments.stop_after)
        except KeyboardInterrupt:  # closing the client cancels the call
            return 130
        except grpc.RpcError as error:
            report(error)
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
