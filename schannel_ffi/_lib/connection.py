"""One TLS connection on a socket, and the data on its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schannel_ffi._lib.binding import Buffer, require
from schannel_ffi._lib.failures import check, failure
from schannel_ffi._lib.info import Agreed, agreed, channel_binding, exported, sent_certificates
from schannel_ffi._lib.shared import credential_for, protocol_bits
from schannel_ffi.config import TLSConfig, TLSVersion
from schannel_ffi.server_name import ServerName


class Connection:
    """A `schan_socket`: the engine on a connected, non-blocking socket that stays the caller's.

    One thread may be in a receiving call while another is in a sending one; the caller sees to it
    that there are no more, and that nobody is inside when `free` is called.
    """

    def __init__(self, config: TLSConfig, name: ServerName | None, handle: int) -> None:
        """Make the engine; nothing is sent yet."""
        ffi, lib = require()
        self._ffi, self._lib = ffi, lib
        self._socket: Any = None
        credential = credential_for(config)
        alpn = ffi.from_buffer("uint8_t[]", config.alpn_wire_format())
        c_config = ffi.new(
            "schan_engine_config *",
            {
                "server_name": (host := ffi.new("wchar_t[]", name.dns_name if name else "")),
                "alpn_protocols": alpn,
                "alpn_size": len(alpn),
                "protocols": protocol_bits(config),
            },
        )
        engine, err = ffi.new("schan_engine **"), ffi.new("schan_error *")
        check(lib.schan_engine_new(engine, credential, c_config, err), "making a TLS engine", err)
        out = ffi.new("schan_socket **")
        result = lib.schan_socket_new(out, engine[0], handle, err)
        if result < 0:
            lib.schan_engine_free(engine[0])
            raise failure("making a TLS socket", err)
        self._socket = out[0]
        del host
        self._view, self._read_size, self._read_err = (
            ffi.new("schan_span *"),
            ffi.new("size_t *"),
            err,
        )
        self._write_size, self._write_err = ffi.new("size_t *"), ffi.new("schan_error *")

    def free(self) -> None:
        """Give the engine back; harmless when repeated."""
        handle, self._socket = self._socket, None
        if handle is not None:
            self._lib.schan_socket_free(handle)

    def __del__(self) -> None:
        """Free what was forgotten; `sockets` warns about that."""
        if getattr(self, "_socket", None) is not None:
            self.free()

    def engine(self) -> Any:
        """Return the `schan_engine *`, borrowed."""
        return self._lib.schan_socket_engine(self._socket)

    def _answer(self, result: int, doing: str, err: Any) -> int | None:
        """Return a result that is none of failure and time over; None for time over."""
        if result < 0:
            raise failure(doing, err)
        return None if result == self._lib.SCHAN_WANT_TIME else result

    def handshake(self, slice_ms: int) -> bool | None:
        """Go on with the handshake; True when only the verdict on the peer is missing."""
        result = self._lib.schan_socket_handshake(self._socket, slice_ms, self._read_err)
        return None if self._answer(result, "TLS handshake", self._read_err) is None else True

    def accept(self) -> None:
        """Tell the engine that the peer is the right one."""
        verdict = self._ffi.new("schan_verdict *")
        result = self._lib.schan_engine_verified(self.engine(), verdict, self._read_err)
        check(result, "accepting the peer", self._read_err)

    def refuse(self, verdict: Any) -> None:
        """Tell the engine that the peer is not; send the alert if that goes at once."""
        self._lib.schan_engine_verified(self.engine(), verdict, self._read_err)
        self._lib.schan_socket_flush(self._socket, 0, self._ffi.NULL)

    def recv(self, max_bytes: int, slice_ms: int) -> bytes | None:
        """Return 1..max_bytes bytes, b"" at close_notify, None when the time was over."""
        view = self._view
        result = self._lib.schan_socket_peek(self._socket, view, slice_ms, self._read_err)
        if result == self._lib.SCHAN_OK:
            size = 0
            try:
                size = min(view.size, max_bytes)
                return bytes(self._ffi.buffer(view.data, size))
            finally:
                self._lib.schan_socket_consume(self._socket, size)
        return b"" if self._answer(result, "receiving", self._read_err) is not None else None

    def recv_into(self, buffer: Any, slice_ms: int) -> int | None:
        """Fill a `writable_buffer`; return 1..len bytes, 0 at close_notify, None: time over."""
        size = self._read_size
        result = self._lib.schan_socket_recv(
            self._socket, buffer, len(buffer), size, slice_ms, self._read_err
        )
        if result == self._lib.SCHAN_OK:
            return int(size[0])
        return 0 if self._answer(result, "receiving", self._read_err) is not None else None

    def send(self, data: Outgoing, slice_ms: int) -> bool | None:
        """Send; True when all has left, None: time over. `data` counts what was taken over."""
        size = self._write_size
        result = self._lib.schan_socket_send(
            self._socket,
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
        result = self._lib.schan_socket_shutdown(self._socket, slice_ms, err)
        return None if self._answer(result, "sending close_notify", err) is None else True

    def wait_for_end(self, slice_ms: int) -> bool | None:
        """Return True at close_notify, False at application data, which stays; None: time over."""
        result = self._lib.schan_socket_peek(self._socket, self._view, slice_ms, self._read_err)
        if result == self._lib.SCHAN_OK:
            self._lib.schan_socket_consume(self._socket, 0)
            return False
        return None if self._answer(result, "waiting", self._read_err) is None else True

    def left_over(self) -> int:
        """Return how many bytes came behind the peer's close_notify."""
        return int(self._lib.schan_engine_left_over(self.engine()))

    def pending(self) -> int:
        """Return how many bytes `recv` would return without the network."""
        return int(self._lib.schan_socket_pending(self._socket))

    def has_pending(self) -> bool:
        """Tell whether `recv` would return, or raise, without the network."""
        return bool(self._lib.schan_socket_has_pending(self._socket))

    def has_unsent(self) -> bool:
        """Tell whether records wait to be sent."""
        return bool(self._lib.schan_socket_has_unsent(self._socket))

    def info(self) -> tuple[TLSVersion | None, str, int, bytes | None]:
        """Return version, cipher suite, cipher strength in bits, and the ALPN protocol."""
        found = self.agreed()
        return found.version, found.cipher_suite, found.cipher_strength, found.alpn

    def agreed(self) -> Agreed:
        """Return all that the handshake agreed on."""
        return agreed(self._lib.schan_socket_info, self._socket)

    def channel_binding(self, kind: str) -> bytes:
        """Return a channel binding."""
        return channel_binding(self._lib.schan_socket_channel_binding, self._socket, kind)

    def export(self, label: str, length: int, context: bytes) -> bytes:
        """Return keying material."""
        return exported(self._lib.schan_socket_export, self._socket, label, length, context)

    def sent_certificates(self) -> tuple[bytes, ...]:
        """Return the certificates the peer sent, DER, its own first."""
        return sent_certificates(self.engine())


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
