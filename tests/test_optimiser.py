"""Optimisers, and what is set before each of their steps."""

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_core.training import optimiser as optimisation
from ssl_core.training.lars import LARS
from ssl_core.training.optimiser import AdamWConfig, LARSConfig, OptimiserConfig, SGDConfig
from ssl_core.training.schedule import rate, schedule, weight_decay

KINDS: dict[str, OptimiserConfig] = {
    "adamw": AdamWConfig(),
    "sgd": SGDConfig(learning_rate=0.1),
    "lars": LARSConfig(learning_rate=0.1),
}
SCHEDULED: dict[str, OptimiserConfig] = {
    "adamw": AdamWConfig(weight_decay=0.1, final_weight_decay=0.4, clip_norm=0.5, betas=(0.8, 0.9)),
    "sgd": SGDConfig(learning_rate=0.1, weight_decay=0.1, final_weight_decay=0.4, clip_norm=0.5),
    "lars": LARSConfig(learning_rate=0.1, weight_decay=0.1, final_weight_decay=0.4, clip_norm=0.5, clip=True),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))


def inputs(steps: int) -> Tensor:
    return torch.randn(steps, 16, 4, generator=torch.Generator().manual_seed(1))


def backward(module: nn.Module, batch: Tensor) -> None:
    module.zero_grad()
    module(batch).square().mean().backward()


def stepped(config: OptimiserConfig, value: float, steps: int = 3) -> dict[str, Tensor]:
    module = network()
    optimiser = optimisation.build(config, module)
    optimisation.set_rate(optimiser, value)
    for batch in inputs(steps):
        backward(module, batch)
        optimiser.step()
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def followed(config: OptimiserConfig, steps: int = 5, batch_size: int = 512) -> nn.Module:
    module = network()
    optimiser = optimisation.build(config, module)
    for step, batch in enumerate(inputs(steps)):
        optimisation.follow(optimiser, config, step, steps, batch_size)
        backward(module, batch)
        optimiser.step()
    return module


def groups_of(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


Peer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
PEERS: dict[str, Peer] = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=torch.zeros(()), fused=True),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=torch.zeros(()), momentum=0.9, fused=True),
    "lars": lambda groups: LARS([groups[0], groups[1] | {"scaled": False}], torch.zeros(())),
}


@every_kind
def test_defaults_step_bit_for_bit_as_the_plain_optimiser_under_the_plain_schedule(name: str) -> None:
    config, module, steps = KINDS[name], network(), 12
    peer = PEERS[name](groups_of(module, 1e-4))
    for step, batch in enumerate(inputs(steps)):
        rise = max(1, round(0.1 * steps))
        factor = (step + 1) / rise if step < rise else 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
        for group in peer.param_groups:
            group["lr"] = torch.tensor(config.learning_rate * 512 / 256 * factor)
        backward(module, batch)
        peer.step()
    for ours, theirs in zip(followed(config, steps).parameters(), module.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def by_formula(factor: Callable[[Tensor, Tensor], Tensor], outside: bool) -> tuple[Tensor, Tensor]:
    """Three steps of a weight and a bias, rate 0.5, weight decay 0.1, momentum 0.9; the rate in or outside v."""
    torch.manual_seed(0)
    w, b, r = torch.randn(3, 4), torch.randn(3), 0.5
    v, u = torch.zeros(3, 4), torch.zeros(3)
    for _ in range(3):
        g, h = torch.randn(3, 4), torch.randn(3)
        inside = 1 if outside else r
        v, u = 0.9 * v + inside * factor(w, g) * (g + 0.1 * w), 0.9 * u + inside * h
        w, b = w - (r if outside else 1) * v, b - (r if outside else 1) * u
    return w, b


def by_lars(**settings: Any) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
    groups = [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "scaled": False}]
    optimiser = LARS(groups, lr=0.5, **settings)
    for _ in range(3):
        weight.grad, bias.grad = torch.randn(3, 4), torch.randn(3)
        optimiser.step()
    return weight.detach(), bias.detach()


def papers(eta: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda w, g: eta * w.norm() / (g.norm() + 0.1 * w.norm())


def test_lars_is_the_papers_algorithm() -> None:
    torch.testing.assert_close(by_lars(), by_formula(papers(0.02), outside=False))


@pytest.mark.parametrize("eta", [0.02, 5.0], ids=["under the clip", "over the clip"])
def test_lars_with_clip_is_solo_learns(eta: float) -> None:
    """min(local / r, 1) times the gradient, r outside of the velocity; 1e-8 in the denominator."""
    expected = by_formula(lambda w, g: (papers(eta)(w, g) / 0.5).clamp(max=1), outside=True)
    torch.testing.assert_close(by_lars(eta=eta, clip=True), expected)
    assert (by_lars(eta=eta)[0] - expected[0]).norm() > 1e-3


def test_lars_with_a_small_eta_is_that_of_vicreg_and_barlow_twins_but_for_a_denominator() -> None:
    """Theirs is |g + b w|: with b at 0.1, large beside their 1e-6, the steps still differ by a few percent alone."""

    def authors(w: Tensor, g: Tensor) -> Tensor:
        return 0.001 * w.norm() / (g + 0.1 * w).norm()

    start = by_formula(lambda w, g: torch.zeros(()), outside=True)[0]
    ours, theirs = by_lars(eta=0.001), by_formula(authors, outside=True)
    assert (ours[0] - theirs[0]).norm() < 0.15 * (theirs[0] - start).norm()
    torch.testing.assert_close(ours[1], theirs[1])


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


@pytest.mark.parametrize("clip", [False, True])
def test_lars_leaves_a_layer_without_gradient_in_peace_and_starts_from_zero_weights(clip: bool) -> None:
    still, zero = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.zeros(2, 2))
    zero.grad = torch.ones(2, 2)
    LARS([{"params": [still, zero]}], lr=0.1, clip=clip).step()
    assert torch.equal(still.detach(), torch.ones(2, 2))
    torch.testing.assert_close(zero.detach(), torch.full((2, 2), -0.1))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_weight_decay_that_changes_is_what_pytorchs_own_would_do_with_each_value(name: str) -> None:
    config, module, steps = SCHEDULED[name], network(), 5
    assert isinstance(config, AdamWConfig | SGDConfig)
    if isinstance(config, AdamWConfig):
        peer: torch.optim.Optimizer = torch.optim.AdamW(groups_of(module, 0.0), betas=(0.8, 0.9))
    else:
        peer = torch.optim.SGD(groups_of(module, 0.0), momentum=0.9)
    for step, batch in enumerate(inputs(steps)):
        for group in peer.param_groups:
            group["lr"] = rate(config, step, steps, 512)
        peer.param_groups[0]["weight_decay"] = 0.4 - 0.3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        backward(module, batch)
        nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        peer.step()
    for ours, theirs in zip(followed(config, steps).parameters(), module.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_weight_decay_that_changes_reaches_lars() -> None:
    """From b to b it is the constant one."""
    constant = LARSConfig(learning_rate=1.0, weight_decay=0.3)
    changing = LARSConfig(learning_rate=1.0, weight_decay=0.3, final_weight_decay=0.3)
    rising = LARSConfig(learning_rate=1.0, weight_decay=0.3, final_weight_decay=3.0)
    a, b, c = (nn.utils.parameters_to_vector(followed(one).parameters()) for one in (constant, changing, rising))
    torch.testing.assert_close(a, b)
    assert (a - c).norm() > 1e-3


@every_kind
def test_gradients_are_clipped_by_the_norm_of_all_of_them(name: str) -> None:
    module = network()
    optimiser = optimisation.build(SCHEDULED[name], module)
    backward(module, inputs(1)[0])
    before = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in before]).norm()
    assert norm > 0.5
    optimisation.set_rate(optimiser, 0.0)  # and the decay is 0 until it is set
    optimiser.step()
    after = [p.grad for p in module.parameters() if p.grad is not None]
    for ours, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(ours, theirs * 0.5 / norm, rtol=1e-4, atol=1e-6)


@every_kind
@pytest.mark.parametrize("kinds", [KINDS, SCHEDULED], ids=["defaults", "all that there is"])
def test_a_state_that_was_saved_goes_on_the_same(name: str, kinds: dict[str, OptimiserConfig]) -> None:
    config = kinds[name]

    def advance(module: nn.Module, optimiser: torch.optim.Optimizer, first: int, last: int) -> None:
        for step, batch in list(enumerate(inputs(4)))[first:last]:
            optimisation.follow(optimiser, config, step, 4, 256)
            backward(module, batch)
            optimiser.step()

    whole = network()
    halves = copy.deepcopy(whole)
    advance(whole, optimisation.build(config, whole, whole[2].parameters()), 0, 4)
    first = optimisation.build(config, halves, halves[2].parameters())
    second = optimisation.build(config, halves, halves[2].parameters())
    advance(halves, first, 0, 2)
    written = io.BytesIO()
    torch.save(first.state_dict(), written)
    written.seek(0)
    second.load_state_dict(torch.load(written, weights_only=True))
    advance(halves, second, 2, 4)
    for ours, theirs in zip(halves.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@every_kind
def test_a_rate_of_zero_moves_nothing_and_a_set_rate_moves_all(name: str) -> None:
    config = KINDS[name]
    still, again, moved = stepped(config, 0.0), stepped(config, 0.0, steps=1), stepped(config, 0.1)
    assert all(torch.equal(still[key], again[key]) for key in still)
    assert not any(torch.equal(still[key], moved[key]) for key in still if key != "0.bias")


@every_kind
def test_what_has_a_constant_rate_is_neither_warmed_up_nor_annealed(name: str) -> None:
    config, module = KINDS[name], network()
    optimiser = optimisation.build(config, module, module[2].parameters())
    for step in (0, 50, 99):
        value = optimisation.follow(optimiser, config, step, 100, 512)
        assert value == rate(config, step, 100, 512) < 2 * config.learning_rate
        for group in optimiser.param_groups:
            constant = any(p is q for p in group["params"] for q in module[2].parameters())
            assert float(group["lr"]) == pytest.approx(2 * config.learning_rate if constant else value)
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(module.parameters()))


@pytest.mark.parametrize("final", [None, 0.9])
@every_kind
def test_vectors_are_not_decayed_and_tokens_and_prototypes_are(name: str, final: float | None) -> None:
    module = nn.ParameterDict({"token": torch.ones(1, 1, 4), "prototypes": torch.ones(3, 4), "mask": torch.ones(4)})
    config = {
        "adamw": AdamWConfig(weight_decay=0.5, final_weight_decay=final),
        "sgd": SGDConfig(learning_rate=1.0, weight_decay=0.5, final_weight_decay=final),
        "lars": LARSConfig(learning_rate=1.0, weight_decay=0.5, final_weight_decay=final, eta=10.0),
    }[name]
    optimiser = optimisation.build(config, module)
    for parameter in module.values():
        parameter.grad = torch.full_like(parameter, 1e-12)
    optimisation.follow(optimiser, config, 1, 3, 256)
    before = {key: parameter.detach().clone() for key, parameter in module.items()}
    optimiser.param_groups[0]["lr"].fill_(0.1)
    optimiser.step()
    shrunk = {key: bool((before[key] - parameter > 0.01).all()) for key, parameter in module.items()}
    assert shrunk == {"token": True, "prototypes": True, "mask": False}


def test_the_rate_scales_with_the_batch() -> None:
    config = AdamWConfig(learning_rate=0.1, warmup=0.0)
    assert rate(config, 0, 10, 64) == pytest.approx(0.1 / 4)


def test_the_schedule_rises_then_falls_as_half_a_cosine() -> None:
    factors = [schedule(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[55] == pytest.approx(0.5 * (1 + math.cos(math.pi * 45 / 90)))
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.001


def test_the_schedule_ends_where_it_shall() -> None:
    """VICReg's: lr = base q + 0.001 base (1 - q)."""
    config = LARSConfig(learning_rate=0.2, final_rate=0.001)
    q = 0.5 * (1 + math.cos(math.pi * 89 / 90))
    assert rate(config, 99, 100, 2048) == pytest.approx(8 * (0.2 * q + 0.2 * 0.001 * (1 - q)))
    assert schedule(100, 100, 0.1, 0.25) == 0.25


def test_the_weight_decay_goes_along_half_a_cosine_from_the_first_step() -> None:
    """DINO's: 0.04 to 0.4, without a warm-up."""
    config = AdamWConfig(weight_decay=0.04, final_weight_decay=0.4)
    decays = [weight_decay(config, step, 100) for step in range(101)]
    assert (decays[0], decays[50], decays[100]) == pytest.approx((0.04, 0.22, 0.4))
    assert decays == sorted(decays)
    assert weight_decay(AdamWConfig(weight_decay=0.04), 70, 100) == 0.04


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (AdamWConfig, {"warmup": 1.0}),
        (AdamWConfig, {"learning_rate": 0.0}),
        (AdamWConfig, {"weight_decay": -1.0}),
        (AdamWConfig, {"final_weight_decay": -1.0}),
        (AdamWConfig, {"final_rate": 1.5}),
        (AdamWConfig, {"clip_norm": 0.0}),
        (AdamWConfig, {"betas": (0.9, 1.0)}),
        (SGDConfig, {"learning_rate": 1.0, "gradient_momentum": 1.0}),
        (LARSConfig, {"learning_rate": 1.0, "gradient_momentum": -0.1}),
        (LARSConfig, {"learning_rate": 1.0, "eta": 0.0}),
    ],
)
def test_settings_out_of_range_are_refused(kind: Callable[..., OptimiserConfig], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^{list(wrong)[-1]} is "):
        kind(**wrong)
