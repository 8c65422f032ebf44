"""The pretraining loop."""

import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_objective import EVERY, backbone_of
from torch import Tensor, nn

from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment, GaussianBlur, Recipe, View
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.collapse import CollapseThresholds
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.objectives.simclr import SimCLR, SimCLRConfig
from ssl_core.objectives.simsiam import SimSiamConfig
from ssl_core.objectives.supervised import SupervisedConfig
from ssl_core.training import optimiser as optimisation
from ssl_core.training import watch
from ssl_core.training.batches import Resident
from ssl_core.training.checkpoint import Checkpoints
from ssl_core.training.iteration import Acceleration, Iteration
from ssl_core.training.optimiser import AdamWConfig, LARSConfig, SGDConfig
from ssl_core.training.pretraining import Outcome, PretrainingConfig, pretrain

CPU = torch.device("cpu")
Values = list[tuple[int, float, dict[str, float]]]


class Shallow(nn.Module):
    """A backbone of one layer: each kernel of a compiled network is a call of the C++ compiler."""

    representation_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, images: Tensor, _: Tensor | None = None) -> Tensor:
        return self.layers(images).mean(dim=(2, 3))


def run(
    seed: int = 0,
    config: Any = SimCLRConfig(name="simclr"),  # noqa: B008 (frozen)
    checkpoints: Checkpoints | None = None,
    acceleration: Acceleration | None = None,
    device: torch.device = CPU,
    backbone: BackboneConfig | nn.Module | None = None,
    recipes: Sequence[Recipe] | None = None,
    **settings: Any,
) -> tuple[Objective, Values, Outcome]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network: Any = backbone if isinstance(backbone, nn.Module) else backbones.build(backbone or backbone_of(config), 16)
    objective = objectives.build(config, network, 16, 2)
    objective.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's stub)
    pixels = np.random.default_rng(1).integers(256, size=(64, 16, 16, 3), dtype=np.uint8)
    labels = torch.arange(64, device=device) % 2 if objective.needs_labels else None
    chosen: dict[str, Any] = {"epochs": 2, "batch_size": 16, "record_every": 3} | settings
    kinds = recipes or [Recipe(views=objective.views, blur=None)]
    augment = Augment(kinds, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    values: Values = []
    outcome = pretrain(
        objective, Resident([pixels], device), labels, augment, PretrainingConfig(**chosen), seed,
        lambda *row: values.append(row), checkpoints, acceleration,
    )  # fmt: skip
    return objective, values, outcome


def weights(objective: Objective) -> Tensor:
    return torch.cat([p.detach().flatten() for p in objective.parameters()])


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    first, values, seen = run()
    second, again, _ = run()
    other, *_ = run(seed=1)
    assert torch.equal(weights(first), weights(second))
    assert values == again
    assert not torch.equal(weights(first), weights(other))
    assert seen.steps == 8


def test_a_predictor_with_a_constant_rate_moves_on_when_the_rest_hardly_does() -> None:
    """Half a cosine is 1/2 on average, and Adam moves by the rate."""
    moved = {}
    for constant in (False, True):
        config = SimSiamConfig(name="simsiam", constant_predictor_rate=constant)
        optimiser = AdamWConfig(learning_rate=0.032, warmup=0.0, betas=(0.0, 0.999), weight_decay=0.0)
        objective, *_ = run(config=config, optimiser=optimiser)
        objective_before, *_ = run(config=config, epochs=0)
        distance = [
            (p.detach() - q.detach()).abs().max()
            for (name, p), q in zip(objective.named_parameters(), objective_before.parameters(), strict=True)
            if name.startswith("predictor")
        ]
        moved[constant] = float(torch.stack(distance).max())
    assert moved[True] > 1.5 * moved[False]


def test_records_terms_and_diagnostics_at_the_steps_asked_for_and_the_last() -> None:
    _, values, _ = run()
    assert [step for step, *_ in values] == [0, 3, 6, 7]
    assert values[-1][1] == pytest.approx(2.0)
    assert set(values[0][2]) == {"nt_xent", "loss", "learning_rate", "embedding_std", "rankme"}


def test_the_same_images_are_watched_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Tensor] = []

    def seen(objective: Objective, images: Tensor, augment: Augment) -> dict[str, float]:
        looked_at.append(images)
        return diagnostics(objective, images, augment)

    diagnostics = watch.diagnostics
    monkeypatch.setattr(watch, "diagnostics", seen)
    monkeypatch.setattr(watch, "WATCHED", 40)
    run(batch_size=16)
    run(batch_size=64, epochs=4)
    assert [len(images) for images in looked_at] == [40] * 6
    assert all(torch.equal(images, looked_at[0]) for images in looked_at)
    run(seed=1, batch_size=64)
    assert not torch.equal(looked_at[-1], looked_at[0])


def test_no_epochs_leave_the_weights_alone() -> None:
    untouched, values, seen = run(epochs=0)
    torch.manual_seed(0)
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
    assert torch.equal(torch.cat([p.flatten() for p in untouched.encoder.parameters()]), weights_of(backbone))
    assert values == []
    assert seen.steps == 0


def weights_of(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(Refused, match="batch_size is 65; there are only 64 images"):
        run(batch_size=65)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step() -> None:
    class Broken(Objective):
        family, views = "broken", 2

        def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
            return {"term": self.encoder(*views[0]).sum() * math.inf}

    images = Resident([np.zeros((8, 16, 16, 3), dtype=np.uint8)], CPU)
    broken = Broken(backbones.build(ResNetConfig(name="resnet10", width=8), 16))
    augment = Augment([Recipe(blur=None)], (0.5,) * 3, (0.25,) * 3)
    config = PretrainingConfig(epochs=1, batch_size=4)
    with pytest.raises(Refused, match=r"'term' is -?(inf|nan) at step 0"):
        pretrain(broken, images, None, augment, config, 0, lambda *_: None)


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"epochs": 1, "batch_size": 1}, {"epochs": 1, "accumulate": 3}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        PretrainingConfig(**wrong)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_give_the_step_of_the_whole(accumulate: int) -> None:
    """With no batch norm, no images compared and nothing drawn, a batch's gradient is the mean of its parts'."""

    def stepped(parts: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        backbone = backbones.build(ViTConfig(name="vit", width=24, depth=2, heads=2), 16)
        objective = objectives.build(SupervisedConfig(name="supervised"), backbone, 16, 2)
        optimiser = optimisation.build(SGDConfig(learning_rate=0.1), objective)
        optimisation.set_rate(optimiser, 0.1)
        nothing = Recipe(views=1, crop=None, flip=0, jitter=None, greyscale=0, blur=None)
        augment = Augment([nothing], (0.5,) * 3, (0.25,) * 3)
        exact = Acceleration(precision=torch.float32)
        iteration = Iteration(objective, augment, optimiser, torch.Generator(), parts, exact)
        images = torch.randint(256, (16, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return iteration(images, torch.arange(16) % 2)["cross_entropy"], weights(objective)

    for whole, in_parts in zip(stepped(1), stepped(accumulate), strict=True):
        torch.testing.assert_close(whole, in_parts)


def test_a_collapse_ends_the_run_and_says_why() -> None:
    thresholds = CollapseThresholds(embedding_std=10.0, rankme=500.0)  # which every representation is below
    _, values, outcome = run(collapse=thresholds, epochs=4, record_every=1)
    assert outcome.steps == len(values) == 2 + 5  # after the warm-up of 1.6 steps, the fifth record in a row
    assert outcome.stopped
    assert "collapsed at step 2: the embedding standard deviation is" in outcome.stopped
    assert "below 10 and the effective rank (RankMe) is" in outcome.stopped


def test_a_healthy_run_goes_on_to_its_end() -> None:
    _, _, outcome = run(epochs=4, record_every=1)
    assert outcome == Outcome(steps=16)


class Poisoned(SimCLR):
    """Once, the loss or (where it is finite) its gradient is not."""

    calls = 0

    def __init__(self, poison: Callable[[Tensor], Tensor]) -> None:
        torch.manual_seed(0)
        backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
        super().__init__(SimCLRConfig(name="simclr"), backbone, 16, 0)
        self.poison = poison

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        self.calls += 1
        (loss,) = super().forward(views).values()
        return {"nt_xent": self.poison(loss) if self.calls == 2 else loss.detach() + 0 * loss}


@pytest.mark.parametrize(
    ("poison", "said"),
    [
        (lambda loss: loss.detach() * math.inf + 0 * loss, "a loss was not finite before step 2"),
        (lambda loss: 0 * (loss - loss.detach()).sqrt(), "a weight was not finite before step 2"),
    ],
    ids=["loss", "gradient"],
)
def test_what_is_not_finite_between_two_records_is_noticed_and_never_kept(
    poison: Callable[[Tensor], Tensor], said: str, tmp_path: Path
) -> None:
    images = Resident([np.random.default_rng(0).integers(256, size=(64, 16, 16, 3), dtype=np.uint8)], CPU)
    augment = Augment([Recipe(blur=None)], (0.5,) * 3, (0.25,) * 3)
    config = PretrainingConfig(epochs=1, batch_size=16, record_every=100)
    checkpoints = Checkpoints(tmp_path, {}, every_seconds=0)
    with pytest.raises(Refused, match=said):
        pretrain(Poisoned(poison), images, None, augment, config, 0, lambda *_: None, checkpoints)
    state = checkpoints.load()
    assert state
    assert state["step"] == 1
    assert all(tensor.isfinite().all() for tensor in state["objective"].values())


def test_less_than_a_step_is_refused() -> None:
    with pytest.raises(Refused, match=r"epochs is 0\.1, which is not one step: an epoch of 64 images has 4"):
        run(epochs=0.1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_iterations_have_the_same_losses() -> None:
    """Of an objective that compares views and draws."""
    losses = []
    for compiled in (False, True):
        acceleration = Acceleration(precision=torch.float32, compiled=compiled)
        torch.manual_seed(1)
        _, values, _ = run(
            config=EVERY["lejepa"], acceleration=acceleration, backbone=Shallow(), record_every=1, epochs=1
        )
        losses.append([row[2]["loss"] for row in values])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_an_iteration_reads_nothing_back_to_the_host() -> None:
    gpu = torch.device("cuda")
    objective = objectives.build(
        SimCLRConfig(name="simclr"), backbones.build(ResNetConfig(name="resnet10", width=8), 16), 16, 0
    ).to(gpu)
    config = LARSConfig(learning_rate=0.1, clip=True, clip_norm=1.0, final_weight_decay=0.1)
    optimiser = optimisation.build(config, objective)
    augment = Augment([Recipe(blur=GaussianBlur(), solarise=0.2)], (0.5,) * 3, (0.25,) * 3)
    iteration = Iteration(objective, augment, optimiser, torch.Generator(gpu))
    images = torch.zeros(16, 3, 16, 16, dtype=torch.uint8, device=gpu)
    iteration(images)
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # that the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        optimisation.follow(optimiser, config, 1, 2, 256)
        iteration(images)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("acceleration", [{"captured": True}, {"compiled": True}, {"compiled": True, "captured": True}])
@pytest.mark.parametrize("backbone", [ResNetConfig(name="resnet10", width=8), ViTConfig(name="vit", width=24, heads=2)])
def test_accelerated_iterations_have_the_same_losses_on_a_gpu(
    acceleration: dict[str, bool], backbone: BackboneConfig
) -> None:
    gpu = torch.device("cuda")
    chosen: Any = {"device": gpu, "backbone": backbone, "record_every": 1}
    eager = run(acceleration=Acceleration(precision=torch.float32), **chosen)[1]
    faster = run(acceleration=Acceleration(precision=torch.float32, **acceleration), **chosen)[1]
    assert [row[2]["loss"] for row in eager] == pytest.approx([row[2]["loss"] for row in faster], rel=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_every_objective_can_be_captured_as_a_cuda_graph(config: Any) -> None:
    chosen: Any = {"device": torch.device("cuda"), "config": config, "record_every": 1}
    eager, values, _ = run(acceleration=Acceleration(precision=torch.float32), **chosen)
    captured, again, _ = run(acceleration=Acceleration(precision=torch.float32, captured=True), **chosen)
    assert [row[2]["loss"] for row in values] == pytest.approx([row[2]["loss"] for row in again], rel=1e-2, abs=1e-2)
    for ours, theirs in zip(captured.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)
