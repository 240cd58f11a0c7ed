/*
 * credential.c - AcquireCredentialsHandle
 *
 * SCH_CREDENTIALS is the only structure that can negotiate TLS 1.3; SCHANNEL_CRED is
 * what older Windows takes. Which one it is to be is not asked of a version number: the
 * newer is tried first, and the older one when Windows answers that it does not know
 * the structure (B1). One version gate remains (B82).
 *
 * With an identity a failure may mean anything (B8): the private key is tried before
 * Windows' status is believed.
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
    DWORD server_bit;
} protocol_bits[] = {
    {SCHAN_TLS_1_0, SP_PROT_TLS1_0_CLIENT, SP_PROT_TLS1_0_SERVER},
    {SCHAN_TLS_1_1, SP_PROT_TLS1_1_CLIENT, SP_PROT_TLS1_1_SERVER},
    {SCHAN_TLS_1_2, SP_PROT_TLS1_2_CLIENT, SP_PROT_TLS1_2_SERVER},
    {SCHAN_TLS_1_3, SP_PROT_TLS1_3_CLIENT, SP_PROT_TLS1_3_SERVER},
};

static const DWORD no_session_is_kept = 0xffffffff; /* dwSessionLifespan (B13) */

/* The structure that AcquireCredentialsHandle is called with. */
typedef SECURITY_STATUS (*acquirer)(schan_credential *credential,
                                    const schan_credential_config *config);

static DWORD role_bits(const schan_credential_config *config, uint32_t protocols)
{
    DWORD bits = 0;

    for (size_t i = 0; i < sizeof(protocol_bits) / sizeof(protocol_bits[0]); i++) {
        if ((protocols & protocol_bits[i].protocol) != 0) {
            bits |= config->is_server ? protocol_bits[i].server_bit
                                      : protocol_bits[i].client_bit;
        }
    }
    return bits;
}

static DWORD client_flags(const schan_credential_config *config)
{
    DWORD flags =
        SCH_CRED_NO_DEFAULT_CREDS | SCH_CRED_MANUAL_CRED_VALIDATION; /* B5, B6 */

    if (config->check_revocation) {
        flags |= SCH_CRED_REVOCATION_CHECK_END_CERT |
                 SCH_CRED_IGNORE_NO_REVOCATION_CHECK |
                 SCH_CRED_IGNORE_REVOCATION_OFFLINE; /* B15: asks the server for a
                                                        stapled response */
    }
    return flags;
}

/* B81: no certificate is mapped to an account of Windows. */
static DWORD server_flags(const schan_credential_config *config)
{
    return SCH_CRED_NO_SYSTEM_MAPPER |
           (config->disable_resumption ? SCH_CRED_DISABLE_RECONNECTS : 0U);
}

static DWORD credential_flags(const schan_credential_config *config)
{
    DWORD flags = config->is_server ? server_flags(config) : client_flags(config);

    if (!config->allow_weak_crypto) {
        flags |= SCH_USE_STRONG_CRYPTO; /* B4 */
    }
    return flags;
}

static SECURITY_STATUS acquire(schan_credential *credential, void *structure)
{
    wchar_t package[] = UNISP_NAME_W;
    TimeStamp expiry = {0};

    schan__sspi_enter(credential->library, true);
    SECURITY_STATUS status = credential->library->sspi->AcquireCredentialsHandleW(
        NULL, package,
        credential->is_server ? SECPKG_CRED_INBOUND : SECPKG_CRED_OUTBOUND, NULL,
        structure, NULL, NULL, &credential->handle, &expiry);
    schan__sspi_leave(credential->library, true);
    if (status != SEC_E_OK) {
        SecInvalidateHandle(
            &credential->handle); /* a failed call may have left anything there */
    }
    return status;
}

static SECURITY_STATUS acquire_sch_credentials(schan_credential *credential,
                                               const schan_credential_config *config)
{
    TLS_PARAMETERS parameters = {0};
    SCH_CREDENTIALS structure = {0};
    PCCERT_CONTEXT certificate = NULL;
    uint32_t older = config->protocols & ~(uint32_t)SCHAN_TLS_1_3;
    bool may_offer_tls13 = older == 0 || credential->library->system->WindowsBuild() >=
                                             first_build_with_tls13;
    uint32_t protocols = may_offer_tls13 ? config->protocols : older; /* B82 */

    parameters.grbitDisabledProtocols = ~role_bits(config, protocols); /* B3 */
    structure.dwVersion = SCH_CREDENTIALS_VERSION;
    structure.dwFlags = credential_flags(config);
    structure.cTlsParameters = 1;
    structure.pTlsParameters = &parameters;
    structure.dwSessionLifespan = config->disable_resumption ? no_session_is_kept : 0;
    if (config->identity != NULL) { /* B7 */
        certificate = config->identity->certificate;
        structure.cCreds = 1;
        structure.paCred = &certificate;
    }
    credential->kind = SCHAN_KIND_SCH_CREDENTIALS;
    return acquire(credential, &structure);
}

static SECURITY_STATUS acquire_schannel_cred(schan_credential *credential,
                                             const schan_credential_config *config)
{
    SCHANNEL_CRED structure = {0};
    PCCERT_CONTEXT certificate = NULL;

    structure.dwVersion = SCHANNEL_CRED_VERSION;
    structure.dwFlags = credential_flags(config);
    /* B2, B3: this structure cannot have TLS 1.3; asked for alone it is refused, mixed
     * it disappears. */
    structure.grbitEnabledProtocols =
        role_bits(config, config->protocols & ~(uint32_t)SCHAN_TLS_1_3);
    structure.dwSessionLifespan = config->disable_resumption ? no_session_is_kept : 0;
    if (config->identity != NULL) { /* B7 */
        certificate = config->identity->certificate;
        structure.cCreds = 1;
        structure.paCred = &certificate;
    }
    credential->kind = SCHAN_KIND_SCHANNEL_CRED;
    return acquire(credential, &structure);
}

/* B1: the statuses that mean "this Windows does not know the structure". */
static bool is_structure_unknown(SECURITY_STATUS status)
{
    return status == SEC_E_UNKNOWN_CREDENTIALS || status == SEC_E_INVALID_PARAMETER ||
           status == HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER);
}

/* B8: whether it is the private key that Windows stumbles over. Its own statuses name
 * anything but that; trying the key tells the reason. */
static int32_t trouble_with_key(const schan_credential_config *config,
                                schan_library *library)
{
    return config->identity == NULL
               ? ERROR_SUCCESS
               : schan__identity_probe_key(library, config->identity->certificate);
}

/* What was tried, and what came of it. */
typedef struct {
    SECURITY_STATUS status;
    const char *call;
    SECURITY_STATUS as_process; /* SEC_E_OK: was not tried */
} attempt;

static attempt acquire_either(schan_credential *credential,
                              const schan_credential_config *config)
{
    attempt tried = {SEC_E_OK, "AcquireCredentialsHandle", SEC_E_OK};
    bool older_will_do = (config->protocols & ~(uint32_t)SCHAN_TLS_1_3) != 0;

    tried.status = acquire_sch_credentials(credential, config);
    if (tried.status == SEC_E_OK) {
        return tried;
    }
    int32_t trouble = trouble_with_key(config, credential->library);
    if (trouble == ERROR_SUCCESS && is_structure_unknown(tried.status) &&
        older_will_do) { /* B1: not when the certificate explains it */
        tried.status = acquire_schannel_cred(credential, config);
    }
    if (trouble != ERROR_SUCCESS) {
        tried.status = trouble;
        tried.call = "CryptAcquireCertificatePrivateKey";
    } else if (is_structure_unknown(tried.status) && !older_will_do) {
        tried.status = SEC_E_ALGORITHM_MISMATCH; /* B2: this Windows has no TLS 1.3 */
    }
    return tried;
}

/* B14: a thread that impersonates somebody looks for the private key as that somebody.
 * The process, whose key it usually is, is asked first. */
static attempt acquire_as_both(schan_credential *credential,
                               const schan_credential_config *config)
{
    const schan_system *system = credential->library->system;
    HANDLE token = config->identity != NULL ? system->ImpersonationToken() : NULL;

    if (token == NULL) {
        return acquire_either(credential, config);
    }
    attempt tried = {NTE_FAIL, "SetThreadToken", SEC_E_OK};
    if (system->SetThreadToken(NULL, NULL)) {
        tried = acquire_either(credential, config);
        if (!system->SetThreadToken(NULL, token)) { /* never go on as somebody else */
            tried.status = NTE_FAIL;
            tried.call = "SetThreadToken";
        } else if (tried.status != SEC_E_OK) {
            SECURITY_STATUS as_process = tried.status;
            tried = acquire_either(credential, config);
            tried.as_process = as_process;
        }
    }
    system->CloseHandle(token);
    return tried;
}

static schan_result fail_attempt(attempt tried, schan_error *err)
{
    static const char before[] = "as the process itself: 0x";

    schan__fail(err, SCHAN_ERR_CREDENTIAL, tried.status, tried.call);
    if (err != NULL && tried.as_process != SEC_E_OK) {
        size_t at = sizeof(before) - 1;
        memcpy(err->detail, before, at);
        for (unsigned shift = 32; shift > 0; shift -= 4) {
            err->detail[at++] =
                "0123456789ABCDEF"[(uint32_t)tried.as_process >> (shift - 4) & 0xfU];
        }
        err->detail[at] = 0;
    }
    return SCHAN_ERR_CREDENTIAL;
}

schan_result schan_credential_new(schan_credential **out, schan_library *library,
                                  const schan_credential_config *config,
                                  schan_error *err)
{
    *out = NULL;
    if (config->is_server && config->identity == NULL) { /* B81 */
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, SEC_E_NO_CREDENTIALS, NULL);
    }
    schan_credential *credential = schan__allocate(sizeof(*credential));
    if (credential == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    credential->references = 1;
    credential->library = schan__library_share(library);
    credential->is_server = config->is_server != 0;
    credential->identity = schan__identity_share(config->identity); /* B7 */
    credential->resumption_is_off = config->disable_resumption != 0;
    SecInvalidateHandle(&credential->handle);

    attempt tried = acquire_as_both(credential, config);
    if (tried.status != SEC_E_OK) {
        schan_credential_free(credential);
        return fail_attempt(tried, err);
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
    schan_identity_free(credential->identity); /* B7: not before the credential */
    schan_library_free(credential->library);
    schan__release(credential);
}

int schan_credential_kind(const schan_credential *credential)
{
    return credential->kind;
}
