"""How a kept backbone is used without this project: lines of Python to be read and copied. Imports no PyTorch."""

import json
from collections.abc import Mapping

FILE, GRAPH = "backbone.safetensors", "backbone.onnx"
"""What an export calls the weights and the graph."""
INPUT, OUTPUT = "pixels", "representation"
"""The graph's own names."""


def lines(described: Mapping[str, str], file: str = FILE) -> list[str]:
    """Three lines that make representations `h` of standardised `images`, by the library that has the network.

    `described`: the metadata of the weights in `file`. What no library has is used through the exported graph.
    """
    if described["library"] not in ("timm", "torchvision"):
        return graph_lines()
    arguments = json.loads(described["model_args"])
    load = f'model.load_state_dict(safetensors.torch.load_file("{file}"))'
    use = f"h = model.eval()(images)  # {_taken(described)} -> [B, {described['num_features']}]"
    if described["library"] == "timm":
        return [f"model = timm.create_model({_call(described['model'], {'num_classes': 0} | arguments)})", load, use]
    # torchvision has no argument for a network without its classifier, whose weights are neither here nor missed.
    without = f'model.set_submodule("{described["head"]}", torch.nn.Identity())'
    return [f"model = torchvision.models.get_model({_call(described['model'], arguments)}); {without}", load, use]


def imports(described: Mapping[str, str]) -> str:
    """What must be imported for `lines`."""
    match described["library"]:
        case "timm":
            return "import safetensors.torch, timm"
        case "torchvision":
            return "import safetensors.torch, torch, torchvision"
        case _:
            return "import onnxruntime"


def graph_lines() -> list[str]:
    """Lines that make representations `h` of raw `pixels` by the exported graph."""
    return [
        f'session = onnxruntime.InferenceSession("{GRAPH}")',
        f'(h,) = session.run(["{OUTPUT}"], {{"{INPUT}": pixels}})',
    ]


def _call(model: str, keywords: Mapping[str, object]) -> str:
    return ", ".join([f'"{model}"', *(f"{name}={value!r}" for name, value in keywords.items())])


def _taken(described: Mapping[str, str]) -> str:
    side = described["input_size"]
    mean, std = (", ".join(f"{value:.4g}" for value in json.loads(described[name])) for name in ("mean", "std"))
    return f"RGB [B, 3, {side}, {side}] in 0..1, less ({mean}), by ({std})"
