/*
 * session.h - a connection between the library and the peer of toy_tls.c, driven by choices
 *
 * What the peer sends and what the application writes are patterns of their offsets, so
 * that every byte can be judged when it arrives: nothing lost, nothing twice, nothing in
 * another order. After hostile bytes only safety is judged.
 */
#ifndef SESSION_H
#define SESSION_H

#include "schan.h"
#include "toy_tls.h"

typedef enum {
    SESSION_ENGINE, /* feed and drain */
    SESSION_SOCKET  /* the socket driver over a Winsock in memory */
} session_kind;

/* Plays `data` to its end and judges the outcome; `is_open`: with the handshake done. */
void session_run(const uint8_t *data, size_t size, session_kind kind, bool is_open);

#endif
