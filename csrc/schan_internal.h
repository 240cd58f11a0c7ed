/*
 * schan_internal.h - what the files of the library share, and nobody else
 *
 * Who may call whom, downwards only:
 *
 *     socket.c
 *     stream.c
 *     renegotiation.c
 *     engine.c
 *     handshake.c
 *     info.c binding.c peer.c verify.c
 *     alert.c
 *     security_context.c client_hello.c record.c
 *     credential.c pfx.c search.c
 *     identity.c
 *     key.c
 *     key_journal.c
 *     key_cng.c key_capi.c store.c certificate.c digest.c host_name.c failure.c
 *     provider.c buffer.c status.c der.c
 *
 * provider.c holds the two tables of Windows functions.
 *
 * B1 ... B103 in comments number the behaviours of Windows that the line answers:
 * tests/behaviours.md lists them with the tests that hold each.
 */
#ifndef SCHAN_INTERNAL_H
#define SCHAN_INTERNAL_H

#include "schan_windows.h"

#include <stdbool.h>
#include <string.h>

#include "schan.h"
#include "schan_system.h"

/* ---------------------------------------------------------------- buffer.c */

/* A queue of bytes: taken at head, added at tail. Wiped wherever bytes are left behind.
 */
typedef struct {
    uint8_t *data;
    size_t head;
    size_t tail;
    size_t capacity;
} schan__buffer;

size_t schan__buffer_size(const schan__buffer *buffer);
uint8_t *schan__buffer_head(const schan__buffer *buffer);
uint8_t *schan__buffer_tail(const schan__buffer *buffer);
size_t schan__buffer_room(const schan__buffer *buffer);
/* Makes room for `size` more bytes at the tail; may move what is there. False: no
 * memory, nothing changed. */
bool schan__buffer_reserve(schan__buffer *buffer, size_t size);
bool schan__buffer_append(schan__buffer *buffer, const void *data, size_t size);
void schan__buffer_commit(schan__buffer *buffer, size_t size);
/* May free what is empty then: no pointer into it is good any more. */
void schan__buffer_consume(schan__buffer *buffer, size_t size);
/* Takes `gap` bytes out that begin `offset` behind the head: what stands before them
 * moves up. */
void schan__buffer_close_gap(schan__buffer *buffer, size_t offset, size_t gap);
void schan__buffer_free(schan__buffer *buffer);

/* ---------------------------------------------------------------- status.c */

/* Fills `err` (may be NULL) and returns `result`. */
schan_result schan__fail(schan_error *err, schan_result result, int32_t status,
                         const char *call);
/* As __fail, with up to 90 bytes of the peer's in printable form. */
schan_result schan__fail_with(schan_error *err, schan_result result,
                              const uint8_t *bytes, size_t size);

/* ------------------------------------------------------------------- der.c */

typedef struct {
    uint8_t tag;
    schan_span content;
    schan_span whole; /* with tag and length */
} schan__der;

/* Takes the first element off `rest`; false when there is none or its length is not
 * canonical DER. */
bool schan__der_next(schan_span *rest, schan__der *out);
/* Takes it off, and tells whether it had this tag. */
bool schan__der_skip(schan_span *rest, uint8_t tag);
/* Goes on inside the first element; false when it has another tag. */
bool schan__der_enter(schan_span *rest, uint8_t tag);

/* -------------------------------------------------------------- provider.c */

/* What Wine does otherwise than Windows. All false on Windows and with a function table
 * of the caller's. */
typedef struct {
    bool close_notify_is_empty;  /* B64: no SEC_I_CONTEXT_EXPIRED */
    bool protocol_zero_is_tls13; /* B100: dwProtocol is 0 under TLS 1.3 */
    bool handles_are_unlocked;   /* Wine < 9: one unlocked table of handles (B74) */
    bool keys_are_capi_only; /* B87: ncrypt keeps no keys, and PFX flags of CNG fail */
} schan__quirks;

typedef struct schan__key schan__key;

struct schan_library {
    volatile LONG references;
    const SecurityFunctionTableW *sspi;
    const schan_system *system;
    schan__quirks quirks;
    SRWLOCK handle_lock; /* taken only where handles_are_unlocked */
    SRWLOCK key_lock;
    schan__key *keys; /* on disk because of us; the first of a list, under key_lock */
};

/* Around a call that makes or deletes an SSPI handle (`exclusive`), or uses one. Costs
 * Windows one test of a bool. */
void schan__sspi_enter(schan_library *library, bool exclusive);
void schan__sspi_leave(schan_library *library, bool exclusive);

schan_library *schan__library_share(schan_library *library);
/* Checked narrowing to Windows' 32-bit lengths; false when it does not fit. */
bool schan__to_ulong(size_t size, ULONG *narrow);
void *schan__allocate(size_t size); /* zeroed */
void schan__release(void *memory);

/* ------------------------------------------------------------------- key.c */

typedef enum {
    SCHAN__KEY_PKCS8 = 0,           /* as CNG exports it */
    SCHAN__KEY_RSA = SCHAN_KEY_RSA, /* BCRYPT_RSAFULLPRIVATE_BLOB */
    SCHAN__KEY_ECC = SCHAN_KEY_ECC, /* BCRYPT_ECCPRIVATE_BLOB */
    SCHAN__KEY_CAPI = 3             /* PRIVATEKEYBLOB, as CryptoAPI exports it */
} schan__key_type;

#define SCHAN__KEY_NAME_SIZE 65 /* with its NUL */
/* NCRYPT_MAX_KEY_NAME_LENGTH, its NUL, and one that a note in the registry may lack. */
#define SCHAN__CONTAINER_SIZE 514

/* A private key on disk that is ours to delete. */
struct schan__key {
    schan_library *library; /* borrowed */
    wchar_t
        name[SCHAN__KEY_NAME_SIZE]; /* tells whose it is; its container, too, unless */
    wchar_t container[SCHAN__CONTAINER_SIZE]; /* Windows chose this one */
    bool is_machine;
    bool is_there; /* in the library's list; under its key_lock */
    schan__key *next;
    schan__key *previous;
};

/* Names of key containers, found in a key set. */
typedef struct {
    wchar_t (*names)[SCHAN__KEY_NAME_SIZE];
    size_t capacity;
    size_t count;
} schan__key_names;

/* One of Windows' two ways to keep keys (key_cng.c, key_capi.c). */
typedef struct {
    schan_result (*import)(const schan__key *key, schan__key_type type, schan_span blob,
                           schan_error *err);
    void (*remove)(schan_library *library, bool is_machine, const wchar_t *name);
    /* Adds the names that `is_wanted` wants, as far as there is room. */
    void (*list)(schan_library *library, bool is_machine,
                 bool (*is_wanted)(schan_library *library, const wchar_t *name),
                 schan__key_names *out);
    /* Takes the private key out of a certificate whose key is not on disk. */
    schan_result (*export)(schan_library *library, PCCERT_CONTEXT certificate,
                           schan__key_type *type, schan__buffer *out, schan_error *err);
    const wchar_t *provider; /* of CRYPT_KEY_PROV_INFO, as are the other two */
    DWORD provider_type;
    DWORD key_spec;
    DWORD pfx_flags;           /* for PFXImportCertStore */
    bool can_stay_where_it_is; /* a key that may not be exported */
} schan__key_ways;

extern const schan__key_ways schan__key_cng;
extern const schan__key_ways schan__key_capi;

/* The one that works here. */
const schan__key_ways *schan__key_ways_of(const schan_library *library);
/* Deletes what dead processes left, then keeps `blob` under a new name. */
schan_result schan__key_import(schan__key *out, schan_library *library, bool is_machine,
                               schan__key_type type, schan_span blob, schan_error *err);
/* Takes a key over that is in a container of Windows' choice. */
schan_result schan__key_adopt(schan__key *out, schan_library *library, bool is_machine,
                              const wchar_t *container, schan_error *err);
/* Tells the certificate where its private key is. */
schan_result schan__key_bind(const schan__key *key, PCCERT_CONTEXT certificate,
                             schan_error *err);
bool schan__same_text(const wchar_t *one, const wchar_t *other);
/* Harmless when there is none. */
void schan__key_delete(schan__key *key);

/* ----------------------------------------------------------- key_journal.c */

typedef struct {
    wchar_t user[SCHAN__KEY_NAME_SIZE]; /* schan__key.name */
    wchar_t container[SCHAN__CONTAINER_SIZE];
} schan__note;

schan_result schan__journal_note(const schan__key *key, schan_error *err);
void schan__journal_forget(const schan__key *key);
/* Returns how many notes were wanted and written to `out`. */
size_t schan__journal_find(schan_library *library, bool is_machine,
                           bool (*is_wanted)(schan_library *library,
                                             const schan__note *note,
                                             const void *wanted),
                           const void *wanted, schan__note *out, size_t capacity);

/* -------------------------------------------------------------- identity.c */

struct schan_identity {
    volatile LONG references;
    schan_library *library;
    HCERTSTORE store; /* where the certificate and those above it are */
    PCCERT_CONTEXT certificate;
    schan__key key;
    bool misses_intermediates;
};

/* Takes `store` and `certificate` over, also when it fails. */
schan_result schan__identity_new(schan_identity **out, schan_library *library,
                                 HCERTSTORE store, PCCERT_CONTEXT certificate,
                                 schan_error *err);
/* As the public function, for any type of key. */
schan_result schan__identity_from_key(schan_identity **out, schan_library *library,
                                      const schan_span *certificates, size_t count,
                                      schan__key_type type, schan_span key,
                                      bool is_machine, schan_error *err);
/* What is left to do once certificate and key are together: tries the key, and looks
 * for the certificates above. */
schan_result schan__identity_finish(schan_identity *identity, schan_error *err);
schan_identity *schan__identity_share(schan_identity *identity);
/* Whether the private key can be used without asking anyone: ERROR_SUCCESS, or why not. */
int32_t schan__identity_probe_key(schan_library *library, PCCERT_CONTEXT certificate);
/* Where its private key is; NULL: not told, or no memory. Free with schan__release. */
CRYPT_KEY_PROV_INFO *schan__identity_place_of_key(const schan_system *system,
                                                  PCCERT_CONTEXT certificate);
/* Is it valid now, meant for the purpose, and is there a private key? */
schan_fitness schan__identity_fitness(schan_library *library,
                                      PCCERT_CONTEXT certificate, bool is_server);

/* ----------------------------------------------------------- certificate.c */

/* By their bytes; two that are not there are the same. */
bool schan__certificate_is_same(PCCERT_CONTEXT one, PCCERT_CONTEXT other);
bool schan__certificate_is_same_name(const CERT_NAME_BLOB *one,
                                     const CERT_NAME_BLOB *other);

/* ------------------------------------------------------------ credential.c */

struct schan_credential {
    volatile LONG references;
    schan_library *library;
    CredHandle handle;
    int kind;
    bool is_server;
    schan_identity *identity; /* NULL: none */
    bool resumption_is_off;
};

schan_credential *schan__credential_share(schan_credential *credential);

/* ----------------------------------------------------------------- store.c */

struct schan_trust {
    volatile LONG references;
    schan_library *library;
    HCERTSTORE anchors;
    HCERTCHAINENGINE chain_engine;
    bool exclusive;
};

schan_trust *schan__trust_share(schan_trust *trust);

/* ---------------------------------------------------------------- engine.c */

/* One choice in the handshake, one in a renegotiation. */
enum { SCHAN__MOST_CHOICES = 2 };

struct schan_engine {
    schan_credential *credential;
    schan_credential *earlier[SCHAN__MOST_CHOICES]; /* the security context began with
                                                       these */
    unsigned choices;
    schan_library *library;
    bool is_server;
    bool may_renegotiate;
    bool asks_for_credential;
    bool wants_credential; /* SSPI stands still until the caller has chosen */
    bool has_chosen;       /* in this handshake */
    int client_authentication;
    SecPkgContext_IssuerListInfoEx issuers; /* SSPI's memory */
    wchar_t *server_name;
    void *alpn_offer; /* SEC_APPLICATION_PROTOCOLS */
    ULONG alpn_offer_size;
    uint32_t protocols;

    CtxtHandle handle;
    bool has_handle;
    schan_state state;
    schan_error failure; /* the first error; result SCHAN_OK until then */
    bool local_closed;
    bool peer_closed;
    bool is_eof;          /* TCP has ended */
    int32_t peeked_alert; /* alert seen in the clear before SSPI got it, or -1 (B30) */
    int32_t sent_alert;   /* alert of ours that could be read, or -1 */
    bool resumption_is_off;
    bool is_renegotiating;
    bool needs_hello; /* the renegotiation brought no bytes for SSPI to begin with */
    bool has_renegotiated;
    bool has_read; /* the peer has sent application data or close_notify */
    size_t handshake_bytes;

    SecPkgContext_StreamSizes sizes;
    PCCERT_CONTEXT peer;  /* valid from VERIFY on */
    PCCERT_CONTEXT *sent; /* what came with it, in an order of our own (peer.c) */
    size_t sent_count;
    schan_info info;

    /* incoming: records from the network, the first maybe decrypted in place; outgoing:
       tokens and records for the network; spill: application data that came together
       with a post-handshake message (B59); shown: what of that is read first; held: the
       token that holds our identity, until the peer is verified (B85). */
    schan__buffer incoming;
    schan__buffer outgoing;
    schan__buffer spill;
    schan__buffer shown;
    schan__buffer held;

    /* Bytes at the head of incoming that SSPI has seen and wants to see again as they
       are, never framed anew (B58); with claim_wants_record, together with the record
       that follows them (B21). */
    size_t claimed;
    bool claim_wants_record;
    unsigned credential_requests;
    size_t record_size;  /* of the decrypted record at the head of incoming; 0: none */
    size_t plain_offset; /* its unread application data, counted from the head */
    size_t plain_size;
};

/* Which bytes at the head of incoming SSPI gets next: what it has claimed, the next whole
   record, or both. Results: SCHAN_OK, SCHAN_WANT_READ, sticky and truncation errors. */
schan_result schan__engine_next_input(schan_engine *engine, size_t *size, uint8_t *type,
                                      schan_error *err);

/* --------------------------------------------------------------- failure.c */

/* Makes the error sticky (first one wins), copies it out, returns its result. */
schan_result schan__engine_fail(schan_engine *engine, schan_result result,
                                int32_t status, const char *call, schan_error *err);
/* The same, with what the status does not tell. */
schan_result schan__engine_fail_because(schan_engine *engine, schan_result result,
                                        int32_t status, const char *call,
                                        schan_cause cause, schan_error *err);
/* Copies the failure out and returns its result. */
schan_result schan__engine_sticky(const schan_engine *engine, schan_error *err);

/* ---------------------------------------------------------- client_hello.c */

/* Which SCHAN_TLS_* the ClientHello that begins in this record offers; false when it is
 * none, or is not whole. */
bool schan__client_hello_versions(const uint8_t *record, size_t size,
                                  uint32_t *versions);

/* ------------------------------------------------------ security_context.c */

/* What a call that advances the security context gave back. */
typedef struct {
    SecBuffer buffers[3];
    ULONG flags;
} schan__output;

SecBuffer schan__sspi_buffer(ULONG type, void *data, ULONG size);
SecBufferDesc schan__sspi_description(SecBuffer *buffers, ULONG count);
/* Initialize- or AcceptSecurityContext, as the engine's role is; the first call makes the
 * security context. `input` may be NULL. */
SECURITY_STATUS schan__sspi_advance(schan_engine *engine, SecBufferDesc *input,
                                    schan__output *out);
/* The name of that function. */
const char *schan__sspi_function(const schan_engine *engine);
/* B35: whether the security context is what was asked for, in all that counts. */
bool schan__sspi_is_as_asked(const schan_engine *engine, const schan__output *out);
/* Queues what SSPI wants sent and gives its memory back; false: no memory. */
bool schan__sspi_queue_tokens(schan_engine *engine, schan__output *out,
                              schan__buffer *queue);
/* Gives the memory back; nothing is sent. */
void schan__sspi_drop_tokens(schan_engine *engine, schan__output *out);
/* ApplyControlToken; false when Windows cannot or will not. */
bool schan__sspi_control(schan_engine *engine, void *control, size_t size);
void schan__sspi_delete(schan_engine *engine);
/* B29: whose certificates the server accepts; gives back what was fetched before. */
void schan__sspi_fetch_issuers(schan_engine *engine);
void schan__sspi_free_issuers(schan_engine *engine);

/* ----------------------------------------------------------------- alert.c */

/* Notes an alert in the clear in the record behind what is claimed (B30). */
void schan__alert_peek(schan_engine *engine, size_t size, uint8_t type);
/* Notes an alert of ours that stands alone, and in the clear, behind the first `offset`
 * bytes of outgoing. */
void schan__alert_note_sent(schan_engine *engine, size_t offset);
/* Queues a fatal alert that Windows makes (B45); false when it cannot, or the peer could
 * not read it. */
bool schan__alert_send(schan_engine *engine, uint8_t description);
/* Queues a fatal alert in the clear, for a peer with whom there are no keys yet (B80). */
void schan__alert_write(schan_engine *engine, uint8_t description);
/* Queues close_notify where Windows can make it (B68) and the peer could read it. */
void schan__alert_close(schan_engine *engine);
/* RFC 8446, 6.2: what tells the peer why its certificate was refused (B45). */
uint8_t schan__alert_for(schan_reason reason);

enum {
    SCHAN__ALERT_HANDSHAKE_FAILURE = 40,
    SCHAN__ALERT_PROTOCOL_VERSION = 70,
    SCHAN__ALERT_CERTIFICATE_REQUIRED = 116
};

/* ------------------------------------------------------------- handshake.c */

typedef enum {
    SCHAN__STEP_DONE,
    SCHAN__STEP_AGAIN,       /* go on with the next record, or with what is claimed */
    SCHAN__STEP_WANT_RECORD, /* nothing was consumed: the same bytes again, and the next
                                record */
    SCHAN__STEP_WANT_CREDENTIAL, /* nothing was consumed: the same bytes again */
} schan__step;

/* A client's first call: no input, makes the security context. */
schan_result schan__handshake_start(schan_engine *engine, schan_error *err);
/* A later one, and each of a server's, with the `size` bytes at the head of incoming;
 * consumes what the status says it consumed. */
schan_result schan__handshake_step(schan_engine *engine, size_t size, schan__step *step,
                                   schan_error *err);
/* The first call of a renegotiation that brought no bytes with it (B60). */
schan_result schan__handshake_restart(schan_engine *engine, schan_error *err);

/* One more step with what has been fed (engine.c). */
schan_result schan__engine_advance(schan_engine *engine, schan__step *step,
                                   schan_error *err);

/* ---------------------------------------------------------------- record.c */

/* What the five bytes of a record's header say (RFC 8446, 5.1). */
typedef struct {
    uint8_t type;
    size_t size; /* header and body */
    bool is_complete;
} schan__record;

typedef enum {
    SCHAN__CONTENT_DATA, /* plain_offset and plain_size are set; may be nothing */
    SCHAN__CONTENT_CLOSE_NOTIFY,   /* as DATA, and the peer's direction is over */
    SCHAN__CONTENT_POST_HANDSHAKE, /* as DATA, and what is claimed is for
                                      InitializeSecurityContext */
    SCHAN__CONTENT_WANT_RECORD, /* nothing was consumed: the same bytes again, and the
                                   next record */
} schan__content;

/* The content types that matter here. */
enum { SCHAN__TYPE_ALERT = 21, SCHAN__TYPE_HANDSHAKE = 22, SCHAN__TYPE_DATA = 23 };

#define SCHAN__RECORD_HEADER 5
#define SCHAN__RECORD_MAX    (SCHAN__RECORD_HEADER + 16384 + 2048)

/* Reads the header that stands `offset` bytes behind the head of incoming. False: those
 * bytes are no TLS record. */
bool schan__record_frame(const schan__buffer *incoming, size_t offset,
                         schan__record *record);
/* Decrypts the `size` bytes at the head of incoming in place. */
schan_result schan__record_decrypt(schan_engine *engine, size_t size, uint8_t type,
                                   schan__content *content, schan_error *err);
/* Where in a list of spans writing has come to. */
typedef struct {
    size_t index;
    size_t offset; /* in the span at `index` */
} schan__position;

/* Encrypts 1..cbMaximumMessage bytes, gathered from the spans at `*position`, into one
 * record. */
schan_result schan__record_encrypt(schan_engine *engine, const schan_span *spans,
                                   size_t count, schan__position *position,
                                   size_t *taken, schan_error *err);
/* ---------------------------------------------------------- renegotiation.c */

/* Whether the peer may begin a new handshake now (B60). */
bool schan__renegotiation_is_allowed(const schan_engine *engine);
/* Begins it; the state is POST_HANDSHAKE until continue has come to its end. */
void schan__renegotiation_begin(schan_engine *engine);
/* Goes on as far as the records allow. Application data that comes in between is put
 * aside. Results: SCHAN_OK (done), SCHAN_WANT_READ, SCHAN_WANT_CREDENTIAL, failures. */
schan_result schan__renegotiation_continue(schan_engine *engine, schan_error *err);

/* ---------------------------------------------------------------- stream.c */

/* As schan_engine_write, going on at `*position` and adding to `*consumed`.
 */
schan_result schan__engine_write(schan_engine *engine, const schan_span *spans,
                                 size_t count, schan__position *position,
                                 size_t *consumed, schan_error *err);

/* ------------------------------------------------------------------ info.c */

/* Fetches what the handshake agreed on: stream sizes, version, cipher suite, ALPN, the
 * peer's certificate. May be called again after a renegotiation. */
schan_result schan__info_fetch(schan_engine *engine, schan_error *err);
SECURITY_STATUS schan__info_query(schan_engine *engine, ULONG attribute, void *value);

/* ------------------------------------------------------------------ peer.c */

/* Fetches the peer's certificate, and the first time what it sent along; that there is
 * none is for the verification to judge. */
schan_result schan__peer_fetch(schan_engine *engine, schan_error *err);
void schan__peer_release(schan_engine *engine);

#endif
