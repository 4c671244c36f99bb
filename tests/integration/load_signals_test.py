# SPDX-License-Identifier: Apache-2.0
"""What a real rwkvd reports of itself and of its load: by RPC, by metrics, and
by reports that Envoy and gRPC understand."""

import base64
import json
import subprocess
import tempfile
import unittest

import grpc
from answers import request, start_call
from checkpoints import write_endless_model
from error_details import details_of, reason_of
from google.rpc import error_details_pb2
from grpcurl import find_grpcurl
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, SERVICE, rwkvd, wait_until
from xds.data.orca.v3 import orca_load_report_pb2

# Python's gRPC does not show applications this metadata.
KEY = "endpoint-load-metrics-bin: "
WANTED = "endpoint-load-metrics-format: bin"


def grpcurl(server, method, *arguments, status=0):
    """Calls `method` by grpcurl. Returns what it prints."""
    result = subprocess.run(
        [find_grpcurl(), "-plaintext", *arguments, server.address,
         f"{SERVICE}/{method}"], stdout=subprocess.PIPE, text=True,
        timeout=PATIENCE, check=False)
    if result.returncode != status:
        raise AssertionError(f"grpcurl ended with {result.returncode}")
    return result.stdout


def report_in(output):
    """The load report among the trailing metadata that `grpcurl -v` has
    printed, or None."""
    for line in output.splitlines():
        if line.startswith(KEY):
            return orca_load_report_pb2.OrcaLoadReport.FromString(
                base64.b64decode(line[len(KEY):] + "=="))
    return None


class LoadSignalsTest(unittest.TestCase):

    def test_report_is_sent_to_those_who_ask(self):
        with rwkvd() as server:
            data = ("-d", '{"prompt": {"text": "x"}, "max_tokens": 5, '
                    '"sampling": {"never_end": true}}')
            found = report_in(grpcurl(server, "Generate", "-v", "-H", WANTED,
                                      *data))
            self.assertEqual(found.request_cost["generated_tokens"], 5)
            self.assertGreater(found.request_cost["prompt_tokens"], 0)
            self.assertEqual(found.named_metrics["queue_length"], 0)
            self.assertLessEqual(found.utilization["slots"], 1)
            self.assertIsNone(
                report_in(grpcurl(server, "Generate", "-v", *data)))
            self.assertIsNone(
                report_in(grpcurl(server, "GetLoad", "-v", "-H",
                                  WANTED.replace("bin", "json"))))

    def test_failed_call_has_a_report_too(self):
        with rwkvd() as server:
            output = grpcurl(server, "DeleteState", "-v", "-H", WANTED,
                             status=64 + grpc.StatusCode.NOT_FOUND.value[0])
            self.assertIsNotNone(report_in(output))

    def test_full_server_reports_it_by_rpc_metrics_and_reports(self):
        with tempfile.TemporaryDirectory() as folder, rwkvd(
                "--max_running=1", "--max_queued=4",
                model=write_endless_model(folder)) as server:
            endless = request("a", 1000000)
            running = server.stub.Generate(endless, timeout=10 * PATIENCE)
            next(running)
            waiting = server.stub.Generate(request("bcd", 5),
                                           timeout=10 * PATIENCE)
            get_load = server.stub.GetLoad
            message = pb.GetLoadRequest()
            wait_until(lambda: get_load(message).queue_length == 1, "a queue")
            wait_until(
                lambda: get_load(message).generated_tokens_per_second > 0,
                "a rate")
            load = get_load(message)
            self.assertEqual((load.slots_used, load.slots_total), (1, 1))
            self.assertEqual(load.queue_limit, 4)
            self.assertEqual(load.queued_prompt_tokens, 3)
            self.assertGreater(load.oldest_wait_seconds, 0)
            self.assertEqual(load.utilization, 2)
            self.assertGreater(load.state_memory.running_bytes, 0)
            found = report_in(grpcurl(server, "GetLoad", "-v", "-H", WANTED))
            self.assertEqual(found.application_utilization, 2)
            self.assertEqual(found.named_metrics["queue_length"], 1)
            for name, value in (("rwkv_requests_running", 1),
                                ("rwkv_slots", 1),
                                ("rwkv_slots_used_ratio", 1),
                                ("rwkv_utilization_ratio", 2),
                                ("rwkv_queue_depth", 1),
                                ("rwkv_queue_limit", 4),
                                ("rwkv_queue_prompt_tokens", 3)):
                self.assertEqual(gauge(server, name), value, name)
            memory = load.state_memory
            for name, value in (
                    ("rwkv_accepted_tokens", load.total_tokens),
                    ("rwkv_running_state_bytes", memory.running_bytes),
                    ("rwkv_state_cache_limit_bytes", memory.cached_limit_bytes),
                    ("rwkv_state_store_bytes", memory.stored_bytes),
                    ("rwkv_state_store_limit_bytes",
                     memory.stored_limit_bytes)):
                self.assertEqual(gauge(server, name), value, name)
            for name in ("rwkv_queue_oldest_wait_seconds",
                         "rwkv_recent_generation_tokens_per_second"):
                self.assertGreater(gauge(server, name), 0, name)
            waiting.cancel()
            running.cancel()

    def test_full_server_says_when_to_retry(self):
        with tempfile.TemporaryDirectory() as folder, rwkvd(
                "--max_running=1", "--max_queued=1",
                model=write_endless_model(folder)) as server:
            stub, endless = server.stub, request("a", 1000000)
            running = start_call(stub, endless)
            queued = stub.Generate(endless, timeout=10 * PATIENCE)
            wait_until(lambda: stub.GetLoad(
                pb.GetLoadRequest()).queue_length == 1, "a queue")
            text = pb.Input(text="ab")
            part = pb.ScoreDocumentRequest(part=text)
            for call in (
                    lambda: list(stub.Generate(endless, timeout=PATIENCE)),
                    lambda: stub.Score(pb.ScoreRequest(continuations=[text]),
                                       timeout=PATIENCE),
                    lambda: list(stub.ScoreDocument(iter([part]),
                                                    timeout=PATIENCE))):
                with self.assertRaises(grpc.RpcError) as caught:
                    call()
                error = caught.exception
                self.assertEqual(error.code(),
                                 grpc.StatusCode.RESOURCE_EXHAUSTED)
                self.assertEqual(reason_of(error), "QUEUE_FULL")
                details = details_of(error)
                pushback = dict(error.trailing_metadata())[
                    "grpc-retry-pushback-ms"]
                retry = details[error_details_pb2.RetryInfo].retry_delay
                self.assertEqual(retry.ToMilliseconds(), int(pushback))
                quota = details[error_details_pb2.QuotaFailure]
                self.assertEqual([violation.subject
                                  for violation in quota.violations],
                                 ["max_queued"])
            queued.cancel()
            running.cancel()

    def test_grpcurl_shows_info_and_load(self):
        with rwkvd("--max_queued=7") as server:
            info = json.loads(grpcurl(server, "GetServerInfo"))
            self.assertEqual(info["limits"]["max_queued"], 7)
            self.assertEqual(info["model"], "demo")
            self.assertIn("state_cache", info["features"])
            flags = {flag["name"]: flag["value"] for flag in info["flags"]}
            self.assertEqual(flags["max_queued"], "7")
            self.assertEqual(flags["max_running"],
                             str(info["limits"]["max_running"]))
            load = json.loads(grpcurl(server, "GetLoad"))
            self.assertEqual(load["queue_limit"], 7)


if __name__ == "__main__":
    unittest.main()
