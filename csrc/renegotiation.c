/*
 * renegotiation.c - a second handshake on an open connection, TLS 1.2 and before (B60)
 *
 * The server asks with a HelloRequest, which DecryptMessage tells by SEC_I_RENEGOTIATE.
 * InitializeSecurityContext then says hello anew, in the same security context, and is
 * given the records of the handshake until it is content. Records of application data
 * that come in between are still of the old connection: they go to DecryptMessage, never
 * to InitializeSecurityContext (B26), and what they hold is put aside for the reader.
 *
 * Always true here: nothing is encrypted meanwhile (B61); the second handshake must bring
 * the certificate of the first, because that is what was verified, and no other ALPN
 * protocol; there is one renegotiation in a connection, so that a peer cannot keep us
 * busy with them. The call may take as long as a person needs to type a PIN (B62): like
 * every call, it is made on the caller's thread and holds up this connection only.
 */
#include "schan_internal.h"

/* More than is on its way when a server asks for a renegotiation; a caller who writes and
 * never reads must not fill the memory. */
static const size_t most_data_aside = (size_t)1024 * 1024;

bool schan__renegotiation_is_allowed(const schan_engine *engine)
{
    return engine->may_renegotiate && !engine->has_renegotiated;
}

void schan__renegotiation_begin(schan_engine *engine)
{
    engine->state = SCHAN_STATE_POST_HANDSHAKE;
    engine->is_renegotiating = true;
    engine->has_renegotiated = true;
    engine->needs_hello = engine->claimed == 0; /* B60: else EXTRA goes first */
    engine->has_chosen = engine->credential->identity != NULL;
    engine->credential_requests = 0;
    engine->handshake_bytes = 0;
}

static schan_result put_record_aside(schan_engine *engine, size_t size,
                                     schan_error *err)
{
    schan__content content = SCHAN__CONTENT_DATA;

    schan_result result =
        schan__record_decrypt(engine, size, SCHAN__TYPE_DATA, &content, err);
    if (result != SCHAN_OK) {
        return result;
    }
    if (content != SCHAN__CONTENT_DATA ||
        schan__buffer_size(&engine->shown) + schan__buffer_size(&engine->spill) >
            most_data_aside) {
        return schan__engine_fail(engine, SCHAN_ERR_SSPI, SEC_E_ILLEGAL_MESSAGE, NULL,
                                  err);
    }
    const uint8_t *plain = schan__buffer_head(&engine->incoming) + engine->plain_offset;
    if (!schan__buffer_append(&engine->spill, plain, engine->plain_size)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    schan__buffer_consume(&engine->incoming, engine->record_size);
    engine->plain_size = 0;
    engine->record_size = 0;
    return SCHAN_OK;
}

static schan_result put_data_aside(schan_engine *engine, schan_error *err)
{
    schan_result result = SCHAN_OK;
    schan__record record = {0};

    while (result == SCHAN_OK && engine->claimed == 0 &&
           schan__record_frame(&engine->incoming, 0, &record) && record.is_complete &&
           record.type == SCHAN__TYPE_DATA) {
        result = put_record_aside(engine, record.size, err);
    }
    return result;
}

/* The hello of a renegotiation offers no protocol: that Windows then tells none is no
 * change (B36). */
static bool has_agreed_protocol(schan_engine *engine, const schan_info *agreed)
{
    if (engine->info.alpn_size == 0) {
        memcpy(engine->info.alpn, agreed->alpn, agreed->alpn_size);
        engine->info.alpn_size = agreed->alpn_size;
    }
    return agreed->alpn_size == engine->info.alpn_size &&
           memcmp(agreed->alpn, engine->info.alpn, agreed->alpn_size) == 0;
}

/* What was verified must still be so (B60); sizes and cipher are new (B37). */
static schan_result finish(schan_engine *engine, schan_error *err)
{
    PCCERT_CONTEXT verified = engine->peer;
    schan_info agreed = engine->info;

    engine->peer = NULL;
    engine->info.alpn_size = 0;
    schan_result result = schan__info_fetch(engine, err);
    bool is_same = schan__certificate_is_same(verified, engine->peer) &&
                   has_agreed_protocol(engine, &agreed);
    if (engine->peer != NULL) {
        engine->library->system->CertFreeCertificateContext(engine->peer);
    }
    engine->peer = verified;
    if (result != SCHAN_OK) {
        return result;
    }
    if (!is_same) {
        return schan__engine_fail_because(engine, SCHAN_ERR_SSPI, SEC_I_RENEGOTIATE,
                                          NULL, SCHAN_CAUSE_PEER_CHANGED, err);
    }
    engine->is_renegotiating = false;
    engine->state = SCHAN_STATE_OPEN;
    return SCHAN_OK;
}

schan_result schan__renegotiation_continue(schan_engine *engine, schan_error *err)
{
    schan__step step = SCHAN__STEP_AGAIN;
    schan_result result = SCHAN_OK;

    if (engine->needs_hello) {
        engine->needs_hello = false;
        result = schan__handshake_restart(engine, err);
    }
    while (result == SCHAN_OK && step != SCHAN__STEP_DONE) {
        result = put_data_aside(engine, err);
        if (result == SCHAN_OK) {
            result = schan__engine_advance(engine, &step, err);
        }
    }
    return result == SCHAN_OK ? finish(engine, err) : result;
}
