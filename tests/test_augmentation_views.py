"""The views of a batch: several kinds, local ones, hidden patches, shares of a batch, half precision, compiled."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ssl_core.augmentation import (
    Augment,
    ColourJitter,
    GaussianBlur,
    PatchMask,
    RandomResizedCrop,
    Recipe,
    View,
    denormalise,
    normalise,
)
from ssl_core.augmentation.augment import finished

MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.25, 0.3)
NOTHING = Recipe(views=1, crop=None, flip=0, jitter=None, greyscale=0, blur=None, solarise=0)
KINDS = [
    Recipe(views=1, blur=GaussianBlur()),
    Recipe(views=1, solarise=0.2, blur=None),
    Recipe(views=3, size=12, crop=RandomResizedCrop(scale=(0.05, 0.3)), blur=GaussianBlur()),
    Recipe(views=1, crop=None, mask=PatchMask(share=0.5)),
]


def images(count: int = 30, side: int = 24) -> Tensor:
    """Smooth ones, as photographs are, uint8 channels-last."""
    coarse = 255 * torch.rand((count, 3, 5, 5), generator=generator(9))
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return smooth.to(torch.uint8).contiguous(memory_format=torch.channels_last)


def pixels(views: list[View]) -> list[Tensor]:
    return [view.images for view in views]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_views_of_all_kinds_come_in_order_with_their_sizes():
    views = pixels(Augment(KINDS, MEAN, STD)(images(), generator()))
    assert [view.shape[-1] for view in views] == [24, 24, 12, 12, 12, 24]
    assert all(view.is_contiguous(memory_format=torch.channels_last) for view in views)
    assert all(not torch.equal(views[2], other) for other in views[3:5])


def test_kinds_with_nothing_drawn_are_the_kinds_alone():
    plain = pixels(Augment([NOTHING, replace(NOTHING, flip=1.0)], MEAN, STD)(images(), generator()))
    assert torch.equal(plain[0], normalise(images(), MEAN, STD).bfloat16())
    assert torch.equal(plain[1], plain[0].flip(-1))


def test_a_local_view_of_the_whole_image_is_the_image_made_smaller():
    whole = replace(NOTHING, size=12, crop=RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0)))
    (view,) = pixels(Augment([whole], MEAN, STD)(images(), generator()))
    smaller = torch.nn.functional.interpolate(images().float(), (12, 12), mode="bilinear", antialias=True)
    assert (denormalise(view, MEAN, STD) - smaller).abs().mean() <= 0.5


def test_hidden_patches_are_the_mean_colour_and_the_others_untouched():
    masked = replace(NOTHING, mask=PatchMask(share=0.75, patch=6))
    ((view, visible),) = Augment([masked], MEAN, STD)(images(), generator())
    plain = normalise(images(), MEAN, STD).bfloat16()
    patches = (view == 0).all(1).unfold(1, 6, 6).unfold(2, 6, 6).flatten(3)
    assert (patches.all(-1).sum((1, 2)) == 12).all()
    assert torch.equal(patches.all(-1), patches.any(-1))
    kept = ~patches.all(-1).repeat_interleave(6, 1).repeat_interleave(6, 2)[:, None].expand_as(view)
    assert torch.equal(view[kept], plain[kept])
    assert visible is not None
    shown = torch.zeros(30, 16, dtype=torch.bool).scatter(1, visible, True)
    assert torch.equal(shown.view(30, 4, 4), ~patches.all(-1))
    assert (visible.diff(dim=1) > 0).all()


def test_half_precision_costs_less_than_half_a_level_in_the_mean():
    half = normalise(images(), MEAN, STD).bfloat16()
    spread = torch.tensor(STD)[:, None, None]
    errors = (half.float() - normalise(images(), MEAN, STD)).abs() * spread * 255
    assert errors.mean() <= 0.5
    assert (denormalise(half, MEAN, STD).float() - images()).abs().mean() <= 0.5


@pytest.mark.parametrize(("ranks", "count"), [(2, 15), (3, 10), (2, 4), (3, 1)])
def test_the_ranks_of_a_batch_together_make_the_views_of_one_process(ranks: int, count: int):
    batch, augment = images(ranks * count), Augment(KINDS, MEAN, STD)
    whole = pixels(augment(batch, generator()))
    drawing = [generator() for _ in range(ranks)]
    parts = [
        pixels(augment(batch[rank * count : (rank + 1) * count], drawing[rank], share=(rank, ranks)))
        for rank in range(ranks)
    ]
    for expected, *shares in zip(whole, *parts, strict=True):
        # A matrix product rounds by its size on some processors; that may carry a pixel over a rounding's threshold.
        assert ((torch.cat(shares) - expected).abs() > 1e-4).float().mean() < 1e-3
    assert all(torch.equal(drawn.get_state(), drawing[0].get_state()) for drawn in drawing)


def test_the_hues_place_goes_by_the_position_in_the_whole_batch():
    planes = normalise(images(8), (0, 0, 0), (1, 1, 1))
    drawn = Recipe(views=1, jitter=ColourJitter(saturation=0.8, hue=0.3, probability=1.0), blur=GaussianBlur()).draw(
        8, 24, 24, generator()
    )
    whole = finished(planes, drawn, None, 0, MEAN, STD)
    for place in range(4):
        (alone,) = finished(planes[5:6], drawn.rows(5, 6), None, place, MEAN, STD)
        assert ((alone[0] - whole[1][1]).abs().mean() < 1e-5) == (place == 5 % 4)


@pytest.mark.slow
def test_compiled_views_are_the_eager_ones():
    recipes = [
        Recipe(views=1, blur=GaussianBlur(), solarise=0.2),
        Recipe(views=1, size=12, blur=GaussianBlur(), mask=PatchMask()),
    ]
    eager, compiled = Augment(recipes, MEAN, STD), Augment(recipes, MEAN, STD, compiled=True)
    # 30 images are one piece of work, whose places have not all as many.
    for ours, theirs in zip(*(pixels(made(images(30), generator())) for made in (compiled, eager)), strict=True):
        errors = (ours.float() - theirs.float()).abs()
        # Where rounding carries a value over half precision's threshold, or solarise's.
        assert (errors > 1e-5).float().mean() < 0.01
        assert errors.mean() < 1e-3 / 255 / min(STD) + 1e-4
