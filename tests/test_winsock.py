"""What Winsock is told besides the bytes (rows 90, 91, 92 and 97)."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import Encrypt, Initialize
from fake_sspi_types import Status
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, ScriptedEngine
from test_engine_scripted_driver import Driver, Winsock

from schannel_ffi import _lib, connect, errors, smtp, tcp

pytest_plugins = ["scripted_fixtures"]
needs_schannel = pytest.mark.schannel

SIO_TCP_INITIAL_RTO = 0x98000011
UNSPECIFIED_RTT, NO_SYN_RETRANSMISSIONS = 0xFFFF, 0xFE
WITHOUT_RETRIES = struct.pack("<HBx", UNSPECIFIED_RTT, NO_SYN_RETRANSMISSIONS)
SIO_IDEAL_SEND_BACKLOG_QUERY = 0x4004747B
SOL_SOCKET, SO_SNDBUF = 0xFFFF, 0x1001
KIB, MIB = 1024, 1024 * 1024
PIECE = b"x" * 16384
LIMIT_S = 20.0


# ------------------------------------------------------------------- uploads over a distance (92)


class DistantPeer(Winsock):
    """Winsock that knows how much the connection can have on the way; None: it does not."""

    def __init__(self, system: FakeSystem) -> None:
        super().__init__(system)
        self.ideal: int | None = 2 * MIB
        self.takes_options = True
        self.asked = 0
        self.options: list[tuple[int, int, int]] = []
        self.held: int | None = 64 * KIB  # None: it does not tell
        system.replace("WSAIoctl", self._ioctl)
        system.replace("getsockopt", self._getsockopt)
        system.replace("setsockopt", self._setsockopt)

    def _ioctl(self, _handle: int, code: int, *rest: Any) -> int:
        given, given_size, answer, size, answered = rest
        assert (SIO_IDEAL_SEND_BACKLOG_QUERY, self._ffi.NULL, 0) == (code, given, given_size)
        self.asked += 1
        if self.ideal is None:
            return self._fail(10045)  # WSAEOPNOTSUPP
        self._ffi.buffer(answer, size)[:] = struct.pack("<I", self.ideal)
        answered[0] = 4
        return 0

    def _getsockopt(self, _handle: int, level: int, name: int, value: Any, size: Any) -> int:
        assert (SOL_SOCKET, SO_SNDBUF, 4) == (level, name, size[0])
        if self.held is None:
            return self._fail(10042)  # WSAENOPROTOOPT
        self._ffi.buffer(value, 4)[:] = struct.pack("<I", self.held)
        return 0

    def _setsockopt(self, _handle: int, level: int, name: int, value: Any, size: int) -> int:
        [number] = struct.unpack("<I", self._ffi.buffer(value, size))
        self.options.append((level, name, number))
        self.held = number if self.takes_options else self.held
        return 0 if self.takes_options else self._fail(10022)  # WSAEINVAL


class Upload(Driver):
    """An open connection to a distant peer."""

    def __init__(self, sspi: FakeSSPI, system: FakeSystem) -> None:
        self.peer = DistantPeer(system)
        super().__init__(ScriptedEngine(sspi, system), self.peer)
        self._sspi = sspi
        sspi.script(
            Initialize(token=HELLO),
            Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        )
        self.open()

    def upload(self, size: int) -> tuple[str, int]:
        pieces, rest = divmod(size, len(PIECE))
        self._sspi.script(*[Encrypt(data=PIECE)] * pieces)
        if rest:
            self._sspi.script(Encrypt(data=PIECE[:rest]))
        return self.send(b"x" * size)


@pytest.fixture
def upload(sspi: FakeSSPI, system: FakeSystem) -> Iterator[Upload]:
    made = Upload(sspi, system)
    yield made
    made.free()


@needs_schannel
def test_large_upload_has_as_much_on_the_way_as_windows_advises(upload: Upload) -> None:
    assert ("OK", 300 * KIB) == upload.upload(300 * KIB)

    assert [(SOL_SOCKET, SO_SNDBUF, 2 * MIB)] == upload.peer.options


@needs_schannel
def test_small_mails_ask_nothing(upload: Upload) -> None:
    for _ in range(3):
        upload.upload(20 * KIB)

    assert (0, []) == (upload.peer.asked, upload.peer.options)


@needs_schannel
def test_advice_is_asked_for_once_a_second_at_most(upload: Upload) -> None:
    began = time.monotonic()
    while upload.peer.asked < 2 and time.monotonic() < began + LIMIT_S:
        upload.upload(300 * KIB)

    assert 2 == upload.peer.asked
    assert time.monotonic() - began >= 0.95


@needs_schannel
@pytest.mark.parametrize(
    ("second", "options"),
    [(4 * MIB, [2 * MIB, 4 * MIB]), (2 * MIB, [2 * MIB]), (64 * KIB, [2 * MIB])],
    ids=["more", "the_same", "less"],
)
def test_buffer_of_the_socket_only_grows(upload: Upload, second: int, options: list[int]) -> None:
    upload.upload(300 * KIB)
    upload.peer.ideal = second
    threading.Event().wait(1.1)  # the age of an advice
    upload.upload(300 * KIB)

    assert options == [number for _, _, number in upload.peer.options]


@needs_schannel
@pytest.mark.parametrize(
    ("ideal", "takes_options", "options"),
    [
        (None, True, 0),
        (0, True, 0),
        (64 * KIB, True, 0),
        (0xFFFFFFFF, True, 0),
        (2 * MIB, False, 1),
    ],
    ids=["not_supported", "zero", "wines", "absurd", "option_refused"],
)
def test_advice_that_is_not_to_be_had_changes_nothing(
    upload: Upload, ideal: int | None, *, takes_options: bool, options: int
) -> None:
    upload.peer.ideal, upload.peer.takes_options, upload.peer.held = ideal, takes_options, 8 * KIB

    assert ("OK", 300 * KIB) == upload.upload(300 * KIB)
    assert options == len(upload.peer.options)


@needs_schannel
@pytest.mark.parametrize("held", [8 * MIB, 2 * MIB, None], ids=["more", "as_much", "untold"])
def test_buffer_that_is_large_enough_stays(upload: Upload, held: int | None) -> None:
    upload.peer.held = held

    assert ("OK", 300 * KIB) == upload.upload(300 * KIB)
    assert [] == upload.peer.options


# ---------------------------------------------------------------- connecting to this machine (90)


class NotedIoctl:
    """Windows of a build, and what its WSAIoctl was asked."""

    def __init__(self, system: FakeSystem) -> None:
        self._ffi = system.engine_ffi
        self.asked: list[tuple[int, int, bytes]] = []
        self.result = 0
        system.replace("WSAIoctl", self._ioctl)

    def _ioctl(self, handle: int, code: int, given: Any, size: int, *_: Any) -> int:
        self.asked.append((handle, code, bytes(self._ffi.buffer(given, size))))
        return self.result


@pytest.fixture
def ioctl(system: FakeSystem) -> Iterator[NotedIoctl]:
    _lib.use_system_table(system.address)
    yield NotedIoctl(system)
    _lib.use_system_table(None)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


ADDRESSES = [
    ("127.0.0.1", True),
    ("127.8.8.8", True),
    ("::1", True),
    ("::ffff:127.0.0.1", True),
    ("192.0.2.1", False),
    ("fe80::1%3", False),
    ("2001:db8::1", False),
]


@needs_schannel
@pytest.mark.parametrize(("address", "is_told"), ADDRESSES, ids=[a for a, _ in ADDRESSES])
def test_connect_to_this_machine_retries_no_syn(
    ioctl: NotedIoctl, address: str, *, is_told: bool
) -> None:
    with socket.socket() as sock:
        _lib.refuse_at_once(sock, (address, 25))
        wanted = (sock.fileno(), SIO_TCP_INITIAL_RTO, WITHOUT_RETRIES)

    assert [wanted] * is_told == ioctl.asked


@needs_schannel
@pytest.mark.parametrize(("build", "count"), [(15063, 0), (16299, 1)], ids=["1703", "1709"])
def test_windows_that_would_take_it_for_254_retries_is_not_told(
    system: FakeSystem, ioctl: NotedIoctl, build: int, count: int
) -> None:
    system.build = build

    with socket.socket() as sock:
        _lib.refuse_at_once(sock, ("127.0.0.1", 25))

    assert count == len(ioctl.asked)


def connect_tls(port: int) -> None:
    connect(("127.0.0.1", port), timeout=LIMIT_S)


def connect_smtp(port: int) -> None:
    smtp.Session("127.0.0.1", port, security="tls").connect()


@needs_schannel
@pytest.mark.parametrize("open_one", [connect_tls, connect_smtp], ids=["tls", "smtp"])
@pytest.mark.parametrize("result", [0, -1], ids=["taken", "failed"])
def test_every_connect_is_prepared_before_it_begins(
    ioctl: NotedIoctl, closed_port: int, open_one: Any, result: int
) -> None:
    ioctl.result = result

    with pytest.raises(errors.TLSError if open_one is connect_tls else smtp.SMTPError):
        open_one(closed_port)

    assert [WITHOUT_RETRIES] == [given for _, _, given in ioctl.asked]


def test_nothing_happens_where_there_is_no_schannel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise errors.UnsupportedPlatform("no Schannel")

    monkeypatch.setattr("schannel_ffi._lib.winsock.require", refuse)

    with socket.socket() as sock:
        _lib.refuse_at_once(sock, ("127.0.0.1", 25))


# --------------------------------------------------------------- a connect that failed (91), (97)


@needs_schannel
def test_failed_connect_is_seen_among_the_exceptional(closed_port: int) -> None:
    with socket.socket() as sock:
        sock.settimeout(0)
        sock.connect_ex(("127.0.0.1", closed_port))
        ready = tcp.wait_ready([sock], LIMIT_S, for_writing=True)

        assert {sock.fileno()} == ready


def test_failed_connect_is_waited_for_by_select_where_there_is_no_poll(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def select(*lists: Any) -> Any:
        asked.append(lists)
        return [], [], [7]

    monkeypatch.setattr("select.select", select)
    monkeypatch.delattr("select.poll", raising=False)

    assert {7} == tcp.wait_ready([7], 5, for_writing=True)
    assert [([], [7], [7], 5)] == asked


def test_child_process_does_not_keep_the_connection_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ours = tcp.open_connection("127.0.0.1", port, deadline=time.monotonic() + LIMIT_S)
        theirs, _ = listener.accept()
    theirs.settimeout(5.0)
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    child = subprocess.Popen(
        waiting,
        close_fds=False,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    with child, theirs:
        ours.close()
        assert b"" == theirs.recv(1)
        assert child.poll() is None
