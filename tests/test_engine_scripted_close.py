"""How connections end: close_notify, alerts of our own, freeing (rows 45, 64, 68 to 71, 95).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import ALERT, APPLICATION_DATA, Control, Decrypt, Encrypt, Initialize, record
from fake_sspi_types import SCHANNEL_SHUTDOWN, ClientBit, Status, ffi, schannel_alert
from fake_system import FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

EXPIRED = Status.SEC_I_CONTEXT_EXPIRED
CLOSE_NOTIFY = record(APPLICATION_DATA, b"sealed close_notify")
DATA = record(APPLICATION_DATA, b"x" * 40)
GOODBYE = record(ALERT, b"our close_notify, sealed")
FIRST = Initialize(token=HELLO)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK)

# ------------------------------------------------------------------------------- the peer's ending


def test_close_notify_ends_reading(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=EXPIRED))  # 64
    engine.feed(CLOSE_NOTIFY)

    assert [("CLOSED", b"")] * 2 == [engine.read(), engine.read()]


@pytest.mark.parametrize("is_same_record", [True, False], ids=["same_record", "record_before"])
def test_data_before_close_notify_is_delivered(
    sspi: FakeSSPI, open_engine: MakeEngine, *, is_same_record: bool
) -> None:
    engine = open_engine()
    if is_same_record:
        sspi.script(Decrypt(given=DATA, status=EXPIRED, data=b"221 bye"))  # 64
    else:
        sspi.script(
            Decrypt(given=DATA, data=b"221 bye"), Decrypt(given=CLOSE_NOTIFY, status=EXPIRED)
        )
    engine.feed(DATA if is_same_record else DATA + CLOSE_NOTIFY)

    assert [("OK", b"221 bye"), ("CLOSED", b"")] == [engine.read(), engine.read()]


@pytest.mark.parametrize(
    "junk", [DATA, b"not TLS at all", DATA[:7]], ids=["record", "text", "torn"]
)
def test_bytes_after_close_notify_are_ignored(
    sspi: FakeSSPI, open_engine: MakeEngine, junk: bytes
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=EXPIRED))  # 64
    engine.feed(CLOSE_NOTIFY + junk)

    first, fed = engine.read(), engine.feed(junk)
    engine.feed_eof()

    assert (("CLOSED", b""), "OK", ("CLOSED", b""), 0) == (
        first,
        fed,
        engine.read(),
        engine.pending(),
    )


def test_bytes_fed_after_close_notify_are_not_kept(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=EXPIRED))  # B64
    engine.feed(CLOSE_NOTIFY + b"QUIT")
    engine.read()

    fed = [engine.feed(DATA * 100) for _ in range(3)]

    assert (["OK"] * 3, len(b"QUIT")) == (fed, engine.left_over())


def test_writing_goes_on_after_the_peers_close_notify(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=CLOSE_NOTIFY, status=EXPIRED), Encrypt(data=b"QUIT"))  # 64
    engine.feed(CLOSE_NOTIFY)
    engine.read()

    assert ("OK", 4) == engine.write(b"QUIT")


@pytest.mark.parametrize("kind", [ALERT, APPLICATION_DATA], ids=["tls12", "tls13"])
def test_empty_record_is_no_close_notify_on_windows(
    sspi: FakeSSPI, open_engine: MakeEngine, kind: int
) -> None:
    engine = open_engine()
    empty = record(kind, b"x" * 19)  # 64: what is one under Wine
    sspi.script(Decrypt(given=empty))
    engine.feed(empty)
    engine.feed_eof()

    assert "ERR_TRUNCATED" == engine.read()[0]


# ---------------------------------------------------------------------------------- our own ending


@pytest.mark.parametrize("status", [Status.SEC_E_OK, EXPIRED], ids=["ok", "context_expired"])
def test_shutdown_queues_close_notify_and_reading_goes_on(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(  # 68
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=status, token=GOODBYE),
        Decrypt(given=DATA, data=b"221 bye"),
    )

    results = [engine.shutdown(), engine.shutdown()]
    engine.feed(DATA)

    assert (["OK", "OK"], GOODBYE) == (results, engine.drain())
    assert (("ERR_MISUSE", 0), ("OK", b"221 bye")) == (engine.write(b"x"), engine.read())


def test_close_notify_leaves_behind_what_was_written(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(  # 68
        Encrypt(data=b"QUIT"),
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=Status.SEC_E_OK, token=GOODBYE),
    )
    engine.write(b"QUIT")
    engine.shutdown()

    assert engine.drain().endswith(GOODBYE)


@pytest.mark.parametrize(
    "status",
    [
        Status.SEC_E_UNSUPPORTED_FUNCTION,
        Status.SEC_E_INVALID_TOKEN,
        Status.SEC_E_INTERNAL_ERROR,
        Status.SEC_E_INVALID_HANDLE,
    ],
)
def test_shutdown_without_close_notify_is_no_error(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(Control(token=SCHANNEL_SHUTDOWN, status=status))  # 70

    assert ("OK", b"") == (engine.shutdown(), engine.drain())


def test_shutdown_whose_alert_windows_cannot_make_is_no_error(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(  # 68, 70
        Control(token=SCHANNEL_SHUTDOWN), Initialize(status=Status.SEC_E_INTERNAL_ERROR)
    )

    assert ("OK", b"") == (engine.shutdown(), engine.drain())


def test_shutdown_before_the_handshake_has_begun(make_engine: MakeEngine) -> None:
    engine = make_engine()  # 69: there is no security context to ask

    assert ("OK", b"") == (engine.shutdown(), engine.drain())


def test_shutdown_inside_the_handshake_aborts_politely(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    plain = record(ALERT, bytes((1, 0)))
    sspi.script(  # 69
        FIRST, Control(token=SCHANNEL_SHUTDOWN), Initialize(status=Status.SEC_E_OK, token=plain)
    )
    engine = make_engine()
    engine.handshake()

    assert ("OK", HELLO + plain) == (engine.shutdown(), engine.drain())


def test_shutdown_between_handshake_and_verdict(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(  # 69
        FIRST,
        LAST,
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=Status.SEC_E_OK, token=GOODBYE),
    )
    engine = make_engine()
    engine.handshake(FLIGHT)

    assert ("OK", HELLO + FINISHED + GOODBYE) == (engine.shutdown(), engine.drain())


def test_table_without_apply_control_token(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    sspi.table.ApplyControlToken = ffi.NULL  # 95
    engine = open_engine()

    assert ("OK", b"", "ERR_MISUSE") == (engine.shutdown(), engine.drain(), engine.write(b"x")[0])


# ------------------------------------------------------------------------------------- the verdict

REASON_ALERTS = [  # schan_reason, alert (RFC 8446, 6.2); 45
    pytest.param(1, 45, id="expired"),
    pytest.param(2, 45, id="not_yet_valid"),
    pytest.param(3, 42, id="name_mismatch"),
    pytest.param(4, 48, id="unknown_ca"),
    pytest.param(5, 48, id="self_signed"),
    pytest.param(6, 48, id="incomplete_chain"),
    pytest.param(7, 43, id="wrong_usage"),
    pytest.param(8, 44, id="revoked"),
    pytest.param(9, 46, id="revocation_unknown"),
    pytest.param(10, 42, id="bad_signature"),
    pytest.param(11, 42, id="bad_constraints"),
    pytest.param(12, 42, id="distrusted"),
    pytest.param(13, 42, id="weak"),
    pytest.param(14, 42, id="no_certificate"),
    pytest.param(15, 46, id="timed_out"),
    pytest.param(16, 42, id="other"),
]


@pytest.mark.parametrize(("reason", "alert"), REASON_ALERTS)
def test_refused_certificate_is_told_to_the_peer(
    sspi: FakeSSPI, make_engine: MakeEngine, reason: int, alert: int
) -> None:
    farewell = record(ALERT, b"sealed alert")
    sspi.script(
        FIRST,
        LAST,
        Control(token=schannel_alert(alert)),
        Initialize(status=Status.SEC_E_OK, token=farewell),
    )
    engine = make_engine()
    engine.handshake(FLIGHT)

    result = engine.verified(reason=reason, status=-77)

    assert ("ERR_CERTIFICATE", -77) == (result, engine.error.status)
    assert HELLO + FINISHED + farewell == engine.drain()
    assert ("ERR_CERTIFICATE", "ERR_CERTIFICATE") == (engine.write(b"x")[0], engine.read()[0])


@pytest.mark.parametrize("status", [Status.SEC_E_UNSUPPORTED_FUNCTION, Status.SEC_E_INVALID_TOKEN])
def test_refused_certificate_without_alert_just_fails(
    sspi: FakeSSPI, make_engine: MakeEngine, status: int
) -> None:
    sspi.script(FIRST, LAST, Control(token=schannel_alert(48), status=status))  # 45
    engine = make_engine()
    engine.handshake(FLIGHT)

    assert ("ERR_CERTIFICATE", HELLO + FINISHED) == (engine.verified(reason=4), engine.drain())


def test_alert_that_stands_in_the_alert_buffer_leaves_too(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    farewell = record(ALERT, bytes((2, 48)))
    sspi.script(
        FIRST,
        LAST,
        Control(token=schannel_alert(48)),
        Initialize(status=Status.SEC_E_INTERNAL_ERROR, alert=farewell),
    )  # 32, 45
    engine = make_engine()
    engine.handshake(FLIGHT)
    engine.verified(reason=4)

    assert HELLO + FINISHED + farewell == engine.drain()


def test_verdict_is_taken_once_and_only_after_the_handshake(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, LAST)
    engine = make_engine()

    early = [engine.verified(), engine.handshake(), engine.verified()]
    late = [engine.handshake(FLIGHT), engine.verified(), engine.verified(reason=4)]

    assert ["ERR_MISUSE", "WANT_READ", "ERR_MISUSE"] == early
    assert ["WANT_VERIFY", "OK", "ERR_MISUSE"] == late


# --------------------------------------------------------------------------------------- freeing


def test_security_context_goes_before_its_credential(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()

    engine.free_early(engine.credential)  # the engine has its own hold on it
    engine.free()
    engine.free()

    assert ["DeleteSecurityContext", "FreeCredentialsHandle"] == sspi.calls  # B71


def test_engine_that_never_began_deletes_nothing(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    make_engine().free()

    assert ["AcquireCredentialsHandleW", "FreeCredentialsHandle"] == sspi.calls  # 71


def test_failed_engine_is_freed_as_any_other(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, status=Status.SEC_E_DECRYPT_FAILURE))
    engine.feed(DATA)
    engine.read()

    engine.free()

    assert ["DeleteSecurityContext", "FreeCredentialsHandle"] == sspi.calls[1:]  # 71


def test_peers_certificate_is_given_back(
    sspi: FakeSSPI, system: FakeSystem, open_engine: MakeEngine
) -> None:
    sspi.peer_certificate = system.certificate  # 38
    engine = open_engine(system)

    certificate = engine.certificate()
    engine.free()

    assert (b"leaf", True) == (certificate, system.all_is_freed.is_set())


def test_peers_certificate_is_given_back_when_the_handshake_fails_after_all(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    sspi.peer_certificate = system.certificate
    sspi.protocol = int(ClientBit.TLS_1_0)  # 100
    sspi.script(FIRST, LAST, Control(token=schannel_alert(70)), Initialize(token=b"alert"))
    engine = make_engine(system, protocols=8)

    assert "ERR_HANDSHAKE" == engine.handshake(FLIGHT)
