"""What Windows reads in a certificate."""

from __future__ import annotations

import binascii
from datetime import datetime, timedelta, timezone

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import check
from schannel_ffi._lib.reading import digest_of, name_of
from schannel_ffi._lib.shared import library
from schannel_ffi.certificates import Certificate
from schannel_ffi.config import PIN_PREFIX


def describe_certificate(der: bytes) -> Certificate:
    """Return what Windows reads in a certificate.

    Raises:
        TLSError: it is malformed.
    """
    ffi, lib = require()
    handle, err = library(), ffi.new("schan_error *")
    pinned = ffi.from_buffer("uint8_t[]", der)
    span = {"data": pinned, "size": len(pinned)}
    times = ffi.new("int64_t[2]")
    doing = "reading a certificate"
    check(lib.schan_certificate_validity(handle, span, times, times + 1, err), doing, err)
    return Certificate(
        der=der,
        subject=name_of(handle, der),
        issuer=name_of(handle, der, is_issuer=True),
        not_before=_utc(times[0]),
        not_after=_utc(times[1]),
        sha1=digest("sha1", der).hex(),
        sha256=digest("sha256", der).hex(),
        pin=pin_of(der),
    )


def pin_of(der: bytes) -> str:
    """Return "sha256/" and the digest of a certificate's public key in base64; "" if malformed."""
    ffi, lib = require()
    pinned = ffi.from_buffer("uint8_t[]", der)
    span = lib.schan_certificate_public_key({"data": pinned, "size": len(pinned)})
    if not span.size:
        return ""
    key = digest("sha256", bytes(ffi.buffer(span.data, span.size)))
    return PIN_PREFIX + binascii.b2a_base64(key, newline=False).decode("ascii")


def _utc(seconds: int) -> datetime:
    """Return a time; one outside Python's calendar becomes its first or last moment."""
    try:
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    except OverflowError:
        edge = datetime.min if seconds < 0 else datetime.max
        return edge.replace(tzinfo=timezone.utc)


def digest(algorithm: str, data: bytes) -> bytes:
    """Return the "sha1", "sha256", "sha384" or "sha512" digest, by CNG."""
    return digest_of(library(), algorithm, data)
