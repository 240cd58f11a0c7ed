"""The client's engine over the model, and an OpenSSL server that asks for a new handshake (60).

What OpenSSL says is real; SEC_I_RENEGOTIATE and the buffers are Windows'. By script, with what no
server does: test_engine_scripted_renegotiation.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from certs import Certificates
from schannel_model import SchannelModel
from schannel_model_driver import MakePeer
from schannel_model_options import VARIANTS
from schannel_model_tls import Endpoint, Progress, records_of
from scripted_engine import ScriptedEngine

pytest_plugins = ["scripted_fixtures", "schannel_model_fixtures"]
pytestmark = pytest.mark.schannel


@pytest.fixture
def peer(make_peer: MakePeer) -> Endpoint:
    return make_peer(ssl.TLSVersion.TLSv1_2, tickets=0)


@pytest.fixture(params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Iterator[SchannelModel]:
    model = SchannelModel(VARIANTS[request.param]())
    yield model
    assert not model.problems(), "\n".join(model.problems())


@pytest.fixture(params=[1, 100_000], ids="pieces_of_{}".format)
def piece(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


def connect(model: SchannelModel, peer: Endpoint, *, renegotiation: int) -> ScriptedEngine:
    """Return an engine past the handshake with the peer."""
    engine = ScriptedEngine(model, protocols=4, renegotiation=renegotiation)
    done, word = False, engine.handshake()
    while word != "WANT_VERIFY" or not done:
        for record in records_of(engine.drain()):
            done = peer.advance(record) is Progress.DONE
        engine.feed(peer.finish() if done else peer.take_output())
        word = engine.handshake()
    engine.verified()
    return engine


def carry(engine: ScriptedEngine, peer: Endpoint, piece: int) -> tuple[bytes, bytes]:
    """Carry records until all is quiet; return what the engine and the peer have read."""
    here, there = b"", b""
    while True:
        outgoing = records_of(engine.drain())
        for record in outgoing:
            received = peer.receive(record)  # OpenSSL renegotiates while it reads
            assert received.error is None
            there += received.data
        incoming = peer.take_output()
        for at in range(0, len(incoming), piece):
            engine.feed(incoming[at : at + piece])
            word, data = engine.read()
            here += data
            assert word in {"OK", "WANT_READ"}, engine.error
        if not outgoing and not incoming:
            return here, there


def test_second_handshake_is_done_and_data_goes_on(
    model: SchannelModel, peer: Endpoint, certificates: Certificates, piece: int
) -> None:
    engine = connect(model, peer, renegotiation=1)
    first = peer.client_hello

    engine.feed(peer.ask_to_renegotiate())
    waiting = engine.read()
    nothing = carry(engine, peer, piece)
    written = engine.write(b"EHLO")
    peer.tls.write(b"250 ok")
    here, there = carry(engine, peer, piece)

    assert (("WANT_READ", b""), (b"", b""), ("OK", 4)) == (waiting, nothing, written)
    assert (b"250 ok", b"EHLO", "OPEN") == (here, there, engine.state)
    assert first != peer.client_hello
    assert certificates.good.leaf_der == engine.certificate()
    engine.free()


def test_write_waits_for_the_second_handshake(
    model: SchannelModel, peer: Endpoint, piece: int
) -> None:
    engine = connect(model, peer, renegotiation=1)
    engine.feed(peer.ask_to_renegotiate())
    engine.read()

    held = engine.write(b"EHLO")  # 61
    carry(engine, peer, piece)

    assert (("WANT_READ", 0), ("OK", 4)) == (held, engine.write(b"EHLO"))
    assert (b"", b"EHLO") == carry(engine, peer, piece)
    engine.free()


@pytest.mark.parametrize("renegotiation", [0, 1], ids=["never", "allow_once"])
def test_request_too_many_is_refused_by_name(
    model: SchannelModel, peer: Endpoint, piece: int, renegotiation: int
) -> None:
    engine = connect(model, peer, renegotiation=renegotiation)
    for _ in range(renegotiation):
        engine.feed(peer.ask_to_renegotiate())
        engine.read()
        carry(engine, peer, piece)

    engine.feed(peer.ask_to_renegotiate())

    assert ("ERR_SSPI", b"") == engine.read()
    assert "DecryptMessage" == engine.error.call
    engine.free()
