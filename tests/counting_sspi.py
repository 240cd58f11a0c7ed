"""Windows' own SSPI table, with a count of what it gives out and takes back.

    with CountingSSPI() as counted:
        _lib.use_function_table(counted.address)
        ...
    assert {} == counted.alive()

Only the functions that give out or take back go through Python; records are encrypted and
decrypted by Windows' own functions directly, so that speed and quirks stay what they are.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from typing import Any

from fake_sspi_types import Attribute, Status, ffi

CONTEXT_BUFFERS = {26, 25}  # SECPKG_ATTR_ENDPOINT_BINDINGS, _UNIQUE_BINDINGS


class CountingSSPI:
    """A copy of Windows' function table whose acquiring and releasing members count.

    Attributes:
        address: of the table, for `_lib.use_function_table`.
        acquired, released: how many of each kind: "credential", "security context",
            "context buffer", "certificate" (which crypt32 takes back, so the caller adds those).
    """

    def __init__(self) -> None:
        """Copy the table; nothing is replaced yet but in the copy."""
        secur32 = ctypes.WinDLL("secur32")  # type: ignore[attr-defined,unused-ignore]
        secur32.InitSecurityInterfaceW.restype = ctypes.c_void_p
        own = ffi.cast("SecurityFunctionTableW *", secur32.InitSecurityInterfaceW())
        self.acquired: Counter[str] = Counter()
        self.released: Counter[str] = Counter()
        self._own = own
        self._lock = threading.Lock()
        self._table = ffi.new("SecurityFunctionTableW *")
        ffi.memmove(self._table, own, ffi.sizeof("SecurityFunctionTableW"))
        self._callbacks = []
        for name, function in (
            ("AcquireCredentialsHandleW", self._acquire),
            ("FreeCredentialsHandle", self._free_credential),
            ("InitializeSecurityContextW", self._initialize),
            ("DeleteSecurityContext", self._delete),
            ("QueryContextAttributesW", self._query),
            ("FreeContextBuffer", self._free_buffer),
        ):
            callback = ffi.callback(ffi.typeof(getattr(own, name)), function)
            self._callbacks.append(callback)
            setattr(self._table, name, callback)
        self.address = int(ffi.cast("uintptr_t", self._table))

    def alive(self) -> dict[str, int]:
        """Return how many of each kind are out, without those of which none is."""
        with self._lock:
            left = Counter(self.acquired)
            left.subtract(self.released)
        return {kind: number for kind, number in left.items() if number}

    def _count(self, counter: Counter[str], kind: str, number: int = 1) -> None:
        with self._lock:
            counter[kind] += number

    def _acquire(self, *arguments: Any) -> int:
        status = int(self._own.AcquireCredentialsHandleW(*arguments))
        self._count(self.acquired, "credential", status == Status.SEC_E_OK)
        return status

    def _free_credential(self, credential: Any) -> int:
        self._count(self.released, "credential")
        return int(self._own.FreeCredentialsHandle(credential))

    def _initialize(self, *arguments: Any) -> int:
        old, output = arguments[1], arguments[9]
        status = int(self._own.InitializeSecurityContextW(*arguments))
        self._count(self.acquired, "security context", old == ffi.NULL and status >= 0)
        if output != ffi.NULL:
            buffers = output.pBuffers[0 : output.cBuffers]
            given = sum(buffer.pvBuffer != ffi.NULL for buffer in buffers)
            self._count(self.acquired, "context buffer", given)
        return status

    def _delete(self, context: Any) -> int:
        self._count(self.released, "security context")
        return int(self._own.DeleteSecurityContext(context))

    def _query(self, context: Any, attribute: int, value: Any) -> int:
        status = int(self._own.QueryContextAttributesW(context, attribute, value))
        if status == Status.SEC_E_OK and attribute == Attribute.REMOTE_CERT_CONTEXT:
            self._count(self.acquired, "certificate")
        if status == Status.SEC_E_OK and attribute in CONTEXT_BUFFERS:
            self._count(self.acquired, "context buffer")
        return status

    def _free_buffer(self, memory: Any) -> int:
        self._count(self.released, "context buffer", memory != ffi.NULL)
        return int(self._own.FreeContextBuffer(memory))
