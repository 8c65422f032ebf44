"""Optimisers and the learning rate."""

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from ssl_core.training import optimiser as optimisation
from ssl_core.training.lars import LARS
from ssl_core.training.optimiser import OptimiserConfig, rate, schedule

NAMES: tuple[Literal["adamw", "sgd", "lars"], ...] = ("adamw", "sgd", "lars")


def stepped(config: OptimiserConfig, value: float, steps: int = 3) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    inputs = torch.randn(steps, 16, 4)
    optimiser = optimisation.build(config, module)
    optimisation.set_rate(optimiser, value)
    for batch in inputs:
        optimiser.zero_grad()
        module(batch).square().mean().backward()
        optimiser.step()
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def test_lars_is_the_papers_algorithm() -> None:
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
    optimiser = LARS([{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "scaled": False}], lr=0.5)
    w, b, v, u = weight.detach().clone(), bias.detach().clone(), torch.zeros(3, 4), torch.zeros(3)
    for _ in range(3):
        gradients = torch.randn(3, 4), torch.randn(3)
        weight.grad, bias.grad = (gradient.clone() for gradient in gradients)
        optimiser.step()
        g, h = gradients
        local = 0.02 * w.norm() / (g.norm() + 0.1 * w.norm())
        v = 0.9 * v + 0.5 * local * (g + 0.1 * w)
        u = 0.9 * u + 0.5 * h
        w, b = w - v, b - u
    torch.testing.assert_close(weight.detach(), w)
    torch.testing.assert_close(bias.detach(), b)


def test_lars_moves_a_layer_by_its_size_whatever_the_scale_of_the_loss() -> None:
    moved = []
    for scale in (1.0, 1000.0):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(5, 5))
        before = weight.detach().clone()
        weight.grad = scale * torch.randn(5, 5)
        LARS([{"params": [weight]}], lr=1.0).step()
        moved.append((weight.detach() - before).norm())
    torch.testing.assert_close(moved[0], moved[1])


def test_lars_leaves_a_layer_without_gradient_in_peace_and_starts_from_zero_weights() -> None:
    still, zero = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.zeros(2, 2))
    zero.grad = torch.ones(2, 2)
    LARS([{"params": [still, zero]}], lr=0.1).step()
    assert torch.equal(still.detach(), torch.ones(2, 2))
    torch.testing.assert_close(zero.detach(), torch.full((2, 2), -0.1))


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_was_saved_goes_on_the_same(name: Literal["adamw", "sgd", "lars"]) -> None:
    def advance(module: nn.Module, optimiser: torch.optim.Optimizer, inputs: Tensor) -> None:
        for batch in inputs:
            optimiser.zero_grad()
            module(batch).square().mean().backward()
            optimiser.step()

    config = OptimiserConfig(name=name)
    torch.manual_seed(0)
    inputs = torch.randn(4, 8, 4)
    whole, halves = nn.Linear(4, 2), nn.Linear(4, 2)
    halves.load_state_dict(whole.state_dict())
    optimiser = optimisation.build(config, whole)
    optimisation.set_rate(optimiser, 0.1)
    advance(whole, optimiser, inputs)
    first, second = optimisation.build(config, halves), optimisation.build(config, halves)
    optimisation.set_rate(first, 0.1)
    advance(halves, first, inputs[:2])
    second.load_state_dict(first.state_dict())
    advance(halves, second, inputs[2:])
    assert torch.equal(whole.weight, halves.weight)


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_of_zero_moves_nothing_and_a_set_rate_moves_all(name: Literal["adamw", "sgd", "lars"]) -> None:
    config = OptimiserConfig(name=name)
    still, again, moved = stepped(config, 0.0), stepped(config, 0.0, steps=1), stepped(config, 0.1)
    assert all(torch.equal(still[key], again[key]) for key in still)
    assert not any(torch.equal(still[key], moved[key]) for key in still if key != "0.bias")


def test_vectors_are_not_decayed() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    decayed, spared = optimisation.build(OptimiserConfig(weight_decay=0.5), module).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)


def test_the_rate_scales_with_the_batch() -> None:
    config = OptimiserConfig(learning_rate=0.1, warmup=0.0)
    assert rate(config, 0, 10, 64) == pytest.approx(0.1 / 4)


def test_the_schedule_rises_then_falls_as_half_a_cosine() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 45 / 90)))
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001


@pytest.mark.parametrize("wrong", [{"warmup": 1.0}, {"learning_rate": 0.0}, {"weight_decay": -1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimiserConfig(**wrong)
