"""What Windows reads in the bytes of a certificate, for any library handle."""

from __future__ import annotations

from typing import Any

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import check


def name_of(library: Any, der: bytes, *, is_issuer: bool = False) -> str:
    """Return the name of a certificate's holder, or of its issuer, as text."""
    ffi, lib = require()
    err, pinned = ffi.new("schan_error *"), ffi.from_buffer("uint8_t[]", der)
    span = {"data": pinned, "size": len(pinned)}
    which = lib.SCHAN_NAME_ISSUER if is_issuer else lib.SCHAN_NAME_SUBJECT
    size, capacity = ffi.new("size_t *"), 512
    while True:
        text = ffi.new("wchar_t[]", capacity)
        result = lib.schan_certificate_name(library, span, which, text, capacity, size, err)
        check(result, "reading a certificate's name", err)
        if size[0] < capacity:
            return str(ffi.string(text))
        capacity = size[0] + 1


def digest_of(library: Any, algorithm: str, data: bytes) -> bytes:
    """Return the "sha1", "sha256", "sha384" or "sha512" digest, by CNG."""
    ffi, lib = require()
    number = getattr(lib, f"SCHAN_{algorithm.upper()}")
    pinned = ffi.from_buffer("uint8_t[]", data)
    out, size, err = ffi.new("uint8_t[64]"), ffi.new("size_t *"), ffi.new("schan_error *")
    span = {"data": pinned, "size": len(pinned)}
    check(
        lib.schan_digest(library, number, span, out, 64, size, err),
        "computing a digest",
        err,
    )
    return bytes(ffi.buffer(out, size[0]))
