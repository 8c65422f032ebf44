"""From written files to configs: every objective has its method, what was validated is what is read, and how fast."""

import dataclasses
import json
import re
import shutil
import time
import typing
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, run
from written_files import METHODS, SHIPPED, load, values, write

from ssl_core.backbones import ResNetConfig, ViTConfig
from ssl_core.data.prepared import Card
from ssl_core.errors import Refused
from ssl_core.objectives import OBJECTIVES
from ssl_core.training.iteration import Acceleration
from tasks import configure, lacking
from tasks.configuration import asking, compute, configs, files, modules, plan, resolve, schemas
from tasks.configuration.compute import Compute

NAMES = {kind: typing.get_args(typing.get_type_hints(kind)["name"])[0] for kind in OBJECTIVES}


def test_there_is_a_method_and_a_line_of_the_readme_for_every_objective() -> None:
    names = set(NAMES.values())
    assert {method["objective"]["name"] for method in SHIPPED["methods.yaml"].values()} == names
    rows = re.findall(r"^\| (`.+?) \|", (PROJECT / "README.md").read_text(), flags=re.MULTILINE)
    assert names <= set(re.findall(r"`(\w+)`", " ".join(rows)))


@pytest.mark.parametrize("name", ["params.yaml", "methods.yaml"])
def test_an_override_on_the_command_line_reaches_one_place(name: str) -> None:
    """An anchor would be shared by several, or keep what it says."""
    assert not re.search(r"[&*]\w+", re.sub("#.*", "", (PROJECT / name).read_text()))


def test_every_method_is_possible_with_the_projects_images(tmp_path: Path) -> None:
    made = load(tmp_path, suite={"variants": dict.fromkeys(METHODS)})
    assert made.resolved.keys() | {"off_the_shelf"} == made.methods.keys()
    for name, one in made.resolved.items():
        assert values(one) == values(made.methods[name])


def test_what_cannot_be_compiled_is_refused_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(compute, "can_compile", lambda: True)
    assert Compute(compiled=True).acceleration(cpu, 0).compiled
    assert not Compute().acceleration(cpu, 1e20).compiled
    assert Compute().acceleration(gpu, 1e20) == Acceleration(compiled=True, captured=True)
    assert not Compute(devices=2).acceleration(gpu, 1e20).captured
    monkeypatch.setattr(compute, "can_compile", lambda: False)
    assert Compute().acceleration(gpu, 1e20) == Acceleration(captured=True)
    with pytest.raises(Refused, match=r"compute.compiled is true, but there is no C\+\+ compiler"):
        Compute(compiled=True).acceleration(cpu, 0)


def test_a_short_pretraining_is_not_compiled_on_a_gpu_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(compute, "can_compile", lambda: True)
    short, long = 90 * 256 * 40e6, 500 * 50_000 * 6.7e9  # the default suite's, and ResNet-18 on CIFAR-10 for 500 epochs
    chosen = [Compute().acceleration(gpu, operations).compiled for operations in (short, long, None)]
    assert chosen == [False, True, True]
    assert Compute(compiled=True).acceleration(gpu, short).compiled


def test_what_was_validated_is_what_the_stages_read(tmp_path: Path) -> None:
    params = {
        "images": ["shapes", "fashion_mnist"],
        "compute.threads": 3,
        "compute.devices": 2,
        "compute.compiled": True,
    }
    sections = dict.fromkeys(METHODS) | {
        "byol-no-crop": {"method": "byol", "augmentation": {"crop": None}},
        "simclr-2": {"method": "simclr", "augmentation": [{"views": 1}, {"views": 1, "solarise": 0.2}]},
    }
    suite = {"variants": sections, "seeds": [3, 1], "fine_tune": ["simclr"], "representations": ["teacher", "backbone"]}
    with chdir(write(tmp_path, params=params, suite=suite)):
        configured = resolve.load()
        configure.main()
        alone = Compute(threads=3)
        for name, one in configured.resolved.items():
            pretraining = configs.read(configs.Pretraining, name)
            assert {key: getattr(pretraining, key) for key in dict(one.variant)} == dict(one.variant)
            assert (pretraining.variant, pretraining.method) == (name, one.method)
            assert pretraining.compute == Compute(threads=3, devices=2, compiled=True)
            embedding = configs.read(configs.Embedding, name)
            assert embedding.representations == configured.representations(name)
            assert embedding.compute == alone
        first, second = (configs.read(configs.Preparing, name) for name in ("shapes", "fashion_mnist"))
        assert (first.listed, second.listed) == (None, None)
        assert first.data == configured.parameters.data["shapes"]
        assert second.data == dataclasses.replace(configured.parameters.data["fashion_mnist"], image_size=32)
        probing, tuning = configs.read(configs.Probing), configs.read(configs.FineTuning)
        assert dataclasses.asdict(probing.evaluation) | {"fine_tuning": dataclasses.asdict(tuning.fine_tuning)} == (
            dataclasses.asdict(configured.parameters.evaluation)
        )
        assert tuning.label_fractions == configured.parameters.evaluation.label_fractions
        assert probing.compute == tuning.compute == alone
        assert plan.read() == configs.planned(configured)
        assert [cell.seed for cell in plan.read().cells][:2] == [3, 1]


def test_all_that_small_sets_take_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, params={"images": ["shapes"]}, suite={"variants": {"simclr": None}})
    few = {"count": 12, "per_class": [6, 6]}
    card = Card(
        name="shapes", image_size=16, classes=["a", "b"], splits={"train": few, "val": few, "test": few}, grey=False,
        mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), original_sizes={}, sources=[], skipped={},
    )  # fmt: skip
    with chdir(tmp_path):
        configure.main()
        with pytest.raises(
            Refused, match=r"label_fractions of params.yaml to \[.*\]; and shapes has 12 images to pretrain"
        ):
            lacking.refuse(card)


def test_representations_the_tables_first(tmp_path: Path) -> None:
    sections = {"random": None, "simclr": None, "byol": None, "dino": None}
    asked = {"representations": ["backbone", "projector", "teacher"], "variants": sections}
    made = load(tmp_path, suite=asked)
    assert {name: made.representations(name) for name in sections} == {
        "random": ["backbone"],
        "simclr": ["backbone", "projector"],
        "byol": ["backbone", "projector", "teacher"],
        "dino": ["teacher", "backbone", "projector"],
    }
    made = load(tmp_path, suite={"variants": sections})
    assert [made.representations(name) for name in ("byol", "dino")] == [["backbone"], ["teacher"]]


def test_the_baseline_has_the_variants_own_backbone(tmp_path: Path) -> None:
    sections: dict[str, Any] = dict.fromkeys(("random", "random_vit", "simclr", "mae"))
    sections["wide"] = {"method": "simclr", "backbone": {"width": 32}}
    made = load(tmp_path, suite={"variants": sections})
    assert {name: made.baseline(name) for name in sections} == {
        "random": "",
        "random_vit": "",
        "simclr": "random",
        "mae": "random_vit",
        "wide": "",
    }


def test_what_is_unlike_in_a_claims_budgets_reaches_the_verdict_stage(tmp_path: Path) -> None:
    claim = {"says": "Two views.", "better": "simclr", "worse": "jigsaw", "more_than": 1.0}
    asked = {"variants": {"simclr": None, "jigsaw": None}, "claims.c": claim, "claims.d": claim | {"equal": "passes"}}
    with chdir(write(tmp_path, suite=asked)):
        configure.main()
        (suite,) = Path("configs/verdict").iterdir()
        assert asking.read(suite.stem).unlike == {"c": "simclr has 1.6 views of each image, jigsaw 0.8"}


def test_a_mistake_leaves_the_old_configs(tmp_path: Path) -> None:
    with chdir(write(tmp_path)):
        configure.main()
        before = {path: path.read_bytes() for path in sorted(Path("configs").rglob("*.yaml"))}
        assert len(before) > 6
        write(tmp_path, suite={"variants": {"byol": None, "simclr": {"objective": {"temperature": -1}}}})
        with pytest.raises(Refused):
            configure.main()
        assert {path: path.read_bytes() for path in sorted(Path("configs").rglob("*.yaml"))} == before
        write(tmp_path, suite={"variants": {"byol": None}})
        configure.main()
        assert {path.name for path in Path("configs").glob("*.yaml")} == {"byol.yaml"}
        assert not list(Path().glob(".configs*"))


def test_a_configuration_is_written_the_same_whatever_else_the_suite_has(tmp_path: Path) -> None:
    with chdir(write(tmp_path)):
        configure.main()
        alone = Path("configs/simclr.yaml").read_bytes()
        write(tmp_path, suite={"variants": {"byol": None, "simclr": None}, "seeds": [5], "question": "Another?"})
        configure.main()
        assert Path("configs/simclr.yaml").read_bytes() == alone
        write(tmp_path, methods={"byol.objective.predictor": 64, "simclr.objective.temperature": 0.3})
        configure.main()
        assert Path("configs/simclr.yaml").read_bytes() != alone


def test_two_hundred_variants_are_configured_in_seconds(tmp_path: Path) -> None:
    names = METHODS
    many = {
        f"v{i}": {
            "method": names[i % len(names)],
            "augmentation": {"flip": i / 200},
            "pretraining": {"record_every": 5},
        }
        for i in range(200)
    }
    write(tmp_path, suite={"variants": many, "seeds": [0, 1, 2]})
    started = time.monotonic()
    done = run("python", "-m", "tasks.configure", cwd=tmp_path, PYTHONPATH=str(PROJECT))
    seconds = time.monotonic() - started
    print(f"{seconds:.1f} s")
    assert done.stdout == "ours: 200 variants x 3 seeds\n"
    assert len(list((tmp_path / "configs").glob("*.yaml"))) == 200
    assert seconds < 20


def test_a_variant_is_printed_with_the_place_of_every_value(tmp_path: Path) -> None:
    section = {"method": "mae", "objective": {"masked_share": 0.5}}
    with chdir(write(tmp_path, suite={"variants.mae-50": section, "defaults": {"pretraining": {"epochs": 3}}})):
        lines = configure.explain("mae-50").splitlines()
        assert configure.explain("mae").splitlines()[0] == "mae: the method mae"
    assert lines[0] == "mae-50: the method mae, changed"
    said = dict(line.rsplit("  ", 1) for line in lines[2:])
    said = {value.strip(): place.strip() for value, place in said.items()}
    assert said["objective.masked_share: 0.5"] == "suites/ours.yaml"
    assert said["pretraining.epochs: 3.0"] == "suites/ours.yaml"
    assert said["pretraining.batch_size: 32"] == said['backbone.name: "vit"'] == "methods.yaml"
    assert said["pretraining.accumulate: 1"] == "params.yaml"
    assert said["backbone.width: 96"] == "ssl_core/backbones/vit.py"
    assert said["objective.normalised: true"] == "ssl_core/objectives/mae.py"
    assert said["augmentation.0.jitter: null"] == "recipe weak (methods.yaml)"
    assert len(said) == len(lines) - 2


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typing.Iterator[Path]:
    """A copy of the core, that digests are taken of."""
    shutil.copytree(PROJECT / "ssl_core", tmp_path / "ssl_core", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(modules, "ROOT", tmp_path)
    yield tmp_path / "ssl_core"
    forget()


def forget() -> None:
    modules._content.cache_clear()
    modules._imported.cache_clear()


def digests() -> dict[tuple[str, str], str]:
    """Of every objective with both backbones."""
    forget()
    return {
        (name, backbone.__name__): modules.digest(OBJECTIVES[kind], kind, backbone)
        for kind, name in NAMES.items()
        for backbone in (ResNetConfig, ViTConfig)
    }


def reached(before: dict[tuple[str, str], str], *edited: Path) -> set[tuple[str, str]]:
    """The variants whose digest changes with files."""
    for file in edited:
        file.write_text(file.read_text() + "\n# changed\n")
    after = digests()
    return {key for key in before if before[key] != after[key]}


def test_the_digest_of_a_variants_code(tree: Path) -> None:
    before = digests()
    both, every = {"ResNetConfig", "ViTConfig"}, set(NAMES.values())
    assert len(set(before.values())) == 2 * len(every)
    assert reached(before) == set()
    for file, objectives, backbones in (
        ("objectives/simclr.py", {"simclr"}, both),
        ("objectives/dino.py", {"dino", "ibot", "msn"}, both),
        ("objectives/patches.py", {"i_jepa", "ibot", "mae", "msn", "simmim"}, both),
        ("heads/queue.py", {"deepcluster_v2", "ibot", "moco_v2", "msn", "nnbyol", "nnclr", "swav"}, both),
        ("backbones/resnet.py", every, {"ResNetConfig"}),
        ("objectives/objective.py", every, both),
        ("objectives/__init__.py", set(), both),
    ):
        content = (tree / file).read_text()
        found = reached(before, tree / file)
        (tree / file).write_text(content)
        assert {name for name, _ in found} == objectives, file
        assert {backbone for _, backbone in found} == (backbones if objectives else set()), file
    with_tokens = {name for kind, name in NAMES.items() if OBJECTIVES[kind].needs_tokens}
    found = reached(before, tree / "backbones/vit.py")
    assert found >= {(name, "ViTConfig") for name in every}
    assert {name for name, backbone in found if backbone == "ResNetConfig"} == with_tokens


def test_a_new_objective_changes_no_other(tree: Path) -> None:
    before, union = digests(), tree / "objectives/__init__.py"
    (tree / "objectives/new.py").write_text("from ssl_core.heads import Queue\n\nclass New(Queue): ...\n")
    opening = "OBJECTIVES = {"
    assert opening in union.read_text()
    imported = "from ssl_core.objectives.new import New, NewConfig"
    union.write_text(f"{imported}\n" + union.read_text().replace(opening, f"{opening}\n    NewConfig: New,"))
    assert reached(before) == set()


def test_a_relative_import_counts(tree: Path) -> None:
    simclr = tree / "objectives/simclr.py"
    simclr.write_text(simclr.read_text() + "\nfrom . import dino\nfrom ..heads.queue import Queue\n")
    before = digests()
    assert {name for name, _ in reached(before, tree / "objectives/dino.py")} == {"dino", "ibot", "msn", "simclr"}
    before = digests()
    assert ("simclr", "ViTConfig") in reached(before, tree / "heads/queue.py")


def test_the_schemas_are_those_of_the_code() -> None:
    for name, schema in schemas.schemas().items():
        shipped = json.loads((PROJECT / schemas.FOLDER / f"{name}.json").read_text())
        assert shipped == schema, f"schemas/{name}.json is not the code's: run python -m tasks.configuration.schemas"


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("params.yaml", "schemas/params.json"),
        ("methods.yaml", "schemas/methods.json"),
        *((f"suites/{file.name}", "../schemas/suite.json") for file in sorted((PROJECT / "suites").glob("*.yaml"))),
    ],
)
def test_an_editor_finds_each_files_schema_and_no_mistake(name: str, schema: str) -> None:
    file = PROJECT / name
    assert file.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema}"
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    checked = json.loads((file.parent / schema).read_text())
    validator.check_schema(checked)
    assert not list(validator(checked).iter_errors(files.read(file)))


def test_an_editor_sees_a_mistake() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    read = {
        name: json.loads((PROJECT / "schemas" / f"{name}.json").read_text()) for name in ("params", "methods", "suite")
    }
    checks = {name: validator(schema) for name, schema in read.items()}
    suite: dict[str, Any] = files.read(PROJECT / "suites" / "projector.yaml")
    assert checks["suite"].is_valid(suite)
    for key, mistaken in (
        ("seed", [0]),
        ("seeds", ["a"]),
        ("variants", {"a": {"objective": {"temprature": 1}}}),
        ("variants", {"a": {"augmentation": {"crop": 0.3}}}),
        ("claims", {"a": {"says": "", "better": "a", "worse": "b", "how": "most", "more_than": 1}}),
        ("representations", ["head"]),
        ("images", ["shapes"]),
    ):
        assert not checks["suite"].is_valid(suite | {key: mistaken}), (key, mistaken)
    assert not checks["methods"].is_valid({"simclr": {"objective": {"name": "simklr"}}})
    assert not checks["params"].is_valid(SHIPPED["params.yaml"] | {"computer": {}})
    assert not checks["params"].is_valid(SHIPPED["params.yaml"] | {"data": {"a": {"source": "mnits"}}})
