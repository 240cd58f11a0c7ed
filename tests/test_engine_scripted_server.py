"""The server's part, call by call (windows_behaviours.md, D: rows 76 to 81).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

from typing import Any

import pytest
from client_hello import (
    GREASE,
    SSL_3_WIRE,
    TLS_1_0_WIRE,
    TLS_1_1_WIRE,
    TLS_1_2_WIRE,
    TLS_1_3_WIRE,
    client_hello,
    extension,
    offering,
    supported_versions,
)
from fake_sspi import FakeSSPI
from fake_sspi_script import (
    ALERT,
    APPLICATION_DATA,
    HANDSHAKE,
    SERVER_GRANTED,
    Accept,
    Control,
    Decrypt,
    Encrypt,
    record,
    seal,
)
from fake_sspi_types import (
    SCHANNEL_SHUTDOWN,
    ClientBit,
    Status,
    ffi,
    schannel_alert,
)
from fake_system import FakeSystem
from scripted_engine import (
    TLS_1_0,
    TLS_1_1,
    TLS_1_2,
    TLS_1_3,
    MakeEngine,
    ScriptedEngine,
    alpn_list,
    alpn_offer,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OK, RENEGOTIATE = Status.SEC_E_OK, Status.SEC_I_RENEGOTIATE
INCOMPLETE = Status.SEC_E_INCOMPLETE_MESSAGE
NONE, OPTIONAL, REQUIRED = 0, 1, 2
HELLO = offering(TLS_1_3_WIRE, TLS_1_2_WIRE)
SERVER_FLIGHT = record(HANDSHAKE, b"server's flight")
CLIENT_FLIGHT = record(HANDSHAKE, b"client's flight")
TICKETS = record(APPLICATION_DATA, b"tickets")
FIRST = Accept(given=HELLO, token=SERVER_FLIGHT)
LAST = Accept(given=CLIENT_FLIGHT, token=TICKETS, status=OK)
DATA = record(APPLICATION_DATA, b"x" * 40)
KEY_UPDATE = record(APPLICATION_DATA, b"key update, sealed..")
REPLY = record(APPLICATION_DATA, b"key update of ours")
FAREWELL = record(ALERT, b"sealed alert")

UNKNOWN = [  # statuses without a row in the server's table
    Status.SEC_I_INCOMPLETE_CREDENTIALS,
    Status.SEC_I_RENEGOTIATE,
    Status.SEC_I_CONTEXT_EXPIRED,
    Status.SEC_I_MESSAGE_FRAGMENT,
    Status.SEC_E_INVALID_TOKEN,
    Status.SEC_E_ILLEGAL_MESSAGE,
    Status.SEC_E_ALGORITHM_MISMATCH,
    Status.SEC_E_INTERNAL_ERROR,
    Status.SEC_E_APPLICATION_PROTOCOL_MISMATCH,
    0x12345678,
    -5,
]


def hex_of(status: int) -> str:
    return f"{status & 0xFFFFFFFF:08X}"


@pytest.fixture
def serve(make_engine: MakeEngine, own_identity: Any) -> MakeEngine:
    """Return a function that makes engines of the server's role."""

    def make(system: FakeSystem | None = None, **config: Any) -> ScriptedEngine:
        credential = {"is_server": True, "identity": own_identity}
        return make_engine(system, credential=credential, name=None, **config)

    return make


@pytest.fixture
def open_server(sspi: FakeSSPI, serve: MakeEngine) -> MakeEngine:
    """Return a function that makes servers whose handshake is done; nothing to verify."""

    def make(system: FakeSystem | None = None, **config: Any) -> ScriptedEngine:
        sspi.script(FIRST, LAST)
        engine = serve(system, **config)
        assert engine.handshake(HELLO, CLIENT_FLIGHT) == "OK"
        assert engine.drain() == SERVER_FLIGHT + TICKETS
        return engine

    return make


# --------------------------------------------------------------------------------- the handshake


def test_server_says_nothing_before_bytes_have_arrived(sspi: FakeSSPI, serve: MakeEngine) -> None:
    engine = serve()  # 76

    results = [engine.handshake(), engine.handshake()]

    assert (["WANT_READ"] * 2, b"", "HANDSHAKE") == (results, engine.drain(), engine.state)
    assert "AcceptSecurityContext" not in sspi.calls


def test_handshake_without_client_authentication_ends_open(
    sspi: FakeSSPI, serve: MakeEngine
) -> None:
    sspi.script(FIRST, LAST, Decrypt(given=DATA, data=b"EHLO"), Encrypt(data=b"250 ok"))  # 76
    engine = serve()

    results = [engine.handshake(HELLO), engine.handshake(CLIENT_FLIGHT), engine.handshake()]
    engine.feed(DATA)

    assert (["WANT_READ", "OK", "OK"], "OPEN") == (results, engine.state)
    assert (("OK", b"EHLO"), ("OK", 6)) == (engine.read(), engine.write(b"250 ok"))
    assert SERVER_FLIGHT + TICKETS + seal(b"250 ok") == engine.drain()


def test_first_call_stays_the_first_until_it_succeeds(sspi: FakeSSPI, serve: MakeEngine) -> None:
    half = record(HANDSHAKE, b"first half of a hello")
    sspi.script(  # 76: no security context comes of an incomplete message, and ALPN goes again
        Accept(given=half, status=INCOMPLETE, missing=9, alpn=alpn_offer(b"h2")),
        Accept(given=half + HELLO, token=SERVER_FLIGHT, alpn=alpn_offer(b"h2")),
        LAST,
    )
    sspi.alpn = b"h2"
    engine = serve(alpn=alpn_list(b"h2"))

    results = [engine.handshake(part) for part in (half, HELLO, CLIENT_FLIGHT)]

    assert ["WANT_READ", "WANT_READ", "OK"] == results
    assert b"h2" == engine.alpn()


def test_server_frees_nothing_that_was_not_made(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.script(Accept(given=HELLO, status=Status.SEC_E_INTERNAL_ERROR))
    engine = serve()
    engine.handshake(HELLO)

    engine.free()  # 71, 76

    assert "DeleteSecurityContext" not in sspi.calls


def test_extra_has_a_slot_of_its_own_beside_alpn(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.script(  # 77
        Accept(given=HELLO, token=SERVER_FLIGHT, extra=6, alpn=alpn_offer(b"h2", b"smtp")),
        Accept(given=HELLO[-6:]),
        LAST,
    )
    engine = serve(alpn=alpn_list(b"h2", b"smtp"))

    assert "OK" == engine.handshake(HELLO, CLIENT_FLIGHT)


@pytest.mark.parametrize("split", [1, 4, 5, 6, len(HELLO) - 1, len(HELLO), len(HELLO) + 5])
def test_records_reach_windows_whole_wherever_they_were_cut(
    sspi: FakeSSPI, serve: MakeEngine, split: int
) -> None:
    sspi.script(FIRST, LAST)  # 26
    engine = serve()
    data = HELLO + CLIENT_FLIGHT

    assert ("WANT_READ", "OK") == (engine.handshake(data[:split]), engine.handshake(data[split:]))


def test_records_reach_windows_whole_when_fed_byte_by_byte(
    sspi: FakeSSPI, serve: MakeEngine
) -> None:
    sspi.script(FIRST, LAST)
    engine = serve()

    results = [engine.handshake(bytes([byte])) for byte in HELLO + CLIENT_FLIGHT]

    assert ["WANT_READ"] * (len(results) - 1) + ["OK"] == results


def test_request_in_the_clients_last_segment_is_not_lost(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.script(FIRST, LAST, Decrypt(given=DATA, data=b"EHLO"))  # 25
    engine = serve()

    engine.handshake(HELLO, CLIENT_FLIGHT + DATA)

    assert ("OK", b"EHLO") == engine.read()


@pytest.mark.parametrize("missing", [0x4, 0x8, 0x10, 0x100, 0x10000], ids=hex)
def test_security_context_without_an_indispensable_flag_fails(
    sspi: FakeSSPI, serve: MakeEngine, missing: int
) -> None:
    sspi.script(FIRST, Accept(given=CLIENT_FLIGHT, status=OK, flags=SERVER_GRANTED & ~missing))
    engine = serve()  # 35

    assert "ERR_HANDSHAKE" == engine.handshake(HELLO, CLIENT_FLIGHT)


@pytest.mark.parametrize("status", UNKNOWN, ids=hex_of)
@pytest.mark.parametrize("output", ["token", "alert", "nothing"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_any_other_status_fails_but_its_alert_leaves(
    sspi: FakeSSPI, serve: MakeEngine, *, status: int, output: str, is_first: bool
) -> None:
    alert = record(ALERT, bytes((2, 40)))
    token, other = (alert if output == name else b"" for name in ("token", "alert"))
    given = HELLO if is_first else CLIENT_FLIGHT
    failing = Accept(given=given, status=status, token=token, alert=other)  # 32, 80
    sspi.script(*[FIRST] * (not is_first), failing)
    engine = serve()

    result = engine.handshake(HELLO, CLIENT_FLIGHT)

    sent = -1 if output == "nothing" else 40
    assert ("ERR_HANDSHAKE", status, sent) == (result, engine.error.status, engine.error.alert)
    assert engine.drain().removeprefix(SERVER_FLIGHT) == token + other
    assert "NONE" == engine.error.cause


@pytest.mark.parametrize("number", [0, 42, 48, 70, 116, 255])
def test_clients_alert_in_the_clear_is_named(
    sspi: FakeSSPI, serve: MakeEngine, number: int
) -> None:
    alert = record(ALERT, bytes((2, number)))
    sspi.script(FIRST, Accept(given=alert, status=Status.SEC_E_ILLEGAL_MESSAGE))  # 30
    engine = serve()

    assert ("ERR_ALERT", number) == (engine.handshake(HELLO, alert), engine.error.alert)


@pytest.mark.parametrize(
    ("came", "told"),
    [(b"EHLO client\r\n", "EHLO client"), (b"\x80\x2e\x01\x03\x01", ".....")],
    ids=["smtp", "ssl2"],
)
def test_client_that_speaks_no_tls_is_quoted(serve: MakeEngine, came: bytes, told: str) -> None:
    engine = serve()  # 33: Windows never sees it

    assert ("ERR_PROTOCOL", told) == (engine.handshake(came), engine.error.detail)


# ------------------------------------------------------------------------------- protocol versions

TOO_OLD = [  # what the client sends, what the server allows
    pytest.param(client_hello(SSL_3_WIRE, extensions=None), TLS_1_0 | TLS_1_2, id="ssl3"),
    pytest.param(client_hello(TLS_1_0_WIRE, extensions=None), TLS_1_2, id="tls10"),
    pytest.param(client_hello(TLS_1_1_WIRE), TLS_1_2 | TLS_1_3, id="tls11"),
    pytest.param(client_hello(TLS_1_2_WIRE), TLS_1_3, id="tls12"),
    pytest.param(client_hello(0x0309), TLS_1_3, id="unknown_legacy_version"),
    pytest.param(offering(GREASE, TLS_1_3_WIRE), TLS_1_2, id="tls13_only"),
    pytest.param(offering(GREASE, TLS_1_1_WIRE, TLS_1_0_WIRE), TLS_1_2, id="old_in_extension"),
    pytest.param(offering(), TLS_1_2, id="empty_extension"),
]
FITTING = [
    pytest.param(client_hello(TLS_1_2_WIRE, extensions=None), TLS_1_0, id="below"),
    pytest.param(client_hello(0x0309), TLS_1_2, id="unknown_legacy_version"),
    pytest.param(client_hello(TLS_1_1_WIRE), TLS_1_1, id="tls11"),
    pytest.param(offering(GREASE, TLS_1_3_WIRE, TLS_1_2_WIRE), TLS_1_2, id="second"),
    pytest.param(offering(TLS_1_3_WIRE), TLS_1_3, id="tls13"),
]
UNREADABLE = [
    pytest.param(HELLO[:-1], id="cut_off"),
    pytest.param(record(HANDSHAKE, b"\x01"), id="one_byte"),
    pytest.param(record(HANDSHAKE, b""), id="empty"),
    pytest.param(record(HANDSHAKE, b"\x02" + HELLO[6:]), id="not_a_hello"),
    pytest.param(record(HANDSHAKE, b"\x01\xff\xff\xff" + b"x" * 90), id="length_too_large"),
    pytest.param(record(HANDSHAKE, b"\x01\0\0\x23" + b"\3\3" + b"R" * 32 + b"\xff"), id="session"),
    pytest.param(record(20, b"\x01"), id="another_type"),
]


def whole(data: bytes) -> bytes:
    """Return a record whose length is that of what it holds."""
    return data[:3] + (len(data) - 5).to_bytes(2, "big") + data[5:]


@pytest.mark.parametrize(("hello", "allowed"), TOO_OLD)
def test_client_without_a_common_version_gets_an_alert_though_windows_makes_none(
    sspi: FakeSSPI, serve: MakeEngine, hello: bytes, allowed: int
) -> None:
    sspi.script(Accept(given=hello, status=Status.SEC_E_UNSUPPORTED_FUNCTION))  # 80
    engine = serve(protocols=allowed)

    result = engine.handshake(hello)

    assert ("ERR_HANDSHAKE", 70) == (result, engine.error.alert)
    assert bytes((21, 3, 1, 0, 2, 2, 70)) == engine.drain()
    assert "NONE" == engine.error.cause


def test_alert_that_windows_makes_is_the_only_one(sspi: FakeSSPI, serve: MakeEngine) -> None:
    hello, alert = client_hello(TLS_1_0_WIRE), record(ALERT, bytes((2, 71)))
    sspi.script(Accept(given=hello, status=Status.SEC_E_ALGORITHM_MISMATCH, alert=alert))  # 80
    engine = serve(protocols=TLS_1_2)

    engine.handshake(hello)

    assert (71, alert) == (engine.error.alert, engine.drain())


@pytest.mark.parametrize(("hello", "allowed"), FITTING)
def test_failure_of_a_client_with_a_common_version_is_no_protocol_version(
    sspi: FakeSSPI, serve: MakeEngine, hello: bytes, allowed: int
) -> None:
    sspi.script(Accept(given=hello, status=Status.SEC_E_ALGORITHM_MISMATCH))  # 80
    engine = serve(protocols=allowed)

    engine.handshake(hello)

    assert (-1, b"") == (engine.error.alert, engine.drain())


@pytest.mark.parametrize("hello", UNREADABLE)
def test_hello_that_cannot_be_read_gets_no_alert_of_ours(
    sspi: FakeSSPI, serve: MakeEngine, hello: bytes
) -> None:
    hello = whole(hello)
    sspi.script(Accept(given=hello, status=Status.SEC_E_ILLEGAL_MESSAGE))  # 80
    engine = serve(protocols=TLS_1_2)

    assert ("ERR_HANDSHAKE", b"") == (engine.handshake(hello), engine.drain())


@pytest.mark.parametrize("size", range(5, len(HELLO) + 1))
def test_hello_cut_off_anywhere_is_read_safely(
    sspi: FakeSSPI, serve: MakeEngine, size: int
) -> None:
    hello = whole(HELLO[:size])
    sspi.script(Accept(given=hello, status=Status.SEC_E_ILLEGAL_MESSAGE))
    engine = serve(protocols=TLS_1_2)

    assert ("ERR_HANDSHAKE", b"") == (engine.handshake(hello), engine.drain())


def test_torn_extension_counts_as_none(sspi: FakeSSPI, serve: MakeEngine) -> None:
    torn = extension(0, b"name") + supported_versions(TLS_1_3_WIRE)[:-1]
    hello = client_hello(TLS_1_0_WIRE, extensions=torn)
    sspi.script(Accept(given=hello, status=Status.SEC_E_ILLEGAL_MESSAGE))  # 80
    engine = serve(protocols=TLS_1_3)

    engine.handshake(hello)

    assert 70 == engine.error.alert


def test_system_without_the_servers_part_is_told_so(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.script(Accept(given=HELLO, status=Status.SEC_E_UNSUPPORTED_FUNCTION))  # Wine 8
    engine = serve()

    result = engine.handshake(HELLO)

    assert ("ERR_HANDSHAKE", "NO_SERVER_ROLE") == (result, engine.error.cause)
    assert b"" == engine.drain()


def test_table_without_accept_is_told_so(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.table.AcceptSecurityContext = ffi.NULL  # 95
    engine = serve()

    result = engine.handshake(HELLO)

    assert ("ERR_HANDSHAKE", "NO_SERVER_ROLE") == (result, engine.error.cause)


# ---------------------------------------------------------------------------- client certificates

SCENES = [  # client_authentication, the client has a certificate, what the handshake says
    pytest.param(NONE, False, "OK", id="none"),
    pytest.param(OPTIONAL, False, "OK", id="optional_without"),
    pytest.param(OPTIONAL, True, "WANT_VERIFY", id="optional_with"),
    pytest.param(REQUIRED, True, "WANT_VERIFY", id="required_with"),
    pytest.param(NONE, True, "OK", id="not_asked_for"),
]


@pytest.mark.parametrize(("wanted", "has_certificate", "says"), SCENES)
def test_there_is_a_verdict_to_give_when_there_is_a_certificate(
    sspi: FakeSSPI,
    system: FakeSystem,
    serve: MakeEngine,
    *,
    wanted: int,
    has_certificate: bool,
    says: str,
) -> None:
    is_mutual = wanted != NONE
    sspi.script(  # 78: a missing REMOTE_CERT_CONTEXT is SEC_E_NO_CREDENTIALS
        Accept(given=HELLO, token=SERVER_FLIGHT, is_mutual=is_mutual),
        Accept(given=CLIENT_FLIGHT, status=OK, is_mutual=is_mutual),
        Encrypt(data=b"220"),
    )
    if has_certificate:
        sspi.peer_certificate = system.certificate
    engine = serve(system, client_authentication=wanted)

    result = engine.handshake(HELLO, CLIENT_FLIGHT)

    assert says == result
    if says == "WANT_VERIFY":
        assert ("ERR_MISUSE", 0) == engine.write(b"220")
        assert ("OK", b"leaf") == (engine.verified(), engine.certificate())
    assert ("OK", 3) == engine.write(b"220")


@pytest.mark.parametrize(
    ("protocol", "alert"),
    [(ClientBit.TLS_1_3, 116), (ClientBit.TLS_1_2, 40), (ClientBit.TLS_1_0, 40)],
    ids=["tls13", "tls12", "tls10"],
)
def test_required_certificate_that_is_missing_fails_with_an_alert(
    sspi: FakeSSPI, serve: MakeEngine, protocol: int, alert: int
) -> None:
    sspi.protocol = int(protocol)
    sspi.script(  # 78
        Accept(given=HELLO, is_mutual=True),
        Accept(given=CLIENT_FLIGHT, status=OK, token=TICKETS, is_mutual=True),
        Control(token=schannel_alert(alert)),
        Accept(status=OK, token=FAREWELL, is_mutual=True),
    )
    engine = serve(client_authentication=REQUIRED)

    result = engine.handshake(HELLO, CLIENT_FLIGHT)

    assert ("ERR_CERTIFICATE", "NO_CLIENT_CERTIFICATE") == (result, engine.error.cause)
    assert (alert, Status.SEC_E_NO_CREDENTIALS) == (engine.error.alert, engine.error.status)
    assert TICKETS + FAREWELL == engine.drain()
    assert "ERR_CERTIFICATE" == engine.write(b"220")[0]


def test_required_certificate_fails_without_an_alert_too(sspi: FakeSSPI, serve: MakeEngine) -> None:
    sspi.script(  # 70, 78
        Accept(given=HELLO, is_mutual=True),
        Accept(given=CLIENT_FLIGHT, status=OK, is_mutual=True),
        Control(token=schannel_alert(116), status=Status.SEC_E_UNSUPPORTED_FUNCTION),
    )
    engine = serve(client_authentication=REQUIRED)

    assert "ERR_CERTIFICATE" == engine.handshake(HELLO, CLIENT_FLIGHT)
    assert -1 == engine.error.alert


def test_refused_client_certificate_is_told_to_the_client(
    sspi: FakeSSPI, system: FakeSystem, serve: MakeEngine
) -> None:
    sspi.script(  # 45
        Accept(given=HELLO, is_mutual=True),
        Accept(given=CLIENT_FLIGHT, status=OK, token=TICKETS, is_mutual=True),
        Control(token=schannel_alert(48)),
        Accept(status=OK, token=FAREWELL, is_mutual=True),
    )
    sspi.peer_certificate = system.certificate
    engine = serve(system, client_authentication=OPTIONAL)
    engine.handshake(HELLO, CLIENT_FLIGHT)

    result = engine.verified(reason=4, status=-77)

    assert ("ERR_CERTIFICATE", -77, 48) == (result, engine.error.status, engine.error.alert)
    assert TICKETS + FAREWELL == engine.drain()


@pytest.mark.parametrize(
    ("role", "setting"),
    [
        (False, {"client_authentication": 1}),
        (False, {"client_authentication": 3}),
        (False, {"renegotiation": 2}),
        (True, {"client_authentication": -1}),
        (True, {"renegotiation": 1}),
        (True, {"asks_for_credential": 1}),
    ],
)
def test_setting_of_the_other_role_is_refused(
    make_engine: MakeEngine, own_identity: Any, *, role: bool, setting: dict[str, int]
) -> None:
    credential = {"is_server": role, "identity": own_identity}

    with pytest.raises(AssertionError, match="ERR_MISUSE"):
        make_engine(credential=credential, **setting)


# --------------------------------------------------------------------------------- afterwards


def test_clients_key_update_is_answered(sspi: FakeSSPI, open_server: MakeEngine) -> None:
    engine = open_server()
    sspi.script(  # 58, 61, 63
        Decrypt(given=KEY_UPDATE, status=RENEGOTIATE, extra=(0, len(KEY_UPDATE))),
        Accept(given=KEY_UPDATE, status=INCOMPLETE),
        Accept(given=KEY_UPDATE + KEY_UPDATE, status=OK, token=REPLY),
        Decrypt(given=DATA, data=b"QUIT"),
        Encrypt(data=b"221"),
    )
    engine.feed(KEY_UPDATE)
    waiting, held = engine.read(), engine.write(b"221")
    engine.feed(KEY_UPDATE + DATA)

    assert (("WANT_READ", b""), ("WANT_READ", 0)) == (waiting, held)
    assert (("OK", b"QUIT"), ("OK", 3)) == (engine.read(), engine.write(b"221"))
    assert REPLY + seal(b"221") == engine.drain()


@pytest.mark.parametrize("extra", [None, (5, 20)], ids=["empty", "with_extra"])
def test_renegotiation_that_a_client_asks_for_is_refused(
    sspi: FakeSSPI, open_server: MakeEngine, extra: tuple[int, int] | None
) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)
    engine = open_server()
    hello = record(HANDSHAKE, b"sealed ClientHello...........")
    sspi.script(Decrypt(given=hello, status=RENEGOTIATE, extra=extra))  # 60
    engine.feed(hello)

    assert ("ERR_SSPI", b"") == engine.read()
    assert RENEGOTIATE == engine.error.status


def test_failure_of_a_servers_first_read_is_no_refused_handshake(
    sspi: FakeSSPI, open_server: MakeEngine
) -> None:
    engine = open_server()
    sspi.script(Decrypt(given=DATA, status=Status.SEC_E_CERT_UNKNOWN))  # 48: is the client's
    engine.feed(DATA)

    assert ("ERR_SSPI", "NONE") == (engine.read()[0], engine.error.cause)


@pytest.mark.parametrize("status", [OK, Status.SEC_I_CONTEXT_EXPIRED], ids=["ok", "expired"])
def test_server_ends_with_close_notify(
    sspi: FakeSSPI, open_server: MakeEngine, status: int
) -> None:
    engine = open_server()
    sspi.script(  # 68
        Control(token=SCHANNEL_SHUTDOWN),
        Accept(status=status, token=FAREWELL),
        Decrypt(given=DATA, status=Status.SEC_I_CONTEXT_EXPIRED),
    )

    engine.shutdown()
    engine.feed(DATA)

    assert (FAREWELL, ("CLOSED", b"")) == (engine.drain(), engine.read())


@pytest.mark.parametrize("has_started", [False, True], ids=["before", "during"])
def test_server_can_leave_at_any_time(
    sspi: FakeSSPI, serve: MakeEngine, *, has_started: bool
) -> None:
    engine = serve()
    if has_started:
        sspi.script(FIRST, Control(token=SCHANNEL_SHUTDOWN), Accept(status=OK, token=FAREWELL))
        engine.handshake(HELLO)

    engine.shutdown()  # 69

    assert (SERVER_FLIGHT + FAREWELL if has_started else b"") == engine.drain()
