"""What fine-tuning sees, for how long, and how fast which part of the backbone moves."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssl_core import backbones
from ssl_core.augmentation import RandomResizedCrop, normalise
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.evaluation import FineTuningConfig, fine_tuning
from ssl_core.evaluation.config import FineTuningRecipe, RandAugmentConfig
from ssl_core.evaluation.downstream import Downstream, LinearHead
from ssl_core.evaluation.embedding import Images
from ssl_core.evaluation.labelled_batches import batches, mixed, order
from ssl_core.evaluation.split import Split

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PLAIN = FineTuningConfig(epochs=0, min_steps=3, batch_size=8, augmentation=None)
MIRRORED = FineTuningRecipe(crop=None, flip=1.0)
RESNET, VIT = (
    ResNetConfig(name="resnet10", width=8),
    ViTConfig(name="vit", width=16, depth=3, heads=2, class_token=True),
)


def split(count: int = 24, size: int = 8) -> Split:
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=(count, size, size, 3), dtype=np.uint8)
    images = Images.of(pixels, MEAN, STD, torch.device("cpu"))
    return Split(images=images, labels=np.arange(count) % 3, representations=torch.randn(count, 4))


@pytest.mark.parametrize(
    ("labelled", "steps"), [(54, 50), (540, 85), (54_000, 200)], ids=["the floor", "the passes", "the cap"]
)
def test_the_budget_is_passes_over_the_labels_with_a_floor_and_a_cap(labelled: int, steps: int) -> None:
    config = FineTuningConfig(epochs=10, min_steps=50, max_steps=200, batch_size=64)
    assert config.steps(labelled) == steps
    assert dataclasses.replace(config, max_steps=None).steps(54_000) == 8438


def test_every_pass_has_each_image_once_in_another_order() -> None:
    seen = np.concatenate(list(order(24, 8, 6, seed=0))).reshape(2, 24)
    assert all(sorted(one) == list(range(24)) for one in seen)
    assert (seen[0] != seen[1]).any()
    assert [len(one) for one in order(5, 8, 3, seed=0)] == [5, 5, 5]


def drawn(config: FineTuningConfig, seed: int = 0) -> list[tuple[Any, Any]]:
    torch.manual_seed(seed)
    return list(batches(split(), 3, config, seed))


def test_without_augmentation_images_come_as_they_are() -> None:
    train = split()
    for (images, targets), index in zip(drawn(PLAIN), order(24, 8, 3, 0), strict=True):
        torch.testing.assert_close(images, train.images.batch(index))
        np.testing.assert_array_equal(targets, np.eye(3)[train.labels[index]])


def test_images_are_changed_by_the_recipe_and_standardised() -> None:
    train = split()
    for (images, _), index in zip(
        drawn(dataclasses.replace(PLAIN, augmentation=MIRRORED)), order(24, 8, 3, 0), strict=True
    ):
        expected = normalise(train.images.raw(index).flip(3), MEAN, STD)
        torch.testing.assert_close(images.float(), expected, rtol=0.01, atol=0.01)  # bfloat16


def test_mixup_is_the_papers_mixture_of_images_and_of_losses() -> None:
    plain, mixtures = drawn(PLAIN), np.random.default_rng([0, 1])
    for (images, targets), (x, y) in zip(drawn(dataclasses.replace(PLAIN, mixup=0.5)), plain, strict=True):
        share, partners = mixtures.beta(0.5, 0.5), mixtures.permutation(8)
        torch.testing.assert_close(images, share * x + (1 - share) * x[partners])
        logits, labels = torch.randn(8, 3), y.argmax(1)
        losses = [F.cross_entropy(logits, each) for each in (labels, labels[partners])]
        torch.testing.assert_close(F.cross_entropy(logits, targets), share * losses[0] + (1 - share) * losses[1])
    first = plain[0][0]
    assert torch.equal(mixed(first, torch.arange(8).flip(0), 1.0), first)


RANDOM = {
    "crop and flip": dataclasses.replace(PLAIN, augmentation=FineTuningRecipe(crop=RandomResizedCrop())),
    "randaugment": dataclasses.replace(PLAIN, randaugment=RandAugmentConfig()),
    "mixup": dataclasses.replace(PLAIN, mixup=0.8),
    "all": dataclasses.replace(PLAIN, augmentation=FineTuningRecipe(), randaugment=RandAugmentConfig(), mixup=0.8),
}


@pytest.mark.parametrize("config", RANDOM.values(), ids=RANDOM)
def test_what_is_drawn_follows_from_the_seed(config: FineTuningConfig) -> None:
    first, again, other, plain = drawn(config), drawn(config), drawn(config, seed=1), drawn(PLAIN)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    assert not any(torch.equal(a.float(), b) for (a, _), (b, _) in zip(first, plain, strict=True))
    assert all(images.shape == (8, 3, 8, 8) for images, _ in first)


def test_randaugment_is_drawn_for_each_image_by_itself() -> None:
    train = split()
    train.images.pixels[:] = train.images.pixels[0]
    torch.manual_seed(0)
    ((images, _), *_) = batches(train, 3, dataclasses.replace(PLAIN, randaugment=RandAugmentConfig(operations=3)), 0)
    assert len({image.numpy().tobytes() for image in images}) > 4


class Dropping(nn.Module):
    """Draws from PyTorch's default generator, as drop path does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(192, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def test_all_of_it_repeats_exactly_and_draws_nothing_from_the_callers_generators() -> None:
    train, backbone = split(), Dropping()
    head = LinearHead(train.representations, 3)
    config = dataclasses.replace(RANDOM["all"], learning_rates=(0.01, 0.1))
    states = []
    for before in (1, 2):
        torch.manual_seed(before)
        expected = torch.random.get_rng_state()
        tuned = fine_tuning.choose(backbone, head, train, train, config, seed=3)
        assert torch.equal(torch.random.get_rng_state(), expected)
        states.append(tuned.model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(states[1][name], value)


def downstream(config: BackboneConfig) -> Any:
    torch.manual_seed(0)
    backbone = backbones.build(config, 16)
    return Downstream(backbone, LinearHead(torch.randn(9, config.representation_size), 3), "fine_tuning")


@pytest.mark.parametrize("config", [RESNET, VIT], ids=["resnet", "vit"])
def test_each_stage_has_a_share_of_the_rate_of_the_one_behind_it(config: BackboneConfig) -> None:
    model = downstream(config)
    groups = fine_tuning.layer_rates(model, 0.1, 0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(model.parameters()))
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert named["head.linear.weight"] == named["head.linear.bias"] == 0.1
    assert sorted({*named.values()}) == pytest.approx([0.1 * 0.5**i for i in range(len(groups) - 1, -1, -1)])
    if config == RESNET:
        assert (named["backbone.conv1.weight"], named["backbone.layer4.0.conv1.weight"]) == (0.1 / 32, 0.05)
    else:
        assert (named["backbone.extra"], named["backbone.blocks.2.norm1.weight"]) == (0.1 / 16, 0.05)
    assert len(groups) == len(model.backbone.stages()) + 1


def test_without_layer_decay_all_that_is_trained_has_one_rate() -> None:
    model = downstream(RESNET)
    model.backbone.conv1.requires_grad_(False)
    (group,) = fine_tuning.layer_rates(model, 0.1, 1.0)
    assert group["lr"] == 0.1
    assert len(group["params"]) == len(list(model.parameters())) - 1
    assert len([p for group in fine_tuning.layer_rates(model, 0.1, 0.5) for p in group["params"]]) == len(
        group["params"]
    )


def test_a_projector_goes_with_the_head() -> None:
    model = downstream(RESNET)
    model.backbone = nn.Sequential(model.backbone, nn.Linear(64, 8))
    *_, last = fine_tuning.layer_rates(model, 0.1, 0.5)
    assert [p.shape for p in last["params"]] == [(8, 64), (8,), (3, 64), (3,)]
    assert last["lr"] == 0.1


def test_what_is_chosen_is_trained_with_the_layers_rates() -> None:
    train, model = split(size=16), downstream(VIT)
    head = LinearHead(torch.randn(24, 16), 3)
    config = dataclasses.replace(PLAIN, learning_rates=(0.1,), layer_decay=1e-3, augmentation=MIRRORED)
    tuned: Any = fine_tuning.choose(model.backbone, head, train, train, config, seed=0).model
    before = model.backbone.patches.weight
    assert float((tuned.backbone.patches.weight - before).detach().abs().max()) < 1e-4
    assert float((tuned.head.linear.weight - head.linear.weight).detach().abs().max()) > 0.01
