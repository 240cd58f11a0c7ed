/*
 * keys_memory.c - private keys on disk, in memory: ncrypt, advapi32, the registry, and who
 * asks
 */
#include <stdlib.h>

#include "system_parts.h"

enum { most_keys = 12, most_notes = 12, name_room = 520, this_process = 4711 };

typedef struct {
    bool is_there;
    bool is_ours; /* imported in this run: to be deleted before its end */
    bool is_machine;
    wchar_t name[name_room];
} key;

typedef struct {
    bool is_there;
    DWORD type;
    wchar_t user[name_room];
    wchar_t container[name_room];
} note;

/* What a handle of a key, provider, container or enumeration leads to. */
typedef struct {
    key *of;
    bool is_machine;
    size_t next;
} handle;

static key keys[most_keys];
static note notes[most_notes];
static uint8_t last_random;

/* -------------------------------------------------------------------- disk */

static void copy(wchar_t *to, const wchar_t *from)
{
    system_rule(wcslen(from) < name_room, "a name's length");
    memcpy(to, from, (wcslen(from) + 1) * sizeof(wchar_t));
}

static key *find(const wchar_t *name, bool is_machine)
{
    for (size_t i = 0; i < most_keys; i++) {
        if (keys[i].is_there && keys[i].is_machine == is_machine &&
            wcscmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static key *add(const wchar_t *name, bool is_machine, bool is_ours)
{
    size_t i = 0;

    while (keys[i].is_there) {
        system_rule(++i < most_keys, "private keys are not deleted");
    }
    keys[i] = (key){.is_there = true, .is_ours = is_ours, .is_machine = is_machine};
    copy(keys[i].name, name);
    return &keys[i];
}

void system_add_key(const wchar_t *name, bool is_machine)
{
    if (find(name, is_machine) == NULL) {
        add(name, is_machine, false);
    }
}

void system_add_note(const wchar_t *user, DWORD type, const wchar_t *container)
{
    size_t i = 0;

    while (notes[i].is_there) {
        system_rule(++i < most_notes, "notes are not taken away");
    }
    notes[i] = (note){.is_there = true, .type = type};
    copy(notes[i].user, user);
    copy(notes[i].container, container);
}

size_t system_keys(void)
{
    size_t count = 0;

    for (size_t i = 0; i < most_keys; i++) {
        count += keys[i].is_there;
    }
    return count;
}

size_t system_notes(void)
{
    size_t count = 0;

    for (size_t i = 0; i < most_notes; i++) {
        count += notes[i].is_there;
    }
    return count;
}

bool system_has_key(const wchar_t *name)
{
    return find(name, false) != NULL || find(name, true) != NULL;
}

static ULONG_PTR new_handle(key *of, bool is_machine)
{
    handle *self = system_acquire(sizeof(*self));

    self->of = of;
    self->is_machine = is_machine;
    return (ULONG_PTR)self;
}

static handle *handle_of(ULONG_PTR value)
{
    system_rule(value != 0, "a handle that is 0");
    return (handle *)value;
}

/* ------------------------------------------------------------------ ncrypt */

static SECURITY_STATUS open_provider(NCRYPT_PROV_HANDLE *provider, LPCWSTR name,
                                     DWORD flags)
{
    system_rule(wcscmp(name, MS_KEY_STORAGE_PROVIDER) == 0 && flags == 0 &&
                    !system_memory.keys_are_capi,
                "NCryptOpenStorageProvider");
    if (system_fails(0)) {
        return NTE_PROV_TYPE_NOT_DEF;
    }
    *provider = new_handle(NULL, false);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS open_key(NCRYPT_PROV_HANDLE provider, NCRYPT_KEY_HANDLE *out,
                                LPCWSTR name, DWORD key_spec, DWORD flags)
{
    key *found = find(name, (flags & NCRYPT_MACHINE_KEY_FLAG) != 0);

    (void)handle_of(provider);
    system_rule(key_spec == 0 && (flags & NCRYPT_SILENT_FLAG) != 0, "NCryptOpenKey");
    if (found == NULL || system_fails(0)) {
        return NTE_BAD_KEYSET;
    }
    *out = new_handle(found, found->is_machine);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS import_key(NCRYPT_PROV_HANDLE provider, NCRYPT_KEY_HANDLE with,
                                  LPCWSTR type, NCryptBufferDesc *named,
                                  NCRYPT_KEY_HANDLE *out, PBYTE data, DWORD size,
                                  DWORD flags)
{
    (void)handle_of(provider);
    system_rule(with == 0 && wcslen(type) > 0 && named->cBuffers == 1 &&
                    named->pBuffers[0].BufferType == NCRYPTBUFFER_PKCS_KEY_NAME &&
                    (flags & NCRYPT_SILENT_FLAG) != 0,
                "NCryptImportKey");
    const wchar_t *name = named->pBuffers[0].pvBuffer;
    system_rule((wcslen(name) + 1) * sizeof(wchar_t) == named->pBuffers[0].cbBuffer,
                "the size of a key's name");
    if (size == 0 || data[0] == 0 || system_fails(0)) {
        return NTE_BAD_DATA;
    }
    bool is_machine = (flags & NCRYPT_MACHINE_KEY_FLAG) != 0;
    system_rule(find(name, is_machine) == NULL, "a key's name is taken (B87)");
    *out = new_handle(add(name, is_machine, true), is_machine);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS set_property(NCRYPT_HANDLE object, LPCWSTR name, PBYTE data,
                                    DWORD size, DWORD flags)
{
    (void)flags;
    system_rule(object == 0x5151 && wcscmp(name, NCRYPT_EXPORT_POLICY_PROPERTY) == 0 &&
                    size == sizeof(DWORD) && data != NULL,
                "NCryptSetProperty");
    return system_memory.is_not_exportable || system_fails(0) ? NTE_PERM
                                                              : ERROR_SUCCESS;
}

static SECURITY_STATUS export_key(NCRYPT_KEY_HANDLE object, NCRYPT_KEY_HANDLE with,
                                  LPCWSTR type, NCryptBufferDesc *parameters,
                                  PBYTE data, DWORD capacity, DWORD *size, DWORD flags)
{
    static const char blob[] = "private key";

    (void)flags;
    system_rule(object == 0x5151 && with == 0 && parameters == NULL &&
                    wcscmp(type, NCRYPT_PKCS8_PRIVATE_KEY_BLOB) == 0,
                "NCryptExportKey");
    if (system_fails(0)) {
        return NTE_NOT_SUPPORTED;
    }
    if (data != NULL) {
        system_rule(capacity >= sizeof(blob), "room for a private key");
        memcpy(data, blob, sizeof(blob));
    }
    *size = sizeof(blob);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS enumerate(NCRYPT_PROV_HANDLE provider, LPCWSTR scope,
                                 NCryptKeyName **name, PVOID *state, DWORD flags)
{
    bool is_machine = (flags & NCRYPT_MACHINE_KEY_FLAG) != 0;

    (void)handle_of(provider);
    system_rule(scope == NULL && name != NULL, "NCryptEnumKeys");
    if (*state == NULL) {
        *state = system_acquire(sizeof(size_t));
    }
    size_t *at = *state;
    while (*at < most_keys &&
           (!keys[*at].is_there || keys[*at].is_machine != is_machine)) {
        (*at)++;
    }
    if (*at == most_keys || system_fails(0)) {
        return NTE_NO_MORE_ITEMS;
    }
    NCryptKeyName *found = system_acquire(sizeof(*found) + name_room * sizeof(wchar_t));
    found->pszName = (LPWSTR)(void *)(found + 1);
    copy(found->pszName, keys[(*at)++].name);
    *name = found;
    return ERROR_SUCCESS;
}

static SECURITY_STATUS free_object(NCRYPT_HANDLE object)
{
    system_release(handle_of(object));
    return ERROR_SUCCESS;
}

static SECURITY_STATUS free_buffer(PVOID buffer)
{
    system_release(buffer);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS delete_key(NCRYPT_KEY_HANDLE object, DWORD flags)
{
    handle *self = handle_of(object);

    system_rule(flags == NCRYPT_SILENT_FLAG && self->of != NULL && self->of->is_there,
                "NCryptDeleteKey");
    if (system_fails(0)) {
        return NTE_PERM;
    }
    self->of->is_there = false;
    return free_object(object); /* deleting frees it */
}

/* --------------------------------------------------------------- CryptoAPI */

static BOOL fail_with(DWORD error)
{
    SetLastError(error);
    return FALSE;
}

static BOOL acquire_context(HCRYPTPROV *out, LPCWSTR name, LPCWSTR provider, DWORD type,
                            DWORD flags)
{
    bool is_machine = (flags & CRYPT_MACHINE_KEYSET) != 0;
    key *found = name != NULL ? find(name, is_machine) : NULL;

    system_rule(wcscmp(provider, MS_ENH_RSA_AES_PROV_W) == 0 && type == PROV_RSA_AES &&
                    (flags & CRYPT_SILENT) != 0 && system_memory.keys_are_capi,
                "CryptAcquireContext");
    system_rule((name == NULL) ==
                    ((flags & CRYPT_VERIFYCONTEXT) == CRYPT_VERIFYCONTEXT),
                "CryptAcquireContext: a name, or CRYPT_VERIFYCONTEXT");
    if (system_fails((DWORD)NTE_BAD_KEYSET)) {
        return FALSE;
    }
    if ((flags & CRYPT_VERIFYCONTEXT) != CRYPT_VERIFYCONTEXT &&
        (flags & CRYPT_DELETEKEYSET) != 0) {
        if (found == NULL) {
            return fail_with((DWORD)NTE_BAD_KEYSET);
        }
        found->is_there = false;
        return TRUE; /* and no handle */
    }
    if (name != NULL) {
        system_rule(found == NULL && (flags & CRYPT_NEWKEYSET) != 0,
                    "a key's name is taken (B87)");
        found = add(name, is_machine, true);
    }
    *out = new_handle(found, is_machine);
    return TRUE;
}

static BOOL release_context(HCRYPTPROV provider, DWORD flags)
{
    system_rule(flags == 0, "CryptReleaseContext");
    system_release(handle_of(provider));
    return TRUE;
}

static BOOL get_parameter(HCRYPTPROV provider, DWORD parameter, BYTE *data, DWORD *size,
                          DWORD flags)
{
    handle *self = handle_of(provider);

    system_rule(parameter == PP_ENUMCONTAINERS &&
                    (flags == CRYPT_FIRST) == (self->next == 0),
                "CryptGetProvParam");
    while (self->next < most_keys &&
           (!keys[self->next].is_there ||
            keys[self->next].is_machine != self->is_machine)) {
        self->next++;
    }
    if (self->next == most_keys || system_fails(ERROR_NO_MORE_ITEMS)) {
        return fail_with(ERROR_NO_MORE_ITEMS);
    }
    const wchar_t *name = keys[self->next++].name;
    size_t i = 0;
    for (; name[i] != 0 && i + 1 < *size; i++) {
        data[i] = (BYTE)name[i];
    }
    data[i] = 0;
    return TRUE;
}

static BOOL get_user_key(HCRYPTPROV provider, DWORD key_spec, HCRYPTKEY *out)
{
    system_rule(provider == 0x5151 && key_spec == AT_KEYEXCHANGE, "CryptGetUserKey");
    if (system_fails((DWORD)NTE_NO_KEY)) {
        return FALSE;
    }
    *out = new_handle(NULL, false);
    return TRUE;
}

static BOOL import_capi(HCRYPTPROV provider, const BYTE *data, DWORD size,
                        HCRYPTKEY with, DWORD flags, HCRYPTKEY *out)
{
    system_rule(handle_of(provider)->of != NULL && with == 0 &&
                    flags == CRYPT_EXPORTABLE,
                "CryptImportKey");
    if (size == 0 || data[0] == 0 || system_fails((DWORD)NTE_BAD_DATA)) {
        return fail_with((DWORD)NTE_BAD_DATA);
    }
    *out = new_handle(NULL, false);
    return TRUE;
}

static BOOL export_capi(HCRYPTKEY object, HCRYPTKEY with, DWORD type, DWORD flags,
                        BYTE *data, DWORD *size)
{
    static const char blob[] = "private key";

    (void)handle_of(object);
    system_rule(with == 0 && type == PRIVATEKEYBLOB && flags == 0, "CryptExportKey");
    if (system_memory.is_not_exportable || system_fails((DWORD)NTE_BAD_KEY_STATE)) {
        return fail_with((DWORD)NTE_BAD_KEY_STATE);
    }
    if (data != NULL) {
        system_rule(*size >= sizeof(blob), "room for a private key");
        memcpy(data, blob, sizeof(blob));
    }
    *size = sizeof(blob);
    return TRUE;
}

static BOOL destroy_key(HCRYPTKEY object)
{
    system_release(handle_of(object));
    return TRUE;
}

static BOOL acquire_private_key(PCCERT_CONTEXT certificate, DWORD flags,
                                void *parameters, HCRYPTPROV_OR_NCRYPT_KEY_HANDLE *out,
                                DWORD *key_spec, BOOL *must_free)
{
    const wchar_t *name = system_container_of(certificate);

    system_rule((flags & CRYPT_ACQUIRE_SILENT_FLAG) != 0 && parameters == NULL,
                "CryptAcquireCertificatePrivateKey");
    if (name == NULL || !system_has_key(name)) {
        return fail_with((DWORD)NTE_BAD_KEYSET);
    }
    if (system_fails((DWORD)NTE_PERM)) {
        return FALSE;
    }
    *out = new_handle(NULL, false);
    *key_spec = system_memory.keys_are_capi ? AT_KEYEXCHANGE : CERT_NCRYPT_KEY_SPEC;
    *must_free = TRUE;
    return TRUE;
}

/* ---------------------------------------------------------------- registry */

static LSTATUS set_value(HKEY root, LPCWSTR place, LPCWSTR name, DWORD type,
                         const void *data, DWORD size)
{
    system_rule((root == HKEY_CURRENT_USER || root == HKEY_LOCAL_MACHINE) &&
                    wcslen(place) > 0 && type == REG_SZ &&
                    size == (wcslen(data) + 1) * sizeof(wchar_t),
                "RegSetKeyValue");
    if (system_fails(0)) {
        return ERROR_ACCESS_DENIED;
    }
    system_add_note(name, type, data);
    return ERROR_SUCCESS;
}

static LSTATUS delete_value(HKEY root, LPCWSTR place, LPCWSTR name)
{
    (void)root;
    (void)place;
    for (size_t i = 0; i < most_notes; i++) {
        if (notes[i].is_there && wcscmp(notes[i].user, name) == 0) {
            notes[i].is_there = false;
            return ERROR_SUCCESS;
        }
    }
    return ERROR_FILE_NOT_FOUND;
}

static LSTATUS open_registry(HKEY root, LPCWSTR place, DWORD options, DWORD access,
                             HKEY *out)
{
    (void)root;
    (void)place;
    system_rule(options == 0 && access == KEY_QUERY_VALUE, "RegOpenKeyEx");
    if (system_notes() == 0 || system_fails(0)) {
        return ERROR_FILE_NOT_FOUND;
    }
    *out = system_acquire(1);
    return ERROR_SUCCESS;
}

static LSTATUS each_value(HKEY registry, DWORD index, LPWSTR name, DWORD *name_size,
                          DWORD *reserved, DWORD *type, BYTE *data, DWORD *size)
{
    size_t at = 0;

    system_rule(registry != NULL && reserved == NULL, "RegEnumValue");
    for (; at < most_notes && (!notes[at].is_there || index > 0); at++) {
        index -= notes[at].is_there;
    }
    if (at == most_notes) {
        return ERROR_NO_MORE_ITEMS;
    }
    DWORD need = (DWORD)((wcslen(notes[at].container) + 1) * sizeof(wchar_t));
    if (wcslen(notes[at].user) >= *name_size || need > *size) {
        return ERROR_MORE_DATA;
    }
    copy(name, notes[at].user);
    memcpy(data, notes[at].container, need);
    *size = need;
    *type = notes[at].type;
    return ERROR_SUCCESS;
}

static LSTATUS close_registry(HKEY registry)
{
    system_release(registry);
    return ERROR_SUCCESS;
}

/* ---------------------------------------------------------------- who asks */

static DWORD process_id(void)
{
    return this_process;
}

/* Two processes live: this one, and 42, which this account may know nothing of. */
static BOOL process_start(DWORD process, ULONGLONG *start)
{
    *start = process == this_process ? 0x1111 : 0;
    return process == this_process || process == 42;
}

static BOOL computer_name(LPWSTR name, DWORD *size)
{
    static const wchar_t text[] = L"HOST";

    system_rule(*size >= sizeof(text) / sizeof(text[0]), "room for a computer's name");
    if (system_fails(0)) {
        return FALSE;
    }
    memcpy(name, text, sizeof(text));
    *size = 4;
    return TRUE;
}

static BOOL user_name(LPWSTR name, DWORD *size)
{
    static const wchar_t text[] = L"somebody";

    if (*size < sizeof(text) / sizeof(text[0]) || system_fails(0)) {
        return FALSE;
    }
    memcpy(name, text, sizeof(text));
    return TRUE;
}

static HANDLE impersonation_token(void)
{
    return system_memory.impersonates ? system_acquire(1) : NULL;
}

static BOOL set_token(HANDLE *thread, HANDLE token)
{
    (void)token;
    system_rule(thread == NULL, "SetThreadToken: another thread");
    return !system_fails(ERROR_ACCESS_DENIED);
}

static BOOL close_handle(HANDLE object)
{
    system_release(object);
    return TRUE;
}

static NTSTATUS random_bytes(BCRYPT_ALG_HANDLE algorithm, PUCHAR data, ULONG size,
                             ULONG flags)
{
    system_rule(algorithm == NULL && flags == BCRYPT_USE_SYSTEM_PREFERRED_RNG,
                "BCryptGenRandom");
    memset(data, ++last_random, size);
    return system_fails(0) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

/* ------------------------------------------------------------------- table */

void system_begin_keys(void)
{
    memset(keys, 0, sizeof(keys));
    memset(notes, 0, sizeof(notes));
    last_random = 0;
}

void system_end_keys(void)
{
    bool may_be_left =
        system_memory.decisions != NULL || system_memory.failing_call != 0;

    for (size_t i = 0; i < most_keys && !may_be_left; i++) {
        system_rule(!keys[i].is_there || !keys[i].is_ours,
                    "a private key is left on disk (B87)");
    }
}

void system_fill_keys(schan_system *table)
{
    table->GetCurrentProcessId = process_id;
    table->ProcessStart = process_start;
    table->GetComputerNameW = computer_name;
    table->CryptAcquireCertificatePrivateKey = acquire_private_key;
    table->NCryptOpenStorageProvider = open_provider;
    table->NCryptOpenKey = open_key;
    table->NCryptImportKey = import_key;
    table->NCryptExportKey = export_key;
    table->NCryptSetProperty = set_property;
    table->NCryptEnumKeys = enumerate;
    table->NCryptDeleteKey = delete_key;
    table->NCryptFreeObject = free_object;
    table->NCryptFreeBuffer = free_buffer;
    table->CryptAcquireContextW = acquire_context;
    table->CryptReleaseContext = release_context;
    table->CryptGetProvParam = get_parameter;
    table->CryptGetUserKey = get_user_key;
    table->CryptImportKey = import_capi;
    table->CryptExportKey = export_capi;
    table->CryptDestroyKey = destroy_key;
    table->RegSetKeyValueW = set_value;
    table->RegDeleteKeyValueW = delete_value;
    table->RegOpenKeyExW = open_registry;
    table->RegEnumValueW = each_value;
    table->RegCloseKey = close_registry;
    table->GetUserNameW = user_name;
    table->ImpersonationToken = impersonation_token;
    table->SetThreadToken = set_token;
    table->CloseHandle = close_handle;
    table->BCryptGenRandom = random_bytes;
}
