"""One connection, several threads; and waits that end by Ctrl-C, by a deadline, by close()."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from behaviours import after, exchange, leave, sink
from certs import HOST
from clients import CLIENT_LIMIT_S, Connector, read_exactly, stream
from conversation import Ending, Stage
from loopback import RawServer, RefusingAddress, TLSServer, UnansweredAddress
from waits import PATIENCE_S, in_thread, interrupted

import schannel_ffi
from schannel_ffi import TLSTimeout

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]
StartRaw = Callable[..., RawServer]

MIB = 1 << 20
SILENT_STAGES = [Stage.ACCEPTED, Stage.CLIENT_HELLO, Stage.SERVER_HELLO, Stage.FINISHED]
EACH_SILENT_STAGE = pytest.mark.parametrize(
    "stage", SILENT_STAGES, ids=lambda each: each.name.lower()
)


@pytest.fixture
def unanswered() -> Iterator[UnansweredAddress]:
    address = UnansweredAddress()
    with contextlib.closing(address):
        if not address.can_stall:
            pytest.skip("this system refuses when the backlog is full")
        yield address


@pytest.fixture
def refusing() -> Iterator[RefusingAddress]:
    with contextlib.closing(RefusingAddress()) as address:
        yield address


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_64_mib_both_ways_at_once_arrive_unchanged(
    tls_server: StartTLS, connect: Connector
) -> None:
    there, back = stream(64 * MIB, seed=1), stream(64 * MIB, seed=2)
    server = tls_server(serve=exchange(back))

    with connect(server, timeout=120.0) as client, in_thread(lambda: client.sendall(there)):
        received = read_exactly(client, len(back))

    assert back == received
    assert there == server.conversation().received


def test_close_wakes_a_waiting_recv(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(serve=leave, ending=Ending.SILENCE)  # b"" otherwise, when it is quick
    client = connect(server, timeout=None)

    with in_thread(lambda: client.recv(10)) as reader:
        began = time.monotonic()
        client.close()
        reader.thread.join(CLIENT_LIMIT_S)

    assert time.monotonic() - began < PATIENCE_S
    assert isinstance(reader.error.pop(), OSError)


def test_close_wakes_a_waiting_send(tls_server: StartTLS, connect: Connector) -> None:
    gate = threading.Event()
    server = tls_server(serve=after(gate, sink))
    client = connect(server, timeout=None)

    with in_thread(lambda: client.send(bytes(64 * MIB))) as writer:
        client.close()
        writer.thread.join(CLIENT_LIMIT_S)
        gate.set()

    assert isinstance(writer.error.pop(), OSError)


def test_close_by_a_third_thread_ends_reader_and_writer(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(serve=exchange(bytes(64 * MIB)))
    client = connect(server, timeout=None)
    has_read = threading.Event()

    def read_for_ever() -> None:
        while client.recv(65536):
            has_read.set()

    with in_thread(read_for_ever) as reader, in_thread(lambda: write_for_ever(client)) as writer:
        has_read.wait(CLIENT_LIMIT_S)
        client.close()

    assert isinstance(reader.error.pop(), OSError)
    assert isinstance(writer.error.pop(), OSError)


def test_connections_at_once_do_not_disturb_each_other(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()
    failures: list[object] = []

    def converse(number: int) -> None:
        data = stream(100_000, seed=number)
        with connect(server) as client:
            client.sendall(data)
            if data != read_exactly(client, len(data)):
                failures.append(number)

    with contextlib.ExitStack() as threads:
        workers = [threads.enter_context(in_thread(partial(converse, n))) for n in range(16)]

    assert [] == failures + [error for worker in workers for error in worker.error]


# --- Ctrl-C -----------------------------------------------------------------------------------


def test_ctrl_c_ends_a_silent_recv(tls_server: StartTLS, connect: Connector) -> None:
    client = connect(tls_server(), timeout=None)

    assert interrupted(lambda: client.recv(10)) < PATIENCE_S


def test_recv_interrupted_by_ctrl_c_loses_nothing(tls_server: StartTLS, connect: Connector) -> None:
    client = connect(tls_server(), timeout=CLIENT_LIMIT_S)

    interrupted(lambda: client.recv(10))
    client.sendall(b"still here")

    assert b"still here" == read_exactly(client, 10)


def test_ctrl_c_ends_a_send_to_a_deaf_peer(tls_server: StartTLS, connect: Connector) -> None:
    gate = threading.Event()
    client = connect(tls_server(serve=after(gate, sink)), timeout=None)

    waited = interrupted(lambda: client.sendall(bytes(64 * MIB)))
    gate.set()

    assert waited < PATIENCE_S
    with pytest.raises(schannel_ffi.TLSError):  # closed: half a record may have left
        client.sendall(b"x")


def test_ctrl_c_ends_connecting(unanswered: UnansweredAddress) -> None:
    assert (
        interrupted(
            lambda: schannel_ffi.connect(unanswered.address, server_hostname=HOST, timeout=None)
        )
        < PATIENCE_S
    )


@EACH_SILENT_STAGE
def test_ctrl_c_ends_a_handshake(tls_server: StartTLS, connect: Connector, stage: Stage) -> None:
    server = tls_server(stall_at=stage)

    assert interrupted(lambda: connect(server, timeout=None)) < PATIENCE_S


def test_ctrl_c_ends_an_unanswered_unwrap(tls_server: StartTLS, connect: Connector) -> None:
    client = connect(tls_server(serve=sink, ending=Ending.SILENCE), timeout=None)

    assert interrupted(client.unwrap) < PATIENCE_S


# --- deadlines --------------------------------------------------------------------------------


@EACH_SILENT_STAGE
def test_silent_server_ends_the_handshake_at_the_deadline(
    tls_server: StartTLS, connect: Connector, stage: Stage
) -> None:
    server = tls_server(stall_at=stage)
    began = time.monotonic()

    with pytest.raises(TLSTimeout):
        connect(server, timeout=0.3)

    assert 0.25 < time.monotonic() - began < 0.3 + PATIENCE_S


def test_slow_bytes_do_not_move_the_deadline(tls_server: StartTLS, connect: Connector) -> None:
    server = tls_server(stall_after=iter(range(0, 700, 70)))

    for _ in range(0, 700, 70):
        began = time.monotonic()
        with pytest.raises(TLSTimeout):
            connect(server, timeout=0.2)
        assert time.monotonic() - began < 0.2 + PATIENCE_S


def test_unanswered_connect_ends_at_the_deadline(unanswered: UnansweredAddress) -> None:
    began = time.monotonic()

    with pytest.raises(TLSTimeout):
        schannel_ffi.connect(unanswered.address, server_hostname=HOST, timeout=0.3)

    assert time.monotonic() - began < 0.3 + PATIENCE_S


def test_refused_connection_is_told_at_once(refusing: RefusingAddress) -> None:
    began = time.monotonic()

    with pytest.raises(ConnectionRefusedError):
        schannel_ffi.connect(refusing.address, server_hostname=HOST)

    assert time.monotonic() - began < PATIENCE_S


def test_recv_waits_no_longer_than_its_timeout(tls_server: StartTLS, connect: Connector) -> None:
    with connect(tls_server()) as client:
        client.settimeout(0.2)
        began = time.monotonic()
        with pytest.raises(TLSTimeout):
            client.recv(10)

    assert 0.15 < time.monotonic() - began < 0.2 + PATIENCE_S


# --- how it is done ---------------------------------------------------------------------------


def write_for_ever(client: schannel_ffi.TLSSocket) -> None:
    while True:
        client.sendall(bytes(100_000))
