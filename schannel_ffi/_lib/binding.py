"""The compiled engine itself: the one module that imports it."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Any

from schannel_ffi import errors

_NO_EXTENSION = "install a wheel for this Python"

Buffer = Any  # bytes-like; collections.abc.Buffer is there from Python 3.12 on


class UnsupportedInterpreter(ImportError):
    """The extension module must not be loaded here."""


def check_interpreter() -> None:
    """Raise where nobody has run the extension: it would load in some, and share what it must not.

    Raises:
        UnsupportedInterpreter: a free-threaded build (PEP 703), or a sub-interpreter (PEP 684).
    """
    if "free-threading build" in sys.version:  # B102
        raise UnsupportedInterpreter("free-threaded builds of Python are not supported yet")
    if not _is_main_interpreter():  # B102
        raise UnsupportedInterpreter(
            "sub-interpreters are not supported; use it in the main interpreter"
            " (mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
        )


def _is_main_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # of CPython 3.13 and later; until 3.12
        with suppress(ImportError):
            module = importlib.import_module(name)
            return bool(module.get_current() == module.get_main())
    return True


_loaded: tuple[Any, Any] | None = None
_reason: ImportError | None = None
try:
    check_interpreter()
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
        hint="" if isinstance(_reason, UnsupportedInterpreter) else _NO_EXTENSION,
    ) from _reason
