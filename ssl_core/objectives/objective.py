"""The contract between a self-supervised method and the training loop."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, BackboneConfig
from ssl_core.heads import ProjectorConfig, full_precision


class Objective(nn.Module):
    """A self-supervised method: its networks and the loss that it minimises.

    Every objective is built as `Objective(config, backbone, image_size, classes)`. It takes `views` global views, of
    the image's size; where `more_views` is true any number above that, and any number of smaller, local ones after
    them; where `masked_views` is true ones of which patches are hidden.

    What it needs it says here, and nobody asks for its name: `needs_tokens`, a backbone with tokens, some of which it
    drops or replaces by itself; `needs_labels`, which may be several an image or numbers, unless it `needs_classes`;
    `needs_colours`, images that are not grey and views that keep their colours. One that is not `trained` has nothing
    to minimise: pretraining keeps the weights that it starts with. Which `weights` those may be, it says too: any, none
    (initial ones alone), or given ones.
    """

    family: ClassVar[str]
    views: ClassVar[int]
    more_views: ClassVar[bool] = False
    masked_views: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False
    needs_colours: ClassVar[bool] = False
    trained: ClassVar[bool] = True
    weights: ClassVar[Literal["any", "none", "given"]] = "any"

    projector_config: ProjectorConfig | None = None
    """What builds the projector that is kept, where there is one."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @classmethod
    def check(cls, config: Any, backbone: BackboneConfig, image_size: int, batch_size: int) -> None:
        """Raise ValueError, saying what would be possible, where `config` does not go with the rest."""
        if not cls.needs_tokens:
            return
        if not backbone.patch:
            near = (
                "denoising_autoencoder with its masking noise"
                if cls.family == "generative"
                else "simclr, or another joint-embedding one, with augmentation.mask"
            )
            raise ValueError(
                f"the objective {config.name} drops or replaces the tokens of hidden patches, which {backbone.called} "
                f"does not have; take backbone vit, or timm with a plain vision transformer (vit_*) and input_size "
                f"{image_size}, or the objective {near}"
            )
        if (seen := backbone.seen(image_size, image_size)) != image_size:
            raise ValueError(
                f"the objective {config.name} works on the pixels of patches, and backbone.input_size is {seen} where "
                f"images are of {image_size} pixels: set backbone.input_size to {image_size}, or the images' "
                f"image_size to {seen}"
            )

    @classmethod
    def representations(cls, config: Any) -> tuple[str, ...]:
        """What one pretraining with this configuration can be evaluated by; the keys of `kept`.

        `backbone`; `projector`, the backbone followed by the projector; `teacher`, the teacher's backbone.
        """
        return ("backbone",)

    def kept(self) -> dict[str, nn.Module]:
        """The networks that are kept when pretraining ends, by the representation that each is there for.

        `projector` is the projector alone, which makes embeddings [B, D] of representations.
        """
        return {"backbone": self.encoder}

    def forward(self, views: list[View], labels: Tensor | None = None) -> dict[str, Tensor]:
        """Weighted loss terms (float32 scalars) by name; pretraining minimises their sum.

        `views`: what `Augment` makes, bfloat16: what reads their pixels other than through a network makes them float32
        first. `labels` [B] reach those alone that need them: the loop has none to give to any other. Where labels are
        several an image they are int8 [B, classes], of 0 and 1 or all -1; where numbers, float32 [B], NaN for none.
        """
        raise NotImplementedError

    def constant_rate(self) -> list[nn.Parameter]:
        """What is trained at the highest learning rate from the first step to the last, without warm-up or decay."""
        return []

    def after_step(self, progress: float) -> None:
        """Move what is not trained by gradients (teacher, temperature, prototypes); `progress` is in (0, 1]."""

    @property
    def encoder(self) -> Backbone:
        """The backbone that is evaluated and kept."""
        return self.backbone

    def pictures(self, views: list[View]) -> dict[str, Tensor]:
        """What the method sees and makes, to be looked at: normalised images [rows, columns, 3, H, W] by name."""
        return {}


def in_float32(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute a loss on embeddings in float32: autocast would take its matrix products back to bfloat16."""

    @wraps(loss)
    def computed(*embeddings: Tensor, **settings: float) -> Tensor:
        with full_precision(embeddings[0].device):
            return loss(*(z.float() for z in embeddings), **settings)

    return computed
