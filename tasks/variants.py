"""A variant: what is pretrained and how, as written in `params.yaml`, and whether that is possible."""

import dataclasses
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ssl_core import backbones
from ssl_core.augmentation import Recipe, recipes
from ssl_core.backbones import BackboneConfig, ViTConfig
from ssl_core.errors import Refused
from ssl_core.objectives import OBJECTIVES, ObjectiveConfig
from ssl_core.objectives.joint_embedding import JointEmbeddingConfig
from ssl_core.training.pretraining import PretrainingConfig
from tasks import cells
from tasks.validation import allowed, validate


class Variant(BaseModel):
    """A named choice of everything that pretrains a backbone, and whether its output or the projector's is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    objective: Annotated[ObjectiveConfig, Field(discriminator="name")]
    backbone: Annotated[BackboneConfig, Field(discriminator="name")]
    augmentation: tuple[Recipe, ...]
    pretraining: PretrainingConfig
    representation: Literal["backbone", "projector"] = "backbone"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        objective = OBJECTIVES[type(self.objective)]
        whole = sum(recipe.views for recipe in self.augmentation if recipe.size is None)
        local = sum(recipe.views for recipe in self.augmentation if recipe.size is not None)
        if whole != objective.views or (local and not objective.local_views):
            raise ValueError(
                f"augmentation makes {whole or 'no'} global and {local or 'no'} local views; the objective "
                f"{self.objective.name} takes {objective.views} global and {'any' if objective.local_views else 'no'} "
                "local ones"
            )
        masks = [recipe.mask for recipe in self.augmentation if recipe.mask]
        if masks and not objective.masked_views:
            raise ValueError(
                f"augmentation.mask hides patches of the views; {self.objective.name} needs whole ones "
                "for a task of its own: set augmentation.mask to null"
            )
        if isinstance(self.backbone, ViTConfig) and any(mask.patch != self.backbone.patch for mask in masks):
            raise ValueError(
                f"augmentation.mask.patch must be backbone.patch, {self.backbone.patch}: a transformer drops tokens"
            )
        changing = [kind for kind in self.augmentation if kind.jitter or kind.greyscale or kind.solarise]
        if self.objective.name == "colourisation" and changing:
            raise ValueError(
                "augmentation changes the colours that colourisation is to tell: set its jitter to null, greyscale and "
                "solarise to 0"
            )
        projects = isinstance(self.objective, JointEmbeddingConfig) and self.objective.projector
        if self.representation == "projector" and not projects:
            raise ValueError(
                f"representation is projector, and the objective {self.objective.name} has none here: take backbone"
            )
        if (self.objective.name == "random") != (self.pretraining.epochs == 0):
            raise ValueError("pretraining.epochs is 0 for the objective random, and above 0 for every other")
        return self

    @property
    def family(self) -> str:
        """The objective's family."""
        return OBJECTIVES[type(self.objective)].family


def read_variant(written: dict[str, Any], image_size: int, where: str) -> Variant:
    """The variant that a section `where` writes. Raises `Refused` with a sentence where it is none.

    One mapping of augmentation stands for a list of one, and a recipe's name for the recipe's kinds of views.
    """
    if "augmentation" not in written:
        return validate(Variant, written, where)
    entries = written["augmentation"] if isinstance(written["augmentation"], list) else [written["augmentation"]]
    kinds = [(i, kind) for i, entry in enumerate(entries) for kind in _unfold(entry, image_size, where)]
    read = written | {"augmentation": [kind for _, kind in kinds]}
    return validate(Variant, read, where, written, entries=[i for i, _ in kinds])


def check_possible(variant: Variant, image_size: int) -> None:
    """Raise ValueError where the variant is not possible with images of this side in pixels."""
    backbones.check(variant.backbone, image_size)
    objective = OBJECTIVES[type(variant.objective)]
    # Where a batch is worked through in parts, an objective sees one at a time.
    seen = variant.pretraining.batch_size // variant.pretraining.accumulate
    try:
        objective.check(variant.objective, variant.backbone, image_size, seen)
    except ValueError as error:
        parts = variant.pretraining.accumulate
        told = f" (pretraining.accumulate divides a batch into {parts}, and each part is one here)"
        raise ValueError(f"{error}{told if parts > 1 and 'batch' in str(error) else ''}") from None
    for recipe in variant.augmentation:
        try:
            recipe.check_images(image_size)
            backbones.check(variant.backbone, recipe.size or image_size)
        except ValueError as error:
            raise ValueError(f"augmentation: views of {recipe.size or image_size} pixels: {error}") from None


def _unfold(written: Any, image_size: int, where: str) -> list[Any]:
    """The kind of views as written, or where it names a recipe, the recipe's kinds with its overrides."""
    if not isinstance(written, dict) or "name" not in written:
        return [written]
    overrides = {key: value for key, value in written.items() if key != "name"}
    if not isinstance(written["name"], str) or written["name"] not in recipes.NAMED:
        names = list(recipes.NAMED)
        raise Refused(
            f"params.yaml: {where}.augmentation.name is {written['name']!r}{allowed(str(written['name']), names)}"
        )
    return [cells.merge(dataclasses.asdict(kind), overrides) for kind in recipes.NAMED[written["name"]](image_size)]
