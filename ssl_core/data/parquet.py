"""Images in parquet files, as Hugging Face's data sets lie on disk: a row an image, the encoded bytes in a column."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ssl_core.data import opening, spellings, table_cells
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.structure import Label, Place
from ssl_core.errors import Refused

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ROWS = 64
"""Rows that are read at once."""
Piece = tuple[Path, PurePosixPath, str, Sequence[Label]]
"""A file, its path below the folder of all, its split, and what each row is labelled with."""


@dataclass(frozen=True, kw_only=True)
class ParquetConfig(SourceConfig):
    """`path`: a parquet file, or a folder of such; `image` and `label` are columns, `label: null` where there is none.

    A label that is a list is several labels; so are several columns, `label: [COLUMN, COLUMN]`, each of one label that
    an image has (1, true, yes) or not. Labels that are not all whole are numbers, as are those of the column `number`.
    A file's split is what its name says beside numbers, `test-00000-of-00001.parquet`, or a folder that it lies in;
    where no name says one, all are one pool.
    """

    source: Literal["parquet"]
    path: str
    image: str = "image"
    label: str | tuple[str, ...] | None = "label"
    number: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say what an image is labelled with."""
        if self.number is not None:
            return (self.number,)
        return (self.label,) if isinstance(self.label, str) else self.label or ()


def read(config: ParquetConfig, raw: Path) -> Reading:
    """The rows of all files. Raises `Refused` where there is no such file, or it has no such columns."""
    path = Path(config.path).expanduser()
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise Refused(f"path is {config.path}, and no .parquet is there: give a file, or a folder of them")
    counts = [_opened(file, config).metadata.num_rows for file in files]
    reading = Reading(examples=iter(()), count=sum(counts))
    names = [PurePosixPath(file.relative_to(path if path.is_dir() else path.parent)) for file in files]
    pieces = list(zip(files, names, spellings.splits_of_files(names), _labels(path.name, files, config), strict=True))

    def examples() -> Iterator[tuple[str, Encoded]]:
        for piece in pieces:
            yield from _rows(piece, config)
            reading.sources.append(described(piece[0], sha256(piece[0])))

    reading.foreseen = lambda: [told for piece in pieces for told in _told(piece)]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(pieces, config))
    return reading


def _opened(file: Path, config: ParquetConfig) -> "ParquetFile":
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        opened = ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise Refused(f"{file} cannot be read as parquet ({str(error).splitlines()[0]})") from None
    there = opened.schema_arrow.names
    key = "label" if config.number is None else "number"
    for key, column in (("image", config.image), *((key, column) for column in config.columns)):
        if column not in there:
            raise Refused(f"{file.name} has no column {column}, but {', '.join(there)}: say which is `{key}:`")
    return opened


def _labels(named: str, files: Sequence[Path], config: ParquetConfig) -> list[Sequence[Label]]:
    """What each row of each file is labelled with; `named`: all files in a word."""
    opened = [_opened(file, config) for file in files]
    if not config.columns:
        return [[None] * file.metadata.num_rows for file in opened]
    per_file = [file.read(columns=[*config.columns]).to_pylist() for file in opened]
    cells = [row for rows in per_file for row in rows]
    if config.number is not None:
        labels = table_cells.numbers(cells, config.number, named)
    elif isinstance(config.label, str):
        classes = [_classes(file.schema_arrow.metadata or {}, config.label) for file in opened]
        for rows, names in zip(per_file, classes, strict=True):
            for row in rows:
                row[config.label] = _named(row[config.label], names)
        labels = _of_one_column(cells, config.label, named)
    else:
        labels = table_cells.marked(cells, config.columns, named)
    ends = np.cumsum([0, *map(len, per_file)])
    return [labels[start:end] for start, end in pairwise(ends)]


def _of_one_column(cells: table_cells.Cells, column: str, named: str) -> Sequence[Label]:
    """Several labels where cells are lists, numbers where they are not all whole; else classes."""
    said = [row[column] for row in cells]
    if any(isinstance(cell, list) for cell in said):
        return table_cells.parted(cells, column, ",")
    if any(isinstance(cell, float) and math.isfinite(cell) and cell % 1 for cell in said):
        return table_cells.numbers(cells, column, named)
    return [table_cells.class_name(cell) for cell in said]


def _named(cell: Any, names: Sequence[str]) -> Any:
    """A cell whose numbers of classes are their names."""
    if isinstance(cell, list):
        return [_named(one, names) for one in cell]
    return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else cell


def _rows(piece: Piece, config: ParquetConfig) -> Iterator[tuple[str, Encoded]]:
    told = _told(piece)
    for batch in _opened(piece[0], config).iter_batches(ROWS, columns=[config.image]):
        for found in batch.to_pylist():
            path, place = next(told)
            yield path, replace(_content(found[config.image], path), place=place)


def _told(piece: Piece) -> Iterator[tuple[str, Place]]:
    """Each row's path, and its split and label."""
    _, name, split, labels = piece
    for row, label in enumerate(labels):
        yield f"{name.with_suffix('')}-{row:07}", Place.of(split, label)


def _content(cell: Any, name: str) -> Encoded:
    if isinstance(cell, dict) and "bytes" in cell:
        said = str(cell.get("path") or name)
        if cell["bytes"] is None:
            return Encoded(b"", said, trouble=f"the row names the file {said}, and does not hold it")
        return Encoded(cell["bytes"], said)
    if isinstance(cell, bytes):
        return Encoded(cell, name)
    return Encoded(b"", name, trouble=f"the row holds {type(cell).__name__}, and an image file's bytes are read")


def _classes(metadata: dict[bytes, bytes], label: str) -> list[str]:
    """The names of the classes that Hugging Face keeps beside the numbers; of a list, those of what is in it."""
    try:
        kind = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        kind = kind[0] if isinstance(kind, list) else kind
        return list(kind.get("feature", kind)["names"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return []


def _loading(pieces: list[Piece], config: ParquetConfig) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    for piece in pieces:
        for place, content in _rows(piece, config):
            yield place, lambda content=content: content
