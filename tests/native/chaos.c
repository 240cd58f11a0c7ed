/*
 * chaos.c - see chaos.h
 */
#include "chaos.h"

#include "system_memory.h"

static choices *input_of_chaos;
static uint64_t given; /* application data, by all security contexts */

enum { most_token = 300 };

static const SECURITY_STATUS statuses[] = {
    SEC_E_OK,
    SEC_I_CONTINUE_NEEDED,
    SEC_E_INCOMPLETE_MESSAGE,
    SEC_I_INCOMPLETE_CREDENTIALS,
    SEC_I_RENEGOTIATE,
    SEC_I_CONTEXT_EXPIRED,
    SEC_E_ILLEGAL_MESSAGE,
    SEC_E_INVALID_TOKEN,
    SEC_E_DECRYPT_FAILURE,
    SEC_E_MESSAGE_ALTERED,
    SEC_E_UNSUPPORTED_FUNCTION,
    SEC_E_INVALID_PARAMETER,
    SEC_E_UNKNOWN_CREDENTIALS,
    SEC_E_UNTRUSTED_ROOT,
    SEC_E_CONTEXT_EXPIRED,
    SEC_I_COMPLETE_NEEDED,
    SEC_I_NO_RENEGOTIATION,
    SEC_E_INTERNAL_ERROR,
};

/* Mostly `usual`, so that connections get somewhere. */
static SECURITY_STATUS some_status(SECURITY_STATUS usual)
{
    const size_t count = sizeof(statuses) / sizeof(statuses[0]);
    uint8_t byte = choose_byte(input_of_chaos);

    if (byte < 128) {
        return usual;
    }
    return byte == 255 ? (SECURITY_STATUS)(0x80090000U | choose_byte(input_of_chaos))
                       : statuses[byte % count];
}

static void some_token(SecBuffer *buffer)
{
    static const uint8_t bytes[most_token] = {0x16, 3, 3, 1};
    uint8_t byte = choose_byte(input_of_chaos);

    if (byte >= 64) {
        provider_give_token(buffer, bytes, byte == 255 ? most_token : byte - 64U);
    }
}

/* EXTRA or MISSING in one of the buffers; sizes up to one too many. */
static void some_rest(SecBuffer *buffer, uint8_t *data, size_t size)
{
    uint8_t byte = choose_byte(input_of_chaos);
    size_t rest = choose_size(input_of_chaos, size + 1);

    if (byte < 128) {
        return;
    }
    buffer->BufferType = (byte & 3U) == 3 ? SECBUFFER_MISSING : SECBUFFER_EXTRA;
    buffer->cbBuffer = (ULONG)rest;
    buffer->pvBuffer = NULL;
    if (data != NULL && (byte & 4U) != 0 && rest <= size) {
        size_t offset = choose_size(input_of_chaos, size - rest);
        buffer->pvBuffer = data + offset;
    }
}

static SECURITY_STATUS acquire(DWORD version)
{
    (void)version;
    return some_status(SEC_E_OK);
}

static SECURITY_STATUS initialize(provider_context *context, SecBuffer *input,
                                  SecBuffer *output, ULONG *flags)
{
    bool is_first = !context->is_shut_down &&
                    (input == NULL || (context->is_server && !context->is_done));
    uint8_t byte = choose_byte(input_of_chaos);

    if (byte >= 250) {
        *flags = byte == 255 ? 0 : *flags ^ (1U << choose(input_of_chaos, 20));
    }
    some_token(&output[0]);
    some_token(&output[1]);
    if (input != NULL) {
        some_rest(&input[1], NULL, input[0].cbBuffer);
    }
    return some_status(is_first || (byte & 1U) != 0 ? SEC_I_CONTINUE_NEEDED : SEC_E_OK);
}

static SECURITY_STATUS control(provider_context *context, const DWORD *words)
{
    (void)context;
    (void)words;
    return some_status(SEC_E_OK);
}

uint8_t chaos_byte(uint64_t offset)
{
    return (uint8_t)(offset * 37 + (offset >> 8U) + 3);
}

uint64_t chaos_given(void)
{
    return given;
}

static void give_data(SecBuffer *buffer, uint8_t *data, size_t size)
{
    buffer->BufferType = SECBUFFER_DATA;
    buffer->pvBuffer = data;
    buffer->cbBuffer = (ULONG)size;
    for (size_t i = 0; i < size; i++) {
        data[i] = chaos_byte(given + i);
    }
}

static SECURITY_STATUS decrypt(provider_context *context, SecBuffer *buffers)
{
    uint8_t *data = buffers[0].pvBuffer;
    size_t size = buffers[0].cbBuffer;
    uint8_t byte = choose_byte(input_of_chaos);
    size_t where = 1 + (byte & 1U);

    (void)context;
    if ((byte & 2U) == 0 && size > 5) { /* DATA inside the record, behind its header */
        size_t offset = 5 + choose_size(input_of_chaos, size - 6);
        size_t count = size - offset - choose_size(input_of_chaos, size - offset);
        SECURITY_STATUS status = some_status(SEC_E_OK);
        bool is_told = status == SEC_E_OK || status == SEC_I_CONTEXT_EXPIRED;
        if (is_told) {
            buffers[0].BufferType = SECBUFFER_STREAM_HEADER;
            give_data(&buffers[where], data + offset, count);
            given += count;
        }
        return status;
    }
    if ((byte & 12U) == 12) { /* DATA where it cannot be */
        buffers[0].BufferType = SECBUFFER_STREAM_HEADER;
        buffers[where].BufferType = SECBUFFER_DATA;
        buffers[where].pvBuffer = (byte & 16U) != 0 ? data + size : NULL;
        buffers[where].cbBuffer = 1;
    }
    some_rest(&buffers[3], data, size);
    SECURITY_STATUS status =
        some_status((byte & 32U) != 0 ? SEC_I_RENEGOTIATE : SEC_E_OK);
    if (status != SEC_I_RENEGOTIATE && buffers[3].pvBuffer != NULL) {
        buffers[3].pvBuffer =
            data + size - buffers[3].cbBuffer; /* then it is the end */
    }
    return status;
}

static SECURITY_STATUS encrypt(provider_context *context, SecBuffer *buffers)
{
    (void)context;
    memset(buffers[0].pvBuffer, 0x17, buffers[0].cbBuffer);
    memset(buffers[2].pvBuffer, 0x18, buffers[2].cbBuffer);
    buffers[0].cbBuffer -= (ULONG)choose(input_of_chaos, buffers[0].cbBuffer + 1);
    buffers[2].cbBuffer -= (ULONG)choose(input_of_chaos, buffers[2].cbBuffer + 1);
    return some_status(SEC_E_OK);
}

static void some_sizes(SecPkgContext_StreamSizes *sizes)
{
    static const ULONG maxima[] = {16384, 1, 50, 0};

    memset(sizes, 0, sizeof(*sizes));
    sizes->cbHeader = (ULONG)choose(input_of_chaos, 20);
    sizes->cbTrailer = (ULONG)choose(input_of_chaos, 80);
    sizes->cbMaximumMessage = maxima[choose_byte(input_of_chaos) / 80U];
}

static SECURITY_STATUS describe(provider_context *context,
                                const SecPkgContext_KeyingMaterialInfo *wanted)
{
    (void)context;
    (void)wanted;
    return some_status(SEC_E_OK);
}

/* Sizes and offsets up to a few too many. */
static void some_bindings(SecPkgContext_Bindings *bindings)
{
    uint8_t room[sizeof(SEC_CHANNEL_BINDINGS) + 64] = {0};
    SEC_CHANNEL_BINDINGS header = {0};

    header.dwApplicationDataOffset = (ULONG)choose(input_of_chaos, sizeof(room) + 4);
    header.cbApplicationDataLength = (ULONG)choose(input_of_chaos, 70);
    memset(room, choose_byte(input_of_chaos), sizeof(room));
    memcpy(room, &header, sizeof(header));
    if (choose(input_of_chaos, 2) == 0) {
        memcpy(room + sizeof(header), "tls-unique:", 11);
    } else {
        memcpy(room + sizeof(header), "tls-server-end-point:", 21);
    }
    bindings->BindingsLength = (ULONG)choose(input_of_chaos, sizeof(room) + 1);
    bindings->Bindings = provider_give(room, bindings->BindingsLength);
}

static void some_material(SecPkgContext_KeyingMaterial *material)
{
    uint8_t room[255] = {1};

    material->cbKeyingMaterial = choose_byte(input_of_chaos);
    material->pbKeyingMaterial = choose(input_of_chaos, 8) == 7
                                     ? NULL
                                     : provider_give(room, material->cbKeyingMaterial);
}

static void some_issuers(SecPkgContext_IssuerListInfoEx *issuers)
{
    static BYTE name[] = "issuer";
    const CERT_NAME_BLOB list[] = {{6, name}, {0, NULL}, {1, name}};

    issuers->cIssuers = (DWORD)choose(input_of_chaos, 4);
    issuers->aIssuers = issuers->cIssuers == 0 && choose(input_of_chaos, 2) == 0
                            ? NULL
                            : provider_give(list, sizeof(list));
}

static void some_certificate(PCCERT_CONTEXT *certificate, SECURITY_STATUS status)
{
    static const char *const oids[] = {szOID_RSA_SHA256RSA, "1.2.840.113549.1.1.10",
                                       "1.2.3", NULL};

    *certificate = NULL;
    if (status == SEC_E_OK && choose(input_of_chaos, 8) != 7) {
        system_memory.signature = oids[choose(input_of_chaos, 4)];
        *certificate = system_certificate("\x30\x00", 2);
    }
}

static SECURITY_STATUS query(provider_context *context, ULONG attribute, void *value)
{
    static const DWORD protocols[] = {SP_PROT_TLS1_3_CLIENT, SP_PROT_TLS1_2_CLIENT, 0,
                                      SP_PROT_SSL3_CLIENT};
    SecPkgContext_ApplicationProtocol *alpn = value;
    SECURITY_STATUS status = some_status(SEC_E_OK);

    (void)context;
    switch (attribute) {
    case SECPKG_ATTR_STREAM_SIZES:
        some_sizes(value);
        break;
    case SECPKG_ATTR_CONNECTION_INFO:
        memset(value, 0xff, sizeof(SecPkgContext_ConnectionInfo));
        ((SecPkgContext_ConnectionInfo *)value)->dwProtocol =
            protocols[choose_byte(input_of_chaos) / 100U];
        break;
    case SECPKG_ATTR_CIPHER_INFO:
        memset(value, choose_byte(input_of_chaos), sizeof(SecPkgContext_CipherInfo));
        break;
    case SECPKG_ATTR_APPLICATION_PROTOCOL:
        memset(value, 'h', sizeof(*alpn));
        alpn->ProtoNegoStatus =
            (SEC_APPLICATION_PROTOCOL_NEGOTIATION_STATUS)choose(input_of_chaos, 3);
        alpn->ProtocolIdSize = choose_byte(input_of_chaos);
        break;
    case SECPKG_ATTR_REMOTE_CERT_CONTEXT:
    case SECPKG_ATTR_REMOTE_CERT_CHAIN:
    case SECPKG_ATTR_LOCAL_CERT_CONTEXT:
        some_certificate(value, status);
        break;
    case SECPKG_ATTR_SESSION_INFO:
        memset(value, choose_byte(input_of_chaos), sizeof(SecPkgContext_SessionInfo));
        break;
    case SECPKG_ATTR_UNIQUE_BINDINGS:
    case SECPKG_ATTR_ENDPOINT_BINDINGS:
        if (status == SEC_E_OK) {
            some_bindings(value);
        }
        break;
    case SECPKG_ATTR_KEYING_MATERIAL:
        if (status == SEC_E_OK) {
            some_material(value);
        }
        break;
    case SECPKG_ATTR_ISSUER_LIST_EX:
        if (status == SEC_E_OK) {
            some_issuers(value);
        }
        break;
    default:
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
    return status;
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

const SecurityFunctionTableW *chaos_begin(choices *input)
{
    input_of_chaos = input;
    given = 0;
    return provider_begin(&mind);
}
