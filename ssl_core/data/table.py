"""Labels from a table beside the images: CSV, TSV, JSON lines or parquet, a row an image."""

import csv
import io
import json
import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ssl_core.data.names import printable
from ssl_core.data.spellings import clean
from ssl_core.errors import Refused

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
_DECIMAL = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
LABELS = ("label", "labels", "class", "category", "target")
"""Columns that hold classes where a table is known by its name; a caption is none."""
ONE_CLASS = "one class an image is read; several labels an image, boxes, captions and numbers are not"


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """A table of labels: its file, and its columns of file names, labels, and of splits and groups where it has any.

    `table`: a path as such, or one below the folder or archive of images, or beside it.
    """

    table: str
    file: str = "file_name"
    label: str = "label"
    split: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.table.endswith(KINDS):
            raise ValueError(f"table is {self.table}; {', '.join(KINDS)} are read")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a table says of a file; empty where it says nothing."""

    file: str
    label: str
    split: str
    group: str


def read(table: LabelTable, source: Path) -> list[Row]:
    """The rows of a table that belongs to a folder or archive. Raises `Refused` where it or a column is missing."""
    rows = _rows(table.table, _content(table.table, source))
    if not rows:
        raise Refused(f"labels: the table {table.table} has no rows")
    for key in filter(None, (table.file, table.label, table.split, table.group)):
        if key not in rows[0]:
            raise Refused(f"labels: the table {table.table} has no column {key}; it has {', '.join(map(str, rows[0]))}")

    def text(row: dict[str, Any], key: str | None) -> str:
        value = row.get(key) if key else None
        if isinstance(value, list | dict):
            raise Refused(f"labels: the column {key} of {table.table} has {value}: {ONE_CLASS}")
        return "" if value is None or value != value else clean(str(value))

    made = [
        Row(file=printable(str(row[table.file]).replace("\\", "/")), label=text(row, table.label),
            split=text(row, table.split), group=text(row, table.group))
        for row in rows
    ]  # fmt: skip
    _refuse_many(table, made)
    return made


def found_in(source: Path) -> Iterator[tuple[LabelTable, str]]:
    """Tables that are known by their name, metadata.csv with a column file_name as Hugging Face has them.

    With the folder whose files each is about. Of a folder or a zip, at the top or one below.
    """
    if source.is_dir():
        listed = [
            file.relative_to(source).as_posix() for file in (*source.glob("metadata.*"), *source.glob("*/metadata.*"))
        ]
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            listed = [name for name in archive.namelist() if PurePosixPath(name).stem == "metadata"]
    else:
        return
    for name in sorted(name for name in listed if name.endswith(KINDS)):
        columns = list(next(iter(_rows(name, _content(name, source))), {}))
        label = next((key for key in LABELS if key in columns), None)
        if "file_name" in columns and label:
            yield (
                LabelTable(table=name, label=label),
                printable(PurePosixPath(name).parent.as_posix().removeprefix(".")),
            )


def matched(rows: Sequence[Row], paths: Sequence[str], below: str = "") -> tuple[dict[int, Row], list[str]]:
    """The row of each path, by the path's place, and the files of the rows that are there not or not alone.

    A row may name the end of a path, and leave out its kind (`0001` for images/0001.png). Raises `Refused` where two
    rows of one file have different labels.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        name = path.rpartition("/")[2]
        by_name[name].append(place)
        if (stem := name.rpartition(".")[0]) != name:
            by_name[f"{stem}\0"].append(place)
    found: dict[int, Row] = {}
    missing = []
    for row in rows:
        wanted = "/".join(filter(None, (below, row.file.lstrip("/"))))
        name = wanted.rpartition("/")[2]
        exact = [i for i in by_name.get(name, ()) if f"/{paths[i]}".endswith(f"/{wanted}")]
        loose = exact or [
            i for i in by_name.get(f"{name}\0", ()) if f"/{paths[i].rpartition('.')[0]}".endswith(f"/{wanted}")
        ]
        if len(loose) == 1:
            before = found.setdefault(loose[0], row)
            if before.label != row.label:
                raise Refused(
                    f"labels: rows of the table give {row.file} the labels '{before.label}' and '{row.label}': "
                    f"{ONE_CLASS}"
                )
        else:
            missing.append(row.file)
    return found, missing


def _content(name: str, source: Path) -> bytes:
    """A table's bytes: a path as such, below the source, beside it, or in it where it is an archive."""
    for place in (Path(name).expanduser(), source / name, source.parent / name):
        if place.is_file():
            return place.read_bytes()
    if source.is_file() and zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                if f"/{member}".endswith(f"/{name}"):
                    return archive.read(member)
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            for member in archive:
                if f"/{member.name}".endswith(f"/{name}") and (opened := archive.extractfile(member)):
                    return opened.read()
    raise Refused(f"labels: the table {name} is neither in {source} nor beside it")


def _rows(name: str, content: bytes) -> list[dict[str, Any]]:
    if name.endswith(".parquet"):
        import pyarrow.parquet as parquet

        return parquet.read_table(io.BytesIO(content)).to_pylist()
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    try:
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        first = text.partition("\n")[0]
        delimiter = max("\t,;|", key=first.count)
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, json.JSONDecodeError) as error:
        raise Refused(f"labels: the table {name} cannot be read: {error}") from None


def _refuse_many(table: LabelTable, rows: list[Row]) -> None:
    """Refuse labels that are no classes: several in one, decimals, or as good as every image has one of its own."""
    labels = [row.label for row in rows if row.label]
    kinds = set(labels)
    several = [one for one in kinds for sign in "|;," if sign in one and {p.strip() for p in one.split(sign)} <= kinds]
    if several or (kinds and all(map(_DECIMAL.fullmatch, kinds)) and any(float(one) % 1 for one in kinds)):
        raise Refused(f"labels: the column {table.label} of {table.table} has {min(several or kinds)!r}: {ONE_CLASS}")
    if len(labels) >= 10 and len(set(labels)) > len(labels) / 2:
        raise Refused(
            f"labels: the column {table.label} of {table.table} has {len(set(labels)):,} different values for "
            f"{len(labels):,} images: {ONE_CLASS}"
        )
