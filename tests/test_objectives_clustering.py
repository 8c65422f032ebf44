"""Clustering objectives against their formulas, and by their properties."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_objective import SIZE, batch, build, halve_student
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig
from ssl_core.heads import MomentumConfig, Prototypes
from ssl_core.objectives import OBJECTIVES
from ssl_core.objectives.deepcluster_v2 import DeepClusterV2, DeepClusterV2Config, spherical_k_means
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.swav import SwAV, SwAVConfig, sinkhorn, swapped_prediction

DEEPCLUSTER = DeepClusterV2Config(name="deepcluster_v2", clusters=8, memory=64, every=3, momentum=None)
SWAV = SwAVConfig(name="swav", prototypes=8)


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def multi_crop() -> list[View]:
    """Two global views and three local ones, of images that do not belong together, so that no two give the same."""
    first, second = batch(2)[0]
    return [first, View(second.images.flip(0)), *[View(F.interpolate(view.images, SIZE // 2)) for view in batch(3)[0]]]


def test_prototypes_give_cosines() -> None:
    prototypes = Prototypes(5, 3)
    z = rows(4, 5)
    with torch.no_grad():
        prototypes.weight.mul_(torch.tensor([[0.1], [1.0], [9.0]]))
        scores = prototypes(7 * z)
        for i, row in enumerate(z):
            for j, weight in enumerate(prototypes.weight):
                assert scores[i, j].item() == pytest.approx(float(F.cosine_similarity(row, weight, dim=0)), abs=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(prototypes(z), scores)


def test_sinkhorn_scales_columns_and_rows_in_turn() -> None:
    scores, epsilon = rows(6, 4).clamp(-1, 1), 0.3
    n, k = scores.shape
    q = [[math.exp(float(scores[i, j]) / epsilon) for j in range(k)] for i in range(n)]
    for _ in range(3):
        columns = [sum(q[i][j] for i in range(n)) for j in range(k)]
        q = [[q[i][j] / columns[j] / k for j in range(k)] for i in range(n)]
        q = [[value / sum(row) / n for value in row] for row in q]
    expected = torch.tensor([[n * value for value in row] for row in q])
    torch.testing.assert_close(sinkhorn(scores, epsilon=epsilon, iterations=3), expected)


def test_sinkhorn_gives_every_prototype_the_same_share() -> None:
    q = sinkhorn(F.normalize(rows(12, 4), dim=1), epsilon=0.2, iterations=200)
    torch.testing.assert_close(q.sum(dim=1), torch.ones(12))
    torch.testing.assert_close(q.sum(dim=0), torch.full((4,), 3.0))
    assert q.std() > 0.1
    sharp = sinkhorn(rows(12, 4).clamp(-1, 1), epsilon=1e-3, iterations=3)  # exp(1 / epsilon) is infinite
    torch.testing.assert_close(sharp.sum(dim=1), torch.ones(12))


def test_each_global_views_code_is_predicted_by_all_other_views() -> None:
    codes, scores = rows(2, 5, 3).softmax(dim=2), rows(4, 5, 3, seed=1)
    total = 0.0
    for g in range(2):
        for v in range(4):
            if v != g:
                for n in range(5):
                    weights = [math.exp(float(s) / 0.3) for s in scores[v, n]]
                    p = [w / sum(weights) for w in weights]
                    total -= sum(float(codes[g, n, k]) * math.log(p[k]) for k in range(3)) / 5
    loss = swapped_prediction(codes, scores, temperature=0.3)
    assert loss.item() == pytest.approx(total / 6, rel=1e-5)


def test_a_code_is_not_predicted_by_its_own_view() -> None:
    codes = torch.eye(3)[None].expand(2, 3, 3)
    assert swapped_prediction(codes, 50 * codes, temperature=1.0).item() == pytest.approx(0)
    swapped = torch.stack([codes[0].roll(1, 0), codes[1]])
    assert swapped_prediction(swapped, 50 * swapped.flip(0), temperature=1.0).item() == pytest.approx(0)
    assert swapped_prediction(swapped, 50 * swapped, temperature=1.0).item() == pytest.approx(50)


@pytest.mark.parametrize("momentum", [None, MomentumConfig(start=0.5)])
def test_swav_swaps_codes_of_the_global_views(momentum: MomentumConfig | None) -> None:
    objective = build(SwAVConfig(name="swav", prototypes=8, momentum=momentum)).eval()
    assert isinstance(objective, SwAV)
    halve_student(objective)
    views = multi_crop()
    z = objective.embed(views)
    targets = objective.targets(views[:2], z[:2])
    codes = [sinkhorn(objective.prototypes(each), epsilon=0.05, iterations=3) for each in targets]
    losses = [
        -(codes[g] * (objective.prototypes(z[v]) / 0.1).log_softmax(dim=1)).sum(dim=1).mean()
        for g in range(2)
        for v in range(len(views))
        if v != g
    ]
    torch.testing.assert_close(objective(views)["swapped_prediction"], torch.stack(losses).mean())


def test_swavs_queues_take_part_in_the_codes_of_their_view_alone() -> None:
    objective = build(SwAVConfig(name="swav", prototypes=8, queue=64))
    assert isinstance(objective, SwAV)
    assert objective.queues
    z = rows(32, objective.embedding_size)
    before = [copy.deepcopy(queue)() for queue in objective.queues]
    codes = objective.codes(z, 1)
    scores = objective.prototypes(torch.cat([z, before[1]]))
    torch.testing.assert_close(codes, sinkhorn(scores, epsilon=0.05, iterations=3)[:32])
    assert not torch.allclose(codes, sinkhorn(objective.prototypes(z), epsilon=0.05, iterations=3))
    after = [queue() for queue in objective.queues]
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], torch.cat([F.normalize(z, dim=1), before[1][:32]]))
    objective.eval().codes(rows(32, objective.embedding_size, seed=1), 1)
    assert torch.equal(objective.queues[1](), after[1])


def test_no_gradient_reaches_swavs_targets() -> None:
    objective = build(SWAV)
    assert isinstance(objective, JointEmbedding)
    z = [rows(32, objective.embedding_size, seed=i).requires_grad_() for i in range(2)]
    objective.embed = lambda views: z
    targets = [each.detach() for each in z]
    objective.targets = lambda views, z: targets
    (detached,) = objective(batch(2)[0]).values()
    expected = torch.autograd.grad(detached, z)
    del objective.targets
    (loss,) = objective.eval()(batch(2)[0]).values()
    torch.testing.assert_close(torch.autograd.grad(loss, z), expected)


def test_each_global_view_has_a_queue_of_its_own() -> None:
    objective = build(SwAVConfig(name="swav", prototypes=8, queue=64))
    assert isinstance(objective, SwAV)
    assert objective.queues
    views, _ = batch(2)
    objective(views)
    for queue, z in zip(objective.queues, objective.embed(views), strict=True):
        torch.testing.assert_close(queue()[:32], F.normalize(z, dim=1))


def test_k_means_takes_turns_of_nearest_and_mean() -> None:
    z, centroids = F.normalize(rows(20, 3), dim=1), F.normalize(rows(4, 3, seed=1), dim=1)
    expected = [row.double() for row in centroids]
    for _ in range(3):
        members: list[list[Tensor]] = [[] for _ in expected]
        for row in z.double():
            members[max(range(4), key=lambda k, row=row: float(row @ expected[k]))].append(row)
        means = [torch.stack(each).mean(dim=0) if each else None for each in members]
        expected = [old if new is None else new / new.norm() for old, new in zip(expected, means, strict=True)]
    found = spherical_k_means(z, centroids, iterations=3)
    torch.testing.assert_close(found, torch.stack(expected).float())


def test_k_means_finds_clusters_and_leaves_an_empty_one() -> None:
    directions = torch.eye(6)[:3]
    z = F.normalize(directions.repeat(10, 1) + 0.05 * rows(30, 6), dim=1)
    first = torch.cat([z[:3], -torch.ones(1, 6) / math.sqrt(6)])
    found = spherical_k_means(z, first, iterations=10)
    assert (found[:3] * directions).sum(dim=1).min() > 0.99
    assert torch.equal(found[3], first[3])


@torch.no_grad()
@pytest.mark.parametrize("momentum", [None, MomentumConfig()])
def test_deepclusters_label_is_the_cluster_of_the_other_view(momentum: MomentumConfig | None) -> None:
    objective = build(replace(DEEPCLUSTER, momentum=momentum)).eval()
    assert isinstance(objective, DeepClusterV2)
    halve_student(objective)
    views = multi_crop()
    z = objective.embed(views)
    targets = objective.targets(views[:2], z[:2])
    objective.cluster(F.normalize(torch.cat([*z[:2], *targets]), dim=1), seed=0)
    similar = [F.normalize(each, dim=1) @ objective.centroids.T for each in z]
    labels = [(F.normalize(each, dim=1) @ objective.centroids.T).argmax(dim=1) for each in targets]
    assert not torch.equal(*labels)
    assert torch.equal(labels[0], similar[0].argmax(dim=1)) == (momentum is None)
    losses = [F.cross_entropy(similar[v] / 0.1, labels[g]) for g in range(2) for v in range(len(views)) if v != g]
    torch.testing.assert_close(objective(views)["cluster"], torch.stack(losses).mean())


def test_deepcluster_clusters_while_the_memory_fills_and_every_so_many_steps() -> None:
    objective = build(DEEPCLUSTER)
    assert isinstance(objective, DeepClusterV2)
    moved, sizes = [], []
    cluster = objective.cluster
    objective.cluster = lambda rows, seed: (sizes.append(len(rows)), cluster(rows, seed))[1]
    for step in range(9):
        before = objective.centroids.clone()
        objective(batch(2)[0])
        assert torch.equal(objective.centroids, before)
        objective.after_step((step + 1) / 9)
        moved.append(not torch.equal(objective.centroids, before))
    assert moved == [True, True, True, False, False, True, False, False, True]
    assert sizes == [32, 64, 64, 64, 64]


def test_deepclusters_centroids_are_those_of_the_memory_the_same_from_the_same_step() -> None:
    objective = build(DEEPCLUSTER)
    assert isinstance(objective, DeepClusterV2)
    for each in range(8):
        objective.memory.push(torch.eye(objective.embedding_size)[each].expand(8, -1))
    objective.cluster(objective.memory(), seed=1)
    first = objective.centroids.clone()
    torch.manual_seed(5)
    objective.cluster(objective.memory(), seed=1)
    assert torch.equal(objective.centroids, first)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(8))
    assert first[:, 8:].count_nonzero() == 0
    objective.cluster(objective.memory()[:3], seed=2)  # fewer embeddings than clusters
    assert objective.centroids.isfinite().all()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (SwAVConfig(name="swav", prototypes=300), r"prototypes is 300; .*take at most 256, or queue at least 256$"),
        (SwAVConfig(name="swav", prototypes=800, queue=256), r"800; .* 256 of the queue .* at most 512, .* least 768$"),
        (SwAVConfig(name="swav", queue=300), r"queue is 300; it must hold whole batches of 256 .*take 256 or 512"),
        (
            DeepClusterV2Config(name="deepcluster_v2", memory=1000),
            r"memory is 1000; it must hold whole batches of 256 images: take 768 or 1024",
        ),
    ],
)
def test_what_a_batch_cannot_give_is_refused(config: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        OBJECTIVES[type(config)].check(config, ResNetConfig(name="resnet10"), 32, 256)


def test_what_the_refusals_name_is_possible() -> None:
    for config in (
        SwAVConfig(name="swav", prototypes=256),
        SwAVConfig(name="swav", prototypes=300, queue=256),
        SwAVConfig(name="swav", prototypes=800, queue=768),
        SwAVConfig(name="swav"),
        DeepClusterV2Config(name="deepcluster_v2"),
    ):
        OBJECTIVES[type(config)].check(config, ResNetConfig(name="resnet10"), 32, 256)


@pytest.mark.parametrize(
    ("kind", "wrong", "sentence"),
    [
        (SwAVConfig, {"temperature": 0.0}, r"temperature is 0\.0, epsilon 0\.05; both must be above 0"),
        (SwAVConfig, {"epsilon": 0.0}, "both must be above 0"),
        (SwAVConfig, {"prototypes": 1}, "prototypes is 1; at least 2 is needed"),
        (SwAVConfig, {"queue": -1}, "queue is -1; at least 0 is needed"),
        (DeepClusterV2Config, {"temperature": 0.0}, "temperature is 0.0; it must be above 0"),
        (DeepClusterV2Config, {"clusters": 1}, "clusters is 1; at least 2 is needed"),
        (DeepClusterV2Config, {"every": 0}, "every is 0; at least 1 is needed"),
        (DeepClusterV2Config, {"clusters": 600, "memory": 512}, "clusters is 600; the memory has 512 embeddings"),
    ],
)
def test_settings_out_of_range_are_refused(kind: Any, wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(name="any", **wrong)
