"""The judgement on a peer's certificate chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schannel_ffi import errors
from schannel_ffi._lib.binding import require
from schannel_ffi._lib.connection import Connection
from schannel_ffi._lib.failures import describe, new_handle
from schannel_ffi._lib.shared import trust_for
from schannel_ffi._lib.x509 import describe_certificate
from schannel_ffi.certificates import Certificate
from schannel_ffi.config import Revocation, TLSConfig
from schannel_ffi.server_name import ServerName

_REVOCATIONS = {Revocation.OFF: 0, Revocation.BEST_EFFORT: 1, Revocation.REQUIRED: 2}
_REASONS = (None, *errors.CertificateReason)  # in the order of schan_reason, which a test compares


class Verification:
    """One certificate chain being judged on a thread of Windows' own."""

    def __init__(self, connection: Connection, config: TLSConfig, name: ServerName | None) -> None:
        """Start judging the peer's certificate; returns at once."""
        ffi, lib = require()
        self._ffi, self._lib = ffi, lib
        host = ffi.new("wchar_t[]", name.dns_name) if name and name.dns_name else ffi.NULL
        address = ffi.from_buffer("uint8_t[]", name.ip_address if name else b"")
        c_config = ffi.new(
            "schan_verify_config *",
            {
                "host_name": host,
                "ip_address": {"data": address, "size": len(address)},
                "revocation": _REVOCATIONS[config.revocation],
                "url_timeout_ms": min(int(config.revocation_timeout * 1000), 0x7FFFFFFF),
            },
        )
        trust = trust_for(config.trust)
        self._verdict = ffi.new("schan_verdict *")
        self._handle = new_handle(
            "schan_verification",
            "schan_verification_free",
            "verifying the peer's certificate",
            lambda out, err: lib.schan_verification_new(
                out, connection.engine(), trust, c_config, err
            ),
        )

    def wait(self, slice_ms: int) -> Any | None:
        """Return the `schan_verdict *`, or None when it was not there in time."""
        result = self._lib.schan_verification_wait(self._handle, slice_ms, self._verdict)
        return self._verdict if result == self._lib.SCHAN_OK else None

    def chain(self) -> tuple[bytes, ...]:
        """Return the chain as Windows built it, DER, leaf first; once `wait` gave a verdict."""
        chain: list[bytes] = []
        while (span := self._lib.schan_verification_certificate(self._handle, len(chain))).size:
            chain.append(bytes(self._ffi.buffer(span.data, span.size)))
        return tuple(chain)


def _readable(chain: Sequence[bytes]) -> tuple[Certificate, ...]:
    """Return the chain; nothing of it when one of it cannot even be described."""
    try:
        return tuple(describe_certificate(der) for der in chain)
    except errors.TLSError:
        return ()


def certificate_failure(host: str, verdict: Any, chain: Sequence[bytes]) -> errors.CertificateError:
    """Return the exception for a verdict that is not good."""
    reason = _REASONS[verdict.reason] or errors.CertificateReason.OTHER
    sentence, symbol, hint = describe(verdict.status, "verification")
    certificates = _readable(chain)
    index = int(verdict.failing_index)
    failing = certificates[index] if index < len(certificates) else None
    which = f" ({failing.subject})" if failing else ""
    return errors.CertificateError(
        f"the certificate of {host} was refused, {reason}: {sentence}{which}",
        reason=reason,
        certificate=failing,
        chain=certificates,
        symbol=symbol,
        hint=hint,
        winerror=int(verdict.status) or None,
    )
