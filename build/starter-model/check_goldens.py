"""Compare the PyTorch modules with the reference numbers of the golden cases (folder given on the command line)."""
from __future__ import annotations

import os
import sys

import torch
from safetensors.torch import load_file

import fafm
import lora
from dit import WanDiT
from umt5 import UMT5, relative_buckets
from vae import WanVAE


def report(name: str, got: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    error = (got - expected).abs().max().item()
    print(f"{name:32s} max error {error:.2e} (tolerance {tolerance:.0e})")
    return error <= tolerance


@torch.no_grad()
def check_vae(folder: str) -> bool:
    tensors = load_file(os.path.join(folder, "vae_tiny", "tensors.safetensors"))
    vae = WanVAE.from_state_dict(load_file(os.path.join(folder, "vae_tiny", "weights.safetensors"))).eval()
    ok = report("vae encode", vae.encode(tensors["video"][None])[0], tensors["latent"], 2e-4)
    ok &= report("vae encode image", vae.encode(tensors["image"][None])[0], tensors["image_latent"], 2e-4)
    ok &= report("vae decode", vae.decode(tensors["latent"][None])[0], tensors["decoded"], 2e-4)
    raw = vae.decode_raw(tensors["rand_latent"][None] * vae.std + vae.mean)[0]
    return ok & report("vae decode random", raw, tensors["rand_decoded_raw"], 2e-4)


@torch.no_grad()
def check_umt5(folder: str) -> bool:
    tensors = load_file(os.path.join(folder, "umt5_tiny", "tensors.safetensors"))
    model = UMT5.from_state_dict(load_file(os.path.join(folder, "umt5_tiny", "weights.safetensors")))
    output = model(tensors["ids"].long(), tensors["mask"])
    ok = report("umt5 output", output, tensors["output_zeroed"], 1e-4)
    middle = tensors["rel_pos"].abs().argmin().item()
    wanted = tensors["rel_bucket"][middle:middle + 200].float()
    return ok & report("umt5 buckets", relative_buckets(200)[0].float(), wanted, 0)


def run_dit(state: dict, tensors: dict) -> torch.Tensor:
    model = WanDiT.from_state_dict(state, heads=2)
    context = torch.zeros(1, 16, tensors["context"].shape[1])
    context[0, :len(tensors["context"])] = tensors["context"]
    return model(tensors["x"][None], tensors["timesteps"][None], context)[0]


@torch.no_grad()
def check_dit(folder: str) -> bool:
    case = os.path.join(folder, "dit_tiny_vector")
    tensors = load_file(os.path.join(case, "tensors.safetensors"))
    state = load_file(os.path.join(case, "weights.safetensors"))
    ok = report("dit vector timestep", run_dit(state, tensors), tensors["output"], 1e-4)
    odd = os.path.join(folder, "dit_tiny_vector_odd")
    tensors = load_file(os.path.join(odd, "tensors.safetensors"))
    state_odd = load_file(os.path.join(odd, "weights.safetensors"))
    ok &= report("dit odd sizes", run_dit(state_odd, tensors), tensors["output"], 1e-4)
    case = os.path.join(folder, "lora_merge")
    tensors = load_file(os.path.join(case, "tensors.safetensors"))
    delta = {k.replace(".default", ""): v for k, v in load_file(os.path.join(case, "lora_pusa.safetensors")).items()}
    merged = run_dit(lora.merge(state, delta, 1.4), tensors)
    return ok & report("dit with merged LoRA", merged, tensors["output_pusa_merged"], 1e-4)


def check_fafm(folder: str) -> bool:
    tensors = load_file(os.path.join(folder, "fafm_loss", "tensors.safetensors"))
    sigma = fafm.sigma_grid()[tensors["timestep_id"].long()]
    ok = report("fafm sigma", sigma, tensors["sigma"], 1e-6)
    noisy = fafm.add_noise(tensors["latents"], tensors["noise"], sigma)
    ok &= report("fafm noisy latents", noisy, tensors["noisy_latents"], 1e-5)
    loss = fafm.fafm_loss(tensors["prediction"], tensors["target"], tensors["timestep"])
    return ok & report("fafm loss", loss, tensors["loss_per_sample"], 1e-4)


if __name__ == "__main__":
    root = sys.argv[1]
    sys.exit(0 if all([check(root) for check in (check_vae, check_umt5, check_dit, check_fafm)]) else 1)
