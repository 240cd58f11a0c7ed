/*
 * fuzz_names.c - parsers of hostile bytes: subjectAltName in DER, ALPN lists, the first line
 * of what is no TLS
 *
 * Judged by properties that hold for every input: what is cut off or followed by something
 * matches nothing; case and a last dot make no difference; a name matches where it is
 * listed alone and as it is.
 */
#include <stdlib.h>

#include "chaos.h"
#include "schan_internal.h"
#include "system_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_true, const char *text)
{
    if (!is_true) {
        stand_in_abort(text);
    }
}

enum { most_host = 40 };

static bool is_upper(wchar_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(wchar_t c)
{
    return c >= 'a' && c <= 'z';
}

static int matches(const uint8_t *der, size_t size, const wchar_t *host, schan_span ip)
{
    return schan_host_name_matches((schan_span){der, size}, host, ip);
}

static void fuzz_alternative_names(choices *input)
{
    wchar_t host[most_host + 2] = {0};
    wchar_t other_case[most_host + 2] = {0};
    uint8_t address[16] = {0};
    size_t host_size = choose(input, most_host);
    size_t der_size = 0;

    for (size_t i = 0; i < host_size; i++) {
        host[i] = (wchar_t)choose_byte(input);
        host[i] = host[i] == 0 ? (wchar_t)0x142 : host[i];
        other_case[i] = is_upper(host[i])   ? (wchar_t)(host[i] + 32)
                        : is_lower(host[i]) ? (wchar_t)(host[i] - 32)
                                            : host[i];
    }
    schan_span ip = {address, choose(input, 3) == 0 ? 0 : 4};
    for (size_t i = 0; i < ip.size; i++) {
        address[i] = choose_byte(input);
    }
    const uint8_t *bytes = choose_bytes(input, SIZE_MAX, &der_size);
    uint8_t *der = malloc(der_size + 1);
    if (der_size > 0) {
        memcpy(der, bytes, der_size);
    }
    int found = matches(der, der_size, host, ip);
    must(found == matches(der, der_size, other_case, ip), "case makes a difference");
    if (found) {
        der[der_size] = 0;
        must(!matches(der, der_size + 1, host, ip),
             "something follows, and it matches");
        must(!matches(der, der_size - 1, host, ip), "cut off, and it matches");
        must(host_size > 0 || ip.size > 0, "nothing is asked for, and it matches");
    }
    if (host_size > 0 && host[host_size - 1] != L'.') {
        host[host_size] = L'.';
        must(found == matches(der, der_size, host, ip), "a dot makes a difference");
    }
    free(der);
}

/* A name of plain letters matches the certificate that lists just it, and no other. */
static void fuzz_equal_names(choices *input)
{
    uint8_t der[most_host + 4] = {0x30, 0, 0x82, 0};
    wchar_t host[most_host + 1] = {0};
    size_t size = 1 + choose(input, most_host - 1);
    size_t changed = choose(input, size);
    const schan_span none = {0};

    for (size_t i = 0; i < size; i++) {
        der[4 + i] = (uint8_t)('a' + choose(input, 26));
        host[i] = der[4 + i];
    }
    der[1] = (uint8_t)(size + 2);
    der[3] = (uint8_t)size;
    must(matches(der, size + 4, host, none), "a name does not match itself");
    host[changed] = host[changed] == 'a' ? 'b' : 'a';
    must(!matches(der, size + 4, host, none), "another name matches");
}

static void fuzz_alpn(choices *input)
{
    const schan_credential_config wanted = {.protocols = SCHAN_TLS_1_3};
    schan_engine_config config = {.protocols = SCHAN_TLS_1_3};
    choices nothing = {NULL, 0, 0};
    schan_library *library = NULL;
    schan_credential *credential = NULL;
    schan_engine *engine = NULL;
    schan_error err = {0};
    size_t size = 0;
    const uint8_t *bytes = choose_bytes(input, SIZE_MAX, &size);
    uint8_t *list = malloc(size + 1);
    size_t at = 0;

    if (size > 0) {
        memcpy(list, bytes, size);
    }
    while (at < size && list[at] != 0 && at + list[at] < size) {
        at += (size_t)list[at] + 1;
    }
    bool is_well_formed = at == size && size <= UINT16_MAX;
    const schan_system *system = system_begin(NULL);
    must(schan_library_new(&library, chaos_begin(&nothing), system, NULL) == SCHAN_OK,
         "no library");
    must(schan_credential_new(&credential, library, &wanted, NULL) == SCHAN_OK, "none");
    config.alpn_protocols = list;
    config.alpn_size = size;
    schan_result result = schan_engine_new(&engine, credential, &config, &err);
    must((result == SCHAN_OK) == is_well_formed, "an ALPN list is judged wrongly");
    if (engine != NULL) {
        (void)!schan_engine_handshake(engine, &err); /* the provider reads the offer */
    }
    schan_engine_free(engine);
    schan_credential_free(credential);
    schan_library_free(library);
    provider_end();
    system_end();
    free(list);
}

static void fuzz_first_line(choices *input)
{
    schan_error err = {0};
    size_t size = 0;
    const uint8_t *bytes = choose_bytes(input, SIZE_MAX, &size);

    schan__fail_with(&err, SCHAN_ERR_PROTOCOL, bytes, size);
    for (size_t i = 0; i < strlen(err.detail); i++) {
        must(err.detail[i] >= 0x20 && err.detail[i] < 0x7f, "a detail for no terminal");
    }
    const schan_text *text = schan_status_text((int32_t)(0x80090000U + size * 7));
    must(text == NULL || strlen(text->name) > 0, "a text without name");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices input = {data, size, 0};

    switch (choose(&input, 8)) {
    case 0:
        fuzz_alpn(&input);
        break;
    case 1:
        fuzz_first_line(&input);
        break;
    case 2:
        fuzz_equal_names(&input);
        break;
    default:
        fuzz_alternative_names(&input);
        break;
    }
    return 0;
}
