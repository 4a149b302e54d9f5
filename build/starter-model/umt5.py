"""UMT5 encoder (spec section 5) with Wan's parameter names: one relative bias table per layer, gated GELU."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

BUCKETS, MAX_DISTANCE = 32, 128


class RMSNorm(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return (x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * self.weight


def relative_buckets(length: int) -> torch.Tensor:
    """Bidirectional bucket of key - query, int64 [length, length] (rows = queries)."""
    position = torch.arange(length)
    relative = position[None, :] - position[:, None]
    half = BUCKETS // 2
    exact = half // 2
    distance = relative.abs()
    ratio = torch.log(distance.clamp_min(1).float() / exact) / math.log(MAX_DISTANCE / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp_max(half - 1)
    return (relative > 0).long() * half + torch.where(distance < exact, distance, far)


class Attention(nn.Module):
    """Unscaled dot-product attention without biases."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, bias):
        b, l, _ = x.shape
        q, k, v = (layer(x).view(b, l, self.heads, -1).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = torch.softmax((q @ k.transpose(-1, -2)).float() + bias, dim=-1).to(v.dtype)
        return self.o((weights @ v).transpose(1, 2).reshape(b, l, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.GELU(approximate="tanh"))
        self.fc1 = nn.Linear(dim, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        return self.fc2(self.fc1(x) * self.gate(x))


class RelativeBias(nn.Module):
    def __init__(self, heads: int):
        super().__init__()
        self.embedding = nn.Embedding(BUCKETS, heads)

    def forward(self, length: int):
        buckets = relative_buckets(length).to(self.embedding.weight.device)
        return self.embedding(buckets).permute(2, 0, 1)[None].float()


class Block(nn.Module):
    def __init__(self, dim: int, hidden: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(dim), RMSNorm(dim)
        self.attn = Attention(dim, heads)
        self.ffn = FeedForward(dim, hidden)
        self.pos_embedding = RelativeBias(heads)

    @torch.no_grad()
    def look_beside(self) -> None:
        """The first two heads begin by looking at the token before and the token after, whatever stands there.

        Attention here is not scaled, so words drown positions at the start, and word order is not found for long.
        """
        table, width = self.pos_embedding.embedding.weight, self.attn.q.out_features // self.attn.heads
        self.attn.q.weight[:2 * width] = 0.0
        table[:, :2] = -4.0
        before, after = relative_buckets(2)[1, 0], relative_buckets(2)[0, 1]
        table[before, 0], table[after, 1] = 4.0, 4.0

    def forward(self, x, mask_bias):
        x = x + self.attn(self.norm1(x), self.pos_embedding(x.shape[1]) + mask_bias)
        return x + self.ffn(self.norm2(x))


class UMT5(nn.Module):
    def __init__(self, vocab: int, dim: int = 128, hidden: int = 256, heads: int = 4, layers: int = 2):
        super().__init__()
        self.config = {"vocab": vocab, "dim": dim, "hidden": hidden, "heads": heads, "layers": layers}
        self.token_embedding = nn.Embedding(vocab, dim)
        self.blocks = nn.ModuleList(Block(dim, hidden, heads) for _ in range(layers))
        self.norm = RMSNorm(dim)
        self._initialise()

    @torch.no_grad()
    def _initialise(self):
        for name, p in self.named_parameters():
            if name.startswith("token_embedding"):
                p.normal_(std=1.0)
            elif name.endswith("attn.q.weight"):
                p.normal_(std=p.shape[1] ** -0.5 * (p.shape[0] / self.config["heads"]) ** -0.5)
            elif "pos_embedding" in name:
                p.normal_(std=0.3)
            elif p.ndim == 2:
                p.normal_(std=p.shape[1] ** -0.5)
        for block in self.blocks:
            block.look_beside()

    def encode(self, ids, mask):
        """ids, mask [B, L] -> hidden states [B, L, dim] of all rows."""
        x = self.token_embedding(ids)
        bias = (1.0 - mask.float())[:, None, None, :] * torch.finfo(torch.float32).min
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)

    def forward(self, ids, mask):
        """Hidden states with the padded rows set to zero, as the DiT receives them."""
        return self.encode(ids, mask) * mask[..., None].to(self.norm.weight.dtype)

    @classmethod
    def from_state_dict(cls, state: dict, heads: int | None = None) -> "UMT5":
        vocab, dim = state["token_embedding.weight"].shape
        table = state["blocks.0.pos_embedding.embedding.weight"]
        layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
        model = cls(vocab, dim, state["blocks.0.ffn.fc1.weight"].shape[0], heads or table.shape[1], layers)
        model.load_state_dict({k: v.float() for k, v in state.items() if k != "spiece_model"})
        return model
