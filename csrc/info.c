/*
 * info.c - what the handshake agreed on, asked of SSPI once
 *
 * Only the stream sizes are indispensable. The version must be one that the caller
 * allowed, on every platform: a policy, or a Windows that ignores the credential's
 * range, may give another one (B100). The peer's certificate may be missing; then
 * verification says so.
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

static SECURITY_STATUS query(schan_engine *engine, ULONG attribute, void *value)
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

static void fetch_cipher(schan_engine *engine)
{
    SecPkgContext_CipherInfo cipher = {0};
    const size_t last =
        sizeof(engine->info.cipher_suite) / sizeof(engine->info.cipher_suite[0]) - 1;

    cipher.dwVersion = SECPKGCONTEXT_CIPHERINFO_V1;
    if (query(engine, SECPKG_ATTR_CIPHER_INFO, &cipher) != SEC_E_OK) {
        return;
    }
    for (size_t i = 0; i < last && i < SZ_ALG_MAX_SIZE; i++) {
        engine->info.cipher_suite[i] = cipher.szCipherSuite[i];
    }
    if (cipher.dwCipherLen > 0) {
        engine->info.cipher_strength = cipher.dwCipherLen;
    }
}

static void fetch_alpn(schan_engine *engine)
{
    SecPkgContext_ApplicationProtocol chosen = {0};

    if (engine->alpn_offer_size == 0 ||
        query(engine, SECPKG_ATTR_APPLICATION_PROTOCOL, &chosen) != SEC_E_OK ||
        chosen.ProtoNegoStatus !=
            SecApplicationProtocolNegotiationStatus_Success) { /* B36 */
        return;
    }
    engine->info.alpn_size = chosen.ProtocolIdSize;
    memcpy(engine->info.alpn, chosen.ProtocolId, chosen.ProtocolIdSize);
}

schan_result schan__info_fetch(schan_engine *engine, schan_error *err)
{
    SecPkgContext_ConnectionInfo connection = {0};

    SECURITY_STATUS status = query(engine, SECPKG_ATTR_STREAM_SIZES, &engine->sizes);
    if (status == SEC_E_OK) {
        status = query(engine, SECPKG_ATTR_CONNECTION_INFO, &connection);
    }
    if (status != SEC_E_OK || engine->sizes.cbMaximumMessage == 0) {
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, status,
                                  "QueryContextAttributes", err);
    }
    engine->info.protocol = protocol_of(engine, connection.dwProtocol);
    engine->info.cipher_strength = connection.dwCipherStrength;
    if ((engine->info.protocol & engine->protocols) == 0) {
        return schan__engine_fail(engine, SCHAN_ERR_HANDSHAKE, SEC_E_ALGORITHM_MISMATCH,
                                  "QueryContextAttributes", err);
    }
    fetch_cipher(engine);
    fetch_alpn(engine);
    if (query(engine, SECPKG_ATTR_REMOTE_CERT_CONTEXT, (void *)&engine->peer) !=
        SEC_E_OK) {
        engine->peer = NULL; /* B38 */
    }
    return SCHAN_OK;
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

schan_span schan_engine_peer_certificate(schan_engine *engine)
{
    schan_span der = {0};

    if (engine->peer != NULL) {
        der.data = engine->peer->pbCertEncoded;
        der.size = engine->peer->cbCertEncoded;
    }
    return der;
}
