"""Wan2.1 causal video VAE (spec section 4) in its chunk-free form, with the official parameter names.

Tensors are [B, C, T, H, W]; T = 4n+1 pixel frames give n+1 latent frames, H and W shrink by 8.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
       3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)
MULT = (1, 2, 4, 4)
TEMPORAL = (False, True, True)


class CausalConv3d(nn.Conv3d):
    """3-D convolution that sees only the past; a single frame runs as a 2-D convolution on the last tap."""

    def __init__(self, cin: int, cout: int, kernel: int):
        super().__init__(cin, cout, kernel, padding=(0, kernel // 2, kernel // 2))
        self.past = kernel - 1

    def forward(self, x):
        if x.shape[2] == 1:
            y = F.conv2d(x[:, :, 0], self.weight[:, :, -1], self.bias, padding=self.padding[1:])
            return y[:, :, None]
        return super().forward(F.pad(x, (0, 0, 0, 0, self.past, 0)) if self.past else x)


class RMSNorm(nn.Module):
    """Channel-wise RMS norm: x / max(||x||, 1e-12) * sqrt(C) * gamma."""

    def __init__(self, channels: int, axes: int = 3):
        super().__init__()
        self.scale = channels ** 0.5
        self.gamma = nn.Parameter(torch.ones(channels, *([1] * axes)))

    def forward(self, x):
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp_min(1e-12)
        return x * (self.scale / norm).to(x.dtype) * self.gamma.to(x.dtype)


class ResidualBlock(nn.Module):
    def __init__(self, cin: int, cout: int):
        super().__init__()
        self.residual = nn.Sequential(
            RMSNorm(cin), nn.SiLU(), CausalConv3d(cin, cout, 3),
            RMSNorm(cout), nn.SiLU(), nn.Identity(), CausalConv3d(cout, cout, 3),
        )
        self.shortcut = CausalConv3d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x):
        return self.shortcut(x) + self.residual(x)


class AttentionBlock(nn.Module):
    """Single-head attention inside each frame."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = RMSNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        b, c, t, h, w = x.shape
        flat = x.transpose(1, 2).reshape(b * t, c, h, w)
        q, k, v = self.to_qkv(self.norm(flat)).reshape(b * t, 3, c, h * w).unbind(1)
        weights = torch.softmax((q.transpose(1, 2) @ k).float() * c ** -0.5, dim=-1).to(v.dtype)
        out = (v @ weights.transpose(1, 2)).reshape(b * t, c, h, w)
        return x + self.proj(out).reshape(b, t, c, h, w).transpose(1, 2)


def _per_frame(layer, x):
    """Apply a 2-D layer to every frame of [B, C, T, H, W]."""
    b, c, t, h, w = x.shape
    y = layer(x.transpose(1, 2).reshape(b * t, c, h, w))
    return y.reshape(b, t, *y.shape[1:]).transpose(1, 2)


class Downsample(nn.Module):
    """Halve height and width, then (temporal) halve the frames after the first."""

    def __init__(self, channels: int, temporal: bool):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x):
        x = _per_frame(self.resample, x)
        if self.time_conv is None or x.shape[2] == 1:
            return x
        return torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)


class Upsample(nn.Module):
    """(temporal) double the frames after the first, then double height and width and halve the channels."""

    def __init__(self, channels: int, temporal: bool):
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest-exact"),
                                      nn.Conv2d(channels, channels // 2, 3, padding=1))
        self.time_conv = nn.Conv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, x):
        if self.time_conv is not None and x.shape[2] > 1:
            b, c, t, h, w = x.shape
            pairs = self.time_conv(F.pad(x[:, :, 1:], (0, 0, 0, 0, 2, 0)))
            rest = pairs.reshape(b, 2, c, t - 1, h, w).permute(0, 2, 3, 1, 4, 5).reshape(b, c, 2 * (t - 1), h, w)
            x = torch.cat([x[:, :, :1], rest], dim=2)
        return _per_frame(self.resample, x)


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(channels, channels), AttentionBlock(channels), ResidualBlock(channels, channels))


class Encoder(nn.Module):
    def __init__(self, dim: int, z_dim: int, blocks: int):
        super().__init__()
        widths = [dim * m for m in (1,) + MULT]
        self.conv1 = CausalConv3d(3, widths[0], 3)
        layers = []
        for level, (cin, cout) in enumerate(zip(widths[:-1], widths[1:])):
            for _ in range(blocks):
                layers.append(ResidualBlock(cin, cout))
                cin = cout
            if level < len(TEMPORAL):
                layers.append(Downsample(cout, TEMPORAL[level]))
        self.downsamples = nn.Sequential(*layers)
        self.middle = _middle(widths[-1])
        self.head = nn.Sequential(RMSNorm(widths[-1]), nn.SiLU(), CausalConv3d(widths[-1], 2 * z_dim, 3))

    def forward(self, x):
        return self.head(self.middle(self.downsamples(self.conv1(x))))


class Decoder(nn.Module):
    def __init__(self, dim: int, z_dim: int, blocks: int):
        super().__init__()
        widths = [dim * m for m in (MULT[-1],) + MULT[::-1]]
        self.conv1 = CausalConv3d(z_dim, widths[0], 3)
        self.middle = _middle(widths[0])
        layers = []
        for level, (cin, cout) in enumerate(zip(widths[:-1], widths[1:])):
            cin = cin // 2 if level > 0 else cin
            for _ in range(blocks + 1):
                layers.append(ResidualBlock(cin, cout))
                cin = cout
            if level < len(TEMPORAL):
                layers.append(Upsample(cout, TEMPORAL[::-1][level]))
        self.upsamples = nn.Sequential(*layers)
        self.head = nn.Sequential(RMSNorm(widths[-1]), nn.SiLU(), CausalConv3d(widths[-1], 3, 3))

    def forward(self, z):
        return self.head(self.upsamples(self.middle(self.conv1(z))))


class WanVAE(nn.Module):
    """`encode_raw`/`decode_raw` work on un-normalised latents, `encode`/`decode` with Wan's published statistics."""

    def __init__(self, dim: int = 16, z_dim: int = 16, blocks: int = 1):
        super().__init__()
        self.config = {"dim": dim, "z_dim": z_dim, "blocks": blocks}
        self.z_dim = z_dim
        self.encoder = Encoder(dim, z_dim, blocks)
        self.conv1 = CausalConv3d(2 * z_dim, 2 * z_dim, 1)
        self.conv2 = CausalConv3d(z_dim, z_dim, 1)
        self.decoder = Decoder(dim, z_dim, blocks)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, -1, 1, 1, 1), persistent=False)

    def encode_raw(self, video):
        """[B, 3, T, H, W] in [-1, 1] -> mean and log-variance, each [B, z, F, H/8, W/8]."""
        return self.conv1(self.encoder(video)).chunk(2, dim=1)

    def decode_raw(self, z):
        return self.decoder(self.conv2(z))

    def encode(self, video):
        return (self.encode_raw(video)[0] - self.mean) / self.std

    def decode(self, latent):
        return self.decode_raw(latent * self.std + self.mean).clamp(-1, 1)

    @classmethod
    def from_state_dict(cls, state: dict) -> "WanVAE":
        """Read sizes (dim, residual blocks per level) from the keys."""
        dim = state["encoder.conv1.weight"].shape[0]
        first_down = min(int(k.split(".")[2]) for k in state if k.startswith("encoder.downsamples.") and ".resample." in k)
        model = cls(dim, state["conv2.weight"].shape[0], first_down)
        model.load_state_dict({k: v.float() for k, v in state.items()})
        return model


@torch.no_grad()
def make_static(vae: WanVAE) -> None:
    """Turn an image VAE into a video VAE that treats every group of four frames like its last frame.

    Past taps become zero, temporal resampling the identity. Still clips then have equal latent frames from the start,
    and what images taught carries over to video.
    """
    for module in vae.modules():
        if isinstance(module, CausalConv3d) and module.past:
            module.weight[:, :, :-1] = 0.0
        if isinstance(module, (Downsample, Upsample)) and module.time_conv is not None:
            conv = module.time_conv
            copies = conv.out_channels // conv.in_channels
            conv.weight.zero_()
            conv.weight[:, :, -1, 0, 0] = torch.eye(conv.in_channels).repeat(copies, 1)
            conv.bias.zero_()


@torch.no_grad()
def initialise(vae: WanVAE, seed: int = 0) -> None:
    """Gain-1 normal init in the last temporal tap, static in time, small log-variance."""
    generator = torch.Generator().manual_seed(seed)
    for module in vae.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            last = module.weight[:, :, -1] if module.weight.ndim == 5 else module.weight
            last.copy_(torch.randn(last.shape, generator=generator) * last[0].numel() ** -0.5)
            module.bias.zero_()
    make_static(vae)
    vae.conv1.bias[vae.z_dim:] = -6.0


@torch.no_grad()
def fold_statistics(vae: WanVAE, mean: torch.Tensor, std: torch.Tensor) -> None:
    """Absorb the measured latent statistics [z] into conv1 (mean half) and conv2.

    Afterwards (mu - MEAN) / STD equals the latent normalised by the measured statistics, as with the real VAE.
    """
    published_mean, published_std = vae.mean.flatten(), vae.std.flatten()
    gain = published_std / std
    half = slice(0, vae.z_dim)
    vae.conv1.weight[half] *= gain.view(-1, 1, 1, 1, 1)
    vae.conv1.bias[half] = (vae.conv1.bias[half] - mean) * gain + published_mean
    vae.conv2.bias += vae.conv2.weight.flatten(1) @ (mean - published_mean / gain)
    vae.conv2.weight /= gain.view(1, -1, 1, 1, 1)
