"""Drawn images with known factors: shape (the label), colour, size, position, rotation, background. No files needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from ssl_core.data.source import Reading, SourceConfig

SHAPES = ("circle", "cross", "ellipse", "ring", "square", "star", "triangle")
FACTORS = ("red", "green", "blue", "size", "x", "y", "rotation", "background")
OVERSAMPLING = 4


@dataclass(frozen=True, kw_only=True)
class ShapesConfig(SourceConfig):
    """`count`: how many images are drawn, train, val and test together."""

    source: Literal["shapes"]
    count: int = 12_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count < 10 * len(SHAPES):
            raise ValueError(f"count is {self.count}; at least {10 * len(SHAPES)} is needed")


def read(config: ShapesConfig, raw: Path) -> Reading:
    """`count` images, the same for the same seed; their factors are in `extra`, float32 [count, 8] as FACTORS names."""
    generator = np.random.default_rng(config.seed)
    labels = generator.permutation(np.arange(config.count) % len(SHAPES))
    factors = generator.random((config.count, len(FACTORS)), dtype=np.float32)
    factors[:, 3] = 0.3 + 0.5 * factors[:, 3]
    margin = factors[:, 3:4] / 2
    factors[:, 4:6] = margin + factors[:, 4:6] * (1 - 2 * margin)
    factors[:, 6] *= 360
    noise = generator.spawn(1)[0]

    def examples() -> Iterator[tuple[str, np.ndarray]]:
        for i, (label, row) in enumerate(zip(labels, factors, strict=True)):
            yield f"{SHAPES[label]}/{i:06}", draw(SHAPES[label], row, config.image_size, noise)

    return Reading(examples=examples(), count=config.count, extra={"factors": factors})


def draw(shape: str, factors: np.ndarray, size: int, noise: np.random.Generator) -> np.ndarray:
    """One image uint8 [size, size, 3]: the shape, antialiased, on a noisy grey background."""
    *colour, scale, x, y, rotation, background = factors.tolist()
    side = size * OVERSAMPLING
    mask = Image.new("L", (side, side))
    _DRAWN[shape](ImageDraw.Draw(mask), side, scale * side / 2)
    mask = mask.rotate(rotation).resize((size, size), Image.Resampling.BOX)
    shifted = Image.new("L", (size, size))
    shifted.paste(mask, (round((x - 0.5) * size), round((y - 0.5) * size)))
    cover = np.asarray(shifted, dtype=np.float32)[..., None] / 255
    paper = 40 + 175 * background + 12 * noise.standard_normal((size, size, 1), dtype=np.float32)
    ink = 255 * np.asarray(colour, dtype=np.float32)
    return (cover * ink + (1 - cover) * paper).clip(0, 255).astype(np.uint8)


def _polygon(canvas: ImageDraw.ImageDraw, side: int, radii: list[float], turn: float) -> None:
    angles = turn + np.arange(len(radii)) * 2 * np.pi / len(radii)
    canvas.polygon(
        [(side / 2 + r * np.sin(a), side / 2 - r * np.cos(a)) for r, a in zip(radii, angles, strict=True)], fill=255
    )


def _oval(canvas: ImageDraw.ImageDraw, side: int, rx: float, ry: float, fill: int = 255) -> None:
    canvas.ellipse((side / 2 - rx, side / 2 - ry, side / 2 + rx, side / 2 + ry), fill=fill)


def _cross(canvas: ImageDraw.ImageDraw, side: int, r: float) -> None:
    for rx, ry in ((r, r / 3.5), (r / 3.5, r)):
        canvas.rectangle((side / 2 - rx, side / 2 - ry, side / 2 + rx, side / 2 + ry), fill=255)


def _ring(canvas: ImageDraw.ImageDraw, side: int, r: float) -> None:
    _oval(canvas, side, r, r)
    _oval(canvas, side, 0.6 * r, 0.6 * r, fill=0)


_DRAWN = {
    "circle": lambda canvas, side, r: _oval(canvas, side, r, r),
    "cross": _cross,
    "ellipse": lambda canvas, side, r: _oval(canvas, side, r, r / 2),
    "ring": _ring,
    "square": lambda canvas, side, r: _polygon(canvas, side, [r] * 4, np.pi / 4),
    "star": lambda canvas, side, r: _polygon(canvas, side, [r, 0.45 * r] * 5, 0),
    "triangle": lambda canvas, side, r: _polygon(canvas, side, [r] * 3, 0),
}
