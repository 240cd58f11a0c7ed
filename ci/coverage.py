"""Lines and branches of csrc that the tests reach: natively and under Wine, merged.

    python3 ci/coverage.py                     all: unit tests, corpus, both Windows lanes
    python3 ci/coverage.py --native            without Windows
    python3 ci/coverage.py tests/test_x.py     of the Windows lanes only these; options too

gcc counts, on this machine and as a cross compiler whose .gcda files are written under Wine. The
Windows lanes run in a copy of the work tree with an instrumented extension, so that the normal one
is not disturbed. A branch counts as reached when either build took it. Printed: per file the
shares of lines and branches, then the lines and branches that nothing reached.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import checks
import fuzz
import lab
import lab_apt
import lab_build
import lab_python
import native
from lab_store import ROOT, LabError, remove, run_quietly, say

FOLDER = native.FOLDER_OF_BUILD / "coverage"
TREE = FOLDER / "tree"  # the copy that the Windows lanes run in
COUNTED = ("-O0", "-g", "--coverage", "-fprofile-update=atomic")
COPIED = ["schannel_ffi", "tests", "csrc", "ci", "pyproject.toml", "setup.py", "README.md"]


@dataclass
class File:
    """What is known of one C file: how often lines were run, and which branches were taken."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[int, list[bool]] = field(default_factory=dict)

    def add(self, number: int, count: int, taken: list[bool]) -> None:
        """Add what one build counted on a line.

        The builds may see other branches on a line (macros differ): then the better one counts.
        """
        self.lines[number] = self.lines.get(number, 0) + count
        known = self.branches.get(number, [])
        if len(known) == len(taken):
            self.branches[number] = [a or b for a, b in zip(known, taken, strict=True)]
        elif not known or (taken and sum(taken) * len(known) > sum(known) * len(taken)):
            self.branches[number] = taken


def main(arguments: Sequence[str]) -> int:
    """Run, merge, print; returns the exit status."""
    is_native = "--native" in arguments
    selection = [argument for argument in arguments if argument != "--native"]
    files: dict[str, File] = {name: File() for name in native.c_sources()}
    try:
        _read(files, _run_native(), "gcov")
        if not is_native:
            _read(files, _run_windows(selection), "x86_64-w64-mingw32-gcov")
    except LabError as error:
        print(error)
        return 1
    print(report(files))
    return 0


# ---------------------------------------------------------------------------------------- native


def _run_native() -> Path:
    """Run the unit tests and the corpus; return the folder with the counts."""
    folder = FOLDER / "native"
    remove(folder)
    build = native.Build(folder, "gcc", COUNTED)
    objects = build.compile(native.CSRC / name for name in native.c_sources())
    others = build.compile(native.stand_ins())
    unit = build.compile(sorted(native.NATIVE.glob("unit*.c")))
    program = build.link(folder / "unit", [*objects, *others, *unit])
    done = native.run_unit_tests(program, [])
    if done.returncode != 0:
        raise LabError(f"the unit tests fail:\n{done.stdout}")
    replay = build.compile([native.NATIVE / "replay.c"])
    for target in fuzz.TARGETS:
        own = build.compile([native.NATIVE / f"fuzz_{target}.c"])
        program = build.link(folder / target, [*objects, *others, *replay, *own])
        with fuzz.unpacked(target) as corpus:
            run_quietly([program, *sorted(corpus.iterdir())], what=f"replaying {target}")
    return folder


# --------------------------------------------------------------------------------------- Windows


def _run_windows(selection: Sequence[str]) -> Path:
    """Run the Windows lanes with an instrumented extension; return the folder with the counts."""
    windows = lab.ensure()
    if shutil.which(checks.GCC) is None:
        lab_apt.install(["gcc-mingw-w64-x86-64-win32"], what="gcc for Windows")
    folder = FOLDER / "windows"
    for old in (folder, TREE):
        remove(old)
        old.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, TREE / name)
    _build_extension(folder)
    for tls13 in (False, True):
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *selection]
        try:
            status = windows.python(command, cwd=TREE, tls13=tls13).returncode
        except subprocess.TimeoutExpired as error:
            raise LabError(f"not done after {error.timeout:.0f} s") from error
        say(f"Windows, TLS 1.{3 if tls13 else 2}: exit status {status}")
    return folder


def _build_extension(folder: Path) -> None:
    glue = folder / "_engine.c"
    parts = lab_build.emit(glue)
    language = ["-O1", "-std=c11", "-DPy_LIMITED_API=0x030a0000"]
    flags = [*language, f"-I{lab_build.python_headers()}", *parts.flags()]

    def compile_one(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        counted = () if source == glue else COUNTED
        command: list[str | Path] = [checks.GCC, *flags, *counted, "-c", source, "-o", made]
        run_quietly(command, what=f"compiling {source.name} to be counted")
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, [glue, *(ROOT / name for name in parts.sources)]))
    libraries = [f"-l{name}" for name in parts.libraries]
    link: list[str | Path] = [checks.GCC, "-shared", "--coverage", "-static-libgcc", *objects]
    link += [lab_python.folder() / "python3.dll", *libraries]
    run_quietly([*link, "-o", TREE / "schannel_ffi" / "_engine.pyd"], what="linking")


# ---------------------------------------------------------------------------------------- counts


def _read(files: dict[str, File], folder: Path, gcov: str) -> None:
    """Add what was counted in a folder."""
    notes = sorted(folder.glob("*.gcda"))
    if not notes:
        raise LabError(f"nothing was counted in {folder}")
    place = folder / "json"
    remove(place)
    place.mkdir()
    command: list[str | Path] = [gcov, "--json-format", "--branch-probabilities", *notes]
    run_quietly(command, what="reading the counts", cwd=place)
    for path in place.glob("*.gcov.json.gz"):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            counted = json.load(stream)
        for part in counted["files"]:
            _add(files, part)


def _add(files: dict[str, File], part: dict[str, object]) -> None:
    path = Path(str(part["file"]))
    lines = part["lines"]
    if path.parent.name != "csrc" or path.name not in files or not isinstance(lines, list):
        return
    for line in lines:
        taken = [branch["count"] > 0 for branch in line["branches"]]
        files[path.name].add(line["line_number"], line["count"], taken)


# ---------------------------------------------------------------------------------------- report


def report(files: dict[str, File]) -> str:
    """Return the table, and under it what nothing reached."""
    rows = [f"{'file':16}{'lines':>8}{'%':>7}{'branches':>10}{'%':>7}"]
    missed = []
    for name, file in sorted(files.items()):
        rows.append(_row(name, [file]))
        lines = [number for number, count in file.lines.items() if count == 0]
        branches = [number for number, taken in file.branches.items() if not all(taken)]
        partly = [number for number in branches if file.lines.get(number)]
        if lines or partly:
            missed.append(f"{name}: lines {_ranges(lines)}; branches on {_ranges(partly)}")
    rows.append(_row("all", list(files.values())))
    return "\n".join([*rows, "", "not reached:", *missed])


def _row(name: str, files: Sequence[File]) -> str:
    lines = [count > 0 for file in files for count in file.lines.values()]
    branches = [taken for file in files for line in file.branches.values() for taken in line]
    shares = [100 * sum(part) / len(part) if part else 100.0 for part in (lines, branches)]
    return f"{name:16}{len(lines):>8}{shares[0]:>7.1f}{len(branches):>10}{shares[1]:>7.1f}"


def _ranges(numbers: Iterable[int]) -> str:
    """Return 3-5, 9 for 3 4 5 9."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges) or "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
