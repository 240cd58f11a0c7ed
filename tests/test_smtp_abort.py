"""`Session.abort` at every moment: nothing leaves after it, and who is interrupted is told."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
from smtp_samples import MESSAGE, RECIPIENT, OpenSession, StartServer, TLSEnds

from schannel_ffi.smtp import ConnectionLost, LocalProtocolError, Outcome, Session, SMTPError
from schannel_ffi.smtp.connection import Connection
from schannel_ffi.smtp.transport import Transport

pytest_plugins = ["smtp_fixtures"]

NOT_SENT = {RECIPIENT: Outcome.NOT_SENT}


class AtReceive:
    """Calls `action` in another thread once somebody waits for a certain reply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, waiting_for: str) -> None:
        self.action: Callable[[], None] | None = None
        receive = Transport.receive

        def patched(transport: Transport, deadline: float, what: str) -> Any:
            action = self.action if what == waiting_for else None
            if action is not None:
                self.action = None
                threading.Thread(target=action).start()
            return receive(transport, deadline, what)

        monkeypatch.setattr(Transport, "receive", patched)


def session_of(server: Any, **settings: Any) -> Session:
    settings.setdefault("security", "insecure_plaintext")
    return Session(server.host, server.port, timeout=20.0, **settings)


def assert_is_closed(session: Session) -> None:
    with pytest.raises(LocalProtocolError, match="not connected"):
        session.send(MESSAGE)


def test_abort_ends_a_send_on_a_reused_connection_for_good(
    start_server: StartServer, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server()
    session = open_session(server)
    session.send(MESSAGE)
    server.script.stall_at, server.script.misbehaving_connections = "MAIL", 1
    AtReceive(monkeypatch, "MAIL").action = session.abort

    with pytest.raises(ConnectionLost) as caught:
        session.send(MESSAGE)

    assert caught.value.outcomes == NOT_SENT
    assert (len(server.messages), server.connections) == (1, 1)
    assert_is_closed(session)


def test_abort_during_a_reconnect_ends_the_send(start_server: StartServer) -> None:
    server = start_server(drop_after="EOD", misbehaving_connections=1)
    sessions: list[Session] = []

    def connect(host: str, port: int, seconds: float) -> socket.socket:
        if server.connections:
            sessions[0].abort()
        return socket.create_connection((host, port), seconds)

    with session_of(server, connector=connect) as session:
        sessions.append(session)
        session.send(MESSAGE)

        with pytest.raises(ConnectionLost, match="aborted") as caught:
            session.send(MESSAGE)

    assert caught.value.outcomes == NOT_SENT
    assert len(server.messages) == 1
    assert_is_closed(session)


def test_abort_while_the_connection_is_looked_at_ends_the_send(
    start_server: StartServer, open_session: OpenSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server()
    session = open_session(server)
    ready = session._ready_connection

    def ready_and_aborted() -> tuple[Connection, bool]:
        found = ready()
        session.abort()
        return found

    monkeypatch.setattr(session, "_ready_connection", ready_and_aborted)

    with pytest.raises(ConnectionLost, match="aborted") as caught:
        session.send(MESSAGE)

    assert caught.value.outcomes == NOT_SENT
    assert server.messages == []
    assert_is_closed(session)


def test_abort_by_the_connector_fails_connect(start_server: StartServer) -> None:
    server = start_server()

    def connect(host: str, port: int, seconds: float) -> socket.socket:
        session.abort()
        return socket.create_connection((host, port), seconds)

    session = session_of(server, connector=connect)

    with pytest.raises(ConnectionLost, match="aborted"):
        session.connect()

    assert server.commands == []
    assert_is_closed(session)


def test_abort_ends_the_wait_for_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    is_resolving, may_resolve = threading.Event(), threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        is_resolving.set()
        may_resolve.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    session = Session("mail.example.org", tls=ssl.create_default_context(), timeout=20.0)

    def abort() -> None:
        is_resolving.wait(20)
        session.abort()

    threading.Thread(target=abort).start()

    try:
        with pytest.raises(ConnectionLost, match="aborted"):
            session.connect()
    finally:
        may_resolve.set()


@pytest.mark.parametrize(
    ("stage", "waiting_for"),
    [("CONNECT", "the server's greeting"), ("EHLO", "the reply to EHLO")],
)
def test_abort_ends_the_wait_for_the_first_replies(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    waiting_for: str,
) -> None:
    server = start_server(stall_at=stage)
    session = session_of(server)
    AtReceive(monkeypatch, waiting_for).action = session.abort

    with pytest.raises(ConnectionLost):
        session.connect()

    assert_is_closed(session)


def test_abort_during_the_handshake_of_starttls_sends_no_login(
    start_server: StartServer, smtp_tls: TLSEnds
) -> None:
    class Aborting:
        """An SSLContext whose handshakes are interrupted by `abort`."""

        verify_mode, check_hostname = smtp_tls.client.verify_mode, True

        def wrap_socket(self, sock: socket.socket, *, server_hostname: str) -> socket.socket:
            encrypted = smtp_tls.client.wrap_socket(sock, server_hostname=server_hostname)
            session.abort()
            return encrypted

    server = start_server(security="starttls", users={"u": "p"})
    session = session_of(server, security="starttls", tls=Aborting(), login=("u", "p"))

    with pytest.raises(ConnectionLost, match="aborted"):
        session.connect()

    assert [command[:8] for command in server.commands] == [b"EHLO [12", b"STARTTLS"]
    assert_is_closed(session)


def test_abort_while_the_session_is_given_back_is_not_kept_for_later(
    start_server: StartServer, open_session: OpenSession
) -> None:
    session = open_session(start_server())
    lock = session._busy

    class AbortingAtRelease:
        """A lock that an abort precedes, after the look at what was asked for."""

        def __init__(self) -> None:
            self.is_done = False

        def acquire(self, *, blocking: bool = True) -> bool:
            return lock.acquire(blocking=blocking)

        def release(self) -> None:
            if not self.is_done:
                self.is_done = True
                session.abort()
            lock.release()

    session._busy = AbortingAtRelease()  # type: ignore[assignment]  # what of a lock is used

    assert session.send(MESSAGE).all_delivered
    assert_is_closed(session)
    session.connect()
    assert session.send(MESSAGE).all_delivered


def test_an_aborted_session_can_be_connected_again(
    start_server: StartServer, open_session: OpenSession
) -> None:
    session = open_session(start_server())
    session.abort()

    session.connect()

    assert session.send(MESSAGE).all_delivered


def test_a_failed_connect_leaves_nothing_to_abort(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(greeting="x", replies={"EHLO": ["421 4.3.2 bye"]})
    session = session_of(server)

    with pytest.raises(SMTPError):
        session.connect()

    assert session._opening is None
    session.connect()
    assert session.send(MESSAGE).all_delivered
    session.close()
