"""Image models of timm (https://github.com/huggingface/pytorch-image-models) without a classifier.

The representation is timm's own pooling, `forward_head(forward_features(x), pre_logits=True)`; input size, mean and
deviation are those of the model's `pretrained_cfg`. The plain vision transformers have tokens to drop or replace.
timm is imported where a model of it is asked for, and not before.
"""

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from ssl_core.backbones.backbone import Normalisation, unreal
from ssl_core.backbones.published import Published, PublishedConfig, by_stage
from ssl_core.backbones.tokens import take

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer


@dataclass(frozen=True, kw_only=True)
class TimmConfig(PublishedConfig):
    """A model of timm by its name, with or without a tag: `resnet50`, `vit_small_patch14_dinov2.lvd142m`.

    `input_size`: the side in pixels of what it is given; null is what the model takes best.
    """

    name: Literal["timm"]

    def build(self, image_size: int) -> Published:
        """A plain vision transformer as one with tokens, any other as it is."""
        model = _create(self.model, self.network_size)
        return TimmViT(model, self, image_size) if _is_plain_vit(model) else Timm(model, self, image_size)

    @property
    def own_size(self) -> int:
        """The side of the images that the model takes best."""
        return max(_described(self.model).input_size[-2:])

    @property
    def known(self) -> Collection[str]:
        """All names, with and without tags."""
        return _known()

    @property
    def has_weights(self) -> bool:
        """Whether there are any for the name as it is."""
        import timm

        return timm.is_model_pretrained(self.model)

    @property
    def normalisation(self) -> Normalisation:
        """The model's."""
        described = _described(self.model)
        return tuple(described.mean), tuple(described.std)


class Timm(Published):
    """Any of timm's image models."""

    def __init__(self, model: nn.Module, config: TimmConfig, image_size: int) -> None:
        info: Any = getattr(model, "feature_info", None)
        stride = info[-1]["reduction"] if info else 32
        size: Any = model.head_hidden_size
        super().__init__(model, config, image_size, stride=stride, size=size)

    def represent(self, images: Tensor) -> Tensor:
        """timm's pooled features."""
        model: Any = self.model
        return model.forward_head(model.forward_features(images), pre_logits=True)

    def stages(self) -> list[list[nn.Module]]:
        """timm's coarse groups: the stem, then stages or blocks; what is behind them belongs to the last.

        The few models that have no such groups are of one stage a child.
        """
        from timm.models import group_parameters
        from timm.models._manipulate import MATCH_PREV_GROUP

        model: Any = self.model
        try:
            groups = model.group_matcher(coarse=True)
        except (AttributeError, AssertionError):
            groups = {name: rf"^{name}\." for name, _ in model.named_children()}
        if isinstance(groups, dict):
            groups = groups | {"behind": [(r".*", MATCH_PREV_GROUP)]}
        return by_stage(self.model, group_parameters(self.model, groups, reverse=True))


class TimmViT(Timm):
    """A plain vision transformer of timm: class token and registers go along inside `encode`, positions are learnt."""

    model: "VisionTransformer"

    def __init__(self, model: nn.Module, config: TimmConfig, image_size: int) -> None:
        super().__init__(model, config, image_size)
        self.patch = self.multiple

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """timm's pooled features, float32, of all patches or of the `visible` ones: the others are left out."""
        tokens = self.embed(images)
        return self.encode_and_pool(tokens if visible is None else take(tokens, visible))[0]

    def embed(self, images: Tensor) -> Tensor:
        """Tokens of the patches with their positions [B, T, C], row by row."""
        grid = self.model.patch_embed(self.brought(images))
        return grid.flatten(1, 2) + self.positions(grid.shape[1], grid.shape[2])

    def positions(self, rows: int, columns: int) -> Tensor:
        """What `embed` adds to each token, float32 [rows x columns, C]: interpolated where the grid is another."""
        from timm.layers.pos_embed import resample_abs_pos_embed

        learnt = self.model.pos_embed
        if learnt is None:
            return torch.zeros(
                rows * columns, self.representation_size, device=self.model.patch_embed.proj.weight.device
            )
        learnt = learnt[:, 0 if self.model.no_embed_class else self.model.num_prefix_tokens :]
        grid = list(self.model.patch_embed.grid_size)
        return resample_abs_pos_embed(learnt, [rows, columns], grid, num_prefix_tokens=0)[0]

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens [B, K, C] of patches after all blocks and the last norm, which timm may have behind its pooling."""
        return self.of_patches(self.attended(tokens))

    def encode_and_pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """timm's pooled features, float32 [B, C], and what `encode` makes of the tokens [B, K, C]."""
        tokens = self.attended(tokens)
        return self.model.forward_head(tokens, pre_logits=True).float(), self.of_patches(tokens)

    def of_patches(self, tokens: Tensor) -> Tensor:
        """Without class token and registers, after the norm that timm may have behind its pooling."""
        return self.model.fc_norm(tokens[:, self.model.num_prefix_tokens :])

    def attended(self, tokens: Tensor) -> Tensor:
        """Class token, registers and patches, [B, prefix + K, C], as `forward_features` gives them."""
        first: list[Tensor] = [token for token in (self.model.cls_token, self.model.reg_token) if token is not None]
        if first:
            prefix = torch.cat(first, dim=1)
            if self.model.pos_embed is not None and not self.model.no_embed_class:
                prefix = prefix + self.model.pos_embed[:, : self.model.num_prefix_tokens]
            tokens = torch.cat([prefix.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = self.model.norm_pre(self.model.pos_drop(tokens))
        return self.model.norm(self.model.blocks(tokens))


def _create(model: str, input_size: int) -> nn.Module:
    """The model for images of a size."""
    import timm

    arguments: dict[str, Any] = {"img_size": input_size} if _described(model).fixed_input_size else {}
    arguments |= _switches(model)
    return timm.create_model(model, num_classes=0, **arguments)


@cache
def _switches(model: str) -> dict[str, bool]:
    """What has a model take views of other sizes than images, where its class knows it."""
    import timm

    kind = type(unreal(lambda: timm.create_model(model, num_classes=0)))
    known = inspect.signature(kind.__init__).parameters
    switches = {"dynamic_img_size": True, "strict_img_size": False}
    return {name: value for name, value in switches.items() if name in known}


def _is_plain_vit(model: nn.Module) -> bool:
    """Whether tokens can be taken out of it between its patches and its blocks."""
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.vision_transformer import VisionTransformer

    return type(model) is VisionTransformer and type(model.patch_embed) is PatchEmbed


@cache
def _known() -> frozenset[str]:
    import timm

    return frozenset([*timm.list_models(), *timm.list_models(include_tags=True)])


def _described(model: str) -> Any:
    """timm's `PretrainedCfg` of a model."""
    import timm

    return timm.get_pretrained_cfg(model)
