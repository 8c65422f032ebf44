"""What every backbone is, and what its configuration says: the contract between a network and everything around it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of the three colours, in 0..1."""


@dataclass(frozen=True, kw_only=True)
class BackboneSettings:
    """What a backbone starts from, and how much of it is trained.

    `weights`: null, initial ones; a name of params.yaml's `weights`; or `pretrained`, those of the library that the
    network is of. `frozen_stages`: how many stages, from the images on, are not trained.
    """

    published: ClassVar[bool] = False
    """Whether the network is of a library that has weights of it."""

    name: str
    weights: str | None = None
    frozen_stages: int = 0

    def __post_init__(self) -> None:
        if self.frozen_stages < 0:
            raise ValueError(f"frozen_stages is {self.frozen_stages}; it must be 0 or more")
        if self.weights == PRETRAINED and not self.published:
            raise ValueError(
                f"weights is {PRETRAINED}, and nobody publishes weights of {self.name}: take null, a name of "
                "params.yaml's weights, or the backbone timm or torchvision"
            )

    @property
    def called(self) -> str:
        """The network, for a sentence."""
        return self.name

    @property
    def patch(self) -> int:
        """Pixels of a token's side; 0 where there are no tokens to drop or replace."""
        return 0

    @property
    def stride(self) -> int:
        """Pixels between two positions of the last features."""
        raise NotImplementedError

    @property
    def representation_size(self) -> int:
        """The length of `h`."""
        raise NotImplementedError

    @property
    def normalisation(self) -> Normalisation | None:
        """What images are standardised with; None: the data's own mean and deviation."""
        return None

    @property
    def library(self) -> str | None:
        """The library that has the network's code, with its version; None: the code is here."""
        return None

    @property
    def stages(self) -> int:
        """How many stages there are to freeze."""
        raise NotImplementedError

    def build(self, image_size: int) -> "Backbone":
        """The backbone for square images of `image_size` pixels, which `check` has taken, with initial weights.

        Those are drawn from torch's default generator; no file is read.
        """
        raise NotImplementedError

    def seen(self, side: int, image_size: int) -> int:
        """The side in pixels of what the network sees of a view of `side` pixels, where whole images have another."""
        return side

    def check(self, image_size: int, view: int | None = None) -> None:
        """Raise `Refused` where images of `image_size` pixels, or views of `view` pixels of them, cannot be taken."""
        if self.frozen_stages > self.stages:
            raise Refused(
                f"backbone.frozen_stages is {self.frozen_stages}; {self.called} has {self.stages} stages, of which all "
                "or fewer can be frozen"
            )


class Backbone(nn.Module):
    """Normalised images [B, 3, H, H] to representations `h`, float32 [B, `representation_size`].

    It may be told which patches are `visible`, int64 [B, K]; where there are no tokens to leave out that makes no
    difference. `network` is the module whose `state_dict()` has the keys that others know.
    """

    representation_size: int
    frozen_stages: int = 0

    @property
    def network(self) -> nn.Module:
        """Itself, where no library knows it by other names."""
        return self

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """The representations."""
        raise NotImplementedError

    def stages(self) -> list[list[nn.Module]]:
        """The network's parts from the images on, each with parameters, all of them together."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Self:
        """As every module's, but frozen stages stay in evaluation mode."""
        super().train(mode)
        if self.frozen_stages:
            for module in chain(*self.stages()[: self.frozen_stages]):
                module.eval()
        return self


def freeze(backbone: Backbone, stages: int) -> None:
    """Train nothing of the first `stages` stages: neither weights nor the statistics of norms, in place."""
    backbone.frozen_stages = stages
    for module in chain(*backbone.stages()[:stages]):
        module.requires_grad_(False)
    backbone.train(backbone.training)


def resized(images: Tensor, side: int) -> Tensor:
    """Images [B, 3, H, H] of `side` pixels, of the same type; bilinear, antialiased, computed in float32."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True).to(images.dtype)


Module = TypeVar("Module", bound=nn.Module)


def unreal(make: Callable[[], Module]) -> Module:
    """The module that `make` builds, in evaluation mode, with parameters that have shapes only (on `meta`).

    It takes neither memory nor numbers of torch's default generator.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with _Unreal():
                made = make()
        except RuntimeError:
            # A few networks pass an image through their parts while they are built.
            with torch.device("meta"), _Unreal():
                made = make()
    return made.to("meta").eval()


FILLING = ("uniform_", "normal_", "erfinv_", "mul_", "div_", "add_", "clamp_", "fill_", "zero_")
"""What gives parameters their numbers: without numbers it is slow and does nothing."""


class _Unreal(TorchFunctionMode):
    """Parameters begin as `torch.empty`: on `meta`, where nothing fills them.

    What is computed from numbers while building is left alone.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = torch.device("meta")
        if getattr(func, "__name__", "") in FILLING and args and args[0].is_meta:
            return args[0]
        return func(*args, **kwargs)
