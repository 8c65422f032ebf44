"""What a pretraining keeps on disk."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ssl_core import backbones, objectives
from ssl_core.backbones import ResNetConfig, TorchvisionConfig, ViTConfig
from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from ssl_core.heads import MomentumConfig, ProjectorConfig
from ssl_core.objectives.simclr import SimCLRConfig
from tasks import weights

CARD = Card(
    name="noise", image_size=16, classes=[], splits={}, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), grey=False,
    original_sizes={}, sources=[], skipped={},
)  # fmt: skip
HEAD = ProjectorConfig(width=16, output=4, last_norm=True)
EVERY: list[Any] = [ResNetConfig(name="resnet10", width=8), ViTConfig(name="vit", width=48, depth=1)]


def objective(config: Any) -> objectives.Objective:
    """SimCLR with a projector and a teacher that has moved away from its student."""
    asked = SimCLRConfig(name="simclr", projector=HEAD, momentum=MomentumConfig(start=0.5))
    made = objectives.build(asked, backbones.build(config, 16), 16, 0)
    with torch.no_grad():
        for p in made.encoder.parameters():
            p.add_(0.1)
    return made.eval()


@pytest.mark.parametrize("config", EVERY, ids=["resnet10", "vit"])
def test_every_representation_is_kept_and_rebuilt_from_its_file_alone(tmp_path: Path, config: Any) -> None:
    made, images = objective(config), torch.randn(2, 3, 16, 16)
    kept = made.kept()
    weights.keep(kept, config, HEAD, CARD, tmp_path)
    assert {file.stem for file in tmp_path.iterdir()} == {"backbone", "projector", "teacher"}
    h = kept["backbone"](images)
    for name, expected in (("backbone", h), ("projector", kept["projector"](h)), ("teacher", kept["teacher"](images))):
        loaded = weights.load(tmp_path, name)
        assert torch.equal(loaded.network(images), expected), name
        assert not loaded.network.training
        assert (loaded.image_size, loaded.mean, loaded.std) == (16, CARD.mean, CARD.std)
    assert not torch.equal(h, kept["teacher"](images))


@pytest.mark.parametrize("config", EVERY, ids=["resnet10", "vit"])
def test_a_file_has_the_networks_own_names_and_says_what_it_is(tmp_path: Path, config: Any) -> None:
    made = objective(config)
    weights.keep(made.kept(), config, HEAD, CARD, tmp_path, {"method": "simclr"})
    for name in ("backbone", "teacher"):
        file = tmp_path / f"{name}.safetensors"
        assert load_file(file).keys() == made.encoder.network.state_dict().keys()
        said = weights.metadata(file)
        assert (said["library"], said["model"], said["dataset"], said["method"]) == (
            "stopgrad", config.name, "noise", "simclr",
        )  # fmt: skip
        numbers = {key: json.loads(said[key]) for key in ("num_features", "image_size", "input_size", "mean", "std")}
        assert numbers == {
            "num_features": config.representation_size, "image_size": 16, "input_size": 16,
            "mean": list(CARD.mean), "std": list(CARD.std),
        }  # fmt: skip
    with pytest.raises(Refused, match="run its pretrain stage again"):
        weights.metadata(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    ("settings", "library"),
    [
        ({"name": "resnet18", "stem": "imagenet"}, "torchvision"),
        ({"name": "resnet50", "stem": "imagenet"}, "torchvision"),
        ({"name": "resnet18", "stem": "small"}, "stopgrad"),
        ({"name": "resnet18", "stem": "imagenet", "width": 32}, "stopgrad"),
        ({"name": "resnet10", "stem": "imagenet"}, "stopgrad"),
    ],
)
def test_what_torchvision_has_is_told_from_what_it_has_not(settings: dict[str, Any], library: str) -> None:
    config = ResNetConfig(**settings)
    said = weights.described(config, backbones.build(config, 32), CARD)
    assert (said["library"], said["model"]) == (library, settings["name"])


def test_torchvisions_head_is_where_it_was_taken_off_and_not_any_identity() -> None:
    config = TorchvisionConfig(name="torchvision", model="mobilenet_v3_small", input_size=32)
    made = backbones.build(config, 16)
    made.network.get_submodule("classifier").append(torch.nn.Identity())  # pyright: ignore[reportCallIssue]
    assert weights.described(config, made, CARD)["head"] == "classifier.3"


def test_the_same_networks_are_the_same_bytes(tmp_path: Path) -> None:
    made = objective(EVERY[0])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        weights.keep(made.kept(), EVERY[0], HEAD, CARD, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    made = objective(EVERY[0])
    weights.keep({"backbone": made.encoder}, EVERY[0], None, CARD, tmp_path)
    with pytest.raises(Refused, match=r"teacher\.safetensors is missing"):
        weights.load(tmp_path, "teacher")
    file = tmp_path / "backbone.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(Refused, match="run its pretrain stage again"):
        weights.load(tmp_path, "backbone")


def test_weights_that_do_not_fit_their_description_are_refused(tmp_path: Path) -> None:
    made = objective(EVERY[0])
    weights.keep({"backbone": made.encoder}, dataclasses.replace(EVERY[0], width=16), None, CARD, tmp_path)
    with pytest.raises(Refused, match="holds no backbone of this version"):
        weights.load(tmp_path, "backbone")
