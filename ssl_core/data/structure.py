"""Which split and which class each folder of a tree is, told from the folders' names alone.

Where names contradict each other nothing is guessed: it is refused, with what was seen and how to say what is meant.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ssl_core.data import contradictions, levels, spellings
from ssl_core.data.levels import Folder, Rest
from ssl_core.data.spellings import TEST, TRAIN, UNLABELLED, VAL, clean, split_of
from ssl_core.errors import Refused

Kind = Literal["split/class", "class/split", "class", "flat"]
"""What the folders are, from the top: `layout` of a data set in params.yaml."""
SIDE = "masks, labels and the like beside the images"
Cell = tuple[Any, ...] | float | None
"""A list or a number, as a source has it."""


class Place(NamedTuple):
    """What a folder's images are; where `why` says something, they are not read.

    `label`: their class. `target`: what a source says of an image instead, a list or a number: `labelling` reads it.
    """

    split: str = TRAIN
    label: str | None = None
    why: str = ""
    target: Cell = None

    @classmethod
    def of(cls, split: str, cell: Any, where: str = "a label") -> "Place":
        """Of a split, with what the source says of the image: a text or its bytes, a list, a number; or nothing.

        Raises `Refused` of a record of several fields; `where` it is, in words.
        """
        if isinstance(cell, list | tuple):
            return cls(split, target=tuple(str(one) if isinstance(one, list | dict) else one for one in cell))
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            return cls(split, target=cell if math.isfinite(cell) else None)
        if isinstance(cell, dict):
            raise Refused(
                f"labels: {where} is {cell}, and a label is a text, a number or a list: keep the field that is meant "
                f"({', '.join(map(str, cell))}) beside the others, by itself, and say its name as `label:`"
            )
        if isinstance(cell, bytes):
            cell = cell.decode(errors="backslashreplace")
        text = "" if cell is None else str(cell)
        return cls(split, text if text.strip() else None)


@dataclass
class Tree:
    """The place of each folder that holds images, as many as `counts` says; `notes`: sentences on how it was read."""

    counts: Mapping[Folder, int]
    kind: Kind = "flat"
    places: dict[Folder, Place] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, folders: Iterable[Folder], place: Place) -> None:
        """Say what folders are."""
        self.places |= dict.fromkeys(folders, place)

    def named(self, rest: Rest, tops: Collection[str]) -> str:
        """Folders at the top of what is left, with their images: `cat (20), dog (31)`."""
        per = Counter[str]()
        for folder, parts in rest.items():
            per.update({parts[0]: self.counts[folder]} if parts else {})
        return ", ".join(f"{clean(top)} ({per[top]:,})" for top in sorted(tops)[:8]) + ", …" * (len(tops) > 8)


def read(counts: Mapping[Folder, int], layout: Kind | None = None, labelled: bool = True) -> Tree:
    """The places of folders that hold so many images each. Raises `Refused` where they cannot be told.

    Without `labelled` there is nothing that cannot: no folder is a class, and what is no split is train.
    """
    tree, rest = Tree(counts), dict(zip(counts, counts, strict=True))
    if not labelled and layout is None:
        _splits_alone(tree, rest)
        return tree
    how = {None: _guess, "flat": _flat, "class": _classes, "split/class": _splits, "class/split": _class_splits}
    how[layout](tree, levels.without_common(rest, splits_too=layout in ("class", "class/split")))
    return tree


def _guess(tree: Tree, rest: Rest) -> None:
    """Read a tree of which nobody has said what it is."""
    tops = levels.tops(rest)
    splits = [top for top in tops if spellings.is_split(top)]
    without = [top for top in tops if spellings.is_not_labelled(top)]
    images = [top for top in tops if spellings.is_images(top) or spellings.is_labelled(top)]
    alone = [top for top in tops if not spellings.is_side(top)]
    called = spellings.are_pieces(alone)
    pieces = [top for top in alone if called or spellings.is_images(top) or spellings.is_piece(top)]
    if len(tops) == 1 and max(map(len, rest.values())) > 1:
        images = [*tops]
    if splits:
        others = [top for top in tops if not split_of(top) and not spellings.is_side(top)]
        if others:
            way = "add layout: split/class to this data set to read the splits alone, or layout: class"
            if TRAIN not in map(split_of, splits):
                way = "rename one to train, or give the path of one of them, or add to this data set layout: class"
            raise Refused(
                f"some folders are named like splits ({tree.named(rest, splits)}) and others are not "
                f"({tree.named(rest, others)}), so that it is not known what the classes are: {way} if all of these "
                "are classes"
            )
        _splits(tree, rest)
    elif without and len(tops) > len(without):
        tree.put(levels.of(rest, without), Place(UNLABELLED))
        tree.put(levels.of(rest), Place(UNLABELLED))
        _guess(tree, levels.within(rest, [top for top in tops if top not in without]))
    elif len(images) == 1 and (len(tops) > 1 or () in rest.values()) and _are_side([*tops], but=images):
        tree.put(levels.of(rest), Place(why=f"outside the folder {clean(images[0])}, which holds the images"))
        tree.put(levels.of(rest, [top for top in tops if top not in images]), Place(why=SIDE))
        _guess(tree, levels.within(rest, images))
    elif len(pieces) > 1 and _are_side([*tops], but=pieces):
        _pool(tree, rest, pieces)
    elif not tops:
        _flat(tree, rest)
    elif contradictions.splits_in_classes(tree.named, rest):
        contradictions.refuse_repeated(tree.named, rest, tops, splits=True)
        _class_splits(tree, rest)
    else:
        rest = _without_mirrors(tree, rest)
        contradictions.refuse_repeated(tree.named, rest, levels.tops(rest))
        _classes(tree, rest)


def _pool(tree: Tree, rest: Rest, pieces: Collection[str]) -> None:
    """Read folders that are called images, or differ in a number alone, as one."""
    names = {tuple(spellings.words(piece)) for piece in pieces}
    if len(names) > 1 or any(map(spellings.is_dealt, pieces)):
        contradictions.refuse_repeated(tree.named, rest, pieces)
    tree.put(levels.of(rest, [top for top in levels.tops(rest) if top not in pieces]), Place(why=SIDE))
    tree.notes.append(f"{tree.named(rest, pieces)} are read as one folder: if these are classes, say layout: class")
    _guess(tree, levels.without_common({f: parts[1:] for f, parts in rest.items() if not parts or parts[0] in pieces}))


def _splits_alone(tree: Tree, rest: Rest) -> None:
    """Read the names of splits, wherever they stand, and of masks."""
    found = {folder: next(filter(None, map(split_of, parts)), None) for folder, parts in rest.items()}
    splits = TRAIN in found.values()
    tree.kind = "split/class" if splits else "flat"
    beside = {parts[:i] for parts in rest.values() for i, part in enumerate(parts) if spellings.is_images(part)}
    other = 0
    for folder, parts in rest.items():
        sides = [i for i, part in enumerate(parts) if spellings.is_side(part)]
        if any(parts[:i] in beside or spellings.is_no_class(parts[i]) for i in sides):
            tree.put([folder], Place(why=SIDE))
            continue
        split = found[folder] if splits or found[folder] == UNLABELLED else None
        tree.put([folder], Place(split or TRAIN))
        other += tree.counts[folder] * (split is None)
    if other and (splits or any(found.values())):
        tree.notes.append(f"{other:,} images lie in no folder of a split, or of one alone, and are of train")
    shown = levels.without_common(rest)
    if not splits and (loose := contradictions.loosely_named(levels.tops(shown))):
        tree.notes.append(
            f"{tree.named(shown, loose)} are named after splits and something else, and all are of train: rename them "
            "to train and test if they are these"
        )


def _flat(tree: Tree, rest: Rest) -> None:
    tree.kind = "flat"
    tree.put(rest, Place())


def _classes(tree: Tree, rest: Rest) -> None:
    """Folders of classes; what lies beside them has no label."""
    tree.kind = "class"
    tree.put(levels.of(rest), Place(UNLABELLED))
    deeper: set[tuple[str, str]] = set()
    for top, inside in levels.each(rest).items():
        deeper |= {(top, one) for one in _put_class(tree, inside, Place(TRAIN, top))}
    _note_deeper(tree, "at the top", deeper)


def _put_class(tree: Tree, inside: Rest, place: Place) -> set[str]:
    """Say what the folders of a class are, but for masks; returned are those in it, which are not told apart."""
    tree.put(inside, place)
    return levels.tops(_without_side(tree, inside))


def _note_deeper(tree: Tree, where: str, deeper: set[tuple[str, str]]) -> None:
    if deeper:
        first = "/".join(map(clean, min(deeper)))
        tree.notes.append(
            f"the classes are the folders {where}; those below ({len(deeper)}, the first {first}) are not told apart"
        )


def _class_splits(tree: Tree, rest: Rest) -> None:
    """Folders of classes, with the splits below each; without a train below any, what lies beside the others is it."""
    tree.kind = "class/split"
    tree.put(rest, Place(why="in no split of a class"))
    classes = levels.each(rest)
    trained = any(split_of(name) == TRAIN for inside in classes.values() for name in levels.tops(inside))
    beside = [] if trained else [folder for inside in classes.values() for folder in levels.of(inside)]
    deeper: set[tuple[str, str]] = set()
    for top, inside in classes.items():
        for name, split in ((name, split) for name in levels.tops(inside) if (split := split_of(name))):
            below = {folder: inside[folder][1:] for folder in levels.of(inside, [name])}
            deeper |= {(top, one) for one in _put_class(tree, below, Place(split, top))}
        tree.put(set(levels.of(inside)).intersection(beside), Place(TRAIN, top))
    if beside:
        tree.notes.append("the images that lie in a class beside its splits are of train")
    _note_deeper(tree, "at the top", deeper)


def _splits(tree: Tree, rest: Rest) -> None:
    """Folders of splits, with classes below them, or without."""
    tree.kind = "split/class"
    within: dict[str, Rest] = defaultdict(dict)
    for folder, parts in rest.items():
        split = split_of(parts[0]) if parts else None
        if split:
            within[split][folder] = parts[1:]
        else:
            tree.places[folder] = Place(why="outside the folders of the splits")
    if TRAIN not in within:
        found = [top for top in levels.tops(rest) if split_of(top)]
        raise Refused(
            f"of the splits there is {tree.named(rest, found) or 'nothing'} and no train: add a folder train, or "
            "layout: class or flat to this data set if this is no split"
        )
    within = {split: _unwrapped(tree, inside, split) for split, inside in within.items()}
    _unwrap_classes(tree, within)
    tops = {split: levels.tops(within.get(split, {})) for split in (TRAIN, VAL, TEST)}
    if max(map(len, tops.values())) <= 1:
        for split, inside in within.items():
            tree.put(inside, Place(split))
        return
    tree.put(within.pop(UNLABELLED, {}), Place(UNLABELLED))
    known = spellings.alike(tops[TRAIN])
    deeper = {pair for split, inside in within.items() for pair in _put_split(tree, split, inside, known)}
    _note_deeper(tree, "below the splits", deeper)


def _put_split(tree: Tree, split: str, inside: Rest, known: set[str]) -> set[tuple[str, str]]:
    """Say what one split's folders are, where train has the classes `known`; returned are those below its classes."""
    tops = spellings.alike(levels.tops(inside))
    if split != TRAIN and known and not tops & known and len(tops) <= 1:
        total = sum(tree.counts[folder] for folder in inside)
        tree.put(inside, Place(why=f"the {split} split has no labels"))
        tree.notes.append(
            f"the {total:,} images of {split} have no labels: they are left out, and {split} is cut out of train; to "
            "pretrain on them, call their folder unlabelled"
        )
        return set()
    deeper: set[tuple[str, str]] = set()
    for top, below in levels.each(inside).items():
        if split == TRAIN and split_of(top) == UNLABELLED:
            tree.put(below, Place(UNLABELLED))
        else:
            deeper |= {(top, one) for one in _put_class(tree, below, Place(split, top))}
    without = Place(why=f"in no class of the {split} split") if tops else Place(split)
    tree.put(levels.of(inside), Place(UNLABELLED) if split == TRAIN and known else without)
    return deeper


def _unwrap_classes(tree: Tree, within: dict[str, Rest]) -> None:
    """Take away a folder that holds all classes of a split: train/faces/cat. Classes are what other splits have too."""
    others = {name for tops in map(levels.tops, within.values()) if len(tops) > 1 for name in tops}
    within[TRAIN] = _bare(tree, within[TRAIN], TRAIN, spellings.alike(others) or None)
    known = spellings.alike(levels.tops(within[TRAIN]))
    for split in (VAL, TEST):
        if split in within:
            within[split] = _bare(tree, within[split], split, known)


def _bare(tree: Tree, inside: Rest, split: str, classes: set[str] | None) -> Rest:
    """A split's folders without one that holds several, and some of the classes; None: these are not known."""
    deeper = levels.without_common(inside, splits_too=True)
    held = spellings.alike(levels.tops(deeper))
    wraps = len(held) > 1 and (classes is None or not held.isdisjoint(classes))
    return _unwrapped(tree, deeper, split) if wraps else inside


def _unwrapped(tree: Tree, inside: Rest, split: str) -> Rest:
    """A split's folders without one that holds all of its images and is no class: train/train, train/images."""
    while True:
        contradictions.refuse_beside_images(tree.named, inside, split)
        inside = _without_side(tree, inside)
        tops = levels.tops(inside)
        without = [top for top in tops if split == TRAIN and split_of(top) == UNLABELLED]
        if without and all(spellings.is_labelled(top) for top in tops.difference(without)):
            tree.put(levels.of(inside, without), Place(UNLABELLED))
            inside = {folder: parts for folder, parts in inside.items() if not parts or parts[0] not in without}
            tops = levels.tops(inside)
        wrapped = len(tops) == 1 and () not in inside.values()
        if not (wrapped and all(spellings.says_nothing(top, split) for top in tops)):
            return inside
        inside = levels.below(inside)


def _without_side(tree: Tree, inside: Rest) -> Rest:
    """Without masks and the like, which are left out where a folder of images stands beside them."""
    tops = levels.tops(inside)
    if not any(spellings.is_images(top) for top in tops):
        return inside
    side = levels.of(inside, [top for top in tops if spellings.is_side(top)])
    tree.put(side, Place(why=SIDE))
    inside = {folder: parts for folder, parts in inside.items() if folder not in side}
    return {folder: parts[1:] if parts and spellings.is_images(parts[0]) else parts for folder, parts in inside.items()}


def _without_mirrors(tree: Tree, rest: Rest) -> Rest:
    """Without masks that have the classes' folders once more. Raises `Refused` for folders that can be no classes."""
    tops = levels.tops(rest)
    below = {top: levels.tops(inside) for top, inside in levels.each(rest).items()}
    mirrors = [top for top in tops if spellings.is_side(top) and below[top] and below[top] <= tops - {top}]
    tree.put(levels.of(rest, mirrors), Place(why=SIDE))
    rest = {folder: parts for folder, parts in rest.items() if parts[:1] not in [(top,) for top in mirrors]}
    odd = [top for top in tops if top not in mirrors and (spellings.is_no_class(top) or spellings.is_of_a_project(top))]
    if odd and len(tops) > 1:
        raise Refused(
            f"the folders {tree.named(rest, odd)} look like no classes, and "
            f"{tree.named(rest, tops - {*odd, *mirrors})} lie beside them: give "
            "the path of the folder that holds the images alone, or add layout: class to this "
            "data set if all of these are classes"
        )
    return rest


def _are_side(tops: Collection[str], but: Collection[str]) -> bool:
    return all(spellings.is_side(top) for top in tops if top not in but)
