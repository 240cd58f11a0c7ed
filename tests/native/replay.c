/*
 * replay.c - runs a fuzz target once over each file that is named, without libFuzzer: for
 * coverage by gcc
 */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **names)
{
    static uint8_t input[65536];

    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (file == NULL) {
            perror(names[i]);
            return 1;
        }
        size_t size = fread(input, 1, sizeof(input), file);
        fclose(file);
        (void)LLVMFuzzerTestOneInput(input, size);
    }
    return 0;
}
