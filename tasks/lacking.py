"""What the active suite asks of its images that they lack: said when they are counted, not after hours.

`prepare` asks, and `pretrain` once more, as a suite may have changed since.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from tasks.configuration import configs, plan
from tasks.configuration.configs import Pretraining

NAMED = 5
HAVING = {"labels": "several labels each", "number": "numbers"}


def refuse(card: Card) -> None:
    """Raise `Refused` where the active suite cannot be had with these images, with all that it takes to have it."""
    asked = plan.read()
    if card.name not in asked.images:
        return
    first = card.name == asked.images[0]
    if not first and not card.classes:
        raise Refused(
            f"params.yaml: images names '{card.name}' to be evaluated on, and it has no labels: give it class folders "
            "or a table of labels, or take it out"
        )
    asks: list[Callable[[], None]] = []
    if card.classes:
        asks.append(lambda: refuse_labels(card, asked.evaluation["label_fractions"]))
    if first:
        variants = {name: configs.read(Pretraining, name) for name in asked.variants}
        asks.append(lambda: refuse_pretraining(card, variants, asked.suite))
    said = []
    for ask in asks:
        try:
            ask()
        except Refused as refused:
            said.append(str(refused))
    if said:
        raise Refused("; and ".join(said))


def refuse_labels(card: Card, fractions: Sequence[float]) -> None:
    """Raise `Refused` where classes have no training image, or too few for the shares of labels that are asked for.

    Of several labels and of numbers no share is too small: each part of them gives an image at least.
    """
    if card.target == "number":
        _refuse_constant(card)
        return
    train = card.splits["train"]["per_class"]
    unknown = [name for name, count in zip(card.classes, train, strict=True) if not count]
    if unknown:
        others = [split for split in ("val", "test") if _shown(card, split, unknown)]
        where = f"{' and '.join(others)} and not in train" if others else "no split that is left"
        what = "label" if card.target == "labels" else "class"
        raise Refused(
            f"{card.name}: {_named(unknown, what)} {'stands' if len(unknown) == 1 else 'stand'} in {where}, "
            f"so that nothing can learn {'it' if len(unknown) == 1 else 'them'}: move some of these images to train, "
            "take them out, or add labels: none to this data set"
        )
    if card.target == "labels":
        _refuse_unseen(card)
        return
    for split in ("val", "test"):
        shown = sum(count > 0 for count in card.splits[split]["per_class"])
        if shown < 2:
            raise Refused(
                f"{card.name}: {split} shows {shown} of the {len(card.classes)} classes, and an accuracy needs two: "
                f"put images of others into {split}, or leave {split} out, and it is cut out of train, where a class "
                "needs three images (with group: three groups) to have one in each split"
            )
    least = min(train)
    possible = [fraction for fraction in fractions if int(fraction * least + 1e-9) >= 1]
    if len(possible) < len(fractions):
        small = [name for name, count in zip(card.classes, train, strict=True) if count == least]
        asked = min(fractions)
        raise Refused(
            f"{card.name}: {_named(small, 'class')}: {least} labelled training {_plural('image', least)} each, and "
            f"{math.ceil(1 / asked - 1e-9)} are needed for one to be {asked:g} of them: set evaluation.label_fractions "
            f"of params.yaml to {possible or [1.0]}"
        )


def _refuse_constant(card: Card) -> None:
    for split in ("train", "val", "test"):
        numbers = card.splits[split]["numbers"]
        if not numbers or numbers["least"] == numbers["greatest"]:
            has = f"{card.classes[0]} {numbers['least']:g} alone" if numbers else f"no {card.classes[0]}"
            raise Refused(
                f"{card.name}: {split} has {has}, and R² needs two different numbers: put other images into {split}, "
                f"or leave val and test out, and they are cut out of train"
            )


def _refuse_unseen(card: Card) -> None:
    for split in ("val", "test"):
        if not any(card.splits[split]["per_class"]):
            raise Refused(
                f"{card.name}: {split} shows none of the {len(card.classes)} labels, and an average precision needs "
                f"one: put images that have some into {split}, or leave {split} out, and it is cut out of train"
            )


def refuse_pretraining(card: Card, variants: Mapping[str, Pretraining], suite: str) -> None:
    """Raise `Refused` where an objective needs what these images have not, or more images than there are."""
    count = sum(card.splits[split]["count"] for split in ("train", "unlabelled") if split in card.splits)
    smaller: dict[str, list[str]] = defaultdict(list)
    for name, one in variants.items():
        kind = one.objective_class
        lacking = "labels, and these images have none" if kind.needs_labels and not card.classes else ""
        if kind.needs_classes and card.target != "class":
            lacking = f"classes, and these images have {HAVING[card.target]}"
        lacking = "colours, and these images are grey" if kind.needs_colours and card.grey else lacking
        if lacking:
            raise Refused(f"the objective {one.objective.name} needs {lacking}: take it out of the suite")
        own = card.splits["train"]["count"] if kind.needs_labels else count
        if advice := fitting(one, own, card.image_size):
            smaller[advice].append(name)
    if smaller:
        advice = "; ".join(f"{', '.join(names)}: {{{advice}}}" for advice, names in smaller.items())
        raise Refused(
            f"{card.name} has {count:,} images to pretrain on, fewer than some settings need: write these below the "
            f"variants of suites/{suite}.yaml, or take more images: {advice}"
        )


def fitting(one: Pretraining, count: int, image_size: int) -> str:
    """What to write in a variant so that it can be had with so many images; empty where it can be.

    A batch of which the epochs are a step at least; a queue of whole batches and prototypes, of half of the images.
    """
    budget, objective = one.pretraining, one.objective
    if not budget.epochs:
        return ""
    least = 2 * budget.accumulate * one.compute.devices
    sizes = [budget.batch_size, *(least * 2**i for i in range(20, -1, -1) if least * 2**i < budget.batch_size)]
    batch = next((size for size in sizes if round(budget.epochs * (count // size)) > 0), least)
    changed = [f"pretraining: {{batch_size: {batch}}}"] if batch != budget.batch_size else []
    queue, prototypes = getattr(objective, "queue", 0), getattr(objective, "prototypes", 0)
    keys = {}
    if queue and (queue > count or queue % batch):
        keys["queue"] = max(1, min(queue, count // 2) // batch) * batch
    if prototypes > count or (prototypes > batch and not _had(one, batch, image_size, keys)):
        keys["prototypes"] = max(2, min(batch, count // 2))
    changed += [f"objective: {{{', '.join(f'{key}: {value}' for key, value in keys.items())}}}"] if keys else []
    return ", ".join(changed)


def _had(one: Pretraining, batch: int, image_size: int, changed: Mapping[str, int]) -> bool:
    """Whether the objective itself allows a batch."""
    try:
        objective: Any = one.objective
        objective = dataclasses.replace(objective, **changed)
        one.objective_class.check(objective, one.backbone, image_size, batch)
    except ValueError:
        return False
    return True


def _shown(card: Card, split: str, classes: Sequence[str]) -> bool:
    counts = dict(zip(card.classes, card.splits[split]["per_class"], strict=True))
    return any(counts[name] for name in classes)


def _named(classes: Sequence[str], what: str) -> str:
    """`the class 'wolf'`, or several; `what` they are."""
    more = f" and {len(classes) - NAMED:,} more" if len(classes) > NAMED else ""
    return f"the {_plural(what, len(classes))} {', '.join(map(repr, classes[:NAMED]))}{more}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}{'es' if word.endswith('s') else 's'}"
