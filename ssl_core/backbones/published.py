"""Backbones of libraries, whose weights others publish: what timm's and torchvision's have in common.

Such a network has an input size and a normalisation of its own. Images of the data's size are brought to that size on
the device, inside the backbone, and smaller views in proportion.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor, nn

from ssl_core.backbones.backbone import Backbone, BackboneSettings, resized, unreal
from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED

TRIED = 12
"""How many other sizes are tried for a sentence."""


class Published(Backbone):
    """A library's network without its classifier. `patch` is 0 where there are no tokens to drop.

    `multiple`: what the sides of its input are rounded to.
    """

    patch: int = 0

    def __init__(self, model: nn.Module, config: "PublishedConfig", image_size: int, *, stride: int, size: int) -> None:
        super().__init__()
        self.model, self.image_size, self.input_size = model, image_size, config.network_size
        self.stride, self.representation_size = stride, size
        self.multiple = patch_side(model)

    @property
    def network(self) -> nn.Module:
        """The library's own."""
        return self.model

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The library's pooled features, float32. Which patches are `visible` makes no difference."""
        return self.represent(self.brought(images)).float()

    def represent(self, images: Tensor) -> Tensor:
        """Representations of images that have their size."""
        raise NotImplementedError

    def brought(self, images: Tensor) -> Tensor:
        """Images of the data's size, or views of them, as large as the network sees them."""
        return resized(images, in_proportion(images.shape[-1], self.image_size, self.input_size, self.multiple))


@dataclass(frozen=True, kw_only=True)
class PublishedConfig(BackboneSettings):
    """A model by the library's name, and the side in pixels of what it is given; null is what it takes best."""

    published: ClassVar[bool] = True

    model: str
    input_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_size is not None and self.input_size < 1:
            raise ValueError(f"input_size is {self.input_size}; at least 1 is needed")

    def build(self, image_size: int) -> Published:
        """The backbone, with initial weights."""
        raise NotImplementedError

    @property
    def own_size(self) -> int:
        """The side of the images that the model takes best."""
        raise NotImplementedError

    @property
    def known(self) -> Collection[str]:
        """The names of all models of the library."""
        raise NotImplementedError

    @property
    def has_weights(self) -> bool:
        """Whether the library has weights of the model for download."""
        raise NotImplementedError

    @property
    def network_size(self) -> int:
        """The side in pixels of what the network is given of a whole image."""
        return self.input_size or self.own_size

    @property
    def called(self) -> str:
        """The network, for a sentence."""
        return f"{self.name}'s {self.model}"

    @property
    def library(self) -> str:
        """As `timm 1.0.31`; what it was built for (`+cpu`) is left out, which no other machine would have."""
        return f"{self.name} {version(self.name).partition('+')[0]}"

    @property
    def patch(self) -> int:
        """Pixels of a token's side, of those that the network sees."""
        return self._unreal.patch

    @property
    def stride(self) -> int:
        """Pixels between two positions of the last features, of those that the network sees."""
        return self._unreal.stride

    @property
    def representation_size(self) -> int:
        """The length of `h`."""
        return self._unreal.representation_size

    @property
    def stages(self) -> int:
        """How many stages there are to freeze."""
        return len(self._unreal.stages())

    @property
    def _unreal(self) -> Published:
        return _unreal(type(self), self.name, self.model, self.network_size)

    def seen(self, side: int, image_size: int) -> int:
        """The side of what the network sees of a view of `side` pixels: in proportion, whole patches."""
        return in_proportion(side, image_size, self.network_size, self._unreal.multiple)

    def check(self, image_size: int, view: int | None = None) -> None:
        """Raise `Refused` where the library has no such model, or the model takes no images of such a size."""
        if self.model not in self.known:
            near = ", ".join(difflib.get_close_matches(self.model, self.known, n=3))
            raise Refused(
                f"backbone.model is '{self.model}', which {self.name} does not know; "
                f"{f'nearest are {near}' if near else 'its list_models() has all names'}"
            )
        if self.weights == PRETRAINED and not self.has_weights:
            raise Refused(
                f"backbone.weights is {PRETRAINED}, and {self.name} has none of {self.model}: take null, or a name of "
                "params.yaml's weights"
            )
        if not self._takes(self.network_size, self.network_size):
            raise Refused(
                f"backbone.input_size is {self.network_size}, which {self.called} cannot take; {self._possible()}"
            )
        super().check(image_size, view)
        side = self.seen(view or image_size, image_size)
        if not self._takes(self.network_size, side):
            raise Refused(
                f"views of {view} pixels are {side} of the {self.network_size} pixels that {self.called} sees of an "
                f"image; {self._possible_views(image_size, view or image_size)}"
            )

    def _takes(self, input_size: int, side: int) -> bool:
        return _takes(type(self), self.name, self.model, input_size, side)

    def _possible(self) -> str:
        if not self._takes(self.own_size, self.own_size):
            return "it makes no representation [D] of an image"
        # Sizes are multiples of the stride, probably.
        step = _unreal(type(self), self.name, self.model, self.own_size).stride
        sizes = dict.fromkeys([self.own_size, *(step * i for i in _around(self.network_size // step))])
        found = islice((size for size in sizes if self._takes(size, size)), 3)
        return f"it takes {' or '.join(map(str, sorted(found)))}"

    def _possible_views(self, image_size: int, view: int) -> str:
        sides = (side for side in _around(view) if side < image_size)
        possible = (side for side in sides if self._takes(self.network_size, self.seen(side, image_size)))
        nearest = next(possible, None)
        return f"the nearest that it takes are of {nearest}" if nearest else "it takes none near: take whole ones alone"


def in_proportion(side: int, image_size: int, input_size: int, multiple: int) -> int:
    """The input's side for a view of `side` pixels, where a whole image's is `input_size`: a multiple, at least one."""
    return input_size if side == image_size else multiple * max(1, round(input_size * side / image_size / multiple))


def patch_side(model: nn.Module) -> int:
    """Pixels of the side of what the network first cuts its input into; 1 where it does not."""
    side = getattr(getattr(model, "patch_embed", model), "patch_size", 1)
    return side if isinstance(side, int) else max(side)


def by_stage(network: nn.Module, stage_of: Mapping[str, int]) -> list[list[nn.Module]]:
    """The largest modules whose parameters are all of one stage, by stage; `stage_of` every parameter's name.

    Parameters of a module whose others are of several stages (class token, positions) stand there in a list of theirs.
    """
    stages: list[list[nn.Module]] = [[] for _ in range(max(stage_of.values()) + 1)]

    def place(module: nn.Module, prefix: str) -> None:
        # One that two modules share is listed, and stands, where it comes first.
        inside = {stage_of.get(prefix + name) for name, _ in module.named_parameters()}
        known = inside - {None}
        if len(known) == len(inside) == 1:
            stages[known.pop() or 0].append(module)
        elif known:
            for name, parameter in module.named_parameters(recurse=False):
                if (stage := stage_of.get(prefix + name)) is not None:
                    stages[stage].append(nn.ParameterList([parameter]))
            for name, child in module.named_children():
                place(child, f"{prefix}{name}.")

    place(network, "")
    return [stage for stage in stages if stage]


def _around(middle: int) -> Iterator[int]:
    """middle, and what is next to it on both sides, the nearest first, above 0."""
    for distance in range(TRIED):
        yield from (each for each in dict.fromkeys((middle - distance, middle + distance)) if each > 0)


@cache
def _unreal(kind: type[PublishedConfig], name: str, model: str, input_size: int) -> Published:
    """The backbone on the meta device, for images of its input size."""
    config = kind(name=name, model=model, input_size=input_size)
    return unreal(lambda: config.build(input_size))


@cache
def _takes(kind: type[PublishedConfig], name: str, model: str, input_size: int, side: int) -> bool:
    """Whether the network for images of `input_size` pixels makes representations of inputs of `side` pixels."""
    try:
        backbone = _unreal(kind, name, model, input_size)
        with torch.no_grad():
            h = backbone.represent(torch.empty(1, 3, side, side, device="meta"))
    except Refused:
        raise
    except Exception:
        # A library says in many ways (AssertionError, RuntimeError, ValueError, IndexError) that a size does not fit.
        return False
    return side >= backbone.stride and h.shape == (1, backbone.representation_size)
