"""Key containers and certificate stores of this account, looked at past the library.

By CryptoAPI alone, which Windows and Wine both have.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import cffi
from certs import Identity
from cryptography.hazmat.primitives import serialization

from schannel_ffi.private_key import read_private_key

if sys.platform == "win32":
    import winreg

PRODUCT = "schannel_ffi-"
_PROVIDER = "Microsoft Enhanced RSA and AES Cryptographic Provider"
_PROV_RSA_AES, _AT_KEYEXCHANGE, _CALG_RSA_KEYX = 24, 1, 0xA400
_NEW, _DELETE, _VERIFY, _SILENT, _EXPORTABLE = 0x8, 0x10, 0xF0000000, 0x40, 1
_PP_ENUMCONTAINERS, _FIRST, _NEXT = 2, 1, 2
_STORE_PROV_SYSTEM_W, _CURRENT_USER, _ENCODING, _REPLACE, _KEY_PROV_INFO = 10, 1 << 16, 1, 3, 2

ffi: Any = cffi.FFI()
ffi.cdef(
    """
    int __stdcall CryptAcquireContextW(uintptr_t *, const wchar_t *, const wchar_t *, uint32_t,
                                       uint32_t);
    int __stdcall CryptReleaseContext(uintptr_t, uint32_t);
    int __stdcall CryptGetProvParam(uintptr_t, uint32_t, char *, uint32_t *, uint32_t);
    int __stdcall CryptImportKey(uintptr_t, const uint8_t *, uint32_t, uintptr_t, uint32_t,
                                 uintptr_t *);
    int __stdcall CryptDestroyKey(uintptr_t);
    typedef struct { uint32_t encoding; uint8_t *encoded; uint32_t size; } CERTIFICATE;
    CERTIFICATE *__stdcall CertEnumCertificatesInStore(void *, CERTIFICATE *);
    void *__stdcall CertOpenStore(const void *, uint32_t, uintptr_t, uint32_t, const void *);
    int __stdcall CertCloseStore(void *, uint32_t);
    int __stdcall CertAddEncodedCertificateToStore(void *, uint32_t, const uint8_t *, uint32_t,
                                                   uint32_t, void **);
    int __stdcall CertSetCertificateContextProperty(void *, uint32_t, uint32_t, const void *);
    int __stdcall CertDeleteCertificateFromStore(void *);
    int __stdcall CertFreeCertificateContext(void *);
    uint32_t __stdcall GetLastError(void);
    typedef struct {
        wchar_t *container; wchar_t *provider; uint32_t type; uint32_t flags; uint32_t count;
        void *parameters; uint32_t spec;
    } KEY_PROV_INFO;
    """
)


class Keys:
    """The containers of this account's RSA keys."""

    def __init__(self) -> None:
        self._advapi32 = ffi.dlopen("advapi32.dll")

    def all(self) -> set[str]:
        provider, size = ffi.new("uintptr_t *"), ffi.new("uint32_t *")
        name, which, found = ffi.new("char[]", 512), _FIRST, set()
        _must(self._acquire(provider, ffi.NULL, _VERIFY))
        while True:
            size[0] = 512
            if not self._advapi32.CryptGetProvParam(
                provider[0], _PP_ENUMCONTAINERS, name, size, which
            ):
                break
            found.add(ffi.string(name).decode("ascii", "replace"))
            which = _NEXT
        self._advapi32.CryptReleaseContext(provider[0], 0)
        return found

    def ours(self) -> set[str]:
        return {name for name in self.all() if name.startswith(PRODUCT)}

    def make(self, name: str, blob: bytes = b"") -> None:
        """Make a container, with a key in it if there is a PRIVATEKEYBLOB."""
        provider, key = ffi.new("uintptr_t *"), ffi.new("uintptr_t *")
        _must(self._acquire(provider, name, _NEW))
        if blob:
            _must(self._advapi32.CryptImportKey(provider[0], blob, len(blob), 0, _EXPORTABLE, key))
            self._advapi32.CryptDestroyKey(key[0])
        self._advapi32.CryptReleaseContext(provider[0], 0)

    def delete(self, name: str) -> None:
        self._acquire(ffi.new("uintptr_t *"), name, _DELETE)

    def _acquire(self, provider: Any, name: Any, flags: int) -> int:
        wide = ffi.NULL if name == ffi.NULL else ffi.new("wchar_t[]", name)
        made: int = self._advapi32.CryptAcquireContextW(
            provider, wide, ffi.new("wchar_t[]", _PROVIDER), _PROV_RSA_AES, flags | _SILENT
        )
        return made


@contextlib.contextmanager
def add_to_store(
    identity: Identity, store: str, *, with_key: bool = True, lose_key: bool = False
) -> Iterator[dict[str, str]]:
    """Put a certificate into a store of this account for the block; yield its thumbprints.

    lose_key: the container that the certificate points to is not there.
    """
    crypt32, keys, container = ffi.dlopen("crypt32.dll"), Keys(), f"tests-{uuid.uuid4()}"
    der = identity.leaf.public_bytes(serialization.Encoding.DER)
    handle, certificate = _add(crypt32, store, der)
    try:
        if with_key:
            if not lose_key:
                keys.make(container, _capi_blob(identity, der))
            names = [ffi.new("wchar_t[]", container), ffi.new("wchar_t[]", _PROVIDER)]
            place = ffi.new(
                "KEY_PROV_INFO *", (*names, _PROV_RSA_AES, 0, 0, ffi.NULL, _AT_KEYEXCHANGE)
            )
            _must(
                crypt32.CertSetCertificateContextProperty(certificate[0], _KEY_PROV_INFO, 0, place)
            )
        crypt32.CertFreeCertificateContext(certificate[0])
        crypt32.CertCloseStore(handle, 0)  # Wine writes down what is in a store when it is closed
        yield {name: hashlib.new(name, der).hexdigest() for name in ("sha1", "sha256")}
    finally:
        _remove(crypt32, store, der)
        keys.delete(container)


def _open(crypt32: Any, store: str) -> Any:
    handle = crypt32.CertOpenStore(
        ffi.cast("void *", _STORE_PROV_SYSTEM_W), 0, 0, _CURRENT_USER, ffi.new("wchar_t[]", store)
    )
    _must(handle)
    return handle


def _remove(crypt32: Any, store: str, der: bytes) -> None:
    handle, each = _open(crypt32, store), ffi.NULL
    while each := crypt32.CertEnumCertificatesInStore(handle, each):
        if bytes(ffi.buffer(each.encoded, each.size)) == der:
            crypt32.CertDeleteCertificateFromStore(each)
            break
    crypt32.CertCloseStore(handle, 0)
    place = "Software\\Microsoft\\SystemCertificates"  # Wine 8 forgets to delete there
    name = f"{place}\\{store}\\Certificates\\{hashlib.sha1(der).hexdigest()}"
    if sys.platform == "win32":
        with contextlib.suppress(OSError):
            winreg.DeleteKey(winreg.HKEY_CURRENT_USER, name)


def _add(crypt32: Any, store: str, der: bytes) -> tuple[Any, Any]:
    handle = _open(crypt32, store)
    certificate = ffi.new("void **")
    added = crypt32.CertAddEncodedCertificateToStore(
        handle, _ENCODING, der, len(der), _REPLACE, certificate
    )
    _must(added)
    return handle, certificate


def _capi_blob(identity: Identity, der: bytes) -> bytes:
    """Return PRIVATEKEYBLOB: the numbers of CNG's blob, each turned around."""
    blob = read_private_key(identity.key_pem, der).blob
    bits, exponent_size, size, half, _ = (
        int.from_bytes(blob[at : at + 4], "little") for at in range(4, 24, 4)
    )
    sizes = [exponent_size, size, half, half, half, half, half, size]
    at, parts = 24, []
    for length in sizes:
        parts.append(blob[at : at + length][::-1])
        at += length
    header = b"\x07\x02\0\0" + _CALG_RSA_KEYX.to_bytes(4, "little") + b"RSA2"
    return header + bits.to_bytes(4, "little") + parts[0].ljust(4, b"\0") + b"".join(parts[1:])


def _must(result: Any) -> None:
    assert result, ffi.getwinerror() if hasattr(ffi, "getwinerror") else result
