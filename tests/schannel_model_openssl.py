"""What the model of Schannel needs of OpenSSL and the ssl module does not expose.

Callbacks given to OpenSSL are kept as long as the `Extras` that made them; the ssl module releases
the GIL before it goes into OpenSSL, so they may be Python.
"""

from __future__ import annotations

import ctypes
import os
import ssl
import tempfile
import weakref
from collections.abc import Callable
from typing import Any

from openssl_extras import library, pointer_of

WANT_X509_LOOKUP = 4
_SET_MIN_PROTO, _SET_MAX_PROTO = 123, 124
_SET_MAX_SEND_FRAGMENT = 52
_VERIFY_PEER = 1
_FILETYPE_PEM = 1
_MASTER_KEY_BYTES, _RANDOM_BYTES = 48, 32

_CertCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_VerifyCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_KeylogCallback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)

_listeners: weakref.WeakValueDictionary[int, Extras] = weakref.WeakValueDictionary()


def _note(connection: int | None, line: bytes) -> None:
    listener = _listeners.get(connection or 0)
    if listener is not None:
        label, _random, secret = line.decode("ascii").split()
        listener.secrets[label] = bytes.fromhex(secret)


_note_secret = _KeylogCallback(_note)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library(), name)
    function.restype, function.argtypes = result, arguments
    return function


class Extras:
    """One `SSL *`, for as long as its ssl.SSLObject lives."""

    def __init__(self, tls: ssl.SSLObject) -> None:
        self._tls = tls
        self._ssl = pointer_of(tls)
        self._callbacks: list[Any] = []
        self.secrets: dict[str, bytes] = {}

    def allow_versions(self, lowest: int, highest: int) -> None:
        """Limit the versions; 0x0303 is TLS 1.2."""
        for command, version in ((_SET_MIN_PROTO, lowest), (_SET_MAX_PROTO, highest)):
            if self._control(command, version) != 1:
                raise RuntimeError(f"OpenSSL has no TLS version {version:#x}")

    def _control(self, command: int, number: int) -> int:
        control = _function(
            "SSL_ctrl", ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p
        )
        return int(control(self._ssl, command, number, None))

    def on_certificate_request(self, is_ready: Callable[[], bool]) -> None:
        """Hold the handshake at a CertificateRequest (WANT_X509_LOOKUP) until `is_ready()`."""
        callback = _CertCallback(lambda _ssl, _argument: 1 if is_ready() else -1)
        self._callbacks.append(callback)
        _function("SSL_set_cert_cb", None, ctypes.c_void_p, _CertCallback, ctypes.c_void_p)(
            self._ssl, callback, None
        )

    def accept_any_certificate(self) -> None:
        """Ask the client for a certificate and take whichever, or none: MANUAL validation."""
        callback = _VerifyCallback(lambda _preverified, _store: 1)
        self._callbacks.append(callback)
        _function("SSL_set_verify", None, ctypes.c_void_p, ctypes.c_int, _VerifyCallback)(
            self._ssl, _VERIFY_PEER, callback
        )

    def use_identity(self, chain_pem: bytes, key_pem: bytes) -> None:
        """Present this certificate chain from now on."""
        handle, path = tempfile.mkstemp(suffix=".pem")
        try:
            with open(handle, "wb") as file:
                file.write(key_pem + b"\n" + chain_pem)
            name = os.fsencode(path)
            use_chain = _function(
                "SSL_use_certificate_chain_file", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
            )
            use_key = _function(
                "SSL_use_PrivateKey_file",
                ctypes.c_int,
                ctypes.c_void_p,
                ctypes.c_char_p,
                ctypes.c_int,
            )
            if use_chain(self._ssl, name) != 1 or use_key(self._ssl, name, _FILETYPE_PEM) != 1:
                raise RuntimeError("OpenSSL takes neither this chain nor this key")
        finally:
            os.unlink(path)

    def log_keys(self) -> None:
        """Collect TLS 1.3's secrets in `secrets`, by the names that SSLKEYLOGFILE gives them."""
        assert self._ssl.value is not None
        _listeners[self._ssl.value] = self
        context = _function("SSL_get_SSL_CTX", ctypes.c_void_p, ctypes.c_void_p)(self._ssl)
        _function("SSL_CTX_set_keylog_callback", None, ctypes.c_void_p, _KeylogCallback)(
            ctypes.c_void_p(context), _note_secret
        )

    def master_secret(self) -> tuple[bytes, bytes, bytes]:
        """Return TLS 1.2's master secret, client random and server random."""
        session = _function("SSL_get_session", ctypes.c_void_p, ctypes.c_void_p)(self._ssl)
        return (
            self._bytes("SSL_SESSION_get_master_key", session, _MASTER_KEY_BYTES),
            self._bytes("SSL_get_client_random", self._ssl, _RANDOM_BYTES),
            self._bytes("SSL_get_server_random", self._ssl, _RANDOM_BYTES),
        )

    @staticmethod
    def _bytes(name: str, of: Any, size: int) -> bytes:
        room = ctypes.create_string_buffer(size)
        get = _function(name, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
        filled = get(of, room, size)
        return room.raw[:filled]

    def cipher_suite(self) -> str:
        """Return the name that RFCs and Windows have for the cipher suite."""
        cipher = _function("SSL_get_current_cipher", ctypes.c_void_p, ctypes.c_void_p)(self._ssl)
        name = _function("SSL_CIPHER_standard_name", ctypes.c_char_p, ctypes.c_void_p)(cipher)
        return str(name.decode("ascii"))

    def export_keying_material(self, label: bytes, context: bytes, size: int) -> bytes:
        """Return RFC 5705's and RFC 8446's keying material; an empty context is none (row 73)."""
        room = ctypes.create_string_buffer(size)
        export = _function(
            "SSL_export_keying_material",
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_int,
        )
        if (
            export(self._ssl, room, size, label, len(label), context, len(context), bool(context))
            != 1
        ):
            raise RuntimeError("SSL_export_keying_material failed")
        return room.raw

    def limit_records(self, most_bytes: int) -> None:
        """Send no more than this in one record; 512 is the least."""
        if self._control(_SET_MAX_SEND_FRAGMENT, most_bytes) != 1:
            raise RuntimeError(f"OpenSSL does not send records of {most_bytes} bytes")

    def renegotiate(self) -> None:
        """As a TLS 1.2 server: queue a HelloRequest."""
        if _function("SSL_renegotiate", ctypes.c_int, ctypes.c_void_p)(self._ssl) != 1:
            raise RuntimeError("SSL_renegotiate failed")
        self._tls.do_handshake()
