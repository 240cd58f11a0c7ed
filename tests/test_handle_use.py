"""Who uses a handle: turns, close() from anywhere, and who releases it. No Schannel is needed."""

from __future__ import annotations

import inspect
import linecache
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, Generic, TypeVar

import pytest

from schannel_ffi import SocketClosed, TLSError, TLSTimeout, WouldBlock
from schannel_ffi.handle_use import HandleUse

LIMIT_S = 20.0  # of what must not hang
CLOCK_TICK_S = 0.02  # of Windows' clock
T = TypeVar("T")
FILE = HandleUse.call.__code__.co_filename


class Handle:
    """A `HandleUse` that notes what happens to the handle, and what runs at each event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.then: dict[str, Callable[[], object]] = {}
        self.use = HandleUse(partial(self.note, "release"))

    def note(self, event: str) -> None:
        self.events.append(event)
        self.then.get(event, lambda: None)()

    def step(self, _slice_ms: int) -> bool:
        self.note("step")
        return True

    def call(self, step: Callable[[int], T | None], *, timeout: float | None = LIMIT_S) -> T:
        return self.use.call(self.use.reading, step, doing="receiving", timeout=timeout)

    def close(self) -> None:
        self.use.close(partial(self.note, "farewell"), partial(self.note, "wake"))

    @property
    def turn_is_free(self) -> bool:
        """Whether another thread would get the turn."""
        return beside(lambda: self.use.reading.acquire(blocking=False)).result()


class beside(Generic[T]):  # noqa: N801  # reads as a statement
    """Run `call` in a thread of its own; `result` waits for it, but not for ever."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: list[T] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as exc:  # noqa: BLE001  # raised again by result()
            self.error = exc

    def result(self) -> T:
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "it hangs"
        if self.error:
            raise self.error
        return self._results[0]


class Busy:
    """A call whose step is under way until `leave`, or, when asked in slices, until close()."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._is_inside, self._may_leave = threading.Event(), threading.Event()
        self.thread = beside(lambda: handle.call(self._step))
        assert self._is_inside.wait(LIMIT_S)

    def _step(self, _slice_ms: int) -> bool:
        self._is_inside.set()
        assert self._may_leave.wait(LIMIT_S)
        self._handle.note("left")
        return True

    def leave(self) -> None:
        self._may_leave.set()


@pytest.fixture
def handle() -> Handle:
    return Handle()


@pytest.fixture
def busy(handle: Handle) -> Iterator[Busy]:
    busy = Busy(handle)
    yield busy
    busy.leave()


class InterruptedTurn:
    """A turn where Ctrl-C arrives right behind the n-th acquiring."""

    def __init__(self, turn: Any, interrupts: int) -> None:
        self._turn, self._left = turn, interrupts
        self.release = turn.release

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        self._left -= 1
        if self._left > 0:
            return False
        self._turn.acquire(*args, **kwargs)
        raise KeyboardInterrupt


# --- Ctrl-C -----------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupts", [1, 2, 3], ids=["at_once", "first_wait", "second_wait"])
def test_ctrl_c_right_behind_acquiring_the_turn_leaves_nothing_locked(
    handle: Handle, interrupts: int
) -> None:
    turn = InterruptedTurn(handle.use.reading, interrupts)

    with pytest.raises(KeyboardInterrupt):
        handle.use.call(turn, handle.step, doing="receiving", timeout=LIMIT_S)
    handle.close()

    assert (True, ["farewell", "release"]) == (handle.turn_is_free, handle.events)


def test_ctrl_c_in_a_step_leaves_the_count_right(handle: Handle) -> None:
    def press(_slice_ms: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handle.call(press)
    handle.close()

    assert (True, ["farewell", "release"]) == (handle.turn_is_free, handle.events)


class at_line:  # noqa: N801  # reads as a statement
    """Do something before a line of some functions is run, as a signal handler would."""

    def __init__(
        self, functions: Sequence[Any], number: int, act: Callable[[], object] = lambda: None
    ) -> None:
        self._codes = {function.__code__ for function in functions}
        self._number, self._act = number, act
        self._before = sys.gettrace()
        self.passed: set[int] = set()

    def __enter__(self) -> at_line:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code not in self._codes:
            return None
        if event == "line":
            self.passed.add(frame.f_lineno)
        if event == "line" and frame.f_lineno == self._number:
            sys.settrace(self._before)
            self._act()
        return self._trace


WORK = (HandleUse.call, HandleUse.wait, HandleUse._enter)
# CPython looks for signals behind calls: there is none between this line and the test before it.
UNREACHABLE = {"self._is_ours = False"}
ALL = (*WORK, HandleUse._leave, HandleUse.close)


def lines_of_a_call(functions: Sequence[Any]) -> list[int]:
    """Return the numbers of the lines that an ordinary call and close() run."""
    handle = Handle()
    with at_line(functions, 0) as lines:
        handle.call(handle.step)
        handle.close()
    return sorted(lines.passed)


def cleaning_up() -> range:
    """Return the lines of `HandleUse.call` that Python cannot protect: from `finally` on."""
    texts, first = inspect.getsourcelines(HandleUse.call)
    return range(first + [text.strip() for text in texts].index("finally:"), first + len(texts))


def line_text(number: int) -> str:
    return linecache.getline(FILE, number).strip()


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "number", [n for n in lines_of_a_call(WORK) if n not in cleaning_up()], ids=line_text
)
def test_ctrl_c_between_two_lines_leaves_nothing_locked_and_the_count_right(
    handle: Handle, number: int
) -> None:
    with pytest.raises(KeyboardInterrupt), at_line(WORK, number, press_ctrl_c):
        handle.call(handle.step)
    handle.close()

    assert (True, ["farewell", "release"]) == (handle.turn_is_free, handle.events[-2:])


@pytest.mark.parametrize(
    "number", [n for n in lines_of_a_call(ALL) if line_text(n) not in UNREACHABLE], ids=line_text
)
def test_close_by_a_signal_handler_between_two_lines_releases_once(
    handle: Handle, number: int
) -> None:
    def call_and_close() -> None:
        with suppress(SocketClosed), at_line(ALL, number, handle.close):
            handle.call(handle.step)
            handle.close()

    beside(call_and_close).result()

    assert (True, 1) == (handle.turn_is_free, handle.events.count("release"))


# --- turns ------------------------------------------------------------------------------------


def test_waiting_reader_gets_the_turn_when_the_first_leaves(handle: Handle, busy: Busy) -> None:
    second = beside(lambda: handle.call(handle.step))
    busy.leave()

    assert (True, ["left", "step"]) == (second.result(), handle.events)


def test_writer_does_not_wait_for_a_reader(handle: Handle, busy: Busy) -> None:
    use = handle.use

    assert use.call(use.writing, handle.step, doing="sending", timeout=0)


NO_TURN = [(0, WouldBlock), (0.03, TLSTimeout), (0.25, TLSTimeout)]


@pytest.mark.parametrize(("timeout", "kind"), NO_TURN, ids=["non_blocking", "short", "slices"])
def test_waiting_for_a_turn_ends_in_time(
    handle: Handle, busy: Busy, timeout: float, kind: type[TLSError]
) -> None:
    began = time.monotonic()

    with pytest.raises(kind, match="another thread"):
        handle.call(handle.step, timeout=timeout)

    assert timeout - CLOCK_TICK_S <= time.monotonic() - began < timeout + LIMIT_S / 2
    assert [] == handle.events


def test_waiter_that_gives_up_does_not_take_the_turn_from_its_owner(
    handle: Handle, busy: Busy
) -> None:
    for timeout in (0, 0.01, 0):
        with pytest.raises((TLSTimeout, WouldBlock)):
            handle.call(handle.step, timeout=timeout)

    assert (False, []) == (handle.turn_is_free, handle.events)


def test_call_by_a_signal_handler_inside_a_call_has_the_turn_too(handle: Handle) -> None:
    def inner(_slice_ms: int) -> bool:
        handle.note("inner")
        return True

    handle.then = {"step": lambda: handle.call(inner)}

    result = beside(lambda: handle.call(handle.step)).result()

    assert (True, True, ["step", "inner"]) == (result, handle.turn_is_free, handle.events)


@pytest.mark.parametrize(("timeout", "kind"), NO_TURN, ids=["non_blocking", "short", "slices"])
def test_step_without_a_result_ends_in_time(
    handle: Handle, timeout: float, kind: type[TLSError]
) -> None:
    with pytest.raises(kind, match="receiving"):
        handle.call(lambda _: None, timeout=timeout)

    assert handle.turn_is_free


# --- close ------------------------------------------------------------------------------------


def test_close_releases_at_once_when_nobody_uses_the_handle(handle: Handle) -> None:
    handle.close()
    handle.close()

    assert ["farewell", "release"] == handle.events


def test_close_wakes_and_the_last_one_out_releases(handle: Handle, busy: Busy) -> None:
    with handle.use.hold():
        handle.close()
        busy.leave()
        assert busy.thread.result()
        handle.note("last")

    assert ["farewell", "wake", "left", "last", "release"] == handle.events


def test_close_ends_the_wait_for_a_turn(handle: Handle, busy: Busy) -> None:
    second = beside(lambda: handle.call(handle.step, timeout=None))
    handle.close()

    with pytest.raises(SocketClosed):
        second.result()

    assert ["farewell", "wake"] == handle.events


def test_failure_under_close_is_told_as_closed(handle: Handle) -> None:
    def shut_down(_slice_ms: int) -> bool:
        handle.close()
        raise TLSError("recv failed")

    with pytest.raises(SocketClosed, match="another thread"):
        handle.call(shut_down)

    assert ["farewell", "wake", "release"] == handle.events


@pytest.mark.parametrize("event", ["step", "farewell", "wake", "release"])
def test_close_inside_of_what_the_handle_runs_does_not_deadlock(handle: Handle, event: str) -> None:
    handle.then = {event: handle.close}

    def call_and_close() -> None:
        with handle.use.hold():
            handle.call(handle.step)
            handle.close()

    beside(call_and_close).result()

    assert ["step", "farewell", "wake", "release"] == handle.events


def test_farewell_that_fails_releases_nevertheless(handle: Handle) -> None:
    handle.then = {"farewell": press_ctrl_c}

    with pytest.raises(KeyboardInterrupt):
        handle.close()

    assert ["farewell", "release"] == handle.events


def test_call_from_the_release_of_a_socket_is_a_use_after_close(handle: Handle) -> None:
    failures: list[type[BaseException] | None] = []

    def use_it_again() -> None:
        handle.then = {}
        with pytest.raises(SocketClosed) as raised:
            handle.call(handle.step)
        failures.append(raised.type)

    handle.then = {"release": use_it_again}
    beside(handle.close).result()

    assert ([SocketClosed], ["farewell", "release"]) == (failures, handle.events)


# --- after it ---------------------------------------------------------------------------------


def enter_hold(handle: Handle) -> None:
    with handle.use.hold():
        handle.note("held")


USES: list[Callable[[Handle], object]] = [
    lambda handle: handle.call(handle.step),
    enter_hold,
    lambda handle: handle.use.check_open(),
    lambda handle: handle.use.give_up(),
]
EACH_USE = pytest.mark.parametrize("use", USES, ids=["call", "hold", "check_open", "give_up"])


@EACH_USE
def test_use_after_close_is_refused(handle: Handle, use: Callable[[Handle], object]) -> None:
    handle.close()

    with pytest.raises(SocketClosed):
        use(handle)

    assert not {"step", "held"} & set(handle.events)


@EACH_USE
def test_use_after_close_does_not_release_again(
    handle: Handle, use: Callable[[Handle], object]
) -> None:
    handle.close()

    with pytest.raises(SocketClosed):
        use(handle)

    assert ["farewell", "release"] == handle.events


@EACH_USE
def test_use_after_give_up_does_not_release_what_is_somebody_elses(
    handle: Handle, use: Callable[[Handle], object]
) -> None:
    handle.use.give_up()

    with pytest.raises(SocketClosed):
        use(handle)
    handle.close()

    assert [] == handle.events


def test_give_up_refuses_while_another_thread_uses_the_handle(handle: Handle, busy: Busy) -> None:
    with pytest.raises(TLSError, match="another thread"):
        handle.use.give_up()
    busy.leave()
    busy.thread.result()
    handle.use.give_up()

    assert (True, ["left"]) == (handle.use.is_closed, handle.events)


# --- all at once ------------------------------------------------------------------------------


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def hammer(handle: Handle, has_begun: threading.Event, number: int) -> None:
    def step(_slice_ms: int) -> bool | None:
        handle.note("in")
        has_begun.set()
        handle.note("out")
        return None if len(handle.events) % 3 else True

    turn = handle.use.writing if number % 2 else handle.use.reading

    def use_for_ever() -> None:
        while True:
            handle.use.call(turn, step, doing="receiving", timeout=LIMIT_S)
            with handle.use.hold():
                handle.note("in")
                handle.note("out")

    with pytest.raises(SocketClosed):
        use_for_ever()


@pytest.mark.parametrize("closers", [1, 3])
def test_handle_is_released_after_its_last_user_and_never_before(
    restless: None, closers: int
) -> None:
    for _ in range(30):
        handle, has_begun = Handle(), threading.Event()
        users = [beside(partial(hammer, handle, has_begun, number)) for number in range(6)]
        assert has_begun.wait(LIMIT_S)
        for closer in [beside(handle.close) for _ in range(closers)]:
            closer.result()
        for user in users:
            user.result()

        behind = handle.events[handle.events.index("release") :]
        assert [] == [event for event in behind if event in {"in", "out"}]


def test_handle_is_released_once_however_many_use_it(restless: None) -> None:
    for _ in range(30):
        handle, has_begun = Handle(), threading.Event()
        users = [beside(partial(hammer, handle, has_begun, number)) for number in range(6)]
        assert has_begun.wait(LIMIT_S)
        handle.close()
        for user in users:
            user.result()

        assert ["farewell", "release"] == [
            e for e in handle.events if e not in {"in", "out", "wake"}
        ]
