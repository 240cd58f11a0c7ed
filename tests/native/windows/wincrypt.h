/* wincrypt.h - a stand-in; see windows.h */
#ifndef STAND_IN_WINCRYPT_H
#define STAND_IN_WINCRYPT_H

#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>

typedef unsigned int ALG_ID;
typedef void *HCERTSTORE;
typedef void *HCERTCHAINENGINE;
typedef ULONG_PTR HCRYPTPROV, HCRYPTPROV_LEGACY, HCRYPTKEY, HCRYPTHASH,
    HCRYPTPROV_OR_NCRYPT_KEY_HANDLE;

/* ------------------------------------------------------------ certificates */

typedef struct {
    DWORD cbData;
    BYTE *pbData;
} CRYPT_DATA_BLOB, *PCRYPT_DATA_BLOB, CRYPT_INTEGER_BLOB, *PCRYPT_INTEGER_BLOB,
    CRYPT_OBJID_BLOB, CERT_NAME_BLOB, *PCERT_NAME_BLOB, CRYPT_DER_BLOB, CRYPT_HASH_BLOB,
    *PCRYPT_HASH_BLOB, DATA_BLOB, CRYPT_ATTR_BLOB;

typedef struct {
    DWORD cbData;
    BYTE *pbData;
    DWORD cUnusedBits;
} CRYPT_BIT_BLOB;

typedef struct {
    LPSTR pszObjId;
    CRYPT_OBJID_BLOB Parameters;
} CRYPT_ALGORITHM_IDENTIFIER, *PCRYPT_ALGORITHM_IDENTIFIER;

typedef struct {
    CRYPT_ALGORITHM_IDENTIFIER Algorithm;
    CRYPT_BIT_BLOB PublicKey;
} CERT_PUBLIC_KEY_INFO, *PCERT_PUBLIC_KEY_INFO;

typedef struct {
    LPSTR pszObjId;
    BOOL fCritical;
    CRYPT_OBJID_BLOB Value;
} CERT_EXTENSION, *PCERT_EXTENSION;

typedef struct {
    DWORD dwVersion;
    CRYPT_INTEGER_BLOB SerialNumber;
    CRYPT_ALGORITHM_IDENTIFIER SignatureAlgorithm;
    CERT_NAME_BLOB Issuer;
    FILETIME NotBefore;
    FILETIME NotAfter;
    CERT_NAME_BLOB Subject;
    CERT_PUBLIC_KEY_INFO SubjectPublicKeyInfo;
    CRYPT_BIT_BLOB IssuerUniqueId;
    CRYPT_BIT_BLOB SubjectUniqueId;
    DWORD cExtension;
    PCERT_EXTENSION rgExtension;
} CERT_INFO, *PCERT_INFO;

typedef struct {
    DWORD dwCertEncodingType;
    BYTE *pbCertEncoded;
    DWORD cbCertEncoded;
    PCERT_INFO pCertInfo;
    HCERTSTORE hCertStore;
} CERT_CONTEXT, *PCERT_CONTEXT;
typedef const CERT_CONTEXT *PCCERT_CONTEXT;

typedef struct {
    DWORD cUsageIdentifier;
    LPSTR *rgpszUsageIdentifier;
} CERT_ENHKEY_USAGE, *PCERT_ENHKEY_USAGE, CTL_USAGE, *PCTL_USAGE;

typedef struct {
    LPWSTR pwszContainerName;
    LPWSTR pwszProvName;
    DWORD dwProvType;
    DWORD dwFlags;
    DWORD cProvParam;
    void *rgProvParam;
    DWORD dwKeySpec;
} CRYPT_KEY_PROV_INFO, *PCRYPT_KEY_PROV_INFO;

typedef struct {
    DWORD cbSize;
    union {
        HCRYPTPROV hCryptProv;
        NCRYPT_KEY_HANDLE hNCryptKey;
    };
    DWORD dwKeySpec;
} CERT_KEY_CONTEXT, *PCERT_KEY_CONTEXT;

typedef struct {
    DWORD dwVersion;
    CRYPT_ALGORITHM_IDENTIFIER Algorithm;
    CRYPT_DER_BLOB PrivateKey;
    void *pAttributes;
} CRYPT_PRIVATE_KEY_INFO, *PCRYPT_PRIVATE_KEY_INFO;

typedef struct {
    DWORD cbSize;
    LPCSTR pszOID;
    LPCWSTR pwszName;
    DWORD dwGroupId;
    union {
        DWORD dwValue;
        ALG_ID Algid;
        DWORD dwLength;
    };
    CRYPT_DATA_BLOB ExtraInfo;
    LPCWSTR pwszCNGAlgid;
    LPCWSTR pwszCNGExtraAlgid;
} CRYPT_OID_INFO, *PCRYPT_OID_INFO;
typedef const CRYPT_OID_INFO *PCCRYPT_OID_INFO;

/* ------------------------------------------------------------------ chains */

typedef struct {
    DWORD dwErrorStatus;
    DWORD dwInfoStatus;
} CERT_TRUST_STATUS, *PCERT_TRUST_STATUS;

typedef struct {
    DWORD cbSize;
    PCCERT_CONTEXT pCertContext;
    CERT_TRUST_STATUS TrustStatus;
    void *pRevocationInfo;
    PCERT_ENHKEY_USAGE pIssuanceUsage;
    PCERT_ENHKEY_USAGE pApplicationUsage;
    LPCWSTR pwszExtendedErrorInfo;
} CERT_CHAIN_ELEMENT, *PCERT_CHAIN_ELEMENT;

typedef struct {
    DWORD cbSize;
    CERT_TRUST_STATUS TrustStatus;
    DWORD cElement;
    PCERT_CHAIN_ELEMENT *rgpElement;
    void *pTrustListInfo;
    BOOL fHasRevocationFreshnessTime;
    DWORD dwRevocationFreshnessTime;
} CERT_SIMPLE_CHAIN, *PCERT_SIMPLE_CHAIN;

typedef struct stand_in_chain_context CERT_CHAIN_CONTEXT, *PCERT_CHAIN_CONTEXT;
typedef const CERT_CHAIN_CONTEXT *PCCERT_CHAIN_CONTEXT;
struct stand_in_chain_context {
    DWORD cbSize;
    CERT_TRUST_STATUS TrustStatus;
    DWORD cChain;
    PCERT_SIMPLE_CHAIN *rgpChain;
    DWORD cLowerQualityChainContext;
    PCCERT_CHAIN_CONTEXT *rgpLowerQualityChainContext;
    BOOL fHasRevocationFreshnessTime;
    DWORD dwRevocationFreshnessTime;
    DWORD dwCreateFlags;
    GUID ChainId;
};

typedef struct {
    DWORD dwType;
    CERT_ENHKEY_USAGE Usage;
} CERT_USAGE_MATCH, *PCERT_USAGE_MATCH;

typedef struct {
    DWORD cbSize;
    CERT_USAGE_MATCH RequestedUsage;
    CERT_USAGE_MATCH RequestedIssuancePolicy;
    DWORD dwUrlRetrievalTimeout;
    BOOL fCheckRevocationFreshnessTime;
    DWORD dwRevocationFreshnessTime;
    LPFILETIME pftCacheResync;
    void *pStrongSignPara;
    DWORD dwStrongSignFlags;
} CERT_CHAIN_PARA, *PCERT_CHAIN_PARA;

typedef struct {
    DWORD cbSize;
    HCERTSTORE hRestrictedRoot;
    HCERTSTORE hRestrictedTrust;
    HCERTSTORE hRestrictedOther;
    DWORD cAdditionalStore;
    HCERTSTORE *rghAdditionalStore;
    DWORD dwFlags;
    DWORD dwUrlRetrievalTimeout;
    DWORD MaximumCachedCertificates;
    DWORD CycleDetectionModulus;
    HCERTSTORE hExclusiveRoot;
    HCERTSTORE hExclusiveTrustedPeople;
    DWORD dwExclusiveFlags;
} CERT_CHAIN_ENGINE_CONFIG, *PCERT_CHAIN_ENGINE_CONFIG;

typedef struct {
    DWORD cbSize;
    DWORD dwFlags;
    void *pvExtraPolicyPara;
} CERT_CHAIN_POLICY_PARA, *PCERT_CHAIN_POLICY_PARA;

typedef struct {
    DWORD cbSize;
    DWORD dwError;
    LONG lChainIndex;
    LONG lElementIndex;
    void *pvExtraPolicyStatus;
} CERT_CHAIN_POLICY_STATUS, *PCERT_CHAIN_POLICY_STATUS;

typedef struct {
    union {
        DWORD cbStruct;
        DWORD cbSize;
    };
    DWORD dwAuthType;
    DWORD fdwChecks;
    WCHAR *pwszServerName;
} HTTPSPolicyCallbackData, *PHTTPSPolicyCallbackData, SSL_EXTRA_CERT_CHAIN_POLICY_PARA;

#define HCCE_CURRENT_USER     ((HCERTCHAINENGINE)NULL)
#define HCCE_LOCAL_MACHINE    ((HCERTCHAINENGINE)0x1)
#define CERT_CHAIN_POLICY_SSL ((LPCSTR)4)

#define USAGE_MATCH_TYPE_AND                           0x0
#define USAGE_MATCH_TYPE_OR                            0x1
#define CERT_CHAIN_CACHE_END_CERT                      0x1
#define CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL            0x4
#define CERT_CHAIN_USE_LOCAL_MACHINE_STORE             0x8
#define CERT_CHAIN_ENABLE_CACHE_AUTO_UPDATE            0x10
#define CERT_CHAIN_DISABLE_AIA                         0x2000
#define CERT_CHAIN_DISABLE_AUTH_ROOT_AUTO_UPDATE       0x100
#define CERT_CHAIN_REVOCATION_CHECK_END_CERT           0x10000000
#define CERT_CHAIN_REVOCATION_CHECK_CHAIN              0x20000000
#define CERT_CHAIN_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT 0x40000000
#define CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY         0x80000000
#define CERT_CHAIN_REVOCATION_ACCUMULATIVE_TIMEOUT     0x8000000
#define CERT_CHAIN_RETURN_LOWER_QUALITY_CONTEXTS       0x80
#define CERT_TRUST_NO_ERROR                            0x0
#define CERT_TRUST_IS_NOT_TIME_VALID                   0x1
#define CERT_TRUST_IS_NOT_TIME_NESTED                  0x2
#define CERT_TRUST_IS_REVOKED                          0x4
#define CERT_TRUST_IS_NOT_SIGNATURE_VALID              0x8
#define CERT_TRUST_IS_NOT_VALID_FOR_USAGE              0x10
#define CERT_TRUST_IS_UNTRUSTED_ROOT                   0x20
#define CERT_TRUST_REVOCATION_STATUS_UNKNOWN           0x40
#define CERT_TRUST_IS_CYCLIC                           0x80
#define CERT_TRUST_INVALID_EXTENSION                   0x100
#define CERT_TRUST_INVALID_POLICY_CONSTRAINTS          0x200
#define CERT_TRUST_INVALID_BASIC_CONSTRAINTS           0x400
#define CERT_TRUST_INVALID_NAME_CONSTRAINTS            0x800
#define CERT_TRUST_HAS_NOT_SUPPORTED_NAME_CONSTRAINT   0x1000
#define CERT_TRUST_HAS_NOT_DEFINED_NAME_CONSTRAINT     0x2000
#define CERT_TRUST_HAS_NOT_PERMITTED_NAME_CONSTRAINT   0x4000
#define CERT_TRUST_HAS_EXCLUDED_NAME_CONSTRAINT        0x8000
#define CERT_TRUST_IS_PARTIAL_CHAIN                    0x10000
#define CERT_TRUST_CTL_IS_NOT_TIME_VALID               0x20000
#define CERT_TRUST_CTL_IS_NOT_SIGNATURE_VALID          0x40000
#define CERT_TRUST_CTL_IS_NOT_VALID_FOR_USAGE          0x80000
#define CERT_TRUST_HAS_WEAK_SIGNATURE                  0x100000
#define CERT_TRUST_IS_OFFLINE_REVOCATION               0x1000000
#define CERT_TRUST_NO_ISSUANCE_CHAIN_POLICY            0x2000000
#define CERT_TRUST_IS_EXPLICIT_DISTRUST                0x4000000
#define CERT_TRUST_HAS_NOT_SUPPORTED_CRITICAL_EXT      0x8000000
#define CERT_TRUST_IS_SELF_SIGNED                      0x8
#define CERT_TRUST_HAS_EXACT_MATCH_ISSUER              0x1
#define CERT_TRUST_HAS_KEY_MATCH_ISSUER                0x2
#define CERT_TRUST_HAS_NAME_MATCH_ISSUER               0x4
#define CERT_TRUST_HAS_PREFERRED_ISSUER                0x100
#define CERT_CHAIN_POLICY_IGNORE_ALL_REV_UNKNOWN_FLAGS 0xf00
#define CERT_CHAIN_POLICY_ALLOW_UNKNOWN_CA_FLAG        0x10
#define CERT_CHAIN_POLICY_IGNORE_WRONG_USAGE_FLAG      0x20
#define CERT_CHAIN_POLICY_IGNORE_INVALID_NAME_FLAG     0x40
#define AUTHTYPE_CLIENT                                0x1
#define AUTHTYPE_SERVER                                0x2
#define CERT_CHAIN_FIND_BY_ISSUER                      0x1
#define CERT_COMPARE_SHIFT                             0x10
#define CERT_CHAIN_EXCLUSIVE_ENABLE_CA_FLAG            0x1

/* ---------------------------------------------- stores, names, keys, objects */

#define CERT_STORE_PROV_MEMORY       ((LPCSTR)2)
#define CERT_STORE_PROV_COLLECTION   ((LPCSTR)11)
#define CERT_STORE_PROV_SYSTEM_W     ((LPCSTR)10)
#define X509_PUBLIC_KEY_INFO         ((LPCSTR)8)
#define X509_KEY_USAGE               ((LPCSTR)14)
#define PKCS_RSA_PRIVATE_KEY         ((LPCSTR)43)
#define PKCS_PRIVATE_KEY_INFO        ((LPCSTR)44)
#define X509_ECC_PRIVATE_KEY         ((LPCSTR)82)
#define szOID_SUBJECT_ALT_NAME2      "2.5.29.17"
#define szOID_KEY_USAGE              "2.5.29.15"
#define szOID_ENHANCED_KEY_USAGE     "2.5.29.37"
#define szOID_PKIX_KP_SERVER_AUTH    "1.3.6.1.5.5.7.3.1"
#define szOID_PKIX_KP_CLIENT_AUTH    "1.3.6.1.5.5.7.3.2"
#define szOID_ANY_ENHANCED_KEY_USAGE "2.5.29.37.0"
#define szOID_RSA_RSA                "1.2.840.113549.1.1.1"
#define szOID_ECC_PUBLIC_KEY         "1.2.840.10045.2.1"
#define szOID_ECC_CURVE_P256         "1.2.840.10045.3.1.7"
#define szOID_ECC_CURVE_P384         "1.3.132.0.34"
#define szOID_ECC_CURVE_P521         "1.3.132.0.35"

#define X509_ASN_ENCODING                            0x1
#define PKCS_7_ASN_ENCODING                          0x10000
#define CERT_STORE_ADD_NEW                           0x1
#define CERT_STORE_ADD_USE_EXISTING                  0x2
#define CERT_STORE_ADD_REPLACE_EXISTING              0x3
#define CERT_STORE_ADD_ALWAYS                        0x4
#define CERT_STORE_CREATE_NEW_FLAG                   0x2000
#define CERT_STORE_OPEN_EXISTING_FLAG                0x4000
#define CERT_STORE_READONLY_FLAG                     0x8000
#define CERT_STORE_MAXIMUM_ALLOWED_FLAG              0x1000
#define CERT_STORE_DEFER_CLOSE_UNTIL_LAST_FREE_FLAG  0x4
#define CERT_STORE_ENUM_ARCHIVED_FLAG                0x200
#define CERT_STORE_SHARE_STORE_FLAG                  0x40
#define CERT_STORE_SHARE_CONTEXT_FLAG                0x80
#define CERT_SYSTEM_STORE_CURRENT_USER               0x10000
#define CERT_SYSTEM_STORE_LOCAL_MACHINE              0x20000
#define CERT_SYSTEM_STORE_CURRENT_SERVICE            0x40000
#define CERT_CLOSE_STORE_FORCE_FLAG                  0x1
#define CERT_CLOSE_STORE_CHECK_FLAG                  0x2
#define CERT_FIND_ANY                                0x0
#define CERT_FIND_SHA1_HASH                          0x10000
#define CERT_FIND_HASH                               0x10000
#define CERT_FIND_SUBJECT_STR_W                      0x80007
#define CERT_FIND_SUBJECT_NAME                       0x20007
#define CERT_FIND_ISSUER_NAME                        0x20004
#define CERT_FIND_EXISTING                           0xd0000
#define CERT_FIND_HAS_PRIVATE_KEY                    0x150000
#define CERT_KEY_PROV_HANDLE_PROP_ID                 0x1
#define CERT_KEY_PROV_INFO_PROP_ID                   0x2
#define CERT_SHA1_HASH_PROP_ID                       0x3
#define CERT_HASH_PROP_ID                            0x3
#define CERT_KEY_CONTEXT_PROP_ID                     0x5
#define CERT_KEY_SPEC_PROP_ID                        0x6
#define CERT_FRIENDLY_NAME_PROP_ID                   0xb
#define CERT_SHA256_HASH_PROP_ID                     0x6b
#define CERT_NCRYPT_KEY_HANDLE_PROP_ID               0x4e
#define CERT_HCRYPTPROV_OR_NCRYPT_KEY_HANDLE_PROP_ID 0x4f
#define CERT_SET_KEY_PROV_HANDLE_PROP_ID             0x1
#define CERT_SET_KEY_CONTEXT_PROP_ID                 0x1
#define CERT_ENHKEY_USAGE_PROP_ID                    0x9
#define CERT_STORE_NO_CRYPT_RELEASE_FLAG             0x1
#define CERT_NCRYPT_KEY_SPEC                         0xffffffff
#define AT_KEYEXCHANGE                               0x1
#define AT_SIGNATURE                                 0x2
#define CRYPT_ACQUIRE_CACHE_FLAG                     0x1
#define CRYPT_ACQUIRE_USE_PROV_INFO_FLAG             0x2
#define CRYPT_ACQUIRE_COMPARE_KEY_FLAG               0x4
#define CRYPT_ACQUIRE_NO_HEALING                     0x8
#define CRYPT_ACQUIRE_SILENT_FLAG                    0x40
#define CRYPT_ACQUIRE_WINDOW_HANDLE_FLAG             0x80
#define CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG          0x10000
#define CRYPT_ACQUIRE_PREFER_NCRYPT_KEY_FLAG         0x20000
#define CRYPT_ACQUIRE_ONLY_NCRYPT_KEY_FLAG           0x40000
#define CRYPT_EXPORTABLE                             0x1
#define CRYPT_USER_PROTECTED                         0x2
#define CRYPT_MACHINE_KEYSET                         0x20
#define CRYPT_USER_KEYSET                            0x1000
#define CRYPT_VERIFYCONTEXT                          0xf0000000
#define CRYPT_NEWKEYSET                              0x8
#define CRYPT_DELETEKEYSET                           0x10
#define CRYPT_SILENT                                 0x40
#define PKCS12_PREFER_CNG_KSP                        0x100
#define PKCS12_ALWAYS_CNG_KSP                        0x200
#define PKCS12_ALLOW_OVERWRITE_KEY                   0x4000
#define PKCS12_NO_PERSIST_KEY                        0x8000
#define PKCS12_IMPORT_RESERVED_MASK                  0xffff0000
#define PKCS12_INCLUDE_EXTENDED_PROPERTIES           0x10
#define CERT_NAME_STR_REVERSE_FLAG                   0x2000000
#define CERT_X500_NAME_STR                           0x3
#define CERT_SIMPLE_NAME_STR                         0x1
#define CERT_OID_NAME_STR                            0x2
#define CERT_NAME_SIMPLE_DISPLAY_TYPE                0x4
#define CERT_NAME_DNS_TYPE                           0x6
#define CERT_NAME_ISSUER_FLAG                        0x1
#define CRYPT_STRING_BASE64HEADER                    0x0
#define CRYPT_STRING_BASE64                          0x1
#define CRYPT_STRING_ANY                             0x7
#define CRYPT_DECODE_ALLOC_FLAG                      0x8000
#define CRYPT_ENCODE_ALLOC_FLAG                      0x8000
#define CRYPT_DECODE_NOCOPY_FLAG                     0x1
#define CRYPT_DECODE_SHARE_OID_STRING_FLAG           0x4
#define PROV_RSA_FULL                                0x1
#define PROV_RSA_SCHANNEL                            0xc
#define PROV_RSA_AES                                 0x18
#define CALG_SHA1                                    0x8004
#define CALG_SHA_256                                 0x800c
#define CALG_RSA_KEYX                                0xa400
#define CERT_DIGITAL_SIGNATURE_KEY_USAGE             0x80
#define CERT_KEY_ENCIPHERMENT_KEY_USAGE              0x20
#define PUBLICKEYBLOB                                0x6
#define PRIVATEKEYBLOB                               0x7
#define CRYPT_OID_INFO_OID_KEY                       0x1
#define CRYPT_SIGN_ALG_OID_GROUP_ID                  0x4
#define CRYPT_OID_INFO_PUBKEY_SIGN_KEY_FLAG          0x80000000
#define CRYPT_PUBKEY_ALG_OID_GROUP_ID                0x3

#define CALG_RSA_SIGN   0x2400
#define CALG_ECDSA      0x2203
#define CALG_DH_SF      0xaa01
#define CALG_DH_EPHEM   0xaa02
#define CALG_ECDH       0xaa05
#define CALG_ECDH_EPHEM 0xae06

#define szOID_RSA_MD5RSA         "1.2.840.113549.1.1.4"
#define szOID_RSA_SHA1RSA        "1.2.840.113549.1.1.5"
#define szOID_RSA_SHA256RSA      "1.2.840.113549.1.1.11"
#define szOID_RSA_SHA384RSA      "1.2.840.113549.1.1.12"
#define szOID_RSA_SHA512RSA      "1.2.840.113549.1.1.13"
#define szOID_RSA_SSA_PSS        "1.2.840.113549.1.1.10"
#define szOID_OIWSEC_sha1RSASign "1.3.14.3.2.29"
#define szOID_X957_SHA1DSA       "1.2.840.10040.4.3"
#define szOID_ECDSA_SHA1         "1.2.840.10045.4.1"
#define szOID_ECDSA_SHA256       "1.2.840.10045.4.3.2"
#define szOID_ECDSA_SHA384       "1.2.840.10045.4.3.3"
#define szOID_ECDSA_SHA512       "1.2.840.10045.4.3.4"
#define MS_ENH_RSA_AES_PROV_W L"Microsoft Enhanced RSA and AES Cryptographic Provider"

/* --------------------------------------------------------------- functions */

#define CRYPT_FIRST         0x1
#define CRYPT_NEXT          0x2
#define PP_ENUMCONTAINERS   0x2
#define PP_CONTAINER        0x6
#define PP_UNIQUE_CONTAINER 0x24

BOOL CryptGetProvParam(HCRYPTPROV provider, DWORD parameter, BYTE *data, DWORD *size,
                       DWORD flags);
BOOL CryptGenKey(HCRYPTPROV provider, ALG_ID algorithm, DWORD flags, HCRYPTKEY *key);
BOOL CryptGetUserKey(HCRYPTPROV provider, DWORD key_spec, HCRYPTKEY *key);
BOOL CryptExportKey(HCRYPTKEY key, HCRYPTKEY wrapping, DWORD type, DWORD flags,
                    BYTE *data, DWORD *size);

PCCERT_CONTEXT CertCreateCertificateContext(DWORD encoding, const BYTE *der,
                                            DWORD size);
PCCERT_CONTEXT CertDuplicateCertificateContext(PCCERT_CONTEXT certificate);
BOOL CertFreeCertificateContext(PCCERT_CONTEXT certificate);
DWORD CertNameToStrW(DWORD encoding, PCERT_NAME_BLOB name, DWORD type, LPWSTR text,
                     DWORD capacity);
DWORD CertGetNameStringW(PCCERT_CONTEXT certificate, DWORD type, DWORD flags,
                         void *parameter, LPWSTR text, DWORD capacity);
HCERTSTORE CertOpenStore(LPCSTR provider, DWORD encoding, HCRYPTPROV_LEGACY unused,
                         DWORD flags, const void *parameter);
HCERTSTORE CertDuplicateStore(HCERTSTORE store);
BOOL CertCloseStore(HCERTSTORE store, DWORD flags);
BOOL CertAddEncodedCertificateToStore(HCERTSTORE store, DWORD encoding, const BYTE *der,
                                      DWORD size, DWORD disposition,
                                      PCCERT_CONTEXT *added);
BOOL CertAddCertificateContextToStore(HCERTSTORE store, PCCERT_CONTEXT certificate,
                                      DWORD disposition, PCCERT_CONTEXT *added);
BOOL CertDeleteCertificateFromStore(PCCERT_CONTEXT certificate);
PCCERT_CONTEXT CertFindCertificateInStore(HCERTSTORE store, DWORD encoding, DWORD flags,
                                          DWORD type, const void *parameter,
                                          PCCERT_CONTEXT previous);
PCCERT_CONTEXT CertEnumCertificatesInStore(HCERTSTORE store, PCCERT_CONTEXT previous);
BOOL CertGetCertificateContextProperty(PCCERT_CONTEXT certificate, DWORD property,
                                       void *data, DWORD *size);
BOOL CertSetCertificateContextProperty(PCCERT_CONTEXT certificate, DWORD property,
                                       DWORD flags, const void *data);
BOOL CertGetEnhancedKeyUsage(PCCERT_CONTEXT certificate, DWORD flags,
                             PCERT_ENHKEY_USAGE usage, DWORD *size);
BOOL CertGetIntendedKeyUsage(DWORD encoding, PCERT_INFO info, BYTE *usage, DWORD size);
LONG CertVerifyTimeValidity(LPFILETIME time, PCERT_INFO info);
BOOL CertComparePublicKeyInfo(DWORD encoding, PCERT_PUBLIC_KEY_INFO left,
                              PCERT_PUBLIC_KEY_INFO right);
PCERT_EXTENSION CertFindExtension(LPCSTR oid, DWORD count, CERT_EXTENSION *extensions);
BOOL CertCreateCertificateChainEngine(PCERT_CHAIN_ENGINE_CONFIG config,
                                      HCERTCHAINENGINE *engine);
VOID CertFreeCertificateChainEngine(HCERTCHAINENGINE engine);
BOOL CertGetCertificateChain(HCERTCHAINENGINE engine, PCCERT_CONTEXT certificate,
                             LPFILETIME time, HCERTSTORE additional,
                             PCERT_CHAIN_PARA parameters, DWORD flags, LPVOID reserved,
                             PCCERT_CHAIN_CONTEXT *chain);
VOID CertFreeCertificateChain(PCCERT_CHAIN_CONTEXT chain);
BOOL CertVerifyCertificateChainPolicy(LPCSTR policy, PCCERT_CHAIN_CONTEXT chain,
                                      PCERT_CHAIN_POLICY_PARA parameters,
                                      PCERT_CHAIN_POLICY_STATUS status);
HCERTSTORE PFXImportCertStore(CRYPT_DATA_BLOB *pfx, LPCWSTR password, DWORD flags);
BOOL PFXIsPFXBlob(CRYPT_DATA_BLOB *pfx);
BOOL PFXVerifyPassword(CRYPT_DATA_BLOB *pfx, LPCWSTR password, DWORD flags);
BOOL CryptAcquireCertificatePrivateKey(PCCERT_CONTEXT certificate, DWORD flags,
                                       void *parameter,
                                       HCRYPTPROV_OR_NCRYPT_KEY_HANDLE *key,
                                       DWORD *key_spec, BOOL *caller_frees);
BOOL CryptFindCertificateKeyProvInfo(PCCERT_CONTEXT certificate, DWORD flags,
                                     void *reserved);
BOOL CryptAcquireContextW(HCRYPTPROV *provider, LPCWSTR container, LPCWSTR name,
                          DWORD type, DWORD flags);
BOOL CryptReleaseContext(HCRYPTPROV provider, DWORD flags);
BOOL CryptImportKey(HCRYPTPROV provider, const BYTE *data, DWORD size, HCRYPTKEY secret,
                    DWORD flags, HCRYPTKEY *key);
BOOL CryptDestroyKey(HCRYPTKEY key);
BOOL CryptDecodeObjectEx(DWORD encoding, LPCSTR type, const BYTE *data, DWORD size,
                         DWORD flags, void *allocator, void *decoded,
                         DWORD *decoded_size);
BOOL CryptStringToBinaryA(LPCSTR text, DWORD size, DWORD flags, BYTE *data,
                          DWORD *data_size, DWORD *skipped, DWORD *used);
BOOL CryptStringToBinaryW(LPCWSTR text, DWORD size, DWORD flags, BYTE *data,
                          DWORD *data_size, DWORD *skipped, DWORD *used);
PCCRYPT_OID_INFO CryptFindOIDInfo(DWORD key_type, void *key, DWORD group);

#endif
