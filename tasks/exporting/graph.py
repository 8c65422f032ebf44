"""A kept network as an ONNX graph that takes raw pixels, checked against PyTorch before anybody has it."""

import io
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch

from ssl_core.errors import Refused
from tasks.exporting.loading import INPUT, OUTPUT
from tasks.exporting.pixels import FromPixels, example
from tasks.weights import Kept

TOLERANCE = 1e-3
"""The largest difference to PyTorch's representations, by the largest of their values."""
BATCHES = (1, 3)
"""Of images that the graph is checked with: neither is the batch that it was made with."""
LIMIT = 2**31 - 2**20
"""Bytes of weights: one file of ONNX's format has less than 2 GiB."""


def write(kept: Kept, file: Path, described: Mapping[str, str]) -> float:
    """Write the graph: uint8 `pixels` [B, 3, H, W] to float32 `representation` [B, D], with normalisation and resizing.

    `described` become the file's metadata. Gives the largest relative difference to PyTorch. Raises `Refused` where the
    network cannot be exported, or the graph differs by more than `TOLERANCE`.
    """
    network = FromPixels(kept).eval()
    if sum(tensor.nbytes for tensor in network.state_dict().values()) > LIMIT:
        raise Refused(f"the weights of this network are 2 GiB or more, which no one ONNX file can hold{_WITHOUT}")
    program = _exported(network, example(kept))
    if any(isinstance(each.shape[0], int) for each in program.model.graph.inputs if each.shape):
        raise Refused(f"this network cannot be exported to ONNX for batches of any size{_WITHOUT}")
    program.model.metadata_props.update(described)
    program.save(file, external_data=False)
    found = difference(network, file, kept.image_size)
    if not found <= TOLERANCE:
        raise Refused(f"the ONNX graph differs from PyTorch by {found:.2g}, more than {TOLERANCE:g} allows{_WITHOUT}")
    return found


def difference(network: torch.nn.Module, file: Path, image_size: int) -> float:
    """The largest difference of the graph's representations of random images, by the largest of PyTorch's values."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = 0.0
    for count in BATCHES:
        pixels = np.random.default_rng(count).integers(0, 256, (count, 3, image_size, image_size), np.uint8)
        with torch.inference_mode():
            expected = network(torch.from_numpy(pixels)).numpy()
        (found,) = session.run([OUTPUT], {INPUT: pixels})
        largest = max(largest, float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()))
    return largest


_WITHOUT = "; ONNX=no (--no-onnx) exports without the graph"


def _exported(network: FromPixels, pixels: torch.Tensor) -> torch.onnx.ONNXProgram:
    """What PyTorch's exporter makes of it, which speaks to the terminal at every step."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (pixels,),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = next((line for line in str(error.__cause__ or error).splitlines() if line.strip()), type(error).__name__)
        raise Refused(f"this network cannot be exported to ONNX ({why.strip()[:200]}){_WITHOUT}") from None
    assert program is not None, "torch.onnx.export gives a program where dynamo is true"
    return program
