"""Figures of a classification."""

import numpy as np


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
