"""The settings of a TLS connection: frozen values, equal when they mean the same, usable as keys.

Nothing here touches Windows; `_lib` turns these values into credentials and chain engines, and
keeps those by value.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from schannel_ffi.certificates import split_pem
from schannel_ffi.identity import ClientCertificate, ServerCertificate

__all__ = [
    "ClientAuthentication",
    "ClientCertificate",
    "OnClientCertificate",
    "Renegotiation",
    "Revocation",
    "ServerCertificate",
    "TLSConfig",
    "TLSVersion",
    "TrustStore",
]

MAX_ALPN_NAME = 255  # RFC 7301, 3.1
MAX_ALPN_LIST = 65_535
PIN_PREFIX = "sha256/"
SHA256_BYTES = 32
OnClientCertificate = Callable[[tuple[bytes, ...]], ClientCertificate | None]

MIN_TIMEOUT, MAX_TIMEOUT = 0.001, 86_400.0  # Windows counts milliseconds, and takes 0 for its own


class TLSVersion(enum.IntEnum):
    """A protocol version, numbered as in the handshake (RFC 8446, 4.2.1)."""

    TLSv1 = 0x0301
    TLSv1_1 = 0x0302
    TLSv1_2 = 0x0303
    TLSv1_3 = 0x0304

    def __str__(self) -> str:
        """Return the name as `ssl.SSLSocket.version()` gives it."""
        return self.name.replace("_", ".")


class Revocation(enum.Enum):
    """What to do about certificates that their issuer may have revoked."""

    OFF = "off"
    """Do not ask."""
    BEST_EFFORT = "best effort"
    """Ask; a revoked certificate is refused, one that cannot be found out about is accepted."""
    REQUIRED = "required"
    """Ask; only a certificate known to be good is accepted."""


class Renegotiation(enum.Enum):
    """What a client does when the server wants a second handshake; TLS 1.2 and before only."""

    NEVER = "never"
    """End the connection with an error that says so."""
    ALLOW = "allow"
    """Take part, once in a connection; certificate and ALPN protocol must stay the same."""


class ClientAuthentication(enum.Enum):
    """Whether a server asks its clients for a certificate."""

    NONE = "none"
    """Do not ask."""
    OPTIONAL = "optional"
    """Ask; a client may have none, but one that it shows is verified."""
    REQUIRED = "required"
    """Ask; without one there is no connection."""


@dataclass(frozen=True)
class TrustStore:
    """What a certificate chain may end in. Make it with one of the class methods."""

    roots: tuple[bytes, ...] = field(default=(), repr=False)
    exclusive: bool = True
    store: tuple[str, str] | None = None

    @classmethod
    def system(cls) -> TrustStore:
        """Return the machine's own trust store, with its policies and its on-demand roots."""
        return cls()

    @classmethod
    def from_pem(
        cls, source: str | os.PathLike[str] | bytes, *, exclusive: bool = True
    ) -> TrustStore:
        """Return trust anchors read from PEM.

        Args:
            source: a path, or the PEM itself as bytes; one or more certificates, text around them
                is ignored.
            exclusive: nothing else is trusted; otherwise a chain may end in the machine's roots as
                well.

        Raises:
            OSError: the file cannot be read.
            ValueError: there is no certificate in it.

        Source: RFC 7468, 5.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            pem, name = bytes(source), "the PEM data"
        else:
            name = os.fspath(source)
            with open(name, "rb") as file:
                pem = file.read()
        roots = tuple(dict.fromkeys(split_pem(pem)))
        if not roots:
            raise ValueError(f"{name} holds no certificate (-----BEGIN CERTIFICATE-----)")
        return cls(roots=roots, exclusive=exclusive)

    @classmethod
    def from_store(cls, name: str, location: str = "CurrentUser") -> TrustStore:
        """Return the certificates of a Windows certificate store as the only trust anchors.

        Args:
            name: "Root", "TrustedPeople" or the name of a store of your own.
            location: "CurrentUser" or "LocalMachine".

        Raises:
            ValueError: an unknown location.
        """
        if location not in {"CurrentUser", "LocalMachine"}:
            raise ValueError(f"location is CurrentUser or LocalMachine, not {location!r}")
        return cls(store=(name, location))


@dataclass(frozen=True)
class TLSConfig:
    """How to make a TLS connection. The defaults are safe; what is not has `insecure` in its name.

    Attributes:
        trust: what the peer's certificate chain may end in.
        revocation: whether revoked certificates are looked for.
        revocation_timeout: seconds for all that Windows fetches while it builds the chain (lists,
            OCSP, intermediates). When they are over, only what the machine has already counts.
        client_certificate: what to present to servers that ask for a certificate; None: nothing,
            and never one of Windows' own choice.
        server_certificate: what to present as a server, which needs one.
        minimum_version: nothing older is offered or accepted.
        maximum_version: nothing newer is offered or accepted; None: the newest that Windows has.
        alpn_protocols: names to offer, most wanted first, as str (ASCII) or bytes.
        pins: keys of which the peer's own certificate must have one, besides all else: "sha256/"
            and the base64 of the SHA-256 of its SubjectPublicKeyInfo (`Certificate.pin`, RFC 7469,
            2.4; what curl's --pinnedpubkey takes, with one slash). The keys of its issuers do not
            count. Pin the key that comes next as well, or its first day locks you out. Pins hold
            with `insecure_skip_verify`, too: then the key alone says who the peer is.
        on_client_certificate: called when a server asks for a certificate and `client_certificate`
            is None: with the names of the authorities it accepts (X.500 names, DER, as it sent
            them; often none), for what to present or None. It runs in the thread whose call met
            the request, with no lock held, and may use the connection; the call's deadline goes
            on meanwhile. What it raises comes out of that call and ends the connection; of a
            `TLSEngine` the request stays. Two configs with the same function are equal.
        client_authentication: as a server, whether clients are asked for a certificate; those are
            verified against `trust`, for which your own authorities should stand.
        resume: let sessions be resumed, which saves a part of the handshake. Windows keeps them
            for the process, by server name and credential.
        renegotiation: as a client, what to do when the server wants a second handshake.
        require_close_notify: an end of TCP without close_notify raises `TruncatedStream`; otherwise
            it is taken for the end of the stream when it falls between two records.
        insecure_skip_verify: accept any certificate for any name. Without `pins`, whoever sits on
            the way can read and change all.
        insecure_weak_crypto: do not ask Windows to leave out algorithms that it counts as weak.
    """

    trust: TrustStore = field(default_factory=TrustStore.system)
    revocation: Revocation = Revocation.BEST_EFFORT
    revocation_timeout: float = 10.0
    client_certificate: ClientCertificate | None = None
    server_certificate: ServerCertificate | None = None
    minimum_version: TLSVersion = TLSVersion.TLSv1_2
    maximum_version: TLSVersion | None = None
    alpn_protocols: tuple[str | bytes, ...] = ()
    pins: tuple[str, ...] = ()
    on_client_certificate: OnClientCertificate | None = None
    client_authentication: ClientAuthentication = ClientAuthentication.NONE
    resume: bool = True
    renegotiation: Renegotiation = Renegotiation.NEVER
    require_close_notify: bool = True
    insecure_skip_verify: bool = False
    insecure_weak_crypto: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked before a connection is made.

        Raises:
            ValueError: an empty version range, a malformed ALPN name or pin, an impossible time,
                two ways to a client certificate.
            TypeError: a single ALPN name or pin instead of a sequence, a certificate of the other
                role.
        """
        names: object = self.alpn_protocols
        if isinstance(names, str | bytes):
            raise TypeError('alpn_protocols is a sequence of names: ("h2",)')
        for own, kind in (
            (self.client_certificate, ClientCertificate),
            (self.server_certificate, ServerCertificate),
        ):
            if not isinstance(own, kind | None):
                raise TypeError(f"a {kind.__name__} belongs here, not a {type(own).__name__}")
        pins: object = self.pins
        if isinstance(pins, str | bytes):
            raise TypeError('pins is a sequence: ("sha256/...",)')
        object.__setattr__(self, "alpn_protocols", tuple(self.alpn_protocols))
        object.__setattr__(self, "pins", tuple(self.pins))
        if self.maximum_version is not None and self.maximum_version < self.minimum_version:
            raise ValueError(
                f"maximum_version {self.maximum_version} is below {self.minimum_version}"
            )
        if not MIN_TIMEOUT <= self.revocation_timeout <= MAX_TIMEOUT:
            raise ValueError(f"revocation_timeout is {MIN_TIMEOUT}..{MAX_TIMEOUT} seconds")
        if self.client_certificate is not None and self.on_client_certificate is not None:
            raise ValueError("client_certificate and on_client_certificate exclude each other")
        self.alpn_wire_format()
        self.pin_digests()

    def pin_digests(self) -> tuple[bytes, ...]:
        """Return what is behind the pins: 32 bytes each."""
        return tuple(_pin_digest(pin) for pin in self.pins)

    def versions(self) -> tuple[TLSVersion, ...]:
        """Return the versions of the range, oldest first."""
        highest = self.maximum_version or max(TLSVersion)
        return tuple(
            version for version in TLSVersion if self.minimum_version <= version <= highest
        )

    def alpn_wire_format(self) -> bytes:
        """Return the ALPN names as the handshake has them (RFC 7301, 3.1)."""
        names = [
            name.encode("ascii") if isinstance(name, str) else bytes(name)
            for name in self.alpn_protocols
        ]
        for name in names:
            if not 1 <= len(name) <= MAX_ALPN_NAME:
                raise ValueError(
                    f"an ALPN protocol name has 1..{MAX_ALPN_NAME} bytes, not {len(name)}"
                )
        wire = b"".join(bytes([len(name)]) + name for name in names)
        if len(wire) > MAX_ALPN_LIST:
            raise ValueError("the ALPN protocol names are too long together")
        return wire


def _pin_digest(pin: str) -> bytes:
    prefix, text = str(pin)[: len(PIN_PREFIX)], str(pin)[len(PIN_PREFIX) :]
    digest = b""
    with contextlib.suppress(ValueError):
        digest = base64.b64decode(text, validate=True)
    if prefix != PIN_PREFIX or len(digest) != SHA256_BYTES:
        raise ValueError(f"a pin is {PIN_PREFIX!r} and the base64 of 32 bytes, not {pin!r}")
    return digest
