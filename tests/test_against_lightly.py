"""Losses against lightly's, where it is installed: in the environment of `make bench`, which runs this first.

Where the two normalise differently, the factor stands in the test.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_core.heads import Prototypes
from ssl_core.objectives import (
    barlow_twins,
    byol,
    dcl,
    dino,
    ibot,
    lejepa,
    moco_v2,
    msn,
    simsiam,
    swav,
    vicreg,
    visreg,
    w_mse,
)
from ssl_core.objectives.simclr import nt_xent

loss: Any = pytest.importorskip("lightly.loss")


def embeddings(*shape: int, seed: int = 0) -> Tensor:
    """Correlated ones, of unequal scales."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(*shape, generator=generator)
    return z @ torch.randn(shape[-1], shape[-1], generator=generator) / shape[-1] ** 0.5


def same(ours: Tensor, theirs: Tensor) -> None:
    """Equal to what float32 leaves."""
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_simclr() -> None:
    z1, z2 = embeddings(2, 16, 8)
    same(nt_xent(z1, z2, temperature=0.2), loss.NTXentLoss(temperature=0.2)(z1, z2))


def test_dcl() -> None:
    z1, z2 = embeddings(2, 16, 8)
    same(dcl.decoupled(z1, z2, temperature=0.2, sigma=math.inf), loss.DCLLoss(temperature=0.2)(z1, z2))


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")  # theirs
def test_dclw() -> None:
    """Theirs weighs by embeddings that it has scaled to length 1."""
    z1, z2 = embeddings(2, 16, 8)
    same(dcl.decoupled(z1, z2, temperature=0.2, sigma=0.5), loss.DCLWLoss(temperature=0.2, sigma=0.5)(z1, z2))


def test_moco_v2() -> None:
    query, key = embeddings(2, 8, 6)
    queue = torch.nn.functional.normalize(embeddings(16, 6, seed=1), dim=1)
    theirs = loss.NTXentLoss(temperature=0.2, memory_bank_size=(16, 6))
    theirs.memory_bank.bank = queue.clone()
    theirs.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
    same(moco_v2.info_nce(query, key, queue, temperature=0.2), theirs(query, key))


def test_vicreg() -> None:
    z1, z2 = embeddings(2, 16, 8)
    ours = (vicreg.terms(z1, z2) * torch.tensor([25.0, 25.0, 1.0])).sum()
    same(ours, loss.VICRegLoss()(z1, z2))


def test_barlow_twins() -> None:
    z1, z2 = embeddings(2, 16, 8)
    invariance, redundancy = barlow_twins.terms(z1, z2)
    theirs = loss.BarlowTwinsLoss(lambda_param=0.0051)(z1, z2)
    same(invariance + 0.0051 * redundancy, theirs)


def test_w_mse() -> None:
    z1, z2 = embeddings(2, 32, 4)
    ours = w_mse.normalised_mse(w_mse.whiten(z1, size=32), w_mse.whiten(z2, size=32))
    theirs = loss.WMSELoss(embedding_dim=4, w_size=32, track_running_stats=False)(torch.cat([z1, z2]))
    same(ours, theirs)


def test_lejepa(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, local, directions = embeddings(2, 16, 8), embeddings(3, 16, 8, seed=1), torch.randn(8, 32)
    theirs = loss.LeJEPALoss(lambda_param=0.05)
    unit = torch.nn.functional.normalize(directions, dim=0)
    monkeypatch.setattr(theirs.sigreg, "_generate_unit_vectors", lambda *_: unit)
    z = torch.cat([whole, local]).transpose(0, 1)
    ours = 0.95 * lejepa.prediction(z, whole.transpose(0, 1)) + 0.05 * lejepa.sigreg(z, directions)
    same(ours, theirs(local_proj=local, global_proj=whole))


def test_visreg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs adds 1e-4 to the deviation, which ours has as a lower limit of 1e-6."""
    whole, local, directions = embeddings(2, 16, 8), embeddings(3, 16, 8, seed=1), torch.randn(8, 32)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: directions)
    theirs = loss.VISRegLoss(lambda_param=0.6, num_slices=32, eps=1e-12)(local_proj=local, global_proj=whole)
    z = torch.cat([whole, local]).transpose(0, 1)
    regularisation = visreg.centre(z) + visreg.scale(z) + visreg.shape(z, directions)
    same(0.4 * lejepa.prediction(z, whole.transpose(0, 1)) + 0.6 * regularisation, theirs)


def test_byol_and_simsiam() -> None:
    q1, q2, t1, t2 = embeddings(4, 16, 8)
    theirs = loss.NegativeCosineSimilarity()
    same(simsiam.negative_cosine(q1, t2), theirs(q1, t2))
    ours = byol.distance(q1, t2) + byol.distance(q2, t1)
    same(ours, 4 + 2 * (theirs(q1, t2) + theirs(q2, t1)))


def test_dino() -> None:
    teacher, student, centre = embeddings(2, 16, 8), embeddings(4, 16, 8, seed=1), embeddings(1, 8, seed=2)[0]
    theirs = loss.DINOLoss(output_dim=8)
    theirs.center = centre.view(1, 1, -1).clone()
    losses = [
        dino.cross_entropy(student[j], dino.sharpened(target, centre, torch.tensor(0.05)), temperature=0.1)
        for i, target in enumerate(teacher)
        for j in range(4)
        if i != j
    ]
    expected = theirs(list(teacher), list(student), teacher_temp=0.05)
    same(torch.stack(losses).mean(), expected)


@pytest.mark.parametrize("queued", [0, 8])
def test_swav(queued: int) -> None:
    whole, local = embeddings(2, 16, 8) / 4, embeddings(2, 16, 8, seed=1) / 4
    queues = embeddings(2, queued, 8, seed=2) / 4 if queued else None
    scores = whole if queues is None else torch.cat([whole, queues], dim=1)
    codes = torch.stack([swav.sinkhorn(each, epsilon=0.05, iterations=3)[:16] for each in scores])
    ours = swav.swapped_prediction(codes, torch.cat([whole, local]), temperature=0.1)
    theirs = loss.SwaVLoss()(list(whole), list(local), None if queues is None else list(queues))
    same(ours, theirs.squeeze())


@pytest.mark.parametrize("iterations", [0, 3])
def test_msn(iterations: int) -> None:
    anchors, targets, prototypes = embeddings(16, 8), embeddings(16, 8, seed=1), Prototypes(8, 4)
    similarity = prototypes(anchors)
    target = swav.sinkhorn((prototypes(targets) / 0.025).log_softmax(dim=1), epsilon=1.0, iterations=iterations)
    shortfall = msn.entropy_shortfall(similarity, temperature=0.1)
    ours = msn.cross_entropy(similarity, target, temperature=0.1) + shortfall
    theirs = loss.MSNLoss(temperature=0.1, sinkhorn_iterations=iterations)(anchors, targets, prototypes.weight)
    same(ours, theirs)


def test_ibot() -> None:
    student, teacher, centre = embeddings(2, 6, 8)[0], embeddings(6, 8, seed=1), embeddings(1, 8, seed=2)[0]
    theirs = loss.IBOTPatchLoss(output_dim=8)
    theirs.center.value.copy_(centre.view_as(theirs.center.value))
    hidden = torch.zeros(4, 2, 2, dtype=torch.bool)
    hidden[:2, :1, :] = hidden[:2, 1, :1] = True  # 3 patches of half of the images
    target = dino.sharpened(teacher, centre, torch.tensor(0.04))
    same(dino.cross_entropy(student, target, temperature=0.1) / 2, theirs(teacher, student, hidden))


def test_koleo() -> None:
    h = embeddings(16, 8)
    same(ibot.koleo(h), loss.KoLeoLoss()(h))
