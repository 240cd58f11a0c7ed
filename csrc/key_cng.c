/*
 * key_cng.c - private keys kept by CNG (ncrypt.dll): Windows' way
 *
 * Schannel's handshake runs in another process (LSASS), which finds a private key by
 * the name of its container: a key that lives in this process alone fails in TLS 1.3
 * and with SHA-2 signatures (B10). So the key of a PFX is imported in memory, exported
 * and imported again under a name of our own (B87): PFXImportCertStore takes no name.
 *
 * The key of a PFX may be exported once the policy of its copy in memory says so; the
 * copy on disk may not, as nobody needs that.
 */
#include "schan_internal.h"

static const wchar_t provider_name[] = MS_KEY_STORAGE_PROVIDER;

static DWORD key_flags(bool is_machine)
{
    return NCRYPT_SILENT_FLAG | (is_machine ? NCRYPT_MACHINE_KEY_FLAG : 0U); /* B88 */
}

static schan_result open_provider(const schan_system *system, NCRYPT_PROV_HANDLE *out,
                                  schan_error *err)
{
    SECURITY_STATUS status = system->NCryptOpenStorageProvider(out, provider_name, 0);

    return status == ERROR_SUCCESS ? SCHAN_OK
                                   : schan__fail(err, SCHAN_ERR_CREDENTIAL, status,
                                                 "NCryptOpenStorageProvider");
}

static const wchar_t *blob_type(schan__key_type type)
{
    switch (type) {
    case SCHAN__KEY_RSA:
        return BCRYPT_RSAFULLPRIVATE_BLOB;
    case SCHAN__KEY_ECC:
        return BCRYPT_ECCPRIVATE_BLOB;
    case SCHAN__KEY_PKCS8:
    case SCHAN__KEY_CAPI:
    default:
        return NCRYPT_PKCS8_PRIVATE_KEY_BLOB;
    }
}

static schan_result import_key(const schan__key *key, schan__key_type type,
                               schan_span blob, schan_error *err)
{
    const schan_system *system = key->library->system;
    wchar_t name[SCHAN__KEY_NAME_SIZE] = {0};
    /* B87: a name of our own */
    NCryptBuffer buffer = {sizeof(name), NCRYPTBUFFER_PKCS_KEY_NAME, name};
    NCryptBufferDesc named = {NCRYPTBUFFER_VERSION, 1, &buffer};
    NCRYPT_PROV_HANDLE provider = 0;
    NCRYPT_KEY_HANDLE handle = 0;
    ULONG size = 0;

    memcpy(name, key->name, sizeof(name));
    if (!schan__to_ulong(blob.size, &size)) {
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_BAD_DATA, "NCryptImportKey");
    }
    schan_result result = open_provider(system, &provider, err);
    if (result != SCHAN_OK) {
        return result;
    }
    SECURITY_STATUS status = system->NCryptImportKey(
        provider, 0, blob_type(type), &named, &handle, (PBYTE)(uintptr_t)blob.data,
        size, key_flags(key->is_machine)); /* the blob is not written to */
    if (status == ERROR_SUCCESS) {
        system->NCryptFreeObject(handle);
    } else {
        result =
            schan__fail(err, SCHAN_ERR_CREDENTIAL, status, "NCryptImportKey"); /* B88 */
    }
    system->NCryptFreeObject(provider);
    return result;
}

static void remove_key(schan_library *library, bool is_machine, const wchar_t *name)
{
    const schan_system *system = library->system;
    NCRYPT_PROV_HANDLE provider = 0;
    NCRYPT_KEY_HANDLE handle = 0;

    if (open_provider(system, &provider, NULL) != SCHAN_OK) {
        return;
    }
    if (system->NCryptOpenKey(provider, &handle, name, 0, key_flags(is_machine)) ==
            ERROR_SUCCESS &&
        system->NCryptDeleteKey(handle, NCRYPT_SILENT_FLAG) != ERROR_SUCCESS) {
        system->NCryptFreeObject(handle); /* deleting would have freed it */
    }
    system->NCryptFreeObject(provider);
}

static void list_keys(schan_library *library, bool is_machine,
                      bool (*is_wanted)(schan_library *library, const wchar_t *name),
                      schan__key_names *out)
{
    const schan_system *system = library->system;
    NCRYPT_PROV_HANDLE provider = 0;
    NCryptKeyName *found = NULL;
    void *state = NULL;

    if (open_provider(system, &provider, NULL) != SCHAN_OK) {
        return;
    }
    while (out->count < out->capacity &&
           system->NCryptEnumKeys(provider, NULL, &found, &state,
                                  key_flags(is_machine)) == ERROR_SUCCESS) {
        if (is_wanted(library, found->pszName)) {
            memcpy(out->names[out->count], found->pszName, sizeof(*out->names));
            out->count++;
        }
        system->NCryptFreeBuffer(found);
    }
    if (state != NULL) {
        system->NCryptFreeBuffer(state);
    }
    system->NCryptFreeObject(provider);
}

static SECURITY_STATUS export_handle(const schan_system *system,
                                     NCRYPT_KEY_HANDLE handle, schan__buffer *out)
{
    DWORD policy = NCRYPT_ALLOW_EXPORT_FLAG | NCRYPT_ALLOW_PLAINTEXT_EXPORT_FLAG;
    DWORD size = 0;

    SECURITY_STATUS status =
        system->NCryptSetProperty(handle, NCRYPT_EXPORT_POLICY_PROPERTY, (PBYTE)&policy,
                                  sizeof(policy), NCRYPT_SILENT_FLAG);
    if (status == ERROR_SUCCESS) {
        status = system->NCryptExportKey(handle, 0, NCRYPT_PKCS8_PRIVATE_KEY_BLOB, NULL,
                                         NULL, 0, &size, NCRYPT_SILENT_FLAG);
    }
    if (status == ERROR_SUCCESS && !schan__buffer_reserve(out, size)) {
        status = NTE_NO_MEMORY;
    }
    if (status == ERROR_SUCCESS) {
        status = system->NCryptExportKey(handle, 0, NCRYPT_PKCS8_PRIVATE_KEY_BLOB, NULL,
                                         schan__buffer_tail(out), size, &size,
                                         NCRYPT_SILENT_FLAG);
    }
    if (status == ERROR_SUCCESS) {
        schan__buffer_commit(out, size);
    }
    return status;
}

static schan_result export_key(schan_library *library, PCCERT_CONTEXT certificate,
                               schan__key_type *type, schan__buffer *out,
                               schan_error *err)
{
    const schan_system *system = library->system;
    NCRYPT_KEY_HANDLE handle = 0; /* the certificate's */
    DWORD size = sizeof(handle);

    *type = SCHAN__KEY_PKCS8;
    if (!system->CertGetCertificateContextProperty(
            certificate, CERT_NCRYPT_KEY_HANDLE_PROP_ID, &handle, &size)) {
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, (int32_t)GetLastError(),
                           "CertGetCertificateContextProperty");
    }
    SECURITY_STATUS status = export_handle(system, handle, out);
    return status == ERROR_SUCCESS
               ? SCHAN_OK
               : schan__fail(err, SCHAN_ERR_CREDENTIAL, status, "NCryptExportKey");
}

const schan__key_ways schan__key_cng = {
    .import = import_key,
    .remove = remove_key,
    .list = list_keys,
    .export = export_key,
    .provider = provider_name,
    .provider_type = 0,
    .key_spec = 0,
    .pfx_flags = PKCS12_ALWAYS_CNG_KSP,
    .can_stay_where_it_is = true,
};
