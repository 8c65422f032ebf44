"""What the paths of images say: which split and which class each is of, and which are not read."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from ssl_core.data import spellings, structure
from ssl_core.data.levels import Folder
from ssl_core.data.spellings import TRAIN, UNLABELLED
from ssl_core.data.structure import Kind, Place
from ssl_core.errors import Refused

NUMBERED = re.compile(r"\D*(19|20)\d\d([-_. ]?\d\d){0,2}|\d{3}[A-Z_]\w{4}|\d*000")
"""Years and days (VOC2007), the folders of a camera (100APPLE), and of a thousand files each (01000)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The split ("": not read) and the label of each path, in the paths' order, and the classes' names.

    `labels` as `targets` has them: of folders classes, -1 for none. A table may have several an image, or a number:
    `classes` are then the names of the labels, or of the number alone.
    `left_out`: why images are not read, and the paths of those. `notes`, `warnings`: sentences on how they were read.
    """

    splits: np.ndarray
    labels: np.ndarray
    classes: list[str]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(paths: Sequence[str], layout: Kind | None = None, labelled: bool = True) -> Layout:
    """Split and class by each path's folders; without `labelled` no class. Raises `Refused` as `structure.read`."""
    parents = [path.rpartition("/")[0] for path in paths]
    folders = {parent: _parts(parent) for parent in dict.fromkeys(parents)}
    counts = Counter[Folder]()
    for parent, count in Counter(parents).items():
        counts[folders[parent]] += count
    found = structure.read(counts, layout, labelled)
    places = {parent: found.places[folder] for parent, folder in folders.items()}
    if not labelled:
        places = {parent: place if place.why else Place(place.split) for parent, place in places.items()}
    beside = set(_named_after(paths, spellings.side_of))  # cat_mask.png beside cat.png
    said = [Place(why=structure.SIDE) if path in beside else places[p] for path, p in zip(paths, parents, strict=True)]
    made = _made(paths, said)
    splits_alone = not labelled and "split" in found.kind
    how = "the splits are those of the folders" if splits_alone else f"the folders were read as {found.kind}"
    return replace(
        made,
        notes=[how, *found.notes * (labelled or layout is None), *made.notes],
        warnings=[
            *made.warnings,
            *_pairs(paths),
            *_series([path for path, place in zip(paths, said, strict=True) if not place.why]),
        ],
    )


def told(paths: Sequence[str], said: Sequence[Place], labelled: bool = True) -> Layout:
    """What a source itself says of each path, whatever that is called; without `labelled` no class.

    Several labels and numbers are left to `labelling`. Where it has labels, images of train without one are unlabelled,
    and of val and test are not read. Raises `Refused` where it says splits and none is train.
    """
    splits = {place.split for place in said} - {""}
    if splits and TRAIN not in splits:
        raise Refused(f"of the splits there is {', '.join(sorted(splits))} and no train: add it")
    classes = labelled and any(place.label is not None or place.target is not None for place in said)

    def read(place: Place) -> Place:
        split = place.split or TRAIN
        if not classes or split == UNLABELLED:
            return Place(split)
        if place.label is None and place.target is None:
            return Place(UNLABELLED) if split == TRAIN else Place(why=f"of the {split} split, without a label")
        return Place(split, place.label)

    kinds = {place: read(place) for place in dict.fromkeys(said)}
    return _made(paths, [kinds[place] for place in said])


def _made(paths: Sequence[str], said: Sequence[Place]) -> Layout:
    """The layout of paths whose places are known."""
    left_out: dict[str, list[str]] = defaultdict(list)
    for path, place in zip(paths, said, strict=True):
        if place.why:
            left_out[place.why].append(path)
    spelled, notes, apart = spelled_alike([place for place in said if not place.why])
    classes = sorted(set(spelled.values()))
    if len(classes) == 1:
        raise Refused(
            f"there is one class only, '{classes[0]}': give at least two, or add labels: none to this data set"
        )
    numbers = {name: i for i, name in enumerate(classes)}
    return Layout(
        splits=np.array(["" if place.why else place.split for place in said], dtype="<U10"),
        labels=np.array([numbers[spelled[p.label]] if p.label is not None else -1 for p in said], dtype=np.int64),
        classes=classes,
        left_out=dict(left_out),
        notes=notes,
        warnings=[*apart, *_doubts(classes)],
    )


def read_folders(folders: Sequence[Folder]) -> list[tuple[str | None, str | None]]:
    """The split and the class that each folder of a tree says, None where it says none, or they contradict."""
    try:
        found = structure.read(Counter(dict.fromkeys(folders, 1)))
    except Refused:
        return [(None, None)] * len(folders)
    splits = "split" in found.kind

    def said(place: Place) -> tuple[str | None, str | None]:
        if place.why:
            return None, None
        return place.split if splits or place.split == UNLABELLED else None, place.label and spellings.clean(
            place.label
        )

    return [said(found.places[folder]) for folder in folders]


def _parts(parent: str) -> Folder:
    return tuple(part for part in PurePosixPath(parent).parts if part != "/")


def spelled_alike(places: Iterable[Place]) -> tuple[dict[str, str], list[str], list[str]]:
    """The class that each folder's name stands for, and sentences on spellings that became one, or did not.

    Those that differ in small and capital letters are one class where no split has both.
    """
    within: dict[str, set[str]] = defaultdict(set)
    for split, label in {(place.split, place.label) for place in places}:
        if label is not None:
            within[label].add(split)
    alike: dict[str, list[str]] = defaultdict(list)
    for label in sorted(within, key=lambda label: (TRAIN not in within[label], label)):
        alike[spellings.clean(label).casefold()].append(label)
    spelled, notes, warnings = {}, [], []
    for labels in alike.values():
        first = spellings.clean(labels[0])
        cleaned = {spellings.clean(label): label for label in labels}
        apart = sum(len(within[label]) for label in cleaned.values()) == len({s for x in labels for s in within[x]})
        one = len(cleaned) == 1 or apart
        spelled |= {label: first if one else spellings.clean(label) for label in labels}
        written = ", ".join(repr(label) for label in labels)
        if len(labels) > 1 and one:
            notes.append(f"{written} are read as one class, {first}")
        elif len(labels) > 1:
            warnings.append(f"{written} stand in one split, and are read as classes of their own")
    return spelled, notes, warnings


def _doubts(classes: list[str]) -> list[str]:
    """Warnings of classes that are named like what is none."""
    doubts = []
    odd = [name for name in classes if spellings.is_side(name) or spellings.split_of(name)]
    if odd:
        doubts.append(f"the classes {', '.join(odd[:5])} are named like what is none; labels: none reads none")
    if len({tuple(spellings.words(name)) for name in classes}) == 1 and all(map(NUMBERED.fullmatch, classes)):
        doubts.append(
            f"all classes are named like years, days or numbered folders, as {classes[0]}: if they are none, say "
            "labels: none"
        )
    return doubts


def _named_after(paths: Sequence[str], stem_of: Callable[[str], str | None]) -> list[str]:
    """Files that are named after another one in their folder: whose stem is said by `stem_of`."""
    after: dict[str, str] = {}
    for path in paths:
        stem = path.rpartition(".")[0] or path
        folder, _, name = stem.rpartition("/")
        if (image := stem_of(name)) is not None:
            after[path] = f"{folder}/{image}" if folder else image
    if not after:
        return []
    stems = {path.rpartition(".")[0] for path in paths}
    return [path for path, image in after.items() if image in stems]


def _pairs(paths: Sequence[str]) -> list[str]:
    """A warning where many files come in two kinds of the same name: an image and its mask, or one picture twice."""
    ordered = sorted(path for path in paths if "." in path.rpartition("/")[2])
    twice = [a for a, b in pairwise(ordered) if a.rpartition(".")[0] == b.rpartition(".")[0]]
    if len(twice) * 5 < len(paths):
        return []
    return [
        f"{len(twice):,} images have another one of the same name beside them, as {spellings.clean(twice[0])}: if "
        "these are masks, or the same picture twice, take them out of the folder"
    ]


def _series(paths: Sequence[str]) -> list[str]:
    """A warning where many files are named after another one and a word: x_L.png, x_R.png beside x.png."""
    after = _named_after(paths, spellings.without_ending)
    if len(after) * 3 <= len(paths):
        return []
    return [
        f"{len(after):,} images are named like another one beside them and a word, as {spellings.clean(after[0])}: if "
        "these are masks or the like, take them out of the folder; if they show the same, group keeps them in one split"
    ]
