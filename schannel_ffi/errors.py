"""The exceptions of schannel_ffi: what failed, its symbol, and what to do about it.

::

    TLSError (OSError)
      HandshakeError          the two sides did not agree
      CertificateError        the peer's certificate was refused (.reason, .certificate)
      PeerAlert               the peer sent a fatal alert (.alert)
      TruncatedStream         TCP ended without close_notify            (EOFError too)
      TLSTimeout              the time was over                         (TimeoutError too)
      WouldBlock              a non-blocking call had nothing to do     (BlockingIOError too)
      ConnectionReset         the peer reset the connection             (ConnectionResetError too)
      SocketClosed            the socket or engine was closed on this side
      CredentialError         no credential could be acquired
      UnsupportedPlatform     Schannel is a part of Windows

Nothing here knows where the failures come from: `_lib` translates the results of the C engine into
these classes.
"""

from __future__ import annotations

import enum
import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from schannel_ffi.certificates import Certificate

__all__ = [
    "CertificateError",
    "CertificateReason",
    "ConnectionReset",
    "CredentialError",
    "HandshakeError",
    "PeerAlert",
    "SocketClosed",
    "TLSError",
    "TLSTimeout",
    "TruncatedStream",
    "UnsupportedPlatform",
    "WouldBlock",
]


class TLSError(OSError):
    """A TLS operation failed.

    Attributes:
        symbol: the name of the cause, such as "SEC_E_UNTRUSTED_ROOT", "WSAECONNRESET" or
            "handshake_failure"; "" if there is none.
        hint: what to do about it; "" if nothing is known.
        alert: the TLS alert description (RFC 8446, 6) that came with it, 0..255, or None.
        winerror: the status as Windows numbers it, or None. (`OSError` has this attribute on
            Windows only; here it is always there.)
    """

    winerror: int | None = None

    def __init__(
        self,
        message: str,
        *,
        symbol: str = "",
        hint: str = "",
        alert: int | None = None,
        winerror: int | None = None,
        error_number: int | None = None,
    ) -> None:
        """Make the message one line: what failed, the symbol, the hint."""
        parts = [message]
        if symbol:
            parts.append(f" [{symbol}]")
        if hint:
            parts.append(f"; {hint}")
        text = "".join(parts)
        super().__init__(error_number if error_number is not None else self._default_errno(), text)
        self.symbol = symbol
        self.hint = hint
        self.alert = alert
        self.winerror = winerror

    @classmethod
    def _default_errno(cls) -> int:
        return errno.EPROTO if hasattr(errno, "EPROTO") else errno.EIO

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error cross a process boundary (`pickle`)."""
        return _rebuilt, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        """Return the sentence without the number that `OSError` puts in front of it."""
        return str(self.strerror)


def _rebuilt(
    kind: type[TLSError], arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> TLSError:
    error = kind.__new__(kind)
    OSError.__init__(error, *arguments)
    error.__dict__.update(attributes)
    return error


class HandshakeError(TLSError):
    """The handshake failed: the two sides did not agree."""


class CertificateReason(str, enum.Enum):
    """Why a certificate was refused."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    NAME_MISMATCH = "name mismatch"
    UNKNOWN_CA = "unknown CA"
    SELF_SIGNED = "self-signed"
    INCOMPLETE_CHAIN = "incomplete chain"
    WRONG_USAGE = "wrong usage"
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation unknown"
    BAD_SIGNATURE = "bad signature"
    BAD_CONSTRAINTS = "bad constraints"
    DISTRUSTED = "distrusted"
    WEAK = "weak"
    NO_CERTIFICATE = "no certificate"
    TIMED_OUT = "timed out"
    OTHER = "other"
    PIN_MISMATCH = "pin mismatch"

    def __str__(self) -> str:
        """Return the words."""
        return self.value


class CertificateError(TLSError):
    """The peer's certificate was refused; no application data has moved in either direction.

    Attributes:
        reason: why, in one word.
        certificate: the certificate of the chain that failed, or None when the peer sent none.
        chain: the chain as Windows built it, the peer's own certificate first.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: CertificateReason = CertificateReason.OTHER,
        certificate: Certificate | None = None,
        chain: tuple[Certificate, ...] = (),
        symbol: str = "",
        hint: str = "",
        alert: int | None = None,
        winerror: int | None = None,
        error_number: int | None = None,
    ) -> None:
        """Keep the reason and the certificate beside the message."""
        super().__init__(
            message,
            symbol=symbol,
            hint=hint,
            alert=alert,
            winerror=winerror,
            error_number=error_number,
        )
        self.reason = reason
        self.certificate = certificate
        self.chain = chain


class PeerAlert(TLSError):
    """The peer sent a fatal alert; `alert` and `symbol` name it where it came in the clear."""


class TruncatedStream(TLSError, EOFError):
    """TCP ended without close_notify, so data may be missing (RFC 8446, 6.1)."""


class TLSTimeout(TLSError, TimeoutError):
    """The time was over. The connection stays usable.

    Attributes:
        bytes_sent: how many bytes of the call's data were taken over before: never give them again.
            Their records leave first in the next call.
    """

    bytes_sent: int = 0

    @classmethod
    def _default_errno(cls) -> int:
        return errno.ETIMEDOUT


class WouldBlock(TLSError, BlockingIOError):
    """A socket in non-blocking mode can do nothing now.

    Attributes:
        bytes_sent: as `TLSTimeout.bytes_sent`; more than 0 only from `sendall`.
    """

    bytes_sent: int = 0

    @classmethod
    def _default_errno(cls) -> int:
        return errno.EAGAIN


class ConnectionReset(TLSError, ConnectionResetError):
    """The connection was reset or aborted."""

    @classmethod
    def _default_errno(cls) -> int:
        return errno.ECONNRESET


class SocketClosed(TLSError):
    """The socket, or the engine, was closed on this side, perhaps by another thread."""

    @classmethod
    def _default_errno(cls) -> int:
        return errno.EBADF


class CredentialError(TLSError):
    """Windows gave no credential: a policy, a missing key, or settings that do not fit."""


class UnsupportedPlatform(TLSError):
    """Schannel is a part of Windows, and not there; or the extension module is missing."""

    @classmethod
    def _default_errno(cls) -> int:
        return errno.ENOSYS
