"""Security contexts: CtxtHandle and the functions that take one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from schannel_ffi import _lib
from schannel_ffi.sspi.calls import checked, demand, given, taken
from schannel_ffi.sspi.credential import Credential
from schannel_ffi.sspi.handle import Handle
from schannel_ffi.sspi.values import (
    NATIVE_REPRESENTATION,
    AcceptFlag,
    Buffer,
    BufferType,
    ExportFlag,
    InitializeFlag,
    Message,
    Step,
)

Buffers = Sequence[Buffer]
ALLOCATED_TOKEN: Buffers = (Buffer(BufferType.TOKEN),)
_NO_FLAGS = ExportFlag(0)


class Exported(NamedTuple):
    """A security context on its way to another process.

    packed: what `SecurityContext.import_from` takes; token: a HANDLE of the caller's (CloseHandle),
    or 0.
    """

    packed: bytes
    token: int


class SecurityContext(Handle):
    """A CtxtHandle; it comes to life with the first `initialize` or `accept` that does not fail.

    Calls on a message may come from two threads, one that encrypts and one that decrypts; the steps
    of a handshake take turns. A context manager; one that is not closed warns (ResourceWarning)
    when it is collected.
    """

    _release_function = "DeleteSecurityContext"
    _kind = "security context"

    def __init__(self, credential: Credential | None = None) -> None:
        """Begin without a handle; no call is made.

        Args:
            credential: what the handshake is made with; it is kept until this is closed.
        """
        super().__init__(_lib.FunctionTable() if credential is None else credential._table)  # noqa: SLF001
        self._credential = credential
        self._credentials: list[Credential] = []
        self._stepping = threading.Lock()
        if credential is not None:
            self._keep(credential)

    # ------------------------------------------------------------------------------- handshake

    def initialize(
        self,
        input: Buffers | None = None,  # noqa: A002  # Windows' name
        *,
        target: str | None = None,
        flags: InitializeFlag,
        output: Buffers | None = ALLOCATED_TOKEN,
        credential: Credential | None = None,
        representation: int = NATIVE_REPRESENTATION,
    ) -> Step:
        """Make one step of a client's handshake (InitializeSecurityContext). May block.

        Args:
            input: what the peer sent, and what the package takes besides; None: NULL.
            target: name of the server; for Schannel the host name (SNI).
            flags: what is asked for. With ALLOCATE_MEMORY the package allocates what it puts into
                output buffers without bytes; it is given back here.
            output: room for the token; None: NULL.
            credential: another one than the constructor's, for this step.
            representation: SECURITY_NATIVE_DREP, or 0 for network order.

        Raises:
            SSPIError: it failed; `.output` may hold an alert to send, `.buffers` tell what is
                missing.

        Source: Microsoft Learn, "InitializeSecurityContext function".
        """
        name = "InitializeSecurityContext"
        target_name = self._table.null() if target is None else target
        source = self._table.message(given(input))

        def arguments(using: Any, old: Any, new: Any, *rest: Any) -> tuple[Any, ...]:
            asked = (target_name, int(flags), 0, representation, source.pointer, 0)
            return (using, old, *asked, new, *rest)

        return self._step(name, arguments, source, output, flags, credential)

    def accept(
        self,
        input: Buffers | None = None,  # noqa: A002  # Windows' name
        *,
        flags: AcceptFlag,
        output: Buffers | None = ALLOCATED_TOKEN,
        credential: Credential | None = None,
        representation: int = NATIVE_REPRESENTATION,
    ) -> Step:
        """Make one step of a server's handshake (AcceptSecurityContext); as `initialize`.

        Raises:
            SSPIError: it failed; `.output` may hold an alert to send.

        Source: Microsoft Learn, "AcceptSecurityContext function".
        """
        source = self._table.message(given(input))

        def arguments(using: Any, old: Any, new: Any, *rest: Any) -> tuple[Any, ...]:
            return (using, old, source.pointer, int(flags), representation, new, *rest)

        return self._step("AcceptSecurityContext", arguments, source, output, flags, credential)

    def _step(
        self,
        name: str,
        arguments: Any,
        source: Any,
        output: Buffers | None,
        flags: InitializeFlag | AcceptFlag,
        credential: Credential | None,
    ) -> Step:
        table, room = self._table, self._table.message(given(output))
        granted, expiry = table.new_number("uint32_t"), table.new_number("int64_t")
        demand(table, name)
        with self._stepping, self._held() as old:
            using = self._credential_handle(credential)
            new = table.new_handle() if self._owned.handle is None else old
            try:
                rest = (room.pointer, granted, expiry)
                status = table.call(name, *arguments(using, old, new, *rest))
                if status >= 0:
                    self._owned.handle = new
                made, left = taken(room), taken(source)
            finally:
                if flags & InitializeFlag.ALLOCATE_MEMORY:  # the same bit on both sides
                    for pointer in room.allocated():
                        table.free(pointer)
        done = checked(name, status, made, left)
        return Step(done, made, left, type(flags)(int(granted[0])), int(expiry[0]))

    def _credential_handle(self, other: Credential | None) -> Any:
        if other is not None:
            self._keep(other)
        credential = other or self._credential
        return self._table.null() if credential is None else credential._owned.handle  # noqa: SLF001

    def _keep(self, credential: Credential) -> None:
        """See that a credential is given back after this security context (B71)."""
        if credential not in self._credentials:
            self._owned.kept.enter_context(credential._held())  # noqa: SLF001
            self._credentials.append(credential)

    def complete(self, buffers: Buffers) -> tuple[Buffer, ...]:
        """Complete a token (CompleteAuthToken), where a step said COMPLETE_NEEDED; return it."""
        return self._on_message("CompleteAuthToken", buffers, lambda message: (message,)).buffers

    def control(self, buffers: Buffers) -> None:
        """Apply a control token (ApplyControlToken): shutdown or alert, for the next step."""
        self._on_message("ApplyControlToken", buffers, lambda message: (message,))

    # -------------------------------------------------------------------------------- messages

    def sign(self, buffers: Buffers, *, sequence: int = 0, quality: int = 0) -> Message:
        """Sign a message (MakeSignature): `DATA` to be signed, `TOKEN` with room for it."""
        return self._protect("MakeSignature", buffers, sequence, quality)

    def verify(self, buffers: Buffers, *, sequence: int = 0) -> Message:
        """Verify a signature (VerifySignature): `DATA` and `TOKEN`.

        Raises:
            SSPIError: SEC_E_MESSAGE_ALTERED, SEC_E_OUT_OF_SEQUENCE, and others.
        """
        return self._check("VerifySignature", buffers, sequence)

    def encrypt(self, buffers: Buffers, *, sequence: int = 0, quality: int = 0) -> Message:
        """Encrypt a message (EncryptMessage): the buffers come back encrypted, and cut to size.

        Schannel takes STREAM_HEADER, DATA, STREAM_TRAILER and EMPTY, with the sizes that
        SECPKG_ATTR_STREAM_SIZES tells.
        """
        return self._protect("EncryptMessage", buffers, sequence, quality)

    def decrypt(self, buffers: Buffers, *, sequence: int = 0) -> Message:
        """Decrypt a message (DecryptMessage); look for the buffers by their type.

        Schannel takes DATA with one whole record, and three times EMPTY.

        Raises:
            SSPIError: SEC_E_INCOMPLETE_MESSAGE tells in `.buffers` what is missing.
        """
        return self._check("DecryptMessage", buffers, sequence)

    def _protect(self, name: str, buffers: Buffers, sequence: int, quality: int) -> Message:
        return self._on_message(name, buffers, lambda message: (quality, message, sequence))

    def _check(self, name: str, buffers: Buffers, sequence: int) -> Message:
        quality = self._table.new_number("uint32_t")
        done = self._on_message(name, buffers, lambda message: (message, sequence, quality))
        return Message(done.status, done.buffers, int(quality[0]))

    def _on_message(self, name: str, buffers: Buffers, arguments: Any) -> Message:
        message = self._table.message(given(buffers))
        demand(self._table, name)
        with self._existing() as handle:
            status = self._table.call(name, handle, *arguments(message.pointer))
            left = taken(message)
        return Message(checked(name, status, (), left), left)

    # ------------------------------------------------------------------------------ attributes

    def query(self, attribute: int, room: int | bytes) -> bytes:
        """Return an attribute (QueryContextAttributes); as `Credential.query`."""
        return self._query("QueryContextAttributes", attribute, room)

    def set(self, attribute: int, data: Any) -> None:
        """Set an attribute (SetContextAttributes) to the bytes of its structure.

        Raises:
            SSPIError: the package does not have it; the table is older than version 2.
        """
        self._set("SetContextAttributes", attribute, data)

    # -------------------------------------------------------------------------------- identity

    def impersonate(self) -> None:
        """Let this thread act as the client (ImpersonateSecurityContext), until `revert`."""
        self._on_handle("ImpersonateSecurityContext")

    def revert(self) -> None:
        """Let this thread act as itself again (RevertSecurityContext)."""
        self._on_handle("RevertSecurityContext")

    def token(self) -> int:
        """Return the access token (QuerySecurityContextToken): a HANDLE that is the caller's."""
        out = self._table.new_pointer()
        self._on_handle("QuerySecurityContextToken", out)
        return self._table.address(out[0])

    def export(self, flags: ExportFlag = _NO_FLAGS) -> Exported:
        """Pack the security context for another process (ExportSecurityContext).

        With DELETE_OLD it is gone here, and this closed.
        """
        name = "ExportSecurityContext"
        demand(self._table, name)
        with self._existing() as handle:
            status, packed, token = self._table.export(handle, int(flags))
            checked(name, status)
            if flags & ExportFlag.DELETE_OLD:
                self._owned.handle = None  # Windows has deleted it
        if flags & ExportFlag.DELETE_OLD:
            self.close()
        return Exported(packed, token)

    @classmethod
    def import_from(cls, package: str, exported: Exported) -> SecurityContext:
        """Make a security context from what `export` has packed (ImportSecurityContext)."""
        made = cls()
        name = "ImportSecurityContext"
        demand(made._table, name)
        handle = made._table.new_handle()
        status = made._table.import_into(handle, package, exported.packed, exported.token)
        checked(name, status)
        made._owned.handle = handle
        return made
