"""A Windows CPython without Windows: assembled from parts that others publish.

* The interpreter's DLL and its extension modules are python.org's own, unmodified; the
  PyPI package `panda3d` carries them in `deploy_libs/` for the programs it packages.
* The standard library is the host's of the same minor version.
* `python.exe` and `python3.dll` are small and made here by the cross compiler.
* Packages are ordinary Windows wheels.

The layout is that of an installed CPython: `python.exe` and DLLs, `DLLs/*.pyd`, `Lib`.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

import lab_host
from lab_store import (
    FILES,
    FOLDER,
    REQUIREMENTS,
    ROOT,
    is_made,
    making,
    recipe,
    remove,
    run_quietly,
    say,
)

TARGET = "x86_64-windows-gnu"
NOT_FROM_HOST = ("lib-dynload", "test", "tests", "site-packages", "dist-packages", "__pycache__")


def folder() -> Path:
    """Return where the Windows Python of the host's minor version lies."""
    return FOLDER / f"windows-{lab_host.MINOR}"


def ensure() -> Path:
    """Assemble the Windows Python if it is not there; return its python.exe.

    One serves every Wine, so it is made for the oldest: before 9 `bcryptprimitives.dll` is
    missing and the functions behind `_wmi.pyd` end the process.
    """
    part = folder()
    lists = [REQUIREMENTS / "cpython.txt", REQUIREMENTS / "windows.txt"]
    sources = sorted(path for path in FILES.iterdir() if path.is_file())
    wanted = recipe(lab_host.IDENTITY, *lists, *sources, Path(__file__))
    if not is_made(part, wanted):
        say(f"assembling a Windows Python {lab_host.MINOR} (a minute or two the first time)")
        with making(part, wanted) as draft:
            _add_interpreter(draft)
            _add_standard_library(draft)
            _add_packages(draft)
            _add_programs(draft)
            _compile_all(draft)
    return part / "python.exe"


def _add_interpreter(root: Path) -> None:
    """Take python3xx.dll, its extension modules and their DLLs out of the wheel."""
    downloads, unpacked = root / "downloads", root / "unpacked"
    for wheel in lab_host.download_windows_wheels(REQUIREMENTS / "cpython.txt", downloads):
        lab_host.unpack(wheel, unpacked)
    (root / "DLLs").mkdir()
    for path in (unpacked / "deploy_libs").iterdir():
        if _is_wanted(path.name):
            path.rename((root / "DLLs" if path.suffix == ".pyd" else root) / path.name)
    remove(unpacked)
    remove(downloads)


def _is_wanted(name: str) -> bool:
    if name.startswith("api-ms-win-"):  # Wine has its own C runtime
        return False
    if ".cp313t-" in name:  # modules of the free-threaded build
        return False
    return name != "_wmi.pyd"


def _add_standard_library(root: Path) -> None:
    """Copy the host's standard library without what is Linux's own or never needed."""
    ignored = shutil.ignore_patterns(*NOT_FROM_HOST, "config-*", "_sysconfigdata_*")
    shutil.copytree(lab_host.STDLIB, root / "Lib", ignore=ignored, symlinks=False)


def _add_packages(root: Path) -> None:
    """Unpack the wheels, and name the work tree, so that its packages are importable."""
    site, downloads = root / "Lib" / "site-packages", root / "downloads"
    site.mkdir()
    for wheel in lab_host.download_windows_wheels(REQUIREMENTS / "windows.txt", downloads):
        lab_host.unpack(wheel, site)
    remove(downloads)
    depth = len((folder() / "Lib" / "site-packages").relative_to(ROOT).parts)
    (site / "schannel_ffi_work_tree.pth").write_text("\\".join([".."] * depth) + "\n")


def _add_programs(root: Path) -> None:
    """Compile python.exe, python3.dll and the DLL that an old Wine lacks."""
    dll = f"python3{sys.version_info[1]}"
    work = root / "work"
    shutil.copytree(FILES, work)
    forwards = "\n".join(
        f'  "{name}" = "{dll}.{name}"' for name in exported_names(root / f"{dll}.dll")
    )
    (work / "python3.def").write_text(f'LIBRARY "python3.dll"\nEXPORTS\n{forwards}\n')
    (work / "empty.c").write_text("int schannel_ffi_lab_empty;\n")
    _zig_cc(work, "-municode", "python.c", "python.rc", root / f"{dll}.dll", "-o", "python.exe")
    _zig_cc(
        *(work, "-shared", "empty.c", "python3.def"),
        *(root / f"{dll}.dll", "-o", "python3.dll"),
    )
    _zig_cc(
        *(work, "-shared", "bcryptprimitives.c", "-ladvapi32"),
        *("-o", "bcryptprimitives.dll"),
    )
    for name in ("python.exe", "python3.dll", "bcryptprimitives.dll"):
        (work / name).rename(root / name)
    remove(work)


def _zig_cc(cwd: Path, *arguments: str | Path) -> None:
    run_quietly(
        [lab_host.zig(), "cc", "-target", TARGET, "-O2", "-s", *arguments],
        what=f"cross-compiling {arguments[-1]}",
        env=lab_host.zig_environment(),
        cwd=cwd,
    )


def _compile_all(root: Path) -> None:
    """Byte-compile with the host's Python: Windows' own could be told not to cache."""
    run_quietly(
        [sys.executable, "-m", "compileall", "-q", "-j", "0", root / "Lib"],
        what="byte-compiling the standard library",
    )


def exported_names(dll: Path) -> list[str]:
    """Return the names that a PE32+ or PE32 DLL exports, in its own (sorted) order.

    Source: Microsoft's "PE Format", sections "Optional Header" and "The .edata Section".
    """
    image = dll.read_bytes()

    def u16(offset: int) -> int:
        return int(struct.unpack_from("<H", image, offset)[0])

    def u32(offset: int) -> int:
        return int(struct.unpack_from("<I", image, offset)[0])

    coff = u32(0x3C) + 4
    optional = coff + 20
    directories = optional + (112 if u16(optional) == 0x20B else 96)
    sections = optional + u16(coff + 16)

    def at(rva: int) -> int:
        for index in range(u16(coff + 2)):
            header = sections + 40 * index
            start = u32(header + 12)
            if start <= rva < start + max(u32(header + 8), u32(header + 16)):
                return rva - start + u32(header + 20)
        raise ValueError(f"{dll.name}: no section holds the address {rva:#x}")

    table = at(u32(directories))
    names = at(u32(table + 32))
    starts = [at(u32(names + 4 * index)) for index in range(u32(table + 24))]
    return [image[start : image.index(b"\0", start)].decode("ascii") for start in starts]
