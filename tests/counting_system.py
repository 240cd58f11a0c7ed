"""Windows' own functions behind a `schan_system` that counts what is acquired and released.

    counted = CountingSystem()
    _lib.use_system_table(counted.address)
    ...
    assert {} == counted.alive()

Certificates that SSPI hands out (the peer's) are released here but acquired there: each leaves the
certificates one short. With `fail_at` the call of that number fails, among those that can, as if
Windows had refused; nothing is called then.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import cffi

from schannel_ffi import _lib

ERROR_ACCESS_DENIED = 5
DELETE_KEYSET = 0x10

ffi: Any = cffi.FFI()
ffi.cdef("void __stdcall SetLastError(uint32_t code);")


class Acquires(NamedTuple):
    """out: which argument receives the handle; None: it is returned. status: 0 is success."""

    kind: str
    out: int | None = None
    is_status: bool = False


ACQUIRES: Final = {
    "CertCreateCertificateContext": Acquires("certificate"),
    "CertDuplicateCertificateContext": Acquires("certificate"),
    "CertEnumCertificatesInStore": Acquires("certificate"),
    "CertAddEncodedCertificateToStore": Acquires("certificate", 5),
    "CertOpenStore": Acquires("store"),
    "CertDuplicateStore": Acquires("store"),
    "PFXImportCertStore": Acquires("store"),
    "CertCreateCertificateChainEngine": Acquires("chain engine", 1),
    "CertGetCertificateChain": Acquires("chain", 7),
    "CryptAcquireContextW": Acquires("key provider", 0),
    "CryptAcquireCertificatePrivateKey": Acquires("key provider", 3),
    "CryptGetUserKey": Acquires("key", 2),
    "CryptImportKey": Acquires("key", 5),
    "NCryptOpenStorageProvider": Acquires("ncrypt object", 0, is_status=True),
    "NCryptOpenKey": Acquires("ncrypt object", 1, is_status=True),
    "NCryptImportKey": Acquires("ncrypt object", 4, is_status=True),
    "BCryptOpenAlgorithmProvider": Acquires("hash provider", 0, is_status=True),
    "BCryptCreateHash": Acquires("hash", 1, is_status=True),
}
RELEASES: Final = {  # and which argument is released
    "CertFreeCertificateContext": ("certificate", 0),
    "CertEnumCertificatesInStore": ("certificate", 1),
    "CertCloseStore": ("store", 0),
    "CertFreeCertificateChainEngine": ("chain engine", 0),
    "CertFreeCertificateChain": ("chain", 0),
    "CryptReleaseContext": ("key provider", 0),
    "CryptDestroyKey": ("key", 0),
    "NCryptFreeObject": ("ncrypt object", 0),
    "NCryptDeleteKey": ("ncrypt object", 0),
    "BCryptCloseAlgorithmProvider": ("hash provider", 0),
    "BCryptDestroyHash": ("hash", 0),
}
CANNOT_FAIL: Final = {  # but for a lack of memory, or: its end is no failure
    "CertDuplicateCertificateContext",
    "CertDuplicateStore",
    "CertEnumCertificatesInStore",
}
CAN_FAIL_TOO: Final = {"CertSetCertificateContextProperty", "CryptExportKey"}


class CountingSystem:
    """The table (`address`) and its counts.

    Attributes:
        acquired, released: how many of each kind until now.
        steps: the calls that can fail, in order.
    """

    def __init__(self) -> None:
        self.engine_ffi, self.table = _lib.system_table_default()
        self.address = int(self.engine_ffi.cast("uintptr_t", self.table))
        self.steps: list[str] = []
        self.fail_at = 0
        self.acquired: Counter[str] = Counter()
        self.released: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._kernel32 = ffi.dlopen("kernel32.dll")
        self._kept = [
            self._wrap(name) for name in {*ACQUIRES, *RELEASES, *CAN_FAIL_TOO} - self._absent()
        ]

    def alive(self) -> dict[str, int]:
        """Return what was acquired and not released; negative: released more often."""
        with self._lock:
            left = Counter(self.acquired)
            left.subtract(self.released)
        return {kind: count for kind, count in left.items() if count}

    def _absent(self) -> set[str]:
        return {name for name in RELEASES if not hasattr(self.table, name)}

    def _wrap(self, name: str) -> Any:
        original = getattr(self.table, name)

        def call(*arguments: Any) -> Any:
            if self._has_to_fail(name, arguments):
                self._kernel32.SetLastError(ERROR_ACCESS_DENIED)
                return self._failure(name, original)
            result = original(*arguments)
            self._note(name, arguments, result)
            return result

        callback = self.engine_ffi.callback(self.engine_ffi.typeof(original), call)
        setattr(self.table, name, callback)
        return callback

    def _has_to_fail(self, name: str, arguments: tuple[Any, ...]) -> bool:
        if name in CANNOT_FAIL or (name not in ACQUIRES and name not in CAN_FAIL_TOO):
            return False
        if name == "CryptAcquireContextW" and arguments[4] & DELETE_KEYSET:
            return False  # what is to clean up does
        with self._lock:
            self.steps.append(name)
            return len(self.steps) == self.fail_at

    def _failure(self, name: str, original: Callable[..., Any]) -> Any:
        result = self.engine_ffi.typeof(original).result
        if result.kind == "pointer":
            return self.engine_ffi.NULL
        return -1 if name in ACQUIRES and ACQUIRES[name].is_status else 0

    def _note(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        with self._lock:
            if name in RELEASES:
                kind, index = RELEASES[name]
                self.released[kind] += bool(arguments[index])
            if name in ACQUIRES and self._is_acquired(name, arguments, result):
                self.acquired[ACQUIRES[name].kind] += 1

    def _is_acquired(self, name: str, arguments: tuple[Any, ...], result: Any) -> bool:
        acquires = ACQUIRES[name]
        if acquires.out is None:
            return bool(result)
        if name == "CryptAcquireContextW" and arguments[4] & DELETE_KEYSET:
            return False
        if name == "CryptAcquireCertificatePrivateKey" and not (result and arguments[5][0]):
            return False
        has_worked = result == 0 if acquires.is_status else bool(result)
        return has_worked and bool(arguments[acquires.out])
