"""How a stream ends: close_notify, each direction for itself; FIN and RST; cuts at every byte."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable

import pytest
from behaviours import (
    after,
    echo_plaintext_after_close_notify,
    leave,
    sink,
    take_then_send,
)
from clients import Connector, read_exactly, read_to_end, stream, wine_takes_the_reset_away
from conversation import ClientEnd, Ending
from loopback import TLSServer

from schannel_ffi import ConnectionReset, TLSError, TLSTimeout, TruncatedStream

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

BANNER = [b"220 ready\r\n", b"second record"]
WHOLE = b"".join(BANNER)


def test_close_notify_is_a_clean_end_more_than_once(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(serve=leave)

    with connect(server) as client:
        assert b"" == client.recv(100)
        assert b"" == client.recv(100)
        assert 0 == client.recv_into(bytearray(10))


def test_fin_without_close_notify_is_a_truncation(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(banner=BANNER, serve=leave, ending=Ending.EOF)

    with connect(server) as client:
        assert WHOLE == read_exactly(client, len(WHOLE))
        with pytest.raises(TruncatedStream):
            client.recv(100)


def test_fin_without_close_notify_is_an_end_when_allowed(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(banner=BANNER, serve=leave, ending=Ending.EOF)

    with connect(server, require_close_notify=False) as client:
        data = read_to_end(client)

    assert WHOLE == data


def test_fin_inside_a_record_is_a_truncation_even_when_close_notify_is_not_required(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(banner=BANNER, serve=leave, ending=Ending.EOF)
    connect(server).close()
    almost_all = server.conversation().bytes_sent - 10
    server = tls_server(banner=BANNER, serve=leave, eof_after=almost_all)

    with connect(server, require_close_notify=False) as client, pytest.raises(TruncatedStream):
        read_to_end(client)


@wine_takes_the_reset_away
def test_reset_is_a_connection_reset(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=leave, ending=Ending.RESET)

    with connect(server) as client:
        server.conversation()  # see Channel.reset
        with pytest.raises(ConnectionReset):
            client.recv(100)


def test_silence_is_a_timeout(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=leave, ending=Ending.SILENCE)

    with connect(server) as client:
        client.settimeout(0.2)
        with pytest.raises(TLSTimeout):
            client.recv(100)


@pytest.mark.timeout(300)
def test_eof_at_every_byte_of_a_conversation(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(banner=BANNER, serve=leave, eof_after=itertools.count())
    is_cut = True

    while is_cut:
        received = bytearray()
        error = error_of(server, connect, received)
        conversation = server.conversation()
        is_cut = conversation.is_cut
        assert WHOLE.startswith(received)
        if error is None:
            assert WHOLE == received, f"after {conversation.bytes_sent} bytes"

    assert error is None


def test_server_is_heard_after_our_close_notify(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=take_then_send(WHOLE))

    with connect(server) as client:
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        data = read_to_end(client)

    assert WHOLE == data
    conversation = server.conversation()
    assert (b"request", ClientEnd.CLOSE_NOTIFY) == (conversation.received, conversation.client_end)


def test_server_hears_us_after_its_close_notify(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=leave)

    with connect(server) as client:
        assert b"" == client.recv(100)
        client.sendall(b"still here")

    conversation = server.conversation()
    assert (
        conversation.received,
        conversation.client_end,
    ) == (b"still here", ClientEnd.CLOSE_NOTIFY)


def test_close_behind_sendall_loses_nothing(tls_server: StartTLS, connect: Connector) -> None:
    gate = threading.Event()
    data = stream(1_000_000, seed=1)  # fits into the buffers of both systems
    server = tls_server(serve=after(gate, sink))

    with connect(server) as client:
        client.sendall(data)
    gate.set()

    conversation = server.conversation()
    assert (data, ClientEnd.CLOSE_NOTIFY) == (conversation.received, conversation.client_end)


def test_close_says_close_notify(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()

    connect(server).close()

    assert ClientEnd.CLOSE_NOTIFY is server.conversation().client_end


def test_unwrap_gives_the_plain_socket_back(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=echo_plaintext_after_close_notify)
    client = connect(server)
    client.sendall(b"by TLS")

    with client.unwrap() as plain:
        plain.settimeout(10.0)
        plain.sendall(b"plain")
        answer = plain.recv(100)

    assert b"plain" == answer
    assert b"by TLS" == server.conversation().received


def test_unwrap_times_out_when_the_server_does_not_answer(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(serve=leave, ending=Ending.SILENCE)

    with connect(server) as client:
        client.settimeout(0.2)
        with pytest.raises(TLSTimeout):
            client.unwrap()


@pytest.mark.parametrize("garbage", [b"plaintext", b"\x17\x03\x03\x00\x05abcde"])
def test_bytes_behind_close_notify_are_not_ours(
    tls_server: StartTLS, connect: Connector, garbage: bytes
) -> None:
    server = tls_server(banner=BANNER, serve=leave, raw_after_close_notify=garbage)

    with connect(server) as client:
        data = read_to_end(client)
        again = client.recv(100)

    assert (WHOLE, b"") == (data, again)


def error_of(server: TLSServer, connect: Connector, received: bytearray) -> BaseException | None:
    try:
        with connect(server) as client:
            read_to_end_in_pieces(client, received)
    except TLSError as exc:
        return exc
    return None


def read_to_end_in_pieces(client: object, received: bytearray) -> None:
    while data := client.recv(7):  # type: ignore[attr-defined]
        received += data
