"""Certificates as values: the bytes they are, and what Windows reads in them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime

__all__ = ["Certificate", "split_pem"]

_PEM_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>X509 CERTIFICATE|CERTIFICATE)-----"
    rb"(?P<body>[^-]*)"
    rb"-----END (?P=label)-----"
)


def split_pem(pem: bytes) -> list[bytes]:
    """Return the DER of every certificate in `pem`, in order; text between the blocks is ignored.

    Raises:
        ValueError: a block is not base64.

    Source: RFC 7468, 2 and 5.
    """
    return [
        _decode(found["body"], number) for number, found in enumerate(_PEM_BLOCK.finditer(pem), 1)
    ]


def _decode(body: bytes, number: int) -> bytes:
    try:
        return base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"certificate {number} of the PEM is not base64: {error}") from error


@dataclass(frozen=True)
class Certificate:
    """An X.509 certificate.

    Attributes:
        der: the certificate itself.
        subject: its holder, as text (RFC 4514), most specific part first.
        issuer: who signed it.
        not_before: valid from, UTC.
        not_after: valid until, UTC.
        sha1: thumbprint, 40 hexadecimal digits; what Windows' own dialogs show.
        sha256: thumbprint, 64 hexadecimal digits.
        pin: the key, as `TLSConfig.pins` takes it: "sha256/" and 44 characters; a certificate that
            is renewed with the same key keeps it.
    """

    der: bytes
    subject: str
    issuer: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    sha1: str
    sha256: str
    pin: str = ""

    def __repr__(self) -> str:
        """Return subject and thumbprint: the bytes would hide them."""
        return f"<Certificate {self.subject!r} sha256={self.sha256[:16]}…>"

    def pem(self) -> str:
        """Return the certificate as PEM."""
        text = binascii.b2a_base64(self.der, newline=False).decode("ascii")
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
