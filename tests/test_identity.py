"""A client certificate on real connections: from a store, a PFX and PEM, in both lanes.

The servers are the stdlib's (OpenSSL) and demand a certificate of the tests' authority. What stays
on disk is looked up with Windows' own functions, past the library.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest
from certs import Certificates, Identity, pfx
from clients import Connector
from conversation import TLSConversation
from cryptography import x509
from cryptography.x509.oid import NameOID
from loopback import TLSServer
from windows_keys import Keys, add_to_store

from schannel_ffi import ClientCertificate, PeerAlert, TLSError, _lib

pytestmark = pytest.mark.schannel

PASSWORD = "pass word"  # Wine fails with any letter beyond ASCII


@pytest.fixture
def keys() -> Iterator[Keys]:
    """What key containers there are; the test must leave none of ours."""
    found = Keys()
    before = found.ours()
    yield found
    _lib.use_system_table(None)  # forget what is kept for later
    gc.collect()
    assert before == found.ours()


def tell_who(conversation: TLSConversation) -> None:
    """Answer each line with the name in the client's certificate."""
    while conversation.read():
        der = conversation.tls.getpeercert(binary_form=True)
        assert der
        [name] = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(
            NameOID.COMMON_NAME
        )
        conversation.write(str(name.value).encode() + b"\n")


@pytest.fixture
def mutual(certificates: Certificates, tls_server: Callable[..., TLSServer]) -> TLSServer:
    return tls_server(client_ca=certificates.ca.cert_pem.bytes(), serve=tell_who)


def ask_who(connect: Connector, server: TLSServer, own: ClientCertificate | None) -> bytes:
    with connect(server, client_certificate=own) as client:
        client.sendall(b"who am I?\n")
        line = b""
        while not line.endswith(b"\n"):
            line += client.recv(100)
        return line


def from_pem(identity: Identity) -> ClientCertificate:
    return ClientCertificate.from_pem(identity.chain_pem, identity.key_pem)


def from_pfx(identity: Identity, *, ephemeral: bool = False) -> ClientCertificate:
    data = pfx(identity, PASSWORD.encode())
    return ClientCertificate.from_pfx(data, PASSWORD, ephemeral=ephemeral)


SOURCES: dict[str, Callable[[Identity], ClientCertificate]] = {
    "pem": from_pem,
    "pfx": from_pfx,
    "ephemeral_pfx": lambda identity: from_pfx(identity, ephemeral=True),
}


@pytest.mark.parametrize("source", SOURCES)
def test_server_gets_the_certificate(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys, source: str
) -> None:
    own = SOURCES[source](certificates.client_rsa)

    assert b"a mail client\n" == ask_who(connect, mutual, own)


@pytest.mark.parametrize("by", ["sha1", "sha256", "subject"])
def test_server_gets_the_certificate_of_a_store(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys, by: str
) -> None:
    with add_to_store(certificates.client_rsa, "MY") as thumbprints:
        name = {"subject": "A Mail"} if by == "subject" else {"thumbprint": thumbprints[by]}
        own = ClientCertificate.from_store(**name)

        assert b"a mail client\n" == ask_who(connect, mutual, own)


def test_without_a_certificate_the_server_refuses(
    certificates: Certificates, mutual: TLSServer, connect: Connector
) -> None:
    with add_to_store(certificates.client_rsa, "MY"), pytest.raises(TLSError):
        ask_who(connect, mutual, None)  # B5: none of Windows' choice

    assert mutual.conversation().alert is not None


def test_certificate_of_a_stranger_is_refused(
    certificates: Certificates, tls_server: Callable[..., TLSServer], connect: Connector, keys: Keys
) -> None:
    server = tls_server(client_ca=certificates.other_ca.cert_pem.bytes(), serve=tell_who)

    with pytest.raises((PeerAlert, TLSError)):
        ask_who(connect, server, from_pem(certificates.client_rsa))


def test_identities_do_not_mix(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys
) -> None:
    names = [b"a mail client\n", b"another mail client\n"]
    both = [from_pem(certificates.client_rsa), from_pem(certificates.other_client_rsa)]

    told = [ask_who(connect, mutual, own) for own in (*both, *both)]  # B12

    assert names + names == told


@pytest.mark.parametrize("source", ["pem", "pfx"])
def test_key_is_on_disk_only_while_it_is_needed(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys, source: str
) -> None:
    before = keys.ours()
    own = SOURCES[source](certificates.client_rsa)

    with connect(mutual, client_certificate=own) as client:
        client.sendall(b"hello")
        during = keys.ours()
    _lib.use_system_table(None)  # B87
    gc.collect()

    assert (1, before) == (len(during - before), keys.ours())


def test_ephemeral_key_is_never_on_disk(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys
) -> None:
    before = keys.all()

    with connect(mutual, client_certificate=from_pfx(certificates.client_rsa, ephemeral=True)):
        during = keys.all()

    assert before == during  # B10
