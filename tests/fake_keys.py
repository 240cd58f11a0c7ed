"""A `schan_system` with stores of certificates, private keys and processes, all of them a script's.

    system = FakeKeys()
    system.stores["MY"] = [FakeCertificate(subject="CN=mail", key="container")]
    system.fail_at = 3          # the third call that can fail does

What is on disk is in `disk`; what was acquired and not given back is told by `problems()`, by kind:
certificates, stores, chains, keys, key providers, buffers, tokens. Every function is Windows' in
shape and error: what fails says so as the real one does.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fake_system import FakeSystem, address_of, ffi

KEY_PROV_INFO, KEY_CONTEXT, NCRYPT_KEY_HANDLE = 2, 5, 78
CRYPT_E_NOT_FOUND = 0x80092004
NTE_BAD_KEYSET, NTE_PERM, NTE_NO_MORE_ITEMS, NTE_FAIL = (
    0x80090016,
    0x80090010,
    0x8009002A,
    0x80090020,
)
NTE_NOT_SUPPORTED = 0x80090029
ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, ERROR_NO_MORE_ITEMS = 2, 234, 259
KEY_STORAGE = "Microsoft Software Key Storage Provider"
LOCAL_MACHINE, REG_SZ = 0x80000002, 1
CLIENT_AUTH, SERVER_AUTH, ANY_USAGE = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
NCRYPT_KEY_SPEC = 0xFFFFFFFF
KEY_NAME = 45  # NCRYPTBUFFER_PKCS_KEY_NAME
MACHINE = 0x20
THIS_PROCESS, THIS_START = 4000, 0x1DC0000000000001

ffi.cdef(
    """
    typedef struct {
        wchar_t *container; wchar_t *provider; uint32_t type; uint32_t flags; uint32_t count;
        void *parameters; uint32_t spec;
    } KEY_PROV_INFO;
    typedef struct { uint32_t size; uint32_t type; void *data; } NCRYPT_BUFFER;
    typedef struct { uint32_t version; uint32_t count; NCRYPT_BUFFER *buffers; } NCRYPT_BUFFERS;
    typedef struct { wchar_t *name; wchar_t *algorithm; uint32_t spec; uint32_t flags; } KEY_NAME;
    """
)


@dataclass
class FakeCertificate:
    """A certificate as crypt32 tells it.

    valid: 0 now, -1 not yet, 1 no more. usages: None: nothing restricts it. key: where its private
    key is, "" for none. key_error: why that cannot be used. in_memory: the key is open already.
    container: where a persisted import of a PFX puts the key.
    """

    subject: str = "CN=mail"
    issuer: str = "CN=authority"
    der: bytes = b""
    not_after: int = 2
    valid: int = 0
    usages: tuple[str, ...] | None = (CLIENT_AUTH,)
    key: str = ""
    key_error: int = 0
    in_memory: bool = False
    container: str = ""
    properties: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.der = self.der or f"{self.subject}/{self.issuer}/{self.not_after}".encode()


class FakeKeys(FakeSystem):
    """The table; see above."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: dict[str, list[FakeCertificate]] = {}
        self.pfx: list[FakeCertificate] | int = []  # or why it cannot be opened
        self.pfx_calls: list[tuple[str | None, int]] = []
        self.disk: dict[tuple[str, bool], bytes] = {}  # (container, is the machine's) -> blob
        self.imports: list[tuple[str, bytes, int]] = []
        self.journal: dict[tuple[str, bool], str] = {}  # (user, is the machine's) -> container
        self.is_exportable = True
        self.processes: dict[int, int] = {THIS_PROCESS: THIS_START}
        self.computer = "WORKSTATION"
        self.token = 0
        self.acts_as_thread = True
        self.known_to_windows: list[str] = []  # certificates that a chain is built of, as text
        self.key_errors_as: dict[bool, int] = {}
        self.steps: list[str] = []
        self.fail_at = 0
        self.fail_with = NTE_FAIL
        self._certificates: dict[int, FakeCertificate] = {}
        self._contents: dict[int, list[int]] = {}
        self._store_references: Counter[int] = Counter()
        self._roots: dict[int, bool] = {}
        self._names: dict[int, tuple[str, bool]] = {}  # open keys
        self._random = itertools.count(1)
        own = [name for name in vars(FakeKeys) if name[:1] == "_" and name[1:2].isupper()]
        for name in own:
            self.replace(name[1:], getattr(self, name))

    # ------------------------------------------------------------------------------- plumbing

    def _step(self, name: str) -> bool:
        """Note a call that can fail; tell whether it has to."""
        self.steps.append(name)
        return len(self.steps) == self.fail_at

    def _refuse(self, name: str) -> bool:
        failing = self._step(name)
        if failing:
            self._fail(self.fail_with)
        return failing

    def _status(self, name: str) -> int:
        code = self.fail_with if self._step(name) else 0
        return code - (1 << 32) if code & 0x80000000 else code

    def _certificate_of(self, pointer: Any) -> FakeCertificate:
        return self._certificates[self._address(pointer)]

    def _new(self, certificate: FakeCertificate) -> int:
        ends = (0, 0x02000000 + certificate.not_after)
        made = self._make_certificate(None, ((0, 0x01000000), ends), certificate.der)
        for blob, text in (
            (made.pCertInfo.Subject, certificate.subject),
            (made.pCertInfo.Issuer, certificate.issuer),
        ):
            data = ffi.new("uint8_t[]", text.encode())
            blob.cbData, blob.pbData = len(text), data
            self._kept.append(data)
        self._certificates[address_of(made)] = certificate
        return address_of(made)

    def _parsed(self, der: bytes) -> FakeCertificate:
        """Return a certificate without properties, as made from bytes."""
        subject, _, rest = der.decode().partition("/")
        issuer, _, end = rest.partition("/")
        return FakeCertificate(subject, issuer, der, int(end or 2))

    def _store(self, certificates: list[FakeCertificate]) -> int:
        handle = self._handle()
        self._contents[handle] = [self._new(each) for each in certificates]
        self._acquire("store", handle)
        return handle

    def _new_handle(self, kind: str, out: Any) -> int:
        handle = self._handle()
        self._acquire(kind, handle)
        out[0] = handle
        return handle

    # ------------------------------------------------------------------------ stores, certificates

    def _CertOpenStore(self, *arguments: Any) -> Any:  # noqa: N802  # named as Windows' functions
        flags, parameter = arguments[3], arguments[4]
        name = ffi.string(self._own("wchar_t *", parameter)) if self._address(parameter) else ""
        self.opened_stores.append((flags, name))
        error = self.store_errors.popleft() if self.store_errors else None
        if error is not None or self._refuse("CertOpenStore"):
            self._fail(self.fail_with if error is None else error)
            return self.engine_ffi.NULL
        return self._pointer("void *", self._store(self.stores.get(name, [])))

    def _CertDuplicateStore(self, store: Any) -> Any:  # noqa: N802
        self._acquire("store", self._address(store))
        return store

    def _CertEnumCertificatesInStore(self, store: Any, previous: Any) -> Any:  # noqa: N802
        content = self._contents[self._address(store)]
        index = 0
        if self._address(previous):
            index = content.index(self._address(previous)) + 1
            self._release("certificate", self._address(previous))
        if index == len(content):
            self._fail(CRYPT_E_NOT_FOUND)
            return self.engine_ffi.NULL
        self._acquire("certificate", content[index])
        return self._pointer("PCCERT_CONTEXT", content[index])

    def _CertAddEncodedCertificateToStore(self, *arguments: Any) -> int:  # noqa: N802
        store, _, der, size, _, out = arguments
        if self._refuse("CertAddEncodedCertificateToStore"):
            return 0
        made = self._new(self._parsed(bytes(self.engine_ffi.buffer(der, size))))
        self._contents[self._address(store)].append(made)
        if self._address(out):
            self._acquire("certificate", made)
            out[0] = self._pointer("PCCERT_CONTEXT", made)
        return 1

    def _CertCreateCertificateContext(self, _encoding: int, der: Any, size: int) -> Any:  # noqa: N802
        made = self._new(self._parsed(bytes(self.engine_ffi.buffer(der, size))))
        self._acquire("certificate", made)
        return self._pointer("PCCERT_CONTEXT", made)

    def _CertNameToStrW(self, *arguments: Any) -> int:  # noqa: N802
        _, name, _, text, capacity = arguments
        blob = self._own("BLOB *", name)
        found = bytes(ffi.buffer(blob.pbData, blob.cbData)).decode() + "\0"
        for index, letter in enumerate(found if capacity >= len(found) else ""):
            text[index] = letter
        return len(found)

    def _CertVerifyTimeValidity(self, _time: Any, info: Any) -> int:  # noqa: N802
        address = self._address(info)
        [valid] = {
            each.valid
            for pointer, each in self._certificates.items()
            if address_of(ffi.cast("CERT_CONTEXT *", pointer).pCertInfo) == address
        }
        return valid

    def _CertGetEnhancedKeyUsage(  # noqa: N802
        self, certificate: Any, _flags: int, usage: Any, size: Any
    ) -> int:
        usages = self._certificate_of(certificate).usages
        if usages is None:
            self._fail(CRYPT_E_NOT_FOUND)
        if not self._address(usage):
            size[0] = 64
            return 1
        names = [ffi.new("char[]", each.encode()) for each in usages or ()]
        pointers = ffi.new("char *[]", names or [ffi.NULL])
        self._kept += [*names, pointers]
        told = self._own("USAGE *", usage)
        told.cUsage, told.rgpszUsage = len(names), pointers
        self._fail(CRYPT_E_NOT_FOUND if usages is None else 0)
        return 1

    def _CertGetCertificateContextProperty(  # noqa: N802
        self, certificate: Any, which: int, data: Any, size: Any
    ) -> int:
        found = self._certificate_of(certificate)
        has_it = {
            KEY_PROV_INFO: bool(found.key) or KEY_PROV_INFO in found.properties,
            NCRYPT_KEY_HANDLE: found.in_memory,
        }
        if not has_it.get(which, False):
            self._fail(CRYPT_E_NOT_FOUND)
            return 0
        if self._address(data) and self._refuse("CertGetCertificateContextProperty"):
            return 0
        if which == NCRYPT_KEY_HANDLE:
            if self._address(data):
                self._own("uintptr_t *", data)[0] = 0x7777
            return 1
        if self._address(data):
            name, provider = ffi.new("wchar_t[]", found.key), ffi.new("wchar_t[]", "provider")
            self._kept += [name, provider]
            self._own("KEY_PROV_INFO *", data)[0] = (name, provider, 0, 0, 0, ffi.NULL, 0)
        size[0] = ffi.sizeof("KEY_PROV_INFO")
        return 1

    def _CertSetCertificateContextProperty(  # noqa: N802
        self, certificate: Any, which: int, _flags: int, data: Any
    ) -> int:
        if self._refuse("CertSetCertificateContextProperty"):
            return 0
        place = self._own("KEY_PROV_INFO *", data)
        found = self._certificate_of(certificate)
        found.properties[which] = (ffi.string(place.container), place.flags)
        if (ffi.string(place.provider), place.type, place.spec) != (KEY_STORAGE, 0, 0):
            self.misuses.append("the certificate looks for its key in another provider")
        found.key = ffi.string(place.container)
        return 1

    def _CertGetCertificateChain(self, *arguments: Any) -> int:  # noqa: N802
        _, certificate, _, _, _, flags, _, out = arguments
        self.chain_flags = flags
        if self._refuse("CertGetCertificateChain"):
            return 0
        elements = [self._own("CERT_CONTEXT *", certificate)]
        for text in self.known_to_windows:
            made = self._new(self._parsed(text.encode()))
            elements.append(ffi.cast("CERT_CONTEXT *", made))
        rows = [ffi.new("CHAIN_ELEMENT *", {"pCertContext": each}) for each in elements]
        row = ffi.new("CHAIN_ELEMENT *[]", rows)
        simple = ffi.new("SIMPLE_CHAIN *", {"cElement": len(rows), "rgpElement": row})
        chains = ffi.new("SIMPLE_CHAIN *[]", [simple])
        chain = ffi.new("CHAIN_CONTEXT *", {"cChain": 1, "rgpChain": chains})
        self._kept += [*rows, row, simple, chains, chain]
        self._acquire("chain", address_of(chain))
        out[0] = self._pointer("PCCERT_CHAIN_CONTEXT", address_of(chain))
        return 1

    def _PFXImportCertStore(self, _blob: Any, password: Any, flags: int) -> Any:  # noqa: N802
        given = ffi.string(self._own("wchar_t *", password)) if self._address(password) else None
        self.pfx_calls.append((given, flags))
        if isinstance(self.pfx, int):
            self._fail(self.pfx)
            return self.engine_ffi.NULL
        if self._refuse("PFXImportCertStore"):
            return self.engine_ffi.NULL
        no_persist = 0x8000
        for each in self.pfx if not flags & no_persist else ():
            if each.container:  # Windows keeps the key there, and nothing open
                each.properties[KEY_PROV_INFO] = (each.container, flags & MACHINE)
                each.key, each.in_memory = each.container, False
                self.disk[each.container, bool(flags & MACHINE)] = b"as the file names it"
        return self._pointer("void *", self._store(self.pfx))

    def _CryptAcquireCertificatePrivateKey(self, *arguments: Any) -> int:  # noqa: N802
        certificate, flags, _, key, spec, must_free = arguments
        found = self._certificate_of(certificate)
        silent = 0x40
        if not flags & silent:
            self.misuses.append("a private key was asked for that may ask the user")
        error = self.key_errors_as.get(self.acts_as_thread, found.key_error)
        if not error and KEY_PROV_INFO in found.properties:
            name, place = found.properties[KEY_PROV_INFO]
            error = 0 if (name, bool(place & MACHINE)) in self.disk else NTE_BAD_KEYSET
        if error or self._refuse("CryptAcquireCertificatePrivateKey"):
            self._fail(error or self.fail_with)
            return 0
        self._new_handle("key", key)
        spec[0], must_free[0] = NCRYPT_KEY_SPEC, 1
        return 1

    # --------------------------------------------------------------------------------- ncrypt

    def _NCryptOpenStorageProvider(self, out: Any, _name: Any, _flags: int) -> int:  # noqa: N802
        status = self._status("NCryptOpenStorageProvider")
        if status == 0:
            self._new_handle("key provider", out)
        return status

    def _NCryptOpenKey(self, _provider: int, out: Any, name: Any, _spec: int, flags: int) -> int:  # noqa: N802
        key = (ffi.string(self._own("wchar_t *", name)), bool(flags & MACHINE))
        if key not in self.disk:
            return NTE_BAD_KEYSET - (1 << 32)
        status = self._status("NCryptOpenKey")
        if status == 0:
            self._names[self._new_handle("key", out)] = key
        return status

    def _NCryptImportKey(self, *arguments: Any) -> int:  # noqa: N802
        _, _, kind, parameters, out, data, size, flags = arguments
        given = self._own("NCRYPT_BUFFERS *", parameters)
        names = [each.data for each in given.buffers[0 : given.count] if each.type == KEY_NAME]
        name = ffi.string(ffi.cast("wchar_t *", names[0])) if names else "a name of Windows' own"
        blob = bytes(self.engine_ffi.buffer(data, size))
        self.imports.append((self.engine_ffi.string(kind), blob, flags))
        self.disk[name, bool(flags & MACHINE)] = blob  # even if it fails: what a caller must expect
        status = self._status("NCryptImportKey")
        if status == 0:
            self._new_handle("key", out)
        return status

    def _NCryptSetProperty(self, *_arguments: Any) -> int:  # noqa: N802
        return self._status("NCryptSetProperty")

    def _NCryptExportKey(self, *arguments: Any) -> int:  # noqa: N802
        data, _capacity, size = arguments[4:7]
        exported = b"exported key"
        status = self._status("NCryptExportKey")
        if not self.is_exportable:
            return NTE_NOT_SUPPORTED - (1 << 32)
        if status == 0:
            size[0] = len(exported)
            if self._address(data):
                self.engine_ffi.memmove(data, exported, len(exported))
        return status

    def _NCryptEnumKeys(  # noqa: N802
        self, _provider: int, _scope: Any, out: Any, state: Any, flags: int
    ) -> int:
        names = [name for name, is_machine in self.disk if is_machine == bool(flags & MACHINE)]
        if not self._address(state[0]):
            buffer = ffi.new("int *")
            self._kept.append(buffer)
            self._acquire("buffer", address_of(buffer))
            state[0] = self._pointer("void *", address_of(buffer))
        position = self._own("int *", state[0])
        if position[0] >= len(names):
            return NTE_NO_MORE_ITEMS - (1 << 32)
        text = ffi.new("wchar_t[]", names[position[0]])
        position[0] += 1
        found = ffi.new("KEY_NAME *", {"name": text})
        self._kept += [text, found]
        self._acquire("buffer", address_of(found))
        out[0] = self._pointer("NCryptKeyName *", address_of(found))
        return 0

    def _NCryptDeleteKey(self, key: int, _flags: int) -> int:  # noqa: N802
        status = self._status("NCryptDeleteKey")
        if status == 0:
            self._release("key", key)
            self.disk.pop(self._names.pop(key), None)
        return status

    def _NCryptFreeObject(self, handle: int) -> int:  # noqa: N802
        kind = "key provider" if self._alive["key provider", handle] else "key"
        self._release(kind, handle)
        return 0

    def _NCryptFreeBuffer(self, buffer: Any) -> int:  # noqa: N802
        self._release("buffer", self._address(buffer))
        return 0

    def _BCryptGenRandom(self, _algorithm: Any, data: Any, size: int, _flags: int) -> int:  # noqa: N802
        self.engine_ffi.memmove(data, next(self._random).to_bytes(size, "little"), size)
        return self._status("BCryptGenRandom")

    # -------------------------------------------------------------------------------- registry

    def _is_machine(self, root: Any) -> bool:
        return self._address(root) & 0xFFFFFFFF == LOCAL_MACHINE

    def _RegSetKeyValueW(self, *arguments: Any) -> int:  # noqa: N802
        root, _key, name, kind, data, size = arguments
        if self._step("RegSetKeyValueW"):
            return self.fail_with - (1 << 32)
        text = self.engine_ffi.string(self.engine_ffi.cast("wchar_t *", data))
        if (kind, size) != (REG_SZ, 2 * len(text) + 2):
            self.misuses.append(f"a note of type {kind} and {size} bytes")
        self.journal[self.engine_ffi.string(name), self._is_machine(root)] = text
        return 0

    def _RegDeleteKeyValueW(self, root: Any, _key: Any, name: Any) -> int:  # noqa: N802
        found = self.journal.pop((self.engine_ffi.string(name), self._is_machine(root)), None)
        return ERROR_FILE_NOT_FOUND if found is None else 0

    def _RegOpenKeyExW(self, *arguments: Any) -> int:  # noqa: N802
        root, out = arguments[0], arguments[4]
        if not self.journal:
            return ERROR_FILE_NOT_FOUND
        handle = self._handle()
        self._acquire("registry key", handle)
        self._roots[handle] = self._is_machine(root)
        out[0] = self._pointer("HKEY", handle)
        return 0

    def _RegEnumValueW(self, *arguments: Any) -> int:  # noqa: N802
        key, index, name, name_size, _, kind, data, size = arguments
        is_machine = self._roots[self._address(key)]
        notes = [
            (user, each) for (user, where), each in self.journal.items() if where == is_machine
        ]
        if index >= len(notes):
            return ERROR_NO_MORE_ITEMS
        user, text = notes[index]
        if name_size[0] <= len(user) or size[0] < 2 * len(text) + 2:
            return ERROR_MORE_DATA
        for position, letter in enumerate(user + "\0"):
            name[position] = letter
        wide = self.engine_ffi.cast("wchar_t *", data)
        for position, letter in enumerate(text + "\0"):
            wide[position] = letter
        kind[0], size[0] = REG_SZ, 2 * len(text) + 2
        return 0

    def _RegCloseKey(self, key: Any) -> int:  # noqa: N802
        self._release("registry key", self._address(key))
        return 0

    # ------------------------------------------------------------------------------- processes

    def _GetCurrentProcessId(self) -> int:  # noqa: N802
        return THIS_PROCESS

    def _ProcessStart(self, process: int, start: Any) -> int:  # noqa: N802
        start[0] = self.processes.get(process, 0)
        return int(process in self.processes)

    def _GetComputerNameW(self, name: Any, size: Any) -> int:  # noqa: N802
        for index, letter in enumerate(self.computer + "\0"):
            name[index] = letter
        size[0] = len(self.computer)
        return 1

    def _GetUserNameW(self, name: Any, size: Any) -> int:  # noqa: N802
        for index, letter in enumerate("alice\0"):
            name[index] = letter
        size[0] = 6
        return 1

    def _ImpersonationToken(self) -> Any:  # noqa: N802
        if self.token:
            self._acquire("token", self.token)
        return self._pointer("void *", self.token)

    def _SetThreadToken(self, _thread: Any, token: Any) -> int:  # noqa: N802
        if self._refuse("SetThreadToken"):
            return 0
        self.acts_as_thread = bool(self._address(token))
        return 1

    def _CloseHandle(self, handle: Any) -> int:  # noqa: N802
        self._release("token", self._address(handle))
        return 1
