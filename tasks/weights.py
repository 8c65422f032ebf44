"""What a pretraining keeps, on disk: safetensors that say by themselves their network. Loading runs no code."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ssl_core.backbones import BackboneConfig, build
from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from ssl_core.heads import ProjectorConfig, projector


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A representation's network in evaluation mode on the CPU, and what its images are standardised with."""

    network: nn.Module
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def keep(
    parts: Mapping[str, nn.Module], backbone: BackboneConfig, head: ProjectorConfig | None, card: Card, folder: Path
) -> None:
    """Write each part, `<part>.safetensors`: backbone, and where there are such, projector and teacher.

    `head` is the projector's configuration. `card` is of the images that were pretrained on.
    """
    seen = {"image_size": card.image_size, "mean": card.mean, "std": card.std}
    for name, part in parts.items():
        built: BackboneConfig | ProjectorConfig | None = head if name == "projector" else backbone
        assert built is not None, f"{name} has no configuration"
        description = json.dumps(seen | {"network": dataclasses.asdict(built)}, sort_keys=True)
        tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in part.state_dict().items()}
        save_file(tensors, folder / f"{name}.safetensors", metadata={"stopgrad": description})


def load(folder: Path, representation: str) -> Kept:
    """The network of a representation that `keep` wrote: backbone, teacher, or backbone and projector in turn.

    Raises `Refused` where a file is missing or damaged.
    """
    name = "teacher" if representation == "teacher" else "backbone"
    described, tensors = _read(folder / f"{name}.safetensors")
    try:
        config: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(described["network"])
        backbone = build(config, described["image_size"])
        backbone.load_state_dict(tensors)
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


def _read(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            described = json.loads((opened.metadata() or {})["stopgrad"])
            return described, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, FileNotFoundError, KeyError, ValueError):
        raise Refused(f"{file} is missing, or no file that a pretraining kept: run its pretrain stage again") from None
