"""Backbones on disk."""

from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from ssl_core import backbones, objectives
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.errors import Refused
from ssl_core.heads import ProjectorConfig, projector
from ssl_core.objectives.joint_embedding import JointEmbedding
from tasks import cells, parameters, pretrain, weights


@pytest.mark.parametrize("config", [ResNetConfig(name="resnet10", width=8), ViTConfig(name="vit", width=48, depth=1)])
def test_a_file_says_by_itself_which_network_it_is(tmp_path: Path, config: backbones.BackboneConfig) -> None:
    backbone = backbones.build(config, 16).eval()
    for name in ("a", "b"):
        weights.save(backbone, config, 16, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = weights.load(tmp_path / "a")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(loaded(images), backbone(images))
    assert weights.image_size(tmp_path / "a") == 16
    assert not loaded.training


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    config = ResNetConfig(name="resnet10", width=8)
    weights.save(backbones.build(config, 16), config, 16, tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:1000])
    with pytest.raises(Refused, match="holds no backbone"):
        weights.load(tmp_path / "a")


def test_a_projector_is_kept_with_its_backbone(tmp_path: Path) -> None:
    config, head = ResNetConfig(name="resnet10", width=8), ProjectorConfig(width=16, output=4, last_norm=True)
    backbone = backbones.build(config, 16)
    network = nn.Sequential(backbone, projector(head, backbone.representation_size)[0]).eval()
    weights.save(network, config, 16, tmp_path / "a", head)
    loaded = weights.load(tmp_path / "a")
    images = torch.randn(2, 3, 16, 16)
    assert loaded(images).shape == (2, 4)
    assert torch.equal(loaded(images), network(images))


def test_the_students_projector_is_the_one_that_is_evaluated(tmp_path: Path) -> None:
    content = cells.read(Path(__file__).parent.parent / "params.yaml")
    content["variants"]["simclr"] |= {"representation": "projector"}
    content["variants"]["simclr"]["objective"]["momentum"] = {"start": 0.5}
    YAML().dump(content, tmp_path / "params.yaml")
    variant = parameters.load(tmp_path / "params.yaml").variant("simclr")
    objective = objectives.build(variant.objective, backbones.build(variant.backbone, 28), 28, 0)
    assert isinstance(objective, JointEmbedding)
    with torch.no_grad():
        for p in objective.projector.parameters():
            p.add_(1)
    network, head = pretrain.kept(objective.eval(), variant)
    weights.save(network, variant.backbone, 28, tmp_path / "a", head)
    images = torch.randn(2, 3, 28, 28)
    assert torch.equal(weights.load(tmp_path / "a")(images), objective.projector(objective.backbone(images)))
