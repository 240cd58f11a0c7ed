/* unit_host_name.c - the name matcher (host_name.c); hostile DER, RFC 9525 */
#include "check.h"
#include "schan_internal.h"

typedef struct {
    const char *names; /* entries: tag, length, content */
    size_t size;
    const wchar_t *host;
    const char *address;
    size_t address_size;
    bool is_match;
} name_case;

#define DNS(length, text) "\x82" length text
#define ENTRIES(text)     text, sizeof(text) - 1
#define HOST(text)        L##text, NULL, 0
#define ADDRESS(text)     NULL, text, sizeof(text) - 1

static const name_case cases[] = {
    {ENTRIES(DNS("\x09", "a.example")), HOST("a.example"), true},
    {ENTRIES(DNS("\x09", "A.eXample")), HOST("a.Example"), true},
    {ENTRIES(DNS("\x09", "a.example")), HOST("a.example."), true},
    {ENTRIES(DNS("\x0a", "a.example.")), HOST("a.example"), true},
    {ENTRIES(DNS("\x09", "a.example")), HOST("b.example"), false},
    {ENTRIES(DNS("\x09", "a.example")), HOST("a.example.org"), false},
    {ENTRIES(DNS("\x09", "a.example")), HOST("x.a.example"), false},
    {ENTRIES(DNS("\x09", "a.example")), HOST(""), false},
    {ENTRIES(DNS("\x00", "")), HOST("a"), false},
    {ENTRIES(DNS("\x00", "")), HOST(""), false},
    {ENTRIES(DNS("\x01", ".")), HOST("."), false},
    {ENTRIES(DNS("\x01", "x") DNS("\x09", "a.example")), HOST("a.example"), true},
    {ENTRIES(DNS("\x10", "a.example\0.evil.")), HOST("a.example"), false},
    {ENTRIES(DNS("\x0d", "*.example.org")), HOST("a.example.org"), true},
    {ENTRIES(DNS("\x0d", "*.example.org")), HOST("example.org"), false},
    {ENTRIES(DNS("\x0d", "*.example.org")), HOST(".example.org"), false},
    {ENTRIES(DNS("\x0d", "*.example.org")), HOST("a.b.example.org"), false},
    {ENTRIES(DNS("\x05", "*.org")), HOST("example.org"), false},
    {ENTRIES(DNS("\x02", "*.")), HOST("a."), false},
    {ENTRIES(DNS("\x01", "*")), HOST("a"), false},
    {ENTRIES(DNS("\x0e", "a*.example.org")), HOST("ab.example.org"), false},
    {ENTRIES(DNS("\x07", "1.2.3.4")), ADDRESS("\x01\x02\x03\x04"), false},
    {ENTRIES("\x87\x04\x01\x02\x03\x04"), ADDRESS("\x01\x02\x03\x04"), true},
    {ENTRIES("\x87\x04\x01\x02\x03\x05"), ADDRESS("\x01\x02\x03\x04"), false},
    {ENTRIES("\x87\x03\x01\x02\x03"), ADDRESS("\x01\x02\x03\x04"), false},
    {ENTRIES("\x87\x04\x01\x02\x03\x04"), HOST("1.2.3.4"), false},
    {ENTRIES("\x81\x09"
             "a.example"),
     HOST("a.example"), false}, /* an e-mail address */
    {ENTRIES(DNS("\x09", "a.example") "\x82"), HOST("a.example"), false},
    {ENTRIES(DNS("\x09", "a.example") "\x82\x05x"), HOST("a.example"), false},
    {ENTRIES(DNS("\x81\x09", "a.example")), HOST("a.example"), false}, /* not DER */
    {ENTRIES(DNS("\x80", "a.example")), HOST("a.example"), false},
    {ENTRIES(DNS("\x84\x00\x00\x00\x09", "a.example")), HOST("a.example"), false},
    {ENTRIES(DNS("\x82\x00\x89", "a.example")), HOST("a.example"), false},
    {ENTRIES(DNS("\xff", "a.example")), HOST("a.example"), false},
};

/* A copy of exactly that size, so that a sanitizer sees one byte too many. */
static int matches(const uint8_t *der, size_t size, const name_case *given)
{
    uint8_t *copy = malloc(size + 1);
    memcpy(copy + 1, der, size);
    schan_span names = {copy + 1, size};
    schan_span address = {(const uint8_t *)given->address, given->address_size};
    int is_match = schan_host_name_matches(names, given->host, address);

    free(copy);
    return is_match;
}

TEST(certificate_names_match_by_rfc_9525)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t der[128] = {0x30, (uint8_t)cases[i].size};
        memcpy(der + 2, cases[i].names, cases[i].size);

        fprintf(stderr, "case %zu\n", i);
        CHECK_EQUAL(cases[i].is_match, matches(der, cases[i].size + 2, &cases[i]));
    }
}

TEST(names_that_are_cut_off_or_followed_by_something_match_nothing)
{
    uint8_t der[32] = "\x30\x0b\x82\x09"
                      "a.example?";

    CHECK_EQUAL(1, matches(der, 13, &cases[0]));
    CHECK_EQUAL(0, matches(der, 14, &cases[0]));
    for (size_t size = 0; size < 13; size++) {
        CHECK_EQUAL(0, matches(der, size, &cases[0]));
    }
    der[0] = 0x31; /* a SET */
    CHECK_EQUAL(0, matches(der, 13, &cases[0]));
}

TEST(names_of_long_form_lengths_match)
{
    static uint8_t der[70000];
    const size_t entry = 11;
    size_t size = 0;

    for (size_t i = 0; i < 6000; i++) {
        memcpy(der + 5 + size,
               i == 5999 ? "\x82\x09"
                           "a.example"
                         : "\x82\x09"
                           "b.example",
               entry);
        size += entry;
    }
    memcpy(der, "\x30\x83", 2);
    der[2] = (uint8_t)(size >> 16U);
    der[3] = (uint8_t)(size >> 8U);
    der[4] = (uint8_t)size;

    CHECK_EQUAL(1, matches(der, size + 5, &cases[0]));
    CHECK_EQUAL(0, matches(der, size + 4, &cases[0]));
}

TEST(reference_names_outside_ascii_match_nothing)
{
    const uint8_t der[] = "\x30\x04\x82\x02"
                          "a\xe9";
    const schan_span names = {der, 6};

    CHECK_EQUAL(0, schan_host_name_matches(names, L"a\xe9", (schan_span){0}));
    CHECK_EQUAL(0, schan_host_name_matches(names, L"a\x01e9", (schan_span){0}));
    CHECK_EQUAL(0, schan_host_name_matches(names, NULL, (schan_span){0}));
}
