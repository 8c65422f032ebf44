"""A variant inherits from its method, a method from the defaults; an ablation changes what it says and nothing else."""

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import written_files
from hypothesis import given, settings
from hypothesis import strategies as st
from written_files import GONE, METHODS, SHIPPED, differing, load, values, variants

from ssl_core.augmentation import Recipe, recipes
from ssl_core.evaluation import EvaluationConfig, FineTuningConfig
from ssl_core.training.optimiser import AdamWConfig
from ssl_core.training.pretraining import PretrainingConfig
from tasks.configuration import layers, variant
from tasks.configuration.compute import Compute
from tasks.configuration.layers import Path as Keys
from tasks.configuration.resolve import Resolved
from tasks.configuration.variant import dumped


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resolved]:
    return load(tmp_path_factory.mktemp("methods")).methods


def test_every_method_changes_where_an_ablation_says_so_and_nowhere_else(tmp_path: Path) -> None:
    sections: dict[str, Any] = {}
    for name in METHODS:
        sections |= {
            f"{name}-flip": {"method": name, "augmentation": {"flip": 0.1}},
            f"{name}-blur": {"method": name, "augmentation": {"blur": {"probability": 0.3}}},
            f"{name}-rate": {"method": name, "pretraining": {"optimiser": {"learning_rate": 0.123}}},
            f"{name}-collapse": {"method": name, "pretraining": {"collapse": {"rankme": 3.5}}},
        }
    loaded = load(tmp_path, suite={"variants": sections})
    for name in METHODS:
        method = loaded.methods[name]
        kinds = range(len(method.variant.augmentation))
        flips = differing(method, loaded.resolved[f"{name}-flip"])
        assert flips == {("augmentation", kind, "flip"): 0.1 for kind in kinds}
        blurred = differing(method, loaded.resolved[f"{name}-blur"])
        assert {path[:3] for path in blurred} == {("augmentation", kind, "blur") for kind in kinds}
        rate = differing(method, loaded.resolved[f"{name}-rate"])
        assert rate == {("pretraining", "optimiser", "learning_rate"): 0.123}
        assert differing(method, loaded.resolved[f"{name}-collapse"]) == {("pretraining", "collapse", "rankme"): 3.5}


def test_a_projector_or_a_momentum_encoder_is_switched_off_alone(tmp_path: Path, methods: dict[str, Resolved]) -> None:
    switches = {
        f"{name}-no-{switch}": (name, switch)
        for name, one in methods.items()
        for switch in ("projector", "momentum")
        if getattr(one.variant.objective, switch, None) and name not in ("w_mse", "i_jepa")
    }
    assert len(switches) > 15
    made = variants(
        tmp_path,
        **{
            key: {"method": name, "objective": {switch: None}, "representation": "backbone"}
            for key, (name, switch) in switches.items()
        },
    )
    for key, (name, switch) in switches.items():
        found = differing(methods[name], made[key])
        found.pop(("representation",), None)
        assert {path[:2] for path in found} == {("objective", switch)}, key
        assert found[("objective", switch)] is None


def test_what_a_method_says_is_not_taken_back_by_the_defaults(tmp_path: Path, methods: dict[str, Resolved]) -> None:
    made = variants(
        tmp_path,
        dino_hot={"method": "dino", "objective": {"student_temperature": 0.2}},
        msn_hot={"method": "msn", "objective": {"temperature": 0.2}},
        swav_more={"method": "swav", "objective": {"prototypes": 64}},
        byol_slow={"method": "byol", "objective": {"momentum": {"start": 0.999}}},
    )
    dino = made["dino_hot"].variant
    assert (dino.pretraining.batch_size, dino.pretraining.optimiser.learning_rate) == (64, 0.004)
    assert differing(methods["dino"], made["dino_hot"]) == {("objective", "student_temperature"): 0.2}
    assert made["dino_hot"].representation == "teacher"
    assert made["msn_hot"].variant.backbone.name == "vit"
    assert differing(methods["msn"], made["msn_hot"]) == {("objective", "temperature"): 0.2}
    assert [(kind.views, kind.size) for kind in made["swav_more"].variant.augmentation] == [
        (1, None),
        (1, None),
        (4, 12),
    ]
    assert differing(methods["swav"], made["swav_more"]) == {("objective", "prototypes"): 64}
    assert differing(methods["byol"], made["byol_slow"]) == {("objective", "momentum", "start"): 0.999}


def test_part_of_an_objectives_own_section_keeps_the_rest_of_it(tmp_path: Path, methods: dict[str, Resolved]) -> None:
    made = variants(tmp_path, fewer={"method": "vicreg", "objective": {"projector": {"layers": 2}}})
    projector = dumped(made["fewer"].variant)["objective"]["projector"]
    assert (projector["layers"], projector["width"], projector["output"]) == (2, 512, 512)
    assert differing(methods["vicreg"], made["fewer"]) == {("objective", "projector", "layers"): 2}


@pytest.mark.parametrize(
    ("method", "kinds", "expected"),
    [
        ("simclr", [{"views": 1, "flip": 0.1}, {"views": 1}], [(1, 0.1, False), (1, 0.5, False)]),  # one below
        ("swav", [{"flip": 0.1}, {}, {"views": 6}], [(1, 0.1, False), (1, 0.5, False), (6, 0.5, True)]),  # as many
        ("swav", [{"views": 1}, {"views": 1, "flip": 0.1}], [(1, 0.5, False), (1, 0.1, False)]),  # other: the defaults'
    ],
)
def test_kinds_of_views_inherit_one_by_one(
    tmp_path: Path, method: str, kinds: list[Any], expected: list[Any], methods: dict[str, Resolved]
) -> None:
    made = variants(tmp_path, several={"method": method, "augmentation": kinds})["several"].variant
    assert [(kind.views, kind.flip, kind.size is not None) for kind in made.augmentation] == expected
    if len(kinds) == 2 and method == "swav":
        assert made.augmentation[0].crop == methods["simclr"].variant.augmentation[0].crop
        assert made.augmentation[0].crop != methods["swav"].variant.augmentation[0].crop
    else:
        assert made.augmentation[0].crop == methods[method].variant.augmentation[0].crop


def test_several_kinds_inherit_from_the_one_that_a_method_has(tmp_path: Path) -> None:
    kinds = [{"views": 1}, {"views": 1, "flip": 0.1}]
    loaded = load(
        tmp_path, methods={"simclr.augmentation.greyscale": 0.9}, suite={"variants.simclr": {"augmentation": kinds}}
    )
    made = loaded.resolved["simclr"].variant.augmentation
    assert [(kind.views, kind.flip, kind.greyscale) for kind in made] == [(1, 0.5, 0.9), (1, 0.1, 0.9)]


def test_one_mapping_holds_for_each_kind_of_views(tmp_path: Path, methods: dict[str, Resolved]) -> None:
    made = variants(tmp_path, grey={"method": "swav", "augmentation": {"greyscale": 0.7}})["grey"]
    assert differing(methods["swav"], made) == {("augmentation", kind, "greyscale"): 0.7 for kind in range(3)}


def test_another_kind_inherits_nothing(tmp_path: Path) -> None:
    made = variants(
        tmp_path,
        other_backbone={"method": "simclr", "backbone": {"name": "vit"}},
        same_backbone={"method": "simclr", "backbone": {"name": "resnet10"}},
        other_objective={"method": "dino", "objective": {"name": "simclr"}, "representation": None},
        other_recipe={"method": "byol", "augmentation": {"name": "weak", "flip": 0.1}},
    )
    assert dumped(made["other_backbone"].variant)["backbone"]["width"] == 96
    assert dumped(made["same_backbone"].variant)["backbone"]["width"] == 16
    other = made["other_objective"]
    assert dumped(other.variant)["objective"].keys() == {"name", "temperature", "projector", "momentum"}
    assert (other.variant.pretraining.batch_size, other.representation) == (64, "backbone")
    (kind,) = made["other_recipe"].variant.augmentation
    (weak,) = recipes.weak(28)
    assert asdict(kind) == asdict(weak) | {"flip": 0.1}


def test_a_suites_defaults_are_above_params_and_below_the_method(tmp_path: Path) -> None:
    lower = {"pretraining": {"batch_size": 128, "epochs": 3}, "backbone": {"width": 8}}
    made = load(
        tmp_path, suite={"defaults": lower, "variants": {"dino": None, "simclr": {"pretraining": {"epochs": 4}}}}
    )
    dino, simclr = made.resolved["dino"].variant, made.resolved["simclr"].variant
    assert (dino.pretraining.batch_size, dino.pretraining.epochs) == (64, 3)
    assert (simclr.pretraining.batch_size, simclr.pretraining.epochs) == (128, 4)
    assert dumped(dino)["backbone"]["width"] == dumped(simclr)["backbone"]["width"] == 8


def test_a_recipe_has_a_name_and_overrides(tmp_path: Path) -> None:
    names = ("simclr", "byol", "weak", "mask_only")
    override = {"name": "byol", "blur": None, "crop": {"scale": [0.5, 1]}}
    made = variants(
        tmp_path,
        **{f"by_{name}": {"method": "simclr", "augmentation": {"name": name}} for name in names},
        ours={"method": "simclr", "augmentation": override},
    )
    for name in names:
        assert sum(kind.views for kind in recipes.NAMED[name](28)) == 2
        assert made[f"by_{name}"].variant.augmentation == recipes.NAMED[name](28)
    first, second = made["ours"].variant.augmentation
    assert (first.blur, second.blur, first.solarise, second.solarise) == (None, None, 0.0, 0.2)
    assert first.crop is not None
    assert (first.crop.scale, first.crop.ratio) == ((0.5, 1), (3 / 4, 4 / 3))


def test_multi_crop_makes_local_views_of_half_the_side() -> None:
    first, second, local = recipes.multi_crop(32)
    assert (first.views, second.views, local.views, local.size) == (1, 1, 4, 16)
    assert recipes.multi_crop(28)[2].size == 12
    assert recipes.multi_crop(224)[2].size == 112


def test_the_defaults_may_name_a_recipe_whose_operations_a_variant_switches_off(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        params={"defaults.augmentation": {"name": "simclr"}},
        suite={"variants": {"simclr": {"augmentation": {"crop": None}}}},
    )
    (kind,) = made.resolved["simclr"].variant.augmentation
    assert asdict(kind) == asdict(recipes.simclr(28)[0]) | {"crop": None}


def test_what_these_images_cannot_have_is_no_mistake_of_a_method(tmp_path: Path) -> None:
    impossible = {"backbone": {"name": "vit", "patch": 5}}
    load(tmp_path, methods={"vicreg.backbone": impossible["backbone"]})
    assert "must divide the image size" in written_files.refusal(tmp_path, suite={"variants.simclr": impossible})


def of_any(method: Resolved) -> st.SearchStrategy[dict[str, Any]]:
    """Overrides that are possible with a method."""
    share = st.floats(0, 1)
    augmentation = {
        "flip": share,
        "crop": st.fixed_dictionaries({}, optional={"scale": st.tuples(st.floats(0.1, 0.5), st.just(1.0)).map(list)}),
        "blur": st.none() | st.fixed_dictionaries({"probability": share}),
    }
    if not method.variant.objective_class.needs_colours:
        augmentation |= {"greyscale": share, "solarise": share, "jitter": st.none() | st.just({"hue": 0.3})}
    rate, another_kind = {"learning_rate": st.floats(1e-4, 1)}, {"name": st.sampled_from(["sgd", "lars"])}
    optimiser = st.fixed_dictionaries({}, optional=rate | {"weight_decay": share, "betas": st.just([0.8, 0.9])})
    optimiser |= st.fixed_dictionaries(rate | another_kind, optional={"weight_decay": share})
    pretraining: dict[str, Any] = {
        "record_every": st.integers(1, 99),
        "optimiser": optimiser,
    }
    if method.variant.objective_class.trained:
        pretraining["epochs"] = st.floats(1, 9)
    if getattr(method.variant.objective, "projector", None):
        projector = {"layers": st.integers(1, 4), "width": st.sampled_from([32, 64])}
        objective = {"projector": st.fixed_dictionaries({}, optional=projector)}
    else:
        objective = {}
    sections = {"augmentation": augmentation, "pretraining": pretraining, "objective": objective}
    return st.fixed_dictionaries(
        {"method": st.just(method.name)},
        optional={key: st.fixed_dictionaries({}, optional=section) for key, section in sections.items()},
    )


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_variant_differs_from_its_method_only_where_it_says_so(
    methods: dict[str, Resolved], data: st.DataObject
) -> None:
    overrides = {f"of-{name}": data.draw(of_any(methods[name]), label=name) for name in METHODS}
    with TemporaryDirectory() as folder:
        made = load(Path(folder), suite={"variants": overrides}).resolved
    for name, written in overrides.items():
        method, one = methods[written.pop("method")], made[name]
        for path in differing(method, one):
            assert any(_reaches(said, path, method) for said, _ in layers.leaves(written)), (name, path)
        found = values(one)
        for said, value in layers.leaves(written):
            kinds = range(len(one.variant.augmentation)) if said[0] == "augmentation" else [None]
            for kind in kinds:
                assert found[said if kind is None else (said[0], kind, *said[1:])] == value


def _reaches(said: Keys, path: Keys, method: Resolved) -> bool:
    """Whether what is said may change a value: itself or a part of it, or a part of a section that is new thereby."""
    plain = tuple(key for key in path if not isinstance(key, int))
    if plain[: len(said)] == said:
        return True
    new = said[-1] == "name" or any(
        key not in values(method) or values(method)[key] is None for key in (path, path[:-1])
    )
    return new and plain[: len(said) - 1] == said[:-1]


def test_every_value_keeps_the_place_that_it_comes_from(tmp_path: Path) -> None:
    made = load(
        tmp_path,
        suite={
            "defaults": {"pretraining": {"record_every": 20}},
            "variants": {
                "dino": {"objective": {"student_temperature": 0.2}},
                "strong": {"method": "simclr", "augmentation": {"name": "simclr", "flip": 0.1}},
            },
        },
    ).resolved
    places = {path: str(leaf.place) for path, leaf in layers.leaves(made["dino"].places)}
    assert (
        places[("objective", "student_temperature")] == "suites/ours.yaml: variants.dino.objective.student_temperature"
    )
    assert places[("objective", "projector", "width")] == "ssl_core/objectives/dino.py"
    assert places[("pretraining", "batch_size")] == "methods.yaml: dino.pretraining.batch_size"
    assert places[("representation",)] == "methods.yaml: dino.representation"
    assert places[("backbone", "width")] == "params.yaml: defaults.backbone.width"
    assert places[("augmentation", 0, "crop", "ratio")] == "ssl_core/augmentation/recipe.py"
    strong = {path: leaf.place.file for path, leaf in layers.leaves(made["strong"].places)}
    assert strong[("augmentation", 0, "flip")] == "suites/ours.yaml"
    assert strong[("augmentation", 0, "greyscale")] == "recipe simclr (suites/ours.yaml)"
    assert strong[("pretraining", "record_every")] == "suites/ours.yaml"


def test_methods_say_nothing_that_would_hold_without(tmp_path: Path, methods: dict[str, Resolved]) -> None:
    """A default that is written twice is changed in one place only, one day."""
    without = {}
    for name, section in SHIPPED["methods.yaml"].items():
        for path, _ in layers.leaves(section):
            if path != ("objective", "name"):
                dotted = ".".join(map(str, path))
                without[f"{name}-without-{dotted.replace('.', '-')}"] = (
                    name,
                    dotted,
                    written_files.changed(section, {dotted: GONE}),
                )
    made = load(tmp_path, methods={key: section for key, (_, _, section) in without.items()}).methods
    for key, (name, dotted, _) in without.items():
        changed = differing(methods[name], made[key])
        assert changed, f"methods.yaml: {name}.{dotted} is what it would be without"


def test_what_params_yaml_writes_out_is_what_the_classes_have() -> None:
    """Who deletes a line there changes nothing, but of the backbone, whose small width is this machine's."""
    written = SHIPPED["params.yaml"]
    defaults = json.loads(json.dumps(asdict(Recipe())))
    for key, value in layers.leaves(written["defaults"]["augmentation"]):
        assert _at(defaults, key) == value, key
    pretraining = asdict(PretrainingConfig(epochs=written["defaults"]["pretraining"]["epochs"]))
    assert pretraining["optimiser"] == asdict(AdamWConfig())
    for key, value in layers.leaves(written["defaults"]["pretraining"]):
        assert _at(pretraining, key) == value, key
    evaluation = asdict(EvaluationConfig()) | {"fine_tuning": asdict(FineTuningConfig())}
    evaluation = json.loads(json.dumps(evaluation))
    for key, value in layers.leaves(written["evaluation"]):
        assert _at(evaluation, key) == value, key
    for key, value in layers.leaves(written["compute"]):
        assert _at(asdict(Compute()), key) == value, key


def _at(content: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        content = content[key]
    return content


def test_a_variant_says_everything(methods: dict[str, Resolved]) -> None:
    for name, one in methods.items():
        found = layers.values(one.places)
        found.pop("representation", None)
        assert found == dumped(one.variant), name
        assert set(found) == set(variant.SECTIONS)
