"""Masked joint-embedding objectives against their formulas, and by their properties."""

import math
from itertools import combinations
from random import Random

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, batch, build
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.backbones.tokens import take
from ssl_core.backbones.vit import ViT
from ssl_core.heads import MomentumConfig
from ssl_core.objectives.i_jepa import IJEPA, IJEPAConfig, block_sides, context_patches, distance, draw_blocks
from ssl_core.objectives.msn import MSN, MSNConfig, cross_entropy, entropy_shortfall

CPU = torch.device("cpu")
VIT = ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)
RESNET = ResNetConfig(name="resnet10", width=8)


def moved(network: nn.Module) -> None:
    """Weights that are not the student's any more."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))


# MSN


def siamese(**settings: object) -> MSN:
    objective = build(MSNConfig(name="msn", **({"prototypes": 6} | settings)))  # pyright: ignore[reportArgumentType]
    assert isinstance(objective, MSN)
    return objective.eval()


def distribution(z: Tensor, prototypes: Tensor, temperature: float) -> list[list[float]]:
    rows = []
    for embedding in z.double():
        scores = [math.exp(float(F.cosine_similarity(embedding, q, dim=0)) / temperature) for q in prototypes.double()]
        rows.append([score / sum(scores) for score in scores])
    return rows


def sharpened(rows: list[list[float]], sharpening: float) -> list[list[float]]:
    """As the authors' code does it."""
    powers = [[p ** (1 / sharpening) for p in row] for row in rows]
    return [[power / sum(row) for power in row] for row in powers]


def shared_out(rows: list[list[float]]) -> list[list[float]]:
    """As the authors' code does it: all prototypes given the same, then all rows, three times."""
    for _ in range(3):
        given = [sum(column) for column in zip(*rows, strict=True)]
        rows = [[p / total for p, total in zip(row, given, strict=True)] for row in rows]
        rows = [[p / sum(row) for p in row] for row in rows]
    return rows


@pytest.mark.parametrize("sinkhorn", [True, False])
@pytest.mark.parametrize("locals_", [0, 2])
def test_msn_is_the_papers_equation(locals_: int, sinkhorn: bool) -> None:
    objective = siamese(regularisation=0.7, sinkhorn=sinkhorn)
    assert objective.teacher
    moved(objective.teacher)
    views, _ = batch(2, count=5)
    views[1] = View(views[1].images.roll(1, dims=0))  # two views that are told apart
    views += batch(locals_, count=5, size=8)[0]
    torch.manual_seed(0)
    terms = objective(views)
    torch.manual_seed(0)
    first, second = objective.masked(views[0]), objective.masked(views[1])
    backbone, projector = objective.teacher.networks
    with torch.no_grad():
        t1, t2 = (
            sharpened(distribution(projector(backbone(view.images)), objective.prototypes.weight, 0.1), 0.25)
            for view in views[:2]
        )
        anchors = [
            distribution(objective.projector(objective.backbone(*view)), objective.prototypes.weight, 0.1)
            for view in (first, second, *views[2:])
        ]
    if sinkhorn:
        both = shared_out(t1 + t2)
        t1, t2 = both[:5], both[5:]
    pairs = [(anchors[0], t2), (anchors[1], t1)]
    both = [[(a + b) / 2 for a, b in zip(x, y, strict=True)] for x, y in zip(t1, t2, strict=True)]
    pairs += [(anchor, both) for anchor in anchors[2:]]
    entropies = [
        -sum(t * math.log(p) for p, t in zip(p_row, t_row, strict=True))
        for predicted, target in pairs
        for p_row, t_row in zip(predicted, target, strict=True)
    ]
    assert terms["cross_entropy"].item() == pytest.approx(sum(entropies) / len(entropies), rel=1e-3)
    rows = [row for anchor in anchors for row in anchor]
    mean = [sum(row[k] for row in rows) / len(rows) for k in range(6)]
    entropy = -sum(p * math.log(p) for p in mean)
    assert terms["mean_entropy"].item() == pytest.approx(0.7 * (math.log(6) - entropy), rel=1e-3)


def test_msn_targets_are_whole_views_and_anchors_miss_patches() -> None:
    objective = siamese(masked_share=0.5, sinkhorn=False)
    views, _ = batch(2)
    torch.manual_seed(0)
    first, second = objective.masked(views[0]), objective.masked(views[0])
    assert first.visible is not None
    assert second.visible is not None
    assert first.visible.shape == (32, 8)
    assert not torch.equal(first.visible, second.visible)
    assert len({tuple(sorted(row.tolist())) for row in first.visible}) > 16  # drawn for each image
    expected = F.softmax(objective.prototypes(objective.projector(objective.backbone(views[0].images))) / 0.025, dim=1)
    torch.testing.assert_close(objective.targets_of(views)[0], expected)


def test_an_anchor_of_msn_has_the_mean_of_all_other_whole_views_as_its_target() -> None:
    objective = siamese(masked_share=0.1, regularisation=0.0)
    assert objective.teacher
    moved(objective.teacher)
    views, _ = batch(3, count=5)
    views = [View(view.images.roll(i, dims=0)) for i, view in enumerate(views)]
    torch.manual_seed(0)
    loss = objective(views)["cross_entropy"]
    torch.manual_seed(0)
    anchors = [objective.prototypes(objective.projector(objective.backbone(*objective.masked(view)))) for view in views]
    found = objective.targets_of(views)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    expected = torch.stack([cross_entropy(anchors[i], found[j], temperature=0.1) for i, j in pairs]).mean()
    torch.testing.assert_close(loss, expected)


def test_msn_shares_out_its_targets_among_the_prototypes() -> None:
    views, _ = batch(2)
    shared, given = torch.cat(siamese().targets_of(views)), torch.cat(siamese(sinkhorn=False).targets_of(views))
    torch.testing.assert_close(shared.sum(dim=1), torch.ones(64))
    assert (shared.sum(dim=0) - 64 / 6).abs().max() < 2
    assert (given.sum(dim=0) - 64 / 6).abs().max() > 4


def test_msn_without_a_momentum_encoder_has_its_own_targets_of_whole_views() -> None:
    objective, with_teacher = siamese(momentum=None), siamese()
    views, _ = batch(2)
    torch.testing.assert_close(objective.targets_of(views), with_teacher.targets_of(views))
    assert not any(target.requires_grad for target in objective.targets_of(views))


def test_msn_pictures_show_what_an_anchor_sees() -> None:
    objective = siamese(masked_share=0.25)
    view, anchor = objective.pictures([View(torch.ones(4, 3, SIZE, SIZE))])["anchors"]
    assert anchor.mean().item() == pytest.approx(0.75)
    assert torch.equal(view, torch.ones_like(view))


def test_mean_entropy_falls_short_by_known_values() -> None:
    sure = F.one_hot(torch.arange(8) % 4, 4).float().requires_grad_()
    assert entropy_shortfall(sure, temperature=0.01).item() == pytest.approx(0, abs=1e-6)  # and all are met
    alone = entropy_shortfall(sure[:1].expand(8, 4), temperature=0.01)
    assert alone.item() == pytest.approx(math.log(4))
    (gradient,) = torch.autograd.grad(alone, sure)
    assert gradient.isfinite().all()
    similarity = torch.zeros(3, 4)
    target = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    assert cross_entropy(similarity, target, temperature=0.1).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"masked_share": 0.0}, "masked_share is 0.0; it must be above 0 and below 1"),
        ({"masked_share": 1.0}, "masked_share is 1.0"),
        ({"prototypes": 1}, "prototypes is 1; at least 2"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        ({"sharpening": 1.5}, "sharpening is 1.5; it must be above 0"),
        ({"sharpening": 0.0}, "sharpening is 0.0"),
        ({"regularisation": -1.0}, "regularisation is -1.0; it must be 0 or more"),
    ],
)
def test_msn_refuses_impossible_settings(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MSNConfig(name="msn", **settings)


def test_msn_refuses_what_cannot_be_before_anything_runs() -> None:
    MSN.check(MSNConfig(name="msn", prototypes=64), VIT, 32, 64)
    with pytest.raises(ValueError, match=r"prototypes is 65; .* take at most 64$"):
        MSN.check(MSNConfig(name="msn", prototypes=65), VIT, 32, 64)
    with pytest.raises(ValueError, match=r"the objective msn drops or replaces the tokens .* take backbone vit"):
        MSN.check(MSNConfig(name="msn"), RESNET, 32, 256)
    with pytest.raises(ValueError, match=r"masked_share is 0.01, which hides 0 of an image's 16 patches"):
        MSN.check(MSNConfig(name="msn", masked_share=0.01), VIT, 16, 256)


# I-JEPA


def predictive(size: int = SIZE, **settings: object) -> IJEPA:
    small = {"predictor_width": 24, "predictor_depth": 1, "predictor_heads": 2}
    objective = build(
        IJEPAConfig(name="i_jepa", **(small | settings)),  # pyright: ignore[reportArgumentType]
        size=size,
        backbone=VIT,
    )
    assert isinstance(objective, IJEPA)
    return objective.eval()


@pytest.mark.parametrize(
    ("grid", "sides", "context"),
    [
        (3, (1, 1), 2),
        (4, (1, 1), 4),
        (5, (2, 2), 6),
        (7, (3, 3), 11),
        (8, (4, 3), 15),
        (14, (6, 6), 45),
        (16, (7, 6), 59),
    ],
)
def test_blocks_and_context_are_near_the_authors(grid: int, sides: tuple[int, int], context: int) -> None:
    assert block_sides(grid) == sides
    assert context_patches(grid) == context
    if grid >= 7:
        assert 0.15 <= sides[0] * sides[1] / grid**2 <= 0.2
        assert context + 4 * sides[0] * sides[1] <= grid**2


def rectangle(grid: int, share: float, aspect: float) -> tuple[int, int]:
    """Its height and width in patches, less than the image's, as the authors' code rounds them."""
    area = int(grid**2 * share)
    return min(round(math.sqrt(area * aspect)), grid - 1), min(round(math.sqrt(area / aspect)), grid - 1)


def placed(grid: int, height: int, width: int, chance: Random) -> set[int]:
    """Its patches at a place that never touches the last row and column, as in the authors' code."""
    top, left = chance.randrange(grid - height), chance.randrange(grid - width)
    return {i * grid + j for i in range(top, top + height) for j in range(left, left + width)}


def left_by_the_authors(grid: int, images: int, chance: Random) -> int:
    """How many patches of a batch's contexts their sampling keeps: as many as the image has that has least.

    One draw makes a block's size and aspect. More than 10 patches must be left; after 20 trials one target less counts.
    """
    u, least = chance.random(), grid**2
    block = rectangle(grid, 0.15 + 0.05 * u, 0.75 + 0.75 * u)
    whole = rectangle(grid, 0.85 + 0.15 * chance.random(), 1.0)
    for _ in range(images):
        targets, left, trials = [placed(grid, *block, chance) for _ in range(4)], set[int](), 0
        while len(left) <= 10:
            left = placed(grid, *whole, chance).difference(*targets[: 4 - trials // 20])
            trials += 1
        least = min(least, len(left))
    return least


@pytest.mark.parametrize(("grid", "expected"), [(7, 11), (8, 13), (14, 50)])
def test_the_context_is_about_as_large_as_the_authors(grid: int, expected: int) -> None:
    chance = Random(0)
    found = [left_by_the_authors(grid, 128, chance) for _ in range(20)]
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.1)
    assert context_patches(grid) == pytest.approx(expected, rel=0.16)


@pytest.mark.parametrize("grid", [4, 7, 8])
def test_the_context_is_outside_of_all_blocks_and_blocks_are_anywhere(grid: int) -> None:
    long, short = block_sides(grid)
    torch.manual_seed(0)
    context, blocks = draw_blocks(600, grid, CPU)
    assert blocks.shape == (600, 4, long * short)
    assert context.shape == (600, context_patches(grid))
    corners = set()
    for seen, targets in zip(context.tolist(), blocks.tolist(), strict=True):
        assert len(set(seen)) == len(seen)
        heights = set()
        for block in targets:
            (top, left), (bottom, right) = divmod(min(block), grid), divmod(max(block), grid)
            assert block == [i * grid + j for i in range(top, bottom + 1) for j in range(left, right + 1)]
            assert not set(seen) & set(block)
            heights.add(bottom + 1 - top)
            corners.add((*heights, top, left))
        assert len(heights) == 1  # of an image all lie or all stand
        assert heights <= {long, short}
    forms = {long, short}
    assert len(corners) == len(forms) * (grid + 1 - long) * (grid + 1 - short)
    assert set(context.flatten().tolist()) == set(range(grid**2))
    assert any(set(a) & set(b) for targets in blocks.tolist() for a, b in combinations(targets, 2))


def test_the_context_is_a_block_without_the_targets() -> None:
    """No patch outside of the targets is missing in it that is nearer to its middle than one that it has."""
    torch.manual_seed(0)
    context, blocks = draw_blocks(200, 8, CPU)
    across = []
    for seen, targets in zip(context.tolist(), blocks.flatten(1).tolist(), strict=True):
        rows, columns = zip(*(divmod(place, 8) for place in seen), strict=True)
        height, width = max(rows) + 1 - min(rows), max(columns) + 1 - min(columns)
        within = {i * 8 + j for i in range(min(rows) + 1, max(rows)) for j in range(min(columns) + 1, max(columns))}
        assert within <= set(seen) | set(targets)
        across.append(height * width)
    scattered = 0.9 * 64  # what as many patches span that are drawn from all outside of the targets
    assert sum(across) / len(across) < 0.75 * scattered


def test_i_jepa_is_the_authors_loss() -> None:
    objective = predictive(size=32)
    assert objective.teacher
    moved(objective.teacher)
    views, _ = batch(1, count=3, size=32)
    torch.manual_seed(0)
    loss = objective(views)["prediction"]
    torch.manual_seed(0)
    context, blocks = draw_blocks(3, 8, CPU)
    teacher, student = objective.teacher.networks[0], objective.backbone
    assert isinstance(teacher, ViT)
    assert isinstance(student, ViT)
    with torch.no_grad():
        total, count = 0.0, 0
        for i in range(3):
            image = views[0].images[i : i + 1]
            tokens = student.encode(student.embed(image)[:, context[i]])
            wanted = teacher.encode(teacher.embed(image))[0].double()
            for block in blocks[i]:
                predicted = objective.predictor(tokens, context[i : i + 1], block[None])[0].double()
                for place, row in zip(block.tolist(), predicted, strict=True):
                    y = wanted[place]
                    y = (y - y.mean()) / (y.var(correction=0) + 1e-5).sqrt()
                    for d in (row - y).abs().tolist():
                        total += d**2 / 2 if d < 1 else d - 0.5
                        count += 1
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


def test_the_student_sees_the_context_alone_and_the_teacher_everything() -> None:
    objective = predictive()
    images = batch(1, count=2)[0][0].images
    torch.manual_seed(0)
    context, blocks = draw_blocks(2, 4, CPU)
    changed = images.clone()
    for i in range(2):
        for place in set(range(16)) - set(context[i].tolist()):
            row, column = divmod(place, 4)
            changed[i, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    same, other = objective.predict(images, context, blocks), objective.predict(changed, context, blocks)
    torch.testing.assert_close(same, other)
    before, after = objective.targets(images), objective.targets(changed)
    assert not torch.allclose(take(before, context), take(after, context))
    torch.testing.assert_close(before.mean(dim=-1), torch.zeros(2, 16), atol=1e-5, rtol=0)
    assert not before.requires_grad


def test_a_block_is_predicted_without_knowing_the_others() -> None:
    objective = predictive(size=32)
    images = batch(1, count=2, size=32)[0][0].images
    context, blocks = draw_blocks(2, 8, CPU)
    others = blocks.clone()
    others[:, 1:] = blocks[:, :1]
    first, again = objective.predict(images, context, blocks), objective.predict(images, context, others)
    torch.testing.assert_close(first[:, :12], again[:, :12])
    assert not torch.allclose(first[:, 12:24], again[:, 12:24])


def test_i_jepa_without_a_momentum_encoder_has_its_own_targets() -> None:
    alone, with_teacher = predictive(momentum=None), predictive(momentum=MomentumConfig(start=0.5, end=0.5))
    images = batch(1)[0][0].images
    torch.testing.assert_close(alone.targets(images), with_teacher.targets(images))
    assert not alone.targets(images).requires_grad
    moved(alone.backbone)
    moved(with_teacher.backbone)
    assert not torch.allclose(alone.targets(images), with_teacher.targets(images))
    with_teacher.after_step(0.1)
    alone.after_step(0.1)
    assert not torch.allclose(predictive().targets(images), with_teacher.targets(images))


def test_the_distance_has_known_values() -> None:
    target = torch.zeros(1, 1, 4)
    assert distance(torch.tensor([[[0.0, 0.5, 1.0, 3.0]]]), target).item() == pytest.approx((0.125 + 0.5 + 2.5) / 4)


def test_i_jepa_pictures_show_context_and_blocks() -> None:
    objective = predictive()
    _, context, blocks = objective.pictures([View(torch.ones(8, 3, SIZE, SIZE))])["blocks"]
    assert context.mean().item() == pytest.approx(4 / 16)
    assert not (context * blocks).any()
    assert blocks.flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"predictor_width": 0}, "predictor_width is 0; at least 1"),
        ({"predictor_depth": 0}, "predictor_depth is 0; at least 1"),
        ({"predictor_heads": 0}, "predictor_heads is 0; at least 1"),
        ({"predictor_width": 50}, r"predictor_width is 50; a multiple of 4 x predictor_heads \(16\) is needed"),
    ],
)
def test_i_jepa_refuses_impossible_settings(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        IJEPAConfig(name="i_jepa", **settings)


def test_i_jepa_refuses_what_cannot_be_before_anything_runs() -> None:
    config = IJEPAConfig(name="i_jepa")
    IJEPA.check(config, VIT, 12, 256)
    with pytest.raises(ValueError, match=r"2 x 2 patches of images of 8 pixels; .* a patch of 2 at most"):
        IJEPA.check(config, VIT, 8, 256)
    with pytest.raises(ValueError, match="the objective i_jepa drops or replaces the tokens"):
        IJEPA.check(config, RESNET, 32, 256)
