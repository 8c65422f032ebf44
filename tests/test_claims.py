"""From claims to verdicts: what a claim compiles to, what is said of it, what is missing, and the ranking."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from ssl_core.errors import Refused
from tasks import correct, verdict
from tasks.cells import Cell
from tasks.comparison import claims, frame, measured, troubles, verdicts
from tasks.comparison.interval import POCOCK, Effect, effect, seeds_to_decide
from tasks.comparison.measured import Key, Measured, Term
from tasks.comparison.ranking import ranking
from tasks.comparison.troubles import Trouble
from tasks.comparison.verdicts import Verdict, Verdicts
from tasks.configuration import asking
from tasks.configuration import plan as plans
from tasks.configuration.asking import Asked
from tasks.configuration.plan import Plan, Planned
from tasks.configuration.suite import Claim
from tasks.correct import Predicted

PLANNED = Planned(
    method="", objective="", family="", baseline="", off_the_shelf="", weights="", input_size=28,
    representations=["backbone"], trained=True, needs_labels=False, needs_colours=False, changes={},
)  # fmt: skip
PROBE = Key("feature_extraction", "linear", 1.0, "accuracy")


def suite(accuracy: Mapping[str, Sequence[float]], images: Sequence[str] = ("drawn",)) -> Plan:
    """A plan of variants with as many seeds as their accuracies, from 0."""
    return Plan(
        suite="test", question="?", source="", seeds=[*range(len(next(iter(accuracy.values()))))],
        images=[*images], fine_tune=[], evaluation={}, variants=dict.fromkeys(accuracy, PLANNED),
    )  # fmt: skip


def row(variant: str, seed: int, value: float, images: str = "drawn", **changes: Any) -> dict[str, Any]:
    """A row of comparison.csv."""
    usual = {
        "variant": variant, "objective": "o", "family": "f", "baseline": "", "seed": seed, "images": images,
        "representation": "backbone", "protocol": "feature_extraction", "head": "linear", "label_fraction": 1.0,
        "split": "test", "metric": "accuracy", "value": value,
    }  # fmt: skip
    return usual | changes


def compared(plan: Plan, rows: Sequence[dict[str, Any]], troubled: Sequence[Trouble] = ()) -> Plan:
    """What compare leaves behind."""
    plan.results.mkdir(parents=True, exist_ok=True)
    frame.write(pd.DataFrame(rows, columns=pd.Index(frame.COLUMNS)), plan.results / "comparison.csv")
    troubles.write(plan, troubled)
    return plan


def of(accuracy: Mapping[str, Sequence[float]], troubled: Sequence[Trouble] = ()) -> Plan:
    """A suite of such accuracies, compared."""
    rows = [row(name, seed, value) for name, values in accuracy.items() for seed, value in enumerate(values)]
    return compared(suite(accuracy), rows, troubled)


def trouble(cell: str, representation: str = "", images: str = "") -> Trouble:
    return Trouble(cell=cell, representation=representation, images=images, says="")


def said(**claim: Any) -> Claim:
    """A claim as a suite has it."""
    return Claim.model_validate({"says": "So it is.", "more_than": 1.0} | claim)


def decide(plan: Plan, looks: int = 1, **claim: Any) -> Verdict:
    """The verdict on one claim."""
    asked = Asked(looks=looks, claims={"it": said(**claim)})
    return verdict.decide(plan, asked).claims[0]


def term(variant: str, **changes: Any) -> Term:
    return Term(**{"variant": variant, "representation": "backbone", "images": ("drawn",), "key": PROBE} | changes)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# What a claim compiles to.


A, B, C, D = (term(name) for name in "abcd")
PAIRS = {"better": ["a", "b"], "worse": ["c", "d"]}


@pytest.mark.parametrize(
    ("claim", "contrasts"),
    [
        (PAIRS, [[{A: 0.5, B: 0.5, C: -0.5, D: -0.5}]]),
        (PAIRS | {"how": "every"}, [[{A: 1, C: -1}, {A: 1, D: -1}, {B: 1, C: -1}, {B: 1, D: -1}]]),
        (PAIRS | {"how": "best"}, [[{A: 1, C: -1}, {A: 1, D: -1}], [{B: 1, C: -1}, {B: 1, D: -1}]]),
        (PAIRS | {"how": "pairwise"}, [[{A: 1, C: -1}, {B: 1, D: -1}]]),
        ({"between": ["a", "b", "c", "d"]}, [[{B: 1, A: -1}, {B: 1, D: -1}], [{C: 1, A: -1}, {C: 1, D: -1}]]),
        (
            {"more": {"better": ["a", "b"], "worse": "d"}, "less": {"better": "c", "worse": "d"}},
            [[{A: 0.5, B: 0.5, C: -1}]],
        ),
    ],
)
def test_a_claim_is_the_greatest_of_the_least_of_contrasts(claim: dict[str, Any], contrasts: Any) -> None:
    made = claims.compiled(suite({name: [0.0] for name in "abcd"}), said(**claim))
    assert made == contrasts


def test_an_arm_says_what_of_its_figure_differs() -> None:
    plan = suite({name: [0.0] for name in "ab"}, images=["drawn", "others", "further"])
    plan.variants["b"] = dataclasses.replace(PLANNED, representations=["teacher", "backbone"])
    claim = said(
        figure={"labels": 0.1, "metric": "macro_f1"},
        better=[{"variant": "a", "protocol": "fine_tuning"}, {"variant": "b", "head": "knn20", "data": "transfer"}],
        worse={"variant": "b", "representation": "backbone", "labels": 1.0},
    )
    ((weights,),) = claims.compiled(plan, claim)
    assert [*weights] == [
        term("a", key=Key("fine_tuning", "linear", 0.1, "macro_f1")),
        term("b", representation="teacher", images=("others", "further"),
             key=Key("feature_extraction", "knn20", 0.1, "macro_f1")),
        term("b", key=Key("feature_extraction", "linear", 1.0, "macro_f1")),
    ]  # fmt: skip
    assert [claims.in_words(plan, one) for one in weights] == [
        "a, fine-tuned, 10 % of the labels, macro-F1",
        "b, k-NN, 10 % of the labels, on other images, macro-F1",
        "b, backbone, macro-F1",
    ]


# Verdicts.

WIDE = {"a": [0.70, 0.72, 0.71], "b": [0.60, 0.61, 0.605], "c": [0.60, 0.615, 0.60]}


def test_a_verdict_with_its_interval_in_points() -> None:
    found = decide(of(WIDE), better="a", worse="b")
    expected = effect(np.array([*WIDE.values()]), np.array([1.0, -1.0, 0.0]))
    lower, upper = expected.limits(0.05)
    assert (found.verdict, found.effect) == ("supported", pytest.approx(10.5, abs=1e-3))
    assert (found.lower, found.upper) == (pytest.approx(100 * lower, abs=1e-3), pytest.approx(100 * upper, abs=1e-3))
    assert found.seeds_to_decide is None
    assert found.cells == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]
    (contrast,) = found.contrasts
    assert contrast.weights == {"a": 1.0, "b": -1.0}
    assert (contrast.effect, contrast.lower, contrast.images) == (found.effect, found.lower, False)
    assert found.why == claims.ALONE


def test_supported_refuted_and_undecided() -> None:
    plan = of(WIDE)
    assert decide(plan, better="b", worse="a").verdict == "refuted"
    assert decide(plan, better="b", worse="a", more_than=-20).verdict == "supported"  # costs no more than 20
    assert decide(plan, better=["a", "b"], worse="c", how="every", more_than=-0.5).verdict == "undecided"
    assert decide(plan, better=["a", "b"], worse="c", how="best").verdict == "supported"
    assert decide(plan, better=["a", "b"], worse="c", how="every", more_than=9).verdict == "refuted"
    between = decide(plan, between=["b", "a", "c"])
    assert (between.verdict, len(between.contrasts)) == ("supported", 2)
    equal = decide(plan, better="b", worse="c", more_than=5)
    assert equal.verdict == "refuted"  # no difference that matters


def test_more_looks_ask_for_more() -> None:
    plan = of(WIDE)
    one, three = (decide(plan, looks=looks, better="a", worse="b") for looks in (1, 3))
    assert one.lower is not None
    assert three.lower is not None
    assert three.lower < one.lower


def test_an_open_verdict_names_the_seeds_that_would_decide() -> None:
    found = decide(of(WIDE), better="b", worse="c", more_than=0.5)
    assert found.verdict == "undecided"
    assert found.seeds_to_decide is not None
    assert 3 < found.seeds_to_decide <= 30
    found = decide(of(WIDE), better="b", worse="c", more_than=0.0)
    assert (found.verdict, found.seeds_to_decide) == ("undecided", None)
    assert "Not even 30 seeds would decide it." in found.why


def test_seeds_to_decide_are_planned_for_one_look_more_which_is_to_be_declared() -> None:
    claim: dict[str, Any] = {"better": "b", "worse": "c", "more_than": 0.5}
    plan = of(WIDE)
    difference = effect(np.array([*WIDE.values()]), np.array([0.0, 1.0, -1.0]))
    planned = {looks: seeds_to_decide([[difference]], 0.005, POCOCK[looks]) for looks in POCOCK}
    for looks, level in ((1, 2), (4, 5), (5, 5)):
        assert decide(plan, looks=looks, **claim).seeds_to_decide == planned[level]
    assert planned[1] != planned[2]
    assert decide(plan, **claim).why.endswith("Declare looks: 2 with more seeds.")
    assert "Declare" not in decide(plan, looks=5, **claim).why
    assert "Declare" not in decide(plan, better="a", worse="b").why


def test_of_thirty_seeds_and_more_it_does_not_speak_of_thirty_as_of_more() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.02, (2, 35)).tolist()
    found = decide(of(dict(zip("ab", drawn, strict=True))), better="a", worse="b", more_than=0.0)
    assert found.verdict == "undecided"
    assert "Not even" not in found.why
    assert "35 seeds have not decided it, and for more than 30 no number is sought." in found.why


def test_one_seed_decides_nothing() -> None:
    found = decide(of({"a": [0.9], "b": [0.1]}), better="a", worse="b")
    assert (found.verdict, found.effect, found.lower, found.upper) == ("undecided", pytest.approx(80), None, None)
    assert (found.contrasts[0].lower, found.seeds_to_decide) == (None, None)
    assert found.why == "One seed decides nothing: add seeds to the suite."


def test_what_is_missing_is_named_and_nothing_stands_in_for_it() -> None:
    rows = [row(name, seed, value) for name, values in WIDE.items() for seed, value in enumerate(values)]
    rows = [one for one in rows if (one["variant"], one["seed"]) != ("b", 1)]
    rows[0]["value"] = float("nan")
    plan = compared(suite(WIDE), rows)
    found = decide(plan, better="a", worse="b")
    assert (found.verdict, found.effect, found.contrasts) == ("undecided", None, [])
    assert found.why == "Missing, and nothing stands in for it: a-0, b-1."
    few = decide(plan, better="c", worse={"variant": "c", "head": "knn20"})
    assert few.why == "Missing, and nothing stands in for it: c-0 (k-NN), c-1 (k-NN), c-2 (k-NN)."


def test_a_share_of_the_labels_that_no_head_is_given_leaves_the_claim_open() -> None:
    found = decide(of(WIDE), better="a", worse={"variant": "b", "labels": 0.01})
    assert (found.verdict, found.effect, found.seeds_to_decide) == ("undecided", None, None)
    assert found.why == (
        "About 0.01 of the labels, which no head is given: add it to evaluation.label_fractions in params.yaml, if "
        "every class has images for it."
    )


def test_without_labels_it_says_so_and_lists_no_cell() -> None:
    rows = [row(v, s, 9.0, protocol="label_free", head="", label_fraction=None, metric="rankme")
            for v in "ab" for s in (0, 1)]  # fmt: skip
    found = decide(compared(suite({"a": [0.0, 0.0], "b": [0.0, 0.0]}), rows), better="a", worse="b")
    assert (found.verdict, found.why) == ("undecided", "There are no labels to measure by: drawn.")


def test_unlike_budgets_are_said_beside_the_verdict() -> None:
    asked = Asked(
        looks=1, claims=dict.fromkeys(("it", "other"), said(better="a", worse="b")), unlike={"it": "a 2, b 1"}
    )
    it, other = verdict.decide(of(WIDE), asked).claims
    assert it.why.endswith("Unlike budgets: a 2, b 1.")
    assert "Unlike" not in other.why


def test_a_cell_that_collapsed_is_named_by_the_verdicts_that_use_it() -> None:
    plan = of(WIDE, [trouble("a-1", "backbone", "drawn"), trouble("c-2")])
    assert decide(plan, better="a", worse="b").why.endswith("Collapsed or ended early: a-1.")
    assert decide(plan, better="c", worse="b").why.count("Collapsed or ended early: c-2.") == 1


def test_a_collapse_elsewhere_than_in_what_the_claim_measures_is_not_the_claims() -> None:
    plan = of(WIDE, [trouble("a-0", "projector", "drawn"), trouble("a-1", "backbone", "others")])
    assert "Collapsed" not in decide(plan, better="a", worse="b").why
    of_projector = decide(plan, better={"variant": "a", "representation": "projector"}, worse="b").why
    assert of_projector.endswith("Collapsed or ended early: a-0.")


def test_on_other_images_a_figure_is_the_mean_over_them() -> None:
    plan = suite({"a": [0.0, 0.0], "b": [0.0, 0.0]}, images=["drawn", "others", "further"])
    values = {"drawn": 0.9, "others": 0.5, "further": 0.3}
    rows = [
        row(v, seed, at - (v == "b") * at / 2, images) for v in "ab" for seed in (0, 1) for images, at in values.items()
    ]
    found = decide(compared(plan, rows), figure={"data": "transfer"}, better="a", worse="b")
    assert found.effect == pytest.approx(20)
    assert found.contrasts[0].weights == {"a, on other images": 1.0, "b, on other images": -1.0}


# The test images.


def outcomes(plan: Plan, chance: Mapping[str, float], count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Outcomes of each cell, which find the same images difficult, and the rows of their accuracies."""
    generator, rows = np.random.default_rng(seed), []
    for images in plan.images:
        difficulty = generator.random(count)
        for cell in plan.cells:
            right = difficulty + 0.05 * generator.standard_normal(count) < chance[cell.variant]
            folder = cell.figures("probe", images)
            folder.mkdir(parents=True, exist_ok=True)
            correct.write({Predicted("backbone", "linear", 1.0): right}, folder)
            rows.append(row(cell.variant, cell.seed, float(right.mean()), images))
    return rows


def test_the_interval_counts_the_test_images_where_the_cells_kept_them() -> None:
    plan = suite({"a": [0.0] * 3, "b": [0.0] * 3, "c": [0.0] * 3})
    compared(plan, outcomes(plan, {"a": 0.55, "b": 0.5, "c": 0.5}, 200))
    found = decide(plan, better="a", worse="b")
    assert found.contrasts[0].images
    right = {
        name: np.array([
            correct.read(Cell(variant=name, seed=seed).figures("probe", "drawn"))[Predicted("backbone", "linear", 1.0)]
            for seed in plan.seeds
        ]).astype(float)
        for name in "abc"
    }  # fmt: skip
    y = np.array([of_one.mean(1) for of_one in right.values()])
    expected = effect(y, np.array([1.0, -1.0, 0.0]), right["a"] - right["b"])
    assert expected.images
    assert found.lower == pytest.approx(100 * expected.limits(0.05)[0], abs=1e-3)
    assert found.why == ""
    # Macro-F1 is no mean over images.
    rows = [one | {"metric": "macro_f1"} for one in outcomes(plan, {"a": 0.55, "b": 0.5, "c": 0.5}, 200)]
    compared(plan, rows)
    assert decide(plan, figure={"metric": "macro_f1"}, better="a", worse="b").why == claims.NO_MEAN


def test_of_a_mean_over_further_data_sets_the_images_of_each_are_counted_by_its_share() -> None:
    plan = suite({"a": [0.0] * 3, "b": [0.0] * 3}, images=["drawn", "others", "further"])
    compared(plan, outcomes(plan, {"a": 0.6, "b": 0.4}, 100))
    found = Measured(plan=plan, figures=measured.read(plan))

    def difference(*images: str) -> Effect:
        return found.effect({term("a", images=images): 1.0, term("b", images=images): -1.0}, plan.seeds)

    parts = [difference(images).images for images in ("others", "further")]
    assert all(parts)
    assert difference("others", "further").images == pytest.approx(sum(part for part in parts if part) / 4)


def test_a_test_set_that_is_too_small_is_said_to_be() -> None:
    plan = suite({"a": [0.0] * 3, "b": [0.0] * 3})
    compared(plan, outcomes(plan, {"a": 0.5, "b": 0.45}, 40))
    found = decide(plan, better="a", worse="b", more_than=2)
    assert (found.verdict, found.seeds_to_decide) == ("undecided", None)
    assert found.why == "No number of seeds would decide it: the test set is too small for a difference like this."


def test_two_hundred_variants_are_read_once_and_ranked_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"v{i}" for i in range(200)]
    plan = suite({name: [0.0] * 3 for name in names})
    compared(plan, outcomes(plan, {name: 0.4 + i / 1000 for i, name in enumerate(names)}, 1000))
    read, seen = correct.read, []
    monkeypatch.setattr(correct, "read", lambda folder: seen.append(folder) or read(folder))
    start = time.process_time()
    found = ranking(Measured(plan=plan, figures=measured.read(plan)), 0.05)
    assert time.process_time() - start < 10
    assert len(seen) == len(set(seen)) <= 600
    assert found is not None
    assert len(found.order) == 200
    assert 1 <= len(found.best) < 100


# The ranking.


def test_the_best_are_those_that_are_not_shown_to_be_below_another() -> None:
    accuracy = {"low": [0.5, 0.51, 0.5], "high": [0.7, 0.71, 0.7], "near": [0.7, 0.7, 0.69]}
    plan = of(accuracy)
    found = verdict.decide(plan, Asked(looks=1, claims={})).ranking
    assert found is not None
    assert (found.order, found.best) == (["high", "near", "low"], ["high", "near"])


def test_one_seed_and_no_labels_rank_nothing() -> None:
    assert verdict.decide(of({"a": [0.9], "b": [0.1]}), Asked(looks=1, claims={})).ranking is None
    rows = [
        row(v, s, 9.0, protocol="label_free", head="", label_fraction=None, metric="rankme")
        for v in "ab"
        for s in (0, 1)
    ]
    plan = compared(suite({"a": [0.0, 0.0], "b": [0.0, 0.0]}), rows)
    assert verdict.decide(plan, Asked(looks=1, claims={})).ranking is None


# The stage.


def test_the_stage_writes_what_is_read_the_same_bytes_each_time() -> None:
    plan = of(WIDE)
    Path("dvc.yaml").write_text('vars: ["suites/test.yaml:suite,variants,seeds,fine_tune"]\n')
    asked = Asked(looks=3, claims={"it": said(source="a book", better="a", worse="b")})
    for file, content in (
        (plans.file("test"), dataclasses.asdict(plan)),
        (asking.file("test"), asked.model_dump(mode="json")),
    ):
        file.parent.mkdir(parents=True)
        YAML().dump(content, file)
    with pytest.raises(Refused, match="missing: run `make repro`"):
        asking.read("other")
    code = "import sys; from tasks import verdict; verdict.main(); print({'torch', 'mlflow'} & sys.modules.keys())"
    environment = {"PYTHONPATH": str(Path(verdict.__file__).parents[1]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, env=environment, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    first = verdicts.file(plan).read_bytes()
    verdict.main()
    assert verdicts.file(plan).read_bytes() == first
    assert verdicts.read(plan) == verdict.decide(plan, asked)
    assert isinstance(verdicts.read(plan), Verdicts)
    assert verdicts.read(plan).level == POCOCK[3]
