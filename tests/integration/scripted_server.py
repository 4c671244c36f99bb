# SPDX-License-Identifier: Apache-2.0
"""A server of the contract that answers as a test says, for what a real server
does too rarely."""

from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc


class Failure(Exception):
    """The end of a call with an error."""

    def __init__(self, code, *details, pushback=None):
        """`details` are messages of google.rpc; `pushback` is the value of
        grpc-retry-pushback-ms."""
        super().__init__(code.name)
        self.code = code
        self.details = details
        self.pushback = pushback

    def end(self, context):
        metadata = []
        if self.pushback is not None:
            metadata.append(("grpc-retry-pushback-ms", self.pushback))
        if self.details:
            status = status_pb2.Status(code=self.code.value[0], message="m")
            for detail in self.details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            metadata.append(("grpc-status-details-bin",
                             status.SerializeToString()))
        context.set_trailing_metadata(metadata)
        context.abort(self.code, "m")


def retry_info(milliseconds):
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(milliseconds)
    return info


def delta(text):
    return pb.GenerateResponse(delta=pb.Delta(bytes=text.encode(), text=text))


def finish(reason, text, **fields):
    return pb.GenerateResponse(finish=pb.Finish(
        reason=reason, bytes=text.encode(), text=text, seed=7,
        usage=pb.Usage(generated_tokens=2), **fields))


class ScriptedServer(rwkv_pb2_grpc.RwkvServiceServicer):
    """Its calls of Generate and PutState end as the next item of `generate` and
    of `put_state` says: a list of responses, or what comes before a Failure."""

    def __init__(self, generate, put_state=()):
        self.requests, self.states = [], []
        self._generate, self._put_state = list(generate), list(put_state)
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        rwkv_pb2_grpc.add_RwkvServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def close(self):
        self._server.stop(None).wait()

    def Generate(self, request, context):
        self.requests.append(request)
        for item in self._generate.pop(0):
            if isinstance(item, Failure):
                item.end(context)
            yield item

    def PutState(self, requests, context):
        self.states.append(b"".join(request.data for request in requests))
        item = self._put_state.pop(0)
        if isinstance(item, Failure):
            item.end(context)
        return pb.PutStateResponse(state=pb.StateInfo(handle=item))
