"""ClientCertificate and ServerCertificate as values, and private keys in PEM. Runs everywhere."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certs import Certificates, Identity
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from schannel_ffi import ClientCertificate, ServerCertificate, TLSConfig
from schannel_ffi.identity import OwnCertificate, PemSource, StoreSource
from schannel_ffi.private_key import public_key_of_certificate, read_private_key

SHA1 = "0123456789abcdef0123456789abcdef01234567"
FORMATS = {
    "pkcs8": serialization.PrivateFormat.PKCS8,
    "traditional": serialization.PrivateFormat.TraditionalOpenSSL,  # PKCS #1, SEC 1
}


def key_of(identity: Identity) -> Any:
    return serialization.load_pem_private_key(identity.key_pem, password=None)


def pem_of(key: Any, form: str = "pkcs8", password: bytes = b"") -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, FORMATS[form], encryption)
    return pem


def der_of(identity: Identity) -> bytes:
    return identity.leaf.public_bytes(serialization.Encoding.DER)


# --------------------------------------------------------------------------------- private keys


@pytest.mark.parametrize("form", FORMATS)
def test_rsa_key_becomes_cngs_blob(certificates: Certificates, form: str) -> None:
    numbers = key_of(certificates.client_rsa).private_numbers()

    key = read_private_key(
        pem_of(key_of(certificates.client_rsa), form), der_of(certificates.client_rsa)
    )

    header = [2048, 3, 256, 128, 128]  # bits; bytes of exponent, modulus and the two primes
    public = numbers.public_numbers
    parts = [(public.e, 3), (public.n, 256), (numbers.p, 128), (numbers.q, 128)]
    parts += [(numbers.dmp1, 128), (numbers.dmq1, 128), (numbers.iqmp, 128), (numbers.d, 256)]
    blob = b"RSA3" + b"".join(each.to_bytes(4, "little") for each in header)
    assert blob + b"".join(each.to_bytes(size, "big") for each, size in parts) == key.blob
    assert "RSA" == key.kind


CURVES: dict[str, tuple[Callable[[], ec.EllipticCurve], bytes, int]] = {
    "p256": (ec.SECP256R1, b"ECS2", 32),
    "p384": (ec.SECP384R1, b"ECS4", 48),
    "p521": (ec.SECP521R1, b"ECS6", 66),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("curve", CURVES)
def test_ec_key_becomes_cngs_blob(certificates: Certificates, form: str, curve: str) -> None:
    make, magic, size = CURVES[curve]
    private = ec.generate_private_key(make())
    identity = certificates._odd(key=private)

    key = read_private_key(pem_of(private, form), der_of(identity))

    point = private.public_key().public_numbers()
    numbers = [point.x, point.y, private.private_numbers().private_value]
    wanted = magic + size.to_bytes(4, "little") + b"".join(n.to_bytes(size, "big") for n in numbers)
    assert ("EC", wanted) == (key.kind, key.blob)


def test_ec_key_without_its_public_half(certificates: Certificates) -> None:
    private = key_of(certificates.client_ec)
    whole = read_private_key(pem_of(private), der_of(certificates.client_ec))
    secret = private.private_numbers().private_value.to_bytes(32, "big")
    curve = bytes.fromhex("a00a06082a8648ce3d030107")
    inner = b"\x02\x01\x01\x04\x20" + secret + curve
    pem = _pem("EC PRIVATE KEY", b"\x30" + bytes([len(inner)]) + inner)

    key = read_private_key(pem, der_of(certificates.client_ec))

    assert whole == key


def _pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def test_public_key_is_found_in_every_kind_of_certificate(certificates: Certificates) -> None:
    for identity in (certificates.client_rsa, certificates.client_ec, certificates.big):
        encoded = identity.leaf.public_key()
        form = serialization.PublicFormat.PKCS1
        if isinstance(encoded, ec.EllipticCurvePublicKey):
            form = serialization.PublicFormat.UncompressedPoint
        encoding = serialization.Encoding
        kind = encoding.DER if form is serialization.PublicFormat.PKCS1 else encoding.X962

        assert encoded.public_bytes(kind, form) == public_key_of_certificate(der_of(identity))


UNUSABLE: dict[str, tuple[Callable[[Certificates], bytes], str]] = {
    "nothing": (lambda _: b"", "no private keys"),
    "two": (lambda c: 2 * c.client_rsa.key_pem, "2 private keys"),
    "certificate": (lambda c: c.client_rsa.chain_pem, "no private keys"),
    "another_ones": (lambda c: c.other_client_rsa.key_pem, "another certificate"),
    "of_another_kind": (lambda c: c.client_ec.key_pem, "another certificate"),
    "encrypted": (lambda c: pem_of(key_of(c.client_rsa), password=b"x"), "encrypted"),
    "encrypted_traditionally": (
        lambda c: pem_of(key_of(c.client_rsa), "traditional", b"x"),
        "encrypted",
    ),
    "ed25519": (lambda _: pem_of(ed25519.Ed25519PrivateKey.generate()), "Schannel takes"),
    "odd_curve": (lambda _: pem_of(ec.generate_private_key(ec.SECP256K1())), "Schannel takes"),
    "dsa": (lambda _: _pem("DSA PRIVATE KEY", b"\x30\x00"), "DSA PRIVATE KEY"),
    "empty": (lambda _: _pem("PRIVATE KEY", b""), "malformed"),
    "no_base64": (lambda _: _pem("PRIVATE KEY", b"0").replace(b"=", b"!"), "malformed"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_key_is_refused_with_the_reason(certificates: Certificates, what: str) -> None:
    make, reason = UNUSABLE[what]

    with pytest.raises(ValueError, match=reason):
        ClientCertificate.from_pem(certificates.client_rsa.chain_pem, make(certificates))


def test_key_cut_off_anywhere_is_malformed(certificates: Certificates) -> None:
    for identity in (certificates.client_rsa, certificates.client_ec):
        der = key_of(identity).private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificate = der_of(identity)
        for end in range(len(der)):
            with pytest.raises(ValueError, match=r"malformed|Schannel takes|another|no point"):
                read_private_key(_pem("PRIVATE KEY", der[:end]), certificate)


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_certificate_that_is_none_is_refused(certificates: Certificates, position: int) -> None:
    der = der_of(certificates.client_rsa)

    with pytest.raises(ValueError, match="malformed"):
        public_key_of_certificate(der[:position])


# --------------------------------------------------------------------------------------- values


def test_files_and_bytes_mean_the_same(certificates: Certificates, tmp_path: Path) -> None:
    own = certificates.client_rsa
    both, key, pfx = tmp_path / "both.pem", tmp_path / "key.pem", tmp_path / "own.pfx"
    both.write_bytes(own.key_pem + own.chain_pem)
    key.write_bytes(own.key_pem)
    pfx.write_bytes(b"PFX")

    of_bytes = ClientCertificate.from_pem(own.chain_pem, own.key_pem)

    assert of_bytes == ClientCertificate.from_pem(both, key)
    assert of_bytes == ClientCertificate.from_pem(str(both), both)
    assert ClientCertificate.from_pfx(pfx, "x") == ClientCertificate.from_pfx(b"PFX", "x")


def test_intermediates_follow_the_certificate(certificates: Certificates) -> None:
    own = certificates.client_under_intermediate

    source = ClientCertificate.from_pem(own.chain_pem, own.key_pem).source

    assert isinstance(source, PemSource)
    wanted = [each.public_bytes(serialization.Encoding.DER) for each in own.chain]
    assert (2, wanted) == (len(own.chain), list(source.certificates))


UNEQUAL: list[Callable[[], OwnCertificate]] = [
    lambda: ClientCertificate.from_pfx(b"1", "x"),
    lambda: ClientCertificate.from_pfx(b"2", "x"),
    lambda: ClientCertificate.from_pfx(b"1", "y"),
    lambda: ClientCertificate.from_pfx(b"1", None),
    lambda: ClientCertificate.from_pfx(b"1", ""),
    lambda: ClientCertificate.from_pfx(b"1", "x", key_scope="machine"),
    lambda: ClientCertificate.from_pfx(b"1", "x", ephemeral=True),
    lambda: ServerCertificate.from_pfx(b"1", "x"),
    lambda: ClientCertificate.from_store(subject="a"),
    lambda: ClientCertificate.from_store(subject="A"),
    lambda: ClientCertificate.from_store(subject="a", store="Other"),
    lambda: ClientCertificate.from_store(subject="a", location="LocalMachine"),
    lambda: ClientCertificate.from_store(thumbprint=SHA1),
]


def test_values_are_equal_when_they_mean_the_same() -> None:
    one, other = ([make() for make in UNEQUAL] for _ in range(2))

    assert one == other  # B12
    assert len(UNEQUAL) == len({*one, *other})


def test_secrets_are_not_shown(certificates: Certificates) -> None:
    own = certificates.client_rsa
    values = [
        ClientCertificate.from_pfx(b"the file", "the password"),
        ClientCertificate.from_pem(own.chain_pem, own.key_pem),
    ]

    for value in values:
        shown = repr(TLSConfig(client_certificate=value)) + str(value)
        assert not [secret for secret in ("the file", "the password", "RSA3") if secret in shown]


def test_values_cross_a_process_boundary(certificates: Certificates) -> None:
    own = certificates.client_rsa
    value = ClientCertificate.from_pem(own.chain_pem, own.key_pem)

    assert value == pickle.loads(pickle.dumps(value))  # our own


@pytest.mark.parametrize(
    "text",
    [
        SHA1,
        SHA1.upper(),
        "\u200e" + SHA1,
        " ".join(SHA1[at : at + 2] for at in range(0, 40, 2)),
        ":".join(SHA1[at : at + 2] for at in range(0, 40, 2)),
    ],
    ids=["plain", "upper", "as_windows_dialog_has_it", "spaces", "colons"],
)
def test_thumbprint_may_be_decorated(text: str) -> None:
    source = ClientCertificate.from_store(thumbprint=text).source

    assert isinstance(source, StoreSource)
    assert bytes.fromhex(SHA1) == source.thumbprint


WRONG: list[dict[str, Any]] = [
    {},
    {"thumbprint": SHA1, "subject": "a"},
    {"thumbprint": ""},
    {"thumbprint": SHA1[:-2]},
    {"thumbprint": SHA1 + "00"},
    {"thumbprint": "g" * 40},
    {"subject": ""},
    {"subject": "  "},
    {"subject": "\0mail"},
    {"subject": "a", "store": "MY\0Root"},
    {"subject": "a", "location": "Services"},
]


@pytest.mark.parametrize("arguments", WRONG)
def test_unclear_certificate_of_a_store_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"thumbprint|subject|location|NUL"):
        ClientCertificate.from_store(**arguments)


def test_key_scope_is_checked() -> None:
    with pytest.raises(ValueError, match="key_scope"):
        ClientCertificate.from_pfx(b"", None, key_scope="all")  # type: ignore[arg-type]  # wrong
    with pytest.raises(ValueError, match="ephemeral"):
        ClientCertificate.from_pfx(b"", None, key_scope="machine", ephemeral=True)


def test_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ClientCertificate.from_pfx(tmp_path / "none.pfx", None)
    with pytest.raises(FileNotFoundError):
        ClientCertificate.from_pem(tmp_path / "none.pem", b"")


def test_pem_without_certificate_is_refused(certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        ClientCertificate.from_pem(b"", certificates.client_rsa.key_pem)


def test_roles_do_not_mix() -> None:
    server = ServerCertificate.from_store(subject="a")

    with pytest.raises(TypeError, match="ClientCertificate"):
        TLSConfig(client_certificate=server)  # type: ignore[arg-type]  # on purpose
