"""From a claim to contrasts of what was measured, and from those to its verdict."""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf, isfinite

from tasks.cells import Cell
from tasks.comparison import interval
from tasks.comparison.interval import POCOCK, Effect
from tasks.comparison.measured import Key, Measured, Term, Weights
from tasks.comparison.troubles import Trouble
from tasks.comparison.verdicts import Contrast, Verdict
from tasks.configuration.asking import Asked
from tasks.configuration.plan import Plan
from tasks.configuration.suite import Arm, Claim, Difference
from tasks.main_figure import ACCURACY, MAIN

MOST_LOOKS = max(POCOCK)
HEADS = {"linear": "", "knn20": "k-NN", "plain_knn200": "plain k-NN"}
"""In words; what the table takes for granted has none."""
CANCELLED = 1e-9
"""What is left of equal shares by rounding."""
ALONE = "The interval is of the seeds alone: which test images were right is not known of these figures."
NO_MEAN = "The interval is of the seeds alone: macro-F1 is no mean over test images."
MACRO_F1 = "macro-F1"


def compiled(plan: Plan, claim: Claim) -> list[list[Weights]]:
    """The claim's contrasts: it is about the greatest over groups of the least of a group's.

    `mean`: one contrast. `every`: the least of all pairs. `pairwise`: the least of the pairs as written. `best`: the
    greatest, over the better ones, of the least over the worse. `between`: the greatest, over those in the middle, of
    the lesser of its differences from both ends. `more` and `less`: the difference of two differences, one contrast.
    """
    if claim.more is not None and claim.less is not None:
        return [[_sum(_mean(plan, claim, claim.more), _mean(plan, claim, claim.less), -1.0)]]
    if claim.between is not None:
        first, *middle, last = (_term(plan, claim, arm) for arm in claim.between)
        return [[_less(one, end) for end in (first, last)] for one in middle]
    better, worse = claim.better or [], claim.worse or []
    if claim.how == "mean":
        return [[_mean(plan, claim, Difference(better=better, worse=worse))]]
    above, below = ([_term(plan, claim, arm) for arm in side] for side in (better, worse))
    if claim.how == "pairwise":
        return [[_less(one, other) for one, other in zip(above, below, strict=True)]]
    of_each = [[_less(one, other) for other in below] for one in above]
    return of_each if claim.how == "best" else [[*chain(*of_each)]]


def verdict(measured: Measured, troubles: Sequence[Trouble], name: str, asked: Asked) -> Verdict:
    """What the figures say of the claim of that name.

    Seeds to decide would be looked at once more: they are planned at the level that one look more has.
    """
    claim, looks = asked.claims[name], asked.looks
    level, planned = POCOCK[looks], POCOCK[min(looks + 1, MOST_LOOKS)]
    plan, more_than = measured.plan, claim.more_than / 100
    groups = [[measured.by_main(weights) for weights in group] for group in compiled(plan, claim)]
    terms = [*dict.fromkeys(term for weights in chain(*groups) for term in weights)]
    missing, cells = _missing(measured, terms), _cells(plan, terms)
    groups = [] if missing else groups
    effects = [[measured.effect(weights, plan.seeds) for weights in group] for group in groups]
    lower, upper = interval.limits(effects, level) if effects else (-inf, inf)
    decided = interval.decided((lower, upper), more_than)
    wanted = interval.seeds_to_decide(effects, more_than, planned) if decided == "undecided" and effects else None
    why = [
        missing,
        _reservation(effects, terms),
        _never(effects, more_than, planned) if decided == "undecided" and wanted is None else "",
        f"Declare looks: {looks + 1} with more seeds." if wanted is not None and looks < MOST_LOOKS else "",
        _named_troubles(plan, terms, troubles),
        f"Unlike budgets: {asked.unlike[name]}." if name in asked.unlike else "",
    ]
    return Verdict(
        name=name,
        says=claim.says,
        source=claim.source,
        verdict=decided,
        why=" ".join(part for part in why if part),
        effect=_points(interval.value(effects)) if effects else None,
        lower=_points(lower),
        upper=_points(upper),
        more_than=claim.more_than,
        seeds=plan.seeds,
        contrasts=[_contrast(plan, *one, level) for one in zip(chain(*groups), chain(*effects), strict=True)],
        seeds_to_decide=wanted,
        cells=cells,
    )


def _reservation(effects: Sequence[Sequence[Effect]], terms: Sequence[Term]) -> str:
    """What must be known of the intervals."""
    if any(one.seeds < 2 for one in chain(*effects)):
        return "One seed decides nothing: add seeds to the suite."
    if all(one.images is not None for one in chain(*effects)):
        return ""
    no_means = dict.fromkeys(_metric(term) for term in terms if term.key.metric != ACCURACY)
    return NO_MEAN.replace(MACRO_F1, " or ".join(no_means)) if no_means else ALONE


def _never(effects: Sequence[Sequence[Effect]], more_than: float, level: float) -> str:
    """Why no number of seeds is said to decide; one seed, or none, tells nothing of it."""
    if not effects or any(one.seeds < 2 for one in chain(*effects)):
        return ""
    if interval.too_few_images(effects, more_than, level):
        return "No number of seeds would decide it: the test set is too small for a difference like this."
    seeds = max(one.seeds for one in chain(*effects))
    if seeds >= interval.MOST_SEEDS:
        return f"{seeds} seeds have not decided it, and for more than {interval.MOST_SEEDS} no number is sought."
    return f"Not even {interval.MOST_SEEDS} seeds would decide it."


def _cells(plan: Plan, terms: Sequence[Term]) -> list[str]:
    """Whose figures the terms are."""
    variants = dict.fromkeys(term.variant for term in terms)
    return [Cell(variant=variant, seed=seed).name for variant in variants for seed in plan.seeds]


def _named_troubles(plan: Plan, terms: Sequence[Term], troubles: Sequence[Trouble]) -> str:
    """The cells that something is wrong with in what the terms measure of them."""
    named = dict.fromkeys(
        cell
        for term in terms
        for cell in _cells(plan, [term])
        if any(trouble.of(cell, term.representation, term.images) for trouble in troubles)
    )
    return f"Collapsed or ended early: {', '.join(named)}." if named else ""


def _contrast(plan: Plan, weights: Weights, effect: Effect, level: float) -> Contrast:
    lower, upper = effect.limits(level)
    return Contrast(
        weights={in_words(plan, term): round(weight, 6) for term, weight in weights.items()},
        effect=round(100 * effect.mean, 4),
        lower=_points(lower),
        upper=_points(upper),
        images=effect.images is not None,
    )


def _points(fraction: float) -> float | None:
    """In points; None where there is no such limit."""
    return round(100 * fraction, 4) if isfinite(fraction) else None


def in_words(plan: Plan, term: Term) -> str:
    """A term in words: the variant, and what of its figure is not what the table takes for granted."""
    key, shown = term.key, plan.variants[term.variant].representations[0]
    said = [
        term.variant,
        "" if term.representation == shown else term.representation,
        "fine-tuned" if key.protocol == "fine_tuning" else HEADS[key.head],
        "" if key.fraction in (None, 1.0) else f"{100 * key.fraction:g} % of the labels",
        "" if term.images == (plan.images[0],) else "on other images",
        "" if key.metric in MAIN else MACRO_F1,
    ]
    return ", ".join(part for part in said if part)


def _metric(term: Term) -> str:
    return MAIN[term.key.metric].words if term.key.metric in MAIN else MACRO_F1


def _term(plan: Plan, claim: Claim, arm: Arm) -> Term:
    of = arm.of(claim.figure)
    return Term(
        variant=arm.variant,
        representation=of.representation or plan.variants[arm.variant].representations[0],
        images=tuple(plan.images[1:]) if of.data == "transfer" else (plan.images[0],),
        key=Key(str(of.protocol), str(of.head), of.labels, claim.figure.metric),
    )


def _less(one: Term, other: Term) -> Weights:
    return _sum({one: 1.0}, {other: 1.0}, -1.0)


def _mean(plan: Plan, claim: Claim, of: Difference) -> Weights:
    """The mean of a side less that of the other."""
    sides = []
    for side in (of.better, of.worse):
        made: Weights = {}
        for arm in side:
            made = _sum(made, {_term(plan, claim, arm): 1.0 / len(side)}, 1.0)
        sides.append(made)
    return _sum(sides[0], sides[1], -1.0)


def _sum(one: Weights, other: Weights, sign: float) -> Weights:
    made = dict(one)
    for term, weight in other.items():
        made[term] = made.get(term, 0.0) + sign * weight
    return {term: weight for term, weight in made.items() if abs(weight) > CANCELLED}


def _missing(measured: Measured, terms: Sequence[Term]) -> str:
    """Why there is nothing to decide by: no labels, a share of them that no head is given, or cells without a figure.

    Empty where every term has its figure.
    """
    shares = {images: measured.fractions(images) for term in terms for images in term.images}
    without = [images for images, of_set in shares.items() if not of_set]
    if without:
        return f"There are no labels to measure by: {_listed(without)}."
    asked = dict.fromkeys(
        f"{term.key.fraction:g}"
        for term in terms
        if not any(term.key.fraction in shares[images] for images in term.images)
    )
    if asked:
        return (
            f"About {_listed([*asked])} of the labels, which no head is given: add it to evaluation.label_fractions in "
            "params.yaml, if every class has images for it."
        )
    mains = {images: measured.main(images) for images in sorted(shares, key=measured.plan.images.index)}
    if len(set(mains.values())) > 1:
        named = _listed([f"{images} by {MAIN[main]}" for images, main in mains.items()])
        return f"These data sets are compared by unlike figures, which cannot be weighed together: {named}."
    of_classes = [mains[term.images[0]] for term in terms if term.key.metric not in MAIN]
    if other := [main for main in of_classes if main != ACCURACY]:
        return f"{MACRO_F1} is of classes, and these images are compared by {MAIN[other[0]]}."
    cells = [*_without_figure(measured, terms)]
    return f"Missing, and nothing stands in for it: {_listed(cells)}." if cells else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _without_figure(measured: Measured, terms: Sequence[Term]) -> Iterator[str]:
    """Of each term the cells that have no such figure."""
    for term in terms:
        known = measured.values(term)
        cells = [Cell(variant=term.variant, seed=seed).name for seed in measured.plan.seeds if seed not in known]
        said = in_words(measured.plan, term).removeprefix(term.variant).removeprefix(", ")
        yield from (f"{cell} ({said})" if said else cell for cell in cells)
