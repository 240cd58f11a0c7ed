/*
 * pfx.c - identities out of PFX (PKCS #12) files
 *
 * PFXImportCertStore would keep the private key under a name of the file's choice, which
 * other imports of the same file share and which nobody deletes. So it is told to keep
 * nothing; the key is taken out of it and kept under a name of our own, on a
 * certificate of its own (B87); one that may not be taken out is imported again, to
 * where Windows puts it. With `ephemeral` the import stays as it is (B10).
 */
#include "schan_internal.h"

static schan_result fail_as(schan_error *err, int32_t status, const char *call)
{
    return schan__fail(err, SCHAN_ERR_CREDENTIAL, status, call);
}

/* No password and an empty one are different keys in PKCS #12, and which of them a
 * program means by an empty field differs: each is tried where the other fails. A call
 * that fails without a reason had the wrong password (Wine). */
static HCERTSTORE open_pfx(schan_library *library, schan_span pfx,
                           const wchar_t *password, DWORD how, schan_error *err)
{
    const schan_system *system = library->system;
    const DWORD flags = how | schan__key_ways_of(library)->pfx_flags;
    CRYPT_DATA_BLOB blob = {0, NULL};
    ULONG size = 0;

    if (!schan__to_ulong(pfx.size, &size)) {
        fail_as(err, CRYPT_E_ASN1_LARGE, "PFXImportCertStore");
        return NULL;
    }
    blob.cbData = size;
    blob.pbData = (BYTE *)(uintptr_t)pfx.data; /* not written to */
    SetLastError(ERROR_SUCCESS);
    HCERTSTORE store = system->PFXImportCertStore(&blob, password, flags);
    DWORD status = GetLastError();
    if (store == NULL && (password == NULL || password[0] == 0)) {
        store = system->PFXImportCertStore(&blob, password == NULL ? L"" : NULL, flags);
    }
    if (store == NULL) {
        fail_as(err, status != ERROR_SUCCESS ? (int32_t)status : ERROR_INVALID_PASSWORD,
                "PFXImportCertStore");
    }
    return store;
}

typedef struct {
    PCCERT_CONTEXT with_key; /* the last one met, and how many there are */
    size_t keys;
    PCCERT_CONTEXT good;
    size_t goods;
} findings;

static void keep(const schan_system *system, PCCERT_CONTEXT *place, size_t *count,
                 PCCERT_CONTEXT certificate)
{
    if (*place != NULL) {
        system->CertFreeCertificateContext(*place);
    }
    *place = system->CertDuplicateCertificateContext(certificate);
    (*count)++;
}

/* The certificate with a private key; of several the one that is valid and meant for the
 * purpose. NULL when it is none, or not one alone. */
static PCCERT_CONTEXT choose(schan_library *library, HCERTSTORE store, bool is_server,
                             schan_error *err)
{
    const schan_system *system = library->system;
    findings found = {0};
    PCCERT_CONTEXT each = NULL;

    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        schan_fitness fitness = schan__identity_fitness(library, each, is_server);
        if (fitness != SCHAN_FITNESS_NO_KEY) {
            keep(system, &found.with_key, &found.keys, each);
        }
        if (fitness == SCHAN_FITNESS_GOOD) {
            keep(system, &found.good, &found.goods, each);
        }
    }
    bool is_alone = found.keys == 1;
    PCCERT_CONTEXT chosen = is_alone           ? found.with_key
                            : found.goods == 1 ? found.good
                                               : NULL;
    if (chosen != NULL) {
        chosen = system->CertDuplicateCertificateContext(chosen);
    } else if (found.keys == 0) {
        fail_as(err, NTE_NO_KEY, "PFXImportCertStore");
    } else {
        fail_as(err, ERROR_TOO_MANY_NAMES, "PFXImportCertStore");
    }
    if (found.with_key != NULL) {
        system->CertFreeCertificateContext(found.with_key);
    }
    if (found.good != NULL) {
        system->CertFreeCertificateContext(found.good);
    }
    return chosen;
}

/* Points at all certificates of the store, the chosen one first; the pointers live as
 * long as the store. NULL: no memory. */
static schan_span *certificates_of(const schan_system *system, HCERTSTORE store,
                                   PCCERT_CONTEXT first, size_t *count)
{
    PCCERT_CONTEXT each = NULL;
    size_t size = 1;

    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        size++;
    }
    schan_span *spans = schan__allocate(size * sizeof(*spans));
    if (spans == NULL) {
        return NULL;
    }
    spans[0] = (schan_span){first->pbCertEncoded, first->cbCertEncoded};
    *count = 1;
    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        if (*count < size) {
            spans[*count] = (schan_span){each->pbCertEncoded, each->cbCertEncoded};
            (*count)++;
        }
    }
    return spans;
}

static schan_result keep_key(schan_identity **out, schan_library *library,
                             HCERTSTORE store, PCCERT_CONTEXT certificate,
                             bool is_machine, bool *is_exported, schan_error *err)
{
    const schan__key_ways *ways = schan__key_ways_of(library);
    schan__key_type type = SCHAN__KEY_PKCS8;
    schan__buffer blob = {0};
    size_t count = 0;

    schan_span *spans = certificates_of(library->system, store, certificate, &count);
    if (spans == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    schan_result result = ways->export(library, certificate, &type, &blob, err);
    *is_exported = result == SCHAN_OK;
    if (result == SCHAN_OK) {
        schan_span key = {schan__buffer_head(&blob), schan__buffer_size(&blob)};
        result = schan__identity_from_key(out, library, spans, count, type, key,
                                          is_machine, err);
    }
    schan__buffer_free(&blob);
    schan__release(spans);
    return result;
}

static schan_result keep_as_it_is(schan_identity **out, schan_library *library,
                                  HCERTSTORE store, PCCERT_CONTEXT certificate,
                                  schan_error *err)
{
    schan_result result = schan__identity_new(out, library, store, certificate, err);

    if (result == SCHAN_OK) {
        result = schan__identity_finish(*out, err);
    }
    if (result != SCHAN_OK) {
        schan_identity_free(*out);
        *out = NULL;
    }
    return result;
}

/* Deletes the keys that came along with the chosen one; with "" all. */
static void delete_other_keys(schan_library *library, HCERTSTORE store,
                              const wchar_t *chosen, bool is_machine)
{
    const schan_system *system = library->system;
    PCCERT_CONTEXT each = NULL;

    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        CRYPT_KEY_PROV_INFO *place = schan__identity_place_of_key(system, each);
        schan__key other = {0};
        if (place != NULL && !schan__same_text(place->pwszContainerName, chosen)) {
            (void)schan__key_adopt(&other, library, is_machine,
                                   place->pwszContainerName, NULL);
            schan__key_delete(&other);
        }
        schan__release(place);
    }
}

static schan_result adopt(schan_identity *identity, bool is_machine, schan_error *err)
{
    schan_library *library = identity->library;
    CRYPT_KEY_PROV_INFO *place =
        schan__identity_place_of_key(library->system, identity->certificate);

    if (place == NULL) {
        return fail_as(err, NTE_BAD_KEYSET, "PFXImportCertStore");
    }
    schan_result result = schan__key_adopt(&identity->key, library, is_machine,
                                           place->pwszContainerName, err);
    delete_other_keys(library, identity->store, place->pwszContainerName, is_machine);
    schan__release(place);
    return result;
}

/* B87: the private key may not be exported. It goes where Windows puts it, and who uses
 * it there is noted. */
static schan_result keep_where_it_is(schan_identity **out, schan_library *library,
                                     schan_span pfx, const wchar_t *password,
                                     const schan_identity_config *config,
                                     schan_error *err)
{
    bool is_machine = config->machine_keys != 0;
    HCERTSTORE store =
        open_pfx(library, pfx, password,
                 is_machine ? CRYPT_MACHINE_KEYSET : CRYPT_USER_KEYSET, err);
    if (store == NULL) {
        return SCHAN_ERR_CREDENTIAL;
    }
    PCCERT_CONTEXT certificate = choose(library, store, config->is_server != 0, err);
    if (certificate == NULL) { /* its time may just have come, or be over */
        delete_other_keys(library, store, L"", is_machine);
        library->system->CertCloseStore(store, 0);
        return SCHAN_ERR_CREDENTIAL;
    }
    schan_result result = schan__identity_new(out, library, store, certificate, err);
    if (result == SCHAN_OK) {
        result = adopt(*out, is_machine, err);
    }
    if (result == SCHAN_OK) {
        result = schan__identity_finish(*out, err);
    }
    if (result != SCHAN_OK) {
        schan_identity_free(*out);
        *out = NULL;
    }
    return result;
}

schan_result schan_identity_from_pfx(schan_identity **out, schan_library *library,
                                     schan_span pfx, const wchar_t *password,
                                     const schan_identity_config *config,
                                     schan_error *err)
{
    const schan_system *system = library->system;
    bool is_exported = true;

    *out = NULL;
    HCERTSTORE store =
        open_pfx(library, pfx, password, PKCS12_NO_PERSIST_KEY | CRYPT_EXPORTABLE,
                 err); /* B87 */
    if (store == NULL) {
        return SCHAN_ERR_CREDENTIAL;
    }
    PCCERT_CONTEXT certificate = choose(library, store, config->is_server != 0, err);
    if (certificate == NULL) {
        system->CertCloseStore(store, 0);
        return SCHAN_ERR_CREDENTIAL;
    }
    if (config->ephemeral) { /* B10 */
        return keep_as_it_is(out, library, store, certificate, err);
    }
    schan_result result = keep_key(out, library, store, certificate,
                                   config->machine_keys != 0, &is_exported, err);
    system->CertFreeCertificateContext(certificate);
    system->CertCloseStore(store, 0);
    if (!is_exported && schan__key_ways_of(library)->can_stay_where_it_is) {
        result = keep_where_it_is(out, library, pfx, password, config, err);
    }
    return result;
}
