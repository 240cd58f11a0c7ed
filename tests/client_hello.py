"""ClientHello messages made by hand (RFC 8446, 4.1.2), for servers that must read them."""

from __future__ import annotations

import struct

from fake_sspi_script import HANDSHAKE, record

TLS_1_0_WIRE, TLS_1_1_WIRE, TLS_1_2_WIRE, TLS_1_3_WIRE = 0x0301, 0x0302, 0x0303, 0x0304
SSL_3_WIRE = 0x0300
GREASE = 0x0A0A  # RFC 8701: what servers must overlook
SERVER_NAME, SUPPORTED_VERSIONS = 0, 43


def vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(2, data)


def supported_versions(*versions: int) -> bytes:
    return extension(SUPPORTED_VERSIONS, vector(1, struct.pack(f">{len(versions)}H", *versions)))


def client_hello(
    version: int = TLS_1_2_WIRE, *, extensions: bytes | None = b"", session: bytes = b""
) -> bytes:
    """Return a record; `extensions` None: the message ends behind the compression methods."""
    body = struct.pack(">H", version) + b"R" * 32 + vector(1, session)
    body += vector(2, b"\x13\x01\xc0\x2f") + vector(1, b"\0")
    if extensions is not None:
        body += vector(2, extensions)
    return record(HANDSHAKE, b"\x01" + vector(3, body))


def offering(*versions: int) -> bytes:
    """Return the record of a client of today: its versions stand in an extension."""
    name = extension(SERVER_NAME, vector(2, b"\0" + vector(2, b"server.test")))
    return client_hello(extensions=name + supported_versions(*versions), session=b"S" * 32)
