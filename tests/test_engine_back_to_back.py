"""Engine to engine, in one process and without sockets: both roles over the model of Schannel.

The TLS between them is real (OpenSSL's), the statuses and buffers are Windows'. The number in a
comment is the row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from certs import Certificates, identity_of
from schannel_model import SchannelModel
from schannel_model_context import KnownIdentity
from schannel_model_options import VARIANTS
from scripted_engine import TLS_1_2, TLS_1_3, ScriptedEngine, alpn_list

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

NONE, OPTIONAL, REQUIRED = 0, 1, 2
PIECES = [1, 7, 100_000]
SCENES = [
    pytest.param(windows, version, id=f"{windows}_{name}")
    for windows in VARIANTS
    for version, name in ((TLS_1_2, "tls12"), (TLS_1_3, "tls13"))
    if version == TLS_1_2 or windows not in {"7", "2019"}
]


class Pair(NamedTuple):
    """Two engines, and the way of the bytes between them."""

    client: ScriptedEngine
    server: ScriptedEngine
    piece: int

    def shake(self) -> tuple[str, str]:
        """Run the handshake until nobody has anything to send; return what each says then."""
        said = self.client.handshake(), self.server.handshake()
        while self.carry():
            said = self.client.handshake(), self.server.handshake()
        return said

    def ends(self) -> tuple[ScriptedEngine, ScriptedEngine]:
        return self.client, self.server

    def carry(self) -> int:
        """Bring what each has queued to the other, in pieces; return how many bytes moved."""
        moved = 0
        for one, other in ((self.client, self.server), (self.server, self.client)):
            data = one.drain()
            moved += len(data)
            for at in range(0, len(data), self.piece):
                other.feed(data[at : at + self.piece])
                if other.state in {"START", "HANDSHAKE"}:
                    other.handshake()
        return moved

    def open(self) -> None:
        """Have both accept whom they meet; a server may meet its client only then (85)."""
        for end in self.ends():
            self.shake()
            if end.state == "VERIFY":
                assert end.verified() == "OK"
        self.shake()
        assert [end.state for end in self.ends()] == ["OPEN", "OPEN"]


MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(own_identity: Any) -> Iterator[MakePair]:
    """Return a function that makes pairs of engines on one model each."""
    with contextlib.ExitStack() as stack:

        def make(windows: str, version: int, *, piece: int = 100_000, **config: Any) -> Pair:
            model = SchannelModel(VARIANTS[windows]())
            model.find_identity = known
            stack.callback(fail_on_problems, model)
            client = {"protocols": version, **config.pop("client", {})}
            server = {"protocols": version, **config.pop("server", {})}
            own = {"is_server": True, "identity": own_identity}
            ends = [
                ScriptedEngine(model, **client),
                ScriptedEngine(model, credential=own, **server),
            ]
            for end in ends:
                stack.callback(end.free)
            return Pair(ends[0], ends[1], piece)

        yield make


def known(der: bytes) -> KnownIdentity | None:
    identity = identity_of(der)
    return None if identity is None else KnownIdentity(identity.chain_pem, identity.key_pem)


def fail_on_problems(model: SchannelModel) -> None:
    assert not model.problems(), "\n".join(model.problems())


# -------------------------------------------------------------------------------------- both ways


@pytest.mark.parametrize(("windows", "version"), SCENES)
@pytest.mark.parametrize("piece", PIECES, ids="pieces_of_{}".format)
def test_both_ends_talk(make_pair: MakePair, windows: str, version: int, piece: int) -> None:
    pair = make_pair(windows, version, piece=piece)

    said = pair.shake()
    pair.open()
    results = [pair.client.write(b"EHLO " * 5000), pair.server.write(b"250 ok" * 5000)]
    pair.carry()

    assert ("WANT_VERIFY", "OK") == said
    assert [("OK", 25000), ("OK", 30000)] == results
    assert ("OK", b"EHLO " * 5000) == pair.server.read()
    assert ("OK", b"250 ok" * 5000) == pair.client.read()
    assert version == pair.client.info().protocol == pair.server.info().protocol


@pytest.mark.parametrize(("windows", "version"), SCENES)
def test_each_direction_ends_alone(make_pair: MakePair, windows: str, version: int) -> None:
    pair = make_pair(windows, version)
    pair.open()

    pair.client.shutdown()
    pair.carry()
    ended = pair.server.read()
    pair.server.write(b"221 bye")
    pair.server.shutdown()
    pair.carry()

    assert ("CLOSED", b"") == ended
    assert [("OK", b"221 bye"), ("CLOSED", b"")] == [pair.client.read(), pair.client.read()]


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls12", "tls13"])
@pytest.mark.parametrize("windows", ["11", "odd", "patient"])
def test_alpn_protocol_is_the_same_at_both_ends(
    make_pair: MakePair, windows: str, version: int
) -> None:
    offers = {"client": {"alpn": alpn_list(b"h2", b"smtp")}, "server": {"alpn": alpn_list(b"smtp")}}
    pair = make_pair(windows, version, **offers)  # 77

    pair.open()

    assert [b"smtp", b"smtp"] == [pair.client.alpn(), pair.server.alpn()]


def test_no_common_version_is_told_to_the_client(make_pair: MakePair) -> None:
    pair = make_pair("11", TLS_1_3, client={"protocols": TLS_1_2})  # 80

    said = pair.shake()

    assert ("ERR_ALERT", "ERR_HANDSHAKE") == said
    assert 70 == pair.client.error.alert == pair.server.error.alert


# ---------------------------------------------------------------------------- client certificates


@pytest.mark.parametrize(("windows", "version"), SCENES)
@pytest.mark.parametrize("wanted", [OPTIONAL, REQUIRED], ids=["optional", "required"])
@pytest.mark.parametrize("is_up_front", [True, False], ids=["up_front", "chosen"])
def test_client_certificate_reaches_the_server(
    make_pair: MakePair,
    certificates: Certificates,
    own_identity: Any,
    *,
    windows: str,
    version: int,
    wanted: int,
    is_up_front: bool,
) -> None:
    own = {"identity": own_identity}
    client = {"credential": own} if is_up_front else {"asks_for_credential": 1}
    pair = make_pair(windows, version, client=client, server={"client_authentication": wanted})

    if not is_up_front:  # 28, 29, 93
        assert "WANT_CREDENTIAL" == pair.shake()[0]
        pair.client.provide(pair.client.make_credential(**own))
    before = pair.shake()
    pair.open()

    held = version == TLS_1_3  # 85: then the server has not seen it before the verdict
    assert ("WANT_VERIFY", "WANT_READ" if held else "WANT_VERIFY") == before
    assert certificates.client_rsa.leaf_der == pair.server.certificate()


@pytest.mark.parametrize(("windows", "version"), SCENES)
def test_optional_certificate_may_be_missing(
    make_pair: MakePair, windows: str, version: int
) -> None:
    pair = make_pair(windows, version, server={"client_authentication": OPTIONAL})  # 78

    assert ("WANT_VERIFY", "OK") == pair.shake()
    assert b"" == pair.server.certificate()


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls12", "tls13"])
@pytest.mark.parametrize("windows", ["11", "odd", "patient"])
def test_required_certificate_that_is_missing_fails_at_both_ends(
    make_pair: MakePair, windows: str, version: int
) -> None:
    pair = make_pair(windows, version, server={"client_authentication": REQUIRED})  # 48, 78

    said = pair.shake()
    if pair.client.state == "VERIFY":
        pair.client.verified()
    failed, _ = pair.client.read()

    assert ("ERR_CERTIFICATE", "NO_CLIENT_CERTIFICATE") == (said[1], pair.server.error.cause)
    assert "ERR" == failed[:3]


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["tls12", "tls13"])
def test_refused_client_certificate_is_seen_by_the_client(
    make_pair: MakePair, own_identity: Any, version: int
) -> None:
    pair = make_pair(
        "11",
        version,
        client={"credential": {"identity": own_identity}},
        server={"client_authentication": REQUIRED},
    )
    pair.shake()
    pair.client.verified()
    pair.shake()

    refused = pair.server.verified(reason=4, status=-77)
    pair.carry()
    failed, _ = pair.client.read()

    assert ("ERR_CERTIFICATE", "ERR") == (refused, failed[:3])
    if version == TLS_1_3:
        assert "REFUSED_AFTER_HANDSHAKE" == pair.client.error.cause  # 48
