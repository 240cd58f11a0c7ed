"""TCP as the loopback servers use it: one segment per send, cut where a test wants it cut.

A `Channel` is a connected socket with one deadline; it can be stopped from outside at any moment. A
`Wire` is the outgoing half of one conversation: it counts the bytes that left and obeys a `Shape`.
Positions are counted from the conversation's first byte, on the fly, because two handshakes are
never of equal length.

Always true here: no call waits longer than the deadline; nothing sleeps; TCP_NODELAY is set, so
that one send is one segment. With a pacer the next segment leaves only when the client has taken
the one before.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

READ_BYTES = 65536
TIME_LIMIT_S = 30.0  # of a conversation
_LINGER = "hh" if sys.platform == "win32" else "ii"  # struct linger: u_short on Windows


class Stopped(Exception):  # no error
    """The server is being closed."""


class ConversationOver(Exception):  # no error
    """The script has ended the conversation: cut, reset, or left to stall until the client went."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the bytes of one conversation leave.

    pieces_of: most bytes of a segment; split_at: positions at which a segment ends; *_after:
    position at which the conversation is cut (FIN, RST) or goes silent; flip_at: position of a byte
    that is sent wrong.
    """

    pieces_of: int | None = None
    split_at: frozenset[int] = frozenset()
    eof_after: int | None = None
    reset_after: int | None = None
    stall_after: int | None = None
    flip_at: int | None = None

    @property
    def limit(self) -> int | None:
        limits = (self.eof_after, self.reset_after, self.stall_after)
        return min((limit for limit in limits if limit is not None), default=None)


class Channel:
    """A connected socket; every wait ends at the deadline or when `stop` becomes readable."""

    def __init__(self, sock: socket.socket, stop: socket.socket, deadline: float) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(0.0)
        self._sock = sock
        self._stop = stop
        self.deadline = deadline

    def recv(self) -> bytes:
        """Return what has arrived; b"" at the client's FIN."""
        while True:
            with contextlib.suppress(BlockingIOError):
                return self._sock.recv(READ_BYTES)
            self._wait([self._sock], [])

    def send(self, data: bytes) -> None:
        """Send `data` as one segment, or as few as the window allows."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                self._wait([], [self._sock])

    def end(self) -> None:
        """Send FIN; the other direction stays open."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """Take what comes, unanswered, until the client has gone."""
        with contextlib.suppress(ConnectionError):
            while self.recv():
                pass

    def reset(self) -> None:
        """Close with RST.

        Wine 8: a client that waits in select() meets an end instead, because select() takes the
        error off the socket; one that calls recv() when the RST is there gets it.
        """
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    def _wait(self, readers: list[socket.socket], writers: list[socket.socket]) -> None:
        remaining = max(0.0, self.deadline - time.monotonic())
        readable, writable, _ = select.select([*readers, self._stop], writers, [], remaining)
        if self._stop in readable:
            raise Stopped
        if not readable and not writable:
            raise TimeoutError("the loopback server's deadline has passed")


class Wire:
    """The outgoing bytes of one conversation."""

    def __init__(self, channel: Channel, shape: Shape, pacer: Pacer | None = None) -> None:
        self._channel = channel
        self._shape = shape
        self._pacer = pacer
        self.sent = 0
        self.is_cut = False

    def send(self, data: bytes) -> None:
        """Send `data`, cut by the shape; raise ConversationOver when the shape ends it."""
        self._end_at_limit()
        for piece in self._pieces(data):
            self._channel.send(piece)
            self.sent += len(piece)
            if self._pacer:
                self._pacer.wait_until_taken()
            self._end_at_limit()

    def stop_pacing(self) -> None:
        """Let go of the client's socket: as long as it is held here, closing it sends no FIN."""
        if self._pacer:
            self._pacer.close()
            self._pacer = None

    def stall(self) -> None:
        """Say nothing more; wait until the client has gone."""
        self._channel.drain()
        raise ConversationOver

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start, shape = self.sent, self._shape
        data = _flipped(data, shape.flip_at, start)
        if shape.limit is not None:
            data = data[: shape.limit - start]
        ends = {position - start for position in shape.split_at if 0 < position - start < len(data)}
        if shape.pieces_of:
            ends.update(range(shape.pieces_of, len(data), shape.pieces_of))
        cuts = [0, *sorted(ends), len(data)]
        yield from (data[begin:end] for begin, end in pairwise(cuts) if end > begin)

    def _end_at_limit(self) -> None:
        shape = self._shape
        if shape.limit is None or self.sent < shape.limit:
            return
        self.is_cut = True
        if shape.reset_after == self.sent:
            self._channel.reset()
            raise ConversationOver
        if shape.eof_after == self.sent:
            self._channel.end()
        self.stall()


class Pacer:
    """Sees at the client's end whether it has taken all; this process holds both ends."""

    def __init__(self, client: socket.socket, deadline: float) -> None:
        self._client = client.dup()
        self._deadline = deadline

    def wait_until_taken(self) -> None:
        while self._has_unread_bytes() and time.monotonic() < self._deadline:
            pass

    def close(self) -> None:
        self._client.close()

    def _has_unread_bytes(self) -> bool:
        try:
            return _unread_bytes(self._client) > 0
        except (OSError, ValueError):  # closed
            return False


def each(values: int | Iterator[int] | None) -> Callable[[], int | None]:
    """Make `values` a supply: an iterator gives each connection its next value."""
    if values is None or isinstance(values, int):
        return lambda: values
    return lambda: next(values)


def first_record_length(data: bytes) -> int:
    """Return the length of the first TLS record in `data`, header included."""
    return 5 + int.from_bytes(data[3:5], "big")


def last_record_start(data: bytes) -> int:
    """Return where the last TLS record of `data`, which holds whole records, begins."""
    start = 0
    while (following := start + first_record_length(data[start:])) < len(data):
        start = following
    return start


def _flipped(data: bytes, position: int | None, start: int) -> bytes:
    if position is None or not start <= position < start + len(data):
        return data
    wrong = bytearray(data)
    wrong[position - start] ^= 0xFF
    return bytes(wrong)


def is_wine(*, before: int | None = None) -> bool:
    """Tell whether this Windows is Wine, and of a version before that number where one is given."""
    return 0 < wine_major() and (before is None or wine_major() < before)


if sys.platform == "win32":
    import ctypes

    _FIONREAD = 0x4004667F
    _ws2_32 = ctypes.WinDLL("ws2_32")

    def wine_major() -> int:
        """Return the first number of Wine's version; 0 when this is not Wine."""
        ntdll = ctypes.WinDLL("ntdll")
        if not hasattr(ntdll, "wine_get_version"):
            return 0
        ntdll.wine_get_version.restype = ctypes.c_char_p
        return int(ntdll.wine_get_version().partition(b".")[0])

    def _unread_bytes(sock: socket.socket) -> int:
        """Ask for the number: peek and select err while another thread is in recv (Wine 8)."""
        count = ctypes.c_ulong()
        handle = ctypes.c_void_p(sock.fileno())
        if _ws2_32.ioctlsocket(handle, _FIONREAD, ctypes.byref(count)):
            raise OSError("ioctlsocket failed")
        return count.value

else:
    import fcntl
    import termios

    def wine_major() -> int:
        """Return the first number of Wine's version; 0 when this is not Wine."""
        return 0

    def _unread_bytes(sock: socket.socket) -> int:
        return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)
