"""PyTorch eager float32 baseline of the block bench: one Wan2.1-1.3B block, random weights.

Prints one JSON line when ready, {"torch": version}, then one number for each line it reads: milliseconds of a run.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

DIM, FFN, HEADS, TOKENS, TEXT = 1536, 8960, 12, 1560, 512


def linear(out_features: int, in_features: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(out_features, in_features) * in_features**-0.5, torch.zeros(out_features)


def rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * weight


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.view(x.shape[0], HEADS, -1).transpose(0, 1).unsqueeze(0)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    out = F.scaled_dot_product_attention(q, k, v)
    return out.squeeze(0).transpose(0, 1).reshape(-1, DIM)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(int(sys.argv[1]))
    names = ["q", "k", "v", "o", "cq", "ck", "cv", "co"]
    w = {name: linear(DIM, DIM) for name in names}
    w["up"], w["down"] = linear(FFN, DIM), linear(DIM, FFN)
    norm = torch.ones(DIM)
    mod = torch.randn(6, 1, DIM) * 0.1
    cos, sin = torch.rand(1, 1, TOKENS, 64), torch.rand(1, 1, TOKENS, 64)
    x, context = torch.randn(TOKENS, DIM), torch.randn(TEXT, DIM)

    def block(x: torch.Tensor) -> torch.Tensor:
        h = F.layer_norm(x, (DIM,), eps=1e-6) * (1 + mod[1]) + mod[0]
        q = rotate(heads(rms(F.linear(h, *w["q"]), norm)), cos, sin)
        k = rotate(heads(rms(F.linear(h, *w["k"]), norm)), cos, sin)
        x = x + mod[2] * F.linear(attend(q, k, heads(F.linear(h, *w["v"]))), *w["o"])
        h = F.layer_norm(x, (DIM,), norm, norm, eps=1e-6)
        q = heads(rms(F.linear(h, *w["cq"]), norm))
        k = heads(rms(F.linear(context, *w["ck"]), norm))
        x = x + F.linear(attend(q, k, heads(F.linear(context, *w["cv"]))), *w["co"])
        h = F.layer_norm(x, (DIM,), eps=1e-6) * (1 + mod[4]) + mod[3]
        return x + mod[5] * F.linear(F.gelu(F.linear(h, *w["up"]), approximate="tanh"), *w["down"])

    with torch.inference_mode():
        block(x)
        print(json.dumps({"torch": torch.__version__}), flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            block(x)
            print((time.perf_counter() - start) * 1000, flush=True)


if __name__ == "__main__":
    main()
