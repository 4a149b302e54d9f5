"""Paths, devices and small helpers shared by the training stages."""
from __future__ import annotations

import json
import os
import time

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_WORK = os.path.normpath(os.path.join(HERE, "..", "..", ".training"))


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, enabled: bool = True):
    """bf16 autocast context for the device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def adapt_threads(limit: int = 2) -> None:
    """One thread while the machine is crowded (threads waiting for each other waste time), else `limit`."""
    wanted = 1 if os.getloadavg()[0] > limit + 2 else limit
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)


def save_atomic(value, path: str) -> None:
    """torch.save to a temporary name, then rename."""
    torch.save(value, path + ".part")
    os.replace(path + ".part", path)


def append_log(path: str, **values) -> None:
    """Print one line and append it as JSON."""
    line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()})
    print(line, flush=True)
    with open(path, "a") as f:
        f.write(line + "\n")


def to_model_range(frames: np.ndarray) -> torch.Tensor:
    """uint8 [..., T, H, W, 3] -> float32 [..., 3, T, H, W] in [-1, 1] (u8 * 2/255 - 1)."""
    return torch.from_numpy(frames.astype(np.float32)).movedim(-1, -4) * (2.0 / 255.0) - 1.0


def to_pixels(video: torch.Tensor) -> np.ndarray:
    """[3, T, H, W] in [-1, 1] -> uint8 [T, H, W, 3], truncating like the reference."""
    return ((video.float().clamp(-1, 1) + 1) * 127.5).clamp(0, 255).byte().permute(1, 2, 3, 0).cpu().numpy()


class Budget:
    """Wall-clock budget of one stage in seconds; progress runs from 0 to 1."""

    def __init__(self, minutes: float):
        self.start = time.monotonic()
        self.seconds = minutes * 60.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.start

    @property
    def progress(self) -> float:
        return min(self.elapsed / self.seconds, 1.0)
