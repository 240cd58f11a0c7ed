"""SEC_I_RENEGOTIATE: tickets, key updates, renegotiations (rows 58 to 63). No peer forces these.

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
    Encrypt,
    Initialize,
    record,
    seal,
)
from fake_sspi_types import SCHANNEL_SHUTDOWN, ClientBit, Status
from scripted_engine import MakeEngine, ScriptedEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OK, RENEGOTIATE = Status.SEC_E_OK, Status.SEC_I_RENEGOTIATE
TICKET = record(APPLICATION_DATA, b"a new session ticket, sealed" * 2)
DATA = record(APPLICATION_DATA, b"x" * 40)
MORE = record(APPLICATION_DATA, b"y" * 50)
REPLY = record(APPLICATION_DATA, b"key update of ours")
WHOLE = (0, len(TICKET))
INSIDE = (5, len(TICKET) - 5 - 17)  # the message without header, content type and tag

FORMS = {  # 58: the whole record, a part inside it, and what is between
    "whole": WHOLE,
    "inside": INSIDE,
    "without_header": (5, len(TICKET) - 5),
    "without_tag": (0, len(TICKET) - 16),
    "last_byte": (len(TICKET) - 1, 1),
    "first_byte": (0, 1),
}
forms = pytest.mark.parametrize("extra", FORMS.values(), ids=FORMS)


def cut(data: bytes, extra: tuple[int, int]) -> bytes:
    return data[extra[0] : extra[0] + extra[1]]


def feed(engine: ScriptedEngine, data: bytes) -> tuple[str, bytes]:
    engine.feed(data)
    return engine.read()


@forms
@pytest.mark.parametrize("has_pointer", [True, False], ids=["pointer", "no_pointer"])
def test_message_in_extra_goes_to_isc_as_it_is(
    sspi: FakeSSPI, open_engine: MakeEngine, extra: tuple[int, int], *, has_pointer: bool
) -> None:
    engine = open_engine()
    claimed = cut(TICKET, extra) if has_pointer else TICKET[-extra[1] :]
    sspi.script(  # 58
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=extra, extra_has_pointer=has_pointer),
        Initialize(given=claimed, status=OK),
        Decrypt(given=DATA, data=b"250 ok"),
    )

    assert ("OK", b"250 ok") == feed(engine, TICKET + DATA)
    assert "OPEN" == engine.state


@pytest.mark.parametrize("tickets", [1, 2, 5])
@pytest.mark.parametrize("pieces", [1, 7, 10_000], ids="pieces_of_{}".format)
def test_every_ticket_takes_the_same_way(
    sspi: FakeSSPI, open_engine: MakeEngine, tickets: int, pieces: int
) -> None:
    engine = open_engine()
    one = (
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=OK),
    )
    sspi.script(*one * tickets, Decrypt(given=DATA, data=b"250 ok"))  # 58: OpenSSL sends two
    wire = TICKET * tickets + DATA

    answers = [feed(engine, wire[at : at + pieces]) for at in range(0, len(wire), pieces)]

    assert [("WANT_READ", b"")] * (len(answers) - 1) + [("OK", b"250 ok")] == answers


@forms
def test_isc_that_lacks_bytes_gets_the_next_record_too(
    sspi: FakeSSPI, open_engine: MakeEngine, extra: tuple[int, int]
) -> None:
    engine = open_engine()
    claimed = cut(TICKET, extra)
    sspi.script(  # 58: then ISC goes on, not DecryptMessage; what it has seen is never framed anew
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=extra),
        Initialize(given=claimed, status=Status.SEC_E_INCOMPLETE_MESSAGE, missing=5),
        Initialize(given=claimed + MORE, status=OK),
        Decrypt(given=DATA, data=b"250 ok"),
    )

    first = feed(engine, TICKET)
    second = feed(engine, MORE[:20])
    third = feed(engine, MORE[20:] + DATA)

    assert (("WANT_READ", b""), ("WANT_READ", b""), ("OK", b"250 ok")) == (first, second, third)


def test_isc_may_ask_for_bytes_more_than_once(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    incomplete = Status.SEC_E_INCOMPLETE_MESSAGE
    sspi.script(  # 58
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=INSIDE),
        Initialize(given=cut(TICKET, INSIDE), status=incomplete),
        Initialize(given=cut(TICKET, INSIDE) + MORE, status=incomplete),
        Initialize(given=cut(TICKET, INSIDE) + MORE + MORE, status=OK),
    )

    assert ("WANT_READ", b"") == feed(engine, TICKET + MORE + MORE)
    assert "OPEN" == engine.state


@pytest.mark.parametrize("status", [OK, Status.SEC_I_CONTINUE_NEEDED], ids=["ok", "continue"])
def test_token_of_a_post_handshake_message_leaves(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    goes_on = status == Status.SEC_I_CONTINUE_NEEDED
    sspi.script(  # 58, 63: a KeyUpdate that asks for ours
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=status, token=REPLY),
        *[Initialize(given=MORE, status=OK)] * goes_on,
    )

    feed(engine, TICKET + (MORE if goes_on else b""))

    assert (REPLY, "OPEN") == (engine.drain(), engine.state)


def test_extra_of_isc_goes_back_to_decrypt(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    both = record(APPLICATION_DATA, DATA + TICKET)
    sspi.script(  # 58: what ISC leaves over is a record again
        Decrypt(given=both, status=RENEGOTIATE, extra=(0, len(both))),
        Initialize(given=both, status=OK, extra=len(TICKET)),
        Decrypt(given=TICKET, data=b"one"),
        Decrypt(given=DATA, data=b"two"),
    )

    assert ("OK", b"onetwo") == feed(engine, both + DATA)


def test_extra_of_isc_behind_a_record_goes_back_as_it_is(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    rest = b"\x04 no record header"
    all_of_it = record(APPLICATION_DATA, DATA + rest)
    sspi.script(  # 58: never framed anew, so not taken for the beginning of what follows
        Decrypt(given=all_of_it, status=RENEGOTIATE, extra=(0, len(all_of_it))),
        Initialize(given=all_of_it, status=OK, extra=len(DATA + rest)),
        Decrypt(given=DATA, data=b"one"),
        Decrypt(given=rest, data=b"2", is_record=False),
        Decrypt(given=MORE, data=b"three"),
    )

    assert ("OK", b"one2three") == feed(engine, all_of_it + MORE)


def test_extra_of_isc_that_is_no_record_goes_back_as_it_is(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(  # 58: two tickets in one record
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=INSIDE),
        Initialize(given=cut(TICKET, INSIDE), status=OK, extra=12),
        Decrypt(
            given=cut(TICKET, INSIDE)[-12:],
            status=RENEGOTIATE,
            extra=(0, 12),
            is_record=False,
        ),
        Initialize(given=cut(TICKET, INSIDE)[-12:], status=OK, token=REPLY),
        Decrypt(given=DATA, data=b"250 ok"),
    )

    assert ("OK", b"250 ok") == feed(engine, TICKET + DATA)
    assert REPLY == engine.drain()


@pytest.mark.parametrize("data_at", [5, 13], ids="offset_{}".format)
def test_data_that_comes_with_the_message_is_delivered_first(
    sspi: FakeSSPI, open_engine: MakeEngine, data_at: int
) -> None:
    engine = open_engine()
    extra = (30, len(TICKET) - 30)
    sspi.script(  # 59
        Decrypt(given=TICKET, status=RENEGOTIATE, data=b"250", data_at=data_at, extra=extra),
        Initialize(given=cut(TICKET, extra), status=OK),
        Decrypt(given=DATA, data=b" ok"),
    )
    engine.feed(TICKET + DATA)

    first, before = engine.read(2), list(sspi.calls)
    rest = engine.read()

    assert (("OK", b"25"), ("OK", b"0 ok")) == (first, rest)
    assert ["DecryptMessage"] == before


def test_data_that_comes_with_the_message_survives_a_failure_of_it(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    extra = (30, len(TICKET) - 30)
    sspi.script(  # 59, 67
        Decrypt(given=TICKET, status=RENEGOTIATE, data=b"250", extra=extra),
        Initialize(given=cut(TICKET, extra), status=Status.SEC_E_ILLEGAL_MESSAGE),
    )
    engine.feed(TICKET)

    delivered, failed = engine.read(), engine.read()

    assert (("OK", b"250"), b"") == (delivered, failed[1])
    assert Status.SEC_E_ILLEGAL_MESSAGE == engine.error.status


@pytest.mark.parametrize(
    "status", [Status.SEC_E_ILLEGAL_MESSAGE, Status.SEC_I_CONTEXT_EXPIRED, 0x12345678, -5]
)
def test_failed_message_is_a_failure_of_an_open_connection(
    sspi: FakeSSPI, open_engine: MakeEngine, status: int
) -> None:
    engine = open_engine()
    sspi.script(  # 32, 58: schan.h, "SCHAN_ERR_SSPI: a security call failed on an open connection"
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=status, token=REPLY),
    )

    result = feed(engine, TICKET)

    assert REPLY == engine.drain()
    assert (("ERR_SSPI", b""), status) == (result, engine.error.status)


# ----------------------------------------------------------------------------------------- writing


def test_writes_are_held_until_the_message_is_complete(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(  # 61
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=Status.SEC_E_INCOMPLETE_MESSAGE),
        Initialize(given=TICKET + MORE, status=OK, token=REPLY),
        Encrypt(data=b"NOOP"),
    )
    feed(engine, TICKET)

    held = engine.write(b"NOOP")
    engine.feed(MORE)
    written = engine.write(b"NOOP")

    assert (("WANT_READ", 0), ("OK", 4)) == (held, written)
    assert REPLY + seal(b"NOOP") == engine.drain()


def test_queued_records_leave_once_and_before_the_token(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(  # 61
        Encrypt(data=b"NOOP"),
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=OK, token=REPLY),
    )
    engine.write(b"NOOP")

    feed(engine, TICKET)

    assert (seal(b"NOOP") + REPLY, b"") == (engine.drain(), engine.drain())


def test_write_completes_the_message_before_unread_data(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    extra = (30, len(TICKET) - 30)
    sspi.script(  # 59, 61
        Decrypt(given=TICKET, status=RENEGOTIATE, data=b"250", extra=extra),
        Initialize(given=cut(TICKET, extra), status=OK),
        Encrypt(data=b"NOOP"),
    )
    engine.feed(TICKET)
    first = engine.read(1)

    written, rest = engine.write(b"NOOP"), engine.read()

    assert (("OK", b"2"), ("OK", 4), ("OK", b"50")) == (first, written, rest)


def test_unread_data_keeps_a_message_behind_it_untouched(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(
        Decrypt(given=DATA, data=b"250 ok"),
        Encrypt(data=b"NOOP"),
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=INSIDE),
        Initialize(given=cut(TICKET, INSIDE), status=OK),
    )
    engine.feed(DATA + TICKET)
    first = engine.read(3)

    written, rest = engine.write(b"NOOP"), engine.read()

    assert (("OK", b"250"), ("OK", 4), ("OK", b" ok")) == (first, written, rest)


def test_eof_inside_a_message_truncates(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    engine = open_engine()
    sspi.script(  # 61, 65
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=Status.SEC_E_INCOMPLETE_MESSAGE),
    )
    engine.feed(TICKET)
    engine.feed_eof()

    assert ("ERR_TRUNCATED_RECORD", "ERR_TRUNCATED_RECORD") == (
        engine.read()[0],
        engine.write(b"x")[0],
    )


def test_shutdown_goes_while_a_message_is_incomplete(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    goodbye = record(APPLICATION_DATA, b"close_notify")
    sspi.script(  # 61, 69
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=Status.SEC_E_INCOMPLETE_MESSAGE),
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=OK, token=goodbye),
        Initialize(given=TICKET + MORE, status=OK),
        Decrypt(given=DATA, data=b"221 bye"),
    )
    feed(engine, TICKET)

    engine.shutdown()

    assert goodbye == engine.drain()
    assert ("OK", b"221 bye") == feed(engine, MORE + DATA)


# ----------------------------------------------------------------------------------- renegotiation


@pytest.mark.parametrize("extra", [None, (0, 21)], ids=["empty", "with_extra"])
def test_renegotiation_is_refused_by_name(
    sspi: FakeSSPI, open_engine: MakeEngine, extra: tuple[int, int] | None
) -> None:
    hello_request = record(HANDSHAKE, b"sealed HelloRequest..")
    sspi.protocol = int(ClientBit.TLS_1_2)  # 60: refused for now
    engine = open_engine()
    sspi.script(Decrypt(given=hello_request, status=RENEGOTIATE, extra=extra))

    result = feed(engine, hello_request)

    assert (("ERR_SSPI", b""), RENEGOTIATE) == (result, engine.error.status)
    assert ["DecryptMessage"] == sspi.calls


@pytest.mark.parametrize("extra", [None, (30, 15)], ids=["no_extra", "with_extra"])
def test_data_before_a_refused_renegotiation_is_delivered_first(
    sspi: FakeSSPI, open_engine: MakeEngine, extra: tuple[int, int] | None
) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)  # 59, 60
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, status=RENEGOTIATE, data=b"250 ok", extra=extra))

    delivered, failed = feed(engine, DATA), engine.read()

    assert (("OK", b"250 ok"), ("ERR_SSPI", b"")) == (delivered, failed)


def test_data_of_an_earlier_record_comes_before_a_refused_renegotiation(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)  # 60, 67
    engine = open_engine()
    sspi.script(Decrypt(given=DATA, data=b"250 ok"), Decrypt(given=MORE, status=RENEGOTIATE))

    delivered, failed = feed(engine, DATA + MORE), engine.read()

    assert (("OK", b"250 ok"), ("ERR_SSPI", b"")) == (delivered, failed)


def test_message_without_extra_is_an_error_under_tls_1_3_too(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(Decrypt(given=TICKET, status=RENEGOTIATE))  # 58

    assert ("ERR_SSPI", b"") == feed(engine, TICKET)


MOST_ANSWERS = 17  # of 64 KiB each: what is over 1 MiB is no answer to a peer that reads


def answered(size: int, times: int) -> list[Decrypt | Initialize]:
    """Return the calls for so many messages that are each answered by a token."""
    one = (
        Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE),
        Initialize(given=TICKET, status=OK, token=b"r" * size),
    )
    return [*one] * times


def test_peer_that_asks_and_never_takes_the_answers_is_given_up(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    one_more = Decrypt(given=TICKET, status=RENEGOTIATE, extra=WHOLE)
    sspi.script(*answered(1 << 16, MOST_ANSWERS), one_more)

    results = [feed(engine, TICKET)[0] for _ in range(MOST_ANSWERS + 2)]

    assert ["WANT_READ"] * MOST_ANSWERS + ["ERR_SSPI"] * 2 == results  # 63
    assert "UNREAD_ANSWERS" == engine.error.cause
    assert b"r" * (1 << 16) * MOST_ANSWERS == engine.drain(1 << 21)


def test_peer_that_takes_the_answers_may_ask_for_ever(
    sspi: FakeSSPI, open_engine: MakeEngine
) -> None:
    engine = open_engine()
    sspi.script(*answered(1 << 16, 3 * MOST_ANSWERS))

    for _ in range(3 * MOST_ANSWERS):
        assert ("WANT_READ", b"") == feed(engine, TICKET)
        assert 1 << 16 == len(engine.drain())
