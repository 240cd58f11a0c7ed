/* unit_record.c - framing (record.c) */
#include "check.h"
#include "schan_internal.h"

typedef struct {
    const char *bytes;
    size_t count; /* how many of them are there */
    bool is_tls;
    size_t size; /* that the header tells; 0: not known yet */
    bool is_complete;
} frame_case;

static const frame_case cases[] = {
    {"", 0, true, 0, false},
    {"\x17", 1, true, 0, false},
    {"\x17\x03", 2, true, 0, false},
    {"\x17\x03\x03\x00", 4, true, 0, false},
    {"\x17\x03\x03\x00\x00", 5, true, 5, true},
    {"\x17\x03\x03\x00\x01", 5, true, 6, false},
    {"\x17\x03\x03\x00\x01z", 6, true, 6, true},
    {"\x17\x03\x03\x00\x01zz", 7, true, 6, true},
    {"\x14\x03\x00\x00\x00", 5, true, 5, true},
    {"\x18\x03\xff\x00\x00", 5, true, 5, true},
    {"\x13\x03\x03\x00\x00", 5, false, 0, false}, /* below change_cipher_spec */
    {"\x19\x03\x03\x00\x00", 5, false, 0, false}, /* above heartbeat */
    {"\x16\x02\x03\x00\x00", 5, false, 0, false},
    {"220 mail", 8, false, 0, false},
    {"2", 1, false, 0, false},
    {"\x17\x04", 2, false, 0, false},
    {"\x17\x03\x03\x48\x00", 5, true, 5 + 18432, false},  /* 2^14 + 2048 */
    {"\x17\x03\x03\x48\x01", 5, false, 5 + 18433, false}, /* one more */
    {"\x17\x03\x03\xff\xff", 5, false, 5 + 65535, false},
};

TEST(record_header_is_read_as_far_as_it_is_there)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const frame_case *given = &cases[i];
        schan__buffer incoming = {0};
        schan__record record = {0};
        CHECK(schan__buffer_append(&incoming, given->bytes, given->count));

        CHECK_EQUAL(given->is_tls, schan__record_frame(&incoming, 0, &record));
        CHECK_EQUAL(given->is_complete, record.is_complete);
        if (given->is_tls) {
            CHECK_EQUAL(given->size, record.size);
        }
        schan__buffer_free(&incoming);
    }
}

TEST(record_header_is_read_behind_other_bytes)
{
    schan__buffer incoming = {0};
    schan__record record = {0};

    CHECK(schan__buffer_append(&incoming, "??\x15\x03\x03\x00\x02\x01", 8));

    CHECK(schan__record_frame(&incoming, 2, &record));
    CHECK_EQUAL(21, record.type);
    CHECK_EQUAL(7, record.size);
    CHECK(!record.is_complete);
    schan__buffer_free(&incoming);
}
