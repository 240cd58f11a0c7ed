/*
 * status.c - what a code means, in words
 *
 * Windows' own texts are vague and localised, and Wine has none. A code without a row
 * is told as a number. The hints say what a person can do; they are for causes that
 * were met, not for every code.
 */
#include "schan_internal.h"

#define ROW(code, sentence)          {(int32_t)(code), #code, sentence, NULL}
#define HINTED(code, sentence, hint) {(int32_t)(code), #code, sentence, hint}

static const schan_text statuses[] = {
    /* SSPI */
    HINTED(SEC_E_ALGORITHM_MISMATCH, "no common protocol version or cipher suite",
           "compare the versions that both sides allow; TLS 1.3 needs Windows 11 or "
           "Server 2022"),
    HINTED(SEC_E_APPLICATION_PROTOCOL_MISMATCH,
           "the server knows none of the ALPN protocols that were offered",
           "check alpn_protocols"),
    ROW(SEC_E_BAD_BINDINGS, "the channel bindings differ"),
    ROW(SEC_E_BUFFER_TOO_SMALL, "a buffer is too small for the token"),
    HINTED(SEC_E_CANNOT_INSTALL, "the security package could not initialise itself",
           "check the Schannel settings in the registry"),
    HINTED(SEC_E_CERT_EXPIRED, "the certificate has expired",
           "renew it, or check the clock of this machine"),
    ROW(SEC_E_CERT_UNKNOWN, "a certificate could not be processed"),
    HINTED(SEC_E_CERT_WRONG_USAGE, "the certificate is not meant for this purpose",
           "a server needs the extended key usage serverAuth"),
    ROW(SEC_E_CONTEXT_EXPIRED, "the security context is no longer valid"),
    HINTED(
        SEC_E_DECRYPT_FAILURE, "a record could not be decrypted",
        "bytes were lost or changed on the way, or the two sides disagree on the keys"),
    ROW(SEC_E_ENCRYPT_FAILURE, "a record could not be encrypted"),
    HINTED(SEC_E_ILLEGAL_MESSAGE,
           "the peer sent an alert, or a message that is not allowed here",
           "often no common version or cipher suite, a missing server name (SNI), or a "
           "handshake larger than "
           "Windows' MessageLimitClient"),
    ROW(SEC_E_INCOMPLETE_CREDENTIALS, "the credential is incomplete"),
    ROW(SEC_E_INCOMPLETE_MESSAGE, "the message is incomplete"),
    HINTED(SEC_E_INSUFFICIENT_MEMORY, "not enough memory",
           "with a client certificate: its private key may be missing or out of reach"),
    HINTED(SEC_E_INTERNAL_ERROR, "the security package failed without saying why",
           "the peer may have refused the connection: look into its log"),
    ROW(SEC_E_INVALID_HANDLE, "a handle is not valid"),
    ROW(SEC_E_INVALID_PARAMETER, "a parameter is not valid"),
    HINTED(SEC_E_INVALID_TOKEN, "the token is not what the security package expects",
           "the peer may not speak TLS on this port"),
    ROW(SEC_E_LOGON_DENIED, "the logon was denied"),
    HINTED(SEC_E_MESSAGE_ALTERED, "a record was changed on the way",
           "some Windows versions fail so with DHE cipher suites: prefer ECDHE"),
    ROW(SEC_E_MUTUAL_AUTH_FAILED, "mutual authentication failed"),
    HINTED(SEC_E_NO_AUTHENTICATING_AUTHORITY, "no protocol version is left to offer",
           "check minimum_version and maximum_version, and Windows' own Schannel "
           "settings"),
    HINTED(SEC_E_NO_CREDENTIALS, "there is no usable credential",
           "a certificate needs a private key that this account may read"),
    ROW(SEC_E_OUT_OF_SEQUENCE, "a record is out of sequence"),
    ROW(SEC_E_QOP_NOT_SUPPORTED, "the quality of protection is not supported"),
    HINTED(SEC_E_SECPKG_NOT_FOUND, "the security package is missing",
           "Schannel is a part of Windows"),
    ROW(SEC_E_TARGET_UNKNOWN, "the target is unknown"),
    HINTED(SEC_E_TIME_SKEW, "the clocks differ too much",
           "set the clock of this machine"),
    HINTED(SEC_E_UNKNOWN_CREDENTIALS, "the credential was not recognised",
           "with a client certificate: its private key may be missing or out of reach"),
    ROW(SEC_E_UNSUPPORTED_FUNCTION, "the function is not supported"),
    HINTED(
        SEC_E_UNTRUSTED_ROOT,
        "the certificate chain ends in a certification authority that is not trusted",
        "install the authority's certificate, or name it with TrustStore.from_pem"),
    HINTED(SEC_E_WRONG_PRINCIPAL, "the certificate is for another name",
           "check server_hostname"),
    ROW(SEC_E_WRONG_CREDENTIAL_HANDLE, "the credential belongs to another connection"),
    ROW(SEC_I_CONTEXT_EXPIRED, "the peer has closed its direction"),
    ROW(SEC_I_CONTINUE_NEEDED, "the handshake goes on"),
    ROW(SEC_I_INCOMPLETE_CREDENTIALS, "the server asks for a client certificate"),
    HINTED(SEC_I_RENEGOTIATE, "the peer asked for a renegotiation, which is refused",
           "let the server ask for client certificates in the first handshake"),

    /* certificates */
    HINTED(CERT_E_CHAINING, "an issuer of the chain is not known here and was not sent",
           "trust the authority (TrustStore.from_pem, or install it), or have the "
           "server send its intermediates"),
    HINTED(CERT_E_CN_NO_MATCH, "the certificate is for another host name",
           "compare server_hostname with the certificate's subjectAltName; the "
           "subject's common name does not count"),
    ROW(CERT_E_CRITICAL, "a critical extension is invalid or unknown"),
    HINTED(CERT_E_EXPIRED, "the certificate is not valid at this time",
           "renew the certificate, or check the clock of this machine"),
    ROW(CERT_E_INVALID_NAME,
        "a name is not permitted by the name constraints of the chain"),
    ROW(CERT_E_INVALID_POLICY, "a policy constraint of the chain is violated"),
    ROW(CERT_E_ISSUERCHAINING, "the issuer of a certificate does not fit"),
    ROW(CERT_E_MALFORMED, "a certificate is malformed"),
    ROW(CERT_E_PATHLENCONST, "the chain is longer than one of its certificates allows"),
    ROW(CERT_E_PURPOSE,
        "a certificate is used for a purpose that its issuer does not allow"),
    ROW(CERT_E_REVOCATION_FAILURE, "the revocation check could not be completed"),
    ROW(CERT_E_REVOKED, "a certificate was revoked"),
    ROW(CERT_E_ROLE, "a certificate is used in a role it is not meant for"),
    ROW(CERT_E_UNTRUSTEDCA, "a certification authority of the chain is not trusted"),
    HINTED(
        CERT_E_UNTRUSTEDROOT,
        "the certificate chain ends in a certification authority that is not trusted",
        "install the authority's certificate, or name it with TrustStore.from_pem"),
    ROW(CERT_E_UNTRUSTEDTESTROOT, "the chain ends in a test root"),
    ROW(CERT_E_VALIDITYPERIODNESTING, "the validity periods of the chain do not nest"),
    HINTED(CERT_E_WRONG_USAGE, "the certificate is not meant for servers",
           "it needs the extended key usage serverAuth (1.3.6.1.5.5.7.3.1)"),
    ROW(TRUST_E_BASIC_CONSTRAINTS,
        "a certificate that is no certification authority issued another one"),
    ROW(TRUST_E_CERT_SIGNATURE, "the signature of a certificate is wrong"),
    ROW(TRUST_E_EXPLICIT_DISTRUST,
        "a certificate is explicitly distrusted on this machine"),
    ROW(TRUST_E_FAIL, "the certificate is not trusted"),
    HINTED(CRYPT_E_NO_REVOCATION_CHECK,
           "whether a certificate was revoked could not be checked",
           "private authorities often publish no list: Revocation.BEST_EFFORT accepts "
           "that"),
    HINTED(CRYPT_E_REVOCATION_OFFLINE, "the revocation server could not be reached",
           "check the network or a proxy; Revocation.BEST_EFFORT accepts that"),
    ROW(CRYPT_E_REVOKED, "a certificate was revoked by its issuer"),
    ROW(CRYPT_E_NOT_FOUND, "the certificate or the property was not found"),
    HINTED(CRYPT_E_ASN1_BADTAG, "the data is not a certificate",
           "it must be DER, or PEM around DER"),
    HINTED(CRYPT_E_ASN1_EOD, "the certificate is cut off",
           "it must be DER, or PEM around DER"),
    HINTED(CRYPT_E_ASN1_CORRUPT, "the certificate is corrupt",
           "it must be DER, or PEM around DER"),
    ROW(CRYPT_E_ASN1_LARGE, "the certificate is too large"),
    ROW(CRYPT_E_BAD_ENCODE, "the certificate is wrongly encoded"),
    ROW(NTE_BAD_ALGID, "a certificate is signed with an algorithm that counts as weak"),
    HINTED(
        NTE_BAD_KEYSET, "the key container is missing or out of reach",
        "check which account runs this, whether its profile is loaded, and whether it "
        "may read the key: services and IIS application pools need read access to a "
        "machine key"),
    HINTED(NTE_KEYSET_NOT_DEF, "the key container is missing or out of reach",
           "the profile of the account that runs this may not be loaded"),
    HINTED(NTE_PERM, "access to the private key was denied",
           "give this account read access to the key (certificate manager: All Tasks, "
           "Manage Private Keys)"),
    HINTED(NTE_NO_KEY, "there is no private key",
           "export the certificate together with its private key"),
    HINTED(CRYPT_E_NO_KEY_PROPERTY, "the certificate has no private key",
           "import it together with its private key"),
    HINTED(NTE_SILENT_CONTEXT, "the private key can be used only after asking somebody",
           "a key for programs must not need a PIN or a confirmation"),
    ROW(NTE_BAD_DATA, "the private key is malformed"),
    HINTED(NTE_NOT_SUPPORTED, "the private key may not be exported",
           "install the certificate in a store, and name it with from_store"),
    ROW(NTE_FAIL, "the key storage provider failed without saying why"),
    ROW(NTE_NO_MEMORY, "not enough memory"),

    /* Win32 */
    ROW(ERROR_FILE_NOT_FOUND, "the certificate store does not exist"),
    HINTED(
        ERROR_TOO_MANY_NAMES,
        "there are several certificates with a private key, and not one of them alone "
        "will do",
        "make a file of its own for each"),
    HINTED(ERROR_INVALID_PASSWORD, "the password is wrong",
           "or the file is damaged, or encrypted in a way that this Windows does not "
           "know: before Windows 10 1709 that is AES"),
    HINTED(ERROR_ACCESS_DENIED, "access was denied",
           "check the rights of the account that runs this"),
    ROW(ERROR_INVALID_PARAMETER, "a parameter is not valid"),
    ROW(E_INVALIDARG, "a parameter is not valid"),
    ROW(E_OUTOFMEMORY, "not enough memory"),

    /* Winsock */
    HINTED(WSAEACCES, "access to the socket was denied", "a firewall may forbid it"),
    ROW(WSAEADDRNOTAVAIL, "the address is not available"),
    ROW(WSAEBADF, "the socket is closed"),
    HINTED(WSAECONNABORTED, "the connection was aborted by this machine",
           "often a time limit, a firewall or security software"),
    HINTED(WSAECONNREFUSED, "the connection was refused",
           "is the server running, on this port?"),
    ROW(WSAECONNRESET, "the peer reset the connection"),
    ROW(WSAEHOSTUNREACH, "there is no route to the host"),
    ROW(WSAEINVAL, "the socket call is not valid here"),
    ROW(WSAENETDOWN, "the network is down"),
    ROW(WSAENETRESET, "the connection was lost"),
    ROW(WSAENETUNREACH, "the network is unreachable"),
    ROW(WSAENOBUFS, "no buffer space is left"),
    ROW(WSAENOTCONN, "the socket is not connected"),
    ROW(WSAENOTSOCK, "the socket is closed"),
    ROW(WSAESHUTDOWN, "the socket was shut down"),
    ROW(WSAETIMEDOUT, "the peer did not answer"),
};

#undef ROW
#undef HINTED

/* RFC 8446, 6; RFC 5246, 7.2; the registry of IANA. */
static const schan_text alerts[] = {
    {0, "close_notify", "the peer closed the connection", NULL},
    {10, "unexpected_message", "the peer got a message it did not expect", NULL},
    {20, "bad_record_mac", "the peer could not verify a record", NULL},
    {21, "decryption_failed", "the peer could not decrypt a record", NULL},
    {22, "record_overflow", "the peer got a record that is too long", NULL},
    {30, "decompression_failure", "the peer could not decompress a record", NULL},
    {40, "handshake_failure", "the peer found no acceptable set of parameters",
     "compare the cipher suites and the certificates that both sides allow; a server "
     "that requires a client certificate says so, too"},
    {41, "no_certificate", "the peer misses a certificate", NULL},
    {42, "bad_certificate", "the peer refused the certificate", NULL},
    {43, "unsupported_certificate", "the peer does not support the certificate", NULL},
    {44, "certificate_revoked", "the peer says that the certificate was revoked", NULL},
    {45, "certificate_expired", "the peer says that the certificate has expired", NULL},
    {46, "certificate_unknown", "the peer refused the certificate", NULL},
    {47, "illegal_parameter", "the peer got a parameter it does not allow", NULL},
    {48, "unknown_ca", "the peer does not trust the certificate's authority", NULL},
    {49, "access_denied", "the peer denies access to this certificate", NULL},
    {50, "decode_error", "the peer could not decode a message", NULL},
    {51, "decrypt_error", "the peer could not verify a signature", NULL},
    {60, "export_restriction", "the peer met an export restriction", NULL},
    {70, "protocol_version", "the peer does not support the protocol version",
     "compare minimum_version and maximum_version with what the server allows"},
    {71, "insufficient_security", "the peer asks for stronger cipher suites", NULL},
    {80, "internal_error", "the peer had an internal error",
     "look into the server's log"},
    {86, "inappropriate_fallback", "the peer refused a fallback to an older version",
     NULL},
    {90, "user_canceled", "the peer cancelled the handshake", NULL},
    {100, "no_renegotiation", "the peer refused to renegotiate", NULL},
    {109, "missing_extension", "the peer misses an extension", NULL},
    {110, "unsupported_extension", "the peer got an extension it did not ask for",
     NULL},
    {111, "certificate_unobtainable", "the peer could not obtain the certificate",
     NULL},
    {112, "unrecognized_name", "the peer has no certificate for this name",
     "check server_hostname"},
    {113, "bad_certificate_status_response", "the peer refused the OCSP response",
     NULL},
    {115, "unknown_psk_identity", "the peer does not know the PSK identity", NULL},
    {116, "certificate_required", "the peer requires a client certificate",
     "give it one with client_certificate"},
    {120, "no_application_protocol", "the peer knows none of the ALPN protocols",
     "check alpn_protocols"},
};

static const schan_text causes[] = {
    {SCHAN_CAUSE_NO_SERVER_ROLE, "no_server_role",
     "this system's Schannel does not take the server's part",
     "Wine can from version 9 on; on Windows its settings may forbid every version "
     "that "
     "the client offers"},
    {SCHAN_CAUSE_NO_CLIENT_CERTIFICATE, "no_client_certificate",
     "the client sent no certificate, and one is required",
     "give the client a certificate that an authority accepted here has issued"},
    {SCHAN_CAUSE_REFUSED_AFTER_HANDSHAKE, "refused_after_handshake",
     "the peer seems to have refused the handshake after its end",
     "under TLS 1.3 a server judges the client certificate so late: it may miss one, "
     "or "
     "not accept the one it got"},
    {SCHAN_CAUSE_LARGE_HANDSHAKE, "large_handshake",
     "the handshake of the peer is larger than 64 KiB",
     "Windows limits it: MessageLimitClient and MessageLimitServer in the registry, "
     "under SCHANNEL\\Messaging"},
    {SCHAN_CAUSE_PEER_CHANGED, "peer_changed",
     "a renegotiation brought another certificate or ALPN protocol",
     "the server behind this address has changed, or somebody is in between"},
    {SCHAN_CAUSE_UNREAD_ANSWERS, "unread_answers",
     "the peer goes on asking for new keys and takes none of the answers",
     "send what TLSEngine.drain returns; else the peer wants to fill the memory"},
};

static const schan_text *find(const schan_text *rows, size_t count, int32_t code)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

/* B75: our own words; those of Windows are vague, and in the language of the machine. */
const schan_text *schan_status_text(int32_t status)
{
    return find(statuses, sizeof(statuses) / sizeof(statuses[0]), status);
}

const schan_text *schan_alert_text(int32_t alert)
{
    return find(alerts, sizeof(alerts) / sizeof(alerts[0]), alert);
}

const schan_text *schan_cause_text(int32_t cause)
{
    return find(causes, sizeof(causes) / sizeof(causes[0]), cause);
}

/* ------------------------------------------------------------------ errors */

schan_result schan__fail(schan_error *err, schan_result result, int32_t status,
                         const char *call)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
        err->result = result;
        err->status = status;
        err->alert = -1;
        err->call = call;
    }
    return result;
}

schan_result schan__fail_with(schan_error *err, schan_result result,
                              const uint8_t *bytes, size_t size)
{
    schan__fail(err, result, 0, NULL);
    if (err == NULL) {
        return result;
    }
    for (size_t i = 0; i < size && i < sizeof(err->detail) - 1; i++) {
        bool is_printable = bytes[i] >= 0x20 && bytes[i] < 0x7f;
        if (bytes[i] == '\r' || bytes[i] == '\n') {
            break; /* the first line says enough */
        }
        err->detail[i] = is_printable ? (char)bytes[i] : '.';
    }
    return result;
}
