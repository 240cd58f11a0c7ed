"""The handshake, call by call, as Windows' traces have it (windows_behaviours.md, B).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    Decrypt,
    Initialize,
    record,
)
from fake_sspi_types import Status
from scripted_engine import (
    FINISHED,
    FLIGHT,
    HELLO,
    MakeEngine,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

FIRST = Initialize(token=HELLO)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK)
SECOND = record(HANDSHAKE, b"another record")
CIPHER_CHANGE = record(20, b"\x01")

# Statuses that have no row in the engine's table: success codes, fatal ones, one nobody ever saw.
UNKNOWN = [
    Status.SEC_I_RENEGOTIATE,
    Status.SEC_I_CONTEXT_EXPIRED,
    Status.SEC_I_MESSAGE_FRAGMENT,
    Status.SEC_E_INVALID_TOKEN,
    Status.SEC_E_ILLEGAL_MESSAGE,
    Status.SEC_E_DECRYPT_FAILURE,
    Status.SEC_E_INTERNAL_ERROR,
    Status.SEC_E_APPLICATION_PROTOCOL_MISMATCH,
    0x12345678,
    -5,
]


def hex_of(status: int) -> str:
    return f"{status & 0xFFFFFFFF:08X}"


def test_first_call_sends_hello_and_waits(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(FIRST)  # 16
    engine = make_engine()

    result = engine.handshake()

    assert ("WANT_READ", "HANDSHAKE", HELLO) == (result, engine.state, engine.drain())


@pytest.mark.parametrize("status", [*UNKNOWN, Status.SEC_E_INCOMPLETE_MESSAGE], ids=hex_of)
def test_first_call_succeeds_by_continue_needed_alone(
    sspi: FakeSSPI, make_engine: MakeEngine, status: int
) -> None:
    sspi.script(Initialize(status=status, token=b"last words"))  # 16, 32
    engine = make_engine()

    result = engine.handshake()

    assert ("ERR_HANDSHAKE", status) == (result, engine.error.status)
    assert b"last words" == engine.drain()


def test_first_call_that_says_ok_fails_and_deletes_what_it_made(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(Initialize(status=Status.SEC_E_OK, token=HELLO))  # 16
    engine = make_engine()

    assert "ERR_HANDSHAKE" == engine.handshake()


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ("server.test", "server.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("", None),
        (None, None),
    ],
)
def test_same_target_name_in_every_call(
    sspi: FakeSSPI, make_engine: MakeEngine, asked: str | None, passed: str | None
) -> None:
    sspi.script(FIRST, Initialize(given=SECOND), LAST)  # 18
    engine = make_engine(name=asked)

    engine.handshake(SECOND, FLIGHT)

    assert [passed] * 3 == sspi.targets


@pytest.mark.parametrize("missing", [None, 1, 5, 4096], ids="missing_{}".format)
def test_incomplete_message_gets_the_same_bytes_and_the_next_record(
    sspi: FakeSSPI, make_engine: MakeEngine, missing: int | None
) -> None:
    incomplete = Status.SEC_E_INCOMPLETE_MESSAGE
    sspi.script(  # 21: MISSING is a hint, and a wrong one at times
        FIRST,
        Initialize(given=FLIGHT, status=incomplete, missing=missing),
        Initialize(given=FLIGHT + SECOND, token=FINISHED, status=Status.SEC_E_OK),
    )
    engine = make_engine()

    waiting = engine.handshake(FLIGHT)
    result = engine.handshake(SECOND)

    assert ("WANT_READ", "WANT_VERIFY") == (waiting, result)


def test_incomplete_message_without_new_bytes_asks_nothing(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, Initialize(given=FLIGHT, status=Status.SEC_E_INCOMPLETE_MESSAGE))
    engine = make_engine()  # 21, 34

    results = {engine.handshake(FLIGHT), engine.handshake(), engine.handshake(SECOND[:-1])}

    assert {"WANT_READ"} == results


def test_extra_is_given_again_at_once(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(  # 22: EXTRA has no pointer
        FIRST,
        Initialize(given=FLIGHT, extra=6),
        Initialize(given=FLIGHT[-6:], token=FINISHED, status=Status.SEC_E_OK),
    )
    engine = make_engine()

    result = engine.handshake(FLIGHT)

    assert ("WANT_VERIFY", HELLO + FINISHED) == (result, engine.drain())


def test_extra_larger_than_the_input_is_not_believed(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, Initialize(given=FLIGHT, extra=len(FLIGHT) + 1), Initialize(given=SECOND))
    engine = make_engine()  # 22

    assert "WANT_READ" == engine.handshake(FLIGHT, SECOND)


def test_continue_needed_without_token_goes_on_with_the_next_record(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, Initialize(given=SECOND), Initialize(given=CIPHER_CHANGE), LAST)  # 23
    engine = make_engine()

    result = engine.handshake(SECOND + CIPHER_CHANGE + FLIGHT)

    assert ("WANT_VERIFY", HELLO + FINISHED) == (result, engine.drain())


@pytest.mark.parametrize("split", range(1, len(SECOND + FLIGHT)), ids="at_{}".format)
def test_records_reach_windows_whole_wherever_they_were_cut(
    sspi: FakeSSPI, make_engine: MakeEngine, split: int
) -> None:
    sspi.script(FIRST, Initialize(given=SECOND), LAST)  # 26
    engine = make_engine()
    data = SECOND + FLIGHT

    first, second = engine.handshake(data[:split]), engine.handshake(data[split:])

    assert ("WANT_READ", "WANT_VERIFY") == (first, second)


def test_records_reach_windows_whole_when_fed_byte_by_byte(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, Initialize(given=SECOND), LAST)  # 26
    engine = make_engine()

    results = [engine.handshake(bytes([byte])) for byte in SECOND + FLIGHT]

    assert ["WANT_READ"] * (len(results) - 1) + ["WANT_VERIFY"] == results


def test_application_data_behind_the_handshake_is_decrypted(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    welcome = record(APPLICATION_DATA, b"x" * 40)
    sspi.script(FIRST, LAST, Decrypt(given=welcome, data=b"220 ready\r\n"))  # 25, 26
    engine = make_engine()

    engine.handshake(FLIGHT + welcome)
    engine.verified()

    assert ("OK", b"220 ready\r\n") == engine.read()


def test_extra_of_the_last_call_is_kept_for_decrypt(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    welcome = record(APPLICATION_DATA, b"x" * 40)
    both = FLIGHT[:-10] + welcome[:10]  # the body of a record whose tail ISC does not want
    flight, rest = FLIGHT[:3] + (len(both) - 5).to_bytes(2, "big") + both[5:], welcome[10:]
    last = Initialize(given=flight, token=FINISHED, status=Status.SEC_E_OK, extra=10)
    sspi.script(FIRST, last, Decrypt(given=welcome, data=b"220 ready\r\n"))  # 25
    engine = make_engine()

    engine.handshake(flight + rest)
    engine.verified()

    assert ("OK", b"220 ready\r\n") == engine.read()


def test_token_of_the_last_call_is_queued_before_the_handshake_counts_as_done(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, LAST)  # 24, 27
    engine = make_engine()

    result, again = engine.handshake(FLIGHT), engine.handshake()

    assert ("WANT_VERIFY", "WANT_VERIFY") == (result, again)
    assert HELLO + FINISHED == engine.drain()
    assert b"" == engine.drain()


@pytest.mark.parametrize("repeats", [1, 2])
def test_incomplete_credentials_get_the_same_bytes_again(
    sspi: FakeSSPI, make_engine: MakeEngine, repeats: int
) -> None:
    asking = Initialize(given=FLIGHT, status=Status.SEC_I_INCOMPLETE_CREDENTIALS)  # 28
    sspi.script(FIRST, *[asking] * repeats, LAST)
    engine = make_engine()

    assert "WANT_VERIFY" == engine.handshake(FLIGHT)


def test_incomplete_credentials_fail_after_two_repeats(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    asking = Initialize(given=FLIGHT, status=Status.SEC_I_INCOMPLETE_CREDENTIALS)  # 28
    sspi.script(FIRST, *[asking] * 3)
    engine = make_engine()

    result = engine.handshake(FLIGHT)

    assert "ERR_HANDSHAKE" == result
    assert Status.SEC_I_INCOMPLETE_CREDENTIALS == engine.error.status


@pytest.mark.parametrize("status", UNKNOWN, ids=hex_of)
@pytest.mark.parametrize("output", ["token", "alert", "nothing"])
def test_any_other_status_fails_but_its_token_leaves(
    sspi: FakeSSPI, make_engine: MakeEngine, status: int, output: str
) -> None:
    alert = record(ALERT, bytes((2, 40)))
    token, other = (alert if output == name else b"" for name in ("token", "alert"))
    sspi.script(FIRST, Initialize(given=FLIGHT, status=status, token=token, alert=other))  # 32
    engine = make_engine()

    result = engine.handshake(FLIGHT)

    assert ("ERR_HANDSHAKE", status) == (result, engine.error.status)
    assert HELLO + token + other == engine.drain()


@pytest.mark.parametrize("status", UNKNOWN, ids=hex_of)
def test_first_error_stays(sspi: FakeSSPI, make_engine: MakeEngine, status: int) -> None:
    sspi.script(FIRST, Initialize(given=FLIGHT, status=status))
    engine = make_engine()
    first = (engine.handshake(FLIGHT), engine.error)

    later = [(engine.handshake(), engine.error), (engine.feed(FLIGHT), engine.error)]
    later += [(engine.write(b"data")[0], engine.error), (engine.read()[0], engine.error)]
    later += [(engine.verified(), engine.error), (engine.shutdown(), engine.error)]

    assert {first} == set(later)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_token_is_found_by_type_wherever_it_stands(
    sspi: FakeSSPI, make_engine: MakeEngine, place: int
) -> None:
    sspi.script(Initialize(token=HELLO, token_at=place))
    engine = make_engine()

    engine.handshake()

    assert HELLO == engine.drain()


@pytest.mark.parametrize("number", [0, 40, 48, 70, 112, 116, 120, 255])
@pytest.mark.parametrize(
    "status", [Status.SEC_E_ILLEGAL_MESSAGE, Status.SEC_E_INTERNAL_ERROR], ids=["windows", "wine"]
)
def test_fatal_alert_in_the_clear_is_named(
    sspi: FakeSSPI, make_engine: MakeEngine, number: int, status: int
) -> None:
    alert = record(ALERT, bytes((2, number)))
    sspi.script(FIRST, Initialize(given=alert, status=status))  # 30
    engine = make_engine()

    result = engine.handshake(alert)

    assert ("ERR_ALERT", number, status) == (result, engine.error.alert, engine.error.status)


def test_close_notify_in_the_handshake_is_named(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    alert = record(ALERT, bytes((1, 0)))
    sspi.script(FIRST, Initialize(given=alert, status=Status.SEC_E_ILLEGAL_MESSAGE))  # 30
    engine = make_engine()

    assert ("ERR_ALERT", 0) == (engine.handshake(alert), engine.error.alert)


def test_alert_behind_an_incomplete_message_is_named(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    alert = record(ALERT, bytes((2, 40)))
    sspi.script(  # 21, 30: the alert is in the clear wherever it stands
        FIRST,
        Initialize(given=FLIGHT, status=Status.SEC_E_INCOMPLETE_MESSAGE),
        Initialize(given=FLIGHT + alert, status=Status.SEC_E_ILLEGAL_MESSAGE),
    )
    engine = make_engine()

    assert ("ERR_ALERT", 40) == (engine.handshake(FLIGHT, alert), engine.error.alert)


def test_warning_alert_is_windows_business(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    warning = record(ALERT, bytes((1, 112)))
    sspi.script(FIRST, Initialize(given=warning), LAST)  # 30
    engine = make_engine()

    assert "WANT_VERIFY" == engine.handshake(warning, FLIGHT)


NOT_TLS = [  # what came, what is told of it
    (b"220 mail.example ESMTP\r\n250 ok", "220 mail.example ESMTP"),
    (b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request"),
    (b"\x00\x01\x02", "..."),
    (bytes((22, 2, 0)), "..."),  # SSL 2 has another header
    (bytes((22, 3, 3, 0x48, 0x01)), "...H."),  # longer than 2**14 + 2048
    (bytes((19, 3, 3, 0, 1)), "....."),
    (bytes((25, 3, 3, 0, 1)), "....."),
]


@pytest.mark.parametrize(("came", "told"), NOT_TLS)
def test_peer_that_speaks_no_tls_is_quoted(
    sspi: FakeSSPI, make_engine: MakeEngine, came: bytes, told: str
) -> None:
    sspi.script(FIRST)  # 33: Windows never sees it
    engine = make_engine()

    result = engine.handshake(came)

    assert ("ERR_PROTOCOL", told) == (result, engine.error.detail)


def test_eof_in_the_handshake_truncates(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(FIRST)  # 65
    engine = make_engine()
    engine.feed_eof()

    assert "ERR_TRUNCATED_RECORD" == engine.handshake()
