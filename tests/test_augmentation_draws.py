"""What the operations draw, against what torchvision's transforms draw."""

import math

import pytest
import torch
from scipy.stats import binomtest, chi2, chisquare, ks_2samp
from torch import Tensor
from torchvision.transforms import ColorJitter
from torchvision.transforms import RandomResizedCrop as TheirCrop

from ssl_core.augmentation import ColourJitter, GaussianBlur, PatchMask, RandomResizedCrop, Recipe
from ssl_core.augmentation.chance import chosen

COUNT = 4000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def their_boxes(height: int, width: int, crop: RandomResizedCrop) -> Tensor:
    image = torch.empty(3, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        boxes = [TheirCrop.get_params(image, list(crop.scale), list(crop.ratio)) for _ in range(COUNT)]
    return torch.tensor(boxes)


def assert_same_distribution(ours: Tensor, theirs: Tensor) -> None:
    result = ks_2samp(ours.double().numpy(), theirs.double().numpy())
    assert result.pvalue > 1e-3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("height", "width", "crop"),
    [
        (32, 32, RandomResizedCrop(scale=(0.08, 1.0))),
        (28, 28, RandomResizedCrop(scale=(0.2, 1.0))),
        # So wide and large that the tries often fail: the fallback's share is part of the distribution.
        (30, 60, RandomResizedCrop(scale=(0.6, 1.0))),
    ],
)
def test_boxes_are_distributed_as_torchvisions(height: int, width: int, crop: RandomResizedCrop):
    ours = crop.draw(COUNT, height, width, generator())
    theirs = their_boxes(height, width, crop)
    for measure in (
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0] / (height - box[:, 2] + 1),
        lambda box: box[:, 1] / (width - box[:, 3] + 1),
    ):
        assert_same_distribution(measure(ours), measure(theirs))


def test_another_scale_is_noticed():
    # The statistics above can tell a wrong recipe from a right one.
    ours = RandomResizedCrop(scale=(0.12, 1.0)).draw(COUNT, 32, 32, generator())
    theirs = their_boxes(32, 32, RandomResizedCrop(scale=(0.08, 1.0)))
    with pytest.raises(AssertionError):
        assert_same_distribution(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3])


@pytest.mark.parametrize(("height", "width"), [(10, 100), (100, 10), (32, 32)])
def test_where_no_box_fits_it_is_torchvisions_central_one(height: int, width: int):
    # The whole area as a square cannot be cut out of a long image, and only as the whole of a square one.
    crop = RandomResizedCrop(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    ours = crop.draw(5, height, width, generator())
    theirs = torch.tensor([TheirCrop.get_params(torch.empty(3, height, width), [1.0, 1.0], [1.0, 1.0])])
    assert torch.equal(ours, theirs.expand(5, 4))


def test_boxes_lie_inside_the_image():
    top, left, height, width = RandomResizedCrop(scale=(0.01, 1.0)).draw(20000, 17, 23, generator()).unbind(1)
    assert min(int(top.min()), int(left.min())) == 0
    assert min(int(height.min()), int(width.min())) >= 1
    assert int((top + height).max()) == 17
    assert int((left + width).max()) == 23


def test_jitter_factors_are_distributed_as_torchvisions():
    jitter = ColourJitter(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1, probability=1.0)
    factors, _ = jitter.draw(COUNT, generator())
    their = ColorJitter(brightness=0.4, contrast=1.5, saturation=0.2, hue=0.1)
    ranges = [list(limits) for limits in (their.brightness, their.contrast, their.saturation, their.hue)]  # pyright: ignore
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = torch.tensor([ColorJitter.get_params(*ranges)[1:] for _ in range(COUNT)])
    for kind in range(4):
        assert_same_distribution(factors[:, kind], theirs[:, kind])


def test_every_order_is_as_frequent_as_the_others():
    _, order = ColourJitter().draw(COUNT, generator())
    assert torch.equal(order.sort(1).values, torch.arange(3).expand(COUNT, 3))
    counts = (order * torch.tensor([9, 3, 1])).sum(1).unique(return_counts=True)[1]
    assert len(counts) == math.factorial(3)
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_an_image_that_is_not_jittered_has_neutral_factors():
    factors, _ = ColourJitter(probability=0.8).draw(COUNT, generator())
    neutral = (factors == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(1)
    assert binomtest(int(neutral.sum()), COUNT, 0.2).pvalue > 1e-3


def test_sigma_is_uniform_where_there_is_blur():
    sigma = GaussianBlur(probability=0.5, sigma=(0.1, 2.0)).draw(COUNT, generator())
    blurred = sigma[sigma > 0]
    assert binomtest(len(blurred), COUNT, 0.5).pvalue > 1e-3
    assert_same_distribution(blurred, torch.linspace(0.1, 2.0, COUNT))


def test_chosen_keeps_its_probability():
    assert binomtest(int(chosen(0.2, COUNT, generator()).sum()), COUNT, 0.2).pvalue > 1e-3
    assert not chosen(0.0, COUNT, generator()).any()
    assert chosen(1.0, COUNT, generator()).all()


@pytest.mark.parametrize("name", ["flipped", "grey", "solarised"])
def test_each_operation_of_a_recipe_keeps_its_own_probability(name: str):
    drawn = Recipe(flip=0.5, greyscale=0.2, solarise=0.1).draw(COUNT, 32, 32, generator())
    share = {"flipped": 0.5, "grey": 0.2, "solarised": 0.1}[name]
    assert binomtest(int(getattr(drawn, name).sum()), COUNT, share).pvalue > 1e-3


def test_what_one_operation_draws_says_nothing_of_another():
    drawn = Recipe(flip=0.5, greyscale=0.5, solarise=0.5).draw(COUNT, 32, 32, generator())
    assert drawn.flipped is not None
    assert drawn.grey is not None
    assert drawn.solarised is not None
    for one, other in ((drawn.flipped, drawn.grey), (drawn.grey, drawn.solarised), (drawn.flipped, drawn.solarised)):
        assert binomtest(int((one == other).sum()), COUNT, 0.5).pvalue > 1e-3


def test_the_boxes_of_local_views_are_those_of_the_image_not_of_the_view():
    crop = RandomResizedCrop(scale=(0.05, 0.2))
    boxes = Recipe(size=16, crop=crop).draw(COUNT, 32, 32, generator()).boxes
    assert boxes is not None
    theirs = their_boxes(32, 32, crop)
    for side in (2, 3):
        assert_same_distribution(boxes[:, side], theirs[:, side])
    assert_same_distribution(boxes[:, 0] / (33 - boxes[:, 2]), theirs[:, 0] / (33 - theirs[:, 2]))


@pytest.mark.parametrize(("share", "hidden"), [(0.75, 48), (0.5, 32), (0.33, 21), (0.0, 0), (63 / 64, 63)])
def test_exactly_the_share_of_the_patches_is_hidden_everywhere_as_often(share: float, hidden: int):
    mask = PatchMask(share=share, patch=4).draw(COUNT, 32, 32, generator())
    assert mask.shape == (COUNT, 8, 8)
    assert (mask.sum((1, 2)) == hidden).all()
    if 0 < hidden < 64:
        # Drawn without replacement, the counts of the 64 places vary less than chi-square's by their share left.
        counts = mask.sum(0).flatten().double()
        statistic = ((counts - counts.mean()) ** 2).sum() / (counts.mean() * (1 - hidden / 64)) * 63 / 64
        assert 1e-3 < chi2.sf(float(statistic), 63) < 1 - 1e-3
        together = (mask[:, 0, 0] & mask[:, 3, 5]).sum()
        assert binomtest(int(together), COUNT, hidden / 64 * (hidden - 1) / 63).pvalue > 1e-3
