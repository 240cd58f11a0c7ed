"""Handshakes over the loopback interface: versions, names, ALPN, segments, the records behind."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable

import pytest
from behaviours import leave, update_keys_and_echo
from certs import HOST, IDN_A_LABEL, IDN_HOST, Certificates
from clients import Connector, read_exactly, read_to_end, stream
from conversation import Stage
from loopback import TLSServer

import schannel_ffi
from schannel_ffi import HandshakeError, PeerAlert, TLSError, TLSVersion

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

BANNER = b"220 ready\r\n"
PIECES = pytest.mark.parametrize("size", [1, 5, 6, 4096], ids="pieces_of_{}".format)


def test_server_speaks_the_version_of_this_lane(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    server = tls_server()

    with connect(server):
        pass

    assert tls_version.name.replace("_", ".") == server.conversation().version


def test_client_tells_the_version_and_the_cipher(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    server = tls_server()

    with connect(server) as client:
        version, cipher = client.version(), client.cipher()

    assert tls_version.name.replace("_", ".") == version
    assert cipher is not None
    assert cipher[0].startswith("TLS_")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (HOST, HOST),
        (HOST + ".", HOST),  # RFC 6066, 3: without the trailing dot
        (IDN_HOST, IDN_A_LABEL),
        ("127.0.0.1", None),  # RFC 6066, 3: literal addresses are not permitted
        ("::1", None),
    ],
    ids=["name", "trailing_dot", "idn", "ipv4_address", "ipv6_address"],
)
def test_server_name_is_sent(
    tls_server: StartTLS, connect: Connector, host: str, expected: str | None
) -> None:
    server = tls_server()

    with connect(server, host=host, insecure_skip_verify=True):
        pass

    assert expected == server.conversation().server_name


def test_host_of_the_address_is_the_name_unless_told(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    server = tls_server(certificates.ip_address)

    with connect(server, host=None) as client:
        assert client.version()


@pytest.mark.parametrize("listen_on", ["127.0.0.1", "::1"])
def test_localhost_is_tried_by_both_protocols(
    tls_server: StartTLS, connect: Connector, listen_on: str
) -> None:
    server = tls_server(listen_on=listen_on)
    address = ("localhost", server.address[1])
    if listen_on not in {each[4][0] for each in socket.getaddrinfo(*address)}:
        pytest.skip(f"localhost is not {listen_on} on this system")
    config = connect.config(server)

    with schannel_ffi.connect(address, config=config, server_hostname=HOST) as client:
        assert listen_on == client.getpeername()[0]


@pytest.mark.parametrize(
    ("offered", "expected"),
    [(["h2", "smtp"], b"smtp"), ([b"smtp"], b"smtp"), (["h2"], None), ([], None)],
    ids=["second_choice", "only_choice", "no_overlap", "not_offered"],
)
def test_alpn(
    tls_server: StartTLS, connect: Connector, offered: list[str | bytes], expected: bytes | None
) -> None:
    server = tls_server(alpn=["smtp", "imap"])

    with connect(server, alpn_protocols=tuple(offered)) as client:
        selected = client.alpn_protocol

    assert expected == selected
    assert expected == (alpn.encode() if (alpn := server.conversation().alpn) else None)


@PIECES
def test_handshake_in_pieces(tls_server: StartTLS, connect: Connector, size: int) -> None:
    server = tls_server(banner=[BANNER], send_in_pieces_of=size, serve=leave)

    with connect.over(server.connect(paced=True), server) as client:
        data = read_to_end(client)

    assert BANNER == data


@pytest.mark.timeout(300)
def test_handshake_split_at_every_boundary(tls_server: StartTLS, connect: Connector) -> None:
    positions = itertools.count(1)
    server = tls_server(banner=[BANNER], split_at=positions, serve=leave)
    position, sent = 1, 2

    while position < sent:
        with connect.over(server.connect(paced=True), server) as client:
            assert BANNER == read_to_end(client), f"split at {position}"
        position, sent = position + 1, server.conversation().bytes_sent


@PIECES
def test_welcome_in_the_segment_of_the_servers_finished_is_not_lost(
    tls_server: StartTLS, connect: Connector, size: int
) -> None:
    server = tls_server(
        banner=[BANNER], banner_with_finished=True, send_in_pieces_of=size if size < 4096 else None
    )

    with connect(server) as client:
        line = read_exactly(client, len(BANNER))

    assert BANNER == line


def test_welcome_of_one_byte_segments_is_not_lost(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(banner=[BANNER], banner_with_finished=True, send_in_pieces_of=1)

    with connect.over(server.connect(paced=True), server) as client:
        line = read_exactly(client, len(BANNER))

    assert BANNER == line


@pytest.mark.parametrize("tickets", [0, 1, 4], ids="tickets_{}".format)
def test_glued_records_behind_the_handshake_arrive(
    tls_server: StartTLS, connect: Connector, tickets: int
) -> None:
    records = [b"one ", b"two ", stream(40_000, seed=1), b" end"]
    server = tls_server(banner=records, glue=True, tickets=tickets, serve=leave)

    with connect(server) as client:
        data = read_to_end(client)

    assert b"".join(records) == data


def test_certificate_message_over_several_records_in_pieces(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    server = tls_server(certificates.big, banner=[BANNER], send_in_pieces_of=100, serve=leave)

    with connect.over(server.connect(paced=True), server) as client:
        data = read_to_end(client)

    assert BANNER == data


def test_every_flipped_byte_ends_the_handshake(tls_server: StartTLS, connect: Connector) -> None:
    positions = [0, 1, *range(3, 100)]  # RFC 8446, 5.1: the minor version of a record is ignored
    server = tls_server(flip_at=iter(positions), banner=[BANNER], serve=leave)

    for _ in positions:
        with pytest.raises(TLSError), connect(server, timeout=0.5) as client:
            read_to_end(client)


def test_keys_are_updated(
    tls_server: StartTLS, connect: Connector, tls_version: ssl.TLSVersion
) -> None:
    if tls_version is not ssl.TLSVersion.TLSv1_3:
        pytest.skip("KeyUpdate is part of TLS 1.3")
    server = tls_server(serve=update_keys_and_echo)

    with connect(server) as client:
        for line in (b"one", b"two", b"three"):
            client.sendall(line)
            assert line == client.recv(100)


def test_too_old_a_server_is_refused(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(version=ssl.TLSVersion.TLSv1_2)

    with pytest.raises((HandshakeError, PeerAlert)):
        connect(server, minimum_version=TLSVersion.TLSv1_3)

    assert b"" == server.conversation().received


def test_too_new_a_server_is_refused(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(version=ssl.TLSVersion.TLSv1_3)

    with pytest.raises((HandshakeError, PeerAlert)):
        connect(server, maximum_version=TLSVersion.TLSv1_2)

    assert b"" == server.conversation().received


def test_wrap_takes_the_socket_over(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()
    sock = server.connect()

    with connect.over(sock, server) as client:
        assert -1 == sock.fileno()
        assert server.address == client.getpeername()


def test_wrap_continues_after_plaintext(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(banner=[BANNER])
    sock = server.connect()
    server.conversation(at=Stage.ACCEPTED)

    with connect.over(sock, server) as client:
        assert BANNER == read_exactly(client, len(BANNER))


def test_many_connections_one_after_the_other(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()

    for number in range(100):  # Wine's table of handles begins with 64
        with connect(server) as client:
            client.sendall(b"%d" % number)
            assert b"%d" % number == client.recv(100)
