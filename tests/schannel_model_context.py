"""What the model keeps of a credential and of a security context, and what it counts.

`Ledger` holds what was given out and not yet given back, and every misuse.
"""

from __future__ import annotations

import enum
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from fake_sspi_types import CredentialFlag, Status
from schannel_model_tls import Endpoint, watch
from schannel_model_types import ffi

_NO_EMPTY_FRAGMENTS = 0x800  # SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS: one record for one message
_WIRE_VERSIONS = (0x0301, 0x0302, 0x0303, 0x0304)


@dataclass(frozen=True)
class KnownIdentity:
    """The key that belongs to a certificate, and the chain that Windows would build for it."""

    chain_pem: bytes
    key_pem: bytes

    def chain_der(self) -> list[bytes]:
        """Return the certificates, leaf first."""
        end = "-----END CERTIFICATE-----"
        pems = self.chain_pem.decode("ascii").split(end)[:-1]
        return [ssl.PEM_cert_to_DER_cert(pem.strip() + f"\n{end}\n") for pem in pems]


class Phase(enum.Enum):
    """What a security context is in the middle of."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    POST_HANDSHAKE = "post-handshake"  # ISC has to have what DecryptMessage gave back
    RENEGOTIATION_DUE = "renegotiation is due"  # ISC without input comes next (row 60)
    EXPIRED = "expired"  # the peer's close_notify was read
    FAILED = "failed"


@dataclass
class Credential:
    """A credential handle: versions, certificate, and the sessions that can be resumed (row 12)."""

    key: int
    is_server: bool
    versions: tuple[int, ...]  # on the wire: 0x0303 is TLS 1.2
    flags: CredentialFlag
    identity: KnownIdentity | None = None
    resumes: bool = True
    sessions: dict[tuple[str, bytes], ssl.SSLSession] = field(default_factory=dict)
    _contexts: dict[bytes, ssl.SSLContext] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_endpoint(self, target: str, alpn: bytes) -> Endpoint:
        """Return a new connection's end; `alpn` is RFC 7301's list of names."""
        with self._lock:
            if alpn not in self._contexts:
                self._contexts[alpn] = self._new_context(alpn)
            context = self._contexts[alpn]
        session = None if self.is_server else self.sessions.get((target, alpn))
        endpoint = Endpoint(context, is_server=self.is_server, name=target, session=session)
        endpoint.extras.allow_versions(min(self.versions), max(self.versions))
        if self.identity is not None:
            endpoint.extras.use_identity(self.identity.chain_pem, self.identity.key_pem)
        return endpoint

    def keep_session(self, target: str, alpn: bytes, endpoint: Endpoint) -> None:
        """Remember how the connection can be resumed; under TLS 1.3 that takes a ticket."""
        session = None if self.is_server or not self.resumes else endpoint.tls.session
        if session is not None and (session.has_ticket or not endpoint.is_tls13):
            self.sessions[(target, alpn)] = session

    def _new_context(self, alpn: bytes) -> ssl.SSLContext:
        protocol = ssl.PROTOCOL_TLS_SERVER if self.is_server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # SCH_CRED_MANUAL_CRED_VALIDATION
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.options |= _NO_EMPTY_FRAGMENTS
        if alpn:
            context._set_alpn_protocols(alpn)  # type: ignore[attr-defined]  # any bytes
        watch(context)
        return context


@dataclass
class SecurityContext:
    """A security context.

    seen: bytes that OpenSSL has had and the caller has to present again, in front of what follows.
    outcome: of a flight whose last record is left over (Feeding.FLIGHT_BUT_LAST). last_input: of an
    ISC that wanted more. held_at: where the record begins at which a certificate was wanted.
    """

    key: int
    credential: Credential
    target: str
    alpn: bytes
    endpoint: Endpoint
    requested: int
    phase: Phase = Phase.HANDSHAKE
    seen: bytes = b""
    outcome: Any = None
    last_input: bytes | None = None
    held_at: int | None = None
    control: bytes | None = None
    is_shut_down: bool = False
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    keying: tuple[bytes, bytes, int] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_server(self) -> bool:
        return self.credential.is_server


class Ledger:
    """Everything acquired and not freed, and every misuse."""

    def __init__(self) -> None:
        self.misuses: list[str] = []
        self.credentials: dict[int, Credential] = {}
        self.contexts: dict[int, SecurityContext] = {}
        self._buffers: dict[int, Any] = {}
        self._next_handle = 0x1000
        self._lock = threading.Lock()
        self._freed = threading.Condition()

    def new_handle(self) -> int:
        with self._lock:
            self._next_handle += 0x10
            return self._next_handle

    def misuse(self, text: str, status: int = Status.SEC_E_INVALID_TOKEN) -> int:
        """Note a misuse; returns the status that Windows gives for it."""
        self.misuses.append(text)
        return status

    def expect(self, condition: object, text: str) -> bool:
        if not condition:
            self.misuses.append(text)
        return bool(condition)

    def give(self, data: bytes) -> Any:
        """Return memory with `data`, which FreeContextBuffer takes back."""
        return self.keep(ffi.new("uint8_t[]", data or b"\0"))

    def keep(self, memory: Any, *others: Any) -> Any:
        """Return `memory`; it and the `others` that it points to live until FreeContextBuffer."""
        self._buffers[address_of(memory)] = (memory, others)
        return memory

    def free(self, memory: Any) -> int:
        """Play FreeContextBuffer."""
        if self._buffers.pop(address_of(memory), None) is None:
            return self.misuse(
                "FreeContextBuffer of what is not SSPI's, or was freed before",
                Status.SEC_E_INVALID_HANDLE,
            )
        self.note_freed()
        return Status.SEC_E_OK

    def note_freed(self) -> None:
        """Wake who waits in `wait_until_empty`."""
        with self._freed:
            self._freed.notify_all()

    def wait_until_empty(self, limit_s: float) -> None:
        """Wait for threads that let go later; returns at the limit, too."""
        with self._freed:
            self._freed.wait_for(lambda: not self.alive(), limit_s)

    def alive(self) -> list[tuple[str, int]]:
        """Return what was not given back: its kind and number."""
        return [
            *(("context buffer", address) for address in list(self._buffers)),
            *(("security context", key) for key in list(self.contexts)),
            *(("credential", key) for key in list(self.credentials)),
        ]


def address_of(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def buffers_of(description: Any) -> list[Any]:
    """Return the SecBuffers of a SecBufferDesc; NULL has none."""
    if description == ffi.NULL:
        return []
    return [description.pBuffers[index] for index in range(description.cBuffers)]


def bytes_of(buffer: Any) -> bytes:
    if buffer.pvBuffer == ffi.NULL:
        return b""
    return bytes(ffi.buffer(buffer.pvBuffer, buffer.cbBuffer))


def fill(buffer: Any, kind: int, pointer: Any = ffi.NULL, size: int = 0) -> None:
    """Set a SecBuffer."""
    buffer.BufferType, buffer.pvBuffer, buffer.cbBuffer = kind, pointer, size
