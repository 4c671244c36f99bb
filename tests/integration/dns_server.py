# SPDX-License-Identifier: Apache-2.0
"""A DNS server on a free UDP port of the loopback interface. It knows one name,
whose addresses a test changes."""

import socket
import struct
import threading

TYPE_A, CLASS_IN = 1, 1
NO_ERROR, NO_SUCH_NAME = 0, 3
ANSWER_FLAGS = 0x8400  # an authoritative answer


def encode_name(name):
    labels = (label.encode() for label in name.split("."))
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class DnsServer:

    def __init__(self, name, addresses):
        self.addresses = list(addresses)  # replaced as a whole by the test
        self._name = encode_name(name)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _run(self):
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:  # sent by close
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query):
        """Answers the first question; only it is repeated in the answer."""
        end = query.index(b"\0", 12) + 1
        name, (kind,) = query[12:end], struct.unpack(">H", query[end:end + 2])
        known = name.lower() == self._name
        addresses = self.addresses if known and kind == TYPE_A else []
        header = struct.pack(
            ">2sHHHHH", query[:2],
            ANSWER_FLAGS | (NO_ERROR if known else NO_SUCH_NAME),
            1, len(addresses), 0, 0)
        records = (struct.pack(">HHHIH", 0xc000 | 12, TYPE_A, CLASS_IN, 0, 4) +
                   socket.inet_aton(address) for address in addresses)
        return header + query[12:end + 4] + b"".join(records)
