"""What is read of known factors: the regression against its formula, and what must be read of all and of nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_core.data import prepared, preparing, shapes
from ssl_core.data.shapes import FACTORS, SHAPES, ShapesConfig
from ssl_core.evaluation import factors, ridge
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.evaluation import Figure
from ssl_core.evaluation.factors import SYMMETRY
from ssl_core.evaluation.split import Split

CLASSES: list[str] = [*SHAPES]
COUNTS = {"train": 1400, "val": 420, "test": 420}
PROBED = [
    Figure("feature_extraction", head, fraction, split, metric, value)
    for head, fraction, split, metric, value in (
        ("linear", 0.1, "test", "accuracy", 0.1),
        ("linear", 1.0, "val", "accuracy", 0.2),
        ("linear", 1.0, "test", "accuracy", 0.3),
        ("linear", 1.0, "test", "macro_f1", 0.4),
        ("knn20", 1.0, "test", "accuracy", 0.5),
    )
]


def drawn() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Labels and factors of three splits."""
    generator = np.random.default_rng(0)
    labels = {name: np.arange(count) % len(SHAPES) for name, count in COUNTS.items()}
    known = {name: generator.random((count, len(FACTORS)), np.float32) for name, count in COUNTS.items()}
    for of in known.values():
        of[:, FACTORS.index("rotation")] *= 360
    return labels, known


def themselves(labels: np.ndarray, known: np.ndarray) -> Tensor:
    """The factors as a representation that a linear probe can read, the angle as each shape shows it."""
    turns = np.array([SYMMETRY[shape] for shape in SHAPES])[labels] * np.deg2rad(known[:, FACTORS.index("rotation")])
    return torch.from_numpy(np.column_stack([known, np.cos(turns), np.sin(turns)]).astype(np.float32))


def splits(labels: dict[str, np.ndarray], representations: dict[str, Tensor]) -> dict[str, Split]:
    images = {
        name: Images.of(np.zeros((len(of), 2, 2, 3), np.uint8), (0.5,) * 3, (0.5,) * 3, torch.device("cpu"))
        for name, of in labels.items()
    }
    return {
        name: Split(images=images[name], labels=of, representations=representations[name])
        for name, of in labels.items()
    }


def read(labels: dict[str, np.ndarray], known: dict[str, np.ndarray], h: dict[str, Tensor]) -> dict[str, float]:
    """By factor, what is read on test."""
    found = factors.figures(splits(labels, h), known, CLASSES, PROBED)
    return {one.head: one.value for one in found if one.split == "test"}


def test_the_regression_is_the_formula_also_where_dimensions_are_more_than_images() -> None:
    generator = np.random.default_rng(0)
    for shape in ((50, 6), (6, 50)):
        x, y = generator.normal(size=shape), generator.normal(size=(shape[0], 2))
        found = ridge.solve(torch.from_numpy(x), torch.from_numpy(y), [0.1, 2.0])
        for weights, decay in zip(found, (0.1, 2.0), strict=True):
            normal = x.T @ x / len(x) + decay * np.eye(shape[1])
            np.testing.assert_allclose(weights, np.linalg.solve(normal, x.T @ y / len(x)), atol=1e-9)


def test_the_share_of_the_variance_is_one_of_all_and_none_of_the_mean() -> None:
    y = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    told = torch.stack([y, y.mean(dim=0).expand(2, 2), torch.tensor([[1.0, 1.0], [2.0, 5.0]])])
    torch.testing.assert_close(ridge.r2(told, y), torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.5, 1.0]]))


def test_the_factors_themselves_read_one_and_noise_nothing() -> None:
    labels, known = drawn()
    heads = {"shape", "colour", "x", "y", "size", "rotation", "background"}
    told = read(labels, known, {name: themselves(labels[name], known[name]) for name in COUNTS})
    assert set(told) == heads
    assert told.pop("shape") == 0.3
    assert min(told.values()) > 0.9999
    noise = torch.randn(sum(COUNTS.values()), 16, generator=torch.Generator().manual_seed(0))
    heard = read(labels, known, dict(zip(COUNTS, noise.split(list(COUNTS.values())), strict=True)))
    heard.pop("shape")
    assert set(heard) == heads - {"shape"}
    assert max(heard.values()) <= 0.05
    assert min(heard.values()) > -0.05


def test_one_of_three_colours_is_a_third_of_the_colour() -> None:
    labels, known = drawn()
    told = read(labels, known, {name: torch.from_numpy(known[name][:, [FACTORS.index("green")]]) for name in COUNTS})
    assert told["colour"] == pytest.approx(1 / 3, abs=0.02)
    assert told["x"] == pytest.approx(0, abs=0.02)


def test_the_angle_of_what_has_none_does_not_matter_and_without_any_other_there_is_no_rotation() -> None:
    labels, known = drawn()
    h = {name: themselves(labels[name], known[name]) for name in COUNTS}
    other = {name: of.copy() for name, of in known.items()}
    round_shapes = [SHAPES.index("circle"), SHAPES.index("ring")]
    for name, of in other.items():
        of[np.isin(labels[name], round_shapes), FACTORS.index("rotation")] = 0
    assert read(labels, other, h) == read(labels, known, h)
    only = {name: np.full_like(of, SHAPES.index("circle")) for name, of in labels.items()}
    assert "rotation" not in read(only, known, h)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_turns_into_itself_as_often_as_is_said(shape: str) -> None:
    def ink(angle: float) -> np.ndarray:
        known = np.array([1, 1, 1, 0.8, 0.5, 0.5, angle, 0])
        return shapes.draw(shape, known, 48, np.random.default_rng(0)).astype(float)

    def differs(angle: float) -> float:
        return float(np.abs(ink(angle) - ink(0)).mean())

    if SYMMETRY[shape] == 0:
        assert max(differs(angle) for angle in (30, 45, 77)) < 1.5
    else:
        turn = 360 / SYMMETRY[shape]
        assert differs(turn) < 1.5
        assert min(differs(turn / part) for part in (2, 3, 4, 5)) > 3


def test_nothing_is_chosen_on_test() -> None:
    labels, known = drawn()
    h = {name: themselves(labels[name], known[name]) for name in COUNTS}
    figures = factors.figures(splits(labels, h), known, CLASSES, PROBED)
    wrong = known | {"test": np.flip(known["test"], axis=0).copy()}
    other = factors.figures(splits(labels, h), wrong, CLASSES, PROBED)
    assert [one for one in figures if one.split == "val"] == [one for one in other if one.split == "val"]
    assert min(one.value for one in figures if one.head == "x") > 0.9999
    assert next(one.value for one in other if (one.head, one.split) == ("x", "test")) < 0


def test_a_prepared_data_set_keeps_the_factors_in_the_images_order(tmp_path: Path) -> None:
    config = ShapesConfig(source="shapes", image_size=8, count=140)
    preparing.prepare("drawn", shapes.read(config, tmp_path), config, tmp_path)
    data = prepared.load(tmp_path)
    for name in ("train", "val", "test"):
        known = np.load(tmp_path / f"{name}_factors.npy")
        assert (known.shape, known.dtype) == ((len(data.labels(name)), len(FACTORS)), np.float32)
        paper = np.median(data.images(name)[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(axis=-1), axis=1)
        assert np.corrcoef(paper, known[:, FACTORS.index("background")])[0, 1] > 0.9
