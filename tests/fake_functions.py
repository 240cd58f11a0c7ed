"""A `SecurityFunctionTableW` with all its members, each of which notes how it was called.

For the raw floor: it plays no protocol. What a member answers is its status in `statuses`, and what
the methods below write; memory that it hands out must come back through FreeContextBuffer. The
signatures are written by hand from sspi.h, once more than in the project's headers (B94).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fake_sspi_types import ffi

SIGNATURES = {
    "EnumerateSecurityPackagesW": "uint32_t *, void **",
    "QueryCredentialsAttributesW": "SecHandle *, uint32_t, void *",
    "AcquireCredentialsHandleW": "wchar_t *, wchar_t *, uint32_t, void *, void *, void *, void *,"
    " SecHandle *, TimeStamp *",
    "FreeCredentialsHandle": "SecHandle *",
    "InitializeSecurityContextW": "SecHandle *, SecHandle *, wchar_t *, uint32_t, uint32_t,"
    " uint32_t, SecBufferDesc *, uint32_t, SecHandle *, SecBufferDesc *, uint32_t *, TimeStamp *",
    "AcceptSecurityContext": "SecHandle *, SecHandle *, SecBufferDesc *, uint32_t, uint32_t,"
    " SecHandle *, SecBufferDesc *, uint32_t *, TimeStamp *",
    "CompleteAuthToken": "SecHandle *, SecBufferDesc *",
    "DeleteSecurityContext": "SecHandle *",
    "ApplyControlToken": "SecHandle *, SecBufferDesc *",
    "QueryContextAttributesW": "SecHandle *, uint32_t, void *",
    "ImpersonateSecurityContext": "SecHandle *",
    "RevertSecurityContext": "SecHandle *",
    "MakeSignature": "SecHandle *, uint32_t, SecBufferDesc *, uint32_t",
    "VerifySignature": "SecHandle *, SecBufferDesc *, uint32_t, uint32_t *",
    "FreeContextBuffer": "void *",
    "QuerySecurityPackageInfoW": "wchar_t *, void **",
    "ExportSecurityContext": "SecHandle *, uint32_t, SecBuffer *, void **",
    "ImportSecurityContextW": "wchar_t *, SecBuffer *, void *, SecHandle *",
    "AddCredentialsW": "SecHandle *, wchar_t *, wchar_t *, uint32_t, void *, void *, void *,"
    " TimeStamp *",
    "QuerySecurityContextToken": "SecHandle *, void **",
    "EncryptMessage": "SecHandle *, uint32_t, SecBufferDesc *, uint32_t",
    "DecryptMessage": "SecHandle *, SecBufferDesc *, uint32_t, uint32_t *",
    "SetContextAttributesW": "SecHandle *, uint32_t, void *, uint32_t",
    "SetCredentialsAttributesW": "SecHandle *, uint32_t, void *, uint32_t",
}
FUNCTIONS = [name.removesuffix("W") for name in SIGNATURES]
MAKERS = {  # which parameter a handle is written to
    "AcquireCredentialsHandle": 7,
    "InitializeSecurityContext": 8,
    "AcceptSecurityContext": 5,
    "ImportSecurityContext": 3,
}
TIMES = {"AcquireCredentialsHandle": 8, "InitializeSecurityContext": 11}
TIMES |= {"AcceptSecurityContext": 8, "AddCredentials": 7}
OUTPUTS = {"InitializeSecurityContext": 9, "AcceptSecurityContext": 6}
MESSAGES = {"InitializeSecurityContext": 6, "AcceptSecurityContext": 2, "CompleteAuthToken": 1}
MESSAGES |= {"ApplyControlToken": 1, "MakeSignature": 2, "VerifySignature": 1}
MESSAGES |= {"EncryptMessage": 2, "DecryptMessage": 1}
GRANTED = {"InitializeSecurityContext": 10, "AcceptSecurityContext": 7}
QUALITIES = {"VerifySignature": 3, "DecryptMessage": 3}
EXPIRY, QUALITY, ACCESS_TOKEN, DELETE_OLD = 0x01DC_1234_5678_9ABC, 7, 0x514, 2

ffi.cdef(
    """
    typedef struct {
        uint32_t fCapabilities; uint16_t wVersion; uint16_t wRPCID; uint32_t cbMaxToken;
        wchar_t *Name; wchar_t *Comment;
    } SecPkgInfoW;
    """
)

Written = list[tuple[int, int, bytes | None]]  # what buffers become: type, size, bytes or NULL


class FakeFunctions:
    """The table (`address`), what was called with what, and what is still alive."""

    def __init__(self, version: int = 3) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.statuses: dict[str, int] = {}
        self.packages = [("Negotiate", "Package Negotiator", 0x83BB3, 1, 9, 12000)]
        self.tokens: dict[str, Written] = {}  # what a call writes into its output buffers
        self.messages: dict[str, Written] = {}  # and into its input or message buffers
        self.flags = 0x8110
        self.before: dict[str, Callable[[], object]] = {}
        self.alive: list[int] = []
        self.memory: dict[int, Any] = {}
        self.was_set = b""
        self.misuses: list[str] = []
        self._next = 0x10
        self._kept: list[Any] = []
        self.table = ffi.new("SecurityFunctionTableW *")
        self.table.dwVersion = version
        for name, parameters in SIGNATURES.items():
            callback = ffi.callback(
                f"int32_t(__stdcall *)({parameters})", self._member(name), onerror=self._note
            )
            self._kept.append(callback)
            self.set_member(name, callback)
        self.address = int(ffi.cast("uintptr_t", self.table))

    def set_member(self, name: str, value: Any) -> None:
        place = ffi.addressof(self.table[0], name if name in SIGNATURES else f"{name}W")
        ffi.cast("void **", place)[0] = ffi.cast("void *", value)

    def called(self) -> list[str]:
        return [call[0] for call in self.calls]

    def problems(self) -> list[str]:
        memory = [f"memory at {address:#x} was not freed" for address in self.memory]
        return [*self.misuses, *(f"handle {key:#x} is alive" for key in self.alive), *memory]

    # ------------------------------------------------------------------------------- plumbing

    def _note(self, _kind: Any, value: Any, _trace: Any) -> None:
        self.misuses.append(f"the fake itself failed in {self.called()[-1:]}: {value!r}")

    def _member(self, wide: str) -> Callable[..., int]:
        name = wide.removesuffix("W")

        def call(*arguments: Any) -> int:
            self.calls.append((name, *map(self._seen, arguments)))
            self.before.get(name, lambda: None)()
            status = self.statuses.get(name, 0)
            self._answer(name, arguments, status)
            return status

        return call

    def _seen(self, argument: Any) -> Any:
        """Return an argument as a test compares it: names, numbers, handles, buffers."""
        if not isinstance(argument, ffi.CData):
            return argument
        if argument == ffi.NULL:
            return None
        kind = ffi.typeof(argument).cname
        if kind == "wchar_t *":
            return ffi.string(argument)
        if kind == "SecHandle *":
            return int(argument.dwLower)
        if kind == "SecBufferDesc *":
            return [self._buffer(argument.pBuffers[i]) for i in range(argument.cBuffers)]
        if kind == "SecBuffer *":
            return self._buffer(argument)
        return argument

    def _buffer(self, buffer: Any) -> tuple[int, bytes | None]:
        has_data = buffer.pvBuffer != ffi.NULL
        data = bytes(ffi.buffer(buffer.pvBuffer, buffer.cbBuffer)) if has_data else None
        return int(buffer.BufferType), data

    def allocate(self, data: bytes) -> Any:
        memory = ffi.new("uint8_t[]", data)
        self.memory[int(ffi.cast("uintptr_t", memory))] = memory
        return memory

    # -------------------------------------------------------------------------------- answers

    def _answer(self, name: str, arguments: tuple[Any, ...], status: int) -> None:
        if name in OUTPUTS:
            self._write(arguments[OUTPUTS[name]], self.tokens.get(name, []))
        if name in MESSAGES:
            self._write(arguments[MESSAGES[name]], self.messages.get(name, []))
        if name in GRANTED:
            arguments[GRANTED[name]][0] = self.flags
        if name in QUALITIES:
            arguments[QUALITIES[name]][0] = QUALITY
        if name in TIMES:
            time = arguments[TIMES[name]]
            time.LowPart, time.HighPart = EXPIRY & 0xFFFFFFFF, EXPIRY >> 32
        if status >= 0 and name in MAKERS:
            self._make(name, arguments)
        if status >= 0 and hasattr(self, f"_{name}"):
            getattr(self, f"_{name}")(*arguments)

    def _write(self, message: Any, written: Written) -> None:
        """Let buffers become others; bytes that do not fit are memory of SSPI's."""
        for index, (kind, size, data) in enumerate(written):
            buffer = message.pBuffers[index]
            if data is None:
                buffer.pvBuffer = ffi.NULL
            elif len(data) <= buffer.cbBuffer and buffer.pvBuffer != ffi.NULL:
                ffi.memmove(buffer.pvBuffer, data, len(data))
            elif data:
                buffer.pvBuffer = self.allocate(data)
            buffer.BufferType, buffer.cbBuffer = kind, size

    def _make(self, name: str, arguments: tuple[Any, ...]) -> None:
        handle = arguments[MAKERS[name]]
        key = int(handle.dwLower)
        if name in GRANTED and arguments[1] != ffi.NULL:  # a later step: the handle is there
            if arguments[1].dwLower != key:
                self.misuses.append(f"{name} with another handle to be filled")
            return
        self._next += 1
        handle.dwLower, handle.dwUpper = self._next, 5
        self.alive.append(self._next)

    def _delete(self, handle: Any) -> None:
        if handle.dwLower not in self.alive:
            self.misuses.append(f"handle {handle.dwLower:#x} was given back twice")
            return
        self.alive.remove(int(handle.dwLower))

    _FreeCredentialsHandle = _DeleteSecurityContext = _delete

    def _FreeContextBuffer(self, memory: Any) -> None:  # noqa: N802  # Windows' names
        if self.memory.pop(int(ffi.cast("uintptr_t", memory)), None) is None:
            self.misuses.append("FreeContextBuffer of what is not SSPI's, or was freed before")

    def _EnumerateSecurityPackages(self, count: Any, out: Any) -> None:  # noqa: N802
        array = ffi.new("SecPkgInfoW[]", max(1, len(self.packages)))
        for entry, (name, comment, *numbers) in zip(array, self.packages, strict=False):
            texts = [ffi.new("wchar_t[]", text) for text in (name, comment)]
            entry.fCapabilities, entry.wVersion, entry.wRPCID, entry.cbMaxToken = numbers
            entry.Name, entry.Comment = texts
            self._kept += texts
        count[0] = len(self.packages)
        self.memory[int(ffi.cast("uintptr_t", array))] = array
        out[0] = array

    def _QuerySecurityPackageInfo(self, _name: Any, out: Any) -> None:  # noqa: N802
        self._EnumerateSecurityPackages(ffi.new("uint32_t *"), out)

    def _query(self, _handle: Any, attribute: int, value: Any) -> None:
        ffi.memmove(value, bytes([attribute]) * 3, 3)

    _QueryContextAttributes = _QueryCredentialsAttributes = _query

    def _set(self, _handle: Any, _attribute: int, value: Any, size: int) -> None:
        self.was_set = bytes(ffi.buffer(value, size))

    _SetContextAttributes = _SetCredentialsAttributes = _set

    def _QuerySecurityContextToken(self, _handle: Any, out: Any) -> None:  # noqa: N802
        out[0] = ffi.cast("void *", ACCESS_TOKEN)

    def _ExportSecurityContext(  # noqa: N802
        self, handle: Any, flags: int, packed: Any, token: Any
    ) -> None:
        packed.pvBuffer, packed.cbBuffer = self.allocate(b"packed"), 6
        token[0] = ffi.cast("void *", ACCESS_TOKEN)
        if flags & DELETE_OLD:
            self._delete(handle)
