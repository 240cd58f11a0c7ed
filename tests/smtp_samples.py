"""Values and types that the SMTP tests share; fixtures are in `smtp_fixtures`."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from smtp_server import SMTPServer

from schannel_ffi.smtp import Session

MESSAGE = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: t\r\n\r\nhello\r\n"
SENDER = "a@example.org"
RECIPIENT = "b@example.org"

StartServer = Callable[..., SMTPServer]
OpenSession = Callable[..., Session]


@dataclass(frozen=True)
class TLSEnds:
    """A private authority's two ends."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    anchor_pem: bytes
