/*
 * record.c - TLS records: framing, EncryptMessage, DecryptMessage
 *
 * The 5-byte header is parsed here, so that DecryptMessage sees one whole record at a
 * time: then there is no EXTRA to account for, no MISSING to trust (B54, B55) and no
 * copy. Records are decrypted where they were received, and encrypted where they wait
 * to be sent: application data is copied once in each direction.
 *
 * Always true here: no allocation per record; what a status means stands in a table; a
 * record that failed to decrypt is never tried again, because decryption in place has
 * destroyed it (B67).
 */
#include "schan_internal.h"

/* ----------------------------------------------------------------- framing */

enum { type_lowest = 20, type_highest = 24, version_major = 3 };

bool schan__record_frame(const schan__buffer *incoming, size_t offset,
                         schan__record *record)
{
    const uint8_t *header = schan__buffer_head(incoming);
    size_t available = schan__buffer_size(incoming) - offset;

    memset(record, 0, sizeof(*record));
    if (available == 0) {
        return true;
    }
    header += offset;
    record->type = header[0];
    /* B33: neither a record's type nor its version: the peer speaks something else */
    if (header[0] < type_lowest || header[0] > type_highest ||
        (available > 1 && header[1] != version_major)) {
        return false;
    }
    if (available < SCHAN__RECORD_HEADER) { /* B55 */
        return true;
    }
    record->size = SCHAN__RECORD_HEADER + ((size_t)header[3] << 8U | header[4]);
    record->is_complete = available >= record->size; /* B54 */
    return record->size <= SCHAN__RECORD_MAX;
}

/* -------------------------------------------------------------- decryption */

typedef struct {
    SECURITY_STATUS status;
    schan__content content;
} disposition;

static const disposition decrypt_dispositions[] = {
    {SEC_E_OK, SCHAN__CONTENT_DATA},                      /* B56: may be nothing */
    {SEC_I_CONTEXT_EXPIRED, SCHAN__CONTENT_CLOSE_NOTIFY}, /* B64 */
    {SEC_I_RENEGOTIATE, SCHAN__CONTENT_POST_HANDSHAKE},   /* B58, B59, B60 */
    {SEC_E_INCOMPLETE_MESSAGE,
     SCHAN__CONTENT_WANT_RECORD}, /* only for bytes that SSPI handed back (B58) */
};

static const disposition *find_disposition(SECURITY_STATUS status)
{
    for (size_t i = 0;
         i < sizeof(decrypt_dispositions) / sizeof(decrypt_dispositions[0]); i++) {
        if (decrypt_dispositions[i].status == status) {
            return &decrypt_dispositions[i];
        }
    }
    return NULL;
}

/* B53: outputs stand in any order; they are found by type. */
static const SecBuffer *find_buffer(const SecBuffer *buffers, size_t count, ULONG type)
{
    for (size_t i = 0; i < count; i++) {
        if (buffers[i].BufferType == type && buffers[i].cbBuffer > 0) {
            return &buffers[i];
        }
    }
    return NULL;
}

/* Where `buffer` lies inside the `size` bytes at the head of incoming; false when it
 * does not. */
static bool locate(const schan_engine *engine, size_t size, const SecBuffer *buffer,
                   size_t *offset)
{
    const uint8_t *head = schan__buffer_head(&engine->incoming);
    const uint8_t *start = buffer->pvBuffer;

    if (start == NULL || start < head || start > head + size ||
        buffer->cbBuffer > (size_t)(head + size - start)) {
        return false;
    }
    *offset = (size_t)(start - head);
    return true;
}

/* B64: Wine tells close_notify as an empty record; the size of a TLS 1.3 alert gives
 * it away. */
static bool is_wine_close_notify(const schan_engine *engine, size_t size, uint8_t type)
{
    const size_t tls13_alert = SCHAN__RECORD_HEADER + 2 + 1 + 16;

    if (!engine->library->quirks.close_notify_is_empty || engine->plain_size > 0) {
        return false;
    }
    return type == SCHAN__TYPE_ALERT ||
           (engine->info.protocol == SCHAN_TLS_1_3 && size == tls13_alert);
}

/*
 * The message that SEC_I_RENEGOTIATE speaks of lies in EXTRA, often inside the record
 * that was just decrypted. Its bytes are brought to the head of incoming, side by side
 * with the next record, and application data is put aside. Before TLS 1.3 there may be
 * no EXTRA: a HelloRequest says all by having come (B60).
 */
static bool claim_extra(schan_engine *engine, size_t size, const SecBuffer *extra)
{
    size_t claimed = extra == NULL ? 0 : extra->cbBuffer;
    size_t offset = size - claimed;

    if (claimed > size || (claimed == 0 && engine->info.protocol == SCHAN_TLS_1_3)) {
        return false;
    }
    if (claimed > 0) { /* without a pointer EXTRA is the end of the input (B22) */
        (void)locate(engine, size, extra, &offset);
    }
    if (engine->plain_size > 0) { /* B59: it goes out before the message is seen to */
        const uint8_t *plain =
            schan__buffer_head(&engine->incoming) + engine->plain_offset;
        if (!schan__buffer_append(&engine->spill, plain, engine->plain_size)) {
            return false;
        }
        engine->plain_size = 0;
    }
    engine->record_size = 0;
    engine->claimed = claimed; /* B58: these bytes, framed by nobody again */
    schan__buffer_consume(&engine->incoming, offset);
    if (claimed > 0) {
        schan__buffer_close_gap(&engine->incoming, claimed, size - offset - claimed);
    }
    return true;
}

static schan_result take_decrypted(schan_engine *engine, size_t size,
                                   const SecBuffer *buffers, schan__content content,
                                   schan_error *err)
{
    const SecBuffer *data = find_buffer(buffers, 4, SECBUFFER_DATA);
    if (data != NULL && data->pvBuffer == schan__buffer_head(&engine->incoming)) {
        data =
            NULL; /* our own input, left as it was: application data has a header before it */
    }
    const SecBuffer *extra = find_buffer(buffers, 4, SECBUFFER_EXTRA);
    size_t left_over = extra != NULL && extra->cbBuffer <= size ? extra->cbBuffer : 0;

    engine->plain_size = 0;
    engine->claim_wants_record = false;
    if (data != NULL) {
        if (!locate(engine, size, data, &engine->plain_offset)) {
            return schan__engine_fail(engine, SCHAN_ERR_SSPI, SEC_E_INTERNAL_ERROR,
                                      "DecryptMessage", err);
        }
        engine->plain_size = data->cbBuffer;
    }
    if (content == SCHAN__CONTENT_POST_HANDSHAKE) {
        if (!claim_extra(engine, size, extra)) {
            return schan__engine_fail(engine, SCHAN_ERR_SSPI, SEC_I_RENEGOTIATE,
                                      "DecryptMessage", err);
        }
        return SCHAN_OK;
    }
    engine->record_size = size - left_over; /* B57 */
    engine->claimed = left_over;
    return SCHAN_OK;
}

/* B48: under TLS 1.3 a server judges the client certificate when the client's handshake is
 * over, so that a refusal looks like a record that fails. Statuses that speak of the
 * record itself are no refusal. */
static schan_cause cause_of(const schan_engine *engine, SECURITY_STATUS status)
{
    bool is_first_answer = !engine->has_read && !engine->is_server &&
                           engine->info.protocol == SCHAN_TLS_1_3;
    bool is_bad_record =
        status == SEC_E_MESSAGE_ALTERED || status == SEC_E_DECRYPT_FAILURE ||
        status == SEC_E_OUT_OF_SEQUENCE || status == SEC_E_INVALID_TOKEN ||
        status == SEC_E_INCOMPLETE_MESSAGE;

    return is_first_answer && !is_bad_record ? SCHAN_CAUSE_REFUSED_AFTER_HANDSHAKE
                                             : SCHAN_CAUSE_NONE;
}

schan_result schan__record_decrypt(schan_engine *engine, size_t size, uint8_t type,
                                   schan__content *content, schan_error *err)
{
    SecBuffer buffers[4] = {{0}};
    SecBufferDesc description = {SECBUFFER_VERSION, 4, buffers};

    buffers[0].BufferType = SECBUFFER_DATA;
    buffers[0].pvBuffer = schan__buffer_head(&engine->incoming);
    if (!schan__to_ulong(size, &buffers[0].cbBuffer)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status =
        engine->library->sspi->DecryptMessage(&engine->handle, &description, 0, NULL);
    schan__sspi_leave(engine->library, false);

    const disposition *row = find_disposition(status);
    bool is_refused = row == NULL || (row->content == SCHAN__CONTENT_WANT_RECORD &&
                                      engine->claimed == 0);
    if (is_refused) {
        schan_result result =
            type == SCHAN__TYPE_ALERT ? SCHAN_ERR_ALERT : SCHAN_ERR_SSPI;
        return schan__engine_fail_because(engine, result, status, "DecryptMessage",
                                          cause_of(engine, status), err);
    }
    *content = row->content;
    if (row->content == SCHAN__CONTENT_WANT_RECORD) {
        engine->claimed = size;
        engine->claim_wants_record = true;
        return SCHAN_OK;
    }
    schan_result result = take_decrypted(engine, size, buffers, row->content, err);
    if (result == SCHAN_OK && row->content == SCHAN__CONTENT_DATA &&
        is_wine_close_notify(engine, size, type)) {
        *content = SCHAN__CONTENT_CLOSE_NOTIFY;
    }
    engine->has_read = engine->has_read || engine->plain_size > 0 ||
                       *content == SCHAN__CONTENT_CLOSE_NOTIFY;
    return result;
}

/* -------------------------------------------------------------- encryption */

/* How many bytes are left from the position on; `most` if there are more. */
static size_t left_of(const schan_span *spans, size_t count,
                      const schan__position *position, size_t most)
{
    size_t left = 0;
    size_t offset = position->offset;

    for (size_t i = position->index; i < count; i++) {
        size_t size = spans[i].size - offset;
        if (size >= most - left) {
            return most;
        }
        left += size;
        offset = 0;
    }
    return left;
}

/* Copies `size` bytes, which the spans hold, from the position on, and moves it. */
static void gather(uint8_t *to, size_t size, const schan_span *spans,
                   schan__position *position)
{
    while (size > 0) {
        const schan_span *span = &spans[position->index];
        size_t left = span->size - position->offset;
        size_t part = left < size ? left : size;

        if (part > 0) {
            memcpy(to, span->data + position->offset, part);
        }
        to += part;
        size -= part;
        position->offset += part;
        if (position->offset == span->size) {
            position->index += 1;
            position->offset = 0;
        }
    }
}

/* EncryptMessage may use less room than was reserved for header and trailer: the three
 * parts are pushed together. */
static size_t pack(uint8_t *start, const SecBuffer *buffers)
{
    size_t size = 0;

    for (size_t i = 0; i < 3; i++) { /* B37, B49: by the sizes that came back */
        const uint8_t *part = buffers[i].pvBuffer;
        if (buffers[i].cbBuffer > 0 && part != start + size) {
            memmove(start + size, part, buffers[i].cbBuffer);
        }
        size += buffers[i].cbBuffer;
    }
    return size;
}

schan_result schan__record_encrypt(schan_engine *engine, const schan_span *spans,
                                   size_t count, schan__position *position,
                                   size_t *taken, schan_error *err)
{
    const SecPkgContext_StreamSizes *sizes = &engine->sizes;
    size_t size = left_of(spans, count, position, sizes->cbMaximumMessage); /* B50 */
    size_t largest = (size_t)sizes->cbHeader + size + sizes->cbTrailer;
    SecBuffer buffers[4] = {{0}};
    SecBufferDesc description = {SECBUFFER_VERSION, 4, buffers};

    *taken = 0;
    if (size == 0) {
        position->index = count;
        return SCHAN_OK; /* B51: no empty records */
    }
    if (!schan__buffer_reserve(&engine->outgoing, largest)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    uint8_t *start = schan__buffer_tail(&engine->outgoing);
    uint8_t *data = start + sizes->cbHeader;
    gather(data, size, spans, position);
    buffers[0].BufferType = SECBUFFER_STREAM_HEADER;
    buffers[0].pvBuffer = start;
    buffers[0].cbBuffer = sizes->cbHeader;
    buffers[1].BufferType = SECBUFFER_DATA;
    buffers[1].pvBuffer = data;
    buffers[1].cbBuffer = (ULONG)size;
    buffers[2].BufferType = SECBUFFER_STREAM_TRAILER;
    buffers[2].pvBuffer = data + size;
    buffers[2].cbBuffer = sizes->cbTrailer;

    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status =
        engine->library->sspi->EncryptMessage(&engine->handle, 0, &description, 0);
    schan__sspi_leave(engine->library, false);
    if (status != SEC_E_OK) {
        SecureZeroMemory(
            start,
            largest); /* application data must not stay behind in the queue's room */
        return schan__engine_fail(engine, SCHAN_ERR_SSPI, status, "EncryptMessage",
                                  err);
    }
    schan__buffer_commit(&engine->outgoing, pack(start, buffers));
    *taken = size;
    return SCHAN_OK;
}
