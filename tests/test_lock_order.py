"""A flow leaves dvc.lock in one order, whichever stage ended first."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.graph import locked, order_lock


@pytest.mark.parametrize(
    ("before", "after", "ordered"),
    [
        ([], ["b", "c", "a"], ["a", "b", "c"]),
        (["c"], ["c", "b", "a"], ["c", "a", "b"]),
        (["other", "b"], ["other", "b", "c", "a"], ["other", "b", "a", "c"]),
        (["c", "a", "b"], ["c", "a", "b"], ["c", "a", "b"]),
    ],
)
def test_what_was_there_comes_first_then_what_is_new_as_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[str], after: list[str], ordered: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"schema": "2.0", "stages": {name: {"cmd": f"run {name}"} for name in after}}
    YAML().dump(content, Path("dvc.lock"))
    order_lock(before, ["a", "b", "c"])
    assert locked() == ordered
    assert YAML(typ="safe").load(Path("dvc.lock")) == content


def test_without_a_lock_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    order_lock([], ["a"])
    assert not list(tmp_path.iterdir())
