#!/usr/bin/env python3
"""Trains the demo model within a budget of wall time.

The learning rate follows the elapsed share of the budget: linear warm-up, then
a cosine. B rows go through B parts of the training text, T tokens per step.
States are carried from segment to segment (gradients are not), and from time to
time a row resets its state, so that the model also learns to start without
context.
"""
import argparse
import math
import os
import pathlib
import random
import time

import numpy as np
import torch

import model as rwkv

REPEATS = {"sotu": 1, "moby": 2, "kjv": 1}  # passes over a source per epoch


def self_check():
    """wkv() must agree with the recurrent definition, over two segments."""
    torch.manual_seed(1)
    w, u = -torch.exp(torch.linspace(-5, 3, 12)), torch.randn(12)
    k, v = torch.randn(16, 2, 12) * 4, torch.randn(16, 2, 12)
    a = b = (torch.zeros(2, 12), torch.full((2, 12), -1e30))
    for part in (slice(0, 9), slice(9, 16)):
        ya, a = rwkv.wkv(w, u, k[part], v[part], a)
        yb, b = rwkv.wkv_recurrent(w, u, k[part], v[part], b)
        assert (ya - yb).abs().max() < 1e-5 and (a[1] - b[1]).abs().max() < 1e-4


def epoch_text(work, seed):
    """The training tokens of one epoch: the documents in a shuffled order."""
    documents = []
    for source, repeats in REPEATS.items():
        ids = np.load(work / f"train.{source}.npy").astype(np.int64)
        documents += np.split(ids, np.flatnonzero(ids == 0) + 1)[:-1] * repeats
    random.Random(seed).shuffle(documents)
    return torch.from_numpy(np.concatenate(documents))


def segments(work, rows, length):
    """Yields (ids, targets), each [length, rows], forever."""
    for epoch in range(10**9):
        text = epoch_text(work, epoch)
        stretch = (len(text) - 1) // rows
        inputs = text[:stretch * rows].view(rows, stretch).t()
        targets = text[1:stretch * rows + 1].view(rows, stretch).t()
        for i in range(0, stretch - length + 1, length):
            yield inputs[i:i + length].contiguous(), targets[i:i + length].contiguous()


def forget(state, fresh, chance):
    """Resets the state of each row with this probability."""
    keep = torch.rand(state[0][0].shape[0], 1) >= chance
    return [tuple(torch.where(keep, a, b) for a, b in zip(s, f))
            for s, f in zip(state, fresh)]


def learning_rate(args, done):
    """done: the elapsed part of the budget, 0..1."""
    if done < args.warmup:
        return args.lr * (done + 1e-3) / args.warmup
    cosine = 0.5 + 0.5 * math.cos(math.pi * (done - args.warmup) / (1 - args.warmup))
    return args.lr_end + (args.lr - args.lr_end) * cosine


def save(model, path, **facts):
    """Writes a checkpoint atomically."""
    torch.save({"model": model.state_dict(), **facts}, f"{path}.part")
    os.replace(f"{path}.part", path)


def optimizer_for(model):
    """AdamW; matrices decay, WKV vectors learn twice as fast."""
    groups = {"matrix": [], "vector": [], "wkv": []}
    for name, p in model.named_parameters():
        kind = "wkv" if name.endswith(("time_decay", "time_first")) else \
            "matrix" if p.dim() == 2 else "vector"
        groups[kind].append(p)
    return torch.optim.AdamW([
        {"params": groups["matrix"], "scale": 1, "weight_decay": 0.1},
        {"params": groups["vector"], "scale": 1, "weight_decay": 0.0},
        {"params": groups["wkv"], "scale": 2, "weight_decay": 0.0}],
        betas=(0.9, 0.99), eps=1e-8)


def parse_args():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work-dir", type=pathlib.Path, default="build/train_demo")
    p.add_argument("--minutes", type=float, default=75, help="wall time to use")
    p.add_argument("--rows", type=int, default=32)
    p.add_argument("--length", type=int, default=128, help="tokens of a segment")
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--lr-end", type=float, default=2e-5)
    p.add_argument("--warmup", type=float, default=0.02, help="share of the budget")
    p.add_argument("--forget", type=float, default=0.06, help="probability per segment")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bf16", action="store_true", help="bf16 matmuls")
    p.add_argument("--compile", action="store_true", help="torch.compile (2.x)")
    p.add_argument("--start-from", type=pathlib.Path, help="a checkpoint to continue "
                   "from, with a new schedule: choose a smaller --lr")
    p.add_argument("--save-every", type=float, default=180, help="seconds")
    return p.parse_args()


def main():
    args = parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    self_check()
    model = rwkv.Rwkv4()
    if args.start_from:
        model.load_state_dict(torch.load(args.start_from)["model"])
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    forward = torch.compile(model) if args.compile else model
    optimizer = optimizer_for(model)
    fresh = state = model.first_state(args.rows)
    batches = segments(args.work_dir, args.rows, args.length)
    start = saved = time.monotonic()
    step, loss_sum, loss_steps, done = 0, 0.0, 0, 0.0
    while done < 1:
        done = min((time.monotonic() - start) / (args.minutes * 60), 1)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, done) * group["scale"]
        ids, targets = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            loss, state = forward(ids, forget(state, fresh, args.forget), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, loss_sum, loss_steps = step + 1, loss_sum + loss.item(), loss_steps + 1
        seconds, tokens = time.monotonic() - start, step * args.rows * args.length
        if step % 50 == 0:
            print(f"step {step} {seconds / 60:.1f} min loss {loss_sum / loss_steps:.4f} "
                  f"{tokens / 1e6:.2f} M tokens {tokens / seconds:.0f} tokens/s "
                  f"lr {group['lr'] / group['scale']:.2e}", flush=True)
            loss_sum, loss_steps = 0.0, 0
        if time.monotonic() - saved > args.save_every or done == 1:
            save(model, args.work_dir / "checkpoint.pt", step=step, tokens=tokens,
                 seconds=seconds, torch=str(torch.__version__))
            saved = time.monotonic()


if __name__ == "__main__":
    main()
