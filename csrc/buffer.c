/*
 * buffer.c - a byte queue with a head and a tail
 *
 *     data      head            tail      capacity
 *       |  stale  |  bytes held   |   room   |
 *
 * Always true here: 0 <= head <= tail <= capacity; an empty buffer stands at 0, or has
 * no memory. The memory is wiped before it is given back, because application data is
 * decrypted in it. A small buffer goes as soon as it is empty: taking one costs little,
 * and many idle connections should hold none. A large one stays for the bulk that made it
 * grow, until its owner frees it.
 */
#include "schan_internal.h"

static const size_t smallest_capacity = 4096;
/* About what the heap of Windows keeps ready for each size. */
static const size_t small_capacity = (size_t)16 * 1024;

size_t schan__buffer_size(const schan__buffer *buffer)
{
    return buffer->tail - buffer->head;
}

uint8_t *schan__buffer_head(const schan__buffer *buffer)
{
    return buffer->data == NULL ? NULL : buffer->data + buffer->head;
}

uint8_t *schan__buffer_tail(const schan__buffer *buffer)
{
    return buffer->data == NULL ? NULL : buffer->data + buffer->tail;
}

size_t schan__buffer_room(const schan__buffer *buffer)
{
    return buffer->capacity - buffer->tail;
}

static bool grow(schan__buffer *buffer, size_t needed)
{
    size_t capacity =
        buffer->capacity < smallest_capacity ? smallest_capacity : buffer->capacity;
    size_t held = schan__buffer_size(buffer);

    while (capacity < needed) {
        if (capacity > SIZE_MAX / 2) {
            return false;
        }
        capacity *= 2;
    }
    uint8_t *data = schan__allocate(capacity);
    if (data == NULL) {
        return false;
    }
    if (held > 0) {
        memcpy(data, schan__buffer_head(buffer), held);
    }
    schan__buffer_free(buffer);
    buffer->data = data;
    buffer->tail = held;
    buffer->capacity = capacity;
    return true;
}

bool schan__buffer_reserve(schan__buffer *buffer, size_t size)
{
    size_t held = schan__buffer_size(buffer);

    if (schan__buffer_room(buffer) >= size) {
        return true;
    }
    if (size > SIZE_MAX - held) {
        return false;
    }
    if (held + size > buffer->capacity) {
        return grow(buffer, held + size);
    }
    memmove(buffer->data, schan__buffer_head(buffer), held);
    buffer->head = 0;
    buffer->tail = held;
    return true;
}

bool schan__buffer_append(schan__buffer *buffer, const void *data, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (!schan__buffer_reserve(buffer, size)) {
        return false;
    }
    memcpy(schan__buffer_tail(buffer), data, size);
    schan__buffer_commit(buffer, size);
    return true;
}

void schan__buffer_commit(schan__buffer *buffer, size_t size)
{
    buffer->tail += size;
}

void schan__buffer_consume(schan__buffer *buffer, size_t size)
{
    buffer->head += size;
    if (buffer->head == buffer->tail) {
        buffer->head = 0;
        buffer->tail = 0;
        if (buffer->capacity <= small_capacity) {
            schan__buffer_free(buffer);
        }
    }
}

void schan__buffer_close_gap(schan__buffer *buffer, size_t offset, size_t gap)
{
    uint8_t *head = schan__buffer_head(buffer);

    memmove(head + gap, head, offset);
    schan__buffer_consume(buffer, gap);
}

void schan__buffer_free(schan__buffer *buffer)
{
    if (buffer->data != NULL) {
        SecureZeroMemory(buffer->data, buffer->capacity);
        schan__release(buffer->data);
    }
    memset(buffer, 0, sizeof(*buffer));
}
