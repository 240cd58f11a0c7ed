"""What a credential and a security context have in common: a handle that is given back once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from schannel_ffi import _lib
from schannel_ffi.errors import SocketClosed
from schannel_ffi.handle_use import HandleUse
from schannel_ffi.sspi.calls import call
from schannel_ffi.sspi.values import SSPIError, Status

_INVALID_HANDLE = -0x7FF6FCFF  # SEC_E_INVALID_HANDLE, 0x80090301

H = TypeVar("H", bound="Handle")


class Owned:
    """A SecHandle, how it is given back, and what must live until then.

    Apart from `Handle`, so that no cycle keeps a forgotten one from being collected at once.
    """

    def __init__(self, table: _lib.FunctionTable, function: str) -> None:
        self.table = table
        self.handle: Any = None  # until there is one
        self.kept = ExitStack()
        self._function = function

    def release(self) -> None:
        """Give it back; a failure leaves nothing to be done."""
        handle, self.handle = self.handle, None
        with self.kept, suppress(SSPIError):
            if handle is not None:
                call(self.table, self._function, handle)


class Handle:
    """Owns a SecHandle. Any thread may call and close: who is inside a call keeps it valid."""

    _release_function = ""
    _kind = "handle"

    def __init__(self, table: _lib.FunctionTable) -> None:
        self._table = table
        self._owned = Owned(table, self._release_function)
        self._use = HandleUse(self._owned.release)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._use.is_closed

    def close(self) -> None:
        """Give the handle back, when no other thread is inside a call. Harmless when repeated."""
        self._use.close(lambda: None, lambda: None)

    def __enter__(self: H) -> H:  # noqa: PYI019  # Self is 3.11's
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Warn about a handle that was not closed, and close it."""
        use: HandleUse | None = getattr(self, "_use", None)
        if use is None or use.is_closed:
            return
        try:
            if self._owned.handle is not None:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        finally:
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "empty" if self._owned.handle is None else "open"
        return f"<{type(self).__name__} {state}>"

    @contextmanager
    def _held(self) -> Iterator[Any]:
        """Keep the handle valid; give it, or NULL while there is none."""
        with self._use_counted():
            yield self._table.null() if self._owned.handle is None else self._owned.handle

    @contextmanager
    def _existing(self) -> Iterator[Any]:
        """Keep the handle valid; give it, which must be there."""
        with self._held() as handle:
            if self._owned.handle is None:
                raise self._no_handle("does not exist yet")
            yield handle

    @contextmanager
    def _use_counted(self) -> Iterator[None]:
        hold = self._use.hold()
        try:
            hold.__enter__()
        except SocketClosed:
            raise self._no_handle("is closed") from None
        try:
            yield
        finally:
            hold.__exit__(None, None, None)

    def _no_handle(self, why: str) -> SSPIError:
        return SSPIError(
            f"the {self._kind} {why}", symbol="SEC_E_INVALID_HANDLE", winerror=_INVALID_HANDLE
        )

    def _on_handle(self, name: str, *arguments: Any) -> Status:
        """Call a function whose first argument is the handle."""
        with self._existing() as handle:
            return call(self._table, name, handle, *arguments)

    def _query(self, name: str, attribute: int, room: int | bytes) -> bytes:
        size = room if isinstance(room, int) else len(room)
        memory = self._table.room(room)
        self._on_handle(name, attribute, memory)
        return self._table.bytes_at(memory, size)

    def _set(self, name: str, attribute: int, data: Any) -> None:
        pinned = self._table.pinned(data)
        self._on_handle(name, attribute, pinned, len(pinned))
