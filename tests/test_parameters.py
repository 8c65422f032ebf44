"""params.yaml: what is accepted, and one clear sentence for what is not."""

import re
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from ssl_core.augmentation import RandomResizedCrop, recipes
from ssl_core.errors import Refused
from ssl_core.objectives import OBJECTIVES
from ssl_core.training.iteration import Acceleration
from tasks import cells, parameters
from tasks.cells import Cell

PROJECT = Path(__file__).parent.parent


def written(tmp_path: Path, **changes: Any) -> Path:
    """The project's own parameters with values changed; a key is a dotted path, None deletes it."""
    content = cells.read(PROJECT / "params.yaml")
    for path, value in changes.items():
        *sections, key = path.split(".")
        place = content
        for section in sections:
            place = place[section]
        if value is None:
            del place[key]
        else:
            place[key] = value
    file = tmp_path / "params.yaml"
    YAML().dump(content, file)
    return file


def test_the_projects_own_parameters_are_valid() -> None:
    loaded = parameters.load(PROJECT / "params.yaml")
    assert loaded.variant("simclr").objective.name == "simclr"
    assert loaded.variant("random").pretraining.epochs == 0
    assert {loaded.variant(name).family for name in loaded.suite.variants} == {
        "baseline",
        "generative",
        "pretext",
        "joint-embedding, contrastive",
        "joint-embedding, regularised",
    }


def test_there_is_a_variant_and_a_line_of_the_readme_for_every_objective() -> None:
    content = cells.read(PROJECT / "params.yaml")
    names = {typing.get_args(typing.get_type_hints(kind)["name"])[0] for kind in OBJECTIVES}
    assert {variant["objective"]["name"] for variant in content["variants"].values()} == names
    rows = re.findall(r"^\| (`.+?) \|", (PROJECT / "README.md").read_text(), flags=re.MULTILINE)
    assert names <= set(re.findall(r"`(\w+)`", " ".join(rows)))


def test_an_override_on_the_command_line_reaches_one_variant() -> None:
    """An anchor would be shared by several, or keep what it says."""
    assert not re.search(r"[&*]\w+", re.sub("#.*", "", (PROJECT / "params.yaml").read_text()))


def test_a_variant_is_the_defaults_with_its_overrides() -> None:
    defaults = {
        "backbone": {"name": "resnet10", "width": 16},
        "augmentation": {"views": 2, "crop": {"scale": [0.2, 1]}},
    }
    assert cells.merge(defaults, {"augmentation": {"crop": None}})["augmentation"] == {"views": 2, "crop": None}
    several = [{"views": 1}, {"views": 6, "crop": {"scale": [0.05, 0.2]}}]
    assert cells.merge(defaults, {"augmentation": several})["augmentation"] == [
        {"views": 1, "crop": {"scale": [0.2, 1]}},
        {"views": 6, "crop": {"scale": [0.05, 0.2]}},
    ]
    assert cells.merge(defaults, {"backbone": {"name": "vit"}})["backbone"] == {"name": "vit"}
    assert cells.merge(defaults, {"backbone": {"width": 8}})["backbone"] == {"name": "resnet10", "width": 8}


def test_views_of_several_kinds_are_recipes_in_order(tmp_path: Path) -> None:
    kinds = [{"views": 1, "solarise": 0.2}, {"views": 1, "blur": {"probability": 0.1}}]
    file = written(tmp_path, **{"variants.simclr.augmentation": kinds})
    first, second = parameters.load(file).variant("simclr").augmentation
    assert (first.solarise, second.solarise, first.flip, second.flip) == (0.2, 0.0, 0.5, 0.5)
    assert first.blur is None
    assert second.blur is not None
    assert len(parameters.load(PROJECT / "params.yaml").variant("simclr").augmentation) == 1


def test_a_recipe_has_a_name_and_overrides(tmp_path: Path) -> None:
    for name in ("simclr", "byol", "weak", "mask_only"):
        assert sum(kind.views for kind in recipes.NAMED[name](28)) == 2
        file = written(tmp_path, **{"variants.simclr.augmentation": {"name": name}})
        assert parameters.load(file).variant("simclr").augmentation == recipes.NAMED[name](28)
    overridden = {"name": "byol", "blur": None, "crop": {"scale": [0.5, 1]}}
    file = written(tmp_path, **{"variants.simclr.augmentation": overridden})
    first, second = parameters.load(file).variant("simclr").augmentation
    assert (first.blur, second.blur, first.solarise, second.solarise) == (None, None, 0.0, 0.2)
    assert first.crop is not None
    assert first.crop.scale == (0.5, 1)
    assert first.crop.ratio == RandomResizedCrop().ratio


def test_what_these_images_cannot_have_is_refused_in_the_suite_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"variants.simclr.backbone": {"name": "vit", "patch": 5}}
    with pytest.raises(Refused, match="must divide the image size"):
        parameters.load(written(tmp_path, **changes))
    loaded = parameters.load(written(tmp_path, **changes, **{"suite.variants": ["random"]}))
    with pytest.raises(Refused, match="must divide the image size"):
        parameters.cell(loaded, "simclr", "0")


def test_multi_crop_makes_local_views_of_half_the_side() -> None:
    first, second, local = recipes.multi_crop(32)
    assert (first.views, second.views, local.views, local.size) == (1, 1, 4, 16)
    assert recipes.multi_crop(28)[2].size == 12
    assert recipes.multi_crop(224)[2].size == 112


def test_the_defaults_may_name_a_recipe_whose_operations_a_variant_switches_off(tmp_path: Path) -> None:
    file = written(
        tmp_path, **{"defaults.augmentation": {"name": "simclr"}, "variants.simclr.augmentation": {"crop": None}}
    )
    # Two views are too many for some of the project's own variants.
    content = cells.read(file)
    content["variants"] = {"simclr": content["variants"]["simclr"]}
    content["suite"]["variants"] = ["simclr"]
    YAML().dump(content, file)
    (kind,) = parameters.load(file).variant("simclr").augmentation
    assert kind == replace(recipes.simclr(28)[0], crop=None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"variants.simclr.augmentation": {"name": "strong"}},
            "variants.simclr.augmentation.name is 'strong'; allowed are simclr, byol, weak, multi_crop, mask_only",
        ),
        (
            {"variants.jigsaw.augmentation": {"mask": {"share": 0.5}, "views": 1}},
            "augmentation.mask hides patches of the views; jigsaw needs whole ones",
        ),
        (
            {
                "variants.simclr.augmentation": {"name": "mask_only", "mask": {"patch": 2}},
                "variants.simclr.backbone": {"name": "vit"},
            },
            "augmentation.mask.patch must be backbone.patch, 4: a transformer drops tokens",
        ),
        (
            {"variants.jigsaw.representation": "projector"},
            "representation is projector, and the objective jigsaw has none here: take backbone",
        ),
        ({"defaults.augmentation": [{"views": 2}]}, "defaults.augmentation is a list; one mapping is needed there"),
        ({"variants.simclr.augmentation": {"name": ["weak"]}}, "augmentation.name is ['weak']"),
        ({"variants.simclr.augmentation": {"crop": {"scale": [0.5]}}}, "variants.simclr.augmentation.crop.scale"),
        ({"variants.simclr.augmentation": {"mask": {"share": 1.0}}}, "mask.share is 1.0, which hides all 49 patches"),
        ({"variants.simclr.backbone": {"name": "vit", "heads": 0}}, "heads is 0; at least 1 is needed"),
        ({"variants.simclr.backbone": {"name": "vit", "patch": -4}}, "patch is -4; at least 1 is needed"),
        (
            {"variants.denoising_autoencoder.objective.decoder_width": 1},
            "decoder_width is 1; at least 2 channels are needed",
        ),
        ({"variants.simclr.representation": "head"}, "variants.simclr.representation is 'head'"),
        ({"suite.variants": ["mae"], "variants.mae.backbone": {}}, "the objective mae drops or replaces the tokens"),
        ({"suite.variants": ["msn"], "variants.msn.backbone": {}}, "resnet10 does not have; take backbone vit"),
        (
            {"suite.variants": ["i_jepa"], "variants.i_jepa.backbone": {}},
            "take backbone vit, or the objective simclr, or another joint-embedding one, with augmentation.mask",
        ),
        (
            {"suite.variants": ["i_jepa"], "variants.i_jepa.backbone.patch": 14},
            "needs at least 3 x 3: a patch of 7 at most",
        ),
        (
            {"variants.colourisation.augmentation.solarise": 0.5},
            "solarise to 0",
        ),
        (
            {"variants.colourisation.augmentation": {"views": 1}},
            "augmentation changes the colours that colourisation is to tell: set its jitter to null, greyscale and ",
        ),
        (
            {"variants.dino.augmentation": {"name": "multi_crop", "views": 2}},
            "augmentation makes 4 global and 2 local views; the objective dino takes 2 global and any local ones",
        ),
        ({"variants.byol.augmentation": {"name": "multi_crop"}}, "the objective byol takes 2 global and no local ones"),
        ({"variants.jigsaw.objective.grid": 3}, "variants.jigsaw: grid is 3"),
        (
            {"suite.variants": ["swav"], "variants.swav.objective.prototypes": 300},
            "prototypes is 300; the 256 images of a batch and 0 of the queue are shared out equally",
        ),
        ({"suite.variants": ["msn"], "variants.msn.objective.prototypes": 300}, "prototypes is 300; the images of a"),
        (
            {"suite.variants": ["moco_v2"], "variants.moco_v2.objective.queue": 1000},
            "variants.moco_v2: queue is 1000; it must hold whole batches of 256 images: take 768 or 1024",
        ),
        (
            {"suite.variants": ["w_mse"], "defaults.pretraining.accumulate": 4},
            "whitening_size is 128; it must divide the 64 images of a batch: take 64, or another divisor of it "
            "(pretraining.accumulate divides a batch into 4, and each part is one here)",
        ),
        (
            {"variants.simclr.objective.momentum": {"start": 1.5}},
            "variants.simclr.objective.momentum: momentum.start is 1.5; a momentum is in [0, 1]",
        ),
        ({"suite.variants": ["simclr", "simclrr"]}, "suite.variants names 'simclrr': did you mean simclr?"),
        ({"suite.variants": ["a/b"]}, "a name has letters, digits"),
        ({"suite.seeds": []}, "at least one is needed"),
        ({"suite.seeds": [0, 0]}, "none twice"),
        ({"suite.seeds": ["a"]}, "suite.seeds.0 is 'a'; a whole number is needed"),
        ({"suite.seeds": [1.5]}, "suite.seeds.0 is 1.5; a whole number is needed"),
        ({"suite.seeds": [0, -1]}, "seeds is [0, -1]; each must be 0 or more"),
        ({"suite.variants": "simclr"}, "suite.variants is 'simclr'; a list is needed"),
        ({"suit": {}}, "suit is not known: did you mean suite?"),
        ({"evaluation": None}, "evaluation is missing"),
        ({"data.name": "mnist"}, "data.name is 'mnist'; allowed are 'fashion_mnist'"),
        ({"data.image_sise": 28}, "data.image_sise is not known: did you mean image_size?"),
        ({"variants.simclr.objective.temprature": 0.1}, "variants.simclr.objective.temprature is not known: did you"),
        ({"variants.simclr.objective.temperature": "hot"}, "variants.simclr.objective.temperature is 'hot'; a number"),
        (
            {"variants.simclr.objective.temperature": float("nan")},
            "variants.simclr.objective.temperature is nan; a finite number is needed",
        ),
        ({"defaults.pretraining.epochs": float("inf")}, "pretraining.epochs is inf; a finite number is needed"),
        ({"evaluation.weight_decays": [float("inf")]}, "weight_decays.0 is inf; a finite number is needed"),
        ({"variants.simclr.objective.temperature": -1}, "temperature is -1.0; it must be above 0"),
        (
            {"variants.simclr.objective.name": "simklr"},
            "variants.simclr.objective.name is 'simklr'; allowed are 'random'",
        ),
        ({"variants.simclr.objective": {"name": "simclr", "projector": {"wide": 1}}}, "projector.wide is not known"),
        (
            {"variants.jigsaw.augmentation.views": 2},
            "augmentation makes 2 global and no local views; the objective jigsaw takes 1 global and no local ones",
        ),
        (
            {"variants.simclr.augmentation": [{}, {"views": 6, "size": 12}]},
            "augmentation makes 2 global and 6 local views; the objective simclr takes 2 global and no local ones",
        ),
        ({"variants.simclr.augmentation": []}, "augmentation makes no global and no local views; the objective simclr"),
        (
            {"variants.simclr.augmentation": {"jitter": {"hue": 0.6}}},
            "params.yaml: variants.simclr.augmentation.jitter: hue must be between 0 and 0.5",
        ),
        (
            {"variants.simclr.augmentation": [{"views": 1}, {"views": 1, "jitter": {"hue": 0.6}}]},
            "params.yaml: variants.simclr.augmentation.1.jitter: hue must be between 0 and 0.5",
        ),
        (
            {"variants.simclr.augmentation": {"jitter": {"hue": "red"}}},
            "params.yaml: variants.simclr.augmentation.jitter.hue is 'red'",
        ),
        (
            {"variants.simclr.augmentation": [{"views": 1}, {"views": 1, "jitter": {"hew": 0.1}}]},
            "params.yaml: variants.simclr.augmentation.1.jitter.hew is not known: did you mean hue?",
        ),
        (
            {"variants.simclr.augmentation": {"name": "byol", "jitter": {"hew": 0.1}}},
            "params.yaml: variants.simclr.augmentation.jitter.hew is not known: did you mean hue?",
        ),
        (
            {"variants.simclr.augmentation": [{"name": "byol"}, {"views": 1, "jitter": {"hew": 0.1}}, {"views": 1}]},
            "params.yaml: variants.simclr.augmentation.1.jitter.hew is not known: did you mean hue?",
        ),
        (
            {"variants.simclr.augmentation": {"crop": 0.3}},
            "variants.simclr.augmentation.crop is 0.3; a mapping, {key: value}, is needed",
        ),
        (
            {"variants.simclr.augmentation": {"crop": {"scale": [0.1, 0.2, 0.3]}}},
            "variants.simclr.augmentation.crop.scale is [0.1, 0.2, 0.3]; a list of 2 is needed",
        ),
        ({"variants.simclr.augmentation": ["strong"]}, "variants.simclr.augmentation.0 is 'strong'"),
        (
            {"variants.simclr.augmentation": "strong"},
            "variants.simclr.augmentation is 'strong'; a mapping, {key: value}, is",
        ),
        (
            {"variants.simclr.augmentation": {"mask": {"patch": 5}}},
            "variants.simclr: augmentation: views of 28 pixels: mask.patch is 5",
        ),
        ({"variants.random.pretraining": {"epochs": 1}}, "pretraining.epochs is 0 for the objective random"),
        ({"variants.random": {}}, "variants.random.objective is missing"),
        ({"defaults.backbone.name": "resnet11"}, "backbone.name"),
        ({"compute.device": "tpu"}, "compute.device is 'tpu'; allowed are 'auto', 'cpu' or 'cuda'"),
        ({"compute.devices": 0}, "compute: threads is 2, devices 0; at least 1 is needed"),
        ({"compute.compiled": "often"}, "compute.compiled is 'often'; allowed are 'auto', true or false"),
        ({"defaults.pretraining.accumulate": 3}, "accumulate is 3; it must divide batch_size (256)"),
        ({"defaults.pretraining.optimiser.name": "lion"}, "optimiser.name is 'lion'"),
        ({"defaults.backbone.stem": "imagenet"}, "smaller than the stride of resnet10 with backbone.stem imagenet, 32"),
        ({"variants.simclr.backbone": {"name": "vit", "patch": 5}}, "variants.simclr: backbone.patch is 5; it must"),
    ],
)
def test_mistakes_are_refused_with_the_key_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Refused) as refusal:
        parameters.load(written(tmp_path, **changes))
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_missing_or_no_yaml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"params\.yaml is missing"):
        parameters.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("data: [")
    with pytest.raises(Refused, match="not valid YAML"):
        parameters.load(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- data")
    with pytest.raises(Refused, match="mapping of sections"):
        parameters.load(tmp_path / "params.yaml")


def test_a_cell_is_known_by_what_its_figures_depend_on(tmp_path: Path) -> None:
    content = cells.read(PROJECT / "params.yaml")
    cell = Cell(variant="simclr", seed=0)
    known = cells.identity(content, cell)
    content["variants"]["vicreg"]["objective"]["variance"] = 1
    content["suite"]["seeds"] = [0, 1]
    content["tracking"]["uri"] = "elsewhere"
    assert cells.identity(content, cell) == known
    assert cells.identity(content, Cell(variant="simclr", seed=1)) != known
    content["variants"]["simclr"]["objective"]["temperature"] = 0.3
    assert cells.identity(content, cell) != known


def test_a_command_names_a_variant_and_a_seed_that_exist() -> None:
    loaded = parameters.load(PROJECT / "params.yaml")
    assert parameters.cell(loaded, "simclr", "3").name == "simclr-3"
    with pytest.raises(Refused, match="there is no variant 'nope'"):
        parameters.cell(loaded, "nope", "0")
    with pytest.raises(Refused, match="the seed is 'x'"):
        parameters.cell(loaded, "simclr", "x")


def test_what_cannot_be_compiled_is_refused_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(parameters, "can_compile", lambda: True)
    assert parameters.Compute(compiled=True).acceleration(cpu).compiled
    assert not parameters.Compute().acceleration(cpu).compiled
    assert parameters.Compute().acceleration(gpu) == Acceleration(compiled=True, captured=True)
    assert not parameters.Compute(devices=2).acceleration(gpu).captured
    monkeypatch.setattr(parameters, "can_compile", lambda: False)
    assert parameters.Compute().acceleration(gpu) == Acceleration(captured=True)
    with pytest.raises(Refused, match=r"compute.compiled is true, but there is no C\+\+ compiler"):
        parameters.Compute(compiled=True).acceleration(cpu)


def test_a_refusal_that_no_batch_is_to_blame_for_does_not_speak_of_its_parts(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"suite.variants": ["mae"], "variants.mae.backbone": {}}
    with pytest.raises(Refused, match=r"or the objective denoising_autoencoder with its masking noise$"):
        parameters.load(written(tmp_path, **changes, **{"defaults.pretraining.accumulate": 4}))
