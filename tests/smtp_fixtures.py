"""Fixtures of the SMTP tests: certificates, servers, sessions."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import trustme
from smtp_samples import OpenSession, StartServer, TLSEnds
from smtp_server import SMTPServer

from schannel_ffi.smtp import Session


@pytest.fixture(scope="session")
def smtp_tls() -> TLSEnds:
    # RSA: Wine 8 takes an ECDSA signature with a short r or s (1 in 128) for a bad one.
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", "mail.example.org").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return TLSEnds(server, client, authority.cert_pem.bytes())


@pytest.fixture
def start_server(smtp_tls: TLSEnds) -> Iterator[StartServer]:
    """Return a function that starts an SMTPServer; it is stopped after the test."""
    with ExitStack() as stack:

        def start(**script: Any) -> SMTPServer:
            script.setdefault("tls", smtp_tls.server)
            return stack.enter_context(SMTPServer(**script))

        yield start


@pytest.fixture
def open_session(smtp_tls: TLSEnds) -> Iterator[OpenSession]:
    """Return a function that connects a Session to a server as its security needs it."""
    sessions: list[Session] = []
    securities = {"plain": "insecure_plaintext", "starttls": "starttls", "tls": "tls"}

    def open_(server: SMTPServer, **settings: Any) -> Session:
        settings.setdefault("security", securities[server.script.security])
        settings.setdefault("tls", smtp_tls.client)
        settings.setdefault("timeout", 20.0)
        session = Session(server.host, server.port, **settings)
        sessions.append(session)
        session.connect()
        return session

    yield open_
    for session in sessions:
        session.abort()
