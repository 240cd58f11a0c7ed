"""The Windows Python with the built package, on Windows and on Linux.

    python3 ci/lab.py setup            make or complete the lab, build the extension
    python3 ci/lab.py python ARGS...   run its Python, as `python ARGS...`
    python3 ci/lab.py pytest ARGS...   run its pytest
    python3 ci/lab.py stop             end the Wine server that otherwise waits for more

On Linux this is a Windows CPython under Wine, on Windows a virtual environment with the
native compiler. Everything lies in `.lab/`; the first set-up takes some minutes, a later
start less than a second. stdin, stdout, stderr and the exit status are the program's; the
working directory is kept and host paths open as they are.

Environment: SCHANNEL_LAB_TLS13=1 switches TLS 1.3 on under Wine; SCHANNEL_LAB_WINE=10 takes Wine
10 or newer, which has Schannel's server role: where the machine's own is older, root gets one in
a Debian 13 of the lab's; SCHANNEL_LAB_TIME_LIMIT=SECONDS ends a program that runs longer (1800;
0: never).

Other scripts of `ci` write

    import lab

    windows = lab.ensure()
    done = windows.python(["-c", "print(1)"], stdout=subprocess.PIPE)
    with windows.started(["server.py"], stdout=subprocess.PIPE) as server:
        server.stdout.readline()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import IO, Any

import lab_host
import lab_wine
from lab_store import LabError, locked, say

if sys.platform == "win32":
    import lab_native
    from lab_native import started
else:
    import lab_build
    import lab_python
    from lab_run import set_up, started

__all__ = ["Lab", "LabError", "ensure", "exit_on_sigterm"]

DEFAULT_TIME_LIMIT = 1800.0
TIME_IS_UP = 124  # the exit status that timeout(1) made usual

Stdio = int | IO[Any] | None


class Lab:
    """A lab that is ready: made by `ensure()`.

    Attributes:
        host_python: interpreter of the virtual environment with the tools of the host's
            side (cffi, pytest, mypy, ruff, clang-format ...); on Windows also the one that
            `python()` runs.
        python_exe: the Windows interpreter, as a host path.
        is_wine: the Windows programs run under Wine.
        wine_major: the first number of its version; 0 on Windows.
    """

    def __init__(self, host_python: Path, python_exe: Path, wine: lab_wine.Wine | None) -> None:
        self.host_python = host_python
        self.python_exe = python_exe
        self.is_wine = wine is not None
        self.wine_major = wine.major if wine else 0
        self._wine = wine

    def python(
        self,
        arguments: Sequence[str | Path],
        *,
        stdin: Stdio = None,
        stdout: Stdio = None,
        stderr: Stdio = None,
        stdin_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tls13: bool | None = None,
        time_limit: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the Windows Python to its end; blocks.

        Args:
            arguments: as after `python`; host paths may be named as they are.
            stdin, stdout, stderr: as for subprocess.run; None is this process' own.
            stdin_text: what it reads from its stdin.
            env: variables to set on top of this process' own.
            tls13: the TLS 1.3 lane; None follows SCHANNEL_LAB_TLS13.
            time_limit: seconds; None follows SCHANNEL_LAB_TIME_LIMIT, 0 is no limit.

        Raises:
            subprocess.TimeoutExpired: the limit was reached; the program is gone.
        """
        limit = default_time_limit() if time_limit is None else time_limit
        if stdin_text is not None:
            stdin = subprocess.PIPE
        try:
            with self.started(
                arguments,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                tls13=tls13,
            ) as process:
                output, errors = process.communicate(stdin_text, limit or None)
        except subprocess.TimeoutExpired:
            self._mend()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def started(
        self,
        arguments: Sequence[str | Path],
        *,
        stdin: Stdio = None,
        stdout: Stdio = None,
        stderr: Stdio = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        tls13: bool | None = None,
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Start the Windows Python beside this process; the arguments are `python()`'s.

        At the end of the `with` block the program is ended, and with it all it started.
        """
        return started(
            self.command(arguments),
            env={**self.environment(tls13=tls13), **(env or {})},
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """Return the host's command line for `python ARGUMENTS`."""
        return [*self.program_command(self.python_exe), *map(str, arguments)]

    def program_command(self, program: Path) -> list[str]:
        """Return the beginning of the host's command line for another Windows program."""
        loader = self._wine.command(self._wine.loader) if self._wine else []
        return [*loader, str(program)]

    def environment(self, *, tls13: bool | None = None) -> dict[str, str]:
        """Return the environment that the Windows Python runs in."""
        if self._wine is None:
            return dict(os.environ)
        if tls13 is None:
            tls13 = os.environ.get("SCHANNEL_LAB_TLS13") == "1"
        return self._wine.environment(tls13=tls13)

    def windows_path(self, path: Path) -> str:
        """Return how the Windows Python names a host path."""
        return lab_wine.windows_path(path) if self.is_wine else str(path.resolve())

    def _mend(self) -> None:
        """After a program that hung: see that Wine still works, or start it afresh."""
        if self._wine is not None and not self._wine.is_alive():
            say("Wine hangs; ending all programs of its prefix")
            self._wine.stop()


def ensure(*, oldest_wine: int | None = None) -> Lab:
    """Return a lab that is ready, after making what is missing or out of date.

    Blocks: some minutes the first time, while another process does it, or while the
    extension is built; else some hundredths of a second.

    Args:
        oldest_wine: the first number of Wine's version, at least; None follows
            SCHANNEL_LAB_WINE. Without meaning on Windows.

    Raises:
        LabError: it cannot be made; the message says why and what to do.
    """
    lab_host.check_python(cross=sys.platform != "win32")
    with locked():
        if sys.platform == "win32":
            python = lab_native.ensure()
            return Lab(python, python, None)
        return _ensure_with_wine(default_oldest_wine() if oldest_wine is None else oldest_wine)


def _ensure_with_wine(oldest_wine: int) -> Lab:
    with set_up():
        wine = lab_wine.install(oldest_major=oldest_wine)
        wine.make_prefix()
        lab_host.make_environment()
        lab_host.install_tools("host")
        python_exe = lab_python.ensure()
        lab_build.build()
        wine.start()
    return Lab(lab_host.environment_python(), python_exe, wine)


def default_time_limit() -> float:
    """Return SCHANNEL_LAB_TIME_LIMIT in seconds, or its default."""
    text = os.environ.get("SCHANNEL_LAB_TIME_LIMIT", "")
    try:
        return float(text) if text else DEFAULT_TIME_LIMIT
    except ValueError as exc:
        raise LabError(f"SCHANNEL_LAB_TIME_LIMIT is {text!r}, not a number of seconds") from exc


def default_oldest_wine() -> int:
    """Return the Wine that SCHANNEL_LAB_WINE asks for, or the oldest that will do."""
    text = os.environ.get("SCHANNEL_LAB_WINE") or str(lab_wine.OLDEST_MAJOR)
    if not text.isdecimal():
        raise LabError(f"SCHANNEL_LAB_WINE is {text!r}, not the first number of a version")
    return int(text)


def exit_on_sigterm() -> None:
    """Make SIGTERM end this process by SystemExit, so that `with` blocks end their programs."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    if not arguments or arguments[0] not in ("setup", "python", "pytest", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    exit_on_sigterm()
    try:
        return _run_command(arguments[0], arguments[1:])
    except LabError as exc:
        say(str(exc))
        return 1
    except subprocess.TimeoutExpired as exc:
        say(f"ended the program: it ran for {exc.timeout:.0f} s (SCHANNEL_LAB_TIME_LIMIT)")
        return TIME_IS_UP
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run_command(command: str, arguments: list[str]) -> int:
    if command == "stop":
        return _stop()
    windows = ensure()
    if command == "setup":
        say(f"ready: {windows.python_exe}")
        return 0
    prefix = ["-m", "pytest"] if command == "pytest" else []
    status = windows.python([*prefix, *arguments]).returncode
    return status if status >= 0 else 128 - status


def _stop() -> int:
    if sys.platform != "win32":
        for wine in lab_wine.all_made():
            wine.stop()
    return 0


def _plug_closed_stdio() -> None:
    """Open what the caller left closed, before a file of ours gets its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    _plug_closed_stdio()
    sys.exit(main(sys.argv[1:]))
