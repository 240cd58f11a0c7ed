"""The checks of the source text: style, types, warnings. Each is one command; a table lists them.

They run on Linux and on Windows, but for the compilers that only a Linux machine has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import lab_host
import native
from lab_store import FOLDER, ROOT

C_SOURCES = sorted((ROOT / "csrc").rglob("*.c"))
C_PLACES = [ROOT / "csrc", ROOT / "tests" / "native"]
C_FILES = sorted(
    path for place in C_PLACES for path in place.rglob("*") if path.suffix in {".c", ".h"}
)
PYTHON_PLACES = ["schannel_ffi", "tests", "ci", "csrc", "setup.py"]
WARNINGS = [
    "-std=c11",
    "-Wno-unused-command-line-argument",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Werror",
]
TARGETS = ["x86_64-windows-gnu", "x86-windows-gnu", "aarch64-windows-gnu"]
GCC = "x86_64-w64-mingw32-gcc"
TIME_LIMIT_SECONDS = 600
FOLDER_OF_OBJECTS = FOLDER / "warnings"


@dataclass(frozen=True)
class Check:
    """A command that says nothing and ends with 0 when all is well."""

    name: str
    command: Sequence[str | Path]
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a check."""

    name: str
    has_passed: bool
    output: str


def all_checks(tools: Path) -> list[Check]:
    """Return the table; `tools` is the folder of the virtual environment's programs."""
    checks = [
        Check("ruff: lint", [tools / "ruff", "check", "--quiet", *PYTHON_PLACES]),
        Check("ruff: format", [tools / "ruff", "format", "--quiet", "--check", *PYTHON_PLACES]),
        Check("mypy --strict", [tools / "mypy", "--no-error-summary", *PYTHON_PLACES]),
        Check("clang-format", [tools / "clang-format", "--dry-run", "--Werror", *C_FILES]),
    ]
    if sys.platform != "win32":
        tables = [native.NATIVE / "layout.c", native.write_constants()]
        checks += [_clang_warnings(source) for source in [*C_SOURCES, *tables]]
        checks += [_gcc_warnings(source) for source in [*C_SOURCES, *tables]]
        checks += [_clang_tidy(tools, source) for source in C_SOURCES]
    return checks


def run(checks: Sequence[Check]) -> list[Outcome]:
    """Run them, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_run_one, checks))


def _run_one(check: Check) -> Outcome:
    try:
        done = subprocess.run(
            [str(part) for part in check.command],
            check=False,
            cwd=ROOT,
            env={**os.environ, **check.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Outcome(check.name, has_passed=False, output=str(error))
    return Outcome(check.name, has_passed=done.returncode == 0, output=done.stdout)


def _clang_warnings(source: Path) -> Check:
    """All three machines of Windows in one command, by zig's clang and mingw-w64 headers."""
    zig = str(lab_host.zig())
    FOLDER_OF_OBJECTS.mkdir(parents=True, exist_ok=True)
    objects = FOLDER_OF_OBJECTS / source.stem
    compiler = f'"{zig}" cc {" ".join(WARNINGS)} -Icsrc -c "{source}"'
    commands = [f'{compiler} -target {target} -o "{objects}-{target}.o"' for target in TARGETS]
    name = f"clang warnings: {source.name}"
    return Check(name, ["sh", "-c", " && ".join(commands)], lab_host.zig_environment())


def _gcc_warnings(source: Path) -> Check:
    return Check(
        f"gcc warnings: {source.name}",
        [GCC, *WARNINGS, "-Icsrc", "-O2", "-c", source, "-o", os.devnull],
    )


def _clang_tidy(tools: Path, source: Path) -> Check:
    headers = lab_host.zig().parent / "lib" / "libc" / "include"
    flags: list[str | Path] = ["--target=x86_64-windows-gnu", "-std=c11", "-Icsrc"]
    for folder in ("any-windows-any", "x86_64-windows-any"):
        flags += ["-isystem", headers / folder]
    command = [tools / "clang-tidy", "--quiet", source, "--", *flags]
    return Check(f"clang-tidy: {source.name}", command)
