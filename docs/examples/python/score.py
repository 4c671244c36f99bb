#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints which of several continuations of a text the model prefers: for each,
the log-probability and the text, most likely first."""

import argparse
import sys

import grpc
from connection import add_arguments, connect
from rwkvd_client import pb


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("context")
    parser.add_argument("continuation", nargs="+")
    add_arguments(parser)
    arguments = parser.parse_args()
    request = pb.ScoreRequest(
        context=pb.Input(text=arguments.context),
        continuations=[pb.Input(text=text) for text in arguments.continuation],
        totals_only=True)
    with connect(arguments) as client:
        try:
            # Sends the request again while the server is overloaded.
            response = client.call(client.stub.Score, request)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    scored = zip((score.logprob_sum for score in response.scores),
                 arguments.continuation)
    for logprob, text in sorted(scored, reverse=True):
        print(f"{logprob:.4f}\t{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
