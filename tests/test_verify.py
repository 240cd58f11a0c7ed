"""Whom a client believes: each bad certificate is refused, by name, before application data leaves.

Loopback tests, in the lane of TLS 1.2 and in that of TLS 1.3.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from certs import HOST, IDN_A_LABEL, IDN_HOST, Certificates
from clients import Connector
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from loopback import TLSServer
from wire import is_wine

from schannel_ffi import CertificateError, HandshakeError, TLSError, TrustStore

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

GOOD = [  # certificate, host
    ("good", HOST),
    ("good", "SERVER.Test"),  # names are compared without regard to case (RFC 4343)
    ("good", HOST + "."),  # the root's dot is not part of the name (RFC 9525, 6.3)
    ("good_rsa", HOST),
    ("many_names", HOST),
    ("big", HOST),
    ("intermediate", HOST),
    ("name_constraints_kept", HOST),
    pytest.param(
        "any_usage",
        HOST,
        marks=pytest.mark.xfail(
            is_wine(),
            strict=True,
            reason="Wine 8, 10: ask for the very usage; Windows takes anyExtendedKeyUsage for it",
        ),
    ),
    ("wildcard", "mail.server.test"),
    ("idn", IDN_A_LABEL),
    ("idn", IDN_HOST),
    ("ip_address", "127.0.0.1"),
    ("ip_address", "::1"),
    ("self_signed_trusted", HOST),
]

BAD = [  # certificate, host, reasons of which one is given
    ("expired", HOST, "EXPIRED"),
    ("not_yet_valid", HOST, "NOT_YET_VALID"),
    ("wrong_name", HOST, "NAME_MISMATCH"),
    ("good", "server.test.evil.test", "NAME_MISMATCH"),
    ("good", "mail.server.test", "NAME_MISMATCH"),
    ("name_only_in_subject", HOST, "NAME_MISMATCH"),  # RFC 9525, 2: the subject is not read
    ("nul_in_name", HOST, "NAME_MISMATCH"),
    ("good", "127.0.0.1", "NAME_MISMATCH"),
    ("ip_address", HOST, "NAME_MISMATCH"),
    ("ip_address", "127.0.0.2", "NAME_MISMATCH"),
    ("ip_address_as_dns_name", "127.0.0.1", "NAME_MISMATCH"),
    ("wildcard", HOST, "NAME_MISMATCH"),  # the star stands for one label, not for none
    ("wildcard", "a.mail.server.test", "NAME_MISMATCH"),  # ... and not for two
    ("partial_wildcard", "some.server.test", "NAME_MISMATCH"),  # RFC 9525, 6.3: whole label only
    ("unknown_ca", HOST, "UNKNOWN_CA"),
    ("unknown_ca_not_sent", HOST, "UNKNOWN_CA INCOMPLETE_CHAIN"),  # cannot be told apart
    ("self_signed", HOST, "SELF_SIGNED"),
    ("client_only", HOST, "WRONG_USAGE"),
    ("missing_intermediate", HOST, "INCOMPLETE_CHAIN"),
    ("leaf_as_ca", HOST, "BAD_CONSTRAINTS"),
    ("tampered", HOST, "BAD_SIGNATURE"),
    ("name_constraints_broken", HOST, "BAD_CONSTRAINTS"),
    ("critical_unknown_extension", HOST, "BAD_CONSTRAINTS"),
]


@pytest.mark.parametrize(("situation", "host"), GOOD)
def test_good_certificate_is_accepted(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, situation: str, host: str
) -> None:
    server = tls_server(getattr(certificates, situation))

    with connect(server, host=host) as client:
        client.sendall(b"hello")

        assert b"hello" == client.recv(100)


@pytest.mark.parametrize(("situation", "host", "reasons"), BAD)
def test_bad_certificate_is_refused_before_application_data(
    tls_server: StartTLS,
    connect: Connector,
    certificates: Certificates,
    situation: str,
    host: str,
    reasons: str,
) -> None:
    server = tls_server(getattr(certificates, situation))

    with pytest.raises(CertificateError) as raised:
        connect(server, host=host)

    assert raised.value.reason.name in reasons.split()
    assert b"" == server.conversation().received


def test_refused_certificate_is_in_the_error(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    server = tls_server(certificates.wrong_name)

    with pytest.raises(CertificateError) as raised:
        connect(server)

    assert raised.value.certificate is not None
    assert der_of(certificates.wrong_name.leaf) == raised.value.certificate.der
    assert HOST in str(raised.value)


def test_certificate_error_is_a_handshake_error_or_tls_error() -> None:
    assert issubclass(CertificateError, (HandshakeError, TLSError))


@pytest.mark.parametrize("situation", ["expired", "wrong_name", "unknown_ca", "self_signed"])
def test_insecure_skip_verify_takes_any_certificate(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, situation: str
) -> None:
    server = tls_server(getattr(certificates, situation))

    with connect(server, insecure_skip_verify=True) as client:
        client.sendall(b"hello")

        assert b"hello" == client.recv(100)


def test_system_roots_do_not_know_our_private_authority(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()

    with pytest.raises(CertificateError) as raised:
        connect(server, trust=TrustStore.system())

    assert raised.value.reason.name in ("UNKNOWN_CA", "INCOMPLETE_CHAIN")


def test_private_authority_may_stand_beside_the_system_roots(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    trust = TrustStore.from_pem(certificates.good.anchor_pem, exclusive=False)
    server = tls_server()

    with connect(server, trust=trust) as client:
        assert client.version()


def test_trust_anchors_come_from_a_file(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, tmp_path: Path
) -> None:
    path = tmp_path / "anchors.pem"
    path.write_bytes(certificates.good.anchor_pem)
    server = tls_server()

    with connect(server, trust=TrustStore.from_pem(path)) as client:
        assert client.version()


def test_one_of_several_trust_anchors_suffices(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    both = certificates.other_ca.cert_pem.bytes() + b"\nnotes\n" + certificates.good.anchor_pem
    server = tls_server()

    with connect(server, trust=TrustStore.from_pem(both)) as client:
        assert client.version()


@pytest.mark.xfail(
    is_wine(),
    strict=True,
    reason="Wine 8, 10: know no dwExclusiveFlags of the chain engine; Windows 8 and later accept "
    "the chain with CERT_CHAIN_EXCLUSIVE_ENABLE_CA_FLAG",
)
def test_intermediate_may_be_a_trust_anchor(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    anchor = certificates.intermediate.chain_pem.split(b"-----END CERTIFICATE-----\n", 1)[1]
    server = tls_server(certificates.missing_intermediate)

    with connect(server, trust=TrustStore.from_pem(anchor)) as client:
        assert client.version()


def test_trust_of_one_connection_is_not_lent_to_another(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    trusted, untrusted = tls_server(certificates.good), tls_server(certificates.unknown_ca)

    connect(trusted).close()

    with pytest.raises(CertificateError):
        connect(untrusted)


def test_peer_certificates_begin_with_the_leaf(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    expected = [der_of(each) for each in certificates.intermediate.chain]
    server = tls_server(certificates.intermediate)

    with connect(server) as client:
        chain = client.peer_certificates

    assert expected == [each.der for each in chain[:2]]


def test_peer_certificate_tells_what_it_is(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    leaf = certificates.expired.leaf
    server = tls_server(certificates.expired)

    with connect(server, insecure_skip_verify=True) as client:
        certificate = client.peer_certificates[0]

    assert leaf.not_valid_before_utc == certificate.not_before
    assert leaf.not_valid_after_utc == certificate.not_after
    assert "Testing cert" in str(certificate.subject)
    assert "Testing CA" in str(certificate.issuer)


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
