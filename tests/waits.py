"""Calls that wait: beside the test, and ended by Ctrl-C."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable

import pytest

PATIENCE_S = 0.5  # of a person who pressed Ctrl-C
START_LIMIT_S = 15.0


class in_thread:  # noqa: N801  # reads as a statement
    """Run `call` beside the block; joined at its end, `error` holds what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: list[BaseException] = []
        self._call = call
        self._is_running = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> in_thread:
        self.thread.start()
        self._is_running.wait(START_LIMIT_S)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.thread.join(120.0)
        assert not self.thread.is_alive(), "the thread still waits"

    def _run(self) -> None:
        self._is_running.set()
        try:
            self._call()
        except BaseException as exc:  # noqa: BLE001  # the test looks at it
            self.error.append(exc)


def interrupted(call: Callable[[], object]) -> float:
    """Press Ctrl-C 0.2 s after `call` began; return the seconds until KeyboardInterrupt came."""
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    timer = threading.Timer(0.2, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()
    return time.monotonic() - pressed[0]
