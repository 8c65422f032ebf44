"""Progress bars, where tqdm is installed: a bare GPU machine has only PyTorch, torchvision and NumPy."""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Bar(Generic[T]):
    """Iterates over what it is given, and shows how many of `total` are done; imports tqdm when it is made."""

    def __init__(
        self, over: Iterable[T], total: int, unit: str, done: int = 0, name: str = "", shown: bool = True
    ) -> None:
        self.over, self.bar = over, _tqdm(over, total, unit, done, name) if shown else None

    def __iter__(self) -> Iterator[T]:
        return iter(self.over if self.bar is None else self.bar)

    def note(self, text: str) -> None:
        """Say something beside the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(text)


def _tqdm(over: Iterable, total: int, unit: str, done: int, name: str) -> Any:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(over, desc=name, initial=done, total=total, unit=unit, mininterval=1)
