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
from ssl_core.backbones.vit import places as places_of
from ssl_core.errors import Refused
from ssl_core.objectives.patches import PatchDecoder


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_resnets_are_torchvisions_layer_by_layer(name: str) -> None:
    reference = getattr(torchvision.models, name)()
    reference.fc = torch.nn.Identity()
    ours = backbones.build(ResNetConfig(name=name, stem="imagenet"), 64)  # pyright: ignore[reportArgumentType]
    assert list(ours.network.state_dict()) == list(reference.state_dict())
    ours.network.load_state_dict(reference.state_dict())
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
    sizes = []
    backbone.layer1.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-2:]))
    backbone(torch.randn(1, 3, 32, 32))
    assert sizes == [(32, 32)]


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


def test_a_smaller_view_is_seen_at_places_that_spread_over_the_whole_image() -> None:
    vit = backbones.build(ViTConfig(name="vit", patch=4, width=16, depth=1, heads=1), 32)
    assert isinstance(vit, ViT)
    torch.testing.assert_close(vit.positions(8, 8), positions(8, 8, 16), rtol=0, atol=0)
    code = vit.positions(4, 2)
    frequency = [10_000 ** (-i / 4) for i in range(4)]
    for row, at in enumerate((0.5, 2.5, 4.5, 6.5)):
        for column, beside in enumerate((1.5, 5.5)):
            places = [wave(place * f) for place in (at, beside) for wave in (math.sin, math.cos) for f in frequency]
            torch.testing.assert_close(code[2 * row + column], torch.tensor(places))
    halves = torch.nn.functional.interpolate(torch.arange(8.0)[None, None], size=4, mode="linear")
    torch.testing.assert_close(places_of(4, 8), halves.flatten())


def test_the_class_token_is_the_representation_and_registers_are_left_out() -> None:
    images, config = torch.randn(2, 3, 16, 16), ViTConfig(name="vit", width=48, depth=2)
    torch.manual_seed(0)
    plain = backbones.build(config, 16).eval()
    for class_token, registers in ((True, 0), (False, 3), (True, 3)):
        torch.manual_seed(0)
        vit = backbones.build(replace(config, class_token=class_token, registers=registers), 16).eval()
        assert isinstance(vit, ViT)
        left = vit.load_state_dict(plain.state_dict(), strict=False)
        assert left.missing_keys == ["extra"]
        assert vit.extra is not None
        tokens = torch.cat([vit.extra.expand(2, -1, -1), vit.embed(images)], dim=1)
        attended = vit.norm(vit.blocks(tokens))
        first = class_token + registers
        expected = attended[:, 0] if class_token else attended[:, first:].mean(dim=1)
        torch.testing.assert_close(vit(images), expected)
        torch.testing.assert_close(vit.encode(vit.embed(images)), attended[:, first:])
        assert not torch.allclose(vit(images), plain(images))


def test_drop_path_leaves_branches_out_of_images_while_gradients_are_taken() -> None:
    config = ViTConfig(name="vit", width=24, depth=3, heads=2, drop_path=0.5)
    vit = backbones.build(config, 16)
    assert isinstance(vit, ViT)
    assert [block.drop_path for block in vit.blocks] == [0, 0.25, 0.5]
    block, tokens = vit.blocks[2].train(), torch.ones(4000, 2, 3)
    dropped = block.dropped(tokens)  # pyright: ignore[reportCallIssue]
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.1)
    with torch.no_grad():
        assert torch.equal(block.dropped(tokens), tokens)  # pyright: ignore[reportCallIssue]
    assert torch.equal(block.eval().dropped(tokens), tokens)  # pyright: ignore[reportCallIssue]
    images = torch.randn(8, 3, 16, 16)
    assert not torch.equal(vit.train()(images), vit(images))
    assert torch.equal(vit.eval()(images), vit(images))


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
    with pytest.raises(ValueError, match=r"registers is -1; it must be 0 or more"):
        ViTConfig(name="vit", registers=-1)
    with pytest.raises(ValueError, match=r"drop_path is 1\.0; it is a probability, 0 <= drop_path < 1"):
        ViTConfig(name="vit", drop_path=1.0)


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
