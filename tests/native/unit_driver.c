/* unit_driver.c - what the socket driver asks of Winsock, and how its failures are told */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_socket *driver;
static uint8_t wire[4096];
static size_t wire_size;
static size_t most_sent; /* by one send; 0: it would block */
static bool waiting_fails;

static int on_receive(char *data, int size)
{
    size_t part = wire_size < (size_t)size ? wire_size : (size_t)size;

    if (part == 0) {
        return -1;
    }
    memcpy(data, wire, part);
    wire_size -= part;
    memmove(wire, wire + part, wire_size);
    return (int)part;
}

static int on_send(const char *data, int size)
{
    (void)data;
    if (most_sent == 0) {
        return -1;
    }
    return (size_t)size < most_sent ? size : (int)most_sent;
}

static int on_wait(bool readable, bool writable, uint32_t timeout_ms)
{
    bool is_ready = (readable && wire_size > 0) || (writable && most_sent > 0);

    if (waiting_fails) {
        return -1;
    }
    stand_in.now_ms += is_ready ? 0 : timeout_ms;
    return is_ready;
}

static schan_result make(void)
{
    static const schan_credential_config wanted = {.protocols = SCHAN_TLS_1_3};
    static const schan_engine_config config = {.protocols = SCHAN_TLS_1_3};
    const schan_system *system = system_begin(NULL);
    schan_credential *credential = NULL;
    schan_engine *engine = NULL;

    system_memory.receive = on_receive;
    system_memory.send = on_send;
    system_memory.wait = on_wait;
    system_memory.socket_error = WSAEWOULDBLOCK;
    most_sent = SIZE_MAX / 2;
    waiting_fails = false;
    driver = NULL;
    library = NULL;
    schan_result result = schan_library_new(&library, toy_begin(), system, NULL);
    if (result == SCHAN_OK) {
        result = schan_credential_new(&credential, library, &wanted, NULL);
    }
    if (result == SCHAN_OK) {
        result = schan_engine_new(&engine, credential, &config, NULL);
    }
    if (result == SCHAN_OK) {
        result = schan_socket_new(&driver, engine, 7, NULL);
    }
    if (driver == NULL) {
        schan_engine_free(engine);
    }
    schan_credential_free(credential);
    return result;
}

static schan_result open_driver(void)
{
    schan_verdict good = {0};

    wire_size = toy_clear_record(wire, TOY_HANDSHAKE, "F", 1);
    schan_result result = schan_socket_handshake(driver, 1000, NULL);
    return result == SCHAN_WANT_VERIFY
               ? schan_engine_verified(schan_socket_engine(driver), &good, NULL)
               : result;
}

static void begin(void)
{
    CHECK_EQUAL(SCHAN_OK, make());
    CHECK_EQUAL(SCHAN_OK, open_driver());
}

static void end(void)
{
    schan_socket_free(driver);
    schan_library_free(library);
    provider_end();
    system_end();
}

static void upload(void)
{
    static uint8_t data[300000];
    const schan_span span = {data, sizeof(data)};
    size_t size = 0;

    CHECK_EQUAL(SCHAN_OK, schan_socket_send(driver, &span, 1, &size, 1000, NULL));
    CHECK_EQUAL(sizeof(data), size);
}

TEST(a_large_upload_follows_what_the_connection_can_hold)
{
    begin();
    upload(); /* Windows does not know */
    CHECK_EQUAL(0, system_memory.backlogs_set);
    system_memory.backlog = 100000;
    upload(); /* asked a moment ago */
    CHECK_EQUAL(0, system_memory.backlogs_set);
    stand_in.now_ms += 1000;
    upload();
    CHECK_EQUAL(1, system_memory.backlogs_set);
    CHECK_EQUAL(100000, system_memory.send_buffer);
    stand_in.now_ms += 1000;
    upload(); /* not more than before */
    system_memory.backlog = 17 << 20;
    stand_in.now_ms += 1000;
    upload(); /* more than is sound */
    system_memory.backlog = 200000;
    system_memory.send_buffer = 0;
    stand_in.now_ms += 1000;
    upload(); /* what there is cannot be told */
    system_memory.backlog = 65536;
    system_memory.send_buffer = 8192;
    stand_in.now_ms += 1000;
    upload(); /* what Windows advises where it knows nothing */
    CHECK_EQUAL(1, system_memory.backlogs_set);
    end();
}

TEST(refusing_at_once_is_asked_of_windows_that_know_it)
{
    begin();
    system_memory.build = 16298;
    schan_socket_refuse_at_once(library, 7);
    CHECK_EQUAL(0, system_memory.refused_at_once);
    system_memory.build = 16299;
    schan_socket_refuse_at_once(library, 7);
    CHECK_EQUAL(1, system_memory.refused_at_once);
    end();
}

TEST(facts_come_through_the_driver)
{
    schan_info info = {0};
    uint8_t room[64];
    size_t size = 0;
    const schan_span none = {NULL, 0};

    begin();
    CHECK_EQUAL(SCHAN_OK, schan_socket_info(driver, &info, NULL));
    CHECK_EQUAL(SCHAN_TLS_1_3, info.protocol);
    CHECK_EQUAL(SCHAN_OK, schan_socket_channel_binding(driver, SCHAN_BINDING_EXPORTER,
                                                       room, 64, &size, NULL));
    CHECK_EQUAL(32, size);
    CHECK_EQUAL(SCHAN_OK, schan_socket_export(driver, "label", none, room, 9, NULL));
    CHECK_EQUAL(0, schan_socket_has_pending(driver));
    CHECK_EQUAL(0, schan_socket_pending(driver));
    end();
}

TEST(failures_of_winsock_are_told_by_their_call)
{
    static const char *const calls[] = {"recv", "send", "select"};
    char text[4];
    size_t size = 0;
    const schan_span span = {(const uint8_t *)"x", 1};

    for (int i = 0; i < 3; i++) {
        schan_error err = {0};
        schan_result result = SCHAN_OK;
        begin();
        if (i == 2) {
            waiting_fails = true; /* and nothing is there to be received */
            result = schan_socket_recv(driver, text, 4, &size, 1000, &err);
        } else {
            system_memory.socket_error = WSAECONNRESET;
            most_sent = 0;
            result = i == 0 ? schan_socket_recv(driver, text, 4, &size, 1000, &err)
                            : schan_socket_send(driver, &span, 1, &size, 1000, &err);
        }
        CHECK_EQUAL(SCHAN_ERR_SOCKET, result);
        CHECK(strcmp(calls[i], err.call) == 0);
        CHECK_EQUAL(i == 2 ? WSAEWOULDBLOCK : WSAECONNRESET, err.status);
        end();
    }
}

TEST(what_cannot_leave_waits_and_leaves_first)
{
    const schan_span span = {(const uint8_t *)"x", 1};
    size_t size = 0;

    begin();
    most_sent = 0;
    CHECK_EQUAL(SCHAN_WANT_TIME, schan_socket_send(driver, &span, 1, &size, 250, NULL));
    CHECK_EQUAL(1, size);
    CHECK(schan_socket_has_unsent(driver));
    CHECK_EQUAL(SCHAN_WANT_TIME, schan_socket_flush(driver, 0, NULL));
    most_sent = 3;
    CHECK_EQUAL(SCHAN_OK, schan_socket_flush(driver, 100, NULL));
    CHECK(!schan_socket_has_unsent(driver));
    end();
}

/* B64: what follows close_notify stays with the socket. */
TEST(after_our_close_notify_just_the_next_record_is_received)
{
    toy_peer peer = {0};
    char text[16];
    size_t size = 0;

    begin();
    CHECK_EQUAL(SCHAN_OK, schan_socket_shutdown(driver, 100, NULL));
    wire_size = toy_seal(&peer, wire, TOY_DATA, "last", 4);
    wire_size += toy_seal(&peer, wire + wire_size, TOY_ALERT, "\x01\x00", 2);
    memcpy(wire + wire_size, "plain again", 11);
    wire_size += 11;
    CHECK_EQUAL(SCHAN_OK, schan_socket_recv(driver, text, 16, &size, 100, NULL));
    CHECK_EQUAL(4, size);
    CHECK_EQUAL(SCHAN_CLOSED, schan_socket_recv(driver, text, 16, &size, 100, NULL));
    CHECK_EQUAL(11, wire_size);
    CHECK_EQUAL(0, schan_engine_left_over(schan_socket_engine(driver)));
    end();
}

/* However short the time is: it looks, or waits, before it says that there is nothing. */
TEST(what_is_there_is_found_in_a_time_that_is_over_before_it_began)
{
    toy_peer peer = {0};
    char text[4];
    size_t size = 0;

    begin();
    CHECK_EQUAL(SCHAN_WANT_TIME, schan_socket_recv(driver, text, 4, &size, 100, NULL));
    wire_size = toy_seal(&peer, wire, TOY_DATA, "data", 4);
    stand_in.tick_ms = 1;
    CHECK_EQUAL(SCHAN_OK, schan_socket_recv(driver, text, 4, &size, 2, NULL));
    stand_in.tick_ms = 0;
    CHECK_EQUAL(4, size);
    end();
}

TEST(a_driver_without_memory_says_so)
{
    bool is_over = false;
    char text[8];

    for (unsigned failing = 1; !is_over; failing++) {
        size_t size = 0;
        stand_in.allocations = 0;
        stand_in.failing_allocation = failing;
        schan_result result = make();
        if (result == SCHAN_OK) {
            result = open_driver();
        }
        if (result == SCHAN_OK) {
            toy_peer peer = {0};
            wire_size = toy_seal(&peer, wire, TOY_DATA, "data", 4);
            result = schan_socket_recv(driver, text, 8, &size, 100, NULL);
        }
        is_over = stand_in.allocations < failing;
        CHECK_EQUAL(is_over ? SCHAN_OK : SCHAN_ERR_MEMORY, result);
        stand_in.failing_allocation = 0;
        end();
    }
}
