"""What AcquireCredentialsHandle is asked for (windows_behaviours.md, A, and row 82).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_types import ClientBit, CredentialFlag, Status, ffi
from fake_system import FakeSystem
from scripted_engine import TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3

from schannel_ffi import CredentialError, Revocation, TLSConfig, TLSVersion, _lib

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

SCH_CREDENTIALS, SCHANNEL_CRED = 5, 4
FIRST_BUILD_WITH_TLS13 = 20348
WINDOWS_10, WINDOWS_11 = 19045, 26100
SAFE = CredentialFlag.MANUAL_CRED_VALIDATION | CredentialFlag.NO_DEFAULT_CREDS
STAPLE = (
    CredentialFlag.REVOCATION_CHECK_END_CERT
    | CredentialFlag.IGNORE_NO_REVOCATION_CHECK
    | CredentialFlag.IGNORE_REVOCATION_OFFLINE
)
ALL_BITS = 0xFFFFFFFF


class Asked(NamedTuple):
    """The structure that AcquireCredentialsHandle got; versions are those that remain possible."""

    kind: int
    flags: int
    versions: int
    rest: list[int]


def read(auth_data: Any) -> Asked:
    kind = ffi.cast("uint32_t *", auth_data)[0]
    if kind == SCH_CREDENTIALS:
        new = ffi.cast("SCH_CREDENTIALS *", auth_data)
        parameters = new.pTlsParameters
        assert (new.cTlsParameters, parameters.dwFlags) == (1, 0)
        rest = [new.dwCredFormat, new.cCreds, new.cMappers, new.dwSessionLifespan]
        rest += [parameters.cAlpnIds, parameters.cDisabledCrypto]
        return Asked(kind, new.dwFlags, ALL_BITS & ~parameters.grbitDisabledProtocols, rest)
    old = ffi.cast("SCHANNEL_CRED *", auth_data)
    rest = [old.dwCredFormat, old.cCreds, old.cMappers, old.dwSessionLifespan, old.cSupportedAlgs]
    rest += [old.dwMinimumCipherStrength, old.dwMaximumCipherStrength]
    return Asked(kind, old.dwFlags, old.grbitEnabledProtocols, rest)


class Credentials:
    """Makes credentials on the two tables and notes what was asked for."""

    def __init__(self, sspi: FakeSSPI, system: FakeSystem) -> None:
        self.ffi, self.lib = _lib.require()
        self.sspi, self.system = sspi, system
        self.asked: list[Asked] = []
        sspi.on_acquire = lambda auth_data: self.asked.append(read(auth_data))

    def make(self, protocols: int, **settings: int) -> tuple[int, int]:
        """Return result and kind, or result and status; everything is freed again."""
        out, err = self.ffi.new("schan_library **"), self.ffi.new("schan_error *")
        table = self.ffi.cast("void *", self.sspi.address)
        system = self.ffi.cast("schan_system *", self.system.address)
        assert self.lib.schan_library_new(out, table, system, err) == 0
        config = {"protocols": protocols, "check_revocation": 0, "allow_weak_crypto": 0}
        made = self.ffi.new("schan_credential **")
        c_config = self.ffi.new("schan_credential_config *", {**config, **settings})
        result = self.lib.schan_credential_new(made, out[0], c_config, err)
        kind = self.lib.schan_credential_kind(made[0]) if result == 0 else err.status
        assert (made[0] == self.ffi.NULL) == (result != 0)
        self.lib.schan_credential_free(made[0])
        self.lib.schan_library_free(out[0])
        return result, kind


@pytest.fixture
def credentials(sspi: FakeSSPI, system: FakeSystem) -> Credentials:
    return Credentials(sspi, system)


VERSIONS = [  # what the caller allows, what Windows is asked for
    (TLS_1_0, ClientBit.TLS_1_0),
    (TLS_1_1, ClientBit.TLS_1_1),
    (TLS_1_2, ClientBit.TLS_1_2),
    (TLS_1_3, ClientBit.TLS_1_3),
    (TLS_1_2 | TLS_1_3, ClientBit.TLS_1_2 | ClientBit.TLS_1_3),
    (TLS_1_0 | TLS_1_1 | TLS_1_2, ClientBit.TLS_1_0 | ClientBit.TLS_1_1 | ClientBit.TLS_1_2),
]


@pytest.mark.parametrize(("allowed", "asked"), VERSIONS)
def test_new_structure_is_tried_first_with_the_exact_versions(
    credentials: Credentials, allowed: int, asked: int
) -> None:
    result = credentials.make(allowed)  # 1, 3

    assert (0, SCH_CREDENTIALS) == result
    assert [(SCH_CREDENTIALS, asked)] == [(a.kind, a.versions) for a in credentials.asked]


UNKNOWN_STRUCTURE = [
    Status.SEC_E_UNKNOWN_CREDENTIALS,
    Status.SEC_E_INVALID_PARAMETER,
    Status.E_INVALIDARG,
]


@pytest.mark.parametrize("status", UNKNOWN_STRUCTURE, ids=lambda status: status.name)
@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        (TLS_1_2, ClientBit.TLS_1_2),
        (TLS_1_2 | TLS_1_3, ClientBit.TLS_1_2),
        (TLS_1_0 | TLS_1_3, ClientBit.TLS_1_0),
    ],
)
def test_old_structure_follows_when_windows_does_not_know_the_new_one(
    credentials: Credentials, status: int, allowed: int, asked: int
) -> None:
    credentials.sspi.acquire_answers.append(status)  # 1, 2: without TLS 1.3, which it cannot have

    result = credentials.make(allowed)

    assert (0, SCHANNEL_CRED) == result
    assert [SCH_CREDENTIALS, SCHANNEL_CRED] == [asked.kind for asked in credentials.asked]
    assert asked == credentials.asked[1].versions


@pytest.mark.parametrize("status", UNKNOWN_STRUCTURE, ids=lambda status: status.name)
def test_old_structure_is_no_way_out_for_tls_1_3_alone(
    credentials: Credentials, status: int
) -> None:
    credentials.sspi.acquire_answers.append(status)  # 1, 2

    result, _ = credentials.make(TLS_1_3)

    assert (credentials.lib.SCHAN_ERR_CREDENTIAL, 1) == (result, len(credentials.asked))


OTHER_FAILURES = [
    Status.SEC_E_ALGORITHM_MISMATCH,
    Status.SEC_E_NO_CREDENTIALS,
    Status.SEC_E_NO_AUTHENTICATING_AUTHORITY,
    Status.SEC_E_INSUFFICIENT_MEMORY,
    Status.SEC_E_INTERNAL_ERROR,
    Status.SEC_I_CONTINUE_NEEDED,
    0x12345678,
    -5,
]


@pytest.mark.parametrize("status", OTHER_FAILURES)
def test_any_other_failure_is_told_and_not_tried_again(
    credentials: Credentials, status: int
) -> None:
    credentials.sspi.acquire_answers.append(status)  # 1

    result = credentials.make(TLS_1_2)

    assert (credentials.lib.SCHAN_ERR_CREDENTIAL, status) == result
    assert 1 == len(credentials.asked)


def test_failure_of_the_old_structure_is_the_one_told(credentials: Credentials) -> None:
    credentials.sspi.acquire_answers += [
        Status.SEC_E_UNKNOWN_CREDENTIALS,
        Status.SEC_E_ALGORITHM_MISMATCH,
    ]

    result = credentials.make(TLS_1_2)

    assert (credentials.lib.SCHAN_ERR_CREDENTIAL, Status.SEC_E_ALGORITHM_MISMATCH) == result


FLAGS = [  # settings, flags
    ({}, SAFE | CredentialFlag.USE_STRONG_CRYPTO),  # 4, 5, 6
    ({"allow_weak_crypto": 1}, SAFE),  # 4
]


@pytest.mark.parametrize(("settings", "flags"), FLAGS)
@pytest.mark.parametrize("kind", [SCH_CREDENTIALS, SCHANNEL_CRED], ids=["new", "old"])
def test_flags_are_safe_in_both_structures(
    credentials: Credentials, settings: dict[str, int], flags: int, kind: int
) -> None:
    if kind == SCHANNEL_CRED:
        credentials.sspi.acquire_answers.append(Status.SEC_E_UNKNOWN_CREDENTIALS)

    credentials.make(TLS_1_2, **settings)

    assert (kind, flags) == credentials.asked[-1][:2]


@pytest.mark.parametrize("weak", [0, 1])
def test_stapled_answer_is_asked_for_where_revocation_matters(
    credentials: Credentials, weak: int
) -> None:
    credentials.make(TLS_1_2, check_revocation=1, allow_weak_crypto=weak)

    strong = 0 if weak else CredentialFlag.USE_STRONG_CRYPTO
    assert (SCH_CREDENTIALS, SAFE | STAPLE | strong) == credentials.asked[-1][:2]  # B15


@pytest.mark.parametrize("kind", [SCH_CREDENTIALS, SCHANNEL_CRED], ids=["new", "old"])
def test_nothing_else_is_set(credentials: Credentials, kind: int) -> None:
    if kind == SCHANNEL_CRED:
        credentials.sspi.acquire_answers.append(Status.SEC_E_UNKNOWN_CREDENTIALS)

    credentials.make(TLS_1_2)  # 5: no certificate, so none of Windows' choice either

    assert {0} == set(credentials.asked[-1].rest)


BUILDS = [  # build, what the caller allows, whether TLS 1.3 is offered; 82
    pytest.param(WINDOWS_10, TLS_1_2 | TLS_1_3, False, id="windows_10"),
    pytest.param(FIRST_BUILD_WITH_TLS13 - 1, TLS_1_2 | TLS_1_3, False, id="last_without"),
    pytest.param(FIRST_BUILD_WITH_TLS13, TLS_1_2 | TLS_1_3, True, id="first_with"),
    pytest.param(WINDOWS_11, TLS_1_2 | TLS_1_3, True, id="windows_11"),
    pytest.param(WINDOWS_10, TLS_1_3, True, id="windows_10_minimum_1_3"),
    pytest.param(0, TLS_1_2 | TLS_1_3, False, id="unknown"),
]


@pytest.mark.parametrize(("build", "allowed", "is_offered"), BUILDS)
def test_tls_1_3_is_offered_only_where_windows_supports_it(
    credentials: Credentials, build: int, allowed: int, *, is_offered: bool
) -> None:
    credentials.system.build = build

    credentials.make(allowed)

    assert is_offered == bool(credentials.asked[0].versions & ClientBit.TLS_1_3)
    assert bool(allowed & TLS_1_2) == bool(credentials.asked[0].versions & ClientBit.TLS_1_2)


# ------------------------------------------------------------------------------ as Python tells it


@pytest.mark.parametrize("status", UNKNOWN_STRUCTURE, ids=lambda status: status.name)
def test_error_of_a_windows_without_tls_1_3_speaks_of_tls_1_3(sspi: FakeSSPI, status: int) -> None:
    sspi.acquire_answers.append(status)  # 2: "clear error before any byte is sent"
    _lib.use_function_table(sspi.address)
    config = TLSConfig(minimum_version=TLSVersion.TLSv1_3, revocation=Revocation.OFF)

    with pytest.raises(CredentialError) as raised:
        _lib.Connection(config, _lib.Role(), 0)

    _lib.use_function_table(None)
    assert "TLS 1.3" in str(raised.value)


MEMBERS = [
    "AcquireCredentialsHandleW",
    "FreeCredentialsHandle",
    "InitializeSecurityContextW",
    "DeleteSecurityContext",
    "QueryContextAttributesW",
    "FreeContextBuffer",
    "EncryptMessage",
    "DecryptMessage",
]


@pytest.mark.parametrize("member", MEMBERS)
def test_table_without_an_indispensable_member_is_refused(sspi: FakeSSPI, member: str) -> None:
    c, lib = _lib.require()
    setattr(sspi.table, member, ffi.NULL)  # 95
    out, err = c.new("schan_library **"), c.new("schan_error *")

    result = lib.schan_library_new(out, c.cast("void *", sspi.address), c.NULL, err)

    assert (lib.SCHAN_ERR_SYSTEM, c.NULL) == (result, out[0])
    assert Status.SEC_E_UNSUPPORTED_FUNCTION == err.status
