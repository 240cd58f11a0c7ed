/*
 * floor.c - the least that TLS by Schannel costs: what ci/bench.py measures against
 *
 * A bare loop of EncryptMessage + send, and one of recv + DecryptMessage, with the
 * batching of csrc: records of the greatest size, at most 128 KiB of them in one send;
 * 512 KiB for what one recv brings, decrypted in place, record by record. No lock, no
 * deadline, no state, no queue; application data is copied once on its way out, and not
 * at all on its way in.
 *
 * It is a yardstick, not a client: the handshake is the shortest one that works, and on
 * a link nobody is verified. A post-handshake message of TLS 1.3 fails it: the server of
 * the bench sends no session tickets. floor_handshakes connects, shakes hands, has Windows
 * build and judge the chain, and closes, over and over: the least that a connection costs
 * which a client may use.
 *
 * Results: 0, or the code of what failed (SECURITY_STATUS or WSA).
 */
#define SECURITY_WIN32
#define SCHANNEL_USE_BLACKLISTS

#include <winsock2.h>
#include <windows.h>
#include <winternl.h>
#include <wincrypt.h>
#include <sspi.h>
#include <schannel.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __declspec(dllexport)

enum {
    header_size = 5,
    largest_record = header_size + 16384 + 2048,
    most_outgoing = 128 * 1024,
    incoming_size = 512 * 1024, /* what csrc arrives at */
};

typedef struct {
    SOCKET handle;
    CredHandle credential; /* borrowed by the links of floor_handshakes */
    CtxtHandle security_context;
    SecPkgContext_StreamSizes sizes;
    uint8_t *outgoing;
    uint8_t *incoming; /* received bytes stand from head to tail */
    size_t head;
    size_t tail;
    const uint8_t *plain; /* unread application data of the last record */
    size_t plain_size;
} floor_link;

/* ------------------------------------------------------------------ moving */

static int32_t send_all(const floor_link *link, const void *data, size_t size)
{
    const char *from = data;

    while (size > 0) {
        int sent = send(link->handle, from, (int)size, 0);
        if (sent < 0) {
            return WSAGetLastError();
        }
        from += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int32_t receive_more(floor_link *link)
{
    size_t held = link->tail - link->head;

    if (link->head > 0) {
        memmove(link->incoming, link->incoming + link->head, held);
        link->head = 0;
        link->tail = held;
    }
    int received = recv(link->handle, (char *)link->incoming + held,
                        (int)(incoming_size - held), 0);
    if (received <= 0) {
        return received < 0 ? WSAGetLastError() : WSAEDISCON;
    }
    link->tail += (size_t)received;
    return 0;
}

/* --------------------------------------------------------------- handshake */

static int32_t acquire(CredHandle *credential)
{
    wchar_t package[] = UNISP_NAME_W;
    TLS_PARAMETERS parameters = {0};
    SCH_CREDENTIALS settings = {0};
    TimeStamp expiry = {0};

    settings.dwVersion = SCH_CREDENTIALS_VERSION;
    settings.dwFlags = SCH_CRED_NO_DEFAULT_CREDS | SCH_CRED_MANUAL_CRED_VALIDATION |
                       SCH_USE_STRONG_CRYPTO;
    settings.cTlsParameters = 1;
    settings.pTlsParameters = &parameters;
    return AcquireCredentialsHandleW(NULL, package, SECPKG_CRED_OUTBOUND, NULL,
                                     &settings, NULL, NULL, credential, &expiry);
}

/* One call with all that was received; what it did not use stays. */
static int32_t step(floor_link *link, bool is_first)
{
    SecBuffer in[2] = {{0}};
    SecBuffer out = {0, SECBUFFER_TOKEN, NULL};
    SecBufferDesc input = {SECBUFFER_VERSION, 2, in};
    SecBufferDesc output = {SECBUFFER_VERSION, 1, &out};
    ULONG flags = 0;
    TimeStamp expiry = {0};
    int32_t sent = 0;

    in[0].BufferType = SECBUFFER_TOKEN;
    in[0].pvBuffer = link->incoming + link->head;
    in[0].cbBuffer = (ULONG)(link->tail - link->head);
    SECURITY_STATUS status = InitializeSecurityContextW(
        &link->credential, is_first ? NULL : &link->security_context, NULL,
        ISC_REQ_SEQUENCE_DETECT | ISC_REQ_REPLAY_DETECT | ISC_REQ_CONFIDENTIALITY |
            ISC_REQ_ALLOCATE_MEMORY | ISC_REQ_STREAM | ISC_REQ_MANUAL_CRED_VALIDATION,
        0, 0, is_first ? NULL : &input, 0, is_first ? &link->security_context : NULL,
        &output, &flags, &expiry);
    if (status == SEC_E_INCOMPLETE_MESSAGE) {
        return status;
    }
    link->head =
        in[1].BufferType == SECBUFFER_EXTRA ? link->tail - in[1].cbBuffer : link->tail;
    if (out.pvBuffer != NULL) {
        sent = send_all(link, out.pvBuffer, out.cbBuffer);
        FreeContextBuffer(out.pvBuffer);
    }
    return sent != 0 ? sent : status;
}

static int32_t shake_hands(floor_link *link)
{
    int32_t status = step(link, true);

    while (status == SEC_I_CONTINUE_NEEDED || status == SEC_E_INCOMPLETE_MESSAGE) {
        if (status == SEC_E_INCOMPLETE_MESSAGE || link->head == link->tail) {
            int32_t failure = receive_more(link);
            if (failure != 0) {
                return failure;
            }
        }
        status = step(link, false);
    }
    return status != SEC_E_OK
               ? status
               : QueryContextAttributesW(&link->security_context,
                                         SECPKG_ATTR_STREAM_SIZES, &link->sizes);
}

EXPORT void floor_close(floor_link *link)
{
    closesocket(link->handle);
    DeleteSecurityContext(&link->security_context);
    FreeCredentialsHandle(&link->credential);
    free(link->outgoing);
    free(link->incoming);
    free(link);
}

/* Takes a connected, blocking socket over. */
EXPORT int32_t floor_open(floor_link **out, uintptr_t handle)
{
    floor_link *link = calloc(1, sizeof(*link));

    *out = NULL;
    if (link == NULL) {
        return ERROR_OUTOFMEMORY;
    }
    link->handle = (SOCKET)handle;
    SecInvalidateHandle(&link->credential);
    SecInvalidateHandle(&link->security_context);
    link->outgoing = malloc(most_outgoing + largest_record);
    link->incoming = malloc(incoming_size);
    int32_t status = link->outgoing == NULL || link->incoming == NULL
                         ? ERROR_OUTOFMEMORY
                         : acquire(&link->credential);
    if (status == 0) {
        status = shake_hands(link);
    }
    if (status != 0) {
        floor_close(link);
        return status;
    }
    *out = link;
    return 0;
}

/* -------------------------------------------------------------- handshakes */

/* What a client keeps between connections. */
typedef struct {
    CredHandle credential;
    HCERTSTORE anchors;
    HCERTCHAINENGINE chain_engine;
    uint8_t *incoming;
} floor_client;

static int32_t open_client(floor_client *client, const uint8_t *anchor, size_t size)
{
    CERT_CHAIN_ENGINE_CONFIG config = {0};

    client->incoming = malloc(incoming_size);
    client->anchors = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0, 0, NULL);
    if (client->incoming == NULL || client->anchors == NULL ||
        !CertAddEncodedCertificateToStore(client->anchors, X509_ASN_ENCODING, anchor,
                                          (DWORD)size, CERT_STORE_ADD_ALWAYS, NULL)) {
        return ERROR_OUTOFMEMORY;
    }
    config.cbSize = offsetof(CERT_CHAIN_ENGINE_CONFIG, dwExclusiveFlags);
    config.hExclusiveRoot = client->anchors;
    if (!CertCreateCertificateChainEngine(&config, &client->chain_engine)) {
        return (int32_t)GetLastError();
    }
    return acquire(&client->credential);
}

static void close_client(floor_client *client)
{
    if (SecIsValidHandle(&client->credential)) {
        FreeCredentialsHandle(&client->credential);
    }
    if (client->chain_engine != NULL) {
        CertFreeCertificateChainEngine(client->chain_engine);
    }
    if (client->anchors != NULL) {
        CertCloseStore(client->anchors, 0);
    }
    free(client->incoming);
}

/* Windows' own judgement: the chain, then the policy for servers with the host's name. */
static int32_t judge(const floor_client *client, PCCERT_CONTEXT certificate)
{
    char usage[] = szOID_PKIX_KP_SERVER_AUTH;
    wchar_t host[] = L"localhost";
    char *usages[] = {usage};
    CERT_CHAIN_PARA parameters = {0};
    SSL_EXTRA_CERT_CHAIN_POLICY_PARA ssl = {0};
    CERT_CHAIN_POLICY_PARA policy = {0};
    CERT_CHAIN_POLICY_STATUS verdict = {0};
    PCCERT_CHAIN_CONTEXT chain = NULL;

    parameters.cbSize = sizeof(parameters);
    parameters.RequestedUsage.dwType = USAGE_MATCH_TYPE_AND;
    parameters.RequestedUsage.Usage.cUsageIdentifier = 1;
    parameters.RequestedUsage.Usage.rgpszUsageIdentifier = usages;
    if (!CertGetCertificateChain(client->chain_engine, certificate, NULL,
                                 certificate->hCertStore, &parameters, 0, NULL,
                                 &chain)) {
        return (int32_t)GetLastError();
    }
    ssl.cbSize = sizeof(ssl);
    ssl.dwAuthType = AUTHTYPE_SERVER;
    ssl.pwszServerName = host;
    policy.cbSize = sizeof(policy);
    policy.pvExtraPolicyPara = &ssl;
    verdict.cbSize = sizeof(verdict);
    CertVerifyCertificateChainPolicy(CERT_CHAIN_POLICY_SSL, chain, &policy, &verdict);
    DWORD trust = chain->TrustStatus.dwErrorStatus;
    CertFreeCertificateChain(chain);
    return trust != 0 ? (int32_t)trust : (int32_t)verdict.dwError;
}

static int32_t shake_hands_verified(const floor_client *client, floor_link *link)
{
    PCCERT_CONTEXT certificate = NULL;

    int32_t status = shake_hands(link);
    if (status == 0) {
        status = QueryContextAttributesW(&link->security_context,
                                         SECPKG_ATTR_REMOTE_CERT_CONTEXT,
                                         (void *)&certificate);
    }
    if (status == 0) {
        status = judge(client, certificate);
        CertFreeCertificateContext(certificate);
    }
    if (SecIsValidHandle(&link->security_context)) {
        DeleteSecurityContext(&link->security_context);
    }
    return status;
}

static int32_t visit(const floor_client *client, uint16_t port)
{
    floor_link link = {0};
    struct sockaddr_in address = {0};
    BOOL no_delay = TRUE;
    int32_t status = 0;

    link.credential = client->credential;
    link.incoming = client->incoming;
    SecInvalidateHandle(&link.security_context);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    link.handle = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (link.handle == INVALID_SOCKET ||
        connect(link.handle, (struct sockaddr *)&address, sizeof(address)) != 0) {
        status = WSAGetLastError();
    } else {
        setsockopt(link.handle, IPPROTO_TCP, TCP_NODELAY, (const char *)&no_delay,
                   sizeof(no_delay));
        status = shake_hands_verified(client, &link);
    }
    closesocket(link.handle);
    return status;
}

/* Connects to a loopback port `times` times; `anchor` is the one trusted root, DER. */
EXPORT int32_t floor_handshakes(uint16_t port, const uint8_t *anchor, size_t size,
                                size_t times)
{
    floor_client client = {0};

    SecInvalidateHandle(&client.credential);
    int32_t status = open_client(&client, anchor, size);
    for (size_t i = 0; i < times && status == 0; i++) {
        status = visit(&client, port);
    }
    close_client(&client);
    return status;
}

/* ----------------------------------------------------------------- sending */

static SecBuffer buffer_of(ULONG type, void *data, ULONG size)
{
    SecBuffer buffer = {size, type, data};

    return buffer;
}

/* Encrypts into the `size` bytes at `record`; returns their true number. */
static int32_t encrypt(floor_link *link, uint8_t *record, const void *data, ULONG size,
                       size_t *record_size)
{
    uint8_t *plain = record + link->sizes.cbHeader;
    SecBuffer buffers[4] = {
        buffer_of(SECBUFFER_STREAM_HEADER, record, link->sizes.cbHeader),
        buffer_of(SECBUFFER_DATA, plain, size),
        buffer_of(SECBUFFER_STREAM_TRAILER, plain + size, link->sizes.cbTrailer),
        buffer_of(SECBUFFER_EMPTY, NULL, 0),
    };
    SecBufferDesc description = {SECBUFFER_VERSION, 4, buffers};

    memcpy(plain, data, size);
    SECURITY_STATUS status =
        EncryptMessage(&link->security_context, 0, &description, 0);
    *record_size =
        (size_t)buffers[0].cbBuffer + buffers[1].cbBuffer + buffers[2].cbBuffer;
    bool is_contiguous =
        buffers[0].cbBuffer == link->sizes.cbHeader && buffers[1].cbBuffer == size;
    return status == SEC_E_OK && !is_contiguous ? SEC_E_INTERNAL_ERROR : status;
}

/* Sends `size` bytes in as few records and calls as they fill. */
EXPORT int32_t floor_send(floor_link *link, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t queued = 0;
        while (size > 0 && queued < most_outgoing) {
            size_t largest = link->sizes.cbMaximumMessage;
            size_t part = size < largest ? size : largest;
            size_t record_size = 0;
            int32_t status =
                encrypt(link, link->outgoing + queued, data, (ULONG)part, &record_size);
            if (status != SEC_E_OK) {
                return status;
            }
            queued += record_size;
            data += part;
            size -= part;
        }
        int32_t failure = send_all(link, link->outgoing, queued);
        if (failure != 0) {
            return failure;
        }
    }
    return 0;
}

/* Sends `block` `times` times, `chunk` bytes at once, as a program that has no more. */
EXPORT int32_t floor_send_many(floor_link *link, const uint8_t *block, size_t size,
                               size_t chunk, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        for (size_t at = 0; at < size; at += chunk) {
            int32_t status = floor_send(link, block + at, chunk);
            if (status != 0) {
                return status;
            }
        }
    }
    return 0;
}

/* --------------------------------------------------------------- receiving */

/* Size of the whole record at the head; 0 when it is not there yet. */
static size_t whole_record(const floor_link *link)
{
    const uint8_t *header = link->incoming + link->head;
    size_t held = link->tail - link->head;

    if (held < header_size) {
        return 0;
    }
    size_t size = header_size + ((size_t)header[3] << 8 | header[4]);
    return size <= held ? size : 0;
}

static int32_t decrypt_next(floor_link *link)
{
    size_t size = whole_record(link);

    while (size == 0) {
        int32_t failure = receive_more(link);
        if (failure != 0) {
            return failure;
        }
        size = whole_record(link);
    }
    SecBuffer buffers[4] = {
        buffer_of(SECBUFFER_DATA, link->incoming + link->head, (ULONG)size)};
    SecBufferDesc description = {SECBUFFER_VERSION, 4, buffers};
    SECURITY_STATUS status =
        DecryptMessage(&link->security_context, &description, 0, NULL);
    link->head += size;
    for (size_t i = 0; status == SEC_E_OK && i < 4; i++) {
        if (buffers[i].BufferType == SECBUFFER_DATA) {
            link->plain = buffers[i].pvBuffer;
            link->plain_size = buffers[i].cbBuffer;
        }
    }
    return status;
}

/* Receives `size` bytes; `data` NULL: looks at none of them. */
EXPORT int32_t floor_receive(floor_link *link, uint8_t *data, size_t size)
{
    while (size > 0) {
        if (link->plain_size == 0) {
            int32_t status = decrypt_next(link);
            if (status != 0) {
                return status;
            }
        }
        size_t part = link->plain_size < size ? link->plain_size : size;
        if (data != NULL) {
            memcpy(data, link->plain, part);
            data += part;
        }
        link->plain += part;
        link->plain_size -= part;
        size -= part;
    }
    return 0;
}
