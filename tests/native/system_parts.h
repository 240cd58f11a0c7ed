/*
 * system_parts.h - what system_memory.c and keys_memory.c share
 */
#ifndef SYSTEM_PARTS_H
#define SYSTEM_PARTS_H

#include "system_memory.h"

void system_rule(bool is_kept, const char *text);
/* Whether this call fails; then GetLastError says why. */
bool system_fails(DWORD error);
/* A block that has to be given back. */
void *system_acquire(size_t size);
void system_release(void *block);

/* A store with these certificates; keys of the file's: as `is_persistent` says. */
HCERTSTORE system_store_of(const system_content *content, bool is_persistent,
                           bool is_machine);
/* Where the private key of a certificate is; NULL: nowhere on disk. */
const wchar_t *system_container_of(PCCERT_CONTEXT certificate);

void system_begin_keys(void);
void system_end_keys(void);
void system_fill_keys(schan_system *table);

#endif
