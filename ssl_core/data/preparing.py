"""Decode a source once, into the arrays that every stage reads.

One pass: each image is decoded as it is read and its pixels appended to a file; when all are there, their paths say the
splits and classes, val (and test) are cut out by seed, and each split's pixels are copied into its own array. Only a
window of images is ever in memory.
"""

import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ssl_core.data import layout
from ssl_core.data.contact_sheet import contact_sheet
from ssl_core.data.decode import decode
from ssl_core.data.prepared import Card
from ssl_core.data.source import Reading, SourceConfig
from ssl_core.errors import Refused

WINDOW = 256
"""Images decoded side by side, and copied at once."""
Image = tuple[np.ndarray, tuple[int, int], bool]
"""What `decode` makes: uint8 [size, size, 3], the original (width, height), and whether it is grey."""


@dataclass
class Decoded:
    """What is known of the images whose pixels lie in the file: in its order, their paths; and what was skipped."""

    paths: list[str] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    skipped: list[dict[str, str]] = field(default_factory=list)
    grey: bool = True


def prepare(name: str, reading: Reading, config: SourceConfig, folder: Path) -> Card:
    """Write the arrays, the card and the contact sheet of a source's images into `folder`.

    Raises `Refused` where nothing can be read, more than `max_skipped_share` cannot, or a split would be empty.
    """
    pixels = folder / "pixels"
    decoded = decode_all(reading, config.image_size, pixels)
    _refuse_unreadable(decoded, config)
    found = layout.read(decoded.paths)
    splits = layout.cut(found, config.val_share, config.test_share, config.seed)
    spool = np.memmap(pixels, np.uint8, "r", shape=(len(splits), config.image_size, config.image_size, 3))
    counts: dict[str, dict[str, Any]] = {}
    for split in [name for name in ("train", "val", "test", "unlabelled") if (splits == name).any()]:
        index = np.flatnonzero(splits == split)
        digest = hashlib.sha256()
        _copy(spool, index, folder / f"{split}_images.npy", digest.update)
        digest.update(found.labels[index].tobytes())
        np.save(folder / f"{split}_labels.npy", found.labels[index])
        with (folder / f"{split}_files.jsonl").open("w") as opened:
            opened.writelines(json.dumps(decoded.paths[i]) + "\n" for i in index)
        for key, values in reading.extra.items():
            np.save(folder / f"{split}_{key}.npy", values[index])
        per_class = [int((found.labels[index] == i).sum()) for i in range(len(found.classes))]
        counts[split] = {"count": len(index), "per_class": per_class, "sha256": digest.hexdigest()}
    train = np.flatnonzero(splits == "train")
    mean, std = _moments(spool, train)
    card = Card(
        name=name, image_size=config.image_size, classes=found.classes, splits=counts, mean=mean, std=std,
        grey=decoded.grey, original_sizes=_most_common(decoded.sizes), sources=reading.sources,
        skipped={
            "count": len(decoded.skipped),
            "share": round(len(decoded.skipped) / (len(decoded.skipped) + len(decoded.paths)), 6),
            "files": decoded.skipped[:100],
        },
    )  # fmt: skip
    (folder / "card.json").write_text(json.dumps(dataclasses.asdict(card), indent=2) + "\n")
    contact_sheet(spool[train], found.labels[train], found.classes).save(folder / "contact_sheet.png")
    pixels.unlink()
    return card


def decode_all(reading: Reading, size: int, pixels: Path) -> Decoded:
    """Append every image's pixels to the file `pixels`, in the order of the reading; what cannot be read is noted."""
    decoded = Decoded()
    progress = tqdm(total=reading.count, desc="prepare", unit="image", mininterval=0.5)
    with pixels.open("wb") as opened, progress:
        for window in windows(reading, size):
            for path, made in window:
                if isinstance(made, str):
                    decoded.skipped.append({"file": path, "why": made})
                    continue
                image, (width, height), grey = made
                opened.write(image.tobytes())
                decoded.paths.append(path)
                decoded.sizes[f"{width}x{height}"] += 1
                decoded.grey &= grey
            progress.update(len(window))
    return decoded


def windows(reading: Reading, size: int) -> Iterator[list[tuple[str, Image | str]]]:
    """The reading's paths, each with what `decode` makes of its content or a word on why that is no image.

    In the order of the reading, as many at a time as are decoded side by side.
    """
    with ThreadPoolExecutor() as pool:
        for window in _windows(reading.examples):
            made = pool.map(lambda example: _decode(example, size), window)
            yield list(zip((path for path, _ in window), made, strict=True))


def _decode(example: tuple[str, bytes | np.ndarray], size: int) -> Image | str:
    try:
        return decode(example[1], size)
    except Exception as error:  # whatever a damaged file makes Pillow raise, the next file is read
        return f"{type(error).__name__}: {error}".split(" <_io")[0]


def _windows(examples: Iterator[tuple[str, bytes | np.ndarray]]) -> Iterator[list[tuple[str, bytes | np.ndarray]]]:
    while window := list(itertools.islice(examples, WINDOW)):
        yield window


def _refuse_unreadable(decoded: Decoded, config: SourceConfig) -> None:
    tried = len(decoded.paths) + len(decoded.skipped)
    if tried == 0:
        raise Refused("the source holds no file: give a folder of images, or an archive of one")
    if not decoded.paths or len(decoded.skipped) / tried > config.max_skipped_share:
        first = decoded.skipped[0]
        raise Refused(
            f"{len(decoded.skipped)} of {tried} files could not be read as images, more than max_skipped_share "
            f"({config.max_skipped_share}) allows; the first is {first['file']} ({first['why']})"
        )


def _copy(spool: np.ndarray, index: np.ndarray, file: Path, seen: Callable[[bytes], object]) -> None:
    """Write the images at `index` as an .npy file, whose pixels `seen` is given too.

    Not through a memory map, which a full disk ends with a signal.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(index), *spool.shape[1:])}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, header)
        for start in range(0, len(index), WINDOW):
            pixels = spool[index[start : start + WINDOW]].tobytes()
            opened.write(pixels)
            seen(pixels)


def _moments(spool: np.ndarray, index: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each colour, in 0..1, from exact integer sums."""
    total, squares = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for start in range(0, len(index), WINDOW):
        values = spool[index[start : start + WINDOW]].astype(np.int64)
        total += values.sum(axis=(0, 1, 2))
        squares += (values**2).sum(axis=(0, 1, 2))
    count = len(index) * spool.shape[1] * spool.shape[2]
    mean = total / count
    std = np.sqrt(squares / count - mean**2).clip(1e-3)
    r, g, b = (round(float(value) / 255, 6) for value in mean)
    sr, sg, sb = (round(float(value) / 255, 6) for value in std)
    return (r, g, b), (sr, sg, sb)


def _most_common(sizes: Counter[str]) -> dict[str, int]:
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    other = sum(count for _, count in ranked[20:])
    return dict(ranked[:20]) | ({"other": other} if other else {})
