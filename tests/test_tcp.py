from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from schannel_ffi import tcp
from schannel_ffi.errors import TLSError, TLSTimeout
from schannel_ffi.tcp import ConnectError, ConnectRefused, ResolveError, interleave, open_connection

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Make every name resolve to these addresses."""

    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (V6 if ":" in host else V4, socket.SOCK_STREAM, 6, "", (host, port))
            for host, port in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[127.0.0.1]"])
def test_connects_to_names_and_literals(listener: socket.socket, host: str) -> None:
    port = listener.getsockname()[1]

    with open_connection(host, port, deadline=soon()) as sock:
        assert sock.getpeername()[1] == port
        assert sock.gettimeout() == 0
        assert not sock.get_inheritable()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_connects_to_ipv6_literals(host: str) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with listener, open_connection(host, listener.getsockname()[1], deadline=soon()) as sock:
        assert sock.family == socket.AF_INET6


def test_refused_names_host_port_reason_and_hint(closed_port: int) -> None:
    with pytest.raises(
        ConnectRefused, match=f"127.0.0.1:{closed_port}: 127.0.0.1 .*refused"
    ) as caught:
        open_connection("127.0.0.1", closed_port, deadline=soon())

    assert isinstance(caught.value, TLSError)
    assert isinstance(caught.value, ConnectionRefusedError)
    assert caught.value.errno in (errno.ECONNREFUSED, 10061)
    assert "is the port right" in caught.value.hint
    assert "\n" not in str(caught.value)


def test_the_next_address_is_tried_at_once_when_one_fails(
    listener: socket.socket, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_SECONDS", 1000.0)
    port = listener.getsockname()[1]
    resolve_to(monkeypatch, ("127.0.0.1", closed_port), ("127.0.0.1", port))

    with open_connection("name", 1, deadline=soon()) as sock:
        assert sock.getpeername()[1] == port


def test_the_next_address_is_tried_beside_one_that_does_not_answer(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf_port() as deaf:
        port = listener.getsockname()[1]
        resolve_to(monkeypatch, ("127.0.0.1", deaf), ("127.0.0.1", port))
        started = time.monotonic()

        with open_connection("name", 1, deadline=soon()) as sock:
            assert sock.getpeername()[1] == port

    assert time.monotonic() - started < 10


class deaf_port:  # noqa: N801
    """A port that answers no SYN: its queue of connections is full."""

    def __enter__(self) -> int:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        address = self._sockets[0].getsockname()
        for _ in range(4):
            sock = socket.socket()
            sock.settimeout(0.05)
            self._sockets.append(sock)
            if sock.connect_ex(address) != 0:
                return int(address[1])
        self.__exit__()
        pytest.skip("this machine's connection queues have no end")

    def __exit__(self, *unused: object) -> None:
        for sock in self._sockets:
            sock.close()


def test_the_deadline_ends_attempts() -> None:
    with deaf_port() as port:
        started = time.monotonic()
        with pytest.raises(TLSTimeout, match=f"connecting to 127.0.0.1:{port} timed out"):
            open_connection("127.0.0.1", port, deadline=soon(0.3))

    assert 0.2 < time.monotonic() - started < 5


def test_the_deadline_ends_name_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait(20) and [])

    with pytest.raises(TLSTimeout, match="resolving name:25 timed out"):
        open_connection("name", 25, deadline=soon(0.2))
    is_over.set()


def test_a_deadline_in_the_past_is_a_timeout() -> None:
    with pytest.raises(TLSTimeout):
        open_connection("127.0.0.1", 25, deadline=time.monotonic() - 1)


def test_an_unknown_name_is_a_resolve_error() -> None:
    with pytest.raises(ResolveError, match=r"cannot resolve .*check the host name") as caught:
        open_connection("no-such-host.invalid", 25, deadline=soon())

    assert isinstance(caught.value, socket.gaierror | TLSError)
    assert "\n" not in str(caught.value)


def test_check_is_called_and_what_it_raises_ends_the_attempt() -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with deaf_port() as port, pytest.raises(KeyboardInterrupt):
        open_connection("127.0.0.1", port, deadline=soon(), check=check)


def test_losers_are_closed(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "ATTEMPT_DELAY_SECONDS", 0.0)
    made: list[socket.socket] = []
    real = socket.socket

    def record(*args: int) -> socket.socket:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(socket, "socket", record)
    address = ("127.0.0.1", listener.getsockname()[1])
    with monkeypatch.context() as patch:
        resolve_to(patch, address, (address[0], address[1]), ("127.0.0.2", address[1]))
        winner = open_connection("name", 1, deadline=soon())

    with winner:
        assert [sock for sock in made if sock.fileno() != -1] == [winner]


def test_the_source_address_is_used(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    with open_connection(
        "127.0.0.1", port, deadline=soon(), source_address=("127.0.0.1", 0)
    ) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_addresses_of_the_other_family_are_not_tried(listener: socket.socket) -> None:
    with pytest.raises(ConnectError, match=r"source address's family"):
        open_connection(
            "127.0.0.1", listener.getsockname()[1], deadline=soon(), source_address=("::1", 0)
        )


@pytest.mark.parametrize(
    ("host", "port", "source"),
    [
        ("", 25, None),
        ("a b", 25, None),
        ("a\r\n", 25, None),
        ("a\0b", 25, None),
        ("é" * 70, 25, None),
        ("a", 0, None),
        ("a", 65536, None),
        ("127.0.0.1", 25, ("localhost", 0)),
    ],
)
def test_bad_arguments_are_value_errors(
    host: str, port: int, source: tuple[str, int] | None
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        open_connection(host, port, deadline=soon(), source_address=source)


def test_families_take_turns() -> None:
    a, b, c = ((V6, (name,)) for name in "abc")
    x, y = ((V4, (name,)) for name in "xy")

    assert interleave([a, b, c, x, y]) == [a, x, b, y, c]
    assert interleave([x, a, b]) == [x, a, b]
    assert interleave([]) == []
