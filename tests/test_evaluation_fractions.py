"""Which images an evaluation may see the labels of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_core.collapse import CollapseThresholds
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig
from ssl_core.evaluation.config import FineTuningRecipe, RandAugmentConfig
from ssl_core.evaluation.fractions import draw

CLASSES = ["cat", "dog", "owl"]
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, -1], [100, 250, 1000, 80]))


def test_a_fraction_is_taken_of_every_class() -> None:
    drawn = draw(LABELS, 0.1, 0, CLASSES)
    np.testing.assert_array_equal(np.bincount(LABELS[drawn]), [10, 25, 100])
    assert len(np.unique(drawn)) == len(drawn)
    np.testing.assert_array_equal(draw(LABELS, 1.0, 0, CLASSES), np.flatnonzero(LABELS >= 0))


def test_the_draw_depends_on_the_seed_and_the_labels_alone() -> None:
    np.testing.assert_array_equal(draw(LABELS, 0.1, 3, CLASSES), draw(LABELS.copy(), 0.1, 3, CLASSES))
    assert set(draw(LABELS, 0.1, 3, CLASSES)) != set(draw(LABELS, 0.1, 4, CLASSES))


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), st.integers(0, 2**31))
def test_smaller_fractions_lie_inside_larger_ones(pair: tuple[float, float], seed: int) -> None:
    small, large = sorted(pair)
    assert set(draw(LABELS, small, seed, CLASSES)) <= set(draw(LABELS, large, seed, CLASSES))


def test_binary_rounding_takes_no_image_away() -> None:
    assert len(draw(np.zeros(100, int), 0.29, 0, ["cat"])) == 29


def test_a_class_too_small_for_the_fraction_is_refused_by_name() -> None:
    labels = np.repeat([0, 1, 2], [100, 99, 100])
    with pytest.raises(Refused, match=r"'dog' has 99 .* fraction 0.01 needs at least 100"):
        draw(labels, 0.01, 0, CLASSES)
    with pytest.raises(Refused, match="'owl' has 0"):
        draw(np.repeat([0, 1], 100), 1.0, 0, CLASSES)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: EvaluationConfig(label_fractions=(0.0,)), "label_fractions"),
        (lambda: EvaluationConfig(label_fractions=(1.5,)), "label_fractions"),
        (lambda: EvaluationConfig(label_fractions=()), "label_fractions"),
        (lambda: EvaluationConfig(weight_decays=(0.0, 1.0)), "weight_decays"),
        (lambda: EvaluationConfig(knn_temperature=0.0), "knn_temperature"),
        (lambda: FineTuningConfig(min_steps=2, evaluations=3), "evaluations"),
        (lambda: FineTuningConfig(epochs=-1.0), "epochs"),
        (lambda: FineTuningConfig(min_steps=9, max_steps=8), "max_steps"),
        (lambda: FineTuningConfig(layer_decay=1.1), "layer_decay"),
        (lambda: FineTuningConfig(mixup=-0.1), "mixup"),
        (lambda: FineTuningRecipe(views=2), "views"),
        (lambda: FineTuningRecipe(size=8), "size"),
        (lambda: RandAugmentConfig(operations=0), "operations"),
        (lambda: FineTuningConfig(batch_size=1), "batch_size"),
        (lambda: FineTuningConfig(val_images=0), "val_images"),
        (lambda: FineTuningConfig(learning_rates=()), "learning_rates"),
        (lambda: CollapseThresholds(rankme=0.0), "rankme"),
    ],
)
def test_values_out_of_range_are_refused_by_key(make: object, key: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=f"^{key}|, {key}"):
        make()
