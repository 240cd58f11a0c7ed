/* unit_binding.c - channel bindings, keying material, what the peer sent, DER */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static schan_engine *engine;
static SecurityFunctionTableW table;
static uint8_t room[300];
static size_t got;

/* A client behind its handshake. */
static void begin(DWORD protocol)
{
    static const schan_credential_config wanted = {.protocols = 15};
    static const schan_engine_config config = {.protocols = 15};
    const schan_system *system = system_begin(NULL);
    schan_credential *credential = NULL;
    uint8_t bytes[16];
    size_t size = toy_clear_record(bytes, TOY_HANDSHAKE, "F", 1);

    table = *toy_begin();
    toy.protocol = protocol;
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, &table, system, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &wanted, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_new(&engine, credential, &config, NULL));
    schan_credential_free(credential);
    CHECK_EQUAL(SCHAN_WANT_READ, schan_engine_handshake(engine, NULL));
    CHECK_EQUAL(SCHAN_OK, schan_engine_feed(engine, bytes, size, NULL));
}

static void end(void)
{
    schan_engine_free(engine);
    schan_library_free(library);
    provider_end();
    system_end();
}

static void shake_hands(void)
{
    CHECK_EQUAL(SCHAN_WANT_VERIFY, schan_engine_handshake(engine, NULL));
}

static schan_result ask(schan_channel_binding kind, size_t capacity)
{
    return schan_engine_channel_binding(engine, kind, room, capacity, &got, NULL);
}

TEST(bindings_of_windows_come_without_their_name)
{
    static const struct {
        const char *text;
        size_t size;
        size_t offset;
        schan_result result;
    } cases[] = {
        {"tls-unique:abc", 14, 0, SCHAN_OK},
        {"tls-unique:\0\0", 13, 0, SCHAN_ERR_UNDEFINED}, /* nothing but zeros */
        {"tls-unique:", 11, 0, SCHAN_ERR_UNDEFINED},
        {"tls-uniqua:abc", 14, 0, SCHAN_ERR_UNDEFINED},
        {"tls", 3, 0, SCHAN_ERR_UNDEFINED},
        {"Xtls-unique:abc", 15, 1, SCHAN_ERR_UNDEFINED},  /* one byte behind its end */
        {"tls-unique:abc", 14, 999, SCHAN_ERR_UNDEFINED}, /* far behind */
        {NULL, 0, 0, SCHAN_ERR_SSPI},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(SP_PROT_TLS1_2_CLIENT);
        shake_hands();
        toy.binding = cases[i].text;
        toy.binding_size = cases[i].size;
        toy.binding_offset = cases[i].offset;
        CHECK_EQUAL(cases[i].result, ask(SCHAN_BINDING_UNIQUE, 64));
        CHECK_EQUAL(cases[i].result == SCHAN_OK ? 3 : 0, got);
        end();
    }
}

TEST(tls_unique_is_only_for_whole_handshakes_before_tls13)
{
    begin(SP_PROT_TLS1_3_CLIENT);
    shake_hands();
    CHECK_EQUAL(SCHAN_ERR_UNDEFINED, ask(SCHAN_BINDING_UNIQUE, 64));
    end();
    begin(SP_PROT_TLS1_2_CLIENT);
    toy.session_flags = SSL_SESSION_RECONNECT;
    shake_hands();
    CHECK_EQUAL(SCHAN_ERR_UNDEFINED, ask(SCHAN_BINDING_UNIQUE, 64));
    end();
    begin(SP_PROT_TLS1_2_CLIENT);
    toy.failing_query = SECPKG_ATTR_SESSION_INFO;
    shake_hands();
    toy.binding = "tls-unique:a";
    toy.binding_size = 12;
    CHECK_EQUAL(SCHAN_OK, ask(SCHAN_BINDING_UNIQUE, 64));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, ask(SCHAN_BINDING_UNIQUE, 0));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, ask((schan_channel_binding)9, 64));
    CHECK_EQUAL(0, got);
    end();
}

#define PSS(text) "1.2.840.113549.1.1.10", text, sizeof(text) - 1

typedef struct {
    const char *oid;
    const char *parameters;
    size_t parameters_size;
    size_t digest_size; /* 0: undefined */
} signature_case;

static const signature_case signatures[] = {
    {"1.2.840.113549.1.1.5", NULL, 0, 32}, /* SHA-1: SHA-256 instead */
    {"1.2.840.113549.1.1.12", NULL, 0, 48},
    {"1.2.840.10045.4.3.4", NULL, 0, 64},
    {"1.3.101.112", NULL, 0, 0}, /* Ed25519 has no hash function */
    {NULL, NULL, 0, 0},
    {PSS("\x30\x00"), 32}, /* the default is SHA-1 */
    {PSS("\x30\x02\xa2\x00"), 32},
    {PSS("\x30\x0f\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02"), 48},
    {PSS("\x30\x0f\xa0\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x09"), 0},
    {PSS("\x30\x07\xa0\x05\x30\x03\x06\x01\x60"), 0},
    {PSS("\x30\x04\xa0\x02\x30\x00"), 0},
    {PSS("\x30\x02\xa0\x00"), 0},
    {PSS("\x30\x01\xa0"), 0},
    {PSS("\x31\x00"), 0},
};

TEST(end_points_without_windows_are_digests_of_the_certificate)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        begin(SP_PROT_TLS1_3_CLIENT);
        system_memory.signature = signatures[i].oid;
        system_memory.signature_parameters = signatures[i].parameters;
        system_memory.signature_parameters_size = (DWORD)signatures[i].parameters_size;
        shake_hands();
        fprintf(stderr, "case %zu\n", i);
        CHECK_EQUAL(signatures[i].digest_size == 0 ? SCHAN_ERR_UNDEFINED : SCHAN_OK,
                    ask(SCHAN_BINDING_SERVER_END_POINT, 64));
        CHECK_EQUAL(signatures[i].digest_size, got);
        end();
    }
    begin(SP_PROT_TLS1_3_CLIENT);
    shake_hands();
    toy.binding = "tls-server-end-point:d";
    toy.binding_size = 22;
    CHECK_EQUAL(SCHAN_OK, ask(SCHAN_BINDING_SERVER_END_POINT, 64));
    CHECK_EQUAL(1, got);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, ask(SCHAN_BINDING_SERVER_END_POINT, 0));
    end();
    begin(SP_PROT_TLS1_3_CLIENT);
    toy.has_no_certificate = true;
    shake_hands();
    CHECK_EQUAL(SCHAN_ERR_SSPI, ask(SCHAN_BINDING_SERVER_END_POINT, 64));
    end();
}

static schan_result export(const char *label, size_t context_size, size_t size)
{
    static const uint8_t context[70000];

    memset(room, 7, sizeof(room));
    return schan_engine_export(engine, label, (schan_span){context, context_size}, room,
                               size, NULL);
}

TEST(keying_material_is_as_long_as_was_asked_for)
{
    char label[260] = {0};

    begin(SP_PROT_TLS1_3_CLIENT);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export("label", 0, 32)); /* too early */
    shake_hands();
    CHECK_EQUAL(SCHAN_OK, export("label", 3, 32));
    CHECK(room[31] == 'k' && room[32] == 7);
    CHECK_EQUAL(SCHAN_OK, ask(SCHAN_BINDING_EXPORTER, 64));
    CHECK_EQUAL(32, got);
    CHECK_EQUAL(SCHAN_ERR_MISUSE, ask(SCHAN_BINDING_EXPORTER, 31));
    memset(label, 'l', 249);
    CHECK_EQUAL(SCHAN_OK, export(label, 65535, 1));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export(label, 65536, 1));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export("", 0, 1));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export("\xc3\xa4", 0, 1));
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export("label", 0, 0));
    label[249] = 'l';
    CHECK_EQUAL(SCHAN_ERR_MISUSE, export(label, 0, 1));
    toy.material_lacks = 1;
    CHECK_EQUAL(SCHAN_ERR_SSPI, export("label", 0, 32));
    CHECK_EQUAL(0, room[0]); /* never what is not whole */
    CHECK_EQUAL(SCHAN_ERR_SSPI, ask(SCHAN_BINDING_EXPORTER, 64));
    toy.describe_status = SEC_E_UNSUPPORTED_FUNCTION;
    CHECK_EQUAL(SCHAN_ERR_SSPI, export("label", 0, 32));
    toy.describe_status = SEC_E_OK;
    toy.failing_query = SECPKG_ATTR_KEYING_MATERIAL;
    CHECK_EQUAL(SCHAN_ERR_SSPI, export("label", 0, 32));
    table.SetContextAttributesW = NULL; /* B95 */
    CHECK_EQUAL(SCHAN_ERR_SSPI, export("label", 0, 32));
    table.SetContextAttributesW = (void *)1; /* behind the end of an old table */
    table.dwVersion = 1;
    CHECK_EQUAL(SCHAN_ERR_SSPI, export("label", 0, 32));
    end();
    begin(SP_PROT_TLS1_2_CLIENT);
    shake_hands();
    CHECK_EQUAL(SCHAN_ERR_UNDEFINED, export("label", 0, 32));
    end();
}

TEST(a_failed_connection_binds_nothing)
{
    schan_verdict bad = {.reason = SCHAN_REASON_EXPIRED, .status = CERT_E_EXPIRED};

    begin(SP_PROT_TLS1_3_CLIENT);
    shake_hands();
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, schan_engine_verified(engine, &bad, NULL));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, ask(SCHAN_BINDING_EXPORTER, 64));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE, export("label", 0, 32));
    CHECK_EQUAL(SCHAN_ERR_CERTIFICATE,
                schan_engine_provide_credential(engine, NULL, NULL));
    end();
}

/* -------------------------------------------------------------------- peer */

TEST(certificates_that_came_along_are_told_in_order)
{
    static const char *const wanted[] = {"certificate", "ex", "xx", "zz"};

    begin(SP_PROT_TLS1_3_CLIENT);
    system_memory.sent[0] = "xx"; /* in no order, and one that belongs to none */
    system_memory.sent[1] = "zz";
    system_memory.sent[2] = "ex";
    shake_hands();
    for (size_t i = 0; i < 4; i++) {
        schan_span der = schan_engine_sent_certificate(engine, i);
        CHECK_EQUAL(strlen(wanted[i]), der.size);
        CHECK(memcmp(wanted[i], der.data, der.size) == 0);
    }
    CHECK_EQUAL(0, schan_engine_sent_certificate(engine, 4).size);
    CHECK_EQUAL(11, schan_engine_peer_certificate(engine).size);
    end();
}

TEST(a_certificate_that_is_not_there_yet_comes_by_its_chain)
{
    begin(SP_PROT_TLS1_3_CLIENT);
    toy.failing_query = SECPKG_ATTR_REMOTE_CERT_CONTEXT; /* B38 */
    shake_hands();
    CHECK_EQUAL(11, schan_engine_peer_certificate(engine).size);
    end();
}

/* --------------------------------------------------------------------- DER */

TEST(lengths_that_are_not_canonical_are_no_der)
{
    static const struct {
        const char *bytes;
        size_t size;
        size_t header; /* 0: refused */
    } cases[] = {
        {"\x04\x00", 2, 2},
        {"\x04", 1, 0},
        {"\x04\x01", 2, 0},
        {"\x04\x80", 2, 0},
        {"\x04\x81\x7f", 3, 0},
        {"\x04\x81\x00", 3, 0},
        {"\x04\x84\1\1\1\1", 6, 0},
        {"\x04\x82\x01", 3, 0},
        {"\x04\x83\x7f\xff\xff", 5, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        schan_span rest = {(const uint8_t *)cases[i].bytes, cases[i].size};
        schan__der element = {0};
        CHECK_EQUAL(cases[i].header != 0, schan__der_next(&rest, &element));
        CHECK_EQUAL(cases[i].header == 0 ? cases[i].size : 0, rest.size);
    }
    static uint8_t padded[4 + 0x80] = {0x04, 0x82, 0x00, 0x80};
    schan_span with_zero = {padded, sizeof(padded)};
    schan__der none = {0};
    CHECK(!schan__der_next(&with_zero, &none));
    static uint8_t longer[70003] = {0x04, 0x83, 0x01, 0x11, 0x6b};
    schan_span rest = {longer, 5 + 0x1116b - 2};
    schan__der element = {0};
    CHECK(!schan__der_next(&rest, &element));
}

/* version, serialNumber, signature, issuer, validity, subject, the key */
static const uint8_t whole[] = {0x30, 23,   0x30, 21, 0xa0, 2,    7,    7, 0x02,
                                1,    5,    0x30, 0,  0x30, 0,    0x30, 0, 0x30,
                                0,    0x30, 2,    9,  9,    0x05, 0};

TEST(public_keys_are_found_in_whole_certificates_alone)
{
    schan_span key = schan_certificate_public_key((schan_span){whole, sizeof(whole)});
    CHECK_EQUAL(4, key.size);
    CHECK(key.data == whole + 19);
    for (size_t i = 0; i < 20; i += 1) { /* each tag made wrong */
        static const uint8_t tags[] = {0, 2, 4, 8, 11, 13, 15, 17, 19};
        uint8_t copy[sizeof(whole)];
        memcpy(copy, whole, sizeof(copy));
        if (i < sizeof(tags)) {
            copy[tags[i]] ^= 1;
            key = schan_certificate_public_key((schan_span){copy, sizeof(copy)});
            CHECK_EQUAL(0, key.size);
        }
    }
    for (size_t size = 0; size < sizeof(whole); size++) {
        key = schan_certificate_public_key((schan_span){whole, size});
        CHECK_EQUAL(0, key.size);
    }
    CHECK_EQUAL(4, schan_certificate_public_key(
                       (schan_span){(const uint8_t *)"\x30\x11\x30\x0f\x02\x01\x05"
                                                     "\x30\0\x30\0\x30\0\x30\0"
                                                     "\x30\x02\x09\x09",
                                    19})
                       .size);
}
