/*
 * binding.c - channel bindings, and keying material for other protocols
 *
 * Two of the three types come from Windows as a SEC_CHANNEL_BINDINGS, a header with an
 * offset to "name:value" (B72); the value alone is what other libraries give, so the
 * name is taken off. tls-server-end-point is a digest of the server's certificate: where
 * Windows has none it is computed here. The third type is keying material under a label
 * of its own, for which a member of the function table is needed that old Windows lacks
 * (B73, B95).
 *
 * What must not be trusted is not given: tls-unique of a resumed session and keying
 * material before TLS 1.3 bind only together with the extended master secret, and
 * Windows does not tell whether that was used (RFC 7627, 5.4; RFC 9266, 4.2).
 */
#include "schan_internal.h"

typedef struct {
    uint8_t *data;
    size_t capacity;
    size_t size;
} room;

static schan_result fail_undefined(schan_error *err)
{
    return schan__fail(err, SCHAN_ERR_UNDEFINED, 0, NULL);
}

static schan_result fail_query(SECURITY_STATUS status, schan_error *err)
{
    return schan__fail(err, SCHAN_ERR_SSPI, status, "QueryContextAttributes");
}

static schan_result check_state(const schan_engine *engine, schan_error *err)
{
    if (engine->state == SCHAN_STATE_FAILED) {
        return schan__engine_sticky(engine, err);
    }
    return engine->state >= SCHAN_STATE_VERIFY
               ? SCHAN_OK
               : schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
}

static schan_result put(room *out, const uint8_t *data, size_t size, schan_error *err)
{
    if (size > out->capacity) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    memcpy(out->data, data, size);
    out->size = size;
    return SCHAN_OK;
}

/* ------------------------------------------------------- what Windows gives */

static bool is_zero(schan_span value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The value behind `name`; false when it is not there or is nothing but zeros. */
static bool find_value(const SecPkgContext_Bindings *bindings, const char *name,
                       schan_span *value)
{
    const SEC_CHANNEL_BINDINGS *header = bindings->Bindings;
    const size_t name_size = strlen(name);

    if (header == NULL || bindings->BindingsLength < sizeof(*header)) {
        return false;
    }
    size_t offset = header->dwApplicationDataOffset;
    size_t size = header->cbApplicationDataLength;
    if (offset > bindings->BindingsLength || size > bindings->BindingsLength - offset ||
        size < name_size) {
        return false;
    }
    const uint8_t *text = (const uint8_t *)header + offset; /* B72 */
    value->data = text + name_size;
    value->size = size - name_size;
    return memcmp(text, name, name_size) == 0 && !is_zero(*value); /* B72 */
}

static schan_result ask_windows(schan_engine *engine, ULONG attribute, const char *name,
                                room *out, schan_error *err)
{
    SecPkgContext_Bindings bindings = {0};
    schan_span value = {0};

    SECURITY_STATUS status = schan__info_query(engine, attribute, &bindings);
    if (status != SEC_E_OK) {
        return fail_query(status, err);
    }
    schan_result result = find_value(&bindings, name, &value)
                              ? put(out, value.data, value.size, err)
                              : fail_undefined(err);
    if (bindings.Bindings != NULL) {
        engine->library->sspi->FreeContextBuffer(bindings.Bindings); /* B72 */
    }
    return result;
}

static schan_result ask_unique(schan_engine *engine, room *out, schan_error *err)
{
    if (engine->info.protocol == SCHAN_TLS_1_3 || /* B72 */
        engine->info.session_resumed == 1) {
        return fail_undefined(err);
    }
    return ask_windows(engine, SECPKG_ATTR_UNIQUE_BINDINGS, "tls-unique:", out, err);
}

/* ---------------------------------------- the digest of the server's certificate */

/* RFC 5929, 4.1: the hash function of the certificate's signature, but SHA-256 for MD5
 * and SHA-1. */
static const struct {
    const char *oid;
    schan_digest_algorithm digest;
} signature_digests[] = {
    {szOID_RSA_MD5RSA, SCHAN_SHA256},
    {szOID_RSA_SHA1RSA, SCHAN_SHA256},
    {szOID_OIWSEC_sha1RSASign, SCHAN_SHA256},
    {szOID_X957_SHA1DSA, SCHAN_SHA256},
    {"1.2.840.10045.4.1", SCHAN_SHA256}, /* ecdsa-with-SHA1 */
    {"1.2.840.113549.1.1.11", SCHAN_SHA256},
    {"1.2.840.113549.1.1.12", SCHAN_SHA384},
    {"1.2.840.113549.1.1.13", SCHAN_SHA512},
    {"1.2.840.10045.4.3.2", SCHAN_SHA256}, /* ecdsa-with-SHA256 */
    {"1.2.840.10045.4.3.3", SCHAN_SHA384},
    {"1.2.840.10045.4.3.4", SCHAN_SHA512},
};

/* The DER of the hash functions that RSASSA-PSS names in its parameters (RFC 4055). */
static const struct {
    uint8_t oid[9];
    schan_digest_algorithm digest;
} pss_digests[] = {
    {{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}, SCHAN_SHA256},
    {{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02}, SCHAN_SHA384},
    {{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03}, SCHAN_SHA512},
};

/* SEQUENCE { [0] SEQUENCE { OID ... } DEFAULT sha1, ... }; false: another one. */
static bool find_pss_digest(schan_span parameters, schan_digest_algorithm *digest)
{
    enum { sequence = 0x30, hash = 0xa0, identifier = 0x06 };

    if (!schan__der_enter(&parameters, sequence)) {
        return false;
    }
    *digest = SCHAN_SHA256; /* the default is SHA-1 */
    if (parameters.size == 0 || parameters.data[0] != hash) {
        return true;
    }
    if (!schan__der_enter(&parameters, hash) ||
        !schan__der_enter(&parameters, sequence) ||
        !schan__der_enter(&parameters, identifier)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(pss_digests) / sizeof(pss_digests[0]); i++) {
        if (parameters.size == sizeof(pss_digests[i].oid) &&
            memcmp(parameters.data, pss_digests[i].oid, parameters.size) == 0) {
            *digest = pss_digests[i].digest;
            return true;
        }
    }
    return false;
}

static bool find_digest(const CRYPT_ALGORITHM_IDENTIFIER *signature,
                        schan_digest_algorithm *digest)
{
    const size_t count = sizeof(signature_digests) / sizeof(signature_digests[0]);

    if (signature->pszObjId == NULL) {
        return false;
    }
    if (strcmp(signature->pszObjId, "1.2.840.113549.1.1.10") == 0) { /* RSASSA-PSS */
        schan_span parameters = {signature->Parameters.pbData,
                                 signature->Parameters.cbData};
        return find_pss_digest(parameters, digest);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(signature->pszObjId, signature_digests[i].oid) == 0) {
            *digest = signature_digests[i].digest;
            return true;
        }
    }
    return false;
}

static schan_result digest_certificate(schan_engine *engine, PCCERT_CONTEXT server,
                                       room *out, schan_error *err)
{
    schan_digest_algorithm digest = SCHAN_SHA256;
    schan_span der = {server->pbCertEncoded, server->cbCertEncoded};

    if (!find_digest(&server->pCertInfo->SignatureAlgorithm, &digest)) {
        return fail_undefined(err);
    }
    return schan_digest(engine->library, digest, der, out->data, out->capacity,
                        &out->size, err);
}

static schan_result ask_end_point(schan_engine *engine, room *out, schan_error *err)
{
    PCCERT_CONTEXT own = NULL;
    schan_result result = ask_windows(engine, SECPKG_ATTR_ENDPOINT_BINDINGS,
                                      "tls-server-end-point:", out, err);

    if (result != SCHAN_ERR_SSPI && result != SCHAN_ERR_UNDEFINED) {
        return result;
    }
    if (!engine->credential->is_server) {
        return engine->peer != NULL ? digest_certificate(engine, engine->peer, out, err)
                                    : result;
    }
    if (schan__info_query(engine, SECPKG_ATTR_LOCAL_CERT_CONTEXT, (void *)&own) !=
            SEC_E_OK ||
        own == NULL) {
        return result;
    }
    result = digest_certificate(engine, own, out, err);
    engine->library->system->CertFreeCertificateContext(own);
    return result;
}

/* ---------------------------------------------------------- keying material */

/* B73: describes what is wanted. B95: by a member that begins with version 2. */
static SECURITY_STATUS describe_export(schan_engine *engine, const char *label,
                                       schan_span context, ULONG size)
{
    const SecurityFunctionTableW *sspi = engine->library->sspi;
    SecPkgContext_KeyingMaterialInfo wanted = {0};

    if (sspi->dwVersion < SECURITY_SUPPORT_PROVIDER_INTERFACE_VERSION_2 || /* B95 */
        sspi->SetContextAttributesW == NULL) {
        return SEC_E_UNSUPPORTED_FUNCTION;
    }
    wanted.cbLabel = (WORD)(strlen(label) + 1); /* B73: with its NUL */
    wanted.pszLabel = (LPSTR)(uintptr_t)label;  /* not written to */
    wanted.cbContextValue = (WORD)context.size;
    if (context.size > 0) { /* B73: none and an empty one are the same */
        wanted.pbContextValue = (PBYTE)(uintptr_t)context.data;
    }
    wanted.cbKeyingMaterial = size;
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status = sspi->SetContextAttributesW(
        &engine->handle, SECPKG_ATTR_KEYING_MATERIAL_INFO, &wanted, sizeof(wanted));
    schan__sspi_leave(engine->library, false);
    return status;
}

static schan_result take_material(schan_engine *engine, uint8_t *data, size_t size,
                                  schan_error *err)
{
    SecPkgContext_KeyingMaterial material = {0};

    SECURITY_STATUS status =
        schan__info_query(engine, SECPKG_ATTR_KEYING_MATERIAL, &material);
    if (status == SEC_E_OK &&
        (material.cbKeyingMaterial != size || material.pbKeyingMaterial == NULL)) {
        status = SEC_E_INTERNAL_ERROR;
    }
    if (status == SEC_E_OK) {
        memcpy(data, material.pbKeyingMaterial, size);
    }
    if (material.pbKeyingMaterial != NULL) {
        SecureZeroMemory(material.pbKeyingMaterial, material.cbKeyingMaterial);
        engine->library->sspi->FreeContextBuffer(material.pbKeyingMaterial); /* B73 */
    }
    return status == SEC_E_OK ? SCHAN_OK : fail_query(status, err);
}

static bool is_exportable(const char *label, schan_span context, size_t size)
{
    const size_t longest_label = 249; /* 255 with "tls13 " before it (RFC 8446, 7.1) */
    size_t label_size = strlen(label);
    ULONG narrow = 0;

    for (size_t i = 0; i < label_size; i++) {
        if ((uint8_t)label[i] >= 0x80) {
            return false;
        }
    }
    return label_size > 0 && label_size <= longest_label &&
           context.size <= UINT16_MAX && size > 0 && schan__to_ulong(size, &narrow);
}

schan_result schan_engine_export(schan_engine *engine, const char *label,
                                 schan_span context, uint8_t *data, size_t size,
                                 schan_error *err)
{
    memset(data, 0, size);
    schan_result result = check_state(engine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    if (!is_exportable(label, context, size)) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (engine->info.protocol != SCHAN_TLS_1_3) { /* B73 */
        return fail_undefined(err);
    }
    SECURITY_STATUS status = describe_export(engine, label, context, (ULONG)size);
    if (status != SEC_E_OK) {
        return schan__fail(err, SCHAN_ERR_SSPI, status, "SetContextAttributes");
    }
    return take_material(engine, data, size, err);
}

static schan_result ask_exporter(schan_engine *engine, room *out, schan_error *err)
{
    const size_t size = 32; /* RFC 9266, 2 */
    const schan_span no_context = {0};

    if (out->capacity < size) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    schan_result result = schan_engine_export(engine, "EXPORTER-Channel-Binding",
                                              no_context, out->data, size, err);
    out->size = result == SCHAN_OK ? size : 0;
    return result;
}

/* ------------------------------------------------------------------- by kind */

static const struct {
    schan_channel_binding kind;
    schan_result (*ask)(schan_engine *engine, room *out, schan_error *err);
} kinds[] = {
    {SCHAN_BINDING_SERVER_END_POINT, ask_end_point},
    {SCHAN_BINDING_UNIQUE, ask_unique},
    {SCHAN_BINDING_EXPORTER, ask_exporter},
};

schan_result schan_engine_channel_binding(schan_engine *engine,
                                          schan_channel_binding kind, uint8_t *data,
                                          size_t capacity, size_t *size,
                                          schan_error *err)
{
    room out = {data, capacity, 0};

    *size = 0;
    schan_result result = check_state(engine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    result = schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].kind == kind) {
            result = kinds[i].ask(engine, &out, err);
        }
    }
    *size = result == SCHAN_OK ? out.size : 0;
    return result;
}
