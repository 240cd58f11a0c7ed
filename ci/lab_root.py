"""A Debian 13 in a folder of the lab, for the Wine 10 that an older system does not have.

Wine 10 shows what Wine 8 lacks, above all Schannel's server role. `debootstrap` makes the root,
apt inside it installs Wine, and a program in it is started by

    unshare --mount sh -c '... mount --rbind ...; exec chroot ...' PROGRAM ...

A mount namespace of its own holds all mounts: they are gone with the last of its programs, however
that ended; outside nothing is ever mounted, so deleting `.lab` can never reach through one. The
root keeps its own system folders (`OWN`); every other folder of the host's `/`, and the project
wherever it lies, appear in it under the names they have outside. So paths, pipes, loopback and
process ids are the same inside and outside, and `lab_run` needs to know nothing of all this.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lab_apt
from lab_store import FOLDER, ROOT, LabError, is_made, making, recipe, run_quietly, say

SUITE = "trixie"
WINE_MAJOR = 10
# ca-certificates: Wine fills the root store of Windows from them.
PACKAGES = ("wine", "wine64", "ca-certificates")
HOST_PACKAGES = ("debootstrap", "debian-archive-keyring", "util-linux", "mount")

# What the root has of its own; libraries of the host's must not come in by the environment.
OWN = ("bin", "boot", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NOT_FOR_ROOT = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LC_CTYPE", "LANG", "LANGUAGE", "LOCPATH")

# $1: the root, $2: the project, $3: the names in OWN with a blank around each; then the program.
ENTER = r"""
set -e
root=$1 project=$2 own=$3 here=$(pwd)
shift 3
for path in /*; do
    case "$own" in *" ${path#/} "*) continue ;; esac
    if [ -L "$path" ]; then
        ln -sfn "$(readlink "$path")" "$root$path"
    elif [ -d "$path" ]; then
        mkdir -p "$root$path"
        mount --rbind "$path" "$root$path"
    fi
done
if [ ! -d "$root$project/ci" ]; then
    mkdir -p "$root$project"
    mount --rbind "$project" "$root$project"
fi
for file in /etc/hosts /etc/resolv.conf; do
    [ -e "$file" ] || continue
    [ -e "$root$file" ] || : >"$root$file"
    mount --bind "$file" "$root$file"
done
exec chroot "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$here" "$@"
"""

# $1: the draft; the rest is what to install. Its own /proc is gone with the namespace.
INSTALL = r"""
set -e
draft=$1
shift
mount -t proc proc "$draft/proc"
chroot "$draft" apt-get update
chroot "$draft" apt-get install -y --no-install-recommends "$@"
chroot "$draft" apt-get clean
rm -rf "$draft"/var/lib/apt/lists/* "$draft"/usr/share/doc/*
"""

MADE_IN = FOLDER / f"debian-{SUITE}"
RECIPE = recipe(SUITE, PACKAGES, INSTALL)


@dataclass(frozen=True)
class Root:
    """A root that is made."""

    folder: Path

    def enter(self) -> list[str]:
        """Return the words that put a program and its arguments, which follow, into the root."""
        own = f" {' '.join(OWN)} "
        return [*_in_namespace(ENTER), str(self.folder), str(ROOT), own]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment without what holds for the host's system only."""
        kept = {name: value for name, value in env.items() if name not in NOT_FOR_ROOT}
        return {**kept, "PATH": PATH, "LC_ALL": "C.UTF-8"}


def ensure(*, oldest_wine: int) -> Root:
    """Return the root, made if it is not there: one or two minutes, 1.4 GB.

    Raises:
        LabError: it cannot be made or entered here; the message says why in plain words.
    """
    if oldest_wine > WINE_MAJOR:
        raise LabError(f"Wine {oldest_wine} is wanted; the lab can make Wine {WINE_MAJOR}")
    _check_rights()
    if (root := made()) is None:
        _install_host_packages()
        say(f"making a Debian 13 with Wine {WINE_MAJOR} (one or two minutes)")
        with making(MADE_IN, RECIPE) as draft:
            _make(draft)
        root = Root(MADE_IN)
    return root


def made() -> Root | None:
    """Return the root if it was made, as it would be now."""
    return Root(MADE_IN) if is_made(MADE_IN, RECIPE) else None


def _check_rights() -> None:
    """Raise LabError when a program cannot be started in a root here."""
    if os.getuid() != 0:
        raise LabError(
            f"Wine {WINE_MAJOR} is not installed, and only root can make a Debian 13 that has it. "
            f"Install Wine {WINE_MAJOR} or newer, or run this as root (in a container, say)"
        )
    run_quietly(
        ["unshare", "--mount", "true"],
        what=f"Wine {WINE_MAJOR} runs in a root of its own, and this machine forbids the mounts "
        "for it (a container needs CAP_SYS_ADMIN)",
    )


def _install_host_packages() -> None:
    if any(shutil.which(tool) is None for tool in ("debootstrap", "unshare", "mount")):
        lab_apt.install(
            HOST_PACKAGES, what=f"debootstrap, which makes the root for Wine {WINE_MAJOR},"
        )


def _make(draft: Path) -> None:
    draft.chmod(0o755)
    env = Root(draft).environment({**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    run_quietly(
        [*_in_namespace('exec debootstrap "$@"'), "--variant=minbase", SUITE, draft],
        what="making a Debian 13 (is there a network?)",
        env=env,
        time_limit=1800.0,
    )
    run_quietly(
        [*_in_namespace(INSTALL), draft, *PACKAGES],
        what=f"installing Wine {WINE_MAJOR} in the Debian 13",
        env=env,
        time_limit=1800.0,
    )


def _in_namespace(script: str) -> list[str]:
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
