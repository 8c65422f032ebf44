"""Probes and k-NN of other libraries on representations that are there: each fits train and gives accuracy on test."""

import importlib
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from ssl_core.evaluation import kinds, knn
from ssl_core.evaluation.downstream import LinearHead

NEIGHBOURS, TEMPERATURE = 20, 0.07
BATCH = 256
EPOCHS = 90
"""Of lightly's probe, as its benchmarks have it."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Representations float32 [N, D] and labels int64 [N]."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int

    def right(self, predicted: Tensor) -> float:
        """The share of test that is predicted right."""
        return (predicted == self.test_labels).float().mean().item()


Head = Callable[[Features], float]


def sklearn_probe(given: Features, iterations: int = 100, decay: float = 1e-3) -> float:
    """Its LogisticRegression on standardised representations, of one weight decay."""
    linear: Any = importlib.import_module("sklearn.linear_model")
    head = LinearHead(given.train, given.classes)
    x, of_test = (head.standardise(each).numpy() for each in (given.train, given.test))
    with warnings.catch_warnings(action="ignore"):  # that it stopped at the limit
        fitted = linear.LogisticRegression(C=1 / (decay * len(x)), max_iter=iterations).fit(x, given.train_labels)
    return given.right(torch.from_numpy(fitted.predict(of_test)))


def lightly_probe(given: Features) -> float:
    """Its LinearClassifier by Lightning's Trainer, with the settings of its benchmarks; batches of whole rows."""
    theirs: Any = importlib.import_module("lightly.utils.benchmarking")
    lightning: Any = importlib.import_module("pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    head = theirs.LinearClassifier(
        torch.nn.Identity(), BATCH, feature_dim=given.train.shape[1], num_classes=given.classes, topk=(1,)
    )
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings(action="ignore"):  # few workers, no val
        trainer.fit(head, _rows(given.train, given.train_labels, shuffle=True))
    with torch.inference_mode():
        return given.right(head.eval()(given.test).argmax(dim=1))


def _rows(x: Tensor, labels: Tensor, shuffle: bool) -> DataLoader:
    data = TensorDataset(x, labels)
    order = RandomSampler(data) if shuffle else SequentialSampler(data)
    return DataLoader(data, sampler=BatchSampler(order, BATCH, drop_last=False), batch_size=None)


def our_knn(given: Features) -> float:
    """Ours: weighted votes of the nearest by cosine."""
    similarity, position = knn.neighbours(given.test, given.train, NEIGHBOURS)
    votes = ((similarity - similarity[:, :1]) / TEMPERATURE).exp()
    return given.right(kinds.winner(given.train_labels[position], votes, given.classes))


def sklearn_knn(given: Features) -> float:
    """Its KNeighborsClassifier by cosine, one vote each."""
    neighbours: Any = importlib.import_module("sklearn.neighbors")
    fitted = neighbours.KNeighborsClassifier(NEIGHBOURS, metric="cosine").fit(given.train, given.train_labels)
    return given.right(torch.from_numpy(fitted.predict(given.test)))


def lightly_knn(given: Features) -> float:
    """Its knn_predict, batch by batch, as its benchmarks call it."""
    theirs: Any = importlib.import_module("lightly.utils.benchmarking")
    bank = normalize(given.train, dim=1).T.contiguous()
    found = [
        theirs.knn_predict(normalize(rows, dim=1), bank, given.train_labels, given.classes, NEIGHBOURS, TEMPERATURE)
        for rows in given.test.split(BATCH)
    ]
    return given.right(torch.cat(found)[:, 0])


def stable_knn(given: Features) -> float:
    """What its OnlineKNN predicts, batch by batch, from a queue that holds all of train."""
    theirs: Any = importlib.import_module("stable_pretraining.callbacks.knn")
    callback = theirs.OnlineKNN(
        name="knn",
        input="embedding",
        target="label",
        queue_length=len(given.train),
        metrics={},
        num_classes=given.classes,
        k=NEIGHBOURS,
        temperature=TEMPERATURE,
        distance_metric="cosine",
    )
    found = [
        callback._compute_knn_predictions(rows, given.train, given.train_labels) for rows in given.test.split(BATCH)
    ]
    return given.right(torch.cat(found).argmax(dim=1))


NEAREST: dict[str, tuple[str, Head]] = {
    "stopgrad k-NN": ("torch", our_knn),
    "lightly k-NN": ("lightly", lightly_knn),
    "stable-pretraining k-NN": ("stable_pretraining", stable_knn),
    "scikit-learn k-NN": ("sklearn", sklearn_knn),
}
"""By name: the module that must be installed, and what classifies."""
