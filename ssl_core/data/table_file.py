"""The file of a table, wherever it lies beside images, and its rows: CSV, TSV, JSON lines or parquet."""

import csv
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from ssl_core.data import names
from ssl_core.data.spellings import some
from ssl_core.errors import Refused


def content(name: str, source: Path) -> bytes:
    """A table's bytes: a path as such, below the source, beside it, or in it where it is an archive.

    Of an archive the file of that very path, or else the one whose path ends so. Raises `Refused` where there is
    none, or several end so.
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


def _member(name: str, members: list[str]) -> str | None:
    """That of this name, or the one that ends in it. Raises `Refused` where several do."""
    ending = [member for member in dict.fromkeys(members) if f"/{member}".endswith(f"/{name}")]
    exact = [member for member in ending if member.removeprefix("./") == name]
    if len(ending) > 1 and not exact:
        raise Refused(f"labels: the table {name} stands for {some(ending)}: give the whole name of one of them")
    return next(iter(exact or ending), None)


def rows(name: str, content: bytes) -> list[dict[str, Any]]:
    """The rows of a table of that name, by column. Raises `Refused` where its bytes are no such table."""
    kind = name.lower()
    if kind.endswith(".parquet"):
        import pyarrow.parquet as parquet

        try:
            return parquet.read_table(io.BytesIO(content)).to_pylist()
        except (OSError, ValueError) as error:
            raise Refused(f"labels: the table {name} cannot be read: {error}") from None
    try:
        text = _decoded(content)
        if kind.endswith(".jsonl"):
            return [_object(line) for line in text.split("\n") if line.strip()]
        first = text.partition("\n")[0]
        delimiter = "\t" if "\t" in first else max(",;|", key=first.count)
        read = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        read.fieldnames = [column.strip() for column in read.fieldnames or ()]
        return list(read)
    except (csv.Error, ValueError) as error:
        raise Refused(f"labels: the table {name} cannot be read: {error}") from None


def _decoded(content: bytes) -> str:
    """Unicode, or what a spreadsheet writes without it, as the names in a zip that does not say so; else Latin-1.

    Letters with an accent that stand alone among others make such words too by chance, and are of Latin-1.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        latin = content.decode("latin-1")
    alone = all(len(letters) == 1 and letters.isalpha() for letters in re.findall(r"[^\x00-\x7f]+", latin))
    found = None if alone else names.of_zip([content.decode("cp437")])
    return latin if found in (None, "cp437") else content.decode(found)


def _object(line: str) -> dict[str, Any]:
    read = json.loads(line)
    if not isinstance(read, dict):
        raise ValueError(f"the line {line[:40]} has no keys")
    return read
