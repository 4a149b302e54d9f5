"""VAE stage: L1 + gradient L1 + small KL, images first, then growing clips; Muon for matrices."""
from __future__ import annotations

import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import data
from common import Budget, adapt_threads, append_log, autocast, pick_device, save_atomic, to_model_range
from muon import Muon, split_parameters
from vae import WanVAE, initialise

# (progress at which the phase ends, batch, frames, crop)
PHASES = ((0.28, 12, 1, 96), (0.60, 3, 5, 64), (0.92, 2, 9, 64), (1.01, 1, 17, 96))
OBJECT_WEIGHT = 2.0
# What moves is what the decoder reads worst, and what an eye looks at.
DECODER_OBJECT_WEIGHT = 6.0
DECODER_SQUARED = 4.0
STILL_SHARE = 0.15
PEAK_LR = 3e-3
VIDEO_LR = 8e-4


def object_mask(clip: np.ndarray) -> np.ndarray:
    """Pixels that differ from their row's median colour: bool [T, H, W]. Backgrounds are constant along a row."""
    row = np.median(clip[::4].astype(np.float32), axis=(0, 2), keepdims=True)
    return np.abs(clip - row).max(axis=-1) > 24.0


def draw_batch(clips: np.ndarray, rng: np.random.Generator, batch: int, frames: int, crop: int):
    """Video [B, 3, T, h, w], weights [B, 1, T, h, w] and a flag per clip saying that it was frozen to a still."""
    videos, masks, stills = [], [], []
    for index in rng.integers(len(clips), size=batch):
        clip = clips[index]
        mask = object_mask(clip)
        start = 0 if frames == data.FRAMES else rng.integers(data.FRAMES - frames + 1)
        y, x = (rng.integers(data.SIZE - crop + 1) for _ in range(2))
        window = (slice(start, start + frames), slice(y, y + crop), slice(x, x + crop))
        clip, mask = clip[window], mask[window]
        still = frames > 1 and rng.random() < STILL_SHARE
        if still:
            clip, mask = np.repeat(clip[:1], frames, 0), np.repeat(mask[:1], frames, 0)
        videos.append(clip)
        masks.append(mask)
        stills.append(still)
    weight = 1.0 + OBJECT_WEIGHT * torch.from_numpy(np.stack(masks)).float()[:, None]
    return to_model_range(np.stack(videos)), weight, torch.tensor(stills)


def gradient_l1(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted L1 between finite differences along t, y and x."""
    diff, total = a - b, 0.0
    for axis in (2, 3, 4):
        if diff.shape[axis] > 1:
            w = weight.narrow(axis, 1, weight.shape[axis] - 1)
            total = total + (torch.diff(diff, dim=axis).abs() * w).mean()
    return total


def learning_rate(progress: float) -> float:
    """Short warm-up and PEAK_LR for images, VIDEO_LR afterwards (higher rates destroy the static start), decay from 60 %."""
    if progress < PHASES[0][0]:
        return PEAK_LR * min(1.0, progress / 0.01 + 0.1)
    return VIDEO_LR * (1.0 if progress < 0.6 else max(0.05, 1.0 - (progress - 0.6) / 0.4))


def train(work: str, minutes: float, seed: int = 0) -> None:
    device = pick_device()
    clips = np.load(os.path.join(work, "clips.npy"), mmap_mode="r")
    checkpoint = os.path.join(work, "vae.pt")
    log = os.path.join(work, "vae.jsonl")
    vae = WanVAE()
    done, step = 0.0, 0
    initialise(vae, seed)
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, weights_only=False)
        vae.load_state_dict(saved["model"])
        done, step = saved["progress"], saved["step"]
    vae.to(device)
    matrices, rest = split_parameters(vae)
    muon, adam = Muon(matrices, lr=PEAK_LR), torch.optim.AdamW(rest, lr=PEAK_LR, weight_decay=0.0)
    rng = np.random.default_rng([seed, step])
    torch.manual_seed(seed + step)
    budget, running, last_save = Budget(minutes * max(1.0 - done, 0.0) if done < 1 else minutes), None, 0.0
    while True:
        progress = done + (1.0 - done) * budget.progress if done < 1 else 0.9 + 0.1 * budget.progress
        if progress >= 1.0:
            break
        batch, frames, crop = next(p[1:] for p in PHASES if progress < p[0])
        video, weight, stills = draw_batch(clips, rng, batch, frames, crop)
        video, weight = video.to(device), weight.to(device)
        with autocast(device):
            mu, logvar = vae.encode_raw(video)
            mu, logvar = mu.float(), logvar.float().clamp(-20, 4)
            out = vae.decode_raw(mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)).float()
        l1 = ((out - video).abs() * weight).mean()
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean()
        loss = l1 + 0.5 * gradient_l1(out, video, weight) + 2e-4 * kl
        if frames > 1 and stills.any():
            held = mu[stills.to(device)]
            loss = loss + 0.02 * (held[:, :, 1:] - held[:, :, :1]).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimiser in (muon, adam):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(progress)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        adapt_threads()
        psnr = -10 * np.log10(((out.detach().clamp(-1, 1) - video) / 2).square().mean().item() + 1e-12)
        running = psnr if running is None else 0.95 * running + 0.05 * psnr
        if step % 10 == 0:
            append_log(log, step=step, seconds=budget.elapsed, progress=progress, frames=frames, l1=l1.item(),
                       kl=kl.item(), psnr=running)
        if budget.elapsed - last_save > 120:
            last_save = budget.elapsed
            save_atomic({"model": vae.state_dict(), "progress": progress, "step": step}, checkpoint)
    save_atomic({"model": vae.state_dict(), "progress": 1.0, "step": step}, checkpoint)


def train_decoder(work: str, minutes: float, frames: int = 2, crop: int = 8, batch: int = 4, seed: int = 7) -> None:
    """Improve only the decoder on cached latents; encoder, latents and therefore the DiT stay valid.

    Whole clips, or every fourth step crops of the first `frames` + 1 latent frames and `crop` latents a side.
    A margin of one latent is not scored, because the full frame would give it context.
    """
    device = pick_device()
    path = os.path.join(work, "vae_folded.safetensors")
    vae = WanVAE.from_state_dict(load_file(path)).to(device)
    latents = torch.load(os.path.join(work, "latents.pt"))
    clips = np.load(os.path.join(work, "clips.npy"), mmap_mode="r")
    trained = [*vae.decoder.parameters()]
    matrices, rest = split_parameters(vae.decoder)
    muon, adam = Muon(matrices, lr=0.0), torch.optim.AdamW(rest, lr=0.0, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    budget, step, running = Budget(minutes), 0, None
    while budget.progress < 1.0:
        whole = step % 4 != 3
        span, side, count = (5, 12, 1) if whole else (frames + 1, crop, batch)
        pixels = 4 * span - 3
        inputs, videos, weights = [], [], []
        for index in rng.integers(len(latents), size=count):
            y, x = (int(rng.integers(12 - side + 1)) for _ in range(2))
            window = (slice(0, pixels), slice(8 * y, 8 * (y + side)), slice(8 * x, 8 * (x + side)))
            scored = np.zeros((pixels, 8 * side, 8 * side), np.float32)
            edge = 0 if whole else 8
            scored[:, edge:8 * side - edge, edge:8 * side - edge] = 1.0
            inputs.append(latents[index][:, :span, y:y + side, x:x + side].float())
            videos.append(clips[index][window])
            weights.append(scored * (1.0 + DECODER_OBJECT_WEIGHT * object_mask(clips[index])[window]))
        z = torch.stack(inputs).to(device)
        video = to_model_range(np.stack(videos)).to(device)
        weight = torch.from_numpy(np.stack(weights))[:, None].to(device)
        with autocast(device):
            out = vae.decode_raw(z * vae.std + vae.mean).float()
        error = out - video
        loss = ((error.abs() + DECODER_SQUARED * error.square()) * weight).mean()
        loss = loss + 0.5 * gradient_l1(out, video, weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        rate = VIDEO_LR * min(1.0, (step + 1) / 10) * max(0.04, 1.0 - budget.progress)
        for optimiser in (muon, adam):
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        step += 1
        adapt_threads()
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 10 == 0:
            append_log(os.path.join(work, "decoder.jsonl"), step=step, seconds=budget.elapsed, loss=running)
    save_file({k: v.detach().cpu().contiguous() for k, v in vae.state_dict().items()}, path + ".part")
    os.replace(path + ".part", path)
