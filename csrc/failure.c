/*
 * failure.c - the first failure of an engine is kept
 *
 * Below everything that can fail in an engine, so that handshake.c, record.c and info.c need
 * not look up at engine.c.
 */
#include "schan_internal.h"

schan_result schan__engine_sticky(const schan_engine *engine, schan_error *err)
{
    if (err != NULL) {
        *err = engine->failure;
    }
    return engine->failure.result;
}

schan_result schan__engine_fail_because(schan_engine *engine, schan_result result,
                                        int32_t status, const char *call,
                                        schan_cause cause, schan_error *err)
{
    if (engine->state != SCHAN_STATE_FAILED) {
        schan__fail(&engine->failure, result, status, call);
        engine->failure.cause = (int32_t)cause;
        engine->failure.alert =
            engine->peeked_alert >= 0 ? engine->peeked_alert : engine->sent_alert;
        engine->state = SCHAN_STATE_FAILED;
    }
    return schan__engine_sticky(engine, err);
}

schan_result schan__engine_fail(schan_engine *engine, schan_result result,
                                int32_t status, const char *call, schan_error *err)
{
    return schan__engine_fail_because(engine, result, status, call, SCHAN_CAUSE_NONE,
                                      err);
}
