"""What `ci/stress.py` runs in the Windows Python: opens, talks, closes, and counts.

stdin     one JSON line of settings
stdout    one JSON line: samples, counts, problems
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import sys
import threading
import time
from collections import Counter
from ctypes import wintypes
from pathlib import Path
from typing import Any

import schannel_ffi
from schannel_ffi import _lib

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from counting_sspi import CountingSSPI
from counting_system import CountingSystem

SAMPLES = 24
LARGEST_TALK = 1 << 16
TIMEOUT = 60.0
SHORT_WAIT = 0.005  # several ticks of the clock, else it may be over before it has begun
ENTRY_IS_BUSY = 4  # PROCESS_HEAP_ENTRY_BUSY


class MemoryCounters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS_EX of psapi.h."""

    _fields_ = [
        ("cb", wintypes.DWORD),
        ("PageFaultCount", wintypes.DWORD),
        *(
            (name, ctypes.c_size_t)
            for name in (
                "PeakWorkingSetSize",
                "WorkingSetSize",
                "QuotaPeakPagedPoolUsage",
                "QuotaPagedPoolUsage",
                "QuotaPeakNonPagedPoolUsage",
                "QuotaNonPagedPoolUsage",
                "PagefileUsage",
                "PeakPagefileUsage",
                "PrivateUsage",
            )
        ),
    ]


class HeapEntry(ctypes.Structure):
    """PROCESS_HEAP_ENTRY of winbase.h."""

    _fields_ = [
        ("lpData", ctypes.c_void_p),
        ("cbData", wintypes.DWORD),
        ("cbOverhead", ctypes.c_ubyte),
        ("iRegionIndex", ctypes.c_ubyte),
        ("wFlags", wintypes.WORD),
        ("rest", ctypes.c_void_p * 3),  # a union: Block, Region
    ]


def heap_bytes() -> int:
    """Return how much is allocated in the heap of the C runtime; no other thread may use it.

    There the library has all it allocates, and Python what is larger than 512 bytes. Wine's
    Schannel has its memory elsewhere; Windows' own has it in the same heap.
    """
    kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    heap_of_runtime = ctypes.CDLL("ucrtbase")["_get_heap_handle"]
    heap_of_runtime.restype = ctypes.c_void_p
    heap = ctypes.c_void_p(heap_of_runtime())
    entry = HeapEntry()
    total = 0
    while kernel32.HeapWalk(heap, ctypes.byref(entry)):
        total += entry.cbData if entry.wFlags & ENTRY_IS_BUSY else 0
    return total


def tell(mark: str, **more: int) -> None:
    """Tell what the process holds now."""
    kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    psapi = ctypes.WinDLL("psapi")  # type: ignore[attr-defined,unused-ignore]
    process = wintypes.HANDLE(-1)  # GetCurrentProcess
    handles = wintypes.DWORD()
    kernel32.GetProcessHandleCount(process, ctypes.byref(handles))
    memory = MemoryCounters(cb=ctypes.sizeof(MemoryCounters))
    psapi.GetProcessMemoryInfo(process, ctypes.byref(memory), memory.cb)
    sample = {
        "mark": mark,
        "handles": handles.value,
        "threads": threading.active_count(),
        "working set": memory.WorkingSetSize,
        "private": memory.PrivateUsage,
        **more,
    }
    print(json.dumps(sample), flush=True)


class Stress:
    """The connections, and what was noticed."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.address = ("127.0.0.1", settings["port"])
        anchor = settings["anchor_pem"].encode("ascii")
        self.config = schannel_ffi.TLSConfig(
            trust=schannel_ffi.TrustStore.from_pem(anchor),
            revocation=schannel_ffi.Revocation.OFF,
        )
        self.problems: list[str] = []
        self.visits = 0
        self.bytes = 0
        self._lock = threading.Lock()

    def connect(self) -> schannel_ffi.TLSSocket:
        """Return a new connection."""
        return schannel_ffi.connect(
            self.address, config=self.config, server_hostname="localhost", timeout=TIMEOUT
        )

    def talk(self, link: schannel_ffi.TLSSocket, data: bytes) -> None:
        """Send and see that the same comes back."""
        link.sendall(data)
        came = bytearray()
        while len(came) < len(data):
            part = link.recv(LARGEST_TALK)
            if not part:
                raise EOFError("the server ended the connection")
            came += part
        if came != data:
            raise ValueError("other bytes came back than were sent")

    def wait_in_vain(self, link: schannel_ffi.TLSSocket) -> None:
        """Wait for what does not come, which makes a connection idle."""
        link.settimeout(SHORT_WAIT)
        try:
            link.recv(1)
        except schannel_ffi.TLSTimeout:
            link.settimeout(TIMEOUT)
            return
        raise ValueError("the server sent more than came from here")

    def open_all(self) -> None:
        """Open all connections, use each, let each become idle, close all."""
        tell("before", heap=heap_bytes())
        links = []
        for number in range(self.settings["connections"]):
            links.append(self.connect())
            self.talk(links[-1], b"%d" % number)
        tell(f"{len(links)} connections open")
        for number, link in enumerate(links):
            self.talk(link, b"%d again" % number)
        tell("all used once more", heap=heap_bytes())
        for link in links:
            self.wait_in_vain(link)
        tell("all waited in vain", heap=heap_bytes())
        for number, link in enumerate(links):
            self.talk(link, b"%d at last" % number)
        for link in links:
            link.close()
        links.clear()
        del link
        gc.collect()
        tell("all closed")

    def work(self, number: int, end: float) -> None:
        """Connect, talk and close until the time is over."""
        numbers = random.Random(number)
        while time.monotonic() < end:
            data = numbers.randbytes(numbers.randint(1, LARGEST_TALK))
            try:
                with self.connect() as link:
                    self.talk(link, data)
            except (OSError, ValueError) as exc:
                self.problems.append(f"thread {number}: {exc!r}")
                return
            with self._lock:
                self.visits += 1
                self.bytes += len(data)

    def work_all(self) -> None:
        """Let all threads work, and take samples meanwhile."""
        start, seconds = time.monotonic(), self.settings["seconds"]
        threads = [
            threading.Thread(target=self.work, args=(number, start + seconds))
            for number in range(self.settings["threads"])
        ]
        for thread in threads:
            thread.start()
        for number in range(1, SAMPLES):
            time.sleep(max(0.0, start + seconds * number / SAMPLES - time.monotonic()))
            tell(f"{time.monotonic() - start:.0f} s")
        for thread in threads:
            thread.join()


def main() -> None:
    """Do it all once."""
    stress = Stress(json.loads(sys.stdin.readline()))
    sspi, system = CountingSSPI(), CountingSystem()
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    stress.connect().close()
    stress.open_all()
    stress.work_all()
    _lib.use_function_table(None)
    _lib.use_system_table(None)
    gc.collect()
    tell("at the end")
    counts = compare(sspi.acquired + system.acquired, sspi.released + system.released)
    stress.problems += [
        f"{kind}: {acquired} acquired, {released} released"
        for kind, (acquired, released) in counts.items()
        if acquired != released
    ]
    found = {
        "visits": stress.visits,
        "bytes": stress.bytes,
        "counts": counts,
        "problems": stress.problems,
    }
    print(json.dumps(found), flush=True)


def compare(acquired: Counter[str], released: Counter[str]) -> dict[str, tuple[int, int]]:
    """Return both numbers by kind."""
    return {kind: (acquired[kind], released[kind]) for kind in acquired | released}


if __name__ == "__main__":
    main()
