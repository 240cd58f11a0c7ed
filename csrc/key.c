/*
 * key.c - private keys that are on disk because of us, and leave it with us
 *
 * A key container's name tells whose it is:
 *
 *     schannel_ffi-<computer>-<process>-<its start>-<random>      hexadecimal digits
 *
 * so that keys of processes that died can be told from those of living ones: the next
 * import deletes them (B87). A process id alone does not do, as Windows gives it out
 * again; nor does it without the computer, as key sets roam with a user's profile.
 *
 * A key that must stay in a container of Windows' choice has such a name, too: in the
 * journal of who uses what (key_journal.c).
 *
 * Always true here: a key that is on disk is in the library's list, from before it is
 * imported until it is deleted, so that the end of the process finds them all; whoever
 * takes a key off the list deletes it.
 */
#include "schan_internal.h"

enum { digits_of_32_bits = 8, digits_of_64_bits = 16, names_at_once = 32 };

static const wchar_t product[] = L"schannel_ffi-";

const schan__key_ways *schan__key_ways_of(const schan_library *library)
{
    return library->quirks.keys_are_capi_only ? &schan__key_capi : &schan__key_cng;
}

/* -------------------------------------------------------------------- names */

typedef struct {
    uint64_t computer;
    uint64_t process;
    uint64_t start;
    uint64_t random;
} owner;

typedef struct {
    size_t digits;
    size_t offset; /* in owner */
} field;

static const field fields[] = {
    {digits_of_32_bits, offsetof(owner, computer)},
    {digits_of_32_bits, offsetof(owner, process)},
    {digits_of_64_bits, offsetof(owner, start)},
    {digits_of_64_bits, offsetof(owner, random)},
};
enum { field_count = sizeof(fields) / sizeof(fields[0]) };

static uint64_t *value_of(owner *self, size_t index)
{
    return (uint64_t *)(void *)((uint8_t *)self + fields[index].offset);
}

static void write_name(owner self, wchar_t *out)
{
    size_t at = sizeof(product) / sizeof(product[0]) - 1;

    memcpy(out, product, sizeof(product));
    for (size_t i = 0; i < field_count; i++) {
        uint64_t value = *value_of(&self, i);
        for (size_t digit = fields[i].digits; digit > 0; digit--) {
            out[at + digit - 1] = L"0123456789abcdef"[value & 0xfU];
            value >>= 4U;
        }
        at += fields[i].digits;
        out[at++] = i + 1 < field_count ? L'-' : 0;
    }
}

static int digit_of(wchar_t letter)
{
    if (letter >= L'0' && letter <= L'9') {
        return letter - L'0';
    }
    return letter >= L'a' && letter <= L'f' ? letter - L'a' + 10 : -1;
}

/* False: the name is none of ours. */
static bool read_name(const wchar_t *name, owner *out)
{
    size_t at = 0;

    for (; product[at] != 0; at++) {
        if (name[at] != product[at]) {
            return false;
        }
    }
    for (size_t i = 0; i < field_count; i++) {
        uint64_t value = 0;
        for (size_t digit = 0; digit < fields[i].digits; digit++, at++) {
            int number = digit_of(name[at]);
            if (number < 0) {
                return false;
            }
            value = value << 4U | (uint64_t)number;
        }
        *value_of(out, i) = value;
        if (name[at++] != (i + 1 < field_count ? L'-' : 0)) {
            return false;
        }
    }
    return true;
}

/* FNV-1a of its name: enough to tell the few computers that share a profile apart. */
static uint64_t this_computer(const schan_system *system)
{
    wchar_t name[MAX_COMPUTERNAME_LENGTH + 1] = {0};
    DWORD size = MAX_COMPUTERNAME_LENGTH + 1;
    uint32_t hash = 2166136261U;

    if (!system->GetComputerNameW(name, &size)) {
        return 0;
    }
    for (DWORD i = 0; i < size && i < MAX_COMPUTERNAME_LENGTH; i++) {
        hash = (hash ^ (uint32_t)name[i]) * 16777619U;
    }
    return hash;
}

static bool this_process(const schan_system *system, owner *out)
{
    ULONGLONG start = 0;
    uint64_t random = 0;

    out->computer = this_computer(system);
    out->process = system->GetCurrentProcessId();
    if (!system->ProcessStart((DWORD)out->process, &start) ||
        system->BCryptGenRandom(NULL, (PUCHAR)&random, sizeof(random),
                                BCRYPT_USE_SYSTEM_PREFERRED_RNG) < 0) {
        return false;
    }
    out->start = start;
    out->random = random;
    return true;
}

/* ----------------------------------------------------------------- the dead */

static bool is_of_a_dead_process(schan_library *library, const wchar_t *name)
{
    const schan_system *system = library->system;
    owner self = {0};
    ULONGLONG start = 0;

    if (!read_name(name, &self) || self.computer != this_computer(system)) {
        return false;
    }
    if (!system->ProcessStart((DWORD)self.process, &start)) { /* B87 */
        return true;
    }
    return start != 0 && start != self.start;
}

bool schan__same_text(const wchar_t *one, const wchar_t *other)
{
    while (*one != 0 && *one == *other) {
        one++;
        other++;
    }
    return *one == *other;
}

static bool is_in_container(schan_library *library, const schan__note *note,
                            const void *container)
{
    (void)library;
    return schan__same_text(note->container, container);
}

/* A container of Windows' choice goes with the last of its users. */
static void remove_key(const schan__key *key)
{
    const schan__key_ways *ways = schan__key_ways_of(key->library);
    schan__note other = {{0}, {0}};

    if (key->container[0] == 0) {
        ways->remove(key->library, key->is_machine, key->name);
        return;
    }
    schan__journal_forget(key);
    if (schan__journal_find(key->library, key->is_machine, is_in_container,
                            key->container, &other, 1) == 0) {
        ways->remove(key->library, key->is_machine, key->container);
    }
}

/* What is too much for one time waits for the next. */
static void delete_keys_of_the_dead(schan_library *library, bool is_machine)
{
    const schan__key_ways *ways = schan__key_ways_of(library);
    schan__key_names found = {NULL, names_at_once, 0};

    found.names = schan__allocate(names_at_once * sizeof(*found.names));
    if (found.names == NULL) {
        return;
    }
    ways->list(library, is_machine, is_of_a_dead_process, &found);
    for (size_t i = 0; i < found.count; i++) {
        ways->remove(library, is_machine, found.names[i]);
    }
    schan__release(found.names);
}

static bool is_note_of_a_dead_process(schan_library *library, const schan__note *note,
                                      const void *unused)
{
    (void)unused;
    return is_of_a_dead_process(library, note->user);
}

static void forget_the_dead(schan_library *library, bool is_machine)
{
    schan__note *notes = schan__allocate(names_at_once * sizeof(*notes));

    if (notes == NULL) {
        return;
    }
    size_t count = schan__journal_find(library, is_machine, is_note_of_a_dead_process,
                                       NULL, notes, names_at_once);
    for (size_t i = 0; i < count; i++) {
        schan__key dead = {.library = library, .is_machine = is_machine};
        memcpy(dead.name, notes[i].user, sizeof(dead.name));
        memcpy(dead.container, notes[i].container, sizeof(dead.container));
        remove_key(&dead);
    }
    schan__release(notes);
}

/* --------------------------------------------------------------- the living */

static void enlist(schan__key *key)
{
    schan_library *library = key->library;

    AcquireSRWLockExclusive(&library->key_lock);
    key->is_there = true;
    key->next = library->keys;
    key->previous = NULL;
    if (key->next != NULL) {
        key->next->previous = key;
    }
    library->keys = key;
    ReleaseSRWLockExclusive(&library->key_lock);
}

/* Takes `key`, or with NULL any key, off the list and copies it out; false when it is
 * not there any more. */
static bool delist(schan_library *library, schan__key *key, schan__key *out)
{
    AcquireSRWLockExclusive(&library->key_lock);
    key = key != NULL ? key : library->keys;
    bool is_ours = key != NULL && key->is_there;
    if (is_ours) {
        if (key->previous != NULL) {
            key->previous->next = key->next;
        } else {
            library->keys = key->next;
        }
        if (key->next != NULL) {
            key->next->previous = key->previous;
        }
        key->is_there = false;
        *out = *key;
    }
    ReleaseSRWLockExclusive(&library->key_lock);
    return is_ours;
}

/* B87: on every way out. */
void schan__key_delete(schan__key *key)
{
    schan__key own = {0};

    if (key->library != NULL && delist(key->library, key, &own)) {
        remove_key(&own);
    }
}

void schan_library_delete_keys(schan_library *library)
{
    schan__key key = {0};

    while (delist(library, NULL, &key)) {
        remove_key(&key);
    }
}

static void clean_up(schan_library *library, bool is_machine)
{
    delete_keys_of_the_dead(library, is_machine);
    if (schan__key_ways_of(library)->can_stay_where_it_is) {
        forget_the_dead(library, is_machine);
    }
}

static schan_result name_key(schan__key *out, schan_library *library, bool is_machine,
                             schan_error *err)
{
    owner self = {0};

    if (!this_process(library->system, &self)) {
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_FAIL, "BCryptGenRandom");
    }
    out->library = library;
    out->is_machine = is_machine;
    write_name(self, out->name);
    return SCHAN_OK;
}

schan_result schan__key_import(schan__key *out, schan_library *library, bool is_machine,
                               schan__key_type type, schan_span blob, schan_error *err)
{
    clean_up(library, is_machine);
    schan_result result = name_key(out, library, is_machine, err);
    if (result != SCHAN_OK) {
        return result;
    }
    enlist(out); /* a failed import may have left it on disk all the same */
    return schan__key_ways_of(library)->import(out, type, blob, err);
}

schan_result schan__key_adopt(schan__key *out, schan_library *library, bool is_machine,
                              const wchar_t *container, schan_error *err)
{
    size_t size = 0;

    while (size + 2 < SCHAN__CONTAINER_SIZE && container[size] != 0) {
        out->container[size] = container[size];
        size++;
    }
    if (container[size] != 0) { /* nobody can have noted it */
        schan__key_ways_of(library)->remove(library, is_machine, container);
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, NTE_BAD_KEYSET_PARAM,
                           "PFXImportCertStore");
    }
    out->library = library;
    out->is_machine = is_machine;
    enlist(out); /* it is on disk, whatever comes */
    schan_result result = name_key(out, library, is_machine, err);
    if (result == SCHAN_OK) {
        result = schan__journal_note(out, err);
    }
    if (result == SCHAN_OK) {
        clean_up(library, is_machine); /* once it is noted that this one is in use */
    }
    return result;
}

schan_result schan__key_bind(const schan__key *key, PCCERT_CONTEXT certificate,
                             schan_error *err)
{
    const schan__key_ways *ways = schan__key_ways_of(key->library);
    wchar_t name[SCHAN__KEY_NAME_SIZE] = {0};
    wchar_t provider[SCHAN__KEY_NAME_SIZE] = {0}; /* Windows' struct is not const */
    CRYPT_KEY_PROV_INFO place = {0};

    memcpy(name, key->name, sizeof(name));
    for (size_t i = 0; i + 1 < SCHAN__KEY_NAME_SIZE && ways->provider[i] != 0; i++) {
        provider[i] = ways->provider[i];
    }
    place.pwszContainerName = name;
    place.pwszProvName = provider;
    place.dwProvType = ways->provider_type;
    place.dwKeySpec = ways->key_spec;
    place.dwFlags = key->is_machine ? CRYPT_MACHINE_KEYSET : 0U;
    if (!key->library->system->CertSetCertificateContextProperty(
            certificate, CERT_KEY_PROV_INFO_PROP_ID, 0, &place)) {
        return schan__fail(err, SCHAN_ERR_CREDENTIAL, (int32_t)GetLastError(),
                           "CertSetCertificateContextProperty");
    }
    return SCHAN_OK;
}
