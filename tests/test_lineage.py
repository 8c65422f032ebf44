"""What made a cell's figures, in one command's text."""

import re
from pathlib import Path

import pytest
from test_comparison import project, suite

from ssl_core.errors import Refused
from tasks.tracking import lineage


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_a_cells_lineage_names_figures_stages_files_and_run() -> None:
    plan = project(suite(seeds=[0, 1]))
    Path("configs/simclr.yaml").write_text("objective: {name: simclr}\n")
    said = lineage.text(plan, "simclr-1")
    assert "accuracy/test 100 percent linear probe  0.82" in said
    assert re.search(r"probe drawn  probe-simclr-1-drawn  11\.0 s", said)
    assert re.search(r"configs/simclr\.yaml  sha256 [0-9a-f]{64}", said)
    assert re.search(r"data/prepared/drawn/card\.json  sha256 [0-9a-f]{64}", said)
    assert "has no run yet: `python -m tasks.show` delivers it" in said
    assert not Path("mlflow.db").exists()
    Path("observations/probe/probe-simclr-1-drawn.json").unlink()
    assert "probe-simclr-1-drawn  not observed here" in lineage.text(plan, "simclr-1")


def test_a_store_that_does_not_answer_is_said_in_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = project(suite())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert re.search(r"MLflow\n  cannot be asked now \(.+\)$", lineage.text(plan, "simclr-0"))


def test_a_cell_that_is_not_there_is_refused_with_the_names_near_it() -> None:
    with pytest.raises(Refused, match="has no cell 'simclr-7'; the nearest are simclr-0"):
        lineage.text(project(suite()), "simclr-7")
