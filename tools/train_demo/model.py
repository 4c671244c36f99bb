"""RWKV-4 in the form used for training: whole segments at once.

Shapes: T tokens of a segment, B rows of a batch, C channels. Activations are
time-major, [T, B, C], so that token shift and the transposition to channel-major
are single copies. Parameter names are those of native RWKV-4 checkpoints.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def wkv(w, u, k, v, state):
    """The RWKV-4 time mixing of one segment, exact, as one product per channel.

    w, u: [C], decay (negative, log scale) and bonus. k, v: [T, B, C].
    state: (mean [B, C], log_sum [B, C]): the weighted mean of all earlier v and
    the logarithm of the sum of their weights, as of the next token.
    Returns ([T, B, C], state after the segment).
    """
    T, B, C = k.shape
    mean, log_sum = state
    top = torch.maximum(k.detach().amax(0), log_sum)          # [B, C], for stability
    ek = torch.exp(k - top)
    x = torch.stack((ek * v, ek), 1).view(T * 2 * B, C).t()   # [C, T*2*B]
    x = x.reshape(C, T, 2 * B)
    # Row t weighs token i < t with exp(w (t-1-i)); row T is the state after.
    t, i = torch.arange(T + 1).view(-1, 1), torch.arange(T).view(1, -1)
    age = torch.where(i < t, t - 1 - i, 10**6).float()        # 10**6: weight 0
    decay = torch.exp(w.view(C, 1) * age.view(1, -1)).view(C, T + 1, T)
    y = torch.bmm(decay, x).view(C, T + 1, 2, B)
    y = y.reshape(C, -1).t().reshape(T + 1, 2, B, C)
    past = torch.exp(torch.arange(T + 1).view(-1, 1, 1) * w + (log_sum - top))
    now = torch.exp(u) * ek
    num = y[:T, 0] + past[:T] * mean + now * v
    den = y[:T, 1] + past[:T] + now
    last_num = (y[T, 0] + past[T] * mean).detach()
    last_den = (y[T, 1] + past[T]).detach()
    return num / den, (last_num / last_den, top + torch.log(last_den))


def wkv_recurrent(w, u, k, v, state):
    """The same, by the definition, token by token (for the self-check)."""
    aa, pp = state
    bb = torch.where(pp > -1e29, 1.0, 0.0)
    out = []
    for kt, vt in zip(k, v):
        q = torch.maximum(pp, u + kt)
        e1, e2 = torch.exp(pp - q), torch.exp(u + kt - q)
        out.append((e1 * aa + e2 * vt) / (e1 * bb + e2))
        q = torch.maximum(pp + w, kt)
        e1, e2 = torch.exp(pp + w - q), torch.exp(kt - q)
        aa, bb, pp = e1 * aa + e2 * vt, e1 * bb + e2, q
    return torch.stack(out), (aa / bb, pp + torch.log(bb))


def shift(x, previous):
    """x [T, B, C] one token later; previous [B, C] comes first."""
    return torch.cat((previous.unsqueeze(0), x[:-1]))


class Mixing(nn.Module):
    """What time mixing and channel mixing share: token shift and a gate."""

    def matrix(self, rows, cols, gain):
        """A [rows, cols] linear layer, orthogonal with a gain, or zero."""
        layer = nn.Linear(cols, rows, bias=False)
        if gain:
            nn.init.orthogonal_(layer.weight, gain=gain)
        else:
            nn.init.zeros_(layer.weight)
        return layer

    def vector(self, value, shape=(1, 1, -1)):
        return nn.Parameter(value.clone().view(*shape))


class TimeMixing(Mixing):
    def __init__(self, layer, layers, C):
        super().__init__()
        depth, rise = layer / max(layers - 1, 1), 1 - layer / layers
        c = torch.arange(C)
        self.time_decay = self.vector(-5 + 8 * (c / (C - 1)) ** (0.7 + 1.3 * depth), (C,))
        self.time_first = self.vector(math.log(0.3) + ((c + 1) % 3 - 1) * 0.5, (C,))
        self.time_mix_k = self.vector((c / C) ** rise)
        self.time_mix_v = self.vector((c / C) ** rise + 0.3 * depth)
        self.time_mix_r = self.vector((c / C) ** (0.5 * rise))
        self.key = self.matrix(C, C, 0)
        self.value = self.matrix(C, C, 1)
        self.receptance = self.matrix(C, C, 0)
        self.output = self.matrix(C, C, 0)

    def forward(self, x, previous, state):
        sx = shift(x, previous)
        k = self.key(torch.lerp(sx, x, self.time_mix_k)).float()
        v = self.value(torch.lerp(sx, x, self.time_mix_v)).float()
        r = torch.sigmoid(self.receptance(torch.lerp(sx, x, self.time_mix_r)))
        y, state = wkv(-torch.exp(self.time_decay), self.time_first, k, v, state)
        return self.output(r * y), state


class ChannelMixing(Mixing):
    def __init__(self, layer, layers, C):
        super().__init__()
        c, rise = torch.arange(C), 1 - layer / layers
        self.time_mix_k = self.vector((c / C) ** rise)
        self.time_mix_r = self.vector((c / C) ** rise)
        self.key = self.matrix(4 * C, C, 2)
        self.receptance = self.matrix(C, C, 0)
        self.value = self.matrix(C, 4 * C, 0)

    def forward(self, x, previous):
        sx = shift(x, previous)
        k = torch.square(torch.relu(self.key(torch.lerp(sx, x, self.time_mix_k))))
        r = torch.sigmoid(self.receptance(torch.lerp(sx, x, self.time_mix_r)))
        return r * self.value(k)


class Block(nn.Module):
    def __init__(self, layer, layers, C):
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(C)
        self.ln1, self.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)
        self.att = TimeMixing(layer, layers, C)
        self.ffn = ChannelMixing(layer, layers, C)

    def forward(self, x, state):
        """state: (att_x, mean, log_sum, ffn_x), each [B, C]; returns the next."""
        if hasattr(self, "ln0"):
            x = self.ln0(x)
        a = self.ln1(x)
        y, (mean, log_sum) = self.att(a, state[0], state[1:3])
        x = x + y
        f = self.ln2(x)
        x = x + self.ffn(f, state[3])
        return x, (a[-1].detach(), mean, log_sum, f[-1].detach())


class Rwkv4(nn.Module):
    def __init__(self, vocab=2048, channels=192, layers=6):
        super().__init__()
        self.emb = nn.Embedding(vocab, channels)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)  # ln0 makes it unit size
        self.blocks = nn.ModuleList(Block(i, layers, channels) for i in range(layers))
        self.ln_out = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, vocab, bias=False)
        nn.init.orthogonal_(self.head.weight, gain=0.5 * math.sqrt(vocab / channels))

    def first_state(self, rows):
        """One (att_x, mean, log_sum, ffn_x) per layer, as before any token."""
        zero = torch.zeros(rows, self.emb.embedding_dim)
        return [(zero, zero, zero - 1e30, zero) for _ in self.blocks]

    def forward(self, ids, state, targets):
        """ids, targets: [T, B]. Returns (mean loss in nats, state after)."""
        x, after = self.emb(ids), []
        for block, before in zip(self.blocks, state):
            x, s = block(x, before)
            after.append(s)
        logits = self.head(self.ln_out(x)).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), after
