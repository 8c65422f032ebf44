"""The file of a table, wherever it lies beside images, and its rows: CSV, TSV, JSON lines or parquet."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from ssl_core.errors import Refused


def content(name: str, source: Path) -> bytes:
    """A table's bytes: a path as such, below the source, beside it, or in it where it is an archive.

    Of an archive the file of that very path, or else the first whose path ends so. Raises `Refused` where there is
    none.
    """
    for place in (Path(name).expanduser(), source / name, source.parent / name):
        if place.is_file():
            return place.read_bytes()
    if source.is_file() and zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            if (member := _member(name, archive.namelist())) is not None:
                return archive.read(member)
    elif source.is_file() and tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            member = _member(name, [one.name for one in archive if one.isfile()])
            if member is not None and (opened := archive.extractfile(member)):
                return opened.read()
    raise Refused(f"labels: the table {name} is neither in {source} nor beside it")


def _member(name: str, paths: list[str]) -> str | None:
    return next((path for path in [*filter(name.__eq__, paths), *paths] if f"/{path}".endswith(f"/{name}")), None)


def rows(name: str, content: bytes) -> list[dict[str, Any]]:
    """The rows of a table of that name, by column. Raises `Refused` where its bytes are no such table."""
    if name.endswith(".parquet"):
        import pyarrow.parquet as parquet

        try:
            return parquet.read_table(io.BytesIO(content)).to_pylist()
        except (OSError, ValueError) as error:
            raise Refused(f"labels: the table {name} cannot be read: {error}") from None
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    try:
        if name.endswith(".jsonl"):
            return [_object(line) for line in text.splitlines() if line.strip()]
        first = text.partition("\n")[0]
        delimiter = max("\t,;|", key=first.count)
        return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    except (csv.Error, ValueError) as error:
        raise Refused(f"labels: the table {name} cannot be read: {error}") from None


def _object(line: str) -> dict[str, Any]:
    read = json.loads(line)
    if not isinstance(read, dict):
        raise ValueError(f"the line {line[:40]} has no keys")
    return read
