/*
 * windows.h - a stand-in, so that csrc compiles for this machine
 *
 * Types, constants and functions that csrc uses, by their documented values; 64 bit, with
 * the 32-bit `long` and the 16-bit wchar_t of Windows (-fshort-wchar). layout.c holds
 * sizes and offsets against this folder and against the headers of Windows alike. What
 * the functions do stands in windows.c.
 *
 * To extend it: add the constant, struct or prototype here or in the header that Windows
 * has it in; a function that nothing may call for real also goes into absent.c.
 */
#ifndef STAND_IN_WINDOWS_H
#define STAND_IN_WINDOWS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

_Static_assert(sizeof(wchar_t) == 2, "compile with -fshort-wchar");

/* --------------------------------------------------------------- compilers */

#define __stdcall
#define __cdecl
#define WINAPI
#define APIENTRY
#define CALLBACK
#define NTAPI
#define FAR
#define CONST const
#define DUMMYSTRUCTNAME

/* ------------------------------------------------------------------- types */

#define VOID void
typedef void *PVOID, *LPVOID, *HANDLE, *HMODULE, *HINSTANCE, *HWND, *HLOCAL;
typedef const void *LPCVOID;
typedef int BOOL, *PBOOL;
typedef unsigned char BYTE, *PBYTE, *LPBYTE, BOOLEAN, UCHAR, *PUCHAR;
typedef char CHAR, *PCHAR, *LPSTR, *PSTR;
typedef const char *LPCSTR, *PCSTR;
typedef wchar_t WCHAR, *PWCHAR, *PWSTR, *LPWSTR;
typedef const wchar_t *LPCWSTR, *PCWSTR;
typedef unsigned short WORD, USHORT, *PUSHORT;
typedef short SHORT;
typedef int32_t LONG, *PLONG, INT, HRESULT, NTSTATUS, *PNTSTATUS;
typedef uint32_t DWORD, *PDWORD, *LPDWORD, ULONG, *PULONG, UINT, DWORD32;
typedef int64_t LONGLONG, LONG_PTR, INT_PTR, SSIZE_T;
typedef uint64_t ULONGLONG, DWORD64, ULONG64, ULONG_PTR, UINT_PTR, DWORD_PTR, SIZE_T;

typedef union {
    struct {
        DWORD LowPart;
        LONG HighPart;
    };
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

typedef struct {
    DWORD dwLowDateTime;
    DWORD dwHighDateTime;
} FILETIME, *PFILETIME, *LPFILETIME;

typedef struct {
    DWORD Data1;
    WORD Data2;
    WORD Data3;
    BYTE Data4[8];
} GUID;

typedef struct {
    DWORD dwOSVersionInfoSize;
    DWORD dwMajorVersion;
    DWORD dwMinorVersion;
    DWORD dwBuildNumber;
    DWORD dwPlatformId;
    WCHAR szCSDVersion[128];
} OSVERSIONINFOW;

#define TRUE     1
#define FALSE    0
#define INFINITE 0xffffffffU

/* ------------------------------------------------- text, with 16-bit wchar_t */

/* The host's own count in 32 bits. */
#define wcslen   stand_in_wcslen
#define wcscmp   stand_in_wcscmp
#define wcsncmp  stand_in_wcsncmp
#define wcschr   stand_in_wcschr
#define _wcsicmp stand_in_wcsicmp

size_t stand_in_wcslen(const wchar_t *text);
int stand_in_wcscmp(const wchar_t *left, const wchar_t *right);
int stand_in_wcsncmp(const wchar_t *left, const wchar_t *right, size_t size);
wchar_t *stand_in_wcschr(const wchar_t *text, wchar_t wanted);
int stand_in_wcsicmp(const wchar_t *left, const wchar_t *right);

/* --------------------------------------------------------------- functions */

DWORD GetLastError(void);
void SetLastError(DWORD error);
HMODULE GetModuleHandleW(LPCWSTR name);
HMODULE LoadLibraryExW(LPCWSTR name, HANDLE unused, DWORD flags);
BOOL FreeLibrary(HMODULE module);
void (*GetProcAddress(HMODULE module, LPCSTR name))(void);

#define SecureZeroMemory(memory, size) stand_in_wipe(memory, size)
void stand_in_wipe(void *memory, size_t size);
HLOCAL LocalFree(HLOCAL memory);

LONG InterlockedIncrement(volatile LONG *value);
LONG InterlockedDecrement(volatile LONG *value);
LONG InterlockedExchange(volatile LONG *value, LONG wanted);
LONG InterlockedCompareExchange(volatile LONG *value, LONG wanted, LONG expected);
LONG InterlockedExchangeAdd(volatile LONG *value, LONG more);

/* Zeroed is initialised, as on Windows; the room is that of a pthread_mutex_t and a
 * pthread_cond_t. */
typedef struct {
    uint64_t room[6];
} SRWLOCK, *PSRWLOCK;
typedef struct {
    uint64_t room[8];
} CONDITION_VARIABLE, *PCONDITION_VARIABLE;
typedef union {
    uint64_t room[2];
} INIT_ONCE, *PINIT_ONCE;

#define SRWLOCK_INIT            {{0}}
#define CONDITION_VARIABLE_INIT {{0}}
#define INIT_ONCE_STATIC_INIT   {{0}}

void InitializeSRWLock(SRWLOCK *lock);
void AcquireSRWLockExclusive(SRWLOCK *lock);
BOOLEAN TryAcquireSRWLockExclusive(SRWLOCK *lock);
void ReleaseSRWLockExclusive(SRWLOCK *lock);
void AcquireSRWLockShared(SRWLOCK *lock);
void ReleaseSRWLockShared(SRWLOCK *lock);
void InitializeConditionVariable(CONDITION_VARIABLE *condition);
BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *condition, SRWLOCK *lock,
                               DWORD timeout_ms, ULONG flags);
void WakeConditionVariable(CONDITION_VARIABLE *condition);
void WakeAllConditionVariable(CONDITION_VARIABLE *condition);

typedef BOOL (*PINIT_ONCE_FN)(INIT_ONCE *once, void *parameter, void **context);
BOOL InitOnceExecuteOnce(INIT_ONCE *once, PINIT_ONCE_FN function, void *parameter,
                         void **context);

typedef struct stand_in_callback *PTP_CALLBACK_INSTANCE;
typedef void (*PTP_SIMPLE_CALLBACK)(PTP_CALLBACK_INSTANCE instance, void *parameter);
typedef struct stand_in_environment *PTP_CALLBACK_ENVIRON;
BOOL TrySubmitThreadpoolCallback(PTP_SIMPLE_CALLBACK callback, void *parameter,
                                 PTP_CALLBACK_ENVIRON environment);
BOOL CallbackMayRunLong(PTP_CALLBACK_INSTANCE instance);

ULONGLONG GetTickCount64(void);
void GetSystemTimeAsFileTime(FILETIME *time);
LONG CompareFileTime(const FILETIME *left, const FILETIME *right);
void Sleep(DWORD time_ms);
BOOL SwitchToThread(void);
DWORD GetCurrentProcessId(void);
DWORD GetCurrentThreadId(void);
HANDLE GetCurrentProcess(void);
HANDLE GetCurrentThread(void);
HANDLE OpenProcess(DWORD access, BOOL inherit, DWORD process);
DWORD WaitForSingleObject(HANDLE object, DWORD timeout_ms);
BOOL CloseHandle(HANDLE object);
BOOL GetProcessTimes(HANDLE process, FILETIME *created, FILETIME *ended,
                     FILETIME *kernel, FILETIME *user);

/* ------------------------------------------------ registry, processes, tokens */

typedef LONG LSTATUS;
typedef struct stand_in_registry_key *HKEY;
typedef DWORD REGSAM;

#define HKEY_CURRENT_USER  ((HKEY)(ULONG_PTR)0x80000001)
#define HKEY_LOCAL_MACHINE ((HKEY)(ULONG_PTR)0x80000002)
#define KEY_READ           0x20019
#define REG_SZ             1
#define REG_DWORD          4

LSTATUS RegOpenKeyExW(HKEY root, LPCWSTR key, DWORD options, REGSAM access,
                      HKEY *opened);
LSTATUS RegEnumValueW(HKEY key, DWORD index, LPWSTR name, DWORD *name_size,
                      DWORD *reserved, DWORD *type, BYTE *data, DWORD *size);
LSTATUS RegSetKeyValueW(HKEY root, LPCWSTR key, LPCWSTR name, DWORD type,
                        const void *data, DWORD size);
LSTATUS RegDeleteKeyValueW(HKEY root, LPCWSTR key, LPCWSTR name);
LSTATUS RegCloseKey(HKEY key);
BOOL OpenThreadToken(HANDLE thread, DWORD access, BOOL as_self, HANDLE *token);
BOOL SetThreadToken(HANDLE *thread, HANDLE token);
BOOL ImpersonateLoggedOnUser(HANDLE token);
BOOL RevertToSelf(void);
BOOL GetComputerNameW(LPWSTR name, DWORD *size);
BOOL GetUserNameW(LPWSTR name, DWORD *size);

#define MAX_PATH                          260
#define KEY_QUERY_VALUE                   0x1
#define KEY_SET_VALUE                     0x2
#define MAX_COMPUTERNAME_LENGTH           15
#define PROCESS_QUERY_LIMITED_INFORMATION 0x1000
#define SYNCHRONIZE                       0x100000
#define WAIT_OBJECT_0                     0
#define TOKEN_DUPLICATE                   0x2
#define TOKEN_IMPERSONATE                 0x4
#define TOKEN_QUERY                       0x8
#define LOAD_LIBRARY_SEARCH_SYSTEM32      0x800
#define ERROR_TOO_MANY_NAMES              68

/* --------------------------------------------------------------- constants */

#define HRESULT_FROM_WIN32(code)                                                       \
    ((HRESULT)(code) <= 0 ? (HRESULT)(code)                                            \
                          : (HRESULT)(((code) & 0x0000ffffU) | 0x80070000U))
#define SUCCEEDED(status) ((HRESULT)(status) >= 0)
#define FAILED(status)    ((HRESULT)(status) < 0)

#define ERROR_SUCCESS              0
#define ERROR_FILE_NOT_FOUND       2
#define ERROR_ACCESS_DENIED        5
#define ERROR_INVALID_HANDLE       6
#define ERROR_NOT_ENOUGH_MEMORY    8
#define ERROR_INVALID_DATA         13
#define ERROR_INVALID_PARAMETER    87
#define ERROR_INSUFFICIENT_BUFFER  122
#define ERROR_MORE_DATA            234
#define ERROR_NO_MORE_ITEMS        259
#define ERROR_NOT_FOUND            1168
#define ERROR_INVALID_PASSWORD     86
#define ERROR_CANCELLED            1223
#define ERROR_TIMEOUT              1460
#define ERROR_PROC_NOT_FOUND       127
#define ERROR_MOD_NOT_FOUND        126
#define ERROR_NOT_SUPPORTED        50
#define ERROR_ALREADY_EXISTS       183
#define ERROR_CALL_NOT_IMPLEMENTED 120
#define WAIT_TIMEOUT               258

#define S_OK           ((HRESULT)0x00000000)
#define S_FALSE        ((HRESULT)0x00000001)
#define E_FAIL         ((HRESULT)0x80004005)
#define E_NOTIMPL      ((HRESULT)0x80004001)
#define E_ACCESSDENIED ((HRESULT)0x80070005)
#define E_OUTOFMEMORY  ((HRESULT)0x8007000e)
#define E_INVALIDARG   ((HRESULT)0x80070057)
#define E_POINTER      ((HRESULT)0x80004003)
#define E_UNEXPECTED   ((HRESULT)0x8000ffff)
#define E_NOINTERFACE  ((HRESULT)0x80004002)
#define E_ABORT        ((HRESULT)0x80004004)

/* winerror.h: SSPI */
#define SEC_E_OK                            ((HRESULT)0x00000000)
#define SEC_E_INSUFFICIENT_MEMORY           ((HRESULT)0x80090300)
#define SEC_E_INVALID_HANDLE                ((HRESULT)0x80090301)
#define SEC_E_UNSUPPORTED_FUNCTION          ((HRESULT)0x80090302)
#define SEC_E_TARGET_UNKNOWN                ((HRESULT)0x80090303)
#define SEC_E_INTERNAL_ERROR                ((HRESULT)0x80090304)
#define SEC_E_SECPKG_NOT_FOUND              ((HRESULT)0x80090305)
#define SEC_E_NOT_OWNER                     ((HRESULT)0x80090306)
#define SEC_E_CANNOT_INSTALL                ((HRESULT)0x80090307)
#define SEC_E_INVALID_TOKEN                 ((HRESULT)0x80090308)
#define SEC_E_CANNOT_PACK                   ((HRESULT)0x80090309)
#define SEC_E_QOP_NOT_SUPPORTED             ((HRESULT)0x8009030a)
#define SEC_E_NO_IMPERSONATION              ((HRESULT)0x8009030b)
#define SEC_E_LOGON_DENIED                  ((HRESULT)0x8009030c)
#define SEC_E_UNKNOWN_CREDENTIALS           ((HRESULT)0x8009030d)
#define SEC_E_NO_CREDENTIALS                ((HRESULT)0x8009030e)
#define SEC_E_MESSAGE_ALTERED               ((HRESULT)0x8009030f)
#define SEC_E_OUT_OF_SEQUENCE               ((HRESULT)0x80090310)
#define SEC_E_NO_AUTHENTICATING_AUTHORITY   ((HRESULT)0x80090311)
#define SEC_I_CONTINUE_NEEDED               ((HRESULT)0x00090312)
#define SEC_I_COMPLETE_NEEDED               ((HRESULT)0x00090313)
#define SEC_I_COMPLETE_AND_CONTINUE         ((HRESULT)0x00090314)
#define SEC_I_LOCAL_LOGON                   ((HRESULT)0x00090315)
#define SEC_E_BAD_PKGID                     ((HRESULT)0x80090316)
#define SEC_E_CONTEXT_EXPIRED               ((HRESULT)0x80090317)
#define SEC_I_CONTEXT_EXPIRED               ((HRESULT)0x00090317)
#define SEC_E_INCOMPLETE_MESSAGE            ((HRESULT)0x80090318)
#define SEC_E_INCOMPLETE_CREDENTIALS        ((HRESULT)0x80090320)
#define SEC_E_BUFFER_TOO_SMALL              ((HRESULT)0x80090321)
#define SEC_I_INCOMPLETE_CREDENTIALS        ((HRESULT)0x00090320)
#define SEC_I_RENEGOTIATE                   ((HRESULT)0x00090321)
#define SEC_E_WRONG_PRINCIPAL               ((HRESULT)0x80090322)
#define SEC_I_NO_LSA_CONTEXT                ((HRESULT)0x00090323)
#define SEC_E_TIME_SKEW                     ((HRESULT)0x80090324)
#define SEC_E_UNTRUSTED_ROOT                ((HRESULT)0x80090325)
#define SEC_E_ILLEGAL_MESSAGE               ((HRESULT)0x80090326)
#define SEC_E_CERT_UNKNOWN                  ((HRESULT)0x80090327)
#define SEC_E_CERT_EXPIRED                  ((HRESULT)0x80090328)
#define SEC_E_ENCRYPT_FAILURE               ((HRESULT)0x80090329)
#define SEC_E_DECRYPT_FAILURE               ((HRESULT)0x80090330)
#define SEC_E_ALGORITHM_MISMATCH            ((HRESULT)0x80090331)
#define SEC_E_SECURITY_QOS_FAILED           ((HRESULT)0x80090332)
#define SEC_E_NO_TGT_REPLY                  ((HRESULT)0x80090334)
#define SEC_E_NO_IP_ADDRESSES               ((HRESULT)0x80090335)
#define SEC_E_WRONG_CREDENTIAL_HANDLE       ((HRESULT)0x80090336)
#define SEC_E_CRYPTO_SYSTEM_INVALID         ((HRESULT)0x80090337)
#define SEC_E_MAX_REFERRALS_EXCEEDED        ((HRESULT)0x80090338)
#define SEC_E_MUST_BE_KDC                   ((HRESULT)0x80090339)
#define SEC_E_STRONG_CRYPTO_NOT_SUPPORTED   ((HRESULT)0x8009033a)
#define SEC_E_TOO_MANY_PRINCIPALS           ((HRESULT)0x8009033b)
#define SEC_E_NO_PA_DATA                    ((HRESULT)0x8009033c)
#define SEC_E_PKINIT_NAME_MISMATCH          ((HRESULT)0x8009033d)
#define SEC_E_SMARTCARD_LOGON_REQUIRED      ((HRESULT)0x8009033e)
#define SEC_E_SHUTDOWN_IN_PROGRESS          ((HRESULT)0x8009033f)
#define SEC_E_KDC_INVALID_REQUEST           ((HRESULT)0x80090340)
#define SEC_E_KDC_UNABLE_TO_REFER           ((HRESULT)0x80090341)
#define SEC_E_KDC_UNKNOWN_ETYPE             ((HRESULT)0x80090342)
#define SEC_E_UNSUPPORTED_PREAUTH           ((HRESULT)0x80090343)
#define SEC_E_DELEGATION_REQUIRED           ((HRESULT)0x80090345)
#define SEC_E_BAD_BINDINGS                  ((HRESULT)0x80090346)
#define SEC_E_MULTIPLE_ACCOUNTS             ((HRESULT)0x80090347)
#define SEC_E_NO_KERB_KEY                   ((HRESULT)0x80090348)
#define SEC_E_CERT_WRONG_USAGE              ((HRESULT)0x80090349)
#define SEC_E_DOWNGRADE_DETECTED            ((HRESULT)0x80090350)
#define SEC_E_SMARTCARD_CERT_REVOKED        ((HRESULT)0x80090351)
#define SEC_E_ISSUING_CA_UNTRUSTED          ((HRESULT)0x80090352)
#define SEC_E_REVOCATION_OFFLINE_C          ((HRESULT)0x80090353)
#define SEC_E_PKINIT_CLIENT_FAILURE         ((HRESULT)0x80090354)
#define SEC_E_SMARTCARD_CERT_EXPIRED        ((HRESULT)0x80090355)
#define SEC_E_NO_S4U_PROT_SUPPORT           ((HRESULT)0x80090356)
#define SEC_E_CROSSREALM_DELEGATION_FAILURE ((HRESULT)0x80090357)
#define SEC_E_REVOCATION_OFFLINE_KDC        ((HRESULT)0x80090358)
#define SEC_E_ISSUING_CA_UNTRUSTED_KDC      ((HRESULT)0x80090359)
#define SEC_E_KDC_CERT_EXPIRED              ((HRESULT)0x8009035a)
#define SEC_E_KDC_CERT_REVOKED              ((HRESULT)0x8009035b)
#define SEC_I_SIGNATURE_NEEDED              ((HRESULT)0x0009035c)
#define SEC_E_INVALID_PARAMETER             ((HRESULT)0x8009035d)
#define SEC_E_DELEGATION_POLICY             ((HRESULT)0x8009035e)
#define SEC_E_POLICY_NLTM_ONLY              ((HRESULT)0x8009035f)
#define SEC_I_NO_RENEGOTIATION              ((HRESULT)0x00090360)
#define SEC_E_NO_CONTEXT                    ((HRESULT)0x80090361)
#define SEC_E_MUTUAL_AUTH_FAILED            ((HRESULT)0x80090363)
#define SEC_I_MESSAGE_FRAGMENT              ((HRESULT)0x00090364)
#define SEC_E_ONLY_HTTPS_ALLOWED            ((HRESULT)0x80090365)
#define SEC_I_CONTINUE_NEEDED_MESSAGE_OK    ((HRESULT)0x00090366)
#define SEC_E_APPLICATION_PROTOCOL_MISMATCH ((HRESULT)0x80090367)
#define SEC_I_ASYNC_CALL_PENDING            ((HRESULT)0x00090368)
#define SEC_E_INVALID_UPN_NAME              ((HRESULT)0x80090369)

/* winerror.h: certificates and keys */
#define CRYPT_E_MSG_ERROR                  ((HRESULT)0x80091001)
#define CRYPT_E_UNKNOWN_ALGO               ((HRESULT)0x80091002)
#define CRYPT_E_OID_FORMAT                 ((HRESULT)0x80091003)
#define CRYPT_E_BAD_LEN                    ((HRESULT)0x80092001)
#define CRYPT_E_BAD_ENCODE                 ((HRESULT)0x80092002)
#define CRYPT_E_FILE_ERROR                 ((HRESULT)0x80092003)
#define CRYPT_E_NOT_FOUND                  ((HRESULT)0x80092004)
#define CRYPT_E_EXISTS                     ((HRESULT)0x80092005)
#define CRYPT_E_NO_PROVIDER                ((HRESULT)0x80092006)
#define CRYPT_E_SELF_SIGNED                ((HRESULT)0x80092007)
#define CRYPT_E_DELETED_PREV               ((HRESULT)0x80092008)
#define CRYPT_E_NO_MATCH                   ((HRESULT)0x80092009)
#define CRYPT_E_UNEXPECTED_MSG_TYPE        ((HRESULT)0x8009200a)
#define CRYPT_E_NO_KEY_PROPERTY            ((HRESULT)0x8009200b)
#define CRYPT_E_NO_DECRYPT_CERT            ((HRESULT)0x8009200c)
#define CRYPT_E_BAD_MSG                    ((HRESULT)0x8009200d)
#define CRYPT_E_NO_SIGNER                  ((HRESULT)0x8009200e)
#define CRYPT_E_PENDING_CLOSE              ((HRESULT)0x8009200f)
#define CRYPT_E_REVOKED                    ((HRESULT)0x80092010)
#define CRYPT_E_NO_REVOCATION_DLL          ((HRESULT)0x80092011)
#define CRYPT_E_NO_REVOCATION_CHECK        ((HRESULT)0x80092012)
#define CRYPT_E_REVOCATION_OFFLINE         ((HRESULT)0x80092013)
#define CRYPT_E_NOT_IN_REVOCATION_DATABASE ((HRESULT)0x80092014)
#define CRYPT_E_INVALID_NUMERIC_STRING     ((HRESULT)0x80092020)
#define CRYPT_E_SECURITY_SETTINGS          ((HRESULT)0x80092026)
#define CRYPT_E_HASH_VALUE                 ((HRESULT)0x80091007)
#define CRYPT_E_ASN1_ERROR                 ((HRESULT)0x80093100)
#define CRYPT_E_ASN1_INTERNAL              ((HRESULT)0x80093101)
#define CRYPT_E_ASN1_EOD                   ((HRESULT)0x80093102)
#define CRYPT_E_ASN1_CORRUPT               ((HRESULT)0x80093103)
#define CRYPT_E_ASN1_LARGE                 ((HRESULT)0x80093104)
#define CRYPT_E_ASN1_BADTAG                ((HRESULT)0x8009310b)
#define CERT_E_EXPIRED                     ((HRESULT)0x800b0101)
#define CERT_E_VALIDITYPERIODNESTING       ((HRESULT)0x800b0102)
#define CERT_E_ROLE                        ((HRESULT)0x800b0103)
#define CERT_E_PATHLENCONST                ((HRESULT)0x800b0104)
#define CERT_E_CRITICAL                    ((HRESULT)0x800b0105)
#define CERT_E_PURPOSE                     ((HRESULT)0x800b0106)
#define CERT_E_ISSUERCHAINING              ((HRESULT)0x800b0107)
#define CERT_E_MALFORMED                   ((HRESULT)0x800b0108)
#define CERT_E_UNTRUSTEDROOT               ((HRESULT)0x800b0109)
#define CERT_E_CHAINING                    ((HRESULT)0x800b010a)
#define CERT_E_REVOKED                     ((HRESULT)0x800b010c)
#define CERT_E_UNTRUSTEDTESTROOT           ((HRESULT)0x800b010d)
#define CERT_E_REVOCATION_FAILURE          ((HRESULT)0x800b010e)
#define CERT_E_CN_NO_MATCH                 ((HRESULT)0x800b010f)
#define CERT_E_WRONG_USAGE                 ((HRESULT)0x800b0110)
#define CERT_E_UNTRUSTEDCA                 ((HRESULT)0x800b0112)
#define CERT_E_INVALID_POLICY              ((HRESULT)0x800b0113)
#define CERT_E_INVALID_NAME                ((HRESULT)0x800b0114)
#define TRUST_E_FAIL                       ((HRESULT)0x800b010b)
#define TRUST_E_EXPLICIT_DISTRUST          ((HRESULT)0x800b0111)
#define TRUST_E_CERT_SIGNATURE             ((HRESULT)0x80096004)
#define TRUST_E_BASIC_CONSTRAINTS          ((HRESULT)0x80096019)
#define TRUST_E_SUBJECT_NOT_TRUSTED        ((HRESULT)0x800b0004)
#define TRUST_E_SYSTEM_ERROR               ((HRESULT)0x80096001)
#define TRUST_E_NO_SIGNER_CERT             ((HRESULT)0x80096002)
#define NTE_BAD_UID                        ((HRESULT)0x80090001)
#define NTE_BAD_HASH                       ((HRESULT)0x80090002)
#define NTE_BAD_KEY                        ((HRESULT)0x80090003)
#define NTE_BAD_LEN                        ((HRESULT)0x80090004)
#define NTE_BAD_DATA                       ((HRESULT)0x80090005)
#define NTE_BAD_SIGNATURE                  ((HRESULT)0x80090006)
#define NTE_BAD_VER                        ((HRESULT)0x80090007)
#define NTE_BAD_ALGID                      ((HRESULT)0x80090008)
#define NTE_BAD_FLAGS                      ((HRESULT)0x80090009)
#define NTE_BAD_TYPE                       ((HRESULT)0x8009000a)
#define NTE_BAD_KEY_STATE                  ((HRESULT)0x8009000b)
#define NTE_NO_KEY                         ((HRESULT)0x8009000d)
#define NTE_NO_MEMORY                      ((HRESULT)0x8009000e)
#define NTE_EXISTS                         ((HRESULT)0x8009000f)
#define NTE_PERM                           ((HRESULT)0x80090010)
#define NTE_NOT_FOUND                      ((HRESULT)0x80090011)
#define NTE_DOUBLE_ENCRYPT                 ((HRESULT)0x80090012)
#define NTE_BAD_PROVIDER                   ((HRESULT)0x80090013)
#define NTE_BAD_PROV_TYPE                  ((HRESULT)0x80090014)
#define NTE_BAD_PUBLIC_KEY                 ((HRESULT)0x80090015)
#define NTE_BAD_KEYSET                     ((HRESULT)0x80090016)
#define NTE_PROV_TYPE_NOT_DEF              ((HRESULT)0x80090017)
#define NTE_PROV_TYPE_ENTRY_BAD            ((HRESULT)0x80090018)
#define NTE_KEYSET_NOT_DEF                 ((HRESULT)0x80090019)
#define NTE_KEYSET_ENTRY_BAD               ((HRESULT)0x8009001a)
#define NTE_PROV_TYPE_NO_MATCH             ((HRESULT)0x8009001b)
#define NTE_SIGNATURE_FILE_BAD             ((HRESULT)0x8009001c)
#define NTE_PROVIDER_DLL_FAIL              ((HRESULT)0x8009001d)
#define NTE_PROV_DLL_NOT_FOUND             ((HRESULT)0x8009001e)
#define NTE_BAD_KEYSET_PARAM               ((HRESULT)0x8009001f)
#define NTE_FAIL                           ((HRESULT)0x80090020)
#define NTE_SYS_ERR                        ((HRESULT)0x80090021)
#define NTE_SILENT_CONTEXT                 ((HRESULT)0x80090022)
#define NTE_TOKEN_KEYSET_STORAGE_FULL      ((HRESULT)0x80090023)
#define NTE_TEMPORARY_PROFILE              ((HRESULT)0x80090024)
#define NTE_FIXEDPARAMETER                 ((HRESULT)0x80090025)
#define NTE_INVALID_HANDLE                 ((HRESULT)0x80090026)
#define NTE_INVALID_PARAMETER              ((HRESULT)0x80090027)
#define NTE_BUFFER_TOO_SMALL               ((HRESULT)0x80090028)
#define NTE_NOT_SUPPORTED                  ((HRESULT)0x80090029)
#define NTE_NO_MORE_ITEMS                  ((HRESULT)0x8009002a)
#define NTE_BUFFERS_OVERLAP                ((HRESULT)0x8009002b)
#define NTE_DECRYPTION_FAILURE             ((HRESULT)0x8009002c)
#define NTE_INTERNAL_ERROR                 ((HRESULT)0x8009002d)
#define NTE_UI_REQUIRED                    ((HRESULT)0x8009002e)
#define NTE_DEVICE_NOT_READY               ((HRESULT)0x80090030)
#define NTE_AUTHENTICATION_IGNORED         ((HRESULT)0x80090031)
#define NTE_VALIDATION_FAILED              ((HRESULT)0x80090032)
#define NTE_INCORRECT_PASSWORD             ((HRESULT)0x80090033)
#define NTE_DEVICE_NOT_FOUND               ((HRESULT)0x80090035)
#define SCARD_W_CANCELLED_BY_USER          ((HRESULT)0x8010006e)
#define SCARD_E_NO_SMARTCARD               ((HRESULT)0x8010000c)
#define SCARD_W_WRONG_CHV                  ((HRESULT)0x8010006b)

#endif
