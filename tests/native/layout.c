/*
 * layout.c - size and field offsets of every struct of Windows that we fill or read
 *
 * Compiled, never run: against the headers of mingw-w64 for all three machines and by gcc
 * (ci/checks.py), against Microsoft's own (ci/msvc_headers.py), and against the stand-ins
 * of this folder (tests/test_native.py). The numbers: 64 bit, then 32 bit.
 */
#include "schan_windows.h"

#include <ncrypt.h>
#include <stddef.h>

#if defined(__clang__) || defined(__GNUC__)
#undef offsetof /* of the SDK: it is no constant expression to a strict compiler */
#define offsetof __builtin_offsetof
#endif

#define PICK(wide, narrow) (sizeof(void *) == 8 ? (wide) : (narrow))
#define SIZE(type, wide, narrow)                                                       \
    _Static_assert(sizeof(type) == PICK(wide, narrow), "size of " #type);
#define FIELD(type, field, wide, narrow)                                               \
    _Static_assert(offsetof(type, field) == PICK(wide, narrow), #type "." #field);

_Static_assert(sizeof(wchar_t) == 2 && sizeof(LONG) == 4 && sizeof(ULONG) == 4 &&
                   sizeof(DWORD) == 4 && sizeof(BOOL) == 4 && sizeof(NTSTATUS) == 4 &&
                   sizeof(SECURITY_STATUS) == 4 && sizeof(HRESULT) == 4,
               "the types of Windows");
_Static_assert(sizeof(SOCKET) == sizeof(void *) && sizeof(ULONG_PTR) == sizeof(void *),
               "handles are as wide as pointers");

/* clang-format off: a table */
SIZE(SecHandle, 16, 8)
FIELD(SecHandle, dwLower, 0, 0)
FIELD(SecHandle, dwUpper, 8, 4)

SIZE(SecBuffer, 16, 12)
FIELD(SecBuffer, cbBuffer, 0, 0)
FIELD(SecBuffer, BufferType, 4, 4)
FIELD(SecBuffer, pvBuffer, 8, 8)

SIZE(SecBufferDesc, 16, 12)
FIELD(SecBufferDesc, ulVersion, 0, 0)
FIELD(SecBufferDesc, cBuffers, 4, 4)
FIELD(SecBufferDesc, pBuffers, 8, 8)

SIZE(SecPkgInfoW, 32, 20)
FIELD(SecPkgInfoW, fCapabilities, 0, 0)
FIELD(SecPkgInfoW, wVersion, 4, 4)
FIELD(SecPkgInfoW, wRPCID, 6, 6)
FIELD(SecPkgInfoW, cbMaxToken, 8, 8)
FIELD(SecPkgInfoW, Name, 16, 12)
FIELD(SecPkgInfoW, Comment, 24, 16)

SIZE(SecurityFunctionTableW, 256, 128)
FIELD(SecurityFunctionTableW, dwVersion, 0, 0)
FIELD(SecurityFunctionTableW, EnumerateSecurityPackagesW, 8, 4)
FIELD(SecurityFunctionTableW, QueryCredentialsAttributesW, 16, 8)
FIELD(SecurityFunctionTableW, AcquireCredentialsHandleW, 24, 12)
FIELD(SecurityFunctionTableW, FreeCredentialsHandle, 32, 16)
FIELD(SecurityFunctionTableW, InitializeSecurityContextW, 48, 24)
FIELD(SecurityFunctionTableW, AcceptSecurityContext, 56, 28)
FIELD(SecurityFunctionTableW, CompleteAuthToken, 64, 32)
FIELD(SecurityFunctionTableW, DeleteSecurityContext, 72, 36)
FIELD(SecurityFunctionTableW, ApplyControlToken, 80, 40)
FIELD(SecurityFunctionTableW, QueryContextAttributesW, 88, 44)
FIELD(SecurityFunctionTableW, ImpersonateSecurityContext, 96, 48)
FIELD(SecurityFunctionTableW, RevertSecurityContext, 104, 52)
FIELD(SecurityFunctionTableW, MakeSignature, 112, 56)
FIELD(SecurityFunctionTableW, VerifySignature, 120, 60)
FIELD(SecurityFunctionTableW, FreeContextBuffer, 128, 64)
FIELD(SecurityFunctionTableW, QuerySecurityPackageInfoW, 136, 68)
FIELD(SecurityFunctionTableW, ExportSecurityContext, 160, 80)
FIELD(SecurityFunctionTableW, ImportSecurityContextW, 168, 84)
FIELD(SecurityFunctionTableW, AddCredentialsW, 176, 88)
FIELD(SecurityFunctionTableW, QuerySecurityContextToken, 192, 96)
FIELD(SecurityFunctionTableW, EncryptMessage, 200, 100)
FIELD(SecurityFunctionTableW, DecryptMessage, 208, 104)
FIELD(SecurityFunctionTableW, SetContextAttributesW, 216, 108)
FIELD(SecurityFunctionTableW, SetCredentialsAttributesW, 224, 112)

SIZE(UNICODE_STRING, 16, 8)
FIELD(UNICODE_STRING, Length, 0, 0)
FIELD(UNICODE_STRING, MaximumLength, 2, 2)
FIELD(UNICODE_STRING, Buffer, 8, 4)

SIZE(CRYPTO_SETTINGS, 48, 28)
FIELD(CRYPTO_SETTINGS, eAlgorithmUsage, 0, 0)
FIELD(CRYPTO_SETTINGS, strCngAlgId, 8, 4)
FIELD(CRYPTO_SETTINGS, cChainingModes, 24, 12)
FIELD(CRYPTO_SETTINGS, rgstrChainingModes, 32, 16)
FIELD(CRYPTO_SETTINGS, dwMinBitLength, 40, 20)
FIELD(CRYPTO_SETTINGS, dwMaxBitLength, 44, 24)

SIZE(TLS_PARAMETERS, 40, 24)
FIELD(TLS_PARAMETERS, cAlpnIds, 0, 0)
FIELD(TLS_PARAMETERS, rgstrAlpnIds, 8, 4)
FIELD(TLS_PARAMETERS, grbitDisabledProtocols, 16, 8)
FIELD(TLS_PARAMETERS, cDisabledCrypto, 20, 12)
FIELD(TLS_PARAMETERS, pDisabledCrypto, 24, 16)
FIELD(TLS_PARAMETERS, dwFlags, 32, 20)

SIZE(SCH_CREDENTIALS, 72, 44)
FIELD(SCH_CREDENTIALS, dwVersion, 0, 0)
FIELD(SCH_CREDENTIALS, dwCredFormat, 4, 4)
FIELD(SCH_CREDENTIALS, cCreds, 8, 8)
FIELD(SCH_CREDENTIALS, paCred, 16, 12)
FIELD(SCH_CREDENTIALS, hRootStore, 24, 16)
FIELD(SCH_CREDENTIALS, cMappers, 32, 20)
FIELD(SCH_CREDENTIALS, aphMappers, 40, 24)
FIELD(SCH_CREDENTIALS, dwSessionLifespan, 48, 28)
FIELD(SCH_CREDENTIALS, dwFlags, 52, 32)
FIELD(SCH_CREDENTIALS, cTlsParameters, 56, 36)
FIELD(SCH_CREDENTIALS, pTlsParameters, 64, 40)

SIZE(SCHANNEL_CRED, 80, 56)
FIELD(SCHANNEL_CRED, dwVersion, 0, 0)
FIELD(SCHANNEL_CRED, cCreds, 4, 4)
FIELD(SCHANNEL_CRED, paCred, 8, 8)
FIELD(SCHANNEL_CRED, hRootStore, 16, 12)
FIELD(SCHANNEL_CRED, cMappers, 24, 16)
FIELD(SCHANNEL_CRED, aphMappers, 32, 20)
FIELD(SCHANNEL_CRED, cSupportedAlgs, 40, 24)
FIELD(SCHANNEL_CRED, palgSupportedAlgs, 48, 28)
FIELD(SCHANNEL_CRED, grbitEnabledProtocols, 56, 32)
FIELD(SCHANNEL_CRED, dwMinimumCipherStrength, 60, 36)
FIELD(SCHANNEL_CRED, dwMaximumCipherStrength, 64, 40)
FIELD(SCHANNEL_CRED, dwSessionLifespan, 68, 44)
FIELD(SCHANNEL_CRED, dwFlags, 72, 48)
FIELD(SCHANNEL_CRED, dwCredFormat, 76, 52)

SIZE(SCHANNEL_ALERT_TOKEN, 12, 12)
FIELD(SCHANNEL_ALERT_TOKEN, dwTokenType, 0, 0)
FIELD(SCHANNEL_ALERT_TOKEN, dwAlertType, 4, 4)
FIELD(SCHANNEL_ALERT_TOKEN, dwAlertNumber, 8, 8)

SIZE(SCHANNEL_SESSION_TOKEN, 8, 8)
FIELD(SCHANNEL_SESSION_TOKEN, dwTokenType, 0, 0)
FIELD(SCHANNEL_SESSION_TOKEN, dwFlags, 4, 4)

SIZE(SEC_APPLICATION_PROTOCOL_LIST, 8, 8)
FIELD(SEC_APPLICATION_PROTOCOL_LIST, ProtoNegoExt, 0, 0)
FIELD(SEC_APPLICATION_PROTOCOL_LIST, ProtocolListSize, 4, 4)
FIELD(SEC_APPLICATION_PROTOCOL_LIST, ProtocolList, 6, 6)

SIZE(SEC_APPLICATION_PROTOCOLS, 12, 12)
FIELD(SEC_APPLICATION_PROTOCOLS, ProtocolListsSize, 0, 0)
FIELD(SEC_APPLICATION_PROTOCOLS, ProtocolLists, 4, 4)

SIZE(SEC_CHANNEL_BINDINGS, 32, 32)
FIELD(SEC_CHANNEL_BINDINGS, dwInitiatorAddrType, 0, 0)
FIELD(SEC_CHANNEL_BINDINGS, cbInitiatorLength, 4, 4)
FIELD(SEC_CHANNEL_BINDINGS, dwInitiatorOffset, 8, 8)
FIELD(SEC_CHANNEL_BINDINGS, dwAcceptorAddrType, 12, 12)
FIELD(SEC_CHANNEL_BINDINGS, cbAcceptorLength, 16, 16)
FIELD(SEC_CHANNEL_BINDINGS, dwAcceptorOffset, 20, 20)
FIELD(SEC_CHANNEL_BINDINGS, cbApplicationDataLength, 24, 24)
FIELD(SEC_CHANNEL_BINDINGS, dwApplicationDataOffset, 28, 28)

SIZE(SecPkgContext_StreamSizes, 20, 20)
FIELD(SecPkgContext_StreamSizes, cbHeader, 0, 0)
FIELD(SecPkgContext_StreamSizes, cbTrailer, 4, 4)
FIELD(SecPkgContext_StreamSizes, cbMaximumMessage, 8, 8)
FIELD(SecPkgContext_StreamSizes, cBuffers, 12, 12)
FIELD(SecPkgContext_StreamSizes, cbBlockSize, 16, 16)

SIZE(SecPkgContext_ConnectionInfo, 28, 28)
FIELD(SecPkgContext_ConnectionInfo, dwProtocol, 0, 0)
FIELD(SecPkgContext_ConnectionInfo, aiCipher, 4, 4)
FIELD(SecPkgContext_ConnectionInfo, dwCipherStrength, 8, 8)
FIELD(SecPkgContext_ConnectionInfo, aiHash, 12, 12)
FIELD(SecPkgContext_ConnectionInfo, dwHashStrength, 16, 16)
FIELD(SecPkgContext_ConnectionInfo, aiExch, 20, 20)
FIELD(SecPkgContext_ConnectionInfo, dwExchStrength, 24, 24)

SIZE(SecPkgContext_CipherInfo, 680, 680)
FIELD(SecPkgContext_CipherInfo, dwVersion, 0, 0)
FIELD(SecPkgContext_CipherInfo, dwProtocol, 4, 4)
FIELD(SecPkgContext_CipherInfo, dwCipherSuite, 8, 8)
FIELD(SecPkgContext_CipherInfo, dwBaseCipherSuite, 12, 12)
FIELD(SecPkgContext_CipherInfo, szCipherSuite, 16, 16)
FIELD(SecPkgContext_CipherInfo, szCipher, 144, 144)
FIELD(SecPkgContext_CipherInfo, dwCipherLen, 272, 272)
FIELD(SecPkgContext_CipherInfo, dwCipherBlockLen, 276, 276)
FIELD(SecPkgContext_CipherInfo, szHash, 280, 280)
FIELD(SecPkgContext_CipherInfo, dwHashLen, 408, 408)
FIELD(SecPkgContext_CipherInfo, szExchange, 412, 412)
FIELD(SecPkgContext_CipherInfo, dwMinExchangeLen, 540, 540)
FIELD(SecPkgContext_CipherInfo, dwMaxExchangeLen, 544, 544)
FIELD(SecPkgContext_CipherInfo, szCertificate, 548, 548)
FIELD(SecPkgContext_CipherInfo, dwKeyType, 676, 676)

SIZE(SecPkgContext_ApplicationProtocol, 264, 264)
FIELD(SecPkgContext_ApplicationProtocol, ProtoNegoStatus, 0, 0)
FIELD(SecPkgContext_ApplicationProtocol, ProtoNegoExt, 4, 4)
FIELD(SecPkgContext_ApplicationProtocol, ProtocolIdSize, 8, 8)
FIELD(SecPkgContext_ApplicationProtocol, ProtocolId, 9, 9)

SIZE(SecPkgContext_SessionInfo, 40, 40)
FIELD(SecPkgContext_SessionInfo, dwFlags, 0, 0)
FIELD(SecPkgContext_SessionInfo, cbSessionId, 4, 4)
FIELD(SecPkgContext_SessionInfo, rgbSessionId, 8, 8)

SIZE(SecPkgContext_IssuerListInfoEx, 16, 8)
FIELD(SecPkgContext_IssuerListInfoEx, aIssuers, 0, 0)
FIELD(SecPkgContext_IssuerListInfoEx, cIssuers, 8, 4)

SIZE(SecPkgContext_KeyingMaterialInfo, 40, 20)
FIELD(SecPkgContext_KeyingMaterialInfo, cbLabel, 0, 0)
FIELD(SecPkgContext_KeyingMaterialInfo, pszLabel, 8, 4)
FIELD(SecPkgContext_KeyingMaterialInfo, cbContextValue, 16, 8)
FIELD(SecPkgContext_KeyingMaterialInfo, pbContextValue, 24, 12)
FIELD(SecPkgContext_KeyingMaterialInfo, cbKeyingMaterial, 32, 16)

SIZE(SecPkgContext_KeyingMaterial, 16, 8)
FIELD(SecPkgContext_KeyingMaterial, cbKeyingMaterial, 0, 0)
FIELD(SecPkgContext_KeyingMaterial, pbKeyingMaterial, 8, 4)

SIZE(SecPkgContext_Bindings, 16, 8)
FIELD(SecPkgContext_Bindings, BindingsLength, 0, 0)
FIELD(SecPkgContext_Bindings, Bindings, 8, 4)

SIZE(CERT_CONTEXT, 40, 20)
FIELD(CERT_CONTEXT, dwCertEncodingType, 0, 0)
FIELD(CERT_CONTEXT, pbCertEncoded, 8, 4)
FIELD(CERT_CONTEXT, cbCertEncoded, 16, 8)
FIELD(CERT_CONTEXT, pCertInfo, 24, 12)
FIELD(CERT_CONTEXT, hCertStore, 32, 16)

SIZE(CERT_INFO, 208, 112)
FIELD(CERT_INFO, dwVersion, 0, 0)
FIELD(CERT_INFO, SerialNumber, 8, 4)
FIELD(CERT_INFO, SignatureAlgorithm, 24, 12)
FIELD(CERT_INFO, Issuer, 48, 24)
FIELD(CERT_INFO, NotBefore, 64, 32)
FIELD(CERT_INFO, NotAfter, 72, 40)
FIELD(CERT_INFO, Subject, 80, 48)
FIELD(CERT_INFO, SubjectPublicKeyInfo, 96, 56)
FIELD(CERT_INFO, cExtension, 192, 104)
FIELD(CERT_INFO, rgExtension, 200, 108)

SIZE(CERT_EXTENSION, 32, 16)
FIELD(CERT_EXTENSION, pszObjId, 0, 0)
FIELD(CERT_EXTENSION, fCritical, 8, 4)
FIELD(CERT_EXTENSION, Value, 16, 8)

SIZE(CERT_CHAIN_PARA, 96, 52)
FIELD(CERT_CHAIN_PARA, cbSize, 0, 0)
FIELD(CERT_CHAIN_PARA, RequestedUsage, 8, 4)
FIELD(CERT_CHAIN_PARA, RequestedIssuancePolicy, 32, 16)
FIELD(CERT_CHAIN_PARA, dwUrlRetrievalTimeout, 56, 28)
FIELD(CERT_CHAIN_PARA, fCheckRevocationFreshnessTime, 60, 32)
FIELD(CERT_CHAIN_PARA, dwRevocationFreshnessTime, 64, 36)
FIELD(CERT_CHAIN_PARA, pftCacheResync, 72, 40)
FIELD(CERT_CHAIN_PARA, pStrongSignPara, 80, 44)
FIELD(CERT_CHAIN_PARA, dwStrongSignFlags, 88, 48)

SIZE(CERT_CHAIN_ENGINE_CONFIG, 88, 52)
FIELD(CERT_CHAIN_ENGINE_CONFIG, cbSize, 0, 0)
FIELD(CERT_CHAIN_ENGINE_CONFIG, hRestrictedRoot, 8, 4)
FIELD(CERT_CHAIN_ENGINE_CONFIG, hRestrictedTrust, 16, 8)
FIELD(CERT_CHAIN_ENGINE_CONFIG, hRestrictedOther, 24, 12)
FIELD(CERT_CHAIN_ENGINE_CONFIG, cAdditionalStore, 32, 16)
FIELD(CERT_CHAIN_ENGINE_CONFIG, rghAdditionalStore, 40, 20)
FIELD(CERT_CHAIN_ENGINE_CONFIG, dwFlags, 48, 24)
FIELD(CERT_CHAIN_ENGINE_CONFIG, dwUrlRetrievalTimeout, 52, 28)
FIELD(CERT_CHAIN_ENGINE_CONFIG, MaximumCachedCertificates, 56, 32)
FIELD(CERT_CHAIN_ENGINE_CONFIG, CycleDetectionModulus, 60, 36)
FIELD(CERT_CHAIN_ENGINE_CONFIG, hExclusiveRoot, 64, 40)
FIELD(CERT_CHAIN_ENGINE_CONFIG, hExclusiveTrustedPeople, 72, 44)
FIELD(CERT_CHAIN_ENGINE_CONFIG, dwExclusiveFlags, 80, 48)

SIZE(CERT_CHAIN_CONTEXT, 72, 56)
FIELD(CERT_CHAIN_CONTEXT, cbSize, 0, 0)
FIELD(CERT_CHAIN_CONTEXT, TrustStatus, 4, 4)
FIELD(CERT_CHAIN_CONTEXT, cChain, 12, 12)
FIELD(CERT_CHAIN_CONTEXT, rgpChain, 16, 16)

SIZE(CERT_SIMPLE_CHAIN, 40, 32)
FIELD(CERT_SIMPLE_CHAIN, cbSize, 0, 0)
FIELD(CERT_SIMPLE_CHAIN, TrustStatus, 4, 4)
FIELD(CERT_SIMPLE_CHAIN, cElement, 12, 12)
FIELD(CERT_SIMPLE_CHAIN, rgpElement, 16, 16)

SIZE(CERT_CHAIN_ELEMENT, 56, 32)
FIELD(CERT_CHAIN_ELEMENT, cbSize, 0, 0)
FIELD(CERT_CHAIN_ELEMENT, pCertContext, 8, 4)
FIELD(CERT_CHAIN_ELEMENT, TrustStatus, 16, 8)
FIELD(CERT_CHAIN_ELEMENT, pApplicationUsage, 40, 24)
FIELD(CERT_CHAIN_ELEMENT, pwszExtendedErrorInfo, 48, 28)

SIZE(CERT_CHAIN_POLICY_PARA, 16, 12)
FIELD(CERT_CHAIN_POLICY_PARA, cbSize, 0, 0)
FIELD(CERT_CHAIN_POLICY_PARA, dwFlags, 4, 4)
FIELD(CERT_CHAIN_POLICY_PARA, pvExtraPolicyPara, 8, 8)

SIZE(CERT_CHAIN_POLICY_STATUS, 24, 20)
FIELD(CERT_CHAIN_POLICY_STATUS, cbSize, 0, 0)
FIELD(CERT_CHAIN_POLICY_STATUS, dwError, 4, 4)
FIELD(CERT_CHAIN_POLICY_STATUS, lChainIndex, 8, 8)
FIELD(CERT_CHAIN_POLICY_STATUS, lElementIndex, 12, 12)
FIELD(CERT_CHAIN_POLICY_STATUS, pvExtraPolicyStatus, 16, 16)

SIZE(HTTPSPolicyCallbackData, 24, 16)
FIELD(HTTPSPolicyCallbackData, cbStruct, 0, 0)
FIELD(HTTPSPolicyCallbackData, dwAuthType, 4, 4)
FIELD(HTTPSPolicyCallbackData, fdwChecks, 8, 8)
FIELD(HTTPSPolicyCallbackData, pwszServerName, 16, 12)

SIZE(CRYPT_KEY_PROV_INFO, 48, 28)
FIELD(CRYPT_KEY_PROV_INFO, pwszContainerName, 0, 0)
FIELD(CRYPT_KEY_PROV_INFO, pwszProvName, 8, 4)
FIELD(CRYPT_KEY_PROV_INFO, dwProvType, 16, 8)
FIELD(CRYPT_KEY_PROV_INFO, dwFlags, 20, 12)
FIELD(CRYPT_KEY_PROV_INFO, cProvParam, 24, 16)
FIELD(CRYPT_KEY_PROV_INFO, rgProvParam, 32, 20)
FIELD(CRYPT_KEY_PROV_INFO, dwKeySpec, 40, 24)

SIZE(CERT_KEY_CONTEXT, 24, 12)
FIELD(CERT_KEY_CONTEXT, cbSize, 0, 0)
FIELD(CERT_KEY_CONTEXT, hCryptProv, 8, 4)
FIELD(CERT_KEY_CONTEXT, dwKeySpec, 16, 8)

SIZE(FILETIME, 8, 8)
FIELD(FILETIME, dwLowDateTime, 0, 0)
FIELD(FILETIME, dwHighDateTime, 4, 4)
/* clang-format on */
