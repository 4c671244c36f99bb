#!/usr/bin/env python3
"""Bits per byte of the exported model on held-out text, and sample texts."""
import argparse
import pathlib

import numpy as np

import reference
import world_vocab

SOURCES = ("sotu", "moby", "kjv")
PROMPTS = ("The President of the United States", "My fellow Americans,",
           "In the beginning God created", "And the king said unto",
           "Call me Ishmael.", "Captain Ahab stood upon the deck")


def bits(model, documents):
    """Total bits of the documents (lists of ids), each read after a token 0.

    Every document is a row; rows leave as they end, the longest stays to last.
    """
    documents = sorted(documents, key=len, reverse=True)
    state, total = model.first_state(len(documents)), 0.0
    last = np.zeros(len(documents), np.int64)
    for t in range(len(documents[0])):
        rows = sum(len(d) > t for d in documents)
        state = state[:, :, :rows].copy() if rows < state.shape[2] else state
        logits = model.step(last[:rows], state).astype(np.float64)
        last = np.array([d[t] for d in documents[:rows]])
        top = logits.max(1)
        log_sum = top + np.log(np.exp(logits - top[:, None]).sum(1))
        total += (log_sum - logits[np.arange(rows), last]).sum() / np.log(2)
    return total


def sample(model, ids, count, temperature, top_p, rng):
    """Continues ids by up to `count` tokens: top-p, then temperature."""
    state, out = model.first_state(1), []
    for i in ids[:-1]:
        model.step([i], state)
    last = ids[-1]
    while len(out) < count:
        logits = model.step([last], state)[0].astype(np.float64)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        order = np.argsort(-p)
        keep = order[:1 + np.searchsorted(np.cumsum(p[order]), top_p)]
        q = p[keep] ** (1 / temperature)
        last = int(rng.choice(keep, p=q / q.sum()))
        if last == 0:
            break
        out.append(last)
    return out


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=pathlib.Path, default="build/train_demo")
    parser.add_argument("--model-dir", type=pathlib.Path,
                        default=here / "../../models/demo")
    parser.add_argument("--part", default="heldout", choices=("heldout", "train"))
    parser.add_argument("--limit", type=int, default=10**9,
                        help="tokens of each document to read (for a quick look)")
    parser.add_argument("--samples", type=int, default=1, help="texts per prompt")
    parser.add_argument("--tokens", type=int, default=120, help="tokens per text")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=0.9)
    args = parser.parse_args()
    model = reference.Model(reference.load(args.model_dir))
    tokens = world_vocab.read(args.model_dir / "rwkv_vocab_demo.txt")
    encoder = world_vocab.Encoder(tokens)
    sum_bits = sum_bytes = 0
    for source in SOURCES:
        text = (args.work_dir / f"{args.part}.{source}.txt").read_bytes()
        documents = [encoder.encode(d)[:args.limit] for d in text.split(b"\0")]
        size = sum(len(tokens[i]) for d in documents for i in d)
        b = bits(model, documents)
        sum_bits, sum_bytes = sum_bits + b, sum_bytes + size
        print(f"{source}: {b / size:.4f} bits per byte ({len(documents)} documents, "
              f"{size} bytes, {sum(map(len, documents))} tokens)", flush=True)
    print(f"all: {sum_bits / sum_bytes:.4f} bits per byte ({sum_bytes} bytes)")
    rng = np.random.default_rng(0)
    for prompt in PROMPTS:
        for _ in range(args.samples):
            ids = sample(model, encoder.encode(prompt.encode()), args.tokens,
                         args.temperature, args.top_p, rng)
            text = b"".join(tokens[i] for i in ids).decode("utf-8", "replace")
            print(f"\n**{prompt}**{text}")


if __name__ == "__main__":
    main()
