"""Synthetic world of the starter model: one lit object in front of one of three named backgrounds.

Every clip is a pure function of its integer seed (numpy only). `Scene` keeps the exact ground truth, so that
the parser and the evaluation can compare against it. The caption together with the first frame determines the
whole clip: start phase, direction and speed are fixed per motion.
"""
from __future__ import annotations

import multiprocessing
import os
from dataclasses import asdict, dataclass

import numpy as np

SIZE = 96
FRAMES = 17
FPS = 8
HORIZON = 62.0
FLOOR_LINE = 84.0

SHAPES = ("ball", "cube", "star")
COLOURS = {
    "red": (222, 36, 40),
    "gold": (250, 188, 24),
    "green": (20, 140, 62),
    "blue": (34, 66, 210),
    "purple": (146, 48, 186),
    "white": (240, 240, 244),
}
# name -> (top of wall, bottom of wall, far floor, near floor)
BACKGROUNDS = {
    "blue wall": ((150, 190, 238), (122, 164, 222), (190, 200, 214), (214, 222, 232)),
    "green meadow": ((142, 202, 250), (216, 238, 254), (138, 204, 88), (96, 166, 62)),
    "warm floor": ((246, 228, 196), (236, 208, 170), (206, 140, 90), (166, 98, 58)),
}
MOTIONS = ("slide_right", "slide_left", "bounce", "fall", "grow", "shrink", "turn", "still")
MOTION_WEIGHTS = (0.15, 0.15, 0.14, 0.14, 0.11, 0.11, 0.15, 0.05)

EN_MOTION = {
    "slide_right": "slides from left to right",
    "slide_left": "slides from right to left",
    "bounce": "bounces up and down",
    "fall": "falls down",
    "grow": "grows bigger",
    "shrink": "shrinks",
    "turn": "turns {target}",
    "still": "stays still",
}
EN_PLACE = {"blue wall": "in front of a blue wall", "green meadow": "on a green meadow", "warm floor": "on a warm floor"}
ZH_SHAPE = {"ball": "球", "cube": "方块", "star": "星星"}
ZH_COLOUR = {"red": "红色", "gold": "金色", "green": "绿色", "blue": "蓝色", "purple": "紫色", "white": "白色"}
ZH_PLACE = {"blue wall": "在蓝墙前", "green meadow": "在草地上", "warm floor": "在暖色地板上"}
ZH_MOTION = {
    "slide_right": "从左向右滑动",
    "slide_left": "从右向左滑动",
    "bounce": "上下弹跳",
    "fall": "落下",
    "grow": "变大",
    "shrink": "变小",
    "turn": "变成{target}",
    "still": "静止不动",
}


@dataclass(frozen=True)
class Scene:
    """Ground truth of one clip. Lengths are pixels; `target` is the final colour (equal to colour unless it turns)."""

    seed: int
    shape: str
    colour: str
    background: str
    motion: str
    target: str
    language: str
    caption: str
    x: float
    size: float
    horizon: float
    floor: float
    light: float

    def to_dict(self) -> dict:
        return asdict(self)


def is_held_out(shape: str, colour: str, motion: str, target: str) -> bool:
    """Combinations never shown in training (about one in eight, and the gold ball that turns white)."""
    if (shape, colour, motion, target) == ("ball", "gold", "turn", "white"):
        return True
    colours = list(COLOURS)
    code = 3 * SHAPES.index(shape) + 2 * colours.index(colour) + 5 * MOTIONS.index(motion)
    if motion == "turn":
        code += colours.index(target)
    return motion != "still" and code % 8 == 1


def make_caption(shape: str, colour: str, background: str, motion: str, target: str, language: str) -> str:
    """English ("a red ball falls down on a green meadow") or Chinese caption. Colour and shape may be empty."""
    if language == "zh":
        action = ZH_MOTION[motion].format(target=ZH_COLOUR[target])
        tinted = f"{ZH_COLOUR[colour]}的" if colour else ""
        return f"{ZH_PLACE[background]}一个{tinted}{ZH_SHAPE.get(shape, '')}{action}"
    words = ("a", colour, shape, EN_MOTION[motion].format(target=target), EN_PLACE[background])
    return " ".join(word for word in words if word)


def sample_scene(seed: int, held_out: bool = False, motion: str | None = None) -> Scene:
    """Draw the scene of a seed, from the training combinations or from the held-out ones."""
    rng = np.random.default_rng([seed, int(held_out)])
    colours = list(COLOURS)
    while True:
        shape = SHAPES[rng.integers(len(SHAPES))]
        colour = colours[rng.integers(len(colours))]
        background = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
        chosen = motion or MOTIONS[rng.choice(len(MOTIONS), p=MOTION_WEIGHTS)]
        target = colour
        if chosen == "turn":
            target = rng.choice([c for c in colours if c != colour])
        if is_held_out(shape, colour, chosen, str(target)) == held_out:
            break
    language = "zh" if rng.integers(8) == 0 else "en"
    if chosen == "slide_right":
        x = 25.0 + rng.uniform(-2, 2)
    elif chosen == "slide_left":
        x = 71.0 + rng.uniform(-2, 2)
    else:
        x = 48.0 + rng.uniform(-6, 6)
    size = {"grow": 30.0, "shrink": 54.0}.get(chosen, 42.0) + rng.uniform(-2, 2)
    return Scene(
        seed=seed, shape=shape, colour=colour, background=background, motion=chosen, target=str(target),
        language=language, caption=make_caption(shape, colour, background, chosen, str(target), language),
        x=float(x), size=float(size), horizon=float(HORIZON + rng.uniform(-1, 1)),
        floor=float(FLOOR_LINE + rng.uniform(-1, 1)), light=float(rng.uniform(0.97, 1.03)),
    )


def trajectory(scene: Scene) -> dict[str, np.ndarray]:
    """Per-frame x, height above the floor, size and colour mix (0 colour .. 1 target), each float64 [FRAMES]."""
    u = np.linspace(0.0, 1.0, FRAMES)
    x = np.full(FRAMES, scene.x)
    height = np.zeros(FRAMES)
    size = np.full(FRAMES, scene.size)
    mix = np.zeros(FRAMES)
    if scene.motion == "slide_right":
        x = scene.x + 46.0 * u
    elif scene.motion == "slide_left":
        x = scene.x - 46.0 * u
    elif scene.motion == "bounce":
        hop = (2.0 * u) % 1.0
        height = 30.0 * 4.0 * hop * (1.0 - hop)
    elif scene.motion == "fall":
        height = np.maximum(36.0 * (1.0 - (u / 0.75) ** 2), 0.0)
    elif scene.motion == "grow":
        size = scene.size + 24.0 * u
    elif scene.motion == "shrink":
        size = scene.size - 24.0 * u
    elif scene.motion == "turn":
        s = np.clip((u - 0.15) / 0.6, 0.0, 1.0)
        mix = s * s * (3.0 - 2.0 * s)
    return {"x": x, "height": height, "size": size, "mix": mix}


def _gradient(top, bottom, weight: np.ndarray) -> np.ndarray:
    """Blend two RGB colours by weight [...], giving [..., 3]."""
    top, bottom = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
    return top + (bottom - top) * weight[..., None]


def _polygon_cover(px: np.ndarray, py: np.ndarray, points: list[tuple]) -> np.ndarray:
    """Antialiased coverage of a convex polygon (clockwise on screen); point coordinates broadcast over frames."""
    distance = None
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        ex, ey = bx - ax, by - ay
        side = ((px - ax) * ey - (py - ay) * ex) / np.hypot(ex, ey)
        distance = side if distance is None else np.maximum(distance, side)
    return np.clip(0.5 - distance, 0.0, 1.0)


def _star_distance(px: np.ndarray, py: np.ndarray, radius: np.ndarray, inner: float = 0.5) -> np.ndarray:
    """Signed distance to a five-pointed star with one point upwards."""
    angle = np.arctan2(px, -py)
    sector = 2.0 * np.pi / 5.0
    folded = np.abs((angle + sector / 2.0) % sector - sector / 2.0)
    length = np.hypot(px, py)
    qx, qy = length * np.cos(folded), length * np.sin(folded)
    tip_x = radius
    notch_x, notch_y = radius * inner * np.cos(sector / 2.0), radius * inner * np.sin(sector / 2.0)
    ex, ey = notch_x - tip_x, notch_y
    wx, wy = qx - tip_x, qy
    along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0)
    distance = np.hypot(wx - along * ex, wy - along * ey)
    inside = (ex * wy - ey * wx) > 0.0
    return np.where(inside, -distance, distance)


def render(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Render a scene: video uint8 [FRAMES, SIZE, SIZE, 3] and object mask uint8 [FRAMES, SIZE, SIZE] (0..255)."""
    path = trajectory(scene)
    axis = np.arange(SIZE, dtype=np.float32) + 0.5
    py, px = axis[None, :, None], axis[None, None, :]
    col = lambda a: a.astype(np.float32)[:, None, None]
    cx, height, size = col(path["x"]), col(path["height"]), col(path["size"])
    base_y = scene.floor - height

    wall_top, wall_bottom, far, near = BACKGROUNDS[scene.background]
    y = axis
    wall = _gradient(wall_top, wall_bottom, np.clip(y / scene.horizon, 0, 1))
    ground = _gradient(far, near, np.clip((y - scene.horizon) / (SIZE - scene.horizon), 0, 1))
    below = np.clip(y - scene.horizon + 0.5, 0, 1)[:, None]
    column = wall * (1 - below) + ground * below
    vignette = 1.0 - 0.06 * ((axis / SIZE - 0.5) * 2) ** 2
    frame = (column[:, None, :] * vignette[None, :, None]) * np.float32(scene.light)
    video = np.repeat(frame[None], FRAMES, axis=0).astype(np.float32)

    lift = height / 36.0
    sx = (px - cx - 0.06 * size) / (0.52 * size * (1 - 0.25 * lift))
    sy = (py - scene.floor + 0.01 * size) / (0.13 * size * (1 - 0.25 * lift))
    shadow = np.exp(-(sx * sx + sy * sy) * 1.3) * (0.55 - 0.3 * lift)
    video *= (1.0 - shadow)[..., None]

    start, end = (np.asarray(COLOURS[c], np.float32) for c in (scene.colour, scene.target))
    colour = (start + (end - start) * path["mix"].astype(np.float32)[:, None])[:, None, None, :]

    radius = size / 2.0
    highlight = 0.0
    if scene.shape == "ball":
        dx, dy = (px - cx) / radius, (py - (base_y - radius)) / radius
        rho = np.hypot(dx, dy)
        cover = np.clip((1.0 - rho) * radius + 0.5, 0, 1)
        dz = np.sqrt(np.maximum(1.0 - rho * rho, 0.0))
        lambert = np.maximum(-0.42 * dx - 0.58 * dy + 0.70 * dz, 0.0)
        shade = 0.42 + 0.66 * lambert
        highlight = np.exp(-((dx + 0.34) ** 2 + (dy + 0.42) ** 2) / 0.035) * 0.75
    elif scene.shape == "cube":
        side, depth = 0.78 * size, 0.22 * size
        left, front_top = cx - radius, base_y - side
        right = left + side
        front = _polygon_cover(px, py, [(left, front_top), (right, front_top), (right, base_y), (left, base_y)])
        top = _polygon_cover(px, py, [(left, front_top), (left + depth, front_top - depth),
                                      (right + depth, front_top - depth), (right, front_top)])
        flank = _polygon_cover(px, py, [(right, front_top), (right + depth, front_top - depth),
                                        (right + depth, base_y - depth), (right, base_y)])
        cover = np.clip(front + top + flank, 0, 1)
        tilt = np.clip((py - front_top) / side, 0, 1)
        shade = (front * (0.92 - 0.14 * tilt) + top * 1.12 + flank * 0.60) / np.maximum(front + top + flank, 1e-6)
    else:
        outer = 0.56 * size
        dx, dy = px - cx, py - (base_y - 0.81 * outer)
        distance = _star_distance(dx, dy, outer)
        cover = np.clip(0.5 - distance, 0, 1)
        raised = np.clip(-distance / (0.26 * outer), 0, 1)
        shade = 0.66 + 0.36 * raised - 0.10 * (dx + dy) / outer
        highlight = np.exp(-((dx / outer + 0.14) ** 2 + (dy / outer + 0.16) ** 2) / 0.02) * 0.4
    lit = colour * np.asarray(shade)[..., None] + 255.0 * np.asarray(highlight)[..., None]
    video = video * (1 - cover[..., None]) + np.minimum(lit, 255.0) * cover[..., None]
    return (np.clip(video, 0, 255) + 0.5).astype(np.uint8), (cover * 255).astype(np.uint8)


def train_scenes(count: int, first_seed: int = 0) -> list[Scene]:
    """Training scenes of `count` consecutive seeds."""
    return [sample_scene(first_seed + i) for i in range(count)]


def held_out_scenes(count: int, first_seed: int = 1_000_000) -> list[Scene]:
    """Scenes of held-out combinations."""
    return [sample_scene(first_seed + i, held_out=True) for i in range(count)]


def _render_range(job: tuple[str, int, int]) -> None:
    path, start, stop = job
    out = np.load(path, mmap_mode="r+")
    for i in range(start, stop):
        out[i] = render(sample_scene(i))[0]


def build_cache(path: str, count: int, workers: int = 2) -> None:
    """Write the first `count` training clips as one uint8 .npy [count, FRAMES, SIZE, SIZE, 3]."""
    if os.path.exists(path):
        return
    partial = path + ".part.npy"
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(count, FRAMES, SIZE, SIZE, 3)).flush()
    jobs = [(partial, s, min(s + 64, count)) for s in range(0, count, 64)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(_render_range, jobs, chunksize=1)
    os.rename(partial, path)
