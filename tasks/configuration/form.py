"""The form of what a user writes, checked before DVC reads it: names, lists, and keys that stand in the wrong file.

It costs no time: nothing here knows what a method is.
"""

import re
from pathlib import Path
from typing import Any

from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED
from tasks.configuration import files

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
"""Without '-' in front: commands are given names, and would take it for an option."""
DATA_NAME = re.compile(r"[A-Za-z0-9_]+")
"""Without '-': stage names put a cell's and a data set's name together with one."""
NEEDED = ("suite", "variants", "seeds", "fine_tune")
"""The keys of a suite that dvc.yaml reads."""
OF_PARAMS = ("images", "data", "weights", "evaluation", "compute", "tracking")
OF_SUITES = ("question", "source", "seeds", "fine_tune", "representations", "looks", "claims")
OF_METHODS = ("objective", "representation")
OF_VARIANTS = (*OF_METHODS, "backbone", "augmentation", "pretraining")
MOVED = {"suite": "a file in suites", "variants": "methods.yaml, or a suite's own in its file"}


def check_params(written: dict[str, Any]) -> None:
    """Raise `Refused` where params.yaml has the form of an earlier version, or keys of a suite."""
    moved = [f"{key} (now {where})" for key, where in MOVED.items() if key in written]
    data = written.get("data")
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        moved.append("data (now data sets by name, each with its `source`; `images` says which are used)")
    if moved:
        raise Refused(f"{files.PARAMS} has the form of an earlier version; moved are {', '.join(moved)}")
    for key in written:
        if key in OF_SUITES:
            raise Refused(f"{files.PARAMS}: {key} is not known here: it belongs in a suite, suites/NAME.yaml")
        if key in OF_VARIANTS:
            belongs = files.METHODS if key in OF_METHODS else "defaults"
            raise Refused(f"{files.PARAMS}: {key} is not known here: it belongs in {belongs}")
    images = written.get("images")
    if not isinstance(images, list) or not images or len({*map(str, images)}) < len(images):
        raise Refused(f"{files.PARAMS}: images is {images}; a list of data sets is needed, at least one, none twice")
    if not isinstance(data, dict) or not data:
        raise Refused(f"{files.PARAMS}: data is {data!r}; a mapping is needed, of at least one data set by name")
    known = list(data)
    for name in known:
        _check_name(f"{files.PARAMS}: data", name, DATA_NAME, "digits and '_'")
    for name in images:
        if name not in known:
            raise Refused(f"{files.PARAMS}: images names '{name}'{files.allowed(str(name), known)}")
    _check_weights(written.get("weights"))


def _check_weights(weights: Any) -> None:
    if not isinstance(weights, dict):
        raise Refused(f"{files.PARAMS}: weights is {weights!r}; a mapping is needed, of files by name: {{}} for none")
    for name, path in weights.items():
        where = f"{files.PARAMS}: weights"
        _check_name(where, name, NAME, "digits, '_' and '-'")
        if name == PRETRAINED:
            raise Refused(f"{where}.{name}: that name is kept for what timm or torchvision download; take another")
        if not isinstance(path, str) or not path:
            raise Refused(f"{where}.{name} is {path!r}; the path of a file is needed")
        if path.startswith("~"):
            raise Refused(f"{where}.{name} is {path}, which DVC does not expand: write {Path(path).expanduser()}")


def check_methods(written: dict[str, Any]) -> None:
    """Raise `Refused` where methods.yaml has keys of another file."""
    for key in written:
        belongs = files.PARAMS if key in (*OF_PARAMS, "defaults") else "a suite, suites/NAME.yaml"
        if key in (*OF_PARAMS, "defaults", *OF_SUITES, "suite", "variants"):
            raise Refused(f"{files.METHODS}: {key} is no method: it belongs in {belongs}")
        _check_name(str(files.METHODS), key, NAME, "digits, '_' and '-'")


def check_suite(file: Path, written: dict[str, Any]) -> None:
    """Raise `Refused` where a suite lacks what the graph is made of, or has keys of another file."""
    check_suite_name(file.stem)
    for key in written:
        if key in OF_PARAMS:
            raise Refused(f"{file}: {key} is not known here: it belongs in {files.PARAMS}")
        if key in OF_VARIANTS:
            raise Refused(f"{file}: {key} is not known here: it belongs in one of its variants, or in its defaults")
    for key in NEEDED:
        if key not in written:
            none = ": [] for none" if key == "fine_tune" else ""
            raise Refused(f"{file}: {key} is missing{none}")
    if written["suite"] != file.stem:
        raise Refused(f"{file}: suite is '{written['suite']}'; it must be the file's name, {file.stem}")
    for other in sorted(file.parent.glob("*.yaml")):
        # Not parsed: another suite may be half written.
        if other != file and re.search(rf"^suite: *['\"]?{file.stem}\b", other.read_text(), flags=re.MULTILINE):
            raise Refused(f"{file} and {other} both are suite '{file.stem}'; a suite's name is its file's")
    variants, seeds = written["variants"], written["seeds"]
    if not isinstance(variants, dict) or not variants:
        raise Refused(f"{file}: variants is {variants!r}; a mapping is needed, of at least one variant by name")
    for name, section in variants.items():
        _check_name(f"{file}: variants", name, NAME, "digits, '_' and '-'")
        if section is not None and not isinstance(section, dict):
            raise Refused(f"{file}: variants.{name} is {section!r}; a mapping, or nothing for the method as it is")
    whole = isinstance(seeds, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise Refused(
            f"{file}: seeds is {seeds!r}; a list of whole numbers is needed, at least one, each once, 0 to 2^32 - 1"
        )
    tuned = written["fine_tune"]
    if not isinstance(tuned, list) or len({*map(str, tuned)}) < len(tuned):
        raise Refused(f"{file}: fine_tune is {tuned!r}; a list of variants is needed, none twice; [] for none")
    for name in tuned:
        if str(name) not in variants:
            raise Refused(
                f"{file}: fine_tune names '{name}', which is no variant of it{files.allowed(str(name), list(variants))}"
            )


def check_section(where: object, section: Any) -> None:
    """Raise `Refused` where a variant, a method or defaults have keys of params.yaml, or a suite's own."""
    for key in section if isinstance(section, dict) else ():
        if key in OF_PARAMS:
            raise Refused(f"{where}.{key} is not known here: it belongs in {files.PARAMS}")
        if key in OF_SUITES:
            raise Refused(f"{where}.{key} is not known here: it belongs in a suite, beside its variants")


def check_defaults(where: object, section: dict[str, Any]) -> None:
    """Raise `Refused` where defaults have keys of another place, or list several kinds of views."""
    check_section(where, section)
    if isinstance(section.get("augmentation"), list):
        raise Refused(f"{where}.augmentation is a list; one mapping is needed there: a variant may list several")


def check_suite_name(name: str) -> None:
    """Raise `Refused` where a suite, which is named in stages, folders and addresses, has no name for them."""
    _check_name(str(files.SUITES), name, NAME, "digits, '_' and '-'")


def _check_name(where: str, name: Any, form: re.Pattern[str], others: str) -> None:
    if not isinstance(name, str):
        raise Refused(f"{where} names {name!r}, which is no text to YAML: put it in quotes")
    if not form.fullmatch(name):
        first = ", and no '-' in front" if name.startswith("-") else ""
        raise Refused(f"{where} names '{name}'; a name has letters of the alphabet, {others} only{first}")
