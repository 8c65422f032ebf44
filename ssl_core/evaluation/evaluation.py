"""The two evaluations of a network: of its representations as they are, and fine-tuned.

Every choice is made on val; test is read once, with what was chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ssl_core import collapse
from ssl_core.augmentation import Augment
from ssl_core.collapse import Verdict
from ssl_core.errors import Refused
from ssl_core.evaluation import clid, diagnostics, fine_tuning, fractions, knn, linear_probe
from ssl_core.evaluation.config import EvaluationConfig, FineTuningConfig
from ssl_core.evaluation.split import Split
from ssl_core.progress import Bar

MEASURED = ("val", "test")
FINE_TUNED = ("test",)
"""Nothing is chosen by what a fine-tuned network predicts of all of val: a sample has chosen its state."""
Outcomes = dict[tuple[str, float], np.ndarray]
"""Of each head and label fraction, which labelled test images it got right: bool [N], in the split's order."""


class Figure(NamedTuple):
    """One figure; `head` is empty and `label_fraction` None where there is none."""

    protocol: str
    head: str
    label_fraction: float | None
    split: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """All figures; by label fraction, what was chosen; whether the representation has collapsed, judged on val.

    `correct` is what the test accuracies are the means of; empty where no image has a label, or figures are no means.
    """

    figures: list[Figure]
    choices: dict[str, Any]
    verdict: Verdict
    correct: Outcomes


@dataclass(frozen=True, kw_only=True, eq=False)
class FineTuned:
    """Of a network fine-tuned with each label fraction: as `Evaluation`."""

    figures: list[Figure]
    choices: dict[str, Any]
    correct: Outcomes


def probe(
    network: nn.Module,
    splits: dict[str, Split],
    classes: list[str],
    augment: Augment,
    config: EvaluationConfig,
    seed: int,
) -> Evaluation:
    """Evaluate the stored representations of a network, frozen, on the splits train, val and test.

    `augment` makes the views of the alignment figure, which is comparable where they are the same. `seed` draws these,
    the labelled images and the samples: the same for every network that is given the same seed. Where no image has a
    label, only the label-free figures are made. Raises `Refused` where a split is too small, or has no labels while
    another has.
    """
    _refuse_small(splits)
    free = {name: diagnostics.label_free(network, splits[name], augment, seed) for name in MEASURED}
    figures = [Figure("label_free", "", None, name, *figure) for name in MEASURED for figure in free[name].items()]
    verdict = collapse.verdict(free["val"]["embedding_std"], free["val"]["rankme"], config.collapse)
    choices, correct = {}, Outcomes()
    drawn = _by_fraction(splits, classes, config.label_fractions, seed)
    for fraction, parts in Bar(drawn, len(config.label_fractions), "fraction"):
        train = parts["train"]
        head, weight_decay = linear_probe.choose(train, parts["val"], len(classes), config.weight_decays)
        for name in MEASURED:
            voted = knn.predict(train, parts[name], len(classes), config)
            for kind, predicted in ({"linear": linear_probe.predict(head, parts[name])} | voted).items():
                figures += _measured("feature_extraction", kind, fraction, name, predicted, parts[name])
                if train.kind.outcomes:
                    correct[kind, fraction] = predicted == parts[name].labels  # test, which is measured last, stays
        choices[repr(fraction)] = {
            "labelled_images": len(train),
            "linear": {"weight_decay": weight_decay},
            "knn": {kind: min(k, len(train)) for kind, k in knn.NEIGHBOURS.items()},
        }
    return Evaluation(figures=figures, choices=choices, verdict=verdict, correct=correct)


def fine_tune(
    network: nn.Module,
    splits: dict[str, Split],
    classes: list[str],
    label_fractions: Sequence[float],
    weight_decays: Sequence[float],
    config: FineTuningConfig,
    seed: int,
) -> FineTuned:
    """Fine-tune the network with each label fraction.

    It starts from the probe that `probe` fits with the same label fractions, weight decays and seed; `seed` draws the
    order of the batches and their augmentation too. There is nothing to be had where no image has a label. Raises
    `Refused` as `probe` does.
    """
    _refuse_small(splits)
    figures, choices, correct = [], {}, Outcomes()
    drawn = _by_fraction(splits, classes, label_fractions, seed)
    for fraction, parts in Bar(drawn, len(label_fractions), "fraction"):
        train, val = parts["train"], parts["val"]
        head, _ = linear_probe.choose(train, val, len(classes), weight_decays)
        tuned = fine_tuning.choose(network, head, train, _sample(val, config.val_images, seed), config, seed)
        for name in FINE_TUNED:
            predicted = fine_tuning.predict(tuned.model, parts[name])
            figures += _measured("fine_tuning", "linear", fraction, name, predicted, parts[name])
            if train.kind.outcomes:
                correct["linear", fraction] = predicted == parts[name].labels
        choices[repr(fraction)] = {
            "labelled_images": len(train),
            "learning_rate": tuned.learning_rate,
            f"val_{train.kind.metrics[0].__name__}": round(tuned.reached, 6),
            "step": tuned.step,
            "steps": config.steps(len(train)),
        }
    return FineTuned(figures=figures, choices=choices, correct=correct)


def _sample(val: Split, count: int, seed: int) -> Split:
    """About `count` images of val; of labels and numbers of all their `strata`, as there might be none to tell else."""
    if val.kind.outcomes or len(val) <= count:
        return val.sample(count, seed)
    return val.take(fractions.draw(val.labels, count / len(val), seed, []))


def _refuse_small(splits: dict[str, Split]) -> None:
    small = [name for name in MEASURED if len(splits[name]) < clid.LEAST]
    if small:
        raise Refused(
            f"the {small[0]} split has {len(splits[small[0]])} images; an evaluation needs at least {clid.LEAST}"
        )


def _by_fraction(
    splits: dict[str, Split], classes: list[str], label_fractions: Sequence[float], seed: int
) -> list[tuple[float, dict[str, Split]]]:
    """The labelled splits, train cut to each label fraction; nothing where there are no labels at all."""
    labelled = {name: split.labelled() for name, split in splits.items()}
    without = [name for name, split in labelled.items() if len(split) == 0]
    if len(without) == len(labelled):
        return []
    if without:
        raise Refused(f"the {without[0]} split has no labels while another has; label it, or take all labels away")
    train = labelled["train"]
    drawn = [(fraction, fractions.draw(train.labels, fraction, seed, classes)) for fraction in label_fractions]
    return [(fraction, labelled | {"train": train.take(index)}) for fraction, index in drawn]


def _measured(
    protocol: str, head: str, fraction: float, name: str, predicted: np.ndarray, split: Split
) -> list[Figure]:
    return [
        Figure(protocol, head, fraction, name, metric.__name__, metric(predicted, split.labels))
        for metric in split.kind.metrics
    ]
