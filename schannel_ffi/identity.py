"""Certificates with private keys, to present to a peer: frozen values, usable as keys.

Nothing here touches Windows. Files are read when the value is made; the store, the keys and their
passwords are looked at when a connection needs them, and what is wrong is told then, by
`CredentialError`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from schannel_ffi.certificates import split_pem
from schannel_ffi.private_key import PrivateKey, read_private_key

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ClientCertificate", "OwnCertificate", "ServerCertificate"]

_Source = str | os.PathLike[str] | bytes

_THUMBPRINT_SIZES = (20, 32)  # bytes: SHA-1, SHA-256
_DECORATION = re.compile("[\\s:\u200e\u200f\u202a-\u202e\ufeff-]")


@dataclass(frozen=True)
class StoreSource:
    """A certificate of a Windows certificate store.

    Attributes:
        store: the store's name.
        location: "CurrentUser" or "LocalMachine".
        thumbprint: SHA-1 or SHA-256, 20 or 32 bytes; b"": any.
        subject: a part of the subject's text; "": any.
    """

    store: str
    location: str
    thumbprint: bytes
    subject: str


@dataclass(frozen=True)
class PfxSource:
    """A PFX (PKCS #12) file.

    Attributes:
        data: the file.
        password: None: there is none.
        key_scope: "user" or "machine": the key set that keeps the private key meanwhile.
        ephemeral: no key set keeps it.
    """

    data: bytes = field(repr=False)
    password: str | None = field(repr=False)
    key_scope: Literal["user", "machine"] = "user"
    ephemeral: bool = False


@dataclass(frozen=True)
class PemSource:
    """Certificates, leaf first, and the private key of the first."""

    certificates: tuple[bytes, ...] = field(repr=False)
    key: PrivateKey = field(repr=False)
    key_scope: Literal["user", "machine"] = "user"


@dataclass(frozen=True)
class OwnCertificate:
    """A certificate of one's own, with its private key. Make one with a class method of a subclass.

    Attributes:
        source: where it comes from.
    """

    source: StoreSource | PfxSource | PemSource

    @classmethod
    def from_store(
        cls,
        *,
        thumbprint: str | None = None,
        subject: str | None = None,
        store: str = "MY",
        location: str = "CurrentUser",
    ) -> Self:
        r"""Return a certificate of a Windows certificate store; its private key stays where it is.

        Looked for again for each connection, so that a renewed certificate is used as soon as it
        is there. Left out are certificates without private key, out of their validity, for another
        purpose (extended key usage), and those whose key this account may not use; of the others
        the one that is valid longest is taken.

        Args:
            thumbprint: SHA-1 or SHA-256 of the certificate, 40 or 64 hexadecimal digits; spaces,
                colons and the invisible mark that Windows' dialog puts in front are ignored.
            subject: a part of the subject as `Certificate.subject` has it
                ("CN=mail client,O=Example"); ASCII letters match in both cases, everything else
                exactly.
            store: the store's name; "MY" is the one of personal certificates.
            location: "CurrentUser" or "LocalMachine".

        Raises:
            ValueError: none or both of thumbprint and subject, a malformed thumbprint, an unknown
                location, a NUL in a text.

        Source: Microsoft Learn, "System Store Locations".
        """
        if location not in {"CurrentUser", "LocalMachine"}:
            raise ValueError(f"location is CurrentUser or LocalMachine, not {location!r}")
        if (thumbprint is None) == (subject is None):
            raise ValueError("name the certificate by either thumbprint or subject")
        if subject is not None and not subject.strip():
            raise ValueError("subject is empty: that would be any certificate")
        if "\0" in store + (subject or ""):
            raise ValueError(
                "store and subject cannot hold NUL: Windows would not see what follows"
            )
        digest = b"" if thumbprint is None else _read_thumbprint(thumbprint)
        return cls(StoreSource(store, location, digest, subject or ""))

    @classmethod
    def from_pfx(
        cls,
        source: _Source,
        password: str | None,
        *,
        key_scope: Literal["user", "machine"] = "user",
        ephemeral: bool = False,
    ) -> Self:
        """Return the certificate of a PFX (PKCS #12) file.

        While connections may use it, Windows keeps the private key on disk, in a key container of
        ours; it is deleted afterwards, at the end of the process at the latest. What a killed
        process leaves is deleted by the next one that loads such a key. A file with several
        private keys needs exactly one certificate that is valid and meant for the purpose.

        Args:
            source: a path, or the file itself as bytes.
            password: None when there is none; it stays in memory as long as this value.
            key_scope: "user" keeps the key for this account, which needs its profile loaded;
                "machine" needs rights to the machine's keys: administrators and services have them.
            ephemeral: keep the private key in memory only. Windows then fails where its own
                process makes the signature: often with TLS 1.3 and with SHA-2 in TLS 1.2.

        Raises:
            OSError: the file cannot be read.
            ValueError: an unknown key_scope, or machine together with ephemeral.

        Source: RFC 7292; Microsoft Learn, "PFXImportCertStore".
        """
        _check_scope(key_scope)
        if ephemeral and key_scope == "machine":
            raise ValueError("an ephemeral key is in no key set: leave key_scope out")
        return cls(PfxSource(_read(source), password, key_scope, ephemeral))

    @classmethod
    def from_pem(
        cls,
        certificate: _Source,
        key: _Source,
        *,
        key_scope: Literal["user", "machine"] = "user",
    ) -> Self:
        """Return a certificate in PEM, with its private key.

        The key is kept on disk as with `from_pfx`.

        Args:
            certificate: a path, or the PEM itself as bytes; intermediate certificates may follow.
            key: a path, or the PEM itself as bytes; PKCS #8, PKCS #1 or SEC 1, not encrypted; RSA,
                or one of the curves P-256, P-384 and P-521. The file of the certificate will do if
                the key is in there.
            key_scope: as with `from_pfx`.

        Raises:
            OSError: a file cannot be read.
            ValueError: there is no certificate, the key cannot be used, or it belongs to another
                certificate.

        Source: RFC 7468.
        """
        _check_scope(key_scope)
        chain = tuple(dict.fromkeys(split_pem(_read(certificate))))
        if not chain:
            raise ValueError("there is no certificate (-----BEGIN CERTIFICATE-----)")
        return cls(PemSource(chain, read_private_key(_read(key), chain[0]), key_scope))


class ClientCertificate(OwnCertificate):
    """What a client presents to servers that ask; its certificate is for clientAuth."""


class ServerCertificate(OwnCertificate):
    """What a server presents; its certificate is for serverAuth."""


def _read(source: _Source) -> bytes:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    with open(source, "rb") as file:
        return file.read()


def _read_thumbprint(text: str) -> bytes:
    try:
        digest = bytes.fromhex(_DECORATION.sub("", text))
    except ValueError as error:
        raise ValueError(f"a thumbprint has hexadecimal digits only, unlike {text!r}") from error
    if len(digest) not in _THUMBPRINT_SIZES:
        raise ValueError(f"a thumbprint has 40 (SHA-1) or 64 (SHA-256) digits, unlike {text!r}")
    return digest


def _check_scope(key_scope: str) -> None:
    if key_scope not in {"user", "machine"}:
        raise ValueError(f'key_scope is "user" or "machine", not {key_scope!r}')
