/*
 * handshake.c - the steps of a handshake, in both roles
 *
 * The engine gives this file a size: that many bytes at the head of `incoming` are one
 * whole record, or what SSPI asked to see again. It gets back what to do next. What a
 * status means stands in a table for each role; a status without a row fails.
 *
 * Always true here:
 *   - a token that SSPI hands out is queued before anything else can fail, whatever
 *     the status (B32);
 *   - input is consumed only by a row that says so: B21 and B28 present the same
 *     bytes again;
 *   - a token that may hold our identity waits in `held` for the verdict on the peer
 *     (B85).
 */
#include "schan_internal.h"

enum { most_credential_requests = 2 };

/* More than Windows accepts of a handshake message, by default (B31). */
static const size_t large_handshake_bytes = (size_t)64 * 1024;
/* B13: from this build on a session that was forbidden is not resumed all the same. */
static const DWORD first_build_that_forgets = 22000;

typedef struct {
    SECURITY_STATUS status;
    schan__step step;
    bool consumes_input;
} disposition;

static const disposition client_dispositions[] = {
    {SEC_E_OK, SCHAN__STEP_DONE, true},               /* B24, may carry a token */
    {SEC_I_CONTINUE_NEEDED, SCHAN__STEP_AGAIN, true}, /* B22, B23 */
    {SEC_E_INCOMPLETE_MESSAGE, SCHAN__STEP_WANT_RECORD, false},         /* B21 */
    {SEC_I_INCOMPLETE_CREDENTIALS, SCHAN__STEP_WANT_CREDENTIAL, false}, /* B28 */
};

static const disposition server_dispositions[] = {
    {SEC_E_OK, SCHAN__STEP_DONE, true},               /* may carry a token */
    {SEC_I_CONTINUE_NEEDED, SCHAN__STEP_AGAIN, true}, /* B76 */
    {SEC_E_INCOMPLETE_MESSAGE, SCHAN__STEP_WANT_RECORD,
     false}, /* B76: and a first call stays a first call */
};

static const disposition *find_disposition(const schan_engine *engine,
                                           SECURITY_STATUS status)
{
    const disposition *rows =
        engine->is_server ? server_dispositions : client_dispositions;
    size_t count = engine->is_server
                       ? sizeof(server_dispositions) / sizeof(server_dispositions[0])
                       : sizeof(client_dispositions) / sizeof(client_dispositions[0]);

    for (size_t i = 0; i < count; i++) {
        if (rows[i].status == status) {
            return &rows[i];
        }
    }
    return NULL;
}

/* -------------------------------------------------------------- first call */

/* B17: a Windows without ALPN refuses the buffer; offering protocols was optional,
 * so it goes on without. */
static bool is_alpn_unknown(SECURITY_STATUS status)
{
    return status == SEC_E_INVALID_TOKEN || status == SEC_E_UNSUPPORTED_FUNCTION ||
           status == SEC_E_INVALID_PARAMETER;
}

static SECURITY_STATUS say_hello(schan_engine *engine, schan__output *out)
{
    SecBuffer alpn = schan__sspi_buffer(SECBUFFER_APPLICATION_PROTOCOLS,
                                        engine->alpn_offer, engine->alpn_offer_size);
    SecBufferDesc input = schan__sspi_description(&alpn, 1);
    bool has_offer = engine->alpn_offer_size > 0;

    SECURITY_STATUS status =
        schan__sspi_advance(engine, has_offer ? &input : NULL, out);
    if (has_offer && is_alpn_unknown(status)) {
        schan__sspi_drop_tokens(engine, out); /* of no interest */
        status = schan__sspi_advance(engine, NULL, out);
    }
    return status;
}

/*
 * B13: forbids to resume a session. An older Windows has looked one up by then and names
 * it in the ClientHello, which is therefore thrown away; the next one knows better.
 */
static SECURITY_STATUS forget_sessions(schan_engine *engine, SECURITY_STATUS status,
                                       schan__output *out)
{
    SCHANNEL_SESSION_TOKEN control = {0};

    control.dwTokenType = SCHANNEL_SESSION;
    control.dwFlags = SSL_SESSION_DISABLE_RECONNECTS;
    engine->resumption_is_off = schan__sspi_control(engine, &control, sizeof(control));
    if (!engine->resumption_is_off ||
        engine->library->system->WindowsBuild() >= first_build_that_forgets) {
        return status;
    }
    schan__sspi_drop_tokens(engine, out);
    schan__sspi_delete(engine);
    return say_hello(engine, out);
}

schan_result schan__handshake_start(schan_engine *engine, schan_error *err)
{
    schan__output out = {0};

    SECURITY_STATUS status = say_hello(engine, &out);
    if (status == SEC_I_CONTINUE_NEEDED && engine->credential->resumption_is_off) {
        status = forget_sessions(engine, status, &out);
    }
    bool is_queued = schan__sspi_queue_tokens(engine, &out, &engine->outgoing);
    if (status != SEC_I_CONTINUE_NEEDED) { /* B16: nothing else is a success here */
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, status,
                                  schan__sspi_function(engine), err);
    }
    return is_queued ? SCHAN_OK
                     : schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
}

schan_result schan__handshake_restart(schan_engine *engine, schan_error *err)
{
    schan__output out = {0};

    SECURITY_STATUS status = schan__sspi_advance(engine, NULL, &out); /* B60 */
    bool is_queued = schan__sspi_queue_tokens(engine, &out, &engine->outgoing);
    if (status != SEC_I_CONTINUE_NEEDED) {
        return schan__engine_fail(engine, SCHAN_ERR_SSPI, status,
                                  schan__sspi_function(engine), err);
    }
    return is_queued ? SCHAN_OK
                     : schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
}

/* --------------------------------------------------------------- judgement */

/* One call that advanced the security context. */
typedef struct {
    SECURITY_STATUS status;
    bool is_first;        /* there was no security context before */
    size_t queued_before; /* in outgoing */
    schan__output out;
} outcome;

/* Whether the client's first flight offers a version that is allowed here; where that is
 * not to be read, it may. */
static bool has_common_version(const schan_engine *engine, size_t size)
{
    uint32_t versions = 0;

    return !schan__client_hello_versions(schan__buffer_head(&engine->incoming), size,
                                         &versions) ||
           (versions & engine->protocols) != 0;
}

static schan_cause cause_of(const schan_engine *engine, const outcome *call,
                            size_t size)
{
    if (engine->is_server && call->is_first &&
        call->status == SEC_E_UNSUPPORTED_FUNCTION &&
        has_common_version(engine, size)) {
        return SCHAN_CAUSE_NO_SERVER_ROLE;
    }
    if (call->status == SEC_E_ILLEGAL_MESSAGE &&
        engine->handshake_bytes + size > large_handshake_bytes) {
        return SCHAN_CAUSE_LARGE_HANDSHAKE; /* B31 */
    }
    return SCHAN_CAUSE_NONE;
}

static schan_result fail_with_alert(schan_engine *engine, const outcome *call,
                                    size_t size, schan_error *err)
{
    bool is_alert = engine->peeked_alert >= 0;
    bool is_open = engine->state == SCHAN_STATE_POST_HANDSHAKE;
    bool is_silent = schan__buffer_size(&engine->outgoing) == call->queued_before;
    schan_result kind = is_open ? SCHAN_ERR_SSPI : SCHAN_ERR_HANDSHAKE;

    if (!is_silent) {
        schan__alert_note_sent(engine, call->queued_before);
    } else if (engine->is_server && call->is_first &&
               !has_common_version(engine, size)) {
        schan__alert_write(engine, SCHAN__ALERT_PROTOCOL_VERSION); /* B80 */
    }
    return schan__engine_fail_because(engine, is_alert ? SCHAN_ERR_ALERT : kind,
                                      call->status, schan__sspi_function(engine),
                                      cause_of(engine, call, size), err);
}

/* B28: SSPI asks at most twice; B29: the caller is asked once in a handshake. */
static bool may_ask_again(schan_engine *engine)
{
    engine->credential_requests += 1;
    if (engine->credential_requests > most_credential_requests) {
        return false;
    }
    if (engine->asks_for_credential && !engine->has_chosen) {
        schan__sspi_fetch_issuers(engine);
        engine->wants_credential = true;
    }
    return true;
}

static schan_result judge(schan_engine *engine, const outcome *call,
                          const disposition *row, size_t size, schan_error *err)
{
    bool is_first_handshake = engine->state != SCHAN_STATE_POST_HANDSHAKE;

    if (row == NULL || engine->peeked_alert >= 0) {
        return fail_with_alert(engine, call, size, err);
    }
    if (row->step == SCHAN__STEP_DONE && is_first_handshake &&
        !schan__sspi_is_as_asked(engine, &call->out)) {
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE,
                                  SEC_E_UNSUPPORTED_FUNCTION,
                                  schan__sspi_function(engine), err); /* B35 */
    }
    if (row->step == SCHAN__STEP_WANT_CREDENTIAL && !may_ask_again(engine)) {
        return fail_with_alert(engine, call, size, err);
    }
    return SCHAN_OK;
}

/* -------------------------------------------------------------- later calls */

/* B77: on a server's first call ALPN stands in a slot of its own, so that EXTRA has one
 * too. */
static ULONG fill_input(schan_engine *engine, SecBuffer *input, ULONG size)
{
    input[0] = schan__sspi_buffer(SECBUFFER_TOKEN,
                                  schan__buffer_head(&engine->incoming), size);
    input[1] = schan__sspi_buffer(SECBUFFER_EMPTY, NULL, 0); /* B19, B20 */
    input[2] = schan__sspi_buffer(SECBUFFER_APPLICATION_PROTOCOLS, engine->alpn_offer,
                                  engine->alpn_offer_size);
    bool has_offer =
        engine->is_server && !engine->has_handle && engine->alpn_offer_size > 0;
    return has_offer ? 3 : 2;
}

/* B85: the token that ends a client's first handshake holds its identity (TLS 1.3). */
static schan__buffer *queue_for(schan_engine *engine, SECURITY_STATUS status)
{
    bool is_held = status == SEC_E_OK && !engine->is_server &&
                   engine->state == SCHAN_STATE_HANDSHAKE &&
                   engine->credential->identity != NULL;

    return is_held ? &engine->held : &engine->outgoing;
}

/* B22: how much of the input SSPI left over; the buffer's pointer is not set. */
static size_t extra_of(const SecBuffer *input, size_t given)
{
    size_t extra = input[1].BufferType == SECBUFFER_EXTRA ? input[1].cbBuffer : 0;

    return extra <= given ? extra : 0;
}

/* What is left at the head of incoming belongs to SSPI as it is. */
static schan_result consume(schan_engine *engine, const disposition *row,
                            const SecBuffer *input, size_t size, schan_error *err)
{
    engine->claimed = size;
    engine->claim_wants_record = row->step == SCHAN__STEP_WANT_RECORD;
    if (!row->consumes_input) {
        return SCHAN_OK;
    }
    engine->claimed = extra_of(input, size);
    if (row->step == SCHAN__STEP_AGAIN && engine->claimed == size) { /* no progress */
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, SEC_E_INTERNAL_ERROR,
                                  schan__sspi_function(engine), err);
    }
    engine->handshake_bytes += size - engine->claimed;
    schan__buffer_consume(&engine->incoming, size - engine->claimed);
    return SCHAN_OK;
}

schan_result schan__handshake_step(schan_engine *engine, size_t size, schan__step *step,
                                   schan_error *err)
{
    SecBuffer input[3] = {{0}};
    SecBufferDesc description = {0};
    outcome call = {0};
    ULONG narrow = 0;

    if (!schan__to_ulong(size, &narrow)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    description = schan__sspi_description(input, fill_input(engine, input, narrow));
    call.is_first = !engine->has_handle;
    call.queued_before = schan__buffer_size(&engine->outgoing);
    call.status = schan__sspi_advance(engine, &description, &call.out);
    /* B24, B32: now, whatever the status is judged to mean */
    if (!schan__sspi_queue_tokens(engine, &call.out, queue_for(engine, call.status))) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    const disposition *row = find_disposition(engine, call.status);
    schan_result result = judge(engine, &call, row, size, err);
    if (result != SCHAN_OK) {
        return result;
    }
    result = consume(engine, row, input, size, err);
    *step = row->step;
    return result;
}
