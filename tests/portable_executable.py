"""What stands in the headers of a program or DLL of Windows.

Source: Microsoft Learn, "PE Format", "The Load Configuration Structure" and "Import Directory".
"""

from __future__ import annotations

import struct
from pathlib import Path

IMPORTS, LOAD_CONFIG = 1, 10  # numbers of data directories
IS_64_BIT = 0x20B
SEARCH_SYSTEM32 = 0x800  # LOAD_LIBRARY_SEARCH_SYSTEM32


class PortableExecutable:
    """A PE file, read."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        [coff] = self._read("<I", 0x3C)
        _, sections, _, _, _, optional_size, _ = self._read("<HHIIIHH", coff + 4)
        self._optional = coff + 24
        [magic] = self._read("<H", self._optional)
        self._is_64_bit = magic == IS_64_BIT
        self._sections = [
            self._read("<IIII", self._optional + optional_size + 40 * index + 8)
            for index in range(sections)
        ]

    def imported_dlls(self) -> set[str]:
        """Return the names of the DLLs it is linked to, in lower case."""
        at, names = self._directory(IMPORTS), set()
        while (entry := self._read("<IIIII", at))[3]:
            start = self._offset(entry[3])
            names.add(self._data[start : self._data.index(b"\0", start)].decode().lower())
            at += 20
        return names

    def dependent_load_flags(self) -> int:
        """Return where Windows looks for these DLLs; 0: in all the usual places."""
        at = self._directory(LOAD_CONFIG)
        if not at:
            return 0
        [size] = self._read("<I", at)
        offset = 0x4E if self._is_64_bit else 0x36
        return int(self._read("<H", at + offset)[0]) if size > offset else 0

    def _read(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(layout, self._data, offset)

    def _directory(self, number: int) -> int:
        """Return the place of a data directory in the file; 0 if there is none."""
        directories = self._optional + (112 if self._is_64_bit else 96)
        address, _ = self._read("<II", directories + 8 * number)
        return self._offset(address) if address else 0

    def _offset(self, address: int) -> int:
        for size, start, raw_size, raw in self._sections:
            if start <= address < start + max(size, raw_size):
                return address - start + raw
        raise ValueError(f"no section holds {address:#x}")
