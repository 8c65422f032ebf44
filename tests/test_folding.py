"""Batch normalisation folded into convolutions: the same outputs of any network, and the network left as it was."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from ssl_core.backbones import ResNetConfig, ViTConfig, build
from ssl_core.evaluation import embedding
from ssl_core.evaluation.folding import folded


def seen(network: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics and factors of its own in each normalisation."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_var, module.weight):
                assert values is not None
                nn.init.uniform_(values, 0.5, 1.5, generator=generator)
            for values in (module.running_mean, module.bias):
                assert values is not None
                nn.init.normal_(values, std=0.3, generator=generator)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def resnet(name: str) -> nn.Module:
    return build(ResNetConfig(name=name, width=8), 32)  # pyright: ignore[reportArgumentType] (a name of the table's)


def mobilenet() -> nn.Module:
    return torchvision.models.mobilenet_v3_small(weights=None)


@pytest.mark.parametrize(
    "made",
    [lambda: resnet("resnet10"), lambda: resnet("resnet50"), mobilenet],
    ids=["resnet10", "resnet50", "mobilenet"],
)
def test_a_copy_without_normalisations_gives_the_same(made: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = seen(made())
    before, shown = copy.deepcopy(network.state_dict()), torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        without = folded(network, shown)
        other = torch.randn(4, 3, 32, 32)
        torch.testing.assert_close(without(other), network(other), rtol=1e-4, atol=1e-4)
    assert norms(network) > norms(without) == 0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class Apart(nn.Module):
    """Normalisations that are no part of a convolution: one of a sum, one of a convolution that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.of_sum, self.of_twice = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.twice(self.of_twice(self.twice(self.of_sum(self.first(images) + images)))).mean(dim=(2, 3))


class Used(nn.Module):
    """A convolution whose output goes into a normalisation, and past it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        made = self.convolution(images)
        return (made + self.norm(made)).mean(dim=(2, 3))


@pytest.mark.parametrize("made", [Apart, Used, lambda: build(ViTConfig(name="vit"), 32)], ids=["apart", "used", "vit"])
def test_where_nothing_can_be_folded_it_is_the_network(made: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = seen(made())
    with torch.inference_mode():
        assert folded(network, torch.randn(4, 3, 32, 32)) is network


def test_many_images_are_embedded_by_the_copy_and_few_by_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "computed", lambda device: torch.float32)
    torch.manual_seed(0)
    network, folds = seen(resnet("resnet10")), []
    monkeypatch.setattr(embedding, "folded", lambda *given: folds.append(given) or folded(*given))
    pixels = np.random.default_rng(0).integers(0, 256, (embedding.MANY, 8, 8, 3), np.uint8)
    images = embedding.Images.of(pixels, (0.5,) * 3, (0.25,) * 3, torch.device("cpu"))
    many = embedding.embed(network, images)
    assert len(folds) == 1
    few = embedding.embed(network, images.take(np.arange(100)))
    assert len(folds) == 1
    np.testing.assert_allclose(many[:100], few, rtol=1e-4, atol=1e-5)
