"""Public data sets through torchvision: downloaded into `data/raw`, or put there by hand."""

import io
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_core.data.source import Reading, SourceConfig, described, sha256
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class TorchvisionSetConfig(SourceConfig):
    """CIFAR-10, CIFAR-100 (32 pixels), or STL-10 (96 pixels; its unlabelled images are pretrained on)."""

    source: Literal["cifar10", "cifar100", "stl10"]


def read(config: TorchvisionSetConfig, raw: Path) -> Reading:
    """All images of the set's splits. Raises `Refused` where its files are neither there nor to be downloaded."""
    import torchvision.datasets as sets

    kind: Any = getattr(sets, config.source.upper())
    named = {"split": ("train", "test", "unlabeled")} if config.source == "stl10" else {"train": (True, False)}
    ((key, values),) = named.items()
    try:
        with offline_is_quick():
            splits = [kind(raw, **{key: value}, download=True) for value in values]
    except (OSError, RuntimeError) as error:
        raise Refused(
            f"{config.source} could not be downloaded ({error}): put the files of torchvision's {kind.__name__} in "
            f"{raw}, or take the source folder or shapes"
        ) from None
    files = sorted(path for path in raw.rglob("*") if path.is_file() and _belongs(path, kind))
    names = ("train", "test", "unlabelled")
    return Reading(
        examples=_examples(zip(names, splits, strict=False)),
        count=sum(map(len, splits)),
        sources=[described(file, sha256(file)) for file in files],
    )


def _examples(splits: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, np.ndarray]]:
    for name, images in splits:
        labels: Any = images.targets if hasattr(images, "targets") else images.labels
        pixels: np.ndarray = images.data if images.data.shape[-1] == 3 else images.data.transpose(0, 2, 3, 1)
        for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            folder = name if label < 0 else f"{name}/{images.classes[label]}"
            yield f"{folder}/{i:05}", np.ascontiguousarray(image)


def _belongs(path: Path, kind: Any) -> bool:
    return kind.base_folder in path.parts or path.name == kind.filename


@contextmanager
def offline_is_quick() -> Iterator[None]:
    """Give up on a network that does not answer within ten seconds, without torchvision's own words about it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(before)
