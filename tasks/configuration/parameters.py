"""`params.yaml`: what is true of this machine and these images."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ssl_core.data import DataConfig
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig
from tasks.configuration import files, form
from tasks.configuration.compute import Compute
from tasks.configuration.validation import validate


@dataclass(frozen=True, kw_only=True)
class Evaluation(EvaluationConfig):
    """How representations are evaluated, and the budget of fine-tuning, for the variants that a suite names."""

    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """MLflow's address; null for `mlflow.db` in the project's folder."""

    uri: str | None = None


class Parameters(BaseModel):
    """All of `params.yaml`. `images` names data sets: pretrained on the first, evaluated on every one.

    `weights`: files to start from, or to compare with, by name.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    images: list[str]
    data: dict[str, Annotated[DataConfig, Field(discriminator="source")]]
    weights: dict[str, str]
    defaults: dict[str, Any]
    evaluation: Evaluation
    compute: Compute
    tracking: Tracking

    @property
    def image_size(self) -> int:
        """The side in pixels of the images that are pretrained on; all others are prepared at the same."""
        return self.data[self.images[0]].image_size


def load(written: dict[str, Any]) -> Parameters:
    """The file as written, validated. Raises `Refused` with the key and what is allowed there."""
    form.check_params(written)
    return validate(Parameters, written, files.keys(files.PARAMS))
