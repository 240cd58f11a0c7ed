"""The command line before anything is connected: arguments, input, output; runs on every OS."""

from __future__ import annotations

import importlib
import io
import os
import sys
from pathlib import Path

import pytest
from cli_samples import MESSAGE, Command

from schannel_ffi import cli_input, cli_output
from schannel_ffi.__main__ import main
from schannel_ffi.cli_input import BadInput, Server

pytest_plugins = ["cli_fixtures"]

entry = importlib.import_module("schannel_ffi.__main__")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("mail.example.org", Server("mail.example.org")),
        ("mail.example.org:587", Server("mail.example.org", 587)),
        ("::1", Server("::1")),
        ("[::1]", Server("::1")),
        ("[::1]:465", Server("::1", 465)),
        ("smtps://mail.example.org", Server("mail.example.org", security="tls")),
        ("SMTPS://u@mail.example.org:4650/", Server("mail.example.org", 4650, "u", "tls")),
        ("smtp://u%40x.org@[::1]:25", Server("::1", 25, "u@x.org", "starttls")),
        ("submissions://h", Server("h", security="tls")),
        ("submission://h", Server("h", security="starttls")),
    ],
    ids=str,
)
def test_server_is_read_in_every_form(text: str, server: Server) -> None:
    assert server == Server.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no host"),
        (":465", "names no host"),
        ("smtps://", "names no host"),
        ("h:", "a port is a number"),
        ("h:0", "a port is a number"),
        ("h:65536", "a port is a number"),
        ("h:999999999999999999999", "a port is a number"),
        ("h:٤٦٥", "a port is a number"),
        ("h:-1", "a port is a number"),
        ("[::1]465", "is not HOST:PORT"),
        ("https://h", "is no mail server"),
        ("smtps://user:secret@h", "can be read by everybody"),
    ],
    ids=repr,
)
def test_server_that_makes_no_sense_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        Server.parse(text)

    assert "secret" not in str(caught.value)


def test_pattern_is_expanded_in_order_and_without_folders(tmp_path: Path) -> None:
    for name in ("b.eml", "a.eml", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.eml").mkdir()

    names = cli_input.expand([str(tmp_path / "*.eml"), "-"])

    assert [str(tmp_path / "a.eml"), str(tmp_path / "b.eml"), "-"] == names


def test_existing_file_is_no_pattern_whatever_its_name(tmp_path: Path) -> None:
    name = str(tmp_path / "mail[1].eml")
    Path(name).touch()

    assert [name] == cli_input.expand([name])


PLACE = ("--host", "127.0.0.1:9")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        # usage
        ((), "Usage: schannel-ffi"),
        (("frobnicate",), "No such command"),
        (("send",), "Missing argument"),
        (("send", "FILE"), "Missing option '--host'"),
        (("send", *PLACE, "FILE", "--security", "none"), "'none' is not one of"),
        (("send", *PLACE, "FILE", "--timeout", "0"), "0"),
        (("send", *PLACE, "FILE", "--timeout", "nan"), "not a number of seconds"),
        (("send", *PLACE, "FILE", "--port", "25"), "name different ports"),
        (("send", *PLACE, "FILE", "--password", "x"), "No such option"),
        # files
        (("send", *PLACE, "no-such-file.eml"), "cannot read no-such-file.eml"),
        (("send", *PLACE, "no-such-*.eml"), "no file matches no-such-*.eml"),
        (("send", *PLACE, "FOLDER"), "is a folder"),
        (("send", *PLACE, "-", "-"), "read only once"),
        (("send", *PLACE, "a\0b"), "cannot read a\\x00b"),
        # addresses and hosts
        (("send", *PLACE, "FILE", "--to", "a@b\r\nRCPT TO:<c@d>"), "control characters"),
        (("send", *PLACE, "FILE", "--to", "Anna <a@b.c>"), "local-part@domain"),
        (("send", *PLACE, "FILE", "--to", ""), "bad address"),
        (("send", *PLACE, "FILE", "--from", "nobody"), "it has no domain"),
        (("send", "--host", "a\r\nb:25", "FILE"), "control characters"),
        (("send", "--host", "a b", "FILE"), "spaces or control characters"),
        (("send", *PLACE, "FILE", "--server-hostname", "a\tb"), "control characters"),
        # secrets
        (("send", *PLACE, "FILE", "--password-env", "X"), "name it with --user"),
        (("send", *PLACE, "FILE", "--user", "u", "--password-env", "NO_SUCH_X"), "is not set"),
        (("send", *PLACE, "FILE", "--user", "u", "--password-file", "FOLDER"), "--password-file"),
        (("send", *PLACE, "FILE", "--user", "u", "--password-file", "EMPTY"), "line is empty"),
        (("send", *PLACE, "FILE", "--user", "u"), "no terminal to ask"),
        (
            ("send", *PLACE, "FILE", "--user", "u", "--password-env", "X", "--password-file", "Y"),
            "exclude each other",
        ),
        (
            (*("send", *PLACE, "FILE", "--user", "u", "--password-file", "SECRET"),
             *("--security", "insecure-plaintext")),
            "--insecure-login sends it anyway",
        ),
        (("send", "--host", "smtps://u:secret@h", "FILE"), "--password-file or --password-env"),
        # authorities
        (("send", *PLACE, "FILE", "--ca", "no-such-file.pem"), "--ca no-such-file.pem"),
        (("send", *PLACE, "FILE", "--ca", "EMPTY"), "holds no certificate"),
        # probe
        (("probe",), "Missing argument"),
        (("probe", "example.org"), "is not HOST:PORT"),
        (("probe", "https://example.org"), "is no mail server"),
        (("probe", "a b:443"), "spaces or control characters"),
        (("probe", "a\x1b[2Jb:443"), "spaces or control characters"),
        (("probe", "h:443", "--timeout", "nan"), "not a number of seconds"),
        (("probe", "h:443", "--starttls", "ftp"), "'ftp' is not 'smtp'"),
        (("probe", "h:443", "--starttls", "smtp", "--no-smtp"), "exclude each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_bad_input_is_one_line_and_status_2(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    places = {"FILE": tmp_path / "m.eml", "EMPTY": tmp_path / "e", "SECRET": tmp_path / "s"}
    for path, content in zip(places.values(), (MESSAGE, b"", b"secret\n"), strict=True):
        path.write_bytes(content)
    places["FOLDER"] = tmp_path

    done = command(*(places.get(argument, argument) for argument in arguments))

    assert (2, "") == (done.status, done.out)
    assert reason in done.err
    assert "secret" not in done.err
    if arguments:
        assert 1 == len(done.err.splitlines()), done.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has Schannel")
@pytest.mark.parametrize("arguments", [["send", *PLACE, "FILE"], ["probe", "127.0.0.1:9"]])
def test_without_schannel_one_line_says_so(
    command: Command, message_file: Path, arguments: list[str]
) -> None:
    done = command(*(str(message_file) if each == "FILE" else each for each in arguments))

    assert (2, "") == (done.status, done.out)
    assert done.err.startswith("schannel-ffi: Schannel is a part of Windows")
    assert 1 == len(done.err.splitlines())


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(entry, "find_spec", lambda name: None if name == missing else object())

    status = main(["probe", "h:443"])

    captured = capsys.readouterr()
    assert (2, "") == (status, captured.out)
    assert f"needs {missing}; install it with: python -m pip install" in captured.err
    assert 1 == len(captured.err.splitlines())


@pytest.mark.parametrize("arguments", [["--help"], ["send", "-h"], ["probe", "--help"]], ids=str)
def test_help_goes_to_stdout(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)

    assert (0, "") == (done.status, done.err)
    assert done.out.startswith("Usage: schannel-ffi")


def test_version_is_told(command: Command) -> None:
    assert "schannel-ffi" in command("--version").out


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_redirected_streams_escape_what_their_encoding_lacks(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    redirected = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, name, redirected)
    main(["--version"])

    redirected.write("好")
    redirected.flush()

    assert isinstance(redirected.buffer, io.BytesIO)
    assert redirected.buffer.getvalue().endswith(b"\\u597d")


def test_redirected_output_takes_every_character(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    redirected = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, "stderr", redirected)

    status = main(["send", *PLACE, str(tmp_path / "好.eml")])

    assert isinstance(redirected.buffer, io.BytesIO)
    assert 2 == status
    assert b"\\u597d.eml" in redirected.buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 你好", "plain, Grüße, 你好"),
        ("red\x1b[31m", "red\\x1b[31m"),
        ("two\r\nlines", "two\\r\\nlines"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\udc80", "\\udc80"),
    ],
    ids=ascii,
)
def test_nothing_reaches_the_terminal_as_a_control_character(text: str, shown: str) -> None:
    assert shown == cli_output.printable(text)


@pytest.mark.parametrize(
    ("library", "command_line"),
    [
        ('use security="tls" or', "use --security tls or"),
        ('is security="insecure_plaintext"', "is --security insecure-plaintext"),
        ("pass login=(user, password)", "use --user"),
        ("or raise timeout=", "or raise --timeout"),
        ("pass recipients=, or fill To", "use --to, or fill To"),
    ],
)
def test_hints_name_options_instead_of_arguments(library: str, command_line: str) -> None:
    assert command_line == cli_output.for_command_line(library)


class Terminal(io.StringIO):
    """A terminal that can be read back."""

    def isatty(self) -> bool:
        return True


def test_progress_bar_appears_on_long_runs_and_leaves_the_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(cli_output, "BAR_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stdout", terminal)
    output = cli_output.Output()

    output.start_progress(3)
    for number in range(3):
        output.line(f"[bold]line {number}")
        output.advance()
    output.close()

    shown = terminal.getvalue()
    assert all(f"[bold]line {number}" in shown for number in range(3))
    assert "sending" in shown


def test_progress_bar_stays_away_from_files_and_short_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = cli_output.Output()
    output.start_progress(2)
    output.advance()
    monkeypatch.setattr(cli_output, "BAR_AFTER_SECONDS", 0.0)
    output.advance()
    output.line("line")
    output.close()

    assert ("line\n", "") == capsys.readouterr()


def test_reader_that_goes_away_ends_the_output_without_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w")  # noqa: SIM115 - closed below
    monkeypatch.setattr(sys, "stdout", stream)
    output = cli_output.Output()

    output.line("x" * 100_000)
    output.line("more")
    output.close()

    stream.close()


def test_password_comes_from_the_first_line_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"\xef\xbb\xbfp\xc3\xa4ss word \r\nnot this\r\n")

    assert "päss word " == cli_input.read_password("u", file=str(path), variable=None)


def test_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "pässword")

    assert "pässword" == cli_input.read_password("u", file=None, variable="MAIL_PASSWORD")


def test_password_is_asked_for_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_input, "_has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: f"for {prompt}")

    assert "for password of u: " == cli_input.read_password("u", file=None, variable=None)
