"""Several labels an image, and a number: from a folder and its table to the report, by `dvc repro`."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL_SUITE, clone, edit, run
from PIL import Image

from ssl_core.data import prepared

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
COUNT = 120


def photos(root: Path) -> Path:
    """Noise with red, green or both in it, the upper part of a height darker; and a table of all that."""
    root.mkdir()
    drawn, rows = np.random.default_rng(0), ["file,red,green,height"]
    for i in range(COUNT):
        red, green = (bool(one) for one in drawn.random(2) < 0.5)
        height = int(drawn.integers(1, 15))
        pixels = drawn.integers(0, 60, (16, 16, 3)).astype(np.uint8)
        pixels[..., 0] += 120 * red
        pixels[..., 1] += 120 * green
        pixels[:height] //= 3
        Image.fromarray(pixels).save(root / f"{i:03}.png")
        rows.append(f"{i:03}.png,{int(red)},{int(green)},{height if i != 5 else ''}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def test_one_run_compares_by_average_precision_and_by_r2(tmp_path: Path) -> None:
    project, folder = clone(tmp_path / "project"), photos(tmp_path / "photos")
    source = {"source": "folder", "path": str(folder), "image_size": 16}
    asked = {"colours": {"label": ["red", "green"]}, "heights": {"number": "height"}}
    sets = {name: source | {"labels": {"table": "labels.csv", "file": "file"} | said} for name, said in asked.items()}
    edit(project, lambda content: content.update(images=[*sets], data=sets))
    edit(project, lambda content: content["evaluation"].update(label_fractions=[0.5, 1.0]))
    edit(project, lambda suite: suite.update(variants={"supervised": None}, fine_tune=["supervised"]), SMALL_SUITE)
    edit(project, lambda suite: suite["defaults"]["pretraining"].update(batch_size=16), SMALL_SUITE)
    for command in (("dvc", "repro"), ("python", "-m", "tasks.show")):
        done = run(*command, cwd=project)
        assert done.returncode == 0, done.stdout[-5000:]
    assert "Of colours: Mean average precision on test in percent" in done.stdout
    assert "Of heights: R² on test in percent" in done.stdout
    assert prepared.load(project / "data" / "prepared" / "heights").card.splits["unlabelled"]["count"] == 1
    with (project / "results" / "small" / "comparison.csv").open() as opened:
        rows = [one for one in csv.DictReader(opened) if one["label_fraction"] == "1.0" and one["split"] == "test"]
    found = {(one["images"], one["protocol"], one["head"], one["metric"]): float(one["value"]) for one in rows}
    assert {key[3] for key in found if key[0] == "colours"} == {"mean_average_precision"}
    assert {key[3] for key in found if key[0] == "heights"} == {"r2"}
    assert found["colours", "feature_extraction", "linear", "mean_average_precision"] > 0.85
    assert found["heights", "feature_extraction", "linear", "r2"] > 0.3
    assert {key[1] for key in found} == {"feature_extraction", "fine_tuning"}
    report = (project / "results" / "small" / "report.html").read_text()
    assert "Mean average precision by share of the labels" in report
    assert "R² by share of the labels, on heights" in report
    shown = re.sub(r'src="data:[^"]*"', "", report)
    assert not re.findall(r"[^<>]*accurac[^<>]*", shown, re.IGNORECASE)
