"""Two `TLSEngine`s in one process, and the wire between them."""

from __future__ import annotations

from collections.abc import Callable

from memory_peer import carry, pieces_of

from schannel_ffi import TLSEngine, Want

MOST_ROUNDS = 20_000


class EnginePair:
    """A client and a server; what one has to send is fed to the other, in pieces of one size."""

    def __init__(self, client: TLSEngine, server: TLSEngine, *, size: int = 1 << 16) -> None:
        self.client, self.server, self._size = client, server, size

    def shake_hands(self) -> None:
        """Carry records until both are open."""
        for _ in range(MOST_ROUNDS):
            wants = [self._advance(self.client), self._advance(self.server)]
            if not self.exchange() and wants == [Want.NOTHING, Want.NOTHING]:
                return
        raise AssertionError(f"stuck: {self.client.state}, {self.server.state}")

    def _advance(self, engine: TLSEngine) -> Want:
        want = engine.handshake()
        if want is Want.VERIFY:
            engine.verify()
        return want

    def exchange(self) -> bool:
        """Carry what both have to send; tell whether there was any."""
        there = self._carry(self.client, self.server.feed)
        return self._carry(self.server, self.client.feed) or there

    def _carry(self, sender: TLSEngine, feed: Callable[[bytes], None]) -> bool:
        return carry(pieces_of(sender.drain(), self._size), feed)

    def send(self, sender: TLSEngine, data: bytes) -> bytes:
        """Write `data` at one end and return what the other end reads."""
        receiver = self.server if sender is self.client else self.client
        left, received = memoryview(data), bytearray()
        while left:
            left = left[sender.write(left) :]
            self.exchange()
            received += b"".join(iter(receiver.read, None))
        return bytes(received)

    def close(self) -> None:
        self.client.close()
        self.server.close()
