"""Muon: momentum orthogonalised by Newton-Schulz for matrices and convolutions, AdamW for everything else."""
from __future__ import annotations

import torch


def orthogonalise(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Approximate U V^T of a [rows, cols] matrix by the quintic Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if transposed else x


class Muon(torch.optim.Optimizer):
    """Update RMS matched to Adam: 0.2 * sqrt(max(rows, cols)) times the orthogonalised Nesterov momentum."""

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"]
                buffer.mul_(group["momentum"]).add_(p.grad)
                update = p.grad.add(buffer, alpha=group["momentum"]).reshape(p.shape[0], -1)
                scale = 0.2 * max(update.shape) ** 0.5
                if group["weight_decay"]:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(orthogonalise(update).reshape(p.shape), alpha=-group["lr"] * scale)


def split_parameters(module: torch.nn.Module) -> tuple[list, list]:
    """Weights for Muon (two or more axes with a real matrix shape) and the rest for AdamW."""
    matrices, rest = [], []
    for p in module.parameters():
        if p.requires_grad:
            is_matrix = p.ndim >= 2 and p.shape[0] > 1 and p.numel() // p.shape[0] > 1
            (matrices if is_matrix else rest).append(p)
    return matrices, rest
