"""The loopback server itself: it must be right, and fast enough to measure others with."""

from __future__ import annotations

import smtplib
import socket
import time
from contextlib import suppress

import pytest
from smtp_samples import MESSAGE, RECIPIENT, SENDER, StartServer, TLSEnds
from smtp_server import SMTPServer

pytest_plugins = ["smtp_fixtures"]

DIALOGUE = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n..x\r\n.y\r\nz\r\n.\r\nQUIT\r\n"


def speak(server: SMTPServer, *pieces: bytes) -> bytes:
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            for piece in pieces:
                sock.sendall(piece)
        said = b""
        with suppress(ConnectionError):  # it closed before it read everything
            while piece := sock.recv(65536):
                said += piece
        return said


@pytest.mark.parametrize("split", range(len(DIALOGUE) + 1))
def test_a_message_is_the_same_at_every_boundary(start_server: StartServer, split: int) -> None:
    server = start_server()

    said = speak(server, DIALOGUE[:split], DIALOGUE[split:])

    assert [line[:3] for line in said.splitlines()][-5:] == [b"250", b"250", b"354", b"250", b"221"]
    assert server.messages[0].data == b".x\r\ny\r\nz\r\n"


def test_a_message_is_the_same_byte_by_byte(start_server: StartServer) -> None:
    server = start_server()

    speak(server, *(bytes([byte]) for byte in DIALOGUE))

    assert server.messages[0].data == b".x\r\ny\r\nz\r\n"


def test_two_pipelined_messages_and_an_empty_one(start_server: StartServer) -> None:
    server = start_server()
    envelope = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"

    speak(server, envelope + b"1\r\n.\r\n" + envelope + b".\r\n" + envelope + b"3\r\n.\r\nQUIT\r\n")

    assert [message.data for message in server.messages] == [b"1\r\n", b"", b"3\r\n"]


@pytest.mark.parametrize("security", ["plain", "starttls", "tls"])
def test_the_standard_client_is_served(
    start_server: StartServer, smtp_tls: TLSEnds, security: str
) -> None:
    server = start_server(security=security, users={"u": "p"}, replies={"RCPT <bad@x>": "550 no"})
    client = (
        smtplib.SMTP_SSL("127.0.0.1", server.port, "localhost", timeout=20, context=smtp_tls.client)
        if security == "tls"
        else smtplib.SMTP("127.0.0.1", server.port, "localhost", timeout=20)
    )

    with client:
        if security == "starttls":
            client.starttls(context=smtp_tls.client)
        client.login("u", "p")
        refused = client.sendmail(SENDER, [RECIPIENT, "bad@x"], MESSAGE)

    assert refused == {"bad@x": (550, b"no")}
    assert server.messages[0].data == MESSAGE
    assert server.messages[0].login == "u"
    assert server.errors == []


def test_scripted_replies_are_used_up_one_by_one(start_server: StartServer) -> None:
    server = start_server(replies={"NOOP": ["450 a", "550 b"], "RSET": "502 c"})

    said = speak(server, b"NOOP\r\nNOOP\r\nNOOP\r\nRSET\r\nRSET\r\nQUIT\r\n")

    assert [line[:3] for line in said.splitlines()[1:]] == [
        b"450", b"550", b"250", b"502", b"502", b"221",
    ]  # fmt: skip


@pytest.mark.parametrize("stage", ["CONNECT", "NOOP", "EHLO"])
def test_a_drop_says_nothing_more(start_server: StartServer, stage: str) -> None:
    server = start_server(drop_at=stage, misbehaving_connections=1)

    first, second = (speak(server, b"NOOP\r\nEHLO x\r\nQUIT\r\n") for _ in range(2))

    assert b"221" not in first
    assert second.endswith(b"221 2.0.0 bye\r\n")


def test_stopping_ends_a_stalled_connection(smtp_tls: TLSEnds) -> None:
    with SMTPServer(stall_at="CONNECT", tls=smtp_tls.server) as server:
        sock = socket.create_connection((server.host, server.port), timeout=20)
    with sock:
        assert sock.recv(1) == b""


def test_large_messages_are_taken_in_quickly(start_server: StartServer) -> None:
    server = start_server(keeps_messages=False)
    body = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + (b"x" * 75 + b"\r\n") * 650_000
    started = time.monotonic()

    said = speak(server, body, b".\r\nQUIT\r\n")

    assert b"queued" in said
    assert time.monotonic() - started < 5  # 50 MB; 0.4 s where this was written
