# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes a real rwkvd."""

import json
import os
import re
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

import grpc
from answers import generate, request
from certificates import Authority
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd, wait_until
from tokens import write_tokens

CONFIGURATION = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: rwkvd
    static_configs:
      - targets: ["{target}"]
{more}"""


class Prometheus:
    """A Prometheus process that scrapes `target`. `more` are further lines of
    the scrape's configuration."""

    def __init__(self, target, more=""):
        self._folder = tempfile.TemporaryDirectory()
        self._log = open(os.path.join(self._folder.name, "log"), "w+")
        path = os.path.join(self._folder.name, "prometheus.yml")
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(target=target, more=more))
        # Prometheus does not report the port that it chooses for 0.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={path}",
             f"--storage.tsdb.path={self._folder.name}/data",
             f"--web.listen-address={self._address}"],
            stdout=self._log, stderr=subprocess.STDOUT)

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self._address}{path}?{query}",
                                    timeout=PATIENCE) as page:
            return json.load(page)

    def value(self, expression):
        """The value of the expression's first series, or None."""
        try:
            answer = self.get("/api/v1/query", query=expression)
        except (urllib.error.URLError, ConnectionError):
            return None  # it is not up yet
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None


def exposition(server):
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics",
                                timeout=PATIENCE) as page:
        return page.read()


class PrometheusTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)
        stub = cls.server.stub
        for seed in range(3):
            generate(stub, request(max_tokens=20, seed=seed))
        stub.Score(pb.ScoreRequest(
            context=pb.Input(text="In the"),
            continuations=[pb.Input(text=" beginning")]), timeout=PATIENCE)
        stub.Tokenize(pb.TokenizeRequest(text="x"), timeout=PATIENCE)
        try:
            generate(stub, request(max_tokens=-1))
        except grpc.RpcError:
            pass
        # The metrics of a call may be updated shortly after its answer.
        wait_until(lambda: b'grpc_status="INVALID_ARGUMENT"} 1' in
                   exposition(cls.server), "the calls to be counted")

    def test_promtool_accepts_the_metrics(self):
        result = subprocess.run(
            ["promtool", "check", "metrics"], input=exposition(self.server),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, b""))

    def test_every_metric_has_a_help_text(self):
        families, helped = set(), set()
        for line in exposition(self.server).decode().splitlines():
            words = line.split(" ", 3)
            if words[:2] == ["#", "TYPE"]:
                families.add(words[2])
            if words[:2] == ["#", "HELP"] and len(words) == 4:
                helped.add(words[2])
        self.assertGreater(len(families), 20)
        self.assertEqual(families - helped, set())

    def test_dashboard_alerts_and_documents_name_existing_metrics(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        tokens = os.path.join(folder.name, "tokens")
        write_tokens(tokens, f"alice sha256:{'0' * 64} roles=infer")
        with rwkvd(f"--auth_tokens={tokens}",
                   f"--usage_log={folder.name}/usage") as server:
            text = exposition(server) + exposition(self.server)
        there = set(re.findall(r"^# TYPE (\w+)", text.decode(), re.MULTILINE))
        for path in ("deploy/grafana/rwkvd.json",
                     "deploy/kubernetes/autoscaler/horizontal-pod-autoscaler.yaml",
                     "deploy/prometheus/alerts.yaml",
                     "docs/observability.md"):
            with open(path) as file:
                asked = set(re.findall(r"\b(?:rwkv|gen_ai|grpc_server)_\w+",
                                       file.read()))
            asked = {re.sub("_(bucket|sum|count)$", "", name)
                     for name in asked}
            self.assertNotEqual(asked, set(), path)
            self.assertEqual(asked - there, set(), path)

    def test_prometheus_scrapes_with_tls_and_a_token(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authority = Authority(folder.name)
        cert, key = authority.issue("server")
        token = os.path.join(folder.name, "token")
        with open(token, "w") as file:
            file.write("0123456789abcdef\n")
        with open(authority.cert, "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        with rwkvd(f"--tls_cert={cert}", f"--tls_key={key}", "--metrics_tls",
                   f"--metrics_token_file={token}",
                   credentials=credentials) as server:
            prometheus = Prometheus(
                server.metrics_address, "    scheme: https\n"
                f"    tls_config: {{ca_file: {authority.cert}}}\n"
                f"    authorization: {{credentials_file: {token}}}\n")
            self.addCleanup(prometheus.close)
            left = "rwkv_tls_certificate_left_seconds"
            wait_until(lambda: prometheus.value(left) is not None, left)
            self.assertGreater(prometheus.value(left), 29 * 86400)
            self.assertEqual(prometheus.value('up{job="rwkvd"}'), 1)

    def test_series_are_scraped_by_prometheus(self):
        prometheus = Prometheus(self.server.metrics_address)
        self.addCleanup(prometheus.close)
        method = 'grpc_method="rwkv.v1.RwkvService/{}"'.format
        expected = {
            'up{job="rwkvd"}': 1,
            "gen_ai_server_time_to_first_token_seconds_count{"
            'gen_ai_request_model="demo",gen_ai_provider_name="rwkvd",'
            'gen_ai_operation_name="text_completion"}': 3,
            "gen_ai_server_time_per_output_token_seconds_count": 3,
            "gen_ai_server_request_duration_seconds_count{"
            'gen_ai_operation_name="score"}': 1,
            'gen_ai_server_time_to_first_token_seconds_bucket{le="+Inf"}': 3,
            f'grpc_server_call_started_total{{{method("Generate")}}}': 4,
            f'grpc_server_call_duration_seconds_count{{{method("Generate")},'
            'grpc_status="OK"}': 3,
            f'grpc_server_call_duration_seconds_count{{{method("Generate")},'
            'grpc_status="INVALID_ARGUMENT"}': 1,
            f'grpc_server_call_duration_seconds_count{{{method("Tokenize")},'
            'grpc_status="OK"}': 1,
            "rwkv_queue_depth": 0,
            "rwkv_requests_running": 0,
            "rwkv_generation_tokens_total": 60,
            'rwkv_request_success_total{finish_reason="length"}': 3,
            'rwkv_request_success_total{finish_reason="scored"}': 1,
            'rwkv_requests_rejected_total{reason="queue_full"}': 0,
            "rwkv_requests_cancelled_total": 0,
            "rwkv_request_queue_seconds_count": 4,
            "rwkv_prefill_seconds_count": 4,
            "rwkv_inter_token_latency_seconds_count": 57,
            'rwkv_model_info{model="demo",architecture="rwkv4"}': 1,
            "rwkv_load_progress_ratio": 1,
        }
        for expression, value in expected.items():
            wait_until(lambda: prometheus.value(expression) is not None,
                       expression)
            self.assertEqual(prometheus.value(expression), value, expression)
        for expression in ("rwkv_step_seconds_count",
                           "rwkv_batch_size_sum", "rwkv_batch_tokens_sum",
                           "rwkv_prompt_tokens_total", "rwkv_threads",
                           "rwkv_state_cache_queries_total"):
            self.assertGreater(prometheus.value(expression), 0, expression)


if __name__ == "__main__":
    unittest.main()
