"""`_lib` keeps credentials and trust anchors by the value of their settings, and lets go of them.

Fake SSPI and fake crypt32: what Windows was asked for is counted.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_types import Status
from fake_system import FakeSystem

from schannel_ffi import (
    CredentialError,
    Revocation,
    TLSConfig,
    TLSError,
    TLSVersion,
    TrustStore,
    _lib,
)
from schannel_ffi._lib import failures as lib_failures
from schannel_ffi._lib import shared

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

ACQUIRE, FREE = "AcquireCredentialsHandleW", "FreeCredentialsHandle"
ROOT = b"0\x03root"


@pytest.fixture
def tables(sspi: FakeSSPI, system: FakeSystem) -> Iterator[tuple[FakeSSPI, FakeSystem]]:
    """`_lib` uses the two tables for the length of a test."""
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    yield sspi, system
    _lib.use_function_table(None)
    _lib.use_system_table(None)
    gc.collect()


def open_and_close(config: TLSConfig) -> None:
    _lib.Connection(config, _lib.Role(), 0).free()


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [  # settings whose credential is the same
    ({}, {}),
    ({"alpn_protocols": ("h2",)}, {"alpn_protocols": ()}),
    ({"revocation": Revocation.BEST_EFFORT}, {"revocation": Revocation.REQUIRED}),
    ({"revocation_timeout": 1.0}, {"revocation_timeout": 2.0}),
    ({"maximum_version": TLSVersion.TLSv1_3}, {"maximum_version": None}),
    ({"trust": TrustStore(roots=(ROOT,))}, {"insecure_skip_verify": True}),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"minimum_version": TLSVersion.TLSv1}),
    ({}, {"maximum_version": TLSVersion.TLSv1_2}),
    ({}, {"insecure_weak_crypto": True}),
    ({}, {"revocation": Revocation.OFF}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_settings_share_a_credential(
    tables: tuple[FakeSSPI, FakeSystem], one: dict[str, Any], other: dict[str, Any]
) -> None:
    sspi, _ = tables

    for settings in (one, other, one):
        open_and_close(TLSConfig(**settings))

    assert (1, 0) == (sspi.calls.count(ACQUIRE), sspi.calls.count(FREE))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_settings_have_credentials_of_their_own(
    tables: tuple[FakeSSPI, FakeSystem], one: dict[str, Any], other: dict[str, Any]
) -> None:
    sspi, _ = tables  # 12: never shared between identities

    for settings in (one, other, one, other):
        open_and_close(TLSConfig(**settings))

    assert (2, 2) == (sspi.calls.count(ACQUIRE), sspi.has_credentials())


def test_new_table_forgets_what_was_made_with_the_old_one(
    tables: tuple[FakeSSPI, FakeSystem],
) -> None:
    sspi, _ = tables
    open_and_close(TLSConfig())

    _lib.use_function_table(sspi.address)
    gc.collect()

    assert 0 == sspi.has_credentials()
    open_and_close(TLSConfig())
    assert 2 == sspi.calls.count(ACQUIRE)


def test_connection_outlives_the_table_change(tables: tuple[FakeSSPI, FakeSystem]) -> None:
    sspi, _ = tables
    connection = _lib.Connection(TLSConfig(), _lib.Role(), 0)

    _lib.use_function_table(None)
    gc.collect()
    alive = sspi.has_credentials()
    connection.free()

    assert (1, 0) == (alive, sspi.has_credentials())


def test_forgotten_connection_is_freed(tables: tuple[FakeSSPI, FakeSystem]) -> None:
    sspi, _ = tables
    connection = _lib.Connection(TLSConfig(), _lib.Role(), 0)
    _lib.use_function_table(sspi.address)

    del connection
    gc.collect()

    assert 0 == sspi.has_credentials()


def test_failed_credential_is_not_kept(tables: tuple[FakeSSPI, FakeSystem]) -> None:
    sspi, _ = tables
    sspi.acquire_answers.append(Status.SEC_E_NO_CREDENTIALS)

    with pytest.raises(CredentialError, match="SEC_E_NO_CREDENTIALS"):
        open_and_close(TLSConfig())
    open_and_close(TLSConfig())

    assert 2 == sspi.calls.count(ACQUIRE)


def test_threads_that_come_at_once_share_one_credential(
    tables: tuple[FakeSSPI, FakeSystem],
) -> None:
    sspi, _ = tables
    together = threading.Barrier(4)

    def meet_and_open() -> None:
        together.wait(10.0)
        open_and_close(TLSConfig())

    threads = [threading.Thread(target=meet_and_open) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    gc.collect()

    assert 1 == sspi.has_credentials()  # what lost the race was freed


def trust(root: bytes = ROOT, *, exclusive: bool = True) -> TrustStore:
    return TrustStore(roots=(root,), exclusive=exclusive)


def test_equal_trust_anchors_share_a_chain_engine(tables: tuple[FakeSSPI, FakeSystem]) -> None:
    _, system = tables  # 41: making one is expensive

    for store in (trust(), trust(), trust(b"0\x05other"), trust(exclusive=False), trust()):
        shared.trust_for(store)

    assert 3 == len(system.engine_configs)


def test_cache_is_bounded_and_forgets_the_least_recently_used(
    tables: tuple[FakeSSPI, FakeSystem],
) -> None:
    _, system = tables
    count = shared.CACHE_SIZE
    roots = [b"0\x03%03d" % i for i in range(count + 1)]

    for root in [*roots[:count], roots[0], roots[count]]:
        shared.trust_for(trust(root))
    gc.collect()
    alive = sum(1 for (kind, _), n in system._alive.items() if kind == "chain engine" and n)
    for root in (roots[0], roots[1]):  # the first was used again, so the second had to go
        shared.trust_for(trust(root))

    assert (count, count + 2) == (alive, len(system.engine_configs))


def test_system_trust_makes_nothing(tables: tuple[FakeSSPI, FakeSystem]) -> None:
    _, system = tables
    ffi, _ = _lib.require()

    made = shared.trust_for(TrustStore.system())

    assert (ffi.NULL, []) == (made, system.engine_configs)


# ------------------------------------------------------------------------------------------ errors


def raise_failure(fill: Callable[[Any], None]) -> TLSError | MemoryError:
    ffi, _ = _lib.require()
    err = ffi.new("schan_error *")
    err.alert = -1
    fill(err)
    return lib_failures.failure("doing", err)


def test_message_is_what_failed_then_symbol_then_hint() -> None:
    def fill(err: Any) -> None:
        err.result = _lib.require()[1].SCHAN_ERR_HANDSHAKE
        err.status = Status.SEC_E_ILLEGAL_MESSAGE

    error = raise_failure(fill)

    assert isinstance(error, TLSError)
    assert str(error).startswith("doing: ")
    assert f"[{error.symbol}]; {error.hint}" in str(error)
    assert ("SEC_E_ILLEGAL_MESSAGE", int(Status.SEC_E_ILLEGAL_MESSAGE)) == (
        error.symbol,
        error.winerror,
    )


def test_status_without_a_row_is_told_as_a_number() -> None:
    def fill(err: Any) -> None:
        err.result, err.status = _lib.require()[1].SCHAN_ERR_SSPI, -0x7FF60001

    error = raise_failure(fill)

    assert isinstance(error, TLSError)
    assert "0x8009FFFF" == error.symbol


def test_alert_keeps_its_number_and_name() -> None:
    def fill(err: Any) -> None:
        err.result, err.alert = _lib.require()[1].SCHAN_ERR_ALERT, 48

    error = raise_failure(fill)

    assert isinstance(error, TLSError)
    assert (48, "unknown_ca") == (error.alert, error.symbol)


def test_no_memory_is_a_memory_error() -> None:
    def fill(err: Any) -> None:
        err.result = _lib.require()[1].SCHAN_ERR_MEMORY

    assert isinstance(raise_failure(fill), MemoryError)
