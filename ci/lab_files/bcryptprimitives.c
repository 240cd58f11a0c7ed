/* bcryptprimitives.dll for Wine < 9, which has none: the one function that
   Rust's standard library (and so `cryptography`) imports from it. */
#include <stddef.h>

__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *bytes,
                                                                unsigned long size);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *bytes, size_t size)
{
    const unsigned long at_most = 0x40000000UL;

    while (size > 0) {
        unsigned long part = size > at_most ? at_most : (unsigned long)size;

        if (!SystemFunction036(bytes, part)) {
            return 0;
        }
        bytes += part;
        size -= part;
    }
    return 1;
}
