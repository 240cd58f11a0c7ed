/*
 * fuzz_names.c - parsers of hostile bytes: subjectAltName in DER, DER itself, ALPN lists, the
 * ClientHello, the first line of what is no TLS
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

/* What was read, written down canonically, is what was there. */
static void check_element(const schan__der *element)
{
    uint8_t header[5] = {element->tag};
    size_t size = element->content.size;
    size_t count = size < 0x80 ? 0 : size < 0x100 ? 1 : size < 0x10000 ? 2 : 3;

    header[1] = (uint8_t)(count == 0 ? size : 0x80 | count);
    for (size_t i = 0; i < count; i++) {
        header[2 + i] = (uint8_t)(size >> (8 * (count - 1 - i)));
    }
    must(element->whole.size == 2 + count + size, "an element's size");
    must(element->content.data == element->whole.data + 2 + count,
         "an element's place");
    must(memcmp(header, element->whole.data, 2 + count) == 0, "DER is not canonical");
}

static void fuzz_der(choices *input)
{
    size_t size = 0;
    const uint8_t *bytes = choose_bytes(input, SIZE_MAX, &size);
    uint8_t *der = malloc(size + 1);
    schan__der element = {0};
    size_t seen = 0;

    if (size > 0) {
        memcpy(der, bytes, size);
    }
    schan_span rest = {der, size};
    while (schan__der_next(&rest, &element)) {
        check_element(&element);
        seen += element.whole.size;
        must(rest.size == size - seen && rest.data == der + seen, "what is left");
    }
    schan_span key = schan_certificate_public_key((schan_span){der, size});
    must(key.size == 0 || (key.data >= der && key.data + key.size <= der + size &&
                           key.data[0] == 0x30),
         "a public key that is none");
    free(der);
}

static size_t put_number(uint8_t *to, size_t width, size_t number)
{
    for (size_t i = 0; i < width; i++) {
        to[i] = (uint8_t)(number >> (8 * (width - 1 - i)));
    }
    return width;
}

/* A well-formed ClientHello tells what it was made of, and cut off nothing. */
static void fuzz_hello_of_ours(choices *input)
{
    uint8_t record[600] = {22, 3, 1, 0, 0, 1};
    size_t at = 9;
    size_t legacy = 0x0300 + choose(input, 6);
    size_t count = choose(input, 5);
    uint32_t listed = 0;
    uint32_t found = 77;
    bool has_list = choose(input, 2) == 1;

    at += put_number(record + at, 2, legacy) + 32;
    at += 1 + put_number(record + at, 1, choose(input, 33));
    at += record[at - 2];
    at -= 1;
    at += put_number(record + at, 2, 2 * choose(input, 40));
    at += record[at - 1];
    at += 1 + put_number(record + at, 1, 1);
    size_t extensions = at;
    at += 2;
    for (size_t i = choose(input, 3); i > 0; i--) { /* others before it */
        size_t size = choose(input, 20);
        at += put_number(record + at, 2, 0xff00 + i);
        at += put_number(record + at, 2, size) + size;
    }
    if (has_list) {
        at += put_number(record + at, 2, 43);
        at += put_number(record + at, 2, 1 + 2 * count);
        at += put_number(record + at, 1, 2 * count);
        for (size_t i = 0; i < count; i++) {
            size_t version = 0x0300 + choose(input, 6);
            at += put_number(record + at, 2, version);
            listed |=
                version >= 0x0301 && version <= 0x0304 ? 1U << (version - 0x0301) : 0;
        }
    }
    put_number(record + extensions, 2, at - extensions - 2);
    put_number(record + 6, 3, at - 9);
    put_number(record + 3, 2, at - 5);
    uint32_t up_to = legacy > 0x0303   ? 7U
                     : legacy < 0x0301 ? 0
                                       : (1U << (legacy - 0x0300)) - 1;
    uint8_t *exact = malloc(at);
    memcpy(exact, record, at);
    must(schan__client_hello_versions(exact, at, &found), "a ClientHello is not read");
    must(found == (has_list ? listed : up_to), "other versions than were offered");
    must(!schan__client_hello_versions(exact, at - 1, &found) && found == 0,
         "cut off, and it is read");
    free(exact);
}

static void fuzz_client_hello(choices *input)
{
    size_t size = 0;
    uint32_t versions = 77;
    const uint8_t *bytes = choose_bytes(input, SIZE_MAX, &size);
    uint8_t *record = malloc(size + 1); /* one more: a size of 0 has a place, too */

    if (size > 0) {
        memcpy(record + 1, bytes, size);
    }
    bool is_read = schan__client_hello_versions(record + 1, size, &versions);
    must(versions <= 15 && (is_read || versions == 0), "versions that are none");
    must(!is_read || (size >= 47 && record[1] == 22 && record[6] == 1),
         "what is no ClientHello is read");
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices input = {data, size, 0};

    switch (choose(&input, 12)) {
    case 0:
        fuzz_alpn(&input);
        break;
    case 1:
        fuzz_first_line(&input);
        break;
    case 2:
        fuzz_equal_names(&input);
        break;
    case 8:
        fuzz_client_hello(&input);
        break;
    case 9:
        fuzz_hello_of_ours(&input);
        break;
    case 10:
        fuzz_der(&input);
        break;
    default:
        fuzz_alternative_names(&input);
        break;
    }
    return 0;
}
