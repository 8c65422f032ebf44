"""How many stages run at once, on which GPU, and what is left in order where something fails."""

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from flows import pipeline
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


def refuse(*_: Any) -> Any:
    raise RuntimeError("the server is gone")


def test_what_cannot_be_published_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipeline, "publish", refuse)
    monkeypatch.setattr(pipeline, "get_run_logger", logging.getLogger)
    pipeline.publish_or_say()
    assert caplog.messages == [
        "all stages are done, but what came of them could not be shown or published: the server is gone"
    ]


@pytest.mark.usefixtures("cores")
def test_the_lock_is_put_in_order_where_the_flow_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    ordered = []
    settings = SimpleNamespace(compute=Compute())
    for name, stand_in in {
        "choose.main": lambda **_: None, "files.read": lambda _: {}, "parameters.load": lambda _: settings,
        "refuse_without_server": lambda _: None, "forecast.tell": lambda *_: None, "stages": list,
        "locked": lambda: ["prepare"], "order_lock": lambda *given: ordered.append(given),
        "pipeline.with_options": lambda **_: refuse,
    }.items():  # fmt: skip
        monkeypatch.setattr(f"flows.pipeline.{name}", stand_in)
    monkeypatch.setattr(sys, "argv", ["pipeline"])
    with pytest.raises(RuntimeError, match="the server is gone"):
        pipeline.main()
    assert ordered == [(["prepare"], [])]
