/*
 * session.c - see session.h
 *
 *   peer ── wire ──(as much as was let through)── engine ── reads: judged
 *   peer ── judged ── engine's records ── writes
 */
#include "session.h"

#include <stdlib.h>

#include "system_memory.h"

enum {
    wire_room = 1 << 18,
    peer_room = 1 << 18,
    most_steps = 4000,
    most_to_read = 40000,
    most_records = 20
};

static struct {
    choices input;
    session_kind kind;
    schan_engine *engine;
    schan_socket *socket;
    toy_peer peer;
    schan_credential *choice; /* for a client that is asked */
    bool is_server;
    bool may_renegotiate;
    bool has_renegotiated;
    bool has_shut_down; /* then there is no renegotiation any more */
    bool is_hostile;    /* content and end are not foreseen any more */
    bool is_handshaken; /* the peer has sent its last handshake message */
    bool has_closed;    /* it has sent close_notify */
    bool saw_close;     /* it has got ours */
    bool is_eof;        /* nothing follows what is on the wire */
    bool is_generous;   /* the end: no more obstacles */
    bool is_reset;      /* Winsock fails */
    unsigned credential_requests;
    size_t wire_size;   /* what the peer has sent, and is not through */
    size_t let_through; /* of it, for recv */
    size_t peer_size;
    uint64_t sent; /* application data, each way */
    uint64_t read;
    uint64_t written;
    uint64_t arrived;
} session;

static uint8_t wire[wire_room];
static uint8_t at_peer[peer_room];
static uint8_t scratch[most_to_read];

static void must(bool is_true, const char *text)
{
    if (!is_true) {
        stand_in_abort(text);
    }
}

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8U) * 7 + 1);
}

static void fill(uint8_t *to, size_t size, uint64_t offset)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = pattern(offset + i);
    }
}

/* -------------------------------------------------------------------- peer */

static bool fits(size_t size)
{
    return !session.is_eof && session.wire_size + size + 64 <= wire_room;
}

static void peer_sends_clear(uint8_t type, const void *body, size_t size)
{
    if (fits(size)) {
        session.wire_size +=
            toy_clear_record(wire + session.wire_size, type, body, size);
    }
}

static void peer_seals(uint8_t inner, const void *body, size_t size)
{
    if (fits(size)) {
        session.wire_size +=
            toy_seal(&session.peer, wire + session.wire_size, inner, body, size);
    }
}

static void peer_sends_data(size_t size)
{
    if (!fits(size) || session.has_closed) {
        return;
    }
    fill(scratch, size, session.sent);
    peer_seals(TOY_DATA, scratch, size);
    session.sent += size;
    session.is_hostile = session.is_hostile || !session.is_handshaken;
}

/* What the client has sent: whole records, in order, with what was written. */
static void peer_gets(const void *data, size_t size)
{
    uint8_t inner = 0;
    uint8_t *plain = NULL;
    size_t plain_size = 0;
    size_t at = 0;

    must(session.peer_size + size <= peer_room, "the peer's room");
    memcpy(at_peer + session.peer_size, data, size);
    session.peer_size += size;
    while (session.peer_size - at >= TOY_HEADER) {
        uint8_t *record = at_peer + at;
        size_t whole = TOY_HEADER + ((size_t)record[3] << 8U | record[4]);
        if (session.peer_size - at < whole) {
            break;
        }
        at += whole;
        if (record[0] != TOY_DATA) {
            must(record[0] == TOY_ALERT || record[0] == TOY_HANDSHAKE,
                 "a record's type");
            continue;
        }
        must(toy_open(&session.peer, record, whole, &inner, &plain, &plain_size),
             "the peer cannot open a record: one is lost, or in another order");
        for (size_t i = 0; inner == TOY_DATA && i < plain_size; i++) {
            must(plain[i] == pattern(session.arrived++), "other data than was written");
        }
        must(inner != TOY_DATA || !session.saw_close, "data after our close_notify");
        session.saw_close = session.saw_close || inner == TOY_ALERT;
    }
    memmove(at_peer, at_peer + at, session.peer_size - at);
    session.peer_size -= at;
}

/* ------------------------------------------------------------------- sockets */

static void take_from_wire(size_t size)
{
    session.wire_size -= size;
    memmove(wire, wire + size, session.wire_size);
    session.let_through -= size < session.let_through ? size : session.let_through;
}

static int socket_fails(int error)
{
    system_memory.socket_error = error;
    return -1;
}

static int on_receive(char *data, int size)
{
    size_t room = (size_t)size;
    size_t ready = session.let_through < session.wire_size ? session.let_through
                                                           : session.wire_size;

    if (session.is_reset) {
        return socket_fails(WSAECONNRESET);
    }
    if (session.wire_size == 0 && session.is_eof) {
        return 0;
    }
    if (ready == 0) {
        return socket_fails(WSAEWOULDBLOCK);
    }
    ready = ready < room ? ready : room;
    memcpy(data, wire, ready);
    take_from_wire(ready);
    return (int)ready;
}

static int on_send(const char *data, int size)
{
    size_t part = (size_t)size;

    if (session.is_reset) {
        return socket_fails(WSAECONNRESET);
    }
    if (!session.is_generous && (choose_byte(&session.input) & 3U) == 3) {
        return socket_fails(WSAEWOULDBLOCK);
    }
    if (!session.is_generous && (choose_byte(&session.input) & 3U) == 3) {
        part = 1 + choose_size(&session.input, part - 1);
    }
    peer_gets(data, part);
    return (int)part;
}

static int on_wait(bool readable, bool writable, uint32_t timeout_ms)
{
    bool has_ended = session.is_eof && session.wire_size == 0;
    bool is_readable = session.let_through > 0 || has_ended;

    stand_in.now_ms += 1 + choose(&session.input, timeout_ms + 1);
    if (!session.is_generous && choose(&session.input, 8) == 7) {
        return socket_fails(WSAENOTSOCK);
    }
    if (writable || (readable && is_readable)) {
        return 1;
    }
    stand_in.now_ms += timeout_ms;
    return 0;
}

/* ------------------------------------------------------------------- moves */

/* Results that are possible at all; a failure says why, and stays. */
static schan_result judged(schan_result result, const schan_error *err)
{
    must(result <= SCHAN_CLOSED && result >= SCHAN_ERR_UNDEFINED, "no result of ours");
    if (result < 0) {
        must(err->result == result, "the error tells another result");
        must(memchr(err->detail, 0, sizeof(err->detail)) != NULL, "detail has no end");
    }
    return result;
}

static uint32_t some_time(void)
{
    return session.is_generous ? 1000 : (uint32_t)choose(&session.input, 3) * 40;
}

static void feed(size_t size)
{
    schan_error err = {0};

    size = size < session.wire_size ? size : session.wire_size;
    if (session.kind == SESSION_SOCKET) {
        session.let_through += size;
        return;
    }
    if (size > 0 && judged(schan_engine_feed(session.engine, wire, size, &err), &err) !=
                        SCHAN_ERR_MEMORY) {
        take_from_wire(size);
    }
    if (session.is_eof && session.wire_size == 0) {
        schan_engine_feed_eof(session.engine);
    }
}

static void drain(size_t capacity)
{
    size_t size = 0;

    if (session.kind == SESSION_ENGINE) {
        capacity = capacity < sizeof(scratch) ? capacity : sizeof(scratch);
        schan_engine_drain(session.engine, scratch, capacity, &size);
        must(size <= capacity, "drain: more than there is room");
        peer_gets(scratch, size);
    } else {
        schan_error err = {0};
        (void)judged(schan_socket_flush(session.socket, some_time(), &err), &err);
    }
}

static schan_result handshake(void)
{
    schan_error err = {0};
    schan_result result =
        session.kind == SESSION_SOCKET
            ? schan_socket_handshake(session.socket, some_time(), &err)
            : schan_engine_handshake(session.engine, &err);

    return judged(result, &err);
}

/* What a client does when it is asked for a certificate; misuse when it is not. */
static void provide(bool presents_one)
{
    schan_error err = {0};
    size_t count = 0;

    while (schan_engine_issuer(session.engine, count).size > 0) {
        count++;
    }
    must(count <= 1, "more issuers than the peer named");
    schan_credential *choice = presents_one ? session.choice : NULL;
    schan_result result =
        session.kind == SESSION_SOCKET
            ? schan_socket_provide_credential(session.socket, choice, &err)
            : schan_engine_provide_credential(session.engine, choice, &err);
    (void)judged(result, &err);
}

static schan_result verdict(schan_reason reason)
{
    schan_error err = {0};
    schan_verdict told = {.reason = reason,
                          .status = reason == 0 ? 0 : CERT_E_CHAINING};

    session.is_hostile = session.is_hostile || reason != SCHAN_REASON_NONE;
    return judged(schan_engine_verified(session.engine, &told, &err), &err);
}

static void judge_read(const uint8_t *data, size_t size)
{
    for (size_t i = 0; !session.is_hostile && i < size; i++) {
        must(data[i] == pattern(session.read + i), "other data than the peer sent");
    }
    session.read += size;
    must(session.is_hostile || session.read <= session.sent, "more than the peer sent");
}

static schan_result read_some(size_t capacity)
{
    schan_error err = {0};
    size_t size = 0;
    uint8_t *room = malloc(capacity); /* exact: a sanitizer sees one byte too many */
    schan_result result =
        session.kind == SESSION_SOCKET
            ? schan_socket_recv(session.socket, room, capacity, &size, some_time(),
                                &err)
            : schan_engine_read(session.engine, room, capacity, &size, &err);

    judged(result, &err);
    must(result == SCHAN_OK ? size > 0 && size <= capacity : size == 0,
         "read: SCHAN_OK and no data, or data and no SCHAN_OK");
    judge_read(room, size);
    free(room);
    return result;
}

static void peek_some(size_t share)
{
    schan_error err = {0};
    schan_span view = {0};
    schan_result result =
        session.kind == SESSION_SOCKET
            ? schan_socket_peek(session.socket, &view, some_time(), &err)
            : schan_engine_peek(session.engine, &view, &err);

    if (judged(result, &err) != SCHAN_OK) {
        must(view.size == 0, "peek: a view without SCHAN_OK");
        return;
    }
    must(view.size > 0, "peek: an empty view");
    size_t size = view.size * (share + 1) / 256;
    judge_read(view.data, size);
    if (session.kind == SESSION_SOCKET) {
        schan_socket_consume(session.socket, size);
    } else {
        schan_engine_consume(session.engine, size);
    }
}

static void write_some(size_t size, size_t cut)
{
    schan_error err = {0};
    size_t consumed = 0;
    size = size < most_to_read ? size : most_to_read;
    uint8_t *data = malloc(size + 1);

    cut = cut < size ? cut : size;
    fill(data, size, session.written);
    const schan_span spans[] = {{data, cut}, {NULL, 0}, {data + cut, size - cut}};
    schan_result result =
        session.kind == SESSION_SOCKET
            ? schan_socket_send(session.socket, spans, 3, &consumed, some_time(), &err)
            : schan_engine_write(session.engine, spans, 3, &consumed, &err);
    judged(result, &err);
    must(consumed <= size, "write: more consumed than given");
    must(result != SCHAN_OK || consumed == size, "write: SCHAN_OK, and not all taken");
    session.written += consumed;
    free(data);
}

static void shut_down(void)
{
    schan_error err = {0};
    schan_result result = session.kind == SESSION_SOCKET
                              ? schan_socket_shutdown(session.socket, some_time(), &err)
                              : schan_engine_shutdown(session.engine, &err);
    session.has_shut_down = true;
    session.is_hostile = session.is_hostile || session.has_renegotiated;

    judged(result, &err);
}

/* ----------------------------------------------------------------- the peer's */

static void peer_sends_message(uint8_t letter, uint8_t argument)
{
    const uint8_t body[] = {letter, argument};

    if (!fits(32)) {
        return;
    }
    peer_sends_clear(TOY_HANDSHAKE, body, sizeof(body));
    for (uint8_t i = 0; letter == 'M' && i < argument % 3; i++) {
        peer_sends_clear(TOY_HANDSHAKE, "m", 1);
    }
    session.credential_requests += letter == 'C';
    session.is_hostile =
        session.is_hostile || session.is_handshaken || strchr("SMCF", letter) == NULL ||
        (session.is_server && letter == 'C') || session.credential_requests > 2;
    session.is_handshaken = session.is_handshaken || letter == 'F';
}

static void peer_sends_post(uint8_t kind, uint8_t shape, size_t data_size)
{
    static const char letters[] = "TKMAE";
    uint8_t body[300] = {0};
    size_t size = 0;
    bool has_data = data_size > 0 && data_size < 250;

    if (session.has_closed || !fits(600)) {
        return;
    }
    if (has_data) {
        body[0] = (uint8_t)data_size;
        fill(body + 1, data_size, session.sent);
        session.sent += data_size;
        size = 1 + data_size;
    }
    body[size++] = (uint8_t)letters[kind % 5];
    body[size++] = letters[kind % 5] == 'E' ? 0 : shape;
    for (unsigned i = 0; letters[kind % 5] == 'E' && i < shape % 4U; i++) {
        body[size++] = i + 1U == shape % 4U ? 'T' : 'E';
        body[size++] = 0;
    }
    peer_seals(has_data ? TOY_DATA_AND_HANDSHAKE : TOY_HANDSHAKE, body, size);
    if (letters[kind % 5] == 'M') {
        peer_seals(TOY_HANDSHAKE, "m", 1);
    } else if (letters[kind % 5] == 'A') {
        peer_sends_clear(TOY_HANDSHAKE, "F", 1);
    }
    session.is_hostile = session.is_hostile || !session.is_handshaken ||
                         toy.protocol != SP_PROT_TLS1_3_CLIENT;
}

/* A whole renegotiation, data within it (B26, B60). */
static void peer_renegotiates(uint8_t shape)
{
    const uint8_t request[] = {'R', shape % 4};

    if (session.has_closed || !fits(2000)) {
        return;
    }
    peer_seals(TOY_HANDSHAKE, request, sizeof(request));
    if ((shape & 4U) != 0) {
        peer_sends_data(shape);
    }
    peer_sends_clear(TOY_HANDSHAKE, "S\x01", 2);
    if ((shape & 8U) != 0) {
        peer_sends_data(shape);
        peer_sends_clear(TOY_HANDSHAKE, "C", 1);
    }
    peer_sends_clear(TOY_HANDSHAKE, "F", 1);
    session.is_hostile = session.is_hostile || !session.is_handshaken ||
                         !session.may_renegotiate || session.has_renegotiated ||
                         session.has_shut_down;
    session.has_renegotiated = true;
}

static void peer_closes(void)
{
    const uint8_t close_notify[] = {1, 0};

    if (!session.has_closed && fits(32)) {
        peer_seals(TOY_ALERT, close_notify, sizeof(close_notify));
        session.has_closed = true;
        session.is_hostile = session.is_hostile || !session.is_handshaken;
    }
}

static void peer_sends_raw(const uint8_t *data, size_t size)
{
    if (fits(size) && size > 0) {
        memcpy(wire + session.wire_size, data, size);
        session.wire_size += size;
        session.is_hostile = true;
    }
}

static void corrupt(size_t at, uint8_t bits)
{
    if (at < session.wire_size && bits != 0) {
        wire[at] ^= bits;
        session.is_hostile = true;
    }
}

static void look_around(void)
{
    schan_info info = {0};
    schan_error err = {0};
    size_t pending = session.kind == SESSION_SOCKET
                         ? schan_socket_pending(session.socket)
                         : schan_engine_pending(session.engine);
    schan_state state = schan_engine_state(session.engine);

    must(pending == 0 || state >= SCHAN_STATE_OPEN, "pending before it is open");
    (void)schan_engine_left_over(session.engine);
    (void)schan_engine_peer_certificate(session.engine);
    (void)schan_engine_sent_certificate(session.engine, pending % 3);
    must(!schan_engine_peer_closed(session.engine) || state >= SCHAN_STATE_OPEN,
         "closed before it was open");
    (void)schan_engine_unsent(session.engine);
    (void)judged(schan_engine_info(session.engine, &info, &err), &err);
    if (session.kind == SESSION_SOCKET) {
        must(pending == 0 || schan_socket_has_pending(session.socket), "has_pending");
        (void)schan_socket_has_unsent(session.socket);
    }
}

/* -------------------------------------------------------------------- steps */

static void step(void)
{
    choices *input = &session.input;
    const uint8_t *bytes = NULL;
    size_t size = 0;

    switch (choose(input, 22)) {
    case 0:
        peer_sends_data(choose_size(input, TOY_MOST_DATA));
        break;
    case 1:
        size = choose_byte(input);
        feed(size == 0 ? session.wire_size : size);
        break;
    case 2:
        (void)read_some(1 + choose_size(input, most_to_read - 1));
        break;
    case 3:
        peek_some(choose_byte(input));
        break;
    case 4:
        size = choose_size(input, most_records * toy.sizes.cbMaximumMessage);
        write_some(size, choose_byte(input));
        break;
    case 5:
        drain(choose_size(input, 70000));
        break;
    case 6:
        size = choose_byte(input);
        peer_sends_post((uint8_t)size, (uint8_t)(size >> 4U), 0);
        break;
    case 7:
        size = choose_byte(input);
        peer_sends_post((uint8_t)size, (uint8_t)(size >> 4U), choose_byte(input));
        break;
    case 8:
        peer_closes();
        break;
    case 9:
        session.is_eof = true;
        feed(0);
        break;
    case 10:
        shut_down();
        break;
    case 11:
        bytes = choose_bytes(input, choose_byte(input), &size);
        peer_sends_raw(bytes, size);
        break;
    case 12:
        size = choose_byte(input);
        corrupt(size, choose_byte(input));
        break;
    case 13:
        look_around();
        break;
    case 14:
        (void)handshake();
        break;
    case 15:
        size = choose_byte(input);
        peer_sends_message((uint8_t)"SMCFXS"[size % 6], (uint8_t)(size >> 4U));
        break;
    case 16:
        size = choose_byte(input);
        (void)verdict(size < 200 ? SCHAN_REASON_NONE : (schan_reason)(size - 200));
        break;
    case 17:
        feed(session.wire_size);
        (void)handshake();
        break;
    case 18:
        (void)verdict(SCHAN_REASON_NONE);
        break;
    case 19:
        provide(choose(input, 2) == 1);
        break;
    case 20:
        peer_renegotiates(choose_byte(input));
        break;
    default:
        size = choose_byte(input);
        session.is_reset = size == 255;
        session.is_hostile = session.is_hostile || session.is_reset;
        break;
    }
}

/* ----------------------------------------------------------- begin and end */

static void open_connection(void)
{
    (void)handshake();
    peer_sends_message('S', 1);
    peer_sends_message('F', 0);
    feed(session.wire_size);
    schan_result result = handshake();
    if (result == SCHAN_WANT_VERIFY) {
        result = verdict(SCHAN_REASON_NONE);
    }
    must(result == SCHAN_OK, "the handshake and the verdict do not open it");
    drain(sizeof(scratch));
}

/* All that is left goes through; then the end must be the one that the peer made. */
static void settle(void)
{
    schan_result result = SCHAN_OK;

    session.is_generous = true;
    feed(session.wire_size);
    while ((result = read_some(most_to_read)) == SCHAN_OK ||
           result == SCHAN_WANT_CREDENTIAL) {
        if (result == SCHAN_WANT_CREDENTIAL) {
            provide(true);
        }
        feed(session.wire_size);
    }
    for (size_t before = 0; before != session.arrived + 1;) {
        before = session.arrived + 1;
        drain(sizeof(scratch));
    }
    if (session.is_hostile || !session.is_handshaken ||
        schan_engine_state(session.engine) < SCHAN_STATE_OPEN) {
        return;
    }
    must(session.read == session.sent, "application data of the peer's is lost");
    must(session.arrived == session.written, "application data of ours is lost");
    if (session.has_closed) {
        must(result == SCHAN_CLOSED, "close_notify is not told");
    } else if (session.is_eof) {
        must(result == SCHAN_ERR_TRUNCATED, "truncation is not told");
    } else {
        must(result == SCHAN_WANT_READ || result == SCHAN_WANT_TIME, "it is not open");
    }
}

static void set_up_toy(uint8_t knobs)
{
    static const ULONG maxima[] = {TOY_MOST_DATA, 1, 16, 300};

    toy.sizes.cbMaximumMessage = maxima[knobs & 3U];
    toy.uses_less_room = (knobs & 4U) != 0;
    toy.protocol = (knobs & 8U) == 0   ? SP_PROT_TLS1_3_CLIENT
                   : session.is_server ? SP_PROT_TLS1_2_SERVER
                                       : SP_PROT_TLS1_2_CLIENT;
    toy.alpn = (knobs & 32U) != 0 ? "h2" : NULL;
    toy.alpn_of_renegotiation = toy.alpn;
    toy.has_issuers = true;
}

/* The first byte decides what is shaken hands on; bit 6 the role, bit 7 what else the role
 * may do: be asked for a certificate and renegotiate, or ask its client for one. */
static void set_up(const schan_system *system)
{
    static const uint8_t alpn[] = "\x02h2\x08http/1.1";
    const uint32_t protocols = SCHAN_TLS_1_2 | SCHAN_TLS_1_3;
    schan_credential_config wanted = {.protocols = protocols};
    schan_engine_config config = {
        .server_name = L"mail.example", .alpn_protocols = alpn, .protocols = protocols};
    schan_library *library = NULL;
    schan_credential *credential = NULL;
    uint8_t knobs = choose_byte(&session.input);
    bool does_more = (knobs & 128U) != 0;

    session.is_server = (knobs & 64U) != 0;
    const SecurityFunctionTableW *table = toy_begin();
    set_up_toy(knobs);
    session.may_renegotiate =
        does_more && !session.is_server && toy.protocol == SP_PROT_TLS1_2_CLIENT;
    provider_may_be_asked = does_more;
    config.alpn_size = (knobs & 16U) != 0 ? sizeof(alpn) - 1 : 0;
    config.renegotiation = does_more && !session.is_server;
    config.asks_for_credential = config.renegotiation;
    config.client_authentication = does_more && session.is_server;
    must(schan_library_new(&library, table, system, NULL) == SCHAN_OK, "no library");
    schan_identity *identity =
        does_more || session.is_server ? system_identity(library, SCHAN_KEY_RSA) : NULL;
    wanted.identity = identity;
    wanted.is_server = session.is_server;
    if (identity != NULL) {
        must(schan_credential_new(&session.choice, library, &wanted, NULL) == SCHAN_OK,
             "no credential to choose");
    }
    wanted.identity = session.is_server ? identity : NULL;
    must(schan_credential_new(&credential, library, &wanted, NULL) == SCHAN_OK,
         "no credential");
    must(schan_engine_new(&session.engine, credential, &config, NULL) == SCHAN_OK,
         "no engine");
    schan_identity_free(identity);
    schan_credential_free(credential);
    schan_library_free(library);
}

void session_run(const uint8_t *data, size_t size, session_kind kind, bool is_open)
{
    memset(&session, 0, sizeof(session));
    session.input = (choices){data, size, 0};
    session.kind = kind;
    set_up(system_begin(NULL));
    system_memory.receive = on_receive;
    system_memory.send = on_send;
    system_memory.wait = on_wait;
    if (kind == SESSION_SOCKET) {
        must(schan_socket_new(&session.socket, session.engine, 1, NULL) == SCHAN_OK,
             "no socket");
    }
    if (is_open) {
        session.is_generous = true;
        open_connection();
        session.is_generous = false;
    }
    for (unsigned i = 0; i < most_steps && !choices_are_over(&session.input); i++) {
        step();
    }
    settle();
    if (kind == SESSION_SOCKET) {
        schan_socket_free(session.socket);
    } else {
        schan_engine_free(session.engine);
    }
    schan_credential_free(session.choice);
    provider_end();
    system_end();
}
