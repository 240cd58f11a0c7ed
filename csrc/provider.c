/*
 * provider.c - where SSPI and the rest of Windows come from
 *
 * Everything that is called in Windows goes through one of two tables: the security
 * package's own function table, and schan_system for the rest of Windows. Both
 * can be replaced, so that scripts and models stand in for Windows.
 *
 * Wine's Schannel differs in four points that the engine must know (schan__quirks).
 * They are looked for only where records are decrypted by Windows' own function and
 * ntdll says that it is Wine's: a table of the caller's is taken for Windows. A fourth is
 * about private keys, and holds where the rest of Windows is not replaced, too.
 */
#include "schan_internal.h"

#include <stdlib.h>

#include "schan_sspi.h"

/* ------------------------------------------------------------ our own DLLs */

/*
 * B96: the DLLs we link are looked for in System32 alone: secur32, crypt32 and bcrypt
 * are none of those that Windows always takes from there, so one of that name beside
 * the program would be loaded instead. DLLs that are loaded already, Python's among
 * them, are not looked for. MSVC's linker writes this by /DEPENDENTLOADFLAG
 * (build_ffi.py); lld takes the whole structure by its name; GNU ld (2.40) and
 * mingw's older headers know neither, so what gcc builds is not protected.
 */
#if defined(__MINGW32__) && defined(__clang__)
extern const IMAGE_LOAD_CONFIG_DIRECTORY _load_config_used; /* NOLINT: lld's name */
const IMAGE_LOAD_CONFIG_DIRECTORY _load_config_used = {
    .Size = sizeof(IMAGE_LOAD_CONFIG_DIRECTORY),
    .DependentLoadFlags = LOAD_LIBRARY_SEARCH_SYSTEM32};
#endif

/* ---------------------------------------------------------- Windows' table */

typedef void (*any_function)(void); /* what a compiler lets become any other */

static DWORD __stdcall windows_build(void)
{
    typedef LONG(__stdcall * rtl_get_version)(OSVERSIONINFOW *);
    OSVERSIONINFOW version = {0};
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    rtl_get_version get_version = NULL;

    version.dwOSVersionInfoSize = sizeof(version);
    if (ntdll != NULL) {
        get_version =
            (rtl_get_version)(any_function)GetProcAddress(ntdll, "RtlGetVersion");
    }
    return get_version != NULL && get_version(&version) == 0 ? version.dwBuildNumber
                                                             : 0;
}

/* A process of which this account may know nothing counts as alive. */
static BOOL __stdcall windows_process_start(DWORD id, ULONGLONG *start)
{
    FILETIME created = {0}, exited = {0}, kernel = {0}, user = {0};

    *start = 0;
    HANDLE process =
        OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id);
    if (process == NULL) {
        return GetLastError() != ERROR_INVALID_PARAMETER;
    }
    bool is_alive = WaitForSingleObject(process, 0) != WAIT_OBJECT_0;
    if (GetProcessTimes(process, &created, &exited, &kernel, &user)) {
        *start = (ULONGLONG)created.dwHighDateTime << 32U | created.dwLowDateTime;
    }
    CloseHandle(process);
    return is_alive;
}

static HANDLE __stdcall windows_impersonation_token(void)
{
    HANDLE token = NULL;

    return OpenThreadToken(GetCurrentThread(), TOKEN_IMPERSONATE | TOKEN_QUERY, TRUE,
                           &token)
               ? token
               : NULL;
}

/* winsock2.h has the timeout const in some SDKs and not in others. */
static int __stdcall windows_select(int unused, fd_set *readable, fd_set *writable,
                                    fd_set *failed, const struct timeval *timeout)
{
    struct timeval copy = {0, 0};

    if (timeout != NULL) {
        copy = *timeout;
    }
    return select(unused, readable, writable, failed, timeout == NULL ? NULL : &copy);
}

static int __stdcall windows_ioctl(SOCKET handle, DWORD code, LPVOID given,
                                   DWORD given_size, LPVOID answer, DWORD answer_size,
                                   DWORD *answered)
{
    return WSAIoctl(handle, code, given, given_size, answer, answer_size, answered,
                    NULL, NULL);
}

static const schan_system windows_system = {
    .WindowsBuild = windows_build,
    .GetCurrentProcessId = GetCurrentProcessId,
    .ProcessStart = windows_process_start,
    .GetComputerNameW = GetComputerNameW,
    .CertCreateCertificateContext = CertCreateCertificateContext,
    .CertDuplicateCertificateContext = CertDuplicateCertificateContext,
    .CertFreeCertificateContext = CertFreeCertificateContext,
    .CertNameToStrW = CertNameToStrW,
    .CertOpenStore = CertOpenStore,
    .CertDuplicateStore = CertDuplicateStore,
    .CertCloseStore = CertCloseStore,
    .CertEnumCertificatesInStore = CertEnumCertificatesInStore,
    .CertAddEncodedCertificateToStore = CertAddEncodedCertificateToStore,
    .CertCreateCertificateChainEngine = CertCreateCertificateChainEngine,
    .CertFreeCertificateChainEngine = CertFreeCertificateChainEngine,
    .CertGetCertificateChain = CertGetCertificateChain,
    .CertFreeCertificateChain = CertFreeCertificateChain,
    .CertVerifyCertificateChainPolicy = CertVerifyCertificateChainPolicy,
    .CertGetCertificateContextProperty = CertGetCertificateContextProperty,
    .CertSetCertificateContextProperty = CertSetCertificateContextProperty,
    .CertGetEnhancedKeyUsage = CertGetEnhancedKeyUsage,
    .CertVerifyTimeValidity = CertVerifyTimeValidity,
    .PFXImportCertStore = PFXImportCertStore,
    .CryptAcquireCertificatePrivateKey = CryptAcquireCertificatePrivateKey,
    .NCryptOpenStorageProvider = NCryptOpenStorageProvider,
    .NCryptOpenKey = NCryptOpenKey,
    .NCryptImportKey = NCryptImportKey,
    .NCryptExportKey = NCryptExportKey,
    .NCryptSetProperty = NCryptSetProperty,
    .NCryptEnumKeys = NCryptEnumKeys,
    .NCryptDeleteKey = NCryptDeleteKey,
    .NCryptFreeObject = NCryptFreeObject,
    .NCryptFreeBuffer = NCryptFreeBuffer,
    .CryptAcquireContextW = CryptAcquireContextW,
    .CryptReleaseContext = CryptReleaseContext,
    .CryptGetProvParam = CryptGetProvParam,
    .CryptGetUserKey = CryptGetUserKey,
    .CryptImportKey = CryptImportKey,
    .CryptExportKey = CryptExportKey,
    .CryptDestroyKey = CryptDestroyKey,
    .RegSetKeyValueW = RegSetKeyValueW,
    .RegDeleteKeyValueW = RegDeleteKeyValueW,
    .RegOpenKeyExW = RegOpenKeyExW,
    .RegEnumValueW = RegEnumValueW,
    .RegCloseKey = RegCloseKey,
    .GetUserNameW = GetUserNameW,
    .ImpersonationToken = windows_impersonation_token,
    .SetThreadToken = SetThreadToken,
    .CloseHandle = CloseHandle,
    .BCryptOpenAlgorithmProvider = BCryptOpenAlgorithmProvider,
    .BCryptCloseAlgorithmProvider = BCryptCloseAlgorithmProvider,
    .BCryptCreateHash = BCryptCreateHash,
    .BCryptHashData = BCryptHashData,
    .BCryptFinishHash = BCryptFinishHash,
    .BCryptDestroyHash = BCryptDestroyHash,
    .BCryptGenRandom = BCryptGenRandom,
    .recv = recv,
    .send = send,
    .select = windows_select,
    .WSAGetLastError = WSAGetLastError,
    .getsockopt = getsockopt,
    .setsockopt = setsockopt,
    .WSAIoctl = windows_ioctl,
};

const schan_system *schan_system_default(void)
{
    return &windows_system;
}

/* ------------------------------------------------------------------- Wine */

static schan__quirks detect_wine(void)
{
    typedef const char *(__cdecl * wine_get_version)(void);
    schan__quirks quirks = {0};
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    wine_get_version get_version = NULL;

    if (ntdll != NULL) {
        get_version =
            (wine_get_version)(any_function)GetProcAddress(ntdll, "wine_get_version");
    }
    if (get_version == NULL) {
        return quirks;
    }
    quirks.close_notify_is_empty = true;
    quirks.protocol_zero_is_tls13 = true;
    quirks.keys_are_capi_only = true;
    quirks.handles_are_unlocked = strtol(get_version(), NULL, 10) < 9; /* B74 */
    return quirks;
}

void schan__sspi_enter(schan_library *library, bool exclusive)
{
    if (!library->quirks.handles_are_unlocked) {
        return;
    }
    if (exclusive) {
        AcquireSRWLockExclusive(&library->handle_lock);
    } else {
        AcquireSRWLockShared(&library->handle_lock);
    }
}

void schan__sspi_leave(schan_library *library, bool exclusive)
{
    if (!library->quirks.handles_are_unlocked) {
        return;
    }
    if (exclusive) {
        ReleaseSRWLockExclusive(&library->handle_lock);
    } else {
        ReleaseSRWLockShared(&library->handle_lock);
    }
}

void schan_sspi_enter(schan_library *library, int exclusive)
{
    schan__sspi_enter(library, exclusive != 0);
}

void schan_sspi_leave(schan_library *library, int exclusive)
{
    schan__sspi_leave(library, exclusive != 0);
}

/* ---------------------------------------------------------------- library */

/* The members that a client cannot do without: the first that is NULL, or NULL. The
 * optional ones are tested where they are used (B95). */
static const char *missing_member(const SecurityFunctionTableW *table)
{
    const struct {
        bool is_there;
        const char *name;
    } members[] = {
        {table->AcquireCredentialsHandleW != NULL, "AcquireCredentialsHandle"},
        {table->FreeCredentialsHandle != NULL, "FreeCredentialsHandle"},
        {table->InitializeSecurityContextW != NULL, "InitializeSecurityContext"},
        {table->DeleteSecurityContext != NULL, "DeleteSecurityContext"},
        {table->QueryContextAttributesW != NULL, "QueryContextAttributes"},
        {table->FreeContextBuffer != NULL, "FreeContextBuffer"},
        {table->EncryptMessage != NULL, "EncryptMessage"},
        {table->DecryptMessage != NULL, "DecryptMessage"},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (!members[i].is_there) {
            return members[i].name;
        }
    }
    return NULL;
}

/* Quirks are those of whoever decrypts: a table of the caller's may wrap other members. */
static bool is_own(const SecurityFunctionTableW *table,
                   const SecurityFunctionTableW *own)
{
    return table != NULL && own != NULL && table->DecryptMessage == own->DecryptMessage;
}

/* Where private keys are kept does not depend on whose Schannel uses them. */
static schan__quirks quirks_of(const schan_library *library,
                               const SecurityFunctionTableW *own)
{
    schan__quirks none = {0};
    schan__quirks wine = detect_wine();
    schan__quirks quirks = is_own(library->sspi, own) ? wine : none;

    if (library->system == schan_system_default()) {
        quirks.keys_are_capi_only = wine.keys_are_capi_only;
    }
    return quirks;
}

schan_result schan_library_new(schan_library **out, const void *function_table,
                               const schan_system *system, schan_error *err)
{
    *out = NULL;
    schan_library *library = schan__allocate(sizeof(*library));
    if (library == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    library->references = 1;
    InitializeSRWLock(&library->handle_lock);
    InitializeSRWLock(&library->key_lock);
    library->system = system != NULL ? system : schan_system_default();
    const SecurityFunctionTableW *own = InitSecurityInterfaceW();
    library->sspi = function_table != NULL ? function_table : own;
    library->quirks = quirks_of(library, own);
    const char *missing =
        library->sspi == NULL ? "InitSecurityInterface" : missing_member(library->sspi);
    if (missing != NULL) {
        schan_library_free(library);
        return schan__fail(err, SCHAN_ERR_SYSTEM, SEC_E_UNSUPPORTED_FUNCTION, missing);
    }
    *out = library;
    return SCHAN_OK;
}

schan_library *schan__library_share(schan_library *library)
{
    InterlockedIncrement(&library->references);
    return library;
}

void schan_library_free(schan_library *library)
{
    if (library != NULL && InterlockedDecrement(&library->references) == 0) {
        schan__release(library);
    }
}

const schan_sspi_table *schan_library_function_table(const schan_library *library)
{
    return (const schan_sspi_table *)(const void *)library->sspi;
}

/* ------------------------------------------------------------------ basics */

bool schan__to_ulong(size_t size, ULONG *narrow)
{
    if (size > 0x7fffffff) {
        *narrow = 0;
        return false;
    }
    *narrow = (ULONG)size;
    return true;
}

void *schan__allocate(size_t size)
{
    return calloc(1, size == 0 ? 1 : size);
}

void schan__release(void *memory)
{
    free(memory);
}
