/*
 * system_memory.c - crypt32, bcrypt and ws2_32 in memory; what is not given back aborts
 */
#include "system_parts.h"

#include <stdlib.h>

struct system_memory system_memory;

static long alive; /* blocks that were acquired and not given back */

void system_rule(bool is_kept, const char *text)
{
    if (!is_kept) {
        stand_in_abort(text);
    }
}

/* Whether this call fails, by the decisions: one in eight. */
bool system_fails(DWORD error)
{
    choices *decisions = system_memory.decisions;

    if (++system_memory.calls == system_memory.failing_call) {
        SetLastError(system_memory.fails_without_reason ? 0 : error);
        return true;
    }
    if (decisions == NULL || (choose_byte(decisions) & 7U) != 7) {
        return false;
    }
    SetLastError(choose_byte(decisions) % 4 == 0 ? 0 : error);
    return true;
}

void *system_acquire(size_t size)
{
    void *block = malloc(size);

    system_rule(block != NULL, "the test has no memory");
    memset(block, 0, size);
    __atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
    system_memory.made++;
    return block;
}

void system_release(void *block)
{
    system_rule(block != NULL, "NULL is given back to Windows");
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
    BYTE issuer[4];
    system_key key;
    NCRYPT_KEY_HANDLE key_in_memory;
    wchar_t container[520];
    bool is_machine;
    BYTE bytes[]; /* DER, then the subjectAltName */
} certificate;

typedef struct {
    LONG references;
    certificate *content[SYSTEM_MOST_CERTIFICATES];
    size_t count;
} store;

static FILETIME file_time(uint64_t ticks)
{
    return (FILETIME){(DWORD)ticks, (DWORD)(ticks >> 32U)};
}

static certificate *new_certificate(const void *der, size_t der_size, const void *names,
                                    size_t names_size)
{
    static char key_usage[] = szOID_KEY_USAGE;
    static char alternative_name[] = szOID_SUBJECT_ALT_NAME2;
    certificate *self = system_acquire(sizeof(*self) + der_size + names_size);

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
    self->info.Issuer.pbData = self->issuer;
    self->info.Issuer.cbData = sizeof(self->issuer);
    self->subject[0] = der_size > 0 ? self->bytes[0] : 0;
    self->issuer[0] = der_size > 1 ? self->bytes[1] : self->subject[0];
    self->info.SignatureAlgorithm.pszObjId = (LPSTR)(uintptr_t)system_memory.signature;
    self->info.SignatureAlgorithm.Parameters.pbData =
        (BYTE *)(uintptr_t)system_memory.signature_parameters;
    self->info.SignatureAlgorithm.Parameters.cbData =
        system_memory.signature_parameters_size;
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

static void put_in(store *self, certificate *one)
{
    system_rule(self->count < SYSTEM_MOST_CERTIFICATES,
                "more certificates than planned");
    self->content[self->count++] = one;
}

static HCERTSTORE new_store(void)
{
    store *self = system_acquire(sizeof(*self));

    self->references = 1;
    return self;
}

/* The peer's certificate with what came along, itself among it (B39). */
static void send_along(certificate *peer)
{
    store *self = new_store();

    for (size_t i = 0;
         i < SYSTEM_MOST_CERTIFICATES - 1 && system_memory.sent[i] != NULL; i++) {
        const char *der = system_memory.sent[i];
        put_in(self, new_certificate(der, strlen(der), NULL, 0));
    }
    put_in(self, new_certificate(peer->bytes, peer->context.cbCertEncoded, NULL, 0));
    peer->context.hCertStore = self;
}

PCCERT_CONTEXT system_certificate(const void *names, size_t size)
{
    const void *der = system_memory.peer != NULL ? system_memory.peer : "certificate";
    size_t der_size = system_memory.peer != NULL ? system_memory.peer_size : 11;
    certificate *self = new_certificate(der, der_size, names, size);

    if (system_memory.sent[0] != NULL) {
        send_along(self);
    }
    return &self->context;
}

static PCCERT_CONTEXT create_certificate(DWORD encoding, const BYTE *der, DWORD size)
{
    system_rule((encoding & X509_ASN_ENCODING) != 0, "the encoding of a certificate");
    if (size == 0 || system_fails((DWORD)CRYPT_E_ASN1_BADTAG)) {
        return NULL;
    }
    return &new_certificate(der, size, NULL, 0)->context;
}

static PCCERT_CONTEXT duplicate_certificate(PCCERT_CONTEXT context)
{
    InterlockedIncrement(&((certificate *)(uintptr_t)context)->references);
    return context;
}

static BOOL close_store(HCERTSTORE handle, DWORD flags);

static BOOL free_certificate(PCCERT_CONTEXT context)
{
    certificate *self = (certificate *)(uintptr_t)context;

    if (InterlockedDecrement(&self->references) == 0) {
        if (self->context.hCertStore != NULL) {
            close_store(self->context.hCertStore, 0);
        }
        system_release(self);
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
    system_rule(name->cbData == 4 && name->pbData != NULL, "the name of a certificate");
    if (system_fails((DWORD)CRYPT_E_ASN1_CORRUPT)) {
        return 0;
    }
    if (text == NULL || capacity == 0) {
        return size;
    }
    system_rule(capacity >= size, "CertNameToStr: the text is cut off");
    memcpy(text, answer, sizeof(answer));
    return size;
}

/* ------------------------------------------------------------------ stores */

HCERTSTORE system_store_of(const system_content *content, bool is_persistent,
                           bool is_machine)
{
    store *self = new_store();

    for (size_t i = 0; i < content->count; i++) {
        const system_item *item = &content->items[i];
        certificate *one = new_certificate(item->der, strlen(item->der), NULL, 0);
        one->key = item->key;
        one->is_machine = is_machine;
        if (item->not_after != 0) {
            one->info.NotAfter = file_time(item->not_after);
        }
        if (item->key == SYSTEM_KEY_IN_MEMORY && is_persistent) {
            one->key = SYSTEM_KEY_ON_DISK;
        }
        if (one->key == SYSTEM_KEY_ON_DISK && item->container != NULL) {
            memcpy(one->container, item->container,
                   (wcslen(item->container) + 1) * sizeof(wchar_t));
        }
        if (is_persistent && one->key == SYSTEM_KEY_ON_DISK) {
            system_add_key(one->container, is_machine);
        }
        put_in(self, one);
    }
    return self;
}

static HCERTSTORE open_store(LPCSTR provider, DWORD encoding, HCRYPTPROV_LEGACY unused,
                             DWORD flags, const void *parameter)
{
    (void)encoding;
    system_rule(unused == 0, "CertOpenStore: a provider");
    system_rule(provider == CERT_STORE_PROV_MEMORY || parameter != NULL,
                "a store's name");
    system_rule(provider == CERT_STORE_PROV_MEMORY ||
                    (flags & CERT_STORE_READONLY_FLAG) != 0,
                "a system store is opened to be written to");
    if (system_fails(ERROR_ACCESS_DENIED)) {
        return NULL;
    }
    return provider == CERT_STORE_PROV_MEMORY
               ? new_store()
               : system_store_of(&system_memory.stored, false, false);
}

static HCERTSTORE duplicate_store(HCERTSTORE handle)
{
    InterlockedIncrement(&((store *)handle)->references);
    return handle;
}

static BOOL close_store(HCERTSTORE handle, DWORD flags)
{
    store *self = handle;

    system_rule(flags == 0, "CertCloseStore: flags");
    if (InterlockedDecrement(&self->references) == 0) {
        for (size_t i = 0; i < self->count; i++) {
            free_certificate(&self->content[i]->context);
        }
        system_release(self);
    }
    return TRUE;
}

/* Gives the certificate before back, as Windows does. */
static PCCERT_CONTEXT each_certificate(HCERTSTORE handle, PCCERT_CONTEXT previous)
{
    const store *self = handle;
    size_t next = 0;

    system_rule(handle != NULL, "CertEnumCertificatesInStore: no store");
    if (previous != NULL) {
        while (next < self->count && &self->content[next]->context != previous) {
            next++;
        }
        system_rule(next++ < self->count, "a certificate of another store");
        free_certificate(previous);
    }
    return next < self->count ? duplicate_certificate(&self->content[next]->context)
                              : NULL;
}

static BOOL add_certificate(HCERTSTORE handle, DWORD encoding, const BYTE *der,
                            DWORD size, DWORD disposition, PCCERT_CONTEXT *added)
{
    store *self = handle;

    (void)encoding;
    system_rule(self != NULL && disposition == CERT_STORE_ADD_USE_EXISTING,
                "CertAddEncodedCertificateToStore");
    if (size == 0 || der[0] == 0 || system_fails((DWORD)CRYPT_E_ASN1_BADTAG)) {
        SetLastError((DWORD)CRYPT_E_ASN1_BADTAG);
        return FALSE;
    }
    put_in(self, new_certificate(der, size, NULL, 0));
    if (added != NULL) {
        *added = duplicate_certificate(&self->content[self->count - 1]->context);
    }
    return TRUE;
}

/* -------------------------------------------------------------- properties */

static BOOL is_absent(void)
{
    SetLastError((DWORD)CRYPT_E_NOT_FOUND);
    return FALSE;
}

static BOOL get_place(certificate *self, CRYPT_KEY_PROV_INFO *place, DWORD *size)
{
    DWORD text = (DWORD)((wcslen(self->container) + 1) * sizeof(wchar_t));
    DWORD need = (DWORD)sizeof(*place) + text;

    if (self->key != SYSTEM_KEY_ON_DISK || system_fails((DWORD)CRYPT_E_NOT_FOUND)) {
        return is_absent();
    }
    if (place != NULL) {
        system_rule(*size >= need, "CERT_KEY_PROV_INFO_PROP_ID: too little room");
        memset(place, 0, sizeof(*place));
        place->pwszContainerName = (LPWSTR)(void *)(place + 1);
        memcpy(place->pwszContainerName, self->container, text);
    }
    *size = need;
    return TRUE;
}

static BOOL get_property(PCCERT_CONTEXT context, DWORD property, void *data,
                         DWORD *size)
{
    certificate *self = (certificate *)(uintptr_t)context;
    DWORD wanted = system_memory.keys_are_capi ? CERT_KEY_CONTEXT_PROP_ID
                                               : CERT_NCRYPT_KEY_HANDLE_PROP_ID;
    CERT_KEY_CONTEXT key = {sizeof(key), {0x5151}, AT_KEYEXCHANGE};
    NCRYPT_KEY_HANDLE handle = 0x5151; /* the certificate's: nobody may free it */

    if (property == CERT_KEY_PROV_INFO_PROP_ID) {
        return get_place(self, data, size);
    }
    system_rule(property == CERT_KEY_CONTEXT_PROP_ID ||
                    property == CERT_NCRYPT_KEY_HANDLE_PROP_ID,
                "CertGetCertificateContextProperty: another property");
    if (self->key != SYSTEM_KEY_IN_MEMORY || property != wanted ||
        system_fails((DWORD)CRYPT_E_NOT_FOUND)) {
        return is_absent();
    }
    const void *value = system_memory.keys_are_capi ? (void *)&key : (void *)&handle;
    DWORD need = system_memory.keys_are_capi ? sizeof(key) : sizeof(handle);
    if (data != NULL) {
        system_rule(*size == need, "the size of a property");
        memcpy(data, value, need);
    }
    *size = need;
    return TRUE;
}

static BOOL set_property(PCCERT_CONTEXT context, DWORD property, DWORD flags,
                         const void *data)
{
    certificate *self = (certificate *)(uintptr_t)context;
    const CRYPT_KEY_PROV_INFO *place = data;

    system_rule(property == CERT_KEY_PROV_INFO_PROP_ID && flags == 0 && data != NULL,
                "CertSetCertificateContextProperty");
    system_rule((wcscmp(place->pwszProvName, MS_KEY_STORAGE_PROVIDER) != 0) ==
                    system_memory.keys_are_capi,
                "the provider of a private key");
    system_rule(system_has_key(place->pwszContainerName),
                "a certificate is told of a private key that is not there");
    if (system_fails(ERROR_NOT_ENOUGH_MEMORY)) {
        return FALSE;
    }
    self->key = SYSTEM_KEY_ON_DISK;
    memcpy(self->container, place->pwszContainerName,
           (wcslen(place->pwszContainerName) + 1) * sizeof(wchar_t));
    return TRUE;
}

const wchar_t *system_container_of(PCCERT_CONTEXT context)
{
    const certificate *self = (const certificate *)(uintptr_t)context;

    return self->key == SYSTEM_KEY_ON_DISK ? self->container : NULL;
}

/* One usage, behind the struct; an empty list and the last error tell the rest. */
static BOOL get_usage(PCCERT_CONTEXT context, DWORD flags, PCERT_ENHKEY_USAGE usage,
                      DWORD *size)
{
    const char *only = system_memory.usage;

    (void)context;
    system_rule(flags == 0, "CertGetEnhancedKeyUsage: flags");
    if (system_fails(ERROR_NOT_ENOUGH_MEMORY)) {
        return FALSE;
    }
    if (usage == NULL) {
        *size = sizeof(*usage) + sizeof(LPSTR);
        return TRUE;
    }
    system_rule(*size >= sizeof(*usage) + sizeof(LPSTR), "room for a usage");
    usage->cUsageIdentifier = only != NULL && only[0] != 0;
    usage->rgpszUsageIdentifier = (LPSTR *)(void *)(usage + 1);
    usage->rgpszUsageIdentifier[0] = (LPSTR)(uintptr_t)only;
    if (only == NULL) {
        SetLastError((DWORD)CRYPT_E_NOT_FOUND);
    }
    return TRUE;
}

static LONG verify_time(LPFILETIME time, PCERT_INFO info)
{
    FILETIME now = {0};

    system_rule(time == NULL, "CertVerifyTimeValidity: another time than now");
    GetSystemTimeAsFileTime(&now);
    return CompareFileTime(&now, &info->NotBefore) < 0  ? -1
           : CompareFileTime(&now, &info->NotAfter) > 0 ? 1
                                                        : 0;
}

static HCERTSTORE import_pfx(CRYPT_DATA_BLOB *pfx, LPCWSTR password, DWORD flags)
{
    const wchar_t *wanted = system_memory.password;
    bool is_persistent = (flags & PKCS12_NO_PERSIST_KEY) == 0;
    bool is_same = wanted == NULL || password == NULL ? wanted == password
                                                      : wcscmp(wanted, password) == 0;

    system_rule(pfx->cbData > 0 && pfx->pbData != NULL, "PFXImportCertStore: no bytes");
    system_rule(!system_memory.keys_are_capi || (flags & PKCS12_ALWAYS_CNG_KSP) == 0,
                "a flag of CNG, which Wine refuses (B87)");
    system_rule(is_persistent != ((flags & CRYPT_EXPORTABLE) != 0),
                "PFXImportCertStore: exportable on disk (B87)");
    if (!is_same) {
        SetLastError(ERROR_INVALID_PASSWORD);
        return NULL;
    }
    return system_fails(ERROR_INVALID_PASSWORD)
               ? NULL
               : system_store_of(&system_memory.pfx, is_persistent,
                                 (flags & CRYPT_MACHINE_KEYSET) != 0);
}

/* ------------------------------------------------------------------ chains */

static BOOL create_engine(PCERT_CHAIN_ENGINE_CONFIG config, HCERTCHAINENGINE *engine)
{
    system_rule(config->hExclusiveRoot != NULL,
                "a chain engine without exclusive roots (B41)");
    system_rule(config->cbSize == sizeof(*config) ||
                    config->cbSize ==
                        offsetof(CERT_CHAIN_ENGINE_CONFIG, dwExclusiveFlags),
                "the size of CERT_CHAIN_ENGINE_CONFIG");
    if (system_fails(ERROR_INVALID_PARAMETER)) {
        *engine = (HCERTCHAINENGINE)0x99; /* nobody may free it */
        return FALSE;
    }
    *engine = system_acquire(1);
    return TRUE;
}

static VOID free_engine(HCERTCHAINENGINE engine)
{
    system_release(engine);
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

    system_rule(reserved == NULL && parameters->cbSize == sizeof(*parameters),
                "CertGetCertificateChain: its parameters");
    bool is_for_sending = flags == CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL &&
                          time == NULL && additional == NULL; /* B11 */
    system_rule(
        is_for_sending ||
            (parameters->RequestedUsage.Usage.cUsageIdentifier > 0 &&
             strlen(parameters->RequestedUsage.Usage.rgpszUsageIdentifier[0]) > 0),
        "CertGetCertificateChain without a usage (B43)");
    if (answer.error != 0 || system_fails(ERROR_NOT_ENOUGH_MEMORY)) {
        SetLastError(answer.error);
        return FALSE;
    }
    chain *self = system_acquire(sizeof(*self));
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
    system_release(self);
}

static BOOL verify_policy(LPCSTR policy, PCCERT_CHAIN_CONTEXT context,
                          PCERT_CHAIN_POLICY_PARA parameters,
                          PCERT_CHAIN_POLICY_STATUS status)
{
    const chain *self = (const chain *)(uintptr_t)context;

    system_rule(policy == CERT_CHAIN_POLICY_SSL &&
                    parameters->cbSize == sizeof(*parameters) &&
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
    system_rule(wcslen(name) > 0 && implementation == NULL,
                "BCryptOpenAlgorithmProvider");
    if (system_fails(0)) {
        return STATUS_NOT_FOUND;
    }
    *algorithm = system_acquire(1);
    return STATUS_SUCCESS;
}

static NTSTATUS close_algorithm(BCRYPT_ALG_HANDLE algorithm, ULONG flags)
{
    (void)flags;
    system_release(algorithm);
    return STATUS_SUCCESS;
}

static NTSTATUS create_hash(BCRYPT_ALG_HANDLE algorithm, BCRYPT_HASH_HANDLE *hash,
                            PUCHAR object, ULONG object_size, PUCHAR secret,
                            ULONG secret_size, ULONG flags)
{
    (void)object_size;
    (void)secret_size;
    (void)flags;
    system_rule(algorithm != NULL && object == NULL && secret == NULL,
                "BCryptCreateHash");
    if (system_fails(0)) {
        return STATUS_NO_MEMORY;
    }
    *hash = system_acquire(sizeof(uint32_t));
    return STATUS_SUCCESS;
}

static NTSTATUS hash_data(BCRYPT_HASH_HANDLE hash, PUCHAR data, ULONG size, ULONG flags)
{
    uint32_t *sum = hash;

    (void)flags;
    for (ULONG i = 0; i < size; i++) {
        *sum = *sum * 31 + data[i];
    }
    return system_fails(0) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

static NTSTATUS finish_hash(BCRYPT_HASH_HANDLE hash, PUCHAR digest, ULONG size,
                            ULONG flags)
{
    (void)flags;
    memset(digest, *(const uint8_t *)hash, size);
    return system_fails(0) ? STATUS_INVALID_BUFFER_SIZE : STATUS_SUCCESS;
}

static NTSTATUS destroy_hash(BCRYPT_HASH_HANDLE hash)
{
    system_release(hash);
    return STATUS_SUCCESS;
}

/* ----------------------------------------------------------------- sockets */

static int socket_receive(SOCKET handle, char *data, int size, int flags)
{
    system_rule(handle != 0 && size > 0 && flags == 0, "recv");
    return system_memory.receive(data, size);
}

static int socket_send(SOCKET handle, const char *data, int size, int flags)
{
    system_rule(handle != 0 && size > 0 && flags == 0, "send");
    return system_memory.send(data, size);
}

static int socket_select(int unused, fd_set *readable, fd_set *writable, fd_set *failed,
                         const struct timeval *timeout)
{
    bool reads = readable != NULL && readable->fd_count > 0;
    bool writes = writable != NULL && writable->fd_count > 0;

    (void)unused;
    system_rule(failed == NULL && timeout != NULL, "select");
    system_rule(reads || writes,
                "select: Winsock refuses to wait for nothing (WSAEINVAL)");
    return system_memory.wait(
        reads, writes, (uint32_t)(timeout->tv_sec * 1000 + timeout->tv_usec / 1000));
}

static int socket_get_option(SOCKET handle, int level, int name, char *value, int *size)
{
    system_rule(handle != 0 && level == SOL_SOCKET && name == SO_SNDBUF &&
                    *size == sizeof(ULONG),
                "getsockopt");
    memcpy(value, &system_memory.send_buffer, sizeof(ULONG));
    return system_memory.send_buffer == 0 ? -1 : 0;
}

static int socket_set_option(SOCKET handle, int level, int name, const char *value,
                             int size)
{
    system_rule(handle != 0 && level == SOL_SOCKET && name == SO_SNDBUF &&
                    size == sizeof(ULONG) && value != NULL,
                "setsockopt");
    system_rule(*(const ULONG *)(const void *)value > system_memory.send_buffer,
                "SO_SNDBUF shrinks (B92)");
    memcpy(&system_memory.send_buffer, value, sizeof(ULONG));
    system_memory.backlogs_set++;
    return 0;
}

static int socket_control(SOCKET handle, DWORD code, LPVOID given, DWORD given_size,
                          LPVOID answer, DWORD answer_size, DWORD *answered)
{
    system_rule(handle != 0 && answered != NULL, "WSAIoctl");
    if (code == (DWORD)SIO_TCP_INITIAL_RTO) {
        system_rule(given_size == sizeof(TCP_INITIAL_RTO_PARAMETERS) && given != NULL &&
                        answer == NULL && answer_size == 0,
                    "SIO_TCP_INITIAL_RTO");
        system_memory.refused_at_once++;
        return 0;
    }
    system_rule(code == (DWORD)SIO_IDEAL_SEND_BACKLOG_QUERY && given_size == 0 &&
                    answer_size == sizeof(ULONG),
                "SIO_IDEAL_SEND_BACKLOG_QUERY");
    *(ULONG *)answer = (ULONG)system_memory.backlog;
    return system_memory.backlog < 0 ? -1 : 0;
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

static schan_system table = {
    .WindowsBuild = windows_build,
    .CertCreateCertificateContext = create_certificate,
    .CertDuplicateCertificateContext = duplicate_certificate,
    .CertFreeCertificateContext = free_certificate,
    .CertNameToStrW = name_to_text,
    .CertOpenStore = open_store,
    .CertDuplicateStore = duplicate_store,
    .CertCloseStore = close_store,
    .CertEnumCertificatesInStore = each_certificate,
    .CertGetCertificateContextProperty = get_property,
    .CertSetCertificateContextProperty = set_property,
    .CertGetEnhancedKeyUsage = get_usage,
    .CertVerifyTimeValidity = verify_time,
    .PFXImportCertStore = import_pfx,
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
    .getsockopt = socket_get_option,
    .setsockopt = socket_set_option,
    .WSAIoctl = socket_control,
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
    system_memory.backlog = -1;
    system_memory.send_buffer = 65536;
    system_memory.signature = szOID_RSA_SHA256RSA;
    alive = 0;
    system_begin_keys();
    system_fill_keys(&table);
    return &table;
}

long system_alive(void)
{
    return __atomic_load_n(&alive, __ATOMIC_SEQ_CST);
}

void system_end(void)
{
    system_rule(
        system_alive() == 0,
        "a certificate, store, chain, engine, digest or key was not given back");
    system_end_keys();
}

schan_identity *system_identity(schan_library *library, int kind)
{
    const schan_identity_config config = {.is_server = 1};
    const schan_span certificates[] = {{(const uint8_t *)"certificate", 11}};
    const schan_span key = {(const uint8_t *)"key", 3};
    schan_identity *identity = NULL;

    if (schan_identity_from_key(&identity, library, certificates, 1, kind, key, &config,
                                NULL) != SCHAN_OK) {
        stand_in_abort("no identity");
    }
    return identity;
}
