"""`config.json` as timm writes it for Hugging Face; `timm.create_model("local-dir:FOLDER")` makes the network by it."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import nn


def write(network: nn.Module, described: Mapping[str, str], file: Path) -> None:
    """Write the file for a network of timm's, and no weights."""
    from timm.models._hub import save_config_for_hf

    side = json.loads(described["input_size"])
    seen = {name: tuple(json.loads(described[name])) for name in ("mean", "std")}
    seen |= {"input_size": (3, side, side), "interpolation": "bilinear", "crop_pct": 1.0}
    save_config_for_hf(network, str(file), data_config=seen)
