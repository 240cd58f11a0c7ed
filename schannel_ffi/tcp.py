"""TCP connections under one deadline, on every OS: resolve, race all addresses, keep the first.

How it works: names are resolved in a daemon thread that is left behind when time is up, because
getaddrinfo cannot be interrupted. The addresses are then raced as RFC 8305 describes: families
interleaved, the next attempt 250 ms after the one before or at once when one fails; the first
connection wins and the losers are closed.

Always true here: no wait is longer than 100 ms, so that Ctrl-C works on Windows too; waits are
for exceptional conditions as well, because only there a failed connect shows on Windows
(WSAPoll does not tell, so it is never used).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from schannel_ffi.errors import TLSError, TLSTimeout
from schannel_ffi.server_name import ascii_host

ATTEMPT_DELAY_SECONDS = 0.25
WAIT_SECONDS = 0.1

_IN_PROGRESS = frozenset(
    {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, 10035}  # 10035: WSAEWOULDBLOCK
)
_REFUSED = frozenset({errno.ECONNREFUSED, 10061})  # 10061: WSAECONNREFUSED

_WINSOCK_REASONS = {  # os.strerror knows none of these on Windows
    10013: "permission denied",
    10048: "address already in use",
    10049: "address not available",
    10051: "network is unreachable",
    10053: "connection aborted",
    10054: "connection reset",
    10060: "timed out",
    10061: "connection refused",
    10065: "no route to host",
}

SocketAddress = tuple[Any, ...]
Candidate = tuple[int, SocketAddress]
Prepare = Callable[[socket.socket, SocketAddress], None]


class ConnectError(TLSError, ConnectionError):
    """No address of the host could be connected to; the text names each reason."""


class ConnectRefused(ConnectError, ConnectionRefusedError):
    """Every address refused the connection: nothing listens on that port."""


class ResolveError(ConnectError, socket.gaierror):
    """The host name has no address, or the resolver failed."""


def open_connection(
    host: str,
    port: int,
    *,
    deadline: float,
    source_address: tuple[str, int] | None = None,
    check: Callable[[], None] | None = None,
    prepare: Prepare | None = None,
) -> socket.socket:
    """Connect to `host` and return the socket: non-blocking, TCP_NODELAY set, not inheritable.

    Blocks until connected or `deadline`. The waits are at most 100 ms each.

    Args:
        host: A name or an IPv4 or IPv6 literal, with scope id or in brackets as may be.
        port: 1..65535.
        deadline: time.monotonic() seconds; covers name resolution and every attempt.
        source_address: (IP literal or "", port 0..65535) to connect from. Addresses of the other
            family are then not tried.
        check: Called between waits; what it raises ends the attempt.
        prepare: Called with each socket, and the address, before it connects.

    Returns:
        A connected socket with timeout 0, as it was raced.

    Raises:
        ValueError: the host holds spaces or control characters or cannot be a name, the port
            is out of range, or the source address is no IP literal or its port out of range.
        TLSTimeout: the deadline passed.
        ResolveError: the name could not be resolved.
        ConnectRefused: all addresses refused.
        ConnectError: the addresses failed otherwise, or for different reasons.

    All of these but ValueError are TLSErrors, so that whoever opens a TLS connection needs one
    except clause, and they are the builtin OSErrors of the same meaning, too.

    Source: RFC 8305 sections 4 and 5; Microsoft Learn, "select function (winsock2.h)".
    """
    name = ascii_host(host)
    if not 0 < port < 65536:
        raise ValueError(f"port {port} is not within 1..65535")
    source = _checked_source(source_address)
    candidates = _resolve(name, port, deadline, check)
    if source is not None and source[0]:
        family = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
        candidates = [candidate for candidate in candidates if candidate[0] == family]
    race = _Race(_show(host, port), interleave(candidates), source, prepare)
    return race.run(deadline, check)


def interleave(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates with families taking turns, the first one's family first.

    Source: RFC 8305 section 4.
    """
    first = [item for item in candidates if item[0] == candidates[0][0]]
    others = [item for item in candidates if item[0] != candidates[0][0]]
    mixed: list[Candidate] = []
    for index in range(max(len(first), len(others))):
        mixed += first[index : index + 1] + others[index : index + 1]
    return mixed


def wait_ready(
    sockets: Sequence[socket.socket | int], seconds: float, *, for_writing: bool
) -> set[int]:
    """Wait until sockets can be read or written or have failed, at most `seconds`.

    Returns:
        Their file numbers; empty when time is up.
    """
    numbers = [item if isinstance(item, int) else item.fileno() for item in sockets]
    if not hasattr(select, "poll"):
        readers, writers = ([], numbers) if for_writing else (numbers, [])
        # B91: on Windows a connect that failed shows among the exceptional alone
        ready = select.select(readers, writers, numbers, max(seconds, 0))
        return set().union(*ready)
    poller = select.poll()
    for number in numbers:
        poller.register(number, select.POLLOUT if for_writing else select.POLLIN)
    return {number for number, _ in poller.poll(max(seconds, 0) * 1000)}


def _resolve(
    host: str, port: int, deadline: float, check: Callable[[], None] | None
) -> list[Candidate]:
    """Return the addresses of `host`; a literal needs no resolver and no thread."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        answer = _resolve_in_thread(host, port, deadline, check)
    else:
        answer = _getaddrinfo(host, port)
    if isinstance(answer, OSError | UnicodeError):
        error = ResolveError(
            f"cannot resolve {_show(host, port)}: {_reason(answer)}",
            hint="check the host name and the name servers",
        )
        raise error from answer
    return answer


def _getaddrinfo(host: str, port: int) -> list[Candidate] | OSError | UnicodeError:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        return exc
    return list(dict.fromkeys((int(item[0]), item[4]) for item in found))


def _resolve_in_thread(
    host: str, port: int, deadline: float, check: Callable[[], None] | None
) -> list[Candidate] | OSError | UnicodeError:
    answers: SimpleQueue[list[Candidate] | OSError | UnicodeError] = SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_getaddrinfo(host, port)), name="resolve", daemon=True
    ).start()
    for seconds in _waits(deadline, check):
        with suppress(Empty):
            return answers.get(timeout=seconds)
    raise TLSTimeout(
        f"resolving {_show(host, port)} timed out",
        hint="check the name servers, or raise the timeout",
    )


class _Race:
    """The attempts to reach one host; a socket in `_attempts` is still on its way."""

    def __init__(
        self,
        target: str,
        candidates: Sequence[Candidate],
        source: tuple[str, int] | None,
        prepare: Prepare | None,
    ) -> None:
        self._target = target
        self._waiting = deque(candidates)
        self._source = source
        self._prepare = prepare
        self._attempts: dict[int, tuple[socket.socket, str]] = {}
        self._failures: list[tuple[str, OSError]] = []

    def run(self, deadline: float, check: Callable[[], None] | None) -> socket.socket:
        winner: socket.socket | None = None
        next_start = time.monotonic()
        try:
            for seconds in _waits(deadline, check):
                while winner is None and self._is_due(next_start):
                    winner = self._start()
                    next_start = time.monotonic() + ATTEMPT_DELAY_SECONDS
                if winner is None:
                    winner = self._wait(min(seconds, self._until(next_start)))
                if winner is not None:
                    return _ready_for_use(winner)
                if not self._attempts and not self._waiting:
                    raise self._failure()
            raise TLSTimeout(
                f"connecting to {self._target} timed out{self._reasons()}",
                hint="check host and port, or raise the timeout",
            )
        finally:
            for sock, _ in self._attempts.values():
                sock.close()

    def _is_due(self, next_start: float) -> bool:
        return bool(self._waiting) and (not self._attempts or time.monotonic() >= next_start)

    def _until(self, next_start: float) -> float:
        return next_start - time.monotonic() if self._waiting else WAIT_SECONDS

    def _start(self) -> socket.socket | None:
        """Begin the next attempt; return its socket if it is connected at once."""
        family, address = self._waiting.popleft()
        label = str(address[0])
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)  # B97: no child inherits it (PEP 446)
        except OSError as exc:
            self._failures.append((label, exc))
            return None
        try:
            sock.settimeout(0.0)
            if self._source is not None:
                sock.bind(self._source)
            if self._prepare is not None:
                self._prepare(sock, address)
            code = sock.connect_ex(address)
        except BaseException as exc:
            sock.close()
            if not isinstance(exc, OSError):
                raise
            self._failures.append((label, exc))
            return None
        if code in _IN_PROGRESS:
            self._attempts[sock.fileno()] = (sock, label)
            return None
        return self._settle(sock, label, code)

    def _wait(self, seconds: float) -> socket.socket | None:
        """Wait for attempts to end; return the first that is connected."""
        if not self._attempts:
            return None
        sockets = [sock for sock, _ in self._attempts.values()]
        for number in wait_ready(sockets, seconds, for_writing=True):
            sock, label = self._attempts.pop(number)
            winner = self._settle(sock, label, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            if winner is not None:
                return winner
        return None

    def _settle(self, sock: socket.socket, label: str, code: int) -> socket.socket | None:
        if code == 0:
            return sock
        sock.close()
        self._failures.append(
            (label, OSError(code, _WINSOCK_REASONS.get(code) or os.strerror(code)))
        )
        return None

    def _failure(self) -> ConnectError:
        refused = bool(self._failures) and all(exc.errno in _REFUSED for _, exc in self._failures)
        kind = ConnectRefused if refused else ConnectError
        hint = "is the port right and the server running?" if refused else "check host and port"
        last = self._failures[-1][1] if self._failures else None
        error = kind(
            f"cannot connect to {self._target}{self._reasons()}",
            hint=hint,
            error_number=None if last is None else last.errno,
            winerror=_winsock_number(last),
        )
        error.__cause__ = last
        return error

    def _reasons(self) -> str:
        if not self._failures:
            has_candidates = self._attempts or self._waiting
            return "" if has_candidates else ": it has no address of the source address's family"
        reasons = [f"{label} {_reason(exc)}" for label, exc in self._failures[:4]]
        more = len(self._failures) - len(reasons)
        return ": " + ", ".join(reasons) + (f" and {more} more" if more else "")


def _waits(deadline: float, check: Callable[[], None] | None) -> Iterator[float]:
    """Yield how long to wait next, until the deadline has passed; at least once."""
    while True:
        if check is not None:
            check()
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return
        yield min(remaining, WAIT_SECONDS)


def _ready_for_use(sock: socket.socket) -> socket.socket:
    with suppress(OSError):  # not every transport knows it, and nothing depends on it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _checked_source(source_address: tuple[str, int] | None) -> tuple[str, int] | None:
    """Refuse names, for resolving them would block without a deadline, and impossible ports."""
    if source_address is None:
        return None
    if not 0 <= source_address[1] < 65536:
        raise ValueError(f"source port {source_address[1]} is not within 0..65535")
    if source_address[0]:
        try:
            ipaddress.ip_address(source_address[0])
        except ValueError as exc:
            raise ValueError(f"source address {source_address[0]!r} is not an IP literal") from exc
    return source_address


def _winsock_number(error: OSError | None) -> int | None:
    """Return the number of Winsock, which Python's socket module puts into errno on Windows."""
    return error.errno if error is not None and (error.errno or 0) in _WINSOCK_REASONS else None


def _reason(exc: Exception) -> str:
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return " ".join(text.split()).rstrip(".").lower()


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
