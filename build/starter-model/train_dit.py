"""DiT stages: `train_base` (scalar timestep per clip, with the text encoder) and `train_lora` (Pusa, per frame)."""
from __future__ import annotations

import json
import os

import numpy as np
import torch

import fafm
import lora
from common import Budget, adapt_threads, append_log, autocast, pick_device, save_atomic
from dit import WanDiT
from tokenizer import Tokenizer, build_model
from umt5 import UMT5

TEXT_LEN = 32
SHIFT = 3.0
CAPTION_DROP = 0.10
BATCH, IMAGE_BATCH = 12, 40
IMAGE_PHASE = 0.16
RANK = 32


class Corpus:
    """Normalised latents with their captions, which are varied in case and full stop."""

    def __init__(self, work: str):
        self.latents = torch.load(os.path.join(work, "latents.pt"))
        with open(os.path.join(work, "captions.json")) as f:
            self.captions = json.load(f)
        self.tokenizer = Tokenizer(build_model())
        self.known: dict[str, list[int]] = {}

    def tokens(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.zeros(len(texts), TEXT_LEN, dtype=torch.long)
        mask = torch.zeros(len(texts), TEXT_LEN)
        for row, text in enumerate(texts):
            if text not in self.known:
                self.known[text] = self.tokenizer.encode(text, TEXT_LEN)
            found = self.known[text]
            ids[row, :len(found)] = torch.tensor(found)
            mask[row, :len(found)] = 1
        return ids, mask

    def draw(self, rng: np.random.Generator, batch: int):
        """Latents [B, C, F, h, w] and captions, some dropped to the empty prompt."""
        rows = rng.integers(len(self.latents), size=batch)
        texts = []
        for row in rows:
            text = self.captions[row]
            if rng.random() < CAPTION_DROP:
                text = ""
            elif text[0] == "a":
                text = ("A" + text[1:] if rng.random() < 0.25 else text) + ("." if rng.random() < 0.25 else "")
            texts.append(text)
        return self.latents[torch.from_numpy(rows)].float(), texts


class Average:
    """Exponential moving average of parameters with the ramp (1 + n) / (10 + n)."""

    def __init__(self, parameters, decay: float, state=None, count: int = 0):
        self.parameters, self.decay, self.count = list(parameters), decay, count
        self.values = state or [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self):
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def store(self):
        """Copy the averages into the parameters."""
        for p, v in zip(self.parameters, self.values):
            p.copy_(v)


def build_models() -> tuple[WanDiT, UMT5]:
    torch.manual_seed(0)
    return WanDiT(), UMT5(Tokenizer(build_model()).size)


def set_rate(optimiser, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def train_base(work: str, minutes: float, peak: float = 1.5e-3, decay_from: float = 0.4, seed: int = 0) -> None:
    """Flow matching with one timestep per clip; the first part also trains single latent frames in large batches.

    A continued run warms up again to 70 % of the peak rate.
    """
    device = pick_device()
    corpus = Corpus(work)
    dit, text = build_models()
    path = os.path.join(work, "base.pt")
    saved = torch.load(path, weights_only=False) if os.path.exists(path) else None
    if saved:
        dit.load_state_dict(saved["dit"])
        text.load_state_dict(saved["text"])
    dit.to(device)
    text.to(device)
    parameters = [*dit.parameters(), *text.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    average = Average(parameters, 0.997)
    step = 0
    if saved:
        step = saved["step"]
        peak *= 0.7
        if "optimiser" in saved:
            optimiser.load_state_dict(saved["optimiser"])
        average = Average(parameters, 0.997, [v.to(device) for v in saved["average"]], saved["count"])
    rng = np.random.default_rng([seed, step])
    torch.manual_seed(seed + step)
    budget, last_save, running, first_step = Budget(minutes), 0.0, {}, step

    def save():
        save_atomic({"dit": dit.state_dict(), "text": text.state_dict(), "optimiser": optimiser.state_dict(),
                     "average": average.values, "count": average.count, "step": step}, path)

    while budget.progress < 1.0:
        progress = budget.progress
        image = not saved and progress < 2 * IMAGE_PHASE and rng.random() < 0.7
        latents, captions = corpus.draw(rng, IMAGE_BATCH if image else BATCH)
        if image:
            latents = latents[:, :, :1]
        latents = latents.to(device)
        ids, mask = (t.to(device) for t in corpus.tokens(captions))
        noise = torch.randn_like(latents)
        sigma = fafm.shift_sigma(torch.rand(len(latents), 1, device=device), SHIFT).expand(-1, latents.shape[2])
        with autocast(device):
            prediction = dit(fafm.add_noise(latents, noise, sigma), sigma * 1000, text(ids, mask)).float()
        loss = (prediction - (noise - latents)).square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm = min(1.0, (step - first_step + 1) / 50)
        cooled = 1.0 if progress < decay_from else max(0.04, 1 - (progress - decay_from) / (1 - decay_from))
        set_rate(optimiser, peak * warm * cooled)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update()
        step += 1
        adapt_threads()
        kind = "image" if image else "video"
        running[kind] = 0.98 * running.get(kind, loss.item()) + 0.02 * loss.item()
        if step % 25 == 0:
            append_log(os.path.join(work, "base.jsonl"), step=step, seconds=budget.elapsed, **running)
        if budget.elapsed - last_save > 120:
            last_save = budget.elapsed
            save()
    save()


def load_base(work: str) -> tuple[WanDiT, UMT5]:
    """Averaged base weights."""
    dit, text = build_models()
    saved = torch.load(os.path.join(work, "base.pt"), weights_only=False)
    Average([*dit.parameters(), *text.parameters()], 0.0, saved["average"]).store()
    return dit.eval(), text.eval()


def train_lora(work: str, minutes: float, peak: float = 2e-3, pure_fafm: bool = False, seed: int = 1) -> None:
    """Pusa fine-tune: only LoRA matrices move. Half FAFM, half conditioned patterns, or FAFM alone."""
    device = pick_device()
    corpus = Corpus(work)
    dit, text = load_base(work)
    parameters = lora.attach(dit, RANK)
    path = os.path.join(work, "lora.pt")
    step = 0
    if os.path.exists(path):
        saved = torch.load(path, weights_only=False)
        dit.load_state_dict(saved["lora"], strict=False)
        step = saved["step"]
    dit.train().to(device)
    text.to(device)
    optimiser = torch.optim.AdamW(parameters, lr=peak, weight_decay=0.0)
    average = Average(parameters, 0.99)
    rng = np.random.default_rng([seed, step])
    generator = torch.Generator().manual_seed(seed + step)
    torch.manual_seed(seed + step)
    budget, running = Budget(minutes), None
    while budget.progress < 1.0:
        latents, captions = corpus.draw(rng, BATCH)
        latents = latents.to(device)
        frames = latents.shape[2]
        ids, mask = (t.to(device) for t in corpus.tokens(captions))
        noise = torch.randn_like(latents)
        if pure_fafm:
            sigma = fafm.sample_fafm(BATCH, frames, generator)
        else:
            half = BATCH // 4
            sigma = torch.cat([fafm.sample_fafm(half, frames, generator),
                               fafm.sample_conditioned(BATCH - half, frames, generator)])
        sigma = sigma.to(device)
        with torch.no_grad(), autocast(device):
            context = text(ids, mask)
        with autocast(device):
            prediction = dit(fafm.add_noise(latents, noise, sigma), sigma * 1000, context).float()
        target = noise - latents
        if pure_fafm:
            loss = fafm.fafm_loss(prediction, target, sigma * 1000).mean()
        else:
            noisy = (sigma > 0).float()[:, None, :, None, None]
            loss = ((prediction - target).square() * noisy).mean() / noisy.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm = min(1.0, (step + 1) / 20)
        cooled = 1.0 if budget.progress < 0.4 else max(0.04, 1 - (budget.progress - 0.4) / 0.6)
        set_rate(optimiser, peak * warm * cooled)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update()
        step += 1
        adapt_threads()
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        if step % 25 == 0:
            append_log(os.path.join(work, "lora.jsonl"), step=step, seconds=budget.elapsed, loss=running)
    average.store()
    save_atomic({"lora": {k: v.cpu() for k, v in lora.lora_state(dit).items()}, "step": step}, path)
