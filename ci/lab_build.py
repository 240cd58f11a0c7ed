"""The extension `schannel_ffi._engine`, cross-built for Windows on Linux.

`csrc/build_ffi.py` says what belongs to it; cffi of the host's virtual environment writes
the glue code; zig compiles and links against the limited API, so one `_engine.pyd` serves
every minor version. It lies in the work tree's package, where Linux never looks at it, and
so the Python files of the package are the ones in the work tree too.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lab_host
import lab_python
from lab_store import (
    FILES,
    FOLDER,
    REQUIREMENTS,
    ROOT,
    is_made,
    making,
    mark_made,
    recipe,
    remove,
    run_quietly,
    say,
)

BUILD_SCRIPT = ROOT / "csrc" / "build_ffi.py"
EXTENSION = ROOT / "schannel_ffi" / "_engine.pyd"
FOLDER_OF_BUILD = FOLDER / "build"

COMPILE = ("-O2", "-std=c11", "-DPy_LIMITED_API=0x030a0000")
OWN_WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")

# Runs in the virtual environment: writes the glue code, prints what to compile with it.
EMIT = """
import json, runpy, sys
script = runpy.run_path(sys.argv[1], run_name="build_ffi")
script["ffibuilder"].emit_c_code(sys.argv[2])
names = ("SOURCES", "LIBRARIES", "INCLUDE_DIRS", "DEFINE_MACROS")
print(json.dumps({name.lower(): [*script[name]] for name in names}))
"""


def build() -> None:
    """Build the extension, if anything it is made from has changed."""
    if not BUILD_SCRIPT.exists():
        say("csrc/build_ffi.py is not there: going on without the extension")
        return
    inputs = sorted(path for path in (ROOT / "csrc").rglob("*") if _is_input(path))
    names = [str(path.relative_to(ROOT)) for path in inputs]
    pins = [REQUIREMENTS / "host.txt", REQUIREMENTS / "zig.txt", FILES / "pyconfig.h"]
    wanted = recipe(Path(__file__), *pins, *names, *inputs)
    if EXTENSION.exists() and is_made(FOLDER_OF_BUILD, wanted):
        return
    say("building the extension")
    FOLDER_OF_BUILD.mkdir(exist_ok=True)
    _compile_and_link(headers=[path for path in inputs if path.suffix == ".h"])
    mark_made(FOLDER_OF_BUILD, wanted)


def _is_input(path: Path) -> bool:
    return path.suffix in (".c", ".h", ".py") and path.is_file()


@dataclass(frozen=True)
class Parts:
    """What `csrc/build_ffi.py` says: the names of setuptools' Extension arguments."""

    sources: list[str]
    libraries: list[str]
    include_dirs: list[str]
    define_macros: list[tuple[str, str | None]]

    def flags(self) -> list[str]:
        """Return the folders and macros as a compiler takes them.

        zig has definitions of its own (_WIN32_WINNT): each is undone before ours.
        """
        flags = [f"-I{ROOT / folder}" for folder in self.include_dirs]
        for name, value in self.define_macros:
            flags += [f"-U{name}", f"-D{name}" if value is None else f"-D{name}={value}"]
        return flags


def _compile_and_link(headers: Sequence[Path]) -> None:
    glue = FOLDER_OF_BUILD / "_engine.c"
    parts = emit(glue)
    flags = [*COMPILE, f"-I{python_headers()}", *parts.flags()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(_compile, glue, flags, headers)]
        own_flags = [*flags, *OWN_WARNINGS]
        jobs += [
            pool.submit(_compile, ROOT / source, own_flags, headers) for source in parts.sources
        ]
    objects = [job.result() for job in jobs]
    _link(objects, parts.libraries)
    for old in set(_objects_folder().iterdir()).difference(objects):
        remove(old)


def build_program(source: str, program: Path) -> None:
    """Build a console program from one C file and all of the extension's own sources."""
    parts = emit(FOLDER_OF_BUILD / "_engine.c")
    names = [f"-l{library}" for library in parts.libraries]
    sources = [ROOT / name for name in (source, *parts.sources)]
    arguments: list[str | Path] = [
        "-municode",
        *COMPILE,
        *OWN_WARNINGS,
        *parts.flags(),
        *sources,
        *names,
    ]
    _zig_cc([*arguments, "-o", program], what=f"building {program.name}")


def emit(glue: Path) -> Parts:
    """Write cffi's glue code; return what else belongs to the extension."""
    output = run_quietly(
        [lab_host.environment_python(), "-c", EMIT, BUILD_SCRIPT, glue],
        what="running csrc/build_ffi.py",
        cwd=ROOT,
    )
    return Parts(**json.loads(output.splitlines()[-1]))


def _compile(source: Path, flags: Sequence[str], headers: Sequence[Path]) -> Path:
    """Compile one file, unless the object of just this text and these flags is there."""
    key = recipe(source, *headers, *flags, REQUIREMENTS / "zig.txt", FILES / "pyconfig.h")
    wanted = _objects_folder() / f"{source.stem}-{key[:16]}.o"
    if not wanted.exists():
        draft = wanted.with_suffix(".part.o")
        _zig_cc(["-c", source, *flags, "-o", draft], what=f"compiling {source.name}")
        draft.rename(wanted)
    return wanted


def _link(objects: Sequence[Path], libraries: Sequence[str]) -> None:
    """Link into a draft and rename it: a Python that runs keeps the file it has loaded."""
    draft = FOLDER_OF_BUILD / "_engine.pyd"
    python3_dll = lab_python.folder() / "python3.dll"
    names = [f"-l{library}" for library in libraries]
    _zig_cc(["-shared", "-s", *objects, python3_dll, *names, "-o", draft], what="linking")
    EXTENSION.parent.mkdir(exist_ok=True)
    draft.replace(EXTENSION)


def _zig_cc(arguments: Sequence[str | Path], *, what: str) -> None:
    run_quietly(
        [lab_host.zig(), "cc", "-target", lab_python.TARGET, *arguments],
        what=what,
        env=lab_host.zig_environment(),
        cwd=FOLDER_OF_BUILD,
    )


def _objects_folder() -> Path:
    folder = FOLDER_OF_BUILD / "objects"
    folder.mkdir(exist_ok=True)
    return folder


def python_headers() -> Path:
    """Return the host's Python headers with a pyconfig.h that describes Windows.

    They must be a copy: Python.h includes the pyconfig.h of its own folder.
    """
    folder = FOLDER / f"headers-{lab_host.MINOR}"
    wanted = recipe(lab_host.IDENTITY, FILES / "pyconfig.h")
    if not is_made(folder, wanted):
        with making(folder, wanted) as draft:
            shutil.copytree(lab_host.INCLUDE, draft, dirs_exist_ok=True)
            shutil.copy(FILES / "pyconfig.h", draft)
    return folder
