/* schannel.h - a stand-in; see windows.h */
#ifndef STAND_IN_SCHANNEL_H
#define STAND_IN_SCHANNEL_H

#include <sspi.h>
#include <wincrypt.h>

#define UNISP_NAME_W           L"Microsoft Unified Security Protocol Provider"
#define SCHANNEL_NAME_W        L"Schannel"
#define DEFAULT_TLS_SSP_NAME_W L"Default TLS SSP"

typedef enum {
    TlsParametersCngAlgUsageKeyExchange,
    TlsParametersCngAlgUsageSignature,
    TlsParametersCngAlgUsageCipher,
    TlsParametersCngAlgUsageDigest,
    TlsParametersCngAlgUsageCertSig
} eTlsAlgorithmUsage;

typedef struct {
    eTlsAlgorithmUsage eAlgorithmUsage;
    UNICODE_STRING strCngAlgId;
    DWORD cChainingModes;
    PUNICODE_STRING rgstrChainingModes;
    DWORD dwMinBitLength;
    DWORD dwMaxBitLength;
} CRYPTO_SETTINGS, *PCRYPTO_SETTINGS;

typedef struct {
    DWORD cAlpnIds;
    PUNICODE_STRING rgstrAlpnIds;
    DWORD grbitDisabledProtocols;
    DWORD cDisabledCrypto;
    PCRYPTO_SETTINGS pDisabledCrypto;
    DWORD dwFlags;
} TLS_PARAMETERS, *PTLS_PARAMETERS;

typedef struct {
    DWORD dwVersion;
    DWORD dwCredFormat;
    DWORD cCreds;
    PCCERT_CONTEXT *paCred;
    HCERTSTORE hRootStore;
    DWORD cMappers;
    struct _HMAPPER **aphMappers;
    DWORD dwSessionLifespan;
    DWORD dwFlags;
    DWORD cTlsParameters;
    PTLS_PARAMETERS pTlsParameters;
} SCH_CREDENTIALS, *PSCH_CREDENTIALS;

typedef struct {
    DWORD dwVersion;
    DWORD cCreds;
    PCCERT_CONTEXT *paCred;
    HCERTSTORE hRootStore;
    DWORD cMappers;
    struct _HMAPPER **aphMappers;
    DWORD cSupportedAlgs;
    ALG_ID *palgSupportedAlgs;
    DWORD grbitEnabledProtocols;
    DWORD dwMinimumCipherStrength;
    DWORD dwMaximumCipherStrength;
    DWORD dwSessionLifespan;
    DWORD dwFlags;
    DWORD dwCredFormat;
} SCHANNEL_CRED, *PSCHANNEL_CRED;

typedef struct {
    DWORD dwTokenType;
    DWORD dwAlertType;
    DWORD dwAlertNumber;
} SCHANNEL_ALERT_TOKEN;

typedef struct {
    DWORD dwTokenType;
    DWORD dwFlags;
} SCHANNEL_SESSION_TOKEN;

typedef struct {
    DWORD dwProtocol;
    ALG_ID aiCipher;
    DWORD dwCipherStrength;
    ALG_ID aiHash;
    DWORD dwHashStrength;
    ALG_ID aiExch;
    DWORD dwExchStrength;
} SecPkgContext_ConnectionInfo, *PSecPkgContext_ConnectionInfo;

#define SECPKG_ATTR_REMOTE_CERT_CONTEXT              0x53
#define SECPKG_ATTR_LOCAL_CERT_CONTEXT               0x54
#define SECPKG_ATTR_ROOT_STORE                       0x55
#define SECPKG_ATTR_SUPPORTED_ALGS                   0x56
#define SECPKG_ATTR_CIPHER_STRENGTHS                 0x57
#define SECPKG_ATTR_SUPPORTED_PROTOCOLS              0x58
#define SECPKG_ATTR_ISSUER_LIST_EX                   0x59
#define SECPKG_ATTR_CONNECTION_INFO                  0x5a
#define SECPKG_ATTR_EAP_KEY_BLOCK                    0x5b
#define SECPKG_ATTR_APP_DATA                         0x5e
#define SECPKG_ATTR_SESSION_INFO                     0x5d
#define SECPKG_ATTR_REMOTE_CERT_CHAIN                0x67
#define SECPKG_ATTR_EARLY_START                      0x69
#define SECPKG_ATTR_CIPHER_INFO                      0x64
#define SECPKG_ATTR_UI_INFO                          0x68
#define SCH_CRED_NO_SYSTEM_MAPPER                    0x2
#define SCH_CRED_NO_SERVERNAME_CHECK                 0x4
#define SCH_CRED_MANUAL_CRED_VALIDATION              0x8
#define SCH_CRED_NO_DEFAULT_CREDS                    0x10
#define SCH_CRED_AUTO_CRED_VALIDATION                0x20
#define SCH_CRED_USE_DEFAULT_CREDS                   0x40
#define SCH_CRED_DISABLE_RECONNECTS                  0x80
#define SCH_CRED_REVOCATION_CHECK_END_CERT           0x100
#define SCH_CRED_REVOCATION_CHECK_CHAIN              0x200
#define SCH_CRED_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT 0x400
#define SCH_CRED_IGNORE_NO_REVOCATION_CHECK          0x800
#define SCH_CRED_IGNORE_REVOCATION_OFFLINE           0x1000
#define SCH_SEND_ROOT_CERT                           0x40000
#define SCH_SEND_AUX_RECORD                          0x200000
#define SCH_USE_STRONG_CRYPTO                        0x400000
#define SCH_CRED_SNI_CREDENTIAL                      0x80000
#define SCH_CRED_SNI_ENABLE_OCSP                     0x100000
#define SCHANNEL_CRED_VERSION                        0x4
#define SCH_CREDENTIALS_VERSION                      0x5
#define SCHANNEL_RENEGOTIATE                         0x0
#define SCHANNEL_SHUTDOWN                            0x1
#define SCHANNEL_ALERT                               0x2
#define SCHANNEL_SESSION                             0x3
#define SSL_SESSION_ENABLE_RECONNECTS                0x1
#define SSL_SESSION_DISABLE_RECONNECTS               0x2
#define TLS1_ALERT_WARNING                           0x1
#define TLS1_ALERT_FATAL                             0x2
#define SSL_SESSION_RECONNECT                        0x1
#define SP_PROT_SSL2_CLIENT                          0x8
#define SP_PROT_SSL3_CLIENT                          0x20
#define SP_PROT_SSL3_SERVER                          0x10
#define SP_PROT_TLS1_0_CLIENT                        0x80
#define SP_PROT_TLS1_0_SERVER                        0x40
#define SP_PROT_TLS1_1_CLIENT                        0x200
#define SP_PROT_TLS1_1_SERVER                        0x100
#define SP_PROT_TLS1_2_CLIENT                        0x800
#define SP_PROT_TLS1_2_SERVER                        0x400
#define SP_PROT_TLS1_3_CLIENT                        0x2000
#define SP_PROT_TLS1_3_SERVER                        0x1000
#define SECPKGCONTEXT_CIPHERINFO_V1                  0x1
#define SZ_ALG_MAX_SIZE                              0x40

typedef struct {
    DWORD dwVersion;
    DWORD dwProtocol;
    DWORD dwCipherSuite;
    DWORD dwBaseCipherSuite;
    WCHAR szCipherSuite[SZ_ALG_MAX_SIZE];
    WCHAR szCipher[SZ_ALG_MAX_SIZE];
    DWORD dwCipherLen;
    DWORD dwCipherBlockLen;
    WCHAR szHash[SZ_ALG_MAX_SIZE];
    DWORD dwHashLen;
    WCHAR szExchange[SZ_ALG_MAX_SIZE];
    DWORD dwMinExchangeLen;
    DWORD dwMaxExchangeLen;
    WCHAR szCertificate[SZ_ALG_MAX_SIZE];
    DWORD dwKeyType;
} SecPkgContext_CipherInfo, *PSecPkgContext_CipherInfo;

typedef struct {
    DWORD dwFlags;
    DWORD cbSessionId;
    BYTE rgbSessionId[32];
} SecPkgContext_SessionInfo, *PSecPkgContext_SessionInfo;

typedef struct {
    PCERT_NAME_BLOB aIssuers;
    DWORD cIssuers;
} SecPkgContext_IssuerListInfoEx, *PSecPkgContext_IssuerListInfoEx;

typedef struct {
    DWORD grbitProtocol;
} SecPkgCred_SupportedProtocols;

#endif
