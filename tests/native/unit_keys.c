/* unit_keys.c - identities: PFX, keys, searches, and what is on disk (B7 to B11, B87) */
#include "check.h"
#include "schan_internal.h"
#include "system_memory.h"
#include "toy_tls.h"

static schan_library *library;
static const schan_span pfx = {(const uint8_t *)"a file", 6};
static const schan_identity_config plain;

/* With a Wine that keeps keys in CryptoAPI alone, or as Windows. */
static void begin(bool is_wine)
{
    const schan_system *system = system_begin(NULL);
    const SecurityFunctionTableW *table = toy_begin();

    stand_in.own_table = table;
    stand_in.wine_version = is_wine ? "8.0.2" : NULL;
    system_memory.keys_are_capi = is_wine;
    system_memory.pfx = (system_content){{{"ab", SYSTEM_KEY_IN_MEMORY, L"{chosen}", 0},
                                          {"bb", SYSTEM_KEY_NONE, NULL, 0}},
                                         2};
    CHECK_EQUAL(SCHAN_OK, schan_library_new(&library, table, system, NULL));
}

static void end(void)
{
    schan_library_free(library);
    stand_in.own_table = NULL;
    stand_in.wine_version = NULL;
    provider_end();
    system_end();
}

static schan_identity *import(const wchar_t *password, const schan_identity_config *how)
{
    schan_identity *identity = NULL;

    CHECK_EQUAL(SCHAN_OK,
                schan_identity_from_pfx(&identity, library, pfx, password, how, NULL));
    return identity;
}

static int32_t refusal(const wchar_t *password)
{
    schan_identity *identity = NULL;
    schan_error err = {0};

    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, schan_identity_from_pfx(&identity, library, pfx,
                                                              password, &plain, &err));
    CHECK(identity == NULL);
    return err.status;
}

TEST(a_key_of_a_pfx_is_on_disk_as_long_as_its_identity)
{
    static const schan_identity_config machine = {.machine_keys = 1};

    for (int is_wine = 0; is_wine < 2; is_wine++) {
        begin(is_wine);
        system_memory.password = L"secret";
        schan_identity *identity = import(L"secret", is_wine ? &plain : &machine);
        CHECK_EQUAL(1, system_keys());
        CHECK(!system_has_key(L"{chosen}"));
        CHECK_EQUAL(2, schan_identity_certificate(identity).size);
        schan_identity_free(identity);
        CHECK_EQUAL(0, system_keys());
        end();
    }
}

TEST(an_ephemeral_key_is_never_on_disk)
{
    static const schan_identity_config ephemeral = {.ephemeral = 1};

    begin(false);
    schan_identity *identity = import(NULL, &ephemeral);
    CHECK_EQUAL(0, system_keys());
    schan_identity_free(identity);
    end();
}

TEST(a_key_that_may_not_be_exported_goes_with_its_last_user)
{
    begin(false);
    system_memory.is_not_exportable = true;
    schan_identity *one = import(NULL, &plain);
    schan_identity *other = import(NULL, &plain);
    CHECK(system_has_key(L"{chosen}"));
    CHECK_EQUAL(2, system_notes());
    schan_identity_free(one);
    CHECK(system_has_key(L"{chosen}"));
    schan_identity_free(other);
    CHECK_EQUAL(0, system_keys() + system_notes());
    end();

    begin(true); /* Wine's import would overwrite the default container */
    system_memory.is_not_exportable = true;
    CHECK_EQUAL(NTE_BAD_KEY_STATE, refusal(NULL));
    end();
}

TEST(other_keys_of_a_file_are_deleted_with_their_containers)
{
    begin(false);
    system_memory.is_not_exportable = true;
    system_memory.pfx.items[1] =
        (system_item){"bb", SYSTEM_KEY_IN_MEMORY, L"{other}", stand_in.file_time - 1};
    schan_identity *identity = import(NULL, &plain);
    CHECK(system_has_key(L"{chosen}") && !system_has_key(L"{other}"));
    schan_identity_free(identity);
    CHECK_EQUAL(0, system_keys() + system_notes());
    end();
}

TEST(a_container_whose_name_is_too_long_is_refused)
{
    static wchar_t longest[515];

    begin(false);
    for (size_t i = 0; i < 512; i++) {
        longest[i] = L'n';
    }
    schan__key key = {0};
    schan_error err = {0};
    CHECK_EQUAL(SCHAN_OK, schan__key_adopt(&key, library, false, longest, NULL));
    schan__key_delete(&key);
    longest[512] = L'n';
    schan__key another = {0};
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                schan__key_adopt(&another, library, false, longest, &err));
    CHECK_EQUAL(NTE_BAD_KEYSET_PARAM, err.status);
    schan__key_delete(&another);
    end();
}

TEST(no_password_and_an_empty_one_are_both_tried)
{
    static const wchar_t *const passwords[] = {NULL, L""};

    for (size_t i = 0; i < 4; i++) {
        begin(false);
        system_memory.password = passwords[i % 2];
        schan_identity_free(import(passwords[i / 2], &plain));
        system_memory.password = L"another";
        CHECK_EQUAL(ERROR_INVALID_PASSWORD, refusal(passwords[i / 2]));
        CHECK_EQUAL(ERROR_INVALID_PASSWORD, refusal(L"wrong"));
        end();
    }
}

TEST(of_several_keys_the_good_one_is_taken)
{
    begin(false);
    system_memory.pfx.items[1] =
        (system_item){"bb", SYSTEM_KEY_IN_MEMORY, L"{2}", stand_in.file_time - 1};
    schan_identity *identity = import(NULL, &plain);
    CHECK_EQUAL('a', schan_identity_certificate(identity).data[0]);
    schan_identity_free(identity);
    system_memory.pfx.items[1].not_after = 0;
    CHECK_EQUAL(ERROR_TOO_MANY_NAMES, refusal(NULL));
    system_memory.pfx.items[0].key = SYSTEM_KEY_NONE;
    system_memory.pfx.items[1].key = SYSTEM_KEY_NONE;
    CHECK_EQUAL(NTE_NO_KEY, refusal(NULL));
    end();
}

/* ------------------------------------------------------------ keys as bytes */

static schan_result from_key(schan_identity **out, schan_span certificates[3],
                             size_t count, int type, schan_span key, schan_error *err)
{
    return schan_identity_from_key(out, library, certificates, count, type, key, &plain,
                                   err);
}

TEST(intermediates_that_windows_does_not_find_are_noted)
{
    schan_span chain[3] = {{(const uint8_t *)"ab", 2},
                           {(const uint8_t *)"bc", 2},
                           {(const uint8_t *)"cc", 2}};
    const schan_span key = {(const uint8_t *)"key", 3};
    schan_identity *identity = NULL;

    for (size_t count = 1; count < 4; count++) {
        begin(false);
        CHECK_EQUAL(SCHAN_OK,
                    from_key(&identity, chain, count, SCHAN_KEY_ECC, key, NULL));
        CHECK_EQUAL(count > 1, schan_identity_misses_intermediates(identity));
        schan_identity_free(identity);
        end();
    }
    begin(false);
    chain[1].data = (const uint8_t *)"bb"; /* only an anchor above */
    CHECK_EQUAL(SCHAN_OK, from_key(&identity, chain, 2, SCHAN_KEY_RSA, key, NULL));
    CHECK_EQUAL(0, schan_identity_misses_intermediates(identity));
    schan_identity_free(identity);
    end();
}

TEST(keys_and_certificates_that_are_none_are_refused)
{
    schan_span chain[3] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"", 0}};
    const schan_span key = {(const uint8_t *)"key", 3};
    const schan_span huge = {key.data, (size_t)1 << 31U};
    const schan_span nothing = {key.data, 0};
    schan_identity *identity = NULL;
    schan_error err = {0};

    for (int is_wine = 0; is_wine < 2; is_wine++) {
        begin(is_wine);
        CHECK_EQUAL(SCHAN_ERR_MISUSE, from_key(&identity, chain, 0, 1, key, NULL));
        CHECK_EQUAL(SCHAN_ERR_MISUSE, from_key(&identity, chain, 1, 3, key, NULL));
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, from_key(&identity, chain, 2, 1, key, &err));
        CHECK_EQUAL(CRYPT_E_ASN1_BADTAG, err.status);
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                    from_key(&identity, chain, 1, 1, nothing, &err));
        CHECK_EQUAL(NTE_BAD_DATA, err.status);
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, from_key(&identity, chain, 1, 2, huge, &err));
        CHECK_EQUAL(is_wine ? NTE_BAD_ALGID : NTE_BAD_DATA, err.status);
        CHECK(identity == NULL);
        end();
    }
}

/* 64 bit, with a prime that has a zero before it. */
static const uint8_t rsa_blob[] = {
    'R', 'S', 'A', '3', 64, 0, 0, 0, 3, 0, 0, 0, 8, 0,
    0,   0,   5,   0,   0,  0, 4, 0, 0, 0, 1, 0, 1, /* exponent */
    1,   2,   3,   4,   5,  6, 7, 8,                /* modulus */
    0,   1,   2,   3,   4,  9, 8, 7, 6,             /* primes */
    0,   1,   1,   1,   1,  2, 2, 2, 2,             /* exponents */
    0,   3,   3,   3,   3,                          /* coefficient */
    8,   7,   6,   5,   4,  3, 2, 1,                /* private exponent */
};

TEST(rsa_keys_become_those_of_cryptoapi)
{
    schan_span chain[3] = {{(const uint8_t *)"ab", 2}};
    schan_identity *identity = NULL;
    schan_error err = {0};
    uint8_t blob[sizeof(rsa_blob)];

    begin(true);
    schan_span key = {rsa_blob, sizeof(rsa_blob)};
    CHECK_EQUAL(SCHAN_OK, from_key(&identity, chain, 1, SCHAN_KEY_RSA, key, NULL));
    CHECK_EQUAL(1, system_keys());
    schan_identity_free(identity);
    for (key.size = 0; key.size < sizeof(rsa_blob); key.size++) {
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, from_key(&identity, chain, 1, 1, key, &err));
        CHECK_EQUAL(NTE_BAD_DATA, err.status);
    }
    static const size_t header[] = {0, 4, 8, 12, 16, 20}; /* each number made wrong */
    for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
        memcpy(blob, rsa_blob, sizeof(blob));
        blob[header[i]] += 1;
        key = (schan_span){blob, sizeof(blob)};
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, from_key(&identity, chain, 1, 1, key, &err));
    }
    memcpy(blob, rsa_blob, sizeof(blob));
    blob[35] = 1; /* the prime does not fit without its zero */
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL, from_key(&identity, chain, 1, 1, key, &err));
    end();
}

/* --------------------------------------------------------------- the dead */

static uint32_t this_computer(void)
{
    uint32_t hash = 2166136261U;

    for (const char *at = "HOST"; *at != 0; at++) {
        hash = (hash ^ (uint32_t)*at) * 16777619U;
    }
    return hash;
}

static const wchar_t *name_of(uint32_t computer, uint32_t process, uint64_t start)
{
    static wchar_t wide[80];
    char text[80];

    snprintf(text, sizeof(text), "schannel_ffi-%08x-%08x-%016llx-00000000000000aa",
             computer, process, (unsigned long long)start);
    for (size_t i = 0; i < sizeof(text); i++) {
        wide[i] = (wchar_t)text[i];
    }
    return wide;
}

typedef struct {
    uint32_t other_computer;
    uint32_t process;
    uint64_t start;
    bool is_dead;
} owner_case;

static const owner_case owners[] = {
    {0, 0x63, 5, true},       /* no such process */
    {0, 4711, 0x1110, true},  /* its number was given out again */
    {0, 4711, 0x1111, false}, /* this process */
    {0, 42, 5, false},        /* of which nothing can be told */
    {1, 0x63, 5, false},      /* a profile that roams (B87) */
};

TEST(keys_of_dead_processes_are_deleted_and_no_others)
{
    for (size_t i = 0; i < 2 * sizeof(owners) / sizeof(owners[0]); i++) {
        const owner_case *one = &owners[i / 2];
        begin(i % 2 == 1);
        const wchar_t *name =
            name_of(this_computer() ^ one->other_computer, one->process, one->start);
        system_add_key(name, false);
        system_add_key(L"schannel_ffi-0-1", false);
        system_add_key(L"schannel_ffi-0000000g", false);
        system_add_key(
            L"someone else\'s, with a name that is longer than any of ours is, "
            L"and by far",
            false);
        schan_identity_free(import(NULL, &plain));
        CHECK_EQUAL(one->is_dead, !system_has_key(name));
        CHECK_EQUAL(one->is_dead ? 3 : 4, system_keys());
        end();
    }
}

TEST(containers_of_dead_processes_go_with_their_notes)
{
    begin(false);
    system_add_key(L"{old}", false);
    system_add_note(name_of(this_computer(), 0x63, 5), REG_SZ, L"{old}");
    system_add_note(L"no text", 4, L"{x}");
    system_add_note(name_of(this_computer(), 0x64, 5), 3, L"{no text either}");
    system_add_note(
        L"a name of somebody else\'s that is much too long to be one of ours, "
        L"so it is left",
        REG_SZ, L"{y}");
    schan_identity_free(import(NULL, &plain));
    CHECK(!system_has_key(L"{old}"));
    CHECK_EQUAL(3, system_notes());
    end();
}

TEST(the_end_of_a_process_deletes_all_keys)
{
    begin(false);
    schan_identity *one = import(NULL, &plain);
    schan_identity *other = import(NULL, &plain);
    schan_identity *third = import(NULL, &plain);
    schan_identity_free(other); /* from the middle of the list */
    CHECK_EQUAL(2, system_keys());
    schan_library_delete_keys(library);
    CHECK_EQUAL(0, system_keys());
    schan_identity_free(one);
    schan_identity_free(third);
    end();
}

/* ------------------------------------------------------------------ search */

static void store_of_all_kinds(void)
{
    system_memory.stored = (system_content){
        {{"a.", SYSTEM_KEY_NONE, NULL, 0},
         {"b.", SYSTEM_KEY_ON_DISK, L"{there}", stand_in.file_time - 1},
         {"c.", SYSTEM_KEY_ON_DISK, L"{gone}", 0},
         {"d.", SYSTEM_KEY_ON_DISK, L"{there}", 0},
         {"e.", SYSTEM_KEY_ON_DISK, L"{there}", stand_in.file_time + 9},
         {"f.", SYSTEM_KEY_IN_MEMORY, NULL, 0}},
        6};
    system_add_key(L"{there}", false);
}

TEST(a_search_tells_what_speaks_against_each)
{
    static const schan_fitness wanted[] = {
        SCHAN_FITNESS_NO_KEY, SCHAN_FITNESS_EXPIRED, SCHAN_FITNESS_KEY_OUT_OF_REACH,
        SCHAN_FITNESS_GOOD,   SCHAN_FITNESS_GOOD,    SCHAN_FITNESS_GOOD};
    const schan_search_config config = {.store = L"MY", .subject = L"n=X"};
    schan_search *search = NULL;
    schan_identity *identity = NULL;

    for (int is_wine = 0; is_wine < 2; is_wine++) {
        begin(is_wine);
        store_of_all_kinds();
        CHECK_EQUAL(SCHAN_OK, schan_search_new(&search, library, &config, NULL));
        CHECK_EQUAL(6, schan_search_count(search));
        for (size_t i = 0; i < 6; i++) {
            CHECK_EQUAL(wanted[i], schan_search_candidate(search, i).fitness);
        }
        CHECK_EQUAL(NTE_BAD_KEYSET, schan_search_candidate(search, 2).status);
        CHECK(wcscmp(schan_search_candidate(search, 2).container, L"{gone}") == 0);
        CHECK_EQUAL(0, schan_search_candidate(search, 6).certificate.size);
        CHECK_EQUAL(4, schan_search_best(search)); /* valid longest */
        CHECK_EQUAL(SCHAN_ERR_MISUSE,
                    schan_identity_from_search(&identity, search, 2, NULL));
        CHECK_EQUAL(SCHAN_ERR_MISUSE,
                    schan_identity_from_search(&identity, search, 6, NULL));
        CHECK_EQUAL(SCHAN_OK, schan_identity_from_search(&identity, search, 4, NULL));
        schan_search_free(search);
        CHECK_EQUAL('e', schan_identity_certificate(identity).data[0]);
        schan_identity_free(identity);
        CHECK(system_has_key(L"{there}")); /* it is not ours */
        end();
    }
}

static size_t found(schan_search_config config)
{
    schan_search *search = NULL;

    CHECK_EQUAL(SCHAN_OK, schan_search_new(&search, library, &config, NULL));
    size_t count = schan_search_count(search);
    CHECK_EQUAL(count,
                schan_search_best(search) < count ? count : schan_search_best(search));
    schan_search_free(search);
    return count;
}

TEST(thumbprint_and_subject_choose_the_candidates)
{
    uint8_t digest[32] = {0};
    size_t size = 0;
    const schan_span der = {(const uint8_t *)"d.", 2};
    schan_search *search = NULL;

    begin(false);
    store_of_all_kinds();
    for (int kind = SCHAN_SHA1; kind <= SCHAN_SHA256; kind++) {
        CHECK_EQUAL(SCHAN_OK, schan_digest(library, (schan_digest_algorithm)kind, der,
                                           digest, sizeof(digest), &size, NULL));
        schan_search_config config = {.store = L"MY", .thumbprint = {digest, size}};
        CHECK_EQUAL(1, found(config));
        config.local_machine = 1;
        config.subject = L"y";
        CHECK_EQUAL(0, found(config));
    }
    CHECK_EQUAL(6, found((schan_search_config){.store = L"MY"}));
    const schan_search_config wrong = {.store = L"MY", .thumbprint = {digest, 31}};
    CHECK_EQUAL(SCHAN_ERR_MISUSE, schan_search_new(&search, library, &wrong, NULL));
    CHECK(search == NULL);
    schan_search_free(NULL);
    end();
}

TEST(purposes_are_those_of_the_extension)
{
    static const struct {
        const char *usage;
        bool is_server;
        bool is_good;
    } cases[] = {
        {NULL, true, true},
        {"", true, false},
        {szOID_PKIX_KP_SERVER_AUTH, true, true},
        {szOID_PKIX_KP_SERVER_AUTH, false, false},
        {szOID_PKIX_KP_CLIENT_AUTH, false, true},
        {szOID_ANY_ENHANCED_KEY_USAGE, true, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(false);
        store_of_all_kinds();
        system_memory.usage = cases[i].usage;
        const schan_search_config config = {.store = L"MY",
                                            .is_server = cases[i].is_server};
        schan_search *search = NULL;
        CHECK_EQUAL(SCHAN_OK, schan_search_new(&search, library, &config, NULL));
        CHECK_EQUAL(cases[i].is_good ? SCHAN_FITNESS_GOOD : SCHAN_FITNESS_WRONG_USAGE,
                    schan_search_candidate(search, 3).fitness);
        schan_search_free(search);
        end();
    }
    begin(false);
    store_of_all_kinds();
    system_memory.not_before = stand_in.file_time + 1;
    const schan_search_config config = {.store = L"MY"};
    schan_search *search = NULL;
    CHECK_EQUAL(SCHAN_OK, schan_search_new(&search, library, &config, NULL));
    CHECK_EQUAL(SCHAN_FITNESS_NOT_YET_VALID, schan_search_candidate(search, 3).fitness);
    schan_search_free(search);
    end();
}

/* -------------------------------------------------------- whatever may fail */

typedef enum { BY_PFX, BY_PFX_ON_DISK, EPHEMERAL, BY_KEY, BY_SEARCH, WAYS } way;

static schan_result make(way how, schan_identity **out, schan_error *err)
{
    schan_identity_config config = {.ephemeral = how == EPHEMERAL};
    schan_span chain[3] = {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"bc", 2}};
    const schan_span key = {rsa_blob, sizeof(rsa_blob)};
    const schan_search_config looked_for = {
        .store = L"MY", .subject = L"x", .thumbprint = {(const uint8_t *)"", 0}};
    schan_search *search = NULL;

    *out = NULL;
    system_memory.is_not_exportable = how == BY_PFX_ON_DISK;
    if (how == BY_KEY) {
        return from_key(out, chain, 2, SCHAN_KEY_RSA, key, err);
    }
    if (how != BY_SEARCH) {
        return schan_identity_from_pfx(out, library, pfx, NULL, &config, err);
    }
    store_of_all_kinds();
    schan_result result = schan_search_new(&search, library, &looked_for, err);
    if (result == SCHAN_OK) {
        size_t best = schan_search_best(search);
        result = best < schan_search_count(search)
                     ? schan_identity_from_search(out, search, best, err)
                     : schan__fail(err, SCHAN_ERR_CREDENTIAL, 0, NULL);
    }
    schan_search_free(search);
    return result;
}

static void check_outcome(schan_result result, const schan_identity *identity,
                          const schan_error *err)
{
    CHECK((result == SCHAN_OK) == (identity != NULL));
    CHECK(result == SCHAN_OK || err->result == result);
    CHECK(result == SCHAN_OK || result == SCHAN_ERR_CREDENTIAL ||
          result == SCHAN_ERR_SYSTEM || result == SCHAN_ERR_MEMORY);
}

TEST(each_call_that_fails_is_told_and_nothing_is_left)
{
    for (unsigned i = 0; i < 4 * WAYS; i++) {
        bool is_over = false;
        for (unsigned failing = 1; !is_over; failing++) {
            schan_identity *identity = NULL;
            schan_error err = {0};
            begin((i & 1U) != 0);
            system_add_key(name_of(this_computer(), 0x63, 5), false);
            system_add_note(name_of(this_computer(), 0x64, 5), REG_SZ, L"{old}");
            system_memory.calls = 0;
            system_memory.failing_call = failing;
            system_memory.fails_without_reason = (i & 2U) != 0;
            schan_result result = make((way)(i / 4), &identity, &err);
            check_outcome(result, identity, &err);
            is_over = system_memory.calls < failing;
            schan_identity_free(identity);
            end();
        }
    }
}

TEST(no_memory_is_told_and_leaves_no_key)
{
    for (unsigned i = 0; i < 2 * WAYS; i++) {
        bool is_over = false;
        for (unsigned failing = 1; !is_over; failing++) {
            schan_identity *identity = NULL;
            schan_error err = {0};
            begin((i & 1U) != 0);
            stand_in.allocations = 0;
            stand_in.failing_allocation = failing;
            schan_result result = make((way)(i / 2), &identity, &err);
            check_outcome(result, identity, &err);
            is_over = stand_in.allocations < failing;
            stand_in.failing_allocation = 0;
            schan_identity_free(identity);
            end(); /* aborts when a private key is left on disk */
        }
    }
}

TEST(an_account_that_cannot_be_told_is_empty)
{
    wchar_t text[20] = {L'x'};

    begin(false);
    schan_library_account(library, text, 0);
    CHECK_EQUAL('x', text[0]);
    schan_library_account(library, text, 20);
    CHECK(wcscmp(text, L"somebody") == 0);
    schan_library_account(library, text, 8);
    CHECK_EQUAL(0, text[0]);
    schan_library_account(library, text, (size_t)1 << 40U);
    CHECK_EQUAL(0, text[0]);
    end();
}

/* -------------------------------------------------------------- credentials */

TEST(who_impersonates_asks_as_both)
{
    schan_credential *credential = NULL;
    schan_error err = {0};

    begin(false);
    schan_identity *identity = import(NULL, &plain);
    const schan_credential_config config = {.protocols = SCHAN_TLS_1_3,
                                            .identity = identity};
    system_memory.impersonates = true;
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &config, NULL));
    schan_credential_free(credential);
    toy.acquire_statuses[0] = SEC_E_NO_CREDENTIALS;
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                schan_credential_new(&credential, library, &config, &err));
    CHECK(strcmp("as the process itself: 0x8009030E", err.detail) == 0);
    toy.acquire_statuses[0] = SEC_E_OK;
    for (unsigned failing = 1; failing < 3; failing++) { /* each SetThreadToken */
        system_memory.calls = 0;
        system_memory.failing_call = failing;
        CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                    schan_credential_new(&credential, library, &config, &err));
        CHECK(strcmp("SetThreadToken", err.call) == 0);
    }
    system_memory.failing_call = 0;
    schan_identity_free(identity);
    end();
}

TEST(a_key_out_of_reach_is_told_by_its_name)
{
    schan_credential *credential = NULL;
    schan_error err = {0};

    begin(false);
    schan_identity *identity = import(NULL, &plain);
    const schan_credential_config config = {.protocols = SCHAN_TLS_1_2 | SCHAN_TLS_1_3,
                                            .identity = identity};
    toy.acquire_statuses[0] =
        SEC_E_UNKNOWN_CREDENTIALS; /* or the older structure (B1) */
    CHECK_EQUAL(SCHAN_OK, schan_credential_new(&credential, library, &config, NULL));
    CHECK_EQUAL(SCHAN_KIND_SCHANNEL_CRED, schan_credential_kind(credential));
    schan_credential_free(credential);
    schan_library_delete_keys(library);
    CHECK_EQUAL(SCHAN_ERR_CREDENTIAL,
                schan_credential_new(&credential, library, &config, &err));
    CHECK_EQUAL(NTE_BAD_KEYSET, err.status);
    CHECK(strcmp("CryptAcquireCertificatePrivateKey", err.call) == 0);
    schan_identity_free(identity);
    end();
}
