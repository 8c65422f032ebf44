"""Sentences in parts, so that a page can make links of the variants that they name."""

from collections.abc import Iterable, Sequence
from textwrap import fill


class Variant(str):
    """A variant's name inside a sentence: a page makes a link of it."""


Sentence = list[str]
"""Its parts, those that are a `Variant` among them."""


def text(said: Iterable[Sentence]) -> str:
    """Sentences as plain text."""
    return " ".join("".join(sentence) for sentence in said)


def wrapped(said: Iterable[Sentence], width: int) -> str:
    """As plain text in lines of a terminal, in characters."""
    return fill(text(said), width)


def listed(parts: Sequence[Sentence]) -> Sentence:
    """`a`, `a and b`, `a, b and c`. There is one part at least."""
    made = list(parts[0])
    for part in parts[1:-1]:
        made += [", ", *part]
    return [*made, " and ", *parts[-1]] if len(parts) > 1 else made
