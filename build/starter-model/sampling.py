"""Pusa sampling (spec section 3): flow-matching Euler steps with per-frame timesteps and noise multipliers."""
from __future__ import annotations

import torch

from fafm import shift_sigma

LATENT_SHAPE = (16, 5, 12, 12)


def sigma_schedule(steps: int, shift: float) -> torch.Tensor:
    """sigma_0 .. sigma_N with sigma_N = 0."""
    return shift_sigma(1.0 - torch.arange(steps + 1, dtype=torch.float32) / steps, shift)


@torch.no_grad()
def sample(dit, context, empty, noise, conditions=None, steps: int = 10, cfg: float = 3.0, shift: float = 3.0):
    """Denoise a batch.

    context [B, L, D]; empty [1, L, D] (embedding of the empty prompt); noise [B, C, F, h, w];
    conditions: {latent frame: (clean latents [B, C, h, w], multiplier)}.
    """
    conditions = conditions or {}
    batch, frames = noise.shape[0], noise.shape[2]
    sigmas = sigma_schedule(steps, shift).to(noise.device)
    scale = torch.ones(frames, device=noise.device)
    x = noise.clone()
    for index, (clean, multiplier) in conditions.items():
        scale[index] = multiplier
        level = sigmas[0] * multiplier
        x[:, :, index] = (1 - level) * clean + level * noise[:, :, index]
    for k in range(steps):
        t = 1000.0 * sigmas[k] * scale
        if conditions:
            t = t.trunc()
        t = t.expand(batch, frames)
        v = dit(x, t, context)
        if cfg != 1.0:
            negative = dit(x, t, empty.expand_as(context))
            v = negative + cfg * (v - negative)
        delta = (sigmas[k + 1] - sigmas[k]) * scale * (t[0] > 0)
        x = x + v.float() * delta[None, None, :, None, None]
    return x
