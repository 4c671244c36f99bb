#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file of RWKV-7 with random weights, for timings only.

    tests/bench/random_gguf.py SHAPE TYPE FILE      such as rwkv7-0.4B Q4_K q4_k.gguf

All large matrices have the given type; the low-rank matrices are F32 and F16,
as in files of llama-quantize. Both rwkvd and llama.cpp load the file. Needs
the packages gguf and numpy.
"""

import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES

# Layers, width, hidden units, ranks of w, a, v and g, as in compare.md.
SHAPES = {
    "rwkv7-0.1B": (12, 768, 3072, (64, 64, 32, 128)),
    "rwkv7-0.4B": (24, 1024, 4096, (64, 64, 32, 128)),
    "rwkv7-1.5B": (24, 2048, 8192, (96, 96, 64, 256)),
}
VOCABULARY = 65536

# The bytes of a block at which its f16 scale is, and its f16 minimum if any;
# the size of a typical weight divided by the scale.
FIELDS = {
    "Q8_0": (0, None, 73), "Q4_0": (0, None, 4.6), "Q4_1": (0, 2, 4.6), "Q5_0": (0, None, 9.2),
    "Q5_1": (0, 2, 9.2), "Q2_K": (80, 82, 9), "Q3_K": (108, None, 42), "Q4_K": (0, 2, 150),
    "Q5_K": (0, 2, 300), "Q6_K": (208, None, 1300), "IQ4_NL": (0, None, 65), "IQ4_XS": (0, None, 1100),
}

random = np.random.default_rng(1)


def floats(*shape, size):
    return random.uniform(-size, size, shape)


def blocks(kind, rows, cols):
    """Random blocks whose numbers are about as large as those of trained weights."""
    block_cols, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    data = random.integers(0, 256, (rows * cols // block_cols, block_bytes), dtype=np.uint8)
    scale_at, minimum_at, typical = FIELDS[kind]
    for at in (scale_at, minimum_at):
        if at is not None:
            scales = floats(len(data), size=1.7 / np.sqrt(cols) / typical).astype(np.float16)
            data[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return data.reshape(rows, cols // block_cols * block_bytes)


def write_settings(writer, layers, width, hidden, ranks):
    writer.add_context_length(1048576)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(64)
    for name, rank in zip(("decay", "iclr", "value_residual_mix", "gate"), ranks):
        writer.add_uint32(f"rwkv7.attention.{name}_lora_rank", rank)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(0)
    writer.add_tokenizer_model("rwkv")
    words = [b"<s>"] + [b"\\x%02x" % i for i in range(256)]
    words += [b"[PAD%d]" % i for i in range(len(words), VOCABULARY)]
    writer.add_token_list(words)
    writer.add_token_types([3] + [1] * 256 + [5] * (VOCABULARY - 257))
    writer.add_eot_token_id(11)


def write_layer(writer, layer, kind, width, hidden, ranks):
    def vector(name, *shape, size=0.5, mean=0.0):
        writer.add_tensor(f"blk.{layer}.{name}", (mean + floats(*shape, size=size)).astype(np.float32))

    def matrix(name, rows, cols):
        writer.add_tensor(f"blk.{layer}.{name}.weight", blocks(kind, rows, cols),
                          raw_dtype=GGMLQuantizationType[kind])

    def low_rank(letter, rank, dtype):
        for index, shape in (("1", (rank, width)), ("2", (width, rank))):
            values = floats(*shape, size=1 / np.sqrt(shape[1])).astype(dtype)
            writer.add_tensor(f"blk.{layer}.time_mix_{letter}{index}.weight", values)

    for name in ("attn_norm", "attn_norm_2", "time_mix_ln"):
        vector(f"{name}.weight", width, mean=1.0, size=0.1)
        vector(f"{name}.bias", width, size=0.1)
    for letter, rank, dtype in zip("wavg", ranks, (np.float32, np.float16, np.float16, np.float16)):
        low_rank(letter, rank, dtype)
    for name in ("w0", "a0", "v0", "k_k", "k_a", "r_k"):
        vector(f"time_mix_{name}.weight", width)
    vector("time_mix_lerp_fused.weight", 6, 1, 1, width)
    vector("channel_mix_lerp_k.weight", width)
    for name in ("receptance", "key", "value", "output"):
        matrix(f"time_mix_{name}", width, width)
    matrix("channel_mix_key", hidden, width)
    matrix("channel_mix_value", width, hidden)


def main(shape, kind, path):
    layers, width, hidden, ranks = SHAPES[shape]
    writer = GGUFWriter(path, "rwkv7")
    write_settings(writer, layers, width, hidden, ranks)
    dtype = GGMLQuantizationType[kind]
    writer.add_tensor("token_embd.weight", blocks(kind, VOCABULARY, width), raw_dtype=dtype)
    for name in ("token_embd_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(width, np.float32))
    for layer in range(layers):
        # Layer 0 has no value mixing: converters store copies of the rate's.
        own = ranks if layer > 0 else (ranks[0], ranks[1], ranks[1], ranks[3])
        write_layer(writer, layer, kind, width, hidden, own)
    writer.add_tensor("output.weight", blocks(kind, VOCABULARY, width), raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
