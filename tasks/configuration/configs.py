"""The configurations that the stages read, each one file: how `configure` writes them, how a stage reads its own."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from ruamel.yaml import YAML

from ssl_core.backbones import Normalisation
from ssl_core.backbones.fitting import Fitted
from ssl_core.data import DataConfig
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig
from ssl_core.heads import ProjectorConfig
from tasks.configuration import asking, budgets, files, listing, modules, plan, weighed
from tasks.configuration.asking import Asked
from tasks.configuration.compute import Compute
from tasks.configuration.parameters import Evaluation
from tasks.configuration.plan import Plan, Planned
from tasks.configuration.resolve import Configuration
from tasks.configuration.variant import Variant

Config = TypeVar("Config", bound=BaseModel)


class Preparing(BaseModel):
    """What `prepare` reads: a data set at the size of the images pretrained on, and what its folder was seen to hold.

    `listed`: the digest of the names and the content of a folder's or an archive's files; None of other sources.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    data: Annotated[DataConfig, Field(discriminator="source")]
    listed: str | None = None


class Pretraining(Variant):
    """What `pretrain` reads: the variant, and a digest of the code that its objective and its backbone stand on.

    `library`: that of the backbone's code, where it is not here, with its version. `weights_sha256` is of the file that
    the backbone's `weights` names, and `normalisation` (mean, deviation) what that file says of its images, if it does.
    """

    variant: str
    method: str
    compute: Compute
    code: str
    library: str | None = None
    weights_sha256: str | None = None
    normalisation: Normalisation | None = None


class Embedding(BaseModel):
    """What `embed` reads: the representations, first what the table shows, and a digest of their code.

    `library`: that of the backbone's code, where it is not here, with its version.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    representations: list[str]
    compute: Compute
    code: str
    library: str | None = None


class Probing(BaseModel):
    """What `probe` reads."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    evaluation: EvaluationConfig
    compute: Compute


class FineTuning(BaseModel):
    """What `fine_tune` reads."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    label_fractions: tuple[float, ...]
    weight_decays: tuple[float, ...]
    fine_tuning: FineTuningConfig
    compute: Compute


def file(kind: type[BaseModel], name: str = "") -> Path:
    """Where a configuration lies: a variant's at the top, the others in a folder a stage."""
    places = {
        Preparing: f"prepare/{name}.yaml",
        Pretraining: f"{name}.yaml",
        Embedding: f"embed/{name}.yaml",
        Probing: "evaluation/probe.yaml",
        FineTuning: "evaluation/fine_tune.yaml",
    }
    return files.CONFIGS / places[kind]


def read(kind: type[Config], name: str = "") -> Config:
    """The configuration of a variant or data set. Raises `Refused` where `configure` wrote none."""
    place = file(kind, name)
    if not place.exists():
        what = f"'{name}' is in no configuration" if name else "nothing was configured"
        raise Refused(f"{what} ({place} is missing): run `dvc repro`, or `python -m tasks.configure` first")
    return kind.model_validate(files.read(place))


def write(configuration: Configuration, folder: Path) -> None:
    """Write all configurations below `folder`, which stands for `configs`."""
    settings, yaml = configuration.parameters, YAML(typ="safe")
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue] (ruamel's stub)

    def put(place: Path, content: Any) -> None:
        written = folder / place.relative_to(files.CONFIGS)
        written.parent.mkdir(parents=True, exist_ok=True)
        with written.open("w") as opened:
            yaml.dump(content, opened)

    def dump(kind: type[BaseModel], name: str, content: dict[str, Any]) -> None:
        put(file(kind, name), plain(kind, content))

    # Which devices share a pretraining, and whether it is compiled, is nothing to the other stages.
    alone = Compute(device=settings.compute.device, threads=settings.compute.threads)
    listed = listing.known(files.read(files.PARAMS))
    for name in settings.images:
        data = dataclasses.replace(settings.data[name], image_size=settings.image_size)
        dump(Preparing, name, {"data": data, "listed": listed.get(name)})
    for name, one in configuration.resolved.items():
        made = {"variant": name, "method": one.method, **dict(one.variant), "compute": settings.compute}
        dump(Pretraining, name, made | _stood_on(one.variant, list(settings.weights)))
        backbone = one.variant.backbone
        code = {"code": modules.digest(type(backbone), ProjectorConfig), "library": backbone.library}
        dump(Embedding, name, {"representations": configuration.representations(name), "compute": alone, **code})
    evaluation = settings.evaluation
    dump(Probing, "", {"evaluation": _shared(evaluation), "compute": alone})
    labels = {"label_fractions": evaluation.label_fractions, "weight_decays": evaluation.weight_decays}
    dump(FineTuning, "", labels | {"fine_tuning": evaluation.fine_tuning, "compute": alone})
    asked, unlike = configuration.suite, budgets.unlike(configuration)
    put(asking.file(asked.suite), plain(Asked, {"looks": asked.looks, "claims": asked.claims, "unlike": unlike}))
    put(plan.file(asked.suite), plain(Plan, dataclasses.asdict(planned(configuration))))


def _stood_on(variant: Variant, known: list[str]) -> dict[str, Any]:
    """Code, library and file that a variant's weights come from; `known` are the names of files."""
    given = variant.backbone.weights
    classes = [variant.objective_class, type(variant.objective), type(variant.backbone)]
    found = weighed.read(given) if given in known else None
    return {
        "code": modules.digest(*classes, *([Fitted] if given else [])),
        "library": variant.backbone.library,
        "weights_sha256": found and found.sha256,
        "normalisation": found and found.normalisation,
    }


def planned(configuration: Configuration) -> Plan:
    """The suite as it is compared and shown."""
    asked, size = configuration.suite, configuration.parameters.image_size
    return Plan(
        suite=asked.suite,
        question=asked.question,
        source=asked.source,
        seeds=asked.seeds,
        images=configuration.parameters.images,
        fine_tune=asked.fine_tune,
        evaluation=plain(Evaluation, configuration.parameters.evaluation),
        variants={
            name: Planned(
                method=one.method,
                objective=one.variant.objective.name,
                family=one.variant.objective_class.family,
                baseline=configuration.baseline(name),
                off_the_shelf=configuration.off_the_shelf(name),
                weights=one.variant.backbone.weights or "",
                input_size=one.variant.backbone.seen(size, size),
                representations=configuration.representations(name),
                trained=one.variant.objective_class.trained,
                needs_labels=one.variant.objective_class.needs_labels,
                needs_colours=one.variant.objective_class.needs_colours,
                changes=one.changes,
            )
            for name, one in configuration.resolved.items()
        },
    )


def plain(kind: Any, content: Any) -> Any:
    """Validated content of a kind as plain mappings, lists and values."""
    adapter = _adapter(kind)
    return adapter.dump_python(adapter.validate_python(content), mode="json")


@functools.cache  # building one takes longer than all that it does for a variant
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _shared(evaluation: Evaluation) -> EvaluationConfig:
    """What probe and fine-tuning have in common, and the probe's own."""
    return EvaluationConfig(**{f.name: getattr(evaluation, f.name) for f in dataclasses.fields(EvaluationConfig)})
