/*
 * schan_internal.h - what the files of the library share, and nobody else
 *
 * Who may call whom, downwards only:
 *
 *     socket.c
 *        └─► stream.c, verify.c
 *               └─► engine.c, store.c, host_name.c
 *                      └─► handshake.c, record.c, info.c, binding.c, peer.c
 *                             └─► failure.c, credential.c, certificate.c, digest.c
 *                                    └─► provider.c, buffer.c, status.c, der.c
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
} schan__quirks;

struct schan_library {
    volatile LONG references;
    const SecurityFunctionTableW *sspi;
    const schan_system *system;
    schan__quirks quirks;
    SRWLOCK handle_lock; /* taken only where handles_are_unlocked */
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

struct schan_engine {
    schan_credential *credential;
    schan_library *library;
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

    SecPkgContext_StreamSizes sizes;
    PCCERT_CONTEXT peer;  /* valid from VERIFY on */
    PCCERT_CONTEXT *sent; /* what came with it, in an order of our own (peer.c) */
    size_t sent_count;
    schan_info info;

    /* incoming: records from the network, the first maybe decrypted in place; outgoing:
       tokens and records for the network; spill: application data that came together
       with a post-handshake message (B59). */
    schan__buffer incoming;
    schan__buffer outgoing;
    schan__buffer spill;

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
/* Copies the failure out and returns its result. */
schan_result schan__engine_sticky(const schan_engine *engine, schan_error *err);

/* ------------------------------------------------------------- handshake.c */

typedef enum {
    SCHAN__STEP_DONE,
    SCHAN__STEP_AGAIN,       /* go on with the next record, or with what is claimed */
    SCHAN__STEP_WANT_RECORD, /* nothing was consumed: the same bytes again, and the next
                                record */
    SCHAN__STEP_WANT_CREDENTIAL, /* nothing was consumed: the same bytes again */
} schan__step;

/* The first call of InitializeSecurityContext: no input, makes the security context. */
schan_result schan__handshake_start(schan_engine *engine, schan_error *err);
/* A later one, with the `size` bytes at the head of incoming; consumes what the status
 * says it consumed. */
schan_result schan__handshake_step(schan_engine *engine, size_t size, schan__step *step,
                                   schan_error *err);
/* Queues the alert that `control` describes (ApplyControlToken); false when Windows
 * cannot make it. */
bool schan__handshake_alert(schan_engine *engine, void *control, size_t size);

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

enum { SCHAN__TYPE_ALERT = 21 }; /* the one content type that matters here */

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
