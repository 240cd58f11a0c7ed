/*
 * smtps.c - one mail over implicit TLS (port 465), in plain C on schan.h
 *
 *     smtps HOST PORT FROM TO [CA.der] < message.eml
 *
 * The whole way of the C interface, for its readers: library, credential, TCP, engine,
 * handshake, verification, application data, close_notify. The server's certificate must
 * be for HOST and end in CA.der, or else in a root that this machine trusts. For mail in earnest use the
 * Python package: this sends one command at a time and knows no pipelining, no AUTH.
 *
 * Build: cl /Icsrc csrc\examples\smtps.c csrc\*.c secur32.lib crypt32.lib bcrypt.lib
 *        ws2_32.lib /link /DEPENDENTLOADFLAG:0x800
 */
#include "schan_windows.h"

#include <fcntl.h>
#include <io.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "schan.h"

static const uint32_t patience_ms = 60 * 1000;

typedef struct {
    schan_library *library;
    schan_credential *credential;
    schan_trust *trust; /* NULL: the machine's roots */
    schan_socket *tls;
    SOCKET handle;
} connection;

static int complain(const char *doing, const schan_error *err)
{
    const schan_text *text = schan_status_text(err->status);

    (void)fprintf(stderr, "smtps: %s: %s (%s)%s%s\n", doing,
                  text != NULL ? text->sentence : "failed",
                  text != NULL ? text->name
                               : (err->call != NULL ? err->call : "no status"),
                  text != NULL && text->hint != NULL ? "; " : "",
                  text != NULL && text->hint != NULL ? text->hint : "");
    return 1;
}

/* ---------------------------------------------------------------------- TCP */

static SOCKET connect_tcp(const wchar_t *host, const wchar_t *port)
{
    ADDRINFOW hints = {0};
    ADDRINFOW *addresses = NULL;
    SOCKET handle = INVALID_SOCKET;

    hints.ai_socktype = SOCK_STREAM;
    if (GetAddrInfoW(host, port, &hints, &addresses) != 0) {
        return INVALID_SOCKET;
    }
    for (ADDRINFOW *at = addresses; at != NULL && handle == INVALID_SOCKET;
         at = at->ai_next) {
        handle = WSASocketW(at->ai_family, at->ai_socktype, at->ai_protocol, NULL, 0,
                            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
        if (handle != INVALID_SOCKET &&
            connect(handle, at->ai_addr, (int)at->ai_addrlen) != 0) {
            closesocket(handle);
            handle = INVALID_SOCKET;
        }
    }
    FreeAddrInfoW(addresses);
    if (handle != INVALID_SOCKET) {
        u_long is_non_blocking = 1; /* schan_socket_new asks for that */
        ioctlsocket(handle, (long)FIONBIO, &is_non_blocking);
    }
    return handle;
}

/* ---------------------------------------------------------------------- TLS */

/* The verdict on the server: nothing of ours is sent before it is good. */
static int verify(connection *c, const wchar_t *host, schan_error *err)
{
    schan_engine *engine = schan_socket_engine(c->tls);
    schan_verify_config config = {0};
    schan_verification *job = NULL;
    schan_verdict verdict = {0};

    config.host_name = host;
    config.revocation = SCHAN_REVOCATION_BEST_EFFORT;
    config.url_timeout_ms = 10 * 1000;
    if (schan_verification_new(&job, engine, c->trust, &config, err) != SCHAN_OK) {
        return complain("verification", err);
    }
    if (schan_verification_wait(job, patience_ms, &verdict) != SCHAN_OK) {
        schan_verification_free(job); /* Windows may still be busy; the job cleans up */
        (void)fprintf(stderr, "smtps: verification takes too long\n");
        return 1;
    }
    schan_verification_free(job);
    if (schan_engine_verified(engine, &verdict, err) != SCHAN_OK) {
        (void)!schan_socket_flush(c->tls, 0,
                                  NULL); /* the alert, if it leaves at once */
        return complain("the server's certificate", err);
    }
    return 0;
}

/* The certificate in a file becomes the only trust anchor. */
static int trust_file(connection *c, const wchar_t *path, schan_error *err)
{
    static uint8_t der[16384];
    const uint8_t *root = der;
    FILE *file = _wfopen(path, L"rb");
    size_t size = file != NULL ? fread(der, 1, sizeof(der), file) : 0;

    if (file != NULL) {
        (void)fclose(file);
    }
    if (size == 0 || schan_trust_from_roots(&c->trust, c->library, &root, &size, 1, 1,
                                            err) != SCHAN_OK) {
        return complain("the trust anchor", err);
    }
    return 0;
}

static int start_tls(connection *c, const wchar_t *host, const wchar_t *anchor,
                     schan_error *err)
{
    schan_credential_config credential = {0};
    schan_engine_config config = {0};
    schan_engine *engine = NULL;

    credential.protocols = (uint32_t)SCHAN_TLS_1_2 | (uint32_t)SCHAN_TLS_1_3;
    credential.check_revocation = 1;
    config.server_name = host;
    config.protocols = credential.protocols;
    if (schan_library_new(&c->library, NULL, NULL, err) != SCHAN_OK ||
        schan_credential_new(&c->credential, c->library, &credential, err) !=
            SCHAN_OK ||
        schan_engine_new(&engine, c->credential, &config, err) != SCHAN_OK) {
        return complain("setting up TLS", err);
    }
    if (anchor != NULL && trust_file(c, anchor, err) != 0) {
        schan_engine_free(engine);
        return 1;
    }
    if (schan_socket_new(&c->tls, engine, c->handle, err) != SCHAN_OK) {
        schan_engine_free(engine);
        return complain("setting up TLS", err);
    }
    if (schan_socket_handshake(c->tls, patience_ms, err) != SCHAN_WANT_VERIFY) {
        return complain("TLS handshake", err);
    }
    return verify(c, host, err);
}

/* --------------------------------------------------------------------- SMTP */

static int send_bytes(connection *c, const char *data, size_t size, schan_error *err)
{
    schan_span span = {(const uint8_t *)data, size};
    size_t consumed = 0;

    if (schan_socket_send(c->tls, &span, 1, &consumed, patience_ms, err) != SCHAN_OK) {
        return complain("sending", err);
    }
    return 0;
}

/* Reads one reply, however it is split, prints it; 0 when its class is `wanted`. */
static int expect(connection *c, char wanted, schan_error *err)
{
    char line[1024] = "";
    size_t size = 0;

    for (;;) {
        size_t got = 0;
        if (size == sizeof(line) - 1 ||
            schan_socket_recv(c->tls, line + size, 1, &got, patience_ms, err) !=
                SCHAN_OK) {
            return complain("waiting for a reply", err);
        }
        size += got;
        line[size] = '\0';
        if (line[size - 1] != '\n') {
            continue;
        }
        (void)fputs(line, stderr);
        if (size < 4 || line[3] != '-') {
            return line[0] == wanted ? 0 : 1;
        }
        size = 0; /* a reply of several lines goes on */
    }
}

static int command(connection *c, const char *verb, const char *argument, char wanted,
                   schan_error *err)
{
    char line[512] = "";

    if (snprintf(line, sizeof(line), "%s%s\r\n", verb, argument) >= (int)sizeof(line)) {
        (void)fprintf(stderr, "smtps: the address is too long\n");
        return 1;
    }
    return send_bytes(c, line, strlen(line), err) != 0 || expect(c, wanted, err) != 0;
}

/* The message from stdin: line ends become CRLF, a leading dot is doubled (RFC 5321, 4.5.2). */
static int send_message(connection *c, schan_error *err)
{
    int previous = '\n';

    for (int byte = getchar(); byte != EOF; byte = getchar()) {
        char piece[2] = {(char)byte, 0};
        bool is_line_end = byte == '\n';
        if ((byte == '.' && previous == '\n' && send_bytes(c, ".", 1, err) != 0) ||
            (is_line_end && previous != '\r' && send_bytes(c, "\r", 1, err) != 0) ||
            send_bytes(c, piece, 1, err) != 0) {
            return 1;
        }
        previous = byte;
    }
    return send_bytes(c, previous == '\n' ? ".\r\n" : "\r\n.\r\n",
                      previous == '\n' ? 3 : 5, err) != 0 ||
           expect(c, '2', err) != 0;
}

static int send_mail(connection *c, const char *from, const char *to, schan_error *err)
{
    int failed = expect(c, '2', err) || command(c, "EHLO ", "[127.0.0.1]", '2', err) ||
                 command(c, "MAIL FROM:", from, '2', err) ||
                 command(c, "RCPT TO:", to, '2', err) ||
                 command(c, "DATA", "", '3', err) || send_message(c, err);

    (void)command(c, "QUIT", "", '2', err); /* the mail's fate is decided by now */
    (void)!schan_socket_shutdown(c->tls, 1000, err);
    return failed;
}

int wmain(int count, wchar_t **arguments) /* NOLINT: its name is the linker's */
{
    WSADATA winsock = {0};
    connection c = {0};
    schan_error err = {0};
    char from[256] = "";
    char to[256] = "";

    if (count != 5 && count != 6) {
        (void)fprintf(stderr, "usage: smtps HOST PORT FROM TO [CA.der] < message\n");
        return 2;
    }
    if (snprintf(from, sizeof(from), "<%ls>", arguments[3]) < 0 ||
        snprintf(to, sizeof(to), "<%ls>", arguments[4]) < 0 ||
        WSAStartup(MAKEWORD(2, 2), &winsock) != 0) {
        return 2;
    }
    (void)_setmode(_fileno(stdin), _O_BINARY);
    c.handle = connect_tcp(arguments[1], arguments[2]);
    if (c.handle == INVALID_SOCKET) {
        (void)fprintf(stderr, "smtps: no connection to the server\n");
        return 1;
    }
    const wchar_t *anchor = count == 6 ? arguments[5] : NULL;
    int failed =
        start_tls(&c, arguments[1], anchor, &err) || send_mail(&c, from, to, &err);
    schan_socket_free(c.tls);
    schan_trust_free(c.trust);
    schan_credential_free(c.credential);
    schan_library_free(c.library);
    closesocket(c.handle);
    WSACleanup();
    return failed;
}
