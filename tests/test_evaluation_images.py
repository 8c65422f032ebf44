"""Images through a network, fine-tuning and the two evaluations, on small images that a small network tells apart."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_core import collapse
from ssl_core.augmentation import Augment, Recipe, normalise
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig, embedding, fine_tuning, fractions, linear_probe
from ssl_core.evaluation.downstream import LinearHead
from ssl_core.evaluation.embedding import Images, embed
from ssl_core.evaluation.evaluation import Evaluation, FineTuned, fine_tune, probe
from ssl_core.evaluation.split import Split

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CLASSES = ["left", "right", "top"]
AUGMENT = Augment([Recipe(views=1, blur=None)], MEAN, STD)
BUDGET = FineTuningConfig(
    epochs=0, min_steps=12, batch_size=16, learning_rates=(1e-2, 1e-6), evaluations=3, val_images=40, augmentation=None
)
CONFIG = EvaluationConfig(label_fractions=(0.2, 1.0), weight_decays=(1e-3, 1e-1))


class Tiny(nn.Module):
    """A convolution, batch norm, and a mean over positions that keeps a 2 x 2 grid."""

    representation_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).flatten(1)


def backbone() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with one brighter half, which is the class."""
    generator = np.random.default_rng(seed)
    pixels, labels = generator.integers(0, 120, (count, 8, 8, 3), np.uint8), np.arange(count) % 3
    pixels[labels == 0, :, :4] += 20
    pixels[labels == 1, :, 4:] += 20
    pixels[labels == 2, :4] += 20
    return pixels, labels


def split(count: int, seed: int, labels: Sequence[int] | None = None) -> Split:
    pixels, drawn = pictures(count, seed)
    images = Images.of(pixels, MEAN, STD, torch.device("cpu"))
    h = torch.from_numpy(embed(backbone(), images))
    return Split(images=images, labels=drawn if labels is None else np.array(labels), representations=h)


def splits() -> dict[str, Split]:
    return {"train": split(90, 0), "val": split(60, 1), "test": split(45, 2)}


def test_embedding_is_the_network_in_evaluation_mode_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = pictures(50, 0)
    network = backbone().train()
    images = Images.of(pixels, MEAN, STD, torch.device("cpu"))
    before = copy.deepcopy(network.state_dict())
    whole = embed(network, images)
    assert whole.dtype == np.float32
    with torch.no_grad():
        expected = network.eval()(normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), MEAN, STD))
    np.testing.assert_allclose(whole, expected, atol=0.03)  # bfloat16 keeps 8 bits
    monkeypatch.setattr(embedding, "BATCH", 16)
    np.testing.assert_allclose(embed(network, images), whole, atol=0.01)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_images_are_taken_by_position_of_what_was_taken_before() -> None:
    pixels, _ = pictures(20, 0)
    images = Images.of(pixels, MEAN, STD, torch.device("cpu")).take(np.arange(5, 15)).take(np.array([0, 9]))
    np.testing.assert_array_equal(images.raw(slice(0, 2)).permute(0, 2, 3, 1), pixels[[5, 14]])
    assert images.raw(slice(0, 2)).is_contiguous(memory_format=torch.channels_last)


def test_fine_tuning_learns_and_leaves_what_it_was_given() -> None:
    parts, network = splits(), backbone()
    head = LinearHead(parts["train"].representations, 3)
    before = copy.deepcopy((network.state_dict(), head.state_dict()))
    tuned = fine_tuning.choose(network, head, parts["train"], parts["val"], BUDGET, seed=0)
    for kept, module in zip(before, (network, head), strict=True):
        assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())
    assert tuned.learning_rate == 1e-2
    assert tuned.step in (4, 8, 12)
    right = [
        predicted == parts["test"].labels
        for predicted in (linear_probe.predict(head, parts["test"]), fine_tuning.predict(tuned.model, parts["test"]))
    ]
    assert right[0].mean() == pytest.approx(1 / 3)
    assert right[1].mean() > 0.6
    assert any((tuned.model.backbone.state_dict()[name] != value).any() for name, value in before[0].items())


@pytest.mark.parametrize(
    ("accuracies", "rate", "step", "place"),
    [([0.5, 0.1, 0.9, 0.9], 1e-2, 8, 2), ([0.1, 0.5, 0.4, 0.3], 1e-6, 4, 1), ([0.5, 0.5, 0.5, 0.6], 1e-2, 12, 3)],
)
def test_the_rate_ahead_goes_on_and_the_state_that_was_best_on_val_is_kept(
    accuracies: list[float], rate: float, step: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = iter(accuracies)
    states: list[dict[str, Tensor]] = []

    def predict(model: nn.Module, split: Split) -> np.ndarray:
        states.append(copy.deepcopy(model.state_dict()))
        right = round(next(reached) * len(split))
        return np.where(np.arange(len(split)) < right, split.labels, -1)

    monkeypatch.setattr(fine_tuning, "predict", predict)
    parts = splits()
    head, _ = linear_probe.choose(parts["train"], parts["val"], 3, [0.1])
    tuned = fine_tuning.choose(backbone(), head, parts["train"], parts["val"], BUDGET, seed=0)
    assert len(states) == 4
    assert (tuned.learning_rate, tuned.step, tuned.reached) == (rate, step, accuracies[place])
    assert all(torch.equal(states[place][name], value) for name, value in tuned.model.state_dict().items())
    assert not torch.equal(states[2]["head.linear.weight"], states[3]["head.linear.weight"])


def test_the_head_begins_as_the_probe() -> None:
    parts = splits()
    head, _ = linear_probe.choose(parts["train"], parts["val"], 3, [0.1])
    still = FineTuningConfig(epochs=0, min_steps=1, learning_rates=(1e-9,), evaluations=1, augmentation=None)
    tuned = fine_tuning.choose(backbone(), head, parts["train"], parts["val"], still, seed=0)
    torch.testing.assert_close(tuned.model.head.state_dict(), head.state_dict(), atol=1e-6, rtol=0)


def probed(parts: dict[str, Split], seed: int = 0) -> Evaluation:
    return probe(backbone(), parts, CLASSES, AUGMENT, CONFIG, seed)


def tuned(parts: dict[str, Split], seed: int = 0) -> FineTuned:
    return fine_tune(backbone(), parts, CLASSES, CONFIG.label_fractions, CONFIG.weight_decays, BUDGET, seed)


def same(one: Evaluation | FineTuned, other: Evaluation | FineTuned) -> bool:
    same_images = one.correct.keys() == other.correct.keys() and all(
        np.array_equal(right, other.correct[by]) for by, right in one.correct.items()
    )
    return same_images and (one.figures, one.choices) == (other.figures, other.choices)


def of_heads(
    protocol: str, *heads: str, splits: tuple[str, ...] = ("val", "test")
) -> set[tuple[str, str, float | None, str, str]]:
    return {
        (protocol, head, fraction, name, metric)
        for head in heads
        for fraction in (0.2, 1.0)
        for name in splits
        for metric in ("accuracy", "macro_f1")
    }


def test_a_probe_has_every_figure_once_and_repeats_exactly() -> None:
    evaluation = probed(splits())
    keys = [figure[:5] for figure in evaluation.figures]
    expected = of_heads("feature_extraction", "linear", "knn20", "plain_knn200") | {
        ("label_free", "", None, name, metric)
        for name in ("val", "test")
        for metric in (
            "rankme",
            "alpha_req",
            "nesum",
            "clid",
            "lidar",
            "alignment",
            "uniformity",
            "embedding_std",
        )
    }
    assert sorted(map(repr, keys)) == sorted(map(repr, expected))
    assert same(probed(splits()), evaluation)
    assert evaluation.choices["0.2"]["labelled_images"] == 18
    assert evaluation.choices["0.2"]["knn"] == {"knn20": 18, "plain_knn200": 18}
    assert set(evaluation.choices["1.0"]) == {"labelled_images", "linear", "knn"}
    assert not evaluation.verdict.collapsed


def test_fine_tuning_has_every_figure_once_and_repeats_exactly() -> None:
    made = tuned(splits())
    expected = of_heads("fine_tuning", "linear", splits=("test",))
    assert sorted(map(repr, (figure[:5] for figure in made.figures))) == sorted(map(repr, expected))
    assert same(tuned(splits()), made)
    assert {fraction: chosen["labelled_images"] for fraction, chosen in made.choices.items()} == {"0.2": 18, "1.0": 90}
    for chosen in made.choices.values():
        assert set(chosen) == {"labelled_images", "learning_rate", "val_accuracy", "step", "steps"}
        assert chosen["steps"] == 12
        assert chosen["learning_rate"] in BUDGET.learning_rates
        assert chosen["step"] in (4, 8, 12)


def test_fine_tuning_starts_from_the_head_of_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[LinearHead] = []
    given: list[tuple[np.ndarray, int]] = []
    choose, draw = linear_probe.choose, fractions.draw

    def chosen(*settings: Any) -> tuple[LinearHead, float]:
        head, decay = choose(*settings)
        heads.append(copy.deepcopy(head))
        return head, decay

    def drawn(labels: np.ndarray, fraction: float, seed: int, classes: list[str]) -> np.ndarray:
        given.append((draw(labels, fraction, seed, classes), seed))
        return given[-1][0]

    monkeypatch.setattr(linear_probe, "choose", chosen)
    monkeypatch.setattr(fractions, "draw", drawn)
    starts: list[LinearHead] = []
    tune = fine_tuning.choose

    def from_head(network: nn.Module, head: LinearHead, *rest: Any) -> fine_tuning.FineTuned:
        starts.append(copy.deepcopy(head))
        return tune(network, head, *rest)

    monkeypatch.setattr(fine_tuning, "choose", from_head)
    parts = splits()
    probed(parts, seed=3)
    of_probe = list(heads)
    tuned(parts, seed=3)
    assert len(starts) == len(of_probe) == 2
    for start, head in zip(starts, of_probe, strict=True):
        torch.testing.assert_close(start.state_dict(), head.state_dict(), rtol=0, atol=0)
    assert [seed for _, seed in given] == [3] * 4
    for (ours, _), (theirs, _) in zip(given[:2], given[2:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_seed_draws_other_labelled_images_and_other_samples() -> None:
    parts = splits()
    first, second = probed(parts, seed=0), probed(parts, seed=1)
    assert [f for f in first.figures if f.label_fraction == 0.2] != [
        f for f in second.figures if f.label_fraction == 0.2
    ]
    alignment = [[f for f in each.figures if f.metric == "alignment"] for each in (first, second)]
    assert alignment[0] != alignment[1]
    # All labels are all labels, and the whole split is the whole split.
    whole = [
        [
            f
            for f in each.figures
            if f.label_fraction == 1.0 or f.metric in ("rankme", "alpha_req", "nesum", "embedding_std")
        ]
        for each in (first, second)
    ]
    assert whole[0] == whole[1]
    assert not same(tuned(parts, seed=0), tuned(parts, seed=1))


def test_nothing_is_chosen_on_test() -> None:
    parts = splits()
    wrong = dataclasses.replace(parts["test"], labels=(parts["test"].labels + 1) % 3)
    frozen, other = probed(parts), probed(parts | {"test": wrong})
    with_true, with_wrong = tuned(parts), tuned(parts | {"test": wrong})
    assert (frozen.choices, with_true.choices) == (other.choices, with_wrong.choices)
    for ours, theirs in ((frozen.figures, other.figures), (with_true.figures, with_wrong.figures)):
        assert [f for f in ours if f.split == "val"] == [f for f in theirs if f.split == "val"]
        assert ours != theirs


def test_without_labels_only_the_label_free_figures_are_made() -> None:
    free = {name: dataclasses.replace(part, labels=np.full(len(part), -1)) for name, part in splits().items()}
    evaluation = probed(free)
    assert {figure.protocol for figure in evaluation.figures} == {"label_free"}
    assert len(evaluation.figures) == 16
    assert evaluation.choices == {}
    assert evaluation.correct == {}
    made = tuned(free)
    assert (made.figures, made.choices, made.correct) == ([], {}, {})


def test_unlabelled_images_among_labelled_ones_are_left_out() -> None:
    parts = splits()
    more = {name: split(len(part) + 9, seed) for seed, (name, part) in enumerate(parts.items())}
    for part in more.values():
        part.labels[::7] = -1
    fewer = {name: part.take(np.flatnonzero(part.labels >= 0)) for name, part in more.items()}
    labelled = [f for f in probed(more).figures if f.protocol != "label_free"]
    assert labelled == [f for f in probed(fewer).figures if f.protocol != "label_free"]
    assert same(tuned(more), tuned(fewer))


@pytest.mark.parametrize("evaluated", [probed, tuned])
def test_a_split_without_labels_beside_labelled_ones_is_refused(evaluated: Callable[[dict[str, Split]], Any]) -> None:
    with pytest.raises(Refused, match="the test split has no labels"):
        evaluated(splits() | {"test": split(45, 2, labels=[-1] * 45)})


@pytest.mark.parametrize("evaluated", [probed, tuned])
def test_a_split_too_small_to_measure_is_refused(evaluated: Callable[[dict[str, Split]], Any]) -> None:
    with pytest.raises(Refused, match="the val split has 3 images; an evaluation needs at least 4"):
        evaluated(splits() | {"val": split(3, 1)})


def test_a_collapsed_backbone_is_called_so() -> None:
    constant = torch.ones(60, 16)
    parts = splits()
    verdict = probed(parts | {"val": dataclasses.replace(parts["val"], representations=constant)}).verdict
    assert verdict.collapsed
    assert verdict == collapse.verdict(0.0, collapse.rankme(constant), CONFIG.collapse)
