"""What the command line's tests have in common besides fixtures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smtp_server import SMTPServer

MESSAGE = b"From: a@example.org\nTo: b@example.org\nSubject: t\n\nhello\n"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]
StartServer = Callable[..., SMTPServer]


def lines(text: str, count: int) -> Sequence[str]:
    """Return the lines, which must be `count`."""
    found = text.splitlines()
    assert count == len(found), text
    return found
