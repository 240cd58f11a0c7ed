"""The Debian root in which Wine 10 runs: what it shows of the host, and who cannot have it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the root is a Linux one", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab_root
from lab_store import FOLDER, ROOT, LabError

ROOT_USER, ANYBODY = 0, 1000


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> lab_root.Root:
    monkeypatch.setenv("LD_PRELOAD", "/not/for/the/root.so")
    return lab_root.ensure(oldest_wine=10)


def run_in(root: lab_root.Root, script: str, *, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [*root.enter(), "sh", "-c", script],
        cwd=cwd,
        env=root.environment(os.environ),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def test_without_root_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: ANYBODY)

    with pytest.raises(
        LabError, match=r"only root .* Install Wine 10 or newer, or run this as root"
    ):
        lab_root.ensure(oldest_wine=10)


def test_where_mounts_are_forbidden_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, what: str) -> str:
        raise LabError(f"{what}: Operation not permitted")

    monkeypatch.setattr(os, "getuid", lambda: ROOT_USER)
    monkeypatch.setattr(lab_root, "run_quietly", refuse)

    with pytest.raises(LabError, match="forbids the mounts"):
        lab_root.ensure(oldest_wine=10)


def test_newer_wine_than_there_is_cannot_be_had() -> None:
    with pytest.raises(LabError, match="Wine 11 is wanted; the lab can make Wine 10"):
        lab_root.ensure(oldest_wine=11)


@pytest.mark.wine_10
@pytest.mark.timeout(900)
def test_system_is_its_own_and_all_else_the_hosts(root: lab_root.Root, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("from the host")

    said = run_in(root, "cat word; cut -c1-3 /etc/debian_version; pwd", cwd=tmp_path)

    assert f"from the host13.\n{tmp_path}" == said


@pytest.mark.wine_10
@pytest.mark.timeout(900)
def test_nothing_stays_mounted(root: lab_root.Root) -> None:
    inside = run_in(root, "cat /proc/self/mounts")
    outside = Path("/proc/self/mounts").read_text()

    assert " /proc " in inside
    assert str(FOLDER) not in outside
