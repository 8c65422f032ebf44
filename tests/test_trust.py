"""How far figures without labels are trusted: correlation and regret against references, and who takes part."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks import correct
from tasks.cells import Cell
from tasks.comparison import frame, interval, measured, trust
from tasks.comparison.measured import Measured
from tasks.comparison.rank_correlation import spearman
from tasks.comparison.trust import Trust
from tasks.configuration.plan import Plan, Planned
from tasks.correct import Predicted

SEEDS = [0, 1, 2]
FAMILIES = {
    "random": ("random", "baseline"),
    "wide": ("simclr", "joint-embedding, contrastive"),
    "narrow": ("simclr", "joint-embedding, contrastive"),
    "vicreg": ("vicreg", "joint-embedding, regularised"),
    "mae": ("mae", "generative"),
}
ACCURACY = {"random": 0.99, "wide": 0.60, "narrow": 0.50, "vicreg": 0.70, "mae": 0.40}
RANKME = {"random": 99.0, "wide": 30.0, "narrow": 10.0, "vicreg": 20.0, "mae": 5.0}
ALPHA = {"random": 1.0, "wide": 1.6, "narrow": 0.2, "vicreg": 0.9, "mae": 3.0}


def plan(seeds: list[int] = SEEDS, images: tuple[str, ...] = ("photos",)) -> Plan:
    variants = {
        name: Planned(
            method=name, objective=objective, family=family, baseline="", off_the_shelf="", weights="", input_size=32,
            representations=["backbone", "projector"], trained=True, needs_labels=False, needs_colours=False,
            changes={},
        )
        for name, (objective, family) in FAMILIES.items()
    }  # fmt: skip
    return Plan(
        suite="test", question="", source="", seeds=seeds, images=[*images], fine_tune=[], evaluation={},
        variants=variants,
    )  # fmt: skip


def figures(of: Plan, images: str = "photos", accuracy: dict[str, float] | None = ACCURACY) -> pd.DataFrame:
    """What compare gathers; test is a point above val, and each seed a point above the one before."""
    rows = []
    for name in of.variants:
        for seed in of.seeds:
            for representation, less in (("backbone", 0.0), ("projector", 0.3)):
                free = {"rankme": RANKME[name], "alpha_req": ALPHA[name], "lidar": RANKME[name]}
                made = [("label_free", "", np.nan, metric, value - less) for metric, value in free.items()]
                if accuracy is not None:
                    known = accuracy[name] - less + 0.01 * seed
                    made += [
                        ("feature_extraction", "linear", 0.1, "accuracy", 0.3),
                        ("feature_extraction", "linear", 1.0, "accuracy", known),
                        ("feature_extraction", "knn20", 1.0, "accuracy", 1 - known),
                    ]
                for split, more in (("val", 0.0), ("test", 0.01)):
                    rows += [
                        (name, "", "", "", seed, images, representation, *one[:3], split, one[3], one[4] + more)
                        for one in made
                    ]
    return pd.DataFrame(rows, columns=frame.COLUMNS)


def read(of: Plan, found: pd.DataFrame) -> list[Trust]:
    """Of all data sets."""
    known = Measured(plan=of, figures=measured.by_place(found))
    return [one for images in of.images for one in trust.read(known, found, images)]


def by(found: list[Trust], figure: str, objective: str = "") -> Trust:
    (one,) = [one for one in found if (one.figure, one.objective) == (figure, objective)]
    return one


def correlated(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


@pytest.mark.parametrize("count", [4, 6])
def test_the_correlation_is_scipys_and_its_p_counts_every_order(count: int) -> None:
    generator = np.random.default_rng(count)
    a, b = generator.normal(size=count), generator.integers(0, 3, count)
    found = spearman(a, b, 0.05)
    assert found is not None
    expected = correlated(a, b)
    assert found.value == pytest.approx(expected)
    chance = [abs(correlated(a, np.array(order))) for order in permutations(b.tolist())]
    assert found.p == pytest.approx(np.mean(np.array(chance) >= abs(expected) - 1e-9))
    assert (found.lower, found.upper) == (None, None)


def test_of_many_variants_orders_are_drawn_and_the_interval_holds_what_it_should() -> None:
    a = np.arange(12.0)
    b = a + np.random.default_rng(0).normal(scale=4, size=12)
    found = spearman(a, b, 0.05)
    assert found is not None
    assert found == spearman(a, b, 0.05)
    assert found.p == pytest.approx(np.asarray(stats.spearmanr(a, b))[1], abs=0.01)
    assert found.lower is not None
    assert found.upper is not None
    assert -1 < found.lower < found.value < found.upper < 1
    half = stats.norm.ppf(0.975) * np.sqrt((1 + found.value**2 / 2) / 9)
    assert np.arctanh(found.upper) - np.arctanh(found.value) == pytest.approx(half)
    best = spearman(a, a, 0.05)
    assert best is not None
    assert (best.value, best.p) == (pytest.approx(1), 1 / 10_001)
    assert spearman(a, np.ones(12), 0.05) is None


@pytest.mark.usefixtures("workspace")
def test_regret_and_correlation_across_objectives_and_within_each() -> None:
    found = read(plan(), figures(plan()))
    across = by(found, "rankme")
    assert across.variants == ["wide", "narrow", "vicreg", "mae"]
    assert (across.chosen, across.best) == ("wide", "vicreg")
    assert across.regret == pytest.approx(10)
    assert across.correlation is not None
    assert across.correlation.value == pytest.approx(0.8)
    within = by(found, "rankme", "simclr")
    assert (within.variants, within.chosen, within.best) == (["wide", "narrow"], "wide", "wide")
    assert (within.regret, within.regret_lower, within.regret_upper) == (0, 0, 0)
    assert {(one.figure, one.objective) for one in found} == {
        (figure, objective) for figure in ("rankme", "alpha_req", "lidar") for objective in ("", "simclr")
    }


@pytest.mark.usefixtures("workspace")
def test_alpha_is_best_near_one_and_lidar_is_of_joint_embedding_alone() -> None:
    found = read(plan(), figures(plan()))
    alpha = by(found, "alpha_req")
    assert (alpha.chosen, alpha.better) == ("vicreg", "nearer to 1")
    assert alpha.regret == 0
    assert alpha.correlation is not None
    assert alpha.correlation.value == pytest.approx(1)
    assert by(found, "lidar").variants == ["wide", "narrow", "vicreg"]


@pytest.mark.usefixtures("workspace")
def test_the_regret_has_the_suites_interval_and_counts_the_test_images_where_they_are_known() -> None:
    of, generator = plan(), np.random.default_rng(0)
    noise = pd.Series(generator.normal(scale=0.02, size=len(figures(of))))
    noisy = figures(of)
    noisy["value"] += noise.where(noisy["metric"] == "accuracy", 0.0)
    seeds_alone = by(read(of, noisy), "rankme")
    test = noisy[
        (noisy["split"] == "test") & (noisy["label_fraction"] == 1.0) & (noisy["head"] == "linear")
        & (noisy["representation"] == "backbone")
    ]  # fmt: skip
    y = test.pivot(index="variant", columns="seed", values="value").loc[list(of.variants)].to_numpy()
    weights = np.array([(name == seeds_alone.best) - (name == seeds_alone.chosen) for name in of.variants], float)
    expected = interval.effect(y, weights)
    assert seeds_alone.regret == pytest.approx(100 * expected.mean)
    limits = (seeds_alone.regret_lower, seeds_alone.regret_upper)
    assert limits == pytest.approx(tuple(100 * one for one in expected.limits(0.05)))
    right = {}
    for cell in of.cells:
        folder = cell.figures("probe", "photos")
        folder.mkdir(parents=True)
        right[cell] = generator.random(50) < 0.5
        correct.write({Predicted("backbone", "linear", 1.0): right[cell]}, folder)
    counted = by(read(of, noisy), "rankme")
    images = np.array([
        right[Cell(variant=counted.best, seed=seed)].astype(float) - right[Cell(variant=counted.chosen, seed=seed)]
        for seed in SEEDS
    ])  # fmt: skip
    limits = (counted.regret_lower, counted.regret_upper)
    assert limits == pytest.approx(tuple(100 * one for one in interval.effect(y, weights, images).limits(0.05)))


@pytest.mark.usefixtures("workspace")
def test_outcomes_are_read_once_whichever_figures_and_groups_ask_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    of = plan()
    for cell in of.cells:
        folder = cell.figures("probe", "photos")
        folder.mkdir(parents=True)
        correct.write({Predicted("backbone", "linear", 1.0): np.arange(50) < 30}, folder)
    real, seen = correct.read, []
    monkeypatch.setattr(correct, "read", lambda folder: seen.append(folder) or real(folder))
    assert len(read(of, figures(of))) == 6
    assert 0 < len(seen) == len(set(seen))


@pytest.mark.usefixtures("workspace")
def test_what_is_missing_takes_no_part_and_one_seed_has_no_limits() -> None:
    few = figures(plan())
    few = few[~((few["variant"] == "vicreg") & (few["seed"] == 1))]
    assert by(read(plan(), few), "rankme").variants == ["wide", "narrow", "mae"]
    one = by(read(plan([0]), figures(plan([0]))), "rankme")
    assert (one.regret, one.regret_lower, one.regret_upper) == (pytest.approx(10), None, None)


@pytest.mark.usefixtures("workspace")
def test_only_data_sets_with_labels_tell() -> None:
    of = plan(images=("photos", "scans"))
    both = pd.concat([figures(of, accuracy=None), figures(of, "scans")], ignore_index=True)
    assert {one.images for one in read(of, both)} == {"scans"}
    assert read(plan(), figures(plan(), accuracy=None)) == []


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
