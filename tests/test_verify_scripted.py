"""What crypt32 says about a chain, and what we make of it (rows 40 to 45, 86, 88, 89).

Fake crypt32 and fake SSPI: no certificate, no network. The number in a comment is the row.
"""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator

import fake_system as crypt32
import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import Control, Initialize
from fake_sspi_types import Status, schannel_alert, signed
from fake_system import Chain, ChainRequest, FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine
from scripted_judge import BEST_EFFORT, OFF, REQUIRED, SAN, WAIT_MS, Judge, Verdict

import schannel_ffi
from schannel_ffi import Revocation, TLSConfig, _lib
from schannel_ffi.errors import CertificateReason

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

SERVER_AUTH = (0, (b"1.3.6.1.5.5.7.3.1",))  # USAGE_MATCH_TYPE_AND
CURRENT_USER_ENGINE = 0
CHECK_CHAIN_EXCLUDE_ROOT, ACCUMULATIVE_TIMEOUT = 0x40000000, 0x08000000
IGNORE_REVOCATION, IGNORE_NAME = 0x80, 0x1000  # SECURITY_FLAG_IGNORE_*
FUTURE = ((0, 0x02F00000), crypt32.FAR_AHEAD)
Tables = tuple[FakeSSPI, FakeSystem]


@pytest.fixture
def judge(sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine) -> Iterator[Judge]:
    judge = Judge(sspi, system, make_engine)
    yield judge
    judge.close()


@pytest.fixture
def tables(sspi: FakeSSPI, system: FakeSystem) -> Iterator[Tables]:
    """The public face uses the two tables for the length of a test."""
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    yield sspi, system
    _lib.use_function_table(None)
    _lib.use_system_table(None)


TRUST_BITS = [  # bit, reason, status; 42
    (crypt32.REVOKED, "REVOKED", 0x80092010),
    (crypt32.EXPLICIT_DISTRUST, "DISTRUSTED", 0x800B0111),
    (crypt32.NOT_SIGNATURE_VALID, "BAD_SIGNATURE", 0x80096004),
    (crypt32.NOT_TIME_VALID, "EXPIRED", 0x800B0101),
    (crypt32.PARTIAL_CHAIN, "INCOMPLETE_CHAIN", 0x800B010A),
    (crypt32.UNTRUSTED_ROOT, "UNKNOWN_CA", 0x800B0109),
    (crypt32.CYCLIC, "INCOMPLETE_CHAIN", 0x800B010A),
    (crypt32.NOT_VALID_FOR_USAGE, "WRONG_USAGE", 0x800B0110),
    (crypt32.INVALID_BASIC_CONSTRAINTS, "BAD_CONSTRAINTS", 0x80096019),
    (crypt32.INVALID_NAME_CONSTRAINTS, "BAD_CONSTRAINTS", 0x800B0114),
    (crypt32.NOT_SUPPORTED_NAME_CONSTRAINT, "BAD_CONSTRAINTS", 0x800B0114),
    (crypt32.NOT_DEFINED_NAME_CONSTRAINT, "BAD_CONSTRAINTS", 0x800B0114),
    (crypt32.NOT_PERMITTED_NAME_CONSTRAINT, "BAD_CONSTRAINTS", 0x800B0114),
    (crypt32.EXCLUDED_NAME_CONSTRAINT, "BAD_CONSTRAINTS", 0x800B0114),
    (crypt32.INVALID_POLICY_CONSTRAINTS, "BAD_CONSTRAINTS", 0x800B0113),
    (crypt32.INVALID_EXTENSION, "BAD_CONSTRAINTS", 0x800B0105),
    (crypt32.NOT_SUPPORTED_CRITICAL_EXT, "BAD_CONSTRAINTS", 0x800B0105),
    (crypt32.WEAK_SIGNATURE, "WEAK", None),
    (0x80000000, "OTHER", None),  # a bit that nobody knows fails
    (0x00200000, "OTHER", None),
]


@pytest.mark.parametrize(("bit", "reason", "status"), TRUST_BITS, ids=str)
def test_every_trust_bit_refuses(judge: Judge, bit: int, reason: str, status: int | None) -> None:
    verdict = judge(Chain(trust=bit, elements=(0, bit, 0)))

    assert verdict is not None
    assert (reason, bit) == (verdict.reason, verdict.trust)
    assert verdict.status < 0 if status is None else signed(status) == verdict.status
    assert 1 == verdict.failing or reason == "OTHER"


@pytest.mark.parametrize("revocation", [OFF, BEST_EFFORT, REQUIRED])
def test_good_chain_is_good(judge: Judge, revocation: int) -> None:
    verdict = judge(Chain(), revocation=revocation, host_name="server.test")

    assert Verdict("NONE", 0, 0, 0) == verdict
    assert 1 == len(judge.system.policies)


def test_periods_that_do_not_nest_are_tolerated(judge: Judge) -> None:
    verdict = judge(Chain(trust=crypt32.NOT_TIME_NESTED))  # 42

    assert verdict is not None
    assert "NONE" == verdict.reason


NOT_FOUND_OUT = [
    (crypt32.REVOCATION_UNKNOWN, 0x80092012),
    (crypt32.OFFLINE_REVOCATION | crypt32.REVOCATION_UNKNOWN, 0x80092013),
]


@pytest.mark.parametrize(("bits", "status"), NOT_FOUND_OUT, ids=["unknown", "offline"])
@pytest.mark.parametrize(
    ("revocation", "reason"), [(BEST_EFFORT, "NONE"), (REQUIRED, "REVOCATION_UNKNOWN")]
)
def test_revocation_that_cannot_be_found_out(
    judge: Judge, bits: int, status: int, revocation: int, reason: str
) -> None:
    verdict = judge(Chain(trust=bits, elements=(bits, 0)), revocation=revocation)  # 44

    assert verdict is not None
    assert (reason, 0 if reason == "NONE" else signed(status)) == (verdict.reason, verdict.status)


@pytest.mark.parametrize("revocation", [BEST_EFFORT, REQUIRED])
def test_revoked_outweighs_not_found_out(judge: Judge, revocation: int) -> None:
    bits = crypt32.REVOKED | crypt32.OFFLINE_REVOCATION | crypt32.REVOCATION_UNKNOWN
    verdict = judge(Chain(trust=bits, elements=(bits, 0)), revocation=revocation)  # 44

    assert verdict is not None
    assert "REVOKED" == verdict.reason


REQUESTS = [
    (OFF, ACCUMULATIVE_TIMEOUT),
    (BEST_EFFORT, CHECK_CHAIN_EXCLUDE_ROOT | ACCUMULATIVE_TIMEOUT),
    (REQUIRED, CHECK_CHAIN_EXCLUDE_ROOT | ACCUMULATIVE_TIMEOUT),
]


@pytest.mark.parametrize(("revocation", "flags"), REQUESTS)
def test_what_windows_is_asked(judge: Judge, revocation: int, flags: int) -> None:
    judge(Chain(), revocation=revocation, url_timeout_ms=1234)  # 43, 44, 86

    assert [ChainRequest(CURRENT_USER_ENGINE, flags, 1234, SERVER_AUTH)] == judge.system.requests


def test_policy_is_asked_without_name_and_revocation(judge: Judge) -> None:
    judge(Chain(), host_name="server.test")  # 40, 42

    [(flags, checks, has_name)] = judge.system.policies
    assert (IGNORE_REVOCATION | IGNORE_NAME, False) == (checks, has_name)
    assert 0xF00 == flags & 0xF00  # CERT_CHAIN_POLICY_IGNORE_ALL_REV_UNKNOWN_FLAGS


def test_trust_bits_are_judged_before_the_policy(judge: Judge) -> None:
    verdict = judge(Chain(trust=crypt32.PARTIAL_CHAIN, elements=(0,)))  # 42: Wine overlooks it

    assert verdict is not None
    assert ("INCOMPLETE_CHAIN", []) == (verdict.reason, judge.system.policies)


@pytest.mark.parametrize("index", [-1, 0, 1])
def test_policy_has_a_say_of_its_own(judge: Judge, index: int) -> None:
    verdict = judge(Chain(policy=(signed(0x800B0112), index)))  # 42

    assert verdict is not None
    assert ("OTHER", signed(0x800B0112), max(index, 0)) == (
        verdict.reason,
        verdict.status,
        verdict.failing,
    )


def test_chain_that_cannot_be_built(judge: Judge) -> None:
    verdict = judge(Chain(error=0x8009310B))

    assert Verdict("OTHER", signed(0x8009310B), 0, 0) == verdict


def test_failure_without_a_code_still_has_a_status(judge: Judge) -> None:
    verdict = judge(Chain(error=0))

    assert verdict is not None
    assert ("OTHER", True) == (verdict.reason, verdict.status != 0)


def test_not_yet_valid_is_told_from_expired(judge: Judge) -> None:
    bits = crypt32.NOT_TIME_VALID
    verdict = judge(Chain(trust=bits, elements=(bits, 0), valid=FUTURE))

    assert verdict is not None
    assert "NOT_YET_VALID" == verdict.reason


def test_untrusted_root_of_one_is_self_signed(judge: Judge) -> None:
    bits = crypt32.UNTRUSTED_ROOT
    verdict = judge(Chain(trust=bits, elements=(bits,)))

    assert verdict is not None
    assert "SELF_SIGNED" == verdict.reason


NAMES = [
    ("server.test", b"", SAN, "NONE"),
    ("other.test", b"", SAN, "NAME_MISMATCH"),
    ("server.test", b"", None, "NAME_MISMATCH"),  # no subjectAltName at all
    (None, b"\x7f\x00\x00\x01", b"\x30\x06\x87\x04\x7f\x00\x00\x01", "NONE"),
    (None, b"\x7f\x00\x00\x01", SAN, "NAME_MISMATCH"),
    (None, b"", None, "NONE"),  # any host
]


@pytest.mark.parametrize(("name", "address", "san", "reason"), NAMES)
def test_name_is_ours_to_compare(
    judge: Judge, name: str | None, address: bytes, san: bytes | None, reason: str
) -> None:
    verdict = judge(Chain(), san=san, host_name=name, ip_address=address)  # 40

    assert verdict is not None
    assert (reason, 0) == (verdict.reason, verdict.failing)


def test_peer_without_certificate(judge: Judge) -> None:
    engine = judge.engine(None)  # 38

    job = judge.start(engine)
    verdict = judge.wait(job, 0)
    judge.lib.schan_verification_free(job)

    assert verdict is not None
    assert ("NO_CERTIFICATE", []) == (verdict.reason, judge.system.requests)


# ----------------------------------------------------------------------------------- trust anchors


def test_exclusive_anchors_have_an_engine_of_their_own(judge: Judge) -> None:
    engine = judge.engine(judge.system.certificate)
    bits = crypt32.UNTRUSTED_ROOT
    judge.system.chains.append(Chain(trust=bits, elements=(0, bits)))

    job = judge.start(engine, judge.trust(engine, exclusive=True))  # 41
    verdict = judge.wait(job)
    judge.lib.schan_verification_free(job)

    assert verdict is not None
    assert "UNKNOWN_CA" == verdict.reason
    assert [True] == [request.engine != CURRENT_USER_ENGINE for request in judge.system.requests]


ADDITIVE = [  # what our anchors make of it, what the machine's make of it, the verdict
    (0, None, "NONE"),
    (crypt32.UNTRUSTED_ROOT, 0, "NONE"),
    (crypt32.PARTIAL_CHAIN, 0, "NONE"),
    (crypt32.UNTRUSTED_ROOT, crypt32.UNTRUSTED_ROOT, "UNKNOWN_CA"),
    (crypt32.REVOKED, None, "REVOKED"),
    (crypt32.NOT_TIME_VALID, None, "EXPIRED"),
]


@pytest.mark.parametrize(("ours", "machine", "reason"), ADDITIVE)
def test_additional_anchors_stand_beside_the_machines(
    judge: Judge, ours: int, machine: int | None, reason: str
) -> None:
    engine = judge.engine(lambda: judge.system.certificate(SAN))
    both = (ours,) if machine is None else (ours, machine)
    judge.system.chains.extend(Chain(trust=bits, elements=(0, bits)) for bits in both)

    job = judge.start(engine, judge.trust(engine, exclusive=False), host_name="server.test")
    verdict = judge.wait(job)
    judge.lib.schan_verification_free(job)

    assert verdict is not None
    assert (reason, len(both)) == (verdict.reason, len(judge.system.requests))


@pytest.mark.parametrize("reason", ["UNKNOWN_CA", "NAME_MISMATCH"])
def test_refusal_reaches_the_peer(judge: Judge, reason: str) -> None:
    bits = crypt32.UNTRUSTED_ROOT if reason == "UNKNOWN_CA" else 0
    judge.system.chains.append(Chain(trust=bits, elements=(0, bits)))
    engine = judge.engine(judge.system.certificate)
    number = {"UNKNOWN_CA": 48, "NAME_MISMATCH": 42}[reason]
    judge.sspi.script(Control(token=schannel_alert(number)), Initialize(status=0, token=b"alert"))
    job = judge.start(engine, host_name="server.test")
    verdict = judge.ffi.new("schan_verdict *")
    judge.lib.schan_verification_wait(job, WAIT_MS, verdict)

    engine.verified(verdict.reason, verdict.status)  # 45
    judge.lib.schan_verification_free(job)

    assert HELLO + FINISHED + b"alert" == engine.drain()


# --------------------------------------------------------------------------------------- deadlines


def test_call_that_never_returns_keeps_nobody(judge: Judge) -> None:
    engine = judge.engine(judge.system.certificate)  # 86
    judge.system.gate.clear()
    job = judge.start(engine)
    assert judge.system.has_entered.wait(10.0)

    waited = [judge.wait(job, 0), judge.wait(job, 20)]
    judge.lib.schan_verification_free(job)
    engine.free()

    assert [None, None] == waited
    assert not judge.system.all_is_freed.is_set()  # the job still owns what Windows is using
    judge.system.gate.set()
    assert judge.system.all_is_freed.wait(10.0)


def test_verdict_that_comes_late_is_still_there(judge: Judge) -> None:
    engine = judge.engine(judge.system.certificate)  # 86
    judge.system.gate.clear()
    job = judge.start(engine)

    early = judge.wait(job, 20)
    judge.system.gate.set()
    late = [judge.wait(job), judge.wait(job, 0)]
    judge.lib.schan_verification_free(job)

    assert (None, [Verdict("NONE", 0, 0, 0)] * 2) == (early, late)


def test_wrap_gives_the_thread_back_in_time(tables: Tables) -> None:
    sspi, system = tables
    sspi.peer_certificate = system.certificate  # 86, from the public face
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    )
    system.gate.clear()

    error, elapsed = time_of_failing_wrap(timeout=0.4)
    system.gate.set()
    gc.collect()

    assert ("TLSTimeout", True) == (error, elapsed < 5.0)
    assert system.has_entered.is_set()
    assert system.all_is_freed.wait(10.0)


def time_of_failing_wrap(timeout: float) -> tuple[str, float]:
    """Return the name of the exception and the seconds until it came; nothing refers to it then."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(FLIGHT)
        started = time.monotonic()
        try:
            schannel_ffi.wrap(near, server_hostname="server.test", timeout=timeout)
        except schannel_ffi.TLSError as error:
            return type(error).__name__, time.monotonic() - started
    return "nothing", 0.0


def test_wrap_names_what_was_refused(tables: Tables) -> None:
    sspi, system = tables
    sspi.peer_certificate = lambda: system.certificate(SAN)
    sspi.script(
        Initialize(token=HELLO),
        Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        Control(token=schannel_alert(44)),
        Initialize(status=Status.SEC_E_OK, token=b"alert"),
    )
    system.chains.append(Chain(trust=crypt32.REVOKED, elements=()))
    near, far = socket.socketpair()
    config = TLSConfig(revocation=Revocation.REQUIRED)
    with near, far:
        far.sendall(FLIGHT)
        with pytest.raises(schannel_ffi.CertificateError) as raised:
            schannel_ffi.wrap(near, config=config, server_hostname="server.test", timeout=10.0)
        sent = far.recv(1000)

    assert CertificateReason.REVOKED is raised.value.reason
    assert ("CRYPT_E_REVOKED", HELLO + FINISHED + b"alert") == (raised.value.symbol, sent)


def test_many_verifications_at_once(judge: Judge) -> None:
    engines = [judge.engine(judge.system.certificate) for _ in range(8)]
    jobs = [judge.start(engine) for engine in engines]

    verdicts = [judge.wait(job) for job in jobs]
    for job in jobs:
        judge.lib.schan_verification_free(job)

    assert [Verdict("NONE", 0, 0, 0)] * 8 == verdicts
