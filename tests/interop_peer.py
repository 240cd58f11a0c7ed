"""The end of a conversation that runs in the Windows Python; the host's tests start it.

    python interop_peer.py '{"do": "echo", "port": 4433, "anchor": "Z:\\...\\anchor.pem"}'

It tells what it saw in lines of JSON on stdout, each an object with "event". `do` is the name of a
function below, the rest of the job are its arguments. `echo` takes those of
`client_certificate` too.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from ctypes import wintypes
from pathlib import Path
from typing import Any

from traffic import Stream

import schannel_ffi

HOST = "server.test"  # as in certs.py, which needs packages
LIMIT_S = 40.0  # less than the host waits, so that an error is told before it gives up
HANGS_AFTER_S = 50.0
MEMORY_REPORTS = 16


def tell(event: str, **facts: Any) -> None:
    faulthandler.dump_traceback_later(HANGS_AFTER_S)  # where it hangs, if nothing more is told
    print(json.dumps({"event": event, **facts}), flush=True)


def tell_failure(error: BaseException) -> None:
    symbol, alert = getattr(error, "symbol", None), getattr(error, "alert", None)
    tell("failed", kind=type(error).__name__, text=str(error), symbol=symbol, alert=alert)


def tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Tell a warning, in the place of `warnings.showwarning`."""
    tell("warning", kind=category.__name__, text=str(message))


@contextlib.contextmanager
def connected(port: int, anchor: str, **own: str) -> Iterator[schannel_ffi.TLSSocket]:
    """Connect for the block; at its end nothing is left in the stores."""
    trust = schannel_ffi.TrustStore.from_pem(anchor)
    with client_certificate(**own) as certificate:
        config = schannel_ffi.TLSConfig(trust=trust, client_certificate=certificate)
        with schannel_ffi.connect(
            ("127.0.0.1", port), config=config, server_hostname=HOST, timeout=LIMIT_S
        ) as tls:
            yield tls


@contextlib.contextmanager
def client_certificate(
    *, pem: str = "", pfx: str = "", store: str = "", issuer: str = ""
) -> Iterator[schannel_ffi.ClientCertificate | None]:
    """Yield the client certificate of a file, if one is named.

    pem: private key and certificates, leaf first; pfx: PKCS #12 without a password; store: key and
    certificate in PEM, which are in this account's store MY during the block and taken from there;
    issuer: a certificate in PEM, meanwhile in the store CA.
    """
    own = schannel_ffi.ClientCertificate
    with contextlib.ExitStack() as stack:
        if issuer:
            stack.enter_context(in_store("CA", issuer))
        if pem:
            yield own.from_pem(pem, pem)
        elif pfx:
            yield own.from_pfx(pfx, None)
        elif store:
            yield own.from_store(thumbprint=stack.enter_context(in_store("MY", store)))
        else:
            yield None


@contextlib.contextmanager
def in_store(store: str, file: str) -> Iterator[str]:
    """Put a certificate, and the key before it if there is one, into a store for the block.

    Yields its thumbprint.
    """
    import certs  # noqa: PLC0415 - these need packages, and their time
    import windows_keys  # noqa: PLC0415

    key, begin, chain = Path(file).read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    identity = certs.Identity(begin + chain, key, b"")
    with windows_keys.add_to_store(identity, store, with_key=bool(key)) as thumbprints:
        yield thumbprints["sha256"]


def echo(port: int, anchor: str, **own: str) -> None:
    """Send back what comes, in capitals; after "bye" end TLS, and wait for the other side's end."""
    with connected(port, anchor, **own) as tls:
        tell("open", version=tls.version())
        while data := tls.recv(65536):
            tls.sendall(data.upper())
            if data.endswith(b"bye\n"):
                tls.unwrap().close()
                break
    tell("closed")  # and what was in the stores is not there any more


def single_bytes(port: int, anchor: str, size: int, seed_out: int, seed_in: int) -> None:
    """Send a stream in records of one byte; take another as it comes."""
    with connected(port, anchor) as tls:
        for piece in Stream(seed_out).pieces(size):
            for at in range(len(piece)):
                tls.sendall(piece[at : at + 1])
        expected = Stream(seed_in)
        while expected.taken < size:
            expected.compare(tls.recv(65536))
        assert tls.recv(1) == b""
    tell("closed")


def exchange(port: int, anchor: str, size: int, seed_out: int, seed_in: int) -> None:
    """Send and receive at once, in random sizes; tell the memory as it goes on."""
    expected = Stream(seed_in)
    failures: list[BaseException] = []

    def send() -> None:
        try:
            for piece in Stream(seed_out).pieces(size):
                tls.sendall(piece)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)
            tls.close()

    with connected(port, anchor) as tls:
        sender = threading.Thread(target=send)
        sender.start()
        for part in range(1, MEMORY_REPORTS + 1):
            while expected.taken < size * part // MEMORY_REPORTS:
                data = tls.recv(expected.random_size())
                assert data, f"the stream ended after {expected.taken} bytes"
                expected.compare(data)
            tell("memory", received=expected.taken, **memory())
        sender.join()
        for failure in failures:
            raise failure
    tell("closed")


def serve(identity: str, alpn: list[str], connections: int) -> None:
    """Be a server that sends back what comes, in capitals; tell how each connection went."""
    config = schannel_ffi.TLSConfig(
        server_certificate=schannel_ffi.ServerCertificate.from_pem(identity, identity),
        alpn_protocols=tuple(alpn),
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tell("listening", port=listener.getsockname()[1])
        for _ in range(connections):
            sock, _ = listener.accept()
            try:
                _serve_one(sock, config)
            except schannel_ffi.TLSError as error:
                tell_failure(error)


def _serve_one(sock: socket.socket, config: schannel_ffi.TLSConfig) -> None:
    with schannel_ffi.wrap(sock, config=config, server_side=True, timeout=LIMIT_S) as tls:
        tell("open", version=tls.version(), alpn=tls.selected_alpn_protocol())
        while data := tls.recv(65536):
            tls.sendall(data.upper())
    tell("closed")


class _Counters(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS_EX of psapi.h."""

    _fields_ = [
        ("cb", wintypes.DWORD),
        ("page_fault_count", wintypes.DWORD),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("quota_peak_paged", ctypes.c_size_t),
        ("quota_paged", ctypes.c_size_t),
        ("quota_peak_non_paged", ctypes.c_size_t),
        ("quota_non_paged", ctypes.c_size_t),
        ("pagefile", ctypes.c_size_t),
        ("peak_pagefile", ctypes.c_size_t),
        ("private", ctypes.c_size_t),
    ]


def memory() -> dict[str, int]:
    """Return working set and private bytes of this process."""
    counters = _Counters(cb=ctypes.sizeof(_Counters))
    get = ctypes.CDLL("psapi").GetProcessMemoryInfo  # on 64 bit there is one calling convention
    get.argtypes = [wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD]
    this_process = wintypes.HANDLE(-1)
    assert get(this_process, ctypes.byref(counters), counters.cb)
    return {"working_set": counters.working_set, "private": counters.private}


def main() -> int:
    faulthandler.dump_traceback_later(HANGS_AFTER_S)
    warnings.showwarning = tell_warning
    job = json.loads(sys.argv[1])
    try:
        globals()[job.pop("do")](**job)
    except Exception as error:  # noqa: BLE001 - the host judges it
        tell_failure(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
