"""Schannel to Schannel in one process, no sockets: a `TLSEngine` as client, one as server.

Each test runs over the model of Windows' Schannel, and over the system's own where that takes the
server's part (Windows; Wine from 9 on).
"""

from __future__ import annotations

import ssl

import pytest
from certs import HOST, Certificates
from clients import stream
from own_server import NewPair, client_certificate, server_certificate

from schannel_ffi import (
    CertificateError,
    ClientAuthentication,
    TLSConfig,
    TLSEngine,
    TrustStore,
)

pytest_plugins = ["server_fixtures"]
pytestmark = pytest.mark.schannel

MIB = 1 << 20
PIECES = pytest.mark.parametrize("size", [1, 5, 6, 4096], ids="pieces_of_{}".format)


@PIECES
def test_both_ends_open_and_talk(new_pair: NewPair, size: int, tls_version: ssl.TLSVersion) -> None:
    pair = new_pair(size=size)
    there, back = stream(20_000, seed=1), stream(20_000, seed=2)

    pair.shake_hands()

    assert there == pair.send(pair.client, there)
    assert back == pair.send(pair.server, back)
    assert tls_version.name.replace("_", ".") == pair.server.version()


def test_1_mib_goes_each_way(new_pair: NewPair) -> None:
    pair = new_pair()
    pair.shake_hands()
    there, back = stream(MIB, seed=1), stream(MIB, seed=2)

    assert there == pair.send(pair.client, there)
    assert back == pair.send(pair.server, back)


def test_server_chooses_the_alpn_protocol(new_pair: NewPair) -> None:
    pair = new_pair(
        client={"alpn_protocols": ("h2", "smtp")}, server={"alpn_protocols": ("smtp", "imap")}
    )

    pair.shake_hands()

    assert (b"smtp", b"smtp") == (pair.client.alpn_protocol, pair.server.alpn_protocol)


def test_each_end_ends_its_own_direction(new_pair: NewPair) -> None:
    pair = new_pair()
    pair.shake_hands()

    assert not pair.server.unwrap()
    pair.exchange()
    assert (b"", b"still here") == (pair.client.read(), pair.send(pair.client, b"still here"))
    assert pair.client.unwrap()
    pair.exchange()
    assert pair.server.unwrap()


def test_client_refuses_the_wrong_server_and_sends_nothing(
    new_pair: NewPair, certificates: Certificates
) -> None:
    wrong = server_certificate(certificates.server_rsa_only)
    pair = new_pair(server={"server_certificate": wrong})

    with pytest.raises(CertificateError):
        pair.shake_hands()
    with pytest.raises(CertificateError):
        pair.client.write(b"secret")


ASKING = [ClientAuthentication.OPTIONAL, ClientAuthentication.REQUIRED]


@pytest.mark.usefixtures("asks_clients")
@pytest.mark.parametrize("asking", ASKING, ids=lambda each: each.value)
def test_server_sees_who_its_client_is(
    new_pair: NewPair, certificates: Certificates, asking: ClientAuthentication
) -> None:
    pair = new_pair(
        client={"client_certificate": client_certificate(certificates.client_rsa)},
        server={"client_authentication": asking},
    )

    pair.shake_hands()

    assert certificates.client_rsa.leaf_der == pair.server.getpeercert()
    assert b"hello" == pair.send(pair.client, b"hello")


def test_client_without_a_certificate_is_let_in_where_that_is_optional(new_pair: NewPair) -> None:
    pair = new_pair(server={"client_authentication": ClientAuthentication.OPTIONAL})

    pair.shake_hands()

    assert () == pair.server.peer_certificates
    assert b"hello" == pair.send(pair.client, b"hello")


def test_client_without_a_certificate_is_refused_where_one_is_required(new_pair: NewPair) -> None:
    pair = new_pair(server={"client_authentication": ClientAuthentication.REQUIRED})

    with pytest.raises(CertificateError, match="no certificate, and one is required"):
        pair.shake_hands()


def test_client_is_not_asked_unless_that_is_wanted(
    new_pair: NewPair, certificates: Certificates
) -> None:
    pair = new_pair(client={"client_certificate": client_certificate(certificates.client_rsa)})

    pair.shake_hands()

    assert () == pair.server.peer_certificates


@pytest.mark.usefixtures("asks_clients")
def test_server_refuses_a_client_of_a_stranger(
    new_pair: NewPair, certificates: Certificates
) -> None:
    strangers = TrustStore.from_pem(certificates.other_ca.cert_pem.bytes())
    pair = new_pair(
        client={"client_certificate": client_certificate(certificates.client_rsa)},
        server={"client_authentication": ClientAuthentication.OPTIONAL, "trust": strangers},
    )

    with pytest.raises(CertificateError) as caught:
        pair.shake_hands()

    assert caught.value.reason.name in {"UNKNOWN_CA", "INCOMPLETE_CHAIN"}


@pytest.mark.usefixtures("asks_clients")
def test_server_refuses_a_certificate_that_is_for_servers(
    new_pair: NewPair, certificates: Certificates
) -> None:
    wrong = client_certificate(certificates.server_rsa_only)
    pair = new_pair(
        client={"client_certificate": wrong},
        server={"client_authentication": ClientAuthentication.REQUIRED},
    )

    with pytest.raises(CertificateError) as caught:
        pair.shake_hands()

    assert "WRONG_USAGE" == caught.value.reason.name


# --- settings -----------------------------------------------------------------------------------


def test_server_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="server_certificate"):
        TLSEngine(server_side=True)


def test_server_name_is_a_clients(certificates: Certificates) -> None:
    config = TLSConfig(server_certificate=server_certificate(certificates.good_rsa))

    with pytest.raises(ValueError, match="client's"):
        TLSEngine(config, server_hostname=HOST, server_side=True)
