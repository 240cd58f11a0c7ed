"""The judgement on a peer's certificate chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from schannel_ffi import errors
from schannel_ffi._lib.binding import require
from schannel_ffi._lib.engine import EngineOwner
from schannel_ffi._lib.failures import describe, new_handle
from schannel_ffi._lib.shared import trust_for
from schannel_ffi._lib.x509 import describe_certificate
from schannel_ffi.certificates import Certificate
from schannel_ffi.config import Revocation, TLSConfig
from schannel_ffi.server_name import ServerName

GRACE_S: Final = 1.0  # beyond the time that Windows was given to fetch
_REVOCATIONS = {Revocation.OFF: 0, Revocation.BEST_EFFORT: 1, Revocation.REQUIRED: 2}
_ATTEMPTS = {  # one after the other, while Windows does not come back: what to ask, cache only
    Revocation.OFF: ((Revocation.OFF, False), (Revocation.OFF, True)),
    Revocation.BEST_EFFORT: (
        (Revocation.BEST_EFFORT, False),
        (Revocation.BEST_EFFORT, True),
        (Revocation.OFF, True),  # not to be found out: accepted
    ),
    Revocation.REQUIRED: ((Revocation.REQUIRED, False), (Revocation.REQUIRED, True)),
}
_REASONS = (None, *errors.CertificateReason)  # in the order of schan_reason, which a test compares


class Verification:
    """One certificate chain being judged on a thread of Windows' own.

    Windows is told how long it may fetch what it lacks, and may not keep to it. Then its thread is
    left to itself, and the chain is judged anew by what the machine has (`_ATTEMPTS`, a second
    each). If nothing of that comes back, the certificate is refused. (B86)
    """

    def __init__(
        self,
        owner: EngineOwner,
        config: TLSConfig,
        name: ServerName | None,
        *,
        peer_is_client: bool = False,
        in_turn: Callable[[Callable[[], Any]], Any] = lambda step: step(),
    ) -> None:
        """Start judging the peer's certificate; returns at once.

        Where other threads use the engine during `wait`, `in_turn` calls it while none does.

        A client's must be one for clients, and is for no host. With `insecure_skip_verify` the pins
        alone are judged: there must be some.
        """
        self._ffi, self._lib = require()
        self._owner, self._name, self._in_turn = owner, name, in_turn
        self._limit_s = config.revocation_timeout
        self._attempts = iter(_ATTEMPTS[config.revocation])
        pins = b"".join(config.pin_digests())
        self._pins = self._ffi.from_buffer("uint8_t[]", pins)
        self._settings = {
            "url_timeout_ms": min(int(config.revocation_timeout * 1000), 0x7FFFFFFF),
            "peer_is_client": peer_is_client,
            "pins": self._pins,
            "pin_count": len(config.pins),
            "pins_only": config.insecure_skip_verify,
        }
        is_needed = not config.insecure_skip_verify
        self._trust = trust_for(config.trust) if is_needed else self._ffi.NULL
        self._verdict = self._ffi.new("schan_verdict *")
        self._is_told = False
        self._starting = threading.Lock()
        self._start(*next(self._attempts))

    def _start(self, revocation: Revocation, cache_only: bool) -> None:  # noqa: FBT001 - a row
        """Begin with a job; one that was there before is left to itself."""
        ffi, name = self._ffi, self._name
        host = ffi.new("wchar_t[]", name.dns_name) if name and name.dns_name else ffi.NULL
        address = ffi.from_buffer("uint8_t[]", name.ip_address if name else b"")
        c_config = ffi.new(
            "schan_verify_config *",
            {
                **self._settings,
                "host_name": host,
                "ip_address": {"data": address, "size": len(address)},
                "revocation": _REVOCATIONS[revocation],
                "cache_only": cache_only,
            },
        )
        self._end = time.monotonic() + GRACE_S + (0.0 if cache_only else self._limit_s)
        self._handle = self._in_turn(
            lambda: new_handle(
                "schan_verification",
                "schan_verification_free",
                "verifying the peer's certificate",
                lambda out, err: self._lib.schan_verification_new(
                    out, self._owner.engine(), self._trust, c_config, err
                ),
            )
        )

    def wait(self, slice_ms: int) -> Any | None:
        """Return the `schan_verdict *`, or None when it was not there in time."""
        end = self._end
        left_ms = max(0, int((end - time.monotonic()) * 1000) + 1)
        waited_ms = min(slice_ms, left_ms)
        result = self._lib.schan_verification_wait(self._handle, waited_ms, self._verdict)
        if result == self._lib.SCHAN_OK:
            self._is_told = True
            return self._verdict
        if time.monotonic() < end or self._goes_on_behind(end):
            return None
        self._verdict.reason = self._lib.SCHAN_REASON_TIMED_OUT
        return self._verdict

    def _goes_on_behind(self, end: float) -> bool:
        """Begin the attempt behind the one that ended then, once, whoever sees it first."""
        with self._starting:
            if self._end != end:
                return True
            for attempt in self._attempts:  # B86
                self._start(*attempt)
                return True
            return False

    def chain(self) -> tuple[bytes, ...]:
        """Return the chain as Windows built it, DER, leaf first; () before and without one."""
        chain: list[bytes] = []
        if not self._is_told:
            return ()
        while (span := self._lib.schan_verification_certificate(self._handle, len(chain))).size:
            chain.append(bytes(self._ffi.buffer(span.data, span.size)))
        return tuple(chain)


def _readable(chain: Sequence[bytes]) -> tuple[Certificate, ...]:
    """Return the chain; nothing of it when one of it cannot even be described."""
    try:
        return tuple(describe_certificate(der) for der in chain)
    except errors.TLSError:
        return ()


def _describe_pin_mismatch(chain: Sequence[Certificate]) -> tuple[str, str, str]:
    seen = chain[0].pin if chain else ""
    hint = f"the key seen is {seen}: pin it if you know that it is the peer's" if seen else ""
    return "its public key is not among the pinned ones", "pin_mismatch", hint


def _describe_timeout(_: Sequence[Certificate]) -> tuple[str, str, str]:
    hint = "revocation_timeout is the limit; something that Windows fetches does not answer"
    return "Windows did not come back from building its chain", "verification_timed_out", hint


_WORDS = {  # what no status of Windows says
    errors.CertificateReason.PIN_MISMATCH: _describe_pin_mismatch,
    errors.CertificateReason.TIMED_OUT: _describe_timeout,
}


def certificate_failure(host: str, verdict: Any, chain: Sequence[bytes]) -> errors.CertificateError:
    """Return the exception for a verdict that is not good."""
    reason = _REASONS[verdict.reason] or errors.CertificateReason.OTHER
    sentence, symbol, hint = describe(verdict.status, "verification")
    certificates = _readable(chain)
    if reason in _WORDS:
        sentence, symbol, hint = _WORDS[reason](certificates)
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
