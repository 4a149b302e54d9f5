"""One command for the whole recipe: data, VAE, latent cache, base DiT, Pusa LoRA, export. Every stage resumes.

    nice -n 19 python train.py --work ../../.training
    nice -n 19 python train.py --work ../../.training --stages base,lora,export --minutes base=30,lora=10

Stages: data, vae, cache, decoder (optional, only when named), base, lora, export.
A finished stage is skipped unless it is named in --stages with minutes, in which case it continues from its checkpoint.
With no checkpoints but an export folder, `--from-export FOLDER` rebuilds them first.
"""
from __future__ import annotations

import argparse
import os

import torch

import cache
import data
import train_dit
import train_vae
from common import DEFAULT_WORK, save_atomic
from export import export_models, export_samples

MINUTES = {"vae": 45.0, "decoder": 15.0, "base": 60.0, "lora": 12.0}


def parse_minutes(text: str) -> dict[str, float]:
    """"base=30,lora=10" -> {"base": 30.0, "lora": 10.0}."""
    return {k: float(v) for k, v in (item.split("=") for item in text.split(",") if item)}


def restore_from_export(folder: str, work: str) -> None:
    """Rebuild VAE, base and LoRA checkpoints from exported safetensors (optimiser state starts afresh)."""
    from safetensors.torch import load_file, save_file

    from export import FILES
    os.makedirs(work, exist_ok=True)
    read = lambda kind: {k: v.float() for k, v in load_file(os.path.join(folder, FILES[kind])).items()}
    save_file(read("vae"), os.path.join(work, "vae_folded.safetensors"))
    save_atomic({"model": read("vae"), "progress": 1.0, "step": 0}, os.path.join(work, "vae.pt"))
    dit, text = train_dit.build_models()
    dit.load_state_dict(read("dit"))
    text.load_state_dict({k: v for k, v in read("text").items() if k != "spiece_model"})
    parameters = [*dit.parameters(), *text.parameters()]
    save_atomic({"dit": dit.state_dict(), "text": text.state_dict(), "average": [p.detach() for p in parameters],
                 "count": 1000, "step": 1000}, os.path.join(work, "base.pt"))
    if os.path.exists(os.path.join(folder, FILES["lora"])):
        save_atomic({"lora": read("lora"), "step": 1000}, os.path.join(work, "lora.pt"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", default=DEFAULT_WORK)
    options.add_argument("--stages", default="")
    options.add_argument("--minutes", default="", help="e.g. vae=45,base=60,lora=12")
    options.add_argument("--clips", type=int, default=5000)
    options.add_argument("--cached", type=int, default=4000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--pure-fafm", action="store_true")
    options.add_argument("--from-export", default="")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    os.makedirs(arguments.work, exist_ok=True)
    named = [s for s in arguments.stages.split(",") if s]
    minutes = {**MINUTES, **parse_minutes(arguments.minutes)}
    work = arguments.work

    def needed(stage: str, product: str) -> bool:
        """A stage runs when named, or in a full run when its product is missing or was cut short."""
        if named:
            return stage in named
        return not os.path.exists(os.path.join(work, product))

    if arguments.from_export:
        restore_from_export(arguments.from_export, work)
    if needed("data", "clips.npy"):
        data.build_cache(os.path.join(work, "clips.npy"), arguments.clips)
    if needed("vae", "vae_folded.safetensors"):
        train_vae.train(work, minutes["vae"], arguments.seed)
    if needed("cache", "latents.pt"):
        cache.build(work, arguments.cached)
    if "decoder" in named:
        train_vae.train_decoder(work, minutes["decoder"])
    if needed("base", "base.done"):
        train_dit.train_base(work, minutes["base"], seed=arguments.seed)
        open(os.path.join(work, "base.done"), "w").close()
    if needed("lora", "lora.pt"):
        train_dit.train_lora(work, minutes["lora"], pure_fafm=arguments.pure_fafm, seed=arguments.seed + 1)
    if not named or "export" in named:
        export_samples(export_models(work))


if __name__ == "__main__":
    main()
