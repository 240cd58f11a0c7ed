/*
 * verify.c - is the peer who it should be?
 *
 * A separate step after the handshake. CertGetCertificateChain may fetch intermediates,
 * CRLs and OCSP answers, and blocks while it does; so it runs in a job on a thread of
 * Windows' pool. The job owns all it uses (certificate, trust, names): when the
 * caller's time is over it is abandoned, and cleans up after itself whenever Windows
 * comes back (B86).
 *
 *   caller   new ── wait ── wait ── free      references: one of the caller, one of
 *   pool        └── judge ───────── done      the job; whoever lets go last frees
 *
 * What the chain says is judged in this order: trust bits of the chain (B42: Wine's
 * policy overlooks a partial chain), then Windows' SSL policy without a name, then the
 * name by our own matcher (B40), then the pins. A trust bit without a row fails.
 */
#include "schan_internal.h"

enum { pin_size = 32 }; /* SHA-256 */

struct schan_verification {
    volatile LONG references;
    schan_library *library;
    schan_trust *trust;
    PCCERT_CONTEXT certificate;
    wchar_t *host_name;
    uint8_t ip_address[16];
    size_t ip_size;
    schan_revocation revocation;
    uint32_t url_timeout_ms;
    bool cache_only;
    bool peer_is_client;
    bool pins_only;
    uint8_t *pins;
    size_t pin_count;

    SRWLOCK lock; /* around is_done; the rest is the job's until then */
    CONDITION_VARIABLE done;
    bool is_done;
    schan_verdict verdict;
    PCCERT_CHAIN_CONTEXT chain;
};

/* -------------------------------------------------------------- trust bits */

typedef struct {
    DWORD bit;
    schan_reason reason;
    int32_t status;
} trust_row;

/* The first row that the chain has is the reason told: the order goes from what cannot
 * be helped to what can. */
static const trust_row trust_rows[] = {
    {CERT_TRUST_IS_EXPLICIT_DISTRUST, SCHAN_REASON_DISTRUSTED,
     TRUST_E_EXPLICIT_DISTRUST},
    {CERT_TRUST_IS_REVOKED, SCHAN_REASON_REVOKED, CRYPT_E_REVOKED},
    {CERT_TRUST_IS_NOT_SIGNATURE_VALID, SCHAN_REASON_BAD_SIGNATURE,
     TRUST_E_CERT_SIGNATURE},
    {CERT_TRUST_IS_NOT_TIME_VALID, SCHAN_REASON_EXPIRED, CERT_E_EXPIRED},
    {CERT_TRUST_IS_PARTIAL_CHAIN, SCHAN_REASON_INCOMPLETE_CHAIN, CERT_E_CHAINING},
    {CERT_TRUST_IS_UNTRUSTED_ROOT, SCHAN_REASON_UNKNOWN_CA, CERT_E_UNTRUSTEDROOT},
    {CERT_TRUST_IS_CYCLIC, SCHAN_REASON_INCOMPLETE_CHAIN, CERT_E_CHAINING},
    {CERT_TRUST_IS_NOT_VALID_FOR_USAGE, SCHAN_REASON_WRONG_USAGE, CERT_E_WRONG_USAGE},
    {CERT_TRUST_INVALID_BASIC_CONSTRAINTS, SCHAN_REASON_BAD_CONSTRAINTS,
     TRUST_E_BASIC_CONSTRAINTS},
    {CERT_TRUST_INVALID_NAME_CONSTRAINTS, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_NAME},
    {CERT_TRUST_HAS_NOT_SUPPORTED_NAME_CONSTRAINT, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_NAME},
    {CERT_TRUST_HAS_NOT_DEFINED_NAME_CONSTRAINT, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_NAME},
    {CERT_TRUST_HAS_NOT_PERMITTED_NAME_CONSTRAINT, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_NAME},
    {CERT_TRUST_HAS_EXCLUDED_NAME_CONSTRAINT, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_NAME},
    {CERT_TRUST_INVALID_POLICY_CONSTRAINTS, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_INVALID_POLICY},
    {CERT_TRUST_INVALID_EXTENSION, SCHAN_REASON_BAD_CONSTRAINTS, CERT_E_CRITICAL},
    {CERT_TRUST_HAS_NOT_SUPPORTED_CRITICAL_EXT, SCHAN_REASON_BAD_CONSTRAINTS,
     CERT_E_CRITICAL},
    {CERT_TRUST_HAS_WEAK_SIGNATURE, SCHAN_REASON_WEAK, NTE_BAD_ALGID},
    {CERT_TRUST_IS_OFFLINE_REVOCATION, SCHAN_REASON_REVOCATION_UNKNOWN,
     CRYPT_E_REVOCATION_OFFLINE},
    {CERT_TRUST_REVOCATION_STATUS_UNKNOWN, SCHAN_REASON_REVOCATION_UNKNOWN,
     CRYPT_E_NO_REVOCATION_CHECK},
};

static const DWORD unknown_revocation =
    CERT_TRUST_REVOCATION_STATUS_UNKNOWN | CERT_TRUST_IS_OFFLINE_REVOCATION;

static const trust_row *find_trust_row(DWORD bits)
{
    for (size_t i = 0; i < sizeof(trust_rows) / sizeof(trust_rows[0]); i++) {
        if ((bits & trust_rows[i].bit) != 0) {
            return &trust_rows[i];
        }
    }
    return NULL;
}

static DWORD tolerated_bits(const schan_verification *job)
{
    DWORD bits = CERT_TRUST_IS_NOT_TIME_NESTED; /* B42 */

    if (job->revocation != SCHAN_REVOCATION_REQUIRED) {
        bits |= unknown_revocation; /* B44 */
    }
    return bits;
}

/* --------------------------------------------------------------- the chain */

static PCERT_SIMPLE_CHAIN simple_chain(PCCERT_CHAIN_CONTEXT chain)
{
    return chain != NULL && chain->cChain > 0 ? chain->rgpChain[0] : NULL;
}

static PCCERT_CONTEXT chain_certificate(PCCERT_CHAIN_CONTEXT chain, size_t index)
{
    PCERT_SIMPLE_CHAIN simple = simple_chain(chain);

    return simple != NULL && index < simple->cElement
               ? simple->rgpElement[index]->pCertContext
               : NULL;
}

/* Which certificate has the bit; a bit of the whole chain belongs to its end. */
static size_t failing_index(PCCERT_CHAIN_CONTEXT chain, DWORD bit)
{
    PCERT_SIMPLE_CHAIN simple = simple_chain(chain);

    if (simple == NULL || simple->cElement == 0) {
        return 0;
    }
    for (DWORD i = 0; i < simple->cElement; i++) {
        if ((simple->rgpElement[i]->TrustStatus.dwErrorStatus & bit) != 0) {
            return i;
        }
    }
    return simple->cElement - 1;
}

/* "Not time valid" has two directions, "untrusted root" two meanings. */
static schan_reason refine(schan_reason reason, PCCERT_CHAIN_CONTEXT chain,
                           size_t index)
{
    PCCERT_CONTEXT certificate = chain_certificate(chain, index);
    FILETIME now = {0};

    if (certificate == NULL) {
        return reason;
    }
    GetSystemTimeAsFileTime(&now);
    if (reason == SCHAN_REASON_EXPIRED &&
        CompareFileTime(&now, &certificate->pCertInfo->NotBefore) < 0) {
        return SCHAN_REASON_NOT_YET_VALID;
    }
    if (reason == SCHAN_REASON_UNKNOWN_CA && simple_chain(chain)->cElement == 1) {
        return SCHAN_REASON_SELF_SIGNED;
    }
    return reason;
}

static void judge_trust(const schan_verification *job, PCCERT_CHAIN_CONTEXT chain,
                        schan_verdict *verdict)
{
    DWORD bits = chain->TrustStatus.dwErrorStatus & ~tolerated_bits(job); /* B42 */
    const trust_row *row = find_trust_row(bits);

    verdict->trust_status = chain->TrustStatus.dwErrorStatus;
    if (bits == 0) {
        return;
    }
    verdict->reason = SCHAN_REASON_OTHER;
    verdict->status = TRUST_E_FAIL;
    if (row != NULL) {
        verdict->failing_index = failing_index(chain, row->bit);
        verdict->reason = refine(row->reason, chain, verdict->failing_index);
        verdict->status = row->status;
    }
}

/* From wininet.h, which would bring in a second HTTP stack. */
static const DWORD ignore_revocation = 0x00000080;
static const DWORD ignore_name = 0x00001000;

/* Windows' own rules for TLS, without a name (B40); revocation has been judged by the
 * bits. */
static void judge_policy(const schan_verification *job, PCCERT_CHAIN_CONTEXT chain,
                         schan_verdict *verdict)
{
    HTTPSPolicyCallbackData peer = {0};
    CERT_CHAIN_POLICY_PARA parameters = {0};
    CERT_CHAIN_POLICY_STATUS status = {0};

    peer.cbStruct = sizeof(peer);
    peer.dwAuthType = job->peer_is_client ? AUTHTYPE_CLIENT : AUTHTYPE_SERVER;
    peer.fdwChecks = ignore_revocation | ignore_name; /* B40 */
    parameters.cbSize = sizeof(parameters);
    parameters.dwFlags = CERT_CHAIN_POLICY_IGNORE_ALL_REV_UNKNOWN_FLAGS;
    parameters.pvExtraPolicyPara = &peer;
    status.cbSize = sizeof(status);
    if (!job->library->system->CertVerifyCertificateChainPolicy(
            CERT_CHAIN_POLICY_SSL, chain, &parameters, &status)) {
        status.dwError = GetLastError() != 0 ? GetLastError() : (DWORD)TRUST_E_FAIL;
    }
    if (status.dwError != 0) {
        verdict->reason = SCHAN_REASON_OTHER;
        verdict->status = (int32_t)status.dwError;
        verdict->failing_index =
            status.lElementIndex > 0 ? (size_t)status.lElementIndex : 0;
    }
}

static void judge_name(const schan_verification *job, schan_verdict *verdict)
{
    const CERT_INFO *info = job->certificate->pCertInfo;
    schan_span address = {job->ip_address, job->ip_size};
    schan_span names = {0};

    if (job->host_name == NULL && job->ip_size == 0) {
        return;
    }
    for (DWORD i = 0; i < info->cExtension; i++) {
        if (strcmp(info->rgExtension[i].pszObjId, szOID_SUBJECT_ALT_NAME2) == 0) {
            names.data = info->rgExtension[i].Value.pbData;
            names.size = info->rgExtension[i].Value.cbData;
        }
    }
    if (!schan_host_name_matches(names, job->host_name, address)) { /* B40 */
        verdict->reason = SCHAN_REASON_NAME_MISMATCH;
        verdict->status = CERT_E_CN_NO_MATCH;
        verdict->failing_index = 0;
    }
}

static bool is_pinned(const schan_verification *job, const uint8_t *digest)
{
    for (size_t i = 0; i < job->pin_count; i++) {
        if (memcmp(job->pins + i * pin_size, digest, pin_size) == 0) {
            return true;
        }
    }
    return false;
}

/* B46: the key of the peer's own certificate, whatever the chain. */
static void judge_pins(const schan_verification *job, schan_verdict *verdict)
{
    schan_span der = {job->certificate->pbCertEncoded, job->certificate->cbCertEncoded};
    schan_span key = schan_certificate_public_key(der);
    uint8_t digest[pin_size] = {0};
    size_t size = 0;
    schan_error err = {0};

    if (job->pin_count == 0) {
        return;
    }
    schan_result result = schan_digest(job->library, SCHAN_SHA256, key, digest,
                                       sizeof(digest), &size, &err);
    if (result != SCHAN_OK) {
        verdict->reason = SCHAN_REASON_OTHER;
        verdict->status = err.status != 0 ? err.status : TRUST_E_FAIL;
    } else if (key.size == 0 || !is_pinned(job, digest)) { /* B46 */
        verdict->reason = SCHAN_REASON_PIN_MISMATCH;
        verdict->status = CRYPT_E_HASH_VALUE;
    }
}

/* ----------------------------------------------------------------- the job */

static const struct {
    schan_revocation revocation;
    DWORD flags;
} revocation_flags[] = {
    {SCHAN_REVOCATION_OFF, CERT_CHAIN_REVOCATION_ACCUMULATIVE_TIMEOUT},
    {SCHAN_REVOCATION_BEST_EFFORT, CERT_CHAIN_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT |
                                       CERT_CHAIN_REVOCATION_ACCUMULATIVE_TIMEOUT},
    {SCHAN_REVOCATION_REQUIRED, CERT_CHAIN_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT |
                                    CERT_CHAIN_REVOCATION_ACCUMULATIVE_TIMEOUT},
};

static DWORD chain_flags(const schan_verification *job)
{
    const DWORD offline = CERT_CHAIN_CACHE_ONLY_URL_RETRIEVAL |
                          CERT_CHAIN_REVOCATION_CHECK_CACHE_ONLY; /* B44, B86 */
    const DWORD more = job->cache_only ? offline : 0;

    for (size_t i = 0; i < sizeof(revocation_flags) / sizeof(revocation_flags[0]);
         i++) {
        if (revocation_flags[i].revocation == job->revocation) {
            return revocation_flags[i].flags | more;
        }
    }
    return CERT_CHAIN_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT | more;
}

static schan_verdict judge_with(const schan_verification *job, HCERTCHAINENGINE engine,
                                PCCERT_CHAIN_CONTEXT *chain)
{
    char server_auth[] = szOID_PKIX_KP_SERVER_AUTH;
    char client_auth[] = szOID_PKIX_KP_CLIENT_AUTH;
    LPSTR usages[] = {job->peer_is_client ? client_auth : server_auth}; /* B43 */
    CERT_CHAIN_PARA parameters = {0};
    schan_verdict verdict = {0};

    parameters.cbSize = sizeof(parameters);
    parameters.RequestedUsage.dwType = USAGE_MATCH_TYPE_AND; /* B43 */
    parameters.RequestedUsage.Usage.cUsageIdentifier = 1;
    parameters.RequestedUsage.Usage.rgpszUsageIdentifier = usages;
    parameters.dwUrlRetrievalTimeout = job->url_timeout_ms; /* B86 */
    *chain = NULL;
    if (!job->library->system->CertGetCertificateChain(
            engine, job->certificate, NULL, job->certificate->hCertStore, &parameters,
            chain_flags(job), NULL, chain) ||
        *chain == NULL) {
        verdict.reason = SCHAN_REASON_OTHER;
        verdict.status = GetLastError() != 0 ? (int32_t)GetLastError() : TRUST_E_FAIL;
        *chain = NULL;
        return verdict;
    }
    judge_trust(job, *chain, &verdict);
    if (verdict.reason == SCHAN_REASON_NONE) {
        judge_policy(job, *chain, &verdict);
    }
    if (verdict.reason == SCHAN_REASON_NONE) {
        judge_name(job, &verdict);
    }
    return verdict;
}

/* Whether other trust anchors could make the chain a good one. */
static bool is_about_the_root(const schan_verdict *verdict)
{
    const uint32_t about_the_root = CERT_TRUST_IS_PARTIAL_CHAIN |
                                    CERT_TRUST_IS_UNTRUSTED_ROOT | CERT_TRUST_IS_CYCLIC;
    const uint32_t final = CERT_TRUST_IS_REVOKED | CERT_TRUST_IS_EXPLICIT_DISTRUST;

    return (verdict->trust_status & about_the_root) != 0 &&
           (verdict->trust_status & final) == 0;
}

/* With anchors of the caller's besides the machine's, either will do; if neither does, the
   caller's own tell why. */
static void judge_chain(schan_verification *job)
{
    PCCERT_CHAIN_CONTEXT chain = NULL;

    if (job->trust == NULL) {
        job->verdict = judge_with(job, HCCE_CURRENT_USER, &job->chain);
        return;
    }
    job->verdict = judge_with(job, job->trust->chain_engine, &job->chain);
    if (job->trust->exclusive || !is_about_the_root(&job->verdict)) {
        return;
    }
    schan_verdict verdict = judge_with(job, HCCE_CURRENT_USER, &chain);
    PCCERT_CHAIN_CONTEXT unused = chain;
    if (!is_about_the_root(&verdict)) {
        unused = job->chain;
        job->chain = chain;
        job->verdict = verdict;
    }
    if (unused != NULL) {
        job->library->system->CertFreeCertificateChain(unused);
    }
}

static void judge(schan_verification *job)
{
    if (!job->pins_only) {
        judge_chain(job);
    }
    if (job->verdict.reason == SCHAN_REASON_NONE) {
        judge_pins(job, &job->verdict);
    }
}

static void CALLBACK run_job(PTP_CALLBACK_INSTANCE instance, void *parameter)
{
    schan_verification *job = parameter;

    CallbackMayRunLong(instance);
    judge(job);
    AcquireSRWLockExclusive(&job->lock);
    job->is_done = true;
    WakeAllConditionVariable(&job->done);
    ReleaseSRWLockExclusive(&job->lock);
    schan_verification_free(job);
}

static schan_result copy(void **to, const void *from, size_t size, schan_error *err)
{
    *to = schan__allocate(size);
    if (*to == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    memcpy(*to, from, size);
    return SCHAN_OK;
}

static schan_result copy_name(schan_verification *job,
                              const schan_verify_config *config, schan_error *err)
{
    if (job->peer_is_client) { /* a client is no host */
        return SCHAN_OK;
    }
    if (config->ip_address.size > sizeof(job->ip_address)) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (config->ip_address.size > 0) {
        job->ip_size = config->ip_address.size;
        memcpy(job->ip_address, config->ip_address.data, job->ip_size);
    }
    if (config->host_name == NULL) {
        return SCHAN_OK;
    }
    size_t size = (wcslen(config->host_name) + 1) * sizeof(wchar_t);
    return copy((void **)&job->host_name, config->host_name, size, err);
}

static schan_result copy_pins(schan_verification *job,
                              const schan_verify_config *config, schan_error *err)
{
    job->pins_only = config->pins_only != 0;
    if ((job->pins_only && config->pin_count == 0) ||
        config->pin_count > SIZE_MAX / pin_size) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    if (config->pin_count == 0) {
        return SCHAN_OK;
    }
    job->pin_count = config->pin_count;
    return copy((void **)&job->pins, config->pins, config->pin_count * pin_size, err);
}

static schan_result start(schan_verification *job, schan_error *err)
{
    if (job->certificate == NULL) {
        job->verdict.reason = SCHAN_REASON_NO_CERTIFICATE;
        job->verdict.status = SEC_E_NO_CREDENTIALS;
        job->is_done = true;
        return SCHAN_OK;
    }
    if (job->pins_only) { /* nothing of that can block */
        judge(job);
        job->is_done = true;
        return SCHAN_OK;
    }
    InterlockedIncrement(&job->references);
    if (!TrySubmitThreadpoolCallback(run_job, job, NULL)) {
        InterlockedDecrement(&job->references);
        return schan__fail(err, SCHAN_ERR_SYSTEM, (int32_t)GetLastError(),
                           "TrySubmitThreadpoolCallback");
    }
    return SCHAN_OK;
}

schan_result schan_verification_new(schan_verification **out, schan_engine *engine,
                                    schan_trust *trust,
                                    const schan_verify_config *config, schan_error *err)
{
    *out = NULL;
    if (engine->state != SCHAN_STATE_VERIFY) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    schan_verification *job = schan__allocate(sizeof(*job));
    if (job == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    job->references = 1;
    InitializeSRWLock(&job->lock);
    InitializeConditionVariable(&job->done);
    job->library = schan__library_share(engine->library);
    job->trust = schan__trust_share(trust);
    job->revocation = config->revocation;
    job->url_timeout_ms = config->url_timeout_ms;
    job->cache_only = config->cache_only != 0;
    job->peer_is_client = config->peer_is_client != 0;
    if (engine->peer != NULL) {
        /* B15: this very context has the stapled answer; B39: and the store of what was
         * sent along */
        job->certificate =
            job->library->system->CertDuplicateCertificateContext(engine->peer);
    }
    schan_result result = copy_name(job, config, err);
    if (result == SCHAN_OK) {
        result = copy_pins(job, config, err);
    }
    if (result == SCHAN_OK) {
        result = start(job, err);
    }
    if (result != SCHAN_OK) {
        schan_verification_free(job);
        return result;
    }
    *out = job;
    return SCHAN_OK;
}

void schan_verification_free(schan_verification *job)
{
    if (job == NULL || InterlockedDecrement(&job->references) != 0) {
        return;
    }
    if (job->chain != NULL) {
        job->library->system->CertFreeCertificateChain(job->chain);
    }
    if (job->certificate != NULL) {
        job->library->system->CertFreeCertificateContext(job->certificate);
    }
    schan__release(job->host_name);
    schan__release(job->pins);
    schan_trust_free(job->trust);
    schan_library_free(job->library);
    schan__release(job);
}

schan_result schan_verification_wait(schan_verification *job, uint32_t timeout_ms,
                                     schan_verdict *verdict)
{
    AcquireSRWLockExclusive(&job->lock);
    if (!job->is_done) {
        (void)SleepConditionVariableSRW(&job->done, &job->lock, timeout_ms,
                                        0); /* woken for nothing: WANT_TIME */
    }
    bool is_done = job->is_done;
    ReleaseSRWLockExclusive(&job->lock);
    if (!is_done) {
        return SCHAN_WANT_TIME;
    }
    *verdict = job->verdict;
    return SCHAN_OK;
}

schan_span schan_verification_certificate(const schan_verification *job, size_t index)
{
    PCCERT_CONTEXT certificate = chain_certificate(job->chain, index);
    schan_span der = {0};

    if (certificate != NULL) {
        der.data = certificate->pbCertEncoded;
        der.size = certificate->cbCertEncoded;
    }
    return der;
}
