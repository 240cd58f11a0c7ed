/*
 * der.c - one element of DER after the other, without copies (X.690, 10.1)
 *
 * For the few places where a certificate has to be read as the bytes it is: names to
 * compare, the public key to pin. Lengths must be canonical; nothing here is longer
 * than 16 MiB.
 */
#include "schan_internal.h"

bool schan__der_next(schan_span *rest, schan__der *out)
{
    size_t header = 2;

    if (rest->size < header) {
        return false;
    }
    size_t size = rest->data[1];
    if (size >= 0x80) {
        size_t count = size & 0x7fU;
        if (count == 0 || count > 3 || rest->size < header + count ||
            rest->data[2] == 0) {
            return false;
        }
        size = 0;
        for (size_t i = 0; i < count; i++) {
            size = size << 8U | rest->data[header + i];
        }
        if (size < 0x80) {
            return false;
        }
        header += count;
    }
    if (size > rest->size - header) {
        return false;
    }
    out->tag = rest->data[0];
    out->content.data = rest->data + header;
    out->content.size = size;
    out->whole.data = rest->data;
    out->whole.size = header + size;
    rest->data += header + size;
    rest->size -= header + size;
    return true;
}

bool schan__der_skip(schan_span *rest, uint8_t tag)
{
    schan__der element = {0};

    return schan__der_next(rest, &element) && element.tag == tag;
}

bool schan__der_enter(schan_span *rest, uint8_t tag)
{
    schan__der element = {0};

    if (!schan__der_next(rest, &element) || element.tag != tag) {
        return false;
    }
    *rest = element.content;
    return true;
}
