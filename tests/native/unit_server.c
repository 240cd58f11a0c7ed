/* unit_server.c - the server's role, renegotiation, chosen credentials, what Wine does */
#include "check.h"
#include "schan_internal.h"
#include "schan_sspi.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_credential *credential;
static schan_engine *engine;
static SecurityFunctionTableW table;

static schan_credential *make_credential(bool is_server, bool has_identity,
                                         bool forgets)
{
    schan_identity *identity =
        has_identity ? system_identity(library, SCHAN_KEY_ECC) : NULL;
    const schan_credential_config config = {.protocols = 15,
                                            .is_server = is_server,
                                            .identity = identity,
                                            .disable_resumption = forgets};
    schan_credential *made = NULL;

    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&made, library, &config, NULL));
    schan_identity_free(identity);
    return made;
}

static void begin(bool is_server, schan_engine_config config)
{
    const schan_system *system = system_begin(NULL);

    table = *toy_begin();
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, &table, system, NULL));
    credential = make_credential(is_server, is_server, false);
    config.protocols = config.protocols == 0 ? 15 : config.protocols;
    provider_may_be_asked = config.asks_for_credential != 0;
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

static void feed(uint8_t type, const char *body, size_t size)
{
    uint8_t record[700];

    size = toy_clear_record(record, type, body, size);
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, record, size, NULL));
}

static void feed_sealed(toy_peer *peer, uint8_t inner, const char *body, size_t size)
{
    uint8_t record[700];

    size = toy_seal(peer, record, inner, body, size);
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, record, size, NULL));
}

/* ------------------------------------------------------------- ClientHello */

/* TLS 1.2 without extensions, but for the record's header. */
static const char plain_hello[] =
    "\x01\0\0\x29\x03\x03................................\0\0\x02\xc0\x2f\x01\0";
enum { plain_size = sizeof(plain_hello) - 1 };

typedef struct {
    const char *extensions;
    size_t size;
    uint8_t legacy;
    uint32_t versions;
} hello_case;

static const hello_case hellos[] = {
    {"", 0, 3, 7},
    {"", 0, 1, 1},
    {"", 0, 0, 0},
    {"", 0, 9, 7}, /* never TLS 1.3 by this number */
    {"\0\x09\0\x2b\0\x05\x04\x03\x04\x03\x03", 11, 3, 12},
    {"\0\x0d\0\0\0\0\0\x2b\0\x05\x04\x03\x04\x7f\x1c", 15, 3, 8},
    {"\0\x05\0\x2b\0\x01\0", 7, 3, 0},       /* an empty list */
    {"\0\x06\0\x2b\0\x02\x09\x03", 8, 3, 0}, /* a list that is not whole */
    {"\0\x04\0\x2b\0\x09", 6, 3, 7},         /* an extension that is not */
};

TEST(versions_of_a_client_hello_are_those_it_offers)
{
    for (size_t i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
        uint8_t record[200] = {22, 3, 1, 0, 0};
        size_t size = 5 + plain_size + hellos[i].size;
        uint32_t versions = 99;
        memcpy(record + 5, plain_hello, plain_size);
        memcpy(record + 5 + plain_size, hellos[i].extensions, hellos[i].size);
        record[8] = (uint8_t)(plain_size - 4 + hellos[i].size);
        record[10] = hellos[i].legacy;
        uint8_t *exact = malloc(size);
        memcpy(exact, record, size);

        CHECK(schan__client_hello_versions(exact, size, &versions));
        CHECK_EQUAL(hellos[i].versions, versions);
        for (size_t cut = 0; cut < size; cut++) {
            CHECK(!schan__client_hello_versions(exact, cut, &versions));
            CHECK_EQUAL(0, versions);
        }
        exact[5] = 2; /* another message */
        CHECK(!schan__client_hello_versions(exact, size, &versions));
        exact[0] = 23;
        CHECK(!schan__client_hello_versions(exact, size, &versions));
        free(exact);
    }
}

TEST(a_client_without_a_common_version_is_told)
{
    uint8_t alert[16] = {0};
    size_t size = 0;
    schan_error err = {0};

    begin(true, (schan_engine_config){.protocols = SCHAN_TLS_1_3});
    toy.start_status = SEC_E_UNSUPPORTED_FUNCTION;
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, plain_hello, plain_size);
    CHECK_EQUAL(SCHAN_ERR_HANDSHAKE, schan_engine_handshake(engine, &err));
    CHECK_EQUAL(70, err.alert);
    CHECK_EQUAL(SCHAN_CAUSE_NONE, err.cause);
    schan_engine_drain(engine, alert, sizeof(alert), &size);
    CHECK_EQUAL(7, size);
    CHECK(memcmp(alert, "\x15\x03\x01\x00\x02\x02\x46", 7) == 0);
    end();
}

TEST(a_system_without_server_role_is_told)
{
    for (int is_absent = 0; is_absent < 2; is_absent++) {
        schan_error err = {0};
        begin(true, (schan_engine_config){0});
        toy.start_status = SEC_E_UNSUPPORTED_FUNCTION;
        if (is_absent) {
            table.AcceptSecurityContext = NULL;
        }
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        feed(TOY_HANDSHAKE, plain_hello, plain_size);
        CHECK_EQUAL(SCHAN_ERR_HANDSHAKE, schan_engine_handshake(engine, &err));
        CHECK_EQUAL(SCHAN_CAUSE_NO_SERVER_ROLE, err.cause);
        CHECK_EQUAL(0, schan_engine_unsent(engine));
        end();
    }
}

TEST(a_server_survives_every_split)
{
    uint8_t bytes[128];

    for (size_t piece = 1; piece < 60; piece++) {
        static const uint8_t alpn[] = "\x02h2";
        toy_peer peer = {0};
        size_t size = toy_clear_record(bytes, TOY_HANDSHAKE, "M\x02", 2);
        size += toy_clear_record(bytes + size, TOY_HANDSHAKE, "m", 1);
        size += toy_clear_record(bytes + size, TOY_HANDSHAKE, "m", 1);
        size += toy_clear_record(bytes + size, TOY_HANDSHAKE, "S\x01", 2);
        size += toy_clear_record(bytes + size, TOY_HANDSHAKE, "F", 1);
        size += toy_seal(&peer, bytes + size, TOY_DATA, "EHLO", 4);
        char text[8] = {0};
        size_t read = 0;
        schan_result result = SCHAN_WANT_READ;
        begin(true, (schan_engine_config){.alpn_protocols = alpn, .alpn_size = 3});
        toy.alpn = "h2";
        for (size_t at = 0; at < size; at += piece) {
            size_t part = piece < size - at ? piece : size - at;
            CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes + at, part, NULL));
            result = schan_engine_handshake(engine, NULL);
        }
        CHECK_EQUAL(SCHAN_OK, result); /* no certificate was asked for */
        CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, text, 8, &read, NULL));
        CHECK(strcmp("EHLO", text) == 0);
        end();
    }
}

TEST(a_server_whose_handshake_fails_has_told_why)
{
    schan_error err = {0};

    begin(true, (schan_engine_config){0});
    feed(TOY_HANDSHAKE, "S\x01", 2);
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, "X", 1);
    CHECK_EQUAL(SCHAN_ERR_HANDSHAKE, schan_engine_handshake(engine, &err));
    CHECK(strcmp("AcceptSecurityContext", err.call) == 0);
    CHECK_EQUAL(47, err.alert);
    CHECK(schan_engine_unsent(engine) > 0);
    end();
}

TEST(client_certificates_are_judged_or_missed)
{
    for (int i = 0; i < 8; i++) {
        schan_error err = {0};
        bool is_required = (i & 1) != 0;
        bool is_shown = (i & 2) != 0;
        begin(true, (schan_engine_config){.client_authentication = 1 + is_required});
        toy.has_no_certificate = !is_shown;
        toy.protocol = (i & 4) != 0 ? SP_PROT_TLS1_2_SERVER : SP_PROT_TLS1_3_SERVER;
        feed(TOY_HANDSHAKE, "F", 1);
        schan_result result = schan_engine_handshake(engine, &err);
        CHECK_EQUAL(is_shown      ? SCHAN_WANT_VERIFY
                    : is_required ? SCHAN_ERR_CERTIFICATE
                                  : SCHAN_OK,
                    result);
        if (!is_shown && is_required) {
            CHECK_EQUAL(SCHAN_CAUSE_NO_CLIENT_CERTIFICATE, err.cause);
            CHECK_EQUAL((i & 4) != 0 ? 40 : 116, err.alert);
        }
        end();
    }
}

TEST(settings_of_the_other_role_are_misuse)
{
    static const schan_engine_config wrong[2][3] = {
        {{.client_authentication = 1}, {.renegotiation = 2}, {.renegotiation = -1}},
        {{.renegotiation = 1},
         {.asks_for_credential = 1},
         {.client_authentication = 3}}};

    for (size_t i = 0; i < 6; i++) {
        schan_engine *none = NULL;
        begin(i / 3 == 1, (schan_engine_config){0});
        CHECK_EQUAL(SCHAN_ERR_MISUSE,
                    schan_engine_new(&none, credential, &wrong[i / 3][i % 3], NULL));
        CHECK(none == NULL);
        end();
    }
}

/* ----------------------------------------------------------- renegotiation */

static void open_client(schan_engine_config config)
{
    static const uint8_t alpn[] = "\x02h2";
    schan_verdict good = {0};

    config.alpn_protocols = alpn;
    config.alpn_size = 3;
    begin(false, config);
    toy.protocol = SP_PROT_TLS1_2_CLIENT;
    toy.alpn = "h2";
    toy.alpn_of_renegotiation = "h2";
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, "F", 1);
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
}

static const schan_engine_config allowing = {.renegotiation =
                                                 SCHAN_RENEGOTIATION_ALLOW};

TEST(a_renegotiation_leaves_the_data_whole)
{
    for (char shape = 0; shape < 4; shape++) {
        const char request[] = {'R', shape};
        const schan_span span = {(const uint8_t *)"x", 1};
        toy_peer peer = {0};
        char text[16] = {0};
        size_t size = 0;
        open_client(allowing);
        feed_sealed(&peer, TOY_DATA, "one", 3);
        feed_sealed(&peer, TOY_HANDSHAKE, request, 2);
        feed_sealed(&peer, TOY_DATA, "two", 3); /* B26 */
        feed(TOY_HANDSHAKE, "S\x01", 2);
        feed_sealed(&peer, TOY_DATA, "three", 5);
        CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, text, 3, &size, NULL));
        CHECK_EQUAL(8, schan_engine_pending(engine)); /* put aside */
        CHECK_EQUAL(SCHAN_WANT_READ,
                    schan_engine_write(engine, &span, 1, &size, NULL)); /* B61 */
        feed(TOY_HANDSHAKE, "F", 1);
        CHECK_EQUAL(SCHAN_OK, schan_engine_write(engine, &span, 1, &size, NULL));
        feed_sealed(&peer, TOY_DATA, "!", 1);
        CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, text + 3, 12, &size, NULL));
        CHECK(strcmp("onetwothree!", text) == 0);

        feed_sealed(&peer, TOY_HANDSHAKE, request, 2); /* one is enough */
        CHECK_EQUAL(SCHAN_ERR_SSPI, schan_engine_read(engine, text, 3, &size, NULL));
        end();
    }
}

TEST(a_renegotiation_that_changes_the_peer_fails)
{
    for (int i = 0; i < 3; i++) {
        toy_peer peer = {0};
        schan_error err = {0};
        char text[4];
        size_t size = 0;
        open_client(allowing);
        toy.has_no_certificate = i == 0;
        toy.alpn_of_renegotiation = i == 1 ? "h3" : i == 2 ? "longer" : "h2";
        feed_sealed(&peer, TOY_HANDSHAKE, "R\x03", 2);
        feed(TOY_HANDSHAKE, "F", 1);
        CHECK_EQUAL(SCHAN_ERR_SSPI, schan_engine_read(engine, text, 4, &size, &err));
        CHECK_EQUAL(SCHAN_CAUSE_PEER_CHANGED, err.cause);
        end();
    }
}

TEST(a_renegotiation_that_is_not_allowed_fails)
{
    toy_peer peer = {0};
    schan_error err = {0};
    char text[4];
    size_t size = 0;

    open_client((schan_engine_config){0});
    feed_sealed(&peer, TOY_HANDSHAKE, "R\x03", 2);
    CHECK_EQUAL(SCHAN_ERR_SSPI, schan_engine_read(engine, text, 4, &size, &err));
    CHECK_EQUAL(SEC_I_RENEGOTIATE, err.status);
    end();
}

TEST(a_renegotiation_that_goes_wrong_fails)
{
    for (int i = 0; i < 5; i++) {
        toy_peer peer = {0};
        schan_error err = {0};
        char text[4];
        size_t size = 0;
        open_client(allowing);
        toy.start_status = i == 0 ? SEC_E_INTERNAL_ERROR : i == 3 ? SEC_E_OK : 0;
        toy.failing_query = i == 1 ? SECPKG_ATTR_STREAM_SIZES : 0;
        feed_sealed(&peer, TOY_HANDSHAKE, "R\x03", 2);
        if (i == 2) {
            feed_sealed(&peer, TOY_ALERT, "\x01\x00", 2);
        }
        if (i == 3) {
            feed_sealed(&peer, TOY_DATA, "", 0);
        }
        if (i == 4) {
            feed(TOY_DATA, "of another connection", 21);
        }
        feed(TOY_HANDSHAKE, i == 3 ? "X" : "F", 1);
        CHECK(schan_engine_read(engine, text, 4, &size, &err) < 0);
        CHECK_EQUAL(SCHAN_STATE_FAILED, schan_engine_state(engine));
        end();
    }
}

/* -------------------------------------------------------- chosen credential */

TEST(a_client_is_asked_once_and_goes_on_with_its_choice)
{
    for (int presents = 0; presents < 2; presents++) {
        begin(false, (schan_engine_config){.asks_for_credential = 1});
        toy.has_issuers = true;
        schan_credential *choice = make_credential(false, true, false);
        CHECK_EQUAL(SCHAN_ERR_MISUSE,
                    schan_engine_provide_credential(engine, choice, NULL));
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        feed(TOY_HANDSHAKE, "C", 1);
        CHECK_EQUAL(SCHAN_WANT_CREDENTIAL, schan_engine_handshake(engine, NULL));
        CHECK_EQUAL(SCHAN_WANT_CREDENTIAL, schan_engine_handshake(engine, NULL));
        CHECK_EQUAL(6, schan_engine_issuer(engine, 0).size);
        CHECK_EQUAL(0, schan_engine_issuer(engine, 1).size);
        CHECK_EQUAL(0, schan_engine_issuer(engine, 2).size);
        CHECK_EQUAL(SCHAN_OK, schan_engine_provide_credential(
                                  engine, presents ? choice : NULL, NULL));
        CHECK_EQUAL(0, schan_engine_issuer(engine, 0).size);
        schan_credential_free(choice);
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        feed(TOY_HANDSHAKE, "F", 1);
        CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
        schan_verdict good = {0};
        CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
        end();
    }
}

TEST(a_wrong_credential_is_no_choice)
{
    schan_library *other = NULL;
    const schan_credential_config config = {.protocols = 15};
    schan_credential *stranger = NULL;

    begin(false, (schan_engine_config){.asks_for_credential = 1});
    schan_credential *server = make_credential(true, true, false);
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&other, &table, library->system, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&stranger, other, &config, NULL));
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, "C", 1);
    CHECK_EQUAL(SCHAN_WANT_CREDENTIAL, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_engine_provide_credential(engine, server, NULL));
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_engine_provide_credential(engine, stranger, NULL));
    schan_credential_free(server);
    schan_credential_free(stranger);
    schan_library_free(other);
    end();
}

TEST(the_token_with_the_identity_waits_for_the_verdict)
{
    for (int i = 0; i < 3; i++) {
        schan_verdict verdict = {.reason =
                                     i == 0 ? SCHAN_REASON_NONE : SCHAN_REASON_EXPIRED};
        begin(false, (schan_engine_config){0});
        schan_engine_free(engine);
        schan_credential_free(credential);
        credential = make_credential(false, true, false);
        const schan_engine_config config = {.protocols = 15};
        CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        size_t before = schan_engine_unsent(engine);
        feed(TOY_HANDSHAKE, "F", 1);
        CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
        CHECK_EQUAL(before, schan_engine_unsent(engine));
        if (i == 2) {
            CHECK_EQUAL(SCHAN_OK, schan_engine_shutdown(engine, NULL));
        } else {
            CHECK_EQUAL(i == 0 ? SCHAN_OK : SCHAN_ERR_CERTIFICATE,
                        schan_engine_verified(engine, &verdict, NULL));
        }
        CHECK_EQUAL(i == 0, schan_engine_unsent(engine) > before); /* B85 */
        CHECK_EQUAL(0, provider_calls.controlled);
        end();
    }
}

/* ----------------------------------------------------------------- sessions */

TEST(sessions_that_are_forbidden_are_not_resumed)
{
    static const struct {
        DWORD build;
        SECURITY_STATUS control;
        unsigned hellos;
    } cases[] = {
        {26100, SEC_E_OK, 1}, {19045, SEC_E_OK, 2}, {19045, SEC_E_INTERNAL_ERROR, 1}};

    for (size_t i = 0; i < 3; i++) {
        begin(false, (schan_engine_config){0});
        schan_engine_free(engine);
        schan_credential_free(credential);
        credential = make_credential(false, false, true);
        const schan_engine_config config = {.protocols = 15};
        CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
        system_memory.build = cases[i].build;
        toy.control_status = cases[i].control;
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        CHECK_EQUAL(cases[i].hellos, provider_calls.initialized); /* B13 */
        CHECK_EQUAL(cases[i].control == SEC_E_OK,
                    schan_engine_resumption_is_off(engine));
        end();
    }
}

/* -------------------------------------------------------------------- Wine */

TEST(wine_is_known_by_its_own_table_alone)
{
    schan_library *made = NULL;
    schan_error err = {0};

    begin(false, (schan_engine_config){0});
    stand_in.wine_version = "8.0";
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&made, &table, library->system, NULL));
    CHECK(!made->quirks.close_notify_is_empty); /* a table of the caller's */
    schan_library_free(made);
    stand_in.own_table = &table;
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&made, NULL, library->system, NULL));
    CHECK(made->quirks.close_notify_is_empty && made->quirks.handles_are_unlocked);
    CHECK((const void *)schan_library_function_table(made) == &table);
    schan_sspi_enter(made, 1);
    schan_sspi_leave(made, 1);
    schan_sspi_enter(made, 0);
    schan_sspi_leave(made, 0);
    schan_library_free(made);
    stand_in.wine_version = "10.0";
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&made, NULL, library->system, NULL));
    CHECK(made->quirks.close_notify_is_empty && !made->quirks.handles_are_unlocked);
    schan_library_free(made);
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&made, NULL, NULL, NULL));
    CHECK(made->quirks.keys_are_capi_only);
    schan_library_free(made);
    stand_in.own_table = NULL;
    stand_in.wine_version = NULL;
    CHECK_EQUAL(SCHAN_ERR_SYSTEM,
                schan_library_new(&made, NULL, library->system, &err));
    CHECK(strcmp("InitSecurityInterface", err.call) == 0);
    end();
}

TEST(a_close_notify_of_wine_is_told_by_its_size)
{
    static const char alert[14] = {1};
    schan_verdict good = {0};
    schan_info info = {0};
    toy_peer peer = {0};
    char text[4];
    size_t size = 0;

    begin(false, (schan_engine_config){0});
    library->quirks.close_notify_is_empty = true;
    library->quirks.protocol_zero_is_tls13 = true;
    toy.protocol = 0;
    toy.tells_no_close = true;
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, "F", 1);
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_info(engine, &info, NULL));
    CHECK_EQUAL(SCHAN_TLS_1_3, info.protocol);
    feed_sealed(&peer, TOY_DATA, "data of 14 b", 12);
    feed_sealed(&peer, TOY_DATA, "", 0); /* empty, but of another size */
    CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, text, 4, &size, NULL));
    schan_engine_consume(engine, 8);
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_read(engine, text, 4, &size, NULL));
    feed_sealed(&peer, TOY_ALERT, alert, sizeof(alert));
    CHECK_EQUAL(SCHAN_CLOSED, schan_engine_read(engine, text, 4, &size, NULL));
    CHECK(schan_engine_peer_closed(engine));
    end();
}

/* ------------------------------------------------------------ what is too much */

static uint8_t large[TOY_HEADER + TOY_MOST_DATA + TOY_TRAILER];

static void feed_large(const char *letters)
{
    static uint8_t body[TOY_MOST_DATA];

    memcpy(body, letters, 2);
    size_t size = toy_clear_record(large, TOY_HANDSHAKE, body, sizeof(body));
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, large, size, NULL));
}

TEST(a_large_handshake_that_fails_is_told_as_such)
{
    for (int is_endless = 0; is_endless < 2; is_endless++) {
        schan_error err = {0};
        begin(false, (schan_engine_config){0});
        schan_result result = schan_engine_handshake(engine, &err);
        for (int i = 0; i < 40 && result == SCHAN_WANT_READ; i++) {
            feed_large(is_endless ? "L" : i < 5 ? "S" : "X");
            result = schan_engine_handshake(engine, &err);
        }
        CHECK_EQUAL(SCHAN_ERR_HANDSHAKE, result);
        CHECK_EQUAL(SCHAN_CAUSE_LARGE_HANDSHAKE, err.cause);
        end();
    }
}

TEST(a_renegotiation_puts_no_more_aside_than_a_mebibyte)
{
    static uint8_t data[TOY_MOST_DATA];
    const schan_span span = {(const uint8_t *)"x", 1};
    toy_peer peer = {0};
    size_t size = 0;
    size_t read = 0;
    schan_result result = SCHAN_WANT_READ;

    open_client(allowing);
    feed_sealed(&peer, TOY_HANDSHAKE, "R\x03", 2);
    CHECK_EQUAL(0, schan_engine_pending(engine));
    for (int i = 0; i < 100 && result == SCHAN_WANT_READ; i++) {
        size = toy_seal(&peer, large, TOY_DATA, data, sizeof(data));
        CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, large, size, NULL));
        result = schan_engine_write(engine, &span, 1, &size, NULL);
    }
    CHECK_EQUAL(SCHAN_ERR_SSPI, result);
    while (schan_engine_read(engine, data, sizeof(data), &size, NULL) == SCHAN_OK) {
        read += size; /* what was decrypted before the failure is not lost (B67) */
    }
    CHECK_EQUAL(0, read % sizeof(data));
    CHECK(read > (1U << 20U) && read < (1U << 20U) + 3 * sizeof(data));
    end();
}

TEST(an_end_point_of_a_server_is_its_own_certificate)
{
    uint8_t digest[64];
    size_t size = 0;

    for (int is_there = 0; is_there < 2; is_there++) {
        begin(true, (schan_engine_config){0});
        toy.has_no_local_certificate = !is_there;
        feed(TOY_HANDSHAKE, "F", 1);
        CHECK_EQUAL(SCHAN_OK, schan_engine_handshake(engine, NULL));
        CHECK_EQUAL(is_there ? SCHAN_OK : SCHAN_ERR_SSPI,
                    schan_engine_channel_binding(engine, SCHAN_BINDING_SERVER_END_POINT,
                                                 digest, sizeof(digest), &size, NULL));
        CHECK_EQUAL(is_there ? 32 : 0, size);
        end();
    }
}

TEST(bytes_that_windows_cannot_count_are_refused)
{
    const schan_span huge = {(const uint8_t *)"x", (size_t)1 << 31U};
    const uint8_t *const roots[] = {huge.data};
    const size_t sizes[] = {huge.size};
    const schan_identity_config config = {0};
    schan_identity *identity = NULL;
    schan_trust *trust = NULL;
    uint8_t digest[32];
    size_t size = 0;
    int64_t from = 0;
    int64_t until = 0;

    begin(false, (schan_engine_config){0});
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                schan_identity_from_pfx(&identity, library, huge, NULL, &config, NULL));
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                schan_identity_from_key(&identity, library, &huge, 1, SCHAN_KEY_RSA,
                                        huge, &config, NULL));
    CHECK(schan_digest(library, SCHAN_SHA256, huge, digest, 32, &size, NULL) < 0);
    CHECK(schan_certificate_validity(library, huge, &from, &until, NULL) < 0);
    CHECK_EQUAL(SCHAN_ERR_SYSTEM,
                schan_trust_from_roots(&trust, library, roots, sizes, 1, 1, NULL));
    end();
}

static void no_memory_from_now_on(void)
{
    stand_in.allocations = 0;
    stand_in.failing_allocation = 1;
}

TEST(no_memory_for_what_must_leave_is_told)
{
    schan_verdict good = {0};

    for (int i = 0; i < 2; i++) {
        begin(false, (schan_engine_config){0});
        schan_engine_free(engine);
        schan_credential_free(credential);
        credential = make_credential(false, true, false);
        const schan_engine_config config = {.protocols = 15};
        CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
        CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
        feed(TOY_HANDSHAKE, "F", 1);
        if (i == 0) {
            no_memory_from_now_on(); /* for the token that is held */
            CHECK_EQUAL(SCHAN_ERR_MEMORY, schan_engine_handshake(engine, NULL));
        } else {
            CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
            schan__buffer_free(&engine->outgoing);
            no_memory_from_now_on();
            CHECK_EQUAL(SCHAN_ERR_MEMORY, schan_engine_verified(engine, &good, NULL));
        }
        stand_in.failing_allocation = 0;
        CHECK_EQUAL(SCHAN_STATE_FAILED, schan_engine_state(engine));
        end();
    }
}

TEST(no_memory_for_what_the_peer_sent_or_for_anchors_is_told)
{
    schan_trust *trust = NULL;
    const uint8_t *const roots[] = {(const uint8_t *)"root"};
    const size_t sizes[] = {4};
    bool is_over = false;

    for (unsigned failing = 1; !is_over; failing++) {
        begin(true, (schan_engine_config){.client_authentication = 1});
        feed(TOY_HANDSHAKE, "F", 1);
        stand_in.allocations = 0;
        stand_in.failing_allocation = failing;
        schan_result result = schan_engine_handshake(engine, NULL);
        is_over = stand_in.allocations < failing;
        stand_in.failing_allocation = 0;
        CHECK_EQUAL(is_over ? SCHAN_WANT_VERIFY : SCHAN_ERR_MEMORY, result);
        no_memory_from_now_on();
        CHECK_EQUAL(SCHAN_ERR_MEMORY,
                    schan_trust_from_roots(&trust, library, roots, sizes, 1, 1, NULL));
        stand_in.failing_allocation = 0;
        end();
    }
}

TEST(a_room_that_windows_cannot_count_is_misuse)
{
    const schan_span der = {(const uint8_t *)"der", 3};
    wchar_t text[1];
    size_t size = 0;

    begin(false, (schan_engine_config){0});
    CHECK_EQUAL(SCHAN_ERR_MISUSE,
                schan_certificate_name(library, der, SCHAN_NAME_SUBJECT, text,
                                       (size_t)1 << 31U, &size, NULL));
    end();
}

TEST(a_peer_that_only_asks_for_new_keys_fills_no_memory)
{
    schan_verdict good = {0};
    toy_peer peer = {0};
    schan_error err = {0};
    char text[4];
    size_t size = 0;
    schan_result result = SCHAN_WANT_READ;

    begin(false, (schan_engine_config){0});
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    feed(TOY_HANDSHAKE, "F", 1);
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
    for (int i = 0; i < 200000 && result == SCHAN_WANT_READ; i++) {
        feed_sealed(&peer, TOY_HANDSHAKE, "K\x00", 2);
        result = schan_engine_read(engine, text, 4, &size, &err);
    }
    CHECK_EQUAL(SCHAN_ERR_SSPI, result);
    CHECK_EQUAL(SCHAN_CAUSE_UNREAD_ANSWERS, err.cause);
    CHECK(schan_engine_unsent(engine) < (1U << 20U) + 100);
    end();
}
