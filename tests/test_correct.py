"""Which test images a cell got right, as it is written and read."""

from pathlib import Path

import numpy as np
import pytest

from tasks import correct
from tasks.correct import Predicted


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < 0.5


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1001])
def test_what_is_read_is_what_was_written(count: int, tmp_path: Path) -> None:
    of = {
        Predicted("backbone", "linear", 0.1): drawn(count),
        Predicted("backbone", "linear", 1.0): drawn(count, 1),
        Predicted("projector", "knn20", 1e-05): drawn(count, 2),
    }
    correct.write(of, tmp_path)
    found = correct.read(tmp_path)
    assert found.keys() == of.keys()
    for by, right in of.items():
        np.testing.assert_array_equal(found[by], right)
        assert found[by].dtype == bool


def test_the_same_outcomes_are_the_same_bytes_whatever_their_order(tmp_path: Path) -> None:
    of = {Predicted("backbone", head, 1.0): drawn(30, seed) for seed, head in enumerate(("linear", "knn20"))}
    written = []
    for each in (of, dict(reversed(of.items()))):
        correct.write(each, tmp_path)
        written.append((tmp_path / correct.FILE).read_bytes())
    assert written[0] == written[1]


def test_it_takes_a_bit_an_image(tmp_path: Path) -> None:
    correct.write({Predicted("backbone", "linear", 1.0): drawn(10_000)}, tmp_path)
    assert (tmp_path / correct.FILE).stat().st_size < 1250 + 150


def test_without_labels_there_is_a_file_of_nothing(tmp_path: Path) -> None:
    correct.write({}, tmp_path)
    assert correct.read(tmp_path) == {}
