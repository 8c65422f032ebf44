"""What an evaluation may choose from. What is chosen is chosen on the val split."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig:
    """Steps of AdamW for each learning rate; the state is kept that is best on `val_images` images of the val split."""

    steps: int = 100
    batch_size: int = 64
    learning_rates: tuple[float, ...] = (1e-3, 3e-3)
    evaluations: int = 3
    val_images: int = 2000

    def __post_init__(self) -> None:
        if not 1 <= self.evaluations <= self.steps:
            raise ValueError(f"evaluations is {self.evaluations}; 1 to steps ({self.steps}) are allowed")
        if self.batch_size < 2 or self.val_images < 1:
            raise ValueError(
                f"batch_size is {self.batch_size}, val_images {self.val_images}; at least 2 and 1 are needed"
            )
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise ValueError(f"learning_rates is {list(self.learning_rates)}; at least one is needed, each above 0")


@dataclass(frozen=True, kw_only=True)
class CollapseThresholds:
    """A representation has collapsed when both figures are below: one direction for all images, and little beside it.

    Either alone misleads. Untrained deep networks put all images in a narrow cone that is still rich (measured on
    Fashion-MNIST, ResNet-50: 0.04 and 9.9); few classes learnt well are few directions far apart. Pulling two views
    together with nothing that pushes gave 0.03 and 5.0 with a ResNet-10, 0.01 and 1.4 with a ViT.
    """

    embedding_std: float = 0.1
    rankme: float = 6.0

    def __post_init__(self) -> None:
        if self.embedding_std <= 0 or self.rankme <= 0:
            raise ValueError(f"embedding_std is {self.embedding_std}, rankme {self.rankme}; each must be above 0")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Shares of the labels, the probe's grid of weight decays, fine-tuning's budget; `seed` draws labelled images."""

    label_fractions: tuple[float, ...] = (0.01, 0.1, 1.0)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    knn_temperature: float = 0.07
    fine_tuning: FineTuningConfig = FineTuningConfig()
    collapse: CollapseThresholds = CollapseThresholds()
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.label_fractions or not all(0 < fraction <= 1 for fraction in self.label_fractions):
            raise ValueError(f"label_fractions is {list(self.label_fractions)}; each is above 0 and at most 1")
        if not self.weight_decays or min(self.weight_decays) <= 0:
            raise ValueError(f"weight_decays is {list(self.weight_decays)}; at least one is needed, each above 0")
        if self.knn_temperature <= 0:
            raise ValueError(f"knn_temperature is {self.knn_temperature}; it must be above 0")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be 0 or more")
