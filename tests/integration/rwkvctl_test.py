# SPDX-License-Identifier: Apache-2.0
"""The real rwkvctl with a real rwkvd."""

import json
import math
import os
import signal
import subprocess
import tempfile
import unittest

from checkpoints import write_endless_model
from metrics import gauge
from rwkvd_process import PATIENCE, RWKVCTL, rwkvd, wait_until


class RwkvctlTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        manager = rwkvd()
        cls.server = manager.__enter__()
        cls.addClassCleanup(manager.__exit__, None, None, None)

    def run_ctl(self, command, *words, standard_input=b"", code=0,
                address=None):
        if address is None:
            address = self.server.address
        result = subprocess.run(
            [RWKVCTL, command, f"--server={address}", *words],
            input=standard_input, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout, result.stderr.decode()

    def test_generates_text(self):
        words = ("--max_tokens=20", "--temperature=0", "--stats")
        text, stats = self.run_ctl("generate", *words, "In the beginning")
        self.assertGreater(len(text), 20)
        self.assertIn("generated 20", stats)
        again, _ = self.run_ctl("generate", *words, "-",
                                standard_input=b"In the beginning")
        self.assertEqual(again, text)
        echoed, _ = self.run_ctl("generate", *words, "--echo",
                                 "In the beginning")
        self.assertEqual(echoed, b"In the beginning" + text)

    def test_every_field_of_the_request_has_a_flag(self):
        text, _ = self.run_ctl(
            "generate", "--max_tokens=50", "--temperature=0.9", "--top_k=40",
            "--top_p=0.8", "--presence_penalty=0.1", "--frequency_penalty=0.2",
            "--penalty_decay=0.99", "--preset=smolrsrwkv", "--min_p=0.001",
            "--typical_p=0.99", "--tail_free_z=0.99",
            "--order=temperature_first", "--penalty_window=100",
            "--repetition_penalty=1.1", "--repetition_window=32",
            "--penalty_scope=prompt_and_output", "--exempt_blanks_and_digits=true",
            "--logit_bias=40:0.5,41:-1", "--banned_tokens=50,51",
            "--forced_tokens=60", "--never_end=true",
            "--top_drawn_logprobs=2",
            "--drawn_logprobs", "--seed=42", r"--stop=\x2c,xyzzy\n",
            "--stop_tokens=3,4", "--top_logprobs=2", "--logprobs",
            "--prompt_is_tokens", "--json", "10,20,30")
        events = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(events[-1]["finish"]["seed"], "42")
        self.assertEqual(events[-1]["finish"]["usage"]["prompt_tokens"], "3")
        token = events[0]["delta"]["tokens"][0]
        self.assertEqual(len(token["top_logprobs"]), 2)
        self.assertEqual(token["id"], 60)
        self.assertEqual([top["id"] for top in token["top_drawn_logprobs"]],
                         [60])

    def test_mirostat_and_allowed_tokens_have_flags(self):
        text, _ = self.run_ctl(
            "generate", "--max_tokens=20", "--mirostat=1", "--mirostat_tau=3",
            "--mirostat_eta=0.2", "--allowed_tokens=100,101", "--json", "x")
        events = [json.loads(line) for line in text.splitlines()]
        ids = [token["id"] for event in events if "delta" in event
               for token in event["delta"]["tokens"]]
        self.assertEqual(len(ids), 20)
        self.assertLessEqual(set(ids), {100, 101})
        _, error = self.run_ctl("generate", "--mirostat=2", "--top_k=3", "x",
                                code=1)
        self.assertIn("INVALID_ARGUMENT: sampling.mirostat", error)

    def test_invalid_flag_value_is_refused(self):
        for word in ("--preset=best", "--order=random", "--banned_tokens=1,x",
                     "--logit_bias=1"):
            _, error = self.run_ctl("generate", word, "x", code=2)
            self.assertIn(word.split("=", maxsplit=1)[0][2:], error)
        _, error = self.run_ctl("generate", "--preset=best", "x", code=2)
        self.assertEqual(error, 'rwkvctl: --preset: cannot read "best": '
                         "expected one of rwkv, rwkv_chat, smolrsrwkv\n")
        result = subprocess.run([RWKVCTL, "modle"], stderr=subprocess.PIPE,
                                timeout=PATIENCE, check=False)
        self.assertIn(b"did you mean model?", result.stderr)

    def test_error_of_a_wrong_state_file_names_the_file(self):
        _, error = self.run_ctl("generate", f"--load_state={__file__}", "x",
                                code=1)
        self.assertTrue(error.startswith(
            f"rwkvctl: INVALID_ARGUMENT: {__file__}: data: "), error)

    def test_error_of_the_server_is_one_line(self):
        _, error = self.run_ctl("generate", "--temperature=nan", "x", code=1)
        self.assertTrue(error.startswith(
            "rwkvctl: INVALID_ARGUMENT: sampling.temperature"), error)
        self.assertTrue(error.endswith(" (FIELD_INVALID)\n"), error)
        self.assertEqual(error.count("\n"), 1)

    def test_refused_request_prints_no_answer(self):
        text, _ = self.run_ctl("generate", "--top_p=2", "x", code=1)
        self.assertEqual(text, b"")

    def test_answer_that_cannot_be_printed_is_a_failure(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [RWKVCTL, "model", f"--server={self.server.address}"],
                stdout=full, stderr=subprocess.PIPE, text=True,
                timeout=PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stderr), (
            1, "rwkvctl: cannot write to standard output\n"))

    def test_boolean_flag_does_not_consume_the_prompt(self):
        text, _ = self.run_ctl("generate", "--max_tokens=2", "--never_end",
                               "--echo", "In the beginning")
        self.assertTrue(text.startswith(b"In the beginning"), text)

    def test_path_for_the_state_is_checked_first(self):
        text, error = self.run_ctl("generate", "--save_state=/nowhere/x", "x",
                                   code=2)
        self.assertEqual(text, b"")
        self.assertIn("--save_state: cannot write to /nowhere/", error)

    def test_empty_text_has_no_perplexity(self):
        _, error = self.run_ctl("perplexity", "-", code=2)
        self.assertIn("the text is empty", error)
        _, error = self.run_ctl("perplexity", "/", code=2)
        self.assertIn("/: cannot be read", error)

    def test_deadline_error_names_the_server(self):
        _, error = self.run_ctl("generate", "--timeout=1us", "x", code=1)
        self.assertEqual(error, "rwkvctl: DEADLINE_EXCEEDED: no response from "
                         f"{self.server.address} before the deadline\n")

    def test_wrong_address_is_named(self):
        for address in ("", "localhost", ":50051", "host:"):
            _, error = self.run_ctl("model", code=2, address=address)
            self.assertIn("neither host:port nor unix:path", error)
        with tempfile.TemporaryDirectory() as folder:
            for command in (["model"], ["generate", "x"], ["bench"]):
                _, error = self.run_ctl(*command, code=1,
                                        address=f"unix:{folder}/absent")
                self.assertIn(f"no server at unix:{folder}/absent", error)
                self.assertEqual(error.count("\n"), 1)

    def test_tokenizes_and_detokenizes(self):
        data = bytes(range(256))
        ids, _ = self.run_ctl("tokenize", "-", standard_input=data)
        back, _ = self.run_ctl("detokenize", "-", standard_input=ids)
        self.assertEqual(back, data)

    def test_scores(self):
        text, _ = self.run_ctl("score", "In the", " beginning", " xq")
        rows = [line.split("\t") for line in text.decode().splitlines()]
        self.assertEqual([row[3] for row in rows], [" beginning", " xq"])
        self.assertGreater(float(rows[0][0]), float(rows[1][0]))

    def test_perplexity_equals_that_of_the_scores(self):
        text = b"In the beginning God created the heaven and the earth.\n" * 3
        total, _ = self.run_ctl("perplexity", "-", "--json",
                                standard_input=text)
        total = json.loads(total)
        self.assertEqual(total["byte_count"], str(len(text)))
        scores, _ = self.run_ctl("score", "--json", "", text.decode())
        score = json.loads(scores)["scores"][0]
        self.assertEqual(total["token_count"], score["token_count"])
        self.assertAlmostEqual(total["logprob_sum"], score["logprob_sum"])
        output, _ = self.run_ctl("perplexity", "-", standard_input=text)
        perplexity = math.exp(
            -total["logprob_sum"] / int(total["token_count"]))
        self.assertIn(f"perplexity {perplexity:.4f},", output.decode())

    def test_pins_lists_and_unpins(self):
        self.assertEqual(self.run_ctl("pins"), (b"", ""))
        self.run_ctl("generate", "--max_tokens=0", "--pin=rules",
                     "--pin_ttl=1h", "Be brief, and be kind.")
        listed, _ = self.run_ctl("pins", "--json")
        (prefix,) = json.loads(listed)["prefixes"]
        self.assertEqual(prefix["name"], "rules")
        self.assertLessEqual(prefix["expires_in_seconds"], 3600)
        output, _ = self.run_ctl("pins")
        self.assertTrue(output.startswith(b"rules\t"), output)
        self.run_ctl("pins", "--unpin=rules")
        self.assertEqual(self.run_ctl("pins")[0], b"")
        _, error = self.run_ctl("pins", "--unpin=rules", code=1)
        self.assertIn("NOT_FOUND", error)

    def test_prints_the_logprob_of_the_prompt(self):
        text, _ = self.run_ctl("generate", "--json", "--max_tokens=1",
                               "--prompt_logprobs", "--top_prompt_logprobs=2",
                               "In the beginning")
        tokens = [token for line in text.splitlines() for token in
                  json.loads(line).get("delta", {}).get("prompt_tokens", [])]
        self.assertGreater(len(tokens), 1)
        self.assertLess(tokens[1]["logprob"], 0)
        self.assertEqual(len(tokens[1]["top_logprobs"]), 2)

    def test_prints_the_model(self):
        text, _ = self.run_ctl("model", "--json")
        model = json.loads(text)
        self.assertEqual(model["name"], "demo")
        table, _ = self.run_ctl("model")
        rows = dict(line.split(maxsplit=1)
                    for line in table.decode().splitlines())
        self.assertEqual(set(rows), set(model))
        for name, value in model.items():
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            self.assertEqual(rows[name], shown or "-")

    def test_prints_the_health(self):
        self.assertEqual(self.run_ctl("health")[0], b"SERVING\n")
        self.assertEqual(self.run_ctl("health", "--wait=30s",
                                      "--service=rwkv.v1.RwkvService")[0],
                         b"SERVING\n")

    def test_wait_for_an_absent_server_times_out(self):
        with tempfile.TemporaryDirectory() as folder:
            _, error = self.run_ctl("health", "--wait=200ms", code=1,
                                    address=f"unix:{folder}/absent")
        self.assertIn("DEADLINE_EXCEEDED", error)

    def test_waits_for_a_server_that_starts_later(self):
        with tempfile.TemporaryDirectory() as folder:
            socket = f"unix:{folder}/socket"
            waiting = subprocess.Popen(
                [RWKVCTL, "health", f"--server={socket}", "--wait=60s"],
                stdout=subprocess.PIPE)
            with rwkvd(f"--listen={socket}"):
                output, _ = waiting.communicate(timeout=PATIENCE)
        self.assertEqual((waiting.returncode, output), (0, b"SERVING\n"))

    def test_ctrl_c_ends_the_request(self):
        with tempfile.TemporaryDirectory() as folder, \
                rwkvd(model=write_endless_model(folder)) as server:
            process = subprocess.Popen(
                [RWKVCTL, "generate", f"--server={server.address}",
                 "--max_tokens=1000000", "x"], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
            os.read(process.stdout.fileno(), 1)  # the first of the answer
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=PATIENCE)
            self.assertEqual((process.returncode, error), (130, b""))
            wait_until(lambda: gauge(server, "rwkv_requests_cancelled_total"),
                       "the server to hear of it")
            self.assertEqual(gauge(server, "rwkv_requests_running"), 0)

    def test_bench_reports_as_text_and_json(self):
        words = ("--requests=12", "--concurrency=3", "--prompt_tokens=5:9",
                 "--output_tokens=4", "--temperature=0")
        text, _ = self.run_ctl("bench", *words)
        self.assertIn("12 succeeded, 0 failed", text.decode())
        self.assertIn("time to first token", text.decode())
        text, _ = self.run_ctl("bench", *words, "--rate=500", "--json",
                               "--workload_seed=2")
        report = json.loads(text)
        self.assertEqual(report["requests"], {
            "total": 12, "succeeded": 12, "failed": 0, "cut_short": 0})
        self.assertLessEqual(report["tokens"]["generated"], 48)
        ttft = report["latency_seconds"]["time_to_first_token"]
        self.assertEqual(ttft["count"], 12)
        self.assertLessEqual(ttft["p50"], ttft["p99"])

    def test_bench_with_failures_fails_after_its_report(self):
        text, _ = self.run_ctl("bench", "--requests=2", "--json",
                               "--temperature=nan", code=1)
        report = json.loads(text)
        self.assertEqual(report["failures"]["INVALID_ARGUMENT"]["count"], 2)

    def test_ctrl_c_ends_a_bench_with_its_report(self):
        before = gauge(self.server, "rwkv_generation_tokens_total")
        process = subprocess.Popen(
            [RWKVCTL, "bench", f"--server={self.server.address}",
             "--duration=1h", "--json"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        wait_until(lambda: gauge(self.server, "rwkv_generation_tokens_total") >
                   before, "the bench to be under way")
        process.send_signal(signal.SIGINT)
        text, error = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, error), (130, b""))
        report = json.loads(text)
        self.assertGreater(report["requests"]["total"], 0)
        self.assertEqual(report["requests"]["failed"], 0)

    def test_usage_errors_are_one_line_and_code_2(self):
        for words in (["generate", "--max_token=3"], ["sing"], ["help", "sing"],
                      ["--json", "model"], [""],
                      ["tokenize"], ["score", "only context"],
                      ["detokenize", "1,x"], ["model", "extra"],
                      ["perplexity", "/nowhere/book.txt"],
                      ["generate", "two", "prompts"], ["model", "--seed=1"],
                      ["bench", "--prompt_tokens=9:3"],
                      ["bench", "--concurrency=0"]):
            result = subprocess.run([RWKVCTL, *words], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True,
                                    timeout=PATIENCE, check=False)
            self.assertEqual(result.returncode, 2, words)
            self.assertTrue(result.stderr.startswith("rwkvctl: "))
            self.assertEqual(result.stderr.count("\n"), 1)

    def test_help_lists_commands_and_flags(self):
        def help_of(*words):
            return subprocess.run([RWKVCTL, *words, "--help"], check=True,
                                  stdout=subprocess.PIPE, text=True,
                                  timeout=PATIENCE).stdout
        self.assertIn("rwkvctl detokenize", help_of())
        for command in ("generate", "chat", "tokenize", "detokenize", "score",
                        "perplexity", "model", "pins", "health", "bench"):
            self.assertIn(f"rwkvctl {command}", help_of())
            text = help_of(command)
            for part in ("Examples:\n  ", f"rwkvctl {command}", "Exit codes:",
                         "--json"):
                self.assertIn(part, text)
            asked = subprocess.run([RWKVCTL, "help", command], check=True,
                                   stdout=subprocess.PIPE, text=True,
                                   timeout=PATIENCE).stdout
            self.assertEqual(asked, text)
        self.assertNotIn("\nFlags:\n", help_of("tokenize"))
        self.assertIn("\nFlags:\n", help_of("generate"))
        self.assertIn("--top_p", help_of("generate"))
        self.assertIn("--server", help_of("generate"))
        self.assertNotIn("--top_p", help_of("health"))


if __name__ == "__main__":
    unittest.main()
