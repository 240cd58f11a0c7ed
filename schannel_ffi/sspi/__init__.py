"""The raw floor: every function of Windows' security function table, thin and typed.

For those who need a call that the rest of the package does not wrap. Numbers become flags,
statuses and exceptions, buffers are bytes, memory of SSPI's is given back; what the functions do,
and in which order they may be called, is Windows' own business: nothing here checks it.

========================== =================================== ===============================
Windows' function          here                                since
========================== =================================== ===============================
EnumerateSecurityPackages  packages()
QuerySecurityPackageInfo   package(name)
AcquireCredentialsHandle   Credential(package)
FreeCredentialsHandle      Credential.close()
QueryCredentialsAttributes Credential.query(attribute, room)
SetCredentialsAttributes   Credential.set(attribute, data)     table version 3
AddCredentials             Credential.add(package)
InitializeSecurityContext  SecurityContext.initialize(input)
AcceptSecurityContext      SecurityContext.accept(input)
CompleteAuthToken          SecurityContext.complete(buffers)
ApplyControlToken          SecurityContext.control(buffers)
DeleteSecurityContext      SecurityContext.close()
QueryContextAttributes     SecurityContext.query(attribute, room)
SetContextAttributes       SecurityContext.set(attribute, data) table version 2
EncryptMessage             SecurityContext.encrypt(buffers)
DecryptMessage             SecurityContext.decrypt(buffers)
MakeSignature              SecurityContext.sign(buffers)
VerifySignature            SecurityContext.verify(buffers)
ImpersonateSecurityContext SecurityContext.impersonate()
RevertSecurityContext      SecurityContext.revert()
QuerySecurityContextToken  SecurityContext.token()
ExportSecurityContext      SecurityContext.export(flags)
ImportSecurityContext      SecurityContext.import_from(package, exported)
FreeContextBuffer          free_context_buffer(address)
========================== =================================== ===============================

The wide forms are called. A function that the table does not have, because the member is NULL or
the table's version is older, raises `SSPIError` with the symbol SEC_E_UNSUPPORTED_FUNCTION.

Source: Microsoft Learn, "SecurityFunctionTableW structure"; sspi.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from schannel_ffi import _lib
from schannel_ffi.sspi.calls import call, checked, demand
from schannel_ffi.sspi.context import Exported, SecurityContext
from schannel_ffi.sspi.credential import Credential
from schannel_ffi.sspi.values import (
    NATIVE_REPRESENTATION,
    READONLY,
    READONLY_WITH_CHECKSUM,
    AcceptFlag,
    Buffer,
    BufferType,
    Capability,
    CredentialUse,
    ExportFlag,
    InitializeFlag,
    Message,
    Package,
    SSPIError,
    Status,
    Step,
)

__all__ = [
    "FUNCTIONS",
    "NATIVE_REPRESENTATION",
    "READONLY",
    "READONLY_WITH_CHECKSUM",
    "AcceptFlag",
    "Buffer",
    "BufferType",
    "Capability",
    "Credential",
    "CredentialUse",
    "ExportFlag",
    "Exported",
    "InitializeFlag",
    "Message",
    "Package",
    "SSPIError",
    "SecurityContext",
    "Status",
    "Step",
    "free_context_buffer",
    "package",
    "packages",
]


def packages() -> tuple[Package, ...]:
    """Return the security packages that Windows lists (EnumerateSecurityPackages).

    Raises:
        SSPIError: the call failed.
        UnsupportedPlatform: this is not Windows.
    """
    table, name = _lib.FunctionTable(), "EnumerateSecurityPackages"
    demand(table, name)
    status, found = table.packages()
    checked(name, status)
    return tuple(map(_package, found))


def package(name: str) -> Package:
    """Return one security package by its name (QuerySecurityPackageInfo).

    Raises:
        SSPIError: there is none of this name (SEC_E_SECPKG_NOT_FOUND).
        UnsupportedPlatform: this is not Windows.
    """
    table, function = _lib.FunctionTable(), "QuerySecurityPackageInfo"
    demand(table, function)
    status, found = table.package(name)
    checked(function, status)
    assert found is not None
    return _package(found)


def free_context_buffer(address: int) -> None:
    """Give memory back that a package has allocated (FreeContextBuffer).

    For pointers in what `query` returned; all else is given back already.

    Args:
        address: where it begins; anything else than such an address is a memory error.
    """
    table = _lib.FunctionTable()
    call(table, "FreeContextBuffer", table.pointer(address))


def _package(found: Any) -> Package:
    name, comment, capabilities, *numbers = found
    return Package(name, comment, Capability(capabilities), *numbers)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "EnumerateSecurityPackages": packages,
        "QueryCredentialsAttributes": Credential.query,
        "AcquireCredentialsHandle": Credential,
        "FreeCredentialsHandle": Credential.close,
        "InitializeSecurityContext": SecurityContext.initialize,
        "AcceptSecurityContext": SecurityContext.accept,
        "CompleteAuthToken": SecurityContext.complete,
        "DeleteSecurityContext": SecurityContext.close,
        "ApplyControlToken": SecurityContext.control,
        "QueryContextAttributes": SecurityContext.query,
        "ImpersonateSecurityContext": SecurityContext.impersonate,
        "RevertSecurityContext": SecurityContext.revert,
        "MakeSignature": SecurityContext.sign,
        "VerifySignature": SecurityContext.verify,
        "FreeContextBuffer": free_context_buffer,
        "QuerySecurityPackageInfo": package,
        "ExportSecurityContext": SecurityContext.export,
        "ImportSecurityContext": SecurityContext.import_from,
        "AddCredentials": Credential.add,
        "QuerySecurityContextToken": SecurityContext.token,
        "EncryptMessage": SecurityContext.encrypt,
        "DecryptMessage": SecurityContext.decrypt,
        "SetContextAttributes": SecurityContext.set,
        "SetCredentialsAttributes": Credential.set,
    }
)
"""What to call for each function of Windows, by its name there."""
