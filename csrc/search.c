/*
 * search.c - which certificate of a system store is meant, and why another is not
 *
 * All certificates of the store are looked at: the ways of CertFindCertificateInStore
 * are not the same everywhere (B9). Those of the wanted thumbprint or subject are the
 * candidates, each with what speaks against it, so that an error can tell. Private keys
 * are tried out for candidates only: that may ask a smart card.
 */
#include "schan_internal.h"

enum { sha1_size = 20, sha256_size = 32 };

typedef struct {
    PCCERT_CONTEXT certificate;
    schan_fitness fitness;
    int32_t status;
    CRYPT_KEY_PROV_INFO *place; /* NULL: not told */
} candidate;

struct schan_search {
    schan_library *library;
    HCERTSTORE store;
    candidate *candidates;
    size_t count;
    size_t capacity;
};

static schan_result open_store(schan_search *search, const schan_search_config *config,
                               schan_error *err)
{
    DWORD location = config->local_machine ? CERT_SYSTEM_STORE_LOCAL_MACHINE
                                           : CERT_SYSTEM_STORE_CURRENT_USER;

    SetLastError(ERROR_SUCCESS);
    search->store = search->library->system->CertOpenStore(
        CERT_STORE_PROV_SYSTEM_W, 0, 0,
        location | CERT_STORE_OPEN_EXISTING_FLAG | CERT_STORE_READONLY_FLAG,
        config->store);
    if (search->store != NULL) {
        return SCHAN_OK;
    }
    DWORD status = GetLastError();
    return schan__fail(
        err, SCHAN_ERR_CREDENTIAL, /* B89: NULL without a reason */
        (int32_t)(status != ERROR_SUCCESS ? status : ERROR_ACCESS_DENIED),
        "CertOpenStore");
}

/* ------------------------------------------------------------- what is wanted */

static schan_result has_thumbprint(schan_library *library, schan_span der,
                                   schan_span thumbprint, bool *is_wanted,
                                   schan_error *err)
{
    uint8_t digest[sha256_size] = {0};
    size_t size = 0;

    schan_result result =
        schan_digest(library, thumbprint.size == sha1_size ? SCHAN_SHA1 : SCHAN_SHA256,
                     der, digest, sizeof(digest), &size, err);
    *is_wanted = result == SCHAN_OK && size == thumbprint.size &&
                 memcmp(digest, thumbprint.data, size) == 0;
    return result;
}

static wchar_t lower(wchar_t letter)
{
    return letter >= L'A' && letter <= L'Z' ? (wchar_t)(letter - L'A' + L'a') : letter;
}

static bool contains(const wchar_t *text, const wchar_t *part)
{
    for (; *text != 0; text++) {
        size_t at = 0;
        while (part[at] != 0 && lower(text[at]) == lower(part[at])) {
            at++;
        }
        if (part[at] == 0) {
            return true;
        }
    }
    return false;
}

static schan_result has_subject(schan_library *library, schan_span der,
                                const wchar_t *subject, bool *is_wanted,
                                schan_error *err)
{
    size_t size = 0;

    *is_wanted = false;
    schan_result result =
        schan_certificate_name(library, der, SCHAN_NAME_SUBJECT, NULL, 0, &size, err);
    if (result != SCHAN_OK) {
        return result;
    }
    size_t capacity = size + 1;
    wchar_t *text = schan__allocate(capacity * sizeof(*text));
    if (text == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    result = schan_certificate_name(library, der, SCHAN_NAME_SUBJECT, text, capacity,
                                    &size, err);
    *is_wanted = result == SCHAN_OK && contains(text, subject); /* B9 */
    schan__release(text);
    return result;
}

static schan_result matches(schan_library *library, PCCERT_CONTEXT certificate,
                            const schan_search_config *config, bool *is_wanted,
                            schan_error *err)
{
    schan_span der = {certificate->pbCertEncoded, certificate->cbCertEncoded};
    schan_result result = SCHAN_OK;

    *is_wanted = true;
    if (config->thumbprint.size != 0) {
        result = has_thumbprint(library, der, config->thumbprint, is_wanted, err);
    }
    if (result == SCHAN_OK && *is_wanted && config->subject != NULL) {
        result = has_subject(library, der, config->subject, is_wanted, err);
    }
    return result;
}

/* ---------------------------------------------------------------- candidates */

static bool grow(schan_search *search)
{
    size_t capacity = search->capacity == 0 ? 4 : 2 * search->capacity;

    if (search->count < search->capacity) {
        return true;
    }
    candidate *more = schan__allocate(capacity * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    if (search->count > 0) {
        memcpy(more, search->candidates, search->count * sizeof(*more));
    }
    schan__release(search->candidates);
    search->candidates = more;
    search->capacity = capacity;
    return true;
}

static schan_result add(schan_search *search, PCCERT_CONTEXT certificate,
                        bool is_server, schan_error *err)
{
    const schan_system *system = search->library->system;

    if (!grow(search)) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    candidate *one = &search->candidates[search->count++];
    one->certificate = system->CertDuplicateCertificateContext(certificate);
    one->fitness = schan__identity_fitness(search->library, certificate, is_server);
    one->place = schan__identity_place_of_key(system, certificate);
    if (one->fitness == SCHAN_FITNESS_GOOD) {
        one->status = schan__identity_probe_key(search->library, certificate); /* B8 */
        if (one->status != ERROR_SUCCESS) {
            one->fitness = SCHAN_FITNESS_KEY_OUT_OF_REACH;
        }
    }
    return SCHAN_OK;
}

static schan_result look_through(schan_search *search,
                                 const schan_search_config *config, schan_error *err)
{
    const schan_system *system = search->library->system;
    PCCERT_CONTEXT each = NULL;
    schan_result result = SCHAN_OK;

    while (result == SCHAN_OK &&
           (each = system->CertEnumCertificatesInStore(search->store, each)) != NULL) {
        bool is_wanted = false;
        result = matches(search->library, each, config, &is_wanted, err);
        if (result == SCHAN_OK && is_wanted) {
            result = add(search, each, config->is_server != 0, err);
        }
    }
    if (each != NULL) {
        system->CertFreeCertificateContext(each);
    }
    return result;
}

schan_result schan_search_new(schan_search **out, schan_library *library,
                              const schan_search_config *config, schan_error *err)
{
    size_t size = config->thumbprint.size;

    *out = NULL;
    if (size != 0 && size != sha1_size && size != sha256_size) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    schan_search *search = schan__allocate(sizeof(*search));
    if (search == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    search->library = schan__library_share(library);
    schan_result result = open_store(search, config, err);
    if (result == SCHAN_OK) {
        result = look_through(search, config, err);
    }
    if (result != SCHAN_OK) {
        schan_search_free(search);
        return result;
    }
    *out = search;
    return SCHAN_OK;
}

void schan_search_free(schan_search *search)
{
    if (search == NULL) {
        return;
    }
    for (size_t i = 0; i < search->count; i++) {
        search->library->system->CertFreeCertificateContext(
            search->candidates[i].certificate);
        schan__release(search->candidates[i].place);
    }
    schan__release(search->candidates);
    if (search->store != NULL) {
        search->library->system->CertCloseStore(search->store, 0);
    }
    schan_library_free(search->library);
    schan__release(search);
}

size_t schan_search_count(const schan_search *search)
{
    return search->count;
}

schan_candidate schan_search_candidate(const schan_search *search, size_t index)
{
    schan_candidate told = {{NULL, 0}, SCHAN_FITNESS_NO_KEY, 0, NULL, NULL};

    if (index < search->count) {
        const candidate *one = &search->candidates[index];
        told.certificate.data = one->certificate->pbCertEncoded;
        told.certificate.size = one->certificate->cbCertEncoded;
        told.fitness = one->fitness;
        told.status = one->status;
        if (one->place != NULL) {
            told.container = one->place->pwszContainerName;
            told.provider = one->place->pwszProvName;
        }
    }
    return told;
}

static uint64_t end_of(const candidate *one)
{
    FILETIME end = one->certificate->pCertInfo->NotAfter;

    return (uint64_t)end.dwHighDateTime << 32U | end.dwLowDateTime;
}

size_t schan_search_best(const schan_search *search)
{
    size_t best = search->count;

    for (size_t i = 0; i < search->count; i++) {
        const candidate *one = &search->candidates[i];
        if (one->fitness == SCHAN_FITNESS_GOOD &&
            (best == search->count ||
             end_of(one) > end_of(&search->candidates[best]))) {
            best = i;
        }
    }
    return best;
}

schan_result schan_identity_from_search(schan_identity **out, schan_search *search,
                                        size_t index, schan_error *err)
{
    const schan_system *system = search->library->system;

    *out = NULL;
    if (index >= search->count ||
        search->candidates[index].fitness != SCHAN_FITNESS_GOOD) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    HCERTSTORE store = system->CertDuplicateStore(search->store);
    return schan__identity_new(
        out, search->library, store,
        system->CertDuplicateCertificateContext(search->candidates[index].certificate),
        err);
}
