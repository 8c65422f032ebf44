"""The folders of a tree, level by level from the top: what is left of each one's path while it is read."""

from collections import defaultdict
from collections.abc import Collection

from ssl_core.data.spellings import split_of

Folder = tuple[str, ...]
"""The parts of a path but for its file's name."""
Rest = dict[Folder, Folder]
"""Of each folder, the parts that have not been read yet."""


def tops(rest: Rest) -> set[str]:
    """The names of the folders at the top."""
    return {parts[0] for parts in rest.values() if parts}


def of(rest: Rest, names: Collection[str] | None = None) -> list[Folder]:
    """The folders below some at the top; without these, those that are at the top themselves."""
    if names is None:
        return [folder for folder, parts in rest.items() if not parts]
    return [folder for folder, parts in rest.items() if parts and parts[0] in names]


def below(rest: Rest) -> Rest:
    """One level down."""
    return {folder: parts[1:] for folder, parts in rest.items()}


def each(rest: Rest) -> dict[str, Rest]:
    """What is below each folder at the top."""
    inside: dict[str, Rest] = defaultdict(dict)
    for folder, parts in rest.items():
        if parts:
            inside[parts[0]][folder] = parts[1:]
    return inside


def within(rest: Rest, names: Collection[str]) -> Rest:
    """Some folders at the top alone, without those that all of them share."""
    return without_common({folder: rest[folder] for folder in of(rest, names)})


def without_common(rest: Rest, splits_too: bool = False) -> Rest:
    """Without the leading folders that all share, unless they are splits."""
    while rest and all(rest.values()) and len(names := tops(rest)) == 1:
        if split_of(next(iter(names))) and not splits_too:
            break
        rest = below(rest)
    return rest
