"""What the handshake agreed on, as Windows tells it: key exchange, resumption, who the peer sent.

Fake SSPI and fake crypt32: no network. The number in a comment is the row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import Control, Initialize
from fake_sspi_types import Attribute, ClientBit, Status, schannel_alert
from fake_system import FakeSystem, Names
from scripted_engine import (
    FINISHED,
    FLIGHT,
    HELLO,
    MakeEngine,
    ScriptedEngine,
    alpn_list,
    alpn_offer,
)

from schannel_ffi import _lib

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

RECONNECT = 1  # SSL_SESSION_RECONNECT
RSA, DHE, ECDH, ECDHE = 0xA400, 0xAA02, 0xAA05, 0xAE06  # CALG_*


def shake_hands(
    sspi: FakeSSPI, make_engine: MakeEngine, system: FakeSystem | None = None
) -> ScriptedEngine:
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    engine = make_engine(system)
    assert "WANT_VERIFY" == engine.handshake(FLIGHT)
    return engine


RESUMED = [(None, -1), (0, 0), (RECONNECT, 1), (0x80 | RECONNECT, 1), (0x80, 0)]


@pytest.mark.parametrize(("flags", "resumed"), RESUMED)
def test_resumption_is_told(
    sspi: FakeSSPI, make_engine: MakeEngine, flags: int | None, resumed: int
) -> None:
    sspi.facts.session_flags = flags  # 47

    engine = shake_hands(sspi, make_engine)

    assert resumed == engine.info().session_resumed


def test_resumed_session_waits_for_the_verdict_too(sspi: FakeSSPI, make_engine: MakeEngine) -> None:
    sspi.facts.session_flags = RECONNECT  # 47: other settings may judge otherwise

    engine = shake_hands(sspi, make_engine)

    assert ("VERIFY", "ERR_MISUSE") == (engine.state, engine.write(b"early")[0])


EXCHANGES = [  # szExchange, aiExch, dwExchStrength; name, bits
    (("ECDHE", ECDHE, 255), ("ECDHE", 255)),
    (("", RSA, 2048), ("RSA", 2048)),
    (("", DHE, 2048), ("DHE", 2048)),
    (("", ECDH, 256), ("ECDH", 256)),
    (("", ECDHE, 384), ("ECDHE", 384)),
    (("", 0, 0), ("", 0)),  # TLS 1.3 on some Windows
    (("", 0x1234, 7), ("", 7)),
    (("X" * 63, RSA, 1), ("X" * 63, 1)),
]


@pytest.mark.parametrize(("told", "expected"), EXCHANGES)
def test_key_exchange_is_told(
    sspi: FakeSSPI,
    make_engine: MakeEngine,
    told: tuple[str, int, int],
    expected: tuple[str, int],
) -> None:
    sspi.facts.key_exchange = told

    info = shake_hands(sspi, make_engine).info()

    name = _lib.require()[0].string(info.key_exchange)
    assert expected == (name, info.key_exchange_strength)


ALPN = [(0, b"h2", b""), (1, b"h2", b"h2"), (2, b"h2", b"")]  # none, success, only the client's


@pytest.mark.parametrize(("status", "name", "expected"), ALPN)
def test_alpn_protocol_counts_only_where_both_agreed(
    sspi: FakeSSPI, make_engine: MakeEngine, status: int, name: bytes, expected: bytes
) -> None:
    sspi.alpn, sspi.facts.alpn_status = name, status  # 36
    sspi.script(
        Initialize(token=HELLO, alpn=alpn_offer(b"h2")),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    engine = make_engine(alpn=alpn_list(b"h2"))

    assert ("WANT_VERIFY", expected) == (engine.handshake(FLIGHT), engine.alpn())


# ------------------------------------------------------------------------- what the peer has sent

LEAF = Names(subject=b"leaf", issuer=b"issuing")
ISSUING = (b"issuing CA", Names(subject=b"issuing", issuer=b"middle"))
MIDDLE = (b"middle CA", Names(subject=b"middle", issuer=b"root"))
ROOT = (b"root CA", Names(subject=b"root", issuer=b"root"))
STRANGER = (b"stranger", Names(subject=b"stranger", issuer=b"nobody"))
OWN = (b"leaf", LEAF)
ORDERED = [b"leaf", b"issuing CA", b"middle CA", b"root CA"]


def sent(
    sspi: FakeSSPI,
    system: FakeSystem,
    make_engine: MakeEngine,
    enumerated: Sequence[tuple[bytes, Names]],
) -> list[bytes]:
    sspi.peer_certificate = lambda: system.sent(system.certificate(names=LEAF), *enumerated)
    engine = shake_hands(sspi, make_engine, system)
    assert [engine.certificate()] == engine.sent()[:1]
    return engine.sent()


@pytest.mark.parametrize(
    "enumerated", list(itertools.permutations([OWN, ISSUING, MIDDLE, ROOT])), ids=lambda _: ""
)
def test_order_of_the_enumeration_does_not_matter(
    sspi: FakeSSPI,
    system: FakeSystem,
    make_engine: MakeEngine,
    enumerated: Sequence[tuple[bytes, Names]],
) -> None:
    assert ORDERED == sent(sspi, system, make_engine, enumerated)  # 39


CHAINS = [
    ([], [b"leaf"]),
    ([OWN], [b"leaf"]),
    ([OWN, OWN, ISSUING], [b"leaf", b"issuing CA"]),
    ([ROOT, MIDDLE], [b"leaf", b"root CA", b"middle CA"]),  # nobody issued the leaf: as they come
    ([STRANGER, MIDDLE, OWN, ISSUING], [b"leaf", b"issuing CA", b"middle CA", b"stranger"]),
    ([STRANGER, ROOT, MIDDLE, ISSUING], [*ORDERED, b"stranger"]),
    ([(b"another", LEAF), ISSUING], [b"leaf", b"issuing CA", b"another"]),  # same name, other bytes
]


@pytest.mark.parametrize(("enumerated", "expected"), CHAINS)
def test_sent_certificates_begin_with_the_leaf(
    sspi: FakeSSPI,
    system: FakeSystem,
    make_engine: MakeEngine,
    enumerated: Sequence[tuple[bytes, Names]],
    expected: list[bytes],
) -> None:
    assert expected == sent(sspi, system, make_engine, enumerated)  # 39


def test_self_issued_certificates_make_no_circle(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    twin = (b"root CA again", ROOT[1])

    found = sent(sspi, system, make_engine, [twin, STRANGER, ROOT, MIDDLE, ISSUING])

    assert [*ORDERED[:3], b"root CA again", b"root CA", b"stranger"] == found


def test_peer_without_a_store_has_sent_one_certificate(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    sspi.peer_certificate = system.certificate

    assert [b"leaf"] == shake_hands(sspi, make_engine, system).sent()


def test_peer_without_a_certificate_has_sent_none(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    engine = shake_hands(sspi, make_engine, system)  # 38

    assert ([], b"") == (engine.sent(), engine.certificate())


@pytest.mark.parametrize("is_empty", [False, True], ids=["refused", "empty"])
def test_certificate_is_found_by_the_other_attribute(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine, *, is_empty: bool
) -> None:
    if is_empty:
        sspi.peer_certificate = lambda: 0  # B38
    else:
        sspi.query_status[Attribute.REMOTE_CERT_CONTEXT] = Status.SEC_E_INTERNAL_ERROR  # B38
    sspi.facts.chain = lambda: system.sent(system.certificate(names=LEAF), ISSUING, OWN)

    engine = shake_hands(sspi, make_engine, system)

    assert [b"leaf", b"issuing CA"] == engine.sent()


def test_first_attribute_goes_before_the_other(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    sspi.peer_certificate = system.certificate  # 38
    sspi.facts.chain = lambda: system.certificate(der=b"another")

    assert [b"leaf"] == shake_hands(sspi, make_engine, system).sent()


def test_version_outside_the_range_keeps_nothing_of_the_peer(
    sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine
) -> None:
    sspi.peer_certificate = system.certificate  # 100
    sspi.protocol = int(ClientBit.TLS_1_1)
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        Control(token=schannel_alert(70)),
        Initialize(token=b"protocol_version"),
    )
    engine = make_engine(system, protocols=4 | 8)

    assert "ERR_HANDSHAKE" == engine.handshake(FLIGHT)
    assert (Status.SEC_E_ALGORITHM_MISMATCH, []) == (engine.error.status, engine.sent())
