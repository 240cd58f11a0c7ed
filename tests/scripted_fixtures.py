"""Fixtures of the scripted tests: the two tables, and engines on them.

`sspi` and `system` are the tables, `make_engine` gives engines on them, `open_engine` one that is
past handshake and verification. A test fails when a script was left over, a rule was broken or
something was not given back.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certs import Certificates, pfx
from fake_sspi import FakeSSPI
from fake_sspi_script import Initialize
from fake_sspi_types import Status
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine, ScriptedEngine

from schannel_ffi import ClientCertificate, _lib
from schannel_ffi._lib.identity import find_identity


@pytest.fixture
def sspi() -> Iterator[FakeSSPI]:
    fake = FakeSSPI()
    yield fake
    fail_on(fake.problems)


@pytest.fixture
def system() -> Iterator[FakeSystem]:
    fake = FakeSystem()
    yield fake
    fake.gate.set()
    if fake.problems():
        gc.collect()
        fake.all_is_freed.wait(5.0)  # a thread of Windows' pool may be the last to let go
    fail_on(fake.problems)


@pytest.fixture(scope="session")
def own_identity(certificates: Certificates) -> Any:
    """A `schan_identity *` made by Windows' own functions: scripted engines just hold it."""
    ffi, lib = _lib.require()
    out, err = ffi.new("schan_library **"), ffi.new("schan_error *")
    assert lib.schan_library_new(out, ffi.NULL, ffi.NULL, err) == 0
    library = ffi.gc(out[0], lib.schan_library_free)
    data = pfx(certificates.client_rsa, b"password")
    own = ClientCertificate.from_pfx(data, "password", ephemeral=True)
    return find_identity(library, own).make(library)


@pytest.fixture
def make_engine(sspi: FakeSSPI) -> Iterator[MakeEngine]:
    """Return a function that makes engines on `sspi`; they are freed when the test ends."""
    with contextlib.ExitStack() as stack:

        def make(system: FakeSystem | None = None, **config: Any) -> ScriptedEngine:
            engine = ScriptedEngine(sspi, system, **config)
            stack.callback(engine.free)
            return engine

        yield make


@pytest.fixture
def open_engine(sspi: FakeSSPI, make_engine: MakeEngine) -> MakeEngine:
    """Return a function that makes engines whose handshake is done and whose peer is accepted."""

    def make(system: FakeSystem | None = None, **config: Any) -> ScriptedEngine:
        sspi.script(
            Initialize(token=HELLO),
            Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        )
        engine = make_engine(system, **config)
        assert engine.handshake(FLIGHT) == "WANT_VERIFY"
        assert engine.drain() == HELLO + FINISHED
        assert engine.verified() == "OK"
        sspi.calls.clear()
        return engine

    return make


def fail_on(problems: Callable[[], list[str]]) -> None:
    if problems():
        gc.collect()  # what only a cycle keeps is no leak
    assert not problems(), "\n".join(problems())
