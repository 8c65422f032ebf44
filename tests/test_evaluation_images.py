"""Images through a network, fine-tuning and the whole evaluation, on small images that a small network tells apart."""

import copy
import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_core import collapse
from ssl_core.augmentation import Augment, Recipe, normalise
from ssl_core.errors import Refused
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig, embedding, fine_tuning, probe
from ssl_core.evaluation.downstream import LinearHead
from ssl_core.evaluation.embedding import Images, embed
from ssl_core.evaluation.evaluation import Evaluation, evaluate
from ssl_core.evaluation.split import Split

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CLASSES = ["left", "right", "top"]
AUGMENT = Augment([Recipe(views=1, blur=None)], MEAN, STD)
BUDGET = FineTuningConfig(steps=12, batch_size=16, learning_rates=(1e-2, 1e-6), evaluations=3, val_images=40)
CONFIG = EvaluationConfig(label_fractions=(0.2, 1.0), weight_decays=(1e-3, 1e-1), fine_tuning=BUDGET)


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
        for predicted in (probe.predict(head, parts["test"]), fine_tuning.predict(tuned.model, parts["test"]))
    ]
    assert right[0].mean() == pytest.approx(1 / 3)
    assert right[1].mean() > 0.6
    assert any((tuned.model.backbone.state_dict()[name] != value).any() for name, value in before[0].items())


def test_fine_tuning_keeps_the_state_that_was_best_on_val(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = iter([0.1, 0.9, 0.9, 0.3, 0.2, 0.9])
    states: list[dict[str, Tensor]] = []

    def predict(model: nn.Module, split: Split) -> np.ndarray:
        states.append(copy.deepcopy(model.state_dict()))
        right = round(next(reached) * len(split))
        return np.where(np.arange(len(split)) < right, split.labels, -1)

    monkeypatch.setattr(fine_tuning, "predict", predict)
    parts = splits()
    head, _ = probe.choose(parts["train"], parts["val"], 3, [0.1])
    tuned = fine_tuning.choose(backbone(), head, parts["train"], parts["val"], BUDGET, seed=0)
    assert (tuned.learning_rate, tuned.step, tuned.accuracy) == (1e-2, 8, 0.9)
    assert all(torch.equal(states[1][name], value) for name, value in tuned.model.state_dict().items())
    assert not torch.equal(states[1]["head.linear.weight"], states[2]["head.linear.weight"])


def test_the_head_begins_as_the_probe() -> None:
    parts = splits()
    head, _ = probe.choose(parts["train"], parts["val"], 3, [0.1])
    still = FineTuningConfig(steps=1, batch_size=16, learning_rates=(1e-9,), evaluations=1)
    tuned = fine_tuning.choose(backbone(), head, parts["train"], parts["val"], still, seed=0)
    torch.testing.assert_close(tuned.model.head.state_dict(), head.state_dict(), atol=1e-6, rtol=0)


def run(parts: dict[str, Split], config: EvaluationConfig = CONFIG) -> Evaluation:
    return evaluate(backbone(), parts, CLASSES, AUGMENT, config)


def test_an_evaluation_has_every_figure_once_and_repeats_exactly() -> None:
    evaluation = run(splits())
    keys = [figure[:5] for figure in evaluation.figures]
    heads = [("feature_extraction", head) for head in ("linear", "knn20", "knn200")] + [("fine_tuning", "linear")]
    expected = {
        (protocol, head, fraction, name, metric)
        for protocol, head in heads
        for fraction in (0.2, 1.0)
        for name in ("val", "test")
        for metric in ("accuracy", "macro_f1")
    } | {
        ("label_free", "", None, name, metric)
        for name in ("val", "test")
        for metric in ("rankme", "alignment", "uniformity", "embedding_std")
    }
    assert sorted(map(repr, keys)) == sorted(map(repr, expected))
    assert run(splits()) == evaluation
    assert evaluation.choices["0.2"]["labelled_images"] == 18
    assert evaluation.choices["0.2"]["knn"] == {"knn20": 18, "knn200": 18}
    assert set(evaluation.choices["1.0"]) == {"labelled_images", "linear", "knn", "fine_tuning"}
    assert not evaluation.verdict.collapsed


def test_nothing_is_chosen_on_test() -> None:
    parts = splits()
    wrong = dataclasses.replace(parts["test"], labels=(parts["test"].labels + 1) % 3)
    evaluation, other = run(parts), run(parts | {"test": wrong})
    assert evaluation.choices == other.choices
    assert [f for f in evaluation.figures if f.split == "val"] == [f for f in other.figures if f.split == "val"]
    assert evaluation.figures != other.figures


def test_without_labels_only_the_label_free_figures_are_made() -> None:
    free = {name: dataclasses.replace(part, labels=np.full(len(part), -1)) for name, part in splits().items()}
    evaluation = run(free)
    assert {figure.protocol for figure in evaluation.figures} == {"label_free"}
    assert len(evaluation.figures) == 8
    assert evaluation.choices == {}


def test_unlabelled_images_among_labelled_ones_are_left_out() -> None:
    parts = splits()
    more = {name: split(len(part) + 9, seed) for seed, (name, part) in enumerate(parts.items())}
    for part in more.values():
        part.labels[::7] = -1
    fewer = {name: part.take(np.flatnonzero(part.labels >= 0)) for name, part in more.items()}
    labelled = [f for f in run(more).figures if f.protocol != "label_free"]
    assert labelled == [f for f in run(fewer).figures if f.protocol != "label_free"]


def test_a_split_without_labels_beside_labelled_ones_is_refused() -> None:
    with pytest.raises(Refused, match="the test split has no labels"):
        run(splits() | {"test": split(45, 2, labels=[-1] * 45)})


def test_a_split_too_small_to_measure_is_refused() -> None:
    with pytest.raises(Refused, match="the val split has 1 image"):
        run(splits() | {"val": split(1, 1)})


def test_a_collapsed_backbone_is_called_so() -> None:
    constant = torch.ones(60, 16)
    parts = splits()
    verdict = run(parts | {"val": dataclasses.replace(parts["val"], representations=constant)}).verdict
    assert verdict.collapsed
    assert verdict == collapse.verdict(0.0, collapse.rankme(constant), CONFIG.collapse)
