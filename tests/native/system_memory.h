/*
 * system_memory.h - a schan_system in memory: certificates, stores, chains, digests, sockets,
 * private keys (keys_memory.c)
 *
 * Everything acquired is a block of its own, so that a use after release shows; what is
 * not given back aborts at the end, and so does a private key that was imported and is
 * still on disk. With `decisions` each call may fail as they say; with `failing_call`
 * just one does.
 */
#ifndef SYSTEM_MEMORY_H
#define SYSTEM_MEMORY_H

#include "choices.h"
#include "schan_system.h"
#include "stand_in.h"

enum { SYSTEM_MOST_ELEMENTS = 4, SYSTEM_MOST_CERTIFICATES = 6 };

/* Where a certificate's private key is. */
typedef enum {
    SYSTEM_KEY_NONE,
    SYSTEM_KEY_IN_MEMORY, /* in the certificate itself */
    SYSTEM_KEY_ON_DISK
} system_key;

/* A certificate of a file or a system store; DER's first byte stands for the subject, its
 * second for the issuer. */
typedef struct {
    const char *der;
    system_key key;
    const wchar_t *container; /* of a key on disk; need not be there */
    uint64_t not_after;       /* 0: that of system_memory */
} system_item;

/* What PFXImportCertStore finds, or CertOpenStore. */
typedef struct {
    system_item items[SYSTEM_MOST_CERTIFICATES];
    size_t count;
} system_content;

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
    unsigned made;             /* certificates, stores, engines, chains, digests */
    unsigned calls;            /* that may fail, until now */
    unsigned failing_call;     /* this one fails; 0: none */
    bool fails_without_reason; /* with GetLastError 0 */
    system_content pfx;
    const wchar_t *password; /* of the PFX */
    bool is_not_exportable;  /* its private key */
    system_content stored;   /* in every system store */
    const char *usage;       /* the one extended key usage; "": none, NULL: every */
    const char *signature;   /* OID of the signature of certificates */
    const void *signature_parameters;
    DWORD signature_parameters_size;
    const char *sent[SYSTEM_MOST_CERTIFICATES]; /* DER beside the peer's certificate */
    const void *peer; /* DER of the peer's certificate; NULL: none that can be read */
    size_t peer_size;
    bool keys_are_capi; /* as Wine's */
    bool impersonates;
    int64_t backlog;   /* SIO_IDEAL_SEND_BACKLOG_QUERY; < 0: not known */
    ULONG send_buffer; /* SO_SNDBUF; 0: it is not told */
    unsigned backlogs_set;
    unsigned refused_at_once; /* SIO_TCP_INITIAL_RTO */
};
extern struct system_memory system_memory;

const schan_system *system_begin(choices *decisions);
/* How much was acquired and not given back. */
long system_alive(void);
/* Aborts when something was not given back. */
void system_end(void);
/* A certificate with this subjectAltName (NULL: without); the reference is the caller's. */
PCCERT_CONTEXT system_certificate(const void *names, size_t size);
/* Imports a key of this kind (SCHAN_KEY_RSA, SCHAN_KEY_ECC); aborts when that fails. */
schan_identity *system_identity(schan_library *library, int kind);
/* Puts a key container on disk that nobody here has made. */
void system_add_key(const wchar_t *name, bool is_machine);
/* Leaves a note in the registry (key_journal.c). */
void system_add_note(const wchar_t *user, DWORD type, const wchar_t *container);
size_t system_keys(void);
size_t system_notes(void);
bool system_has_key(const wchar_t *name);

#endif
