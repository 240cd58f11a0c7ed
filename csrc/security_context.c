/*
 * security_context.c - the calls of SSPI that advance, control and delete a security
 * context
 *
 * A client's is advanced by InitializeSecurityContext, a server's by
 * AcceptSecurityContext: two functions that differ in their parameters and flags, and in
 * nothing that their callers need to know. What a status means is not judged here.
 *
 * Always true here:
 *   - SecBuffers are filled anew for every call: SSPI overwrites their types (B20), and
 *     outputs are found by type;
 *   - what SSPI allocated is given back, whatever the status (B32);
 *   - a call is "the first", without a security context, until one has succeeded (B76).
 */
#include "schan_internal.h"

static const ULONG client_flags = ISC_REQ_SEQUENCE_DETECT | ISC_REQ_REPLAY_DETECT |
                                  ISC_REQ_CONFIDENTIALITY | ISC_REQ_INTEGRITY |
                                  ISC_REQ_EXTENDED_ERROR | ISC_REQ_ALLOCATE_MEMORY |
                                  ISC_REQ_STREAM | ISC_REQ_MANUAL_CRED_VALIDATION;

/* B78: that the client's certificate is not validated in here says the credential. */
static const ULONG server_flags = ASC_REQ_SEQUENCE_DETECT | ASC_REQ_REPLAY_DETECT |
                                  ASC_REQ_CONFIDENTIALITY | ASC_REQ_INTEGRITY |
                                  ASC_REQ_EXTENDED_ERROR | ASC_REQ_ALLOCATE_MEMORY |
                                  ASC_REQ_STREAM;

/* B35: without these the connection is not what the caller asked for; other
 * differences are tolerated. */
static const ULONG indispensable_to_clients =
    ISC_RET_SEQUENCE_DETECT | ISC_RET_REPLAY_DETECT | ISC_RET_CONFIDENTIALITY |
    ISC_RET_ALLOCATED_MEMORY | ISC_RET_STREAM;
static const ULONG indispensable_to_servers =
    ASC_RET_SEQUENCE_DETECT | ASC_RET_REPLAY_DETECT | ASC_RET_CONFIDENTIALITY |
    ASC_RET_ALLOCATED_MEMORY | ASC_RET_STREAM;

/* ----------------------------------------------------------------- buffers */

SecBuffer schan__sspi_buffer(ULONG type, void *data, ULONG size)
{
    SecBuffer buffer = {0};

    buffer.BufferType = type;
    buffer.pvBuffer = data;
    buffer.cbBuffer = size;
    return buffer;
}

SecBufferDesc schan__sspi_description(SecBuffer *buffers, ULONG count)
{
    SecBufferDesc description = {0};

    description.ulVersion = SECBUFFER_VERSION;
    description.cBuffers = count;
    description.pBuffers = buffers;
    return description;
}

/* We passed no memory in, so all that is there is SSPI's. */
void schan__sspi_drop_tokens(schan_engine *engine, schan__output *out)
{
    for (size_t i = 0; i < sizeof(out->buffers) / sizeof(out->buffers[0]); i++) {
        if (out->buffers[i].pvBuffer != NULL) {
            engine->library->sspi->FreeContextBuffer(out->buffers[i].pvBuffer);
            out->buffers[i].pvBuffer = NULL;
        }
    }
}

/* B27: each token is queued once, and the call that made it is not made again. */
bool schan__sspi_queue_tokens(schan_engine *engine, schan__output *out,
                              schan__buffer *queue)
{
    bool is_queued = true;

    for (size_t i = 0; i < sizeof(out->buffers) / sizeof(out->buffers[0]); i++) {
        const SecBuffer *buffer = &out->buffers[i];
        bool is_token = buffer->BufferType == SECBUFFER_TOKEN ||
                        buffer->BufferType == SECBUFFER_ALERT; /* B80 */
        if (is_token && buffer->pvBuffer != NULL) {
            is_queued =
                schan__buffer_append(queue, buffer->pvBuffer, buffer->cbBuffer) &&
                is_queued;
        }
    }
    schan__sspi_drop_tokens(engine, out);
    return is_queued;
}

/* ----------------------------------------------------------- the two roles */

/* B28: with USE_SUPPLIED_CREDS Windows sends an empty list without asking. */
static ULONG flags_of_client(const schan_engine *engine)
{
    bool is_asked_first = engine->asks_for_credential && !engine->has_chosen;

    /* B5: nor does Windows look for a certificate of its own then */
    return is_asked_first ? client_flags : client_flags | ISC_REQ_USE_SUPPLIED_CREDS;
}

static SECURITY_STATUS initialize(schan_engine *engine, SecBufferDesc *input,
                                  SecBufferDesc *output, ULONG *flags)
{
    TimeStamp expiry = {0};
    bool is_first = !engine->has_handle;

    return engine->library->sspi->InitializeSecurityContextW(
        &engine->credential->handle, is_first ? NULL : &engine->handle,
        engine->server_name /* B18: the same each time */, flags_of_client(engine), 0,
        0, input, 0, is_first ? &engine->handle : NULL, output, flags, &expiry);
}

static SECURITY_STATUS accept_client(schan_engine *engine, SecBufferDesc *input,
                                     SecBufferDesc *output, ULONG *flags)
{
    TimeStamp expiry = {0};
    CtxtHandle advanced = engine->handle;
    ULONG asked = server_flags;

    if (engine->client_authentication != SCHAN_CLIENT_AUTH_NONE) {
        asked |= ASC_REQ_MUTUAL_AUTH; /* B78 */
    }
    if (engine->library->sspi->AcceptSecurityContext == NULL) {
        return SEC_E_UNSUPPORTED_FUNCTION; /* B95 */
    }
    SECURITY_STATUS status = engine->library->sspi->AcceptSecurityContext(
        &engine->credential->handle, engine->has_handle ? &engine->handle : NULL, input,
        asked, 0, &advanced, output, flags, &expiry);
    if (status >= SEC_E_OK) { /* a failed call may have left anything there */
        engine->handle = advanced;
    }
    return status;
}

SECURITY_STATUS schan__sspi_advance(schan_engine *engine, SecBufferDesc *input,
                                    schan__output *out)
{
    SecBufferDesc output = schan__sspi_description(out->buffers, 3);
    bool is_first = !engine->has_handle;

    memset(out, 0, sizeof(*out));
    out->buffers[0] = schan__sspi_buffer(SECBUFFER_TOKEN, NULL, 0); /* B20 */
    out->buffers[1] = schan__sspi_buffer(SECBUFFER_ALERT, NULL, 0);
    out->buffers[2] = schan__sspi_buffer(SECBUFFER_EMPTY, NULL, 0);
    schan__sspi_enter(engine->library, is_first);
    SECURITY_STATUS status = engine->is_server
                                 ? accept_client(engine, input, &output, &out->flags)
                                 : initialize(engine, input, &output, &out->flags);
    schan__sspi_leave(engine->library, is_first);
    if (is_first) {
        engine->has_handle = status >= SEC_E_OK; /* made, and so to be deleted (B76) */
    }
    return status;
}

const char *schan__sspi_function(const schan_engine *engine)
{
    return engine->is_server ? "AcceptSecurityContext" : "InitializeSecurityContext";
}

bool schan__sspi_is_as_asked(const schan_engine *engine, const schan__output *out)
{
    ULONG wanted =
        engine->is_server ? indispensable_to_servers : indispensable_to_clients;

    return (out->flags & wanted) == wanted; /* B35 */
}

/* ------------------------------------------------------------ other calls */

bool schan__sspi_control(schan_engine *engine, void *control, size_t size)
{
    SecBuffer token = schan__sspi_buffer(SECBUFFER_TOKEN, control, (ULONG)size);
    SecBufferDesc description =
        schan__sspi_description(&token, 1); /* B70: exactly one buffer */

    if (!engine->has_handle || engine->library->sspi->ApplyControlToken == NULL) {
        return false;
    }
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status =
        engine->library->sspi->ApplyControlToken(&engine->handle, &description);
    schan__sspi_leave(engine->library, false);
    return status == SEC_E_OK;
}

void schan__sspi_delete(schan_engine *engine)
{
    if (engine->has_handle) {
        schan__sspi_enter(engine->library, true);
        engine->library->sspi->DeleteSecurityContext(&engine->handle);
        schan__sspi_leave(engine->library, true);
        engine->has_handle = false;
    }
}

/* ----------------------------------------------------------------- issuers */

void schan__sspi_free_issuers(schan_engine *engine)
{
    if (engine->issuers.aIssuers != NULL) {
        engine->library->sspi->FreeContextBuffer(engine->issuers.aIssuers);
    }
    memset(&engine->issuers, 0, sizeof(engine->issuers));
}

void schan__sspi_fetch_issuers(schan_engine *engine)
{
    SecPkgContext_IssuerListInfoEx issuers = {0};

    schan__sspi_free_issuers(engine);
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status = engine->library->sspi->QueryContextAttributesW(
        &engine->handle, SECPKG_ATTR_ISSUER_LIST_EX, &issuers);
    schan__sspi_leave(engine->library, false);
    if (status == SEC_E_OK) { /* else it says nothing about them: any will do */
        engine->issuers = issuers;
    }
}
