"""What a cell says of the weights that it starts from: their normalisation, their digest, the network's library."""

import dataclasses
import json
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from every_objective import SIZE
from written_files import write

from ssl_core import backbones
from ssl_core.augmentation import Recipe
from ssl_core.backbones import BackboneConfig, ResNetConfig, TimmConfig, published
from ssl_core.data.prepared import Card, Prepared
from ssl_core.objectives.off_the_shelf import OffTheShelfConfig
from ssl_core.training.checkpoint import Checkpoints
from tasks import configure, downloading, pretrain, tensors, weights
from tasks.cells import Cell
from tasks.configuration import configs, weighed
from tasks.configuration.compute import Compute
from tasks.configuration.configs import Embedding, Pretraining
from tasks.configuration.variant import Budget

OURS = ResNetConfig(name="resnet10", width=8)
GIVEN = dataclasses.replace(OURS, weights="given")
BARE = {"name": "resnet10", "width": 8}
SECTION = BARE | {"weights": "given"}
CARD = Card(
    name="noise", image_size=SIZE, classes=["a", "b"], splits={"train": {}}, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25),
    grey=False, original_sizes={}, sources=[], skipped={},
)  # fmt: skip
BEFORE = dataclasses.replace(CARD, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
"""Of the images that given weights were pretrained on."""


def left(root: Path, config: BackboneConfig, **settings: Any) -> tuple[weights.Kept, dict[str, str]]:
    """What the pretrain stage leaves of weights as they come, on images of `CARD`: backbone and metadata."""
    shutil.rmtree(root / "left", ignore_errors=True)
    (root / "left").mkdir()
    (root / "prepared").mkdir(exist_ok=True)
    np.save(root / "prepared" / "train_images.npy", np.zeros((8, SIZE, SIZE, 3), np.uint8))
    made = Pretraining(
        variant="v",
        method="v",
        objective=OffTheShelfConfig(name="off_the_shelf"),
        backbone=config,
        augmentation=(Recipe(views=1),),
        pretraining=Budget(epochs=0.0, batch_size=8),
        compute=Compute(),
        code="",
        **settings,
    )
    cpu, data = torch.device("cpu"), Prepared(folder=root / "prepared", card=CARD)
    cell = Cell(variant="v", seed=0)
    kept = Checkpoints(root / "checkpoints", {}, 60.0)
    with chdir(root):
        done = pretrain.pretrained(made, cell, data, cpu, kept, lambda *_: None)
        pretrain.write(done, made, root / "left")
    loaded = weights.load(root / "left", "backbone")
    assert (done.augment.mean, done.augment.std) == (loaded.mean, loaded.std)
    return loaded, weights.metadata(root / "left" / "backbone.safetensors")


def test_weights_of_ours_keep_the_normalisation_that_their_file_says(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    weights.keep({"backbone": backbones.build(OURS, SIZE)}, OURS, None, BEFORE, tmp_path / "before")
    file = tmp_path / "before" / "backbone.safetensors"
    suite: dict[str, Any] = {
        "variants": {"shelf": {"method": "off_the_shelf", "backbone": SECTION}, "random": {"backbone": BARE}}
    }
    with chdir(write(tmp_path, params={"weights": {"given": str(file)}}, suite=suite)):
        weighed.write("given", weighed.weigh(file))
        configure.main()
        shelf, random = (configs.read(Pretraining, name) for name in ("shelf", "random"))
    assert shelf.normalisation == (BEFORE.mean, BEFORE.std)
    assert random.normalisation is None
    known = {"normalisation": shelf.normalisation, "weights_sha256": shelf.weights_sha256}
    loaded, metadata = left(tmp_path, GIVEN, **known)
    assert (loaded.mean, loaded.std) == (BEFORE.mean, BEFORE.std)
    assert json.loads(metadata["mean"]) == list(BEFORE.mean)
    assert metadata["started_from_sha256"] == weighed.weigh(file).sha256
    without = left(tmp_path, GIVEN, weights_sha256=shelf.weights_sha256)[0]
    assert (without.mean, without.std) == (CARD.mean, CARD.std)


@pytest.mark.parametrize(
    "said",
    ["", "{", "[1]", '{"mean": 0.5, "std": 0.5}', '{"mean": [0, 0, 0], "std": [0, 1, 1]}',
     '{"mean": [0, 0], "std": [1, 1]}', '{"mean": [0, 0, NaN], "std": [1, 1, 1]}'],
)  # fmt: skip
def test_a_file_that_says_no_normalisation_has_none(said: str) -> None:
    made = weighed.Weighed(sha256="", bytes=0, metadata={"stopgrad": said} if said else {}, tensors={})
    assert made.normalisation is None


def test_of_published_weights_it_is_kept_which_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TimmConfig(name="timm", model="test_resnet.r160_in1k", input_size=64, weights="pretrained")
    fetched = dict(backbones.build(config, SIZE).network.state_dict())
    monkeypatch.setattr(downloading, "download", lambda _: fetched)
    write(tmp_path)
    loaded, metadata = left(tmp_path, config)
    assert (loaded.mean, loaded.std) == config.normalisation
    assert metadata["started_from_sha256"] == tensors.digest(fetched)
    first = next(key for key, tensor in fetched.items() if tensor.ndim == 4)
    fetched |= {first: fetched[first] + 1}
    assert (
        left(tmp_path, config)[1]["started_from_sha256"] == tensors.digest(fetched) != metadata["started_from_sha256"]
    )


def test_another_version_of_a_networks_library_runs_its_cells_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {
        "theirs": {"name": "timm", "model": "test_resnet", "input_size": 64},
        "others": {"name": "torchvision", "model": "resnet18", "input_size": 64},
        "ours": BARE,
    }
    suite = {"variants": {name: {"method": "random", "backbone": section} for name, section in networks.items()}}
    said = []
    with chdir(write(tmp_path, suite=suite)):
        for version in ("1.0+cpu", "2.0"):
            monkeypatch.setattr(published, "version", lambda _, version=version: version)
            configure.main()
            kinds = (Pretraining, Embedding)
            said.append({name: {configs.read(kind, name).library for kind in kinds} for name in networks})
    assert said == [
        {"theirs": {f"timm {version}"}, "others": {f"torchvision {version}"}, "ours": {None}}
        for version in ("1.0", "2.0")
    ]
