"""Results of the engine as exceptions: the tables that say which class, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schannel_ffi import errors
from schannel_ffi._lib.binding import require

_RESET_CODES = frozenset(
    {10050, 10052, 10053, 10054, 10057, 10058}
)  # WSAE: NETDOWN NETRESET CONNABORTED CONNRESET ...

# B98: OSError picks no class by winerror for its subclasses, so it is picked here
_SOCKET_CLASSES: dict[int, type[errors.TLSError]] = {
    **dict.fromkeys(_RESET_CODES, errors.ConnectionReset),
    10060: errors.TLSTimeout,  # WSAETIMEDOUT: the peer's machine does not answer any more
}

_CLASSES: dict[str, type[errors.TLSError]] = {
    "SCHAN_ERR_SSPI": errors.TLSError,
    "SCHAN_ERR_HANDSHAKE": errors.HandshakeError,
    "SCHAN_ERR_ALERT": errors.PeerAlert,
    "SCHAN_ERR_PROTOCOL": errors.HandshakeError,
    "SCHAN_ERR_TRUNCATED": errors.TruncatedStream,
    "SCHAN_ERR_TRUNCATED_RECORD": errors.TruncatedStream,
    "SCHAN_ERR_CERTIFICATE": errors.CertificateError,
    "SCHAN_ERR_CREDENTIAL": errors.CredentialError,
    "SCHAN_ERR_SOCKET": errors.TLSError,
    "SCHAN_ERR_SYSTEM": errors.TLSError,
    "SCHAN_ERR_MISUSE": errors.TLSError,
    "SCHAN_ERR_UNDEFINED": errors.TLSError,
}

_SENTENCES = {  # sentence, symbol, hint
    "SCHAN_ERR_TRUNCATED": (
        "TCP ended without close_notify: data may be missing",
        "missing_close_notify",
        "require_close_notify=False accepts that",
    ),
    "SCHAN_ERR_TRUNCATED_RECORD": (
        "TCP ended inside a record or the handshake",
        "truncated_record",
        "",
    ),
    "SCHAN_ERR_MISUSE": ("the state of the connection does not allow this", "", ""),
    "SCHAN_ERR_UNDEFINED": ("this connection has no such value", "undefined", ""),
    "SCHAN_ERR_PROTOCOL": (
        "the peer does not speak TLS here",
        "not_tls",
        "STARTTLS or another port may be what it wants",
    ),
}


def _text(pointer: Any) -> str:
    ffi, _ = require()
    return "" if pointer == ffi.NULL else str(ffi.string(pointer).decode("ascii"))


def _hex(status: int) -> str:
    return f"0x{status & 0xFFFFFFFF:08X}" if status < 0 else str(status)


def describe(status: int, call: str) -> tuple[str, str, str]:
    """Return sentence, symbol and hint of a status; without words for it, the call names it."""
    ffi, lib = require()
    row = lib.schan_status_text(status)
    if row == ffi.NULL:
        return f"{call or 'Windows'} failed", _hex(status), ""
    return _text(row.sentence), _text(row.name), _text(row.hint)


def _told_by(err: Any) -> tuple[str, str, str]:
    """Say that it was an alert; an encrypted one is known only by the status Windows made of it."""
    sentence, symbol, hint = describe(err.status, _text(err.call))
    return f"the peer sent a fatal alert: {sentence}", symbol, hint


def _describe_alert(alert: int) -> tuple[str, str, str]:
    ffi, lib = require()
    row = lib.schan_alert_text(alert)
    if row == ffi.NULL:
        return "the peer sent a fatal alert", f"alert {alert}" if alert >= 0 else "", ""
    return _text(row.sentence), _text(row.name), _text(row.hint)


def failure(doing: str, err: Any) -> errors.TLSError | MemoryError:
    """Return the exception for a `schan_error`.

    Args:
        doing: what was being done, the beginning of the message.
        err: a `schan_error *` that a failing call has filled.
    """
    ffi, lib = require()
    name = ffi.typeof("schan_result").elements[err.result]
    if err.result == lib.SCHAN_ERR_MEMORY:
        return MemoryError(doing)
    kind = _CLASSES[name]
    if err.result == lib.SCHAN_ERR_SOCKET:
        kind = _SOCKET_CLASSES.get(err.status, errors.TLSError)
    symbol = ""
    if err.result == lib.SCHAN_ERR_ALERT:
        sentence, symbol, hint = _describe_alert(err.alert) if err.alert >= 0 else _told_by(err)
    elif name in _SENTENCES:
        sentence, symbol, hint = _SENTENCES[name]
    else:
        sentence, symbol, hint = describe(err.status, _text(err.call))
        if symbol == "SEC_E_UNSUPPORTED_FUNCTION":  # B95: which one says more than the sentence
            sentence = f"{sentence}: {_text(err.call)}"
    if (cause := lib.schan_cause_text(err.cause)) != ffi.NULL:
        sentence, hint = _text(cause.sentence), _text(cause.hint)
        symbol = symbol or _text(cause.name)
    if detail := ffi.string(err.detail).decode("ascii"):
        is_peers = err.result == lib.SCHAN_ERR_PROTOCOL
        sentence = f"{sentence}; it sent {detail!r}" if is_peers else f"{sentence}; {detail}"
    error = kind(
        f"{doing}: {sentence}",
        symbol=symbol,
        hint=hint,
        alert=err.alert if err.alert >= 0 else None,
        winerror=err.status or None,  # B98: nor does it set these
        error_number=err.status if err.result == lib.SCHAN_ERR_SOCKET else None,
    )
    is_missing = err.cause == lib.SCHAN_CAUSE_NO_CLIENT_CERTIFICATE
    if is_missing and isinstance(error, errors.CertificateError):
        error.reason = errors.CertificateReason.NO_CERTIFICATE
    return error


def is_between_records(error: errors.TruncatedStream) -> bool:
    """Tell whether TCP ended between two records, where only close_notify is missing."""
    return error.symbol == "missing_close_notify"


def check(result: int, doing: str, err: Any) -> None:
    if result < 0:
        raise failure(doing, err)


def new_handle(kind: str, free: str, doing: str, make: Callable[[Any, Any], int]) -> Any:
    """Call a constructor of the C library; its handle is freed when nothing refers to it."""
    ffi, lib = require()
    out, err = ffi.new(f"{kind} **"), ffi.new("schan_error *")
    check(make(out, err), doing, err)
    return ffi.gc(out[0], getattr(lib, free))
