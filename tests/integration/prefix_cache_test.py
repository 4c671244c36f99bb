# SPDX-License-Identifier: Apache-2.0
"""The state cache and pinned prompts of a real rwkvd."""

import unittest

import grpc
from answers import generate, request
from metrics import gauge
from rwkv.v1 import rwkv_pb2 as pb
from rwkvd_process import PATIENCE, rwkvd

TEXT = "In the beginning God created the heaven and the earth. " * 40


class PrefixCacheTest(unittest.TestCase):

    def start(self, *flags):
        manager = rwkvd(*flags)
        server = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return server

    def pinned(self, server):
        return server.stub.ListPinnedPrefixes(
            pb.ListPinnedPrefixesRequest(), timeout=PATIENCE).prefixes

    def cached(self, server, text, **fields):
        answer = generate(server.stub, request(text, 3, **fields))
        return answer.finish.usage.cached_tokens

    def assert_fails(self, code, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code)
        return caught.exception.details()

    def test_prompts_share_a_common_prefix_bit_for_bit(self):
        server = self.start("--state_cache_interval=64")
        bare = self.start("--state_cache_mib=0")
        whole = request(TEXT + "And it was so.", 20, logprobs=True)
        first = generate(server.stub, request(TEXT + "Let there be", 20))
        second = generate(server.stub, whole)
        third = generate(server.stub, whole)
        alone = generate(bare.stub, whole)
        self.assertEqual(first.finish.usage.cached_tokens, 0)
        self.assertGreater(second.finish.usage.cached_tokens, 64)
        usage = third.finish.usage
        self.assertEqual(usage.cached_tokens, usage.prompt_tokens)
        self.assertEqual(alone.finish.usage.cached_tokens, 0)
        for answer in (second, third):
            self.assertEqual(answer.tokens, alone.tokens)

    def test_request_without_tokens_fills_the_cache(self):
        server = self.start()
        answer = generate(server.stub, request(TEXT, 0))
        self.assertEqual(answer.ids, [])
        self.assertEqual(answer.finish.reason, pb.FINISH_REASON_LENGTH)
        self.assertEqual(self.cached(server, TEXT),
                         answer.finish.usage.prompt_tokens)

    def test_pinned_prompt_stays_until_it_is_unpinned(self):
        server = self.start("--state_cache_mib=1", "--max_pinned_states=1",
                            "--state_cache_interval=0")
        generate(server.stub,
                 request(TEXT, 0, pin=pb.Pin(name="system", ttl_seconds=3600)))
        (prefix,) = self.pinned(server)
        self.assertEqual(prefix.name, "system")
        self.assertGreater(prefix.bytes, 0)
        self.assertGreater(prefix.expires_in_seconds, 3000)
        self.assertEqual(gauge(server, "rwkv_state_cache_pinned"), 1)

        def crowd_out():
            before = gauge(server, "rwkv_state_cache_evictions_total")
            number = 0
            while (gauge(server, "rwkv_state_cache_evictions_total") <
                   before + gauge(server, "rwkv_state_cache_entries") + 1):
                generate(server.stub, request(f"{number} men", 0))
                number += 1

        crowd_out()
        self.assertEqual(self.cached(server, TEXT), prefix.token_count)

        message = self.assert_fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: generate(server.stub,
                             request("x", 0, pin=pb.Pin(name="other"))))
        self.assertIn("1 prefixes are pinned", message)

        unpin = pb.UnpinPrefixRequest(name="system")
        server.stub.UnpinPrefix(unpin, timeout=PATIENCE)
        self.assert_fails(
            grpc.StatusCode.NOT_FOUND,
            lambda: server.stub.UnpinPrefix(unpin, timeout=PATIENCE))
        self.assertEqual(len(self.pinned(server)), 0)
        crowd_out()
        self.assertEqual(self.cached(server, TEXT), 0)


if __name__ == "__main__":
    unittest.main()
