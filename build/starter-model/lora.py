"""LoRA on q, k, v, o, ffn.0 and ffn.2 of every block (spec section 2): W + scale * B A, PEFT key names."""
from __future__ import annotations

import math
import re

import torch
from torch import nn

TARGET = re.compile(r"^blocks\.\d+\.((self|cross)_attn\.[qkvo]|ffn\.[02])$")


class LoraLinear(nn.Module):
    """Frozen linear layer plus a trainable low-rank path at scale 1."""

    def __init__(self, base: nn.Linear, rank: int):
        super().__init__()
        self.base = base
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x):
        return self.base(x) + self.lora_B(self.lora_A(x))


def target_names(dit: nn.Module) -> list[str]:
    return [name for name, module in dit.named_modules() if TARGET.match(name) and isinstance(module, nn.Linear)]


def attach(dit: nn.Module, rank: int) -> list[nn.Parameter]:
    """Freeze the model, wrap the target layers and return the trainable LoRA parameters."""
    names = target_names(dit)
    dit.requires_grad_(False)
    parameters: list[nn.Parameter] = []
    for name in names:
        parent_name, _, leaf = name.rpartition(".")
        parent = dit.get_submodule(parent_name)
        wrapped = LoraLinear(getattr(parent, leaf), rank)
        setattr(parent, leaf, wrapped)
        parameters += [wrapped.lora_A.weight, wrapped.lora_B.weight]
    return parameters


def lora_state(dit: nn.Module) -> dict[str, torch.Tensor]:
    """`<layer>.lora_A.weight` [r, in] and `<layer>.lora_B.weight` [out, r] of every wrapped layer."""
    return {k: v.detach().clone() for k, v in dit.state_dict().items() if ".lora_" in k}


@torch.no_grad()
def merge(state: dict[str, torch.Tensor], lora: dict[str, torch.Tensor], strength: float = 1.0) -> dict[str, torch.Tensor]:
    """State dict with W + strength * B A for every LoRA pair; not divided by the rank."""
    merged = dict(state)
    for key, a in lora.items():
        if key.endswith(".lora_A.weight"):
            layer = key[: -len(".lora_A.weight")]
            b = lora[layer + ".lora_B.weight"]
            merged[layer + ".weight"] = state[layer + ".weight"].float() + strength * (b.float() @ a.float())
    return merged
