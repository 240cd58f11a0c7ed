/*
 * provider_memory.h - an SSPI in memory: a SecurityFunctionTableW whose answers a "mind"
 * gives
 *
 *   csrc ── table: provider_memory.c (the rules: handles, buffers, order, frees)
 *                     └── mind: toy_tls.c (a small TLS of our own, with a peer)
 *                             or chaos.c (every status the input asks for)
 *
 * Whoever breaks a rule of SSPI aborts the program at once, so that the sanitizers and the
 * fuzzer show where. One provider at a time: SSPI's functions have no argument to carry
 * one in.
 */
#ifndef PROVIDER_MEMORY_H
#define PROVIDER_MEMORY_H

#include "choices.h"
#include "stand_in.h"

enum { PROVIDER_MOST_HANDLES = 16, PROVIDER_MOST_TOKENS = 64 };

typedef enum {
    PROVIDER_HANDSHAKE,
    PROVIDER_OPEN,
    PROVIDER_POST_HANDSHAKE, /* DecryptMessage said SEC_I_RENEGOTIATE (B58, B61) */
    PROVIDER_EXPIRED,        /* it said SEC_I_CONTEXT_EXPIRED (B64) */
    PROVIDER_FAILED          /* a call failed: nothing but deleting is left */
} provider_phase;

/* What must be presented next: bytes that a call did not consume. */
typedef struct {
    size_t size;
    uint32_t sum;
    bool wants_more; /* B21: with more bytes behind them */
    bool is_rest;    /* behind the first of several records, and maybe cut off */
} provider_claim;

typedef struct {
    bool is_alive;
    bool is_server;
    bool is_tls13;        /* as CONNECTION_INFO told */
    bool has_begun_again; /* a renegotiation: it got hold of the context (B60) */
    bool has_described;   /* what keying material is wanted */
    size_t credential;
    provider_phase phase;
    bool is_done; /* the first handshake */
    bool has_control;
    bool is_shut_down;
    provider_claim claim;
    SecPkgContext_StreamSizes sizes;
    uint64_t sealed; /* records, by EncryptMessage and as tokens (toy_tls.c) */
    uint64_t opened;
    uint8_t asked_for_credential;
} provider_context;

typedef struct {
    SECURITY_STATUS (*acquire)(DWORD version);
    /* Of both roles. `input` NULL: a client's first call, the first one of a
       renegotiation, or the one after ApplyControlToken. `input` has two buffers, TOKEN
       and EMPTY; `output` three, TOKEN, ALERT and EMPTY. A server's first call that does
       not succeed makes no security context: what it noted there is forgotten. */
    SECURITY_STATUS (*initialize)(provider_context *context, SecBuffer *input,
                                  SecBuffer *output, ULONG *flags);
    SECURITY_STATUS (*control)(provider_context *context, const DWORD *words);
    SECURITY_STATUS (*query)(provider_context *context, ULONG attribute, void *value);
    SECURITY_STATUS (*describe)(provider_context *context,
                                const SecPkgContext_KeyingMaterialInfo *wanted);
    SECURITY_STATUS (*encrypt)(provider_context *context, SecBuffer *buffers);
    SECURITY_STATUS (*decrypt)(provider_context *context, SecBuffer *buffers);
} provider_mind;

/* Begins with nothing alive; the table is the same each time. */
const SecurityFunctionTableW *provider_begin(const provider_mind *mind);
/* Aborts when a handle or a token is alive. */
void provider_end(void);
/* Puts SSPI's own copy of `data` into an output buffer. */
void provider_give_token(SecBuffer *buffer, const void *data, size_t size);
/* SSPI's own copy of `data`, for a query. */
void *provider_give(const void *data, size_t size);
/* Clients that choose a credential only when asked leave USE_SUPPLIED_CREDS out until then
 * (B28). Reset by provider_begin. */
extern bool provider_may_be_asked;

/* Calls of each kind since provider_begin, for tests. */
typedef struct {
    unsigned acquired;
    unsigned initialized; /* or accepted */
    unsigned encrypted;
    unsigned decrypted;
    unsigned controlled;
} provider_counts;
extern provider_counts provider_calls;

#endif
