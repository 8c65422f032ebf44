"""Regularised objectives against their formulas, and by their properties."""

import math

import pytest
import torch
from every_objective import batch, build

from ssl_core.objectives.vicreg import VICRegConfig, covariance, variance


def test_vicreg_terms_are_the_papers_equations() -> None:
    z = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 1.0, 2.0])
    n, d = z.shape
    columns = [[float(z[i, j]) for i in range(n)] for j in range(d)]
    means = [sum(column) / n for column in columns]
    cov = [
        [sum((columns[a][i] - means[a]) * (columns[b][i] - means[b]) for i in range(n)) / (n - 1) for b in range(d)]
        for a in range(d)
    ]
    hinge = sum(max(0.0, 1 - math.sqrt(cov[j][j] + 1e-4)) for j in range(d)) / d
    off_diagonal = sum(cov[a][b] ** 2 for a in range(d) for b in range(d) if a != b) / d
    assert variance(z).item() == pytest.approx(hinge, rel=1e-4)
    assert covariance(z).item() == pytest.approx(off_diagonal, rel=1e-4)


def test_vicreg_weighs_its_terms_as_configured() -> None:
    views, _ = batch(2)
    plain = build(VICRegConfig(name="vicreg", invariance=1, variance=1, covariance=1))(views)
    weighted = build(VICRegConfig(name="vicreg"))(views)
    for name, weight in (("invariance", 25), ("variance", 25), ("covariance", 1)):
        torch.testing.assert_close(weighted[name], weight * plain[name])


def test_vicreg_sees_a_collapsed_embedding() -> None:
    assert variance(torch.ones(8, 4)).item() == pytest.approx(1 - 0.01)
    assert covariance(torch.ones(8, 4)).item() == 0
