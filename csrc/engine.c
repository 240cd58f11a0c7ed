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
 *   shown      application data that came together with a post-handshake message, and
 *              whose block does not move; older than spill
 *   spill      more of it; older than anything in incoming
 *   outgoing   tokens and records, in the order in which they must leave
 *   held       the token that shows our identity, while the peer is not verified (B85)
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

/* A setting of the other role is a mistake that would else stay unseen. */
static bool fits_role(const schan_engine_config *config, bool is_server)
{
    bool is_known = (config->renegotiation == SCHAN_RENEGOTIATION_NEVER ||
                     config->renegotiation == SCHAN_RENEGOTIATION_ALLOW) &&
                    config->client_authentication >= SCHAN_CLIENT_AUTH_NONE &&
                    config->client_authentication <= SCHAN_CLIENT_AUTH_REQUIRED;
    bool is_for_server = config->client_authentication != SCHAN_CLIENT_AUTH_NONE;
    bool is_for_client = config->renegotiation != SCHAN_RENEGOTIATION_NEVER ||
                         config->asks_for_credential != 0;

    return is_known && !(is_server ? is_for_client : is_for_server);
}

schan_result schan_engine_new(schan_engine **out, schan_credential *credential,
                              const schan_engine_config *config, schan_error *err)
{
    *out = NULL;
    if (!fits_role(config, credential->is_server)) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    schan_engine *engine = schan__allocate(sizeof(*engine));
    if (engine == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    engine->credential = schan__credential_share(credential);
    engine->library = credential->library;
    engine->is_server = credential->is_server;
    engine->protocols = config->protocols;
    engine->may_renegotiate = /* B62: what may wait for a PIN is never done unasked */
        config->renegotiation == SCHAN_RENEGOTIATION_ALLOW;
    engine->asks_for_credential =
        config->asks_for_credential != 0 && credential->identity == NULL;
    engine->client_authentication = config->client_authentication;
    engine->resumption_is_off = credential->is_server && credential->resumption_is_off;
    engine->peeked_alert = -1;
    engine->sent_alert = -1;
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
    schan__sspi_free_issuers(engine);
    schan__sspi_delete(engine); /* before the credential (B71) */
    schan__buffer_free(&engine->incoming);
    schan__buffer_free(&engine->outgoing);
    schan__buffer_free(&engine->spill);
    schan__buffer_free(&engine->shown);
    schan__buffer_free(&engine->held);
    schan__release(engine->alpn_offer);
    schan__release(engine->server_name);
    schan_credential_free(engine->credential);
    for (size_t i = 0; i < SCHAN__MOST_CHOICES; i++) {
        schan_credential_free(engine->earlier[i]);
    }
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
    if (!record.is_complete) { /* B34: nothing new, nothing to ask SSPI */
        return engine->is_eof ? fail_at_eof(engine, err) : SCHAN_WANT_READ;
    }
    *size += record.size; /* B26: one record, never what stands behind it */
    *type = record.type;
    return SCHAN_OK;
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

size_t schan_engine_unsent(const schan_engine *engine)
{
    return schan__buffer_size(&engine->outgoing);
}

int schan_engine_peer_closed(const schan_engine *engine)
{
    return engine->peer_closed;
}

/* ---------------------------------------------------------------- handshake */

/* One more step with what has been fed. */
schan_result schan__engine_advance(schan_engine *engine, schan__step *step,
                                   schan_error *err)
{
    size_t size = 0;
    uint8_t type = 0;

    if (engine->wants_credential) {
        return SCHAN_WANT_CREDENTIAL; /* B93 */
    }
    schan_result result = schan__engine_next_input(engine, &size, &type, err);
    if (result != SCHAN_OK) {
        return result;
    }
    if (size > most_handshake_bytes) { /* B31 */
        return schan__engine_fail_because(engine, SCHAN_ERR_HANDSHAKE,
                                          SEC_E_ILLEGAL_MESSAGE, NULL,
                                          SCHAN_CAUSE_LARGE_HANDSHAKE, err);
    }
    schan__alert_peek(engine, size, type);
    return schan__handshake_step(engine, size, step, err);
}

/* A server whose client has shown no certificate: nobody is there to be judged (B78). */
static schan_result open_without_verdict(schan_engine *engine, schan_error *err)
{
    bool is_tls13 = engine->info.protocol == SCHAN_TLS_1_3;

    if (engine->client_authentication != SCHAN_CLIENT_AUTH_REQUIRED) {
        engine->state = SCHAN_STATE_OPEN;
        return SCHAN_OK;
    }
    (void)schan__alert_send(engine, is_tls13 ? SCHAN__ALERT_CERTIFICATE_REQUIRED
                                             : SCHAN__ALERT_HANDSHAKE_FAILURE);
    return schan__engine_fail_because(engine, SCHAN_ERR_CERTIFICATE,
                                      SEC_E_NO_CREDENTIALS, NULL,
                                      SCHAN_CAUSE_NO_CLIENT_CERTIFICATE, err);
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
    bool has_shown_nothing =
        engine->peer == NULL || engine->client_authentication == SCHAN_CLIENT_AUTH_NONE;
    if (engine->is_server && has_shown_nothing) {
        return open_without_verdict(engine, err);
    }
    engine->state = SCHAN_STATE_VERIFY; /* B47: a resumed session, too */
    return SCHAN_WANT_VERIFY;
}

/* A server says nothing before its client has (B76). */
static schan_result begin_handshake(schan_engine *engine, schan_error *err)
{
    schan_result result =
        engine->is_server ? SCHAN_OK : schan__handshake_start(engine, err);

    if (result == SCHAN_OK) { /* B27: a call that succeeded is never made again */
        engine->state = SCHAN_STATE_HANDSHAKE;
    }
    return result;
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
        result = begin_handshake(engine, err);
        if (result != SCHAN_OK) {
            return result;
        }
        break;
    case SCHAN_STATE_HANDSHAKE:
        break;
    }
    return continue_handshake(engine, err);
}

/* --------------------------------------------------- the client's credential */

schan_result schan_engine_provide_credential(schan_engine *engine,
                                             schan_credential *credential,
                                             schan_error *err)
{
    bool is_wrong = credential != NULL &&
                    (credential->library != engine->library || credential->is_server);

    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (!engine->wants_credential || is_wrong) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (credential != NULL && engine->choices < SCHAN__MOST_CHOICES) {
        engine->earlier[engine->choices++] = engine->credential;
        engine->credential = schan__credential_share(credential); /* B29 */
    }
    engine->wants_credential = false;
    engine->has_chosen = true;
    schan__sspi_free_issuers(engine);
    return SCHAN_OK;
}

schan_span schan_engine_issuer(const schan_engine *engine, size_t index)
{
    const size_t most_issuers = 0x8000; /* of two bytes each in a list of 64 KiB */
    schan_span name = {0};

    if (engine->issuers.aIssuers != NULL && index < engine->issuers.cIssuers &&
        index < most_issuers && engine->issuers.aIssuers[index].pbData != NULL) {
        name.data = engine->issuers.aIssuers[index].pbData;
        name.size = engine->issuers.aIssuers[index].cbData;
    }
    return name;
}

int schan_engine_resumption_is_off(const schan_engine *engine)
{
    return engine->resumption_is_off;
}

/* ------------------------------------------------------------------ verdict */

static schan_result accept_peer(schan_engine *engine, schan_error *err)
{
    schan__buffer *held = &engine->held;

    if (!schan__buffer_append(&engine->outgoing, schan__buffer_head(held),
                              schan__buffer_size(held))) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    schan__buffer_free(held); /* B85 */
    engine->state = SCHAN_STATE_OPEN;
    return SCHAN_OK;
}

schan_result schan_engine_verified(schan_engine *engine, const schan_verdict *verdict,
                                   schan_error *err)
{
    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (engine->state != SCHAN_STATE_VERIFY) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (verdict->reason == SCHAN_REASON_NONE) {
        return accept_peer(engine, err);
    }
    (void)schan__alert_send(engine, schan__alert_for(verdict->reason)); /* B45 */
    schan__buffer_free(&engine->held); /* never sent (B85) */
    return schan__engine_fail(engine, SCHAN_ERR_CERTIFICATE, verdict->status, NULL,
                              err);
}

/* ---------------------------------------------------------------- shutdown */

schan_result schan_engine_shutdown(schan_engine *engine, schan_error *err)
{
    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    if (!engine->local_closed) {
        engine->local_closed = true;
        schan__alert_close(engine); /* B68, B69 */
        schan__buffer_free(&engine->held);
    }
    return SCHAN_OK;
}
