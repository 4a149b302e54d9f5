"""Latent cache: encode the training clips once, fold the latent statistics into the VAE."""
from __future__ import annotations

import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from common import adapt_threads, append_log, autocast, pick_device, to_model_range
from vae import WanVAE, fold_statistics


def load_vae(work: str) -> WanVAE:
    """The frozen VAE with folded statistics."""
    return WanVAE.from_state_dict(load_file(os.path.join(work, "vae_folded.safetensors"))).eval()


@torch.no_grad()
def encode_clips(vae: WanVAE, clips, device: torch.device, batch: int = 4, log: str | None = None) -> torch.Tensor:
    """Un-normalised means, float32 [N, z, F, h, w]."""
    means = []
    for start in range(0, len(clips), batch):
        video = to_model_range(np.asarray(clips[start:start + batch])).to(device)
        with autocast(device):
            means.append(vae.encode_raw(video)[0].float().cpu())
        adapt_threads()
        if log and start % 40 < batch:
            append_log(log, stage="cache", clips=start)
    return torch.cat(means)


def build(work: str, count: int) -> None:
    """Write or extend `latents.pt` (float16, normalised) to `count` clips.

    The first call measures the statistics and writes `vae_folded.safetensors`, which is frozen from then on.
    """
    device = pick_device()
    clips = np.load(os.path.join(work, "clips.npy"), mmap_mode="r")[:count]
    log = os.path.join(work, "cache.jsonl")
    path = os.path.join(work, "latents.pt")
    view = (1, -1, 1, 1, 1)
    if os.path.exists(os.path.join(work, "vae_folded.safetensors")):
        known = torch.load(path) if os.path.exists(path) else torch.empty(0)
        if len(known) >= len(clips):
            return
        vae = load_vae(work).to(device)
        raw = encode_clips(vae, clips[len(known):], device, log=log)
        fresh = (raw - vae.mean.cpu()) / vae.std.cpu()
        latents = torch.cat([known, fresh.half()])
    else:
        vae = WanVAE()
        vae.load_state_dict(torch.load(os.path.join(work, "vae.pt"), weights_only=False)["model"])
        raw = encode_clips(vae.eval().to(device), clips, device, log=log)
        mean, std = raw.mean(dim=(0, 2, 3, 4)), raw.std(dim=(0, 2, 3, 4))
        fold_statistics(vae.cpu(), mean, std)
        save_file({k: v.contiguous() for k, v in vae.state_dict().items()},
                  os.path.join(work, "vae_folded.safetensors"))
        latents = ((raw - mean.view(view)) / std.view(view)).half()
    torch.save(latents, path)
