"""How far a figure that needs no labels can be trusted to choose: against accuracy, where there are labels.

First the *regret*: what is lost on test by choosing with the figure instead of with labels. Both choose on val, by the
mean over the seeds, as each would without the test images: the figure the variant that it reads best, labels the one
whose linear probe with the most labels is most accurate there. The regret is the difference of the two's accuracies on
test, a contrast with the suite's interval (`Measured.effect`). It is of these two variants, not of the choice's chance;
0 where they are one, and below 0 where val's labels chose badly.

Then Spearman's correlation of the figure (val) with the accuracy (test), both means over the seeds, across variants:
1 where it orders them as accuracy does (`rank_correlation`). Where images have several labels, or a number, what they
are compared by stands in accuracy's place.

Of what the table shows of each variant, its first representation. Left out are baselines, which nobody would choose
among without labels (initial weights, what was taught by labels, weights as they come), and variants of which a cell
has no figure. RankMe's authors, for one, compare runs of one method: within an objective and across them are apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tasks.comparison import interval
from tasks.comparison.measured import Key, Measured, Term
from tasks.comparison.rank_correlation import Correlation, spearman
from tasks.configuration.plan import Plan


class Reading(NamedTuple):
    """How a figure is read: what is better, in words and as a number that is larger then, and who says so."""

    better: str
    score: Callable[[pd.DataFrame], pd.DataFrame]
    source: str
    families: str = ""
    """How the families begin that it is defined for."""


def _larger(figure: pd.DataFrame) -> pd.DataFrame:
    return figure


def _smaller(figure: pd.DataFrame) -> pd.DataFrame:
    return -figure


def _near_one(figure: pd.DataFrame) -> pd.DataFrame:
    return -(figure - 1).abs()


FIGURES = {
    "rankme": Reading("larger", _larger, "Garrido et al., 2023, arXiv:2210.02885"),
    "alpha_req": Reading("nearer to 1", _near_one, "Agrawal et al., 2022, NeurIPS"),
    "nesum": Reading("larger", _larger, "He & Ozay, 2022, ICML, who warn of both ends"),
    "clid": Reading("larger", _larger, "Lu et al., 2022, arXiv:2206.01251"),
    "lidar": Reading("larger", _larger, "Thilak et al., 2023, arXiv:2312.04000", "joint-embedding"),
    "alignment": Reading("smaller", _smaller, "Wang & Isola, 2020, arXiv:2005.10242"),
    "uniformity": Reading("smaller", _smaller, "Wang & Isola, 2020, arXiv:2005.10242"),
    "embedding_std": Reading("larger", _larger, "Chen & He, 2020, arXiv:2011.10566: 0 is collapse"),
}
"""The figures of protocol `label_free`."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Of a figure on a data set, among `variants`: all of the suite's, or those of one `objective` (else empty).

    `better` and `source`: how the figure is read. `chosen` by the figure, `best` by labels, both on val. `regret` on
    test, with its limits, in points; the limits are None with one seed. `correlation` is above 0 where the figure is
    right, None where it or accuracy is the same for all variants.
    """

    images: str
    figure: str
    better: str
    source: str
    objective: str
    variants: list[str]
    chosen: str
    best: str
    regret: float
    regret_lower: float | None
    regret_upper: float | None
    correlation: Correlation | None


def read(measured: Measured, figures: pd.DataFrame, images: str, level: float = interval.POCOCK[1]) -> list[Trust]:
    """Of a data set: by group of variants (all, then each objective's), by figure.

    `figures` is what `frame.read` reads, for val; `level` that of the intervals, of two sides. Of groups of two
    variants and more; empty without labels.
    """
    plan, shares = measured.plan, measured.fractions(images)
    if not shares:
        return []
    probe = Key("feature_extraction", "linear", shares[-1], measured.main(images))
    terms = {name: Term.of(measured.shown(name, images), probe) for name in plan.variants}
    terms = {name: term for name, term in terms.items() if all(seed in measured.values(term) for seed in plan.seeds)}
    shown = figures["variant"].map({name: one.representations[0] for name, one in plan.variants.items()})
    figures = figures[
        (figures["images"] == images) & (figures["split"] == "val") & (figures["representation"] == shown)
    ]
    chosen_by_labels = _by_seed(plan, _of(figures, probe))
    found = []
    for objective, group in _groups(plan):
        for name, reading in FIGURES.items():
            of = _by_seed(plan, _of(figures, Key("label_free", "", None, name)))
            variants = [one for one in group if one in of.index and one in chosen_by_labels.index and one in terms]
            variants = [one for one in variants if plan.variants[one].family.startswith(reading.families)]
            if len(variants) > 1:
                score, known = (by.loc[variants].mean(axis=1) for by in (reading.score(of), chosen_by_labels))
                choice = _Choice(figure=name, objective=objective, score=score, labels=known)
                found.append(_trust(measured, choice, [terms[one] for one in variants], level))
    return found


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is chosen by, a mean over seeds on val by variant: a figure's score, larger is better, and accuracy."""

    figure: str
    objective: str
    score: pd.Series
    labels: pd.Series


def _groups(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    """All that were pretrained by themselves where objectives are several, then those of each objective."""
    compared = {name: one.objective for name, one in plan.variants.items() if one.family != "baseline"}
    objectives = list(dict.fromkeys(compared.values()))
    if len(objectives) > 1:
        yield "", list(compared)
    for objective in objectives:
        yield objective, [name for name, of in compared.items() if of == objective]


def _of(figures: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows of one figure."""
    named = (figures["protocol"] == key.protocol) & (figures["metric"] == key.metric)
    if key.fraction is None:
        return figures[named]
    return figures[named & (figures["head"] == key.head) & (figures["label_fraction"] == key.fraction)]


def _by_seed(plan: Plan, figures: pd.DataFrame) -> pd.DataFrame:
    """Values by variant and seed, in the plan's order, of the variants that have one for every seed."""
    table = figures.pivot(index="variant", columns="seed", values="value")
    return table.reindex(index=list(plan.variants), columns=plan.seeds).dropna()


def _trust(measured: Measured, by: _Choice, terms: list[Term], level: float) -> Trust:
    """Of one figure; `terms`: the test accuracies of its variants."""
    seeds, of = measured.plan.seeds, {term.variant: term for term in terms}
    chosen, best = str(by.score.idxmax()), str(by.labels.idxmax())
    # Where both choose one variant, its weights cancel: the regret is 0, without a spread.
    weights = {of[chosen]: 0.0} if chosen == best else {of[best]: 1.0, of[chosen]: -1.0}
    regret = measured.effect(weights, seeds)
    lower, upper = (100 * limit for limit in regret.limits(level)) if len(seeds) > 1 else (None, None)
    accuracy = [np.mean([measured.values(term)[seed] for seed in seeds]) for term in terms]
    return Trust(
        images=terms[0].images[0],
        figure=by.figure,
        better=FIGURES[by.figure].better,
        source=FIGURES[by.figure].source,
        objective=by.objective,
        variants=[*of],
        chosen=chosen,
        best=best,
        regret=100 * regret.mean,
        regret_lower=lower,
        regret_upper=upper,
        correlation=spearman(by.score.to_numpy(), np.array(accuracy), level),
    )
