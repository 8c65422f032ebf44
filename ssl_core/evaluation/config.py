"""What an evaluation may choose from. What is chosen is chosen on the val split."""

import math
from dataclasses import dataclass, field

from ssl_core.augmentation import ColourJitter, RandomResizedCrop, Recipe
from ssl_core.collapse import CollapseThresholds


@dataclass(frozen=True, kw_only=True)
class FineTuningRecipe(Recipe):
    """One view of each image, as a recipe of pretraining has them; by default a flip alone.

    A crop is for budgets of many passes (the field's fine-tunings have 20 and more): where an image is seen once, it
    only makes the images of the step harder than those that are classified.
    """

    views: int = 1
    crop: RandomResizedCrop | None = None
    jitter: ColourJitter | None = None
    greyscale: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views != 1:
            raise ValueError(f"views is {self.views}; what is fine-tuned sees one view of an image")
        for name in ("size", "mask"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is {getattr(self, name)}; what is fine-tuned sees whole images: leave it out")


@dataclass(frozen=True, kw_only=True)
class RandAugmentConfig:
    """RandAugment (arXiv:1909.13719): operations on each image, and their strength, of 0 to 30."""

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if self.operations < 1:
            raise ValueError(f"operations is {self.operations}; at least 1 is needed")
        if not 0 <= self.magnitude <= 30:
            raise ValueError(f"magnitude is {self.magnitude}; 0 to 30 are allowed")


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """The budget of fine-tuning, and what the field regularises it with.

    The budget: `epochs` passes over the labels that there are, but at least `min_steps`, as a hundredth of the labels
    is a few batches, and at most `max_steps` (null: no limit). After each of `evaluations` equal parts of the steps the
    state is compared on `val_images` images of val: after the first the best of the `learning_rates` goes on alone,
    and the best state is kept.

    `layer_decay`: each stage of the backbone has this share of the rate of the stage after it (BEiT, arXiv:2106.08254:
    0.65 to 0.85 for transformers); 1: all have the same. `augmentation`: null for none. `mixup`: alpha, 0 for none.
    """

    epochs: float = 1.0
    min_steps: int = 100
    max_steps: int | None = 400
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (1e-3, 3e-3)
    layer_decay: float = 1.0
    augmentation: FineTuningRecipe | None = field(default_factory=FineTuningRecipe)
    randaugment: RandAugmentConfig | None = None
    mixup: float = 0.0
    evaluations: int = 3
    val_images: int = 1000

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"epochs is {self.epochs}; it must be 0 (min_steps then say how long) or more")
        if not 1 <= self.evaluations <= self.min_steps:
            raise ValueError(f"evaluations is {self.evaluations}; 1 to min_steps ({self.min_steps}) are allowed")
        if self.max_steps is not None and self.max_steps < self.min_steps:
            raise ValueError(f"max_steps is {self.max_steps}; min_steps ({self.min_steps}) or more, or null")
        if self.batch_size < 2 or self.val_images < 1:
            raise ValueError(
                f"batch_size is {self.batch_size}, val_images {self.val_images}; at least 2 and 1 are needed"
            )
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise ValueError(f"learning_rates is {list(self.learning_rates)}; at least one is needed, each above 0")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay}; above 0 and at most 1 (none) are allowed")
        if self.mixup < 0:
            raise ValueError(f"mixup is {self.mixup}; it must be 0 (none) or more")

    def steps(self, labelled: int) -> int:
        """The steps that a number of labelled images gives."""
        passes = math.ceil(self.epochs * labelled / min(self.batch_size, labelled))
        most = math.inf if self.max_steps is None else self.max_steps
        return int(min(max(passes, self.min_steps), most))


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Shares of the labels, the linear probe's grid of weight decays, k-NN's temperature, when it is a collapse."""

    label_fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    knn_temperature: float = 0.07
    collapse: CollapseThresholds = field(default_factory=CollapseThresholds)

    def __post_init__(self) -> None:
        if not self.label_fractions or not all(0 < fraction <= 1 for fraction in self.label_fractions):
            raise ValueError(f"label_fractions is {list(self.label_fractions)}; each is above 0 and at most 1")
        if not self.weight_decays or min(self.weight_decays) <= 0:
            raise ValueError(f"weight_decays is {list(self.weight_decays)}; at least one is needed, each above 0")
        if self.knn_temperature <= 0:
            raise ValueError(f"knn_temperature is {self.knn_temperature}; it must be above 0")
