"""Where pretraining reads the weights that a backbone starts from."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from torch import nn

from ssl_core import parallel
from ssl_core.backbones import Backbone, BackboneConfig, fitting
from ssl_core.errors import Refused
from ssl_core.pretrained import PRETRAINED
from tasks import tensors
from tasks.configuration import files, parameters


def start(backbone: Backbone, config: BackboneConfig, sha256: str | None) -> str | None:
    """Load the weights that a configuration names into its backbone, in place, and say so; none: it stays as it is.

    `sha256` is of the file as it was configured. Gives that of what was loaded: the file's, or of the names and
    bytes of published tensors; None where there was nothing. Raises `Refused` where the file is
    another one, of another network, or damaged.
    """
    if config.weights is None:
        return None
    if config.weights == PRETRAINED:
        from tasks import downloading

        where, found = f"the weights that are published of {config.name}", downloading.download(config)
        sha256 = tensors.digest(found)
    else:
        path = _path(config.weights)
        where = f"{files.PARAMS}: weights.{config.weights} ({path})"
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != sha256:
                raise Refused(f"{where} is another file than was configured: run `dvc repro`")
        found = tensors.read(path).tensors
    try:
        fitted = fitting.fit(backbone.network, found)
    except Refused as error:
        raise Refused(f"{where} {error}") from None
    _refuse_not_finite(backbone.network, {key.removeprefix(fitted.prefix) for key in found}, where)
    if parallel.share()[0] == 0:
        print(f"weights: {where}: {fitted}")
    return sha256


def _refuse_not_finite(network: nn.Module, loaded: Collection[str], where: str) -> None:
    """Raise `Refused` where loaded tensors have infinities, or what is no number: whoever wrote them had diverged."""
    state = network.state_dict()
    broken = [key for key, tensor in state.items() if key in loaded and not tensor.isfinite().all()]
    if broken:
        raise Refused(f"{where} has values that are not finite in {len(broken)} of its tensors, first in {broken[0]}")


def _path(name: str) -> Path:
    known = parameters.load(files.read(files.PARAMS)).weights
    if name not in known:
        raise Refused(f"{files.PARAMS}: weights has no '{name}' any more{files.allowed(name, list(known))}")
    path = Path(known[name])
    if not path.is_file():
        raise Refused(f"{files.PARAMS}: weights.{name}: {path} is not there")
    return path
