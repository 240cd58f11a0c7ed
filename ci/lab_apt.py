"""Debian packages for those who may install them, the exact command for those who may not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from lab_store import LabError, run_quietly, say


def install(packages: Sequence[str], *, what: str) -> None:
    """Install Debian packages; blocks, some minutes on a slow network.

    Args:
        packages: their names.
        what: the beginning of a sentence that says what is missing.

    Raises:
        LabError: there is no apt, this is not root, or apt failed; the message says what to do.
    """
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None:
        raise LabError(
            f"{what} is missing: install it with the package manager of this system "
            f"(Debian's packages are {', '.join(packages)}), then run this again"
        )
    if os.getuid() != 0:
        raise LabError(
            f"{what} is missing and only root can install it. Run this, then try again:\n"
            f"    sudo apt-get update && sudo {' '.join(command)}"
        )
    say(f"installing {what} with apt")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run_quietly(["apt-get", "update"], what="apt-get update (is there a network?)", env=env)
    run_quietly(command, what=f"installing {what}", env=env, time_limit=1800.0)
