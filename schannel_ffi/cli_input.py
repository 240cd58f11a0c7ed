"""What the command line reads: servers, file names, patterns, passwords. Nothing is connected."""

from __future__ import annotations

import getpass
import glob
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import unquote

STDIN: Final = "-"

DEFAULT_PORTS: Final[Mapping[str | None, int]] = {
    None: 465,
    "tls": 465,
    "starttls": 587,
    "insecure_opportunistic": 25,
    "insecure_plaintext": 25,
}

_SCHEMES = {
    "smtps": "tls",
    "submissions": "tls",
    "smtp": "starttls",
    "submission": "starttls",
}


class BadInput(Exception):
    """The input cannot be used; the text is one line and says what to change."""


@dataclass(frozen=True)
class Server:
    """Where to connect to, as far as the argument says it.

    Attributes:
        security: "tls" or "starttls", when the argument was a URL.
    """

    host: str
    port: int | None = None
    user: str | None = None
    security: str | None = None

    @classmethod
    def parse(cls, text: str) -> Server:
        """Read HOST, HOST:PORT, [IPv6]:PORT, an IPv6 literal or SCHEME://[USER@]HOST[:PORT].

        Whether the host can exist is checked by whoever connects.

        Raises:
            BadInput: another scheme, a password, something after the port, a port out of range.
        """
        scheme, separator, place = text.partition("://")
        if not separator:
            return cls(*_host_and_port(text, text))
        security = _SCHEMES.get(scheme.lower())
        if security is None:
            raise BadInput(f"{text!r} is no mail server: use smtps:// (TLS) or smtp:// (STARTTLS)")
        user, _, place = place.removesuffix("/").rpartition("@")
        if ":" in user:
            raise BadInput(
                "a password in an argument can be read by everybody on this machine;"
                " use --password-file or --password-env, or let it be asked for"
            )
        return cls(*_host_and_port(place, text), unquote(user) or None, security)


def _host_and_port(place: str, whole: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, _, rest = place[1:].partition("]")
        if rest and not rest.startswith(":"):
            raise BadInput(f"{whole!r} is not HOST:PORT")
        port = rest[1:] if rest else None
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    else:
        host, port = place, None
    if not host:
        raise BadInput(f"{whole!r} names no host")
    return host, None if port is None else _port(port, whole)


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536):
        raise BadInput(f"{whole!r}: a port is a number from 1 to 65535")
    return int(text)


def expand(arguments: Sequence[str]) -> list[str]:
    """Return the file names that arguments mean: cmd.exe hands patterns on as they are.

    What names an existing file is no pattern, whatever its characters. A file that several
    patterns match is meant once; one that is named twice is meant twice.

    Raises:
        BadInput: a pattern that matches no file; `-` more than once.
    """
    names: list[str] = []
    for argument in arguments:
        if argument == STDIN or not glob.has_magic(argument) or os.path.lexists(argument):
            names.append(argument)
            continue
        # B103: cmd.exe leaves it to the program
        found = sorted(name for name in glob.glob(argument, recursive=True) if os.path.isfile(name))
        if not found:
            raise BadInput(f"no file matches {argument}")
        names += _not_among(names, found)
    if names.count(STDIN) > 1:
        raise BadInput("- stands for stdin, which can be read only once")
    return names


def _not_among(names: Sequence[str], found: Sequence[str]) -> list[str]:
    known = {os.path.normcase(os.path.abspath(name)) for name in names if name != STDIN}
    return [name for name in found if os.path.normcase(os.path.abspath(name)) not in known]


def check_readable(names: Sequence[str]) -> None:
    """Open every file once, so that a wrong name is told before anything is sent.

    Raises:
        BadInput: a file that is not there, may not be read or is a folder; no stdin.
    """
    for name in names:
        if name == STDIN:
            _stdin()
            continue
        if os.path.isdir(name):
            raise BadInput(f"{name} is a folder; its messages are {os.path.join(name, '*.eml')}")
        try:
            with open(name, "rb"):
                pass
        except (OSError, ValueError) as exc:
            raise BadInput(f"cannot read {name}: {getattr(exc, 'strerror', None) or exc}") from exc


def read_message(name: str) -> bytes:
    """Return the bytes of a message; blocks while stdin is open, if that is what `name` says.

    Raises:
        OSError, ValueError: it cannot be read.
        BadInput: there is no stdin.
    """
    if name == STDIN:
        return _stdin().read()
    with open(name, "rb") as file:
        return file.read()


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:  # `<&-`, or a program without a console
        raise BadInput("there is no stdin to read")
    return sys.stdin.buffer


def read_password(user: str | None, *, file: str | None, variable: str | None) -> str | None:
    """Return the password for `user`: from a file, the environment or a prompt, in this order.

    Returns:
        None when there is no user to log in.

    Raises:
        BadInput: a source that holds none, two sources, a source but no user, no terminal to ask.
    """
    if user is None:
        if file is not None or variable is not None:
            raise BadInput("a password without a user; name it with --user")
        return None
    if file is not None and variable is not None:
        raise BadInput("--password-file and --password-env exclude each other")
    if file is not None:
        return _from_file(file)
    if variable is not None:
        return _from_environment(variable)
    return _from_prompt(user)


def _from_file(name: str) -> str:
    try:
        with open(name, encoding="utf-8-sig") as file:
            password = file.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadInput(f"--password-file {name}: it is not UTF-8; save it as UTF-8") from None
    except (OSError, ValueError) as exc:
        raise BadInput(f"--password-file {name}: {getattr(exc, 'strerror', None) or exc}") from exc
    if "\0" in password:  # UTF-16 without its mark
        raise BadInput(f"--password-file {name}: it holds NUL; save it as UTF-8")
    if not password:
        raise BadInput(f"--password-file {name}: the first line is empty")
    return password


def _from_environment(variable: str) -> str:
    password = os.environ.get(variable, "")
    if not password:
        raise BadInput(f"--password-env {variable}: the variable is not set or empty")
    return password


def _has_terminal() -> bool:
    """Tell whether somebody can type: on Windows NUL calls itself a terminal, so ask for CONIN$."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    system = str(sys.platform)  # a str for mypy, too, which checks on one system only
    if system != "win32":
        return True
    try:
        with open("CONIN$", encoding="utf-8"):
            return True
    except OSError:
        return False


def _from_prompt(user: str) -> str:
    if not _has_terminal():
        raise BadInput(
            "there is no terminal to ask for the password; use --password-file or --password-env"
        )
    password = getpass.getpass(f"password of {user}: ", stream=sys.stderr)
    if not password:
        raise BadInput("no password was typed")
    return password
