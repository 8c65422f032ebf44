"""Generative objectives against their formulas, and by their properties."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, batch, build
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.backbones.vit import ViT
from ssl_core.objectives import Objective
from ssl_core.objectives.denoising_autoencoder import DenoisingAutoencoder, DenoisingAutoencoderConfig
from ssl_core.objectives.mae import MAE, MAEConfig
from ssl_core.objectives.patches import (
    PatchDecoder,
    draw_distances,
    draw_places,
    hidden_patches,
    patchify,
    unpatchify,
    with_patches,
)
from ssl_core.objectives.reconstruction import Features, distance, ssim
from ssl_core.objectives.simmim import SimMIM, SimMIMConfig

VIT = ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)


def denoising(**settings: Any) -> DenoisingAutoencoder:
    """With nothing corrupted but what `settings` say."""
    off: dict[str, Any] = {"gaussian": 0.0, "masked_share": 0.0}
    objective = build(DenoisingAutoencoderConfig(name="denoising_autoencoder", **(off | settings)))
    assert isinstance(objective, DenoisingAutoencoder)
    return objective


# Denoising autoencoder


def test_denoising_restores_what_it_was_not_shown() -> None:
    objective = denoising(masked_share=0.5)
    images = torch.ones(64, 3, SIZE, SIZE)
    corrupted = objective.corrupt(images)
    assert corrupted.mean().item() == pytest.approx(0.5, abs=0.05)
    patches = corrupted.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert (patches.amin(dim=-1) == patches.amax(dim=-1)).all()
    assert (denoising(gaussian=0.7).corrupt(images) - images).std().item() == pytest.approx(0.7, abs=0.02)
    torch.manual_seed(0)
    restored = objective.pictures([View(images)])["reconstructions"]
    torch.manual_seed(0)
    torch.testing.assert_close(objective([View(images)])["reconstruction"], F.mse_loss(restored[2], images))


def test_salt_and_pepper_are_white_and_black_pixels_in_equal_shares() -> None:
    images = 0.1 * torch.randn(64, 3, SIZE, SIZE)
    corrupted = denoising(salt_and_pepper=0.2).corrupt(images)
    salt, pepper = (corrupted == 2).all(dim=1), (corrupted == -2).all(dim=1)
    assert salt.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert pepper.float().mean().item() == pytest.approx(0.1, abs=0.01)
    untouched = ~(salt | pepper)[:, None].expand_as(images)
    assert torch.equal(corrupted[untouched], images[untouched])


def test_corruptions_compose_and_what_is_hidden_stays_hidden() -> None:
    images = torch.ones(64, 3, SIZE, SIZE)
    corrupted = denoising(gaussian=0.3, salt_and_pepper=0.2, masked_share=0.5).corrupt(images)
    assert (corrupted == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (corrupted.abs() == 2).float().mean().item() == pytest.approx(0.1, abs=0.02)
    rest = corrupted[(corrupted != 0) & (corrupted.abs() != 2)]
    assert rest.std().item() == pytest.approx(0.3, abs=0.02)


def test_without_corruption_it_is_an_autoencoder() -> None:
    images = torch.randn(4, 3, SIZE, SIZE)
    assert torch.equal(denoising().corrupt(images), images)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gaussian": -0.1}, "gaussian is -0.1"),
        ({"salt_and_pepper": 1.0}, "salt_and_pepper is 1.0"),
        ({"masked_share": 1.0}, "masked_share is 1.0"),
        ({"masked_share": -0.5}, "masked_share is -0.5"),
        ({"patch": 0}, "patch is 0"),
    ],
)
def test_an_impossible_corruption_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DenoisingAutoencoderConfig(name="denoising_autoencoder", **settings)


def test_ssim_of_images_smaller_than_its_window_is_refused() -> None:
    config = DenoisingAutoencoderConfig(name="denoising_autoencoder", reconstruction="ssim")
    DenoisingAutoencoder.check(config, ResNetConfig(name="resnet10"), 11, 256)
    with pytest.raises(ValueError, match="whose window has 11 pixels, and images have 10; take l1 or l2"):
        DenoisingAutoencoder.check(config, ResNetConfig(name="resnet10"), 10, 256)


# Distances of reconstructions


def ssim_of(x: list[list[float]], y: list[list[float]]) -> float:
    """Wang et al., equation 13, averaged over all windows of two images of one channel, black at 0 and white at 4."""
    gauss = [math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)]
    total = sum(a * b for a in gauss for b in gauss)
    weights = {(i, j): gauss[i] * gauss[j] / total for i in range(11) for j in range(11)}
    c1, c2 = (0.01 * 4) ** 2, (0.03 * 4) ** 2
    values = []
    for row in range(len(x) - 10):
        for column in range(len(x[0]) - 10):
            seen = [(w, x[row + i][column + j], y[row + i][column + j]) for (i, j), w in weights.items()]
            mx, my = sum(w * a for w, a, _ in seen), sum(w * b for w, _, b in seen)
            vx, vy = sum(w * (a - mx) ** 2 for w, a, _ in seen), sum(w * (b - my) ** 2 for w, _, b in seen)
            cov = sum(w * (a - mx) * (b - my) for w, a, b in seen)
            above, below = (2 * mx * my + c1) * (2 * cov + c2), (mx**2 + my**2 + c1) * (vx + vy + c2)
            values.append(above / below)
    return sum(values) / len(values)


def test_ssim_is_the_papers_equation() -> None:
    images = torch.randn(2, 3, 13, 12, generator=torch.Generator().manual_seed(0))
    restored = 0.6 * images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    images[1], restored[1] = 0.1 * images[1] - 2, 0.1 * restored[1] - 1.95  # near black, where C1 and C2 matter
    pairs = [((restored[i, c] + 2).tolist(), (images[i, c] + 2).tolist()) for i in range(len(images)) for c in range(3)]
    expected = 1 - sum(ssim_of(x, y) for x, y in pairs) / len(pairs)
    assert ssim(restored, images).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["l2", "l1", "ssim", "features"])
def test_distances_are_symmetric_0_for_the_same_image_and_grow_with_the_difference(kind: Any) -> None:
    images, noise = torch.randn(2, 8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    of = distance(kind)
    assert of(images, images).item() == pytest.approx(0, abs=1e-5)
    torch.testing.assert_close(of(images, noise), of(noise, images))
    values = [of(images + share * noise, images).item() for share in (0.05, 0.2, 0.8)]
    assert values == sorted(values)
    assert values[0] > 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(of(images, noise), distance(kind)(images, noise), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["l2", "l1", "ssim", "features"])
def test_the_objective_minimises_the_distance_that_it_is_told(kind: Any) -> None:
    objective, (views, _) = denoising(reconstruction=kind), batch(1)
    _, corrupted, restored = objective.pictures(views)["reconstructions"]
    assert torch.equal(corrupted, views[0].images)
    torch.testing.assert_close(objective(views)["reconstruction"], distance(kind)(restored, views[0].images))


def test_ssim_minds_structure_where_l2_does_not() -> None:
    """Wang et al.'s example: the same squared error as a shift of brightness, or as noise."""
    images = F.interpolate(0.5 * torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(0)), 32)
    noise = 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).sign()
    torch.testing.assert_close(distance("l2")(images + 0.3, images), distance("l2")(images + noise, images))
    assert ssim(images + 0.3, images) < 0.5 * ssim(images + noise, images)


def test_features_are_those_of_three_convolutions() -> None:
    network, images = Features(), torch.randn(2, 4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    expected, maps = 0.0, images.flatten(0, 1).double()
    for scale, filters in enumerate((network.fine, network.middle, network.coarse)):
        if scale:
            maps = maps.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))
        windows = F.pad(maps, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
        maps = torch.einsum("bchwij,ocij->bohw", windows, filters.double()).clamp(min=0)
        expected += (maps[:4] - maps[4:]).square().mean().item()
    assert network(images[0], images[1]).item() == pytest.approx(expected, rel=1e-5)


def test_features_are_the_same_in_every_run_draw_nothing_and_are_not_trained() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = Features()
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), Features().buffers(), strict=True))
    # What the generator gave when this was written: a process of another version must not have other features.
    assert first.fine.flatten()[:3].tolist() == pytest.approx([-0.306415, -0.313633, -0.068199], abs=1e-5)
    assert list(first.parameters()) == []
    scales = [x.square().mean().item() for x in _activations(first, torch.randn(64, 3, SIZE, SIZE))]
    assert all(0.1 < scale < 3 for scale in scales)


def _activations(network: Features, x: Tensor) -> list[Tensor]:
    found = []
    for filters in network.buffers():
        x = F.conv2d(F.avg_pool2d(x, 2) if found else x, filters, padding=1).relu()
        found.append(x)
    return found


# Patches


def test_patches_are_cut_as_the_transformers_tokens_are() -> None:
    torch.manual_seed(0)
    images, network = torch.randn(2, 3, 12, 12), ViT(VIT, 12)
    patches = patchify(images, 4)
    for i, patch in enumerate(patches.unbind(1)):
        row, column = divmod(i, 3)
        assert torch.equal(patch, images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1))
    assert network.patches.bias is not None
    tokens = patches @ network.patches.weight.flatten(1).T + network.patches.bias
    torch.testing.assert_close(tokens, network.patches(images).flatten(2).transpose(1, 2))
    assert torch.equal(unpatchify(patches, 4), images)
    replaced = patchify(with_patches(images, torch.tensor([[8, 1], [0, 5]]), torch.zeros(2, 2, 48), 4), 4)
    zero = (replaced == 0).all(dim=-1)
    assert [row.nonzero().flatten().tolist() for row in zero] == [[1, 8], [0, 5]]
    assert torch.equal(replaced[~zero], patches[~zero])


def test_places_are_drawn_evenly_for_each_image() -> None:
    torch.manual_seed(0)
    visible, hidden = draw_places(4000, 8, 6, torch.device("cpu"))
    assert (visible.shape, hidden.shape) == ((4000, 2), (4000, 6))
    assert (torch.cat([visible, hidden], dim=1).sort(dim=1).values == torch.arange(8)).all()
    counts = torch.bincount(visible.flatten(), minlength=8)
    assert (counts - 1000).abs().max() < 120
    assert len(visible.sort(dim=1).values.unique(dim=0)) == 28  # all the pairs of 8


@pytest.mark.parametrize(("share", "patches", "hidden"), [(0.75, 64, 48), (0.75, 49, 37), (0.01, 64, 1)])
def test_a_share_is_rounded_to_whole_patches(share: float, patches: int, hidden: int) -> None:
    assert hidden_patches(share, patches) == hidden


def test_mae_refuses_to_hide_all_or_none() -> None:
    config = MAEConfig(name="mae", masked_share=0.97)
    MAE.check(config, VIT, 32, 256)
    with pytest.raises(ValueError, match=r"hides 1 of an image's 1 patches; at least one must be hidden"):
        MAE.check(config, VIT, 4, 256)
    with pytest.raises(ValueError, match=r"masked_share is 0.02, which hides 0 of an image's 16 patches"):
        MAE.check(MAEConfig(name="mae", masked_share=0.02), VIT, 16, 256)


@pytest.mark.parametrize(("kind", "config"), [(MAE, MAEConfig(name="mae")), (SimMIM, SimMIMConfig(name="simmim"))])
def test_hiding_tokens_needs_a_transformer(kind: type[Objective], config: Any) -> None:
    with pytest.raises(ValueError, match=r"take backbone vit, or timm .*, or the objective denoising_autoencoder"):
        kind.check(config, ResNetConfig(name="resnet10"), 32, 256)


@pytest.mark.parametrize(("kind", "name"), [(MAEConfig, "mae"), (SimMIMConfig, "simmim")])
@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_share_outside_0_to_1_is_refused(kind: Any, name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"masked_share is {share}; it must be above 0 and below 1"):
        kind(name=name, masked_share=share)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"decoder_width": 40},
            r"decoder_width is 40; a multiple of 4 x decoder_heads \(16\) is needed, or null: half",
        ),
        ({"decoder_depth": 0}, "decoder_depth is 0"),
        ({"decoder_heads": 0}, "decoder_heads is 0"),
    ],
)
def test_an_impossible_decoder_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MAEConfig(name="mae", **settings)


@pytest.mark.parametrize(
    ("backbone", "heads", "width"),
    [(96, 4, 48), (192, 4, 96), (384, 4, 192), (1024, 16, 512), (100, 4, 48), (8, 4, 16)],
)
def test_a_decoder_is_half_as_wide_as_its_backbone(backbone: int, heads: int, width: int) -> None:
    decoder = PatchDecoder(backbone, 12, 4, width=None, depth=1, heads=heads)
    assert decoder.width == decoder.embed.out_features == decoder.predict.in_features == width
    assert PatchDecoder(backbone, 12, 4, width=8 * heads, depth=1, heads=heads).width == 8 * heads
    places = torch.arange(16).expand(2, -1)
    assert decoder(torch.randn(2, 4, backbone), places[:, :4], places[:, 4:]).shape == (2, 12, 12)


@pytest.mark.parametrize("aspect", [1.0, 3.0])
def test_the_nearest_patches_are_a_block(aspect: float) -> None:
    torch.manual_seed(0)
    distances = draw_distances(1200, 9, aspect, torch.device("cpu"))
    middles, ratios = set(), []
    for row in distances.argsort(dim=1)[:, :13].tolist():
        rows, columns = zip(*(divmod(place, 9) for place in row), strict=True)
        height, width = max(rows) + 1 - min(rows), max(columns) + 1 - min(columns)
        assert (height - 1) * width < 13 <= height * width or height * (width - 1) < 13 <= height * width
        middles.add(row[0])
        if min(rows) > 0 and max(rows) < 8 and min(columns) > 0 and max(columns) < 8:
            ratios.append(height / width)
    assert middles == set(range(81))
    assert (min(ratios), max(ratios)) == (1, 1) if aspect == 1 else min(ratios) < 1 < max(ratios)


# MAE and SimMIM


def masked(config: Any) -> Any:
    """MAE or SimMIM for images of 16 pixels: 16 patches of 4 pixels."""
    return build(config, backbone=VIT)


BOTH = pytest.mark.parametrize(
    "config", [MAEConfig(name="mae"), SimMIMConfig(name="simmim", square=2)], ids=["mae", "simmim"]
)


def drawn_places(objective: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    if isinstance(objective, SimMIM):
        return objective.draw(images)
    return draw_places(len(images), 16, objective.hidden, images.device)


@pytest.mark.parametrize("normalised", [True, False])
def test_mae_loss_is_the_mean_squared_error_of_hidden_patches(normalised: bool) -> None:
    objective = masked(MAEConfig(name="mae", normalised=normalised))
    images = batch(1, count=4)[0][0].images
    visible, hidden = drawn_places(objective, images)
    predicted = objective.predict(images, visible, hidden).detach().double()
    assert hidden.shape == (4, 12)
    errors = []
    for b in range(4):
        for m, place in enumerate(hidden[b].tolist()):
            row, column = divmod(place, 4)
            wanted = images[b, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].double().flatten()
            if normalised:
                mean = wanted.sum() / 48
                wanted = (wanted - mean) / ((wanted - mean).square().sum() / 47 + 1e-6).sqrt()
            errors += [(float(p) - float(w)) ** 2 for p, w in zip(predicted[b, m], wanted, strict=True)]
    torch.manual_seed(0)
    assert objective([View(images)])["reconstruction"].item() == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize(("square", "squares", "hidden"), [(1, 64, 38), (2, 16, 10), (4, 4, 2)])
def test_simmim_hides_whole_squares(square: int, squares: int, hidden: int) -> None:
    torch.manual_seed(0)
    objective: Any = build(SimMIMConfig(name="simmim", square=square), size=32, backbone=VIT)
    visible, places = objective.draw(torch.zeros(2000, 3, 32, 32))
    assert places.shape == (2000, hidden * square**2)
    assert (torch.cat([visible, places], dim=1).sort(dim=1).values == torch.arange(64)).all()
    of_square = places // 8 // square * (8 // square) + places % 8 // square
    counts = torch.stack([torch.bincount(row, minlength=squares) for row in of_square])
    assert set(counts.unique().tolist()) == {0, square**2}
    share = (counts > 0).double().mean(dim=0)
    assert (share - hidden / squares).abs().max() < 0.05


@pytest.mark.parametrize(
    ("square", "share", "size", "possible"),
    [
        (3, 0.6, 32, "1, 2, 4$"),
        (2, 0.6, 28, "1$"),
        (8, 0.6, 32, "1, 2, 4$"),  # one square: all or none
        (4, 0.1, 32, "1, 2$"),
        (2, 0.6, 4, "none, take another or a smaller patch$"),
        (1, 0.001, 32, "none, take another or a smaller patch$"),
    ],
)
def test_simmim_refuses_squares_that_cannot_be(square: int, share: float, size: int, possible: str) -> None:
    SimMIM.check(SimMIMConfig(name="simmim", square=2), VIT, 32, 256)
    config, grid = SimMIMConfig(name="simmim", square=square, masked_share=share), size // 4
    sentence = rf"square is {square} and masked_share {share}: an image's {grid} x {grid} patches .* this share: "
    with pytest.raises(ValueError, match=sentence + possible):
        SimMIM.check(config, VIT, size, 256)


def test_simmim_refuses_a_square_of_nothing() -> None:
    with pytest.raises(ValueError, match="square is 0; at least 1"):
        SimMIMConfig(name="simmim", square=0)


def test_simmim_loss_is_the_mean_absolute_error_of_hidden_patches() -> None:
    objective = masked(SimMIMConfig(name="simmim", square=2))
    images = batch(1, count=4)[0][0].images
    _, hidden = drawn_places(objective, images)
    assert hidden.shape == (4, 8)
    # The paper's words: hidden patches' embeddings replaced in place, all tokens encoded, one linear layer.
    tokens = objective.backbone.embed(images)
    positions = objective.backbone.embed(torch.zeros_like(images)) - objective.backbone.patches.bias
    errors = []
    for b in range(4):
        for place in hidden[b].tolist():
            tokens[b, place] = objective.mask_token + positions[b, place]
    predicted = objective.head(objective.backbone.encode(tokens)).detach().double()
    for b in range(4):
        for place in hidden[b].tolist():
            row, column = divmod(place, 4)
            wanted = images[b, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].double().flatten()
            errors += [abs(float(p) - float(w)) for p, w in zip(predicted[b, place], wanted, strict=True)]
    torch.manual_seed(0)
    assert objective([View(images)])["reconstruction"].item() == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@BOTH
def test_what_is_hidden_cannot_be_seen(config: Any) -> None:
    objective, images = masked(config), batch(1, count=4)[0][0].images
    visible, hidden = drawn_places(objective, images)
    pixels = torch.randn(*hidden.shape, 48)
    other = with_patches(images, hidden, pixels, 4)
    torch.testing.assert_close(
        objective.predict(images, visible, hidden), objective.predict(other, visible, hidden), rtol=0, atol=0
    )
    seen = with_patches(images, visible, torch.randn(*visible.shape, 48), 4)
    assert (objective.predict(images, visible, hidden) - objective.predict(seen, visible, hidden)).abs().max() > 0.01


@BOTH
def test_the_order_of_places_makes_no_difference(config: Any) -> None:
    objective, images = masked(config), batch(1, count=4)[0][0].images
    visible, hidden = drawn_places(objective, images)
    torch.testing.assert_close(
        objective.predict(images, visible.flip(1), hidden.flip(1)), objective.predict(images, visible, hidden).flip(1)
    )


def test_mae_encodes_visible_tokens_alone() -> None:
    objective, images = masked(MAEConfig(name="mae")), batch(1, count=4)[0][0].images
    lengths = []
    objective.backbone.blocks.register_forward_pre_hook(lambda _, given: lengths.append(given[0].shape[1]))
    objective([View(images)])
    assert lengths == [4]


@BOTH
def test_pictures_keep_visible_patches_and_restore_hidden_ones(config: Any) -> None:
    objective, images = masked(config), batch(1, count=4)[0][0].images
    visible, hidden = drawn_places(objective, images)
    torch.manual_seed(0)
    original, shown, restored = objective.pictures([View(images)])["reconstructions"]
    assert torch.equal(original, images)
    index = hidden[:, :, None].expand(-1, -1, 48)
    assert (patchify(shown, 4).gather(1, index) == 0).all()
    index = visible[:, :, None].expand(-1, -1, 48)
    for row in (shown, restored):
        assert torch.equal(patchify(row, 4).gather(1, index), patchify(images, 4).gather(1, index))


def test_mae_pictures_give_a_patch_its_mean_and_deviation_back() -> None:
    objective, images = masked(MAEConfig(name="mae")), batch(1, count=4)[0][0].images
    _, hidden = drawn_places(objective, images)
    index = hidden[:, :, None].expand(-1, -1, 48)
    pixels = patchify(images, 4).gather(1, index)
    perfect = (pixels - pixels.mean(-1, keepdim=True)) / (pixels.var(-1, keepdim=True) + 1e-6).sqrt()
    objective.predict = lambda *_: perfect
    torch.manual_seed(0)
    torch.testing.assert_close(objective.pictures([View(images)])["reconstructions"][2], images)
