#!/usr/bin/env python3
"""Trains the vocabulary of the demo model (byte-pair encoding, pure Python).

Ids 1..256 are the single bytes, the rest multi-byte tokens of the training
text, up to 2048 ids with id 0 (end of text). Also encodes the texts, greedily,
into WORK_DIR/{train,heldout}.{source}.npy (uint16; every document is followed
by a 0).
"""
import argparse
import collections
import pathlib
import re

import numpy as np

import world_vocab

VOCAB_SIZE = 2048
SOURCES = ("sotu", "moby", "kjv")
# Tokens never cross these pieces: words with the space before them, single
# digits, runs of punctuation, white space.
PIECE = re.compile(r" ?[A-Za-z]+| ?'[a-z]+| ?[0-9]| ?[^\sA-Za-z0-9]+|\s")


def train_bpe(text: str, count: int):
    """Returns `count` distinct multi-byte tokens in the order of merging."""
    pieces = collections.Counter(PIECE.findall(text))
    words = [[bytes([b]) for b in p.encode("utf-8")] for p in pieces]
    weight = list(pieces.values())
    pair_count, pair_words = collections.Counter(), collections.defaultdict(set)
    for w, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pair_count[pair] += weight[w]
            pair_words[pair].add(w)
    tokens = {}
    while len(tokens) < count:
        best = max(pair_count, key=lambda p: (pair_count[p], p))
        tokens[best[0] + best[1]] = None
        for w in pair_words.pop(best):
            old = words[w]
            for pair in zip(old, old[1:]):
                pair_count[pair] -= weight[w]
            new = merge(old, best)
            for pair in zip(new, new[1:]):
                pair_count[pair] += weight[w]
                pair_words[pair].add(w)
            words[w] = new
        del pair_count[best]
    return list(tokens)


def merge(word, pair):
    """word (list of bytes) with each occurrence of pair joined."""
    out = []
    for symbol in word:
        if out and out[-1] == pair[0] and symbol == pair[1]:
            out[-1] = pair[0] + pair[1]
        else:
            out.append(symbol)
    return out


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=pathlib.Path, default="build/train_demo")
    parser.add_argument("--vocab", type=pathlib.Path,
                        default=here / "../../models/demo/rwkv_vocab_demo.txt")
    parser.add_argument("--keep-vocab", action="store_true",
                        help="encode with the vocabulary that exists")
    args = parser.parse_args()

    def read(part, source):
        return (args.work_dir / f"{part}.{source}.txt").read_bytes()

    if not args.keep_vocab:
        text = b"\n".join(read("train", s) for s in SOURCES).decode("utf-8")
        singles = [bytes([b]) for b in range(256)]
        merged = train_bpe(text.replace("\0", "\n"), VOCAB_SIZE - 1 - len(singles))
        args.vocab.parent.mkdir(parents=True, exist_ok=True)
        merged.sort(key=lambda token: (len(token), token))
        world_vocab.write(args.vocab, singles + merged)
    tokens = world_vocab.read(args.vocab)
    encoder = world_vocab.Encoder(tokens)
    for part in ("train", "heldout"):
        for source in SOURCES:
            ids, size = [], 0
            for document in read(part, source).split(b"\0"):
                ids += encoder.encode(document) + [0]
                size += len(document)
            np.save(args.work_dir / f"{part}.{source}.npy", np.array(ids, np.uint16))
            print(f"{part}.{source}: {len(ids)} tokens, {size / len(ids):.3f} bytes a token")


if __name__ == "__main__":
    main()
