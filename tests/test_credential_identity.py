"""What AcquireCredentialsHandle is asked for with a certificate, and as a server.

Scripted SSPI and system calls. The Bs are those of `tests/behaviours.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from fake_keys import NTE_BAD_KEYSET, FakeKeys
from fake_sspi import FakeSSPI
from fake_sspi_types import CredentialFlag, Status, ffi
from scripted_engine import TLS_1_2, TLS_1_3

from schannel_ffi import ClientCertificate, CredentialError, TLSConfig, TLSVersion, _lib
from schannel_ffi._lib.shared import credential_for
from schannel_ffi.identity import PemSource
from schannel_ffi.private_key import PrivateKey

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

SCH_CREDENTIALS, SCHANNEL_CRED = 5, 4
NO_SYSTEM_MAPPER, DISABLE_RECONNECTS = 0x2, 0x80
NO_SESSION_IS_KEPT = 0xFFFFFFFF
INBOUND, OUTBOUND = 1, 2
SERVER_BIT_TLS_1_2, SERVER_BIT_TLS_1_3 = 0x400, 0x1000
CLIENT_FLAGS = (
    CredentialFlag.MANUAL_CRED_VALIDATION
    | CredentialFlag.NO_DEFAULT_CREDS
    | CredentialFlag.USE_STRONG_CRYPTO
)


class Asked(NamedTuple):
    """The structure that AcquireCredentialsHandle got."""

    kind: int
    flags: int
    versions: int
    lifespan: int
    certificates: list[bytes]


def read(system: FakeKeys, auth_data: Any) -> Asked:
    kind = ffi.cast("uint32_t *", auth_data)[0]
    asked = ffi.cast("SCH_CREDENTIALS *", auth_data)
    versions = 0
    if kind == SCH_CREDENTIALS:
        versions = 0xFFFFFFFF & ~asked.pTlsParameters.grbitDisabledProtocols
    else:
        asked = ffi.cast("SCHANNEL_CRED *", auth_data)
        versions = asked.grbitEnabledProtocols
    array = ffi.cast("void **", asked.paCred)
    addresses = [int(ffi.cast("uintptr_t", array[i])) for i in range(asked.cCreds)]
    certificates = [system._certificates[address].der for address in addresses]
    return Asked(kind, asked.dwFlags, versions, asked.dwSessionLifespan, certificates)


class Credentials:
    """Makes credentials with an identity on the two tables and notes what was asked for."""

    def __init__(self, sspi: FakeSSPI, system: FakeKeys) -> None:
        self.ffi, self.lib = _lib.require()
        self.sspi, self.system = sspi, system
        self.asked: list[Asked] = []
        sspi.on_acquire = lambda auth_data: self.asked.append(read(system, auth_data))
        self.err = self.ffi.new("schan_error *")
        out = self.ffi.new("schan_library **")
        functions = self.ffi.cast("void *", sspi.address)
        table = self.ffi.cast("schan_system *", system.address)
        assert self.lib.schan_library_new(out, functions, table, self.err) == 0
        self.library = out[0]

    def identity(self, der: bytes = b"CN=mail/CN=authority/2") -> Any:
        out, pinned = self.ffi.new("schan_identity **"), self.ffi.from_buffer("uint8_t[]", der)
        span = self.ffi.new("schan_span *", {"data": pinned, "size": len(der)})
        config = self.ffi.new("schan_identity_config *")
        blob = self.ffi.from_buffer("uint8_t[]", b"ECS2")
        key = {"data": blob, "size": len(blob)}
        made = self.lib.schan_identity_from_key
        assert made(out, self.library, span, 1, self.lib.SCHAN_KEY_ECC, key, config, self.err) == 0
        return out[0]

    def make(self, protocols: int = TLS_1_2, *, identity: Any = None, **settings: int) -> int:
        """Return result; what is made is freed again."""
        own = self.ffi.NULL if identity is None else identity
        config = self.ffi.new(
            "schan_credential_config *", {"protocols": protocols, "identity": own, **settings}
        )
        out = self.ffi.new("schan_credential **")
        result = int(self.lib.schan_credential_new(out, self.library, config, self.err))
        self.lib.schan_identity_free(own)  # B7: the credential holds it
        assert (out[0] == self.ffi.NULL) == (result != 0)
        if result == 0:
            assert len(self.system.disk) == (identity is not None)
        self.lib.schan_credential_free(out[0])
        assert {} == self.system.disk
        return result


@pytest.fixture
def credentials(sspi: FakeSSPI) -> Iterator[Credentials]:
    made = Credentials(sspi, FakeKeys())
    yield made
    made.lib.schan_library_free(made.library)
    assert [] == made.system.problems()


kinds = pytest.mark.parametrize("kind", [SCH_CREDENTIALS, SCHANNEL_CRED], ids=["new", "old"])


def refuse_the_new(credentials: Credentials, kind: int) -> None:
    if kind == SCHANNEL_CRED:
        credentials.sspi.acquire_answers.append(Status.SEC_E_UNKNOWN_CREDENTIALS)


@kinds
def test_certificate_is_in_both_structures(credentials: Credentials, kind: int) -> None:
    refuse_the_new(credentials, kind)

    credentials.make(identity=credentials.identity())  # B7

    asked = credentials.asked[-1]
    assert (kind, [b"CN=mail/CN=authority/2"]) == (asked.kind, asked.certificates)
    assert {OUTBOUND} == set(credentials.sspi.credential_uses)
    assert CLIENT_FLAGS == asked.flags  # B5: even then nothing is left to Windows' choice


@kinds
@pytest.mark.parametrize("is_off", [False, True], ids=["resumed", "not_resumed"])
@pytest.mark.parametrize("is_server", [False, True], ids=["client", "server"])
def test_sessions_are_kept_unless_resumption_is_off(
    credentials: Credentials, kind: int, *, is_off: bool, is_server: bool
) -> None:
    refuse_the_new(credentials, kind)

    credentials.make(
        identity=credentials.identity(), disable_resumption=is_off, is_server=is_server
    )

    asked = credentials.asked[-1]
    assert (NO_SESSION_IS_KEPT if is_off else 0) == asked.lifespan  # B13
    assert (is_off and is_server) == bool(asked.flags & DISABLE_RECONNECTS)  # B81


@kinds
def test_server_asks_as_a_server(credentials: Credentials, kind: int) -> None:
    refuse_the_new(credentials, kind)

    credentials.make(TLS_1_2 | TLS_1_3, identity=credentials.identity(), is_server=True)

    asked = credentials.asked[-1]
    newest = SERVER_BIT_TLS_1_3 if kind == SCH_CREDENTIALS else 0
    assert SERVER_BIT_TLS_1_2 | newest == asked.versions
    assert NO_SYSTEM_MAPPER | CredentialFlag.USE_STRONG_CRYPTO == asked.flags  # B81
    assert {INBOUND} == set(credentials.sspi.credential_uses)


def test_server_without_certificate_is_refused_at_once(credentials: Credentials) -> None:
    result = credentials.make(is_server=True)  # B81

    assert (credentials.lib.SCHAN_ERR_CREDENTIAL, []) == (result, credentials.asked)
    assert Status.SEC_E_NO_CREDENTIALS == credentials.err.status


KEY_STATUSES = [
    Status.SEC_E_NO_CREDENTIALS,
    Status.SEC_E_UNKNOWN_CREDENTIALS,
    Status.SEC_E_INSUFFICIENT_MEMORY,
    Status.SEC_E_INVALID_PARAMETER,
]


@pytest.mark.parametrize("status", KEY_STATUSES, ids=lambda status: status.name)
def test_lost_key_explains_the_failure(credentials: Credentials, status: int) -> None:
    identity = credentials.identity()
    credentials.system.disk.clear()
    credentials.sspi.acquire_answers.append(status)

    result = credentials.make(identity=identity)  # B8, B1: and no other structure is tried

    err = credentials.err
    assert (credentials.lib.SCHAN_ERR_CREDENTIAL, 1) == (result, len(credentials.asked))
    assert NTE_BAD_KEYSET == err.status & 0xFFFFFFFF
    call = credentials.ffi.string(err.call)
    assert b"CryptAcquireCertificatePrivateKey" == call


def test_key_in_order_leaves_the_failure_as_it_is(credentials: Credentials) -> None:
    credentials.sspi.acquire_answers.append(Status.SEC_E_NO_CREDENTIALS)

    credentials.make(identity=credentials.identity())

    assert Status.SEC_E_NO_CREDENTIALS == credentials.err.status


# -------------------------------------------------------------------------------- kept by value


def pem(subject: str, key: bytes = b"ECS2", **how: Any) -> ClientCertificate:
    der = f"CN={subject}/CN=authority/2".encode()
    return ClientCertificate(PemSource((der,), PrivateKey("EC", key), **how))


DIFFERENT = [
    ({}, {"client_certificate": pem("a")}),
    ({"client_certificate": pem("a")}, {"client_certificate": pem("b")}),
    ({"client_certificate": pem("a")}, {"client_certificate": pem("a", b"other key")}),
    ({"client_certificate": pem("a")}, {"client_certificate": pem("a", key_scope="machine")}),
    (
        {"client_certificate": pem("a")},
        {"client_certificate": pem("a"), "minimum_version": TLSVersion.TLSv1},
    ),
]


@pytest.fixture
def tables(sspi: FakeSSPI) -> Iterator[FakeKeys]:
    fake = FakeKeys()
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(fake.address)
    yield fake
    _lib.use_function_table(None)
    _lib.use_system_table(None)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_identities_never_share_a_credential(
    tables: FakeKeys, sspi: FakeSSPI, one: dict[str, Any], other: dict[str, Any]
) -> None:
    made = [credential_for(TLSConfig(**settings)) for settings in (one, other, one, other)]

    assert (made[0], made[1]) == (made[2], made[3])  # B12
    assert (2, made[0] != made[1]) == (sspi.has_credentials(), True)


def test_equal_certificates_share_credential_and_key(tables: FakeKeys, sspi: FakeSSPI) -> None:
    credential_for(TLSConfig(client_certificate=pem("a")))
    credential_for(TLSConfig(client_certificate=pem("a"), require_close_notify=False))
    credential_for(TLSConfig(client_certificate=pem("a"), insecure_weak_crypto=True))

    assert (2, 1) == (sspi.has_credentials(), len(tables.imports))


def test_certificate_of_the_other_role_is_no_client_certificate() -> None:
    with pytest.raises(TypeError, match="ServerCertificate"):
        TLSConfig(server_certificate=pem("a"))  # type: ignore[arg-type]  # on purpose


def test_server_without_certificate_is_told_so(tables: FakeKeys) -> None:
    with pytest.raises(CredentialError, match="SEC_E_NO_CREDENTIALS"):
        credential_for(TLSConfig(client_certificate=pem("a")), is_server=True)
