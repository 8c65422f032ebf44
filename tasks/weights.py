"""A pretrained network on disk: safetensors that say by themselves which it is. Loading runs no code."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ssl_core.backbones import BackboneConfig, build
from ssl_core.errors import Refused
from ssl_core.heads import ProjectorConfig, projector


def save(
    network: nn.Module, config: BackboneConfig, image_size: int, file: Path, head: ProjectorConfig | None = None
) -> None:
    """Write the weights with the configuration that rebuilds their network: a backbone, or with `head` both in turn."""
    described = {"backbone": dataclasses.asdict(config), "image_size": image_size}
    if head:
        described["projector"] = dataclasses.asdict(head)
    description = json.dumps(described, sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, file, metadata={"stopgrad": description})


def image_size(file: Path) -> int:
    """The side in pixels of the images that the file's backbone was trained on."""
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["stopgrad"])["image_size"]


def load(file: Path) -> nn.Module:
    """The network of a file that `save` wrote, in evaluation mode on the CPU. Raises `Refused` where it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            description = json.loads(opened.metadata()["stopgrad"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
        network = _network(description)
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
        raise Refused(f"{file} holds no backbone of this project: run its pretrain stage again") from None
    return network.eval()


def _network(description: dict[str, Any]) -> nn.Module:
    config: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(description["backbone"])
    with torch.device("cpu"):
        backbone = build(config, description["image_size"])
        if "projector" not in description:
            return backbone
        head = TypeAdapter(ProjectorConfig).validate_python(description["projector"])
        return nn.Sequential(backbone, projector(head, backbone.representation_size)[0])
