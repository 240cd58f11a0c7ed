"""The tables of words: every code has a name and a sentence, and Python counts as C does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from schannel_ffi import TLSError, _lib
from schannel_ffi._lib import failures as lib_failures
from schannel_ffi._lib import verification as lib_verification
from schannel_ffi.errors import CertificateReason

needs_schannel = pytest.mark.schannel

CSRC = Path(__file__).resolve().parent.parent / "csrc"
STATUS_C = (CSRC / "status.c").read_text(encoding="utf-8")
SCHAN_H = (CSRC / "schan.h").read_text(encoding="utf-8")
NAMES = re.findall(r"\b(?:ROW|HINTED)\(\s*([A-Z]\w+),", STATUS_C)
ALERT_ROWS = [(int(number), name) for number, name in re.findall(r"\{(\d+), \"(\w+)\"", STATUS_C)]
SENTENCE = re.compile(r"[a-zA-Z][^\n]*[^.\s]")

CODES = [  # a few of each family, as the SDK numbers them
    (0x80090308, "SEC_E_INVALID_TOKEN"),
    (0x80090326, "SEC_E_ILLEGAL_MESSAGE"),
    (0x80090331, "SEC_E_ALGORITHM_MISMATCH"),
    (0x00090321, "SEC_I_RENEGOTIATE"),
    (0x80092012, "CRYPT_E_NO_REVOCATION_CHECK"),
    (0x80092013, "CRYPT_E_REVOCATION_OFFLINE"),
    (0x8009310B, "CRYPT_E_ASN1_BADTAG"),
    (0x800B0101, "CERT_E_EXPIRED"),
    (0x800B0109, "CERT_E_UNTRUSTEDROOT"),
    (0x800B010F, "CERT_E_CN_NO_MATCH"),
    (0x80090016, "NTE_BAD_KEYSET"),
    (2, "ERROR_FILE_NOT_FOUND"),
    (10054, "WSAECONNRESET"),
    (10061, "WSAECONNREFUSED"),
]

FAMILIES = [
    range(0x80090300, 0x80090400),  # SEC_E
    range(0x00090300, 0x00090400),  # SEC_I
    range(0x80090000, 0x80090040),  # NTE
    range(0x80092000, 0x80092030),  # CRYPT_E
    range(0x80093100, 0x80093110),  # CRYPT_E_ASN1
    range(0x80096000, 0x80096020),  # TRUST_E
    range(0x800B0100, 0x800B0120),  # CERT_E
    range(0x80070000, 0x80070100),  # E_INVALIDARG, E_OUTOFMEMORY
    range(200),  # Win32
    range(10000, 10100),  # WSAE
]


def signed(code: int) -> int:
    return code - 2**32 if code >= 2**31 else code


def words(row: Any) -> tuple[str, str, str | None]:
    ffi, _ = _lib.require()
    assert row != ffi.NULL, "there is no row"
    name, sentence = (ffi.string(text).decode("ascii") for text in (row.name, row.sentence))
    hint = None if row.hint == ffi.NULL else ffi.string(row.hint).decode("ascii")
    return name, sentence, hint


def test_no_code_has_two_rows() -> None:
    assert len(set(NAMES)) == len(NAMES) > 50


def test_no_alert_has_two_rows() -> None:
    numbers, names = zip(*ALERT_ROWS, strict=True)

    assert (len(ALERT_ROWS), len(ALERT_ROWS)) == (len(set(numbers)), len(set(names)))


@needs_schannel
def test_codes_are_numbered_as_in_the_sdk() -> None:
    _, lib = _lib.require()

    found = {code: lib.schan_status_text(signed(code)) for code, _ in CODES}

    assert dict(CODES) == {code: words(row)[0] for code, row in found.items() if row}


@needs_schannel
def test_every_row_reads_as_a_sentence_without_its_dot() -> None:
    ffi, lib = _lib.require()
    rows = [lib.schan_status_text(signed(code)) for family in FAMILIES for code in family]

    found = [words(row) for row in rows if row != ffi.NULL]

    assert set(NAMES) == {name for name, _, _ in found}
    assert len(NAMES) == len(found)  # no number twice
    assert [] == [row for row in found if not reads_well(row)]


def reads_well(row: tuple[str, str, str | None]) -> bool:
    _, sentence, hint = row
    return all(SENTENCE.fullmatch(text) for text in (sentence, hint) if text is not None)


@needs_schannel
def test_unknown_code_has_no_row() -> None:
    ffi, lib = _lib.require()

    assert [ffi.NULL] * 3 == [lib.schan_status_text(code) for code in (0, 0x12345678, -5)]


@needs_schannel
def test_alerts_are_those_of_the_registry() -> None:
    ffi, lib = _lib.require()
    rows = {number: lib.schan_alert_text(number) for number in range(-1, 257)}

    found = {number: words(row) for number, row in rows.items() if row != ffi.NULL}

    assert dict(ALERT_ROWS) == {number: name for number, (name, _, _) in found.items()}
    assert [] == [row for row in found.values() if not reads_well(row)]
    assert {0, 10, 20, 40, 42, 48, 70, 80, 86, 90, 112, 116, 120} <= set(found)


@pytest.mark.parametrize("number", [-1, 256, 2**31 - 1])
@needs_schannel
def test_alert_outside_a_byte_has_no_row(number: int) -> None:
    ffi, lib = _lib.require()

    assert ffi.NULL == lib.schan_alert_text(number)


# ------------------------------------------------------------------------------------ enumerations


def enumeration(name: str) -> list[tuple[str, int]]:
    """Return the members of an enum of schan.h, in order."""
    body = re.search(rf"typedef enum {name} \{{(.*?)\}} {name};", SCHAN_H, re.DOTALL)
    assert body, name
    code = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    return [(key, int(value)) for key, value in re.findall(r"(\w+)\s*=\s*(-?\d+)", code)]


def test_reasons_stand_in_the_order_of_the_enum() -> None:
    members = enumeration("schan_reason")
    names = [reason.name if reason else "NONE" for reason in lib_verification._REASONS]

    assert list(range(len(members))) == [value for _, value in members]
    assert names == [name.removeprefix("SCHAN_REASON_") for name, _ in members]
    assert len(CertificateReason) == len(members) - 1


def test_every_failure_has_an_exception() -> None:
    failures = {name for name, value in enumeration("schan_result") if value < 0}

    assert failures - {"SCHAN_ERR_MEMORY"} == set(lib_failures._CLASSES)  # that is MemoryError
    assert all(issubclass(kind, TLSError) for kind in lib_failures._CLASSES.values())


@needs_schannel
@pytest.mark.parametrize(
    "result", [name for name, value in enumeration("schan_result") if value < 0]
)
def test_every_failure_can_be_told(result: str) -> None:
    ffi, lib = _lib.require()
    err = ffi.new("schan_error *", {"result": getattr(lib, result), "status": -1, "alert": -1})

    error = lib_failures.failure("doing", err)

    assert isinstance(error, (TLSError, MemoryError))
    assert str(error).startswith("doing")


@needs_schannel
def test_compiled_enums_are_those_of_the_header() -> None:
    ffi, _ = _lib.require()
    for name in ("schan_result", "schan_reason", "schan_state", "schan_revocation"):
        compiled = {key: value for value, key in ffi.typeof(name).elements.items()}

        assert dict(enumeration(name)) == compiled
