"""One TLS connection without I/O, and what it shares with one on a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import check
from schannel_ffi._lib.info import Agreed, agreed, channel_binding, exported, sent_certificates
from schannel_ffi._lib.outgoing import Outgoing
from schannel_ffi._lib.shared import credential_for, protocol_bits
from schannel_ffi.config import ClientAuthentication, Renegotiation, TLSConfig
from schannel_ffi.errors import TLSError
from schannel_ffi.server_name import ServerName

_CLIENT_AUTHENTICATION = {
    ClientAuthentication.NONE: 0,
    ClientAuthentication.OPTIONAL: 1,
    ClientAuthentication.REQUIRED: 2,
}
LARGEST_READ: Final = 1 << 20  # bytes of one answer: a caller's wish is not yet memory


@dataclass(frozen=True, kw_only=True)
class Role:
    """Whose part an engine takes.

    asks: a request for a client certificate is told by `CredentialWanted`, not answered by none.
    """

    name: ServerName | None = None
    is_server: bool = False
    asks: bool = False


class CredentialWanted(TLSError):
    """The server asks for a client certificate: `provide_credential`, then call again (B93)."""

    def __init__(self) -> None:
        """Say what to do, to who calls something else than `handshake`."""
        super().__init__(
            "the server asks for a client certificate",
            hint="answer by provide_credential, then call again",
        )


def new_engine(config: TLSConfig, role: Role) -> Any:
    """Return a `schan_engine *` that is the caller's; nothing is sent yet."""
    ffi, lib = require()
    credential = credential_for(config, is_server=role.is_server)
    host = ffi.new("wchar_t[]", role.name.dns_name if role.name else "")
    alpn = ffi.from_buffer("uint8_t[]", config.alpn_wire_format())
    settings = {
        "server_name": host,
        "alpn_protocols": alpn,
        "alpn_size": len(alpn),
        "protocols": protocol_bits(config),
    }
    if role.is_server:
        settings["client_authentication"] = _CLIENT_AUTHENTICATION[config.client_authentication]
    else:
        settings["renegotiation"] = config.renegotiation is Renegotiation.ALLOW
        settings["asks_for_credential"] = role.asks
    c_config = ffi.new("schan_engine_config *", settings)
    out, err = ffi.new("schan_engine **"), ffi.new("schan_error *")
    check(lib.schan_engine_new(out, credential, c_config, err), "making a TLS engine", err)
    return out[0]


class EngineOwner:
    """Who has a `schan_engine`: by itself (`Engine`) or inside a socket (`Connection`)."""

    _kind = "schan_engine"

    def __init__(self) -> None:
        """Find the C library; the handle comes when it is made."""
        self._ffi, self._lib = require()
        self._handle: Any = None

    def free(self) -> None:
        """Give the engine back; harmless when repeated."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._function("free")(handle)

    def __del__(self) -> None:
        """Free what was forgotten; its owner warns about that."""
        if getattr(self, "_handle", None) is not None:
            self.free()

    def engine(self) -> Any:
        """Return the `schan_engine *`, borrowed."""
        return self._handle

    def accept(self) -> None:
        """Tell the engine that the peer is the right one."""
        verdict, err = self._ffi.new("schan_verdict *"), self._ffi.new("schan_error *")
        result = self._lib.schan_engine_verified(self.engine(), verdict, err)
        check(result, "accepting the peer", err)

    def refuse(self, verdict: Any) -> None:
        """Tell the engine that the peer is not; that queues the alert."""
        err = self._ffi.new("schan_error *")
        self._lib.schan_engine_verified(self.engine(), verdict, err)

    def issuers(self) -> tuple[bytes, ...]:
        """Return the names, DER, of whom the server takes client certificates from."""
        names: list[bytes] = []
        while (span := self._lib.schan_engine_issuer(self.engine(), len(names))).size:
            names.append(bytes(self._ffi.buffer(span.data, span.size)))
        return tuple(names)

    def provide_credential(self, config: TLSConfig | None) -> None:
        """Answer `CredentialWanted` by the client certificate of these settings, None: by none."""
        credential = credential_for(config) if config is not None else self._ffi.NULL
        err = self._ffi.new("schan_error *")
        result = self._function("provide_credential")(self._handle, credential, err)
        check(result, "presenting a client certificate", err)

    def _checked(self, result: int, doing: str, err: Any) -> int:
        """Return a result that is no failure and no request."""
        check(result, doing, err)
        if result == self._lib.SCHAN_WANT_CREDENTIAL:
            raise CredentialWanted
        return int(result)

    def left_over(self) -> int:
        """Return how many bytes came behind the peer's close_notify."""
        return int(self._lib.schan_engine_left_over(self.engine()))

    def agreed(self) -> Agreed:
        """Return what the handshake agreed on."""
        return agreed(self._function("info"), self._handle)

    def channel_binding(self, kind: str) -> bytes:
        """Return a channel binding."""
        return channel_binding(self._function("channel_binding"), self._handle, kind)

    def export(self, label: str, length: int, context: bytes) -> bytes:
        """Return keying material."""
        return exported(self._function("export"), self._handle, label, length, context)

    def sent_certificates(self) -> tuple[bytes, ...]:
        """Return the certificates the peer sent, DER, its own first."""
        return sent_certificates(self.engine())

    def _function(self, name: str) -> Callable[..., int]:
        """Return the function of that name for this kind of handle."""
        found: Callable[..., int] = getattr(self._lib, f"{self._kind}_{name}")
        return found


class Engine(EngineOwner):
    """A `schan_engine`. Each method is one call of it, so that an interruption divides none.

    One thread at a time; the caller sees to it, and that nobody is inside when `free` is called.
    """

    def __init__(self, config: TLSConfig, role: Role) -> None:
        """Make the engine; it has nothing to send yet."""
        super().__init__()
        self._new = self._ffi.new_allocator(should_clear_after_alloc=False)
        self._handle = new_engine(config, role)

    def state(self) -> int:
        """Return the number of the state, as `schan_state` has it."""
        return int(self._lib.schan_engine_state(self._handle))

    def handshake(self) -> int:
        """Go on with the handshake; return what is missing, as `schan_result` numbers it."""
        err = self._ffi.new("schan_error *")
        result = self._lib.schan_engine_handshake(self._handle, err)
        return self._checked(result, "TLS handshake", err)

    def feed(self, data: Any) -> None:
        """Take records from the network, cut anywhere."""
        pinned, err = self._ffi.from_buffer("uint8_t[]", data), self._ffi.new("schan_error *")
        result = self._lib.schan_engine_feed(self._handle, pinned, len(pinned), err)
        check(result, "taking records", err)

    def feed_eof(self) -> None:
        """Take the end of TCP's stream."""
        self._lib.schan_engine_feed_eof(self._handle)

    def unsent(self) -> int:
        """Return how many bytes wait for the network."""
        return int(self._lib.schan_engine_unsent(self._handle))

    def drain(self, max_bytes: int) -> bytes:
        """Return records for the network and forget them."""
        room, size = self._new("uint8_t[]", max_bytes), self._ffi.new("size_t *")
        self._lib.schan_engine_drain(self._handle, room, max_bytes, size)
        return bytes(self._ffi.buffer(room, size[0]))

    def write(self, data: Outgoing) -> int:
        """Encrypt; return how many bytes were taken: fewer when records wait to be drained."""
        size, err = self._ffi.new("size_t *"), self._ffi.new("schan_error *")
        result = self._lib.schan_engine_write(self._handle, data.spans, data.count, size, err)
        self._checked(result, "writing", err)
        return int(size[0])

    def read(self, max_bytes: int) -> bytes | None:
        """Return 1..max_bytes bytes, b"" at close_notify, None: more records are needed."""
        capacity = min(max_bytes, LARGEST_READ)
        room, size = self._new("uint8_t[]", capacity), self._ffi.new("size_t *")
        err = self._ffi.new("schan_error *")
        result = self._lib.schan_engine_read(self._handle, room, capacity, size, err)
        self._checked(result, "reading", err)
        if result == self._lib.SCHAN_OK:
            return bytes(self._ffi.buffer(room, size[0]))
        return b"" if result == self._lib.SCHAN_CLOSED else None

    def pending(self) -> int:
        """Return how many bytes `read` would return as they lie there."""
        return int(self._lib.schan_engine_pending(self._handle))

    def peer_closed(self) -> bool:
        """Tell whether the peer's close_notify has been met."""
        return bool(self._lib.schan_engine_peer_closed(self._handle))

    def shutdown(self) -> None:
        """Queue close_notify; harmless when repeated."""
        err = self._ffi.new("schan_error *")
        check(self._lib.schan_engine_shutdown(self._handle, err), "ending the stream", err)

    def is_at_end(self) -> bool:
        """Tell whether all has been read and close_notify was behind it.

        Raises:
            TruncatedStream: TCP ended without it.
        """
        view, err = self._ffi.new("schan_span *"), self._ffi.new("schan_error *")
        result = self._lib.schan_engine_peek(self._handle, view, err)
        self._checked(result, "waiting for close_notify", err)
        return bool(result == self._lib.SCHAN_CLOSED)
