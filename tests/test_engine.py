"""`TLSEngine`: records in, application data out, no socket anywhere.

The peer is the standard library's server in memory (`memory_peer`), in the lane of TLS 1.2 and in
that of TLS 1.3. What only scripts show is in `test_engine_scripted*`.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certs import HOST, Certificates, Identity
from clients import stream
from memory_peer import MemoryPeer, Wire, pieces_of

import schannel_ffi
from schannel_ffi import (
    CertificateError,
    ClientCertificate,
    EngineState,
    HandshakeError,
    SocketClosed,
    TLSConfig,
    TLSEngine,
    TLSError,
    TruncatedStream,
    TrustStore,
    Want,
    _lib,
)

pytestmark = pytest.mark.schannel

MIB = 1 << 20
PIECES = pytest.mark.parametrize("size", [1, 5, 6, 4096], ids="pieces_of_{}".format)
NewWire = Callable[..., Wire]


@pytest.fixture
def new_wire(certificates: Certificates, tls_version: ssl.TLSVersion) -> Iterator[NewWire]:
    """Make an engine, a peer and the wire between them; the engine is closed at the end."""
    engines: list[TLSEngine] = []

    def make(
        *,
        identity: Identity = certificates.good,
        host: str | None = HOST,
        size: int = 1 << 16,
        server_alpn: tuple[str, ...] = (),
        **config: Any,
    ) -> Wire:
        config.setdefault("trust", TrustStore.from_pem(identity.anchor_pem))
        engines.append(TLSEngine(TLSConfig(**config), server_hostname=host))
        peer = MemoryPeer(identity, tls_version, alpn=server_alpn)
        return Wire(engines[-1], peer, size=size)

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def wire(new_wire: NewWire) -> Wire:
    """The wire of an open connection."""
    wire = new_wire()
    wire.shake_hands()
    while wire.to_engine():  # session tickets
        assert wire.engine.read() is None
    return wire


# --- handshake ----------------------------------------------------------------------------------


@PIECES
def test_connection_opens_however_the_records_are_cut(new_wire: NewWire, size: int) -> None:
    wire = new_wire(size=size)

    wire.shake_hands()

    assert EngineState.OPEN is wire.engine.state


def test_handshake_asks_for_records_then_for_the_verdict_then_for_nothing(
    new_wire: NewWire,
) -> None:
    wire = new_wire()

    wants = [wire.engine.handshake(), wire.engine.handshake()]
    while wants[-1] is Want.READ:
        wire.to_peer()
        wire.to_engine()
        wants.append(wire.engine.handshake())
    wire.engine.verify()
    wants.append(wire.engine.handshake())

    assert [Want.READ, Want.VERIFY, Want.NOTHING] == list(dict.fromkeys(wants))


def test_engine_tells_what_was_negotiated(new_wire: NewWire, tls_version: ssl.TLSVersion) -> None:
    wire = new_wire(alpn_protocols=("h2", "http/1.1"), server_alpn=("http/1.1",))

    wire.shake_hands()

    engine, version = wire.engine, tls_version.name.replace("_", ".")
    assert (version, version) == (engine.version(), wire.peer.tls.version())
    assert version == engine.cipher()[1]
    assert (b"http/1.1", "http/1.1") == (engine.alpn_protocol, engine.selected_alpn_protocol())


def test_engine_tells_the_peers_certificate(wire: Wire, certificates: Certificates) -> None:
    own = certificates.good.leaf

    chain = wire.engine.peer_certificates

    assert ssl.PEM_cert_to_DER_cert(certificates.good.chain_pem.decode()) == chain[0].der
    assert own.not_valid_after_utc == chain[0].not_after
    assert chain[0].der == wire.engine.getpeercert()


@PIECES
def test_welcome_behind_the_last_handshake_record_is_not_lost(new_wire: NewWire, size: int) -> None:
    wire = new_wire(size=size)
    welcome = stream(1000, seed=3)

    while wire.engine.handshake() is not Want.VERIFY or not wire.peer.has_shaken_hands:
        wire.to_peer()
        glued = wire.peer.record(welcome) if wire.peer.has_shaken_hands else wire.peer.drain()
        feed_in_pieces(wire.engine, glued, size)
    wire.engine.verify()

    assert welcome == read_all(wire.engine)


def test_nothing_goes_in_or_out_before_the_verdict(new_wire: NewWire) -> None:
    wire = new_wire()
    while wire.engine.handshake() is not Want.VERIFY or not wire.peer.has_shaken_hands:
        wire.to_peer()
        wire.to_engine()
    wire.engine.feed(wire.peer.record(b"too early"))

    for use in (wire.engine.read, lambda: wire.engine.write(b"secret")):
        with pytest.raises(TLSError, match="does not allow"):
            use()

    assert (b"", 0) == (wire.engine.drain(), wire.engine.pending())
    wire.engine.verify()
    assert b"too early" == read_all(wire.engine)


def test_peer_that_is_not_tls_is_told_as_such(new_wire: NewWire) -> None:
    engine = new_wire().engine
    engine.handshake()
    engine.feed(b"220 mail.test ESMTP\r\n")

    for _ in range(2):  # sticky
        with pytest.raises(HandshakeError, match="ESMTP") as caught:
            engine.handshake()

    assert "not_tls" == caught.value.symbol
    assert EngineState.FAILED is engine.state


def test_end_in_the_handshake_is_a_truncation(new_wire: NewWire) -> None:
    wire = new_wire()
    wire.engine.handshake()
    wire.to_peer()
    wire.engine.feed(wire.peer.drain()[:-1])
    wire.engine.feed_eof()

    with pytest.raises(TruncatedStream, match="truncated_record"):
        wire.engine.handshake()


def test_peer_without_a_common_protocol_is_told_by_its_alert(
    new_wire: NewWire, tls_version: ssl.TLSVersion
) -> None:
    other = {"TLSv1_2": "TLSv1_3", "TLSv1_3": "TLSv1_2"}[tls_version.name]
    version = schannel_ffi.TLSVersion[other]
    wire = new_wire(minimum_version=version, maximum_version=version)

    with pytest.raises(TLSError):
        wire.shake_hands()

    assert EngineState.FAILED is wire.engine.state


# --- verification -------------------------------------------------------------------------------

REFUSED = [("wrong_name", "NAME_MISMATCH"), ("expired", "EXPIRED"), ("unknown_ca", "UNKNOWN_CA")]


@pytest.mark.parametrize(("identity", "reason"), REFUSED)
def test_wrong_peer_is_refused_and_gets_no_data(
    new_wire: NewWire, certificates: Certificates, identity: str, reason: str
) -> None:
    wire = new_wire(identity=getattr(certificates, identity))

    for _ in range(2):  # sticky
        with pytest.raises(CertificateError) as caught:
            wire.shake_hands()
        assert reason == caught.value.reason.name
    with pytest.raises(CertificateError):
        wire.engine.write(b"secret")

    assert () == wire.engine.verified_chain  # what was built and refused stands in the error
    assert caught.value.chain
    wire.to_peer()  # an alert, where Windows can make it
    assert b"" == wire.peer.received


def test_peer_is_not_judged_where_that_is_switched_off(
    new_wire: NewWire, certificates: Certificates
) -> None:
    wire = new_wire(identity=certificates.expired, host=None, insecure_skip_verify=True)

    wire.shake_hands()

    assert (1, ()) == (len(wire.engine.peer_certificates), wire.engine.verified_chain)


def test_verified_engine_is_not_verified_again(wire: Wire) -> None:
    wire.engine.verify(time.monotonic())

    assert Want.NOTHING is wire.engine.handshake()


def test_verification_before_the_handshake_is_a_misuse(new_wire: NewWire) -> None:
    with pytest.raises(TLSError, match="does not allow"):
        new_wire().engine.verify()


@pytest.mark.parametrize("anchor", ["ca", "other_ca"])
def test_peer_that_knows_the_authority_takes_the_identity(
    certificates: Certificates, tls_version: ssl.TLSVersion, anchor: str
) -> None:
    own = certificates.client_rsa
    chosen = ClientCertificate.from_pem(own.chain_pem, own.key_pem)
    authority = getattr(certificates, anchor).cert_pem.bytes()
    trust = TrustStore.from_pem(certificates.good.anchor_pem)
    config = TLSConfig(trust=trust, client_certificate=chosen)
    peer = MemoryPeer(certificates.good, tls_version, client_anchor=authority)

    with TLSEngine(config, server_hostname=HOST) as engine:
        wire = Wire(engine, peer)
        if anchor == "ca":
            wire.shake_hands()
            assert own.leaf_der == peer.tls.getpeercert(binary_form=True)
        else:
            with pytest.raises(TLSError, match="certificate") as caught:  # B48: in words
                read_after_handshake(wire)
            assert "SEC_E_OK" not in str(caught.value)


# --- application data ---------------------------------------------------------------------------


@PIECES
def test_data_goes_both_ways_however_it_is_cut(new_wire: NewWire, size: int) -> None:
    wire = new_wire(size=size)
    wire.shake_hands()
    there, back = stream(20_000, seed=1), stream(20_000, seed=2)

    assert 20_000 == wire.engine.write(there)
    wire.to_peer()
    feed_in_pieces(wire.engine, wire.peer.record(back), size)

    assert (there, back) == (bytes(wire.peer.received), read_all(wire.engine))


def test_record_is_read_whole_wherever_it_is_cut(wire: Wire) -> None:
    record = wire.peer.record(b"first")

    for split in range(1, len(record)):
        wire.engine.feed(record[:split])
        assert wire.engine.read() is None
        wire.engine.feed(record[split:])
        assert b"first" == wire.engine.read()
        record = wire.peer.record(b"first")


def test_records_that_come_together_are_read_as_one_stream(wire: Wire) -> None:
    parts = [stream(size, seed=size) for size in (1, 16384, 5, 300)]
    wire.engine.feed(b"".join(wire.peer.record(part) for part in parts))

    assert b"".join(parts) == wire.engine.read(1 << 20)
    assert wire.engine.read() is None


def test_read_gives_at_most_what_was_asked_for(wire: Wire) -> None:
    wire.engine.feed(wire.peer.record(b"abcdef"))

    parts = [wire.engine.read(1), wire.engine.read(4), wire.engine.pending(), wire.engine.read(99)]

    assert [b"a", b"bcde", 1, b"f"] == parts


def test_1_mib_goes_each_way(wire: Wire) -> None:
    there, back = stream(MIB, seed=1), stream(MIB, seed=2)

    left = memoryview(there)
    while left:
        left = left[wire.engine.write(left) :]
        assert len(left) == 0 or wire.engine.has_unsent()
        wire.to_peer()
    received = bytearray()
    for at in range(0, MIB, 50_000):
        wire.engine.feed(wire.peer.record(back[at : at + 50_000]))
        received += read_all(wire.engine)

    assert there == bytes(wire.peer.received)
    assert back == bytes(received)


def test_write_takes_no_more_than_is_drained(wire: Wire) -> None:
    taken = wire.engine.write(bytes(MIB))

    assert 0 < taken < MIB
    assert 0 == wire.engine.write(b"more")
    assert b"" != wire.engine.drain(10)
    wire.to_peer()
    assert 4 == wire.engine.write(b"more")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_any_bytes_like_object_is_taken(wire: Wire, kind: Callable[[bytes], Any]) -> None:
    wire.engine.write(kind(b"there"))
    wire.to_peer()
    wire.engine.feed(kind(wire.peer.record(b"back")))

    assert (b"there", b"back") == (bytes(wire.peer.received), wire.engine.read())


def test_nothing_is_taken_and_sent_for_no_data(wire: Wire) -> None:
    wire.engine.feed(b"")

    assert (0, b"", False) == (
        wire.engine.write(b""),
        wire.engine.drain(),
        wire.engine.has_unsent(),
    )


def test_tampered_record_ends_the_connection_behind_the_data_before_it(wire: Wire) -> None:
    good, bad = wire.peer.record(b"good"), bytearray(wire.peer.record(b"bad"))
    bad[-1] ^= 1
    wire.engine.feed(good + bytes(bad))

    assert b"good" == wire.engine.read()
    for use in (wire.engine.read, wire.engine.read, lambda: wire.engine.write(b"x")):
        with pytest.raises(TLSError):
            use()


# --- the end ------------------------------------------------------------------------------------


def test_engine_ends_then_the_peer(wire: Wire) -> None:
    is_over = [wire.engine.unwrap()]
    wire.to_peer()
    wire.engine.feed(wire.peer.close_notify())
    is_over.append(wire.engine.unwrap())

    assert [False, True] == is_over
    assert wire.peer.has_met_the_end
    assert wire.engine.peer_closed


def test_peer_ends_and_is_still_written_to(wire: Wire) -> None:
    wire.engine.feed(wire.peer.record(b"last words") + wire.peer.close_notify())

    before = wire.engine.peer_closed
    words = [wire.engine.read(), wire.engine.read(), wire.engine.read()]
    wire.engine.write(b"answer")
    records = wire.engine.drain()

    assert [b"last words", b"", b""] == words
    assert (False, True) == (before, wire.engine.peer_closed)
    assert records[0] == 23
    assert wire.engine.unwrap()


def test_data_that_comes_after_unwrap_is_read_before_the_end(wire: Wire) -> None:
    assert not wire.engine.unwrap()
    wire.engine.feed(wire.peer.record(b"still here") + wire.peer.close_notify())

    assert not wire.engine.unwrap()
    assert (b"still here", b"") == (wire.engine.read(), wire.engine.read())
    assert wire.engine.unwrap()


def test_nothing_is_written_after_unwrap(wire: Wire) -> None:
    wire.engine.unwrap()

    with pytest.raises(TLSError, match="does not allow"):
        wire.engine.write(b"too late")


def test_plaintext_behind_close_notify_is_told(wire: Wire) -> None:
    wire.engine.feed(wire.peer.close_notify() + b"plain")
    assert b"" == wire.engine.read()

    with pytest.raises(TLSError, match="5 bytes that are no TLS"):
        wire.engine.unwrap()


def test_end_between_records_is_a_truncation(wire: Wire) -> None:
    wire.engine.feed(wire.peer.record(b"half of it"))
    wire.engine.feed_eof()

    assert b"half of it" == wire.engine.read()
    with pytest.raises(TruncatedStream, match="missing_close_notify"):
        wire.engine.read()
    assert 1 == wire.engine.write(b"x")  # the own direction is whole


def test_end_in_a_record_is_a_truncation(wire: Wire) -> None:
    wire.engine.feed(wire.peer.record(b"half of it")[:-1])
    wire.engine.feed_eof()

    with pytest.raises(TruncatedStream, match="truncated_record"):
        wire.engine.read()


@pytest.mark.parametrize("cut", [0, 1], ids=["between_records", "in_a_record"])
def test_only_an_end_between_records_can_be_tolerated(new_wire: NewWire, cut: int) -> None:
    wire = new_wire(require_close_notify=False)
    wire.shake_hands()
    record = wire.peer.drain() + wire.peer.record(b"all")
    wire.engine.feed(record[: len(record) - cut])
    wire.engine.feed_eof()

    if cut:
        with pytest.raises(TruncatedStream):
            wire.engine.read()
    else:
        assert (b"all", b"") == (wire.engine.read(), wire.engine.read())


def test_closed_engine_says_so(wire: Wire) -> None:
    wire.engine.close()
    wire.engine.close()

    engine = wire.engine
    uses: list[Callable[[], object]] = [
        engine.handshake,
        engine.verify,
        engine.read,
        engine.drain,
        engine.unwrap,
        engine.version,
        engine.feed_eof,
        lambda: engine.feed(b""),
        lambda: engine.write(b""),
        lambda: engine.state,
    ]
    for use in uses:
        with pytest.raises(SocketClosed, match="the engine is closed"):
            use()


def test_forgotten_engine_warns_and_is_freed(new_wire: NewWire) -> None:
    engine = TLSEngine(TLSConfig(insecure_skip_verify=True))

    with pytest.warns(ResourceWarning, match="unclosed TLSEngine"):
        del engine


@pytest.mark.parametrize("size", [0, -1])
def test_read_wants_at_least_one_byte(wire: Wire, size: int) -> None:
    with pytest.raises(ValueError, match="1 and more"):
        wire.engine.read(size)


def test_drain_wants_no_negative_number(wire: Wire) -> None:
    with pytest.raises(ValueError, match="0 and more"):
        wire.engine.drain(-1)


def test_engine_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="server_hostname is needed"):
        TLSEngine()


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "c_type", "prefix"),
    [(Want, "schan_result", "SCHAN_WANT_"), (EngineState, "schan_state", "SCHAN_STATE_")],
    ids=["want", "state"],
)
def test_names_are_those_of_the_c_interface(names: Any, c_type: str, prefix: str) -> None:
    elements = _lib.require()[0].typeof(c_type).elements

    ours = {member.value: prefix + member.name for member in names}

    assert {**ours, **({0: "SCHAN_OK"} if names is Want else {})} == {
        value: elements[value] for value in ours
    }


# --- helpers ------------------------------------------------------------------------------------


def read_all(engine: TLSEngine) -> bytes:
    """Read what is there without more records."""
    return b"".join(iter(engine.read, None))


def feed_in_pieces(engine: TLSEngine, data: bytes, size: int) -> None:
    for piece in pieces_of(data, size):
        engine.feed(piece)


def read_after_handshake(wire: Wire) -> None:
    """Go on until the engine has read what a peer that refused it says."""
    for _ in range(20):
        want = wire.engine.handshake()
        if want is Want.VERIFY:
            wire.engine.verify()
        wire.to_peer()
        wire.to_engine()
        if want is Want.NOTHING:
            wire.engine.read()
