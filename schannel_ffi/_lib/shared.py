"""What connections share: the function tables in use, credentials and trust anchors, kept by value.

Making a credential or a chain engine is expensive, so each is kept under the value of the settings
it was made from, in one locked cache of limited size: the only global state of the package.
"""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from schannel_ffi._lib.binding import require
from schannel_ffi._lib.failures import new_handle
from schannel_ffi._lib.identity import explained, find_identity
from schannel_ffi.config import Revocation, TLSConfig, TLSVersion, TrustStore

CACHE_SIZE: Final = 64


class _Shared:
    """The library in use and what was made with it, by value; every access under its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: Any = None
        self._tables: tuple[int | None, int | None] = (None, None)
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def use_tables(self, function_table: int | None, system_table: int | None) -> None:
        """Forget the library and all that was made with it; later calls go through these tables."""
        with self._lock:
            self._tables = (function_table, system_table)
            self._library = None
            self._kept.clear()

    def tables(self) -> tuple[int | None, int | None]:
        """Return the addresses in use."""
        with self._lock:
            return self._tables

    def library(self) -> Any:
        """Return the `schan_library *` in use, making it first where needed."""
        with self._lock:
            if self._library is None:
                self._library = _new_library(*self._tables)
            return self._library

    def delete_keys(self) -> None:
        """Delete the private keys that identities have on disk; for the end of the process."""
        with self._lock:
            if self._library is not None:
                require()[1].schan_library_delete_keys(self._library)

    def get(self, key: Hashable, make: Callable[[Any], Any]) -> Any:
        """Return what is kept under `key`, else make it from the library.

        Made outside the lock, because it may take long: two threads may make the same, one is kept.
        """
        library = self.library()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make(library)
        with self._lock:
            if library is not self._library:
                return made
            kept = self._kept.setdefault(key, made)
            self._kept.move_to_end(key)
            while len(self._kept) > CACHE_SIZE:
                self._kept.popitem(last=False)
            return kept


_shared = _Shared()
# Handlers run last come first: this one comes after those of programs that still talk then (B87).
atexit.register(_shared.delete_keys)


def library() -> Any:
    """Return the `schan_library *` in use."""
    return _shared.library()


def use_function_table(address: int | None) -> None:
    """Call SSPI through the `PSecurityFunctionTableW` at `address`; None: Windows' own. For tests.

    Credentials and engines made afterwards use it; those that exist keep theirs. The table must
    outlive them.
    """
    _shared.use_tables(address, _shared.tables()[1])


def use_system_table(address: int | None) -> None:
    """Call other Windows functions through the `schan_system` at `address`. For tests.

    `system_table_default()` gives the struct to change. It must outlive what is made with it.
    """
    _shared.use_tables(_shared.tables()[0], address)


def system_table_default() -> tuple[Any, Any]:
    """Return cffi's `ffi`, and a copy of the table of Windows' own functions. For tests."""
    ffi, lib = require()
    table = ffi.new("struct schan_system *")
    table[0] = lib.schan_system_default()[0]
    return ffi, table


def _new_library(function_table: int | None, system_table: int | None) -> Any:
    ffi, lib = require()
    functions = ffi.cast("void *", function_table or 0)
    system = ffi.cast("schan_system *", system_table or 0)
    return new_handle(
        "schan_library",
        "schan_library_free",
        "loading the security package",
        lambda out, err: lib.schan_library_new(out, functions, system, err),
    )


_VERSION_BITS = {
    TLSVersion.TLSv1: 1,
    TLSVersion.TLSv1_1: 2,
    TLSVersion.TLSv1_2: 4,
    TLSVersion.TLSv1_3: 8,
}
VERSION_OF_BIT = {bit: version for version, bit in _VERSION_BITS.items()}


def protocol_bits(config: TLSConfig) -> int:
    return sum(_VERSION_BITS[version] for version in config.versions())


def credential_for(config: TLSConfig, *, is_server: bool = False) -> Any:
    """Return the `schan_credential *` for these settings; kept by all that goes into it (B12)."""
    ffi, lib = require()
    own = config.server_certificate if is_server else config.client_certificate
    found = None if own is None else find_identity(library(), own)
    settings = {
        "protocols": protocol_bits(config),
        "check_revocation": config.revocation is not Revocation.OFF,
        "allow_weak_crypto": config.insecure_weak_crypto,
        "is_server": is_server,
        "disable_resumption": not config.resume,
    }

    def make(library: Any) -> Any:
        identity = ffi.NULL if found is None else _shared.get(found.key, found.make)
        c_config = ffi.new("schan_credential_config *", {**settings, "identity": identity})
        with explained(library, found):
            return new_handle(
                "schan_credential",
                "schan_credential_free",
                "acquiring a credential",
                lambda out, err: lib.schan_credential_new(out, library, c_config, err),
            )

    return _shared.get(("credential", *settings.items(), found and found.key), make)


def trust_for(store: TrustStore) -> Any:
    """Return the `schan_trust *` of a trust store; NULL stands for the machine's roots."""
    ffi, lib = require()
    if not store.roots and store.store is None:
        return ffi.NULL

    def make_from_roots(library: Any) -> Any:
        roots = [ffi.from_buffer("uint8_t[]", root) for root in store.roots]
        pointers, sizes = (
            ffi.new("uint8_t *[]", roots),
            ffi.new("size_t[]", [len(root) for root in roots]),
        )
        return new_handle(
            "schan_trust",
            "schan_trust_free",
            "taking over trust anchors",
            lambda out, err: lib.schan_trust_from_roots(
                out,
                library,
                ffi.cast("const uint8_t *const *", pointers),
                sizes,
                len(roots),
                store.exclusive,
                err,
            ),
        )

    def make_from_store(library: Any) -> Any:
        name, location = store.store or ("", "")
        return new_handle(
            "schan_trust",
            "schan_trust_free",
            f"opening the certificate store {location}\\{name}",
            lambda out, err: lib.schan_trust_from_store(
                out, library, name, location == "LocalMachine", err
            ),
        )

    if store.store is not None:
        return make_from_store(library())  # not kept: what leaves the store is no longer trusted
    return _shared.get(("trust", store), make_from_roots)
