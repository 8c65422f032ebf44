"""torch.compile's front end, imported when something is compiled, and not before.

torchvision's operators import it for one question that only their own compilation asks (torchvision/ops/roi_align.py):
1.3 s of a stage that takes torchvision's blocks and compiles nothing, nearly as much as PyTorch itself.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

ASKED = "torch._dynamo.utils"


class _Later(ModuleType):
    """Stands for the module until more than that question is asked of it; then the module itself takes its place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)

    @staticmethod
    def is_compile_supported(device_type: Any) -> Any:
        """Asks the module itself."""
        if isinstance(sys.modules.get(ASKED), _Later):
            del sys.modules[ASKED]
        return importlib.import_module(ASKED).is_compile_supported(device_type)


def defer() -> None:
    """Import the front end only when it is used. A process that shall compile has no use for this."""
    sys.modules.setdefault(ASKED, _Later(ASKED))
