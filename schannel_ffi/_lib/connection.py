"""One TLS connection on a socket."""

from __future__ import annotations

from typing import Any

from schannel_ffi._lib.engine import EngineOwner, Role, new_engine
from schannel_ffi._lib.failures import failure
from schannel_ffi._lib.outgoing import Outgoing
from schannel_ffi.config import TLSConfig


class Connection(EngineOwner):
    """A `schan_socket`: the engine on a connected, non-blocking socket that stays the caller's.

    One thread may be in a receiving call while another is in a sending one; the caller sees to it
    that there are no more, and that nobody is inside when `free` is called.
    """

    _kind = "schan_socket"

    def __init__(self, config: TLSConfig, role: Role, handle: int) -> None:
        """Make the engine; nothing is sent yet."""
        super().__init__()
        ffi, lib = self._ffi, self._lib
        engine = new_engine(config, role)
        out, err = ffi.new("schan_socket **"), ffi.new("schan_error *")
        if lib.schan_socket_new(out, engine, handle, err) < 0:
            lib.schan_engine_free(engine)
            raise failure("making a TLS socket", err)
        self._handle = out[0]
        self._view, self._read_size, self._read_err = (
            ffi.new("schan_span *"),
            ffi.new("size_t *"),
            err,
        )
        self._write_size, self._write_err = ffi.new("size_t *"), ffi.new("schan_error *")

    def engine(self) -> Any:
        """Return the `schan_engine *`, borrowed."""
        return self._lib.schan_socket_engine(self._handle)

    def _answer(self, result: int, doing: str, err: Any) -> int | None:
        """Return a result that is none of failure, request and time over; None for time over."""
        result = self._checked(result, doing, err)
        return None if result == self._lib.SCHAN_WANT_TIME else result

    def handshake(self, slice_ms: int) -> int | None:
        """Go on with the handshake; return what is missing, as `schan_result` numbers it."""
        result = self._lib.schan_socket_handshake(self._handle, slice_ms, self._read_err)
        return self._answer(result, "TLS handshake", self._read_err)

    def flush(self, slice_ms: int) -> bool | None:
        """Send what is queued; True when it has left, None when the time was over."""
        err = self._ffi.new("schan_error *")
        result = self._lib.schan_socket_flush(self._handle, slice_ms, err)
        return None if self._answer(result, "sending", err) is None else True

    def refuse(self, verdict: Any) -> None:
        """Tell the engine that the peer is not; send the alert if that goes at once."""
        super().refuse(verdict)
        self._lib.schan_socket_flush(self._handle, 0, self._ffi.NULL)

    def recv(self, max_bytes: int, slice_ms: int) -> bytes | None:
        """Return 1..max_bytes bytes, b"" at close_notify, None when the time was over."""
        view = self._view
        result = self._lib.schan_socket_peek(self._handle, view, slice_ms, self._read_err)
        if result == self._lib.SCHAN_OK:
            size = 0
            try:
                size = min(view.size, max_bytes)
                return bytes(self._ffi.buffer(view.data, size))
            finally:
                self._lib.schan_socket_consume(self._handle, size)
        return b"" if self._answer(result, "receiving", self._read_err) is not None else None

    def recv_into(self, buffer: Any, slice_ms: int) -> int | None:
        """Fill a `writable_buffer`; return 1..len bytes, 0 at close_notify, None: time over."""
        size = self._read_size
        result = self._lib.schan_socket_recv(
            self._handle, buffer, len(buffer), size, slice_ms, self._read_err
        )
        if result == self._lib.SCHAN_OK:
            return int(size[0])
        return 0 if self._answer(result, "receiving", self._read_err) is not None else None

    def send(self, data: Outgoing, slice_ms: int) -> bool | None:
        """Send; True when all has left, None: time over. `data` counts what was taken over."""
        size = self._write_size
        result = self._lib.schan_socket_send(
            self._handle,
            data.spans + data.first,
            data.count - data.first,
            size,
            slice_ms,
            self._write_err,
        )
        data.advance(size[0])
        return None if self._answer(result, "sending", self._write_err) is None else True

    def shutdown(self, slice_ms: int) -> bool | None:
        """Send close_notify; True when it has left, None when the time was over."""
        err = self._ffi.new("schan_error *")  # of its own: close() comes from any thread
        result = self._lib.schan_socket_shutdown(self._handle, slice_ms, err)
        return None if self._answer(result, "sending close_notify", err) is None else True

    def wait_for_end(self, slice_ms: int) -> bool | None:
        """Return True at close_notify, False at application data, which stays; None: time over."""
        result = self._lib.schan_socket_peek(self._handle, self._view, slice_ms, self._read_err)
        if result == self._lib.SCHAN_OK:
            self._lib.schan_socket_consume(self._handle, 0)
            return False
        return None if self._answer(result, "waiting", self._read_err) is None else True

    def pending(self) -> int:
        """Return how many bytes `recv` would return without the network."""
        return int(self._lib.schan_socket_pending(self._handle))

    def has_pending(self) -> bool:
        """Tell whether `recv` would return, or raise, without the network."""
        return bool(self._lib.schan_socket_has_pending(self._handle))

    def has_unsent(self) -> bool:
        """Tell whether records wait to be sent."""
        return bool(self._lib.schan_socket_has_unsent(self._handle))
