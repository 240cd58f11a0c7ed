/*
 * system_memory.c - crypt32, bcrypt and ws2_32 in memory; what is not given back aborts
 */
#include "system_memory.h"

#include <stdlib.h>

struct system_memory system_memory;

static long alive; /* blocks that were acquired and not given back */

static void rule(bool is_kept, const char *text)
{
    if (!is_kept) {
        stand_in_abort(text);
    }
}

/* Whether this call fails, by the decisions: one in eight. */
static bool fails(DWORD error)
{
    choices *decisions = system_memory.decisions;

    if (decisions == NULL || (choose_byte(decisions) & 7U) != 7) {
        return false;
    }
    SetLastError(choose_byte(decisions) % 4 == 0 ? 0 : error);
    return true;
}

static void *acquire(size_t size)
{
    void *block = malloc(size);

    rule(block != NULL, "the test has no memory");
    memset(block, 0, size);
    __atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
    system_memory.made++;
    return block;
}

static void release(void *block)
{
    rule(block != NULL, "NULL is given back to Windows");
    __atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
    free(block);
}

/* ------------------------------------------------------------ certificates */

typedef struct {
    CERT_CONTEXT context; /* first: a pointer to it is a pointer to the whole */
    LONG references;
    CERT_INFO info;
    CERT_EXTENSION extensions[2];
    BYTE subject[4];
    BYTE bytes[]; /* DER, then the subjectAltName */
} certificate;

static FILETIME file_time(uint64_t ticks)
{
    return (FILETIME){(DWORD)ticks, (DWORD)(ticks >> 32U)};
}

static certificate *new_certificate(const void *der, size_t der_size, const void *names,
                                    size_t names_size)
{
    static char key_usage[] = szOID_KEY_USAGE;
    static char alternative_name[] = szOID_SUBJECT_ALT_NAME2;
    certificate *self = acquire(sizeof(*self) + der_size + names_size);

    self->references = 1;
    if (der_size > 0) {
        memcpy(self->bytes, der, der_size);
    }
    self->context.dwCertEncodingType = X509_ASN_ENCODING;
    self->context.pbCertEncoded = self->bytes;
    self->context.cbCertEncoded = (DWORD)der_size;
    self->context.pCertInfo = &self->info;
    self->info.NotBefore = file_time(system_memory.not_before);
    self->info.NotAfter = file_time(system_memory.not_after);
    self->info.Subject.pbData = self->subject;
    self->info.Subject.cbData = sizeof(self->subject);
    self->info.Issuer = self->info.Subject;
    self->info.rgExtension = self->extensions;
    self->extensions[0].pszObjId = key_usage;
    self->info.cExtension = 1;
    if (names != NULL) {
        self->extensions[1].pszObjId = alternative_name;
        self->extensions[1].Value.pbData = self->bytes + der_size;
        self->extensions[1].Value.cbData = (DWORD)names_size;
        if (names_size > 0) {
            memcpy(self->bytes + der_size, names, names_size);
        }
        self->info.cExtension = 2;
    }
    return self;
}

PCCERT_CONTEXT system_certificate(const void *names, size_t size)
{
    return &new_certificate("certificate", 11, names, size)->context;
}

static PCCERT_CONTEXT create_certificate(DWORD encoding, const BYTE *der, DWORD size)
{
    rule((encoding & X509_ASN_ENCODING) != 0, "the encoding of a certificate");
    if (size == 0 || fails((DWORD)CRYPT_E_ASN1_BADTAG)) {
        return NULL;
    }
    return &new_certificate(der, size, NULL, 0)->context;
}

static PCCERT_CONTEXT duplicate_certificate(PCCERT_CONTEXT context)
{
    InterlockedIncrement(&((certificate *)(uintptr_t)context)->references);
    return context;
}

static BOOL free_certificate(PCCERT_CONTEXT context)
{
    certificate *self = (certificate *)(uintptr_t)context;

    if (InterlockedDecrement(&self->references) == 0) {
        release(self);
    }
    return TRUE;
}

/* The name of everybody: "CN=x". */
static DWORD name_to_text(DWORD encoding, PCERT_NAME_BLOB name, DWORD type, LPWSTR text,
                          DWORD capacity)
{
    static const wchar_t answer[] = L"CN=x";
    const DWORD size = sizeof(answer) / sizeof(answer[0]);

    (void)encoding;
    (void)type;
    rule(name->cbData == 4 && name->pbData != NULL, "the name of a certificate");
    if (fails((DWORD)CRYPT_E_ASN1_CORRUPT)) {
        return 0;
    }
    if (text == NULL || capacity == 0) {
        return size;
    }
    rule(capacity >= size, "CertNameToStr: the text is cut off");
    memcpy(text, answer, sizeof(answer));
    return size;
}

/* ------------------------------------------------------------------ stores */

static HCERTSTORE open_store(LPCSTR provider, DWORD encoding, HCRYPTPROV_LEGACY unused,
                             DWORD flags, const void *parameter)
{
    (void)encoding;
    (void)flags;
    rule(unused == 0, "CertOpenStore: a provider");
    rule(provider == CERT_STORE_PROV_MEMORY || parameter != NULL, "a store's name");
    return fails(ERROR_ACCESS_DENIED) ? NULL : acquire(1);
}

static BOOL close_store(HCERTSTORE store, DWORD flags)
{
    (void)flags;
    release(store);
    return TRUE;
}

static BOOL add_certificate(HCERTSTORE store, DWORD encoding, const BYTE *der,
                            DWORD size, DWORD disposition, PCCERT_CONTEXT *added)
{
    (void)encoding;
    (void)disposition;
    rule(store != NULL && added == NULL, "CertAddEncodedCertificateToStore");
    if (size == 0 || der[0] == 0 || fails((DWORD)CRYPT_E_ASN1_BADTAG)) {
        SetLastError((DWORD)CRYPT_E_ASN1_BADTAG);
        return FALSE;
    }
    return TRUE;
}

/* ------------------------------------------------------------------ chains */

static BOOL create_engine(PCERT_CHAIN_ENGINE_CONFIG config, HCERTCHAINENGINE *engine)
{
    rule(config->hExclusiveRoot != NULL,
         "a chain engine without exclusive roots (B41)");
    rule(config->cbSize == sizeof(*config) ||
             config->cbSize == offsetof(CERT_CHAIN_ENGINE_CONFIG, dwExclusiveFlags),
         "the size of CERT_CHAIN_ENGINE_CONFIG");
    if (fails(ERROR_INVALID_PARAMETER)) {
        *engine = (HCERTCHAINENGINE)0x99; /* nobody may free it */
        return FALSE;
    }
    *engine = acquire(1);
    return TRUE;
}

static VOID free_engine(HCERTCHAINENGINE engine)
{
    release(engine);
}

typedef struct {
    CERT_CHAIN_CONTEXT context; /* first, as in certificate */
    CERT_SIMPLE_CHAIN simple;
    PCERT_SIMPLE_CHAIN simples[1];
    CERT_CHAIN_ELEMENT elements[SYSTEM_MOST_ELEMENTS];
    PCERT_CHAIN_ELEMENT pointers[SYSTEM_MOST_ELEMENTS];
    system_chain answer;
} chain;

static system_chain decide(const system_chain *told)
{
    choices *decisions = system_memory.decisions;
    system_chain answer = *told;

    if (decisions == NULL) {
        return answer;
    }
    answer.trust |=
        (choose_byte(decisions) & 3U) == 3 ? 1U << choose(decisions, 32) : 0;
    answer.count = (DWORD)choose(decisions, SYSTEM_MOST_ELEMENTS + 1);
    for (DWORD i = 0; i < answer.count; i++) {
        answer.elements[i] = 1U << choose(decisions, 32);
    }
    answer.has_no_simple_chain = choose(decisions, 16) == 1;
    answer.policy = choose(decisions, 8) == 1 ? (DWORD)CERT_E_UNTRUSTEDROOT : 0;
    answer.policy_index = (LONG)choose(decisions, 4) - 1;
    answer.policy_fails = choose(decisions, 16) == 1;
    return answer;
}

static BOOL get_chain(HCERTCHAINENGINE engine, PCCERT_CONTEXT leaf, LPFILETIME time,
                      HCERTSTORE additional, PCERT_CHAIN_PARA parameters, DWORD flags,
                      LPVOID reserved, PCCERT_CHAIN_CONTEXT *out)
{
    system_chain answer =
        decide(engine == HCCE_CURRENT_USER ? &system_memory.system_chain
                                           : &system_memory.chain);

    (void)time;
    (void)additional;
    (void)flags;
    rule(reserved == NULL && parameters->cbSize == sizeof(*parameters),
         "CertGetCertificateChain: its parameters");
    rule(parameters->RequestedUsage.Usage.cUsageIdentifier > 0 &&
             strlen(parameters->RequestedUsage.Usage.rgpszUsageIdentifier[0]) > 0,
         "CertGetCertificateChain without a usage (B43)");
    if (answer.error != 0 || fails(ERROR_NOT_ENOUGH_MEMORY)) {
        SetLastError(answer.error);
        return FALSE;
    }
    chain *self = acquire(sizeof(*self));
    self->answer = answer;
    self->context.cbSize = sizeof(self->context);
    self->context.TrustStatus.dwErrorStatus = answer.trust;
    self->context.cChain = answer.has_no_simple_chain ? 0 : 1;
    self->context.rgpChain = self->simples;
    self->simples[0] = &self->simple;
    self->simple.cElement = answer.count;
    self->simple.rgpElement = self->pointers;
    for (DWORD i = 0; i < answer.count; i++) {
        self->pointers[i] = &self->elements[i];
        self->elements[i].TrustStatus.dwErrorStatus = answer.elements[i];
        self->elements[i].pCertContext =
            i == 0 ? duplicate_certificate(leaf) : system_certificate(NULL, 0);
    }
    *out = &self->context;
    return TRUE;
}

static VOID free_chain(PCCERT_CHAIN_CONTEXT context)
{
    chain *self = (chain *)(uintptr_t)context;

    for (DWORD i = 0; i < self->answer.count; i++) {
        free_certificate(self->elements[i].pCertContext);
    }
    release(self);
}

static BOOL verify_policy(LPCSTR policy, PCCERT_CHAIN_CONTEXT context,
                          PCERT_CHAIN_POLICY_PARA parameters,
                          PCERT_CHAIN_POLICY_STATUS status)
{
    const chain *self = (const chain *)(uintptr_t)context;

    rule(policy == CERT_CHAIN_POLICY_SSL && parameters->cbSize == sizeof(*parameters) &&
             status->cbSize == sizeof(*status),
         "CertVerifyCertificateChainPolicy: its parameters");
    if (self->answer.policy_fails) {
        SetLastError(0);
        return FALSE;
    }
    status->dwError = self->answer.policy;
    status->lElementIndex = self->answer.policy_index;
    return TRUE;
}

/* ----------------------------------------------------------------- digests */

static NTSTATUS open_algorithm(BCRYPT_ALG_HANDLE *algorithm, LPCWSTR name,
                               LPCWSTR implementation, ULONG flags)
{
    (void)flags;
    rule(wcslen(name) > 0 && implementation == NULL, "BCryptOpenAlgorithmProvider");
    if (fails(0)) {
        return STATUS_NOT_FOUND;
    }
    *algorithm = acquire(1);
    return STATUS_SUCCESS;
}

static NTSTATUS close_algorithm(BCRYPT_ALG_HANDLE algorithm, ULONG flags)
{
    (void)flags;
    release(algorithm);
    return STATUS_SUCCESS;
}

static NTSTATUS create_hash(BCRYPT_ALG_HANDLE algorithm, BCRYPT_HASH_HANDLE *hash,
                            PUCHAR object, ULONG object_size, PUCHAR secret,
                            ULONG secret_size, ULONG flags)
{
    (void)object_size;
    (void)secret_size;
    (void)flags;
    rule(algorithm != NULL && object == NULL && secret == NULL, "BCryptCreateHash");
    if (fails(0)) {
        return STATUS_NO_MEMORY;
    }
    *hash = acquire(sizeof(uint32_t));
    return STATUS_SUCCESS;
}

static NTSTATUS hash_data(BCRYPT_HASH_HANDLE hash, PUCHAR data, ULONG size, ULONG flags)
{
    uint32_t *sum = hash;

    (void)flags;
    for (ULONG i = 0; i < size; i++) {
        *sum = *sum * 31 + data[i];
    }
    return fails(0) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static NTSTATUS finish_hash(BCRYPT_HASH_HANDLE hash, PUCHAR digest, ULONG size,
                            ULONG flags)
{
    (void)flags;
    memset(digest, *(const uint8_t *)hash, size);
    return fails(0) ? STATUS_INVALID_BUFFER_SIZE : STATUS_SUCCESS;
}

static NTSTATUS destroy_hash(BCRYPT_HASH_HANDLE hash)
{
    release(hash);
    return STATUS_SUCCESS;
}

/* ----------------------------------------------------------------- sockets */

static int socket_receive(SOCKET handle, char *data, int size, int flags)
{
    rule(handle != 0 && size > 0 && flags == 0, "recv");
    return system_memory.receive(data, size);
}

static int socket_send(SOCKET handle, const char *data, int size, int flags)
{
    rule(handle != 0 && size > 0 && flags == 0, "send");
    return system_memory.send(data, size);
}

static int socket_select(int unused, fd_set *readable, fd_set *writable, fd_set *failed,
                         const struct timeval *timeout)
{
    bool reads = readable != NULL && readable->fd_count > 0;
    bool writes = writable != NULL && writable->fd_count > 0;

    (void)unused;
    rule(failed == NULL && timeout != NULL, "select");
    rule(reads || writes, "select: Winsock refuses to wait for nothing (WSAEINVAL)");
    return system_memory.wait(
        reads, writes, (uint32_t)(timeout->tv_sec * 1000 + timeout->tv_usec / 1000));
}

static int socket_error(void)
{
    return system_memory.socket_error;
}

/* ------------------------------------------------------------------- table */

static DWORD windows_build(void)
{
    return system_memory.build;
}

static const schan_system table = {
    .WindowsBuild = windows_build,
    .CertCreateCertificateContext = create_certificate,
    .CertDuplicateCertificateContext = duplicate_certificate,
    .CertFreeCertificateContext = free_certificate,
    .CertNameToStrW = name_to_text,
    .CertOpenStore = open_store,
    .CertCloseStore = close_store,
    .CertAddEncodedCertificateToStore = add_certificate,
    .CertCreateCertificateChainEngine = create_engine,
    .CertFreeCertificateChainEngine = free_engine,
    .CertGetCertificateChain = get_chain,
    .CertFreeCertificateChain = free_chain,
    .CertVerifyCertificateChainPolicy = verify_policy,
    .BCryptOpenAlgorithmProvider = open_algorithm,
    .BCryptCloseAlgorithmProvider = close_algorithm,
    .BCryptCreateHash = create_hash,
    .BCryptHashData = hash_data,
    .BCryptFinishHash = finish_hash,
    .BCryptDestroyHash = destroy_hash,
    .recv = socket_receive,
    .send = socket_send,
    .select = socket_select,
    .WSAGetLastError = socket_error,
};

const schan_system *system_begin(choices *decisions)
{
    memset(&system_memory, 0, sizeof(system_memory));
    system_memory.decisions = decisions;
    system_memory.build = 26100;
    system_memory.chain.count = 2;
    system_memory.system_chain.count = 2;
    system_memory.not_before = stand_in.file_time - 1;
    system_memory.not_after = stand_in.file_time + 1;
    stand_in.pool = STAND_IN_POOL_AT_ONCE;
    alive = 0;
    return &table;
}

long system_alive(void)
{
    return __atomic_load_n(&alive, __ATOMIC_SEQ_CST);
}

void system_end(void)
{
    rule(system_alive() == 0,
         "a certificate, store, chain, engine or digest was not given back");
}
