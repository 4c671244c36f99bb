# SPDX-License-Identifier: Apache-2.0
"""Generate calls and their results."""

from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE


class Answer:
    """All messages of a Generate stream."""

    def __init__(self, stream):
        self.ids, self.tokens = [], []
        self.bytes, self.text = b"", ""
        self.deltas, self.finish = 0, None
        for response in stream:
            assert self.finish is None, "something came after the finish"
            if response.WhichOneof("event") == "finish":
                self.finish = response.finish
                part = response.finish
            else:
                self.deltas += 1
                part = response.delta
                self.tokens += part.tokens
                self.ids += [token.id for token in part.tokens]
            self.bytes += part.bytes
            self.text += part.text


def request(prompt="In the beginning", max_tokens=40, temperature=0, seed=1,
            **fields):
    return pb.GenerateRequest(
        prompt=pb.Input(text=prompt), max_tokens=max_tokens,
        sampling=pb.Sampling(temperature=temperature, seed=seed), **fields)


def generate(stub, message):
    return Answer(stub.Generate(message, timeout=PATIENCE))


def start_call(stub, message):
    """The stream of a running call, whose first message has been read."""
    stream = stub.Generate(message, timeout=10 * PATIENCE)
    next(stream)
    return stream
