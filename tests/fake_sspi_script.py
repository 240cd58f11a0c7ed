"""The words of which a script for `FakeSSPI` is made: one class for each call, and records.

Statuses are those of the traces in windows_behaviours.md; what a step does not say is the ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass

from fake_sspi_types import REQUESTED, SERVER_REQUESTED, Status

RECORD_HEADER = 5
GRANTED = int(REQUESTED) | 0x10000  # Windows grants more than was asked for (row 35)
SERVER_GRANTED = int(SERVER_REQUESTED) | 0x800
ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23


def record(kind: int, body: bytes) -> bytes:
    """Return a TLS record (RFC 8446, 5.1)."""
    return bytes((kind, 3, 3)) + len(body).to_bytes(2, "big") + body


def seal(data: bytes, *, header: int = 5, trailer: int = 16) -> bytes:
    """Return what the fake's EncryptMessage makes of `data`."""
    size = header - RECORD_HEADER + len(data) + trailer
    nonce = b"N" * (header - RECORD_HEADER)
    body = nonce + bytes(byte ^ 0xFF for byte in data) + b"T" * trailer
    return bytes((APPLICATION_DATA, 3, 3)) + size.to_bytes(2, "big") + body


@dataclass(frozen=True, kw_only=True)
class Initialize:
    """One call of InitializeSecurityContextW.

    given: the input token; None: no input at all. alpn: the offer of the first call.
    extra, missing: what in[1] becomes. token_at: which of the output buffers gets the token.
    is_supplied: USE_SUPPLIED_CREDS is asked for. is_restart: no input on an open connection.
    """

    given: bytes | None = None
    status: int = Status.SEC_I_CONTINUE_NEEDED
    token: bytes = b""
    alert: bytes = b""
    token_at: int = 0
    extra: int = 0
    missing: int | None = None
    flags: int = GRANTED
    alpn: bytes | None = None
    is_supplied: bool = True
    is_restart: bool = False


@dataclass(frozen=True, kw_only=True)
class Accept:
    """One call of AcceptSecurityContext; as Initialize.

    alpn: the offer, in a slot of its own. is_mutual: MUTUAL_AUTH is asked for.
    """

    given: bytes | None = None
    status: int = Status.SEC_I_CONTINUE_NEEDED
    token: bytes = b""
    alert: bytes = b""
    token_at: int = 0
    extra: int = 0
    missing: int | None = None
    flags: int = SERVER_GRANTED
    alpn: bytes | None = None
    is_mutual: bool = False


@dataclass(frozen=True, kw_only=True)
class Control:
    """One call of ApplyControlToken with this token."""

    token: bytes
    status: int = Status.SEC_E_OK


@dataclass(frozen=True, kw_only=True)
class Decrypt:
    """One call of DecryptMessage.

    given: all that is in the DATA buffer; is_record: False where SSPI gets back what it claimed.
    data: the plaintext, which appears in place at data_at. extra: offset and size within `given`.
    order: the order in which HEADER, DATA, TRAILER and EXTRA come back (row 53).
    """

    given: bytes
    status: int = Status.SEC_E_OK
    data: bytes = b""
    data_at: int = RECORD_HEADER
    extra: tuple[int, int] | None = None
    extra_has_pointer: bool = True
    order: str = "HDTX"
    is_record: bool = True


@dataclass(frozen=True, kw_only=True)
class Encrypt:
    """One call of EncryptMessage; header and trailer are the sizes it really uses."""

    data: bytes
    status: int = Status.SEC_E_OK
    header: int = 5
    trailer: int = 16


Step = Initialize | Accept | Control | Decrypt | Encrypt
