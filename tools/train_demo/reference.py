"""RWKV-4 by its definition: one token at a time, numpy, float32.

Shares nothing with the training code but the files: it reads the exported
weights itself. All vectors carry a leading dimension of rows: independent
sequences that advance together.
"""
import json
import pathlib

import numpy as np


def load(model_dir):
    """Reads an index and its bf16 shards. Returns {name: float32 array}."""
    model_dir, weights = pathlib.Path(model_dir), {}
    index = json.loads((model_dir / "model.safetensors.index.json").read_text())
    for shard in sorted(set(index["weight_map"].values())):
        raw = (model_dir / shard).read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        for name, info in json.loads(raw[8:start]).items():
            if name == "__metadata__":
                continue
            begin, end = info["data_offsets"]
            bits = np.frombuffer(raw[start + begin:start + end], "<u2")
            weights[name] = (bits.astype(np.uint32) << 16).view(np.float32) \
                .reshape(info["shape"]).squeeze()
    return weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Model:
    """The forward pass. Immutable after construction."""

    def __init__(self, weights):
        self.w = weights
        self.channels = weights["emb.weight"].shape[1]
        self.layers = 1 + max(int(n.split(".")[1]) for n in weights
                              if n.startswith("blocks."))

    def first_state(self, rows):
        """[layers, 5, rows, C]: ffn_x, att_x, aa, bb, pp (pp starts at -1e30)."""
        state = np.zeros((self.layers, 5, rows, self.channels), np.float32)
        state[:, 4] = -1e30
        return state

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5))
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def mixed(self, x, before, name):
        """The matrix `name` applied to x mixed with the token before."""
        layer, letter = name.rsplit(".", 1)
        m = self.w[f"{layer}.time_mix_{letter[0]}"]
        return (x * m + before * (1 - m)) @ self.w[name + ".weight"].T

    def attention(self, x, s, name):
        r = sigmoid(self.mixed(x, s[1], name + "receptance"))
        k, v = (self.mixed(x, s[1], name + n) for n in ("key", "value"))
        s[1] = x
        ww = self.w[name + "time_first"] + k
        q = np.maximum(s[4], ww)
        e1, e2 = np.exp(s[4] - q), np.exp(ww - q)
        wkv = (e1 * s[2] + e2 * v) / (e1 * s[3] + e2)
        ww = s[4] - np.exp(self.w[name + "time_decay"])
        q = np.maximum(ww, k)
        e1, e2 = np.exp(ww - q), np.exp(k - q)
        s[2], s[3], s[4] = e1 * s[2] + e2 * v, e1 * s[3] + e2, q
        return (r * wkv) @ self.w[name + "output.weight"].T

    def feed_forward(self, x, s, name):
        r = sigmoid(self.mixed(x, s[0], name + "receptance"))
        k = np.square(np.maximum(self.mixed(x, s[0], name + "key"), 0))
        s[0] = x
        return r * (k @ self.w[name + "value.weight"].T)

    def step(self, ids, state):
        """ids: [rows]. Advances state in place; returns logits [rows, vocab]."""
        x = self.norm(self.w["emb.weight"][ids], "blocks.0.ln0")
        for i in range(self.layers):
            b = f"blocks.{i}."
            x = x + self.attention(self.norm(x, b + "ln1"), state[i], b + "att.")
            x = x + self.feed_forward(self.norm(x, b + "ln2"), state[i], b + "ffn.")
        return self.norm(x, "ln_out") @ self.w["head.weight"].T
