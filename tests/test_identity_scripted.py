"""Certificates with private keys on scripted system calls: what is chosen, kept, given back, told.

No Windows: `fake_keys` plays crypt32, ncrypt and the processes. The Bs are those of
`tests/behaviours.md`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_keys import (
    ANY_USAGE,
    CLIENT_AUTH,
    NTE_BAD_KEYSET,
    NTE_PERM,
    SERVER_AUTH,
    THIS_PROCESS,
    THIS_START,
    FakeCertificate,
    FakeKeys,
)
from fake_sspi import FakeSSPI

from schannel_ffi import ClientCertificate, CredentialError, ServerCertificate, TLSConfig, _lib
from schannel_ffi._lib.shared import credential_for
from schannel_ffi.identity import PemSource
from schannel_ffi.private_key import PrivateKey

pytest_plugins = ["scripted_fixtures"]
pytestmark = pytest.mark.schannel

OUR_NAME = re.compile(r"schannel_ffi-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{16}")
PFX_FLAGS = 0x8000 | 0x200 | 0x1  # NO_PERSIST_KEY, ALWAYS_CNG_KSP, EXPORTABLE
FRIENDLY = "the file's own name"
ERROR_INVALID_PASSWORD, ERROR_ACCESS_DENIED = 86, 5


@pytest.fixture
def windows(sspi: FakeSSPI) -> Iterator[FakeKeys]:
    """The two tables in use; whatever was acquired must have been given back in the end."""
    fake = FakeKeys()
    _lib.use_function_table(sspi.address)
    _lib.use_system_table(fake.address)
    yield fake
    _lib.use_function_table(None)
    _lib.use_system_table(None)
    gc.collect()
    assert [] == fake.problems()


def pem(chain: tuple[str, ...] = ("CN=mail/CN=authority/2",), **how: Any) -> ClientCertificate:
    key = PrivateKey("EC", b"ECS2 blob")
    return ClientCertificate(PemSource(tuple(each.encode() for each in chain), key, **how))


def pfx(*certificates: FakeCertificate, **how: Any) -> Callable[[FakeKeys], ClientCertificate]:
    def prepare(windows: FakeKeys) -> ClientCertificate:
        windows.pfx = [*certificates] or [FakeCertificate(in_memory=True)]
        return ClientCertificate.from_pfx(b"pfx", "secret", **how)

    return prepare


def unexportable(windows: FakeKeys, *more: FakeCertificate, **how: Any) -> ClientCertificate:
    windows.is_exportable = False
    own = FakeCertificate(in_memory=True, container=FRIENDLY)
    return pfx(own, *more, **how)(windows)


def store(*certificates: FakeCertificate, **how: Any) -> Callable[[FakeKeys], ClientCertificate]:
    def prepare(windows: FakeKeys) -> ClientCertificate:
        windows.stores["MY"] = [*certificates] or [FakeCertificate(key="container")]
        return ClientCertificate.from_store(**{"subject": "mail", **how})

    return prepare


def use(own: ClientCertificate) -> None:
    credential_for(TLSConfig(client_certificate=own))


def forget() -> None:
    _lib.use_system_table(None)
    gc.collect()


SOURCES: dict[str, Callable[[FakeKeys], ClientCertificate]] = {
    "pem": lambda _: pem(),
    "pem_with_chain": lambda _: pem(("CN=mail/CN=middle/2", "CN=middle/CN=root/2")),
    "pfx": pfx(),
    "pfx_with_chain": pfx(FakeCertificate("CN=root", "CN=root"), FakeCertificate(in_memory=True)),
    "ephemeral": pfx(ephemeral=True),
    "not_exportable": unexportable,
    "store": store(),
}


# --------------------------------------------------------------------- acquired is what is released


@pytest.mark.filterwarnings("ignore:Windows will send")
@pytest.mark.parametrize("source", SOURCES)
def test_all_is_given_back_and_the_disk_is_clean(windows: FakeKeys, source: str) -> None:
    use(SOURCES[source](windows))  # B7, B87

    forget()

    assert ({}, []) == (windows.disk, windows.problems())


@pytest.mark.filterwarnings("ignore:Windows will send")
@pytest.mark.parametrize("source", SOURCES)
def test_every_call_may_fail_and_nothing_is_left(windows: FakeKeys, source: str) -> None:
    own = SOURCES[source](windows)
    failed = 0
    for step in range(1, 40):
        windows.steps.clear()
        windows.fail_at = step
        _lib.use_system_table(windows.address)
        with contextlib.suppress(CredentialError):
            use(own)
        if len(windows.steps) < step:
            break
        failed += 1
        windows.fail_at = 0
        if windows.steps[step - 1 :][:1] == ["CertGetCertificateContextProperty"]:
            windows.disk.pop((FRIENDLY, False), None)  # Windows did not tell where it put the key
        forget()
        assert ({}, {}, []) == (windows.disk, windows.journal, windows.problems()), windows.steps

    assert failed >= {"store": 3, "ephemeral": 2}.get(source, 6)


# -------------------------------------------------------------------------- keys of our own on disk


@pytest.mark.parametrize(("scope", "is_machine"), [("user", False), ("machine", True)])
@pytest.mark.parametrize("source", ["pem", "pfx"])
def test_key_is_imported_under_a_name_that_tells_whose_it_is(
    windows: FakeKeys, source: str, scope: str, *, is_machine: bool
) -> None:
    use(pem(key_scope=scope) if source == "pem" else pfx(key_scope=scope)(windows))

    [(name, is_machines)] = windows.disk  # B87
    assert OUR_NAME.fullmatch(name)
    assert f"-{THIS_PROCESS:08x}-{THIS_START:016x}-" in name
    assert is_machine == is_machines


def test_key_of_a_pfx_is_taken_from_memory(windows: FakeKeys) -> None:
    use(pfx()(windows))

    assert [("secret", PFX_FLAGS)] == windows.pfx_calls  # B87: nothing under the file's own name
    [(kind, blob, _)] = windows.imports
    assert ("PKCS8_PRIVATEKEY", b"exported key") == (kind, blob)


def test_ephemeral_key_is_not_imported(windows: FakeKeys) -> None:
    use(pfx(ephemeral=True)(windows))  # B10

    assert ([], {}) == (windows.imports, windows.disk)


def test_names_differ_for_each_import(windows: FakeKeys) -> None:
    use(pem())
    use(pem(("CN=other/CN=authority/2",)))

    assert 2 == len(windows.disk)


def test_key_lives_as_long_as_the_last_credential(windows: FakeKeys) -> None:
    one = credential_for(TLSConfig(client_certificate=pem()))  # B7

    forget()
    during = dict(windows.disk)
    del one
    gc.collect()

    assert (1, {}) == (len(during), windows.disk)


def test_keys_are_deleted_at_the_end_of_the_process(windows: FakeKeys) -> None:
    credential = credential_for(TLSConfig(client_certificate=pem()))

    from schannel_ffi._lib import shared  # noqa: PLC0415  # what the handler of atexit calls

    shared._shared.delete_keys()

    assert {} == windows.disk
    del credential


def container(process: int, start: int, computer: str = "") -> str:
    value = 2166136261
    for letter in computer:
        value = (value ^ ord(letter)) * 16777619 & 0xFFFFFFFF
    return f"schannel_ffi-{value:08x}-{process:08x}-{start:016x}-00000000000000ff"


HERE = "WORKSTATION"
OTHERS = {  # whose key it is, and whether the next import deletes it (B87)
    "dead": (container(5000, 1, HERE), True),
    "living": (container(6000, 77, HERE), False),
    "process_id_given_out_again": (container(6000, 78, HERE), True),
    "living_but_not_told": (container(7000, 5, HERE), False),
    "own_process_id_of_before": (container(THIS_PROCESS, 3, HERE), True),
    "own": (container(THIS_PROCESS, THIS_START, HERE), False),
    "of_another_computer": (container(5000, 1, "LAPTOP"), False),
    "somebody_elses": ("{6d5b0a4e-0000-4a3b-9f53-0d3f0e5f1c11}", False),
    "of_a_similar_name": (container(5000, 1, HERE) + "0", False),
    "upper_case": (container(5000, 1, HERE).upper(), False),
    "too_short": ("schannel_ffi-", False),
}


@pytest.mark.parametrize("whose", OTHERS)
@pytest.mark.parametrize("is_machine", [False, True], ids=["user", "machine"])
def test_import_deletes_the_keys_of_the_dead_alone(
    windows: FakeKeys, whose: str, *, is_machine: bool
) -> None:
    name, goes = OTHERS[whose]
    windows.processes |= {6000: 77, 7000: 0}
    windows.disk[name, is_machine] = b"old"

    use(pem(key_scope="machine" if is_machine else "user"))

    assert goes == ((name, is_machine) not in windows.disk)


def test_key_set_of_the_other_scope_is_left_alone(windows: FakeKeys) -> None:
    name, _ = OTHERS["dead"]
    windows.disk[name, True] = b"old"

    use(pem())

    assert (name, True) in windows.disk


# ------------------------------------------------------------------ keys that may not be exported


@pytest.mark.parametrize(("scope", "is_machine"), [("user", False), ("machine", True)])
def test_key_that_may_not_be_exported_stays_where_windows_puts_it(
    windows: FakeKeys, scope: str, *, is_machine: bool
) -> None:
    use(unexportable(windows, key_scope=scope))

    [((user, where), noted)] = windows.journal.items()  # B87
    assert {(FRIENDLY, is_machine)} == set(windows.disk)
    assert (FRIENDLY, is_machine) == (noted, where)
    assert f"-{THIS_PROCESS:08x}-{THIS_START:016x}-" in user
    flags = windows.pfx_calls[-1][1]
    assert (0x20 if is_machine else 0x1000) | 0x200 == flags  # MACHINE or USER_KEYSET, CNG
    forget()
    assert ({}, {}) == (windows.disk, windows.journal)


@pytest.mark.parametrize("size", [259, 260, 512])
def test_longest_container_is_kept_noted_and_deleted(windows: FakeKeys, size: int) -> None:
    windows.is_exportable = False  # the file chooses the name, NCRYPT_MAX_KEY_NAME_LENGTH at most
    name = "n" * size

    use(pfx(FakeCertificate(in_memory=True, container=name))(windows))

    assert ([name], [(name, False)]) == ([*windows.journal.values()], [*windows.disk])
    windows.processes[6000] = 77  # another process uses it, too
    note = (container(6000, 77, HERE), False)
    windows.journal[note] = name
    forget()
    assert {(name, False)} == set(windows.disk)
    del windows.processes[6000]
    _lib.use_system_table(windows.address)
    use(pem())
    forget()
    assert ({}, {}) == (windows.disk, windows.journal)


def test_container_with_a_name_beyond_all_limits_is_deleted_at_once(windows: FakeKeys) -> None:
    windows.is_exportable = False

    with pytest.raises(CredentialError):
        use(pfx(FakeCertificate(in_memory=True, container="n" * 513))(windows))

    assert ({}, {}) == (windows.disk, windows.journal)


def test_keys_do_not_stay_where_no_certificate_fits_any_more(windows: FakeKeys) -> None:
    windows.is_exportable = False
    own = FakeCertificate(in_memory=True, container="one")
    old = FakeCertificate("CN=old", in_memory=True, container="two", valid=1)
    look = windows._CertVerifyTimeValidity

    def expire(*arguments: Any) -> int:  # between the import in memory and that on disk
        return look(*arguments) if len(windows.pfx_calls) == 1 else 1

    windows.replace("CertVerifyTimeValidity", expire)

    with pytest.raises(CredentialError):
        use(pfx(own, old)(windows))

    assert ({}, {}) == (windows.disk, windows.journal)


def test_notes_are_in_the_registry(windows: FakeKeys) -> None:
    _, windows_own = _lib.system_table_default()
    for name in ("SetKeyValueW", "DeleteKeyValueW", "OpenKeyExW", "EnumValueW", "CloseKey"):
        setattr(windows.table, f"Reg{name}", getattr(windows_own, f"Reg{name}"))

    use(unexportable(windows))
    during = notes_in_the_registry()
    forget()

    assert [FRIENDLY] == list(during.values())
    assert ({}, {}) == (windows.disk, notes_in_the_registry())


def notes_in_the_registry() -> dict[str, str]:
    winreg: Any = importlib.import_module("winreg")  # mypy looks on another system
    with winreg.OpenKey(winreg.HKEY_CURRENT_USER, "Software\\schannel_ffi\\Keys") as key:
        rows = [winreg.EnumValue(key, i) for i in range(winreg.QueryInfoKey(key)[1])]
    return {name: data for name, data, _ in rows if name.startswith("schannel_ffi-")}


def test_container_goes_with_its_last_user(windows: FakeKeys) -> None:
    other = container(6000, 77, HERE)
    windows.processes[6000] = 77
    windows.journal[other, False] = FRIENDLY
    use(unexportable(windows))

    forget()

    assert {(FRIENDLY, False)} == set(windows.disk)
    assert {(other, False)} == set(windows.journal)


USERS = {"dead": (container(5000, 1, HERE), False), "living": (container(6000, 77, HERE), True)}


@pytest.mark.parametrize("whose", USERS)
def test_next_import_forgets_the_dead_users(windows: FakeKeys, whose: str) -> None:
    user, stays = USERS[whose]
    windows.processes[6000] = 77
    windows.journal |= {("strange note", False): "x" * 300, (user, False): FRIENDLY}
    windows.disk[FRIENDLY, False] = b"old"

    use(pem())

    assert stays == ((user, False) in windows.journal) == ((FRIENDLY, False) in windows.disk)
    assert ("strange note", False) in windows.journal


def test_dead_user_of_the_same_container_does_not_take_it_along(windows: FakeKeys) -> None:
    dead, _ = USERS["dead"]
    windows.journal[dead, False] = FRIENDLY

    use(unexportable(windows))

    assert {(FRIENDLY, False)} == set(windows.disk)
    assert (1, False) == (len(windows.journal), (dead, False) in windows.journal)


def test_key_that_came_along_is_deleted_at_once(windows: FakeKeys) -> None:
    old = FakeCertificate("CN=old", in_memory=True, valid=1, container="another name")

    use(unexportable(windows, old))

    assert {(FRIENDLY, False)} == set(windows.disk)
    assert [FRIENDLY] == list(windows.journal.values())


def test_container_without_a_note_is_not_kept(windows: FakeKeys) -> None:
    own = unexportable(windows)
    use(own)
    forget()
    _lib.use_system_table(windows.address)
    windows.pfx = [FakeCertificate(in_memory=True, container=FRIENDLY)]
    windows.fail_at, windows.steps[:] = windows.steps.index("RegSetKeyValueW") + 1, []

    with pytest.raises(CredentialError):
        use(own)

    assert ({}, {}) == (windows.disk, windows.journal)


def test_key_that_cannot_be_deleted_leaves_no_handle(windows: FakeKeys) -> None:
    use(pem())
    windows.steps.clear()
    windows.fail_at = 3  # the provider, the key, its deletion

    forget()

    assert (["NCryptDeleteKey"], 1) == (windows.steps[2:], len(windows.disk))
    assert [] == windows.problems()


# ------------------------------------------------------------------------------------------- stores


def found(windows: FakeKeys, sspi: FakeSSPI, own: ClientCertificate | ServerCertificate) -> str:
    """Return the subject of the certificate that AcquireCredentialsHandle gets."""
    seen: list[str] = []

    def note(auth_data: Any) -> None:
        structure = windows._own("uint32_t *", auth_data)
        count = structure[2]
        pointer = windows._own("void ***", windows._address(auth_data) + 16)[0][0]
        assert 1 == count
        seen.append(windows._certificates[windows._address(pointer)].subject)

    sspi.on_acquire = note
    is_server = isinstance(own, ServerCertificate)
    config = TLSConfig(client_certificate=own) if isinstance(own, ClientCertificate) else None
    config = config or TLSConfig(server_certificate=own)  # type: ignore[arg-type]  # the other one
    credential_for(config, is_server=is_server)
    return seen[-1]


def test_of_several_the_one_valid_longest_is_taken(windows: FakeKeys, sspi: FakeSSPI) -> None:
    ages = [("CN=mail a", 3), ("CN=mail b", 5), ("CN=mail c", 4)]
    certificates = [FakeCertificate(name, key="k", not_after=end) for name, end in ages]

    assert "CN=mail b" == found(windows, sspi, store(*certificates)(windows))  # B9


UNFIT = {  # what speaks against a certificate, and the words for it (B9)
    "no_key": ({}, "has no private key"),
    "expired": ({"key": "k", "valid": 1}, "has expired"),
    "not_yet": ({"key": "k", "valid": -1}, "is not valid yet"),
    "purpose": ({"key": "k", "usages": (SERVER_AUTH,)}, "is not for clientAuth"),
    "no_purpose": ({"key": "k", "usages": ()}, "is not for clientAuth"),
    "key_gone": ({"key": "box", "key_error": NTE_BAD_KEYSET}, "NTE_BAD_KEYSET"),
    "key_forbidden": ({"key": "box", "key_error": NTE_PERM}, "NTE_PERM"),
}


@pytest.mark.parametrize("why", UNFIT)
def test_unfit_certificate_is_left_out_and_told_why(
    windows: FakeKeys, sspi: FakeSSPI, why: str
) -> None:
    how, words = UNFIT[why]
    unfit = FakeCertificate("CN=mail unfit", not_after=9, **how)  # type: ignore[arg-type]
    fit = FakeCertificate("CN=mail fit", key="k")

    chosen = found(windows, sspi, store(unfit, fit)(windows))
    with pytest.raises(CredentialError) as raised:
        use(store(unfit)(windows))

    assert "CN=mail fit" == chosen
    for part in ("CN=mail unfit", words, "alice", "CurrentUser\\MY"):
        assert part in str(raised.value)


def test_key_out_of_reach_is_told_with_container_and_hint(windows: FakeKeys) -> None:
    own = store(FakeCertificate(key="box 17", key_error=NTE_BAD_KEYSET))(windows)

    with pytest.raises(CredentialError, match="box 17") as raised:
        use(own)  # B8

    assert ("NTE_BAD_KEYSET", NTE_BAD_KEYSET) == (
        raised.value.symbol,
        (raised.value.winerror or 0) & 0xFFFFFFFF,
    )
    assert "IIS" in raised.value.hint


@pytest.mark.parametrize("usages", [None, (ANY_USAGE,), ("1.2.3", CLIENT_AUTH)])
def test_purpose_that_includes_clients_will_do(
    windows: FakeKeys, sspi: FakeSSPI, usages: tuple[str, ...] | None
) -> None:
    own = store(FakeCertificate("CN=mail", key="k", usages=usages))(windows)

    assert "CN=mail" == found(windows, sspi, own)


def test_server_needs_the_other_purpose(windows: FakeKeys, sspi: FakeSSPI) -> None:
    client = FakeCertificate("CN=mail client", key="k", usages=(CLIENT_AUTH,), not_after=9)
    server = FakeCertificate("CN=mail server", key="k", usages=(SERVER_AUTH,))
    store(client, server)(windows)

    own = ServerCertificate.from_store(subject="mail")

    assert "CN=mail server" == found(windows, sspi, own)


SUBJECTS = [("mail", True), ("MAIL", True), ("cn=Mail", True), ("n=m", True), ("malt", False)]


@pytest.mark.parametrize(("part", "is_found"), [*SUBJECTS, ("CN=mail+", False)])
def test_subject_is_a_part_of_the_text(windows: FakeKeys, part: str, *, is_found: bool) -> None:
    own = store(FakeCertificate("CN=mail", key="k"), subject=part)(windows)
    expectation = contextlib.nullcontext() if is_found else pytest.raises(CredentialError)

    with expectation as raised:
        use(own)

    assert is_found or "CRYPT_E_NOT_FOUND" in str(raised)


@pytest.mark.parametrize("error", [0, ERROR_ACCESS_DENIED], ids=["no_reason", "denied"])
@pytest.mark.parametrize("location", ["CurrentUser", "LocalMachine"])
def test_store_without_access_names_account_and_store(
    windows: FakeKeys, error: int, location: str
) -> None:
    own = store(location=location)(windows)
    windows.store_errors.append(error)

    with pytest.raises(CredentialError) as raised:
        use(own)  # B89

    assert f"{location}\\MY" in str(raised.value)
    assert "alice" in str(raised.value)
    assert (ERROR_ACCESS_DENIED, "rights" in raised.value.hint) == (raised.value.winerror, True)


def test_renewed_certificate_is_used_at_once(windows: FakeKeys, sspi: FakeSSPI) -> None:
    own = store(FakeCertificate("CN=mail old", key="k"))(windows)
    first = found(windows, sspi, own)

    windows.stores["MY"].append(FakeCertificate("CN=mail new", key="k", not_after=9))

    assert ("CN=mail old", "CN=mail new") == (first, found(windows, sspi, own))


# ---------------------------------------------------------------------------------------------- PFX


def test_no_password_and_an_empty_one_are_both_tried(windows: FakeKeys) -> None:
    for password, tried in ((None, [None, ""]), ("", ["", None]), ("x", ["x"])):
        windows.pfx, windows.pfx_calls[:] = ERROR_INVALID_PASSWORD, []

        with pytest.raises(CredentialError, match="ERROR_INVALID_PASSWORD"):
            use(ClientCertificate.from_pfx(b"pfx", password))

        assert tried == [given for given, _ in windows.pfx_calls]


def test_failure_without_a_reason_is_the_password(windows: FakeKeys) -> None:
    windows.pfx = 0  # as Wine tells it

    with pytest.raises(CredentialError, match="ERROR_INVALID_PASSWORD"):
        use(ClientCertificate.from_pfx(b"pfx", "wrong"))


def test_pfx_without_a_private_key_is_told(windows: FakeKeys) -> None:
    with pytest.raises(CredentialError, match="NTE_NO_KEY"):
        use(pfx(FakeCertificate())(windows))


def test_of_two_keys_the_fitting_one_is_taken(windows: FakeKeys, sspi: FakeSSPI) -> None:
    old = FakeCertificate("CN=old", in_memory=True, valid=1)
    new = FakeCertificate("CN=new", in_memory=True)

    assert "CN=new" == found(windows, sspi, pfx(new, old)(windows))


def test_two_keys_that_fit_are_one_too_many(windows: FakeKeys) -> None:
    pair = [FakeCertificate(f"CN={name}", in_memory=True) for name in "ab"]

    with pytest.raises(CredentialError, match="several certificates"):
        use(pfx(*pair)(windows))


@pytest.mark.parametrize("code", [2, 0x80090016, 0x80090010])
def test_key_set_that_cannot_be_used_has_its_own_hint(windows: FakeKeys, code: int) -> None:
    hints = {}
    for scope in ("user", "machine"):
        _lib.use_system_table(windows.address)
        windows.steps.clear()
        use(own := pem(key_scope=scope))
        forget()
        _lib.use_system_table(windows.address)
        windows.fail_at = windows.steps.index("NCryptImportKey") + 1
        windows.fail_with, windows.steps[:] = code, []

        with pytest.raises(CredentialError, match=rf"{scope} key set.*alice") as raised:
            use(own)  # B88
        hints[scope] = raised.value.hint
        windows.fail_at = 0

    assert ("IIS" in hints["user"], "administrators" in hints["machine"]) == (True, True)


# -------------------------------------------------------------------------------- intermediates


CHAIN = ("CN=mail/CN=lower/2", "CN=lower/CN=upper/2", "CN=upper/CN=root/2", "CN=root/CN=root/2")


@pytest.mark.parametrize(
    ("chain", "known", "warns"),
    [
        (CHAIN, [CHAIN[1], CHAIN[2]], False),
        (CHAIN, [CHAIN[1]], True),
        (CHAIN, [], True),
        (("CN=mail/CN=root/2", "CN=root/CN=root/2"), [], False),
        (("CN=mail/CN=root/2", "CN=stranger/CN=root/2"), [], False),
        (("CN=mail/CN=lower/2",), [], False),
    ],
    ids=["known", "one_missing", "both_missing", "root_alone", "unrelated", "none_given"],
)
def test_missing_intermediates_are_warned_about(
    windows: FakeKeys, chain: tuple[str, ...], known: list[str], *, warns: bool
) -> None:
    windows.known_to_windows = known
    expectation = (
        pytest.warns(RuntimeWarning, match="CN=mail.*intermediate")
        if warns
        else contextlib.nullcontext()
    )

    with expectation:
        use(pem(chain))  # B11

    cache_only = 0x4
    assert windows.chain_flags & cache_only


# --------------------------------------------------------------------------------- impersonation


def test_process_is_asked_first_then_the_thread(windows: FakeKeys, sspi: FakeSSPI) -> None:
    windows.token = 0x99
    asked: list[bool] = []
    sspi.on_acquire = lambda _: asked.append(windows.acts_as_thread)
    sspi.acquire_answers.append(-0x7FF6FCF2)  # SEC_E_NO_CREDENTIALS

    use(store()(windows))  # B14

    assert ([False, True], True) == (asked, windows.acts_as_thread)


def test_both_failures_are_told(windows: FakeKeys, sspi: FakeSSPI) -> None:
    windows.token = 0x99
    sspi.acquire_answers += [-0x7FF6FCF2, -0x7FF6FCFC]  # NO_CREDENTIALS, INTERNAL_ERROR

    with pytest.raises(CredentialError) as raised:
        use(store()(windows))  # B14

    for part in ("SEC_E_INTERNAL_ERROR", "process itself: 0x8009030E", "alice"):
        assert part in str(raised.value)


def test_thread_that_cannot_become_itself_again_gets_no_credential(windows: FakeKeys) -> None:
    own = store()(windows)
    use(own)
    windows.token = 0x99
    forget()
    _lib.use_system_table(windows.address)
    windows.steps.clear()
    windows.fail_at = 4  # the store, the key, becoming the process, becoming the thread again

    with pytest.raises(CredentialError, match="provider failed"):
        use(own)

    assert "SetThreadToken" == windows.steps[3]
