# SPDX-License-Identifier: Apache-2.0
"""A client of ending_test: calls the servers behind a name until its standard
input is closed. go_client/main.go does the same with grpc-go.

Usage: ending_client.py TARGET. The channel is that of deploy/kubernetes, but
without retries, so that each failure is seen. Prints one line of JSON for each call: its kind, status, end (seconds of the
monotonic clock) and, for short calls, the name of the server."""

import json
import sys
import threading
import time

import grpc
from answers import Answer, request
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc

NUM_SHORT, NUM_ENDLESS = 4, 2  # calls at a time
PAUSE = 0.005  # seconds between the short calls of a thread

SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
OPTIONS = [("grpc.service_config", SERVICE_CONFIG),
           ("grpc.dns_min_time_between_resolutions_ms", 1000)]

ENDLESS = request(max_tokens=1 << 20, temperature=1)
SHORT = request(max_tokens=2, temperature=1)


class Client:

    def __init__(self, target):
        channel = grpc.insecure_channel(target, options=OPTIONS)
        self._stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
        self._lock = threading.Lock()

    def endless(self):
        return Answer(self._stub.Generate(ENDLESS))

    def generate(self):
        return Answer(self._stub.Generate(SHORT))

    def get_model(self):
        return self._stub.GetModel(pb.GetModelRequest())

    def call(self, kind, function):
        result = {"kind": kind, "code": "OK"}
        try:
            result["server"] = getattr(function(), "name", "")
        except grpc.RpcError as error:
            result["code"] = error.code().name
            result["message"] = error.details()
        result["end"] = time.monotonic()
        with self._lock:
            print(json.dumps(result), flush=True)

    def repeat_short(self):
        while True:
            self.call("short", self.generate)
            self.call("short", self.get_model)
            time.sleep(PAUSE)

    def repeat_endless(self):
        while True:
            self.call("endless", self.endless)


def main():
    client = Client(sys.argv[1])
    for count, function in ((NUM_SHORT, client.repeat_short),
                            (NUM_ENDLESS, client.repeat_endless)):
        for _ in range(count):
            threading.Thread(target=function, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
