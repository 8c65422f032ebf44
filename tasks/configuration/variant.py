"""A variant: everything that pretrains a backbone, and whether it can be had."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ssl_core.augmentation import Recipe
from ssl_core.backbones import BackboneConfig
from ssl_core.objectives import OBJECTIVES, Objective, ObjectiveConfig
from ssl_core.training.optimiser import AdamWConfig, OptimiserConfig
from ssl_core.training.pretraining import PretrainingConfig

SECTIONS = ("objective", "backbone", "augmentation", "pretraining")


@dataclass(frozen=True, kw_only=True)
class Budget(PretrainingConfig):
    """With the optimiser's `name`, which tells its kind."""

    optimiser: Annotated[OptimiserConfig, Field(discriminator="name")] = field(default_factory=AdamWConfig)


class Variant(BaseModel):
    """An objective, a backbone, the kinds of views, and the budget."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    objective: Annotated[ObjectiveConfig, Field(discriminator="name")]
    backbone: Annotated[BackboneConfig, Field(discriminator="name")]
    augmentation: tuple[Recipe, ...]
    pretraining: Budget

    @property
    def objective_class(self) -> type[Objective]:
        """What pretrains."""
        return OBJECTIVES[type(self.objective)]

    @property
    def representations(self) -> tuple[str, ...]:
        """What one pretraining can be evaluated by: backbone, projector, teacher."""
        return self.objective_class.representations(self.objective)


class Written(Variant):
    """A variant as it may be written: with what is evaluated where that is its own; null is the backbone."""

    representation: Literal["backbone", "projector", "teacher"] | None = None


def check(variant: Variant, image_size: int) -> None:
    """Raise ValueError where the variant is not possible, with images of this side in pixels."""
    for said in (*_views(variant), *_colours(variant), *_budget(variant), *_weights(variant)):
        raise ValueError(said)
    variant.backbone.check(image_size)
    for said in _masks(variant, image_size):
        raise ValueError(said)
    # Where a batch is worked through in parts, an objective sees one at a time.
    parts = variant.pretraining.accumulate
    try:
        variant.objective_class.check(
            variant.objective, variant.backbone, image_size, variant.pretraining.batch_size // parts
        )
    except ValueError as error:
        told = f" (pretraining.accumulate divides a batch into {parts}, and each part is one here)"
        raise ValueError(f"{error}{told if parts > 1 and 'batch' in str(error) else ''}") from None
    for recipe in variant.augmentation:
        try:
            recipe.check_images(image_size)
            variant.backbone.check(image_size, recipe.size)
        except ValueError as error:
            raise ValueError(f"augmentation: views of {recipe.size or image_size} pixels: {error}") from None


def _views(variant: Variant) -> Iterator[str]:
    method, name = variant.objective_class, variant.objective.name
    kinds = [recipe.size is None for recipe in variant.augmentation]
    large = sum(recipe.views for recipe in variant.augmentation if recipe.size is None)
    local = sum(recipe.views for recipe in variant.augmentation if recipe.size is not None)
    if large < method.views or (not method.more_views and (large > method.views or local)):
        least, taken = ("at least ", "any") if method.more_views else ("", "no")
        yield (
            f"augmentation makes {large or 'no'} global and {local or 'no'} local views; the objective {name} takes "
            f"{least}{method.views} global and {taken} local ones"
        )
    if kinds != sorted(kinds, reverse=True):
        yield "augmentation lists local views (those with a size) before global ones; global ones come first"
    masks = [recipe.mask for recipe in variant.augmentation if recipe.mask]
    if masks and not method.masked_views:
        yield (
            f"augmentation.mask hides patches of the views; {name} needs whole ones for a task of its own: set "
            "augmentation.mask to null"
        )


def _masks(variant: Variant, image_size: int) -> Iterator[str]:
    patch = variant.backbone.patch
    for recipe in variant.augmentation if patch else ():
        side = recipe.size or image_size
        seen = variant.backbone.seen(side, image_size)
        if recipe.mask and seen == side and recipe.mask.patch != patch:
            yield f"augmentation.mask.patch must be backbone.patch, {patch}: a transformer drops tokens"
        elif recipe.mask and recipe.mask.patch * seen != patch * side:
            pixels = patch * side / seen
            to = f"it to {pixels:.0f}, or backbone.input_size" if pixels.is_integer() else "backbone.input_size"
            yield (
                f"augmentation.mask.patch is {recipe.mask.patch}; a patch of {variant.backbone.called} is {pixels:g} "
                f"pixels of a view of {side}, which is seen as {seen}: set {to} to {image_size}"
            )


def _colours(variant: Variant) -> Iterator[str]:
    changing = [kind for kind in variant.augmentation if kind.jitter or kind.greyscale or kind.solarise]
    if variant.objective_class.needs_colours and changing:
        yield (
            f"augmentation changes the colours that {variant.objective.name} is to tell: set its jitter to null, "
            "greyscale and solarise to 0"
        )


def _budget(variant: Variant) -> Iterator[str]:
    if variant.objective_class.trained != (variant.pretraining.epochs > 0):
        needed = "above 0" if variant.objective_class.trained else "0: nothing is trained"
        epochs, name = variant.pretraining.epochs, variant.objective.name
        yield f"pretraining.epochs is {epochs}; for the objective {name} it is {needed}"


def _weights(variant: Variant) -> Iterator[str]:
    taken, given, name = variant.objective_class.weights, variant.backbone.weights, variant.objective.name
    if taken == "given" and given is None:
        yield (
            f"the objective {name} evaluates weights as they come, and backbone.weights is null: say "
            "`make repro SUITE=weights WEIGHTS=FILE`, or name one of params.yaml's weights there"
        )
    if taken == "none" and given is not None:
        yield f"backbone.weights is {given}; the objective {name} is of initial weights: set backbone.weights to null"


def dumped(variant: Variant) -> dict[str, Any]:
    """The variant as plain mappings, lists and values, every default said."""
    return variant.model_dump(mode="json", include=set(SECTIONS))
