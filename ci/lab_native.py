"""The lab on Windows: a virtual environment, and the native compiler through setuptools."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import lab_host
from lab_store import FOLDER, ROOT, is_made, mark_made, recipe, say


def ensure() -> Path:
    """Make the virtual environment and the extension where needed; return its Python."""
    lab_host.make_environment()
    lab_host.install_tools("host", "windows")
    _install_project()
    return lab_host.environment_python()


def _install_project() -> None:
    """Install the work tree in editable form, again when its C sources have changed."""
    mark = FOLDER / "venv" / "project"
    inputs = sorted((ROOT / "csrc").glob("*.[chp]*"))
    inputs += [ROOT / "setup.py", ROOT / "pyproject.toml"]
    wanted = recipe(lab_host.IDENTITY, *inputs)
    if not is_made(mark, wanted):
        say("building the extension")
        lab_host.pip("install", "--no-deps", "--no-build-isolation", "--editable", ROOT)
        mark.mkdir(exist_ok=True)
        mark_made(mark, wanted)


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | os.PathLike[str] | None = None,
    stdin: int | IO[Any] | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program and yield it; at the end of the block it is gone."""
    with subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            yield process
        finally:
            process.kill()
