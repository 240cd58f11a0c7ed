/*
 * absent.c - functions of Windows that only schan_system_default() and InitSecurityInterface
 * lead to: the tests bring tables of their own, so being called is a bug
 *
 * No header of Windows is included: the names are all that the linker needs.
 */
#include <stdio.h>
#include <stdlib.h>

#define ABSENT(name)                                                                   \
    void name(void);                                                                   \
    void name(void)                                                                    \
    {                                                                                  \
        fputs("misuse: " #name " was called\n", stderr);                               \
        abort();                                                                       \
    }

ABSENT(BCryptCloseAlgorithmProvider)
ABSENT(BCryptCreateHash)
ABSENT(BCryptDestroyHash)
ABSENT(BCryptFinishHash)
ABSENT(BCryptGenRandom)
ABSENT(BCryptHashData)
ABSENT(BCryptOpenAlgorithmProvider)
ABSENT(CertAddCertificateContextToStore)
ABSENT(CertAddEncodedCertificateToStore)
ABSENT(CertCloseStore)
ABSENT(CertComparePublicKeyInfo)
ABSENT(CertCreateCertificateChainEngine)
ABSENT(CertCreateCertificateContext)
ABSENT(CertDeleteCertificateFromStore)
ABSENT(CertDuplicateCertificateContext)
ABSENT(CertDuplicateStore)
ABSENT(CertEnumCertificatesInStore)
ABSENT(CertFindCertificateInStore)
ABSENT(CertFindExtension)
ABSENT(CertFreeCertificateChain)
ABSENT(CertFreeCertificateChainEngine)
ABSENT(CertFreeCertificateContext)
ABSENT(CertGetCertificateChain)
ABSENT(CertGetCertificateContextProperty)
ABSENT(CertGetEnhancedKeyUsage)
ABSENT(CertGetIntendedKeyUsage)
ABSENT(CertGetNameStringW)
ABSENT(CertNameToStrW)
ABSENT(CertOpenStore)
ABSENT(CertSetCertificateContextProperty)
ABSENT(CertVerifyCertificateChainPolicy)
ABSENT(CertVerifyTimeValidity)
ABSENT(CloseHandle)
ABSENT(CryptAcquireCertificatePrivateKey)
ABSENT(CryptAcquireContextW)
ABSENT(CryptDecodeObjectEx)
ABSENT(CryptDestroyKey)
ABSENT(CryptFindCertificateKeyProvInfo)
ABSENT(CryptFindOIDInfo)
ABSENT(CryptImportKey)
ABSENT(CryptReleaseContext)
ABSENT(CryptStringToBinaryA)
ABSENT(CryptStringToBinaryW)
ABSENT(FreeLibrary)
ABSENT(GetCurrentProcess)
ABSENT(GetCurrentThread)
ABSENT(GetProcessTimes)
ABSENT(InitSecurityInterfaceW)
ABSENT(LoadLibraryExW)
ABSENT(NCryptDeleteKey)
ABSENT(NCryptEnumKeys)
ABSENT(NCryptFinalizeKey)
ABSENT(NCryptFreeBuffer)
ABSENT(NCryptFreeObject)
ABSENT(NCryptGetProperty)
ABSENT(NCryptImportKey)
ABSENT(NCryptOpenKey)
ABSENT(NCryptOpenStorageProvider)
ABSENT(NCryptSetProperty)
ABSENT(NCryptSignHash)
ABSENT(OpenProcess)
ABSENT(PFXImportCertStore)
ABSENT(PFXIsPFXBlob)
ABSENT(PFXVerifyPassword)
ABSENT(WaitForSingleObject)
ABSENT(closesocket)
