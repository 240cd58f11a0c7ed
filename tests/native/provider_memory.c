/*
 * provider_memory.c - the rules of the SSPI table; who breaks one aborts
 *
 * Always true here: a handle is used only while it is alive; buffers come in the numbers,
 * types and sizes that Schannel documents; what a call left unconsumed is presented again,
 * byte by byte (B21, B22, B28, B58); nothing is encrypted while a post-handshake message is
 * half done (B61); every token is given back once, by FreeContextBuffer.
 */
#include "provider_memory.h"

#include <stdlib.h>

static struct {
    const provider_mind *mind;
    bool credentials[PROVIDER_MOST_HANDLES];
    bool is_server[PROVIDER_MOST_HANDLES];
    provider_context contexts[PROVIDER_MOST_HANDLES];
    void *tokens[PROVIDER_MOST_TOKENS];
} provider;

provider_counts provider_calls;
bool provider_may_be_asked;

enum { first_credential = 0x1000, first_context = 0x2000, record_header = 5 };

static void rule(bool is_kept, const char *text)
{
    if (!is_kept) {
        stand_in_abort(text);
    }
}

/* Reads every byte, so that a sanitizer sees a buffer that is too short. */
static uint32_t sum_of(const uint8_t *data, size_t size)
{
    uint32_t sum = 2166136261U;

    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ data[i]) * 16777619U;
    }
    return sum;
}

/* ----------------------------------------------------------------- handles */

static size_t credential_of(const CredHandle *handle)
{
    size_t index = handle->dwLower - first_credential;

    rule(index < PROVIDER_MOST_HANDLES && provider.credentials[index],
         "a credential that is not alive");
    return index;
}

static provider_context *context_of(const CtxtHandle *handle)
{
    size_t index = handle->dwLower - first_context;

    rule(index < PROVIDER_MOST_HANDLES && provider.contexts[index].is_alive,
         "a security context that is not alive");
    rule(provider.credentials[provider.contexts[index].credential],
         "a security context whose credential is gone (B71)");
    return &provider.contexts[index];
}

/* A server has a certificate; whoever has one can read it (B7, B81). */
static void check_certificate(const void *data, ULONG use)
{
    const SCH_CREDENTIALS *newer = data;
    const SCHANNEL_CRED *older = data;
    bool is_newer = newer->dwVersion == SCH_CREDENTIALS_VERSION;
    DWORD count = is_newer ? newer->cCreds : older->cCreds;
    PCCERT_CONTEXT *certificates = is_newer ? newer->paCred : older->paCred;

    rule(count == 1 ||
             (count == 0 && certificates == NULL && use == SECPKG_CRED_OUTBOUND),
         "AcquireCredentialsHandle: its certificate");
    if (count == 1) {
        (void)sum_of(certificates[0]->pbCertEncoded, certificates[0]->cbCertEncoded);
    }
}

static SECURITY_STATUS acquire(LPWSTR principal, LPWSTR package, ULONG use, void *logon,
                               void *data, SEC_GET_KEY_FN get_key, void *argument,
                               PCredHandle handle, PTimeStamp expiry)
{
    DWORD version = *(const DWORD *)data;
    size_t index = 0;

    provider_calls.acquired++;
    rule(principal == NULL && logon == NULL && get_key == NULL && argument == NULL,
         "AcquireCredentialsHandle: arguments that Schannel does not take");
    rule(wcscmp(package, UNISP_NAME_W) == 0, "AcquireCredentialsHandle: the package");
    rule(use == SECPKG_CRED_OUTBOUND || use == SECPKG_CRED_INBOUND,
         "AcquireCredentialsHandle: the use");
    rule(version == SCH_CREDENTIALS_VERSION || version == SCHANNEL_CRED_VERSION,
         "AcquireCredentialsHandle: the version of the structure");
    rule(expiry != NULL, "AcquireCredentialsHandle: no expiry");
    check_certificate(data, use);
    SECURITY_STATUS status = provider.mind->acquire(version);
    if (status != SEC_E_OK) {
        handle->dwLower = 0x77; /* nobody may look at it */
        handle->dwUpper = 0x77;
        return status;
    }
    while (provider.credentials[index]) {
        rule(++index < PROVIDER_MOST_HANDLES, "more credentials than the test needs");
    }
    provider.credentials[index] = true;
    provider.is_server[index] = use == SECPKG_CRED_INBOUND;
    handle->dwLower = first_credential + index;
    handle->dwUpper = 0;
    return SEC_E_OK;
}

static SECURITY_STATUS free_credential(PCredHandle handle)
{
    size_t index = credential_of(handle);

    for (size_t i = 0; i < PROVIDER_MOST_HANDLES; i++) {
        rule(!provider.contexts[i].is_alive || provider.contexts[i].credential != index,
             "a credential is freed before its security context (B71)");
    }
    provider.credentials[index] = false;
    return SEC_E_OK;
}

static SECURITY_STATUS delete_context(PCtxtHandle handle)
{
    context_of(handle)->is_alive = false;
    return SEC_E_OK;
}

/* ------------------------------------------------------------------ tokens */

void *provider_give(const void *data, size_t size)
{
    size_t index = 0;

    while (provider.tokens[index] != NULL) {
        rule(++index < PROVIDER_MOST_TOKENS, "tokens are not given back");
    }
    provider.tokens[index] = malloc(size == 0 ? 1 : size);
    rule(provider.tokens[index] != NULL, "the test has no memory");
    if (size > 0) {
        memcpy(provider.tokens[index], data, size);
    }
    return provider.tokens[index];
}

void provider_give_token(SecBuffer *buffer, const void *data, size_t size)
{
    buffer->pvBuffer = provider_give(data, size);
    buffer->cbBuffer = (ULONG)size;
}

static SECURITY_STATUS free_buffer(void *memory)
{
    for (size_t i = 0; i < PROVIDER_MOST_TOKENS; i++) {
        if (memory != NULL && provider.tokens[i] == memory) {
            provider.tokens[i] = NULL;
            free(memory);
            return SEC_E_OK;
        }
    }
    stand_in_abort("FreeContextBuffer: not a token of SSPI's");
}

/* ----------------------------------------------------------- what is claimed */

static void claim(provider_context *context, const uint8_t *data, size_t size,
                  bool more)
{
    context->claim.size = size;
    context->claim.sum = sum_of(data, size);
    context->claim.wants_more = more;
    context->claim.is_rest = false;
}

static bool is_one_record(const uint8_t *data, size_t size)
{
    return size >= record_header &&
           size == record_header + ((size_t)data[3] << 8U | data[4]);
}

/* What is presented is what was claimed, and whole records behind it; without a claim one
 * whole record. */
static void check_input(provider_context *context, const SecBuffer *buffer)
{
    const uint8_t *data = buffer->pvBuffer;
    size_t size = buffer->cbBuffer;
    const provider_claim *claimed = &context->claim;

    rule(data != NULL && size > 0, "an input without bytes");
    if (claimed->size == 0) {
        rule(claimed->is_rest || is_one_record(data, size),
             "an input that is not one whole record");
        (void)sum_of(data, size);
    } else if (size < claimed->size && is_one_record(data, size)) {
        (void)sum_of(data, size); /* the first record of several that were left */
    } else {
        rule(size >= claimed->size && sum_of(data, claimed->size) == claimed->sum,
             "what was not consumed is not presented again (B21, B22, B28)");
        rule(size > claimed->size || !claimed->wants_more,
             "SEC_E_INCOMPLETE_MESSAGE, and nothing was added (B21)");
    }
    context->claim = (provider_claim){
        .is_rest =
            size < claimed->size || (claimed->is_rest && is_one_record(data, size)),
    };
}

/* --------------------------------------------------------------- handshake */

static const ULONG required_flags = ISC_REQ_ALLOCATE_MEMORY | ISC_REQ_STREAM |
                                    ISC_REQ_MANUAL_CRED_VALIDATION |
                                    ISC_REQ_EXTENDED_ERROR;
static const ULONG required_of_servers = ASC_REQ_ALLOCATE_MEMORY | ASC_REQ_STREAM |
                                         ASC_REQ_CONFIDENTIALITY | ASC_REQ_INTEGRITY |
                                         ASC_REQ_EXTENDED_ERROR;

static void check_output(const SecBufferDesc *output)
{
    static const ULONG types[] = {SECBUFFER_TOKEN, SECBUFFER_ALERT, SECBUFFER_EMPTY};

    rule(output->ulVersion == SECBUFFER_VERSION && output->cBuffers == 3,
         "three output buffers (B20)");
    for (size_t i = 0; i < 3; i++) {
        rule(output->pBuffers[i].BufferType == types[i] &&
                 output->pBuffers[i].pvBuffer == NULL &&
                 output->pBuffers[i].cbBuffer == 0,
             "outputs are TOKEN, ALERT, EMPTY, and none with memory");
    }
}

static void check_offer(const SecBuffer *buffer)
{
    const SEC_APPLICATION_PROTOCOLS *offer = buffer->pvBuffer;

    rule(buffer->BufferType == SECBUFFER_APPLICATION_PROTOCOLS && offer != NULL,
         "the buffer of the ALPN offer (B17, B77)");
    rule(offer->ProtocolListsSize + sizeof(ULONG) == buffer->cbBuffer,
         "the ALPN offer's size");
    rule(offer->ProtocolLists[0].ProtocolListSize +
                 offsetof(SEC_APPLICATION_PROTOCOL_LIST, ProtocolList) ==
             offer->ProtocolListsSize,
         "the ALPN list's size");
    (void)sum_of(buffer->pvBuffer, buffer->cbBuffer);
}

static void check_first_input(const SecBufferDesc *input)
{
    if (input != NULL) {
        rule(input->ulVersion == SECBUFFER_VERSION && input->cBuffers == 1,
             "a client's first call has no input, or the ALPN offer (B17)");
        check_offer(input->pBuffers);
    }
}

static void check_slots(const SecBufferDesc *input, ULONG count)
{
    rule(input != NULL && input->ulVersion == SECBUFFER_VERSION &&
             input->cBuffers == count,
         "the number of input buffers");
    rule(input->pBuffers[0].BufferType == SECBUFFER_TOKEN &&
             input->pBuffers[1].BufferType == SECBUFFER_EMPTY &&
             input->pBuffers[1].pvBuffer == NULL && input->pBuffers[1].cbBuffer == 0,
         "TOKEN and EMPTY (B20)");
}

/* A server's first input is nothing but whole records; how much of it was there before, no
 * security context remembers (B76). */
static void check_first_of_server(const SecBufferDesc *input)
{
    bool has_offer = input != NULL && input->cBuffers == 3;

    check_slots(input, has_offer ? 3 : 2); /* B77 */
    if (has_offer) {
        check_offer(&input->pBuffers[2]);
    }
    const uint8_t *data = input->pBuffers[0].pvBuffer;
    size_t size = input->pBuffers[0].cbBuffer;
    rule(size > 0, "an input without bytes");
    while (size > 0) {
        rule(size >= record_header &&
                 size >= record_header + ((size_t)data[3] << 8U | data[4]),
             "a server's first input is not whole records");
        size_t whole = record_header + ((size_t)data[3] << 8U | data[4]);
        (void)sum_of(data, whole);
        data += whole;
        size -= whole;
    }
}

static void check_later_input(provider_context *context, const SecBufferDesc *input)
{
    if (context->has_control) {
        rule(input == NULL, "after ApplyControlToken there is no input (B70)");
        return;
    }
    rule(context->phase == PROVIDER_HANDSHAKE ||
             context->phase == PROVIDER_POST_HANDSHAKE,
         "a handshake goes on that was done, or had failed");
    if (input == NULL) { /* B60 */
        rule(context->phase == PROVIDER_POST_HANDSHAKE && !context->is_server &&
                 !context->is_tls13 && !context->has_begun_again &&
                 context->claim.size == 0,
             "no input, and no renegotiation begins");
    } else {
        check_slots(input, 2);
        check_input(context, &input->pBuffers[0]);
    }
    context->has_begun_again = context->phase == PROVIDER_POST_HANDSHAKE;
}

static provider_context *new_context(const CredHandle *credential, CtxtHandle *handle)
{
    size_t index = 0;

    while (provider.contexts[index].is_alive) {
        rule(++index < PROVIDER_MOST_HANDLES, "more security contexts than planned");
    }
    memset(&provider.contexts[index], 0, sizeof(provider.contexts[index]));
    provider.contexts[index].is_alive = true;
    provider.contexts[index].credential = credential_of(credential);
    provider.contexts[index].is_server =
        provider.is_server[provider.contexts[index].credential];
    handle->dwLower = first_context + index;
    handle->dwUpper = 0;
    return &provider.contexts[index];
}

/* What the mind left of the input must come again. */
static void note_claim(provider_context *context, const SecBuffer *input,
                       const SecBuffer *given, SECURITY_STATUS status)
{
    const uint8_t *data = given->pvBuffer;
    size_t size = given->cbBuffer;

    if (status == SEC_E_INCOMPLETE_MESSAGE) {
        claim(context, data, size, true);
    } else if (status == SEC_I_INCOMPLETE_CREDENTIALS) {
        claim(context, data, size, false);
    } else if (input[1].BufferType == SECBUFFER_EXTRA && input[1].cbBuffer > 0 &&
               input[1].cbBuffer <= size && (status >= 0)) {
        claim(context, data + size - input[1].cbBuffer, input[1].cbBuffer, false);
    }
}

static void note_status(provider_context *context, SECURITY_STATUS status)
{
    if (status == SEC_E_OK) {
        context->is_done = true;
        context->phase = PROVIDER_OPEN;
        context->has_begun_again = false;
    } else if (status < 0 && status != SEC_E_INCOMPLETE_MESSAGE) {
        context->phase = PROVIDER_FAILED;
    }
}

/* A call with a security context: of either role. */
static SECURITY_STATUS advance(provider_context *context, PSecBufferDesc input,
                               PSecBufferDesc output, ULONG *flags)
{
    SecBuffer given = {0};

    check_later_input(context, input);
    if (input == NULL) {
        context->has_control = false;
        return provider.mind->initialize(context, NULL, output->pBuffers, flags);
    }
    given = input->pBuffers[0];
    SECURITY_STATUS status =
        provider.mind->initialize(context, input->pBuffers, output->pBuffers, flags);
    note_claim(context, input->pBuffers, &given, status);
    note_status(context, status);
    return status;
}

static SECURITY_STATUS initialize(PCredHandle credential, PCtxtHandle old,
                                  LPWSTR target, ULONG requested, ULONG reserved,
                                  ULONG representation, PSecBufferDesc input,
                                  ULONG reserved2, PCtxtHandle created,
                                  PSecBufferDesc output, ULONG *flags,
                                  PTimeStamp expiry)
{
    bool is_supplied = (requested & ISC_REQ_USE_SUPPLIED_CREDS) != 0;

    provider_calls.initialized++;
    rule((requested & required_flags) == required_flags && reserved == 0 &&
             representation == 0 && reserved2 == 0 && flags != NULL && expiry != NULL,
         "InitializeSecurityContext: flags and reserved arguments");
    rule(is_supplied || provider_may_be_asked,
         "InitializeSecurityContext without USE_SUPPLIED_CREDS (B28)");
    rule(!provider.is_server[credential_of(credential)], "a credential of servers");
    if (target != NULL) {
        (void)wcslen(target);
    }
    check_output(output);
    *flags = requested; /* the RET flags have the values of the REQ flags */
    if (old != NULL) {
        rule(created == NULL, "InitializeSecurityContext: a second new context");
        return advance(context_of(old), input, output, flags);
    }
    check_first_input(input);
    provider_context *context = new_context(credential, created);
    SECURITY_STATUS status =
        provider.mind->initialize(context, NULL, output->pBuffers, flags);
    if (status < 0) { /* a first call that fails makes no security context */
        context->is_alive = false;
    }
    return status;
}

static SECURITY_STATUS accept_client(PCredHandle credential, PCtxtHandle old,
                                     PSecBufferDesc input, ULONG requested,
                                     ULONG representation, PCtxtHandle created,
                                     PSecBufferDesc output, ULONG *flags,
                                     PTimeStamp expiry)
{
    provider_calls.initialized++;
    rule((requested & required_of_servers) == required_of_servers &&
             representation == 0 && created != NULL && flags != NULL && expiry != NULL,
         "AcceptSecurityContext: flags and reserved arguments");
    rule(provider.is_server[credential_of(credential)], "a credential of clients");
    check_output(output);
    *flags = requested;
    if (old != NULL) {
        rule(context_of(old)->is_server, "a security context of a client's");
        SECURITY_STATUS later = advance(context_of(old), input, output, flags);
        if (later < 0) { /* nobody may look at it */
            created->dwLower = 0x77;
            created->dwUpper = 0x77;
        }
        return later;
    }
    check_first_of_server(input);
    SecBuffer given = input->pBuffers[0];
    provider_context *context = new_context(credential, created);
    SECURITY_STATUS status =
        provider.mind->initialize(context, input->pBuffers, output->pBuffers, flags);
    if (status < 0) { /* B76: and nobody may look at it */
        context->is_alive = false;
        created->dwLower = 0x77;
        created->dwUpper = 0x77;
        return status;
    }
    note_claim(context, input->pBuffers, &given, status);
    note_status(context, status);
    return status;
}

static SECURITY_STATUS control(PCtxtHandle handle, PSecBufferDesc input)
{
    provider_context *context = context_of(handle);
    const SecBuffer *buffer = input->pBuffers;
    const DWORD *words = buffer->pvBuffer;

    provider_calls.controlled++;
    rule(input->ulVersion == SECBUFFER_VERSION && input->cBuffers == 1 &&
             buffer->BufferType == SECBUFFER_TOKEN,
         "ApplyControlToken: one TOKEN (B70)");
    rule(context->phase != PROVIDER_FAILED, "ApplyControlToken on a failed context");
    rule((words[0] == SCHANNEL_SHUTDOWN && buffer->cbBuffer == sizeof(DWORD)) ||
             (words[0] == SCHANNEL_ALERT &&
              buffer->cbBuffer == sizeof(SCHANNEL_ALERT_TOKEN)) ||
             (words[0] == SCHANNEL_SESSION &&
              buffer->cbBuffer == sizeof(SCHANNEL_SESSION_TOKEN)),
         "ApplyControlToken: a DWORD, an alert or a session token");
    SECURITY_STATUS status = provider.mind->control(context, words);
    if (words[0] == SCHANNEL_SESSION) { /* B13: nothing has to be fetched */
        rule(!context->is_done && !context->is_server, "SCHANNEL_SESSION too late");
        return status;
    }
    context->has_control = status == SEC_E_OK;
    context->is_shut_down = context->is_shut_down || status == SEC_E_OK;
    return status;
}

static SECURITY_STATUS query(PCtxtHandle handle, ULONG attribute, void *value)
{
    provider_context *context = context_of(handle);

    rule(context->is_done || attribute == SECPKG_ATTR_ISSUER_LIST_EX,
         "QueryContextAttributes before the handshake is done");
    SECURITY_STATUS status = provider.mind->query(context, attribute, value);
    if (attribute == SECPKG_ATTR_STREAM_SIZES && status == SEC_E_OK) {
        context->sizes = *(const SecPkgContext_StreamSizes *)value;
    }
    if (attribute == SECPKG_ATTR_CONNECTION_INFO && status == SEC_E_OK) {
        DWORD protocol = ((const SecPkgContext_ConnectionInfo *)value)->dwProtocol;
        context->is_tls13 =
            (protocol & (SP_PROT_TLS1_3_CLIENT | SP_PROT_TLS1_3_SERVER)) != 0;
    }
    rule(attribute != SECPKG_ATTR_KEYING_MATERIAL || context->has_described,
         "keying material that nobody has described (B73)");
    return status;
}

static SECURITY_STATUS set_attributes(PCtxtHandle handle, ULONG attribute, void *value,
                                      ULONG size)
{
    provider_context *context = context_of(handle);
    const SecPkgContext_KeyingMaterialInfo *wanted = value;

    rule(context->is_done && attribute == SECPKG_ATTR_KEYING_MATERIAL_INFO &&
             size == sizeof(*wanted),
         "SetContextAttributes");
    rule(strlen(wanted->pszLabel) + 1 == wanted->cbLabel, "a label with its NUL (B73)");
    rule((wanted->cbContextValue == 0) == (wanted->pbContextValue == NULL) &&
             wanted->cbKeyingMaterial > 0,
         "the context and the size of keying material");
    (void)sum_of(wanted->pbContextValue, wanted->cbContextValue);
    SECURITY_STATUS status = provider.mind->describe(context, wanted);
    context->has_described = status == SEC_E_OK;
    return status;
}

/* ----------------------------------------------------------------- records */

static void check_description(const SecBufferDesc *description, const ULONG *types)
{
    rule(description->ulVersion == SECBUFFER_VERSION && description->cBuffers == 4,
         "four buffers (B50, B53)");
    for (size_t i = 0; i < 4; i++) {
        rule(description->pBuffers[i].BufferType == types[i],
             "the types of the buffers");
    }
}

static SECURITY_STATUS encrypt(PCtxtHandle handle, ULONG quality,
                               PSecBufferDesc description, ULONG sequence)
{
    static const ULONG types[] = {SECBUFFER_STREAM_HEADER, SECBUFFER_DATA,
                                  SECBUFFER_STREAM_TRAILER, SECBUFFER_EMPTY};
    provider_context *context = context_of(handle);
    SecBuffer *buffers = description->pBuffers;

    provider_calls.encrypted++;
    rule(quality == 0 && sequence == 0, "EncryptMessage: arguments that must be 0");
    rule(context->phase == PROVIDER_OPEN || context->phase == PROVIDER_EXPIRED,
         "EncryptMessage outside an open connection (B61)");
    rule(!context->is_shut_down, "EncryptMessage after close_notify");
    check_description(description, types);
    rule(buffers[0].cbBuffer == context->sizes.cbHeader &&
             buffers[2].cbBuffer == context->sizes.cbTrailer,
         "EncryptMessage: room for header and trailer");
    rule(buffers[1].cbBuffer > 0 &&
             buffers[1].cbBuffer <= context->sizes.cbMaximumMessage,
         "EncryptMessage: 1 .. cbMaximumMessage bytes (B50, B51)");
    rule((uint8_t *)buffers[0].pvBuffer + buffers[0].cbBuffer == buffers[1].pvBuffer &&
             (uint8_t *)buffers[1].pvBuffer + buffers[1].cbBuffer ==
                 buffers[2].pvBuffer,
         "EncryptMessage: the three parts in one piece");
    (void)sum_of(buffers[1].pvBuffer, buffers[1].cbBuffer);
    SECURITY_STATUS status = provider.mind->encrypt(context, buffers);
    if (status != SEC_E_OK) {
        context->phase = PROVIDER_FAILED;
    }
    return status;
}

static void note_decrypted(provider_context *context, const SecBuffer *given,
                           const SecBuffer *buffers, SECURITY_STATUS status)
{
    const uint8_t *data = given->pvBuffer;

    if (status == SEC_E_INCOMPLETE_MESSAGE) {
        claim(context, data, given->cbBuffer, true);
        return;
    }
    bool is_put_aside = context->has_begun_again && status == SEC_E_OK; /* B26 */
    if (!is_put_aside) {
        context->phase = status == SEC_I_RENEGOTIATE       ? PROVIDER_POST_HANDSHAKE
                         : status == SEC_I_CONTEXT_EXPIRED ? PROVIDER_EXPIRED
                         : status == SEC_E_OK              ? PROVIDER_OPEN
                                                           : PROVIDER_FAILED;
    }
    for (size_t i = 0; i < 4 && status >= 0; i++) {
        if (buffers[i].BufferType == SECBUFFER_EXTRA && buffers[i].cbBuffer > 0 &&
            buffers[i].cbBuffer <= given->cbBuffer) {
            const uint8_t *extra = buffers[i].pvBuffer;
            bool is_inside = extra != NULL && extra >= data &&
                             extra + buffers[i].cbBuffer <= data + given->cbBuffer;
            claim(context,
                  is_inside ? extra : data + given->cbBuffer - buffers[i].cbBuffer,
                  buffers[i].cbBuffer, false);
            return;
        }
    }
}

static SECURITY_STATUS decrypt(PCtxtHandle handle, PSecBufferDesc description,
                               ULONG sequence, ULONG *quality)
{
    static const ULONG types[] = {SECBUFFER_DATA, SECBUFFER_EMPTY, SECBUFFER_EMPTY,
                                  SECBUFFER_EMPTY};
    provider_context *context = context_of(handle);
    SecBuffer *buffers = description->pBuffers;
    SecBuffer given = buffers[0];

    provider_calls.decrypted++;
    rule(sequence == 0 && quality == NULL, "DecryptMessage: arguments");
    bool is_put_aside = context->has_begun_again && !context->is_tls13 &&
                        context->claim.size == 0 && given.cbBuffer > 0 &&
                        *(const uint8_t *)given.pvBuffer == 23; /* B26 */
    rule(context->phase == PROVIDER_OPEN || is_put_aside,
         "DecryptMessage outside an open connection");
    check_description(description, types);
    for (size_t i = 1; i < 4; i++) {
        rule(buffers[i].pvBuffer == NULL && buffers[i].cbBuffer == 0,
             "an EMPTY buffer");
    }
    check_input(context, &given);
    SECURITY_STATUS status = provider.mind->decrypt(context, buffers);
    note_decrypted(context, &given, buffers, status);
    return status;
}

/* ------------------------------------------------------------------- table */

static const SecurityFunctionTableW table = {
    .dwVersion = SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_4,
    .AcquireCredentialsHandleW = acquire,
    .FreeCredentialsHandle = free_credential,
    .InitializeSecurityContextW = initialize,
    .AcceptSecurityContext = accept_client,
    .DeleteSecurityContext = delete_context,
    .ApplyControlToken = control,
    .QueryContextAttributesW = query,
    .SetContextAttributesW = set_attributes,
    .FreeContextBuffer = free_buffer,
    .EncryptMessage = encrypt,
    .DecryptMessage = decrypt,
};

const SecurityFunctionTableW *provider_begin(const provider_mind *mind)
{
    memset(&provider, 0, sizeof(provider));
    memset(&provider_calls, 0, sizeof(provider_calls));
    provider.mind = mind;
    provider_may_be_asked = false;
    return &table;
}

void provider_end(void)
{
    for (size_t i = 0; i < PROVIDER_MOST_HANDLES; i++) {
        rule(!provider.contexts[i].is_alive, "a security context was not deleted");
        rule(!provider.credentials[i], "a credential was not freed");
    }
    for (size_t i = 0; i < PROVIDER_MOST_TOKENS; i++) {
        rule(provider.tokens[i] == NULL, "a token was not freed");
    }
}
