"""The SMTP floor's exceptions; every failure of `schannel_ffi.smtp` is an SMTPError."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schannel_ffi.smtp.reply import Reply
    from schannel_ffi.smtp.result import Outcome


class SMTPError(OSError):
    """Something about a session or a message failed.

    The text is one line: what failed, the server's reply if one is the reason, and a hint.
    What caused it (an OSError, a TLSError) is chained as `__cause__`.

    Attributes:
        hint: What to change, or None.
        reply: The reply of the server that is the reason, or None.
        outcomes: Recipient -> Outcome, when raised by `Session.send`; else empty.
        replies: Recipient -> the reply that decided its outcome, where there is one.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, reply: Reply | None = None
    ) -> None:
        """Compose the one-line text out of `message`, `reply` and `hint`."""
        text = message if reply is None else f"{message}: {reply}"
        super().__init__(text if hint is None or hint in text else f"{text}; {hint}")
        self.hint = hint
        self.reply = reply
        self.outcomes: Mapping[str, Outcome] = {}
        self.replies: Mapping[str, Reply] = {}


class LocalProtocolError(SMTPError):
    """The caller asked for something the protocol or the safe defaults forbid."""


class RemoteProtocolError(SMTPError):
    """The peer broke the protocol; the connection is closed."""


class StartTLSRequired(SMTPError):
    """TLS was required on one side and not to be had on the other."""


class AuthenticationError(SMTPError):
    """The server did not accept the login, or wants one."""


class ServiceRefused(SMTPError):
    """The server refused to serve this session (a 4yz or 5yz reply to greeting or EHLO)."""


class ConnectionFailed(SMTPError, ConnectionError):
    """No connection came about: name resolution, TCP or TLS failed (see `__cause__`)."""


class ConnectionLost(SMTPError, ConnectionError):
    """The connection ended before the reply that was waited for."""


class SMTPTimeout(SMTPError, TimeoutError):
    """The server did not answer, or did not take bytes, in time."""
