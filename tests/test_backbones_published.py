"""Backbones of timm and torchvision against the libraries' own networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from every_backbone import EVERY, SIZE, build, images
from every_backbone import timm as timm_config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ssl_core import backbones
from ssl_core.augmentation import View
from ssl_core.backbones import Backbone, TimmConfig, TorchvisionConfig, with_tokens
from ssl_core.backbones.published import in_proportion
from ssl_core.backbones.timm_models import TimmViT
from ssl_core.cost import forward_flops
from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from ssl_core.objectives import OBJECTIVES
from ssl_core.objectives.i_jepa import IJEPAConfig
from ssl_core.objectives.ibot import IBOTConfig
from ssl_core.objectives.mae import MAEConfig
from ssl_core.objectives.msn import MSNConfig
from ssl_core.objectives.simmim import SimMIMConfig
from tasks import weights

TIMM = {name: config for name, config in EVERY.items() if isinstance(config, TimmConfig)}
VITS = {name: config for name, config in TIMM.items() if "ViT" in name}
of_timm = pytest.mark.parametrize("config", TIMM.values(), ids=TIMM)
vits = pytest.mark.parametrize("config", VITS.values(), ids=VITS)
CARD = Card(
    name="noise", image_size=SIZE, classes=[], splits={}, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), grey=False,
    original_sizes={}, sources=[], skipped={},
)  # fmt: skip


def bare(config: Any, seed: int = 0) -> nn.Module:
    """timm's own model, with the seed's weights."""
    size: dict[str, Any] = {}
    if timm.get_pretrained_cfg(config.model).fixed_input_size:  # pyright: ignore[reportOptionalMemberAccess]
        size = {"img_size": config.input_size}
    torch.manual_seed(seed)
    return timm.create_model(config.model, num_classes=0, **size).eval()


def enlarged(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True) if side != x.shape[-1] else x


@of_timm
def test_it_is_timms_model_of_images_enlarged_to_its_size(config: TimmConfig) -> None:
    theirs, ours = bare(config), build(config).eval()
    assert list(ours.network.state_dict()) == list(theirs.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(ours.network.state_dict().values(), theirs.state_dict().values(), strict=True)
    )
    assert config.input_size is not None
    torch.testing.assert_close(ours(images()), theirs(enlarged(images(), config.input_size)))


def test_what_a_model_says_of_itself_is_what_it_is_given() -> None:
    config = TimmConfig(name="timm", model="tf_efficientnet_lite0.in1k")
    assert config.seen(28, 28) == 224
    assert config.normalisation == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (config.patch, config.stride, config.representation_size) == (0, 32, 1280)
    dino = TimmConfig(name="timm", model="vit_small_patch14_reg4_dinov2.lvd142m")
    assert (dino.seen(28, 28), dino.patch, dino.stride, dino.stages) == (518, 14, 14, 13)
    swin = timm_config("swin_tiny_patch4_window7_224", 64)
    assert (swin.patch, swin.stride, swin.representation_size, swin.stages) == (0, 32, 768, 5)
    swin.check(SIZE, SIZE // 2)
    resnet = TorchvisionConfig(name="torchvision", model="resnet34")
    assert (resnet.seen(28, 28), resnet.representation_size, resnet.stages) == (224, 512, 5)
    assert resnet.normalisation == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert TorchvisionConfig(name="torchvision", model="efficientnet_b1").seen(28, 28) == 240
    replace(swin, weights="pretrained").check(SIZE)
    replace(resnet, weights="pretrained").check(SIZE)
    vit = TorchvisionConfig(name="torchvision", model="vit_b_32", input_size=64)
    vit.check(28)
    assert (vit.patch, vit.stride, vit.stages) == (0, 32, 13)
    with pytest.raises(Refused, match="it takes none near"):
        vit.check(SIZE, 8)


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_torchvisions_models_lose_the_last_layer_alone(model: str) -> None:
    config = TorchvisionConfig(name="torchvision", model=model, input_size=64)
    ours = build(config).eval()
    theirs = torchvision.models.get_model(model, weights=None).eval()
    result = theirs.load_state_dict(ours.network.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert len(result.missing_keys) == 2
    (last,) = {name.rpartition(".")[0] for name in result.missing_keys}
    h = ours(images())
    torch.testing.assert_close(theirs.get_submodule(last)(h), theirs(enlarged(images(), 64)))


def test_views_are_seen_in_proportion_in_whole_patches() -> None:
    assert [in_proportion(side, 96, 224, 14) for side in (96, 48, 36, 1)] == [224, 112, 84, 14]
    assert in_proportion(13, 32, 224, 1) == 91
    config = timm_config("vit_small_patch14_reg4_dinov2", 56)
    assert [config.seen(side, SIZE) for side in (32, 16, 9)] == [56, 28, 14]


@pytest.mark.parametrize("name", ["timm, ConvNeXt", "timm, ViT", "timm, ViT with registers"])
def test_smaller_views_are_what_timms_own_network_makes_of_them(name: str) -> None:
    config = replace(EVERY[name], input_size=64)
    ours, view = build(config).eval(), images(size=16)
    theirs: Any = bare(config)
    if isinstance(ours, TimmViT):
        theirs = timm.create_model(config.model, num_classes=0, img_size=64, dynamic_img_size=True).eval()
        theirs.load_state_dict(ours.network.state_dict())
        assert ours.embed(view).shape[1] == 4
    torch.testing.assert_close(ours(view), theirs(enlarged(view, 32)))


def whole(config: TimmConfig, side: int = 64) -> Backbone:
    """The backbone for images of the input's size, in evaluation mode."""
    torch.manual_seed(0)
    return backbones.build(replace(config, input_size=side), side).eval()


@vits
def test_a_plain_transformer_has_tokens_in_any_order(config: TimmConfig) -> None:
    vit, x = whole(config), images(size=64)
    tokens, order = with_tokens(vit), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    embedded = tokens.embed(x)
    assert config.patch == tokens.patch == 16
    assert embedded.shape == (4, 16, config.representation_size)
    assert embedded.dtype == torch.float32
    torch.testing.assert_close(tokens.encode(embedded[:, order]), tokens.encode(embedded)[:, order])
    torch.testing.assert_close(vit(x, order.expand(4, -1)), vit(x))


@vits
def test_what_is_hidden_is_left_out(config: TimmConfig) -> None:
    vit, x = whole(config), images(size=64)
    visible = torch.tensor([0, 3, 5, 6, 9]).expand(4, -1)
    shown = torch.zeros(16).index_fill(0, visible[0], 1).view(1, 1, 4, 4)
    other = torch.where(F.interpolate(shown, 64) > 0, x, torch.randn_like(x))
    torch.testing.assert_close(vit(other, visible), vit(x, visible))
    assert not torch.allclose(vit(other), vit(x))


@vits
def test_tokens_are_normed_whether_timm_norms_before_or_behind_its_pooling(config: TimmConfig) -> None:
    vit = with_tokens(whole(config))
    tokens = vit.encode(vit.embed(images(size=64)))
    torch.testing.assert_close(tokens.mean(dim=-1), torch.zeros(4, 16), atol=1e-4, rtol=0)
    torch.testing.assert_close(tokens.var(dim=-1, correction=0), torch.ones(4, 16), atol=1e-2, rtol=0)


MASKED: list[Any] = [
    MAEConfig(name="mae", decoder_width=16, decoder_depth=1),
    SimMIMConfig(name="simmim", square=1),
    IJEPAConfig(name="i_jepa", predictor_width=24, predictor_depth=1, predictor_heads=2),
    MSNConfig(name="msn", prototypes=4),
    IBOTConfig(name="ibot", prototypes=4),
]


@pytest.mark.parametrize("masked", MASKED, ids=lambda config: config.name)
def test_masked_objectives_take_timms_transformers(masked: Any) -> None:
    kind = OBJECTIVES[type(masked)]
    config = timm_config("test_vit2", 64)
    kind.check(masked, config, 64, 8)
    objective = kind(masked, whole(config), 64, 0).train()
    views = [View(images(8, size=64)) for _ in range(kind.views)]
    locals_ = [View(images(8, size=32))] if kind.more_views else []
    loss = torch.stack(list(objective(views + locals_).values())).sum()
    loss.backward()
    assert loss.isfinite()
    assert [name for name, p in objective.backbone.named_parameters() if p.grad is None] == []
    with pytest.raises(
        ValueError, match=r"input_size is 224 where images are of 64 pixels: set .* to 64, or .* to 224"
    ):
        kind.check(masked, replace(config, input_size=224), 64, 8)
    with pytest.raises(ValueError, match=r"timm's test_resnet does not have; take backbone vit, or timm with a plain"):
        kind.check(masked, timm_config("test_resnet", 64), 64, 8)


def test_positions_are_interpolated_over_the_whole_image() -> None:
    from timm.layers.pos_embed import resample_abs_pos_embed

    vit = whole(timm_config("test_vit2", 64))
    assert isinstance(vit, TimmViT)
    learnt = vit.model.pos_embed
    assert learnt is not None
    torch.testing.assert_close(vit.positions(4, 4), learnt[0, vit.model.num_prefix_tokens :])
    expected = resample_abs_pos_embed(learnt, [2, 2], [4, 4], num_prefix_tokens=vit.model.num_prefix_tokens)
    torch.testing.assert_close(vit.positions(2, 2), expected[0, vit.model.num_prefix_tokens :])


def test_the_cost_is_that_of_the_enlarged_images() -> None:
    small, large = (forward_flops(build(timm_config("test_resnet", side)), SIZE) for side in (32, 64))
    assert 3.9 < large / small < 4.1
    vit = build(timm_config("test_vit", 64))
    with FlopCounterMode(display=False) as counter:
        vit.to("meta")(torch.empty(1, 3, SIZE, SIZE, device="meta"))
    assert forward_flops(build(timm_config("test_vit", 64)), SIZE) == counter.get_total_flops()


def test_what_is_kept_has_the_models_own_normalisation(tmp_path: Path) -> None:
    config = EVERY["timm, EfficientNet"]
    backbone = build(config).eval()
    weights.keep({"backbone": backbone}, config, None, CARD, tmp_path)
    loaded = weights.load(tmp_path, "backbone")
    assert (loaded.mean, loaded.std) == config.normalisation != (CARD.mean, CARD.std)
    assert torch.equal(loaded.network(images()), backbone(images()))


def torchvision_config(model: str, input_size: int) -> TorchvisionConfig:
    return TorchvisionConfig(name="torchvision", model=model, input_size=input_size)


@pytest.mark.parametrize(
    ("config", "view", "said"),
    [
        (timm_config("resnet19", 32), None, "model is 'resnet19', which timm does not know; nearest are resnet18"),
        (timm_config("resnet18.mine", 32), None, "'resnet18.mine', which timm does not know; nearest are resnet18"),
        (timm_config("hf-hub:timm/resnet18", 32), None, "which timm does not know; its list_models() has all names"),
        (torchvision_config("resnet19", 32), None, "'resnet19', which torchvision does not know; nearest are resnet18"),
        (torchvision_config("squeezenet1_0", 32), None, "squeezenet1_0 has no linear classifier to be taken off"),
        (timm_config("test_vit", 50), None, "50, which timm's test_vit cannot take; it takes 32 or 48 or 160"),
        (timm_config("test_resnet", 16), None, "16, which timm's test_resnet cannot take; it takes 32 or 64 or 160"),
        (
            timm_config("test_resnet", 64),
            8,
            "views of 8 pixels are 16 of the 64 pixels that timm's test_resnet sees of an image; the nearest that it "
            "takes are of 16",
        ),
        (timm_config("mixer_s32_224", 224), 8, "it takes none near: take whole ones alone"),
        (
            TimmConfig(name="timm", model="mixer_s32_224", weights="pretrained"),
            None,
            "weights is pretrained, and timm has none of mixer_s32_224: take null, or a name of params.yaml's weights",
        ),
    ],
)  # fmt: skip
def test_what_a_model_cannot_take_is_refused_with_what_it_can(config: Any, view: int | None, said: str) -> None:
    with pytest.raises(Refused) as refused:
        config.check(SIZE, view)
    assert said in str(refused.value)
    with pytest.raises(ValueError, match="input_size is 0; at least 1 is needed"):
        replace(config, input_size=0)


def test_nothing_is_dropped_at_random() -> None:
    backbone = backbones.build(
        TorchvisionConfig(name="torchvision", model="efficientnet_b0", input_size=32), SIZE
    ).train()
    for part in backbone.modules():  # a batch norm's statistics would tell one pass from another too
        part.train(not isinstance(part, nn.BatchNorm2d))
    torch.testing.assert_close(backbone(images()), backbone(images()), rtol=0, atol=0)
