"""DiT stages: `train_base` (scalar timestep per clip, with the text encoder) and `train_lora` (Pusa, per frame)."""
from __future__ import annotations

import os

import numpy as np
import torch

import data
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
WORD_DROP = 0.2
READING_WEIGHT = 0.1
READING_BATCH = 48
POSITION_RATE = 30.0

# what a caption says, by the names of data.Scene
READINGS = {"shape": data.SHAPES, "colour": tuple(data.COLOURS), "target": tuple(data.COLOURS), "motion": data.MOTIONS}


class Corpus:
    """Normalised latents with their captions, which are varied."""

    def __init__(self, work: str):
        self.latents = torch.load(os.path.join(work, "latents.pt"))
        self.tokenizer = Tokenizer(build_model())
        self.known: dict[str, list[int]] = {}

        # a clip's number is its scene's seed; scenes beyond the clips serve reading alone
        self.scenes = data.train_scenes(max(20_000, len(self.latents)))

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
        texts = ["" if rng.random() < CAPTION_DROP else vary(self.scenes[row], rng)[0] for row in rows]
        return self.latents[torch.from_numpy(rows)].float(), texts

    def draw_readings(self, rng: np.random.Generator, batch: int) -> tuple[list[str], torch.Tensor]:
        """Captions of any training scene, and what they say: indices [B, 4] into READINGS, -100 for what they leave out."""
        texts, said = zip(*(vary(self.scenes[i], rng) for i in rng.integers(len(self.scenes), size=batch)))
        return list(texts), torch.tensor(said)


def vary(scene: data.Scene, rng: np.random.Generator) -> tuple[str, list[int]]:
    """A scene's caption in one of its forms, and what it says: indices into READINGS, -100 for what it leaves out.

    Colour or shape are left out at times. Some combinations are held out, so that in complete captions shape and colour
    often give the direction away, and nobody would need to read on.
    """
    kept = rng.random(2) >= WORD_DROP
    colour, shape = (word if keep else "" for word, keep in zip((scene.colour, scene.shape), kept))
    text = data.make_caption(shape, colour, scene.background, scene.motion, scene.target, scene.language)
    if scene.language == "en":
        text = ("A" + text[1:] if rng.random() < 0.25 else text) + ("." if rng.random() < 0.25 else "")
    said = {name: values.index(getattr(scene, name)) for name, values in READINGS.items()}
    if not colour:
        said["colour"] = -100
        if scene.motion != "turn":
            said["target"] = -100
    if not shape:
        said["shape"] = -100
    return text, list(said.values())


class CaptionReader(torch.nn.Module):
    """Reads shape, colour, final colour and motion from every token's state; needed in training only.

    Wan's text encoder knows language before it meets a picture. Ours starts from nothing, and denoising alone did not
    teach it word order ("left to right", which of two colours comes first) in 7,000 steps. Reading does in minutes.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(dim, len(values)) for values in READINGS.values())

    def forward(self, states: torch.Tensor, mask: torch.Tensor, said: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """States [B, L, dim], mask [B, L], said [B, 4] -> mean cross-entropy and the share of captions read whole."""
        loss, right = 0.0, torch.ones(len(said), dtype=torch.bool, device=said.device)
        for head, truth in zip(self.heads, said.unbind(1)):
            scores = head(states).float()
            each = torch.nn.functional.cross_entropy(scores.transpose(1, 2), truth[:, None].expand(mask.shape), reduction="none")
            loss = loss + (each * mask).sum() / mask.sum()  # cross_entropy gives 0 where nothing is said
            right &= (truth < 0) | ((scores * mask[..., None]).sum(1).argmax(-1) == truth)
        return loss, right.float().mean()


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
        group["lr"] = rate * group.get("factor", 1.0)


def base_optimiser(dit: WanDiT, text: UMT5, rate: float) -> torch.optim.AdamW:
    """AdamW for DiT and text encoder. Tables of relative positions must move by whole units, so they move faster."""
    tables = [p for name, p in text.named_parameters() if "pos_embedding" in name]
    others = [p for p in (*dit.parameters(), *text.parameters()) if not any(p is table for table in tables)]
    groups = [{"params": others}, {"params": tables, "factor": POSITION_RATE, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    set_rate(optimiser, rate)
    return optimiser


def teach_reading(corpus: Corpus, text: UMT5, reader: CaptionReader, optimiser, reader_optimiser, rng, budget: Budget, log: str) -> None:
    """Moves the text encoder alone until it reads 98 of 100 captions whole, for at most a tenth of the time."""
    device, running, step = next(text.parameters()).device, None, 0
    set_rate(optimiser, 1e-3)
    while (running is None or running < 0.98) and budget.progress < 0.1:
        captions, said = corpus.draw_readings(rng, READING_BATCH)
        ids, mask = (t.to(device) for t in corpus.tokens(captions))
        loss, read = reader(text(ids, mask), mask, said.to(device))
        loss.backward()
        for each in (optimiser, reader_optimiser):
            each.step()
            each.zero_grad(set_to_none=True)
        running = read.item() if running is None else 0.98 * running + 0.02 * read.item()
        step += 1
        if step % 50 == 0:
            append_log(log, reading=step, seconds=budget.elapsed, read=running)


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
    optimiser = base_optimiser(dit, text, peak)
    average = Average(parameters, 0.997)
    reader = CaptionReader(text.config["dim"]).to(device)
    reader_optimiser = torch.optim.AdamW(reader.parameters(), lr=1e-3, weight_decay=0.0)
    step = 0
    if saved:
        reader.load_state_dict(saved.get("reader", reader.state_dict()))
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
                     "average": average.values, "count": average.count, "reader": reader.state_dict(), "step": step}, path)

    teach_reading(corpus, text, reader, optimiser, reader_optimiser, rng, budget, os.path.join(work, "base.jsonl"))
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
        captions, said = corpus.draw_readings(rng, READING_BATCH)
        ids, mask = (t.to(device) for t in corpus.tokens(captions))
        with autocast(device):
            states = text(ids, mask)
        reading, read = reader(states, mask, said.to(device))
        (loss + READING_WEIGHT * reading).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        warm = min(1.0, (step - first_step + 1) / 50)
        cooled = 1.0 if progress < decay_from else max(0.04, 1 - (progress - decay_from) / (1 - decay_from))
        set_rate(optimiser, peak * warm * cooled)
        for each in (optimiser, reader_optimiser):
            each.step()
            each.zero_grad(set_to_none=True)
        average.update()
        step += 1
        adapt_threads()
        for kind, value in {"image" if image else "video": loss.item(), "read": read.item()}.items():
            running[kind] = 0.98 * running.get(kind, value) + 0.02 * value
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
