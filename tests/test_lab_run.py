"""What the lab ends, and what not: programs of runs that were killed, found by their mark."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the lab runs on the host", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ci"))

import lab_run

LIMIT_S = 10.0


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a lab's runs, which is empty."""
    monkeypatch.setattr(lab_run, "RUNS", tmp_path / "runs")
    lab_run.RUNS.mkdir()
    return lab_run.RUNS


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    """Return a program of the run `killed`, whose end nobody looks after.

    It has said something: right after its start the kernel shows no environment of it yet.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={lab_run.MARK: "killed"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.communicate(b"\n")


def test_programs_of_a_killed_run_are_ended(runs: Path, orphan: subprocess.Popen[bytes]) -> None:
    (runs / "killed").write_text(str(runs))

    lab_run.clean_up_after_killed_runs()

    assert orphan.wait(LIMIT_S) < 0
    assert [] == [*runs.iterdir()]


def test_programs_of_a_copied_lab_go_on(runs: Path, orphan: subprocess.Popen[bytes]) -> None:
    (runs / "killed").write_text("/where/the/lab/was/copied/from")

    lab_run.clean_up_after_killed_runs()

    assert orphan.poll() is None
    assert [] == [*runs.iterdir()]


def test_programs_of_a_run_that_goes_on_go_on(runs: Path) -> None:
    with lab_run.started(
        [sys.executable, "-c", "input()"], env={}, stdin=subprocess.PIPE
    ) as program:
        lab_run.clean_up_after_killed_runs()

        assert program.poll() is None
        assert 1 == len([*runs.iterdir()])
    assert [] == [*runs.iterdir()]
