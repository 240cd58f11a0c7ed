/*
 * peer.c - the certificates that the peer sent
 *
 * Windows gives the peer's own certificate as a certificate context, and what came with
 * it as the store that this context belongs to. A store has no order: the one that its
 * enumeration happens to have was turned around by an update of Windows 11 (B39). So
 * the peer's certificate is told from the others by its bytes, and the others follow by
 * who issued whom.
 *
 *   sent   | peer | its issuer | that one's issuer | ... | all that is left |
 */
#include "schan_internal.h"

static PCCERT_CONTEXT ask(schan_engine *engine)
{
    static const ULONG attributes[] = {
        SECPKG_ATTR_REMOTE_CERT_CONTEXT,
        SECPKG_ATTR_REMOTE_CERT_CHAIN, /* B38: there when the first one is not yet */
    };

    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        PCCERT_CONTEXT peer = NULL;
        if (schan__info_query(engine, attributes[i], (void *)&peer) == SEC_E_OK &&
            peer != NULL) {
            return peer;
        }
    }
    return NULL;
}

/* Counts what is in the store beside the peer's certificate; keeps it, too, where there
 * is `room` for it. */
static size_t list_others(const schan_engine *engine, PCCERT_CONTEXT *others,
                          size_t room)
{
    const schan_system *system = engine->library->system;
    HCERTSTORE store = engine->peer->hCertStore;
    PCCERT_CONTEXT each = NULL;
    size_t count = 0;

    if (store == NULL) {
        return 0;
    }
    while ((each = system->CertEnumCertificatesInStore(store, each)) != NULL) {
        if (schan__certificate_is_same(each, engine->peer)) { /* B39 */
            continue;
        }
        if (count < room) {
            others[count] = system->CertDuplicateCertificateContext(each);
        }
        count++;
    }
    return count;
}

/* B39: whoever issued the one before comes next; the rest keeps its order. */
static void put_in_order(PCCERT_CONTEXT *sent, size_t count)
{
    for (size_t done = 1; done < count; done++) {
        const CERT_INFO *last = sent[done - 1]->pCertInfo;
        size_t next = done;

        while (next < count && !schan__certificate_is_same_name(
                                   &last->Issuer, &sent[next]->pCertInfo->Subject)) {
            next++;
        }
        if (next == count) {
            return;
        }
        PCCERT_CONTEXT issuer = sent[next];
        memmove((void *)(sent + done + 1), (const void *)(sent + done),
                (next - done) * sizeof(*sent));
        sent[done] = issuer;
    }
}

static bool collect(schan_engine *engine)
{
    const schan_system *system = engine->library->system;
    size_t room = list_others(engine, NULL, 0);

    engine->sent =
        (PCCERT_CONTEXT *)schan__allocate((room + 1) * sizeof(PCCERT_CONTEXT));
    if (engine->sent == NULL) {
        return false;
    }
    engine->sent[0] = system->CertDuplicateCertificateContext(engine->peer);
    size_t count = list_others(engine, engine->sent + 1, room);
    engine->sent_count = 1 + (count < room ? count : room);
    put_in_order(engine->sent, engine->sent_count); /* B39 */
    return true;
}

schan_result schan__peer_fetch(schan_engine *engine, schan_error *err)
{
    if (engine->peer != NULL) {
        engine->library->system->CertFreeCertificateContext(engine->peer);
    }
    engine->peer = ask(engine);
    if (engine->peer == NULL || engine->sent != NULL) {
        return SCHAN_OK; /* what was sent at first is what was verified */
    }
    return collect(engine) ? SCHAN_OK
                           : schan__engine_fail(engine, SCHAN_ERR_MEMORY, 0, NULL, err);
}

void schan__peer_release(schan_engine *engine)
{
    const schan_system *system = engine->library->system;

    for (size_t i = 0; i < engine->sent_count; i++) {
        system->CertFreeCertificateContext(engine->sent[i]);
    }
    schan__release((void *)engine->sent);
    if (engine->peer != NULL) {
        system->CertFreeCertificateContext(engine->peer);
    }
    engine->sent = NULL;
    engine->sent_count = 0;
    engine->peer = NULL;
}

static schan_span der_of(PCCERT_CONTEXT certificate)
{
    schan_span der = {certificate->pbCertEncoded, certificate->cbCertEncoded};

    return der;
}

schan_span schan_engine_peer_certificate(schan_engine *engine)
{
    const schan_span none = {0};

    return engine->peer != NULL ? der_of(engine->peer) : none;
}

schan_span schan_engine_sent_certificate(schan_engine *engine, size_t index)
{
    const schan_span none = {0};

    return index < engine->sent_count ? der_of(engine->sent[index]) : none;
}
