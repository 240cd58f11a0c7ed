/*
 * schan.h - TLS by Windows' own Schannel, as a small C interface
 *
 * What this is: a TLS engine on SSPI, for clients and servers. The engine does no I/O; a
 * socket driver on top of it does. The operating system brings the protocol, the trust
 * store and the policy; nothing is shipped that Windows already has.
 *
 *   your code ── schan_socket ── schan_engine ──────── SSPI function table
 *                     │               │                 (handshake, records)
 *                  Winsock     schan_verification ──── crypt32
 *                                                      (certificate chain, host name)
 *
 *              feed  ┌──────────┐  read
 *   network  ───────►│  engine  ├───────►  application
 *   (records)◄───────┤          │◄───────  (application data)
 *              drain └──────────┘  write
 *
 *   START ─handshake─► HANDSHAKE ─► VERIFY ─verified─► OPEN ⇄ POST_HANDSHAKE
 *                          └────────────────────────────┘ a server whose client has
 *                                                           shown no certificate
 *
 *   any state ─first error─► FAILED (sticky: every later call returns that error).
 *   local_closed and peer_closed are two bits beside it: each direction ends alone.
 *
 * Names. record: TLS framing unit, the ciphertext side. application data: the
 * plaintext. token: handshake bytes SSPI asks us to send. feed and drain move records,
 * write and read move application data, send and recv move bytes of a socket.
 *
 * Ownership. A pointer returned through `T **out` is yours; free it with the function
 * named in its comment. A `const T *` handed out otherwise is borrowed and dies with
 * the object it came from or at the next call on that object, whichever is first.
 * `feed` and `write` copy; they never keep your pointer. Memory that Windows allocated
 * never leaves this library. Every `_free` accepts NULL. Objects hold what they need: a
 * library may be freed before the engines made from it.
 *
 * Threads. Libraries, credentials and trusts may be used from any number of threads at
 * once. An engine belongs to one thread at a time. A socket locks its engine: one
 * thread may receive while another sends.
 *
 * Results. 0 is success, a positive result asks for something or tells the end of the
 * stream, a negative one is a failure and is described by the schan_error. Byte counts
 * never share the return value.
 */
#ifndef SCHAN_H
#define SCHAN_H

#include <stddef.h>
#include <stdint.h>
#include <wchar.h>

#if defined(__GNUC__)
#define SCHAN_MUST_CHECK __attribute__((warn_unused_result))
#elif defined(_MSC_VER)
#include <sal.h>
#define SCHAN_MUST_CHECK _Check_return_
#else
#define SCHAN_MUST_CHECK
#endif

/* [cdef] from here to [/cdef] is also read by cffi (build_ffi.py) */

/* ---------------------------------------------------------------- results */

typedef enum schan_result {
    SCHAN_OK = 0,
    SCHAN_WANT_READ = 1,       /* feed more records, then call again */
    SCHAN_WANT_WRITE = 2,      /* drain first, then call again */
    SCHAN_WANT_VERIFY = 3,     /* the handshake is done; the verdict is missing */
    SCHAN_WANT_CREDENTIAL = 4, /* the server asks for a client certificate: choose, call
                                  schan_engine_provide_credential, then call again */
    SCHAN_WANT_TIME = 5,       /* the time was over before there was a result */
    SCHAN_CLOSED = 6,          /* the peer ended its direction with close_notify */
    SCHAN_ERR_SSPI = -1,       /* a security call failed on an open connection */
    SCHAN_ERR_HANDSHAKE = -2,  /* a security call failed in the handshake */
    SCHAN_ERR_ALERT = -3,      /* the peer sent a fatal alert */
    SCHAN_ERR_PROTOCOL = -4,   /* the peer's bytes are not TLS records */
    SCHAN_ERR_TRUNCATED = -5,  /* TCP ended without close_notify, between two records */
    SCHAN_ERR_TRUNCATED_RECORD = -6, /* TCP ended in a record or in the handshake */
    SCHAN_ERR_CERTIFICATE = -7,      /* the peer's certificate was refused */
    SCHAN_ERR_CREDENTIAL = -8,       /* no credential could be acquired */
    SCHAN_ERR_SOCKET = -9,           /* Winsock; status holds the WSA code */
    SCHAN_ERR_SYSTEM = -10,          /* another Windows call failed */
    SCHAN_ERR_MEMORY = -11,
    SCHAN_ERR_MISUSE = -12,   /* a call that the state does not allow */
    SCHAN_ERR_UNDEFINED = -13 /* this connection has no such value: a channel binding,
                                 keying material */
} schan_result;

/* What a status alone does not tell; schan_cause_text has the words. */
typedef enum schan_cause {
    SCHAN_CAUSE_NONE = 0,
    SCHAN_CAUSE_NO_SERVER_ROLE = 1,          /* this system's Schannel accepts nobody */
    SCHAN_CAUSE_NO_CLIENT_CERTIFICATE = 2,   /* one is required, none was sent */
    SCHAN_CAUSE_REFUSED_AFTER_HANDSHAKE = 3, /* TLS 1.3: the peer's first answer behind
                                                the handshake is a failure (B48) */
    SCHAN_CAUSE_LARGE_HANDSHAKE = 4,         /* more than 64 KiB of it (B31) */
    SCHAN_CAUSE_PEER_CHANGED = 5, /* a renegotiation brought another certificate or ALPN
                                      protocol */
    SCHAN_CAUSE_UNREAD_ANSWERS =
        6 /* the peer goes on asking and takes no answer (B63) */
} schan_cause;

/* Filled by every failing call that takes one; the caller owns it. */
typedef struct schan_error {
    schan_result result;
    int32_t status; /* SECURITY_STATUS, HRESULT or WSA code; 0 when there is none */
    int32_t alert;  /* TLS alert description received or sent; -1 when there is none */
    int32_t cause;  /* a schan_cause */
    const char *call; /* static string: the Windows function that failed, or NULL */
    char detail[96];  /* printable ASCII, may be empty: what was met instead of what was
                         expected */
} schan_error;

typedef struct schan_text {
    int32_t code;
    const char *name;     /* "SEC_E_UNTRUSTED_ROOT" */
    const char *sentence; /* what it means; no trailing dot */
    const char *hint;     /* what to do about it, or NULL */
} schan_text;

/* Name, sentence and hint of a status or WSA code; of a TLS alert; of a schan_cause.
 * Static; NULL when the code has no row. */
const schan_text *schan_status_text(int32_t status);
const schan_text *schan_alert_text(int32_t alert);
const schan_text *schan_cause_text(int32_t cause);

/* ---------------------------------------------------------------- handles */

typedef struct schan_span {
    const uint8_t *data;
    size_t size;
} schan_span;

typedef struct schan_library schan_library; /* the two tables of Windows functions */
typedef struct schan_credential schan_credential; /* SSPI CredHandle */
typedef struct schan_identity schan_identity; /* a certificate and its private key */
typedef struct schan_trust schan_trust;       /* what certificate chains may end in */
typedef struct schan_engine schan_engine;     /* one TLS connection, no I/O */
typedef struct schan_verification
    schan_verification;                   /* one certificate chain being judged */
typedef struct schan_socket schan_socket; /* an engine on a connected socket */
typedef struct schan_system schan_system; /* schan_system.h */

/* ---------------------------------------------------------------- library */

/*
 * Loads the security package's function table. `function_table` is a
 * PSecurityFunctionTableW to use instead of Windows' own, `system` a table to use
 * instead of crypt32, bcrypt and ws2_32; both may be NULL and must outlive the library.
 * Free with schan_library_free. Does not block. Results: SCHAN_ERR_SYSTEM,
 * SCHAN_ERR_MEMORY.
 */
SCHAN_MUST_CHECK schan_result schan_library_new(schan_library **out,
                                                const void *function_table,
                                                const schan_system *system,
                                                schan_error *err);
void schan_library_free(schan_library *library);

/* Windows' own functions, to copy and change. Static. */
const schan_system *schan_system_default(void);

/* ------------------------------------------------------------- credential */

/* Protocol versions, a bit set. */
#define SCHAN_TLS_1_0 1
#define SCHAN_TLS_1_1 2
#define SCHAN_TLS_1_2 4
#define SCHAN_TLS_1_3 8

/* Which of the two structures Windows took: schan_credential_kind. */
#define SCHAN_KIND_SCH_CREDENTIALS 5
#define SCHAN_KIND_SCHANNEL_CRED   4

typedef struct schan_credential_config {
    uint32_t protocols;   /* SCHAN_TLS_* that may be offered */
    int check_revocation; /* ask the server for a stapled OCSP response */
    int allow_weak_crypto;
    int is_server;            /* accepts connections; needs an identity */
    schan_identity *identity; /* what to present; NULL: none. Kept alive as long as the
                                 credential */
    int disable_resumption;   /* no session is resumed, none is kept for later */
} schan_credential_config;

/*
 * Acquires a credential; Windows is never asked to choose a certificate by itself. A
 * server needs an identity. Free with schan_credential_free. Results:
 * SCHAN_ERR_CREDENTIAL, SCHAN_ERR_MEMORY.
 */
SCHAN_MUST_CHECK schan_result
schan_credential_new(schan_credential **out, schan_library *library,
                     const schan_credential_config *config, schan_error *err);
void schan_credential_free(schan_credential *credential);
int schan_credential_kind(const schan_credential *credential);

/* --------------------------------------------------------------- identity */

/*
 * A certificate with its private key, and the certificates between it and its anchor.
 * Shared by credentials; what was imported for it is deleted from disk with the last of
 * them. Free with schan_identity_free. All of this may take milliseconds, and longer
 * where the key lives in hardware.
 */

typedef struct schan_identity_config {
    int is_server;    /* for serverAuth; else for clientAuth */
    int machine_keys; /* keep an imported key in the machine's key set, not the user's */
    int ephemeral;    /* PFX only: nothing on disk; Windows cannot use such a key in all
                         handshakes */
} schan_identity_config;

/*
 * A PFX (PKCS #12). Its private key is imported anew, under a name of its own. Keys
 * that dead processes left behind are deleted on this occasion. `password` NULL: none.
 * With several private keys the one that is valid now and meant for the purpose is
 * taken, if it is one. Results: SCHAN_ERR_CREDENTIAL, SCHAN_ERR_MEMORY.
 */
SCHAN_MUST_CHECK schan_result schan_identity_from_pfx(
    schan_identity **out, schan_library *library, schan_span pfx,
    const wchar_t *password, const schan_identity_config *config, schan_error *err);

/* What the bytes of a private key are. */
#define SCHAN_KEY_RSA 1 /* BCRYPT_RSAFULLPRIVATE_BLOB */
#define SCHAN_KEY_ECC 2 /* BCRYPT_ECCPRIVATE_BLOB */

/*
 * A private key, imported as that of a PFX, and its certificate, DER: the first of
 * `certificates`; the others lead to the anchor. Results: SCHAN_ERR_CREDENTIAL,
 * SCHAN_ERR_MEMORY, SCHAN_ERR_MISUSE (no certificate).
 */
SCHAN_MUST_CHECK schan_result schan_identity_from_key(
    schan_identity **out, schan_library *library, const schan_span *certificates,
    size_t count, int key_type, schan_span key, const schan_identity_config *config,
    schan_error *err);

/* Looks for a certificate in a system store. */
typedef struct schan_search_config {
    const wchar_t *store;
    int local_machine;      /* else the current user's store */
    schan_span thumbprint;  /* SHA-1 or SHA-256, 20 or 32 bytes; empty: any */
    const wchar_t *subject; /* a part of the subject's text (schan_certificate_name);
                               ASCII letters match in both cases. NULL: any */
    int is_server;
} schan_search_config;

typedef enum schan_fitness {
    SCHAN_FITNESS_GOOD = 0,
    SCHAN_FITNESS_NO_KEY = 1,
    SCHAN_FITNESS_EXPIRED = 2,
    SCHAN_FITNESS_NOT_YET_VALID = 3,
    SCHAN_FITNESS_WRONG_USAGE = 4,      /* no clientAuth, or no serverAuth */
    SCHAN_FITNESS_KEY_OUT_OF_REACH = 5, /* `status` tells why */
} schan_fitness;

/* A certificate of that thumbprint or subject; what it points to lives as long as the
 * search. */
typedef struct schan_candidate {
    schan_span certificate;
    schan_fitness fitness;
    int32_t status;
    const wchar_t *container; /* of its private key; NULL when there is none */
    const wchar_t *provider;
} schan_candidate;

typedef struct schan_search schan_search;

/* Free with schan_search_free. Results: SCHAN_ERR_CREDENTIAL, SCHAN_ERR_MEMORY,
 * SCHAN_ERR_SYSTEM (digest), SCHAN_ERR_MISUSE (size of the thumbprint). */
SCHAN_MUST_CHECK schan_result schan_search_new(schan_search **out,
                                               schan_library *library,
                                               const schan_search_config *config,
                                               schan_error *err);
void schan_search_free(schan_search *search);
size_t schan_search_count(const schan_search *search);
schan_candidate schan_search_candidate(const schan_search *search, size_t index);
/* The good candidate that is valid longest; schan_search_count when none is good. */
size_t schan_search_best(const schan_search *search);
/* Results: SCHAN_ERR_MISUSE (not a good candidate), SCHAN_ERR_MEMORY. */
SCHAN_MUST_CHECK schan_result schan_identity_from_search(schan_identity **out,
                                                         schan_search *search,
                                                         size_t index,
                                                         schan_error *err);

void schan_identity_free(schan_identity *identity);
/* The certificate, DER; borrowed. */
schan_span schan_identity_certificate(const schan_identity *identity);
/* Whether it came with certificates that Windows will not send: Schannel takes them
 * from the stores of machine and user only. */
int schan_identity_misses_intermediates(const schan_identity *identity);

/* Deletes all private keys that identities of this library have imported, for the end
 * of a process: those identities are of no use afterwards. */
void schan_library_delete_keys(schan_library *library);
/* Who asks, as Windows names the account; "" when it cannot be told. */
void schan_library_account(schan_library *library, wchar_t *text, size_t capacity);

/* ------------------------------------------------------------------ trust */

/*
 * A set of trust anchors, DER. With `exclusive` a chain must end in one of them;
 * without, one of the machine's roots will do as well. An anchor need not be
 * self-signed. Free with schan_trust_free. May take milliseconds: build one, use it for
 * many connections. Results: SCHAN_ERR_SYSTEM (status tells what is wrong with a
 * certificate), SCHAN_ERR_MEMORY.
 */
SCHAN_MUST_CHECK schan_result schan_trust_from_roots(schan_trust **out,
                                                     schan_library *library,
                                                     const uint8_t *const *roots,
                                                     const size_t *sizes, size_t count,
                                                     int exclusive, schan_error *err);

/* The certificates of a system store are the only trust anchors. `local_machine`: else
 * the current user's store. */
SCHAN_MUST_CHECK schan_result schan_trust_from_store(schan_trust **out,
                                                     schan_library *library,
                                                     const wchar_t *name,
                                                     int local_machine,
                                                     schan_error *err);
void schan_trust_free(schan_trust *trust);

/* ----------------------------------------------------------------- engine */

typedef enum schan_state {
    SCHAN_STATE_START = 0,
    SCHAN_STATE_HANDSHAKE = 1,
    SCHAN_STATE_VERIFY = 2,
    SCHAN_STATE_OPEN = 3,
    SCHAN_STATE_POST_HANDSHAKE = 4,
    SCHAN_STATE_FAILED = 5
} schan_state;

/* What a client does when the server of a TLS <= 1.2 connection asks for a new
 * handshake. A server refuses what a client asks of that kind. */
#define SCHAN_RENEGOTIATION_NEVER 0 /* the connection fails */
#define SCHAN_RENEGOTIATION_ALLOW                                                      \
    1 /* once, with the same certificate and ALPN protocol */

/* Whether a server asks for a client certificate. */
#define SCHAN_CLIENT_AUTH_NONE     0
#define SCHAN_CLIENT_AUTH_OPTIONAL 1
#define SCHAN_CLIENT_AUTH_REQUIRED                                                     \
    2 /* without one the handshake fails, with an alert */

typedef struct schan_engine_config {
    const wchar_t *server_name; /* sent as SNI; an A-label without trailing dot, or NULL
                                   for none (IP addresses). Servers: not used */
    const uint8_t
        *alpn_protocols; /* RFC 7301 list: each name after its length byte; copied */
    size_t alpn_size;
    uint32_t protocols; /* SCHAN_TLS_* that the result may have; another one fails the
                           handshake */
    int renegotiation;  /* SCHAN_RENEGOTIATION_*; servers: NEVER */
    int asks_for_credential; /* clients: SCHAN_WANT_CREDENTIAL when the server asks for
                                  a certificate and the credential has none */
    int client_authentication; /* SCHAN_CLIENT_AUTH_*; clients: NONE */
} schan_engine_config;

/* The role of an engine is its credential's (is_server). Free with schan_engine_free.
 * Results: SCHAN_ERR_MEMORY, SCHAN_ERR_MISUSE (ALPN list malformed; a setting of the
 * other role). */
SCHAN_MUST_CHECK schan_result schan_engine_new(schan_engine **out,
                                               schan_credential *credential,
                                               const schan_engine_config *config,
                                               schan_error *err);
void schan_engine_free(schan_engine *engine);
schan_state schan_engine_state(const schan_engine *engine);

/*
 * Goes on with the handshake as far as the records fed allow. Drain after every call,
 * whatever it returns: a failing handshake may have an alert to send.
 *
 * One way for both roles: SCHAN_WANT_VERIFY says that there is a peer to be judged, and
 * schan_engine_verified goes on from there; SCHAN_OK says that the connection is open. A
 * client always gets to WANT_VERIFY. A server gets there when the client has shown a
 * certificate; else it is open at once, or fails where one is required.
 *
 * Results: SCHAN_WANT_READ, SCHAN_WANT_VERIFY, SCHAN_WANT_CREDENTIAL, SCHAN_OK;
 * SCHAN_ERR_HANDSHAKE, _ALERT, _PROTOCOL, _TRUNCATED_RECORD, _CERTIFICATE (required, and
 * none was sent), _MEMORY.
 */
SCHAN_MUST_CHECK schan_result schan_engine_handshake(schan_engine *engine,
                                                     schan_error *err);

/*
 * Answers SCHAN_WANT_CREDENTIAL: `credential` (of the same library, for a client) has the
 * identity to present; NULL presents none. It is shared, not taken over. Asked once in a
 * handshake. Results: SCHAN_ERR_MISUSE (nothing was asked, a wrong credential), sticky
 * errors.
 */
SCHAN_MUST_CHECK schan_result schan_engine_provide_credential(
    schan_engine *engine, schan_credential *credential, schan_error *err);

/* Whose certificates the server accepts: a distinguished name, DER; borrowed until
 * schan_engine_provide_credential. Past the end, or when none was named: size 0. */
schan_span schan_engine_issuer(const schan_engine *engine, size_t index);

/* Whether Windows was told, and took it, to resume no session: only then does the
 * credential's disable_resumption hold. Legal from HANDSHAKE on. */
int schan_engine_resumption_is_off(const schan_engine *engine);

/* Records from the network, 0..any size, split anywhere; copied. Results:
 * SCHAN_ERR_MEMORY, sticky errors. */
SCHAN_MUST_CHECK schan_result schan_engine_feed(schan_engine *engine, const void *data,
                                                size_t size, schan_error *err);
/* TCP has ended. Whether that truncates the stream is told by the next handshake or
 * read. */
void schan_engine_feed_eof(schan_engine *engine);
/* Records for the network: copies at most `capacity` bytes and forgets them. */
void schan_engine_drain(schan_engine *engine, void *data, size_t capacity,
                        size_t *size);
/* How many bytes wait to be drained. */
size_t schan_engine_unsent(const schan_engine *engine);

/*
 * Encrypts application data, `count` spans one after the other, into records of the
 * greatest size. `*consumed` tells how many bytes were taken: less than given when 128
 * KiB of records wait to be drained. Results: SCHAN_OK (all taken), SCHAN_WANT_WRITE
 * (drain), SCHAN_WANT_READ (a post-handshake message or a renegotiation has to be
 * completed first), SCHAN_WANT_CREDENTIAL (in a renegotiation), SCHAN_ERR_MISUSE (before
 * the peer is verified, after shutdown), sticky errors.
 */
SCHAN_MUST_CHECK schan_result schan_engine_write(schan_engine *engine,
                                                 const schan_span *spans, size_t count,
                                                 size_t *consumed, schan_error *err);

/*
 * Decrypts into `data`, 1..`capacity` bytes, from as many records as are there.
 * Results: SCHAN_OK; SCHAN_WANT_READ; SCHAN_WANT_CREDENTIAL (only with
 * asks_for_credential and renegotiation allowed); SCHAN_CLOSED after close_notify;
 * SCHAN_ERR_TRUNCATED, SCHAN_ERR_TRUNCATED_RECORD; SCHAN_ERR_MISUSE; sticky errors.
 * Application data decrypted before an error is delivered before the error.
 */
SCHAN_MUST_CHECK schan_result schan_engine_read(schan_engine *engine, void *data,
                                                size_t capacity, size_t *size,
                                                schan_error *err);
/* As read, without a copy: a borrowed view of 1..16384 bytes that stays until
 * schan_engine_consume. */
SCHAN_MUST_CHECK schan_result schan_engine_peek(schan_engine *engine, schan_span *view,
                                                schan_error *err);
/* Takes at most what the view holds. */
void schan_engine_consume(schan_engine *engine, size_t size);
/* Bytes of application data that read returns without being fed. */
size_t schan_engine_pending(schan_engine *engine);
/* Bytes that came behind the peer's close_notify: whatever they are, they are no TLS. */
size_t schan_engine_left_over(const schan_engine *engine);
/* Whether the peer's close_notify has been read. */
int schan_engine_peer_closed(const schan_engine *engine);

/*
 * Queues close_notify: the write direction is over, reading goes on. Legal in every
 * state and more than once. A handshake token that waits for the verdict is dropped, and
 * then nothing is queued: the peer could not read it. Results: SCHAN_OK, also when
 * Windows cannot make the alert; sticky errors.
 */
SCHAN_MUST_CHECK schan_result schan_engine_shutdown(schan_engine *engine,
                                                    schan_error *err);

/* ------------------------------------------------------------------- info */

typedef struct schan_info {
    uint32_t protocol;        /* one SCHAN_TLS_* bit, 0 when unknown */
    uint32_t cipher_strength; /* bits */
    wchar_t
        cipher_suite[64]; /* "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", may be empty */
    uint8_t alpn_size;    /* 0: none negotiated */
    uint8_t alpn[255];
    int session_resumed;      /* 1: an earlier session goes on, 0: not; -1: Windows does
                                 not tell */
    wchar_t key_exchange[64]; /* "ECDHE"; empty when Windows does not tell */
    uint32_t key_exchange_strength; /* bits of its key; 0 when Windows does not tell */
} schan_info;

/* What the handshake agreed on. Legal from VERIFY on. Results: SCHAN_ERR_MISUSE. */
SCHAN_MUST_CHECK schan_result schan_engine_info(const schan_engine *engine,
                                                schan_info *info, schan_error *err);

typedef enum schan_channel_binding {
    SCHAN_BINDING_SERVER_END_POINT = 1, /* "tls-server-end-point", RFC 5929, 4 */
    SCHAN_BINDING_UNIQUE = 2,           /* "tls-unique", RFC 5929, 3 */
    SCHAN_BINDING_EXPORTER = 3          /* "tls-exporter", RFC 9266 */
} schan_channel_binding;

/*
 * Bytes that both ends of this connection know and no other connection has, without the
 * type's name before them. At most 64 bytes. Legal from VERIFY on; trust it from OPEN
 * on. Ask again after a renegotiation. Results:
 * SCHAN_ERR_UNDEFINED: tls-unique under TLS 1.3 or of a resumed session (safe with the
 *     extended master secret only, of which Windows does not tell: RFC 7627, 5.4), or
 *     where Windows gives none; tls-exporter before TLS 1.3 (for the same reason);
 *     tls-server-end-point of a certificate whose signature has no hash function.
 * SCHAN_ERR_SSPI (SEC_E_UNSUPPORTED_FUNCTION: this Windows has none), SCHAN_ERR_SYSTEM,
 * SCHAN_ERR_MISUSE (state; `capacity` too small), sticky errors.
 */
SCHAN_MUST_CHECK schan_result schan_engine_channel_binding(
    schan_engine *engine, schan_channel_binding kind, uint8_t *data, size_t capacity,
    size_t *size, schan_error *err);

/*
 * Fills `data` with `size` bytes of keying material (RFC 8446, 7.5) for a label of
 * 1..249 ASCII characters, which should be registered, and a context of 0..65535 bytes
 * (none and an empty one are the same). TLS 1.3 only, Windows 10 and later. Results: as
 * schan_engine_channel_binding.
 */
SCHAN_MUST_CHECK schan_result schan_engine_export(schan_engine *engine,
                                                  const char *label, schan_span context,
                                                  uint8_t *data, size_t size,
                                                  schan_error *err);

/* ----------------------------------------------------------- verification */

typedef enum schan_revocation {
    SCHAN_REVOCATION_OFF = 0,
    SCHAN_REVOCATION_BEST_EFFORT = 1, /* revoked fails; not to be found out passes */
    SCHAN_REVOCATION_REQUIRED = 2
} schan_revocation;

typedef enum schan_reason {
    SCHAN_REASON_NONE = 0, /* the certificate is good */
    SCHAN_REASON_EXPIRED = 1,
    SCHAN_REASON_NOT_YET_VALID = 2,
    SCHAN_REASON_NAME_MISMATCH = 3,
    SCHAN_REASON_UNKNOWN_CA = 4,
    SCHAN_REASON_SELF_SIGNED = 5,
    SCHAN_REASON_INCOMPLETE_CHAIN = 6,
    SCHAN_REASON_WRONG_USAGE = 7,
    SCHAN_REASON_REVOKED = 8,
    SCHAN_REASON_REVOCATION_UNKNOWN = 9,
    SCHAN_REASON_BAD_SIGNATURE = 10,
    SCHAN_REASON_BAD_CONSTRAINTS = 11,
    SCHAN_REASON_DISTRUSTED = 12,
    SCHAN_REASON_WEAK = 13,
    SCHAN_REASON_NO_CERTIFICATE = 14,
    SCHAN_REASON_TIMED_OUT = 15,
    SCHAN_REASON_OTHER = 16,
    SCHAN_REASON_PIN_MISMATCH = 17
} schan_reason;

typedef struct schan_verify_config {
    const wchar_t *host_name; /* A-label that the certificate must be for, or NULL */
    schan_span ip_address; /* 4 or 16 bytes that the certificate must be for, or size 0;
                              both missing: any host */
    schan_revocation revocation;
    uint32_t url_timeout_ms; /* for everything Windows fetches on the way: CRL, OCSP,
                                intermediates */
    int cache_only; /* nothing is fetched: only what the machine has, and the stapled OCSP
                       response, counts */
    int peer_is_client;  /* clientAuth instead of serverAuth, and no name */
    const uint8_t *pins; /* SHA-256 of a SubjectPublicKeyInfo, 32 bytes each: the peer's
                            own certificate must have one of these keys besides */
    size_t pin_count;    /* 0: any key */
    int pins_only; /* neither chain nor name is judged: the key alone says who the peer
                      is */
} schan_verify_config;

typedef struct schan_verdict {
    schan_reason reason;
    int32_t status;        /* CERT_E_*, CRYPT_E_*, TRUST_E_*; 0 when good */
    uint32_t trust_status; /* CERT_TRUST_* bits of the chain */
    size_t failing_index;  /* which certificate of the chain */
} schan_verdict;

/*
 * Starts to judge the peer's certificate on a thread of Windows' pool and returns at
 * once. The verification keeps all it needs: it may be freed while Windows is still
 * busy. `trust` NULL means the machine's roots. Free with schan_verification_free.
 * Results: SCHAN_ERR_MISUSE (before VERIFY), SCHAN_ERR_MEMORY, SCHAN_ERR_SYSTEM.
 */
SCHAN_MUST_CHECK schan_result schan_verification_new(schan_verification **out,
                                                     schan_engine *engine,
                                                     schan_trust *trust,
                                                     const schan_verify_config *config,
                                                     schan_error *err);
void schan_verification_free(schan_verification *job);

/* Waits at most `timeout_ms`. Results: SCHAN_OK (the verdict is there, good or bad),
 * SCHAN_WANT_TIME. */
SCHAN_MUST_CHECK schan_result schan_verification_wait(schan_verification *job,
                                                      uint32_t timeout_ms,
                                                      schan_verdict *verdict);

/* The chain as Windows built it, leaf first; borrowed DER, valid once wait has returned
 * SCHAN_OK. Past its end: size 0. */
schan_span schan_verification_certificate(const schan_verification *job, size_t index);

/*
 * Tells the engine the verdict. A good one opens the connection and queues the token that
 * waited for it: with an identity, a client's last token leaves only now, because under
 * TLS 1.3 it holds the identity. Drain after it. A bad verdict queues the fitting fatal
 * alert where Windows can make it and the peer can read it, and fails the engine for good.
 * Results: SCHAN_OK, SCHAN_ERR_CERTIFICATE, SCHAN_ERR_MISUSE.
 */
SCHAN_MUST_CHECK schan_result schan_engine_verified(schan_engine *engine,
                                                    const schan_verdict *verdict,
                                                    schan_error *err);

/* The certificate the peer sent, DER; borrowed from the engine. size 0 when there is
 * none. */
schan_span schan_engine_peer_certificate(schan_engine *engine);
/*
 * All certificates the peer sent, as above: its own first (index 0), then each one's
 * issuer, then what belongs to none of these. Windows keeps them in a store without
 * order, so this is the order of RFC 8446, 4.4.2 and not always the one on the wire.
 * Past their end: size 0.
 */
schan_span schan_engine_sent_certificate(schan_engine *engine, size_t index);

/* ------------------------------------------------------------ certificates */

#define SCHAN_NAME_SUBJECT 0
#define SCHAN_NAME_ISSUER  1

typedef enum schan_digest_algorithm {
    SCHAN_SHA1 = 1,
    SCHAN_SHA256 = 2,
    SCHAN_SHA384 = 3,
    SCHAN_SHA512 = 4
} schan_digest_algorithm;

/* X.500 name as text; `*size` counts wchar_t without the NUL, and tells the need when
 * `capacity` is too small. */
SCHAN_MUST_CHECK schan_result schan_certificate_name(schan_library *library,
                                                     schan_span der, int which,
                                                     wchar_t *text, size_t capacity,
                                                     size_t *size, schan_error *err);
/* Validity, seconds since 1970-01-01 UTC. */
SCHAN_MUST_CHECK schan_result schan_certificate_validity(schan_library *library,
                                                         schan_span der,
                                                         int64_t *not_before,
                                                         int64_t *not_after,
                                                         schan_error *err);
/* The DER of the SubjectPublicKeyInfo inside a certificate; borrowed from `der`. size 0
 * when it is malformed. */
schan_span schan_certificate_public_key(schan_span der);
/* Digest by CNG: 20 bytes for SHA-1, 32 for SHA-256, 48 for SHA-384, 64 for SHA-512. */
SCHAN_MUST_CHECK schan_result schan_digest(schan_library *library,
                                           schan_digest_algorithm algorithm,
                                           schan_span data, uint8_t *digest,
                                           size_t capacity, size_t *size,
                                           schan_error *err);

/*
 * Whether a certificate whose subjectAltName extension has this DER value is for
 * `host_name` (RFC 9525): DNS names without regard to case, a wildcard only as the
 * whole left-most label, IP addresses byte by byte. Never looks at the subject.
 */
int schan_host_name_matches(schan_span subject_alt_name, const wchar_t *host_name,
                            schan_span ip_address);

/* ----------------------------------------------------------------- socket */

/*
 * Drives an engine over a connected, non-blocking SOCKET that stays the caller's. Takes
 * the engine over on success. Every call below waits at most `timeout_ms` for the
 * network and then returns SCHAN_WANT_TIME with nothing lost; 0 never waits. Free with
 * schan_socket_free, when no other thread is inside a call. Results: SCHAN_ERR_MEMORY.
 */
SCHAN_MUST_CHECK schan_result schan_socket_new(schan_socket **out, schan_engine *engine,
                                               uintptr_t handle, schan_error *err);
void schan_socket_free(schan_socket *self);
/* Borrowed. Not locked: for calls between handshake and verdict, and for facts that no
 * longer change. */
schan_engine *schan_socket_engine(schan_socket *self);

/*
 * For a socket that is about to connect to this machine itself: a port where nobody
 * listens refuses at once, not after two seconds of retried SYNs. Does nothing where
 * Windows does not know that (before 10 version 1709), and cannot fail.
 */
void schan_socket_refuse_at_once(schan_library *library, uintptr_t handle);

/* Results: as schan_engine_handshake, and SCHAN_WANT_TIME, SCHAN_ERR_SOCKET. */
SCHAN_MUST_CHECK schan_result schan_socket_handshake(schan_socket *self,
                                                     uint32_t timeout_ms,
                                                     schan_error *err);
/* Results: as schan_engine_read, and SCHAN_WANT_TIME, SCHAN_ERR_SOCKET. */
SCHAN_MUST_CHECK schan_result schan_socket_recv(schan_socket *self, void *data,
                                                size_t capacity, size_t *size,
                                                uint32_t timeout_ms, schan_error *err);
/* Results: as schan_engine_peek, and SCHAN_WANT_TIME, SCHAN_ERR_SOCKET. The view lasts
 * until schan_socket_consume. */
SCHAN_MUST_CHECK schan_result schan_socket_peek(schan_socket *self, schan_span *view,
                                                uint32_t timeout_ms, schan_error *err);
void schan_socket_consume(schan_socket *self, size_t size);
/*
 * Encrypts and sends; `*consumed` counts the application data taken over. With SCHAN_OK
 * all of it has left; with SCHAN_WANT_TIME some records may wait here and leave first
 * in the next call: never give consumed bytes again.
 */
SCHAN_MUST_CHECK schan_result schan_socket_send(schan_socket *self,
                                                const schan_span *spans, size_t count,
                                                size_t *consumed, uint32_t timeout_ms,
                                                schan_error *err);
/* Queues close_notify and sends what is queued. */
SCHAN_MUST_CHECK schan_result schan_socket_shutdown(schan_socket *self,
                                                    uint32_t timeout_ms,
                                                    schan_error *err);
/* Sends what is queued, a fatal alert for instance; also on a failed engine. */
SCHAN_MUST_CHECK schan_result schan_socket_flush(schan_socket *self,
                                                 uint32_t timeout_ms, schan_error *err);
/* As the functions of the engine, at any time and from any thread. */
SCHAN_MUST_CHECK schan_result schan_socket_info(schan_socket *self, schan_info *info,
                                                schan_error *err);
SCHAN_MUST_CHECK schan_result schan_socket_channel_binding(
    schan_socket *self, schan_channel_binding kind, uint8_t *data, size_t capacity,
    size_t *size, schan_error *err);
/* As schan_engine_provide_credential, while no other thread is inside the engine. */
SCHAN_MUST_CHECK schan_result schan_socket_provide_credential(
    schan_socket *self, schan_credential *credential, schan_error *err);
SCHAN_MUST_CHECK schan_result schan_socket_export(schan_socket *self, const char *label,
                                                  schan_span context, uint8_t *data,
                                                  size_t size, schan_error *err);
size_t schan_socket_pending(schan_socket *self);
/* Whether recv would return without waiting: data, close_notify, an error. A socket whose
   records were received already does not become readable for select. */
int schan_socket_has_pending(schan_socket *self);
/* Whether records wait to be sent; the next sending call begins with them. */
int schan_socket_has_unsent(schan_socket *self);

/* [/cdef] */

#endif
