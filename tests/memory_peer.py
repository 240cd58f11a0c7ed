"""A stdlib TLS server without a socket, and the wire between it and a `TLSEngine`.

    peer = MemoryPeer(identity, version)
    wire = Wire(engine, peer, size=1)
    wire.shake_hands()

Always true here: nothing waits, and a conversation in which nobody moves fails the test.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence

from certs import Identity

from schannel_ffi import EngineState, TLSEngine, Want

MOST_ROUNDS = 20_000


class MemoryPeer:
    """The server. What it sends waits in `drain`; what it read is in `received`.

    client_anchor: whom it takes client certificates from, PEM; None: it asks for none.
    """

    def __init__(
        self,
        identity: Identity,
        version: ssl.TLSVersion,
        *,
        alpn: Sequence[str] = (),
        client_anchor: bytes | None = None,
    ) -> None:
        context = identity.server_context()
        context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client_anchor is not None:
            context.load_verify_locations(cadata=client_anchor.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.received = bytearray()
        self.has_shaken_hands = False
        self.error: ssl.SSLError | None = None
        self.has_met_the_end = False

    def feed(self, data: bytes) -> None:
        """Take records; go on with the handshake, then read what there is."""
        self._incoming.write(data)
        try:
            if not self.has_shaken_hands:
                self.tls.do_handshake()
                self.has_shaken_hands = True
            self._read_all()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.has_met_the_end = True
        except ssl.SSLError as error:
            self.error = error

    def _read_all(self) -> None:
        while data := self.tls.read(1 << 16):
            self.received += data
        self.has_met_the_end = True

    def drain(self) -> bytes:
        return self._outgoing.read()

    def record(self, data: bytes) -> bytes:
        """Return the records that hold `data`."""
        self.tls.write(data)
        return self.drain()

    def close_notify(self) -> bytes:
        """Return the record that ends the peer's direction."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.drain()


class Wire:
    """What carries records between the two, cut into pieces of one size."""

    def __init__(self, engine: TLSEngine, peer: MemoryPeer, *, size: int = 1 << 16) -> None:
        self.engine, self.peer, self._size = engine, peer, size

    def shake_hands(self) -> None:
        """Carry records until the connection is open at both ends."""
        for _ in range(MOST_ROUNDS):
            want = self.engine.handshake()
            moved = self.to_peer()
            if want is Want.VERIFY:
                self.engine.verify()
            elif want is Want.NOTHING and self.peer.has_shaken_hands:
                return
            elif not self.to_engine() and not moved:
                break
        raise AssertionError(f"stuck: {self.engine.state}, {self.peer.error}")

    def to_peer(self) -> bool:
        """Carry what the engine has to send; tell whether there was any."""
        return carry(iter(lambda: self.engine.drain(self._size), b""), self.peer.feed)

    def to_engine(self) -> bool:
        """Carry what the peer has to send; tell whether there was any."""
        return carry(pieces_of(self.peer.drain(), self._size), self._feed)

    def _feed(self, piece: bytes) -> None:
        self.engine.feed(piece)
        if self.engine.state in {EngineState.START, EngineState.HANDSHAKE}:
            self.engine.handshake()  # after every piece: nothing may depend on whole flights


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


def carry(pieces: Iterable[bytes], feed: Callable[[bytes], None]) -> bool:
    """Feed all pieces; tell whether there were any."""
    has_moved = False
    for piece in pieces:
        feed(piece)
        has_moved = True
    return has_moved
