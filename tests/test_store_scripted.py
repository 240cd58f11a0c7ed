"""Trust anchors: what crypt32 is asked for, and what its refusals become (rows 41, 88, 89)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_sspi_types import signed
from fake_system import FakeSystem

from schannel_ffi import TLSError, TrustStore, _lib
from schannel_ffi._lib.shared import trust_for

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

E_INVALIDARG = 0x80070057
ENABLE_CA = 1  # CERT_CHAIN_EXCLUSIVE_ENABLE_CA_FLAG
CREATE_NEW, READONLY, OPEN_EXISTING = 0x2000, 0x8000, 0x4000
CURRENT_USER, LOCAL_MACHINE = 1 << 16, 2 << 16


@pytest.fixture
def crypt32(system: FakeSystem) -> Iterator[FakeSystem]:
    _lib.use_system_table(system.address)
    yield system
    _lib.use_system_table(None)


def test_anchors_become_an_exclusive_engine(crypt32: FakeSystem) -> None:
    trust_for(TrustStore(roots=(b"one", b"two")))  # 41

    [(_, flags, has_anchors)] = crypt32.engine_configs
    assert ([b"one", b"two"], ENABLE_CA, True) == (crypt32.added, flags, has_anchors)
    assert [(CREATE_NEW, "")] == crypt32.opened_stores


@pytest.mark.parametrize("error", [E_INVALIDARG, 87], ids=["hresult", "win32"])
def test_windows_7_gets_the_smaller_configuration(crypt32: FakeSystem, error: int) -> None:
    crypt32.engine_errors.append(error)  # 41

    trust_for(TrustStore(roots=(b"one",)))

    (full, _, _), (smaller, flags, has_anchors) = crypt32.engine_configs
    assert (True, 0, True) == (smaller < full, flags, has_anchors)


def test_engine_that_cannot_be_made(crypt32: FakeSystem) -> None:
    crypt32.engine_errors += [E_INVALIDARG, signed(0x80070005)]

    with pytest.raises(TLSError) as raised:
        trust_for(TrustStore(roots=(b"one",)))

    assert signed(0x80070005) == raised.value.winerror


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
def test_anchor_that_is_no_certificate(crypt32: FakeSystem, which: int) -> None:
    crypt32.certificate_errors += [*[None] * which, 0x8009310B]

    with pytest.raises(TLSError, match="CRYPT_E_ASN1_BADTAG"):
        trust_for(TrustStore(roots=(b"one", b"two")))

    assert [] == crypt32.engine_configs


LOCATIONS = [("CurrentUser", CURRENT_USER), ("LocalMachine", LOCAL_MACHINE)]


@pytest.mark.parametrize(("location", "flag"), LOCATIONS)
def test_store_is_opened_for_reading_and_never_made(
    crypt32: FakeSystem, location: str, flag: int
) -> None:
    trust_for(TrustStore.from_store("TrustedPeople", location))

    [(flags, name)] = crypt32.opened_stores
    assert ("TrustedPeople", flag) == (name, flags & 0xFF0000)
    assert OPEN_EXISTING | READONLY == flags & (OPEN_EXISTING | READONLY | CREATE_NEW)


@pytest.mark.parametrize(
    ("error", "symbol"), [(2, "ERROR_FILE_NOT_FOUND"), (5, "ERROR_ACCESS_DENIED")]
)
def test_store_that_cannot_be_opened_is_named(crypt32: FakeSystem, error: int, symbol: str) -> None:
    crypt32.store_errors.append(error)  # 88

    with pytest.raises(TLSError, match=r"LocalMachine\\MyRoots") as raised:
        trust_for(TrustStore.from_store("MyRoots", "LocalMachine"))

    assert (symbol, error) == (raised.value.symbol, raised.value.winerror)


def test_store_that_fails_without_a_reason_has_a_hint(crypt32: FakeSystem) -> None:
    crypt32.store_errors.append(0)  # 89: NULL and GetLastError 0 is a lack of rights

    with pytest.raises(TLSError, match=r"CurrentUser\\MyRoots") as raised:
        trust_for(TrustStore.from_store("MyRoots"))

    assert "account" in raised.value.hint
