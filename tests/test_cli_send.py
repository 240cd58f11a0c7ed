"""`schannel-ffi send` against loopback servers: by Schannel on Windows, by OpenSSL elsewhere."""

from __future__ import annotations

import _thread
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from certs import Certificates
from cli_samples import MESSAGE, Command, StartServer, lines

pytest_plugins = ["cli_fixtures"]

CANONICAL = MESSAGE.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_file_is_delivered_and_told_with_its_queue_id(
    smtp_server: StartServer, send_to: Command, message_file: Path, security: str
) -> None:
    server = smtp_server(security=security)

    done = send_to(server, message_file)

    assert (0, "") == (done.status, done.err)
    result, summary = lines(done.out, 2)
    assert f"{message_file}: delivered to 1 recipient, queue id Q0x1" == result
    assert summary.startswith("delivered 1 of 1 (0.0 MB in ")
    assert [CANONICAL] == [message.data for message in server.messages]
    assert server.messages[0].is_encrypted


def test_many_messages_go_over_one_connection(
    smtp_server: StartServer, send_to: Command, tmp_path: Path
) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.eml").write_bytes(MESSAGE + b"%d\n" % number)
    server = smtp_server()

    done = send_to(server, tmp_path / "*.eml")

    assert 0 == done.status
    assert 1 == server.connections
    assert [CANONICAL + b"%d\r\n" % number for number in range(20)] == [
        message.data for message in server.messages
    ]


def test_stdin_and_envelope_options_are_used(
    smtp_server: StartServer, send_to: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MESSAGE)))
    server = smtp_server()

    done = send_to(server, "--from", "", "--to", "x@example.org", "--to", "y@example.org", "-")

    assert (0, "") == (done.status, done.err)
    assert done.out.startswith("stdin: delivered to 2 recipients")
    (message,) = server.messages
    assert ("", ("x@example.org", "y@example.org")) == (message.sender, message.recipients)


def test_login_is_sent_with_the_password_of_a_file(
    smtp_server: StartServer, send_to: Command, message_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_bytes("pässword\n".encode())
    server = smtp_server(users={"u": "pässword"})

    done = send_to(server, "--user", "u", "--password-file", tmp_path / "password", message_file)

    assert (0, "") == (done.status, done.err)
    assert "u" == server.messages[0].login


def test_recipients_are_told_one_by_one_when_one_is_refused(
    smtp_server: StartServer, send_to: Command, message_file: Path
) -> None:
    server = smtp_server(replies={"RCPT <bad@x.org>": "550 5.1.1 no \x1b[31msuch user"})

    done = send_to(server, "--to", "good@x.org", "--to", "bad@x.org", message_file)

    assert (1, "") == (done.status, done.err)
    first, good, bad, summary = lines(done.out, 4)
    assert first.endswith("m.eml: delivered to 1 of 2 recipients, queue id Q0x1")
    assert good.startswith("  good@x.org: delivered: 250 2.0.0 Ok")
    assert "  bad@x.org: refused permanently: 550 5.1.1 no ?[31msuch user" == bad
    assert summary.startswith("delivered 0 of 1, 1 delivered in part")


def test_all_or_nothing_delivers_to_nobody(
    smtp_server: StartServer, send_to: Command, message_file: Path
) -> None:
    server = smtp_server(replies={"RCPT <bad@x.org>": "450 4.2.0 later"})

    done = send_to(
        server, "--all-or-nothing", "--to", "good@x.org", "--to", "bad@x.org", message_file
    )

    assert 1 == done.status
    assert "  good@x.org: not sent" in done.out
    assert "  bad@x.org: refused for now: 450 4.2.0 later" in done.out
    assert [] == server.messages


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\r\n", "it is empty"),
        (b"From: a@x.org\n\nhello\n", "the message has no recipients; use --to, or fill To"),
        (b"To: a@x.org\n\nhello\n", "the message names no sender; use --from"),
        (b"From: a@x.org\nTo: a@x.org\n\nnul \0\n", "NUL"),
        (b"From: a@x.org\nTo: a@x.org\n\n" + b"x" * 999 + b"\n", "998"),
        (b"From: a@x.org\nTo: a@b@c\n\nhello\n", "address"),
    ],
    ids=["empty", "blank", "no_recipients", "no_sender", "nul", "long_line", "bad_address"],
)
def test_bad_message_is_told_and_the_others_are_sent(
    smtp_server: StartServer, send_to: Command, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "1.eml").write_bytes(content)
    (tmp_path / "2.eml").write_bytes(MESSAGE)
    server = smtp_server()

    done = send_to(server, tmp_path / "*.eml")

    assert (1, "") == (done.status, done.err)
    bad, good, summary = lines(done.out, 3)
    assert "1.eml: not sent: " in bad
    assert reason in bad
    assert "2.eml: delivered" in good
    assert summary.startswith("delivered 1 of 2, 1 not sent")
    assert [CANONICAL] == [message.data for message in server.messages]


STAGES_BEFORE_A_MESSAGE = ["CONNECT", "EHLO", "STARTTLS", "AUTH"]
STAGES_OF_A_MESSAGE = ["MAIL", "RCPT", "DATA"]
PATIENCE = {"stall_at": "2", "drop_at": "30"}  # seconds; what comes before a stall takes less


@pytest.mark.parametrize("misbehaviour", ["stall_at", "drop_at"])
@pytest.mark.parametrize("stage", STAGES_BEFORE_A_MESSAGE)
def test_server_that_ends_before_the_message_gives_one_line(
    smtp_server: StartServer,
    send_to: Command,
    message_file: Path,
    tmp_path: Path,
    stage: str,
    misbehaviour: str,
) -> None:
    (tmp_path / "password").write_bytes(b"p")
    server = smtp_server(security="starttls", users={"u": "p"}, **{misbehaviour: stage})
    login = ["--user", "u", "--password-file", tmp_path / "password"]

    done = send_to(server, "--timeout", PATIENCE[misbehaviour], *login, message_file)

    assert (1, "") == (done.status, done.out)
    (error,) = lines(done.err, 1)
    assert error.startswith("schannel-ffi: nothing was sent: ")
    assert ("not answer in time" in error or "no greeting" in error) == (
        misbehaviour == "stall_at"
    ), error
    assert [] == server.messages


@pytest.mark.parametrize("misbehaviour", ["stall_at", "drop_at"])
@pytest.mark.parametrize("stage", STAGES_OF_A_MESSAGE)
def test_server_that_ends_within_a_message_is_told_as_not_sent(
    smtp_server: StartServer, send_to: Command, message_file: Path, stage: str, misbehaviour: str
) -> None:
    server = smtp_server(**{misbehaviour: stage})

    done = send_to(server, "--timeout", PATIENCE[misbehaviour], message_file)

    assert (1, "") == (done.status, done.err)
    result, summary = lines(done.out, 2)
    assert f"{message_file}: not sent: " in result
    assert summary.startswith("delivered 0 of 1, 1 not sent")
    assert [] == server.messages


@pytest.mark.parametrize("misbehaviour", ["stall_at", "drop_at"])
def test_message_without_a_verdict_is_told_as_unknown(
    smtp_server: StartServer, send_to: Command, message_file: Path, misbehaviour: str
) -> None:
    server = smtp_server(**{misbehaviour: "EOD"})

    done = send_to(server, "--timeout", PATIENCE[misbehaviour], message_file)

    assert (1, "") == (done.status, done.err)
    result, summary = lines(done.out, 2)
    assert f"{message_file}: unknown: " in result
    assert summary.startswith("delivered 0 of 1, 1 unknown")


def test_lost_message_does_not_take_the_next_one_with_it(
    smtp_server: StartServer, send_to: Command, tmp_path: Path
) -> None:
    for name in ("1.eml", "2.eml", "3.eml"):
        (tmp_path / name).write_bytes(MESSAGE)
    server = smtp_server(drop_at="EOD", misbehaving_connections=1)

    done = send_to(server, tmp_path / "*.eml")

    assert 1 == done.status
    first, second, third, summary = lines(done.out, 4)
    assert "1.eml: unknown: " in first
    assert "delivered" in second
    assert "delivered" in third
    assert summary.startswith("delivered 2 of 3, 1 unknown")
    assert 2 == server.connections


def test_it_gives_up_after_two_lost_messages_in_a_row(
    smtp_server: StartServer, send_to: Command, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"{number}.eml").write_bytes(MESSAGE)
    server = smtp_server(drop_at="MAIL")

    done = send_to(server, tmp_path / "*.eml")

    assert 1 == done.status
    assert "delivered 0 of 5, 2 not sent, 3 not tried" in done.out


def test_refused_connection_is_one_line(
    smtp_server: StartServer, send_to: Command, message_file: Path
) -> None:
    server = smtp_server()
    server.__exit__()

    done = send_to(server, message_file)

    assert (1, "") == (done.status, done.out)
    (error,) = lines(done.err, 1)
    assert "nothing was sent: cannot connect to" in error
    assert "is the port right and the server running?" in error


@pytest.mark.parametrize(
    ("speaks", "asked", "reason"),
    [
        ("plain", "tls", "TLS failed"),
        ("plain", "starttls", "does not offer STARTTLS; try port 465 with --security tls"),
        ("tls", "starttls", "no greeting; if this port starts with TLS"),
    ],
)
def test_wrong_kind_of_security_is_one_line(
    smtp_server: StartServer,
    send_to: Command,
    message_file: Path,
    speaks: str,
    asked: str,
    reason: str,
) -> None:
    server = smtp_server(security=speaks)

    done = send_to(server, "--security", asked, "--timeout", "2", message_file)

    assert (1, "") == (done.status, done.out)
    (error,) = lines(done.err, 1)
    assert f"nothing was sent: {reason}" in error or reason in error
    assert [] == server.messages


def test_peer_that_is_no_mail_server_is_one_line(send_to: Command, message_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        _thread.start_new_thread(_answer_once, (listener, answer))

        done = send_to(
            _Place("127.0.0.1", port), "--security", "starttls", "--timeout", "5", message_file
        )

    assert (1, "") == (done.status, done.out)
    assert "which is no SMTP reply; check host and port" in lines(done.err, 1)[0]


class _Place:
    """Where a server is that is none of ours."""

    class script:  # noqa: N801 - as SMTPServer has it
        security = "starttls"

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port


def _answer_once(listener: socket.socket, answer: bytes) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.sendall(answer)
        sock.settimeout(10)
        while sock.recv(100):
            pass


def test_wrong_password_is_one_line(
    smtp_server: StartServer, send_to: Command, message_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_bytes(b"wrong")
    server = smtp_server(users={"u": "p"})

    done = send_to(server, "--user", "u", "--password-file", tmp_path / "password", message_file)

    assert (1, "") == (done.status, done.out)
    (error,) = lines(done.err, 1)
    assert "the server refused AUTH PLAIN: 535 5.7.8 bad credentials; check user" in error


def test_wrong_certificate_is_one_line_and_nothing_is_sent(
    smtp_server: StartServer,
    send_to: Command,
    message_file: Path,
    certificates: Certificates,
) -> None:
    server = smtp_server(certificates.expired)

    done = send_to(server, "--server-hostname", "server.test", message_file)

    assert (1, "") == (done.status, done.out)
    (error,) = lines(done.err, 1)
    assert "nothing was sent: TLS failed: " in error
    assert "expired" in error
    assert [] == server.commands


@pytest.mark.schannel
def test_certificate_is_not_looked_at_when_told_so(
    smtp_server: StartServer, send_to: Command, message_file: Path, certificates: Certificates
) -> None:
    server = smtp_server(certificates.expired)

    done = send_to(server, "--insecure-skip-verify", message_file)

    assert (0, "") == (done.status, done.err)
    assert 1 == len(server.messages)


@pytest.mark.schannel
def test_name_of_the_certificate_may_be_told(
    smtp_server: StartServer, send_to: Command, message_file: Path, certificates: Certificates
) -> None:
    server = smtp_server(certificates.good)

    refused = send_to(server, message_file)
    done = send_to(server, "--server-hostname", "server.test", message_file)

    assert (1, 0) == (refused.status, done.status)
    assert "name mismatch" in refused.err


def test_interruption_tells_what_was_sent(
    smtp_server: StartServer, send_to: Command, tmp_path: Path
) -> None:
    for number in range(4):
        (tmp_path / f"{number}.eml").write_bytes(MESSAGE)
    count, is_over = iter(range(100)), threading.Event()

    def interrupt_at_the_second(_: object) -> None:
        if next(count) == 1:
            interrupt()
            is_over.wait(20)  # the verdict must not overtake the interruption

    server = smtp_server(
        on_message=interrupt_at_the_second,
        replies={"EOD": ["250 2.0.0 queued as FIRST"]},
    )

    done = send_to(server, tmp_path / "*.eml")
    is_over.set()

    assert 130 == done.status
    first, second, summary = lines(done.out, 3)
    assert first.endswith("0.eml: delivered to 1 recipient, queue id FIRST")
    assert second.endswith("1.eml: unknown: interrupted while it was being sent")
    assert summary.startswith("delivered 1 of 4, 1 unknown, 2 not tried")
    assert "schannel-ffi: interrupted\n" == done.err


def interrupt() -> None:
    """Do what Ctrl-C does: a signal where there are signals."""
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.schannel
def test_sending_loads_no_openssl(
    smtp_server: StartServer, authority: Path, message_file: Path
) -> None:
    server = smtp_server()
    arguments = [
        *("send", "--host", f"127.0.0.1:{server.port}", "--security", "tls"),
        *("--ca", str(authority), str(message_file)),
    ]
    script = (
        "import sys; from schannel_ffi.__main__ import main; "
        f"status = main({arguments!r}); "
        "print(status, [name for name in ('_ssl', '_hashlib') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert "0 []" == done.stdout.splitlines()[-1], done.stderr
