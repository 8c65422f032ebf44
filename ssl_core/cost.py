"""What a network and a pretraining step compute, in floating-point operations: two for each multiply-add."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ssl_core.augmentation import Recipe, View
from ssl_core.augmentation.mask import places
from ssl_core.objectives import Objective

UNREAL = torch.device("meta")


def forward_flops(network: nn.Module, image_size: int) -> int:
    """Those of one image's forward pass in evaluation mode."""
    device, training = next(network.parameters()).device, network.training
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, image_size, image_size, device=device))
    network.train(training)
    return counter.get_total_flops()


def step_flops(objective: Objective, recipes: Sequence[Recipe], image_size: int, batch_size: int) -> int:
    """Those of a step by the image: all views, forward and backward, teacher and heads included.

    Counted on tensors that have shapes only, and not run; for one process.
    """
    network = copy.deepcopy(objective).to(UNREAL).train()
    views = [_view(recipe, recipe.size or image_size, batch_size) for recipe in recipes for _ in range(recipe.views)]
    labels = torch.zeros(batch_size, dtype=torch.int64, device=UNREAL)
    with FlopCounterMode(display=False) as counter:
        torch.stack(list(network(views, labels).values())).sum().backward()
    return counter.get_total_flops() // batch_size


def _view(recipe: Recipe, side: int, count: int) -> View:
    images = torch.empty(count, 3, side, side, device=UNREAL)
    if recipe.mask is None:
        return View(images)
    hidden = torch.empty(count, side // recipe.mask.patch, side // recipe.mask.patch, dtype=torch.bool, device=UNREAL)
    return View(images, places(hidden, recipe.mask.share))
