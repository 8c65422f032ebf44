"""Files of weights: what is read of them, and that nothing in them is ever run."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ssl_core.errors import Refused
from tasks import tensors

WEIGHT, BIAS = torch.arange(6.0).view(2, 3), torch.ones(2, dtype=torch.bfloat16)


class Harmful:
    """What a pickle can make happen: a command, when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.pth.tar"])
def test_nested_mappings_become_names(tmp_path: Path, name: str) -> None:
    content = {
        "state_dict": {"conv.weight": WEIGHT, "bn": {"bias": torch.nn.Parameter(torch.ones(2))}},
        "args": argparse.Namespace(arch="vit_small"),
        "epoch": 3,
        "optimizer": {"state": {0: {"exp_avg": WEIGHT}}, "param_groups": [{"lr": 0.1}]},
    }
    torch.save(content, tmp_path / name)
    found = tensors.read(tmp_path / name)
    assert list(found.tensors) == ["state_dict.conv.weight", "state_dict.bn.bias", "optimizer.state.0.exp_avg"]
    assert torch.equal(found.tensors["state_dict.conv.weight"], WEIGHT)
    assert not found.tensors["state_dict.bn.bias"].requires_grad
    assert found.metadata == {}


def test_safetensors_have_metadata(tmp_path: Path) -> None:
    save_file({"conv.weight": WEIGHT, "bias": BIAS}, tmp_path / "w.safetensors", metadata={"model": "x"})
    found = tensors.read(tmp_path / "w.safetensors")
    assert found.metadata == {"model": "x"}
    assert torch.equal(found.tensors["conv.weight"], WEIGHT)
    assert found.tensors["bias"].dtype == torch.bfloat16


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "plain pickle"])
def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path, legacy: bool) -> None:
    ran, file = tmp_path / "ran", tmp_path / "w.pth"
    torch.save({"conv.weight": WEIGHT, "x": Harmful(ran)}, file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        Refused, match=r"w\.pth is a pickle that would run code \(\w+\.system\), and was not run: where"
    ):
        tensors.read(file)
    assert not ran.exists()
    torch.load(file, weights_only=False)  # the proof that it would have
    assert ran.exists()


def test_a_whole_module_is_a_pickle_that_would_run_code(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(Refused, match=r"would run code \(torch\.nn\.modules\.linear\.Linear\)"):
        tensors.read(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "old.pth", "w.safetensors"])
@pytest.mark.parametrize("left", [0, 5, 3000])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, left: int) -> None:
    file = tmp_path / name
    if name.endswith(".safetensors"):
        save_file({"w": torch.zeros(1000)}, file)
    else:
        torch.save({"w": torch.zeros(1000)}, file, _use_new_zipfile_serialization=name != "old.pth")
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(
        Refused, match=r"is damaged, or (no safetensors file|was not written by torch\.save)"
    ) as refused:
        tensors.read(file)
    assert "\n" not in str(refused.value)


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "names": ["a"]}, tmp_path / "w.pth")
    save_file({}, tmp_path / "w.safetensors")
    (tmp_path / "w.onnx").write_bytes(b"x")
    (tmp_path / "folder.pth").mkdir()
    sentences = {
        "w.pth": "has no tensors in it, and so no weights",
        "w.safetensors": "has no tensors in it, and so no weights",
        "w.onnx": "ends in '.onnx'; a .safetensors file, or one that torch.save wrote (.pth, .pt, .bin, .ckpt) is",
        "folder.pth": "is a folder; a .safetensors file, or",
        "missing.pth": "missing.pth is not there",
    }
    for name, sentence in sentences.items():
        with pytest.raises(Refused) as refused:
            tensors.read(tmp_path / name)
        assert sentence in str(refused.value)
