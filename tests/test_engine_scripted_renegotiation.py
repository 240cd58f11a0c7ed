"""A renegotiation under TLS 1.2 that the policy allows (rows 36, 37, 60 to 62).

Fake SSPI: no sockets, no Windows. The number in a comment is the row. That it is refused by
default: test_engine_scripted_post_handshake.
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
    seal,
)
from fake_sspi_types import SCHANNEL_SHUTDOWN, Attribute, ClientBit, Status, schannel_alert
from fake_system import FakeSystem
from scripted_engine import (
    FINISHED,
    FLIGHT,
    HELLO,
    MakeEngine,
    ScriptedEngine,
    alpn_list,
    alpn_offer,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OK, RENEGOTIATE = Status.SEC_E_OK, Status.SEC_I_RENEGOTIATE
INCOMPLETE = Status.SEC_E_INCOMPLETE_MESSAGE
HELLO_REQUEST = record(HANDSHAKE, b"sealed HelloRequest..")
SECOND_HELLO = record(HANDSHAKE, b"our second hello, sealed")
SECOND_FLIGHT = record(HANDSHAKE, b"the server's second flight, sealed")
CIPHER_CHANGE = record(20, b"sealed")
SECOND_FINISHED = record(HANDSHAKE, b"our second finished, sealed")
DATA = record(APPLICATION_DATA, b"x" * 40)
MORE = record(APPLICATION_DATA, b"y" * 50)

REQUEST = Decrypt(given=HELLO_REQUEST, status=RENEGOTIATE)
RESTART = Initialize(is_restart=True, token=SECOND_HELLO)
FLIGHT_OF_SERVER = Initialize(given=SECOND_FLIGHT, token=SECOND_FINISHED)
LAST = Initialize(given=CIPHER_CHANGE, status=OK)
ALL = (REQUEST, RESTART, FLIGHT_OF_SERVER, LAST)


@pytest.fixture
def willing(sspi: FakeSSPI, open_engine: MakeEngine) -> MakeEngine:
    """Return a function that makes open TLS 1.2 engines which may renegotiate."""

    def make(system: FakeSystem | None = None, **config: Any) -> ScriptedEngine:
        sspi.protocol = int(ClientBit.TLS_1_2)
        return open_engine(system, renegotiation=1, **config)

    return make


def feed(engine: ScriptedEngine, data: bytes) -> tuple[str, bytes]:
    engine.feed(data)
    return engine.read()


def test_second_handshake_runs_inside_reading(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(*ALL, Decrypt(given=DATA, data=b"250 ok"))  # 60

    first = feed(engine, HELLO_REQUEST)
    hello = engine.drain()
    second = feed(engine, SECOND_FLIGHT + CIPHER_CHANGE + DATA)

    assert (("WANT_READ", b""), SECOND_HELLO) == (first, hello)
    assert (("OK", b"250 ok"), SECOND_FINISHED) == (second, engine.drain())
    assert "OPEN" == engine.state


def test_second_handshake_survives_being_fed_byte_by_byte(
    sspi: FakeSSPI, willing: MakeEngine
) -> None:
    engine = willing()
    sspi.script(*ALL, Decrypt(given=DATA, data=b"250 ok"))
    wire = HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE + DATA

    results = [feed(engine, bytes([byte])) for byte in wire]

    assert [("WANT_READ", b"")] * (len(wire) - 1) + [("OK", b"250 ok")] == results


@pytest.mark.parametrize("extra", [(0, len(HELLO_REQUEST)), (5, 4)], ids=["whole", "inside"])
def test_extra_goes_to_isc_first(
    sspi: FakeSSPI, willing: MakeEngine, extra: tuple[int, int]
) -> None:
    engine = willing()
    claimed = HELLO_REQUEST[extra[0] : extra[0] + extra[1]]
    sspi.script(  # 60: Learn, "pass the contents of SECBUFFER_EXTRA in the SECBUFFER_TOKEN"
        Decrypt(given=HELLO_REQUEST, status=RENEGOTIATE, extra=extra),
        Initialize(given=claimed, token=SECOND_HELLO),
        FLIGHT_OF_SERVER,
        LAST,
    )

    feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert ("OPEN", SECOND_HELLO + SECOND_FINISHED) == (engine.state, engine.drain())


def test_data_that_came_with_the_request_is_delivered_first(
    sspi: FakeSSPI, willing: MakeEngine
) -> None:
    engine = willing()
    sspi.script(Decrypt(given=DATA, status=RENEGOTIATE, data=b"250 ok"), RESTART)  # 59, 60

    engine.feed(DATA)
    first, hello = engine.read(6), engine.drain()

    assert (("OK", b"250 ok"), b"") == (first, hello)
    assert ("WANT_READ", b"") == engine.read()
    assert SECOND_HELLO == engine.drain()


def test_data_in_between_is_decrypted_and_delivered_in_order(
    sspi: FakeSSPI, willing: MakeEngine
) -> None:
    engine = willing()
    sspi.script(  # 26, 60: never handed to ISC
        REQUEST,
        RESTART,
        Decrypt(given=DATA, data=b"one "),
        Decrypt(given=MORE, data=b"two "),
        FLIGHT_OF_SERVER,
        LAST,
        Decrypt(given=DATA, data=b"three"),
    )
    wire = HELLO_REQUEST + DATA + MORE + SECOND_FLIGHT + CIPHER_CHANGE + DATA

    assert ("OK", b"one two three") == feed(engine, wire)


def test_data_in_between_is_kept_while_only_writing(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(  # 61
        REQUEST,
        RESTART,
        Decrypt(given=DATA, data=b"one"),
        FLIGHT_OF_SERVER,
        LAST,
        Encrypt(data=b"NOOP"),
    )
    feed(engine, HELLO_REQUEST)
    held = engine.write(b"NOOP")
    engine.feed(DATA + SECOND_FLIGHT + CIPHER_CHANGE)

    assert (("WANT_READ", 0), ("OK", 4)) == (held, engine.write(b"NOOP"))
    assert SECOND_HELLO + SECOND_FINISHED + seal(b"NOOP") == engine.drain()
    assert ("OK", b"one") == engine.read()


def test_data_in_between_is_not_kept_without_end(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    large = record(APPLICATION_DATA, b"z" * 16400)
    count = 1024 * 1024 // 16384 + 2
    sspi.script(REQUEST, RESTART, *[Decrypt(given=large, data=b"z" * 16384)] * count)
    feed(engine, HELLO_REQUEST)
    engine.feed(large * (count + 5))

    result = engine.write(b"NOOP")

    assert (("ERR_SSPI", 0), Status.SEC_E_ILLEGAL_MESSAGE) == (result, engine.error.status)
    assert 1024 * 1024 <= len(engine.read(4 * 1024 * 1024)[1])


def test_failing_data_in_between_fails_the_connection(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    bad = Decrypt(given=DATA, status=Status.SEC_E_MESSAGE_ALTERED)
    sspi.script(REQUEST, RESTART, bad)  # 67

    assert ("ERR_SSPI", b"") == feed(engine, HELLO_REQUEST + DATA)


def test_second_request_is_refused(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(*ALL, REQUEST)  # 60: once in a connection

    result = feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE + HELLO_REQUEST)

    assert (("ERR_SSPI", b""), RENEGOTIATE) == (result, engine.error.status)


def test_incomplete_message_in_the_second_handshake(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(
        REQUEST,
        RESTART,
        Initialize(given=SECOND_FLIGHT, status=INCOMPLETE),  # 21
        Initialize(given=SECOND_FLIGHT + CIPHER_CHANGE, status=OK, token=SECOND_FINISHED),
    )

    feed(engine, HELLO_REQUEST + SECOND_FLIGHT)
    feed(engine, CIPHER_CHANGE)

    assert ("OPEN", SECOND_HELLO + SECOND_FINISHED) == (engine.state, engine.drain())


@pytest.mark.parametrize(
    "status", [OK, INCOMPLETE, Status.SEC_E_UNSUPPORTED_FUNCTION, 0x12345678, -5]
)
def test_second_hello_succeeds_by_continue_needed_alone(
    sspi: FakeSSPI, willing: MakeEngine, status: int
) -> None:
    engine = willing()
    sspi.script(REQUEST, Initialize(is_restart=True, status=status, token=b"last words"))

    result = feed(engine, HELLO_REQUEST)

    assert (("ERR_SSPI", b""), status) == (result, engine.error.status)
    assert b"last words" == engine.drain()


@pytest.mark.parametrize("status", [Status.SEC_E_ILLEGAL_MESSAGE, 0x12345678, -5])
def test_failing_second_handshake_fails_the_connection(
    sspi: FakeSSPI, willing: MakeEngine, status: int
) -> None:
    engine = willing()
    sspi.script(REQUEST, RESTART, Initialize(given=SECOND_FLIGHT, status=status, token=b"alert"))

    result = feed(engine, HELLO_REQUEST + SECOND_FLIGHT)

    assert (("ERR_SSPI", b""), status) == (result, engine.error.status)
    assert SECOND_HELLO + b"alert" == engine.drain()


def test_eof_in_the_second_handshake_truncates(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(REQUEST, RESTART)
    engine.feed(HELLO_REQUEST)
    engine.feed_eof()

    assert "ERR_TRUNCATED_RECORD" == engine.read()[0]


def test_shutdown_in_the_second_handshake(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    goodbye = record(ALERT, b"close_notify, sealed")
    sspi.script(  # 69
        REQUEST, RESTART, Control(token=SCHANNEL_SHUTDOWN), Initialize(status=OK, token=goodbye)
    )
    feed(engine, HELLO_REQUEST)

    assert ("OK", SECOND_HELLO + goodbye) == (engine.shutdown(), engine.drain())


# ----------------------------------------------------------------------------- what must not change


def test_sizes_are_asked_for_again(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing()
    sspi.script(*ALL, Encrypt(data=b"x" * 1000, header=13), Encrypt(data=b"x" * 500, header=13))
    feed(engine, HELLO_REQUEST)
    sspi.sizes = (13, 52, 1000)  # 37

    feed(engine, SECOND_FLIGHT + CIPHER_CHANGE)

    assert ("OK", 1500) == engine.write(b"x" * 1500)


@pytest.fixture
def agreed(sspi: FakeSSPI, make_engine: MakeEngine) -> ScriptedEngine:
    """Return an open engine whose protocol is h2, before a renegotiation that offers none."""
    sspi.protocol, sspi.alpn = int(ClientBit.TLS_1_2), b"h2"
    sspi.script(
        Initialize(token=HELLO, alpn=alpn_offer(b"h2")),
        Initialize(given=FLIGHT, token=FINISHED, status=OK),
        *ALL,
    )
    engine = make_engine(renegotiation=1, alpn=alpn_list(b"h2"))
    engine.handshake(FLIGHT)
    engine.verified()
    return engine


@pytest.mark.parametrize("now", [b"http/1.1", b"h2x"], ids=repr)
def test_change_of_the_alpn_protocol_is_refused(
    sspi: FakeSSPI, agreed: ScriptedEngine, now: bytes
) -> None:
    sspi.alpn = now  # 36

    result = feed(agreed, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert ("ERR_SSPI", b"") == result
    assert (RENEGOTIATE, "PEER_CHANGED") == (agreed.error.status, agreed.error.cause)


@pytest.mark.parametrize("now", [None, b"", b"h2"], ids=repr)
def test_protocol_that_was_not_offered_again_stays(
    sspi: FakeSSPI, agreed: ScriptedEngine, now: bytes | None
) -> None:
    sspi.alpn = now  # 36

    result = feed(agreed, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert (("WANT_READ", b""), b"h2") == (result, agreed.alpn())


@pytest.mark.parametrize(
    ("der", "is_accepted"),
    [(b"leaf", True), (b"loaf", False), (b"lea", False), (b"leaf2", False), (None, False)],
)
def test_peer_must_show_the_certificate_that_was_verified(
    sspi: FakeSSPI,
    system: FakeSystem,
    willing: MakeEngine,
    der: bytes | None,
    *,
    is_accepted: bool,
) -> None:
    sspi.peer_certificate = system.certificate
    engine = willing(system)
    sspi.script(*ALL)  # 60
    sspi.peer_certificate = None if der is None else lambda: system.certificate(der=der)

    result = feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert ("WANT_READ" if is_accepted else "ERR_SSPI", b"") == result
    assert is_accepted or engine.error.cause == "PEER_CHANGED"
    assert b"leaf" == engine.certificate()


def test_peer_without_a_certificate_may_not_show_one_later(
    sspi: FakeSSPI, system: FakeSystem, willing: MakeEngine
) -> None:
    engine = willing(system)
    sspi.script(*ALL)
    sspi.peer_certificate = system.certificate

    result = feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert (("ERR_SSPI", b""), "PEER_CHANGED") == (result, engine.error.cause)


def test_version_that_is_not_allowed_is_refused(sspi: FakeSSPI, willing: MakeEngine) -> None:
    engine = willing(protocols=4)
    alert = Control(token=schannel_alert(70)), Initialize(token=b"protocol_version")
    sspi.script(*ALL, *alert)  # 100
    feed(engine, HELLO_REQUEST)
    sspi.protocol = int(ClientBit.TLS_1_0)

    assert "ERR_HANDSHAKE" == feed(engine, SECOND_FLIGHT + CIPHER_CHANGE)[0]
    assert engine.drain().endswith(b"protocol_version")


@pytest.mark.parametrize("attribute", [Attribute.STREAM_SIZES, Attribute.CONNECTION_INFO])
def test_properties_that_cannot_be_asked_for_fail(
    sspi: FakeSSPI, system: FakeSystem, willing: MakeEngine, attribute: Attribute
) -> None:
    sspi.peer_certificate = system.certificate
    engine = willing(system)
    sspi.script(*ALL)  # 37
    sspi.query_status[attribute] = Status.SEC_E_INTERNAL_ERROR

    result = feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE)

    assert (("ERR_HANDSHAKE", b""), b"leaf") == (result, engine.certificate())


# ------------------------------------------------------------------------------ the credential


def test_another_credential_may_be_chosen(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)
    asked = Status.SEC_I_INCOMPLETE_CREDENTIALS
    sspi.script(  # 29, 60: a server that asks for a certificate by renegotiation
        Initialize(token=HELLO, is_supplied=False),
        Initialize(given=FLIGHT, token=FINISHED, status=OK, is_supplied=False),
        REQUEST,
        Initialize(is_restart=True, token=SECOND_HELLO, is_supplied=False),
        Initialize(given=SECOND_FLIGHT, status=asked, is_supplied=False),
        FLIGHT_OF_SERVER,
        LAST,
        Decrypt(given=DATA, data=b"250 ok"),
    )
    sspi.issuers = [b"0\x00"]
    engine = make_engine(renegotiation=1, asks_for_credential=1)
    engine.handshake(FLIGHT)
    engine.verified()

    asking = feed(engine, HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE + DATA)
    held, issuers, pending = engine.write(b"NOOP"), engine.issuers(), engine.pending()
    engine.provide(engine.make_credential())

    assert (("WANT_CREDENTIAL", b""), ("WANT_CREDENTIAL", 0), 0) == (asking, held, pending)
    assert ([b"0\x00"], ("OK", b"250 ok")) == (issuers, engine.read())
    assert 2 == len(set(sspi.credentials_used))


def test_two_choices_in_one_connection(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.protocol = int(ClientBit.TLS_1_2)
    asked = Status.SEC_I_INCOMPLETE_CREDENTIALS
    sspi.script(  # 29, 71: all three live as long as the security context
        Initialize(token=HELLO, is_supplied=False),
        Initialize(given=FLIGHT, status=asked, is_supplied=False),
        Initialize(given=FLIGHT, token=FINISHED, status=OK),
        REQUEST,
        Initialize(is_restart=True, token=SECOND_HELLO, is_supplied=False),
        Initialize(given=SECOND_FLIGHT, status=asked, is_supplied=False),
        FLIGHT_OF_SERVER,
        LAST,
    )
    engine = make_engine(renegotiation=1, asks_for_credential=1)
    engine.handshake(FLIGHT)
    for records in (b"", HELLO_REQUEST + SECOND_FLIGHT + CIPHER_CHANGE):
        feed(engine, records) if records else None
        chosen = engine.make_credential()
        assert engine.provide(chosen) == "OK"
        engine.free_early(chosen)
        engine.handshake()
        engine.verified()

    assert ("WANT_READ", b"") == engine.read()
    assert 3 == len(set(sspi.credentials_used)) == sspi.has_credentials()


def test_renegotiation_means_nothing_under_tls_1_3(sspi: FakeSSPI, open_engine: MakeEngine) -> None:
    ticket = record(APPLICATION_DATA, b"a new session ticket, sealed" * 2)
    engine = open_engine(renegotiation=1)
    one = (
        Decrypt(given=ticket, status=RENEGOTIATE, extra=(0, len(ticket))),
        Initialize(given=ticket, status=OK),
    )
    sspi.script(*one * 3, Decrypt(given=ticket, status=RENEGOTIATE))  # 58

    assert ("ERR_SSPI", b"") == feed(engine, ticket * 4)
