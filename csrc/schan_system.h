/*
 * schan_system.h - the second seam: every function of crypt32, bcrypt and ws2_32 that
 * the library calls
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

struct schan_system {
    /* ntdll: the true build number of Windows, which GetVersionEx hides */
    DWORD(__stdcall *WindowsBuild)(void);

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

    /* ws2_32 */
    int(__stdcall *recv)(SOCKET handle, char *data, int size, int flags);
    int(__stdcall *send)(SOCKET handle, const char *data, int size, int flags);
    int(__stdcall *select)(int unused, fd_set *readable, fd_set *writable,
                           fd_set *failed, const struct timeval *timeout);
    int(__stdcall *WSAGetLastError)(void);
    int(__stdcall *setsockopt)(SOCKET handle, int level, int name, const char *value,
                               int size);
    /* without what only overlapped calls need */
    int(__stdcall *WSAIoctl)(SOCKET handle, DWORD code, LPVOID given, DWORD given_size,
                             LPVOID answer, DWORD answer_size, DWORD *answered);
};

/* [/cdef] */

#endif
