/*
 * digest.c - digests by CNG (bcrypt.dll), so that no OpenSSL is loaded for a thumbprint
 */
#include "schan_internal.h"

static const struct {
    schan_digest_algorithm algorithm;
    const wchar_t *name;
    size_t size;
} algorithms[] = {
    {SCHAN_SHA1, BCRYPT_SHA1_ALGORITHM, 20},
    {SCHAN_SHA256, BCRYPT_SHA256_ALGORITHM, 32},
    {SCHAN_SHA384, BCRYPT_SHA384_ALGORITHM, 48},
    {SCHAN_SHA512, BCRYPT_SHA512_ALGORITHM, 64},
};

static NTSTATUS hash(const schan_system *system, BCRYPT_ALG_HANDLE algorithm,
                     schan_span data, uint8_t *digest, ULONG size)
{
    BCRYPT_HASH_HANDLE handle = NULL;
    ULONG data_size = 0;

    if (!schan__to_ulong(data.size, &data_size)) {
        return (NTSTATUS)STATUS_INVALID_PARAMETER;
    }
    NTSTATUS status = system->BCryptCreateHash(algorithm, &handle, NULL, 0, NULL, 0, 0);
    if (status < 0) {
        return status;
    }
    status = system->BCryptHashData(handle, (PUCHAR)(uintptr_t)data.data, data_size,
                                    0); /* not written to */
    if (status >= 0) {
        status = system->BCryptFinishHash(handle, digest, size, 0);
    }
    system->BCryptDestroyHash(handle);
    return status;
}

schan_result schan_digest(schan_library *library, schan_digest_algorithm algorithm,
                          schan_span data, uint8_t *digest, size_t capacity,
                          size_t *size, schan_error *err)
{
    const size_t count = sizeof(algorithms) / sizeof(algorithms[0]);
    BCRYPT_ALG_HANDLE handle = NULL;
    size_t row = 0;

    *size = 0;
    while (row < count && algorithms[row].algorithm != algorithm) {
        row++;
    }
    if (row == count || capacity < algorithms[row].size) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    NTSTATUS status = library->system->BCryptOpenAlgorithmProvider(
        &handle, algorithms[row].name, NULL, 0);
    if (status < 0) {
        return schan__fail(err, SCHAN_ERR_SYSTEM, status,
                           "BCryptOpenAlgorithmProvider");
    }
    status = hash(library->system, handle, data, digest, (ULONG)algorithms[row].size);
    library->system->BCryptCloseAlgorithmProvider(handle, 0);
    if (status < 0) {
        return schan__fail(err, SCHAN_ERR_SYSTEM, status, "BCryptHashData");
    }
    *size = algorithms[row].size;
    return SCHAN_OK;
}
