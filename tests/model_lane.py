"""The third lane: the loopback tests over a model of Windows' Schannel instead of the real one.

SCHANNEL_LAB_MODEL chooses the Windows (`schannel_model_options.VARIANTS`; 1 is Windows 11). Each
test gets a model of its own, and fails when that has misuses to tell or something was not given
back. Certificates are still judged by the real crypt32, sockets are real.

Windows 7 and Server 2019 have no TLS 1.3, and Windows 7 no ALPN: tests that want these fail over
them, and rightly so.

Run are the tests marked `schannel` that have a server and no scripted table. One that cannot run
over a model says so: `@pytest.mark.not_over_the_model(reason=...)`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from certs import identity_of
from schannel_model import ENTRY_CODE, SchannelModel, entry
from schannel_model_context import KnownIdentity
from schannel_model_options import VARIANTS, Windows

from schannel_ffi import _lib

VARIABLE = "SCHANNEL_LAB_MODEL"
_SERVERS = {"tls_server", "raw_server", "smtp_server", "start_server", "unanswered"}
_SCRIPTED = {"sspi", "system"}
_PATIENCE_S = 5.0
_kept: list[Any] = []  # what finalisers may still call


def windows_of_lane() -> Windows | None:
    """Return the Windows that this lane has a model of; None: the real one."""
    name = os.environ.get(VARIABLE, "")
    return VARIANTS["11" if name == "1" else name]() if name else None


def select(items: list[pytest.Item]) -> list[pytest.Item]:
    """Keep what runs over a model; return the others."""
    others = [item for item in items if not _is_for_the_model(item)]
    items[:] = [item for item in items if _is_for_the_model(item)]
    for item in items:
        if marker := item.get_closest_marker("not_over_the_model"):
            item.add_marker(pytest.mark.skip(reason=marker.kwargs["reason"]))
    return others


def _is_for_the_model(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    is_loopback = bool(fixtures & _SERVERS) and not fixtures & _SCRIPTED
    return is_loopback and item.get_closest_marker("schannel") is not None


@contextlib.contextmanager
def installed(windows: Windows, has_failed: Callable[[], bool]) -> Iterator[SchannelModel]:
    """Have all connections made in the block use a new model; fail on what it has to tell.

    has_failed: asked at the end; the traceback of a test that has failed keeps what it used alive.
    """
    model = SchannelModel(windows)
    model.find_identity = _find_identity
    system = _system_table(windows)
    _kept.append((model, system))
    _lib.use_function_table(model.address)
    _lib.use_system_table(system[0])
    before = signal.signal(signal.SIGINT, _interrupt_the_caller)
    try:
        yield model
    finally:
        signal.signal(signal.SIGINT, before)
        _lib.use_function_table(None)  # lets go of the credentials that are kept
        _lib.use_system_table(None)
    if has_failed():
        problems = model.ledger.misuses
    else:
        gc.collect()
        model.ledger.wait_until_empty(_PATIENCE_S)  # a thread that gave up may let go last
        problems = model.problems()
    assert not problems, "\n".join(problems)


def _interrupt_the_caller(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but never inside the model: C would swallow it.

    Windows has no Python in it, so that the interrupt comes when the call of C is over: at the next
    line of the function that called C.
    """
    outside, inner = None, frame
    while inner is not None:
        if inner.f_code is ENTRY_CODE:
            outside = inner.f_back
        inner = inner.f_back
    if outside is None:
        signal.default_int_handler(number, frame)
    outside.f_trace = _raise_interrupt
    sys.settrace(_look_at_no_call)


def _raise_interrupt(_frame: FrameType, _event: str, _argument: Any) -> Any:
    sys.settrace(None)
    raise KeyboardInterrupt


def _look_at_no_call(_frame: FrameType, _event: str, _argument: Any) -> None:
    return None


def _find_identity(der: bytes) -> KnownIdentity | None:
    identity = identity_of(der)
    return None if identity is None else KnownIdentity(identity.chain_pem, identity.key_pem)


def _system_table(windows: Windows) -> tuple[int, Any, Any]:
    """Return the address of Windows' own functions with this Windows' build number (row 82)."""
    ffi, table = _lib.system_table_default()
    kind = ffi.typeof(table.WindowsBuild)
    table.WindowsBuild = build = ffi.callback(kind, entry(lambda: windows.build))
    return int(ffi.cast("uintptr_t", table)), table, build
