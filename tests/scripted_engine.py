"""The C engine driven without sockets, on scripted tables; its fixtures are in `scripted_fixtures`.

Results read as words: "OK", "WANT_READ", "ERR_HANDSHAKE" are schan_result without its prefix.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from fake_sspi import FakeSSPI
from fake_sspi_script import HANDSHAKE, record
from fake_system import FakeSystem
from schannel_model import SchannelModel

from schannel_ffi import _lib

HELLO = record(HANDSHAKE, b"client hello")
FLIGHT = record(HANDSHAKE, b"server's flight")
FINISHED = record(HANDSHAKE, b"client finished")
NAME = "server.test"
TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 1, 2, 4, 8
ALL_VERSIONS = TLS_1_0 | TLS_1_1 | TLS_1_2 | TLS_1_3
STATES = ("START", "HANDSHAKE", "VERIFY", "OPEN", "POST_HANDSHAKE", "FAILED")
ALPN_EXTENSION = 2

MakeEngine = Callable[..., "ScriptedEngine"]


def alpn_list(*names: bytes) -> bytes:
    """Return names as RFC 7301 has them: each after its length byte."""
    return b"".join(bytes([len(name)]) + name for name in names)


def alpn_offer(*names: bytes) -> bytes:
    """Return SEC_APPLICATION_PROTOCOLS as Windows wants it (row 17)."""
    wire = alpn_list(*names)
    inner = struct.pack("<IH", ALPN_EXTENSION, len(wire)) + wire
    return struct.pack("<I", len(inner)) + inner


class Failure(NamedTuple):
    """A schan_error."""

    result: str
    status: int
    alert: int
    call: str
    detail: str
    cause: str


class ScriptedEngine:
    """A schan_engine with its library and credential, and a method for each of its functions."""

    def __init__(
        self,
        sspi: FakeSSPI | SchannelModel,
        system: FakeSystem | None = None,
        *,
        name: str | None = NAME,
        alpn: bytes = b"",
        protocols: int = ALL_VERSIONS,
        credential: Any = None,
        **config: int,
    ) -> None:
        self._ffi, self._lib = _lib.require()
        self.is_owner = True
        self._cleanup = contextlib.ExitStack()
        self._freed_early: list[Any] = []
        self._err = self._ffi.new("schan_error *")
        self._size = self._ffi.new("size_t *")
        with contextlib.ExitStack() as on_failure:
            on_failure.push(self._cleanup)
            table = self._ffi.cast("void *", sspi.address)
            replaced = self._ffi.cast("schan_system *", system.address if system else 0)
            self.library = self._make("schan_library", table, replaced)
            self._protocols = protocols
            self.credential = self.make_credential(**(credential or {}))
            wide = self._ffi.NULL if name is None else self._ffi.new("wchar_t[]", name)
            pinned = self._ffi.from_buffer("uint8_t[]", alpn)
            offer = {"server_name": wide, "alpn_protocols": pinned, "alpn_size": len(alpn)}
            c_config = self._ffi.new(
                "schan_engine_config *", {**offer, "protocols": protocols, **config}
            )
            self.handle = self._make("schan_engine", self.credential, c_config)
            on_failure.pop_all()

    def make_credential(self, **settings: Any) -> Any:
        """Return a credential on the same library; `settings` are schan_credential_config's."""
        c_config = self._ffi.new(
            "schan_credential_config *", {"protocols": self._protocols, **settings}
        )
        return self._make("schan_credential", self.library, c_config)

    def _make(self, kind: str, *arguments: Any) -> Any:
        out = self._ffi.new(f"{kind} **")
        result = getattr(self._lib, f"{kind}_new")(out, *arguments, self._err)
        if result < 0:
            raise AssertionError(self._word(result), self.error)
        self._cleanup.callback(self._free, kind, out[0])
        return out[0]

    def _free(self, kind: str, pointer: Any) -> None:
        if pointer not in self._freed_early and (kind != "schan_engine" or self.is_owner):
            getattr(self._lib, f"{kind}_free")(pointer)

    def free_early(self, credential: Any) -> None:
        """Free a credential of `make_credential` now, and not when all is freed."""
        self._freed_early.append(credential)
        self._lib.schan_credential_free(credential)

    def disown(self) -> Any:
        """Return the schan_engine for an object that takes it over."""
        self.is_owner = False
        return self.handle

    def free(self) -> None:
        """Free engine, credential and library; harmless when repeated."""
        self._cleanup.close()

    def _word(self, result: int) -> str:
        name: str = self._ffi.typeof("schan_result").elements[result]
        return name.removeprefix("SCHAN_")

    @property
    def error(self) -> Failure:
        """What the last failing call told."""
        err = self._err
        call = "" if err.call == self._ffi.NULL else self._ffi.string(err.call).decode()
        detail = self._ffi.string(err.detail).decode()
        cause = self._ffi.typeof("schan_cause").elements[err.cause].removeprefix("SCHAN_CAUSE_")
        return Failure(self._word(err.result), err.status, err.alert, call, detail, cause)

    @property
    def state(self) -> str:
        return STATES[self._lib.schan_engine_state(self.handle)]

    def handshake(self, *records: bytes) -> str:
        """Feed the records, then go on with the handshake."""
        for data in records:
            self.feed(data)
        return self._word(self._lib.schan_engine_handshake(self.handle, self._err))

    def provide(self, credential: Any = None) -> str:
        """Answer WANT_CREDENTIAL; None: no identity."""
        chosen = self._ffi.NULL if credential is None else credential
        result = self._lib.schan_engine_provide_credential(self.handle, chosen, self._err)
        return self._word(result)

    def issuers(self) -> list[bytes]:
        """Return the names of the acceptable issuers."""
        found: list[bytes] = []
        while (span := self._lib.schan_engine_issuer(self.handle, len(found))).size:
            found.append(bytes(self._ffi.buffer(span.data, span.size)))
        return found

    def resumption_is_off(self) -> bool:
        return bool(self._lib.schan_engine_resumption_is_off(self.handle))

    def verified(self, reason: int = 0, status: int = 0) -> str:
        verdict = self._ffi.new("schan_verdict *", {"reason": reason, "status": status})
        return self._word(self._lib.schan_engine_verified(self.handle, verdict, self._err))

    def feed(self, data: bytes) -> str:
        result = self._lib.schan_engine_feed(self.handle, data, len(data), self._err)
        return self._word(result)

    def left_over(self) -> int:
        """Return how many bytes are kept behind the peer's close_notify."""
        return int(self._lib.schan_engine_left_over(self.handle))

    def feed_eof(self) -> None:
        self._lib.schan_engine_feed_eof(self.handle)

    def drain(self, capacity: int = 1 << 20) -> bytes:
        room = self._ffi.new("uint8_t[]", max(1, capacity))
        self._lib.schan_engine_drain(self.handle, room, capacity, self._size)
        return bytes(self._ffi.buffer(room, self._size[0]))

    def read(self, capacity: int = 65536) -> tuple[str, bytes]:
        room = self._ffi.new("uint8_t[]", capacity)
        result = self._lib.schan_engine_read(self.handle, room, capacity, self._size, self._err)
        return self._word(result), bytes(self._ffi.buffer(room, self._size[0]))

    def write(self, *parts: bytes) -> tuple[str, int]:
        pinned = [self._ffi.from_buffer("uint8_t[]", part) for part in parts]
        spans = self._ffi.new("schan_span[]", [{"data": p, "size": len(p)} for p in pinned])
        result = self._lib.schan_engine_write(self.handle, spans, len(parts), self._size, self._err)
        return self._word(result), int(self._size[0])

    def shutdown(self) -> str:
        return self._word(self._lib.schan_engine_shutdown(self.handle, self._err))

    def pending(self) -> int:
        return int(self._lib.schan_engine_pending(self.handle))

    def info(self) -> Any:
        """Return the schan_info."""
        info = self._ffi.new("schan_info *")
        assert self._lib.schan_engine_info(self.handle, info, self._err) == 0
        return info

    def alpn(self) -> bytes:
        info = self.info()
        return bytes(self._ffi.buffer(info.alpn, info.alpn_size))

    def channel_binding(self, kind: int, capacity: int = 64) -> tuple[str, bytes]:
        room = self._ffi.new("uint8_t[]", capacity)
        result = self._lib.schan_engine_channel_binding(
            self.handle, kind, room, capacity, self._size, self._err
        )
        return self._word(result), bytes(self._ffi.buffer(room, self._size[0]))

    def export(self, label: bytes, size: int, context: bytes = b"") -> tuple[str, bytes]:
        room, pinned = self._ffi.new("uint8_t[]", b"?" * size), self._ffi.from_buffer(context)
        span = {"data": self._ffi.cast("uint8_t *", pinned), "size": len(context)}
        result = self._lib.schan_engine_export(self.handle, label, span, room, size, self._err)
        return self._word(result), bytes(self._ffi.buffer(room, size))

    def sent(self) -> list[bytes]:
        found: list[bytes] = []
        while (span := self._lib.schan_engine_sent_certificate(self.handle, len(found))).size:
            found.append(bytes(self._ffi.buffer(span.data, span.size)))
        return found

    def certificate(self) -> bytes:
        span = self._lib.schan_engine_peer_certificate(self.handle)
        return bytes(self._ffi.buffer(span.data, span.size)) if span.size else b""
