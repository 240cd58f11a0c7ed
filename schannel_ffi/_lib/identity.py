"""Certificates with private keys as C handles, and why one cannot be had."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple, NoReturn

from schannel_ffi import errors
from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import describe, new_handle
from schannel_ffi._lib.reading import digest_of, name_of
from schannel_ffi.identity import (
    OwnCertificate,
    PemSource,
    PfxSource,
    ServerCertificate,
    StoreSource,
)

_NO_PROFILE = (
    "load the profile of that account (IIS: Load User Profile of the application pool; a task: "
    'run with the highest privileges or store the password), or use key_scope="machine"'
)
_NO_MACHINE_RIGHTS = (
    "only administrators and services may keep keys there; let the account write to the machine's "
    'keys, or use key_scope="user" with its profile loaded'
)
_KEY_SET_TROUBLES = frozenset(  # B88
    {
        2,  # ERROR_FILE_NOT_FOUND: what PFX import says without a profile
        3,  # ERROR_PATH_NOT_FOUND
        5,  # ERROR_ACCESS_DENIED
        0x80070002,
        0x80070003,
        0x80070005,
        0x80090010,  # NTE_PERM
        0x80090016,  # NTE_BAD_KEYSET
        0x80090019,  # NTE_KEYSET_NOT_DEF
        0x8009001F,  # NTE_BAD_KEYSET_PARAM
    }
)


class Found(NamedTuple):
    """An identity that can be made.

    key: its value, under which it and its credentials are kept; make: from the library.
    """

    key: Hashable
    make: Callable[[Any], Any]


def find_identity(library: Any, own: OwnCertificate) -> Found:
    """Return how to make the identity; a store is searched now.

    Raises:
        CredentialError: there is no such certificate, and why.
    """
    source = own.source
    is_server = isinstance(own, ServerCertificate)
    if isinstance(source, StoreSource):
        return _find_in_store(library, source, is_server=is_server)
    make = _pfx_maker(source, is_server=is_server)
    if isinstance(source, PemSource):
        make = _pem_maker(source, is_server=is_server)
    return Found(("identity", own), make)


@contextlib.contextmanager
def explained(library: Any, found: Found | None) -> Iterator[None]:
    """Name the account in an error about a credential that has a certificate (B8, B14)."""
    try:
        yield
    except errors.CredentialError as error:
        if found is None:
            raise
        raise _told(error, library) from error


def _told(
    error: errors.CredentialError, library: Any, message: str = "", hint: str = ""
) -> errors.CredentialError:
    """Return the error with the account in it, and with other words where there are better ones."""
    return errors.CredentialError(
        f"{message or str(error).partition(' [')[0]} (account {account(library)})",
        symbol=error.symbol,
        hint=hint or error.hint,
        winerror=error.winerror,
    )


def account(library: Any) -> str:
    """Return the name of the account that this thread runs as."""
    ffi, lib = require()
    text = ffi.new("wchar_t[]", 257)
    lib.schan_library_account(library, text, 257)
    return str(ffi.string(text)) or "unknown"


# ------------------------------------------------------------------------------------------- files


def _pfx_maker(source: Any, *, is_server: bool) -> Callable[[Any], Any]:
    def make(library: Any) -> Any:
        ffi, lib = require()
        pinned = ffi.from_buffer("uint8_t[]", source.data)
        none = source.password is None
        password = ffi.NULL if none else ffi.new("wchar_t[]", source.password)
        config = ffi.new(
            "schan_identity_config *",
            {
                "is_server": is_server,
                "machine_keys": source.key_scope == "machine",
                "ephemeral": source.ephemeral,
            },
        )
        span = {"data": pinned, "size": len(pinned)}
        return _new_identity(
            library,
            source,
            "loading a PFX",
            lambda out, err: lib.schan_identity_from_pfx(out, library, span, password, config, err),
        )

    return make


def _pem_maker(source: PemSource, *, is_server: bool) -> Callable[[Any], Any]:
    def make(library: Any) -> Any:
        ffi, lib = require()
        pinned = [ffi.from_buffer("uint8_t[]", der) for der in source.certificates]
        spans = ffi.new("schan_span[]", [{"data": p, "size": len(p)} for p in pinned])
        blob = ffi.from_buffer("uint8_t[]", source.key.blob)
        kind = {"RSA": lib.SCHAN_KEY_RSA, "EC": lib.SCHAN_KEY_ECC}[source.key.kind]
        config = ffi.new(
            "schan_identity_config *",
            {"is_server": is_server, "machine_keys": source.key_scope == "machine"},
        )
        key = {"data": blob, "size": len(blob)}
        return _new_identity(
            library,
            source,
            "loading a certificate and its private key",
            lambda out, err: lib.schan_identity_from_key(
                out, library, spans, len(pinned), kind, key, config, err
            ),
        )

    return make


def _new_identity(
    library: Any,
    source: PfxSource | PemSource,
    doing: str,
    make: Callable[[Any, Any], int],
) -> Any:
    try:
        handle = new_handle("schan_identity", "schan_identity_free", doing, make)
    except errors.CredentialError as error:
        if (error.winerror or 0) & 0xFFFFFFFF not in _KEY_SET_TROUBLES:  # B88
            raise _told(error, library) from error
        scope = source.key_scope
        hint = _NO_MACHINE_RIGHTS if scope == "machine" else _NO_PROFILE
        message = f"{doing}: the {scope} key set cannot keep the private key"
        raise _told(error, library, message, hint) from error
    _warn_of_missing_intermediates(library, handle)
    return handle


def _warn_of_missing_intermediates(library: Any, identity: Any) -> None:
    ffi, lib = require()
    if not lib.schan_identity_misses_intermediates(identity):  # B11
        return
    span = lib.schan_identity_certificate(identity)
    subject = name_of(library, bytes(ffi.buffer(span.data, span.size)))
    warnings.warn(
        f"Windows will send the certificate {subject} without the intermediate certificates that "
        "came with it: Schannel takes them from the stores of user and machine only. Install them "
        "in the store CA (certutil -user -addstore CA FILE)",
        RuntimeWarning,
        stacklevel=2,
    )


# ------------------------------------------------------------------------------------------ stores


def _find_in_store(library: Any, source: StoreSource, *, is_server: bool) -> Found:
    ffi, lib = require()
    name = ffi.new("wchar_t[]", source.store)
    digest = ffi.from_buffer("uint8_t[]", source.thumbprint)
    subject = ffi.new("wchar_t[]", source.subject) if source.subject else ffi.NULL
    config = ffi.new(
        "schan_search_config *",
        {
            "store": name,
            "local_machine": source.location == "LocalMachine",
            "thumbprint": {"data": digest, "size": len(digest)},
            "subject": subject,
            "is_server": is_server,
        },
    )
    try:
        search = new_handle(
            "schan_search",
            "schan_search_free",
            f"opening the certificate store {source.location}\\{source.store}",
            lambda out, err: lib.schan_search_new(out, library, config, err),
        )
    except errors.CredentialError as error:  # B89
        raise _told(error, library) from error
    best = lib.schan_search_best(search)
    if best == lib.schan_search_count(search):
        _tell_why_none(library, search, source, is_server=is_server)
    der = _certificate(lib.schan_search_candidate(search, best))

    def make(_library: Any) -> Any:
        return new_handle(
            "schan_identity",
            "schan_identity_free",
            "taking a certificate out of its store",
            lambda out, err: lib.schan_identity_from_search(out, search, best, err),
        )

    return Found(("identity", source, der, is_server), make)


def _tell_why_none(library: Any, search: Any, source: StoreSource, *, is_server: bool) -> NoReturn:
    _, lib = require()
    wanted = f"thumbprint {source.thumbprint.hex()}" if source.thumbprint else repr(source.subject)
    where = f"the certificate store {source.location}\\{source.store}"
    count = lib.schan_search_count(search)
    if count == 0:
        raise errors.CredentialError(
            f"no certificate of {where} matches {wanted} (account {account(library)})",
            symbol="CRYPT_E_NOT_FOUND",
            hint="CurrentUser is another store for each account: check which one runs this",
        )
    candidates = [lib.schan_search_candidate(search, index) for index in range(count)]
    reasons = [_reason(library, each, is_server=is_server) for each in candidates]
    troubles = [each.status for each in candidates if each.status]
    _, symbol, hint = describe(troubles[0], "") if troubles else ("", "SEC_E_NO_CREDENTIALS", "")
    raise errors.CredentialError(
        f"no certificate of {where} that matches {wanted} can be used by account "
        f"{account(library)}: {'; '.join(reasons)}",
        symbol=symbol,
        hint=hint,
        winerror=troubles[0] if troubles else None,
    )


def _reason(library: Any, candidate: Any, *, is_server: bool) -> str:
    ffi, lib = require()
    der = _certificate(candidate)
    purpose = "serverAuth" if is_server else "clientAuth"
    words = {
        lib.SCHAN_FITNESS_NO_KEY: "has no private key",
        lib.SCHAN_FITNESS_EXPIRED: "has expired",
        lib.SCHAN_FITNESS_NOT_YET_VALID: "is not valid yet",
        lib.SCHAN_FITNESS_WRONG_USAGE: f"is not for {purpose}",
    }
    reason = words.get(candidate.fitness, "")
    if candidate.fitness == lib.SCHAN_FITNESS_KEY_OUT_OF_REACH:
        sentence, symbol, _ = describe(candidate.status, "CryptAcquireCertificatePrivateKey")
        place = "unknown"
        if candidate.container != ffi.NULL:
            place = str(ffi.string(candidate.container))
        reason = f"has its private key in container {place}: {sentence} [{symbol}]"
    sha1 = digest_of(library, "sha1", der).hex()
    return f"{name_of(library, der)} ({sha1[:16]}…) {reason}"


def _certificate(candidate: Any) -> bytes:
    ffi, _ = require()
    return bytes(ffi.buffer(candidate.certificate.data, candidate.certificate.size))
