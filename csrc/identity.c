/*
 * identity.c - a certificate, its private key and the certificates above it: one object
 *
 * Credentials share it. Certificate, store and key live as long as the last of them
 * (B7): Schannel looks at all three whenever it makes a handshake.
 *
 * A certificate that comes as bytes is put into a memory store together with those above
 * it, and told where its key is; the key itself is key.c's. Schannel sends only those
 * certificates above it that it finds in the stores of machine and user (B11); what the
 * caller gave and Windows will not find is noted, for the caller to be told.
 */
#include "schan_internal.h"

static const DWORD encoding = X509_ASN_ENCODING; /* alone: Wine takes no other */

static schan_result fail_last(schan_error *err, const char *call)
{
    return schan__fail(err, SCHAN_ERR_CREDENTIAL, (int32_t)GetLastError(), call);
}

/* ------------------------------------------------------------- what fits what */

static bool has_property(const schan_system *system, PCCERT_CONTEXT certificate,
                         DWORD property)
{
    DWORD size = 0;

    return system->CertGetCertificateContextProperty(certificate, property, NULL,
                                                     &size);
}

/* A key that lives in the certificate itself, open already (B10). */
static bool holds_its_key(const schan_system *system, PCCERT_CONTEXT certificate)
{
    return has_property(system, certificate, CERT_NCRYPT_KEY_HANDLE_PROP_ID) ||
           has_property(system, certificate, CERT_KEY_CONTEXT_PROP_ID);
}

int32_t schan__identity_probe_key(schan_library *library, PCCERT_CONTEXT certificate)
{
    const schan_system *system = library->system;
    HCRYPTPROV_OR_NCRYPT_KEY_HANDLE key = 0;
    DWORD key_spec = 0;
    BOOL must_free = FALSE;

    if (holds_its_key(system, certificate)) {
        return ERROR_SUCCESS;
    }
    SetLastError(ERROR_SUCCESS);
    if (!system->CryptAcquireCertificatePrivateKey(
            certificate,
            CRYPT_ACQUIRE_SILENT_FLAG | CRYPT_ACQUIRE_PREFER_NCRYPT_KEY_FLAG, NULL,
            &key, &key_spec, &must_free)) {
        int32_t status = (int32_t)GetLastError();
        return status != ERROR_SUCCESS ? status : NTE_BAD_KEYSET;
    }
    if (must_free && key_spec == CERT_NCRYPT_KEY_SPEC) {
        system->NCryptFreeObject(key);
    } else if (must_free) {
        system->CryptReleaseContext(key, 0);
    }
    return ERROR_SUCCESS;
}

CRYPT_KEY_PROV_INFO *schan__identity_place_of_key(const schan_system *system,
                                                  PCCERT_CONTEXT certificate)
{
    DWORD size = 0;

    if (!system->CertGetCertificateContextProperty(
            certificate, CERT_KEY_PROV_INFO_PROP_ID, NULL, &size) ||
        size < sizeof(CRYPT_KEY_PROV_INFO)) {
        return NULL;
    }
    CRYPT_KEY_PROV_INFO *place = schan__allocate(size);
    if (place != NULL && !system->CertGetCertificateContextProperty(
                             certificate, CERT_KEY_PROV_INFO_PROP_ID, place, &size)) {
        schan__release(place);
        place = NULL;
    }
    return place;
}

/* B9: CERT_FIND_HAS_PRIVATE_KEY is not known everywhere, the properties are. */
static bool has_private_key(const schan_system *system, PCCERT_CONTEXT certificate)
{
    return has_property(system, certificate, CERT_KEY_PROV_INFO_PROP_ID) ||
           holds_its_key(system, certificate);
}

static bool lists_purpose(const CERT_ENHKEY_USAGE *usage, bool is_server)
{
    const char *wanted =
        is_server ? szOID_PKIX_KP_SERVER_AUTH : szOID_PKIX_KP_CLIENT_AUTH;

    for (DWORD i = 0; i < usage->cUsageIdentifier; i++) {
        if (strcmp(usage->rgpszUsageIdentifier[i], wanted) == 0 ||
            strcmp(usage->rgpszUsageIdentifier[i], szOID_ANY_ENHANCED_KEY_USAGE) == 0) {
            return true;
        }
    }
    return false;
}

/* An empty list means every purpose when nothing restricts it, and none otherwise: the
 * last error tells which. */
static bool fits_purpose(const schan_system *system, PCCERT_CONTEXT certificate,
                         bool is_server)
{
    DWORD size = 0;

    if (!system->CertGetEnhancedKeyUsage(certificate, 0, NULL, &size)) {
        return GetLastError() == (DWORD)CRYPT_E_NOT_FOUND;
    }
    CERT_ENHKEY_USAGE *usage = schan__allocate(size);
    if (usage == NULL) {
        return false;
    }
    SetLastError(ERROR_SUCCESS);
    bool fits =
        system->CertGetEnhancedKeyUsage(certificate, 0, usage, &size) &&
        (usage->cUsageIdentifier == 0 ? GetLastError() == (DWORD)CRYPT_E_NOT_FOUND
                                      : lists_purpose(usage, is_server));
    schan__release(usage);
    return fits;
}

schan_fitness schan__identity_fitness(schan_library *library,
                                      PCCERT_CONTEXT certificate, bool is_server)
{
    const schan_system *system = library->system;

    if (!has_private_key(system, certificate)) {
        return SCHAN_FITNESS_NO_KEY;
    }
    LONG when = system->CertVerifyTimeValidity(NULL, certificate->pCertInfo);
    if (when != 0) {
        return when > 0 ? SCHAN_FITNESS_EXPIRED : SCHAN_FITNESS_NOT_YET_VALID;
    }
    return fits_purpose(system, certificate, is_server) ? SCHAN_FITNESS_GOOD
                                                        : SCHAN_FITNESS_WRONG_USAGE;
}

/* --------------------------------------------------- what Windows will not send */

/* The intermediate certificate above `below` in the store; NULL when there is none, or
 * only an anchor, which nobody sends. */
static PCCERT_CONTEXT intermediate_above(const schan_system *system, HCERTSTORE store,
                                         PCCERT_CONTEXT below)
{
    PCCERT_CONTEXT each = NULL;

    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        const CERT_INFO *info = each->pCertInfo;
        if (schan__certificate_is_same_name(&info->Subject,
                                            &below->pCertInfo->Issuer) &&
            !schan__certificate_is_same_name(&info->Subject, &info->Issuer)) {
            break;
        }
    }
    return each;
}

static bool has_certificate(PCCERT_CHAIN_CONTEXT chain, PCCERT_CONTEXT certificate)
{
    for (DWORD i = 0; i < chain->cChain; i++) {
        for (DWORD k = 0; k < chain->rgpChain[i]->cElement; k++) {
            if (schan__certificate_is_same(
                    chain->rgpChain[i]->rgpElement[k]->pCertContext, certificate)) {
                return true;
            }
        }
    }
    return false;
}

static bool misses_one_of(const schan_identity *identity, PCCERT_CHAIN_CONTEXT chain)
{
    enum { longest_chain = 16 }; /* certificates that sign each other end here */
    const schan_system *system = identity->library->system;
    PCCERT_CONTEXT each =
        system->CertDuplicateCertificateContext(identity->certificate);
    bool misses = false;

    for (size_t i = 0; i < longest_chain && each != NULL && !misses; i++) {
        PCCERT_CONTEXT above = intermediate_above(system, identity->store, each);
        system->CertFreeCertificateContext(each);
        each = above;
        misses = each != NULL && !has_certificate(chain, each);
    }
    if (each != NULL) {
        system->CertFreeCertificateContext(each);
    }
    return misses;
}

/* B11: builds the chain as Schannel will, from a copy that knows nothing of our store,
 * and without the network. */
static void note_missing_intermediates(schan_identity *identity)
{
    const schan_system *system = identity->library->system;
    PCCERT_CONTEXT own = identity->certificate;
    PCCERT_CHAIN_CONTEXT chain = NULL;
    CERT_CHAIN_PARA parameters = {0};

    parameters.cbSize = sizeof(parameters);
    PCCERT_CONTEXT alone = system->CertCreateCertificateContext(
        encoding, own->pbCertEncoded, own->cbCertEncoded);
    if (alone == NULL) {
        return;
    }
    if (system->CertGetCertificateChain(NULL, alone, NULL, NULL, &parameters,
                                        CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL, NULL,
                                        &chain)) {
        identity->misses_intermediates = misses_one_of(identity, chain);
        system->CertFreeCertificateChain(chain);
    }
    system->CertFreeCertificateContext(alone);
}

/* ------------------------------------------------------------------- the object */

schan_result schan__identity_new(schan_identity **out, schan_library *library,
                                 HCERTSTORE store, PCCERT_CONTEXT certificate,
                                 schan_error *err)
{
    schan_identity *identity = schan__allocate(sizeof(*identity));

    *out = identity;
    if (identity == NULL) {
        library->system->CertFreeCertificateContext(certificate);
        library->system->CertCloseStore(store, 0);
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    identity->references = 1;
    identity->library = schan__library_share(library);
    identity->store = store;
    identity->certificate = certificate;
    return SCHAN_OK;
}

/* Puts the certificates into a memory store; the first is the one `out` gets. */
static schan_result collect(const schan_system *system, const schan_span *certificates,
                            size_t count, HCERTSTORE store, PCCERT_CONTEXT *out,
                            schan_error *err)
{
    for (size_t i = 0; i < count; i++) {
        ULONG size = 0;
        if (!schan__to_ulong(certificates[i].size, &size) ||
            !system->CertAddEncodedCertificateToStore(
                store, encoding, certificates[i].data, size,
                CERT_STORE_ADD_USE_EXISTING, i == 0 ? out : NULL)) {
            schan_result result = fail_last(err, "CertAddEncodedCertificateToStore");
            if (*out != NULL) {
                system->CertFreeCertificateContext(*out);
                *out = NULL;
            }
            return result;
        }
    }
    return SCHAN_OK;
}

static schan_result new_from_bytes(schan_identity **out, schan_library *library,
                                   const schan_span *certificates, size_t count,
                                   schan_error *err)
{
    const schan_system *system = library->system;
    PCCERT_CONTEXT certificate = NULL;

    HCERTSTORE store = system->CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0,
                                             CERT_STORE_CREATE_NEW_FLAG, NULL);
    if (store == NULL) {
        return fail_last(err, "CertOpenStore");
    }
    schan_result result =
        collect(system, certificates, count, store, &certificate, err);
    if (result != SCHAN_OK) {
        system->CertCloseStore(store, 0);
        return result;
    }
    return schan__identity_new(out, library, store, certificate, err);
}

schan_result schan__identity_from_key(schan_identity **out, schan_library *library,
                                      const schan_span *certificates, size_t count,
                                      schan__key_type type, schan_span key,
                                      bool is_machine, schan_error *err)
{
    schan_identity *identity = NULL;

    *out = NULL;
    schan_result result = new_from_bytes(&identity, library, certificates, count, err);
    if (identity == NULL) {
        return result;
    }
    result = schan__key_import(&identity->key, library, is_machine, type, key, err);
    if (result == SCHAN_OK) {
        result = schan__key_bind(&identity->key, identity->certificate, err);
    }
    if (result == SCHAN_OK) {
        result = schan__identity_finish(identity, err);
    }
    if (result != SCHAN_OK) {
        schan_identity_free(identity);
        return result;
    }
    *out = identity;
    return SCHAN_OK;
}

schan_result schan__identity_finish(schan_identity *identity, schan_error *err)
{
    int32_t status =
        schan__identity_probe_key(identity->library, identity->certificate);

    if (status != ERROR_SUCCESS) { /* B8: told now, by its name */
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, status,
                           "CryptAcquireCertificatePrivateKey");
    }
    note_missing_intermediates(identity);
    return SCHAN_OK;
}

schan_result schan_identity_from_key(schan_identity **out, schan_library *library,
                                     const schan_span *certificates, size_t count,
                                     int key_type, schan_span key,
                                     const schan_identity_config *config,
                                     schan_error *err)
{
    *out = NULL;
    if (count == 0 || (key_type != SCHAN_KEY_RSA && key_type != SCHAN_KEY_ECC)) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    return schan__identity_from_key(out, library, certificates, count,
                                    (schan__key_type)key_type, key,
                                    config->machine_keys != 0, err);
}

schan_identity *schan__identity_share(schan_identity *identity)
{
    if (identity != NULL) {
        InterlockedIncrement(&identity->references);
    }
    return identity;
}

void schan_identity_free(schan_identity *identity)
{
    if (identity == NULL || InterlockedDecrement(&identity->references) != 0) {
        return;
    }
    identity->library->system->CertFreeCertificateContext(identity->certificate);
    identity->library->system->CertCloseStore(identity->store, 0);
    schan__key_delete(&identity->key); /* nothing refers to it any more */
    schan_library_free(identity->library);
    schan__release(identity);
}

schan_span schan_identity_certificate(const schan_identity *identity)
{
    schan_span der = {identity->certificate->pbCertEncoded,
                      identity->certificate->cbCertEncoded};

    return der;
}

int schan_identity_misses_intermediates(const schan_identity *identity)
{
    return identity->misses_intermediates;
}

void schan_library_account(schan_library *library, wchar_t *text, size_t capacity)
{
    ULONG size = 0;

    if (capacity == 0) {
        return;
    }
    text[0] = 0;
    if (!schan__to_ulong(capacity, &size) ||
        !library->system->GetUserNameW(text, &size)) {
        text[0] = 0;
    }
}
