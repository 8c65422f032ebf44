"""Which split and which class each image is of: from folders or a table, groups kept together, leaks told."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ssl_core.data import cutting, duplicates, labelling, layout, near_duplicates, table, targets
from ssl_core.data.duplicates import Duplicates
from ssl_core.data.layout import Layout
from ssl_core.data.source import SourceConfig
from ssl_core.data.spellings import TEST, TRAIN, UNLABELLED, VAL, clean, some, split_of
from ssl_core.data.structure import Place
from ssl_core.data.table import LabelTable, Row
from ssl_core.errors import Refused

NEARLY_ALL = 0.95


@dataclass(frozen=True, kw_only=True)
class Assigned(Layout):
    """A layout whose splits are final; how many `groups` there are, where images have any; which images are alike.

    `tables`: the names of those that the labels are of.
    """

    groups: int | None = None
    tables: list[str] = field(default_factory=list)
    duplicates: Duplicates = field(default_factory=Duplicates)


def assign(
    paths: Sequence[str],
    digests: np.ndarray | None,
    config: SourceConfig,
    source: Path | None,
    places: Sequence[Place] | None = None,
    hashes: np.ndarray | None = None,
) -> Assigned:
    """What each image is, in the order of `paths`, on which every draw depends; `digests` V16 [N] of their pixels.

    Before the pixels are known, `digests` is None, and none are alike. `places`: what the source says of each itself;
    else its folders say it, or a table. `hashes`: uint64 [N], by which near duplicates are looked for.
    `source`: the folder or archive that tables of labels are looked for in. Raises `Refused` where it cannot be told.
    """
    tables = _tables(config, source)
    labelled = config.labels == "folders" and not tables
    read = _told(paths, places, labelled) if places else layout.read(paths, config.layout, labelled)
    rows = _rows(tables, source, paths, read) if source else {}
    if tables:
        read = _labelled(read, rows, paths, tables[0][0], some([one.table for one, _ in tables]))
    keys, groups = _groups(paths, rows, config, read)
    strata = targets.strata(read.labels)
    splits = cutting.cut(read.splits, strata, groups, config.val_share, config.test_share, config.seed)
    if keys:
        held, apart = cutting.told_apart(splits, groups)
        _leave_out(read, splits, paths, held, "unlabelled, of a group that val or test has")
        if apart:
            read.warnings.append(f"{apart:,} groups stand in two of the splits that the folders or the table give")
    alike = Duplicates() if digests is None else duplicates.find(digests, splits, read.labels, paths)
    if hashes is not None and config.near_duplicates is not None:
        near_duplicates.add(alike, hashes, splits, paths, config.near_duplicates)
    advice = "duplicates: drop leaves them out" if config.duplicates == "keep" else "these are left out"
    read.warnings.extend([*(f"{note}: {advice}" for note in alike.leaked), *alike.contradictions])
    read.notes.extend(alike.notes)
    if config.duplicates == "drop" and digests is not None:
        _leave_out(read, splits, paths, alike.dropped, "pixels that a split measured on has too")
        if alike.near:
            _leave_out(read, splits, paths, alike.near_dropped, "nearly the pixels that a split measured on has")
        _refuse_empty(splits, config.near_duplicates if alike.near else None)
    read.warnings.extend(_nearly_all(read, splits))
    return Assigned(
        splits=splits, labels=read.labels, classes=read.classes, left_out=read.left_out, notes=read.notes,
        warnings=read.warnings, groups=len(np.unique(groups)) if keys else None, duplicates=alike,
        tables=[one.table for one, _ in tables],
    )  # fmt: skip


def _tables(config: SourceConfig, source: Path | None) -> list[tuple[LabelTable, str]]:
    """The tables that say labels, and the folder whose files each is about: the one that is given, else those found."""
    if isinstance(config.labels, LabelTable):
        if source is None:
            raise Refused("labels: a table is read of a folder or an archive alone; this source has labels of its own")
        return [(config.labels, "")]
    return list(table.found_in(source)) if source is not None and config.labels == "folders" else []


def _rows(tables: list[tuple[LabelTable, str]], source: Path, paths: Sequence[str], read: Layout) -> dict[int, Row]:
    """The row of each image that has one, by its place; rows of no image are warned of."""
    rows: dict[int, Row] = {}
    for one, below in tables:
        found, missing = table.matched(table.read(one, source), paths, below)
        rows |= found
        if missing:
            read.warnings.append(f"{len(missing):,} rows of {one.table} name no single file ({some(missing)})")
    return rows


def _leave_out(read: Layout, splits: np.ndarray, paths: Sequence[str], which: np.ndarray, why: str) -> None:
    if which.any():
        read.left_out[why] = [paths[i] for i in np.flatnonzero(which).tolist()]
        splits[which] = ""


def _told(paths: Sequence[str], places: Sequence[Place], labelled: bool) -> Layout:
    """What a source says of its images itself: classes, several labels each, or numbers."""
    places = labelling.meant(places) if labelled else places
    read = layout.told(paths, places, labelled)
    found = labelling.of_places(places, read.splits) if labelled else None
    if found is None:
        return read
    notes, warnings = [*read.notes, *found.notes], [*read.warnings, *found.warnings]
    return replace(read, labels=found.labels, classes=found.names, notes=notes, warnings=warnings)


def _labelled(read: Layout, rows: dict[int, Row], paths: Sequence[str], given: LabelTable, named: str) -> Layout:
    """With the labels, and where it has them the splits, of a table's rows; images of no row are unlabelled.

    `named`: the tables in words; `given` is the first of them.
    """
    if not rows:
        raise Refused(
            f"labels: no row of {named} names an image; its column {given.file} must have their names, as "
            f"{clean(paths[0])}, or the ends of them"
        )
    found = labelling.of_rows(rows, given, named, read.splits)
    splits = read.splits.copy()
    for place, row in rows.items():
        if row.split and splits[place]:
            splits[place] = split_of(row.split) or _refuse_split(given, row)
    moved = np.flatnonzero(splits != read.splits)
    if len(moved) and (read.splits[read.splits != ""] != TRAIN).any():
        read.warnings.append(
            f"{named} gives {len(moved):,} images another split than their folders "
            f"({some([paths[i] for i in moved.tolist()])}): that of the table is taken"
        )
    without = ~targets.known(found.labels) & (splits != "")
    splits[without & (splits == TRAIN)] = UNLABELLED
    lost = without & np.isin(splits, (VAL, TEST))
    splits[lost] = ""
    left_out = {"of val or test, without a label in the table": [paths[i] for i in np.flatnonzero(lost).tolist()]}
    unnamed = [paths[i] for i in range(len(paths)) if i not in rows]
    if unnamed:
        read.warnings.append(f"{len(unnamed):,} images are in no row of {named} ({some(unnamed)}): no label")
    read.warnings.extend(found.warnings)
    read.notes.extend(found.notes)
    columns = f"column{'s' if len(given.columns) > 1 else ''} {', '.join(given.columns)}"
    read.notes.append(f"the labels are those of {named}, {columns}")
    left_out = read.left_out | (left_out if lost.any() else {})
    return replace(read, splits=splits, labels=found.labels, classes=found.names, left_out=left_out)


def _refuse_split(given: LabelTable, row: Row) -> str:
    raise Refused(
        f"labels: the column {given.split} of {given.table} has '{row.split}', which is no split: train, val, test"
    )


def _groups(paths: Sequence[str], rows: dict[int, Row], config: SourceConfig, read: Layout) -> tuple[bool, np.ndarray]:
    """Whether images have groups, and each one's number; without, each is a group of its own."""
    if config.group is not None:
        keys, without = cutting.by_pattern(paths, config.group)
        if without:
            read.warnings.append(f"{without:,} images have no group, and are each one of their own")
    elif any(row.group for row in rows.values()):
        keys = [rows[i].group if i in rows and rows[i].group else f"\0{path}" for i, path in enumerate(paths)]
    else:
        return False, np.arange(len(paths))
    return True, np.unique(np.array(keys, dtype=object), return_inverse=True)[1]


def _refuse_empty(splits: np.ndarray, near: int | None) -> None:
    """Raise `Refused` where nothing is left of a split; `near`: the bits that near duplicates were found by."""
    nearly = "" if near is None else f", or nearly: near_duplicates is {near}, and fewer bits find fewer"
    for name in (TRAIN, VAL, TEST):
        if not (splits == name).any():
            raise Refused(f"duplicates: drop leaves no image in {name}: all of them are in another split too{nearly}")


def _nearly_all(read: Layout, splits: np.ndarray) -> list[str]:
    """A warning where one class is nearly everything: always to say it is then nearly always right."""
    if targets.target(read.labels) != "class":
        return []
    counted = Counter(read.labels[(splits != "") & (read.labels >= 0)].tolist())
    label, most = max(counted.items(), key=lambda item: item[1], default=(0, 0))
    share = most / max(1, counted.total())
    if share < NEARLY_ALL:
        return []
    return [
        f"{share:.1%} of all labelled images are of the class {read.classes[label]}: to say nothing else is as often "
        "right"
    ]
