"""Alerts of any number: OpenSSL sends only its own, so that these are sealed here.

TLS 1.3: RFC 8446, 5.2, 5.3, 7.1, 7.3; TLS 1.2 with AEAD: RFC 5246, 5, 6.3, RFC 5288, RFC 7905. The
keys come from OpenSSL's key log; after a KeyUpdate, and with CBC, nothing can be sealed.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from schannel_model_tls import ALERT, APPLICATION_DATA, Endpoint

FATAL = 2
_FIXED_IV_OF_GCM = 4


class UnsealableError(Exception):
    """The keys or the cipher of this connection are not known here."""


@dataclass(frozen=True)
class _Suite:
    hash_name: str
    key_size: int
    is_chacha: bool = False

    def seal(self, key: bytes, nonce: bytes, data: bytes, authenticated: bytes) -> bytes:
        cipher = ChaCha20Poly1305(key) if self.is_chacha else AESGCM(key)
        return cipher.encrypt(nonce, data, authenticated)


_SUITES = (
    ("AES_256_GCM_SHA384", _Suite("sha384", 32)),
    ("AES_128_GCM_SHA256", _Suite("sha256", 16)),
    ("CHACHA20_POLY1305_SHA256", _Suite("sha256", 32, is_chacha=True)),
)


def fatal_alert(endpoint: Endpoint, number: int) -> bytes:
    """Return the record of a fatal alert, in the clear while nothing is encrypted yet.

    Raises: UnsealableError.
    """
    alert = bytes((FATAL, number))
    if not endpoint.is_open:
        return bytes((ALERT, 3, 3, 0, len(alert))) + alert
    name = endpoint.extras.cipher_suite()
    suite = next((suite for end, suite in _SUITES if name.endswith(end)), None)
    if suite is None or endpoint.has_updated_keys:
        raise UnsealableError(name)
    return (_seal_tls13 if endpoint.is_tls13 else _seal_tls12)(endpoint, suite, alert)


def _seal_tls13(endpoint: Endpoint, suite: _Suite, alert: bytes) -> bytes:
    side = "SERVER" if endpoint.is_server else "CLIENT"
    secret = endpoint.extras.secrets[f"{side}_TRAFFIC_SECRET_0"]
    key = _expand_label(suite.hash_name, secret, b"key", suite.key_size)
    iv = _expand_label(suite.hash_name, secret, b"iv", 12)
    header = bytes((APPLICATION_DATA, 3, 3)) + (len(alert) + 1 + 16).to_bytes(2, "big")
    nonce = _xor(iv, endpoint.sequence)
    return header + suite.seal(key, nonce, alert + bytes([ALERT]), header)


def _seal_tls12(endpoint: Endpoint, suite: _Suite, alert: bytes) -> bytes:
    master, client_random, server_random = endpoint.extras.master_secret()
    iv_size = 12 if suite.is_chacha else _FIXED_IV_OF_GCM
    block = _prf(
        suite.hash_name,
        master,
        b"key expansion" + server_random + client_random,
        2 * (suite.key_size + iv_size),
    )
    keys, ivs = block[: 2 * suite.key_size], block[2 * suite.key_size :]
    which = 1 if endpoint.is_server else 0
    key = keys[which * suite.key_size :][: suite.key_size]
    iv = ivs[which * iv_size :][:iv_size]
    number = endpoint.sequence.to_bytes(8, "big")
    explicit = b"" if suite.is_chacha else number
    nonce = _xor(iv, endpoint.sequence) if suite.is_chacha else iv + explicit
    authenticated = number + bytes((ALERT, 3, 3)) + len(alert).to_bytes(2, "big")
    body = explicit + suite.seal(key, nonce, alert, authenticated)
    return bytes((ALERT, 3, 3)) + len(body).to_bytes(2, "big") + body


def _xor(iv: bytes, sequence: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ sequence).to_bytes(len(iv), "big")


def _expand_label(hash_name: str, secret: bytes, label: bytes, size: int) -> bytes:
    """RFC 8446, 7.1: HKDF-Expand-Label with an empty context; one block is enough here."""
    full = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(full)]) + full + b"\0"
    return hmac.new(secret, info + b"\x01", hash_name).digest()[:size]


def _prf(hash_name: str, secret: bytes, seed: bytes, size: int) -> bytes:
    """RFC 5246, 5: P_hash."""
    output, block = b"", seed
    digest = getattr(hashlib, hash_name)
    while len(output) < size:
        block = hmac.new(secret, block, digest).digest()
        output += hmac.new(secret, block + seed, digest).digest()
    return output[:size]
