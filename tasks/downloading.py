"""The weights that a network's library publishes, fetched when a pretraining starts from them."""

from typing import Any

import torch
from torch import Tensor

from ssl_core.backbones import BackboneConfig, TimmConfig, TorchvisionConfig
from ssl_core.errors import Refused


def download(config: BackboneConfig) -> dict[str, Tensor]:
    """The published tensors of a configuration's network, from the library's own cache where they are in it.

    Raises `Refused` where there are none, or where they cannot be fetched: it says what file from where does instead.
    """
    address = _address(config)
    if not address:
        raise Refused(f"backbone.weights is pretrained, and nobody publishes weights of {config.called}")
    try:
        with torch.random.fork_rng(devices=[]):
            return _fetched(config)
    except Exception as error:  # each library, and what it fetches with, has its own
        why = " ".join(str(error).split())[:100]
        raise Refused(
            f"the weights of {config.called} could not be downloaded ({type(error).__name__}: {why}): fetch {address} "
            "elsewhere, add the file to params.yaml's weights, and set backbone.weights to its name there"
        ) from None


def _address(config: BackboneConfig) -> str:
    """Where the file is that would be fetched; empty where nobody publishes one."""
    match config:
        case TimmConfig():
            import timm

            described: Any = timm.get_pretrained_cfg(config.model)
            if not described.has_weights:
                return ""
            if described.hf_hub_id:
                return f"https://huggingface.co/{described.hf_hub_id}/resolve/main/model.safetensors"
            return described.url
        case TorchvisionConfig():
            return _of_torchvision(config).url
    return ""


def _fetched(config: BackboneConfig) -> dict[str, Tensor]:
    match config:
        case TimmConfig():
            import timm

            return timm.create_model(config.model, pretrained=True, num_classes=0).state_dict()
        case TorchvisionConfig():
            fetched = _of_torchvision(config).get_state_dict(progress=False, check_hash=True, weights_only=True)
            return dict(fetched)
    raise AssertionError(config)


def _of_torchvision(config: TorchvisionConfig) -> Any:
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(config.model)
    return weights.DEFAULT
