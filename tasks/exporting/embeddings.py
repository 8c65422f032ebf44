"""Representations of images with the names of their files, streamed into a parquet file.

Only a group of rows is ever in memory, and of a folder the names of its files, whatever the number of images.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from pyarrow.parquet import ParquetWriter
from tqdm import tqdm

from ssl_core.data import folder, layout
from ssl_core.data.folder import FolderConfig
from ssl_core.data.prepared import Prepared
from ssl_core.data.windows import windows
from ssl_core.errors import Refused
from ssl_core.evaluation.embedding import BATCH, Images, on_device, outputs
from tasks.weights import Kept

GROUP_BYTES = 2**24
"""Of representations that are written at once, a row group of the file."""
NAMED, LISTED = 5, 100
"""Skipped files that are named on the terminal, and in the file's metadata."""


class Chunk(NamedTuple):
    """Some images in their order: uint8 `pixels` [B, H, W, 3], and of each its split and class, where it has any."""

    files: list[str]
    splits: list[str | None]
    classes: list[str | None]
    pixels: np.ndarray


@dataclass
class Skipped:
    """How many files are no images, and of the first `LISTED` the path and why."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str, why: str) -> None:
        """Count a file."""
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(f"{name}: {why}")

    def listed(self) -> str:
        """A line a file, for the metadata."""
        return "\n".join([f"{self.count} files", *self.first])

    def __str__(self) -> str:
        named = self.first[:NAMED] + ["…"] * (self.count > NAMED)
        return f"{self.count} ({', '.join(named) or 'there are none'})"


class Source(NamedTuple):
    """Images to embed: chunks of at most `BATCH`, how many if that is known, and the files that are none, so far."""

    chunks: Iterator[Chunk]
    total: int | None
    skipped: Skipped


def prepared_images(data: Prepared) -> Source:
    """All splits of a prepared data set, each in the order of its array."""
    return Source(_of_prepared(data), sum(part["count"] for part in data.card.splits.values()), Skipped())


def users_images(path: Path, image_size: int) -> Source:
    """A folder or an archive, read as `prepare` reads it; its folders say splits and classes. Raises `Refused` as that.

    Its folders are looked at once before, so that it is known which hold images, and which of them all images share.
    """
    config = FolderConfig(source="folder", path=str(path), image_size=image_size)
    reading = folder.read(config, Path())
    folders = folder.folders(path)
    places = dict(zip(folders, layout.read_folders(folders), strict=True))
    skipped = Skipped()

    def chunks() -> Iterator[Chunk]:
        for window in windows(reading, config):
            made = [(name, image) for name, image in window if not isinstance(image, str)]
            for name, image in window:
                if isinstance(image, str):
                    skipped.add(name, image)
            if made:
                files = [name for name, _ in made]
                said = [places[PurePosixPath(name).parts[:-1]] for name in files]
                pixels = np.stack([image.pixels for _, image in made])
                yield Chunk(files, [split for split, _ in said], [label for _, label in said], pixels)
        for why, names in reading.left_out.items():
            for name in names:
                skipped.add(name, why)

    return Source(chunks(), reading.count, skipped)


def write(source: Source, kept: Kept, device: torch.device, file: Path, described: Mapping[str, str]) -> int:
    """Write `file`: `split`, `file`, `label` (the class's name) and `representation`, float32 of a fixed length.

    A row an image, in the source's order; gives their number. `described` become the file's metadata, with the files
    that were `skipped`. Raises `Refused` where there is no image, or a representation is not finite.
    """
    network = on_device(kept.network, device).eval()
    size = int(described["num_features"])
    schema = _schema(size)
    group: list[pa.RecordBatch] = []
    count, written = 0, None

    def put(chunk: Chunk, h: np.ndarray) -> None:
        group.append(_rows(chunk, h, schema))
        if len(group) * BATCH * size * 4 >= GROUP_BYTES:
            writer.write_table(pa.Table.from_batches(group))
            group.clear()

    progress = tqdm(total=source.total, desc="embed", unit="image", mininterval=0.5)
    options = {"compression": "none", "use_dictionary": ["split", "label"], "write_statistics": False}
    # Beside the network, which a GPU need not wait with, the next images are made and the last ones' rows are written.
    with ParquetWriter(file, schema, **options) as writer, ThreadPoolExecutor(1) as scribe, progress:
        for chunk in _ahead(source.chunks):
            shown = Images.of(chunk.pixels, kept.mean, kept.std, device)
            h = outputs(network, shown, slice(0, len(shown)))
            if not np.isfinite(h).all():
                raise Refused("the network gives figures that are not finite: pretraining diverged")
            if written is not None:
                written.result()
            written = scribe.submit(put, chunk, h)
            count += len(h)
            progress.update(len(h))
        if written is not None:
            written.result()
        if group:
            writer.write_table(pa.Table.from_batches(group))
        writer.add_key_value_metadata({**described, "skipped": source.skipped.listed()})
    if not count:
        raise Refused(f"no image can be read there; files that are none: {source.skipped}")
    if source.skipped.count:
        print(f"skipped, for they are no images: {source.skipped}", file=sys.stderr)
    return count


def _of_prepared(data: Prepared) -> Iterator[Chunk]:
    for split in data.splits:
        pixels, labels, files = data.images(split), data.labels(split), data.files(split)
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            classes = [_named(label, data) for label in labels[start : start + BATCH]]
            yield Chunk(list(islice(files, len(part))), [split] * len(part), classes, part)


def _named(label: np.ndarray, data: Prepared) -> str | None:
    """An image's class, its labels as `cat|dog`, or its number; None where it has none."""
    names = data.card.classes
    match data.card.target:
        case "class":
            return names[int(label)] if label >= 0 else None
        case "labels":
            return "|".join(names[i] for i in np.flatnonzero(label == 1)) if label[0] >= 0 else None
        case "number":
            return None if np.isnan(label) else repr(float(label))


def _schema(size: int) -> pa.Schema:
    text = pa.string()
    return pa.schema(
        [("split", text), ("file", text), ("label", text), ("representation", pa.list_(pa.float32(), size))]
    )


def _rows(chunk: Chunk, h: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    representations = pa.FixedSizeListArray.from_arrays(pa.array(h.reshape(-1)), h.shape[1])
    texts = [_texts(column) for column in (chunk.splits, chunk.files, chunk.classes)]
    return pa.record_batch([*texts, representations], schema=schema)


def _texts(column: Sequence[str | None]) -> pa.Array:
    try:
        return pa.array(column, pa.string())
    except (
        UnicodeEncodeError
    ):  # a name as a file system may have it, with bytes that are no text: shown as question marks
        return pa.array([name and name.encode(errors="replace").decode() for name in column], pa.string())


T = TypeVar("T")


def _ahead(over: Iterator[T]) -> Iterator[T]:
    """The same, the next one being made while the last is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, over, None)
        while (made := coming.result()) is not None:
            coming = maker.submit(next, over, None)
            yield made
