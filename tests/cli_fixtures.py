"""Fixtures of the command line's tests: the command run in this process, and servers for it.

Where Schannel is not, `send` is given an ssl.SSLContext instead, so that all of it but the TLS is
tested there, too; what `probe` shows comes from Schannel alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from certs import Certificates, Identity
from cli_samples import MESSAGE, Command, Done, StartServer
from smtp_server import SMTPServer

from schannel_ffi import _lib, cli
from schannel_ffi.__main__ import main
from schannel_ffi.smtp import Session


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def run(*arguments: str | Path) -> Done:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture
def smtp_server(certificates: Certificates, tls_version: Any) -> Iterator[StartServer]:
    """Start an SMTPServer whose certificate is for 127.0.0.1; stopped after the test."""
    with ExitStack() as stack:

        def start(identity: Identity | None = None, **script: Any) -> SMTPServer:
            context = (identity or certificates.ip_address).server_context()
            context.minimum_version = context.maximum_version = tls_version
            script.setdefault("security", "tls")
            return stack.enter_context(SMTPServer(tls=context, **script))

        yield start


@pytest.fixture
def authority(certificates: Certificates, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    path.write_bytes(certificates.ip_address.anchor_pem)
    return path


@pytest.fixture
def message_file(tmp_path: Path) -> Path:
    path = tmp_path / "m.eml"
    path.write_bytes(MESSAGE)
    return path


@pytest.fixture
def send_to(
    command: Command,
    authority: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """Run `send` to a server, trusting its authority."""
    if sys.platform != "win32":
        _use_openssl(monkeypatch, certificates.ip_address)

    def run(server: SMTPServer, *arguments: str | Path) -> Done:
        security = {"plain": "insecure-plaintext"}.get(
            server.script.security, server.script.security
        )
        place = ["--host", f"{server.host}:{server.port}", "--security", security]
        return command("send", *place, "--ca", authority, *arguments)

    return run


def _use_openssl(monkeypatch: pytest.MonkeyPatch, identity: Identity) -> None:
    context = identity.client_context()
    original = cli._session

    def session(settings: dict[str, Any]) -> Session:
        if not settings["tls"].insecure_skip_verify:
            settings = {**settings, "tls": context}
        return original(settings)

    monkeypatch.setattr(cli, "_session", session)
    monkeypatch.setattr(_lib, "require", lambda: None)
