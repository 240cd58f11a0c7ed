/*
 * system_memory.h - a schan_system in memory: certificates, stores, chains, digests, sockets
 *
 * Everything acquired is a block of its own, so that a use after release shows; what is
 * not given back aborts at the end. With `decisions` each call may fail as they say.
 */
#ifndef SYSTEM_MEMORY_H
#define SYSTEM_MEMORY_H

#include "choices.h"
#include "schan_system.h"
#include "stand_in.h"

enum { SYSTEM_MOST_ELEMENTS = 4 };

/* What CertGetCertificateChain and the policy answer. */
typedef struct {
    DWORD trust;
    DWORD elements[SYSTEM_MOST_ELEMENTS];
    DWORD count;
    bool has_no_simple_chain;
    DWORD error; /* the call fails with this code */
    DWORD policy;
    LONG policy_index;
    bool policy_fails;
} system_chain;

struct system_memory {
    choices *decisions;
    DWORD build;
    system_chain chain;        /* for an engine of the caller's */
    system_chain system_chain; /* for HCCE_CURRENT_USER */
    uint64_t not_before;       /* of the certificates made from now on, FILETIME */
    uint64_t not_after;
    int (*receive)(char *data, int size); /* < 0: system_socket_error says why */
    int (*send)(const char *data, int size);
    int (*wait)(bool readable, bool writable, uint32_t timeout_ms);
    int socket_error;
    unsigned made; /* certificates, stores, engines, chains, digests */
};
extern struct system_memory system_memory;

const schan_system *system_begin(choices *decisions);
/* How much was acquired and not given back. */
long system_alive(void);
/* Aborts when something was not given back. */
void system_end(void);
/* A certificate with this subjectAltName (NULL: without); the reference is the caller's. */
PCCERT_CONTEXT system_certificate(const void *names, size_t size);

#endif
