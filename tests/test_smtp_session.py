from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from email.message import EmailMessage
from typing import Any

import pytest
from smtp_samples import (
    MESSAGE,
    RECIPIENT,
    SENDER,
    OpenSession,
    StartServer,
    TLSEnds,
)

from schannel_ffi.smtp import (
    AuthenticationError,
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    Outcome,
    RemoteProtocolError,
    Session,
    SMTPError,
    StartTLSRequired,
)

pytest_plugins = ["smtp_fixtures"]

SECURITIES = ["plain", "starttls", "tls"]
D, P, T, N = (
    Outcome.DELIVERED,
    Outcome.REFUSED_PERMANENT,
    Outcome.REFUSED_TRANSIENT,
    Outcome.NOT_SENT,
)


@pytest.mark.parametrize("chunk", [None, 1], ids=["whole", "byte_by_byte"])
@pytest.mark.parametrize("security", SECURITIES)
def test_messages_arrive_with_their_queue_ids(
    start_server: StartServer, open_session: OpenSession, security: str, chunk: int | None
) -> None:
    server = start_server(security=security, chunk=chunk)

    with open_session(server) as session:
        results = [session.send(MESSAGE) for _ in range(3)]

    assert [result.queue_id for result in results] == ["Q0x1", "Q0x2", "Q0x3"]
    assert all(result.all_delivered for result in results)
    assert [message.data for message in server.messages] == [MESSAGE] * 3
    assert {message.is_encrypted for message in server.messages} == {security != "plain"}
    assert server.commands[-1] == b"QUIT"


def test_envelope_and_body_are_one_write_each_where_pipelining_is_offered(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls")

    with open_session(server) as session:
        session.send(MESSAGE, sender=SENDER, recipients=[RECIPIENT, "c@example.org"])

    assert server.reads[1:2] == [
        b"MAIL FROM:<a@example.org> SIZE=%d\r\n"
        b"RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n" % len(MESSAGE)
    ]


def test_commands_go_one_by_one_without_pipelining(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(capabilities=())

    with open_session(server) as session:
        session.send(MESSAGE, recipients=[RECIPIENT, "c@example.org"])

    assert [read.split(b":")[0].strip() for read in server.reads[1:]] == [
        b"MAIL FROM", b"RCPT TO", b"RCPT TO", b"DATA", b"QUIT",
    ]  # fmt: skip


def test_the_client_names_itself_by_its_own_address(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server()

    open_session(server)
    open_session(server, local_hostname="client.example")

    assert server.commands == [b"EHLO [127.0.0.1]", b"EHLO client.example"]


def test_ipv6_is_named_as_such(start_server: StartServer, open_session: OpenSession) -> None:
    try:
        server = start_server(host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")

    open_session(server)

    assert server.commands == [b"EHLO [IPv6:::1]"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("auth_line", ["AUTH PLAIN LOGIN", "AUTH=LOGIN", "AUTH LOGIN"])
def test_login(
    start_server: StartServer, open_session: OpenSession, security: str, auth_line: str
) -> None:
    server = start_server(security=security, users={"ü": "pä"}, auth_line=auth_line)

    with open_session(server, login=("ü", "pä")) as session:
        session.send(MESSAGE)

    assert server.messages[0].login == "ü"


@pytest.mark.parametrize("auth_line", ["AUTH PLAIN", "AUTH LOGIN"])
def test_a_refused_login_tells_no_secret(
    start_server: StartServer, open_session: OpenSession, auth_line: str
) -> None:
    server = start_server(security="tls", users={"u": "p"}, auth_line=auth_line)

    with pytest.raises(
        AuthenticationError, match=r"535 5\.7\.8 .*check user and password"
    ) as caught:
        open_session(server, login=("u", "geheim"))

    assert caught.value.reply is not None
    assert caught.value.reply.code == 535
    assert "geheim" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("security", ["insecure_plaintext", "tls"])
def test_a_login_without_verified_tls_is_refused_before_connecting(security: str) -> None:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False

    with pytest.raises(LocalProtocolError, match="insecure_login=True"):
        Session("127.0.0.1", 1, security=security, login=("u", "p"), tls=unverified)


def test_an_opportunistic_session_keeps_its_login_to_itself_in_clear(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(users={"u": "p"})

    with pytest.raises(StartTLSRequired, match="login was not sent"):
        open_session(server, security="insecure_opportunistic", login=("u", "p"))

    assert server.commands == [b"EHLO [127.0.0.1]"]


def test_a_login_goes_out_in_clear_when_asked_for_by_name(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(users={"u": "p"})

    open_session(server, login=("u", "p"), insecure_login=True)

    assert server.commands[-1] == b"AUTH PLAIN AHUAcA=="


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param({"security": "plain"}, "does not offer STARTTLS", id="not_offered"),
        pytest.param({"replies": {"STARTTLS": "454 4.7.0 no"}}, "refused STARTTLS: 454", id="454"),
        pytest.param({"replies": {"STARTTLS": "250 ok"}}, "refused STARTTLS: 250", id="250"),
        pytest.param({"replies": {"EHLO": "502 what"}}, "refused EHLO: 502", id="ehlo_refused"),
        pytest.param(
            {"surplus_after_starttls": b"250-evil\r\n250 AUTH PLAIN\r\n"},
            "plaintext after",
            id="surplus",
        ),
        pytest.param({"surplus_after_starttls": b"2"}, "plaintext after", id="surplus_of_one_byte"),
    ],
)  # fmt: skip
def test_required_starttls_is_required(
    start_server: StartServer, open_session: OpenSession, script: dict[str, Any], words: str
) -> None:
    server = start_server(**{"security": "starttls", "users": {"u": "p"}} | script)

    with pytest.raises(SMTPError, match=words):
        open_session(server, security="starttls", login=("u", "p"))

    assert {command.split(b" ")[0] for command in server.commands} <= {b"EHLO", b"STARTTLS"}


def test_ehlo_comes_again_after_starttls_and_its_answer_alone_counts(
    start_server: StartServer, open_session: OpenSession
) -> None:
    before = "250-x\r\n250-PIPELINING\r\n250-SIZE 1\r\n250 STARTTLS"
    server = start_server(security="starttls", replies={"EHLO": [before, "250-x\r\n250 8BITMIME"]})

    session = open_session(server)

    assert set(session.capabilities.keywords) == {"8BITMIME"}


def test_ehlo_refused_after_starttls_is_fatal(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(
        security="starttls", replies={"EHLO": ["250-x\r\n250 STARTTLS", "502 5.5.1 no"]}
    )

    with pytest.raises(SMTPError, match="refused EHLO"):
        open_session(server)

    assert b"HELO" not in b" ".join(server.commands)


@pytest.mark.parametrize("security", ["plain", "starttls"])
def test_opportunistic_uses_starttls_where_it_is_offered(
    start_server: StartServer, open_session: OpenSession, security: str
) -> None:
    server = start_server(security=security)

    open_session(server, security="insecure_opportunistic").send(MESSAGE)

    assert server.messages[0].is_encrypted == (security == "starttls")


@pytest.mark.parametrize("security", ["plain", "tls"])
def test_helo_is_tried_where_nothing_is_lost_by_it(
    start_server: StartServer, open_session: OpenSession, security: str
) -> None:
    server = start_server(security=security, replies={"EHLO": "500 5.5.1 what"})

    result = open_session(server).send(MESSAGE)

    assert result.all_delivered
    assert server.commands[1] == b"HELO [127.0.0.1]"


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
@pytest.mark.parametrize(
    ("security", "text", "error", "words"),
    [
        ("plain", "Must issue STARTTLS first", StartTLSRequired, 'use security="starttls"'),
        ("plain", "Authentication required", AuthenticationError, r"pass login=\(user, password\)"),
        ("tls", "Authentication required", AuthenticationError, r"pass login=\(user, password\)"),
    ],
)  # fmt: skip
def test_530_says_what_to_change(
    start_server: StartServer,
    open_session: OpenSession,
    stage: str,
    security: str,
    text: str,
    error: type[SMTPError],
    words: str,
) -> None:
    server = start_server(security=security, replies={stage: [f"530 5.7.0 {text}"]})
    session = open_session(server)

    with pytest.raises(error, match=words) as caught:
        session.send(MESSAGE)

    assert caught.value.outcomes == {RECIPIENT: N}
    assert session.send(MESSAGE).all_delivered
    assert server.connections == 1


def test_530_to_ehlo_says_what_to_change(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(replies={"EHLO": "530 5.7.0 Must issue a STARTTLS command first"})

    with pytest.raises(StartTLSRequired, match='use security="starttls"'):
        open_session(server)


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_every_recipient_gets_its_own_outcome(
    start_server: StartServer, open_session: OpenSession, capabilities: tuple[str, ...]
) -> None:
    replies = {"RCPT <bad@x.example>": "550 5.1.1 no", "RCPT <busy@x.example>": "450 4.2.1 wait"}
    server = start_server(replies=replies, capabilities=capabilities)
    recipients = ["bad@x.example", RECIPIENT, "busy@x.example", RECIPIENT]

    result = open_session(server).send(MESSAGE, recipients=recipients)

    assert result.outcomes == {"bad@x.example": P, RECIPIENT: D, "busy@x.example": T}
    assert result.replies["bad@x.example"].enhanced_status == (5, 1, 1)
    assert result.replies[RECIPIENT] == result.reply
    assert server.messages[0].recipients == (RECIPIENT,)


@pytest.mark.parametrize("capabilities", [("PIPELINING",), ()], ids=["pipelined", "lockstep"])
def test_all_or_nothing_sends_nothing_when_one_recipient_is_refused(
    start_server: StartServer, open_session: OpenSession, capabilities: tuple[str, ...]
) -> None:
    server = start_server(replies={"RCPT <bad@x>": ["550 5.1.1 no"]}, capabilities=capabilities)
    session = open_session(server)

    refused = session.send(MESSAGE, recipients=["bad@x", RECIPIENT], all_or_nothing=True)
    accepted = session.send(MESSAGE, recipients=["bad@x", RECIPIENT], all_or_nothing=True)

    assert refused.outcomes == {"bad@x": P, RECIPIENT: N}
    assert refused.reply.code == 550
    assert accepted.all_delivered
    assert len(server.messages) == 1
    assert [command[:4] for command in server.commands].count(b"DATA") == 1
    assert [command[:4] for command in server.commands].count(b"RSET") == 1


def test_rset_is_not_said_when_nothing_is_to_be_reset(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server()
    session = open_session(server)

    for _ in range(3):
        session.send(MESSAGE)

    assert b"RSET" not in server.commands


def test_a_server_that_wants_data_for_nobody_gets_a_lone_dot(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(replies={"RCPT": ["550 5.1.1 no"], "DATA": ["354 go"]})
    session = open_session(server)

    first = session.send(MESSAGE)
    second = session.send(MESSAGE)

    assert first.outcomes == {RECIPIENT: P}
    assert first.queue_id is None
    assert second.all_delivered
    assert server.bodies == [b"", MESSAGE]
    assert server.connections == 1


def test_a_server_that_wants_data_after_refusing_mail_is_left(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(replies={"MAIL": ["550 5.7.1 no"], "DATA": ["354 go"]})
    session = open_session(server)

    first = session.send(MESSAGE)
    second = session.send(MESSAGE)

    assert first.outcomes == {RECIPIENT: P}
    assert second.all_delivered
    assert server.connections == 2
    assert server.bodies == [MESSAGE]


def test_bcc_recipients_receive_and_are_not_named(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server()
    message = (
        b"From: a@example.org\nbCc : x@example.org,\n y@example.org\nTo: b@example.org\n\nhi\n"
    )

    result = open_session(server).send(message)

    assert set(result.outcomes) == {RECIPIENT, "x@example.org", "y@example.org"}
    assert server.messages[0].data == (b"From: a@example.org\r\nTo: b@example.org\r\n\r\nhi\r\n")


@pytest.mark.parametrize(
    ("capabilities", "parameters"),
    [
        (("8BITMIME", "SMTPUTF8", "SIZE"), ("SIZE=22", "BODY=8BITMIME")),
        (("8BITMIME",), ("BODY=8BITMIME",)),
    ],
)
def test_8_bit_bytes_are_declared(
    start_server: StartServer,
    open_session: OpenSession,
    capabilities: tuple[str, ...],
    parameters: tuple[str, ...],
) -> None:
    server = start_server(capabilities=capabilities)

    open_session(server).send(
        "Subject: t\r\n\r\ngr\u00fc\u00df\r\n".encode(), sender=SENDER, recipients=RECIPIENT
    )

    assert server.messages[0].parameters == parameters


def test_smtputf8_is_used_where_it_is_needed_only(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(capabilities=("SMTPUTF8", "8BITMIME"))
    session = open_session(server)
    message = EmailMessage()
    message["Subject"] = "grün"
    message.set_content("x")

    session.send(message, sender=SENDER, recipients=["ü@example.org"])
    session.send(message, sender=SENDER, recipients=["x@bücher.example"])

    assert [m.parameters for m in server.messages] == [("BODY=8BITMIME", "SMTPUTF8"), ()]
    assert server.messages[0].recipients == ("ü@example.org",)
    assert "Subject: grün".encode() in server.messages[0].data
    assert server.messages[1].recipients == ("x@xn--bcher-kva.example",)


@pytest.mark.parametrize(
    ("message", "recipients", "words"),
    [
        pytest.param(b"A: b\r\n\r\n\xe4\r\n", [RECIPIENT], "8BITMIME; pass an Em", id="8bit"),
        pytest.param(b"A: \xc3\xa4\r\n\r\n", [RECIPIENT], "SMTPUTF8", id="utf8_header"),
        pytest.param(MESSAGE, ["ä@b.example"], "SMTPUTF8", id="utf8_address"),
        pytest.param(MESSAGE + b"x" * 900, [RECIPIENT], "server takes 500", id="too_large"),
        pytest.param(MESSAGE + b"\0", [RECIPIENT], "NUL", id="nul"),
        pytest.param(MESSAGE + b"x" * 999, [RECIPIENT], "line 6 .* longer", id="long_line"),
        pytest.param(MESSAGE, [], "no recipients", id="no_recipients"),
        pytest.param(MESSAGE, ["a@b\r\nDATA"], "control characters", id="injection"),
        pytest.param(b"To: b@example.org\r\n\r\n", None, "", id="explicit_sender"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_before_a_byte_leaves(
    start_server: StartServer,
    open_session: OpenSession,
    message: bytes,
    recipients: list[str] | None,
    words: str,
) -> None:
    server = start_server(capabilities=("PIPELINING", "SIZE 500"))
    session = open_session(server)

    if words:
        with pytest.raises(LocalProtocolError, match=words):
            session.send(message, sender=SENDER, recipients=recipients)
        assert len(server.commands) == 1
    assert session.send(MESSAGE).all_delivered
    assert server.connections == 1


def test_a_stale_connection_is_replaced(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", drop_after="EOD")
    session = open_session(server)

    results = [session.send(MESSAGE) for _ in range(3)]

    assert [result.queue_id for result in results] == ["Q0x1", "Q1x1", "Q2x1"]


def test_an_idle_421_is_noticed_without_a_round_trip(
    start_server: StartServer, open_session: OpenSession
) -> None:
    farewell = "250 2.0.0 Ok: queued as A\r\n421 4.4.2 idle for too long"
    server = start_server(replies={"EOD": [farewell]})
    session = open_session(server)

    first, second = session.send(MESSAGE), session.send(MESSAGE)

    assert first.queue_id == "A"
    assert second.queue_id == "Q1x1"


@pytest.mark.parametrize("stage", ["MAIL", "RSET"])
@pytest.mark.parametrize("farewell", ["421 4.4.2 bye", "drop"])
def test_a_used_connection_that_ends_before_any_verdict_is_replaced_once(
    start_server: StartServer, open_session: OpenSession, stage: str, farewell: str
) -> None:
    is_mail = stage == "MAIL"
    replies = {"RCPT": ["250 ok" if is_mail else "550 no"]}  # a refusal makes RSET necessary
    if farewell != "drop":
        replies[stage] = ["250 ok"] * is_mail + [farewell]
    server = start_server(replies=replies)
    session = open_session(server)
    session.send(MESSAGE)
    if farewell == "drop":
        server.script.drop_at = stage
        server.script.misbehaving_connections = 1

    result = session.send(MESSAGE)

    assert result.all_delivered
    assert server.connections == 2


def test_a_new_connection_that_ends_is_not_replaced(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(drop_at="MAIL")
    session = open_session(server)

    with pytest.raises(ConnectionLost) as caught:
        session.send(MESSAGE)

    assert caught.value.outcomes == {RECIPIENT: N}
    assert server.connections == 1


def test_a_session_in_use_by_another_thread_says_so(
    start_server: StartServer, open_session: OpenSession
) -> None:
    is_sending, may_go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        is_sending.set()
        may_go_on.wait(20)

    server = start_server(on_message=wait)
    session = open_session(server)
    thread = threading.Thread(target=session.send, args=(MESSAGE,))
    thread.start()
    is_sending.wait(20)

    try:
        for use in (lambda: session.send(MESSAGE), session.close, session.connect):
            with pytest.raises(LocalProtocolError, match="in use by another thread"):
                use()
    finally:
        may_go_on.set()
        thread.join()

    assert len(server.messages) == 1


@pytest.mark.parametrize("security", ["plain", "tls"])
def test_abort_from_another_thread_ends_a_send_and_tells_unknown(
    start_server: StartServer, open_session: OpenSession, security: str
) -> None:
    session: list[Session] = []
    server = start_server(security=security, on_message=lambda _: session[0].abort())
    session.append(open_session(server))

    with pytest.raises(ConnectionLost) as caught:
        session[0].send(MESSAGE)

    assert caught.value.outcomes == {RECIPIENT: Outcome.UNKNOWN}
    with pytest.raises(LocalProtocolError, match="not connected"):
        session[0].send(MESSAGE)


def test_a_session_that_was_not_connected_says_how() -> None:
    session = Session("127.0.0.1", 1)

    with pytest.raises(LocalProtocolError, match="use `with Session"):
        session.send(MESSAGE)
    session.close()
    session.abort()


def test_a_closed_session_can_be_connected_again(
    start_server: StartServer, open_session: OpenSession
) -> None:
    session = open_session(start_server())
    with pytest.raises(LocalProtocolError, match="connected already"):
        session.connect()
    session.close()
    session.close()

    with session:
        assert session.send(MESSAGE).all_delivered


def test_an_unclosed_session_warns(start_server: StartServer, smtp_tls: TLSEnds) -> None:
    server = start_server()
    session = Session(server.host, server.port, security="insecure_plaintext", tls=smtp_tls.client)
    session.connect()

    with pytest.warns(ResourceWarning, match=r"unclosed <Session 127\.0\.0\.1"):
        session.__del__()


def test_an_interrupted_with_block_closes_without_quit(
    start_server: StartServer, smtp_tls: TLSEnds
) -> None:
    server = start_server()

    def interrupted() -> None:
        with Session(server.host, server.port, security="insecure_plaintext", tls=smtp_tls.client):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    server.stop()

    assert server.commands == [b"EHLO [127.0.0.1]"]


@pytest.mark.parametrize("stage", ["MAIL", "EOD"])
def test_an_interrupted_send_closes_the_connection(
    start_server: StartServer,
    open_session: OpenSession,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    server = start_server(stall_at=stage, misbehaving_connections=1)
    session = open_session(server)
    assert session._connection is not None
    transport = session._connection.transport
    receive = transport.receive

    def interrupt(deadline: float, waiting_for: str) -> Any:
        if waiting_for == stage or (stage == "EOD" and "verdict" in waiting_for):
            raise KeyboardInterrupt
        return receive(deadline, waiting_for)

    monkeypatch.setattr(transport, "receive", interrupt)

    with pytest.raises(KeyboardInterrupt):
        session.send(MESSAGE)

    assert "not connected" in repr(session)
    assert session.send(MESSAGE).queue_id == "Q1x1"


def test_connector_gives_the_socket(start_server: StartServer, open_session: OpenSession) -> None:
    server = start_server(security="tls")
    asked: list[tuple[str, int, float]] = []

    def connect(host: str, port: int, seconds: float) -> socket.socket:
        asked.append((host, port, seconds))
        return socket.create_connection((server.host, server.port), timeout=seconds)

    session = Session(
        "mail.example.org", 465, tls=open_session(server)._settings.tls, connector=connect
    )
    with session:
        assert session.send(MESSAGE).all_delivered

    assert asked[0][:2] == ("mail.example.org", 465)
    assert 0 < asked[0][2] <= 30


def test_server_hostname_is_what_is_verified(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls")

    open_session(server, server_hostname="mail.example.org")
    with pytest.raises(ConnectionFailed, match="check server_hostname= and which authorities"):
        open_session(server, server_hostname="other.example.org")


def test_an_untrusted_certificate_is_refused(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="starttls")

    with pytest.raises(ConnectionFailed, match="certificate") as caught:
        open_session(server, tls=ssl.create_default_context())

    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.skipif(sys.platform == "win32", reason="Schannel is there")
def test_the_lack_of_schannel_says_what_to_pass_instead(
    start_server: StartServer, open_session: OpenSession
) -> None:
    with pytest.raises(ConnectionFailed, match=r"pass tls=ssl\.create_default_context\(\)"):
        open_session(start_server(security="tls"), tls=None)


def test_a_port_without_tls_gives_a_hint(
    start_server: StartServer, open_session: OpenSession
) -> None:
    with pytest.raises(ConnectionFailed, match='for 587 and 25 use security="starttls"'):
        open_session(start_server(security="plain"), security="tls")


def test_a_port_with_tls_from_the_start_gives_a_hint(
    start_server: StartServer, open_session: OpenSession
) -> None:
    with pytest.raises(SMTPError, match='use security="tls"'):
        open_session(start_server(security="tls"), security="starttls", timeout=0.3)


def test_a_peer_that_is_no_smtp_server_gives_a_hint(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(replies={"CONNECT": "SSH-2.0-OpenSSH_9.2"})

    with pytest.raises(RemoteProtocolError, match=r'"SSH-2\.0-OpenSSH_9\.2", which is no SMTP'):
        open_session(server)


def test_a_refused_connection_names_host_port_and_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(ConnectionFailed, match=rf"127\.0\.0\.1:{port}.*is the port right"):
        Session("127.0.0.1", port, security="insecure_plaintext").connect()


@pytest.mark.parametrize("host", ["", "a b", "a\r\nb", "a\0", "x" * 70 + "é"])
def test_bad_host_names_are_refused(host: str) -> None:
    with pytest.raises(LocalProtocolError, match="host name"):
        Session(host)
    with pytest.raises(LocalProtocolError, match="host name"):
        Session("good.example", server_hostname=host)


@pytest.mark.parametrize(
    "settings",
    [
        {"security": "ssl"},
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"local_hostname": "a b"},
        {"local_hostname": "a\r\nQUIT"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        Session("a.example", **settings)


@pytest.mark.parametrize(
    ("port", "security"), [(465, "tls"), (587, "starttls"), (25, "starttls"), (2525, "starttls")]
)
def test_security_follows_from_the_port(port: int, security: str) -> None:
    assert f":{port} {security}," in repr(Session("a.example", port))


def test_a_large_message_leaves_in_pieces(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls")
    message = MESSAGE + (b"." * 75 + b"\n") * 60_000

    result = open_session(server).send(message)

    assert result.all_delivered
    assert server.messages[0].data == message.replace(b"\n", b"\r\n").replace(b"\r\r", b"\r")


def test_a_refusal_that_comes_while_the_message_is_on_its_way_is_its_outcome(
    start_server: StartServer, open_session: OpenSession
) -> None:
    server = start_server(security="tls", early_reply=(1 << 20, "552 5.3.4 too big"))
    session = open_session(server)

    result = session.send(MESSAGE + (b"x" * 75 + b"\r\n") * 200_000)

    assert result.outcomes == {RECIPIENT: P}
    assert result.reply.code == 552
    assert session.send(MESSAGE).all_delivered
    assert server.connections == 2
    assert [message.data for message in server.messages] == [MESSAGE]


CHILD = """
import sys
sys.path[:0] = %r
import socket, threading
import schannel_ffi.smtp as smtp
from email.message import EmailMessage

listener = socket.create_server(("127.0.0.1", 0))

def serve():
    sock, _ = listener.accept()
    sock.sendall(b"220 x\\r\\n")
    for code in (250, 250, 250, 354, 250, 221):
        sock.recv(65536)
        sock.sendall(b"%%d x\\r\\n" %% code)

threading.Thread(target=serve, daemon=True).start()
message = EmailMessage()
message["From"], message["To"] = "a@b.example", "c@d.example"
message.set_content("gr\\u00fcn")
with smtp.Session("127.0.0.1", listener.getsockname()[1], security="insecure_plaintext") as session:
    assert session.send(message).all_delivered
print([name for name in ("_ssl", "_hashlib", "ssl", "hashlib", "smtplib") if name in sys.modules])
"""


def test_no_openssl_is_loaded_by_import_and_by_a_sent_mail() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD % sys.path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == b"[]"
