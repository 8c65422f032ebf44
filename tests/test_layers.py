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
