"""Facts of real connections, compared with what the server's OpenSSL says of them."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable

import pytest
from certs import Certificates
from clients import Connector, read_exactly
from conversation import TLSConversation
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from loopback import TLSServer
from wire import is_wine

from schannel_ffi import SocketClosed, TLSError

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

LABEL = "EXPORTER-Channel-Binding"


def tell_tls_unique(conversation: TLSConversation) -> None:
    """Send what OpenSSL says the binding is."""
    conversation.write(conversation.tls.get_channel_binding("tls-unique") or b"none")
    conversation.read()


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def test_tls_unique_is_the_servers(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    if tls_version is not ssl.TLSVersion.TLSv1_2:
        pytest.skip("tls-unique ends with TLS 1.2")
    server = tls_server(serve=tell_tls_unique)

    with connect(server) as client:
        ours, theirs = client.channel_binding("tls-unique"), read_exactly(client, 12)

    assert theirs == ours


def test_tls_unique_is_refused_under_tls13(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    if tls_version is not ssl.TLSVersion.TLSv1_3:
        pytest.skip("tls-unique is there until TLS 1.2")
    server = tls_server()

    with connect(server) as client:
        with pytest.raises(TLSError, match="tls-server-end-point") as raised:
            client.channel_binding("tls-unique")
        client.sendall(b"still there")

        assert ("undefined", b"still there") == (raised.value.symbol, read_exactly(client, 11))


@pytest.mark.parametrize("situation", ["good", "good_rsa"])
def test_end_point_is_the_digest_of_the_servers_certificate(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, situation: str
) -> None:
    identity = getattr(certificates, situation)
    server = tls_server(identity)

    with connect(server) as client:
        binding = client.channel_binding("tls-server-end-point")

    assert hashlib.sha256(der_of(identity.leaf)).digest() == binding


@pytest.mark.not_over_the_model(reason="what Wine tells of a connection")
@pytest.mark.skipif(not is_wine(), reason="Windows 10 has the member that Wine lacks")
def test_missing_exporter_is_told(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    is_tls13 = tls_version is ssl.TLSVersion.TLSv1_3
    symbol = "SEC_E_UNSUPPORTED_FUNCTION" if is_tls13 else "undefined"  # rows 73, 95
    server = tls_server()

    with connect(server) as client:
        with pytest.raises(TLSError) as binding:
            client.channel_binding("tls-exporter")
        with pytest.raises(TLSError) as material:
            client.export_keying_material(LABEL, 32)

    assert [symbol] * 2 == [binding.value.symbol, material.value.symbol]


@pytest.mark.parametrize("kind", ["", "tls-unique:", "TLS-UNIQUE", "tls-unique-for-telnet"])
def test_unknown_binding_is_a_mistake(tls_server: StartTLS, connect: Connector, kind: str) -> None:
    server = tls_server()

    with connect(server) as client, pytest.raises(ValueError, match="tls-exporter"):
        client.channel_binding(kind)


@pytest.mark.parametrize(
    ("label", "length", "context"),
    [
        ("", 32, None),
        ("x" * 250, 32, None),
        ("käse", 32, None),
        ("a\0b", 32, None),
        (LABEL, 0, None),
        (LABEL, 65_536, None),
        (LABEL, 32, b"c" * 65_536),
    ],
)
def test_impossible_export_is_a_mistake(
    tls_server: StartTLS, connect: Connector, label: str, length: int, context: bytes | None
) -> None:
    server = tls_server()

    with connect(server) as client, pytest.raises(ValueError, match=r"1\.\.|0\.\."):
        client.export_keying_material(label, length, context)


@pytest.mark.parametrize("kind", ["tls-server-end-point", "tls-unique", "tls-exporter"])
def test_closed_connection_has_no_binding(
    tls_server: StartTLS, connect: Connector, kind: str
) -> None:
    client = connect(tls_server())
    client.close()

    with pytest.raises(SocketClosed):
        client.channel_binding(kind)


@pytest.mark.not_over_the_model(reason="what Wine tells of a connection")
def test_wine_does_not_tell_whether_a_session_was_resumed(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()

    with connect(server) as client:
        resumed = client.session_resumed

    assert (resumed is None) if is_wine() else (resumed is False)


@pytest.mark.not_over_the_model(reason="what Wine tells of a connection")
def test_key_exchange_has_a_name(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()

    with connect(server) as client:
        name, bits = client.key_exchange

    assert ("ECDH" if is_wine() else "ECDHE") == name
    assert bits >= 0


def test_sent_certificates_are_those_of_the_server(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    sent = [der_of(each) for each in certificates.unknown_ca.chain]
    server = tls_server(certificates.unknown_ca)

    with connect(server, insecure_skip_verify=True) as client:
        peer, verified = client.peer_certificates, client.verified_chain

    assert (sent, ()) == ([each.der for each in peer], verified)


def test_verified_chain_ends_in_the_anchor(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    identity = certificates.intermediate
    anchor = x509.load_pem_x509_certificate(identity.anchor_pem)
    server = tls_server(identity)

    with connect(server) as client:
        chain, own = client.verified_chain, client.getpeercert()

    expected = [der_of(each) for each in (*identity.chain, anchor)]
    assert (expected, expected[0]) == ([each.der for each in chain], own)
