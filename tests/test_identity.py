"""A client certificate on real connections: from a store, a PFX and PEM, in both lanes.

The servers are the stdlib's (OpenSSL) and demand a certificate of the tests' authority. What stays
on disk is looked up with Windows' own functions, past the library.
"""

from __future__ import annotations

import contextlib
import gc
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certs import HOST, Certificates, Identity, pfx
from clients import Connector
from conversation import Conversation, TLSConversation
from counting_system import CountingSystem
from cryptography import x509
from cryptography.x509.oid import NameOID
from loopback import TLSServer
from windows_keys import Keys, add_to_store

from schannel_ffi import (
    CertificateError,
    ClientCertificate,
    CredentialError,
    TLSConfig,
    TLSError,
    TrustStore,
    _lib,
)
from schannel_ffi._lib.shared import credential_for

pytestmark = [
    pytest.mark.schannel,
    pytest.mark.not_over_the_model(
        reason="Wine's CNG keeps no keys: they need Wine's own Schannel"
    ),
]

PASSWORD = "pass word"  # Wine fails with any letter beyond ASCII


@pytest.fixture
def keys() -> Iterator[Keys]:
    """What key containers there are; the test must leave none of ours."""
    forget()  # what another test has left may go at any time
    found = Keys()
    before = found.ours()
    yield found
    forget()
    assert set() == found.ours() - before  # what dead processes had left may be swept meanwhile


def forget() -> None:
    """Let go of what `_lib` keeps for later connections."""
    _lib.use_system_table(None)
    gc.collect()


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

    # B48: TLS 1.3 tells it on the first read, where a reset may overtake the alert
    with pytest.raises(TLSError, match=r"certificate|the peer reset the connection"):
        ask_who(connect, server, from_pem(certificates.client_rsa))


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "not_trusted"])
def test_identity_stays_here_until_the_server_is_verified(
    certificates: Certificates,
    mutual: TLSServer,
    connect: Connector,
    keys: Keys,
    tls_version: ssl.TLSVersion,
    *,
    is_trusted: bool,
) -> None:
    if tls_version < ssl.TLSVersion.TLSv1_3 and not is_trusted:
        pytest.skip("TLS 1.2 needs the client's certificate to end the handshake")
    anchor = (certificates.ca if is_trusted else certificates.other_ca).cert_pem.bytes()
    expectation = contextlib.nullcontext() if is_trusted else pytest.raises(CertificateError)

    with expectation:
        connect(
            mutual,
            trust=TrustStore.from_pem(anchor),
            client_certificate=from_pem(certificates.client_rsa),
        ).close()

    assert is_trusted == has_certificate(mutual.conversation())


def has_certificate(conversation: Conversation) -> bool:
    assert isinstance(conversation, TLSConversation)
    try:
        return bool(conversation.tls.getpeercert(binary_form=True))
    except ValueError:  # the handshake is not done
        return False


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
    forget()  # B87

    assert (1, before) == (len(during - before), keys.ours())


def test_ephemeral_key_is_never_on_disk(
    certificates: Certificates, mutual: TLSServer, connect: Connector, keys: Keys
) -> None:
    before = keys.all()

    with connect(mutual, client_certificate=from_pfx(certificates.client_rsa, ephemeral=True)):
        during = keys.all()

    assert before == during  # B10


# -------------------------------------------------------------- acquired and released, by Windows


@pytest.fixture
def counted() -> Iterator[CountingSystem]:
    """Windows' own functions, counted."""
    system = CountingSystem()
    _lib.use_system_table(system.address)
    yield system
    _lib.use_system_table(None)


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_connection_acquires_is_released(
    certificates: Certificates,
    mutual: TLSServer,
    connect: Connector,
    keys: Keys,
    counted: CountingSystem,
    source: str,
) -> None:
    own, count = SOURCES[source](certificates.client_rsa), 3

    for _ in range(count):
        ask_who(connect, mutual, own)
    during = counted.alive()
    forget()

    peers_own = {"certificate": -count}  # SSPI gave them
    assert (1, peers_own) == (during["store"] - during.get("chain engine", 0), counted.alive())


@pytest.mark.parametrize("source", SOURCES)
def test_whatever_windows_refuses_nothing_is_left(
    certificates: Certificates, keys: Keys, counted: CountingSystem, source: str
) -> None:
    own, before = SOURCES[source](certificates.client_rsa), keys.ours()
    failed = 0
    for step in range(1, 40):
        counted.steps.clear()
        counted.fail_at = step
        _lib.use_system_table(counted.address)
        with contextlib.suppress(CredentialError):
            credential_for(TLSConfig(client_certificate=own))
        if len(counted.steps) < step:
            break
        failed += 1
        counted.fail_at = 0
        forget()
        assert ({}, before) == (counted.alive(), keys.ours()), counted.steps

    assert failed >= (1 if source == "ephemeral_pfx" else 5)


def test_certificate_of_a_store_leaves_nothing_open(
    certificates: Certificates, keys: Keys, counted: CountingSystem
) -> None:
    with add_to_store(certificates.client_rsa, "MY") as thumbprints:
        for by in ("sha1", "sha256"):
            own = ClientCertificate.from_store(thumbprint=thumbprints[by])
            credential_for(TLSConfig(client_certificate=own))
        forget()

    assert {} == counted.alive()


# ------------------------------------------------------------------------------- several processes

PROCESS = """
import sys
sys.path[:0] = {paths!r}
from schannel_ffi import ClientCertificate, TLSConfig, TrustStore, connect
own = ClientCertificate.from_pfx({pfx!r}, {password!r})
trust = TrustStore.from_pem({anchor!r})
config = TLSConfig(client_certificate=own, trust=trust)
for line in sys.stdin:
    with connect({address!r}, config=config, server_hostname={host!r}, timeout=30.0) as client:
        client.sendall(b"who am I?")
        print(client.recv(100).decode().strip(), flush=True)
"""


class Process:
    """A Python of its own that connects with a client certificate whenever it is asked."""

    def __init__(self, certificates: Certificates, server: TLSServer, data: bytes) -> None:
        program = PROCESS.format(
            paths=[str(Path(__file__).parent.parent)],
            pfx=data,
            password=PASSWORD,
            anchor=certificates.good.anchor_pem,
            address=server.address,
            host=HOST,
        )
        self.popen = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> None:
        assert self.popen.stdin
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()

    def answer(self) -> str:
        assert self.popen.stdout
        return self.popen.stdout.readline().strip()

    def kill(self) -> None:
        with self.popen:  # closes the pipes
            self.popen.kill()

    def close(self) -> None:
        self.popen.communicate(timeout=30.0)


def test_eight_processes_import_one_pfx_and_one_is_killed(
    certificates: Certificates, mutual: TLSServer, keys: Keys
) -> None:
    data = pfx(certificates.client_rsa, PASSWORD.encode(), friendly_name=b"the same for all")
    before = keys.ours()
    with contextlib.ExitStack() as stack:
        processes = [Process(certificates, mutual, data) for _ in range(8)]
        for each in processes:
            stack.callback(each.kill)
            each.ask()
        first = [each.answer() for each in processes]
        during = keys.ours() - before

        victim, *others = processes
        victim.kill()
        for each in others:
            each.ask()
        second = [each.answer() for each in others]
        left = keys.ours() - before
        credential_for(TLSConfig(client_certificate=from_pem(certificates.other_client_rsa)))
        swept = during - keys.ours()  # B87: the dead one's, and nobody else's
        for each in others:
            each.close()

    assert (["a mail client"] * 8, ["a mail client"] * 7) == (first, second)
    assert (8, 8, 1) == (len(during), len(left), len(swept))
    forget()
    assert before == keys.ours()
