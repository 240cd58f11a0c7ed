"""Pinned keys: what is pinned, when it counts, what is told (row 46); and clients as peers (43).

Above, fake crypt32 and fake SSPI, no network; below, real servers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certs import HOST, Certificates, Identity
from clients import Connector
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fake_sspi import FakeSSPI
from fake_sspi_types import signed
from fake_system import UNTRUSTED_ROOT, Chain, FakeSystem
from loopback import TLSServer
from scripted_engine import MakeEngine
from scripted_judge import BEST_EFFORT, OFF, REQUIRED, SAN, Judge, Verdict

from schannel_ffi import CertificateError, TLSConfig, _lib
from schannel_ffi.errors import CertificateReason

pytest_plugins = ["scripted_fixtures"]

StartTLS = Callable[..., TLSServer]

CRYPT_E_HASH_VALUE = signed(0x80091007)
OTHER_PIN = hashlib.sha256(b"another key").digest()
EMPTY_PIN = hashlib.sha256(b"").digest()
CLIENT_AUTH, SERVER_AUTH = b"1.3.6.1.5.5.7.3.2", b"1.3.6.1.5.5.7.3.1"
AUTHTYPE_CLIENT, AUTHTYPE_SERVER = 1, 2


def key_digest(certificate: x509.Certificate) -> bytes:
    """Return what a pin of the certificate stands for."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).digest()


def pin(digest: bytes) -> str:
    return "sha256/" + base64.b64encode(digest).decode("ascii")


def der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


# ------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "sha256/",
        "sha256/" + "A" * 43,
        "sha256//" + "A" * 43 + "=",  # curl's
        "sha1/" + "A" * 43 + "=",
        "SHA256/" + "A" * 43 + "=",
        "A" * 43 + "=",
        "sha256/" + "A" * 42 + "==",  # 31 bytes
        "sha256/" + "A" * 44,  # 33 bytes
        "sha256/" + "-_" * 21 + "A=",  # the alphabet for URLs
        "sha256/" + " " + "A" * 43 + "=",
        "sha256/" + "é" * 43 + "=",
        OTHER_PIN.hex(),
    ],
)
def test_malformed_pin_is_refused_at_once(wrong: str) -> None:
    with pytest.raises(ValueError, match="sha256/"):
        TLSConfig(pins=(pin(OTHER_PIN), wrong))


def test_single_pin_is_no_sequence() -> None:
    with pytest.raises(TypeError, match="sequence"):
        TLSConfig(pins=pin(OTHER_PIN))  # type: ignore[arg-type]  # the mistake itself


def test_pins_are_a_value() -> None:
    pins = [pin(OTHER_PIN), pin(EMPTY_PIN)]

    config = TLSConfig(pins=pins)  # type: ignore[arg-type]  # any sequence will do

    assert (TLSConfig(pins=tuple(pins)), (OTHER_PIN, EMPTY_PIN)) == (config, config.pin_digests())
    assert hash(config) != hash(TLSConfig())


# --------------------------------------------------------------------------------------- scripted


@pytest.fixture
def judge(sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine) -> Iterator[Judge]:
    judge = Judge(sspi, system, make_engine)
    yield judge
    judge.close()


def verdict_on(
    judge: Judge, der: bytes | None, *pins: bytes, chain: Chain | None = None, **config: Any
) -> Verdict:
    if chain is not None:
        judge.system.chains.append(chain)
    make = None if der is None else lambda: judge.system.certificate(SAN, der=der)
    engine = judge.engine(make)
    pinned = judge.ffi.new("uint8_t[]", b"".join(pins))
    job = judge.start(engine, pins=pinned, pin_count=len(pins), **config)
    verdict = judge.wait(job)
    judge.lib.schan_verification_free(job)
    engine.free()
    assert verdict is not None
    return verdict


GOOD = Verdict("NONE", 0, 0, 0)
MISMATCH = Verdict("PIN_MISMATCH", CRYPT_E_HASH_VALUE, 0, 0)
SITUATIONS = ["good", "good_rsa", "many_names", "big", "self_signed", "tampered"]


@pytest.mark.schannel
@pytest.mark.parametrize("situation", SITUATIONS)
def test_pin_is_the_digest_of_the_key(
    judge: Judge, certificates: Certificates, situation: str
) -> None:
    leaf = getattr(certificates, situation).leaf

    verdict = verdict_on(judge, der_of(leaf), key_digest(leaf))  # 46

    assert GOOD == verdict


@pytest.mark.schannel
def test_other_key_is_refused_though_the_chain_is_good(
    judge: Judge, certificates: Certificates
) -> None:
    der = der_of(certificates.good.leaf)

    assert MISMATCH == verdict_on(judge, der, OTHER_PIN)  # 46
    assert 1 == len(judge.system.requests)


@pytest.mark.schannel
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_of_several_pins_suffices(judge: Judge, certificates: Certificates, at: int) -> None:
    leaf = certificates.good.leaf
    pins = [OTHER_PIN, EMPTY_PIN]
    pins.insert(at, key_digest(leaf))

    assert GOOD == verdict_on(judge, der_of(leaf), *pins)  # 46


@pytest.mark.schannel
def test_right_key_does_not_mend_a_bad_chain(judge: Judge, certificates: Certificates) -> None:
    leaf, bad = certificates.good.leaf, Chain(trust=UNTRUSTED_ROOT, elements=(0, UNTRUSTED_ROOT))

    verdict = verdict_on(judge, der_of(leaf), key_digest(leaf), chain=bad)

    assert "UNKNOWN_CA" == verdict.reason


@pytest.mark.schannel
@pytest.mark.parametrize("der", [b"", b"leaf", b"\x30\x02\x30\x00"])
def test_certificate_without_a_key_has_no_pin(judge: Judge, der: bytes) -> None:
    assert MISMATCH == verdict_on(judge, der, EMPTY_PIN)  # 46: the digest of nothing is no pin


@pytest.mark.schannel
def test_digest_that_fails_refuses(judge: Judge, certificates: Certificates) -> None:
    leaf, not_supported = certificates.good.leaf, signed(0xC00000BB)
    judge.system.replace("BCryptOpenAlgorithmProvider", lambda *_: not_supported)

    verdict = verdict_on(judge, der_of(leaf), key_digest(leaf))

    assert ("OTHER", not_supported) == (verdict.reason, verdict.status)


PINS_ONLY = [("the key", GOOD), ("another key", MISMATCH)]


@pytest.mark.schannel
@pytest.mark.parametrize(("key", "expected"), PINS_ONLY)
def test_pins_alone_ask_nobody_about_the_chain(
    judge: Judge, certificates: Certificates, key: str, expected: Verdict
) -> None:
    leaf = certificates.good.leaf
    digest = key_digest(leaf) if key == "the key" else OTHER_PIN

    verdict = verdict_on(judge, der_of(leaf), digest, pins_only=True, host_name="other.test")

    assert (expected, [], []) == (verdict, judge.system.requests, judge.system.policies)


@pytest.mark.schannel
def test_peer_without_certificate_has_no_pinned_key(judge: Judge) -> None:
    assert "NO_CERTIFICATE" == verdict_on(judge, None, OTHER_PIN, pins_only=True).reason


@pytest.mark.schannel
def test_pins_alone_need_a_pin(judge: Judge) -> None:
    engine = judge.engine(judge.system.certificate)

    with pytest.raises(AssertionError):  # SCHAN_ERR_MISUSE: it would accept anybody
        judge.start(engine, pins_only=True)

    assert "VERIFY" == engine.state


@pytest.mark.schannel
def test_key_is_found_in_whole_certificates_only(certificates: Certificates) -> None:
    der = der_of(certificates.good.leaf)
    ffi, lib = _lib.require()

    def key_of(data: bytes) -> bytes:
        pinned = ffi.from_buffer("uint8_t[]", data)
        span = lib.schan_certificate_public_key({"data": pinned, "size": len(data)})
        return bytes(ffi.buffer(span.data, span.size)) if span.size else b""

    assert key_digest(certificates.good.leaf) == hashlib.sha256(key_of(der)).digest()
    assert {b""} == {key_of(der[:size]) for size in range(len(der))}


CHAIN_REQUESTS = [(False, SERVER_AUTH, AUTHTYPE_SERVER), (True, CLIENT_AUTH, AUTHTYPE_CLIENT)]


@pytest.mark.schannel
@pytest.mark.parametrize("revocation", [OFF, BEST_EFFORT, REQUIRED])
@pytest.mark.parametrize(("is_client", "usage", "role"), CHAIN_REQUESTS)
def test_certificate_must_be_for_the_peers_role(
    judge: Judge, revocation: int, is_client: int, usage: bytes, role: int
) -> None:
    verdict = judge(Chain(), peer_is_client=is_client, revocation=revocation)  # 43

    assert verdict == GOOD
    assert [((0, (usage,)), role)] == [
        (request.usages, role)
        for request, role in zip(judge.system.requests, judge.system.roles, strict=True)
    ]


@pytest.mark.schannel
@pytest.mark.parametrize(("is_client", "reason"), [(False, "NAME_MISMATCH"), (True, "NONE")])
def test_client_is_no_host(judge: Judge, is_client: int, reason: str) -> None:
    verdict = judge(Chain(), peer_is_client=is_client, host_name="other.test")

    assert verdict is not None
    assert reason == verdict.reason


# ---------------------------------------------------------------------------------------- for real


@pytest.fixture
def identity(certificates: Certificates) -> Identity:
    return certificates.good


@pytest.mark.schannel
def test_pinned_server_is_accepted(
    tls_server: StartTLS, connect: Connector, identity: Identity
) -> None:
    server = tls_server(identity)

    with connect(server, pins=(pin(key_digest(identity.leaf)),)) as client:
        client.sendall(b"hello")

        assert b"hello" == client.recv(100)
        assert pin(key_digest(identity.leaf)) == client.peer_certificates[0].pin


@pytest.mark.schannel
@pytest.mark.parametrize("skips", [False, True], ids=["verified", "insecure_skip_verify"])
def test_server_with_another_key_is_refused_and_its_key_told(
    tls_server: StartTLS, connect: Connector, identity: Identity, skips: int
) -> None:
    server = tls_server(identity)

    with pytest.raises(CertificateError) as raised:
        connect(server, pins=(pin(OTHER_PIN),), insecure_skip_verify=bool(skips))

    assert (CertificateReason.PIN_MISMATCH, "pin_mismatch") == (
        raised.value.reason,
        raised.value.symbol,
    )
    assert pin(key_digest(identity.leaf)) in raised.value.hint
    assert raised.value.certificate is not None
    assert der_of(identity.leaf) == raised.value.certificate.der
    assert b"" == server.conversation().received


@pytest.mark.schannel
def test_pin_of_an_issuer_does_not_count(
    tls_server: StartTLS, connect: Connector, certificates: Certificates
) -> None:
    chain = certificates.intermediate.chain
    server = tls_server(certificates.intermediate)

    with pytest.raises(CertificateError, match="pin mismatch"):
        connect(server, pins=tuple(pin(key_digest(issuer)) for issuer in chain[1:]))


@pytest.mark.schannel
@pytest.mark.parametrize("situation", ["expired", "wrong_name", "unknown_ca", "self_signed"])
def test_pin_alone_says_who_the_peer_is(
    tls_server: StartTLS, connect: Connector, certificates: Certificates, situation: str
) -> None:
    identity = getattr(certificates, situation)
    pins = (pin(key_digest(identity.leaf)),)
    server = tls_server(identity)

    with connect(server, pins=pins, insecure_skip_verify=True) as client:
        client.sendall(b"hello")

        assert (b"hello", ()) == (client.recv(100), client.verified_chain)


@pytest.mark.schannel
@pytest.mark.parametrize(
    ("situation", "reason"), [("expired", "EXPIRED"), ("wrong_name", "NAME_MISMATCH")]
)
def test_pin_comes_on_top_of_the_chain(
    tls_server: StartTLS,
    connect: Connector,
    certificates: Certificates,
    situation: str,
    reason: str,
) -> None:
    identity = getattr(certificates, situation)
    server = tls_server(identity)

    with pytest.raises(CertificateError) as raised:
        connect(server, host=HOST, pins=(pin(key_digest(identity.leaf)),))

    assert reason == raised.value.reason.name
