/*
 * info.c - what the handshake agreed on, asked of SSPI once
 *
 * Only the stream sizes are indispensable. The version must be one that the caller
 * allowed, on every platform: a policy, or a Windows that ignores the credential's
 * range, may give another one (B100). What else Windows does not tell is left empty.
 *
 * After a renegotiation all is fetched again; whether it may be other than before is not
 * decided here.
 */
#include "schan_internal.h"

static const struct {
    DWORD bits;
    uint32_t protocol;
} protocols_of_windows[] = {
    {SP_PROT_TLS1_0_CLIENT | SP_PROT_TLS1_0_SERVER, SCHAN_TLS_1_0},
    {SP_PROT_TLS1_1_CLIENT | SP_PROT_TLS1_1_SERVER, SCHAN_TLS_1_1},
    {SP_PROT_TLS1_2_CLIENT | SP_PROT_TLS1_2_SERVER, SCHAN_TLS_1_2},
    {SP_PROT_TLS1_3_CLIENT | SP_PROT_TLS1_3_SERVER, SCHAN_TLS_1_3},
};

static const struct {
    ALG_ID algorithm;
    const wchar_t *name;
} key_exchanges[] = {
    {CALG_RSA_KEYX, L"RSA"},
    {CALG_DH_EPHEM, L"DHE"},
    {CALG_ECDH, L"ECDH"},
    {CALG_ECDH_EPHEM, L"ECDHE"},
};

SECURITY_STATUS schan__info_query(schan_engine *engine, ULONG attribute, void *value)
{
    schan__sspi_enter(engine->library, false);
    SECURITY_STATUS status = engine->library->sspi->QueryContextAttributesW(
        &engine->handle, attribute, value);
    schan__sspi_leave(engine->library, false);
    return status;
}

static uint32_t protocol_of(const schan_engine *engine, DWORD windows_protocol)
{
    if (windows_protocol == 0 && engine->library->quirks.protocol_zero_is_tls13) {
        return SCHAN_TLS_1_3;
    }
    for (size_t i = 0;
         i < sizeof(protocols_of_windows) / sizeof(protocols_of_windows[0]); i++) {
        if ((windows_protocol & protocols_of_windows[i].bits) != 0) {
            return protocols_of_windows[i].protocol;
        }
    }
    return 0;
}

static void copy_name(wchar_t *to, size_t capacity, const wchar_t *from)
{
    for (size_t i = 0; i + 1 < capacity && from[i] != L'\0'; i++) {
        to[i] = from[i];
    }
}

static void fetch_cipher(schan_engine *engine)
{
    SecPkgContext_CipherInfo cipher = {0};
    schan_info *info = &engine->info;

    cipher.dwVersion = SECPKGCONTEXT_CIPHERINFO_V1;
    if (schan__info_query(engine, SECPKG_ATTR_CIPHER_INFO, &cipher) != SEC_E_OK) {
        return;
    }
    copy_name(info->cipher_suite, SZ_ALG_MAX_SIZE, cipher.szCipherSuite);
    copy_name(info->key_exchange, SZ_ALG_MAX_SIZE, cipher.szExchange);
    if (cipher.dwCipherLen > 0) {
        info->cipher_strength = cipher.dwCipherLen;
    }
}

/* The name that CIPHER_INFO gives goes before the number of CONNECTION_INFO. */
static void note_key_exchange(schan_engine *engine,
                              const SecPkgContext_ConnectionInfo *connection)
{
    const size_t count = sizeof(key_exchanges) / sizeof(key_exchanges[0]);

    engine->info.key_exchange_strength = connection->dwExchStrength;
    for (size_t i = 0; i < count && engine->info.key_exchange[0] == L'\0'; i++) {
        if (key_exchanges[i].algorithm == connection->aiExch) {
            copy_name(engine->info.key_exchange, SZ_ALG_MAX_SIZE,
                      key_exchanges[i].name);
        }
    }
}

static int fetch_resumed(schan_engine *engine)
{
    SecPkgContext_SessionInfo session = {0};

    if (schan__info_query(engine, SECPKG_ATTR_SESSION_INFO, &session) != SEC_E_OK) {
        return -1; /* Wine has none */
    }
    return (session.dwFlags & SSL_SESSION_RECONNECT) != 0; /* B47 */
}

static void fetch_alpn(schan_engine *engine)
{
    SecPkgContext_ApplicationProtocol chosen = {0};

    if (engine->alpn_offer_size == 0 ||
        schan__info_query(engine, SECPKG_ATTR_APPLICATION_PROTOCOL, &chosen) !=
            SEC_E_OK ||
        chosen.ProtoNegoStatus !=
            SecApplicationProtocolNegotiationStatus_Success) { /* B36 */
        return;
    }
    engine->info.alpn_size = chosen.ProtocolIdSize;
    memcpy(engine->info.alpn, chosen.ProtocolId, chosen.ProtocolIdSize);
}

static schan_result fail(schan_engine *engine, SECURITY_STATUS status, schan_error *err)
{
    return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, status,
                              "QueryContextAttributes", err);
}

schan_result schan__info_fetch(schan_engine *engine, schan_error *err)
{
    SecPkgContext_ConnectionInfo connection = {0};

    SECURITY_STATUS status =
        schan__info_query(engine, SECPKG_ATTR_STREAM_SIZES, &engine->sizes); /* B37 */
    if (status == SEC_E_OK) {
        status = schan__info_query(engine, SECPKG_ATTR_CONNECTION_INFO, &connection);
    }
    if (status != SEC_E_OK || engine->sizes.cbMaximumMessage == 0) {
        return fail(engine, status, err);
    }
    memset(&engine->info, 0, sizeof(engine->info));
    engine->info.protocol = protocol_of(engine, connection.dwProtocol);
    engine->info.cipher_strength = connection.dwCipherStrength;
    if ((engine->info.protocol & engine->protocols) == 0) { /* B100 */
        (void)schan__alert_send(engine, SCHAN__ALERT_PROTOCOL_VERSION);
        return fail(engine, SEC_E_ALGORITHM_MISMATCH, err);
    }
    fetch_cipher(engine);
    note_key_exchange(engine, &connection);
    engine->info.session_resumed = fetch_resumed(engine);
    fetch_alpn(engine);
    return schan__peer_fetch(engine, err);
}

schan_result schan_engine_info(const schan_engine *engine, schan_info *info,
                               schan_error *err)
{
    memset(info, 0, sizeof(*info));
    if (engine->sizes.cbMaximumMessage == 0) {
        return schan__fail(err, SCHAN_ERR_MISUSE, 0, NULL);
    }
    *info = engine->info;
    return SCHAN_OK;
}
