# SPDX-License-Identifier: Apache-2.0
"""Reads and writes safetensors files, valid and invalid ones, and runs
write_checkpoints."""

import json
import os
import struct
import subprocess
import tempfile

WRITER = os.environ.get("RWKVD_CHECKPOINT_WRITER",
                        "tests/integration/write_checkpoints")


def read_model(folder):
    """{name: (dtype, shape, bytes)} over all shards."""
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            header, data = json.loads(file.read(size)), file.read()
        for key, value in header.items():
            if key != "__metadata__":
                begin, end = value["data_offsets"]
                tensors[key] = (value["dtype"], value["shape"],
                                data[begin:end])
    return tensors


def file_bytes(tensors, change_header=lambda header: None):
    """The bytes of a file, whose header `change_header` may modify."""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    change_header(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def zeros(*shape):
    count = 1
    for size in shape:
        count *= size
    return ("F32", list(shape), bytes(4 * count))


def endless_rwkv4(layers=4, width=256, vocab=256):
    """A model of zeros, by default with byte tokens: all tokens always have the
    same probability, and none of the bytes ends a text."""
    tensors = {"emb.weight": zeros(vocab, width), "head.weight":
               zeros(vocab, width), "ln_out.weight": zeros(width),
               "ln_out.bias": zeros(width), "blocks.0.ln0.weight":
               zeros(width), "blocks.0.ln0.bias": zeros(width)}
    for layer in range(layers):
        block = f"blocks.{layer}."
        for name in ("ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias",
                     "att.time_decay", "att.time_first"):
            tensors[block + name] = zeros(width)
        for name in ("att.time_mix_k", "att.time_mix_v", "att.time_mix_r",
                     "ffn.time_mix_k", "ffn.time_mix_r"):
            tensors[block + name] = zeros(1, 1, width)
        for name in ("att.key", "att.value", "att.receptance", "att.output",
                     "ffn.receptance"):
            tensors[block + name + ".weight"] = zeros(width, width)
        tensors[block + "ffn.key.weight"] = zeros(4 * width, width)
        tensors[block + "ffn.value.weight"] = zeros(width, 4 * width)
    return tensors


def write_endless_model(folder):
    """Writes endless_rwkv4 and returns its path. Its tokenizer, "bytes", needs
    no file."""
    path = os.path.join(folder, "endless.safetensors")
    with open(path, "wb") as file:
        file.write(file_bytes(endless_rwkv4()))
    return path


def written_checkpoints():
    """{version: [(format, path)]} of small random models, and the temporary
    folder that contains them. See write_checkpoints.cc."""
    folder = tempfile.TemporaryDirectory()
    lines = subprocess.run([WRITER, folder.name], check=True, text=True,
                           stdout=subprocess.PIPE).stdout.splitlines()
    checkpoints = {}
    for line in lines:
        version, name, path = line.split(" ", 2)
        checkpoints.setdefault(version, []).append((name, path))
    return checkpoints, folder
