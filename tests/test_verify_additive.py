"""Trust anchors besides the machine's: who is asked, whose verdict counts, what is given back.

Fake crypt32 and fake SSPI: no certificate, no network.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import fake_system as crypt32
import pytest
from fake_sspi import FakeSSPI
from fake_sspi_script import Control, Initialize
from fake_sspi_types import Status, schannel_alert, signed
from fake_system import Chain, FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine
from scripted_judge import REQUIRED, SAN, Judge, Verdict

import schannel_ffi
from schannel_ffi import Revocation, TLSConfig, TrustStore, _lib

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

MACHINE, OURS = "machine", "ours"
CURRENT_USER_ENGINE = 0
CERT_E_UNTRUSTEDROOT, CERT_E_CHAINING = 0x800B0109, 0x800B010A
GOOD = Chain()
EXPIRED_AND_PARTIAL = crypt32.NOT_TIME_VALID | crypt32.PARTIAL_CHAIN
DISTRUSTED_AND_PARTIAL = crypt32.EXPLICIT_DISTRUST | crypt32.PARTIAL_CHAIN


def chain(bits: int, *, policy: int = 0) -> Chain:
    return Chain(trust=bits, elements=(0, bits), policy=(signed(policy) if policy else 0, 0))


@pytest.fixture
def judge(sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine) -> Iterator[Judge]:
    judge = Judge(sspi, system, make_engine)
    yield judge
    judge.close()


def verdict_on(
    judge: Judge, chains: Sequence[Chain], *, exclusive: bool, name: str = "server.test"
) -> tuple[Verdict, list[bytes]]:
    """Return the verdict, and the chain's certificates as they are told."""
    judge.system.chains.extend(chains)
    engine = judge.engine(lambda: judge.system.certificate(SAN))
    trust = judge.trust(engine, exclusive=exclusive)
    job = judge.start(engine, trust, host_name=name, revocation=REQUIRED)
    verdict = judge.wait(job)
    told = [judge.lib.schan_verification_certificate(job, index) for index in range(4)]
    certificates = [bytes(judge.ffi.buffer(span.data, span.size)) for span in told if span.size]
    judge.lib.schan_verification_free(job)
    judge.close()
    engine.free()
    assert judge.system.all_is_freed.wait(10.0)  # Windows' thread may be the last to let go
    assert verdict is not None
    return verdict, certificates


def asked(judge: Judge) -> list[str]:
    """Return whose chain engines were asked, in order."""
    engines = [request.engine for request in judge.system.requests]
    return [MACHINE if engine == CURRENT_USER_ENGINE else OURS for engine in engines]


ADDITIVE = [  # what our engine says, what the machine's says, the verdict, who was asked
    # other anchors may mend all that comes from the chain's end
    (chain(EXPIRED_AND_PARTIAL), GOOD, "NONE", [OURS, MACHINE]),
    (chain(crypt32.PARTIAL_CHAIN | crypt32.REVOCATION_UNKNOWN), GOOD, "NONE", [OURS, MACHINE]),
    (chain(crypt32.UNTRUSTED_ROOT | crypt32.WEAK_SIGNATURE), GOOD, "NONE", [OURS, MACHINE]),
    (chain(crypt32.CYCLIC), GOOD, "NONE", [OURS, MACHINE]),
    # what is said of the certificate itself stays, whatever the chain ends in
    (chain(crypt32.REVOKED | crypt32.PARTIAL_CHAIN), None, "REVOKED", [OURS]),
    (chain(crypt32.REVOKED | crypt32.UNTRUSTED_ROOT), None, "REVOKED", [OURS]),
    (chain(DISTRUSTED_AND_PARTIAL), None, "DISTRUSTED", [OURS]),
    (chain(crypt32.EXPLICIT_DISTRUST | crypt32.CYCLIC), None, "DISTRUSTED", [OURS]),
    # the chain is whole: its fault has nothing to do with the anchors
    (chain(crypt32.NOT_TIME_VALID), None, "EXPIRED", [OURS]),
    (chain(0, policy=0x800B0112), None, "OTHER", [OURS]),
    # the machine's anchors make it whole, and then see another fault
    (chain(crypt32.PARTIAL_CHAIN), chain(crypt32.NOT_TIME_VALID), "EXPIRED", [OURS, MACHINE]),
    (chain(crypt32.PARTIAL_CHAIN), chain(crypt32.REVOKED), "REVOKED", [OURS, MACHINE]),
    (
        chain(crypt32.PARTIAL_CHAIN),
        chain(crypt32.REVOKED | crypt32.UNTRUSTED_ROOT),
        "REVOKED",
        [OURS, MACHINE],
    ),
]


@pytest.mark.parametrize(("ours", "machine", "reason", "engines"), ADDITIVE)
def test_anchors_of_ours_stand_beside_the_machines(
    judge: Judge, ours: Chain, machine: Chain | None, reason: str, engines: list[str]
) -> None:
    chains = [ours] if machine is None else [ours, machine]

    verdict, _ = verdict_on(judge, chains, exclusive=False)

    assert (reason, engines) == (verdict.reason, asked(judge))


BOTH_BAD = [  # ours, the machine's, and the reason, status and trust bits that are told: ours
    (crypt32.UNTRUSTED_ROOT, crypt32.PARTIAL_CHAIN, "UNKNOWN_CA", CERT_E_UNTRUSTEDROOT),
    (crypt32.PARTIAL_CHAIN, crypt32.UNTRUSTED_ROOT, "INCOMPLETE_CHAIN", CERT_E_CHAINING),
    (crypt32.CYCLIC, crypt32.UNTRUSTED_ROOT, "INCOMPLETE_CHAIN", CERT_E_CHAINING),
]


@pytest.mark.parametrize(("ours", "machine", "reason", "status"), BOTH_BAD)
def test_first_verdict_is_told_when_neither_side_knows_the_root(
    judge: Judge, ours: int, machine: int, reason: str, status: int
) -> None:
    verdict, _ = verdict_on(judge, [chain(ours), chain(machine)], exclusive=False)

    assert Verdict(reason, signed(status), ours, 1) == verdict


def test_name_is_compared_whoever_knows_the_root(judge: Judge) -> None:
    chains = [chain(crypt32.PARTIAL_CHAIN), GOOD]

    verdict, _ = verdict_on(judge, chains, exclusive=False, name="other.test")

    assert "NAME_MISMATCH" == verdict.reason


EXCLUSIVE = [  # what our engine says, the verdict
    (0, "NONE"),
    (crypt32.PARTIAL_CHAIN, "INCOMPLETE_CHAIN"),
    (crypt32.UNTRUSTED_ROOT, "UNKNOWN_CA"),
    (crypt32.CYCLIC, "INCOMPLETE_CHAIN"),
    (EXPIRED_AND_PARTIAL, "EXPIRED"),
    (DISTRUSTED_AND_PARTIAL, "DISTRUSTED"),
]


@pytest.mark.parametrize(("bits", "reason"), EXCLUSIVE)
def test_exclusive_anchors_never_ask_the_machine(judge: Judge, bits: int, reason: str) -> None:
    verdict, _ = verdict_on(judge, [chain(bits)], exclusive=True)

    assert (reason, [OURS]) == (verdict.reason, asked(judge))


def longer(bits: int) -> Chain:
    return Chain(trust=bits, elements=(0, 0, bits))


PARTIAL, UNKNOWN = crypt32.PARTIAL_CHAIN, crypt32.UNTRUSTED_ROOT
TOLD = [  # ours, the machine's, how many certificates the told chain has
    (longer(0), None, 3),
    (longer(PARTIAL), GOOD, 2),
    (GOOD, None, 2),
    (chain(PARTIAL), longer(UNKNOWN), 2),
    (longer(PARTIAL), chain(UNKNOWN), 3),
    (longer(PARTIAL), Chain(error=0x8009310B), 0),  # it cannot be built: that is told
    (Chain(error=0x8009310B), None, 0),
]


@pytest.mark.parametrize(("ours", "machine", "count"), TOLD)
def test_chain_told_is_the_one_that_was_judged_and_each_is_freed_once(
    judge: Judge, ours: Chain, machine: Chain | None, count: int
) -> None:
    freed: list[int] = []
    free = judge.system._CertFreeCertificateChain

    def note_and_free(chain: Any) -> None:
        freed.append(judge.system._address(chain))
        free(chain)

    judge.system.replace("CertFreeCertificateChain", note_and_free)
    chains = [ours] if machine is None else [ours, machine]

    _, certificates = verdict_on(judge, chains, exclusive=False)

    assert count == len(certificates)
    assert sum(each.error is None for each in chains) == len(freed) == len(set(freed))


# --- a certificate store as the trust anchors ---------------------------------------------------


UNKNOWN_PEER = (
    Initialize(token=HELLO),
    Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
    Control(token=schannel_alert(48)),
    Initialize(status=Status.SEC_E_OK, token=b"alert"),
)


@pytest.fixture
def tables(sspi: FakeSSPI, system: FakeSystem) -> Iterator[tuple[FakeSSPI, FakeSystem]]:
    """The public face uses the two tables for the length of a test."""
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(system.address)
    yield sspi, system
    _lib.use_function_table(None)
    _lib.use_system_table(None)


def refused_wrap(sspi: FakeSSPI, system: FakeSystem, trust: TrustStore) -> str:
    """Make a connection whose peer nobody knows; return why it was refused."""
    sspi.peer_certificate = lambda: system.certificate(SAN)
    sspi.script(*UNKNOWN_PEER)
    system.chains.append(Chain(trust=crypt32.UNTRUSTED_ROOT, elements=()))
    config = TLSConfig(trust=trust, revocation=Revocation.OFF)
    near, far = socket.socketpair()
    with near, far:
        far.sendall(FLIGHT)
        with pytest.raises(schannel_ffi.CertificateError) as raised:
            schannel_ffi.wrap(near, config=config, server_hostname="server.test", timeout=10.0)
    return str(raised.value.reason)


KEPT = [  # trust, chain engines made for three connections
    (TrustStore.from_store("Ours"), 3),  # what left the store is no anchor any more
    (TrustStore.from_store("Ours", "LocalMachine"), 3),
    (TrustStore(roots=(b"root",)), 1),  # a value: what it stands for cannot change
    (TrustStore.system(), 0),  # Windows keeps its own engine up to date
]


@pytest.mark.parametrize(("trust", "engines"), KEPT, ids=["store", "machine", "roots", "system"])
def test_store_is_opened_anew_for_each_connection(
    tables: tuple[FakeSSPI, FakeSystem], trust: TrustStore, engines: int
) -> None:
    sspi, system = tables

    reasons = [refused_wrap(sspi, system, trust) for _ in range(3)]
    gc.collect()

    assert ["unknown CA"] * 3 == reasons
    assert (engines, engines) == (len(system.engine_configs), len(system.opened_stores))


def test_store_of_a_connection_that_has_ended_is_closed(
    tables: tuple[FakeSSPI, FakeSystem],
) -> None:
    sspi, system = tables

    refused_wrap(sspi, system, TrustStore.from_store("Ours"))
    gc.collect()

    assert {0} == set(system._alive.values())
