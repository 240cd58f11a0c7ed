"""The raw floor: each function of the table by its name, on a scripted table and for real."""

from __future__ import annotations

import contextlib
import gc
import re
import ssl
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certs import Certificates
from fake_functions import ACCESS_TOKEN, EXPIRY, FUNCTIONS, QUALITY, FakeFunctions
from fake_sspi_types import Status as Code
from fake_sspi_types import ffi

from schannel_ffi import _lib, errors, sspi
from schannel_ffi._lib import shared
from schannel_ffi.sspi import Buffer, BufferType, Credential, SecurityContext, SSPIError, Status

T = BufferType
ALLOCATE = sspi.InitializeFlag.ALLOCATE_MEMORY
EXPECTED_ALWAYS = [
    "AcquireCredentialsHandle",
    "FreeCredentialsHandle",
    "InitializeSecurityContext",
    "DeleteSecurityContext",
    "QueryContextAttributes",
    "FreeContextBuffer",
    "EncryptMessage",
    "DecryptMessage",
]
UNSUPPORTED = "SEC_E_UNSUPPORTED_FUNCTION"
LIMIT_S = 20.0


@pytest.fixture
def table() -> Iterator[FakeFunctions]:
    """Let SSPI be a scripted table; at the end nothing of it may be alive."""
    fake = FakeFunctions()
    _lib.use_function_table(fake.address)
    yield fake
    _lib.use_function_table(None)
    gc.collect()
    assert [] == fake.problems()


class Raw:
    """A credential and a security context that is open."""

    def __init__(self, table: FakeFunctions) -> None:
        self.table = table
        self.credential = Credential("Negotiate")
        self.context = SecurityContext(self.credential)
        self.context.initialize(flags=ALLOCATE)
        table.calls.clear()

    def close(self) -> None:
        self.context.close()
        self.credential.close()


@pytest.fixture
def raw(table: FakeFunctions) -> Iterator[Raw]:
    made = Raw(table)
    yield made
    made.close()


# ------------------------------------------------------------------------------ all 24, by name


def enumerate_packages(raw: Raw) -> Any:
    return [found.name for found in sspi.packages()]


def query_package(raw: Raw) -> Any:
    return sspi.package("Negotiate").max_token


def query_credential(raw: Raw) -> Any:
    return raw.credential.query(9, 4)


def acquire(raw: Raw) -> Any:
    with Credential("Negotiate", principal="ann", auth_data=b"auth", logon_id=3) as made:
        return made.expiry


def free_credential(raw: Raw) -> Any:
    made = Credential("Negotiate")
    made.close()
    return made.closed


def initialize(raw: Raw) -> Any:
    raw.table.tokens["InitializeSecurityContext"] = [(T.TOKEN, 5, b"token")]
    step = raw.context.initialize([Buffer(T.TOKEN, b"in")], target="host", flags=ALLOCATE)
    return step.token, int(step.flags), step.expiry


def accept(raw: Raw) -> Any:
    raw.table.tokens["AcceptSecurityContext"] = [(T.TOKEN, 5, b"token")]
    with SecurityContext(raw.credential) as server:
        flags = sspi.AcceptFlag.ALLOCATE_MEMORY
        return server.accept([Buffer(T.TOKEN, b"in")], flags=flags).token


def complete(raw: Raw) -> Any:
    raw.table.messages["CompleteAuthToken"] = [(T.TOKEN, 2, b"ok")]
    return raw.context.complete([Buffer(T.TOKEN, b"token")])[0].data


def delete(raw: Raw) -> Any:
    raw.context.close()
    return raw.context.closed


def control(raw: Raw) -> Any:
    raw.context.control([Buffer(T.TOKEN, bytes(4))])


def query(raw: Raw) -> Any:
    return raw.context.query(4, 3)


def impersonate(raw: Raw) -> Any:
    raw.context.impersonate()


def revert(raw: Raw) -> Any:
    raw.context.revert()


def sign(raw: Raw) -> Any:
    raw.table.messages["MakeSignature"] = [(T.DATA, 4, b"data"), (T.TOKEN, 3, b"sig")]
    made = raw.context.sign([Buffer(T.DATA, b"data"), Buffer(T.TOKEN, bytes(16))], sequence=8)
    return made.of_type(T.TOKEN), raw.table.calls[-1][2:]


def verify(raw: Raw) -> Any:
    return raw.context.verify([Buffer(T.DATA, b"data"), Buffer(T.TOKEN, b"sig")]).quality


def free_buffer(raw: Raw) -> Any:
    memory = raw.table.allocate(b"a list of issuers")
    sspi.free_context_buffer(int(ffi.cast("uintptr_t", memory)))


def export(raw: Raw) -> Any:
    return raw.context.export()


def import_context(raw: Raw) -> Any:
    packed = sspi.Exported(b"packed", ACCESS_TOKEN)
    with SecurityContext.import_from("Negotiate", packed) as made:
        return repr(made), raw.table.calls[-1][1:3]


def add(raw: Raw) -> Any:
    raw.credential.add("Kerberos", principal="bob")
    return raw.table.calls[-1][2:5]


def token(raw: Raw) -> Any:
    return raw.context.token()


def encrypt(raw: Raw) -> Any:
    raw.table.messages["EncryptMessage"] = [(T.DATA, 2, b"XX"), (T.STREAM_TRAILER, 1, b"T")]
    buffers = [Buffer(T.DATA, b"in"), Buffer(T.STREAM_TRAILER, bytes(9))]
    return raw.context.encrypt(buffers, quality=1, sequence=2).joined(), raw.table.calls[-1][2:]


def decrypt(raw: Raw) -> Any:
    raw.table.messages["DecryptMessage"] = [(T.DATA, 5, b"plain")]
    done = raw.context.decrypt([Buffer(T.DATA, b"sealed")])
    return done.of_type(T.DATA), done.quality


def set_context(raw: Raw) -> Any:
    raw.context.set(4, b"value")
    return raw.table.was_set


def set_credential(raw: Raw) -> Any:
    raw.credential.set(4, b"value")
    return raw.table.was_set


GIVEN = [(T.DATA, b"data"), (T.TOKEN, bytes(16))]
SEALED = [(T.DATA, b"in"), (T.STREAM_TRAILER, bytes(9))]
USES: dict[str, tuple[Callable[[Raw], Any], Any]] = {
    "EnumerateSecurityPackages": (enumerate_packages, ["Negotiate"]),
    "QueryCredentialsAttributes": (query_credential, b"\x09\x09\x09\x00"),
    "AcquireCredentialsHandle": (acquire, EXPIRY),
    "FreeCredentialsHandle": (free_credential, True),
    "InitializeSecurityContext": (initialize, (b"token", 0x8110, EXPIRY)),
    "AcceptSecurityContext": (accept, b"token"),
    "CompleteAuthToken": (complete, b"ok"),
    "DeleteSecurityContext": (delete, True),
    "ApplyControlToken": (control, None),
    "QueryContextAttributes": (query, b"\x04\x04\x04"),
    "ImpersonateSecurityContext": (impersonate, None),
    "RevertSecurityContext": (revert, None),
    "MakeSignature": (sign, (b"sig", (0, GIVEN, 8))),
    "VerifySignature": (verify, QUALITY),
    "FreeContextBuffer": (free_buffer, None),
    "QuerySecurityPackageInfo": (query_package, 12000),
    "ExportSecurityContext": (export, (b"packed", ACCESS_TOKEN)),
    "ImportSecurityContext": (
        import_context,
        ("<SecurityContext open>", ("Negotiate", (T.TOKEN, b"packed"))),
    ),
    "AddCredentials": (add, ("bob", "Kerberos", 2)),
    "QuerySecurityContextToken": (token, ACCESS_TOKEN),
    "EncryptMessage": (encrypt, (b"XXT", (1, SEALED, 2))),
    "DecryptMessage": (decrypt, (b"plain", QUALITY)),
    "SetContextAttributes": (set_context, b"value"),
    "SetCredentialsAttributes": (set_credential, b"value"),
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)
needs_schannel = pytest.mark.schannel


@each_function
def test_function_is_found_by_its_windows_name(name: str) -> None:
    here = sspi.FUNCTIONS[name]

    assert 24 == len(sspi.FUNCTIONS) == len(FUNCTIONS)
    assert re.search(rf"^{name} +\S", sspi.__doc__ or "", re.MULTILINE)
    assert callable(here)


@needs_schannel
@each_function
def test_function_calls_its_member_and_gives_its_answer(raw: Raw, name: str) -> None:
    use, answer = USES[name]

    assert answer == use(raw)
    assert name in raw.table.called()


RAISING = [name for name in FUNCTIONS if name not in ("FreeCredentialsHandle",)]
RAISING.remove("DeleteSecurityContext")


@needs_schannel
@pytest.mark.parametrize("name", RAISING)
def test_failing_function_raises_its_symbol(raw: Raw, name: str) -> None:
    raw.table.statuses[name] = Code.SEC_E_INTERNAL_ERROR

    with pytest.raises(SSPIError, match=f"^{name}: ") as caught:
        USES[name][0](raw)

    raw.table.memory.clear()  # of FreeContextBuffer, which failed
    assert ("SEC_E_INTERNAL_ERROR", name) == (caught.value.symbol, caught.value.function)
    assert Code.SEC_E_INTERNAL_ERROR == caught.value.winerror


@needs_schannel
@pytest.mark.parametrize("name", RAISING)
def test_null_member_is_told_by_name(raw: Raw, name: str) -> None:
    member = name if hasattr(raw.table.table, name) else f"{name}W"
    kept = ffi.cast("void *", getattr(raw.table.table, member))
    raw.table.set_member(name, ffi.NULL)

    with pytest.raises(SSPIError, match=f"^{name}: the function table has no such") as caught:
        USES[name][0](raw)

    raw.table.set_member(name, kept)
    raw.table.memory.clear()
    assert (UNSUPPORTED, name) == (caught.value.symbol, caught.value.function)
    assert name not in raw.table.called()


@needs_schannel
@pytest.mark.parametrize("name", EXPECTED_ALWAYS)
def test_table_without_a_member_that_all_need_is_refused_by_name(name: str) -> None:
    fake = FakeFunctions()
    fake.set_member(name, ffi.NULL)
    _lib.use_function_table(fake.address)

    try:
        with pytest.raises(errors.TLSError, match=f"not supported: {name} ") as caught:
            sspi.packages()
    finally:
        _lib.use_function_table(None)

    assert UNSUPPORTED == caught.value.symbol


VERSIONS = [  # name, versions without it, the first with it
    ("SetContextAttributes", (0, 1), 2),
    ("SetCredentialsAttributes", (1, 2), 3),
]


@needs_schannel
@pytest.mark.parametrize(("name", "without", "since"), VERSIONS, ids=["context", "credential"])
def test_member_behind_the_end_of_an_old_table_is_not_touched(
    raw: Raw, name: str, without: tuple[int, ...], since: int
) -> None:
    for version in without:
        raw.table.table.dwVersion = version
        with pytest.raises(SSPIError, match=f"{name}: .*version {version} .*before {since}") as got:
            USES[name][0](raw)
        assert UNSUPPORTED == got.value.symbol
    assert name not in raw.table.called()

    raw.table.table.dwVersion = since
    assert b"value" == USES[name][0](raw)


# --------------------------------------------------------------------------------------- values


@needs_schannel
def test_packages_tell_what_they_can_do(table: FakeFunctions) -> None:
    table.packages.append(("", "", 0xC0000400, 1, 0xFFFF, 0))

    first, second = sspi.packages()

    assert ("Negotiate", "Package Negotiator", 1, 9, 12000) == (
        *(first.name, first.comment, first.version, first.rpc_id),
        first.max_token,
    )
    assert sspi.Capability.NEGOTIABLE | sspi.Capability.PRIVACY in first.capabilities
    assert sspi.Capability.STREAM in second.capabilities
    assert 0xC0000400 == int(second.capabilities)  # bits that are not known here stay


STATUSES = [
    (0x00090312, "CONTINUE_NEEDED", "SEC_I_CONTINUE_NEEDED"),
    (0, "OK", "SEC_E_OK"),
    (0x00090399, "0x00090399", "0x00090399"),
]


@pytest.mark.parametrize(("number", "name", "symbol"), STATUSES, ids=["known", "ok", "unknown"])
def test_status_that_is_no_failure_has_a_name_and_a_text(
    number: int, name: str, symbol: str
) -> None:
    status = Status(number)

    assert (number, name, symbol) == (status, status.name, status.symbol)
    assert status.text
    assert "\n" not in status.text


def test_every_status_has_a_text_of_its_own() -> None:
    assert len(Status) == len({status.text for status in Status})


@needs_schannel
def test_given_buffers_are_never_written_to(raw: Raw) -> None:
    mine = bytearray(b"sealed")
    raw.table.messages["DecryptMessage"] = [(T.DATA, 5, b"plain")]

    done = raw.context.decrypt([Buffer(T.DATA, memoryview(mine))])

    assert (b"sealed", b"plain") == (bytes(mine), done.of_type(T.DATA))


INPUTS = [  # what in[1] becomes, what the caller sees
    ([(T.TOKEN, 6, b"abcdef"), (T.EXTRA, 2, None)], b"ef"),  # the pointer is NULL (row 22)
    ([(T.TOKEN, 6, b"abcdef"), (T.EXTRA, 6, None)], b"abcdef"),
    ([(T.TOKEN, 6, b"abcdef"), (T.EXTRA, 7, None)], b""),  # more than there was
    ([(T.TOKEN, 6, b"abcdef"), (T.EMPTY, 0, None)], b""),
]


@needs_schannel
@pytest.mark.parametrize(
    ("written", "extra"), INPUTS, ids=["end", "all", "more_than_given", "nothing"]
)
def test_extra_is_the_end_of_the_input(raw: Raw, written: Any, extra: bytes) -> None:
    raw.table.messages["InitializeSecurityContext"] = written

    step = raw.context.initialize([Buffer(T.TOKEN, b"abcdef"), Buffer(T.EMPTY)], flags=ALLOCATE)

    assert extra == step.extra


@needs_schannel
def test_size_beyond_the_memory_given_is_cut_off(raw: Raw) -> None:
    raw.table.messages["DecryptMessage"] = [(T.DATA, 64, b"plain!")]

    done = raw.context.decrypt([Buffer(T.DATA, b"sealed")])

    assert (64, b"plain!") == (done.buffers[0].size, done.buffers[0].data)


@needs_schannel
def test_missing_tells_its_count_and_has_no_bytes(raw: Raw) -> None:
    raw.table.messages["DecryptMessage"] = [(T.MISSING, 32, None)]
    raw.table.statuses["DecryptMessage"] = Code.SEC_E_INCOMPLETE_MESSAGE

    with pytest.raises(SSPIError) as caught:
        raw.context.decrypt([Buffer(T.DATA, b"\x17")])

    assert (Buffer(T.MISSING, b"", 32),) == caught.value.buffers


@needs_schannel
def test_failing_step_hands_out_its_alert_and_makes_no_handle(table: FakeFunctions) -> None:
    table.tokens["InitializeSecurityContext"] = [
        (T.TOKEN, 0, b""),
        (T.ALERT, 7, b"\x15\3\3\0\2\2("),
    ]
    table.statuses["InitializeSecurityContext"] = Code.SEC_E_ILLEGAL_MESSAGE

    with Credential("Schannel") as credential, SecurityContext(credential) as context:
        with pytest.raises(SSPIError) as caught:
            context.initialize(flags=ALLOCATE, output=[Buffer(T.TOKEN), Buffer(T.ALERT)])
        assert "<SecurityContext empty>" == repr(context)

    assert [b"", b"\x15\3\3\0\2\2("] == [buffer.data for buffer in caught.value.output]
    assert "DeleteSecurityContext" not in table.called()


@needs_schannel
def test_token_in_memory_of_the_caller_is_not_given_back(table: FakeFunctions) -> None:
    table.tokens["InitializeSecurityContext"] = [(T.TOKEN, 5, b"token")]

    with Credential("Negotiate") as credential, SecurityContext(credential) as context:
        no_flags = sspi.InitializeFlag(0)
        step = context.initialize(flags=no_flags, output=[Buffer(T.TOKEN, bytes(100))])

    assert (b"token", 5) == (step.token, step.output[0].size)
    assert "FreeContextBuffer" not in table.called()


@needs_schannel
def test_steps_after_the_first_go_on_with_the_same_handle(table: FakeFunctions) -> None:
    table.statuses["InitializeSecurityContext"] = 0x00090312

    with Credential("Negotiate") as credential, SecurityContext(credential) as context:
        first = context.initialize(flags=ALLOCATE, target="host")
        table.statuses.clear()
        second = context.initialize(flags=ALLOCATE, target="host")

    assert [Status.CONTINUE_NEEDED, Status.OK] == [first.status, second.status]
    steps = [call for call in table.calls if call[0] == "InitializeSecurityContext"]
    assert [(None, 0), (0x12, 0x12)] == [(step[2], step[9]) for step in steps]


# ------------------------------------------------------------------------------------ ownership


@needs_schannel
def test_credential_that_is_closed_first_is_freed_after_its_context(table: FakeFunctions) -> None:
    credential = Credential("Negotiate")
    context = SecurityContext(credential)
    context.initialize(flags=ALLOCATE)

    credential.close()
    context.initialize(flags=ALLOCATE)
    context.close()

    assert ["DeleteSecurityContext", "FreeCredentialsHandle"] == table.called()[-2:]


@needs_schannel
def test_credential_of_a_later_step_is_kept_as_well(raw: Raw) -> None:
    with Credential("Negotiate") as other:
        raw.context.initialize(flags=ALLOCATE, credential=other)

    assert "FreeCredentialsHandle" not in raw.table.called()
    raw.context.close()
    assert ["DeleteSecurityContext", "FreeCredentialsHandle"] == raw.table.called()[-2:]


@needs_schannel
def test_close_is_harmless_when_repeated_and_ends_all_calls(raw: Raw) -> None:
    raw.context.close()
    raw.context.close()

    with pytest.raises(SSPIError, match="the security context is closed") as caught:
        raw.context.query(4, 20)
    assert "SEC_E_INVALID_HANDLE" == caught.value.symbol
    assert 1 == raw.table.called().count("DeleteSecurityContext")


NEEDING_A_HANDLE: list[Callable[[SecurityContext], Any]] = [
    lambda context: context.query(4, 20),
    lambda context: context.decrypt([Buffer(T.DATA, b"sealed")]),
    lambda context: context.export(),
]


@needs_schannel
@pytest.mark.parametrize("use", NEEDING_A_HANDLE, ids=["query", "decrypt", "export"])
def test_security_context_without_a_handle_reaches_no_windows(
    table: FakeFunctions, use: Callable[[SecurityContext], Any]
) -> None:
    with SecurityContext() as context, pytest.raises(SSPIError, match="does not exist yet") as got:
        use(context)

    assert ("SEC_E_INVALID_HANDLE", []) == (got.value.symbol, table.called())


@needs_schannel
def test_export_that_deletes_leaves_nothing_to_delete(raw: Raw) -> None:
    raw.context.export(sspi.ExportFlag.DELETE_OLD)

    assert raw.context.closed
    assert "DeleteSecurityContext" not in raw.table.called()


@needs_schannel
def test_handle_that_is_forgotten_warns_and_is_given_back_at_once(table: FakeFunctions) -> None:
    gc.disable()
    try:
        with pytest.warns(ResourceWarning, match="unclosed <Credential open>"):
            Credential("Negotiate")
    finally:
        gc.enable()

    assert ["AcquireCredentialsHandle", "FreeCredentialsHandle"] == table.called()


@needs_schannel
def test_credential_that_was_refused_does_not_warn(table: FakeFunctions) -> None:
    table.statuses["AcquireCredentialsHandle"] = Code.SEC_E_NO_CREDENTIALS

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(SSPIError):
            Credential("Negotiate")
        gc.collect()

    assert ["AcquireCredentialsHandle"] == table.called()


@needs_schannel
def test_close_from_another_thread_waits_for_the_call_that_runs(raw: Raw) -> None:
    has_entered, may_leave = threading.Event(), threading.Event()

    def wait() -> None:
        has_entered.set()
        may_leave.wait(LIMIT_S)

    raw.table.before["DecryptMessage"] = wait
    raw.table.messages["DecryptMessage"] = [(T.DATA, 5, b"plain")]
    results: list[bytes] = []
    buffers = [Buffer(T.DATA, b"sealed")]
    reader = threading.Thread(
        target=lambda: results.append(raw.context.decrypt(buffers).of_type(T.DATA)), daemon=True
    )
    reader.start()
    assert has_entered.wait(LIMIT_S)

    raw.context.close()
    while_inside = raw.table.called().count("DeleteSecurityContext")
    may_leave.set()
    reader.join(LIMIT_S)

    assert (0, [b"plain"]) == (while_inside, results)
    assert 1 == raw.table.called().count("DeleteSecurityContext")


@needs_schannel
def test_handles_stay_with_the_table_they_came_from(raw: Raw) -> None:
    other = FakeFunctions()
    _lib.use_function_table(other.address)

    raw.context.query(4, 3)
    raw.close()

    assert [] == other.calls


# ------------------------------------------------------------------------------------- for real


def wine_major() -> int:
    kernel32 = ffi.dlopen("kernel32.dll")
    module = kernel32.GetModuleHandleA(b"ntdll.dll")
    address = kernel32.GetProcAddress(module, b"wine_get_version")
    if address == ffi.NULL:
        return 0
    version = ffi.cast("char *(*)(void)", address)()
    return int(ffi.string(version).split(b".")[0])


ffi.cdef(
    """
    void *__stdcall GetModuleHandleA(const char *);
    void *__stdcall GetProcAddress(void *, const char *);
    """
)

SCHANNEL_CRED_VERSION, NO_DEFAULT_CREDS, MANUAL_VALIDATION = 4, 0x10, 0x8
SCHANNEL_CRED = struct.pack(
    "@IIPPIPIPIIIIII",
    *(SCHANNEL_CRED_VERSION, *[0] * 11),
    *(NO_DEFAULT_CREDS | MANUAL_VALIDATION, 0),
)
ASKED = (
    sspi.InitializeFlag.REPLAY_DETECT
    | sspi.InitializeFlag.SEQUENCE_DETECT
    | sspi.InitializeFlag.CONFIDENTIALITY
    | sspi.InitializeFlag.ALLOCATE_MEMORY
    | sspi.InitializeFlag.STREAM
    | sspi.InitializeFlag.USE_SUPPLIED_CREDS
    | sspi.InitializeFlag.MANUAL_CRED_VALIDATION
)
STREAM_SIZES = 4
EMPTY = Buffer(T.EMPTY)


class Server:
    """The standard ssl module as the peer, in memory."""

    def __init__(self, certificates: Certificates, version: ssl.TLSVersion) -> None:
        settings = certificates.good_rsa.server_context()
        settings.minimum_version = settings.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = settings.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def answer(self, token: bytes) -> bytes:
        self.incoming.write(token)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()


def shake_hands(context: SecurityContext, server: Server, name: str) -> bytes:
    """Make the handshake; return what came behind it."""
    step = context.initialize(target=name, flags=ASKED)
    left = b""
    while step.status == Status.CONTINUE_NEEDED:
        data = left + server.answer(step.token)
        step = context.initialize([Buffer(T.TOKEN, data), EMPTY], target=name, flags=ASKED)
        left = step.extra
    assert Status.OK == step.status
    return left + server.answer(step.token)


def read(context: SecurityContext, data: bytes) -> bytes:
    """Decrypt records, tickets among them, until there is application data."""
    while data:
        done = context.decrypt([Buffer(T.DATA, data), EMPTY, EMPTY, EMPTY])
        if plain := done.of_type(T.DATA):
            return plain
        data = done.of_type(T.EXTRA)
    return b""


@needs_schannel
def test_schannel_talks_to_openssl_by_the_raw_floor(
    certificates: Certificates, tls_version: ssl.TLSVersion
) -> None:
    server = Server(certificates, tls_version)
    with (
        Credential("Schannel", auth_data=SCHANNEL_CRED) as credential,
        SecurityContext(credential) as context,
    ):
        left = shake_hands(context, server, "localhost")
        header, trailer, *_ = struct.unpack("5I", context.query(STREAM_SIZES, 20))
        buffers = [
            Buffer(T.STREAM_HEADER, bytes(header)),
            Buffer(T.DATA, b"EHLO"),
            Buffer(T.STREAM_TRAILER, bytes(trailer)),
            EMPTY,
        ]
        server.incoming.write(context.encrypt(buffers).joined())
        heard = server.tls.read(100)
        server.tls.write(b"250 ok")

        assert b"EHLO" == heard
        assert b"250 ok" == read(context, left + server.outgoing.read())


@needs_schannel
def test_windows_lists_schannel_among_its_packages() -> None:
    found = {each.name: each for each in sspi.packages()}
    schannel = sspi.package("Schannel")

    assert sspi.Capability.STREAM | sspi.Capability.PRIVACY in schannel.capabilities
    assert found["Schannel"] == schannel


@needs_schannel
def test_package_that_is_not_there_is_told() -> None:
    with pytest.raises(SSPIError) as caught:
        sspi.package("no such package")

    assert "SEC_E_SECPKG_NOT_FOUND" == caught.value.symbol


@needs_schannel
def test_member_that_a_package_does_not_support_is_told(certificates: Certificates) -> None:
    server = Server(certificates, ssl.TLSVersion.TLSv1_2)
    with (
        Credential("Schannel", auth_data=SCHANNEL_CRED) as credential,
        SecurityContext(credential) as context,
    ):
        shake_hands(context, server, "localhost")
        with pytest.raises(SSPIError, match="MakeSignature") as caught:
            context.sign([Buffer(T.DATA, b"data"), Buffer(T.TOKEN, bytes(64))])

    assert UNSUPPORTED == caught.value.symbol


@needs_schannel
def test_raw_calls_keep_out_of_the_handle_table_while_the_engine_is_in() -> None:
    """Wine < 9 alone: one unlocked table of handles (row 74), one lock for engine and raw floor."""
    if not 0 < wine_major() < 9:
        pytest.skip("only Wine < 9 needs the lock")
    _, lib = _lib.require()
    library = shared.library()
    made: list[Credential] = []

    lib.schan_sspi_enter(library, 1)
    maker = threading.Thread(target=lambda: made.append(Credential("Schannel")), daemon=True)
    maker.start()
    maker.join(0.3)
    was_waiting = maker.is_alive()
    lib.schan_sspi_leave(library, 1)
    maker.join(LIMIT_S)

    made[0].close()
    assert was_waiting


@needs_schannel
def test_example_of_the_readme_runs() -> None:
    readme = Path(__file__).resolve().parent.parent / "README.md"
    section = readme.read_text(encoding="utf-8").partition("## The raw floor\n")[2]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example
    names: dict[str, Any] = {}

    exec(example[1], names)

    assert b"\x16\x03" == names["hello"][:2]  # a handshake record
