# SPDX-License-Identifier: Apache-2.0
"""Clients that make a server use as much memory as it accepts. Every request
is legal; the server may refuse any of them with RESOURCE_EXHAUSTED."""

import itertools
import random
import threading
import time

import grpc
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc

# How a server may end a legal request. INVALID_ARGUMENT: it takes more than one
# request may on a small server. NOT_FOUND: a stored state has expired.
HONEST = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED,
          grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INVALID_ARGUMENT,
          grpc.StatusCode.NOT_FOUND}

CALL_SECONDS = 3


def tokens(ids):
    return pb.Input(tokens=pb.TokenIds(ids=ids))


def random_ids(rng, count):
    return [rng.randrange(1, 2000) for _ in range(count)]


def prompts(stub, rng):
    """Short prompts, each of which leaves a state in the cache."""
    for _ in range(50):
        request = pb.GenerateRequest(prompt=tokens(random_ids(rng, 40)),
                                     max_tokens=1)
        yield from stub.Generate(request, timeout=CALL_SECONDS)


def pins(stub, rng):
    request = pb.GenerateRequest(
        prompt=tokens(random_ids(rng, 40)), max_tokens=0,
        pin=pb.Pin(name=f"pin{rng.randrange(100)}"))
    return stub.Generate(request, timeout=CALL_SECONDS)


def long_prompts(stub, rng):
    """Prompts of 400,000 tokens whose branches split the cache's tree."""
    ids = [1] * rng.randrange(1, 400_000) + [2]
    request = pb.GenerateRequest(prompt=tokens(ids), max_tokens=1)
    return stub.Generate(request, timeout=CALL_SECONDS)


def samples(stub, rng):
    """Many samples with all penalties and long outputs."""
    sampling = pb.Sampling(
        repetition_penalty=1.1, repetition_window=0, presence_penalty=0.1,
        penalty_scope=pb.PENALTY_SCOPE_PROMPT_AND_OUTPUT, never_end=True,
        banned_tokens=range(1000),
        forced_tokens=[1000 + i % 1000 for i in range(2000)])
    request = pb.GenerateRequest(prompt=tokens(random_ids(rng, 1000)),
                                 n=rng.choice([1, 2, 8]), max_tokens=5000,
                                 sampling=sampling)
    return stub.Generate(request, timeout=CALL_SECONDS)


def unread(stub, rng):
    """A stream with large messages that the client does not read."""
    request = pb.GenerateRequest(
        prompt=tokens(random_ids(rng, 5000)), max_tokens=20_000,
        echo_top_logprobs=32, top_logprobs=32, top_drawn_logprobs=32,
        sampling=pb.Sampling(never_end=True))
    stream = stub.Generate(request, timeout=CALL_SECONDS)
    time.sleep(CALL_SECONDS / 2)  # the time in which nothing is read
    stream.cancel()
    return stream


def scores(stub, rng):
    """Texts that branch at each token, and texts that need many states."""
    request = pb.ScoreRequest(totals_only=True)
    if rng.random() < 0.5:
        request.continuations.append(tokens([65] * 50_000))
        for length in range(1, 300):
            request.continuations.append(tokens([65] * length + [66]))
    else:
        for leaf in range(512):
            path = [1 + (leaf >> bit & 1) for bit in range(9)]
            request.continuations.append(tokens(path + path))
    stub.Score(request, timeout=CALL_SECONDS)
    return ()


def documents(stub, rng):
    """Documents of which a part is scored, and then nothing is sent."""
    done = threading.Event()

    def parts():
        yield pb.ScoreDocumentRequest(part=tokens(random_ids(rng, 200)))
        done.wait(CALL_SECONDS)

    stream = stub.ScoreDocument(parts(), timeout=CALL_SECONDS)
    next(stream, None)
    done.set()
    return stream


def states(stub, rng):
    """States that are stored, read by other requests and returned whole."""
    request = pb.GenerateRequest(
        prompt=tokens(random_ids(rng, 30)), max_tokens=2,
        return_state=pb.ReturnState(at_end=True, as_handle=True,
                                    ttl_seconds=20))
    handle = ""
    for response in stub.Generate(request, timeout=CALL_SECONDS):
        if response.HasField("finish"):
            handle = response.finish.state.handle
    for _ in range(3):
        yield from stub.Generate(
            pb.GenerateRequest(prompt=tokens([5]), max_tokens=200,
                               state_handle=handle), timeout=CALL_SECONDS)
    state = b"".join(chunk.data for chunk in stub.GetState(
        pb.GetStateRequest(handle=handle), timeout=CALL_SECONDS))
    upload = [pb.PutStateRequest(data=state[:100]),
              pb.PutStateRequest(data=state[100:])]
    stub.PutState(iter(upload), timeout=CALL_SECONDS)


def texts(stub, rng):
    text = "".join(rng.choices("abcdefg ", k=1_000_000))
    stub.Tokenize(pb.TokenizeRequest(text=text), timeout=CALL_SECONDS)
    return ()


KINDS = [prompts, pins, long_prompts, samples, unread, scores, documents,
         states, texts]


class Load:
    """Threads that send these requests until `stop`. Each has a connection of
    its own. Counts the calls by kind and outcome."""

    def __init__(self, address, num_threads=18):
        self._address = address
        self._end = threading.Event()
        self.outcomes = {}
        self.unexpected = []
        self._lock = threading.Lock()
        kinds = itertools.cycle(KINDS)
        self._threads = [
            threading.Thread(target=self._run, args=(next(kinds), number))
            for number in range(num_threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, kind, seed):
        rng = random.Random(seed)
        with grpc.insecure_channel(
                self._address,
                options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = rwkv_pb2_grpc.RwkvServiceStub(channel)
            while not self._end.is_set():
                self._call(kind, stub, rng)

    def _call(self, kind, stub, rng):
        outcome = grpc.StatusCode.OK
        try:
            for _ in kind(stub, rng):
                pass
        except grpc.RpcError as error:
            outcome = error.code()
            if outcome not in HONEST:
                with self._lock:
                    self.unexpected.append(f"{kind.__name__}: {error}")
        with self._lock:
            key = (kind.__name__, outcome.name)
            self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join()
