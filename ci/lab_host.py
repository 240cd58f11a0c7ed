"""The host's side of the lab: its Python, a virtual environment with tools, and downloads.

Every download is pinned and hashed in `ci/requirements/*.txt` and comes through pip, so that
the user's own index, proxy and certificate settings hold here too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

import lab_apt
from lab_store import (
    FOLDER,
    REQUIREMENTS,
    LabError,
    check_space,
    is_made,
    making,
    mark_made,
    recipe,
    remove,
    run_quietly,
    say,
)

# Here, as the next module to be imported fails on an older one.
if sys.version_info < (3, 10):  # noqa: UP036 - it may still be started with one
    sys.exit(f"lab: Python 3.10 or newer is needed; {sys.executable} is {sys.version.split()[0]}")

SUPPORTED_MINORS = (10, 11, 12, 13)
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
INCLUDE = Path(sysconfig.get_path("include"))
STDLIB = Path(sysconfig.get_path("stdlib"))

# Which Python this is, to the build: a part made with another one is made again.
IDENTITY = f"{sys.version} {sys.base_prefix}"


def check_python(*, cross: bool) -> None:
    """Raise LabError, with the cure, when this Python cannot set up a lab.

    Args:
        cross: it lends its headers and standard library to a Windows Python, so the
            minor version and the machine matter too.
    """
    if cross:
        _check_machine()
    lacking = _lacking_parts(cross=cross)
    if lacking and sys.base_prefix == "/usr" and shutil.which("apt-get"):
        what = f"{' and '.join(lacking)} of this Python ({sys.executable})"
        lab_apt.install(sorted(set(lacking.values())), what=what)
        importlib.invalidate_caches()
        lacking = _lacking_parts(cross=cross)
    if lacking:
        raise LabError(
            f"this Python ({sys.executable}) lacks {' and '.join(lacking)}; install them, or use "
            f"Debian's: apt-get install {' '.join(sorted(set(lacking.values())))}"
        )


def _lacking_parts(*, cross: bool) -> dict[str, str]:
    """Return what this Python lacks, and the Debian package that has it."""
    parts = {
        f"the module {name}": f"python{MINOR}-venv"
        for name in ("venv", "ensurepip")
        if not importlib.util.find_spec(name)
    }
    if cross and not (INCLUDE / "Python.h").exists():
        parts[f"the headers ({INCLUDE})"] = f"python{MINOR}-dev"
    return parts


def _check_machine() -> None:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise LabError(
            f"the lab runs on Windows and on x86-64 Linux, not on {sys.platform} "
            f"{platform.machine()}"
        )
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise LabError(f"the lab needs an ordinary CPython; {sys.executable} is not one")
    if sys.version_info[1] not in SUPPORTED_MINORS:
        names = ", ".join(f"3.{minor}" for minor in SUPPORTED_MINORS)
        raise LabError(
            f"there is no Windows Python {MINOR} for the lab; start it with one of {names}"
        )


def environment_folder() -> Path:
    """Return where the virtual environment of this Python's minor version lies."""
    return FOLDER / ("venv" if sys.platform == "win32" else f"host-{MINOR}")


def environment_python() -> Path:
    """Return the interpreter of that virtual environment, made or not."""
    if sys.platform == "win32":
        return environment_folder() / "Scripts" / "python.exe"
    return environment_folder() / "bin" / "python"


def make_environment() -> None:
    """Make the virtual environment with nothing but pip, if it is not there.

    It is made in place, as its scripts hold their own path; its mark is written last.
    """
    folder = environment_folder()
    wanted = recipe(IDENTITY, str(folder))
    if is_made(folder, wanted):
        return
    check_space()
    say(f"making a virtual environment with Python {platform.python_version()}")
    remove(folder)
    run_quietly([sys.executable, "-m", "venv", folder], what="making a virtual environment")
    mark_made(folder, wanted)


def install_tools(*names: str) -> None:
    """Install the packages of these requirement lists into the virtual environment."""
    mark = environment_folder() / "tools"
    lists = [REQUIREMENTS / f"{name}.txt" for name in names]
    wanted = recipe(*lists)
    if is_made(mark, wanted):
        return
    check_space()
    say("installing the tools of the host side")
    for requirements in lists:
        pip("install", "--require-hashes", "-r", requirements)
    mark.mkdir(exist_ok=True)
    mark_made(mark, wanted)


def pip(*arguments: str | Path) -> None:
    """Run pip of the virtual environment; its cache lies in the lab's folder."""
    env = dict(os.environ, PIP_CACHE_DIR=str(FOLDER / "pip-cache"), PIP_NO_INPUT="1")
    env.pop("PIP_REQUIRE_VIRTUALENV", None)
    run_quietly(
        [environment_python(), "-m", "pip", "--disable-pip-version-check", *arguments],
        what="downloading packages failed (is there a network?)",
        env=env,
        time_limit=1800.0,
    )


def download_windows_wheels(requirements: Path, into: Path) -> list[Path]:
    """Download the win_amd64 wheels of a requirement list for this minor version.

    Markers would be judged for the host, so the lists hold none and name each dependency.
    """
    pip(
        *("download", "--no-deps", "--only-binary=:all:", "--require-hashes"),
        *("--platform", "win_amd64", "--implementation", "cp", "--python-version", MINOR),
        *("-r", requirements, "--dest", into),
    )
    return sorted(into.glob("*.whl"))


def unpack(wheel: Path, into: Path) -> None:
    """Unpack a wheel the way an installer does: its data folders join its packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(into)
    for data in into.glob("*.data"):
        for scheme in ("purelib", "platlib"):
            for item in (data / scheme).glob("*"):
                item.rename(into / item.name)
        remove(data)


def zig() -> Path:
    """Return the cross compiler, after downloading it if it is not there."""
    folder = FOLDER / "zig"
    requirements = REQUIREMENTS / "zig.txt"
    wanted = recipe(requirements)
    if not is_made(folder, wanted):
        say("downloading the cross compiler (ziglang)")
        with making(folder, wanted) as draft:
            pip(
                *("install", "--no-cache-dir", "--no-deps", "--only-binary=:all:"),
                *("--require-hashes", "--target", draft, "-r", requirements),
            )
    return folder / "ziglang" / "zig"


def zig_environment() -> dict[str, str]:
    """Return an environment in which zig keeps what it compiles in the lab's folder."""
    cache = FOLDER / "zig-cache"
    return dict(
        os.environ,
        ZIG_GLOBAL_CACHE_DIR=str(cache / "global"),
        ZIG_LOCAL_CACHE_DIR=str(cache / "local"),
    )
