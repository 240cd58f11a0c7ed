/*
 * toy_tls.h - a TLS of our own, small and without secrets: real framing, a trivial cipher, a
 * checksum over sequence number and content; the same messages for both roles
 *
 *   handshake    22 | message: a letter, its argument
 *     'S' n   more to come; n odd: with a token       'F'   done
 *     'L'     is never whole
 *     'M' n   belongs with n % 3 more records          'C'   asks for a certificate
 *   alert        21 | level, description; in the clear before the handshake is done
 *   application  23 | content ^ key(sequence) | inner type | checksum
 *     inner 23  data            inner 21  close_notify (1, 0)
 *     inner 22  post-handshake: a letter, the shape of EXTRA
 *     inner 24  n, n bytes of data, then post-handshake
 *       'T' shape      nothing to answer (a ticket)
 *       'K' shape      a token is answered (a key update)
 *       'M' shape      belongs with the next record
 *       'A' shape      more to come: the next record is a handshake message
 *       'R' shape      asks for a renegotiation; shape 3: without EXTRA (B60)
 *       'E' shape ...  two bytes are taken, the rest is EXTRA and goes to DecryptMessage
 */
#ifndef TOY_TLS_H
#define TOY_TLS_H

#include "provider_memory.h"

enum {
    TOY_ALERT = 21,
    TOY_HANDSHAKE = 22,
    TOY_DATA = 23,
    TOY_DATA_AND_HANDSHAKE = 24,
    TOY_HEADER = 5,
    TOY_TRAILER = 5, /* inner type, checksum */
    TOY_MOST_DATA = 16384
};

/* How the provider behaves; reset by toy_begin. */
struct toy {
    SecPkgContext_StreamSizes sizes;
    bool uses_less_room; /* than header and trailer were given (B50) */
    DWORD protocol;
    SECURITY_STATUS acquire_statuses[2]; /* for SCH_CREDENTIALS, SCHANNEL_CRED */
    SECURITY_STATUS start_status; /* of the first call, instead of what it would be */
    ULONG lacking_flags;
    SECURITY_STATUS control_status;
    ULONG failing_query; /* this attribute is not there */
    const char *alpn;
    bool has_no_certificate;
    const void *names; /* subjectAltName of the certificate */
    size_t names_size;
    const char *alpn_of_renegotiation;
    const char *binding; /* "tls-unique:..." as Windows gives it; NULL: none */
    size_t binding_size;
    size_t binding_offset; /* more than where it stands */
    DWORD session_flags;
    bool has_issuers;
    size_t material_lacks; /* bytes of keying material that are not given */
    SECURITY_STATUS describe_status;
    bool has_no_local_certificate;
    bool tells_no_close; /* close_notify is an empty record, as under Wine (B64) */
};
extern struct toy toy;

/* The other side of one connection. */
typedef struct {
    uint64_t sealed;
    uint64_t opened;
} toy_peer;

const SecurityFunctionTableW *toy_begin(void);
/* Each writes one record and returns its size. */
size_t toy_clear_record(uint8_t *out, uint8_t type, const void *body, size_t size);
size_t toy_seal(toy_peer *peer, uint8_t *out, uint8_t inner, const void *body,
                size_t size);
/* Opens a whole record of the client's in place; false: the checksum is wrong. */
bool toy_open(toy_peer *peer, uint8_t *record, size_t size, uint8_t *inner,
              uint8_t **plain, size_t *plain_size);

#endif
