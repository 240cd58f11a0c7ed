/*
 * alert.c - alerts read, made and named, in both roles
 *
 * What the peer sends in the clear is read before SSPI gets it, because SSPI tells no more
 * than that there was something. What we send is made by Windows, which has the keys;
 * only a client with whom there are no keys yet gets an alert written here.
 */
#include "schan_internal.h"

enum { level_fatal = 2, close_notify = 0, plain_alert_size = SCHAN__RECORD_HEADER + 2 };

/* ----------------------------------------------------------------- reading */

/* B30: SSPI tells no more than "illegal message"; an alert in the clear says why. */
void schan__alert_peek(schan_engine *engine, size_t size, uint8_t type)
{
    const uint8_t *record = schan__buffer_head(&engine->incoming) + engine->claimed;

    if (type == SCHAN__TYPE_ALERT && size - engine->claimed == plain_alert_size) {
        uint8_t level = record[SCHAN__RECORD_HEADER];
        uint8_t description = record[SCHAN__RECORD_HEADER + 1];
        if (level == level_fatal || description == close_notify) {
            engine->peeked_alert = description;
        }
    }
}

void schan__alert_note_sent(schan_engine *engine, size_t offset)
{
    schan__record record = {0};
    const uint8_t *start = schan__buffer_head(&engine->outgoing);

    if (schan__record_frame(&engine->outgoing, offset, &record) && record.is_complete &&
        record.type == SCHAN__TYPE_ALERT && record.size == plain_alert_size) {
        engine->sent_alert = start[offset + plain_alert_size - 1];
    }
}

/* ------------------------------------------------------------------ making */

/* B68: SEC_E_OK and SEC_I_CONTEXT_EXPIRED are both told here; the token is what
 * counts. */
static bool fetch_alert(schan_engine *engine)
{
    size_t queued_before = schan__buffer_size(&engine->outgoing);
    schan__output out = {0};

    schan__sspi_advance(engine, NULL, &out);
    return schan__sspi_queue_tokens(engine, &out, &engine->outgoing) &&
           schan__buffer_size(&engine->outgoing) > queued_before;
}

/* B85: while our last flight waits, the peer could not read what comes behind it. */
static bool is_readable_for_peer(const schan_engine *engine)
{
    return schan__buffer_size(&engine->held) == 0;
}

bool schan__alert_send(schan_engine *engine, uint8_t description)
{
    SCHANNEL_ALERT_TOKEN control = {0};

    if (!is_readable_for_peer(engine)) {
        return false;
    }
    control.dwTokenType = SCHANNEL_ALERT; /* B45 */
    control.dwAlertType = TLS1_ALERT_FATAL;
    control.dwAlertNumber = description;
    bool is_sent =
        schan__sspi_control(engine, &control, sizeof(control)) && fetch_alert(engine);
    if (is_sent) {
        engine->sent_alert = description;
    }
    return is_sent;
}

void schan__alert_close(schan_engine *engine)
{
    DWORD control = SCHANNEL_SHUTDOWN;

    if (is_readable_for_peer(engine) &&
        schan__sspi_control(engine, &control, sizeof(control))) { /* B70: may fail */
        (void)fetch_alert(engine);
    }
}

void schan__alert_write(schan_engine *engine, uint8_t description)
{
    const uint8_t record[plain_alert_size] = {
        SCHAN__TYPE_ALERT, 3, 1, 0, 2, level_fatal, description}; /* RFC 8446, 5.1 */

    if (schan__buffer_append(&engine->outgoing, record, sizeof(record))) {
        engine->sent_alert = description;
    }
}

/* ------------------------------------------------------------------ naming */

/* RFC 8446, 6.2: what tells the peer why it was refused (B45). */
static const struct {
    schan_reason reason;
    uint8_t alert;
} reason_alerts[] = {
    {SCHAN_REASON_EXPIRED, 45},          {SCHAN_REASON_NOT_YET_VALID, 45},
    {SCHAN_REASON_UNKNOWN_CA, 48},       {SCHAN_REASON_SELF_SIGNED, 48},
    {SCHAN_REASON_INCOMPLETE_CHAIN, 48}, {SCHAN_REASON_WRONG_USAGE, 43},
    {SCHAN_REASON_REVOKED, 44},          {SCHAN_REASON_REVOCATION_UNKNOWN, 46},
    {SCHAN_REASON_PIN_MISMATCH, 46},     {SCHAN_REASON_TIMED_OUT, 46},
};

uint8_t schan__alert_for(schan_reason reason)
{
    const uint8_t bad_certificate = 42;

    for (size_t i = 0; i < sizeof(reason_alerts) / sizeof(reason_alerts[0]); i++) {
        if (reason_alerts[i].reason == reason) {
            return reason_alerts[i].alert;
        }
    }
    return bad_certificate;
}
