"""What is offered and what comes of it: ALPN, properties, version (rows 17, 35, 36, 100).

Fake SSPI: no sockets, no Windows. The number in a comment is the row.
"""

from __future__ import annotations

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import GRANTED, HANDSHAKE, Control, Initialize, record
from fake_sspi_types import INDISPENSABLE, ClientBit, Flag, Status, schannel_alert
from scripted_engine import (
    FINISHED,
    FLIGHT,
    HELLO,
    TLS_1_2,
    TLS_1_3,
    MakeEngine,
    alpn_list,
    alpn_offer,
)

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

FIRST = Initialize(token=HELLO)
LAST = Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK)
SECOND = record(HANDSHAKE, b"another record")
PROTOCOL_VERSION = 70  # RFC 8446, 6


def hex_of(status: int) -> str:
    return f"{status & 0xFFFFFFFF:08X}"


def test_alpn_is_offered_on_the_first_call_only(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    names = (b"h2", b"http/1.1")
    sspi.script(Initialize(token=HELLO, alpn=alpn_offer(*names)), Initialize(given=SECOND), LAST)
    sspi.alpn = b"h2"  # 17, 36
    engine = make_engine(alpn=alpn_list(*names))

    engine.handshake(SECOND, FLIGHT)

    assert b"h2" == engine.alpn()


@pytest.mark.parametrize("name", [b"a", b"x" * 255], ids=["shortest", "longest"])
def test_alpn_names_of_any_length(sspi: FakeSSPI, make_engine: MakeEngine, name: bytes) -> None:
    sspi.script(Initialize(token=HELLO, alpn=alpn_offer(name)), LAST)  # 17
    sspi.alpn = name
    engine = make_engine(alpn=alpn_list(name))

    engine.handshake(FLIGHT)

    assert name == engine.alpn()


MALFORMED_ALPN = [
    pytest.param(b"\x00", id="empty_name"),
    pytest.param(b"\x02h", id="torn"),
    pytest.param(b"\x02h2\x00", id="empty_name_behind"),
    pytest.param(b"\x02h2\x05http", id="torn_behind"),
    pytest.param(b"\xff", id="length_alone"),
    pytest.param(alpn_list(*[b"x" * 255] * 257), id="too_long_together"),
]


@pytest.mark.parametrize("wire", MALFORMED_ALPN)
def test_malformed_alpn_list_is_refused(make_engine: MakeEngine, wire: bytes) -> None:
    with pytest.raises(AssertionError, match="ERR_MISUSE"):  # 17
        make_engine(alpn=wire)


@pytest.mark.parametrize(
    "status",
    [Status.SEC_E_INVALID_TOKEN, Status.SEC_E_UNSUPPORTED_FUNCTION, Status.SEC_E_INVALID_PARAMETER],
    ids=hex_of,
)
@pytest.mark.parametrize("token", [b"", b"half a hello"], ids=["bare", "with_token"])
def test_windows_without_alpn_is_asked_again_without_it(
    sspi: FakeSSPI, make_engine: MakeEngine, status: int, token: bytes
) -> None:
    offer = alpn_offer(b"h2")
    sspi.script(Initialize(status=status, alpn=offer, token=token), FIRST)  # 17, 32
    engine = make_engine(alpn=alpn_list(b"h2"))

    result = engine.handshake()

    assert ("WANT_READ", HELLO) == (result, engine.drain())


def test_server_that_chose_no_alpn_protocol(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.script(Initialize(token=HELLO, alpn=alpn_offer(b"h2")), LAST)  # 36
    engine = make_engine(alpn=alpn_list(b"h2"))

    engine.handshake(FLIGHT)

    assert b"" == engine.alpn()


@pytest.mark.parametrize(
    "flag", [flag for flag in Flag if flag & INDISPENSABLE], ids=lambda flag: flag.name
)
def test_connection_without_an_indispensable_property_is_refused(
    sspi: FakeSSPI, make_engine: MakeEngine, flag: Flag
) -> None:
    sspi.script(
        FIRST, Initialize(given=FLIGHT, status=Status.SEC_E_OK, flags=GRANTED & ~int(flag))
    )  # 35
    engine = make_engine()

    assert "ERR_HANDSHAKE" == engine.handshake(FLIGHT)


@pytest.mark.parametrize("flags", [int(INDISPENSABLE), 0x7FFFFFFF], ids=["no_more", "all"])
def test_other_properties_do_not_matter(
    sspi: FakeSSPI, make_engine: MakeEngine, flags: int
) -> None:
    sspi.script(FIRST, Initialize(given=FLIGHT, status=Status.SEC_E_OK, flags=flags))  # 35
    engine = make_engine()

    assert "WANT_VERIFY" == engine.handshake(FLIGHT)


OUTSIDE = [  # what was allowed, what Windows says it is
    (TLS_1_3, ClientBit.TLS_1_2),
    (TLS_1_2, ClientBit.TLS_1_3),
    (TLS_1_2 | TLS_1_3, ClientBit.TLS_1_0),
    (TLS_1_2 | TLS_1_3, 0x20),  # SSL 3
    (TLS_1_2 | TLS_1_3, 0),  # Wine's 1.3 lane tells 0; elsewhere 0 is nothing
]


@pytest.mark.parametrize(("allowed", "agreed"), OUTSIDE)
def test_version_outside_the_range_is_refused(
    sspi: FakeSSPI, make_engine: MakeEngine, allowed: int, agreed: int
) -> None:
    sspi.script(FIRST, LAST)  # 100
    sspi.script(Control(token=schannel_alert(PROTOCOL_VERSION)), Initialize(token=b"alert"))
    sspi.protocol = int(agreed)
    engine = make_engine(protocols=allowed)

    result = engine.handshake(FLIGHT)

    assert ("ERR_HANDSHAKE", Status.SEC_E_ALGORITHM_MISMATCH) == (result, engine.error.status)
    assert engine.drain().endswith(b"alert")
