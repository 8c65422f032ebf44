"""What a data set is compared by: one figure, as its images have a class, several labels or a number. Without PyTorch.

The first metric of each kind in `ssl_core.evaluation.kinds`, by the name that figures.csv has of it.
"""

from typing import NamedTuple


class Main(NamedTuple):
    """How a figure is called: in words; and as MLflow allows it, where it is a section and orders runs."""

    words: str
    section: str

    def __str__(self) -> str:
        return self.words


ACCURACY = "accuracy"
"""Which a suite means, too, where it names no other: it was written before the images were chosen."""
MAIN = {
    ACCURACY: Main("accuracy", "accuracy"),
    "mean_average_precision": Main("mean average precision", "mean average precision"),
    "r2": Main("R²", "R2"),
}
EXPLAINED = {
    "mean_average_precision": "Its mean is over the labels that images of the split have; guessing reaches the share "
    "of the images that have a label.",
    "r2": "R² is the share of the numbers' variance that is told: 100 is all of it, 0 no more than their mean.",
}
"""What a reader may not know."""
OF_TARGET = {"class": ACCURACY, "labels": "mean_average_precision", "number": "r2"}
"""By what images are labelled with, as a data card says."""


def first(metric: str) -> str:
    """The words with a capital letter."""
    words = MAIN[metric].words
    return words[0].upper() + words[1:]
