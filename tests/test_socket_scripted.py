"""The socket driver against hostile peers and odd Windows: nothing hangs, nothing false is told.

Fake SSPI and fake ws2_32: no sockets. The number in a comment is the row.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    GRANTED,
    Control,
    Decrypt,
    Initialize,
    record,
)
from fake_sspi_types import INDISPENSABLE, SCHANNEL_SHUTDOWN, Buffer, Flag, Status, ffi
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, ScriptedEngine
from test_engine_scripted_driver import CLOSE_NOTIFY, DATA, RESET, TICKET, Driver, Winsock

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OPENING = (
    Initialize(token=HELLO),
    Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
)
GOODBYE = (
    Control(token=SCHANNEL_SHUTDOWN),
    Initialize(status=Status.SEC_I_CONTEXT_EXPIRED, token=b"goodbye"),
)
SECRET = b"ciphertext that nobody may see"
SLICE_US = 100_000
HEADER = 5
LIMIT_S = 20.0  # of what must not hang
CLOCK_TICK_S = 0.02  # of Windows' clock


class OddSSPI(FakeSSPI):
    """SSPI that leaves DecryptMessage's DATA buffer as it was given where it has no plaintext."""

    has_extra = False

    def _answer_decrypt(self, step: Decrypt, buffers: list[Any], start: Any, size: int) -> None:
        if step.status == Status.SEC_E_OK:
            super()._answer_decrypt(step, buffers, start, size)
        elif self.has_extra:
            extra = buffers[1]
            extra.BufferType, extra.pvBuffer, extra.cbBuffer = Buffer.EXTRA, start, size


class EmptySSPI(FakeSSPI):
    """SSPI for which each record is a good one without application data (row 56)."""

    def _decrypt(self, handle: Any, description: Any, _sequence: int, _quality: Any) -> int:
        data = description.pBuffers[0]
        data.pvBuffer, data.cbBuffer = ffi.cast("uint8_t *", data.pvBuffer) + HEADER, 0
        return Status.SEC_E_OK


class NotedWinsock(Winsock):
    """Winsock that notes each call; with `floods` recv gives the same record for ever."""

    def __init__(self, system: FakeSystem) -> None:
        super().__init__(system)
        self.calls: list[str] = []
        self.asked: list[int] = []
        self.waits_us: list[int] = []
        self.has_received = threading.Event()
        self.floods, self._end = False, time.monotonic() + LIMIT_S

    def _recv(self, handle: int, data: Any, size: int, flags: int) -> int:
        self.calls.append("recv")
        self.asked.append(size)
        self.has_received.set()
        if self.floods:  # not quite: a test that fails must not hang
            self.coming = deque([DATA] if time.monotonic() < self._end else [])
        return super()._recv(handle, data, size, flags)

    def left(self) -> list[bytes | int]:
        return list(self.coming)

    def _select(self, *arguments: Any) -> int:
        self.calls.append("select")
        timeval = self._ffi.buffer(arguments[4], 8)  # two times long, which has 4 bytes on Windows
        seconds, microseconds = struct.unpack("<ii", timeval)
        self.waits_us.append(seconds * 1_000_000 + microseconds)
        is_ready = super()._select(*arguments)
        if not is_ready:  # as select() does: it comes back when its time is over, not before
            threading.Event().wait(self.waits_us[-1] / 1_000_000)
        return is_ready


class NotedDriver(Driver):
    """A driver whose connection is open, on a Winsock that notes."""

    def __init__(self, sspi: FakeSSPI, system: FakeSystem, *, floods: bool = False) -> None:
        self.noted = NotedWinsock(system)
        super().__init__(ScriptedEngine(sspi, system), self.noted)
        sspi.script(*OPENING)
        self.open()
        self.forget()
        self.noted.floods = floods

    def forget(self) -> None:
        self.noted.calls.clear()
        self.noted.asked.clear()

    def recv_all(self) -> list[tuple[str, bytes]]:
        """Return what recv says until it says twice the same."""
        said = [self.recv(0)]
        while said[-1:] != said[-2:-1]:
            said.append(self.recv(0))
        return said[:-1]


@pytest.fixture
def opened(sspi: FakeSSPI, system: FakeSystem) -> Iterator[NotedDriver]:
    driver = NotedDriver(sspi, system)
    yield driver
    driver.free()


@pytest.fixture
def odd(system: FakeSystem) -> Iterator[tuple[OddSSPI, NotedDriver]]:
    """Open a connection by Windows that leaves buffers untouched."""
    sspi = OddSSPI()
    driver = NotedDriver(sspi, system)
    yield sspi, driver
    driver.free()
    assert [] == sspi.problems()


@pytest.fixture
def flooded(system: FakeSystem) -> Iterator[NotedDriver]:
    """Open a connection to a peer that sends empty records for ever."""
    sspi = EmptySSPI()
    driver = NotedDriver(sspi, system, floods=True)
    yield driver
    driver.noted.floods = False
    driver.free()
    assert [] == sspi.problems()


# --- a peer that never stops --------------------------------------------------------------------


@pytest.mark.parametrize("timeout_ms", [0, 50, 400])
def test_recv_from_a_peer_that_never_stops_ends_in_time(
    flooded: NotedDriver, timeout_ms: int
) -> None:
    began = time.monotonic()

    result = flooded.recv(timeout_ms)

    assert ("WANT_TIME", b"") == result
    assert timeout_ms / 1000 - CLOCK_TICK_S <= time.monotonic() - began < LIMIT_S / 4


@pytest.mark.parametrize("call", ["has_unsent", "has_pending", "pending"])
def test_second_thread_gets_in_while_another_moves_bytes(flooded: NotedDriver, call: str) -> None:
    reader = threading.Thread(target=flooded.recv, args=(1500,), daemon=True)
    reader.start()
    assert flooded.noted.has_received.wait(LIMIT_S)

    began = time.monotonic()
    answer = getattr(flooded.lib, f"schan_socket_{call}")(flooded._handle)
    waited, was_reading = time.monotonic() - began, reader.is_alive()
    reader.join(LIMIT_S)

    assert (0, True) == (answer, was_reading)
    assert waited < 0.75


# --- Windows that makes no progress, or leaves buffers as they were -----------------------------


@pytest.mark.parametrize("flight", [FLIGHT, FLIGHT * 2], ids=["one_record", "two_records"])
def test_handshake_that_takes_nothing_of_its_input_fails(
    sspi: FakeSSPI, system: FakeSystem, flight: bytes
) -> None:
    sspi.script(Initialize(token=HELLO), Initialize(given=FLIGHT, extra=len(FLIGHT)))
    driver = Driver(ScriptedEngine(sspi, system), winsock := Winsock(system))
    winsock.coming.append(flight)

    result = driver.handshake()
    driver.free()

    assert ("ERR_HANDSHAKE", Status.SEC_E_INTERNAL_ERROR) == (result, driver.status)


def test_post_handshake_message_that_stays_where_it_is_fails(
    sspi: FakeSSPI, opened: NotedDriver
) -> None:
    sspi.script(
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, extra=len(TICKET)),
    )
    opened.winsock.coming.append(TICKET)

    assert opened.recv()[0].startswith("ERR_")


def test_close_notify_with_untouched_buffers_is_no_data(odd: tuple[OddSSPI, NotedDriver]) -> None:
    sspi, driver = odd
    sealed = record(APPLICATION_DATA, SECRET)
    sspi.script(Decrypt(given=sealed, status=Status.SEC_I_CONTEXT_EXPIRED))
    driver.winsock.coming.append(sealed)

    assert [("CLOSED", b"")] == driver.recv_all()


def test_message_with_untouched_buffers_is_no_data(odd: tuple[OddSSPI, NotedDriver]) -> None:
    sspi, driver = odd
    sealed = record(APPLICATION_DATA, SECRET)
    sspi.script(Decrypt(given=sealed, status=Status.SEC_I_RENEGOTIATE))
    driver.winsock.coming.append(sealed)

    [(result, data)] = driver.recv_all()

    assert ("ERR_SSPI", b"", Status.SEC_I_RENEGOTIATE) == (result, data, driver.status)


def test_message_whose_data_is_the_ciphertext_is_a_message_alone(
    odd: tuple[OddSSPI, NotedDriver],
) -> None:
    sspi, driver = odd
    sspi.has_extra = True
    sealed = record(APPLICATION_DATA, SECRET)
    sspi.script(
        Decrypt(given=sealed, status=Status.SEC_I_RENEGOTIATE),
        Initialize(given=sealed, status=Status.SEC_E_OK, token=b"reply"),
        Decrypt(given=DATA, data=b"250 ok"),
    )
    driver.winsock.coming.append(sealed + DATA)

    assert [("OK", b"250 ok"), ("WANT_TIME", b"")] == driver.recv_all()


# --- what is asked of Winsock -------------------------------------------------------------------

PLAIN = b"220 plaintext again"
REST = len(CLOSE_NOTIFY) - HEADER
ARRIVALS = [  # segments that arrive, how many bytes recv is asked for each time
    ([CLOSE_NOTIFY + PLAIN], [HEADER, REST]),
    ([CLOSE_NOTIFY, PLAIN], [HEADER, REST]),
    ([CLOSE_NOTIFY[:3], CLOSE_NOTIFY[3:] + PLAIN], [HEADER, HEADER - 3, REST]),
    ([CLOSE_NOTIFY[:HEADER], CLOSE_NOTIFY[HEADER:] + PLAIN], [HEADER, REST]),
    ([CLOSE_NOTIFY[:-1], CLOSE_NOTIFY[-1:] + PLAIN], [HEADER, REST, 1]),
]


@pytest.mark.parametrize(
    ("segments", "asked"), ARRIVALS, ids=["one", "apart", "in_header", "behind_header", "in_body"]
)
def test_after_our_close_notify_not_a_byte_more_than_the_record_is_taken(
    sspi: FakeSSPI, opened: NotedDriver, segments: list[bytes], asked: list[int]
) -> None:
    sspi.script(*GOODBYE, Decrypt(given=CLOSE_NOTIFY, status=Status.SEC_I_CONTEXT_EXPIRED))
    opened.shutdown()
    opened.winsock.coming.extend(segments)

    assert ("CLOSED", b"") == opened.recv()
    assert (asked, [PLAIN]) == (opened.noted.asked, opened.noted.left())


def test_after_our_close_notify_records_are_taken_one_by_one(
    sspi: FakeSSPI, opened: NotedDriver
) -> None:
    sspi.script(*GOODBYE, Decrypt(given=DATA, data=b"late"))
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=Status.SEC_I_CONTEXT_EXPIRED))
    opened.shutdown()
    opened.winsock.coming.append(DATA + CLOSE_NOTIFY + PLAIN)

    assert [("OK", b"late"), ("CLOSED", b"")] == opened.recv_all()
    assert [HEADER, len(DATA) - HEADER, HEADER, REST] == opened.noted.asked
    assert [PLAIN] == opened.noted.left()


NEXT_CALLS = [  # timeout of the call behind an idle wait, and what it asks of Winsock
    (1000, ["select", "recv"]),  # no memory before there is something to receive
    (0, ["recv"]),  # it must not wait, so it has to look
]


@pytest.mark.parametrize(("timeout_ms", "calls"), NEXT_CALLS, ids=["waiting", "non_blocking"])
def test_idle_connection_takes_memory_again_only_when_it_is_readable(
    sspi: FakeSSPI, opened: NotedDriver, timeout_ms: int, calls: list[str]
) -> None:
    sspi.script(Decrypt(given=DATA, data=b"250 ok"))
    idle = opened.recv(1)
    opened.forget()
    opened.winsock.coming.append(DATA)

    assert (("WANT_TIME", b""), ("OK", b"250 ok")) == (idle, opened.recv(timeout_ms))
    assert calls == opened.noted.calls


@pytest.mark.parametrize(("timeout_ms", "calls"), NEXT_CALLS, ids=["waiting", "non_blocking"])
def test_answer_to_a_flight_is_waited_for_before_it_is_looked_for(
    sspi: FakeSSPI, system: FakeSystem, timeout_ms: int, calls: list[str]
) -> None:
    sspi.script(*OPENING)
    driver = Driver(ScriptedEngine(sspi, system), noted := NotedWinsock(system))
    noted.coming.append(FLIGHT)

    result = driver.handshake(timeout_ms)
    driver.free()

    assert ("WANT_VERIFY", calls) == (result, noted.calls)


def test_why_a_flight_could_not_be_sent_is_looked_for_at_once(
    sspi: FakeSSPI, system: FakeSystem
) -> None:
    alert = record(ALERT, bytes((2, 40)))
    sspi.script(
        Initialize(token=HELLO), Initialize(given=alert, status=Status.SEC_E_ILLEGAL_MESSAGE)
    )
    driver = Driver(ScriptedEngine(sspi, system), noted := NotedWinsock(system))
    noted.room = deque([1, -RESET])
    noted.coming.append(alert)

    result = driver.handshake()
    driver.free()

    assert ("ERR_ALERT", ["recv"]) == (result, noted.calls)


def test_idle_wait_looks_once_and_then_only_waits(opened: NotedDriver) -> None:
    opened.recv(150)

    assert ["recv", *["select"] * (len(opened.noted.calls) - 1)] == opened.noted.calls


@pytest.mark.parametrize("timeout_ms", [1, 100, 400])
def test_wait_is_cut_in_slices_and_ends_in_time(opened: NotedDriver, timeout_ms: int) -> None:
    began = time.monotonic()

    result = opened.recv(timeout_ms)

    assert ("WANT_TIME", b"") == result
    assert timeout_ms / 1000 - CLOCK_TICK_S <= time.monotonic() - began < LIMIT_S / 4
    assert 0 < max(opened.noted.waits_us) <= SLICE_US


# --- flags that Windows grants ------------------------------------------------------------------


@pytest.mark.parametrize("flags", [0, int(Flag.STREAM)], ids=["none", "some"])
def test_post_handshake_needs_no_flags(sspi: FakeSSPI, opened: NotedDriver, flags: int) -> None:
    sspi.script(
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, status=Status.SEC_E_OK, flags=flags),
        Decrypt(given=DATA, data=b"250 ok"),
    )
    opened.winsock.coming.append(TICKET + DATA)

    assert ("OK", b"250 ok") == opened.recv()


@pytest.mark.parametrize(
    "missing", [flag for flag in Flag if flag in INDISPENSABLE], ids=lambda flag: str(flag.name)
)
def test_first_handshake_needs_each_flag(sspi: FakeSSPI, system: FakeSystem, missing: Flag) -> None:
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, status=Status.SEC_E_OK, flags=GRANTED & ~int(missing)),
    )
    driver = Driver(ScriptedEngine(sspi, system), winsock := Winsock(system))
    winsock.coming.append(FLIGHT)

    result = driver.handshake()
    driver.free()

    assert ("ERR_HANDSHAKE", Status.SEC_E_UNSUPPORTED_FUNCTION) == (result, driver.status)
