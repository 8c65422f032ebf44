"""Tensors of a file that people have, in a network: found wherever they lie, and refused where they are of another."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from every_objective import SIZE
from torch import Tensor, nn

from ssl_core import backbones
from ssl_core.backbones import ResNetConfig, TimmConfig, ViTConfig
from ssl_core.backbones.fitting import fit
from ssl_core.errors import Refused

CONFIG = ResNetConfig(name="resnet10", width=8)
Tensors = dict[str, Tensor]


def network(seed: int = 0, config: ResNetConfig | ViTConfig = CONFIG) -> nn.Module:
    torch.manual_seed(seed)
    return backbones.build(config, SIZE).network


def tensors(seed: int = 1) -> Tensors:
    return dict(network(seed).state_dict())


def behind(prefix: str, given: Tensors) -> Tensors:
    return {prefix + key: tensor for key, tensor in given.items()}


def equal(one: nn.Module, given: Tensors) -> bool:
    state = one.state_dict()
    return state.keys() == given.keys() and all(torch.equal(tensor, given[key]) for key, tensor in state.items())


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "state_dict.module.encoder.",
        "model._orig_mod.backbone.",
        "base_model.student.",
        "anything.at.all.",
    ],
)
def test_tensors_are_found_behind_any_prefix(prefix: str) -> None:
    made, given = network(), tensors()
    assert not equal(made, given)
    beside = {"optimizer.state.0.exp_avg": torch.zeros(3)} if prefix else {}
    fitted = fit(made, behind(prefix, given) | beside)
    assert equal(made, given)
    assert (fitted.prefix, fitted.count, fitted.others) == (prefix, len(given), [])


def test_of_student_and_teacher_the_teachers_are_taken_and_it_is_said() -> None:
    made, student, teacher = network(), tensors(1), tensors(2)
    head = {"teacher.head.mlp.0.weight": torch.zeros(2, 2)}
    fitted = fit(made, behind("student.module.backbone.", student) | behind("teacher.backbone.", teacher) | head)
    assert equal(made, teacher)
    assert "those of teacher.backbone., not of student.module.backbone." in str(fitted)


@pytest.mark.parametrize(
    ("other", "average"),
    [
        ("online_encoder.", "target_encoder."),
        ("base_encoder.", "momentum_encoder."),
        ("module.backbone_q.", "module.encoder_k."),
        ("model.", "model_ema."),
        ("a.", "state_dict.ema.module."),
        ("encoder.", "teacher."),
        ("schema.", "target."),
    ],
)
def test_of_two_networks_the_moving_average_is_taken_whatever_its_authors_call_it(other: str, average: str) -> None:
    made, given = network(), tensors(2)
    fitted = fit(made, behind(other, tensors(1)) | behind(average, given))
    assert equal(made, given)
    assert (fitted.prefix, fitted.others) == (average, [other])


def test_a_name_that_only_ends_like_an_average_is_none() -> None:
    assert fit(network(), behind("schema.", tensors(1)) | behind("encoder.", tensors(2))).prefix == "encoder."


def test_heads_are_left_and_counters_may_be_missing() -> None:
    made = network()
    before = dict(copy.deepcopy(made).state_dict())
    given = {key: tensor for key, tensor in tensors().items() if not key.endswith("num_batches_tracked")}
    heads = (
        "fc.weight",
        "fc.bias",
        "head.fc.weight",
        "classifier.1.bias",
        "projection_head.0.weight",
        "decoder_embed.bias",
    )
    fitted = fit(made, given | dict.fromkeys(heads, torch.zeros(1)))
    kept = {key: tensor for key, tensor in before.items() if key not in given}
    assert equal(made, given | kept)
    assert fitted.left == list(heads)
    assert "fc.weight, fc.bias, head.fc.weight, classifier.1.bias, projection_head.0.weight and 1 more" in str(fitted)


def test_weights_of_half_precision_are_loaded() -> None:
    made, given = network(), tensors()
    fit(made, {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in given.items()})
    weight = next(made.parameters())
    assert weight.dtype == torch.float32
    assert torch.equal(weight, next(iter(given.values())).half().float())


def without(given: Tensors, count: int) -> Tensors:
    return dict([(key, tensor) for key, tensor in given.items() if not key.endswith("num_batches_tracked")][count:])


REFUSED: list[tuple[Callable[[Tensors], Tensors], str]] = [
    (lambda given: {"a": torch.zeros(1)}, r"has none of the \d+ tensors of this network: it is of another one"),
    (lambda given: {}, r"has none of the \d+ tensors"),
    (
        lambda given: dict(network(1, ViTConfig(name="vit", patch=4, width=24, depth=2, heads=2)).state_dict()),
        r"has none of the \d+ tensors of this network",
    ),
    (
        lambda given: dict(network(1, ResNetConfig(name="resnet10", width=16)).state_dict()),
        r"has none of the \d+ tensors of this network",
    ),
    (lambda given: without(given, 2), r"lacks 2 of the \d+ tensors of this network: [\w.]+, [\w.]+$"),
    (
        lambda given: given | {next(iter(given)): torch.zeros(8, 3, 7, 7)},
        r"has 1 of the \d+ tensors of this network in another shape \(([\w.]+)\): \1 is 8 x 3 x 7 x 7, and 8 x 3 x 3",
    ),
    (
        lambda given: {key: tensor.to(torch.int8) for key, tensor in given.items()},
        r"has (\d+) of the \1 tensors of this network as int8, and floating-point numbers are needed: .* and \d+ more",
    ),
    (
        lambda given: given | {f"layer9.{i}.weight": torch.zeros(1) for i in range(7)},
        r"has 7 tensors that this network has not, and so is of another one: layer9\.0\.w.*layer9\.4.weight and 2 more",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=[sentence[:30] for _, sentence in REFUSED])
def test_what_is_of_another_network_is_refused_and_changes_nothing(
    change: Callable[[Tensors], Tensors], sentence: str
) -> None:
    made, given = network(), change(tensors())
    with pytest.raises(Refused, match=sentence):
        fit(made, given)
    assert equal(made, dict(network().state_dict()))
    with pytest.raises(Refused, match=sentence):
        fit(copy.deepcopy(made).to("meta"), {key: tensor.to("meta") for key, tensor in given.items()})


def test_on_the_meta_device_names_and_shapes_are_enough() -> None:
    given = behind("module.", {key: tensor.to("meta") for key, tensor in tensors().items()})
    assert fit(network().to("meta"), given).count == len(given)


def test_timms_positions_are_interpolated_as_timm_does() -> None:
    import timm
    from timm.models import vision_transformer

    made: Any = timm.create_model("test_vit", num_classes=0, img_size=64)
    given = timm.create_model("test_vit", num_classes=10).state_dict()
    assert given["pos_embed"].shape != made.pos_embed.shape
    expected = vision_transformer.checkpoint_filter_fn(dict(given), made)["pos_embed"]
    fitted = fit(made, given)
    assert torch.equal(made.pos_embed, expected)
    assert "pos_embed interpolated to this input size" in str(fitted)
    on_meta = {key: tensor.to("meta") for key, tensor in given.items()}
    assert fit(timm.create_model("test_vit", num_classes=0, img_size=64).to("meta"), on_meta).resized == ["pos_embed"]


def with_registers(timms: Tensors) -> Tensors:
    """DINOv2's own names: the class token has a position, and registers another name."""
    given, place = dict(timms), torch.randn(1, 1, 384)
    given["register_tokens"] = given.pop("reg_token")
    given["cls_token"] = given["cls_token"] - place
    given["pos_embed"] = torch.cat([place, given["pos_embed"]], dim=1)
    return given | {"mask_token": torch.zeros(1, 384)}


def convnext(timms: Tensors) -> Tensors:
    """ConvNeXt's own names."""
    renamed = [
        (r"^stem\.", "downsample_layers.0."),
        (r"stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
        (r"stages\.(\d+)\.blocks\.", r"stages.\1."),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"head\.norm", "norm"),
    ]
    given: Tensors = {}
    for key, tensor in timms.items():
        for ours, theirs in renamed:
            key = re.sub(ours, theirs, key)
        given[key] = tensor
    return given


def dinov3(timms: Tensors) -> Tensors:
    """DINOv3's own names, and what its files have beside."""
    names = {"reg_token": "storage_tokens", "gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma"}
    given: Tensors = {}
    for key, tensor in timms.items():
        *first, last = key.split(".")
        given[".".join([*first, names.get(last, last)])] = tensor
    given["rope_embed.periods"] = torch.zeros(16)
    return given | {"blocks.0.attn.qkv.bias": torch.zeros(1152), "mask_token": torch.zeros(1, 384)}


@pytest.mark.parametrize(
    ("model", "authors", "prefix"),
    [
        ("vit_small_patch14_reg4_dinov2", with_registers, "teacher.backbone."),
        ("vit_small_patch16_dinov3", dinov3, ""),
        ("convnext_atto", convnext, ""),
        ("convnext_atto", convnext, "module."),
    ],
)
def test_an_authors_names_are_converted_by_timm(
    model: str, authors: Callable[[Tensors], Tensors], prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [backbones.build(TimmConfig(name="timm", model=model), 112).eval() for _ in range(2)]
    timms = {key: tensor + 0.01 * torch.randn_like(tensor) for key, tensor in made[0].network.state_dict().items()}
    made[0].network.load_state_dict(timms)
    given = behind(prefix, authors(timms))
    images = torch.rand(2, 3, 112, 112)
    fitted = fit(made[1].network, given)
    assert (fitted.prefix, fitted.count) == (prefix, len(timms))
    assert "named as its authors do, and converted by timm" in str(fitted)
    with torch.no_grad():
        torch.testing.assert_close(made[1](images), made[0](images), rtol=1e-4, atol=1e-4)
    on_meta = {key: tensor.to("meta") for key, tensor in given.items()}
    assert fit(made[1].network.to("meta"), on_meta) == fitted
    given.pop(f"{prefix}norm.weight")
    with pytest.raises(Refused, match=r"tensors of this network|of another one"):
        fit(made[0].network, given)
    assert capsys.readouterr().out == ""


def test_positions_of_another_count_of_tokens_are_a_sentence() -> None:
    made = backbones.build(TimmConfig(name="timm", model="vit_tiny_patch16_224"), 64).network
    given = dict(made.state_dict())
    given["pos_embed"] = torch.zeros(1, given["pos_embed"].shape[1] + 4, 192)
    with pytest.raises(Refused, match="pos_embed"):
        fit(made, given)
