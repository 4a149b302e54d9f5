"""Wan2.1 DiT (spec section 1) with official parameter names and Pusa's per-frame timestep.

x [B, C, F, H, W], timesteps [B, F] on the 0..1000 scale, context [B, text_len, text_dim] (zero rows = padding).
Attention is a plain softmax(q k^T) v: on CPU the fused kernel's backward is slower at these sizes.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

PATCH = 2


class RMSNorm(nn.Module):
    """RMS norm over the whole width, statistics in float32."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return (x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * self.weight


def layer_norm(x):
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-6)


def sinusoid(t: torch.Tensor, width: int) -> torch.Tensor:
    """[...] -> [..., width], cosines first, computed in float64."""
    half = width // 2
    omega = 10000.0 ** (-torch.arange(half, dtype=torch.float64, device=t.device) / half)
    angle = t.double()[..., None] * omega
    return torch.cat([angle.cos(), angle.sin()], dim=-1).float()


def rope_table(head_dim: int, frames: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [F*H*W, head_dim/2]: time pairs, then height, then width."""
    pairs = head_dim // 2
    side = pairs // 3
    grid = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (frames, rows, columns)), indexing="ij")
    angles = []
    for axis, count in zip(grid, (pairs - 2 * side, side, side)):
        frequency = 10000.0 ** (-torch.arange(count, dtype=torch.float64) / count)
        angles.append(axis.reshape(-1, 1) * frequency)
    angle = torch.cat(angles, dim=1)
    return angle.cos().float(), angle.sin().float()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate pairs (2i, 2i+1) of [B, heads, L, d]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)

    def _split(self, x):
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x, source, rope=None):
        q, k = self._split(self.norm_q(self.q(x))), self._split(self.norm_k(self.k(source)))
        v = self._split(self.v(source))
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
        return self.o((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim: int, ffn_dim: int, heads: int):
        super().__init__()
        self.self_attn, self.cross_attn = Attention(dim, heads), Attention(dim, heads)
        self.norm3 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(ffn_dim, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) * dim ** -0.5)

    def forward(self, x, e0, context, rope):
        """x [B, F, S, dim] with S tokens per frame, e0 [B, F, 6, dim]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation + e0)[..., None, :].unbind(2)
        b, f, s, d = x.shape
        h = layer_norm(x) * (1 + scale1) + shift1
        h = h.reshape(b, f * s, d)
        x = x + gate1 * self.self_attn(h, h, rope).reshape(b, f, s, d)
        x = x + self.cross_attn(self.norm3(x).reshape(b, f * s, d), context).reshape(b, f, s, d)
        return x + gate2 * self.ffn(layer_norm(x) * (1 + scale2) + shift2)


class Head(nn.Module):
    def __init__(self, dim: int, out_dim: int):
        super().__init__()
        self.head = nn.Linear(dim, PATCH * PATCH * out_dim)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) * dim ** -0.5)

    def forward(self, x, e):
        shift, scale = (self.modulation + e[:, :, None])[..., None, :].unbind(2)
        return self.head(layer_norm(x) * (1 + scale) + shift)


class WanDiT(nn.Module):
    def __init__(self, dim=192, ffn_dim=768, heads=6, layers=6, in_dim=16, freq_dim=256, text_dim=128):
        super().__init__()
        self.config = {"dim": dim, "ffn_dim": ffn_dim, "heads": heads, "layers": layers, "in_dim": in_dim,
                       "freq_dim": freq_dim, "text_dim": text_dim}
        self.patch_embedding = nn.Conv3d(in_dim, dim, (1, PATCH, PATCH), stride=(1, PATCH, PATCH))
        self.text_embedding = nn.Sequential(nn.Linear(text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim))
        self.time_embedding = nn.Sequential(nn.Linear(freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(dim, ffn_dim, heads) for _ in range(layers))
        self.head = Head(dim, in_dim)
        self._rope_cache: dict = {}
        self._initialise()

    @torch.no_grad()
    def _initialise(self):
        """Xavier weights, zero biases, small embeddings, zero output layer."""
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                p.zero_()
            elif name.startswith(("text_embedding", "time_embedding")):
                p.normal_(std=0.02 if name.startswith("time") else p.shape[1] ** -0.5)
            elif p.ndim >= 2 and "modulation" not in name:
                nn.init.xavier_uniform_(p.flatten(1))
        self.head.head.weight.zero_()

    def _rope(self, shape, device):
        key = (*shape, device)
        if key not in self._rope_cache:
            head_dim = self.config["dim"] // self.config["heads"]
            self._rope_cache[key] = tuple(t.to(device) for t in rope_table(head_dim, *shape))
        return self._rope_cache[key]

    def forward(self, x, timesteps, context):
        b, c, f, h, w = x.shape
        rows, columns = h // PATCH, w // PATCH
        tokens = self.patch_embedding(x).flatten(3).permute(0, 2, 3, 1)
        e = self.time_embedding(sinusoid(timesteps, self.config["freq_dim"])).float()
        e0 = self.time_projection(e).float().unflatten(-1, (6, -1))
        context = self.text_embedding(context)
        rope = self._rope((f, rows, columns), x.device)
        for block in self.blocks:
            tokens = block(tokens, e0, context, rope)
        y = self.head(tokens, e).view(b, f, rows, columns, PATCH, PATCH, c)
        return y.permute(0, 6, 1, 2, 4, 3, 5).reshape(b, c, f, h, w)

    @classmethod
    def from_state_dict(cls, state: dict, heads: int) -> "WanDiT":
        """Read the sizes from official keys (heads come from the metadata)."""
        layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
        patch = state["patch_embedding.weight"]
        model = cls(patch.shape[0], state["blocks.0.ffn.0.weight"].shape[0], heads, layers, patch.shape[1],
                    state["time_embedding.0.weight"].shape[1], state["text_embedding.0.weight"].shape[1])
        model.load_state_dict({k: v.float() for k, v in state.items()})
        return model
