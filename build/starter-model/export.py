"""Write the four model files and the sample sources of the app (safetensors, official key names, fp16 matrices)."""
from __future__ import annotations

import json
import os

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import data
from tokenizer import build_model
from train_dit import SHIFT, TEXT_LEN, load_base

NAME = "Pusa Studio Starter"
LICENCE = "MIT (weights trained from scratch on synthetic clips made by build/starter-model/data.py)"
FILES = {"dit": "starter_base.safetensors", "lora": "starter_pusa_lora.safetensors",
         "vae": "starter_vae.safetensors", "text": "starter_umt5.safetensors"}


def compact(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices and kernels to float16; norms, biases and modulation stay float32."""
    def half(name: str, value: torch.Tensor) -> bool:
        return value.ndim >= 2 and not name.endswith(("gamma", "modulation", "pos_embedding.embedding.weight"))
    return {k: (v.half() if half(k, v) else v.float()).contiguous().cpu() for k, v in state.items()}


def write(tensors: dict, path: str, metadata: dict[str, str] | None = None) -> None:
    save_file(tensors, path + ".part", {"format": "pt", **(metadata or {})})
    os.chmod(path + ".part", 0o644)
    os.replace(path + ".part", path)
    print(f"{os.path.basename(path):34s} {os.path.getsize(path) / 1e6:6.2f} MB")


def export_models(work: str) -> str:
    """Export whatever stages exist; returns the folder."""
    folder = os.path.join(work, "export")
    os.makedirs(folder, exist_ok=True)
    common = {"pusa.name": NAME, "pusa.licence": LICENCE}
    write(compact(load_file(os.path.join(work, "vae_folded.safetensors"))), os.path.join(folder, FILES["vae"]), common)
    dit, text = load_base(work)
    write(compact(dit.state_dict()), os.path.join(folder, FILES["dit"]), {
        **common, "pusa.num_heads": str(dit.config["heads"]), "pusa.text_len": str(TEXT_LEN),
        "pusa.native_width": str(data.SIZE), "pusa.native_height": str(data.SIZE), "pusa.native_fps": str(data.FPS),
        "pusa.native_frames": str(data.FRAMES), "pusa.recommended_steps": "10", "pusa.recommended_cfg": "2",
        "pusa.recommended_shift": f"{SHIFT:g}", "pusa.recommended_lora_strength": "1"})
    spiece = torch.from_numpy(np.frombuffer(build_model(), np.uint8).copy())
    write({**compact(text.state_dict()), "spiece_model": spiece}, os.path.join(folder, FILES["text"]), {
        **common, "pusa.num_heads": str(text.config["heads"]), "pusa.text_len": str(TEXT_LEN)})
    lora_path = os.path.join(work, "lora.pt")
    if os.path.exists(lora_path):
        lora_state = torch.load(lora_path, weights_only=False)["lora"]
        write(compact(lora_state), os.path.join(folder, FILES["lora"]), common)
    return folder


def _save_frames(folder: str, frames: np.ndarray) -> list[str]:
    os.makedirs(folder, exist_ok=True)
    names = []
    for i, frame in enumerate(frames):
        names.append(f"frame_{i:03d}.png")
        Image.fromarray(frame).save(os.path.join(folder, names[-1]))
    return names


def export_samples(folder: str) -> None:
    """Held-out clips for each task as PNG frames with captions and ground truth."""
    root = os.path.join(folder, "samples")
    wanted = {
        "image_to_video": lambda s: s.motion == "bounce" and s.language == "en",
        "start_end": lambda s: (s.shape, s.background, s.motion, s.language) == ("star", "green meadow", "slide_left", "en"),
        "clip": lambda s: s.motion == "slide_right" and s.language == "en",
        "extension": lambda s: s.motion == "grow" and s.language == "en",
        "transition_a": lambda s: s.motion == "slide_left" and s.language == "en",
        "colour_change": lambda s: (s.shape, s.colour, s.motion, s.target, s.language)
        == ("ball", "gold", "turn", "white", "en"),
    }
    entries, first = {}, 2_000_000
    for task, accept in wanted.items():
        scene = next(s for s in (data.sample_scene(first + i, held_out=True) for i in range(5000)) if accept(s))
        entries[task] = scene
    a = entries["transition_a"]
    entries["transition_b"] = next(
        s for s in (data.sample_scene(first + i) for i in range(20000))
        if (s.shape, s.colour, s.background, s.motion) == (a.shape, a.colour, a.background, "slide_right"))
    listing = []
    for task, scene in entries.items():
        video, _ = data.render(scene)
        used = video[:13] if task == "extension" else video
        names = _save_frames(os.path.join(root, task), used)
        Image.fromarray(video[0]).save(os.path.join(root, f"{task}_first.png"))
        Image.fromarray(video[-1]).save(os.path.join(root, f"{task}_last.png"))
        listing.append({"task": task, "caption": scene.caption, "fps": data.FPS, "frames": names,
                        "truth": scene.to_dict()})
    with open(os.path.join(root, "samples.json"), "w") as f:
        json.dump(listing, f, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    import sys
    export_samples(export_models(sys.argv[1]))
