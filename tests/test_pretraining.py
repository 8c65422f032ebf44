"""The pretraining loop and its schedule."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_core import backbones, objectives
from ssl_core.augmentation import Augment, Recipe
from ssl_core.backbones import ResNetConfig
from ssl_core.errors import Refused
from ssl_core.objectives import Objective
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.training import optimiser as optimisation
from ssl_core.training.optimiser import OptimiserConfig, schedule
from ssl_core.training.pretraining import PretrainingConfig, batches, pretrain

Values = list[tuple[int, float, dict[str, float]]]


def run(seed: int = 0, **settings: Any) -> tuple[Objective, Values, int]:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
    objective = objectives.build(SimCLRConfig(name="simclr"), backbone, 16, 0)
    pixels = torch.randint(256, (64, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    chosen: dict[str, Any] = {"epochs": 2, "batch_size": 16, "record_every": 3} | settings
    config = PretrainingConfig(**chosen)
    augment = Augment([Recipe(blur=None)], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    values: Values = []
    seen = pretrain(
        objective, pixels.permute(0, 3, 1, 2), None, augment, config, seed, lambda *record: values.append(record)
    )
    return objective, values, seen


def weights(objective: Objective) -> Tensor:
    return torch.cat([p.detach().flatten() for p in objective.parameters()])


def test_the_same_seed_gives_the_same_weights_bit_for_bit() -> None:
    first, values, seen = run()
    second, again, _ = run()
    other, *_ = run(seed=1)
    assert torch.equal(weights(first), weights(second))
    assert values == again
    assert not torch.equal(weights(first), weights(other))
    assert seen == 2 * 64


def test_records_terms_and_diagnostics_at_the_steps_asked_for_and_the_last() -> None:
    _, values, _ = run()
    assert [step for step, *_ in values] == [0, 3, 6, 7]
    assert values[-1][1] == pytest.approx(2.0)
    assert set(values[0][2]) == {"nt_xent", "loss", "learning_rate", "embedding_std"}


def test_no_epochs_leave_the_weights_alone() -> None:
    untouched, values, seen = run(epochs=0)
    torch.manual_seed(0)
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
    assert torch.equal(torch.cat([p.flatten() for p in untouched.encoder.parameters()]), weights_of(backbone))
    assert values == []
    assert seen == 0


def weights_of(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_every_image_comes_once_an_epoch_in_a_new_order() -> None:
    drawn = list(batches(count=10, batch_size=5, steps=4, seed=0))
    assert [len(index) for index in drawn] == [5, 5, 5, 5]
    assert Counter(torch.cat(drawn).tolist()) == dict.fromkeys(range(10), 2)
    assert not torch.equal(torch.cat(drawn[:2]), torch.cat(drawn[2:]))


def test_the_schedule_rises_then_falls_as_half_a_cosine() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 45 / 90)))
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001


def test_vectors_are_not_decayed_and_the_rate_scales_with_the_batch() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    decayed, spared = optimisation.build(OptimiserConfig(learning_rate=0.1, weight_decay=0.5), module, 64).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    assert decayed["lr"] == pytest.approx(0.1 / 4)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(Refused, match="batch_size is 65; there are only 64 images"):
        run(batch_size=65)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step() -> None:
    class Broken(Objective):
        family, views = "broken", 2

        def forward(self, views: list[Tensor], labels: Tensor | None = None) -> dict[str, Tensor]:
            return {"term": self.encoder(views[0]).sum() * math.inf}

    pixels = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
    broken = Broken(backbones.build(ResNetConfig(name="resnet10", width=8), 16))
    augment = Augment([Recipe(blur=None)], (0.5,) * 3, (0.25,) * 3)
    with pytest.raises(Refused, match=r"'term' is -?(inf|nan) at step 0"):
        pretrain(broken, pixels, None, augment, PretrainingConfig(epochs=1, batch_size=4), 0, lambda *_: None)


@pytest.mark.parametrize("wrong", [{"epochs": -1}, {"epochs": 1, "batch_size": 1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        PretrainingConfig(**wrong)
    with pytest.raises(ValueError, match="warmup"):
        OptimiserConfig(warmup=1.0)
