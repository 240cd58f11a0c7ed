"""What the command line is given by mistake: one line says what to change, nothing is sent."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_samples import MESSAGE, Command, StartServer

from schannel_ffi import cli_input

pytest_plugins = ["cli_fixtures"]


class Closed(io.TextIOWrapper):
    """A stdin that somebody closed."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.close()


@pytest.mark.parametrize("stdin", [None, Closed()], ids=["none", "closed"])
def test_a_missing_stdin_is_wrong_input(
    smtp_server: StartServer,
    send_to: Command,
    message_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    stdin: Any,
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    server = smtp_server()

    done = send_to(server, message_file, "-")

    assert (2, "schannel-ffi: there is no stdin to read\n") == (done.status, done.err)
    assert 0 == server.connections


@pytest.mark.parametrize("stdin", [None, Closed()], ids=["none", "closed"])
def test_a_stdin_that_went_away_is_told(monkeypatch: pytest.MonkeyPatch, stdin: Any) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)

    with pytest.raises(cli_input.BadInput, match="there is no stdin to read"):
        cli_input.read_message("-")


@pytest.mark.parametrize(
    "error", [ValueError("it is closed"), OSError(5, "it is closed")], ids=repr
)
def test_a_message_that_cannot_be_read_is_told_and_the_next_is_sent(
    smtp_server: StartServer,
    send_to: Command,
    message_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Broken()))
    server = smtp_server()

    done = send_to(server, "-", message_file)

    assert 1 == done.status
    assert "stdin: not sent: cannot be read: it is closed" in done.out
    assert 1 == len(server.messages)


def test_overlapping_patterns_mean_a_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.eml", "b.eml"):
        (tmp_path / name).write_bytes(MESSAGE)
    monkeypatch.chdir(tmp_path)

    patterns = cli_input.expand(["*.eml", "a*", os.path.join(".", "*.eml"), str(tmp_path / "*")])
    literals = cli_input.expand(["a.eml", "a.eml", "*.eml"])

    assert ["a.eml", "b.eml"] == patterns
    assert ["a.eml", "a.eml", "b.eml"] == literals


def test_an_empty_user_is_wrong_input(
    smtp_server: StartServer, send_to: Command, message_file: Path
) -> None:
    server = smtp_server(users={"u": "p"})

    done = send_to(server, "--user", "", message_file)

    assert 2 == done.status
    assert done.err.startswith("schannel-ffi: --user is empty; ")
    assert 0 == server.connections


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_password_file_that_is_not_utf8_says_how_to_save_it(
    tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "password"
    file.write_bytes("pässword\n".encode(encoding))

    with pytest.raises(cli_input.BadInput, match="save it as UTF-8") as caught:
        cli_input.read_password("u", file=str(file), variable=None)

    assert "password: it" in str(caught.value)


def test_nobody_to_ask_for_the_password_is_told(message_file: Path) -> None:
    place = ["send", "--host", "127.0.0.1:9", "--user", "ann", str(message_file)]

    done = subprocess.run(
        [sys.executable, "-m", "schannel_ffi", *place],
        stdin=subprocess.DEVNULL,  # NUL calls itself a terminal, and getpass waits for ever
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )

    assert (2, "") == (done.returncode, done.stdout)
    assert "use --password-file or --password-env" in done.stderr
