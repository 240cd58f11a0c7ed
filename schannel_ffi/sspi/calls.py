"""Calling the table: a missing member and a failing status become `SSPIError`."""

from __future__ import annotations

from typing import Any

from schannel_ffi import _lib
from schannel_ffi.sspi.values import Buffer, BufferType, SSPIError, Status

_KNOWN_TYPES = frozenset(int(kind) for kind in BufferType)
_UNSUPPORTED = -0x7FF6FCFE  # SEC_E_UNSUPPORTED_FUNCTION, 0x80090302


def demand(table: _lib.FunctionTable, name: str) -> None:
    """Raise `SSPIError` when the table has no such function."""
    if reason := table.lacks(name):
        error = SSPIError(
            f"{name}: {reason}",
            symbol="SEC_E_UNSUPPORTED_FUNCTION",
            hint="this Windows, or this security package interface, is too old for it",
            winerror=_UNSUPPORTED,
        )
        error.function = name
        raise error


def call(table: _lib.FunctionTable, name: str, *arguments: Any) -> Status:
    """Call a function; return its status when that is no failure."""
    demand(table, name)
    return checked(name, table.call(name, *arguments))


def checked(
    name: str,
    status: int,
    output: tuple[Buffer, ...] = (),
    buffers: tuple[Buffer, ...] = (),
) -> Status:
    """Return a status that is no failure; raise the others with what the call left behind."""
    if status >= 0:
        return Status(status)
    sentence, symbol, hint = _lib.describe_status(status, name)
    error = SSPIError(f"{name}: {sentence}", symbol=symbol, hint=hint, winerror=status)
    error.function, error.output, error.buffers = name, output, buffers
    raise error


def given(buffers: Any) -> list[tuple[int, Any]] | None:
    """Return buffers as `_lib` takes them."""
    return None if buffers is None else [(int(each.type), each.data) for each in buffers]


def taken(message: Any) -> tuple[Buffer, ...]:
    """Return the buffers of a message of `_lib` as a call has left them."""
    return tuple(
        Buffer(BufferType(kind) if kind in _KNOWN_TYPES else kind, data, size)
        for kind, size, data in message.buffers()
    )
