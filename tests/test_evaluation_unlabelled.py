"""α-ReQ, NESum, CLID and LiDAR: against their formulas, where they must not move, and where they collapse."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_core.evaluation import clid, spectrum
from ssl_core.evaluation.lidar import lidar


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def turned(size: int) -> Tensor:
    return torch.linalg.qr(gaussian(size, size, seed=9)).Q


def alpha_req(h: Tensor) -> float:
    return spectrum.alpha_req(spectrum.eigenvalues(h))


def nesum(h: Tensor) -> float:
    return spectrum.nesum(spectrum.eigenvalues(h))


@pytest.mark.parametrize("shape", [(60, 8), (8, 60)])
def test_the_eigenvalues_are_those_of_the_covariance_over_the_largest(shape: tuple[int, int]) -> None:
    h = gaussian(*shape) @ torch.diag(torch.logspace(0, -2, shape[1])) + 3
    expected = np.sort(np.linalg.eigvalsh(np.cov(h.double().numpy().T)))[::-1]
    found = spectrum.eigenvalues(h)
    assert found.shape == (8,)
    np.testing.assert_allclose(found, (expected / expected[0])[:8], atol=1e-7)
    assert nesum(h) == pytest.approx(expected.sum() / expected[0], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0, 2.5])
def test_the_exponent_of_a_power_law_is_found(alpha: float) -> None:
    rank = torch.arange(1, 33, dtype=torch.float64)
    assert spectrum.alpha_req(rank**-alpha) == pytest.approx(alpha, abs=1e-9)


def test_the_exponent_is_the_weighted_fit() -> None:
    h = gaussian(300, 20) @ torch.diag(torch.linspace(1, 0.2, 20))
    relative, rank = spectrum.eigenvalues(h).numpy(), np.arange(1, 21)
    slope, _ = np.polyfit(np.log(rank), np.log(relative), 1, w=rank**-0.5)
    assert alpha_req(h) == pytest.approx(-slope, rel=1e-6)


def test_k_means_finds_what_is_apart_and_neighbours_learn_it() -> None:
    centres = torch.eye(5)
    labels = torch.arange(25) % 5
    u = torch.nn.functional.normalize(centres[labels] + 0.02 * gaussian(25, 5), dim=1).double()
    found = clid.clusters(u, 5, np.random.default_rng(0))
    assert len(set(zip(found.tolist(), labels.tolist(), strict=True))) == len(set(found.tolist())) == 5
    assert clid.learnability(u, seed=0) == 1
    assert clid.learnability(gaussian(400, 64), seed=0) < 0.5


def test_the_intrinsic_dimension_is_the_formula_and_that_of_the_manifold() -> None:
    h = gaussian(50, 4) @ gaussian(4, 10)
    apart = torch.cdist(h.double(), h.double()).fill_diagonal_(torch.inf).sort(dim=1).values
    expected = 50 / (apart[:, 1] / apart[:, 0]).log().sum().item()
    assert clid.intrinsic_dimension(h) == pytest.approx(expected, rel=1e-6)
    assert clid.intrinsic_dimension(h.repeat(2, 1)) == pytest.approx(expected, rel=1e-6)
    sheet = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) @ gaussian(2, 30)
    assert clid.intrinsic_dimension(sheet) == pytest.approx(2, abs=0.15)


def test_clid_is_the_product_over_a_bounded_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clid, "SAMPLE", 30)
    h = gaussian(50, 4)
    sample = h[np.random.default_rng(3).permutation(50)[:30]]
    assert clid.clid(h, 3) == clid.learnability(sample, 3) * clid.intrinsic_dimension(sample)
    assert clid.clid(h, 3) != clid.clid(h, 4)


def test_lidar_is_the_papers_formula_where_views_are_many_and_two_tell_the_same() -> None:
    images, views = 1500, 40
    strength = torch.tensor([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])
    h = (strength * gaussian(images, 6))[:, None] + 0.5 * gaussian(images, views, 6, seed=1)
    mean = h.double().mean(dim=1).numpy()
    within = np.cov((h.double().numpy() - mean[:, None]).reshape(-1, 6).T)
    root = np.linalg.inv(np.linalg.cholesky(within))
    ratios = np.linalg.eigvalsh(root @ np.cov(mean.T) @ root.T)
    p = ratios / ratios.sum()
    formula = np.exp(-(p * np.log(p)).sum())
    assert lidar(h) == pytest.approx(formula, rel=0.04)
    assert lidar(h[:, :2]) == pytest.approx(lidar(h), rel=0.04)


def test_lidar_counts_what_tells_images_apart_and_not_what_views_differ_by() -> None:
    kept, varied = gaussian(500, 3), 5 * gaussian(500, 2, 10, seed=1)
    views = torch.cat([kept[:, None].expand(-1, 2, -1) + 0.01 * gaussian(500, 2, 3, seed=2), varied], dim=2)
    assert lidar(views) == pytest.approx(3, abs=0.05)


@pytest.mark.parametrize("figure", [alpha_req, nesum, lambda h: clid.clid(h, 0)])
def test_neither_a_rotation_nor_the_scale_matters(figure: Callable[[Tensor], float]) -> None:
    h = (gaussian(120, 12) @ torch.diag(torch.linspace(1, 0.1, 12))).double()
    assert figure(h @ turned(12).double()) == pytest.approx(figure(h), rel=1e-5)
    assert figure(1000 * h) == pytest.approx(figure(h), rel=1e-9)


def test_neither_a_rotation_nor_the_scale_matters_to_lidar() -> None:
    views = (gaussian(120, 12) @ torch.diag(torch.linspace(1, 0.1, 12)))[:, None] + 0.2 * gaussian(120, 2, 12, seed=1)
    views = views.double()
    assert lidar(views @ turned(12).double()) == pytest.approx(lidar(views), rel=1e-5)
    assert lidar(1000 * views) == pytest.approx(lidar(views), rel=1e-9)


@pytest.mark.parametrize("constant", [torch.full((40, 8), 0.3), torch.zeros(40, 8)])
def test_what_a_representation_that_is_the_same_for_all_images_reads(constant: Tensor) -> None:
    line = gaussian(40, 1) @ gaussian(1, 8, seed=1)
    assert alpha_req(constant) == pytest.approx(alpha_req(line), rel=1e-6)
    assert alpha_req(constant) > 3
    assert nesum(constant) == pytest.approx(1)
    assert nesum(line) == pytest.approx(1)
    assert clid.learnability(constant, 0) == 1
    assert clid.intrinsic_dimension(constant) == clid.clid(constant, 0) == 0
    assert lidar(constant[:, None].expand(-1, 2, -1)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        (lambda: spectrum.eigenvalues(gaussian(1, 4)), "at least 2 images; there are 1"),
        (lambda: clid.clid(gaussian(3, 4), 0), "at least 4 images; there are 3"),
        (lambda: lidar(gaussian(1, 2, 4)), "at least 2 views of 2 images; there are 2 of 1"),
        (lambda: lidar(gaussian(5, 1, 4)), "at least 2 views of 2 images; there are 1 of 5"),
    ],
)
def test_too_few_images_are_refused(figure: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        figure()
