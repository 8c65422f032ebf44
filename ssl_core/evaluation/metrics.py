"""Figures of predictions: of classes, of several labels an image, of numbers."""

import numpy as np
import torch

from ssl_core.errors import Refused
from ssl_core.evaluation import ridge


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose predicted class is theirs."""
    return float((predictions == labels).mean())


def macro_f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of 2 TP / (2 TP + FP + FN); classes that neither occur nor are predicted do not count."""
    size = int(max(predictions.max(), labels.max())) + 1
    true_positives = np.bincount(labels[predictions == labels], minlength=size)
    predicted_or_true = np.bincount(predictions, minlength=size) + np.bincount(labels, minlength=size)
    counted = predicted_or_true > 0
    return float((2 * true_positives[counted] / predicted_or_true[counted]).mean())


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """The mean, over the labels that an image has, of the average precision of their scores [N, L]; `labels` [N, L].

    Raises `Refused` where no image has a label.
    """
    shown = np.flatnonzero((labels == 1).any(axis=0))
    if not len(shown):
        raise Refused("no image has any of the labels: there is no average precision")
    return float(np.mean([average_precision(scores[:, i], labels[:, i] == 1) for i in shown]))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Σ over thresholds of (recall - recall before) x precision, of scores [N] and bool [N], of which one is true.

    As scikit-learn has it, not interpolated: images of equal scores pass a threshold together, whatever their order.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = positive[order].cumsum()[ends]
    return float((np.diff(found, prepend=0) * found / (ends + 1)).sum() / found[-1])


def r2(predictions: np.ndarray, numbers: np.ndarray) -> float:
    """As `ridge.r2`, of one target: predictions and numbers [N]."""
    predicted, y = (torch.from_numpy(one.astype(np.float64))[:, None] for one in (predictions, numbers))
    return ridge.r2(predicted, y).item()
