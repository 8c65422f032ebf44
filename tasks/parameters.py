"""`params.yaml` as one frozen, validated object: what was validated is what runs and what is logged."""

import re
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from ssl_core.data import DataConfig
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig
from ssl_core.training.iteration import Acceleration
from tasks import cells
from tasks.cells import Cell
from tasks.validation import allowed, validate
from tasks.variants import Variant, check_possible, read_variant


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The comparison to make: every variant with every seed."""

    name: str
    variants: list[str]
    seeds: list[int]

    def __post_init__(self) -> None:
        for key, values in (("variants", self.variants), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}; at least one is needed, and none twice")
        if min(self.seeds) < 0:
            raise ValueError(f"seeds is {self.seeds}; each must be 0 or more")
        odd = [name for name in self.variants if not re.fullmatch(r"[\w.-]+", name)]
        if odd:
            raise ValueError(f"variants names '{odd[0]}'; a name has letters, digits, '_', '.' and '-' only")


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where the stages compute, and with how many threads (the figures' last digits depend on all of this).

    `devices`: processes that share a pretraining. `compiled`: auto compiles on a GPU, where it is repaid soon.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 2
    devices: int = 1
    compiled: Literal["auto", True, False] = "auto"

    def __post_init__(self) -> None:
        if self.threads < 1 or self.devices < 1:
            raise ValueError(f"threads is {self.threads}, devices {self.devices}; at least 1 is needed")

    def use(self) -> torch.device:
        """Set the threads of this process, and give the device. Raises `Refused` where CUDA is asked for and absent."""
        torch.set_num_threads(self.threads)
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise Refused("compute.device is cuda, but PyTorch sees no CUDA device here; set it to auto or cpu")
        device = torch.device("cuda" if available and self.device != "cpu" else "cpu")
        if device.type == "cuda" and self.devices > torch.cuda.device_count():
            raise Refused(f"compute.devices is {self.devices}; this machine has {torch.cuda.device_count()}")
        return device

    def acceleration(self, device: torch.device) -> Acceleration:
        """How pretraining iterates there: on one GPU as a CUDA graph.

        Raises `Refused` where it shall be compiled and there is nothing to compile with.
        """
        on_gpu, possible = device.type == "cuda", can_compile()
        if self.compiled is True and not possible:
            raise Refused(
                "compute.compiled is true, but there is no C++ compiler with Python's headers here: install g++ and "
                "python3-dev, or set it to auto"
            )
        compiled = on_gpu and possible if self.compiled == "auto" else self.compiled
        return Acceleration(compiled=compiled, captured=on_gpu and self.devices == 1)


def can_compile() -> bool:
    """Whether `torch.compile` has what it needs: a C++ compiler and Python's headers."""
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return headers.exists() and any(map(shutil.which, ("g++", "c++", "clang++")))


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """MLflow's address; null for `mlflow.db` in the project's folder."""

    uri: str | None = None


class Parameters(BaseModel):
    """All of `params.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Annotated[DataConfig, Field(discriminator="name")]
    suite: Suite
    defaults: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    evaluation: EvaluationConfig
    compute: Compute
    tracking: Tracking

    def variant(self, name: str) -> Variant:
        """A variant, with the defaults that it does not override."""
        if name not in self.variants:
            raise Refused(f"there is no variant '{name}'; params.yaml has {', '.join(self.variants)}")
        written = cells.merge(self.defaults, self.variants[name])
        return read_variant(written, self.data.image_size, f"variants.{name}")

    def check_possible(self, name: str) -> None:
        """Raise `Refused` where a variant cannot be had with the data's images."""
        try:
            check_possible(self.variant(name), self.data.image_size)
        except ValueError as error:
            raise Refused(f"params.yaml: variants.{name}: {error}") from None


def load(file: Path = cells.FILE) -> Parameters:
    """The whole file, validated. Raises `Refused` with the key and what is allowed there.

    Every variant must be a variant; those of the suite must also be possible with these images.
    """
    parameters = validate(Parameters, cells.read(file), "")
    if isinstance(parameters.defaults.get("augmentation"), list):
        raise Refused("defaults.augmentation is a list; one mapping is needed there: a variant may list several kinds")
    for name in parameters.suite.variants:
        if name not in parameters.variants:
            raise Refused(f"suite.variants names '{name}'{allowed(name, list(parameters.variants))}")
    for name in parameters.variants:
        parameters.variant(name)
    for name in parameters.suite.variants:
        parameters.check_possible(name)
    return parameters


def cell(parameters: Parameters, variant: str, seed: str) -> Cell:
    """The cell that a command names. Raises `Refused` where there is no such variant, or the seed is no number."""
    parameters.check_possible(variant)
    if not seed.isdecimal():
        raise Refused(f"the seed is '{seed}'; a whole number, 0 or more, is needed")
    return Cell(variant=variant, seed=int(seed))
