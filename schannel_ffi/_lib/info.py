"""What the handshake agreed on, and what can be derived from it: for sockets and engines alike.

Each function takes the function of the C library that asks (`schan_socket_...`, which may come from
any thread, or `schan_engine_...`) and the handle that this one wants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from schannel_ffi import errors
from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import check
from schannel_ffi._lib.shared import VERSION_OF_BIT
from schannel_ffi.config import TLSVersion

Ask = Callable[..., int]

MOST_BINDING_BYTES: Final = 64
MOST_LABEL_BYTES: Final = 249  # RFC 8446, 7.1: 255 with "tls13 " before it
MOST_CONTEXT_BYTES: Final = 65_535
MOST_EXPORTED_BYTES: Final = 65_535

_KINDS = {"tls-server-end-point": 1, "tls-unique": 2, "tls-exporter": 3}  # schan_channel_binding
_HINTS = {
    "tls-server-end-point": "the server's certificate is signed without a hash function of its "
    "own (RFC 5929, 4.1)",
    "tls-unique": "TLS 1.3 has none, and that of a resumed session is not safe; tls-exporter and "
    "tls-server-end-point may be there",
    "tls-exporter": "it is safe from TLS 1.3 on (RFC 9266, 4.2); tls-server-end-point is there "
    "before",
}


class Agreed(NamedTuple):
    """What the handshake agreed on; texts are empty and numbers 0 where Windows does not tell."""

    version: TLSVersion | None
    cipher_suite: str
    cipher_strength: int
    alpn: bytes | None
    session_resumed: bool | None
    key_exchange: str
    key_exchange_strength: int


def agreed(ask: Ask, handle: Any) -> Agreed:
    """Return what the handshake agreed on."""
    ffi, _ = require()
    info, err = ffi.new("schan_info *"), ffi.new("schan_error *")
    check(ask(handle, info, err), "asking for the connection's properties", err)
    return Agreed(
        version=VERSION_OF_BIT.get(info.protocol),
        cipher_suite=ffi.string(info.cipher_suite),
        cipher_strength=int(info.cipher_strength),
        alpn=bytes(ffi.buffer(info.alpn, info.alpn_size)) if info.alpn_size else None,
        session_resumed=None if info.session_resumed < 0 else bool(info.session_resumed),
        key_exchange=ffi.string(info.key_exchange),
        key_exchange_strength=int(info.key_exchange_strength),
    )


def channel_binding(ask: Ask, handle: Any, kind: str) -> bytes:
    """Return a channel binding.

    Raises:
        ValueError: an unknown kind.
        TLSError: this connection, or this Windows, has none.
    """
    if kind not in _KINDS:
        raise ValueError(f"channel bindings are {', '.join(_KINDS)}, not {kind!r}")
    ffi, lib = require()
    room, size = ffi.new("uint8_t[]", MOST_BINDING_BYTES), ffi.new("size_t *")
    err = ffi.new("schan_error *")
    result = ask(handle, _KINDS[kind], room, MOST_BINDING_BYTES, size, err)
    if result == lib.SCHAN_ERR_UNDEFINED:
        raise _undefined(f"the channel binding {kind}", _HINTS[kind])
    check(result, f"asking for the channel binding {kind}", err)
    return bytes(ffi.buffer(room, size[0]))


def exported(ask: Ask, handle: Any, label: str, length: int, context: bytes) -> bytes:
    """Return `length` bytes of keying material.

    Raises:
        ValueError: a label, length or context that TLS cannot take.
        TLSError: this connection, or this Windows, has none.
    """
    wire = label.encode("ascii", "replace")
    if not (label.isascii() and 1 <= len(wire) <= MOST_LABEL_BYTES and b"\0" not in wire):
        raise ValueError(f"a label is 1..{MOST_LABEL_BYTES} ASCII characters, not {label!r}")
    if not 1 <= length <= MOST_EXPORTED_BYTES:
        raise ValueError(f"length is 1..{MOST_EXPORTED_BYTES} bytes, not {length}")
    if len(context) > MOST_CONTEXT_BYTES:
        raise ValueError(f"a context has 0..{MOST_CONTEXT_BYTES} bytes, not {len(context)}")
    ffi, lib = require()
    room, err = ffi.new("uint8_t[]", length), ffi.new("schan_error *")
    pinned = ffi.from_buffer("uint8_t[]", context)
    span = {"data": pinned, "size": len(pinned)}
    result = ask(handle, ffi.new("char[]", wire), span, room, length, err)
    if result == lib.SCHAN_ERR_UNDEFINED:
        raise _undefined("keying material", "it is safe from TLS 1.3 on (RFC 7627, 5.4)")
    check(result, "exporting keying material", err)
    return bytes(ffi.buffer(room, length))


def _undefined(what: str, hint: str) -> errors.TLSError:
    return errors.TLSError(f"this connection has not {what}", symbol="undefined", hint=hint)


def sent_certificates(engine: Any) -> tuple[bytes, ...]:
    """Return the certificates the peer sent, DER, its own first; () when it sent none."""
    ffi, lib = require()
    found: list[bytes] = []
    while (span := lib.schan_engine_sent_certificate(engine, len(found))).size:
        found.append(bytes(ffi.buffer(span.data, span.size)))
    return tuple(found)
