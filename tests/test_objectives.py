"""Every objective against its formula, by its properties, and against the contract of the loop."""

import math
import typing

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_core import backbones, objectives
from ssl_core.backbones import ResNetConfig
from ssl_core.objectives import OBJECTIVES, Objective
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig, permutation_set
from ssl_core.objectives.simclr import SimCLRConfig, nt_xent
from ssl_core.objectives.vicreg import VICRegConfig, covariance, variance

SIZE, CLASSES = 24, 3


def build(config: typing.Any, seed: int = 0) -> Objective:
    torch.manual_seed(seed)
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), SIZE)
    return objectives.build(config, backbone, SIZE, CLASSES)


def default(kind: type) -> typing.Any:
    (name,) = typing.get_args(typing.get_type_hints(kind)["name"])
    return kind(name=name)


def batch(views: int, count: int = 32) -> tuple[list[Tensor], Tensor]:
    """Views of images that differ by more than noise: each a random 3 x 3 pattern, enlarged."""
    generator = torch.Generator().manual_seed(1)
    images = F.interpolate(torch.randn(count, 3, 3, 3, generator=generator), SIZE)
    noise = 0.1 * torch.randn(views, *images.shape, generator=generator)
    return [images + noise[i] for i in range(views)], torch.arange(count) % CLASSES


def loss(objective: Objective, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    terms = objective(*batch(objective.views))
    return torch.stack(list(terms.values())).sum()


every = pytest.mark.parametrize("kind", [kind for kind in OBJECTIVES if kind.__name__ != "RandomConfig"])


@every
def test_terms_are_finite_float32_scalars_even_under_bfloat16(kind: type) -> None:
    objective = build(default(kind))
    with torch.autocast("cpu", torch.bfloat16):
        terms = objective(*batch(objective.views))
    assert terms
    for term in terms.values():
        assert term.shape == ()
        assert term.dtype == torch.float32
        assert term.isfinite()


@every
def test_gradients_reach_every_parameter_of_the_encoder(kind: type) -> None:
    objective = build(default(kind))
    loss(objective).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.encoder.parameters())


@every
def test_same_seed_gives_the_same_loss_and_state_makes_a_round_trip(kind: type) -> None:
    first, second = build(default(kind), seed=0), build(default(kind), seed=1)
    assert loss(first) != loss(second)
    second.load_state_dict(first.state_dict())
    assert loss(first) == loss(second)


@every
def test_the_loss_falls_on_a_toy_set_and_the_representation_does_not_collapse(kind: type) -> None:
    objective = build(default(kind))
    optimiser = torch.optim.AdamW(objective.parameters(), lr=2e-3)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(objective)
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert sum(values[-5:]) < 0.9 * sum(values[:5])
    h = F.normalize(objective.encoder(batch(1)[0][0]), dim=1)
    assert h.std(dim=0).mean() * math.sqrt(h.shape[1]) > 0.1


@every
def test_only_the_supervised_baseline_uses_labels(kind: type) -> None:
    objective = build(default(kind))
    views, labels = batch(objective.views)
    objective.eval()

    def value(given: Tensor) -> Tensor:
        torch.manual_seed(0)
        return torch.stack(list(objective(views, given).values())).sum()

    same = torch.equal(value(labels), value(labels.roll(1)))
    assert same == (kind.__name__ != "SupervisedConfig")


def test_nt_xent_is_the_papers_equation() -> None:
    z1, z2 = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    z, n, temperature = torch.cat([z1, z2]), 5, 0.3
    total = 0.0
    for i in range(2 * n):
        similar = [math.exp(float(F.cosine_similarity(z[i], z[k], dim=0)) / temperature) for k in range(2 * n)]
        positive = similar[(i + n) % (2 * n)]
        total -= math.log(positive / (sum(similar) - similar[i]))
    assert nt_xent(z1, z2, temperature=temperature).item() == pytest.approx(total / (2 * n), rel=1e-5)


def test_nt_xent_is_symmetric_and_ignores_scale_and_order() -> None:
    z1, z2 = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = nt_xent(z1, z2, temperature=0.2)
    torch.testing.assert_close(nt_xent(z2, z1, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(3 * z1, 0.5 * z2, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(z1.flip(0), z2.flip(0), temperature=0.2), expected)


def test_vicreg_terms_are_the_papers_equations() -> None:
    z = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 1.0, 2.0])
    n, d = z.shape
    columns = [[float(z[i, j]) for i in range(n)] for j in range(d)]
    means = [sum(column) / n for column in columns]
    cov = [
        [sum((columns[a][i] - means[a]) * (columns[b][i] - means[b]) for i in range(n)) / (n - 1) for b in range(d)]
        for a in range(d)
    ]
    hinge = sum(max(0.0, 1 - math.sqrt(cov[j][j] + 1e-4)) for j in range(d)) / d
    off_diagonal = sum(cov[a][b] ** 2 for a in range(d) for b in range(d) if a != b) / d
    assert variance(z).item() == pytest.approx(hinge, rel=1e-4)
    assert covariance(z).item() == pytest.approx(off_diagonal, rel=1e-4)


def test_vicreg_weighs_its_terms_as_configured() -> None:
    views, _ = batch(2)
    plain = build(VICRegConfig(name="vicreg", invariance=1, variance=1, covariance=1))(views)
    weighted = build(VICRegConfig(name="vicreg"))(views)
    for name, weight in (("invariance", 25), ("variance", 25), ("covariance", 1)):
        torch.testing.assert_close(weighted[name], weight * plain[name])


def test_vicreg_sees_a_collapsed_embedding() -> None:
    assert variance(torch.ones(8, 4)).item() == pytest.approx(1 - 0.01)
    assert covariance(torch.ones(8, 4)).item() == 0


def test_without_a_projector_the_loss_is_on_the_representation() -> None:
    objective = build(SimCLRConfig(name="simclr", projector=None))
    objective.eval()
    views, _ = batch(2)
    expected = nt_xent(objective.encoder(views[0]), objective.encoder(views[1]), temperature=0.2)
    torch.testing.assert_close(objective(views)["nt_xent"], expected)


def test_denoising_restores_what_it_was_not_shown() -> None:
    objective = build(DenoisingAutoencoderConfig(name="denoising_autoencoder", noise=0.0, masked_share=0.5, patch=4))
    assert isinstance(objective, DenoisingAutoencoder)
    images = torch.ones(64, 3, SIZE, SIZE)
    corrupted = objective.corrupt(images)
    assert corrupted.mean().item() == pytest.approx(0.5, abs=0.05)
    patches = corrupted.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (patches.amin(dim=-1) == patches.amax(dim=-1)).all()
    noisy = build(DenoisingAutoencoderConfig(name="denoising_autoencoder", noise=0.7, masked_share=0.0))
    assert isinstance(noisy, DenoisingAutoencoder)
    assert (noisy.corrupt(images) - images).std().item() == pytest.approx(0.7, abs=0.02)
    torch.manual_seed(0)
    restored = objective.pictures([images])["reconstructions"]
    torch.manual_seed(0)
    torch.testing.assert_close(objective([images])["reconstruction"], F.mse_loss(restored[2], images))


def test_jigsaw_lays_each_tile_where_its_order_says() -> None:
    objective = build(JigsawConfig(name="jigsaw", gap=0))
    assert isinstance(objective, Jigsaw)
    images = F.interpolate(torch.randn(32, 3, 6, 6), SIZE)
    tiles, order = objective.shuffle(images)
    half = SIZE // 2
    for image, laid, index in zip(images, tiles, order, strict=True):
        for place, source in zip(laid, objective.orders[index], strict=True):
            row, column = divmod(int(source), 2)
            tile = image[:, row * half : (row + 1) * half, column * half : (column + 1) * half]
            torch.testing.assert_close(place, (tile - tile.mean()) / (tile.std() + 1e-2))


def test_jigsaw_permutations_are_distinct_and_far_apart() -> None:
    assert len(permutation_set(4, 24).unique(dim=0)) == 24
    orders = permutation_set(9, 30)
    assert (orders.sort(dim=1).values == torch.arange(9)).all()
    distance = (orders[:, None] != orders[None]).sum(dim=-1).fill_diagonal_(9)
    assert distance.min() >= 7


def test_pictures_are_grids_of_images() -> None:
    for kind, name in ((DenoisingAutoencoderConfig, "reconstructions"), (JigsawConfig, "puzzles")):
        grid = build(default(kind)).pictures(batch(1, count=4)[0])[name]
        assert grid.shape[1:] == (4, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (SimCLRConfig, {"temperature": 0.0}),
        (DenoisingAutoencoderConfig, {"masked_share": 1.0}),
        (JigsawConfig, {"permutations": 25}),
    ],
)
def test_values_out_of_range_are_refused(kind: typing.Any, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        kind(name=default(kind).name, **wrong)


def test_jigsaw_refuses_images_too_small_for_its_tiles() -> None:
    backbone = backbones.build(ResNetConfig(name="resnet10", width=8), 16)
    with pytest.raises(ValueError, match="too small"):
        objectives.build(JigsawConfig(name="jigsaw"), backbone, 16, CLASSES)
