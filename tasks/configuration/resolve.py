"""From the three kinds of file to variants that say everything: one configuration a variant, each value with its place.

    params.yaml defaults  <  the suite's defaults  <  the method  <  the suite's variant

A method is whole before a variant changes it: what a variant leaves out is its method's, also inside a section that
only the method's objective has a default for.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_core.augmentation import recipes
from ssl_core.backbones import BackboneConfig
from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED
from ssl_core.training.pretraining import PretrainingConfig
from tasks.configuration import claimed, files, form, layers, modules, parameters, suite, variant
from tasks.configuration.files import allowed
from tasks.configuration.layers import Place, Said, said
from tasks.configuration.parameters import Parameters
from tasks.configuration.suite import Suite
from tasks.configuration.validation import validate
from tasks.configuration.variant import Variant, Written

DEFAULT = -1
"""The rank of what nobody wrote."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A variant that says everything. `places` is the tree of its values and where each was said.

    `representation`: the one that its method's authors evaluate, or that was asked for.
    """

    name: str
    method: str
    variant: Variant
    representation: str
    places: Any
    changes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """All that was written: `resolved` are the variants of the suite."""

    parameters: Parameters
    methods: dict[str, Resolved]
    suite: Suite
    resolved: dict[str, Resolved]

    def representations(self, name: str) -> list[str]:
        """What is embedded and probed of a variant, first what the table shows of it."""
        one = self.resolved[name]
        asked = self.suite.representations or [one.representation]
        had = [each for each in asked if each in one.variant.representations]
        return sorted(had, key=lambda each: each != one.representation)

    def baseline(self, name: str) -> str:
        """The suite's variant with the initial weights of the same backbone; nothing where there is no other."""
        return next(self._untrained(name, "none"), "")

    def off_the_shelf(self, name: str) -> str:
        """The suite's variant with given weights of the same backbone, as they come; nothing where there is no other.

        A variant that starts from weights has that of the same ones alone; one from scratch has the first of several.
        An untrained variant has none.
        """
        one = self.resolved[name].variant
        found = self._untrained(name, "given") if one.objective_class.trained else iter(())
        wanted = one.backbone.weights
        return next((key for key in found if wanted in (None, self.resolved[key].variant.backbone.weights)), "")

    def _untrained(self, name: str, weights: str) -> Iterator[str]:
        """The other variants that train nothing and take such weights, of the same backbone."""
        wanted = _bare(self.resolved[name].variant.backbone)
        for key, other in self.resolved.items():
            kind = other.variant.objective_class
            if key != name and not kind.trained and kind.weights == weights and _bare(other.variant.backbone) == wanted:
                yield key


def _bare(backbone: BackboneConfig) -> BackboneConfig:
    """The network alone: without its weights, and which of its stages are not trained."""
    return dataclasses.replace(backbone, weights=None, frozen_stages=0)


def load(file: Path | None = None) -> Configuration:
    """Everything in the current folder, validated. Raises `Refused` with one sentence on the first mistake.

    `file`: a suite's, the active one's where it is None. Every method must be a method; the suite's variants must also
    be possible with these images.
    """
    settings, methods = parameters.load(files.read(files.PARAMS)), files.read(files.METHODS)
    file = file or files.active_suite()
    asked = suite.load(file, files.read_suite(file))
    form.check_methods(methods)
    defaults = [
        said(settings.defaults, Place(str(files.PARAMS), ("defaults",), 0)),
        said(asked.defaults, Place(str(file), ("defaults",), 1)),
    ]
    for layer, section in ((files.PARAMS, settings.defaults), (file, asked.defaults)):
        form.check_defaults(f"{layer}: defaults", section)
    whole = {name: _method(name, section, defaults, settings.image_size) for name, section in methods.items()}
    resolved = {
        name: _variant(name, section or {}, whole, defaults, file, settings.image_size)
        for name, section in asked.variants.items()
    }
    configuration = Configuration(parameters=settings, methods=whole, suite=asked, resolved=resolved)
    _refuse_impossible(configuration, file)
    return configuration


def named(name: str) -> Resolved:
    """A variant of the active suite, or a method. Raises `Refused` where there is neither."""
    configuration = load()
    known = configuration.methods | configuration.resolved
    if name not in known:
        raise Refused(f"there is no variant '{name}' in {configuration.suite.suite}{allowed(name, list(known))}")
    return known[name]


def _method(name: str, section: Any, defaults: list[Any], image_size: int) -> Resolved:
    own = Place(str(files.METHODS), (name,), 2)
    if not isinstance(section, dict):
        raise Refused(f"{own} must be a mapping, {{objective: …}}")
    form.check_section(own, section)
    return _resolve(name, name, [*defaults, said(section, own)], defaults, own, image_size, {})


def _variant(
    name: str, section: dict[str, Any], methods: dict[str, Resolved], defaults: list[Any], file: Path, image_size: int
) -> Resolved:
    own = Place(str(file), ("variants", name), 3)
    method = section.get("method", name)
    if not isinstance(method, str) or method not in methods:
        near = allowed(str(method), list(methods))
        if "method" in section:
            raise Refused(f"{own}.method is '{method}', which is no method of {files.METHODS}{near}")
        raise Refused(f"{own} has no `method`, and {files.METHODS} has none of that name{near}")
    if name in methods and method != name:
        raise Refused(f"{own}.method is {method}, and {name} is a method of its own: give the variant another name")
    if not section:
        return dataclasses.replace(methods[method], name=name)
    form.check_section(own, section)
    changes = {key: value for key, value in section.items() if key != "method"}
    return _resolve(name, method, [methods[method].places, said(changes, own)], defaults, own, image_size, changes)


def _resolve(
    name: str,
    method: str,
    stacked: list[Any],
    defaults: list[Any],
    own: Place,
    image_size: int,
    changes: dict[str, Any],
) -> Resolved:
    """Stack the layers, validate, and give every value that nobody wrote the place of its default."""
    views = layers.stack(defaults, {}).get("augmentation", {})
    tree = layers.stack(stacked, views)
    if "augmentation" in tree:
        tree = tree | {"augmentation": list(_kinds(tree["augmentation"], image_size))}
    written = validate(Written, layers.values(tree), lambda path: str(layers.place(tree, tuple(path), own)))
    made = Variant(**{key: getattr(written, key) for key in variant.SECTIONS})
    whole = _with_defaults(variant.dumped(made), tree, made)
    if "representation" in tree:
        whole["representation"] = tree["representation"]
    return Resolved(
        name=name,
        method=method,
        variant=made,
        representation=written.representation or "backbone",
        places=whole,
        changes=changes,
    )


def _kinds(augmentation: Any, image_size: int) -> Iterator[Any]:
    """The kinds of views; a recipe's name becomes the recipe's kinds, changed by what stands beside the name."""
    for kind in augmentation if isinstance(augmentation, list) else [augmentation]:
        if not isinstance(kind, dict) or "name" not in kind:
            yield kind
            continue
        name = kind["name"]
        if not isinstance(name.value, str) or name.value not in recipes.NAMED:
            near = allowed(str(name.value), list(recipes.NAMED))
            raise Refused(f"{name.place} is {name.value!r}{near}")
        above = {key: value for key, value in kind.items() if key != "name"}
        place = dataclasses.replace(name.place, file=f"recipe {name.value} ({name.place.file})", keys=(), rank=DEFAULT)
        for recipe in recipes.NAMED[name.value](image_size):
            yield layers.merge(said(_plain(dataclasses.asdict(recipe)), place), above)


def _plain(content: Any) -> Any:
    """Tuples as lists."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    return [_plain(each) for each in content] if isinstance(content, tuple | list) else content


def _with_defaults(content: dict[str, Any], tree: Any, made: Variant) -> dict[str, Any]:
    """The tree of all values: with the places of those that were written, and of the others the default's file."""
    owners = {
        "objective": type(made.objective),
        "backbone": type(made.backbone),
        "augmentation": type(made.augmentation[0]) if made.augmentation else Variant,
        "pretraining": PretrainingConfig,
    }

    def placed(value: Any, branch: Any, default: Place) -> Any:
        if isinstance(value, dict):
            known = branch if isinstance(branch, dict) else {}
            return {key: placed(each, known.get(key), default) for key, each in value.items()}
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            known = branch if isinstance(branch, list) else [None] * len(value)
            return [placed(each, said_of, default) for each, said_of in zip(value, known, strict=True)]
        return Said(value, branch.place if isinstance(branch, Said) else default)

    return {
        key: placed(content[key], tree.get(key), Place(modules.path(owner), (), DEFAULT))
        for key, owner in owners.items()
    }


def _refuse_impossible(configuration: Configuration, file: Path) -> None:
    for name, one in configuration.resolved.items():
        where = f"{file}: variants.{name}"
        _refuse_unknown_weights(one, list(configuration.parameters.weights))
        try:
            variant.check(one.variant, configuration.parameters.image_size)
        except ValueError as error:
            raise Refused(f"{where}: {error}") from None
        had = ", ".join(one.variant.representations)
        if one.representation not in one.variant.representations:
            raise Refused(f"{where}: representation is {one.representation}, and it has none: it has {had}")
        if not configuration.representations(name):
            asked = ", ".join(configuration.suite.representations or ())
            raise Refused(f"{file}: representations is {asked}, of which {name} has none: it has {had}")
    embedded = {name: configuration.representations(name) for name in configuration.resolved}
    claimed.refuse_impossible(file, configuration.suite, configuration.parameters, embedded)


def _refuse_unknown_weights(one: Resolved, known: list[str]) -> None:
    given = one.variant.backbone.weights
    if given is not None and given not in (*known, PRETRAINED):
        said_at = layers.place(one.places, ("backbone", "weights"), Place(str(files.METHODS)))
        near = allowed(given, known) if known else ": they are none yet"
        raise Refused(f"{said_at} is '{given}', which {files.PARAMS}'s weights do not have{near}")
