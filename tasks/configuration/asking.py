"""What the active suite asks, as `configure` left it for the verdict stage. Without PyTorch."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ssl_core.errors import Refused
from tasks.configuration import files
from tasks.configuration.suite import Claim


class Asked(BaseModel):
    """The suite's claims, and how often it is looked at in all.

    `unlike`: by claims that compare unlike budgets, what differs, in words.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False)

    looks: int
    claims: dict[str, Claim]
    unlike: dict[str, str] = {}


def file(suite: str) -> Path:
    """Where `configure` writes what a suite asks."""
    return files.asked(suite)


def read(suite: str) -> Asked:
    """What a suite asks. Raises `Refused` where `configure` has not written it."""
    if not file(suite).exists():
        raise Refused(f"{file(suite)} is missing: run `make repro` (or `dvc repro`), which configures the suite first")
    return Asked.model_validate(files.read(file(suite)))
