"""The caller's buffers as C sees them: data on its way out, room for data that comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schannel_ffi._lib.binding import Buffer, require


class Outgoing:
    """Data on its way out: several buffers as one, uncopied, and how much was taken over."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        """Pin the buffers."""
        ffi, _ = require()
        self._pinned = [ffi.from_buffer("uint8_t[]", buffer) for buffer in buffers]
        self.count = len(self._pinned)
        self.spans = ffi.new("schan_span[]", self.count)
        for span, pinned in zip(self.spans, self._pinned, strict=True):
            span.data, span.size = pinned, len(pinned)
        self.first = 0
        self.sent = 0

    def advance(self, size: int) -> None:
        """Step over `size` bytes."""
        self.sent += size
        while self.first < self.count and size >= self.spans[self.first].size:
            size -= self.spans[self.first].size
            self.first += 1
        if size:
            self.spans[self.first].data += size
            self.spans[self.first].size -= size


def writable_buffer(buffer: Buffer, size: int) -> Any:
    """Return the first `size` bytes (0: all) of a bytes-like object for `Connection.recv_into`."""
    ffi, _ = require()
    view = memoryview(buffer).cast("B")
    return ffi.from_buffer("uint8_t[]", view[:size] if size else view, require_writable=True)
