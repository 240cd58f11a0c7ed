"""Bulk data through each TLS client of one Python: what `ci/bench.py` runs in the Windows Python.

    stdin     one JSON line of settings, then one line per measurement wanted:
              {"who": "ours", "way": "send", "chunk": 65536}
              {"who": "ours", "way": "recv", "chunk": 65536}         (recv_into: the same)
    stdout    a JSON line of facts, then one line per measurement: seconds, cpu, bytes

Each candidate has one connection that only sends and one that only receives, and a loop of its
own as a user would write it. How many bytes it moves in one measurement follows from its speed,
which a first, checked exchange finds out: the clock then runs equally long for all.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import random
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import schannel_ffi

BLOCK = random.Random(0).randbytes(1 << 20)  # the server makes the same
COMMAND_BYTES = 32
RECORD_BYTES = 16384
CHECKED_BYTES = 4 * len(BLOCK)
LEAST_BYTES, MOST_BYTES = len(BLOCK), 192 * len(BLOCK)
SECONDS = 60.0


class Link(Protocol):
    """One TLS connection of a candidate."""

    def send(self, data: bytes) -> None: ...  # noqa: D102

    def send_blocks(self, chunk: int, times: int) -> None:
        """Send BLOCK `times` times, `chunk` bytes at once."""

    def receive(self, size: int) -> bytes:
        """Return exactly `size` bytes."""

    def take(self, way: str, chunk: int, size: int) -> None:
        """Receive `size` bytes, at most `chunk` at once, and drop them."""


class SocketLink:
    """TLSSocket and ssl.SSLSocket: the same calls."""

    def __init__(self, sock: Any) -> None:
        self._socket = sock

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def send_blocks(self, chunk: int, times: int) -> None:
        """As the protocol says."""
        chunks = [BLOCK[at : at + chunk] for at in range(0, len(BLOCK), chunk)]
        sock = self._socket
        for _ in range(times):
            for piece in chunks:
                sock.sendall(piece)

    def receive(self, size: int) -> bytes:
        """As the protocol says."""
        data = bytearray(size)
        view = memoryview(data)
        while view:
            view = view[_some(self._socket.recv_into(view)) :]
        return bytes(data)

    def take(self, way: str, chunk: int, size: int) -> None:
        """As the protocol says; `way` is the method."""
        left = size
        sock = self._socket
        if way == "recv":
            while left:
                left -= _some(len(sock.recv(chunk)))
            return
        buffer = bytearray(chunk)
        while left:
            left -= _some(sock.recv_into(buffer))


class OscryptoLink:
    """oscrypto.tls.TLSSocket.

    Its `write` (1.3.0) loses 29 bytes at each seam when it gets more than one record at once, so
    it gets single ones.
    """

    def __init__(self, sock: Any) -> None:
        self._socket = sock

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.write(data)

    def send_blocks(self, chunk: int, times: int) -> None:
        """As the protocol says."""
        del chunk
        records = [BLOCK[at : at + RECORD_BYTES] for at in range(0, len(BLOCK), RECORD_BYTES)]
        for _ in range(times):
            for record in records:
                self._socket.write(record)

    def receive(self, size: int) -> bytes:
        """As the protocol says."""
        return bytes(self._socket.read_exactly(size))

    def take(self, way: str, chunk: int, size: int) -> None:
        """As the protocol says; there is one method only."""
        del way
        left = size
        while left:
            left -= _some(len(self._socket.read(chunk)))


class FloorLink:
    """The bare loops of floor.c."""

    def __init__(self, floor: ctypes.CDLL, sock: socket.socket) -> None:
        self._floor = floor
        self._link = ctypes.c_void_p()
        handle = ctypes.c_size_t(sock.detach())
        self._check(floor.floor_open(ctypes.byref(self._link), handle))

    @staticmethod
    def _check(status: int) -> None:
        if status != 0:
            raise OSError(f"floor.c failed: {status & 0xFFFFFFFF:#x}")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._check(self._floor.floor_send(self._link, data, ctypes.c_size_t(len(data))))

    def send_blocks(self, chunk: int, times: int) -> None:
        """As the protocol says; the loop is in C."""
        sizes = [ctypes.c_size_t(number) for number in (len(BLOCK), chunk, times)]
        self._check(self._floor.floor_send_many(self._link, BLOCK, *sizes))

    def receive(self, size: int) -> bytes:
        """As the protocol says."""
        data = ctypes.create_string_buffer(size)
        self._check(self._floor.floor_receive(self._link, data, ctypes.c_size_t(size)))
        return data.raw

    def take(self, way: str, chunk: int, size: int) -> None:
        """As the protocol says: decrypted in place, nothing is copied."""
        del way, chunk
        self._check(self._floor.floor_receive(self._link, None, ctypes.c_size_t(size)))


def _some(size: int) -> int:
    if size <= 0:
        raise EOFError("the server closed the connection")
    return size


class Candidate:
    """A TLS client with its two connections, and how much it moves in one measurement."""

    def __init__(self, connect: Callable[[], Link], *, seconds: float) -> None:
        self._seconds = seconds
        self._sender, self._receiver = connect(), connect()
        self._receive_bytes = self._check_receiving()
        self._send_bytes = self._check_sending()
        _command(self._sender, "sink", self._send_bytes)
        _expect(self._sender, b"r")

    def _check_sending(self) -> int:
        """Send under the server's eyes, twice; return the size of a measurement."""
        for _ in range(2):
            start = time.perf_counter()
            _command(self._sender, "verify", CHECKED_BYTES)
            self._sender.send_blocks(len(BLOCK) // 4, CHECKED_BYTES // len(BLOCK))
            _expect(self._sender, b"=")
        return self._sized(time.perf_counter() - start)

    def _check_receiving(self) -> int:
        expected = BLOCK * (CHECKED_BYTES // len(BLOCK))
        for _ in range(2):
            self._prepare(CHECKED_BYTES)
            start = time.perf_counter()
            self._receiver.send(b"g")
            data = self._receiver.receive(CHECKED_BYTES)
            seconds = time.perf_counter() - start
            if data != expected:
                raise ValueError("other bytes came than were sent")
        return self._sized(seconds)

    def _sized(self, seconds: float) -> int:
        """Return how many bytes take about the time wanted, when so many take `seconds`."""
        wanted = int(CHECKED_BYTES / seconds * self._seconds)
        return max(LEAST_BYTES, min(wanted, MOST_BYTES)) // len(BLOCK) * len(BLOCK)

    def _prepare(self, size: int) -> None:
        _command(self._receiver, "source", size)
        _expect(self._receiver, b"r")

    def measure(self, way: str, chunk: int) -> dict[str, float]:
        """Return seconds, CPU seconds of this process, and bytes of one measurement."""
        size = self._send_bytes if way == "send" else self._receive_bytes
        if way != "send":
            self._prepare(size)
        cpu, start = time.process_time(), time.perf_counter()
        if way == "send":
            self._sender.send_blocks(chunk, size // len(BLOCK))
            _expect(self._sender, b"d")
        else:
            self._receiver.send(b"g")
            self._receiver.take(way, chunk, size)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "cpu": time.process_time() - cpu, "bytes": size}


def _command(link: Link, verb: str, size: int) -> None:
    link.send(f"{verb} {size}".ljust(COMMAND_BYTES).encode("ascii"))


def _expect(link: Link, answer: bytes) -> None:
    if (came := link.receive(len(answer))) != answer:
        raise ValueError(f"the server says {came!r} instead of {answer!r}")


@contextlib.contextmanager
def steady_heap() -> Iterator[None]:
    """Keep free memory inside the heap instead of at its end.

    Wine 8 gives pages at the heap's end back at every free(), and the page faults after it can
    triple what a record costs, for whoever happens to allocate there: Wine's own DecryptMessage,
    OpenSSL, bytes objects. With a hole of 19 MB that has neighbours nobody does.
    """
    hole = [bytes(300_000) for _ in range(64)]
    neighbours = [bytes(5_000) for _ in range(64)]
    hole.clear()
    yield
    neighbours.clear()


# --- the candidates ----------------------------------------------------------------------------


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(None)  # without a timeout ssl asks select() less, and oscrypto loses nothing
    return sock


def connectors(settings: dict[str, Any]) -> dict[str, Callable[[], Link]]:
    """Return by name how each candidate makes a connection."""
    port, anchor = settings["bulk_port"], settings["anchor_pem"]
    ours = schannel_ffi.TLSConfig(
        trust=schannel_ffi.TrustStore.from_pem(anchor.encode("ascii")),
        revocation=schannel_ffi.Revocation.OFF,
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_verify_locations(cadata=anchor)

    def connect_ours() -> Link:
        raw = _connected(port)
        wrapped = schannel_ffi.wrap(raw, config=ours, server_hostname="localhost", timeout=None)
        return SocketLink(wrapped)

    def connect_ssl() -> Link:
        return SocketLink(theirs.wrap_socket(_connected(port), server_hostname="localhost"))

    made = {"ours": connect_ours, "ssl": connect_ssl}
    if settings["floor"]:
        floor = ctypes.CDLL(settings["floor"])

        def connect_floor() -> Link:
            return FloorLink(floor, _connected(port))

        made["floor"] = connect_floor
    if settings["lane"] == "1.2":  # oscrypto knows no TLS 1.3
        made["oscrypto"] = lambda: _connect_oscrypto(port)
    return made


def _connect_oscrypto(port: int) -> Link:
    """Connect without verification, which changes nothing about bulk data."""
    tls = importlib.import_module("oscrypto.tls")
    session = tls.TLSSession(manual_validation=True)
    return OscryptoLink(tls.TLSSocket.wrap(_connected(port), "localhost", session))


def main() -> None:
    """Obey stdin until it ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    with steady_heap():
        obey(settings)
    os._exit(0)  # oscrypto's finaliser fails under Wine, which has no close_notify


def obey(settings: dict[str, Any]) -> None:
    """Connect the candidates, tell who is there, measure what is asked for."""
    candidates: dict[str, Candidate] = {}
    missing: dict[str, str] = {}
    for name, connect in connectors(settings).items():
        try:
            candidates[name] = Candidate(connect, seconds=settings["seconds"])
        except (OSError, ValueError, ImportError) as exc:
            missing[name] = f"{type(exc).__name__}: {exc}"
    versions = {"python": sys.version.split()[0], "openssl": ssl.OPENSSL_VERSION}
    facts = {"candidates": [*candidates], "missing": missing, "versions": versions}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        answer = candidates[wanted["who"]].measure(wanted["way"], wanted["chunk"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
