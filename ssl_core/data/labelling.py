"""The labels that a table's rows give images, as an array: classes, several labels an image, or numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ssl_core.data import layout
from ssl_core.data.spellings import some, split_of
from ssl_core.data.structure import Place
from ssl_core.data.table import LabelTable, Row
from ssl_core.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Labels [N] or [N, L] as `targets` has them, and the names of what they are of: classes, labels, one number.

    `notes`, `warnings`: sentences on how they were read.
    """

    labels: np.ndarray
    names: list[str]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def of_rows(rows: Mapping[int, Row], given: LabelTable, named: str, splits: np.ndarray) -> Labelling:
    """Of the images in their order, by the rows of those that have one; `named`: their tables in words.

    `splits`: texts [N], those of the folders. Raises `Refused` where there is nothing to be told apart.
    """
    match given.target:
        case "class":
            return _classes(rows, given, named, splits)
        case "labels":
            return _several(rows, named, splits, [] if given.separator else [*given.columns])
        case "number":
            return _numbers(rows, given.columns[0], f"the column {given.number} of {named}", len(splits))


def of_places(places: Sequence[Place], splits: np.ndarray) -> Labelling | None:
    """Of images in their order, whose source says itself what each has; None where that is a class, or nothing.

    Raises `Refused` as `of_rows`, and where images have different kinds of labels.
    """
    has = {type(place.target if place.label is None else place.label) for place in places} - {type(None)}
    if has <= {str}:
        return None
    if len(has) > 1:
        raise Refused("labels: some images have a class, and others several labels or a number; all must have the same")
    rows = {i: Row(file="", label="", split="", group="", target=place.target) for i, place in enumerate(places)}
    if has == {float}:
        return _numbers(rows, "number", "the source", len(splits))
    return _several(rows, "the source", splits, [])


def _said(rows: Mapping[int, Row], splits: np.ndarray) -> list[tuple[str, int, Row]]:
    return [(split_of(row.split) or str(splits[i]), i, row) for i, row in rows.items() if row.labelled]


def _classes(rows: Mapping[int, Row], given: LabelTable, named: str, splits: np.ndarray) -> Labelling:
    said, notes, apart = layout.spelled_alike(Place(split, row.label) for split, _, row in _said(rows, splits))
    classes = sorted(set(said.values()))
    if len(classes) < 2:
        raise Refused(f"labels: the column {given.label} of {named} has {len(classes)} classes; at least 2 needed")
    numbers = {name: i for i, name in enumerate(classes)}
    labels = np.full(len(splits), -1)
    for _, place, row in _said(rows, splits):
        labels[place] = numbers[said[row.label]]
    return Labelling(labels=labels, names=classes, notes=notes, warnings=apart)


def _several(rows: Mapping[int, Row], named: str, splits: np.ndarray, columns: list[str]) -> Labelling:
    """By columns in their order; without, by the names in the cells, in that of the alphabet."""
    there = [(split, i, row.target) for split, i, row in _said(rows, splits) if isinstance(row.target, tuple)]
    if not there:
        raise Refused(f"labels: no row of {named} has a label")
    said, notes, apart = {column: column for column in columns}, [], []
    if not columns:
        said, notes, apart = layout.spelled_alike(Place(split, one) for split, _, those in there for one in those)
    names = columns or sorted(set(said.values()))
    numbers = {name: i for i, name in enumerate(names)}
    labels = np.full((len(splits), len(names)), -1, dtype=np.int8)
    for _, place, those in there:
        labels[place] = 0
        labels[place, [numbers[said[one]] for one in those]] = 1
    has = (labels == 1).sum(axis=0)
    told = (has > 0) & (has < len(there))
    dull = [name for name, kept in zip(names, told, strict=True) if not kept]
    if len(dull) == len(names):
        raise Refused(f"labels: of {named} no label tells images apart: all images have it, or none ({some(dull)})")
    if dull:
        apart.append(f"labels that all images have, or none, tell nothing and are left out: {some(dull)}")
    kept = [name for name in names if name not in dull]
    return Labelling(labels=labels[:, told], names=kept, notes=[*notes, *_unlabelled(rows)], warnings=apart)


def _numbers(rows: Mapping[int, Row], name: str, where: str, count: int) -> Labelling:
    labels = np.full(count, np.nan)
    for place, row in rows.items():
        if isinstance(row.target, float):
            labels[place] = row.target
    there = labels[~np.isnan(labels)]
    if len(np.unique(there)) < 2:
        has = f"{there[0]:g} alone" if len(there) else "no number"
        raise Refused(f"labels: {where} has {has}; two different numbers are needed")
    return Labelling(labels=labels, names=[name], notes=_unlabelled(rows))


def _unlabelled(rows: Mapping[int, Row]) -> list[str]:
    without = sum(not row.labelled for row in rows.values())
    return [f"rows without a label: {without:,}"] if without else []
