/*
 * choices.h - bytes that decide what happens next: a fuzzer's input, or a test's script
 *
 * When the bytes are over, every choice is the first one, so that each run ends.
 */
#ifndef CHOICES_H
#define CHOICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *data;
    size_t size;
    size_t at;
} choices;

static inline bool choices_are_over(const choices *self)
{
    return self->at >= self->size;
}

static inline uint8_t choose_byte(choices *self)
{
    return self->at < self->size ? self->data[self->at++] : 0;
}

/* 0 .. count - 1 */
static inline size_t choose(choices *self, size_t count)
{
    return choose_byte(self) % count;
}

/* 0 .. `most`, small numbers from one byte, others from three */
static inline size_t choose_size(choices *self, size_t most)
{
    size_t first = choose_byte(self);
    size_t size = first;

    if (first >= 0xfc) {
        size = (size_t)choose_byte(self) << 8U;
        size |= choose_byte(self);
    }
    return size <= most ? size : most;
}

/* Up to `most` bytes of what is left, as they are. */
static inline const uint8_t *choose_bytes(choices *self, size_t most, size_t *size)
{
    size_t left = self->size - self->at;
    const uint8_t *bytes = self->data + self->at;

    *size = most < left ? most : left;
    self->at += *size;
    return bytes;
}

#endif
