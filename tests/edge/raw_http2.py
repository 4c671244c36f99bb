# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client that sends whatever bytes it is given, valid or not."""

import select
import socket
import struct
import time

import hpack
from hyperframe.frame import (ContinuationFrame, DataFrame, Frame, GoAwayFrame,
                              HeadersFrame, PingFrame, PriorityFrame,
                              RstStreamFrame, SettingsFrame, WindowUpdateFrame)

# Types of frames.
DATA, HEADERS, PRIORITY, RST_STREAM, PING, WINDOW_UPDATE, CONTINUATION = (
    kind.type for kind in (DataFrame, HeadersFrame, PriorityFrame,
                           RstStreamFrame, PingFrame, WindowUpdateFrame,
                           ContinuationFrame))
END_STREAM = 0x1
END_HEADERS = 0x4
CANCEL = 8  # an error code

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_SIZE = 16384  # the largest that every peer accepts
DEFAULT_WINDOW = 65535
MAX_REPLY_BYTES = 1 << 20  # to a peer that does not read them
SERVICE = "/rwkv.v1.RwkvService/"


def frame(kind, flags=0, stream=0, payload=b""):
    """A frame that hyperframe need not know, or would refuse."""
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def settings(values=()):
    return SettingsFrame(0, settings=dict(values)).serialize()


def header_block(*fields):
    """Header fields that the decoder does not add to its table, so that the
    block means the same each time."""
    return hpack.Encoder().encode(
        [hpack.NeverIndexedHeaderTuple(*field) for field in fields],
        huffman=False)


def call_fields(method, *extra, scheme="http", te="trailers"):
    """The header block of a call of rwkv.v1.RwkvService, or of the path
    `method`."""
    path = method if method.startswith("/") else SERVICE + method
    return header_block((":method", "POST"), (":scheme", scheme),
                        (":path", path), (":authority", "rwkvd"), ("te", te),
                        ("content-type", "application/grpc"), *extra)


def grpc_message(body, compressed=False):
    return struct.pack(">BI", compressed, len(body)) + body


def open_socket(address, source=None):
    """A socket that is connected to `address`, "host:port" or "unix:path", from
    the address `source`."""
    if address.startswith("unix:"):
        family, peer = socket.AF_UNIX, address[len("unix:"):]
    else:
        host, port = address.rsplit(":", 1)
        family, peer = socket.AF_INET, (host, int(port))
    opened = socket.socket(family)
    try:
        if source and family == socket.AF_INET:
            opened.bind((source, 0))
        opened.settimeout(10)
        opened.connect(peer)
    except BaseException:
        opened.close()
        raise
    return opened


class Connection:
    """A connection to `address`, "host:port" or "unix:path". It acknowledges
    settings and pings while it waits, and never grants the peer more than the
    initial window unless `reads` is set."""

    def __init__(self, address, source=None, acknowledges=True, reads=False):
        self._acknowledges, self._reads = acknowledges, reads
        self._buffer, self._replies = b"", b""
        self.frames = []
        self.window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._windows = {}
        self._socket = open_socket(address, source)
        try:
            self._socket.setblocking(False)
            self.send(PREFACE + settings())
        except BaseException:
            self.close()
            raise

    def close(self):
        self._socket.close()

    def reset(self):
        """Closes the connection as a crashed client does, with TCP's RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                struct.pack("ii", 1, 0))
        self.close()

    def send(self, data, until=None):
        """Sends `data` and handles what arrives meanwhile. TimeoutError if that
        takes until the time `until`, 10 seconds from now by default;
        ConnectionError if the peer closes the connection."""
        until = until or time.monotonic() + 10
        while data:
            view = memoryview(data)
            while view:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                events = self._poll(select.POLLIN | select.POLLOUT, left)
                if events & ~select.POLLOUT:
                    self._receive()
                if events & select.POLLOUT:
                    view = view[self._send_some(view):]
            # Replies must not split a frame, or precede the preface.
            data, self._replies = self._replies, b""

    def wait(self, seconds, condition=lambda: False):
        """Handles what arrives until `condition` is true, for at most
        `seconds`. Returns whether it is."""
        until = time.monotonic() + seconds
        while not condition():
            left = until - time.monotonic()
            if left <= 0:
                return False
            if self._poll(select.POLLIN, left):
                self._receive()
                self._replies = self._replies[self._send_some(self._replies):]
        return True

    def _poll(self, events, seconds):
        """Waits for `events` or an error. Returns the events that occurred, 0
        after `seconds`. (select() cannot wait for descriptors above 1023.)"""
        poll = select.poll()
        poll.register(self._socket, events)
        occurred = poll.poll(seconds * 1000)
        return occurred[0][1] if occurred else 0

    def _send_some(self, data):
        try:
            return self._socket.send(data[:1 << 18])
        except BlockingIOError:
            return 0

    def open_stream(self, stream, fields, flags=END_HEADERS):
        self._windows[stream] = self._initial_window
        self.send(frame(HEADERS, flags, stream, fields))

    def send_data(self, stream, data, until, end=False):
        """Sends `data` as fast as the peer's windows allow. Returns the number
        of bytes that were sent by the time `until`."""
        sent = 0
        while sent < len(data) and time.monotonic() < until:
            size = min(self.window, self._windows.get(stream, 0), FRAME_SIZE,
                       len(data) - sent)
            if size <= 0:
                if stream not in self._windows:
                    break  # the peer has reset it
                self.wait(0.05, lambda: self.window > 0 and
                          self._windows.get(stream, 1) > 0)
                continue
            last = end and sent + size == len(data)
            self.send(frame(DATA, END_STREAM if last else 0, stream,
                            data[sent:sent + size]), until)
            sent += size
            self.window -= size
            if stream in self._windows:  # the peer may have reset it meanwhile
                self._windows[stream] -= size
        return sent

    def has_ended(self, stream):
        """Whether the stream has ended, by trailers or a reset."""
        return any(isinstance(received, GoAwayFrame) or
                   received.stream_id == stream and (
                       isinstance(received, RstStreamFrame) or
                       isinstance(received, HeadersFrame) and
                       "END_STREAM" in received.flags)
                   for received in self.frames)

    def _receive(self):
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("closed by the peer")
        self._buffer += data
        while len(self._buffer) >= 9:
            view = memoryview(self._buffer)
            received, size = Frame.parse_frame_header(view[:9])
            if len(view) < 9 + size:
                return
            received.parse_body(view[9:9 + size])
            self._buffer = self._buffer[9 + size:]
            self._handle(received)

    def _handle(self, received):
        stream = received.stream_id
        is_reply = "ACK" in received.flags
        if isinstance(received, DataFrame):
            size = received.flow_controlled_length
            if self._reads and size:
                self._reply(WindowUpdateFrame(0, window_increment=size))
                self._reply(WindowUpdateFrame(stream, window_increment=size))
        elif isinstance(received, WindowUpdateFrame):
            if stream == 0:
                self.window += received.window_increment
            elif stream in self._windows:
                self._windows[stream] += received.window_increment
        elif isinstance(received, SettingsFrame) and not is_reply:
            self._take_settings(received.settings)
            if self._acknowledges:
                self._reply(SettingsFrame(flags=["ACK"]))
        elif isinstance(received, PingFrame) and not is_reply:
            if self._acknowledges:
                self._reply(PingFrame(opaque_data=received.opaque_data,
                                      flags=["ACK"]))
        elif isinstance(received, RstStreamFrame):
            self._windows.pop(stream, None)
        if len(self.frames) < 10000:
            self.frames.append(received)

    def _take_settings(self, values):
        window = values.get(SettingsFrame.INITIAL_WINDOW_SIZE)
        if window is not None:
            for stream in self._windows:
                self._windows[stream] += window - self._initial_window
            self._initial_window = window

    def _reply(self, reply):
        if len(self._replies) < MAX_REPLY_BYTES:
            self._replies += reply.serialize()
