"""Regularised objectives against their formulas, and by their properties."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from every_objective import batch, build, halve_student
from torch import Tensor

from ssl_core.augmentation import View
from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.heads import MomentumConfig, ProjectorConfig
from ssl_core.objectives import barlow_twins, visreg, w_mse
from ssl_core.objectives.barlow_twins import BarlowTwinsConfig
from ssl_core.objectives.joint_embedding import JointEmbedding
from ssl_core.objectives.lejepa import LeJEPAConfig, prediction, sigreg
from ssl_core.objectives.vicreg import VICRegConfig, covariance, terms, variance
from ssl_core.objectives.visreg import VISRegConfig
from ssl_core.objectives.w_mse import WMSE, WMSEConfig, whiten


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def halved_student(objective: object) -> JointEmbedding:
    """In evaluation mode, its student no longer its teacher."""
    assert isinstance(objective, JointEmbedding)
    assert objective.teacher
    halve_student(objective)
    return objective.eval()


def test_vicreg_terms_are_the_papers_equations() -> None:
    z = torch.randn(9, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 1.0, 2.0])
    n, d = z.shape
    columns = [[float(z[i, j]) for i in range(n)] for j in range(d)]
    means = [sum(column) / n for column in columns]
    cov = [
        [sum((columns[a][i] - means[a]) * (columns[b][i] - means[b]) for i in range(n)) / (n - 1) for b in range(d)]
        for a in range(d)
    ]
    hinge = sum(max(0.0, 1 - math.sqrt(cov[j][j] + 1e-4)) for j in range(d)) / d
    off_diagonal = sum(cov[a][b] ** 2 for a in range(d) for b in range(d) if a != b) / d
    assert variance(z).item() == pytest.approx(hinge, rel=1e-4)
    assert covariance(z).item() == pytest.approx(off_diagonal, rel=1e-4)


def test_vicreg_halves_the_variance_of_two_views_and_not_their_covariance() -> None:
    z1, z2 = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 2.0])[:, None, None]
    agree = sum(float(a - b) ** 2 for a, b in zip(z1.flatten(), z2.flatten(), strict=True)) / 36
    expected = [agree, float(variance(z1) + variance(z2)) / 2, float(covariance(z1) + covariance(z2))]
    assert terms(z1, z2).tolist() == pytest.approx(expected, rel=1e-5)


def test_vicreg_weighs_its_terms_as_configured() -> None:
    views, _ = batch(2)
    plain = build(VICRegConfig(name="vicreg", invariance=1, variance=1, covariance=1))(views)
    weighted = build(VICRegConfig(name="vicreg"))(views)
    for name, weight in (("invariance", 25), ("variance", 25), ("covariance", 1)):
        torch.testing.assert_close(weighted[name], weight * plain[name])


def test_vicreg_with_a_momentum_encoder_is_the_mean_over_both_pairs() -> None:
    config = VICRegConfig(name="vicreg", invariance=1, variance=1, covariance=1, momentum=MomentumConfig())
    objective, (views, _) = halved_student(build(config)), batch(2)
    z = s1, s2 = objective.embed(views)
    t1, t2 = objective.targets(views, z)
    assert not torch.allclose(s1, t1)
    expected = (terms(s1, t2) + terms(s2, t1)) / 2
    torch.testing.assert_close(torch.stack(list(objective(views).values())), expected)


@pytest.mark.parametrize("name", ["invariance", "variance", "covariance"])
def test_vicreg_refuses_weights_below_0(name: str) -> None:
    wrong: Any = {name: -1.0}
    with pytest.raises(ValueError, match=f"{name} is -1.0; it must be 0 or more"):
        VICRegConfig(name="vicreg", **wrong)


def test_vicreg_sees_a_collapsed_embedding() -> None:
    assert variance(torch.ones(8, 4)).item() == pytest.approx(1 - 0.01)
    assert covariance(torch.ones(8, 4)).item() == 0


def test_barlow_twins_terms_are_the_papers_equations() -> None:
    z1, z2 = normal(2, 40, 5).double() * torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0]) + 1
    z2 = z2 + z1
    correlation = np.corrcoef(z1.numpy().T, z2.numpy().T)[:5, 5:]
    on = sum((1 - correlation[i, i]) ** 2 for i in range(5))
    off = sum(correlation[i, j] ** 2 for i in range(5) for j in range(5) if i != j)
    assert barlow_twins.terms(z1, z2).tolist() == pytest.approx([on, off], rel=1e-3)


def test_barlow_twins_knows_neither_scale_nor_offset_and_is_symmetric() -> None:
    z1, z2 = normal(2, 16, 5)
    expected = barlow_twins.terms(z1, z2)
    torch.testing.assert_close(barlow_twins.terms(z2, z1), expected)
    torch.testing.assert_close(barlow_twins.terms(3 * z1 + 1, 2 * z2 - 5), expected, rtol=1e-4, atol=1e-4)
    orthogonal = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    torch.testing.assert_close(barlow_twins.terms(orthogonal, orthogonal), torch.zeros(2), rtol=0, atol=1e-6)
    collapsed = orthogonal[:, :1].expand(-1, 2)
    torch.testing.assert_close(barlow_twins.terms(collapsed, collapsed), torch.tensor([0.0, 2.0]), rtol=0, atol=1e-4)


def test_barlow_twins_weighs_its_terms_as_configured() -> None:
    views, _ = batch(2)
    plain = build(BarlowTwinsConfig(name="barlow_twins", scale=1, redundancy=1))(views)
    weighted = build(BarlowTwinsConfig(name="barlow_twins"))(views)
    torch.testing.assert_close(weighted["invariance"], 0.1 * plain["invariance"])
    torch.testing.assert_close(weighted["redundancy"], 0.1 * 0.0051 * plain["redundancy"])


def test_barlow_twins_with_a_momentum_encoder_is_the_mean_over_both_pairs() -> None:
    config = BarlowTwinsConfig(name="barlow_twins", scale=1, redundancy=1, momentum=MomentumConfig())
    objective, (views, _) = halved_student(build(config)), batch(2)
    z = s1, s2 = objective.embed(views)
    t1, t2 = objective.targets(views, z)
    expected = (barlow_twins.terms(s1, t2) + barlow_twins.terms(s2, t1)) / 2
    assert not torch.allclose(s1, t1)
    torch.testing.assert_close(torch.stack(list(objective(views).values())), expected)


def test_barlow_twins_refuses_weights_below_0() -> None:
    with pytest.raises(ValueError, match=r"redundancy is -1.0; it must be 0 or more"):
        BarlowTwinsConfig(name="barlow_twins", redundancy=-1.0)
    with pytest.raises(ValueError, match=r"scale is 0.0; it must be above 0"):
        BarlowTwinsConfig(name="barlow_twins", scale=0.0)


def test_whitened_embeddings_are_the_inverse_cholesky_factor_times_the_centred_ones() -> None:
    v = (normal(24, 4) @ normal(4, 4, seed=1) + 3).double()
    whitened = whiten(v, size=12)
    for first in (0, 12):
        part = v[first : first + 12].float().double().numpy()
        cov = (1 - w_mse.EPSILON) * np.cov(part.T) + w_mse.EPSILON * np.trace(np.cov(part.T)) / 4 * np.eye(4)
        expected = (np.linalg.inv(np.linalg.cholesky(cov)) @ (part - part.mean(axis=0)).T).T
        np.testing.assert_allclose(whitened[first : first + 12].numpy(), expected, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(np.cov(whitened[first : first + 12].numpy().T), np.eye(4), atol=1e-3)


def test_whitening_undoes_scale_and_offset_and_survives_a_constant_dimension() -> None:
    v = normal(16, 3)
    v *= torch.tensor([1.0, 0.1, 1e-3])
    for scale in (5.0, 1e-3):
        torch.testing.assert_close(whiten(scale * v - 2 * scale, size=16), whiten(v, size=16), rtol=1e-3, atol=1e-4)
    v[:, 1] = 2.0
    assert whiten(v, size=16).isfinite().all()
    same = torch.ones(16, 3, requires_grad=True)
    whiten(same, size=16).sum().backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("normalised", [True, False])
def test_w_mse_is_the_distance_of_whitened_views(normalised: bool) -> None:
    projector = ProjectorConfig(width=32, output=6)
    objective = build(WMSEConfig(name="w_mse", whitening_size=16, normalised=normalised, projector=projector)).eval()
    assert isinstance(objective, WMSE)
    views, _ = batch(2)
    total = 0.0
    z1, z2 = objective.embed(views)
    for first in (0, 16):
        w1, w2 = (whiten(z[first : first + 16], size=16) for z in (z1, z2))
        for a, b in zip(w1, w2, strict=True):
            if normalised:
                total += float((a / a.norm() - b / b.norm()).square().sum()) / 32
            else:
                total += float((a - b).square().mean()) / 32
    assert objective(views)["whitened_mse"].item() == pytest.approx(total, rel=1e-4)


def test_whitening_has_the_gradient_of_the_factor_too() -> None:
    v = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)).double()
    centred = v.double() - v.double().mean(dim=0)
    inverse = torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / 7))
    (expected,) = torch.autograd.grad(((centred @ inverse.T) * weights).sum(), v)
    (ours,) = torch.autograd.grad((whiten(v, size=8) * weights).sum(), v)
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_w_mse_of_one_view_twice_is_0_and_of_unrelated_ones_2() -> None:
    z, other = normal(4096, 4), normal(4096, 4, seed=1)
    w = whiten(z, size=128)
    assert w_mse.normalised_mse(w, w).item() == pytest.approx(0, abs=1e-6)
    assert w_mse.normalised_mse(w, whiten(other, size=128)).item() == pytest.approx(2, abs=0.1)
    assert w_mse.mse(w, whiten(other, size=128)).item() == pytest.approx(2, abs=0.1)


def test_w_mse_refuses_what_a_whitened_batch_cannot_carry() -> None:
    resnet, wide = ResNetConfig(name="resnet10", width=8), ProjectorConfig(output=128)
    config = WMSEConfig(name="w_mse")
    WMSE.check(config, resnet, 32, 256)
    with pytest.raises(ValueError, match=r"whitening_size is 128; it must divide the 200 images of a batch: take 200"):
        WMSE.check(config, resnet, 32, 200)
    with pytest.raises(ValueError, match=r"projector.output is 128; whitening_size 128 carries 127 .* half of it, 64"):
        WMSE.check(WMSEConfig(name="w_mse", projector=wide), resnet, 32, 256)
    WMSE.check(WMSEConfig(name="w_mse", projector=wide, whitening_size=256), resnet, 32, 256)
    bare = WMSEConfig(name="w_mse", projector=None)
    WMSE.check(bare, resnet, 32, 256)
    for backbone in (ResNetConfig(name="resnet50", width=8), ViTConfig(name="vit", width=192)):
        with pytest.raises(ValueError, match="the representation without a projector is"):
            WMSE.check(bare, backbone, 32, 256)
    with pytest.raises(ValueError, match="whitening_size is 1; at least 2"):
        WMSEConfig(name="w_mse", whitening_size=1)


def test_sigreg_is_the_papers_integral() -> None:
    """Algorithm 1, with complex numbers, over both halves of the line."""
    z, directions = normal(20, 2, 3).double() * 1.5 + 0.3, normal(3, 4, seed=1).double()
    t, total = torch.linspace(-3, 3, 33).double(), 0.0
    for view in range(2):
        for direction in (directions / directions.norm(dim=0)).T:
            projected = z[:, view] @ direction
            ours = torch.exp(1j * projected[:, None] * t).mean(dim=0)
            theirs = torch.exp(-t.square() / 2)
            total += float(torch.trapezoid((ours - theirs).abs().square() * theirs, t)) * 20 / 8
    assert sigreg(z, directions).item() == pytest.approx(total, rel=1e-4)


def test_sigreg_is_nearly_epps_and_pulleys_closed_form() -> None:
    """The integral over the whole line, by the double sum of their statistic; what is cut off is small."""
    x = normal(30, seed=2).double() * 0.8 + 0.5
    exact = math.sqrt(2 * math.pi) * (
        sum(math.exp(-((float(a) - float(b)) ** 2) / 2) for a in x for b in x) / 30
        - math.sqrt(2) * sum(math.exp(-(float(a) ** 2) / 4) for a in x)
        + 30 / math.sqrt(3)
    )
    assert sigreg(x[:, None, None], torch.ones(1, 1)).item() == pytest.approx(exact, rel=0.01)


def test_sigreg_tells_normal_embeddings_from_others() -> None:
    z, directions = normal(512, 1, 8), normal(8, 64, seed=1)
    least = sigreg(z, directions)
    assert least < 2  # its expectation is near 1, whatever N
    collapsed = torch.zeros_like(z)
    line = z[..., :1].expand(-1, -1, 8)
    for other in (collapsed, line, 2 * z, 0.5 * z, z + 1, z.sign() * 2):
        assert sigreg(other, directions) > 5 * least


def test_lejepa_predicts_the_centre_of_the_global_views() -> None:
    z, total = normal(6, 5, 4), 0.0
    for image in z:
        centre = (image[0] + image[1]) / 2
        total += sum(float((view - centre).square().mean()) for view in image) / (5 * 6)
    assert prediction(z, z[:, :2]).item() == pytest.approx(total, rel=1e-5)


def test_lejepa_takes_local_views_and_weighs_its_terms() -> None:
    objective = build(LeJEPAConfig(name="lejepa", sigreg=0.3)).eval()
    assert isinstance(objective, JointEmbedding)
    views, _ = batch(3)
    views[2] = View(F.interpolate(views[2].images, 8))
    torch.manual_seed(0)
    terms = objective(views)
    z = torch.stack([objective.embed([view])[0] for view in views], dim=1)
    torch.manual_seed(0)
    expected = sigreg(z, torch.randn(z.shape[-1], 256))
    torch.testing.assert_close(terms["prediction"], 0.7 * prediction(z, z[:, :2]))
    torch.testing.assert_close(terms["sigreg"], 0.3 * expected)
    assert objective(views)["sigreg"] != terms["sigreg"]  # other directions


def test_lejepas_gradient_goes_through_the_centre_too(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = build(LeJEPAConfig(name="lejepa", sigreg=0.0))
    z = [each.requires_grad_() for each in normal(3, 8, 4)]
    monkeypatch.setattr(objective, "embed", lambda views: z)
    views, _ = batch(3)
    views[2] = View(F.interpolate(views[2].images, 8))
    ours = torch.autograd.grad(objective(views)["prediction"], z)
    stacked = torch.stack(z, dim=1)
    torch.testing.assert_close(ours, torch.autograd.grad(prediction(stacked, stacked[:, :2]), z))
    stopped = torch.autograd.grad(prediction(torch.stack(z, dim=1), stacked[:, :2].detach()), z)
    assert not torch.allclose(ours[0], stopped[0])


def test_lejepas_centre_with_a_momentum_encoder_is_the_teachers() -> None:
    objective = halved_student(build(LeJEPAConfig(name="lejepa", sigreg=0.0, momentum=MomentumConfig())))
    views, _ = batch(2)
    s = objective.embed(views)
    z, t = torch.stack(s, dim=1), torch.stack(objective.targets(views, s), dim=1)
    torch.testing.assert_close(objective(views)["prediction"], prediction(z, t))
    assert prediction(z, t) > 1.01 * prediction(z, z)


def test_lejepa_refuses_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"sigreg is 1.5; it is a share of the loss"):
        LeJEPAConfig(name="lejepa", sigreg=1.5)
    with pytest.raises(ValueError, match="directions is 0; at least 1"):
        LeJEPAConfig(name="lejepa", directions=0)


def test_visreg_terms_are_the_papers_equations() -> None:
    """View by view, dimension by dimension, in plain Python; in both views other scales and means."""
    z, directions = normal(9, 2, 3).double() * torch.tensor([[0.3, 1.0, 2.0], [1.5, 0.1, 0.7]]) + 0.4, normal(3, 5)
    unit = directions.double() / directions.double().norm(dim=0)
    centre = scale = shape = 0.0
    for view in range(2):
        standardised = torch.empty(9, 3).double()
        for d in range(3):
            column = z[:, view, d].tolist()
            mean = sum(column) / 9
            deviation = math.sqrt(sum((x - mean) ** 2 for x in column) / 9)
            centre += mean**2 / 6
            scale += (1 - deviation) ** 2 / 6
            standardised[:, d] = (z[:, view, d] - mean) / deviation
        for a in unit.T:
            sliced = sorted((standardised @ a).tolist())
            quantiles = [NormalDist().inv_cdf(n / 10) for n in range(1, 10)]
            shape += sum((s - q) ** 2 for s, q in zip(sliced, quantiles, strict=True)) / (9 * 5 * 2)
    assert visreg.centre(z).item() == pytest.approx(centre, rel=1e-5)
    assert visreg.scale(z).item() == pytest.approx(scale, rel=1e-5)
    assert visreg.shape(z, directions).item() == pytest.approx(shape, rel=1e-4)


def test_visreg_weighs_its_terms_and_takes_its_directions_as_configured() -> None:
    config = VISRegConfig(name="visreg", regularisation=0.7, centre=2.0, scale=3.0, shape=4.0, directions=32)
    objective = build(config).eval()
    assert isinstance(objective, JointEmbedding)
    views, _ = batch(3)
    views[2] = View(F.interpolate(views[2].images, 8))
    z = torch.stack(objective.embed(views), dim=1)
    torch.manual_seed(0)
    made = objective(views)
    torch.manual_seed(0)
    directions = torch.randn(z.shape[-1], 32)
    expected = {
        "prediction": 0.3 * prediction(z, z[:, :2]),
        "centre": 0.7 * 2 * visreg.centre(z),
        "scale": 0.7 * 3 * visreg.scale(z),
        "shape": 0.7 * 4 * visreg.shape(z, directions),
    }
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value)
    assert objective(views)["shape"] != made["shape"]  # other directions


def test_visregs_shape_knows_neither_scale_nor_place_and_tells_normal_embeddings_from_others() -> None:
    z, directions = normal(512, 1, 8), normal(8, 64, seed=1)
    least = visreg.shape(z, directions)
    assert least < 0.05
    torch.testing.assert_close(visreg.shape(3 * z + 1, directions), least, rtol=1e-3, atol=1e-4)
    line, signs = z[..., :1].expand(-1, -1, 8), z[..., :1].sign().expand(-1, -1, 8)
    for other in (line, signs, torch.zeros_like(z)):
        assert visreg.shape(other, directions) > 5 * least


def test_visregs_scale_pulls_hardest_out_of_a_collapse_and_its_shape_does_not_pull_at_the_scale() -> None:
    gradients = []
    for deviation in (1e-4, 0.5, 1.0):
        z = (deviation * F.normalize(normal(64, 1, 4), dim=0) * 8).requires_grad_()
        gradients.append(torch.autograd.grad(visreg.scale(z), z)[0].norm())
    assert gradients[0] > gradients[1] > gradients[2]
    z, directions = normal(64, 1, 4).requires_grad_(), normal(4, 16, seed=1)
    (gradient,) = torch.autograd.grad(visreg.shape(z, directions), z)
    deviation = z.detach().std(dim=0, correction=0)
    normed = (z.detach() - z.detach().mean(dim=0)).requires_grad_()
    # The same embeddings divided by a constant: no gradient went through the deviation.
    unit = F.normalize(directions, dim=0)
    quantiles = torch.tensor([NormalDist().inv_cdf(n / 65) for n in range(1, 65)])[:, None, None]
    sliced = ((normed / deviation) @ unit).sort(dim=0).values
    (expected,) = torch.autograd.grad((sliced - quantiles).square().mean(), normed)
    torch.testing.assert_close(gradient, expected - expected.mean(dim=0), rtol=1e-4, atol=1e-6)


def test_visregs_centre_of_a_collapse_is_its_square() -> None:
    assert visreg.centre(torch.full((8, 2, 4), 3.0)).item() == pytest.approx(9)
    assert visreg.scale(torch.full((8, 2, 4), 3.0)).item() == pytest.approx(1)


def test_visregs_targets_with_a_momentum_encoder_are_the_teachers() -> None:
    objective = halved_student(build(VISRegConfig(name="visreg", regularisation=0.5, momentum=MomentumConfig())))
    views, _ = batch(2)
    s = objective.embed(views)
    z, t = torch.stack(s, dim=1), torch.stack(objective.targets(views, s), dim=1)
    torch.testing.assert_close(objective(views)["prediction"], 0.5 * prediction(z, t))
    assert prediction(z, t) > 1.01 * prediction(z, z)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("regularisation", 1.5, "it is a share of the loss"),
        ("centre", -1.0, "it must be 0 or more"),
        ("scale", -1.0, "it must be 0 or more"),
        ("shape", -1.0, "it must be 0 or more"),
        ("directions", 0, "at least 1"),
    ],
)
def test_visreg_refuses_settings_out_of_range(name: str, value: Any, allowed: str) -> None:
    wrong: Any = {name: value}
    with pytest.raises(ValueError, match=f"{name} is {value}; {allowed}"):
        VISRegConfig(name="visreg", **wrong)
