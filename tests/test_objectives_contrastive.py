"""Contrastive objectives against their formulas, and by their properties."""

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_objective import batch, build, halve_student
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig
from ssl_core.heads import MomentumConfig, Queue
from ssl_core.objectives import OBJECTIVES, moco_v2, moco_v3
from ssl_core.objectives.dcl import DCLConfig, decoupled, weights
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.moco_v2 import MoCoV2, MoCoV2Config
from ssl_core.objectives.moco_v3 import MoCoV3, MoCoV3Config
from ssl_core.objectives.nnclr import NNCLR, NNCLRConfig, nearest
from ssl_core.objectives.simclr import SimCLRConfig, nt_xent
from ssl_core.objectives.supcon import SupConConfig, sup_con


def test_nt_xent_is_the_papers_equation() -> None:
    z1, z2 = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    z, n, temperature = torch.cat([z1, z2]), 5, 0.3
    total = 0.0
    for i in range(2 * n):
        similar = [math.exp(float(F.cosine_similarity(z[i], z[k], dim=0)) / temperature) for k in range(2 * n)]
        positive = similar[(i + n) % (2 * n)]
        total -= math.log(positive / (sum(similar) - similar[i]))
    assert nt_xent(z1, z2, temperature=temperature).item() == pytest.approx(total / (2 * n), rel=1e-5)


def test_nt_xent_is_symmetric_and_ignores_scale_and_order() -> None:
    z1, z2 = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = nt_xent(z1, z2, temperature=0.2)
    torch.testing.assert_close(nt_xent(z2, z1, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(3 * z1, 0.5 * z2, temperature=0.2), expected)
    torch.testing.assert_close(nt_xent(z1.flip(0), z2.flip(0), temperature=0.2), expected)


def test_without_a_projector_the_loss_is_on_the_representation() -> None:
    objective = build(SimCLRConfig(name="simclr", projector=None))
    objective.eval()
    views, _ = batch(2)
    expected = nt_xent(objective.encoder(*views[0]), objective.encoder(*views[1]), temperature=0.2)
    torch.testing.assert_close(objective(views)["nt_xent"], expected)


def test_with_a_momentum_encoder_each_view_meets_the_teachers_other_view() -> None:
    objective = build(SimCLRConfig(name="simclr", momentum=MomentumConfig(start=0.5, end=0.5)))
    assert isinstance(objective, JointEmbedding)
    assert objective.teacher
    views, _ = batch(2)
    halve_student(objective)
    objective.eval()
    (s1, s2), (backbone, projector) = objective.embed(views), objective.teacher.networks
    t1, t2 = (projector(backbone(*view)) for view in views)
    assert not torch.allclose(s1, t1)
    expected = (nt_xent(s1, t2, temperature=0.2) + nt_xent(s2, t1, temperature=0.2)) / 2
    torch.testing.assert_close(objective(views)["nt_xent"], expected)


def test_a_temperature_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        SimCLRConfig(name="simclr", temperature=0.0)


@pytest.mark.parametrize("end", [-0.1, 1.1])
def test_a_momentum_outside_0_to_1_is_refused(end: float) -> None:
    with pytest.raises(ValueError, match=r"momentum.end is .*; a momentum is in \[0, 1\]"):
        MomentumConfig(end=end)


@pytest.mark.parametrize("sigma", [math.inf, 0.5])
def test_the_decoupled_loss_is_the_papers_equation(sigma: float) -> None:
    z1, z2 = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0)).double()
    z, n, temperature = torch.cat([z1, z2]), 5, 0.3
    positive = [float(F.cosine_similarity(z1[i], z2[i], dim=0)) for i in range(n)]
    densities = [math.exp(s / sigma) for s in positive]
    total = 0.0
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k % n != i % n]
        similar = [math.exp(float(F.cosine_similarity(z[i], z[k], dim=0)) / temperature) for k in others]
        weight = 2 - densities[i % n] / (sum(densities) / n)
        total += -weight * positive[i % n] / temperature + math.log(sum(similar))
    assert decoupled(z1, z2, temperature=temperature, sigma=sigma).item() == pytest.approx(total / (2 * n), rel=1e-5)


def test_dcl_is_nt_xent_without_the_positive_pair_in_the_denominator() -> None:
    """Of two images whose embeddings are all alike: log 3 of three, log 2 of two others, less the similarity 1 / T."""
    same = torch.ones(2, 3)
    assert nt_xent(same, same, temperature=0.5).item() == pytest.approx(math.log(3))
    assert decoupled(same, same, temperature=0.5, sigma=math.inf).item() == pytest.approx(math.log(2))
    z1, z2 = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    expected = decoupled(z1, z2, temperature=0.2, sigma=0.5)
    torch.testing.assert_close(decoupled(z2, z1, temperature=0.2, sigma=0.5), expected)
    torch.testing.assert_close(decoupled(3 * z1, 0.5 * z2, temperature=0.2, sigma=0.5), expected)


def test_dclws_weights_are_less_for_views_that_are_alike_already_and_1_on_average() -> None:
    similarity = torch.tensor([-0.5, 0.0, 0.4, 0.9]).requires_grad_()
    made = weights(similarity, sigma=0.5)
    assert made.mean().item() == pytest.approx(1)
    assert (made.diff() < 0).all()
    assert not made.requires_grad
    torch.testing.assert_close(weights(similarity, sigma=math.inf), torch.ones(4))


def test_sigma_is_what_makes_dclw_of_dcl() -> None:
    views, _ = batch(2)
    plain, weighted = (build(DCLConfig(name="dcl", sigma=sigma)) for sigma in (None, 0.5))
    assert isinstance(plain, JointEmbedding)
    z1, z2 = plain.embed(views)
    for objective, sigma in ((plain, math.inf), (weighted, 0.5)):
        expected = decoupled(z1, z2, temperature=0.1, sigma=sigma)
        torch.testing.assert_close(objective(views)["decoupled"], expected)


@pytest.mark.parametrize("sigma", [0.0, -1.0])
def test_dcl_refuses_a_sigma_that_is_no_width(sigma: float) -> None:
    with pytest.raises(ValueError, match=rf"sigma is {sigma}; it must be above 0, or null for no weights"):
        DCLConfig(name="dcl", sigma=sigma)


def test_sup_con_is_the_papers_equation() -> None:
    z1, z2 = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    labels, temperature = [0, 1, -1, 0, -1, 2], 0.3
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    total = 0.0
    for i in range(12):
        others = [a for a in range(12) if a != i]
        whole = sum(math.exp(float(z[i] @ z[a]) / temperature) for a in others)
        own_class = [a for a in others if labels[i % 6] == labels[a % 6] != -1 or a % 6 == i % 6]
        total -= sum(float(z[i] @ z[a]) / temperature - math.log(whole) for a in own_class) / len(own_class) / 12
    assert sup_con(z1, z2, torch.tensor(labels), temperature=temperature).item() == pytest.approx(total, rel=1e-5)


def test_sup_con_without_labels_is_simclr_and_knows_no_names_of_classes() -> None:
    z1, z2 = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 3
    taught = sup_con(z1, z2, labels, temperature=0.2)
    torch.testing.assert_close(sup_con(z1, z2, 7 - labels, temperature=0.2), taught)
    for unlabelled in (torch.full((8,), -1), torch.arange(8)):
        torch.testing.assert_close(sup_con(z1, z2, unlabelled, temperature=0.2), nt_xent(z1, z2, temperature=0.2))
    assert not torch.allclose(taught, nt_xent(z1, z2, temperature=0.2))


def test_sup_con_is_least_where_classes_are_apart() -> None:
    corners, labels = torch.eye(3), torch.tensor([0, 0, 1, 1, 2, 2])
    apart, mixed = corners[labels], corners[labels.roll(1)]
    least = sup_con(apart, apart, labels, temperature=0.1)
    assert least.item() == pytest.approx(math.log(3), rel=1e-2)  # three positives share the likelihood
    assert sup_con(mixed, mixed, labels, temperature=0.1) > least + 3


def test_sup_con_says_when_it_was_given_no_labels() -> None:
    with pytest.raises(AssertionError, match="was given no labels"):
        build(SupConConfig(name="supcon"))(batch(2)[0])


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double() / (a.double().norm() * b.double().norm()))


def cross_entropy(similarities: list[float], positive: int, temperature: float) -> float:
    scaled = [math.exp(s / temperature) for s in similarities]
    return -math.log(scaled[positive] / sum(scaled))


def test_moco_v2_tells_the_key_from_those_of_the_queue() -> None:
    query, key, queue = rows(5, 7), rows(5, 7, seed=1), rows(9, 7, seed=2)
    each = [
        cross_entropy([cosine(q, k), *[cosine(q, other) for other in queue]], 0, 0.3)
        for q, k in zip(query, key, strict=True)
    ]
    loss = moco_v2.info_nce(query, key, queue, temperature=0.3)
    assert loss.item() == pytest.approx(sum(each) / 5, rel=1e-5)


def test_moco_v2_compares_the_students_view_1_with_the_teachers_view_2_and_keeps_its_keys() -> None:
    objective = build(MoCoV2Config(name="moco_v2", queue=64))
    assert isinstance(objective, MoCoV2)
    assert objective.teacher
    halve_student(objective)
    views, before = batch(2)[0], objective.queue()
    copied = copy.deepcopy(objective)
    (query,), key = copied.embed(views[:1]), copied.targets(views[1:], [])[0]
    expected = moco_v2.info_nce(query, key, before, temperature=0.2)
    torch.testing.assert_close(objective(views)["info_nce"], expected)
    torch.testing.assert_close(objective.queue(), torch.cat([F.normalize(key, dim=1), before[:32]]))


def test_a_queue_has_the_newest_rows_first() -> None:
    queue = Queue(4, 2)
    torch.testing.assert_close(queue().norm(dim=1), torch.ones(4))
    first, second = 3 * torch.tensor([[1.0, 0.0]]).expand(2, 2), torch.tensor([[0.0, 1.0]])
    kept = queue()[:1]
    queue.push(first)
    queue.push(second)
    assert torch.equal(queue(), torch.cat([second, first / 3, kept]))
    queue.push(rows(9, 2))
    torch.testing.assert_close(queue(), F.normalize(rows(9, 2)[:4], dim=1))


@pytest.mark.parametrize("config", [MoCoV2Config(name="moco_v2", queue=64), NNCLRConfig(name="nnclr", queue=64)])
def test_only_pretraining_moves_the_queue(config: Any) -> None:
    objective = build(config)
    assert isinstance(objective, MoCoV2 | NNCLR)
    before, views = objective.queue(), batch(2)[0]
    objective.eval()(views)
    assert torch.equal(objective.queue(), before)
    objective.train()(views)
    assert torch.equal(objective.queue()[32:], before[:32])
    assert not torch.equal(objective.queue()[:32], before[:32])


@pytest.mark.parametrize("momentum", [MomentumConfig(), None])
def test_moco_v3_is_the_authors_loss_of_both_views(momentum: MomentumConfig | None) -> None:
    objective = build(MoCoV3Config(name="moco_v3", temperature=0.3, momentum=momentum)).eval()
    assert isinstance(objective, MoCoV3)
    views = batch(2, count=6)[0]
    with torch.no_grad():
        halve_student(objective)
        z = objective.embed(views)
        keys, predictions = objective.targets(views, z), [objective.predictor(each) for each in z]
        value = objective(views)["info_nce"].item()
    total = 0.0
    for q, k in ((predictions[0], keys[1]), (predictions[1], keys[0])):
        total += sum(cross_entropy([cosine(q[i], k[j]) for j in range(6)], i, 0.3) for i in range(6)) / 6
    assert value == pytest.approx(2 * 0.3 * total, rel=1e-4)


def test_moco_v3_is_least_where_predictions_are_the_keys() -> None:
    keys = torch.eye(4)
    exact = moco_v3.info_nce(5 * keys, keys, temperature=0.2)
    assert exact.item() == pytest.approx(math.log(1 + 3 * math.exp(-5)), rel=1e-4)
    assert moco_v3.info_nce(keys.roll(1, 0), keys, temperature=0.2) > exact + 4


@pytest.mark.parametrize("config", [MoCoV3Config(name="moco_v3"), NNCLRConfig(name="nnclr", queue=32)])
def test_views_that_change_places_give_the_same_loss(config: Any) -> None:
    objective, views = build(config).eval(), batch(2)[0]
    torch.testing.assert_close(objective(views)["info_nce"], objective(views[::-1])["info_nce"])


@pytest.mark.parametrize("momentum", [None, MomentumConfig()])
def test_nnclr_takes_neighbours_of_one_view_and_predictions_of_the_other(momentum: MomentumConfig | None) -> None:
    objective = build(NNCLRConfig(name="nnclr", queue=12, temperature=0.3, momentum=momentum)).eval()
    assert isinstance(objective, NNCLR)
    first, second = batch(2, count=6)[0]
    views = [first, View(second.images.flip(0))]
    with torch.no_grad():
        halve_student(objective)
        z = objective.embed(views)
        predictions, targets = [objective.predictor(each) for each in z], objective.targets(views, z)
        objective.queue.push(torch.cat(targets))  # so that each has a neighbour of its own
        value = objective(views)["info_nce"].item()
    queue, total = objective.queue(), 0.0
    for mine, predicted in ((targets[0], predictions[1]), (targets[1], predictions[0])):
        for i in range(6):
            neighbour = max(queue, key=lambda row, i=i, mine=mine: cosine(mine[i], row))
            total += cross_entropy([cosine(neighbour, predicted[j]) for j in range(6)], i, 0.3) / 6
    assert value == pytest.approx(total / 2, rel=1e-4)


def test_nnclr_finds_what_it_has_seen() -> None:
    queue = Queue(16, 8)
    queue.push(rows(5, 8))
    torch.testing.assert_close(nearest(7 * rows(5, 8), queue()), queue()[:5])


@pytest.mark.parametrize("config", [MoCoV2Config(name="moco_v2", queue=300), NNCLRConfig(name="nnclr", queue=300)])
def test_a_queue_of_parts_of_batches_is_refused(config: Any) -> None:
    check = OBJECTIVES[type(config)].check
    with pytest.raises(ValueError, match=r"queue is 300; it must hold whole batches of 256 images: take 256 or 512"):
        check(config, ResNetConfig(name="resnet10"), 32, 256)
    with pytest.raises(ValueError, match=r"queue is 300; .* 512 images: take 512$"):
        check(config, ResNetConfig(name="resnet10"), 32, 512)
    check(config, ResNetConfig(name="resnet10"), 32, 150)


@pytest.mark.parametrize("kind", [MoCoV2Config, MoCoV3Config, NNCLRConfig, DCLConfig, SupConConfig])
def test_settings_out_of_range_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"temperature is 0\.0; it must be above 0"):
        kind(name="any", temperature=0.0)
    if kind not in (MoCoV2Config, DCLConfig, SupConConfig):
        with pytest.raises(ValueError, match="predictor is 0; it is a hidden width, at least 1"):
            kind(name="any", predictor=0)
