"""What once went wrong with TLSSocket under deaf, hasty and hostile peers, Ctrl-C and close()."""

from __future__ import annotations

import _thread
import contextlib
import gc
import math
import pickle
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from behaviours import Behaviour, after, leave, sink
from certs import HOST
from clients import Connector, read_exactly, read_to_end, stream
from conversation import ClientEnd, Ending, TLSConversation
from loopback import TLSServer

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    ConnectionReset,
    TLSConfig,
    TLSError,
    TLSTimeout,
    TLSVersion,
    WouldBlock,
    errors,
    tcp,
)
from schannel_ffi.errors import CertificateReason

needs_schannel = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

MIB = 1 << 20
LIMIT_S = 30.0  # of what must not hang
PATIENCE_S = 0.5  # of a person who pressed Ctrl-C
SHORT_S = 0.2
PLAIN = b"220 plaintext again\r\n"


# --- servers ----------------------------------------------------------------------------------


def seal_and_end(conversation: TLSConversation, data: bytes) -> bytes:
    """Return the records of `data` and of close_notify, to be sent as they are."""
    records = conversation.encrypt(data) if data else b""
    with contextlib.suppress(OSError):  # it wants the client's close_notify
        conversation.tls.unwrap()
    return records + conversation._outgoing.read()


def end_with(data: bytes, *, behind: bytes = b"", first: Behaviour = leave) -> Behaviour:
    """Send data, close_notify and plaintext `behind` it, in one segment."""

    def send_all_at_once(conversation: TLSConversation) -> None:
        first(conversation)
        conversation.wire.send(seal_and_end(conversation, data) + behind)
        conversation.channel.drain()

    return send_all_at_once


class FastSink:
    """A server that takes what comes as fast as it can, without looking at it."""

    def __init__(self) -> None:
        self.is_taking = threading.Event()

    def __call__(self, conversation: TLSConversation) -> None:
        with contextlib.suppress(ConnectionError):
            while conversation.channel.recv():
                self.is_taking.set()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Hold a server back; opened when the test ends."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def deaf(
    tls_server: StartTLS, connect: Connector, gate: threading.Event
) -> tuple[TLSServer, schannel_ffi.TLSSocket]:
    """A server that reads only when the gate is open, and its client."""
    server = tls_server(serve=after(gate, sink))
    return server, connect(server, timeout=SHORT_S)


Deaf = tuple[TLSServer, schannel_ffi.TLSSocket]


# --- sending to a peer that stops reading -------------------------------------------------------


def until_done(call: Callable[[], object], *, late: Callable[[], object]) -> int:
    """Repeat a call until it does not time out; return how often it did. `late` runs each time."""
    for times in range(10_000):
        try:
            call()
        except TLSTimeout:
            late()
        else:
            return times
    raise AssertionError("it never came to its end")


@pytest.mark.not_over_the_model(reason="the model fills no buffers in so short a time")
@needs_schannel
def test_send_after_a_timeout_tells_what_was_taken_over(deaf: Deaf, gate: threading.Event) -> None:
    server, client = deaf
    data = stream(16 * MIB, seed=1)

    taken = client.send(data)
    with pytest.raises(TLSTimeout):  # noqa: PT012 - the peer's buffers may grow for a while
        while taken < len(data):
            taken += client.send(data[taken:])
    gate.set()
    client.settimeout(LIMIT_S)
    client.sendall(data[taken:])
    client.close()

    assert 0 < taken < len(data)
    assert data == server.conversation().received


@needs_schannel
@pytest.mark.parametrize("size", [64 * 1024, 16 * MIB], ids=["small_buffer", "large_buffer"])
def test_buffered_writer_delivers_every_byte_once(
    deaf: Deaf, gate: threading.Event, size: int
) -> None:
    server, client = deaf
    data = stream(16 * MIB, seed=2)
    file = client.makefile("wb", size)

    timeouts = 0
    for start in range(0, len(data), size):
        assert size == file.write(data[start : start + size])  # fits into the buffer
        timeouts += until_done(file.flush, late=gate.set)
    client.close()
    file.close()

    assert timeouts > 0
    assert data == server.conversation().received


LATE = [(SHORT_S, TLSTimeout), (0.0, WouldBlock)]
EACH_LATE = pytest.mark.parametrize(("timeout", "kind"), LATE, ids=["timeout", "non_blocking"])


@needs_schannel
@EACH_LATE
def test_sendall_continued_at_bytes_sent_delivers_every_byte_once(
    deaf: Deaf, gate: threading.Event, timeout: float, kind: type[TLSTimeout | WouldBlock]
) -> None:
    server, client = deaf
    data = stream(16 * MIB, seed=3)
    client.settimeout(timeout)

    with pytest.raises(kind) as raised:
        client.sendall(data)
    sent = getattr(raised.value, "bytes_sent", 0)
    gate.set()
    client.settimeout(LIMIT_S)
    client.sendall(data[sent:])
    client.close()

    assert 0 < sent < len(data)
    assert data == server.conversation().received


@needs_schannel
def test_non_blocking_send_has_unsent_until_it_is_flushed(
    deaf: Deaf, gate: threading.Event
) -> None:
    server, client = deaf
    client.settimeout(0)
    taken = client.send(bytes(16 * MIB))
    was_unsent = client.has_unsent
    gate.set()
    client.settimeout(LIMIT_S)

    nothing = client.send(b"")
    is_unsent = client.has_unsent
    client.close()

    assert (True, 0, False) == (was_unsent, nothing, is_unsent)
    assert taken == len(server.conversation().received)


# --- unwrap -----------------------------------------------------------------------------------


@needs_schannel
@pytest.mark.parametrize("read_before", [1, 4000], ids=["in_a_record", "between_records"])
def test_unwrap_with_unread_data_is_refused_and_loses_nothing(
    tls_server: StartTLS, connect: Connector, read_before: int
) -> None:
    records = [stream(4000, seed=seed) for seed in (4, 5, 6)]
    client = connect(tls_server(banner=records, glue=True, serve=sink))
    begin = read_exactly(client, read_before)

    with pytest.raises(TLSError, match="application data"):
        client.unwrap()

    assert b"".join(records) == begin + read_to_end(client)


@needs_schannel
def test_plaintext_glued_behind_the_answer_to_unwrap_is_read_from_the_plain_socket(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server(serve=end_with(b"", behind=PLAIN, first=sink), ending=Ending.EOF)

    with connect(server).unwrap() as plain, plain.makefile("rb") as lines:
        assert PLAIN == lines.readline()


@needs_schannel
@pytest.mark.parametrize("data", [b"", b"last words"], ids=["nothing", "data_before"])
def test_plaintext_glued_behind_an_unasked_close_notify_is_told(
    tls_server: StartTLS, connect: Connector, data: bytes
) -> None:
    client = connect(tls_server(serve=end_with(data, behind=PLAIN), ending=Ending.EOF))
    read = read_to_end(client)

    with pytest.raises(TLSError, match=f"{len(PLAIN)} bytes"):
        client.unwrap()

    assert data == read


@needs_schannel
@pytest.mark.parametrize("end", ["detach", "unwrap"])
def test_late_question_does_not_close_what_was_given_away(
    tls_server: StartTLS, connect: Connector, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    client = connect(tls_server())
    peer, free = client.getpeername(), client._engine.free

    def be_asked_and_free() -> None:
        monkeypatch.undo()
        with pytest.raises(schannel_ffi.SocketClosed):
            client.pending()  # as another thread may, at this moment
        free()

    monkeypatch.setattr(client._engine, "free", be_asked_and_free)
    given = getattr(client, end)()
    with given if end == "unwrap" else socket.socket(fileno=given) as raw:
        assert peer == raw.getpeername()


# --- has_pending ------------------------------------------------------------------------------


@needs_schannel
def test_has_pending_sees_the_close_notify_behind_the_data(
    tls_server: StartTLS, connect: Connector
) -> None:
    client = connect(tls_server(serve=end_with(b"last words"), ending=Ending.EOF))
    data = client.recv()
    client.settimeout(0)

    has_pending = client.has_pending

    assert (b"last words", True, b"") == (data, has_pending, client.recv())
    assert client.has_pending  # the end stays


@needs_schannel
def test_idle_connection_has_nothing_pending(tls_server: StartTLS, connect: Connector) -> None:
    client = connect(tls_server())
    client.sendall(b"ping")
    client.recv(4)

    assert (False, 0) == (client.has_pending, client.pending())


# --- arguments --------------------------------------------------------------------------------


@needs_schannel
@pytest.mark.parametrize("nbytes", [-1, -(2**31), 11, 2**40])
def test_recv_into_refuses_sizes_that_its_buffer_has_not(
    tls_server: StartTLS, connect: Connector, nbytes: int
) -> None:
    client = connect(tls_server())
    client.sendall(b"0123456789")
    room = bytearray(10)

    with pytest.raises(ValueError, match=r"nbytes is 0\.\.10"):
        client.recv_into(room, nbytes)

    assert (bytes(10), b"0123456789") == (bytes(room), read_exactly(client, 10))


@needs_schannel
def test_wrap_leaves_an_unconnected_socket_to_its_owner(
    tls_server: StartTLS, connect: Connector
) -> None:
    server = tls_server()
    with socket.socket() as raw:
        with pytest.raises(ConnectionReset, match="not connected"):
            schannel_ffi.wrap(raw, config=connect.config(server), server_hostname=HOST)
        raw.settimeout(LIMIT_S)
        raw.connect(server.address)
        client = connect.over(raw, server)

    client.sendall(b"still usable")
    assert b"still usable" == read_exactly(client, 12)


IMPOSSIBLE: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"alpn_protocols": "h2"}, TypeError),
    ({"alpn_protocols": b"h2"}, TypeError),
    ({"alpn_protocols": ("",)}, ValueError),
    ({"alpn_protocols": ("x" * 256,)}, ValueError),
    ({"alpn_protocols": ["x" * 255] * 257}, ValueError),
    ({"revocation_timeout": 0}, ValueError),
    ({"revocation_timeout": -1.0}, ValueError),
    ({"revocation_timeout": 1e-9}, ValueError),
    ({"revocation_timeout": math.inf}, ValueError),
    ({"revocation_timeout": math.nan}, ValueError),
    ({"maximum_version": TLSVersion.TLSv1_1}, ValueError),
]


@pytest.mark.parametrize(("settings", "kind"), IMPOSSIBLE, ids=lambda each: str(each)[:40])
def test_impossible_settings_are_refused_at_once(
    settings: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        TLSConfig(**settings)


# --- exceptions -------------------------------------------------------------------------------

KINDS = sorted(
    {
        each
        for module in (errors, tcp)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, TLSError)
    },
    key=lambda kind: kind.__name__,
)
FACTS = ("symbol", "hint", "alert", "winerror", "errno", "bytes_sent", "reason", "chain")


def example(kind: type[TLSError], **more: Any) -> TLSError:
    """Return an error with all its attributes set."""
    if issubclass(kind, CertificateError):
        more["reason"] = CertificateReason.REVOKED
    error = kind(
        "what failed", symbol="SYM", hint="do this", alert=40, winerror=-2146893042, **more
    )
    if isinstance(error, TLSTimeout | WouldBlock):
        error.bytes_sent = 12345
    return error


@pytest.mark.parametrize("numbers", [{}, {"error_number": 10054}], ids=["default", "winsock"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_errors_survive_pickling(
    kind: type[TLSError], protocol: int, numbers: dict[str, int]
) -> None:
    error = example(kind, **numbers)

    copy = pickle.loads(pickle.dumps(error, protocol))

    assert (kind, "what failed [SYM]; do this") == (type(copy), str(copy))
    assert [getattr(error, name, None) for name in FACTS] == [
        getattr(copy, name, None) for name in FACTS
    ]


# --- forgotten sockets --------------------------------------------------------------------------


@needs_schannel
@pytest.mark.parametrize("action", ["always", "error"], ids=["warnings", "warnings_are_errors"])
def test_forgotten_socket_warns_and_its_connection_ends(
    tls_server: StartTLS, connect: Connector, monkeypatch: pytest.MonkeyPatch, action: Any
) -> None:
    server = tls_server()
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(str(args.exc_value)))
    config = connect.config(server)
    client = schannel_ffi.connect(server.address, config=config, server_hostname=HOST)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        del client
        gc.collect()

    assert ClientEnd.CLOSE_NOTIFY is server.conversation().client_end
    assert any("unclosed <TLSSocket" in text for text in [*told, *(str(w.message) for w in caught)])


# --- close() and Ctrl-C while bytes move ---------------------------------------------------------


class Writer:
    """A thread that sends for ever."""

    def __init__(self, client: schannel_ffi.TLSSocket) -> None:
        self.errors: list[BaseException] = []
        self._client = client
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        data = bytes(64 * MIB)
        try:
            while True:
                self._client.sendall(data)
        except BaseException as exc:  # noqa: BLE001  # the test looks at it
            self.errors.append(exc)


@pytest.fixture
def fast(tls_server: StartTLS, connect: Connector) -> tuple[FastSink, schannel_ffi.TLSSocket]:
    """A fast sink, and its client."""
    sink = FastSink()
    return sink, connect(tls_server(serve=sink, ending=Ending.EOF), timeout=None)


Fast = tuple[FastSink, schannel_ffi.TLSSocket]


@needs_schannel
def test_close_ends_a_send_to_a_fast_sink_at_once(fast: Fast) -> None:
    sink, client = fast
    writer = Writer(client)
    assert sink.is_taking.wait(LIMIT_S)

    began = time.monotonic()
    client.close()
    closed_after = time.monotonic() - began
    writer.thread.join(LIMIT_S)
    ended_after = time.monotonic() - began

    assert closed_after < 1.0
    assert ended_after < 1.0
    assert [schannel_ffi.SocketClosed] == [type(error) for error in writer.errors]


QUESTIONS: list[tuple[str, Callable[[schannel_ffi.TLSSocket], object]]] = [
    ("pending", lambda client: client.pending()),
    ("has_pending", lambda client: client.has_pending),
    ("has_unsent", lambda client: client.has_unsent),
    ("version", lambda client: client.version()),
    ("cipher", lambda client: client.cipher()),
    ("peer_certificates", lambda client: client.peer_certificates),
]


@needs_schannel
@pytest.mark.parametrize("ask", [ask for _, ask in QUESTIONS], ids=[name for name, _ in QUESTIONS])
def test_questions_are_answered_while_another_thread_sends(
    fast: Fast, ask: Callable[[schannel_ffi.TLSSocket], object]
) -> None:
    sink, client = fast
    writer = Writer(client)
    assert sink.is_taking.wait(LIMIT_S)

    began = time.monotonic()
    ask(client)
    answered_after = time.monotonic() - began
    client.close()
    writer.thread.join(LIMIT_S)

    assert answered_after < 1.0


@needs_schannel
def test_ctrl_c_arrives_in_a_long_send_to_a_fast_sink(fast: Fast) -> None:
    sink, client = fast
    pressed: list[float] = []

    def press() -> None:
        assert sink.is_taking.wait(LIMIT_S)
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    finger = threading.Thread(target=press, daemon=True)
    finger.start()
    with pytest.raises(KeyboardInterrupt):
        client.sendmsg([bytes(64 * MIB)] * 200)  # some ten seconds and more
    waited = time.monotonic() - pressed[0]
    finger.join(LIMIT_S)

    assert waited < PATIENCE_S
