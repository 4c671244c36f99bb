# SPDX-License-Identifier: Apache-2.0
"""Calls that are repeated when the server asks for it, and generations that
continue on another server when theirs shuts down."""

import collections
import random
import time
from types import TracebackType
from typing import (Any, Callable, Generator, Iterator, List, Optional, Type,
                    TypeVar, Union)

import grpc
from rwkvd_client.errors import ErrorDetails, details_of
from rwkvd_client.v1 import rwkv_pb2 as pb
from rwkvd_client.v1.rwkv_pb2_grpc import RwkvServiceStub

Response = TypeVar("Response")

_FIRST_BACKOFF, _MAX_BACKOFF = 0.1, 5.0  # seconds
_CHUNK = 1 << 20  # bytes of a state in one message


def _may_be_repeated(error: grpc.RpcError, details: ErrorDetails) -> bool:
    """Whether the error is temporary: the server is overloaded, not ready, or
    shutting down. A limit that rwkvd reports without a time to retry would
    refuse the request again, possibly after computing all of it."""
    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return details.retry_delay is not None or not details.reason
    is_unavailable: bool = error.code() == grpc.StatusCode.UNAVAILABLE
    return is_unavailable


class _Attempts:
    """Decides whether and when a request is sent again."""

    def __init__(self, most: Optional[int], timeout: Optional[float]) -> None:
        self._left = most
        self._end = None if timeout is None else time.monotonic() + timeout
        self._backoff = _FIRST_BACKOFF

    def timeout(self) -> Optional[float]:
        """The seconds that are left for the next attempt."""
        if self._end is None:
            return None
        return max(0.0, self._end - time.monotonic())

    def wait_after(self, error: grpc.RpcError) -> None:
        """Waits until the request is to be sent again. Raises the error if the
        server does not want that, or there is no attempt or time left."""
        if self._left is not None:
            self._left -= 1
        details = details_of(error)
        delay = details.retry_delay
        if delay is None:
            delay = self._backoff * random.uniform(0.8, 1.2)
            self._backoff = min(2 * self._backoff, _MAX_BACKOFF)
        left = self.timeout()
        if (not _may_be_repeated(error, details) or self._left == 0 or
                delay < 0 or (left is not None and delay >= left)):
            raise error
        time.sleep(delay)


class Generation:
    """The responses of a Generate call, in order. Iterate over it once; leaving
    the iteration ends the call."""

    def __init__(self, client: "Client", request: pb.GenerateRequest,
                 timeout: Optional[float], resume: bool) -> None:
        self._client = client
        self._request = pb.GenerateRequest()
        self._request.CopyFrom(request)
        self._resume = resume
        if resume:
            self._request.return_state.on_drain = True
        self._attempts = client.attempts(timeout)
        self._end = None if timeout is None else time.monotonic() + timeout
        self._call: Any = None
        self._cancelled = False
        self.finish: Optional[pb.Finish] = None  # of the last sample

    def cancel(self) -> None:
        """Ends the generation; the server frees its slot at once. The
        iteration then ends with the status CANCELLED."""
        self._cancelled = True
        if self._call is not None:
            self._call.cancel()

    def __iter__(self) -> Iterator[pb.GenerateResponse]:
        try:
            while not (yield from self._run()):
                pass
        finally:
            if self._call is not None:
                self._call.cancel()

    def _run(self) -> Generator[pb.GenerateResponse, None, bool]:
        """The responses of one call. Returns whether it is the last one."""
        end = _End()
        received = False
        try:
            for response in self._start():
                received = True
                if self._resume and end.take(response):
                    continue
                yield from self._deliver(end.responses)
                end = _End()
                yield from self._deliver([response])
            yield from self._deliver(end.responses)
            return True
        except grpc.RpcError as error:
            if end.is_suspended(error):
                yield from end.output()
                self._continue_from(end)
                return False
            yield from self._deliver(end.responses)
            if received or self._cancelled:
                raise
            self._attempts.wait_after(error)
            return False

    def _left(self) -> Optional[float]:
        if self._end is None:
            return None
        return max(0.0, self._end - time.monotonic())

    def _start(self) -> Iterator[pb.GenerateResponse]:
        self._call = self._client.stub.Generate(self._request,
                                                timeout=self._left())
        if self._cancelled:
            self._call.cancel()
        return iter(self._call)

    def _deliver(self, responses: List[pb.GenerateResponse]
                 ) -> Iterator[pb.GenerateResponse]:
        for response in responses:
            if response.HasField("finish"):
                self.finish = response.finish
            yield response

    def _continue_from(self, end: "_End") -> None:
        """Changes the request to one that resumes. The next server may still be
        starting, so time alone bounds the attempts."""
        self._attempts = self._client.attempts_to_resume(self._left())
        self._request.ClearField("prompt")
        self._request.state_handle = end.handle() or self._client.store_state(
            end.state(), self._attempts)
        self._request.resume = True


class _End:
    """The last responses of a generation, which its server may have suspended:
    then they are not the end for the client."""

    def __init__(self) -> None:
        self.responses: List[pb.GenerateResponse] = []

    def take(self, response: pb.GenerateResponse) -> bool:
        """Takes the response if it may belong to a suspension."""
        if not (response.HasField("state_chunk") or
                response.finish.reason == pb.FINISH_REASON_CANCELLED):
            return False
        self.responses.append(response)
        return True

    def _finish(self) -> pb.Finish:
        return self.responses[-1].finish if self.responses else pb.Finish()

    def handle(self) -> str:
        return self._finish().state.handle

    def state(self) -> bytes:
        return b"".join(response.state_chunk.data
                        for response in self.responses)

    def is_suspended(self, error: grpc.RpcError) -> bool:
        return (error.code() == grpc.StatusCode.UNAVAILABLE and
                self._finish().HasField("state"))

    def output(self) -> Iterator[pb.GenerateResponse]:
        """The output in the finish, as a delta."""
        finish = self._finish()
        if finish.bytes:
            yield pb.GenerateResponse(delta=pb.Delta(
                bytes=finish.bytes, text=finish.text, sample=finish.sample))


class _CallDetails(
        collections.namedtuple(
            "_CallDetails",
            "method timeout metadata credentials wait_for_ready compression"),
        grpc.ClientCallDetails):
    """The details of a call, with other metadata."""


class _TokenInterceptor(grpc.UnaryUnaryClientInterceptor,
                        grpc.UnaryStreamClientInterceptor,
                        grpc.StreamUnaryClientInterceptor,
                        grpc.StreamStreamClientInterceptor):
    """Sends a token with each call."""

    def __init__(self, token: str) -> None:
        self._metadata = ("authorization", f"Bearer {token}")

    def _send(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), self._metadata]
        return continuation(
            _CallDetails(details.method, details.timeout, metadata,
                         details.credentials, details.wait_for_ready,
                         details.compression), request)

    intercept_unary_unary = _send
    intercept_unary_stream = _send
    intercept_stream_unary = _send
    intercept_stream_stream = _send


class Client:
    """A connection to rwkvd. Thread-safe."""

    def __init__(self, target: Union[str, grpc.Channel], *,
                 max_attempts: int = 6, resume_within: float = 60,
                 token: Optional[str] = None) -> None:
        """`target` is an address such as "127.0.0.1:50051", without TLS, or a
        channel. A request is sent at most `max_attempts` times. A generation
        that is to resume waits at most `resume_within` seconds for a server.
        `token` is for servers with --auth_tokens; send it through encrypted
        connections only."""
        self.channel = (grpc.insecure_channel(target)
                        if isinstance(target, str) else target)
        if token is not None:
            self.channel = grpc.intercept_channel(self.channel,
                                                  _TokenInterceptor(token))
        self.stub = RwkvServiceStub(self.channel)
        self._max_attempts = max_attempts
        self._resume_within = resume_within

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]],
                 error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel, which cancels running calls."""
        self.channel.close()

    def attempts(self, timeout: Optional[float]) -> _Attempts:
        return _Attempts(self._max_attempts, timeout)

    def call(self, method: Callable[..., Response], request: Any, *,
             timeout: Optional[float] = None) -> Response:
        """Makes a unary call, such as call(client.stub.Score, request), within
        `timeout` seconds."""
        attempts = self.attempts(timeout)
        while True:
            try:
                return method(request, timeout=attempts.timeout())
            except grpc.RpcError as error:
                attempts.wait_after(error)

    def generate(self, request: pb.GenerateRequest, *,
                 timeout: Optional[float] = None,
                 resume: bool = False) -> Generation:
        """Continues a prompt, within `timeout` seconds. With `resume`, the
        server suspends the request when it shuts down, and this client resumes
        it on the server that the channel then connects to, which must serve
        the same model. No token is lost or repeated. Only for one sample."""
        if resume and (request.n > 1 or request.best_of > 1):
            raise ValueError("resume: only requests for one sample resume")
        return Generation(self, request, timeout, resume)

    def attempts_to_resume(self, timeout: Optional[float]) -> _Attempts:
        most = self._resume_within
        return _Attempts(None, most if timeout is None else min(timeout, most))

    def store_state(self, state: bytes, attempts: _Attempts) -> str:
        """Stores a state on the server; returns its handle."""
        while True:
            messages = (pb.PutStateRequest(data=state[i:i + _CHUNK])
                        for i in range(0, len(state), _CHUNK))
            try:
                # Fails no sooner because the next server is still starting.
                response: pb.PutStateResponse = self.stub.PutState(
                    messages, timeout=attempts.timeout(), wait_for_ready=True)
                return response.state.handle
            except grpc.RpcError as error:
                attempts.wait_after(error)
