"""Images in parquet files, as Hugging Face's data sets lie on disk: a row an image, the encoded bytes in a column."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ssl_core.data import kinds, opening, pieces
from ssl_core.data.pieces import Piece
from ssl_core.data.source import Encoded, Reading, SourceConfig, described, sha256
from ssl_core.data.structure import Place
from ssl_core.errors import Refused

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ROWS = 64
"""Rows that are read at once."""


@dataclass(frozen=True, kw_only=True)
class ParquetConfig(SourceConfig):
    """`path`: a parquet file, or a folder of such; `image` and `label` are columns, `label: null` where there is none.

    A label that is a list is several labels, and those that are numbers and not all whole are numbers.
    Images of a file without that column, as of `test` often, have no label; with `labels: none` it is not read.
    A file's split is what its name says beside numbers, `test-00000-of-00001.parquet`, or a folder that it lies in;
    where no name says one, all are one pool.
    """

    source: Literal["parquet"]
    path: str
    image: str = "image"
    label: str | None = "label"


def read(config: ParquetConfig, raw: Path) -> Reading:
    """The rows of all files. Raises `Refused` where there is no such file, or it has no such columns."""
    found = pieces.found(config.path, ".parquet")
    reading = Reading(examples=iter(()), count=_counted(found, config))

    def examples() -> Iterator[tuple[str, Encoded]]:
        for piece in found:
            yield from _rows(piece, config)
            reading.sources.append(described(piece.file, sha256(piece.file)))

    reading.foreseen = lambda: [(path, place) for piece in found for path, place, _ in _told(piece, config, [])]
    reading.examples = opening.ranged(examples(), config, lambda: _loading(found, config))
    return reading


def _counted(found: list[Piece], config: ParquetConfig) -> int:
    """The rows of all files. Raises `Refused` where one has no images, or none has labels that are wanted."""
    count, labelled, columns = 0, False, list[str]()
    for piece in found:
        with _opened(piece.file) as opened:
            columns = opened.schema_arrow.names
            count += opened.metadata.num_rows
            labelled |= _label(opened, config) is not None
        if config.image not in columns:
            raise Refused(
                f"{piece.file.name} has no column {config.image}, but {', '.join(columns)}: say which is `image:`"
            )
    if not labelled and config.label is not None and config.labels != "none":
        raise Refused(
            f"{found[-1].file.name} has no column {config.label}, but {', '.join(columns)}: say which is `label:`, or "
            "`label: null` where there is none"
        )
    return count


def _label(opened: "ParquetFile", config: ParquetConfig) -> str | None:
    """The column of labels that is read of a file, where it has one."""
    return config.label if config.labels != "none" and config.label in opened.schema_arrow.names else None


@contextmanager
def _opened(file: Path) -> Iterator["ParquetFile"]:
    """A file, to be read; one sentence of what its damage raises until it has been."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    head = b""
    try:
        with file.open("rb") as begun:
            head = begun.read(kinds.HEAD)
        with ParquetFile(file) as opened:
            yield opened
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = (head and kinds.instead(head, "file")) or f"{str(error).splitlines()[0]}: fetch or make it again"
        raise Refused(f"{file} cannot be read as parquet ({why})") from None


def _rows(piece: Piece, config: ParquetConfig) -> Iterator[tuple[str, Encoded]]:
    for path, place, found in _told(piece, config, [config.image]):
        yield path, replace(_content(found[config.image], path), place=place)


def _told(piece: Piece, config: ParquetConfig, columns: list[str]) -> Iterator[tuple[str, Place, dict[str, Any]]]:
    """Each row's path, its split and label, and what it has in some columns."""
    with _opened(piece.file) as opened:
        label = _label(opened, config)
        names = _classes(opened.schema_arrow.metadata or {}, label)
        row = 0
        for batch in opened.iter_batches(ROWS, columns=[*columns, *([label] if label else [])]):
            for found in batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows:
                cell = _named(found[label], names) if label else None
                path = f"{piece.name.with_suffix('')}-{row:07}"
                yield path, Place.of(piece.split, cell, f"that of the column {label} of {piece.name}"), found
                row += 1


def _named(label: Any, names: list[str]) -> Any:
    """With the names of classes for their numbers, which a column with gaps has with a point; -1 is none of them."""
    if isinstance(label, list):
        return [_named(one, names) for one in label]
    if isinstance(label, int | float) and label in range(len(names)):
        return str(names[int(label)])
    return None if names and label == -1 else label


def _content(cell: Any, name: str) -> Encoded:
    if isinstance(cell, dict) and "bytes" in cell:
        said = str(cell.get("path") or name)
        if cell["bytes"] is None:
            return Encoded(b"", said, trouble=f"the row names the file {said}, and does not hold it")
        return Encoded(cell["bytes"], said)
    if isinstance(cell, bytes):
        return Encoded(cell, name)
    return Encoded(b"", name, trouble=f"the row holds {type(cell).__name__}, and an image file's bytes are read")


def _classes(metadata: dict[bytes, bytes], label: str | None) -> list[str]:
    """The names of the classes that Hugging Face keeps beside the numbers; of a list, those of what is in it."""
    try:
        kind = json.loads(metadata[b"huggingface"])["info"]["features"][label]
        kind = kind[0] if isinstance(kind, list) else kind
        return list(kind.get("feature", kind)["names"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return []


def _loading(found: list[Piece], config: ParquetConfig) -> Iterator[tuple[str, Callable[[], Encoded]]]:
    for piece in found:
        for place, content in _rows(piece, config):
            yield place, lambda content=content: content
