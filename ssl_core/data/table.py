"""Labels from a table beside the images: CSV, TSV, JSON lines or parquet, a row an image."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ssl_core.data import table_cells, table_file
from ssl_core.data.names import printable
from ssl_core.data.targets import Target
from ssl_core.errors import Refused

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
"""Tables by their names' ends, in any case; a .txt may be anything, and is one where it is given."""
_DECIMAL = re.compile(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", re.IGNORECASE)
LABELS = ("label", "labels", "class", "category", "target")
"""Columns that hold classes where a table is known by its name; a caption is none."""
ONE_CLASS = (
    "one class an image is read; several labels are with separator: '|', or what else parts them, or label: [COLUMN, "
    "COLUMN], numbers with number: COLUMN, boxes and captions are not"
)


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """A table of labels: its file, and its columns of file names, labels, and of splits and groups where it has any.

    `table`: a path as such, or one below the folder or archive of images, or beside it. `label`: a column of classes,
    one an image; or several columns, each of one label that an image has (1, true, yes) or not (0, false, no). With a
    `separator` the one column has several labels in each cell, `cat|dog`. `number`: a column of numbers instead.
    """

    table: str
    file: str = "file_name"
    label: str | tuple[str, ...] = "label"
    separator: str | None = None
    number: str | None = None
    split: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.table.lower().endswith((*KINDS, ".txt")):
            raise ValueError(f"table is {self.table}; {', '.join(KINDS)}, .txt are read: save it as one of these")
        if self.number == "":
            raise ValueError("number is ''; a column is needed")
        if not self.label or not all(self.columns) or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"label is {list(self.label)}; a column is needed, or several, each once")
        if self.separator is not None and (not self.separator or self.number or not isinstance(self.label, str)):
            raise ValueError(f"separator is {self.separator!r}; it parts the labels in the cells of one column, label")
        if self.number is not None and self.label != "label":
            raise ValueError(f"number is {self.number}; an image has a number or labels: leave out label or number")

    @property
    def target(self) -> Target:
        """What an image is labelled with."""
        if self.number is not None:
            return "number"
        return "class" if isinstance(self.label, str) and self.separator is None else "labels"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say what an image is labelled with."""
        if self.number is not None:
            return (self.number,)
        return (self.label,) if isinstance(self.label, str) else self.label


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a table says of a file; empty where it says nothing.

    `label`: its class. `target`: its labels or its number, where these are read; None where it has none.
    """

    file: str
    label: str
    split: str
    group: str
    target: tuple[str, ...] | float | None = None

    @property
    def labelled(self) -> bool:
        """Whether it says what the image is labelled with."""
        return self.label != "" or self.target is not None


def read(table: LabelTable, source: Path) -> list[Row]:
    """The rows of a table that belongs to a folder or archive. Raises `Refused` where it or a column is missing."""
    return _read(table, table_file.rows(table.table, table_file.content(table.table, source)))


def _read(table: LabelTable, rows: list[dict[str, Any]]) -> list[Row]:
    if not rows:
        raise Refused(f"labels: the table {table.table} has no rows")
    there = dict.fromkeys(key for row in rows for key in row)
    for key in filter(None, (table.file, *table.columns, table.split, table.group)):
        if key not in there:
            raise Refused(f"labels: the table {table.table} has no column {key}; it has {', '.join(map(str, there))}")

    def text(row: dict[str, Any], key: str | None) -> str:
        value = row.get(key) if key else None
        if isinstance(value, list | dict):
            raise Refused(f"labels: the column {key} of {table.table} has {value}: {ONE_CLASS}")
        return table_cells.text(value)

    targets = _targets(table, rows)
    label = table.label if targets is None and isinstance(table.label, str) else None
    made = [
        Row(file=printable(str(row.get(table.file, "")).replace("\\", "/").lstrip("/")), label=text(row, label),
            split=text(row, table.split), group=text(row, table.group), target=target)
        for row, target in zip(rows, targets or [None] * len(rows), strict=True)
    ]  # fmt: skip
    if targets is None:
        _refuse_many(table, made)
    return made


def _targets(table: LabelTable, rows: list[dict[str, Any]]) -> Sequence[tuple[str, ...] | float | None] | None:
    """The labels or the number of each row; None where rows have classes."""
    if table.number is not None:
        return table_cells.numbers(rows, table.number, table.table)
    if isinstance(table.label, tuple):
        return table_cells.marked(rows, table.label, table.table)
    return None if table.separator is None else table_cells.parted(rows, table.label, table.separator)


def is_known(path: str) -> bool:
    """Whether a file is a table of labels by its name, as Hugging Face's imagefolder has them: metadata.csv."""
    return PurePosixPath(path).stem == "metadata" and path.lower().endswith(KINDS)


def found_in(contents: Mapping[str, bytes]) -> Iterator[tuple[LabelTable, str, list[Row]]]:
    """Tables that are known by their name, of those that have a column file_name and labels, with their rows.

    `contents`: by their paths among the images. With each the folder whose files it is about, its own. Raises `Refused`
    where one cannot be read, with what would say how.
    """
    for name, content in sorted(contents.items()):
        label = None
        try:
            rows = table_file.rows(name, content)
            columns = list(next(iter(rows), {}))
            label = next((key for key in LABELS if key in columns), None)
            if "file_name" in columns and label:
                known = LabelTable(table=name, label=label)
                yield known, PurePosixPath(name).parent.as_posix().removeprefix("."), _read(known, rows)
        except Refused as error:
            raise Refused(
                f"{error} (a table of this name is taken for that of the labels: to have it read otherwise, add "
                f"labels: {{table: {name}, file: file_name, label: {label or 'COLUMN'}, …}} to this data set, "
                "labels: none to have no labels, or take it out of there)"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The row of each path that has one, by the path's place, and the files of the other rows.

    `missing`: those that are not there. `several`: those that name more paths than one, with these paths' places.
    `dropped`: how many leading folders the rows have of elsewhere.
    """

    rows: dict[int, Row] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    several: dict[str, list[int]] = field(default_factory=dict)
    dropped: int = 0


def matched(rows: Sequence[Row], paths: Sequence[str], below: str = "") -> Matched:
    """What rows say of paths.

    A row may name the end of a path, and leave out its kind (`0001` for images/0001.png). Where no row does, they are
    of elsewhere, as absolute paths are, and lose one leading folder after the other. Raises `Refused` where two rows of
    one file say different things.
    """
    by_name: dict[str, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        name = path.rpartition("/")[2]
        by_name[name].append(place)
        if (stem := name.rpartition(".")[0]) != name:
            by_name[f"{stem}\0"].append(place)
    found = Matched()
    for dropped in range(1 + max((row.file.count("/") for row in rows), default=0)):
        found = Matched(dropped=dropped)
        for row in rows:
            parts = row.file.split("/")
            wanted = "/".join(filter(None, (below, *parts[min(dropped, len(parts) - 1) :])))
            _match(row, wanted, paths, by_name, found)
        if found.rows or found.several:
            break
    return found


def _match(row: Row, wanted: str, paths: Sequence[str], by_name: Mapping[str, list[int]], found: Matched) -> None:
    name = wanted.rpartition("/")[2]
    exact = [i for i in by_name.get(name, ()) if f"/{paths[i]}".endswith(f"/{wanted}")]
    loose = exact or [
        i for i in by_name.get(f"{name}\0", ()) if f"/{paths[i].rpartition('.')[0]}".endswith(f"/{wanted}")
    ]
    if len(loose) != 1:
        if loose:
            found.several[row.file] = loose
        else:
            found.missing.append(row.file)
        return
    before = found.rows.setdefault(loose[0], row)
    if before.label != row.label:
        raise Refused(
            f"labels: rows of the table give {row.file} the labels '{before.label}' and '{row.label}': {ONE_CLASS}"
        )
    if before.target != row.target:
        raise Refused(f"labels: two rows of the table label {row.file}, not alike: one row an image is read")
    for what, one, other in (("split", before.split, row.split), ("group", before.group, row.group)):
        if one != other:
            raise Refused(
                f"labels: two rows of the table give {row.file} the {what}s '{one}' and '{other}': one row an image is "
                "read"
            )


def _refuse_many(table: LabelTable, rows: list[Row]) -> None:
    """Refuse labels that are no classes: several in one, decimals, or as good as every image has one of its own."""
    labels = [row.label for row in rows if row.label]
    kinds = set(labels)
    several = _several(Counter(labels))
    if several or (kinds and all(map(_DECIMAL.fullmatch, kinds)) and any(float(one) % 1 for one in kinds)):
        raise Refused(f"labels: the column {table.label} of {table.table} has {min(several or kinds)!r}: {ONE_CLASS}")
    if told_apart_each(labels):
        raise Refused(
            f"labels: the column {table.label} of {table.table} has {len(kinds):,} different values for "
            f"{len(labels):,} images: {ONE_CLASS}"
        )


def told_apart_each(labels: Sequence[str]) -> bool:
    """Whether as good as every image has a label of its own, which then is a caption or a number and no class."""
    return len(labels) >= 10 and len(set(labels)) > len(labels) / 2


def _several(labels: Counter[str]) -> list[str]:
    """Those that are several labels in one cell, of all by how often each is there.

    Lists; what has only parts that are labels too, of blanks at least twice, as a `hot dog` may be a class beside `hot`
    and `dog`; and where most cells have a separator, and parts come again, those.
    """
    found = [one for one in labels if one[0] + one[-1] == "[]"]
    for sign in " |;,":
        parts = {one: {part.strip() for part in one.split(sign)} for one in labels if sign in one}
        of_labels = [one for one, those in parts.items() if those <= labels.keys()]
        found += of_labels if len(of_labels) > (sign == " ") else []
        again = sum(map(len, parts.values())) > len(set().union(*parts.values()))
        if sign in "|;" and again and sum(labels[one] for one in parts) > labels.total() / 2:
            found += parts
    return found
