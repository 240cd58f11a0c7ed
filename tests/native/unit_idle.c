/*
 * unit_idle.c - what the library holds of a connection on which nothing happens
 *
 * Idle is who has nothing to do: behind the handshake, between small questions and answers,
 * and when nothing has come. What bulk has made large stays between its calls until then.
 */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

enum { most_idle_bytes = 8192, upload_bytes = 1 << 20, records_of_download = 40 };

/* Counted in stand_in.live_bytes is all memory of csrc: nothing else there allocates
 * (tests/test_architecture.py). What SSPI and crypt32 hold themselves is not in it. */
typedef struct {
    const char *name;
    DWORD protocol; /* as SSPI tells it */
    bool is_server;
    bool has_identity;
    schan_engine_config config;
} kind;

static const wchar_t longest_name[] =
    L"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    L".bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    L".ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    L".ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
static const uint8_t offer[] = "\x02h2\x08http/1.1\x04imap";

#define NAMED    .server_name = longest_name
#define OFFERING .alpn_protocols = offer, .alpn_size = sizeof(offer) - 1

static const kind kinds[] = {
    {"client, 1.3, bare", SP_PROT_TLS1_3_CLIENT, false, false, {0}},
    {"client, 1.2, bare", SP_PROT_TLS1_2_CLIENT, false, false, {0}},
    {"client, 1.3, name", SP_PROT_TLS1_3_CLIENT, false, false, {NAMED}},
    {"client, 1.2, ALPN", SP_PROT_TLS1_2_CLIENT, false, false, {OFFERING}},
    {"client, 1.3, both", SP_PROT_TLS1_3_CLIENT, false, false, {NAMED, OFFERING}},
    {"client, 1.2, all",
     SP_PROT_TLS1_2_CLIENT,
     false,
     true,
     {NAMED, OFFERING, .renegotiation = SCHAN_RENEGOTIATION_ALLOW}},
    {"client, 1.3, all", SP_PROT_TLS1_3_CLIENT, false, true, {NAMED, OFFERING}},
    {"server, 1.3", SP_PROT_TLS1_3_SERVER, true, true, {0}},
    {"server, 1.2", SP_PROT_TLS1_2_SERVER, true, true, {0}},
    {"server, 1.3, all",
     SP_PROT_TLS1_3_SERVER,
     true,
     true,
     {OFFERING, .client_authentication = SCHAN_CLIENT_AUTH_REQUIRED}},
    {"server, 1.2, all",
     SP_PROT_TLS1_2_SERVER,
     true,
     true,
     {OFFERING, .client_authentication = SCHAN_CLIENT_AUTH_REQUIRED}},
};

static schan_library *library;
static schan_credential *credential;
static schan_socket *driver;
static uint8_t wire[1 << 20];
static size_t wire_size;
static size_t wire_taken;
static uint8_t answer[64]; /* comes as soon as it is waited for */
static size_t answer_size;
static toy_peer peer;
static size_t before; /* bytes that were alive without a connection */
static size_t busiest;

/* ------------------------------------------------------------------ Winsock */

static size_t held(void)
{
    return stand_in.live_bytes - before;
}

static void watch(void)
{
    busiest = held() > busiest ? held() : busiest;
}

static int on_receive(char *data, int size)
{
    size_t left = wire_size - wire_taken;
    size_t part = left < (size_t)size ? left : (size_t)size;

    watch();
    if (part == 0) {
        return -1;
    }
    memcpy(data, wire + wire_taken, part);
    wire_taken += part;
    return (int)part;
}

static int on_send(const char *data, int size)
{
    (void)data;
    watch();
    return size;
}

static int on_wait(bool readable, bool writable, uint32_t timeout_ms)
{
    memcpy(wire + wire_size, answer, answer_size);
    wire_size += answer_size;
    answer_size = 0;
    bool is_ready = writable || (readable && wire_taken < wire_size);

    stand_in.now_ms += is_ready ? 0 : timeout_ms;
    return is_ready;
}

/* ------------------------------------------------------------ one connection */

static void begin(const kind *wanted)
{
    const schan_system *system = system_begin(NULL);
    schan_credential_config config = {.protocols = 15, .is_server = wanted->is_server};

    system_memory.receive = on_receive;
    system_memory.send = on_send;
    system_memory.wait = on_wait;
    system_memory.socket_error = WSAEWOULDBLOCK;
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, toy_begin(), system, NULL));
    toy.protocol = wanted->protocol;
    toy.alpn = wanted->config.alpn_size > 0 ? "h2" : NULL;
    config.identity =
        wanted->has_identity ? system_identity(library, SCHAN_KEY_ECC) : NULL;
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &config, NULL));
    schan_identity_free(config.identity);
}

static void open_connection(schan_engine_config config)
{
    schan_engine *engine = NULL;
    schan_verdict good = {0};

    before = stand_in.live_bytes;
    busiest = 0;
    peer = (toy_peer){0};
    config.protocols = 15;
    CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_socket_new(&driver, engine, 7, NULL));
    wire_taken = 0;
    wire_size = toy_clear_record(wire, TOY_HANDSHAKE, "S\x01", 2);
    wire_size += toy_clear_record(wire + wire_size, TOY_HANDSHAKE, "F", 1);
    schan_result result = schan_socket_handshake(driver, 1000, NULL);
    if (result == SCHAN_WANT_VERIFY) {
        result = schan_engine_verified(engine, &good, NULL);
    }
    CHECK_EQUAL(SCHAN_OK, result);
}

static void end(void)
{
    schan_socket_free(driver);
    CHECK_EQUAL(0, held());
    schan_credential_free(credential);
    schan_library_free(library);
    provider_end();
    system_end();
    CHECK_EQUAL(0, stand_in.live_bytes);
}

/* ------------------------------------------------------------- what it does */

static uint8_t data[upload_bytes];

static void upload(void)
{
    const schan_span span = {data, sizeof(data)};
    size_t size = 0;

    CHECK_EQUAL(SCHAN_OK, schan_socket_send(driver, &span, 1, &size, 1000, NULL));
    CHECK_EQUAL(sizeof(data), size);
}

static void arrive(uint8_t inner, const void *body, size_t size)
{
    wire_size += toy_seal(&peer, wire + wire_size, inner, body, size);
}

static void read_all(size_t wanted)
{
    size_t total = 0;

    while (total < wanted) {
        size_t size = 0;
        CHECK_EQUAL(SCHAN_OK,
                    schan_socket_recv(driver, data, sizeof(data), &size, 1000, NULL));
        total += size;
    }
    CHECK_EQUAL(wanted, total);
}

/* Records of the greatest size, many at once. */
static void download(void)
{
    wire_size = wire_taken = 0;
    for (int i = 0; i < records_of_download; i++) {
        arrive(TOY_DATA, data, TOY_MOST_DATA);
    }
    read_all((size_t)records_of_download * TOY_MOST_DATA);
}

/* Somebody waits for what does not come: one look of 100 ms. */
static void wait_in_vain(void)
{
    uint8_t byte = 0;
    size_t size = 0;

    CHECK_EQUAL(SCHAN_WANT_TIME, schan_socket_recv(driver, &byte, 1, &size, 100, NULL));
}

static void check_idle(const char *name)
{
    wait_in_vain();
    fprintf(stderr, "%s: idle %zu bytes, busy %zu\n", name, held(), busiest);
    CHECK(busiest > most_idle_bytes); /* else there was nothing to give back */
    CHECK(held() <= most_idle_bytes);
    busiest = 0;
}

TEST(an_idle_connection_holds_8_kib_at_most)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        begin(&kinds[i]);
        open_connection(kinds[i].config);
        check_idle(kinds[i].name);
        for (int round = 0; round < 2;
             round++) { /* what it gave back, it takes again */
            download();
            check_idle("after receiving");
            upload();
            check_idle("after sending");
        }
        end();
    }
}

/* B26, B59: what was put aside has been read, and its room is not needed any more. */
TEST(an_idle_connection_keeps_no_room_for_data_put_aside)
{
    begin(&kinds[5]);
    open_connection(kinds[5].config);
    toy.alpn_of_renegotiation = toy.alpn;
    wire_size = wire_taken = 0;
    arrive(TOY_HANDSHAKE, "R\0", 2);
    arrive(TOY_DATA, data, TOY_MOST_DATA);
    arrive(TOY_DATA, data, TOY_MOST_DATA);
    wire_size += toy_clear_record(wire + wire_size, TOY_HANDSHAKE, "F", 1);
    read_all((size_t)2 * TOY_MOST_DATA);
    check_idle("after a renegotiation");
    end();
}

/* A writer may carry the renegotiation on while a reader looks at what was put aside. */
TEST(a_view_of_data_put_aside_stays_where_it_is)
{
    const schan_span question = {(const uint8_t *)"question", 8};
    schan_span view = {0};
    size_t size = 0;

    begin(&kinds[1]);
    provider_may_be_asked = true;
    open_connection((schan_engine_config){.asks_for_credential = 1,
                                          .renegotiation = SCHAN_RENEGOTIATION_ALLOW});
    memset(data, 'd', 3000);
    wire_size = wire_taken = 0;
    arrive(TOY_HANDSHAKE, "R\0", 2);
    arrive(TOY_DATA, data, 3000);
    wire_size += toy_clear_record(wire + wire_size, TOY_HANDSHAKE, "C", 1);
    for (int i = 0; i < 3; i++) {
        arrive(TOY_DATA, data, TOY_MOST_DATA);
    }
    wire_size += toy_clear_record(wire + wire_size, TOY_HANDSHAKE, "F", 1);
    CHECK_EQUAL(SCHAN_OK, schan_socket_peek(driver, &view, 100, NULL));
    CHECK_EQUAL(SCHAN_WANT_CREDENTIAL,
                schan_socket_send(driver, &question, 1, &size, 100, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_socket_provide_credential(driver, NULL, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_socket_send(driver, &question, 1, &size, 100, NULL));
    CHECK_EQUAL(3000, view.size);
    CHECK(memcmp(data, view.data, view.size) == 0);
    schan_socket_consume(driver, view.size);
    read_all((size_t)3 * TOY_MOST_DATA);
    check_idle("after a view");
    end();
}

TEST(a_connection_that_must_not_wait_is_idle_when_nothing_came)
{
    uint8_t byte = 0;
    size_t size = 0;

    begin(&kinds[4]);
    open_connection(kinds[4].config);
    download();
    upload();
    CHECK_EQUAL(SCHAN_WANT_TIME, schan_socket_recv(driver, &byte, 1, &size, 0, NULL));
    CHECK(held() <= most_idle_bytes);
    end();
}

TEST(a_connection_is_idle_between_questions_and_answers)
{
    const schan_span question = {data, 4000};

    begin(&kinds[4]);
    open_connection(kinds[4].config);
    size_t opened = held();
    CHECK(opened <= most_idle_bytes);
    for (int i = 0; i < 3; i++) {
        size_t size = 0;
        CHECK_EQUAL(SCHAN_OK,
                    schan_socket_send(driver, &question, 1, &size, 1000, NULL));
        wire_size = wire_taken = 0;
        arrive(TOY_DATA, data, 4000);
        read_all(4000);
        CHECK_EQUAL(opened, held());
    }
    end();
}

/* As a mail is sent and its reply waited for. */
TEST(what_an_upload_filled_goes_while_its_answer_is_waited_for)
{
    begin(&kinds[4]);
    open_connection(kinds[4].config);
    upload();
    CHECK(held() > most_idle_bytes);
    wire_size = wire_taken = 0;
    answer_size = toy_seal(&peer, answer, TOY_DATA, "250 ok", 6);
    read_all(6);
    CHECK(held() <= most_idle_bytes);
    end();
}

TEST(idle_connections_hold_the_same_each)
{
    enum { count = 8 };
    schan_socket *drivers[count] = {NULL};
    size_t first = 0;

    begin(&kinds[4]);
    size_t nothing = stand_in.live_bytes;
    for (size_t i = 0; i < count; i++) {
        open_connection(kinds[4].config);
        download();
        upload();
        check_idle("one of many");
        first = i == 0 ? held() : first;
        CHECK_EQUAL((i + 1) * first, stand_in.live_bytes - nothing);
        drivers[i] = driver;
    }
    for (size_t i = 0; i + 1 < count; i++) {
        schan_socket_free(drivers[i]);
    }
    before = nothing;
    end();
}
