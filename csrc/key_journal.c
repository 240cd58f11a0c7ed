/*
 * key_journal.c - who uses private keys whose name was not ours to choose
 *
 * A private key that may not be exported stays where PFXImportCertStore has put it,
 * under a name that other imports of the same file share (B87). So each user leaves a
 * note, and the container goes with the last of them; notes of dead processes are taken
 * away by the next import, as their keys are (key.c):
 *
 *     HKEY_CURRENT_USER or HKEY_LOCAL_MACHINE, Software\schannel_ffi\Keys
 *         value: the user, as key.c names its own keys       data: the key container
 */
#include "schan_internal.h"

static const wchar_t journal[] = L"Software\\schannel_ffi\\Keys";

static HKEY root_of(bool is_machine)
{
    return is_machine ? HKEY_LOCAL_MACHINE : HKEY_CURRENT_USER;
}

static DWORD size_of(const wchar_t *text)
{
    DWORD size = sizeof(wchar_t);

    for (; *text != 0; text++) {
        size += (DWORD)sizeof(wchar_t);
    }
    return size;
}

schan_result schan__journal_note(const schan__key *key, schan_error *err)
{
    LSTATUS status = key->library->system->RegSetKeyValueW(
        root_of(key->is_machine), journal, key->name, REG_SZ, key->container,
        size_of(key->container));

    return status == ERROR_SUCCESS
               ? SCHAN_OK
               : schan__fail(err, SCHAN_ERR_CREDENTIAL, status, "RegSetKeyValue");
}

void schan__journal_forget(const schan__key *key)
{
    key->library->system->RegDeleteKeyValueW(root_of(key->is_machine), journal,
                                             key->name);
}

/* Reads the note at `index`; false behind the last one. What is none of ours leaves the
 * note empty. */
static bool read_note(const schan_system *system, HKEY handle, DWORD index,
                      schan__note *out)
{
    DWORD name_size = SCHAN__KEY_NAME_SIZE, type = 0;
    DWORD size = sizeof(out->container) - sizeof(wchar_t); /* a NUL may be missing */

    memset(out, 0, sizeof(*out));
    LSTATUS status = system->RegEnumValueW(handle, index, out->user, &name_size, NULL,
                                           &type, (BYTE *)out->container, &size);
    if (status != ERROR_SUCCESS || type != REG_SZ) {
        memset(out, 0, sizeof(*out));
    }
    return status == ERROR_SUCCESS || status == ERROR_MORE_DATA;
}

size_t schan__journal_find(schan_library *library, bool is_machine,
                           bool (*is_wanted)(schan_library *library,
                                             const schan__note *note,
                                             const void *wanted),
                           const void *wanted, schan__note *out, size_t capacity)
{
    const schan_system *system = library->system;
    schan__note note = {{0}, {0}};
    HKEY handle = NULL;
    size_t count = 0;

    if (system->RegOpenKeyExW(root_of(is_machine), journal, 0, KEY_QUERY_VALUE,
                              &handle) != ERROR_SUCCESS) {
        return 0;
    }
    for (DWORD i = 0; count < capacity && read_note(system, handle, i, &note); i++) {
        if (note.user[0] != 0 && is_wanted(library, &note, wanted)) {
            out[count++] = note;
        }
    }
    system->RegCloseKey(handle);
    return count;
}
