"""The suites that the project ships: possible, about what they say, and of one mind on what a name means."""

import itertools
import json
import shutil
from contextlib import chdir
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from written_files import SHIPPED, differing, suites, values

from ssl_core.errors import Refused
from tasks.comparison import claims
from tasks.configuration import choose, configs, files, resolve
from tasks.configuration.resolve import Configuration
from tasks.forecasting import doubts

NAMES = [file.stem for file in suites()]
SIDES = {"difficulty": ["cifar10"]}
"""Of the suites that not all images can have."""
WEIGHTS = {"weights": ("pretrained", "test_resnet")}
"""And of those that are about given weights: these weights, and their network."""


def load(root: Path, suite: str, *images: str) -> Configuration:
    if not (root / "suites").exists():
        shutil.copytree(PROJECT / "suites", root / "suites")
        for name in ("params.yaml", "methods.yaml", "dvc.yaml"):
            shutil.copy(PROJECT / name, root / name)
    with chdir(root):
        weights, model = WEIGHTS.get(suite, ("", ""))
        choose.main(suite, ",".join(images), weights=weights, model=model)
        return resolve.load()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Configuration]:
    """Every suite with CIFAR-like images."""
    root = tmp_path_factory.mktemp("shipped")
    return {name: load(root, name, "cifar10", "shapes") for name in NAMES}


def test_the_lectures_questions_are_shipped() -> None:
    asked = {"augmentations", "difficulty", "families", "masking", "momentum", "projector", "protocols", "transfer"}
    assert set(NAMES) == asked | {"default", "smoke", "weights"}


@pytest.mark.parametrize("images", [["fashion_mnist", "shapes"], ["cifar10", "shapes"]])
@pytest.mark.parametrize("name", NAMES)
def test_a_suite_is_possible_with_images_of_both_sizes(tmp_path: Path, name: str, images: list[str]) -> None:
    if images[0] not in SIDES.get(name, images):
        with pytest.raises(Refused, match="images of 28 pixels"):
            load(tmp_path, name, *images)
        first = (PROJECT / "suites" / f"{name}.yaml").read_text().splitlines()[1]
        assert first.startswith("# For images of 32 pixels and more")
        return
    made = load(tmp_path, name, *images)
    assert made.resolved


def test_a_name_is_one_configuration_in_all_suites_that_ask_a_question(shipped: dict[str, Configuration]) -> None:
    """So that they share cells. The default suite is a first look, with a smaller budget of its own."""
    seen: dict[str, Any] = {}
    for name, configuration in shipped.items():
        if name == "default":
            continue
        for variant, one in configuration.resolved.items():
            before = seen.setdefault(variant, (name, one))
            assert values(before[1]) == values(one), f"{variant} is two things in {before[0]} and {name}"


def test_variants_of_a_suite_are_different(shipped: dict[str, Configuration]) -> None:
    for name, configuration in shipped.items():
        made = [json.dumps(sorted(map(str, values(one).items()))) for one in configuration.resolved.values()]
        assert len(set(made)) == len(made), name


def test_a_methods_name_is_the_method(shipped: dict[str, Configuration]) -> None:
    for configuration in shipped.values():
        for name, one in configuration.resolved.items():
            if name in configuration.methods:
                assert values(one) == values(configuration.methods[name])


def test_a_variant_says_nothing_that_its_method_has(shipped: dict[str, Configuration]) -> None:
    for suite, configuration in shipped.items():
        for name, one in configuration.resolved.items():
            if one.changes:
                assert differing(configuration.methods[one.method], one), (suite, name)


def test_the_claims_of_a_suite_differ_in_what_they_are_about(shipped: dict[str, Configuration]) -> None:
    """Pairs that are compared differ in nothing else than what the suite asks about."""
    pairs = {
        "augmentations": ("augmentation",),
        "momentum": ("objective", "momentum"),
        "projector": ("objective", "projector"),
    }
    for suite, section in pairs.items():
        configuration = shipped[suite]
        for claim in configuration.suite.claims.values():
            sides = [pair for pair in (claim.more, claim.less, claim) if pair is not None]
            for pair in sides:
                better, worse = pair.better or [], pair.worse or []
                if len(better) == len(worse):
                    compared = zip(better, worse, strict=True)
                else:
                    compared = [(left, right) for left in better for right in worse]
                for left, right in compared:
                    found = differing(configuration.resolved[left.variant], configuration.resolved[right.variant])
                    assert {path[: len(section)] for path in found} <= {section}, (suite, left, right)


def test_what_a_claim_compares_has_seen_as_many_views(shipped: dict[str, Configuration]) -> None:
    """Images x passes x views of an image; what is not trained here has none. Else the claim says what is equal."""
    for name, configuration in shipped.items():
        for key, claim in configuration.suite.claims.items():
            arms = [configuration.resolved[arm.variant].variant for side in claim.sides() for arm in side]
            trained = [one for one in arms if one.objective_class.trained]
            passes = {one.pretraining.epochs for one in trained}
            views = {round(one.pretraining.epochs * sum(kind.views for kind in one.augmentation), 9) for one in trained}
            equal = passes if claim.equal == "passes" else views
            assert len(equal) == 1, (name, key, views)
        assert list(doubts.unequal(configuration)) == [], name


def test_augmentations_has_every_operation_left_out_and_alone(shipped: dict[str, Configuration]) -> None:
    """Of SimCLR, or with blur, which SimCLR has not, of SimCLR with blur."""
    resolved, off = shipped["augmentations"].resolved, {"crop": None, "flip": 0.0, "jitter": None, "greyscale": 0.0}

    def present(name: str) -> set[str]:
        (recipe,) = resolved[name].variant.augmentation
        return {key for key in (*off, "blur") if getattr(recipe, key) not in (None, 0.0)}

    assert present("simclr") == set(off)
    assert present("simclr-with-blur") == {*off, "blur"}
    for operation in off:
        assert present(f"simclr-no-{operation}") == set(off) - {operation}
    for operation in (*off, "blur"):
        assert present(f"simclr-only-{operation}") == {operation}


def test_masking_crosses_mask_and_crop_with_both_backbones(shipped: dict[str, Configuration]) -> None:
    seen = set()
    for one in shipped["masking"].resolved.values():
        recipe = one.variant.augmentation[0]
        if one.variant.objective_class.trained:
            seen.add((one.variant.backbone.name, recipe.mask is not None, recipe.crop is not None))
    assert seen == set(itertools.product(("resnet10", "vit"), (True, False), (True, False)))


def test_each_shipped_claim_has_an_end(shipped: dict[str, Configuration]) -> None:
    for name in set(NAMES) - {"default", "smoke"}:
        suite = shipped[name].suite
        assert suite.claims, name
        assert len(suite.seeds) >= 3, f"{name}: one seed decides nothing"
        assert suite.source.startswith("lecture 08-2, ") or name == "weights"
        assert suite.question.endswith("?")
        for claim in suite.claims.values():
            assert claim.says.endswith(".")
            assert claim.source.startswith(("lecture 08-2 expects it", "ours")), (
                "what the lecture expects is to be said"
            )


def test_every_shipped_claim_compiles_to_contrasts(shipped: dict[str, Configuration]) -> None:
    for name, configuration in shipped.items():
        plan = configs.planned(configuration)
        for claim in configuration.suite.claims.values():
            groups = claims.compiled(plan, claim)
            assert groups, name
            for weights in chain(*groups):
                assert sum(weights.values()) == pytest.approx(0), (name, claim.says)
                assert sum(map(abs, weights.values())) >= 2 - 1e-9, (name, claim.says)
                for term in weights:
                    assert term.images
                    assert term.representation in plan.variants[term.variant].representations


def test_every_trained_variant_has_a_baseline(shipped: dict[str, Configuration]) -> None:
    for name, configuration in shipped.items():
        for variant, one in configuration.resolved.items():
            if one.variant.objective_class.trained:
                assert configuration.baseline(variant), (name, variant)


def test_transfer_needs_somewhere_to_go(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"names none: add a data set to images, behind cifar10$"):
        load(tmp_path, "transfer", "cifar10")


def test_the_project_starts_with_the_default_suite() -> None:
    assert files.active_suite(PROJECT / "dvc.yaml").stem == "default"
    assert SHIPPED["params.yaml"]["images"] == ["fashion_mnist"]
