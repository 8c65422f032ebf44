"""A `prepare` that is killed goes on where it was, and ends with the same bytes; workers decode as threads do."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_core.data import folder, memory, preparing, spool, window, windows, worker
from ssl_core.data.folder import FolderConfig
from ssl_core.data.preparing import prepare
from ssl_core.data.source import Content, Encoded, Reading, SourceConfig
from ssl_core.data.spool import Spool
from ssl_core.errors import Refused

PREPARE = """
import sys
from pathlib import Path
from ssl_core.data import folder, windows
from ssl_core.data.preparing import prepare

windows.MANY, windows.WINDOW = 64, 8
config = folder.FolderConfig(source="folder", path=sys.argv[1], image_size=16, max_skipped_share=0.5)
out = Path(sys.argv[2])
out.mkdir()
prepare("mine", folder.read(config, out), config, out, kept=Path(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 images of many kinds, some of them damaged or no images."""
    root, generator = tmp_path_factory.mktemp("many") / "photos", np.random.default_rng(0)
    for i in range(600):
        file = root / "abc"[i % 3] / f"{i:03}.{('png', 'jpg', 'tif', 'png')[i % 4]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        drawn = generator.integers(256, size=(20 + i % 7, 18, 3), dtype=np.uint8)
        Image.fromarray(drawn if i % 5 else drawn[..., 0]).save(file)
        if i % 96 == 3:
            file.write_bytes(file.read_bytes()[:60])
    (root / "a" / "notes.txt").write_text("none")
    return root


def run(photos: Path, out: Path, kept: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.Popen([sys.executable, "-c", PREPARE, str(photos), str(out), str(kept)], env=environment)


def prepared(photos: Path, out: Path, kept: Path | None = None, **settings: object) -> dict[str, str]:
    """The digests of what `prepare` writes in this process."""
    out.mkdir()
    config = FolderConfig(source="folder", path=str(photos), image_size=16, max_skipped_share=0.5, **settings)  # pyright: ignore[reportArgumentType]
    prepare("mine", folder.read(config, out), config, out, kept=kept)
    return written(out)


def written(out: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return prepared(photos, tmp_path_factory.mktemp("whole") / "out")


def test_killed_at_any_instant_it_goes_on_and_ends_with_the_same_bytes(
    photos: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """Killed three times, with workers, and then left alone."""
    kept, pixels = tmp_path / "kept", tmp_path / "kept" / "pixels"
    draws = random.Random(seed := time.time_ns())
    for i in range(3):
        started = run(photos, tmp_path / f"{i}", kept)
        until = draws.randrange(600) * 16 * 16 * 3
        while started.poll() is None and not (pixels.exists() and pixels.stat().st_size >= until):
            time.sleep(0.001)
        time.sleep(draws.random() / 50)
        started.kill()
        started.wait()
    assert run(photos, tmp_path / "out", kept).wait() == 0
    assert written(tmp_path / "out") == undisturbed, seed
    assert not kept.exists()


class KilledError(Exception):
    """Ends a run between two windows."""


@pytest.fixture
def halfway(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run left of which five windows of eight were decoded; the next runs may decode none of them again."""
    monkeypatch.setattr(windows, "WINDOW", 75)
    monkeypatch.setattr(spool, "MANY", 0)
    kept, added = tmp_path / "kept", Spool.add

    def add(self: Spool, key: bytes, found: window.Windowful) -> None:
        added(self, key, found)
        if len((kept / "log").read_bytes().splitlines()) == 5:
            raise KilledError

    with monkeypatch.context() as context:
        context.setattr(Spool, "add", add)
        with pytest.raises(KilledError):
            prepared(photos, tmp_path / "killed", kept)
    return kept


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the windows that are decoded."""
    sizes: list[int] = []

    def decoded(some: window.Window, config: SourceConfig) -> window.Windowful:
        sizes.append(len(some))
        return window.decoded(some, config)

    monkeypatch.setattr(windows, "decoded", decoded)
    return sizes


def test_what_is_decoded_is_not_decoded_again(
    photos: Path, undisturbed: dict[str, str], halfway: Path, counted: list[int], tmp_path: Path
) -> None:
    assert prepared(photos, tmp_path / "out", halfway, seed=0) == undisturbed
    assert sum(counted) == 600 - 5 * 75
    assert not halfway.exists()


def half_a_line(kept: Path) -> None:
    content = (kept / "log").read_bytes()
    (kept / "log").write_bytes(content[: -len(content.splitlines()[-1]) // 2])


def half_the_pixels(kept: Path) -> None:
    with (kept / "pixels").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 1000)


def zeros(kept: Path) -> None:
    """As after a power cut."""
    size = (kept / "pixels").stat().st_size
    with (kept / "pixels").open("r+b") as file:
        file.seek(size - 1000)
        file.write(bytes(1000))


@pytest.mark.parametrize("damage", [half_a_line, half_the_pixels, zeros])
def test_what_is_half_written_is_not_taken(
    photos: Path,
    undisturbed: dict[str, str],
    halfway: Path,
    counted: list[int],
    damage: Callable[[Path], None],
    tmp_path: Path,
) -> None:
    damage(halfway)
    assert prepared(photos, tmp_path / "out", halfway) == undisturbed
    assert sum(counted) == 600 - 4 * 75


def test_a_changed_source_is_decoded_anew(photos: Path, halfway: Path, counted: list[int], tmp_path: Path) -> None:
    shutil.copytree(photos, other := tmp_path / "photos")
    changed = other / "a" / "150.tif"  # of the first window, of 200 images of class a
    times, size = changed.stat(), changed.stat().st_size
    content = bytearray(changed.read_bytes())
    content[size // 2] ^= 255
    changed.write_bytes(content)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))  # names, sizes and times say nothing
    assert prepared(other, tmp_path / "out", halfway) == prepared(other, tmp_path / "whole")
    assert sum(counted) == 2 * 600


def test_another_setting_is_decoded_anew_and_another_seed_is_not(
    photos: Path, halfway: Path, counted: list[int], tmp_path: Path
) -> None:
    shutil.copytree(halfway, again := tmp_path / "again")
    prepared(photos, tmp_path / "seed", halfway, seed=1, val_share=0.2)
    assert sum(counted) == 600 - 5 * 75
    counted.clear()
    assert prepared(photos, tmp_path / "pad", again, fit="pad") == prepared(photos, tmp_path / "whole", fit="pad")
    assert sum(counted) == 2 * 600


def test_few_images_that_fail_leave_nothing_and_two_runs_do_not_mix(photos: Path, tmp_path: Path) -> None:
    config = FolderConfig(source="folder", path=str(photos), image_size=16)
    (tmp_path / "out").mkdir()
    with pytest.raises(Refused, match="could not be read as images"):
        prepare("mine", folder.read(config, tmp_path), config, tmp_path / "out", kept=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    with Spool(tmp_path / "kept", config), pytest.raises(Refused, match="another run decodes into"):
        Spool(tmp_path / "kept", config).__enter__()


def test_workers_decode_as_threads_and_leave_to_them_what_needs_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    examples: list[tuple[str, Content]] = []
    for i in range(60):
        side = 1500 if i == 50 else 20 + i
        drawn = generator.integers(256, size=(side, 30, 3), dtype=np.uint8)
        file = tmp_path / f"{i}.png"
        Image.fromarray(drawn if i != 50 else drawn.repeat(50, axis=1)).save(file)
        content = file.read_bytes() if i % 7 else b"no image"
        examples.append((file.name, Encoded(content, file.name) if i % 3 else Encoded(drawn)))
    config = SourceConfig(image_size=16)
    monkeypatch.setattr(windows, "WINDOW", 4)
    threads = [one for some in windows.windows(Reading(examples=iter(examples)), config) for one in some]
    monkeypatch.setattr(windows, "MANY", 0)
    monkeypatch.setattr(memory, "ALL", 2 * memory.SMALL)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    here = list[int]()
    completed = windows.completed
    monkeypatch.setattr(windows, "completed", lambda w, f, c: here.append(f.known.count(None)) or completed(w, f, c))
    workers = [one for some in windows.windows(Reading(examples=iter(examples)), config) for one in some]
    assert sum(here) == 1
    assert len(here) == 15
    for (path, one), (name, other) in zip(threads, workers, strict=True):
        assert path == name
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            np.testing.assert_array_equal(one.pixels, other.pixels)
            assert one[1:] == other[1:]


def test_a_worker_ends_with_what_started_it_and_its_end_is_a_sentence() -> None:
    one = worker.Worker(SourceConfig(), 2**28)
    assert one.decode([("a", np.zeros((40, 40), np.uint8))]).known
    assert one.process.stdin
    one.process.stdin.close()  # as the system does when a process is killed
    assert one.process.wait(10) == 0
    one.end()
    other = worker.Worker(SourceConfig(), 2**28)
    other.process.kill()
    with pytest.raises(Refused, match="run the same command again, and it goes on"):
        other.decode([("a", b"")])
    other.end()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc says what is in memory")
def test_what_is_copied_and_measured_does_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MiB of pixels, of which the map of some images at a time is all that counts as this process's."""
    monkeypatch.setattr(preparing, "WINDOW", 16)
    side, count = 512, 130
    drawn = np.random.default_rng(0).integers(256, size=(count, side, side, 3), dtype=np.uint8)
    examples = [(f"{i % 2}/{i}.png", drawn[i]) for i in range(count)]
    del drawn
    before, seen = mapped_memory(), list[int]()
    images = spool.Spool.images
    monkeypatch.setattr(spool.Spool, "images", lambda self: seen.append(mapped_memory()) or images(self))
    config = SourceConfig(image_size=side)
    prepare("many", Reading(examples=iter(examples)), config, tmp_path)
    assert len(seen) > 8
    assert max(seen) - before < 60 * 2**20


def mapped_memory() -> int:
    """Bytes of mapped files in this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssFile"))
