"""Distillation objectives against their formulas, and by their properties."""

import math
from typing import Any, TypeVar

import pytest
import torch
from every_objective import batch, build
from torch import Tensor

from ssl_core.heads import MomentumConfig
from ssl_core.objectives.byol import BYOL, BYOLConfig, distance
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.simsiam import SimSiam, SimSiamConfig, negative_cosine

Kind = TypeVar("Kind", bound=JointEmbedding)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halved_student(objective: object, kind: type[Kind]) -> Kind:
    """In evaluation mode; a student that is no longer its teacher."""
    assert isinstance(objective, kind)
    with torch.no_grad():
        for p in objective.backbone.parameters():
            p.mul_(0.5)
    return objective.eval()


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum()) / math.sqrt(float(a.square().sum()) * float(b.square().sum()))


def test_byols_distance_is_the_papers_equation() -> None:
    q, z = normal(2, 6, 5).double()
    total = sum(float((a / a.norm() - b / b.norm()).square().sum()) for a, b in zip(q, z, strict=True)) / 6
    assert distance(q, z).item() == pytest.approx(total, rel=1e-5)
    assert distance(q, 3 * q).item() == pytest.approx(0, abs=1e-6)
    assert distance(q, -q).item() == pytest.approx(4)


@torch.no_grad()
@pytest.mark.parametrize("momentum", [MomentumConfig(), None])
def test_byol_predicts_the_other_views_target_in_both_directions(momentum: MomentumConfig | None) -> None:
    objective, (views, _) = halved_student(build(BYOLConfig(name="byol", momentum=momentum)), BYOL), batch(2)
    backbone, projector = objective.teacher.networks if objective.teacher else (objective.backbone, objective.projector)
    total = 0.0
    for here, there in ((0, 1), (1, 0)):
        predictions = objective.predictor(objective.projector(objective.backbone(*views[here])))
        targets = projector(backbone(*views[there]))
        total += sum(2 - 2 * cosine(q, z) for q, z in zip(predictions, targets, strict=True)) / len(targets)
    assert objective(views)["prediction"].item() == pytest.approx(total, rel=1e-4)


@torch.no_grad()
def test_simsiams_loss_is_the_papers_equation() -> None:
    objective = build(SimSiamConfig(name="simsiam")).eval()
    assert isinstance(objective, SimSiam)
    views, _ = batch(2)
    z1, z2 = (objective.projector(objective.backbone(*view)) for view in views)
    p1, p2 = objective.predictor(z1), objective.predictor(z2)
    total = sum(-cosine(p1[i], z2[i]) / 2 - cosine(p2[i], z1[i]) / 2 for i in range(len(z1))) / len(z1)
    assert objective(views)["similarity"].item() == pytest.approx(total, rel=1e-4)
    assert negative_cosine(z1, z1).item() == pytest.approx(-1)
    assert negative_cosine(z1, -z1).item() == pytest.approx(1)


def test_simsiam_with_a_momentum_encoder_is_half_of_byols_loss_less_1() -> None:
    config = SimSiamConfig(name="simsiam", momentum=MomentumConfig())
    objective, (views, _) = halved_student(build(config), SimSiam), batch(2)
    z = objective.embed(views)
    t1, t2 = objective.targets(views, z)
    p1, p2 = objective.predictor(z[0]), objective.predictor(z[1])
    expected = (distance(p1, t2) + distance(p2, t1)) / 4 - 1
    torch.testing.assert_close(objective(views)["similarity"], expected)
    assert not torch.allclose(t1, z[0])


@pytest.mark.parametrize("kind", [BYOLConfig, SimSiamConfig])
def test_a_predictor_without_width_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="predictor is 0; its hidden layer is at least 1 wide"):
        kind(name=kind.__name__.removesuffix("Config").lower(), predictor=0)
