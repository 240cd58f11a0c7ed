"""The security function table, member by member: numbers and bytes in, a status and bytes out.

What the numbers mean, and which status is an error, is the business of `schannel_ffi.sspi`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import describe
from schannel_ffi._lib.shared import library

EMPTY, DATA, TOKEN, MISSING, EXTRA = 0, 1, 2, 4, 5  # SECBUFFER_*
_WITHOUT_CONTENTS: Final = (EMPTY, MISSING)  # the size of MISSING counts what is not there
TYPE_MASK: Final = 0x0FFFFFFF
SMALLEST_ROOM: Final = 4096  # of queries: larger than every structure that Windows fills

_SINCE_VERSION: Final = {"SetContextAttributes": 2, "SetCredentialsAttributes": 3}  # B95
_MAKES_OR_DELETES: Final = frozenset(
    {
        "AcquireCredentialsHandle",
        "AddCredentials",
        "FreeCredentialsHandle",
        "InitializeSecurityContext",
        "AcceptSecurityContext",
        "DeleteSecurityContext",
        "ExportSecurityContext",
        "ImportSecurityContext",
    }
)

RawBuffer = tuple[int, int, bytes]  # type, size as SSPI tells it, what is there


class RawPackage(NamedTuple):
    """SecPkgInfoW."""

    name: str
    comment: str
    capabilities: int
    version: int
    rpc_id: int
    max_token: int


def describe_status(status: int, call: str) -> tuple[str, str, str]:
    """Return sentence, symbol and hint."""
    return describe(status, call)


class FunctionTable:
    """The table in use when this was made; it stays with the handles made through it."""

    def __init__(self) -> None:
        """Take the table of the library in use.

        Raises:
            UnsupportedPlatform: there is no Schannel here.
            TLSError: the table lacks what no security package can do without.
        """
        self._ffi, self._lib = require()
        self._library = library()
        self._table = self._lib.schan_library_function_table(self._library)

    def lacks(self, name: str) -> str:
        """Return why a function, named without its W, cannot be called; "" when it can."""
        since = _SINCE_VERSION.get(name, 0)
        if self._table.dwVersion < since:  # B95: behind the end of the table
            version = self._table.dwVersion
            return f"the function table has version {version} and no such member before {since}"
        if self._member(name) == self._ffi.NULL:
            return "the function table has no such member"
        return ""

    def call(self, name: str, *arguments: Any) -> int:
        """Call a function that is not lacking; return its status."""
        with self._entered(is_exclusive=name in _MAKES_OR_DELETES):
            return int(self._member(name)(*arguments))

    def _member(self, name: str) -> Any:
        wide = f"{name}W"
        return getattr(self._table, wide if hasattr(self._table, wide) else name)

    @contextmanager
    def _entered(self, *, is_exclusive: bool) -> Iterator[None]:
        """Keep other threads out of the handle table of Wine < 9 (B74)."""
        self._lib.schan_sspi_enter(self._library, is_exclusive)
        try:
            yield
        finally:
            self._lib.schan_sspi_leave(self._library, is_exclusive)

    # ----------------------------------------------------------------- what arguments are made of

    def null(self) -> Any:
        return self._ffi.NULL

    def new_handle(self) -> Any:
        """Return a SecHandle to be filled."""
        return self._ffi.new("schan_sspi_handle *")

    def new_number(self, kind: str) -> Any:
        """Return room for one "uint32_t" or "int64_t"; `[0]` reads it."""
        return self._ffi.new(f"{kind} *")

    def new_pointer(self) -> Any:
        """Return room for one address."""
        return self._ffi.new("void **")

    def pointer(self, address: int | None) -> Any:
        return self._ffi.cast("void *", address or 0)

    def address(self, pointer: Any) -> int:
        return int(self._ffi.cast("uintptr_t", pointer))

    def pinned(self, data: Any) -> Any:
        """Return a pointer to a bytes-like object that is only read; keeps it alive."""
        return self._ffi.from_buffer("uint8_t[]", data)

    def room(self, contents: bytes | int) -> Any:
        """Return memory for the answer to a query: so many bytes of 0, or these to begin with."""
        size = contents if isinstance(contents, int) else len(contents)
        memory = self._ffi.new("uint8_t[]", max(size, SMALLEST_ROOM))
        if not isinstance(contents, int):
            self._ffi.memmove(memory, contents, size)
        return memory

    def bytes_at(self, pointer: Any, size: int) -> bytes:
        return bytes(self._ffi.buffer(self._ffi.cast("uint8_t *", pointer), size)) if size else b""

    def message(self, buffers: Sequence[tuple[int, Any]] | None) -> Message:
        """Return a SecBufferDesc with copies of these buffers; None is a NULL one."""
        return Message(self._ffi, buffers)

    # -------------------------------------------------------------------------- what SSPI allocates

    def free(self, pointer: Any) -> None:
        """Give memory of SSPI's back; NULL is nothing."""
        if pointer != self._ffi.NULL:
            self.call("FreeContextBuffer", pointer)

    def packages(self) -> tuple[int, list[RawPackage]]:
        """Call EnumerateSecurityPackages; return its status and the packages."""
        count, out = self.new_number("uint32_t"), self._ffi.new("schan_sspi_package **")
        status = self.call("EnumerateSecurityPackages", count, out)
        if status < 0:
            return status, []
        try:
            return status, [self._package(out[0][index]) for index in range(count[0])]
        finally:
            self.free(out[0])

    def package(self, name: str) -> tuple[int, RawPackage | None]:
        """Call QuerySecurityPackageInfo; return its status and the package."""
        out = self._ffi.new("schan_sspi_package **")
        status = self.call("QuerySecurityPackageInfo", name, out)
        if status < 0:
            return status, None
        try:
            return status, self._package(out[0][0])
        finally:
            self.free(out[0])

    def _package(self, found: Any) -> RawPackage:
        name, comment = (self._text(text) for text in (found.name, found.comment))
        numbers = (found.capabilities, found.version, found.rpc_id, found.max_token)
        return RawPackage(name, comment, *map(int, numbers))

    def _text(self, pointer: Any) -> str:
        return "" if pointer == self._ffi.NULL else str(self._ffi.string(pointer))

    def export(self, handle: Any, flags: int) -> tuple[int, bytes, int]:
        """Call ExportSecurityContext; return its status, the packed context and the token."""
        packed, token = self._ffi.new("schan_sspi_buffer *"), self.new_pointer()
        status = self.call("ExportSecurityContext", handle, flags, packed, token)
        if status < 0:
            return status, b"", 0
        try:
            return status, self.bytes_at(packed.data, packed.size), self.address(token[0])
        finally:
            self.free(packed.data)

    def import_into(self, handle: Any, package: str, packed: Any, token: int) -> int:
        """Call ImportSecurityContext; return its status."""
        memory = self._ffi.from_buffer("uint8_t[]", packed)
        buffer = self._ffi.new("schan_sspi_buffer *", (len(memory), TOKEN, memory))
        return self.call("ImportSecurityContext", package, buffer, self.pointer(token), handle)


class Message:
    """A SecBufferDesc whose buffers lie in memory of its own: calls work in place there.

    Attributes:
        pointer: what a call is given.
    """

    def __init__(self, ffi: Any, buffers: Sequence[tuple[int, Any]] | None) -> None:
        """Copy the buffers; one without bytes has the pointer NULL."""
        self._ffi = ffi
        self._given = list(buffers or ())
        self._memory = [self._copied(data) for _, data in self._given]
        self._array = ffi.new("schan_sspi_buffer[]", max(1, len(self._given)))
        for entry, (kind, data), memory in zip(
            self._array, self._given, self._memory, strict=False
        ):
            entry.type, entry.size, entry.data = kind, len(memoryview(data).cast("B")), memory
        description = (0, len(self._given), self._array)
        self._description = ffi.new("schan_sspi_message *", description)
        self.pointer = ffi.NULL if buffers is None else self._description

    def _copied(self, data: Any) -> Any:
        view = memoryview(data).cast("B")
        if not len(view):
            return self._ffi.NULL
        memory = self._ffi.new("uint8_t[]", len(view))
        self._ffi.memmove(memory, view, len(view))
        return memory

    def buffers(self) -> list[RawBuffer]:
        """Return the buffers as the call has left them."""
        entries = [self._array[index] for index in range(len(self._given))]
        return [(int(entry.type), int(entry.size), self._contents(entry)) for entry in entries]

    def _contents(self, entry: Any) -> bytes:
        kind, size = entry.type & TYPE_MASK, int(entry.size)
        if kind in _WITHOUT_CONTENTS:
            return b""
        if entry.data == self._ffi.NULL:
            return self._end_of_input(size) if kind == EXTRA else b""
        size = min(size, self._left_behind(entry.data, size))
        return bytes(self._ffi.buffer(self._ffi.cast("uint8_t *", entry.data), size))

    def _left_behind(self, pointer: Any, size: int) -> int:
        """Return how much of our memory there is from a pointer on; of SSPI's, what it says."""
        address = int(self._ffi.cast("uintptr_t", pointer))
        for memory in self._memory:
            start = int(self._ffi.cast("uintptr_t", memory))
            if memory != self._ffi.NULL and start <= address <= start + len(memory):
                return start + len(memory) - address
        return size

    def _end_of_input(self, size: int) -> bytes:
        """Return what EXTRA without a pointer means: the end of what was given (B22)."""
        for kind, data in self._given:
            if kind & TYPE_MASK in (TOKEN, DATA):
                view = memoryview(data).cast("B")
                return bytes(view[len(view) - size :]) if size <= len(view) else b""
        return b""

    def allocated(self) -> list[Any]:
        """Return the addresses of memory that SSPI has put where none was given."""
        return [
            self._array[index].data
            for index, memory in enumerate(self._memory)
            if memory == self._ffi.NULL and self._array[index].data != self._ffi.NULL
        ]
