/*
 * toy_tls.c - the mind of the provider, and its peer; toy_tls.h shows the messages
 */
#include "toy_tls.h"

#include "system_memory.h"

struct toy toy;

/* ----------------------------------------------------------------- records */

static void put_header(uint8_t *record, uint8_t type, size_t body_size)
{
    record[0] = type;
    record[1] = 3;
    record[2] = 3;
    record[3] = (uint8_t)(body_size >> 8U);
    record[4] = (uint8_t)body_size;
}

static size_t record_size(const uint8_t *record)
{
    return TOY_HEADER + ((size_t)record[3] << 8U | record[4]);
}

/* Over the plaintext; encrypts or decrypts in place. */
static uint32_t cover(uint8_t *data, size_t size, uint64_t sequence, bool decrypts)
{
    uint32_t sum = 2166136261U + (uint32_t)sequence * 40503U;

    for (size_t i = 0; i < size; i++) {
        uint8_t key = (uint8_t)(sequence * 7 + i * 5 + 0x5a);
        uint8_t covered = data[i] ^ key;
        sum = (sum ^ (decrypts ? covered : data[i])) * 16777619U;
        data[i] = covered;
    }
    return sum;
}

static void put_sum(uint8_t *to, uint32_t sum)
{
    for (unsigned i = 0; i < 4; i++) {
        to[i] = (uint8_t)(sum >> (8 * i));
    }
}

/* `content`: plaintext; behind it TOY_TRAILER bytes of room. */
static void seal_content(uint8_t *content, size_t size, uint8_t *trailer, uint8_t inner,
                         uint64_t sequence)
{
    uint32_t sum = cover(content, size, sequence, false);

    trailer[0] = inner ^ (uint8_t)(sequence * 3 + 1);
    put_sum(trailer + 1, sum ^ (inner * 2654435761U));
}

static bool open_content(uint8_t *content, size_t size, const uint8_t *trailer,
                         uint8_t *inner, uint64_t sequence)
{
    uint8_t expected[4] = {0};

    *inner = trailer[0] ^ (uint8_t)(sequence * 3 + 1);
    put_sum(expected, cover(content, size, sequence, true) ^ (*inner * 2654435761U));
    return memcmp(expected, trailer + 1, sizeof(expected)) == 0;
}

size_t toy_clear_record(uint8_t *out, uint8_t type, const void *body, size_t size)
{
    put_header(out, type, size);
    memcpy(out + TOY_HEADER, body, size);
    return TOY_HEADER + size;
}

static size_t seal(uint8_t *out, uint8_t inner, const void *body, size_t size,
                   uint64_t sequence)
{
    put_header(out, TOY_DATA, size + TOY_TRAILER);
    if (size > 0) {
        memcpy(out + TOY_HEADER, body, size);
    }
    seal_content(out + TOY_HEADER, size, out + TOY_HEADER + size, inner, sequence);
    return TOY_HEADER + size + TOY_TRAILER;
}

size_t toy_seal(toy_peer *peer, uint8_t *out, uint8_t inner, const void *body,
                size_t size)
{
    return seal(out, inner, body, size, peer->sealed++);
}

/* A record made by EncryptMessage is padded to the stream sizes; a token is not. */
bool toy_open(toy_peer *peer, uint8_t *record, size_t size, uint8_t *inner,
              uint8_t **plain, size_t *plain_size)
{
    size_t before = toy.uses_less_room ? 0 : toy.sizes.cbHeader - TOY_HEADER;
    size_t behind = toy.uses_less_room ? 0 : toy.sizes.cbTrailer - TOY_TRAILER;
    uint64_t sequence = peer->opened++;
    bool is_token =
        size >= TOY_HEADER + TOY_TRAILER && record[1] == 3 && record[2] == 4;

    if (is_token) {
        before = 0;
        behind = 0;
    }
    if (size < TOY_HEADER + TOY_TRAILER + before + behind) {
        return false;
    }
    *plain = record + TOY_HEADER + before;
    *plain_size = size - TOY_HEADER - TOY_TRAILER - before - behind;
    return open_content(*plain, *plain_size, *plain + *plain_size, inner, sequence);
}

/* --------------------------------------------------------------- handshake */

static void give_sealed(provider_context *context, SecBuffer *buffer, uint8_t inner,
                        const void *body, size_t size)
{
    uint8_t record[64];
    size_t written = seal(record, inner, body, size, context->sealed++);

    record[2] = 4; /* a token, for toy_open */
    provider_give_token(buffer, record, written);
}

static void give_clear(SecBuffer *buffer, uint8_t type, const void *body, size_t size)
{
    uint8_t record[64];

    provider_give_token(buffer, record, toy_clear_record(record, type, body, size));
}

static SECURITY_STATUS refuse(SecBuffer *output, uint8_t alert, SECURITY_STATUS status)
{
    const uint8_t body[] = {2, alert};

    give_clear(&output[1], TOY_ALERT, body, sizeof(body));
    return status;
}

static void leave_extra(SecBuffer *input, size_t extra)
{
    if (extra > 0) {
        input[1].BufferType = SECBUFFER_EXTRA;
        input[1].cbBuffer = (ULONG)extra;
    }
}

static SECURITY_STATUS finish(SecBuffer *input, size_t extra)
{
    leave_extra(input, extra);
    return SEC_E_OK;
}

/* How many bytes `count` whole records take; 0: they are not all there. */
static size_t whole_records(const uint8_t *data, size_t size, size_t count)
{
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        if (size - taken < TOY_HEADER || record_size(data + taken) > size - taken) {
            return 0;
        }
        taken += record_size(data + taken);
    }
    return taken;
}

static SECURITY_STATUS on_message(provider_context *context, SecBuffer *input,
                                  SecBuffer *output)
{
    const uint8_t *data = input[0].pvBuffer;
    size_t size = input[0].cbBuffer;
    size_t whole = whole_records(data, size, 1);
    uint8_t argument = whole > TOY_HEADER + 1 ? data[TOY_HEADER + 1] : 0;

    if (whole == 0) {
        return SEC_E_INCOMPLETE_MESSAGE;
    }
    if (data[0] == TOY_ALERT) {
        return refuse(output, 80, SEC_E_ILLEGAL_MESSAGE);
    }
    if (data[0] != TOY_HANDSHAKE || whole == TOY_HEADER) {
        return refuse(output, 10, SEC_E_INVALID_TOKEN);
    }
    switch (data[TOY_HEADER]) {
    case 'S':
        if (argument % 2 == 1) {
            give_clear(&output[0], TOY_HANDSHAKE, "s", 1);
        }
        leave_extra(input, size - whole);
        return SEC_I_CONTINUE_NEEDED;
    case 'L':
        return SEC_E_INCOMPLETE_MESSAGE;
    case 'M':
        whole = whole_records(data, size, 1 + argument % 3);
        if (whole == 0) {
            return SEC_E_INCOMPLETE_MESSAGE;
        }
        leave_extra(input, size - whole);
        return SEC_I_CONTINUE_NEEDED;
    case 'C':
        if (context->is_server) {
            return refuse(output, 10, SEC_E_ILLEGAL_MESSAGE);
        }
        if (context->asked_for_credential++ % 2 == 0) {
            return SEC_I_INCOMPLETE_CREDENTIALS;
        }
        give_clear(&output[0], TOY_HANDSHAKE, "c", 1);
        leave_extra(input, size - whole);
        return SEC_I_CONTINUE_NEEDED;
    case 'F':
        give_clear(&output[0], TOY_HANDSHAKE, "f", 1);
        return finish(input, size - whole);
    default:
        return refuse(output, 47, SEC_E_ILLEGAL_MESSAGE);
    }
}

/* ---------------------------------------------------------- post-handshake */

static SECURITY_STATUS on_post_message(provider_context *context, SecBuffer *input,
                                       SecBuffer *output)
{
    const uint8_t *data = input[0].pvBuffer;
    size_t size = input[0].cbBuffer;
    size_t whole = 0;

    if (data[0] == TOY_HANDSHAKE) { /* behind 'A' */
        return on_message(context, input, output);
    }
    if (data[0] == TOY_DATA && size > TOY_HEADER) { /* EXTRA was the whole record */
        whole = whole_records(data, size, 1);
        data += TOY_HEADER;
        size -= TOY_HEADER;
    }
    switch (data[0]) {
    case 'K':
        give_sealed(context, &output[0], TOY_HANDSHAKE, "k", 1);
        return SEC_E_OK;
    case 'T':
        return SEC_E_OK;
    case 'M':
        if (context->claim.wants_more || context->asked_for_credential == 'M') {
            context->asked_for_credential = 0;
            context->opened++; /* the next record was a part of it */
            return SEC_E_OK;
        }
        context->asked_for_credential = 'M';
        return SEC_E_INCOMPLETE_MESSAGE;
    case 'A':
        return SEC_I_CONTINUE_NEEDED;
    case 'R':
        if (context->is_server || context->is_tls13) {
            return refuse(output, 10, SEC_E_INVALID_TOKEN);
        }
        give_clear(&output[0], TOY_HANDSHAKE, "hello", 5);
        return SEC_I_CONTINUE_NEEDED;
    case 'E':
        return finish(input, whole == 0 && size > 2 ? size - 2 : 0);
    default:
        return refuse(output, 10, SEC_E_INVALID_TOKEN);
    }
}

static SECURITY_STATUS after_control(provider_context *context, SecBuffer *output)
{
    const uint8_t close_notify[] = {1, 0};

    if (context->is_done) {
        give_sealed(context, &output[0], TOY_ALERT, close_notify, sizeof(close_notify));
        return SEC_I_CONTEXT_EXPIRED; /* B68 */
    }
    give_clear(&output[0], TOY_ALERT, close_notify, sizeof(close_notify));
    return SEC_E_OK;
}

static SECURITY_STATUS initialize(provider_context *context, SecBuffer *input,
                                  SecBuffer *output, ULONG *flags)
{
    *flags &= ~toy.lacking_flags;
    if (input == NULL && context->is_shut_down) {
        return after_control(context, output);
    }
    if (context->is_server && toy.start_status != 0 && !context->is_done) {
        return toy.start_status; /* and says nothing (B80) */
    }
    if (input == NULL) {
        if (context->phase == PROVIDER_POST_HANDSHAKE) { /* B60 */
            toy.alpn = toy.alpn_of_renegotiation;
        }
        if (toy.start_status != 0) {
            return toy.start_status < 0 ? refuse(output, 40, toy.start_status)
                                        : toy.start_status;
        }
        give_clear(&output[0], TOY_HANDSHAKE, "hello", 5);
        return SEC_I_CONTINUE_NEEDED;
    }
    return context->phase == PROVIDER_POST_HANDSHAKE
               ? on_post_message(context, input, output)
               : on_message(context, input, output);
}

static SECURITY_STATUS control(provider_context *context, const DWORD *words)
{
    (void)context;
    (void)words;
    return toy.control_status;
}

/* ----------------------------------------------------------------- records */

static SECURITY_STATUS encrypt(provider_context *context, SecBuffer *buffers)
{
    size_t before = toy.uses_less_room ? 0 : buffers[0].cbBuffer - TOY_HEADER;
    uint8_t *header = buffers[0].pvBuffer;
    uint8_t *trailer = buffers[2].pvBuffer;

    memset(header, 0, buffers[0].cbBuffer);
    memset(trailer, 0, buffers[2].cbBuffer);
    if (toy.uses_less_room) {
        buffers[0].cbBuffer = TOY_HEADER;
        buffers[2].cbBuffer = TOY_TRAILER;
    }
    put_header(header, TOY_DATA, before + buffers[1].cbBuffer + buffers[2].cbBuffer);
    seal_content(buffers[1].pvBuffer, buffers[1].cbBuffer, trailer, TOY_DATA,
                 context->sealed++);
    return SEC_E_OK;
}

static void split(SecBuffer *buffers, uint8_t *plain, size_t size)
{
    uint8_t *record = buffers[0].pvBuffer;

    buffers[0].BufferType = SECBUFFER_STREAM_HEADER;
    buffers[0].cbBuffer = TOY_HEADER;
    buffers[1].BufferType = SECBUFFER_DATA;
    buffers[1].pvBuffer = plain;
    buffers[1].cbBuffer = (ULONG)size;
    buffers[2].BufferType = SECBUFFER_STREAM_TRAILER;
    buffers[2].pvBuffer = record + record_size(record) - TOY_TRAILER;
    buffers[2].cbBuffer = TOY_TRAILER;
}

/* Three shapes of EXTRA that Windows has (B22, B58): inside the record, the whole record,
 * the end of the record without a pointer. */
static SECURITY_STATUS on_sealed_message(SecBuffer *buffers, uint8_t *message,
                                         size_t size, bool has_data)
{
    uint8_t *record = buffers[0].pvBuffer;
    uint8_t shape = size > 1 ? message[1] % 3 : 0;

    if (message[0] == 'R' && size > 1 && message[1] == 3) {
        return SEC_I_RENEGOTIATE;
    }
    buffers[3].BufferType = SECBUFFER_EXTRA;
    buffers[3].pvBuffer = shape == 0 ? message : NULL;
    buffers[3].cbBuffer = (ULONG)size;
    if (shape == 1 && !has_data) {
        buffers[3].cbBuffer = (ULONG)record_size(record);
    } else if (shape == 2) {
        buffers[3].cbBuffer = (ULONG)(size + TOY_TRAILER);
    } else {
        buffers[3].pvBuffer = message;
    }
    return SEC_I_RENEGOTIATE;
}

/* What was EXTRA of InitializeSecurityContext: no record, a message in the clear. */
static SECURITY_STATUS on_handed_back(SecBuffer *buffers)
{
    SecBuffer given = buffers[0];

    buffers[0].BufferType = SECBUFFER_EMPTY;
    buffers[0].cbBuffer = 0;
    buffers[1].BufferType = SECBUFFER_EXTRA;
    buffers[1].pvBuffer = given.pvBuffer;
    buffers[1].cbBuffer = given.cbBuffer;
    return SEC_I_RENEGOTIATE;
}

static SECURITY_STATUS decrypt(provider_context *context, SecBuffer *buffers)
{
    uint8_t *record = buffers[0].pvBuffer;
    size_t size = buffers[0].cbBuffer;
    uint8_t inner = 0;

    if (memchr("KTMAER", record[0], 6) != NULL) {
        return on_handed_back(buffers);
    }
    if (record[0] != TOY_DATA) {
        return SEC_E_ILLEGAL_MESSAGE;
    }
    if (size < TOY_HEADER + TOY_TRAILER) {
        return SEC_E_DECRYPT_FAILURE;
    }
    uint8_t *plain = record + TOY_HEADER;
    size = record_size(record) - TOY_HEADER - TOY_TRAILER;
    if (!open_content(plain, size, plain + size, &inner, context->opened++)) {
        return SEC_E_MESSAGE_ALTERED;
    }
    split(buffers, plain, inner == TOY_DATA ? size : 0);
    if (inner == TOY_DATA) {
        return SEC_E_OK;
    }
    if (inner == TOY_ALERT && toy.tells_no_close) {
        return SEC_E_OK;
    }
    if (inner == TOY_ALERT) {
        return size == 2 && plain[1] == 0 ? SEC_I_CONTEXT_EXPIRED
                                          : SEC_E_ILLEGAL_MESSAGE;
    }
    if (inner == TOY_HANDSHAKE && size > 0) {
        return on_sealed_message(buffers, plain, size, false);
    }
    if (inner == TOY_DATA_AND_HANDSHAKE && size > 1 && size > 1U + plain[0]) {
        split(buffers, plain + 1, plain[0]);
        return on_sealed_message(buffers, plain + 1 + plain[0], size - 1 - plain[0],
                                 true);
    }
    return SEC_E_ILLEGAL_MESSAGE;
}

/* ----------------------------------------------------------------- queries */

static void tell_cipher(SecPkgContext_CipherInfo *cipher)
{
    static const wchar_t name[] = L"TLS_TOY";

    memset(cipher, 0, sizeof(*cipher));
    cipher->dwVersion = SECPKGCONTEXT_CIPHERINFO_V1;
    memcpy(cipher->szCipherSuite, name, sizeof(name));
    cipher->dwCipherLen = 8;
}

static void tell_alpn(SecPkgContext_ApplicationProtocol *protocol)
{
    memset(protocol, 0, sizeof(*protocol));
    if (toy.alpn != NULL) {
        protocol->ProtoNegoStatus = SecApplicationProtocolNegotiationStatus_Success;
        protocol->ProtoNegoExt = SecApplicationProtocolNegotiationExt_ALPN;
        protocol->ProtocolIdSize = (UCHAR)strlen(toy.alpn);
        memcpy(protocol->ProtocolId, toy.alpn, protocol->ProtocolIdSize);
    }
}

static SECURITY_STATUS tell_binding(SecPkgContext_Bindings *bindings)
{
    uint8_t room[sizeof(SEC_CHANNEL_BINDINGS) + 128] = {0};
    SEC_CHANNEL_BINDINGS header = {0};

    if (toy.binding == NULL) {
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
    header.dwApplicationDataOffset = (ULONG)(sizeof(header) + toy.binding_offset);
    header.cbApplicationDataLength = (ULONG)toy.binding_size;
    memcpy(room, &header, sizeof(header));
    memcpy(room + sizeof(header), toy.binding, toy.binding_size);
    bindings->BindingsLength = (ULONG)(sizeof(header) + toy.binding_size);
    bindings->Bindings = provider_give(room, bindings->BindingsLength);
    return SEC_E_OK;
}

static SECURITY_STATUS tell_issuers(SecPkgContext_IssuerListInfoEx *issuers)
{
    static BYTE name[] = "issuer";
    const CERT_NAME_BLOB list[] = {{6, name}, {0, NULL}};

    if (!toy.has_issuers) {
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
    issuers->cIssuers = 2;
    issuers->aIssuers = provider_give(list, sizeof(list));
    return SEC_E_OK;
}

static ULONG wanted_material;

static SECURITY_STATUS describe(provider_context *context,
                                const SecPkgContext_KeyingMaterialInfo *wanted)
{
    (void)context;
    wanted_material = wanted->cbKeyingMaterial;
    return toy.describe_status;
}

static SECURITY_STATUS tell_material(SecPkgContext_KeyingMaterial *material)
{
    static uint8_t room[4096];

    memset(room, 'k', sizeof(room));
    if (wanted_material > sizeof(room)) {
        return SEC_E_INSUFFICIENT_MEMORY;
    }
    material->cbKeyingMaterial = wanted_material - (ULONG)toy.material_lacks;
    material->pbKeyingMaterial = provider_give(room, material->cbKeyingMaterial);
    return SEC_E_OK;
}

static SECURITY_STATUS tell_connection(SecPkgContext_ConnectionInfo *connection)
{
    memset(connection, 0, sizeof(*connection));
    connection->dwProtocol = toy.protocol;
    connection->dwCipherStrength = 8;
    connection->aiExch = CALG_ECDH_EPHEM;
    connection->dwExchStrength = 255;
    return SEC_E_OK;
}

static SECURITY_STATUS tell_session(SecPkgContext_SessionInfo *session)
{
    memset(session, 0, sizeof(*session));
    session->dwFlags = toy.session_flags;
    return SEC_E_OK;
}

static SECURITY_STATUS tell_certificate(PCCERT_CONTEXT *certificate, bool is_there)
{
    if (!is_there) {
        return SEC_E_NO_CREDENTIALS;
    }
    *certificate = system_certificate(toy.names, toy.names_size);
    return SEC_E_OK;
}

static SECURITY_STATUS query(provider_context *context, ULONG attribute, void *value)
{
    (void)context;
    if (attribute == toy.failing_query) {
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
    switch (attribute) {
    case SECPKG_ATTR_STREAM_SIZES:
        *(SecPkgContext_StreamSizes *)value = toy.sizes;
        return SEC_E_OK;
    case SECPKG_ATTR_CONNECTION_INFO:
        return tell_connection(value);
    case SECPKG_ATTR_CIPHER_INFO:
        tell_cipher(value);
        return SEC_E_OK;
    case SECPKG_ATTR_APPLICATION_PROTOCOL:
        tell_alpn(value);
        return SEC_E_OK;
    case SECPKG_ATTR_SESSION_INFO:
        return tell_session(value);
    case SECPKG_ATTR_UNIQUE_BINDINGS:
    case SECPKG_ATTR_ENDPOINT_BINDINGS:
        return tell_binding(value);
    case SECPKG_ATTR_KEYING_MATERIAL:
        return tell_material(value);
    case SECPKG_ATTR_ISSUER_LIST_EX:
        return tell_issuers(value);
    case SECPKG_ATTR_LOCAL_CERT_CONTEXT:
        return tell_certificate(value, !toy.has_no_local_certificate);
    case SECPKG_ATTR_REMOTE_CERT_CONTEXT:
    case SECPKG_ATTR_REMOTE_CERT_CHAIN:
        return tell_certificate(value, !toy.has_no_certificate);
    default:
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
}

static SECURITY_STATUS acquire(DWORD version)
{
    return toy.acquire_statuses[version == SCHANNEL_CRED_VERSION];
}

static const provider_mind mind = {
    .acquire = acquire,
    .initialize = initialize,
    .control = control,
    .query = query,
    .describe = describe,
    .encrypt = encrypt,
    .decrypt = decrypt,
};

const SecurityFunctionTableW *toy_begin(void)
{
    memset(&toy, 0, sizeof(toy));
    toy.sizes = (SecPkgContext_StreamSizes){TOY_HEADER + 8, 36, TOY_MOST_DATA, 4, 16};
    toy.protocol = SP_PROT_TLS1_3_CLIENT;
    return provider_begin(&mind);
}
