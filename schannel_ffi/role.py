"""Whose part a connection takes, and whether the settings fit it."""

from __future__ import annotations

from schannel_ffi import _lib
from schannel_ffi.config import Renegotiation, TLSConfig
from schannel_ffi.server_name import ServerName

__all__ = ["role_of"]


def role_of(
    config: TLSConfig, server_hostname: str | None, *, is_server: bool, asks: bool = False
) -> _lib.Role:
    """Return the part that a connection with these settings takes.

    Args:
        config: the settings.
        server_hostname: the name of the server, for a client.
        is_server: a server's part.
        asks: a client asks its caller for a certificate, besides `on_client_certificate`.

    Raises:
        ValueError: the settings do not fit.
    """
    if is_server:
        return _server(config, server_hostname, asks=asks)
    if asks and config.renegotiation is not Renegotiation.NEVER:
        raise ValueError("only on_client_certificate can answer in a renegotiation")
    has_function = config.on_client_certificate is not None
    is_needed = not config.insecure_skip_verify
    name = ServerName.expected(server_hostname, is_needed=is_needed)
    return _lib.Role(name=name, asks=asks or has_function)


def _server(config: TLSConfig, server_hostname: str | None, *, asks: bool) -> _lib.Role:
    if server_hostname is not None or asks:
        raise ValueError("server_hostname and asks_for_credential are a client's")
    if config.server_certificate is None:
        raise ValueError("a server needs server_certificate in its TLSConfig")
    return _lib.Role(is_server=True)
