"""With an identity the last token waits for the verdict on the peer (rows 24, 38, 85).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

from typing import Any

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
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine, ScriptedEngine

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OK = Status.SEC_E_OK
FIRST = Initialize(token=HELLO)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=OK)
DATA = record(APPLICATION_DATA, b"x" * 40)
TICKET = record(APPLICATION_DATA, b"a new session ticket, sealed" * 2)
REPLY = record(APPLICATION_DATA, b"key update of ours")
FAREWELL = record(APPLICATION_DATA, b"sealed alert")


@pytest.fixture
def unverified(sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any) -> ScriptedEngine:
    """An engine with an identity, whose handshake is done and whose hello has left."""
    sspi.script(FIRST, LAST)
    engine = make_engine(credential={"identity": own_identity})
    assert engine.handshake(FLIGHT) == "WANT_VERIFY"
    assert engine.drain() == HELLO
    return engine


def test_last_token_leaves_when_the_peer_is_verified(
    sspi: FakeSSPI, unverified: ScriptedEngine
) -> None:
    sspi.script(Encrypt(data=b"EHLO"))  # 85

    before = unverified.handshake(), unverified.drain()
    unverified.verified()
    unverified.write(b"EHLO")

    assert ("WANT_VERIFY", b"") == before
    assert FINISHED + seal(b"EHLO") == unverified.drain()
    assert b"" == unverified.drain()


def test_refused_peer_never_gets_the_last_token(sspi: FakeSSPI, unverified: ScriptedEngine) -> None:
    result = unverified.verified(reason=4, status=-77)  # 85: nor an alert that it cannot read

    assert ("ERR_CERTIFICATE", -77, b"") == (result, unverified.error.status, unverified.drain())
    assert "ApplyControlToken" not in sspi.calls


def test_shutdown_before_the_verdict_drops_the_last_token(
    sspi: FakeSSPI, unverified: ScriptedEngine
) -> None:
    result = unverified.shutdown()  # 85

    assert ("OK", b"") == (result, unverified.drain())
    assert "ApplyControlToken" not in sspi.calls
    assert ("OK", b"") == (unverified.verified(), unverified.drain())
    assert ("ERR_MISUSE", 0) == unverified.write(b"EHLO")


def test_freed_engine_drops_the_last_token(unverified: ScriptedEngine) -> None:
    unverified.free()  # 85: the fixture of the table counts what is alive


def test_tokens_before_the_last_do_not_wait(
    sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any
) -> None:
    more = record(HANDSHAKE, b"more of it")
    sspi.script(FIRST, Initialize(given=more, token=REPLY), LAST)  # 24
    engine = make_engine(credential={"identity": own_identity})

    engine.handshake(more, FLIGHT)

    assert HELLO + REPLY == engine.drain()


def test_alert_of_a_failing_last_call_does_not_wait(
    sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any
) -> None:
    sspi.script(FIRST, Initialize(given=FLIGHT, token=FAREWELL, status=-5))  # 32
    engine = make_engine(credential={"identity": own_identity})

    assert ("ERR_HANDSHAKE", HELLO + FAREWELL) == (engine.handshake(FLIGHT), engine.drain())


def test_handshake_that_fails_behind_its_end_drops_the_last_token(
    sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any
) -> None:
    sspi.protocol = int(ClientBit.TLS_1_0)
    sspi.script(FIRST, LAST)  # 85, 100
    engine = make_engine(credential={"identity": own_identity}, protocols=8)

    assert ("ERR_HANDSHAKE", HELLO) == (engine.handshake(FLIGHT), engine.drain())


def test_identity_that_was_chosen_waits_too(
    sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any
) -> None:
    asked = Status.SEC_I_INCOMPLETE_CREDENTIALS
    sspi.script(  # 29, 85
        Initialize(token=HELLO, is_supplied=False),
        Initialize(given=FLIGHT, status=asked, is_supplied=False),
        LAST,
    )
    engine = make_engine(asks_for_credential=1)
    engine.handshake(FLIGHT)
    engine.provide(engine.make_credential(identity=own_identity))

    assert ("WANT_VERIFY", HELLO) == (engine.handshake(), engine.drain())
    assert ("OK", FINISHED) == (engine.verified(), engine.drain())


def test_identity_given_up_front_is_not_asked_for(
    sspi: FakeSSPI, make_engine: MakeEngine, own_identity: Any
) -> None:
    sspi.script(FIRST, LAST)  # 28: USE_SUPPLIED_CREDS from the first call on
    engine = make_engine(credential={"identity": own_identity}, asks_for_credential=1)

    assert "WANT_VERIFY" == engine.handshake(FLIGHT)


def test_tokens_of_an_open_connection_do_not_wait(
    sspi: FakeSSPI, unverified: ScriptedEngine
) -> None:
    sspi.script(  # 58, 85
        Decrypt(given=TICKET, status=Status.SEC_I_RENEGOTIATE, extra=(0, len(TICKET))),
        Initialize(given=TICKET, token=REPLY, status=OK),
        Control(token=SCHANNEL_SHUTDOWN),
        Initialize(status=OK, token=FAREWELL),
    )
    unverified.verified()
    unverified.feed(TICKET)
    unverified.read()
    unverified.shutdown()

    assert FINISHED + REPLY + FAREWELL == unverified.drain()
