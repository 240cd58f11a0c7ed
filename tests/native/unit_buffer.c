/* unit_buffer.c - the byte queue (buffer.c) */
#include "check.h"
#include "schan_internal.h"
#include "stand_in.h"

static void check_holds(const schan__buffer *buffer, const char *text)
{
    CHECK_EQUAL(strlen(text), schan__buffer_size(buffer));
    CHECK(memcmp(text, schan__buffer_head(buffer), strlen(text)) == 0);
}

TEST(buffer_gives_bytes_in_the_order_they_came)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "abc", 3));
    CHECK(schan__buffer_append(&buffer, "def", 3));
    schan__buffer_consume(&buffer, 2);

    check_holds(&buffer, "cdef");
    schan__buffer_free(&buffer);
}

TEST(buffer_stands_at_its_beginning_when_it_is_empty)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "abc", 3));
    schan__buffer_consume(&buffer, 3);

    CHECK_EQUAL(buffer.capacity, schan__buffer_room(&buffer));
    schan__buffer_free(&buffer);
}

TEST(buffer_moves_up_before_it_grows)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_reserve(&buffer, 4096));
    size_t capacity = buffer.capacity;
    schan__buffer_commit(&buffer, capacity);
    memset(schan__buffer_head(&buffer), 'x', capacity);
    schan__buffer_consume(&buffer, capacity - 2);
    CHECK(schan__buffer_reserve(&buffer, capacity - 2));

    CHECK_EQUAL(capacity, buffer.capacity);
    check_holds(&buffer, "xx");
    schan__buffer_free(&buffer);
}

TEST(buffer_keeps_what_it_holds_when_it_grows)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "abcd", 4));
    schan__buffer_consume(&buffer, 1);
    CHECK(schan__buffer_reserve(&buffer, 100000));

    check_holds(&buffer, "bcd");
    CHECK(schan__buffer_room(&buffer) >= 100000);
    schan__buffer_free(&buffer);
}

TEST(buffer_changes_nothing_when_there_is_no_memory)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "abc", 3));
    stand_in.failing_allocation = stand_in.allocations + 1;

    CHECK(!schan__buffer_reserve(&buffer, 100000));
    check_holds(&buffer, "abc");
    schan__buffer_free(&buffer);
}

TEST(buffer_refuses_sizes_that_overflow)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "abc", 3));

    CHECK(!schan__buffer_reserve(&buffer, SIZE_MAX));
    CHECK(!schan__buffer_reserve(&buffer, SIZE_MAX - 3));
    check_holds(&buffer, "abc");
    schan__buffer_free(&buffer);
}

TEST(buffer_closes_a_gap_between_two_parts)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "headGAPtail", 11));
    schan__buffer_close_gap(&buffer, 4, 3);

    check_holds(&buffer, "headtail");
    schan__buffer_free(&buffer);
}

TEST(buffer_wipes_memory_that_it_gives_back)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "secret", 6));
    stand_in.watched = buffer.data;
    stand_in.watched_size = buffer.capacity;
    schan__buffer_free(&buffer);

    CHECK(stand_in.was_wiped);
    CHECK(stand_in.watched == NULL);
}

TEST(buffer_wipes_memory_that_it_grows_out_of)
{
    schan__buffer buffer = {0};

    CHECK(schan__buffer_append(&buffer, "secret", 6));
    stand_in.watched = buffer.data;
    stand_in.watched_size = buffer.capacity;
    CHECK(schan__buffer_reserve(&buffer, 100000));

    CHECK(stand_in.was_wiped);
    schan__buffer_free(&buffer);
}

TEST(lengths_that_windows_cannot_take_are_refused)
{
    ULONG narrow = 1;

    CHECK(schan__to_ulong(0x7fffffff, &narrow));
    CHECK_EQUAL(0x7fffffff, narrow);
    CHECK(!schan__to_ulong(0x80000000, &narrow));
    CHECK_EQUAL(0, narrow);
    CHECK(!schan__to_ulong((size_t)1 << 32U, &narrow));
}
