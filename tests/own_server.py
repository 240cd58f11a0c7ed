"""A server of our own: its settings, and a listening socket that starts TLS by `wrap`."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from certs import Certificates, Identity
from engine_pair import EnginePair

from schannel_ffi import (
    ClientCertificate,
    HandshakeError,
    ServerCertificate,
    TLSConfig,
    TLSEngine,
    TLSSocket,
    TLSVersion,
    TrustStore,
    wrap,
)

NewPair = Callable[..., EnginePair]
Accept = Callable[..., "Listener"]


class Configs:
    """Settings of a client and of a server that trust each other, in the lane's version."""

    def __init__(self, certificates: Certificates, version: ssl.TLSVersion) -> None:
        self._certificates = certificates
        self._common: dict[str, Any] = {
            "trust": TrustStore.from_pem(certificates.good_rsa.anchor_pem),
            "minimum_version": TLSVersion[version.name],
            "maximum_version": TLSVersion[version.name],
        }

    def client(self, **settings: Any) -> TLSConfig:
        return TLSConfig(**{**self._common, **settings})

    def server(self, **settings: Any) -> TLSConfig:
        settings.setdefault("server_certificate", server_certificate(self._certificates.good_rsa))
        return TLSConfig(**{**self._common, **settings})


class Listener:
    """A listening socket, and a thread that serves its connections one after the other.

    outcomes: for each connection what `wrap` or `serve` raised, or None.
    """

    def __init__(self, config: TLSConfig, serve: Callable[[TLSSocket], None]) -> None:
        self._config, self._serve = config, serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self.outcomes: queue.Queue[BaseException | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self.address, 5.0) as last:
            last.sendall(b"stop")
        self._thread.join(30.0)
        self._listener.close()
        assert not self._thread.is_alive(), "the server still waits"

    def outcome(self) -> BaseException | None:
        """Wait until a connection has ended; return what went wrong."""
        return self.outcomes.get(timeout=30.0)

    def _run(self) -> None:
        while True:
            raw, _ = self._listener.accept()
            with raw:
                if raw.recv(4, socket.MSG_PEEK) == b"stop":
                    return
                try:
                    with wrap(raw, config=self._config, server_side=True, timeout=20.0) as tls:
                        self._serve(tls)
                except (OSError, ValueError) as error:
                    self.outcomes.put(error.with_traceback(None))  # its frames hold handles
                else:
                    self.outcomes.put(None)


def echo(tls: TLSSocket) -> None:
    while data := tls.recv(65536):
        tls.sendall(data)


def server_certificate(identity: Identity) -> ServerCertificate:
    return ServerCertificate.from_pem(identity.chain_pem, identity.key_pem)


def client_certificate(identity: Identity) -> ClientCertificate:
    return ClientCertificate.from_pem(identity.chain_pem, identity.key_pem)


def takes_the_servers_part(certificates: Certificates) -> bool:
    """Ask the system's own Schannel by giving it a ClientHello."""
    config = TLSConfig(server_certificate=server_certificate(certificates.good_rsa))
    with (
        TLSEngine(TLSConfig(insecure_skip_verify=True)) as client,
        TLSEngine(config, server_side=True) as server,
    ):
        client.handshake()
        server.feed(client.drain())
        try:
            server.handshake()
        except HandshakeError as error:
            if error.symbol == "no_server_role" or "server's part" in str(error):
                return False
            raise
    return True
