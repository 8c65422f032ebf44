"""A backbone on disk: safetensors that say by themselves which network they are. Loading runs no code."""

import dataclasses
import json
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ssl_core.backbones import Backbone, BackboneConfig, build
from ssl_core.errors import Refused


def save(backbone: Backbone, config: BackboneConfig, image_size: int, file: Path) -> None:
    """Write the weights with the configuration that rebuilds their network."""
    description = json.dumps({"backbone": dataclasses.asdict(config), "image_size": image_size}, sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    save_file(tensors, file, metadata={"stopgrad": description})


def image_size(file: Path) -> int:
    """The side in pixels of the images that the file's backbone was trained on."""
    with safe_open(file, framework="pt") as opened:
        return json.loads(opened.metadata()["stopgrad"])["image_size"]


def load(file: Path) -> Backbone:
    """The backbone of a file that `save` wrote, in evaluation mode on the CPU. Raises `Refused` where it is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            description = json.loads(opened.metadata()["stopgrad"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise Refused(f"{file} holds no backbone of this project: run its pretrain stage again") from None
    config: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(description["backbone"])
    with torch.device("cpu"):
        backbone = build(config, description["image_size"])
    backbone.load_state_dict(tensors)
    return backbone.eval()
