"""iBOT and DINOv2 against their formulas, and by their properties."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from every_objective import SIZE, batch, build
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.backbones.vit import ViT
from ssl_core.heads import MomentumConfig
from ssl_core.objectives.ibot import IBOT, IBOTConfig, koleo

CPU = torch.device("cpu")
DINO_V2 = {"shared_head": False, "centring": "sinkhorn", "koleo_weight": 0.1}
PATCHES = (SIZE // 4) ** 2


def distilled(**settings: object) -> IBOT:
    """In evaluation mode, its teacher another network than the student."""
    objective = build(IBOTConfig(name="ibot", **({"prototypes": 6} | settings)))  # pyright: ignore[reportArgumentType]
    assert isinstance(objective, IBOT)
    with torch.no_grad():
        for teacher in (objective.teacher, objective.patch_teacher):
            for p in teacher.parameters() if teacher else ():
                p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        for centre in (objective.centre, objective.patch_centre):
            centre.copy_(0.2 * torch.randn(6, generator=torch.Generator().manual_seed(3)))
        objective.patch_centre.neg_()
    return objective.eval()


def views_of(whole: int, local: int = 0, count: int = 5) -> list[View]:
    """Whole views that are told apart, and local ones."""
    views = [View(view.images.roll(i, dims=0)) for i, view in enumerate(batch(whole, count=count)[0])]
    return views + batch(local, count=count, size=8)[0]


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def spread(rows: list[list[float]], centre: list[float], sinkhorn: bool) -> list[list[float]]:
    """The teacher's distributions, of a temperature of 0.04."""
    if not sinkhorn:
        return [softmax([(t - c) / 0.04 for t, c in zip(row, centre, strict=True)]) for row in rows]
    q = [[math.exp(t / 0.04) for t in row] for row in rows]
    for _ in range(3):
        given = [sum(column) for column in zip(*q, strict=True)]
        q = [[p / total for p, total in zip(row, given, strict=True)] for row in q]
        q = [[p / sum(row) for p in row] for row in q]
    return q


def entropy(targets: list[list[float]], scores: Tensor) -> float:
    """The mean cross-entropy, at the student's temperature of 0.1."""
    rows = [softmax([s / 0.1 for s in row]) for row in scores.double().tolist()]
    both = zip(targets, rows, strict=True)
    return sum(-sum(t * math.log(p) for t, p in zip(*pair, strict=True)) for pair in both) / len(rows)


@pytest.mark.parametrize("settings", [{"image_weight": 0.7, "patch_weight": 0.3}, DINO_V2], ids=["iBOT", "DINOv2"])
@pytest.mark.parametrize("local", [0, 2])
@torch.no_grad()
def test_the_terms_are_the_papers_equations(local: int, settings: dict) -> None:
    objective, views, sinkhorn = distilled(**settings), views_of(2, local), "centring" in settings
    torch.manual_seed(0)
    terms = objective(views)
    torch.manual_seed(0)
    hidden = objective.draw(2, 5, CPU)
    assert objective.teacher
    teacher, student = objective.teacher.networks[0], objective.backbone
    assert isinstance(teacher, ViT)
    assert isinstance(student, ViT)
    image_head = objective.prototypes, objective.projector
    t_heads = objective.teacher.networks[2], objective.teacher.networks[1]
    patch_head, t_patch_head = image_head, t_heads
    if objective.patch_head and objective.patch_teacher:
        patch_head, t_patch_head = objective.patch_head[::-1], objective.patch_teacher.networks[0][::-1]  # pyright: ignore

    def scored(heads: object, h: Tensor) -> Tensor:
        prototypes, projector = heads  # pyright: ignore[reportGeneralTypeIssues]
        return prototypes(projector(h))

    h, seen, patches, t_images, t_patches = [], [], [], [], []
    for row in range(10):
        image = views[row // 5].images[row % 5][None]
        places = [place % PATCHES for place in hidden.flatten().tolist() if place // PATCHES == row]
        tokens = student.embed(image)
        for place in places:
            tokens[0, place] = objective.mask_token + student.positions(4, 4)[place]
        encoded, whole = student.encode(tokens)[0], teacher.encode(teacher.embed(image))[0]
        h.append(encoded.mean(dim=0))
        t_images.append(whole.mean(dim=0))
        patches += [encoded[place] for place in places]
        t_patches += [whole[place] for place in places]
        seen.append(len(places))
    assert sorted(set(seen)) == [0, objective.hidden]
    scores = list(scored(image_head, torch.stack(h)).split(5))
    scores += [scored(image_head, student(view.images)) for view in views[2:]]
    targets = spread(scored(t_heads, torch.stack(t_images)).double().tolist(), objective.centre.tolist(), sinkhorn)
    compared = [(targets[5 * i : 5 * i + 5], scores[j]) for i in range(2) for j in range(2 + local) if i != j]
    expected = sum(entropy(*pair) for pair in compared) / len(compared)
    assert terms["image"].item() == pytest.approx(objective.config.image_weight * expected, rel=1e-3)

    rows = scored(t_patch_head, torch.stack(t_patches)).double().tolist()
    told = entropy(spread(rows, objective.patch_centre.tolist(), sinkhorn), scored(patch_head, torch.stack(patches)))
    # Half of the ten views have hidden patches; the others count as 0.
    assert terms["patches"].item() == pytest.approx(objective.config.patch_weight * told / 2, rel=1e-3)

    assert ("koleo" in terms) == sinkhorn
    if sinkhorn:
        near = sum(differential_entropy(torch.stack(h[5 * i : 5 * i + 5])) for i in range(2))
        assert terms["koleo"].item() == pytest.approx(0.1 * near, rel=1e-3)


def differential_entropy(h: Tensor) -> float:
    rows = [(row / row.norm()).tolist() for row in h.double()]
    nearest = [min(math.dist(a, b) for j, b in enumerate(rows) if j != i) for i, a in enumerate(rows)]
    return -sum(math.log(distance) for distance in nearest) / len(nearest)


def test_koleo_has_known_values_and_pushes_the_nearest_apart() -> None:
    square = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -4.0]])  # lengths are divided out
    assert koleo(square).item() == pytest.approx(-math.log(math.sqrt(2)))
    angles = torch.tensor([0.0, 0.1, 2.0], requires_grad=True)
    value = koleo(torch.stack([angles.cos(), angles.sin()], dim=1))
    chords = [2 * math.sin(0.05), 2 * math.sin(0.05), 2 * math.sin(0.95)]
    assert value.item() == pytest.approx(-sum(math.log(chord) for chord in chords) / 3, rel=1e-4)
    (gradient,) = torch.autograd.grad(value, angles)
    assert gradient[0] > 0 > gradient[1]  # descending, the near pair drifts apart
    same = torch.ones(3, 4, requires_grad=True)
    assert torch.autograd.grad(koleo(same), same)[0].isfinite().all()


@pytest.mark.parametrize("whole", [2, 3, 4])
def test_half_of_an_images_views_have_a_block_of_hidden_patches(whole: int) -> None:
    objective = distilled(masked_share=0.4)
    assert objective.hidden == 6
    torch.manual_seed(0)
    hidden = objective.draw(whole, 50, CPU)
    assert hidden.shape == (50 * (whole // 2), 6)
    assert len(hidden.flatten().unique()) == hidden.numel()
    images = Counter(row[0] // PATCHES % 50 for row in hidden.tolist())
    assert images == dict.fromkeys(range(50), whole // 2)
    views = Counter(row[0] // PATCHES // 50 for row in hidden.tolist())
    assert set(views) == set(range(whole))
    for row in hidden.tolist():
        assert len({place // PATCHES for place in row}) == 1
        rows, columns = zip(*(divmod(place % PATCHES, 4) for place in row), strict=True)
        assert (max(rows) + 1 - min(rows)) * (max(columns) + 1 - min(columns)) <= 8


@torch.no_grad()
def test_the_student_sees_nothing_of_hidden_patches_and_the_teacher_everything() -> None:
    objective = distilled()
    images = torch.cat([view.images for view in views_of(2)])
    torch.manual_seed(0)
    hidden = objective.draw(2, 5, CPU)
    changed = images.clone()
    for place in hidden.flatten().tolist():
        row, column = divmod(place % PATCHES, 4)
        changed[place // PATCHES, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    torch.testing.assert_close(objective.masked(images, hidden), objective.masked(changed, hidden))
    assert not torch.allclose(objective.masked(images, hidden[:3]), objective.masked(changed, hidden[:3]))
    before, after = objective.targets_of(images, hidden), objective.targets_of(changed, hidden)
    assert not torch.allclose(before[1], after[1])
    unmasked = [row for row in range(10) if row not in (hidden // PATCHES).flatten().tolist()]
    torch.testing.assert_close(before[0][unmasked], after[0][unmasked])


def test_patches_have_the_images_head_or_their_own_whose_teacher_follows() -> None:
    shared, own = distilled(), distilled(shared_head=False, momentum=MomentumConfig(start=0.5, end=0.5))
    _, image_head, patch_head = shared.branch()
    assert image_head is patch_head
    assert shared.patch_head is shared.patch_teacher is None
    assert own.patch_head
    assert own.patch_teacher
    assert own.branch()[2] is own.patch_head
    assert own.branch(teacher=True)[2] is own.patch_teacher.networks[0]
    before = [p.clone() for p in own.patch_teacher.parameters()]
    own.after_step(0.5)
    for now, then, theirs in zip(own.patch_teacher.parameters(), before, own.patch_head.parameters(), strict=True):
        torch.testing.assert_close(now, (then + theirs) / 2)


def test_centres_follow_images_and_hidden_patches_in_training_alone() -> None:
    objective = distilled()
    views = views_of(2)
    images, patches = objective.centre.clone(), objective.patch_centre.clone()
    objective(views)
    assert torch.equal(objective.centre, images)
    objective.train()
    scores: list[Any] = []
    assert objective.teacher
    objective.teacher.networks[2].register_forward_hook(lambda _, given, made: scores.append(made))
    objective(views)
    torch.testing.assert_close(objective.centre, 0.9 * images + 0.1 * scores[0].mean(dim=0))
    torch.testing.assert_close(objective.patch_centre, 0.9 * patches + 0.1 * scores[1].mean(dim=0))


def test_sinkhorn_shares_out_images_and_patches_each_among_all_prototypes() -> None:
    views = torch.cat([view.images for view in views_of(2, count=32)])
    shared, given = distilled(centring="sinkhorn"), distilled()
    hidden = shared.draw(2, 32, CPU)
    for even, uneven in zip(shared.targets_of(views, hidden), given.targets_of(views, hidden), strict=True):
        torch.testing.assert_close(even.sum(dim=1), torch.ones(len(even)))
        evenly = len(even) / 6
        assert (even.sum(dim=0) - evenly).abs().max() < 0.2 * evenly
        assert (uneven.sum(dim=0) - evenly).abs().max() > 0.5 * evenly


def test_without_a_momentum_encoder_the_student_makes_its_own_targets_of_whole_views() -> None:
    alone, taught = (build(IBOTConfig(name="ibot", momentum=momentum)) for momentum in (None, MomentumConfig()))
    assert isinstance(alone, IBOT)
    assert isinstance(taught, IBOT)
    images = torch.cat([view.images for view in views_of(2)])
    hidden = alone.draw(2, 5, CPU)
    mine, theirs = alone.eval().targets_of(images, hidden), taught.eval().targets_of(images, hidden)
    torch.testing.assert_close(mine, theirs)
    assert not any(target.requires_grad for target in mine)


def test_pictures_show_what_the_student_sees() -> None:
    objective = distilled(masked_share=0.5)
    first, first_seen, second, second_seen = objective.pictures([View(torch.ones(4, 3, SIZE, SIZE))] * 2)["hidden"]
    assert torch.equal(first, torch.ones_like(first))
    assert torch.equal(first, second)
    shares = torch.stack([first_seen, second_seen]).flatten(2).mean(dim=2)
    assert shares.sort(dim=0).values.tolist() == [[0.5] * 4, [1.0] * 4]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"image_weight": -1.0}, "image_weight is -1.0; it must be 0 or more"),
        ({"koleo_weight": -0.1}, "koleo_weight is -0.1; it must be 0 or more"),
        ({"image_weight": 0.0, "patch_weight": 0.0}, "image_weight and patch_weight are both 0; at least one"),
        ({"masked_share": 1.0}, "masked_share is 1.0; it must be above 0 and below 1"),
        ({"prototypes": 1}, "prototypes is 1; at least 2"),
        ({"student_temperature": 0.0}, "student_temperature is 0.0; it must be above 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        IBOTConfig(name="ibot", **settings)


def test_what_cannot_be_is_refused_before_anything_runs() -> None:
    vit = ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)
    IBOT.check(IBOTConfig(name="ibot"), vit, 16, 4)
    with pytest.raises(ValueError, match=r"masked_share is 0.02, which hides 0 of an image's 16 patches"):
        IBOT.check(IBOTConfig(name="ibot", masked_share=0.02), vit, 16, 4)
    with pytest.raises(ValueError, match="the objective ibot drops or replaces the tokens"):
        IBOT.check(IBOTConfig(name="ibot"), ResNetConfig(name="resnet10"), 16, 4)


def test_the_terms_of_two_views_need_no_local_ones_and_weigh_as_they_are_told() -> None:
    values = []
    for weight in (1.0, 2.0):
        objective = distilled(image_weight=weight, patch_weight=3 * weight, koleo_weight=weight)
        torch.manual_seed(0)
        values.append(torch.stack(list(objective(views_of(2)).values())))
    torch.testing.assert_close(values[1], 2 * values[0])
