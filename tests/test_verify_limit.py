"""Fetching that takes for ever: the caller's thread comes back, and nothing is lost (row 86).

The responder is real: a server that accepts and stays silent, named as CRL distribution point, OCSP
responder and issuer's address. Wine fetches there, and does not keep to the time that it is given.
Every handle of crypt32 is counted, also those of calls that come back long after.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certs import HOST, Certificates, Identity
from clients import Connector
from loopback import TLSServer

from schannel_ffi import CertificateError, Revocation, TLSTimeout, TrustStore, _lib
from schannel_ffi.errors import CertificateReason

pytestmark = pytest.mark.schannel

StartTLS = Callable[..., TLSServer]

LIMIT_S = 0.3
LONGEST_S = 10.0  # the limit, a second for each attempt, and a slow machine
ACQUIRED = {  # what gives a handle, and where: the result, or the argument that is filled
    "CertCreateCertificateContext": ("certificate", None),
    "CertDuplicateCertificateContext": ("certificate", None),
    "CertGetCertificateChain": ("chain", 7),
    "CertOpenStore": ("store", None),
    "CertCreateCertificateChainEngine": ("chain engine", 1),
}
SSPIS_OWN = {"certificate": -1}  # QueryContextAttributes gave it; we gave it back
RELEASED = {
    "CertFreeCertificateContext": "certificate",
    "CertFreeCertificateChain": "chain",
    "CertCloseStore": "store",
    "CertFreeCertificateChainEngine": "chain engine",
}


class SilentResponder:
    """Accepts and never answers, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/silence"
        self._asking: list[socket.socket] = []
        self.was_asked = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self._asking.append(self._listener.accept()[0])
            except OSError:
                return
            self.was_asked.set()

    def close(self) -> None:
        """Hang up on everybody: what waited goes on."""
        with socket.create_connection(self._listener.getsockname()):
            self._listener.close()
        self._thread.join(10.0)
        for sock in self._asking:
            sock.close()


class Count:
    """Windows' own crypt32, with every handle counted."""

    def __init__(self) -> None:
        self.ffi, self.table = _lib.system_table_default()
        self.address = int(self.ffi.cast("uintptr_t", self.table))
        self.alive: Counter[str] = Counter()
        self.inside = 0
        self._lock = threading.Lock()
        self._kept: list[Any] = []
        for name, (kind, at) in ACQUIRED.items():
            self._wrap(name, self._acquiring(getattr(self.table, name), kind, at))
        for name, kind in RELEASED.items():
            self._wrap(name, self._releasing(getattr(self.table, name), kind))

    def _wrap(self, name: str, function: Callable[..., Any]) -> None:
        callback = self.ffi.callback(self.ffi.typeof(getattr(self.table, name)), function)
        self._kept.append(callback)
        setattr(self.table, name, callback)

    def _acquiring(self, call: Any, kind: str, at: int | None) -> Callable[..., Any]:
        def acquire(*arguments: Any) -> Any:
            with self._lock:
                self.inside += 1
            result = call(*arguments)
            with self._lock:
                self.inside -= 1
                self.alive[kind] += bool(result if at is None else arguments[at][0])
            return result

        return acquire

    def _releasing(self, call: Any, kind: str) -> Callable[..., Any]:
        def release(handle: Any) -> Any:
            with self._lock:
                self.alive[kind] -= 1
            return call(handle)

        def release_with_flags(handle: Any, flags: int) -> Any:
            with self._lock:
                self.alive[kind] -= 1
            return call(handle, flags)

        return release_with_flags if kind == "store" else release

    def settled(self) -> dict[str, int]:
        """Return what is alive when all calls are back."""
        end = time.monotonic() + 30.0
        while time.monotonic() < end:
            gc.collect()
            with self._lock:
                if self.inside == 0 and self.alive["chain"] == 0 and self.alive["store"] == 0:
                    break
            threading.Event().wait(0.05)
        return {kind: number for kind, number in self.alive.items() if number}


@pytest.fixture
def count() -> Iterator[Count]:
    count = Count()
    _lib.use_system_table(count.address)
    yield count
    _lib.use_system_table(None)


@pytest.fixture
def responder() -> Iterator[SilentResponder]:
    responder = SilentResponder()
    yield responder
    if responder._thread.is_alive():
        responder.close()


def outcome(connect: Connector, server: TLSServer, **config: Any) -> tuple[str, float]:
    """Return how a connection attempt ended, and after how many seconds."""
    start = time.monotonic()
    try:
        connect(server, host=HOST, revocation_timeout=LIMIT_S, **config).close()
    except CertificateError as error:
        return error.reason.name, time.monotonic() - start
    except TLSTimeout:
        return "TLSTimeout", time.monotonic() - start
    return "accepted", time.monotonic() - start


REVOCATIONS = [
    (Revocation.OFF, "accepted"),
    (Revocation.BEST_EFFORT, "accepted"),
    (Revocation.REQUIRED, "refused"),
]
REFUSALS = {CertificateReason.REVOCATION_UNKNOWN.name, CertificateReason.TIMED_OUT.name}


@pytest.mark.not_over_the_model(
    reason="has Windows' own functions, and Wine's build offers no TLS 1.3"
)
@pytest.mark.parametrize(("revocation", "expected"), REVOCATIONS)
def test_responder_that_never_answers_keeps_nobody(
    tls_server: StartTLS,
    connect: Connector,
    certificates: Certificates,
    responder: SilentResponder,
    count: Count,
    revocation: Revocation,
    expected: str,
) -> None:
    server = tls_server(certificates.fetching(responder.url))

    ended, elapsed = outcome(connect, server, revocation=revocation)  # 44, 86
    was_asked = responder.was_asked.is_set()
    responder.close()
    _lib.use_system_table(None)  # what is kept for later connections goes

    assert (expected, True) == (
        "refused" if ended in REFUSALS else ended,
        elapsed < LONGEST_S,
    )
    assert (revocation is not Revocation.OFF) == was_asked
    assert SSPIS_OWN == count.settled()


@pytest.mark.not_over_the_model(
    reason="has Windows' own functions, and Wine's build offers no TLS 1.3"
)
def test_issuer_that_never_comes_keeps_nobody(
    tls_server: StartTLS,
    connect: Connector,
    certificates: Certificates,
    responder: SilentResponder,
    count: Count,
) -> None:
    fetching = certificates.fetching(responder.url)
    anchor = certificates.other_ca.cert_pem.bytes()
    server = tls_server(Identity(fetching.chain_pem, fetching.key_pem, anchor))

    ended, elapsed = outcome(connect, server, revocation=Revocation.OFF)  # 86
    was_asked = responder.was_asked.is_set()
    responder.close()
    _lib.use_system_table(None)

    assert ("INCOMPLETE_CHAIN", True, True) == (ended, elapsed < LONGEST_S, was_asked)
    assert SSPIS_OWN == count.settled()


@pytest.mark.not_over_the_model(
    reason="has Windows' own functions, and Wine's build offers no TLS 1.3"
)
def test_timeout_of_the_connection_goes_before_the_limit(
    tls_server: StartTLS,
    connect: Connector,
    certificates: Certificates,
    responder: SilentResponder,
    count: Count,
) -> None:
    fetching = certificates.fetching(responder.url)
    server = tls_server(fetching)
    trust = TrustStore.from_pem(fetching.anchor_pem)

    start = time.monotonic()
    with pytest.raises(TLSTimeout, match="verification"):
        connect(server, trust=trust, timeout=0.5, revocation_timeout=60.0)  # 86
    elapsed = time.monotonic() - start
    responder.close()
    _lib.use_system_table(None)

    assert elapsed < LONGEST_S
    assert SSPIS_OWN == count.settled()
