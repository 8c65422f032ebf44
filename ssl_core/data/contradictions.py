"""What folders of a tree contradict each other in: refused, with what was seen and how to say what is meant."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection

from ssl_core.data import levels, spellings
from ssl_core.data.levels import Folder, Rest
from ssl_core.data.spellings import TRAIN, UNLABELLED, clean, some, split_of
from ssl_core.errors import Refused

Named = Callable[[Rest, Collection[str]], str]
"""Folders at the top of what is left, in words."""


def refuse_repeated(named: Named, rest: Rest, tops: Collection[str], splits: bool = False) -> None:
    """Raise `Refused` where several folders have the same ones below them: these are the classes rather, or splits.

    So it is where one has in it once more what stands beside it. With `splits` each has these, and it is below them.
    """
    kind = "class/split" if splits else "class"
    below: dict[str, set[str]] = {}
    for top, inside in levels.each({folder: rest[folder] for folder in levels.of(rest, tops)}).items():
        inside = levels.below(inside) if splits else inside
        kept = {folder: parts for folder, parts in inside.items() if not parts or not spellings.is_side(parts[0])}
        # A folder that holds all of the others says nothing: amazon/images/mug.
        names = levels.tops(levels.without_common(kept))
        below[top] = {name for name in names if not spellings.is_images(name)}
    beside = spellings.alike(below)
    for top, names in below.items():
        twice = spellings.alike(names) & beside
        if len(twice) > 1:
            raise Refused(
                f"the folder {named(rest, [top])} has folders in it that are named like those beside it "
                f"({some(sorted(twice))}): take one of both out, or give the path of {clean(top)}, or add "
                f"layout: {kind} to this data set if it is a class"
            )
    often = Counter(name for names in below.values() for name in names)
    again = {name for name, count in often.items() if count > 1}
    holding = [top for top, names in below.items() if len(names & again) > 1]
    if len(holding) > 1:
        splits = splits or any(map(spellings.is_split, again))
        others = "" if splits else ", labels: none if neither are"
        raise Refused(
            f"the folders {named(rest, holding)} have the same folders in them ({some(sorted(again))}), "
            "so that it is not known which of both are the classes: give the path of one of them, or "
            f"{'' if splits else 'rename them to train and test, or '}add to this data set layout: {kind} if they are "
            f"the classes{others}"
        )


def refuse_beside_images(named: Named, inside: Rest, split: str) -> None:
    """Raise `Refused` where something beside a split's folder of images may be masks, more images or classes."""
    tops = levels.tops(inside)
    images = [top for top in tops if spellings.is_images(top)]
    known = [
        top
        for top in tops
        if spellings.says_nothing(top, split) or spellings.is_side(top) or split_of(top) == UNLABELLED
    ]
    if images and len(known) < len(tops):
        raise Refused(
            f"the {split} split has {named(inside, tops.difference(known))} beside {named(inside, images)}, "
            "so that it is not known what is an image: take out what are masks or the like, or rename "
            f"{clean(min(images))} if all are classes, or add labels: none to this data set to read all of them"
        )


def splits_in_classes(named: Named, rest: Rest) -> bool:
    """Whether each folder at the top has splits of its own. Raises `Refused` where some folders have and some not."""
    tops = levels.tops(rest)
    within: dict[Folder, set[str]] = defaultdict(set)
    for parts in rest.values():
        for depth in range(1, len(parts)):
            if spellings.is_split(parts[depth]):
                within[parts[:depth]].add(parts[depth])
    holding = set(rest.values())
    # Images beside a folder test are another split than it.
    split = {
        above for above, found in within.items() if len({*map(split_of, found), *[TRAIN] * (above in holding)}) > 1
    }
    if split and all((top,) in within for top in tops):
        return True
    if split:
        first = min(split)
        raise Refused(
            f"the splits {', '.join(sorted(map(clean, within[first])))} are found in {'/'.join(map(clean, first))} "
            f"and not at the top, where {named(rest, tops)} are: give the path of the folder that holds "
            "the splits, or add layout: class to this data set if those at the top are its classes"
        )
    if loose := loosely_named(tops):
        raise Refused(
            f"the folders {named(rest, loose)} are named after splits and something else: sort them into "
            "train/CLASS and test/CLASS, or add layout: class to this data set if each is a class"
        )
    return False


def loosely_named(tops: Collection[str]) -> list[str]:
    """Folders that are named after different splits and something else, where there is little beside them."""
    loose = [top for top in tops if spellings.split_in(top)]
    several = len({spellings.split_in(top) for top in loose}) > 1
    return loose if several and 2 * len(loose) >= len(tops) else []
