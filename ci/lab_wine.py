"""Wine: installed when it is missing, a prefix that claims Windows 10, a standing server.

The first program in a prefix starts the services of Windows as background processes, and
they inherit its pipes: a reader would wait for them. So the prefix is started by a program
of ours, with stdio of its own, before any other one runs there. The server then stays for
`IDLE_SECONDS` after the last program, which also makes each start of Python ten times
faster; it ends by itself, or by `stop()`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import lab_apt
import lab_root
from lab_store import FOLDER, LabError, drafts_of, is_made, making, recipe, run_quietly, say

OLDEST_MAJOR = 8
IDLE_SECONDS = 1800
APT_PACKAGES = ("wine", "wine64")

# A fresh prefix of Wine 8 claims Windows 7.
MAKE_PREFIX = (("wineboot", "-i"), ("winecfg", "-v", "win10"))

# Debian's `wine` is a wrapper that also wants 32-bit Wine, and its `wineserver` adds -p0.
DEBIAN_LOADER = Path("/usr/lib/wine/wine64")
DEBIAN_SERVER = Path("/usr/lib/wine/wineserver64")

# The host Python's home, our own mark (the services belong to no run), and the other lane.
NOT_FOR_WINDOWS = ("PYTHONHOME", "SCHANNEL_LAB_RUN", "GNUTLS_SYSTEM_PRIORITY_FILE")


@dataclass(frozen=True)
class Wine:
    """An installed Wine and the lab's prefix for it.

    Attributes:
        root: the system it is installed in; None is this one.
    """

    loader: Path
    server: Path
    version: str
    prefix: Path = FOLDER / "prefix"
    root: lab_root.Root | None = None

    @property
    def major(self) -> int:
        """The first number of the version, as 8 for "wine-8.0 (Debian 8.0~repack-4)"."""
        found = re.search(r"(\d+)\.", self.version)
        return int(found.group(1)) if found else 0

    def command(self, program: Path) -> list[str]:
        """Return the beginning of the host's command line for a program of this Wine's system."""
        return [*(self.root.enter() if self.root else []), str(program)]

    def environment(self, *, tls13: bool, prefix: Path | None = None) -> dict[str, str]:
        """Return the environment for a Wine program: the caller's, and Wine's settings.

        Args:
            tls13: switches TLS 1.3 on. Wine's Schannel offers it only when GnuTLS' system
                priority file exists; an empty one is enough.
        """
        env = dict(os.environ)
        for name in NOT_FOR_WINDOWS:
            env.pop(name, None)
        if "PYTHONPATH" in env:
            env["PYTHONPATH"] = ";".join(map(windows_path, env["PYTHONPATH"].split(":")))
        if "UTF-8" not in _locale(env).upper().replace("UTF8", "UTF-8"):
            env["LC_ALL"] = "C.UTF-8"  # else Wine cannot open host files beyond ASCII
        env.setdefault("PYTHONIOENCODING", "utf-8")  # the host's end of the pipes
        env.setdefault("WINEDEBUG", "-all")
        env["WINEDLLOVERRIDES"] = "winemenubuilder.exe=d;mscoree=;mshtml="
        env["WINEPREFIX"] = str(prefix or self.prefix)
        env["WINEARCH"] = "win64"
        if tls13:
            env["GNUTLS_SYSTEM_PRIORITY_FILE"] = str(_empty_priority_file())
        return self.root.environment(env) if self.root else env

    def start(self) -> None:
        """Start the server and services of the prefix, unless they are up (3 ms)."""
        if self._control(f"-p{IDLE_SECONDS}") == 0:
            self._run("cmd", "/c", "ver", what="starting Wine's services", time_limit=60.0)

    def stop(self) -> None:
        """End every program of the prefix, and its server."""
        self._control("-k")

    def is_alive(self) -> bool:
        """Tell whether a program can still start and end in the prefix."""
        try:
            self._run("cmd", "/c", "ver", what="asking Wine", time_limit=20.0)
        except LabError:
            return False
        return True

    def make_prefix(self) -> None:
        """Make the prefix, if it is not there: 10 seconds, 700 MB."""
        wanted = recipe(self.version, MAKE_PREFIX)
        if is_made(self.prefix, wanted):
            return
        say("making a Wine prefix that claims Windows 10")
        for old in (self.prefix, *drafts_of(self.prefix)):
            if old.exists():
                self._control("-k", prefix=old)
        with making(self.prefix, wanted) as draft:
            for command in MAKE_PREFIX:
                self._run(*command, what="making a Wine prefix", prefix=draft)
            self._control("-k", prefix=draft)
            self._control("-w", prefix=draft)

    def _control(self, option: str, *, prefix: Path | None = None) -> int:
        env = self.environment(tls13=False, prefix=prefix)
        return _run_alone([*self.command(self.server), option], env=env, time_limit=60.0)

    def _run(
        self, *arguments: str, what: str, prefix: Path | None = None, time_limit: float = 300.0
    ) -> None:
        """Run a program of Wine's own without any output."""
        env = self.environment(tls13=False, prefix=prefix)
        try:
            status = _run_alone(
                [*self.command(self.loader), *arguments], env=env, time_limit=time_limit
            )
        except subprocess.TimeoutExpired as exc:
            raise LabError(f"{what}: no answer from Wine in {time_limit:.0f} seconds") from exc
        if status != 0:
            raise LabError(f"{what}: Wine's {arguments[0]} ended with status {status}")


def _run_alone(argv: list[str], *, env: Mapping[str, str], time_limit: float) -> int:
    """Run a program that must inherit neither our stdio nor our terminal's Ctrl-C."""
    return subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=env,
        timeout=time_limit,
    ).returncode


def find() -> Wine | None:
    """Return the installed Wine, or None when there is none."""
    loader = _first(DEBIAN_LOADER, "wine64", "wine")
    server = _first(DEBIAN_SERVER, "wineserver64", "wineserver")
    if loader is None or server is None:
        return None
    return _asked_for_version(Wine(loader, server, ""))


def find_in(root: lab_root.Root) -> Wine:
    """Return the Wine that is installed in a root; it has a prefix of its own."""
    prefix = FOLDER / f"prefix-{lab_root.WINE_MAJOR}"
    return _asked_for_version(Wine(DEBIAN_LOADER, DEBIAN_SERVER, "", prefix, root))


def all_made() -> list[Wine]:
    """Return each Wine that has a prefix here."""
    root = lab_root.made()
    found = [find(), find_in(root) if root else None]
    return [wine for wine in found if wine and wine.prefix.exists()]


def _asked_for_version(wine: Wine) -> Wine:
    version = run_quietly(
        [*wine.command(wine.loader), "--version"],
        what="asking Wine for its version",
        env=wine.environment(tls13=False),
    )
    return replace(wine, version=version.strip())


def _first(installed: Path, *names: str) -> Path | None:
    if installed.exists():
        return installed
    found = next(filter(None, map(shutil.which, names)), None)
    return Path(found) if found else None


def install(*, oldest_major: int = OLDEST_MAJOR) -> Wine:
    """Return Wine, after installing it where that is possible and needed.

    A newer one than what apt may bring goes into a root of its own.
    """
    wine = find()
    if oldest_major > OLDEST_MAJOR and (wine is None or wine.major < oldest_major):
        return find_in(lab_root.ensure(oldest_wine=oldest_major))
    if wine is None:
        lab_apt.install(APT_PACKAGES, what=f"Wine {OLDEST_MAJOR} or newer")
        wine = find()
    if wine is None:
        raise LabError("Wine was installed but neither wine64 nor wineserver can be found")
    if wine.major < OLDEST_MAJOR:
        raise LabError(f"the lab needs Wine {OLDEST_MAJOR} or newer; this is {wine.version}")
    return wine


def windows_path(path: str | os.PathLike[str]) -> str:
    r"""Return how a Windows program names a host path: `/tmp/a` is `Z:\tmp\a`."""
    return "Z:" + os.path.abspath(path).replace("/", "\\")


def _locale(env: Mapping[str, str]) -> str:
    return env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""


def _empty_priority_file() -> Path:
    path = FOLDER / "gnutls-priorities-for-tls13"
    if not path.exists():
        path.touch()
    return path
