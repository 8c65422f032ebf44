"""What a step is counted to cost."""

from typing import Any

import pytest
import torch
from every_objective import EVERY, SIZE, build
from torch.utils.flop_counter import FlopCounterMode

from ssl_core.augmentation import Augment, PatchMask, Recipe
from ssl_core.backbones import TimmConfig, ViTConfig
from ssl_core.cost import forward_flops, step_flops
from ssl_core.objectives import OBJECTIVES
from ssl_core.objectives.simclr import SimCLRConfig
from ssl_core.objectives.swav import SwAVConfig

ONE = Recipe(views=1, blur=None)


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_every_step_is_counted_without_being_run(config: Any) -> None:
    objective = build(config)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    views = Recipe(views=OBJECTIVES[type(config)].views, blur=None)
    counted = step_flops(objective, [views], SIZE, 16)
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.state_dict().items())
    images = torch.zeros(16, 3, SIZE, SIZE, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    made = Augment([views], (0.5,) * 3, (0.25,) * 3)(images, torch.Generator())
    labels = torch.zeros(16, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        torch.stack(list(objective([view.to(torch.float32) for view in made], labels).values())).sum().backward()
    assert counted == counter.get_total_flops() // 16 > 0


def test_local_views_are_counted_at_their_size() -> None:
    objective = build(SwAVConfig(name="swav", prototypes=8))
    whole, local = Recipe(views=2, blur=None), Recipe(views=4, size=SIZE // 2, blur=None)
    without, counted = (step_flops(objective, recipes, SIZE, 16) for recipes in ([whole], [whole, local]))
    assert 1.4 * without < counted < 1.6 * without


def test_hidden_tokens_cost_nothing() -> None:
    objective = build(SimCLRConfig(name="simclr"), backbone=ViTConfig(name="vit", patch=4, width=24, depth=4, heads=2))
    whole = step_flops(objective, [ONE, ONE], SIZE, 8)
    quarter = Recipe(views=2, blur=None, mask=PatchMask(share=0.75, patch=4))
    assert step_flops(objective, [quarter], SIZE, 8) < 0.45 * whole


def test_a_convolution_in_groups_costs_backward_twice_its_forward() -> None:
    backbone = TimmConfig(name="timm", model="test_efficientnet", input_size=64)
    objective = build(SimCLRConfig(name="simclr", projector=None), backbone=backbone, size=64)
    forward = forward_flops(objective.backbone, 64)
    # Images themselves have no gradient: the first convolution's backward pass is one more, not two.
    assert 2.8 * forward < step_flops(objective, [ONE, ONE], 64, 4) / 2 < 3.05 * forward
