/* ncrypt.h - a stand-in; see windows.h */
#ifndef STAND_IN_NCRYPT_H
#define STAND_IN_NCRYPT_H

#include <windows.h>

typedef ULONG_PTR NCRYPT_HANDLE, NCRYPT_PROV_HANDLE, NCRYPT_KEY_HANDLE;

typedef struct {
    ULONG cbBuffer;
    ULONG BufferType;
    PVOID pvBuffer;
} NCryptBuffer, *PNCryptBuffer, BCryptBuffer;

typedef struct {
    ULONG ulVersion;
    ULONG cBuffers;
    PNCryptBuffer pBuffers;
} NCryptBufferDesc, *PNCryptBufferDesc, BCryptBufferDesc;

typedef struct {
    LPWSTR pszName;
    LPWSTR pszAlgid;
    DWORD dwLegacyKeySpec;
    DWORD dwFlags;
} NCryptKeyName;

typedef struct {
    LPCWSTR pszAlgId;
} BCRYPT_PKCS1_PADDING_INFO;

#define MS_KEY_STORAGE_PROVIDER         L"Microsoft Software Key Storage Provider"
#define NCRYPT_PKCS8_PRIVATE_KEY_BLOB   L"PKCS8_PRIVATEKEY"
#define NCRYPT_ALGORITHM_GROUP_PROPERTY L"Algorithm Group"
#define NCRYPT_ALGORITHM_PROPERTY       L"Algorithm Name"
#define NCRYPT_NAME_PROPERTY            L"Name"
#define NCRYPT_UNIQUE_NAME_PROPERTY     L"Unique Name"
#define NCRYPT_KEY_TYPE_PROPERTY        L"Key Type"
#define NCRYPT_EXPORT_POLICY_PROPERTY   L"Export Policy"
#define NCRYPT_LENGTH_PROPERTY          L"Length"
#define NCRYPT_LAST_MODIFIED_PROPERTY   L"Modified"
#define NCRYPT_PROVIDER_HANDLE_PROPERTY L"Provider Handle"
#define NCRYPT_RSA_ALGORITHM_GROUP      L"RSA"

LONG NCryptOpenStorageProvider(NCRYPT_PROV_HANDLE *provider, LPCWSTR name, DWORD flags);
LONG NCryptImportKey(NCRYPT_PROV_HANDLE provider, NCRYPT_KEY_HANDLE import,
                     LPCWSTR type, NCryptBufferDesc *parameters, NCRYPT_KEY_HANDLE *key,
                     PBYTE data, DWORD size, DWORD flags);
LONG NCryptExportKey(NCRYPT_KEY_HANDLE key, NCRYPT_KEY_HANDLE wrapping, LPCWSTR type,
                     NCryptBufferDesc *parameters, PBYTE data, DWORD size,
                     DWORD *needed, DWORD flags);
LONG NCryptOpenKey(NCRYPT_PROV_HANDLE provider, NCRYPT_KEY_HANDLE *key, LPCWSTR name,
                   DWORD key_spec, DWORD flags);
LONG NCryptEnumKeys(NCRYPT_PROV_HANDLE provider, LPCWSTR scope, NCryptKeyName **name,
                    PVOID *state, DWORD flags);
LONG NCryptFreeBuffer(PVOID buffer);
LONG NCryptGetProperty(NCRYPT_HANDLE object, LPCWSTR name, PBYTE value, DWORD size,
                       DWORD *needed, DWORD flags);
LONG NCryptSetProperty(NCRYPT_HANDLE object, LPCWSTR name, PBYTE value, DWORD size,
                       DWORD flags);
LONG NCryptFinalizeKey(NCRYPT_KEY_HANDLE key, DWORD flags);
LONG NCryptDeleteKey(NCRYPT_KEY_HANDLE key, DWORD flags);
LONG NCryptFreeObject(NCRYPT_HANDLE object);
LONG NCryptSignHash(NCRYPT_KEY_HANDLE key, void *padding, PBYTE hash, DWORD hash_size,
                    PBYTE signature, DWORD signature_size, DWORD *needed, DWORD flags);

#define BCRYPT_ALG_HANDLE_HMAC_FLAG           0x8
#define BCRYPT_HASH_REUSABLE_FLAG             0x20
#define NCRYPT_SILENT_FLAG                    0x40
#define NCRYPT_MACHINE_KEY_FLAG               0x20
#define NCRYPT_OVERWRITE_KEY_FLAG             0x80
#define NCRYPT_WRITE_KEY_TO_LEGACY_STORE_FLAG 0x200
#define NCRYPT_DO_NOT_FINALIZE_FLAG           0x400
#define NCRYPT_PERSIST_FLAG                   0x80000000
#define NCRYPT_PERSIST_ONLY_FLAG              0x40000000
#define NCRYPT_NO_KEY_VALIDATION              0x8
#define NCRYPT_PAD_PKCS1_FLAG                 0x2
#define NCRYPT_PAD_PSS_FLAG                   0x8
#define NCRYPT_ALLOW_EXPORT_FLAG              0x1
#define NCRYPT_ALLOW_PLAINTEXT_EXPORT_FLAG    0x2
#define NCRYPT_ALLOW_SIGNING_FLAG             0x2
#define BCRYPT_PAD_PKCS1                      0x2
#define BCRYPT_PAD_PSS                        0x8
#define NCRYPTBUFFER_VERSION                  0x0
#define NCRYPTBUFFER_PKCS_KEY_NAME            0x2d
#define NCRYPTBUFFER_PKCS_SECRET              0x2e
#define NCRYPTBUFFER_PKCS_ALG_ID              0x2b
#define NCRYPTBUFFER_PKCS_ALG_OID             0x29

#endif
