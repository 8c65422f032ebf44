"""What is written in several places as one: later layers win key by key, and every value keeps the place it is from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value stands: a file, the keys that lead to it there, and how strong its layer is (the highest wins)."""

    file: str
    keys: tuple[str, ...] = ()
    rank: int = 0

    def __truediv__(self, key: object) -> "Place":
        return replace(self, keys=(*self.keys, str(key)))

    def __str__(self) -> str:
        return f"{self.file}: {'.'.join(self.keys)}" if self.keys else self.file


@dataclass(frozen=True)
class Said:
    """A value and where it was said; two are equal where the values are."""

    value: Any
    place: Place = field(compare=False)


def said(written: Any, place: Place) -> Any:
    """The tree of what is written at a place, each value a `Said`; a list of anything but mappings is one value."""
    if isinstance(written, dict):
        return {key: said(value, place / key) for key, value in written.items()}
    if isinstance(written, list) and written and all(isinstance(each, dict) for each in written):
        return [said(each, place / i) for i, each in enumerate(written)]
    return Said(written, place)


def values(tree: Any) -> Any:
    """The tree's bare values."""
    if isinstance(tree, dict):
        return {key: values(branch) for key, branch in tree.items()}
    if isinstance(tree, list):
        return [values(branch) for branch in tree]
    return tree.value


def merge(below: Any, above: Any) -> Any:
    """What stands above wins, key by key; where a `name` differs, the section is another kind and inherits nothing."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    if "name" in above and above["name"] != below.get("name"):
        return above
    both = {key: merge(below[key], above[key]) for key in below.keys() & above.keys()}
    return {**below, **above, **both}


def merge_kinds(below: Any, above: Any, defaults: Any) -> Any:
    """`merge` of augmentations, of which one may list several kinds of views.

    One mapping above a list holds for each of its kinds. A list above inherits kind by kind where there are as many
    below; from the one that there is; else from the defaults.
    """
    if isinstance(above, list):
        kinds = below if isinstance(below, list) else [below]
        if len(kinds) != len(above):
            kinds = (kinds if len(kinds) == 1 else [defaults]) * len(above)
        return [merge(*pair) for pair in zip(kinds, above, strict=True)]
    if isinstance(below, list) and isinstance(above, dict) and "name" not in above:
        return [merge(kind, above) for kind in below]
    return merge(below, above)


def stack(layers: Sequence[dict[str, Any]], defaults: Any) -> dict[str, Any]:
    """Sections written in layers, lowest first, as one; `defaults`: what kinds of views inherit that have no other."""
    whole: dict[str, Any] = {}
    for layer in layers:
        augmentations = whole.get("augmentation"), layer.get("augmentation")
        whole = merge(whole, layer)
        if None not in augmentations:
            whole = {**whole, "augmentation": merge_kinds(*augmentations, defaults)}
    return whole


def place(tree: Any, path: Path, otherwise: Place) -> Place:
    """Where the value at a path was said; a section, by the strongest layer that speaks in it.

    What nobody said is at its path below `otherwise`.
    """
    for i, key in enumerate(path):
        branches: Any = dict(enumerate(tree)) if isinstance(tree, list) else tree
        if not isinstance(branches, dict) or key not in branches:
            # What is wrong inside of a value stands where the value does.
            found = tree.place if isinstance(tree, Said) else otherwise
            for rest in path[i:]:
                found = found / rest
            return found
        tree = branches[key]
        otherwise = otherwise / key
    found = max(leaves(tree), key=lambda leaf: leaf[1].place.rank, default=None)
    if found is None:
        return otherwise
    inside, leaf = found
    return replace(leaf.place, keys=leaf.place.keys[: len(leaf.place.keys) - len(inside)])


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value with its path, in order; an empty section has none."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from leaves(branch, (*path, key))
    elif isinstance(tree, list) and any(isinstance(branch, dict) for branch in tree):
        for i, branch in enumerate(tree):
            yield from leaves(branch, (*path, i))
    else:
        yield path, tree
