/*
 * key_capi.c - private keys kept by CryptoAPI (advapi32.dll): what works under Wine
 *
 * Wine's ncrypt.dll keeps no keys, its PFX import fails with any flag that speaks of
 * CNG, and its Schannel looks for RSA keys in CryptoAPI's containers only (B87). Windows
 * never comes here (schan__quirks).
 *
 * A key is kept so that it can be exported: that is how Wine's Schannel reads it.
 */
#include "schan_internal.h"

enum {
    key_blob_header = 20,
    private_key_blob = 7,
    blob_version = 2,
    full_private_key = 0x33415352, /* "RSA3": BCRYPT_RSAFULLPRIVATE_MAGIC */
    capi_private_key = 0x32415352, /* "RSA2" */
};

static const wchar_t provider_name[] = MS_ENH_RSA_AES_PROV_W;

static schan_result fail_last(schan_error *err, const char *call)
{
    return schan__fail(err, SCHAN_ERR_CREDENTIAL, (int32_t)GetLastError(), call);
}

static DWORD container_flags(bool is_machine)
{
    return CRYPT_SILENT | (is_machine ? CRYPT_MACHINE_KEYSET : 0U);
}

static void put_ulong(uint8_t *out, uint32_t value)
{
    for (size_t i = 0; i < sizeof(value); i++) {
        out[i] = (uint8_t)(value >> (8U * i));
    }
}

/* Numbers are big-endian in CNG and little-endian in CryptoAPI. False: it does not fit
 * what the header says. */
static bool put_number(schan__buffer *out, schan_span *rest, size_t size,
                       size_t wanted_size)
{
    const uint8_t *number = rest->data;

    if (rest->size < size) {
        return false;
    }
    rest->data += size;
    rest->size -= size;
    for (; size > wanted_size && *number == 0; size--) {
        number++;
    }
    if (size > wanted_size) {
        return false;
    }
    for (size_t i = 0; i < wanted_size; i++) {
        uint8_t byte = i < size ? number[size - 1 - i] : 0;
        if (!schan__buffer_append(out, &byte, 1)) {
            return false;
        }
    }
    return true;
}

/* BCRYPT_RSAFULLPRIVATE_BLOB to PRIVATEKEYBLOB. False: malformed, or no memory. */
static bool to_capi(schan_span blob, schan__buffer *out)
{
    BCRYPT_RSAKEY_BLOB header = {0};
    uint8_t start[key_blob_header] = {private_key_blob, blob_version};
    uint8_t exponent[4] = {0};

    if (blob.size < sizeof(header)) {
        return false;
    }
    memcpy(&header, blob.data, sizeof(header));
    schan_span rest = {blob.data + sizeof(header), blob.size - sizeof(header)};
    if (header.Magic != full_private_key || header.cbPublicExp > sizeof(exponent) ||
        header.cbPublicExp > rest.size || header.BitLength % 16 != 0) {
        return false;
    }
    for (size_t i = 0; i < header.cbPublicExp; i++) {
        exponent[i] = rest.data[header.cbPublicExp - 1 - i];
    }
    rest.data += header.cbPublicExp;
    rest.size -= header.cbPublicExp;
    put_ulong(start + 4, CALG_RSA_KEYX);
    put_ulong(start + 8, capi_private_key);
    put_ulong(start + 12, header.BitLength);
    memcpy(start + 16, exponent, sizeof(exponent));
    size_t whole = header.BitLength / 8, half = whole / 2;
    return schan__buffer_append(out, start, sizeof(start)) &&
           put_number(out, &rest, header.cbModulus, whole) &&
           put_number(out, &rest, header.cbPrime1, half) &&
           put_number(out, &rest, header.cbPrime2, half) &&
           put_number(out, &rest, header.cbPrime1, half) && /* exponent 1 */
           put_number(out, &rest, header.cbPrime2, half) && /* exponent 2 */
           put_number(out, &rest, header.cbPrime1, half) && /* coefficient */
           put_number(out, &rest, header.cbModulus, whole);
}

static schan_result keep(const schan__key *key, const uint8_t *blob, size_t size,
                         schan_error *err)
{
    const schan_system *system = key->library->system;
    HCRYPTPROV container = 0;
    HCRYPTKEY handle = 0;
    ULONG narrow = 0;
    schan_result result = SCHAN_OK;

    if (!schan__to_ulong(size, &narrow)) {
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_BAD_DATA, "CryptImportKey");
    }
    if (!system->CryptAcquireContextW(
            &container, key->name, provider_name, PROV_RSA_AES,
            CRYPT_NEWKEYSET | container_flags(key->is_machine))) {
        return fail_last(err, "CryptAcquireContext");
    }
    if (system->CryptImportKey(container, blob, narrow, 0, CRYPT_EXPORTABLE, &handle)) {
        system->CryptDestroyKey(handle);
    } else {
        result = fail_last(err, "CryptImportKey");
    }
    system->CryptReleaseContext(container, 0);
    return result;
}

static schan_result import_key(const schan__key *key, schan__key_type type,
                               schan_span blob, schan_error *err)
{
    schan__buffer converted = {0};
    schan_result result = SCHAN_OK;

    switch (type) {
    case SCHAN__KEY_CAPI:
        return keep(key, blob.data, blob.size, err);
    case SCHAN__KEY_RSA:
        result = to_capi(blob, &converted)
                     ? keep(key, schan__buffer_head(&converted),
                            schan__buffer_size(&converted), err)
                     : schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_BAD_DATA,
                                   "CryptImportKey");
        schan__buffer_free(&converted);
        return result;
    case SCHAN__KEY_ECC:
    case SCHAN__KEY_PKCS8:
    default:
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_BAD_ALGID, "CryptImportKey");
    }
}

static void remove_key(schan_library *library, bool is_machine, const wchar_t *name)
{
    HCRYPTPROV none = 0;

    library->system->CryptAcquireContextW(&none, name, provider_name, PROV_RSA_AES,
                                          CRYPT_DELETEKEYSET |
                                              container_flags(is_machine));
}

/* Names come in bytes; ours are ASCII, and what does not fit is none of ours. */
static bool widen(const char *name, wchar_t *out)
{
    size_t size = 0;

    while (size < SCHAN__KEY_NAME_SIZE && name[size] != 0) {
        out[size] = (wchar_t)(unsigned char)name[size];
        size++;
    }
    if (size == SCHAN__KEY_NAME_SIZE) {
        return false;
    }
    out[size] = 0;
    return true;
}

static void list_keys(schan_library *library, bool is_machine,
                      bool (*is_wanted)(schan_library *library, const wchar_t *name),
                      schan__key_names *out)
{
    const schan_system *system = library->system;
    HCRYPTPROV provider = 0;
    char name[MAX_PATH + 1] = {0};
    DWORD size = sizeof(name), which = CRYPT_FIRST;

    if (!system->CryptAcquireContextW(&provider, NULL, provider_name, PROV_RSA_AES,
                                      CRYPT_VERIFYCONTEXT |
                                          container_flags(is_machine))) {
        return;
    }
    while (out->count < out->capacity &&
           system->CryptGetProvParam(provider, PP_ENUMCONTAINERS, (BYTE *)name, &size,
                                     which)) {
        name[MAX_PATH] = 0;
        if (widen(name, out->names[out->count]) &&
            is_wanted(library, out->names[out->count])) {
            out->count++;
        }
        size = sizeof(name);
        which = CRYPT_NEXT;
    }
    system->CryptReleaseContext(provider, 0);
}

static schan_result export_blob(const schan_system *system, HCRYPTKEY handle,
                                schan__buffer *out, schan_error *err)
{
    DWORD size = 0;

    if (!system->CryptExportKey(handle, 0, PRIVATEKEYBLOB, 0, NULL, &size)) {
        return fail_last(err, "CryptExportKey");
    }
    if (!schan__buffer_reserve(out, size)) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    if (!system->CryptExportKey(handle, 0, PRIVATEKEYBLOB, 0, schan__buffer_tail(out),
                                &size)) {
        return fail_last(err, "CryptExportKey");
    }
    schan__buffer_commit(out, size);
    return SCHAN_OK;
}

static schan_result export_handle(const schan_system *system, HCRYPTPROV provider,
                                  DWORD key_spec, schan__buffer *out, schan_error *err)
{
    HCRYPTKEY handle = 0;

    if (!system->CryptGetUserKey(provider, key_spec, &handle)) {
        return fail_last(err, "CryptGetUserKey");
    }
    schan_result result = export_blob(system, handle, out, err);
    system->CryptDestroyKey(handle);
    return result;
}

static schan_result export_key(schan_library *library, PCCERT_CONTEXT certificate,
                               schan__key_type *type, schan__buffer *out,
                               schan_error *err)
{
    const schan_system *system = library->system;
    CERT_KEY_CONTEXT key = {0}; /* the certificate's */
    DWORD size = sizeof(key);

    *type = SCHAN__KEY_CAPI;
    if (!system->CertGetCertificateContextProperty(
            certificate, CERT_KEY_CONTEXT_PROP_ID, &key, &size)) {
        return fail_last(err, "CertGetCertificateContextProperty");
    }
    return export_handle(system, key.hCryptProv, key.dwKeySpec, out, err);
}

const schan__key_ways schan__key_capi = {
    .import = import_key,
    .remove = remove_key,
    .list = list_keys,
    .export = export_key,
    .provider = provider_name,
    .provider_type = PROV_RSA_AES,
    .key_spec = AT_KEYEXCHANGE,
    .pfx_flags = 0,
    .can_stay_where_it_is = false, /* Wine's import overwrites the default container */
};
