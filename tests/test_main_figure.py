"""What a data set is compared by, where that is not accuracy: in verdicts, tables, sentences, charts and MLflow."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from recorded import enter, finish
from recorded import plan as recorded_plan
from test_answer import AHEAD, ORDER, judged, measured, said
from test_claims import compared, decide, row, suite
from test_comparison import suite as drawn_suite

from ssl_core.data.prepared import Card, Prepared
from tasks import compare
from tasks.cells import PREPARED
from tasks.comparison import charts, heat, neighbourhoods, table
from tasks.comparison import measured as measuring
from tasks.comparison.compared import Compared
from tasks.comparison.measured import Measured
from tasks.comparison.ranking import ranking
from tasks.configuration.plan import Plan
from tasks.exporting import embeddings
from tasks.tracking import champion, page, record

KINDS = [("mean_average_precision", "mean average precision"), ("r2", "R²")]
ROWS = {"a": [0.62, 0.61, 0.63], "b": [0.50, 0.51, 0.50], "c": [0.30, 0.31, 0.29]}

pytestmark = pytest.mark.parametrize(("metric", "words"), KINDS)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def measured_by(metric: str, images: tuple[str, ...] = ("drawn",), others: str = "accuracy") -> Plan:
    """A suite whose first images are compared by a metric."""
    rows = [
        row(name, seed, value, one, metric=others if i else metric)
        for i, one in enumerate(images)
        for name, values in ROWS.items()
        for seed, value in enumerate(values)
    ]
    return compared(suite(ROWS, images), rows)


def test_a_claim_is_decided_by_it_with_an_interval_of_the_seeds(metric: str, words: str) -> None:
    plan = measured_by(metric)
    made = decide(plan, better="a", worse="b")
    assert (made.verdict, made.effect) == ("supported", pytest.approx(11.6667, abs=1e-4))
    assert made.why == f"The interval is of the seeds alone: {words} is no mean over test images."
    assert [contrast.images for contrast in made.contrasts] == [False]
    found = ranking(Measured(plan=plan, figures=measuring.read(plan)), 0.05)
    assert found is not None
    assert (found.order, found.best) == (["a", "b", "c"], ["a"])
    other = decide(plan, figure={"metric": "macro_f1"}, better="a", worse="b")
    assert (other.verdict, other.why) == (
        "undecided", f"macro-F1 is of classes, and these images are compared by {words}."
    )  # fmt: skip


def test_there_is_no_mean_of_unlike_figures(metric: str, words: str) -> None:
    plan = measured_by(metric, ("drawn", "others", "further"))
    made = decide(plan, figure={"data": "transfer"}, better="a", worse="b")
    assert made.verdict == "supported"  # the further ones are both of classes
    frame = compare.frame.read(plan)
    frame.loc[frame["images"] == "further", "metric"] = metric
    compare.frame.write(frame, plan.results / "comparison.csv")
    made = decide(plan, figure={"data": "transfer"}, better="a", worse="b")
    assert made.verdict == "undecided"
    assert made.why.endswith(f"which cannot be weighed together: others by accuracy, further by {words}.")
    assert compare.metrics(plan, frame) == {name: pytest.approx(np.mean(values)) for name, values in ROWS.items()}


def test_unlike_figures_are_not_set_against_each_other(metric: str, words: str) -> None:
    plan = measured_by(metric, ("drawn", "others"))
    arms = {"better": {"variant": "a", "data": "transfer"}, "worse": "b"}
    made = decide(plan, **arms)
    assert (made.verdict, made.effect) == ("undecided", None)
    assert made.why == (
        f"These data sets are compared by unlike figures, which cannot be weighed together: drawn by {words}, others "
        "by accuracy."
    )
    assert decide(measured_by(metric, ("drawn", "others"), others=metric), **arms).verdict == "supported"


def of(metric: str) -> Compared:
    found = measured(drawn_suite(seeds=[0, 1, 2]), AHEAD, few=AHEAD)
    figures = {
        place: {key._replace(metric=metric): by_seed for key, by_seed in of_place.items()}
        for place, of_place in found.figures.items()
    }
    return dataclasses.replace(found, figures=figures)


def test_no_page_calls_it_accuracy(metric: str, words: str) -> None:
    found = of(metric)
    answered = said(found, judged(order=ORDER))
    assert f"with a test {words} of 60.3 ± " in answered
    notes = " ".join(table.notes(found))
    assert f"{words[0].upper()}{words[1:]} on test in percent" in notes
    simclr = next(one for one in table.rows(found, "drawn") if one[0] == "simclr")
    assert simclr[2].startswith("60.3±")
    assert heat.ablations(found) is not None
    drawn = charts.by_label_fraction(found, "drawn") + charts.by_cost(found, "drawn")
    assert f"test {words}, %" in drawn
    assert not [text for text in (answered, notes, drawn) if "accurac" in text.lower()]
    assert "of the test images right" not in answered


def test_images_without_labels_are_not_among_what_differences_are_of(metric: str, words: str) -> None:
    found = of(metric)
    found = dataclasses.replace(found, plan=dataclasses.replace(found.plan, images=["unlabelled", "drawn"]))
    assert heat.ablations(found) is not None
    assert heat.points_of(found) == words


def test_labels_that_test_does_not_show_are_named(metric: str, words: str) -> None:
    (PREPARED / "drawn").mkdir(parents=True)
    card = PREPARED / "drawn" / "card.json"
    card.write_text(json.dumps({"unseen": {"test": ["owl", "yak"]}}))
    assert "No figure tells of owl, yak: no test image of drawn shows them." in table.notes(of(metric))
    card.write_text(json.dumps({"unseen": {"test": [*"abcdefgh"]}}))
    assert "No figure tells of a, b, c, d, e and 3 more: no test image of drawn shows them." in table.notes(of(metric))


def test_mlflow_has_a_section_of_its_name(
    metric: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    enter(tmp_path / "project", monkeypatch)
    plan = recorded_plan("main", "simclr", "random", fine_tune=("simclr",))
    for cell in plan.cells:
        finish(plan, cell)
        for stage in ("probe", "fine_tune"):
            file = cell.figures(stage, "drawn") / "figures.csv"
            if file.exists():
                file.write_text(file.read_text().replace("accuracy", metric))
    section = "R2" if metric == "r2" else metric.replace("_", " ")
    names = record.names(plan)
    first = f"{section}/val 100 percent linear probe"
    assert {first, first.replace("val", "test"), f"{section}/test 100 percent fine-tuned"} <= names
    assert not [name for name in names if "accuracy" in name or set(name) & set("%,()'`²")]
    assert record.largest_share(names) == first
    sections = page._sections(names)
    assert (
        next(iter(sections)) == f"{words[0].upper()}{words[1:]} of the linear probe by share of labels, val beside test"
    )
    assert {cell.variant for cell in champion.standings(plan)} == {"simclr", "random"}
    target = "number" if metric == "r2" else "labels"
    (PREPARED / "drawn" / "card.json").write_text(json.dumps({"target": target}))
    assert record.compared_by(plan) == metric


def test_what_images_are_labelled_with_is_shown_and_exported(metric: str, words: str, tmp_path: Path) -> None:
    number = metric == "r2"
    y = np.array([3.5, np.nan, 7.0]) if number else np.array([[1, 0, 1], [-1, -1, -1], [0, 0, 0]], np.int8)
    card = Card(
        name="drawn", image_size=4, classes=["age"] if number else ["cat", "dog", "owl"], splits={}, grey=False,
        mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), original_sizes={}, sources=[], skipped={},
        target="number" if number else "labels",
    )  # fmt: skip
    np.save(tmp_path / "test_labels.npy", y)
    data = Prepared(folder=tmp_path, card=card)
    exported = [embeddings._named(one, data) for one in y]
    assert exported == (["3.5", None, "7.0"] if number else ["cat|owl", None, ""])
    mapped = neighbourhoods.mapped_labels(data)
    np.testing.assert_array_equal(mapped, y if number else [0, -1, -1])
    points = np.random.default_rng(0).random((3, 2))
    assert "<svg" in charts.maps({"simclr": points}, mapped, card.classes)
    alike = [neighbourhoods._same(y[0], other) for other in y]
    assert alike == ([None, None, None] if number else [True, False, False])
