"""A server that asks for a client certificate later, seen from Python: recv and send meet it (B60).

Scripted SSPI under real sockets: no TLS, no certificate.
"""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    Control,
    Decrypt,
    Encrypt,
    Initialize,
    record,
    seal,
)
from fake_sspi_types import SCHANNEL_SHUTDOWN, ClientBit, Status
from scripted_engine import FINISHED, FLIGHT, HELLO
from waits import in_thread

import schannel_ffi
from schannel_ffi import (
    Renegotiation,
    SocketClosed,
    TLSConfig,
    TLSEngine,
    TLSError,
    TLSSocket,
    TLSTimeout,
    Want,
    _lib,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

ASKED = Status.SEC_I_INCOMPLETE_CREDENTIALS
HELLO_REQUEST = record(HANDSHAKE, b"sealed HelloRequest..")
SECOND_HELLO = record(HANDSHAKE, b"our second hello, sealed")
SECOND_FLIGHT = record(HANDSHAKE, b"the server's second flight, sealed")
SECOND_FINISHED = record(HANDSHAKE, b"our second finished, sealed")
DATA = record(APPLICATION_DATA, b"x" * 40)

OPENING = (
    Initialize(token=HELLO, is_supplied=False),
    Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK, is_supplied=False),
)
SECOND = (
    Decrypt(given=HELLO_REQUEST, status=Status.SEC_I_RENEGOTIATE),
    Initialize(is_restart=True, token=SECOND_HELLO, is_supplied=False),
    Initialize(given=SECOND_FLIGHT, status=ASKED, is_supplied=False),
)
ANSWERED = Initialize(given=SECOND_FLIGHT, token=SECOND_FINISHED, status=Status.SEC_E_OK)
AFTERWARDS = Decrypt(given=DATA, data=b"250 ok")


def goodbye(*, has_chosen: bool) -> tuple[Control, Initialize]:
    """Return the calls that make close_notify."""
    last = record(ALERT, b"sealed close_notify")
    ok = Status.SEC_E_OK
    return Control(token=SCHANNEL_SHUTDOWN), Initialize(
        status=ok, token=last, is_supplied=has_chosen
    )


Choice = Callable[[TLSSocket], Any]
Opened = Callable[[Choice], TLSSocket]


class WatchedSSPI(FakeSSPI):
    """SSPI that calls `on_free` where memory comes back to it."""

    def __init__(self) -> None:
        super().__init__()
        self.on_free: Callable[[], object] = lambda: None

    def _free_buffer(self, memory: Any) -> int:
        self.on_free()
        return super()._free_buffer(memory)


@pytest.fixture
def sspi() -> Iterator[WatchedSSPI]:
    fake = WatchedSSPI()
    yield fake
    gc.collect()
    assert [] == fake.problems()


@pytest.fixture
def ends(sspi: FakeSSPI) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the server's; `_lib` uses the scripted table meanwhile."""
    sspi.protocol = int(ClientBit.TLS_1_2)
    _lib.use_function_table(sspi.address)
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(10.0)
        far.sendall(FLIGHT)
        yield near, far
    _lib.use_function_table(None)


@pytest.fixture
def far(ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    return ends[1]


@pytest.fixture
def opened(sspi: FakeSSPI, ends: tuple[socket.socket, socket.socket]) -> Opened:
    """Open a connection whose `on_client_certificate` is a function that is given the socket."""

    def open_(choose: Choice) -> TLSSocket:
        sspi.script(*OPENING)
        sockets: list[TLSSocket] = []
        config = TLSConfig(
            insecure_skip_verify=True,
            renegotiation=Renegotiation.ALLOW,
            on_client_certificate=lambda _: choose(sockets[0]),
        )
        sockets.append(schannel_ffi.wrap(ends[0], config=config, timeout=10.0))
        return sockets[0]

    return open_


def test_recv_asks_and_then_goes_on(sspi: FakeSSPI, far: socket.socket, opened: Opened) -> None:
    asked: list[threading.Thread] = []

    with opened(lambda _: asked.append(threading.current_thread())) as client:
        sspi.script(*SECOND, ANSWERED, AFTERWARDS, *goodbye(has_chosen=True))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT + DATA)
        received = client.recv(100)

    assert (b"250 ok", [threading.current_thread()]) == (received, asked)


def test_function_may_use_the_socket_for_what_needs_no_records(
    sspi: FakeSSPI, far: socket.socket, opened: Opened
) -> None:
    seen: list[object] = []

    def look(client: TLSSocket) -> None:
        seen.extend([client.version(), client.pending(), client.has_pending, client.gettimeout()])

    with opened(look) as client:
        sspi.script(*SECOND, ANSWERED, AFTERWARDS, *goodbye(has_chosen=True))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT + DATA)
        assert b"250 ok" == client.recv(100)

    assert ["TLSv1.2", 0, 10.0] == [seen[0], seen[1], seen[3]]


def test_function_may_close_the_socket(sspi: FakeSSPI, far: socket.socket, opened: Opened) -> None:
    client = opened(lambda client: client.close())
    sspi.script(*SECOND, *goodbye(has_chosen=False))
    far.sendall(HELLO_REQUEST + SECOND_FLIGHT)

    with pytest.raises(SocketClosed):
        client.recv(100)

    assert -1 == client.fileno()


@pytest.mark.parametrize("use", ["recv", "sendall"])
def test_function_that_reads_or_writes_is_told_that_it_waits_for_itself(
    sspi: FakeSSPI, far: socket.socket, opened: Opened, use: str
) -> None:
    uses: dict[str, Choice] = {
        "recv": lambda client: client.recv(1),
        "sendall": lambda client: client.sendall(b"x"),
    }
    client = opened(uses[use])
    sspi.script(*SECOND, *goodbye(has_chosen=False))
    far.sendall(HELLO_REQUEST + SECOND_FLIGHT)

    with pytest.raises(TLSError, match="waits for its client certificate"):
        client.recv(100)


def test_exception_of_the_function_closes_the_socket(
    sspi: FakeSSPI, far: socket.socket, opened: Opened
) -> None:
    def fail(_: TLSSocket) -> object:
        raise KeyError("no card in the reader")

    client = opened(fail)
    sspi.script(*SECOND, *goodbye(has_chosen=False))
    far.sendall(HELLO_REQUEST + SECOND_FLIGHT)

    with pytest.raises(KeyError):
        client.recv(100)

    assert -1 == client.fileno()


def test_exception_of_the_function_closes_a_socket_that_has_files(
    sspi: FakeSSPI, far: socket.socket, opened: Opened
) -> None:
    def fail(_: TLSSocket) -> object:
        raise KeyError("no card in the reader")

    client = opened(fail)
    with client.makefile("rb") as file:
        sspi.script(*SECOND, *goodbye(has_chosen=False))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT)

        with pytest.raises(KeyError):
            file.read(1)

        assert -1 == client.fileno()


def test_nobody_goes_on_while_the_answer_is_being_taken(
    sspi: WatchedSSPI, far: socket.socket, opened: Opened
) -> None:
    waited: list[bool] = []

    def look(client: TLSSocket) -> None:
        thread = threading.Thread(target=lambda: client.has_pending)
        thread.start()
        thread.join(0.3)
        waited.append(thread.is_alive())

    def choose(client: TLSSocket) -> None:
        def when_issuers_come_back() -> None:
            sspi.on_free = lambda: None
            look(client)

        sspi.on_free = when_issuers_come_back

    sspi.issuers = [b"an authority"]
    with opened(choose) as client:
        sspi.script(*SECOND, ANSWERED, AFTERWARDS, *goodbye(has_chosen=True))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT + DATA)
        received = client.recv(100)

    assert (b"250 ok", [True]) == (received, waited)


def test_question_behind_the_handshake_is_told_and_can_be_answered(sspi: FakeSSPI) -> None:
    sspi.script(
        *OPENING,
        Decrypt(given=DATA, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(DATA))),
        Initialize(given=DATA, status=ASKED, is_supplied=False),
        Initialize(given=DATA, status=Status.SEC_E_OK),
    )
    _lib.use_function_table(sspi.address)
    config = TLSConfig(insecure_skip_verify=True)
    with TLSEngine(config, asks_for_credential=True) as engine:
        engine.handshake()
        engine.feed(FLIGHT)
        assert Want.VERIFY is engine.handshake()
        engine.verify()
        engine.feed(DATA)

        with pytest.raises(TLSError, match=r"client certificate.*provide_credential"):
            engine.read()
        engine.provide_credential(None)

        assert engine.read() is None
    _lib.use_function_table(None)


def test_time_that_is_over_behind_the_answer_leaves_the_question(
    sspi: FakeSSPI, far: socket.socket, opened: Opened
) -> None:
    asked: list[int] = []
    is_asked, is_over = threading.Event(), threading.Event()

    def send_for_long(client: TLSSocket) -> None:
        with client._use.writing:
            is_asked.set()
            is_over.wait(10.0)

    def choose(client: TLSSocket) -> None:
        asked.append(1)
        if len(asked) == 1:
            threading.Thread(target=send_for_long, args=(client,)).start()
            is_asked.wait(10.0)

    with opened(choose) as client:
        sspi.script(*SECOND, ANSWERED, AFTERWARDS, *goodbye(has_chosen=True))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT + DATA)
        client.settimeout(0.3)
        with pytest.raises(TLSTimeout):
            client.recv(100)
        is_over.set()
        client.settimeout(10.0)

        assert (b"250 ok", [1, 1]) == (client.recv(100), asked)


def test_sender_waits_for_the_answer_to_the_receivers_question(
    sspi: FakeSSPI, far: socket.socket, opened: Opened
) -> None:
    is_asked, may_answer = threading.Event(), threading.Event()

    def think(_: TLSSocket) -> None:
        is_asked.set()
        may_answer.wait(10.0)

    with opened(think) as client:
        sspi.script(*SECOND, ANSWERED, Encrypt(data=b"hello"), AFTERWARDS)
        sspi.script(*goodbye(has_chosen=True))
        far.sendall(HELLO_REQUEST + SECOND_FLIGHT)
        with in_thread(lambda: client.recv(100)) as receiver:
            assert is_asked.wait(10.0)
            with in_thread(lambda: client.sendall(b"hello")) as sender:
                sender.thread.join(0.3)
                waited = sender.thread.is_alive()
                may_answer.set()
            sent, wanted = b"", SECOND_FINISHED + seal(b"hello")
            while not sent.endswith(wanted) and (part := far.recv(10_000)):
                sent += part
            far.sendall(DATA)  # not before: the two threads would race for the next call

    assert ([], [], True) == (receiver.error, sender.error, waited)
    assert sent.endswith(wanted)
