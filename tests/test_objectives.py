"""Every objective against the contract of the loop; its formula and properties are tested with its family."""

import math
import typing
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_objective import CLASSES, EVERY, SIZE, batch, build, halve_student
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import BackboneConfig, ResNetConfig, TimmConfig, ViTConfig
from ssl_core.backbones.tokens import take
from ssl_core.heads import MomentumConfig, Teacher
from ssl_core.objectives import OBJECTIVES, Objective
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.moco_v2 import MoCoV2Config
from ssl_core.objectives.nnclr import NNCLR
from ssl_core.objectives.off_the_shelf import OffTheShelfConfig
from ssl_core.objectives.random import Random, RandomConfig


def teacher_of(objective: Objective) -> Teacher | None:
    return getattr(objective, "teacher", None)


def loss(objective: Objective, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    terms = objective(*batch(objective.views))
    return torch.stack(list(terms.values())).sum()


KIND: dict[Any, type[Objective]] = dict(OBJECTIVES)
every = pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
TAUGHT = {name: config for name, config in EVERY.items() if getattr(config, "momentum", None)}


def those(said: Callable[[type[Objective]], bool]) -> pytest.MarkDecorator:
    """The configurations of whose objectives something is said."""
    found = {name: config for name, config in EVERY.items() if said(KIND[type(config)])}
    return pytest.mark.parametrize("config", found.values(), ids=found)


def test_every_objective_is_tested() -> None:
    assert {type(config) for config in EVERY.values()} == {
        kind for kind, objective in OBJECTIVES.items() if objective.trained
    }


def test_every_objective_has_a_family_and_a_name_of_its_own() -> None:
    names = [typing.get_args(typing.get_type_hints(kind)["name"]) for kind in OBJECTIVES]
    assert all(len(name) == 1 for name in names)
    assert len(set(names)) == len(names)
    families = {objective.family.split(",")[0] for objective in OBJECTIVES.values()}
    assert families <= {"baseline", "generative", "pretext", "joint-embedding"}


@every
def test_terms_are_finite_float32_scalars_even_under_bfloat16(config: Any) -> None:
    objective = build(config)
    with torch.autocast("cpu", torch.bfloat16):
        terms = objective([view.to(torch.bfloat16) for view in batch(objective.views)[0]], batch(1)[1])
    assert terms
    for term in terms.values():
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()


@pytest.mark.thorough
@every
def test_an_objective_is_compiled_as_one_graph(config: Any) -> None:
    """Where Python must run between two, each is called by itself, and a piece may be compiled anew at every step."""
    torch.compiler.reset()
    objective = build(config)
    views, labels = batch(objective.views)
    with torch.autocast("cpu", torch.bfloat16):
        graph = torch.compile(objective, backend="eager", fullgraph=True)
        for _ in range(2):
            assert torch.stack(list(graph(views, labels if objective.needs_labels else None).values())).isfinite().all()


@every
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_gradients_reach_every_parameter_of_the_encoder_and_none_of_the_teacher(config: Any, half: bool) -> None:
    objective = build(config)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss(objective).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.encoder.parameters())
    # A bias before a batch norm has the gradient 0.
    assert all(p.grad is not None for p in objective.parameters() if p.requires_grad)
    if teacher := teacher_of(objective):
        assert all(p.grad is None for p in teacher.parameters())


def test_what_objectives_take_and_need() -> None:
    def named(said: Callable[[type[Objective]], bool]) -> set[str]:
        untrained = [RandomConfig(name="random"), OffTheShelfConfig(name="off_the_shelf")]
        return {config.name for config in [*EVERY.values(), *untrained] if said(KIND[type(config)])}

    assert named(lambda kind: kind.needs_tokens) == {"mae", "simmim", "msn", "i_jepa", "ibot"}
    assert named(lambda kind: kind.needs_labels) == {"supervised", "supcon"}
    assert named(lambda kind: kind.needs_colours) == {"colourisation"}
    assert named(lambda kind: not kind.trained) == {"random", "off_the_shelf"}
    assert named(lambda kind: kind.weights == "none") == {"random"}
    assert named(lambda kind: kind.weights == "given") == {"off_the_shelf"}
    compared = named(lambda kind: issubclass(kind, JointEmbedding))
    assert named(lambda kind: kind.more_views) == compared
    assert named(lambda kind: kind.views == 2) == compared
    whole = compared - {"msn", "ibot"}
    assert named(lambda kind: kind.masked_views) == whole | {"supervised", "random", "off_the_shelf"}


@every
def test_what_is_kept_is_what_a_pretraining_is_evaluated_by(config: Any) -> None:
    objective = build(config)
    switches = {"projector": "projector", "momentum": "teacher"}
    expected = [name for switch, name in switches.items() if getattr(config, switch, None)]
    assert list(KIND[type(config)].representations(config)) == ["backbone", *expected]
    kept = objective.kept()
    assert list(kept) == ["backbone", *expected]
    assert kept["backbone"] is objective.encoder
    optimiser = torch.optim.SGD([p for p in objective.parameters() if p.requires_grad], lr=0.1)
    loss(objective).backward()
    optimiser.step()
    objective.after_step(0.5)
    objective.eval()
    images = batch(1, count=4)[0][0].images
    h = objective.encoder(images)
    assert h.shape == (4, objective.encoder.representation_size)
    if "projector" in kept:
        assert isinstance(objective, JointEmbedding)
        assert kept["projector"] is objective.projector
        assert kept["projector"](h).shape == (4, config.projector.output)
    if "teacher" in kept:
        assert kept["teacher"] is objective.get_submodule("teacher.networks.0")
        taught = kept["teacher"](images)
        assert taught.shape == h.shape
        assert not torch.equal(taught, h)


def test_of_the_untrained_baseline_the_backbone_is_kept() -> None:
    config = RandomConfig(name="random")
    objective = build(config)
    assert Random.representations(config) == tuple(objective.kept()) == ("backbone",)
    assert objective.kept()["backbone"] is objective.backbone


def test_the_momentum_rises_along_half_a_cosine() -> None:
    momentum = MomentumConfig(start=0.9, end=1.0)
    assert [momentum.at(share) for share in (0, 1 / 3, 1 / 2, 1)] == pytest.approx([0.9, 0.925, 0.95, 1.0])


@pytest.mark.parametrize("config", TAUGHT.values(), ids=TAUGHT)
def test_a_teacher_begins_as_its_student_and_follows_it_in_every_network(config: Any) -> None:
    objective = build(config)
    teacher = teacher_of(objective)
    assert teacher
    networks = objective.networks() if isinstance(objective, JointEmbedding) else (objective.backbone,)
    students = [p for network in networks for p in network.parameters()]
    before = [p.detach().clone() for p in students]
    for ours, theirs in zip(teacher.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)
    with torch.no_grad():
        for p in students:
            p.add_(1)
    objective.after_step(1 / 3)
    for ours, first in zip(teacher.parameters(), before, strict=True):
        torch.testing.assert_close(ours - first, torch.full_like(first, 1 - config.momentum.at(1 / 3)))


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["nnclr", "nnclr, momentum encoder", "deepcluster_v2", "deepcluster_v2, no momentum encoder"]
)
def test_what_is_kept_of_a_batch_are_the_targets_of_view_1(name: str) -> None:
    objective, views = build(EVERY[name]), batch(2)[0]
    assert isinstance(objective, NNCLR | DeepClusterV2)
    halve_student(objective)
    z = objective.embed(views)
    first, second = (F.normalize(each, dim=1) for each in objective.targets(views, z))
    objective(views)
    assert not torch.allclose(first, second)
    assert torch.allclose(first, F.normalize(z[0], dim=1)) == (name not in TAUGHT)
    kept = objective.queue if isinstance(objective, NNCLR) else objective.memory
    torch.testing.assert_close(kept()[: len(first)], first)


@every
def test_same_seed_gives_the_same_loss_and_state_makes_a_round_trip(config: Any) -> None:
    first, second = build(config, seed=0), build(config, seed=1)
    assert loss(first) != loss(second)
    second.load_state_dict(first.state_dict())
    assert loss(first) == loss(second)


def fallen(losses: list[float]) -> bool:
    """Whether the last five are lower than the first five by a tenth."""
    before, after = sum(losses[:5]), sum(losses[-5:])
    return after < before - 0.1 * abs(before)


@every
def test_the_loss_falls_on_a_toy_set_and_the_representation_does_not_collapse(config: Any) -> None:
    objective = build(config)
    # MoCo's loss rises while its queue fills, the more the faster its weights move.
    rate = 2e-3 if isinstance(config, MoCoV2Config) else 4e-3
    optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=rate)
    values: list[float] = []
    # Half the steps are enough for most; not for MoCo, nor for SimMIM's squares.
    while len(values) < 20 or (len(values) < 40 and not fallen(values)):
        optimiser.zero_grad()
        value = loss(objective)
        value.backward()
        optimiser.step()
        values.append(value.item())
        objective.after_step(len(values) / 40)
    assert fallen(values)
    h = F.normalize(objective.encoder(*batch(1)[0][0]), dim=1)
    assert h.std(dim=0).mean() * math.sqrt(h.shape[1]) > 0.1


@every
def test_only_those_that_need_labels_use_them(config: Any) -> None:
    objective = build(config)
    views, labels = batch(objective.views)
    objective.eval()

    def value(given: Tensor) -> Tensor:
        torch.manual_seed(0)
        return torch.stack(list(objective(views, given).values())).sum()

    same = torch.equal(value(labels), value(labels.sort().values))
    assert same == (not objective.needs_labels)


@those(lambda kind: kind.more_views)
def test_more_and_smaller_views_are_taken_where_it_is_announced(config: Any) -> None:
    objective = build(config)
    views, labels = batch(objective.views + 3)
    local = [View(F.interpolate(view.images, SIZE // 2)) for view in views[objective.views :]]

    def value(given: list[View]) -> Tensor:
        torch.manual_seed(0)
        return torch.stack(list(objective.eval()(given, labels).values())).sum()

    two = value(views[: objective.views])
    for more in ([*views[: objective.views], *local], views[: objective.views + 1]):
        assert value(more).isfinite()
        assert value(more) != two


@those(lambda kind: kind.masked_views)
def test_a_transformer_leaves_out_what_views_hide(config: Any) -> None:
    objective = build(config, backbone=ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2))
    views, labels = batch(objective.views)
    places = torch.rand(len(labels), 16, generator=torch.Generator().manual_seed(2)).argsort(dim=1)[:, :4]
    objective.eval()

    def value(images: list[Tensor]) -> Tensor:
        torch.manual_seed(0)
        return torch.stack(list(objective([View(each, places) for each in images], labels).values())).sum()

    hidden = torch.ones(len(labels), 16).scatter_(1, places, 0).view(-1, 1, 4, 4).bool()
    hidden = hidden.repeat_interleave(4, 2).repeat_interleave(4, 3)
    images = [view.images for view in views]
    expected = value(images)
    torch.testing.assert_close(value([torch.where(hidden, 7.0, each) for each in images]), expected)
    assert value([torch.where(hidden, each, 7.0) for each in images]) != expected


class Learnt(nn.Module):
    """A backbone of another kind that has tokens: their positions are learnt."""

    patch, representation_size = 4, 12

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mix = nn.Conv2d(3, 12, 4, stride=4), nn.Linear(12, 12)
        self.codes = nn.Parameter(torch.randn(16, 12))

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        tokens = self.embed(images)
        return self.encode(tokens if visible is None else take(tokens, visible)).mean(dim=1)

    def embed(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).transpose(1, 2) + self.positions(4, 4)

    def encode(self, tokens: Tensor) -> Tensor:
        return self.mix(tokens + tokens.mean(dim=1, keepdim=True))

    def encode_and_pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.encode(tokens)
        return encoded.mean(dim=1), encoded

    def positions(self, rows: int, columns: int) -> Tensor:
        assert rows * columns == len(self.codes)
        return self.codes


@those(lambda kind: kind.needs_tokens)
def test_any_backbone_with_tokens_will_do(config: Any) -> None:
    torch.manual_seed(0)
    made: Any = KIND[type(config)]
    objective: Objective = made(config, Learnt(), SIZE, CLASSES)
    value = loss(objective)
    assert value.isfinite()
    value.backward()
    assert all(p.grad is not None and p.grad.any() for p in objective.backbone.parameters())


@those(lambda kind: kind.needs_tokens)
@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        (ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2, class_token=True, registers=2), SIZE),
        (TimmConfig(name="timm", model="test_vit2", input_size=64), 64),
    ],
    ids=["ours", "timm's"],
)
def test_class_tokens_and_registers_go_along(config: Any, backbone: BackboneConfig, size: int) -> None:
    KIND[type(config)].check(config, backbone, size, 32)
    objective = build(config, size=size, backbone=backbone)
    views, labels = batch(objective.views, count=8, size=size)
    terms = objective(views, labels)
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is not None and p.grad.any() for p in objective.encoder.parameters())


@those(lambda kind: kind.needs_tokens)
def test_a_backbone_without_tokens_is_refused_where_they_are_needed(config: Any) -> None:
    with pytest.raises(ValueError, match=f"the objective {config.name} drops .* resnet10 does not have; take backbone"):
        KIND[type(config)].check(config, ResNetConfig(name="resnet10"), SIZE, 32)


@every
def test_pictures_are_grids_of_images(config: Any) -> None:
    objective = build(config)
    views, _ = batch(objective.views, count=4)
    for grid in objective.eval().pictures(views).values():
        assert grid.shape[1:] == (4, *views[0].images.shape[1:])
        assert grid.isfinite().all()
