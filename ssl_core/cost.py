"""What a network and a pretraining step compute, in floating-point operations: two for each multiply-add."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from ssl_core.augmentation import Recipe, View
from ssl_core.augmentation.mask import places
from ssl_core.objectives import Objective

META = torch.device("meta")


def forward_flops(network: nn.Module, image_size: int) -> int:
    """Those of one image's forward pass in evaluation mode, counted on tensors that have shapes only.

    So the way in which a device computes attention makes no difference: not all are counted.
    """
    counted = copy.deepcopy(network).to(META).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        counted(torch.zeros(1, 3, image_size, image_size, device=META))
    return counter.get_total_flops()


def step_flops(objective: Objective, recipes: Sequence[Recipe], image_size: int, batch_size: int) -> int:
    """Those of a step by the image: all views, forward and backward, teacher and heads included.

    Counted on tensors that have shapes only, and not run; for one process.
    """
    network = copy.deepcopy(objective).to(META).train()
    views = [_view(recipe, recipe.size or image_size, batch_size) for recipe in recipes for _ in range(recipe.views)]
    labels = torch.zeros(batch_size, dtype=torch.int64, device=META)
    backward: Any = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=backward) as counter:
        torch.stack(list(network(views, labels).values())).sum().backward()
    return counter.get_total_flops() // batch_size


def _convolution_backward(*arguments: Any, out_shape: Any = None, **named: Any) -> int:
    """The forward pass's once for the images' gradient and once for the weights', where each is asked for.

    PyTorch's own count takes a convolution in groups for a whole one there: a depthwise one for as many times more as
    it has channels. The arguments are those of `aten.convolution_backward`, tensors as their shapes.
    """
    gradient, images, weights, transposed, wanted = (arguments[i] for i in (0, 1, 2, 7, 10))
    return conv_flop_count(images, weights, gradient, transposed) * sum(wanted[:2])


def _view(recipe: Recipe, side: int, count: int) -> View:
    images = torch.empty(count, 3, side, side, device=META)
    if recipe.mask is None:
        return View(images)
    hidden = torch.empty(count, side // recipe.mask.patch, side // recipe.mask.patch, dtype=torch.bool, device=META)
    return View(images, places(hidden, recipe.mask.share))
