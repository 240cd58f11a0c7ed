"""Credentials: CredHandle and the functions that take one."""

from __future__ import annotations

from typing import Any

from schannel_ffi import _lib
from schannel_ffi.sspi.calls import call
from schannel_ffi.sspi.handle import Handle
from schannel_ffi.sspi.values import CredentialUse


class Credential(Handle):
    """A CredHandle.

    Security contexts that were made from it keep it: closed before them, it is given back with the
    last one. A context manager; one that is not closed warns (ResourceWarning) when it is
    collected.

    Attributes:
        expiry: when it ends: 100 ns since 1601-01-01, local time.
    """

    _release_function = "FreeCredentialsHandle"
    _kind = "credential"

    def __init__(
        self,
        package: str,
        *,
        use: CredentialUse = CredentialUse.OUTBOUND,
        principal: str | None = None,
        auth_data: Any = None,
        logon_id: int | None = None,
    ) -> None:
        """Acquire it (AcquireCredentialsHandle). May wait for the local security authority.

        Args:
            package: name of a security package.
            use: INBOUND for servers, OUTBOUND for clients.
            principal: whose credential; None: of the account that runs this.
            auth_data: the package's own structure (SCHANNEL_CRED, SEC_WINNT_AUTH_IDENTITY, ...):
                bytes-like, or the address of one that the caller keeps; None: NULL. What its
                pointers point to must live until this returns.
            logon_id: LUID of a logon session, 64 bits; None: that of this process.

        Raises:
            SSPIError: Windows gave none; the symbol says why.

        Source: Microsoft Learn, "AcquireCredentialsHandle function".
        """
        super().__init__(_lib.FunctionTable())
        handle, expiry = self._table.new_handle(), self._table.new_number("int64_t")
        luid = self._table.null()
        if logon_id is not None:
            luid = self._table.new_number("int64_t")
            luid[0] = logon_id
        null, data = self._table.null(), self._auth_data(auth_data)
        names = (self._table.null() if principal is None else principal, package)
        rest = (luid, data, null, null, handle, expiry)
        call(self._table, "AcquireCredentialsHandle", *names, int(use), *rest)
        self._owned.handle, self.expiry = handle, int(expiry[0])

    def add(
        self,
        package: str,
        *,
        use: CredentialUse = CredentialUse.OUTBOUND,
        principal: str | None = None,
        auth_data: Any = None,
    ) -> None:
        """Add a credential of another kind (AddCredentials); the arguments are the constructor's.

        Raises:
            SSPIError: the package has no such thing, or Windows refused it.
        """
        expiry, null = self._table.new_number("int64_t"), self._table.null()
        names = (null if principal is None else principal, package)
        data = self._auth_data(auth_data)
        self._on_handle("AddCredentials", *names, int(use), data, null, null, expiry)
        self.expiry = int(expiry[0])

    def query(self, attribute: int, room: int | bytes) -> bytes:
        """Return an attribute (QueryCredentialsAttributes) as the bytes of its structure.

        Args:
            attribute: SECPKG_CRED_ATTR_*, SECPKG_ATTR_*.
            room: size of the structure in bytes, or its contents before the call. Windows is not
                told the size: one that is too small cuts off, but above 4,096 bytes it is a
                memory error.

        Returns:
            As many bytes as `room`. Pointers in it are the caller's to follow and to give back:
            `free_context_buffer` for what the package allocated.

        Raises:
            SSPIError: the package does not have it.
        """
        return self._query("QueryCredentialsAttributes", attribute, room)

    def set(self, attribute: int, data: Any) -> None:
        """Set an attribute (SetCredentialsAttributes) to the bytes of its structure.

        Raises:
            SSPIError: the package does not have it; the table is older than version 3.
        """
        self._set("SetCredentialsAttributes", attribute, data)  # B79: CLIENT_CERT_POLICY, say

    def _auth_data(self, data: Any) -> Any:
        if data is None or isinstance(data, int):
            return self._table.pointer(data)
        return self._table.pinned(data)
