"""The labels that a table's rows give images, as an array: classes, several labels an image, or numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl_core.data import layout
from ssl_core.data.spellings import UNLABELLED, some, split_of
from ssl_core.data.structure import Place
from ssl_core.data.table import LabelTable, Row, told_apart_each
from ssl_core.data.table_cells import BLANK, class_name
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


def meant(places: Sequence[Place]) -> list[Place]:
    """With what the lists and numbers of a source are taken for, by all of them together; those of unlabelled for none.

    Numbers that are all whole are classes. Lists of one length of 0 and 1 are columns, with a 1 where the image has the
    label of that number; any others hold the labels themselves. Where each list has one label, it is the class. Raises
    `Refused` where images have different kinds of labels, lists hold none, or as good as each image has a class of its
    own.
    """
    places = [Place(UNLABELLED) if place.split == UNLABELLED else place for place in places]
    lists = [place.target for place in places if isinstance(place.target, tuple)]
    numbers = [place.target for place in places if isinstance(place.target, int | float)]
    texts = any(place.label is not None for place in places)
    fractions = any(number % 1 for number in numbers)
    if (lists and (numbers or texts)) or (fractions and texts):
        raise Refused("labels: some images have a class, and others several labels or a number; all must have the same")
    if lists:
        named = _columns(lists) or _listed(lists)
        one = all(len(labels) == 1 for labels in named.values())
        return [
            place if not isinstance(place.target, tuple)
            else Place(place.split, named[place.target][0]) if one
            else place._replace(target=named[place.target])
            for place in places
        ]  # fmt: skip
    if fractions:
        return [
            place._replace(target=float(place.target)) if isinstance(place.target, int | float) else place
            for place in places
        ]
    places = [place if place.target is None else Place(place.split, class_name(place.target)) for place in places]
    labels = [place.label for place in places if place.label is not None]
    if told_apart_each(labels):
        raise Refused(
            f"labels: the source has {len(set(labels)):,} different ones for {len(labels):,} images, as "
            f"{some(sorted(set(labels)))}: one class an image is read, and captions and names are none; labels: none "
            "reads none"
        )
    return places


def of_places(places: Sequence[Place], splits: np.ndarray) -> Labelling | None:
    """Of images in their order, as they are `meant`; None where they have classes, or nothing. Raises as `of_rows`."""
    if all(place.target is None for place in places):
        return None
    rows = {
        i: Row(file="", label="", split="", group="", target=place.target)
        for i, place in enumerate(places) if splits[i] != ""
    }  # fmt: skip
    if any(isinstance(place.target, float) for place in places):
        return _numbers(rows, "number", "the source", len(splits))
    return _several(rows, "the source", splits, [])


def _columns(lists: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[str, ...]]:
    """The numbers of the columns with a 1, as texts of one length, in their order then too; nothing where none are."""
    widths = {len(one) for one in lists}
    if len(widths) > 1 or max(widths) < 2 or not {cell for one in lists for cell in one} <= {0, 1}:
        return {}
    digits = len(str(max(widths) - 1))
    return {one: tuple(f"{i:0{digits}}" for i, cell in enumerate(one) if cell) for one in set(lists)}


def _listed(lists: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[str, ...]]:
    """The labels in lists. Raises `Refused` where these are boxes, vectors or columns of unlike lengths."""
    cells = {cell for one in lists for cell in one}
    if cells <= {0, 1} and any(len(set(one)) < len(one) for one in lists):
        raise Refused("labels: lists of 0 and 1 of the source have different lengths; columns of labels are as many")
    named = {one: tuple(sorted({name for cell in one if (name := class_name(cell))})) for one in set(lists)}
    kinds = {name for labels in named.values() for name in labels}
    if any(isinstance(cell, float) and cell % 1 for cell in cells) or len(kinds) > max(10, len(lists) / 2):
        raise Refused(
            f"labels: lists of the source hold {len(kinds):,} different things for {len(lists):,} images, as "
            f"{some(sorted(kinds))}: labels are read, and boxes, vectors and captions are none"
        )
    return named


def _said(rows: Mapping[int, Row], splits: np.ndarray) -> list[tuple[str, int, Row]]:
    return [(split_of(row.split) or str(splits[i]), i, row) for i, row in rows.items() if row.labelled]


def _classes(rows: Mapping[int, Row], given: LabelTable, named: str, splits: np.ndarray) -> Labelling:
    said, notes, apart = layout.spelled_alike(Place(split, row.label) for split, _, row in _said(rows, splits))
    classes = sorted(set(said.values()))
    if len(classes) < 2:
        raise Refused(f"labels: the column {given.label} of {named} has {len(classes)} classes; at least 2 needed")
    if blank := [name for name in classes if name.casefold() in BLANK]:
        apart.append(f"a class is called {', '.join(blank)}: if that is none, leave the cells empty")
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
    if not names:
        raise Refused(f"labels: no image of {named} has a label")
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
