"""docs/adding-a-backbone.md, followed word for word in a clone."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, choose_suite, clone, insert, run

pytestmark = [pytest.mark.slow, pytest.mark.thorough]
PAGE = PROJECT / "docs" / "adding-a-backbone.md"
NEW = ("ssl_core/backbones/convmixer.py", "tests/test_convmixer.py", "suites/convmixer.yaml")


def test_the_page_adds_a_backbone_that_keeps_the_contract_and_is_pretrained(tmp_path: Path) -> None:
    written = dict(re.findall(r"```\w+\n# (\S+)\n(.+?)```", PAGE.read_text(), flags=re.DOTALL))
    assert set(written) == {*NEW, "ssl_core/backbones/__init__.py", "tests/every_backbone.py"}
    project = clone(tmp_path)
    for name in NEW:
        (project / name).write_text(written[name])
    insert(project / "ssl_core/backbones/__init__.py", written["ssl_core/backbones/__init__.py"], "BACKBONES = (")
    insert(project / "tests/every_backbone.py", written["tests/every_backbone.py"], "EVERY: dict[str, Any] = {")
    choose_suite(project, "convmixer")

    files = ["tests/test_convmixer.py", "tests/test_backbones_contract.py"]
    tested = run("python", "-m", "pytest", "-q", "-k", "convmixer or every_kind", *files, cwd=project)
    assert tested.returncode == 0, tested.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", tested.stdout)[0]) >= 12
    described = run("python", "-m", "tasks.configuration.schemas", cwd=project)
    assert described.returncode == 0, described.stdout
    assert "ConvMixerConfig" in (project / "schemas" / "methods.json").read_text()
    checked = run("ruff", "check", *NEW[:2], cwd=project)
    assert checked.returncode == 0, checked.stdout
    for stage in ("configure", "prepare small", "pretrain simclr 0 small", "embed simclr 0 small"):
        done = run("python", "-m", *f"tasks.{stage}".split(), cwd=project)
        assert done.returncode == 0, done.stdout[-3000:]
    (embedded,) = (project / "cells").glob("simclr-0/embed/small/backbone/test.npy")
    assert np.load(embedded).shape[1] == 16
    suite = project / "suites" / "convmixer.yaml"
    suite.write_text(suite.read_text().replace("width:", "widht:"))
    refused = run("python", "-m", "tasks.configure", cwd=project)
    assert refused.returncode == 1
    assert "suites/convmixer.yaml: defaults.backbone.widht is not known" in refused.stdout
