/*
 * schan_system.h - the second seam: every function of crypt32, ncrypt, bcrypt,
 * advapi32 and ws2_32 that the library calls
 *
 * SSPI has a function table of its own; this one does the same for the rest of Windows,
 * so that a test can stand in for it. schan_system_default() holds Windows' own
 * functions; a test copies it, replaces members and gives the copy to
 * schan_library_new. Members keep the names, types and calling convention of the
 * Windows functions.
 */
#ifndef SCHAN_SYSTEM_H
#define SCHAN_SYSTEM_H

#include "schan_windows.h"

#include "schan.h"

/* [cdef] from here to [/cdef] is also read by cffi (build_ffi.py) */

struct schan_system { /* B94: without __stdcall 32-bit Windows breaks */
    /* ntdll: the true build number of Windows, which GetVersionEx hides */
    DWORD(__stdcall *WindowsBuild)(void);

    /* kernel32: who runs. ProcessStart is FALSE when there is no such process; its time
       of birth is 0 when it cannot be told (B87) */
    DWORD(__stdcall *GetCurrentProcessId)(void);
    BOOL(__stdcall *ProcessStart)(DWORD process, ULONGLONG *start);
    BOOL(__stdcall *GetComputerNameW)(LPWSTR name, DWORD *size);

    /* crypt32: certificates, stores, chains */
    PCCERT_CONTEXT(__stdcall *CertCreateCertificateContext)(DWORD encoding,
                                                            const BYTE *der,
                                                            DWORD size);
    PCCERT_CONTEXT(__stdcall *CertDuplicateCertificateContext)(
        PCCERT_CONTEXT certificate);
    BOOL(__stdcall *CertFreeCertificateContext)(PCCERT_CONTEXT certificate);
    DWORD(__stdcall *CertNameToStrW)(DWORD encoding, PCERT_NAME_BLOB name, DWORD type,
                                     LPWSTR text, DWORD capacity);
    HCERTSTORE(__stdcall *CertOpenStore)(LPCSTR provider, DWORD encoding,
                                         HCRYPTPROV_LEGACY unused, DWORD flags,
                                         const void *parameter);
    HCERTSTORE(__stdcall *CertDuplicateStore)(HCERTSTORE store);
    BOOL(__stdcall *CertCloseStore)(HCERTSTORE store, DWORD flags);
    PCCERT_CONTEXT(__stdcall *CertEnumCertificatesInStore)(HCERTSTORE store,
                                                           PCCERT_CONTEXT previous);
    BOOL(__stdcall *CertAddEncodedCertificateToStore)(HCERTSTORE store, DWORD encoding,
                                                      const BYTE *der, DWORD size,
                                                      DWORD disposition,
                                                      PCCERT_CONTEXT *added);
    BOOL(__stdcall *CertCreateCertificateChainEngine)(PCERT_CHAIN_ENGINE_CONFIG config,
                                                      HCERTCHAINENGINE *engine);
    VOID(__stdcall *CertFreeCertificateChainEngine)(HCERTCHAINENGINE engine);
    BOOL(__stdcall *CertGetCertificateChain)(HCERTCHAINENGINE engine,
                                             PCCERT_CONTEXT certificate,
                                             LPFILETIME time, HCERTSTORE additional,
                                             PCERT_CHAIN_PARA parameters, DWORD flags,
                                             LPVOID reserved,
                                             PCCERT_CHAIN_CONTEXT *chain);
    VOID(__stdcall *CertFreeCertificateChain)(PCCERT_CHAIN_CONTEXT chain);
    BOOL(__stdcall *CertVerifyCertificateChainPolicy)(
        LPCSTR policy, PCCERT_CHAIN_CONTEXT chain, PCERT_CHAIN_POLICY_PARA parameters,
        PCERT_CHAIN_POLICY_STATUS status);
    BOOL(__stdcall *CertGetCertificateContextProperty)(PCCERT_CONTEXT certificate,
                                                       DWORD property, void *data,
                                                       DWORD *size);
    BOOL(__stdcall *CertSetCertificateContextProperty)(PCCERT_CONTEXT certificate,
                                                       DWORD property, DWORD flags,
                                                       const void *data);
    BOOL(__stdcall *CertGetEnhancedKeyUsage)(PCCERT_CONTEXT certificate, DWORD flags,
                                             PCERT_ENHKEY_USAGE usage, DWORD *size);
    LONG(__stdcall *CertVerifyTimeValidity)(LPFILETIME time, PCERT_INFO certificate);
    HCERTSTORE(__stdcall *PFXImportCertStore)(CRYPT_DATA_BLOB *pfx, LPCWSTR password,
                                              DWORD flags);
    BOOL(__stdcall *CryptAcquireCertificatePrivateKey)(
        PCCERT_CONTEXT certificate, DWORD flags, void *parameters,
        HCRYPTPROV_OR_NCRYPT_KEY_HANDLE *key, DWORD *key_spec, BOOL *must_free);

    /* ncrypt: private keys that stay on disk */
    SECURITY_STATUS(__stdcall *NCryptOpenStorageProvider)(NCRYPT_PROV_HANDLE *provider,
                                                          LPCWSTR name, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptOpenKey)(NCRYPT_PROV_HANDLE provider,
                                              NCRYPT_KEY_HANDLE *key, LPCWSTR name,
                                              DWORD legacy_key_spec, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptImportKey)(NCRYPT_PROV_HANDLE provider,
                                                NCRYPT_KEY_HANDLE wrapping,
                                                LPCWSTR type,
                                                NCryptBufferDesc *parameters,
                                                NCRYPT_KEY_HANDLE *key, PBYTE data,
                                                DWORD size, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptExportKey)(NCRYPT_KEY_HANDLE key,
                                                NCRYPT_KEY_HANDLE wrapping,
                                                LPCWSTR type,
                                                NCryptBufferDesc *parameters,
                                                PBYTE data, DWORD capacity, DWORD *size,
                                                DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptSetProperty)(NCRYPT_HANDLE object, LPCWSTR name,
                                                  PBYTE data, DWORD size, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptEnumKeys)(NCRYPT_PROV_HANDLE provider,
                                               LPCWSTR scope, NCryptKeyName **name,
                                               PVOID *state, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptDeleteKey)(NCRYPT_KEY_HANDLE key, DWORD flags);
    SECURITY_STATUS(__stdcall *NCryptFreeObject)(NCRYPT_HANDLE object);
    SECURITY_STATUS(__stdcall *NCryptFreeBuffer)(PVOID buffer);

    /* advapi32: the same by CryptoAPI, who asks, and as whom */
    BOOL(__stdcall *CryptAcquireContextW)(HCRYPTPROV *provider, LPCWSTR container,
                                          LPCWSTR name, DWORD type, DWORD flags);
    BOOL(__stdcall *CryptReleaseContext)(HCRYPTPROV provider, DWORD flags);
    BOOL(__stdcall *CryptGetProvParam)(HCRYPTPROV provider, DWORD parameter, BYTE *data,
                                       DWORD *size, DWORD flags);
    BOOL(__stdcall *CryptGetUserKey)(HCRYPTPROV provider, DWORD key_spec,
                                     HCRYPTKEY *key);
    BOOL(__stdcall *CryptImportKey)(HCRYPTPROV provider, const BYTE *data, DWORD size,
                                    HCRYPTKEY wrapping, DWORD flags, HCRYPTKEY *key);
    BOOL(__stdcall *CryptExportKey)(HCRYPTKEY key, HCRYPTKEY wrapping, DWORD type,
                                    DWORD flags, BYTE *data, DWORD *size);
    BOOL(__stdcall *CryptDestroyKey)(HCRYPTKEY key);
    LSTATUS(__stdcall *RegSetKeyValueW)(HKEY root, LPCWSTR key, LPCWSTR name,
                                        DWORD type, const void *data, DWORD size);
    LSTATUS(__stdcall *RegDeleteKeyValueW)(HKEY root, LPCWSTR key, LPCWSTR name);
    LSTATUS(__stdcall *RegOpenKeyExW)(HKEY root, LPCWSTR key, DWORD options,
                                      DWORD access, HKEY *opened);
    LSTATUS(__stdcall *RegEnumValueW)(HKEY key, DWORD index, LPWSTR name,
                                      DWORD *name_size, DWORD *reserved, DWORD *type,
                                      BYTE *data, DWORD *size);
    LSTATUS(__stdcall *RegCloseKey)(HKEY key);
    BOOL(__stdcall *GetUserNameW)(LPWSTR name, DWORD *size);
    HANDLE(__stdcall *ImpersonationToken)(void); /* of this thread; NULL: none */
    BOOL(__stdcall *SetThreadToken)(HANDLE *thread, HANDLE token);
    BOOL(__stdcall *CloseHandle)(HANDLE handle);

    /* bcrypt: digests without OpenSSL */
    NTSTATUS(__stdcall *BCryptOpenAlgorithmProvider)(BCRYPT_ALG_HANDLE *algorithm,
                                                     LPCWSTR name,
                                                     LPCWSTR implementation,
                                                     ULONG flags);
    NTSTATUS(__stdcall *BCryptCloseAlgorithmProvider)(BCRYPT_ALG_HANDLE algorithm,
                                                      ULONG flags);
    NTSTATUS(__stdcall *BCryptCreateHash)(BCRYPT_ALG_HANDLE algorithm,
                                          BCRYPT_HASH_HANDLE *hash, PUCHAR object,
                                          ULONG object_size, PUCHAR secret,
                                          ULONG secret_size, ULONG flags);
    NTSTATUS(__stdcall *BCryptHashData)(BCRYPT_HASH_HANDLE hash, PUCHAR data,
                                        ULONG size, ULONG flags);
    NTSTATUS(__stdcall *BCryptFinishHash)(BCRYPT_HASH_HANDLE hash, PUCHAR digest,
                                          ULONG size, ULONG flags);
    NTSTATUS(__stdcall *BCryptDestroyHash)(BCRYPT_HASH_HANDLE hash);
    NTSTATUS(__stdcall *BCryptGenRandom)(BCRYPT_ALG_HANDLE algorithm, PUCHAR data,
                                         ULONG size, ULONG flags);

    /* ws2_32 */
    int(__stdcall *recv)(SOCKET handle, char *data, int size, int flags);
    int(__stdcall *send)(SOCKET handle, const char *data, int size, int flags);
    int(__stdcall *select)(int unused, fd_set *readable, fd_set *writable,
                           fd_set *failed, const struct timeval *timeout);
    int(__stdcall *WSAGetLastError)(void);
    int(__stdcall *getsockopt)(SOCKET handle, int level, int name, char *value,
                               int *size);
    int(__stdcall *setsockopt)(SOCKET handle, int level, int name, const char *value,
                               int size);
    /* without what only overlapped calls need */
    int(__stdcall *WSAIoctl)(SOCKET handle, DWORD code, LPVOID given, DWORD given_size,
                             LPVOID answer, DWORD answer_size, DWORD *answered);
};

/* [/cdef] */

#endif
