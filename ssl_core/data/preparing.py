"""Decode a source once, into the arrays that every stage reads.

One pass: each image is decoded as it is read and its pixels appended to a file; when all are there, their paths (or a
table) say the splits and classes, val (and test) are cut out by seed, and each split's pixels are copied into its own
array. Only a window of images is ever in memory, and of each image its path and a digest.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ssl_core.data import duplicates, remarks, targets
from ssl_core.data.assigning import Assigned, assign
from ssl_core.data.contact_sheet import contact_sheet
from ssl_core.data.decoding import Decoded, decode_all, refuse_unreadable
from ssl_core.data.prepared import Card
from ssl_core.data.source import Reading, SourceConfig
from ssl_core.data.spellings import EVERY, TEST, TRAIN, VAL, clean
from ssl_core.data.spool import Spool

WINDOW = 256
"""Images copied at once."""
LEVELS = np.arange(256)
"""The values of a pixel."""
LISTED = 100
"""Files of one kind that the card names."""


def prepare(
    name: str,
    reading: Reading,
    config: SourceConfig,
    folder: Path,
    source: Path | None = None,
    refuse: Callable[[Card], None] = lambda card: None,
    kept: Path | None = None,
) -> Card:
    """Write the arrays, the card and the contact sheet of a source's images into `folder`.

    `source`: the folder or archive that the images are of, where they are files. `refuse` is asked before the first is
    decoded, of a source that knows their names by then, with a card that has counts and no pixels. `kept`: the folder
    in which a run that ends early leaves what it has decoded to the next. Raises `Refused` where nothing can be read,
    more than `max_skipped_share` cannot, it cannot be told what the images are, or a split would be empty.
    """
    if card := _foreseen(name, reading, config, source):
        refuse(card)
    with Spool(kept or folder / "decoded", config) as spool:
        return _written(name, reading, config, folder, source, spool)


def _written(
    name: str, reading: Reading, config: SourceConfig, folder: Path, source: Path | None, spool: Spool
) -> Card:
    decoded = decode_all(reading, config, spool)
    refuse_unreadable(reading, decoded, config)
    skipped = [entry["file"] for entry in decoded.skipped]
    if lost := remarks.without_images(reading, decoded.paths, skipped):
        reading.left_out[remarks.EMPTY] = lost
    count = len(decoded.paths)
    order = _ordered(decoded.paths) if decoded.files else np.arange(count)
    paths, digests = [decoded.paths[i] for i in order], np.frombuffer(decoded.digests, duplicates.DIGEST)[order]
    places = [decoded.places[path] for path in paths] if decoded.places else None
    hashes = np.frombuffer(decoded.hashes, np.uint64)[order] if decoded.hashes else None
    found = assign(paths, digests, config, source, places, hashes, reading.tables)
    counts: dict[str, dict[str, Any]] = {}
    for split in _splits(found):
        rows = np.flatnonzero(found.splits == split)
        index, labels = order[rows], found.labels[rows]
        digest = hashlib.sha256()
        _copy(spool, index, folder / f"{split}_images.npy", digest.update)
        digest.update(labels.tobytes())
        np.save(folder / f"{split}_labels.npy", labels)
        with (folder / f"{split}_files.jsonl").open("w") as opened:
            opened.writelines(json.dumps(paths[i]) + "\n" for i in rows)
        for key, values in reading.extra.items():
            np.save(folder / f"{split}_{key}.npy", values[index])
        counts[split] = _counted(found, rows) | {"sha256": digest.hexdigest()}
    train = found.splits == TRAIN
    place = np.argsort(order)  # in `paths`, of each image in the spool
    notes = {note: np.sort(place[these]) for note, these in decoded.notes.items()}
    noted = remarks.noted(notes, paths, found.labels, found.classes)
    card = _card(name, reading, config, decoded, found, counts, _moments(spool, order[train]), noted)
    (folder / "card.json").write_text(json.dumps(card.written(), indent=2) + "\n")
    sheet = contact_sheet(spool.images(), order[train], found.labels[train], card, decoded.first, config.fit == "crop")
    sheet.save(folder / "contact_sheet.png")
    return card


def _foreseen(name: str, reading: Reading, config: SourceConfig, source: Path | None) -> Card | None:
    """The card as far as names, tables and places tell it; None where they are not known. Raises `Refused` as `assign`.

    The number of images is then known too.
    """
    foreseen = reading.foreseen() if reading.foreseen else []
    if not foreseen:
        return None
    reading.count = reading.count or len(foreseen)
    order = _ordered([path for path, _ in foreseen])
    paths, places = [foreseen[i][0] for i in order], [place for i in order if (place := foreseen[i][1])]
    found = assign(paths, None, config, source, places or None, known=reading.tables)
    return Card(
        name=name, image_size=config.image_size, classes=found.classes, grey=False, original_sizes={}, sources=[],
        splits={split: _counted(found, np.flatnonzero(found.splits == split)) for split in _splits(found)},
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), skipped={}, target=targets.target(found.labels),
    )  # fmt: skip


def _splits(found: Assigned) -> list[str]:
    return [name for name in EVERY if (found.splits == name).any()]


def _counted(found: Assigned, rows: np.ndarray) -> dict[str, Any]:
    """How many images a split has, and how many of each class, or with each label; of numbers, which they are."""
    labels = found.labels[rows]
    labels = labels[targets.known(labels)]
    match targets.target(labels):
        case "class" | "labels":
            return {"count": len(rows), "per_class": targets.per_class(labels, len(found.classes)).tolist()}
        case "number":
            which = ("least", "greatest", "mean", "std")
            said = [float(of(labels)) for of in (np.min, np.max, np.mean, np.std)] if len(labels) else []
            return {"count": len(rows), "per_class": [len(labels)], "numbers": dict(zip(which, said, strict=False))}


def _ordered(paths: list[str]) -> np.ndarray:
    """The order of files by their paths, int64: so those of an archive and of its tree are the same in any order."""
    return np.array(sorted(range(len(paths)), key=lambda i: clean(paths[i])), dtype=np.int64)


def _card(
    name: str,
    reading: Reading,
    config: SourceConfig,
    decoded: Decoded,
    found: Assigned,
    counts: dict[str, dict[str, Any]],
    moments: tuple[tuple[float, float, float], tuple[float, float, float]],
    noted: tuple[list[str], list[str]],
) -> Card:
    """What the prepared images are, what became of the others, and what was `noted` and warned of."""
    left_out = remarks.without_tables(reading.left_out, found.tables) | found.left_out
    unseen = {
        split: [found.classes[i] for i, count in enumerate(counts[split]["per_class"]) if not count]
        for split in (TRAIN, VAL, TEST)
    }
    alike = found.duplicates
    unread = [path for files in left_out.values() for path in files] + [one["file"] for one in decoded.skipped]
    if decoded.renamed:
        found.warnings.append(
            f"{len(decoded.renamed):,} paths read like that of another image, and have a number now: "
            f"{remarks.named(decoded.renamed)}"
        )
    hints = remarks.hints(unread, by_folders=config.labels == "folders" and not found.tables)
    return Card(
        name=name, image_size=config.image_size, classes=found.classes, splits=counts, mean=moments[0], std=moments[1],
        grey=decoded.grey, original_sizes=_most_common(decoded.sizes), sources=reading.sources,
        skipped={
            "count": len(decoded.skipped),
            "share": round(len(decoded.skipped) / (len(decoded.skipped) + len(decoded.paths)), 6),
            "files": decoded.skipped[:LISTED],
        },
        left_out={why: {"count": len(files), "files": files[:LISTED]} for why, files in left_out.items()},
        unseen={split: classes for split, classes in unseen.items() if classes},
        notes=[*found.notes, *reading.remarks, *noted[0], *hints],
        warnings=[*found.warnings, *reading.warnings, *noted[1]],
        duplicates={"in two splits": alike.leaks, "in two classes": alike.classes, "copies": alike.extra}
        | ({} if alike.near is None else {"nearly in two splits": alike.near}),
        groups=found.groups, target=targets.target(found.labels),
    )  # fmt: skip


def _copy(spool: Spool, index: np.ndarray, file: Path, seen: Callable[[bytes], object]) -> None:
    """Write the images at `index` as an .npy file, whose pixels `seen` is given too.

    Not through a memory map, which a full disk ends with a signal.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(index), *spool.images().shape[1:])}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, header)
        for start in range(0, len(index), WINDOW):
            pixels = spool.images()[index[start : start + WINDOW]].tobytes()
            opened.write(pixels)
            seen(pixels)


def _moments(spool: Spool, index: np.ndarray) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each colour, in 0..1, from exact integer sums."""
    total, squares = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for start in range(0, len(index), WINDOW):
        values = spool.images()[index[start : start + WINDOW]].reshape(-1, 3)
        for colour in range(3):
            counted = np.bincount(values[:, colour], minlength=256)
            total[colour] += counted @ LEVELS
            squares[colour] += counted @ LEVELS**2
    count = len(index) * spool.config.image_size**2
    mean = total / count
    std = np.sqrt(squares / count - mean**2).clip(1e-3)
    r, g, b = (round(float(value) / 255, 6) for value in mean)
    sr, sg, sb = (round(float(value) / 255, 6) for value in std)
    return (r, g, b), (sr, sg, sb)


def _most_common(sizes: Counter[str]) -> dict[str, int]:
    ranked = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    other = sum(count for _, count in ranked[20:])
    return dict(ranked[:20]) | ({"other": other} if other else {})
