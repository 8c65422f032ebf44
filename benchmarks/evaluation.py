"""Seconds to evaluate frozen representations, beside scikit-learn's probe: `python -m benchmarks.evaluation`.

Both fit the same standardised representations with the same grid of weight decays and choose on val. The contenders
take turns, so that a busy machine slows all of them alike. "whole" is what a cell's evaluation does with frozen
representations: the probe and both k-NNs with 1, 10 and 100 % of the labels, predictions on val and test.
"""

import argparse
import importlib.util
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from benchmarks import heads
from benchmarks.heads import Features
from ssl_core.evaluation import EvaluationConfig, fractions, knn, linear_probe
from ssl_core.evaluation.downstream import LinearHead
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.metrics import accuracy
from ssl_core.evaluation.split import Split

CONFIG = EvaluationConfig()
CLASSES = 10
RANK = 64


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender: median seconds, their spread (largest less smallest), accuracy on val of what was chosen."""

    name: str
    seconds: float
    spread: float
    val_accuracy: float


def representations(counts: dict[str, int], size: int, seed: int = 0) -> dict[str, Split]:
    """Splits of overlapping classes in a latent space of falling variances, seen through a ReLU, with a little noise.

    The Gram matrix's eigenvalues span five orders of magnitude, the effective rank is some 25 of `size`.
    """
    generator = torch.Generator().manual_seed(seed)
    count = sum(counts.values())
    labels = torch.randint(CLASSES, (count,), generator=generator)
    centres = torch.randn(CLASSES, RANK, generator=generator)
    latent = centres[labels] + 2.5 * torch.randn(count, RANK, generator=generator)
    mixed = latent / torch.arange(1, RANK + 1) @ torch.randn(RANK, size, generator=generator) * 3 / RANK**0.5
    h = (mixed + 0.3 * torch.randn(size, generator=generator)).relu()
    h += 0.02 * torch.randn(count, size, generator=generator).abs()
    blank = Images.of(np.zeros((count, 1, 1, 3), np.uint8), (0.5,) * 3, (0.5,) * 3, torch.device("cpu"))
    whole = Split(images=blank, labels=labels.numpy(), representations=h)
    stops = np.cumsum(list(counts.values()))
    return {name: whole.take(np.arange(stop - n, stop)) for (name, n), stop in zip(counts.items(), stops, strict=True)}


def stopgrad_probe(splits: dict[str, Split]) -> float:
    head, _ = linear_probe.choose(splits["train"], splits["val"], CLASSES, CONFIG.weight_decays)
    return accuracy(linear_probe.predict(head, splits["val"]), splits["val"].labels)


def sklearn_probe(splits: dict[str, Split], iterations: int) -> float:
    train, val = splits["train"], splits["val"]
    head = LinearHead(train.representations, CLASSES)
    x, of_val = (head.standardise(split.representations).numpy() for split in (train, val))
    reached = []
    for decay in CONFIG.weight_decays:
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            peer = LogisticRegression(C=1 / (decay * len(train)), max_iter=iterations).fit(x, train.labels)
        reached.append(accuracy(peer.predict(of_val), val.labels))
    return max(reached)


def whole(splits: dict[str, Split]) -> float:
    """Everything that is measured of frozen representations; the probe's accuracy with all labels."""
    names = [str(label) for label in range(CLASSES)]
    reached = 0.0
    for fraction in CONFIG.label_fractions:
        train = splits["train"].take(fractions.draw(splits["train"].labels, fraction, 0, names))
        head, _ = linear_probe.choose(train, splits["val"], CLASSES, CONFIG.weight_decays)
        for name in ("test", "val"):
            reached = accuracy(linear_probe.predict(head, splits[name]), splits[name].labels)
            knn.predict(train, splits[name], CLASSES, CONFIG)
    return reached


def rows(counts: dict[str, int], size: int, rounds: int, iterations: int) -> list[Row]:
    """Each contender's row; they take turns."""
    splits = representations(counts, size)
    contenders: dict[str, Callable[[], float]] = {
        "stopgrad whole": lambda: whole(splits),
        "stopgrad probe": lambda: stopgrad_probe(splits),
    }
    if importlib.util.find_spec("lightly"):
        contenders["lightly probe"] = lambda: heads.lightly_probe(features(splits))
    contenders["scikit-learn probe"] = lambda: sklearn_probe(splits, iterations)
    return in_turns(contenders, rounds)


def nearest_rows(counts: dict[str, int], size: int, rounds: int) -> list[Row]:
    """Each k-NN's row, of those that are installed; they take turns."""
    given = features(representations(counts, size))
    contenders: dict[str, Callable[[], float]] = {
        name: lambda classify=classify: classify(given)
        for name, (module, classify) in heads.NEAREST.items()
        if importlib.util.find_spec(module)
    }
    return in_turns(contenders, rounds)


def features(splits: dict[str, Split]) -> Features:
    """Train, and val in test's place."""
    train, val = splits["train"], splits["val"]
    return Features(
        train=train.representations,
        train_labels=torch.from_numpy(train.labels),
        test=val.representations,
        test_labels=torch.from_numpy(val.labels),
        classes=CLASSES,
    )


def in_turns(contenders: dict[str, Callable[[], float]], rounds: int) -> list[Row]:
    """Their rows; each gives its accuracy."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    reached = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            reached[name] = run()
            seconds[name].append(time.perf_counter() - started)
    return [
        Row(name=name, seconds=statistics.median(s), spread=max(s) - min(s), val_accuracy=reached[name])
        for name, s in seconds.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds to evaluate frozen representations, beside scikit-learn.")
    parser.add_argument("--train", type=int, default=50_000, help="representations to fit")
    parser.add_argument("--val", type=int, default=5_000, help="representations to choose on")
    parser.add_argument("--test", type=int, default=5_000, help="representations to measure on")
    parser.add_argument("--size", type=int, default=512, help="dimensions")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each contender; the median counts")
    parser.add_argument("--iterations", type=int, default=1000, help="scikit-learn's max_iter; its own default is 100")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    counts = {"train": options.train, "val": options.val, "test": options.test}
    print(f"{counts}, {options.size} dimensions, {options.threads} threads, {platform.machine()}")
    measured = rows(counts, options.size, options.rounds, options.iterations)
    for row in measured:
        ratio = measured[-1].seconds / row.seconds
        print(
            f"{row.name:<20} {row.seconds:>7.1f} s (spread {row.spread:.1f}), val accuracy {row.val_accuracy:.4f}, "
            f"{ratio:.1f}x"
        )


if __name__ == "__main__":
    main()
