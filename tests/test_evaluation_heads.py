"""The downstream model, the probe, k-NN and the metrics against scikit-learn."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ssl_core.evaluation import EvaluationConfig, knn, linear_probe, logistic
from ssl_core.evaluation.downstream import Downstream, LinearHead, Protocol
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.metrics import accuracy, macro_f1
from ssl_core.evaluation.split import Split


def blobs(count: int, seed: int = 0, size: int = 8, classes: int = 3, spread: float = 1.5) -> Split:
    """Representations around a centre for each class, with dimensions of very different scales."""
    centres = np.random.default_rng(99).normal(size=(classes, size))
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    h = (centres[labels] + spread * generator.normal(size=(count, size))) * np.logspace(-2, 2, size) + 3
    pixels = np.zeros((count, 4, 4, 3), np.uint8)
    images = Images.of(pixels, (0.5,) * 3, (0.5,) * 3, torch.device("cpu"))
    return Split(images=images, labels=labels, representations=torch.tensor(h, dtype=torch.float32))


@pytest.mark.parametrize(("protocol", "reached"), [("feature_extraction", False), ("fine_tuning", True)])
def test_the_switch_alone_decides_whether_the_backbone_learns(protocol: Protocol, reached: bool) -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    before = copy.deepcopy(backbone.state_dict())
    head = LinearHead(torch.randn(16, 4), classes=3)
    nn.init.normal_(head.linear.weight)
    model = Downstream(backbone, head, protocol)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    cross_entropy(model(torch.randn(16, 5)), torch.arange(16) % 3).backward()
    optimiser.step()
    assert all((p.grad is not None) == reached for p in backbone.parameters())
    moved = [not torch.equal(before[name], value) for name, value in backbone.state_dict().items()]
    assert all(moved) if reached else not any(moved)
    assert head.linear.weight.grad is not None


def test_the_head_standardises_and_leaves_constant_dimensions_alone() -> None:
    h = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.0, 3.0]) + 7
    expected = torch.tensor(StandardScaler().fit_transform(h.double()), dtype=torch.float32)
    torch.testing.assert_close(LinearHead(h, 2).standardise(h), expected, atol=1e-4, rtol=1e-4)


def objective(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, weight_decay: float) -> Tensor:
    """The probe's loss in float64."""
    loss = cross_entropy(x.double() @ weight.double().T + bias.double(), labels)
    return loss + weight_decay / 2 * weight.double().square().sum()


def standardised(split: Split) -> tuple[Tensor, Tensor]:
    h = split.representations
    return LinearHead(h, 2).standardise(h), torch.from_numpy(split.labels)


@pytest.mark.parametrize(("count", "size", "classes"), [(600, 8, 3), (60, 100, 3), (5, 30, 5), (900, 20, 200)])
def test_the_probe_reaches_the_optimum_of_logistic_regression(count: int, size: int, classes: int) -> None:
    train = blobs(count, size=size, classes=classes)
    train.labels[:classes] = np.arange(classes)  # five images of five classes: one of each
    x, labels = standardised(train)
    grid = [1e-1, 1e-2, 1e-3]
    for decay, weight, bias in zip(grid, *logistic.solve(x, labels, classes, grid), strict=True):
        peer = LogisticRegression(C=1 / (decay * count), tol=1e-10, max_iter=10_000).fit(x.double().numpy(), labels)
        theirs = objective(x, labels, torch.from_numpy(peer.coef_), torch.from_numpy(peer.intercept_), decay)
        assert objective(x, labels, weight, bias, decay).item() == pytest.approx(theirs.item(), abs=1e-5)
        expected = peer.predict(x.double().numpy())
        assert ((x @ weight.T + bias).argmax(dim=1).numpy() == expected).mean() > 0.99


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([20, 400]), st.floats(0, 4))
def test_the_optimum_turns_with_the_representations(seed: int, count: int, orders: float) -> None:
    """And is one, however far the dimensions' scales are apart: the gradient vanishes there."""
    x, labels = standardised(blobs(count, seed=seed, size=32))
    x = x * torch.logspace(0, -orders, 32)
    turn = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(seed))).Q
    grid = [1e-1, 1e-3]
    plain, turned = logistic.solve(x, labels, 3, grid), logistic.solve(x @ turn, labels, 3, grid)
    for k, (decay, weight, bias) in enumerate(zip(grid, *plain, strict=True)):
        there = objective(x @ turn, labels, turned[0][k], turned[1][k], decay)
        assert there.item() == pytest.approx(objective(x, labels, weight, bias, decay).item(), abs=1e-5)
        at = (weight.double().requires_grad_(), bias.double().requires_grad_())
        gradients = torch.autograd.grad(objective(x, labels, *at, decay), at)
        assert max(gradient.abs().max().item() for gradient in gradients) < 1e-3


def test_few_images_of_many_dimensions_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32 they did not: rounding hid from the line search that it went down."""
    monkeypatch.setattr(logistic, "ITERATIONS", 300)
    monkeypatch.setattr(logistic, "TOLERANCE", 1e-9)
    train = blobs(15, size=600, classes=10, spread=3)
    train.labels[:10] = np.arange(10)
    x, labels = standardised(train)
    for decay, weight, bias in zip([1.0, 1e-3, 1e-5], *logistic.solve(x, labels, 10, [1.0, 1e-3, 1e-5]), strict=True):
        at = (weight.double().requires_grad_(), bias.double().requires_grad_())
        loss = objective(x, labels, *at, decay)
        gradients = torch.autograd.grad(loss, at)
        assert max(gradient.abs().max().item() for gradient in gradients) < 1e-3 * loss.item()


def test_a_fit_whose_loss_can_be_seen_to_fall_no_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many images are fitted in float32, whose rounding no tolerance of 0 gets over."""
    asked, evaluate = [], logistic._evaluate
    monkeypatch.setattr(logistic, "_evaluate", lambda *given: asked.append(1) or evaluate(*given))
    monkeypatch.setattr(logistic, "FEW", 50)
    monkeypatch.setattr(logistic, "TOLERANCE", 0.0)
    x, labels = standardised(blobs(60, size=200))
    weights, _ = logistic.solve(x, labels, 3, [1e-2, 1e-5])
    assert weights.isfinite().all()
    assert len(asked) < logistic.ITERATIONS


def test_the_fits_do_not_depend_on_each_other_and_repeat_bit_for_bit() -> None:
    x, labels = standardised(blobs(400, size=32))
    grid = [1.0, 1e-2, 1e-4]
    first, again = logistic.solve(x, labels, 3, grid), logistic.solve(x, labels, 3, grid)
    assert all(map(torch.equal, first, again))
    for k, decay in enumerate(grid):
        weight, bias = logistic.solve(x, labels, 3, [decay])
        alone, together = (
            objective(x, labels, *fit, decay) for fit in ((weight[0], bias[0]), (first[0][k], first[1][k]))
        )
        assert alone.item() == pytest.approx(together.item(), abs=1e-5)


def test_images_in_several_parts_give_the_same_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = standardised(blobs(300, size=32))
    assert len(x) < logistic.ROWS
    whole = logistic.solve(x, labels, 3, [1e-2])
    monkeypatch.setattr(logistic, "ROWS", 150)
    torch.testing.assert_close(logistic.solve(x, labels, 3, [1e-2]), whole, atol=1e-3, rtol=1e-3)


def test_the_weight_decay_is_the_best_on_val_and_the_strongest_of_equals() -> None:
    train, val = blobs(40, size=30), blobs(500, seed=1, size=30)
    grid = (1e-4, 1e-2, 1.0)
    head, chosen = linear_probe.choose(train, val, 3, grid)
    alone = {decay: linear_probe.choose(train, val, 3, [decay])[0] for decay in grid}
    reached = {decay: accuracy(linear_probe.predict(fitted, val), val.labels) for decay, fitted in alone.items()}
    assert len(set(reached.values())) > 1, "the grid makes no difference here: the test would show nothing"
    assert reached[chosen] == max(reached.values())
    assert accuracy(linear_probe.predict(head, val), val.labels) == pytest.approx(reached[chosen], abs=0.01)
    easy = blobs(60, spread=0.01)
    assert linear_probe.choose(easy, easy, 3, grid)[1] == 1.0


def test_a_collapsed_representation_gives_the_most_frequent_class() -> None:
    labels = np.array([0] * 5 + [1] * 20 + [2] * 5)
    constant = torch.full((30, 4), 2.5)
    split = Split(images=blobs(30).images, labels=labels, representations=constant)
    head, _ = linear_probe.choose(split, split, 3, [1e-3])
    assert set(linear_probe.predict(head, split)) == {1}


def cosine_knn(bank: Split, queries: Split, k: int, temperature: float = np.inf) -> np.ndarray:
    """scikit-learn's, on normalised representations: squared distance = 2 - 2 x cosine."""

    def votes(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance**2 / 2) / temperature)

    unit = [torch.nn.functional.normalize(part.representations.double()).numpy() for part in (bank, queries)]
    peer = KNeighborsClassifier(k, weights=votes, algorithm="brute")  # pyright: ignore[reportArgumentType] (its stub)
    return peer.fit(unit[0], bank.labels).predict(unit[1])


def test_knn_agrees_with_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "CHUNK", (64, 64))  # so that the queries take several chunks, the last one smaller
    bank, queries = blobs(700), blobs(300, seed=1)
    predicted = knn.predict(bank, queries, 3, EvaluationConfig(knn_temperature=0.2))
    np.testing.assert_array_equal(predicted["knn20"], cosine_knn(bank, queries, 20, 0.2))
    np.testing.assert_array_equal(predicted["plain_knn200"], cosine_knn(bank, queries, 200))
    assert (predicted["knn20"] != predicted["plain_knn200"]).any()


@pytest.mark.parametrize("count", [100, 6399, 6400, 6417, 20_000])
def test_the_largest_by_groups_are_those_of_topk(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    values = torch.randint(3000, (40, count), generator=generator).float()  # many are equal
    values[1] = torch.arange(count)
    values[2] = -torch.arange(count)
    found, positions = knn.largest(values, min(200, count))
    assert torch.equal(found, values.topk(min(200, count), dim=1).values)
    assert torch.equal(values.gather(1, positions), found)
    assert all(len(row.unique()) == len(row) for row in positions)


def test_knn_with_fewer_labelled_images_than_neighbours_lets_all_vote() -> None:
    bank, queries = blobs(13), blobs(50, seed=1)
    predicted = knn.predict(bank, queries, 3, EvaluationConfig())
    assert set(predicted["plain_knn200"]) == {np.bincount(bank.labels).argmax()}
    np.testing.assert_array_equal(predicted["knn20"], cosine_knn(bank, queries, 13, 0.07))


def test_knn_votes_stay_finite_at_a_tiny_temperature() -> None:
    bank, queries = blobs(100), blobs(50, seed=1)
    predicted = knn.predict(bank, queries, 3, EvaluationConfig(knn_temperature=1e-4))
    np.testing.assert_array_equal(predicted["knn20"], cosine_knn(bank, queries, 1))


@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, predicted = generator.choice([0, 2, 5], 60), generator.choice([0, 1, 2], 60)
    with warnings.catch_warnings(action="ignore"):
        expected = f1_score(labels, predicted, average="macro")
    assert macro_f1(predicted, labels) == pytest.approx(expected)
    assert accuracy(predicted, labels) == pytest.approx(accuracy_score(labels, predicted))
