"""Installing: one lock for every platform, and one sentence for each thing that is missing."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, PROJECT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
LOCKS = [PROJECT / "requirements.lock", PROJECT / "benchmarks" / "requirements.lock"]
PYTHONS = ["3.11", "3.12", "3.13"]
# uv's names, and what the markers of a lock are asked with there.
PLATFORMS = {
    "x86_64-unknown-linux-gnu": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "aarch64-unknown-linux-gnu": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "aarch64-apple-darwin": {"sys_platform": "darwin", "platform_machine": "arm64"},
    "x86_64-pc-windows-msvc": {"sys_platform": "win32", "platform_machine": "AMD64"},
}
PIN = re.compile(r"(?P<pin>[a-z0-9-]+==[^ ;]+(?: ; [^\\]+?)?)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")
# A pure Python package, of which there is no wheel; it needs no compiler.
FROM_SOURCE = "antlr4-python3-runtime"
NOWHERE = "https://127.0.0.1:9/simple"

UV = shutil.which("uv") or (str(PROJECT / ".uv/bin/uv") if (PROJECT / ".uv/bin/uv").exists() else None)
needs_uv = pytest.mark.skipif(UV is None, reason="uv is neither on the PATH nor in .uv")


def pinned(lock: str) -> dict[str, tuple[Requirement, frozenset[str]]]:
    """The requirements of a lock with their hashes, by name; a line that is anything else is a `ValueError`."""
    pins: dict[str, tuple[Requirement, frozenset[str]]] = {}
    lines = (line.strip() for line in lock.splitlines())
    for line in "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", "").splitlines():
        if not (parts := PIN.fullmatch(re.sub(r" +", " ", line))):
            raise ValueError(f"not an exact version with hashes: {line[:80]}")
        requirement = Requirement(parts["pin"])
        if requirement.name in pins:
            raise ValueError(f"two versions of {requirement.name}")
        pins[requirement.name] = requirement, frozenset(parts["hashes"].split())
    return pins


def applying(lock: Path, platform: str, python: str) -> set[str]:
    """The names that a lock installs on a platform."""
    machine = PLATFORMS[platform] | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    every = (requirement for requirement, _ in pinned(lock.read_text()).values())
    return {each.name for each in every if each.marker is None or each.marker.evaluate(machine)}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class TestTheLocks:
    @pytest.mark.parametrize("lock", LOCKS, ids=["requirements", "benchmarks"])
    def test_hold_exact_versions_with_hashes_and_no_address(self, lock: Path) -> None:
        assert len(pinned(lock.read_text())) > 200

    @pytest.mark.parametrize(
        "line",
        [
            "-i simple",
            "--find-links wheels",
            "-e .",
            f"six @ file:six-1.17.0-py3-none-any.whl --hash=sha256:{'0' * 64}",
            f"./six-1.17.0-py3-none-any.whl --hash=sha256:{'0' * 64}",
            f"six>=1.17.0 --hash=sha256:{'0' * 64}",
            "six==1.17.0",
        ],
    )
    def test_anything_else_would_be_noticed(self, line: str) -> None:
        with pytest.raises(ValueError, match="not an exact version"):
            pinned(LOCKS[0].read_text() + line + "\n")

    def test_pyproject_names_no_address_either(self) -> None:
        groups = [PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"].values()]
        for requirement in (Requirement(each) for group in groups for each in group if isinstance(each, str)):
            assert requirement.url is None, f"{requirement.name} comes from one address"
        assert not re.findall(r"\w+://\S+", (PROJECT / "pyproject.toml").read_text())
        assert not {"index", "sources", "find-links", "pip"} & PYPROJECT.get("tool", {}).get("uv", {}).keys()

    def test_the_benchmarks_run_with_the_same_versions(self) -> None:
        small, large = (pinned(lock.read_text()) for lock in LOCKS)
        assert {name: large.get(name) for name in small} == small

    @pytest.mark.parametrize("python", PYTHONS)
    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_the_markers_cover_each_platform(self, platform: str, python: str) -> None:
        here = applying(LOCKS[0], platform, python)
        wanted = {plain(Requirement(each).name) for each in PYPROJECT["project"]["dependencies"]}
        tools = {plain(Requirement(each).name) for each in PYPROJECT["dependency-groups"]["dev"]}
        assert wanted | tools <= here
        # What has no wheel is built with this one, by its hash too.
        assert {FROM_SOURCE, "setuptools"} <= here
        cuda = {name for name in here if name == "triton" or name.startswith(("nvidia-", "cuda-"))}
        assert bool(cuda) == (PLATFORMS[platform]["sys_platform"] == "linux")
        assert ("pywin32" in here) == (PLATFORMS[platform]["sys_platform"] == "win32")

    def test_the_pythons_are_those_of_pyproject(self) -> None:
        allowed = SpecifierSet(PYPROJECT["project"]["requires-python"])
        assert [f"3.{minor}" for minor in range(30) if f"3.{minor}" in allowed] == PYTHONS
        assert f"PYTHONS := Python {PYTHONS[0]}, {PYTHONS[1]} or {PYTHONS[2]}\n" in (PROJECT / "Makefile").read_text()


def dry_run(into: Path, platform: str, python: str, *requirements: str) -> subprocess.CompletedProcess[str]:
    """Ask the registry for a wheel, of a pinned hash, of everything that would be installed on a platform."""
    assert UV is not None
    options = ["--dry-run", "--only-binary", ":all:", "--no-binary", FROM_SOURCE, "--target", str(into)]
    where = ["--python", sys.executable, "--python-platform", platform, "--python-version", python]
    # PyTorch's wheels are for macOS 14 and later; uv would take 13 for granted.
    environment = ENVIRONMENT | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
    command = [UV, "pip", "install", *options, *where, *requirements]
    return subprocess.run(command, cwd=into, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where no package registry answers, and only there."""
    if UV is None:
        pytest.skip("uv is neither on the PATH nor in .uv")
    command = [UV, "--no-cache", "pip", "install", "--dry-run", "--no-deps", "--python", sys.executable]
    into = ["--target", str(tmp_path_factory.mktemp("registry"))]
    done = subprocess.run([*command, *into, "iniconfig"], env=ENVIRONMENT, capture_output=True, text=True)
    if "error sending request" in done.stderr or "connectivity is disabled" in done.stderr:
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.usefixtures("registry")
class TestTheRegistry:
    @pytest.mark.parametrize("python", PYTHONS)
    @pytest.mark.parametrize("platform", PLATFORMS)
    def test_has_a_wheel_of_everything(self, platform: str, python: str, tmp_path: Path) -> None:
        locks = [argument for lock in LOCKS for argument in ("-r", str(lock))]
        done = dry_run(tmp_path, platform, python, "--require-hashes", *locks)
        assert done.returncode == 0, done.stderr
        found = {line.split("==")[0].strip(" +") for line in done.stderr.splitlines() if line.startswith(" + ")}
        assert found == applying(LOCKS[1], platform, python)

    def test_has_none_for_the_macs_of_old(self, tmp_path: Path) -> None:
        done = dry_run(tmp_path, "x86_64-apple-darwin", "3.12", "--require-hashes", "-r", str(LOCKS[0]))
        assert done.returncode != 0
        assert re.search("no (usable )?wheels", done.stderr)

    def test_make_lock_gives_the_locks_again(self, tmp_path: Path) -> None:
        (tmp_path / "benchmarks").mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock", "benchmarks/requirements.lock"):
            shutil.copy(PROJECT / name, tmp_path / name)
        done = subprocess.run(
            ["make", "lock", f"UV={UV}"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        for lock in LOCKS:
            assert pinned((tmp_path / lock.relative_to(PROJECT)).read_text()) == pinned(lock.read_text())


class Newcomer:
    """The project's files on a machine that has a shell and the few programs that every system has."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.project = home / "stopgrad"
        self.programs = home / "bin"
        self.project.mkdir()
        self.programs.mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(PROJECT / name, self.project)
        for name in ("bash", "sh", "cat", "env", "grep", "make", "touch"):
            self.has(name, shutil.which(name))

    def has(self, name: str, program: str | None) -> None:
        assert program is not None, f"{name} is not on this machine"
        (self.programs / name).symlink_to(program)

    def has_script(self, name: str, script: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def make(self, *target: str, **environment: str) -> subprocess.CompletedProcess[str]:
        ours = ("PIP_", "UV_", "VIRTUAL_ENV", "PYTHON", "MAKE", "MFLAGS")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        alone = {
            "PATH": str(self.programs),
            "HOME": str(self.home),
            "UV_CACHE_DIR": str(self.home / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(self.home / "pythons"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_RETRIES": "0",
            "UV_DEFAULT_INDEX": NOWHERE,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": NOWHERE,
        }
        return subprocess.run(
            [str(self.programs / "make"), *target],
            cwd=self.project,
            env=inherited | alone | environment,
            capture_output=True,
            text=True,
        )

    def is_told(self, *target: str, **environment: str) -> str:
        """The one sentence, with nothing around it but make's own last line."""
        done = self.make(*target, **environment)
        assert done.returncode != 0
        assert done.stdout == ""
        sentence, last = done.stderr.strip().splitlines()
        assert last.startswith("make: ***")
        assert sentence.startswith("stopgrad: ")
        return sentence


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


INSTALL = ".venv/.installed"
BASE = getattr(sys, "_base_executable", sys.executable)


class TestWhatIsMissing:
    def test_no_python(self, newcomer: Newcomer) -> None:
        told = newcomer.is_told(INSTALL)
        assert told == "stopgrad: no python3 is here: install Python 3.11, 3.12 or 3.13 with pip"

    def test_no_pip(self, newcomer: Newcomer) -> None:
        venv.create(newcomer.home / "bare", with_pip=False)
        newcomer.has_script("python3", f'exec {newcomer.home}/bare/bin/python3 "$@"')
        told = newcomer.is_told(INSTALL)
        assert told.startswith(f"stopgrad: {newcomer.programs}/python3 has no pip: install it (the package python3-pip")

    def test_no_network_for_pip(self, newcomer: Newcomer) -> None:
        if subprocess.run([BASE, "-m", "pip", "--version"], capture_output=True).returncode:
            pytest.skip("the Python of this environment has no pip")
        newcomer.has("python3", BASE)
        told = newcomer.is_told(INSTALL)
        assert told.startswith("stopgrad: the package index cannot be reached: connect to a network, or name a mirror")
        assert not (newcomer.project / ".uv/bin/uv").exists()

    def test_what_pip_says_otherwise_is_shown(self, newcomer: Newcomer) -> None:
        newcomer.has_script("python3", 'case "$*" in *--version*) ;; *) echo "No space left" >&2; exit 1;; esac')
        done = newcomer.make(INSTALL)
        assert done.returncode != 0
        assert "No space left\nstopgrad: pip could not install uv, as it says above\n" in done.stderr

    @needs_uv
    @pytest.mark.parametrize("python", ["Python 3.9.18", "broken", "missing"])
    def test_no_python_that_fits(self, newcomer: Newcomer, python: str) -> None:
        newcomer.has("uv", UV)
        if python != "missing":
            newcomer.has_script("python3", f'[ "$1" = --version ] && [ "{python}" != broken ] && echo {python}')
        needed = "stopgrad: Python 3.11, 3.12 or 3.13 is needed"
        could = "and uv could not fetch another: install one"
        assert newcomer.is_told(INSTALL) == f"{needed}; python3 is {python}, {could}"

    @needs_uv
    def test_no_network_for_uv(self, newcomer: Newcomer) -> None:
        newcomer.has("uv", UV)
        newcomer.has("python3", BASE)
        told = newcomer.is_told(INSTALL)
        assert told.startswith("stopgrad: the package index cannot be reached: connect to a network, or name a mirror")
        assert not (newcomer.project / INSTALL).exists()

    @needs_uv
    def test_no_network_to_lock_with(self, newcomer: Newcomer) -> None:
        newcomer.has("uv", UV)
        newcomer.has("python3", BASE)
        before = (newcomer.project / "requirements.lock").read_text()
        told = newcomer.is_told("lock")
        assert told.startswith("stopgrad: the package index cannot be reached: ")
        assert (newcomer.project / "requirements.lock").read_text() == before

    def test_no_git_for_the_tests(self, newcomer: Newcomer) -> None:
        told = newcomer.is_told("test", "-o", INSTALL)
        assert told.startswith("stopgrad: the tests copy what git tracks: install git, and work in a clone")


@pytest.mark.usefixtures("registry")
class TestALock:
    """Of one small package, installed by the real rule."""

    def install(self, newcomer: Newcomer, hashes: str) -> subprocess.CompletedProcess[str]:
        newcomer.has("uv", UV)
        newcomer.has("python3", BASE)
        requirement, _ = pinned(LOCKS[0].read_text())["iniconfig"]
        (newcomer.project / "requirements.lock").write_text(f"{requirement} {hashes}\n")
        return newcomer.make(INSTALL, UV_DEFAULT_INDEX=os.environ.get("UV_DEFAULT_INDEX", ""))

    def test_is_installed_and_compiled(self, newcomer: Newcomer) -> None:
        _, hashes = pinned(LOCKS[0].read_text())["iniconfig"]
        done = self.install(newcomer, " ".join(hashes))
        assert done.returncode == 0, done.stderr
        assert (newcomer.project / INSTALL).exists()
        [packages] = newcomer.project.glob(".venv/lib/python3.*/site-packages")
        assert list(packages.glob("iniconfig/__pycache__/*.pyc"))
        assert newcomer.make(INSTALL).returncode == 0, "nothing is left to do"

    def test_of_another_hash_is_not_installed(self, newcomer: Newcomer) -> None:
        done = self.install(newcomer, f"--hash=sha256:{'0' * 64}")
        assert done.returncode != 0
        assert "hash" in done.stderr.lower()
        assert "\nstopgrad: " in done.stderr
        assert not (newcomer.project / INSTALL).exists()


class TestAnUnpackedArchive:
    def run(self, project: Path, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)

    def archive(self, into: Path) -> Path:
        project = into / "stopgrad"
        subprocess.run(["git", "checkout-index", "--all", f"--prefix={project}/"], cwd=PROJECT, check=True)
        shutil.copy(PROJECT / "Makefile", project)
        (project / ".venv").symlink_to(sys.prefix)
        return project

    def test_dvc_works_without_git(self, tmp_path: Path) -> None:
        project = self.archive(tmp_path)
        assert "is not a git repository" in self.run(project, "dvc", "status").stderr
        told = self.run(project, "make", "-o", INSTALL, "without-git")
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith("stopgrad: no git repository is here, so that DVC works without")
        assert self.run(project, "dvc", "status").returncode == 0
        assert self.run(project, "make", "-o", INSTALL, "without-git").stdout == "", "it is said once"

    def test_a_repository_above_is_one(self, tmp_path: Path) -> None:
        project = self.archive(tmp_path)
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        assert self.run(project, "make", "-o", INSTALL, "without-git").returncode == 0
        assert not (project / ".dvc/config.local").exists()
        assert self.run(project, "dvc", "status").returncode == 0

    @pytest.mark.parametrize("target", ["repro", "serve"])
    def test_is_seen_to_before_what_needs_dvc(self, target: str) -> None:
        shown = self.run(PROJECT, "make", "-n", "-o", INSTALL, target).stdout
        assert "core.no_scm" in shown
