"""Pretext tasks against their formulas, and by their properties."""

import colorsys
import itertools
import math
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, batch, build
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from ssl_core.augmentation import View
from ssl_core.backbones import BackboneConfig, ResNetConfig, ViTConfig
from ssl_core.objectives import tiles
from ssl_core.objectives.colourisation import (
    Colourisation,
    ColourisationConfig,
    centres,
    coloured,
    opponent,
    quantise,
)
from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig, permutation_set
from ssl_core.objectives.relative_location import RelativeLocation, RelativeLocationConfig
from ssl_core.objectives.rotation import Rotation, RotationConfig, turn

RESNET, VIT = ResNetConfig(name="resnet10", width=8), ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)


def cross_entropy(logits: Tensor, classes: Tensor) -> float:
    """Written out: the mean of -log of the class's share of the exponentials."""
    total = 0.0
    for row, index in zip(logits.double().tolist(), classes.tolist(), strict=True):
        total -= math.log(math.exp(row[index]) / sum(math.exp(value) for value in row))
    return total / len(logits)


def unchanged(image: Tensor) -> Tensor:
    return (image - image.mean()) / (image.std() + 1e-2)


# Tiles


@pytest.mark.parametrize(("size", "grid", "gap"), [(16, 2, 0), (18, 3, 2), (32, 4, 1), (32, 3, 2)])
def test_tiles_are_windows_of_their_cells_each_normalised(size: int, grid: int, gap: int) -> None:
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    cut = tiles.cut(images, grid, gap)
    cell, side = size // grid, size // grid - gap
    assert cut.shape == (3, grid**2, 3, side, side)
    offsets = set()
    for tile in range(grid**2):
        top, left = cell * (tile // grid), cell * (tile % grid)
        windows = {
            (y, x): unchanged(images[1, :, top + y : top + y + side, left + x : left + x + side])
            for y, x in itertools.product(range(gap + 1), repeat=2)
        }
        found = [offset for offset, window in windows.items() if torch.allclose(cut[1, tile], window, atol=1e-5)]
        assert len(found) == 1
        offsets.add(found[0])
    assert any(y != x for y, x in offsets) == (gap > 0)


def test_tiles_can_lie_on_every_side_of_their_cells() -> None:
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)
    torch.manual_seed(0)
    seen = {float(tiles.cut(ramp.clone(), 2, 2)[0, 0, 0, 0, 0]) for _ in range(10)}
    assert len(seen) == 1  # a ramp looks the same wherever it is cut, since each tile is normalised
    steps = torch.arange(16.0).square().expand(1, 3, 16, 16)
    seen = {round(float(tiles.cut(steps.clone(), 2, 2)[0, 0, 0, 0, 0]), 4) for _ in range(40)}
    assert len(seen) == 3


def test_laid_tiles_are_back_in_their_cells() -> None:
    images = torch.randn(2, 3, 17, 17)
    cut = torch.stack([images[:, :, y : y + 8, x : x + 8] for y in (0, 8) for x in (0, 8)], dim=1)
    laid = tiles.lay(cut, 2, 17)
    assert torch.equal(laid[..., :16, :16], images[..., :16, :16])
    assert not laid[..., 16:].any()


# Jigsaw


def test_jigsaw_lays_each_tile_where_its_order_says() -> None:
    objective = build(JigsawConfig(name="jigsaw", gap=0))
    assert isinstance(objective, Jigsaw)
    images = F.interpolate(torch.randn(32, 3, 6, 6), SIZE)
    shuffled, order = objective.shuffle(images)
    half = SIZE // 2
    for image, laid, index in zip(images, shuffled, order, strict=True):
        for place, source in zip(laid, objective.orders[index], strict=True):
            row, column = divmod(int(source), 2)
            tile = image[:, row * half : (row + 1) * half, column * half : (column + 1) * half]
            torch.testing.assert_close(place, unchanged(tile))


@pytest.mark.parametrize("permutations", [2, 24])
def test_jigsaw_is_the_cross_entropy_of_the_order(permutations: int) -> None:
    objective = build(JigsawConfig(name="jigsaw", gap=0, permutations=permutations)).eval()
    assert isinstance(objective, Jigsaw)
    views, _ = batch(1)
    torch.manual_seed(0)
    loss = objective(views)["permutation"]
    torch.manual_seed(0)
    shuffled, order = objective.shuffle(views[0].images)
    h = torch.cat([objective.backbone(shuffled[:, tile]) for tile in range(4)], dim=1)
    assert loss.item() == pytest.approx(cross_entropy(objective.head(h), order), rel=1e-4)
    assert int(order.max()) < permutations


def test_jigsaw_permutations_are_distinct_and_far_apart() -> None:
    assert len(permutation_set(4, 24).unique(dim=0)) == 24
    for count in (2, 4):  # of four tiles, four orders can differ in every place
        orders = permutation_set(4, count)
        assert all((a != b).all() for a, b in itertools.combinations(orders, 2))
    for count_of_tiles, count, least in ((9, 30, 7), (16, 30, 14), (9, 1000, 4)):
        orders = permutation_set(count_of_tiles, count)
        assert orders.shape == (count, count_of_tiles)
        assert (orders.sort(dim=1).values == torch.arange(count_of_tiles)).all()
        distance = (orders[:, None] != orders[None]).sum(dim=-1).fill_diagonal_(count_of_tiles)
        assert distance.min() >= least


@pytest.mark.parametrize(
    ("config", "backbone", "size", "sentence"),
    [
        ({"grid": 3}, RESNET, 32, "grid is 3 and gap 2: .* grids with this gap: 2; .* gap with this grid: none$"),
        ({"grid": 3, "gap": 0}, RESNET, 32, "possible grids with this gap: 2, 4;"),
        ({"grid": 4}, RESNET, 32, "grids with this gap: 2; nearest possible gap with this grid: 0$"),
        ({"grid": 4}, RESNET, 96, None),
        ({"grid": 3}, RESNET, 96, None),
        ({"grid": 2}, RESNET, 28, None),
        ({"grid": 2}, RESNET, 16, "which takes tiles of at least 8 pixels; .*: none; .*: 0$"),
        ({"grid": 2, "gap": 3}, VIT, 32, "whose patches of 4 pixels must divide them; .* gap with this grid: 4$"),
        ({"grid": 2, "gap": 16}, VIT, 32, "gap 16: .* gap with this grid: 12$"),
        ({"grid": 4, "gap": 0}, VIT, 32, None),
        ({"grid": 2}, ResNetConfig(name="resnet18", stem="imagenet"), 64, "at least 32 pixels; .*: 0$"),
    ],
)
def test_jigsaw_refuses_tiles_that_cannot_be(
    config: dict, backbone: BackboneConfig, size: int, sentence: str | None
) -> None:
    made = JigsawConfig(name="jigsaw", **config)
    if sentence is None:
        Jigsaw.check(made, backbone, size, 256)
        return
    with pytest.raises(ValueError, match=sentence):
        Jigsaw.check(made, backbone, size, 256)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"permutations": 25}, "permutations is 25; 2 to 24 with a grid of 2"),
        ({"permutations": 1}, "permutations is 1; 2 to 24"),
        ({"grid": 3, "permutations": 1001}, "permutations is 1001; 2 to 1000 with a grid of 3"),
        ({"gap": -1}, "gap is -1"),
        ({"width": 0}, "width is 0; it is a hidden width, at least 1"),
    ],
)
def test_jigsaw_refuses_impossible_settings(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        JigsawConfig(name="jigsaw", **settings)


# Rotation


def test_rotation_turns_counter_clockwise_and_each_image_by_its_own() -> None:
    images = torch.randn(64, 3, 5, 5)
    torch.manual_seed(0)
    turned, turns = turn(images)
    assert set(turns.tolist()) == {0, 1, 2, 3}
    for before, after, count in zip(images, turned, turns.tolist(), strict=True):
        pixels = before
        for _ in range(count):  # a pixel at (row, column) goes to (size - 1 - column, row)
            pixels = torch.stack([pixels[:, :, 4 - row] for row in range(5)], dim=1)
        assert torch.equal(after, pixels)


def test_rotation_is_the_cross_entropy_of_the_turns() -> None:
    objective = build(RotationConfig(name="rotation")).eval()
    assert isinstance(objective, Rotation)
    views, _ = batch(1)
    torch.manual_seed(0)
    loss = objective(views)["rotation"]
    torch.manual_seed(0)
    turned, turns = turn(views[0].images)
    assert loss.item() == pytest.approx(cross_entropy(objective.head(objective.backbone(turned)), turns), rel=1e-4)


@pytest.mark.parametrize(("angles", "degrees"), [(2, 180), (4, 90), (8, 45)])
def test_rotation_by_any_number_of_angles_is_what_torchvision_turns(angles: Literal[2, 4, 8], degrees: int) -> None:
    images = F.interpolate(torch.randn(64, 3, 6, 6), 32, mode="bicubic")
    torch.manual_seed(0)
    turned, turns = turn(images, angles)
    assert set(turns.tolist()) == set(range(angles))
    away = (torch.arange(32) - 15.5) ** 2
    hole = away[:, None] + away[None] <= (15**2 if angles == 8 else math.inf)
    for before, after, count in zip(images, turned, turns.tolist(), strict=True):
        expected = rotate(before, degrees * count, InterpolationMode.BILINEAR)
        torch.testing.assert_close(after[:, hole], expected[:, hole], atol=1e-4, rtol=1e-4)


def test_rotation_by_eighths_leaves_nothing_in_the_corners_that_tells_the_angle() -> None:
    """Of an image that is one colour all turns are the same, which in a square they are not."""
    turned, turns = turn(torch.ones(64, 3, 16, 16), 8)
    assert set(turns.tolist()) == set(range(8))
    torch.testing.assert_close(turned, turned[:1].expand(64, -1, -1, -1))
    assert turned[0, 0, 0, 0] == 0
    assert turned[0, 0].mean().item() == pytest.approx(math.pi / 4, abs=0.05)
    assert turn(torch.ones(2, 3, 8, 8, dtype=torch.bfloat16), 8)[0].dtype == torch.bfloat16


def test_rotation_cannot_be_told_of_images_that_look_the_same_turned() -> None:
    objective = build(RotationConfig(name="rotation")).eval()
    assert isinstance(objective, Rotation)
    with torch.no_grad():
        objective.head.weight.zero_()
        objective.head.bias.copy_(torch.tensor([5.0, 0.0, 0.0, 0.0]))
    torch.manual_seed(0)
    constant = [View(torch.ones(4000, 3, 1, 1).expand(-1, -1, 8, 8))]
    rest = math.log(math.exp(5) + 3)
    assert objective(constant)["rotation"].item() == pytest.approx(0.25 * (rest - 5) + 0.75 * rest, rel=0.02)


# Relative location


def located() -> RelativeLocation:
    objective = build(RelativeLocationConfig(name="relative_location", gap=1))
    assert isinstance(objective, RelativeLocation)
    return objective.eval()


def test_relative_location_is_the_cross_entropy_of_each_neighbour_beside_the_middle() -> None:
    objective = located()
    views, _ = batch(1, count=4)
    torch.manual_seed(0)
    loss = objective(views)["location"]
    torch.manual_seed(0)
    cut = tiles.cut(views[0].images, 3, 1)
    terms = []
    for image in cut:
        middle = objective.backbone(image[4:5])
        for index, place in enumerate([0, 1, 2, 3, 5, 6, 7, 8]):
            said = objective.head(torch.cat([middle, objective.backbone(image[place : place + 1])], dim=1))
            terms.append(cross_entropy(said, torch.tensor([index])))
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_relative_location_cannot_be_learnt_of_tiles_that_look_the_same() -> None:
    objective = build(RelativeLocationConfig(name="relative_location", gap=1))
    optimiser = torch.optim.AdamW(objective.parameters(), lr=0.01)
    said = torch.empty(())
    for _ in range(50):
        optimiser.zero_grad()
        said = objective([View(torch.ones(4, 3, SIZE, SIZE))])["location"]
        said.backward()
        optimiser.step()
    assert said.item() == pytest.approx(math.log(8), rel=0.01)


def test_relative_location_shows_the_tiles_where_they_were() -> None:
    objective = located()
    views, _ = batch(1)
    torch.manual_seed(0)
    _, shown = objective.pictures(views)["tiles"]
    torch.manual_seed(0)
    cells = shown[..., :15, :15].unfold(2, 5, 5).unfold(3, 5, 5).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
    assert torch.equal(cells[..., :4, :4], tiles.cut(views[0].images, 3, 1))


@pytest.mark.parametrize(
    ("gap", "backbone", "size", "sentence"),
    [
        (2, RESNET, 32, None),
        (1, RESNET, 28, None),
        (2, RESNET, 28, "gap is 2: images of 28 pixels .* at least 8 pixels; nearest possible gap: 1$"),
        (0, RESNET, 20, "nearest possible gap: none$"),
        (2, VIT, 32, None),
        (1, VIT, 32, "whose patches of 4 pixels must divide them; nearest possible gap: 2$"),
        (10, VIT, 32, "gap is 10"),
    ],
)
def test_relative_location_refuses_tiles_that_cannot_be(
    gap: int, backbone: BackboneConfig, size: int, sentence: str | None
) -> None:
    config = RelativeLocationConfig(name="relative_location", gap=gap)
    if sentence is None:
        RelativeLocation.check(config, backbone, size, 256)
        return
    with pytest.raises(ValueError, match=sentence):
        RelativeLocation.check(config, backbone, size, 256)


def test_relative_location_refuses_a_negative_gap_and_no_width() -> None:
    with pytest.raises(ValueError, match="gap is -1"):
        RelativeLocationConfig(name="relative_location", gap=-1)
    with pytest.raises(ValueError, match="width is 0; it is a hidden width, at least 1"):
        RelativeLocationConfig(name="relative_location", width=0)


# Colourisation


def test_opponent_colours_are_the_formula_and_back() -> None:
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    grey, chroma = opponent(images)
    for i, y, x in itertools.product(range(2), range(4), range(4)):
        red, green, blue = images[i, :, y, x].tolist()
        assert grey[i, 0, y, x].item() == pytest.approx((red + green + blue) / 3)
        assert chroma[i, :, y, x].tolist() == pytest.approx([red - green, (red + green) / 2 - blue])
    torch.testing.assert_close(coloured(grey, chroma), images)


def test_colour_classes_are_bins_of_both_axes() -> None:
    edges = [-1.5 + 3 * k / 5 for k in range(6)]
    colours = torch.randn(1, 2, 30, 30, generator=torch.Generator().manual_seed(0))
    classes = quantise(colours, 5)

    def bin_of(value: float) -> int:
        return sum(value >= edge for edge in edges[1:-1])

    for y, x in itertools.product(range(30), repeat=2):
        a, b = colours[0, :, y, x].tolist()
        assert classes[0, y, x] == 5 * bin_of(a) + bin_of(b)
    every = torch.arange(25).reshape(1, 5, 5)
    assert torch.equal(quantise(centres(every, 5), 5), every)
    assert centres(torch.tensor([[[12]]]), 5).abs().max() < 1e-6  # the class in the middle is grey


def test_colourisation_is_the_cross_entropy_at_a_quarter_of_the_resolution() -> None:
    objective = build(ColourisationConfig(name="colourisation", bins=3)).eval()
    assert isinstance(objective, Colourisation)
    views, _ = batch(1, count=6)
    images = views[0].images
    with torch.no_grad():
        for p in objective.decoder.parameters():
            p.mul_(4)  # a decoder that is sure of what it says
    grey = images.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1)
    logits = objective.decoder(objective.backbone(grey))
    assert logits.shape == (6, 9, SIZE // 4, SIZE // 4)
    small = images.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-2, -1))
    a, b = small[:, 0] - small[:, 1], (small[:, 0] + small[:, 1]) / 2 - small[:, 2]
    classes = 3 * ((a >= -0.5).long() + (a >= 0.5).long()) + (b >= -0.5).long() + (b >= 0.5).long()
    expected = cross_entropy(logits.permute(0, 2, 3, 1).reshape(-1, 9), classes.flatten())
    assert objective(views)["colour"].item() == pytest.approx(expected, rel=1e-4)


def test_colourisation_is_not_shown_the_colours() -> None:
    objective = build(ColourisationConfig(name="colourisation")).eval()
    assert isinstance(objective, Colourisation)
    images = batch(1, count=4)[0][0].images
    chroma = torch.zeros(4, 2, SIZE, SIZE)
    chroma[:, 0] = 0.7
    recoloured = coloured(opponent(images)[0], chroma)
    assert not torch.allclose(recoloured, images)
    torch.testing.assert_close(objective.decode(opponent(recoloured)[0]), objective.decode(opponent(images)[0]))


def test_colourisation_shows_the_most_probable_colours() -> None:
    objective = build(ColourisationConfig(name="colourisation", bins=3)).eval()
    assert isinstance(objective, Colourisation)
    with torch.no_grad():
        last = objective.decoder.body[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.zero_()
        last.bias.copy_(10 * F.one_hot(torch.tensor(7), 9))  # a in the highest bin, b in the middle one: red
    views, _ = batch(1, count=4)
    view, grey, shown = objective.pictures(views)["colours"]
    assert torch.equal(grey[:, 0], grey[:, 2])
    torch.testing.assert_close(shown.mean(dim=1), view.mean(dim=1))
    torch.testing.assert_close(shown[:, 0] - shown[:, 1], torch.full((4, SIZE, SIZE), 1.0))
    red, green, blue = (0.5 + 0.1 * shown[0, :, 0, 0]).tolist()
    assert colorsys.rgb_to_hsv(red, green, blue)[0] < 0.1 or colorsys.rgb_to_hsv(red, green, blue)[0] > 0.9


def test_colourisation_takes_images_that_4_does_not_divide() -> None:
    objective = build(ColourisationConfig(name="colourisation"), size=18)
    views, _ = batch(1, size=18)
    assert objective(views)["colour"].isfinite()
    assert objective.eval().pictures(views)["colours"].shape == (3, 32, 3, 18, 18)


@pytest.mark.parametrize(("key", "value"), [("bins", 1), ("decoder_width", 0)])
def test_colourisation_refuses_impossible_settings(key: str, value: int) -> None:
    settings: dict = {key: value}
    with pytest.raises(ValueError, match=f"{key} is {value}; at least"):
        ColourisationConfig(name="colourisation", **settings)
