/*
 * chaos.h - a provider whose every answer the input decides: statuses, tokens, EXTRA, MISSING,
 * pointers, sizes; within what the types of SSPI allow, and a little beyond
 */
#ifndef CHAOS_H
#define CHAOS_H

#include "provider_memory.h"

const SecurityFunctionTableW *chaos_begin(choices *input);
/* The byte of application data at this offset, of what DecryptMessage has handed out. */
uint8_t chaos_byte(uint64_t offset);
/* How much it has handed out until now. */
uint64_t chaos_given(void);

#endif
