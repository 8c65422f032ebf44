"""Choose the weights of the suite `weights`: name their file in params.yaml, and their network in the suite's defaults.

Which network it is, the file says if this project wrote it; else its name does, if it is called as timm and torchvision
call theirs; else MODEL.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml.comments import CommentedMap

from ssl_core.backbones import BackboneConfig
from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED
from tasks import tensors
from tasks.configuration import editing, files, parameters, weighed
from tasks.configuration.weighed import Weighed

SIZES = (64, 70, 96, 112, 128, 160, 192, 224, None)
"""Input sizes in pixels, the first that a network takes: a CPU can afford the small ones. None is the model's own."""
HASHED = re.compile(r"-[0-9a-f]{8}$")
"""How torchvision ends its files' names."""
ANONYMOUS = ("model", "pytorch_model", "backbone", "teacher")
"""Files that are called by what they are; the folder is then called by the network."""


def choose_weights(given: str, model: str) -> list[str]:
    """Have the suite start from a file of weights, or by its name in params.yaml, or from `pretrained` ones.

    Gives what was changed. Raises `Refused` where there is no such file, or where its network is not known, or not the
    one that `model` names.
    """
    image_size, changes = parameters.load(files.read(files.PARAMS)).image_size, []
    if given == PRETRAINED:
        name, made, network = given, None, _network(None, None, model)
    else:
        with editing.edited(files.PARAMS) as params:
            name, path = _named(given, params, changes)
        made = weighed.weigh(path)
        network = _network(path, made, model)
    network, config = _possible(network, image_size)
    try:
        if made:
            weighed.refuse_misfit(config, image_size, made)
    except Refused as error:
        raise Refused(f"WEIGHTS {error}; taken for {config.called}: say another by MODEL=") from None
    return [*changes, *_write(network, name)]


def _named(given: str, params: CommentedMap, changes: list[str]) -> tuple[str, Path]:
    """The name and the path of a file of weights, which is added to params.yaml where it is not there yet."""
    known = params["weights"]
    if given in known:
        return given, Path(known[given])
    path = Path(given).expanduser().resolve()
    if not path.exists():
        near = files.allowed(given, list(known)) if known else ""
        raise Refused(f"WEIGHTS is '{given}', which is neither a file nor a name of {files.PARAMS}'s weights{near}")
    for name, other in known.items():
        if Path(str(other)).resolve() == path:
            return str(name), path
    tensors.refuse_others(path)
    stem = path.parent.name if path.stem in ANONYMOUS else _stem(path)
    name = files.free(re.sub(r"\W", "_", stem, flags=re.ASCII) or "weights", [*known, PRETRAINED])
    known[name] = str(path)
    changes.append(f"{files.PARAMS}: weights has {name}: {path}")
    return name, path


def _network(path: Path | None, made: Weighed | None, model: str) -> dict[str, Any]:
    """A backbone's section, without its weights."""
    if model:
        library, _, named = model.rpartition("/")
        if library not in ("", "timm", "torchvision"):
            raise Refused(f"MODEL is {model}; timm's name of a network is needed, or torchvision/ and its name there")
        return {"name": library or "timm", "model": named}
    said = made.ours.get("network") if made else None
    if isinstance(said, dict):
        return {key: value for key, value in said.items() if key not in ("weights", "frozen_stages", "input_size")}
    if path is not None:
        for stem in (_stem(path), path.parent.name):
            if found := _published(stem):
                return found
    raise Refused(
        f"which network {path or PRETRAINED + ' weights'} are of is not known: say MODEL=, timm's name of it, or "
        "torchvision/resnet50"
    )


def _published(stem: str) -> dict[str, Any] | None:
    """The network that a file's name is of, if timm or torchvision call one so."""
    import timm
    from torchvision.models import list_models

    bare = HASHED.sub("", stem)
    if bare != stem and bare in list_models():
        return {"name": "torchvision", "model": bare}
    named = next((name for name in (stem, bare) if timm.is_model(name)), None)
    return {"name": "timm", "model": named} if named else None


def _possible(network: dict[str, Any], image_size: int) -> tuple[dict[str, Any], BackboneConfig]:
    """The section with the first input size that the network takes, if it has one. Raises `Refused` where none."""
    sizes = [network | {"input_size": side} for side in SIZES] if "model" in network else [network]
    for i, section in enumerate(sizes):
        try:
            config: BackboneConfig = TypeAdapter(BackboneConfig).validate_python(section)
            config.check(image_size)
        except ValidationError:
            raise Refused(f"WEIGHTS say that they are of {network}, which is no backbone of this version") from None
        except Refused:
            if i + 1 == len(sizes):
                raise
        else:
            return section, config
    raise AssertionError(network)


def _write(network: dict[str, Any], weights: str) -> list[str]:
    """Have the suite's defaults be of this backbone; what was changed.

    Where they are of this network already, its input size, and what else is said of it, stays.
    """
    with editing.edited(files.WEIGHTS) as suite:
        defaults = suite.setdefault("defaults", CommentedMap())
        before = dict(defaults.get("backbone") or {})
        if all(before.get(key) == value for key, value in network.items() if key != "input_size"):
            defaults["backbone"]["weights"] = weights
        else:
            defaults["backbone"] = editing.in_flow(**network, weights=weights)
        after = dict(defaults["backbone"])
    return [f"{files.WEIGHTS}: defaults.backbone is {after}, and was {before}"] if after != before else []


def _stem(path: Path) -> str:
    """A file's name without its ending; what stands before may have dots (`resnet50.a1_in1k`)."""
    return path.stem.removesuffix(".pth")
