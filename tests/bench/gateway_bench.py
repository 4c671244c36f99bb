#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what gateways cost: the protocol of gateways and the gateway SMG
against rwkvd's own gRPC call, for streams and for conversations.

  bazel run -c opt //tests/bench:gateway_bench -- [--model=PATH] [--clients=32]
    [FLAGS OF RWKVD, such as --tokenizer=bytes]

Streams: so many clients read one stream each, and send another request when it
has ended. The result is the number of tokens per second of processor time that
rwkvd has spent, whatever clients and gateway spend on the same machine. Rounds
of the three ways alternate.

Conversations: 10 turns, alone and 16 at the same time. The results are the share
of the prompts that was known, and the time to the first token.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import statistics
import sys
import time

# As in run_python_test.sh; the runfiles are the working directory.
sys.path[:0] = ["proto", "third_party/grpc_health", "tests/integration"]
# pylint: disable=wrong-import-position
import grpc
from gateway_process import gateway
from rwkv.v1 import rwkv_pb2 as pb
from rwkv.v1 import rwkv_pb2_grpc
from rwkvd_process import rwkvd
from vllm import vllm_engine_pb2 as vllm_pb
from vllm import vllm_engine_pb2_grpc

PROMPT = "In the beginning"
TURNS = 10
QUESTION = "And what did the king say to the people of the city then? "
ANSWER_TOKENS = 32


class Result:
    """What one request has brought."""

    def __init__(self):
        self.begin = time.monotonic()
        self.first = None  # seconds to the first token
        self.tokens = self.prompt = self.cached = 0
        self.text = ""

    def mark_token(self):
        if self.first is None:
            self.first = time.monotonic() - self.begin


class Native:
    """rwkv.v1.RwkvService/Generate."""

    name = "rwkv.v1"

    def __init__(self, server, _):
        # A connection of its own.
        channel = grpc.insecure_channel(server.address, options=[
            ("grpc.use_local_subchannel_pool", 1)])
        self._stub = rwkv_pb2_grpc.RwkvServiceStub(channel)

    def _read(self, prompt, tokens, seed):
        result = Result()
        for event in self._stub.Generate(pb.GenerateRequest(
                prompt=prompt, max_tokens=tokens, ignore_chat_stops=True,
                sampling=pb.Sampling(
                    seed=seed, temperature=1, never_end=True,
                    order=pb.SAMPLER_ORDER_TEMPERATURE_FIRST))):
            result.mark_token()
            if event.HasField("finish"):
                usage = event.finish.usage
                result.tokens = usage.generated_tokens
                result.prompt = usage.prompt_tokens
                result.cached = usage.cached_tokens
                result.text += event.finish.text
            else:
                result.text += event.delta.text
        return result

    def stream(self, tokens, seed):
        return self._read(pb.Input(text=PROMPT), tokens, seed)

    def chat(self, messages, tokens, seed):
        roles = {"user": pb.CHAT_ROLE_USER, "assistant": pb.CHAT_ROLE_ASSISTANT}
        return self._read(pb.Input(conversation=pb.Conversation(
            chat_template="g1", messages=[
                pb.ChatMessage(role=roles[message["role"]],
                               content=message["content"])
                for message in messages])), tokens, seed)


class Vllm:
    """vllm.grpc.engine.VllmEngine/Generate."""

    name = "vllm.grpc.engine"

    def __init__(self, server, _):
        channel = grpc.insecure_channel(server.address, options=[
            ("grpc.use_local_subchannel_pool", 1)])
        self._stub = vllm_engine_pb2_grpc.VllmEngineStub(channel)
        self._prompt = server.stub.Tokenize(
            pb.TokenizeRequest(text=PROMPT)).ids

    def stream(self, tokens, seed):
        result = Result()
        for event in self._stub.Generate(vllm_pb.GenerateRequest(
                request_id=f"{id(result)}", stream=True,
                tokenized=vllm_pb.TokenizedInput(input_ids=self._prompt),
                sampling_params=vllm_pb.SamplingParams(
                    max_tokens=tokens, seed=seed, ignore_eos=True))):
            result.mark_token()
            result.tokens += len(event.chunk.token_ids)
        return result


class OpenAi:
    """The OpenAI API of the gateway."""

    name = "SMG"

    def __init__(self, server, smg):
        self._connection = http.client.HTTPConnection(smg.address)
        self._model = server.stub.GetModel(pb.GetModelRequest()).name

    def _read(self, path, body):
        result = Result()
        self._connection.request(
            "POST", path, json.dumps({
                "model": self._model, "temperature": 1, "ignore_eos": True,
                "stream": True, "stream_options": {"include_usage": True},
                **body}), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        assert answer.status == 200, answer.read()
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            for choice in event["choices"]:
                text = choice.get("text") or choice.get(
                    "delta", {}).get("content")
                if text:
                    result.mark_token()
                    result.text += text
            usage = event.get("usage")
            if usage:
                result.tokens = usage["completion_tokens"]
                result.prompt = usage["prompt_tokens"]
                result.cached = (usage.get("prompt_tokens_details") or {}).get(
                    "cached_tokens", 0)
        return result

    def stream(self, tokens, seed):
        return self._read("/v1/completions", {
            "prompt": PROMPT, "max_tokens": tokens, "seed": seed})

    def chat(self, messages, tokens, seed):
        return self._read("/v1/chat/completions", {
            "messages": messages, "max_tokens": tokens, "seed": seed})


def processor_seconds(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_parallel(work, clients):
    """work(client, index) of all clients at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(work, clients, range(len(clients))))


def measure_streams(server, clients, args):
    """Tokens per second, and per second of rwkvd's processor time."""
    def work(client, index):
        return sum(client.stream(args.tokens, 1000 * index + request).tokens
                   for request in range(args.requests))
    spent, begin = processor_seconds(server), time.monotonic()
    tokens = sum(in_parallel(work, clients))
    spent = processor_seconds(server) - spent
    return tokens / (time.monotonic() - begin), tokens / spent


def report_streams(server, smg, args):
    ways = [Native, Vllm, OpenAi]
    clients = [[way(server, smg) for _ in range(args.clients)]
               for way in ways]
    rounds = [[measure_streams(server, some, args) for some in clients]
              for _ in range(args.rounds + 1)][1:]  # the first one warms up
    for index, way in enumerate(ways):
        speed = statistics.median(row[index][0] for row in rounds)
        per_core = statistics.median(row[index][1] for row in rounds)
        share = statistics.median(row[index][1] / row[0][1] for row in rounds)
        print(f"{args.clients} streams  {way.name:<17} {speed:8.1f} tokens/s, "
              f"{per_core:8.1f} per second of rwkvd's processor time, "
              f"{100 * share:5.1f} % of rwkv.v1", flush=True)


def converse(client, index):
    """The results of the turns of one conversation."""
    messages, results = [], []
    for turn in range(TURNS):
        messages.append({"role": "user",
                         "content": f"{index} {turn}: " + 4 * QUESTION})
        results.append(client.chat(messages, ANSWER_TOKENS, seed=index))
        messages.append({"role": "assistant", "content": results[-1].text})
    return results


def report_conversations(server, smg):
    for way in (Native, OpenAi):
        for number in (1, 16):
            clients = [way(server, smg) for _ in range(number)]
            base = 1000 * number + 100 * (way is OpenAi)
            turns = in_parallel(
                lambda client, index, base=base: converse(client, base + index),
                clients)
            later = [turn for turn_list in turns for turn in turn_list[1:]]
            known = sum(turn.cached for turn in later) / sum(
                turn.prompt for turn in later)
            first = 1e3 * statistics.median(all[0].first for all in turns)
            last = 1e3 * statistics.median(all[-1].first for all in turns)
            print(f"{number:>2} conversations  {way.name:<8} "
                  f"{100 * known:5.1f} % of later prompts known "
                  f"({later[-1].prompt} tokens at the end); first token after "
                  f"{first:.1f} ms in turn 1, {last:.1f} ms in turn {TURNS}",
                  flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="models/demo")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--requests", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args, flags = parser.parse_known_args()
    flags.append("--log_level=warn")
    with rwkvd(*flags, model=args.model) as server, gateway(server) as smg:
        report_streams(server, smg, args)
        report_conversations(server, smg)


if __name__ == "__main__":
    main()
