"""Types and numbers of sspi.h and schannel.h, written down a second time for the scripted table.

Written by hand from the Windows SDK, not cut out of the project's headers: a mistake in the engine
must not repeat itself here. `uint32_t` stands for ULONG and DWORD, whose size on Linux would
differ; every function has `__stdcall`, without which only 32 bit breaks (row 94).
"""

from __future__ import annotations

import enum
from typing import Any

import cffi

ffi: Any = cffi.FFI()
ffi.cdef(
    """
    typedef int32_t SECURITY_STATUS;
    typedef struct { uintptr_t dwLower; uintptr_t dwUpper; } SecHandle;
    typedef struct { uint32_t LowPart; int32_t HighPart; } TimeStamp;
    typedef struct { uint32_t cbBuffer; uint32_t BufferType; void *pvBuffer; } SecBuffer;
    typedef struct { uint32_t ulVersion; uint32_t cBuffers; SecBuffer *pBuffers; } SecBufferDesc;

    typedef struct {
        uint32_t dwVersion;
        void *EnumerateSecurityPackagesW;
        void *QueryCredentialsAttributesW;
        SECURITY_STATUS (__stdcall *AcquireCredentialsHandleW)(
            const wchar_t *principal, const wchar_t *package, uint32_t use, void *logon_id,
            void *auth_data, void *get_key, void *get_key_argument, SecHandle *credential,
            TimeStamp *expiry);
        SECURITY_STATUS (__stdcall *FreeCredentialsHandle)(SecHandle *credential);
        void *Reserved2;
        SECURITY_STATUS (__stdcall *InitializeSecurityContextW)(
            SecHandle *credential, SecHandle *context, const wchar_t *target, uint32_t requested,
            uint32_t reserved1, uint32_t representation, SecBufferDesc *input, uint32_t reserved2,
            SecHandle *new_context, SecBufferDesc *output, uint32_t *granted, TimeStamp *expiry);
        SECURITY_STATUS (__stdcall *AcceptSecurityContext)(
            SecHandle *credential, SecHandle *context, SecBufferDesc *input, uint32_t requested,
            uint32_t representation, SecHandle *new_context, SecBufferDesc *output,
            uint32_t *granted, TimeStamp *expiry);
        void *CompleteAuthToken;
        SECURITY_STATUS (__stdcall *DeleteSecurityContext)(SecHandle *context);
        SECURITY_STATUS (__stdcall *ApplyControlToken)(SecHandle *context, SecBufferDesc *input);
        SECURITY_STATUS (__stdcall *QueryContextAttributesW)(
            SecHandle *context, uint32_t attribute, void *value);
        void *ImpersonateSecurityContext;
        void *RevertSecurityContext;
        void *MakeSignature;
        void *VerifySignature;
        SECURITY_STATUS (__stdcall *FreeContextBuffer)(void *memory);
        void *QuerySecurityPackageInfoW;
        void *Reserved3;
        void *Reserved4;
        void *ExportSecurityContext;
        void *ImportSecurityContextW;
        void *AddCredentialsW;
        void *Reserved8;
        void *QuerySecurityContextToken;
        SECURITY_STATUS (__stdcall *EncryptMessage)(
            SecHandle *context, uint32_t quality, SecBufferDesc *message, uint32_t sequence);
        SECURITY_STATUS (__stdcall *DecryptMessage)(
            SecHandle *context, SecBufferDesc *message, uint32_t sequence, uint32_t *quality);
        SECURITY_STATUS (__stdcall *SetContextAttributesW)(
            SecHandle *context, uint32_t attribute, void *value, uint32_t size);
        void *SetCredentialsAttributesW;
        void *ChangeAccountPasswordW;
        void *QueryContextAttributesExW;
        void *QueryCredentialsAttributesExW;
    } SecurityFunctionTableW;

    typedef struct {
        uint32_t cAlpnIds; void *rgstrAlpnIds; uint32_t grbitDisabledProtocols;
        uint32_t cDisabledCrypto; void *pDisabledCrypto; uint32_t dwFlags;
    } TLS_PARAMETERS;
    typedef struct {
        uint32_t dwVersion; uint32_t dwCredFormat; uint32_t cCreds; void *paCred; void *hRootStore;
        uint32_t cMappers; void *aphMappers; uint32_t dwSessionLifespan; uint32_t dwFlags;
        uint32_t cTlsParameters; TLS_PARAMETERS *pTlsParameters;
    } SCH_CREDENTIALS;
    typedef struct {
        uint32_t dwVersion; uint32_t cCreds; void *paCred; void *hRootStore; uint32_t cMappers;
        void *aphMappers; uint32_t cSupportedAlgs; void *palgSupportedAlgs;
        uint32_t grbitEnabledProtocols; uint32_t dwMinimumCipherStrength;
        uint32_t dwMaximumCipherStrength; uint32_t dwSessionLifespan; uint32_t dwFlags;
        uint32_t dwCredFormat;
    } SCHANNEL_CRED;

    typedef struct {
        uint32_t cbHeader; uint32_t cbTrailer; uint32_t cbMaximumMessage; uint32_t cBuffers;
        uint32_t cbBlockSize;
    } StreamSizes;
    typedef struct {
        uint32_t dwProtocol; uint32_t aiCipher; uint32_t dwCipherStrength; uint32_t aiHash;
        uint32_t dwHashStrength; uint32_t aiExch; uint32_t dwExchStrength;
    } ConnectionInfo;
    typedef struct {
        uint32_t dwVersion; uint32_t dwProtocol; uint32_t dwCipherSuite; uint32_t dwBaseCipherSuite;
        wchar_t szCipherSuite[64]; wchar_t szCipher[64]; uint32_t dwCipherLen;
        uint32_t dwCipherBlockLen; wchar_t szHash[64]; uint32_t dwHashLen; wchar_t szExchange[64];
        uint32_t dwMinExchangeLen; uint32_t dwMaxExchangeLen; wchar_t szCertificate[64];
        uint32_t dwKeyType;
    } CipherInfo;
    typedef struct {
        int Status; int Extension; uint8_t Size; uint8_t Id[255];
    } ApplicationProtocol;
    typedef struct { uint32_t cbData; void *pbData; } IssuerName;
    typedef struct { IssuerName *aIssuers; uint32_t cIssuers; } IssuerNames;
    typedef struct {
        uint32_t dwFlags; uint32_t cbSessionId; uint8_t rgbSessionId[32];
    } SessionInfo;
    typedef struct { uint32_t BindingsLength; void *Bindings; } Bindings;
    typedef struct {
        uint16_t cbLabel; char *pszLabel; uint16_t cbContextValue; uint8_t *pbContextValue;
        uint32_t cbKeyingMaterial;
    } KeyingMaterialInfo;
    typedef struct { uint32_t cbKeyingMaterial; uint8_t *pbKeyingMaterial; } KeyingMaterial;
    """
)


def signed(code: int) -> int:
    """Return a 32-bit code as the signed number that SECURITY_STATUS and HRESULT are."""
    return code - 2**32 if code & 0x80000000 else code


class Status(enum.IntEnum):
    SEC_E_OK = 0
    SEC_E_INSUFFICIENT_MEMORY = signed(0x80090300)
    SEC_E_INVALID_HANDLE = signed(0x80090301)
    SEC_E_UNSUPPORTED_FUNCTION = signed(0x80090302)
    SEC_E_INTERNAL_ERROR = signed(0x80090304)
    SEC_E_INVALID_TOKEN = signed(0x80090308)
    SEC_E_UNKNOWN_CREDENTIALS = signed(0x8009030D)
    SEC_E_NO_CREDENTIALS = signed(0x8009030E)
    SEC_E_MESSAGE_ALTERED = signed(0x8009030F)
    SEC_E_OUT_OF_SEQUENCE = signed(0x80090310)
    SEC_E_NO_AUTHENTICATING_AUTHORITY = signed(0x80090311)
    SEC_I_CONTINUE_NEEDED = 0x00090312
    SEC_I_CONTEXT_EXPIRED = 0x00090317
    SEC_E_CONTEXT_EXPIRED = signed(0x80090317)
    SEC_E_INCOMPLETE_MESSAGE = signed(0x80090318)
    SEC_I_INCOMPLETE_CREDENTIALS = 0x00090320
    SEC_I_RENEGOTIATE = 0x00090321
    SEC_E_ILLEGAL_MESSAGE = signed(0x80090326)
    SEC_E_CERT_UNKNOWN = signed(0x80090327)
    SEC_E_DECRYPT_FAILURE = signed(0x80090330)
    SEC_E_ALGORITHM_MISMATCH = signed(0x80090331)
    SEC_E_INVALID_PARAMETER = signed(0x8009035D)
    SEC_E_APPLICATION_PROTOCOL_MISMATCH = signed(0x80090367)
    SEC_I_MESSAGE_FRAGMENT = 0x00090364
    E_INVALIDARG = signed(0x80070057)


class Buffer(enum.IntEnum):
    EMPTY = 0
    DATA = 1
    TOKEN = 2
    MISSING = 4
    EXTRA = 5
    TRAILER = 6
    HEADER = 7
    ALERT = 17
    APPLICATION_PROTOCOLS = 18


class Attribute(enum.IntEnum):
    STREAM_SIZES = 4
    UNIQUE_BINDINGS = 25
    ENDPOINT_BINDINGS = 26
    APPLICATION_PROTOCOL = 35
    REMOTE_CERT_CONTEXT = 0x53
    LOCAL_CERT_CONTEXT = 0x54
    ISSUER_LIST_EX = 0x59
    CONNECTION_INFO = 0x5A
    SESSION_INFO = 0x5D
    CIPHER_INFO = 0x64
    REMOTE_CERT_CHAIN = 0x67
    KEYING_MATERIAL_INFO = 0x6A
    KEYING_MATERIAL = 0x6B


class Flag(enum.IntFlag):
    """ISC_REQ_*, and ISC_RET_* of the same values."""

    REPLAY_DETECT = 0x4
    SEQUENCE_DETECT = 0x8
    CONFIDENTIALITY = 0x10
    USE_SUPPLIED_CREDS = 0x80
    ALLOCATE_MEMORY = 0x100
    EXTENDED_ERROR = 0x4000
    STREAM = 0x8000
    INTEGRITY = 0x10000
    MANUAL_CRED_VALIDATION = 0x80000


INDISPENSABLE = (
    Flag.REPLAY_DETECT
    | Flag.SEQUENCE_DETECT
    | Flag.CONFIDENTIALITY
    | Flag.ALLOCATE_MEMORY
    | Flag.STREAM
)
REQUESTED = (
    INDISPENSABLE | Flag.USE_SUPPLIED_CREDS | Flag.EXTENDED_ERROR | Flag.MANUAL_CRED_VALIDATION
)


class ServerFlag(enum.IntFlag):
    """ASC_REQ_*, and ASC_RET_* of the same values: not all are those of ISC."""

    MUTUAL_AUTH = 0x2
    REPLAY_DETECT = 0x4
    SEQUENCE_DETECT = 0x8
    CONFIDENTIALITY = 0x10
    ALLOCATE_MEMORY = 0x100
    EXTENDED_ERROR = 0x8000
    STREAM = 0x10000
    INTEGRITY = 0x20000


SERVER_INDISPENSABLE = (
    ServerFlag.REPLAY_DETECT
    | ServerFlag.SEQUENCE_DETECT
    | ServerFlag.CONFIDENTIALITY
    | ServerFlag.ALLOCATE_MEMORY
    | ServerFlag.STREAM
)
SERVER_REQUESTED = SERVER_INDISPENSABLE | ServerFlag.EXTENDED_ERROR | ServerFlag.INTEGRITY


class CredentialFlag(enum.IntFlag):
    """SCH_CRED_* and SCH_USE_STRONG_CRYPTO."""

    MANUAL_CRED_VALIDATION = 0x8
    NO_DEFAULT_CREDS = 0x10
    REVOCATION_CHECK_END_CERT = 0x100
    IGNORE_NO_REVOCATION_CHECK = 0x800
    IGNORE_REVOCATION_OFFLINE = 0x1000
    USE_STRONG_CRYPTO = 0x400000


class ClientBit(enum.IntFlag):
    """SP_PROT_*_CLIENT."""

    TLS_1_0 = 0x80
    TLS_1_1 = 0x200
    TLS_1_2 = 0x800
    TLS_1_3 = 0x2000


SCHANNEL_SHUTDOWN = (1).to_bytes(4, "little")
SCHANNEL_SESSION_NEVER_RESUMED = (3).to_bytes(4, "little") + (2).to_bytes(4, "little")


def schannel_alert(number: int) -> bytes:
    """Return the SCHANNEL_ALERT_TOKEN of a fatal alert."""
    token_type, fatal = 2, 2
    return b"".join(value.to_bytes(4, "little") for value in (token_type, fatal, number))
