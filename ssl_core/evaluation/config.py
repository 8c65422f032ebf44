"""What an evaluation may choose from. What is chosen is chosen on the val split."""

from dataclasses import dataclass, field

from ssl_core.collapse import CollapseThresholds


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
