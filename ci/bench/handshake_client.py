"""Connections made, verified and closed again: what `ci/bench.py` runs in the Windows Python.

    stdin     one JSON line of settings, then one line per measurement wanted: {"who": "ours"}
    stdout    a JSON line of facts, then one line per measurement: seconds, cpu, handshakes

Each candidate connects one time after the other, as a user would write it, with settings made
once. How many connections are one measurement follows from how long the first ones take.
"""

from __future__ import annotations

import ctypes
import json
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import Any

import schannel_ffi

SECONDS = 60.0
WARM_UP = 20

Repeat = Callable[[int], None]  # connects so many times


def candidates(settings: dict[str, Any]) -> dict[str, Repeat]:
    """Return by name how each candidate connects."""
    address = ("127.0.0.1", settings["bulk_port"])
    anchor = settings["anchor_pem"]
    ours = schannel_ffi.TLSConfig(
        trust=schannel_ffi.TrustStore.from_pem(anchor.encode("ascii")),
        revocation=schannel_ffi.Revocation.OFF,
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_verify_locations(cadata=anchor)

    def connect_ours(times: int) -> None:
        for _ in range(times):
            schannel_ffi.connect(
                address, config=ours, server_hostname="localhost", timeout=SECONDS
            ).close()

    def connect_ssl(times: int) -> None:
        for _ in range(times):
            raw = socket.create_connection(address, timeout=SECONDS)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            theirs.wrap_socket(raw, server_hostname="localhost").close()

    made: dict[str, Repeat] = {"ours": connect_ours, "ssl": connect_ssl}
    if settings["floor"]:
        made["floor"] = _floor(settings["floor"], address[1], ssl.PEM_cert_to_DER_cert(anchor))
    return made


def _floor(dll: str, port: int, anchor: bytes) -> Repeat:
    floor = ctypes.CDLL(dll)

    def connect(times: int) -> None:
        size, count = ctypes.c_size_t(len(anchor)), ctypes.c_size_t(times)
        status = floor.floor_handshakes(ctypes.c_uint16(port), anchor, size, count)
        if status != 0:
            raise OSError(f"floor.c failed: {status & 0xFFFFFFFF:#x}")

    return connect


def main() -> None:
    """Obey stdin until it ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    ready: dict[str, tuple[Repeat, int]] = {}
    missing: dict[str, str] = {}
    for name, connect in candidates(settings).items():
        try:
            connect(1)
            start = time.perf_counter()
            connect(WARM_UP)
            rate = WARM_UP / (time.perf_counter() - start)
            ready[name] = connect, max(2, round(rate * settings["seconds"]))
        except (OSError, ValueError) as exc:
            missing[name] = f"{type(exc).__name__}: {exc}"
    versions = {"openssl of the client": ssl.OPENSSL_VERSION}
    facts = {"candidates": [*ready], "missing": missing, "versions": versions}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        connect, times = ready[json.loads(line)["who"]]
        cpu, start = time.process_time(), time.perf_counter()
        connect(times)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "cpu": time.process_time() - cpu, "handshakes": times}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
