"""A project of whose stages only the files are there that a record is made from, and what a store holds of it."""

import csv
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.cells import PREPARED, Cell
from tasks.comparison import frame
from tasks.configuration.plan import Plan, Planned
from tasks.tracking import record, store

STEPS = 12


def plan(suite: str, *variants: str, fine_tune: tuple[str, ...] = (), seeds: int = 1) -> Plan:
    """A suite of these variants, on drawn images; 'random' is a baseline."""
    planned = {
        name: Planned(
            method=name, objective=name, family="baseline" if name == "random" else "contrastive", baseline="",
            off_the_shelf="", weights="", input_size=16, representations=["backbone"], trained=True,
            needs_labels=False, needs_colours=False, changes={},
        )
        for name in variants
    }  # fmt: skip
    return Plan(
        suite=suite, question="Why?", source="", seeds=[*range(seeds)], images=["drawn"], fine_tune=[*fine_tune],
        evaluation={"label_fractions": [1.0], "fine_tuning": {"epochs": 1}}, variants=planned,
    )  # fmt: skip


def exported(_pretrained: Path, _representation: str, folder: Path) -> None:
    """Stands for the export of a graph, which takes seconds."""
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that becomes a project, whose record goes to its own store."""
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store, "_export", exported)
    begin()


def begin(uri: str | None = None) -> None:
    """Make the current folder a project."""
    Path("configs").mkdir()
    choose(uri)
    (PREPARED / "drawn").mkdir(parents=True)
    (PREPARED / "drawn" / "card.json").write_text('{"name": "drawn"}')


def choose(uri: str | None) -> None:
    """Let the record go to another store."""
    YAML().dump({"tracking": {"uri": uri}}, Path("params.yaml"))


def finish(of: Plan, cell: Cell, edition: int = 0) -> None:
    """Write what the cell's stages leave, as this edition of code and configuration makes it."""
    YAML().dump({"method": cell.variant, "edition": edition}, Path("configs") / f"{cell.variant}.yaml")
    _identity(cell.figures("pretrain"), identity(cell, edition))
    with (cell.figures("pretrain") / "curves.csv").open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("step", "epoch", "name", "value"))
        writer.writerows((step, 0, "loss", value) for step, value in curve(cell, edition))
    for stage, protocol in (("probe", "feature_extraction"), ("fine_tune", "fine_tuning")):
        folder = cell.figures(stage, "drawn")
        if stage == "probe" or cell.variant in of.fine_tune:
            _identity(folder, f"{stage} {edition}")
            with (folder / "figures.csv").open("w", newline="") as opened:
                writer = csv.writer(opened)
                writer.writerow(frame.WRITTEN)
                for split in ("val", "test"):
                    value = accuracy(cell, f"{protocol} {split} {edition}")
                    writer.writerow(("backbone", protocol, "linear", 1.0, split, "accuracy", value))
        elif (folder / "figures.csv").exists():  # as compare removes what another suite left
            (folder / "figures.csv").unlink()
            (folder / "identity").unlink()
    kept = cell.folder("pretrain")
    (kept / "pictures").mkdir(parents=True, exist_ok=True)
    (kept / "pictures" / "views.png").write_bytes(b"png")
    (kept / "backbone.safetensors").write_bytes(b"weights")


def _identity(folder: Path, said: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "identity").write_text(said)


def identity(cell: Cell, edition: int) -> str:
    return hashlib.sha256(f"{cell.name} {edition}".encode()).hexdigest()[:16]


def curve(cell: Cell, edition: int) -> list[tuple[int, float]]:
    """Steps and losses of a pretraining, one of them no number."""
    return [(step, float("nan") if step == 3 else accuracy(cell, f"{edition} {step}")) for step in range(STEPS)]


def accuracy(cell: Cell, of: str) -> float:
    """A number in 0..1, always the same of the same."""
    return int(hashlib.sha256(f"{cell.name} {of}".encode()).hexdigest()[:6], 16) % 10**6 / 10**6


def compare(of: Plan) -> None:
    """Write the table, as the stage does."""
    frame.write(frame.gather(of), of.results / "comparison.csv")


def check(client: Any, of: Plan) -> None:
    """The suite's runs in a store are what its table shows, each once, whole and ended."""
    experiment = client.get_experiment_by_name(of.images[0]).experiment_id
    found = client.search_runs([experiment], f"tags.`suite.{of.suite}` = 'true'")
    with (of.results / "comparison.csv").open() as opened:
        table = list(csv.DictReader(opened))
    assert sorted(run.info.run_name for run in found) == sorted(cell.name for cell in of.cells)
    for cell in of.cells:
        (run,) = [run for run in found if run.info.run_name == cell.name]
        assert (run.info.status, run.data.tags["superseded"]) == ("FINISHED", "false")
        rows = [row for row in table if (row["variant"], int(row["seed"])) == (cell.variant, cell.seed)]
        names = record.figures(of, cell)
        assert {name: run.data.metrics[name] for name in names} == names
        assert Counter(names.values()) == Counter(float(row["value"]) for row in rows)
        curves = list(record.curves(cell))
        sent = [
            (name, one.step, repr(one.value))
            for name in {name for _, name, _ in curves}
            for one in client.get_metric_history(run.info.run_id, name)
        ]
        assert sorted(sent) == sorted((name, step, repr(value)) for step, name, value in curves)
        pictures = {"pictures"} if (cell.folder("pretrain") / "pictures").exists() else set[str]()
        kept = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert kept >= {"figures", f"{cell.variant}.yaml"} | pictures
    # Nothing that says it is current, or goes on, is of another record of these cells.
    for run in client.search_runs([experiment]):
        if run.data.tags.get("variant") in of.variants and run.info.run_id not in {one.info.run_id for one in found}:
            shown = [key for key in run.data.tags if key.startswith("suite.")]
            assert shown or run.data.tags["superseded"] == "true"
            assert run.info.status != "RUNNING"
