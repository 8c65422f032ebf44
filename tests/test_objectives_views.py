"""Which views are compared: one rule for all joint-embedding objectives, and what two views give."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from every_objective import EVERY, SIZE, batch, build
from torch import Tensor, nn

from ssl_core.augmentation import View
from ssl_core.backbones import ViTConfig
from ssl_core.objectives import OBJECTIVES, Objective
from ssl_core.objectives.barlow_twins import terms as barlow_terms
from ssl_core.objectives.byol import distance
from ssl_core.objectives.joint_embedding import JointEmbedding, count_global, directions
from ssl_core.objectives.lejepa import prediction
from ssl_core.objectives.moco_v2 import MoCoV2, info_nce
from ssl_core.objectives.moco_v3 import info_nce as in_batch
from ssl_core.objectives.nnclr import nearest
from ssl_core.objectives.simclr import nt_xent
from ssl_core.objectives.simsiam import negative_cosine
from ssl_core.objectives.vicreg import terms as vicreg_terms
from ssl_core.objectives.w_mse import normalised_mse, whiten

EACH_PAIR_ONCE = ["simclr", "dcl", "dcl, weighted", "supcon", "vicreg", "barlow_twins", "w_mse"]
EACH_VIEW_WITH_EACH_TARGET = [
    "simclr, momentum encoder", "moco_v3", "moco_v3, no momentum encoder", "nnclr", "nnclr, momentum encoder",
    "vicreg, momentum encoder", "barlow_twins, momentum encoder", "w_mse, plain", "byol", "byol, no momentum encoder",
    "nnbyol", "dino", "deepcluster_v2", "deepcluster_v2, no momentum encoder",
]  # fmt: skip

KIND: dict[Any, type[Objective]] = dict(OBJECTIVES)
COMPARED = [name for name, config in EVERY.items() if issubclass(KIND[type(config)], JointEmbedding)]


def different(count: int) -> list[View]:
    """Global views that do not belong together, so that no two pairs give the same."""
    return [View(view.images.roll(i, 0)) for i, view in enumerate(batch(count)[0])]


def local(view: View) -> View:
    return View(F.interpolate(view.images, SIZE // 2))


def made(name: str, **settings: Any) -> JointEmbedding:
    objective = build(EVERY[name], **settings)
    assert isinstance(objective, JointEmbedding)
    with torch.no_grad():
        for p in objective.backbone.parameters():
            p.mul_(0.9)  # no longer its teacher's
    return objective


@torch.no_grad()
def value(objective: JointEmbedding, *views: View) -> Tensor:
    """In evaluation mode, in which what a view gives does not depend on the other views beside it."""
    return torch.stack(list(objective.eval()(list(views), batch(1)[1]).values())).sum()


def test_each_view_is_compared_with_each_global_view_but_itself() -> None:
    first, second, third = different(3)
    assert directions([first, second]) == [(0, 1), (1, 0)]
    assert directions([first, second, third]) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    views = [first, second, local(first), local(third)]
    assert count_global(views) == 2
    assert directions(views) == [(0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]


@pytest.mark.parametrize("name", [*EACH_PAIR_ONCE, *EACH_VIEW_WITH_EACH_TARGET])
def test_the_loss_of_three_views_is_the_mean_over_their_pairs(name: str) -> None:
    objective, (a, b, c) = made(name), different(3)
    pairs = [value(objective, *pair) for pair in ((a, b), (a, c), (b, c))]
    assert len({round(float(pair), 4) for pair in pairs}) == 3
    torch.testing.assert_close(value(objective, a, b, c), torch.stack(pairs).mean())


@pytest.mark.parametrize("name", [*EACH_PAIR_ONCE, *EACH_VIEW_WITH_EACH_TARGET])
def test_local_views_are_compared_with_global_ones_and_not_with_each_other(name: str) -> None:
    objective, (a, b, c, d) = made(name), different(4)
    small = [local(c), local(d)]
    between = value(objective, a, b)
    others = [value(objective, view, one) for view in (a, b) for one in small]
    both = [between] if name in EACH_PAIR_ONCE else [between, between]
    torch.testing.assert_close(value(objective, a, b, *small), torch.stack([*both, *others]).mean())


def two_views(name: str, objective: Any, z: list[Tensor], targets: list[Tensor]) -> Tensor:
    """The loss of two views in the form that its paper has."""
    (z1, z2), (t1, t2) = z, targets
    q1, q2 = objective.predictor(torch.cat(z)).chunk(2) if hasattr(objective, "predictor") else z
    match name:
        case "simclr":
            return nt_xent(z1, z2, temperature=0.2)
        case "simclr, momentum encoder":
            return torch.stack([nt_xent(z1, t2, temperature=0.2), nt_xent(z2, t1, temperature=0.2)]).mean()
        case "vicreg":
            agree, vary, decorrelate = vicreg_terms(z1, z2)
            return torch.stack([25 * agree, 25 * vary, decorrelate]).sum()
        case "barlow_twins":
            agree, decorrelate = barlow_terms(z1, z2)
            return torch.stack([0.1 * agree, 0.1 * 0.0051 * decorrelate]).sum()
        case "w_mse":
            return normalised_mse(whiten(z1, size=16), whiten(z2, size=16))
        case "byol":
            return distance(q1, t2) + distance(q2, t1)
        case "simsiam":
            return negative_cosine(q1, t2) / 2 + negative_cosine(q2, t1) / 2
        case "moco_v3":
            return 2 * 0.2 * (in_batch(q1, t2, temperature=0.2) + in_batch(q2, t1, temperature=0.2))
    n1, n2 = nearest(t1, objective.queue()), nearest(t2, objective.queue())
    return (in_batch(n1, q2, temperature=0.1) + in_batch(n2, q1, temperature=0.1)) / 2


@pytest.mark.parametrize(
    "name",
    ["simclr", "simclr, momentum encoder", "vicreg", "barlow_twins", "w_mse", "byol", "simsiam", "moco_v3", "nnclr"],
)
def test_two_views_give_the_papers_loss_and_its_gradients_bit_for_bit(name: str) -> None:
    objective, views = made(name), batch(2)[0]
    parameters = [p for p in objective.parameters() if p.requires_grad]
    z = objective.embed(views)
    expected = two_views(name, objective, z, objective.targets(views, z))
    gradients = torch.autograd.grad(expected, parameters)
    ours = torch.stack(list(objective(views).values())).sum()
    assert torch.equal(ours, expected)
    for mine, theirs in zip(torch.autograd.grad(ours, parameters), gradients, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", COMPARED)
def test_a_view_passes_the_networks_once_however_many_pairs_it_is_in(name: str) -> None:
    objective, (a, b, c, d) = made(name), different(4)
    seen = {"student": 0, "teacher": 0}

    def count(whose: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[whose] += len(inputs[0])

        return hook

    objective.backbone.register_forward_hook(count("student"))
    if objective.teacher:
        objective.teacher.networks[0].register_forward_hook(count("teacher"))
    objective([a, b, c, local(d)], batch(1)[1])
    masked_without_teacher = name == "msn, no momentum encoder"  # of three views with and without hidden patches
    assert 0 < seen["student"] <= (7 if masked_without_teacher else 4) * 32
    assert seen["teacher"] <= 3 * 32


def test_a_view_is_embedded_by_itself_whatever_is_beside_it() -> None:
    """Views of other sizes, and with other patches hidden, pass a transformer together and apart alike."""
    objective = made("simclr", backbone=ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)).eval()
    a, b, c, d = different(4)
    visible = torch.rand(len(a.images), 16, generator=torch.Generator().manual_seed(2)).argsort(dim=1)[:, :4]
    views = [a, View(b.images, visible), c, local(d), View(local(a).images, visible[:, :1] % 4)]
    together = objective.embed(views)
    for view, z in zip(views, together, strict=True):
        torch.testing.assert_close(objective.embed([view])[0], z)
    assert not torch.allclose(together[1], objective.embed([b])[0])


def test_view_2_alone_makes_moco_v2s_keys() -> None:
    objective, (a, b, c, d) = made("moco_v2"), different(4)
    assert isinstance(objective, MoCoV2)
    objective.eval()
    views = [a, b, c, local(d)]
    (key,), queue = objective.targets([b], []), objective.queue()
    queries = [objective.embed([view])[0] for view in (a, c, views[3])]
    losses = [info_nce(query, key, queue, temperature=0.2) for query in queries]
    torch.testing.assert_close(objective(views)["info_nce"], torch.stack(losses).mean())


def test_lejepas_centre_is_that_of_all_global_views() -> None:
    objective, (a, b, c, d) = made("lejepa").eval(), different(4)
    views = [a, b, c, local(d)]
    z = torch.stack(objective.embed(views), dim=1)
    torch.testing.assert_close(objective(views)["prediction"], 0.98 * prediction(z, z[:, :3]))
    assert not torch.allclose(prediction(z, z[:, :3]), prediction(z, z[:, :2]))


@torch.no_grad()
def test_simsiam_with_more_than_two_views_is_fast_siam() -> None:
    """Each view's prediction with the mean of the other global views' embeddings, written out."""
    objective, (a, b, c, d) = made("simsiam").eval(), different(4)
    views = [a, b, c, local(d)]
    z = [each.double() for each in objective.embed(views)]
    predictor: Any = objective.get_submodule("predictor")
    total = 0.0
    for view in range(4):
        p = predictor(z[view].float()).double()
        others = [z[target] for target in range(3) if target != view]
        for n in range(32):
            target = torch.stack([other[n] for other in others]).sum(dim=0) / len(others)
            total -= float(p[n] @ target / (p[n].norm() * target.norm())) / (4 * 32)
    assert objective(views)["similarity"].item() == pytest.approx(total, rel=1e-4)


def test_swavs_first_two_views_alone_have_codes() -> None:
    objective, (a, b, c) = made("swav, queue"), different(3)
    queues: Any = objective.get_submodule("queues")
    assert len(queues) == 2
    objective([a, b, c])
    z = objective.embed([a, b, c])
    for queue, each in zip(queues, z, strict=False):
        torch.testing.assert_close(queue()[:32], F.normalize(each, dim=1))
