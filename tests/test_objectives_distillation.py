"""Distillation objectives against their formulas, and by their properties."""

import math
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from every_objective import batch, build, halve_student
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig
from ssl_core.heads import MomentumConfig, Prototypes
from ssl_core.objectives.byol import BYOL, BYOLConfig, distance
from ssl_core.objectives.dino import DINO, DINOConfig, cross_entropy, sharpened
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.nnbyol import NNBYOL, NNBYOLConfig
from ssl_core.objectives.simsiam import SimSiam, SimSiamConfig, negative_cosine

Kind = TypeVar("Kind", bound=JointEmbedding)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halved_student(objective: object, kind: type[Kind]) -> Kind:
    """In evaluation mode; a student that is no longer its teacher."""
    assert isinstance(objective, kind)
    halve_student(objective)
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


def test_simsiam_with_a_momentum_encoder_is_a_quarter_of_byols_loss_less_1() -> None:
    config = SimSiamConfig(name="simsiam", momentum=MomentumConfig())
    objective, (views, _) = halved_student(build(config), SimSiam), batch(2)
    z = objective.embed(views)
    t1, t2 = objective.targets(views, z)
    p1, p2 = objective.predictor(z[0]), objective.predictor(z[1])
    expected = (distance(p1, t2) + distance(p2, t1)) / 4 - 1
    torch.testing.assert_close(objective(views)["similarity"], expected)
    assert not torch.allclose(t1, z[0])


@torch.no_grad()
@pytest.mark.parametrize("momentum", [MomentumConfig(), None])
def test_nnbyol_predicts_the_nearest_of_the_queue_to_the_other_views_target(momentum: MomentumConfig | None) -> None:
    config = NNBYOLConfig(name="nnbyol", queue=12, momentum=momentum)
    objective, (first, second) = halved_student(build(config), NNBYOL), batch(2, count=6)[0]
    views = [first, View(second.images.flip(0))]
    z = objective.embed(views)
    targets = objective.targets(views, z)
    objective.queue.push(normal(12, objective.embedding_size) + torch.cat(targets))
    queue, total = objective.queue(), 0.0
    for here, there in ((0, 1), (1, 0)):
        for q, target in zip(objective.predictor(z[here]), targets[there], strict=True):
            neighbour = max(queue, key=lambda row, target=target: cosine(target, row))
            total += (2 - 2 * cosine(q, neighbour)) / 6
    assert objective(views)["prediction"].item() == pytest.approx(total, rel=1e-4)


@torch.no_grad()
def test_nnbyol_whose_queue_has_the_targets_themselves_is_byol() -> None:
    objective, (views, _) = halved_student(build(NNBYOLConfig(name="nnbyol", queue=64)), NNBYOL), batch(2)
    z = objective.embed(views)
    targets = objective.targets(views, z)
    strange = objective(views)["prediction"]
    objective.queue.push(torch.cat(targets))
    q1, q2 = objective.predictor(torch.cat(z)).chunk(2)
    byols = distance(q1, targets[1]) + distance(q2, targets[0])
    torch.testing.assert_close(objective(views)["prediction"], byols)
    assert not torch.allclose(strange, byols)


def test_nnbyol_keeps_the_targets_of_view_1_while_it_is_pretrained_and_refuses_parts_of_batches() -> None:
    objective, (views, _) = halved_student(build(NNBYOLConfig(name="nnbyol", queue=64)), NNBYOL), batch(2)
    before = objective.queue()
    objective(views)
    assert torch.equal(objective.queue(), before)
    objective.train()
    with torch.no_grad():
        first = F.normalize(objective.targets(views, [])[0], dim=1)
    objective(views)
    torch.testing.assert_close(objective.queue(), torch.cat([first, before[:32]]))
    with pytest.raises(ValueError, match=r"queue is 300; it must hold whole batches of 256 images: take 256 or 512"):
        NNBYOL.check(NNBYOLConfig(name="nnbyol", queue=300), ResNetConfig(name="resnet10"), 32, 256)


@pytest.mark.parametrize(
    "config",
    [BYOLConfig(name="byol", momentum=None), SimSiamConfig(name="simsiam"), DINOConfig(name="dino", momentum=None)],
    ids=lambda config: config.name,
)
def test_no_gradient_goes_through_the_targets(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients are those with the targets given from outside."""
    objective, (views, _) = build(config), batch(2)
    assert isinstance(objective, JointEmbedding)

    def gradients() -> Tensor:
        objective.zero_grad()
        torch.stack(list(objective(views).values())).sum().backward()
        return torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])

    if isinstance(objective, DINO):
        objective.centre.copy_(normal(len(objective.centre)))
    state = {name: value.clone() for name, value in objective.state_dict().items()}
    ours = gradients()
    objective.load_state_dict(state)
    with torch.no_grad():
        outside = objective.embed(views)
    monkeypatch.setattr(objective, "targets", lambda views, z: outside)
    torch.testing.assert_close(gradients(), ours)
    objective.load_state_dict(state)
    monkeypatch.setattr(objective, "targets", lambda views, z: z)
    assert (gradients() - ours).norm() > 0.1 * ours.norm()


@pytest.mark.parametrize("kind", [BYOLConfig, NNBYOLConfig, SimSiamConfig])
def test_a_predictor_without_width_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="predictor is 0; its hidden layer is at least 1 wide"):
        kind(name=kind.__name__.removesuffix("Config").lower(), predictor=0)


def test_dinos_distributions_and_cross_entropy_are_the_papers_equations() -> None:
    student, teacher, centre = normal(3, 5).double(), normal(3, 5, seed=1).double(), normal(5, seed=2).double()
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p_t = [math.exp((t[k] - float(centre[k])) / 0.5) for k in range(5)]
        p_s = [math.exp(s[k] / 0.2) for k in range(5)]
        total -= sum(p_t[k] / sum(p_t) * math.log(p_s[k] / sum(p_s)) for k in range(5)) / 3
    assigned = sharpened(teacher, centre, torch.tensor(0.5))
    assert cross_entropy(student, assigned, temperature=0.2).item() == pytest.approx(total, rel=1e-5)


def test_dino_compares_each_global_view_of_the_teacher_with_all_others_of_the_student() -> None:
    objective = halved_student(build(DINOConfig(name="dino", prototypes=16)), DINO)
    objective.centre.copy_(0.1 * normal(16))
    views, _ = batch(4)
    views[2:] = [View(F.interpolate(view.images, 8)) for view in views[2:]]
    assert objective.teacher
    backbone, projector, prototypes = objective.teacher.networks
    losses = []
    for i in (0, 1):
        assigned = ((prototypes(projector(backbone(*views[i]))) - objective.centre) / 0.04).softmax(dim=1)
        for j in range(4):
            if i != j:
                scores = objective.prototypes(objective.projector(objective.backbone(*views[j]))) / 0.1
                losses.append(-(assigned * scores.log_softmax(dim=1)).sum(dim=1).mean())
    assert len(losses) == 6
    torch.testing.assert_close(objective(views)["cross_entropy"], torch.stack(losses).mean())


def test_dinos_teacher_has_prototypes_that_follow() -> None:
    objective = build(DINOConfig(name="dino", prototypes=16, momentum=MomentumConfig(start=0.5, end=0.5)))
    assert isinstance(objective, DINO)
    assert objective.teacher
    ours, theirs = objective.prototypes, objective.teacher.networks[2]
    assert isinstance(theirs, Prototypes)
    before = theirs.weight.clone()
    with torch.no_grad():
        ours.weight.add_(1)
    objective.after_step(0.5)
    torch.testing.assert_close(theirs.weight, before + 0.5)
    assert not theirs.weight.requires_grad


def test_dinos_centre_follows_the_teachers_scores_in_training_alone() -> None:
    objective = build(DINOConfig(name="dino", prototypes=16))
    assert isinstance(objective, DINO)
    views, _ = batch(2)
    objective.eval()(views)
    assert not objective.centre.any()
    objective.train()
    start = objective.centre.copy_(normal(16)).clone()
    with torch.no_grad():
        scores = torch.cat(objective.targets(views, []))  # the statistics of batch norms change nothing in training
    objective(views)
    torch.testing.assert_close(objective.centre, 0.9 * start + 0.1 * scores.mean(dim=0))


def test_dinos_teacher_temperature_rises_over_the_warm_up() -> None:
    objective = build(DINOConfig(name="dino", teacher_temperature=0.07, warmup=0.5))
    assert isinstance(objective, DINO)
    seen = [objective.teacher_temperature.item()]
    for progress in (0.25, 0.5, 1.0):
        objective.after_step(progress)
        seen.append(objective.teacher_temperature.item())
    assert seen == pytest.approx([0.04, 0.055, 0.07, 0.07])
    at_once = build(DINOConfig(name="dino", teacher_temperature=0.07, warmup=0.0))
    assert isinstance(at_once, DINO)
    assert at_once.teacher_temperature.item() == pytest.approx(0.07)


def test_centring_undoes_what_all_scores_have_in_common() -> None:
    scores = normal(64, 8) * 0.05
    dominated = scores + torch.tensor([1.0, *[0.0] * 7])
    temperature = torch.tensor(0.04)
    alone = sharpened(dominated, torch.zeros(8), temperature).mean(dim=0)
    centred = sharpened(dominated, dominated.mean(dim=0), temperature)
    assert alone[0] > 0.99
    torch.testing.assert_close(centred, sharpened(scores, scores.mean(dim=0), temperature))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prototypes", 1),
        ("student_temperature", 0.0),
        ("teacher_temperature_start", -1.0),
        ("teacher_temperature", 0.0),
        ("warmup", 1.1),
    ],
)
def test_dino_refuses_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} is {value};"):
        DINOConfig(**{"name": "dino", name: value})  # pyright: ignore[reportArgumentType] (of either type)
