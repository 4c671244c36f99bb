#!/usr/bin/env python3
"""Exports a training checkpoint as bf16 safetensors, two shards and an index."""
import argparse
import json
import os
import pathlib

import numpy as np
import torch

SHARDS = 2


def to_bf16(array):
    """float32 -> the upper 16 bits (uint16), rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def replace(path, data: bytes):
    """Writes data to path atomically."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def safetensors(tensors):
    """The bytes of a safetensors file of {name: float32 array}, stored as bf16."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        raw = to_bf16(array).tobytes()
        header[name] = {"dtype": "BF16", "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def split(tensors):
    """{name: array} -> SHARDS dictionaries of about equal size, order kept."""
    total, so_far = sum(a.size for a in tensors.values()), 0
    shards = [{} for _ in range(SHARDS)]
    for name, array in tensors.items():
        shards[min(so_far * SHARDS // total, SHARDS - 1)][name] = array
        so_far += array.size
    return shards


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=pathlib.Path, default="build/train_demo")
    parser.add_argument("--model-dir", type=pathlib.Path,
                        default=here / "../../models/demo")
    args = parser.parse_args()
    checkpoint = torch.load(args.work_dir / "checkpoint.pt", map_location="cpu")
    tensors = {n: t.numpy() for n, t in checkpoint["model"].items()}
    args.model_dir.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for i, shard in enumerate(split(tensors), start=1):
        name = f"model-{i:05}-of-{SHARDS:05}.safetensors"
        replace(args.model_dir / name, safetensors(shard))
        weight_map.update(dict.fromkeys(shard, name))
    size = 2 * sum(a.size for a in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    replace(args.model_dir / "model.safetensors.index.json",
            (json.dumps(index, indent=1) + "\n").encode())
    print({k: v for k, v in checkpoint.items() if k != "model"},
          f"{len(tensors)} tensors, {size} bytes")


if __name__ == "__main__":
    main()
