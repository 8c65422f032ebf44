"""What the cells of a table say of an image where that is no class: several labels, or a number."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_core.data.spellings import clean
from ssl_core.errors import Refused

ON, OFF = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
"""What a column of one label says, in any case."""
MINUS = ("-1", "-1.0")
"""A no too where a column has no other, nor an empty cell: beside these it stands for what is not known."""
BLANK = ("", "nan", "na", "n/a", "none", "null")
"""What a cell has where there is no number, and perhaps no class."""
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
Cells = Sequence[Mapping[str, Any]]
"""A table's rows, by column; a line of JSON lacks those of which it says nothing."""


def text(cell: Any) -> str:
    """A cell as text; empty where it has nothing."""
    return "" if cell is None or cell != cell else clean(str(cell))


def class_name(cell: Any) -> str | None:
    """A class's name, of whole numbers without a point (columns with gaps have 1.0); None where a cell is empty."""
    if text(cell) == "":
        return None
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def marked(cells: Cells, columns: Sequence[str], table: str) -> list[tuple[str, ...] | None]:
    """The columns whose cell says yes, of each row; None where one of them says nothing.

    Where no cell of them all says no, nothing is what says it. Raises `Refused` where a cell says something else.
    """
    said = [[text(row.get(column)).casefold() for column in columns] for row in cells]
    there = [set(column) for column in zip(*said, strict=True)]
    off = [OFF if those & {"", *OFF} else (*OFF, *MINUS) for those in there]
    for column, those, no in zip(columns, there, off, strict=True):
        if wrong := sorted(those - {"", *ON, *no}):
            raise Refused(
                f"labels: the column {column} of {table} has '{wrong[0]}'; a column of one label has 1 or 0, true or "
                "false, yes or no, and nothing where it is not known: for one class an image say label: COLUMN, for a "
                "number number: COLUMN"
            )
    ticked = not any(those & {*no} for those, no in zip(there, off, strict=True))
    return [
        tuple(column for column, cell in zip(columns, row, strict=True) if cell in ON) if ticked or all(row) else None
        for row in said
    ]


def parted(cells: Cells, column: str, separator: str) -> list[tuple[str, ...] | None]:
    """The labels of each row's cell, which is a list or a text with separators; None where it is empty."""
    found: list[tuple[str, ...] | None] = []
    for row in cells:
        cell = row.get(column)
        parts = [text(one) for one in cell] if isinstance(cell, list) else _parts(text(cell), separator)
        there = isinstance(cell, list) or text(cell)
        found.append(tuple(sorted({part.strip() for part in parts} - {""})) if there else None)
    return found


def _parts(cell: str, separator: str) -> list[str]:
    """The labels in a text; of a list that was written as one, `['cat', 'dog']`, its elements."""
    if cell[:1] + cell[-1:] != "[]":
        return cell.split(separator)
    return [one or other for one, other in _QUOTED.findall(cell)] or cell[1:-1].split(separator)


def numbers(cells: Cells, column: str, table: str) -> list[float | None]:
    """The number of each row; None where there is none. Raises `Refused` where cells have something else."""
    said = [text(row.get(column)) for row in cells]
    found = [None if cell.casefold() in BLANK else _number(cell) for cell in said]
    wrong = [cell for cell, value in zip(said, found, strict=True) if value is not None and not math.isfinite(value)]
    if wrong:
        raise Refused(
            f"labels: the column {column} of {table} has '{wrong[0]}', which is no number ({len(wrong):,} of "
            f"{len(said):,} rows): write it as 3.5, or leave the cell empty, and the image has no label"
        )
    return found


def _number(cell: str) -> float:
    """Not a number (NaN) where a text is none."""
    try:
        return float(cell)
    except ValueError:
        return math.nan
