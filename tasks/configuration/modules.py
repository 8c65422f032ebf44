"""Which files of the core a class stands on: a digest of them changes when one is edited, and only then."""

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ssl_core

ROOT = Path(ssl_core.__file__).parent.parent


def digest(*classes: type) -> str:
    """A digest of the modules that define the classes and of all that these import of the core (16 hex digits).

    A package's `__init__` lists what there is to choose from: what it is asked for is followed to the module that
    defines it, and the others on its list do not count. So a new objective changes nothing for those that are there.
    """
    found: set[Path] = set()
    waiting = [_file(one.__module__) for one in classes]
    while waiting:
        file = waiting.pop()
        if file is not None and file not in found:
            found.add(file)
            waiting += _imported(file)
    hashed = hashlib.sha256()
    for file in sorted(found):
        hashed.update(f"{file.relative_to(ROOT).as_posix()}\0".encode() + _content(file))
    return hashed.hexdigest()[:16]


@cache
def _content(file: Path) -> bytes:
    return file.read_bytes()


@cache
def _imported(file: Path) -> list[Path | None]:
    return [_defining(module, name) for module, name in _imports(file)]


def _imports(file: Path) -> Iterator[tuple[str, str]]:
    """Module and name of every import from the core."""
    package = file.relative_to(ROOT).parts
    for node in ast.walk(ast.parse(_content(file))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            if module.split(".")[0] == ssl_core.__name__:
                yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == ssl_core.__name__:
                    yield alias.name, ""


def _defining(module: str, name: str) -> Path | None:
    """The file in which `from module import name` ends; None where a package's `__init__` itself defines it."""
    inner = _file(f"{module}.{name}") if name else None
    if inner is not None:
        return inner
    file = _file(module)
    if file is not None:
        return file
    init = ROOT.joinpath(*module.split("."), "__init__.py")
    found = [(origin, asked) for origin, asked in _imports(init) if asked == name]
    return _defining(*found[0]) if found else None


def _file(module: str) -> Path | None:
    """A module's file; None for a package, and for what is no module of the core."""
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.exists() else None


def path(one: type) -> str:
    """The file that defines a class, as the project names it."""
    defined = Path(sys.modules[one.__module__].__file__ or "")
    return defined.relative_to(ROOT).as_posix()
