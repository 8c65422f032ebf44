"""The pictures of a pretraining: what they show, and where."""

from pathlib import Path

import numpy as np
import torch
from every_objective import EVERY, SIZE, build
from PIL import Image

from ssl_core.augmentation import Augment, Recipe
from ssl_core.training.pictures import write_pictures

COUNT, SCALE = 3, 64 // SIZE
MOMENTS = (0.5,) * 3, (0.25,) * 3
PIXELS = np.random.default_rng(0).integers(256, size=(COUNT, SIZE, SIZE, 3), dtype=np.uint8)


def written(name: str, folder: Path, *recipes: Recipe) -> dict[str, np.ndarray]:
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    write_pictures(build(EVERY[name]), images, Augment(recipes, *MOMENTS), folder)
    return {file.stem: np.asarray(Image.open(file)) for file in folder.iterdir()}


def cell(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """One of a sheet's pictures, in its own size, without its white frame."""
    side = SCALE * (SIZE + 2)
    part = sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
    return part[::SCALE, ::SCALE][1:-1, 1:-1]


def test_views_stand_below_their_images_and_local_ones_in_white_frames(tmp_path: Path) -> None:
    whole, local = Recipe(views=2), Recipe(views=1, size=SIZE // 2)
    sheet = written("swav", tmp_path / "pictures", whole, local)["views"]
    assert sheet.shape == (4 * SCALE * (SIZE + 2), COUNT * SCALE * (SIZE + 2), 3)
    for column in range(COUNT):
        np.testing.assert_array_equal(cell(sheet, 0, column), PIXELS[column])
        framed = cell(sheet, 3, column)
        inside = framed[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
        assert (framed == 255).sum() - (inside == 255).sum() == framed.size - inside.size
        assert inside.std() > 0
        assert not np.array_equal(cell(sheet, 1, column), cell(sheet, 2, column))


def test_an_objectives_own_pictures_stand_beside_and_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (written("mae", tmp_path / name, Recipe(views=1)) for name in ("a", "b"))
    assert set(first) == {"views", "reconstructions"}
    assert first["reconstructions"].shape == (3 * SCALE * (SIZE + 2), COUNT * SCALE * (SIZE + 2), 3)
    for name, sheet in first.items():
        np.testing.assert_array_equal(sheet, second[name])
    np.testing.assert_array_equal(cell(first["reconstructions"], 0, 1), cell(first["views"], 1, 1))
