"""The socket driver on a scripted Winsock (rows 32, 52, 61, 64, 65).

Fake SSPI and fake ws2_32: no sockets, no waiting. The number in a comment is the row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    Control,
    Decrypt,
    Encrypt,
    Initialize,
    record,
    seal,
)
from fake_sspi_types import SCHANNEL_SHUTDOWN, Status
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, ScriptedEngine

from schannel_ffi import _lib

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

WOULD_BLOCK, RESET, ABORTED = 10035, 10054, 10053
DATA = record(APPLICATION_DATA, b"x" * 40)
TICKET = record(APPLICATION_DATA, b"ticket" * 5)
CLOSE_NOTIFY = record(APPLICATION_DATA, b"sealed close_notify")
LIMIT_MS = 10_000


class Winsock:
    """recv gives what stands in `coming`, send takes as many bytes as `room` says; below 0 fails.

    A queue that is empty blocks; select then says that the time is over.
    """

    def __init__(self, system: FakeSystem) -> None:
        self.coming: deque[bytes | int] = deque()
        self.room: deque[int] | None = None  # None: as much as is given
        self.sent = b""
        self._error = 0
        self._ffi = system.engine_ffi
        for name in ("recv", "send", "select", "WSAGetLastError"):
            system.replace(name, getattr(self, f"_{name.lower()}"))

    def _fail(self, code: int) -> int:
        self._error = code
        return -1

    def _recv(self, _handle: int, data: Any, size: int, _flags: int) -> int:
        if not self.coming:
            return self._fail(WOULD_BLOCK)
        part = self.coming.popleft()
        if isinstance(part, int):
            return self._fail(-part)
        if len(part) > size:
            self.coming.appendleft(part[size:])
        self._ffi.memmove(data, part[:size], min(size, len(part)))
        return min(size, len(part))

    def _send(self, _handle: int, data: Any, size: int, _flags: int) -> int:
        room = size if self.room is None else self.room.popleft() if self.room else -WOULD_BLOCK
        if room < 0:
            return self._fail(-room)
        self.sent += bytes(self._ffi.buffer(data, min(size, room)))
        return min(size, room)

    def _select(self, _count: int, readable: Any, writable: Any, *_: Any) -> int:
        can_send = self.room is None or bool(self.room)
        return int((bool(readable) and bool(self.coming)) or (bool(writable) and can_send))

    def _wsagetlasterror(self) -> int:
        return self._error


class Driver:
    """A schan_socket on a scripted engine, and a method for each of its functions."""

    def __init__(self, engine: ScriptedEngine, winsock: Winsock) -> None:
        self.ffi, self.lib = _lib.require()
        self.winsock = winsock
        self._engine = engine
        self._err, self._size = self.ffi.new("schan_error *"), self.ffi.new("size_t *")
        out = self.ffi.new("schan_socket **")
        assert self.lib.schan_socket_new(out, engine.disown(), 1, self._err) == 0
        self._handle = out[0]

    def _word(self, result: int) -> str:
        return str(self.ffi.typeof("schan_result").elements[result]).removeprefix("SCHAN_")

    @property
    def status(self) -> int:
        return int(self._err.status)

    def handshake(self, timeout_ms: int = LIMIT_MS) -> str:
        return self._word(self.lib.schan_socket_handshake(self._handle, timeout_ms, self._err))

    def open(self) -> None:
        self.winsock.coming.append(FLIGHT)
        assert self.handshake() == "WANT_VERIFY"
        verdict = self.ffi.new("schan_verdict *")
        engine = self.lib.schan_socket_engine(self._handle)
        assert self.lib.schan_engine_verified(engine, verdict, self._err) == 0
        self.winsock.sent = b""

    def send(self, data: bytes, timeout_ms: int = LIMIT_MS) -> tuple[str, int]:
        pinned = self.ffi.from_buffer("uint8_t[]", data)
        spans = self.ffi.new("schan_span[]", [{"data": pinned, "size": len(data)}])
        result = self.lib.schan_socket_send(
            self._handle, spans, 1, self._size, timeout_ms, self._err
        )
        return self._word(result), int(self._size[0])

    def recv(self, timeout_ms: int = LIMIT_MS) -> tuple[str, bytes]:
        room = self.ffi.new("uint8_t[]", 65536)
        result = self.lib.schan_socket_recv(
            self._handle, room, 65536, self._size, timeout_ms, self._err
        )
        return self._word(result), bytes(self.ffi.buffer(room, self._size[0]))

    def shutdown(self) -> str:
        return self._word(self.lib.schan_socket_shutdown(self._handle, LIMIT_MS, self._err))

    def free(self) -> None:
        self.lib.schan_socket_free(self._handle)
        self._engine.free()


@pytest.fixture
def driver(sspi: FakeSSPI, system: FakeSystem) -> Iterator[Driver]:
    driver = Driver(ScriptedEngine(sspi, system), Winsock(system))
    yield driver
    driver.free()


@pytest.fixture
def opened(sspi: FakeSSPI, driver: Driver) -> Driver:
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    driver.open()
    return driver


def test_handshake_in_one_byte_segments(sspi: FakeSSPI, driver: Driver) -> None:
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    driver.winsock.room = deque([1] * len(HELLO + FINISHED))
    driver.winsock.coming.extend(bytes([byte]) for byte in FLIGHT)

    assert ("WANT_VERIFY", HELLO + FINISHED) == (driver.handshake(), driver.winsock.sent)


@pytest.mark.parametrize("status", [Status.SEC_E_ILLEGAL_MESSAGE, 0x12345678])
def test_alert_of_a_failing_handshake_leaves(sspi: FakeSSPI, driver: Driver, status: int) -> None:
    alert = record(ALERT, bytes((2, 40)))
    sspi.script(  # 32
        Initialize(token=HELLO), Initialize(given=FLIGHT, token=alert, status=status)
    )
    driver.winsock.coming.append(FLIGHT)

    assert ("ERR_HANDSHAKE", HELLO + alert) == (driver.handshake(), driver.winsock.sent)


SHORT_SENDS: list[Callable[[int], list[int]]] = [
    lambda size: [1] * size,
    lambda size: [size - 1, 1],
    lambda size: [1, -WOULD_BLOCK, size - 1],
    lambda size: [-WOULD_BLOCK, size],
]


@pytest.mark.parametrize("room", SHORT_SENDS, ids=["bytes", "all_but_one", "full", "full_first"])
def test_short_sends_lose_nothing(
    sspi: FakeSSPI, opened: Driver, room: Callable[[int], list[int]]
) -> None:
    sspi.script(Encrypt(data=b"NOOP"))  # 52
    opened.winsock.room = deque(room(len(seal(b"NOOP"))))

    assert (("OK", 4), seal(b"NOOP")) == (opened.send(b"NOOP"), opened.winsock.sent)


def test_time_over_in_a_send_counts_what_was_taken_and_it_leaves_first(
    sspi: FakeSSPI, opened: Driver
) -> None:
    sspi.script(Encrypt(data=b"one"), Encrypt(data=b"two"))  # 52
    opened.winsock.room = deque([3])

    late = opened.send(b"one")
    opened.winsock.room = None
    second = opened.send(b"two")

    assert (("WANT_TIME", 3), ("OK", 3)) == (late, second)
    assert seal(b"one") + seal(b"two") == opened.winsock.sent


@pytest.mark.parametrize("code", [RESET, ABORTED])
def test_reset_after_close_notify_is_ignored(sspi: FakeSSPI, opened: Driver, code: int) -> None:
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=Status.SEC_I_CONTEXT_EXPIRED))  # 64
    opened.winsock.coming.extend([CLOSE_NOTIFY, -code])

    assert [("CLOSED", b"")] * 2 == [opened.recv(), opened.recv()]


@pytest.mark.parametrize("code", [RESET, ABORTED])
def test_reset_is_told_by_its_number_after_the_data(
    sspi: FakeSSPI, opened: Driver, code: int
) -> None:
    sspi.script(Decrypt(given=DATA, data=b"250 ok"))
    opened.winsock.coming.extend([DATA, -code])

    delivered, failed = opened.recv(), opened.recv()

    assert (("OK", b"250 ok"), ("ERR_SOCKET", b""), code) == (delivered, failed, opened.status)


@pytest.mark.parametrize(("came", "result"), [(DATA[:9], "_RECORD"), (b"", "")])
def test_eof(opened: Driver, came: bytes, result: str) -> None:
    opened.winsock.coming.extend([came, b""] if came else [b""])  # 65

    assert f"ERR_TRUNCATED{result}" == opened.recv()[0]


def test_send_completes_a_post_handshake_message_by_receiving(
    sspi: FakeSSPI, opened: Driver
) -> None:
    sspi.script(  # 61
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, status=Status.SEC_E_INCOMPLETE_MESSAGE),
        Initialize(given=TICKET + DATA, status=Status.SEC_E_OK, token=b"reply"),
        Encrypt(data=b"NOOP"),
    )
    opened.winsock.coming.append(TICKET)
    waiting = opened.recv(0)
    opened.winsock.coming.extend([DATA[:7], DATA[7:]])

    sent = opened.send(b"NOOP")

    assert (("WANT_TIME", b""), ("OK", 4)) == (waiting, sent)
    assert b"reply" + seal(b"NOOP") == opened.winsock.sent


def test_reply_to_a_post_handshake_message_leaves_while_receiving(
    sspi: FakeSSPI, opened: Driver
) -> None:
    sspi.script(  # 58, 63
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, status=Status.SEC_E_OK, token=b"reply"),
    )
    opened.winsock.coming.append(TICKET)

    assert (("WANT_TIME", b""), b"reply") == (opened.recv(0), opened.winsock.sent)


def test_close_notify_is_flushed(sspi: FakeSSPI, opened: Driver) -> None:
    sspi.script(  # 68
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=Status.SEC_I_CONTEXT_EXPIRED, token=b"goodbye"),
    )
    opened.winsock.room = deque([1] * len(b"goodbye"))

    assert ("OK", b"goodbye") == (opened.shutdown(), opened.winsock.sent)


def test_data_behind_the_handshake_needs_no_second_recv(sspi: FakeSSPI, driver: Driver) -> None:
    sspi.script(  # 22, 25, 66
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        Decrypt(given=DATA, data=b"220 ready"),
    )
    driver.winsock.coming.append(FLIGHT + DATA)
    driver.handshake()
    verdict = driver.ffi.new("schan_verdict *")
    driver.lib.schan_engine_verified(
        driver.lib.schan_socket_engine(driver._handle), verdict, driver.ffi.NULL
    )

    assert ("OK", b"220 ready") == driver.recv(0)
