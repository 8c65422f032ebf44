"""What is measured without labels, against the papers' formulas and their known values."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_core import collapse
from ssl_core.augmentation import Augment, Recipe
from ssl_core.collapse import CollapseThresholds
from ssl_core.evaluation import diagnostics
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.split import Split


def gaussian(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_rankme_is_the_papers_formula() -> None:
    h = gaussian(200, 16) @ torch.diag(torch.logspace(0, -3, 16))
    s = np.linalg.svd(h.double().numpy(), compute_uv=False)
    p = s / s.sum() + 1e-7
    assert collapse.rankme(h) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-4)


@pytest.mark.parametrize("shape", [(64, 8), (8, 64)])
def test_rankme_lies_between_one_and_the_smaller_side(shape: tuple[int, int]) -> None:
    orthogonal, _ = torch.linalg.qr(gaussian(64, 8))
    spread = orthogonal if shape == (64, 8) else orthogonal.T
    assert collapse.rankme(spread) == pytest.approx(8, rel=1e-4)
    assert collapse.rankme(torch.ones(shape)) == pytest.approx(1, rel=1e-4)
    assert collapse.rankme(spread * 1000) == pytest.approx(collapse.rankme(spread))


def test_alignment_and_uniformity_are_the_papers_formulas() -> None:
    a, b = gaussian(40, 6), gaussian(40, 6, seed=1)
    u, v = (x / x.norm(dim=1, keepdim=True) for x in (a, b))
    assert diagnostics.alignment(a, b) == pytest.approx(((u - v) ** 2).sum(dim=1).mean().item(), rel=1e-5)
    pairs = [torch.exp(-2 * ((u[i] - u[j]) ** 2).sum()) for i in range(40) for j in range(i)]
    assert diagnostics.uniformity(a) == pytest.approx(torch.stack(pairs).mean().log().item(), rel=1e-5)
    assert diagnostics.alignment(a, 3 * a) == pytest.approx(0, abs=1e-12)
    assert diagnostics.uniformity(torch.ones(5, 3)) == pytest.approx(0, abs=1e-12)


def test_the_embedding_standard_deviation_is_one_for_isotropic_and_zero_for_constant() -> None:
    assert diagnostics.embedding_std(gaussian(4000, 64)) == pytest.approx(1, abs=0.02)
    assert diagnostics.embedding_std(torch.ones(10, 64)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("h", "collapsed"),
    [
        (gaussian(500, 32), False),
        (torch.ones(500, 32) + 1e-3 * gaussian(500, 32), True),
        (torch.ones(500, 128) + 0.09 * gaussian(500, 128), False),  # a narrow cone, but in every direction
        (torch.eye(3).repeat(200, 1), False),  # three classes in three directions: few, but far apart
    ],
)
def test_the_verdict_needs_both_one_direction_and_nothing_beside_it(h: Tensor, collapsed: bool) -> None:
    std, rank = diagnostics.embedding_std(h), collapse.rankme(h)
    verdict = collapse.verdict(std, rank, CollapseThresholds())
    assert verdict.collapsed == collapsed, (std, rank)
    assert f"{std:.3g}" in verdict.why
    assert f"{rank:.3g}" in verdict.why


def test_label_free_figures_are_the_same_for_the_same_seed_and_use_no_more_than_the_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(diagnostics, "SAMPLE", 40)
    monkeypatch.setattr(diagnostics, "BATCH", 16)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    images = Images.of(pixels, (0.5,) * 3, (0.25,) * 3, torch.device("cpu"))
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    split = Split(images=images, labels=np.full(60, -1), representations=gaussian(60, 6))
    augment = Augment([Recipe(views=1, blur=None)], (0.5,) * 3, (0.25,) * 3)
    first = diagnostics.label_free(backbone, split, augment, seed=1)
    assert first == diagnostics.label_free(backbone, split, augment, seed=1)
    other = diagnostics.label_free(backbone, split, augment, seed=2)
    assert [name for name in first if first[name] != other[name]] == ["clid", "lidar", "alignment", "uniformity"]
    assert first["uniformity"] == diagnostics.uniformity(split.sample(40, 1).representations)
    one, two = diagnostics.two_views(backbone, images, augment, seed=1)
    assert one.shape == two.shape == (60, 6)
    assert not torch.equal(one, two)
