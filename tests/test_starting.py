"""Pretraining from given weights: what is loaded, when, and how fast; and what cannot be."""

import dataclasses
import os
import re
import shutil
import time
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import PROJECT, run
from every_objective import CLASSES, EVERY, SIZE, backbone_of
from safetensors.torch import save_file
from torch import Tensor
from written_files import GONE, refusal, write

from ssl_core import backbones
from ssl_core.augmentation import Recipe
from ssl_core.backbones import BackboneConfig, ResNetConfig, TimmConfig
from ssl_core.errors import Refused
from ssl_core.heads import Teacher
from ssl_core.objectives import Objective
from tasks import configure, downloading, pretrain, starting
from tasks.configuration import configs, files, resolve, weighed
from tasks.configuration.compute import Compute
from tasks.configuration.configs import Pretraining
from tasks.configuration.variant import Budget

OURS = ResNetConfig(name="resnet10", width=8)
SECTION = {"name": "resnet10", "width": 8, "weights": "given"}
TAUGHT = {name: config for name, config in EVERY.items() if getattr(config, "momentum", None)}


def given(file: Path, config: BackboneConfig = OURS, image_size: int = SIZE) -> dict[str, Tensor]:
    """Write a file of weights of a network, and give what is in it."""
    torch.manual_seed(7)
    tensors = dict(backbones.build(config, image_size).network.state_dict())
    save_file(tensors, file)
    return tensors


def equal(module: torch.nn.Module, tensors: dict[str, Tensor]) -> bool:
    state = module.state_dict()
    return state.keys() == tensors.keys() and all(torch.equal(state[key], tensors[key]) for key in state)


def built(root: Path, objective: Any, backbone: BackboneConfig, seed: int = 0, **changed: Any) -> Objective:
    """What the pretrain stage builds of a variant, in a folder whose params.yaml names `given`."""
    file = root / "given.safetensors"
    params = {"weights": {"given": str(file)}} | changed
    with chdir(write(root, params=params)):
        config = Pretraining(
            variant="v",
            method="v",
            objective=objective,
            backbone=backbone,
            augmentation=(Recipe(views=2),),
            pretraining=Budget(epochs=1.0),
            compute=Compute(),
            code="",
            weights_sha256=weighed.weigh(file).sha256 if file.exists() else "",
        )
        data: Any = SimpleNamespace(card=SimpleNamespace(image_size=SIZE, classes=["c"] * CLASSES))
        return pretrain.build(config, data, seed)[0]


def with_weights(config: BackboneConfig, **changes: Any) -> BackboneConfig:
    return dataclasses.replace(config, weights="given", **changes)


@pytest.mark.parametrize("objective", TAUGHT.values(), ids=TAUGHT)
def test_a_teacher_begins_with_the_weights_that_are_given(tmp_path: Path, objective: Any) -> None:
    backbone = backbone_of(objective)
    tensors = given(tmp_path / "given.safetensors", backbone)
    made = built(tmp_path, objective, with_weights(backbone))
    teacher: Any = made.teacher
    assert isinstance(teacher, Teacher)
    copied: Any = teacher.networks[0]
    assert equal(made.encoder.network, tensors)
    assert equal(copied.network, tensors)


def test_the_seed_decides_the_heads_alone_and_frozen_stages_are_not_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = given(tmp_path / "given.safetensors")
    first, second = (built(tmp_path, EVERY["simclr"], with_weights(OURS, frozen_stages=2), seed) for seed in (0, 1))
    scratch = built(tmp_path, EVERY["simclr"], OURS, 0)
    assert equal(first.encoder.network, tensors)
    assert equal(second.encoder.network, tensors)
    assert not equal(scratch.encoder.network, tensors)
    heads = [one.get_submodule("projector").state_dict() for one in (first, second, scratch)]
    weight = next(key for key, tensor in heads[0].items() if tensor.ndim == 2)
    assert not torch.equal(heads[0][weight], heads[1][weight])
    assert torch.equal(heads[0][weight], heads[2][weight])
    frozen = [parameter for parameter in first.encoder.parameters() if not parameter.requires_grad]
    assert 0 < len(frozen) < len(list(first.encoder.parameters()))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2
    assert said[0] == f"weights: params.yaml: weights.given ({tmp_path}/given.safetensors): {len(tensors)} tensors"


def test_another_file_than_was_configured_is_refused(tmp_path: Path) -> None:
    given(tmp_path / "given.safetensors")
    backbone = backbones.build(OURS, SIZE)
    with chdir(write(tmp_path, params={"weights": {"given": str(tmp_path / "given.safetensors")}})):
        with pytest.raises(
            Refused, match=r"given\.safetensors\) is another file than was configured: run `dvc repro`$"
        ):
            starting.start(backbone, with_weights(OURS), "0" * 64)
        known = weighed.weigh(tmp_path / "given.safetensors").sha256
        starting.start(backbone, with_weights(OURS), known)
        (tmp_path / "given.safetensors").unlink()
        with pytest.raises(Refused, match=r"weights\.given: .* is not there$"):
            starting.start(backbone, with_weights(OURS), known)
        write(tmp_path, params={"weights": {"givn": "x"}})
        with pytest.raises(Refused, match=r"params\.yaml: weights has no 'given' any more: did you mean givn\?"):
            starting.start(backbone, with_weights(OURS), known)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = given(tmp_path / "given.safetensors")
    broken = [key for key, tensor in tensors.items() if tensor.ndim == 4][1:3]
    for key, value in zip(broken, (float("nan"), float("inf")), strict=True):
        tensors[key].view(-1)[0] = value
    head = {"fc.weight": torch.full((2, 2), torch.nan)}  # is not loaded
    save_file({f"model.{key}": tensor for key, tensor in (tensors | head).items()}, tmp_path / "given.safetensors")
    with pytest.raises(
        Refused, match=rf"\) has values that are not finite in 2 of its tensors, first in {re.escape(broken[0])}$"
    ):
        built(tmp_path, EVERY["simclr"], with_weights(OURS))


OFFLINE = """
from ssl_core import backbones
from ssl_core.backbones import TimmConfig, TorchvisionConfig
from tasks import starting
from tasks.stage import stage
config = {config}
with stage():
    starting.start(backbones.build(config, 64), config, None)
"""


@pytest.mark.parametrize(
    ("config", "address"),
    [
        (
            "TimmConfig(name='timm', model='test_resnet.r160_in1k', weights='pretrained')",
            "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors",
        ),
        (
            "TorchvisionConfig(name='torchvision', model='resnet18', weights='pretrained')",
            "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        ),
    ],
    ids=["timm", "torchvision"],
)
def test_without_a_network_it_is_said_what_file_to_bring(tmp_path: Path, config: str, address: str) -> None:
    closed = "http://127.0.0.1:9"
    # timm's client knocks at a closed door for a minute, unless it is told that it is offline.
    environment = {
        "HF_ENDPOINT": closed,
        "HF_HUB_OFFLINE": "1",
        "https_proxy": closed,
        "http_proxy": closed,
        "HTTPS_PROXY": closed,
    }
    homes = {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch"), "PYTHONPATH": str(PROJECT)}
    done = run("python", "-c", OFFLINE.format(config=config), cwd=PROJECT, **environment, **homes)
    assert done.returncode == 1
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("stopgrad: ")]
    assert "could not be downloaded (" in said
    assert said.endswith(
        f"fetch {address} elsewhere, add the file to params.yaml's weights, and set backbone.weights to its name there"
    )


def test_nothing_is_fetched_of_what_nobody_publishes() -> None:
    config = TimmConfig(name="timm", model="resnet200", weights="pretrained")
    with pytest.raises(Refused, match=r"weights is pretrained, and nobody publishes weights of timm's resnet200$"):
        downloading.download(config)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (GONE, "params.yaml: weights is None; a mapping is needed, of files by name: {} for none"),
        (["a"], "params.yaml: weights is ['a']; a mapping is needed"),
        ({"a": None}, "params.yaml: weights.a is None; the path of a file is needed"),
        ({"a": "~/a.pth"}, f"params.yaml: weights.a is ~/a.pth, which DVC does not expand: write {Path.home()}/a.pth"),
        ({"pretrained": "a.pth"}, "params.yaml: weights.pretrained: that name is kept for what timm or torchvision"),
        ({"a b": "a.pth"}, "params.yaml: weights names 'a b'; a name has letters"),
    ],
)
def test_a_mapping_of_names_to_files_is_needed(tmp_path: Path, weights: Any, sentence: str) -> None:
    assert sentence in refusal(tmp_path, params={"weights": weights})


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"variants.simclr.backbone": SECTION | {"weights": "givn"}},
            "suites/ours.yaml: variants.simclr.backbone.weights is 'givn', which params.yaml's weights do not have: "
            "did you mean given?",
        ),
        (
            {"defaults.backbone": SECTION},
            "variants.random: backbone.weights is given; the objective random is of initial weights: set "
            "backbone.weights to null",
        ),
        (
            {"variants.off_the_shelf": None},
            "variants.off_the_shelf: the objective off_the_shelf evaluates weights as they come, and backbone.weights "
            "is null: say `make repro SUITE=weights WEIGHTS=FILE`, or name",
        ),
        ({"variants.simclr.backbone": SECTION | {"frozen_stages": 9}}, "frozen_stages is 9; resnet10 has 5 stages"),
        ({"variants.simclr.backbone": SECTION | {"weights": "pretrained"}}, "nobody publishes weights of resnet10"),
    ],
)
def test_weights_that_a_variant_cannot_have(tmp_path: Path, section: dict[str, Any], sentence: str) -> None:
    said = refusal(tmp_path, params={"weights": {"given": "given.safetensors"}}, suite=section)
    assert sentence in said


def test_supervised_and_frozen_start_from_given_weights_and_each_is_paired(tmp_path: Path) -> None:
    bare = {"name": "resnet10", "width": 8}
    sections: dict[str, Any] = {
        "initial": {"method": "random", "backbone": bare},
        "other": {"method": "off_the_shelf", "backbone": bare | {"weights": "other"}},
        "shelf": {"method": "off_the_shelf", "backbone": SECTION},
        "scratch": {"method": "simclr", "backbone": bare},
        "on": {"method": "simclr", "backbone": SECTION | {"frozen_stages": 1}},
        "taught": {"method": "supervised", "backbone": SECTION},
        "third": {"method": "simclr", "backbone": bare | {"weights": "third"}},
        "wide": {"method": "simclr", "backbone": SECTION | {"width": 16}},
    }
    paths = {name: f"{name}.safetensors" for name in ("given", "other", "third")}
    write(tmp_path, params={"weights": paths}, suite={"variants": sections})
    with chdir(tmp_path):
        made = resolve.load()
        pairs = {name: (made.baseline(name), made.off_the_shelf(name)) for name in sections}
        plan = configs.planned(made)
    assert pairs == {
        "initial": ("", ""),
        "other": ("initial", ""),
        "shelf": ("initial", ""),
        "scratch": ("initial", "other"),
        "on": ("initial", "shelf"),
        "taught": ("initial", "shelf"),
        "third": ("initial", ""),
        "wide": ("", ""),
    }
    assert [plan.variants[name].weights for name in ("scratch", "on", "other")] == ["", "given", "other"]
    assert plan.variants["on"].input_size == 28


def test_configure_keeps_the_digest_and_refuses_what_is_of_another_network(tmp_path: Path) -> None:
    file = tmp_path / "given.safetensors"
    given(file)
    params: dict[str, Any] = {"weights": {"given": str(file)}}
    suite: dict[str, Any] = {"variants": {"simclr": {"backbone": SECTION}, "random": None}}
    with chdir(write(tmp_path, params=params, suite=suite)):
        assert '"given"' in configure.explain("simclr")  # which needs no weighed file
        with pytest.raises(
            Refused, match=r"data/weights/given\.json is missing: run `dvc repro`, or `python -m tasks\."
        ):
            configure.main()
        weighed.write("given", weighed.weigh(file))
        weighed.write("former", weighed.weigh(file))
        foreign = {"mine.json": b"{}", "list.json": b"[1]", "broken.json": b"{", "picture.json": b"\x89\xff"}
        for name, content in foreign.items():
            (tmp_path / "data/weights" / name).write_bytes(content)
        (tmp_path / "data/weights/folder.json").mkdir()
        configure.main()
        assert {path.name for path in Path("data/weights").iterdir()} == {*foreign, "folder.json", "given.json"}
        known = {name: configs.read(Pretraining, name).weights_sha256 for name in ("simclr", "random")}
        assert known == {"simclr": weighed.weigh(file).sha256, "random": None}
        before = files.read(Path("configs/simclr.yaml"))
        suite["variants"]["simclr"]["backbone"] = SECTION | {"name": "resnet18"}
        write(tmp_path, params=params, suite=suite)
        with pytest.raises(
            Refused, match=r"variant simclr: params\.yaml: weights\.given \(.*given\.safetensors\) "
        ) as said:
            configure.main()
        assert re.search(r"(lacks|has) \d+ of the \d+ tensors of this network", str(said.value))
        assert files.read(Path("configs/simclr.yaml")) == before


REAL = os.environ.get("STOPGRAD_WEIGHTS")


@pytest.mark.skipif(not REAL, reason="STOPGRAD_WEIGHTS names no file of real weights (tf_efficientnet_lite0)")
def test_real_weights_load_in_a_second(tmp_path: Path) -> None:
    real = Path(str(REAL)).resolve()
    config = TimmConfig(name="timm", model="tf_efficientnet_lite0", input_size=64, weights="real")
    backbone = backbones.build(config, 64)
    with chdir(write(tmp_path, params={"weights": {"real": str(real)}})):
        made = weighed.weigh(real)
        weighed.refuse_misfit(config, 64, made)
        started = time.process_time()
        starting.start(backbone, config, made.sha256)
        assert time.process_time() - started < 1
    import timm
    from safetensors.torch import load_file

    theirs: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    theirs.load_state_dict(load_file(real))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), theirs.eval()(images))


@pytest.mark.skipif(not REAL, reason="STOPGRAD_WEIGHTS names no file of real weights (tf_efficientnet_lite0)")
def test_real_weights_are_chosen_in_one_command(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "suites", tmp_path / "suites")
    for name in ("params.yaml", "methods.yaml", "dvc.yaml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    command = ("python", "-m", "tasks.configuration.choose", "--suite", "weights", "--weights", str(REAL))
    done = run(*command, cwd=tmp_path, PYTHONPATH=str(PROJECT))
    assert done.returncode == 0, done.stdout
    chosen = files.read(tmp_path / "suites" / "weights.yaml")["defaults"]["backbone"]
    assert (chosen["name"], chosen["model"], chosen["input_size"]) == ("timm", Path(str(REAL)).stem, 64)
