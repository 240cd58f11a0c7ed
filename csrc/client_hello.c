/*
 * client_hello.c - which protocol versions a ClientHello offers
 *
 * Schannel as a server says nothing to a client whose versions it has none of (B80): it
 * fails, and the client would see no more than a connection that ends. To tell it so in
 * its place, and to tell that case from others with the same status, the versions are
 * read here (RFC 8446, 4.1.2 and 4.2.1).
 *
 * The bytes are the peer's. Always true here: nothing is read behind the record, nothing
 * is copied, and what is not whole or not well-formed is "not known", never an error.
 */
#include "schan_internal.h"

enum {
    client_hello = 1,
    random_size = 32,
    extension_supported_versions = 43,
    tls_1_0 = 0x0301,
    tls_1_2 = 0x0303
};

/* A part of the record that is being read. */
typedef struct {
    const uint8_t *bytes;
    size_t at;
    size_t end;
} part;

static bool skip(part *from, size_t size)
{
    if (size > from->end - from->at) {
        return false;
    }
    from->at += size;
    return true;
}

/* A number of `width` bytes, the most significant first. */
static bool take_number(part *from, size_t width, size_t *number)
{
    size_t start = from->at;

    *number = 0;
    if (!skip(from, width)) {
        return false;
    }
    for (size_t i = 0; i < width; i++) {
        *number = *number << 8U | from->bytes[start + i];
    }
    return true;
}

/* What stands behind a length of `width` bytes. */
static bool take_vector(part *from, size_t width, part *inner)
{
    size_t size = 0;

    *inner = *from;
    if (!take_number(from, width, &size)) {
        return false;
    }
    inner->at = from->at;
    inner->end = from->at + size; /* is checked by the next line before it is used */
    return skip(from, size);
}

/* 0x0301 is TLS 1.0, and each later version one more; others have no bit. */
static uint32_t bit_of(size_t version)
{
    static const uint32_t bits[] = {SCHAN_TLS_1_0, SCHAN_TLS_1_1, SCHAN_TLS_1_2,
                                    SCHAN_TLS_1_3};

    return version >= tls_1_0 && version - tls_1_0 < sizeof(bits) / sizeof(bits[0])
               ? bits[version - tls_1_0]
               : 0;
}

/* Without the extension a version stands for all before it, and never for TLS 1.3. */
static uint32_t bits_up_to(size_t version)
{
    uint32_t bits = 0;

    for (size_t one = tls_1_0; one <= version && one <= tls_1_2; one++) {
        bits |= bit_of(one);
    }
    return bits;
}

static uint32_t bits_listed(part data)
{
    part list = {0};
    size_t version = 0;
    uint32_t bits = 0;

    if (take_vector(&data, 1, &list)) {
        while (take_number(&list, 2, &version)) {
            bits |= bit_of(version);
        }
    }
    return bits;
}

static uint32_t bits_of_extensions(part extensions, size_t legacy_version)
{
    part data = {0};
    size_t type = 0;

    while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, &data)) {
        if (type == extension_supported_versions) {
            return bits_listed(data);
        }
    }
    return bits_up_to(legacy_version);
}

bool schan__client_hello_versions(const uint8_t *record, size_t size,
                                  uint32_t *versions)
{
    part message = {record, SCHAN__RECORD_HEADER, size};
    part hello = {0};
    part ignored = {0};
    part extensions = {0};
    size_t type = 0;
    size_t version = 0;

    *versions = 0;
    if (size < SCHAN__RECORD_HEADER || record[0] != SCHAN__TYPE_HANDSHAKE) {
        return false;
    }
    bool is_whole = take_number(&message, 1, &type) && type == client_hello &&
                    take_vector(&message, 3, &hello) &&
                    take_number(&hello, 2, &version) && skip(&hello, random_size) &&
                    take_vector(&hello, 1, &ignored) && /* session */
                    take_vector(&hello, 2, &ignored) && /* cipher suites */
                    take_vector(&hello, 1, &ignored);   /* compression methods */
    if (!is_whole) {
        return false;
    }
    *versions = take_vector(&hello, 2, &extensions)
                    ? bits_of_extensions(extensions, version)
                    : bits_up_to(version); /* an old client has no extensions */
    return true;
}
