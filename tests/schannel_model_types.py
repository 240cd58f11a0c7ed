"""Types and numbers of sspi.h and schannel.h that the model of Schannel needs beside the fake's.

Written by hand from the Windows SDK, as those of `fake_sspi_types`; the types begin with `Model`,
because no name may be in both.
"""

from __future__ import annotations

import enum
from typing import Any

import cffi
import fake_sspi_types
from fake_sspi_types import signed

ffi: Any = cffi.FFI()
ffi.include(fake_sspi_types.ffi)
ffi.cdef(
    """
    typedef struct {
        uint32_t dwCertEncodingType; uint8_t *pbCertEncoded; uint32_t cbCertEncoded;
        void *pCertInfo; void *hCertStore;
    } MODEL_CERT_CONTEXT;
    typedef struct {
        uint32_t dwFlags; uint32_t cbSessionId; uint8_t rgbSessionId[32];
    } ModelSessionInfo;
    typedef struct { uint32_t BindingsLength; void *Bindings; } ModelBindings;
    typedef struct { uint32_t cbData; void *pbData; } ModelNameBlob;
    typedef struct { ModelNameBlob *aIssuers; uint32_t cIssuers; } ModelIssuerList;
    typedef struct {
        wchar_t *sSignatureAlgorithmName; wchar_t *sEncryptAlgorithmName; uint32_t KeySize;
        uint32_t SignatureAlgorithm; uint32_t EncryptAlgorithm;
    } ModelKeyInfo;
    typedef struct {
        uint16_t cbLabel; char *pszLabel; uint16_t cbContextValue; uint8_t *pbContextValue;
        uint32_t cbKeyingMaterial;
    } ModelKeyingMaterialInfo;
    typedef struct { uint32_t cbKeyingMaterial; uint8_t *pbKeyingMaterial; } ModelKeyingMaterial;
    typedef struct {
        uint32_t fCapabilities; uint16_t wVersion; uint16_t wRPCID; uint32_t cbMaxToken;
        wchar_t *Name; wchar_t *Comment;
    } ModelPackageInfo;
    """
)

# The members that fake_sspi_types leaves untyped.
SIGNATURES = {
    "AcceptSecurityContext": (
        "SECURITY_STATUS __stdcall(SecHandle *, SecHandle *, SecBufferDesc *, uint32_t, uint32_t,"
        " SecHandle *, SecBufferDesc *, uint32_t *, TimeStamp *)"
    ),
    "SetContextAttributesW": "SECURITY_STATUS __stdcall(SecHandle *, uint32_t, void *, uint32_t)",
    "QuerySecurityPackageInfoW": "SECURITY_STATUS __stdcall(wchar_t *, ModelPackageInfo **)",
    "EnumerateSecurityPackagesW": "SECURITY_STATUS __stdcall(uint32_t *, ModelPackageInfo **)",
}


def member_type(name: str) -> str:
    """Return the pointer type of a member in `SIGNATURES`."""
    return SIGNATURES[name].replace("__stdcall(", "(__stdcall *)(")


class MoreStatus(enum.IntEnum):
    SEC_E_SECPKG_NOT_FOUND = signed(0x80090305)
    SEC_E_BUFFER_TOO_SMALL = signed(0x80090321)
    SEC_E_UNTRUSTED_ROOT = signed(0x80090325)
    SEC_E_CERT_EXPIRED = signed(0x80090328)
    SEC_E_ENCRYPT_FAILURE = signed(0x80090329)


class MoreBuffer(enum.IntEnum):
    ATTRIBUTE_MASK = 0xF0000000


class MoreAttribute(enum.IntEnum):
    KEY_INFO = 5
    UNIQUE_BINDINGS = 25
    ENDPOINT_BINDINGS = 26
    LOCAL_CERT_CONTEXT = 0x54
    ISSUER_LIST_EX = 0x59
    SESSION_INFO = 0x5D
    KEYING_MATERIAL_INFO = 0x6A
    KEYING_MATERIAL = 0x6B


class AcceptFlag(enum.IntFlag):
    """ASC_REQ_*, and ASC_RET_* of the same values."""

    MUTUAL_AUTH = 0x2
    REPLAY_DETECT = 0x4
    SEQUENCE_DETECT = 0x8
    CONFIDENTIALITY = 0x10
    ALLOCATE_MEMORY = 0x100
    EXTENDED_ERROR = 0x8000
    STREAM = 0x10000
    INTEGRITY = 0x20000


class ServerBit(enum.IntFlag):
    """SP_PROT_*_SERVER."""

    TLS_1_0 = 0x40
    TLS_1_1 = 0x100
    TLS_1_2 = 0x400
    TLS_1_3 = 0x1000


DTLS_BITS = 0xF0000  # SP_PROT_DTLS1_0 and 1_2, both sides
INBOUND, OUTBOUND = 1, 2
SCHANNEL_CRED_VERSION, SCH_CREDENTIALS_VERSION = 4, 5
SESSION_RECONNECT = 1
PACKAGE = "Microsoft Unified Security Protocol Provider"


class Control(enum.IntEnum):
    """The first DWORD of a token for ApplyControlToken."""

    RENEGOTIATE = 0
    SHUTDOWN = 1
    ALERT = 2
    SESSION = 3
