"""Verifies chains on the two scripted tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from fake_sspi import FakeSSPI
from fake_sspi_script import Initialize
from fake_sspi_types import Status
from fake_system import Chain, FakeSystem
from scripted_engine import FINISHED, FLIGHT, HELLO, MakeEngine, ScriptedEngine

from schannel_ffi import _lib

WAIT_MS = 10_000
OFF, BEST_EFFORT, REQUIRED = 0, 1, 2
SAN = b"\x30\x0d\x82\x0bserver.test"


class Verdict(NamedTuple):
    reason: str
    status: int
    trust: int
    failing: int


class Judge:
    """Verifies chains on the two tables, each with a fresh engine that is past its handshake."""

    def __init__(self, sspi: FakeSSPI, system: FakeSystem, make_engine: MakeEngine) -> None:
        self.ffi, self.lib = _lib.require()
        self.sspi, self.system, self._make_engine = sspi, system, make_engine
        self._stack = contextlib.ExitStack()

    def engine(self, certificate: Callable[[], int] | None) -> ScriptedEngine:
        self.sspi.peer_certificate = certificate
        self.sspi.script(
            Initialize(token=HELLO),
            Initialize(given=FLIGHT, token=FINISHED, status=Status.SEC_E_OK),
        )
        engine = self._make_engine(self.system)
        assert engine.handshake(FLIGHT) == "WANT_VERIFY"
        return engine

    def start(self, engine: ScriptedEngine, trust: Any = None, **config: Any) -> Any:
        out, err = self.ffi.new("schan_verification **"), self.ffi.new("schan_error *")
        name = config.pop("host_name", None)
        wide = self.ffi.NULL if name is None else self.ffi.new("wchar_t[]", name)
        address = self.ffi.from_buffer("uint8_t[]", config.pop("ip_address", b""))
        fields = {"host_name": wide, "ip_address": {"data": address, "size": len(address)}}
        fields |= {"revocation": OFF, "url_timeout_ms": 1500, **config}
        c_config = self.ffi.new("schan_verify_config *", fields)
        trust = self.ffi.NULL if trust is None else trust
        result = self.lib.schan_verification_new(out, engine.handle, trust, c_config, err)
        assert result == 0, err.status
        return out[0]

    def wait(self, job: Any, timeout_ms: int = WAIT_MS) -> Verdict | None:
        verdict = self.ffi.new("schan_verdict *")
        result = self.lib.schan_verification_wait(job, timeout_ms, verdict)
        if result == self.lib.SCHAN_WANT_TIME:
            return None
        reason = self.ffi.typeof("schan_reason").elements[verdict.reason]
        return Verdict(
            reason.removeprefix("SCHAN_REASON_"),
            verdict.status,
            verdict.trust_status,
            verdict.failing_index,
        )

    def __call__(self, *chains: Chain, san: bytes | None = SAN, **config: Any) -> Verdict | None:
        """Verify one certificate and return the verdict."""
        self.system.chains.extend(chains)
        valid = chains[0].valid if chains else Chain().valid
        engine = self.engine(lambda: self.system.certificate(san, valid))
        job = self.start(engine, **config)
        verdict = self.wait(job)
        self.lib.schan_verification_free(job)
        engine.free()
        return verdict

    def trust(self, engine: ScriptedEngine, *, exclusive: bool) -> Any:
        """Return trust anchors of our own, freed with the judge."""
        out, err = self.ffi.new("schan_trust **"), self.ffi.new("schan_error *")
        root = self.ffi.from_buffer("uint8_t[]", b"root")
        roots, sizes = self.ffi.new("uint8_t *[]", [root]), self.ffi.new("size_t[]", [4])
        pointers = self.ffi.cast("const uint8_t *const *", roots)
        result = self.lib.schan_trust_from_roots(
            out, engine.library, pointers, sizes, 1, exclusive, err
        )
        assert result == 0, err.status
        self._stack.callback(self.lib.schan_trust_free, out[0])
        return out[0]

    def close(self) -> None:
        self._stack.close()
