/*
 * credential.c - AcquireCredentialsHandle
 *
 * SCH_CREDENTIALS is the only structure that can negotiate TLS 1.3; SCHANNEL_CRED is
 * what older Windows takes. Which one it is to be is not asked of a version number: the
 * newer is tried first, and the older one when Windows answers that it does not know
 * the structure (B1). One version gate remains (B82).
 *
 * Always true here: Windows never chooses a certificate by itself (B5), and never
 * validates the server inside the handshake (B6): verify.c does that, with a time
 * limit and with the caller's trust anchors.
 */
#include "schan_internal.h"

/* B82: below this build TLS 1.3 is experimental and "not a safe system
 * configuration". */
static const DWORD first_build_with_tls13 = 20348;

static const struct {
    uint32_t protocol;
    DWORD client_bit;
} protocol_bits[] = {
    {SCHAN_TLS_1_0, SP_PROT_TLS1_0_CLIENT},
    {SCHAN_TLS_1_1, SP_PROT_TLS1_1_CLIENT},
    {SCHAN_TLS_1_2, SP_PROT_TLS1_2_CLIENT},
    {SCHAN_TLS_1_3, SP_PROT_TLS1_3_CLIENT},
};

static DWORD client_bits(uint32_t protocols)
{
    DWORD bits = 0;

    for (size_t i = 0; i < sizeof(protocol_bits) / sizeof(protocol_bits[0]); i++) {
        if ((protocols & protocol_bits[i].protocol) != 0) {
            bits |= protocol_bits[i].client_bit;
        }
    }
    return bits;
}

static DWORD credential_flags(const schan_credential_config *config)
{
    DWORD flags =
        SCH_CRED_NO_DEFAULT_CREDS | SCH_CRED_MANUAL_CRED_VALIDATION; /* B5, B6 */

    if (!config->allow_weak_crypto) {
        flags |= SCH_USE_STRONG_CRYPTO; /* B4 */
    }
    if (config->check_revocation) {
        flags |= SCH_CRED_REVOCATION_CHECK_END_CERT |
                 SCH_CRED_IGNORE_NO_REVOCATION_CHECK |
                 SCH_CRED_IGNORE_REVOCATION_OFFLINE; /* B15: asks the server for a
                                                        stapled response */
    }
    return flags;
}

static SECURITY_STATUS acquire(schan_credential *credential, void *structure)
{
    wchar_t package[] = UNISP_NAME_W;
    TimeStamp expiry = {0};

    schan__sspi_enter(credential->library, true);
    SECURITY_STATUS status = credential->library->sspi->AcquireCredentialsHandleW(
        NULL, package, SECPKG_CRED_OUTBOUND, NULL, structure, NULL, NULL,
        &credential->handle, &expiry);
    schan__sspi_leave(credential->library, true);
    return status;
}

static SECURITY_STATUS acquire_sch_credentials(schan_credential *credential,
                                               const schan_credential_config *config)
{
    TLS_PARAMETERS parameters = {0};
    SCH_CREDENTIALS structure = {0};
    uint32_t older = config->protocols & ~(uint32_t)SCHAN_TLS_1_3;
    bool may_offer_tls13 = older == 0 || credential->library->system->WindowsBuild() >=
                                             first_build_with_tls13;
    uint32_t protocols = may_offer_tls13 ? config->protocols : older; /* B82 */

    parameters.grbitDisabledProtocols = ~client_bits(protocols); /* B3 */
    structure.dwVersion = SCH_CREDENTIALS_VERSION;
    structure.dwFlags = credential_flags(config);
    structure.cTlsParameters = 1;
    structure.pTlsParameters = &parameters;
    credential->kind = SCHAN_KIND_SCH_CREDENTIALS;
    return acquire(credential, &structure);
}

static SECURITY_STATUS acquire_schannel_cred(schan_credential *credential,
                                             const schan_credential_config *config)
{
    SCHANNEL_CRED structure = {0};

    structure.dwVersion = SCHANNEL_CRED_VERSION;
    structure.dwFlags = credential_flags(config);
    /* B2: this structure cannot have TLS 1.3; asked for alone it is refused, mixed
     * it disappears. */
    structure.grbitEnabledProtocols =
        client_bits(config->protocols & ~(uint32_t)SCHAN_TLS_1_3);
    credential->kind = SCHAN_KIND_SCHANNEL_CRED;
    return acquire(credential, &structure);
}

/* B1: the statuses that mean "this Windows does not know the structure". */
static bool is_structure_unknown(SECURITY_STATUS status)
{
    return status == SEC_E_UNKNOWN_CREDENTIALS || status == SEC_E_INVALID_PARAMETER ||
           status == HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER);
}

schan_result schan_credential_new(schan_credential **out, schan_library *library,
                                  const schan_credential_config *config,
                                  schan_error *err)
{
    *out = NULL;
    schan_credential *credential = schan__allocate(sizeof(*credential));
    if (credential == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    credential->references = 1;
    credential->library = schan__library_share(library);
    credential->is_server = config->is_server != 0;
    credential->resumption_is_off = config->disable_resumption != 0;
    SecInvalidateHandle(&credential->handle);

    SECURITY_STATUS status = acquire_sch_credentials(credential, config);
    bool older_will_do = (config->protocols & ~(uint32_t)SCHAN_TLS_1_3) != 0;
    if (is_structure_unknown(status) && older_will_do) {
        status = acquire_schannel_cred(credential, config);
    }
    if (is_structure_unknown(status) && !older_will_do) {
        status = SEC_E_ALGORITHM_MISMATCH; /* B2: this Windows has no TLS 1.3 */
    }
    if (status != SEC_E_OK) {
        SecInvalidateHandle(
            &credential->handle); /* a failed call may have left anything there */
        schan_credential_free(credential);
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, status,
                           "AcquireCredentialsHandle");
    }
    *out = credential;
    return SCHAN_OK;
}

schan_credential *schan__credential_share(schan_credential *credential)
{
    InterlockedIncrement(&credential->references);
    return credential;
}

void schan_credential_free(schan_credential *credential)
{
    if (credential == NULL || InterlockedDecrement(&credential->references) != 0) {
        return;
    }
    if (SecIsValidHandle(&credential->handle)) {
        schan__sspi_enter(credential->library, true);
        credential->library->sspi->FreeCredentialsHandle(&credential->handle);
        schan__sspi_leave(credential->library, true);
    }
    schan_library_free(credential->library);
    schan__release(credential);
}

int schan_credential_kind(const schan_credential *credential)
{
    return credential->kind;
}
