"""The values of SSPI: packages, buffers, flags and statuses, under Windows' names without prefixes.

Source: Microsoft Learn, "SSPI" and its structures; sspi.h of the Windows SDK.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

from schannel_ffi.errors import TLSError

READONLY: Final = 0x80000000
"""SECBUFFER_READONLY: beside a type, the package does not write there and leaves it unsigned."""
READONLY_WITH_CHECKSUM: Final = 0x10000000
"""SECBUFFER_READONLY_WITH_CHECKSUM: beside a type, not written there but covered by signatures."""

NATIVE_REPRESENTATION: Final = 0x10
"""SECURITY_NATIVE_DREP: the byte order of this machine."""


class Status(enum.IntEnum):
    """A status that is no failure (SEC_E_OK and SEC_I_*); one that Windows adds later is a number.

    Failures are raised: `SSPIError.symbol` has their name.
    """

    OK = 0
    CONTINUE_NEEDED = 0x00090312
    COMPLETE_NEEDED = 0x00090313
    COMPLETE_AND_CONTINUE = 0x00090314
    LOCAL_LOGON = 0x00090315
    GENERIC_EXTENSION_RECEIVED = 0x00090316
    CONTEXT_EXPIRED = 0x00090317
    INCOMPLETE_CREDENTIALS = 0x00090320
    RENEGOTIATE = 0x00090321
    NO_LSA_CONTEXT = 0x00090323
    SIGNATURE_NEEDED = 0x0009035C
    NO_RENEGOTIATION = 0x00090360
    MESSAGE_FRAGMENT = 0x00090364
    CONTINUE_NEEDED_MESSAGE_OK = 0x00090366
    ASYNC_CALL_PENDING = 0x00090368

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        """Give a status that is not listed a number for its name."""
        if not isinstance(value, int):
            return None
        made = int.__new__(cls, value)
        made._name_, made._value_ = f"0x{value:08X}", value
        return made

    @property
    def symbol(self) -> str:
        """The name that sspi.h has for it, such as "SEC_I_CONTINUE_NEEDED"."""
        prefix = {0: "SEC_E_"}.get(int(self), "SEC_I_")
        return self.name if self.name.startswith("0x") else prefix + self.name

    @property
    def text(self) -> str:
        """What it means, in one sentence."""
        return _TEXTS.get(int(self), "a status that is not known here")


_TEXTS: Final[dict[int, str]] = {
    Status.OK: "the call is done",
    Status.CONTINUE_NEEDED: "the token must go to the peer and its answer to the next call",
    Status.COMPLETE_NEEDED: "the token must be completed by CompleteAuthToken before it is sent",
    Status.COMPLETE_AND_CONTINUE: "complete the token, send it, and go on with the answer",
    Status.LOCAL_LOGON: "the logon was completed here; no network authority was asked",
    Status.GENERIC_EXTENSION_RECEIVED: "a TLS extension that was subscribed to has come",
    Status.CONTEXT_EXPIRED: "the peer has closed its direction",
    Status.INCOMPLETE_CREDENTIALS: "the peer asks for a credential; the same input again with one",
    Status.RENEGOTIATE: "a handshake message came: give EXTRA to InitializeSecurityContext",
    Status.NO_LSA_CONTEXT: "the security context is not in this process",
    Status.SIGNATURE_NEEDED: "a signature is needed before the negotiation is done",
    Status.NO_RENEGOTIATION: "the peer does not renegotiate",
    Status.MESSAGE_FRAGMENT: "the token is a fragment; call again for the next one",
    Status.CONTINUE_NEEDED_MESSAGE_OK: "the message is good, and the handshake goes on",
    Status.ASYNC_CALL_PENDING: "the call goes on by itself",
}


class Capability(enum.IntFlag):
    """SECPKG_FLAG_*: what a security package can do."""

    INTEGRITY = 0x1
    PRIVACY = 0x2
    TOKEN_ONLY = 0x4
    DATAGRAM = 0x8
    CONNECTION = 0x10
    MULTI_REQUIRED = 0x20
    CLIENT_ONLY = 0x40
    EXTENDED_ERROR = 0x80
    IMPERSONATION = 0x100
    ACCEPT_WIN32_NAME = 0x200
    STREAM = 0x400
    NEGOTIABLE = 0x800
    GSS_COMPATIBLE = 0x1000
    LOGON = 0x2000
    ASCII_BUFFERS = 0x4000
    FRAGMENT = 0x8000
    MUTUAL_AUTH = 0x10000
    DELEGATION = 0x20000
    READONLY_WITH_CHECKSUM = 0x40000
    RESTRICTED_TOKENS = 0x80000
    NEGO_EXTENDER = 0x100000
    NEGOTIABLE2 = 0x200000
    APPCONTAINER_PASSTHROUGH = 0x400000
    APPCONTAINER_CHECKS = 0x800000
    CREDENTIAL_ISOLATION_ENABLED = 0x1000000
    APPLY_LOOPBACK = 0x2000000


class CredentialUse(enum.IntFlag):
    """SECPKG_CRED_*: what a credential is for."""

    INBOUND = 0x1
    OUTBOUND = 0x2
    BOTH = INBOUND | OUTBOUND
    DEFAULT = 0x4
    AUTOLOGON_RESTRICTED = 0x10
    PROCESS_POLICY_ONLY = 0x20


class InitializeFlag(enum.IntFlag):
    """ISC_REQ_* and, where they differ in name only, ISC_RET_*: asked for and granted."""

    DELEGATE = 0x1
    MUTUAL_AUTH = 0x2
    REPLAY_DETECT = 0x4
    SEQUENCE_DETECT = 0x8
    CONFIDENTIALITY = 0x10
    USE_SESSION_KEY = 0x20
    PROMPT_FOR_CREDS = 0x40
    USE_SUPPLIED_CREDS = 0x80
    ALLOCATE_MEMORY = 0x100
    USE_DCE_STYLE = 0x200
    DATAGRAM = 0x400
    CONNECTION = 0x800
    CALL_LEVEL = 0x1000
    FRAGMENT_SUPPLIED = 0x2000
    EXTENDED_ERROR = 0x4000
    STREAM = 0x8000
    INTEGRITY = 0x10000
    IDENTIFY = 0x20000
    NULL_SESSION = 0x40000
    MANUAL_CRED_VALIDATION = 0x80000
    FRAGMENT_TO_FIT = 0x200000
    FORWARD_CREDENTIALS = 0x400000
    NO_INTEGRITY = 0x800000
    USE_HTTP_STYLE = 0x1000000
    UNVERIFIED_TARGET_NAME = 0x20000000
    CONFIDENTIALITY_ONLY = 0x40000000


class AcceptFlag(enum.IntFlag):
    """ASC_REQ_* and, where they differ in name only, ASC_RET_*; not the bits of the client."""

    DELEGATE = 0x1
    MUTUAL_AUTH = 0x2
    REPLAY_DETECT = 0x4
    SEQUENCE_DETECT = 0x8
    CONFIDENTIALITY = 0x10
    USE_SESSION_KEY = 0x20
    SESSION_TICKET = 0x40
    ALLOCATE_MEMORY = 0x100
    USE_DCE_STYLE = 0x200
    DATAGRAM = 0x400
    CONNECTION = 0x800
    CALL_LEVEL = 0x1000
    FRAGMENT_SUPPLIED = 0x2000
    EXTENDED_ERROR = 0x8000
    STREAM = 0x10000
    INTEGRITY = 0x20000
    LICENSING = 0x40000
    IDENTIFY = 0x80000
    ALLOW_NULL_SESSION = 0x100000
    ALLOW_NON_USER_LOGONS = 0x200000
    ALLOW_CONTEXT_REPLAY = 0x400000
    FRAGMENT_TO_FIT = 0x800000
    NO_TOKEN = 0x1000000
    PROXY_BINDINGS = 0x4000000
    ALLOW_MISSING_BINDINGS = 0x10000000


class ExportFlag(enum.IntFlag):
    """SECPKG_CONTEXT_EXPORT_*: what becomes of a security context that is exported."""

    RESET_NEW = 0x1
    DELETE_OLD = 0x2
    TO_KERNEL = 0x4


class BufferType(enum.IntEnum):
    """SECBUFFER_*: what a buffer holds; `READONLY` and `READONLY_WITH_CHECKSUM` may be added."""

    EMPTY = 0
    DATA = 1
    TOKEN = 2
    PKG_PARAMS = 3
    MISSING = 4
    EXTRA = 5
    STREAM_TRAILER = 6
    STREAM_HEADER = 7
    NEGOTIATION_INFO = 8
    PADDING = 9
    STREAM = 10
    MECHLIST = 11
    MECHLIST_SIGNATURE = 12
    TARGET = 13
    CHANNEL_BINDINGS = 14
    CHANGE_PASS_RESPONSE = 15
    TARGET_HOST = 16
    ALERT = 17
    APPLICATION_PROTOCOLS = 18
    SRTP_PROTECTION_PROFILES = 19
    SRTP_MASTER_KEY_IDENTIFIER = 20
    TOKEN_BINDING = 21
    PRESHARED_KEY = 22
    PRESHARED_KEY_IDENTITY = 23
    DTLS_MTU = 24
    SEND_GENERIC_TLS_EXTENSION = 25
    SUBSCRIBE_GENERIC_TLS_EXTENSION = 26
    FLAGS = 27
    TRAFFIC_SECRETS = 28
    CERTIFICATE_REQUEST_CONTEXT = 29


@dataclass(frozen=True)
class Buffer:
    """A SecBuffer.

    Given to a call, its bytes are copied: the call never writes into the caller's memory. Where a
    call is to write, give as many bytes as it may need (`bytes(size)`); where it allocates
    (`ALLOCATE_MEMORY`), none, which is the pointer NULL.

    Attributes:
        type: a `BufferType`, perhaps with `READONLY`; a plain int where it is none of them.
        data: bytes-like, 0..2**31-1 bytes; from a call always bytes.
        size: from a call, cbBuffer as SSPI tells it: of `MISSING` the bytes that are not there.
    """

    type: int
    data: Any = field(default=b"", repr=False)
    size: int = -1

    def __post_init__(self) -> None:
        """Take the size of the data where none is given."""
        if self.size < 0:
            object.__setattr__(self, "size", memoryview(self.data).nbytes)


@dataclass(frozen=True)
class Package:
    """A security package as Windows lists it (SecPkgInfo).

    Attributes:
        name: what `Credential` takes, such as "Negotiate".
        comment: a description for people.
        capabilities: what it can do.
        version: of the package protocol; 1.
        rpc_id: the RPC authentication service (RPC_C_AUTHN_*), 0xFFFF if there is none.
        max_token: bytes of the longest token.
    """

    name: str
    comment: str
    capabilities: Capability
    version: int
    rpc_id: int
    max_token: int


@dataclass(frozen=True)
class Step:
    """What came of one step of a handshake.

    Attributes:
        status: OK when it is complete; CONTINUE_NEEDED and others say how it goes on.
        output: the output buffers in the order given; a token goes to the peer.
        input: the input buffers as the call left them: `EXTRA` holds what it did not consume.
        flags: what was granted.
        expiry: when the security context ends: 100 ns since 1601-01-01, local time.
    """

    status: Status
    output: tuple[Buffer, ...]
    input: tuple[Buffer, ...]
    flags: int
    expiry: int

    @property
    def token(self) -> bytes:
        """The bytes of all `TOKEN` buffers of the output: what goes to the peer; may be b""."""
        return b"".join(buffer.data for buffer in self.output if buffer.type == BufferType.TOKEN)

    @property
    def extra(self) -> bytes:
        """The end of the input that was not consumed; b"" if all was."""
        return b"".join(buffer.data for buffer in self.input if buffer.type == BufferType.EXTRA)


@dataclass(frozen=True)
class Message:
    """What came of a call on a message.

    Attributes:
        status: OK, or a SEC_I_* that says what was met besides.
        buffers: the buffers as the call left them: other types, other sizes.
        quality: quality of protection (`DecryptMessage`, `VerifySignature`); else 0.
    """

    status: Status
    buffers: tuple[Buffer, ...]
    quality: int = 0

    def of_type(self, kind: int) -> bytes:
        """Return the bytes of all buffers of a type, one after the other."""
        return b"".join(buffer.data for buffer in self.buffers if buffer.type == kind)

    def joined(self) -> bytes:
        """Return the bytes of all buffers, one after the other: a record as it is sent."""
        return b"".join(buffer.data for buffer in self.buffers)


class SSPIError(TLSError):
    """A function of the table failed, or is not there.

    Attributes:
        function: its name, such as "InitializeSecurityContext".
        output: output buffers that it filled nevertheless: a failing handshake may have an alert
            to send.
        buffers: the input or message buffers as it left them: SEC_E_INCOMPLETE_MESSAGE tells in
            `MISSING` how many bytes to get.
    """

    function: str = ""
    output: tuple[Buffer, ...] = ()
    buffers: tuple[Buffer, ...] = ()
