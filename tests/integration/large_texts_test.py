# SPDX-License-Identifier: Apache-2.0
"""Large texts, which take long to tokenize, do not delay other clients."""

import time
import unittest

import grpc
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, SERVICE, rwkvd

NUM_TEXTS = 8
TEXT = "lorem ipsum dolor " * (15 * 2**20 // 18)

# A health check takes milliseconds, but the machine may be busy. The texts take
# longer together.
LONGEST_CHECK = 5

# Refused, but only after the text has been tokenized.
REQUEST = pb.GenerateRequest(prompt=pb.Input(text=TEXT), max_tokens=-1)


class LargeTextsTest(unittest.TestCase):

    def test_health_and_small_requests_do_not_wait(self):
        with rwkvd(f"--max_prompt_tokens={1 << 24}") as server:
            calls = [
                server.stub.Generate(REQUEST, timeout=2 * PATIENCE)
                for _ in range(NUM_TEXTS)
            ]
            while not all(call.done() for call in calls):
                begin = time.monotonic()
                server.health.check(SERVICE)
                server.stub.Tokenize(pb.TokenizeRequest(text="small"),
                                     timeout=PATIENCE)
                self.assertLess(time.monotonic() - begin, LONGEST_CHECK)
                time.sleep(0.02)
            for call in calls:
                # The latter if all texts together take too much memory.
                self.assertIn(call.code(), (grpc.StatusCode.INVALID_ARGUMENT,
                                            grpc.StatusCode.RESOURCE_EXHAUSTED))
            self.assertIn(grpc.StatusCode.INVALID_ARGUMENT,
                          [call.code() for call in calls])
            self.assertEqual(
                gauge(server, 'rwkv_work_queue_depth{lane="large"}'), 0)

    def test_text_with_too_many_tokens_is_refused_with_its_limit(self):
        with rwkvd("--max_prompt_tokens=1000") as server:
            call = server.stub.Generate(REQUEST, timeout=PATIENCE)
            self.assertEqual(call.code(), grpc.StatusCode.INVALID_ARGUMENT)
            self.assertEqual(
                call.details(),
                "prompt: has more than 1000 tokens, must have 0 to 1000")


if __name__ == "__main__":
    unittest.main()
