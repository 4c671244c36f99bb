# SPDX-License-Identifier: Apache-2.0
"""Clients that do everything wrong at the same time, until a time has passed.

    python3 abuses.py SERVER SECONDS SEED SOURCE

Several abuses of random kinds run at any time, each for a few seconds, against
SERVER (host:port), from the address SOURCE. Prints what they have done as one
JSON object.
"""

import collections
import concurrent.futures
import contextlib
import functools
import gzip
import json
import random
import sys
import time

import attacks
import raw_http2 as raw
from rwkv.v1 import rwkv_pb2 as pb

NUM_CLIENTS = 6
MAX_SECONDS = 3  # of one abuse
MESSAGE_BYTES = 15 << 20
VOCABULARY = 2048  # the bundled model's


def _serialized(message):
    return raw.grpc_message(message.SerializeToString())


def _tokens(count):
    return [1 + 7919 * i % (VOCABULARY - 1) for i in range(count)]


def _score():
    """Texts that leave a long one after 1, 2, 3, ... tokens."""
    request = pb.ScoreRequest(totals_only=True)
    request.continuations.add().tokens.ids.extend([65] * 100_000)
    for size in range(1, 100):
        request.continuations.add().tokens.ids.extend([65] * size + [66])
    return request


def _echo():
    request = pb.GenerateRequest(max_tokens=0, echo=True, echo_top_logprobs=32)
    request.prompt.tokens.ids.extend(_tokens(20_000))
    return request


# Valid requests that ask for as much as they can, by method.
LARGE = [
    ("Generate", lambda: pb.GenerateRequest(
        prompt=pb.Input(text="e" * MESSAGE_BYTES))),
    ("Generate", lambda: pb.GenerateRequest(
        prompt=pb.Input(text="lorem ipsum dolor " * (MESSAGE_BYTES // 18)))),
    ("Generate", lambda: pb.GenerateRequest(
        n=64, max_tokens=1 << 20, sampling=pb.Sampling(never_end=True))),
    ("Generate", lambda: pb.GenerateRequest(
        stop_strings=[b""] * 1_000_000)),
    ("Generate", _echo),
    ("Tokenize", lambda: pb.TokenizeRequest(text="e " * (MESSAGE_BYTES // 2))),
    ("Detokenize", lambda: pb.DetokenizeRequest(ids=_tokens(4_000_000))),
    ("Score", _score),
    ("Score", lambda: pb.ScoreRequest(
        continuations=[pb.Input()] * 1_000_000)),
    ("ScoreDocument", lambda: pb.ScoreDocumentRequest(
        part=pb.Input(tokens=pb.TokenIds(ids=_tokens(100_000))),
        token_scores=True)),
]


@functools.cache
def _large_message(index):
    return _serialized(LARGE[index][1]())


def _large(chance):
    """A method and its message."""
    index = chance.randrange(len(LARGE))
    return LARGE[index][0], _large_message(index)


def _some_call(chance):
    return chance.choice(("Generate", "Score", "Tokenize", "Detokenize",
                          "PutState", "GetState", "ScoreDocument", "GetModel",
                          "None", "/grpc.health.v1.Health/Watch",
                          "/grpc.reflection.v1alpha.ServerReflection/"
                          "ServerReflectionInfo"))


def large(attacker, chance):
    """Requests that cost as much as possible, and whose answers are read."""
    def abuse(connection):
        stream = 1
        while not attacker.over():
            method, message = _large(chance)
            connection.open_stream(stream, raw.call_fields(method))
            connection.send_data(stream, message, attacker.until, end=True)
            attacker.counts["requests"] += 1
            connection.wait(chance.random(),
                            lambda stream=stream: connection.has_ended(stream))
            stream += 2
    attacker.repeat(abuse, reads=True)


def malformed(attacker, chance):
    """Bytes that are no frames, no messages or no valid requests."""
    def random_bytes():
        return chance.randbytes(chance.randrange(1, 2000))

    def message(body):
        return lambda stream: (
            raw.frame(raw.HEADERS, raw.END_HEADERS, stream,
                      raw.call_fields(_some_call(chance))) +
            raw.frame(raw.DATA, raw.END_STREAM, stream, body()))
    zeros = gzip.compress(bytes(64 << 20))[:raw.FRAME_SIZE]
    kinds = [
        message(random_bytes),
        message(lambda: raw.grpc_message(random_bytes())),
        message(lambda: raw.grpc_message(zeros[:16000], compressed=True)),
        message(lambda: raw.grpc_message(b"\x0a\x04\x0a\x02\xff\xff")),
        message(lambda: b"\x00\xff\xff\xff\xff"),
        lambda stream: raw.frame(raw.HEADERS, raw.END_HEADERS, stream,
                                 random_bytes()),
        lambda stream: raw.frame(chance.randrange(256), chance.randrange(256),
                                 stream, random_bytes()),
        lambda stream: raw.frame(raw.DATA, 0, stream + 1000, random_bytes()),
        lambda stream: raw.frame(raw.HEADERS, raw.END_HEADERS, stream,
                                 raw.call_fields("Generate", (
                                     "x-filler", b"a" * 16000))),
        # Invalid values, whose sizes some versions of gRPC cannot compute
        # when the headers are too large (CVE-2023-1428).
        lambda stream: raw.frame(raw.HEADERS, raw.END_HEADERS, stream,
                                 raw.call_fields("Generate", (
                                     "grpclb_client_stats", "x"), (
                                     "x-filler", b"a" * 9000),
                                     scheme="x", te="x")),
        lambda stream: random_bytes(),
    ]

    def abuse(connection):
        stream = 1
        while not attacker.over():
            connection.send(chance.choice(kinds)(stream), attacker.until)
            attacker.counts["sent"] += 1
            connection.wait(0.01)
            stream += 2
    attacker.repeat(abuse)


def many_at_once(attacker, chance):
    """As many small requests at the same time as a connection carries."""
    body = _serialized(pb.GenerateRequest(
        prompt=pb.Input(text="In the"), max_tokens=20))

    def abuse(connection):
        first = 1
        while not attacker.over():
            streams = range(first, first + 200, 2)
            for stream in streams:
                connection.open_stream(stream, raw.call_fields("Generate"))
                connection.send_data(stream, body, attacker.until, end=True)
            attacker.counts["requests"] += len(streams)
            connection.wait(2, lambda last=streams[-1]: connection.has_ended(last))
            first += 200
    del chance
    attacker.repeat(abuse, reads=True)


def cancelled(attacker, chance):
    """Requests that the client resets after a while."""
    body = _serialized(pb.GenerateRequest(
        max_tokens=1 << 16, sampling=pb.Sampling(never_end=True)))

    def abuse(connection):
        stream = 1
        while not attacker.over():
            connection.open_stream(stream, raw.call_fields("Generate"))
            size = chance.choice((0, len(body) // 2, len(body)))
            connection.send_data(stream, body[:size], attacker.until,
                                 end=size == len(body))
            connection.wait(chance.random() / 10)
            connection.send(raw.frame(raw.RST_STREAM, 0, stream,
                                      b"\x00\x00\x00\x08"), attacker.until)
            attacker.counts["requests"] += 1
            stream += 2
    attacker.repeat(abuse, reads=True)


def lost(attacker, chance):
    """Connections that are reset in the middle of requests and answers."""
    while not attacker.over():
        with contextlib.suppress(OSError):
            connection = attacker.connect(reads=True)
            with contextlib.closing(connection):
                method, message = _large(chance)
                connection.open_stream(1, raw.call_fields(method))
                connection.send_data(
                    1, message[:chance.randrange(1, len(message) + 1)],
                    min(attacker.until, time.monotonic() + chance.random()))
                connection.wait(chance.random() / 10)
                connection.reset()
        time.sleep(attacks.PAUSE_SECONDS)


def idle_streams(attacker, chance):
    """Calls that wait for their client forever."""
    connections = []
    with contextlib.suppress(OSError):
        for _ in range(4):
            connection = attacker.connect()
            connections.append(connection)
            for stream in range(1, 201, 2):
                connection.open_stream(stream,
                                       raw.call_fields(_some_call(chance)))
                attacker.counts["calls"] += 1
    attacker.hold(connections)


ABUSES = {abuse.__name__: abuse for abuse in (
    large, malformed, many_at_once, cancelled, lost, idle_streams)}
for attack in attacks.ATTACKS.values():
    ABUSES[attack.__name__] = (
        lambda attacker, chance, attack=attack: attack(attacker))


def run_client(server, until, chance, source):
    """Runs abuses one after the other. Returns their counts by kind."""
    counts = collections.defaultdict(collections.Counter)
    while time.monotonic() < until:
        name = chance.choice(sorted(ABUSES))
        attacker = attacks.Attacker(
            server, min(chance.uniform(1, MAX_SECONDS),
                        until - time.monotonic()), source)
        ABUSES[name](attacker, chance)
        counts[name].update(attacker.counts)
    return counts


def main(arguments):
    server, seconds, seed, source = arguments
    until = time.monotonic() + float(seconds)
    total = collections.defaultdict(collections.Counter)
    with concurrent.futures.ThreadPoolExecutor(NUM_CLIENTS) as pool:
        clients = [pool.submit(run_client, server, until,
                               random.Random(f"{seed} {i}"), source)
                   for i in range(NUM_CLIENTS)]
        for client in clients:
            for name, counts in client.result().items():
                total[name].update(counts)
    print(json.dumps(total))


if __name__ == "__main__":
    main(sys.argv[1:])
