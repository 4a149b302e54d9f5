"""Frame-aware flow matching (spec section 8) and the conditioned patterns that short fine-tunes need."""
from __future__ import annotations

import torch

GRID_STEPS = 1000


def shift_sigma(u: torch.Tensor, shift: float) -> torch.Tensor:
    return shift * u / (1.0 + (shift - 1.0) * u)


def sigma_grid(shift: float = 5.0) -> torch.Tensor:
    """sigma_k for k = 0..999, from 1 down to just above 0."""
    return shift_sigma(1.0 - torch.arange(GRID_STEPS, dtype=torch.float64) / GRID_STEPS, shift).float()


def timestep_weight(t: torch.Tensor, shift: float = 5.0) -> torch.Tensor:
    """w(t) of the reference: a Gaussian bell minus its minimum, mean 1 over the grid."""
    bell = lambda v: torch.exp(-2.0 * ((v - GRID_STEPS / 2) / GRID_STEPS) ** 2)
    table = bell(sigma_grid(shift) * 1000.0)
    lowest = table.min()
    return (bell(t) - lowest) / (table - lowest).mean()


def add_noise(latents: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """x_sigma = (1 - sigma_f) x0 + sigma_f eps for latents [B, C, F, H, W] and sigma [B, F]."""
    s = sigma[:, None, :, None, None]
    return (1.0 - s) * latents + s * noise


def fafm_loss(prediction: torch.Tensor, target: torch.Tensor, t: torch.Tensor, shift: float = 5.0) -> torch.Tensor:
    """Per-sample loss [B]: mean square error of the clip times the mean weight of its frames."""
    return (prediction - target).square().flatten(1).mean(1) * timestep_weight(t, shift).mean(1)


def sample_fafm(batch: int, frames: int, generator: torch.Generator, shift: float = 5.0) -> torch.Tensor:
    """sigma [B, F], independent for every latent frame."""
    ids = torch.randint(0, GRID_STEPS, (batch, frames), generator=generator)
    return sigma_grid(shift)[ids]


def sample_conditioned(batch: int, frames: int, generator: torch.Generator, shift: float = 3.0) -> torch.Tensor:
    """sigma [B, F] of the sampling situations: one shared level, conditioned frames at level * m.

    Patterns: first frame; first and last; first k; first k and last one or two. m is 0 for half of the clips.
    """
    def uniform(*shape):
        return torch.rand(shape, generator=generator)

    sigma = shift_sigma(uniform(batch, 1), shift).repeat(1, frames)
    for row in range(batch):
        pattern = uniform(1).item()
        count = 1 + int(uniform(1).item() * (frames - 1))
        if pattern < 0.5:
            chosen = [0]
        elif pattern < 0.7:
            chosen = [0, frames - 1]
        elif pattern < 0.85:
            chosen = list(range(count))
        else:
            chosen = sorted({0, 1 if count > 2 else 0, frames - 1, frames - 2 if count % 2 else frames - 1})
        clean = uniform(1).item() < 0.5
        for frame in chosen:
            sigma[row, frame] *= 0.0 if clean else 0.5 * uniform(1).item()
    return sigma
