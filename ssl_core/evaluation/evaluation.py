"""The whole evaluation of one backbone: figures, what was chosen on val, and the collapse verdict.

Every choice is made on val; test is read once, with what was chosen.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from ssl_core import collapse
from ssl_core.augmentation import Augment
from ssl_core.collapse import Verdict
from ssl_core.errors import Refused
from ssl_core.evaluation import diagnostics, fine_tuning, fractions, knn, probe
from ssl_core.evaluation.config import EvaluationConfig
from ssl_core.evaluation.metrics import accuracy, macro_f1
from ssl_core.evaluation.split import Split
from ssl_core.progress import Bar

MEASURED = ("val", "test")


class Figure(NamedTuple):
    """One figure; `head` is empty and `label_fraction` None where there is none."""

    protocol: str
    head: str
    label_fraction: float | None
    split: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures; by label fraction, what was chosen; whether the representation has collapsed, judged on val."""

    figures: list[Figure]
    choices: dict[str, Any]
    verdict: Verdict


def evaluate(
    backbone: nn.Module, splits: dict[str, Split], classes: list[str], augment: Augment, config: EvaluationConfig
) -> Evaluation:
    """Evaluate a backbone and its stored representations on the splits train, val and test.

    `augment` makes the views of the alignment figure, which is comparable where they are the same. Where no image has a
    label, only the label-free figures are made. Raises `Refused` where a split is too small, or has no labels while
    another has.
    """
    small = [name for name in MEASURED if len(splits[name]) < 2]
    if small:
        raise Refused(f"the {small[0]} split has {len(splits[small[0]])} images; an evaluation needs at least 2")
    free = {name: diagnostics.label_free(backbone, splits[name], augment, config.seed) for name in MEASURED}
    figures = [Figure("label_free", "", None, name, *figure) for name in MEASURED for figure in free[name].items()]
    verdict = collapse.verdict(free["val"]["embedding_std"], free["val"]["rankme"], config.collapse)
    choices = {}
    for fraction, parts in Bar(_by_fraction(splits, classes, config), len(config.label_fractions), "fraction"):
        made, choices[repr(fraction)] = _downstream(backbone, parts, len(classes), fraction, config)
        figures += made
    return Evaluation(figures=figures, choices=choices, verdict=verdict)


def _by_fraction(
    splits: dict[str, Split], classes: list[str], config: EvaluationConfig
) -> list[tuple[float, dict[str, Split]]]:
    """The labelled splits, train cut to each label fraction; nothing where there are no labels at all."""
    labelled = {name: split.labelled() for name, split in splits.items()}
    without = [name for name, split in labelled.items() if len(split) == 0]
    if len(without) == len(labelled):
        return []
    if without:
        raise Refused(f"the {without[0]} split has no labels while another has; label it, or take all labels away")
    train = labelled["train"]
    drawn = [(f, fractions.draw(train.labels, f, config.seed, classes)) for f in config.label_fractions]
    return [(fraction, labelled | {"train": train.take(index)}) for fraction, index in drawn]


def _downstream(
    backbone: nn.Module, splits: dict[str, Split], classes: int, fraction: float, config: EvaluationConfig
) -> tuple[list[Figure], dict[str, Any]]:
    """Figures of every head for one label fraction, and what was chosen."""
    train, val = splits["train"], splits["val"]
    head, weight_decay = probe.choose(train, val, classes, config.weight_decays)
    sample = val.sample(config.fine_tuning.val_images, config.seed)
    tuned = fine_tuning.choose(backbone, head, train, sample, config.fine_tuning, config.seed)
    figures = []
    for name in MEASURED:
        frozen = {"linear": probe.predict(head, splits[name])} | knn.predict(train, splits[name], classes, config)
        predictions = [("feature_extraction", kind, predicted) for kind, predicted in frozen.items()]
        predictions.append(("fine_tuning", "linear", fine_tuning.predict(tuned.model, splits[name])))
        for protocol, kind, predicted in predictions:
            for metric in (accuracy, macro_f1):
                value = metric(predicted, splits[name].labels)
                figures.append(Figure(protocol, kind, fraction, name, metric.__name__, value))
    return figures, {
        "labelled_images": len(train),
        "linear": {"weight_decay": weight_decay},
        "knn": {kind: min(k, len(train)) for kind, k in knn.NEIGHBOURS.items()},
        "fine_tuning": {"learning_rate": tuned.learning_rate, "step": tuned.step},
    }
