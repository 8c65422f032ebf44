"""How many stages run at once, and on which GPU."""

import pytest
import torch

from flows.pipeline import gpu_groups, least_used, machine
from ssl_core.errors import Refused
from tasks.configuration.compute import Compute


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("cores")
def test_cpus_are_shared_out_by_threads_and_processes() -> None:
    assert machine(Compute(threads=2), None) == ({"cpu": 4, "device": 4}, [{}])
    assert machine(Compute(threads=2, devices=2), None)[0] == {"cpu": 2, "device": 2}
    assert machine(Compute(threads=16), None)[0] == {"cpu": 1, "device": 1}
    assert machine(Compute(threads=2), 8) == ({"cpu": 8, "device": 8}, [{"OMP_WAIT_POLICY": "passive"}])


@pytest.mark.usefixtures("cores")
def test_stages_are_spread_over_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    slots, environments = machine(Compute(threads=2), 3)
    assert slots == {"cpu": 3, "device": 12}
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "2", "3"]
    assert gpu_groups(Compute(devices=2)) == [["0", "1"], ["2", "3"]]
    assert gpu_groups(Compute(device="cpu")) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,1,0")
    assert gpu_groups(Compute(devices=2)) == [["5", "7"], ["1", "0"]]


def test_the_least_used_place_is_next() -> None:
    assert [least_used([], 2), least_used([0], 2), least_used([0, 1], 2), least_used([0, 1, 1], 2)] == [0, 1, 0, 0]


@pytest.mark.usefixtures("cores")
def test_no_slot_is_refused() -> None:
    with pytest.raises(Refused, match="--slots is 0; at least 1 is needed"):
        machine(Compute(), 0)
