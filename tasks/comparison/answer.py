"""The answer in a few sentences: which variant is best, by how much, how sure that is, what it costs, what to try next.

Written by rules alone, from the same figures and verdicts that tables show.
"""

from tasks.comparison import heat, points, verdict_lines
from tasks.comparison.compared import Compared
from tasks.comparison.durations import duration
from tasks.comparison.interval import POCOCK, Effect
from tasks.comparison.measured import Key
from tasks.comparison.sentences import Sentence, Variant, listed
from tasks.comparison.verdicts import Verdicts
from tasks.configuration.plan import Plan
from tasks.main_figure import ACCURACY, MAIN

MOST_NAMED = 3
"""More variants than these are counted, not named."""


def sentences(compared: Compared, verdicts: Verdicts, not_asked: tuple[str, str] | None) -> list[Sentence]:
    """The paragraph. `not_asked`: the name and the question of a suite that these images were not asked yet."""
    shares = compared.fractions(compared.plan.images[0])
    if not shares:
        said: list[Sentence] = [[
            "There are no labels, so that no variant can be called best: RankMe and the figures beside it compare runs "
            "of one method. Labels of a few hundred images would tell."
        ]]  # fmt: skip
        return [*said, *_next(compared.plan, verdicts, not_asked)]
    order = _order(compared, verdicts, shares[-1])
    if not order:
        return [["No figure is there to answer with."], *_next(compared.plan, verdicts, not_asked)]
    best = order[0]
    return [
        *_leading(compared, verdicts, order, shares[-1]),
        *_baselines(compared, best, shares[-1]),
        *_few_labels(compared, order, shares),
        *_troubles(compared, best),
        *_cost(compared, best, shares[-1]),
        *_claims(verdicts),
        *_next(compared.plan, verdicts, not_asked),
    ]


def _order(compared: Compared, verdicts: Verdicts, share: float) -> list[str]:
    """The variants that are compared without labels in pretraining, best first."""
    found = {name: _figure(compared, name, share) for name in compared.plan.variants}
    known = {name: one.mean for name, one in found.items() if one and not compared.plan.variants[name].needs_labels}
    ranked = verdicts.ranking.order if verdicts.ranking else sorted(known, key=known.__getitem__, reverse=True)
    return [name for name in ranked if name in known]


def _leading(compared: Compared, verdicts: Verdicts, order: list[str], share: float) -> list[Sentence]:
    """The best one, and whether that is sure."""
    plan, best = compared.plan, order[0]
    figure = _figure(compared, best, share)
    assert figure is not None, "the order names what has a figure"
    seeds = f"{len(plan.seeds)} seeds" if len(plan.seeds) > 1 else "one seed"
    right = f"{_reached(compared, figure)} (linear probe, {_of_labels(share)}, {seeds})"
    tied = _tied(compared, order, share, verdicts.level)
    if len(plan.seeds) == 1:
        how: Sentence = [" is ahead with ", right, ". One seed cannot say how sure that is."]
    elif tied:
        are = "is" if len(tied) == 1 else "are"
        how = [" is ahead with ", right, "; ", *_named(tied), f" {are} not shown to be below it."]
    elif len(order) > 1:
        taught = any(one.needs_labels for one in plan.variants.values())
        of, other = ("of what saw no labels in pretraining", "other such") if taught else ("for these images", "other")
        how = [f" is best {of}, with ", right, f"; every {other} variant is shown to be below it."]
    else:
        how = [" is ahead with ", right, "."]
    return [[Variant(best), *how], *_no_method(compared, order, share)]


def _tied(compared: Compared, order: list[str], share: float, level: float) -> list[str]:
    """Those behind the first that are not shown to be below it itself, at level/(K - 1) for each of K - 1 differences.

    The ranking does not tell: its best are below nobody, and what is below another variant may not be below this one.
    """
    strict = level / max(len(order) - 1, 1)
    found = {name: _less(compared, order[0], name, share) for name in order[1:]}
    return [name for name, one in found.items() if one is None or one.limits(strict)[0] <= 0]


def _no_method(compared: Compared, order: list[str], share: float) -> list[Sentence]:
    """What it means where the best one is not pretrained here at all."""
    plan, best = compared.plan, order[0]
    methods = [name for name in order if plan.variants[name].family != "baseline"]
    if plan.variants[best].trained or not methods:
        return []
    images = plan.images[0]
    if plan.variants[best].weights:
        what = f"It is the weights {plan.variants[best].weights} as they come: pretraining on {images} has not paid "
    else:
        what = "It is a network's initial weights: no method has learnt what the probe can use "
    below, how = _difference(compared, methods[0], best, share)
    there = "at this budget; the best that was pretrained here, "
    return [[what, there, Variant(methods[0]), f", is {below} it{how}."]]


def _baselines(compared: Compared, best: str, share: float) -> list[Sentence]:
    """The best one beside initial weights, off the shelf, and what was trained with every label."""
    variants = compared.plan.variants
    planned = variants[best]
    shelf = [name for name, one in variants.items() if one.weights and not one.trained]
    taught = [name for name, one in variants.items() if one.needs_labels]
    shelf_of_it = planned.off_the_shelf or next(iter(shelf), "")
    beside = [("the initial weights of its network, ", planned.baseline, "")] if planned.baseline else []
    beside += [("what comes off the shelf, ", shelf_of_it, "")] if shelf_of_it else []
    beside += [("", name, ", pretrained with every label") for name in taught]
    compares: list[Sentence] = []
    for what, name, that in beside:
        if name != best and _figure(compared, name, share):
            above, how = _difference(compared, best, name, share)
            compares.append([f"{above} {what}", Variant(name), f"{that}{how}"])
    # Of a network as it came another one was spoken of last.
    who: Sentence = ["It is "] if planned.trained else [Variant(best), " is "]
    return [[*who, *listed(compares), "."]] if compares else []


def _few_labels(compared: Compared, order: list[str], shares: list[float]) -> list[Sentence]:
    """Where another variant is ahead with the fewest labels."""
    few = {name: one.mean for name in order if (one := _figure(compared, name, shares[0]))}
    ahead = max(few, key=few.__getitem__, default=order[0])
    if len(shares) < 2 or ahead == order[0] or order[0] not in few or few[ahead] == few[order[0]]:
        return []
    above, how = _difference(compared, ahead, order[0], shares[0])
    return [[f"With {_of_labels(shares[0])} ", Variant(ahead), f" is ahead, {above} it{how}."]]


def _troubles(compared: Compared, best: str) -> list[Sentence]:
    cells = [cell.name for cell in compared.plan.cells if cell.variant == best]
    named = [one for one in compared.troubles if any(f": {cell}{end}" in one for cell in cells for end in ",:")]
    return [["But look at it before you rely on it. ", *named]] if named else []


def _cost(compared: Compared, best: str, share: float) -> list[Sentence]:
    """What pretraining the best one takes, beside the suite's reference, or else the cheapest."""
    trained = {
        name: seconds.mean
        for name, one in compared.plan.variants.items()
        if one.trained and not one.needs_labels and (seconds := compared.cost(name, "pretrain", "seconds"))
    }
    if not compared.plan.variants[best].trained:
        return []
    if best not in trained:
        return [["What it costs was not observed on this machine."]]
    to, cheapest = heat.reference(compared.plan), min(trained, key=trained.__getitem__)
    to = cheapest if to == best or to not in trained else to
    took = f"Its pretraining took {duration(trained[best])} a cell here"
    if to == best:
        return [[took, ", the least of all." if len(trained) > 1 else "."]]
    least = "the cheapest, " if to == cheapest else ""
    below, how = _difference(compared, to, best, share)
    times = f"{took}, {trained[best] / trained[to]:.1f} times as much as that of {least}"
    return [[times, Variant(to), f", which is {below} it{how}."]]


def _claims(verdicts: Verdicts) -> list[Sentence]:
    if not verdicts.claims:
        return []
    found = {kind: count for kind, count in verdict_lines.counted(verdicts).items() if count}
    many = len(verdicts.claims)
    claims = "The one claim" if many == 1 else f"Of {many} claims"
    kinds = [kind if many == 1 else f"{count} {'is' if count == 1 else 'are'} {kind}" for kind, count in found.items()]
    return [[f"{claims} {'is ' if many == 1 else ''}", *listed([[kind] for kind in kinds]), "."]]


def _next(plan: Plan, verdicts: Verdicts, not_asked: tuple[str, str] | None) -> list[Sentence]:
    """What would tell more."""
    said: list[Sentence] = []
    undecided = [verdict for verdict in verdicts.claims if verdict.verdict == "undecided"]
    decidable = [verdict.seeds_to_decide for verdict in undecided if verdict.seeds_to_decide is not None]
    if len(plan.seeds) == 1:
        said.append([f"Next: three seeds or more in suites/{plan.suite}.yaml."])
    elif decidable:
        which = "what is undecided" if len(decidable) == len(undecided) else f"{len(decidable)} of what is undecided"
        looks = f" (declared as looks: {verdicts.looks + 1})" if verdicts.looks < max(POCOCK) else ""
        seeds = f"{max(decidable)} seeds instead of {len(plan.seeds)}{looks}"
        said.append([f"Next: {seeds} would probably decide {which}."])
    elif any(verdict.effect is not None for verdict in undecided):
        said.append(["Seeds alone would not decide what is undecided."])
    if not_asked:
        name, question = not_asked
        said.append([f"Not asked of these images yet: {question} (make repro SUITE={name})"])
    return said


def _figure(compared: Compared, name: str, share: float) -> Effect | None:
    return compared.figure(compared.shown(name, compared.plan.images[0]), _key(compared, share))


def _difference(compared: Compared, name: str, other: str, share: float) -> tuple[str, str]:
    """How far one is above or below another, before and after the other's name in a sentence."""
    found = _less(compared, name, other, share)
    if found is None:
        return "not to be compared with", ""
    if not points.shown(found):
        return "not shown to be above or below", f" ({100 * found.mean:+.1f}{points.interval_text(found)} points)"
    way = "above" if found.mean >= 0 else "below"
    return f"{100 * abs(found.mean):.1f}{points.interval_text(found)} points {way}", ""


def _less(compared: Compared, name: str, other: str, share: float) -> Effect | None:
    """The figure of one less that of another; None where they have no seed in common."""
    return compared.difference(name, other, compared.plan.images[0], _key(compared, share))


def _key(compared: Compared, share: float) -> Key:
    return Key("feature_extraction", "linear", share, compared.main(compared.plan.images[0]))


def _reached(compared: Compared, figure: Effect) -> str:
    """The main figure in words."""
    metric, percent = compared.main(compared.plan.images[0]), f"{100 * figure.mean:.1f}{points.interval_text(figure)} %"
    return f"{percent} of the test images right" if metric == ACCURACY else f"a test {MAIN[metric]} of {percent}"


def _of_labels(share: float) -> str:
    return "all labels" if share == 1 else f"{100 * share:g} % of the labels"


def _named(names: list[str]) -> Sentence:
    return listed([[Variant(name)] for name in names]) if len(names) <= MOST_NAMED else [f"{len(names)} others"]
