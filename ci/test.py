"""Run every check of the project: style, types, warnings, and the tests in all lanes.

    python3 ci/test.py               all of it
    python3 ci/test.py -k WORDS ...  the tests only; arguments go to pytest
    python3 ci/test.py --without-wine-10 ...

Sets up what is missing. libFuzzer runs for two minutes beside the checks. The lanes: the Windows
Python over TLS 1.2, the same over TLS 1.3; the loopback tests again over a model of Windows'
Schannel (tests/model_lane.py); this machine's own Python for what needs no Windows; and both
Windows lanes again under Wine 10, which has Schannel's server role. Where Wine is older only root
can have those two: without root they count as failed, or, with --without-wine-10, the end of the
output tells that they did not run. The last line is "N passed, N failed".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import checks
import lab
import lab_apt
from lab_store import FOLDER, ROOT, LabError, say

REPORTS = FOLDER / "reports"
NOTHING_SELECTED = 5  # pytest's exit status
FUZZ_SECONDS = 120
FUZZ_LIMIT_SECONDS = 1800  # setting up clang and building come first


@dataclass
class Tally:
    """What has been counted so far."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    not_run: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another count."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.not_run += other.not_run

    def __str__(self) -> str:
        """Return the line that ends a report."""
        return f"{self.passed} passed, {self.failed} failed"


@dataclass(frozen=True)
class Lane:
    """One way to run the tests; model: the Windows that a model of Schannel plays, or none."""

    name: str
    is_native: bool
    tls13: bool = False
    model: str = ""
    oldest_wine: int | None = None  # None: the one that the machine has

    @property
    def environment(self) -> dict[str, str]:
        """What tests/conftest.py reads."""
        return {
            "SCHANNEL_LAB_MODEL": self.model,
            "SCHANNEL_LAB_TLS13": "1" if self.tls13 else "0",
        }

    @property
    def report(self) -> Path:
        """The file that pytest reports to."""
        words = ["native" if self.is_native else "tls13" if self.tls13 else "tls12"]
        words += ["model", self.model] if self.model else []
        words += [f"wine{self.oldest_wine}"] if self.oldest_wine else []
        return REPORTS / f"{'-'.join(words)}.xml"


LANES = [
    Lane("Windows, TLS 1.2", is_native=False),
    Lane("Windows, TLS 1.3", is_native=False, tls13=True),
    Lane("model of Windows 11, TLS 1.2", is_native=False, model="11"),
    Lane("model of Windows 11, TLS 1.3", is_native=False, model="11", tls13=True),
    Lane("model of an odd Windows, TLS 1.3", is_native=False, model="odd", tls13=True),
    Lane("this system", is_native=True),
    Lane("Windows, Wine 10, TLS 1.2", is_native=False, oldest_wine=10),
    Lane("Windows, Wine 10, TLS 1.3", is_native=False, tls13=True, oldest_wine=10),
]
WITHOUT_WINE_10 = "--without-wine-10"


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; returns the exit status."""
    os.chdir(ROOT)
    started = time.monotonic()
    total = Tally()
    for_pytest = [argument for argument in arguments if argument != WITHOUT_WINE_10]
    try:
        windows = lab.ensure()
        if not for_pytest:
            total.add(_run_checks(windows))
        for lane in LANES:
            if lane.oldest_wine and WITHOUT_WINE_10 in arguments:
                total.not_run.append(lane.name)
            else:
                total.add(_run_lane(windows, lane, for_pytest))
    except LabError as error:
        say(str(error))
        total.failed += 1
    say(f"{time.monotonic() - started:.0f} s, {total.skipped} skipped (each says why above)")
    for name in total.not_run:
        print(f"NOT RUN: {name}", flush=True)
    print(total, flush=True)
    return 1 if total.failed else 0


def _run_checks(windows: lab.Lab) -> Tally:
    _heading("style, types, warnings")
    if sys.platform != "win32" and shutil.which(checks.GCC) is None:
        lab_apt.install(["gcc-mingw-w64-x86-64-win32"], what="gcc for Windows")
    tally = Tally()
    fuzzing = _start_fuzzing()
    for outcome in checks.run(checks.all_checks(windows.host_python.parent)):
        tally.passed += outcome.has_passed
        tally.failed += not outcome.has_passed
        print(f"{'ok' if outcome.has_passed else 'FAILED':7}{outcome.name}", flush=True)
        if not outcome.has_passed:
            print(outcome.output, flush=True)
    if fuzzing is not None:
        tally.add(_end_of_fuzzing(fuzzing))
    return tally


def _start_fuzzing() -> subprocess.Popen[str] | None:
    """Fuzz for two minutes beside the checks, all targets at once; None where that cannot be."""
    if sys.platform == "win32":
        return None
    return subprocess.Popen(
        [sys.executable, "ci/fuzz.py", "--seconds", str(FUZZ_SECONDS)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def _end_of_fuzzing(fuzzing: subprocess.Popen[str]) -> Tally:
    with fuzzing:
        try:
            output = fuzzing.communicate(timeout=FUZZ_LIMIT_SECONDS)[0]
        except BaseException:
            fuzzing.kill()
            raise
    has_passed = fuzzing.returncode == 0
    print(f"{'ok' if has_passed else 'FAILED':7}fuzzing, {FUZZ_SECONDS} s", flush=True)
    print(output, flush=True)
    return Tally(passed=int(has_passed), failed=int(not has_passed))


def _run_lane(windows: lab.Lab, lane: Lane, arguments: Sequence[str]) -> Tally:
    _heading(f"tests: {lane.name}")
    if why := _is_another_lane(windows, lane):
        print(why)
        return Tally()
    try:
        windows = lab.ensure(oldest_wine=lane.oldest_wine) if lane.oldest_wine else windows
    except LabError as error:
        print(f"FAILED {lane.name}: {error}\n(or leave it out: {WITHOUT_WINE_10})", flush=True)
        return Tally(failed=1)
    REPORTS.mkdir(exist_ok=True)
    lane.report.unlink(missing_ok=True)
    pytest = ["-m", "pytest", "-q", f"--junitxml={lane.report}", *arguments]
    try:
        if lane.is_native:
            environment = {**os.environ, **lane.environment}
            command = [str(windows.host_python), *pytest]
            status = subprocess.run(command, check=False, env=environment).returncode
        else:
            status = windows.python(pytest, tls13=lane.tls13, env=lane.environment).returncode
    except subprocess.TimeoutExpired as error:
        print(f"FAILED {lane.name}: not done after {error.timeout:.0f} s", flush=True)
        return Tally(failed=1)
    if status == NOTHING_SELECTED and arguments:
        print("none of these tests runs in this lane")
        return Tally()
    return _count(lane, status)


def _is_another_lane(windows: lab.Lab, lane: Lane) -> str | None:
    """Say why this lane would show what another one does."""
    is_wines = lane.is_native or lane.oldest_wine or (lane.tls13 and not lane.model)
    if sys.platform == "win32" and is_wines:
        return "the first lane is this system's, and Windows chooses the TLS version itself"
    if lane.oldest_wine and windows.wine_major >= lane.oldest_wine:
        return "this machine's own Wine is as new: the lanes above are this"
    return None


def _count(lane: Lane, status: int) -> Tally:
    """Count what pytest reported; a lane that ran nothing or died has failed."""
    try:
        suites = list(ET.parse(lane.report).getroot().iter("testsuite"))
    except (OSError, ET.ParseError) as error:
        print(f"FAILED {lane.name}: no report ({error}), exit status {status}", flush=True)
        return Tally(failed=1)
    count = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    if passed == 0 or (status != 0 and failed == 0):
        print(f"FAILED {lane.name}: exit status {status}, {passed} passed", flush=True)
        failed += 1
    return Tally(passed, failed, count["skipped"])


def _heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    lab.exit_on_sigterm()
    sys.exit(main(sys.argv[1:]))
