"""What the tests do with a TLSSocket: make it, read from it, know its stream."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from certs import HOST, Identity
from loopback import Server, TLSServer
from wire import is_wine

import schannel_ffi

if TYPE_CHECKING:
    import socket

CLIENT_LIMIT_S = 15.0


# What a RST does: Windows' recv() fails with WSAECONNRESET.
_THE_RESET = (
    "select() takes the error off the socket (server/sock.c, sock_error), recv() sees an end"
)
wine_takes_the_reset_away = (
    pytest.mark.xfail(strict=True, reason=f"Wine 8: {_THE_RESET}")
    if is_wine(before=10)
    else pytest.mark.skipif(is_wine(), reason=f"Wine 10, now and then: {_THE_RESET}")
)


class Connector:
    """Connects TLSSockets to loopback servers, and closes what the test left open."""

    def __init__(self, default_identity: Identity) -> None:
        self._default_identity = default_identity
        self._clients: list[schannel_ffi.TLSSocket] = []

    def __call__(
        self,
        server: Server,
        *,
        host: str | None = HOST,
        timeout: float | None = CLIENT_LIMIT_S,
        **config: Any,
    ) -> schannel_ffi.TLSSocket:
        """Connect; `config` are the arguments of TLSConfig, which trusts the server's anchor."""
        return self._keep(
            schannel_ffi.connect(
                server.address,
                config=self.config(server, **config),
                server_hostname=host,
                timeout=timeout,
            )
        )

    def over(
        self,
        sock: socket.socket,
        server: Server,
        *,
        host: str | None = HOST,
        timeout: float | None = CLIENT_LIMIT_S,
        **config: Any,
    ) -> schannel_ffi.TLSSocket:
        """Start TLS over a connected socket."""
        with sock:  # detached by wrap; closed when wrap fails
            return self._keep(
                schannel_ffi.wrap(
                    sock,
                    config=self.config(server, **config),
                    server_hostname=host,
                    timeout=timeout,
                )
            )

    def config(self, server: Server, **config: Any) -> schannel_ffi.TLSConfig:
        identity = self._default_identity
        if isinstance(server, TLSServer):
            identity = server.script.identity
        config.setdefault("trust", schannel_ffi.TrustStore.from_pem(identity.anchor_pem))
        return schannel_ffi.TLSConfig(**config)

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _keep(self, client: schannel_ffi.TLSSocket) -> schannel_ffi.TLSSocket:
        self._clients.append(client)
        return client


def read_exactly(client: schannel_ffi.TLSSocket, size: int) -> bytes:
    """Read `size` bytes, or fewer when the stream ends cleanly before."""
    data = bytearray()
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return bytes(data)


def read_to_end(client: schannel_ffi.TLSSocket, into: bytearray | None = None) -> bytes:
    """Read until close_notify; `into` keeps what came before an exception."""
    data = bytearray() if into is None else into
    while more := client.recv(65536):
        data += more
    return bytes(data)


def stream(size: int, *, seed: int) -> bytes:
    """Return a stream in which no lost, doubled or moved piece goes unseen."""
    return random.Random(seed).randbytes(size)
