/*
 * fuzz_verdicts.c - chains, trust bits, policies and stores as the input says, and crypt32
 * failing where it may; a good verdict must have been earned
 */
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true, const char *text)
{
    if (!is_true) {
        stand_in_abort(text);
    }
}

static void open_to_verify(schan_engine *engine)
{
    uint8_t bytes[16];
    size_t size = toy_clear_record(bytes, TOY_HANDSHAKE, "F", 1);

    (void)!schan_engine_handshake(engine, NULL);
    (void)!schan_engine_feed(engine, bytes, size, NULL);
    (void)!schan_engine_handshake(engine, NULL);
}

static schan_trust *some_trust(schan_library *library, choices *input)
{
    const uint8_t der[] = {choose_byte(input), 1, 2};
    const uint8_t *roots[] = {der, der};
    const size_t sizes[] = {3, choose(input, 4)};
    schan_trust *trust = NULL;
    schan_error err = {0};
    schan_result result = SCHAN_OK;

    switch (choose(input, 3)) {
    case 0:
        return NULL;
    case 1:
        result = schan_trust_from_roots(&trust, library, roots, sizes, choose(input, 3),
                                        (int)choose(input, 2), &err);
        break;
    default:
        result = schan_trust_from_store(&trust, library, L"ROOT", (int)choose(input, 2),
                                        &err);
        break;
    }
    must((result == SCHAN_OK) == (trust != NULL), "a trust without result");
    must(result == SCHAN_OK || err.result == result, "an error that is not told");
    return trust;
}

static void certificate_facts(schan_library *library, choices *input)
{
    wchar_t text[8];
    uint8_t digest[32];
    int64_t from = 0;
    int64_t until = 0;
    size_t size = 0;
    const schan_span der = {(const uint8_t *)"der", choose(input, 4)};

    (void)!schan_certificate_name(library, der, (int)choose(input, 2), text,
                                  choose(input, 9), &size, NULL);
    (void)!schan_certificate_validity(library, der, &from, &until, NULL);
    (void)!schan_digest(library, (schan_digest_algorithm)choose(input, 4), der, digest,
                        choose(input, 33), &size, NULL);
}

/* The bits may be tolerated: not nested in time; unknown revocation unless required. */
static bool is_earned(const schan_verdict *verdict, schan_revocation revocation)
{
    DWORD tolerated = CERT_TRUST_IS_NOT_TIME_NESTED;

    if (revocation != SCHAN_REVOCATION_REQUIRED) {
        tolerated |=
            CERT_TRUST_REVOCATION_STATUS_UNKNOWN | CERT_TRUST_IS_OFFLINE_REVOCATION;
    }
    return (verdict->trust_status & ~tolerated) == 0 && verdict->status == 0;
}

static void judge(schan_engine *engine, schan_trust *trust, choices *input)
{
    static const wchar_t *const hosts[] = {NULL, L"a.example", L"b.example", L""};
    static const stand_in_pool pools[] = {STAND_IN_POOL_AT_ONCE, STAND_IN_POOL_AT_ONCE,
                                          STAND_IN_POOL_LATER, STAND_IN_POOL_FULL};
    static const uint8_t address[16] = {1};
    schan_verify_config config = {
        .host_name = hosts[choose(input, 4)],
        .ip_address = {address, choose(input, 18)},
        .revocation = (schan_revocation)choose(input, 4),
    };
    schan_verification *job = NULL;
    schan_verdict verdict = {0};
    schan_error err = {0};

    stand_in.pool = pools[choose(input, 4)];
    if (schan_verification_new(&job, engine, trust, &config, &err) != SCHAN_OK) {
        must(job == NULL && err.result < 0, "a job without result");
        return;
    }
    if (schan_verification_wait(job, 1, &verdict) == SCHAN_OK) {
        must(verdict.reason != SCHAN_REASON_NONE ||
                 is_earned(&verdict, config.revocation),
             "a good verdict that was not earned");
        must(verdict.reason != SCHAN_REASON_NONE || config.host_name != hosts[2],
             "another name is good");
        must(verdict.reason == SCHAN_REASON_NONE || verdict.status != 0,
             "a bad verdict without status");
        for (size_t i = 0; i <= verdict.failing_index + 1; i++) {
            (void)schan_verification_certificate(job, i);
        }
        schan_result told = schan_engine_verified(engine, &verdict, NULL);
        must((told == SCHAN_OK) == (verdict.reason == SCHAN_REASON_NONE), "verified");
    }
    schan_verification_free(job);
    stand_in_run_jobs();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const schan_credential_config wanted = {.protocols = SCHAN_TLS_1_3};
    const schan_engine_config config = {.protocols = SCHAN_TLS_1_3};
    choices input = {data, size, 0};
    schan_library *library = NULL;
    schan_credential *credential = NULL;
    schan_engine *engine = NULL;
    const schan_system *system = system_begin(&input);

    must(schan_library_new(&library, toy_begin(), system, NULL) == SCHAN_OK, "");
    toy.has_no_certificate = choose(&input, 16) == 15;
    toy.names = "\x30\x0b\x82\x09"
                "a.example";
    toy.names_size = choose(&input, 8) == 7 ? 5 : 13;
    must(schan_credential_new(&credential, library, &wanted, NULL) == SCHAN_OK, "");
    must(schan_engine_new(&engine, credential, &config, NULL) == SCHAN_OK, "");
    open_to_verify(engine);
    schan_trust *trust = some_trust(library, &input);
    certificate_facts(library, &input);
    judge(engine, trust, &input);
    schan_trust_free(trust);
    schan_engine_free(engine);
    schan_credential_free(credential);
    schan_library_free(library);
    provider_end();
    system_end();
    return 0;
}
