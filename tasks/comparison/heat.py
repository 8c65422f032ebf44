"""What each choice costs, at a glance: variants by figures, as differences to the method that they are variants of.

And where a data set knows what its images are made of: how much of each factor a representation keeps.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.comparison import points
from tasks.comparison.compared import Compared
from tasks.comparison.interval import Effect
from tasks.comparison.measured import Key, Place
from tasks.configuration.plan import Plan
from tasks.main_figure import MAIN

FACTORS = ("shape", "colour", "x", "y", "size", "rotation", "background")
"""In this order; others after them."""
FAINTEST, FULLEST = 0.04, 0.75
"""How opaque the colour of a square is, at nothing and at the largest."""


@dataclass(frozen=True)
class Square:
    """A figure: its text, whose interval says more in `title`; `share` of the largest one, -1 to 1.

    `sure`: whether the interval of a difference leaves 0 out.
    """

    text: str
    title: str
    share: float
    sure: bool

    @property
    def style(self) -> str:
        """Blue above, orange below, the more opaque the larger."""
        colour = "0 114 178" if self.share >= 0 else "213 94 0"
        return f"background: rgb({colour} / {FAINTEST + (FULLEST - FAINTEST) * min(1.0, abs(self.share)):.2f})"


@dataclass(frozen=True)
class Row:
    """A variant's squares; `beside`: what of it, where that is not the one that tables show."""

    variant: str
    beside: str
    squares: list[Square | None]


@dataclass(frozen=True)
class Heat:
    """A map: groups and names of its columns, and its rows."""

    groups: list[str]
    columns: list[str]
    rows: list[Row]


def reference(plan: Plan) -> str:
    """The method that most of the suite is variants of, with the least changed in it; empty where nothing is trained.

    Of equals the first: in a suite of many methods, its first one.
    """
    methods = {name: one for name, one in plan.variants.items() if one.family != "baseline"}
    of_method = Counter(one.method for one in methods.values())
    ranked = sorted(methods, key=lambda name: (-of_method[methods[name].method], len(methods[name].changes)))
    return ranked[0] if ranked else ""


def ablations(compared: Compared) -> Heat | None:
    """Every variant's main figures less those of the reference, in points, paired by seed; None without two to compare.

    With several data sets, the further ones have columns of their own.
    """
    plan, columns = compared.plan, _main_figures(compared)
    to = reference(plan)
    others = [name for name in plan.variants if name != to]
    if not to or not others or not columns:
        return None
    found = {name: [compared.difference(name, to, images, key) for _, _, images, key in columns] for name in others}
    largest = max((abs(one.mean) for of_one in found.values() for one in of_one if one), default=0.0) or 1.0
    rows = [Row(name, "", [one and _less(one, largest) for one in of_one]) for name, of_one in found.items()]
    return Heat([group for group, *_ in columns], [name for _, name, *_ in columns], rows)


def points_of(compared: Compared) -> str:
    """What figures the differences are of, in words."""
    labelled = [images for images in compared.plan.images if compared.fractions(images)]
    return " and ".join(dict.fromkeys(MAIN[compared.main(images)].words for images in labelled))


def factors(compared: Compared, images: str) -> Heat | None:
    """What a linear probe reads of each known factor, in percent, of every representation; None without factors."""
    keys = {key for place, of_one in compared.figures.items() if place.images == images for key in of_one}
    known = sorted((key for key in keys if key.protocol == "factors"), key=_factor_order)
    if not known:
        return None
    rows = [
        Row(name, kind if i else "", [_kept(compared, Place(name, images, kind), key) for key in known])
        for name, one in compared.plan.variants.items()
        for i, kind in enumerate(one.representations)
    ]
    names = {"accuracy": "accuracy", "r2": "R²"}
    return Heat([names.get(key.metric, key.metric) for key in known], [key.head for key in known], rows)


def _less(found: Effect, largest: float) -> Square:
    text = f"{100 * found.mean:+.1f}"
    return Square(text, f"{text}{points.interval_text(found)} points", found.mean / largest, points.shown(found))


def _kept(compared: Compared, place: Place, key: Key) -> Square | None:
    found = compared.figure(place, key)
    if found is None:
        return None
    return Square(
        f"{100 * found.mean:.0f}", f"{100 * found.mean:.1f}{points.interval_text(found)} %", max(0.0, found.mean), True
    )


def _factor_order(key: Key) -> tuple[int, str]:
    return (FACTORS.index(key.head) if key.head in FACTORS else len(FACTORS), key.head)


def _main_figures(compared: Compared) -> list[tuple[str, str, str, Key]]:
    """Columns: group, name, data set and figure; of fine-tuning only where the reference was fine-tuned."""
    columns = []
    for images in compared.plan.images:
        shares = compared.fractions(images)
        groups: list[tuple[str, str, str, Sequence[float]]] = [
            ("linear probe", "feature_extraction", "linear", shares),
            ("k-NN", "feature_extraction", "knn20", shares[-1:]),
        ]
        if reference(compared.plan) in compared.plan.fine_tune:
            groups.append(("fine-tuned", "fine_tuning", "linear", shares))
        for group, protocol, head, of_group in groups:
            for i, share in enumerate(of_group):
                where = group if images == compared.plan.images[0] else f"{group}, {images}"
                key = Key(protocol, head, share, compared.main(images))
                columns.append((where if i == 0 else "", f"{100 * share:g} %", images, key))
    return columns
