/* unit_verify.c - judging the peer's certificate, on threads and without them (verify.c) */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_engine *engine;
static const void *peer_der; /* of the next begin */
static size_t peer_der_size;

static void begin(void)
{
    static const schan_credential_config wanted = {.protocols = SCHAN_TLS_1_3};
    static const schan_engine_config config = {.protocols = SCHAN_TLS_1_3};
    const schan_system *system = system_begin(NULL);
    schan_credential *credential = NULL;
    uint8_t bytes[16];
    size_t size = toy_clear_record(bytes, TOY_HANDSHAKE, "F", 1);

    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, toy_begin(), system, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &wanted, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
    schan_credential_free(credential);
    system_memory.peer = peer_der;
    system_memory.peer_size = peer_der_size;
    toy.names = "\x30\x0b\x82\x09"
                "a.example";
    toy.names_size = 13;
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
}

static void end(void)
{
    schan_engine_free(engine);
    schan_library_free(library);
    provider_end();
    system_end();
}

static schan_verification *start(schan_trust *trust, schan_revocation revocation)
{
    schan_verify_config config = {.host_name = L"a.example", .revocation = revocation};
    schan_verification *job = NULL;

    CHECK_EQUAL(SCHAN_OK, schan_verification_new(&job, engine, trust, &config, NULL));
    return job;
}

static schan_verdict judge(schan_trust *trust, schan_revocation revocation)
{
    schan_verdict verdict = {0};
    schan_verification *job = start(trust, revocation);

    CHECK_EQUAL(SCHAN_OK, schan_verification_wait(job, 10000, &verdict));
    schan_verification_free(job);
    return verdict;
}

typedef struct {
    DWORD trust;
    DWORD leaf;
    schan_revocation revocation;
    schan_reason reason;
    size_t failing_index;
} chain_case;

static const chain_case cases[] = {
    {0, 0, SCHAN_REVOCATION_REQUIRED, SCHAN_REASON_NONE, 0},
    {0x2, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_NONE, 0}, /* B42: not nested in time */
    {0x1, 0x1, SCHAN_REVOCATION_OFF, SCHAN_REASON_EXPIRED, 0},
    {0x1, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_EXPIRED, 1},
    {0x4, 0x4, SCHAN_REVOCATION_BEST_EFFORT, SCHAN_REASON_REVOKED, 0},
    {0x8, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_BAD_SIGNATURE, 1},
    {0x10, 0x10, SCHAN_REVOCATION_OFF, SCHAN_REASON_WRONG_USAGE, 0},
    {0x20, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_UNKNOWN_CA, 1},
    {0x40, 0x40, SCHAN_REVOCATION_BEST_EFFORT, SCHAN_REASON_NONE, 0},
    {0x1000040, 0x40, SCHAN_REVOCATION_REQUIRED, SCHAN_REASON_REVOCATION_UNKNOWN, 1},
    {0x10000, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_INCOMPLETE_CHAIN, 1},
    {0x4000000, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_DISTRUSTED, 1},
    {0x2000, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_BAD_CONSTRAINTS, 1},
    {0x100000, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_WEAK, 1},
    {0x80000000, 0, SCHAN_REVOCATION_OFF, SCHAN_REASON_OTHER, 0}, /* no row: fails */
};

TEST(trust_bits_become_reasons)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        system_memory.system_chain.trust = cases[i].trust;
        system_memory.system_chain.elements[0] = cases[i].leaf;

        schan_verdict verdict = judge(NULL, cases[i].revocation);

        fprintf(stderr, "case %zu\n", i);
        CHECK_EQUAL(cases[i].reason, verdict.reason);
        CHECK_EQUAL(cases[i].failing_index, verdict.failing_index);
        CHECK((verdict.reason == SCHAN_REASON_NONE) == (verdict.status == 0));
        end();
    }
}

TEST(policy_is_asked_when_the_bits_are_good)
{
    begin();
    system_memory.system_chain.policy = (DWORD)CERT_E_ROLE;
    system_memory.system_chain.policy_index = 1;

    schan_verdict verdict = judge(NULL, SCHAN_REVOCATION_OFF);

    CHECK_EQUAL(SCHAN_REASON_OTHER, verdict.reason);
    CHECK_EQUAL(CERT_E_ROLE, verdict.status);
    CHECK_EQUAL(1, verdict.failing_index);
    end();
}

TEST(a_peer_without_certificate_is_refused)
{
    begin();
    engine->library->system->CertFreeCertificateContext(engine->peer);
    engine->peer = NULL;

    CHECK_EQUAL(SCHAN_REASON_NO_CERTIFICATE, judge(NULL, SCHAN_REVOCATION_OFF).reason);
    end();
}

TEST(own_roots_are_tried_before_those_of_the_machine)
{
    const uint8_t *roots[] = {(const uint8_t *)"root"};
    const size_t sizes[] = {4};
    schan_trust *trust = NULL;

    for (int exclusive = 0; exclusive < 2; exclusive++) {
        begin();
        CHECK_EQUAL(SCHAN_OK, schan_trust_from_roots(&trust, library, roots, sizes, 1,
                                                     exclusive, NULL));
        system_memory.chain.trust = CERT_TRUST_IS_UNTRUSTED_ROOT;

        schan_verdict verdict = judge(trust, SCHAN_REVOCATION_OFF);

        CHECK_EQUAL(exclusive ? SCHAN_REASON_UNKNOWN_CA : SCHAN_REASON_NONE,
                    verdict.reason);
        schan_trust_free(trust);
        end();
    }
}

TEST(a_job_that_is_abandoned_cleans_up_by_itself)
{
    schan_verdict verdict = {0};

    begin();
    stand_in.pool = STAND_IN_POOL_LATER;
    schan_verification *job = start(NULL, SCHAN_REVOCATION_OFF);
    CHECK_EQUAL(SCHAN_WANT_TIME, schan_verification_wait(job, 5, &verdict));
    schan_verification_free(job);
    schan_engine_free(engine); /* the job owns what it uses (B86) */
    engine = NULL;
    schan_library_free(library);
    library = NULL;

    stand_in_run_jobs();
    end();
}

TEST(a_full_pool_is_told)
{
    schan_verify_config config = {0};
    schan_verification *job = NULL;
    schan_error err = {0};

    begin();
    stand_in.pool = STAND_IN_POOL_FULL;
    CHECK_EQUAL(SCHAN_ERR_SYSTEM,
                schan_verification_new(&job, engine, NULL, &config, &err));
    CHECK(strcmp("TrySubmitThreadpoolCallback", err.call) == 0);
    end();
}

TEST(judging_on_a_thread_ends_with_a_verdict)
{
    for (int i = 0; i < 20; i++) {
        begin();
        stand_in.pool = STAND_IN_POOL_THREAD;
        CHECK_EQUAL(SCHAN_REASON_NONE, judge(NULL, SCHAN_REVOCATION_OFF).reason);
        schan_verification *job = start(NULL, SCHAN_REVOCATION_OFF);
        schan_verdict verdict = {0};
        CHECK_EQUAL(SCHAN_OK, schan_verification_wait(job, 10000, &verdict));
        CHECK_EQUAL(11, schan_verification_certificate(job, 0).size);
        CHECK_EQUAL(0, schan_verification_certificate(job, 2).size);
        schan_verification_free(job);
        schan_engine_free(engine);
        schan_library_free(library);
        provider_end();
        for (int k = 0; k < 100000 && system_alive() > 0; k++) {
            (void)SwitchToThread(); /* the thread may still be letting go of the job */
        }
        system_end();
    }
}

static schan_verdict judge_as(const schan_verify_config *config)
{
    schan_verification *job = NULL;
    schan_verdict verdict = {0};

    CHECK_EQUAL(SCHAN_OK, schan_verification_new(&job, engine, NULL, config, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_verification_wait(job, 10000, &verdict));
    schan_verification_free(job);
    return verdict;
}

/* A certificate of which no more than the public key can be read: 05 05. */
static const uint8_t keyed[] = {0x30, 20, 0x30, 18, 0x02, 1, 5, 0x30, 0, 0x30, 0,
                                0x30, 0,  0x30, 0,  0x30, 5, 1, 2,    3, 4,    5};

TEST(pins_are_the_digest_of_the_public_key)
{
    uint8_t pins[64] = {0};
    size_t size = 0;
    const schan_span key = {keyed + 15, 7};
    schan_verify_config config = {.pins = pins, .pin_count = 2};

    peer_der = keyed;
    peer_der_size = sizeof(keyed);
    for (int only = 0; only < 2; only++) {
        begin();
        config.pins_only = only;
        config.host_name = only ? L"b.example" : NULL; /* then no name is looked at */
        CHECK_EQUAL(SCHAN_REASON_PIN_MISMATCH, judge_as(&config).reason);
        CHECK_EQUAL(SCHAN_OK, schan_digest(library, SCHAN_SHA256, key, pins + 32, 32,
                                           &size, NULL));
        CHECK_EQUAL(SCHAN_REASON_NONE, judge_as(&config).reason);
        pins[63] ^= 1; /* all of it counts */
        CHECK_EQUAL(SCHAN_REASON_PIN_MISMATCH, judge_as(&config).reason);
        pins[63] ^= 1;
        config.pin_count = 1; /* the first one is another */
        CHECK_EQUAL(SCHAN_REASON_PIN_MISMATCH, judge_as(&config).reason);
        config.pin_count = 2;
        system_memory.system_chain.trust = CERT_TRUST_IS_REVOKED;
        CHECK_EQUAL(only ? SCHAN_REASON_NONE : SCHAN_REASON_REVOKED,
                    judge_as(&config).reason);
        memset(pins, 0, sizeof(pins));
        end();
    }
    peer_der = NULL;
    begin(); /* a certificate that cannot be read has no key */
    CHECK_EQUAL(SCHAN_REASON_PIN_MISMATCH, judge_as(&config).reason);
    end();
}

TEST(digests_that_fail_and_pins_that_are_none_are_told)
{
    static const uint8_t pin[32] = {0};
    schan_verify_config config = {.pins = pin, .pin_count = 1, .pins_only = 1};
    schan_verification *job = NULL;

    begin();
    for (unsigned failing = 1; failing <= 4; failing++) {
        system_memory.calls = 0;
        system_memory.failing_call = failing;
        CHECK_EQUAL(SCHAN_REASON_OTHER, judge_as(&config).reason);
    }
    system_memory.failing_call = 0;
    config.pin_count = 0;
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_verification_new(&job, engine, NULL, &config, NULL));
    config.pin_count = SIZE_MAX / 32 + 1;
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_verification_new(&job, engine, NULL, &config, NULL));
    end();
}

TEST(names_addresses_and_roles_decide)
{
    static const uint8_t address[4] = {127, 0, 0, 1};
    const schan_verify_config other = {.host_name = L"b.example"};
    const schan_verify_config client = {.host_name = L"b.example", .peer_is_client = 1};
    const schan_verify_config number = {.ip_address = {address, 4}};
    const schan_verify_config nobody = {.cache_only = 1,
                                        .revocation = (schan_revocation)7};

    begin();
    CHECK_EQUAL(SCHAN_REASON_NAME_MISMATCH, judge_as(&other).reason);
    CHECK_EQUAL(SCHAN_REASON_NONE, judge_as(&client).reason);
    CHECK_EQUAL(SCHAN_REASON_NAME_MISMATCH, judge_as(&number).reason);
    CHECK_EQUAL(SCHAN_REASON_NONE, judge_as(&nobody).reason);
    system_memory.system_chain.trust = CERT_TRUST_IS_UNTRUSTED_ROOT;
    system_memory.system_chain.count = 1;
    CHECK_EQUAL(SCHAN_REASON_SELF_SIGNED, judge_as(&nobody).reason);
    system_memory.system_chain.error = (DWORD)CRYPT_E_NO_MATCH;
    CHECK_EQUAL(SCHAN_REASON_OTHER, judge_as(&nobody).reason);
    end();
}

TEST(certificates_of_the_future_are_not_expired)
{
    begin();
    system_memory.system_chain.trust = CERT_TRUST_IS_NOT_TIME_VALID;
    system_memory.system_chain.elements[1] = CERT_TRUST_IS_NOT_TIME_VALID;
    system_memory.not_before = stand_in.file_time + 1;
    CHECK_EQUAL(SCHAN_REASON_NOT_YET_VALID, judge(NULL, SCHAN_REVOCATION_OFF).reason);
    end();
}

TEST(no_memory_for_a_judgement_is_told)
{
    static const uint8_t pin[32] = {0};
    const schan_verify_config config = {
        .host_name = L"a.example", .pins = pin, .pin_count = 1};

    begin();
    for (unsigned failing = 1; failing <= 3; failing++) {
        schan_verification *job = NULL;
        stand_in.allocations = 0;
        stand_in.failing_allocation = failing;
        CHECK_EQUAL(SCHAN_ERR_MEMORY,
                    schan_verification_new(&job, engine, NULL, &config, NULL));
        CHECK(job == NULL);
    }
    stand_in.failing_allocation = 0;
    end();
}
