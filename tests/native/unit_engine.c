/* unit_engine.c - walks of the engine over the toy TLS, with sanitizers and without memory */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_credential *credential;

static const schan_credential_config wanted = {.protocols =
                                                   SCHAN_TLS_1_2 | SCHAN_TLS_1_3};
static const schan_engine_config config = {
    .server_name = L"mail.example",
    .alpn_protocols = (const uint8_t *)"\x02h2",
    .alpn_size = 3,
    .protocols = SCHAN_TLS_1_2 | SCHAN_TLS_1_3,
};

static schan_result begin(schan_engine **engine)
{
    const schan_system *system = system_begin(NULL);
    const SecurityFunctionTableW *table = toy_begin();

    *engine = NULL;
    credential = NULL;
    schan_result result = schan_library_new(&library, table, system, NULL);
    if (result == SCHAN_OK) {
        result = schan_credential_new(&credential, library, &wanted, NULL);
    }
    return result == SCHAN_OK ? schan_engine_new(engine, credential, &config, NULL)
                              : result;
}

static void end(schan_engine *engine)
{
    schan_library_free(library); /* before what was made from it: that is allowed */
    schan_credential_free(credential);
    schan_engine_free(engine);
    library = NULL;
    provider_end();
    system_end();
}

static size_t hello(uint8_t *out)
{
    size_t size = toy_clear_record(out, TOY_HANDSHAKE, "S\x01", 2);

    return size + toy_clear_record(out + size, TOY_HANDSHAKE, "F", 1);
}

static schan_result open_engine(schan_engine *engine, toy_peer *peer)
{
    uint8_t bytes[64];
    uint8_t sink[4096];
    size_t size = hello(bytes);
    schan_verdict verdict = {0};

    *peer = (toy_peer){0};
    schan_result result = schan_engine_handshake(engine, NULL);
    if (result != SCHAN_WANT_READ) {
        return result;
    }
    result = schan_engine_feed(engine, bytes, size, NULL);
    if (result == SCHAN_OK) {
        result = schan_engine_handshake(engine, NULL);
    }
    schan_engine_drain(engine, sink, sizeof(sink), &size);
    return result == SCHAN_WANT_VERIFY ? schan_engine_verified(engine, &verdict, NULL)
                                       : result;
}

TEST(handshake_and_data_survive_every_split)
{
    for (size_t piece = 1; piece < 60; piece++) {
        schan_engine *engine = NULL;
        toy_peer peer = {0};
        uint8_t bytes[128];
        char text[32] = {0};
        size_t size = hello(bytes);
        size_t read = 0;
        schan_verdict good = {0};
        CHECK_EQUAL(SCHAN_OK, begin(&engine));
        size += toy_seal(&peer, bytes + size, TOY_DATA, "220 ready", 9);
        size += toy_seal(&peer, bytes + size, TOY_DATA, "\r\n", 2);
        schan_result result = schan_engine_handshake(engine, NULL);

        for (size_t at = 0; at < size; at += piece) {
            size_t part = piece < size - at ? piece : size - at;
            CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes + at, part, NULL));
            result = schan_engine_handshake(engine, NULL);
            if (result == SCHAN_WANT_VERIFY) {
                CHECK_EQUAL(SCHAN_OK, schan_engine_verified(engine, &good, NULL));
            }
        }

        CHECK_EQUAL(SCHAN_OK, result == SCHAN_WANT_VERIFY ? SCHAN_OK : result);
        CHECK_EQUAL(SCHAN_OK,
                    schan_engine_read(engine, text, sizeof(text), &read, NULL));
        CHECK(strcmp("220 ready\r\n", text) == 0);
        end(engine);
    }
}

TEST(written_data_arrives_for_every_size_around_a_record)
{
    static const size_t sizes[] = {1, 15, 16, 17, 31, 32, 33, 160};
    static uint8_t data[160];
    static uint8_t records[16384];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        schan_engine *engine = NULL;
        toy_peer peer = {0};
        size_t consumed = 0;
        size_t size = 0;
        size_t arrived = 0;
        const schan_span spans[] = {{data, sizes[i] / 2},
                                    {data + sizes[i] / 2, sizes[i] - sizes[i] / 2}};
        CHECK_EQUAL(SCHAN_OK, begin(&engine));
        toy.sizes.cbMaximumMessage = 16;
        CHECK_EQUAL(SCHAN_OK, open_engine(engine, &peer));
        for (size_t k = 0; k < sizeof(data); k++) {
            data[k] = (uint8_t)k;
        }

        CHECK_EQUAL(SCHAN_OK, schan_engine_write(engine, spans, 2, &consumed, NULL));
        schan_engine_drain(engine, records, sizeof(records), &size);

        CHECK_EQUAL(sizes[i], consumed);
        CHECK_EQUAL((sizes[i] + 15) / 16, provider_calls.encrypted);
        for (size_t at = 0; at < size;) {
            uint8_t inner = 0;
            uint8_t *plain = NULL;
            size_t plain_size = 0;
            size_t whole =
                TOY_HEADER + ((size_t)records[at + 3] << 8U | records[at + 4]);
            CHECK(toy_open(&peer, records + at, whole, &inner, &plain, &plain_size));
            CHECK(memcmp(plain, data + arrived, plain_size) == 0);
            arrived += plain_size;
            at += whole;
        }
        CHECK_EQUAL(sizes[i], arrived);
        end(engine);
    }
}

TEST(write_stops_when_records_wait_and_goes_on_after_drain)
{
    static uint8_t data[400000];
    static uint8_t sink[300000];
    schan_engine *engine = NULL;
    toy_peer peer = {0};
    size_t consumed = 0;
    size_t size = 0;
    const schan_span span = {data, sizeof(data)};

    CHECK_EQUAL(SCHAN_OK, begin(&engine));
    CHECK_EQUAL(SCHAN_OK, open_engine(engine, &peer));

    CHECK_EQUAL(SCHAN_WANT_WRITE,
                schan_engine_write(engine, &span, 1, &consumed, NULL));
    CHECK(consumed >= 128000 && consumed < 150000);
    schan_engine_drain(engine, sink, sizeof(sink), &size);
    CHECK(size > consumed);
    const schan_span rest = {data + consumed, 1000};
    CHECK_EQUAL(SCHAN_OK, schan_engine_write(engine, &rest, 1, &consumed, NULL));
    CHECK_EQUAL(1000, consumed);
    end(engine);
}

TEST(data_before_a_broken_record_is_read_before_the_failure)
{
    schan_engine *engine = NULL;
    toy_peer peer = {0};
    uint8_t bytes[128];
    char text[32] = {0};
    size_t read = 0;
    schan_error err = {0};

    CHECK_EQUAL(SCHAN_OK, begin(&engine));
    CHECK_EQUAL(SCHAN_OK, open_engine(engine, &peer));
    size_t size = toy_seal(&peer, bytes, TOY_DATA, "whole", 5);
    size_t first = size;
    size += toy_seal(&peer, bytes + size, TOY_DATA, "broken", 6);
    bytes[first + TOY_HEADER] ^= 1;
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));

    CHECK_EQUAL(SCHAN_OK, schan_engine_read(engine, text, sizeof(text), &read, &err));
    CHECK(strcmp("whole", text) == 0);
    for (int i = 0; i < 2; i++) { /* B67: never decrypted again */
        CHECK_EQUAL(SCHAN_ERR_SSPI,
                    schan_engine_read(engine, text, sizeof(text), &read, &err));
        CHECK_EQUAL(SEC_E_MESSAGE_ALTERED, err.status);
    }
    CHECK_EQUAL(2, provider_calls.decrypted);
    end(engine);
}

TEST(post_handshake_messages_of_every_shape_leave_the_data_whole)
{
    static const char letters[] = "TKMA";

    for (unsigned i = 0; i < 12; i++) {
        schan_engine *engine = NULL;
        toy_peer peer = {0};
        uint8_t bytes[256];
        char text[32] = {0};
        size_t read = 0;
        const uint8_t body[] = {2, 'h', 'i', (uint8_t)letters[i / 3], (uint8_t)(i % 3)};
        CHECK_EQUAL(SCHAN_OK, begin(&engine));
        CHECK_EQUAL(SCHAN_OK, open_engine(engine, &peer));
        size_t size =
            toy_seal(&peer, bytes, TOY_DATA_AND_HANDSHAKE, body, sizeof(body));
        if (letters[i / 3] == 'M') {
            size += toy_seal(&peer, bytes + size, TOY_HANDSHAKE, "m", 1);
        } else if (letters[i / 3] == 'A') {
            size += toy_clear_record(bytes + size, TOY_HANDSHAKE, "F", 1);
        }
        size += toy_seal(&peer, bytes + size, TOY_DATA, " there", 6);

        for (size_t at = 0; at < size; at++) {
            CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes + at, 1, NULL));
            size_t more = 0;
            (void)!schan_engine_read(engine, text + read, sizeof(text) - read, &more,
                                     NULL);
            read += more;
        }

        CHECK(strcmp("hi there", text) == 0);
        CHECK_EQUAL(SCHAN_STATE_OPEN, schan_engine_state(engine));
        end(engine);
    }
}

TEST(every_way_to_no_memory_is_told_and_leaks_nothing)
{
    unsigned failures = 0;
    bool is_through = false;

    for (unsigned failing = 1; !is_through; failing++) {
        schan_engine *engine = NULL;
        toy_peer peer = {0};
        uint8_t bytes[256];
        uint8_t sink[64];
        size_t size = 0;
        stand_in.allocations = 0;
        stand_in.failing_allocation = failing;
        const uint8_t body[] = {2, 'h', 'i', 'K', 0};

        schan_result result = begin(&engine);
        if (result == SCHAN_OK) {
            result = open_engine(engine, &peer);
        }
        if (result == SCHAN_OK) {
            const schan_span span = {sink, sizeof(sink)};
            size = toy_seal(&peer, bytes, TOY_DATA_AND_HANDSHAKE, body, sizeof(body));
            result = schan_engine_feed(engine, bytes, size, NULL);
            result = result == SCHAN_OK
                         ? schan_engine_read(engine, sink, 1, &size, NULL)
                         : result;
            result = result == SCHAN_OK
                         ? schan_engine_write(engine, &span, 1, &size, NULL)
                         : result;
        }

        is_through = stand_in.allocations < failing;
        CHECK(is_through || result < 0);
        failures += result == SCHAN_ERR_MEMORY;
        stand_in.failing_allocation = 0;
        end(engine);
    }
    CHECK(failures >= 6);
}

TEST(alert_in_the_clear_is_told_with_its_number)
{
    schan_engine *engine = NULL;
    uint8_t bytes[16];
    schan_error err = {0};
    CHECK_EQUAL(SCHAN_OK, begin(&engine));

    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    size_t size = toy_clear_record(bytes, TOY_ALERT, "\x02\x28", 2);
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));

    CHECK_EQUAL(SCHAN_ERR_ALERT, schan_engine_handshake(engine, &err));
    CHECK_EQUAL(40, err.alert);
    end(engine);
}

TEST(other_protocols_are_told_with_their_first_line)
{
    schan_engine *engine = NULL;
    schan_error err = {0};
    CHECK_EQUAL(SCHAN_OK, begin(&engine));

    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, "220 hello\r\n", 11, NULL));

    CHECK_EQUAL(SCHAN_ERR_PROTOCOL, schan_engine_handshake(engine, &err));
    CHECK(strcmp("220 hello", err.detail) == 0);
    end(engine);
}

typedef struct {
    const char *list;
    size_t size;
    schan_result result;
} alpn_case;

TEST(alpn_lists_that_are_malformed_are_misuse)
{
    static uint8_t long_list[65536];
    static const alpn_case cases[] = {
        {"\x02h2", 3, SCHAN_OK},
        {"\x02h2\x08http/1.1", 12, SCHAN_OK},
        {"", 0, SCHAN_OK},
        {"\x00", 1, SCHAN_ERR_MISUSE},
        {"\x02h", 2, SCHAN_ERR_MISUSE},
        {"\x03h2", 3, SCHAN_ERR_MISUSE},
        {"\x02h2\x01", 4, SCHAN_ERR_MISUSE},
        {"\x02h2\x00", 4, SCHAN_ERR_MISUSE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        schan_engine *engine = NULL;
        schan_engine_config given = config;
        CHECK_EQUAL(SCHAN_OK, begin(&engine));
        schan_engine_free(engine);
        uint8_t *copy = malloc(cases[i].size + 1);
        memcpy(copy + 1, cases[i].list, cases[i].size);
        given.alpn_protocols = copy + 1;
        given.alpn_size = cases[i].size;

        CHECK_EQUAL(cases[i].result,
                    schan_engine_new(&engine, credential, &given, NULL));
        CHECK((cases[i].result == SCHAN_OK) == (engine != NULL));
        free(copy);
        end(engine);
    }
    for (size_t i = 0; i < sizeof(long_list); i++) {
        long_list[i] = 1;
    }
    schan_engine *engine = NULL;
    schan_engine_config given = config;
    CHECK_EQUAL(SCHAN_OK, begin(&engine));
    schan_engine_free(engine);
    given.alpn_protocols = long_list;
    given.alpn_size = sizeof(long_list);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_engine_new(&engine, credential, &given, NULL));
    end(NULL);
}

TEST(older_structure_is_taken_when_windows_does_not_know_the_newer)
{
    const SECURITY_STATUS unknown[] = {SEC_E_UNKNOWN_CREDENTIALS,
                                       SEC_E_INVALID_PARAMETER,
                                       HRESULT_FROM_WIN32(ERROR_INVALID_PARAMETER)};

    for (size_t i = 0; i < 3; i++) {
        schan_engine *engine = NULL;
        CHECK_EQUAL(SCHAN_OK, begin(&engine));
        schan_engine_free(engine);
        schan_credential_free(credential);
        toy.acquire_statuses[0] = unknown[i];

        CHECK_EQUAL(SCHAN_OK,
                    schan_credential_new(&credential, library, &wanted, NULL));
        CHECK_EQUAL(SCHAN_KIND_SCHANNEL_CRED, schan_credential_kind(credential));
        end(NULL);
    }
}

TEST(flags_that_are_missing_fail_the_handshake)
{
    schan_engine *engine = NULL;
    toy_peer peer = {0};

    CHECK_EQUAL(SCHAN_OK, begin(&engine));
    toy.lacking_flags = ISC_RET_CONFIDENTIALITY;

    CHECK_EQUAL(SCHAN_ERR_HANDSHAKE, open_engine(engine, &peer));
    end(engine);
}
