"""What a pretraining keeps, on disk: safetensors that say by themselves their network. Loading runs no code.

A backbone's tensors have the names of its `network`: those of timm and torchvision, where it is theirs. The metadata
are flat texts that suffice without this project, and `stopgrad`, from which it is rebuilt here. A pretraining's output
is what data, code and parameters determine: there is no time in it, and no commit, which an edit anywhere changes
without any change of weights. What is exported (tasks/export.py) has the commits too.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ssl_core.backbones import (
    Backbone,
    BackboneConfig,
    Normalisation,
    ResNetConfig,
    TimmConfig,
    TorchvisionConfig,
    build,
    torchvision_models,
)
from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from ssl_core.heads import ProjectorConfig, projector
from ssl_core.pretrained import PRETRAINED


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A representation's network in evaluation mode on the CPU, and what its images are standardised with."""

    network: nn.Module
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def keep(
    parts: Mapping[str, nn.Module],
    backbone: BackboneConfig,
    head: ProjectorConfig | None,
    card: Card,
    folder: Path,
    origin: Mapping[str, str] | None = None,
    given: Normalisation | None = None,
) -> None:
    """Write each part, `<part>.safetensors`: backbone, and where there are such, projector and teacher.

    `head` is the projector's configuration. `card` is of the images that were pretrained on. `origin` are further
    metadata, on what made the weights; `given` is what the file that they started from says of its images.
    """
    mean, std = standardised_with(backbone, card, given)
    seen = {"image_size": card.image_size, "mean": mean, "std": std}
    for name, part in parts.items():
        built: BackboneConfig | ProjectorConfig | None = head if name == "projector" else backbone
        assert built is not None, f"{name} has no configuration"
        metadata = {"stopgrad": json.dumps(seen | {"network": dataclasses.asdict(built)}, sort_keys=True)}
        if name != "projector":
            metadata |= described(backbone, part, card, given) | dict(origin or {})
            part = cast("Backbone", part).network
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in part.state_dict().items()}
        write(tensors, folder / f"{name}.safetensors", metadata)


def write(tensors: dict[str, torch.Tensor], file: Path, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, the same bytes for the same content: the library orders metadata by chance.

    The format is the length of a header (8 bytes, little-endian), the header as JSON, padded to 8 bytes, the tensors.
    """
    content = save(tensors, dict(metadata))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        for part in (len(text).to_bytes(8, "little"), text, memoryview(content)[end:]):
            opened.write(part)


def standardised_with(config: BackboneConfig, card: Card, given: Normalisation | None) -> Normalisation:
    """Mean and deviation of a backbone's images: what the weights were `given` with, else the network's own.

    Where neither has any, those of the data.
    """
    return given or config.normalisation or (card.mean, card.std)


def described(
    config: BackboneConfig, backbone: nn.Module, card: Card, given: Normalisation | None = None
) -> dict[str, str]:
    """What must be known to use a backbone's tensors without this project, as flat texts; numbers and lists are JSON.

    `library` and `model` are what makes the network, with the keywords `model_args`: timm; torchvision, with an
    identity for its classifier `head`; or `stopgrad`, for nobody else has it. It gives `num_features` of RGB images of
    `input_size` pixels in 0..1, standardised with `mean` and `std`; those of `dataset` had `image_size` pixels.
    `format` is what other readers of safetensors look for.
    """
    mean, std = standardised_with(config, card, given)
    said = {
        "num_features": config.representation_size,
        "input_size": getattr(backbone, "input_size", card.image_size),
        "image_size": card.image_size,
        "mean": mean,
        "std": std,
    }
    made = cast("Backbone", backbone)
    return {
        "format": "pt",
        **_made_by(config, made),
        **_started_from(config, made.network),
        **{name: json.dumps(value) for name, value in said.items()},
        "dataset": card.name,
        "dataset_sha256": hashlib.sha256(json.dumps(card.splits, sort_keys=True).encode()).hexdigest(),
    }


def _made_by(config: BackboneConfig, backbone: Backbone) -> dict[str, str]:
    match config:
        case TimmConfig():
            made = {"library": "timm", "model": config.model, "model_args": json.dumps(_keywords(backbone.network))}
        case TorchvisionConfig():
            keywords = torchvision_models.arguments(config.model, config.network_size)
            made = {"library": "torchvision", "model": config.model, "model_args": json.dumps(keywords)}
            made["head"] = cast("torchvision_models.Torchvision", backbone).head
        case ResNetConfig(width=64, stem="imagenet") if config.name != "resnet10":
            made = {"library": "torchvision", "model": config.name, "model_args": "{}", "head": "fc"}
        case _:
            made = {"library": "stopgrad", "model": config.name, "model_args": "{}"}
    return made


def _started_from(config: BackboneConfig, network: nn.Module) -> dict[str, str]:
    """The weights that pretraining began with, where they were given; of what timm publishes, with the licence."""
    if config.weights is None:
        return {}
    if config.weights != PRETRAINED:
        return {"started_from": config.weights}
    published: dict[str, Any] = getattr(network, "pretrained_cfg", {}) if isinstance(config, TimmConfig) else {}
    tag, licence = published.get("tag"), published.get("license")
    named = {"started_from": f"{config.called}{f', {tag}' if tag else ''}, as published"}
    return named | ({"started_from_license": licence} if licence else {})


def _keywords(network: nn.Module) -> dict[str, Any]:
    """What `timm.create_model` was given to make a network, as timm itself notes it; what is usual is left out."""
    from timm.models._input import get_model_args

    usual = {"num_classes", "in_chans", "global_pool"}
    return {name: value for name, value in get_model_args(network).items() if name not in usual}


def load(folder: Path, representation: str) -> Kept:
    """The network of a representation that `keep` wrote: backbone, teacher, or backbone and projector in turn.

    Raises `Refused` where a file is missing or damaged.
    """
    name = "teacher" if representation == "teacher" else "backbone"
    described, tensors = _read(folder / f"{name}.safetensors")
    try:
        config: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(described["network"])
        backbone = build(config, described["image_size"])
        backbone.network.load_state_dict(tensors)
        parts: list[nn.Module] = [backbone]
        if representation == "projector":
            of_head, tensors = _read(folder / "projector.safetensors")
            head, _ = projector(ProjectorConfig(**of_head["network"]), backbone.representation_size)
            head.load_state_dict(tensors)
            parts.append(head)
        network = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
        mean, std = tuple(described["mean"]), tuple(described["std"])
        return Kept(network=network.eval(), image_size=described["image_size"], mean=mean, std=std)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise Refused(f"{folder} holds no {representation} of this version: run its pretrain stage again") from None


def metadata(file: Path) -> dict[str, str]:
    """That of a kept part. Raises `Refused` where the file is missing or damaged."""
    try:
        with safe_open(file, framework="np") as opened:
            return opened.metadata() or {}
    except (SafetensorError, FileNotFoundError):
        raise _missing(file) from None


def _read(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            described = json.loads((opened.metadata() or {})["stopgrad"])
            return described, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, FileNotFoundError, KeyError, ValueError):
        raise _missing(file) from None


def _missing(file: Path) -> Refused:
    return Refused(f"{file} is missing, or no file that a pretraining kept: run its pretrain stage again")
