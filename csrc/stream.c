/*
 * stream.c - application data of an open connection
 *
 * The reading side decrypts the record at the head of incoming in place and gives its
 * application data out as it lies there; the writing side encrypts into outgoing. Both stand
 * still while a post-handshake message is half done (B58, B61): the function of the
 * handshake takes it, and what it leaves goes back to DecryptMessage.
 *
 * Always true here: application data goes out in the order in which it came; what was
 * decrypted before a failure goes out before the failure is told (B67).
 */
#include "schan_internal.h"

static const size_t most_outgoing_bytes = (size_t)128 * 1024;
/* Far more than data and answers of a peer that reads: one that only asks for new keys must
 * not fill the memory (B63). */
static const size_t most_unread_bytes = (size_t)1024 * 1024;

/* ----------------------------------------------------------------- reading */

/* A post-handshake message (B58, B63): the function of the handshake takes it; what it
 * leaves goes back to DecryptMessage. */
static schan_result continue_post_handshake(schan_engine *engine, schan_error *err)
{
    schan__step step = SCHAN__STEP_AGAIN;

    if (engine->is_renegotiating) {
        return schan__renegotiation_continue(engine, err);
    }
    while (step != SCHAN__STEP_DONE) {
        schan_result result = schan__engine_advance(engine, &step, err);
        if (result != SCHAN_OK) {
            return result;
        }
    }
    engine->state = SCHAN_STATE_OPEN;
    return SCHAN_OK;
}

/* What DecryptMessage gets of what it is given back: a whole record where it is one,
 * else just these bytes. */
static size_t decrypt_size(schan_engine *engine, size_t size, uint8_t *type)
{
    schan__record record = {0};

    if (engine->claimed > 0 && !engine->claim_wants_record &&
        schan__record_frame(&engine->incoming, 0, &record) && record.is_complete &&
        record.size <= size) {
        *type = record.type;
        return record.size;
    }
    return size;
}

static schan_result act_on(schan_engine *engine, schan__content content,
                           schan_error *err)
{
    switch (content) {
    case SCHAN__CONTENT_CLOSE_NOTIFY:
        engine->peer_closed = true;
        break;
    case SCHAN__CONTENT_POST_HANDSHAKE:
        if (schan__buffer_size(&engine->outgoing) > most_unread_bytes) {
            return schan__engine_fail_because(engine, SCHAN_ERR_SSPI,
                                              SEC_E_ILLEGAL_MESSAGE, NULL,
                                              SCHAN_CAUSE_UNREAD_ANSWERS, err);
        }
        if (engine->info.protocol == SCHAN_TLS_1_3) { /* B58, B63 */
            engine->state = SCHAN_STATE_POST_HANDSHAKE;
        } else if (schan__renegotiation_is_allowed(engine)) {
            schan__renegotiation_begin(engine); /* B60 */
        } else {                                /* B60, B62 */
            return schan__engine_fail(engine, SCHAN_ERR_SSPI, SEC_I_RENEGOTIATE,
                                      "DecryptMessage", err);
        }
        break;
    case SCHAN__CONTENT_DATA:
    case SCHAN__CONTENT_WANT_RECORD:
        break;
    }
    return SCHAN_OK;
}

static schan_result decrypt_next(schan_engine *engine, schan_error *err)
{
    schan__content content = SCHAN__CONTENT_DATA;
    size_t size = 0;
    uint8_t type = 0;

    schan_result result = schan__engine_next_input(engine, &size, &type, err);
    if (result != SCHAN_OK) {
        return result;
    }
    size_t given = decrypt_size(engine, size, &type);
    size_t claimed_behind = engine->claimed > given ? engine->claimed - given : 0;
    result = schan__record_decrypt(engine, given, type, &content, err);
    if (result != SCHAN_OK) {
        return result;
    }
    if (content == SCHAN__CONTENT_DATA) {
        engine->claimed += claimed_behind;
    }
    return act_on(engine, content, err);
}

/* The record whose application data has all been read makes room. */
static void finish_record(schan_engine *engine)
{
    if (engine->plain_size == 0 && engine->record_size > 0) {
        schan__buffer_consume(&engine->incoming, engine->record_size);
        engine->record_size = 0;
    }
}

static bool has_plain(const schan_engine *engine)
{
    return engine->plain_size > 0 || schan__buffer_size(&engine->shown) > 0 ||
           schan__buffer_size(&engine->spill) > 0;
}

/* Works until there is application data to read, or a reason why there is none. */
static schan_result produce(schan_engine *engine, schan_error *err)
{
    while (!has_plain(engine)) {
        schan_result result = SCHAN_OK;

        if (engine->state == SCHAN_STATE_FAILED) {
            return schan__engine_sticky(engine, err);
        }
        finish_record(engine);
        if (engine->peer_closed) {
            return SCHAN_CLOSED;
        }
        if (engine->state == SCHAN_STATE_POST_HANDSHAKE) {
            result = continue_post_handshake(engine, err);
        } else if (engine->state == SCHAN_STATE_OPEN) {
            result = decrypt_next(engine, err);
        } else {
            result = schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
        }
        if (result != SCHAN_OK && !has_plain(engine)) {
            return result; /* else: what was decrypted before goes first (B59, B67) */
        }
    }
    return SCHAN_OK;
}

/* What was put aside and is read first. Its block stays where it is while a view of it is
 * out, however much a writer puts aside behind it meanwhile. */
static schan__buffer *put_aside(schan_engine *engine)
{
    if (schan__buffer_size(&engine->shown) == 0) {
        schan__buffer emptied = engine->shown;
        engine->shown = engine->spill;
        engine->spill = emptied;
    }
    return &engine->shown;
}

schan_result schan_engine_peek(schan_engine *engine, schan_span *view, schan_error *err)
{
    view->data = NULL;
    view->size = 0;
    schan_result result = produce(engine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    schan__buffer *aside = put_aside(engine);
    if (schan__buffer_size(aside) > 0) {
        view->data = schan__buffer_head(aside);
        view->size = schan__buffer_size(aside);
    } else {
        view->data = schan__buffer_head(&engine->incoming) + engine->plain_offset;
        view->size = engine->plain_size;
    }
    return SCHAN_OK;
}

void schan_engine_consume(schan_engine *engine, size_t size)
{
    size_t aside = schan__buffer_size(&engine->shown);

    if (aside > 0) {
        schan__buffer_consume(&engine->shown, size < aside ? size : aside);
        return;
    }
    size = size < engine->plain_size ? size : engine->plain_size;
    engine->plain_offset += size;
    engine->plain_size -= size;
    finish_record(engine);
}

schan_result schan_engine_read(schan_engine *engine, void *data, size_t capacity,
                               size_t *size, schan_error *err)
{
    schan_span view = {0};
    schan_result result = SCHAN_OK;
    uint8_t *to = data;

    *size = 0;
    while (*size < capacity) {
        result = schan_engine_peek(engine, &view, *size == 0 ? err : NULL);
        if (result != SCHAN_OK) {
            break; /* what follows the data is told by the next call */
        }
        size_t part = view.size < capacity - *size ? view.size : capacity - *size;
        memcpy(to + *size, view.data, part);
        schan_engine_consume(engine, part);
        *size += part;
    }
    return *size > 0 ? SCHAN_OK : result; /* B67 */
}

/* B66: what a caller would wait for in vain at the socket. */
size_t schan_engine_pending(schan_engine *engine)
{
    schan_span view = {0};

    if (engine->state < SCHAN_STATE_OPEN ||
        schan_engine_peek(engine, &view, NULL) != SCHAN_OK) {
        return 0;
    }
    return view.size;
}

size_t schan_engine_left_over(const schan_engine *engine)
{
    return engine->peer_closed && engine->record_size == 0
               ? schan__buffer_size(&engine->incoming)
               : 0;
}

/* ----------------------------------------------------------------- writing */

/* Nothing may be encrypted while a post-handshake message is half done (B61): try to
 * complete it. */
static schan_result ready_to_write(schan_engine *engine, schan_error *err)
{
    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (engine->local_closed || engine->state < SCHAN_STATE_OPEN) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    return engine->state == SCHAN_STATE_OPEN ? SCHAN_OK
                                             : continue_post_handshake(engine, err);
}

schan_result schan__engine_write(schan_engine *engine, const schan_span *spans,
                                 size_t count, schan__position *position,
                                 size_t *consumed, schan_error *err)
{
    schan_result result = ready_to_write(engine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    while (position->index < count) {
        size_t taken = 0;
        if (schan__buffer_size(&engine->outgoing) >= most_outgoing_bytes) {
            return SCHAN_WANT_WRITE;
        }
        result = schan__record_encrypt(engine, spans, count, position, &taken, err);
        if (result != SCHAN_OK) {
            return result;
        }
        *consumed += taken;
    }
    return SCHAN_OK;
}

schan_result schan_engine_write(schan_engine *engine, const schan_span *spans,
                                size_t count, size_t *consumed, schan_error *err)
{
    schan__position start = {0};

    *consumed = 0;
    return schan__engine_write(engine, spans, count, &start, consumed, err);
}
