"""TLS on Windows by the operating system's own Schannel, and an SMTP client for large volumes.

`connect` and `wrap` give sockets, `TLSEngine` TLS without I/O, `TLSConfig` the settings,
`schannel_ffi.smtp` the SMTP client.
Importing this loads no OpenSSL and works on every system; using Schannel elsewhere than on Windows
raises `UnsupportedPlatform`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from schannel_ffi.certificates import Certificate
from schannel_ffi.config import (
    ClientAuthentication,
    ClientCertificate,
    Renegotiation,
    Revocation,
    ServerCertificate,
    TLSConfig,
    TLSVersion,
    TrustStore,
)
from schannel_ffi.engine import EngineState, TLSEngine, Want
from schannel_ffi.errors import (
    CertificateError,
    CertificateReason,
    ConnectionReset,
    CredentialError,
    HandshakeError,
    PeerAlert,
    SocketClosed,
    TLSError,
    TLSTimeout,
    TruncatedStream,
    UnsupportedPlatform,
    WouldBlock,
)
from schannel_ffi.sockets import TLSSocket, connect, wrap

__all__ = [
    "Certificate",
    "CertificateError",
    "CertificateReason",
    "ClientAuthentication",
    "ClientCertificate",
    "ConnectionReset",
    "CredentialError",
    "EngineState",
    "HandshakeError",
    "PeerAlert",
    "Renegotiation",
    "Revocation",
    "ServerCertificate",
    "SocketClosed",
    "TLSConfig",
    "TLSEngine",
    "TLSError",
    "TLSSocket",
    "TLSTimeout",
    "TLSVersion",
    "TruncatedStream",
    "TrustStore",
    "UnsupportedPlatform",
    "Want",
    "WouldBlock",
    "connect",
    "smtp",
    "wrap",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> ModuleType:
    """Import `schannel_ffi.smtp` when it is first asked for (PEP 562)."""
    if name == "smtp":
        return importlib.import_module("schannel_ffi.smtp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
