"""Private keys in PEM, as the blobs that Windows' CNG takes.

Read are PKCS #8, PKCS #1 (RSA) and SEC 1 (elliptic curves). All that is secret stays in `bytes`,
which Python cannot wipe: it is gone when the memory is used again.

Source: RFC 5208 and 5958 (PKCS #8), RFC 8017 A.1.2 (PKCS #1), RFC 5915 (SEC 1), RFC 7468 (PEM);
Microsoft Learn, "BCRYPT_RSAKEY_BLOB" and "BCRYPT_ECCKEY_BLOB".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["PrivateKey", "public_key_of_certificate", "read_private_key"]

_PEM_KEY = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]*PRIVATE KEY)-----(?P<body>.*?)-----END (?P=label)-----",
    re.DOTALL,
)

_SEQUENCE, _INTEGER, _BITS, _OCTETS, _OID, _PARAMETERS, _POINT = 0x30, 2, 3, 4, 6, 0xA0, 0xA1
_RSA_OID: Final = bytes.fromhex("2a864886f70d010101")
_EC_OID: Final = bytes.fromhex("2a8648ce3d0201")


class _Curve(NamedTuple):
    name: str
    size: int  # bytes of a coordinate
    magic: bytes  # BCRYPT_ECDSA_PRIVATE_P*_MAGIC


_CURVES: Final = {
    bytes.fromhex("2a8648ce3d030107"): _Curve("P-256", 32, b"ECS2"),
    bytes.fromhex("2b81040022"): _Curve("P-384", 48, b"ECS4"),
    bytes.fromhex("2b81040023"): _Curve("P-521", 66, b"ECS6"),
}


class _RefusedKey(ValueError):
    """The key is well-formed, and nothing for Schannel."""


@dataclass(frozen=True)
class PrivateKey:
    """A private key.

    Attributes:
        kind: "RSA" or "EC".
        blob: BCRYPT_RSAFULLPRIVATE_BLOB or BCRYPT_ECCPRIVATE_BLOB.
        public: what a certificate for this key has as its public key; b"" if that is not known.
    """

    kind: str
    blob: bytes = field(repr=False)
    public: bytes = b""


def read_private_key(pem: bytes, certificate: bytes) -> PrivateKey:
    """Return the private key of a PEM file.

    Args:
        pem: text with one private key; anything else in it is ignored.
        certificate: the certificate that it belongs to, DER. A key on an elliptic curve may leave
            out its public half, which is taken from there.

    Raises:
        ValueError: there is no key, more than one, an encrypted one, one of an algorithm that
            Schannel does not take, or it belongs to another certificate.
    """
    found = list(_PEM_KEY.finditer(pem))
    if len(found) != 1:
        raise ValueError(f"the PEM holds {len(found) or 'no'} private keys, and one is needed")
    label, body = found[0]["label"].decode("ascii"), found[0]["body"]
    if label == "ENCRYPTED PRIVATE KEY" or b"ENCRYPTED" in body:
        raise ValueError(
            "the private key is encrypted: take a PFX file, or decrypt it "
            "(openssl pkey -in KEY -out PLAIN)"
        )
    if label not in _READERS:
        raise ValueError(f"a {label} is not a private key for TLS")
    public = public_key_of_certificate(certificate)
    try:
        key = _READERS[label](base64.b64decode(b"".join(body.split()), validate=True), public)
    except _RefusedKey:
        raise
    except (ValueError, IndexError, StopIteration, OverflowError) as error:
        raise ValueError("the private key is malformed") from error
    if key.public != public:
        raise ValueError("the private key belongs to another certificate")
    return key


def public_key_of_certificate(der: bytes) -> bytes:
    """Return the public key of a certificate: subjectPublicKey without its leading zero bits.

    Raises:
        ValueError: this is no certificate.

    Source: RFC 5280, 4.1.
    """
    try:
        fields = list(_elements(_only(_only(der, _SEQUENCE), _SEQUENCE)))
        if fields[0][0] == _PARAMETERS:  # version
            del fields[0]
        [_, (tag, bits)] = _elements(fields[5][1])  # serial, signature, issuer, validity, subject
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError("the certificate is malformed") from error
    if tag != _BITS or bits[:1] != b"\0":
        raise ValueError("the certificate is malformed")
    return bits[1:]


# ----------------------------------------------------------------------------------------- formats


def _read_pkcs8(der: bytes, public: bytes) -> PrivateKey:
    _version, (_, algorithm), (_, inner), *_ = _elements(_only(der, _SEQUENCE))
    (_, oid), *parameters = _elements(algorithm)
    if oid == _RSA_OID:
        return _read_pkcs1(inner, public)
    if oid == _EC_OID:
        return _read_sec1(inner, public, parameters[0][1])
    raise _RefusedKey("Schannel takes RSA keys and keys on the curves P-256, P-384 and P-521")


def _read_pkcs1(der: bytes, _public: bytes = b"") -> PrivateKey:
    numbers = [value for tag, value in _elements(_only(der, _SEQUENCE)) if tag == _INTEGER]
    n, e, d, p, q, exponent_1, exponent_2, coefficient = (
        int.from_bytes(number, "big") for number in numbers[1:9]
    )
    size, half_p, half_q = _size(n), _size(p), _size(q)
    header = [b"RSA3"]
    header += [value.to_bytes(4, "little") for value in (n.bit_length(), _size(e), size)]
    header += [half_p.to_bytes(4, "little"), half_q.to_bytes(4, "little")]
    parts = [(e, _size(e)), (n, size), (p, half_p), (q, half_q), (exponent_1, half_p)]
    parts += [(exponent_2, half_q), (coefficient, half_p), (d, size)]
    blob = b"".join(header) + b"".join(value.to_bytes(length, "big") for value, length in parts)
    return PrivateKey("RSA", blob, _sequence(_integer(n) + _integer(e)))


def _read_sec1(der: bytes, public: bytes, curve_oid: bytes = b"") -> PrivateKey:
    _version, (_, secret), *rest = _elements(_only(der, _SEQUENCE))
    for tag, value in rest:
        if tag == _PARAMETERS and not curve_oid:
            curve_oid = _only(value, _OID)
        elif tag == _POINT:
            public = _only(value, _BITS)[1:]
    if curve_oid not in _CURVES:
        raise _RefusedKey("Schannel takes keys on the curves P-256, P-384 and P-521 only")
    curve = _CURVES[curve_oid]
    if len(public) != 1 + 2 * curve.size or public[0] != 4:  # uncompressed
        raise _RefusedKey(f"the public key is no point on {curve.name}: another certificate?")
    scalar = int.from_bytes(secret, "big").to_bytes(curve.size, "big")
    blob = curve.magic + curve.size.to_bytes(4, "little") + public[1:] + scalar
    return PrivateKey("EC", blob, public)


_READERS: Final[dict[str, Callable[[bytes, bytes], PrivateKey]]] = {
    "PRIVATE KEY": _read_pkcs8,
    "RSA PRIVATE KEY": _read_pkcs1,
    "EC PRIVATE KEY": _read_sec1,
}


# --------------------------------------------------------------------------------------------- DER


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element; ValueError when they do not add up."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if not 0 <= size <= len(data) - at:
            raise ValueError("the data is cut off")
        yield tag, data[at : at + size]
        at += size


def _only(data: bytes, wanted: int) -> bytes:
    """Return the content of the first element, which has to have this tag."""
    tag, content = next(_elements(data))
    if tag != wanted:
        raise ValueError(f"an element has tag {tag:#x} where {wanted:#x} belongs")
    return content


def _size(number: int) -> int:
    return (number.bit_length() + 7) // 8


def _integer(number: int) -> bytes:
    return bytes([_INTEGER]) + _with_length(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _sequence(content: bytes) -> bytes:
    return bytes([_SEQUENCE]) + _with_length(content)


def _with_length(content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([size]) + content
    encoded = size.to_bytes(_size(size), "big")
    return bytes([0x80 | len(encoded)]) + encoded + content
