"""What the stage `weigh` found in the files of params.yaml's `weights`, and whether it is a backbone's.

It is told by the tensors' names and shapes alone, before anything runs; the files themselves are read by pretraining.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl_core import backbones
from ssl_core.backbones import BackboneConfig, Normalisation, fitting
from ssl_core.errors import Refused
from tasks import tensors
from tasks.stage import atomic_file

FOLDER = Path("data/weights")


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """A file of weights: each of its `tensors` has a `shape` and a `dtype`; `metadata` is a safetensors file's own."""

    sha256: str
    bytes: int
    metadata: dict[str, str]
    tensors: dict[str, dict[str, Any]]

    @property
    def ours(self) -> dict[str, Any]:
        """What a pretraining of this project said of the network that it kept; empty in any other file."""
        return _mapping(self.metadata.get("stopgrad", ""))

    @property
    def normalisation(self) -> Normalisation | None:
        """What a file of ours says that its network's images are standardised with; None where it says nothing."""
        try:
            mean, std = (tuple(map(float, self.ours[key])) for key in ("mean", "std"))
        except (KeyError, TypeError, ValueError):
            return None
        known = len(mean) == len(std) == 3 and all(map(math.isfinite, mean + std)) and min(std) > 0
        return (mean, std) if known else None


def weigh(file: Path) -> Weighed:
    """What a file of weights holds. Raises `Refused` where it is none."""
    found = tensors.read(file)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    described = {
        key: {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        for key, tensor in sorted(found.tensors.items())
    }
    return Weighed(sha256=digest, bytes=file.stat().st_size, metadata=found.metadata, tensors=described)


def write(name: str, made: Weighed) -> None:
    """Keep what was found."""
    with atomic_file(_file(name)) as partial:
        partial.write_text(json.dumps(dataclasses.asdict(made), indent=1) + "\n")


def read(name: str) -> Weighed:
    """What was found. Raises `Refused` where the stage has not run."""
    if not _file(name).exists():
        raise Refused(f"{_file(name)} is missing: run `dvc repro`, or `python -m tasks.weigh {name}` first")
    try:
        return Weighed(**json.loads(_file(name).read_text()))
    except (ValueError, TypeError):
        raise Refused(f"{_file(name)} was written by another version: run `dvc repro`") from None


def remove_others(names: Iterable[str]) -> None:
    """Remove what was found of files that are named no more: two clones then end with the same lock.

    What the stage did not write stays, be it JSON or not.
    """
    for file in FOLDER.glob("*.json"):
        if file.stem not in names and file.is_file() and {"sha256", "tensors"} <= _mapping(file.read_bytes()).keys():
            file.unlink()


def refuse_misfit(config: BackboneConfig, image_size: int, made: Weighed) -> None:
    """Raise `Refused` where the weights are of another network; the sentence goes on from the file's name."""
    kinds = {key: getattr(torch, one["dtype"]) for key, one in made.tensors.items()}
    given = {key: torch.empty(one["shape"], dtype=kinds[key], device="meta") for key, one in made.tensors.items()}
    fitting.fit(_network(config, image_size), given)


def _mapping(text: str | bytes) -> dict[str, Any]:
    """A JSON object; empty where the text is none."""
    try:
        read = json.loads(text)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


@cache
def _network(config: BackboneConfig, image_size: int) -> nn.Module:
    return backbones.unreal(lambda: backbones.build(config, image_size)).network


def _file(name: str) -> Path:
    return FOLDER / f"{name}.json"
