"""How far figures without labels can be trusted, as the report shows it: a table for each group of variants."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.comparison import frame, trust, verdict_lines
from tasks.comparison.measured import Measured
from tasks.comparison.rank_correlation import Correlation
from tasks.comparison.table import UNKNOWN
from tasks.comparison.trust import Trust

NAMES = {
    "rankme": "RankMe",
    "alpha_req": "α-ReQ",
    "nesum": "NESum",
    "clid": "CLID",
    "lidar": "LiDAR",
    "embedding_std": "standard deviation",
}
"""As their authors write them; others are called by the name that they have."""


@dataclass(frozen=True)
class Row:
    """A figure: which way is better, the variant that it chooses, what that loses, how it orders all of them."""

    figure: str
    better: str
    source: str
    chosen: str
    regret: str
    order: str
    p: str


@dataclass(frozen=True)
class Group:
    """Variants among which it is chosen, in words, and the rows of their figures."""

    heading: str
    best: str
    rows: list[Row]


def groups(measured: Measured, images: str) -> list[Group]:
    """Of a data set: all that was pretrained without labels, then those of each objective; none without labels."""
    return grouped(trust.read(measured, frame.read(measured.plan), images))


def grouped(found: Sequence[Trust]) -> list[Group]:
    """A group for each distinct set of variants: what labels choose is of that set alone, as some figures are.

    A set that lacks some of its objective's variants is named.
    """
    made: dict[tuple[str, tuple[str, ...]], list[Trust]] = {}
    for one in found:
        made.setdefault((one.objective, tuple(one.variants)), []).append(one)
    most = {objective: max(len(these) for of, these in made if of == objective) for objective, _ in made}
    groups = []
    for (objective, variants), figures in made.items():
        among = f"of {objective}" if objective else "of all objectives"
        named = f": {', '.join(variants)}" if len(variants) < most[objective] else ""
        heading = f"Among {len(variants)} variants {among}{named}"
        groups.append(Group(heading, figures[0].best, [_row(one) for one in figures]))
    return groups


def _row(of: Trust) -> Row:
    regret = verdict_lines.interval_text(of.regret, of.regret_lower, of.regret_upper)
    return Row(
        figure=NAMES.get(of.figure, of.figure),
        better=of.better,
        source=of.source,
        chosen=of.chosen,
        regret="0, the same" if of.chosen == of.best else regret,
        order=_order(of.correlation),
        p=UNKNOWN if of.correlation is None else f"{of.correlation.p:.3f}",
    )


def _order(found: Correlation | None) -> str:
    if found is None:
        return UNKNOWN
    interval = "" if found.lower is None or found.upper is None else f" [{found.lower:+.2f}, {found.upper:+.2f}]"
    return f"{found.value:+.2f}{interval}"
