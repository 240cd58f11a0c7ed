/* sspi.h - a stand-in; see windows.h */
#ifndef STAND_IN_SSPI_H
#define STAND_IN_SSPI_H

#include <winternl.h>

typedef LONG SECURITY_STATUS;
typedef WCHAR SEC_WCHAR;
typedef CHAR SEC_CHAR;
typedef LARGE_INTEGER SECURITY_INTEGER, TimeStamp, *PTimeStamp;

#define SEC_ENTRY

typedef struct {
    ULONG_PTR dwLower;
    ULONG_PTR dwUpper;
} SecHandle, *PSecHandle, CredHandle, *PCredHandle, CtxtHandle, *PCtxtHandle;

#define SecInvalidateHandle(handle)                                                    \
    ((handle)->dwLower = (handle)->dwUpper = (ULONG_PTR)(INT_PTR) - 1)
#define SecIsValidHandle(handle)                                                       \
    ((handle)->dwLower != (ULONG_PTR)(INT_PTR) - 1 &&                                  \
     (handle)->dwUpper != (ULONG_PTR)(INT_PTR) - 1)

typedef struct {
    ULONG cbBuffer;
    ULONG BufferType;
    void *pvBuffer;
} SecBuffer, *PSecBuffer;

typedef struct {
    ULONG ulVersion;
    ULONG cBuffers;
    PSecBuffer pBuffers;
} SecBufferDesc, *PSecBufferDesc;

typedef struct {
    ULONG fCapabilities;
    USHORT wVersion;
    USHORT wRPCID;
    ULONG cbMaxToken;
    SEC_WCHAR *Name;
    SEC_WCHAR *Comment;
} SecPkgInfoW, *PSecPkgInfoW;

typedef struct {
    ULONG cbMaxToken;
    ULONG cbMaxSignature;
    ULONG cbBlockSize;
    ULONG cbSecurityTrailer;
} SecPkgContext_Sizes, *PSecPkgContext_Sizes;

typedef struct {
    ULONG cbHeader;
    ULONG cbTrailer;
    ULONG cbMaximumMessage;
    ULONG cBuffers;
    ULONG cbBlockSize;
} SecPkgContext_StreamSizes, *PSecPkgContext_StreamSizes;

typedef struct {
    ULONG dwInitiatorAddrType;
    ULONG cbInitiatorLength;
    ULONG dwInitiatorOffset;
    ULONG dwAcceptorAddrType;
    ULONG cbAcceptorLength;
    ULONG dwAcceptorOffset;
    ULONG cbApplicationDataLength;
    ULONG dwApplicationDataOffset;
} SEC_CHANNEL_BINDINGS, *PSEC_CHANNEL_BINDINGS;

typedef struct {
    ULONG BindingsLength;
    SEC_CHANNEL_BINDINGS *Bindings;
} SecPkgContext_Bindings, *PSecPkgContext_Bindings;

typedef enum {
    SecApplicationProtocolNegotiationExt_None,
    SecApplicationProtocolNegotiationExt_NPN,
    SecApplicationProtocolNegotiationExt_ALPN
} SEC_APPLICATION_PROTOCOL_NEGOTIATION_EXT;

typedef enum {
    SecApplicationProtocolNegotiationStatus_None,
    SecApplicationProtocolNegotiationStatus_Success,
    SecApplicationProtocolNegotiationStatus_SelectedClientOnly
} SEC_APPLICATION_PROTOCOL_NEGOTIATION_STATUS;

typedef struct {
    SEC_APPLICATION_PROTOCOL_NEGOTIATION_EXT ProtoNegoExt;
    USHORT ProtocolListSize;
    UCHAR ProtocolList[1];
} SEC_APPLICATION_PROTOCOL_LIST, *PSEC_APPLICATION_PROTOCOL_LIST;

typedef struct {
    ULONG ProtocolListsSize;
    SEC_APPLICATION_PROTOCOL_LIST ProtocolLists[1];
} SEC_APPLICATION_PROTOCOLS, *PSEC_APPLICATION_PROTOCOLS;

typedef struct {
    SEC_APPLICATION_PROTOCOL_NEGOTIATION_STATUS ProtoNegoStatus;
    SEC_APPLICATION_PROTOCOL_NEGOTIATION_EXT ProtoNegoExt;
    UCHAR ProtocolIdSize;
    UCHAR ProtocolId[255];
} SecPkgContext_ApplicationProtocol, *PSecPkgContext_ApplicationProtocol;

typedef struct {
    WORD cbLabel;
    LPSTR pszLabel;
    WORD cbContextValue;
    PBYTE pbContextValue;
    DWORD cbKeyingMaterial;
} SecPkgContext_KeyingMaterialInfo, *PSecPkgContext_KeyingMaterialInfo;

typedef struct {
    ULONG cbKeyingMaterial;
    PBYTE pbKeyingMaterial;
} SecPkgContext_KeyingMaterial, *PSecPkgContext_KeyingMaterial;

typedef void (*SEC_GET_KEY_FN)(void *argument, void *principal, ULONG version,
                               void **key, SECURITY_STATUS *status);

typedef struct {
    ULONG dwVersion;
    SECURITY_STATUS (*EnumerateSecurityPackagesW)(ULONG *count, PSecPkgInfoW *packages);
    SECURITY_STATUS (*QueryCredentialsAttributesW)(PCredHandle, ULONG, void *);
    SECURITY_STATUS (*AcquireCredentialsHandleW)(LPWSTR principal, LPWSTR package,
                                                 ULONG use, void *logon, void *data,
                                                 SEC_GET_KEY_FN, void *argument,
                                                 PCredHandle, PTimeStamp expiry);
    SECURITY_STATUS (*FreeCredentialsHandle)(PCredHandle);
    void *Reserved2;
    SECURITY_STATUS (*InitializeSecurityContextW)(
        PCredHandle, PCtxtHandle old, LPWSTR target, ULONG requested, ULONG reserved,
        ULONG representation, PSecBufferDesc input, ULONG reserved2,
        PCtxtHandle created, PSecBufferDesc output, ULONG *flags, PTimeStamp expiry);
    SECURITY_STATUS (*AcceptSecurityContext)(PCredHandle, PCtxtHandle old,
                                             PSecBufferDesc input, ULONG requested,
                                             ULONG representation, PCtxtHandle created,
                                             PSecBufferDesc output, ULONG *flags,
                                             PTimeStamp expiry);
    SECURITY_STATUS (*CompleteAuthToken)(PCtxtHandle, PSecBufferDesc);
    SECURITY_STATUS (*DeleteSecurityContext)(PCtxtHandle);
    SECURITY_STATUS (*ApplyControlToken)(PCtxtHandle, PSecBufferDesc);
    SECURITY_STATUS (*QueryContextAttributesW)(PCtxtHandle, ULONG, void *);
    SECURITY_STATUS (*ImpersonateSecurityContext)(PCtxtHandle);
    SECURITY_STATUS (*RevertSecurityContext)(PCtxtHandle);
    SECURITY_STATUS (*MakeSignature)(PCtxtHandle, ULONG, PSecBufferDesc, ULONG);
    SECURITY_STATUS (*VerifySignature)(PCtxtHandle, PSecBufferDesc, ULONG, ULONG *);
    SECURITY_STATUS (*FreeContextBuffer)(void *);
    SECURITY_STATUS (*QuerySecurityPackageInfoW)(LPWSTR, PSecPkgInfoW *);
    void *Reserved3;
    void *Reserved4;
    SECURITY_STATUS (*ExportSecurityContext)(PCtxtHandle, ULONG, PSecBuffer, void **);
    SECURITY_STATUS (*ImportSecurityContextW)(LPWSTR, PSecBuffer, void *, PCtxtHandle);
    SECURITY_STATUS (*AddCredentialsW)(PCredHandle, LPWSTR, LPWSTR, ULONG, void *,
                                       SEC_GET_KEY_FN, void *, PTimeStamp);
    void *Reserved8;
    SECURITY_STATUS (*QuerySecurityContextToken)(PCtxtHandle, void **);
    SECURITY_STATUS (*EncryptMessage)(PCtxtHandle, ULONG, PSecBufferDesc, ULONG);
    SECURITY_STATUS (*DecryptMessage)(PCtxtHandle, PSecBufferDesc, ULONG, ULONG *);
    SECURITY_STATUS (*SetContextAttributesW)(PCtxtHandle, ULONG, void *, ULONG);
    SECURITY_STATUS (*SetCredentialsAttributesW)(PCredHandle, ULONG, void *, ULONG);
    SECURITY_STATUS (*ChangeAccountPasswordW)(LPWSTR, LPWSTR, LPWSTR, LPWSTR, LPWSTR,
                                              BOOLEAN, ULONG, PSecBufferDesc);
    SECURITY_STATUS (*QueryContextAttributesExW)(PCtxtHandle, ULONG, void *, ULONG);
    SECURITY_STATUS (*QueryCredentialsAttributesExW)(PCredHandle, ULONG, void *, ULONG);
} SecurityFunctionTableW, *PSecurityFunctionTableW;

PSecurityFunctionTableW InitSecurityInterfaceW(void);

#define SECBUFFER_VERSION                0x0
#define SECBUFFER_EMPTY                  0x0
#define SECBUFFER_DATA                   0x1
#define SECBUFFER_TOKEN                  0x2
#define SECBUFFER_PKG_PARAMS             0x3
#define SECBUFFER_MISSING                0x4
#define SECBUFFER_EXTRA                  0x5
#define SECBUFFER_STREAM_TRAILER         0x6
#define SECBUFFER_STREAM_HEADER          0x7
#define SECBUFFER_MECHLIST               0xb
#define SECBUFFER_TARGET                 0xd
#define SECBUFFER_CHANNEL_BINDINGS       0xe
#define SECBUFFER_ALERT                  0x11
#define SECBUFFER_APPLICATION_PROTOCOLS  0x12
#define SECBUFFER_TRAFFIC_SECRETS        0x1c
#define SECBUFFER_ATTRMASK               0xf0000000
#define SECBUFFER_READONLY               0x80000000
#define SECBUFFER_READONLY_WITH_CHECKSUM 0x10000000

#define ISC_REQ_DELEGATE               0x1
#define ISC_REQ_MUTUAL_AUTH            0x2
#define ISC_REQ_REPLAY_DETECT          0x4
#define ISC_REQ_SEQUENCE_DETECT        0x8
#define ISC_REQ_CONFIDENTIALITY        0x10
#define ISC_REQ_USE_SESSION_KEY        0x20
#define ISC_REQ_USE_SUPPLIED_CREDS     0x80
#define ISC_REQ_ALLOCATE_MEMORY        0x100
#define ISC_REQ_CONNECTION             0x800
#define ISC_REQ_EXTENDED_ERROR         0x4000
#define ISC_REQ_STREAM                 0x8000
#define ISC_REQ_INTEGRITY              0x10000
#define ISC_REQ_MANUAL_CRED_VALIDATION 0x80000
#define ISC_RET_MUTUAL_AUTH            0x2
#define ISC_RET_REPLAY_DETECT          0x4
#define ISC_RET_SEQUENCE_DETECT        0x8
#define ISC_RET_CONFIDENTIALITY        0x10
#define ISC_RET_USED_SUPPLIED_CREDS    0x80
#define ISC_RET_ALLOCATED_MEMORY       0x100
#define ISC_RET_EXTENDED_ERROR         0x4000
#define ISC_RET_STREAM                 0x8000
#define ISC_RET_INTEGRITY              0x10000
#define ISC_RET_MANUAL_CRED_VALIDATION 0x80000
#define ASC_REQ_DELEGATE               0x1
#define ASC_REQ_MUTUAL_AUTH            0x2
#define ASC_REQ_REPLAY_DETECT          0x4
#define ASC_REQ_SEQUENCE_DETECT        0x8
#define ASC_REQ_CONFIDENTIALITY        0x10
#define ASC_REQ_ALLOCATE_MEMORY        0x100
#define ASC_REQ_EXTENDED_ERROR         0x8000
#define ASC_REQ_STREAM                 0x10000
#define ASC_REQ_INTEGRITY              0x20000
#define ASC_RET_MUTUAL_AUTH            0x2
#define ASC_RET_REPLAY_DETECT          0x4
#define ASC_RET_SEQUENCE_DETECT        0x8
#define ASC_RET_CONFIDENTIALITY        0x10
#define ASC_RET_ALLOCATED_MEMORY       0x100
#define ASC_RET_EXTENDED_ERROR         0x8000
#define ASC_RET_STREAM                 0x10000
#define ASC_RET_INTEGRITY              0x20000

#define SECPKG_CRED_INBOUND                           0x1
#define SECPKG_CRED_OUTBOUND                          0x2
#define SECPKG_CRED_BOTH                              0x3
#define SECURITY_NATIVE_DREP                          0x10
#define SECURITY_NETWORK_DREP                         0x0
#define SECPKG_ATTR_SIZES                             0x0
#define SECPKG_ATTR_NAMES                             0x1
#define SECPKG_ATTR_LIFESPAN                          0x2
#define SECPKG_ATTR_STREAM_SIZES                      0x4
#define SECPKG_ATTR_KEY_INFO                          0x5
#define SECPKG_ATTR_AUTHORITY                         0x6
#define SECPKG_ATTR_PACKAGE_INFO                      0xa
#define SECPKG_ATTR_NEGOTIATION_INFO                  0xc
#define SECPKG_ATTR_FLAGS                             0xe
#define SECPKG_ATTR_UNIQUE_BINDINGS                   0x19
#define SECPKG_ATTR_ENDPOINT_BINDINGS                 0x1a
#define SECPKG_ATTR_APPLICATION_PROTOCOL              0x23
#define SECPKG_ATTR_KEYING_MATERIAL                   0x6b
#define SECPKG_ATTR_KEYING_MATERIAL_INFO              0x6a
#define SECPKG_CRED_ATTR_NAMES                        0x1
#define SECPKG_FLAG_STREAM                            0x400
#define SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION   0x1
#define SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_2 0x2
#define SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_3 0x3
#define SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_4 0x4
#define SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_5 0x5

#endif
