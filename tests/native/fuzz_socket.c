/*
 * fuzz_socket.c - the socket driver over a Winsock that blocks, cuts and fails
 */
#include "session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_open = size > 1 && (data[1] & 0x80U) == 0; /* and the first step, too */

    session_run(data, size, SESSION_SOCKET, is_open);
    return 0;
}
