"""Interpreters that the extension does not support say so; it is not loaded there (row 102)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schannel_ffi import errors
from schannel_ffi._lib import binding

ROOT = Path(__file__).resolve().parent.parent
REQUIRE = """
from schannel_ffi import _lib, smtp
from schannel_ffi.errors import UnsupportedPlatform
try:
    _lib.require()
except UnsupportedPlatform as error:
    print(type(error.__cause__).__mro__[1].__name__, error)
print("schannel_ffi._engine" in sys.modules, flush=True)
"""
IN_SUB_INTERPRETER = """
import sys
sys.path[:0] = {path!r}
try:
    import _interpreters as interpreters
    other = interpreters.create({config!r})
except ImportError:
    import _xxsubinterpreters as interpreters
    other = interpreters.create(isolated={is_isolated})
{first}
interpreters.run_string(other, {program!r})
interpreters.destroy(other)
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.replace("\r", "")


@pytest.mark.schannel
@pytest.mark.parametrize("first", ["", "import schannel_ffi"], ids=["alone", "main_has_it"])
@pytest.mark.parametrize("config", ["isolated", "legacy"])
def test_sub_interpreter_is_refused_in_words(config: str, first: str) -> None:
    inside = f"import sys; sys.path[:0] = {sys.path!r}\n{REQUIRE}"
    is_isolated = config == "isolated"

    told = run(
        IN_SUB_INTERPRETER.format(
            path=sys.path, config=config, is_isolated=is_isolated, first=first, program=inside
        )
    )

    assert told.startswith("ImportError the extension module of schannel_ffi cannot be loaded: sub")
    assert "use it in the main interpreter" in told
    assert told.endswith("\nFalse\n")


@pytest.mark.schannel
def test_free_threaded_build_is_refused_in_words() -> None:
    told = run(f"import sys; sys.version += ' free-threading build'\n{REQUIRE}")

    assert "ImportError the extension module of schannel_ffi cannot be loaded: free-" in told
    assert told.endswith("not supported yet\nFalse\n")


def test_ordinary_interpreter_is_not_refused() -> None:
    binding.check_interpreter()


def test_interpreter_that_knows_no_others_is_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_none(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", find_none)

    binding.check_interpreter()


@pytest.mark.schannel
def test_extension_that_is_missing_has_another_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "_loaded", None)
    monkeypatch.setattr(binding, "_reason", ImportError("no such module"))

    with pytest.raises(errors.UnsupportedPlatform, match=r"no such module; install a wheel"):
        binding.require()
