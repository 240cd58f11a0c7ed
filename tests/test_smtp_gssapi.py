"""AUTH GSSAPI on a scripted Kerberos: what is asked of SSPI, and what goes to the server."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from fake_functions import FakeFunctions
from fake_sspi_types import Status, ffi
from smtp_samples import MESSAGE, OpenSession, StartServer

from schannel_ffi import _lib
from schannel_ffi.smtp import GSSAPI, AuthenticationError

pytest_plugins = ["smtp_fixtures"]
pytestmark = pytest.mark.schannel

HOST = "mail.example.org"
DATA, TOKEN, PADDING, STREAM = 1, 2, 9, 10
MUTUAL_AUTH, INTEGRITY, ALLOCATE_MEMORY = 0x2, 0x10000, 0x100
TRAILER_BYTES, BLOCK_BYTES = 5, 8
NO_LAYER_OFFERED = b"\x07\x00\x40\x00"
CHALLENGES = [b"AP-REP", b"(wrapped)" + NO_LAYER_OFFERED]


ffi.cdef(
    """
    typedef struct {
        wchar_t *User; uint32_t UserLength; wchar_t *Domain; uint32_t DomainLength;
        wchar_t *Password; uint32_t PasswordLength; uint32_t Flags;
    } Identity;
    """
)


class FakeKerberos(FakeFunctions):
    """Two tokens and a wrapped message; `offer` is what the server's message holds."""

    def __init__(self) -> None:
        super().__init__()
        self.offer = NO_LAYER_OFFERED
        self.flags = MUTUAL_AUTH | INTEGRITY | ALLOCATE_MEMORY
        self.steps = [(Status.SEC_I_CONTINUE_NEEDED, b"AP-REQ"), (Status.SEC_E_OK, b"")]
        self.wrapped = b""
        self.passwords: list[tuple[str, ...]] = []
        self.before = {
            "InitializeSecurityContext": self._step,
            "AcquireCredentialsHandle": self._note_identity,
        }

    def _step(self) -> None:
        status, token = self.steps.pop(0)
        self.statuses["InitializeSecurityContext"] = int(status)
        self.tokens["InitializeSecurityContext"] = [(TOKEN, len(token), token or None)]

    def _note_identity(self) -> None:
        address = self.calls[-1][5]
        if address:
            parts = ffi.cast("Identity *", address)[0]
            texts = (parts.User, parts.Domain, parts.Password)
            self.passwords.append(tuple(map(ffi.string, texts)))

    def _answer(self, name: str, arguments: tuple[Any, ...], status: int) -> None:
        super()._answer(name, arguments, status)
        if name == "QueryContextAttributes":
            sizes = struct.pack("4I", 12000, 64, BLOCK_BYTES, TRAILER_BYTES)
            ffi.memmove(arguments[2], sizes, len(sizes))
        if name == "DecryptMessage":
            stream, data = (arguments[1].pBuffers[i] for i in range(2))
            offset = stream.cbBuffer - len(self.offer)
            ffi.memmove(ffi.cast("char *", stream.pvBuffer) + offset, self.offer, len(self.offer))
            data.pvBuffer = ffi.cast("char *", stream.pvBuffer) + offset
            data.cbBuffer = len(self.offer)
        if name == "EncryptMessage":
            buffers = [arguments[2].pBuffers[i] for i in range(3)]
            kinds = [(buffer.BufferType, buffer.cbBuffer) for buffer in buffers]
            assert [(TOKEN, TRAILER_BYTES), (PADDING, BLOCK_BYTES)] == [kinds[0], kinds[2]]
            self.wrapped = bytes(ffi.buffer(buffers[1].pvBuffer, buffers[1].cbBuffer))
            ffi.memmove(buffers[0].pvBuffer, b"wrap:", TRAILER_BYTES)
            buffers[2].cbBuffer = 0

    def targets(self) -> list[str]:
        return [call[3] for call in self.calls if call[0] == "InitializeSecurityContext"]


@pytest.fixture
def kerberos() -> Iterator[FakeKerberos]:
    """Let SSPI be the scripted Kerberos; at the end nothing of it may be alive."""
    fake = FakeKerberos()
    _lib.use_function_table(fake.address)
    yield fake
    _lib.use_function_table(None)
    assert [] == fake.problems()


def test_account_of_windows_logs_in_and_sends(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", auth_line="AUTH GSSAPI NTLM", challenges=CHALLENGES)

    with open_session(server, login=GSSAPI(), server_hostname=HOST) as session:
        session.send(MESSAGE)

    assert [b"AP-REQ", b"", b"wrap:" + b"\1\0\0\0"] == server.responses
    assert "by challenges" == server.messages[0].login
    assert [f"SMTPSVC/{HOST}"] * 2 == kerberos.targets()


def test_last_message_is_wrapped_without_a_layer(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=CHALLENGES)

    open_session(server, login=GSSAPI(authorization_identity="jürgen"), server_hostname=HOST)

    no_encryption = 0x80000001
    assert b"\1\0\0\0" + "jürgen".encode() == kerberos.wrapped
    assert [no_encryption] == [c[2] for c in kerberos.calls if c[0] == "EncryptMessage"]


def test_other_account_and_principal_may_be_named(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=CHALLENGES)
    login = GSSAPI("sender", "geheim", "CORP", service_name="SMTP/mx", package="Negotiate")

    open_session(server, login=login, server_hostname=HOST)

    assert [("sender", "CORP", "geheim")] == kerberos.passwords
    assert ["Negotiate"] == [c[2] for c in kerberos.calls if c[0] == "AcquireCredentialsHandle"]
    assert ["SMTP/mx"] * 2 == kerberos.targets()
    assert "geheim" not in repr(login)


BAD_OFFERS = [
    pytest.param(b"\x06\0\x40\0", "security layer", id="no_layer_is_not_offered"),
    pytest.param(b"", "security layer", id="empty"),
    pytest.param(b"\1\0\0", "security layer", id="too_short"),
    pytest.param(b"\1\0\0\0\0", "security layer", id="too_long"),
]


@pytest.mark.parametrize(("offer", "message"), BAD_OFFERS)
def test_server_that_wants_a_layer_is_refused(
    kerberos: FakeKerberos,
    start_server: StartServer,
    open_session: OpenSession,
    offer: bytes,
    message: str,
) -> None:
    kerberos.offer = offer
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=CHALLENGES)

    with pytest.raises(AuthenticationError, match=message):
        open_session(server, login=GSSAPI(), server_hostname=HOST)

    assert b"*" == server.commands[-1]


def test_server_that_does_not_prove_itself_is_refused(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    kerberos.flags = INTEGRITY | ALLOCATE_MEMORY
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=CHALLENGES)

    with pytest.raises(AuthenticationError, match="did not prove"):
        open_session(server, login=GSSAPI(), server_hostname=HOST)

    assert 1 == len(server.responses)  # the account's second token stays here


def test_no_ticket_is_told_with_the_principal(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    no_authority = Status.SEC_E_NO_AUTHENTICATING_AUTHORITY
    kerberos.steps = [(no_authority, b"")]
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=CHALLENGES)

    with pytest.raises(AuthenticationError, match=f"SMTPSVC/{HOST}.*NO_AUTHENTICATING"):
        open_session(server, login=GSSAPI(), server_hostname=HOST)

    assert [] == server.responses


def test_exchange_without_end_is_ended(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    kerberos.steps = [(Status.SEC_I_CONTINUE_NEEDED, b"again")] * 100
    server = start_server(security="tls", auth_line="AUTH GSSAPI", challenges=[b"again"] * 100)

    with pytest.raises(AuthenticationError, match="does not come to an end"):
        open_session(server, login=GSSAPI(), server_hostname=HOST)

    assert len(server.responses) < 20


def test_server_without_gssapi_is_told(
    kerberos: FakeKerberos, start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", users={"u": "p"})

    with pytest.raises(AuthenticationError, match="allows GSSAPI"):
        open_session(server, login=GSSAPI())

    assert [] == kerberos.calls
