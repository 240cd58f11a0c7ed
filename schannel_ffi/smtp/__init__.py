"""SMTP for senders: a session over verified TLS, and one Outcome per recipient."""

from schannel_ffi.smtp.command import Capabilities
from schannel_ffi.smtp.errors import (
    AuthenticationError,
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    RemoteProtocolError,
    ServiceRefused,
    SMTPError,
    SMTPTimeout,
    StartTLSRequired,
)
from schannel_ffi.smtp.gssapi import GSSAPI
from schannel_ffi.smtp.reply import Reply
from schannel_ffi.smtp.result import Outcome, SendResult
from schannel_ffi.smtp.session import Session

__all__ = [
    "GSSAPI",
    "AuthenticationError",
    "Capabilities",
    "ConnectionFailed",
    "ConnectionLost",
    "LocalProtocolError",
    "Outcome",
    "RemoteProtocolError",
    "Reply",
    "SMTPError",
    "SMTPTimeout",
    "SendResult",
    "ServiceRefused",
    "Session",
    "StartTLSRequired",
]
