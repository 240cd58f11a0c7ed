"""Builds the extension on Windows; everything else is in pyproject.toml.

Elsewhere, and for free-threaded builds of Python, the package installs without it: Schannel is
Windows' own, but the SMTP floor runs everywhere on the standard library's ssl.
"""

from __future__ import annotations

import sys

from setuptools import setup

if sys.platform == "win32" and "free-threading build" not in sys.version:  # B102
    # One extension of the limited API for CPython 3.10 and later. setuptools tags the
    # wheel by the interpreter that builds it, unless it is told.
    setup(
        cffi_modules=["csrc/build_ffi.py:ffibuilder"],
        options={"bdist_wheel": {"py_limited_api": "cp310"}},
    )
else:
    setup()
