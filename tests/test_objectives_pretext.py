"""Pretext tasks against their formulas, and by their properties."""

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, build

from ssl_core.objectives.jigsaw import Jigsaw, JigsawConfig, permutation_set


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


def test_jigsaw_refuses_images_too_small_for_its_tiles() -> None:
    with pytest.raises(ValueError, match="too small"):
        build(JigsawConfig(name="jigsaw"))


def test_more_permutations_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="permutations"):
        JigsawConfig(name="jigsaw", permutations=25)
