"""Who is using a socket's handle: turns at each direction, close() from anywhere, the last one out.

Windows gives the number of a closed socket to the next one at once, so a handle must never be used
after it was given back. Every use is counted. `close` marks the handle, wakes whoever waits and
leaves; whoever is the last to leave a marked handle releases it.

Waits come back to Python every 100 ms at most, so that Ctrl-C and `close` are seen on Windows too.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from schannel_ffi.errors import SocketClosed, TLSError, TLSTimeout, WouldBlock

__all__ = ["HandleUse", "deadline_of", "give_back", "take_turn", "time_left"]

SLICE_MS: Final = 100  # B83
SLICE_SECONDS: Final = SLICE_MS / 1000

T = TypeVar("T")
Turn = Any  # threading.RLock, which is a function before Python 3.13
Step = Callable[[int], T | None]  # does something for so many milliseconds; None: not done yet


def deadline_of(timeout: float | None) -> float:
    """Return the `time.monotonic()` at which `timeout` seconds are over; None: never."""
    return math.inf if timeout is None else time.monotonic() + timeout


def time_left(deadline: float) -> float | None:
    """Return the timeout that ends at `deadline`: None for never, else more than 0 seconds."""
    return None if deadline == math.inf else max(1e-6, deadline - time.monotonic())


class HandleUse:
    """The count of a handle's users, and their turns.

    The locks are re-entrant because a signal handler may call `close`, or anything else, in the
    middle of any method here; and a turn is given back by whoever owns it, so that a Ctrl-C right
    behind the acquiring leaves nothing locked.

    Attributes:
        reading: the turn of the receiving direction.
        writing: the turn of the sending direction.
        is_closed: no new use begins.
    """

    def __init__(self, release: Callable[[], None], *, of: str = "socket") -> None:
        """Call `release`, once, when the handle is closed and nobody uses it any more.

        `of` is what the errors call it.
        """
        self._of = of
        self.reading = threading.RLock()
        self.writing = threading.RLock()
        self.is_closed = False
        self._release = release
        self._count = threading.RLock()  # around all that follows, and the change of is_closed
        self._users: set[object] = set()  # a token each: adding and discarding may be interrupted
        self._is_ours = True  # to be released; not any more once it was, or was given up

    def check_open(self) -> None:
        """Raise `SocketClosed` when the handle is closed."""
        if self.is_closed:
            raise SocketClosed(f"the {self._of} is closed")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the handle valid for a call that does not wait."""
        user = object()
        try:
            self._enter(user)
            yield
        finally:
            self._leave(user)

    def call(self, turn: Turn, step: Step[T], *, doing: str, timeout: float | None) -> T:
        """Return the result of `step`, in turn with other calls of the same direction.

        Raises:
            SocketClosed: the handle is closed, or was meanwhile.
            TLSTimeout, WouldBlock: no result, or no turn, within `timeout` seconds.
        """
        deadline, is_blocking = deadline_of(timeout), timeout != 0
        user = object()
        try:
            self._enter(user)
            if not turn.acquire(blocking=False):
                doing_now = "waiting for another thread's call"
                self.wait(take_turn(turn), deadline, doing_now, is_blocking=is_blocking)
            self.check_open()
            return self.wait(step, deadline, doing, is_blocking=is_blocking)
        except SocketClosed:
            raise
        except TLSError:
            if self.is_closed:  # close() in another thread shut the connection down under us
                raise SocketClosed(f"the {self._of} was closed by another thread") from None
            raise
        finally:
            give_back(turn)
            self._leave(user)

    def wait(self, step: Step[T], deadline: float, doing: str, *, is_blocking: bool = True) -> T:
        """Ask `step` for slices of time until it has a result."""
        while True:
            left = deadline - time.monotonic()
            slice_ms = SLICE_MS if left >= SLICE_SECONDS else max(0, math.ceil(left * 1000))
            result = step(slice_ms)
            if result is not None:
                return result
            self.check_open()
            if time.monotonic() >= deadline:
                raise _time_over(doing, is_blocking=is_blocking)

    def close(self, farewell: Callable[[], None], wake: Callable[[], None]) -> None:
        """Mark the handle closed: `farewell`, and `wake` where others wait; the last releases."""
        user = object()
        try:
            with self._count:
                if self.is_closed:
                    return
                self._users.add(user)  # what farewell and wake use stays valid
                self.is_closed = True
            farewell()
            if len(self._users) > 1:  # B84
                wake()
        finally:
            self._leave(user)

    def give_up(self) -> None:
        """Mark the handle closed without releasing it: it is somebody else's now.

        Raises:
            SocketClosed: it is closed.
            TLSError: another thread uses it.
        """
        with self._count:
            self.check_open()
            if self._users:
                raise TLSError(
                    f"another thread is using the {self._of}", hint="let it finish first"
                )
            self._is_ours = False
            self.is_closed = True

    def _enter(self, user: object) -> None:
        with self._count:
            self._users.add(user)
            self.check_open()

    def _leave(self, user: object) -> None:
        """Count a user out, also one that never came in; the last of a closed handle releases."""
        with self._count:
            self._users.discard(user)
            is_last = self.is_closed and not self._users and self._is_ours  # B84
            if is_last:
                self._is_ours = False
        if is_last:
            self._release()


def give_back(turn: Turn) -> None:
    """Release a turn, unless this thread never got it."""
    with suppress(RuntimeError):
        turn.release()


def take_turn(turn: Turn) -> Step[bool]:
    """Return the step that waits for a turn."""
    return lambda slice_ms: turn.acquire(timeout=slice_ms / 1000) or None


def _time_over(doing: str, *, is_blocking: bool) -> TLSTimeout | WouldBlock:
    if is_blocking:
        hint = "raise the timeout, or look whether the peer still answers"
        return TLSTimeout(f"{doing}: the time was over", hint=hint)
    return WouldBlock(f"{doing} would have to wait")
