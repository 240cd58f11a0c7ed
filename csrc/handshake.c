/*
 * handshake.c - the calls of InitializeSecurityContext and ApplyControlToken
 *
 * The engine gives this file a size: that many bytes at the head of `incoming` are one
 * whole record, or what SSPI asked to see again. It gets back what to do next. What a
 * status means stands in a table; a status without a row fails.
 *
 * Always true here:
 *   - a token that SSPI hands out is queued before anything else can fail, whatever
 *     the status (B32), and freed;
 *   - input is consumed only by a row that says so: B21 and B28 present the same
 *     bytes again;
 *   - SecBuffers are filled anew for every call: SSPI overwrites their types (B20),
 *     and outputs are found by type.
 */
#include "schan_internal.h"

enum { most_credential_requests = 2 };

static const ULONG requested_flags =
    ISC_REQ_SEQUENCE_DETECT | ISC_REQ_REPLAY_DETECT | ISC_REQ_CONFIDENTIALITY |
    ISC_REQ_INTEGRITY | ISC_REQ_EXTENDED_ERROR | ISC_REQ_ALLOCATE_MEMORY |
    ISC_REQ_STREAM | ISC_REQ_USE_SUPPLIED_CREDS | ISC_REQ_MANUAL_CRED_VALIDATION;

/* B35: without these the connection is not what the caller asked for; other
 * differences are tolerated. */
static const ULONG indispensable_flags =
    ISC_RET_SEQUENCE_DETECT | ISC_RET_REPLAY_DETECT | ISC_RET_CONFIDENTIALITY |
    ISC_RET_ALLOCATED_MEMORY | ISC_RET_STREAM;

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

static const disposition *find_disposition(SECURITY_STATUS status)
{
    for (size_t i = 0; i < sizeof(client_dispositions) / sizeof(client_dispositions[0]);
         i++) {
        if (client_dispositions[i].status == status) {
            return &client_dispositions[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------ SSPI buffers */

static SecBuffer buffer_of(ULONG type, void *data, ULONG size)
{
    SecBuffer buffer = {0};

    buffer.BufferType = type;
    buffer.pvBuffer = data;
    buffer.cbBuffer = size;
    return buffer;
}

static SecBufferDesc description_of(SecBuffer *buffers, ULONG count)
{
    SecBufferDesc description = {0};

    description.ulVersion = SECBUFFER_VERSION;
    description.cBuffers = count;
    description.pBuffers = buffers;
    return description;
}

typedef struct {
    SecBuffer buffers[3];
    ULONG flags;
} output;

/* We passed no memory in, so all that is there is SSPI's. */
static void free_tokens(schan_engine *engine, output *out)
{
    for (size_t i = 0; i < sizeof(out->buffers) / sizeof(out->buffers[0]); i++) {
        if (out->buffers[i].pvBuffer != NULL) {
            engine->library->sspi->FreeContextBuffer(out->buffers[i].pvBuffer);
            out->buffers[i].pvBuffer = NULL;
        }
    }
}

/* Queues what SSPI wants sent and gives its memory back; false: no memory. */
static bool queue_tokens(schan_engine *engine, output *out)
{
    bool is_queued = true;

    for (size_t i = 0; i < sizeof(out->buffers) / sizeof(out->buffers[0]); i++) {
        const SecBuffer *buffer = &out->buffers[i];
        bool is_token = buffer->BufferType == SECBUFFER_TOKEN ||
                        buffer->BufferType == SECBUFFER_ALERT;
        if (is_token && buffer->pvBuffer != NULL) {
            is_queued = schan__buffer_append(&engine->outgoing, buffer->pvBuffer,
                                             buffer->cbBuffer) &&
                        is_queued;
        }
    }
    free_tokens(engine, out);
    return is_queued;
}

static SECURITY_STATUS initialize(schan_engine *engine, SecBufferDesc *input,
                                  output *out)
{
    SecBufferDesc output_description = description_of(out->buffers, 3);
    TimeStamp expiry = {0};
    bool is_first = !engine->has_handle;

    memset(out, 0, sizeof(*out));
    out->buffers[0] = buffer_of(SECBUFFER_TOKEN, NULL, 0);
    out->buffers[1] = buffer_of(SECBUFFER_ALERT, NULL, 0);
    out->buffers[2] = buffer_of(SECBUFFER_EMPTY, NULL, 0);
    schan__sspi_enter(engine->library, is_first);
    SECURITY_STATUS status = engine->library->sspi->InitializeSecurityContextW(
        &engine->credential->handle, is_first ? NULL : &engine->handle,
        engine->server_name, requested_flags, 0, 0, input, 0,
        is_first ? &engine->handle : NULL, &output_description, &out->flags, &expiry);
    schan__sspi_leave(engine->library, is_first);
    return status;
}

/* ------------------------------------------------------------------- steps */

/* B17: a Windows without ALPN refuses the buffer; offering protocols was optional,
 * so it goes on without. */
static bool is_alpn_unknown(SECURITY_STATUS status)
{
    return status == SEC_E_INVALID_TOKEN || status == SEC_E_UNSUPPORTED_FUNCTION ||
           status == SEC_E_INVALID_PARAMETER;
}

schan_result schan__handshake_start(schan_engine *engine, schan_error *err)
{
    SecBuffer alpn = buffer_of(SECBUFFER_APPLICATION_PROTOCOLS, engine->alpn_offer,
                               engine->alpn_offer_size);
    SecBufferDesc input = description_of(&alpn, 1);
    output out = {0};

    SECURITY_STATUS status =
        initialize(engine, engine->alpn_offer_size > 0 ? &input : NULL, &out);
    if (engine->alpn_offer_size > 0 && is_alpn_unknown(status)) {
        free_tokens(engine, &out); /* what that attempt had to say is of no interest */
        status = initialize(engine, NULL, &out);
    }
    engine->has_handle = status >= SEC_E_OK; /* made, and so to be deleted */
    bool is_queued = queue_tokens(engine, &out);
    if (status != SEC_I_CONTINUE_NEEDED) { /* B16: nothing else is a success here */
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, status,
                                  "InitializeSecurityContext", err);
    }
    return is_queued ? SCHAN_OK
                     : schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
}

/* B22: how much of the input SSPI left over; the buffer's pointer is not set. */
static size_t extra_of(const SecBuffer *input, size_t given)
{
    size_t extra = input[1].BufferType == SECBUFFER_EXTRA ? input[1].cbBuffer : 0;

    return extra <= given ? extra : 0;
}

static schan_result judge(schan_engine *engine, SECURITY_STATUS status, ULONG flags,
                          const disposition *row, schan_error *err)
{
    bool is_alert = engine->peeked_alert >= 0;
    bool is_open = engine->state == SCHAN_STATE_POST_HANDSHAKE;
    schan_result kind = is_open ? SCHAN_ERR_SSPI : SCHAN_ERR_HANDSHAKE;

    if (row == NULL || is_alert) {
        return schan__engine_fail(engine, is_alert ? SCHAN_ERR_ALERT : kind, status,
                                  "InitializeSecurityContext", err);
    }
    if (row->step == SCHAN__STEP_DONE && !is_open &&
        (flags & indispensable_flags) != indispensable_flags) {
        return schan__engine_fail(engine, kind, SEC_E_UNSUPPORTED_FUNCTION,
                                  "InitializeSecurityContext", err);
    }
    if (row->step == SCHAN__STEP_WANT_CREDENTIAL &&
        ++engine->credential_requests > most_credential_requests) {
        return schan__engine_fail(engine, kind, status, "InitializeSecurityContext",
                                  err);
    }
    return SCHAN_OK;
}

schan_result schan__handshake_step(schan_engine *engine, size_t size, schan__step *step,
                                   schan_error *err)
{
    SecBuffer input[2] = {{0}};
    SecBufferDesc description = description_of(input, 2);
    output out = {0};
    ULONG narrow = 0;

    if (!schan__to_ulong(size, &narrow)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    input[0] =
        buffer_of(SECBUFFER_TOKEN, schan__buffer_head(&engine->incoming), narrow);
    input[1] = buffer_of(SECBUFFER_EMPTY, NULL, 0);

    SECURITY_STATUS status = initialize(engine, &description, &out);
    if (!queue_tokens(engine, &out)) {
        return schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
    }
    const disposition *row = find_disposition(status);
    schan_result result = judge(engine, status, out.flags, row, err);
    if (result != SCHAN_OK) {
        return result;
    }
    engine->claimed = size;
    engine->claim_wants_record = row->step == SCHAN__STEP_WANT_RECORD;
    if (row->consumes_input) {
        engine->claimed = extra_of(input, size);
        if (row->step == SCHAN__STEP_AGAIN && engine->claimed == size) {
            return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, SEC_E_INTERNAL_ERROR,
                                      "InitializeSecurityContext",
                                      err); /* no progress */
        }
        schan__buffer_consume(&engine->incoming, size - engine->claimed);
    }
    *step = row->step;
    return SCHAN_OK;
}

/* ------------------------------------------------------------------ alerts */

bool schan__handshake_alert(schan_engine *engine, void *control, size_t size)
{
    SecBuffer token = buffer_of(SECBUFFER_TOKEN, control, (ULONG)size);
    SecBufferDesc description = description_of(&token, 1); /* B70: exactly one buffer */
    size_t queued_before = schan__buffer_size(&engine->outgoing);
    output out = {0};

    if (!engine->has_handle || engine->library->sspi->ApplyControlToken == NULL) {
        return false;
    }
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status =
        engine->library->sspi->ApplyControlToken(&engine->handle, &description);
    schan__sspi_leave(engine->library, false);
    if (status != SEC_E_OK) {
        return false;
    }
    /* B68: SEC_E_OK and SEC_I_CONTEXT_EXPIRED are both told here; the token is what
     * counts. */
    initialize(engine, NULL, &out);
    return queue_tokens(engine, &out) &&
           schan__buffer_size(&engine->outgoing) > queued_before;
}
