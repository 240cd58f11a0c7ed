"""The server's role on real connections: the stdlib's clients (OpenSSL), and our own.

Runs on Windows and under Wine 9 and later. Other clients, which are programs of the host, are in
test_server_interop.py.
"""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from certs import HOST, Certificates, Identity, pfx
from clients import stream
from schannel_server import SchannelServer, leave, needs_server_role, wine_never_asks
from windows_keys import add_to_store
from wire import TIME_LIMIT_S

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    CertificateReason,
    ClientAuthentication,
    ClientCertificate,
    HandshakeError,
    PeerAlert,
    ServerCertificate,
    TLSConfig,
    TLSTimeout,
    TLSVersion,
    TruncatedStream,
    TrustStore,
    _lib,
)

pytestmark = [pytest.mark.schannel, needs_server_role]

MIB = 1 << 20
PASSWORD = "pass word"
HANDSHAKE_FAILURE, UNKNOWN_CA, CERTIFICATE_REQUIRED = 40, 48, 116  # RFC 8446, 6
OLD_HELLO = bytes.fromhex("802e0103010015000000100000050000040000030000 2f000035").ljust(48, b"x")

Configure = Callable[..., TLSConfig]


@pytest.fixture(scope="module", autouse=True)
def keys_of_servers_are_deleted_at_the_end() -> Iterator[None]:
    yield
    _lib.use_system_table(None)  # forget the credentials that are kept for later
    gc.collect()


@pytest.fixture(scope="session")
def identity(certificates: Certificates) -> Identity:
    return certificates.server_role


@pytest.fixture
def config(identity: Identity) -> Configure:
    def configure(**settings: object) -> TLSConfig:
        own = ServerCertificate.from_pem(identity.chain_pem, identity.key_pem)
        settings.setdefault("server_certificate", own)
        return TLSConfig(**settings)  # type: ignore[arg-type]

    return configure


@pytest.fixture
def client_context(identity: Identity, tls_version: ssl.TLSVersion) -> ssl.SSLContext:
    context = identity.client_context()
    context.minimum_version = context.maximum_version = tls_version
    return context


def is_tls13(context: ssl.SSLContext) -> bool:
    return context.maximum_version is ssl.TLSVersion.TLSv1_3


def tcp_to(server: SchannelServer) -> socket.socket:
    return socket.create_connection(server.address, TIME_LIMIT_S)


def connect(server: SchannelServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    sock = tcp_to(server)
    try:
        return context.wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def answer_of(server: SchannelServer, context: ssl.SSLContext) -> bytes:
    with connect(server, context) as client:
        client.sendall(b"hello")
        data = client.recv(100)
        client.unwrap().close()
        return data


# --- what is negotiated -----------------------------------------------------------------------


def test_data_goes_both_ways_and_both_sides_agree_on_the_version(
    config: Configure, client_context: ssl.SSLContext, tls_version: ssl.TLSVersion
) -> None:
    with SchannelServer(config()) as server, connect(server, client_context) as client:
        client.sendall(b"hello")
        assert b"hello" == client.recv(100)
        client.unwrap().close()
        session = server.session()

        assert tls_version.name.replace("_", ".") == session.version
        assert (None, True, b"hello") == (
            session.error,
            session.has_clean_end,
            bytes(session.received),
        )


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (None, None)],
    ids=["servers_preference", "only_one", "client_without"],
)
def test_alpn_protocol_is_the_servers_choice(
    config: Configure, client_context: ssl.SSLContext, wanted: list[str] | None, chosen: str | None
) -> None:
    if wanted:
        client_context.set_alpn_protocols(wanted)
    with (
        SchannelServer(config(alpn_protocols=("h2", "http/1.1"))) as server,
        connect(server, client_context) as client,
    ):
        assert chosen == client.selected_alpn_protocol()
        client.unwrap().close()
        session = server.session()

    assert (chosen.encode() if chosen else None) == session.alpn


def from_store(identity: Identity) -> Iterator[ServerCertificate]:
    with add_to_store(identity, "MY") as thumbprints:
        yield ServerCertificate.from_store(thumbprint=thumbprints["sha1"])


def from_pfx(identity: Identity) -> Iterator[ServerCertificate]:
    yield ServerCertificate.from_pfx(pfx(identity, PASSWORD.encode()), PASSWORD)


def from_pem(identity: Identity) -> Iterator[ServerCertificate]:
    yield ServerCertificate.from_pem(identity.chain_pem, identity.key_pem)


@pytest.mark.parametrize("source", [from_store, from_pfx, from_pem])
def test_certificate_may_come_from_anywhere(
    config: Configure,
    identity: Identity,
    client_context: ssl.SSLContext,
    source: Callable[[Identity], Iterator[ServerCertificate]],
) -> None:
    for own in source(identity):
        with SchannelServer(config(server_certificate=own)) as server:
            assert b"hello" == answer_of(server, client_context)


def test_server_never_speaks_an_older_version_than_its_settings_say(
    config: Configure, client_context: ssl.SSLContext
) -> None:
    client_context.minimum_version = client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    with SchannelServer(config(minimum_version=TLSVersion.TLSv1_3)) as server:
        with pytest.raises(OSError):  # noqa: PT011 - a reset, where the client had spoken already
            answer_of(server, client_context)
        session = server.session()

    assert isinstance(session.error, HandshakeError)
    assert b"" == session.received


# --- client certificates ----------------------------------------------------------------------


@pytest.fixture
def asking(config: Configure, certificates: Certificates) -> Configure:
    """Make a server's settings that trust the tests' authority."""

    def configure(authentication: ClientAuthentication, **settings: object) -> TLSConfig:
        trust = TrustStore.from_pem(certificates.ca.cert_pem.bytes())
        return config(client_authentication=authentication, trust=trust, **settings)

    return configure


def present(context: ssl.SSLContext, identity: Identity, folder: Path) -> None:
    path = folder / "client.pem"
    path.write_bytes(identity.key_pem + identity.chain_pem)
    context.load_cert_chain(path)


ASKING = [ClientAuthentication.OPTIONAL, ClientAuthentication.REQUIRED]


@wine_never_asks
@pytest.mark.parametrize("authentication", ASKING, ids=["optional", "required"])
def test_client_with_a_good_certificate_is_known(
    asking: Configure,
    certificates: Certificates,
    client_context: ssl.SSLContext,
    tmp_path: Path,
    authentication: ClientAuthentication,
) -> None:
    present(client_context, certificates.client_rsa, tmp_path)
    with SchannelServer(asking(authentication)) as server:
        assert b"hello" == answer_of(server, client_context)
        session = server.session()

    assert "a mail client" in session.client[0].subject


def test_client_without_certificate_may_come_where_it_is_optional(
    asking: Configure, client_context: ssl.SSLContext
) -> None:
    with SchannelServer(asking(ClientAuthentication.OPTIONAL)) as server:
        assert b"hello" == answer_of(server, client_context)

        assert () == server.session().client


def test_client_without_certificate_is_refused_where_it_is_required(
    asking: Configure, client_context: ssl.SSLContext
) -> None:
    with SchannelServer(asking(ClientAuthentication.REQUIRED)) as server:
        with pytest.raises(ssl.SSLError), connect(server, client_context) as client:
            client.recv(1)
        error = server.session().error

    assert isinstance(error, CertificateError)
    assert (CERTIFICATE_REQUIRED if is_tls13(client_context) else HANDSHAKE_FAILURE) == error.alert
    assert CertificateReason.NO_CERTIFICATE is error.reason


@wine_never_asks
@pytest.mark.parametrize("who", ["unknown_ca_client", "client_expired", "server_rsa_only"])
def test_client_with_a_bad_certificate_is_refused_even_where_it_is_optional(
    asking: Configure,
    certificates: Certificates,
    client_context: ssl.SSLContext,
    tmp_path: Path,
    who: str,
) -> None:
    present(client_context, getattr(certificates, who), tmp_path)
    with SchannelServer(asking(ClientAuthentication.OPTIONAL)) as server:
        with pytest.raises(OSError):  # noqa: PT011 - an alert, or the reset that overtook it
            answer_of(server, client_context)
        error = server.session().error

    assert isinstance(error, CertificateError)


# --- what goes wrong --------------------------------------------------------------------------


def test_client_that_refuses_the_certificate_says_why(
    config: Configure, client_context: ssl.SSLContext, certificates: Certificates
) -> None:
    stranger = certificates.unknown_ca.client_context()
    stranger.minimum_version = stranger.maximum_version = client_context.maximum_version
    with (
        SchannelServer(config()) as server,
        stranger.wrap_socket(
            tcp_to(server), server_hostname=HOST, do_handshake_on_connect=False
        ) as client,
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            client.do_handshake()
        error = server.session().error  # before TCP ends: a reset would take the alert along

    assert isinstance(error, PeerAlert)
    assert UNKNOWN_CA == error.alert


@pytest.mark.parametrize(
    "spoken",
    [b"GET / HTTP/1.0\r\n\r\n", b"EHLO client.test\r\n", bytes(64), OLD_HELLO],
    ids=["http", "smtp", "zeros", "sslv2_hello"],
)
def test_who_speaks_no_tls_is_told_as_such(config: Configure, spoken: bytes) -> None:
    with SchannelServer(config()) as server, tcp_to(server) as client:
        client.sendall(spoken)
        with suppress(ConnectionError):
            while client.recv(100):
                pass
        error = server.session().error

    assert isinstance(error, HandshakeError)
    assert "TLS" in str(error)


def test_client_that_goes_before_it_spoke_is_no_mystery(config: Configure) -> None:
    with SchannelServer(config()) as server:
        tcp_to(server).close()
        error = server.session().error

    assert isinstance(error, TruncatedStream)


def test_silent_client_costs_the_timeout_and_no_more(config: Configure) -> None:
    with SchannelServer(config(), timeout=0.3) as server, tcp_to(server):
        error = server.session().error

    assert isinstance(error, TLSTimeout)


def test_handshake_may_come_byte_by_byte(config: Configure, client_context: ssl.SSLContext) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with SchannelServer(config()) as server, tcp_to(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        is_open = False
        while not data:
            try:
                if not is_open:
                    tls.do_handshake()
                    tls.write(b"hello")
                    is_open = True
                data = tls.read(100)
            except ssl.SSLWantReadError:
                flight = outgoing.read()
                for at in range(len(flight)):
                    sock.sendall(flight[at : at + 1])
                if not flight:
                    incoming.write(sock.recv(65536))

    assert b"hello" == data


# --- how it ends ------------------------------------------------------------------------------


def test_server_may_end_first(config: Configure, client_context: ssl.SSLContext) -> None:
    with (
        SchannelServer(config(), serve=leave) as server,
        connect(server, client_context) as client,
    ):
        assert b"bye" == client.recv(100)
        assert b"" == client.recv(100)
        client.unwrap().close()

        assert server.session().has_clean_end


def test_client_that_ends_tcp_alone_is_a_truncation(
    config: Configure, client_context: ssl.SSLContext
) -> None:
    with SchannelServer(config()) as server:
        with connect(server, client_context) as client:
            client.sendall(b"half a mess")
            assert b"half a mess" == client.recv(100)
            client.shutdown(socket.SHUT_WR)
        session = server.session()

    assert isinstance(session.error, TruncatedStream)
    assert b"half a mess" == session.received


# --- much and many ----------------------------------------------------------------------------


def test_16_mib_each_way_arrive(config: Configure, client_context: ssl.SSLContext) -> None:
    data = stream(16 * MIB, seed=1)
    with SchannelServer(config()) as server, connect(server, client_context) as client:
        echoed = bytearray()
        for at in range(0, len(data), 100_000):  # one thread: an SSLSocket does not take two
            client.sendall(data[at : at + 100_000])
            while len(echoed) < min(at + 100_000, len(data)):
                echoed += client.recv(65536)
        client.unwrap().close()

        assert data == echoed == server.session().received


def test_clients_at_once_do_not_disturb_each_other(
    config: Configure, client_context: ssl.SSLContext
) -> None:
    together = threading.Barrier(16)

    def converse(number: int) -> bool:
        data = stream(50_000, seed=number)
        with connect(server, client_context) as client:
            together.wait(TIME_LIMIT_S)
            client.sendall(data)
            echoed = bytearray()
            while len(echoed) < len(data):
                echoed += client.recv(65536)
            client.unwrap().close()
        return data == echoed

    with SchannelServer(config()) as server, ThreadPoolExecutor(16) as pool:
        assert [True] * 16 == list(pool.map(converse, range(16)))
        assert [None] * 16 == [server.session(number).error for number in range(16)]


# --- our own client ---------------------------------------------------------------------------


def ours(server: SchannelServer, identity: Identity, **settings: object) -> schannel_ffi.TLSSocket:
    trust = TrustStore.from_pem(identity.anchor_pem)
    config = TLSConfig(trust=trust, **settings)  # type: ignore[arg-type]
    return schannel_ffi.connect(server.address, config=config, server_hostname=HOST)


def read_exactly(client: schannel_ffi.TLSSocket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += client.recv(65536)
    return bytes(data)


def test_schannel_to_schannel(
    config: Configure, identity: Identity, tls_version: ssl.TLSVersion
) -> None:
    settings = {"alpn_protocols": ("h2",)}
    with (
        SchannelServer(config(**settings)) as server,
        closing(ours(server, identity, **settings)) as client,
    ):
        client.sendall(b"hello")
        assert b"hello" == client.recv(100)
        assert b"h2" == client.alpn_protocol
        client.unwrap().close()
        session = server.session()

    assert (b"h2", tls_version.name.replace("_", "."), None) == (
        session.alpn,
        session.version,
        session.error,
    )


@wine_never_asks
def test_schannel_to_schannel_both_show_certificates(
    asking: Configure, certificates: Certificates, identity: Identity
) -> None:
    own = certificates.client_rsa
    shown = ClientCertificate.from_pem(own.chain_pem, own.key_pem)
    with (
        SchannelServer(asking(ClientAuthentication.REQUIRED)) as server,
        closing(ours(server, identity, client_certificate=shown)) as client,
    ):
        client.sendall(b"hello")
        assert b"hello" == client.recv(100)
        client.unwrap().close()

        assert "a mail client" in server.session().client[0].subject


def test_schannel_to_schannel_large(config: Configure, identity: Identity) -> None:
    data = stream(16 * MIB, seed=2)
    with (
        SchannelServer(config()) as server,
        closing(ours(server, identity)) as client,
        ThreadPoolExecutor(1) as sender,
    ):
        sent = sender.submit(client.sendall, data)
        assert data == read_exactly(client, len(data))
        sent.result(TIME_LIMIT_S)
        client.unwrap().close()

        assert None is server.session().error
