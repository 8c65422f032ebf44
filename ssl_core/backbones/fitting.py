"""Tensors of a file that people have, into a network: wherever they lie in the file, and nothing by half.

A file's keys are a network's own behind a prefix, as `state_dict.module.`, `teacher.backbone.` or `_orig_mod.`: the one
behind which most of the network's tensors are found. So no list of wrappers is kept. Where a network is timm's, the
keys may be its authors' (DINOv2's registers, DINOv3's, ConvNeXt's own): timm has a module's conversion of those.
"""

import io
import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass

from torch import Tensor, nn

from ssl_core.errors import Refused

HEADS = re.compile(
    r"(fc|heads?|head_dist|classifier|last_linear|logits|aux\w*|proj\w*|predict\w*|prototypes?|expander|decod\w*"
    r"|mask_token)(\d*\.|\d*$)",
    re.IGNORECASE,
)
"""What a file may have beside the backbone: classifiers, projectors, decoders."""
AVERAGES = re.compile(r"teacher|target|momentum|(^|[._])ema([._]|$)|_k\.")
"""What authors call the moving average of the network that they train: DINO's, BYOL's, MoCo's."""
COUNTER = "num_batches_tracked"
"""Of batch norms, since PyTorch 0.4.1; no output depends on it."""
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was loaded: `count` tensors behind `prefix`, which `others` fitted as well; `left` were heads.

    `resized` are positions that were interpolated to the network's grid; `converted`: the keys were the authors'.
    """

    count: int
    prefix: str
    others: list[str]
    left: list[str]
    resized: list[str]
    converted: bool = False

    def __str__(self) -> str:
        said = [f"{self.count} tensors"]
        if self.others:
            said.append(f"those of {self.prefix or 'the top'}, not of {', '.join(self.others)}")
        if self.converted:
            said.append("named as its authors do, and converted by timm")
        if self.left:
            said.append(f"without its heads ({_listed(self.left)})")
        if self.resized:
            said.append(f"{', '.join(self.resized)} interpolated to this input size, as timm does it")
        return ", ".join(said)


def fit(network: nn.Module, tensors: Mapping[str, Tensor]) -> Fitted:
    """Load a file's tensors into `network`, in place.

    Where both are on the meta device, it tells by names, shapes and types alone whether they fit. Of several networks
    that fit equally, a teacher's (or another moving average's) tensors are taken. Raises `Refused` where the file is of
    another network, which then stays as it was; its sentence goes on from the file's name: "has 12 of the 240 …".
    """
    wanted: dict[str, Tensor] = {key: one for key, one in network.state_dict().items() if isinstance(one, Tensor)}
    prefix, *others = _prefixes(wanted, tensors) or [_shared(tensors)]
    given = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    resized = _interpolated(network, wanted, given)
    sentence = next(_differences(wanted, given), "")
    converted = _converted(network, wanted, given) if sentence else None
    if sentence and converted is None:
        raise Refused(sentence)
    given = converted or given
    loaded = {key: given[key] for key in wanted if key in given}
    network.load_state_dict(loaded, strict=False)
    left = [key for key in given if key not in wanted]
    return Fitted(
        count=len(loaded), prefix=prefix, others=others, left=left, resized=resized, converted=converted is not None
    )


def _prefixes(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    """The prefixes behind which most wanted tensors are, in a fixed order: what is kept in JSON has no other."""
    found: Counter[str] = Counter()
    for key, tensor in tensors.items():
        parts = key.split(".")
        for i in range(len(parts)):
            rest = ".".join(parts[i:])
            if rest in wanted:
                found[key.removesuffix(rest)] += 1 + (tensor.shape == wanted[rest].shape)
    most = max(found.values(), default=0)
    best = [prefix for prefix, count in found.items() if count == most]
    return sorted(best, key=lambda prefix: (AVERAGES.search(prefix) is None, prefix))


def _shared(tensors: Mapping[str, Tensor]) -> str:
    """What all keys begin with, whole parts of it: what the first and the last of them in order do."""
    first, last = (name(tensors, default="").split(".")[:-1] for name in (min, max))
    common = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(f"{part}." for part, _ in common)


def _interpolated(network: nn.Module, wanted: Mapping[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Bring the learnt positions of timm's transformers to the network's grid, in `given`; gives their keys."""
    key = "pos_embed"
    if key not in wanted or key not in given or given[key].shape == wanted[key].shape or given[key].ndim != 3:
        return []
    embed = getattr(network, "patch_embed", None)
    if not type(network).__module__.startswith("timm.") or embed is None:
        return []
    from timm.layers.pos_embed import resample_abs_pos_embed

    rows, columns = embed.grid_size
    beside = wanted[key].shape[1] - rows * columns
    if math.isqrt(places := given[key].shape[1] - beside) ** 2 != places:  # with others beside them than these
        return []
    given[key] = resample_abs_pos_embed(given[key].float(), new_size=[rows, columns], num_prefix_tokens=beside)
    return [key]


def _converted(
    network: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """An authors' tensors by timm's names, where the network is timm's and they then fit."""
    module = type(network).__module__
    convert = getattr(sys.modules[module], "checkpoint_filter_fn", None) if module.startswith("timm.") else None
    if convert is None:
        return None
    try:
        with redirect_stdout(io.StringIO()):
            named: dict[str, Tensor] = convert(dict(given), network)
    except Exception:  # it is made for its authors' files, and may fall over any other
        return None
    return None if any(_differences(wanted, named)) else named


def _differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    """Why a file is not of this network; nothing where it is."""
    needed = [key for key in wanted if not key.endswith(COUNTER)]
    there = [key for key in needed if key in given]
    differing = [key for key in there if given[key].shape != wanted[key].shape]
    of, fitting = f"of the {len(needed)} tensors of this network", len(there) - len(differing)
    if 2 * fitting < len(needed):
        yield f"has {fitting or 'none'} {of}: it is of another one"
    if differing:
        key = differing[0]
        shapes = f"{key} is {_shape(given[key])}, and {_shape(wanted[key])} is needed"
        yield f"has {len(differing)} {of} in another shape ({_listed(differing)}): {shapes}"
    if whole := [key for key in there if wanted[key].is_floating_point() and not given[key].is_floating_point()]:
        kind = str(given[whole[0]].dtype).removeprefix("torch.")
        yield f"has {len(whole)} {of} as {kind}, and floating-point numbers are needed: {_listed(whole)}"
    if len(there) < len(needed):
        missing = [key for key in needed if key not in given]
        yield f"lacks {len(missing)} {of}: {_listed(missing)}"
    strange = [key for key in given if key not in wanted and not HEADS.match(key) and not key.endswith(COUNTER)]
    if strange:
        yield f"has {len(strange)} tensors that this network has not, and so is of another one: {_listed(strange)}"


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more
