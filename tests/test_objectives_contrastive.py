"""Contrastive objectives against their formulas, and by their properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from every_objective import batch, build

from ssl_core.heads import MomentumConfig
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.simclr import SimCLRConfig, nt_xent


def test_nt_xent_is_the_papers_equation() -> None:
    z1, z2 = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    z, n, temperature = torch.cat([z1, z2]), 5, 0.3
    total = 0.0
    for i in range(2 * n):
        similar = [math.exp(float(F.cosine_similarity(z[i], z[k], dim=0)) / temperature) for k in range(2 * n)]
        positive = similar[(i + n) % (2 * n)]
        total -= math.log(positive / (sum(similar) - similar[i]))
    assert nt_xent(z1, z2, temperature=temperature).item() == pytest.approx(total / (2 * n), rel=1e-5)


def test_nt_xent_is_symmetric_and_ignores_scale_and_order() -> None:
    z1, z2 = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = nt_xent(z1, z2, temperature=0.2)
    torch.testing.assert_close(nt_xent(z2, z1, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(3 * z1, 0.5 * z2, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(z1.flip(0), z2.flip(0), temperature=0.2), expected)


def test_without_a_projector_the_loss_is_on_the_representation() -> None:
    objective = build(SimCLRConfig(name="simclr", projector=None))
    objective.eval()
    views, _ = batch(2)
    expected = nt_xent(objective.encoder(*views[0]), objective.encoder(*views[1]), temperature=0.2)
    torch.testing.assert_close(objective(views)["nt_xent"], expected)


def test_with_a_momentum_encoder_each_view_meets_the_teachers_other_view() -> None:
    objective = build(SimCLRConfig(name="simclr", momentum=MomentumConfig(start=0.5, end=0.5)))
    assert isinstance(objective, JointEmbedding)
    assert objective.teacher
    views, _ = batch(2)
    with torch.no_grad():
        for p in objective.backbone.parameters():
            p.mul_(0.5)
    objective.eval()
    (s1, s2), (backbone, projector) = objective.embed(views), objective.teacher.networks
    t1, t2 = (projector(backbone(*view)) for view in views)
    assert not torch.allclose(s1, t1)
    expected = (nt_xent(s1, t2, temperature=0.2) + nt_xent(s2, t1, temperature=0.2)) / 2
    torch.testing.assert_close(objective(views)["nt_xent"], expected)


def test_a_temperature_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        SimCLRConfig(name="simclr", temperature=0.0)


@pytest.mark.parametrize("end", [-0.1, 1.1])
def test_a_momentum_outside_0_to_1_is_refused(end: float) -> None:
    with pytest.raises(ValueError, match=r"momentum.end is .*; a momentum is in \[0, 1\]"):
        MomentumConfig(end=end)
