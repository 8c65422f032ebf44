"""The answer in a few sentences, case by case; verdicts as lines, bars and heat maps of the report."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from test_comparison import suite, with_variant

from tasks.comparison import answer, bars, durations, heat, index, sentences, spent, summary, trusted, verdict_lines
from tasks.comparison.compared import Compared
from tasks.comparison.measured import Key, Place
from tasks.comparison.rank_correlation import Correlation
from tasks.comparison.trust import Trust
from tasks.comparison.verdicts import Ranking, Verdict, Verdicts
from tasks.configuration.plan import Plan

NEXT = ("momentum", "Does momentum help?")
AHEAD = {"random": [0.30, 0.31, 0.30], "simclr": [0.60, 0.61, 0.60], "random_vit": [0.2] * 3, "mae": [0.40, 0.41, 0.40]}
SECONDS = {"random": 1.0, "simclr": 120.0, "random_vit": 1.0, "mae": 60.0}


def measured(plan: Plan, accuracy: dict[str, list[float]], few: dict[str, list[float]] | None = None) -> Compared:
    """A suite with these accuracies by seed, with all labels, and with a tenth of them."""
    figures: dict[Place, dict[Key, dict[int, float]]] = {}
    for share, found in ((1.0, accuracy), (0.1, few or {})):
        for name, values in found.items():
            place = Place(name, "drawn", plan.variants[name].representations[0])
            key = Key("feature_extraction", "linear", share, "accuracy")
            figures.setdefault(place, {})[key] = dict(zip(plan.seeds, values, strict=False))
    costs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {
        (name, "pretrain"): {seed: [{"seconds": SECONDS.get(name, 10.0)}] for seed in plan.seeds} for name in accuracy
    }
    return Compared(plan=plan, figures=figures, costs=costs, troubles=[])


def claim(verdict: Any = "supported", **changes: Any) -> Verdict:
    made: dict[str, Any] = {
        "name": "a", "says": "One is above the other.", "source": "", "verdict": verdict, "why": "", "effect": 5.2,
        "lower": 4.1, "upper": 6.3, "more_than": 1.0, "seeds": [0, 1, 2], "contrasts": [], "seeds_to_decide": None,
        "cells": [],
    }  # fmt: skip
    return Verdict(**made | changes)


def judged(*claims: Verdict, order: list[str] | None = None, best: list[str] | None = None) -> Verdicts:
    ranking = Ranking(order=order, best=best or order[:1]) if order else None
    return Verdicts(level=0.05, looks=1, claims=list(claims), ranking=ranking)


def said(compared: Compared, verdicts: Verdicts, not_asked: tuple[str, str] | None = None) -> str:
    return sentences.text(answer.sentences(compared, verdicts, not_asked))


ORDER = ["simclr", "mae", "random", "random_vit"]


# The answer.


def test_a_clear_best_with_its_baseline_its_cost_and_what_is_next() -> None:
    found = said(measured(suite(seeds=[0, 1, 2]), AHEAD), judged(claim(), order=ORDER), NEXT)
    first, second, third, *rest = found.split(". ")
    assert first.startswith("simclr is best for these images, with 60.3 ± ")
    assert first.endswith(
        "% of the test images right (linear probe, all labels, 3 seeds); every other variant is shown to be below it"
    )
    assert second.startswith("It is 30.0 ± ")
    assert second.endswith(" points above the initial weights of its network, random")
    assert third.startswith("Its pretraining took 2.0 min a cell here, 2.0 times as much as that of the cheapest, mae,")
    assert "which is 20.0 ± " in third
    assert third.endswith("points below it")
    assert rest == [
        "The one claim is supported", "Not asked of these images yet: Does momentum help? (make repro SUITE=momentum)"
    ]  # fmt: skip


def test_names_of_variants_are_marked_for_a_link() -> None:
    first, second, *_ = answer.sentences(measured(suite(seeds=[0, 1, 2]), AHEAD), judged(order=ORDER), None)
    assert [part for part in first if isinstance(part, sentences.Variant)] == ["simclr"]
    assert [part for part in second if isinstance(part, sentences.Variant)] == ["random"]


@pytest.mark.parametrize(("count", "told"), [(1, "0"), (2, "0 and 1"), (3, "0, 1 and 2"), (4, "0, 1, 2 and 3")])
def test_lists_are_said_with_commas_and_an_and(count: int, told: str) -> None:
    assert "".join(sentences.listed([[str(i)] for i in range(count)])) == told


def test_with_one_seed_it_says_that_it_cannot_say_how_sure() -> None:
    found = said(measured(suite(seeds=[0]), AHEAD), judged(claim("undecided", lower=None, upper=None)))
    assert found.startswith(
        "simclr is ahead with 60.0 % of the test images right (linear probe, all labels, one seed). One seed cannot say"
    )
    assert "It is 30.0 points above the initial weights of its network, random." in found
    assert found.endswith("The one claim is undecided. Next: three seeds or more in suites/test.yaml.")
    assert "±" not in found


@pytest.mark.parametrize(
    ("best", "named"),
    [
        (["mae"], "; mae is not shown to be below it."),
        (["mae", "random"], "; mae and random are not shown to be below it."),
        (["mae", "random", "random_vit"], "; mae, random and random_vit are not shown to be below it."),
    ],
)
def test_of_a_tie_the_others_are_named(best: list[str], named: str) -> None:
    accuracy = AHEAD | {name: [0.60, 0.59, 0.62] for name in best}
    found = said(measured(suite(seeds=[0, 1, 2]), accuracy), judged(order=ORDER))
    assert found.startswith("simclr is ahead with ")
    assert named in found


def test_what_is_below_another_is_not_called_below_the_first_where_that_is_not_shown() -> None:
    """random is steady and below nobody; simclr is ahead and noisy; mae is below random, and not below simclr."""
    accuracy = {"random": [0.60] * 3, "simclr": [0.55, 0.72, 0.60], "random_vit": [0.1] * 3, "mae": [0.55] * 3}
    found = said(measured(suite(seeds=[0, 1, 2]), accuracy), judged(order=ORDER, best=["simclr", "random"]))
    assert "; mae and random are not shown to be below it." in found
    taught = with_variant(suite(seeds=[0, 1, 2]), "random", trained=True, needs_labels=True)
    alone = said(measured(taught, accuracy), judged(order=["simclr", "random", "mae", "random_vit"]))
    assert "; mae is not shown to be below it." in alone


def test_many_that_tie_are_counted() -> None:
    many = {f"simclr-{i}": dataclasses.replace(suite().variants["simclr"], baseline="") for i in range(5)}
    plan = dataclasses.replace(suite(seeds=[0, 1, 2]), variants=many)
    accuracy = {name: [0.5, 0.51, 0.5] for name in many}
    assert "; 4 others are not shown to be below it." in said(
        measured(plan, accuracy), judged(order=list(many), best=list(many))
    )


def test_without_labels_none_is_called_best() -> None:
    found = said(measured(suite(seeds=[0, 1, 2]), {}), judged(), NEXT)
    assert found.startswith("There are no labels, so that no variant can be called best: RankMe")
    assert not any(name in found for name in ("simclr", "mae"))
    assert "SUITE=momentum" in found


def test_a_best_one_that_collapsed_comes_with_a_warning() -> None:
    troubles = ["Collapsed: simclr-1, backbone: all alike.", "Ended early: mae-0: too slow."]
    compared = dataclasses.replace(measured(suite(seeds=[0, 1, 2]), AHEAD), troubles=troubles)
    found = said(compared, judged(order=ORDER))
    assert "But look at it before you rely on it. Collapsed: simclr-1, backbone: all alike." in found
    assert "mae-0" not in found


def test_where_nothing_is_above_initial_weights_it_says_so() -> None:
    accuracy = AHEAD | {"random": [0.62, 0.62, 0.63]}
    order = ["random", "simclr", "mae", "random_vit"]
    found = said(measured(suite(seeds=[0, 1, 2]), accuracy), judged(order=order, best=["random", "simclr"]))
    assert found.startswith("random is best for these images, with 62.3 ± ")
    assert "It is a network's initial weights: no method has learnt what the probe can use at this budget;" in found
    assert "the best that was pretrained here, simclr, is 2.0 ± " in found
    assert "points below it." in found
    assert "pretraining took" not in found


def test_a_difference_that_is_not_shown_is_given_as_one() -> None:
    accuracy = AHEAD | {"random": [0.50, 0.70, 0.60]}
    found = said(measured(suite(seeds=[0, 1, 2]), accuracy), judged(order=ORDER))
    assert "It is not shown to be above or below the initial weights of its network, random (+0.3 ± " in found


def test_where_off_the_shelf_wins_pretraining_has_not_paid() -> None:
    plan = with_variant(suite(seeds=[0, 1, 2]), "random_vit", weights="imagenet", trained=False, baseline="random")
    order = ["random_vit", "simclr", "mae", "random"]
    found = said(measured(plan, AHEAD | {"random_vit": [0.8, 0.81, 0.8]}), judged(order=order))
    assert found.startswith("random_vit is best for these images")
    assert "It is the weights imagenet as they come: pretraining on drawn has not paid at this budget;" in found
    assert "the best that was pretrained here, simclr, is 20.0 ± " in found
    assert "below it. random_vit is 50.0 ± " in found  # not simclr, of which was spoken last


def test_what_was_taught_with_every_label_is_no_best_one_but_stands_beside_it() -> None:
    plan = with_variant(suite(seeds=[0, 1, 2]), "random_vit", trained=True, needs_labels=True)
    order = ["random_vit", "simclr", "mae", "random"]
    found = said(measured(plan, AHEAD | {"random_vit": [0.8, 0.81, 0.8]}), judged(order=order))
    assert found.startswith("simclr is best of what saw no labels in pretraining, with ")
    assert "; every other such variant is shown to be below it." in found
    assert "points above the initial weights of its network, random and 20.0 ± " in found
    assert "points below random_vit, pretrained with every label." in found


def test_with_few_labels_another_may_be_ahead() -> None:
    few = {"simclr": [0.2, 0.21, 0.2], "mae": [0.3, 0.31, 0.3]}
    found = said(measured(suite(seeds=[0, 1, 2]), AHEAD, few), judged(order=ORDER))
    assert "With 10 % of the labels mae is ahead, 10.0 ± " in found
    assert "ahead, " not in said(measured(suite(seeds=[0, 1, 2]), AHEAD, AHEAD), judged(order=ORDER))


def test_a_cost_that_was_not_observed_is_not_made_up() -> None:
    compared = dataclasses.replace(measured(suite(seeds=[0, 1, 2]), AHEAD), costs={})
    assert "What it costs was not observed on this machine." in said(compared, judged(order=ORDER))


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        (
            [claim("undecided", seeds_to_decide=7)],
            "Next: 7 seeds instead of 3 (declared as looks: 2) would probably decide what is undecided.",
        ),
        (
            [claim("undecided", seeds_to_decide=7), claim("undecided"), claim("refuted")],
            "Of 3 claims 1 is refuted and 2 are undecided. "
            "Next: 7 seeds instead of 3 (declared as looks: 2) would probably decide 1 of what is undecided.",
        ),
        ([claim("undecided")], "Seeds alone would not decide what is undecided."),
    ],
)
def test_what_is_undecided_is_what_is_next(claims: list[Verdict], told: str) -> None:
    assert told in said(measured(suite(seeds=[0, 1, 2]), AHEAD), judged(*claims, order=ORDER))


def test_of_claims_without_a_figure_it_does_not_speak_of_seeds() -> None:
    unmeasured = claim("undecided", effect=None, lower=None, upper=None)
    assert "Seeds alone" not in said(measured(suite(seeds=[0, 1, 2]), {}), judged(unmeasured))


# Verdicts in a terminal, and elsewhere.


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "+5.2 ± 1.1 points (> 1.0)"),
        ({"upper": 6.9}, "+5.2 [+4.1, +6.9] points (> 1.0)"),
        ({"effect": -0.2, "lower": -2.5, "upper": 2.1, "more_than": -1.0}, "-0.2 ± 2.3 points (> -1.0)"),
        ({"lower": None, "upper": None}, "+5.2 points (> 1.0)"),
        ({"effect": None, "lower": None, "upper": None}, "no effect: a figure is missing (> 1.0)"),
    ],
)
def test_an_effect_stands_beside_what_it_is_held_against(changes: dict[str, Any], told: str) -> None:
    assert verdict_lines.measured(claim(**changes)) == told


def test_a_short_claim_is_one_line_and_a_long_one_is_whole() -> None:
    long = "word " * 40 + "end."
    why = "Collapsed: simclr-1."
    lines = verdict_lines.lines(judged(claim(), claim("undecided", says=long, why=why, seeds_to_decide=12)))
    assert lines[0].split("  ")[0] == "supported"
    assert lines[0].endswith("+5.2 ± 1.1 points (> 1.0)")
    assert lines[1].startswith("undecided  word")
    assert lines[2].endswith("  12 seeds would decide")
    assert max(map(len, lines)) <= 100
    words = [line[11:71].split("  ")[0] for line in lines[1:]]
    assert " ".join(" ".join(words).split()) == f"{long} {why}"
    assert verdict_lines.lines(judged()) == []


def test_the_summary_is_markdown_that_no_name_breaks() -> None:
    plan = dataclasses.replace(suite(), question="Is <b> | better?")
    page = summary.markdown(plan, [["A ", sentences.Variant("b"), " <c>."]], judged(claim(says="x | y")), "table")
    assert page.startswith("# Is &lt;b> \\| better?\n\nA b &lt;c>.\n")
    row = next(line for line in page.splitlines() if line.startswith("| a |"))
    assert row.replace("\\|", "").count("|") == 6
    assert page.endswith("```\ntable\n```\n")


# Bars and heat maps.


def test_a_bar_shows_the_interval_where_it_is() -> None:
    import xml.etree.ElementTree as ElementTree

    drawn = ElementTree.fromstring(bars.bar(claim(effect=5.0, lower=4.0, upper=6.0, more_than=1.0)))
    scale = (bars.WIDTH - 2 * bars.MARGIN) / 6.0
    (interval,), (dot,) = drawn.findall("rect"), drawn.findall("circle")
    zero, least = drawn.findall("line")
    assert float(zero.attrib["x1"]) == bars.MARGIN
    assert float(least.attrib["x1"]) == pytest.approx(bars.MARGIN + scale, abs=0.1)
    assert float(interval.attrib["x"]) == pytest.approx(bars.MARGIN + 4 * scale, abs=0.1)
    assert float(interval.attrib["width"]) == pytest.approx(2 * scale, abs=0.1)
    assert float(dot.attrib["cx"]) == pytest.approx(bars.MARGIN + 5 * scale, abs=0.1)
    assert bars.bar(claim(effect=None)) == ""
    assert drawn.attrib["aria-label"] == "+5.0 points, interval +4.0 to +6.0, against 1.0"
    alone = bars.bar(claim(effect=0.0, lower=None, upper=None, more_than=0.0))
    assert "<rect" in alone
    assert 'aria-label="+0.0 points, against 0.0"' in alone


def test_the_reference_is_the_method_that_most_are_variants_of_with_the_least_changed() -> None:
    plan = with_variant(suite(), "mae", method="simclr", changes={"a": 1})
    assert heat.reference(plan) == "simclr"
    plan = with_variant(with_variant(plan, "simclr", changes={"a": 1, "b": 2}), "random_vit", family="x", method="y")
    assert heat.reference(plan) == "mae"
    baselines = {name: one for name, one in suite().variants.items() if one.family == "baseline"}
    assert heat.reference(dataclasses.replace(plan, variants=baselines)) == ""


def test_a_heat_map_is_of_differences_to_the_reference_and_marks_what_is_not_shown() -> None:
    few = {"simclr": [0.5] * 3, "random": [0.4, 0.6, 0.5]}
    found = heat.ablations(measured(suite(seeds=[0, 1, 2]), AHEAD, few))
    assert found is not None
    assert (found.groups, found.columns) == (["linear probe", "", "k-NN"], ["10 %", "100 %", "100 %"])
    rows = {row.variant: row.squares for row in found.rows}
    assert list(rows) == ["random", "random_vit", "mae"]
    unsure, sure, none = rows["random"]
    assert unsure is not None
    assert sure is not None
    assert none is None
    assert (unsure.text, unsure.sure) == ("+0.0", False)
    assert (sure.text, sure.sure) == ("-30.0", True)
    largest = rows["random_vit"][1]
    assert largest is not None
    assert largest.share == -1.0
    assert largest.style == "background: rgb(213 94 0 / 0.75)"
    assert heat.ablations(measured(suite(seeds=[0, 1, 2]), {})) is None


@pytest.mark.parametrize(("tuned", "shown"), [(["random"], False), (["random", "simclr"], True)])
def test_a_heat_map_has_fine_tuning_where_its_reference_was_fine_tuned(tuned: list[str], shown: bool) -> None:
    plan = dataclasses.replace(suite(seeds=[0, 1, 2]), fine_tune=tuned)
    found = heat.ablations(measured(plan, AHEAD))
    assert found is not None
    assert ("fine-tuned" in found.groups) is shown


def test_what_is_kept_of_known_factors_has_a_row_for_every_representation() -> None:
    plan = with_variant(suite(seeds=[0]), "simclr", representations=["backbone", "projector"])
    compared = measured(plan, AHEAD)
    assert heat.factors(compared, "drawn") is None
    for kind, value in (("backbone", 0.9), ("projector", -0.2)):
        of_one = compared.figures.setdefault(Place("simclr", "drawn", kind), {})
        of_one[Key("factors", "x", None, "r2")] = {0: value}
        of_one[Key("factors", "shape", None, "accuracy")] = {0: 0.5}
    found = heat.factors(compared, "drawn")
    assert found is not None
    assert (found.groups, found.columns) == (["accuracy", "R²"], ["shape", "x"])
    rows = {(row.variant, row.beside): [one and (one.text, one.share) for one in row.squares] for row in found.rows}
    assert rows["simclr", ""] == [("50", 0.5), ("90", 0.9)]
    assert rows["simclr", "projector"] == [("50", 0.5), ("-20", 0.0)]
    assert rows["mae", ""] == [None, None]


# How far figures without labels can be trusted.


def test_what_choosing_without_labels_loses_is_a_row_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    of_all = Trust(
        images="drawn", figure="rankme", better="larger", source="them", objective="", variants=["simclr", "mae"],
        chosen="mae", best="simclr", regret=20.0, regret_lower=18.0, regret_upper=22.0,
        correlation=Correlation(value=-1.0, p=1.0, lower=None, upper=None),
    )  # fmt: skip
    same = dataclasses.replace(of_all, figure="alignment", chosen="simclr", regret=0.0, correlation=None)
    alone = dataclasses.replace(
        of_all, objective="simclr", correlation=Correlation(value=0.5, p=0.0125, lower=0.25, upper=0.75)
    )
    monkeypatch.setattr("tasks.comparison.frame.read", lambda plan: None)
    monkeypatch.setattr("tasks.comparison.trust.read", lambda measured, figures, images: [of_all, same, alone])
    first, second = trusted.groups(measured(suite(), {}), "drawn")
    assert (first.heading, first.best) == ("Among 2 variants of all objectives", "simclr")
    assert first.rows == [
        trusted.Row("RankMe", "larger", "them", "mae", "+20.0 ± 2.0", "-1.00", "1.000"),
        trusted.Row("alignment", "larger", "them", "simclr", "0, the same", "-", "-"),
    ]
    assert second.heading == "Among 2 variants of simclr"
    assert (second.rows[0].order, second.rows[0].p) == ("+0.50 [+0.25, +0.75]", "0.013")


def test_a_figure_of_fewer_variants_stands_under_what_labels_choose_among_these() -> None:
    of_all = Trust(
        images="drawn", figure="rankme", better="larger", source="them", objective="",
        variants=["simclr", "vicreg", "mae"], chosen="mae", best="mae", regret=0.0, regret_lower=None,
        regret_upper=None, correlation=None,
    )  # fmt: skip
    joint = dataclasses.replace(of_all, figure="lidar", variants=["simclr", "vicreg"], chosen="vicreg", best="simclr")
    after = dataclasses.replace(of_all, figure="alignment")
    found = trusted.grouped([of_all, joint, after])
    assert [(group.heading, group.best, [row.figure for row in group.rows]) for group in found] == [
        ("Among 3 variants of all objectives", "mae", ["RankMe", "alignment"]),
        ("Among 2 variants of all objectives: simclr, vicreg", "simclr", ["LiDAR"]),
    ]


# What was spent.


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (8.4, "8 s"),
        (89.6, "90 s"),
        (204, "3.4 min"),
        (569, "9.5 min"),
        (570, "10 min"),
        (3569, "59 min"),
        (3570, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations_are_in_the_unit_that_fits(seconds: float, told: str) -> None:
    assert durations.duration(seconds) == told


def test_a_claims_cost_is_the_sum_over_its_cells_and_says_what_was_not_observed() -> None:
    compared = measured(suite(seeds=[0, 1]), AHEAD)
    compared.costs["mae", "probe"] = {0: [{"seconds": 7.0}, {"seconds": 5.0}], 1: [{}]}
    cells = ["mae-0", "mae-1", "simclr-1"]
    assert spent.of_cells(compared, cells) == spent.Spent(60 + 60 + 120 + 12, 3, 3)
    compared.costs["mae", "pretrain"][1] = [{}]
    assert spent.of_cells(compared, cells).text() == "at least 3.2 min in 3 cells"
    assert spent.of_cells(compared, ["random_vit-0"]).text() == "1 s in 1 cell"
    assert spent.of_cells(dataclasses.replace(compared, costs={}), cells).text() == "not observed on this machine"


# All suites.


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four suites: one shown, one of an older version, one that has no report, one that was never run; and none's."""
    monkeypatch.chdir(tmp_path)
    Path("suites").mkdir()
    for name in ("crop", "flip", "momentum", "weights"):
        Path(f"suites/{name}.yaml").write_text(f"suite: {name}\nclaims: {{}}\n")
    Path("suites/smoke.yaml").write_text("suite: smoke\n")
    for name, file in (("crop", "report.html"), ("flip", "report.html"), ("smoke", "metrics.json")):
        Path("results", name).mkdir(parents=True)
        Path("results", name, file).write_text("")
    counts = {"supported": 2, "refuted": 0, "undecided": 1}
    shown = {
        "question": "Is <it>?", "answer": "a & b.", "images": ["drawn"], "where": "drawn", "verdicts": counts,
        "made": "2026-01-02",
    }  # fmt: skip
    Path("results/crop/.shown").write_text(json.dumps({"summary": shown}))
    Path("results/flip/.shown").write_text(json.dumps({"digest": "", "text": ""}))


def test_the_page_of_all_suites_says_what_their_reports_say(suites: None) -> None:
    page = index.write().read_text()
    assert '<a href="crop/report.html">crop</a>' in page
    assert "Is &lt;it&gt;?" in page
    assert "a &amp; b." in page
    assert "2 supported" in page
    assert "1 undecided" in page
    assert "refuted</span>" not in page
    assert "<a href=\"flip/report.html\">flip</a></h2>\n<p class='soft'>The report is of an older version" in page
    assert "<h2>smoke</h2>\n<p class='soft'>Not shown yet: <code>make repro SUITE=smoke</code>" in page
    assert "<title>What was asked</title>" in page
    assert "removed" not in page
    assert "Not asked yet: momentum, weights." in page


def test_a_suite_that_was_removed_is_marked_and_not_to_be_run(suites: None) -> None:
    for name in ("crop", "flip"):
        Path(f"suites/{name}.yaml").unlink()
    page = index.write().read_text()
    assert page.count("removed: suites/") == 2
    assert "removed: suites/flip.yaml" in page
    assert "2 supported" in page
    assert "SUITE=flip" not in page
    assert "SUITE=smoke" in page


def test_next_are_the_suites_that_these_images_were_not_asked(suites: None) -> None:
    assert index.not_asked("flip", "drawn") == ["momentum"]
    assert index.not_asked("momentum", "drawn") == ["flip"]
    assert index.not_asked("momentum", "others") == ["crop", "flip"]
    Path("suites/momentum.yaml").unlink()
    assert index.not_asked("flip", "drawn") == []  # weights are not at hand


def test_what_was_evaluated_on_other_images_was_not_asked_of_them(suites: None) -> None:
    shown = json.loads(Path("results/crop/.shown").read_text())
    shown["summary"]["images"] = ["others", "drawn"]
    Path("results/crop/.shown").write_text(json.dumps(shown))
    assert index.not_asked("flip", "drawn") == ["crop", "momentum"]
    assert index.not_asked("flip", "others") == ["momentum"]
