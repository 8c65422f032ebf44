"""How many cells run at once, and on which GPU."""

import psutil
import pytest
import torch

from ssl_core.errors import Refused
from tasks import slots
from tasks.configuration.compute import Compute
from tasks.slots import environments, gpu_groups, usual


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_cpus_are_shared_out_by_threads_and_processes() -> None:
    assert usual(Compute(threads=2)) == 4
    assert usual(Compute(threads=2, devices=2)) == 2
    assert usual(Compute(threads=16)) == 1
    assert environments(Compute(threads=2), 4) == [{}] * 4
    assert environments(Compute(threads=2), 8) == [{"OMP_WAIT_POLICY": "passive"}] * 8


def test_each_cell_has_room_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "CELL_BYTES", psutil.virtual_memory().available // 3)
    assert usual(Compute(threads=1)) in (2, 3)  # what is available changes
    monkeypatch.setattr(slots, "CELL_BYTES", 2**60)
    assert usual(Compute(threads=1)) == 1


def test_cells_are_spread_over_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert usual(Compute(threads=2)) == 1
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments(Compute(threads=2), 2)] == ["0", "1", "2", "3"] * 2
    assert gpu_groups(Compute(devices=2)) == [["0", "1"], ["2", "3"]]
    assert gpu_groups(Compute(device="cpu")) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,1,0")
    assert gpu_groups(Compute(devices=2)) == [["5", "7"], ["1", "0"]]


@pytest.mark.parametrize("asked", [0, -1, 9])
def test_more_than_the_machine_has_is_refused_and_so_is_none(asked: int) -> None:
    with pytest.raises(Refused, match=rf"^slots is {asked}; this machine has 8 cores: 1 to 8 are allowed$"):
        environments(Compute(), asked)
