#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has a conversation with the model: each argument is the next message of the
user. The answers are printed while they are generated."""

import argparse
import sys

import grpc
from connection import add_arguments, connect
from rwkvd_client import pb


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("message", nargs="+")
    add_arguments(parser)
    parser.add_argument("--template", default="", metavar="NAME",
                        help="chat template, if the server knows none")
    parser.add_argument("--system", help="instructions for the model")
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--seed", type=int, help="repeats earlier answers")
    return parser.parse_args()


def stream(generation):
    """Prints the answer while it is generated. Returns its text."""
    text = ""
    for response in generation:
        part = response.delta.text + response.finish.text
        print(part, end="", flush=True)
        text += part
    print()
    return text


def talk(client, arguments):
    conversation = pb.Conversation(chat_template=arguments.template)
    if arguments.system:
        conversation.messages.add(role=pb.CHAT_ROLE_SYSTEM,
                                  content=arguments.system)
    for message in arguments.message:
        conversation.messages.add(role=pb.CHAT_ROLE_USER, content=message)
        # Each request has the whole conversation. The server computes only what
        # is new: it keeps the state after the last answer.
        generation = client.generate(pb.GenerateRequest(
            prompt=pb.Input(conversation=conversation),
            max_tokens=arguments.max_tokens,
            sampling=pb.Sampling(seed=arguments.seed)))
        conversation.messages.add(role=pb.CHAT_ROLE_ASSISTANT,
                                  content=stream(generation))
        usage = generation.finish.usage
        print(f"{usage.prompt_tokens} tokens of the prompt, "
              f"{usage.cached_tokens} of them cached", file=sys.stderr)


def main():
    arguments = parse_arguments()
    with connect(arguments) as client:
        try:
            talk(client, arguments)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
