"""`params.yaml` as one frozen, validated object: what was validated is what runs and what is logged."""

import dataclasses
import re
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ssl_core import backbones
from ssl_core.augmentation import Recipe, recipes
from ssl_core.backbones import BackboneConfig, ViTConfig
from ssl_core.data import DataConfig
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig
from ssl_core.objectives import OBJECTIVES, ObjectiveConfig
from ssl_core.objectives.joint_embedding import JointEmbeddingConfig
from ssl_core.training.iteration import Acceleration
from ssl_core.training.pretraining import PretrainingConfig
from tasks import cells
from tasks.cells import Cell
from tasks.validation import allowed, validate


def _several(written: Any) -> Any:
    """One mapping stands for a list of one."""
    return [written] if isinstance(written, dict) else written


class Variant(BaseModel):
    """A named choice of everything that pretrains a backbone, and whether its output or the projector's is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Annotated[ObjectiveConfig, Field(discriminator="name")]
    backbone: Annotated[BackboneConfig, Field(discriminator="name")]
    augmentation: Annotated[tuple[Recipe, ...], BeforeValidator(_several)]
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
                f"augmentation.mask is for objectives that compare views; {self.objective.name} has a task of its own "
                "on whole ones: set augmentation.mask to null"
            )
        if isinstance(self.backbone, ViTConfig) and any(mask.patch != self.backbone.patch for mask in masks):
            raise ValueError(
                f"augmentation.mask.patch must be backbone.patch, {self.backbone.patch}: a transformer drops tokens"
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
    compiled: Literal["auto"] | bool = "auto"

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

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        where = f"variants.{name}"
        written = cells.merge(self.defaults, self.variants[name])
        kinds = _unfold(written.get("augmentation"), self.data.image_size, where)
        variant = validate(Variant, written | {"augmentation": kinds}, where)
        try:
            backbones.check(variant.backbone, self.data.image_size)
            objective = OBJECTIVES[type(variant.objective)]
            objective.check(variant.objective, variant.backbone, self.data.image_size, variant.pretraining.batch_size)
            where += ".augmentation"
            for recipe in variant.augmentation:
                recipe.check_images(self.data.image_size)
                backbones.check(variant.backbone, recipe.size or self.data.image_size)
        except ValueError as error:
            raise Refused(f"params.yaml: {where}: {error}") from None
        return variant


def _unfold(written: Any, image_size: int, where: str) -> Any:
    """Kinds of views as written, each that names a recipe replaced by the recipe's kinds with its overrides."""
    if isinstance(written, list):
        unfolded = [_unfold(each, image_size, where) for each in written]
        return [kind for each in unfolded for kind in (each if isinstance(each, list) else [each])]
    if not isinstance(written, dict) or "name" not in written:
        return written
    overrides = {key: value for key, value in written.items() if key != "name"}
    if written["name"] not in recipes.NAMED:
        names = list(recipes.NAMED)
        raise Refused(
            f"params.yaml: {where}.augmentation.name is {written['name']!r}{allowed(str(written['name']), names)}"
        )
    kinds = [cells.merge(dataclasses.asdict(kind), overrides) for kind in recipes.NAMED[written["name"]](image_size)]
    return kinds if len(kinds) > 1 else kinds[0]


def load(file: Path = cells.FILE) -> Parameters:
    """The whole file, validated, every variant included. Raises `Refused` with the key and what is allowed there."""
    parameters = validate(Parameters, cells.read(file), "")
    for name in parameters.suite.variants:
        if name not in parameters.variants:
            raise Refused(f"suite.variants names '{name}'{allowed(name, list(parameters.variants))}")
    for name in parameters.variants:
        parameters.variant(name)
    return parameters


def cell(parameters: Parameters, variant: str, seed: str) -> Cell:
    """The cell that a command names. Raises `Refused` where there is no such variant, or the seed is no number."""
    parameters.variant(variant)
    if not seed.isdecimal():
        raise Refused(f"the seed is '{seed}'; a whole number, 0 or more, is needed")
    return Cell(variant=variant, seed=int(seed))
