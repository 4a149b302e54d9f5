"""Reads object, colour, background and motion back from the pixels of one clip.

The background is recognised from the row colours, the object mask from the difference to them, the shape by the best
overlap with rendered silhouettes, the colour by the nearest calibrated mean, the motion from position, size and colour
over time.
"""
from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

import data

MASK_THRESHOLD = 30.0
MIN_AREA = 150


@dataclass(frozen=True)
class Reading:
    """What a clip shows; fields are None when nothing credible was found."""

    shape: str | None
    colour: str | None
    background: str | None
    motion: str | None
    target: str | None


def _row_colours(frame: np.ndarray) -> np.ndarray:
    """Median colour of every row, float32 [H, 3]."""
    return np.median(frame.astype(np.float32), axis=1)


@functools.lru_cache(maxsize=1)
def _background_rows() -> dict[str, np.ndarray]:
    scene = replace(data.sample_scene(0, motion="fall"), motion="still", size=1.0, x=-500.0, horizon=data.HORIZON,
                    floor=data.FLOOR_LINE, light=1.0)
    return {name: _row_colours(data.render(replace(scene, background=name))[0][0]) for name in data.BACKGROUNDS}


def read_background(video: np.ndarray) -> str:
    rows = np.median(np.stack([_row_colours(f) for f in video[::4]]), axis=0)
    return min(_background_rows(), key=lambda name: np.abs(rows - _background_rows()[name]).mean())


def object_masks(video: np.ndarray) -> np.ndarray:
    """Pixels far from their row's median colour that are not shadow: bool [T, H, W]."""
    frames = video.astype(np.float32)
    rows = np.median(frames, axis=(0, 2))[None, :, None, :]
    difference = frames - rows
    ratio = frames.sum(-1) / rows.sum(-1)
    chroma = frames / np.maximum(frames.sum(-1, keepdims=True), 1) - rows / rows.sum(-1, keepdims=True)
    shadow = (ratio < 1.0) & (np.abs(chroma).max(-1) < 0.035) & (np.arange(data.SIZE)[None, :, None] > 70)
    return (np.abs(difference).max(-1) > MASK_THRESHOLD) & ~shadow


@functools.lru_cache(maxsize=1)
def _silhouettes() -> dict[str, np.ndarray]:
    """Silhouette of each shape stretched to a 32x32 box."""
    out = {}
    for shape in data.SHAPES:
        scene = replace(data.sample_scene(0), shape=shape, motion="still", x=48.0, size=42.0, floor=84.0)
        out[shape] = _boxed(data.render(scene)[1][0] > 127)[0]
    return out


def _boxed(mask: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Mask resampled to 32x32 inside its bounding box (robust 1 % limits) and the box (top, bottom, left, right)."""
    ys, xs = np.nonzero(mask)
    top, bottom = np.percentile(ys, (1, 99))
    left, right = np.percentile(xs, (1, 99))
    yi = np.clip(np.round(np.linspace(top, bottom, 32)).astype(int), 0, mask.shape[0] - 1)
    xi = np.clip(np.round(np.linspace(left, right, 32)).astype(int), 0, mask.shape[1] - 1)
    return mask[np.ix_(yi, xi)], (top, bottom, left, right)


def _shape_scores(mask: np.ndarray) -> dict[str, float]:
    boxed, _ = _boxed(mask)
    return {name: (boxed & s).sum() / (boxed | s).sum() for name, s in _silhouettes().items()}


@functools.lru_cache(maxsize=1)
def _colour_means() -> dict[tuple[str, str], np.ndarray]:
    out = {}
    for shape in data.SHAPES:
        for colour in data.COLOURS:
            scene = replace(data.sample_scene(0), shape=shape, colour=colour, target=colour, motion="still", light=1.0)
            video, mask = data.render(scene)
            out[shape, colour] = np.median(video[0][mask[0] > 200].astype(np.float32), axis=0)
    return out


def _read_colour(frame: np.ndarray, mask: np.ndarray, shape: str) -> str:
    mean = np.median(frame[mask].astype(np.float32), axis=0)
    return min(data.COLOURS, key=lambda c: np.abs(_colour_means()[shape, c] - mean).sum())


def parse(video: np.ndarray) -> Reading:
    """Reading of a clip uint8 [T, H, W, 3]."""
    background = read_background(video)
    masks = object_masks(video)
    if (masks.sum(axis=(1, 2)) < MIN_AREA).any():
        return Reading(None, None, background, None, None)
    scores = {name: 0.0 for name in data.SHAPES}
    boxes = []
    for mask in masks:
        for name, value in _shape_scores(mask).items():
            scores[name] += value
        boxes.append(_boxed(mask)[1])
    shape = max(scores, key=scores.get)
    colour, target = (_read_colour(video[i], masks[i], shape) for i in (0, -1))
    top, bottom, left, right = np.array(boxes).T
    centre, width = (left + right) / 2, right - left
    drift, swell, drop = centre[-1] - centre[0], width[-1] - width[0], bottom[-1] - bottom[0]
    hop = bottom[0] - bottom[2:7].min()
    if drift > 20:
        motion = "slide_right"
    elif drift < -20:
        motion = "slide_left"
    elif drop > 15:
        motion = "fall"
    elif hop > 12:
        motion = "bounce"
    elif swell > 10:
        motion = "grow"
    elif swell < -10:
        motion = "shrink"
    else:
        motion = "turn" if colour != target else "still"
    return Reading(shape, colour, background, motion, target)


def matches(reading: Reading, scene: data.Scene) -> dict[str, bool]:
    """Which parts of the scene the reading confirms."""
    return {"shape": reading.shape == scene.shape, "colour": reading.colour == scene.colour,
            "background": reading.background == scene.background,
            "motion": reading.motion == scene.motion and (scene.motion != "turn" or reading.target == scene.target)}


if __name__ == "__main__":
    scenes = data.train_scenes(150, 500_000) + data.held_out_scenes(150)
    results = []
    for scene in scenes:
        reading = parse(data.render(scene)[0])
        found = matches(reading, scene)
        results.append(found)
        if not all(found.values()):
            print(scene.caption, "->", reading)
    for key in results[0]:
        print(key, np.mean([r[key] for r in results]))
    print("all", np.mean([all(r.values()) for r in results]))
