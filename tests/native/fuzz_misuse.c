/*
 * fuzz_misuse.c - public calls in any order, on objects in any state: over a provider of
 * chaos, a crypt32 that fails, a Winsock that does what it wants
 *
 * Kept are only the rules that schan.h states: pointers are valid, an engine belongs to
 * one owner, nothing is used after it was freed.
 */
#include <stdlib.h>

#include "chaos.h"
#include "schan.h"
#include "system_memory.h"

enum { slots = 2 };

static choices input;
static schan_library *library;
static schan_credential *credential;
static schan_trust *trust;
static schan_identity *identity;
static schan_engine *engines[slots];
static schan_socket *sockets[slots]; /* the owner of the engine of that slot, or NULL */
static schan_verification *jobs[slots];
static uint8_t room[50000];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true, const char *text)
{
    if (!is_true) {
        stand_in_abort(text);
    }
}

static void judged(schan_result result, const schan_error *err)
{
    must(result >= SCHAN_ERR_UNDEFINED && result <= SCHAN_CLOSED, "no result of ours");
    must(result >= 0 || err == NULL || err->result == result, "another error");
}

/* ----------------------------------------------------------------- Winsock */

static int on_receive(char *data, int size)
{
    uint8_t byte = choose_byte(&input);
    size_t count = byte % 64U;

    system_memory.socket_error = (byte & 1U) != 0 ? WSAEWOULDBLOCK : WSAECONNRESET;
    if (byte < 32 || choices_are_over(&input)) {
        return byte == 0 ? 0 : -1;
    }
    count = count < (size_t)size ? count : (size_t)size;
    memset(data, byte % 5 + 20, count);
    for (size_t i = 1; i < count; i++) {
        data[i] = (char)(i < 3 ? 3 : i == 3 ? 0 : (int)choose(&input, 20));
    }
    return (int)count;
}

static int on_send(const char *data, int size)
{
    uint8_t byte = choose_byte(&input);

    (void)data;
    system_memory.socket_error = (byte & 1U) != 0 ? WSAEWOULDBLOCK : WSAECONNRESET;
    return byte >= 240 ? -1 : byte < size ? byte + 1 : size;
}

static int on_wait(bool readable, bool writable, uint32_t timeout_ms)
{
    uint8_t byte = choose_byte(&input);

    (void)readable;
    (void)writable;
    system_memory.socket_error = WSAENOTSOCK;
    stand_in.now_ms += byte < 128 ? timeout_ms + 1 : 1;
    return byte >= 250 ? -1 : byte & 1;
}

/* -------------------------------------------------------------------- steps */

static size_t slot(void)
{
    return choose(&input, slots);
}

/* A PFX, a key or the store of the system; or none. */
static void remake_identity(void)
{
    static const system_item items[] = {
        {"certificate", SYSTEM_KEY_IN_MEMORY, L"{1}", 0},
        {"er", SYSTEM_KEY_NONE, NULL, 0},
        {"on disk", SYSTEM_KEY_ON_DISK, L"{2}", 0}};
    const schan_span certificates[] = {{(const uint8_t *)"certificate", 11},
                                       {(const uint8_t *)"er", choose(&input, 3)}};
    const schan_span bytes = {(const uint8_t *)"bytes", 5};
    const schan_identity_config wanted = {.is_server = (int)choose(&input, 2),
                                          .machine_keys = (int)choose(&input, 2),
                                          .ephemeral = (int)choose(&input, 2)};
    const schan_search_config looked_for = {
        .store = L"MY",
        .thumbprint = {(const uint8_t *)"................................",
                       choose(&input, 4) * 10},
        .subject = choose(&input, 2) == 0 ? NULL : L"N=X",
        .is_server = wanted.is_server};
    schan_search *search = NULL;
    schan_error err = {0};

    schan_identity_free(identity);
    identity = NULL;
    system_memory.pfx.count = choose(&input, 3);
    system_memory.stored.count = choose(&input, 4);
    memcpy(system_memory.pfx.items, items, sizeof(items));
    memcpy(system_memory.stored.items, items, sizeof(items));
    system_memory.is_not_exportable = choose(&input, 2) == 1;
    switch (choose(&input, 4)) {
    case 0:
        judged(schan_identity_from_pfx(&identity, library, bytes, NULL, &wanted, &err),
               &err);
        break;
    case 1:
        judged(schan_identity_from_key(&identity, library, certificates,
                                       choose(&input, 3), 1 + (int)choose(&input, 3),
                                       bytes, &wanted, &err),
               &err);
        break;
    case 2:
        judged(schan_search_new(&search, library, &looked_for, &err), &err);
        if (search != NULL) {
            (void)schan_search_candidate(search, choose(&input, 4));
            judged(schan_identity_from_search(&identity, search,
                                              schan_search_best(search), &err),
                   &err);
        }
        schan_search_free(search);
        break;
    default:
        schan_library_delete_keys(library);
        break;
    }
    if (identity != NULL) {
        must(schan_identity_certificate(identity).size > 0, "an identity of nobody");
        (void)schan_identity_misses_intermediates(identity);
    }
}

static void remake_credential(void)
{
    schan_error err = {0};
    const schan_credential_config wanted = {
        .protocols = choose_byte(&input) & 15U,
        .check_revocation = (int)choose(&input, 2),
        .allow_weak_crypto = (int)choose(&input, 2),
        .is_server = choose(&input, 4) == 3,
        .identity = identity,
        .disable_resumption = choose(&input, 4) == 3,
    };

    system_memory.impersonates = choose(&input, 8) == 7;
    schan_credential_free(credential);
    judged(schan_credential_new(&credential, library, &wanted, &err), &err);
}

static void remake_trust(void)
{
    const uint8_t *roots[] = {(const uint8_t *)"a", (const uint8_t *)"b"};
    const size_t sizes[] = {1, choose(&input, 2)};
    schan_error err = {0};

    schan_trust_free(trust);
    if (choose(&input, 2) == 0) {
        judged(schan_trust_from_store(&trust, library, L"ROOT", 0, &err), &err);
    } else {
        judged(schan_trust_from_roots(&trust, library, roots, sizes, choose(&input, 3),
                                      1, &err),
               &err);
    }
}

static void drop(size_t i)
{
    if (sockets[i] != NULL) {
        schan_socket_free(sockets[i]);
    } else {
        schan_engine_free(engines[i]);
    }
    sockets[i] = NULL;
    engines[i] = NULL;
}

static void remake_engine(void)
{
    size_t i = slot();
    size_t size = 0;
    schan_error err = {0};
    schan_engine_config config = {.protocols = choose_byte(&input) & 15U};

    config.alpn_protocols = choose_bytes(&input, choose(&input, 8), &size);
    config.alpn_size = size;
    config.server_name = size % 2 == 0 ? L"" : L"a.example";
    config.renegotiation = (int)choose(&input, 2);
    config.asks_for_credential = (int)choose(&input, 2);
    config.client_authentication = (int)choose(&input, 4);
    drop(i);
    if (credential != NULL) {
        judged(schan_engine_new(&engines[i], credential, &config, &err), &err);
    }
}

static void make_socket(void)
{
    size_t i = slot();

    if (engines[i] != NULL && sockets[i] == NULL) {
        must(schan_socket_new(&sockets[i], engines[i], 7, NULL) == SCHAN_OK,
             "no socket");
    }
}

static void remake_job(void)
{
    static const uint8_t address[20] = {0};
    size_t i = slot();
    schan_error err = {0};
    const schan_verify_config config = {
        .host_name = choose(&input, 2) == 0 ? NULL : L"a.example",
        .ip_address = {address, choose(&input, 20)},
        .revocation = (schan_revocation)choose(&input, 4),
    };

    stand_in.pool = (stand_in_pool)choose(&input, 2) * 2;
    schan_verification_free(jobs[i]);
    jobs[i] = NULL;
    if (engines[i] != NULL) {
        judged(schan_verification_new(&jobs[i], engines[i], trust, &config, &err),
               &err);
    }
}

static void wait_for_job(void)
{
    size_t i = slot();
    schan_verdict verdict = {0};

    if (jobs[i] != NULL && schan_verification_wait(jobs[i], 0, &verdict) == SCHAN_OK) {
        (void)schan_verification_certificate(jobs[i], choose_byte(&input));
    }
    if (choose(&input, 2) == 1) {
        stand_in_run_jobs();
    }
}

/* Of an engine, owned by a socket or not: that too is allowed between the socket's calls. */
static void call_engine(void)
{
    schan_engine *engine = engines[slot()];
    schan_error err = {0};
    schan_span view = {0};
    schan_info info = {0};
    schan_verdict verdict = {.reason = (schan_reason)choose(&input, 3)};
    size_t size = 0;
    const uint8_t *bytes = NULL;
    const schan_span spans[] = {{room, choose_size(&input, 2000)}, {NULL, 0}};

    if (engine == NULL) {
        return;
    }
    switch (choose(&input, 17)) {
    case 0:
    case 1:
        judged(schan_engine_handshake(engine, &err), &err);
        break;
    case 2:
        bytes = choose_bytes(&input, choose(&input, 64), &size);
        judged(schan_engine_feed(engine, bytes, size, &err), &err);
        break;
    case 3:
        judged(schan_engine_feed(engine, "\x17\x03\x03\x00\x08_______", 13, &err),
               &err);
        break;
    case 4:
        schan_engine_drain(engine, room, choose_size(&input, sizeof(room)), &size);
        break;
    case 5:
        judged(schan_engine_write(engine, spans, choose(&input, 3), &size, &err), &err);
        break;
    case 6:
        judged(schan_engine_read(engine, room, choose_size(&input, sizeof(room)), &size,
                                 &err),
               &err);
        break;
    case 7:
        judged(schan_engine_peek(engine, &view, &err), &err);
        break;
    case 8:
        schan_engine_consume(engine, choose_size(&input, SIZE_MAX));
        break;
    case 9:
        judged(schan_engine_verified(engine, &verdict, &err), &err);
        break;
    case 10:
        judged(schan_engine_shutdown(engine, &err), &err);
        break;
    case 11:
        schan_engine_feed_eof(engine);
        break;
    case 12:
        judged(schan_engine_info(engine, &info, &err), &err);
        break;
    case 13:
        judged(schan_engine_channel_binding(engine,
                                            (schan_channel_binding)choose(&input, 5),
                                            room, choose(&input, 70), &size, &err),
               &err);
        break;
    case 14:
        view = (schan_span){room, choose(&input, 4)};
        judged(schan_engine_export(engine, choose(&input, 4) == 3 ? "" : "label", view,
                                   room + 100, choose(&input, 250), &err),
               &err);
        break;
    case 15:
        (void)schan_engine_issuer(engine, choose_size(&input, SIZE_MAX));
        judged(schan_engine_provide_credential(
                   engine, choose(&input, 4) == 3 ? NULL : credential, &err),
               &err);
        break;
    default:
        (void)schan_engine_pending(engine);
        (void)schan_engine_left_over(engine);
        (void)schan_engine_peer_certificate(engine);
        (void)schan_engine_sent_certificate(engine, choose(&input, 4));
        (void)schan_engine_unsent(engine);
        (void)schan_engine_peer_closed(engine);
        (void)schan_engine_resumption_is_off(engine);
        break;
    }
}

static void call_socket(void)
{
    schan_socket *self = sockets[slot()];
    schan_error err = {0};
    schan_span view = {0};
    uint32_t time_ms = (uint32_t)choose(&input, 3) * 60;
    size_t size = choose_size(&input, sizeof(room));
    const schan_span spans[] = {{room, size}, {room, 1}};

    if (self == NULL) {
        return;
    }
    switch (choose(&input, 10)) {
    case 8:
        judged(schan_socket_channel_binding(self,
                                            (schan_channel_binding)choose(&input, 5),
                                            room, size, &size, &err),
               &err);
        break;
    case 9:
        judged(schan_socket_export(self, "label", view, room, size, &err), &err);
        break;
    case 0:
        judged(schan_socket_handshake(self, time_ms, &err), &err);
        break;
    case 1:
        judged(schan_socket_recv(self, room, size, &size, time_ms, &err), &err);
        break;
    case 2:
        judged(schan_socket_peek(self, &view, time_ms, &err), &err);
        break;
    case 3:
        schan_socket_consume(self, size);
        break;
    case 4:
        judged(schan_socket_send(self, spans, choose(&input, 3), &size, time_ms, &err),
               &err);
        break;
    case 5:
        judged(schan_socket_shutdown(self, time_ms, &err), &err);
        break;
    case 6:
        judged(schan_socket_flush(self, time_ms, &err), &err);
        break;
    default:
        (void)schan_socket_pending(self);
        (void)schan_socket_has_pending(self);
        (void)schan_socket_has_unsent(self);
        must(schan_socket_engine(self) != NULL, "a socket without engine");
        break;
    }
}

static void (*const steps[])(void) = {
    call_engine, call_engine,       call_engine,  call_engine, call_socket,
    call_socket, remake_engine,     make_socket,  remake_job,  wait_for_job,
    call_engine, remake_credential, remake_trust, call_engine, remake_identity,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = (choices){data, size, 0};
    const schan_system *system = system_begin(&input);
    system_memory.receive = on_receive;
    system_memory.send = on_send;
    system_memory.wait = on_wait;
    must(schan_library_new(&library, chaos_begin(&input), system, NULL) == SCHAN_OK,
         "");
    provider_may_be_asked = true;
    system_memory.backlog = 100000;
    remake_credential();
    remake_engine();
    for (unsigned i = 0; i < 2000 && !choices_are_over(&input); i++) {
        steps[choose(&input, sizeof(steps) / sizeof(steps[0]))]();
    }
    schan_library_free(library); /* first: what was made from it holds it */
    schan_credential_free(credential);
    schan_trust_free(trust);
    schan_identity_free(identity);
    identity = NULL;
    credential = NULL;
    trust = NULL;
    for (size_t i = 0; i < slots; i++) {
        drop(i);
        schan_verification_free(jobs[i]);
        jobs[i] = NULL;
    }
    stand_in_run_jobs();
    provider_end();
    system_end();
    return 0;
}
