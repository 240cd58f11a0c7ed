"""Compile csrc against Microsoft's own SDK headers, in clang's MSVC mode, for all three machines.

    python3 ci/msvc_headers.py --fetch     gets the headers from GitHub (git, some minutes)
    python3 ci/msvc_headers.py FOLDER      they are here: FOLDER holds um, shared and ucrt
    python3 ci/msvc_headers.py             those of the last time

They come from microsoft/win32metadata, generation/WinSDK/RecompiledIdlHeaders. They are
Microsoft's: they stay in .lab/ and are never committed. Every file of csrc must compile without a
warning, and the tests' tables of struct layouts and of constants too. The last line counts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lab_apt
import native
from lab_store import FOLDER, ROOT, LabError, remove, run_quietly, say

REPOSITORY = "https://github.com/microsoft/win32metadata.git"
PLACE = "generation/WinSDK/RecompiledIdlHeaders"
FOLDERS = ["um", "shared", "ucrt"]
HEADERS = FOLDER / "msvc-headers"
TARGETS = ["x86_64-pc-windows-msvc", "i686-pc-windows-msvc", "aarch64-pc-windows-msvc"]
MODE = [
    "-fms-compatibility",
    "-fms-extensions",
    "-fms-compatibility-version=19.40",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fsyntax-only",
]

# What Visual C++ brings itself and the SDK does not hold, as far as csrc needs it.
COMPILERS_OWN = {
    "vcruntime.h": """
#pragma once
#define _VCRUNTIME_H
#define _VCRTIMP
#define _CRTIMP
#define _CRT_BEGIN_C_HEADER
#define _CRT_END_C_HEADER
#define _CRT_SECURE_NO_WARNINGS
#define _CRT_INSECURE_DEPRECATE(replacement)
#define _CRT_DEPRECATE_TEXT(text)
#define _CRT_INSECURE_DEPRECATE_MEMORY(replacement)
#define __CRTDECL __cdecl
#define __CLRCALL_PURE_OR_CDECL __cdecl
#define _CRT_STRINGIZE(x) #x
#define _CRT_WIDE(text) L ## text
#define _CRT_DISABLE_GCC_WARNINGS
#define _CRT_RESTORE_GCC_WARNINGS
#define _CRT_HAS_CXX17 0
#define _CRT_HAS_C11 1
#define _CRT_UNUSED(x) (void)x
#define _CRTRESTRICT __declspec(restrict)
#define _CRTNOALIAS __declspec(noalias)
#define _CRT_GUARDOVERFLOW
#define _CRT_ALIGN(x) __declspec(align(x))
#define _CRT_INTERNAL_NONSTDC_NAMES 1
#define _CRT_DECLARE_NONSTDC_NAMES 1
#define _CRT_NONSTDC_DEPRECATE(name)
#define _CRT_BUILD_DESKTOP_APP 1
#define _VCRT_ALIGN(x) __declspec(align(x))
#define _VCRTIMP
#define _VCRT_NOALIAS
#define _VCRT_RESTRICT
#define _HAS_NODISCARD 0
#define _NODISCARD
#define _MSVC_CONSTEXPR
#define _STATIC_ASSERT(expression) _Static_assert(expression, #expression)
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
#ifndef _WCHAR_T_DEFINED
#define _WCHAR_T_DEFINED
typedef unsigned short wchar_t;
#endif
typedef _Bool __vcrt_bool;
#ifndef NULL
#define NULL ((void *)0)
#endif
""",
    "vadefs.h": """
#pragma once
#define _INC_VADEFS
typedef __builtin_va_list va_list;
#define __crt_va_start(list, last) __builtin_va_start(list, last)
#define __crt_va_arg(list, type) __builtin_va_arg(list, type)
#define __crt_va_end(list) __builtin_va_end(list)
""",
    "vcruntime_string.h": """
#pragma once
#include <vcruntime.h>
void *__cdecl memchr(const void *, int, size_t);
int __cdecl memcmp(const void *, const void *, size_t);
void *__cdecl memcpy(void *, const void *, size_t);
void *__cdecl memmove(void *, const void *, size_t);
void *__cdecl memset(void *, int, size_t);
char *__cdecl strchr(const char *, int);
char *__cdecl strrchr(const char *, int);
char *__cdecl strstr(const char *, const char *);
wchar_t *__cdecl wcschr(const wchar_t *, wchar_t);
wchar_t *__cdecl wcsrchr(const wchar_t *, wchar_t);
wchar_t *__cdecl wcsstr(const wchar_t *, const wchar_t *);
""",
    "excpt.h": """
#pragma once
typedef enum { ExceptionContinueExecution, ExceptionContinueSearch } EXCEPTION_DISPOSITION;
""",
    "setjmp.h": "#pragma once\ntypedef long long jmp_buf[32];\n",
    "sal.h": "",  # taken from the SDK where it has one
    "stdarg.h": """
#pragma once
#include <vadefs.h>
#define va_start __crt_va_start
#define va_arg __crt_va_arg
#define va_end __crt_va_end
""",
}


def main(arguments: Sequence[str]) -> int:
    """Prepare the headers where needed, compile all; returns the exit status."""
    try:
        if shutil.which("clang") is None:
            lab_apt.install(["clang"], what="clang")
        if list(arguments) == ["--fetch"]:
            prepare(_fetch())
        elif arguments:
            prepare(Path(arguments[0]).resolve())
        elif not HEADERS.exists():
            message = f"there are no headers yet: give their folder, or --fetch\n{__doc__}"
            raise LabError(message)
    except LabError as error:
        print(error)
        return 1
    return _compile_all()


def _fetch() -> Path:
    clone = FOLDER / "win32metadata"
    if not clone.exists():
        say("fetching Microsoft's headers from GitHub")
        options = ["--depth=1", "--filter=blob:none", "--sparse"]
        run_quietly(["git", "clone", *options, REPOSITORY, clone], what="git clone")
    places = [f"{PLACE}/{folder}" for folder in FOLDERS]
    command: list[str | Path] = ["git", "-C", clone, "sparse-checkout", "set", *places]
    run_quietly(command, what="git sparse-checkout", time_limit=1800)
    return clone / PLACE


def prepare(source: Path) -> None:
    """Copy the headers with names in lower case, and a link for each spelling that is included."""
    remove(HEADERS)
    spellings: set[str] = set()
    for folder in FOLDERS:
        if not (source / folder).is_dir():
            raise LabError(f"{source} has no folder {folder}")
        for path in sorted((source / folder).rglob("*")):
            if path.suffix.lower() in {".h", ".inl"} and path.is_file():
                target = HEADERS / folder / str(path.relative_to(source / folder)).lower()
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                text = path.read_text(encoding="latin-1")
                spellings.update(re.findall(r'#\s*include\s*[<"]([^">]+)[">]', text))
    for spelling in sorted(spellings):
        _link(spelling.replace("\\", "/"))
    own = HEADERS / "compiler"
    own.mkdir()
    for name, text in COMPILERS_OWN.items():
        if text:
            (own / name).write_text(text, encoding="utf-8")
    for present in HEADERS.glob("*/sal.h"):
        say(f"{present.relative_to(HEADERS)} is the SDK's")


def _link(spelling: str) -> None:
    for folder in FOLDERS:
        lower = HEADERS / folder / spelling.lower()
        wanted = HEADERS / folder / spelling
        if lower.exists() and not wanted.exists():
            wanted.parent.mkdir(parents=True, exist_ok=True)
            wanted.symlink_to(os.path.relpath(lower, wanted.parent))


def _compile_all() -> int:
    sources = [native.CSRC / name for name in native.c_sources()]
    sources += sorted((ROOT / "csrc" / "examples").glob("*.c"))
    sources += [native.NATIVE / "layout.c", native.write_constants()]
    jobs = [(source, target) for source in sources for target in TARGETS]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outputs = list(pool.map(lambda job: _compile(*job), jobs))
    failed = 0
    for (source, target), output in zip(jobs, outputs, strict=True):
        if output:
            failed += 1
            print(f"FAILED {source.name} for {target}\n{output}")
    print(f"{len(jobs) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _compile(source: Path, target: str) -> str:
    """Return what clang said; empty: it compiled without a warning."""
    system = [f"-isystem{HEADERS / folder}" for folder in ("compiler", *FOLDERS)]
    command: list[str | Path] = ["clang", f"--target={target}", *MODE, *system]
    command += [f"-I{native.CSRC}", source]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    said = done.stdout + done.stderr
    return said or ("" if done.returncode == 0 else f"exit status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
