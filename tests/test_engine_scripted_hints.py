"""What a status does not tell: resumption off, late refusals, large handshakes (13, 31, 47, 48).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    APPLICATION_DATA,
    HANDSHAKE,
    Control,
    Decrypt,
    Initialize,
    record,
)
from fake_sspi_types import SCHANNEL_SESSION_NEVER_RESUMED, ClientBit, Status, ffi
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine, alpn_list, alpn_offer

from schannel_ffi import CertificateError, CertificateReason, TLSError, _lib
from schannel_ffi._lib import failures

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OK = Status.SEC_E_OK
FIRST = Initialize(token=HELLO)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=OK)
FORGET = Control(token=SCHANNEL_SESSION_NEVER_RESUMED)
DATA = record(APPLICATION_DATA, b"x" * 40)
TICKET = record(APPLICATION_DATA, b"a new session ticket, sealed" * 2)
NEVER_RESUMED = {"disable_resumption": True}

# -------------------------------------------------------------------------------------- resumption


@pytest.mark.parametrize("build", [22000, 26100])
def test_windows_is_told_to_resume_nothing(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine, build: int
) -> None:
    system.build = build
    sspi.script(FIRST, FORGET, LAST)  # 13
    engine = make_engine(system, credential=NEVER_RESUMED)

    result = engine.handshake(FLIGHT)

    assert ("WANT_VERIFY", True) == (result, engine.resumption_is_off())
    assert HELLO + FINISHED == engine.drain()


@pytest.mark.parametrize("build", [0, 17763, 20348, 21999])
def test_older_windows_says_hello_again(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine, build: int
) -> None:
    system.build = build
    offer = alpn_offer(b"h2")
    stale, fresh = record(HANDSHAKE, b"hello with a session"), record(HANDSHAKE, b"hello without")
    sspi.script(  # 13: the first hello names a session, and never leaves
        Initialize(token=stale, alpn=offer), FORGET, Initialize(token=fresh, alpn=offer), LAST
    )
    engine = make_engine(system, credential=NEVER_RESUMED, alpn=alpn_list(b"h2"))

    result = engine.handshake(FLIGHT)

    assert ("WANT_VERIFY", True) == (result, engine.resumption_is_off())
    assert fresh + FINISHED == engine.drain()
    assert 1 == sspi.calls.count("DeleteSecurityContext")


@pytest.mark.parametrize("status", [-5, Status.SEC_E_INTERNAL_ERROR, OK], ids=hex)
def test_second_hello_that_fails_fails_the_handshake(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine, status: int
) -> None:
    system.build = 20348
    sspi.script(FIRST, FORGET, Initialize(status=status))  # 13, 16
    engine = make_engine(system, credential=NEVER_RESUMED)

    assert ("ERR_HANDSHAKE", status) == (engine.handshake(), engine.error.status)


@pytest.mark.parametrize("build", [20348, 22000])
@pytest.mark.parametrize("has_function", [True, False], ids=["refused", "no_function"])
def test_windows_that_will_not_forget_is_told_but_no_failure(
    sspi: FakeSSPI,
    system: FakeSystem,
    make_engine: MakeEngine,
    build: int,
    *,
    has_function: bool,
) -> None:
    system.build = build
    sspi.script(FIRST)  # 13, 95
    if has_function:
        refused = Status.SEC_E_UNSUPPORTED_FUNCTION
        sspi.script(Control(token=SCHANNEL_SESSION_NEVER_RESUMED, status=refused))
    else:
        sspi.table.ApplyControlToken = ffi.NULL
    sspi.script(LAST)
    engine = make_engine(system, credential=NEVER_RESUMED)

    result = engine.handshake(FLIGHT)

    assert ("WANT_VERIFY", False) == (result, engine.resumption_is_off())
    assert HELLO + FINISHED == engine.drain()


def test_hello_that_failed_forgets_nothing(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    sspi.script(Initialize(status=Status.SEC_E_INTERNAL_ERROR))
    engine = make_engine(system, credential=NEVER_RESUMED)

    assert ("ERR_HANDSHAKE", False) == (engine.handshake(), engine.resumption_is_off())


def test_resumption_stays_allowed_when_nobody_forbids_it(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST)
    engine = make_engine()

    assert ("WANT_READ", False) == (engine.handshake(), engine.resumption_is_off())


# ------------------------------------------------------------------------- refused after its end

REFUSALS = [
    Status.SEC_E_CERT_UNKNOWN,
    Status.SEC_E_ILLEGAL_MESSAGE,
    Status.SEC_E_INTERNAL_ERROR,
    -5,
]
BAD_RECORDS = [
    Status.SEC_E_MESSAGE_ALTERED,
    Status.SEC_E_DECRYPT_FAILURE,
    Status.SEC_E_OUT_OF_SEQUENCE,
    Status.SEC_E_INVALID_TOKEN,
]


def hex_of(status: int) -> str:
    return f"{status & 0xFFFFFFFF:08X}"


@pytest.mark.parametrize("status", REFUSALS, ids=hex_of)
@pytest.mark.parametrize("tickets", [0, 2])
def test_failure_of_the_first_read_is_a_late_refusal(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int, tickets: int
) -> None:
    engine = open_engine()
    ticket = (
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, status=OK),
    )
    sspi.script(*ticket * tickets, Decrypt(given=DATA, status=status))  # 48
    engine.feed(TICKET * tickets + DATA)

    result = engine.read()

    assert (("ERR_SSPI", b""), status) == (result, engine.error.status)
    assert "REFUSED_AFTER_HANDSHAKE" == engine.error.cause


@pytest.mark.parametrize("status", BAD_RECORDS, ids=hex_of)
def test_record_that_is_bad_by_itself_is_no_refusal(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, status=status))  # 48, 67
    engine.feed(DATA)

    assert ("ERR_SSPI", "NONE") == (engine.read()[0], engine.error.cause)


def test_failure_after_data_is_no_refusal(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, data=b"220"), Decrypt(given=DATA, status=-5))  # 48
    engine.feed(DATA + DATA)

    assert [("OK", b"220"), ("ERR_SSPI", b"")] == [engine.read(), engine.read()]
    assert "NONE" == engine.error.cause


def test_before_tls_1_3_no_refusal_comes_so_late(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)  # 48
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, status=Status.SEC_E_CERT_UNKNOWN))
    engine.feed(DATA)

    assert ("ERR_SSPI", "NONE") == (engine.read()[0], engine.error.cause)


# ------------------------------------------------------------------------------- large handshakes

LARGE = record(HANDSHAKE, b"c" * 16384)


@pytest.mark.parametrize(
    ("records", "cause"), [(3, "NONE"), (4, "LARGE_HANDSHAKE"), (9, "LARGE_HANDSHAKE")]
)
@pytest.mark.parametrize("is_eaten", [True, False], ids=["eaten", "kept"])
def test_large_handshake_that_windows_refuses_is_told(
    sspi: FakeSSPI, make_engine: MakeEngine, records: int, cause: str, *, is_eaten: bool
) -> None:
    illegal, incomplete = Status.SEC_E_ILLEGAL_MESSAGE, Status.SEC_E_INCOMPLETE_MESSAGE
    if is_eaten:  # 31
        steps = [Initialize(given=LARGE) for _ in range(records - 1)]
        last = LARGE
    else:
        steps = [Initialize(given=LARGE * n, status=incomplete) for n in range(1, records)]
        last = LARGE * records
    sspi.script(FIRST, *steps, Initialize(given=last, status=illegal))
    engine = make_engine()

    result = engine.handshake(LARGE * records)

    assert ("ERR_HANDSHAKE", illegal, cause) == (result, engine.error.status, engine.error.cause)


def test_another_failure_of_a_large_handshake_has_its_own_words(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    last = Initialize(given=LARGE, status=Status.SEC_E_INTERNAL_ERROR)
    sspi.script(FIRST, *[Initialize(given=LARGE)] * 5, last)  # 31
    engine = make_engine()

    engine.handshake(LARGE * 6)

    assert "NONE" == engine.error.cause


def test_handshake_that_never_ends_is_cut_off(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    incomplete = Status.SEC_E_INCOMPLETE_MESSAGE
    count = 512 * 1024 // len(LARGE)
    sspi.script(
        FIRST, *[Initialize(given=LARGE * n, status=incomplete) for n in range(1, count + 1)]
    )
    engine = make_engine()

    result = engine.handshake(LARGE * (count + 1))

    assert ("ERR_HANDSHAKE", "LARGE_HANDSHAKE") == (result, engine.error.cause)


# ----------------------------------------------------------------------------------------- words

CAUSES = {
    "NO_SERVER_ROLE": "does not take the server's part",
    "NO_CLIENT_CERTIFICATE": "the client sent no certificate",
    "REFUSED_AFTER_HANDSHAKE": "seems to have refused the handshake after its end",
    "LARGE_HANDSHAKE": "larger than 64 KiB",
    "PEER_CHANGED": "another certificate or ALPN protocol",
    "UNREAD_ANSWERS": "takes none of the answers",
}


@pytest.mark.parametrize(("cause", "words"), CAUSES.items())
def test_cause_is_what_the_error_says(cause: str, words: str) -> None:
    c, lib = _lib.require()
    number = getattr(lib, f"SCHAN_CAUSE_{cause}")
    status = {"status": Status.SEC_E_INTERNAL_ERROR, "alert": -1, "cause": number}
    err = c.new("schan_error *", {"result": lib.SCHAN_ERR_SSPI, **status})

    error = failures.failure("doing", err)

    assert isinstance(error, TLSError)
    assert words in str(error)
    assert ("SEC_E_INTERNAL_ERROR", True) == (error.symbol, bool(error.hint))


def test_missing_client_certificate_is_the_reason() -> None:
    c, lib = _lib.require()
    result, cause = lib.SCHAN_ERR_CERTIFICATE, lib.SCHAN_CAUSE_NO_CLIENT_CERTIFICATE
    err = c.new("schan_error *", {"result": result, "alert": 116, "cause": cause})

    error = failures.failure("TLS handshake", err)

    assert isinstance(error, CertificateError)
    assert CertificateReason.NO_CERTIFICATE is error.reason


def test_every_cause_has_words() -> None:
    c, lib = _lib.require()
    causes = c.typeof("schan_cause").elements

    assert {f"SCHAN_CAUSE_{name}" for name in CAUSES} == set(causes.values()) - {"SCHAN_CAUSE_NONE"}
    assert c.NULL == lib.schan_cause_text(0) == lib.schan_cause_text(len(causes))
