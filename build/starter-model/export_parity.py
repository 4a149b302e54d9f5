"""Reference numbers from the exported files in float32, for checking the TypeScript engine.

Writes `parity.safetensors` and `parity.json` beside the models.
"""
from __future__ import annotations

import json
import os
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import data
from common import to_model_range
from dit import WanDiT
from export import FILES
from lora import merge
from tokenizer import Tokenizer
from umt5 import UMT5
from vae import WanVAE


def load_exported(folder: str) -> dict:
    """Models rebuilt from the exported files, plus the merged Pusa model (strength 1)."""
    paths = {k: os.path.join(folder, v) for k, v in FILES.items()}
    with safe_open(paths["dit"], "pt") as f:
        metadata = f.metadata()
    heads = int(metadata["pusa.num_heads"])
    base, text_state = load_file(paths["dit"]), load_file(paths["text"])
    models = {
        "metadata": metadata,
        "base": WanDiT.from_state_dict(base, heads).eval(),
        "text": UMT5.from_state_dict(text_state).eval(),
        "tokenizer": Tokenizer(bytes(text_state["spiece_model"].numpy())),
        "vae": WanVAE.from_state_dict(load_file(paths["vae"])).eval(),
    }
    if os.path.exists(paths["lora"]):
        models["pusa"] = WanDiT.from_state_dict(merge(base, load_file(paths["lora"])), heads).eval()
    return models


@torch.no_grad()
def main(folder: str) -> None:
    models = load_exported(folder)
    length = int(models["metadata"]["pusa.text_len"])
    scene = data.held_out_scenes(1)[0]
    ids, mask = (torch.from_numpy(a) for a in models["tokenizer"].batch([scene.caption], length))
    context = models["text"](ids, mask)
    generator = torch.Generator().manual_seed(5)
    latent = torch.randn(1, 16, 5, 12, 12, generator=generator)
    timesteps = torch.tensor([[0.0, 200.0, 500.0, 800.0, 1000.0]])
    video = to_model_range(data.render(scene)[0])[None]
    encoded = models["vae"].encode(video)
    tensors = {
        "token_ids": ids[0].int(), "token_mask": mask[0].int(), "text_output": context[0],
        "dit_x": latent[0], "dit_timesteps": timesteps[0], "dit_base_output": models["base"](latent, timesteps, context)[0],
        "vae_video": video[0], "vae_latent": encoded[0], "vae_decoded": models["vae"].decode(encoded)[0],
    }
    if "pusa" in models:
        tensors["dit_pusa_output"] = models["pusa"](latent, timesteps, context)[0]
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "parity.safetensors"))
    os.chmod(os.path.join(folder, "parity.safetensors"), 0o644)
    with open(os.path.join(folder, "parity.json"), "w") as f:
        json.dump({
            "prompt": scene.caption, "text_len": length, "lora_strength": 1.0,
            "notes": ["float32 arithmetic on the fp16-rounded exported weights",
                      "vae_latent = (mu - mean) / std with Wan's constants; vae_decoded is clamped to [-1, 1]",
                      "dit outputs use text_output (padding rows zero) as context"],
            "tensors": {k: list(v.shape) for k, v in tensors.items()}}, f, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main(sys.argv[1])
