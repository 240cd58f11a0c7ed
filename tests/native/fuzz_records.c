/*
 * fuzz_records.c - records into an open connection: data, post-handshake messages, close,
 * truncation and hostile bytes, split anywhere, between reads and writes
 */
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    session_run(data, size, SESSION_ENGINE, true);
    return 0;
}
