/* unit_status.c - codes in words (status.c) */
#include "check.h"
#include "schan_internal.h"

typedef struct {
    int32_t code;
    const char *name;
} known;

/* By the numbers that Microsoft documents, not by our headers. */
static const known statuses[] = {
    {(int32_t)0x80090308, "SEC_E_INVALID_TOKEN"},
    {(int32_t)0x80090318, "SEC_E_INCOMPLETE_MESSAGE"},
    {(int32_t)0x80090325, "SEC_E_UNTRUSTED_ROOT"},
    {(int32_t)0x80090326, "SEC_E_ILLEGAL_MESSAGE"},
    {(int32_t)0x80090330, "SEC_E_DECRYPT_FAILURE"},
    {(int32_t)0x80090331, "SEC_E_ALGORITHM_MISMATCH"},
    {(int32_t)0x80092010, "CRYPT_E_REVOKED"},
    {(int32_t)0x80092013, "CRYPT_E_REVOCATION_OFFLINE"},
    {(int32_t)0x800B0101, "CERT_E_EXPIRED"},
    {(int32_t)0x800B0109, "CERT_E_UNTRUSTEDROOT"},
    {(int32_t)0x800B010F, "CERT_E_CN_NO_MATCH"},
    {10054, "WSAECONNRESET"},
    {10060, "WSAETIMEDOUT"},
};

TEST(statuses_have_the_names_that_microsoft_documents)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        const schan_text *text = schan_status_text(statuses[i].code);

        CHECK(text != NULL);
        CHECK(strcmp(statuses[i].name, text->name) == 0);
    }
}

TEST(statuses_without_a_row_have_no_text)
{
    CHECK(schan_status_text(0) == NULL);
    CHECK(schan_status_text(0x12345678) == NULL);
    CHECK(schan_alert_text(-1) == NULL);
    CHECK(schan_alert_text(255) == NULL);
    CHECK(schan_cause_text(SCHAN_CAUSE_NONE) == NULL);
}

static void check_text(const schan_text *text, int32_t code)
{
    CHECK_EQUAL(code, text->code);
    CHECK(text->name[0] != 0 && text->sentence[0] != 0);
    CHECK(text->sentence[strlen(text->sentence) - 1] != '.');
    CHECK(text->hint == NULL || text->hint[0] != 0);
}

TEST(texts_are_sentences_for_their_own_code)
{
    size_t count = 0;

    for (int32_t alert = 0; alert < 256; alert++) {
        if (schan_alert_text(alert) != NULL) {
            check_text(schan_alert_text(alert), alert);
            count++;
        }
    }
    CHECK(count >= 25); /* RFC 8446, 6.2 */
    for (int32_t cause = SCHAN_CAUSE_NO_SERVER_ROLE;
         cause <= SCHAN_CAUSE_UNREAD_ANSWERS; cause++) {
        check_text(schan_cause_text(cause), cause);
    }
    for (uint32_t base = 0; base < 4; base++) {
        static const uint32_t first[] = {0x80090000, 0x80092000, 0x800b0000,
                                         0x80096000};
        for (uint32_t i = 0; i < 0x1200; i++) {
            int32_t code = (int32_t)(first[base] + i);
            if (schan_status_text(code) != NULL) {
                check_text(schan_status_text(code), code);
            }
        }
    }
}

TEST(detail_shows_the_first_line_of_what_was_met)
{
    schan_error err = {0};
    uint8_t flood[300];
    memset(flood, 'x', sizeof(flood));

    CHECK_EQUAL(SCHAN_ERR_PROTOCOL,
                schan__fail_with(&err, SCHAN_ERR_PROTOCOL,
                                 (const uint8_t *)"220 \x01\xff hi\r\nmore", 15));
    CHECK(strcmp("220 .. hi", err.detail) == 0);
    schan__fail_with(&err, SCHAN_ERR_PROTOCOL, flood, sizeof(flood));
    CHECK_EQUAL(95, strlen(err.detail));
    schan__fail_with(&err, SCHAN_ERR_PROTOCOL, NULL, 0);
    CHECK_EQUAL(0, err.detail[0]);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan__fail_with(NULL, SCHAN_ERR_MISUSE, flood, 1));
}
