"""Backbones against torchvision's, and their shapes."""

import math
from dataclasses import replace

import pytest
import torch
import torchvision

from ssl_core import backbones
from ssl_core.augmentation import Augment, recipes
from ssl_core.backbones import ResNetConfig, ViT, ViTConfig
from ssl_core.backbones.vit import Attention, positions
from ssl_core.errors import Refused
from ssl_core.objectives.patches import PatchDecoder


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_are_torchvisions_layer_by_layer(name: str) -> None:
    reference = getattr(torchvision.models, name)()
    reference.fc = torch.nn.Identity()
    ours = backbones.build(ResNetConfig(name=name, stem="imagenet"), 64)  # pyright: ignore[reportArgumentType]
    theirs = list(reference.state_dict().values())
    assert [tuple(t.shape) for t in ours.state_dict().values()] == [tuple(t.shape) for t in theirs]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs, strict=True)))
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(name="resnet10", width=16),
        ResNetConfig(name="resnet18", width=8),
        ViTConfig(name="vit", patch=4, width=48, depth=2, heads=3),
    ],
    ids=lambda config: config.name,
)
def test_representations_have_the_size_that_is_announced(config: backbones.BackboneConfig) -> None:
    backbone = backbones.build(config, 28)
    assert backbone(torch.randn(3, 3, 28, 28)).shape == (3, backbone.representation_size)


def test_the_small_stem_keeps_the_resolution() -> None:
    backbone = backbones.build(ResNetConfig(name="resnet18", width=8), 32)
    assert isinstance(backbone, backbones.ResNet)
    assert backbone.stem(torch.randn(1, 3, 32, 32)).shape[-2:] == (32, 32)


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [p.flatten() for p in backbones.build(ResNetConfig(name="resnet10", width=8), 28).parameters()]
        )

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_attention_is_scaled_dot_product_attention() -> None:
    attention = Attention(24, heads=3)
    tokens = torch.randn(2, 5, 24)
    q, k, v = attention.qkv(tokens).view(2, 5, 3, 3, 8).permute(2, 0, 3, 1, 4)
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    expected = attention.out(mixed.transpose(1, 2).reshape(2, 5, 24))
    torch.testing.assert_close(attention(tokens), expected)


def test_a_transformer_adds_up_its_tokens_in_float32() -> None:
    vit = backbones.build(ViTConfig(name="vit", width=48, depth=2), 16)
    decoder = PatchDecoder(48, 48, 4, width=24, depth=2, heads=2)
    assert isinstance(vit, ViT)
    kept: list[torch.dtype] = []
    for block in [*vit.blocks, *decoder.blocks]:
        block.register_forward_hook(lambda _, tokens, out: kept.extend([tokens[0].dtype, out.dtype]))
    places = torch.arange(16).expand(2, -1)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = vit.encode(vit.embed(torch.randn(2, 3, 16, 16, dtype=torch.bfloat16)))
        decoder(tokens[:, :8], places[:, :8], places[:, 8:])
        assert vit.blocks[0].attention.qkv(tokens).dtype == torch.bfloat16  # pyright: ignore
    assert kept == [torch.float32] * 8


def test_positions_tell_rows_and_columns_apart() -> None:
    code = positions(3, 4, 16)
    assert code.shape == (12, 16)
    assert len(code.unique(dim=0)) == 12
    assert code[5, 0].item() == pytest.approx(math.sin(1.0))
    torch.testing.assert_close(code[1, :8], code[2, :8])


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        ResNetConfig(name="resnet10", width=4)
    with pytest.raises(ValueError, match="divide the image size"):
        backbones.build(ViTConfig(name="vit", patch=5), 28)
    with pytest.raises(Refused, match=r"images of 7 pixels are smaller than the stride of resnet18 .* 8; take larger"):
        backbones.build(ResNetConfig(name="resnet18"), 7)
    with pytest.raises(Refused, match=r"imagenet, 32; take larger images, or the stem small"):
        backbones.build(ResNetConfig(name="resnet18", stem="imagenet"), 28)
    with pytest.raises(ValueError, match="multiple"):
        ViTConfig(name="vit", width=50)


def test_a_transformer_leaves_out_what_is_hidden_and_a_convnet_sees_it_blank() -> None:
    torch.manual_seed(0)
    masked = replace(recipes.mask_only(16)[0], views=1)
    images = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    (view,) = Augment([masked], (0.5,) * 3, (0.25,) * 3)(images, torch.Generator().manual_seed(0))
    blank, visible = view.to(torch.float32)
    assert visible is not None
    assert visible.shape == (3, 4)
    other = torch.where(blank == 0, torch.randn_like(blank), blank)
    vit = backbones.build(ViTConfig(name="vit", width=48, depth=2), 16).eval()
    torch.testing.assert_close(vit(other, visible), vit(blank, visible))
    assert not torch.allclose(vit(other), vit(blank))
    assert isinstance(vit, ViT)
    alone = [vit.encode(vit.embed(blank)[i : i + 1, visible[i]]).mean(1) for i in range(3)]
    torch.testing.assert_close(vit(blank, visible), torch.cat(alone))
    resnet = backbones.build(ResNetConfig(name="resnet10", width=8), 16).eval()
    assert torch.equal(resnet(blank, visible), resnet(blank))
