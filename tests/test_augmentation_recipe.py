"""The whole recipe: determinism, switches, form of the views, refused settings."""

from dataclasses import fields, replace

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from ssl_core.augmentation import (
    Augment,
    ColourJitter,
    GaussianBlur,
    PatchMask,
    RandomResizedCrop,
    Recipe,
    denormalise,
    normalise,
)
from ssl_core.augmentation import augment as augment_module
from ssl_core.augmentation.augment import finished

MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.25, 0.3)
NOTHING = Recipe(crop=None, flip=0, jitter=None, greyscale=0, blur=None, solarise=0)


def images(count: int = 37, height: int = 20, width: int = 24) -> Tensor:
    stored = torch.randint(0, 256, (count, height, width, 3), generator=generator(9), dtype=torch.uint8)
    return stored.permute(0, 3, 1, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def views(*recipes: Recipe, seed: int = 0) -> list[Tensor]:
    return [view.images for view in Augment(recipes, MEAN, STD)(images(), generator(seed))]


def test_views_have_the_promised_form():
    for count in (1, 2, 3):
        made = views(Recipe(views=count, blur=GaussianBlur(), solarise=0.2))
        assert len(made) == count
        for view in made:
            assert view.shape == images().shape
            assert view.dtype == torch.bfloat16
            assert view.is_contiguous(memory_format=torch.channels_last)
            assert view.isfinite().all()


def test_the_views_of_an_image_differ():
    first, second = views(Recipe(blur=GaussianBlur()))
    assert ((first - second).abs().mean((1, 2, 3)) > 0.01).all()


def test_the_same_generator_state_gives_the_same_bytes():
    recipe = Recipe(blur=GaussianBlur(), solarise=0.3)
    assert all(torch.equal(a, b) for a, b in zip(views(recipe, seed=1), views(recipe, seed=1), strict=True))
    assert not torch.equal(views(recipe, seed=1)[0], views(recipe, seed=2)[0])


@pytest.mark.parametrize("pixels", [1, 20 * 24 * 13, 20 * 24 * 16, 2**30])
def test_the_views_do_not_depend_on_how_the_work_is_cut_up(pixels: int, monkeypatch: pytest.MonkeyPatch):
    recipe = Recipe(blur=GaussianBlur(), solarise=0.3)
    expected = views(recipe)
    monkeypatch.setattr(augment_module, "PIXELS_PER_THREAD", pixels)
    for made, whole in zip(views(recipe), expected, strict=True):
        # A matrix product rounds by its size on some processors; that may carry a pixel over a rounding's threshold.
        assert ((made - whole).abs() > 1e-4).float().mean() < 1e-3


def test_the_images_are_left_as_they_were():
    batch = images()
    Augment([Recipe(blur=GaussianBlur())], MEAN, STD)(batch, generator())
    assert torch.equal(batch, images())


def test_everything_switched_off_is_the_normalised_image():
    for view in views(NOTHING):
        assert torch.equal(view, normalise(images(), MEAN, STD).bfloat16())


@pytest.mark.parametrize(
    "on",
    [
        {"crop": RandomResizedCrop()},
        {"flip": 1.0},
        {"jitter": ColourJitter(probability=1.0)},
        {"greyscale": 1.0},
        {"blur": GaussianBlur(probability=1.0, sigma=(1.0, 2.0))},
        {"solarise": 1.0},
        {"mask": PatchMask()},
    ],
    ids=lambda on: next(iter(on)),
)
def test_each_operation_alone_changes_every_image(on: dict):
    plain = normalise(images(), MEAN, STD)
    for view in views(replace(NOTHING, **on)):
        assert ((view - plain).abs().amax((1, 2, 3)) > 0.01).all()


def test_mixed_precision_outside_does_not_coarsen_the_views():
    expected = views(Recipe(blur=GaussianBlur()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(views(Recipe(blur=GaussianBlur())), expected, strict=True))


def test_normalise_is_the_formula_and_denormalise_its_inverse():
    expected = (images() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    normalised = normalise(images(), MEAN, STD)
    torch.testing.assert_close(normalised, expected)
    assert torch.equal(denormalise(normalised, MEAN, STD), images())


def test_the_recipe_reads_as_in_the_parameters_file():
    declared = {
        "views": 2,
        "size": None,
        "crop": {"scale": [0.2, 1.0]},
        "flip": 0.5,
        "jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "probability": 0.8},
        "greyscale": 0.2,
        "blur": {"probability": 0.5, "sigma": [0.1, 2.0]},
        "solarise": 0.0,
        "mask": None,
    }
    reader = TypeAdapter(Recipe)
    assert set(declared) == {field.name for field in fields(Recipe)}
    assert reader.validate_python(declared) == Recipe(blur=GaussianBlur())
    assert reader.validate_python({"crop": None}) == Recipe(crop=None)
    assert reader.validate_python({"mask": {"share": 0.6}}) == Recipe(mask=PatchMask(share=0.6, patch=4))


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"views": 0}, "views must be 1 or more"),
        ({"flip": 1.5}, "flip is a probability"),
        ({"greyscale": -0.1}, "greyscale is a probability"),
        ({"solarise": float("nan")}, "solarise is a probability"),
        ({"crop": {"scale": [0.0, 1.0]}}, "scale must be two rising shares"),
        ({"crop": {"scale": [1.0, 0.2]}}, "scale must be two rising shares"),
        ({"crop": {"ratio": [0.0, 1.0]}}, "ratio must be two rising positive numbers"),
        ({"jitter": {"hue": 0.6}}, "hue must be between 0 and 0.5"),
        ({"jitter": {"contrast": -1.0}}, "contrast must be a number from 0 up"),
        ({"jitter": {"probability": 2.0}}, "probability must be between 0 and 1|probability is a probability"),
        ({"blur": {"sigma": [0.0, 1.0]}}, "sigma must be two rising positive numbers"),
        ({"size": 16, "crop": None}, "size is 16, which needs a crop"),
        ({"size": 2}, "size is a side in pixels and must be 4 or more, not 2"),
        ({"mask": {"share": 1.5}}, "share is a probability"),
        ({"mask": {"patch": 0}}, "patch is a side in pixels and must be 1 or more"),
        ({"size": 18, "mask": {"patch": 4}}, "mask.patch is 4, which does not divide the view's side of 18"),
    ],
)
def test_values_out_of_range_are_refused_with_a_sentence(declared: dict, sentence: str):
    with pytest.raises(ValidationError, match=sentence):
        TypeAdapter(Recipe).validate_python(declared)


@pytest.mark.parametrize("batch", [images().float(), images()[:, :1], images()[0]], ids=["float", "grey", "one"])
def test_other_images_are_refused(batch: Tensor):
    with pytest.raises(ValueError, match="uint8"):
        Augment([Recipe(blur=GaussianBlur())], MEAN, STD)(batch, generator())


def test_images_that_cannot_have_the_views_are_refused():
    with pytest.raises(ValueError, match="size is 16; a local view is smaller than the images of 16 pixels"):
        Recipe(size=16).check_images(16)
    Recipe(size=15).check_images(16)
    with pytest.raises(ValueError, match=r"mask\.patch is 3, which does not divide the view's side of 16"):
        Recipe(mask=PatchMask(patch=3)).check_images(16)
    Recipe(size=12, mask=PatchMask(patch=3)).check_images(16)
    with pytest.raises(ValueError, match="does not divide the view's side of 20"):
        views(Recipe(mask=PatchMask(patch=3)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_makes_the_same_view_from_the_same_draws():
    source = images().float() / 255
    drawn = Recipe(blur=GaussianBlur(), solarise=0.3, mask=PatchMask()).draw(
        len(source), source.shape[2], source.shape[3], generator()
    )
    on_gpu = type(drawn)(*(None if tensor is None else tensor.cuda() for tensor in drawn))
    theirs = finished(source, drawn, None, 0, MEAN, STD)
    for ours, expected in zip(finished(source.cuda(), on_gpu, None, 0, MEAN, STD), theirs, strict=True):
        assert ((ours.cpu() - expected).abs() > 0.02).float().mean() < 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_views_can_be_captured_in_a_cuda_graph():
    augment = Augment([Recipe(blur=GaussianBlur(), solarise=0.3), Recipe(size=12, mask=PatchMask())], MEAN, STD)
    batch, drawing, graph = images().cuda(), torch.Generator("cuda").manual_seed(0), torch.cuda.CUDAGraph()
    augment(batch, drawing)
    graph.register_generator_state(drawing)
    with torch.cuda.graph(graph):
        captured = augment(batch, drawing)
    drawing.manual_seed(1)
    graph.replay()
    expected = augment(batch, torch.Generator("cuda").manual_seed(1))
    assert all(torch.equal(ours.images, theirs.images) for ours, theirs in zip(captured, expected, strict=True))
