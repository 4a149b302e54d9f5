"""Development evaluation: VAE fidelity, text-to-video and conditioned sampling, contact sheets, parser scores.

    python evaluate.py WORK vae          PSNR of first frames and of moving pixels on held-out clips
    python evaluate.py WORK t2v          sheet of held-out captions (base)
    python evaluate.py WORK i2v          base without tuning against base + LoRA, copy-first-frame baseline, sheets
    python evaluate.py WORK score 100    share of seeds whose clip shows the captioned object, colour and motion
"""
from __future__ import annotations

import os
import sys

import numpy as np
import torch
from PIL import Image

import data
import scene_parser
from common import autocast, pick_device, to_model_range, to_pixels
from cache import load_vae
from dit import WanDiT
from lora import merge
from sampling import LATENT_SHAPE, sample
from tokenizer import Tokenizer, build_model
from train_dit import TEXT_LEN, load_base
from train_vae import object_mask
from vae import WanVAE

SHOWN = (0, 4, 8, 12, 16)


def psnr(error: float) -> float:
    """Mean square error in [0, 1] units to dB."""
    return float(-10 * np.log10(error + 1e-12))


def sheet(rows: list[list[np.ndarray]], path: str, columns: int = 2) -> None:
    """Rows of clips side by side (frames 0, 4, 8, 12, 16 of each), wrapped into columns."""
    strips = [np.concatenate([f for clip in row for f in list(clip[list(SHOWN)]) + [np.full((96, 4, 3), 255, np.uint8)]], 1)
              for row in rows]
    height = -(-len(strips) // columns)
    strips += [np.full_like(strips[0], 255)] * (height * columns - len(strips))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(strips[c * height:(c + 1) * height], 0) for c in range(columns)], 1)).save(path)
    print("wrote", path)


class Models:
    """Everything needed to sample; `pusa` is None before the LoRA stage."""

    def __init__(self, work: str):
        self.device = pick_device()
        self.vae = load_vae(work).to(self.device)
        self.base, self.text = (m.to(self.device) for m in load_base(work))
        self.tokenizer = Tokenizer(build_model())
        self.pusa = None
        path = os.path.join(work, "lora.pt")
        if os.path.exists(path):
            state = merge(self.base.state_dict(), torch.load(path, weights_only=False)["lora"])
            self.pusa = WanDiT.from_state_dict(state, self.base.config["heads"]).eval().to(self.device)

    @torch.no_grad()
    def context(self, captions: list[str]) -> torch.Tensor:
        ids, mask = (torch.from_numpy(a).to(self.device) for a in self.tokenizer.batch(captions, TEXT_LEN))
        return self.text(ids, mask)

    @torch.no_grad()
    def encode(self, videos: list[np.ndarray]) -> torch.Tensor:
        return torch.cat([self.vae.encode(to_model_range(v)[None].to(self.device)) for v in videos])

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> list[np.ndarray]:
        return [to_pixels(self.vae.decode(z[None])[0]) for z in latents]

    def generate(self, dit, captions, seed: int, conditions=None, **options) -> torch.Tensor:
        """Normalised latents for the captions, noise from consecutive seeds."""
        noise = torch.cat([torch.randn(1, *LATENT_SHAPE, generator=torch.Generator().manual_seed(seed + i))
                           for i in range(len(captions))]).to(self.device)
        return sample(dit, self.context(captions), self.context([""]), noise, conditions, **options)


def evaluate_vae(work: str, count: int = 12) -> None:
    device = pick_device()
    folded = os.path.exists(os.path.join(work, "vae_folded.safetensors"))
    vae = load_vae(work) if folded else WanVAE()
    if not folded:
        vae.load_state_dict(torch.load(os.path.join(work, "vae.pt"), weights_only=False)["model"])
    vae.eval().to(device)
    rows, errors = [], {"all": [], "first frame": [], "object": [], "moving": [], "still z1-z0": []}
    for scene in data.held_out_scenes(count):
        clip, _ = data.render(scene)
        with torch.no_grad(), autocast(device):
            latent = vae.encode_raw(to_model_range(clip)[None].to(device))[0].float()
            result = to_pixels(vae.decode_raw(latent).float()[0])
            held = vae.encode_raw(to_model_range(np.repeat(clip[:1], 5, 0))[None].to(device))[0].float()
        square = ((clip.astype(np.float32) - result) / 255).__pow__(2).mean(-1)
        moving = np.abs(clip.astype(np.float32) - np.median(clip, axis=0)).max(-1) > 16
        errors["all"].append(square.mean())
        errors["first frame"].append(square[0].mean())
        errors["object"].append(square[object_mask(clip)].mean())
        if moving.sum() > 500:
            errors["moving"].append(square[moving].mean())
        errors["still z1-z0"].append(((held[:, :, 1] - held[:, :, 0]).std() / held.std()).item())
        rows.append([clip, result])
    for name, values in errors.items():
        print(f"{name:12s}", f"{np.mean(values):.3f}" if name.startswith("still") else f"{psnr(np.mean(values)):.2f} dB")
    sheet(rows, os.path.join(work, "sheets", "vae.png"), columns=1)


def evaluate_t2v(work: str, count: int = 16, cfg: float = 3.0) -> None:
    models = Models(work)
    scenes = data.held_out_scenes(count)
    clips = models.decode(models.generate(models.base, [s.caption for s in scenes], 0, cfg=cfg))
    for scene, clip in zip(scenes, clips):
        print(scene.caption, "->", scene_parser.parse(clip))
    sheet([[c] for c in clips], os.path.join(work, "sheets", "t2v.png"))


def evaluate_i2v(work: str, count: int = 12, cfg: float = 1.5) -> None:
    """First frame given, clean (m = 0), and start-end; error against the truth on latent frames 1-4 and in pixels."""
    models = Models(work)
    scenes = data.held_out_scenes(count)
    captions = [s.caption for s in scenes]
    truth = [data.render(s)[0] for s in scenes]
    latents = models.encode(truth)
    images = models.encode([t[:1] for t in truth])[:, :, 0]
    first = {0: (images, 0.0)}
    runs = {"base": (models.base, first)}
    if models.pusa:
        runs["pusa"] = (models.pusa, first)
        runs["pusa start-end"] = (models.pusa, {**first, 4: (latents[:, :, 4], 0.2)})
    columns = [truth]
    for name, (dit, conditions) in runs.items():
        result = models.generate(dit, captions, 100, conditions, cfg=cfg)
        clips = models.decode(result)
        columns.append(clips)
        latent_error = (result - latents).square()[:, :, 1:].mean().item()
        pixel = np.mean([((a.astype(float) - b) / 255)[1:].__pow__(2).mean() for a, b in zip(clips, truth)])
        scores = [scene_parser.matches(scene_parser.parse(c), s) for c, s in zip(clips, scenes)]
        print(f"{name:16s} latent MSE {latent_error:.3f}  pixel MSE {pixel:.5f} ({psnr(pixel):.2f} dB)  parsed motion "
              f"{np.mean([s['motion'] for s in scores]):.2f} object {np.mean([s['shape'] and s['colour'] for s in scores]):.2f}")
    copied = np.mean([((t[:1].astype(float) - t) / 255)[1:].__pow__(2).mean() for t in truth])
    ceiling = np.mean([((a.astype(float) - b) / 255)[1:].__pow__(2).mean() for a, b in zip(models.decode(latents), truth)])
    print(f"copy first frame: pixel MSE {copied:.5f} ({psnr(copied):.2f} dB); VAE ceiling {psnr(ceiling):.2f} dB")
    sheet([list(r) for r in zip(*columns)], os.path.join(work, "sheets", "i2v.png"), columns=1)


def evaluate_score(work: str, count: int = 100, cfg: float = 3.0, batch: int = 20) -> None:
    models = Models(work)
    dits = {"base": models.base, **({"pusa": models.pusa} if models.pusa else {})}
    scenes = data.held_out_scenes(count, 3_000_000)
    for name, dit in dits.items():
        results = []
        for start in range(0, count, batch):
            part = scenes[start:start + batch]
            clips = models.decode(models.generate(dit, [s.caption for s in part], 500 + start, cfg=cfg))
            results += [scene_parser.matches(scene_parser.parse(c), s) for c, s in zip(clips, part)]
        for key in results[0]:
            print(f"{name} text to video, {key}: {np.mean([r[key] for r in results]):.2f}")
        print(f"{name} text to video, all: {np.mean([all(r.values()) for r in results]):.2f}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    command = {"vae": evaluate_vae, "t2v": evaluate_t2v, "i2v": evaluate_i2v, "score": evaluate_score}[sys.argv[2]]
    command(sys.argv[1], *map(int, sys.argv[3:4]), *map(float, sys.argv[4:5]))
