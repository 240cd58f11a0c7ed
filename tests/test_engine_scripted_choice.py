"""A server that asks for a client certificate, and the caller who chooses (rows 5, 28, 29, 93).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    Control,
    Decrypt,
    Encrypt,
    Initialize,
    record,
)
from fake_sspi_types import SCHANNEL_SHUTDOWN, Attribute, Status
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine, ScriptedEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

ASKED = Status.SEC_I_INCOMPLETE_CREDENTIALS
FIRST = Initialize(token=HELLO, is_supplied=False)
ASKING = Initialize(given=FLIGHT, status=ASKED, is_supplied=False)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK)
DATA = record(APPLICATION_DATA, b"x" * 40)
AUTHORITIES = [b"0\x0e1\x0c0\n\x06\x03U\x04\x03\x0c\x03one", b"0\x00"]


@pytest.fixture
def asked_engine(sspi: FakeSSPI, make_engine: MakeEngine) -> ScriptedEngine:
    """An engine that has said WANT_CREDENTIAL."""
    sspi.script(FIRST, ASKING)
    sspi.issuers = list(AUTHORITIES)
    engine = make_engine(asks_for_credential=1)
    assert engine.handshake(FLIGHT) == "WANT_CREDENTIAL"
    return engine


def test_caller_is_asked_and_told_whose_certificates_will_do(
    sspi: FakeSSPI, asked_engine: ScriptedEngine
) -> None:
    sspi.script(LAST)  # 28, 29

    assert AUTHORITIES == asked_engine.issuers()
    assert "WANT_CREDENTIAL" == asked_engine.handshake()
    assert "OK" == asked_engine.provide()
    assert ("WANT_VERIFY", []) == (asked_engine.handshake(), asked_engine.issuers())


def test_chosen_credential_gets_the_same_bytes_in_the_same_security_context(
    sspi: FakeSSPI, asked_engine: ScriptedEngine
) -> None:
    sspi.script(LAST)  # 28, 29
    chosen = asked_engine.make_credential()

    results = [asked_engine.provide(chosen), asked_engine.handshake()]

    first, asking, last = sspi.credentials_used
    assert ["OK", "WANT_VERIFY"] == results
    assert first == asking != last
    assert 2 == sspi.has_credentials()  # the first lives as long as the security context
    assert HELLO + FINISHED == asked_engine.drain()


def test_no_credential_says_so_with_the_same_handle(
    sspi: FakeSSPI, asked_engine: ScriptedEngine
) -> None:
    sspi.script(LAST)  # 28: USE_SUPPLIED_CREDS sends an empty list

    asked_engine.provide(None)
    asked_engine.handshake()

    assert 1 == len(set(sspi.credentials_used))


def test_caller_is_asked_once_and_windows_asks_twice_at_most(
    sspi: FakeSSPI, asked_engine: ScriptedEngine
) -> None:
    again = Initialize(given=FLIGHT, status=ASKED)
    sspi.script(again, again)  # 28: the first one was ASKING
    asked_engine.provide(asked_engine.make_credential())

    result = asked_engine.handshake()

    assert ("ERR_HANDSHAKE", ASKED) == (result, asked_engine.error.status)


@pytest.mark.parametrize("is_whole", [True, False], ids=["after_records", "after_a_torn_record"])
def test_bytes_that_come_while_the_caller_chooses_wait(
    sspi: FakeSSPI, asked_engine: ScriptedEngine, *, is_whole: bool
) -> None:
    more = record(HANDSHAKE, b"more of it")
    sspi.script(Initialize(given=FLIGHT), Initialize(given=more, status=Status.SEC_E_OK))
    asked_engine.feed(more if is_whole else more[:7])

    asked_engine.provide()
    first = asked_engine.handshake()

    assert ("WANT_VERIFY" if is_whole else "WANT_READ") == first
    assert is_whole or asked_engine.handshake(more[7:]) == "WANT_VERIFY"


def test_caller_is_asked_after_records_that_came_byte_by_byte(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(FIRST, ASKING, LAST)
    engine = make_engine(asks_for_credential=1)

    results = [engine.handshake(bytes([byte])) for byte in FLIGHT]
    engine.provide()

    assert ["WANT_READ"] * (len(FLIGHT) - 1) + ["WANT_CREDENTIAL"] == results
    assert "WANT_VERIFY" == engine.handshake()


def test_issuers_that_windows_does_not_tell_are_none(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.query_status[Attribute.ISSUER_LIST_EX] = Status.SEC_E_UNSUPPORTED_FUNCTION
    sspi.script(FIRST, ASKING)  # 29
    engine = make_engine(asks_for_credential=1)

    assert ("WANT_CREDENTIAL", []) == (engine.handshake(FLIGHT), engine.issuers())


def test_issuers_are_given_back_by_an_engine_that_is_freed(asked_engine: ScriptedEngine) -> None:
    asked_engine.free()  # the fixture of the table counts what is alive


def test_credential_that_was_provided_may_be_freed_before_the_engine(
    sspi: FakeSSPI, asked_engine: ScriptedEngine
) -> None:
    sspi.script(LAST, Encrypt(data=b"EHLO"))
    chosen = asked_engine.make_credential()
    asked_engine.provide(chosen)

    asked_engine.free_early(chosen)
    asked_engine.handshake()
    asked_engine.verified()

    assert ("OK", 4) == asked_engine.write(b"EHLO")


@pytest.mark.parametrize("when", ["start", "not_asked", "answered", "server", "foreign"])
def test_answer_that_nobody_asked_for_is_refused(
    sspi: FakeSSPI,
    make_engine: MakeEngine,
    asked_engine: ScriptedEngine,
    own_identity: Any,
    when: str,
) -> None:
    engine, chosen = asked_engine, None
    if when in {"start", "not_asked"}:
        engine = make_engine(asks_for_credential=1)
    if when == "not_asked":
        sspi.script(FIRST)
        engine.handshake()
    if when == "answered":
        engine.provide()
    if when == "server":
        chosen = engine.make_credential(is_server=True, identity=own_identity)
    if when == "foreign":
        chosen = make_engine().credential

    assert "ERR_MISUSE" == engine.provide(chosen)


def test_answer_after_a_failure_tells_the_failure(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(Initialize(status=-5, is_supplied=False))
    engine = make_engine(asks_for_credential=1)
    engine.handshake()

    assert ("ERR_HANDSHAKE", -5) == (engine.provide(), engine.error.status)


def test_shutdown_while_the_caller_chooses(sspi: FakeSSPI, asked_engine: ScriptedEngine) -> None:
    plain = record(ALERT, bytes((1, 0)))
    sspi.script(  # 69
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=Status.SEC_E_OK, token=plain, is_supplied=False),
    )

    assert ("OK", HELLO + plain) == (asked_engine.shutdown(), asked_engine.drain())


def test_engine_that_does_not_ask_sends_an_empty_list(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(Initialize(token=HELLO), Initialize(given=FLIGHT, status=ASKED), LAST)  # 5, 28
    engine = make_engine()

    assert "WANT_VERIFY" == engine.handshake(FLIGHT)
    assert 1 == len(set(sspi.credentials_used))


def test_server_that_does_not_ask_is_none_of_the_callers_business(
    sspi: FakeSSPI, make_engine: MakeEngine
) -> None:
    sspi.script(
        FIRST,
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK, is_supplied=False),
        Decrypt(given=DATA, data=b"220"),
    )
    engine = make_engine(asks_for_credential=1)

    engine.handshake(FLIGHT + DATA)
    engine.verified()

    assert ("OK", b"220") == engine.read()
