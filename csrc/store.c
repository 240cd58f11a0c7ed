/*
 * store.c - certificate stores, and the trust anchors made of them
 *
 * Trust anchors are a store and a chain engine that ends chains nowhere else (B41).
 * Making a chain engine is expensive, so one serves many connections. An anchor that is
 * not self-signed needs CERT_CHAIN_EXCLUSIVE_ENABLE_CA_FLAG, whose member older Windows
 * does not know: then the configuration without it is tried, by its smaller size.
 */
#include "schan_internal.h"

static const DWORD encoding = X509_ASN_ENCODING | PKCS_7_ASN_ENCODING;
/* CERT_CHAIN_EXCLUSIVE_ENABLE_CA_FLAG, which mingw's headers lack. */
static const DWORD allow_intermediate_anchors = 0x1;

static schan_result fail_last(schan_error *err, const char *call)
{
    return schan__fail(err, SCHAN_ERR_SYSTEM, (int32_t)GetLastError(), call);
}

static schan_result make_chain_engine(schan_trust *trust, schan_error *err)
{
    const schan_system *system = trust->library->system;
    CERT_CHAIN_ENGINE_CONFIG config = {0};

    config.cbSize = sizeof(config);
    config.hExclusiveRoot = trust->anchors; /* B41 */
    config.dwExclusiveFlags = allow_intermediate_anchors;
    if (system->CertCreateCertificateChainEngine(&config, &trust->chain_engine)) {
        return SCHAN_OK;
    }
    config.cbSize = offsetof(CERT_CHAIN_ENGINE_CONFIG, dwExclusiveFlags);
    if (system->CertCreateCertificateChainEngine(&config, &trust->chain_engine)) {
        return SCHAN_OK;
    }
    trust->chain_engine = NULL;
    return fail_last(err, "CertCreateCertificateChainEngine");
}

static schan_result trust_new(schan_trust **out, schan_library *library,
                              HCERTSTORE anchors, bool exclusive, schan_error *err)
{
    schan_trust *trust = schan__allocate(sizeof(*trust));
    if (trust == NULL) {
        library->system->CertCloseStore(anchors, 0);
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    trust->references = 1;
    trust->library = schan__library_share(library);
    trust->anchors = anchors;
    trust->exclusive = exclusive;
    schan_result result = make_chain_engine(trust, err);
    if (result != SCHAN_OK) {
        schan_trust_free(trust);
        return result;
    }
    *out = trust;
    return SCHAN_OK;
}

schan_result schan_trust_from_roots(schan_trust **out, schan_library *library,
                                    const uint8_t *const *roots, const size_t *sizes,
                                    size_t count, int exclusive, schan_error *err)
{
    const schan_system *system = library->system;

    *out = NULL;
    HCERTSTORE anchors = system->CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0,
                                               CERT_STORE_CREATE_NEW_FLAG, NULL);
    if (anchors == NULL) {
        return fail_last(err, "CertOpenStore");
    }
    for (size_t i = 0; i < count; i++) {
        ULONG size = 0;
        if (!schan__to_ulong(sizes[i], &size) ||
            !system->CertAddEncodedCertificateToStore(
                anchors, encoding, roots[i], size, CERT_STORE_ADD_USE_EXISTING, NULL)) {
            schan_result result = fail_last(err, "CertAddEncodedCertificateToStore");
            system->CertCloseStore(anchors, 0);
            return result;
        }
    }
    return trust_new(out, library, anchors, exclusive != 0, err);
}

schan_result schan_trust_from_store(schan_trust **out, schan_library *library,
                                    const wchar_t *name, int local_machine,
                                    schan_error *err)
{
    DWORD location = local_machine ? CERT_SYSTEM_STORE_LOCAL_MACHINE
                                   : CERT_SYSTEM_STORE_CURRENT_USER;

    *out = NULL;
    SetLastError(ERROR_SUCCESS);
    HCERTSTORE anchors = library->system->CertOpenStore(
        CERT_STORE_PROV_SYSTEM_W, 0, 0,
        location | CERT_STORE_OPEN_EXISTING_FLAG | CERT_STORE_READONLY_FLAG, name);
    if (anchors == NULL && GetLastError() == ERROR_SUCCESS) {
        SetLastError(ERROR_ACCESS_DENIED); /* B89: how Windows tells a lack of rights */
    }
    if (anchors == NULL) {
        return fail_last(err, "CertOpenStore");
    }
    return trust_new(out, library, anchors, true, err);
}

schan_trust *schan__trust_share(schan_trust *trust)
{
    if (trust != NULL) {
        InterlockedIncrement(&trust->references);
    }
    return trust;
}

void schan_trust_free(schan_trust *trust)
{
    if (trust == NULL || InterlockedDecrement(&trust->references) != 0) {
        return;
    }
    if (trust->chain_engine != NULL) {
        trust->library->system->CertFreeCertificateChainEngine(trust->chain_engine);
    }
    trust->library->system->CertCloseStore(trust->anchors, 0);
    schan_library_free(trust->library);
    schan__release(trust);
}
