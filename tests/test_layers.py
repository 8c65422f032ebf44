"""The architecture: what may import what."""

import subprocess
import sys

from importlinter.cli import lint_imports


def test_the_layers_are_kept() -> None:
    assert lint_imports(no_cache=True) == 0


def test_the_core_starts_without_the_tools_around_it() -> None:
    """A bare GPU machine has torch, torchvision and numpy; no stage pays for torchvision or timm unless it uses it."""
    modules = "ssl_core.training.pretraining, ssl_core.evaluation.evaluation, ssl_core.objectives, ssl_core.data"
    unwanted = {"prefect", "dvc", "mlflow", "pydantic", "ruamel", "pandas", "torchvision", "timm", "safetensors"}
    # PyTorch takes tqdm where there is one, and does without where there is none.
    built = "ViTConfig(name='vit').build(32), ResNetConfig(name='resnet10').build(32)"
    program = (
        f"import sys; sys.modules['tqdm'] = None; import {modules}; print(sorted({unwanted} & set(sys.modules)));"
        f"from ssl_core.backbones import ResNetConfig, ViTConfig; {built}; print('timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]


def test_the_compiler_is_imported_when_it_is_used() -> None:
    """A stage that takes torchvision's blocks and compiles nothing does not pay for it; what compiles has it whole."""
    program = """
import sys
from tasks import compiler
compiler.defer()
import torch
from ssl_core.backbones import ResNetConfig
network = ResNetConfig(name="resnet10", width=8).build(32).eval()
with torch.inference_mode():
    network(torch.zeros(1, 3, 32, 32))
print("torch._dynamo" in sys.modules)
from torchvision.ops import roi_align
print(sys.modules[roi_align.__module__].is_compile_supported("cpu"), "torch._dynamo" in sys.modules)
import torch._dynamo
print(torch._dynamo.utils is sys.modules["torch._dynamo.utils"], torch._dynamo.utils.__file__ is not None)
with torch.no_grad():
    print(torch.compile(torch.sin, backend="eager")(torch.zeros(1)).item())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True", "True", "0.0"]
