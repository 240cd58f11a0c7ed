"""What Windows is given to judge, and what is done when it does not come back (15, 39, 44, 45, 86).

Fake crypt32 and fake SSPI: no certificate, no network. The number in a comment is the row.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import Control, Initialize
from fake_sspi_types import SCHANNEL_SHUTDOWN, Status, schannel_alert
from fake_system import REVOCATION_UNKNOWN, REVOKED, Chain, FakeSystem, Names
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine
from scripted_judge import BEST_EFFORT, OFF, REQUIRED, SAN, Judge

import schannel_ffi
from schannel_ffi import Revocation, TLSConfig, _lib
from schannel_ffi._lib import verification as lib_verification

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

CHECK_CHAIN_EXCLUDE_ROOT, ACCUMULATIVE_TIMEOUT = 0x40000000, 0x08000000
REVOCATION_CACHE_ONLY, URL_CACHE_ONLY = 0x80000000, 0x4
CACHE_ONLY = REVOCATION_CACHE_ONLY | URL_CACHE_ONLY
ONLINE = CHECK_CHAIN_EXCLUDE_ROOT | ACCUMULATIVE_TIMEOUT
GRACE_S = 0.05
Tables = tuple[FakeSSPI, FakeSystem]


@pytest.fixture
def judge(sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine) -> Iterator[Judge]:
    judge = Judge(sspi, system, make_engine)
    yield judge
    judge.close()


@pytest.fixture
def tables(sspi: FakeSSPI, system: FakeSystem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tables]:
    """The public face uses the two tables, and does not wait long."""
    monkeypatch.setattr(lib_verification, "GRACE_S", GRACE_S)
    sspi.peer_certificate = lambda: system.certificate(SAN)
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    yield sspi, system
    _lib.use_function_table(None)
    _lib.use_system_table(None)


def test_windows_gets_its_own_context_and_all_that_was_sent(judge: Judge) -> None:
    made: list[int] = []

    def peer() -> int:
        made.append(judge.system.sent(judge.system.certificate(), (b"issuer", Names())))
        return made[0]

    engine = judge.engine(peer)
    job = judge.start(engine)
    verdict = judge.wait(job)
    judge.lib.schan_verification_free(job)

    [(certificate, store)] = judge.system.judged
    assert made == [certificate]  # 15: a copy would not have the stapled answer
    assert list(judge.system._sent) == [store]  # 39
    assert verdict is not None
    assert "NONE" == verdict.reason


CACHED = [
    (OFF, False, ACCUMULATIVE_TIMEOUT),
    (OFF, True, ACCUMULATIVE_TIMEOUT | CACHE_ONLY),
    (BEST_EFFORT, False, ONLINE),
    (BEST_EFFORT, True, ONLINE | CACHE_ONLY),
    (REQUIRED, True, ONLINE | CACHE_ONLY),
]


@pytest.mark.parametrize(("revocation", "is_cached", "flags"), CACHED)
def test_cache_is_asked_alone_where_told(
    judge: Judge, revocation: int, is_cached: int, flags: int
) -> None:
    judge(Chain(), revocation=revocation, cache_only=bool(is_cached))  # 44, 86

    assert [flags] == [request.flags for request in judge.system.requests]


ALERTS = [  # RFC 8446, 6.2
    ("EXPIRED", 45),
    ("NOT_YET_VALID", 45),
    ("NAME_MISMATCH", 42),
    ("UNKNOWN_CA", 48),
    ("SELF_SIGNED", 48),
    ("INCOMPLETE_CHAIN", 48),
    ("WRONG_USAGE", 43),
    ("REVOKED", 44),
    ("REVOCATION_UNKNOWN", 46),
    ("BAD_SIGNATURE", 42),
    ("BAD_CONSTRAINTS", 42),
    ("DISTRUSTED", 42),
    ("WEAK", 42),
    ("NO_CERTIFICATE", 42),
    ("TIMED_OUT", 46),
    ("OTHER", 42),
    ("PIN_MISMATCH", 46),
]


def test_every_reason_has_an_alert() -> None:
    ffi, _ = _lib.require()
    reasons = ffi.typeof("schan_reason").relements

    told = {f"SCHAN_REASON_{reason}" for reason, _ in ALERTS}
    assert {*reasons} == told | {"SCHAN_REASON_NONE"}


@pytest.mark.parametrize(("reason", "alert"), ALERTS)
def test_peer_is_told_why(judge: Judge, reason: str, alert: int) -> None:
    engine = judge.engine(judge.system.certificate)
    judge.sspi.script(Control(token=schannel_alert(alert)), Initialize(status=0, token=b"alert"))
    number = getattr(judge.lib, f"SCHAN_REASON_{reason}")

    result = engine.verified(number, Status.SEC_E_CERT_UNKNOWN)  # 45

    assert ("ERR_CERTIFICATE", HELLO + FINISHED + b"alert") == (result, engine.drain())


def test_abandoned_job_keeps_the_anchors_it_uses(judge: Judge) -> None:
    engine = judge.engine(judge.system.certificate)
    trust = judge.trust(engine, exclusive=True)
    judge.system.gate.clear()
    job = judge.start(engine, trust)
    assert judge.system.has_entered.wait(10.0)

    judge.lib.schan_verification_free(job)
    judge.close()  # the anchors' owner lets go
    engine.free()

    alive = {kind for (kind, _), number in judge.system._alive.items() if number}
    assert {"certificate", "chain engine", "store"} == alive  # 86
    judge.system.gate.set()
    assert judge.system.all_is_freed.wait(10.0)


# ------------------------------------------------------------------ attempts, one after the other


class Windows:
    """Does not come back from the first so many calls until it is let go."""

    def __init__(self, system: FakeSystem, stuck: int) -> None:
        self._system, self._stuck = system, stuck
        self.flags: list[int] = []
        self._build = system._CertGetCertificateChain
        self._lock = threading.Lock()
        self.let_go = threading.Event()
        system.replace("CertGetCertificateChain", self._get)

    def _get(self, *arguments: Any) -> int:
        with self._lock:
            self.flags.append(arguments[5])
            is_stuck = self._stuck > 0
            self._stuck -= 1
        if not is_stuck:
            return self._build(*arguments)
        self.let_go.wait(30.0)
        self._system._fail(0x800705B4)
        return 0


def wrap(sspi: FakeSSPI, revocation: Revocation, alert: int | None) -> tuple[str, str, str]:
    """Return reason, symbol and hint of the refusal; nothing refers to the connection then."""
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        Control(token=schannel_alert(alert) if alert else SCHANNEL_SHUTDOWN),
        Initialize(status=Status.SEC_E_OK, token=b"alert"),
    )
    config = TLSConfig(revocation=revocation, revocation_timeout=0.05)
    near, far = socket.socketpair()
    with near, far:
        far.sendall(FLIGHT)
        try:
            schannel_ffi.wrap(near, config=config, server_hostname="server.test").close()
        except schannel_ffi.CertificateError as error:
            return error.reason.name, error.symbol, error.hint
    return "accepted", "", ""


BACK = [  # revocation, calls that get stuck, what the next one says; reason, alert
    (Revocation.OFF, 1, Chain(), "accepted", None),
    (Revocation.BEST_EFFORT, 1, Chain(), "accepted", None),
    (Revocation.BEST_EFFORT, 1, Chain(trust=REVOCATION_UNKNOWN), "accepted", None),
    (Revocation.BEST_EFFORT, 1, Chain(trust=REVOKED), "REVOKED", 44),
    (Revocation.BEST_EFFORT, 2, Chain(), "accepted", None),
    (Revocation.REQUIRED, 1, Chain(), "accepted", None),  # the cache has the answer
    (Revocation.REQUIRED, 1, Chain(trust=REVOCATION_UNKNOWN), "REVOCATION_UNKNOWN", 46),
    (Revocation.OFF, 2, None, "TIMED_OUT", 46),
    (Revocation.BEST_EFFORT, 3, None, "TIMED_OUT", 46),
    (Revocation.REQUIRED, 2, None, "TIMED_OUT", 46),
]


@pytest.mark.parametrize(("revocation", "stuck", "chain", "reason", "alert"), BACK)
def test_chain_is_judged_anew_when_windows_does_not_come_back(
    tables: Tables,
    revocation: Revocation,
    stuck: int,
    chain: Chain | None,
    reason: str,
    alert: int | None,
) -> None:
    sspi, system = tables
    windows = Windows(system, stuck)
    system.chains.extend([] if chain is None else [chain])

    start = time.monotonic()
    told, *_ = wrap(sspi, revocation, alert)  # 86
    elapsed = time.monotonic() - start
    is_kept = not system.all_is_freed.is_set()
    windows.let_go.set()
    gc.collect()

    assert (reason, True, True) == (told, elapsed < 10.0, is_kept)
    assert system.all_is_freed.wait(10.0)


ASKED = [
    (Revocation.OFF, [ACCUMULATIVE_TIMEOUT, ACCUMULATIVE_TIMEOUT | CACHE_ONLY]),
    (
        Revocation.BEST_EFFORT,
        [ONLINE, ONLINE | CACHE_ONLY, ACCUMULATIVE_TIMEOUT | CACHE_ONLY],
    ),
    (Revocation.REQUIRED, [ONLINE, ONLINE | CACHE_ONLY]),
]


@pytest.mark.parametrize(("revocation", "flags"), ASKED)
def test_network_is_asked_once_and_revocation_given_up_by_best_effort_only(
    tables: Tables, revocation: Revocation, flags: list[int]
) -> None:
    sspi, system = tables
    windows = Windows(system, stuck=9)

    told, *_ = wrap(sspi, revocation, 46)  # 44, 86
    windows.let_go.set()

    assert ("TIMED_OUT", flags) == (told, windows.flags)
    assert system.all_is_freed.wait(10.0)


def test_error_says_that_windows_did_not_come_back(tables: Tables) -> None:
    sspi, system = tables
    windows = Windows(system, stuck=9)

    _, symbol, hint = wrap(sspi, Revocation.OFF, 46)
    windows.let_go.set()

    assert ("verification_timed_out", True) == (symbol, "revocation_timeout" in hint)
    assert system.all_is_freed.wait(10.0)
