/*
 * windows.c - what the functions of windows/windows.h do on this machine
 *
 * Locks and conditions are pthreads' (error-checking ones: a lock taken twice by one
 * thread, or given back by another, aborts). Time stands still but for what stand_in.h
 * says, so that a run can be repeated. The thread pool runs a job at once on the
 * caller's thread, on a thread of its own, later, or not at all: as stand_in.h says.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stand_in.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(SRWLOCK), "room of an SRWLOCK");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(CONDITION_VARIABLE), "room");

void stand_in_abort(const char *what)
{
    fprintf(stderr, "misuse: %s\n", what);
    abort();
}

/* -------------------------------------------------------------------- text */

size_t stand_in_wcslen(const wchar_t *text)
{
    size_t size = 0;

    while (text[size] != 0) {
        size++;
    }
    return size;
}

int stand_in_wcscmp(const wchar_t *left, const wchar_t *right)
{
    return stand_in_wcsncmp(left, right, SIZE_MAX);
}

int stand_in_wcsncmp(const wchar_t *left, const wchar_t *right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i] || left[i] == 0) {
            return (int)left[i] - (int)right[i];
        }
    }
    return 0;
}

wchar_t *stand_in_wcschr(const wchar_t *text, wchar_t wanted)
{
    while (*text != wanted) {
        if (*text++ == 0) {
            return NULL;
        }
    }
    return (wchar_t *)(uintptr_t)text;
}

static int lower(wchar_t c)
{
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int stand_in_wcsicmp(const wchar_t *left, const wchar_t *right)
{
    while (*left != 0 && lower(*left) == lower(*right)) {
        left++;
        right++;
    }
    return lower(*left) - lower(*right);
}

/* --------------------------------------------------------- errors, modules */

static _Thread_local DWORD last_error;

DWORD GetLastError(void)
{
    return last_error;
}

void SetLastError(DWORD error)
{
    last_error = error;
}

int WSAGetLastError(void)
{
    return (int)last_error;
}

void WSASetLastError(int error)
{
    last_error = (DWORD)error;
}

static const char *wine_version(void)
{
    return stand_in.wine_version;
}

HMODULE GetModuleHandleW(LPCWSTR name)
{
    return stand_in.wine_version != NULL && stand_in_wcscmp(name, L"ntdll.dll") == 0
               ? (HMODULE)&stand_in
               : NULL;
}

void (*GetProcAddress(HMODULE module, LPCSTR name))(void)
{
    if (module != (HMODULE)&stand_in || strcmp(name, "wine_get_version") != 0) {
        return NULL;
    }
    return (void (*)(void))wine_version;
}

PSecurityFunctionTableW InitSecurityInterfaceW(void)
{
    return (PSecurityFunctionTableW)(uintptr_t)stand_in.own_table;
}

/* ------------------------------------------------------------------ memory */

void stand_in_wipe(void *memory, size_t size)
{
    memset(memory, 0, size);
    __asm__ volatile("" : : "r"(memory) : "memory");
}

HLOCAL LocalFree(HLOCAL memory)
{
    free(memory);
    return NULL;
}

/* The linker leads calloc and free of csrc here (--wrap). */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __real_free(void *memory);
void __wrap_free(void *memory);

/* What csrc holds. The addresses are kept inverted: a block that csrc has lost must stay
 * lost for the sanitizer that looks for leaks. */
typedef struct block {
    uintptr_t inverted;
    size_t size;
    struct block *next;
} block;

static block *blocks;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;

static void note_block(const void *memory, size_t size)
{
    block *noted = malloc(sizeof(*noted));

    if (noted == NULL) {
        stand_in_abort("no memory to count memory");
    }
    pthread_mutex_lock(&blocks_lock);
    *noted = (block){~(uintptr_t)memory, size, blocks};
    blocks = noted;
    stand_in.live_bytes += size;
    pthread_mutex_unlock(&blocks_lock);
}

/* What was not csrc's, a stand-in's own memory, has not been counted. */
static void forget_block(const void *memory)
{
    pthread_mutex_lock(&blocks_lock);
    block **link = &blocks;
    while (*link != NULL && (*link)->inverted != ~(uintptr_t)memory) {
        link = &(*link)->next;
    }
    block *found = *link;
    if (found != NULL) {
        *link = found->next;
        stand_in.live_bytes -= found->size;
    }
    pthread_mutex_unlock(&blocks_lock);
    __real_free(found);
}

void *__wrap_calloc(size_t count, size_t size)
{
    stand_in.allocations++;
    if (stand_in.failing_allocation != 0 &&
        stand_in.allocations == stand_in.failing_allocation) {
        return NULL;
    }
    void *memory = __real_calloc(count, size);
    if (memory != NULL) {
        note_block(memory, count * size);
    }
    return memory;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

void __wrap_free(void *memory)
{
    if (memory != NULL && memory == stand_in.watched) {
        stand_in.watched = NULL;
        stand_in.was_wiped = is_zero(memory, stand_in.watched_size);
    }
    forget_block(memory);
    __real_free(memory);
}

LONG InterlockedIncrement(volatile LONG *value)
{
    return __atomic_add_fetch(value, 1, __ATOMIC_SEQ_CST);
}

LONG InterlockedDecrement(volatile LONG *value)
{
    return __atomic_sub_fetch(value, 1, __ATOMIC_SEQ_CST);
}

LONG InterlockedExchange(volatile LONG *value, LONG wanted)
{
    return __atomic_exchange_n(value, wanted, __ATOMIC_SEQ_CST);
}

LONG InterlockedExchangeAdd(volatile LONG *value, LONG more)
{
    return __atomic_fetch_add(value, more, __ATOMIC_SEQ_CST);
}

LONG InterlockedCompareExchange(volatile LONG *value, LONG wanted, LONG expected)
{
    (void)__atomic_compare_exchange_n(value, &expected, wanted, false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST);
    return expected;
}

/* ------------------------------------------------------------------- locks */

void InitializeSRWLock(SRWLOCK *lock)
{
    pthread_mutexattr_t kind;

    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init((pthread_mutex_t *)lock, &kind);
    pthread_mutexattr_destroy(&kind);
}

void AcquireSRWLockExclusive(SRWLOCK *lock)
{
    if (pthread_mutex_lock((pthread_mutex_t *)lock) != 0) {
        stand_in_abort("a lock was taken twice");
    }
}

BOOLEAN TryAcquireSRWLockExclusive(SRWLOCK *lock)
{
    return pthread_mutex_trylock((pthread_mutex_t *)lock) == 0;
}

void ReleaseSRWLockExclusive(SRWLOCK *lock)
{
    if (pthread_mutex_unlock((pthread_mutex_t *)lock) != 0) {
        stand_in_abort("a lock was released that was not held");
    }
}

void AcquireSRWLockShared(SRWLOCK *lock)
{
    AcquireSRWLockExclusive(lock);
}

void ReleaseSRWLockShared(SRWLOCK *lock)
{
    ReleaseSRWLockExclusive(lock);
}

void InitializeConditionVariable(CONDITION_VARIABLE *condition)
{
    pthread_cond_init((pthread_cond_t *)condition, NULL);
}

BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *condition, SRWLOCK *lock,
                               DWORD timeout_ms, ULONG flags)
{
    const long ns_per_s = 1000000000L;
    struct timespec end = {0};

    if (flags != 0 || timeout_ms == 0 || stand_in.pool == STAND_IN_POOL_LATER) {
        SetLastError(WAIT_TIMEOUT);
        return FALSE;
    }
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (time_t)(timeout_ms / 1000);
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (end.tv_nsec >= ns_per_s) {
        end.tv_sec += 1;
        end.tv_nsec -= ns_per_s;
    }
    if (pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)lock,
                               &end) != 0) {
        SetLastError(WAIT_TIMEOUT);
        return FALSE;
    }
    return TRUE;
}

void WakeConditionVariable(CONDITION_VARIABLE *condition)
{
    pthread_cond_signal((pthread_cond_t *)condition);
}

void WakeAllConditionVariable(CONDITION_VARIABLE *condition)
{
    pthread_cond_broadcast((pthread_cond_t *)condition);
}

BOOL InitOnceExecuteOnce(INIT_ONCE *once, PINIT_ONCE_FN function, void *parameter,
                         void **context)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&lock);
    BOOL is_done = once->room[0] != 0 || function(once, parameter, context);
    once->room[0] = is_done ? 1 : 0;
    pthread_mutex_unlock(&lock);
    return is_done;
}

/* ------------------------------------------------------------- thread pool */

typedef struct job {
    PTP_SIMPLE_CALLBACK callback;
    void *parameter;
    struct job *next;
} job;

static job *waiting_jobs; /* STAND_IN_POOL_LATER */

static void *run_on_thread(void *parameter)
{
    job *work = parameter;

    work->callback(NULL, work->parameter);
    free(work);
    return NULL;
}

BOOL TrySubmitThreadpoolCallback(PTP_SIMPLE_CALLBACK callback, void *parameter,
                                 PTP_CALLBACK_ENVIRON environment)
{
    pthread_t thread;

    (void)environment;
    if (stand_in.pool == STAND_IN_POOL_FULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    if (stand_in.pool == STAND_IN_POOL_AT_ONCE) {
        callback(NULL, parameter);
        return TRUE;
    }
    job *work = malloc(sizeof(*work));
    if (work == NULL) {
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    *work = (job){callback, parameter, waiting_jobs};
    if (stand_in.pool == STAND_IN_POOL_LATER) {
        waiting_jobs = work;
        return TRUE;
    }
    if (pthread_create(&thread, NULL, run_on_thread, work) != 0) {
        stand_in_abort("no thread");
    }
    pthread_detach(thread);
    return TRUE;
}

void stand_in_run_jobs(void)
{
    while (waiting_jobs != NULL) {
        job *work = waiting_jobs;
        waiting_jobs = work->next;
        run_on_thread(work);
    }
}

BOOL CallbackMayRunLong(PTP_CALLBACK_INSTANCE instance)
{
    (void)instance;
    return TRUE;
}

/* -------------------------------------------------------------------- time */

struct stand_in stand_in = {
    .now_ms = 1000,
    .file_time = 133000000000000000U, /* in the year 2022 */
};

ULONGLONG GetTickCount64(void)
{
    return stand_in.now_ms += stand_in.tick_ms;
}

void GetSystemTimeAsFileTime(FILETIME *time)
{
    time->dwLowDateTime = (DWORD)stand_in.file_time;
    time->dwHighDateTime = (DWORD)(stand_in.file_time >> 32U);
}

LONG CompareFileTime(const FILETIME *left, const FILETIME *right)
{
    uint64_t first = (uint64_t)left->dwHighDateTime << 32U | left->dwLowDateTime;
    uint64_t second = (uint64_t)right->dwHighDateTime << 32U | right->dwLowDateTime;

    return first < second ? -1 : first > second;
}

void Sleep(DWORD time_ms)
{
    stand_in.now_ms += time_ms;
    sched_yield();
}

BOOL SwitchToThread(void)
{
    return sched_yield() == 0;
}

DWORD GetCurrentProcessId(void)
{
    return 1;
}

DWORD GetCurrentThreadId(void)
{
    return 1;
}

/* ----------------------------------------------------------------- sockets */

int stand_in_fd_isset(SOCKET handle, const fd_set *set)
{
    for (u_int i = 0; i < set->fd_count; i++) {
        if (set->fd_array[i] == handle) {
            return 1;
        }
    }
    return 0;
}
