"""Every backbone against what is asked of one."""

import copy
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import torch
from every_backbone import EVERY, SIZE, build, images

from ssl_core import backbones, objectives
from ssl_core.augmentation import View
from ssl_core.backbones import BACKBONES, Backbone
from ssl_core.errors import Refused
from ssl_core.objectives.simclr import SimCLRConfig

every = pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)


def state(modules: list[torch.nn.Module]) -> list[torch.Tensor]:
    return [tensor.clone() for module in modules for tensor in module.state_dict().values()]


def step(backbone: Backbone) -> None:
    """One of gradient descent, in training mode."""
    backbone.train()
    trained = [p for p in backbone.parameters() if p.requires_grad]
    backbone(images()).square().sum().backward()
    torch.optim.SGD(trained, lr=0.1).step()


def test_every_kind_is_tested() -> None:
    assert {type(config) for config in EVERY.values()} == set(BACKBONES)


@every
def test_representations_are_float32_of_the_announced_size_even_under_bfloat16(config: Any) -> None:
    backbone = build(config)
    with torch.autocast("cpu", torch.bfloat16):
        h = backbone(images().to(torch.bfloat16))
    assert h.dtype == torch.float32
    assert h.shape == (4, config.representation_size) == (4, backbone.representation_size)
    assert h.isfinite().all()


@every
def test_the_stages_have_every_parameter_once_and_gradients_reach_all(config: Any) -> None:
    backbone = build(config)
    assert len(backbone.stages()) == config.stages > 1
    staged = [p for module in chain(*backbone.stages()) for p in module.parameters()]
    assert len(staged) == len(list(backbone.parameters()))
    assert {id(p) for p in staged} == {id(p) for p in backbone.parameters()}
    backbone(images()).square().sum().backward()
    without = [name for name, p in backbone.named_parameters() if p.grad is None]
    assert not without


@every
def test_frozen_stages_stay_bit_for_bit_and_the_others_move(config: Any) -> None:
    backbone = build(config)
    backbones.freeze(backbone, 1)
    frozen, *others = backbone.stages()
    before, rest = state(frozen), state(others[0])
    step(backbone)
    assert all(torch.equal(a, b) for a, b in zip(before, state(frozen), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(rest, state(others[0]), strict=True))
    for each in (backbone, copy.deepcopy(backbone).train()):
        first, second, *_ = ({id(m) for part in stage for m in part.modules()} for stage in each.stages())
        assert {m.training for m in each.modules() if id(m) in first} == {False}
        assert {m.training for m in each.modules() if id(m) in second} == {True}


@every
def test_a_copy_is_the_same_and_its_own(config: Any) -> None:
    backbone = build(config).eval()
    copied = copy.deepcopy(backbone)
    h = backbone(images())
    torch.testing.assert_close(copied(images()), h, rtol=0, atol=0)
    step(copied)
    assert torch.equal(backbone.eval()(images()), h)


@every
def test_the_seed_alone_decides_the_weights(config: Any) -> None:
    one, same, other = (build(config, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


@every
def test_shapes_cost_neither_memory_nor_draws(config: Any) -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    unreal = backbones.unreal(lambda: config.build(SIZE))
    assert torch.equal(torch.rand(1), expected)
    real = build(config)
    assert {k: v.shape for k, v in unreal.state_dict().items()} == {k: v.shape for k, v in real.state_dict().items()}
    assert all(tensor.is_meta for tensor in unreal.state_dict().values())


@every
def test_simclr_takes_it(config: Any) -> None:
    backbone = build(config)
    objective = objectives.build(SimCLRConfig(name="simclr"), backbone, SIZE, 0).train()
    with torch.autocast("cpu", torch.bfloat16):
        terms = objective([View(images().to(torch.bfloat16)), View(images().flip(3).to(torch.bfloat16))])
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@every
def test_more_frozen_stages_than_there_are_are_refused(config: Any) -> None:
    replace(config, frozen_stages=config.stages).check(SIZE)
    with pytest.raises(Refused, match=rf"frozen_stages is 99; .* has {config.stages} stages, of which all or fewer"):
        replace(config, frozen_stages=99).check(SIZE)
    with pytest.raises(ValueError, match="frozen_stages is -1; it must be 0 or more"):
        replace(config, frozen_stages=-1)


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_nobody_publishes_weights_of_ours(name: str) -> None:
    replace(EVERY[name], weights="mine")
    with pytest.raises(ValueError, match=r"weights is pretrained, and nobody publishes weights of .*: take null"):
        replace(EVERY[name], weights="pretrained")
