# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client that sends whatever bytes it is given, valid or not."""

import select
import socket
import struct
import time

(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY,
 WINDOW_UPDATE, CONTINUATION) = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 4  # a setting
CANCEL = 8  # an error code

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_SIZE = 16384  # the largest that every peer accepts
DEFAULT_WINDOW = 65535
MAX_REPLY_BYTES = 1 << 20  # to a peer that does not read them
SERVICE = "/rwkv.v1.RwkvService/"


def frame(kind, flags=0, stream=0, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def settings(values=()):
    return frame(SETTINGS, payload=b"".join(
        struct.pack(">HI", *value) for value in values))


def hpack_string(data):
    """A string literal without Huffman coding."""
    out = bytearray()
    size = len(data)
    if size < 127:
        out.append(size)
    else:
        out.append(127)
        size -= 127
        while size >= 128:
            out.append(size % 128 + 128)
            size //= 128
        out.append(size)
    return bytes(out) + data


def hpack_field(name, value, indexed=False):
    """A header field that the decoder adds to its table if `indexed`."""
    return ((b"\x40" if indexed else b"\x00") + hpack_string(name.encode()) +
            hpack_string(value if isinstance(value, bytes) else value.encode()))


def call_fields(method, *extra, scheme="http", te="trailers"):
    """The header block of a call of rwkv.v1.RwkvService, or of the path
    `method`."""
    path = method if method.startswith("/") else SERVICE + method
    fields = [(":method", "POST"), (":scheme", scheme), (":path", path),
              (":authority", "rwkvd"), ("te", te),
              ("content-type", "application/grpc"), *extra]
    return b"".join(hpack_field(*field) for field in fields)


def grpc_message(body, compressed=False):
    return struct.pack(">BI", compressed, len(body)) + body


class Connection:
    """A connection to `address`, "host:port" or "unix:path". It acknowledges
    settings and pings while it waits, and never grants the peer more than the
    initial window unless `reads` is set."""

    def __init__(self, address, source=None, own_settings=(),
                 acknowledges=True, reads=False, receive_buffer=None):
        self._acknowledges, self._reads = acknowledges, reads
        self._buffer, self._replies = b"", b""
        self.frames = []  # (kind, flags, stream, payload)
        self.window = DEFAULT_WINDOW
        self._initial_window = DEFAULT_WINDOW
        self._windows = {}
        if address.startswith("unix:"):
            self._socket = socket.socket(socket.AF_UNIX)
            peer = address[len("unix:"):]
        else:
            host, port = address.rsplit(":", 1)
            self._socket = socket.socket(socket.AF_INET)
            peer = (host, int(port))
            if source:
                self._socket.bind((source, 0))
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                    receive_buffer)
        self._socket.settimeout(10)
        try:
            self._socket.connect(peer)
            self._socket.setblocking(False)
            self.send(PREFACE + settings(own_settings))
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
        return any(kind in (RST_STREAM, GOAWAY) or
                   kind == HEADERS and flags & END_STREAM
                   for kind, flags, number, _ in self.frames
                   if number == stream or kind == GOAWAY)

    def _receive(self):
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("closed by the peer")
        self._buffer += data
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags = self._buffer[3:5]
            stream = int.from_bytes(self._buffer[5:9], "big") & 0x7fffffff
            payload = self._buffer[9:9 + size]
            self._buffer = self._buffer[9 + size:]
            self._handle(kind, flags, stream, payload)

    def _handle(self, kind, flags, stream, payload):
        if kind == DATA:
            if self._reads and payload:
                grant = struct.pack(">I", len(payload))
                self._add_reply(frame(WINDOW_UPDATE, 0, 0, grant) +
                            frame(WINDOW_UPDATE, 0, stream, grant))
        elif kind == WINDOW_UPDATE:
            increment = struct.unpack(">I", payload)[0]
            if stream == 0:
                self.window += increment
            elif stream in self._windows:
                self._windows[stream] += increment
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
            if self._acknowledges:
                self._add_reply(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK and self._acknowledges:
            self._add_reply(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._windows.pop(stream, None)
        if len(self.frames) < 10000:
            self.frames.append((kind, flags, stream, payload))

    def _take_settings(self, payload):
        for at in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[at:at + 6])
            if name == INITIAL_WINDOW_SIZE:
                for stream in self._windows:
                    self._windows[stream] += value - self._initial_window
                self._initial_window = value

    def _add_reply(self, data):
        if len(self._replies) < MAX_REPLY_BYTES:
            self._replies += data
