"""What QueryContextAttributes answers beyond the handshake's own facts, in `FakeSSPI.facts`.

All of it is missing, as on a Windows that does not have it, until a test says what it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fake_sspi_types import Attribute, Status, ffi

if TYPE_CHECKING:
    from fake_sspi import FakeSSPI

BINDINGS_HEADER = 32  # eight numbers of 32 bits


def channel_bindings(value: bytes, *, gap: int = 0, length: int | None = None) -> bytes:
    """Return a SEC_CHANNEL_BINDINGS; `gap` bytes stand between header and value (row 72)."""
    size = len(value) if length is None else length
    return struct.pack("<8I", 0, 0, 0, 0, 0, 0, size, BINDINGS_HEADER + gap) + b"?" * gap + value


class Facts:
    """Answers, and what was asked for keying material.

    session_flags: of SESSION_INFO. bindings: a SEC_CHANNEL_BINDINGS by attribute. chain, own: make
    the certificate of REMOTE_CERT_CHAIN and LOCAL_CERT_CONTEXT. material: the keying material.
    key_exchange: szExchange, aiExch, dwExchStrength.
    """

    def __init__(self, fake: FakeSSPI) -> None:
        self._fake = fake
        self.session_flags: int | None = None
        self.bindings: dict[int, bytes] = {}
        self.chain: Callable[[], int] | None = None
        self.own: Callable[[], int] | None = None
        self.material: bytes | None = None
        self.set_status: int = Status.SEC_E_OK
        self.exports: list[tuple[bytes, bytes, bool, int]] = []  # label, context, NULL, length
        self.key_exchange = ("", 0, 0)
        self.alpn_status: int | None = None  # where it does not follow from the name

    def answers(self) -> dict[int, Callable[[Any], int]]:
        return {
            Attribute.SESSION_INFO: self._tell_session,
            Attribute.UNIQUE_BINDINGS: lambda value: self._tell_bindings(25, value),
            Attribute.ENDPOINT_BINDINGS: lambda value: self._tell_bindings(26, value),
            Attribute.REMOTE_CERT_CHAIN: lambda value: self._tell_certificate(self.chain, value),
            Attribute.LOCAL_CERT_CONTEXT: lambda value: self._tell_certificate(self.own, value),
            Attribute.KEYING_MATERIAL: self._tell_material,
        }

    def set(self, attribute: int, value: Any, size: int) -> int:
        """SetContextAttributesW (row 73)."""
        asked = ffi.cast("KeyingMaterialInfo *", value)
        is_whole = (attribute, size) == (Attribute.KEYING_MATERIAL_INFO, ffi.sizeof(asked[0]))
        self._fake._expect(is_whole, f"attribute {attribute} of {size} bytes (row 73)")
        label = bytes(ffi.buffer(asked.pszLabel, asked.cbLabel))
        context = bytes(ffi.buffer(asked.pbContextValue, asked.cbContextValue))
        is_null = asked.pbContextValue == ffi.NULL
        self.exports.append((label, context, is_null, asked.cbKeyingMaterial))
        return self.set_status

    def _tell_session(self, value: Any) -> int:
        if self.session_flags is None:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        ffi.cast("SessionInfo *", value).dwFlags = self.session_flags
        return Status.SEC_E_OK

    def _tell_bindings(self, attribute: int, value: Any) -> int:
        if attribute not in self.bindings:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        told = ffi.cast("Bindings *", value)
        told.BindingsLength = len(self.bindings[attribute])
        told.Bindings = self._fake.allocate(self.bindings[attribute])
        return Status.SEC_E_OK

    def _tell_certificate(self, make: Callable[[], int] | None, value: Any) -> int:
        if make is None:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        ffi.cast("void **", value)[0] = ffi.cast("void *", make())
        return Status.SEC_E_OK

    def _tell_material(self, value: Any) -> int:
        if self.material is None or not self.exports:
            return Status.SEC_E_UNSUPPORTED_FUNCTION
        told = ffi.cast("KeyingMaterial *", value)
        told.cbKeyingMaterial = len(self.material)
        told.pbKeyingMaterial = ffi.cast("uint8_t *", self._fake.allocate(self.material))
        return Status.SEC_E_OK
