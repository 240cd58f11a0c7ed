/*
 * socket.c - the engine on a connected, non-blocking socket: the only file that waits
 *
 * Everything is one loop, run_until: ask the engine for the goal; send what it has
 * queued; receive what it wants; when neither moves, or nothing can have come yet, wait
 * until the socket is ready or the time is over. One lock is held around the engine and
 * the non-blocking calls of Winsock, and never while waiting: so one thread may receive
 * while another sends, and a byte that was received is in the engine before anybody else
 * looks.
 *
 * Always true here: the socket is the caller's, who keeps it open while any thread is
 * in here; records leave in the order in which they were made; a time that is over
 * changes nothing.
 */
#include "schan_internal.h"

#include <limits.h>

static const size_t smallest_receive = (size_t)8 * 1024;
static const uint32_t longest_slice_ms = 100; /* B83: then Python sees Ctrl-C */
static const size_t largest_receive = (size_t)256 * 1024;
static const uint64_t large_upload = (uint64_t)256 * 1024;
static const ULONGLONG backlog_age_ms = 1000;
/* What Windows' sockets have by themselves; and what Wine advises whatever the connection,
 * whose own buffers are larger and stop growing when they are set. */
static const ULONG usual_backlog = (ULONG)64 * 1024;
static const ULONG largest_backlog = (ULONG)16 * 1024 * 1024;
static const DWORD build_of_1709 = 16299;

struct schan_socket {
    schan_engine *engine;
    const schan_system *system;
    SOCKET handle;
    SRWLOCK lock;
    volatile LONG waiting; /* threads that want the lock */
    volatile LONG sending; /* threads in schan_socket_send */
    bool waits_first;      /* before it looks for more and takes memory for it */
    size_t
        receive_size; /* room offered to the next recv; grows while the peer fills it */
    uint64_t uploaded; /* since Windows was asked how much to have on the way */
    ULONGLONG asked_ms;
};

typedef struct {
    schan_socket *socket;
    schan_error *err;
    ULONGLONG end_ms;
    bool wants_to_receive;
    bool wants_to_send;
    bool may_wait;
    bool has_moved; /* bytes that matter: ask the engine again before waiting */
} round_trip;

/* What a call wants of the engine; called with the lock held. */
typedef struct goal {
    schan_result (*ask)(struct goal *wanted, schan_engine *engine, schan_error *err);
    bool flushes; /* reached only when all that is queued has left as well */
    void *data;
    size_t capacity;
    size_t size;
    schan_span view;
    const schan_span *spans;
    size_t count;
    schan__position position;
} goal;

/* -------------------------------------------------------------------- lock */

static void lock(schan_socket *self)
{
    InterlockedIncrement(&self->waiting);
    AcquireSRWLockExclusive(&self->lock);
    InterlockedDecrement(&self->waiting);
}

static void unlock(schan_socket *self)
{
    ReleaseSRWLockExclusive(&self->lock);
}

/* Lets a waiting thread in (B74): the lock is not fair, and whoever moves bytes moves them
 * on. */
static void give_way(schan_socket *self)
{
    const int most_tries = 1000;

    if (self->waiting == 0) {
        return;
    }
    unlock(self);
    for (int i = 0; i < most_tries && self->waiting > 0; i++) {
        SwitchToThread();
    }
    lock(self);
}

/* ------------------------------------------------------------------ moving */

static schan_result fail_winsock(schan_socket *self, const char *call, schan_error *err)
{
    return schan__fail(err, SCHAN_ERR_SOCKET, self->system->WSAGetLastError(), call);
}

static int to_int(size_t size)
{
    return size > INT_MAX ? INT_MAX : (int)size;
}

/*
 * B92: with the default SO_SNDBUF one buffer leaves per round trip, which makes a long
 * upload over a distance slow. Windows knows how much this connection can have on the
 * way; it is asked in large uploads alone, once a second at most, and what it does not
 * know or does not take changes nothing. The buffer of the socket never shrinks.
 */
static void follow_backlog(schan_socket *self, size_t sent)
{
    ULONG ideal = 0;
    ULONG held = 0;
    DWORD answered = 0;
    int size = (int)sizeof(held);

    self->uploaded += sent;
    if (self->uploaded < large_upload) {
        return;
    }
    ULONGLONG now_ms = GetTickCount64();
    if (self->asked_ms != 0 && now_ms - self->asked_ms < backlog_age_ms) {
        return;
    }
    self->uploaded = 0;
    self->asked_ms = now_ms;
    if (self->system->WSAIoctl(self->handle, SIO_IDEAL_SEND_BACKLOG_QUERY, NULL, 0,
                               &ideal, sizeof(ideal), &answered) == 0 &&
        self->system->getsockopt(self->handle, SOL_SOCKET, SO_SNDBUF, (char *)&held,
                                 &size) == 0 &&
        ideal > held && ideal > usual_backlog && ideal <= largest_backlog) { /* B92 */
        (void)self->system->setsockopt(self->handle, SOL_SOCKET, SO_SNDBUF,
                                       (const char *)&ideal, (int)sizeof(ideal));
    }
}

/* Sends what is queued. The queue may keep some: then the round wants to send. */
static schan_result send_queued(round_trip *trip)
{
    schan_socket *self = trip->socket;
    schan__buffer *outgoing = &self->engine->outgoing;

    while (schan__buffer_size(outgoing) > 0) {
        int sent =
            self->system->send(self->handle, (const char *)schan__buffer_head(outgoing),
                               to_int(schan__buffer_size(outgoing)), 0);
        if (sent < 0) {
            if (self->system->WSAGetLastError() == WSAEWOULDBLOCK) {
                trip->wants_to_send = true;
                return SCHAN_OK;
            }
            return fail_winsock(self, "send", trip->err);
        }
        schan__buffer_consume(outgoing, (size_t)sent); /* B52: the rest stays queued */
        follow_backlog(self, (size_t)sent);
        trip->has_moved = true;
    }
    return SCHAN_OK;
}

/* B64: after close_notify it does not matter how TCP ends. */
static schan_result receive_failed(round_trip *trip)
{
    if (trip->socket->engine->peer_closed) {
        schan_engine_feed_eof(trip->socket->engine);
        trip->has_moved = true;
        return SCHAN_OK;
    }
    return fail_winsock(trip->socket, "recv", trip->err);
}

/*
 * How much to ask for. After our close_notify just what the next record lacks: what the
 * peer sends behind its own may be plaintext again, and stays with the socket.
 */
static size_t receive_size(const schan_socket *self)
{
    const schan__buffer *incoming = &self->engine->incoming;
    size_t held = schan__buffer_size(incoming);
    schan__record record = {0};

    if (!self->engine->local_closed || self->engine->record_size > 0 ||
        !schan__record_frame(incoming, 0, &record) || record.is_complete) {
        return self->receive_size;
    }
    return (record.size > 0 ? record.size : SCHAN__RECORD_HEADER) - held;
}

static schan_result receive(round_trip *trip)
{
    schan_socket *self = trip->socket;
    schan__buffer *incoming = &self->engine->incoming;

    if (self->engine->is_eof || (self->waits_first && trip->may_wait)) {
        trip->wants_to_receive = !self->engine->is_eof;
        self->waits_first = false;
        return SCHAN_OK;
    }
    size_t size = receive_size(self);
    if (!schan__buffer_reserve(incoming, size)) {
        return schan__fail(trip->err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    int received = self->system->recv(
        self->handle, (char *)schan__buffer_tail(incoming), to_int(size), 0);
    if (received < 0) {
        trip->wants_to_receive = self->system->WSAGetLastError() == WSAEWOULDBLOCK;
        return trip->wants_to_receive ? SCHAN_OK : receive_failed(trip);
    }
    trip->has_moved = true;
    if (received == 0) {
        schan_engine_feed_eof(self->engine);
        return SCHAN_OK;
    }
    schan__buffer_commit(incoming, (size_t)received);
    if ((size_t)received == self->receive_size &&
        self->receive_size < largest_receive) {
        self->receive_size *= 2;
    }
    return SCHAN_OK;
}

/* ----------------------------------------------------------------- waiting */

static uint32_t time_left_ms(ULONGLONG end_ms)
{
    ULONGLONG now_ms = GetTickCount64();

    return now_ms >= end_ms ? 0 : (uint32_t)(end_ms - now_ms);
}

static void free_if_empty(schan__buffer *buffer)
{
    if (schan__buffer_size(buffer) == 0) {
        schan__buffer_free(buffer);
    }
}

/* Gives back what receiving has made large; called with the lock held. What a view shows
 * is not empty. */
static void release_received(schan_socket *self)
{
    free_if_empty(&self->engine->incoming);
    free_if_empty(&self->engine->spill);
    free_if_empty(&self->engine->shown);
}

/* Nothing has come, or nothing can leave. Room for receiving is taken again when there is
 * something, and less each time. */
static void become_idle(const round_trip *trip)
{
    schan_socket *self = trip->socket;

    lock(self);
    if (trip->wants_to_receive) {
        release_received(self);
        self->waits_first = self->engine->incoming.data == NULL;
        if (self->receive_size > smallest_receive) {
            self->receive_size /= 2;
        }
    }
    free_if_empty(&self->engine->outgoing);
    unlock(self);
}

/* Who waits for an answer has asked: what the question filled is not needed meanwhile,
 * unless another thread goes on sending. */
static void release_question(schan_socket *self)
{
    if (self->sending == 0) {
        lock(self);
        free_if_empty(&self->engine->outgoing);
        unlock(self);
    }
}

/* Waits, without the lock, for what the round wants. Results: SCHAN_OK,
 * SCHAN_WANT_TIME, SCHAN_ERR_SOCKET. */
static schan_result wait_for_socket(round_trip *trip) /* NOLINT: FD_SET nests loops */
{
    schan_socket *self = trip->socket;
    uint32_t left_ms = time_left_ms(trip->end_ms);
    uint32_t slice_ms = left_ms < longest_slice_ms ? left_ms : longest_slice_ms;
    struct timeval timeout = {0, (long)slice_ms * 1000};
    fd_set readable;
    fd_set writable;

    if (!trip->may_wait) { /* it has looked */
        become_idle(trip);
        return SCHAN_WANT_TIME;
    }
    release_question(self);
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    if (trip->wants_to_receive) {
        FD_SET(self->handle, &readable);
    }
    if (trip->wants_to_send) {
        FD_SET(self->handle, &writable);
    }
    int ready =
        self->system->select(0, trip->wants_to_receive ? &readable : NULL,
                             trip->wants_to_send ? &writable : NULL, NULL, &timeout);
    if (ready < 0) {
        return fail_winsock(self, "select", trip->err);
    }
    if (ready == 0) {
        become_idle(trip);
        return left_ms > slice_ms ? SCHAN_OK : SCHAN_WANT_TIME;
    }
    return SCHAN_OK;
}

/* -------------------------------------------------------------------- loop */

/* A flight of the handshake is answered after a round trip, so looking at once would be for
 * nothing. Where sending failed, the peer's last words may be there already. */
static void choose_when_to_look(schan_socket *self, schan_result sent, bool has_sent)
{
    if (sent != SCHAN_OK) {
        self->waits_first = false;
    } else if (has_sent && self->engine->state == SCHAN_STATE_HANDSHAKE) {
        self->waits_first = true;
    }
}

static bool is_answer(schan_result result)
{
    return result != SCHAN_WANT_READ && result != SCHAN_WANT_WRITE;
}

/*
 * One round under the lock: asks for the goal, sends what that queued, whatever it said
 * (a failing handshake has an alert to send), and receives what it lacks if that can have
 * come. The goal's failure goes before the socket's; and a send that fails is told only
 * when the peer's last words, which may explain it, have been read.
 */
static schan_result go_round(round_trip *trip, goal *wanted)
{
    trip->wants_to_receive = false;
    trip->wants_to_send = false;
    trip->has_moved = false;
    schan_result asked = wanted->ask(wanted, trip->socket->engine, trip->err);
    if (asked < 0) {
        schan_error *err = trip->err;
        trip->err = NULL;
        (void)send_queued(trip);
        trip->err = err;
        return asked;
    }
    schan_result sent = send_queued(trip);
    if (asked == SCHAN_WANT_READ) {
        choose_when_to_look(trip->socket, sent, trip->has_moved);
        trip->has_moved = false;
        schan_result received = receive(trip);
        if (received != SCHAN_OK || trip->has_moved) {
            return received != SCHAN_OK ? received : SCHAN_WANT_READ;
        }
    }
    return sent == SCHAN_OK || (is_answer(asked) && !wanted->flushes) ? asked : sent;
}

/*
 * Runs until the goal is reached or the time is over. A peer that never stops sending does
 * not keep it: after `longest_slice_ms`, or the caller's time if that is longer, it returns
 * to the caller even while bytes move.
 */
static schan_result run_until(schan_socket *self, goal *wanted, uint32_t timeout_ms,
                              schan_error *err)
{
    const ULONGLONG start_ms = GetTickCount64();
    const uint32_t longest_ms =
        timeout_ms > longest_slice_ms ? timeout_ms : longest_slice_ms;
    round_trip trip = {0};
    schan_result result = SCHAN_OK;

    trip.socket = self;
    trip.err = err;
    trip.end_ms = start_ms + timeout_ms;
    do {
        trip.may_wait = time_left_ms(trip.end_ms) > 0;
        lock(self);
        do {
            result = go_round(&trip, wanted);
            give_way(self);
        } while (!is_answer(result) && trip.has_moved &&
                 time_left_ms(start_ms + longest_ms) > 0);
        unlock(self);
        if (is_answer(result) &&
            (result < 0 || !wanted->flushes || !trip.wants_to_send)) {
            return result;
        }
        result = trip.has_moved && !is_answer(result) ? SCHAN_WANT_TIME
                                                      : wait_for_socket(&trip);
    } while (result == SCHAN_OK);
    return result;
}

/* ------------------------------------------------------------------- goals */

static schan_result ask_handshake(goal *wanted, schan_engine *engine, schan_error *err)
{
    (void)wanted;
    return schan_engine_handshake(engine, err);
}

static schan_result ask_read(goal *wanted, schan_engine *engine, schan_error *err)
{
    return schan_engine_read(engine, wanted->data, wanted->capacity, &wanted->size,
                             err);
}

static schan_result ask_peek(goal *wanted, schan_engine *engine, schan_error *err)
{
    return schan_engine_peek(engine, &wanted->view, err);
}

static schan_result ask_write(goal *wanted, schan_engine *engine, schan_error *err)
{
    if (wanted->position.index == wanted->count) {
        return SCHAN_OK; /* all is encrypted; it only has to leave */
    }
    return schan__engine_write(engine, wanted->spans, wanted->count, &wanted->position,
                               &wanted->size, err);
}

static schan_result ask_shutdown(goal *wanted, schan_engine *engine, schan_error *err)
{
    (void)wanted;
    return schan_engine_shutdown(engine, err);
}

static schan_result ask_nothing(goal *wanted, schan_engine *engine, schan_error *err)
{
    (void)wanted;
    (void)engine;
    (void)err;
    return SCHAN_OK;
}

/* -------------------------------------------------------------- public part */

schan_result schan_socket_new(schan_socket **out, schan_engine *engine,
                              uintptr_t handle, schan_error *err)
{
    *out = NULL;
    schan_socket *self = schan__allocate(sizeof(*self));
    if (self == NULL) {
        return schan__fail(err, SCHAN_ERR_MEMORY, 0, NULL);
    }
    InitializeSRWLock(&self->lock);
    self->engine = engine;
    self->system = engine->library->system;
    self->handle = (SOCKET)handle;
    self->receive_size = smallest_receive;
    *out = self;
    return SCHAN_OK;
}

void schan_socket_free(schan_socket *self)
{
    if (self != NULL) {
        schan_engine_free(self->engine);
        schan__release(self);
    }
}

schan_engine *schan_socket_engine(schan_socket *self)
{
    return self->engine;
}

void schan_socket_refuse_at_once(schan_library *library, uintptr_t handle)
{
    /* Before, the number would be one of retries: 254. */
    if (library->system->WindowsBuild() < build_of_1709) {
        return;
    }
    TCP_INITIAL_RTO_PARAMETERS settings = {.Rtt = TCP_INITIAL_RTO_UNSPECIFIED_RTT,
                                           .MaxSynRetransmissions =
                                               TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS};
    DWORD answered = 0;

    /* B90 */
    (void)library->system->WSAIoctl((SOCKET)handle, SIO_TCP_INITIAL_RTO, &settings,
                                    sizeof(settings), NULL, 0, &answered);
}

schan_result schan_socket_handshake(schan_socket *self, uint32_t timeout_ms,
                                    schan_error *err)
{
    goal wanted = {.ask = ask_handshake, .flushes = true};

    schan_result result = run_until(self, &wanted, timeout_ms, err);
    lock(self);
    release_received(self);
    free_if_empty(&self->engine->outgoing);
    unlock(self);
    return result;
}

schan_result schan_socket_recv(schan_socket *self, void *data, size_t capacity,
                               size_t *size, uint32_t timeout_ms, schan_error *err)
{
    goal wanted = {.ask = ask_read, .data = data, .capacity = capacity};

    schan_result result = run_until(self, &wanted, timeout_ms, err);
    *size = wanted.size;
    return result;
}

/* The view stays good while another thread sends: that one receives only in the middle of a
 * handshake, when the view is of `shown`, whose block does not move. */
schan_result schan_socket_peek(schan_socket *self, schan_span *view,
                               uint32_t timeout_ms, schan_error *err)
{
    goal wanted = {.ask = ask_peek};

    schan_result result = run_until(self, &wanted, timeout_ms, err);
    *view = wanted.view;
    return result;
}

void schan_socket_consume(schan_socket *self, size_t size)
{
    lock(self);
    schan_engine_consume(self->engine, size);
    unlock(self);
}

schan_result schan_socket_send(schan_socket *self, const schan_span *spans,
                               size_t count, size_t *consumed, uint32_t timeout_ms,
                               schan_error *err)
{
    goal wanted = {.ask = ask_write, .flushes = true, .spans = spans, .count = count};

    InterlockedIncrement(&self->sending);
    schan_result result = run_until(self, &wanted, timeout_ms, err);
    InterlockedDecrement(&self->sending);
    *consumed = wanted.size;
    return result;
}

schan_result schan_socket_shutdown(schan_socket *self, uint32_t timeout_ms,
                                   schan_error *err)
{
    goal wanted = {.ask = ask_shutdown, .flushes = true};

    return run_until(self, &wanted, timeout_ms, err);
}

schan_result schan_socket_flush(schan_socket *self, uint32_t timeout_ms,
                                schan_error *err)
{
    goal wanted = {.ask = ask_nothing, .flushes = true};

    return run_until(self, &wanted, timeout_ms, err);
}

/* B66: an end and a failure are something to read, too. */
int schan_socket_has_pending(schan_socket *self)
{
    schan_span view = {0};

    lock(self);
    int has_pending = schan_engine_peek(self->engine, &view, NULL) != SCHAN_WANT_READ;
    unlock(self);
    return has_pending;
}

int schan_socket_has_unsent(schan_socket *self)
{
    lock(self);
    int has_unsent = schan__buffer_size(&self->engine->outgoing) > 0;
    unlock(self);
    return has_unsent;
}

schan_result schan_socket_info(schan_socket *self, schan_info *info, schan_error *err)
{
    lock(self);
    schan_result result = schan_engine_info(self->engine, info, err);
    unlock(self);
    return result;
}

schan_result schan_socket_channel_binding(schan_socket *self,
                                          schan_channel_binding kind, uint8_t *data,
                                          size_t capacity, size_t *size,
                                          schan_error *err)
{
    lock(self);
    schan_result result =
        schan_engine_channel_binding(self->engine, kind, data, capacity, size, err);
    unlock(self);
    return result;
}

schan_result schan_socket_provide_credential(schan_socket *self,
                                             schan_credential *credential,
                                             schan_error *err)
{
    lock(self); /* another thread may ask what is pending, or say goodbye */
    schan_result result =
        schan_engine_provide_credential(self->engine, credential, err);
    unlock(self);
    return result;
}

schan_result schan_socket_export(schan_socket *self, const char *label,
                                 schan_span context, uint8_t *data, size_t size,
                                 schan_error *err)
{
    lock(self);
    schan_result result =
        schan_engine_export(self->engine, label, context, data, size, err);
    unlock(self);
    return result;
}

size_t schan_socket_pending(schan_socket *self)
{
    lock(self);
    size_t size = schan_engine_pending(self->engine);
    unlock(self);
    return size;
}
