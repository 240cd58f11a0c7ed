/*
 * stand_in.h - how the stand-in for Windows behaves (windows.c)
 */
#ifndef STAND_IN_H
#define STAND_IN_H

#include "schan_windows.h"

#include <stdbool.h>

typedef enum {
    STAND_IN_POOL_AT_ONCE, /* on the caller's thread */
    STAND_IN_POOL_THREAD,
    STAND_IN_POOL_LATER, /* when stand_in_run_jobs is called; waiting ends at once */
    STAND_IN_POOL_FULL   /* TrySubmitThreadpoolCallback fails */
} stand_in_pool;

struct stand_in {
    stand_in_pool pool;
    uint64_t now_ms;             /* GetTickCount64 */
    unsigned tick_ms;            /* that much later whenever it is asked */
    uint64_t file_time;          /* GetSystemTimeAsFileTime: 100 ns since 1601 */
    unsigned allocations;        /* callocs until now */
    unsigned failing_allocation; /* this one finds no memory; 0: none */
    size_t live_bytes;           /* of what csrc has allocated, and not freed */
    const void *watched;         /* was this block zero when it was freed? */
    size_t watched_size;
    bool was_wiped;
    const SecurityFunctionTableW *own_table; /* InitSecurityInterface; NULL: it fails */
    const char *wine_version;                /* NULL: ntdll is not Wine's */
};

extern struct stand_in stand_in;

void stand_in_run_jobs(void);
_Noreturn void stand_in_abort(const char *what);

#endif
