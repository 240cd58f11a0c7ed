"""What a server says at the wrong moment or of somebody else, and settings that carry secrets."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import pytest
from smtp_samples import MESSAGE, OpenSession, StartServer, TLSEnds

from schannel_ffi.errors import HandshakeError
from schannel_ffi.smtp import (
    AuthenticationError,
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    Outcome,
    RemoteProtocolError,
    ServiceRefused,
    Session,
)

pytest_plugins = ["smtp_fixtures"]

ONE, TWO = "one@example.org", "two@example.org"
D, P, N = Outcome.DELIVERED, Outcome.REFUSED_PERMANENT, Outcome.NOT_SENT
WANTS_LOGIN = "530 5.7.0 Authentication required"
MODES = pytest.mark.parametrize(
    "capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"]
)


@MODES
@pytest.mark.parametrize(
    ("other", "all_or_nothing", "outcome"),
    [(None, False, D), ("550 5.1.1 no", False, P), (None, True, N)],
    ids=["other_accepted", "other_refused", "all_or_nothing"],
)
def test_530_to_one_recipient_is_its_verdict_alone(
    start_server: StartServer,
    open_session: OpenSession,
    capabilities: tuple[str, ...],
    other: str | None,
    *,
    all_or_nothing: bool,
    outcome: Outcome,
) -> None:
    replies = {f"RCPT <{TWO}>": WANTS_LOGIN} | ({f"RCPT <{ONE}>": other} if other else {})
    session = open_session(start_server(capabilities=capabilities, replies=replies))

    result = session.send(MESSAGE, recipients=[ONE, TWO], all_or_nothing=all_or_nothing)

    assert result.outcomes == {ONE: outcome, TWO: P}
    assert result.replies[TWO].code == 530


@MODES
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_530_to_everybody_asks_for_a_login(
    start_server: StartServer,
    open_session: OpenSession,
    capabilities: tuple[str, ...],
    stage: str,
) -> None:
    session = open_session(start_server(capabilities=capabilities, replies={stage: WANTS_LOGIN}))

    with pytest.raises(AuthenticationError, match="pass login=") as caught:
        session.send(MESSAGE, recipients=[ONE, TWO])

    assert caught.value.outcomes == {ONE: N, TWO: N}


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
def test_530_after_a_login_is_a_refusal(
    start_server: StartServer, open_session: OpenSession, stage: str
) -> None:
    server = start_server(security="tls", users={"u": "p"}, replies={stage: WANTS_LOGIN})

    result = open_session(server, login=("u", "p")).send(MESSAGE, recipients=[ONE, TWO])

    assert result.outcomes == {ONE: P, TWO: P}
    assert result.reply.code == 530


def test_530_to_ehlo_does_not_ask_for_a_login_that_there_is(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", users={"u": "p"}, replies={"EHLO": WANTS_LOGIN})

    with pytest.raises(ServiceRefused, match="530"):
        open_session(server, login=("u", "p"))


@pytest.mark.parametrize("login", [("u", "hunter2\udc80"), ("hunter2\udc80", "p")])
def test_a_login_that_is_no_text_is_refused_and_kept_secret(login: tuple[str, str]) -> None:
    with pytest.raises(LocalProtocolError, match="user and password must be text") as caught:
        Session("127.0.0.1", 465, login=login)

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_a_surplus_reply_shifts_no_verdict(
    start_server: StartServer, open_session: OpenSession, capabilities: tuple[str, ...]
) -> None:
    glued = "\r\n".join(["250-x", *(f"250-{word}" for word in capabilities), "250 x", "250 more"])
    server = start_server(replies={"EHLO": [glued, glued]})
    session = open_session(server)

    with pytest.raises(RemoteProtocolError, match="nobody asked for") as caught:
        session.send(MESSAGE, recipients=[ONE, TWO])

    assert caught.value.outcomes == {ONE: N, TWO: N}
    assert session.send(MESSAGE, recipients=[ONE, TWO]).all_delivered


@pytest.mark.parametrize("port", [-1, 65536, 10**12])
def test_a_source_port_out_of_range_is_refused(start_server: StartServer, port: int) -> None:
    server = start_server()
    session = Session(
        server.host,
        server.port,
        security="insecure_plaintext",
        source_address=("127.0.0.1", port),
    )

    with pytest.raises(LocalProtocolError, match="source port"):
        session.connect()


def test_a_connector_without_a_socket_is_refused() -> None:
    tls = ssl.create_default_context()
    session = Session("mail.example.org", tls=tls, connector=lambda *_: None)

    with pytest.raises(LocalProtocolError, match="connector= returned no socket"):
        session.connect()


def test_a_socket_without_an_address_is_a_lost_connection(start_server: StartServer) -> None:
    class Nameless(socket.socket):
        """What macOS and Windows do once the peer has reset the connection."""

        def getsockname(self) -> Any:
            raise OSError(errno.EINVAL, "invalid argument")

    def connect(host: str, port: int, _: float) -> socket.socket:
        sock = Nameless()
        sock.connect((host, port))
        return sock

    server = start_server()
    session = Session(
        server.host, server.port, security="insecure_plaintext", connector=connect, timeout=20
    )

    with pytest.raises(ConnectionLost, match="invalid argument"):
        session.connect()


@pytest.mark.parametrize(
    "error",
    [
        OSError("wrong version number"),
        HandshakeError(
            "the peer does not speak TLS here",
            symbol="not_tls",
            hint="STARTTLS or another port may be what it wants",
        ),
    ],
    ids=["openssl", "schannel"],
)
def test_no_tls_after_starttls_is_not_told_to_use_starttls(
    start_server: StartServer, open_session: OpenSession, smtp_tls: TLSEnds, error: OSError
) -> None:
    class Failing:
        """An SSLContext that finds no TLS."""

        def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> socket.socket:
            raise error

    with pytest.raises(ConnectionFailed) as caught:
        open_session(start_server(security="starttls"), tls=Failing())

    assert 'try port 465 with security="tls"' in str(caught.value)
    assert "may be what it wants" not in str(caught.value)
    assert 'use security="starttls"' not in str(caught.value)
