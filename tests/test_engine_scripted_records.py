"""Application data: EncryptMessage and DecryptMessage (rows 37, 38, 49 to 57, 65 to 67).

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
    Encrypt,
    Initialize,
    record,
    seal,
)
from fake_sspi_types import Attribute, Status
from scripted_engine import FLIGHT, HELLO, MakeEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

FIRST = record(APPLICATION_DATA, b"1" * 40)
SECOND = record(APPLICATION_DATA, b"2" * 50)
MAX = 16384
MOST_OUTGOING = 128 * 1024

FATAL = [  # 67: statuses of DecryptMessage that end the connection, and some that make no sense
    Status.SEC_E_MESSAGE_ALTERED,
    Status.SEC_E_DECRYPT_FAILURE,
    Status.SEC_E_ILLEGAL_MESSAGE,
    Status.SEC_E_OUT_OF_SEQUENCE,
    Status.SEC_E_INTERNAL_ERROR,
    Status.SEC_E_CONTEXT_EXPIRED,
    Status.SEC_E_INCOMPLETE_MESSAGE,  # 54: of a whole record that is no answer
    Status.SEC_I_CONTINUE_NEEDED,
    0x12345678,
    -5,
]


def hex_of(status: int) -> str:
    return f"{status & 0xFFFFFFFF:08X}"


# ---------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(("header", "trailer"), [(5, 36), (5, 16), (5, 0), (13, 16)])
def test_record_is_sent_by_the_sizes_windows_really_used(
    sspi: FakeSSPI, open_engine: MakeEngine, header: int, trailer: int
) -> None:
    sspi.sizes = (13, 36, MAX)  # 37, 49: header and trailer of STREAM_SIZES are greatest sizes
    engine = open_engine()
    sspi.script(Encrypt(data=b"EHLO", header=header, trailer=trailer))

    result = engine.write(b"EHLO")

    assert ("OK", 4) == result
    assert seal(b"EHLO", header=header, trailer=trailer) == engine.drain()


@pytest.mark.parametrize("size", [1, MAX - 1, MAX, MAX + 1, 3 * MAX], ids="bytes_{}".format)
def test_data_is_split_at_the_greatest_message(
    sspi: FakeSSPI, open_engine: MakeEngine, size: int
) -> None:
    engine = open_engine()
    data = bytes(i % 251 for i in range(size))
    parts = [data[at : at + MAX] for at in range(0, size, MAX)]
    sspi.script(*[Encrypt(data=part) for part in parts])  # 50

    result = engine.write(data)

    assert ("OK", size) == result
    assert b"".join(seal(part) for part in parts) == engine.drain()


def test_greatest_message_is_windows_word(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    sspi.sizes = (5, 36, 3)  # 37
    engine = open_engine()
    sspi.script(Encrypt(data=b"abc"), Encrypt(data=b"de"))

    assert ("OK", 5) == engine.write(b"abcde")


@pytest.mark.parametrize("parts", [(b"ab", b"cd", b"e"), (b"", b"abcd", b"", b"e", b"")])
def test_buffers_are_gathered_into_one_record(
    sspi: FakeSSPI, open_engine: MakeEngine, parts: tuple[bytes, ...]
) -> None:
    engine = open_engine()
    sspi.script(Encrypt(data=b"abcde"))

    assert ("OK", 5) == engine.write(*parts)


@pytest.mark.parametrize("parts", [(), (b"",), (b"", b"")], ids=["none", "one", "two"])
def test_nothing_makes_no_record(open_engine: MakeEngine, parts: tuple[bytes, ...]) -> None:
    engine = open_engine()  # 51

    assert ("OK", 0) == engine.write(*parts)
    assert b"" == engine.drain()


@pytest.mark.parametrize("capacity", [1, 4, 5, 1000, 1 << 20], ids="bytes_{}".format)
def test_records_leave_whole_in_any_number_of_sends(
    sspi: FakeSSPI, open_engine: MakeEngine, capacity: int
) -> None:
    engine = open_engine()
    sspi.script(Encrypt(data=b"one"), Encrypt(data=b"two"))  # 52
    engine.write(b"one")
    engine.write(b"two")

    drained = b""
    while part := engine.drain(capacity):
        drained += part

    assert seal(b"one") + seal(b"two") == drained


def test_full_queue_tells_what_was_taken_and_goes_on(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    count = 10
    sspi.script(*[Encrypt(data=bytes([i]) * MAX) for i in range(count)])  # 52
    data = b"".join(bytes([i]) * MAX for i in range(count))

    result, taken = engine.write(data)
    drained = engine.drain()
    rest = engine.write(data[taken:])

    assert ("WANT_WRITE", True) == (result, MOST_OUTGOING // MAX <= taken // MAX < count)
    assert ("OK", len(data) - taken) == rest
    assert b"".join(seal(bytes([i]) * MAX) for i in range(count)) == drained + engine.drain()


@pytest.mark.parametrize(
    "status",
    [Status.SEC_E_INTERNAL_ERROR, Status.SEC_E_CONTEXT_EXPIRED, Status.SEC_I_RENEGOTIATE, -5],
    ids=hex_of,
)
def test_failed_encryption_ends_the_connection_but_not_the_queue(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(Encrypt(data=b"one"), Encrypt(data=b"two", status=status))
    engine.write(b"one")

    failed, again = engine.write(b"two"), engine.write(b"three")

    assert (("ERR_SSPI", 0), ("ERR_SSPI", 0)) == (failed, again)
    assert (status, seal(b"one")) == (engine.error.status, engine.drain())


def test_nothing_is_encrypted_before_the_peer_is_accepted(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(Initialize(token=HELLO), Initialize(given=FLIGHT, status=Status.SEC_E_OK))
    engine = make_engine()

    results = [engine.write(b"x"), engine.read(), engine.handshake(), engine.write(b"x")]
    results += [engine.read(), engine.handshake(FLIGHT), engine.write(b"x"), engine.read()]

    words = [result if isinstance(result, str) else result[0] for result in results]
    misuse, mute = "ERR_MISUSE", ["ERR_MISUSE", "ERR_MISUSE"]
    assert [*mute, "WANT_READ", misuse, misuse, "WANT_VERIFY", *mute] == words


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("order", ["HDTX", "XTDH", "TXHD", "DHXT"])
def test_plaintext_is_found_by_type(sspi: FakeSSPI, open_engine: MakeEngine, order: str) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"220 ready", order=order))  # 53
    engine.feed(FIRST)

    assert ("OK", b"220 ready") == engine.read()


@pytest.mark.parametrize("data_at", [5, 13, 21], ids="offset_{}".format)
def test_plaintext_is_where_windows_says(
    sspi: FakeSSPI, open_engine: MakeEngine, data_at: int
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"220 ready", data_at=data_at))  # 53: HEADER of 13
    engine.feed(FIRST)

    assert ("OK", b"220 ready") == engine.read()


@pytest.mark.parametrize("split", range(len(FIRST + SECOND) + 1), ids="at_{}".format)
def test_records_reach_windows_one_by_one_and_whole(
    sspi: FakeSSPI, open_engine: MakeEngine, split: int
) -> None:
    engine = open_engine()
    both = FIRST + SECOND
    sspi.script(Decrypt(given=FIRST, data=b"one"), Decrypt(given=SECOND, data=b"two"))  # 53-55

    got = b""
    for part in (both[:split], both[split:]):
        engine.feed(part)
        got += engine.read()[1]

    assert b"onetwo" == got


@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 5, 6, 100], ids="bytes_{}".format)
def test_any_capacity_reads_the_same(
    sspi: FakeSSPI, open_engine: MakeEngine, capacity: int
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"one"), Decrypt(given=SECOND, data=b"two"))
    engine.feed(FIRST + SECOND)

    got, part = b"", engine.read(capacity)
    while part[0] == "OK":
        got, part = got + part[1], engine.read(capacity)

    assert (b"onetwo", "WANT_READ") == (got, part[0])


def test_record_without_plaintext_is_no_end(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST), Decrypt(given=SECOND, data=b"two"))  # 56
    engine.feed(FIRST)

    first = engine.read()
    engine.feed(SECOND)

    assert (("WANT_READ", b""), ("OK", b"two")) == (first, engine.read())


@pytest.mark.parametrize("has_pointer", [True, False], ids=["pointer", "no_pointer"])
def test_extra_of_decrypt_goes_back_to_decrypt(
    sspi: FakeSSPI, open_engine: MakeEngine, *, has_pointer: bool
) -> None:
    engine = open_engine()
    extra = (len(FIRST) - 8, 8)
    sspi.script(  # 57
        Decrypt(given=FIRST, data=b"one", extra=extra, extra_has_pointer=has_pointer),
        Decrypt(given=FIRST[-8:], data=b"2", is_record=False),
        Decrypt(given=SECOND, data=b"three"),
    )
    engine.feed(FIRST + SECOND)

    assert ("OK", b"one2three") == engine.read()


@pytest.mark.parametrize(
    ("body", "is_tls"), [(MAX + 2048, True), (MAX + 2049, False)], ids=["longest", "too_long"]
)
def test_record_longer_than_tls_allows_is_refused(
    sspi: FakeSSPI, open_engine: MakeEngine, body: int, *, is_tls: bool
) -> None:
    engine = open_engine()
    long = record(APPLICATION_DATA, b"x" * body)
    if is_tls:
        sspi.script(Decrypt(given=long, data=b"data"))  # 54
    engine.feed(long)

    assert ("OK" if is_tls else "ERR_SSPI") == engine.read()[0]


@pytest.mark.parametrize("kind", [20, ALERT, HANDSHAKE, APPLICATION_DATA, 24])
def test_every_record_type_goes_to_windows(
    sspi: FakeSSPI, open_engine: MakeEngine, kind: int
) -> None:
    engine = open_engine()
    came = record(kind, b"x" * 40)
    sspi.script(Decrypt(given=came))
    engine.feed(came)

    assert ("WANT_READ", b"") == engine.read()


# --------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("status", FATAL, ids=hex_of)
def test_data_that_was_decrypted_comes_before_the_error_that_stays(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"one"), Decrypt(given=SECOND, status=status))  # 67
    engine.feed(FIRST + SECOND + FIRST)

    delivered, failed = engine.read(), engine.read()
    again, written = engine.read(), engine.write(b"more")

    assert (("OK", b"one"), ("ERR_SSPI", b""), ("ERR_SSPI", b"")) == (delivered, failed, again)
    assert (("ERR_SSPI", 0), status) == (written, engine.error.status)
    assert ["DecryptMessage"] * 2 == sspi.calls


def test_data_left_over_when_an_error_was_met_is_still_read(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"one"), Encrypt(data=b"x", status=-5))  # 67
    engine.feed(FIRST)
    first = engine.read(1)
    engine.write(b"x")

    rest, end = engine.read(), engine.read()

    assert (("OK", b"o"), ("OK", b"ne"), ("ERR_SSPI", b"")) == (first, rest, end)


def test_failed_alert_record_is_told_as_an_alert(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    alert = record(ALERT, b"x" * 26)  # 48: encrypted, so its number stays unknown
    sspi.script(Decrypt(given=alert, status=Status.SEC_E_ILLEGAL_MESSAGE))
    engine.feed(alert)

    assert ("ERR_ALERT", -1) == (engine.read()[0], engine.error.alert)


@pytest.mark.parametrize("came", [b"", FIRST], ids=["nothing", "a_record"])
def test_eof_between_records_truncates_but_writing_goes_on(
    sspi: FakeSSPI, open_engine: MakeEngine, came: bytes
) -> None:
    engine = open_engine()
    sspi.script(*[Decrypt(given=FIRST, data=b"one")] * bool(came), Encrypt(data=b"QUIT"))  # 65
    engine.feed(came)
    engine.feed_eof()
    got = engine.read() if came else ("OK", b"one")

    results = [engine.read()[0], engine.write(b"QUIT")[0], engine.read()[0]]

    assert ("OK", b"one") == got
    assert ["ERR_TRUNCATED", "OK", "ERR_TRUNCATED"] == results


@pytest.mark.parametrize("size", [1, 4, 5, 6, len(FIRST) - 1], ids="after_{}".format)
def test_eof_inside_a_record_is_always_an_error(open_engine: MakeEngine, size: int) -> None:
    engine = open_engine()  # 65
    engine.feed(FIRST[:size])
    engine.feed_eof()

    results = [engine.read()[0], engine.read()[0], engine.write(b"x")[0]]

    assert ["ERR_TRUNCATED_RECORD"] * 3 == results


def test_pending_counts_what_needs_no_network(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, data=b"one"), Decrypt(given=SECOND, data=b"three"))  # 66
    counts = [engine.pending()]

    engine.feed(FIRST + SECOND[:-1])
    counts += [engine.pending(), engine.pending()]
    engine.read(1)
    counts.append(engine.pending())
    engine.read(2)
    counts.append(engine.pending())
    engine.feed(SECOND[-1:])
    counts.append(engine.pending())

    assert [0, 3, 3, 2, 0, 5] == counts


def test_pending_keeps_the_error_it_met_for_read(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=FIRST, status=Status.SEC_E_DECRYPT_FAILURE))  # 66, 67
    engine.feed(FIRST)

    assert (0, "ERR_SSPI") == (engine.pending(), engine.read()[0])


# --------------------------------------------------------------------------------- what was agreed


@pytest.mark.parametrize("attribute", [Attribute.STREAM_SIZES, Attribute.CONNECTION_INFO])
def test_handshake_fails_without_what_is_indispensable(
    sspi: FakeSSPI, make_engine: MakeEngine, attribute: int
) -> None:
    sspi.query_status[attribute] = Status.SEC_E_UNSUPPORTED_FUNCTION  # 37
    sspi.script(Initialize(token=HELLO), Initialize(given=FLIGHT, status=Status.SEC_E_OK))
    engine = make_engine()

    result = engine.handshake(FLIGHT)

    assert ("ERR_HANDSHAKE", "QueryContextAttributes") == (result, engine.error.call)


@pytest.mark.parametrize("attribute", [Attribute.CIPHER_INFO, Attribute.REMOTE_CERT_CONTEXT])
def test_handshake_needs_nothing_else(
    sspi: FakeSSPI, open_engine: MakeEngine, attribute: int
) -> None:
    sspi.query_status[attribute] = Status.SEC_E_UNSUPPORTED_FUNCTION  # 38
    engine = open_engine()

    assert (256, b"") == (engine.info().cipher_strength, engine.certificate())
