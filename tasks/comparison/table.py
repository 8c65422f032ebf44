"""The comparison as text: what is shown of each variant, on each data set, and what must be known to read it."""

import json
from itertools import pairwise
from typing import Any

from tasks.cells import PREPARED
from tasks.comparison.compared import Compared, Key, Place
from tasks.main_figure import EXPLAINED, first

NAMED = 5
"""Classes that a sentence names, of many."""
LABEL_FREE = ("rankme", "alignment", "uniformity", "embedding_std")
REPRESENTATIONS = {
    "backbone": "the backbone",
    "projector": "the projector's output",
    "teacher": "the teacher's backbone",
}
UNKNOWN = "-"
Rows = list[list[str]]
"""Two header rows, groups and names, and one row a variant."""


def text(compared: Compared) -> str:
    """The tables of every data set, then the notes."""
    parts = []
    for images in compared.plan.images:
        if images != compared.plan.images[0]:
            parts += ["", heading(compared, images), ""]
        parts.append(_aligned(rows(compared, images)))
        if paired := differences(compared, images):
            parts += ["", _aligned(paired)]
        if beside := further(compared, images):
            parts += ["", _aligned(beside, named=2)]
    return "\n".join([*parts, "", *notes(compared)])


def heading(compared: Compared, images: str) -> str:
    """Of a data set that is not the one of pretraining."""
    return f"Evaluated on {images}, pretrained on {compared.plan.images[0]}"


def rows(compared: Compared, images: str) -> Rows:
    """Main test figures in percent, or label-free ones; with the data set of pretraining, its costs."""
    columns = _columns(compared, images)
    with_costs = images == compared.plan.images[0]
    made = [
        ["", *(group for group, *_ in columns), *(["pretraining", ""] if with_costs else [])],
        ["variant", *(name for _, name, _ in columns), *(["s", "GiB"] if with_costs else [])],
    ]
    for variant in compared.plan.variants:
        found = _figures(compared, compared.shown(variant, images), [key for *_, key in columns])
        made.append([variant, *found, *(_costs(compared, variant) if with_costs else [])])
    return made


def differences(compared: Compared, images: str) -> Rows:
    """The probe's points above the same backbone's initial weights, and above off the shelf, paired by seed.

    Nothing where there is one seed alone, or nothing to be paired with, or no labels to compare by.
    """
    keys, plan = _probe(compared, images), compared.plan
    pairs = {
        "probe above initial weights, paired": {name: one.baseline for name, one in plan.variants.items()},
        "probe above off the shelf, paired": {name: one.off_the_shelf for name, one in plan.variants.items()},
    }
    pairs = {group: others for group, others in pairs.items() if any(others.values())}
    if len(plan.seeds) == 1 or not keys or not pairs:
        return []
    made = [["", *(cell for group in pairs for cell in (group, *[""] * (len(keys) - 1)))]]
    made.append(["variant", *(_percent(key.fraction) for _ in pairs for key in keys)])
    for variant in plan.variants:
        others = [of_group[variant] for of_group in pairs.values()]
        if any(others):
            made.append(
                [variant, *(_difference(compared, variant, other, images, key) for other in others for key in keys)]
            )
    return made


def _difference(compared: Compared, variant: str, other: str, images: str, key: Key) -> str:
    found = compared.difference(variant, other, images, key) if other else None
    return UNKNOWN if found is None else found.text(100)


def further(compared: Compared, images: str) -> Rows:
    """The representations beside those that the table shows; nothing where there are none."""
    columns = [one for one in _columns(compared, images) if one[-1].protocol != "fine_tuning"]
    made = [
        ["", "", *(group for group, *_ in columns)],
        ["variant", "representation", *(name for _, name, _ in columns)],
    ]
    for place in compared.further(images):
        made.append([place.variant, place.representation, *_figures(compared, place, [key for *_, key in columns])])
    return made if len(made) > 2 else []


def notes(compared: Compared) -> list[str]:
    """What must be known to read the tables."""
    plan, said = compared.plan, []
    labelled = [images for images in plan.images if compared.fractions(images)]
    without = [images for images in plan.images if images not in labelled]
    if labelled:
        said += _measured_by(compared, labelled)
    if without:
        where = f" in {_listed(without)}" if labelled else ""
        said.append(
            f"No labels{where}: RankMe (higher is better) and the figures beside it compare runs of one method."
        )
    if plan.fine_tune and not labelled:
        said.append(f"Nothing was fine-tuned, for want of labels: {', '.join(plan.fine_tune)}.")
    if len(plan.seeds) == 1:
        said.append("One seed: no interval, and no claim. Add seeds to the suite for both.")
    else:
        said += [f"Mean ± 95 % interval over {len(plan.seeds)} seeds.", _covered(compared, labelled)]
    others = {
        name: one.representations[0] for name, one in plan.variants.items() if one.representations[0] != "backbone"
    }
    if others:
        shown = "; ".join(f"{name}: {REPRESENTATIONS.get(kind, kind)}" for name, kind in others.items())
        said.append(f"Shown where it is not the backbone: {shown}.")
    if taught := [name for name, one in plan.variants.items() if one.needs_labels]:
        said.append(f"Pretrained with every training label, whatever share the head is given: {_listed(taught)}.")
    said += _of_weights(compared)
    if labelled:
        said += _of_initial_weights(compared) + _of_fine_tuning(compared)
    if any(compared.cost(variant, "pretrain", "seconds") is None for variant in plan.variants):
        said.append(f"A cost of {UNKNOWN} was not observed on this machine: the cell came from a cache.")
    if (count := len(_machines(compared))) > 1:
        said.append(f"The cells ran on {count} machines: costs compare where these are alike.")
    return said + compared.troubles


def _measured_by(compared: Compared, labelled: list[str]) -> list[str]:
    """What the figures of the labelled data sets are; where it is not the same of all, of which."""
    how = "on test in percent, by share of the labels; everything chosen on val, test read once."
    of_metric: dict[str, list[str]] = {}
    for images in labelled:
        of_metric.setdefault(compared.main(images), []).append(images)
    said = [
        f"{first(metric)} {how}" if len(of_metric) == 1 else f"Of {_listed(of_these)}: {first(metric)} {how}"
        for metric, of_these in of_metric.items()
    ]
    return [*said, *(EXPLAINED[metric] for metric in of_metric if metric in EXPLAINED), *_unseen(labelled)]


def _unseen(labelled: list[str]) -> list[str]:
    """The classes or labels of which test has no image, by the data cards that are here."""
    said = []
    for images in labelled:
        file = PREPARED / images / "card.json"
        unseen = json.loads(file.read_text()).get("unseen", {}).get("test", []) if file.exists() else []
        if unseen:
            more = f" and {len(unseen) - NAMED:,} more" if len(unseen) > NAMED else ""
            said.append(f"No figure tells of {_listed(unseen[:NAMED])}{more}: no test image of {images} shows them.")
    return said


def _machines(compared: Compared) -> set[str]:
    """Those that the observed stages ran on."""
    seen = (one for of_cells in compared.costs.values() for of_cell in of_cells.values() for one in of_cell)
    return {one["machine"] for one in seen if "machine" in one}


def _covered(compared: Compared, labelled: list[str]) -> str:
    """What the intervals are of. Another data set and another budget are never in them."""
    if not labelled:
        return "It covers seeds, not other test images, other data or another budget."
    found = [
        compared.figure(compared.shown(variant, images), key)
        for images in labelled
        for key in _probe(compared, images)[-1:]
        for variant in compared.plan.variants
    ]
    if found and all(one is None or one.images is not None for one in found):
        return "It covers seeds, draws of the labels and test images (RankMe: seeds), not other data or another budget."
    return "It covers seeds and draws of the labels, not other test images, other data or another budget."


def _of_initial_weights(compared: Compared) -> list[str]:
    variants = compared.plan.variants
    unpaired = [name for name, one in variants.items() if one.family != "baseline" and not one.baseline]
    return [f"No initial weights of the same backbone to be compared with: {_listed(unpaired)}."] if unpaired else []


def _of_weights(compared: Compared) -> list[str]:
    """What off the shelf is, and what starts from it."""
    given = {name: one for name, one in compared.plan.variants.items() if one.weights}
    said = [
        f"Off the shelf: {name} is the weights {one.weights} as they come, at {one.input_size} pixels."
        for name, one in given.items()
        if not one.trained
    ]
    if continued := [f"{name} ({one.weights})" for name, one in given.items() if one.trained]:
        said.append(f"Pretrained on from given weights: {_listed(continued)}.")
    paired = {name: one.off_the_shelf for name, one in compared.plan.variants.items() if one.off_the_shelf}
    if paired and len([one for one in given.values() if not one.trained]) > 1:
        pairs = _listed([f"{name} above {other}" for name, other in paired.items()])
        said.append(f"Above off the shelf means: {pairs}.")
    return said


def _of_fine_tuning(compared: Compared) -> list[str]:
    plan = compared.plan
    if not plan.fine_tune:
        return []
    said = _budget(plan.evaluation["fine_tuning"])
    untrained = [name for name in plan.fine_tune if not plan.variants[name].trained and not plan.variants[name].weights]
    if untrained:
        said.append(f"Not pretrained, so that to fine-tune it is to train it from scratch: {_listed(untrained)}.")
    return said


def _budget(budget: dict[str, Any]) -> list[str]:
    """What a fine-tuning may cost, and what it is regularised with, in words."""
    passes = "1 pass" if budget["epochs"] == 1 else f"{budget['epochs']:g} passes"
    most = "" if budget["max_steps"] is None else f" and at most {budget['max_steps']}"
    views = budget["augmentation"] or {}
    changed = [name for name in ("crop", "flip", "jitter", "greyscale", "blur", "solarise") if views.get(name)]
    changed += [name for name in ("randaugment", "mixup") if budget.get(name)]
    rates = _listed([f"{rate:g}" for rate in budget["learning_rates"]])
    ahead = f", the one ahead on val after 1/{budget['evaluations']} of the steps" if "," in rates else ""
    return [
        f"fine-tuned: {passes} over the labels, at least {budget['min_steps']}{most} steps of {budget['batch_size']} "
        f"images ({_listed(changed) or 'as they are'}).",
        f"Its learning rate: {rates}{ahead}; its state: the best on val.",
    ]


def _columns(compared: Compared, images: str) -> list[tuple[str, str, Key]]:
    """The figures of a table: a group's name above its first column, the column's name, and the figure."""
    fractions = compared.fractions(images)
    if not fractions:
        return [("", name, Key("label_free", "", None, name)) for name in LABEL_FREE]
    groups = [
        ("linear probe", "feature_extraction", "linear", fractions),
        ("k-NN", "feature_extraction", "knn20", fractions[-1:]),
    ]
    if compared.plan.fine_tune:
        groups.append(("fine-tuned", "fine_tuning", "linear", fractions))
    main = [
        (group if i == 0 else "", _percent(fraction), Key(protocol, head, fraction, compared.main(images)))
        for group, protocol, head, of_group in groups
        for i, fraction in enumerate(of_group)
    ]
    return [*main, ("", "RankMe", Key("label_free", "", None, "rankme"))]


def _probe(compared: Compared, images: str) -> list[Key]:
    metric = compared.main(images)
    return [Key("feature_extraction", "linear", fraction, metric) for fraction in compared.fractions(images)]


def _figures(compared: Compared, place: Place, keys: list[Key]) -> list[str]:
    texts = []
    for key in keys:
        found = compared.figure(place, key)
        percent = key.protocol != "label_free"
        digits = 1 if percent or key.metric == "rankme" else 3
        texts.append(UNKNOWN if found is None else found.text(100 if percent else 1, digits))
    return texts


def _costs(compared: Compared, variant: str) -> list[str]:
    seconds, memory = (compared.cost(variant, "pretrain", name) for name in ("seconds", "peak_memory_bytes"))
    return [
        UNKNOWN if seconds is None else f"{seconds.mean:.0f}",
        UNKNOWN if memory is None else f"{memory.mean / 2**30:.1f}",
    ]


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:g}%"


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _aligned(table: Rows, named: int = 1) -> str:
    """Columns side by side, the first `named` to the left; a group's name may reach over those that follow its own."""
    groups, *rest = table
    widths = [max(map(len, column)) for column in zip(*rest, strict=True)]
    starts = [i for i, group in enumerate(groups) if group]
    for start, end in pairwise(starts):
        room = sum(widths[start:end]) + 2 * (end - start - 1)
        widths[end - 1] += max(0, len(groups[start]) - room)
    over = ""
    for i, group in enumerate(groups):
        over = over.ljust(sum(widths[:i]) + 2 * i) + group
    lines = []
    for row in rest:
        names = map(str.ljust, row[:named], widths[:named])
        lines.append("  ".join([*names, *map(str.rjust, row[named:], widths[named:])]))
    return "\n".join([over.rstrip(), lines[0], "-" * len(lines[0]), *lines[1:]])
