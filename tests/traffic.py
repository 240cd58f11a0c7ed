"""A stream both ends know: sent in pieces of random sizes, compared byte by byte as it comes.

`interop_peer.py` runs this on Windows, the tests on the host.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

RING_BYTES = 1_048_583  # a prime: whole records or segments cannot be missed
LARGEST_PIECE = 100_000


class Stream:
    """The stream of a seed, from its beginning; `taken` counts what was handed out or compared."""

    def __init__(self, seed: int) -> None:
        ring = random.Random(seed).randbytes(RING_BYTES)
        self._twice = memoryview(ring + ring)
        self._sizes = random.Random(seed + 1)
        self.taken = 0

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield the next `size` bytes in pieces of random sizes, small ones as often as large."""
        end = self.taken + size
        while self.taken < end:
            largest = min(end - self.taken, 2 ** self._sizes.randint(0, 17), LARGEST_PIECE)
            yield self._next(self._sizes.randint(1, largest))

    def compare(self, data: bytes | memoryview) -> None:
        """Raise AssertionError unless `data` comes next in the stream."""
        view = memoryview(data)
        while view:
            at, part = self.taken, view[:RING_BYTES]
            if part != self._next(len(part)):
                raise AssertionError(f"the stream differs in the {len(part)} bytes from {at} on")
            view = view[len(part) :]

    def random_size(self) -> int:
        """Return how much to ask for next."""
        return self._sizes.randint(1, LARGEST_PIECE)

    def _next(self, size: int) -> memoryview:
        at = self.taken % RING_BYTES
        self.taken += size
        return self._twice[at : at + size]
