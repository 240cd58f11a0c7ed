"""The engine compiled for this machine, with sanitizers, on stand-ins for Windows.

    python3 ci/native.py [TEST...]      builds and runs the unit tests of tests/native

Which files of csrc belong to it says `csrc/build_ffi.py`; tests/native/windows holds headers of
our own. `ci/fuzz.py` and `ci/coverage.py` build with this file too.
"""

from __future__ import annotations

import ast
import concurrent.futures
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lab_apt
from lab_store import FOLDER, ROOT, LabError, recipe, run_quietly

CSRC = ROOT / "csrc"
NATIVE = ROOT / "tests" / "native"
FOLDER_OF_BUILD = FOLDER / "native"

LANGUAGE = ["-std=c11", "-fshort-wchar", "-g", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WRAPPED = ["-Wl,--wrap=calloc,--wrap=free"]  # windows.c counts, fails and watches them
RUN_LIMIT_SECONDS = 60
PACKAGES = ["clang", "llvm"]


@dataclass(frozen=True)
class Build:
    """A folder of objects, made by one compiler with the same flags."""

    folder: Path
    compiler: str
    flags: tuple[str, ...] = (*SANITIZERS,)
    csrc: Path = CSRC

    def compile(self, sources: Iterable[Path], *more: str) -> list[Path]:
        """Compile what has changed; return the objects in the order of the sources."""
        self.folder.mkdir(parents=True, exist_ok=True)
        headers = [*self.csrc.glob("*.h"), *NATIVE.glob("**/*.h")]
        flags = [*LANGUAGE, *self.flags, *more, f"-I{self.csrc}", f"-I{NATIVE}"]
        flags += ["-isystem", str(NATIVE / "windows")]
        base = recipe(self.compiler, *flags, *sorted(headers))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(self._compile_one, source, flags, base) for source in sources]
        return [job.result() for job in jobs]

    def _compile_one(self, source: Path, flags: Sequence[str], base: str) -> Path:
        wanted = self.folder / f"{source.stem}-{recipe(base, source)[:16]}.o"
        if not wanted.exists():
            draft = wanted.with_suffix(f".{os.getpid()}.part")
            command: list[str | Path] = [self.compiler, *flags, "-c", source, "-o", draft]
            run_quietly(command, what=f"compiling {source.name} for this machine")
            draft.rename(wanted)
            for old in self.folder.glob(f"{source.stem}-*.o"):
                if old != wanted and len(old.stem) == len(wanted.stem):
                    old.unlink(missing_ok=True)
        return wanted

    def link(self, program: Path, objects: Iterable[Path], *flags: str) -> Path:
        """Link into a draft and rename it."""
        draft = program.with_suffix(f".{os.getpid()}.part")
        command: list[str | Path] = [self.compiler, *self.flags, *flags, *objects, *WRAPPED]
        run_quietly([*command, "-lpthread", "-o", draft], what=f"linking {program.name}")
        draft.rename(program)
        return program


@functools.cache
def c_sources() -> tuple[str, ...]:
    """Return the file names that csrc/build_ffi.py lists; it needs cffi, this needs nothing."""
    tree = ast.parse((CSRC / "build_ffi.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SOURCES":
            names = eval(compile(ast.Expression(node.value), "build_ffi.py", "eval"), {})
            return tuple(Path(name).name for name in names)
    message = "csrc/build_ffi.py has no SOURCES"
    raise LabError(message)


def stand_ins() -> list[Path]:
    """Return the C files that play Windows, and the peer."""
    return [path for path in sorted(NATIVE.glob("*.c")) if not _is_program(path)]


def _is_program(path: Path) -> bool:
    return path.name.startswith(("unit", "fuzz_", "layout", "replay"))


def write_constants() -> Path:
    """Write a C file that compiles only where the stand-ins' numbers are those of the headers.

    To be compiled against headers of Windows, which must not know a name with another value.
    """
    lines = ['#include "schan_windows.h"', "#include <ncrypt.h>", ""]
    pattern = r"^#define (\w+)\s+(?:\(\((?:HRESULT|NTSTATUS)\))?(0x[0-9a-f]+|\d+)\)?$"
    for header in sorted((NATIVE / "windows").glob("*.h")):
        text = header.read_text(encoding="utf-8")
        for name, value in re.findall(pattern, text, re.MULTILINE):
            test = f'_Static_assert((DWORD)({name}) == (DWORD)({value}), "{name}");'
            lines += [f"#ifdef {name}", test, "#endif"]
    FOLDER_OF_BUILD.mkdir(parents=True, exist_ok=True)
    path = FOLDER_OF_BUILD / "constants.c"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def any_compiler() -> str:
    """Return clang, else gcc.

    Raises:
        LabError: neither is there and neither can be installed.
    """
    for name in ("clang", "gcc"):
        if shutil.which(name):
            return name
    lab_apt.install(PACKAGES, what="a C compiler")
    return "clang"


def build_unit_tests() -> Path:
    """Build the unit tests with sanitizers; blocks, up to a minute the first time.

    Raises:
        LabError: it does not compile; the message holds what the compiler said.
    """
    build = Build(FOLDER_OF_BUILD / "unit", any_compiler(), ("-O1", *SANITIZERS))
    csrc = [CSRC / name for name in c_sources()]
    objects = build.compile([*csrc, *stand_ins(), *sorted(NATIVE.glob("unit*.c"))])
    return build.link(build.folder / "unit", objects)


def sanitizer_environment() -> dict[str, str]:
    """Return the environment for programs built with sanitizers."""
    address = "detect_stack_use_after_return=1:malloc_context_size=8"
    return {**os.environ, "ASAN_OPTIONS": address, "UBSAN_OPTIONS": "print_stacktrace=1"}


def run_unit_tests(program: Path, names: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the named unit tests, or all; at most a minute."""
    return subprocess.run(
        [program, *names],
        check=False,
        env=sanitizer_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=RUN_LIMIT_SECONDS,
    )


def main(names: Sequence[str]) -> int:
    """Build and run; returns the exit status."""
    try:
        done = run_unit_tests(build_unit_tests(), names)
    except LabError as error:
        print(error)
        return 1
    print(done.stdout, end="")
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
