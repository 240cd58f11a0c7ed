"""The loopback servers do what their arguments say; the peer here is the stdlib's ssl.

Runs on every OS. What is tested is the machinery that the tests of schannel_ffi stand on.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import Callable

import pytest
from behaviours import (
    after,
    echo_plaintext_after_close_notify,
    exchange,
    leave,
    leave_when_spoken_to,
    sink,
    update_keys_and_echo,
)
from certs import HOST, Certificates
from conversation import ClientEnd, Ending, Stage
from loopback import (
    RawServer,
    RefusingAddress,
    TLSServer,
    UnansweredAddress,
    alert_record,
)
from wire import is_wine

LIMIT_S = 10.0
BANNER = b"220 ready\r\n"

StartTLS = Callable[..., TLSServer]
StartRaw = Callable[..., RawServer]


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"], ids=["tls12", "tls13"])
def tls_version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    return ssl.TLSVersion[request.param]


def connect(server: TLSServer, *, host: str = HOST, paced: bool = False) -> ssl.SSLSocket:
    context = server.script.identity.client_context()
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", ssl.Options(0))
    sock = server.connect(paced=paced)
    sock.settimeout(LIMIT_S)
    try:
        return context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
    except BaseException:
        sock.close()
        raise


def read_exactly(client: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.recv(size - len(data))
    return data


def read_to_end(client: ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_echo_server_records_what_came_and_how_it_ended(
    tls_server: StartTLS, tls_version: ssl.TLSVersion
) -> None:
    server = tls_server()

    with connect(server) as client:
        client.sendall(b"hello")
        answer = client.recv(100)
        client.unwrap().close()
    conversation = server.conversation()

    assert b"hello" == answer == conversation.received
    assert tls_version.name.replace("_", ".") == conversation.version
    assert (HOST, ClientEnd.CLOSE_NOTIFY) == (conversation.server_name, conversation.client_end)


def test_client_that_goes_without_close_notify_is_noted(tls_server: StartTLS) -> None:
    server = tls_server()

    connect(server).close()

    assert server.conversation().client_end in (ClientEnd.EOF, ClientEnd.RESET)


@pytest.mark.parametrize("glue", [False, True], ids=["separate", "glued"])
def test_banner_arrives(tls_server: StartTLS, *, glue: bool) -> None:
    server = tls_server(banner=[BANNER, b"more"], glue=glue, serve=leave)

    with connect(server) as client:
        data = read_to_end(client)

    assert data == BANNER + b"more"


def test_banner_shares_the_segment_of_the_servers_finished(tls_server: StartTLS) -> None:
    server = tls_server(banner=[BANNER], banner_with_finished=True)
    context, incoming, outgoing = server.script.identity.client_context(), *bios()
    client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)

    with server.connect() as sock:
        while not handshake_is_done(client):
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))

        assert BANNER == client.read()


@pytest.mark.parametrize("size", [1, 5, 200])
def test_paced_pieces_arrive_one_by_one(tls_server: StartTLS, size: int) -> None:
    server = tls_server(banner=[BANNER], send_in_pieces_of=size, serve=leave)
    context, incoming, outgoing = server.script.identity.client_context(), *bios()
    client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    segments: list[int] = []

    with server.connect(paced=True) as sock:
        while not handshake_is_done(client):
            sock.sendall(outgoing.read())
            incoming.write(data := sock.recv(65536))
            segments.append(len(data))

    assert size == max(segments)


def test_eof_comes_after_so_many_bytes(tls_server: StartTLS) -> None:
    server = tls_server(eof_after=itertools.count())

    received = [len(read_until_eof(server)) for _ in range(20)]

    assert list(range(20)) == received


def test_split_position_ends_a_segment(tls_server: StartTLS) -> None:
    server = tls_server(split_at=7)

    with server.connect(paced=True) as sock:
        sock.sendall(client_hello(server))
        first = sock.recv(65536)

    assert 7 == len(first)


@pytest.mark.skipif(is_wine(), reason="Wine: select() takes the error off the socket")
def test_reset_comes_after_so_many_bytes(tls_server: StartTLS) -> None:
    server = tls_server(reset_after=10)

    with server.connect() as sock:
        sock.sendall(client_hello(server))
        assert 10 == len(sock.recv(65536))
        assert server.conversation().is_cut
        with pytest.raises(ConnectionResetError):
            sock.recv(65536)


def test_flipped_byte_breaks_the_handshake(tls_server: StartTLS) -> None:
    server = tls_server(flip_at=60)

    with pytest.raises(ssl.SSLError):
        connect(server)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage < Stage.OPEN])
def test_stalled_server_lets_the_client_wait(tls_server: StartTLS, stage: Stage) -> None:
    server = tls_server(stall_at=stage)
    sock = server.connect()
    sock.settimeout(0.2)

    with sock, pytest.raises(TimeoutError):
        server.script.identity.client_context().wrap_socket(sock, server_hostname=HOST)

    assert stage <= server.conversation().stage


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending.CLOSE_NOTIFY, b""),
        (Ending.EOF, ssl.SSLError),
        (Ending.RESET, ssl.SSLError),  # what the stdlib calls a reset
        (Ending.SILENCE, TimeoutError),
    ],
    ids=["close_notify", "eof", "reset", "silence"],
)
def test_endings(
    tls_server: StartTLS, ending: Ending, expected: bytes | type[BaseException]
) -> None:
    server = tls_server(ending=ending, serve=leave_when_spoken_to)

    with connect(server) as client:
        client.settimeout(0.5)
        client.sendall(b"go on")

        assert expected == outcome(lambda: client.recv(100))


def test_server_hears_what_comes_after_its_close_notify(tls_server: StartTLS) -> None:
    server = tls_server(serve=leave)

    with connect(server) as client:
        assert b"" == client.recv(100)
        client.sendall(b"still here")
        client.unwrap().close()

    assert b"still here" == server.conversation().received


def test_plaintext_goes_on_after_close_notify(tls_server: StartTLS) -> None:
    server = tls_server(serve=echo_plaintext_after_close_notify)

    with connect(server) as client, client.unwrap() as plain:
        plain.sendall(b"plain")

        assert b"plain" == plain.recv(100)


def test_both_directions_at_once(tls_server: StartTLS) -> None:
    data = bytes(range(256)) * 4096
    server = tls_server(serve=exchange(data))

    with connect(server) as client:  # one thread: the stdlib's socket has no lock before 3.13
        received = b""
        for start in range(0, len(data), 10_000):
            client.sendall(data[start : start + 10_000])
            received += client.recv(10_000)
        received += read_exactly(client, len(data) - len(received))
        client.unwrap().close()

    assert data == received == server.conversation().received


def test_keys_are_updated(tls_server: StartTLS) -> None:
    server = tls_server(version=ssl.TLSVersion.TLSv1_3, serve=update_keys_and_echo)

    with connect(server) as client:
        for line in (b"one", b"two"):
            client.sendall(line)
            assert line == client.recv(100)


def test_deaf_server_hears_once_the_gate_opens(tls_server: StartTLS) -> None:
    gate = threading.Event()
    server = tls_server(serve=after(gate, sink))

    with connect(server) as client:
        client.sendall(b"hello")
        assert b"" == server.conversation(at=Stage.OPEN).received
        gate.set()
        client.unwrap().close()

    assert b"hello" == server.conversation().received


def test_alpn_and_client_certificates_are_asked_for(
    tls_server: StartTLS, certificates: Certificates
) -> None:
    server = tls_server(alpn=["smtp"], client_ca=certificates.good.anchor_pem)

    with contextlib.suppress(ssl.SSLError), connect(server) as client:
        client.recv(100)

    assert "peer_did_not_return_a_certificate" == server.conversation().alert


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        ("expired", "certificate has expired"),
        ("not_yet_valid", "certificate is not yet valid"),
        ("wrong_name", "Hostname mismatch"),
        ("name_only_in_subject", "Hostname mismatch"),
        ("ip_address_as_dns_name", "Hostname mismatch"),
        ("nul_in_name", "Hostname mismatch"),
        ("client_only", "purpose"),
        ("any_usage", "purpose"),  # OpenSSL wants serverAuth by name
        ("name_constraints_broken", "permitted subtree"),
        ("critical_unknown_extension", "unhandled critical extension"),
        ("unknown_ca", "self.signed certificate in certificate chain"),
        ("unknown_ca_not_sent", "unable to get local issuer"),
        ("self_signed", "self.signed certificate"),
        ("missing_intermediate", "unable to get local issuer"),
        ("leaf_as_ca", "invalid CA certificate"),
        ("tampered", "certificate signature failure"),
        ("weak_key", "EE certificate key too weak"),
    ],
    ids=lambda value: value.replace(" ", "_"),
)
def test_bad_certificate_is_bad_in_one_way(
    tls_server: StartTLS, certificates: Certificates, situation: str, reason: str
) -> None:
    server = tls_server(getattr(certificates, situation))

    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        connect(server)


@pytest.mark.parametrize(
    "situation",
    ["good", "good_rsa", "many_names", "big", "intermediate", "name_constraints_kept"],
)
def test_good_certificate_is_good(
    tls_server: StartTLS, certificates: Certificates, situation: str
) -> None:
    server = tls_server(getattr(certificates, situation))

    with connect(server) as client:
        client.sendall(b"hello")

        assert b"hello" == client.recv(100)


@pytest.mark.parametrize(
    ("situation", "host", "address"),
    [
        ("ip_address", "127.0.0.1", "127.0.0.1"),
        ("ip_address", "::1", "::1"),
        ("wildcard", "mail.server.test", "127.0.0.1"),
        ("idn", "xn--bcher-kva.test", "127.0.0.1"),
    ],
)
def test_good_name_is_good(
    tls_server: StartTLS, certificates: Certificates, situation: str, host: str, address: str
) -> None:
    server = tls_server(getattr(certificates, situation), listen_on=address)

    with connect(server, host=host) as client:
        assert client.version()


@pytest.mark.parametrize("ending", [Ending.EOF, Ending.RESET, Ending.SILENCE])
def test_raw_server_answers_with_its_bytes(raw_server: StartRaw, ending: Ending) -> None:
    server = raw_server(b"220 smtp ready\r\n", speaks_first=True, ending=ending)

    with contextlib.suppress(ConnectionResetError), server.connect() as sock:
        assert b"220 smtp ready\r\n" == sock.recv(100)


def test_raw_server_takes_the_client_hello_and_sends_an_alert(raw_server: StartRaw) -> None:
    server = raw_server(alert_record(40))
    context = ssl.create_default_context()

    with server.connect() as sock, pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        context.wrap_socket(sock, server_hostname=HOST)

    assert server.conversation().received.startswith(b"\x16\x03")


def test_error_in_a_servers_thread_reaches_the_test(tls_server: StartTLS) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    server = tls_server(serve=fail)

    with connect(server), pytest.raises(ZeroDivisionError):
        server.conversation()


def test_refusing_and_unanswered_addresses() -> None:
    refusing, unanswered = RefusingAddress(), UnansweredAddress()

    with contextlib.closing(refusing), pytest.raises(ConnectionRefusedError):
        socket.create_connection(refusing.address, LIMIT_S)
    with contextlib.closing(unanswered), contextlib.suppress(TimeoutError):
        if unanswered.can_stall:
            socket.create_connection(unanswered.address, 0.2)
            pytest.fail("connected")


def bios() -> tuple[ssl.MemoryBIO, ssl.MemoryBIO]:
    return ssl.MemoryBIO(), ssl.MemoryBIO()


def client_hello(server: TLSServer) -> bytes:
    incoming, outgoing = bios()
    context = server.script.identity.client_context()
    handshake_is_done(context.wrap_bio(incoming, outgoing, server_hostname=HOST))
    return outgoing.read()


def handshake_is_done(client: ssl.SSLObject) -> bool:
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def read_until_eof(server: TLSServer) -> bytes:
    with server.connect() as sock:
        sock.sendall(client_hello(server))
        return b"".join(iter(lambda: sock.recv(65536), b""))


def outcome(call: Callable[[], bytes]) -> bytes | type[BaseException]:
    try:
        return call()
    except ssl.SSLError:  # SSLEOFError only from CPython 3.11.4 on
        return ssl.SSLError
    except OSError as exc:
        return type(exc)
