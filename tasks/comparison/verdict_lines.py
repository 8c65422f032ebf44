"""Verdicts as text: the lines of a terminal, and the rows of a table elsewhere."""

from itertools import zip_longest
from textwrap import wrap

from tasks.comparison.verdicts import Verdict, Verdicts

WIDTH = 100
"""Of a terminal, in characters."""
ORDER = ("supported", "refuted", "undecided")


def lines(verdicts: Verdicts) -> list[str]:
    """A line a claim: verdict, sentence, effect against the smallest difference that matters.

    What is longer than its column goes on below it, and so does what must be known: nothing is cut. At most `WIDTH`
    wide.
    """
    if not verdicts.claims:
        return []
    figures = [[measured(verdict), *filter(None, [to_decide(verdict)])] for verdict in verdicts.claims]
    kinds, beside = max(map(len, ORDER)), max(len(one) for of_one in figures for one in of_one)
    room = WIDTH - kinds - beside - 4
    said = []
    for verdict, figure in zip(verdicts.claims, figures, strict=True):
        sentences = [*wrap(verdict.says, room), *wrap(verdict.why, room)]
        columns = zip_longest([verdict.verdict], sentences, figure, fillvalue="")
        said += [f"{kind:<{kinds}}  {text:<{room}}  {right}".rstrip() for kind, text, right in columns]
    return said


def counted(verdicts: Verdicts) -> dict[str, int]:
    """How many claims have each verdict; all three, in the order in which they are named."""
    return {kind: sum(verdict.verdict == kind for verdict in verdicts.claims) for kind in ORDER}


def measured(verdict: Verdict) -> str:
    """The effect and what it is held against: `+5.2 ± 1.1 points (> 1.0)`.

    An interval whose sides differ is given by its ends, `+5.2 [+4.1, +6.9] points (> 1.0)`; one seed has none.
    """
    against = f"(> {verdict.more_than:.1f})"
    if verdict.effect is None:
        return f"no effect: a figure is missing {against}"
    return f"{interval_text(verdict.effect, verdict.lower, verdict.upper)} points {against}"


def interval_text(effect: float, lower: float | None, upper: float | None) -> str:
    """An effect in points, with its interval where it has one."""
    if lower is None or upper is None:
        return f"{effect:+.1f}"
    below, above = f"{effect - lower:.1f}", f"{upper - effect:.1f}"
    return f"{effect:+.1f} ± {above}" if below == above else f"{effect:+.1f} [{lower:+.1f}, {upper:+.1f}]"


def to_decide(verdict: Verdict) -> str:
    """How many seeds would decide; empty where it is decided, or none would."""
    return "" if verdict.seeds_to_decide is None else f"{verdict.seeds_to_decide} seeds would decide"


def rows(verdicts: Verdicts) -> list[dict[str, str]]:
    """A row a claim, by column."""
    return [
        {
            "claim": verdict.name,
            "verdict": verdict.verdict,
            "says": verdict.says,
            "effect": measured(verdict),
            "what else": "; ".join(filter(None, [to_decide(verdict), verdict.why])),
        }
        for verdict in verdicts.claims
    ]
