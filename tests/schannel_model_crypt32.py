"""Real certificate contexts, made with the crypt32 of the system that the tests run on.

The store that a context lives in is kept until `release`, when closing it tells whether somebody
still holds a context of it.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from typing import Any

import cffi
from schannel_model_types import ffi as model_ffi

HAS_CRYPT32 = sys.platform == "win32"

_ENCODING = 0x10001  # X509_ASN_ENCODING | PKCS_7_ASN_ENCODING
_MEMORY_STORE = 2  # CERT_STORE_PROV_MEMORY
_ADD_ALWAYS = 4
_CHECK = 2  # CERT_CLOSE_STORE_CHECK_FLAG: FALSE while a context of the store is alive

_ffi: Any = cffi.FFI()
_ffi.cdef(
    """
    void *__stdcall CertOpenStore(const char *, uint32_t, void *, uint32_t, const void *);
    int __stdcall CertCloseStore(void *, uint32_t);
    int __stdcall CertAddEncodedCertificateToStore(
        void *, uint32_t, const uint8_t *, uint32_t, uint32_t, void **);
    int __stdcall CertFreeCertificateContext(void *);
    void *__stdcall CertEnumCertificatesInStore(void *, void *);
    """
)


@functools.cache
def _crypt32() -> Any:
    return _ffi.dlopen("crypt32.dll")


class CertificateContexts:
    """The certificate contexts given out."""

    def __init__(self) -> None:
        self._stores: list[Any] = []
        self._lock = threading.Lock()

    def give(self, chain: Sequence[bytes]) -> Any:
        """Return a PCCERT_CONTEXT of the first; its hCertStore holds them all (row 38)."""
        crypt32, null = _crypt32(), _ffi.NULL
        kind = _ffi.cast("char *", _MEMORY_STORE)
        store = crypt32.CertOpenStore(kind, 0, null, 0, null)
        leaf = _ffi.new("void **")
        for index, der in enumerate(chain):
            if not crypt32.CertAddEncodedCertificateToStore(
                store, _ENCODING, der, len(der), _ADD_ALWAYS, leaf if index == 0 else null
            ):
                raise RuntimeError("crypt32 does not take this certificate")
        with self._lock:
            self._stores.append(store)
        return model_ffi.cast("void *", int(_ffi.cast("uintptr_t", leaf[0])))

    def release(self) -> int:
        """Close all stores; return in how many of them somebody still holds a certificate."""
        with self._lock:
            stores, self._stores = self._stores, []
        return sum(not _crypt32().CertCloseStore(store, _CHECK) for store in stores)


def free(certificate: Any) -> None:
    """Free a PCCERT_CONTEXT."""
    _crypt32().CertFreeCertificateContext(_own(certificate))


def encoded(certificate: Any) -> bytes:
    """Return the DER of a PCCERT_CONTEXT."""
    context = model_ffi.cast("MODEL_CERT_CONTEXT *", certificate)
    return bytes(model_ffi.buffer(context.pbCertEncoded, context.cbCertEncoded))


def encoded_in_store(certificate: Any) -> list[bytes]:
    """Return the DER of all certificates in the store of a PCCERT_CONTEXT."""
    store = _own(model_ffi.cast("MODEL_CERT_CONTEXT *", certificate).hCertStore)
    found, each = [], _ffi.NULL
    while (each := _crypt32().CertEnumCertificatesInStore(store, each)) != _ffi.NULL:
        found.append(encoded(model_ffi.cast("void *", int(_ffi.cast("uintptr_t", each)))))
    return found


def _own(pointer: Any) -> Any:
    """Bring a pointer from one cffi world into the other."""
    return _ffi.cast("void *", int(model_ffi.cast("uintptr_t", pointer)))
