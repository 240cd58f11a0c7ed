"""The compiled engine itself: the one module that imports it."""

from __future__ import annotations

import sys
from typing import Any

from schannel_ffi import errors

Buffer = Any  # bytes-like; collections.abc.Buffer is there from Python 3.12 on

_loaded: tuple[Any, Any] | None = None
_reason: ImportError | None = None
try:
    from schannel_ffi import _engine
except ImportError as error:  # another operating system, or no extension module
    _reason = error
else:
    _loaded = (_engine.ffi, _engine.lib)


def require() -> tuple[Any, Any]:
    """Return cffi's `ffi` and `lib`.

    Raises:
        UnsupportedPlatform: this is not Windows, or the extension module is missing.
    """
    if _loaded is not None:
        return _loaded
    system = str(sys.platform)  # a str for mypy, too, which checks on one system only
    if system != "win32":
        raise errors.UnsupportedPlatform(
            f"Schannel is a part of Windows and this is {system}",
            hint="the SMTP classes take an ssl.SSLContext as tls= on every system",
        )
    raise errors.UnsupportedPlatform(
        f"the extension module of schannel_ffi cannot be loaded: {_reason}",
        hint="install a wheel for this Python",
    ) from _reason
