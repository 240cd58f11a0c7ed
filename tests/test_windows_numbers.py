"""Errors of Winsock keep their numbers and the classes that callers catch (row 98)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from schannel_ffi import _lib, tcp
from schannel_ffi._lib import failures
from schannel_ffi.errors import ConnectionReset, TLSError, TLSTimeout

LIMIT_S = 20.0

CODES: list[tuple[int, type[TLSError], type[OSError], str]] = [
    (10053, ConnectionReset, ConnectionResetError, "WSAECONNABORTED"),
    (10054, ConnectionReset, ConnectionResetError, "WSAECONNRESET"),
    (10060, TLSTimeout, TimeoutError, "WSAETIMEDOUT"),
    (10061, TLSError, OSError, "WSAECONNREFUSED"),
]


@pytest.mark.schannel
@pytest.mark.parametrize(("code", "kind", "builtin", "symbol"), CODES, ids=[c[3] for c in CODES])
def test_error_of_a_socket_is_what_the_standard_library_would_raise(
    code: int, kind: type[TLSError], builtin: type[OSError], symbol: str
) -> None:
    ffi, lib = _lib.require()
    err = ffi.new("schan_error *", {"result": lib.SCHAN_ERR_SOCKET, "status": code, "alert": -1})

    error = failures.failure("receiving", err)

    assert type(error) is kind
    assert isinstance(error, builtin)
    assert (code, code, symbol) == (error.errno, error.winerror, error.symbol)


@pytest.mark.parametrize("code", [10053, 10054, 10060, 10061])
def test_error_of_a_connect_keeps_its_number(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def connect_ex(_self: object, _address: Any) -> int:
        return code

    monkeypatch.setattr("socket.socket.connect_ex", connect_ex, raising=False)
    kind = ConnectionRefusedError if code == 10061 else ConnectionError

    with pytest.raises(kind) as caught:
        tcp.open_connection("127.0.0.1", 25, deadline=time.monotonic() + LIMIT_S)

    assert isinstance(caught.value, TLSError)
    assert (code, code) == (caught.value.errno, caught.value.winerror)
