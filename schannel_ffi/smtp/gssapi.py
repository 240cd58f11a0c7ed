"""AUTH GSSAPI: log in with the account of Windows, by Kerberos through SSPI (RFC 4752; no I/O).

    client  AP-REQ ──────────────────────────────────► server    InitializeSecurityContext, until
    client  ◄────────────────────────────────── AP-REP server    it is complete
    client  (empty) ──────────────────────────────────► server
    client  ◄────── wrapped: layers, largest message ── server    DecryptMessage
    client  wrapped: no layer, authorisation identity ► server    EncryptMessage

TLS below protects the mail, so no security layer is asked for, and a server that insists on one is
refused. The last two messages are what makes this SASL: without them Exchange waits for ever.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from schannel_ffi.smtp.errors import AuthenticationError
from schannel_ffi.sspi import (
    Buffer,
    BufferType,
    Credential,
    InitializeFlag,
    SecurityContext,
    SSPIError,
    Status,
)

SECPKG_ATTR_SIZES: Final = 0
SIZES: Final = struct.Struct("4I")  # SecPkgContext_Sizes
SEC_WINNT_AUTH_IDENTITY_UNICODE: Final = 2
SECQOP_WRAP_NO_ENCRYPT: Final = 0x80000001
NO_LAYER: Final = 1
OFFER_BYTES: Final = 4
MOST_STEPS: Final = 16
PROOF: Final = InitializeFlag.MUTUAL_AUTH | InitializeFlag.INTEGRITY
FLAGS: Final = (
    PROOF
    | InitializeFlag.SEQUENCE_DETECT
    | InitializeFlag.REPLAY_DETECT
    | InitializeFlag.ALLOCATE_MEMORY
)


@dataclass(frozen=True, slots=True)
class GSSAPI:
    """GSSAPI: the ticket of the Windows account that runs this, or of another one.

    Attributes:
        user, password, domain: another account; all empty: the one that runs this.
        service_name: the server's principal, "SMTPSVC/mail.example.com"; "": SMTPSVC and the host
            of the session.
        authorization_identity: in whose name to send, where the server allows more than one; "":
            the account's own.
        package: "Kerberos", as RFC 4752 says, or "Negotiate" for servers that take SPNEGO.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    domain: str = ""
    service_name: str = ""
    authorization_identity: str = ""
    package: str = "Kerberos"
    name: str = field(default="GSSAPI", init=False)
    speaks_first: bool = field(default=True, init=False)

    def exchange(self, host: str) -> Generator[bytes, bytes, None]:
        """Yield each response. May block while Windows asks a domain controller for a ticket.

        Raises:
            AuthenticationError: Windows or the server cannot go on; `__cause__` may say why.
        """
        target = self.service_name or f"SMTPSVC/{host}"  # B101
        try:
            with self._credential() as credential, SecurityContext(credential) as context:
                challenge = yield from _authenticate(context, target)
                # B101: Exchange's last message is wrapped, and so is the answer
                yield _choose_no_layer(context, challenge, self.authorization_identity)
        except SSPIError as exc:
            raise AuthenticationError(
                f"AUTH GSSAPI for {target}: {exc}",
                hint=exc.hint or "is the machine in the domain, and the principal registered?",
            ) from exc

    def _credential(self) -> Credential:
        if not self.user:
            return Credential(self.package)
        texts = (self.user, self.domain, self.password)
        buffers = [ctypes.create_unicode_buffer(text) for text in texts]
        identity = _AuthIdentity(
            *(
                part
                for buffer in buffers
                for part in (ctypes.cast(buffer, ctypes.c_wchar_p), len(buffer) - 1)
            ),
            SEC_WINNT_AUTH_IDENTITY_UNICODE,
        )
        return Credential(self.package, auth_data=ctypes.addressof(identity))


class _AuthIdentity(ctypes.Structure):
    """SEC_WINNT_AUTH_IDENTITY_W of rpcdce.h; lengths without the terminator."""

    _fields_ = (
        ("User", ctypes.c_wchar_p),
        ("UserLength", ctypes.c_uint32),
        ("Domain", ctypes.c_wchar_p),
        ("DomainLength", ctypes.c_uint32),
        ("Password", ctypes.c_wchar_p),
        ("PasswordLength", ctypes.c_uint32),
        ("Flags", ctypes.c_uint32),
    )


def _authenticate(context: SecurityContext, target: str) -> Generator[bytes, bytes, bytes]:
    """Exchange tokens until both sides are known; return the challenge after the last one."""
    challenge = b""
    for _ in range(MOST_STEPS):
        source = [Buffer(BufferType.TOKEN, challenge)] if challenge else None
        step = context.initialize(source, target=target, flags=FLAGS)
        is_complete = step.status is Status.OK
        if is_complete and step.flags & PROOF != PROOF:
            raise AuthenticationError("AUTH GSSAPI: the server did not prove who it is")
        challenge = yield step.token
        if is_complete:
            return challenge
    raise AuthenticationError("AUTH GSSAPI: the exchange does not come to an end")


def _choose_no_layer(context: SecurityContext, challenge: bytes, identity: str) -> bytes:
    """Return the wrapped answer to the wrapped offer (RFC 4752, 3.1)."""
    opened = context.decrypt([Buffer(BufferType.STREAM, challenge), Buffer(BufferType.DATA)])
    offer = opened.of_type(BufferType.DATA)
    if len(offer) != OFFER_BYTES or not offer[0] & NO_LAYER:
        raise AuthenticationError("AUTH GSSAPI: the server insists on a security layer of its own")
    _, _, block_size, trailer_size = SIZES.unpack(context.query(SECPKG_ATTR_SIZES, SIZES.size))
    answer = bytes([NO_LAYER, 0, 0, 0]) + identity.encode()
    wrapped = context.encrypt(
        [
            Buffer(BufferType.TOKEN, bytes(trailer_size)),
            Buffer(BufferType.DATA, answer),
            Buffer(BufferType.PADDING, bytes(block_size)),
        ],
        quality=SECQOP_WRAP_NO_ENCRYPT,
    )
    return wrapped.joined()
