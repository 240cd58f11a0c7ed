/* unit_misuse.c - calls that the state does not allow are told, and change nothing */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_credential *credential;
static schan_engine *engine;

static void begin(void)
{
    static const schan_credential_config wanted = {.protocols = SCHAN_TLS_1_3};
    static const schan_engine_config config = {.protocols = SCHAN_TLS_1_3};
    const schan_system *system = system_begin(NULL);

    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, toy_begin(), system, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &wanted, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
}

static void end(void)
{
    schan_engine_free(engine);
    schan_credential_free(credential);
    schan_library_free(library);
    provider_end();
    system_end();
}

static void handshake(void)
{
    uint8_t bytes[16];
    size_t size = toy_clear_record(bytes, TOY_HANDSHAKE, "F", 1);

    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
}

/* Nothing of application data before the verdict. */
static void check_is_closed_to_data(void)
{
    uint8_t byte = 0;
    size_t size = 1;
    schan_error err = {0};
    schan_span view = {&byte, 1};
    const schan_span span = {&byte, 1};

    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_read(engine, &byte, 1, &size, &err));
    CHECK_EQUAL(0, size);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, err.result);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_peek(engine, &view, &err));
    CHECK(view.data == NULL && view.size == 0);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_write(engine, &span, 1, &size, &err));
    CHECK_EQUAL(0, size);
    CHECK_EQUAL(0, schan_engine_pending(engine));
    CHECK_EQUAL(0, provider_calls.encrypted + provider_calls.decrypted);
}

TEST(data_before_the_verdict_is_misuse)
{
    begin();
    check_is_closed_to_data();
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    check_is_closed_to_data();
    end();

    begin();
    handshake();
    check_is_closed_to_data();
    CHECK_EQUAL(SCHAN_STATE_VERIFY, schan_engine_state(engine));
    end();
}

TEST(verdicts_out_of_turn_are_misuse)
{
    schan_verdict good = {0};

    begin();
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_verified(engine, &good, NULL));
    handshake();
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_verified(engine, &good, NULL));
    CHECK_EQUAL(SCHAN_STATE_OPEN, schan_engine_state(engine));
    end();
}

TEST(a_bad_verdict_stays)
{
    schan_verdict bad = {.reason = SCHAN_REASON_EXPIRED, .status = CERT_E_EXPIRED};
    schan_verdict good = {0};
    schan_error err = {0};
    uint8_t byte = 0;
    size_t size = 0;

    begin();
    handshake();
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_verified(engine, &bad, NULL));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_verified(engine, &good, &err));
    CHECK_EQUAL(CERT_E_EXPIRED, err.status);
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE,
                schan_engine_read(engine, &byte, 1, &size, NULL));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_feed(engine, "x", 1, NULL));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_shutdown(engine, NULL));
    end();
}

TEST(writing_after_shutdown_is_misuse_and_reading_goes_on)
{
    schan_verdict good = {0};
    const schan_span span = {(const uint8_t *)"x", 1};
    toy_peer peer = {0};
    uint8_t bytes[32];
    size_t size = 0;

    begin();
    handshake();
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_shutdown(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_shutdown(engine, NULL));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_write(engine, &span, 1, &size, NULL));
    size = toy_seal(&peer, bytes, TOY_DATA, "last", 4);
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, bytes, 32, &size, NULL));
    CHECK_EQUAL(4, size);
    CHECK_EQUAL(1, provider_calls.controlled);
    end();
}

TEST(shutdown_before_the_handshake_is_harmless)
{
    begin();
    CHECK_EQUAL(SCHAN_OK, schan_engine_shutdown(engine, NULL));
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    end();
}

TEST(consuming_more_than_there_is_takes_what_there_is)
{
    schan_verdict good = {0};
    toy_peer peer = {0};
    schan_span view = {0};
    uint8_t bytes[64];

    begin();
    handshake();
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
    size_t size = toy_seal(&peer, bytes, TOY_DATA, "first", 5);
    size += toy_seal(&peer, bytes + size, TOY_DATA, "second", 6);
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));

    schan_engine_consume(engine, 3); /* nothing is decrypted yet */
    CHECK_EQUAL(SCHAN_OK, schan_engine_peek(engine, &view, NULL));
    CHECK_EQUAL(5, view.size);
    schan_engine_consume(engine, 1000);
    CHECK_EQUAL(SCHAN_OK, schan_engine_peek(engine, &view, NULL));
    CHECK_EQUAL(6, view.size);
    end();
}

TEST(info_before_the_handshake_is_misuse)
{
    schan_info info = {.protocol = 1};

    begin();
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_info(engine, &info, NULL));
    CHECK_EQUAL(0, info.protocol);
    CHECK_EQUAL(0, schan_engine_peer_certificate(engine).size);
    end();
}

TEST(verification_before_its_time_is_misuse)
{
    schan_verify_config config = {0};
    schan_verification *job = (schan_verification *)1;

    begin();
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_verification_new(&job, engine, NULL, &config, NULL));
    CHECK(job == NULL);
    handshake();
    config.ip_address.size = 17;
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_verification_new(&job, engine, NULL, &config, NULL));
    CHECK(job == NULL);
    end();
}

TEST(digests_into_too_little_room_are_misuse)
{
    uint8_t digest[32];
    size_t size = 1;
    const schan_span data = {(const uint8_t *)"x", 1};

    begin();
    CHECK_EQUAL(SCHAN_OK,
                schan_digest(library, SCHAN_SHA256, data, digest, 32, &size, NULL));
    CHECK_EQUAL(32, size);
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_digest(library, SCHAN_SHA256, data, digest, 31, &size, NULL));
    CHECK_EQUAL(0, size);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_digest(library, (schan_digest_algorithm)77,
                                               data, digest, 32, &size, NULL));
    end();
}

TEST(freeing_nothing_is_allowed)
{
    schan_library_free(NULL);
    schan_credential_free(NULL);
    schan_trust_free(NULL);
    schan_engine_free(NULL);
    schan_verification_free(NULL);
    schan_socket_free(NULL);
}

TEST(a_table_with_a_missing_member_is_refused)
{
    SecurityFunctionTableW table = *toy_begin();
    schan_error err = {0};

    table.DecryptMessage = NULL;
    CHECK_EQUAL(SCHAN_ERR_SYSTEM,
                schan_library_new(&library, &table, system_begin(NULL), &err));
    CHECK(library == NULL);
    CHECK_EQUAL(SEC_E_UNSUPPORTED_FUNCTION, err.status);
}
