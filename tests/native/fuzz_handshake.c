/*
 * fuzz_handshake.c - handshake tokens into a new connection of either role: messages split
 * and glued, requests for a certificate, alerts, hostile bytes, verdicts
 */
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    session_run(data, size, SESSION_ENGINE, false);
    return 0;
}
