"""A `schan_system` whose crypt32 plays what a test says: chains, their trust bits, the policy.

    system.chains.append(Chain(trust=CERT_TRUST_IS_REVOKED, elements=(0, 0x4)))

Certificates, chains, stores and chain engines are counted; `problems()` tells which were not given
back, and a fixture fails on it. What is not replaced is Windows' own. Calls may come on Windows'
threads: `gate` holds CertGetCertificateChain there until a test opens it (row 86).
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cffi

from schannel_ffi import _lib

SUBJECT_ALT_NAME = "2.5.29.17"
GATE_LIMIT_S = 30.0
LONG_AGO, FAR_AHEAD = (0, 0x01000000), (0, 0x03000000)  # FILETIME: low, high; about 1829 and 2058

# CERT_TRUST_*: what TrustStatus.dwErrorStatus is made of
NOT_TIME_VALID = 0x1
NOT_TIME_NESTED = 0x2
REVOKED = 0x4
NOT_SIGNATURE_VALID = 0x8
NOT_VALID_FOR_USAGE = 0x10
UNTRUSTED_ROOT = 0x20
REVOCATION_UNKNOWN = 0x40
CYCLIC = 0x80
INVALID_EXTENSION = 0x100
INVALID_POLICY_CONSTRAINTS = 0x200
INVALID_BASIC_CONSTRAINTS = 0x400
INVALID_NAME_CONSTRAINTS = 0x800
NOT_SUPPORTED_NAME_CONSTRAINT = 0x1000
NOT_DEFINED_NAME_CONSTRAINT = 0x2000
NOT_PERMITTED_NAME_CONSTRAINT = 0x4000
EXCLUDED_NAME_CONSTRAINT = 0x8000
PARTIAL_CHAIN = 0x10000
WEAK_SIGNATURE = 0x100000
OFFLINE_REVOCATION = 0x1000000
EXPLICIT_DISTRUST = 0x4000000
NOT_SUPPORTED_CRITICAL_EXT = 0x8000000

ffi: Any = cffi.FFI()
ffi.cdef(
    """
    typedef struct { uint32_t cbData; void *pbData; } BLOB;
    typedef struct { uint32_t cbData; void *pbData; uint32_t cUnusedBits; } BIT_BLOB;
    typedef struct { char *pszObjId; BLOB Parameters; } ALGORITHM;
    typedef struct { uint32_t low; uint32_t high; } FILETIME;
    typedef struct { char *pszObjId; int fCritical; BLOB Value; } CERT_EXTENSION;
    typedef struct {
        uint32_t dwVersion; BLOB SerialNumber; ALGORITHM SignatureAlgorithm; BLOB Issuer;
        FILETIME NotBefore; FILETIME NotAfter; BLOB Subject; ALGORITHM KeyAlgorithm;
        BIT_BLOB PublicKey; BIT_BLOB IssuerUniqueId; BIT_BLOB SubjectUniqueId;
        uint32_t cExtension; CERT_EXTENSION *rgExtension;
    } CERT_INFO;
    typedef struct {
        uint32_t dwCertEncodingType; uint8_t *pbCertEncoded; uint32_t cbCertEncoded;
        CERT_INFO *pCertInfo; void *hCertStore;
    } CERT_CONTEXT;
    typedef struct { uint32_t dwErrorStatus; uint32_t dwInfoStatus; } TRUST_STATUS;
    typedef struct {
        uint32_t cbSize; CERT_CONTEXT *pCertContext; TRUST_STATUS TrustStatus;
        void *pRevocationInfo; void *pIssuanceUsage; void *pApplicationUsage;
        wchar_t *pwszExtendedErrorInfo;
    } CHAIN_ELEMENT;
    typedef struct {
        uint32_t cbSize; TRUST_STATUS TrustStatus; uint32_t cElement; CHAIN_ELEMENT **rgpElement;
        void *pTrustListInfo; int fHasFreshness; uint32_t dwFreshness;
    } SIMPLE_CHAIN;
    typedef struct {
        uint32_t cbSize; TRUST_STATUS TrustStatus; uint32_t cChain; SIMPLE_CHAIN **rgpChain;
        uint32_t cLower; void *rgpLower; int fHasFreshness; uint32_t dwFreshness;
        uint32_t dwCreateFlags; uint8_t ChainId[16];
    } CHAIN_CONTEXT;
    typedef struct { uint32_t cUsage; char **rgpszUsage; } USAGE;
    typedef struct { uint32_t dwType; USAGE Usage; } USAGE_MATCH;
    typedef struct {
        uint32_t cbSize; USAGE_MATCH RequestedUsage; USAGE_MATCH RequestedIssuancePolicy;
        uint32_t dwUrlRetrievalTimeout;
    } CHAIN_PARA;
    typedef struct {
        uint32_t cbSize; void *hRestrictedRoot; void *hRestrictedTrust; void *hRestrictedOther;
        uint32_t cAdditionalStore; void *rghAdditionalStore; uint32_t dwFlags;
        uint32_t dwUrlRetrievalTimeout; uint32_t MaximumCachedCertificates;
        uint32_t CycleDetectionModulus; void *hExclusiveRoot; void *hExclusiveTrustedPeople;
        uint32_t dwExclusiveFlags;
    } ENGINE_CONFIG;
    typedef struct { uint32_t cbSize; uint32_t dwFlags; void *pvExtra; } POLICY_PARA;
    typedef struct {
        uint32_t cbSize; uint32_t dwAuthType; uint32_t fdwChecks; wchar_t *pwszServerName;
    } SSL_POLICY;
    typedef struct {
        uint32_t cbSize; uint32_t dwError; int32_t lChainIndex; int32_t lElementIndex;
        void *pvExtra;
    } POLICY_STATUS;
    void __stdcall SetLastError(uint32_t code);
    """
)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """An answer of CertGetCertificateChain.

    trust: bits of the whole chain; elements: bits of each certificate, leaf first; error: the call
    fails with this code instead. policy: dwError and lElementIndex of the SSL policy.
    """

    trust: int = 0
    elements: tuple[int, ...] = (0, 0)
    valid: tuple[tuple[int, int], tuple[int, int]] = (LONG_AGO, FAR_AHEAD)
    error: int | None = None
    policy: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a certificate says of itself beside its names: who holds and who signed it, and how."""

    subject: bytes = b""
    issuer: bytes = b""
    signature: str = ""
    parameters: bytes = b""


@dataclass(frozen=True)
class ChainRequest:
    """What CertGetCertificateChain was asked."""

    engine: int
    flags: int
    url_timeout_ms: int
    usages: tuple[int, tuple[bytes, ...]]


def address_of(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


class FakeSystem:
    """The table (`address`), the answers still to be given, and what was not given back."""

    def __init__(self) -> None:
        self.engine_ffi, self.table = _lib.system_table_default()
        self.address = int(self.engine_ffi.cast("uintptr_t", self.table))
        self.build = 26100
        self.chains: deque[Chain] = deque()
        self.requests: list[ChainRequest] = []
        self.judged: list[tuple[int, int]] = []  # certificate, additional store
        self.roles: list[int] = []  # dwAuthType of the SSL policy
        self.policies: list[tuple[int, int, bool]] = []  # dwFlags, fdwChecks, has a name
        self.engine_configs: list[tuple[int, int, bool]] = []  # cbSize, flags, has anchors
        self.engine_errors: deque[int | None] = deque()
        self.store_errors: deque[int | None] = deque()
        self.certificate_errors: deque[int | None] = deque()
        self.opened_stores: list[tuple[int, str]] = []  # flags, name
        self.added: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        self.has_entered = threading.Event()
        self.all_is_freed = threading.Event()
        self.misuses: list[str] = []
        self._alive: Counter[tuple[str, int]] = Counter()
        self._kept: list[Any] = []
        self._answers: dict[int, Chain] = {}
        self._sent: dict[int, list[int]] = {}  # the certificates of a store
        self._lock = threading.Lock()
        self._next_handle = 0x10
        self._kernel32: Any = None
        for name in (
            "WindowsBuild",
            "CertDuplicateCertificateContext",
            "CertFreeCertificateContext",
            "CertOpenStore",
            "CertCloseStore",
            "CertEnumCertificatesInStore",
            "CertAddEncodedCertificateToStore",
            "CertCreateCertificateChainEngine",
            "CertFreeCertificateChainEngine",
            "CertGetCertificateChain",
            "CertFreeCertificateChain",
            "CertVerifyCertificateChainPolicy",
        ):
            self.replace(name, getattr(self, f"_{name}"))

    def replace(self, name: str, function: Callable[..., Any]) -> None:
        """Put a Python function into the table; an exception in it is a misuse."""

        def note(_kind: Any, value: Any, _trace: Any) -> None:
            self.misuses.append(f"the fake itself failed in {name}: {value!r}")

        kind = self.engine_ffi.typeof(getattr(self.table, name))
        callback = self.engine_ffi.callback(kind, function, onerror=note)
        self._kept.append(callback)
        setattr(self.table, name, callback)

    def problems(self) -> list[str]:
        """Return all that was wrong until now; nothing may be alive any more."""
        alive = [
            f"{kind} {key:#x} was not given back" for (kind, key), n in self._alive.items() if n
        ]
        return [*self.misuses, *alive, *(f"never asked for: {chain}" for chain in self.chains)]

    def certificate(
        self,
        subject_alt_name: bytes | None = None,
        valid: tuple[tuple[int, int], tuple[int, int]] = (LONG_AGO, FAR_AHEAD),
        der: bytes = b"leaf",
        names: Names | None = None,
    ) -> int:
        """Make a CERT_CONTEXT, as QueryContextAttributes does: the reference is the caller's."""
        certificate = self._make_certificate(subject_alt_name, valid, der, names)
        self._acquire("certificate", address_of(certificate))
        return address_of(certificate)

    def sent(self, leaf: int, *certificates: tuple[bytes, Names | None]) -> int:
        """Put certificates, DER and names, into the leaf's store in the order of enumeration.

        None for the names stands for the leaf's own. Returns the leaf.
        """
        context = ffi.cast("CERT_CONTEXT *", leaf)
        store = self._handle()
        context.hCertStore = ffi.cast("void *", store)
        self._sent[store] = [
            address_of(self._make_certificate(None, (LONG_AGO, FAR_AHEAD), der, names))
            for der, names in certificates
        ]
        return leaf

    # ------------------------------------------------------------------------------- plumbing

    def _make_certificate(
        self, names: bytes | None, valid: Any, der: bytes, told: Names | None = None
    ) -> Any:
        told = told or Names()
        info, encoded = ffi.new("CERT_INFO *"), ffi.new("uint8_t[]", der)
        (info.NotBefore.low, info.NotBefore.high), (info.NotAfter.low, info.NotAfter.high) = valid
        if names is not None:
            value = ffi.new("uint8_t[]", names)
            oid = ffi.new("char[]", SUBJECT_ALT_NAME.encode())
            extensions = ffi.new("CERT_EXTENSION[1]")
            extensions[0].pszObjId = oid
            extensions[0].Value.cbData, extensions[0].Value.pbData = len(names), value
            info.cExtension, info.rgExtension = 1, extensions
            self._kept += [value, oid, extensions]
        for blob, text in (
            (info.Subject, told.subject),
            (info.Issuer, told.issuer),
            (info.SignatureAlgorithm.Parameters, told.parameters),
        ):
            blob.cbData, blob.pbData = len(text), self._keep(ffi.new("uint8_t[]", text))
        if told.signature:
            oid = self._keep(ffi.new("char[]", told.signature.encode()))
            info.SignatureAlgorithm.pszObjId = oid
        fields = (1, encoded, len(der), info, ffi.NULL)
        certificate = ffi.new("CERT_CONTEXT *", fields)
        self._kept += [info, encoded, certificate]
        return certificate

    def _keep(self, memory: Any) -> Any:
        self._kept.append(memory)
        return memory

    def _handle(self) -> int:
        with self._lock:
            self._next_handle += 0x10
            return self._next_handle

    def _acquire(self, kind: str, key: int) -> None:
        with self._lock:
            self._alive[kind, key] += 1
            self.all_is_freed.clear()

    def _release(self, kind: str, key: int) -> None:
        with self._lock:
            self._alive[kind, key] -= 1
            if self._alive[kind, key] < 0:
                self.misuses.append(f"{kind} {key:#x} was given back once too often")
            if not any(self._alive.values()):
                self.all_is_freed.set()

    def _fail(self, code: int) -> None:
        if self._kernel32 is None:
            self._kernel32 = ffi.dlopen("kernel32.dll")
        self._kernel32.SetLastError(code & 0xFFFFFFFF)

    def _pointer(self, kind: str, address: int) -> Any:
        return self.engine_ffi.cast(kind, address)

    def _address(self, pointer: Any) -> int:
        return int(self.engine_ffi.cast("uintptr_t", pointer))

    def _own(self, kind: str, pointer: Any) -> Any:
        """Return a pointer of the engine's ffi as one of the types above."""
        return ffi.cast(kind, self._address(pointer))

    # -------------------------------------------------------------------------------- the table

    def _WindowsBuild(self) -> int:  # noqa: N802  # named as Windows' functions are
        return self.build

    def _CertDuplicateCertificateContext(self, certificate: Any) -> Any:  # noqa: N802
        self._acquire("certificate", self._address(certificate))
        return certificate

    def _CertFreeCertificateContext(self, certificate: Any) -> int:  # noqa: N802
        self._release("certificate", self._address(certificate))
        return 1

    def _CertOpenStore(self, *arguments: Any) -> Any:  # noqa: N802
        _provider, _encoding, _unused, flags, parameter = arguments
        name = ffi.string(self._own("wchar_t *", parameter)) if self._address(parameter) else ""
        self.opened_stores.append((flags, name))
        error = self.store_errors.popleft() if self.store_errors else None
        if error is not None:
            self._fail(error)
            return self.engine_ffi.NULL
        handle = self._handle()
        self._acquire("store", handle)
        return self._pointer("void *", handle)

    def _CertCloseStore(self, store: Any, _flags: int) -> int:  # noqa: N802
        self._release("store", self._address(store))
        return 1

    def _CertEnumCertificatesInStore(self, store: Any, previous: Any) -> Any:  # noqa: N802
        at, found = 0, self._sent[self._address(store)]
        if self._address(previous):
            self._release("certificate", self._address(previous))
            at = found.index(self._address(previous)) + 1
        if at == len(found):
            return self.engine_ffi.NULL
        self._acquire("certificate", found[at])
        return self._pointer("PCCERT_CONTEXT", found[at])

    def _CertAddEncodedCertificateToStore(self, *arguments: Any) -> int:  # noqa: N802
        _store, _encoding, der, size, *_ = arguments
        error = self.certificate_errors.popleft() if self.certificate_errors else None
        if error is not None:
            self._fail(error)
            return 0
        self.added.append(bytes(self.engine_ffi.buffer(der, size)))
        return 1

    def _CertCreateCertificateChainEngine(self, config: Any, out: Any) -> int:  # noqa: N802
        asked = self._own("ENGINE_CONFIG *", config)
        is_full = asked.cbSize == ffi.sizeof("ENGINE_CONFIG")
        flags = asked.dwExclusiveFlags if is_full else 0
        self.engine_configs.append((asked.cbSize, flags, asked.hExclusiveRoot != ffi.NULL))
        error = self.engine_errors.popleft() if self.engine_errors else None
        if error is not None:
            self._fail(error)
            return 0
        handle = self._handle()
        self._acquire("chain engine", handle)
        out[0] = self._pointer("void *", handle)
        return 1

    def _CertFreeCertificateChainEngine(self, engine: Any) -> None:  # noqa: N802
        self._release("chain engine", self._address(engine))

    def _CertGetCertificateChain(self, *arguments: Any) -> int:  # noqa: N802
        engine, certificate, _time, more, parameters, flags, _reserved, out = arguments
        self.judged.append((self._address(certificate), self._address(more)))
        asked = self._own("CHAIN_PARA *", parameters)
        usage = asked.RequestedUsage
        names = usage.Usage
        usages = tuple(ffi.string(names.rgpszUsage[i]) for i in range(names.cUsage))
        request = ChainRequest(
            self._address(engine), flags, asked.dwUrlRetrievalTimeout, (usage.dwType, usages)
        )
        self.requests.append(request)
        self.has_entered.set()
        if not self.gate.wait(GATE_LIMIT_S):
            self.misuses.append("the test never opened the gate")
        answer = self.chains.popleft() if self.chains else Chain()
        if answer.error is not None:
            self._fail(answer.error)
            return 0
        made = self._make_chain(answer, self._own("CERT_CONTEXT *", certificate))
        self._acquire("chain", made)
        out[0] = self._pointer("PCCERT_CHAIN_CONTEXT", made)
        return 1

    def _make_chain(self, answer: Chain, leaf: Any) -> int:
        elements = ffi.new("CHAIN_ELEMENT *[]", len(answer.elements))
        for index, bits in enumerate(answer.elements):
            certificate = leaf
            if index > 0:
                certificate = self._make_certificate(None, answer.valid, b"issuer %d" % index)
            element = ffi.new("CHAIN_ELEMENT *", (ffi.sizeof("CHAIN_ELEMENT"), certificate))
            element.TrustStatus.dwErrorStatus = bits
            elements[index] = element
            self._kept.append(element)
        simple = ffi.new("SIMPLE_CHAIN *", {"cElement": len(elements), "rgpElement": elements})
        chains = ffi.new("SIMPLE_CHAIN *[]", [simple])
        chain = ffi.new("CHAIN_CONTEXT *", {"cChain": 1, "rgpChain": chains})
        chain.TrustStatus.dwErrorStatus = answer.trust
        self._kept += [elements, simple, chains, chain]
        self._answers[address_of(chain)] = answer
        return address_of(chain)

    def _CertFreeCertificateChain(self, chain: Any) -> None:  # noqa: N802
        self._release("chain", self._address(chain))

    def _CertVerifyCertificateChainPolicy(  # noqa: N802
        self, policy: Any, chain: Any, parameters: Any, status: Any
    ) -> int:
        ssl_policy = 4
        if self._address(policy) != ssl_policy:
            self.misuses.append(f"policy {self._address(policy)} is not CERT_CHAIN_POLICY_SSL")
        asked = self._own("POLICY_PARA *", parameters)
        server = ffi.cast("SSL_POLICY *", asked.pvExtra)
        self.roles.append(server.dwAuthType)
        has_name = server.pwszServerName != ffi.NULL
        self.policies.append((asked.dwFlags, server.fdwChecks, has_name))
        told = self._own("POLICY_STATUS *", status)
        error, index = self._answers[self._address(chain)].policy
        told.dwError, told.lElementIndex = error & 0xFFFFFFFF, index
        return 1
