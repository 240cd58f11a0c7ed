/*
 * fuzz_statuses.c - the fuzzer is SSPI: each call answers what the input says, while an
 * application does what applications do; what was decrypted must be read, in order
 */
#include <stdlib.h>

#include "chaos.h"
#include "schan.h"
#include "system_memory.h"

static choices input;
static schan_engine *engine;
static schan_credential *choice; /* for a client that is asked */
static uint64_t read_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true, const char *text)
{
    if (!is_true) {
        stand_in_abort(text);
    }
}

static void judge(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        must(data[i] == chaos_byte(read_bytes + i), "other data than was decrypted");
    }
    read_bytes += size;
    must(read_bytes <= chaos_given(), "more data than was decrypted");
}

static void feed_record(void)
{
    uint8_t record[5 + 255] = {0x17, 3, 3, 0, choose_byte(&input)};
    uint8_t kind = choose_byte(&input);

    if (kind >= 200) {
        record[0] = (uint8_t)(20 + kind % 5);
    }
    record[5] = kind; /* of an alert: its level */
    record[6] = kind;
    (void)!schan_engine_feed(engine, record, 5U + record[4], NULL);
}

static void feed_raw(void)
{
    size_t size = 0;
    const uint8_t *bytes = choose_bytes(&input, choose_byte(&input), &size);

    (void)!schan_engine_feed(engine, bytes, size, NULL);
}

static void read_some(void)
{
    schan_error err = {0};
    size_t capacity = 1 + choose_size(&input, 40000);
    size_t size = 0;
    uint8_t *room = malloc(capacity);

    schan_result result = schan_engine_read(engine, room, capacity, &size, &err);
    must((result == SCHAN_OK) == (size > 0) && size <= capacity, "read: its size");
    judge(room, size);
    free(room);
}

static void peek_some(void)
{
    schan_span view = {0};

    if (schan_engine_peek(engine, &view, NULL) == SCHAN_OK) {
        size_t size = view.size < choose_byte(&input) ? view.size : view.size / 2;
        judge(view.data, size);
        schan_engine_consume(engine, size);
    }
}

static void write_some(void)
{
    static uint8_t data[40000];
    size_t consumed = 0;
    const schan_span spans[] = {{data, choose_size(&input, sizeof(data))},
                                {data, choose_byte(&input)}};

    schan_result result = schan_engine_write(engine, spans, 2, &consumed, NULL);
    must(consumed <= spans[0].size + spans[1].size, "write: more than was given");
    must(result != SCHAN_OK || consumed == spans[0].size + spans[1].size,
         "write: SCHAN_OK, and not all was taken");
}

static void drain_some(void)
{
    static uint8_t sink[200000];
    size_t size = 0;

    schan_engine_drain(engine, sink, choose_size(&input, sizeof(sink)), &size);
}

static void look_around(void)
{
    schan_info info = {0};

    (void)schan_engine_pending(engine);
    (void)schan_engine_left_over(engine);
    (void)!schan_engine_info(engine, &info, NULL);
}

static void handshake(void)
{
    schan_error err = {0};
    schan_verdict verdict = {0};

    if (schan_engine_handshake(engine, &err) == SCHAN_WANT_VERIFY) {
        verdict.reason = (schan_reason)(choose(&input, 20) == 19);
        (void)!schan_engine_verified(engine, &verdict, NULL);
    }
}

static void provide(void)
{
    size_t index = choose(&input, 5);

    (void)schan_engine_issuer(engine, index);
    (void)!schan_engine_provide_credential(engine, index == 4 ? NULL : choice, NULL);
}

static void bind(void)
{
    static uint8_t room[300];
    schan_error err = {0};
    size_t size = 0;
    size_t capacity = choose(&input, 80);
    const schan_span context = {(const uint8_t *)"context", choose(&input, 8)};

    schan_result result = schan_engine_channel_binding(
        engine, (schan_channel_binding)choose(&input, 5), room, capacity, &size, &err);
    must(result == SCHAN_OK ? size > 0 && size <= capacity : size == 0,
         "a channel binding's size");
    result = schan_engine_export(engine, "label", context, room, capacity, &err);
    must(result != SCHAN_OK || capacity > 0, "keying material of no size");
}

static void shut_down(void)
{
    (void)!schan_engine_shutdown(engine, NULL);
}

static void end_input(void)
{
    schan_engine_feed_eof(engine);
}

static void (*const steps[])(void) = {
    handshake,   feed_record, read_some, write_some, peek_some, drain_some, feed_raw,
    look_around, feed_record, shut_down, end_input,  handshake, provide,    bind,
};

/* The first byte: bit 0 ALPN, bit 1 the role, bit 2 what else the role may do, bits 3 and 4
 * an identity, to present or to choose. */
static void make_engine(schan_library *library)
{
    static const uint8_t alpn[] = "\x02h2";
    const uint32_t protocols = SCHAN_TLS_1_2 | SCHAN_TLS_1_3;
    uint8_t knobs = choose_byte(&input);
    bool is_server = (knobs & 2U) != 0;
    bool does_more = (knobs & 4U) != 0;
    schan_credential_config wanted = {.protocols = protocols, .is_server = is_server};
    const schan_engine_config config = {
        .server_name = L"a.example",
        .alpn_protocols = alpn,
        .alpn_size = (knobs & 1U) != 0 ? 3 : 0,
        .protocols = protocols,
        .renegotiation = does_more && !is_server,
        .asks_for_credential = does_more && !is_server,
        .client_authentication = does_more && is_server ? 1 + (knobs >> 3U & 1U) : 0};
    schan_identity *identity = is_server || (knobs & 24U) != 0
                                   ? system_identity(library, SCHAN_KEY_RSA)
                                   : NULL;
    schan_credential *credential = NULL;

    provider_may_be_asked = does_more;
    wanted.disable_resumption = (knobs & 32U) != 0;
    wanted.identity = is_server || (knobs & 8U) != 0 ? identity : NULL;
    if (schan_credential_new(&credential, library, &wanted, NULL) == SCHAN_OK) {
        (void)!schan_engine_new(&engine, credential, &config, NULL);
    }
    schan_credential_free(credential);
    wanted.identity = identity;
    if (!is_server) {
        (void)!schan_credential_new(&choice, library, &wanted, NULL);
    }
    schan_identity_free(identity);
}

static void read_all(void)
{
    read_some();
    schan_state state = schan_engine_state(engine);
    for (uint64_t before = read_bytes; state >= SCHAN_STATE_OPEN; before = read_bytes) {
        read_some();
        if (before == read_bytes) {
            must(read_bytes == chaos_given(), "decrypted data is lost (B59, B67)");
            break;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    schan_library *library = NULL;

    input = (choices){data, size, 0};
    engine = NULL;
    choice = NULL;
    read_bytes = 0;
    const schan_system *system = system_begin(NULL);
    must(schan_library_new(&library, chaos_begin(&input), system, NULL) == SCHAN_OK,
         "");
    make_engine(library);
    if (engine != NULL) {
        while (!choices_are_over(&input)) {
            steps[choose(&input, sizeof(steps) / sizeof(steps[0]))]();
        }
        read_all();
    }
    schan_engine_free(engine);
    schan_credential_free(choice);
    schan_library_free(library);
    provider_end();
    system_end();
    return 0;
}
