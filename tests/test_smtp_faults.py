"""The fault matrix: at every stage the server drops, stalls, says 421, 4yz, 5yz or garbage."""

from __future__ import annotations

import pytest
from smtp_samples import MESSAGE, OpenSession, StartServer

from schannel_ffi.smtp import (
    ConnectionLost,
    Outcome,
    RemoteProtocolError,
    ServiceRefused,
    SMTPError,
    SMTPTimeout,
)

pytest_plugins = ["smtp_fixtures"]

ONE, TWO = "one@example.org", "two@example.org"
D, P, T, N, U = (
    Outcome.DELIVERED,
    Outcome.REFUSED_PERMANENT,
    Outcome.REFUSED_TRANSIENT,
    Outcome.NOT_SENT,
    Outcome.UNKNOWN,
)
Lost, Late, Broken = ConnectionLost, SMTPTimeout, RemoteProtocolError

MISBEHAVIOURS = {
    "drop": {"drop_at": "{stage}"},
    "stall": {"stall_at": "{stage}"},
    "421": {"replies": "421 4.3.2 bye"},
    "4yz": {"replies": "451 4.3.0 later"},
    "5yz": {"replies": "554 5.7.1 no"},
    "garbage": {"replies": "what?"},
    "3yz": {"replies": "334 x"},
}

# stage, misbehaviour -> the exception (or None) and the outcomes of both recipients
SENDING = {
    ("MAIL", "drop"): (Lost, N, N),
    ("MAIL", "stall"): (Late, N, N),
    ("MAIL", "421"): (Lost, N, N),
    ("MAIL", "4yz"): (None, T, T),
    ("MAIL", "5yz"): (None, P, P),
    ("MAIL", "garbage"): (Broken, N, N),
    ("MAIL", "3yz"): (Broken, N, N),
    ("RCPT", "drop"): (Lost, N, N),
    ("RCPT", "stall"): (Late, N, N),
    ("RCPT", "421"): (Lost, N, N),
    ("RCPT", "4yz"): (None, T, T),
    ("RCPT", "5yz"): (None, P, P),
    ("RCPT", "garbage"): (Broken, N, N),
    ("RCPT", "3yz"): (Broken, N, N),
    ("RCPT <two@example.org>", "421"): (Lost, N, N),
    ("RCPT <two@example.org>", "4yz"): (None, D, T),
    ("RCPT <two@example.org>", "5yz"): (None, D, P),
    ("RCPT <two@example.org>", "garbage"): (Broken, N, N),
    ("DATA", "drop"): (Lost, N, N),
    ("DATA", "stall"): (Late, N, N),
    ("DATA", "421"): (Lost, N, N),
    ("DATA", "4yz"): (None, T, T),
    ("DATA", "5yz"): (None, P, P),
    ("DATA", "garbage"): (Broken, N, N),
    ("DATA", "3yz"): (Broken, N, N),
    ("EOD", "drop"): (Lost, U, U),
    ("EOD", "stall"): (Late, U, U),
    ("EOD", "421"): (None, T, T),
    ("EOD", "4yz"): (None, T, T),
    ("EOD", "5yz"): (None, P, P),
    ("EOD", "garbage"): (Broken, U, U),
    ("EOD", "3yz"): (Broken, U, U),
}


def script_of(stage: str, misbehaviour: str) -> dict[str, object]:
    ((name, value),) = MISBEHAVIOURS[misbehaviour].items()
    if name == "replies":
        times = 2 if stage == "RCPT" and misbehaviour in ("4yz", "5yz") else 1  # each recipient
        return {"replies": {stage: [value] * times}}
    return {name: stage, "misbehaving_connections": 1}


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
@pytest.mark.parametrize("security", ["plain", "tls"])
@pytest.mark.parametrize(
    ("stage", "misbehaviour"), list(SENDING), ids=[f"{a}-{b}".replace(" ", "") for a, b in SENDING]
)
def test_sending(
    start_server: StartServer,
    open_session: OpenSession,
    stage: str,
    misbehaviour: str,
    security: str,
    capabilities: tuple[str, ...],
) -> None:
    error, *outcomes = SENDING[stage, misbehaviour]
    server = start_server(
        security=security, capabilities=capabilities, **script_of(stage, misbehaviour)
    )
    session = open_session(server, timeout=0.3 if misbehaviour == "stall" else 20.0)

    if error is None:
        seen = session.send(MESSAGE, recipients=[ONE, TWO]).outcomes
    else:
        with pytest.raises(error) as caught:
            session.send(MESSAGE, recipients=[ONE, TWO])
        seen = caught.value.outcomes
    again = session.send(MESSAGE, recipients=[ONE, TWO])

    assert seen == {ONE: outcomes[0], TWO: outcomes[1]}
    assert again.all_delivered
    assert server.errors == []


# stage, misbehaviour -> the exception
OPENING = {
    ("CONNECT", "drop"): Lost,
    ("CONNECT", "stall"): Late,
    ("CONNECT", "421"): ServiceRefused,
    ("CONNECT", "5yz"): ServiceRefused,
    ("CONNECT", "garbage"): Broken,
    ("EHLO", "drop"): Lost,
    ("EHLO", "stall"): Late,
    ("EHLO", "421"): ServiceRefused,
    ("EHLO", "4yz"): ServiceRefused,
    ("EHLO", "garbage"): Broken,
    ("STARTTLS", "drop"): Lost,
    ("STARTTLS", "stall"): Late,
    ("STARTTLS", "421"): SMTPError,
    ("STARTTLS", "garbage"): Broken,
    ("AUTH", "drop"): Lost,
    ("AUTH", "stall"): Late,
    ("AUTH", "421"): SMTPError,
    ("AUTH", "garbage"): Broken,
    ("AUTH", "3yz"): Broken,
}


@pytest.mark.parametrize(
    ("stage", "misbehaviour"), list(OPENING), ids=[f"{a}-{b}" for a, b in OPENING]
)
def test_opening(
    start_server: StartServer, open_session: OpenSession, stage: str, misbehaviour: str
) -> None:
    server = start_server(security="starttls", users={"u": "p"}, **script_of(stage, misbehaviour))

    with pytest.raises(OPENING[stage, misbehaviour]) as caught:
        open_session(server, login=("u", "p"), timeout=0.3 if misbehaviour == "stall" else 20.0)

    assert "\n" not in str(caught.value)
    assert caught.value.outcomes == {}
    assert server.messages == []


@pytest.mark.parametrize("misbehaviour", ["drop", "stall", "421", "5yz", "garbage"])
def test_quit_never_fails(
    start_server: StartServer, open_session: OpenSession, misbehaviour: str
) -> None:
    server = start_server(**script_of("QUIT", misbehaviour))
    session = open_session(server, timeout=0.3 if misbehaviour == "stall" else 20.0)

    result = session.send(MESSAGE)
    session.close()

    assert result.all_delivered


def test_lost_after_354_is_not_sent_when_the_message_does_not_fit_the_pipe(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(drop_after="DATA", misbehaving_connections=1)
    session = open_session(server)

    with pytest.raises(ConnectionLost) as caught:
        session.send(MESSAGE + (b"x" * 75 + b"\r\n") * 300_000, recipients=[ONE])

    assert caught.value.outcomes == {ONE: N}
    assert isinstance(caught.value.__cause__, OSError | None)


def test_a_server_that_takes_no_more_bytes_is_a_timeout_and_not_sent(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(replies={"DATA": ["354 go"]}, stops_reading_at=1)
    session = open_session(server, timeout=0.5)

    with pytest.raises(SMTPTimeout) as caught:
        session.send(MESSAGE + (b"x" * 75 + b"\r\n") * 300_000, recipients=[ONE])

    assert caught.value.outcomes == {ONE: N}
    assert isinstance(caught.value.__cause__, TimeoutError)
