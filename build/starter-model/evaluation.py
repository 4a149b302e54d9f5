"""Evaluation of the exported model through the application's own engine, on held-out scenes.

    python evaluation.py WORK MODEL_FOLDER [--pure MODEL_FOLDER] [--clips 20] [--seeds 100] [--node node]

MODEL_FOLDER is an imported package (the application's `resources/models/starter`); `--pure` another one whose LoRA was
trained by FAFM alone. Writes WORK/evaluation/report.md (tables) and a contact sheet for each task; clips that are
there already are not rendered again.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess

import numpy as np
import torch
from PIL import Image

import data
import fafm
import scene_parser
from evaluate import Models, psnr
from train_dit import SHIFT

LAST = data.FRAMES - 1
GUIDED, FREE = 1.5, 3.0
STEPS = (2, 4, 10, 30)
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0)


def save_frames(folder: str, frames: np.ndarray) -> str:
    os.makedirs(folder, exist_ok=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(os.path.join(folder, f"{i:03d}.png"))
    return folder


class Sources:
    """Frames of true clips as the application imports them: pictures, and folders of frames."""

    def __init__(self, folder: str, scenes: list[data.Scene]):
        self.folder, self.scenes = folder, scenes
        self.truth = [data.render(s)[0] for s in scenes]

    def picture(self, index: int, frame: int) -> dict:
        folder = save_frames(os.path.join(self.folder, f"{index}-{frame}"), self.truth[index][frame:frame + 1])
        return {"path": os.path.abspath(os.path.join(folder, "000.png")), "start": frame, "frames": 1}

    def clip(self, index: int, first: int, last: int) -> dict:
        frames = self.truth[index][first:last + 1]
        folder = save_frames(os.path.join(self.folder, f"{index}-{first}-{last}"), frames)
        return {"path": os.path.abspath(folder), "start": first, "frames": len(frames)}


# Task -> (clips of a scene, marks, frames that are generated). Cells: 0 | 1-4 | 5-8 | 9-12 | 13-16.
TASKS = {
    "image to video": (lambda s, i: [s.picture(i, 0)], "0=fixed", slice(1, None)),
    "start and end": (lambda s, i: [s.picture(i, 0), s.picture(i, LAST)], "0=fixed,16=0.2", slice(1, LAST)),
    "keyframes": (lambda s, i: [s.picture(i, f) for f in (0, 8, LAST)], "0=fixed,8=0.2,16=0.2", slice(1, LAST)),
    "extension": (lambda s, i: [s.clip(i, 0, 8)], "0-4=fixed,5-8=0.3", slice(9, None)),
    "transition": (lambda s, i: [s.clip(i, 0, 4), s.clip(i, 13, LAST)], "0-4=fixed,13-16=fixed", slice(5, 13)),
    "VAE round trip": (lambda s, i: [s.clip(i, 0, LAST)], "0-16=fixed", slice(0, None)),
}


def case(name: str, scene: data.Scene, seed: int, clips=(), marks="", **sampler) -> dict:
    return {"name": name, "prompt": scene.caption, "frames": data.FRAMES, "clips": list(clips), "marks": marks,
            "sampler": {"seed": seed, "steps": 10, "cfg": GUIDED, "shift": SHIFT, "loraStrength": 1.0, **sampler}}


def render(options, model: str, cases: list[dict], out: str) -> list[np.ndarray]:
    """Clips uint8 [T, H, W, 3] of the cases, made by the application's engine."""
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, "cases.json")
    with open(path, "w") as f:
        json.dump({"model": os.path.abspath(model), "cases": cases}, f)
    here = os.path.dirname(os.path.abspath(__file__))
    script = os.path.join(here, "..", "render-cases.ts")
    subprocess.run([options.node, script, os.path.abspath(path), os.path.abspath(out)], check=True)
    shape = (data.FRAMES, data.SIZE, data.SIZE, 3)
    return [np.fromfile(os.path.join(out, c["name"] + ".rgb"), np.uint8).reshape(shape) for c in cases]


def detail(clip: np.ndarray, where: np.ndarray) -> float:
    """Mean gradient of the brightness around the object: blur lowers it."""
    grey = clip.astype(np.float32).mean(-1)
    across, down = np.abs(np.diff(grey, axis=2))[:, :-1], np.abs(np.diff(grey, axis=1))[:, :, :-1]
    return float((across + down)[where[:, :-1, :-1]].mean())


def measure(clips: list[np.ndarray], truth: list[np.ndarray], scenes: list[data.Scene], frames: slice) -> dict:
    """Error, motion and sharpness of the generated frames against the simulated truth, and what the parser reads."""
    errors, motion, sharp, read = [], [], [], []
    for clip, true, scene in zip(clips, truth, scenes):
        a, b = clip[frames].astype(np.float32), true[frames].astype(np.float32)
        errors.append(((a - b) / 255).__pow__(2).mean())
        change = np.abs(np.diff(b, axis=0)).mean()
        if change > 0.2:
            motion.append(np.abs(np.diff(a, axis=0)).mean() / change)
        where = np.abs(true.astype(np.float32) - np.median(true, axis=(1, 2), keepdims=True)).max(-1)[frames] > 24
        sharp.append(detail(clip[frames], where) / detail(true[frames], where))
        read.append(all(scene_parser.matches(scene_parser.parse(clip), scene).values()))
    return {"MSE": float(np.mean(errors)), "PSNR dB": psnr(np.mean(errors)), "motion": float(np.median(motion)),
            "sharpness": float(np.mean(sharp)), "all right": float(np.mean(read))}


def error_only(pairs) -> dict:
    """The row of a table where only the error makes sense; pairs of arrays of equal shape."""
    value = np.mean([((a.astype(np.float32) - b) / 255).__pow__(2).mean() for a, b in pairs])
    return {"MSE": float(value), "PSNR dB": psnr(value)} | dict.fromkeys(("motion", "sharpness", "all right"), float("nan"))


def contact(columns: list[list[np.ndarray]], path: str, wide: int = 2) -> None:
    """Rows of clips (frames 0, 4, 8, 12, 16 of each column), wrapped."""
    gap = np.full((data.SIZE, 6, 3), 255, np.uint8)
    rows = [np.concatenate([part for clip in row for part in (*clip[::4], gap)], 1) for row in zip(*columns)]
    high = -(-len(rows) // wide)
    rows += [np.full_like(rows[0], 255)] * (high * wide - len(rows))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(rows[c * high:(c + 1) * high], 0) for c in range(wide)], 1)).save(path)


def table(title: str, rows: dict[str, dict]) -> str:
    names = list(next(iter(rows.values())))
    lines = [f"### {title}", "", "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row, values in rows.items():
        cells = [f"{v:.4f}" if "MSE" in n or "loss" in n else f"{v:.2f}" for n, v in values.items()]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def equal_timestep_loss(work: str, scenes: list[data.Scene]) -> dict[str, dict]:
    """Flow-matching loss at one timestep for all frames, the same noise for both (spec section 8)."""
    models = Models(work)
    latents = models.encode([data.render(s)[0] for s in scenes])
    generator = torch.Generator().manual_seed(11)
    result = {}
    sigma = fafm.shift_sigma((torch.arange(len(scenes)) + 0.5) / len(scenes), SHIFT)[:, None].expand(-1, latents.shape[2])
    noise = torch.randn(latents.shape, generator=generator)
    context = models.context([s.caption for s in scenes])
    for name, dit in {"base": models.base, "base + LoRA": models.pusa}.items():
        losses = []
        with torch.no_grad():
            for at in range(0, len(scenes), 10):
                part = slice(at, at + 10)
                z, n, s = latents[part], noise[part], sigma[part]
                losses.append((dit(fafm.add_noise(z, n, s), s * 1000, context[part]) - (n - z)).square().mean().item())
        result[name] = {"loss": float(np.mean(losses))}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work")
    parser.add_argument("model")
    parser.add_argument("--pure")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--node", default="node")
    options = parser.parse_args()
    root = os.path.join(options.work, "evaluation")
    scenes = data.held_out_scenes(options.clips, 4_000_000)
    sources = Sources(os.path.join(root, "sources"), scenes)
    truth, few = sources.truth, min(12, options.clips)

    def add(text: str) -> None:
        """Adds to the report, which is written after each part: an evaluation that is stopped has told what it knows."""
        report.append(text)
        with open(os.path.join(root, "report.md"), "w") as f:
            f.write("\n".join(report).replace("nan", "-"))

    report = ["## Evaluation through the application's engine", "",
              f"Held-out combinations, {options.clips} scenes, 10 steps, CFG {GUIDED} with frames given and {FREE} without, "
              "one seed per scene. Motion and sharpness are those of the result divided by those of the simulated truth "
              "(1 is right); \"all right\" is the exact parser's reading of shape, colours, background and motion.", ""]

    def conditioned(task: str, label: str, model: str = options.model, count: int = options.clips, **sampler) -> list[np.ndarray]:
        clips_of, marks, _ = TASKS[task]
        cases = [case(f"{i:03d}", scenes[i], 100 + i, clips_of(sources, i), marks, **sampler) for i in range(count)]
        return render(options, model, cases, os.path.join(root, "clips", label))

    rows, sheets = {}, {}
    for task, (_, _, frames) in TASKS.items():
        label = task.replace(" ", "-").lower()
        if task == "VAE round trip":
            clips = conditioned(task, label, steps=1, cfg=1.0)
            rows["VAE round trip, first frame"] = error_only((c[0], t[0]) for c, t in zip(clips, truth))
            rows[task] = measure(clips, truth, scenes, frames)
            moving = [np.abs(t.astype(np.float32) - np.median(t, axis=0)).max(-1) > 16 for t in truth]
            rows["VAE round trip, moving pixels"] = error_only(
                (c[m], t[m]) for c, t, m in zip(clips, truth, moving) if m.sum() > 500)
            continue
        clips = conditioned(task, label)
        if task == "image to video":
            base = conditioned(task, label + "-base", loraStrength=0.0)
            rows["image to video, base without LoRA"] = measure(base, truth, scenes, frames)
            rows["image to video, first frame copied"] = measure([t[:1].repeat(17, 0) for t in truth], truth, scenes, frames)
            contact([truth, base, clips], os.path.join(root, label + ".png"), 1)
        else:
            contact([truth, clips], os.path.join(root, label + ".png"), 1)
        rows[task + ", base + LoRA"] = measure(clips, truth, scenes, frames)
        sheets[task] = clips
    for task, keys in {"start and end": [0, LAST], "keyframes": [0, 8, LAST]}.items():
        rows[f"{task}, at the given frames"] = error_only((c[keys], t[keys]) for c, t in zip(sheets[task], truth))
    add(table("(a)-(d) Frames given", rows))

    seeds = data.held_out_scenes(options.seeds, 3_000_000)
    parts: dict[str, dict] = {}
    for name, strength in {"base": 0.0, "base + LoRA": 1.0}.items():
        cases = [case(f"{i:03d}", s, 500 + i, cfg=FREE, loraStrength=strength) for i, s in enumerate(seeds)]
        clips = render(options, options.model, cases, os.path.join(root, "clips", f"text-{strength:g}"))
        found = [scene_parser.matches(scene_parser.parse(c), s) for c, s in zip(clips, seeds)]
        parts[name] = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        parts[name]["all right"] = float(np.mean([all(f.values()) for f in found]))
        if strength:
            contact([clips[:20]], os.path.join(root, "text-to-video.png"))
    add(table(f"(e) Text to video, {options.seeds} held-out captions, share read right", parts))
    add(table("(e) Loss at equal timesteps, 100 held-out clips", equal_timestep_loss(options.work, data.held_out_scenes(100, 5_000_000))))

    task, frames = "image to video", TASKS["image to video"][2]
    add(table(f"(f) Steps, image to video, {few} scenes", {
        f"{steps} steps": measure(conditioned(task, f"steps-{steps}", count=few, steps=steps), truth[:few], scenes[:few], frames)
        for steps in STEPS}))
    add(table(f"(g) LoRA strength, image to video, {few} scenes", {
        f"{strength:g}": measure(conditioned(task, f"strength-{strength:g}", count=few, loraStrength=strength), truth[:few], scenes[:few], frames)
        for strength in STRENGTHS}))
    if options.pure:
        add(table(f"(h) LoRA trained by FAFM alone, and mixed with conditioned patterns, {options.clips} scenes", {
            "FAFM alone": measure(conditioned(task, "pure", model=options.pure), truth, scenes, frames),
            "mixed": rows["image to video, base + LoRA"]}))
    print("\n".join(report))


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
