"""The lab's folder: what is in it, who may change it, and how a part becomes finished.

Everything the lab installs lies in `.lab/` of the project. A part (a folder) is made under
a temporary name and renamed when it is complete, with the digest of its recipe - all that
it was made from - in the file `.recipe`. So an interrupted set-up leaves only rubbish that
the next one replaces, and a changed pin or source file makes exactly its own part again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

if sys.platform != "win32":
    import fcntl

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".lab"
FILES = ROOT / "ci" / "lab_files"
REQUIREMENTS = ROOT / "ci" / "requirements"

NEEDED_BYTES = 2 * 1024**3


class LabError(Exception):
    """A set-up cannot go on; the message says in plain words what to do."""


def say(text: str) -> None:
    """Tell progress on stderr, so that stdout stays the Windows program's own."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lab for one set-up or build at a time; others wait here, then find it done."""
    _make_folder()
    with open(FOLDER / "lock", "w") as lock:
        if sys.platform != "win32":
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("waiting for another run's set-up")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_folder() -> None:
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as exc:
        raise LabError(f"cannot make {FOLDER}: {exc.strerror}") from exc
    if sys.platform != "win32" and FOLDER.stat().st_uid != os.getuid():
        raise LabError(f"{FOLDER} belongs to another user; delete it, or run as that user")


def recipe(*ingredients: object) -> str:
    """Return a digest of all that a part is made from; a Path stands for its content."""
    digest = hashlib.sha256()
    for item in ingredients:
        content = item.read_bytes() if isinstance(item, Path) else str(item).encode()
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()


def is_made(part: Path, wanted: str) -> bool:
    """Tell whether the part was finished, and from this recipe."""
    try:
        return (part / ".recipe").read_text() == wanted
    except OSError:
        return False


def mark_made(part: Path, made_from: str) -> None:
    """Declare a part finished; the last step of making it."""
    (part / ".recipe").write_text(made_from)


@contextlib.contextmanager
def making(part: Path, made_from: str) -> Iterator[Path]:
    """Yield an empty folder that replaces `part` when the block ends without an error."""
    check_space()
    for abandoned in drafts_of(part):
        remove(abandoned)
    draft = Path(tempfile.mkdtemp(prefix=f"{part.name}.part-", dir=part.parent))
    yield draft
    mark_made(draft, made_from)
    remove(part)
    draft.rename(part)


def drafts_of(part: Path) -> list[Path]:
    """Return what interrupted set-ups have left of this part."""
    return sorted(part.parent.glob(f"{part.name}.part-*"))


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_space() -> None:
    """Raise LabError when the disk cannot hold a lab."""
    free = shutil.disk_usage(FOLDER).free
    if free < NEEDED_BYTES:
        raise LabError(
            f"{FOLDER} has {free / 1024**3:.1f} GB left; a lab needs {NEEDED_BYTES // 1024**3} GB"
        )


def run_quietly(
    command: Sequence[str | Path],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    time_limit: float = 900.0,
) -> str:
    """Run a host program to its end and return its stdout.

    Raises:
        LabError: it could not be started, took too long or failed; the message begins
            with `what` and ends with the program's last lines.
    """
    argv = [str(part) for part in command]
    started = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            timeout=time_limit,
        )
    except FileNotFoundError as exc:
        raise LabError(f"{what}: there is no program {argv[0]}") from exc
    except subprocess.TimeoutExpired as exc:
        raise LabError(f"{what}: not done after {time_limit:.0f} seconds") from exc
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        seconds = time.monotonic() - started
        raise LabError(f"{what}: exit status {done.returncode} after {seconds:.0f} s\n{tail}")
    return done.stdout
