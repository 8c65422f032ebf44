"""Images that are nearly alike and stand in two splits: found by a hash of 64 bits, told, and dropped where asked."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from ssl_core import data
from ssl_core.data import near_duplicates, prepared
from ssl_core.data.folder import FolderConfig
from ssl_core.data.near_duplicates import difference_hash, near
from ssl_core.data.prepared import Card
from ssl_core.data.preparing import prepare
from ssl_core.errors import Refused

NEARLY = "nearly in two splits"


def picture(seed: int, side: int = 96) -> Image.Image:
    """A smooth picture with shapes as a photograph has them, none of it black or white."""
    blobs = np.random.default_rng(seed).integers(40, 200, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(blobs).resize((side, side), Image.Resampling.BICUBIC)


def saved_again(image: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")


def value(image: Image.Image) -> int:
    return int.from_bytes(difference_hash(np.asarray(image)), "big")


def apart(one: Image.Image, other: Image.Image) -> int:
    return (value(one) ^ value(other)).bit_count()


def test_the_hash_is_whether_each_place_is_darker_than_its_right_one() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 9)).astype(np.uint8)
    bits = [int(grey[row, column] < grey[row, column + 1]) for row in range(8) for column in range(8)]
    pixels = grey.repeat(10, axis=0).repeat(12, axis=1)[..., None].repeat(3, axis=2)
    assert f"{value(Image.fromarray(pixels)):064b}" == "".join(map(str, bits))


@pytest.mark.parametrize(
    "changed",
    [
        lambda image: saved_again(image, 30),
        lambda image: ImageEnhance.Brightness(image).enhance(1.2),
        lambda image: ImageEnhance.Contrast(image).enhance(0.8),
        lambda image: image.resize((40, 40), Image.Resampling.BICUBIC),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["JPEG", "brightness", "contrast", "size", "grey"],
)
def test_what_does_not_change_a_picture_leaves_its_hash(changed: Callable[[Image.Image], Image.Image]) -> None:
    assert max(apart(picture(seed), changed(picture(seed))) for seed in range(20)) <= 4


def test_other_pictures_are_far() -> None:
    assert min(apart(picture(seed), picture(seed + 1)) for seed in range(100)) > 10


@pytest.mark.parametrize("bits", [0, 1, 3, 4, 7, 16])
def test_the_near_ones_are_those_of_all_pairs(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "PAIRS", 64)
    drawn = np.random.default_rng(bits)
    hashes = drawn.integers(0, 2**64, 300, dtype=np.uint64)
    flips = [sum(1 << int(i) for i in drawn.choice(64, drawn.integers(0, 20), replace=False)) for _ in range(200)]
    others = drawn.permutation(hashes[:200] ^ np.array(flips, dtype=np.uint64))
    distances = np.bitwise_count(hashes[:, None] ^ others[None])
    found = near(hashes, others, bits)
    np.testing.assert_array_equal(found >= 0, (distances <= bits).any(axis=1))
    assert (distances[found >= 0, found[found >= 0]] <= bits).all()
    assert 0 < (found >= 0).sum() < 300
    assert (near(hashes, others[:0], bits) == -1).all()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Of twenty in train, three stand in test, saved anew, one of the very pixels; a black one stands in both."""
    for split, seeds in {"train": range(20), "test": [0, 1, 2, 3, *range(90, 96)]}.items():
        for seed in seeds:
            file = tmp_path / "photos" / split / "ab"[seed % 2] / f"{seed}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            (saved_again(picture(seed), 60) if split == "test" and seed < 3 else picture(seed)).save(file)
        Image.new("RGB", (96, 96), (len(split),) * 3).save(tmp_path / "photos" / split / "a" / "black.png")
    return tmp_path / "photos"


def made(photos: Path, **settings: object) -> Card:
    config = FolderConfig(source="folder", path=str(photos), image_size=32, val_share=0.2, **settings)  # pyright: ignore[reportArgumentType]
    out = photos.parent / "out"
    out.mkdir(exist_ok=True)
    prepare("mine", data.read(config, out), config, out, photos)
    return prepared.load(out).card


def test_near_ones_in_two_splits_are_counted_named_and_dropped_where_asked(photos: Path) -> None:
    kept = made(photos, near_duplicates=4)
    assert sum(kept.duplicates[NEARLY].values()) == 3
    assert sum(kept.duplicates["in two splits"].values()) == 1
    told = [line for line in kept.warnings if "are nearly an image of test" in line]
    assert all(f"{'ab'[seed % 2]}/{seed}.png ~ test/" in " ".join(told) for seed in range(3))
    assert all(line.endswith("duplicates: drop leaves them out") for line in told)
    assert "2 images have too little in them to look for near duplicates of them" in kept.notes
    dropped = made(photos, near_duplicates=4, duplicates="drop")
    assert dropped.left_out["nearly the pixels that a split measured on has"]["count"] == 3
    assert sum(part["count"] for part in dropped.splits.values()) == 32 - 4
    assert dropped.splits["test"] == kept.splits["test"]


def test_pictures_that_only_become_brighter_to_one_side_are_no_copies(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0)
    for split, count in {"train": 20, "test": 10}.items():
        for i in range(count):
            ramp = np.linspace(*((40, 220) if i % 4 < 2 else (220, 40)), 64)[None].repeat(64, 0)
            ramp[:, 20 + i : 28 + i] += 15
            file = tmp_path / "photos" / split / "ab"[i % 2] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((ramp + drawn.normal(0, 2, ramp.shape)).clip(0, 255).astype(np.uint8)).save(file)
    card = made(tmp_path / "photos", near_duplicates=8, duplicates="drop")
    assert card.duplicates[NEARLY] == {}
    assert sum(part["count"] for part in card.splits.values()) == 30
    assert "30 images have too little in them to look for near duplicates of them" in card.notes


def test_where_near_ones_are_all_of_a_split_the_setting_is_named(tmp_path: Path) -> None:
    for split, quality in {"train": 90, "test": 60}.items():
        for seed in range(20):
            file = tmp_path / "photos" / split / "ab"[seed % 2] / f"{seed}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            saved_again(picture(seed), quality).save(file)
    with pytest.raises(Refused, match=r"leaves no image in train.* near_duplicates is 4, and fewer bits find fewer"):
        made(tmp_path / "photos", near_duplicates=4, duplicates="drop")


def test_nothing_is_hashed_unless_it_is_asked_for(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(near_duplicates, "difference_hash")
    monkeypatch.delattr(near_duplicates, "near")
    card = made(photos, duplicates="drop")
    assert NEARLY not in card.duplicates
    assert sum(part["count"] for part in card.splits.values()) == 32 - 1


def test_more_bits_than_a_hash_can_tell_apart_by_are_refused() -> None:
    with pytest.raises(ValueError, match="near_duplicates is 17; 0 to 16 of 64 bits are allowed, or null"):
        FolderConfig(source="folder", path="", near_duplicates=17)
