"""What stages took here, and what one that is due will take: by those of the same objective, backbone and images.

Observations are kept by a stage's identity, which its figures have; dvc.lock says which figures and which configuration
belong together, and DVC's cache has both of every cell that ever ran.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from ruamel.yaml import YAML

from tasks.cells import FIGURES, MADE, PREPARED
from tasks.configuration import files
from tasks.forecasting import lock
from tasks.forecasting.lock import Locked
from tasks.tracking import observations

Config = dict[str, Any]
"""A variant, or what is embedded of it, as `configure` writes it."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a stage has to do: its kind; what makes it like others, the closest likeness first; and how much it is.

    `amount` is in views for pretrain, in representations of images for embed and probe; 0 where that is not known, or
    says nothing of the time.
    """

    kind: str
    like: tuple[str, ...]
    amount: float


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Work that was done: the seconds of its process, and the bytes that it keeps for other stages."""

    work: Work
    seconds: float
    size: float


Likes = dict[tuple[str, str], list[Seen]]
"""What was seen, by its kind and each of its likenesses."""


def work(kind: str, variant: Config, representations: list[str], images: str) -> Work:
    """What a stage of a kind has to do for a variant on a data set; a projector's part of an embedding is little."""
    count, amount = counted(images), 0.0
    if kind == "pretrain":
        amount = views(variant) * (count.get("train", 0) + count.get("unlabelled", 0))
    elif kind in ("embed", "probe"):
        made = {*representations} - ({"projector"} if kind == "embed" and "backbone" in representations else set())
        amount = float(len(made) * sum(count.get(split, 0) for split in ("train", "val", "test")))
    around = json.dumps([images, variant["backbone"], variant["compute"]])
    trained = "trained" if views(variant) else "untrained"
    objective = variant["objective"]
    like = (json.dumps(objective) + around, f"{objective['name']} {around}", f"{trained} {around}", trained)
    return Work(kind=kind, like=like, amount=amount)


def views(variant: Config) -> float:
    """How many views of each image a pretraining makes in all."""
    return variant["pretraining"]["epochs"] * sum(kind["views"] for kind in variant["augmentation"])


def counted(images: str) -> dict[str, int]:
    """How many images the splits of a data set have; nothing before it is prepared."""
    card = PREPARED / images / "card.json"
    return (
        {split: part["count"] for split, part in json.loads(card.read_text())["splits"].items()}
        if card.exists()
        else {}
    )


def seconds(wanted: Work, seen: Likes) -> float | None:
    """How long work will take: the median of that most like it, scaled to its amount; None where there is none."""
    for likeness in wanted.like:
        found = seen.get((wanted.kind, likeness), [])
        if found:
            scaled = wanted.amount and all(one.work.amount for one in found)
            return median(one.seconds * (wanted.amount / one.work.amount if scaled else 1) for one in found)
    return 0.0 if wanted.kind == "pretrain" and wanted.like[-1] == "untrained" else None


def size(wanted: Work, seen: Likes) -> float | None:
    """How many bytes work will leave for other stages: as many as that of the same variant and images did."""
    same = seen.get((wanted.kind, wanted.like[0]), [])
    found = [one.size for one in same if wanted.kind == "pretrain" or one.work.amount == wanted.amount]
    return median(found) if found else None


def read(locked: dict[str, Locked]) -> Likes:
    """All of the stages in dvc.lock that were observed here."""
    config, likes = cache(_config), defaultdict(list)
    for name, stage in locked.items():
        pretraining = locked.get(f"pretrain@{_cell(stage)}")
        observed = _observed(stage) if pretraining else {}
        if not pretraining or not observed:
            continue
        kind, variant = name.split("@")[0], _cell(stage).rpartition("-")[0]
        whole, of_embed = (str(files.CONFIGS / folder / f"{variant}.yaml") for folder in ("", "embed"))
        pretrained = config(whole, pretraining.deps.get(whole, ""))
        embedded = {"representations": [""]} if kind == "pretrain" else config(of_embed, stage.deps.get(of_embed, ""))
        if pretrained and embedded:
            made = Seen(
                work=work(kind, pretrained, embedded["representations"], _images(stage)),
                seconds=observed["seconds"] + observed.get("overhead_seconds", 0.0),
                size=sum(size for out, size in stage.sizes.items() if Path(out).parts[0] == MADE.name),
            )
            for likeness in made.work.like:
                likes[kind, likeness].append(made)
    return likes


def _cell(stage: Locked) -> str:
    return next((part[1] for part in _parts(stage.outs) if part[0] == FIGURES.name), "")


def _images(stage: Locked) -> str:
    prepared = PREPARED.parts
    return next(part[-1] for part in _parts(stage.deps) if part[: len(prepared)] == prepared)


def _parts(paths: dict[str, str]) -> Iterator[tuple[str, ...]]:
    yield from (Path(path).parts for path in paths)


def _observed(stage: Locked) -> dict[str, Any]:
    """What was observed of the run that made a stage's figures."""
    figures = next(path for path in stage.outs if Path(path).parts[0] == FIGURES.name)
    here = Path(figures) / observations.IDENTITY
    identity = here.read_bytes() if here.exists() else lock.inside(stage.outs[figures], observations.IDENTITY)
    return observations.of(Path(figures).parts[2], identity.decode().strip()) if identity else {}


def _config(name: str, md5: str) -> Config:
    """A configuration by the digest that a stage read, as it is here or in DVC's cache; empty where neither has it."""
    file = Path(name)
    written = file.read_bytes() if md5 and lock.digest(file) == md5 else lock.cached(md5)
    return parsed(written) if written else {}


@cache
def parsed(written: bytes) -> Config:
    """A configuration; seeds, and what was not changed, share one text."""
    return YAML(typ="safe").load(written.decode())
