"""Heads for several labels an image and for numbers, against formulas, scikit-learn and loops."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, r2_score
from test_evaluation_images import AUGMENT, CONFIG, backbone, pictures

from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig, fractions, kinds, knn, linear_probe, logistic
from ssl_core.evaluation.embedding import Images, embed
from ssl_core.evaluation.evaluation import fine_tune, probe
from ssl_core.evaluation.metrics import average_precision, mean_average_precision, r2
from ssl_core.evaluation.split import Split
from ssl_core.objectives.supervised import Supervised, SupervisedConfig
from tasks import main_figure

DRAWN = np.random.default_rng(0)
DECAYS = [1e-3, 1e-1]


def split(labels: np.ndarray, h: np.ndarray | None = None) -> Split:
    """Of representations whose first dimensions say something of the labels."""
    if h is None:
        columns = labels if labels.ndim == 2 else labels[:, None]
        h = DRAWN.normal(size=(len(labels), 6)) + np.pad(columns, ((0, 0), (0, 6 - columns.shape[1])))
    pixels = np.zeros((len(labels), 4, 4, 3), np.uint8)
    images = Images.of(pixels, (0.5,) * 3, (0.2,) * 3, torch.device("cpu"))
    return Split(images=images, labels=labels, representations=torch.from_numpy(h.astype(np.float32)))


def labels(count: int, shares: tuple[float, ...] = (0.5, 0.2, 0.8)) -> np.ndarray:
    return (DRAWN.random((count, len(shares))) < shares).astype(np.int8)


def numbers(count: int) -> np.ndarray:
    return DRAWN.normal(size=count).astype(np.float32)


@pytest.mark.parametrize("levels", [3, 10_000])
def test_average_precision_is_what_a_loop_over_thresholds_makes(levels: int) -> None:
    scores, has = DRAWN.integers(levels, size=80) / levels, DRAWN.random(80) < 0.3
    expected, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        above = scores >= threshold
        recall, precision = (has & above).sum() / has.sum(), (has & above).sum() / above.sum()
        expected, before = expected + (recall - before) * precision, recall
    assert average_precision(scores, has) == pytest.approx(expected)
    assert average_precision(scores, has) == pytest.approx(average_precision_score(has, scores))
    again = DRAWN.permutation(80)
    assert average_precision(scores[again], has[again]) == pytest.approx(expected)


def test_the_mean_is_over_the_labels_that_are_there() -> None:
    scores, has = DRAWN.random((40, 3)), labels(40)
    has[:, 1] = 0
    expected = np.mean([average_precision(scores[:, i], has[:, i] == 1) for i in (0, 2)])
    assert mean_average_precision(scores, has) == pytest.approx(expected)
    with pytest.raises(Refused, match="no image has any of the labels"):
        mean_average_precision(scores, np.zeros_like(has))


def test_r2_is_that_of_scikit_learn() -> None:
    y, told = DRAWN.normal(size=50), DRAWN.normal(size=50)
    assert r2(told, y) == pytest.approx(r2_score(y, told))
    assert (r2(y, y), r2(np.full(50, y.mean()), y)) == (pytest.approx(1), pytest.approx(0))


def test_each_label_has_a_logistic_regression_of_its_own() -> None:
    y = labels(300)
    x = split(y).representations
    x = x - x.mean(dim=0)
    weights, biases = logistic.solve_each(x, torch.from_numpy(y), DECAYS)
    assert weights.shape == (2, 3, 6)
    for k, decay in enumerate(DECAYS):
        for i in range(3):
            fitted = LogisticRegression(C=1 / (decay * len(y)), tol=1e-8, max_iter=1000).fit(x.numpy(), y[:, i])
            np.testing.assert_allclose(weights[k, i], fitted.coef_[0], atol=5e-3)
            assert float(biases[k, i]) == pytest.approx(fitted.intercept_[0], abs=5e-3)
    alone, _ = logistic.solve_each(x, torch.from_numpy(y[:, 1:2]), DECAYS)
    torch.testing.assert_close(alone[:, 0], weights[:, 1], atol=1e-5, rtol=0)


def test_a_label_that_no_labelled_image_has_spoils_no_other() -> None:
    y = labels(60)
    x = split(y).representations
    x = x - x.mean(dim=0)
    without = np.concatenate([y, np.zeros((60, 1), np.int8)], axis=1)
    weights, biases = logistic.solve_each(x, torch.from_numpy(without), DECAYS)
    assert weights.isfinite().all()
    torch.testing.assert_close(biases[:, 3].sigmoid(), torch.full((2,), 0.5 / 61))
    assert not weights[:, 3].any()
    assert logistic.solve_each(x[:1], torch.from_numpy(y[:1]), DECAYS)[0].shape == (2, 3, 6)
    torch.testing.assert_close(weights[:, :3], logistic.solve_each(x, torch.from_numpy(y), DECAYS)[0])


def test_numbers_are_told_by_ridge_regression() -> None:
    train, val = split(numbers(80)), split(numbers(40))
    head, chosen = linear_probe.choose(train, val, 1, DECAYS)
    x, y = head.standardise(train.representations).double().numpy(), train.labels.astype(np.float64)
    # The normal equations' minimum, by least squares of the rows that stand for the penalty.
    rows = np.sqrt(chosen * len(y)) * np.eye(6)
    w = np.linalg.lstsq(np.concatenate([x, rows]), np.concatenate([y - y.mean(), np.zeros(6)]), rcond=None)[0]
    np.testing.assert_allclose(head.linear.weight.detach()[0], w, rtol=1e-4, atol=1e-6)
    fitted = Ridge(alpha=chosen * len(y)).fit(x, y)
    told = fitted.predict(head.standardise(val.representations).numpy())
    np.testing.assert_allclose(linear_probe.predict(head, val), told, rtol=1e-3, atol=1e-5)
    reached = {}
    for decay in [*DECAYS, *kinds.KINDS["number"].stronger]:
        ((weight, bias),) = linear_probe.fit(head, train, [decay])
        reached[decay] = r2((head.standardise(val.representations) @ weight.T + bias)[:, 0].numpy(), val.labels)
    assert reached[chosen] == max(reached.values())


def test_what_tells_nothing_of_a_number_reads_about_nothing() -> None:
    noise = [split(numbers(count), DRAWN.normal(size=(count, 200))) for count in (200, 200, 400)]
    head, _ = linear_probe.choose(noise[0], noise[1], 1, EvaluationConfig().weight_decays)
    assert r2(linear_probe.predict(head, noise[2]), noise[2].labels) == pytest.approx(0, abs=0.05)


def test_outputs_that_are_no_numbers_tell_nothing() -> None:
    outputs = torch.full((8, 1), float("nan"))
    has, y = np.array([1, 1, 0, 0, 0, 0, 0, 0], np.int8)[:, None], np.arange(8.0) - 3.5
    # The images that have the label come first, as those of one folder do.
    assert mean_average_precision(kinds.KINDS["labels"].read(outputs).numpy(), has) == pytest.approx(2 / 8)
    assert r2(kinds.KINDS["number"].read(outputs).numpy(), y) == pytest.approx(0)
    assert r2(kinds.KINDS["number"].read(outputs.fill_(torch.inf)).numpy(), y) == pytest.approx(0)


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_neighbours_vote_as_a_loop_counts(kind: str) -> None:
    bank, queries = (split(labels(90) if kind == "labels" else numbers(90)) for _ in range(2))
    found = knn.predict(bank, queries, 3, EvaluationConfig(knn_temperature=0.5))
    unit = [one.representations.numpy() / np.linalg.norm(one.representations, axis=1, keepdims=True)
            for one in (bank, queries)]  # fmt: skip
    for q in range(5):
        similarity = unit[0] @ unit[1][q]
        near = np.argsort(-similarity)
        weighted, votes = 0.0, 0.0
        for i in near[:20]:
            weighted = weighted + np.exp(similarity[i] / 0.5) * bank.labels[i]
            votes += np.exp(similarity[i] / 0.5)
        np.testing.assert_allclose(found["knn20"][q], weighted / votes, rtol=1e-4)
        np.testing.assert_allclose(found["plain_knn200"][q], bank.labels.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_a_draw_has_every_part_and_lies_in_the_next_one(kind: str) -> None:
    rare = labels(300, (0.5, 0.03, 0.6))
    y = rare if kind == "labels" else numbers(300)
    drawn = {f: fractions.draw(y, f, 1, ["a"]) for f in (0.01, 0.1, 1.0)}
    assert set(drawn[0.01]) <= set(drawn[0.1]) <= set(drawn[1.0]) == set(range(300))
    assert len(drawn[0.01]) <= 10
    assert 25 <= len(drawn[0.1]) <= 35
    if kind == "labels":
        assert (rare[drawn[0.01]].sum(axis=0) > 0).all()
    assert not np.array_equal(fractions.draw(y, 0.1, 2, ["a"]), drawn[0.1])


def wanted(seed: int, count: int, kind: str) -> Split:
    """Pictures of one brighter half: which, as two labels, or its height as a number."""
    pixels, half = pictures(count, seed)
    told = np.stack([half != 1, half != 0], axis=1).astype(np.int8)
    y = told if kind == "labels" else (half - 1).astype(np.float32)
    images = Images.of(pixels, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), torch.device("cpu"))
    return Split(images=images, labels=y, representations=torch.from_numpy(embed(backbone(), images)))


@pytest.mark.parametrize(("kind", "metric"), [("labels", "mean_average_precision"), ("number", "r2")])
def test_both_protocols_have_the_kinds_one_figure_and_nothing_that_is_right_or_wrong(kind: str, metric: str) -> None:
    parts = {"train": wanted(0, 90, kind), "val": wanted(1, 60, kind), "test": wanted(2, 45, kind)}
    names = ["left", "right"] if kind == "labels" else ["place"]
    found = probe(backbone(), parts, names, AUGMENT, CONFIG, 0)
    headed = [one for one in found.figures if one.protocol == "feature_extraction"]
    assert {one.metric for one in headed} == {metric}
    assert len(headed) == 3 * 2 * 2
    assert found.correct == {}
    linear = {one.label_fraction: one.value for one in headed if (one.head, one.split) == ("linear", "test")}
    assert linear[1.0] > (0.85 if kind == "labels" else 0.3)
    budget = FineTuningConfig(epochs=0, min_steps=30, batch_size=30, learning_rates=(1e-2,), mixup=0.1,
                              augmentation=None)  # fmt: skip
    tuned = fine_tune(backbone(), parts, names, (1.0,), CONFIG.weight_decays, budget, 0)
    assert [(one.metric, one.split) for one in tuned.figures] == [(metric, "test")]
    assert tuned.choices["1.0"][f"val_{metric}"] > (0.9 if kind == "labels" else 0.3)
    assert tuned.correct == {}


def test_a_sample_of_val_shows_a_label_that_val_shows_once() -> None:
    parts = {name: wanted(i, 40, "labels") for i, name in enumerate(("train", "val", "test"))}
    parts["val"].labels[:] = np.arange(40)[:, None] == 17
    budget = FineTuningConfig(epochs=0, min_steps=2, batch_size=20, learning_rates=(1e-3,), evaluations=1, val_images=4)
    tuned = fine_tune(backbone(), parts, ["left", "right"], (1.0,), (1e-2,), budget, 0)
    assert 0 < tuned.choices["1.0"]["val_mean_average_precision"] <= 1


def test_the_supervised_baseline_is_told_labels_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    h = torch.randn(6, 4)
    network = torch.nn.Linear(1, 1)
    network.representation_size = 4  # pyright: ignore[reportArgumentType]
    objective = Supervised(SupervisedConfig(name="supervised"), network, 8, 2)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(objective.backbone, "forward", lambda *_: h)
    logits = objective.classifier(h)
    y = torch.tensor([[1, 0], [0, 0], [-1, -1], [1, 1], [0, 1], [1, 0]], dtype=torch.int8)
    known = torch.tensor([0, 1, 3, 4, 5])
    p, t = logits[known].sigmoid(), y[known].float()
    by_hand = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
    torch.testing.assert_close(objective([(h,)], y)["cross_entropy"], by_hand)  # pyright: ignore[reportArgumentType]
    ages = torch.tensor([0.5, float("nan"), -1.0, 0.0, 2.0, 1.0])
    loss = objective([(h,)], ages)["squared_error"]  # pyright: ignore[reportArgumentType]
    told = torch.tensor([0, 2, 3, 4, 5])
    torch.testing.assert_close(loss, (logits[told, 0] - ages[told]).square().mean())
    loss.backward()
    assert objective.classifier.weight.grad is not None
    assert objective.classifier.weight.grad.isfinite().all()


def test_every_kind_is_told_by_its_array() -> None:
    arrays = {"class": np.zeros(3, np.int64), "labels": np.zeros((3, 2), np.int8), "number": np.zeros(3)}
    assert {name: kind.metrics[0].__name__ for name, kind in kinds.KINDS.items()} == main_figure.OF_TARGET
    assert all(kinds.of(array) is kinds.KINDS[name] for name, array in arrays.items())  # pyright: ignore[reportArgumentType]
    partly = split(np.array([[1, 0], [-1, -1]], np.int8)).labelled()
    assert partly.labels.tolist() == [[1, 0]]
    assert split(np.array([np.nan, 2.0])).labelled().labels.tolist() == [2.0]
