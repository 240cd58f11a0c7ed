/* unit_socket.c - the socket driver (socket.c) where blocking is scripted */
#include "check.h"
#include "session.h"

/* Sessions written by hand: the first byte holds the knobs, then the steps of session.c,
 * each judged by what arrives. */
typedef struct {
    const char *steps;
    size_t size;
} play;

#define PLAY(steps) {steps, sizeof(steps) - 1}

static const play plays[] = {
    PLAY("\x00\x00\x05\x01\x00\x02\x10"),                 /* data, through, read */
    PLAY("\x01\x00\x05\x01\x03\x02\x10\x01\x00\x02\x10"), /* in two pieces */
    PLAY("\x02\x04\x40\x03\x00\x00\x00\x05\x00"),         /* write, flush */
    PLAY("\x00\x00\x20\x08\x01\x00\x02\x40\x02\x40"),     /* data, close_notify */
    PLAY("\x00\x00\x20\x09\x01\x00\x02\x40\x02\x40"),     /* data, TCP ends */
    PLAY("\x00\x06\x01\x01\x00\x02\x10\x04\x08\x00"),     /* key update, then write */
    PLAY("\x00\x07\x22\x05\x01\x00\x03\x80\x03\xff"), /* data with a message, views */
    PLAY("\x00\x0a\x04\x10\x00\x00\x08\x01\x00\x02\x10"), /* shutdown, then data */
    PLAY("\x00\x13\xff\x02\x10\x04\x10\x00"),             /* reset */
};

TEST(sessions_over_a_socket_lose_nothing)
{
    for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
        fprintf(stderr, "play %zu\n", i);
        session_run((const uint8_t *)plays[i].steps, plays[i].size, SESSION_SOCKET,
                    true);
    }
}

TEST(sessions_over_the_engine_lose_nothing)
{
    for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
        session_run((const uint8_t *)plays[i].steps, plays[i].size, SESSION_ENGINE,
                    true);
        session_run((const uint8_t *)plays[i].steps, plays[i].size, SESSION_ENGINE,
                    false);
    }
}
