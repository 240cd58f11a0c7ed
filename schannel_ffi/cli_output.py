"""How the command line prints: lines on stdout, errors on stderr, a progress bar on a terminal.

Always true here: no character of a server, a file name or a certificate reaches a terminal as a
control character, none makes a redirected stdout fail, and a reader that goes away (`| head`)
ends the output, never the sending.
"""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

BAR_AFTER_SECONDS = 2.0

_LIBRARY_WORDS = (  # what the library calls it, what the command line calls it
    (re.compile(r'security="(\w+)"'), r"--security \1"),
    (re.compile(r'pass sender= \(sender="" for the null reverse-path\)'), 'use --from (--from "")'),
    (re.compile(r"pass recipients=,"), "use --to,"),
    (re.compile(r"pass sender= and recipients="), "use --from and --to"),
    (re.compile(r"pass login=\(user, password\)"), "use --user"),
    (re.compile(r"leave out login="), "leave out --user"),
    (re.compile(r"raise timeout="), "raise --timeout"),
    (re.compile(r"\bserver_hostname\b=?"), "--server-hostname"),
    (re.compile(r"TrustStore\.from_pem"), "--ca"),
    (re.compile(r"Revocation\.BEST_EFFORT accepts"), "the default setting accepts"),
    (re.compile(r"insecure_login=True"), "--insecure-login"),
    (re.compile(r"\ba tls= that verifies"), "no --insecure-skip-verify"),
)


class Output:
    """The two streams of a command, and its progress bar."""

    def __init__(self) -> None:
        """Print to sys.stdout and sys.stderr as they are now."""
        self._progress: Progress | None = None
        self._total = 0
        self._done = 0
        self._started = 0.0

    def line(self, text: str = "") -> None:
        """Print a line to stdout, above the progress bar if there is one."""
        if self._progress is not None and _is_terminal(sys.stdout):
            self._progress.console.print(
                printable(text), markup=False, highlight=False, emoji=False, soft_wrap=True
            )
        else:
            _print(printable(text), sys.stdout)

    def error(self, text: str) -> None:
        """Print one line to stderr, in the words of the command line."""
        self.hide_progress()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        _print(f"schannel-ffi: {printable(for_command_line(text))}", sys.stderr)

    def start_progress(self, total: int) -> None:
        """Count from now on; the bar appears on a terminal when it takes longer."""
        self._total, self._done, self._started = total, 0, time.monotonic()

    def advance(self) -> None:
        """Count one more as done."""
        self._done += 1
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._done)
        elif time.monotonic() - self._started >= BAR_AFTER_SECONDS and self._done < self._total:
            self._show_progress()

    def hide_progress(self) -> None:
        """Remove the bar, if it is there."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()

    def close(self) -> None:
        """Remove the bar and hand over what is buffered."""
        self.hide_progress()
        for stream in (sys.stdout, sys.stderr):
            _print("", stream, end="")

    def _show_progress(self) -> None:
        stream = next((each for each in (sys.stdout, sys.stderr) if _is_terminal(each)), None)
        if stream is None:
            return
        from rich.console import Console  # a tenth of a second that short runs save  # noqa: PLC0415
        from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

        self._progress = Progress(
            *Progress.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.add_task("sending", total=self._total, completed=self._done)
        self._progress.start()


def printable(text: str) -> str:
    r"""Return `text` with every control character, and every other invisible one, as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def for_command_line(text: str) -> str:
    """Return a message of the library with options of the command line for its arguments."""
    for pattern, words in _LIBRARY_WORDS:
        text = pattern.sub(words, text)
    return re.sub(
        r"--security insecure_(\w+)", lambda found: f"--security insecure-{found[1]}", text
    )


def _is_terminal(stream: TextIO | None) -> bool:
    with suppress(ValueError):  # closed
        return stream is not None and stream.isatty()
    return False


def _print(text: str, stream: TextIO | None, end: str = "\n") -> None:
    """Print and flush; a stream that nobody reads any more is silent from then on."""
    if stream is None:  # pythonw
        return
    try:
        stream.write(text + end)
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)


def _silence(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
