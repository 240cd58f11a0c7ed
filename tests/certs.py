"""Certificates for the tests: `Certificates().expired`, made on first use and kept for the session.

trustme makes the ordinary certification authorities; what a sane authority would never sign is
built with `cryptography` and the authority's key. Every property is one situation and gives an
`Identity`: what the server presents, and the trust anchor under which the client should judge it.
Keys are P-256 (fast) unless the name says so.

Always true here: a good certificate is for `HOST`; each bad one is bad in exactly one way; nothing
stays on disk.
"""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import (
    AuthorityInformationAccessOID,
    ExtendedKeyUsageOID,
    NameOID,
)

HOST = "server.test"
IDN_HOST = "bücher.test"
IDN_A_LABEL = "xn--bcher-kva.test"

_T = TypeVar("_T")
_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_UNKNOWN_EXTENSION = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.59999.1"), b"\x05\x00"
)
_LONG_AGO = datetime.datetime(2020, 1, 1)
_NOT_SO_LONG_AGO = datetime.datetime(2021, 1, 1)
_FAR_FUTURE = datetime.datetime(2045, 1, 1)
_FARTHER_FUTURE = datetime.datetime(2046, 1, 1)


@dataclass(frozen=True)
class Identity:
    """What a server presents, and what its client is told to trust.

    chain_pem: the certificates as sent, leaf first; anchor_pem: the client's trust anchors.
    """

    chain_pem: bytes
    key_pem: bytes
    anchor_pem: bytes

    def __post_init__(self) -> None:
        _made[self.leaf_der] = self

    @property
    def chain(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.chain_pem)

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def leaf_der(self) -> bytes:
        end = "-----END CERTIFICATE-----\n"
        return ssl.PEM_cert_to_DER_cert(self.chain_pem.decode("ascii").split(end)[0] + end)

    def server_context(self) -> ssl.SSLContext:
        """Return a stdlib server context that presents this identity."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _tell_every_end(context)
        if _is_weak(self.leaf):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self.present_in(context)
        return context

    def present_in(self, context: ssl.SSLContext) -> None:
        """Have a stdlib context present this identity."""
        with _TemporaryFile(self.key_pem + self.chain_pem) as path:
            context.load_cert_chain(path)

    def client_context(self) -> ssl.SSLContext:
        """Return a stdlib client context that trusts this identity's anchor alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _tell_every_end(context)
        context.hostname_checks_common_name = False
        context.load_verify_locations(cadata=self.anchor_pem.decode("ascii"))
        return context


_made: dict[bytes, Identity] = {}


def identity_of(leaf_der: bytes) -> Identity | None:
    """Return the identity that was made with this certificate, and so its key."""
    return _made.get(leaf_der)


def _tell_every_end(context: ssl.SSLContext) -> None:
    """Have OpenSSL 3 tell an end without close_notify; some Pythons have it ignored by default."""
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)


@dataclass(frozen=True)
class Issuer:
    """A certificate and the key that signs for it; `chain` leads to the anchor, left out."""

    certificate: x509.Certificate
    key: _PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @classmethod
    def from_trustme(cls, ca: trustme.CA) -> Issuer:
        certificate = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
        key = serialization.load_pem_private_key(ca.private_key_pem.bytes(), password=None)
        assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
        chain = (certificate, *cls.from_trustme(ca.parent_cert).chain) if ca.parent_cert else ()
        return cls(certificate, key, chain)


class Certificates:
    """All the situations; each property is made once."""

    @cached_property
    def ca(self) -> trustme.CA:
        return _new_ca()

    @cached_property
    def other_ca(self) -> trustme.CA:
        return _new_ca()

    @cached_property
    def root(self) -> Issuer:
        return Issuer.from_trustme(self.ca)

    # --- good ones ---------------------------------------------------------------------------

    @cached_property
    def good(self) -> Identity:
        return self._trustme(HOST)

    @cached_property
    def good_rsa(self) -> Identity:
        return self._trustme(HOST, key_type=trustme.KeyType.RSA)

    @cached_property
    def ip_address(self) -> Identity:
        return self._trustme("127.0.0.1", "::1")

    @cached_property
    def wildcard(self) -> Identity:
        return self._trustme("*.server.test")

    @cached_property
    def many_names(self) -> Identity:
        return self._trustme(*(f"name-{number}.test" for number in range(100)), HOST)

    @cached_property
    def big(self) -> Identity:
        """A Certificate message over 16 KiB, so that it spans two records."""
        return self._trustme(
            *(f"a-rather-long-name-number-{number:04}.test" for number in range(500)), HOST
        )

    @cached_property
    def idn(self) -> Identity:
        return self._trustme(IDN_A_LABEL)

    @cached_property
    def intermediate(self) -> Identity:
        return self._trustme(HOST, ca=self._child_ca)

    @cached_property
    def name_constraints_kept(self) -> Identity:
        return self._constrained_to(HOST)

    @cached_property
    def any_usage(self) -> Identity:
        return self._odd(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])

    # --- wrong time, name, usage -------------------------------------------------------------

    @cached_property
    def expired(self) -> Identity:
        return self._trustme(HOST, not_before=_LONG_AGO, not_after=_NOT_SO_LONG_AGO)

    @cached_property
    def not_yet_valid(self) -> Identity:
        return self._trustme(HOST, not_before=_FAR_FUTURE, not_after=_FARTHER_FUTURE)

    @cached_property
    def wrong_name(self) -> Identity:
        return self._trustme("somebody-else.test")

    @cached_property
    def name_only_in_subject(self) -> Identity:
        return self._odd(names=())

    @cached_property
    def ip_address_as_dns_name(self) -> Identity:
        return self._odd(names=[x509.DNSName("127.0.0.1")])

    @cached_property
    def partial_wildcard(self) -> Identity:
        return self._odd(names=[x509.DNSName("s*.server.test")])

    @cached_property
    def nul_in_name(self) -> Identity:
        return self._odd(names=[x509.DNSName(f"{HOST}\0.evil.test")])

    @cached_property
    def client_only(self) -> Identity:
        return self._odd(usages=[ExtendedKeyUsageOID.CLIENT_AUTH])

    @cached_property
    def name_constraints_broken(self) -> Identity:
        return self._constrained_to("permitted.test")

    @cached_property
    def critical_unknown_extension(self) -> Identity:
        return self._odd(extensions=[_UNKNOWN_EXTENSION])

    # --- wrong chain -------------------------------------------------------------------------

    @cached_property
    def unknown_ca(self) -> Identity:
        """Signed by an authority that the client does not trust; the server sends it along."""
        good = self.good
        root_pem = self.ca.cert_pem.bytes()
        return Identity(good.chain_pem + root_pem, good.key_pem, self.other_ca.cert_pem.bytes())

    @cached_property
    def unknown_ca_not_sent(self) -> Identity:
        return self._trustme(HOST, anchor=self.other_ca)

    @cached_property
    def self_signed(self) -> Identity:
        key = _new_key()
        certificate = _build(HOST, key, None, names=[x509.DNSName(HOST)])
        return Identity(_pem(certificate), _key_pem(key), self.ca.cert_pem.bytes())

    @cached_property
    def self_signed_trusted(self) -> Identity:
        return Identity(
            self.self_signed.chain_pem, self.self_signed.key_pem, self.self_signed.chain_pem
        )

    @cached_property
    def missing_intermediate(self) -> Identity:
        whole = self.intermediate
        return Identity(_pem(whole.leaf), whole.key_pem, whole.anchor_pem)

    @cached_property
    def leaf_as_ca(self) -> Identity:
        """Signed by a certificate that is no authority (basicConstraints CA:FALSE)."""
        key = _new_key()
        no_authority = _build(
            "no-authority.test", key, self.root, names=[x509.DNSName("no-authority.test")]
        )
        return self._odd(issuer=Issuer(no_authority, key, (no_authority,)))

    @cached_property
    def tampered(self) -> Identity:
        """One bit of the authority's signature is turned over."""
        good = self._odd()
        der = bytearray(good.leaf.public_bytes(serialization.Encoding.DER))
        der[-1] ^= 1
        return Identity(
            _pem(x509.load_der_x509_certificate(bytes(der))), good.key_pem, good.anchor_pem
        )

    @cached_property
    def weak_key(self) -> Identity:
        return self._odd(key=rsa.generate_private_key(public_exponent=65537, key_size=1024))

    @cached_property
    def server_role(self) -> Identity:
        """What our own servers present: RSA, as Wine takes it."""
        return self._odd(key=new_rsa_key())

    # --- what a client presents --------------------------------------------------------------

    @cached_property
    def client_rsa(self) -> Identity:
        return self._client("a mail client")

    @cached_property
    def other_client_rsa(self) -> Identity:
        return self._client("another mail client")

    @cached_property
    def client_ec(self) -> Identity:
        return self._odd(usages=[ExtendedKeyUsageOID.CLIENT_AUTH], name="a mail client")

    @cached_property
    def client_under_intermediate(self) -> Identity:
        return self._client("a mail client", issuer=Issuer.from_trustme(self._child_ca))

    @cached_property
    def client_expired(self) -> Identity:
        return self._client("an old mail client", not_after=_NOT_SO_LONG_AGO)

    @cached_property
    def client_not_yet_valid(self) -> Identity:
        return self._client("a future mail client", not_before=_FAR_FUTURE)

    @cached_property
    def unknown_ca_client(self) -> Identity:
        return self._client("a stranger", issuer=Issuer.from_trustme(self.other_ca))

    @cached_property
    def server_rsa_only(self) -> Identity:
        """No certificate for a client: serverAuth alone."""
        return self._client("a server", usages=[ExtendedKeyUsageOID.SERVER_AUTH])

    def _client(
        self,
        name: str,
        *,
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        **how: Any,
    ) -> Identity:
        return self._odd(key=new_rsa_key(), names=(), usages=usages, name=name, **how)

    def fetching(self, url: str) -> Identity:
        """Names `url` wherever a client may want to fetch: CRL, OCSP, and its own issuer."""
        name = x509.UniformResourceIdentifier(url)
        points = [x509.DistributionPoint([name], None, None, None)]
        access = [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, name),
            x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, name),
        ]
        extensions = [x509.CRLDistributionPoints(points), x509.AuthorityInformationAccess(access)]
        return self._odd(ordinary=extensions)

    # --- how they are made -------------------------------------------------------------------

    @cached_property
    def _child_ca(self) -> trustme.CA:
        return _new_ca(self.ca)

    def _trustme(
        self,
        *names: str,
        ca: trustme.CA | None = None,
        anchor: trustme.CA | None = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        key_type: trustme.KeyType = trustme.KeyType.ECDSA,
    ) -> Identity:
        ca = ca or self.ca
        leaf = _until_plain(
            lambda: ca.issue_cert(
                *names, not_before=not_before, not_after=not_after, key_type=key_type
            ),
            lambda leaf: leaf.cert_chain_pems[0],
        )
        chain_pem = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return Identity(
            chain_pem, leaf.private_key_pem.bytes(), (anchor or self.ca).cert_pem.bytes()
        )

    def _odd(
        self,
        *,
        issuer: Issuer | None = None,
        key: _PrivateKey | None = None,
        names: Sequence[x509.GeneralName] = (x509.DNSName(HOST),),
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
        extensions: Sequence[x509.ExtensionType] = (),
        ordinary: Sequence[x509.ExtensionType] = (),
        name: str = HOST,
        not_before: datetime.datetime = _LONG_AGO,
        not_after: datetime.datetime = _FAR_FUTURE,
    ) -> Identity:
        key, issuer = key or _new_key(), issuer or self.root
        leaf = _build(
            name,
            key,
            issuer,
            names=names,
            usages=usages,
            critical=extensions,
            ordinary=ordinary,
            valid=(not_before, max(not_before + datetime.timedelta(days=1), not_after)),
        )
        return Identity(_pem(leaf, *issuer.chain), _key_pem(key), self.ca.cert_pem.bytes())

    def _constrained_to(self, domain: str) -> Identity:
        key = _new_key()
        constraints = x509.NameConstraints(
            permitted_subtrees=[x509.DNSName(domain)], excluded_subtrees=None
        )
        certificate = _build("Constrained CA", key, self.root, is_ca=True, critical=[constraints])
        return self._odd(issuer=Issuer(certificate, key, (certificate,)))


def _build(
    common_name: str,
    key: _PrivateKey,
    issuer: Issuer | None,
    *,
    names: Sequence[x509.GeneralName] = (),
    usages: Sequence[x509.ObjectIdentifier] = (),
    critical: Sequence[x509.ExtensionType] = (),
    ordinary: Sequence[x509.ExtensionType] = (),
    is_ca: bool = False,
    valid: tuple[datetime.datetime, datetime.datetime] = (_LONG_AGO, _FAR_FUTURE),
) -> x509.Certificate:
    """Build a certificate; without an issuer it signs itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    for extension in critical:
        builder = builder.add_extension(extension, critical=True)
    for extension in ordinary:
        builder = builder.add_extension(extension, critical=False)
    if isinstance(signer, rsa.RSAPrivateKey):
        return builder.sign(signer, hashes.SHA256())
    return _until_plain(
        lambda: builder.sign(signer, hashes.SHA256()),
        lambda certificate: trustme.Blob(_pem(certificate)),
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not is_ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _new_ca(parent: trustme.CA | None = None) -> trustme.CA:
    return _until_plain(
        parent.create_child_ca if parent else trustme.CA, lambda authority: authority.cert_pem
    )


def _until_plain(make: Callable[[], _T], pem_of: Callable[[_T], trustme.Blob]) -> _T:
    """Make certificates until the two numbers of the ECDSA signature have their full 32 bytes.

    Wine 8 does not fill up shorter ones (one signature in 128) and calls the signature bad
    (crypt32/cert.c, CNG_PrepareSignatureECC); Windows takes them all.
    """
    while True:
        made = make()
        certificate = x509.load_pem_x509_certificate(pem_of(made).bytes())
        if min(number.bit_length() for number in decode_dss_signature(certificate.signature)) > 248:
            return made


def new_rsa_key() -> rsa.RSAPrivateKey:
    """Return an RSA-2048 key that Wine imports: its private numbers have all their bytes.

    Wine 8 and 10 do not fill up a shorter exponent or coefficient (one key in 15), and then fail
    in the import or the signature (rsaenh, import_private_key); Windows takes them all.
    """
    while True:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = key.private_numbers()
        halves = (numbers.dmp1, numbers.dmq1, numbers.iqmp)
        if numbers.d.bit_length() > 2040 and min(map(int.bit_length, halves)) > 1016:
            return key


def pfx(
    identity: Identity,
    password: bytes | None,
    *others: Identity,
    with_key: bool = True,
    friendly_name: bytes | None = None,
) -> bytes:
    """Return a PKCS #12 file with the identity, its chain, and the certificates of others.

    Encrypted as all Windows and Wine read it (triple DES); without a password, not at all.
    """
    key = serialization.load_pem_private_key(identity.key_pem, password=None)
    assert isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey))
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = (
            serialization.PrivateFormat.PKCS12.encryption_builder()
            .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())
            .kdf_rounds(2000)
            .build(password)
        )
    more = [*identity.chain[1:], *(each.leaf for each in others)]
    if not with_key:
        more.insert(0, identity.leaf)
    return pkcs12.serialize_key_and_certificates(
        friendly_name,
        key if with_key else None,
        identity.leaf if with_key else None,
        more,
        encryption,
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _key_pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _is_weak(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    return isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048


class _TemporaryFile:
    """A file with `data` while the block runs; Windows cannot reopen a NamedTemporaryFile."""

    def __init__(self, data: bytes) -> None:
        handle, self._path = tempfile.mkstemp(suffix=".pem")
        with open(handle, "wb") as file:
            file.write(data)

    def __enter__(self) -> str:
        return self._path

    def __exit__(self, *exc_info: object) -> None:
        os.unlink(self._path)
