"""TLSSocket has the methods of a socket, and they do what a socket's do."""

from __future__ import annotations

import array
import contextlib
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from behaviours import after, leave, send_in_two_halves, sink
from clients import Connector, read_exactly, read_to_end, stream
from conversation import ClientEnd
from loopback import TLSServer

import schannel_ffi

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]
UNVERIFIED = {"insecure_skip_verify": True}


@pytest.fixture
def client(tls_server: StartTLS, connect: Connector) -> schannel_ffi.TLSSocket:
    """A client of an echo server."""
    return connect(tls_server())


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        array.array("I", [1, 2, 3]),
        memoryview(b"every second byte")[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "strided"],
)
def test_sendall_takes_every_buffer(
    client: schannel_ffi.TLSSocket, data: bytes | bytearray | memoryview | array.array[int]
) -> None:
    if isinstance(data, memoryview) and not data.contiguous:
        with pytest.raises((BufferError, ValueError, TypeError)):
            client.sendall(data)
        return

    client.sendall(data)

    assert bytes(data) == read_exactly(client, len(bytes(data)))


def test_send_tells_how_much_it_took(client: schannel_ffi.TLSSocket) -> None:
    taken = client.send(b"hello")

    assert b"hello"[:taken] == read_exactly(client, taken)
    assert taken > 0


def test_text_is_refused(client: schannel_ffi.TLSSocket) -> None:
    with pytest.raises(TypeError):
        client.sendall("text")  # the mistake under test


def test_sendall_of_nothing_does_nothing(client: schannel_ffi.TLSSocket) -> None:
    client.sendall(b"")
    client.sendall(b"something")

    assert b"something" == read_exactly(client, 9)


def test_sendmsg_sends_its_buffers_in_a_row(client: schannel_ffi.TLSSocket) -> None:
    parts = [b"one", bytearray(b"two"), memoryview(b"three"), b""]

    taken = client.sendmsg(parts)

    assert b"onetwothree" == read_exactly(client, 11)
    assert 11 == taken


def test_sendmsg_over_several_records(client: schannel_ffi.TLSSocket) -> None:
    parts = [stream(10_000, seed=seed) for seed in range(5)]
    whole = b"".join(parts)

    taken = client.sendmsg(parts)

    assert whole[:taken] == read_exactly(client, taken)


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 40_000], ids="bytes_{}".format)
def test_data_of_many_sizes_comes_back(client: schannel_ffi.TLSSocket, size: int) -> None:
    data = stream(size, seed=size)

    client.sendall(data)

    assert data == read_exactly(client, size)


def test_recv_of_nothing_is_empty_and_takes_nothing(client: schannel_ffi.TLSSocket) -> None:
    client.sendall(b"hello")

    assert b"" == client.recv(0)
    assert b"hello" == read_exactly(client, 5)


def test_recv_refuses_negative_sizes(client: schannel_ffi.TLSSocket) -> None:
    with pytest.raises(ValueError, match="-1"):
        client.recv(-1)


def test_recv_returns_the_rest_of_a_record_first(client: schannel_ffi.TLSSocket) -> None:
    client.sendall(b"abcdef")

    parts = [client.recv(2), client.recv(2), client.recv(100)]

    assert [b"ab", b"cd", b"ef"] == parts


def test_pending_counts_what_needs_no_waiting(client: schannel_ffi.TLSSocket) -> None:
    client.sendall(b"abcdef")

    assert b"ab" == client.recv(2)
    assert 4 == client.pending()


@pytest.mark.parametrize(
    "buffer", [bytearray(10), memoryview(bytearray(10)), array.array("B", 10 * [0])]
)
def test_recv_into_fills_every_writable_buffer(
    client: schannel_ffi.TLSSocket, buffer: bytearray | memoryview | array.array[int]
) -> None:
    client.sendall(b"hello")

    count = client.recv_into(buffer)

    assert (5, b"hello") == (count, bytes(buffer)[:5])


def test_recv_into_takes_no_more_than_told(client: schannel_ffi.TLSSocket) -> None:
    buffer = bytearray(10)
    client.sendall(b"hello")

    assert 2 == client.recv_into(buffer, 2)
    assert b"he" + bytes(8) == buffer


def test_recv_into_refuses_a_read_only_buffer(client: schannel_ffi.TLSSocket) -> None:
    with pytest.raises((TypeError, BufferError)):
        client.recv_into(b"read only")  # the mistake under test


def test_makefile_reads_lines_and_writes(client: schannel_ffi.TLSSocket) -> None:
    with client.makefile("rwb") as file:
        file.write(b"first\r\nsecond\r\n")
        file.flush()

        assert b"first\r\n" == file.readline()
        assert b"second\r\n" == file.readline()


def test_makefile_keeps_the_connection_until_it_is_closed(client: schannel_ffi.TLSSocket) -> None:
    client.sendall(b"line\n")

    with client.makefile("rb") as file:
        client.close()

        assert b"line\n" == file.readline()


def test_addresses_and_fileno_are_those_of_the_connection(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()

    with connect(server) as client:
        assert server.address == client.getpeername()
        assert "127.0.0.1" == client.getsockname()[0]
        assert client.fileno() > 0


def test_timeout_is_that_of_connect_until_it_is_set(
    tls_server: StartTLS, connect: Connector
) -> None:
    with connect(tls_server(), timeout=12.5) as client:
        assert 12.5 == client.gettimeout()
        client.settimeout(None)
        assert client.gettimeout() is None


def test_negative_timeout_is_refused(client: schannel_ffi.TLSSocket) -> None:
    with pytest.raises(ValueError, match="-1"):
        client.settimeout(-1.0)


@pytest.mark.parametrize(("method", "value"), [("settimeout", 0.0), ("setblocking", False)])
def test_recv_without_blocking_says_so(
    client: schannel_ffi.TLSSocket, method: str, value: float
) -> None:
    getattr(client, method)(value)

    with pytest.raises(BlockingIOError):
        client.recv(10)


def test_send_without_blocking_says_so_when_the_peer_is_deaf(
    tls_server: StartTLS, connect: Connector
) -> None:
    gate = threading.Event()
    data, sent = stream(8_000_000, seed=5), 0
    server = tls_server(serve=after(gate, sink))

    with connect(server) as client:
        client.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += client.send(data[sent : sent + 100_000])
        assert sent < len(data)
        gate.set()
        client.settimeout(10.0)
        client.sendall(data[sent:])
        client.unwrap().close()

    assert data == server.conversation().received


def test_recv_timeout_loses_nothing(tls_server: StartTLS, connect: Connector) -> None:
    gate = threading.Event()
    data = stream(30_000, seed=6)
    server = tls_server(serve=send_in_two_halves(data, gate))

    with connect(server) as client:
        client.settimeout(0.1)
        received = bytearray()
        with pytest.raises(schannel_ffi.TLSTimeout):
            read_to_end(client, into=received)
        gate.set()
        client.settimeout(10.0)
        received += read_exactly(client, len(data) - len(received))

    assert data == received


@pytest.mark.parametrize("method", ["send", "sendall"])
def test_send_timeout_tells_what_was_taken_and_the_rest_follows(
    tls_server: StartTLS, connect: Connector, method: str
) -> None:
    gate = threading.Event()
    data, sent = stream(8_000_000, seed=7), 0
    server = tls_server(serve=after(gate, sink))

    with connect(server) as client:
        client.settimeout(0.2)
        try:
            while sent < len(data):
                sent += getattr(client, method)(data[sent:])
        except schannel_ffi.TLSTimeout as timeout:
            sent += timeout.bytes_sent
        assert sent < len(data)
        gate.set()
        client.settimeout(10.0)
        client.sendall(data[sent:])
        client.unwrap().close()

    assert data == server.conversation().received


def test_use_after_close_is_a_clear_error(client: schannel_ffi.TLSSocket) -> None:
    client.close()

    for call in (lambda: client.recv(1), lambda: client.sendall(b"x"), client.getpeername):
        with pytest.raises(schannel_ffi.SocketClosed):
            call()
    assert -1 == client.fileno()


def test_close_twice_is_close_once(client: schannel_ffi.TLSSocket) -> None:
    client.close()
    client.close()

    assert -1 == client.fileno()


def test_detach_gives_the_handle_away(client: schannel_ffi.TLSSocket) -> None:
    handle = client.detach()

    with socket.socket(fileno=handle) as plain:
        assert "127.0.0.1" == plain.getpeername()[0]
    assert -1 == client.fileno()


def test_setsockopt_reaches_the_socket(client: schannel_ffi.TLSSocket) -> None:
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def test_forgotten_socket_warns_and_is_closed(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()

    with pytest.warns(ResourceWarning, match="unclosed"):
        forget(schannel_ffi.connect(server.address, config=connect.config(server, **UNVERIFIED)))

    assert server.conversation().client_end in set(ClientEnd)


def test_socket_is_not_inherited_by_children(client: schannel_ffi.TLSSocket) -> None:
    assert not os.get_handle_inheritable(client.fileno())  # type: ignore[attr-defined]  # Windows


def test_socket_can_be_read_after_a_clean_end(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(banner=[b"bye"], serve=leave)

    with connect(server) as client, client.makefile("rb") as file:
        assert b"bye" == file.read()


@pytest.mark.parametrize("module", ["schannel_ffi", "schannel_ffi.smtp"])
def test_import_loads_no_openssl(module: str) -> None:
    code = f"import sys, {module}; print({{'_ssl', '_hashlib', 'ssl'}} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=50, check=False
    )

    assert (b"set()", b"") == (done.stdout.strip(), done.stderr.strip())


def test_connecting_loads_no_openssl(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server()
    host, port = server.address
    code = (
        "import sys, contextlib, schannel_ffi\n"
        "config = schannel_ffi.TLSConfig(insecure_skip_verify=True)\n"
        f"with schannel_ffi.connect(({host!r}, {port}), config=config) as client:\n"
        "    client.sendall(b'hello'); client.recv(10); client.peer_certificates[0].sha256\n"
        "print({'_ssl', '_hashlib', 'ssl'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=50, check=False
    )

    assert (b"set()", b"") == (done.stdout.strip(), done.stderr.strip())


def forget(client: schannel_ffi.TLSSocket) -> None:
    del client
    gc.collect()
