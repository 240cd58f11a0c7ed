"""DLLs that somebody puts beside a program are not loaded instead of Windows' own (row 96)."""

from __future__ import annotations

from pathlib import Path

import pytest
from portable_executable import SEARCH_SYSTEM32, PortableExecutable

EXTENSION = Path(__file__).resolve().parent.parent / "schannel_ffi" / "_engine.pyd"
TO_BE_FOUND_IN_SYSTEM32 = {"secur32.dll", "crypt32.dll", "bcrypt.dll", "ws2_32.dll"}


def test_extension_takes_its_dlls_from_system32_alone() -> None:
    if not EXTENSION.exists():
        pytest.skip("the extension is not built: run `python3 ci/lab.py setup`")
    built = PortableExecutable(EXTENSION)

    assert SEARCH_SYSTEM32 == built.dependent_load_flags()
    assert built.imported_dlls() > TO_BE_FOUND_IN_SYSTEM32
