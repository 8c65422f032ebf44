"""The variants by their main figure: which are not shown to be below another."""

from tasks.comparison.measured import Key, Measured, Term
from tasks.comparison.verdicts import Ranking


def ranking(measured: Measured, level: float) -> Ranking | None:
    """By the linear probe's main figure with the most labels on the images pretrained on, of what the table shows.

    A variant is below another where the interval of their difference says so, at level/(K − 1), one for each other of K
    (Bonferroni): whether it is among the best is asked of all of them. A variant of which a cell has no figure is left
    out. None with one seed, and without labels: what is measured without them ranks no methods.
    """
    plan, images = measured.plan, measured.plan.images[0]
    shares = measured.fractions(images)
    if len(plan.seeds) < 2 or not shares:
        return None
    key = Key("feature_extraction", "linear", shares[-1], measured.main(images))
    terms = [Term.of(measured.shown(name, images), key) for name in plan.variants]
    known = {term: by_seed for term in terms if len(by_seed := measured.values(term)) == len(plan.seeds)}
    order = sorted(known, key=lambda term: -sum(known[term].values()))
    strict = level / max(len(order) - 1, 1)
    best = [
        term.variant
        for i, term in enumerate(order)
        if not any(_below(measured, term, other, strict) for other in order[:i])
    ]
    return Ranking(order=[term.variant for term in order], best=best)


def _below(measured: Measured, term: Term, other: Term, level: float) -> bool:
    return measured.effect({other: 1.0, term: -1.0}, measured.plan.seeds).limits(level)[0] > 0
