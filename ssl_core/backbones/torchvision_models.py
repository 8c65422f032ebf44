"""Classification models of torchvision (https://pytorch.org/vision/stable/models.html) without their last layer.

The representation is what the last linear layer was given. Input size, mean and deviation are those of the transforms
of the model's default weights. Nothing is dropped at random, as by timm's default: a teacher, and what is watched,
would be noisy. torchvision is imported where a model of it is asked for, and not before.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from torch import Tensor, nn

from ssl_core.backbones.backbone import Normalisation
from ssl_core.backbones.published import Published, PublishedConfig, by_stage
from ssl_core.errors import Refused

HEADS = ("fc", "classifier", "head", "heads")
"""What torchvision's models call their classifiers."""

OPENED = ("features", "blocks", "encoder", "layers", "trunk_output")
"""Containers of stages."""

NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True, kw_only=True)
class TorchvisionConfig(PublishedConfig):
    """A classification model of torchvision by its name: `resnet34`, `convnext_tiny`.

    `input_size`: the side in pixels of what it is given; null is what the model takes best.
    """

    name: Literal["torchvision"]

    def build(self, image_size: int) -> Published:
        """The backbone, with torchvision's initial weights."""
        return Torchvision(self, image_size)

    @property
    def own_size(self) -> int:
        """The side of the images that the default weights take."""
        return int(_transforms(self.model).crop_size[0])

    @property
    def known(self) -> Collection[str]:
        """All classification models."""
        return _known()

    @property
    def has_weights(self) -> bool:
        """All have."""
        return True

    @property
    def normalisation(self) -> Normalisation:
        """The default weights'."""
        transforms = _transforms(self.model)
        return tuple(transforms.mean), tuple(transforms.std)


class Torchvision(Published):
    """Any of torchvision's classification models. `head`: the place of its classifier's last layer, now an identity."""

    def __init__(self, config: TorchvisionConfig, image_size: int) -> None:
        from torchvision.models import get_model
        from torchvision.ops import StochasticDepth

        model = get_model(config.model, weights=None, **arguments(config.model, config.network_size))
        head, size = take_head_off(model, config.called)
        for part in model.modules():
            if isinstance(part, nn.Dropout | StochasticDepth):
                part.p = 0.0
        # The stride of all those that are not cut into patches.
        stride = getattr(model, "patch_size", 32)
        super().__init__(model, config, image_size, stride=stride, size=size)
        self.head = head

    def represent(self, images: Tensor) -> Tensor:
        """What the classifier's last layer was given."""
        return self.model(images)

    def stages(self) -> list[list[nn.Module]]:
        """The network's children in order, `OPENED` ones opened; a norm belongs to the stage that it follows.

        Parameters of the network itself (class token, positions) belong to the first.
        """
        stage_of: dict[str, int] = {name: 0 for name, _ in self.model.named_parameters()}
        stage = -1
        for prefix, part in _parts(self.model):
            stage += not isinstance(part, NORMS) or stage < 0
            stage_of |= {prefix + name: stage for name, _ in part.named_parameters()}
        return by_stage(self.model, stage_of)


def take_head_off(model: nn.Module, called: str) -> tuple[str, int]:
    """Replace the classifier's last linear layer by an identity; its place, and how many features it was given.

    Raises `Refused` where there is no such layer.
    """
    for head in (name for name in HEADS if hasattr(model, name)):
        linear = [name for name, part in model.named_modules() if _inside(name, head) and isinstance(part, nn.Linear)]
        if linear:
            features = model.get_submodule(linear[-1]).in_features
            model.set_submodule(linear[-1], nn.Identity())
            return linear[-1], int(features)  # pyright: ignore[reportArgumentType]
    raise Refused(f"{called} has no linear classifier to be taken off ({', '.join(HEADS)})")


def _inside(name: str, head: str) -> bool:
    return name == head or name.startswith(f"{head}.")


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts that have parameters, in order, by the beginning of their names."""
    for name, child in module.named_children():
        if name in OPENED:
            yield from _parts(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()):
            yield f"{prefix}{name}.", child


def arguments(model: str, input_size: int) -> dict[str, Any]:
    """What a model is made with: its size where that is built in; without other classifiers beside the last."""
    if model.startswith("vit"):
        return {"image_size": input_size}
    if model.startswith("maxvit"):
        return {"input_size": (input_size, input_size)}
    return {"aux_logits": False, "init_weights": True} if model in ("googlenet", "inception_v3") else {}


@cache
def _known() -> tuple[str, ...]:
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


@cache
def _transforms(model: str) -> Any:
    """The images' preparation for a model's default weights."""
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(model)
    return weights.DEFAULT.transforms()
