"""What goes wrong has a class, a symbol, a sentence and a hint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from behaviours import leave
from certs import HOST, Certificates
from clients import Connector, wine_takes_the_reset_away
from conversation import Ending
from loopback import RawServer, RefusingAddress, TLSServer, alert_record

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    ConnectionReset,
    HandshakeError,
    PeerAlert,
    TLSError,
    TLSTimeout,
    TruncatedStream,
)

needs_schannel = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]
StartRaw = Callable[..., RawServer]

ALERTS = [  # RFC 8446, 6.2
    (40, "handshake_failure"),
    (48, "unknown_ca"),
    (70, "protocol_version"),
    (80, "internal_error"),
    (112, "unrecognized_name"),
    (120, "no_application_protocol"),
]

NOT_TLS = [  # answer to the ClientHello, server speaks first
    (b"220 smtp ready\r\n", True),
    (b"220 smtp ready\r\n", False),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    (b"\x00" * 100, False),
    (b"\xff" * 100, False),
    (bytes((22, 3, 3, 0x48, 0x01)) + b"\x00" * 100, False),  # longer than 2**14 + 2048
    (bytes((22, 9, 9, 0, 4)) + b"\x00" * 4, False),
    (bytes((22, 3, 3, 0, 0)), False),
    (bytes((23, 3, 3, 0, 4)) + b"\x00" * 4, False),
    (bytes((22, 3, 3, 0, 4, 99, 0, 0, 0)), False),
]
NOT_TLS_IDS = [
    "smtp_speaks_first",
    "smtp",
    "http",
    "zeros",
    "ones",
    "oversized_record",
    "wrong_version",
    "empty_handshake_record",
    "application_data_first",
    "unknown_handshake_message",
]


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (TLSError, OSError),
        (HandshakeError, TLSError),
        (CertificateError, TLSError),
        (PeerAlert, TLSError),
        (TruncatedStream, EOFError),
        (TruncatedStream, TLSError),
        (TLSTimeout, TimeoutError),
        (TLSTimeout, TLSError),
        (ConnectionReset, ConnectionResetError),
        (ConnectionReset, TLSError),
        (schannel_ffi.CredentialError, TLSError),
        (schannel_ffi.UnsupportedPlatform, TLSError),
    ],
)
def test_exceptions_are_what_callers_already_catch(
    error: type[BaseException], base: type[BaseException]
) -> None:
    assert issubclass(error, base)


@needs_schannel
@pytest.mark.parametrize(("number", "name"), ALERTS, ids=[name for _, name in ALERTS])
def test_alert_of_the_peer_is_named(
    raw_server: StartRaw, connect: Connector, number: int, name: str
) -> None:
    server = raw_server(alert_record(number))

    with pytest.raises(PeerAlert) as raised:
        connect(server)

    assert number == raised.value.alert
    assert name in str(raised.value)


@needs_schannel
@pytest.mark.parametrize(("answer", "speaks_first"), NOT_TLS, ids=NOT_TLS_IDS)
@pytest.mark.parametrize("ending", [Ending.EOF, Ending.SILENCE], ids=["fin", "silence"])
def test_peer_that_does_not_speak_tls_is_a_handshake_error(
    raw_server: StartRaw,
    connect: Connector,
    answer: bytes,
    *,
    speaks_first: bool,
    ending: Ending,
) -> None:
    server = raw_server(answer, speaks_first=speaks_first, ending=ending)

    with pytest.raises((HandshakeError, ConnectionReset, TruncatedStream)):
        connect(server, timeout=5.0)


@needs_schannel
def test_text_of_a_peer_without_tls_is_shown(raw_server: StartRaw, connect: Connector) -> None:
    server = raw_server(b"220 smtp ready\r\n", speaks_first=True, ending=Ending.SILENCE)

    with pytest.raises(HandshakeError, match="220 smtp ready"):
        connect(server, timeout=5.0)


@needs_schannel
def test_peer_that_hangs_up_in_the_handshake(raw_server: StartRaw, connect: Connector) -> None:
    server = raw_server(ending=Ending.EOF)

    with pytest.raises(TruncatedStream):
        connect(server, timeout=5.0)


@needs_schannel
@pytest.mark.parametrize("situation", ["expired", "wrong_name", "unknown_ca"])
def test_certificate_errors_read_as_one_line_with_a_hint(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, situation: str
) -> None:
    server = tls_server(getattr(certificates, situation))

    with pytest.raises(CertificateError) as raised:
        connect(server)

    message = str(raised.value)
    assert ("\n" not in message, not message.endswith(".")) == (True, True)
    assert raised.value.symbol
    assert raised.value.symbol in message
    assert raised.value.hint


@needs_schannel
def test_refused_connection_is_the_systems_own_error(connect: Connector) -> None:
    refusing = RefusingAddress()

    with pytest.raises(ConnectionRefusedError) as raised:
        schannel_ffi.connect(refusing.address, server_hostname=HOST, timeout=5.0)

    refusing.close()
    assert 10061 == raised.value.winerror  # type: ignore[attr-defined]  # WSAECONNREFUSED


@needs_schannel
@wine_takes_the_reset_away
def test_reset_has_winsocks_number(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=leave, ending=Ending.RESET)

    with connect(server) as client:
        server.conversation()
        with pytest.raises(ConnectionReset) as raised:
            client.recv(10)

    assert 10054 == raised.value.winerror  # WSAECONNRESET


@needs_schannel
def test_first_error_stays(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(raw_after_handshake=b"\x17\x03\x03\x00\x20" + b"garbage." * 4)

    with connect(server) as client:
        with pytest.raises(TLSError) as first:
            client.recv(10)
        with pytest.raises(TLSError) as second:
            client.recv(10)

    assert first.value.symbol == second.value.symbol


@needs_schannel
def test_client_certificate_that_the_server_misses_is_told(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    server = tls_server(client_ca=certificates.good.anchor_pem)

    with pytest.raises(TLSError), connect(server) as client:
        client.recv(10)

    assert "peer_did_not_return_a_certificate" == server.conversation().alert


@needs_schannel
@pytest.mark.parametrize("timeout", [-1.0, float("nan")], ids=["negative", "not_a_number"])
def test_impossible_timeout_is_refused_before_connecting(timeout: float) -> None:
    refusing = RefusingAddress()

    with pytest.raises(ValueError, match="timeout"):
        schannel_ffi.connect(refusing.address, timeout=timeout)

    refusing.close()
