"""Batch normalisation as part of the convolution before it: the same function, in half the passes over memory.

In evaluation mode batch normalisation is a factor and an offset of each channel, with which a convolution's weights can
be multiplied once and for all (Jacob et al., 2018, arXiv:1712.05877, section 3.2).
"""

import copy
from collections import Counter
from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-4
"""Of the largest output, by which a copy may differ on the images that it was made by; float32 rounds to 1e-6 of it."""


def folded(network: nn.Module, shown: Tensor) -> nn.Module:
    """A copy of a network in evaluation mode without the batch normalisations that a convolution alone goes into.

    What goes into what is seen as images pass, `shown` [B, 3, H, W]. Where there is nothing to fold, or the copy gives
    something else for these images, it is the network itself.
    """
    pairs, outputs = _pairs(network, shown)
    if not pairs:
        return network
    made = copy.deepcopy(network)
    for convolution, norm in pairs:
        before, after = made.get_submodule(convolution), made.get_submodule(norm)
        fused = fuse_conv_bn_eval(cast("nn.Conv2d", before), cast("nn.BatchNorm2d", after))
        made.set_submodule(convolution, fused)
        made.set_submodule(norm, nn.Identity())
    differ = (made(shown) - outputs).abs().max()
    return made if differ <= TOLERANCE * outputs.abs().max() else network


def _pairs(network: nn.Module, shown: Tensor) -> tuple[list[tuple[str, str]], Tensor]:
    """The names of each convolution and of the normalisation that its output goes into; and the network's outputs."""
    made: list[tuple[Tensor, str]] = []
    pairs: list[tuple[str, str]] = []

    def note(name: str) -> Callable[..., None]:
        return lambda module, given, output: made.append((output, name))

    def match(name: str) -> Callable[..., None]:
        return lambda module, given: pairs.extend((by, name) for output, by in made if output is given[0])

    hooks = []
    for name, module in network.named_modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(note(name)))
        elif type(module) is nn.BatchNorm2d and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(match(name)))
    try:
        outputs = network(shown)
    finally:
        for hook in hooks:
            hook.remove()
    used = Counter(name for pair in pairs for name in pair) + Counter(by for _, by in made)
    return [pair for pair in pairs if used[pair[0]] == 2 and used[pair[1]] == 1], outputs
