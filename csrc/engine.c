/*
 * engine.c - the life of a connection
 *
 * Records come in by feed and go out by drain; application data goes in by write and
 * comes out by read. In between the engine frames records, gives each to SSPI, and does
 * what the answer's row in a table says (application data: stream.c). No I/O, no clock, no
 * lock.
 *
 *   incoming   | record being read | claimed, or next record ... |
 *              ^ head; its application data stands plain_offset behind it
 *   spill      application data that came together with a post-handshake message; older
 *              than anything in incoming
 *   outgoing   tokens and records, in the order in which they must leave
 *
 * Always true here:
 *   - the first failure is kept and every later call returns it; application data that
 *     was decrypted before is still read;
 *   - no application data moves before schan_engine_verified said that the peer is the
 *     right one;
 *   - bytes behind the handshake's last record stay in incoming and are decrypted like
 *     any others (B25);
 *   - each direction ends by itself: local_closed stops writing only, peer_closed stops
 *     reading only.
 */
#include "schan_internal.h"

#include <wchar.h>

/* More than any Windows accepts (B31). */
static const size_t most_handshake_bytes = (size_t)512 * 1024;

/* ------------------------------------------------------------ life and death */

/* The buffer Windows wants: total size, then one list: kind, size of the list, the list
 * (B17). */
static schan_result make_alpn_offer(schan_engine *engine,
                                    const schan_engine_config *config, schan_error *err)
{
    const size_t head = offsetof(SEC_APPLICATION_PROTOCOLS, ProtocolLists);
    const size_t list_head = offsetof(SEC_APPLICATION_PROTOCOL_LIST, ProtocolList);
    SEC_APPLICATION_PROTOCOLS *offer = NULL;

    if (config->alpn_size == 0) {
        return SCHAN_OK;
    }
    for (size_t at = 0; at < config->alpn_size;
         at += (size_t)config->alpn_protocols[at] + 1) {
        if (config->alpn_protocols[at] == 0 ||
            config->alpn_protocols[at] >= config->alpn_size - at) {
            return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
        }
    }
    if (config->alpn_size > UINT16_MAX) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    size_t size = head + list_head + config->alpn_size;
    engine->alpn_offer = schan__allocate(size < sizeof(*offer) ? sizeof(*offer) : size);
    if (engine->alpn_offer == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    engine->alpn_offer_size = (ULONG)size;
    offer = (SEC_APPLICATION_PROTOCOLS *)engine->alpn_offer;
    offer->ProtocolListsSize = (ULONG)(size - head);
    offer->ProtocolLists[0].ProtoNegoExt = SecApplicationProtocolNegotiationExt_ALPN;
    offer->ProtocolLists[0].ProtocolListSize = (unsigned short)config->alpn_size;
    memcpy((uint8_t *)engine->alpn_offer + head + list_head, config->alpn_protocols,
           config->alpn_size);
    return SCHAN_OK;
}

static schan_result copy_server_name(schan_engine *engine, const wchar_t *name,
                                     schan_error *err)
{
    if (name == NULL || name[0] == L'\0') {
        return SCHAN_OK;
    }
    size_t size = (wcslen(name) + 1) * sizeof(wchar_t);
    engine->server_name = schan__allocate(size);
    if (engine->server_name == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    memcpy(engine->server_name, name, size);
    return SCHAN_OK;
}

schan_result schan_engine_new(schan_engine **out, schan_credential *credential,
                              const schan_engine_config *config, schan_error *err)
{
    *out = NULL;
    schan_engine *engine = schan__allocate(sizeof(*engine));
    if (engine == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    engine->credential = schan__credential_share(credential);
    engine->library = credential->library;
    engine->protocols = config->protocols;
    engine->peeked_alert = -1;
    schan_result result = copy_server_name(engine, config->server_name, err);
    if (result == SCHAN_OK) {
        result = make_alpn_offer(engine, config, err);
    }
    if (result != SCHAN_OK) {
        schan_engine_free(engine);
        return result;
    }
    *out = engine;
    return SCHAN_OK;
}

void schan_engine_free(schan_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    schan__peer_release(engine);
    if (engine->has_handle) { /* before the credential (B71) */
        schan__sspi_enter(engine->library, true);
        engine->library->sspi->DeleteSecurityContext(&engine->handle);
        schan__sspi_leave(engine->library, true);
    }
    schan__buffer_free(&engine->incoming);
    schan__buffer_free(&engine->outgoing);
    schan__buffer_free(&engine->spill);
    schan__release(engine->alpn_offer);
    schan__release(engine->server_name);
    schan_credential_free(engine->credential);
    schan__release(engine);
}

schan_state schan_engine_state(const schan_engine *engine)
{
    return engine->state;
}

/* ----------------------------------------------------------------- failures */

static schan_result fail_not_tls(schan_engine *engine, size_t offset, schan_error *err)
{
    const uint8_t *bytes = schan__buffer_head(&engine->incoming) + offset;
    size_t size = schan__buffer_size(&engine->incoming) - offset;

    if (engine->state >= SCHAN_STATE_OPEN) { /* it did speak TLS until now */
        return schan__engine_fail(engine, SCHAN_ERR_SSPI, SEC_E_ILLEGAL_MESSAGE, NULL,
                                  err);
    }
    schan__engine_fail(engine, SCHAN_ERR_PROTOCOL, 0, NULL, NULL);
    schan__fail_with(&engine->failure, SCHAN_ERR_PROTOCOL, bytes, size);
    return schan__engine_sticky(engine, err);
}

static schan_result fail_at_eof(schan_engine *engine, schan_error *err)
{
    bool is_between_records =
        schan__buffer_size(&engine->incoming) == 0 && engine->state == SCHAN_STATE_OPEN;

    if (is_between_records) { /* B65: not sticky, our own direction is still whole */
        return schan__fail(err, SCHAN_ERR_TRUNCATED, 0, NULL);
    }
    return schan__engine_fail(engine, SCHAN_ERR_TRUNCATED_RECORD, 0, NULL, err);
}

/* -------------------------------------------------------------------- input */

/*
 * How many bytes at the head of incoming SSPI gets next: what it has claimed, or the
 * next whole record, or both. Results: SCHAN_OK, SCHAN_WANT_READ, SCHAN_ERR_PROTOCOL,
 * SCHAN_ERR_TRUNCATED, SCHAN_ERR_TRUNCATED_RECORD.
 */
schan_result schan__engine_next_input(schan_engine *engine, size_t *size, uint8_t *type,
                                      schan_error *err)
{
    schan__record record = {0};

    *size = engine->claimed;
    *type = 0;
    if (engine->claimed > 0 && !engine->claim_wants_record) {
        return SCHAN_OK;
    }
    if (!schan__record_frame(&engine->incoming, engine->claimed, &record)) {
        return fail_not_tls(engine, engine->claimed, err);
    }
    if (!record.is_complete) {
        return engine->is_eof ? fail_at_eof(engine, err) : SCHAN_WANT_READ;
    }
    *size += record.size;
    *type = record.type;
    return SCHAN_OK;
}

/* B30: SSPI tells no more than "illegal message"; an alert in the clear says why. */
static void peek_alert(schan_engine *engine, size_t size, uint8_t type)
{
    enum { level_fatal = 2, plain_alert_size = SCHAN__RECORD_HEADER + 2 };
    const uint8_t *record = schan__buffer_head(&engine->incoming) + engine->claimed;

    if (type == SCHAN__TYPE_ALERT && size - engine->claimed == plain_alert_size) {
        uint8_t level = record[SCHAN__RECORD_HEADER];
        uint8_t description = record[SCHAN__RECORD_HEADER + 1];
        if (level == level_fatal || description == 0) {
            engine->peeked_alert = description;
        }
    }
}

schan_result schan_engine_feed(schan_engine *engine, const void *data, size_t size,
                               schan_error *err)
{
    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (engine->peer_closed) { /* B64: nothing counts after close_notify */
        return SCHAN_OK;
    }
    if (!schan__buffer_append(&engine->incoming, data, size)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    return SCHAN_OK;
}

void schan_engine_feed_eof(schan_engine *engine)
{
    engine->is_eof = true;
}

void schan_engine_drain(schan_engine *engine, void *data, size_t capacity, size_t *size)
{
    size_t held = schan__buffer_size(&engine->outgoing);

    *size = held < capacity ? held : capacity;
    if (*size > 0) {
        memcpy(data, schan__buffer_head(&engine->outgoing), *size);
        schan__buffer_consume(&engine->outgoing, *size);
    }
}

/* ---------------------------------------------------------------- handshake */

/* One more step with what has been fed. */
schan_result schan__engine_advance(schan_engine *engine, schan__step *step,
                                   schan_error *err)
{
    size_t size = 0;
    uint8_t type = 0;

    schan_result result = schan__engine_next_input(engine, &size, &type, err);
    if (result != SCHAN_OK) {
        return result;
    }
    if (size > most_handshake_bytes) {
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, SEC_E_ILLEGAL_MESSAGE,
                                  NULL, err);
    }
    peek_alert(engine, size, type);
    return schan__handshake_step(engine, size, step, err);
}

static schan_result continue_handshake(schan_engine *engine, schan_error *err)
{
    schan__step step = SCHAN__STEP_AGAIN;

    while (step != SCHAN__STEP_DONE) {
        schan_result result = schan__engine_advance(engine, &step, err);
        if (result != SCHAN_OK) {
            return result;
        }
    }
    engine->claimed = 0; /* what is left are records of the connection now (B25) */
    schan_result result = schan__info_fetch(engine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    engine->state = SCHAN_STATE_VERIFY;
    return SCHAN_WANT_VERIFY;
}

schan_result schan_engine_handshake(schan_engine *engine, schan_error *err)
{
    schan_result result = SCHAN_OK;

    switch (engine->state) {
    case SCHAN_STATE_FAILED:
        return schan__engine_sticky(engine, err);
    case SCHAN_STATE_VERIFY:
        return SCHAN_WANT_VERIFY;
    case SCHAN_STATE_OPEN:
    case SCHAN_STATE_POST_HANDSHAKE:
        return SCHAN_OK;
    case SCHAN_STATE_START:
        result = schan__handshake_start(engine, err);
        if (result != SCHAN_OK) {
            return result;
        }
        engine->state = SCHAN_STATE_HANDSHAKE;
        break;
    case SCHAN_STATE_HANDSHAKE:
        break;
    }
    return continue_handshake(engine, err);
}

/* ------------------------------------------------------------------ verdict */

/* RFC 8446, 6.2: what tells the peer why it was refused (B45). */
static const struct {
    schan_reason reason;
    DWORD alert;
} reason_alerts[] = {
    {SCHAN_REASON_EXPIRED, 45},          {SCHAN_REASON_NOT_YET_VALID, 45},
    {SCHAN_REASON_UNKNOWN_CA, 48},       {SCHAN_REASON_SELF_SIGNED, 48},
    {SCHAN_REASON_INCOMPLETE_CHAIN, 48}, {SCHAN_REASON_WRONG_USAGE, 43},
    {SCHAN_REASON_REVOKED, 44},          {SCHAN_REASON_REVOCATION_UNKNOWN, 46},
    {SCHAN_REASON_PIN_MISMATCH, 46},     {SCHAN_REASON_TIMED_OUT, 46},
};

static DWORD alert_for(schan_reason reason)
{
    const DWORD bad_certificate = 42;

    for (size_t i = 0; i < sizeof(reason_alerts) / sizeof(reason_alerts[0]); i++) {
        if (reason_alerts[i].reason == reason) {
            return reason_alerts[i].alert;
        }
    }
    return bad_certificate;
}

schan_result schan_engine_verified(schan_engine *engine, const schan_verdict *verdict,
                                   schan_error *err)
{
    SCHANNEL_ALERT_TOKEN token = {0};

    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (engine->state != SCHAN_STATE_VERIFY) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (verdict->reason == SCHAN_REASON_NONE) {
        engine->state = SCHAN_STATE_OPEN;
        return SCHAN_OK;
    }
    token.dwTokenType = SCHANNEL_ALERT;
    token.dwAlertType = TLS1_ALERT_FATAL;
    token.dwAlertNumber = alert_for(verdict->reason);
    (void)schan__handshake_alert(engine, &token,
                                 sizeof(token)); /* without it, closing must do */
    return schan__engine_fail(engine, SCHAN_ERR_CERTIFICATE, verdict->status, NULL,
                              err);
}

/* ---------------------------------------------------------------- shutdown */

schan_result schan_engine_shutdown(schan_engine *engine, schan_error *err)
{
    DWORD control = SCHANNEL_SHUTDOWN;

    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (!engine->local_closed) {
        engine->local_closed = true;
        (void)schan__handshake_alert(engine, &control,
                                     sizeof(control)); /* B70: may be impossible */
    }
    return SCHAN_OK;
}
