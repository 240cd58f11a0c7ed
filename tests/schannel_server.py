"""A server made of our own sockets, for clients to try: `with SchannelServer(config) as server:`.

Each connection is served in a thread of its own and leaves a `Session`: what was negotiated, what
came, how it ended. No wait is longer than the time limit.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from wire import TIME_LIMIT_S, is_wine

import schannel_ffi

RECV_BYTES = 65536

needs_server_role = pytest.mark.skipif(
    is_wine(before=9), reason="Wine 8: AcceptSecurityContext is not there; run it under Wine 10"
)

wine_never_asks = pytest.mark.xfail(
    is_wine(),
    strict=True,
    reason="Wine 10: its server never asks for a certificate (secur32 lacks "
    "gnutls_certificate_server_set_request); Windows does on ASC_REQ_MUTUAL_AUTH",
)


@dataclass
class Session:
    """One connection: facts from the server's side; `error` is what ended it, if anything did."""

    version: str = ""
    alpn: bytes | None = None
    client: tuple[schannel_ffi.Certificate, ...] = ()
    received: bytearray = field(default_factory=bytearray)
    has_clean_end: bool = False
    error: BaseException | None = None
    is_over: threading.Event = field(default_factory=threading.Event)


Behaviour = Callable[["schannel_ffi.TLSSocket", Session], None]


def echo(tls: schannel_ffi.TLSSocket, session: Session) -> None:
    """Send back what comes; answer the end with the end."""
    while data := tls.recv(RECV_BYTES):
        session.received += data
        tls.sendall(data)
    session.has_clean_end = True


def leave(tls: schannel_ffi.TLSSocket, session: Session) -> None:
    """Say one word, end TLS, and wait for the client's end."""
    tls.sendall(b"bye")
    tls.unwrap().close()
    session.has_clean_end = True


class SchannelServer:
    """A listening socket whose connections speak TLS by Schannel."""

    def __init__(
        self,
        config: schannel_ffi.TLSConfig,
        *,
        serve: Behaviour = echo,
        timeout: float = TIME_LIMIT_S,
    ) -> None:
        self._config, self._serve, self._timeout = config, serve, timeout
        self._is_closing = False
        self._sessions: list[Session] = []
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self) -> SchannelServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_closing = True
        with contextlib.suppress(OSError), socket.create_connection(self.address):
            pass  # wakes accept()
        self._acceptor.join(TIME_LIMIT_S)
        self._listener.close()
        for thread in self._threads:
            thread.join(TIME_LIMIT_S)

    def session(self, number: int = 0) -> Session:
        """Wait until a connection has come and is over; return what was seen of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._sessions) > number, TIME_LIMIT_S)
        session = self._sessions[number]
        assert session.is_over.wait(TIME_LIMIT_S), "the connection goes on"
        return session

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._is_closing:
                sock.close()
                return
            session = Session()
            thread = threading.Thread(target=self._run, args=(sock, session), daemon=True)
            self._threads.append(thread)
            thread.start()
            with self._changed:
                self._sessions.append(session)
                self._changed.notify_all()

    def _run(self, sock: socket.socket, session: Session) -> None:
        try:
            with sock, self._wrap(sock) as tls:
                session.version, session.alpn = tls.version(), tls.alpn_protocol
                session.client = tls.peer_certificates
                self._serve(tls, session)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            session.error = error
        finally:
            session.is_over.set()

    def _wrap(self, sock: socket.socket) -> schannel_ffi.TLSSocket:
        return schannel_ffi.wrap(sock, config=self._config, server_side=True, timeout=self._timeout)
